// The selected photo: before and after with the boundary to drag, autocontrast beside it, and what was measured.
"use strict";

let selected = null; // {failure: boolean, index}

function select(target, byHand = false) {
  selected = target;
  const { failure, index } = target;
  const path = shownName((failure ? failures : rows).path[index]);
  $("viewer").hidden = false;
  $("name").textContent = path;
  $("facts").replaceChildren(...(failure ? failureFacts(index) : photoFacts(index)));
  if (failure)
    show(
      null,
      originalOf(failures.path[index]),
      NaN,
      "This photo could not be enhanced, and the browser cannot show it either.",
    );
  else {
    const { before, after } = pictures(index);
    show(
      before,
      after,
      number("width", index) / number("height", index),
      "The browser cannot show the files of this photo. Open them with the links beside.",
    );
  }
  const contrast = !failure && !Number.isNaN(number("psnr_autocontrast_db", index));
  $("autocontrast").hidden = !contrast;
  const baseline = $("autocontrast").querySelector("img");
  baseline.onerror = () => {
    $("autocontrast").hidden = true;
  };
  if (contrast) baseline.src = pictures(index).autocontrast;
  for (const row of $("table").querySelectorAll("tbody tr")) {
    if (row.target.failure === failure && row.target.index === index) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
  drawSteps();
  drawKeep();
  if (byHand && $("viewer").getBoundingClientRect().top < 0) $("viewer").scrollIntoView({ block: "start" });
}

// Shows a pair, or one picture where `before` is null; whatever cannot be loaded is left out.
function show(before, after, ratio, apology) {
  const compare = $("compare");
  const unseen = () => {
    compare.hidden = true;
    $("unseen").textContent = apology;
    $("unseen").hidden = false;
  };
  compare.hidden = false;
  $("unseen").hidden = true;
  compare.classList.toggle("single", before === null);
  if (!Number.isNaN(ratio)) compare.style.setProperty("--ratio", ratio);
  $("after").onload = () => {
    if (Number.isNaN(ratio)) compare.style.setProperty("--ratio", $("after").naturalWidth / $("after").naturalHeight);
  };
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
  const facts = element(
    "dl",
    { class: "facts" },
    fact(
      "Brightness",
      `${fixed(before, 3)} → ${fixed(after, 3)}`,
      element(
        "span",
        { class: "track", "aria-hidden": "true", style: `--from:${before};--to:${after}` },
        element("i", { class: "before" }),
        element("i", { class: "after" }),
      ),
    ),
    fact("PSNR to the input", `${fixed(at("psnr_enhanced_db"), 2)} dB`),
  );
  if (!Number.isNaN(at("psnr_autocontrast_db")))
    facts.append(fact("… of autocontrast", `${fixed(at("psnr_autocontrast_db"), 2)} dB`));
  if (!Number.isNaN(at("exposure"))) facts.append(fact("Exposure", fixed(at("exposure"), 3)));
  facts.append(fact("Size", `${dimensions(index)}, ${fixed((at("width") * at("height")) / 1e6, 1)} MP`));
  if (rows.notes.has(index))
    facts.append(
      fact(
        "Notes",
        element(
          "ul",
          {},
          ...rows.notes
            .get(index)
            .split(";")
            .map((note) => element("li", {}, note.trim())),
        ),
      ),
    );
  const parts = [facts];
  const pairs = ["input", "autocontrast", "enhanced"].filter((kind) => !Number.isNaN(at(`psnr_${kind}_reference_db`)));
  if (pairs.length) {
    const line = (kind) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, kind),
        element("td", {}, `${fixed(at(`psnr_${kind}_reference_db`), 2)} dB`),
        element("td", {}, fixed(at(`ssim_${kind}_reference`), 3)),
      );
    parts.push(
      element(
        "table",
        { class: "reference" },
        element("caption", {}, "Against the reference"),
        element(
          "thead",
          {},
          element("tr", {}, ...["", "PSNR", "SSIM"].map((label) => element("th", { scope: "col" }, label))),
        ),
        element("tbody", {}, ...pairs.map(line)),
      ),
    );
  }
  const full = fullSize(index);
  const links = [
    ["Enhanced", full.after],
    ["Original", originalOf(rows.path[index])],
  ];
  if (!Number.isNaN(at("psnr_autocontrast_db"))) links.push(["Autocontrast", full.autocontrast]);
  parts.push(linkLine(links));
  return parts;
}

function failureFacts(index) {
  const facts = element(
    "dl",
    { class: "facts" },
    fact("Failed at", failures.stage[index].replaceAll("_", " ")),
    fact("What was wrong", failures.error[index]),
  );
  return [facts, linkLine([["Original", originalOf(failures.path[index])]])];
}

const linkLine = (links) =>
  element(
    "p",
    { class: "links" },
    ...links
      .filter(([, href]) => href !== null)
      .map(([label, href]) => element("a", { href, target: "_blank", rel: "noopener" }, label)),
  );

function step(by) {
  const next = place() + by;
  if (next < 0 || next >= view.order.length) return;
  const page = Math.floor(next / PAGE_SIZE);
  if (page !== view.page) {
    view.page = page;
    drawPage();
  }
  select({ failure: failing(), index: view.order[next] });
}

// Where the selected photo is in the list as it is filtered and sorted; -1: not there.
const place = () => (selected && selected.failure === failing() ? view.order.indexOf(selected.index) : -1);

function drawSteps() {
  $("previous").disabled = place() <= 0;
  $("next").disabled = place() >= view.order.length - 1;
}

slider($("compare"));
$("previous").addEventListener("click", () => step(-1));
$("next").addEventListener("click", () => step(1));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input")) return;
  if (event.key === "n" || event.key === "N") step(1);
  else if (event.key === "p" || event.key === "P") step(-1);
  else if (event.key === "k" || event.key === "K") toggleOriginal();
  else if (event.key === "/") {
    event.preventDefault();
    $("text").focus();
  }
});
