// The channel atlas: what a payload says of a channel, which are shown and where, what a selection means.
import assert from "node:assert/strict";
import test from "node:test";

import * as data from "../../resviz/views/widgets/frontend/atlas/data.js";
import { mapWords } from "../../resviz/views/widgets/frontend/atlas/maps.js";
import * as lasso from "../../resviz/views/widgets/frontend/atlas/lasso.js";
import * as state from "../../resviz/views/widgets/frontend/atlas/state.js";

/** Two layers of four channels; channel 2 of the first is dead, 3 is the most selective. */
function atlas() {
  const numbers = { active: Float32Array.from([5, 9, 0, 3]), bound: Float32Array.from([1, 1, 0.25, 1]), selectivity: Float32Array.from([0.1, 0.4, NaN, 0.9]) };
  const top = {
    value: Float32Array.from([4, 8, 0, 6, 2, 7, 0, -Infinity]),
    image: Int32Array.from([30, 31, 30, 32, 31, 30, 31, -1]),
    row: new Uint16Array(8).fill(1),
    column: new Uint16Array(8).fill(2),
  };
  const field = { size: [3, 3], step: [2, 2], start: [-1, -1] };
  const preferred = { class: Int32Array.from([1, 0, 0, 1, -1, -1, 0, 1]), mean: Float32Array.from([3, 2, 5, 1, NaN, NaN, 9, 2]) };
  const nearest = { channel: Int32Array.from([1, 0, -1, 1]), correlation: Float32Array.from([0.5, 0.5, NaN, -0.25]) };
  const histogram = { low: new Float32Array(4), high: Float32Array.from([1, 2, 3, 4]), shares: Uint16Array.from([65535, 0, 0, 65535, 13107, 52428, 0, 0]) };
  const layer = { key: "a", stage: "layer1", channels: 4, numbers, top, field, preferred, nearest, histogram, crops: null };
  const pictures = { place: new Map([[30, 0], [31, 1]]), images: [30, 31], wanted: 3, side: 32 };
  const found = { layer: Int32Array.from([1, 0, -1, 0, -1, -1]), channel: Int32Array.from([3, 1, -1, 0, -1, -1]), effect: Float32Array.from([2, 1, NaN, 0.5, NaN, NaN]) };
  return { facts: "toy", images: 12, top: 2, classes: ["cat", "dog"], outputs: [], layers: [layer, { ...layer, key: "b" }], pictures, found };
}
const FIRST = { ...state.FIRST_ATLAS };

test("a top image, its field and what of it is seen", () => {
  const [one] = atlas().layers;
  assert.deepEqual(data.topOf(atlas(), one, 1, 0), { image: 31, value: 8, row: 1, column: 2, place: 1 });
  assert.equal(data.topOf(atlas(), one, 3, 0).place, -1); // no picture of it
  assert.equal(data.topOf(atlas(), one, 3, 1), null); // no such image
  assert.equal(data.topOf(atlas(), one, 0, 2), null);
  assert.deepEqual(data.boxOf(one, 1, 2), [1, 3, 4, 6]);
  assert.equal(data.boxOf({ field: null }, 1, 2), null);
  assert.deepEqual(data.windowOf([-1, 2, 2, 5], 8, 8), { window: [-1, 2, 2, 5], seen: [0, 2, 2, 5] });
  assert.deepEqual(data.windowOf([-4, 3, 8, 15], 8, 8), { window: [0, 0, 8, 8], seen: [0, 3, 8, 8] });
  assert.deepEqual(data.windowOf(null, 4, 6), { window: [0, 0, 4, 6], seen: [0, 0, 4, 6] });
});

test("classes, neighbours, histogram of a channel", () => {
  const [one] = atlas().layers;
  assert.deepEqual(data.preferredOf(atlas(), one, 0), [{ index: 1, name: "dog", mean: 3 }, { index: 0, name: "cat", mean: 2 }]);
  assert.deepEqual(data.preferredOf(atlas(), one, 2), []);
  assert.deepEqual(data.nearestOf(one, 3), [{ channel: 1, correlation: -0.25 }]);
  assert.deepEqual(data.nearestOf(one, 2), []);
  assert.deepEqual(data.histogramOfChannel(one, 2), { low: 0, high: 3, shares: [0.2, 0.8] });
});

test("orders: NaN last, dead first, classes together", () => {
  const shown = (more) => state.shownChannels(atlas(), { ...FIRST, ...more }).map((one) => one.channel);
  assert.deepEqual(shown({ sort: "selective" }), [3, 1, 0, 2]);
  assert.deepEqual(shown({ sort: "strong" }), [1, 3, 0, 2]);
  assert.deepEqual(shown({ sort: "dead" }), [2, 3, 0, 1]);
  assert.deepEqual(shown({ sort: "class" }), [3, 1, 0, 2]);
  assert.deepEqual(shown({ sort: "index", show: "active" }), [0, 1, 3]);
  assert.deepEqual(shown({ sort: "index", show: "dead" }), [2]);
});

test("a class: its channels of all layers", () => {
  const found = state.shownChannels(atlas(), { ...FIRST, class: 0 });
  assert.deepEqual(found, [{ layer: 1, channel: 3, effect: 2 }, { layer: 0, channel: 1, effect: 1 }]);
  assert.deepEqual(state.foundByLayer(atlas(), 1), [1, 0]);
  assert.equal(state.headingOf(atlas(), { ...FIRST, class: 0 }, found).title, "Channels for cat");
  assert.equal(state.channelWords(atlas(), found[1]), "a · channel 1 · 1 standard deviations above other images · most for cat · selectivity 0.4");
});

test("a selection: what it names wrongly stays as it was", () => {
  const after = (selection) => state.atlasAfter(FIRST, selection, atlas());
  assert.equal(after({ layer: "b", channel: 9, sort: "none", tab: "maps" }).layer, 1);
  assert.deepEqual(after({ layer: "c", channel: 9, class: 7 }), FIRST);
  const chosen = after({ layer: "b", channel: 3, class: "dog", sort: "dead", show: "dead" });
  assert.equal(chosen.class, 1);
  assert.deepEqual(state.atlasSelection(chosen, atlas()), { layer: "b", channel: 3, class: "dog", sort: "dead", show: "dead", tab: "channels" });
});

test("an order by what was not measured cannot be chosen", () => {
  const plain = atlas();
  plain.layers.forEach((layer) => Object.assign(layer, { numbers: {}, preferred: undefined }));
  assert.deepEqual(state.sortChoicesOf(plain, FIRST).filter((one) => one.disabled).map((one) => one.value), ["selective", "class", "dead"]);
  assert.equal(state.atlasAfter({ ...FIRST, sort: "strong" }, { sort: "selective" }, plain).sort, "strong");
  assert.deepEqual(state.shownChannels(plain, { ...FIRST, sort: "index", show: "dead" }), []);
});

test("tiles are as large as all fit, and are found again", () => {
  const few = state.gridOf(16, 680, 540);
  assert.ok(few.height <= 540 && few.across === 3 && few.side > 100);
  const many = state.gridOf(2048, 680, 540);
  assert.ok(many.height > 540 && many.side === 44);
  for (const place of [0, 5, 15]) {
    const { x, y } = state.tilePlace(few, place);
    assert.equal(state.tileUnder(few, x + 1, y + 1), place);
  }
  assert.equal(state.tileUnder(few, -1, 4), -1);
  assert.equal(state.tileUnder(few, 600, 5000), -1);
  assert.deepEqual([state.placeStepped(-1, 1, 4), state.placeStepped(3, 1, 4), state.placeStepped(2, -Infinity, 4)], [0, 3, 0]);
});

test("a table of what is shown", () => {
  const rows = state.atlasRows(atlas(), [{ layer: 0, channel: 1 }]);
  assert.deepEqual(rows[0], ["layer", "channel", "active", "bound", "selectivity", "class", "effect", "top_image", "top_value"]);
  assert.deepEqual(rows[1].toSpliced(4, 1), ["a", 1, 9, 1, "cat", "", 31, 8]);
  assert.match(state.deadWords(atlas(), atlas().layers[0], 2), /no image of 12 activates it: below 25 % of images/);
  assert.equal(state.pictureWords(atlas()), "2 of 3 pictures of at most 32 pixels");
});

test("a line around some images: which, and what they have in common", () => {
  const points = { x: [0, 1, 0, 1], y: [0, 0, 1, 1], class: Int32Array.from([0, 0, 1, 1]) };
  points.values = { scale: new Float32Array(2), codes: Uint8Array.from([10, 10, 50, 50, 7, 9, 7, 9]) };
  const places = lasso.placesOn(points, 100, 100, 10);
  assert.deepEqual([[...places.x], [...places.y]], [[10, 90, 10, 90], [90, 90, 10, 10]]);
  const upper = lasso.pointsWithin(places, [[0, 0], [100, 0], [100, 50], [0, 50]]);
  assert.deepEqual(upper, [2, 3]);
  const common = lasso.commonOf(points, upper, 2);
  assert.deepEqual(common.classes, [{ index: 1, count: 2, share: 1, usual: 0.5 }]);
  assert.deepEqual(common.channels, [{ channel: 0, difference: 2 }, { channel: 1, difference: 0 }]);
  assert.deepEqual(lasso.commonOf(points, [0, 1, 2, 3], 2).channels, []);
});

test("a field as large as two pictures sees all of one, wherever it stands", () => {
  const of = (size) => state.seesAll({ pictures: { shape: [32, 24] } }, { field: size && { size } });
  assert.deepEqual([of(null), of([64, 64]), of([63, 64]), of([3, 3])], [true, true, false, false]);
});

test("the first words say what a tile is", () => {
  assert.match(state.tileWords(atlas(), FIRST), /^toy · each tile is a channel: what it saw of the images it answers to most/);
  assert.match(state.tileWords(atlas(), { ...FIRST, class: 0 }), /each tile is a channel: the images it answers to most; click one$/);
});

test("the point that is pointed at: the closest within reach", () => {
  const places = { x: [10, 20, 300], y: [10, 10, 10] };
  assert.equal(lasso.nearestPoint(places, [17, 12], 14), 1);
  assert.equal(lasso.nearestPoint(places, [100, 100], 14), -1);
});

test("maps that are not what the scan saw say so", () => {
  assert.equal(mapWords(undefined), "");
  assert.equal(mapWords({ off: 0.03 }), "");
  assert.match(mapWords({ off: 0.5 }), /^maxima up to 50 % off: made from/);
});
