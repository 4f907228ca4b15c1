// What explore_gradients draws, by hand: quantities, steps, laws.
import assert from "node:assert/strict";
import test from "node:test";

import * as lines from "../../resviz/views/widgets/frontend/gradient_lines.js";

const x = [1, 2, 3];
const one = (network, step, middle, more = {}) => ({ key: network, name: network, network, step, x, middle, low: middle, high: middle, quantity: "q", ...more });
const META = {
  ...{ quantities: [{ name: "q", log: true }, { name: "r", log: false }], steps: [0, 10, 20], stepWord: "step" },
  theory: [{ name: "flat", source: "a paper", lines: { a: { from: -1, y: [1, 1, 1] } }, through: true, quantity: "q" }],
};
const DATA = () => ({ meta: META, lines: [one("a", 0, [1, 2, 4]), one("a", 10, [2, 2, 2]), one("b", 0, [3, 0, 9])], ends: new Map() });
const CHOSEN = { ...lines.FIRST_PROFILES, quantity: "q", through: "a" };

test("the chosen quantity, its lines, and a log axis where all can be on one", () => {
  assert.equal(lines.known(DATA(), { ...CHOSEN, quantity: "none" }).name, "q");
  assert.equal(lines.ofQuantity(DATA(), CHOSEN).length, 3);
  assert.deepEqual(lines.valuesOf(DATA(), CHOSEN), [0, 9, 1, 0]);
  assert.equal(lines.isLog(DATA(), CHOSEN), true);
  assert.equal(lines.isLog(DATA(), { ...CHOSEN, axis: "linear" }), false);
  const negative = { ...DATA(), lines: [one("a", 0, [-1, 2, 4])] };
  assert.equal(lines.isLog(negative, { ...CHOSEN, axis: "log" }), false);
});

test("stages are shaded where all networks that are shown have the same", () => {
  const bounds = [{ name: "layer1", from: 0.5, to: 2.5 }];
  const [here, there] = [one("a", 0, [1, 2, 4], { bounds }), one("b", 0, [3, 0, 9], { bounds: structuredClone(bounds) })];
  assert.deepEqual(lines.sharedBounds([here, there]), bounds);
  assert.deepEqual(lines.sharedBounds([here, { ...there, bounds: [{ ...bounds[0], to: 9.5 }] }]), []);
  assert.deepEqual(lines.sharedBounds([here, one("c", 0, [1, 1, 1])]), []);
  assert.deepEqual(lines.sharedBounds([]), []);
});

test("a step names the lines that are of another one; the pinned ones stand beside, dotted", () => {
  const { now, kept } = lines.stepLines(DATA(), { ...CHOSEN, step: 20 }, null);
  assert.deepEqual(now.map(({ name }) => name), ["a, step 10", "b"]);
  assert.deepEqual(kept, []);
  const pinned = lines.stepLines(DATA(), { ...CHOSEN, step: 20 }, 0);
  assert.deepEqual(pinned.kept.map(({ name, dash, key }) => [name, dash, key]), [["a, step 0", "dot", "a (pinned)"], ["b, step 0", "dot", "b (pinned)"]]);
  const dated = { ...DATA(), lines: [one("a", 0, [1, 2, 4]), one("b", 20, [3, 0, 9], { dated: true })] };
  assert.deepEqual(lines.stepLines(dated, { ...CHOSEN, step: 0 }, null).now.map(({ name }) => name), ["a", "b, step 20"]);
  assert.deepEqual([-1, 1, 5].map((by) => lines.stepAfter(DATA(), { ...CHOSEN, step: 10 }, by)), [0, 20, 20]);
});

test("a law goes through the middle of its network, and says nothing of another quantity", () => {
  const [shown] = [DATA().lines.slice(0, 1)];
  assert.deepEqual(lines.theoryLines(DATA(), CHOSEN, shown), []);
  const [law] = lines.theoryLines(DATA(), { ...CHOSEN, theory: "flat" }, shown);
  assert.deepEqual([law.name, law.source, law.y], ["flat, through a", "a paper", [2, 2, 2]]);
  const [factor] = lines.theoryLines(DATA(), { ...CHOSEN, theory: "factor", factor: 2 }, shown);
  assert.deepEqual(factor.y, [4, 2, 1]);
  assert.deepEqual(lines.theoryLines(DATA(), { ...CHOSEN, theory: "flat", quantity: "r" }, shown), []);
  assert.deepEqual(lines.theoryLines(DATA(), { ...CHOSEN, theory: "factor", through: "c" }, shown), []);
});
