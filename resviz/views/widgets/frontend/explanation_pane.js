// The map over the photograph: canvas, cell that is read, colour bar, note, checks.

import { element } from "./controls.js";

/** [top, left, bottom, right] of a map over all of the picture, in shares of it. */
export const WHOLE = [0, 0, 1, 1];

/** A canvas that shows pixels over the photograph, with its read-out, colour bar and checks. */
export function createReasonPane({ onCell }) {
  const canvas = element("canvas", { class: "rv-reason-picture", role: "img" });
  const cell = element("div", { class: "rv-cell", hidden: true });
  const frame = element(
    "div",
    { class: "rv-reason-frame", tabindex: "0", role: "group", "aria-label": "map, arrow keys read its values" },
    canvas,
    cell,
  );
  const [caption, bar] = [element("figcaption"), element("div")];
  const note = element("p", { class: "rv-reason-note" });
  const read = element("p", { class: "rv-reason-read", "aria-live": "polite" });
  const checks = element("div", { class: "rv-checks" });
  const node = element("figure", { class: "rv-reason" }, caption, frame, bar, note, read, checks);
  let shape = null;
  let ends = WHOLE; // of the map, as shares of the picture

  const under = (event) => {
    const box = canvas.getBoundingClientRect();
    if (!shape || !box.width) return null;
    const [top, left, bottom, right] = ends;
    const clamp = (share, count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)));
    const down = ((event.clientY - box.top) / box.height - top) / (bottom - top);
    const across = ((event.clientX - box.left) / box.width - left) / (right - left);
    if (ends !== WHOLE && [down, across].some((share) => share < 0 || share > 1)) return null;
    return { row: clamp(down, shape.height), column: clamp(across, shape.width) };
  };
  frame.addEventListener("pointermove", (event) => onCell(under(event), "hover"));
  frame.addEventListener("pointerleave", () => onCell(null, "hover"));
  frame.addEventListener("click", (event) => onCell(under(event), "lock"));
  return {
    ...{ node, canvas, frame, caption, bar, note, read, checks },
    setShape(wanted, within = WHOLE) {
      [shape, ends] = [wanted, within];
    },
    mark(place) {
      cell.hidden = !place || !shape;
      if (cell.hidden) return;
      const [top, left, bottom, right] = ends;
      cell.style.left = `${(left + (place.column / shape.width) * (right - left)) * 100}%`;
      cell.style.top = `${(top + (place.row / shape.height) * (bottom - top)) * 100}%`;
      cell.style.width = `${(100 / shape.width) * (right - left)}%`;
      cell.style.height = `${(100 / shape.height) * (bottom - top)}%`;
    },
  };
}

/** Pixels of an ImageData onto a canvas of their size. */
export function paintCanvas(canvas, pixels, height, width) {
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
}

/** RGB bytes as opaque pixels. */
export function opaquePixels(bytes) {
  const out = new Uint8ClampedArray((bytes.length / 3) * 4).fill(255);
  for (let place = 0; place < bytes.length / 3; place += 1) out.set(bytes.subarray(place * 3, place * 3 + 3), place * 4);
  return out;
}
