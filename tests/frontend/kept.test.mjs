// What is made once and kept, and what is made ready while there is nothing else to do.

import assert from "node:assert/strict";
import { test } from "node:test";
import { histogramPath } from "../../resviz/views/widgets/frontend/explore/channel_foot.js";
import { createIdly, createKept } from "../../resviz/views/widgets/frontend/explore/kept.js";

test("what was made of an object is kept until it is of something else", () => {
  const [kept, of, photograph] = [createKept(2), {}, {}];
  let count = 0;
  const make = () => (count += 1);
  assert.deepEqual([kept(of, [photograph, 0.6], make), kept(of, [photograph, 0.6], make)], [1, 1]);
  assert.equal(kept(of, [photograph, 0.5], make), 2);
  assert.equal(kept(of, [{}, 0.5], make), 3);
});

test("of more than there is room for the longest unused is made again", () => {
  const [kept, first, second, third] = [createKept(2), {}, {}, {}];
  const made = [];
  for (const of of [first, second, first, third, first, second]) kept(of, [], () => made.push(of));
  assert.deepEqual(made.map((of) => [first, second, third].indexOf(of)), [0, 1, 2, 1]);
});

test("steps are taken while there is time; a newer list takes the place of the one before", () => {
  const [taken, waiting] = [[], []];
  const idly = createIdly((run) => waiting.push(run));
  const steps = function* (name) {
    for (const n of [1, 2, 3]) yield taken.push(name + n);
  };
  const turn = (times) => waiting.shift()({ timeRemaining: () => (times -= 1) * 2 });
  idly(steps("a"));
  turn(3);
  assert.deepEqual(taken, ["a1", "a2", "a3"]);
  turn(1); // there is no more to do
  idly(steps("b"));
  turn(1);
  idly(steps("c"));
  assert.equal(waiting.length, 1);
  turn(9);
  assert.deepEqual(taken.slice(3), ["b1", "c1", "c2", "c3"]);
  assert.equal(waiting.length, 0);
});

test("where the browser does not say how long it is idle, one step at a time", () => {
  const [taken, waiting] = [[], []];
  createIdly((run) => waiting.push(run))((function* () {
    for (const n of [1, 2]) yield taken.push(n);
  })());
  waiting.shift()();
  assert.deepEqual([taken, waiting.length], [[1], 1]);
});

test("a histogram is one path, a bar of at least a pixel for each bin that has values", () => {
  const bars = histogramPath(Float32Array.of(0, 0, 0, 0, 1)).split("z").filter(Boolean);
  assert.equal(bars.length, 24);
  assert.equal(bars[0], "M0,20v-20h3V20");
  assert.equal(bars[1], "M4,20v0h3V20");
  assert.equal(bars[23], "M92,20v-5h3V20");
});
