// Which layer stands for which, one scale over networks, words of the read-out.
import assert from "node:assert/strict";
import test from "node:test";

import * as maps from "../../resviz/views/widgets/frontend/map_data.js";

const network = (...keys) => ({ layers: keys.map((key) => ({ key })) });

test("a layer's counterpart: the same name, else the same place along the network", () => {
  const deep = network("stem", "a.0", "a.1", "a.2", "b.0");
  const flat = network("conv", "a.1", "end");
  assert.equal(maps.counterpart(deep, 2, flat), 1);
  assert.equal(maps.counterpart(deep, 0, flat), 0);
  assert.equal(maps.counterpart(deep, 4, flat), 2);
  assert.equal(maps.counterpart(network("one"), 0, flat), 0);
});

test("one scale over all layers of all networks", () => {
  const layers = (...ends) => ({ layers: ends.map(([low, high]) => ({ low, high })) });
  const found = maps.wholeLimits([layers([0, 1], [0, 5]), layers([-2, 3])]);
  assert.deepEqual(found, { low: -5, high: 5, signed: true });
  assert.deepEqual(maps.wholeLimits([layers([0, 1], [0, 5])]), { low: 0, high: 5, signed: false });
});

function pane(codes) {
  const data = {
    ...{ channels: 2, height: 1, width: 2, position: "tokens", key: "x" },
    codes: Uint8Array.from(codes),
    scale: Float32Array.from([0.5, 0]),
    offset: Float32Array.from([0, 3]),
    mean: Float32Array.from([1, 3]),
    maximum: Float32Array.from([2, 3]),
    zeros: Uint16Array.from([13107, 0]),
  };
  return { data, image: 0, order: [1, 0], network: 0 };
}

test("the read-out says how sure it is", () => {
  const one = pane([4, 0, 0, 255]);
  const read = (place, column) => maps.readOutWords(one, { place, row: 0, column });
  assert.equal(read(1, 0), "channel 0 · tokens 0 · 2 ± 0.3 · channel mean 1");
  assert.equal(read(1, 1), "channel 0 · tokens 1 · 0 · channel mean 1"); // zeros are exact
  assert.equal(read(0, 0), "channel 1 · tokens 0 · 3 · channel mean 3"); // so are constants
  assert.equal(read(0, 1), "channel 1 · tokens 1 · not finite · channel mean 3");
});

test("rows of the table are in the shown order", () => {
  const rows = maps.channelRows([{ name: "net" }], [pane([4, 0, 0, 255])]);
  assert.equal(rows[0].length, rows[1].length);
  assert.deepEqual(rows[1], ["net", "x", 0, 1, 0, 3, 3, "0.000"]);
  assert.deepEqual(rows[2], ["net", "x", 0, 0, 1, 1, 2, "0.200"]);
  const chosen = maps.channelRows([{ name: "net", images: [{ number: 7 }] }], [pane([4, 0, 0, 255])]);
  assert.equal(chosen[1][2], 7); // the record's number, not the place among those sent
});
