// What a selection means, which channels are shown, and where a step leads.
import assert from "node:assert/strict";
import test from "node:test";

import * as maps from "../../resviz/views/widgets/frontend/map_state.js";

/** A layer of one position a channel: the values are the numbers themselves. */
function layer(key, values) {
  const numbers = Float32Array.from(values);
  return {
    ...{ key, images: 1, channels: values.length, height: 1, width: 1, position: "positions", low: 0, high: 9 },
    ...{ codes: new Uint8Array(values.length), scale: new Float32Array(values.length), offset: numbers },
    ...{ mean: numbers, maximum: numbers, zeros: new Uint8Array(values.length) },
  };
}
function networks() {
  const weight = { layer: "end", classes: [3], rows: Float32Array.from([1, -1, 5]), reason: null };
  const images = [{ label: "image 0", predicted: [{ index: 3 }] }];
  const layers = [layer("stem", Array.from({ length: 60 }, (_, n) => n)), layer("end", [4, 9, 1])];
  return [{ name: "net", layers, images, classes: ["a", "b", "c", "d"], pictures: null, weight }];
}

test("a selection: what it names wrongly stays as it was", () => {
  const state = maps.mapsAfter(maps.FIRST_MAPS, { layer: "end", sort: "mean", image: 7, show: "none", compare: "network" }, networks());
  assert.deepEqual([state.layer, state.sort, state.image, state.show, state.compare], [1, "mean", 0, "strongest", "none"]);
  const selection = maps.mapsSelection(maps.filledMaps(state, networks()), networks());
  assert.equal(selection.layer, "end");
  assert.deepEqual([selection.class, selection.beside], [3, [0, "end"]]);
  assert.deepEqual(maps.mapsAfter(maps.FIRST_MAPS, selection, networks()).layer, 1);
});

test("the strongest are shown, or all; the chosen channel is among them", () => {
  const few = maps.describedPanes(maps.filledMaps(maps.FIRST_MAPS, networks()), networks());
  assert.equal(few[0].order.length, maps.STRONGEST);
  assert.deepEqual(few[0].order.slice(0, 2), [59, 58]);
  assert.equal(few[0].title.size, "48 of 60 channels of 1 positions");
  assert.equal(maps.withChannels({ ...maps.FIRST_MAPS, channel: 2 }, few).channel, 59);
  const all = maps.describedPanes(maps.filledMaps({ ...maps.FIRST_MAPS, show: "all" }, networks()), networks());
  assert.equal(all[0].order.length, 60);
  assert.equal(maps.withChannels({ ...maps.FIRST_MAPS, channel: 2 }, all).channel, 2);
});

test("the order of a class: only where its weights are, by what a channel adds", () => {
  const asked = maps.filledMaps({ ...maps.FIRST_MAPS, sort: "contribution", layer: 1 }, networks());
  assert.equal(maps.sortShown(asked, networks()), "contribution");
  assert.deepEqual(maps.describedPanes(asked, networks())[0].order, [2, 0, 1]); // 4 * 1, 9 * -1, 1 * 5
  const elsewhere = { ...asked, layer: 0 };
  assert.equal(maps.sortShown(elsewhere, networks()), "max");
  assert.equal(maps.sortChoices(elsewhere, networks())[0].reason, "only at end");
});

test("steps: one by one to the ends; by rows not beyond them", () => {
  const one = { order: [5, 6, 7], together: true };
  const state = { channel: 6, besideChannel: null };
  assert.equal(maps.channelAfter(state, one, 1), 7);
  assert.equal(maps.channelAfter(state, one, -Infinity), 5);
  assert.equal(maps.channelAfter(state, one, 2), null);
});
