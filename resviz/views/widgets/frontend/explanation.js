// Explanation: why this class? The photograph with its map, the classes, all maps as small pictures.

import { checkControl, element, rangeControl, selectControl } from "./controls.js";
import {
  change,
  chooseMap,
  chooseRank,
  fade,
  moveCursor,
  onCell,
  setClass,
  setContrast,
  setImage,
  setMethod,
  stepLayer,
  stepMethod,
  swap,
  take,
  toLargest,
  togglePart,
} from "./explanation_actions.js";
import { TOP_CLASSES, createClassPart } from "./explanation_classes.js";
import { fitTiles, update } from "./explanation_drawing.js";
import { reasonsExports } from "./explanation_files.js";
import { photographWords } from "./explanation_look.js";
import { explanationOf } from "./explanation_maps.js";
import { createReasonPane } from "./explanation_pane.js";
import { FIRST_REASONS, REASON_COLOURS, REASON_PARTS, REASON_UNDER } from "./explanation_state.js";
import { createMapTiles } from "./explore/map_tiles.js";
import { createTop } from "./explore/top.js";
import { createShell } from "./shell.js";

export function renderReasons({ model, el }) {
  /** @type {any} */
  const view = {
    ...{ state: { ...FIRST_REASONS }, data: null, shown: { reason: "" }, picture: null, odds: null, listed: [], order: null },
    ...{ cursor: null, hovered: null, kept: null, measuring: false, maps: [], mapsKey: "" },
    ...{ answers: new Map(), failures: new Map(), photographs: new Map() }, // maps of the kernel, by what was asked
  };
  view.pane = createReasonPane({ on: { cell: (place, how) => onCell(view, place, how), fade: (by) => fade(view, by) } });
  view.shell = createShell({ model, el, label: "Explanation", keys: reasonKeys(view) });
  const { shell } = view;
  shell.root.classList.add("rv-screen", "rv-reasons-screen");
  view.top = createTop(shell);
  view.classes = createClassPart({ on: classActions(view) });
  view.controls = reasonControls(view);
  view.nodes = reasonNodes(view);
  shell.main.append(view.nodes.photo, view.classes.node, view.nodes.maps);
  shell.exports(reasonsExports(view));
  shell.onWidth((width) => {
    for (const [name, wide] of [["rv-narrow", 760], ["rv-stacked", 560]]) shell.root.classList.toggle(name, width < wide);
    fitTiles(view);
  });
  shell.onSelection((selection) => view.data && take(view, selection));
  shell.data((meta, buffer) => receive(view, meta, buffer));
  return shell.close;
}

function reasonKeys(view) {
  const within = () => view.pane.frame;
  const move = (down, right) => () => moveCursor(view, down, right);
  return [
    { keys: ["ArrowRight"], text: "next position of the map", within, run: move(0, 1) },
    { keys: ["ArrowLeft"], text: "position before", within, run: move(0, -1) },
    { keys: ["ArrowDown"], text: "position below", within, run: move(1, 0) },
    { keys: ["ArrowUp"], text: "position above", within, run: move(-1, 0) },
    { keys: ["Home"], text: "largest value of the map", within, run: () => toLargest(view) },
    { keys: ["]", "PageDown"], text: "next layer", run: () => stepLayer(view, 1) },
    { keys: ["[", "PageUp"], text: "layer before", run: () => stepLayer(view, -1) },
    { keys: ["m"], text: "next method", run: () => stepMethod(view, 1) },
    { keys: ["M"], text: "method before", run: () => stepMethod(view, -1) },
    { keys: ["s"], text: "evidence for it, or for and against", run: () => togglePart(view) },
    { keys: ["x"], text: "swap A and B", run: () => swap(view) },
    { keys: ["0"], text: "A alone, nothing subtracted", run: () => setContrast(view, null) },
    { keys: Array.from({ length: TOP_CLASSES }, (_, n) => String(n + 1)), text: "class of that rank", run: (event) => chooseRank(view, Number(event.key) - 1) },
    { keys: [".", ">"], text: "next photograph", run: () => setImage(view, view.state.image + 1) },
    { keys: [",", "<"], text: "photograph before", run: () => setImage(view, view.state.image - 1) },
    { keys: ["f"], text: "fill the window, or leave it", run: () => view.top.fill() },
    { keys: ["Escape"], text: "leave the filled window", run: () => view.top.leave() },
  ];
}

function classActions(view) {
  return {
    class: (index) => setClass(view, index),
    contrast: (index) => setContrast(view, index),
    recorded: (recorded) => change(view, { recorded, contrast: null }),
  };
}

function reasonControls(view) {
  const choice = (label, key, options, title) => selectControl({ label, options, title, onChange: (value) => change(view, { [key]: value }) });
  const keep = (wanted) => {
    view.kept = wanted && view.shown.values ? view.shown.scale : null;
    update(view);
  };
  return {
    image: selectControl({ label: "Photograph", onChange: (image) => setImage(view, image) }),
    method: selectControl({ label: "Method", onChange: (method) => setMethod(view, method), title: "m: next" }),
    layer: choice("Layer", "layer", [], "[ and ] step"),
    opacity: rangeControl({
      ...{ label: "Opacity", min: 0, max: 1, step: 0.05, value: 0.6, onChange: (opacity) => change(view, { opacity }) },
      words: (value) => `${Math.round(value * 100)} %`,
    }),
    part: choice("Show", "part", REASON_PARTS, "s"),
    under: choice("Under the map", "under", REASON_UNDER, "the whole file: in grey where it was cropped away"),
    colours: choice("Colours", "colours", REASON_COLOURS, "of evidence for a class; signed maps are blue and red around a white 0"),
    keep: checkControl({ value: false, label: "keep the scale", onChange: keep, title: "the colours mean the same values while classes and layers change" }),
  };
}

/** The parts of the screen: the photograph, and all maps. The classes are a part of their own. */
function reasonNodes(view) {
  const { pane, controls } = view;
  const [heading, facts, about] = [element("h3", { class: "rv-heading rv-part-name" }), element("p", { class: "rv-reason-facts" }), element("p", { class: "rv-map-words rv-faint" })];
  const tiles = createMapTiles({ label: "all maps", onChoose: (key) => chooseMap(view, key) });
  tiles.node.classList.add("rv-maps-field");
  const seen = element("div", { class: "rv-reason-controls" }, ...["opacity", "part", "under", "colours", "keep"].map((name) => controls[name].node));
  const photo = element(
    "section",
    { class: "rv-part rv-reason", "aria-label": "the photograph" },
    element("div", { class: "rv-part-heading" }, heading, controls.image.node),
    ...[pane.stage, pane.bar, seen, pane.note, pane.read, facts],
  );
  const chosen = element("div", { class: "rv-part-heading" }, controls.method.node, controls.layer.node);
  const maps = element("section", { class: "rv-part rv-reason-maps", "aria-label": "all maps" }, chosen, tiles.node, about, pane.checks);
  return { heading, facts, about, tiles, photo, maps };
}

function receive(view, meta, buffer) {
  const { shell, controls } = view;
  const data = (view.data = explanationOf(meta, buffer));
  for (const what of ["map", "faithfulness"]) shell.drop(what); // they were of what was shown before
  view.answers.clear();
  view.photographs.clear();
  Object.assign(view, { oddsImage: -1, mapsKey: "" });
  controls.image.setOptions(data.targets.map((_, value) => ({ value, label: photographWords(data, value) })));
  controls.image.hide(data.images < 2);
  view.classes.data(data);
  take(view, shell.selection());
}

export default { render: renderReasons };
