// The block under the cursor: shortcut + branch = sum, for the channels to which the branch adds most.

import { element, setText } from "../controls.js";
import { limitsOf } from "../pixels.js";
import { createScale } from "./colours.js";
import { putPacked } from "./pictures.js";
import { tilePixels } from "./tiles.js";
import { ADDITION_MEANING, SEEN_MEANING, additionWords, countWords, endOf, shareWords, shortcutWords } from "./words.js";

const ROWS = 5;
const COLUMNS = ["shortcut", "branch", "sum"];

const HEADS = {
  "most added": "the channels to which the branch adds most come first, for any class; the feature maps beside come in the order of what they say for the chosen class",
  shortcut: "what the block receives, handed on past its layers: x, or a projection of it",
  "+ branch": "what the block's layers make of it: F(x)",
  "= sum": "what goes on to the next block: F(x) + x",
};

/** on: { addition(name), cut(), measure(), channel(number) }. Returns { node, draw(state), mark(channel) }. */
export function createAnatomy({ on }) {
  const parts = anatomyParts(on);
  const { title, choice, scale, cut, grid, none, words, measure, rows } = parts;
  const heading = element("div", { class: "rv-part-heading" }, title, choice, scale.node, cut);
  const node = element("section", { class: "rv-part rv-anatomy", "aria-label": "the block under the cursor" }, heading, grid, none, words, measure);
  /** The row of a channel that is pointed at, here or among the feature maps. */
  const mark = (channel) => rows.forEach((row) => row.mark(channel));
  return {
    node,
    mark,
    draw(state) {
      drawHeading(parts, state, on);
      drawAddition(parts, state);
      mark(state.channel);
    },
  };
}

function anatomyParts(on) {
  const rows = Array.from({ length: ROWS }, () => tileRow(on.channel));
  const head = Object.entries(HEADS).map(([words, title]) => element("span", { class: "rv-anatomy-head", title }, words));
  return {
    ...{ rows, head, scale: createScale() },
    title: element("h3", { class: "rv-part-name" }),
    choice: element("div", { class: "rv-anatomy-choice", role: "group", "aria-label": "additions of this block" }),
    cut: element("button", { type: "button", class: "rv-button rv-small", onclick: () => on.cut() }),
    grid: element("div", { class: "rv-anatomy-grid" }, ...head, ...rows.flatMap((row) => [row.name, ...row.tiles])),
    none: element("p", { class: "rv-empty" }),
    words: element("div", { class: "rv-part-words", "aria-live": "polite" }),
    measure: element("button", { type: "button", class: "rv-button rv-small rv-measure", onclick: () => on.measure() }),
  };
}

function drawHeading({ title, choice, cut }, { place, chosen, cut: isCut, refusal }, on) {
  title.textContent = place ? endOf(place.name, place.additions.length > 1 ? 9 : 24) : "no block";
  title.title = place?.name ?? "";
  title.setAttribute("aria-label", place?.name ?? "no block");
  drawChoice(choice, place, chosen, on);
  cut.hidden = !place?.additions.length;
  setText(cut, isCut ? "put back" : "cut out");
  cut.title = refusal ?? (isCut ? "the branch runs again (o)" : "what is predicted without this branch (o)");
  cut.disabled = Boolean(refusal);
}

function drawAddition({ grid, scale, none, head, rows, measure, words }, state) {
  const { place, addition } = state;
  const tiles = addition?.tiles;
  grid.hidden = scale.node.hidden = !tiles;
  none.hidden = Boolean(tiles);
  none.textContent = tiles ? "" : emptyWords(place, addition);
  head[1].title = shortcutWords(place?.kind) || HEADS.shortcut;
  if (tiles) {
    const shown = `${Math.min(ROWS, tiles.channels.length)} of ${countWords(tiles.total)} channels`;
    scale.draw(drawTiles(rows, tiles), `one colour scale for all pictures of this block; ${shown}, those first to which the branch adds most`);
  }
  measure.hidden = typeof state.measurable !== "number";
  measure.textContent = `without each block? about ${Math.ceil(state.measurable ?? 0)} s`;
  words.replaceChildren(...sentences(state).map((one) => element("p", { class: one.strong ? "rv-strong" : "", title: one.title }, one.text)));
}

/** A channel: its name, and its three pictures; pointing at them marks it among the feature maps, too. */
function tileRow(onPoint) {
  let channel = null;
  const point = (event) => channel !== null && onPoint(channel, event.type === "click");
  const tiles = COLUMNS.map((part) =>
    element("canvas", { class: "rv-tile", role: "img", width: 1, height: 1, "data-part": part, onpointerenter: point, onclick: point }),
  );
  const name = element("span", { class: "rv-anatomy-channel", onpointerenter: point, onclick: point });
  return {
    ...{ name, tiles },
    set(number) {
      channel = number;
      name.textContent = number === null ? "" : `#${number}`;
    },
    mark: (wanted) => [name, ...tiles].forEach((one) => one.classList.toggle("rv-channel-same", channel !== null && channel === wanted)),
  };
}

/** Paint what there is room for; the ends of the colours. */
function drawTiles(rows, tiles) {
  const ends = limitsOf(tiles.low, tiles.high);
  const count = tiles.channels.length;
  rows.forEach((row, at) => {
    const shown = at < count;
    [row.name, ...row.tiles].forEach((one) => (one.hidden = !shown));
    row.set(shown ? tiles.channels[at] : null);
    if (!shown) return;
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
        { type: "button", class: "rv-button rv-small", "aria-pressed": String(name === chosen), title: `addition ${index + 1} of this block: ${name}`, "aria-label": `sum ${index + 1}`, onclick: () => on.addition(name) },
        `${index + 1}`,
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
  const read = { text: seen, title: SEEN_MEANING };
  if (!addition) return seen ? [read] : [];
  /** @type {{ text: string, title?: string, strong?: boolean }[]} */
  const lines = [{ text: additionWords(addition), title: ADDITION_MEANING }, { text: shareWords(addition.grad_branch_share) }];
  if (seen) lines.push(read);
  if (without) lines.push({ text: without, strong: true });
  else if (waiting) lines.push({ text: waiting });
  return lines.filter(({ text }) => text);
}
