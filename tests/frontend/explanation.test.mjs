// Maps of an explanation: any class at the head, records, where a map comes from.
import assert from "node:assert/strict";
import test from "node:test";

import { brokenLines } from "../../resviz/views/widgets/frontend/explanation_export.js";
import {
  checkOf,
  classOdds,
  enlargedPixels,
  explanationOf,
  halfValue,
  headMap,
  headNumbers,
  mapScale,
  mapSource,
  offeredOf,
  positivePart,
  recordedMap,
  recordedPosition,
  targetName,
} from "../../resviz/views/widgets/frontend/explanation_maps.js";

const viewOf = (...arrays) => {
  const bytes = Buffer.concat(arrays.map((one) => Buffer.from(one.buffer, one.byteOffset, one.byteLength)));
  const copy = new Uint8Array(bytes);
  return new DataView(copy.buffer);
};

test("half precision: normal, subnormal, zero, signs, not finite", () => {
  assert.equal(halfValue(0x3c00), 1);
  assert.equal(halfValue(0xc000), -2);
  assert.equal(halfValue(0x3555), 0.333251953125);
  assert.equal(halfValue(0x0001), 2 ** -24);
  assert.equal(halfValue(0x0000), 0);
  assert.equal(halfValue(0xfc00), -Infinity);
  assert.ok(Number.isNaN(halfValue(0x7e00)));
});

test("numbers of the head in all three kinds", () => {
  const floats = new Float32Array([1.5, -2]);
  const described = { kind: "float32", shape: [2], values: { dtype: "float32", shape: [2], at: 0 } };
  assert.deepEqual([...headNumbers(viewOf(floats), described)], [1.5, -2]);
  const halves = new Uint16Array([0x3c00, 0xb800]);
  const half = { kind: "float16", factor: 4, values: { dtype: "uint16", shape: [2], at: 0 } };
  assert.deepEqual([...headNumbers(viewOf(halves), half)], [4, -2]);
  const view = viewOf(new Uint8Array([0, 2, 1, 255]), new Float32Array([0.5, 2]), new Float32Array([-1, 0]));
  const bytes = {
    kind: "one byte",
    codes: { dtype: "uint8", shape: [2, 2], at: 0 },
    scale: { dtype: "float32", shape: [2], at: 4 },
    offset: { dtype: "float32", shape: [2], at: 12 },
  };
  assert.deepEqual([...headNumbers(view, bytes)], [-1, 0, 2, NaN]);
});

const HEAD = {
  ...{ layer: "layer4", channels: 2, height: 1, width: 2, methods: { grad_cam: 0.5, cam: 1 } },
  activations: new Float32Array([9, 9, 9, 9, 1, 2, 3, 4]), // second image: A_0 = 1 2, A_1 = 3 4
  weight: new Float32Array([1, -1, 0, 2, 10, 0]), // three classes
};

test("a class at the head is the weighted sum; A minus B is the difference", () => {
  assert.deepEqual([...headMap(HEAD, 1, [[0, 1]], 0.5)], [-1, -1]);
  assert.deepEqual([...headMap(HEAD, 1, [[1, 1]], 1)], [6, 8]);
  const difference = headMap(HEAD, 1, [[2, 1], [1, -1]], 1);
  assert.deepEqual([...difference], [10 - 6, 20 - 8]);
  assert.deepEqual([...positivePart(headMap(HEAD, 1, [[0, 1]], 1))], [0, 0]);
});

test("a recorded map by image and target", () => {
  const one = {
    ...{ targets: 2, height: 1, width: 2 },
    codes: new Uint8Array([0, 1, 2, 3, 4, 5, 6, 255]),
    scale: new Float32Array([1, 1, 2, 10]),
    offset: new Float32Array([0, 0, 1, -10]),
  };
  assert.deepEqual([...recordedMap(one, 1, 0)], [9, 11]);
  assert.deepEqual([...recordedMap(one, 1, 1)], [50, NaN]);
});

test("scales begin at 0 or are centred on it", () => {
  assert.deepEqual(mapScale([0.5, 2, NaN], false), { low: 0, high: 2, signed: false });
  assert.deepEqual(mapScale([0.5, -2, NaN], true), { low: -2, high: 2, signed: true });
  assert.deepEqual(mapScale([0, 0], false), { low: 0, high: 1, signed: false });
});

const DATA = {
  classes: ["cat", "dog", "cup"],
  targets: [[0, -1], [2, -1]],
  names: [["cat", "mine"], ["cup", "mine"]],
  maps: new Map([
    ['["grad_cam","layer4"]', { method: "grad_cam", layer: "layer4", signed: false }],
    ['["rise","input"]', { method: "rise", layer: "input", signed: true }],
  ]),
  head: HEAD,
  asks: { methods: ["grad_cam", "layer_cam"], layers: ["layer3", "layer4"] },
  checks: [
    { method: "grad_cam", layer: "layer4", image: 0, target: "cat - dog", words: "w" },
    { method: "grad_cam", layer: "layer4", image: 0, target: "mine", words: "m" },
  ],
  logits: new Float32Array([0, Math.log(3), 0, 1000, 0, 0]),
};
const STATE = {
  ...{ image: 0, class: 0, contrast: null, recorded: null },
  ...{ method: "grad_cam", layer: "layer4", part: "positive" },
};
const from = (changes, live = false, data = DATA) => mapSource(data, { ...STATE, ...changes }, live);

test("where a map comes from: record, head, kernel, nowhere", () => {
  assert.equal(from({}).from, "record");
  assert.equal(from({ class: 1 }).from, "head");
  assert.equal(from({ contrast: 1 }).from, "head");
  assert.equal(from({ part: "signed" }).from, "head");
  assert.equal(from({ method: "cam" }).factor, 1);
  assert.equal(from({ layer: "layer3" }, true).from, "kernel");
  assert.match(from({ layer: "layer3" }).reason, /needs a running kernel/);
  const alone = { ...DATA, asks: null };
  assert.match(from({ layer: "layer3" }, true, alone).reason, /not in this explanation; explore_explanation/);
  assert.equal(from({ method: "rise", layer: "input", part: "signed" }).from, "record");
  assert.equal(from({ method: "rise", layer: "input", class: 1 }, true).from, null);
  assert.equal(from({ class: null, recorded: 1 }).position, 1);
  assert.equal(from({ class: null, recorded: 1, layer: "layer3" }, true).from, null);
});

test("a record without its negative part says so where nothing else has it", () => {
  const bare = { ...DATA, head: null, asks: null };
  const source = from({ part: "signed" }, true, bare);
  assert.equal(source.from, "record");
  assert.match(source.note, /no negative part/);
  assert.equal(from({ part: "signed" }, true, { ...DATA, head: null }).from, "kernel");
});

test("positions and names of targets", () => {
  assert.equal(recordedPosition(DATA, STATE), 0);
  assert.equal(recordedPosition(DATA, { ...STATE, image: 1 }), -1);
  assert.equal(recordedPosition(DATA, { ...STATE, contrast: 1 }), -1);
  assert.equal(recordedPosition(DATA, { ...STATE, recorded: 7 }), -1);
  assert.equal(targetName(DATA, { ...STATE, contrast: 1 }), "cat - dog");
  assert.equal(targetName(DATA, { ...STATE, recorded: 1 }), "mine");
  assert.equal(checkOf(DATA, { ...STATE, contrast: 1 }).words, "w");
  assert.equal(checkOf(DATA, { ...STATE, recorded: 1 }).words, "m");
  assert.equal(checkOf(DATA, STATE), undefined);
});

test("checks of two classes of one name are told apart by their index", () => {
  const row = (index) => ({ method: "grad_cam", layer: "layer4", image: 0, target: "crane", index });
  const data = { ...DATA, classes: ["cat", "crane", "crane"], checks: [row(1), row(2)], targets: [[2, 1], [2]], names: [["crane", "crane"], ["crane"]] };
  for (const index of [1, 2]) assert.equal(checkOf(data, { ...STATE, class: index }).index, index);
  assert.equal(checkOf(data, { ...STATE, recorded: 0 }).index, 2);
});

test("what is offered: the record's first, then the head, then the kernel's", () => {
  assert.deepEqual(offeredOf(DATA).methods, ["grad_cam", "rise", "layer_cam"]);
  assert.deepEqual(offeredOf(DATA).layers, ["layer4", "input", "layer3"]);
});

test("probabilities, also of logits that overflow", () => {
  const odds = classOdds(DATA, 0);
  assert.ok(Math.abs(odds[1] - 0.6) < 1e-6 && Math.abs(odds[0] - 0.2) < 1e-6);
  assert.deepEqual([...classOdds(DATA, 1)], [1, 0, 0]);
});

test("small photographs are enlarged by a whole number", () => {
  const out = enlargedPixels(new Uint8Array([1, 2, 3, 4, 5, 6]), 1, 2, 2);
  const row = [1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6];
  assert.deepEqual([...out], [...row, ...row]);
});

test("a payload is read", () => {
  const view = viewOf(new Uint8Array([0, 254, 0, 0]), new Float32Array([0.5]), new Float32Array([0]));
  const at = (dtype, shape, place) => ({ dtype, shape, at: place });
  const meta = {
    maps: [{
      ...{ method: "m", layer: "l", signed: false, blank: [], codes: at("uint8", [1, 1, 1, 2], 0) },
      ...{ scale: at("float32", [1, 1], 4), offset: at("float32", [1, 1], 8) },
    }],
    ...{ head: null, logits: null, pictures: null, size: [32, 32], checks: [] },
  };
  const data = explanationOf(meta, view);
  assert.deepEqual([...recordedMap(data.maps.get('["m","l"]'), 0, 0)], [0, 127]);
  assert.deepEqual([data.pictures, data.size, data.over], [null, [32, 32], {}]);
});

test("layers about another input lie over its photographs", () => {
  const view = viewOf(new Uint8Array([1, 2, 3, 4, 5, 6, 0, 0]));
  const pictures = { dtype: "uint8", shape: [1, 1, 2, 3], at: 0 };
  const meta = { maps: [], head: null, logits: null, pictures: null, size: [32, 32], checks: [] };
  const over = { depth: { pictures, size: [1, 2] }, table: { pictures: null, size: [4, 8] } };
  const data = explanationOf({ ...meta, over }, view);
  assert.deepEqual([...data.over.depth.pictures], [1, 2, 3, 4, 5, 6]);
  assert.deepEqual([data.over.depth.size, data.over.table], [[1, 2], { pictures: null, size: [4, 8] }]);
});

test("long titles are broken", () => {
  assert.deepEqual(brokenLines("one two three", 8), ["one two", "three"]);
});
