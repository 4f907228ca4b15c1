// All photographs, small, and the way to add one.

import { buttonControl, element } from "../controls.js";
import { opaquePixels, paintCanvas } from "../explanation_pane.js";
import { arrayAt } from "../pixels.js";

const NO_KERNEL = "another photograph needs a running kernel; this page has none";

/** Returns { node, draw(state) }. */
export function createStrip(on, live) {
  const pictures = element("div", { class: "rv-strip", role: "group", "aria-label": "photographs" });
  const input = element("input", {
    ...{ type: "file", accept: "image/*", multiple: true, hidden: true, tabindex: "-1", "aria-label": "photographs from the disk" },
    onchange: () => (on.files([...input.files]), (input.value = "")),
  });
  const add = buttonControl({ text: "+ add", name: "Add a photograph", title: "or drop one anywhere on the view", className: "rv-strip-add", onClick: () => input.click() });
  if (!live) add.disable(NO_KERNEL);
  const node = element("div", { class: "rv-strip-row" }, pictures, add.node, input);
  let drawn = null;
  return {
    node,
    draw({ header, headerView, image, has }) {
      if (drawn !== header) {
        drawn = header;
        const read = (told) => told && { pixels: arrayAt(headerView, told), height: told.shape[0], width: told.shape[1] };
        pictures.replaceChildren(...header.photographs.map((one, number) => stripPhoto({ name: one.name, picture: read(one.picture) }, number, on)));
      }
      [...pictures.children].forEach((one, number) => {
        const chosen = String(number === image);
        if (chosen === "true" && one.getAttribute("aria-pressed") !== chosen) bringInto(pictures, one);
        one.setAttribute("aria-pressed", chosen);
        one.disabled = !live && !has.includes(number);
        if (one.disabled) one.title = NO_KERNEL;
      });
    },
  };
}

/** Scrolled within the row alone: scrollIntoView would move the notebook, too. */
function bringInto(row, one) {
  const from = one.offsetLeft - row.offsetLeft;
  row.scrollLeft = Math.min(from, Math.max(row.scrollLeft, from + one.offsetWidth - row.clientWidth));
}

/** A photograph as a button: { name, picture: { pixels, height, width } or null }. */
export function stripPhoto({ name, picture }, number, on) {
  const canvas = element("canvas", { class: "rv-strip-picture", "aria-hidden": "true", width: 1, height: 1 });
  if (picture) paintCanvas(canvas, opaquePixels(picture.pixels), picture.height, picture.width);
  const attributes = { type: "button", class: "rv-strip-photo", title: name, "aria-label": name, onclick: () => on.image(number) };
  return element("button", attributes, picture ? canvas : element("span", {}, `${number + 1}`));
}
