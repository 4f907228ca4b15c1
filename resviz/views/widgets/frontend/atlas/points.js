// The tab of images: dots and pictures in a plane, a lasso, and what the chosen have in common.

import { element, selectControl } from "../controls.js";
import { judgedWords } from "./data.js";
import { countWords } from "../explore/words.js";
import { commonOf, nearestPoint, placesOn, pointsWithin } from "./lasso.js";
import { readyCanvas } from "./sheets.js";
import { percent } from "./state.js";

const COLOURS = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#b8a800", "#8c564b", "#7f7f7f", "#6a3d9a"];
const THUMB = 24; // pixels of a picture in the plane
const NEAR = 40;
const LISTED = 6;
const LEGEND = 20; // classes whose colours are listed
const CLOSE = 14; // pixels from a point that is pointed at

/** on: { channel(layer, channel) }. Returns { node, draw(atlas, painter), again }. */
export function createPoints({ on }) {
  const canvas = element("canvas", { class: "rv-atlas-plane", role: "img" });
  const choice = selectControl({ label: "Choose", options: [], onChange: (index) => chooseClass(index), title: "or draw a line around some" });
  const facts = element("p", { class: "rv-facts rv-faint" });
  const list = element("div", { class: "rv-atlas-common", "aria-live": "polite" });
  const legend = element("div", { class: "rv-atlas-legend", role: "group", "aria-label": "classes by colour" });
  const under = element("p", { class: "rv-readout" });
  const plane = element("div", { class: "rv-atlas-plane-room" }, canvas);
  const side = element("section", { class: "rv-atlas-panel rv-atlas-chosen", "aria-label": "what the chosen have in common", tabindex: "0" }, choice.node, legend, facts, under, list);
  const node = element("div", { class: "rv-atlas-points", hidden: true }, plane, side);
  /** @type {any} */
  const tab = { canvas, plane, list, legend, under, on, atlas: null, painter: null, chosen: new Set(), pointed: -1, line: null, tiles: [] };
  const chooseClass = (index) => choose(tab, index < 0 ? [] : Array.from(tab.atlas.points.class.keys()).filter((n) => tab.atlas.points.class[n] === index), index);
  listen(tab, choice);
  return {
    node,
    again: () => paint(tab),
    draw(atlas, painter) {
      if (tab.atlas !== atlas) {
        Object.assign(tab, { atlas, painter });
        const { points, classes, layers } = atlas;
        choice.setOptions([{ value: -1, label: "nothing" }, ...classes.map((label, value) => ({ value, label }))], -1);
        facts.textContent = `${countWords(points.image.length)} images by ${layers[points.layer].key}, ${points.method.toUpperCase()} of mean activations${classes.length > COLOURS.length ? `; ${classes.length} classes share ${COLOURS.length} colours` : ""}`;
        canvas.setAttribute("aria-label", facts.textContent);
        legend.replaceChildren(...legendNodes(classes, (index) => (choice.set(index), chooseClass(index))));
        choose(tab, []);
      }
      paint(tab);
    },
  };
}

function listen(tab, choice) {
  const { canvas } = tab;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    tab.line = [at(event)];
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!tab.line) return point(tab, nearestPoint(tab.places, at(event), CLOSE));
    tab.line.push(at(event));
    paint(tab);
  });
  canvas.addEventListener("pointerup", () => {
    const line = tab.line ?? [];
    tab.line = null;
    choice.set(-1);
    choose(tab, line.length > 2 ? pointsWithin(tab.places, line) : []);
  });
}

/** The colour of each class; a click chooses its images. Nothing where there are too many. */
function legendNodes(classes, run) {
  if (classes.length > LEGEND) return [];
  return classes.map((name, index) => {
    const mark = element("i", { "aria-hidden": "true" });
    mark.style.background = COLOURS[index % COLOURS.length];
    return element("button", { type: "button", class: "rv-atlas-colour", title: `the images of ${name}`, "aria-pressed": "false", onclick: () => run(index) }, mark, element("span", {}, name));
  });
}

/** Say what image lies there, and outline it; -1: none. */
function point(tab, n) {
  if (n === tab.pointed) return;
  tab.pointed = n;
  const { points, classes, pictures, outputs } = tab.atlas;
  const place = n < 0 ? undefined : pictures.place.get(points.image[n]);
  const known = place === undefined ? [classes[points.class?.[n]]] : [pictures.names[place], judgedWords(classes[pictures.label[place]], outputs[pictures.prediction[place]])];
  tab.under.textContent = tab.under.title = n < 0 ? "" : [`image ${points.image[n]}`, ...known].filter(Boolean).join(" · ");
  paint(tab);
}

function choose(tab, chosen, index = -1) {
  tab.chosen = new Set(chosen);
  [...tab.legend.children].forEach((node, n) => node.setAttribute("aria-pressed", String(n === index)));
  listCommon(tab, chosen);
  paint(tab);
}

// ---- the plane
function paint(tab) {
  const { canvas, plane, atlas } = tab;
  const [width, height] = [plane.clientWidth, plane.clientHeight];
  if (!atlas || width < 20 || height < 20) return;
  const { points } = atlas;
  tab.places = placesOn(points, width, height);
  const context = readyCanvas(canvas, width, height);
  const { x, y } = tab.places;
  points.class.forEach((index, n) => {
    context.globalAlpha = !tab.chosen.size || tab.chosen.has(n) ? 0.9 : 0.15;
    context.fillStyle = COLOURS[Math.max(index, 0) % COLOURS.length];
    context.fillRect(x[n] - 2, y[n] - 2, 4, 4);
  });
  context.globalAlpha = 1;
  paintPictures(tab, context, width);
  tab.tiles.forEach(({ canvas: own, entry }) => tab.painter.tile(readyCanvas(own, NEAR, NEAR), entry, 0, 0, NEAR, 2));
  if (tab.pointed >= 0) outline(context, x[tab.pointed], y[tab.pointed], getComputedStyle(plane).color);
  if (tab.line) paintLine(context, tab.line, getComputedStyle(plane).color);
}

/** A picture of every image that has one and room. */
function paintPictures({ atlas, painter, places, chosen }, context, width) {
  const taken = new Set();
  const across = Math.ceil(width / (THUMB + 4));
  atlas.points.image.forEach((image, n) => {
    const place = atlas.pictures.place.get(image);
    if (place === undefined || (chosen.size && !chosen.has(n))) return;
    const [x, y] = [places.x[n], places.y[n]];
    const cell = Math.floor(y / (THUMB + 4)) * across + Math.floor(x / (THUMB + 4));
    if (taken.has(cell)) return;
    taken.add(cell);
    painter.whole(context, place, x - THUMB / 2, y - THUMB / 2, THUMB);
    context.lineWidth = 2;
    context.strokeStyle = COLOURS[Math.max(atlas.points.class[n], 0) % COLOURS.length];
    context.strokeRect(x - THUMB / 2, y - THUMB / 2, THUMB, THUMB);
  });
}

function outline(context, x, y, ink) {
  context.lineWidth = 2;
  context.strokeStyle = ink;
  context.strokeRect(x - THUMB / 2 - 3, y - THUMB / 2 - 3, THUMB + 6, THUMB + 6);
}

function paintLine(context, line, ink) {
  context.beginPath();
  line.forEach(([x, y], n) => (n ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
  context.lineWidth = 1.5;
  context.strokeStyle = ink;
  context.stroke();
}

// ---- what they have in common
function listCommon(tab, chosen) {
  const { atlas, list } = tab;
  tab.tiles = [];
  if (!chosen.length) {
    list.replaceChildren(element("p", { class: "rv-faint" }, "Draw a line around some images, or click a class: what they have in common is listed here."));
    return;
  }
  const common = commonOf(atlas.points, chosen, atlas.classes.length);
  const classes = common.classes.slice(0, LISTED).map(({ index, share, usual }) => element("li", {}, `${atlas.classes[index]}: ${percent(share)}, of all ${percent(usual)}`));
  tab.tiles = common.channels.slice(0, LISTED).map((one) => channelTile(tab, one));
  const heading = (words) => element("p", { class: "rv-label" }, words);
  list.replaceChildren(
    element("p", {}, element("strong", {}, `${countWords(common.count)} images`)),
    ...(classes.length ? [heading("their classes"), element("ul", { class: "rv-atlas-list" }, ...classes)] : []),
    heading("channels that answer otherwise than to the rest, in standard deviations"),
    element("div", { class: "rv-atlas-nearest" }, ...tab.tiles.map((one) => one.node)),
  );
}

function channelTile({ atlas, on }, { channel, difference }) {
  const canvas = element("canvas", { "aria-hidden": "true" });
  const words = `${difference > 0 ? "+" : "−"}${Math.abs(difference).toFixed(1)}`;
  const { layer } = atlas.points;
  const node = element("button", { type: "button", class: "rv-atlas-near", title: `channel ${channel}`, "aria-label": `channel ${channel}, ${words}`, onclick: () => on.channel(layer, channel) }, canvas, element("span", {}, words));
  return { canvas, node, entry: { layer, channel } };
}
