// The list of photos: filtered, sorted, a page at a time.
"use strict";

const PAGE_SIZE = 50;

const view = { kind: "all", text: "", column: "path", descending: false, order: [], page: 0 };

const ROW_COLUMNS = [
  { id: "path", label: "Photo" },
  { id: "size", label: "Size", value: (i) => number("width", i) * number("height", i), text: (i) => dimensions(i) },
  { id: "mean_input", label: "Before", swatch: true, digits: 3, title: "Mean brightness before, 0 to 1" },
  { id: "mean_enhanced", label: "After", swatch: true, digits: 3, title: "Mean brightness after, 0 to 1" },
  {
    id: "psnr_enhanced_db",
    label: "Enhanced PSNR",
    digits: 1,
    unit: "dB",
    title: "Enhanced against the input: the lower, the more has changed",
  },
  {
    id: "psnr_autocontrast_db",
    label: "Autocontrast PSNR",
    digits: 1,
    unit: "dB",
    title: "Automatic contrast against the input",
  },
  { id: "psnr_enhanced_reference_db", label: "PSNR to reference", digits: 2, unit: "dB", optional: true },
  { id: "ssim_enhanced_reference", label: "SSIM to reference", digits: 3, optional: true },
];
const FAILURE_COLUMNS = [
  { id: "path", label: "Photo" },
  { id: "stage", label: "Stage" },
  { id: "error", label: "What was wrong" },
];

const failing = () => view.kind === "failures";
const columns = () => (failing() ? FAILURE_COLUMNS : ROW_COLUMNS.filter((c) => !c.optional || rows.numbers[c.id]));
const valueOf = (column, index) => (column.value ? column.value(index) : number(column.id, index));

// The rows that the filter leaves, in the order asked for; rows come sorted by path.
function arrange() {
  const wanted = view.text.toLowerCase();
  const table = failing() ? failures : rows;
  const has = (text) => text !== undefined && text.toLowerCase().includes(wanted);
  const order = [];
  for (let i = 0; i < table.loaded; i++) {
    if (view.kind === "notes" && !rows.notes.has(i)) continue;
    if (view.kind === "kept" && !keepsOriginal(rows.path[i])) continue;
    if (
      wanted &&
      !has(table.path[i]) &&
      !(failing() ? has(failures.error[i]) || has(failures.stage[i]) : has(rows.notes.get(i)))
    )
      continue;
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
      // no value comes last, either way
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y) || a - b;
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
  const kinds = [
    ["all", "All", rows.count],
    ["notes", "With notes", rows.notes.size],
    ["kept", "To keep", keptRows()],
    ["failures", "Failures", failures.count],
  ];
  $("kinds").replaceChildren(
    ...kinds.map(([kind, label, count]) =>
      element(
        "button",
        { type: "button", "aria-pressed": String(view.kind === kind), "data-kind": kind },
        label,
        element("span", {}, grouped(count)),
      ),
    ),
  );
}

function drawPage() {
  view.page = Math.min(Math.max(0, view.page), pageCount() - 1);
  const start = view.page * PAGE_SIZE;
  const shown = view.order.slice(start, start + PAGE_SIZE);
  $("table")
    .querySelector("thead")
    .replaceChildren(element("tr", {}, ...columns().map(headerCell)));
  $("table")
    .querySelector("tbody")
    .replaceChildren(...shown.map(failing() ? failureRow : photoRow));
  $("table").classList.toggle("failures", failing());
  $("table").hidden = !shown.length;
  drawShown();
  drawSteps();
  $("empty").hidden = shown.length > 0 || isLoading();
  $("empty").textContent = view.text
    ? `Nothing here is called “${view.text}”.`
    : {
        all: "There is no photo to show.",
        notes: "No photo has a note: all came out as they went in.",
        kept: "Every photo gets its light: no original is to be kept.",
        failures: "Nothing failed.",
      }[view.kind];
  $("pager").hidden = pageCount() < 2;
  $("page").value = view.page + 1;
  $("page").max = pageCount();
  $("pages").textContent = grouped(pageCount());
  for (const button of $("pager").querySelectorAll("button"))
    button.disabled = turned(button.dataset.page) === view.page;
}

function drawShown() {
  const [first, last] = [view.page * PAGE_SIZE + 1, Math.min((view.page + 1) * PAGE_SIZE, view.order.length)];
  const range = last ? `${grouped(first)} to ${grouped(last)} of ${grouped(view.order.length)}` : "";
  $("shown").textContent = isLoading() ? `Loading, ${grouped(rows.loaded)} of ${grouped(rows.count)}` : range;
}

const turned = (where) =>
  ({
    first: 0,
    previous: Math.max(0, view.page - 1),
    next: Math.min(view.page + 1, pageCount() - 1),
    last: pageCount() - 1,
  })[where];

function turnTo(page) {
  view.page = page;
  drawPage();
  $("list").scrollIntoView({ block: "start" });
}

function headerCell(column) {
  const sorted = view.column === column.id;
  return element(
    "th",
    {
      scope: "col",
      class: column.id === "path" || failing() ? null : "number",
      "aria-sort": sorted ? (view.descending ? "descending" : "ascending") : null,
    },
    element("button", { type: "button", "data-sort": column.id, title: column.title }, column.label),
  );
}

function nameCell(path, picture, ...below) {
  const shown = shownName(path);
  const slash = shown.lastIndexOf("/") + 1;
  const button = element(
    "button",
    { type: "button" },
    element("span", { class: "folder" }, shown.slice(0, slash)),
    element("span", {}, shown.slice(slash)),
  );
  return element("td", {}, element("div", { class: "name" }, picture, element("div", {}, button, ...below)));
}

function rowElement(target, ...cells) {
  const current = selected && selected.failure === target.failure && selected.index === target.index;
  const row = element("tr", { "aria-current": current ? "true" : null, onclick: () => select(target, true) }, ...cells);
  row.target = target;
  return row;
}

function photoRow(index) {
  const notes = rows.notes.get(index);
  const cells = columns()
    .slice(1)
    .map((column) => {
      const value = valueOf(column, index);
      const text = column.text ? column.text(index) : fixed(value, column.digits);
      const swatch = column.swatch
        ? element("i", { class: "swatch", style: `--level:${value}`, "aria-hidden": "true" })
        : null;
      return element(
        "td",
        { class: "number", "data-label": column.label },
        swatch,
        text,
        column.unit && text !== "–" ? element("small", {}, ` ${column.unit}`) : null,
      );
    });
  const { before, after } = pictures(index);
  const thumbs = data.thumbs[index]
    ? [before, after].map((src) => element("img", { src, alt: "", loading: "lazy", decoding: "async" }))
    : [];
  const pair = element("span", { class: thumbs.length ? "pair" : "pair none", "aria-hidden": "true" }, ...thumbs);
  const choice = choices.get(rows.path[index]);
  const mark =
    choice === undefined ? null : element("p", { class: "mark" }, choice ? "Keep the original" : "Enhance again");
  const name = nameCell(rows.path[index], pair, mark, notes ? element("p", { class: "note" }, notes) : null);
  return rowElement({ failure: false, index }, name, ...cells);
}

const failureRow = (index) =>
  rowElement(
    { failure: true, index },
    nameCell(failures.path[index], null),
    element("td", {}, element("span", { class: "reason" }, failures.stage[index].replaceAll("_", " "))),
    element("td", { class: "error" }, failures.error[index]),
  );

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
  typing = setTimeout(() => {
    view.text = $("text").value.trim();
    refresh();
  }, 150);
});
$("filter").addEventListener("submit", (event) => event.preventDefault());
$("pager").addEventListener("click", (event) => {
  const where = event.target.closest("[data-page]")?.dataset.page;
  if (where) turnTo(turned(where));
});
$("page").addEventListener("change", () => turnTo(Number($("page").value) - 1));
