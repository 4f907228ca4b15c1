// The screen drawn from its state, as much of it as has changed. `view`: that of screen.js.

import { element } from "../controls.js";
import { lookAt, spokenWords } from "./look.js";
import { canCut, sceneToShow } from "./state.js";

export function schedule(view) {
  view.frame ||= requestAnimationFrame(() => draw(view));
}

export function draw(view) {
  const { header, store, state, last, shell, photograph } = view;
  cancelAnimationFrame(view.frame);
  view.frame = 0;
  const found = header && sceneToShow(store, state, last);
  if (!found) return;
  const fresh = found.scene !== last?.scene;
  view.last = found;
  const seen = look(view);
  if (isMore(view, seen) || fresh) {
    const busy = view.questions.busy();
    shell.root.setAttribute("aria-busy", String(busy));
    view.top.draw(seen, busy);
    photograph.draw(seen);
  } else photograph.drawMap(seen);
  shell.root.classList.toggle("rv-stale", Boolean(found.stale));
  drawSpine(view, seen, fresh);
  view.anatomy.draw(seen.anatomy);
  view.channels.draw(seen.channels);
  view.mosaic.follow();
  view.idly(stepsAhead(view, seen.at));
}

/** Whether more has changed than the cursor. */
function isMore(view, { scene, explained, without }) {
  const { state, header, drawn } = view;
  const now = [scene, explained, without, header, state.class, state.contrast, state.method, state.whole, view.questions.busy()];
  view.drawn = now;
  return !drawn || now.some((one, at) => one !== drawn[at]);
}

/** Everything that the parts show, worked out once. */
export function look(view) {
  const seen = lookFrom(view, view.state);
  if (seen.map.asks && !view.last.stale) view.questions.map(seen.map.asks); // what is left is not explained once more
  return seen;
}

function lookFrom(view, state) {
  const { store, last, header, headerView, shell, questions } = view;
  const asked = { maps: questions.maps(last.moment), measuring: questions.measuring(), busy: questions.busy(), seconds: questions.secondsOfCuts() };
  return lookAt({ store, state, shown: last, header, headerView, live: shell.live, asked, canCut: (place) => canCut(view, place) });
}

/** Makes the pictures of the next block ready, and of the one before: a step along depth then puts them, no more. */
function* stepsAhead(view, at) {
  for (const place of [at + 1, at - 1]) {
    const found = view.last.scene.places[place];
    if (!found) continue;
    const seen = lookFrom(view, { ...view.state, depth: found.depth, place, addition: null });
    yield* view.channels.steps(seen.channels);
    yield* view.photograph.steps(seen);
  }
}

function drawSpine(view, { scene, at, line, className }, fresh) {
  const { state, spine, curves, header } = view;
  const { curve, seen, lost } = line;
  const key = JSON.stringify([line.name, line.of, className, state.off, Boolean(lost), Boolean(seen)]);
  if (fresh || key !== view.spineKey) {
    view.spineKey = key;
    curves.setOptions(line.names, line.name);
    curves.hide(!line.names.length);
    curves.input.title = curve?.words ?? "";
    spine.draw({ places: scene.places, off: state.off, canCut: (place) => canCut(view, place), curve, seen, without: lost, className });
    view.legend.replaceChildren(...legendNodes(line, className, view.goTo));
  }
  spine.move(at, curve?.values[at] ?? null);
  spine.speak(spokenWords(scene.places[at], at, line, header));
}

function legendNodes({ curve, seen, lost, most, of }, className, goTo) {
  const entry = (name, words, title) => element("span", { class: "rv-legend", title }, element("i", { class: `rv-legend-mark ${name}` }), words);
  const nodes = [];
  if (of) nodes.push(element("span", { class: "rv-legend", title: "that of another class needs a running kernel; this page has none" }, `curve of ${of}`));
  if (curve?.whole) nodes.push(entry("rv-mark-whole", "with all blocks", "the same with no block cut"));
  if (seen || lost) nodes.push(element("span", { class: "rv-legend" }, `${className}:`));
  if (seen) nodes.push(entry("rv-mark-seen", "as seen so far", "the network's head applied to the output of each block that it fits"));
  if (lost) nodes.push(entry("rv-mark-without", "without the block", "what is predicted when this one block is cut out"));
  if (most) {
    const button = { type: "button", class: "rv-button rv-small", title: `${most.whole}; go there`, "aria-label": most.whole, onclick: () => goTo(most.place) };
    nodes.push(element("button", button, most.words));
  }
  return nodes;
}
