// Feature maps: every channel of a layer as a mosaic; one of them enlarged over its photograph.

import { element, searchControl, selectControl } from "./controls.js";
import { csvText, createShell, saveBlob, svgText, svgToPng } from "./shell.js";
import { barNode, createChannelPanel, createPane } from "./map_panes.js";
import {
  MAP_SCALES,
  MAP_SORTS,
  channelRows,
  counterpart,
  networksOf,
  readOutWords,
  wholeLimits,
} from "./map_data.js";
import { mapsPicture } from "./map_export.js";
import {
  arrayAt,
  channelEnds,
  channelOrder,
  limitsOf,
  mosaicLayout,
  packedTable,
  paintTiles,
} from "./pixels.js";

export function renderMaps({ model, el }) {
  const state = { image: 0, sort: "index", scale: "layer", colours: "viridis", compare: "none" };
  let [networks, panes, shown, width, offered] = [[], [], [], 0, null];
  const mosaics = element("div", { class: "rv-mosaics" });
  const heading = element("h3", { class: "rv-heading" });
  const facts = element("p", { class: "rv-faint rv-facts" });
  const readOut = element("p", { class: "rv-readout" }, "");
  const left = element("div", { class: "rv-maps-left" }, heading, facts, readOut, mosaics);
  const inMosaic = () => mosaics;

  const step = (by) => () => setLayer(at().layer + by);
  const shell = createShell({
    model,
    el,
    label: "Feature maps",
    keys: [
      { keys: ["ArrowRight"], text: "next channel", within: inMosaic, run: () => move(1) },
      { keys: ["ArrowLeft"], text: "channel before", within: inMosaic, run: () => move(-1) },
      { keys: ["ArrowDown"], text: "channel below", within: inMosaic, run: () => moveRow(1) },
      { keys: ["ArrowUp"], text: "channel above", within: inMosaic, run: () => moveRow(-1) },
      { keys: ["Home"], text: "first channel", within: inMosaic, run: () => move(-Infinity) },
      { keys: ["End"], text: "last channel", within: inMosaic, run: () => move(Infinity) },
      { keys: ["]", "PageDown"], text: "next layer", run: step(1) },
      { keys: ["[", "PageUp"], text: "layer before", run: step(-1) },
      { keys: [".", ">"], text: "next photograph", run: () => setImage(state.image + 1) },
      { keys: [",", "<"], text: "photograph before", run: () => setImage(state.image - 1) },
    ],
  });
  const panel = createChannelPanel({ onChange: drawPanel });
  shell.main.append(element("div", { class: "rv-maps" }, left, panel.node));

  const controls = {
    layer: selectControl({ label: "Layer", onChange: choose, title: "[ and ] step through them" }),
    image: selectControl({ label: "Photograph", onChange: (n) => setImage(n) }),
    sort: selectControl({ label: "Order", onChange: (sort) => change({ sort }) }),
    class: searchControl({ label: "Class", names: [], onChoose: chooseClass }),
    scale: selectControl({
      label: "Colour scale",
      options: MAP_SCALES.map(([value, label]) => ({ value, label })),
      onChange: (scale) => change({ scale }),
      title: "over all photographs of the record",
    }),
    colours: selectControl({
      label: "Colours",
      options: ["viridis", "cividis"],
      onChange: (colours) => change({ colours }),
      title: "of magnitudes; signed values are blue and red around a white 0",
    }),
    compare: selectControl({ label: "Compare", onChange: (compare) => change({ compare }) }),
    beside: selectControl({ label: "with", onChange: (beside) => change({ beside }) }),
  };
  shell.add(...Object.values(controls));

  const at = () => ({ network: networks[state.network], layer: state.layer });
  const layer = () => at().network.layers[state.layer];
  const entry = (network, index) => `${network}/${index}`;
  const parts = (value) => value.split("/").map(Number);

  // ---- state
  function take(selection) {
    const network = Math.max(0, Math.min(networks.length - 1, Number(selection.network) || 0));
    const named = networks[network].layers.findIndex((one) => one.key === selection.layer);
    const index = named >= 0 ? named : (state.layer ?? 0);
    const known = (list, value, before) => (list.some(([name]) => name === value) ? value : before);
    Object.assign(state, { network, layer: Math.min(index, networks[network].layers.length - 1) });
    state.sort = known(MAP_SORTS, selection.sort, state.sort);
    state.scale = known(MAP_SCALES, selection.scale, state.scale);
    state.colours = ["viridis", "cividis"].find((one) => one === selection.colours) ?? state.colours;
    state.compare = compareOptions().some((one) => one.value === selection.compare && !one.disabled)
      ? selection.compare
      : state.compare;
    const images = networks[network].images.length;
    state.image = Math.max(0, Math.min(images - 1, Math.floor(Number(selection.image) || 0)));
    state.channel = Math.max(0, Math.floor(Number(selection.channel) || 0));
    if (Number.isInteger(selection.class)) state.class = selection.class;
    if (Array.isArray(selection.beside)) {
      const [other, key] = selection.beside;
      const found = networks[other]?.layers.findIndex((one) => one.key === key) ?? -1;
      if (found >= 0) state.beside = entry(other, found);
    }
    update();
  }

  function change(changes) {
    Object.assign(state, changes);
    update();
    publish();
  }

  function publish() {
    const beside = state.beside ? parts(state.beside) : null;
    shell.select({
      ...{ network: state.network, layer: layer().key, image: state.image, channel: state.channel },
      ...{ sort: state.sort, scale: state.scale, colours: state.colours, compare: state.compare },
      class: state.class ?? null,
      beside: beside && [beside[0], networks[beside[0]].layers[beside[1]].key],
    });
  }

  function choose(value) {
    const [network, index] = parts(value);
    change({ network, layer: index });
  }
  function setLayer(index) {
    const last = at().network.layers.length - 1;
    if (index < 0 || index > last) return;
    change({ layer: index });
    shell.say(`${layer().key}: layer ${index + 1} of ${last + 1}`);
  }
  function setImage(image) {
    if (image >= 0 && image < at().network.images.length) change({ image });
  }

  // ---- the class whose weights order the channels
  function weightsOf(network, index) {
    const { weight } = network;
    if (weight.layer !== network.layers[index].key) return null;
    const row = weight.classes.indexOf(state.class);
    const size = network.layers[index].channels;
    return row < 0 ? null : weight.rows.subarray(row * size, (row + 1) * size);
  }
  async function chooseClass(index) {
    const { weight, classes } = at().network;
    const before = state.class;
    state.class = index;
    if (!weight.classes.includes(index)) {
      if (!shell.live) {
        state.class = before;
        controls.class.set(before);
        shell.say(`The weights of ${classes[index]} need a running kernel; this page has none.`);
        return;
      }
      const answer = await shell.ask("weight", { network: state.network, class: index });
      if (!answer || state.class !== index) return;
      const view = answer.buffers[0];
      const row = arrayAt(view, { dtype: "float32", shape: [view.byteLength / 4], at: 0 });
      const rows = new Float32Array(weight.rows.length + row.length);
      rows.set(weight.rows);
      rows.set(row, weight.rows.length);
      Object.assign(weight, { rows, classes: [...weight.classes, index] });
    }
    change({ class: index });
  }

  // ---- controls follow the state
  function sortOptions() {
    const { weight } = at().network;
    const reason = weight.reason ?? (weight.layer === layer().key ? null : `only at ${weight.layer}`);
    return MAP_SORTS.map(([value, label]) =>
      value === "weight" && reason ? { value, label, disabled: true, reason } : { value, label },
    );
  }
  function compareOptions() {
    const images = at().network.images.length;
    const all = [
      { value: "none", label: "nothing" },
      { value: "photographs", label: `all ${images} photographs`, disabled: images < 2 },
      { value: "layer", label: "another layer" },
    ];
    if (networks.length > 1) all.push({ value: "network", label: "the other network" });
    return all;
  }
  function layerOptions() {
    return networks.flatMap((network, n) =>
      network.layers.map((one, index) => ({
        value: entry(n, index),
        label: `${one.key} · ${one.channels}`,
        group: networks.length > 1 ? network.name : undefined,
      })),
    );
  }
  function showControls() {
    const { network } = at();
    const sorts = sortOptions();
    if (sorts.find((one) => one.value === state.sort).disabled) state.sort = "index";
    state.class ??= network.images[state.image].predicted[0]?.index;
    state.beside ??= entry(state.network, Math.min(state.layer + 1, network.layers.length - 1));
    controls.layer.set(entry(state.network, state.layer));
    if (offered !== network) {
      controls.image.setOptions(network.images.map((one, value) => ({ value, label: one.label })));
      offered = network;
    }
    controls.image.set(state.image);
    controls.image.hide(network.images.length < 2);
    controls.sort.setOptions(sorts, state.sort);
    controls.compare.setOptions(compareOptions(), state.compare);
    controls.beside.set(state.beside);
    controls.beside.hide(state.compare !== "layer");
    for (const name of ["scale", "colours"]) controls[name].set(state[name]);
    controls.class.hide(state.sort !== "weight");
    if (state.sort === "weight") {
      const known = network.weight.classes;
      const names = network.classes.map((name, index) =>
        shell.live || known.includes(index) ? name : `${name} (needs a kernel)`,
      );
      controls.class.setNames(names, state.class);
    }
  }

  // ---- what is shown: one pane, or several to compare
  function wanted() {
    const here = { network: state.network, layer: state.layer, image: state.image };
    const fitting = (other) => Math.min(state.image, networks[other].images.length - 1);
    if (state.compare === "photographs") {
      return at().network.images.map((_, image) => ({ ...here, image }));
    }
    if (state.compare === "layer") {
      const [network, index] = parts(state.beside);
      return [here, { network, layer: index, image: fitting(network) }];
    }
    if (state.compare === "network" && networks.length > 1) {
      const other = (state.network + 1) % networks.length;
      const index = counterpart(at().network, state.layer, networks[other]);
      return [here, { network: other, layer: index, image: fitting(other) }];
    }
    return [here];
  }

  function described(one, first) {
    const network = networks[one.network];
    const data = network.layers[one.layer];
    const together =
      one === first ||
      (one.network === first.network && data.channels === first.data.channels);
    return Object.assign(one, {
      data,
      together,
      photograph: network.pictures && { ...network.pictures, image: one.image },
      scaleOf: scaleOf(data),
      order: together && one !== first ? first.order : orderOf(one, data, network),
      title: titleOf(one, network, data),
    });
  }
  function orderOf(one, data, network) {
    const weights = state.sort === "weight" ? weightsOf(network, one.layer) : null;
    return channelOrder(data, one.image, state.sort, weights);
  }
  function scaleOf(data) {
    if (state.scale === "network") {
      const whole = wholeLimits(networks);
      return () => whole;
    }
    const whole = limitsOf(data.low, data.high);
    if (state.scale === "layer") return () => whole;
    const ends = channelEnds(data);
    return (channel) => {
      const own = limitsOf(ends.low[channel], ends.high[channel]);
      // a channel without negatives among signed ones keeps the colours of the layer
      return whole.signed && !own.signed ? { low: -own.high, high: own.high, signed: true } : own;
    };
  }
  const tableOf = (signed) => packedTable(signed ? "signed" : state.colours);

  function titleOf(one, network, data) {
    const size = data.height > 1 ? `${data.height} × ${data.width}` : `${data.width} ${data.position}`;
    const name = networks.length > 1 ? `${network.name} · ` : "";
    const image = network.images.length > 1 ? ` · ${network.images[one.image].label}` : "";
    return {
      layer: `${name}${data.key}`,
      size: `${data.channels} channels of ${size}${image}`,
      image: network.images[one.image].label,
    };
  }

  function update() {
    showControls();
    shown = wanted();
    shown.forEach((one) => described(one, shown[0]));
    state.channel = Math.min(state.channel ?? 0, shown[0].data.channels - 1);
    heading.textContent = `Feature maps: ${layer().key}`;
    const { network } = at();
    facts.textContent = [network.name, `${layer().channels} channels`, network.conditions].join(" · ");
    draw();
  }

  function draw() {
    if (!width || !shown.length) return;
    while (panes.length < shown.length) panes.push(createPane({ onHover, onChoose }));
    panes.forEach((pane, n) => {
      if (n >= shown.length) pane.node.remove();
      else if (!pane.node.isConnected) mosaics.append(pane.node);
    });
    state.active = Math.min(state.active ?? 0, shown.length - 1);
    const side = width >= 720 ? 304 : 0; // the panel and the gap before it
    const room = width - side;
    const columns = Math.max(1, Math.min(shown.length, Math.floor(room / 250), 3));
    const each = Math.floor((room - (columns - 1) * 16) / columns);
    shown.forEach((one, n) => {
      const bar = n === 0 || !sameScale(one, shown[0]);
      panes[n].node.style.width = `${each}px`;
      panes[n].draw(one, { available: each, tableOf, alone: shown.length === 1 });
      panes[n].bar.replaceChildren(...(bar ? [barOf(one)] : []));
      panes[n].mark(one.together ? state.channel : (state.besideChannel ?? one.order[0]));
    });
    drawPanel();
  }
  function sameScale(one, first) {
    if (state.scale === "channel") return true;
    const [a, b] = [one.scaleOf(0), first.scaleOf(0)];
    return a.low === b.low && a.high === b.high;
  }
  function barOf(one) {
    const scale = one.scaleOf(state.channel < one.data.channels ? state.channel : 0);
    const own = state.scale === "channel";
    const ends = own && scale.signed ? ["−largest", "0", "largest"] : ["least", "", "largest"];
    return barNode(scale, state.colours, own ? ends : null);
  }

  function channelOf(one) {
    return one.together ? state.channel : (state.besideChannel ?? one.order[0]);
  }
  function weightOf(one) {
    const weights = state.sort === "weight" ? weightsOf(networks[one.network], one.layer) : null;
    return weights && { weights, name: networks[one.network].classes[state.class] };
  }
  function drawPanel() {
    if (!shown.length) return;
    panel.draw(
      shown.map((one) => ({ ...one, channel: channelOf(one), weight: weightOf(one) })),
      { colours: state.colours, active: state.active },
    );
  }

  // ---- pointing and moving
  function onHover(pane, found) {
    readOut.textContent = found ? readOutWords(shown[panes.indexOf(pane)], found) : "";
  }
  function onChoose(pane, place) {
    state.active = panes.indexOf(pane);
    const one = shown[state.active];
    setChannel(one, one.order[place]);
  }
  function setChannel(one, channel) {
    if (one.together) state.channel = channel;
    else state.besideChannel = channel;
    shown.forEach((other, n) => panes[n].mark(channelOf(other)));
    drawPanel();
    publish();
    shell.say(panel.words(), {});
  }
  /** The pane with the focus; `el.getRootNode()`, for a notebook may put views into a shadow tree. */
  function focused() {
    const holder = el.getRootNode().activeElement;
    const n = panes.findIndex((pane) => pane.node.contains(holder));
    if (n >= 0) state.active = n;
    return state.active;
  }
  function move(by) {
    const one = shown[focused()];
    const place = one.order.indexOf(channelOf(one)) + by;
    const last = one.order.length - 1;
    if (Math.abs(by) > 1 && Number.isFinite(by) && (place < 0 || place > last)) return;
    setChannel(one, one.order[Math.max(0, Math.min(last, place))]);
  }
  function moveRow(by) {
    move(by * panes[focused()].layout.columns);
  }

  // ---- export
  const fileName = (ending) => `feature_maps_${layer().key.replaceAll(/[^\w.-]+/g, "_")}.${ending}`;
  const picture = () =>
    mapsPicture({
      title: heading.textContent,
      lines: [facts.textContent, `${orderWords()} · colour scale: ${scaleWords()}`],
      panes: shown.map((one, n) => ({ ...one, canvas: panes[n].canvas, layout: panes[n].layout })),
      colours: state.colours,
      own: state.scale === "channel",
      channel: state.channel,
    });
  const orderWords = () => `order: ${MAP_SORTS.find(([name]) => name === state.sort)[1]}`;
  const scaleWords = () => MAP_SCALES.find(([name]) => name === state.scale)[1];
  const saveText = (text, type, name) => saveBlob(new Blob([text], { type }), name);
  shell.exports([
    {
      label: "Picture (PNG)",
      run: async () => saveBlob(await svgToPng(picture()), fileName("png")),
    },
    {
      label: "Picture (SVG)",
      run: async () => saveText(svgText(picture()), "image/svg+xml", fileName("svg")),
    },
    {
      label: "Channels (CSV)",
      run: async () => saveText(csvText(channelRows(networks, shown)), "text/csv", fileName("csv")),
    },
    {
      label: "Enlarged channel (CSV)",
      run: async () => saveText(csvText(panel.rows()), "text/csv", fileName(`${state.channel}.csv`)),
    },
  ]);

  /** Paint layers nobody sees while there is time: a function is slow the first times it runs. */
  function warmUp() {
    const all = networks[0].layers;
    const sizes = [...new Map(all.map((one) => [one.width, one])).values()].slice(0, 5);
    const later = globalThis.requestIdleCallback ?? ((work) => setTimeout(work, 30));
    const next = () => {
      const one = sizes.pop();
      if (!one || !shell.root.isConnected) return;
      const layout = mosaicLayout(one.channels, one.height, one.width, 800);
      const scratch = new Uint32Array(layout.pixelWidth * layout.pixelHeight);
      const order = channelOrder(one, 0, "mean");
      paintTiles(scratch, layout, one, 0, order, scaleOf(one), tableOf);
      later(next);
    };
    later(next);
  }

  // ---- life
  shell.onWidth((wide) => {
    width = wide;
    draw();
  });
  shell.onSelection((selection) => networks.length && take(selection));
  shell.data((meta, view) => {
    networks = networksOf(meta, view);
    state.network = 0;
    state.layer = 0;
    if (networks.length > 1) state.compare = "network";
    controls.layer.setOptions(layerOptions());
    controls.beside.setOptions(layerOptions());
    take(shell.selection());
    warmUp();
  });
  return shell.close;
}

export default { render: renderMaps };
