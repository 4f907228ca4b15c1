// The large map of an explanation: painted over the photograph, read cell by cell.

import { barNode } from "./map_panes.js";
import { altWords, blankWords, hintWords, insideMap, placeReading } from "./explanation_look.js";
import { enlargedPixels } from "./explanation_maps.js";
import { WHOLE, opaquePixels, paintCanvas } from "./explanation_pane.js";
import { element } from "./controls.js";
import { colourTable, overlayPart, overlayPixels, resizedBilinear } from "./pixels.js";

const LEAST = 224; // pixels; smaller photographs are enlarged by a whole number

/** The photograph in its file, of which the network saw a part; null where it is not known, or the layer is another input's. */
export const originalOf = ({ data, state }) => (data.over[state.layer] ? null : data.originals[state.image]);

/** The photograph under the map, and where the map is in it: { pixels, height, width, frame }. */
export function photographNow(view) {
  const { data, state, photographs } = view;
  const { image, layer } = state;
  const original = state.under === "file" ? originalOf(view) : null;
  const over = data.over[layer] ?? data;
  const [height, width] = original?.shown ?? over.size;
  const key = `${image} ${original ? "in its file" : data.over[layer] ? layer : ""}`;
  const times = Math.max(1, Math.ceil(LEAST / Math.max(height, width, 1)));
  if (!photographs.has(key)) {
    const length = height * width * 3;
    const pixels = original?.pixels ?? (over.pictures && over.pictures.subarray(image * length, (image + 1) * length));
    photographs.set(key, pixels && enlargedPixels(pixels, height, width, times));
  }
  return { pixels: photographs.get(key), height: height * times, width: width * times, frame: original?.frame ?? WHOLE };
}

/** Paint what is shown; `name`: of the target. */
export function drawReasonMap(view, name) {
  const { pane, shown, state, picture } = view;
  const { pixels, height, width, frame } = picture;
  pane.setSize(height, width);
  if (!shown.values) return drawNoMap(view, name);
  const colours = colourTable(shown.scale.signed ? "signed" : state.colours);
  /** @type {[number, number][]} */
  const [small, large] = [[shown.height, shown.width], [height, width]];
  const over = frame === WHOLE
    ? overlayPixels(resizedBilinear(shown.values, ...small, ...large), shown.scale, colours, pixels, state.opacity)
    : overlayPart(shown.values, small, shown.scale, colours, pixels, state.opacity, large, frame);
  paintCanvas(pane.canvas, over, height, width);
  pane.canvas.setAttribute("aria-label", altWords(name, state, shown));
  const none = shown.signed && shown.values.every((value) => value >= 0) ? "no value is below 0" : "";
  const alone = pixels ? "" : "this network has no pictures";
  pane.note.textContent = [shown.note, blankWords(view.data, state, shown) || none, alone].filter(Boolean).join("; ");
  pane.bar.replaceChildren(barNode(shown.scale, state.colours));
  pane.setShape({ height: shown.height, width: shown.width }, frame);
  if (view.cursor) view.cursor = insideMap(view.cursor, shown);
  drawReading(view);
}

/** The photograph alone, and why there is no map. */
function drawNoMap(view, name) {
  const { pane, shown, picture } = view;
  const blank = picture.pixels ?? new Uint8Array(picture.height * picture.width * 3).fill(128);
  paintCanvas(pane.canvas, opaquePixels(blank), picture.height, picture.width);
  pane.canvas.setAttribute("aria-label", `no map: ${shown.reason}`);
  pane.note.textContent = `No map of ${name} here: ${shown.reason}`;
  pane.bar.replaceChildren();
  pane.setShape(null);
  drawReading(view);
}

/** What the pointer or the cursor stands on, in words and on the colour bar. */
export function drawReading(view) {
  const { pane, shown, hovered, cursor, picture, data } = view;
  const place = hovered ?? cursor;
  pane.mark(shown.values ? place : null);
  pane.bar.querySelector(".rv-reason-mark")?.remove();
  if (!place || !shown.values) {
    pane.read.textContent = shown.values ? hintWords(shown) : "";
    return;
  }
  const at = insideMap(place, shown);
  const whole = picture.frame === WHOLE;
  pane.read.textContent = placeReading(at, shown, whole ? data.size : originalOf(view).size, picture.frame, whole);
  const value = shown.values[at.row * shown.width + at.column];
  const { low, high } = shown.scale;
  const share = Number.isFinite(value) ? Math.max(0, Math.min(1, (value - low) / (high - low))) : 0;
  pane.bar.firstElementChild?.append(element("span", { class: "rv-reason-mark", style: `left: ${share * 100}%` }));
}
