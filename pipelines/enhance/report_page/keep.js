// Photos of which the owner wants the original: chosen in the viewer, and saved as the list of `--keep-original`.
"use strict";

const KEPT_BY_RUN = new Set(data.kept ?? []); // paths in the list of this run
const STORE = `zerodce keep-original ${location.pathname}`;
const choices = storedChoices(); // what the owner chose since: path -> whether the original is kept

function storedChoices() {
  try {
    const stored = Object.entries(JSON.parse(localStorage.getItem(STORE)) ?? {});
    return new Map(stored.filter(([path, keep]) => keep !== KEPT_BY_RUN.has(path))); // a run did the others
  } catch {
    return new Map(); // the browser stores nothing, or the entry is damaged
  }
}

const keepsOriginal = (path) => choices.get(path) ?? KEPT_BY_RUN.has(path);
const canBeListed = (path) => !/[\r\n]/.test(path); // a list has one path on each line

function keepOriginal(path, keep) {
  if (keep === KEPT_BY_RUN.has(path)) choices.delete(path);
  else choices.set(path, keep);
  try {
    localStorage.setItem(STORE, JSON.stringify(Object.fromEntries(choices)));
  } catch {
    // the choice holds until the page is closed
  }
}

const keptPaths = () =>
  [...new Set([...KEPT_BY_RUN, ...choices.keys()])].filter((path) => keepsOriginal(path)).sort();

const keptRows = () => (keptPaths().length ? rows.path.filter(keepsOriginal).length : 0);

// The list as a file. A byte of a name that is no UTF-8 is written as this byte; see `shownName`.
function keptList() {
  const lines = ["# Photos that stay as they are: zerodce enhance PHOTOS OUT --keep-original keep-original.txt"];
  lines.push(...keptPaths().map((path) => (path.startsWith("#") || path.startsWith("./") ? `./${path}` : path)));
  const parts = Array.from(`${lines.join("\n")}\n`, (c) =>
    /^[\uDC80-\uDCFF]$/.test(c) ? new Uint8Array([c.charCodeAt(0) - 0xdc00]) : c,
  );
  return new Blob(parts, { type: "text/plain" });
}

function toggleOriginal() {
  if ($("keep").hidden) return;
  const path = rows.path[selected.index];
  keepOriginal(path, !keepsOriginal(path));
  drawKeep();
  refresh(view.page);
}

// The button of the selected photo, and the line with the list.
function drawKeep() {
  const path = selected && !selected.failure ? rows.path[selected.index] : null;
  $("keep").hidden = path === null || !canBeListed(path);
  if (path !== null) $("keep").setAttribute("aria-pressed", String(keepsOriginal(path)));
  const count = keptPaths().length;
  $("kept").hidden = !count && !choices.size;
  $("kept-count").textContent = `${grouped(count)} ${count === 1 ? "original" : "originals"} to keep.`;
  $("kept-next").hidden = !choices.size;
}

$("keep").addEventListener("click", toggleOriginal);
$("kept-list").addEventListener("click", () => {
  const href = URL.createObjectURL(keptList());
  element("a", { href, download: "keep-original.txt" }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
});
