// Explore: a network block by block, with what it makes of one photograph, on one screen.

import { element, selectControl } from "../controls.js";
import { createShell } from "../shell.js";
import { createStrongest } from "../strongest.js";
import { allOn, change, clickBlock, cutPlace, follow, moveTo, placeNow, pointAt, publish, setClass, setImage, step, take } from "./actions.js";
import { createAnatomy } from "./anatomy.js";
import { createChannels } from "./channels.js";
import { draw, look } from "./drawing.js";
import { exploreFiles } from "./files.js";
import { createIdly } from "./kept.js";
import { createMosaic } from "./mosaic.js";
import { createPhotograph } from "./photograph.js";
import { createAsking } from "./questions.js";
import { createScenes } from "./scenes.js";
import { createSpine } from "./spine.js";
import { FIRST_STATE } from "./state.js";
import { createTop } from "./top.js";
import { TERMS } from "./words.js";

export function renderExplore({ model, el }) {
  /** What the parts share. last: the scene that is shown; drawn, spineKey: what was drawn of it. */
  /** @type {any} */
  const view = {
    ...{ model, store: createScenes(), state: { ...FIRST_STATE }, header: null, headerView: null },
    ...{ last: null, frame: 0, drawn: null, spineKey: "", idly: createIdly() },
  };
  const shell = (view.shell = createShell({ model, el, label: "Explore", keys: exploreKeys(view), terms: TERMS }));
  shell.root.classList.add("rv-screen");
  view.top = createTop(shell);
  createParts(view);
  shell.main.append(spinePart(view), ...["photograph", "anatomy", "channels", "mosaic"].map((name) => view[name].node));
  view.top.onStop(() => view.questions.stop());
  view.top.onAll(() => allOn(view));
  shell.takeFiles({
    words: "Drop the photograph: it joins the others.",
    refusal: shell.live ? null : "Another photograph needs a running kernel; this page has none.",
    run: (files) => view.questions.add(files),
  });
  shell.exports(exploreFiles({ look: () => view.last && look(view), spine: view.spine, root: shell.root }));
  shell.onWidth((width) => {
    for (const [name, wide] of [["rv-narrow", 760], ["rv-stacked", 560]]) shell.root.classList.toggle(name, width < wide);
    view.spine.resize(view.spine.node.clientWidth);
  });
  shell.onSelection((selection) => view.header && follow(view, selection));
  shell.onClose(() => cancelAnimationFrame(view.frame));
  shell.onClose(() => view.questions.close());
  shell.onClose(view.strongest.close);
  shell.data((meta, buffer) => take(view, meta, buffer));
  return shell.close;
}

/** The parts of the screen, and what may be asked of the kernel. */
function createParts(view) {
  const { model, shell, store } = view;
  const set = (key) => (value) => change(view, { [key]: value });
  const placed = () => placeNow(view);
  view.goTo = (place) => moveTo(view, place);
  view.spine = createSpine({ on: { cursor: view.goTo, cut: (place) => clickBlock(view, place) } });
  view.photograph = createPhotograph({
    live: shell.live,
    on: {
      ...{ class: (index) => setClass(view, index), image: (image) => setImage(view, image) },
      ...{ contrast: set("contrast"), method: set("method"), opacity: set("opacity"), whole: set("whole") },
      ...{ files: (files) => view.questions.add(files), check: () => view.questions.check() },
    },
  });
  view.anatomy = createAnatomy({
    on: {
      ...{ addition: set("addition"), cut: () => cutPlace(view, placed()), measure: () => view.questions.measure() },
      channel: (channel, clicked) => (clicked || !view.channels.isLarge()) && (pointAt(view, channel), view.channels.mark(channel)),
    },
  });
  view.strongest = createStrongest({ live: shell.live, ask: (layer, channel) => shell.ask("strongest", { layer, channels: [channel] }) });
  view.channels = createChannels({ strongest: view.strongest, on: { channel: (channel) => pointAt(view, channel), order: set("order"), all: () => view.mosaic.open() } });
  const chosen = () => ({ channel: view.state.channel, layer: view.last.scene.places[placed()]?.key });
  view.mosaic = createMosaic({ model, shell, current: () => view.last, chosen });
  view.questions = createAsking({ shell, store, placeNow: placed, ...answersOf(view) });
}

/** What the questions want to know of the screen, and what comes of their answers. */
function answersOf(view) {
  const shows = () => {
    draw(view);
    publish(view);
  };
  return {
    state: () => view.state,
    shown: () => view.last,
    arrived: shows,
    changed(next) {
      view.state = { ...view.state, ...next };
      shows();
    },
    joined(meta, buffer) {
      Object.assign(view, { header: meta, headerView: buffer });
    },
  };
}

function spinePart(view) {
  view.curves = selectControl({ label: "", options: [], onChange: (curve) => change(view, { curve }), title: "the quantity along depth" });
  view.curves.input.setAttribute("aria-label", "curve");
  view.curves.label.className = "rv-legend-mark rv-mark-line";
  view.legend = element("p", { class: "rv-spine-legend" });
  view.hint = element("p", { class: "rv-hint" });
  const name = element("h3", { class: "rv-part-name" }, "block by block");
  const heading = element("div", { class: "rv-part-heading" }, name, view.curves.node, view.legend, view.hint);
  return element("section", { class: "rv-part rv-spine-part", "aria-label": "the network along depth" }, heading, view.spine.node);
}

function exploreKeys(view) {
  const end = () => view.last.scene.places.length - 1;
  return [
    { keys: ["]", "PageDown", "ArrowRight"], text: "deeper, to the next block", run: () => step(view, 1) },
    { keys: ["[", "PageUp", "ArrowLeft"], text: "back, to the block before", run: () => step(view, -1) },
    { keys: ["Home"], text: "to the first block", run: () => view.last && moveTo(view, 0) },
    { keys: ["End"], text: "to the last block", run: () => view.last && moveTo(view, end()) },
    { keys: ["o"], text: "cut the block under the cursor out, or put it back", run: () => cutPlace(view, placeNow(view)) },
    { keys: ["0"], text: "all blocks back", run: () => allOn(view) },
    { keys: [".", ">"], text: "next photograph", run: () => setImage(view, view.state.image + 1) },
    { keys: [",", "<"], text: "photograph before", run: () => setImage(view, view.state.image - 1) },
    { keys: ["a"], text: "all channels of all blocks", run: () => view.mosaic.toggle() },
    { keys: ["f"], text: "fill the window, or leave it", run: () => view.top.fill() },
    { keys: ["Escape"], text: "stop the work in progress", run: () => view.mosaic.close() || view.channels.close() || view.top.leave() || view.questions.stop() },
  ];
}

export default { render: renderExplore };
