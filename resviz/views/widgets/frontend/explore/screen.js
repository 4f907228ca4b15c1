// Explore: a network block by block, with what it makes of one photograph, on one screen.

import { element, selectControl } from "../controls.js";
import { createShell } from "../shell.js";
import { createStrongest } from "../strongest.js";
import { createAnatomy } from "./anatomy.js";
import { createChannels } from "./channels.js";
import { createMosaic } from "./mosaic.js";
import { lookAt, spokenWords } from "./look.js";
import { createPhotograph } from "./photograph.js";
import { createAsking } from "./questions.js";
import { exploreFiles } from "./files.js";
import { createScenes, meantClass, placeAtDepth } from "./scenes.js";
import { createSpine } from "./spine.js";
import { afterCut, askedClass, oldKeyWords, placeAfter, sceneToShow, stateAfter } from "./state.js";
import { createTop } from "./top.js";

const FIRST_STATE = {
  ...{ image: 0, class: null, off: [], depth: null, channel: null, curve: "gradient" },
  ...{ method: "grad_cam", contrast: null, opacity: 0.6, order: "class", addition: null, whole: false, place: null },
};

export function renderExplore({ model, el }) {
  const store = createScenes();
  let state = { ...FIRST_STATE };
  let [header, headerView, last, frame, drawn, spineKey] = [null, null, null, 0, null, ""];

  const shell = createShell({ model, el, label: "Explore", keys: exploreKeys() });
  shell.root.classList.add("rv-screen");
  const top = createTop(shell);
  const spine = createSpine({ on: { cursor: moveTo, cut: clickBlock } });
  const curves = selectControl({ label: "", options: [], onChange: (curve) => change({ curve }), title: "the quantity along depth" });
  curves.input.setAttribute("aria-label", "curve");
  curves.label.className = "rv-legend-mark rv-mark-line";
  const legend = element("p", { class: "rv-spine-legend" });
  const hint = element("p", { class: "rv-hint" });
  const spinePart = element(
    "section",
    { class: "rv-part rv-spine-part", "aria-label": "the network along depth" },
    element("div", { class: "rv-part-heading" }, element("h3", { class: "rv-part-name" }, "block by block"), curves.node, legend, hint),
    spine.node,
  );
  const photograph = createPhotograph({
    live: shell.live,
    on: {
      ...{ class: setClass, contrast: (contrast) => change({ contrast }), method: (method) => change({ method }) },
      ...{ opacity: (opacity) => change({ opacity }), image: setImage, whole: (whole) => change({ whole }), files: (files) => questions.add(files), check: () => questions.check() },
    },
  });
  const anatomy = createAnatomy({ on: { addition: (addition) => change({ addition }), cut: () => cutPlace(placeNow()), measure: () => questions.measure(), channel: (channel) => (note({ channel }), anatomy.mark(channel), channels.mark(channel)) } });
  const strongest = createStrongest({ live: shell.live, ask: (layer, channel) => shell.ask("strongest", { layer, channels: [channel] }) });
  const channels = createChannels({
    strongest,
    on: { channel: (channel) => (note({ channel }), anatomy.mark(channel)), order: (order) => change({ order }), all: () => mosaic.open() },
  });
  const mosaic = createMosaic({ model, shell, current: () => last, chosen: () => ({ channel: state.channel, layer: last.scene.places[placeNow()]?.key }) });
  const questions = createAsking({ shell, store, state: () => state, shown: () => last, changed, arrived, joined, placeNow });
  shell.main.append(spinePart, photograph.node, anatomy.node, channels.node, mosaic.node);

  // ---- the cursor
  function placeNow() {
    return last ? placeAtDepth(last.scene.places, state.depth, state.place) : -1;
  }
  function moveTo(place) {
    hint.hidden = true;
    const depth = last?.scene.places[place]?.depth;
    if (depth === undefined || place === placeNow()) return;
    change({ depth, place, addition: null });
    shell.say("");
  }
  function step(by) {
    if (last) moveTo(placeAfter(last.scene.places, state.depth, by, state.place));
  }

  // ---- what is looked at
  function change(changes) {
    state = { ...state, ...changes };
    schedule();
    publish();
  }
  function note(changes) {
    if (Object.entries(changes).every(([key, value]) => state[key] === value)) return;
    state = { ...state, ...changes };
    publish();
  }
  function want(next) {
    if (!header) return;
    const moved = next.image !== state.image || next.off.length !== state.off.length || next.off.some((name) => !state.off.includes(name));
    if (!shell.live && moved && !store.scene(next) && !store.scene({ ...next, class: null })) {
      return shell.say("This photograph, or this block cut, needs a running kernel; this page has none.");
    }
    state = next;
    schedule();
    publish();
    questions.later();
  }
  function predicted() {
    return meantClass(null, store.scene({ ...state, class: null, off: [] }) ?? last?.scene);
  }
  function setImage(image) {
    if (header && image >= 0 && image < header.photographs.length) want({ ...state, image, class: null, contrast: null });
  }
  function setClass(index) {
    want({ ...state, class: askedClass(index, state.off, predicted()) });
  }
  function cutPlace(place) {
    hint.hidden = true;
    const name = last?.scene.places[place]?.name;
    if (!header?.blocks.includes(name)) return;
    const next = afterCut(state, name, meantClass(state.class, last.scene));
    want({ ...next, class: askedClass(next.class, next.off, predicted()) });
  }
  /** A click goes to the block, and cuts it where that can be shown. */
  function clickBlock(place) {
    moveTo(place);
    if (canCut(last?.scene.places[place])) cutPlace(place);
  }
  /** With a kernel any block; on a page those that were cut for it. */
  function canCut(place) {
    if (shell.live || !place?.additions.length) return true;
    const next = afterCut(state, place.name, meantClass(state.class, last.scene));
    return Boolean(store.scene(next) ?? store.scene({ ...next, class: null }));
  }
  function allOn() {
    if (!state.off.length) shell.say("all blocks are in place");
    else want({ ...state, off: [], class: askedClass(state.class, [], predicted()) });
  }

  // ---- data
  function take(meta, view) {
    [header, headerView] = [meta.header, view];
    strongest.take(header.scan, meta.strongest, view);
    if (!last) state = stateAfter(state, model.get("selection") ?? {}, header);
    const first = { ...meta.scene };
    store.addScene(first, first, view);
    if (meta.explained) store.addExplained(first, meta.explained, view);
    if (meta.without) store.addWithout(first, meta.without, view);
    store.addMore(meta.more ?? [], view, store.explained(first)?.page?.head);
    if (!last && !store.scene(state)) Object.assign(state, { image: first.image, class: first.class, off: [...first.off] });
    const cuts = header.blocks.length && (shell.live || meta.more?.some((one) => one.scene.off.length));
    hint.textContent = `drag along the curve${cuts ? " · click a block to cut its branch out" : ""}`;
    draw();
    questions.later(0);
  }
  function joined(meta, view) {
    [header, headerView] = [meta, view];
  }
  function arrived() {
    draw();
    publish();
  }
  function changed(next) {
    state = { ...state, ...next };
    draw();
    publish();
  }

  // ---- drawing
  function schedule() {
    frame ||= requestAnimationFrame(draw);
  }
  function draw() {
    cancelAnimationFrame(frame);
    frame = 0;
    const found = header && sceneToShow(store, state, last);
    if (!found) return;
    const fresh = found.scene !== last?.scene;
    last = found;
    const seen = look();
    const rest = [found.scene, seen.explained, seen.without, header, state.class, state.contrast, state.method, state.whole, questions.busy()];
    const onlyMoved = !fresh && drawn && rest.every((one, at) => one === drawn[at]);
    drawn = rest;
    if (!onlyMoved) {
      shell.root.setAttribute("aria-busy", String(questions.busy()));
      top.draw(seen, questions.busy());
      photograph.draw(seen);
    } else photograph.drawMap(seen);
    shell.root.classList.toggle("rv-stale", Boolean(found.stale));
    drawSpine(seen, fresh);
    anatomy.draw(seen.anatomy);
    channels.draw(seen.channels);
    mosaic.follow();
  }

  /** Everything that the parts show, worked out once. */
  function look() {
    const asked = { maps: questions.maps(last.moment), measuring: questions.measuring(), busy: questions.busy(), seconds: questions.secondsOfCuts() };
    const seen = lookAt({ store, state, shown: last, header, headerView, live: shell.live, asked, canCut });
    if (seen.map.asks) questions.map(seen.map.asks);
    return seen;
  }
  function drawSpine({ scene, at, line, className }, fresh) {
    const { curve, seen, lost } = line;
    const key = JSON.stringify([line.name, line.of, className, state.off, Boolean(lost), Boolean(seen)]);
    if (fresh || key !== spineKey) {
      spineKey = key;
      curves.setOptions(line.names, line.name);
      curves.hide(!line.names.length);
      curves.input.title = curve?.words ?? "";
      spine.draw({ places: scene.places, off: state.off, curve, seen, without: lost, className });
      legend.replaceChildren(...legendNodes(line, className, moveTo));
    }
    spine.move(at, line.curve?.values[at] ?? null);
    spine.speak(spokenWords(scene.places[at], at, line, header));
  }

  function publish() {
    if (!header) return;
    const { image, off, depth, channel, curve, method, contrast, opacity } = state;
    shell.select({ image, class: state.class, off: [...off], depth, channel, curve, method, contrast, opacity });
  }
  function exploreKeys() {
    return [
      { keys: ["]", "PageDown", "ArrowRight"], text: "deeper, to the next block", run: () => step(1) },
      { keys: ["[", "PageUp", "ArrowLeft"], text: "back, to the block before", run: () => step(-1) },
      { keys: ["Home"], text: "to the first block", run: () => last && moveTo(0) },
      { keys: ["End"], text: "to the last block", run: () => last && moveTo(last.scene.places.length - 1) },
      { keys: ["o"], text: "cut the block under the cursor out, or put it back", run: () => cutPlace(placeNow()) },
      { keys: ["0"], text: "all blocks back", run: allOn },
      { keys: [".", ">"], text: "next photograph", run: () => setImage(state.image + 1) },
      { keys: [",", "<"], text: "photograph before", run: () => setImage(state.image - 1) },
      { keys: ["a"], text: "all channels of all blocks", run: () => mosaic.toggle() },
      { keys: ["f"], text: "fill the window, or leave it", run: () => top.fill() },
      { keys: ["Escape"], text: "stop the work in progress", run: () => mosaic.close() || channels.close() || top.leave() || questions.stop() },
    ];
  }

  top.onStop(() => questions.stop());
  top.onAll(allOn);
  shell.takeFiles({
    words: "Drop the photograph: it joins the others.",
    refusal: shell.live ? null : "Another photograph needs a running kernel; this page has none.",
    run: (files) => questions.add(files),
  });
  shell.exports(exploreFiles({ look: () => last && look(), spine, root: shell.root }));
  shell.onWidth((width) => {
    for (const [name, wide] of [["rv-narrow", 760], ["rv-stacked", 560]]) shell.root.classList.toggle(name, width < wide);
    spine.resize(spine.node.clientWidth);
  });
  shell.onSelection((selection) => {
    if (!header) return;
    const old = oldKeyWords(selection);
    const next = stateAfter(state, selection, header);
    want({ ...next, class: askedClass(next.class, next.off, predicted()) });
    if (old) shell.say(old);
  });
  shell.onClose(() => cancelAnimationFrame(frame));
  shell.onClose(() => questions.close());
  shell.onClose(strongest.close);
  shell.data(take);
  return shell.close;
}

function legendNodes({ curve, seen, lost, most, of }, className, goTo) {
  const entry = (name, words, title) => element("span", { class: "rv-legend", title }, element("i", { class: `rv-legend-mark ${name}` }), words);
  const nodes = [];
  if (of) nodes.push(element("span", { class: "rv-legend" }, `of ${of}: another class needs a running kernel`));
  if (curve?.whole) nodes.push(entry("rv-mark-whole", "with all blocks", "the same with no block cut"));
  if (seen || lost) nodes.push(element("span", { class: "rv-legend" }, `${className}:`));
  if (seen) nodes.push(entry("rv-mark-seen", "as seen so far", "the network's head applied to the output of each block that it fits"));
  if (lost) nodes.push(entry("rv-mark-without", "without the block", "what is predicted when this one block is cut out"));
  if (most) {
    const button = { type: "button", class: "rv-button rv-small", title: "go there", onclick: () => goTo(most.place) };
    nodes.push(element("button", button, most.words));
  }
  return nodes;
}

export default { render: renderExplore };
