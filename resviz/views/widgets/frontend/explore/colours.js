// A scale in its colours, and small movements.

import { element } from "../controls.js";
import { colourTable } from "../pixels.js";
import { briefNumber } from "./words.js";

const STEP = 150; // milliseconds

/** All 256 colours of a table, from left to right, onto a canvas. */
export function paintColours(canvas, name) {
  if (canvas.dataset.colours === name) return;
  [canvas.width, canvas.height, canvas.dataset.colours] = [256, 1, name];
  const table = colourTable(name);
  const pixels = new Uint8ClampedArray(1024).fill(255);
  for (let at = 0; at < 256; at += 1) pixels.set(table.subarray(at * 3, at * 3 + 3), at * 4);
  canvas.getContext("2d").putImageData(new ImageData(pixels, 256, 1), 0, 0);
}

/** "0 ▓▓▓ 11"; around 0 the colours are named, for then they are others, where there is room. Returns { node, draw(scale, title) }. */
export function createScale() {
  const [low, high] = [element("span"), element("span")];
  const named = (words) => element("span", { class: "rv-scale-word" }, words);
  const canvas = element("canvas", { class: "rv-scale-colours", width: 256, height: 1, "aria-hidden": "true" });
  const node = element("span", { class: "rv-scale rv-faint" }, low, canvas, high);
  let was = null;
  return {
    node,
    /** scale: { low, high, signed, colours? }. */
    draw(scale, title) {
      paintColours(canvas, scale.signed ? "signed" : (scale.colours ?? "viridis"));
      low.replaceChildren(briefNumber(scale.low), ...(scale.signed ? [named(" blue")] : []));
      high.replaceChildren(...(scale.signed ? [named("red ")] : []), briefNumber(scale.high));
      node.title = `${title}${scale.signed ? "; blue is below 0, white is 0, red is above" : ""}`;
      if (was !== null && was !== scale.signed) moved(canvas, [{ opacity: 0 }, { opacity: 1 }]);
      was = scale.signed;
    },
  };
}

/** A short animation, unless the reader wants none. */
export function moved(node, frames, duration = STEP) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  node.animate(frames, { duration, easing: "ease-out" });
}
