// The block under the cursor: shortcut + branch = sum, for the channels to which the branch adds most.

import { element } from "../controls.js";
import { colourTable, limitsOf } from "../pixels.js";
import { tilePixels } from "./tiles.js";
import { additionWords, briefNumber, countWords, endOf, shareWords, shortcutWords } from "./words.js";

const ROWS = 5;
const COLUMNS = ["shortcut", "branch", "sum"];

const HEADS = {
  channel: "the channels to which the branch adds most come first",
  shortcut: "what the block receives, handed on past its layers: x, or a projection of it",
  "+ branch": "what the block's layers make of it: F(x)",
  "= sum": "what goes on to the next block: F(x) + x",
};

/** Put packed pixels on a canvas of their size. */
export function putPacked(canvas, pixels, height, width) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const image = new ImageData(new Uint8ClampedArray(pixels.buffer, pixels.byteOffset, pixels.byteLength), width, height);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** on: { addition(name), cut(), measure() }. Returns { node, draw(state) }. */
export function createAnatomy({ on }) {
  const title = element("h3", { class: "rv-part-name" });
  const choice = element("div", { class: "rv-anatomy-choice", role: "group", "aria-label": "additions of this block" });
  const cut = element("button", { type: "button", class: "rv-button rv-small", onclick: () => on.cut() });
  const rows = Array.from({ length: ROWS }, tileRow);
  const scale = scaleBar();
  const head = Object.entries(HEADS).map(([words, title]) => element("span", { class: "rv-anatomy-head", title }, words));
  const grid = element("div", { class: "rv-anatomy-grid" }, ...head, ...rows.flatMap((row) => [row.name, ...row.tiles]));
  const none = element("p", { class: "rv-empty" });
  const words = element("div", { class: "rv-part-words", "aria-live": "polite" });
  const measure = element("button", { type: "button", class: "rv-button rv-small rv-measure", onclick: () => on.measure() });
  const heading = element("div", { class: "rv-part-heading" }, title, choice, scale.node, cut);
  const node = element("section", { class: "rv-part rv-anatomy", "aria-label": "the block under the cursor" }, heading, grid, none, words, measure);

  function draw(state) {
    const { place, addition, chosen } = state;
    title.textContent = place ? endOf(place.name, 24) : "no block";
    title.title = place?.name ?? "";
    drawChoice(choice, place, chosen, on);
    cut.hidden = !place?.additions.length;
    cut.textContent = state.cut ? "put back" : "cut out";
    cut.title = state.cut ? "the branch runs again (o)" : "what is predicted without this branch (o)";
    cut.disabled = Boolean(state.refusal);
    if (state.refusal) cut.title = state.refusal;
    const tiles = addition?.tiles;
    grid.hidden = scale.node.hidden = !tiles;
    none.hidden = Boolean(tiles);
    none.textContent = tiles ? "" : emptyWords(place, addition);
    head[1].title = shortcutWords(place?.kind) || HEADS.shortcut;
    if (tiles) scale.draw(drawTiles(rows, tiles), tiles.total, Math.min(ROWS, tiles.channels.length));
    measure.hidden = typeof state.measurable !== "number";
    measure.textContent = `without each block? about ${Math.ceil(state.measurable ?? 0)} s`;
    words.replaceChildren(...sentences(state).map((one) => element("p", { class: one.strong ? "rv-strong" : "" }, one.text)));
  }
  return { node, draw };
}

function tileRow() {
  const tiles = COLUMNS.map((part) => element("canvas", { class: "rv-tile", role: "img", width: 1, height: 1, "data-part": part }));
  return { name: element("span", { class: "rv-anatomy-channel" }), tiles };
}

/** The one colour scale of all pictures of a block. */
function scaleBar() {
  const [low, high] = [element("span"), element("span")];
  const canvas = element("canvas", { class: "rv-scale-colours", width: 256, height: 1, "aria-hidden": "true" });
  return {
    node: element("span", { class: "rv-scale rv-faint" }, low, canvas, high),
    draw(ends, total, shown) {
      const table = colourTable(ends.signed ? "signed" : "viridis");
      const pixels = new Uint8ClampedArray(1024).fill(255);
      for (let at = 0; at < 256; at += 1) pixels.set(table.subarray(at * 3, at * 3 + 3), at * 4);
      canvas.getContext("2d").putImageData(new ImageData(pixels, 256, 1), 0, 0);
      [low.textContent, high.textContent] = [briefNumber(ends.low), briefNumber(ends.high)];
      this.node.title = `one colour scale for all pictures of this block; ${shown} of ${countWords(total)} channels, those first to which the branch adds most`;
    },
  };
}

/** Paint what there is room for; the ends of the colours. */
function drawTiles(rows, tiles) {
  const ends = limitsOf(tiles.low, tiles.high);
  const count = tiles.channels.length;
  rows.forEach((row, at) => {
    const shown = at < count;
    [row.name, ...row.tiles].forEach((one) => (one.hidden = !shown));
    if (!shown) return;
    row.name.textContent = `#${tiles.channels[at]}`;
    row.tiles.forEach((canvas, part) => {
      putPacked(canvas, tilePixels(tiles, part * count + at, ends), tiles.height, tiles.width);
      canvas.setAttribute("aria-label", `${COLUMNS[part]}, channel ${tiles.channels[at]}`);
    });
  });
  return ends;
}

function drawChoice(node, place, chosen, on) {
  const names = place?.additions ?? [];
  node.hidden = names.length < 2;
  node.replaceChildren(
    ...(names.length < 2 ? [] : names).map((name, index) =>
      element(
        "button",
        { type: "button", class: "rv-button rv-small", "aria-pressed": String(name === chosen), title: `addition ${index + 1} of this block: ${name}`, onclick: () => on.addition(name) },
        `sum ${index + 1}`,
      ),
    ),
  );
}

function emptyWords(place, addition) {
  if (!place) return "This network has no layers to show here.";
  if (addition) return "The parts of this addition have no rows and columns: there is no picture of them. Its numbers stand below.";
  if (place.kind === "stem") return "The stem has no shortcut: it turns the image into the first feature maps. The next block has one.";
  return "No shortcut here: this network hands on what each stage makes, and nothing else.";
}

function sentences({ addition, without, waiting, seen }) {
  if (!addition) return seen ? [{ text: seen }] : [];
  const lines = [{ text: additionWords(addition) }, { text: shareWords(addition.grad_branch_share) }];
  if (seen) lines.push({ text: seen });
  if (without) lines.push({ text: without, strong: true });
  else if (waiting) lines.push({ text: waiting });
  return lines.filter(({ text }) => text);
}
