// The photograph: what speaks for the class, all classes as bars, and whether to believe it.

import { buttonControl, checkControl, element, rangeControl, selectControl } from "../controls.js";
import { opaquePixels, paintCanvas } from "../explanation_pane.js";
import { mapScale } from "../explanation_maps.js";
import { colourTable, overlayPart } from "../pixels.js";
import { searchControl } from "../search.js";
import { createBars } from "./bars.js";
import { createScale } from "./colours.js";
import { createKept } from "./kept.js";
import { createMapTiles } from "./map_tiles.js";
import { packedImage, putImage } from "./pictures.js";
import { largest } from "./scenes.js";
import { createStrip } from "./strip.js";
import { mapOverPhotograph } from "./tiles.js";
import { createTrust } from "./trust.js";
import { spreadWords, zeroWords } from "./words.js";

const FIELD = 224; // pixels of the map where there is no photograph
const KEPT = 24; // maps over the photograph, 0.2 MB each

/**
 * on: { class, contrast, method, opacity, image, files, check }. Returns { node, draw(state), drawMap(state), steps(state) };
 * steps: what makes its maps ready, one after the other.
 */
export function createPhotograph({ on, live }) {
  const parts = photographParts(on, live);
  const { title, frame, left, right, words, tiles, trust, strip, opacity } = parts;
  const node = element(
    "section",
    { class: "rv-part rv-photograph", "aria-label": "the photograph" },
    element("div", { class: "rv-part-heading" }, title),
    element("div", { class: "rv-photo-body" }, left, right),
    ...[words, tiles.node, trust.node, strip.node],
  );
  dragToFade(frame, () => opacity.get(), (value) => (opacity.set(value), on.opacity(value)));
  const drawMap = (state) => drawPhotographMap(parts, state);
  return {
    ...{ node, drawMap },
    *steps(state) {
      if (state.map.values) yield mapLook(parts, state);
      yield* tiles.steps(state.methodMaps, state.scene.picture);
    },
    draw(state) {
      drawChoices(parts, state);
      drawMap(state);
    },
  };
}

function photographParts(on, live) {
  const canvas = element("canvas", { class: "rv-explore-picture", role: "img" });
  const over = element("span", { class: "rv-explore-over" });
  const frame = element("div", { class: "rv-explore-frame", title: "drag to fade the map in and out" }, canvas, over);
  const opacity = rangeControl({
    ...{ label: "map", min: 0, max: 1, step: 0.05, value: 0.6, onChange: on.opacity },
    words: (value) => `${Math.round(value * 100)} %`,
  });
  const [scale, bars, folded] = [createScale(), createBars(on.class), foldedControls(on)];
  const search = searchControl({ label: "all classes", names: [], value: null, onChoose: on.class });
  return {
    ...{ canvas, over, frame, opacity, scale, bars, search, ...folded, kept: createKept(KEPT) },
    title: element("h3", { class: "rv-part-name" }),
    words: element("p", { class: "rv-map-words", "aria-live": "polite" }),
    tiles: createMapTiles({ label: "methods", onChoose: on.method }),
    ...{ trust: createTrust(on, live), strip: createStrip(on, live) },
    left: element("div", { class: "rv-photo-left" }, frame, element("div", { class: "rv-photo-scale" }, opacity.node, scale.node)),
    right: element("div", { class: "rv-photo-right" }, bars.node, search.node, folded.fold),
  };
}

function foldedControls(on) {
  const method = selectControl({ label: "method", onChange: on.method, title: "how the map is made" });
  const contrast = searchControl({ label: "minus the map of", names: [], value: null, onChoose: on.contrast, onEmpty: () => on.contrast(null), placeholder: "no class" });
  const none = buttonControl({ text: "no difference", className: "rv-small", onClick: () => on.contrast(null) });
  const whole = checkControl({ label: "whole file", value: false, onChange: on.whole, title: "the photograph as it is in its file; the network saw a part of it" });
  const box = element("div", { class: "rv-more-box" }, method.node, contrast.node, none.node, whole.node);
  return { method, contrast, none, whole, fold: element("details", { class: "rv-more" }, element("summary", {}, "method, A − B"), box) };
}

function drawChoices(parts, state) {
  const { header, contrast, index } = state;
  const { classes } = header;
  const rather = contrast === null ? "" : ` rather than ${classes[contrast]}`;
  parts.title.textContent = parts.title.title = state.className ? `what speaks for ${state.className}${rather}` : "the photograph";
  parts.bars.draw(state);
  const order = state.scene.numbers && largest(state.scene.numbers, classes.length); // the most probable first
  parts.search.setNames(classes, index, order);
  parts.search.hide(!classes.length);
  parts.contrast.setNames(classes, contrast, order);
  parts.none.node.hidden = contrast === null;
  parts.method.setOptions(state.methods, state.method);
  parts.fold.hidden = !state.methods.length;
  parts.whole.hide(!state.page?.originals?.[0]);
  parts.whole.set(state.whole);
  parts.strip.draw(state);
}

function drawPhotographMap(parts, state) {
  const { canvas, over, opacity, scale, words, tiles, trust } = parts;
  const { map, scene } = state;
  const look = map.values && mapLook(parts, state);
  opacity.set(state.opacity);
  canvas.setAttribute("aria-label", map.values ? `map for ${state.className} at ${state.place.name}` : "the photograph");
  const file = state.whole ? (state.page?.originals?.[0] ?? null) : null;
  if (file && map.values) paintFile(canvas, map, file, state.opacity);
  else if (look) putImage(canvas, look.image);
  else paintPlain(canvas, scene.picture);
  over.textContent = map.why ?? "";
  over.hidden = !map.why;
  words.textContent = look ? mapWords(look, state) : "";
  scale.node.hidden = !look || look.blank;
  if (look) scale.draw(look.scale, "evidence for the class, from none to the most of this map");
  tiles.node.hidden = state.methodMaps.length < 2;
  tiles.draw(state.methodMaps, scene.picture, state.method);
  trust.draw(state);
}

function paintPlain(canvas, picture) {
  if (picture) paintCanvas(canvas, opaquePixels(picture.pixels), picture.height, picture.width);
  else paintCanvas(canvas, new Uint8ClampedArray(4), 1, 1);
}

/** A map over the photograph, its scale, and what it says: { image, scale, words }; made once. */
function mapLook({ kept }, { map, scene: { picture }, opacity }) {
  return kept(map.values, [picture, opacity], () => {
    const field = picture ?? { height: FIELD, width: Math.round((FIELD * map.width) / map.height), pixels: null };
    const scale = mapScale(map.values, false);
    const pixels = mapOverPhotograph(map.values, map, scale, field, opacity);
    return { scale, image: packedImage(pixels, field.height, field.width), words: zeroWords(map.blank?.[0]) ?? spreadWords(map.values), blank: Boolean(map.blank?.length) };
  });
}

/** The map over the photograph in its file, of which the network saw a part. */
function paintFile(canvas, map, { pixels, frame, shown }, opacity) {
  const size = shown.slice(0, 2);
  const scale = mapScale(map.values, false);
  const seen = overlayPart(map.values, [map.height, map.width], scale, colourTable("viridis"), pixels, opacity, size, frame);
  paintCanvas(canvas, seen, ...size);
}

function mapWords({ words, blank }, { layer, place }) {
  const inside = blank || layer === place.key ? "" : ` Read inside the block, at ${layer.slice(place.name.length + 1)}.`;
  return words + inside;
}

/** A horizontal drag on the picture fades the map in and out. */
function dragToFade(frame, get, set) {
  let start = null;
  frame.addEventListener("pointerdown", (event) => {
    start = { x: event.clientX, value: get() };
    frame.setPointerCapture(event.pointerId);
  });
  frame.addEventListener("pointermove", (event) => {
    if (!start) return;
    const share = (event.clientX - start.x) / Math.max(1, frame.clientWidth);
    set(Math.max(0, Math.min(1, Math.round((start.value + share) * 20) / 20)));
  });
  for (const name of ["pointerup", "pointercancel"]) frame.addEventListener(name, () => (start = null));
}
