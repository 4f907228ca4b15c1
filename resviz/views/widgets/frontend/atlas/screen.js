// The channel atlas: layers along depth, the channels of one as their strongest images, one opened.

import { buttonControl, element, selectControl } from "../controls.js";
import { searchControl } from "../search.js";
import { createShell, csvText, saveBlob } from "../shell.js";
import { atlasOf } from "./data.js";
import { createGrid } from "./grid.js";
import { createTopMaps } from "./maps.js";
import { createPanel } from "./panel.js";
import { createPoints } from "./points.js";
import { createPainter, readyCanvas } from "./sheets.js";
import { createLayerSpine } from "./spine.js";
import { ATLAS_SHOWN, FIRST_ATLAS, SELECTIVITY, tileWords, atlasAfter, atlasRows, atlasSelection, channelWords, gridOf, headingOf, pictureWords, placeStepped, shownChannels, sortChoicesOf, tilePlace } from "./state.js";

export function renderAtlas({ model, el }) {
  /** @type {any} what the functions below share */
  const view = { state: { ...FIRST_ATLAS }, atlas: null, painter: null, shown: [], place: -1, width: 0 };
  view.shell = createShell({ model, el, label: "Channels", keys: atlasKeys(view) });
  const { shell } = view;
  shell.root.classList.add("rv-screen", "rv-atlas");
  view.nodes = atlasNodes(view);
  view.controls = atlasControls(view);
  shell.add(...["tab", "search", "all", "sort", "show"].map((name) => view.controls[name]));
  shell.main.append(view.nodes.spine.node, element("div", { class: "rv-atlas-body" }, view.nodes.left, view.nodes.panel.node), view.nodes.points.node);
  shell.exports(atlasExports(view));
  shell.onWidth((wide) => {
    view.width = wide;
    update(view);
  });
  const watcher = new ResizeObserver(() => {
    view.nodes.grid.again();
    view.nodes.points.again();
  });
  [view.nodes.grid.node, view.nodes.points.node].forEach((node) => watcher.observe(node));
  shell.onSelection((selection) => {
    if (!view.atlas) return;
    view.state = atlasAfter(view.state, selection, view.atlas);
    update(view);
  });
  shell.data((meta, buffer) => receive(view, meta, buffer));
  shell.onClose(() => {
    watcher.disconnect();
    view.painter?.close();
  });
  return shell.close;
}

function atlasNodes(view) {
  const heading = element("h3", { class: "rv-heading" });
  const facts = element("span", { class: "rv-faint rv-atlas-facts" });
  const readOut = element("p", { class: "rv-readout" });
  const grid = createGrid({ on: { hover: (entry) => hover(view, entry), choose: (place) => openPlace(view, place) } });
  const left = element("section", { class: "rv-atlas-left", "aria-label": "channels of the layer" }, element("div", { class: "rv-atlas-heading" }, heading, facts), readOut, grid.node);
  const maps = createTopMaps({ live: view.shell.live, changed: () => panel.again(), ask: (layer, channel) => view.shell.ask("top_maps", { layer, channel }) });
  view.shell.onClose(maps.close);
  const panel = createPanel({ maps, on: { close: () => change(view, { channel: null }), channel: (channel) => openChannel(view, channel), class: (index) => search(view, index) } });
  const spine = createLayerSpine({ on: { layer: (layer) => chooseLayer(view, layer) } });
  const points = createPoints({ on: { channel: (layer, channel) => change(view, { tab: "channels", class: null, show: "all", layer, channel }) } });
  return { heading, facts, readOut, grid, left, panel, maps, spine, points };
}

function atlasControls(view) {
  const select = (label, key, options, title) => selectControl({ label, options, title, onChange: (value) => change(view, { [key]: value }) });
  const named = ATLAS_SHOWN.map(([value, label]) => ({ value, label }));
  return {
    search: searchControl({ label: "Channels for", names: [], placeholder: "a class  /", onChoose: (index) => search(view, index), onEmpty: () => search(view, null) }),
    all: buttonControl({ text: "× one layer", title: "back to the channels of one layer", onClick: () => search(view, null) }),
    sort: select("Order", "sort", [], `selectivity: ${SELECTIVITY}`),
    show: select("Show", "show", named),
    tab: selectControl({ label: "View", options: ["channels", "images"], onChange: (tab) => (view.shell.say(""), change(view, { tab })) }),
  };
}

function atlasKeys(view) {
  const grid = () => view.nodes.grid.node;
  const spine = () => view.nodes.spine.node;
  const move = (by) => () => step(view, by);
  const row = (by) => () => step(view, by * (view.nodes.grid.layout?.columns ?? 1));
  const layer = (by) => () => chooseLayer(view, view.state.layer + by);
  return [
    { keys: ["ArrowRight"], text: "next layer", within: spine, run: layer(1) },
    { keys: ["ArrowLeft"], text: "layer before", within: spine, run: layer(-1) },
    { keys: ["ArrowRight"], text: "next channel", within: grid, run: move(1) },
    { keys: ["ArrowLeft"], text: "channel before", within: grid, run: move(-1) },
    { keys: ["ArrowDown"], text: "channel below", within: grid, run: row(1) },
    { keys: ["ArrowUp"], text: "channel above", within: grid, run: row(-1) },
    { keys: ["Home"], text: "first channel", within: grid, run: move(-Infinity) },
    { keys: ["End"], text: "last channel", within: grid, run: move(Infinity) },
    { keys: ["]", "PageDown"], text: "next layer", run: layer(1) },
    { keys: ["[", "PageUp"], text: "layer before", run: layer(-1) },
    { keys: ["/"], text: "search a class", run: () => view.controls.search.input.focus() },
    { keys: ["Escape"], text: "close the channel", run: () => change(view, { channel: null }) },
  ];
}

// ---- state
function change(view, changes) {
  if (!view.atlas) return;
  view.state = { ...view.state, ...changes };
  update(view);
  view.shell.select(atlasSelection(view.state, view.atlas));
}

function chooseLayer(view, layer) {
  if (!view.atlas || layer < 0 || layer >= view.atlas.layers.length || (layer === view.state.layer && view.state.class === null)) return;
  change(view, { layer, channel: null, class: null });
  view.shell.say(`${view.atlas.layers[layer].key}: layer ${layer + 1} of ${view.atlas.layers.length}`);
}

function search(view, index) {
  change(view, { class: index, channel: null, tab: "channels" });
  view.shell.say(index === null ? "" : headingOf(view.atlas, view.state, view.shown).title);
}

/** A channel of the layer that is open; the search goes on where it is among what was found. */
function openChannel(view, channel) {
  const place = view.shown.findIndex((one) => one.layer === view.state.layer && one.channel === channel);
  if (place >= 0) return openPlace(view, place);
  change(view, { class: null, show: "all", channel });
  say(view, { layer: view.state.layer, channel });
}

function openPlace(view, place) {
  const { layer, channel } = view.shown[place];
  change(view, { layer, channel });
  say(view, view.shown[place]);
}

function step(view, by) {
  if (view.shown.length) openPlace(view, placeStepped(view.place, by, view.shown.length));
}

const say = (view, entry) => view.shell.say(channelWords(view.atlas, entry));

// ---- drawing
function update(view) {
  const { atlas, state, nodes, controls } = view;
  if (!atlas || !view.width) return;
  const key = [state.layer, state.class, state.sort, state.show].join(" ");
  if (key !== view.key && !(state.class !== null && view.foundFor === state.class)) view.shown = shownChannels(atlas, state);
  [view.key, view.foundFor] = [key, state.class];
  view.place = state.channel === null ? -1 : view.shown.findIndex((one) => one.layer === state.layer && one.channel === state.channel);
  showTab(view);
  const { title, words } = headingOf(atlas, state, view.shown);
  [nodes.heading.textContent, nodes.facts.textContent] = [title, words];
  nodes.readOut.textContent = nodes.readOut.title = tileWords(atlas, state);
  nodes.spine.draw(atlas, state, view.width);
  showControls(controls, atlas, state);
  const entry = state.channel === null ? null : { layer: state.layer, channel: state.channel };
  nodes.panel.draw(atlas, view.painter, entry, panelWidth(view.width));
  drawGrid(view);
}

/** The channels, or the images in a plane. */
function showTab({ atlas, state, nodes, controls, painter }) {
  const images = state.tab === "images" && atlas.points !== null;
  controls.tab.set(images ? "images" : "channels");
  controls.tab.hide(atlas.points === null);
  nodes.left.parentElement.hidden = images;
  nodes.spine.node.hidden = images;
  nodes.points.node.hidden = !images;
  if (images) nodes.points.draw(atlas, painter);
}

const panelWidth = (width) => (width >= 1250 ? 420 : width >= 900 ? 348 : 270);

function drawGrid(view) {
  const { atlas, nodes, state } = view;
  const wordsOf = ({ layer, channel }) => (state.class === null ? `${channel}` : `${atlas.layers[layer].key} · ${channel}`);
  const before = nodes.grid.content?.shown;
  if (before === view.shown) nodes.grid.mark(view.place);
  else nodes.grid.draw(atlas, view.painter, view.shown, view.place, wordsOf);
}

function showControls(controls, atlas, state) {
  controls.search.set(state.class);
  controls.all.input.hidden = state.class === null || state.tab === "images";
  controls.sort.setOptions(sortChoicesOf(atlas, state), state.sort);
  controls.show.set(state.show);
  for (const name of ["sort", "show"]) controls[name].hide(state.class !== null || state.tab === "images");
}

function hover(view, entry) {
  view.nodes.readOut.textContent = entry ? channelWords(view.atlas, entry) : tileWords(view.atlas, view.state);
}

// ---- export
function atlasExports(view) {
  const name = (ending) => `channels_${headingOf(view.atlas, view.state, view.shown).title.replaceAll(/[^\w.-]+/g, "_")}.${ending}`;
  const table = () => saveBlob(new Blob([csvText(atlasRows(view.atlas, view.shown))], { type: "text/csv" }), name("csv"));
  const picture = async () => saveBlob(await pictureOf(view), name("png"));
  return [
    { label: "Channels (CSV)", run: async () => table() },
    { label: "Picture (PNG)", run: picture },
  ];
}

/** All tiles, under their heading, on white. */
function pictureOf(view) {
  const { atlas, state, shown, painter } = view;
  const layout = gridOf(shown.length, 1000, 600);
  const canvas = element("canvas");
  const [width, height] = [1016, layout.height + 60];
  const context = readyCanvas(canvas, width, height);
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, width, height);
  context.fillStyle = "#1b1f24";
  const { title, words } = headingOf(atlas, state, shown);
  context.font = "600 16px system-ui, sans-serif";
  context.fillText(title, 8, 22);
  context.font = "12px system-ui, sans-serif";
  context.fillText(`${atlas.facts} · ${words}`, 8, 42);
  shown.forEach((entry, place) => {
    const { x, y } = tilePlace(layout, place);
    painter.tile(context, entry, x + 8, y + 52, layout.side - 4, layout.across);
  });
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

// ---- life
function receive(view, meta, buffer) {
  const { controls, shell } = view;
  view.painter?.close();
  view.atlas = atlasOf(meta, buffer);
  view.nodes.maps.take(meta, buffer);
  view.painter = createPainter(view.atlas, () => {
    view.nodes.grid.again();
    view.nodes.panel.again();
    view.nodes.points.again();
  });
  view.key = null;
  controls.search.setNames(view.atlas.classes, null);
  controls.search.hide(!view.atlas.found);
  view.state = atlasAfter(view.state, shell.selection(), view.atlas);
  shell.say(pictureWords(view.atlas));
  update(view);
}

export default { render: renderAtlas };
