// What every part of the screen shows, worked out from the state and from what came. No DOM.

import { headMap, mapSource, offeredOf, positivePart, recordedMap } from "../explanation_maps.js";
import { foremost, meantClass, placeAtDepth } from "./scenes.js";
import { foremostWithout, withoutCurve } from "./state.js";
import { briefNumber, endOf, saidWords, withoutWords } from "./words.js";

const TIE = 0.95; // of the greatest loss, from which another is nearly as great
const NO_KERNEL = "needs a running kernel; this page has none";

/**
 * shown: { scene, moment }; asked: { maps, measuring, busy, seconds } of the questions that wait;
 * canCut(place): whether the network without it can be shown.
 */
export function lookAt({ store, state, shown, header, headerView, live, asked, canCut }) {
  const { scene, moment } = shown;
  const at = placeAtDepth(scene.places, state.depth, state.place);
  const place = scene.places[at] ?? null;
  const index = meantClass(state.class, scene);
  const explained = store.explained(moment);
  const [page, without] = [explained?.page ?? null, store.without(state)];
  const layer = explained?.layers?.[at] ?? null;
  const className = index === null ? "" : nameOf(header, index);
  const recorded = meantClass(moment.class, scene); // of which curve and channels are
  const of = index === recorded ? null : nameOf(header, recorded);
  const common = { header, headerView, scene, page, index, className, place, at, layer, without, explained, live, state, of, exact: shown.exact };
  return {
    ...state,
    ...common,
    shownOff: scene.off,
    map: mapNow(common, asked.maps),
    methods: methodsOf(page, live),
    methodMaps: methodMaps(common),
    has: store.images(),
    anatomy: anatomyOf(common, asked, canCut),
    channels: channelsOf(common),
    line: lineOf(common),
  };
}

const nameOf = (header, index) => header.classes[index] ?? `class ${index}`;

function mapNow({ page, explained, layer, place, index, live, state }, asked) {
  if (explained?.why) return { why: explained.why };
  if (page && !layer) return { why: place?.key.endsWith(":sum") ? "no map of a sum that is no module" : "no map of this layer" };
  if (!page) return { why: live ? "being explained …" : "no explanation on this page" };
  return mapOf(page, { index, contrast: state.contrast, method: state.method, layer, live, asked });
}

/** The values to show of a page of an explanation, or why there are none: { values, height, width } | { why, asks? }. */
export function mapOf(page, { index, contrast, method, layer, live, asked }) {
  const chosen = { image: 0, class: index, contrast, recorded: null, method, layer, part: "positive" };
  const source = mapSource(page, chosen, live);
  if (source.from === "record") {
    const { height, width } = source.recorded;
    return { values: shownMap(source.recorded, source.position), height, width, blank: source.recorded.blank };
  }
  if (source.from === "head") {
    const terms = contrast === null ? [[index, 1]] : [[index, 1], [contrast, -1]];
    const { height, width } = page.head;
    return { values: positivePart(headMap(page.head, 0, terms, source.factor)), height, width };
  }
  if (source.from !== "kernel") return { why: source.reason };
  const key = JSON.stringify([index, contrast, method, layer]);
  const known = asked.get(key);
  return known ?? { why: "being explained …", asks: { key, class: index, contrast, method, layer } };
}

const shownMaps = new WeakMap();
/** The values above 0 of a map of the record: of one map always the same array, so that what is made of it can be kept. */
function shownMap(recorded, position) {
  if (!shownMaps.has(recorded)) shownMaps.set(recorded, []);
  return (shownMaps.get(recorded)[position] ??= positivePart(recordedMap(recorded, 0, position)));
}

/** On a page without a kernel, those alone that it holds. */
function methodsOf(page, live) {
  if (!page) return [];
  return offeredOf(live ? page : { ...page, asks: null }).methods;
}

/** A small map of each method, of those that are at hand: [{ key, label, title, map }]. */
function methodMaps({ page, layer, index, live, state }) {
  if (!page || !layer) return [];
  const made = (method) => mapOf(page, { index, contrast: state.contrast, method, layer, live, asked: new Map() });
  const all = methodsOf(page, live).map((key) => ({ key, label: key, title: `${key}: ${page.methods?.[key] ?? "a method"}`, map: made(key) }));
  return all.filter(({ map }) => map.values);
}

function anatomyOf(common, asked, canCut) {
  const { scene, place, without, live, state } = common;
  const chosen = chosenAddition(place, state);
  const cut = Boolean(place && state.off.includes(place.name));
  return {
    ...{ place, chosen, cut, addition: chosen ? scene.additions[chosen] : null, seen: seenSentence(common) },
    refusal: canCut(place) ? null : `cutting this block out ${NO_KERNEL}`,
    without: cut ? "Its branch is cut out: only the shortcut goes on." : withoutSentence(common),
    waiting: asked.measuring ? "Without it: being measured …" : null,
    channel: state.channel,
    measurable: live && common.exact && !without && !asked.busy && place?.additions.length ? asked.seconds : null,
  };
}

function seenSentence({ at, explained, index, header }) {
  const lens = explained?.lens;
  const values = lens?.classes[index];
  if (!values?.length) return null;
  if (values[at] === null) return lens.why[at] ? `No reading here: ${lens.why[at]}.` : null;
  const [label, name] = [lens.labels[at], nameOf(header, index)];
  const other = label && label !== name ? `, and takes it for ${label}` : "";
  const [before, now] = [values[at - 1] ?? null, values[at]].map((value) => value !== null && saidWords(value, header));
  const step = before && before !== now ? `${before} → ${now}` : now; // from the block before
  return `The head here says ${name} ${step}${other}.`;
}

function withoutSentence({ scene, at, index, without, header }) {
  const row = without?.rows.get(at);
  if (without?.failed.has(at)) return "Without it the network cannot run: the shapes do not fit.";
  if (!row || index === null) return null;
  const [best, bestWithout] = [foremost(scene.numbers), foremostWithout(without, at)];
  return withoutWords(scene.numbers, row, { index, classes: header.classes, best, bestWithout, said: header });
}

function channelsOf({ scene, place, at, explained, className, live, state, of }) {
  const forClass = explained?.tiles?.[at] ?? null;
  const plain = scene.tiles[at] ?? null;
  const byClass = Boolean(forClass) && ((state.order === "class" && !of) || !plain);
  const tiles = byClass ? forClass : plain;
  const title = tiles ? (byClass ? `channels for ${of ?? className}` : "strongest channels") : `feature maps${place ? ` of ${place.name}` : ""}`;
  return {
    ...{ tiles, title, key: place?.key, picture: scene.picture, order: byClass ? "class" : "max", orders: Boolean(forClass && plain && !of) },
    why: !live && place?.shape.length > 1 ? "The pictures of this layer are not on this page." : undefined,
    ...{ byClass, className: of ?? className },
    ...{ added: addedChannels(scene, place, state), channel: state.channel, refusal: live ? null : `all channels at once: ${NO_KERNEL}` },
  };
}

/** The channels to which the shown addition adds most, in this order. */
function addedChannels(scene, place, state) {
  return scene.additions[chosenAddition(place, state)]?.tiles?.channels ?? [];
}

const chosenAddition = (place, state) =>
  state.addition && place?.additions.includes(state.addition) ? state.addition : place?.additions.at(-1);

/** What is drawn along depth: the chosen curve, what the head sees, what is left without each block. */
function lineOf({ scene, index, without, explained, header, state, of, live }) {
  const names = Object.entries(scene.curves).map(([value, { label, log }]) => ({ value, label: log ? `${label} (log)` : label }));
  const name = scene.curves[state.curve] ? state.curve : (names[0]?.value ?? null);
  const chances = header.word !== "value";
  const lost = chances ? withoutCurve(without, scene.places, index) : null;
  return {
    ...{ names, name, curve: scene.curves[name] ?? null, of: live ? null : of },
    seen: chances ? (explained?.lens?.classes[index] ?? null) : null,
    ...{ lost, most: mostLost({ lost, scene, index, header }) },
  };
}

/** The block without which the class loses most: { place, words, whole }, whole: with all of its name; null where none was measured, or none loses. */
export function mostLost({ lost, scene, index, header }) {
  if (!lost) return null;
  let [place, least] = [-1, scene.numbers[index]];
  lost.forEach((value, at) => {
    if (value !== null && value < least) [place, least] = [at, value];
  });
  if (place < 0) return null;
  const [all, left] = [scene.numbers[index], least].map((value) => saidWords(value, header));
  if (all === left) return null; // less than can be read
  const much = TIE * (scene.numbers[index] - least);
  const alike = lost.filter((value, at) => at !== place && value !== null && scene.numbers[index] - value >= much).length;
  const said = (name) => `most is lost without ${name}: ${all} → ${left}${alike ? `, nearly as much without ${alike} more` : ""}`;
  const { name } = scene.places[place];
  return { place, words: `most is lost without ${endOf(name, 16)}: ${all} → ${left}${alike ? ` (+${alike} alike)` : ""}`, whole: said(name) };
}

/** What a screen reader says of the cursor. */
export function spokenWords(place, at, { curve, seen, lost }, said) {
  if (!place) return "no block";
  const words = [place.name, `depth ${place.depth}`];
  const known = (value) => value !== null && value !== undefined;
  if (curve && known(curve.values[at])) words.push(`${curve.label} ${briefNumber(curve.values[at])}`);
  if (seen && known(seen[at])) words.push(`as seen here ${saidWords(seen[at], said)}`);
  if (lost && known(lost[at])) words.push(`without it ${saidWords(lost[at], said)}`);
  return words.join(", ");
}
