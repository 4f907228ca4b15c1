// What is shown of an explanation: the map, and words about it. No DOM.

import { classOdds, hasOdds, headMap, mapSource, offeredOf, positivePart, recordedMap, targetName } from "./explanation_maps.js";
import { mapAsked } from "./explanation_state.js";
import { briefChance, briefNumber } from "./explore/words.js";
import { numberWords } from "./pixels.js";

/** What a target is a sum of: [[class, weight], ...]. */
const termsOf = ({ class: index, contrast }) => (contrast === null ? [[index, 1]] : [[index, 1], [contrast, -1]]);

/** A map from the record or from the head; null where neither has it. half: how far a value may be off. */
export function mapAtHand(data, state, source) {
  if (source.from === "record") {
    const { recorded, position } = source;
    const values = recordedMap(recorded, state.image, position);
    const step = recorded.scale[state.image * recorded.targets + position];
    return { values, height: recorded.height, width: recorded.width, half: step / 2 };
  }
  if (source.from !== "head") return null;
  const { head } = data;
  const values = headMap(head, state.image, termsOf(state), source.factor);
  const most = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  return { values, height: head.height, width: head.width, half: head.error * most };
}

/** { values, height, width, signed, note, from }, or { reason }. answers, failures: of the kernel. */
export function mapShown(data, state, { live, answers, failures }) {
  const source = mapSource(data, state, live);
  if (source.from === null) return { reason: source.reason };
  const key = mapAsked(state);
  if (source.from === "kernel" && !answers.has(key)) return { reason: failures.get(key) ?? "asking the kernel …", waiting: true };
  const found = source.from === "kernel" ? { ...answers.get(key), half: 0 } : mapAtHand(data, state, source);
  const signed = state.part === "signed" && !source.note;
  const below = found.values.some((value) => value < 0);
  return { ...found, values: signed ? found.values : positivePart(found.values), signed, below, note: source.note, from: source.from };
}

/** Every map at hand of the chosen target: [{ key, method, layer, map, focus }]. The chosen method's first, of each method from the last layer back. */
export function mapsAtHand(data, state, live) {
  const { methods, layers } = offeredOf(data);
  const order = [state.method, ...methods.filter((method) => method !== state.method)];
  const keys = order.flatMap((method) => layers.toReversed().map((layer) => ({ method, layer })));
  return keys.flatMap(({ method, layer }) => {
    const key = JSON.stringify([method, layer]);
    const atHead = layer === data.head?.layer && method === "grad_cam";
    if (!data.maps.has(key) && !atHead) return [];
    const wanted = { ...state, method, layer, part: "positive" };
    const map = mapAtHand(data, wanted, mapSource(data, wanted, live));
    if (!map) return [];
    const values = positivePart(map.values);
    return [{ key, method, layer, map: { ...map, values }, focus: focusOf(values) }];
  });
}

/** Runs of maps under a heading, by method where one has several: [{ method, count }, ...]. */
export function mapGroups(maps) {
  const counts = new Map();
  for (const { method } of maps) counts.set(method, (counts.get(method) ?? 0) + 1);
  const several = counts.size > 1 && counts.size < maps.length;
  return several ? [...counts].map(([method, count]) => ({ method, count })) : [{ method: "", count: maps.length }];
}

/** "80 maps of 5 methods, of each the last layer first". */
export function orderWords(maps) {
  const groups = mapGroups(maps);
  const count = `${maps.length} ${maps.length === 1 ? "map" : "maps"}`;
  if (groups.length > 1) return `${count} of ${groups.length} methods, of each the last layer first`;
  return new Set(maps.map(({ layer }) => layer)).size > 1 ? `${count}, the last layer first` : count;
}

/** Share of the picture that holds half of a map's evidence; Infinity of a map without any. */
export function focusOf(values) {
  const sorted = Float64Array.from(values, (value) => (value > 0 ? value : 0)).sort().reverse();
  const sum = sorted.reduce((a, b) => a + b, 0);
  if (!(sum > 0)) return Infinity;
  let [held, count] = [0, 0];
  while (held < sum / 2) held += sorted[count++];
  return count / sorted.length;
}

export function focusWords(focus) {
  return Number.isFinite(focus) ? `half of the evidence in ${Math.max(1, Math.round(100 * focus))} % of the picture` : "no evidence: 0 or below everywhere";
}

// ---- words
export function valueWords(data, value) {
  return hasOdds(data) ? briefChance(value) : `${briefNumber(value)} ${data.said.units}`.trim();
}

export function fromWords(shown, data) {
  if (shown.from !== "head") return { record: "from the record", kernel: "from the kernel" }[shown.from] ?? "";
  const { error, kinds } = data.head;
  const off = error ? ` (at most ${Number((error * 100).toPrecision(1))} % of the largest value off)` : "";
  return `made here from the head's ${[...new Set(kinds)].join(" and ")} numbers${off}`;
}

export function scoreWords(data, state, odds) {
  if (state.class === null || state.recorded !== null || !data.logits) return "";
  const logit = (index) => data.logits[state.image * data.classes.length + index];
  if (state.contrast !== null) return `difference of logits ${numberWords(logit(state.class) - logit(state.contrast))}`;
  const value = valueWords(data, odds[state.class]);
  const untrained = data.untrained ? " (untrained weights: it means nothing yet)" : "";
  return hasOdds(data) ? `logit ${briefNumber(logit(state.class))}, probability ${value}${untrained}` : `value ${value}`;
}

/** "cat", "cat rather than frog", or a recorded target as it was named. */
export function targetWords(data, state) {
  if (state.recorded !== null || state.contrast === null) return targetName(data, state);
  return `${data.classes[state.class] ?? ""} rather than ${data.classes[state.contrast]}`;
}

/** Why nothing is seen; `below`: the map has values below 0. */
export function blankWords(data, state, { values, below }) {
  if (values.some((value) => value !== 0)) return "";
  const said = data.maps.get(JSON.stringify([state.method, state.layer]))?.blank ?? [];
  const start = `${state.method} at ${state.layer}, image ${state.image}, target `;
  const known = said.find((note) => note.startsWith(start) && note.includes(targetName(data, state)));
  return known ?? (below ? "no evidence: 0 or below everywhere" : "the map is exactly 0 everywhere");
}

/** Row and column of a map's largest value. */
export function largestPlace({ values, width }) {
  let best = 0;
  values.forEach((value, place) => {
    if (value > values[best] || Number.isNaN(values[best])) best = place;
  });
  return { row: Math.floor(best / width), column: best % width };
}

export function insideMap({ row, column }, { height, width }) {
  const clamp = (value, count) => Math.max(0, Math.min(count - 1, value));
  return { row: clamp(row, height), column: clamp(column, width) };
}

export function altWords(name, state, shown) {
  const { row, column } = largestPlace(shown);
  const most = numberWords(shown.values[row * shown.width + column]);
  return `${state.method} at ${state.layer} for ${name}: largest value ${most} in row ${row}, column ${column} of ${shown.height} × ${shown.width}`;
}

export function hintWords(shown) {
  const { row, column } = largestPlace(shown);
  const value = numberWords(shown.values[row * shown.width + column]);
  return `largest ${value} in row ${row}, column ${column}; point at the map to read it`;
}

/** What stands at a place of a map; size: of the picture in pixels, frame: where the map is in it. */
export function placeReading({ row, column }, shown, size, frame, whole) {
  const value = shown.values[row * shown.width + column];
  const half = shown.half && value ? ` ± ${Number(shown.half.toPrecision(1))}` : "";
  const [tall, wide] = size;
  const from = (n, count, side, low, high) => Math.max(0, Math.min(side, Math.round((low + (n / count) * (high - low)) * side)));
  const ends = (n, count, side, low, high) => `${from(n, count, side, low, high)}–${from(n + 1, count, side, low, high) - 1}`;
  const across = ends(column, shown.width, wide, frame[1], frame[3]);
  const down = ends(row, shown.height, tall, frame[0], frame[2]);
  const pixels = `pixels ${across} across, ${down} down${whole ? "" : " in the file"}`;
  const where = `row ${row}, column ${column} of ${shown.height} × ${shown.width}`;
  return `${where}: ${numberWords(value, shown.half)}${half} · ${pixels}`;
}

/** Name of a photograph, and what is predicted for it. */
export function photographWords(data, image) {
  const name = data.image_names[image];
  if (!data.logits || !hasOdds(data)) return name;
  const row = data.logits.subarray(image * data.classes.length, (image + 1) * data.classes.length);
  return `${name}: predicted ${data.classes[row.indexOf(Math.max(...row))] ?? "nothing"}`;
}

/** Classes of an image from the most probable on; `odds` of all. */
export function rankedClasses(odds, count) {
  return Array.from(odds.keys())
    .sort((a, b) => odds[b] - odds[a] || a - b)
    .slice(0, count);
}

export const oddsOf = (data, image) => (data.logits ? classOdds(data, image) : null);
