// Loads the rows, which come in scripts, because a page opened from a disk may not fetch; and starts the page.
"use strict";

const isLoading = () => rows.loaded < rows.count || failures.loaded < failures.count;

// Each data script calls this with the columns of its rows.
function receive(kind, start, columns) {
  if (kind === "failures") {
    for (const name of ["path", "stage", "error"]) failures[name].push(...columns[name]);
    failures.loaded += columns.path.length;
  } else {
    columns.path.forEach((path, i) => {
      rows.path[start + i] = path;
    });
    for (const name of ["output", "notes", "unwritten"])
      for (const [i, value] of Object.entries(columns[name] ?? {})) rows[name].set(start + Number(i), value);
    for (const [name, values] of Object.entries(columns.numbers)) {
      rows.numbers[name] ??= new Float64Array(rows.count).fill(NaN);
      values.forEach((value, i) => {
        if (value !== null) rows.numbers[name][start + i] = value;
      });
    }
    rows.loaded += columns.path.length;
  }
}

function load(kind, chunk) {
  return new Promise((resolve) => {
    const source = `report/data/${kind}-${String(chunk).padStart(5, "0")}.js`;
    document.head.append(
      element("script", { src: source, onload: () => resolve(true), onerror: () => resolve(false) }),
    );
  });
}

async function loadAll() {
  for (const [kind, table] of Object.entries({ rows, failures })) {
    for (let start = 0; start < table.count; start += data.chunk) {
      if (!(await load(kind, start / data.chunk))) return lost();
      if (selected) drawShown();
      else {
        // something to look at while the others load
        if (kind === "failures") view.kind = kind;
        refresh();
        select({ failure: kind === "failures", index: 0 });
      }
    }
  }
  refresh(view.page);
}

function lost() {
  $("empty").textContent =
    "The folder “report” beside this page is not complete. Copy it again, or run zerodce enhance again.";
  $("empty").hidden = false;
}

drawSummary();
drawBrightness();
refresh();
loadAll();
