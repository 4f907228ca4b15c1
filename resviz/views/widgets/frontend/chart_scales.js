// Scales, ticks, points and words of the depth chart. No DOM in here.
import { scaleLinear, scaleLog } from "d3-scale";

const TICK_DIGITS = [1, 2, 5];
const FULL_DECADES = 2; // below so many, a log axis also names 2 and 5
const LOG_FLOOR = -323.4; // log10 of the smallest number there is, and of the largest
const LOG_CEILING = 308.25;

/** The vertical axis: `position(value)` is 0 at the foot, 1 at the top, null where it has no place.
 *  Exact zeros of a log axis have none; `zeros` says that they need the strip below. `from` and `to`
 *  are decades there; `limits` are values. */
export function valueAxis(values, { log = false, limits = null } = {}) {
  const finite = values.filter(Number.isFinite);
  const [from, to] = log ? logLimits(finite) : limits ?? linearLimits(finite);
  const ends = log ? [10 ** from, 10 ** to] : [from, to];
  const scale = (log ? scaleLog() : scaleLinear()).domain(ends);
  return {
    log,
    from,
    to,
    limits: ends,
    zeros: log && finite.some((v) => v === 0),
    ticks: log ? logTicks(from, to) : linearTicks(from, to, 6),
    position(value) {
      const at = Number.isFinite(value) && !(log && value <= 0) ? scale(value) : NaN;
      return Number.isFinite(at) ? at : null;
    },
  };
}

function linearLimits(values) {
  if (!values.length) return [0, 1];
  const [low, high] = extent(values);
  const room = 0.07 * (high - low) || 0.1 * Math.abs(high) || 0.5;
  return [low - room, high + room];
}

function logLimits(values) {
  const logs = values.filter((v) => v > 0).map(Math.log10);
  if (!logs.length) return [-1, 1];
  const [low, high] = extent(logs);
  const room = Math.max(0.08 * (high - low), 0.15);
  return [Math.max(low - room, LOG_FLOOR), Math.min(high + room, LOG_CEILING)];
}

/** [smallest, largest] of numbers that are all finite. */
export function extent(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** Few values that ask for the same axis as all of `arrays`: the ends, the least above 0, a zero. */
export function endsOf(arrays) {
  let [low, high, least, zero] = [Infinity, -Infinity, Infinity, false];
  for (const values of arrays) {
    for (const value of values) {
      if (!Number.isFinite(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
      if (value > 0 && value < least) least = value;
      if (value === 0) zero = true;
    }
  }
  return [low, high, least, zero ? 0 : NaN].filter(Number.isFinite);
}

/** A log axis can show these: something to draw, and nothing below 0. */
export function fitsLog(values) {
  return !values.some((v) => v < 0);
}

const named = (value) => ({ value, label: shortNumber(value) });

/** Steps of 1, 2 or 5 times a power of ten; at most about `count` of them. */
export function linearTicks(from, to, count) {
  const scale = scaleLinear().domain([from, to]);
  for (let most = Math.max(Math.floor(count), 1); ; most -= 1) {
    const found = scale.ticks(most);
    if (found.length <= count + 1 || most === 1) return found.map(named);
  }
}

/** Decades; below two of them also 2 and 5; below a third of one, equal steps. */
export function logTicks(from, to) {
  if (to - from >= FULL_DECADES) return decadeTicks(from, to, Math.max(1, Math.round((to - from) / 6)));
  const inside = (value) => Math.log10(value) >= from && Math.log10(value) <= to;
  const all = scaleLog().domain([10 ** Math.floor(from), 10 ** Math.ceil(to)]).ticks(30);
  const found = all.filter((value) => inside(value) && TICK_DIGITS.includes(Number(value.toExponential(0)[0])));
  return found.length >= 2 ? found.map(named) : linearTicks(10 ** from, 10 ** to, 4);
}

/** Powers of ten, every `step` of them. */
export function decadeTicks(from, to, step) {
  const ticks = stepTicks(from, to, step).map(({ value }) => ({ value: Number(`1e${value}`), label: powerOfTen(value) }));
  return ticks.filter(({ value }) => value > 0 && Number.isFinite(value));
}

/** Multiples of a step. */
export function stepTicks(from, to, step) {
  const ticks = [];
  for (let n = Math.ceil(from / step); n * step <= to; n += 1) ticks.push(named(n * step));
  return ticks;
}

/** Whole layers, or equal steps where the positions are no whole numbers. */
export function depthTicks(low, high, count, whole) {
  const ticks = linearTicks(low, high, count);
  return whole ? ticks.filter(({ value }) => Number.isInteger(value)) : ticks;
}

/** [from, to] of the depth axis, with room at both ends. */
export function depthLimits(xs) {
  const finite = xs.filter(Number.isFinite);
  if (!finite.length) return [0, 1];
  const [low, high] = extent(finite);
  const whole = finite.every(Number.isInteger);
  const room = whole ? Math.max(0.02 * (high - low), 0.6) : 0.03 * (high - low) || 0.5;
  return [low - room, high + room];
}

const RAISED_SIGNS = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

/** 10 to the n-th, as text: "10⁻³". */
export function powerOfTen(n) {
  return `10${[...String(n)].map((sign) => RAISED_SIGNS[sign]).join("")}`;
}

/** Four significant digits; what is no number says so. */
export function shortNumber(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "no value";
  if (!Number.isFinite(value)) return value > 0 ? "infinite" : "minus infinite";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e-4 && size < 1e6) return String(Number(value.toPrecision(4)));
  const [digits, power] = value.toExponential(3).split("e");
  return `${Number(digits)}e${Number(power)}`;
}

/** Indices of the points on the line, by depth; projections stand beside it. */
export function lineOrder(series) {
  const order = [...series.x.keys()].filter((i) => !series.aside?.[i] && Number.isFinite(series.x[i]));
  return order.sort((a, b) => series.x[a] - series.x[b] || a - b);
}

/** The point nearest to (x, y) in pixels, or null when none is within reach. */
export function nearestPoint(points, x, y, reach) {
  let best = null;
  let least = reach * reach;
  for (const point of points) {
    const distance = (point.x - x) ** 2 + (point.y - y) ** 2;
    if (distance <= least) {
      least = distance;
      best = point;
    }
  }
  return best;
}

/** The depths where a cursor can stand: of every given series, once, in order. */
export function cursorStops(allSeries) {
  const found = new Set(allSeries.flatMap((series) => [...series.x].filter(Number.isFinite)));
  return [...found].sort((a, b) => a - b);
}

/** The stop nearest to a depth; the smaller one of two. */
export function nearestStop(stops, depth) {
  let best = null;
  for (const stop of stops) {
    if (best === null || Math.abs(stop - depth) < Math.abs(best - depth)) best = stop;
  }
  return best;
}

/** Where a key takes the cursor, or null for a key that does not move it. */
export function stopAfterKey(stops, depth, key) {
  if (!stops.length) return null;
  const start = depth === null ? -Infinity : depth;
  const after = stops.findIndex((stop) => stop > start);
  const next = after < 0 ? stops.length : after;
  const before = stops.filter((stop) => stop < start).length - 1;
  const places = {
    ArrowRight: next, ArrowUp: next, ArrowLeft: before, ArrowDown: before,
    PageUp: next + 9, PageDown: before - 9, Home: 0, End: stops.length - 1,
  };
  if (!(key in places)) return null;
  return stops[Math.min(Math.max(places[key], 0), stops.length - 1)];
}

/** Index of the point of a series nearest to a depth; points of the line go before projections. */
export function pointAtDepth(series, depth) {
  let best = -1;
  let least = Infinity;
  for (let i = 0; i < series.x.length; i += 1) {
    const away = Math.abs(series.x[i] - depth) + (series.aside?.[i] ? 1e-6 : 0);
    if (away < least) {
      least = away;
      best = i;
    }
  }
  return best;
}

/** One point in words: layer, network, depth, value over seeds, shape. */
export function pointWords(series, index) {
  const note = series.notes?.[index] || (series.aside?.[index] ? "projection" : "");
  const value = shortNumber(series.middle[index]);
  const several = series.seeds > 1
    ? `median ${value}, from ${shortNumber(series.low[index])} to ${shortNumber(series.high[index])} (${series.seeds} seeds)`
    : value;
  return {
    layer: series.layers[index] + (note ? ` (${note})` : ""),
    place: [series.name, `depth ${shortNumber(series.x[index])}`, series.stages?.[index]].filter(Boolean).join(", "),
    value: several,
    shape: series.shapes?.[index] ? `shape ${series.shapes[index]}` : "",
  };
}

/** What the chart shows, for those who do not see it. */
export function chartSummary(spec, shown) {
  const scale = spec.log ? "logarithmic" : "linear";
  const lines = shown.map((series) => {
    const drawn = [...series.middle].filter(Number.isFinite);
    const finite = [...series.x].filter(Number.isFinite);
    if (!drawn.length || !finite.length) return `${series.name}: no values`;
    const [low, high] = extent(drawn);
    const [first, last] = extent(finite);
    const zeros = drawn.filter((v) => v === 0).length;
    return `${series.name}: ${series.x.length} points, depth ${shortNumber(first)} to ${shortNumber(last)}, `
      + `values ${shortNumber(low)} to ${shortNumber(high)}${zeros ? `, ${zeros} exactly 0` : ""}`;
  });
  return `${spec.title} against depth, ${scale} axis. ${lines.join(". ") || "Nothing is shown"}.`;
}

/** The shown points as rows for a CSV file, every digit kept. */
export function chartRows(spec, shown) {
  const rows = [["quantity", "series", "layer", "depth", "stage", "shape", "projection", "median", "low", "high", "seeds"]];
  const known = (value) => (Number.isNaN(value) ? "" : value);
  for (const s of shown) {
    for (let i = 0; i < s.x.length; i += 1) {
      rows.push([spec.title, s.name, s.layers[i], known(s.x[i]), s.stages?.[i] ?? "", s.shapes?.[i] ?? "",
        s.aside?.[i] ? "yes" : "no", known(s.middle[i]), known(s.low[i]), known(s.high[i]), s.seeds]);
    }
  }
  return rows;
}

/** A law as a line through the middle one of a series' points: it says how fast, not how large. */
export function throughMiddle(series, law) {
  const order = lineOrder(series);
  const middle = order[Math.floor(order.length / 2)];
  const centre = series.x[middle];
  const size = series.middle[middle];
  return { x: order.map((i) => series.x[i]), y: order.map((i) => size * law(centre - series.x[i])) };
}
