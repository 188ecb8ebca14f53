// The page of `zerodce try`: each photo with all its versions; one choice for all photos, and the command for it.
// Whatever stems from a file or its name is set as text, never as markup.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
let chosen = data.default; // number of the settings, which are the same for all photos
let command = data.photos.length ? data.photos[0].command : ""; // without options, for the photo that was clicked last

const NOISE = { auto: "noise removed", off: "noise kept" };
const EXPLAINED = { natural: "what the photo’s owner would keep", bright: "everything is lit, nights too" };
const LOOKS = [...new Set(data.settings.map(({ look }) => look))];

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const image = (photo, kind, version, attributes) =>
  element("img", { src: photo.pictures[version[kind]], alt: "", draggable: "false", ...attributes });
const brightness = (version) => version.mean.toFixed(2);

function versionButton(photo, index) {
  const [settings, version] = [data.settings[index], photo.versions[index]];
  const button = element(
    "button",
    { type: "button", class: "version", "data-settings": index, "aria-label": described(settings) },
    image(photo, "whole", version, { class: "whole" }),
    image(photo, "part", version, { class: "part" }),
    element(
      "p",
      {},
      `Strength ${settings.strength}`,
      element("span", {}, version.changed ? NOISE[settings.denoise] : "unchanged"),
    ),
  );
  button.addEventListener("click", () => {
    chosen = index;
    command = photo.command;
    drawChoice();
  });
  return button;
}

function lookBlock(photo, look) {
  const indices = data.settings.map((_, index) => index).filter((index) => data.settings[index].look === look);
  return element(
    "div",
    { class: "look" },
    element("h3", {}, `Look ${look} `, element("span", {}, `– ${EXPLAINED[look]}`)),
    element("div", { class: "versions" }, ...indices.map((index) => versionButton(photo, index))),
  );
}

const caption = (text) => element("figcaption", {}, text);

function photoSection(photo) {
  const compare = element(
    "div",
    { class: "compare", style: `--ratio:${photo.width / photo.height}` },
    image(photo, "whole", photo.original, { "data-kind": "whole", alt: "After" }),
    image(photo, "whole", photo.original, { class: "before-image", alt: "Before" }),
    element("span", { class: "tag before" }, "Original"),
    element("span", { class: "tag after" }),
    element(
      "div",
      {
        class: "handle",
        role: "slider",
        tabindex: "0",
        "aria-label": "Boundary between original and enhanced photo",
        "aria-orientation": "horizontal",
        "aria-valuemin": "0",
        "aria-valuemax": "100",
      },
      element("i"),
    ),
  );
  slider(compare);
  const parts = element(
    "div",
    { class: "parts" },
    element("figure", {}, image(photo, "part", photo.original, {}), caption("Original, 100 %")),
    element("figure", {}, image(photo, "part", photo.original, { "data-kind": "part" }), caption("Chosen, 100 %")),
  );
  const megapixels = ((photo.width * photo.height) / 1e6).toFixed(1);
  const name = photo.name.lastIndexOf("/") + 1;
  const size = `${photo.width} × ${photo.height}, ${megapixels} MP, brightness ${brightness(photo.original)}`;
  const section = element(
    "section",
    { class: "photo" },
    element(
      "h2",
      {},
      element("span", { class: "folder" }, photo.name.slice(0, name)),
      photo.name.slice(name),
      element("small", {}, size),
    ),
    element(
      "div",
      { class: "columns" },
      element("div", { class: "chosen-photo" }, element("div", { class: "stage" }, compare), parts),
      element("div", {}, ...LOOKS.map((look) => lookBlock(photo, look))),
    ),
  );
  section.photo = photo;
  return section;
}

const described = ({ look, strength, denoise }) => `Look ${look}, strength ${strength}, ${NOISE[denoise]}`;

function drawChoice() {
  for (const section of document.querySelectorAll(".photo")) {
    const version = section.photo.versions[chosen];
    for (const picture of section.querySelectorAll("[data-kind]"))
      picture.src = section.photo.pictures[version[picture.dataset.kind]];
    section.querySelector(".tag.after").textContent = version.changed
      ? `Brightness ${brightness(version)}`
      : "Unchanged";
    for (const button of section.querySelectorAll(".version"))
      button.setAttribute("aria-pressed", String(Number(button.dataset.settings) === chosen));
  }
  $("chosen").textContent = described(data.settings[chosen]);
  const parts = data.settings[chosen].options.map((option) => element("span", {}, option)); // of which none is broken
  $("command").replaceChildren(command, ...parts.flatMap((part) => [" ", part]));
  $("copy").textContent = "Copy";
}

async function copy() {
  const text = $("command").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // a browser may keep the clipboard from a page on a disk
    getSelection().selectAllChildren($("command"));
    if (!document.execCommand("copy")) return;
  }
  $("copy").textContent = "Copied";
}

$("photos").replaceChildren(...data.photos.map(photoSection));
$("failures").replaceChildren(...data.failures.map(({ name, error }) => element("li", {}, `${name}: ${error}`)));
$("failures").hidden = !data.failures.length;
$("bar").hidden = !data.photos.length;
if (data.photos.length) drawChoice();
$("copy").addEventListener("click", copy);
