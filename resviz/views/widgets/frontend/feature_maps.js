// Feature maps: the strongest channels of a layer, or all of them; one enlarged over its photograph.

import { buttonControl, checkControl, element, selectControl } from "./controls.js";
import { searchControl } from "./search.js";
import { countWords } from "./explore/words.js";
import { csvText, createShell, saveBlob, svgText, svgToPng } from "./shell.js";
import { barNode, createChannelPanel, createPane } from "./map_panes.js";
import { MAP_SCALES, MAP_SORTS, channelRows, networksOf, readOutWords } from "./map_data.js";
import { mapsPicture } from "./map_export.js";
import {
  FIRST_MAPS,
  STRONGEST,
  channelAfter,
  channelIn,
  compareChoices,
  describedPanes,
  entryParts,
  filledMaps,
  isWeighed,
  layerChoices,
  layerEntry,
  mapsAfter,
  mapsSelection,
  sameScale,
  sortChoices,
  sortShown,
  weightsFor,
  withChannels,
} from "./map_state.js";
import { arrayAt, channelOrder, mosaicLayout, packedTable, paintTiles } from "./pixels.js";
import { createStrongest } from "./strongest.js";

const MAPS_MEANING = "each picture is one channel of what the layer puts out: bright where the layer found what this channel answers to";

export function renderMaps({ model, el }) {
  /** @type {any} what the functions below share */
  const view = { el, state: { ...FIRST_MAPS }, networks: [], panes: [], shown: [], width: 0, offered: null };
  view.nodes = mapsNodes();
  view.shell = createShell({ model, el, label: "Feature maps", keys: mapsKeys(view) });
  const { shell } = view;
  view.panel = createChannelPanel({ onChange: () => drawChannelPanel(view) });
  view.strongest = createStrongest({ live: shell.live, ask: (layer, channel) => shell.ask("strongest", { layer, channels: [channel] }) });
  view.panel.node.querySelector("dl").before(view.strongest.node);
  shell.onClose(view.strongest.close);
  shell.main.append(element("div", { class: "rv-maps" }, view.nodes.left, view.panel.node));
  view.controls = mapsControls(view);
  shell.add(...mapsToolbar(view.controls));
  shell.exports(mapsExports(view));
  shell.onWidth((wide) => {
    view.width = wide;
    drawMaps(view);
  });
  shell.onSelection((selection) => view.networks.length && takeMaps(view, selection));
  shell.data((meta, buffer) => receiveMaps(view, meta, buffer));
  return shell.close;
}

function mapsNodes() {
  const mosaics = element("div", { class: "rv-mosaics" });
  const heading = element("h3", { class: "rv-heading", title: MAPS_MEANING });
  const facts = element("p", { class: "rv-faint rv-facts" });
  const readOut = element("p", { class: "rv-readout" }, "");
  const left = element("div", { class: "rv-maps-left" }, heading, facts, readOut, mosaics);
  return { mosaics, heading, facts, readOut, left };
}

function mapsKeys(view) {
  const within = () => view.nodes.mosaics;
  const move = (by) => () => moveChannel(view, by);
  const row = (by) => () => moveChannel(view, by * view.panes[focusedPane(view)].layout.columns);
  const photograph = (by) => () => chooseImage(view, view.state.image + by);
  const layer = (by) => () => chooseLayer(view, view.state.layer + by);
  return [
    { keys: ["ArrowRight"], text: "next channel", within, run: move(1) },
    { keys: ["ArrowLeft"], text: "channel before", within, run: move(-1) },
    { keys: ["ArrowDown"], text: "channel below", within, run: row(1) },
    { keys: ["ArrowUp"], text: "channel above", within, run: row(-1) },
    { keys: ["Home"], text: "first channel", within, run: move(-Infinity) },
    { keys: ["End"], text: "last channel", within, run: move(Infinity) },
    { keys: ["]", "PageDown"], text: "next layer", run: layer(1) },
    { keys: ["[", "PageUp"], text: "layer before", run: layer(-1) },
    { keys: [".", ">"], text: "next photograph", run: photograph(1) },
    { keys: [",", "<"], text: "photograph before", run: photograph(-1) },
    { keys: ["a"], text: "all channels, or the strongest", run: () => toggleAll(view) },
  ];
}

function mapsControls(view) {
  const options = (pairs) => pairs.map(([value, label]) => ({ value, label }));
  const select = (label, key, more = {}) => selectControl({ label, onChange: (value) => changeMaps(view, { [key]: value }), ...more });
  const signed = "of magnitudes; signed values are blue and red around a white 0";
  return {
    layer: selectControl({ label: "Layer", onChange: (value) => chooseEntry(view, value), title: "[ and ] step through them" }),
    image: select("Photograph", "image"),
    sort: select("Order", "sort"),
    class: searchControl({ label: "Class", names: [], onChoose: (index) => chooseMapClass(view, index) }),
    all: buttonControl({ text: "all", onClick: () => toggleAll(view) }),
    scale: select("Colour scale", "scale", { options: options(MAP_SCALES), title: "over all photographs of the record" }),
    colours: select("Colours", "colours", { options: ["viridis", "cividis"], title: signed }),
    over: checkControl({ label: "over the photograph", value: true, onChange: (over) => changeMaps(view, { over }) }),
    compare: select("Compare", "compare"),
    beside: select("with", "beside"),
  };
}

/** The toolbar's controls; those that are seldom used stand in a fold. */
function mapsToolbar({ layer, image, sort, all, class: named, scale, colours, over, compare, beside }) {
  const seldom = [compare, beside, scale, colours, over].map((one) => one.node);
  const fold = element("details", { class: "rv-fold" }, element("summary", {}, "compare, colours"), ...seldom);
  return [layer, image, sort, named, all, { node: fold }];
}

// ---- state
function takeMaps(view, selection) {
  view.state = mapsAfter(view.state, selection, view.networks);
  updateMaps(view);
}

function changeMaps(view, changes) {
  view.state = { ...view.state, ...changes };
  updateMaps(view);
  view.shell.select(mapsSelection(view.state, view.networks));
}

const mapsNetwork = (view) => view.networks[view.state.network];

function chooseEntry(view, value) {
  const [network, layer] = entryParts(value);
  changeMaps(view, { network, layer, channel: null });
}
function chooseLayer(view, layer) {
  const { layers } = mapsNetwork(view);
  if (layer < 0 || layer >= layers.length) return;
  changeMaps(view, { layer, channel: null });
  view.shell.say(`${layers[layer].key}: layer ${layer + 1} of ${layers.length}`);
}
function chooseImage(view, image) {
  if (image >= 0 && image < mapsNetwork(view).images.length) changeMaps(view, { image });
}
function toggleAll(view) {
  changeMaps(view, { show: view.state.show === "all" ? "strongest" : "all" });
}

/**
 * The class whose weights order the channels; those the page lacks are asked for.
 * @param {{ shell: import("./shell.js").Shell, state, controls }} view
 */
async function chooseMapClass(view, index) {
  const { weight, classes } = mapsNetwork(view);
  const { network, class: before } = view.state;
  view.state.class = index;
  if (!weight.classes.includes(index)) {
    if (!view.shell.live) {
      view.state.class = before;
      view.controls.class.set(before);
      view.shell.say(`The weights of ${classes[index]} need a running kernel; this page has none.`);
      return;
    }
    const answer = await view.shell.ask("weight", { network, class: index });
    if (!answer || view.state.class !== index) return;
    addWeights(weight, index, answer.buffers[0]);
  }
  changeMaps(view, { class: index });
}

function addWeights(weight, index, buffer) {
  const row = arrayAt(buffer, { dtype: "float32", shape: [buffer.byteLength / 4], at: 0 });
  const rows = new Float32Array(weight.rows.length + row.length);
  rows.set(weight.rows);
  rows.set(row, weight.rows.length);
  Object.assign(weight, { rows, classes: [...weight.classes, index] });
}

// ---- drawing
function updateMaps(view) {
  view.state = filledMaps(view.state, view.networks);
  view.shown = describedPanes(view.state, view.networks);
  view.state = withChannels(view.state, view.shown);
  showMapControls(view);
  const network = mapsNetwork(view);
  const layer = network.layers[view.state.layer];
  view.nodes.heading.textContent = `Feature maps: ${layer.key}`;
  view.nodes.facts.textContent = [network.name, network.conditions].filter(Boolean).join(" · ");
  drawMaps(view);
}

function showMapControls(view) {
  const { state, networks, controls } = view;
  const network = mapsNetwork(view);
  controls.layer.set(layerEntry(state.network, state.layer));
  if (view.offered !== network) {
    controls.image.setOptions(network.images.map((one, value) => ({ value, label: one.label })));
    view.offered = network;
  }
  controls.image.set(state.image);
  controls.image.hide(network.images.length < 2);
  controls.sort.setOptions(sortChoices(state, networks), sortShown(state, networks));
  controls.compare.setOptions(compareChoices(state, networks), state.compare);
  controls.beside.set(state.beside);
  controls.beside.hide(state.compare !== "layer");
  for (const name of ["scale", "colours", "over"]) controls[name].set(state[name]);
  if (view.shown.some((one) => one.photograph)) controls.over.enable();
  else controls.over.disable("this network has no pictures");
  showAllButton(view);
  showMapClasses(view);
}

function showAllButton({ state, controls, shown }) {
  const total = Math.max(...shown.map((one) => one.data.channels));
  const { input } = controls.all;
  input.hidden = total <= STRONGEST && state.show !== "all";
  input.textContent = state.show === "all" ? `strongest ${Math.min(STRONGEST, total)}` : `all ${countWords(total)}`;
  input.title = state.show === "all" ? "those alone, larger (a)" : "every channel at once, smaller (a)";
}

function showMapClasses(view) {
  const { state, networks, controls, shell } = view;
  const weighed = isWeighed(sortShown(state, networks));
  controls.class.hide(!weighed);
  if (!weighed) return;
  const { weight, classes } = mapsNetwork(view);
  const known = (index) => shell.live || weight.classes.includes(index);
  controls.class.setNames(classes.map((name, index) => (known(index) ? name : `${name} (needs a kernel)`)), state.class);
}

function drawMaps(view) {
  const { panes, shown, nodes, width } = view;
  if (!width || !shown.length) return;
  const handlers = { onHover: (pane, found) => hoverPane(view, pane, found), onChoose: (pane, place) => clickPane(view, pane, place) };
  while (panes.length < shown.length) panes.push(createPane(handlers));
  panes.forEach((pane, n) => {
    if (n >= shown.length) pane.node.remove();
    else if (!pane.node.isConnected) nodes.mosaics.append(pane.node);
  });
  const room = width - (width >= 720 ? 304 : 0); // the panel and the gap before it
  const columns = Math.max(1, Math.min(shown.length, Math.floor(room / 250), 3));
  const available = Math.floor((room - (columns - 1) * 16) / columns);
  shown.forEach((one, n) => drawPane(view, panes[n], one, available));
  drawChannelPanel(view);
}

function drawPane({ state, shown }, pane, one, available) {
  const { colours, show, over } = state;
  const tableOf = (signed) => packedTable(signed ? "signed" : colours);
  const bar = one === shown[0] || !sameScale(state, one, shown[0]);
  pane.node.style.width = `${available}px`;
  pane.draw(one, { available, tableOf, colours, alone: shown.length === 1, large: show !== "all", over: over && show !== "all" });
  pane.bar.replaceChildren(...(bar ? [barOfPane(state, one)] : []));
  pane.mark(channelIn(state, one));
}

function barOfPane(state, one) {
  const scale = one.scaleOf(state.channel < one.data.channels ? state.channel : 0);
  const own = state.scale === "channel";
  const ends = own && scale.signed ? ["−largest", "0", "largest"] : ["least", "", "largest"];
  return barNode(scale, state.colours, own ? ends : null);
}

function drawChannelPanel({ state, networks, shown, panel, strongest }) {
  if (!shown.length) return;
  const weightOf = (one) => {
    const weights = weightsFor(state, networks, one);
    return weights && { weights, name: networks[one.network].classes[state.class] };
  };
  const list = shown.map((one) => ({ ...one, channel: channelIn(state, one), weight: weightOf(one) }));
  panel.draw(list, { colours: state.colours, active: state.active });
  const scanned = list.find((one) => one.network === 0); // the scan is of the first network
  strongest.draw(scanned?.data.key, scanned?.channel);
}

// ---- pointing and moving
function hoverPane({ nodes, panes, shown }, pane, found) {
  nodes.readOut.textContent = found ? readOutWords(shown[panes.indexOf(pane)], found) : "";
}
function clickPane(view, pane, place) {
  view.state.active = view.panes.indexOf(pane);
  const one = view.shown[view.state.active];
  pointAtChannel(view, one, one.order[place]);
}
function pointAtChannel(view, one, channel) {
  view.state = { ...view.state, [one.together ? "channel" : "besideChannel"]: channel };
  view.shown.forEach((other, n) => view.panes[n].mark(channelIn(view.state, other)));
  drawChannelPanel(view);
  view.shell.select(mapsSelection(view.state, view.networks));
  view.shell.say(view.panel.words(), {});
}
/** The pane with the focus; `el.getRootNode()`, for a notebook may put views into a shadow tree. */
function focusedPane(view) {
  const holder = view.el.getRootNode().activeElement;
  const n = view.panes.findIndex((pane) => pane.node.contains(holder));
  if (n >= 0) view.state.active = n;
  return view.state.active;
}
function moveChannel(view, by) {
  const one = view.shown[focusedPane(view)];
  const channel = channelAfter(view.state, one, by);
  if (channel !== null) pointAtChannel(view, one, channel);
}

// ---- export
function mapsExports(view) {
  const layer = () => mapsNetwork(view).layers[view.state.layer];
  const fileName = (ending) => `feature_maps_${layer().key.replaceAll(/[^\w.-]+/g, "_")}.${ending}`;
  const saveText = (text, type, name) => saveBlob(new Blob([text], { type }), name);
  const table = (rows, ending) => saveText(csvText(rows), "text/csv", fileName(ending));
  return [
    { label: "Picture (PNG)", run: async () => saveBlob(await svgToPng(pictureOfMaps(view)), fileName("png")) },
    { label: "Picture (SVG)", run: async () => saveText(svgText(pictureOfMaps(view)), "image/svg+xml", fileName("svg")) },
    { label: "Channels (CSV)", run: async () => table(channelRows(view.networks, view.shown), "csv") },
    { label: "Enlarged channel (CSV)", run: async () => table(view.panel.rows(), `${view.state.channel}.csv`) },
  ];
}

function pictureOfMaps({ state, networks, nodes, panes, shown }) {
  const worded = (list, value) => list.find(([name]) => name === value)[1];
  const words = `order: ${worded(MAP_SORTS, sortShown(state, networks))} · colour scale: ${worded(MAP_SCALES, state.scale)}`;
  return mapsPicture({
    title: nodes.heading.textContent,
    lines: [nodes.facts.textContent, words],
    panes: shown.map((one, n) => ({ ...one, canvas: panes[n].canvas, layout: panes[n].layout })),
    colours: state.colours,
    own: state.scale === "channel",
    channel: state.channel,
  });
}

// ---- life
function receiveMaps(view, meta, buffer) {
  const { controls, shell } = view;
  view.networks = networksOf(meta, buffer);
  view.strongest.take(meta.scan, meta.strongest, buffer);
  Object.assign(view.state, { network: 0, layer: 0 });
  if (view.networks.length > 1) view.state.compare = "network";
  controls.layer.setOptions(layerChoices(view.networks));
  controls.beside.setOptions(layerChoices(view.networks));
  takeMaps(view, shell.selection());
  warmUpMaps(view);
}

/** Paint layers nobody sees while there is time: a function is slow the first times it runs. */
function warmUpMaps({ networks, shell }) {
  const scale = { low: 0, high: 1, signed: false };
  const tableOf = (signed) => packedTable(signed ? "signed" : "viridis");
  const sizes = [...new Map(networks[0].layers.map((one) => [one.width, one])).values()].slice(0, 5);
  const later = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 30));
  const next = () => {
    const one = sizes.pop();
    if (!one || !shell.root.isConnected) return;
    const layout = mosaicLayout(one.channels, one.height, one.width, 800);
    const scratch = new Uint32Array(layout.pixelWidth * layout.pixelHeight);
    paintTiles(scratch, layout, one, 0, channelOrder(one, 0, "mean"), () => scale, tableOf);
    later(next);
  };
  later(next);
}

export default { render: renderMaps };
