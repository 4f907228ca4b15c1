import assert from "node:assert/strict";
import { test } from "node:test";
import {
  depthAt,
  followedBy,
  joinedBuffers,
  linkedBy,
  placeAt,
  samePasses,
  sameScene,
  shortBlock,
} from "../../resviz/views/widgets/frontend/explore_links.js";

const places = {
  maps: [["relu", 1], ["layer1.0", 3], ["layer1.1", 5]],
  explanation: [["layer1.0", 3], ["layer1.1", 5]],
  residuals: [["layer1.0.add", 3], ["layer1.1.add", 5]],
};

test("a depth stands for the layer that ends at it or behind it", () => {
  assert.equal(placeAt(places.maps, 1), "relu");
  assert.equal(placeAt(places.maps, 2), "layer1.0"); // inside the first block
  assert.equal(placeAt(places.maps, 3), "layer1.0");
  assert.equal(placeAt(places.maps, 9), "layer1.1"); // behind the last one
  assert.equal(placeAt([], 1), null);
  assert.equal(placeAt(undefined, 1), null);
  assert.equal(depthAt(places.residuals, "layer1.1.add"), 5);
  assert.equal(depthAt(places.residuals, "gone"), null);
});

test("a view says what it changed, and nothing else", () => {
  const before = { layer: "relu", channel: 3, class: 1 };
  assert.deepEqual(linkedBy("maps", { ...before }, before, places), {});
  assert.deepEqual(linkedBy("maps", { ...before, layer: "layer1.1" }, before, places), { depth: 5 });
  assert.deepEqual(linkedBy("maps", { ...before, channel: 4, class: 7 }, before, places), { class: 7, channel: 4 });
  assert.deepEqual(linkedBy("maps", { ...before, layer: "gone" }, before, places), {});
  assert.deepEqual(linkedBy("explanation", { layer: "layer1.0", class: 2 }, { layer: "layer1.1", class: 2 }, places), { depth: 3 });
  assert.deepEqual(linkedBy("residuals", { addition: "layer1.0.add" }, {}, places), { depth: 3 });
  assert.deepEqual(linkedBy("gradients", { depth: 4 }, { depth: null }, places), { depth: 4 });
  assert.deepEqual(linkedBy("gradients", { depth: null }, { depth: 4 }, places), {});
});

test("a view follows", () => {
  const linked = { depth: 4, channel: 2, class: null };
  assert.deepEqual(followedBy("maps", linked, places, 8), { layer: "layer1.1", channel: 2, class: 8 });
  assert.deepEqual(followedBy("explanation", { ...linked, class: 3 }, places, 8), { layer: "layer1.1", class: 3, recorded: null });
  assert.deepEqual(followedBy("residuals", linked, places, 8), { addition: "layer1.1.add", channel: 2 });
  assert.deepEqual(followedBy("gradients", linked, places, 8), { depth: 4 });
  assert.deepEqual(followedBy("residuals", { ...linked, depth: null }, places, undefined), { channel: 2 });
});

test("scenes are alike by photograph, class and blocks, in any order", () => {
  const one = { image: 0, class: null, off: ["a", "b"] };
  assert.ok(sameScene(one, { ...one, off: ["b", "a"] }));
  assert.ok(!sameScene(one, { ...one, class: 0 }));
  assert.ok(samePasses(one, { ...one, class: 0 }));
  assert.ok(!samePasses(one, { ...one, off: ["a"] }));
  assert.ok(!samePasses(one, { ...one, off: ["a", "c"] }));
  assert.ok(!samePasses(one, { ...one, image: 1 }));
});

test("blocks have short names within their stage", () => {
  assert.equal(shortBlock({ name: "layer3.4", stage: "layer3" }), "4");
  assert.equal(shortBlock({ name: "encoder.layers.encoder_layer_3", stage: "" }), "layers.encoder_layer_3");
});

test("buffers are joined at a multiple of four bytes", () => {
  const inner = new DataView(new Uint8Array([9, 1, 2, 3, 4, 5]).buffer, 1);
  const { view, at } = joinedBuffers(inner, new DataView(new Uint8Array([7, 8]).buffer));
  assert.equal(at, 8);
  assert.deepEqual([...new Uint8Array(view.buffer)], [1, 2, 3, 4, 5, 0, 0, 0, 7, 8]);
});
