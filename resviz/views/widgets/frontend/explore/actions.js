// What may be done on the screen. `view`: that of screen.js.

import { element } from "../controls.js";
import { draw, schedule } from "./drawing.js";
import { meantClass, placeAtDepth } from "./scenes.js";
import { afterCut, askedClass, canCut, isThere, missingWords, oldKeyWords, placeAfter, stateAfter } from "./state.js";

const PUBLISHED = ["image", "class", "depth", "channel", "curve", "method", "contrast", "opacity"];

// ---- the cursor
export const placeNow = ({ last, state }) => (last ? placeAtDepth(last.scene.places, state.depth, state.place) : -1);

export function moveTo(view, place) {
  view.hint.hidden = true;
  const depth = view.last?.scene.places[place]?.depth;
  if (depth === undefined || place === placeNow(view)) return;
  change(view, { depth, place, addition: null });
  view.shell.say("");
}

export function step(view, by) {
  const { last, state } = view;
  if (last) moveTo(view, placeAfter(last.scene.places, state.depth, by, state.place));
}

// ---- what is looked at
export function change(view, changes) {
  view.state = { ...view.state, ...changes };
  schedule(view);
  publish(view);
}

/** A channel that is pointed at, marked where it stands. */
export function pointAt(view, channel) {
  view.anatomy.mark(channel);
  if (view.state.channel === channel) return;
  view.state = { ...view.state, channel };
  publish(view);
}

/** Look at something else: the kernel is asked for what is not there. */
function want(view, next) {
  const { header, shell, state, store } = view;
  if (!header) return;
  const moved = next.image !== state.image || next.off.length !== state.off.length || next.off.some((name) => !state.off.includes(name));
  if (!shell.live && moved && !isThere(store, next)) {
    return shell.say(missingWords(store.cuts(), header));
  }
  view.state = next;
  schedule(view);
  publish(view);
  view.questions.later();
}

const predicted = ({ store, state, last }) => meantClass(null, store.scene({ ...state, class: null, off: [] }) ?? last?.scene);

export function setImage(view, image) {
  if (view.header && image >= 0 && image < view.header.photographs.length) want(view, { ...view.state, image, class: null, contrast: null });
}

export function setClass(view, index) {
  want(view, { ...view.state, class: askedClass(index, view.state.off, predicted(view)) });
}

export function cutPlace(view, place) {
  const { header, last, state } = view;
  view.hint.hidden = true;
  const name = last?.scene.places[place]?.name;
  if (!header?.blocks.includes(name)) return;
  const next = afterCut(state, name, meantClass(state.class, last.scene));
  want(view, { ...next, class: askedClass(next.class, next.off, predicted(view)) });
}

/** A click goes to the block, and cuts it where that can be shown. */
export function clickBlock(view, place) {
  moveTo(view, place);
  if (canCut(view, view.last?.scene.places[place])) cutPlace(view, place);
}

export function allOn(view) {
  const { state, shell } = view;
  if (!state.off.length) shell.say("all blocks are in place");
  else want(view, { ...state, off: [], class: askedClass(state.class, [], predicted(view)) });
}

/** What was chosen in Python. */
export function follow(view, selection) {
  const old = oldKeyWords(selection);
  const next = stateAfter(view.state, selection, view.header);
  want(view, { ...next, class: askedClass(next.class, next.off, predicted(view)) });
  if (old) view.shell.say(old);
}

export function publish({ header, state, shell }) {
  if (header) shell.select({ ...Object.fromEntries(PUBLISHED.map((key) => [key, state[key]])), off: [...state.off] });
}

// ---- data
export function take(view, meta, buffer) {
  const { store, shell } = view;
  Object.assign(view, { header: meta.header, headerView: buffer });
  view.strongest.take(meta.header.scan, meta.strongest, buffer);
  if (!view.last) view.state = stateAfter(view.state, view.model.get("selection") ?? {}, meta.header);
  const first = { ...meta.scene };
  store.renewed(first.generation);
  store.addScene(first, first, buffer);
  if (meta.explained) store.addExplained(first, meta.explained, buffer);
  if (meta.without) store.addWithout(first, meta.without, buffer);
  store.addMore(meta.more ?? [], buffer, store.explained(first)?.page?.head);
  if (!view.last && !store.scene(view.state)) Object.assign(view.state, { image: first.image, class: first.class, off: [...first.off] });
  const cuts = meta.header.blocks.length && (shell.live || meta.more?.some((one) => one.scene.off.length));
  const hints = ["", "drag along the curve ", ...(cuts ? ["click a block to cut its branch out"] : [])];
  view.hint.replaceChildren(...hints.map((words) => element("span", {}, words)));
  draw(view);
  view.questions.later(0);
}
