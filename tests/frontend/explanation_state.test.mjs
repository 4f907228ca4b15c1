// What is chosen of an explanation, and the words about it, by hand.
import assert from "node:assert/strict";
import test from "node:test";

import * as look from "../../resviz/views/widgets/frontend/explanation_look.js";
import * as state from "../../resviz/views/widgets/frontend/explanation_state.js";

const one = (method, layer) => [JSON.stringify([method, layer]), { method, layer, signed: false }];
const DATA = {
  ...{ images: 2, classes: ["cat", "dog", "owl"], targets: [[0], [1, 2]], names: [["cat"], ["dog", "owl"]] },
  ...{ maps: new Map([one("grad_cam", "a"), one("layer_cam", "b")]), head: null, asks: null, logits: null },
};
const FIRST = { ...state.FIRST_REASONS, class: 0, method: "grad_cam", layer: "a" };

test("a selection that makes sense, and one of nonsense", () => {
  const wanted = { image: 1, class: 2, contrast: 0, method: "layer_cam", layer: "b", part: "signed", opacity: 0, colours: "cividis", under: "file" };
  assert.deepEqual(state.reasonsAfter(FIRST, wanted, DATA), { ...FIRST, ...wanted, recorded: null });
  const nonsense = { image: 9, class: 7, contrast: -1, method: "x", layer: 3, part: "all", opacity: 7, colours: "jet", under: 1 };
  assert.deepEqual(state.reasonsAfter(FIRST, nonsense, DATA), { ...FIRST, class: null, recorded: 0 });
  assert.equal(state.reasonsAfter(FIRST, { recorded: 0, contrast: 1 }, DATA).contrast, null);
});

test("at another photograph its own class, where the predicted one was shown", () => {
  assert.deepEqual(state.atImage(FIRST, 1, DATA), { ...FIRST, image: 1, class: 1 });
  assert.equal(state.atImage({ ...FIRST, class: 2 }, 1, DATA).class, 2);
  assert.equal(state.atImage({ ...FIRST, contrast: 1 }, 1, DATA).class, 0);
  assert.equal(state.atImage({ ...FIRST, image: 1, class: null, recorded: 1 }, 0, DATA).recorded, 0);
});

test("an empty picture of a map that is below 0 is not called exactly 0", () => {
  const head = { layer: "a", channels: 1, height: 1, width: 2, methods: { grad_cam: 1 }, weight: new Float32Array([-1, 0, 0]), activations: new Float32Array([1, 2]) };
  const words = (index) => {
    const chosen = { ...FIRST, class: index, part: "positive" };
    const shown = look.mapShown({ ...DATA, maps: new Map(), head }, chosen, { live: false, answers: new Map(), failures: new Map() });
    return look.blankWords(DATA, chosen, shown);
  };
  assert.equal(words(0), "no evidence: 0 or below everywhere");
  assert.equal(words(1), "the map is exactly 0 everywhere");
});

test("a method goes to a layer where there is a map of it; steps leave out what there is not", () => {
  assert.equal(state.atMethod(FIRST, "layer_cam", DATA, false).layer, "b");
  const choices = state.layerChoicesOf(DATA, FIRST, false);
  assert.deepEqual(choices.map(({ value, disabled, reason }) => [value, disabled, reason]), [["a", false, null], ["b", true, "not for this target"]]);
  assert.equal(state.steppedChoice(choices, "a", 1), "a");
  assert.equal(state.steppedChoice(state.methodChoices(DATA, FIRST, false), "grad_cam", 1), "layer_cam");
});

test("small maps fill their field, whole", () => {
  for (const [count, width, height] of [[1, 290, 500], [5, 290, 500], [80, 300, 506], [200, 300, 200], [16, 1000, 100]]) {
    const columns = state.fittingColumns([count], width, height);
    const side = (width + 2) / columns;
    assert.ok(Math.ceil(count / columns) * side - 2 <= height || columns === count, `${count}: ${columns}`);
    if (columns > Math.ceil(width / 132)) assert.ok(Math.ceil(count / (columns - 1)) * ((width + 2) / (columns - 1)) - 2 > height);
  }
});

test("small maps of several methods fit with the headings between them", () => {
  const columns = state.fittingColumns([16, 16, 16, 16, 16], 300, 460);
  const tall = (count) => 5 * Math.ceil(16 / count) * (302 / count) - 2 + 5 * 18;
  assert.ok(tall(columns) <= 460 && tall(columns - 1) > 460);
});

test("small maps: the chosen method's first, of each method the last layer first", () => {
  const numbers = { targets: 2, height: 1, width: 2, codes: new Uint8Array([0, 1, 1, 1, 0, 1, 1, 1]), scale: [1, 1, 1, 1], offset: [0, 0, 0, 0] };
  const maps = ["a", "b"].flatMap((layer) => ["grad_cam", "layer_cam"].map((method) => one(method, layer)));
  const data = { ...DATA, targets: [[0, 1]], maps: new Map(maps.map(([key, map]) => [key, { ...map, ...numbers }])) };
  const found = look.mapsAtHand(data, { ...FIRST, method: "layer_cam" }, false);
  assert.deepEqual(found.map(({ method, layer }) => `${method} ${layer}`), ["layer_cam b", "layer_cam a", "grad_cam b", "grad_cam a"]);
  assert.deepEqual(found.map(({ focus }) => focus), [0.5, 0.5, 0.5, 0.5]);
  assert.deepEqual(look.mapGroups(found), [{ method: "layer_cam", count: 2 }, { method: "grad_cam", count: 2 }]);
  assert.equal(look.orderWords(found), "4 maps of 2 methods, of each the last layer first");
  assert.equal(look.orderWords(found.slice(0, 2)), "2 maps, the last layer first");
  assert.equal(look.orderWords([found[0], found[2]]), "2 maps"); // one of each method: no headings
  assert.equal(look.orderWords(found.slice(0, 1)), "1 map");
});

test("focus: the share of the picture that holds half of the evidence", () => {
  assert.equal(look.focusOf([4, 1, 1, 1, 1]), 0.2);
  assert.equal(look.focusOf([0, -1]), Infinity);
  assert.equal(look.focusWords(0.2), "half of the evidence in 20 % of the picture");
  assert.match(look.focusWords(Infinity), /^no evidence/);
});

test("places and targets in words", () => {
  const shown = { values: [0, 3, 1, 2], height: 2, width: 2, half: 0 };
  assert.deepEqual(look.largestPlace(shown), { row: 0, column: 1 });
  assert.deepEqual(look.insideMap({ row: 5, column: -1 }, shown), { row: 1, column: 0 });
  assert.match(look.placeReading({ row: 1, column: 0 }, shown, [4, 4], [0, 0, 1, 1], true), /^row 1, column 0 of 2 × 2: 1\S* · pixels 0–1 across, 2–3 down$/);
  assert.equal(look.targetWords(DATA, { ...FIRST, contrast: 1 }), "cat rather than dog");
  assert.equal(look.targetWords(DATA, { ...FIRST, class: null, recorded: 0 }), "cat");
});
