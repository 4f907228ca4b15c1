// What `explore` works out without a page, by hand: keys, places, axes, arcs, words, small pictures.
import assert from "node:assert/strict";
import test from "node:test";

import * as foot from "../../resviz/views/widgets/frontend/explore/channel_foot.js";
import * as look from "../../resviz/views/widgets/frontend/explore/look.js";
import * as scenes from "../../resviz/views/widgets/frontend/explore/scenes.js";
import * as shape from "../../resviz/views/widgets/frontend/explore/spine_shape.js";
import * as state from "../../resviz/views/widgets/frontend/explore/state.js";
import * as tiles from "../../resviz/views/widgets/frontend/explore/tiles.js";
import * as words from "../../resviz/views/widgets/frontend/explore/words.js";
import { packedMissing, packedTable } from "../../resviz/views/widgets/frontend/pixels.js";

const near = (found, wanted, by = 1e-9) => assert.ok(Math.abs(found - wanted) <= by, `${found}; ${wanted}`);

/** Places with these depths. */
const placesAt = (...depths) => depths.map((depth) => ({ name: `block${depth}`, depth, stage: "", additions: [] }));

// ---- scenes
test("a moment's key: the order of cut blocks does not matter, the class does", () => {
  const key = scenes.momentKey({ image: 1, class: 3, off: ["b", "a"] });
  assert.equal(key, scenes.momentKey({ image: 1, class: 3, off: ["a", "b"], depth: 9 }));
  assert.notEqual(key, scenes.momentKey({ image: 1, class: 4, off: ["a", "b"] }));
  assert.notEqual(key, scenes.momentKey({ image: 0, class: 3, off: ["a", "b"] }));
  assert.equal(scenes.momentKey({ image: 0, off: [] }), scenes.momentKey({ image: 0, class: null, off: [] }));
  assert.notEqual(scenes.momentKey({ image: 0, class: 0, off: [] }), scenes.momentKey({ image: 0, class: null, off: [] }));
  assert.equal(scenes.passKey({ image: 1, class: 3, off: ["b", "a"] }), scenes.passKey({ image: 1, class: 7, off: ["a", "b"] }));
});

test("sorting for a key leaves the list as it was", () => {
  const off = ["b", "a"];
  scenes.momentKey({ image: 0, class: null, off });
  assert.deepEqual(off, ["b", "a"]);
});

test("the place of a depth: at it, else behind it, else the last", () => {
  const places = placesAt(1, 3, 5);
  assert.deepEqual([0, 1, 2, 3, 5, 9, null, undefined].map((depth) => scenes.placeAtDepth(places, depth)), [0, 0, 1, 1, 2, 2, 2, 2]);
  assert.equal(scenes.placeAtDepth([], 3), -1);
});

test("the foremost and the largest", () => {
  assert.equal(scenes.foremost([0.1, 0.7, 0.7]), 1);
  assert.equal(scenes.foremost([]), -1);
  assert.equal(scenes.foremost([NaN, 0.2, 0.1]), 1);
  assert.deepEqual(scenes.largest([0.1, 0.7, 0.2, 0.7], 3), [1, 3, 2]);
  assert.deepEqual(scenes.largest([], 3), []);
});

test("what is said without blocks, row by row", () => {
  const view = new DataView(Float32Array.from([0.25, 0.75, 0.5, 0.5]).buffer);
  const told = { places: [4, 2], failed: [1], numbers: { dtype: "float32", shape: [2, 2], at: 0 } };
  const { rows, failed } = scenes.withoutOf(told, view);
  assert.deepEqual([...rows.get(4)], [0.25, 0.75]);
  assert.deepEqual([...rows.get(2)], [0.5, 0.5]);
  assert.ok(failed.has(1) && !rows.has(1));
});

test("without maps the prediction along depth is there all the same", () => {
  const lens = { values: [0.1, 0.9], labels: ["a", "a"], why: ["", ""] };
  const told = { page: null, why: "no layer with positions", tiles: [null, null], layers: [null, null], lens };
  const found = scenes.explainedOf(told, new DataView(new ArrayBuffer(0)));
  assert.deepEqual([found.why, found.page, found.lens], [told.why, null, lens]);
  assert.deepEqual(found.tiles, [null, null]);
  assert.equal(scenes.explainedOf({ ...told, lens: null }, new DataView(new ArrayBuffer(0))).lens, null);
});

// ---- state
/** A store that has these moments; a scene is its key. */
function storeOf(...moments) {
  const known = new Set(moments.map(scenes.momentKey));
  return { scene: (moment) => (known.has(scenes.momentKey(moment)) ? scenes.momentKey(moment) : undefined) };
}
const moment = (image, index = null, off = []) => ({ image, class: index, off });

test("the scene to show: exactly what is asked for", () => {
  const found = state.sceneToShow(storeOf(moment(0), moment(0, 3)), moment(0, 3), null);
  assert.deepEqual([found.scene, found.exact], [scenes.momentKey(moment(0, 3)), true]);
});

test("the scene to show: a class that is not there stays with what is shown of the photograph", () => {
  const last = { scene: "shown", moment: moment(0, 2), exact: true };
  const store = storeOf(moment(0), moment(0, 2));
  assert.deepEqual(state.sceneToShow(store, moment(0, 5), last), { scene: "shown", moment: moment(0, 2), exact: false });
  const plain = state.sceneToShow(store, moment(0, 5), { ...last, moment: moment(1) });
  assert.deepEqual([plain.scene, plain.moment, plain.exact, plain.stale], [scenes.momentKey(moment(0)), moment(0), false, undefined]);
});

test("the scene to show: another photograph, of which there is nothing, leaves the old one, marked", () => {
  const last = { scene: "shown", moment: moment(0), exact: true };
  assert.deepEqual(state.sceneToShow(storeOf(moment(0)), moment(1), last), { ...last, exact: false, stale: true });
  const cut = state.sceneToShow(storeOf(moment(0)), moment(0, null, ["b"]), last);
  assert.equal(cut.stale, true);
});

test("the scene to show: nothing at all", () => {
  assert.equal(state.sceneToShow(storeOf(), moment(0), null), null);
});

test("a mark of what was stale goes with the next scene", () => {
  const stale = { scene: "shown", moment: moment(0), exact: false, stale: true };
  assert.equal(state.sceneToShow(storeOf(moment(0)), moment(0, 4), stale).stale, undefined);
});

test("a cut keeps the class that was meant, and putting back gives it up only by asking", () => {
  const before = { image: 0, class: null, off: [] };
  const cut = state.afterCut(before, "layer1.0", 281);
  assert.deepEqual(cut, { image: 0, class: 281, off: ["layer1.0"] });
  assert.deepEqual(before.off, []);
  const more = state.afterCut(cut, "layer2.0", 7); // 7 is what is predicted by now
  assert.deepEqual([more.class, more.off], [281, ["layer1.0", "layer2.0"]]);
  const back = state.afterCut(state.afterCut(more, "layer1.0", 7), "layer2.0", 7);
  assert.deepEqual([back.class, back.off], [281, []]);
  assert.equal(state.askedClass(back.class, back.off, 281), null); // the predicted one again
  assert.equal(state.askedClass(281, ["layer1.0"], 281), 281); // without a block it has to be said
  assert.equal(state.askedClass(3, [], 281), 3);
});

const HEADER = { photographs: [{}, {}], classes: ["cat", "dog", "owl"], blocks: ["layer1.0", "layer2.0"] };
const FIRST = {
  ...{ image: 0, class: 1, off: ["layer1.0"], depth: 3, channel: 2 },
  ...{ curve: "gradient", method: "grad_cam", contrast: 2, opacity: 0.6 },
};

test("a selection that makes sense", () => {
  const wanted = { image: 1, class: null, off: ["layer2.0", "layer1.0"], depth: 7, channel: 0, curve: "ratio", method: "layer_cam", contrast: 0, opacity: 0 };
  assert.deepEqual(state.stateAfter(FIRST, wanted, HEADER), { ...wanted, off: ["layer1.0", "layer2.0"] });
  assert.deepEqual(state.stateAfter(FIRST, {}, HEADER), FIRST);
  assert.equal(state.stateAfter(FIRST, { contrast: null }, HEADER).contrast, null);
});

test("a selection of nonsense changes nothing", () => {
  const nonsense = [
    ...[{ image: 2 }, { image: -1 }, { image: 0.5 }, { image: "1" }, { image: null }],
    ...[{ class: 3 }, { class: -1 }, { class: "cat" }, { class: 0.5 }, { class: undefined }],
    ...[{ contrast: 99 }, { contrast: "x" }, { off: "layer2.0" }, { off: 5 }, { off: null }],
    ...[{ depth: "x" }, { depth: NaN }, { depth: Infinity }, { depth: null }, { channel: -1 }, { channel: "3" }],
    ...[{ curve: "beauty" }, { curve: 1 }, { method: 3 }, { method: null }, { opacity: "all" }, { opacity: NaN }, { other: 1 }],
  ];
  for (const one of nonsense) assert.deepEqual(state.stateAfter(FIRST, one, HEADER), FIRST, JSON.stringify(one));
});

test("unknown blocks are left out, an opacity stays within its ends", () => {
  assert.deepEqual(state.stateAfter(FIRST, { off: ["__proto__", 7, "layer2.0"] }, HEADER).off, ["layer2.0"]);
  assert.equal(state.stateAfter(FIRST, { opacity: 7 }, HEADER).opacity, 1);
  assert.equal(state.stateAfter(FIRST, { opacity: -7 }, HEADER).opacity, 0);
});

test("old keys of a selection are named", () => {
  assert.equal(state.oldKeyWords({ image: 0 }), "");
  assert.match(state.oldKeyWords({ views: {}, open: [] }), /selection\["views"\] is no more.*selection\["open"\] is no more/);
});

test("a step ends at the ends", () => {
  const places = placesAt(1, 3, 5);
  assert.deepEqual([[1, -1], [1, 1], [3, 5], [5, 1], [null, -1]].map(([depth, by]) => state.placeAfter(places, depth, by)), [0, 1, 2, 2, 1]);
});

test("what a cut does to a class, place by place", () => {
  const without = { rows: new Map([[1, [0.2, 0.8]], [2, [0.9, 0.1]], [3, [0.55, 0.45]]]), failed: new Set([0]) };
  const places = placesAt(1, 2, 3, 4);
  assert.deepEqual(state.withoutCurve(without, places, 0), [null, 0.2, 0.9, 0.55]);
  assert.equal(state.withoutCurve(without, places, null), null);
  assert.equal(state.withoutCurve(undefined, places, 0), null);
  assert.deepEqual(state.mattersMost(without, places, 0, 0.6), [1, 2, 3]); // moved by 0.4, 0.3, 0.05
  assert.deepEqual(state.mattersMost(null, places, 0, 0.6), []);
  assert.deepEqual([0, 1, 2].map((at) => state.foremostWithout(without, at)), [-1, 1, 0]);
});

test("what is not on a page: how one with blocks cut is written, or which cuts this one has", () => {
  const header = { photographs: [{ name: "one.png" }, { name: "two.png" }], classes: ["cat", "dog"] };
  assert.match(state.missingWords([], header), /running kernel; .*lesions=True/);
  const cuts = [moment(0, 1, ["a"]), moment(0, 1, ["b"])];
  assert.equal(state.missingWords(cuts, header), "This page has blocks cut, one at a time, of photograph one.png (class dog); anything else needs a running kernel.");
  const seen = [...cuts, moment(1, null, ["a", "b"])]; // looked at before the page was saved
  assert.equal(state.missingWords(seen, header), "This page has blocks cut, of photograph one.png (class dog), two.png; anything else needs a running kernel.");
  assert.match(state.missingWords(cuts, { ...header, classes: [] }), /of photograph one.png; /);
});

// ---- the spine
const BLOCKS = (count) => Array.from({ length: count }, (_, index) => ({ stage: `layer${Math.floor((4 * index) / count)}` }));

test("places share the width, stages are runs of them", () => {
  const layout = shape.spineLayout([{ stage: "" }, { stage: "a" }, { stage: "a" }, { stage: "b" }], 492);
  assert.deepEqual([layout.left, layout.right, layout.step], [46, 446, 100]);
  assert.deepEqual(layout.places[1], { x: 196, from: 146, to: 246, width: 36 });
  assert.deepEqual(layout.stages, [
    { name: "a", from: 146, to: 346 },
    { name: "b", from: 346, to: 446 },
  ]);
});

test("a stage that comes twice is two runs", () => {
  const layout = shape.spineLayout([{ stage: "a" }, { stage: "b" }, { stage: "a" }], 392);
  assert.deepEqual(layout.stages.map(({ name }) => name), ["a", "b", "a"]);
});

const numbersIn = (path) => path.match(/-?[\d.]+/g).map(Number);

for (const [count, width] of [[1, 1000], [17, 1000], [50, 480], [200, 1000], [600, 1000], [600, 480]]) {
  test(`arcs and blocks of ${count} places on ${width} pixels stay within their step`, () => {
    const layout = shape.spineLayout(BLOCKS(count), width);
    for (const place of layout.places) {
      const [start, top, x1, y1, x2, y2, end, foot] = numbersIn(shape.arcPath(place));
      assert.ok(start >= place.from - 0.06 && end <= place.to + 0.06, `${start} ${end} in ${place.from} ${place.to}`);
      assert.ok(start <= end, `${start} to ${end}`); // from before the block to behind it
      assert.deepEqual([x1, x2, top, y1], [start, end, foot, y2]);
      assert.ok(y1 >= 0 && y1 < top);
      assert.ok(place.width >= 0 && place.width <= layout.step);
    }
  });
}

test("a strip that is too narrow for its margins is no strip turned round", () => {
  const layout = shape.spineLayout(BLOCKS(3), 60);
  assert.ok(layout.step > 0 && layout.right > layout.left);
});

test("the place near an x", () => {
  const layout = shape.spineLayout(BLOCKS(4), 492);
  assert.deepEqual([-10, 46, 145, 147, 445, 1000].map((x) => shape.placeNear(layout, x)), [0, 0, 0, 1, 3, 3]);
});

test("an axis of sizes: exact zeros have a strip of their own", () => {
  const axis = shape.axisOf([0, 1, 100, null], true);
  assert.deepEqual([axis.log, axis.zeros], [true, true]);
  near(axis.low, -0.16); // 8 % of two decades
  near(axis.high, 2.16);
  assert.equal(shape.heightOf(0, axis), shape.SPINE_CURVE.zero);
  near(shape.heightOf(10, axis), (shape.SPINE_CURVE.top + shape.SPINE_CURVE.bottom) / 2);
  assert.equal(shape.axisOf([1, 100], true).zeros, false);
});

test("an axis of sizes of which one is negative is no log axis", () => {
  assert.deepEqual(shape.axisOf([-2, 0, 6], true), { low: -2, high: 6, log: false, zeros: false });
  assert.deepEqual(shape.axisOf([-2, -1], false), { low: -2, high: 0, log: false, zeros: false });
  near(shape.heightOf(0, shape.axisOf([-2, 6], true)), 138 - 64 / 4);
});

test("an axis of one value, of nothing, of zeros alone", () => {
  const one = shape.axisOf([100], true);
  near(one.low, 1.85);
  near(one.high, 2.15);
  near(shape.heightOf(100, one), 106);
  const nothing = { low: 0, high: 1, log: false, zeros: false };
  assert.deepEqual(shape.axisOf([null, null], true), nothing);
  assert.deepEqual(shape.axisOf([], false), nothing);
  assert.deepEqual(shape.axisOf([0, 0], true), nothing);
  assert.deepEqual(shape.axisOf([NaN, Infinity], true), nothing);
  assert.deepEqual(shape.axisOf([5], false), { low: 0, high: 5, log: false, zeros: false });
});

test("ticks are round, at least two, and lie on the axis", () => {
  assert.deepEqual(shape.axisTicks(shape.axisOf([1, 1000], true)).map(([value]) => value), [1, 100]);
  assert.deepEqual(shape.axisTicks(shape.axisOf([0, 1], false)).map(([value]) => value), [0, 0.5, 1]);
  assert.deepEqual(shape.axisTicks(shape.axisOf([-2, 6], false)).map(([value]) => value), [-2, 0, 2, 4, 6]);
  assert.deepEqual(shape.axisTicks(shape.axisOf([0.15, 0.3], true)).map(([value]) => value), [0.2, 0.4]);
  assert.deepEqual(shape.axisTicks(shape.axisOf([0.12, 0.6], true)).map(([value]) => value), [0.1, 0.5]);
  for (let power = -9; power <= 6; power += 0.05) {
    for (const values of [[10 ** power], [10 ** power, 1.5 * 10 ** power], [10 ** power, 1e3 * 10 ** power], [0, 10 ** power]]) {
      const ticks = shape.axisTicks(shape.axisOf(values, true));
      assert.ok(ticks.length >= 2 && ticks.length <= 5, `${values}: ${ticks}`);
      assert.equal(new Set(ticks.map(([value]) => words.briefNumber(value))).size, ticks.length);
      for (const [, y] of ticks) assert.ok(y >= shape.SPINE_CURVE.top && y <= shape.SPINE_CURVE.bottom, `${values}: ${ticks}`);
    }
  }
});

test("a curve has gaps where nothing was measured", () => {
  const layout = shape.spineLayout([{}, {}, {}, {}, {}], 592);
  const path = shape.curvePath([1, 3, null, 2, NaN], { low: 0, high: 4, log: false }, layout);
  assert.equal(path, "M96.0,122.0L196.0,90.0M396.0,106.0");
  assert.equal(shape.curvePath([null], { low: 0, high: 1, log: false }, layout), "");
});

// ---- words
test("numbers have the digits that they deserve", () => {
  const told = [
    ...[[0, "0"], [-0, "0"], [0.4321, "0.43"], [12.4, "12"], [99.7, "100"], [1234.5, "1235"]],
    ...[[0.0031, "0.0031"], [0.00099999, "1e−3"], [2.04e-9, "2e−9"], [-0.5, "−0.5"], [-2e-9, "−2e−9"], [2, "2"]],
    ...[[123456789, "1.2e8"], [1e21, "1e21"], [NaN, "not finite"], [Infinity, "not finite"], [null, "not finite"]],
  ];
  for (const [value, text] of told) assert.equal(words.briefNumber(value), text);
});

test("probabilities and values", () => {
  assert.deepEqual([0, 0.0004, 0.00501, 0.864, 1].map(words.briefChance), ["0.00", "< 0.01", "0.01", "0.86", "1.00"]);
  assert.equal(words.saidWords(3.456, { word: "value", units: "years" }), "3.5 years");
  assert.equal(words.saidWords(3.456, { word: "value", units: "" }), "3.5");
  assert.equal(words.saidWords(0.25, { word: "probability", units: "" }), "0.25");
  assert.equal(words.saidWords(NaN, { word: "probability", units: "" }), "not finite");
});

test("what a block adds", () => {
  const told = [
    [{ ratio: 0.4321, cosine: 0.021 }, "The branch is 0.43 × the size of the shortcut and points nearly at right angles (cosine 0.02)."],
    [{ ratio: 0.5, cosine: -0.001 }, "The branch is 0.5 × the size of the shortcut and points nearly at right angles (cosine 0.00)."],
    [{ ratio: 2, cosine: -0.5 }, "The branch is 2 × the size of the shortcut and points partly against it (cosine −0.50)."],
    [{ ratio: 1, cosine: null }, "The branch is 1 × the size of the shortcut."],
    [{ ratio: null, cosine: 0.1 }, ""],
  ];
  for (const [row, text] of told) assert.equal(words.additionWords(row), text);
  assert.deepEqual([0.9, 0.7, 0.3, 0.15, 0.1, -0.1, -0.3, -0.7].map((one) => words.directionWords(one).replace(/ \(.*/, "")), [
    ...["points the same way", "points the same way", "points partly the same way", "points partly the same way"],
    ...["points nearly at right angles", "points nearly at right angles", "points partly against it", "points against it"],
  ]);
  assert.equal(words.shareWords(0.304), "30 % of the gradient comes through the branch.");
  assert.match(words.shareWords(1.2), /is 1.2: the two parts work against each other/);
  assert.match(words.shareWords(-0.2), /is −0.2: the two parts/);
  assert.equal(words.shareWords(null), "");
});

test("what is predicted without a block", () => {
  const about = { classes: ["cat", "lynx"], said: { word: "probability", units: "" }, index: 0, best: 0 };
  assert.equal(words.withoutWords([0.86, 0.1], [0.12, 0.15], { ...about, bestWithout: 1 }), "Without it: lynx 0.15 (cat 0.86 → 0.12).");
  assert.equal(words.withoutWords([0.86, 0.1], [0.8, 0.15], { ...about, bestWithout: 0 }), "Without it: cat 0.86 → 0.80.");
  const values = { classes: [], said: { word: "value", units: "m" }, index: 0, best: 0, bestWithout: 1 };
  assert.equal(words.withoutWords([2, 0], [-3, 0], values), "Without it: class 0 2 m → −3 m.");
});

test("where a map's evidence lies", () => {
  assert.equal(words.spreadWords([4, 1, 1, 1, 1]), "Half of the evidence lies in 20 % of the picture.");
  assert.equal(words.spreadWords([1, 1, -5, 1, 1]), "Half of the evidence lies in 40 % of the picture.");
  assert.equal(words.spreadWords(new Float32Array(1000).fill(0).with(3, 1)), "Half of the evidence lies in 1 % of the picture.");
  assert.match(words.spreadWords([0, -1]), /^No evidence for this class here: every value is 0 or below/);
  assert.match(words.spreadWords([]), /^No evidence/);
  assert.match(words.spreadWords([NaN, NaN]), /not finite/);
  assert.equal(words.spreadWords([NaN, 1, 0, 0]), "Half of the evidence lies in 25 % of the picture.");
});

test("a map that is zero is this one", () => {
  const note = "grad_cam at layer4, image 0, target 'tench' is zero: its gradient is exactly 0.";
  assert.equal(words.zeroWords(note), "This map is zero: its gradient is exactly 0.");
  assert.equal(words.zeroWords(undefined), undefined);
});

test("names and counts", () => {
  assert.equal(words.endOf("layer1.0", 8), "layer1.0");
  assert.equal(words.endOf("features.denseblock1", 8), "…eblock1");
  assert.deepEqual([3, 0, -2].map((most) => words.endOf("layer1", most)), ["", "", ""]);
  assert.deepEqual([5, 999, 2048, 1234567].map(words.countWords), ["5", "999", "2,048", "1,234,567"]);
});

// ---- tiles
/** Two pictures of 1 x 3: value = code / 2, and value = code - 100. */
const SMALL = {
  ...{ height: 1, width: 3, codes: Uint8Array.from([0, 2, 255, 0, 100, 254]) },
  ...{ scale: Float32Array.from([0.5, 1]), offset: Float32Array.from([0, -100]) },
};

test("values of a tile, and their ends", () => {
  assert.deepEqual([...tiles.tileValues(SMALL, 0)], [0, 1, NaN]);
  assert.deepEqual([...tiles.tileValues(SMALL, 1)], [-100, 0, 154]);
  assert.deepEqual(tiles.tileEnds(SMALL, 0), { low: 0, high: 1 });
  assert.deepEqual(tiles.tileEnds(SMALL, 1), { low: -100, high: 154 });
  const missing = tiles.tileEnds({ ...SMALL, codes: new Uint8Array(6).fill(255) }, 0);
  assert.ok(Number.isNaN(missing.low) && Number.isNaN(missing.high));
});

test("pixels of a tile: the ends, the middle, what is beyond them, what is missing", () => {
  const signed = packedTable("signed");
  const scale = { low: -100, high: 154, signed: true };
  assert.deepEqual([...tiles.tilePixels(SMALL, 1, scale)], [signed[0], signed[100], signed[255]]);
  const narrow = { low: -50, high: 50, signed: true };
  assert.deepEqual([0, 2].map((at) => tiles.tilePixels(SMALL, 1, narrow)[at]), [signed[0], signed[255]]);
  const plain = packedTable("viridis");
  assert.deepEqual([...tiles.tilePixels(SMALL, 0, { low: 0, high: 1, signed: false })], [plain[0], plain[255], packedMissing]);
  assert.deepEqual([...tiles.tilePixels(SMALL, 0, { low: 0, high: 0, signed: false })].slice(0, 1), [plain[0]]);
});

test("a small photograph holds the means of areas", () => {
  const pixels = Uint8Array.from([10, 0, 0, 30, 0, 0, 50, 0, 0, 70, 0, 0].concat([20, 0, 0, 40, 0, 0, 60, 0, 0, 80, 0, 0]));
  const small = tiles.smallPhotograph({ pixels, height: 2, width: 4 }, 2);
  assert.deepEqual([small.height, small.width, [...small.pixels]], [1, 2, [25, 0, 0, 65, 0, 0]]);
  const large = tiles.smallPhotograph({ pixels: Uint8Array.from([9, 8, 7]), height: 1, width: 1 }, 2);
  assert.deepEqual([...large.pixels], [9, 8, 7, 9, 8, 7, 9, 8, 7, 9, 8, 7]);
});

test("a photograph that is long and thin keeps a row", () => {
  const small = tiles.smallPhotograph({ pixels: new Uint8Array(3 * 400), height: 1, width: 400 }, 64);
  assert.deepEqual([small.height, small.width], [1, 64]);
});

test("a tile over a photograph has the photograph's shape; opacity 0 is the photograph in grey", () => {
  const photograph = { height: 2, width: 2, pixels: Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]) };
  const packed = tiles.tileOverPhotograph({ ...SMALL, codes: Uint8Array.from([0, 2, 2, 0, 0, 0]) }, 0, photograph, 0);
  const bytes = new Uint8Array(packed.buffer, packed.byteOffset, packed.byteLength);
  assert.deepEqual([...bytes.slice(0, 4)], [2, 2, 2, 255]); // 0.299 + 2 * 0.587 + 3 * 0.114 = 1.8
  assert.equal(bytes.length, 16);
});

test("of two places with one depth the cursor stands on the one that was chosen", () => {
  const places = [{ depth: 1 }, { depth: 8 }, { depth: 8 }];
  assert.equal(scenes.placeAtDepth(places, 8), 1);
  assert.equal(scenes.placeAtDepth(places, 8, 2), 2);
  assert.equal(scenes.placeAtDepth(places, 1, 2), 0);
  assert.equal(state.placeAfter(places, 8, 1, 1), 2);
  assert.equal(state.placeAfter(places, 8, -1, 2), 1);
});

test("places in words", () => {
  const told = [1, 2, 3, 4, 11, 12, 13, 21, 22, 101, 111, 113].map(words.placeWords);
  assert.deepEqual(told, ["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "101st", "111th", "113th"]);
});

test("a channel's words say where it stands in both lists; one that is not there, why", () => {
  const row = { channels: [7, 39], max: [4.12, null], zeros: [0.51, 0], weights: [0.8, -0.25] };
  assert.equal(foot.channelWords(row, 0, [3, 7]), "#7 · rank 1 · for the class by 0.8 · 2nd added · 51 % zeros · largest 4.1");
  assert.equal(foot.channelWords(row, 1), "#39 · rank 2 · against the class by 0.25");
  assert.equal(foot.channelWords({ ...row, zeros: [1, 0], weights: undefined }, 0), "#7 · rank 1 · 0 everywhere · largest 4.1");
  const about = { byClass: true, className: "cat" };
  assert.equal(foot.absentWords(3, [9, 3], about), "#3 is 2nd most added, yet not among these: they are what counts most for cat.");
  assert.match(foot.absentWords(9, [9], { ...about, byClass: false }), /^#9 is 1st most added, .* answers most strongly\.$/);
});

test("of classes the foremost is meant, of values the first, which the recording is of", () => {
  const numbers = new Float32Array([0.1, 0.7, 0.2]);
  assert.equal(scenes.meantClass(null, { numbers, kind: "classes" }), 1);
  assert.equal(scenes.meantClass(null, { numbers, kind: "values" }), 0);
  assert.equal(scenes.meantClass(2, { numbers, kind: "values" }), 2);
  assert.equal(scenes.meantClass(null, { numbers: null, kind: null }), null);
});

test("what is of other weights is forgotten", () => {
  const store = scenes.createScenes();
  const moment = { image: 0, class: null, off: [] };
  store.addWithout(moment, { numbers: { dtype: "float32", offset: 0, shape: [0, 0] }, places: [], failed: [] }, new DataView(new ArrayBuffer(0)));
  assert.equal(store.renewed(0), false);
  assert.equal(store.renewed(undefined), false);
  assert.ok(store.without(moment));
  assert.equal(store.renewed(1), true);
  assert.equal(store.without(moment), undefined);
  assert.equal(store.generation(), 1);
});

test("the block without which most is lost, and how many are nearly as much", () => {
  const scene = { numbers: [0.9], places: [{ name: "layer1.0" }, { name: "layer2.0" }, { name: "layer3.0" }] };
  const lost = (values) => look.mostLost({ lost: values, scene, index: 0, header: { word: "probability" } });
  assert.deepEqual(lost([0.5, 0.1, null]), { place: 1, words: "most is lost without layer2.0: 0.90 → 0.10", whole: "most is lost without layer2.0: 0.90 → 0.10" });
  assert.equal(lost([0.11, 0.1, 0.12]).words, "most is lost without layer2.0: 0.90 → 0.10 (+2 alike)");
  assert.match(lost([0.11, 0.1, 0.2]).whole, /nearly as much without 1 more$/);
  assert.equal(lost([0.95, null, 0.9]), null);
});

test("of a page with blocks cut what comes before the cut is that of the whole network", () => {
  const bytes = new DataView(new ArrayBuffer(8));
  const place = (name) => ({ name, depth: 1, additions: [`${name}.add`] });
  const sceneOf = (off, tiles) => ({
    ...{ image: 0, class: off.length ? 3 : null, off, places: [place("a"), place("b")], curves: {}, numbers: null, before: null, picture: null },
    additions: { "a.add": { tiles: null, ratio: 1 }, "b.add": { tiles: null, ratio: 2 } },
    tiles,
  });
  const store = scenes.createScenes();
  const whole = sceneOf([], [null, null]);
  store.addScene(whole, whole, bytes);
  const first = store.scene(whole);
  [first.tiles, first.additions["a.add"].tiles] = [["of a", "of b"], "parts of a"];
  const without = { numbers: { dtype: "float32", offset: 0, shape: [0, 0] }, places: [], failed: [] };
  const other = { ...sceneOf([], [null, null]), image: 1 };
  const told = { tiles: [null, null], page: null };
  store.addMore([{ base: 0, scene: sceneOf(["b"], [null, null]), explained: told }, { base: 0, scene: other, explained: told, without }], bytes, null);
  const cut = store.scene({ image: 0, class: 3, off: ["b"] });
  assert.deepEqual([cut.tiles, cut.additions["a.add"].tiles, cut.additions["b.add"].tiles], [["of a", null], "parts of a", null]);
  assert.equal(cut.additions["a.add"].ratio, 1);
  assert.ok(store.without({ image: 1, class: null, off: [] }) && !store.without({ image: 0, class: 3, off: ["b"] }));
});
