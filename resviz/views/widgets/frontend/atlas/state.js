// What is chosen in an atlas, and what follows from it. No DOM.

import { briefNumber, countWords } from "../explore/words.js";
import { foundOf, isDead, numberOf, preferredOf, topOf } from "./data.js";

export const ATLAS_SORTS = [
  ["selective", "most selective"],
  ["strong", "strongest"],
  ["class", "by class"],
  ["dead", "dead first"],
  ["index", "number"],
];
export const SELECTIVITY = "of the classes' mean activations: (largest − mean of the others) / (largest + mean of the others); 0: all classes alike, 1: one alone (Morcos et al. 2018)";
export const ATLAS_SHOWN = [
  ["all", "all"],
  ["active", "active"],
  ["dead", "dead"],
];
export const FIRST_ATLAS = { layer: 0, channel: null, class: null, sort: "selective", show: "all", tab: "channels" };

/** The state that a selection names; what it does not name, or names wrongly, stays. */
export function atlasAfter(state, selection, atlas) {
  const next = { ...state };
  const whole = (value, below) => Number.isInteger(value) && value >= 0 && value < below;
  const named = atlas.layers.findIndex((one) => one.key === selection.layer);
  if (named >= 0) next.layer = named;
  const { channels } = atlas.layers[next.layer];
  if (selection.channel === null || whole(selection.channel, channels)) next.channel = selection.channel;
  else if (next.channel >= channels) next.channel = null;
  const index = typeof selection.class === "string" ? atlas.classes.indexOf(selection.class) : selection.class;
  if (index === null || whole(index, atlas.classes.length)) next.class = index;
  if (sortChoicesOf(atlas, next).some((one) => one.value === selection.sort && !one.disabled)) next.sort = selection.sort;
  if (ATLAS_SHOWN.some(([name]) => name === selection.show)) next.show = selection.show;
  if (["channels", "images"].includes(selection.tab)) next.tab = selection.tab;
  return next;
}

/** What is synced of a state. */
export function atlasSelection(state, atlas) {
  const { channel, sort, show, tab } = state;
  return { layer: atlas.layers[state.layer].key, channel, sort, show, tab, class: state.class === null ? null : atlas.classes[state.class] };
}

export function sortChoicesOf(atlas, state) {
  const { numbers, preferred } = atlas.layers[state.layer];
  const there = { selective: numbers.selectivity, strong: true, class: preferred, dead: numbers.active, index: true };
  return ATLAS_SORTS.map(([value, label]) => (there[value] ? { value, label } : { value, label, disabled: true, reason: "not measured" }));
}

/** The channels that the grid shows: [{ layer, channel, effect? }]. */
export function shownChannels(atlas, state) {
  if (state.class !== null) return foundOf(atlas, state.class);
  const layer = atlas.layers[state.layer];
  const keep = { all: () => true, active: (n) => !isDead(layer, n), dead: (n) => isDead(layer, n) }[state.show];
  const order = sortedChannels(atlas, layer, state.sort).filter(keep);
  return order.map((channel) => ({ layer: state.layer, channel }));
}

function sortedChannels(atlas, layer, sort) {
  const channels = Array.from({ length: layer.channels }, (_, n) => n);
  const keys = {
    index: (n) => n,
    selective: (n) => -numberOf(layer, "selectivity", n),
    strong: (n) => -(topOf(atlas, layer, n, 0)?.value ?? -Infinity),
    dead: (n) => (Number.isNaN(numberOf(layer, "active", n)) ? n : numberOf(layer, "active", n)),
    class: (n) => (preferredOf(atlas, layer, n)[0]?.index ?? Infinity) - clean(numberOf(layer, "selectivity", n)) / 2,
  };
  const values = channels.map((n) => last(keys[sort](n)));
  return channels.sort((a, b) => values[a] - values[b] || a - b);
}

const clean = (value) => (Number.isNaN(value) ? 0 : value);
const last = (value) => (Number.isNaN(value) ? Infinity : value);

/** How many of the found channels of a class each layer has. */
export function foundByLayer(atlas, index) {
  const counts = atlas.layers.map(() => 0);
  for (const { layer } of foundOf(atlas, index)) counts[layer] += 1;
  return counts;
}

/** Median of a number over the channels of a layer; NaN where none has one. */
export function medianOf(layer, name) {
  const values = Array.from(layer.numbers[name] ?? []).filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  return values.length ? values[values.length >> 1] : NaN;
}

// ---- the grid
const GAP = 6;
const [LEAST, MOST] = [44, 132]; // pixels of a tile
export const CAPTION = 14;

/** Where tiles stand: as large as they can be so that all are seen; where that is too small they scroll. */
export function gridOf(count, width, height) {
  let best = null;
  for (let side = MOST; side >= LEAST; side -= 1) {
    const grid = gridWith(count, width, side);
    best = grid;
    if (grid.height <= height) break;
  }
  return best;
}

function gridWith(count, width, side) {
  const caption = side >= 60 ? CAPTION : 0;
  const columns = Math.max(1, Math.floor((width + GAP) / (side + GAP)));
  const rows = Math.ceil(count / columns);
  const across = side >= 66 ? 3 : side >= 46 ? 2 : 1;
  return { count, side, caption, columns, rows, across, step: side + GAP, tall: side + caption + GAP, height: rows * (side + caption + GAP) };
}

/** Upper left corner of a tile. */
export const tilePlace = (grid, place) => ({ x: (place % grid.columns) * grid.step, y: Math.floor(place / grid.columns) * grid.tall });

/** The tile under a point, or -1. */
export function tileUnder(grid, x, y) {
  const [column, row] = [Math.floor(x / grid.step), Math.floor(y / grid.tall)];
  const place = row * grid.columns + column;
  if (x < 0 || y < 0 || column >= grid.columns || x - column * grid.step >= grid.side || y - row * grid.tall >= grid.tall - GAP) return -1;
  return place < grid.count ? place : -1;
}

/** The place after a step of `by` tiles, within the grid. */
export const placeStepped = (place, by, count) => Math.max(0, Math.min(count - 1, (place < 0 ? (by > 0 ? -1 : 1) : place) + by));

// ---- words
/** What hovering says of a channel. */
export function channelWords(atlas, { layer: at, channel, effect }) {
  const layer = atlas.layers[at];
  const number = (name) => briefNumber(numberOf(layer, name, channel));
  const parts = [`${layer.key} · channel ${channel}`];
  if (effect !== undefined) parts.push(`${briefNumber(effect)} standard deviations above other images`);
  if (isDead(layer, channel)) return [...parts, deadWords(atlas, layer, channel)].join(" · ");
  const [first] = preferredOf(atlas, layer, channel);
  if (first) parts.push(`most for ${first.name}`);
  if (!Number.isNaN(numberOf(layer, "selectivity", channel))) parts.push(`selectivity ${number("selectivity")}`);
  if (layer.numbers.mean) parts.push(`mean ${number("mean")}`, `largest ${number("max")}`, `${percent(numberOf(layer, "zeros", channel))} zeros`);
  return parts.join(" · ");
}

export function deadWords(atlas, layer, channel) {
  const bound = numberOf(layer, "bound", channel);
  const most = Number.isNaN(bound) ? "" : `: below ${(100 * bound).toPrecision(2)} % of images, at 95 %`;
  return `dead: no image of ${countWords(atlas.images)} activates it${most}`;
}

export const percent = (share) => `${Number((100 * share).toPrecision(2))} %`;

/** What is shown, above the grid. */
export function headingOf(atlas, state, shown) {
  const count = countWords(shown.length);
  if (state.class !== null) return { title: `Channels for ${atlas.classes[state.class]}`, words: `${count} of all layers, those that stand out most first` };
  const layer = atlas.layers[state.layer];
  const dead = Array.from({ length: layer.channels }, (_, n) => n).filter((n) => isDead(layer, n)).length;
  const seen = seesAll(atlas, layer) ? "each position sees the whole image" : `each position sees ${layer.field.size.join(" × ")} pixels`;
  const words = [state.show === "all" ? `${count} channels` : `${count} of ${countWords(layer.channels)} channels`, dead ? `${dead} dead` : "", seen];
  return { title: layer.key, words: words.filter(Boolean).join(" · ") };
}

/** Whether the field of a position is no smaller than the largest picture, or unknown to have an end. */
export function seesAll({ pictures }, { field }) {
  if (!field) return true;
  const largest = pictures.shape?.length ? Math.max(...pictures.shape) : Infinity;
  return Math.min(...field.size) >= 2 * largest;
}

/** What a tile is, for whoever sees the first one. */
export function tileWords(atlas, state) {
  const most = "the images it answers to most";
  const whole = state.class !== null || seesAll(atlas, atlas.layers[state.layer]);
  return `${atlas.facts} · each tile is a channel: ${whole ? most : `what it saw of ${most}`}; click one`;
}

/** What the pictures are, for the reader of a page. */
export function pictureWords({ pictures }) {
  const kept = pictures.images.length;
  if (!pictures.wanted) return "no top images";
  if (!kept) return "no pictures: this scan has none of its top images";
  const all = kept === pictures.wanted ? `${countWords(kept)} pictures` : `${countWords(kept)} of ${countWords(pictures.wanted)} pictures`;
  return `${all} of at most ${pictures.side} pixels`;
}

/** The shown channels as rows of a table. */
export function atlasRows(atlas, shown) {
  const names = Object.keys(atlas.layers[0].numbers);
  const head = ["layer", "channel", ...names, "class", "effect", "top_image", "top_value"];
  const rows = shown.map(({ layer: at, channel, effect }) => {
    const layer = atlas.layers[at];
    const top = topOf(atlas, layer, channel, 0);
    const numbers = names.map((name) => numberOf(layer, name, channel));
    return [layer.key, channel, ...numbers, preferredOf(atlas, layer, channel)[0]?.name ?? "", effect ?? "", top?.image ?? "", top?.value ?? ""];
  });
  return [head, ...rows];
}
