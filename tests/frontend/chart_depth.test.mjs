// The depth chart as data for the pen: axes, strip of zeros, bands, symbols. Ticks of the pen.
import assert from "node:assert/strict";
import test from "node:test";

import { depthChartOf, pointsOf } from "../../resviz/views/widgets/frontend/chart_depth.js";
import { dashOf, ticksOf } from "../../resviz/views/widgets/frontend/chart_pen.js";

const SIZE = { width: 488, height: 298 }; // 400 x 228 inside

function series(middle, more = {}) {
  return { key: "a", name: "a", colour: 0, seeds: 1, x: middle.map((_, i) => i + 1), middle, low: middle, high: middle, layers: middle.map(String), ...more };
}

function made(all, more = {}) {
  return depthChartOf({ title: "t", axis: "norm", xTitle: "depth", log: true, series: all, ...more }, all, SIZE);
}

test("exact zeros of a log axis have a strip of 22 pixels below it, and break the line", () => {
  const chart = made([series([4, 0, 1])]);
  assert.deepEqual(Object.keys(chart.axes).sort(), ["x", "y", "y2"]);
  assert.equal(Math.round(chart.axes.y2.domain[1] * 228), 22);
  assert.equal(Math.round(chart.axes.y.domain[0] * 228), 28);
  assert.equal(chart.axes.x.anchor, "y2");
  const [line, above, zero] = chart.marks;
  assert.deepEqual([line.y, line.width, line.size], [[4, null, 1], 2, 0]);
  assert.deepEqual([above.yaxis, above.x, above.y], ["y", [1, 3], [4, 1]]);
  assert.deepEqual([zero.yaxis, zero.x, zero.y], ["y2", [2], [0]]);
  assert.equal(made([series([4, 0, 1])], { log: false }).axes.y2, undefined);
});

test("a band goes to the foot where some seeds are 0, and breaks where there is no number", () => {
  const seeds = series([1, 2, NaN, 4], { seeds: 2, low: [0, 1, NaN, 3], high: [2, 3, NaN, 5] });
  const chart = made([seeds]);
  const band = chart.marks[0];
  assert.deepEqual(band.x, [1, 2, 2, 1, null, 4, 4, null]);
  assert.deepEqual(band.y, [2, 3, 1, chart.axes.y.limits[0], null, 5, 3, null]);
  assert.deepEqual(chart.marks.filter((mark) => mark.yaxis === "y2").map((mark) => mark.symbol), ["circle-open"]);
});

test("points by their symbols; many points have no marks but can be pointed at", () => {
  const shaped = series([1, 2, 3], { symbols: ["circle", "diamond-open", "circle"] });
  const marks = made([shaped]).marks.slice(1);
  assert.deepEqual(marks.map((mark) => [mark.symbol, mark.x.length]), [["circle", 2], ["diamond-open", 1]]);
  const many = series(Array.from({ length: 131 }, (_, i) => i + 1));
  assert.equal(made([many]).marks.length, 1);
  assert.equal(pointsOf(many, { log: true, zeros: false }).length, 131);
  assert.deepEqual(pointsOf(series([NaN, -1]), { log: true, zeros: false }), []);
});

test("stages behind every axis, named once; a level as a dotted rule", () => {
  const { below } = made([series([1, 0])], { stages: [{ name: "layer1", from: 0.5, to: 2.5 }], reference: 1 });
  assert.deepEqual(below.map((one) => [one.kind, one.yaxis ?? one.yref, one.text]), [["stripe", "y", "layer1"], ["stripe", "y2", ""], ["rule", "y", undefined]]);
});

test("ticks as Python's charts ask for them: their own, steps, decades", () => {
  const axis = { ticks: null, step: null, log: false, limits: [0.4, 8.6] };
  const values = (more) => ticksOf({ ...axis, ...more }, 600).map(({ value }) => value);
  assert.deepEqual(values({ step: 2 }), [2, 4, 6, 8]);
  assert.deepEqual(values({ ticks: [[0, "0"], [3, "three"]] }), [3]);
  assert.deepEqual(values({ log: true, limits: [1e-5, 1e3], step: 2 }), [1e-4, 1e-2, 1, 100]);
  assert.deepEqual(values({ limits: [10, 0] }), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]); // backwards
  assert.deepEqual([dashOf("solid"), dashOf("dot"), dashOf("8 3")], [null, "2 3", "8 3"]);
});
