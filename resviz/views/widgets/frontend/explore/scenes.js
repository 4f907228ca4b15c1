// What came from the kernel, by photograph, class and blocks that are cut. No DOM.

import { explanationOf } from "../explanation_maps.js";
import { arrayAt } from "../pixels.js";

const MOST_SCENES = 48; // of a living view; the kernel has older ones, or makes them again

/** A name for what was recorded: one photograph, one class, some blocks cut. */
export const momentKey = ({ image, class: index, off }) => JSON.stringify([image, index ?? null, [...off].sort()]);
/** The same for what does not depend on the class. */
export const passKey = ({ image, off }) => JSON.stringify([image, [...off].sort()]);

/** Codes of small pictures, ready to be painted: { codes, scale, offset, height, width, ... }. */
export function tilesOf(told, view) {
  if (!told) return null;
  const read = {};
  for (const name of ["codes", "scale", "offset"]) read[name] = arrayAt(view, told[name]);
  const [height, width] = told.codes.shape.slice(-2);
  return { ...told, ...read, height, width };
}

const numbersOf = (told, view) => told && arrayAt(view, told);

export function sceneOf(told, view) {
  const additions = Object.entries(told.additions).map(([name, one]) => [name, { ...one, tiles: tilesOf(one.tiles, view) }]);
  const picture = told.picture && {
    pixels: arrayAt(view, told.picture),
    height: told.picture.shape[0],
    width: told.picture.shape[1],
  };
  return {
    ...told,
    picture,
    additions: Object.fromEntries(additions),
    tiles: told.tiles.map((one) => tilesOf(one, view)),
    numbers: numbersOf(told.numbers, view),
    before: numbersOf(told.before, view),
  };
}

/** The explanation of a scene: { page, tiles, lens }; without maps `page` is null, and `why` says why. */
export function explainedOf(told, view) {
  const tiles = told.tiles.map((one) => tilesOf(one, view));
  if (!told.page) return { ...told, page: null, tiles };
  const inner = new DataView(view.buffer, view.byteOffset + told.base);
  return { ...told, page: explanationOf(told.page, inner), tiles };
}

/** What is said without each block: by place its numbers, (T,) each. */
export function withoutOf(told, view) {
  const numbers = arrayAt(view, told.numbers);
  const count = told.numbers.shape[1];
  const rows = told.places.map((place, row) => [place, numbers.subarray(row * count, (row + 1) * count)]);
  return { rows: new Map(rows), failed: new Set(told.failed) };
}

/** Index of the largest number; of none -1. */
export function foremost(numbers) {
  let best = -1;
  for (let index = 0; index < numbers.length; index += 1) if (best < 0 || numbers[index] > numbers[best] || Number.isNaN(numbers[best])) best = index;
  return best;
}

/** The output that is meant where none was chosen: the predicted class; of values, where nothing is predicted, the first. */
export const meantClass = (chosen, scene) => chosen ?? (scene?.numbers ? (scene.kind === "values" ? 0 : foremost(scene.numbers)) : null);

/** Indices of the `count` largest, from the largest on. */
export function largest(numbers, count) {
  const order = Array.from(numbers, (_, index) => index);
  order.sort((a, b) => numbers[b] - numbers[a] || a - b);
  return order.slice(0, count);
}

/**
 * The place at or behind a depth, else the last; -1 where there is none. Several places may have one
 * depth (pooling has no weights): then `at` says which of them.
 */
export function placeAtDepth(places, depth, at = null) {
  if (at !== null && places[at]?.depth === depth) return at;
  if (depth === null || depth === undefined) return places.length - 1;
  const found = places.findIndex((place) => place.depth >= depth);
  return found < 0 ? places.length - 1 : found;
}

/** Before the first cut all is as it was: a page has it once. */
function takeUnchanged(scene, whole) {
  const cut = scene.places.findIndex((place) => scene.off.includes(place.name));
  scene.places.slice(0, Math.max(0, cut)).forEach((place, at) => {
    scene.tiles[at] ??= whole.tiles[at];
    for (const name of place.additions) scene.additions[name].tiles ??= whole.additions[name]?.tiles ?? null;
  });
}

/** What is kept of what came, with the newest of each kind by its key; all of one network, whose weights may change. */
export function createScenes() {
  const [scenes, explained, without] = [new Map(), new Map(), new Map()];
  let generation = 0;
  const kept = (map, key, value) => {
    map.set(key, value);
    if (map.size > MOST_SCENES) map.delete(map.keys().next().value);
  };
  /** Scenes of a page, each with a buffer of its own within `view`; the head's weights are of the first. */
  function addMore(list, view, head) {
    for (const one of list) {
      const inner = new DataView(view.buffer, view.byteOffset + one.base);
      const scene = sceneOf(one.scene, inner);
      const whole = [...scenes.values()].find((other) => other.image === scene.image && !other.off.length);
      scene.picture ??= whole?.picture ?? null;
      if (whole && scene.off.length) takeUnchanged(scene, whole);
      scenes.set(momentKey(one.scene), scene);
      const made = explainedOf(one.explained, inner);
      if (made.page?.head && !made.page.head.weight) {
        if (head) Object.assign(made.page.head, { weight: head.weight });
        else made.page.head = null;
      }
      explained.set(momentKey(one.scene), made);
      if (one.without) without.set(passKey(one.scene), withoutOf(one.without, inner));
    }
  }
  return {
    addMore,
    generation: () => generation,
    /** Whether what comes is of other weights than what is here, which is forgotten then. */
    renewed(now = 0) {
      if (now === generation) return false;
      generation = now;
      for (const map of [scenes, explained, without]) map.clear();
      return true;
    },
    scene: (moment) => scenes.get(momentKey(moment)),
    explained: (moment) => explained.get(momentKey(moment)),
    without: (moment) => without.get(passKey(moment)),
    addScene: (moment, told, view) => kept(scenes, momentKey(moment), sceneOf(told, view)),
    addExplained: (moment, told, view) => kept(explained, momentKey(moment), explainedOf(told, view)),
    addWithout: (moment, told, view) => without.set(passKey(moment), withoutOf(told, view)),
    /** The scenes with blocks cut. */
    cuts: () => [...scenes.values()].filter(({ off }) => off.length),
    images: () => [...new Set([...scenes.values()].map((scene) => scene.image))],
  };
}
