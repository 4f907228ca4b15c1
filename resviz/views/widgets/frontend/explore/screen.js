// Explore: a network block by block, with what it makes of one photograph, on one screen.

import { buttonControl, element, selectControl } from "../controls.js";
import { createShell } from "../shell.js";
import { createAnatomy } from "./anatomy.js";
import { createChannels } from "./channels.js";
import { createMosaic } from "./mosaic.js";
import { createPhotograph, mapOf, meantClass, methodsOf } from "./photograph.js";
import { createAsking } from "./questions.js";
import { exploreFiles } from "./files.js";
import { createScenes, foremost, placeAtDepth } from "./scenes.js";
import { createSpine } from "./spine.js";
import { afterCut, askedClass, foremostWithout, oldKeyWords, placeAfter, sceneToShow, stateAfter, withoutCurve } from "./state.js";
import { briefNumber, saidWords, withoutWords } from "./words.js";

const NO_KERNEL = "needs a running kernel; this page has none";
const FIRST_STATE = {
  ...{ image: 0, class: null, off: [], depth: null, channel: null, curve: "gradient" },
  ...{ method: "grad_cam", contrast: null, opacity: 0.6, order: "class", addition: null, whole: false },
};

export function renderExplore({ model, el }) {
  const store = createScenes();
  let state = { ...FIRST_STATE };
  let [header, headerView, last, frame, drawn, spineKey] = [null, null, null, 0, null, ""];

  const shell = createShell({ model, el, label: "Explore", keys: exploreKeys() });
  shell.root.classList.add("rv-screen");
  const top = createTop(shell);
  const spine = createSpine({ on: { cursor: moveTo, cut: cutPlace } });
  const curves = selectControl({ label: "", options: [], onChange: (curve) => change({ curve }), title: "the quantity along depth" });
  curves.input.setAttribute("aria-label", "curve");
  curves.label.className = "rv-legend-mark rv-mark-line";
  const legend = element("p", { class: "rv-spine-legend" });
  const hint = element("p", { class: "rv-hint" }, "drag along the curve · click a block to cut its branch out");
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
  const anatomy = createAnatomy({ on: { addition: (addition) => change({ addition }), cut: () => cutPlace(placeNow()), measure: () => questions.measure() } });
  const channels = createChannels({
    on: { channel: (channel) => note({ channel }), order: (order) => change({ order }), all: () => mosaic.open() },
  });
  const mosaic = createMosaic({ model, shell, current: () => last, channel: () => state.channel });
  const questions = createAsking({ shell, store, state: () => state, shown: () => last, changed, arrived, joined, placeNow });
  shell.main.append(spinePart, photograph.node, anatomy.node, channels.node, mosaic.node);

  // ---- the cursor
  function placeNow() {
    return last ? placeAtDepth(last.scene.places, state.depth) : -1;
  }
  function moveTo(place) {
    hint.hidden = true;
    const depth = last?.scene.places[place]?.depth;
    if (depth === undefined || place === placeNow()) return;
    change({ depth, addition: null });
    shell.say("");
  }
  function step(by) {
    if (last) moveTo(placeAfter(last.scene.places, state.depth, by));
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
      return shell.say(`This photograph, or this block cut, ${NO_KERNEL}.`);
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
    if (header && image >= 0 && image < header.photographs.length) want({ ...state, image, class: null });
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
  /** With a kernel any block; on a page those that were cut for it. */
  function canCut(place) {
    if (shell.live || !place?.additions.length) return true;
    const next = afterCut(state, place.name, meantClass(state.class, last.scene));
    return Boolean(store.scene(next) ?? store.scene({ ...next, class: null }));
  }
  function allOn() {
    if (state.off.length) want({ ...state, off: [], class: askedClass(state.class, [], predicted()) });
  }

  // ---- data
  function take(meta, view) {
    [header, headerView] = [meta.header, view];
    if (!last) state = stateAfter(state, model.get("selection") ?? {}, header);
    const first = { ...meta.scene };
    store.addScene(first, first, view);
    if (meta.explained) store.addExplained(first, meta.explained, view);
    if (meta.without) store.addWithout(first, meta.without, view);
    store.addMore(meta.more ?? [], view, store.explained(first)?.page?.head);
    if (!last && !store.scene(state)) Object.assign(state, { image: first.image, class: first.class, off: [...first.off] });
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
    const { scene } = last;
    const at = placeNow();
    const place = scene.places[at] ?? null;
    const index = meantClass(state.class, scene);
    const explained = store.explained({ ...state, ...last.moment });
    const page = explained?.page ?? null;
    const without = store.without(state);
    const className = index === null ? "" : (header.classes[index] ?? `class ${index}`);
    const layer = explained?.layers?.[at] ?? null;
    const map = mapNow(page, explained, layer, index);
    const common = { header, headerView, scene, page, index, className, place, at, layer, map, without, explained };
    return {
      ...state,
      ...common,
      ...{ methods: methodsOf(page), has: store.images() },
      anatomy: anatomyOf(common),
      channels: channelsOf(common),
    };
  }
  function mapNow(page, explained, layer, index) {
    if (explained?.why) return { why: explained.why };
    if (page && !layer) return { why: "no map of this layer" };
    if (!page) return { why: shell.live ? "being explained …" : "no explanation on this page" };
    const { contrast, method } = state;
    const found = mapOf(page, { index, contrast, method, layer, live: shell.live, asked: questions.maps(last.moment) });
    if (found.asks) questions.map(found.asks);
    return found;
  }
  function anatomyOf({ scene, place, at, index, without, explained }) {
    const chosen = state.addition && place?.additions.includes(state.addition) ? state.addition : place?.additions.at(-1);
    const addition = chosen ? scene.additions[chosen] : null;
    const cut = Boolean(place && state.off.includes(place.name));
    return {
      ...{ place, addition, chosen, cut, seen: seenSentence({ at, explained, index }), refusal: canCut(place) ? null : `cutting this block out ${NO_KERNEL}` },
      without: cut ? "Its branch is cut out: only the shortcut goes on." : withoutSentence({ scene, at, index, without }),
      waiting: questions.measuring() ? "Without it: being measured …" : null,
      measurable: shell.live && !without && !questions.busy() && place?.additions.length ? questions.secondsOfCuts() : null,
    };
  }
  function seenSentence({ at, explained, index }) {
    const lens = explained?.lens;
    if (!lens || index === null) return null;
    if (lens.values[at] === null) return lens.why[at] ? `No reading here: ${lens.why[at]}.` : null;
    const label = lens.labels[at];
    const name = header.classes[index] ?? `class ${index}`;
    const other = label && label !== name ? `, and takes it for ${label}` : "";
    return `The head, put here, says ${name} ${saidWords(lens.values[at], header)}${other}.`;
  }
  function withoutSentence({ scene, at, index, without }) {
    const row = without?.rows.get(at);
    if (without?.failed.has(at)) return "Without it the network cannot run: the shapes do not fit.";
    if (!row || index === null) return null;
    const best = [foremost(scene.numbers), foremostWithout(without, at)];
    return withoutWords(scene.numbers, row, { index, classes: header.classes, best: best[0], bestWithout: best[1], said: header });
  }
  function channelsOf({ scene, place, at, explained, className }) {
    const forClass = explained?.tiles?.[at] ?? null;
    const plain = scene.tiles[at] ?? null;
    const tiles = state.order === "class" && forClass ? forClass : plain;
    const words = tiles === forClass && forClass ? `channels for ${className}` : "strongest channels";
    return {
      ...{ tiles, picture: scene.picture, order: state.order, orders: Boolean(forClass), channel: state.channel },
      title: tiles ? words : `feature maps${place ? ` of ${place.name}` : ""}`,
      refusal: shell.live ? null : `all channels at once: ${NO_KERNEL}`,
    };
  }
  function drawSpine({ scene, at, index, className, without, explained }, fresh) {
    const names = Object.entries(scene.curves);
    const curve = scene.curves[state.curve] ?? names[0]?.[1] ?? null;
    const chances = header.word !== "value";
    const lost = chances ? withoutCurve(without, scene.places, index) : null;
    const seen = chances ? (explained?.lens?.values ?? null) : null;
    const key = JSON.stringify([state.curve, index, state.off, Boolean(lost), Boolean(seen)]);
    if (fresh || key !== spineKey) {
      spineKey = key;
      curves.setOptions(names.map(([value, { label, log }]) => ({ value, label: log ? `${label} (log)` : label })), scene.curves[state.curve] ? state.curve : names[0]?.[0]);
      curves.hide(!names.length);
      curves.input.title = curve?.words ?? "";
      spine.draw({ places: scene.places, off: state.off, curve, seen, without: lost, className });
      legend.replaceChildren(...legendNodes(curve, seen, lost, className));
    }
    spine.move(at);
    spine.speak(spokenWords(scene.places[at], curve?.values[at], curve, lost?.[at], seen?.[at]));
  }
  function spokenWords(place, value, curve, lost, seen) {
    if (!place) return "no block";
    const words = [place.name, `depth ${place.depth}`];
    if (curve && value !== null && value !== undefined) words.push(`${curve.label} ${briefNumber(value)}`);
    if (seen !== null && seen !== undefined) words.push(`as seen here ${saidWords(seen, header)}`);
    if (lost !== null && lost !== undefined) words.push(`without it ${saidWords(lost, header)}`);
    return words.join(", ");
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
      { keys: ["Escape"], text: "stop the work in progress", run: () => (mosaic.close() ? null : questions.stop()) },
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
  shell.data(take);
  return shell.close;
}

function legendNodes(curve, seen, lost, className) {
  const entry = (name, words, title) => element("span", { class: "rv-legend", title }, element("i", { class: `rv-legend-mark ${name}` }), words);
  const nodes = [];
  if (curve?.whole) nodes.push(entry("rv-mark-whole", "with all blocks", "the same with no block cut"));
  if (seen) nodes.push(entry("rv-mark-seen", `${className}, as seen so far`, "the network's head applied to the output of each block that it fits"));
  if (lost) nodes.push(entry("rv-mark-without", `${className} without the block`, "what is predicted when this one block is cut out"));
  return nodes;
}

/** The one line on top: name, conditions, what is cut, buttons. */
function createTop(shell) {
  const name = element("strong", { class: "rv-top-name" });
  const facts = element("span", { class: "rv-faint rv-top-facts" });
  const all = buttonControl({ text: "put all blocks back", className: "rv-small", title: "0" });
  const stop = buttonControl({ text: "Stop", className: "rv-small", title: "Escape" });
  const fillButton = buttonControl({ text: "Fill window", title: "f", onClick: () => fill() });
  shell.toolbar.prepend(name, facts, all.node, stop.node);
  shell.toolbar.querySelector(".rv-toolbar-end").prepend(fillButton.node);
  shell.toolbar.querySelector(".rv-toolbar-end").before(shell.root.querySelector(".rv-status"));
  [all.node.hidden, stop.node.hidden] = [true, true];

  async function fill() {
    const { root } = shell;
    if (document.fullscreenElement === root) return document.exitFullscreen();
    try {
      await root.requestFullscreen();
    } catch {
      root.classList.toggle("rv-filled"); // where a page may not: over all else
    }
  }
  const keep = () => (fillButton.node.textContent = document.fullscreenElement === shell.root ? "Leave window" : "Fill window");
  document.addEventListener("fullscreenchange", keep);
  shell.onClose(() => document.removeEventListener("fullscreenchange", keep));
  return {
    fill,
    onStop: (run) => stop.node.addEventListener("click", run),
    onAll: (run) => all.node.addEventListener("click", run),
    draw({ header, scene, off }, busy) {
      name.textContent = header.network;
      const cut = off.length ? [`without ${off.join(", ")}`] : [];
      facts.textContent = [...cut, scene.conditions].join(" · ");
      facts.title = facts.textContent;
      all.node.hidden = !off.length;
      stop.node.hidden = !busy;
    },
  };
}

export default { render: renderExplore };
