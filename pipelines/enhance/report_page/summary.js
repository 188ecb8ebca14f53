// The top of the page: what the run did; and at the foot, how.
"use strict";

function drawSummary() {
  const { counts = {}, megapixels = 0, seconds = 0 } = data.run;
  const shown = data.all_rows;
  const changed = shown - (counts.unchanged ?? 0);
  const headline = changed ? `${grouped(changed)} ${changed === 1 ? "photo" : "photos"} enhanced` : "No photo enhanced";
  $("headline").textContent =
    changed === shown ? headline : `${headline}, ${grouped(shown - changed)} of ${grouped(shown)} unchanged`;
  document.title = `${$("headline").textContent} – zerodce`;
  const tiles = [
    ["found", counts.found],
    ["enhanced now", counts.enhanced],
    ["kept from before", counts.skipped],
    ["failed", counts.failed],
    ["not photos", counts.ignored],
  ];
  if (megapixels > 0) tiles.push(["megapixels", Math.round(megapixels)]);
  if (megapixels > 0 && seconds > 0) tiles.push(["MP/s", megapixels / seconds]);
  for (const [label, value] of tiles) {
    if (value === undefined || (value === 0 && label !== "failed")) continue;
    const text = grouped(value >= 100 ? Math.round(value) : Math.round(value * 10) / 10);
    $("counts").append(
      element(
        "div",
        { class: label === "failed" && value ? "bad" : null },
        element("dd", {}, text),
        element("dt", {}, label),
      ),
    );
  }
  const { interrupted, error } = data.run;
  $("notice").textContent = error
    ? `The run stopped: ${error}`
    : "The run was interrupted; start it again and it goes on.";
  $("notice").hidden = !interrupted && !error;
  $("part").textContent = shownPart();
  $("part").hidden = !$("part").textContent;
  const groups = { run: {} };
  for (const [name, value] of Object.entries(data.run)) {
    if (value !== null && typeof value === "object") groups[name] = value;
    else groups.run[name] = value;
  }
  for (const [name, settings] of Object.entries(groups)) {
    if (name === "counts") continue;
    const entries = Object.entries(settings).map(([key, value]) =>
      element(
        "div",
        {},
        element("dt", {}, key),
        element("dd", {}, value === null ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value)),
      ),
    );
    $("made").append(
      element("section", {}, element("h3", {}, name.replaceAll("_", " ")), element("dl", {}, ...entries)),
    );
  }
}

// What the page leaves out of a very large run.
function shownPart() {
  const parts = [];
  if (data.rows < data.all_rows)
    parts.push(
      `${grouped(data.rows)} of ${grouped(data.all_rows)} photos are shown: an even sample, and the darkest, ` +
        "the most and the least changed. The table metrics.csv has all.",
    );
  if (data.failures < data.all_failures)
    parts.push(
      `The first ${grouped(data.failures)} of ${grouped(data.all_failures)} failures are shown. The table failures.csv has all.`,
    );
  return parts.join(" ");
}

// How many photos have which mean: before and after, over [0, 1].
function drawBrightness() {
  if (data.all_rows < 3) return;
  const { before, after } = data.brightness;
  const highest = Math.max(...before.bins, ...after.bins);
  const outline = ({ bins }) => {
    let path = "M0 96";
    bins.forEach((count, i) => {
      path += `V${(96 - (92 * count) / highest).toFixed(1)}H${((i + 1) * 320) / bins.length}`;
    });
    return `${path}V96Z`;
  };
  const figure = $("brightness");
  figure.querySelector("path.before").setAttribute("d", outline(before));
  figure.querySelector("path.after").setAttribute("d", outline(after));
  figure
    .querySelector("svg")
    .setAttribute("aria-label", `Mean brightness ${fixed(before.mean, 2)} before, ${fixed(after.mean, 2)} after`);
  figure.querySelector("b.before").textContent = `before (mean ${fixed(before.mean, 2)})`;
  figure.querySelector("b.after").textContent = `after (${fixed(after.mean, 2)})`;
  figure.hidden = false;
}
