// The networks block by block, on the axis of the curves; the block under the cursor in a sentence.

import { element, svgElement } from "./controls.js";
import { briefNumber, endOf } from "./explore/words.js";

const [ROW, BOX, MOST_ROWS] = [20, 14, 4]; // pixels; networks that have a row
const LETTER = 6.5; // pixels of a name's letter, about
const MOST_BESIDE = 10; // letters of a name that stands beside its box

/** "layer1.0" of "layer1.0.conv1": up to the first number; else all but the last part. */
export function blockOfLayer(name) {
  const numbered = /^.*?\.\d+(?=\.|$)/.exec(name)?.[0];
  return numbered ?? (name.includes(".") ? name.slice(0, name.lastIndexOf(".")) : name);
}

/** Neighbouring layers of one block: [{ name, from, to, values }], by depth. */
export function blocksOfSeries({ x, layers, middle }) {
  const order = [...layers.keys()].sort((a, b) => x[a] - x[b]);
  const blocks = [];
  for (const at of order) {
    const name = blockOfLayer(layers[at]);
    const last = blocks.at(-1);
    if (last?.name === name) {
      last.to = x[at];
      last.values.push(middle[at]);
    } else blocks.push({ name, from: x[at], to: x[at], values: [middle[at]] });
  }
  return blocks;
}

/** The first series of each network, at most as many as have room. */
export function rowsOfNetworks(series) {
  const names = [...new Set(series.map((one) => one.network))].slice(0, MOST_ROWS);
  return names.map((network) => ({ network, blocks: blocksOfSeries(series.find((one) => one.network === network)) }));
}

const nearest = (blocks, depth) => {
  const away = (one) => Math.max(one.from - depth, depth - one.to, 0);
  return blocks.reduce((best, one) => (away(one) < away(best) ? one : best), blocks[0]);
};

/** "layer2.0, depth 8 to 9: 9.1 to 8.9, 1.4 × the block before." */
export function blockWords(blocks, depth) {
  const block = nearest(blocks, depth);
  const before = blocks[blocks.indexOf(block) - 1];
  const mean = (one) => one.values.reduce((sum, value) => sum + value, 0) / one.values.length;
  const where = block.from === block.to ? `depth ${block.from}` : `depth ${block.from} to ${block.to}`;
  const ends = block.values.length < 2 ? "" : ` to ${briefNumber(block.values.at(-1))}`;
  const times = before && mean(before) > 0 && Number.isFinite(mean(block)) ? `, ${briefNumber(mean(block) / mean(before))} × the block before` : "";
  return `${block.name}, ${where}: ${briefNumber(block.values[0])}${ends}${times}.`;
}

/** Returns { node, draw(series, xOf), say(depth) }. */
export function createBlockRows() {
  const svg = svgElement("svg", { class: "rv-block-rows", width: "100%", "aria-hidden": "true" });
  const words = element("p", { class: "rv-block-words", "aria-live": "polite" });
  const node = element("div", { class: "rv-blocks" }, svg, words);
  let [rows, boxes, at] = [[], [], null];
  function say(depth) {
    at = depth;
    const known = Number.isFinite(depth) && rows.length > 0;
    boxes.forEach(({ box, row, block }) => box.classList.toggle("rv-block-now", known && nearest(rows[row].blocks, depth) === block));
    const named = (row) => (rows.length > 1 ? `${row.network}: ` : "") + blockWords(row.blocks, depth);
    words.textContent = known ? rows.map(named).join(" ") : "";
  }
  return {
    ...{ node, say },
    draw(series, xOf) {
      rows = rowsOfNetworks(series.filter((one) => one.layers.length));
      boxes = rows.flatMap(({ blocks }, row) => blocks.map((block, at) => ({ row, block, ...blockBox(block, row, xOf, besideOf(at, blocks)) })));
      svg.setAttribute("height", String(rows.length * ROW));
      svg.replaceChildren(...boxes.map((one) => one.box));
      say(at);
    },
  };
}

/** Where a name may stand that its box has no room for: beside the first and the last. */
function besideOf(at, blocks) {
  if (at === blocks.length - 1) return "right";
  return at ? "" : "left";
}

/** Pixels that the names of the last blocks take beside their boxes; blocks with a number are told by it, inside. */
export function roomBeside(series) {
  const names = rowsOfNetworks(series.filter((one) => one.layers.length)).map(({ blocks }) => blocks.at(-1).name);
  const letters = names.filter((name) => !numbered(name)).map((name) => Math.min(name.length, MOST_BESIDE));
  return Math.ceil(Math.max(0, ...letters) * LETTER);
}

const numbered = (name) => /\.\d+$/.test(name);

/** What stands at a box: { words, x, anchor }. */
export function blockLabel(name, left, width, beside) {
  const room = Math.floor((width - 4) / LETTER);
  const middle = { x: left + width / 2, anchor: "middle" };
  if (name.length <= room) return { ...middle, words: name };
  if (numbered(name) || !beside) return { ...middle, words: endOf(/\d+(\.\d+)*$/.exec(name)?.[0] ?? name, room) };
  const words = name.length <= MOST_BESIDE ? name : `${name.slice(0, MOST_BESIDE - 1)}…`;
  return beside === "left" ? { x: left - 4, anchor: "end", words } : { x: left + width + 4, anchor: "start", words };
}

function blockBox({ name, from, to }, row, xOf, beside) {
  const [left, right] = [xOf(from - 0.4), xOf(to + 0.4)];
  const [width, y] = [Math.max(2, right - left), row * ROW + 2];
  const { words, x, anchor } = blockLabel(name, left, width, beside);
  const box = svgElement(
    "g",
    { class: "rv-block" },
    svgElement("rect", { x: left, y, width, height: BOX, rx: 2 }),
    svgElement("text", { x, y: y + 11, "text-anchor": anchor }, words),
    svgElement("title", {}, name),
  );
  return { box };
}
