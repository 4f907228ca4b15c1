// One channel: its top images with the field framed, its histogram, its classes, its nearest.

import { buttonControl, element, svgElement } from "../controls.js";
import { briefNumber } from "../explore/words.js";
import { boxOf, histogramOfChannel, isDead, judgedWords, nearestOf, numberOf, preferredOf, topOf } from "./data.js";
import { readyCanvas } from "./sheets.js";
import { SELECTIVITY, deadWords, percent, seesAll } from "./state.js";

const NEAR = 44; // pixels of a tile of a channel near this one
const CLASSES = 5;
const FACTS = 104; // pixels beside the images

/** on: { close(), channel(channel), class(index) }; maps: of `maps.js`. Returns { node, draw(atlas, painter, entry, width), again }. */
export function createPanel({ on, maps }) {
  const closing = buttonControl({ text: "×", name: "close the channel", title: "Escape", onClick: () => on.close() });
  const title = element("h3", { class: "rv-heading" });
  const canvas = element("canvas", { class: "rv-atlas-top", role: "img" });
  const hint = element("p", { class: "rv-readout rv-faint" });
  const facts = element("div", { class: "rv-atlas-facts-beside" });
  const body = element("div", { class: "rv-atlas-more" });
  const head = element("div", { class: "rv-atlas-panel-head" }, title, closing.node);
  const node = element("section", { class: "rv-atlas-panel", "aria-label": "channel", tabindex: "0", hidden: true }, head, element("div", { class: "rv-atlas-seen" }, canvas, facts), hint, body);
  let [content, near] = [null, []];
  const paint = () => {
    if (!content) return;
    content.layout = paintTop(canvas, content);
    if (!canvas.matches(":hover")) hint.textContent = hint.title = usualHint(content);
    near.forEach(({ canvas: own, entry }) => content.painter.tile(readyCanvas(own, NEAR, NEAR), entry, 0, 0, NEAR, 2));
  };
  canvas.addEventListener("pointermove", (event) => {
    hint.textContent = topWords(content, rankUnder(canvas, content, event));
  });
  canvas.addEventListener("pointerleave", () => (hint.textContent = content ? usualHint(content) : ""));
  return {
    node,
    again: paint,
    draw(atlas, painter, entry, width) {
      node.hidden = !entry;
      content = entry && { atlas, painter, entry, width, maps, layer: atlas.layers[entry.layer] };
      if (!entry) return;
      maps.want(atlas, entry);
      const { layer } = content;
      title.textContent = `${layer.key} · channel ${entry.channel}`;
      canvas.setAttribute("aria-label", `the images that channel ${entry.channel} answers to most, with what it saw framed`);
      hint.textContent = usualHint(content);
      near = nearTiles(content, on);
      facts.replaceChildren(...[factsNode(content), maps.node].filter(Boolean));
      body.replaceChildren(...[histogramNode(content), classesNode(content, on), nearNode(near)].filter(Boolean));
      paint();
    },
  };
}

function usualHint({ atlas, layer, maps }) {
  return [seesAll(atlas, layer) ? "each position sees the whole image" : "framed: what the maximum saw", maps.words()].filter(Boolean).join(" · ");
}

// ---- the top images
function paintTop(canvas, { atlas, painter, entry, width, layer, maps }) {
  const count = Math.min(atlas.top, 9);
  const columns = count <= 4 ? Math.min(count, 2) : 3;
  const rows = Math.ceil(count / columns);
  const room = Math.max(180, 0.4 * canvas.closest("section").clientHeight); // the rest is for what is known of it
  const side = Math.floor(Math.min((width - FACTS - (columns - 1) * 4) / columns, room / rows));
  const context = readyCanvas(canvas, columns * (side + 4) - 4, rows * (side + 4) - 4);
  for (let rank = 0; rank < count; rank += 1) {
    const [x, y] = [(rank % columns) * (side + 4), Math.floor(rank / columns) * (side + 4)];
    const top = topOf(atlas, layer, entry.channel, rank);
    context.fillStyle = "#8a929b";
    context.fillRect(x, y, side, side);
    if (!top || top.place < 0) continue;
    const box = painter.whole(context, top.place, x, y, side);
    maps.paint(context, top.image, box);
    if (!seesAll(atlas, layer)) frame(context, boxOf(layer, top.row, top.column), box, [x, y, side]);
  }
  return { columns, side, count };
}

function frame(context, field, box, [x, y, side]) {
  if (!field) return;
  const [top, left, bottom, right] = field.map((one) => one * box.zoom);
  const [x0, y0] = [Math.max(box.x + left, x), Math.max(box.y + top, y)];
  const [x1, y1] = [Math.min(box.x + right, x + side), Math.min(box.y + bottom, y + side)];
  context.lineWidth = 3;
  context.strokeStyle = "#000000";
  context.strokeRect(x0 + 1.5, y0 + 1.5, x1 - x0 - 3, y1 - y0 - 3);
  context.lineWidth = 1.5;
  context.strokeStyle = "#ffb000";
  context.strokeRect(x0 + 1.5, y0 + 1.5, x1 - x0 - 3, y1 - y0 - 3);
}

function rankUnder(canvas, content, event) {
  if (!content?.layout) return -1;
  const box = canvas.getBoundingClientRect();
  const { columns, side, count } = content.layout;
  const rank = Math.floor((event.clientY - box.top) / (side + 4)) * columns + Math.floor((event.clientX - box.left) / (side + 4));
  return rank < count ? rank : -1;
}

/** What pointing at a top image says. */
export function topWords(content, rank) {
  const top = content && rank >= 0 ? topOf(content.atlas, content.layer, content.entry.channel, rank) : null;
  if (!top) return "";
  const { pictures, classes, outputs } = content.atlas;
  const name = pictures.names[top.place] || `image ${top.image}`;
  const [label, said] = [classes[pictures.label[top.place]], outputs[pictures.prediction[top.place]]];
  return [`${rank + 1}. ${name}`, judgedWords(label, said), `${briefNumber(top.value)} at row ${top.row}, column ${top.column}`].filter(Boolean).join(" · ");
}

// ---- what is known of it
function factsNode({ atlas, layer, entry: { channel } }) {
  if (isDead(layer, channel)) return element("p", { class: "rv-facts" }, deadWords(atlas, layer, channel));
  const number = (name) => briefNumber(numberOf(layer, name, channel));
  /** @type {[string, () => string, string, string][]} */
  const pairs = [
    ["mean", () => `${number("mean")} ± ${number("std")}`, "mean", "and standard deviation, over all positions of all images"],
    ["zeros", () => percent(numberOf(layer, "zeros", channel)), "zeros", "positions at which it does not answer at all"],
    ["active", () => `${percent(numberOf(layer, "active", channel) / atlas.images)} of images`, "active", "with a value other than 0 anywhere in the map"],
    ["selectivity", () => number("selectivity"), "selectivity", SELECTIVITY],
  ];
  const there = pairs.filter(([, , name]) => !Number.isNaN(numberOf(layer, name, channel)));
  if (!there.length) return null;
  return element("dl", { class: "rv-numbers" }, ...there.flatMap(([name, words, , why]) => [element("dt", { title: why }, name), element("dd", {}, words())]));
}

function histogramNode({ layer, entry, width }) {
  const found = histogramOfChannel(layer, entry.channel);
  if (!found) return null;
  const tall = 40;
  const step = width / found.shares.length;
  const most = Math.max(...found.shares, 1e-9);
  const bars = found.shares.map((share, n) => svgElement("rect", { class: "rv-bin", x: n * step, width: Math.max(1, step - 1), y: tall - (share / most) * tall, height: (share / most) * tall }));
  const label = `maximum of each image, from ${briefNumber(found.low)} to ${briefNumber(found.high)}`;
  const svg = svgElement("svg", { class: "rv-atlas-histogram", width, height: tall, role: "img", "aria-label": label }, ...bars);
  const ends = element("div", { class: "rv-bar-ends" }, element("span", {}, briefNumber(found.low)), element("span", {}, "each image's maximum"), element("span", {}, briefNumber(found.high)));
  return element("div", {}, svg, ends);
}

function classesNode({ atlas, layer, entry }, on) {
  const found = preferredOf(atlas, layer, entry.channel).slice(0, CLASSES);
  if (!found.length) return null;
  const most = Math.max(...found.map((one) => Math.abs(one.mean)), 1e-9);
  const rows = found.map(({ index, name, mean }) => {
    const fill = element("span", { class: "rv-atlas-share" });
    fill.style.width = `${(100 * Math.max(mean, 0)) / most}%`;
    const text = [element("span", { class: "rv-atlas-class-name" }, name), element("span", { class: "rv-atlas-class-value" }, briefNumber(mean))];
    return element("button", { type: "button", class: "rv-atlas-class", title: `channels for ${name}`, onclick: () => on.class(index) }, ...text, element("span", { class: "rv-atlas-track" }, fill));
  });
  return element("div", { class: "rv-atlas-classes", role: "group", "aria-label": "classes, by mean activation" }, element("p", { class: "rv-label" }, "mean activation by class"), ...rows);
}

function nearTiles({ layer, entry }, on) {
  return nearestOf(layer, entry.channel).slice(0, 6).map(({ channel, correlation }) => {
    const canvas = element("canvas", { "aria-hidden": "true" });
    const words = correlation.toFixed(2).replace("-", "−");
    const node = element("button", { type: "button", class: "rv-atlas-near", "aria-label": `channel ${channel}, correlation ${words}`, title: `channel ${channel}`, onclick: () => on.channel(channel) }, canvas, element("span", {}, words));
    return { canvas, node, entry: { layer: entry.layer, channel } };
  });
}

function nearNode(tiles) {
  if (!tiles.length) return null;
  return element("div", { role: "group", "aria-label": "nearest channels" }, element("p", { class: "rv-label" }, "nearest channels, by correlation over the images"), element("div", { class: "rv-atlas-nearest" }, ...tiles.map((one) => one.node)));
}
