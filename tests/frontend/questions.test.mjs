// What the screen of explore asks the kernel for: in which order, what is given up, what stays.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createAsking } from "../../resviz/views/widgets/frontend/explore/questions.js";
import { momentKey } from "../../resviz/views/widgets/frontend/explore/scenes.js";

const MOMENT = { image: 0, class: null, off: [] };
const turns = async () => {
  for (let n = 0; n < 20; n += 1) await null;
};

/** A screen that shows a first scene; what is asked waits in `asked` for its answer. */
function screenOf({ live = true } = {}) {
  let generation = 0;
  const [asked, dropped, said, known] = [[], [], [], new Set([`scene ${momentKey(MOMENT)}`])];
  const there = (what) => (moment) => (known.has(`${what} ${momentKey(moment)}`) ? { page: null } : undefined);
  const took = (what) => (moment) => known.add(`${what} ${momentKey(moment)}`);
  const store = { scene: there("scene"), explained: there("explained"), without: there("without"), addScene: took("scene"), addExplained: took("explained"), addWithout: took("without") };
  Object.assign(store, { generation: () => generation, renewed: (now = 0) => now !== generation && ((generation = now), known.clear(), true) });
  const shell = {
    live,
    ask: (what, details) => new Promise((done) => asked.push({ what, details, done })),
    ...{ drop: (what) => dropped.push(what), stop: (what) => dropped.push(`stop ${what}`), say: (words) => said.push(words) },
  };
  const screen = { asked, dropped, said, known, state: { ...MOMENT, contrast: null, method: "cam" }, shown: { moment: MOMENT, scene: { places: [{ additions: ["a"] }] } } };
  const changed = (next) => (screen.state = { ...screen.state, ...next });
  const asking = createAsking({ shell, store, state: () => screen.state, shown: () => screen.shown, changed, arrived() {}, joined() {}, placeNow: () => 0 });
  const answer = async (content = {}, buffers = []) => {
    const { what, done } = asked.shift();
    done(content && { content: { [what]: {}, ...content }, buffers });
    await turns();
  };
  const load = async () => {
    asking.later(0);
    await new Promise((done) => setTimeout(done, 5));
  };
  return Object.assign(screen, { asking, answer, load, waiting: () => asked.map((one) => one.what) });
}

test("of a moment the scene comes first, then its explanation, then each block cut", async () => {
  const screen = screenOf();
  screen.state = { ...screen.state, image: 1 };
  await screen.load();
  assert.deepEqual(screen.waiting(), ["scene"]);
  await screen.answer();
  assert.deepEqual(screen.waiting(), ["explanation"]);
  assert.ok(screen.asking.busy() && !screen.asking.measuring());
  await screen.answer();
  assert.deepEqual(screen.waiting(), ["without"]);
  assert.ok(screen.asking.measuring() && screen.asking.secondsOfCuts() < 1);
  await screen.answer();
  assert.ok(!screen.asking.busy());
  await screen.load(); // all of it is there: whether it is of these weights is asked, which keeps nobody waiting
  assert.deepEqual(screen.waiting(), ["generation"]);
  assert.ok(!screen.asking.busy());
  await screen.answer({ generation: 0 });
  assert.deepEqual(screen.waiting(), []);
});

const pause = () => new Promise((done) => setTimeout(done, 5));

test("what is of other weights is asked for again, the scene first", async () => {
  const screen = screenOf();
  screen.known.add(`explained ${momentKey(MOMENT)}`);
  await screen.load();
  assert.deepEqual(screen.waiting(), ["generation"]);
  await screen.answer({ generation: 1 });
  await pause();
  assert.deepEqual(screen.waiting(), ["scene"]);
  await screen.answer({ scene: { generation: 1 } });
  assert.deepEqual(screen.waiting(), ["explanation"]);
  await screen.answer({ explanation: { generation: 2 } }); // they changed once more
  await pause();
  assert.deepEqual(screen.waiting(), ["scene"]);
  assert.match(screen.said.at(-1), /network has changed/);
});

test("of a network that trains all the while what comes is shown", async () => {
  const screen = screenOf();
  await screen.load();
  for (let generation = 1; generation <= 4; generation += 1) {
    while (screen.waiting()[0] === "scene") await screen.answer({ scene: { generation: generation - 1 } });
    assert.deepEqual(screen.waiting(), ["explanation"]);
    await screen.answer({ explanation: { generation } });
    await pause();
  }
  assert.ok(screen.known.has(`explained ${momentKey(MOMENT)}`));
});

test("a newer moment gives up what was asked for the one before", async () => {
  const screen = screenOf();
  await screen.load();
  assert.deepEqual(screen.waiting(), ["explanation"]);
  screen.state = { ...screen.state, image: 1 };
  await screen.load();
  assert.deepEqual(screen.waiting(), ["explanation", "scene"]);
  assert.deepEqual(screen.dropped.slice(-2), ["explanation", "without"]);
  await screen.answer(); // too late
  assert.deepEqual([...screen.known].filter((one) => one.startsWith("explained")), []);
  assert.deepEqual(screen.waiting(), ["scene"]);
});

test("a scene that does not come, or is stopped: the screen stays at what it shows", async () => {
  const screen = screenOf();
  screen.state = { ...screen.state, image: 1, off: ["a"] };
  await screen.load();
  await screen.answer(null);
  assert.deepEqual([screen.state.image, screen.state.off], [0, []]);
  screen.state = { ...screen.state, image: 1 };
  await screen.load();
  screen.asking.stop();
  assert.deepEqual([screen.state.image, screen.dropped.at(-1), screen.asking.busy()], [0, "stop scene", false]);
});

test("a page asks nothing", async () => {
  const screen = screenOf({ live: false });
  screen.state = { ...screen.state, image: 1 };
  await screen.load();
  assert.deepEqual(screen.waiting(), []);
});

test("a map is asked for once; without an answer it may be asked for again", async () => {
  const { asking, asked, answer } = screenOf();
  const wanted = { key: "k", class: 1, contrast: null, method: "cam", layer: "a" };
  asking.map(wanted);
  asking.map(wanted);
  assert.deepEqual(asked.map((one) => [one.what, one.details.layer, one.details.part]), [["map", "a", "positive"]]);
  assert.equal(asking.maps(MOMENT).get("k").why, "being explained …");
  await answer(null);
  assert.equal(asking.maps(MOMENT).size, 0);
  asking.map(wanted);
  await answer({ shape: [1, 2] }, [new DataView(Float32Array.of(3, 4).buffer)]);
  assert.deepEqual(asking.maps(MOMENT).get("k"), { values: Float32Array.of(3, 4), height: 1, width: 2 });
});

test("a photograph that cannot be read is not sent; the next one is", async () => {
  const screen = screenOf();
  const file = (name, arrayBuffer) => ({ name, type: "image/png", size: 9, arrayBuffer });
  screen.asking.add([file("a.png", () => Promise.reject(new Error("gone"))), file("b.png", async () => new ArrayBuffer(9))]);
  await turns();
  assert.match(screen.said[1], /^a.png cannot be read/);
  assert.deepEqual(screen.waiting(), ["photograph"]);
  await screen.answer({ image: 2, header: {} });
  assert.equal(screen.state.image, 2);
  screen.asking.close();
});
