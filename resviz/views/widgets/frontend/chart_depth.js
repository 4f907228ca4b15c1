// The depth chart as data: the same chart that resviz/views/figures/depth.py makes, for the pen.
import { depthLimits, depthTicks, lineOrder, valueAxis } from "./chart_scales.js";

const MARGIN = { top: 24, right: 14, bottom: 46, left: 74 };
const ZERO_STRIP = 22; // pixels of the strip for exact zeros
const ZERO_GAP = 6;
const MANY = 130; // points without markers
const POINT = 5.2; // pixels
const OPEN_POINT = 7.2;
const SERIES_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "ink", "#8C7B00"];
const THEORY_DASHES = ["2 3", "8 3 2 3", "6 4"];

/** Okabe and Ito's colours, as the plotly figures have them; black is the ink of the theme. */
export function seriesColour(index) {
  const colour = SERIES_COLOURS[index % SERIES_COLOURS.length];
  return colour === "ink" ? "var(--rv-ink)" : colour;
}

export const theoryDash = (index) => THEORY_DASHES[index % THEORY_DASHES.length];

/** A Chart of `spec` (see chart.js) with the series that are shown, for a drawing of that size. */
export function depthChartOf(spec, shown, { width, height }) {
  const value = verticalAxis(spec);
  const margin = { ...MARGIN, right: MARGIN.right + (spec.roomRight ?? 0) };
  const depth = depthAxis(spec, width - margin.left - margin.right, value.zeros ? "y2" : "y");
  const up = height - MARGIN.top - MARGIN.bottom;
  const foot = value.zeros ? (ZERO_STRIP + ZERO_GAP) / up : 0;
  const look = { visible: true, grid: false, log: false, title: "", anchor: "x", domain: [0, 1] };
  const axes = {
    y: { ...look, title: spec.axis, log: value.log, limits: value.limits, domain: [foot, 1], grid: true, ticks: value.ticks.map((tick) => [tick.value, tick.label]) },
    x: { ...look, ...depth },
    ...(value.zeros && { y2: { ...look, limits: [-1, 1], domain: [0, ZERO_STRIP / up], ticks: [[0, "0"]] } }),
  };
  const marks = [
    ...shown.flatMap((series) => bandOf(series, value)), ...(spec.theory ?? []).map(theoryOf),
    ...shown.map((series) => lineOf(series, value)), ...shown.flatMap((series) => pointMarksOf(series, value)),
  ];
  const lines = spec.conditions ?? [];
  return { title: spec.title, lines, height, width, margin, axes, marks, below: belowOf(spec, value), notes: [] };
}

function verticalAxis(spec) {
  const values = spec.extent ?? spec.series.flatMap((series) => [...series.low, ...series.middle, ...series.high]);
  const level = Number.isFinite(spec.reference) ? [spec.reference] : [];
  return valueAxis([...values, ...level], { log: spec.log, limits: spec.limits });
}

function depthAxis(spec, across, anchor) {
  const depths = spec.series.flatMap((series) => [...series.x]);
  const limits = spec.xLimits ?? depthLimits(depths);
  const whole = depths.every((value) => !Number.isFinite(value) || Number.isInteger(value));
  const ticks = depthTicks(...limits, Math.max(Math.floor(across / 60), 2), whole);
  return { title: spec.xTitle, limits, anchor, ticks: ticks.map((tick) => [tick.value, tick.label]) };
}

/** Stages, every other one shaded, over the axis and over its strip; a level as a dotted line. */
function belowOf({ stages = [], reference }, { zeros }) {
  const stripes = stages.flatMap(({ name, from, to }, n) => (zeros ? ["y", "y2"] : ["y"]).map((yaxis) => ({
    kind: "stripe", x: [from, to], xaxis: "x", yaxis, fill: n % 2 ? "" : "var(--rv-card)", text: yaxis === "y" ? name : "",
  })));
  const level = { kind: "rule", x: [0, 1], xref: "x domain", y: [reference, reference], yref: "y", colour: "var(--rv-faint)", width: 1, dash: "dot" };
  return Number.isFinite(reference) ? [...stripes, level] : stripes;
}

// ---- marks
const MARK = { xaxis: "x", yaxis: "y", width: 0, size: 0, dash: "solid", symbol: "circle", unseen: false };

/** From the smallest to the largest of several seeds; on a log axis down to its foot where one is 0. */
function bandOf(series, { log, limits }) {
  if (!(series.seeds > 1)) return [];
  const area = { ...MARK, kind: "area", name: `${series.name}, range`, fill: seriesColour(series.colour), opacity: 0.18, x: [], y: [] };
  const low = (i) => (log && series.low[i] === 0 ? limits[0] : series.low[i]);
  const drawn = (i) => [low(i), series.high[i]].every((value) => Number.isFinite(value) && (!log || value > 0));
  for (const run of runsOf(lineOrder(series), drawn)) {
    const back = [...run].reverse();
    area.x.push(...[...run, ...back].map((i) => series.x[i]), null);
    area.y.push(...run.map((i) => series.high[i]), ...back.map(low), null);
  }
  return [area];
}

/** Runs of neighbours of which something is so. */
function runsOf(order, so) {
  const runs = [[]];
  for (const index of order) {
    if (so(index)) runs.at(-1).push(index);
    else runs.push([]);
  }
  return runs.filter((run) => run.length);
}

function lineOf(series, { log }) {
  const order = lineOrder(series);
  const y = order.map((i) => (log && !(series.middle[i] > 0) ? null : series.middle[i]));
  const look = { name: series.name, colour: seriesColour(series.colour), width: 2, dash: series.dash ?? "solid" };
  return { ...MARK, kind: "series", ...look, x: order.map((i) => series.x[i]), y };
}

function theoryOf(law, number) {
  return { ...MARK, kind: "series", name: law.name, colour: "var(--rv-ink)", width: 1.5, dash: theoryDash(number), x: law.x, y: law.y };
}

/** One mark for each place and symbol of a series' points. */
function pointMarksOf(series, value) {
  const marks = new Map();
  for (const point of pointsOf(series, value).filter((one) => one.marked)) {
    const key = `${point.yaxis} ${point.symbol}`;
    if (!marks.has(key)) {
      const size = point.symbol.endsWith("-open") ? OPEN_POINT : POINT;
      marks.set(key, { ...MARK, kind: "series", name: series.name, colour: seriesColour(series.colour), size, symbol: point.symbol, yaxis: point.yaxis, x: [], y: [] });
    }
    marks.get(key).x.push(point.depth);
    marks.get(key).y.push(point.value);
  }
  return [...marks.values()];
}

/** Every point of a series: { series, index, depth, value, yaxis, symbol, marked }. Zeros of a log
 *  axis stand in the strip, "y2", open where only some seeds are 0. */
export function pointsOf(series, { log, zeros }) {
  const points = [];
  const few = series.x.length <= MANY;
  for (let index = 0; index < series.x.length; index += 1) {
    if (!Number.isFinite(series.x[index])) continue;
    const symbol = series.symbols?.[index] ?? (series.aside?.[index] ? "diamond-open" : "circle");
    const own = few || Boolean(series.aside?.[index]) || symbol !== "circle";
    const [at, value] = [{ series, index, depth: series.x[index] }, series.middle[index]];
    if (Number.isFinite(value) && !(log && value <= 0)) points.push({ ...at, value, yaxis: "y", symbol, marked: own });
    if (zeros && series.low[index] === 0) {
      points.push({ ...at, value: 0, yaxis: "y2", symbol: value === 0 ? symbol : "circle-open", marked: true });
    }
  }
  return points;
}
