// The map over the photograph: canvas, cell that is read, colour bar, note, checks.

import { element } from "./controls.js";

/** [top, left, bottom, right] of a map over all of the picture, in shares of it. */
export const WHOLE = [0, 0, 1, 1];

const MOVED = 4; // pixels from which a press is a drag

/**
 * A canvas that shows pixels over the photograph, with its read-out, colour bar and checks.
 *
 * on: { cell(place, "hover" | "lock"), fade(change) }: a drag sideways fades by a share of the width.
 */
export function createReasonPane({ on }) {
  const parts = paneParts();
  const { canvas, cell, frame } = parts;
  const map = { shape: null, ends: WHOLE }; // of the map, as shares of the picture
  listenToPane(frame, on, (event) => placeUnder(canvas, map, event));
  return {
    ...parts,
    setShape(shape, ends = WHOLE) {
      Object.assign(map, { shape, ends });
    },
    /** As large as there is room for: the frame has the picture's proportions. */
    setSize: (height, width) => frame.style.setProperty("--rv-aspect", String(width / Math.max(1, height))),
    mark: (place) => markCell(cell, map, place),
  };
}

function paneParts() {
  const canvas = element("canvas", { class: "rv-reason-picture", role: "img" });
  const cell = element("div", { class: "rv-cell", hidden: true });
  const frame = element(
    "div",
    { class: "rv-reason-frame", tabindex: "0", role: "group", "aria-label": "map, arrow keys read its values", title: "drag sideways to fade the map in and out" },
    canvas,
    cell,
  );
  return {
    ...{ canvas, cell, frame },
    stage: element("div", { class: "rv-reason-stage" }, frame),
    bar: element("div", { class: "rv-reason-bar" }),
    note: element("p", { class: "rv-reason-note" }),
    read: element("p", { class: "rv-reason-read", "aria-live": "polite" }),
    checks: element("div", { class: "rv-checks" }),
  };
}

/** The cell of the map under the pointer; null outside of it. */
function placeUnder(canvas, { shape, ends }, event) {
  const box = canvas.getBoundingClientRect();
  if (!shape || !box.width) return null;
  const [top, left, bottom, right] = ends;
  const clamp = (share, count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)));
  const down = ((event.clientY - box.top) / box.height - top) / (bottom - top);
  const across = ((event.clientX - box.left) / box.width - left) / (right - left);
  if (ends !== WHOLE && [down, across].some((share) => share < 0 || share > 1)) return null;
  return { row: clamp(down, shape.height), column: clamp(across, shape.width) };
}

/** The pointer reads; a press that stays locks what it reads; a drag fades the map. */
function listenToPane(frame, on, placeAt) {
  let [start, dragged] = [null, false];
  frame.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    [start, dragged] = [event.clientX, false];
    frame.setPointerCapture(event.pointerId);
  });
  frame.addEventListener("pointermove", (event) => {
    if (start === null) return on.cell(placeAt(event), "hover");
    dragged ||= Math.abs(event.clientX - start) > MOVED;
    if (!dragged) return;
    on.fade((event.clientX - start) / Math.max(1, frame.clientWidth));
    start = event.clientX;
  });
  frame.addEventListener("pointerleave", () => on.cell(null, "hover"));
  for (const name of ["pointerup", "pointercancel"]) frame.addEventListener(name, () => (start = null));
  frame.addEventListener("click", (event) => dragged || on.cell(placeAt(event), "lock"));
}

function markCell(cell, { shape, ends }, place) {
  cell.hidden = !place || !shape;
  if (cell.hidden) return;
  const [top, left, bottom, right] = ends;
  const style = {
    left: left + (place.column / shape.width) * (right - left),
    top: top + (place.row / shape.height) * (bottom - top),
    width: (right - left) / shape.width,
    height: (bottom - top) / shape.height,
  };
  for (const [side, share] of Object.entries(style)) cell.style[side] = `${share * 100}%`;
}

/** Pixels of an ImageData onto a canvas of their size. */
export function paintCanvas(canvas, pixels, height, width) {
  [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
}

/** RGB bytes as opaque pixels. */
export function opaquePixels(bytes) {
  const out = new Uint8ClampedArray((bytes.length / 3) * 4).fill(255);
  for (let from = 0, to = 0; from < bytes.length; from += 3, to += 4) [out[to], out[to + 1], out[to + 2]] = [bytes[from], bytes[from + 1], bytes[from + 2]];
  return out;
}
