// The networks' blocks below the curves of explore_gradients.
import assert from "node:assert/strict";
import test from "node:test";

import * as blocks from "../../resviz/views/widgets/frontend/gradient_blocks.js";

const SERIES = { network: "a", x: [1, 3, 2, 4], layers: ["conv1", "layer1.0.conv2", "layer1.0.conv1", "fc"], middle: [2, 6, 3, 9] };

test("layers of one block stand together, by depth", () => {
  const told = blocks.blocksOfSeries(SERIES).map(({ name, from, to, values }) => [name, from, to, values]);
  assert.deepEqual(told, [["conv1", 1, 1, [2]], ["layer1.0", 2, 3, [3, 6]], ["fc", 4, 4, [9]]]);
  assert.deepEqual(["features.12", "layer1.0.downsample.0", "a.b.c"].map(blocks.blockOfLayer), ["features.12", "layer1.0", "a.b"]);
  assert.deepEqual(blocks.rowsOfNetworks([SERIES, SERIES, { ...SERIES, network: "b" }]).map((row) => row.network), ["a", "b"]);
});

test("what has no room in the box of stem or head stands beside it, whole", () => {
  assert.deepEqual(blocks.blockLabel("conv1", 80, 36, "left"), { x: 76, anchor: "end", words: "conv1" });
  assert.deepEqual(blocks.blockLabel("linear", 900, 36, "right"), { x: 940, anchor: "start", words: "linear" });
  assert.deepEqual(blocks.blockLabel("classification", 900, 14, "right").words, "classific…");
  assert.deepEqual(blocks.blockLabel("layer1.0", 100, 80, ""), { x: 140, anchor: "middle", words: "layer1.0" });
  assert.equal(blocks.blockLabel("layer1.0", 100, 30, "").words, "1.0");
  assert.equal(blocks.blockLabel("classifier.6", 100, 14, "right").words, "6");
  assert.equal(blocks.roomBeside([SERIES]), 13);
  assert.equal(blocks.roomBeside([{ ...SERIES, layers: [...SERIES.layers.slice(0, 3), "classifier.6"] }]), 0);
  assert.equal(blocks.roomBeside([]), 0);
});

test("the block under the cursor in a sentence", () => {
  const row = blocks.blocksOfSeries(SERIES);
  assert.equal(blocks.blockWords(row, 2.4), "layer1.0, depth 2 to 3: 3 to 6, 2.3 × the block before.");
  assert.equal(blocks.blockWords(row, 0), "conv1, depth 1: 2.");
});
