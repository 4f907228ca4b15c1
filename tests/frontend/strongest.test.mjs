// The images of a data set beside a channel: what is said of them.
import assert from "node:assert/strict";
import test from "node:test";

import * as strongest from "../../resviz/views/widgets/frontend/strongest.js";

const HEADER = { classes: ["cat", "dog"], outputs: ["cat", "dog"], images: 10000, ranks: 2, pictures: true };

function group() {
  const numbers = { value: Float32Array.from([4.126, 2, 1, -Infinity]), image: Int32Array.from([7, 9, 3, -1]) };
  const said = { label: Int32Array.from([0, 0, -1, -1]), prediction: Int32Array.from([1, 0, 1, -1]) };
  const known = { selectivity: Float32Array.from([0.71, NaN]), active: Float32Array.from([9, 0]), best: Int32Array.from([1, -1]) };
  return { ...numbers, ...said, ...known, ranks: 2, names: ["a.jpg", "", "", ""] };
}

test("an image: its class, what it is taken for, the value, its name", () => {
  const words = (at, rank) => strongest.imageWords(HEADER, { group: group(), at }, rank);
  assert.equal(words(0, 0), "1. cat, taken for dog · 4.1 · a.jpg");
  assert.equal(words(0, 1), "2. cat · 2");
  assert.equal(words(1, 0), "1. dog · 1");
  assert.equal(words(1, 1), "");
  assert.equal(words(0, 2), "");
  assert.equal(strongest.imageWords(HEADER, null, 0), "");
});

test("a channel: what it is for; dead where no image activates it", () => {
  const words = (at, header = HEADER) => strongest.strongestWords(header, { group: group(), at });
  assert.equal(words(0), "strongest of 10,000 images · most for dog, selectivity 0.71");
  assert.equal(words(1), "dead: no image of 10,000 activates it");
  assert.match(words(0, { ...HEADER, pictures: false }), /; the scan has no pictures of them$/);
});

test("an answer is read from its bytes", () => {
  const bytes = new TextEncoder().encode("x.jpg\ny.jpg");
  const buffer = new ArrayBuffer(24);
  new Uint8Array(buffer).set(bytes, 8);
  new Int32Array(buffer, 0, 2).set([5, 6]);
  const numbers = Object.fromEntries(["value", "image", "label", "prediction", "selectivity", "active", "best"].map((name) => [name, { dtype: "int32", shape: [2], at: 0 }]));
  const read = strongest.groupOf({ ...numbers, names: { dtype: "uint8", shape: [bytes.length], at: 8 }, sheets: [] }, new DataView(buffer));
  assert.deepEqual(read.names, ["x.jpg", "y.jpg"]);
  assert.deepEqual([...read.image], [5, 6]);
});
