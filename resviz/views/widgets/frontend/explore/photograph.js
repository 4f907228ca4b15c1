// The photograph: what speaks for the class, all classes as bars, and whether to believe it.

import { buttonControl, checkControl, element, rangeControl, searchControl, selectControl } from "../controls.js";
import { opaquePixels, paintCanvas } from "../explanation_pane.js";
import { checkOf, mapScale } from "../explanation_maps.js";
import { arrayAt, colourTable, overlayPart } from "../pixels.js";
import { putPacked } from "./anatomy.js";
import { largest } from "./scenes.js";
import { mapOverPhotograph } from "./tiles.js";
import { briefNumber, saidWords, spreadWords } from "./words.js";

const BARS = 5;
const FIELD = 224; // pixels of the map where there is no photograph

/** on: { class, contrast, method, opacity, image, files, check }. Returns { node, draw(state), drawMap(state) }. */
export function createPhotograph({ on, live }) {
  const title = element("h3", { class: "rv-part-name" });
  const canvas = element("canvas", { class: "rv-explore-picture", role: "img" });
  const over = element("span", { class: "rv-explore-over" });
  const frame = element("div", { class: "rv-explore-frame", title: "drag to fade the map in and out" }, canvas, over);
  const bars = element("div", { class: "rv-bars", role: "group", "aria-label": "classes" });
  const search = searchControl({ label: "all classes", names: [], value: null, onChoose: on.class });
  const opacity = rangeControl({
    ...{ label: "map", min: 0, max: 1, step: 0.05, value: 0.6, onChange: on.opacity },
    words: (value) => `${Math.round(value * 100)} %`,
  });
  const method = selectControl({ label: "method", onChange: on.method, title: "how the map is made" });
  const contrast = searchControl({ label: "minus the map of", names: [], value: null, onChoose: on.contrast, onEmpty: () => on.contrast(null), placeholder: "no class" });
  const none = buttonControl({ text: "no difference", className: "rv-small", onClick: () => on.contrast(null) });
  const whole = checkControl({ label: "whole file", value: false, onChange: on.whole, title: "the photograph as it is in its file; the network saw a part of it" });
  const folded = element("details", { class: "rv-more" }, element("summary", {}, "method, A − B"), element("div", { class: "rv-more-box" }, method.node, contrast.node, none.node, whole.node));
  const words = element("p", { class: "rv-map-words", "aria-live": "polite" });
  const trust = createTrust(on, live);
  const strip = createStrip(on, live);
  const left = element("div", { class: "rv-photo-left" }, frame, opacity.node);
  const right = element("div", { class: "rv-photo-right" }, bars, search.node, folded);
  const node = element(
    "section",
    { class: "rv-part rv-photograph", "aria-label": "the photograph" },
    element("div", { class: "rv-part-heading" }, title),
    element("div", { class: "rv-photo-body" }, left, right),
    words,
    trust.node,
    strip.node,
  );
  dragToFade(frame, () => opacity.get(), (value) => (opacity.set(value), on.opacity(value)));

  function drawMap(state) {
    const map = state.map;
    opacity.set(state.opacity);
    const picture = state.scene.picture;
    canvas.setAttribute("aria-label", map.values ? `map for ${state.className} at ${state.place.name}` : "the photograph");
    const file = state.whole ? (state.page?.originals?.[0] ?? null) : null;
    if (file && map.values) paintFile(canvas, map, file, state.opacity);
    else paintMap(canvas, map, picture, state.opacity);
    over.textContent = map.why ?? "";
    over.hidden = !map.why;
    words.textContent = map.values ? mapWords(map, state) : "";
    trust.draw(state);
  }
  return {
    node,
    drawMap,
    draw(state) {
      const rather = state.contrast === null ? "" : ` rather than ${state.header.classes[state.contrast]}`;
      title.textContent = state.className ? `what speaks for ${state.className}${rather}` : "the photograph";
      title.title = title.textContent;
      bars.replaceChildren(...classBars(state, on));
      search.setNames(state.header.classes, state.index);
      search.hide(!state.header.classes.length);
      contrast.setNames(state.header.classes, state.contrast);
      none.node.hidden = state.contrast === null;
      method.setOptions(state.methods, state.method);
      folded.hidden = !state.methods.length;
      whole.hide(!state.page?.originals?.[0]);
      whole.set(state.whole);
      strip.draw(state);
      drawMap(state);
    },
  };
}

function paintMap(canvas, map, picture, opacity) {
  if (!map.values) {
    if (picture) paintCanvas(canvas, opaquePixels(picture.pixels), picture.height, picture.width);
    else paintCanvas(canvas, new Uint8ClampedArray(4), 1, 1);
    return;
  }
  const field = picture ?? { height: FIELD, width: Math.round((FIELD * map.width) / map.height), pixels: null };
  putPacked(canvas, mapOverPhotograph(map.values, map, mapScale(map.values, false), field, opacity), field.height, field.width);
}

/** The map over the photograph in its file, of which the network saw a part. */
function paintFile(canvas, map, { pixels, frame, shown }, opacity) {
  const size = shown.slice(0, 2);
  const scale = mapScale(map.values, false);
  const seen = overlayPart(map.values, [map.height, map.width], scale, colourTable("viridis"), pixels, opacity, size, frame);
  paintCanvas(canvas, seen, ...size);
}

function mapWords(map, { layer, place }) {
  if (map.blank?.length) return map.blank[0];
  const where = layer === place.key ? "" : ` Read inside the block, at ${layer.slice(place.name.length + 1)}.`;
  return spreadWords(map.values) + where;
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

/** The most probable classes, and the chosen one, as bars that are buttons. */
function classBars({ header, scene, index }, on) {
  if (!scene.numbers) return [];
  const best = largest(scene.numbers, BARS);
  const listed = best.includes(index) || index === null ? best : [...best.slice(0, BARS - 1), index];
  const most = header.word === "value" ? Math.max(...listed.map((one) => Math.abs(scene.numbers[one]))) || 1 : 1;
  return listed.map((one) => classBar(one, { header, scene, index, most }, on));
}

function classBar(one, { header, scene, index, most }, on) {
  const [now, before] = [scene.numbers[one], scene.before?.[one]];
  const was = before === undefined ? "" : `, ${saidWords(before, header)} with all blocks`;
  const share = (value) => `${Math.max(0, Math.min(1, Math.abs(value) / most)) * 100}%`;
  const name = header.classes[one] ?? `class ${one}`;
  return element(
    "button",
    {
      ...{ type: "button", class: "rv-class-bar", "aria-pressed": String(one === index) },
      title: `${name}: ${header.word} ${saidWords(now, header)}${was}`,
      onclick: () => on.class(one),
    },
    element("span", { class: "rv-class-fill", style: `width: ${share(now)}` }),
    before === undefined ? null : element("span", { class: "rv-class-before", style: `left: ${share(before)}` }),
    element("span", { class: "rv-class-name" }, name),
    element("span", { class: "rv-class-odds" }, saidWords(now, header)),
  );
}

/** Whether to believe the map: measured when asked for. */
function createTrust(on, live) {
  const words = element("span", { class: "rv-trust-words" });
  const button = buttonControl({
    ...{ text: "is it to be trusted?", className: "rv-small", onClick: () => on.check() },
    title: "deletion and insertion of what the map names, against random maps: takes some seconds",
  });
  if (!live) button.disable("measuring needs a running kernel; this page has none");
  const node = element("p", { class: "rv-trust" }, words, button.node);
  return {
    node,
    draw({ explained, page, map, index, contrast, method, layer, header }) {
      const chosen = { image: 0, class: index, contrast, recorded: null, method, layer };
      const row = page && index !== null ? checkOf(page, chosen) : undefined;
      const lines = explained?.untrained ? ["The weights are untrained: there is nothing yet to explain."] : [];
      if (row) lines.push(checkWords(row));
      words.textContent = lines.join(" ");
      words.hidden = !lines.length;
      button.node.hidden = Boolean(row) || !map.values || header.word === "value";
    },
  };
}

function checkWords(row) {
  const part = (name) => `${name} ${briefNumber(row[name])} (random map ${briefNumber(row[`${name}_random`])})`;
  const known = ["deletion", "insertion"].filter((name) => row[name] !== null);
  return `${known.map(part).join(", ")}: ${row.words}`;
}

/** All photographs, small, and the way to add one. */
function createStrip(on, live) {
  const pictures = element("div", { class: "rv-strip", role: "group", "aria-label": "photographs" });
  const input = element("input", {
    ...{ type: "file", accept: "image/*", multiple: true, hidden: true, tabindex: "-1", "aria-label": "photographs from the disk" },
    onchange: () => (on.files([...input.files]), (input.value = "")),
  });
  const add = buttonControl({ text: "+ add", name: "Add a photograph", title: "or drop one anywhere on the view", className: "rv-strip-add", onClick: () => input.click() });
  if (!live) add.disable("another photograph needs a running kernel; this page has none");
  const node = element("div", { class: "rv-strip-row" }, pictures, add.node, input);
  let drawn = null;
  return {
    node,
    draw({ header, headerView, image, has }) {
      if (drawn !== header) {
        drawn = header;
        pictures.replaceChildren(...header.photographs.map((one, number) => stripNode(one, number, headerView, on)));
      }
      [...pictures.children].forEach((one, number) => {
        one.setAttribute("aria-pressed", String(number === image));
        one.disabled = !live && !has.includes(number);
        if (one.disabled) one.title = "another photograph needs a running kernel; this page has none";
      });
    },
  };
}

function stripNode(one, number, view, on) {
  const picture = element("canvas", { class: "rv-strip-picture", "aria-hidden": "true", width: 1, height: 1 });
  if (one.picture) {
    const [height, width] = one.picture.shape;
    paintCanvas(picture, opaquePixels(arrayAt(view, one.picture)), height, width);
  }
  return element(
    "button",
    { type: "button", class: "rv-strip-photo", title: one.name, "aria-label": one.name, onclick: () => on.image(number) },
    one.picture ? picture : element("span", {}, `${number + 1}`),
  );
}

