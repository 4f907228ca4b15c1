// The depth chart without a browser: axes, zeros, ticks, nearest point, cursor, words, CSV.
import assert from "node:assert/strict";
import test from "node:test";

import {
  chartRows, chartSummary, cursorStops, depthLimits, depthTicks, endsOf, extent, fitsLog, lineOrder,
  linearTicks, logTicks, nearestPoint, nearestStop, pointAtDepth, pointWords, powerOfTen,
  shortNumber, stopAfterKey, throughMiddle, valueAxis,
} from "../../resviz/views/widgets/frontend/chart_scales.js";
import { doublesAt, linesAtStep } from "../../resviz/views/widgets/frontend/gradient_lines.js";
import { anatomyOrder, keepHint } from "../../resviz/views/widgets/frontend/residuals.js";

const labels = (ticks) => ticks.map((tick) => tick.label);

function series(middle, more = {}) {
  return {
    key: "a", name: "ResNet-8", seeds: 1, x: middle.map((_, i) => i + 1), middle, low: middle,
    high: middle, layers: middle.map((_, i) => `layer${i + 1}`), ...more,
  };
}

test("a log axis: decades are equally far apart, zeros have no place but a strip", () => {
  const axis = valueAxis([1e-4, 1e4, 0, NaN, Infinity], { log: true });
  assert.equal(axis.zeros, true);
  assert.equal(axis.position(0), null);
  assert.equal(axis.position(-1), null);
  assert.equal(axis.position(NaN), null);
  assert.equal(axis.position(Infinity), null);
  assert.ok(Math.abs(axis.position(1) - 0.5) < 1e-12);
  const step = axis.position(10) - axis.position(1);
  assert.ok(Math.abs(axis.position(100) - axis.position(10) - step) < 1e-12);
  assert.ok(axis.position(1e-4) > 0 && axis.position(1e4) < 1);
});

test("no strip without zeros, nor on a linear axis", () => {
  assert.equal(valueAxis([1, 2], { log: true }).zeros, false);
  const linear = valueAxis([0, 10]);
  assert.equal(linear.zeros, false);
  assert.ok(linear.position(0) > 0 && linear.position(0) < 0.1);
});

test("only zeros, no numbers, one number: the axis stays finite", () => {
  const zeros = valueAxis([0, 0], { log: true });
  assert.equal(zeros.zeros, true);
  assert.deepEqual([zeros.from, zeros.to], [-1, 1]);
  assert.deepEqual([valueAxis([NaN]).from, valueAxis([NaN]).to], [0, 1]);
  const one = valueAxis([3]);
  assert.ok(one.from < 3 && one.to > 3 && one.position(3) === 0.5);
  assert.ok(Math.abs(valueAxis([5], { log: true }).position(5) - 0.5) < 1e-12);
});

test("the smallest and the largest numbers there are", () => {
  const axis = valueAxis([5e-324, 1.7e308], { log: true });
  assert.ok(axis.position(5e-324) !== null && axis.position(1.7e308) <= 1);
  assert.ok(axis.ticks.length >= 4 && axis.ticks.every((t) => t.value > 0));
  assert.ok(valueAxis([1e-50, 1e-44], { log: true }).position(1e-47) > 0.3);
});

test("given limits are kept, and ticks lie inside", () => {
  const axis = valueAxis([0.2], { limits: [-0.02, 1.02] });
  assert.deepEqual([axis.from, axis.to], [-0.02, 1.02]);
  assert.deepEqual(labels(axis.ticks), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
});

test("ticks of a linear axis are steps of 1, 2 or 5", () => {
  assert.deepEqual(labels(linearTicks(0, 10, 5)), ["0", "2", "4", "6", "8", "10"]);
  assert.deepEqual(labels(linearTicks(-0.3, 0.3, 6)), ["-0.3", "-0.2", "-0.1", "0", "0.1", "0.2", "0.3"]);
  assert.deepEqual(labels(linearTicks(1e-7, 3e-7, 2)), ["1e-7", "2e-7", "3e-7"]);
});

test("ticks of a log axis: decades, then 2 and 5 too, then equal steps", () => {
  assert.deepEqual(labels(logTicks(-3.2, 0.1)), ["10⁻³", "10⁻²", "10⁻¹", "10⁰"]);
  assert.deepEqual(labels(logTicks(-12, 12)), ["10⁻¹²", "10⁻⁸", "10⁻⁴", "10⁰", "10⁴", "10⁸", "10¹²"]);
  assert.deepEqual(labels(logTicks(-0.2, 0.8)), ["1", "2", "5"]);
  const narrow = logTicks(Math.log10(3.1), Math.log10(3.9));
  assert.ok(narrow.length >= 2 && narrow.every((t) => t.value >= 3.1 && t.value <= 3.9));
  assert.equal(powerOfTen(-10), "10⁻¹⁰");
});

test("ticks of depth are whole layers", () => {
  assert.deepEqual(labels(depthTicks(0.4, 8.6, 10, true)), ["1", "2", "3", "4", "5", "6", "7", "8"]);
  assert.deepEqual(depthTicks(0, 56, 12, true)[1].value, 5);
  assert.deepEqual(depthTicks(0, 1202, 10, true)[1].value, 200);
  assert.deepEqual(labels(depthTicks(0, 1, 5, false)), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
  assert.deepEqual(depthLimits([1, 56]), [1 - 1.1, 56 + 1.1]);
  assert.deepEqual(depthLimits([3]), [2.4, 3.6]);
  assert.deepEqual(depthLimits([NaN]), [0, 1]);
});

test("numbers in words", () => {
  const said = { 0: "0", 0.123456: "0.1235", 12345.678: "12350", 1e-5: "1e-5", 1234567: "1.235e6" };
  for (const [value, text] of Object.entries(said)) assert.equal(shortNumber(Number(value)), text);
  assert.equal(shortNumber(NaN), "no value");
  assert.equal(shortNumber(null), "no value");
  assert.equal(shortNumber(-Infinity), "minus infinite");
  assert.equal(shortNumber(5e-324), "4.941e-324");
});

test("a line leaves projections out", () => {
  const order = lineOrder({ x: [3, 1, 2, NaN, 2], aside: [false, false, true, false, false] });
  assert.deepEqual(order, [1, 4, 0]);
});

test("the nearest point, within reach only", () => {
  const points = [{ x: 0, y: 0 }, { x: 10, y: 0 }, { x: 10, y: 9 }];
  assert.equal(nearestPoint(points, 8, 1, 20), points[1]);
  assert.equal(nearestPoint(points, 10, 6, 20), points[2]);
  assert.equal(nearestPoint(points, 100, 0, 20), null);
  assert.equal(nearestPoint([], 0, 0, 20), null);
});

test("keys take the cursor from layer to layer", () => {
  const stops = cursorStops([{ x: [1, 4, NaN] }, { x: [2, 4, 9] }]);
  assert.deepEqual(stops, [1, 2, 4, 9]);
  assert.equal(stopAfterKey(stops, 2, "ArrowRight"), 4);
  assert.equal(stopAfterKey(stops, 2, "ArrowLeft"), 1);
  assert.equal(stopAfterKey(stops, 9, "ArrowRight"), 9);
  assert.equal(stopAfterKey(stops, 1, "ArrowLeft"), 1);
  assert.equal(stopAfterKey(stops, 3, "ArrowRight"), 4); // between two layers
  assert.equal(stopAfterKey(stops, 3, "ArrowLeft"), 2);
  assert.equal(stopAfterKey(stops, null, "ArrowRight"), 1);
  assert.equal(stopAfterKey(stops, 4, "Home"), 1);
  assert.equal(stopAfterKey(stops, 1, "End"), 9);
  assert.equal(stopAfterKey(stops, 1, "PageUp"), 9);
  assert.equal(stopAfterKey(stops, 1, "a"), null);
  assert.equal(stopAfterKey([], 1, "End"), null);
  assert.equal(nearestStop(stops, 3), 2);
  assert.equal(nearestStop(stops, 100), 9);
  assert.equal(nearestStop([], 1), null);
});

test("at one depth the point of the line goes before the projection", () => {
  const both = series([5, 6, 7], { x: [2, 2, 3], aside: [true, false, false] });
  assert.equal(pointAtDepth(both, 2), 1);
  assert.equal(pointAtDepth(both, 2.9), 2);
  assert.equal(pointAtDepth(series([]), 1), -1);
});

test("a point in words: seeds, projections, shapes", () => {
  const one = series([0.5], { stages: ["layer1"], shapes: ["16 × 3"], aside: [true] });
  assert.deepEqual(pointWords(one, 0), {
    layer: "layer1 (projection)", place: "ResNet-8, depth 1, layer1", value: "0.5", shape: "shape 16 × 3",
  });
  const three = series([0.5], { seeds: 3, low: [0], high: [1], notes: ["padded"] });
  assert.equal(pointWords(three, 0).value, "median 0.5, from 0 to 1 (3 seeds)");
  assert.equal(pointWords(three, 0).layer, "layer1 (padded)");
});

test("the summary says range, zeros and what is missing", () => {
  const spec = { title: "Weight gradients", log: true };
  const text = chartSummary(spec, [series([0.5, 0, NaN]), series([NaN], { name: "empty" })]);
  assert.equal(text, "Weight gradients against depth, logarithmic axis. ResNet-8: 3 points, depth 1 to 3, "
    + "values 0 to 0.5, 1 exactly 0. empty: no values.");
  assert.match(chartSummary(spec, []), /Nothing is shown/);
});

test("rows of a CSV keep every digit; what is not known is empty", () => {
  const rows = chartRows({ title: "t" }, [series([0.1 + 0.2, NaN])]);
  assert.equal(rows[0][7], "median");
  assert.deepEqual(rows[1], ["t", "ResNet-8", "layer1", 1, "", "", "no", 0.1 + 0.2, 0.1 + 0.2, 0.1 + 0.2, 1]);
  assert.deepEqual(rows[2].slice(7), ["", "", "", 1]);
  assert.equal(chartRows({ title: "t" }, []).length, 1);
});

test("theory goes through the middle point of the line, off the projections", () => {
  const plain = series([8, 4, 2, 1], { x: [1, 2, 3, 4], aside: [false, false, false, false] });
  const { x, y } = throughMiddle(plain, (layers) => 2 ** layers);
  assert.deepEqual([x, y], [[1, 2, 3, 4], [8, 4, 2, 1]]);
  assert.deepEqual(throughMiddle(series([]), (v) => v), { x: [], y: [] });
});

test("small things", () => {
  assert.deepEqual(extent([2, -1, 5]), [-1, 5]);
  assert.equal(fitsLog([0, 1, NaN]), true);
  assert.equal(fitsLog([-1e-9, 1]), false);
});

test("at a step each line shows its last moment up to it, or else its first", () => {
  const moment = (key, step) => ({ key, step });
  const all = [moment("a", 0), moment("b", 50), moment("a", 100), moment("b", 200), moment("a", 10)];
  const steps = (step) => linesAtStep(all, step).map((one) => [one.key, one.step]);
  assert.deepEqual(steps(0), [["a", 0], ["b", 50]]);
  assert.deepEqual(steps(60), [["a", 10], ["b", 50]]);
  assert.deepEqual(steps(1000), [["a", 100], ["b", 200]]);
});

test("numbers below float32's least come through as they are", () => {
  const numbers = new Float64Array([1e-200, 0, -2.5, NaN]);
  const buffer = new ArrayBuffer(4 + numbers.byteLength); // not aligned to eight bytes
  new Uint8Array(buffer).set(new Uint8Array(numbers.buffer), 4);
  const read = doublesAt(new DataView(buffer), { dtype: "int32", shape: [8], at: 4 });
  assert.deepEqual([...read], [1e-200, 0, -2.5, NaN]);
});

test("channels by the size of a part, by branch over shortcut, or as they are", () => {
  const parts = { branch: [1, 3, 2], shortcut: [1, 6, 0.5], sum: null };
  assert.deepEqual(anatomyOrder(parts, "index", 3), [0, 1, 2]);
  assert.deepEqual(anatomyOrder(parts, "branch", 3), [1, 2, 0]);
  assert.deepEqual(anatomyOrder(parts, "ratio", 3), [2, 0, 1]);
  assert.deepEqual(anatomyOrder(parts, "sum", 3), [0, 1, 2]); // was not kept
});

test("the hint is Python that asks for the three parts", () => {
  assert.equal(keepHint("layer1.0.add"),
    'rv.record(net, images, keep=["layer1.0.add:shortcut", "layer1.0.add:branch", "layer1.0.add:sum"])');
  assert.match(keepHint('a"b'), /"a\\"b:shortcut"/);
});

test("few values ask for the same axis as all", () => {
  const arrays = [new Float64Array([5, 0, 1e-3]), [NaN, Infinity, 70]];
  assert.deepEqual(endsOf(arrays), [0, 70, 1e-3, 0]);
  assert.deepEqual(endsOf([[3, 2]]), [2, 3, 2]);
  assert.deepEqual(endsOf([[-1, -2]]), [-2, -1]);
  assert.deepEqual(endsOf([]), []);
  for (const log of [false, true]) {
    const [few, all] = [endsOf(arrays), arrays.flatMap((a) => [...a])].map((values) => valueAxis(values, { log }));
    assert.deepEqual([few.from, few.to, few.zeros], [all.from, all.to, all.zeros]);
  }
});
