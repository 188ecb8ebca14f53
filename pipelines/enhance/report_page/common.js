// What all the scripts of the page share: its data, and how numbers, names and addresses are written.
// Whatever stems from a file or its name is set as text or as an encoded address, never as markup.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);

const rows = {
  count: data.rows,
  loaded: 0,
  path: new Array(data.rows),
  output: new Map(),
  notes: new Map(),
  unwritten: new Map(), // folders without an image of the photo, which would be the original
  numbers: {},
};
const failures = { count: data.failures, loaded: 0, path: [], stage: [], error: [] };

const $ = (id) => document.getElementById(id);

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const grouped = (value) => value.toLocaleString("en");
const fixed = (value, digits) => (Number.isNaN(value) ? "–" : value === Infinity ? "∞" : value.toFixed(digits));
const dimensions = (index) => `${number("width", index)} × ${number("height", index)}`;
const number = (column, index) => (rows.numbers[column] ? rows.numbers[column][index] : NaN);

// Bytes of a file name that are no UTF-8 arrive as lone surrogates (U+DC80 to U+DCFF), as Python keeps them.
const shownName = (path) =>
  path.replace(/[\uD800-\uDBFF][\uDC00-\uDFFF]|[\uDC80-\uDCFF]/g, (c) => (c.length > 1 ? c : "\uFFFD"));
const address = (path) =>
  Array.from(path, (c) =>
    c === "/" ? c : /^[\uDC80-\uDCFF]$/.test(c) ? "%" + (c.charCodeAt(0) - 0xdc00).toString(16) : encodeURIComponent(c),
  ).join("");

const output = (index) => rows.output.get(index) ?? rows.path[index];
const originalOf = (path) => (data.originals === null ? null : `${data.originals}/${address(path)}`);

// The small pictures of a row, or the full-size files where it has none.
function pictures(index) {
  const name = data.thumbs[index];
  if (name)
    return {
      before: `report/thumbs/${name}-before.jpg`,
      after: `report/thumbs/${name}-after.jpg`,
      autocontrast: `report/thumbs/${name}-autocontrast.jpg`,
    };
  return { before: originalOf(rows.path[index]), ...fullSize(index) };
}
const fullSize = (index) => ({ after: imageOf("enhanced", index), autocontrast: imageOf("autocontrast", index) });
const isBeside = (folder) => folder === "enhanced" && data.run.settings?.beside; // its original, not in OUT
const imageOf = (folder, index) => {
  if (rows.unwritten.get(index)?.includes(folder)) return originalOf(rows.path[index]);
  return isBeside(folder) ? originalOf(output(index)) : `${folder}/${address(output(index))}`;
};
