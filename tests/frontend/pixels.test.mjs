// Pictures from bytes, by hand.
import assert from "node:assert/strict";
import test from "node:test";

import * as pixels from "../../resviz/views/widgets/frontend/pixels.js";

/** Two channels of 2 x 3, one image: value = code / 10, and value = code - 100. */
function layer() {
  return {
    ...{ images: 1, channels: 2, height: 2, width: 3 },
    codes: Uint8Array.from([0, 1, 2, 3, 4, 254, 0, 50, 100, 150, 200, 255]),
    scale: Float32Array.from([0.5, 1]),
    offset: Float32Array.from([0, -100]),
    mean: Float32Array.from([1, NaN]),
    maximum: Float32Array.from([127, 100]),
    zeros: Uint8Array.from([42, 0]),
  };
}

test("values, and what is not finite", () => {
  assert.equal(pixels.valueAt(layer(), 0, 0, 1, 2), 127);
  assert.equal(pixels.valueAt(layer(), 0, 1, 0, 1), -50);
  assert.ok(Number.isNaN(pixels.valueAt(layer(), 0, 1, 1, 2)));
  assert.deepEqual([...pixels.valuesOf(layer(), 0, 1)], [-100, -50, 0, 50, 100, NaN]);
});

test("the ends of channels pass over what is not finite", () => {
  const { low, high } = pixels.channelEnds(layer());
  assert.deepEqual([[...low], [...high]], [
    [0, -100],
    [127, 100],
  ]);
});

test("limits: signed ones are centred on 0", () => {
  assert.deepEqual(pixels.limitsOf(-1, 3), { low: -3, high: 3, signed: true });
  assert.deepEqual(pixels.limitsOf(-5, -2), { low: -5, high: 5, signed: true });
  assert.deepEqual(pixels.limitsOf(1, 3), { low: 1, high: 3, signed: false });
  assert.deepEqual(pixels.limitsOf(0, 0), { low: 0, high: 1, signed: false });
  assert.deepEqual(pixels.limitsOf(2, 2), { low: 0, high: 2, signed: false });
  assert.deepEqual(pixels.limitsOf(Infinity, -Infinity), { low: 0, high: 1, signed: false });
});

test("orders: the largest first, ties by number, NaN last", () => {
  assert.deepEqual(pixels.descending([1, NaN, 3, 3, -Infinity]), [2, 3, 0, 1, 4]);
  const four = {
    channels: 4,
    mean: Float32Array.from([9, 9, 9, 9, 1, 3, 2, 3]),
    maximum: Float32Array.from([9, 9, 9, 9, 4, 1, 2, 3]),
    zeros: Uint8Array.from([9, 9, 9, 9, 0, 255, 128, 255]),
  };
  assert.deepEqual(pixels.channelOrder(four, 1, "index"), [0, 1, 2, 3]);
  assert.deepEqual(pixels.channelOrder(four, 1, "mean"), [1, 3, 2, 0]);
  assert.deepEqual(pixels.channelOrder(four, 1, "max"), [0, 3, 2, 1]);
  assert.deepEqual(pixels.channelOrder(four, 1, "dead"), [1, 3, 2, 0]);
  assert.deepEqual(pixels.channelOrder(four, 1, "weight", [0, -2, 5, 1]), [2, 3, 0, 1]);
});

test("a rank is the place in the order", () => {
  const keys = [1, NaN, 3, 3, -Infinity, 0];
  const order = pixels.descending(keys);
  keys.forEach((_, channel) => assert.equal(pixels.rankOf(keys, channel), order.indexOf(channel) + 1));
});

test("every channel has a place, and every pixel of it finds its way back", () => {
  for (const [count, height, width, available] of [
    [1, 7, 7, 100],
    [64, 56, 56, 900],
    [2048, 7, 7, 900],
    [2048, 1, 1, 300],
    [10, 1, 197, 800],
    [3, 224, 224, 120],
  ]) {
    const layout = pixels.mosaicLayout(count, height, width, available);
    assert.ok(layout.columns * layout.rows >= count && layout.columns * (layout.rows - 1) < count);
    if (layout.columns > 1) assert.ok(layout.pixelWidth * layout.zoom <= available);
    assert.ok(Math.max(width, layout.tileHeight) * layout.zoom >= 14);
    for (const place of [0, count - 1, Math.floor(count / 2)]) {
      const box = pixels.tileBox(layout, place);
      assert.deepEqual(pixels.tileAt(layout, box.x + 0.5, box.y + 0.5), { place, row: 0, column: 0 });
      const end = pixels.tileAt(layout, box.x + width - 0.5, box.y + box.height - 0.5);
      assert.deepEqual(end, { place, row: height - 1, column: width - 1 });
      assert.equal(pixels.tileAt(layout, box.x + width + 0.5, box.y + 0.5), null);
      assert.ok(box.x + width <= layout.pixelWidth && box.y + box.height <= layout.pixelHeight);
    }
    assert.equal(pixels.tileAt(layout, -1, 0), null);
  }
});

test("painting: order, gap, colours, not finite", () => {
  const layout = pixels.mosaicLayout(2, 2, 3, 400, { tall: 10_000 });
  const target = new Uint32Array(layout.pixelWidth * layout.pixelHeight).fill(7);
  const table = pixels.packedTable("viridis");
  const scaleOf = (channel) => (channel ? { low: -100, high: 100, signed: true } : { low: 0, high: 127 });
  const signed = pixels.packedTable("signed");
  const tableOf = (wanted) => (wanted ? signed : table);
  pixels.paintTiles(target, layout, layer(), 0, [1, 0], scaleOf, tableOf);
  assert.equal(layout.pixelWidth, 7);
  const rows = [target.subarray(0, 7), target.subarray(7, 14)];
  assert.equal(rows[0][0], signed[0]); // channel 1 stands first
  assert.ok([signed[127], signed[128]].includes(rows[0][2])); // 0 is the middle
  assert.equal(rows[1][1], signed[255]);
  assert.equal(rows[1][2], pixels.packedMissing);
  assert.equal(rows[0][3], 0); // the gap shows the page
  assert.equal(rows[0][4], table[0]);
  assert.equal(rows[1][6], table[255]);
});

test("rows of tokens are drawn high enough to see", () => {
  const tokens = { ...layer(), channels: 1, height: 1, width: 12 };
  const layout = pixels.mosaicLayout(1, 1, 12, 400);
  const target = new Uint32Array(layout.pixelWidth * layout.pixelHeight);
  const scale = { low: 0, high: 127, signed: false };
  pixels.paintTiles(target, layout, tokens, 0, [0], () => scale, () => pixels.packedTable("viridis"));
  assert.ok(layout.stretch > 1 && layout.pixelHeight === layout.stretch);
  assert.deepEqual(target.subarray(0, 12), target.subarray(12, 24));
});

test("bilinear: the mean of four, corners kept", () => {
  const fine = pixels.resizedBilinear([0, 1, 2, 3], 2, 2, 4, 4);
  assert.deepEqual([fine[0], fine[3], fine[12], fine[15]], [0, 1, 2, 3]);
  assert.deepEqual([...pixels.resizedBilinear([0, 1, 2, 3], 2, 2, 1, 1)], [1.5]);
  assert.deepEqual([...pixels.resizedBilinear([5], 1, 1, 2, 2)], [5, 5, 5, 5]);
});

test("a map over a part of a photograph: grey where it does not reach, as resized where it does", () => {
  const [scale, colours] = [{ low: 0, high: 3 }, pixels.colourTable("viridis")];
  const photograph = Uint8Array.from({ length: 4 * 8 * 3 }, (_, place) => Math.floor(place / 3) * 7);
  const over = pixels.overlayPart([0, 1, 2, 3], [2, 2], scale, colours, photograph, 0.6, [4, 8], [0, 0.25, 1, 0.75]);
  const at = (row, column) => [...over.subarray((row * 8 + column) * 4, (row * 8 + column) * 4 + 3)];
  const grey = (row, column) => Array(3).fill((row * 8 + column) * 7);
  for (const column of [0, 1, 6, 7]) assert.deepEqual(at(2, column), grey(2, column));
  const part = Uint8Array.from({ length: 4 * 4 * 3 }, (_, place) => {
    const pixel = Math.floor(place / 3);
    return (Math.floor(pixel / 4) * 8 + 2 + (pixel % 4)) * 7;
  });
  const alone = pixels.overlayPixels(pixels.resizedBilinear([0, 1, 2, 3], 2, 2, 4, 4), scale, colours, part, 0.6);
  for (const [row, column] of [[0, 2], [1, 4], [3, 5]]) {
    const from = (row * 4 + column - 2) * 4;
    assert.deepEqual(at(row, column), [...alone.subarray(from, from + 3)]);
  }
  const beyond = pixels.overlayPart([0, 3], [1, 2], scale, colours, photograph, 1, [4, 8], [-1, 0, 2, 1]);
  assert.deepEqual([...beyond.subarray(0, 3)], [...colours.subarray(0, 3)]);
});

test("histogram: every finite value once", () => {
  const found = pixels.histogramOf([0, 1, 2, 3, 4, NaN, Infinity], 4);
  assert.deepEqual(found, { counts: [1, 1, 1, 2], low: 0, high: 4, missing: 2 });
  assert.deepEqual(pixels.histogramOf([2, 2], 3).counts, [2, 0, 0]);
  assert.ok(Number.isNaN(pixels.histogramOf([NaN]).low));
});

test("numbers in words", () => {
  assert.equal(pixels.numberWords(0), "0");
  assert.equal(pixels.numberWords(-1.23456), "−1.235");
  assert.equal(pixels.numberWords(NaN), "not finite");
  assert.equal(pixels.numberWords(1.23456, 0.01), "1.23"); // no more digits than are known
  assert.equal(pixels.numberWords(0.5), "0.5");
});

test("a field of tiles: all of them, as large as they can be, yet no smaller than a tile that can be seen", () => {
  for (const [side, available, tall] of [[28, 560, 198], [32, 560, 198], [7, 560, 198], [7, 900, 258], [56, 400, 100]]) {
    const layout = pixels.fieldLayout(24, side, side, available, { tall });
    const [wide, high] = [layout.pixelWidth * layout.zoom, layout.pixelHeight * layout.zoom];
    assert.ok(layout.columns * layout.rows >= 24 && wide <= available + 1e-9, `${side}: ${wide}`);
    assert.ok((side + 1) * layout.zoom >= 66 - 1e-9);
    if (tall > 100) assert.ok(high <= tall + 1e-9, `${side}: ${high}`);
  }
  assert.equal(pixels.fieldLayout(1, 4, 4, 900, { tall: 900 }).zoom, 32);
});
