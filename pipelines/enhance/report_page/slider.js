// A pair of pictures with a boundary to drag: on its left the photo before, on its right the photo after.
"use strict";

// Makes a `.compare` element work by mouse, finger and keyboard. If it has the class "single", it shows one picture and
// has no boundary.
function slider(compare) {
  const handle = compare.querySelector(".handle");
  let split; // percent of the width that shows the photo before

  function setSplit(percent) {
    split = Math.min(100, Math.max(0, percent));
    compare.style.setProperty("--split", `${split}%`);
    handle.setAttribute("aria-valuenow", Math.round(split));
    handle.setAttribute("aria-valuetext", `${Math.round(split)} % before, ${100 - Math.round(split)} % after`);
  }

  function slideTo(event) {
    const box = compare.getBoundingClientRect();
    setSplit((100 * (event.clientX - box.left)) / box.width);
  }

  compare.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || compare.classList.contains("single")) return;
    compare.setPointerCapture(event.pointerId);
    slideTo(event);
  });
  compare.addEventListener("pointermove", (event) => {
    if (compare.hasPointerCapture(event.pointerId)) slideTo(event);
  });
  handle.addEventListener("keydown", (event) => {
    const steps = {
      ArrowLeft: -2,
      ArrowDown: -2,
      ArrowRight: 2,
      ArrowUp: 2,
      PageDown: -10,
      PageUp: 10,
      Home: -100,
      End: 100,
    };
    if (!(event.key in steps)) return;
    event.preventDefault();
    setSplit(split + steps[event.key]);
  });
  setSplit(50);
}
