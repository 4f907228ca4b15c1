// What is drawn against depth: quantities, steps, modes, laws. No DOM.
import { endsOf, fitsLog, shortNumber, throughMiddle } from "./chart_scales.js";
import { arrayAt } from "./pixels.js";

export const FIRST_PROFILES = { quantity: "", axis: "auto", step: 0, hidden: [], theory: "", through: "", factor: 1, depth: null };

/** The float64 numbers of a payload reference that holds their halves as int32. */
export function doublesAt(view, reference) {
  return new Float64Array(arrayAt(view, reference).slice().buffer);
}

/** A series of the data for the chart. */
function chartSeries(meta, numbers, one) {
  const place = meta.places[one.places];
  const count = place.x.length;
  const part = (n) => numbers.subarray(one.at + n * count, one.at + (n + 1) * count);
  const middle = part(0);
  const several = one.seeds > 1;
  const { name: network, colour } = meta.networks[one.network];
  return {
    key: one.name, name: one.name, network, colour,
    dash: one.dash, seeds: one.seeds, step: one.step, dated: one.dated, middle, low: several ? part(1) : middle,
    high: several ? part(2) : middle, ...place,
  };
}

/** Of each line the last one measured up to `step`, or else its first. */
export function linesAtStep(all, step) {
  const away = (one) => (one.step <= step ? step - one.step : 1e15 + one.step);
  const found = new Map();
  for (const one of all) {
    const before = found.get(one.key);
    if (!before || away(one) < away(before)) found.set(one.key, one);
  }
  return [...found.values()];
}

/** The payload, ready to read: { meta, lines, ends }; lines: every series, of all quantities; ends: see valuesOf. */
export function profilesOf(meta, view) {
  for (const one of meta.places) one.x = arrayAt(view, one.x);
  const numbers = doublesAt(view, meta.numbers);
  const lines = meta.series.map((one) => ({ ...chartSeries(meta, numbers, one), quantity: one.quantity }));
  return { meta, lines, ends: new Map() };
}

/** The quantity that is chosen. */
export const known = ({ meta }, chosen) => meta.quantities.find((one) => one.name === chosen.quantity) ?? meta.quantities[0];

export function ofQuantity(data, chosen) {
  const { name } = known(data, chosen);
  return data.lines.filter((one) => one.quantity === name);
}

/** Values that the axis of the chosen quantity has to hold, over all steps; kept in `ends`. */
export function valuesOf(data, chosen) {
  const { name } = known(data, chosen);
  if (!data.ends.has(name)) data.ends.set(name, endsOf(ofQuantity(data, chosen).flatMap((one) => [one.low, one.high])));
  return data.ends.get(name);
}

export function isLog(data, chosen) {
  const wanted = chosen.axis === "auto" ? known(data, chosen).log : chosen.axis === "log";
  return wanted && fitsLog(valuesOf(data, chosen));
}

/** Keys of the lines of a BatchNorm mode. */
export const ofMode = ({ lines }, mode) => [...new Set(lines.filter((one) => one.key.endsWith(`, ${mode}`)).map((one) => one.key))];

/** The step `by` places on, of those that were measured. */
export function stepAfter({ meta }, chosen, by) {
  const place = meta.steps.indexOf(chosen.step) + by;
  return meta.steps[Math.min(Math.max(place, 0), meta.steps.length - 1)];
}

/** The lines at the chosen step, and those of the pinned one, dotted: { now, kept }. */
export function stepLines(data, chosen, pinned) {
  const { steps, stepWord } = data.meta;
  const all = ofQuantity(data, chosen);
  const moves = (one) => one.step !== chosen.step && (one.dated || all.some((other) => other.key === one.key && other.step !== one.step));
  const named = (one) => ({ ...one, name: `${one.name}, ${stepWord} ${one.step}` });
  const now = linesAtStep(all, chosen.step).map((one) => (steps.length > 1 && moves(one) ? named(one) : one));
  if (pinned === null || pinned === chosen.step) return { now, kept: [] };
  const kept = linesAtStep(all, pinned).map((one) => ({ ...named(one), seeds: 1, dash: "dot", key: `${one.key} (pinned)` }));
  return { now, kept };
}

/** The stages of all lines, where all have the same; else none: a band behind a line is of that line's network. */
export function sharedBounds(shown) {
  const [first, ...others] = shown.map(({ bounds = [] }) => bounds);
  const same = (one) => JSON.stringify(one) === JSON.stringify(first);
  return first && others.every(same) ? first : [];
}

/** The chosen law as a line, of the lines that are shown. */
export function theoryLines(data, chosen, shown) {
  if (!chosen.theory) return [];
  const series = shown.find((one) => one.network === chosen.through);
  if (chosen.theory === "factor") {
    if (!series) return [];
    const law = (layers) => chosen.factor ** layers;
    return [{ name: `× ${shortNumber(chosen.factor)} per layer towards the input, through ${series.name}`, source: "", ...throughMiddle(series, law) }];
  }
  const law = data.meta.theory.find((one) => one.name === chosen.theory);
  const line = law?.lines[chosen.through];
  if (!line || (law.quantity && law.quantity !== known(data, chosen).name)) return [];
  if (!law.through) return [{ name: law.name, source: "", x: line.x, y: line.y }];
  if (!series) return [];
  const value = (away) => line.y[Math.round(away - line.from)] ?? NaN;
  return [{ name: `${law.name}, through ${series.name}`, source: law.source, ...throughMiddle(series, value) }];
}
