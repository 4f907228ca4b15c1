// What is looked at, and what follows from it. No DOM.

import { foremost, meantClass, passKey, placeAtDepth } from "./scenes.js";

export const FIRST_STATE = {
  ...{ image: 0, class: null, off: [], depth: null, channel: null, curve: "gradient" },
  ...{ method: "grad_cam", contrast: null, opacity: 0.6, order: "class", addition: null, whole: false, place: null },
};
export const CURVE_NAMES = ["gradient", "activation", "ratio", "share"];
const OLD_KEYS = { views: "depth, channel and class", open: "nothing: all parts are seen at once" };

/** The state that a selection names; what it does not name, or names wrongly, stays. */
export function stateAfter(state, selection, header) {
  const next = { ...state };
  const whole = (value, below) => Number.isInteger(value) && value >= 0 && value < below;
  if (whole(selection.image, header.photographs.length)) next.image = selection.image;
  for (const key of ["class", "contrast"]) {
    if (selection[key] === null || whole(selection[key], header.classes.length)) next[key] = selection[key];
  }
  if (Array.isArray(selection.off)) next.off = header.blocks.filter((name) => selection.off.map(String).includes(name));
  if (Number.isFinite(selection.depth)) next.depth = selection.depth;
  if (whole(selection.channel, Infinity)) next.channel = selection.channel;
  if (CURVE_NAMES.includes(selection.curve)) next.curve = selection.curve;
  if (typeof selection.method === "string") next.method = selection.method;
  if (Number.isFinite(selection.opacity)) next.opacity = Math.max(0, Math.min(1, selection.opacity));
  return next;
}

/** What to say of keys that a selection had once; "" where there are none. */
export function oldKeyWords(selection) {
  const old = Object.keys(OLD_KEYS).filter((key) => key in selection);
  return old.map((key) => `selection["${key}"] is no more; instead: ${OLD_KEYS[key]}.`).join(" ");
}

/** The state with a block cut, or put back; the class that was meant stays the class. */
export function afterCut(state, name, meant) {
  const off = state.off.includes(name) ? state.off.filter((one) => one !== name) : [...state.off, name];
  return { ...state, off, class: off.length ? (state.class ?? meant) : state.class };
}

/** Whether a scene of this photograph and these blocks is at hand. */
export const isThere = (store, state) => Boolean(store.scene(state) ?? store.scene({ ...state, class: null }));

/** Why a page does not show what is asked for, and which cuts it has instead. */
export function missingWords(cuts, { photographs, classes }) {
  if (!cuts.length) return "This photograph, or this block cut, needs a running kernel; this page has none. save_html(path, lesions=True) writes one with blocks cut.";
  const said = ({ image, class: index }) => photographs[image].name + (classes[index] ? ` (class ${classes[index]})` : "");
  const how = cuts.every(({ off }) => off.length < 2) ? ", one at a time" : "";
  return `This page has blocks cut${how}, of photograph ${[...new Set(cuts.map(said))].join(", ")}; anything else needs a running kernel.`;
}

/** Whether a place can be cut: with a kernel any, on a page those that were cut for it. */
export function canCut({ shell, store, state, last }, place) {
  if (shell.live || !place?.additions.length) return true;
  return isThere(store, afterCut(state, place.name, meantClass(state.class, last.scene)));
}

/** The class to ask for: none where it is what the whole network predicts anyway. */
export function askedClass(index, off, predicted) {
  return index === predicted && !off.length ? null : index;
}

/** The scene to show for a state: exactly it, or one of the same photograph and blocks; `exact` says which. */
export function sceneToShow(store, state, last) {
  const exact = store.scene(state);
  if (exact) return { scene: exact, moment: state, exact: true };
  if (last && passKey(last.moment) === passKey(state)) return { scene: last.scene, moment: last.moment, exact: false };
  const plain = store.scene({ ...state, class: null });
  if (plain) return { scene: plain, moment: { ...state, class: null }, exact: false };
  return last ? { ...last, exact: false, stale: true } : null;
}

/** The cursor's place after a step. */
export function placeAfter(places, depth, by, place = null) {
  const at = placeAtDepth(places, depth, place);
  return Math.max(0, Math.min(places.length - 1, at + by));
}

/** Of each place the probability of a class when it is cut; null where that was not measured. */
export function withoutCurve(without, places, index) {
  if (!without || index === null) return null;
  return places.map((_, at) => without.rows.get(at)?.[index] ?? null);
}

/** The places, those whose cut moves the class most first. */
export function mattersMost(without, places, index, now) {
  const curve = withoutCurve(without, places, index);
  if (!curve) return [];
  const moved = curve.map((value, at) => [at, value === null ? -1 : Math.abs(now - value)]);
  return moved.filter(([, by]) => by >= 0).sort((a, b) => b[1] - a[1]).map(([at]) => at);
}

/** What the network says first of a cut block; -1 where that was not measured. */
export const foremostWithout = (without, at) => (without?.rows.has(at) ? foremost(without.rows.get(at)) : -1);
