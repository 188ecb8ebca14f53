// The page of `zerodce enhance`: rows come in scripts, because a page opened from a disk may not fetch.
// Whatever stems from a file name or a file is set as text or as an encoded address, never as markup.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const PAGE_SIZE = 50;

const rows = { count: data.rows, loaded: 0, path: new Array(data.rows), output: new Map(), notes: new Map(), numbers: {} };
const failures = { count: data.failures, loaded: 0, path: [], stage: [], error: [] };

const view = { kind: "all", text: "", column: "path", descending: false, order: [], page: 0 };
let selected = null; // {failure: boolean, index}

const $ = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

// ---------------------------------------------------------------- numbers, names, addresses

const grouped = (value) => value.toLocaleString("en");
const fixed = (value, digits) => Number.isNaN(value) ? "–" : value === Infinity ? "∞" : value.toFixed(digits);
const dimensions = (index) => `${number("width", index)} × ${number("height", index)}`;
const number = (column, index) => rows.numbers[column] ? rows.numbers[column][index] : NaN;

// Bytes of a file name that are no UTF-8 arrive as lone surrogates (U+DC80 to U+DCFF), as Python keeps them.
const shownName = (path) => path.replace(/[\uD800-\uDBFF][\uDC00-\uDFFF]|[\uDC80-\uDCFF]/g, (c) => c.length > 1 ? c : "\uFFFD");
const address = (path) =>
  Array.from(path, (c) =>
    c === "/" ? c : /^[\uDC80-\uDCFF]$/.test(c) ? "%" + (c.charCodeAt(0) - 0xdc00).toString(16) : encodeURIComponent(c)
  ).join("");

const output = (index) => rows.output.get(index) ?? rows.path[index];
const originalOf = (path) => data.originals === null ? null : `${data.originals}/${address(path)}`;

// The small pictures of a row, or the full-size files where it has none.
function pictures(index) {
  const name = data.thumbs[index];
  if (name) return { before: `report/thumbs/${name}-before.jpg`, after: `report/thumbs/${name}-after.jpg`, autocontrast: `report/thumbs/${name}-autocontrast.jpg` };
  return { before: originalOf(rows.path[index]), ...fullSize(index) };
}
const fullSize = (index) => ({ after: `enhanced/${address(output(index))}`, autocontrast: `autocontrast/${address(output(index))}` });

// ---------------------------------------------------------------- loading

// Each data script calls this with the columns of its rows.
function receive(kind, start, columns) {
  if (kind === "failures") {
    for (const name of ["path", "stage", "error"]) failures[name].push(...columns[name]);
    failures.loaded += columns.path.length;
  } else {
    columns.path.forEach((path, i) => { rows.path[start + i] = path; });
    for (const name of ["output", "notes"])
      for (const [i, text] of Object.entries(columns[name])) rows[name].set(start + Number(i), text);
    for (const [name, values] of Object.entries(columns.numbers)) {
      rows.numbers[name] ??= new Float64Array(rows.count).fill(NaN);
      values.forEach((value, i) => { if (value !== null) rows.numbers[name][start + i] = value; });
    }
    rows.loaded += columns.path.length;
  }
}

function load(kind, chunk) {
  return new Promise((resolve) => {
    const source = `report/data/${kind}-${String(chunk).padStart(5, "0")}.js`;
    document.head.append(element("script", { src: source, onload: () => resolve(true), onerror: () => resolve(false) }));
  });
}

async function loadAll() {
  for (const [kind, table] of [["rows", rows], ["failures", failures]]) {
    for (let start = 0; start < table.count; start += data.chunk) {
      if (!(await load(kind, start / data.chunk))) return lost();
      if (selected) drawShown();
      else { // something to look at while the others load
        if (kind === "failures") view.kind = kind;
        refresh();
        select({ failure: kind === "failures", index: 0 });
      }
    }
  }
  refresh(view.page);
  drawBrightness();
}

function lost() {
  $("empty").textContent = "The folder “report” beside this page is not complete. Copy it again, or run zerodce enhance again.";
  $("empty").hidden = false;
}

// ---------------------------------------------------------------- the top of the page

function drawSummary() {
  const { counts = {}, megapixels = 0, seconds = 0 } = data.run;
  const shown = data.rows;
  $("headline").textContent = shown ? `${grouped(shown)} ${shown === 1 ? "photo" : "photos"} enhanced` : "No photo enhanced";
  document.title = `${$("headline").textContent} – zerodce`;
  const tiles = [["found", counts.found], ["enhanced now", counts.enhanced], ["kept from before", counts.skipped], ["failed", counts.failed], ["not photos", counts.ignored]];
  if (megapixels > 0) tiles.push(["megapixels", Math.round(megapixels)]);
  if (megapixels > 0 && seconds > 0) tiles.push(["MP/s", megapixels / seconds]);
  for (const [label, value] of tiles) {
    if (value === undefined || (value === 0 && label !== "failed")) continue;
    const text = grouped(value >= 100 ? Math.round(value) : Math.round(value * 10) / 10);
    $("counts").append(element("div", { class: label === "failed" && value ? "bad" : null }, element("dd", {}, text), element("dt", {}, label)));
  }
  const { interrupted, error } = data.run;
  $("notice").textContent = error ? `The run stopped: ${error}` : "The run was interrupted; start it again and it goes on.";
  $("notice").hidden = !interrupted && !error;
  const groups = { run: {} };
  for (const [name, value] of Object.entries(data.run)) {
    if (value !== null && typeof value === "object") groups[name] = value;
    else groups.run[name] = value;
  }
  for (const [name, settings] of Object.entries(groups)) {
    if (name === "counts") continue;
    const entries = Object.entries(settings).map(([key, value]) =>
      element("div", {}, element("dt", {}, key), element("dd", {}, value === null ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value))));
    $("made").append(element("section", {}, element("h3", {}, name.replaceAll("_", " ")), element("dl", {}, ...entries)));
  }
}

// How many photos have which mean: before and after, over [0, 1].
function drawBrightness() {
  const BINS = 40;
  if (rows.loaded < 3) return;
  const [before, after] = ["mean_input", "mean_enhanced"].map((column) => {
    const bins = new Array(BINS).fill(0);
    for (let i = 0; i < rows.loaded; i++) bins[Math.min(BINS - 1, Math.floor(number(column, i) * BINS))]++;
    return bins;
  });
  const highest = Math.max(...before, ...after);
  const outline = (bins) => {
    let path = "M0 96";
    bins.forEach((count, i) => { path += `V${(96 - (92 * count) / highest).toFixed(1)}H${((i + 1) * 320) / BINS}`; });
    return `${path}V96Z`;
  };
  const mean = (column) => { let sum = 0; for (let i = 0; i < rows.loaded; i++) sum += number(column, i); return fixed(sum / rows.loaded, 2); };
  const figure = $("brightness");
  figure.querySelector("path.before").setAttribute("d", outline(before));
  figure.querySelector("path.after").setAttribute("d", outline(after));
  figure.querySelector("svg").setAttribute("aria-label", `Mean brightness ${mean("mean_input")} before, ${mean("mean_enhanced")} after`);
  figure.querySelector("b.before").textContent = `before (mean ${mean("mean_input")})`;
  figure.querySelector("b.after").textContent = `after (${mean("mean_enhanced")})`;
  figure.hidden = false;
}

// ---------------------------------------------------------------- the list

const ROW_COLUMNS = [
  { id: "path", label: "Photo" },
  { id: "size", label: "Size", value: (i) => number("width", i) * number("height", i), text: (i) => dimensions(i) },
  { id: "mean_input", label: "Before", swatch: true, digits: 3, title: "Mean brightness before, 0 to 1" },
  { id: "mean_enhanced", label: "After", swatch: true, digits: 3, title: "Mean brightness after, 0 to 1" },
  { id: "psnr_enhanced_db", label: "Enhanced PSNR", digits: 1, unit: "dB", title: "Enhanced against the input: the lower, the more has changed" },
  { id: "psnr_autocontrast_db", label: "Autocontrast PSNR", digits: 1, unit: "dB", title: "Automatic contrast against the input" },
  { id: "psnr_enhanced_reference_db", label: "PSNR to reference", digits: 2, unit: "dB", optional: true },
  { id: "ssim_enhanced_reference", label: "SSIM to reference", digits: 3, optional: true },
];
const FAILURE_COLUMNS = [{ id: "path", label: "Photo" }, { id: "stage", label: "Stage" }, { id: "error", label: "What was wrong" }];

const failing = () => view.kind === "failures";
const columns = () => failing() ? FAILURE_COLUMNS : ROW_COLUMNS.filter((c) => !c.optional || rows.numbers[c.id]);
const valueOf = (column, index) => column.value ? column.value(index) : number(column.id, index);

// The rows that the filter leaves, in the order asked for; rows come sorted by path.
function arrange() {
  const wanted = view.text.toLowerCase();
  const table = failing() ? failures : rows;
  const has = (text) => text !== undefined && text.toLowerCase().includes(wanted);
  const order = [];
  for (let i = 0; i < table.loaded; i++) {
    if (view.kind === "notes" && !rows.notes.has(i)) continue;
    if (wanted && !has(table.path[i]) && !(failing() ? has(failures.error[i]) || has(failures.stage[i]) : has(rows.notes.get(i)))) continue;
    order.push(i);
  }
  const sign = view.descending ? -1 : 1;
  if (view.column === "path") {
    if (view.descending) order.reverse();
  } else if (failing()) {
    const texts = failures[view.column];
    order.sort((a, b) => sign * (texts[a] < texts[b] ? -1 : texts[a] > texts[b] ? 1 : 0) || a - b);
  } else {
    const column = ROW_COLUMNS.find((c) => c.id === view.column);
    const values = Float64Array.from({ length: rows.loaded }, (_, i) => valueOf(column, i));
    order.sort((a, b) => {
      const [x, y] = [values[a], values[b]];
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a - b; // none: last, either way
      return sign * (x < y ? -1 : x > y ? 1 : 0) || a - b;
    });
  }
  view.order = order;
}

const pageCount = () => Math.max(1, Math.ceil(view.order.length / PAGE_SIZE));

function refresh(page = 0) {
  arrange();
  view.page = page;
  drawKinds();
  drawPage();
}

function drawKinds() {
  const kinds = [["all", "All", rows.count], ["notes", "With notes", rows.notes.size], ["failures", "Failures", failures.count]];
  $("kinds").replaceChildren(...kinds.map(([kind, label, count]) =>
    element("button", { type: "button", "aria-pressed": String(view.kind === kind), "data-kind": kind }, label, element("span", {}, grouped(count)))));
}

function drawPage() {
  view.page = Math.min(Math.max(0, view.page), pageCount() - 1);
  const start = view.page * PAGE_SIZE;
  const shown = view.order.slice(start, start + PAGE_SIZE);
  $("table").querySelector("thead").replaceChildren(element("tr", {}, ...columns().map(headerCell)));
  $("table").querySelector("tbody").replaceChildren(...shown.map(failing() ? failureRow : photoRow));
  $("table").classList.toggle("failures", failing());
  $("table").hidden = !shown.length;
  drawShown();
  drawSteps();
  $("empty").hidden = shown.length > 0 || isLoading();
  $("empty").textContent = view.text ? `Nothing here is called “${view.text}”.` : { all: "There is no photo to show.", notes: "No photo has a note: all came out as they went in.", failures: "Nothing failed." }[view.kind];
  $("pager").hidden = pageCount() < 2;
  $("page").value = view.page + 1;
  $("page").max = pageCount();
  $("pages").textContent = grouped(pageCount());
  for (const button of $("pager").querySelectorAll("button")) button.disabled = turned(button.dataset.page) === view.page;
}

const isLoading = () => rows.loaded < rows.count || failures.loaded < failures.count;

function drawShown() {
  const [first, last] = [view.page * PAGE_SIZE + 1, Math.min((view.page + 1) * PAGE_SIZE, view.order.length)];
  const range = last ? `${grouped(first)} to ${grouped(last)} of ${grouped(view.order.length)}` : "";
  $("shown").textContent = isLoading() ? `Loading, ${grouped(rows.loaded)} of ${grouped(rows.count)}` : range;
}

// Where the selected photo is in the list as it is filtered and sorted; -1: not there.
const place = () => selected && selected.failure === failing() ? view.order.indexOf(selected.index) : -1;

function drawSteps() {
  $("previous").disabled = place() <= 0;
  $("next").disabled = place() >= view.order.length - 1;
}

const turned = (where) => ({ first: 0, previous: Math.max(0, view.page - 1), next: Math.min(view.page + 1, pageCount() - 1), last: pageCount() - 1 })[where];

function turnTo(page) {
  view.page = page;
  drawPage();
  $("list").scrollIntoView({ block: "start" });
}

function headerCell(column) {
  const sorted = view.column === column.id;
  return element("th", { scope: "col", class: column.id === "path" || failing() ? null : "number", "aria-sort": sorted ? (view.descending ? "descending" : "ascending") : null },
    element("button", { type: "button", "data-sort": column.id, title: column.title }, column.label));
}

function nameCell(path, picture, note) {
  const shown = shownName(path);
  const slash = shown.lastIndexOf("/") + 1;
  const button = element("button", { type: "button" }, element("span", { class: "folder" }, shown.slice(0, slash)), element("span", {}, shown.slice(slash)));
  return element("td", {}, element("div", { class: "name" }, picture, element("div", {}, button, note)));
}

function rowElement(target, ...cells) {
  const current = selected && selected.failure === target.failure && selected.index === target.index;
  const row = element("tr", { "aria-current": current ? "true" : null, onclick: () => select(target, true) }, ...cells);
  row.target = target;
  return row;
}

function photoRow(index) {
  const notes = rows.notes.get(index);
  const cells = columns().slice(1).map((column) => {
    const value = valueOf(column, index);
    const text = column.text ? column.text(index) : fixed(value, column.digits);
    const swatch = column.swatch ? element("i", { class: "swatch", style: `--level:${value}`, "aria-hidden": "true" }) : null;
    return element("td", { class: "number", "data-label": column.label }, swatch, text, column.unit && text !== "–" ? element("small", {}, ` ${column.unit}`) : null);
  });
  const { before, after } = pictures(index);
  const thumbs = data.thumbs[index] ? [before, after].map((src) => element("img", { src, alt: "", loading: "lazy", decoding: "async" })) : [];
  const pair = element("span", { class: thumbs.length ? "pair" : "pair none", "aria-hidden": "true" }, ...thumbs);
  const name = nameCell(rows.path[index], pair, notes ? element("p", { class: "note" }, notes) : null);
  return rowElement({ failure: false, index }, name, ...cells);
}

const failureRow = (index) => rowElement({ failure: true, index }, nameCell(failures.path[index], null, null),
  element("td", {}, element("span", { class: "reason" }, failures.stage[index].replaceAll("_", " "))), element("td", { class: "error" }, failures.error[index]));

// ---------------------------------------------------------------- the selected photo

function select(target, byHand = false) {
  selected = target;
  const { failure, index } = target;
  const path = shownName((failure ? failures : rows).path[index]);
  $("viewer").hidden = false;
  $("name").textContent = path;
  $("facts").replaceChildren(...(failure ? failureFacts(index) : photoFacts(index)));
  if (failure) show(null, originalOf(failures.path[index]), NaN, "This photo could not be enhanced, and the browser cannot show it either.");
  else {
    const { before, after } = pictures(index);
    show(before, after, number("width", index) / number("height", index), "There is no small picture of this photo, and the browser cannot show the full-size file. Open it with the links beside.");
  }
  const contrast = !failure && !Number.isNaN(number("psnr_autocontrast_db", index));
  $("autocontrast").hidden = !contrast;
  const baseline = $("autocontrast").querySelector("img");
  baseline.onerror = () => { $("autocontrast").hidden = true; };
  if (contrast) baseline.src = pictures(index).autocontrast;
  for (const row of $("table").querySelectorAll("tbody tr")) {
    if (row.target.failure === failure && row.target.index === index) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
  drawSteps();
  if (byHand && $("viewer").getBoundingClientRect().top < 0) $("viewer").scrollIntoView({ block: "start" });
}

// Shows a pair, or one picture where `before` is null; whatever cannot be loaded is left out.
function show(before, after, ratio, apology) {
  const compare = $("compare");
  const unseen = () => { compare.hidden = true; $("unseen").textContent = apology; $("unseen").hidden = false; };
  compare.hidden = false;
  $("unseen").hidden = true;
  compare.classList.toggle("single", before === null);
  if (!Number.isNaN(ratio)) compare.style.setProperty("--ratio", ratio);
  $("after").onload = () => { if (Number.isNaN(ratio)) compare.style.setProperty("--ratio", $("after").naturalWidth / $("after").naturalHeight); };
  $("after").onerror = unseen;
  $("before").onerror = () => compare.classList.add("single");
  if (before !== null) $("before").src = before;
  if (after === null) unseen();
  else $("after").src = after;
}

function fact(label, ...value) {
  return element("div", {}, element("dt", {}, label), element("dd", {}, ...value));
}

function photoFacts(index) {
  const at = (column) => number(column, index);
  const [before, after] = [at("mean_input"), at("mean_enhanced")];
  const facts = element("dl", { class: "facts" },
    fact("Brightness", `${fixed(before, 3)} → ${fixed(after, 3)}`,
      element("span", { class: "track", "aria-hidden": "true", style: `--from:${before};--to:${after}` }, element("i", { class: "before" }), element("i", { class: "after" }))),
    fact("PSNR to the input", `${fixed(at("psnr_enhanced_db"), 2)} dB`),
  );
  if (!Number.isNaN(at("psnr_autocontrast_db"))) facts.append(fact("… of autocontrast", `${fixed(at("psnr_autocontrast_db"), 2)} dB`));
  if (!Number.isNaN(at("exposure"))) facts.append(fact("Exposure", fixed(at("exposure"), 3)));
  facts.append(fact("Size", `${dimensions(index)}, ${fixed((at("width") * at("height")) / 1e6, 1)} MP`));
  if (rows.notes.has(index)) facts.append(fact("Notes", element("ul", {}, ...rows.notes.get(index).split(";").map((note) => element("li", {}, note.trim())))));
  const parts = [facts];
  const pairs = ["input", "autocontrast", "enhanced"].filter((kind) => !Number.isNaN(at(`psnr_${kind}_reference_db`)));
  if (pairs.length) {
    const line = (kind) => element("tr", {}, element("th", { scope: "row" }, kind), element("td", {}, `${fixed(at(`psnr_${kind}_reference_db`), 2)} dB`), element("td", {}, fixed(at(`ssim_${kind}_reference`), 3)));
    parts.push(element("table", { class: "reference" }, element("caption", {}, "Against the reference"),
      element("thead", {}, element("tr", {}, ...["", "PSNR", "SSIM"].map((label) => element("th", { scope: "col" }, label)))), element("tbody", {}, ...pairs.map(line))));
  }
  const full = fullSize(index);
  const links = [["Enhanced", full.after], ["Original", originalOf(rows.path[index])]];
  if (!Number.isNaN(at("psnr_autocontrast_db"))) links.push(["Autocontrast", full.autocontrast]);
  parts.push(linkLine(links));
  return parts;
}

function failureFacts(index) {
  const facts = element("dl", { class: "facts" }, fact("Failed at", failures.stage[index].replaceAll("_", " ")), fact("What was wrong", failures.error[index]));
  return [facts, linkLine([["Original", originalOf(failures.path[index])]])];
}

const linkLine = (links) => element("p", { class: "links" }, ...links.filter(([, href]) => href !== null).map(([label, href]) => element("a", { href, target: "_blank", rel: "noopener" }, label)));

function step(by) {
  const next = place() + by;
  if (next < 0 || next >= view.order.length) return;
  const page = Math.floor(next / PAGE_SIZE);
  if (page !== view.page) { view.page = page; drawPage(); }
  select({ failure: failing(), index: view.order[next] });
}

// ---------------------------------------------------------------- the slider

let split = 50; // percent of the width that shows the photo before

function setSplit(percent) {
  split = Math.min(100, Math.max(0, percent));
  $("compare").style.setProperty("--split", `${split}%`);
  $("handle").setAttribute("aria-valuenow", Math.round(split));
  $("handle").setAttribute("aria-valuetext", `${Math.round(split)} % before, ${100 - Math.round(split)} % after`);
}

function slideTo(event) {
  const box = $("compare").getBoundingClientRect();
  setSplit((100 * (event.clientX - box.left)) / box.width);
}

$("compare").addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || $("compare").classList.contains("single")) return;
  $("compare").setPointerCapture(event.pointerId);
  slideTo(event);
});
$("compare").addEventListener("pointermove", (event) => { if ($("compare").hasPointerCapture(event.pointerId)) slideTo(event); });
$("handle").addEventListener("keydown", (event) => {
  const steps = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100 };
  if (!(event.key in steps)) return;
  event.preventDefault();
  setSplit(split + steps[event.key]);
});

// ---------------------------------------------------------------- what the reader does

$("table").addEventListener("click", (event) => {
  const column = event.target.closest("[data-sort]")?.dataset.sort;
  if (!column) return;
  view.descending = view.column === column && !view.descending;
  view.column = column;
  refresh();
  $("table").querySelector(`[data-sort="${column}"]`).focus();
});
$("kinds").addEventListener("click", (event) => {
  const kind = event.target.closest("[data-kind]")?.dataset.kind;
  if (!kind) return;
  Object.assign(view, { kind, column: "path", descending: false });
  refresh();
  $("kinds").querySelector(`[data-kind="${kind}"]`).focus();
});
let typing;
$("text").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => { view.text = $("text").value.trim(); refresh(); }, 150);
});
$("filter").addEventListener("submit", (event) => event.preventDefault());
$("pager").addEventListener("click", (event) => {
  const where = event.target.closest("[data-page]")?.dataset.page;
  if (where) turnTo(turned(where));
});
$("page").addEventListener("change", () => turnTo(Number($("page").value) - 1));
$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input")) return;
  if (event.key === "n" || event.key === "N") step(1);
  else if (event.key === "p" || event.key === "P") step(-1);
  else if (event.key === "/") { event.preventDefault(); $("text").focus(); }
});

setSplit(50);
drawSummary();
refresh();
loadAll();
