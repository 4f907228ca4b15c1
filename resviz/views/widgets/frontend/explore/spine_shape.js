// Where everything stands along the spine: blocks, arcs, stages, curves. No DOM.

const SPINE_LEFT = 46;
const SPINE_RIGHT = 46;
export const SPINE_HEIGHT = 154;
export const SPINE_BLOCKS = { top: 36, height: 18 }; // of the boxes
export const SPINE_WORDS = 65; // base line of the words at the cursor: between the boxes and what is drawn below, over neither
export const SPINE_CURVE = { top: 74, bottom: 138, zero: 149 }; // zero: the strip of exact zeros

/** { places: [{ x, from, to, width }], stages: [{ name, from, to }], left, right }. */
export function spineLayout(places, width) {
  const [left, right] = [SPINE_LEFT, Math.max(SPINE_LEFT + 1, width - SPINE_RIGHT)];
  const step = (right - left) / Math.max(1, places.length);
  const wide = Math.min(36, Math.max(1, step * 0.62), step);
  const at = places.map((_, index) => {
    const x = left + (index + 0.5) * step;
    return { x, from: left + index * step, to: left + (index + 1) * step, width: wide };
  });
  return { places: at, stages: stagesOf(places, at), left, right, step };
}

/** Runs of places with one stage. */
function stagesOf(places, at) {
  const stages = [];
  places.forEach(({ stage }, index) => {
    const last = stages.at(-1);
    if (last && last.name === stage) last.to = at[index].to;
    else stages.push({ name: stage, from: at[index].from, to: at[index].to });
  });
  return stages.filter(({ name }) => name);
}

/** The way round a block: from before it to behind it, over its top. */
export function arcPath({ x, width, from, to }) {
  const margin = Math.min(1, (to - from) / 6); // between this arc and the next
  const [start, end] = [Math.max(from + margin, x - width / 2 - 5), Math.min(to - margin, x + width / 2 + 5)];
  const middle = SPINE_BLOCKS.top + SPINE_BLOCKS.height / 2;
  const radius = (end - start) / 2;
  const rise = Math.min(24, SPINE_BLOCKS.height / 2 + radius * 0.8);
  return `M${start.toFixed(1)},${middle} C${start.toFixed(1)},${middle - rise * 1.5} ${end.toFixed(1)},${middle - rise * 1.5} ${end.toFixed(1)},${middle}`;
}

/** Nearest place to an x. */
export function placeNear({ left, step, places }, x) {
  return Math.max(0, Math.min(places.length - 1, Math.floor((x - left) / step)));
}

/** Ends of the axis for some values, and whether there are exact zeros: { low, high, log, zeros }. */
export function axisOf(values, wantsLog) {
  const finite = values.filter((value) => value !== null && Number.isFinite(value));
  const positive = finite.filter((value) => value > 0);
  const log = wantsLog && finite.every((value) => value >= 0) && positive.length > 0;
  if (!log) {
    const [low, high] = [Math.min(0, ...finite), Math.max(...finite, 0)];
    return { low, high: high > low ? high : low + 1, log, zeros: false };
  }
  const [low, high] = [Math.log10(Math.min(...positive)), Math.log10(Math.max(...positive))];
  const slack = Math.max(0.15, (high - low) * 0.08);
  return { low: low - slack, high: high + slack, log, zeros: positive.length < finite.length };
}

/** The y of a value; exact zeros of a log axis lie on a line of their own below it. */
export function heightOf(value, { low, high, log }) {
  if (log && value === 0) return SPINE_CURVE.zero;
  const share = ((log ? Math.log10(value) : value) - low) / (high - low);
  return SPINE_CURVE.bottom - share * (SPINE_CURVE.bottom - SPINE_CURVE.top);
}

/** A path through the values that there are; gaps where there are none. */
export function curvePath(values, axis, layout) {
  let [path, pen] = ["", "M"];
  values.forEach((value, index) => {
    if (value === null || !Number.isFinite(value)) return void (pen = "M");
    path += `${pen}${layout.places[index].x.toFixed(1)},${heightOf(value, axis).toFixed(1)}`;
    pen = "L";
  });
  return path;
}

/** Two to five round numbers of the axis: [[value, y], ...]. */
export function axisTicks(axis) {
  const { low, high, log } = axis;
  const values = log ? logTicks(low, high) : linearTicks(low, high);
  return values.map((value) => [value, heightOf(value, axis)]);
}

function logTicks(low, high) {
  const first = Math.ceil(low);
  const powers = [];
  const step = Math.max(1, Math.ceil((high - low) / 3));
  for (let power = first; power <= high; power += step) powers.push(10 ** power);
  if (powers.length > 1) return powers;
  const ends = [10 ** low, 10 ** high];
  const round = [[1, 2, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9]].map((digits) => roundBetween(...ends, digits)).find((found) => found.length > 1);
  if (round) return [round[0], round.at(-1)];
  return [10 ** (low + (high - low) * 0.1), 10 ** (low + (high - low) * 0.9)].map((value) => Number(value.toPrecision(2)));
}

/** Numbers of one of these digits, as 0.2 and 50, between two positive ones. */
function roundBetween(least, most, digits) {
  const found = [];
  for (let power = Math.floor(Math.log10(least)); 10 ** power <= most; power += 1) {
    for (const digit of digits) found.push(Number((digit * 10 ** power).toPrecision(1)));
  }
  return found.filter((value) => value >= least && value <= most);
}

function linearTicks(low, high) {
  const rough = (high - low) / 2;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [5, 2, 1].map((times) => times * power).find((one) => one <= rough * (1 + 1e-9));
  const ticks = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) ticks.push(Number(value.toPrecision(6)));
  return ticks;
}
