// The pen of charts in the browser: draws what resviz/views/charts/to_browser.py gives, as SVG.
// Lines, areas, points, words, rules and stripes; title and legend stand around the drawing.
/*! Parts of d3-axis, d3-scale, d3-selection, d3-shape and what they need:
Copyright 2010-2026 Mike Bostock

Permission to use, copy, modify, and/or distribute this software for any purpose
with or without fee is hereby granted, provided that the above copyright notice
and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND
FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS
OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER
TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF
THIS SOFTWARE. */
import { axisBottom, axisLeft } from "d3-axis";
import { scaleLinear, scaleLog } from "d3-scale";
import { select } from "d3-selection";
import {
  line, symbol, symbolCircle, symbolDiamond2, symbolSquare, symbolTimes, symbolTriangle,
} from "d3-shape";
import { decadeTicks, linearTicks, logTicks, stepTicks } from "./chart_scales.js";
import { svgElement } from "./controls.js";

const DASHES = { solid: null, dash: "7 4", dot: "2 3", dashdot: "7 3 2 3" };
const NUMBERS = "fill:var(--rv-faint);font-size:11px";
const FRAME = "fill:none;stroke:var(--rv-faint);stroke-width:1";
const UNDER = { top: 0.8, middle: 0.33, bottom: -0.2 }; // the line of writing, in heights of a letter
const ANCHORS = { left: "start", center: "middle", right: "end" };
/** By name: d3's shape, its area for a radius of 1, whether it stands on its head. */
const SHAPES = {
  circle: [symbolCircle, Math.PI, false],
  square: [symbolSquare, 4, false],
  diamond: [symbolDiamond2, 5, false],
  triangle: [symbolTriangle, 3.05, false],
  "triangle-up": [symbolTriangle, 3.05, false],
  "triangle-down": [symbolTriangle, 3.05, true],
  x: [symbolTimes, 5, false],
};

/** A dash by its name, for stroke-dasharray; what is no name is a dash already. */
export const dashOf = (name) => (name in DASHES ? DASHES[name] : name);

/** A point; a symbol named "diamond-open" is an outline. `size`: its diameter. */
export function pointMark(name, x, y, colour, size) {
  const open = name.endsWith("-open");
  const [shape, area, turned] = SHAPES[name.replace("-open", "")];
  return svgElement("path", {
    d: symbol(shape, area * (size / 2) ** 2)(), transform: `translate(${x.toFixed(1)},${y.toFixed(1)})${turned ? " rotate(180)" : ""}`,
    style: open ? `fill:var(--rv-back);stroke:${colour};stroke-width:1.5` : `fill:${colour};stroke:none`,
  });
}

/**
 * Draws `chart` in `svg`, `width` pixels wide; `id` is unique on the page. Returns { width, left,
 * right, top, bottom, on }: `on(name)` is the d3 scale of an axis, from values to pixels.
 */
export function drawChart(svg, chart, { width, id }) {
  const place = placeOf(chart, width);
  for (const [name, value] of [["viewBox", `0 0 ${width} ${chart.height}`], ["width", width], ["height", chart.height]]) svg.setAttribute(name, value);
  const stripes = chart.below.filter((one) => one.kind === "stripe");
  const rules = chart.below.filter((one) => one.kind === "rule");
  const clips = new Map(Object.keys(chart.axes).filter((name) => name[0] === "y").map((name) => [name, clipOf(place, name, `${id}-${name}`)]));
  const inside = (mark, nodes) => svgElement("g", { "clip-path": `url(#${clips.get(mark.yaxis).id})` }, ...nodes);
  const strokes = chart.marks.map((mark) => inside(mark, drawStroke(place, mark))).filter((node) => node.childNodes.length);
  svg.replaceChildren(
    ...clips.values(), ...stripes.flatMap((one) => drawStripe(place, one)),
    ...Object.keys(chart.axes).flatMap((name) => drawAxis(place, chart, name)), ...rules.map((one) => drawRule(place, one)),
    ...strokes, ...chart.marks.flatMap((mark) => drawPoints(place, mark)), ...chart.notes.map((note) => drawNote(place, note)),
  );
  return place;
}

// ---- where things stand
function placeOf(chart, width) {
  const { left, right, top, bottom } = chart.margin;
  const [across, up] = [width - left - right, chart.height - top - bottom];
  const scales = new Map();
  for (const [name, axis] of Object.entries(chart.axes)) {
    const [from, to] = axis.domain;
    const range = name[0] === "x" ? [left + from * across, left + to * across] : [top + (1 - from) * up, top + (1 - to) * up];
    scales.set(name, (axis.log ? scaleLog() : scaleLinear()).domain(axis.limits).range(range));
  }
  return { width, left, right: width - right, top, bottom: chart.height - bottom, axes: chart.axes, on: (name) => scales.get(name) };
}

/** Pixels of a value, or null where the axis has no place for it. */
export function pixelOn(place, name, value) {
  if (!Number.isFinite(value) || (place.axes[name].log && value <= 0)) return null;
  const at = place.on(name)(value);
  return Number.isFinite(at) ? at : null;
}

/** Pixels of a value, or of a share of what an axis spans ("x domain") or of the whole ("paper"). */
function pixelAt(place, ref, value, way) {
  if (ref === "paper") return way === "x" ? place.left + value * (place.right - place.left) : place.bottom - value * (place.bottom - place.top);
  const [name, domain] = ref.split(" ");
  if (!domain) return pixelOn(place, name, value);
  const [from, to] = place.on(name).range();
  return from + value * (to - from);
}

function clipOf(place, name, id) {
  const [foot, head] = place.on(name).range();
  const [left, right] = place.on(place.axes[name].anchor ?? "x").range();
  return svgElement("clipPath", { id }, svgElement("rect", { x: left, y: head, width: right - left, height: foot - head }));
}

// ---- axes
function drawAxis(place, chart, name) {
  const axis = chart.axes[name];
  if (!axis.visible) return [];
  const [from, to] = place.on(name).range();
  const [x, y] = name[0] === "x" ? [from, footOf(place, axis)] : [place.on(axis.anchor ?? "x").range()[0], to];
  const ticks = ticksOf(axis, Math.abs(to - from));
  const words = new Map(ticks.map(({ value, label }) => [value, label]));
  const make = name[0] === "x" ? axisBottom(place.on(name)).tickSize(4).tickPadding(5) : axisLeft(place.on(name)).tickSize(0).tickPadding(8);
  if (axis.grid) make.tickSizeInner(-(place.right - place.left));
  const group = svgElement("g", { transform: name[0] === "x" ? `translate(0,${y})` : `translate(${x},0)` });
  select(group).call(make.offset(0).tickValues([...words.keys()]).tickFormat((value) => words.get(value)))
    .attr("font-family", null).call((all) => all.select(".domain").remove());
  select(group).selectAll("text").attr("style", NUMBERS);
  select(group).selectAll("line").attr("style", axis.grid ? "stroke:var(--rv-line);stroke-opacity:0.55;stroke-width:1" : "stroke:var(--rv-faint)");
  const right = place.on(axis.anchor ?? "x").range()[1];
  const frame = name[0] === "y" ? [svgElement("path", { d: `M${x},${to}V${from}H${right}`, style: FRAME })] : [];
  return [group, ...frame, ...axisTitle(axis, name, x, y, from, to)];
}

function footOf(place, axis) {
  return place.on(axis.anchor ?? "y").range()[0];
}

function axisTitle(axis, name, x, y, from, to) {
  if (!axis.title) return [];
  const middle = (from + to) / 2;
  const turn = name[0] === "x" ? `translate(${middle},${y + 38})` : `translate(${x - 58},${middle}) rotate(-90)`;
  return [textAt(0, 0, axis.title, { transform: turn })];
}

/** [{ value, label }] inside of the limits: the axis's own, or numbers as there is room for. */
export function ticksOf(axis, pixels) {
  const [low, high] = [...axis.limits].sort((a, b) => a - b);
  if (axis.ticks) return axis.ticks.map(([value, label]) => ({ value, label })).filter(({ value }) => value >= low && value <= high);
  if (axis.log) return axis.step ? decadeTicks(Math.log10(low), Math.log10(high), axis.step) : logTicks(Math.log10(low), Math.log10(high));
  return axis.step ? stepTicks(low, high, axis.step) : linearTicks(low, high, Math.max(Math.floor(pixels / 60), 2));
}

// ---- marks
function drawStroke(place, mark) {
  if (mark.kind === "area") {
    return [svgElement("path", { d: pathOf(place, mark, "Z"), style: `fill:${mark.fill};fill-opacity:${mark.opacity ?? 1};stroke:none` })];
  }
  if (mark.kind !== "series" || !mark.width || mark.unseen) return [];
  const style = `fill:none;stroke:${mark.colour};stroke-width:${mark.width};stroke-linejoin:round`;
  return [svgElement("path", { d: pathOf(place, mark), "stroke-dasharray": dashOf(mark.dash), style })];
}

/** What has no place on the axes breaks a line, and begins another outline. */
function pathOf(place, { x, y, xaxis, yaxis }, close = "") {
  const [xs, ys] = [[...x].map((value) => pixelOn(place, xaxis, value)), [...y].map((value) => pixelOn(place, yaxis, value))];
  /** @type {import("d3-shape").Line<number>} */
  const draw = line();
  draw.x((i) => xs[i]).y((i) => ys[i]).defined((i) => xs[i] !== null && ys[i] !== null).digits(1);
  const path = draw([...xs.keys()]) ?? "";
  return close ? path.replace(/(?<=.)M/g, `${close}M`) + (path && close) : path;
}

function drawPoints(place, mark) {
  if (mark.kind === "words") return mark.texts.flatMap((text, i) => wordsAt(place, mark, text, i));
  if (mark.kind === "area") return [];
  if (mark.kind !== "series") throw new Error(`chart: a ${mark.kind}; series, area or words would be right.`);
  if (!mark.size || mark.unseen) return [];
  return [...mark.x.keys()].flatMap((i) => {
    const [x, y] = [pixelOn(place, mark.xaxis, mark.x[i]), pixelOn(place, mark.yaxis, mark.y[i])];
    return x === null || y === null ? [] : [pointMark(mark.symbol, x, y, mark.colour, mark.size)];
  });
}

function wordsAt(place, mark, text, i) {
  const [x, y] = [pixelOn(place, mark.xaxis, mark.x[i]), pixelOn(place, mark.yaxis, mark.y[i])];
  if (x === null || y === null) return [];
  const anchor = { left: "end", center: "middle", right: "start" }[mark.place.split(" ")[1]];
  return [textAt(x, y + mark.size / 3, text, { anchor, colour: mark.colour, size: mark.size })];
}

// ---- below and beside the marks
function drawStripe(place, { x, yaxis, fill, text, xaxis }) {
  const [foot, head] = place.on(yaxis).range();
  const [from, to] = place.on(xaxis).range();
  const left = x ? Math.max(place.on(xaxis)(x[0]), from) : from;
  const right = x ? Math.min(place.on(xaxis)(x[1]), to) : to;
  if (right <= left) return [];
  const shade = fill ? [svgElement("rect", { x: left, y: head, width: right - left, height: foot - head, style: `fill:${fill};stroke:none` })] : [];
  const words = stripeWords(place, text, [left, right], [from, to]);
  return [...shade, ...(words ? [textAt(words.x, head - 8, text, { anchor: words.anchor, colour: "var(--rv-faint)", size: 11 })] : [])];
}

/** Over the stripe; of a narrow one at an end of the axis beside it, where the margin has room; null where nothing has. */
function stripeWords(place, text, [left, right], [from, to]) {
  const long = 6.4 * (text?.length ?? 0);
  if (!long) return null;
  if (right - left > long) return { x: (left + right) / 2, anchor: "middle" };
  if (left - from < long / 2 && right - long > 4) return { x: right, anchor: "end" };
  if (to - right < long / 2 && left + long < place.width) return { x: left, anchor: "start" };
  return null;
}

function drawRule(place, { x, y, xref, yref, colour, width, dash }) {
  const [x1, x2] = x.map((value) => pixelAt(place, xref, value, "x"));
  const [y1, y2] = y.map((value) => pixelAt(place, yref, value, "y"));
  return svgElement("line", { x1, x2, y1, y2, "stroke-dasharray": dashOf(dash), style: `stroke:${colour};stroke-width:${width}` });
}

function drawNote(place, note) {
  const x = pixelAt(place, note.xref, note.x, "x") + note.shift[0];
  const y = pixelAt(place, note.yref, note.y, "y") - note.shift[1] + note.size * UNDER[note.anchor[1]];
  const transform = note.upright ? `rotate(-90 ${x} ${y})` : null;
  return textAt(x, y, note.text, { anchor: ANCHORS[note.anchor[0]], colour: note.colour, size: note.size, transform });
}

function textAt(x, y, text, { anchor = "middle", colour = "var(--rv-ink)", size = 12, transform = null } = {}) {
  const lines = String(text).split("\n");
  const parts = lines.length > 1 ? lines.map((words, n) => svgElement("tspan", { x, dy: n ? "1.2em" : 0 }, words)) : lines;
  return svgElement("text", { x, y, "text-anchor": anchor, transform, style: `fill:${colour};font-size:${size}px` }, ...parts);
}

