// Residual anatomy: shortcut, branch and sum of the block under the cursor, and both charts.
import { depthChart } from "./chart.js";
import { shortNumber } from "./chart_scales.js";
import { element, selectControl } from "./controls.js";
import { barNode, createPane } from "./map_panes.js";
import { arrayAt, descending, limitsOf, packedTable, valueAt } from "./pixels.js";
import { createShell, csvText, saveBlob, svgText, svgToPng } from "./shell.js";

const PART_NAMES = { shortcut: "shortcut", branch: "branch F(x)", sum: "sum" };
const ORDER_NAMES = {
  index: "index", branch: "largest branch", shortcut: "largest shortcut", sum: "largest sum",
  ratio: "largest branch / shortcut",
};
const KIND_SYMBOLS = { identity: "circle", projection: "diamond-open", padded: "triangle-open" };
const DEPTH_WORDS = "depth (weighted layers from the input)";
const CHART_CHOICES = [
  {
    name: "sizes", title: "Branch over shortcut", option: "branch / shortcut", axis: "branch / shortcut (log)", log: true,
    reference: 1, columns: { ratio: ["branch / shortcut", 3] },
  },
  {
    name: "sizes", title: "Size of branch, shortcut and sum", option: "branch, shortcut, sum", axis: "rms (log)", log: true,
    columns: { branch_rms: ["branch F(x)", 0], shortcut_rms: ["shortcut", 1], sum_rms: ["sum", 2] },
  },
  {
    name: "gradient", title: "Gradient split at the block's input", option: "branch's share and cosines", axis: "share, cosine", log: false,
    reference: 0, columns: { grad_branch_share: ["branch's share of the gradient", 0], grad_cosine: ["cosine of the gradient parts", 1], cosine: ["cosine of branch and shortcut", 2] },
  },
  {
    name: "gradient", title: "Size of the gradient parts", option: "gradient sizes", axis: "rms of the gradient (log)", log: true,
    columns: { grad_branch_rms: ["through the branch", 0], grad_shortcut_rms: ["through the shortcut", 1], grad_sum_rms: ["at the sum", 2] },
  },
];
const FACT_NAMES = {
  branch_rms: "branch, rms", shortcut_rms: "shortcut, rms", sum_rms: "sum, rms", ratio: "branch / shortcut",
  cosine: "cosine", grad_branch_share: "branch's share of the gradient", grad_cosine: "cosine of the gradient parts",
};

/** The float64 column of a payload reference that holds its halves as int32. */
function columnAt(view, reference) {
  return new Float64Array(arrayAt(view, reference).slice().buffer);
}

/** Channel numbers in the wanted order; `parts`: rms of each channel by part, of one image. */
export function anatomyOrder(parts, sort, channels) {
  const index = Array.from({ length: channels }, (_, channel) => channel);
  if (sort === "ratio" && parts.branch && parts.shortcut) {
    return descending(index.map((c) => parts.branch[c] / parts.shortcut[c]));
  }
  return parts[sort] ? descending(parts[sort]) : index;
}

/** What to record to see the channels of an addition. */
export function keepHint(name) {
  const quoted = (text) => `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
  return `rv.record(net, images, keep=[${Object.keys(PART_NAMES).map((part) => quoted(`${name}:${part}`)).join(", ")}])`;
}

export function renderAnatomy({ model, el }) {
  let [meta, asking] = [null, null];
  const state = { addition: "", image: 0, channel: 0, sort: "index", scale: "together", sizes: 0, gradient: 2 };
  const mosaics = element("div", { class: "rv-mosaics rv-anatomy-maps" });
  const shell = createShell({
    model, el, label: model.get("about") || "residual additions",
    keys: [
      { keys: ["ArrowLeft", "ArrowRight", "Home", "End"], text: "in a chart: the cursor, from block to block" },
      { keys: ["["], text: "the block before", run: () => blockBy(-1) },
      { keys: ["]"], text: "the next block", run: () => blockBy(1) },
      { keys: ["ArrowLeft"], text: "in the channels: the channel before", run: () => channelBy(-1), within: () => mosaics },
      { keys: ["ArrowRight"], text: "in the channels: the next channel", run: () => channelBy(1), within: () => mosaics },
      { keys: ["ArrowUp"], text: "in the channels: a row up", run: () => channelBy(-rowLength()), within: () => mosaics },
      { keys: ["ArrowDown"], text: "in the channels: a row down", run: () => channelBy(rowLength()), within: () => mosaics },
    ],
  });
  const addition = selectControl({ label: "addition", onChange: (value) => change({ addition: value }) });
  const image = selectControl({ label: "photograph", onChange: (value) => change({ image: value }) });
  const sort = selectControl({ label: "order of channels", onChange: (value) => change({ sort: value }) });
  const scale = selectControl({ label: "colour scale", options: [{ value: "together", label: "one for all three" }, { value: "each", label: "one each" }], value: "together", onChange: (value) => change({ scale: value }) });
  const pickers = ["sizes", "gradient"].map((name) => selectControl({ label: name === "sizes" ? "left chart" : "right chart", onChange: (value) => change({ [name]: value }) }));
  shell.add(addition, ...pickers, image, sort, scale);

  const heading = element("div", { class: "rv-depth-heading" });
  const places = [element("div", { class: "rv-anatomy-chart" }), element("div", { class: "rv-anatomy-chart" })];
  const row = element("div", { class: "rv-anatomy-charts" }, ...places);
  const facts = element("dl", { class: "rv-anatomy-facts" });
  const title = element("h3", { class: "rv-depth-title" });
  const hint = element("p", { class: "rv-faint rv-anatomy-hint" });
  const read = element("p", { class: "rv-readout", role: "status" });
  shell.main.append(heading, row, title, facts, hint, read, mosaics);
  const charts = places.map((place) => depthChart(place, { height: 230, readout: false, label: "cursor over depth: the block", onCursor: atDepth }));
  shell.onClose(() => charts.forEach((chart) => chart.destroy()));
  const panes = Object.keys(PART_NAMES).map((part) => ({
    part,
    pane: createPane({
      onHover: (_, found) => hover(found),
      onChoose: (_, place) => change({ channel: order()[place] }, false),
    }),
  }));

  const number = () => Math.max(meta.additions.findIndex((one) => one.name === state.addition), 0);
  const keptParts = () => meta.kept[meta.additions[number()].name] ?? {};

  function change(changes, redraw = true) {
    Object.assign(state, changes);
    shell.select(changes);
    if (redraw) draw();
    else markChannel();
  }

  function markChannel() {
    const parts = keptParts();
    panes.forEach(({ part, pane }) => parts[part] && pane.mark(state.channel));
    sayChannel();
  }

  function atDepth(depth) {
    const nearest = meta.depth.reduce((best, value, n) => (Math.abs(value - depth) < Math.abs(meta.depth[best] - depth) ? n : best), 0);
    change({ addition: meta.additions[nearest].name });
  }

  function blockBy(by) {
    const next = Math.min(Math.max(number() + by, 0), meta.additions.length - 1);
    change({ addition: meta.additions[next].name });
    shell.say(`${meta.additions[next].name}: branch / shortcut ${shortNumber(meta.columns.ratio?.[next])}`);
  }

  function channelBy(by) {
    const now = order();
    if (!now.length) return;
    const next = now[Math.min(Math.max(now.indexOf(state.channel) + by, 0), now.length - 1)];
    change({ channel: next }, false);
  }

  const rowLength = () => panes.find(({ pane }) => pane.node.contains(document.activeElement))?.pane.layout.columns ?? 1;

  function rmsOf(part) {
    const data = keptParts()[part];
    return data ? data.rms.subarray(state.image * data.channels, (state.image + 1) * data.channels) : null;
  }

  function order() {
    const first = Object.values(keptParts())[0];
    if (!first) return [];
    return anatomyOrder(Object.fromEntries(Object.keys(PART_NAMES).map((part) => [part, rmsOf(part)])), state.sort, first.channels);
  }

  // ---- drawing
  function draw() {
    if (!meta) return;
    const at = number();
    const one = meta.additions[at];
    addition.set(one.name);
    drawCharts(meta.depth[at]);
    title.textContent = `${one.name}: ${one.kind} shortcut${one.stage ? `, ${one.stage}` : ""}${one.shape ? `, ${one.shape}` : ""}`;
    facts.replaceChildren(...Object.entries(FACT_NAMES).filter(([column]) => meta.columns[column]).flatMap(([column, name]) => [
      element("div", {}, element("dt", {}, name), element("dd", {}, shortNumber(meta.columns[column][at]))),
    ]));
    drawMaps(one);
  }

  let drawnCharts = "";
  function drawCharts(depth) {
    const key = `${state.sizes} ${state.gradient}`;
    if (key !== drawnCharts) {
      charts.forEach((chart, n) => chart.show(chartSpec(CHART_CHOICES[n ? state.gradient : state.sizes])));
      pickers.forEach((picker, n) => picker.set(n ? state.gradient : state.sizes));
      drawnCharts = key;
    }
    charts.forEach((chart) => chart.setCursor(depth));
  }

  function chartSpec(choice) {
    const columns = Object.entries(choice.columns).filter(([column]) => meta.columns[column]);
    const kinds = [...new Set(meta.additions.map((one) => one.kind))];
    const series = columns.map(([column, [name, colour]]) => {
      const values = meta.columns[column];
      return {
        key: column, name, colour, seeds: 1, x: meta.depth, middle: values, low: values, high: values,
        layers: meta.additions.map((one) => one.name), shapes: meta.additions.map((one) => one.shape),
        stages: meta.additions.map((one) => one.stage), notes: meta.additions.map((one) => one.kind),
        symbols: meta.additions.map((one) => KIND_SYMBOLS[one.kind] ?? "square-open"),
      };
    });
    return {
      title: choice.title, conditions: [meta.conditions], axis: choice.axis, xTitle: DEPTH_WORDS, log: choice.log,
      limits: choice.log ? null : unitLimits(series), reference: choice.reference, stages: meta.stages, series,
      symbols: kinds.map((kind) => ({ name: `${kind} shortcut`, symbol: KIND_SYMBOLS[kind] ?? "square-open" })),
    };
  }

  function unitLimits(series) {
    const values = series.flatMap((one) => [...one.middle]).filter(Number.isFinite);
    return [Math.min(-1, ...values) - 0.08, Math.max(1, ...values) + 0.08];
  }

  /** The channels of an addition that did not come with the rest. */
  async function askForParts(name) {
    if (asking === name) return;
    asking = name;
    const answer = await shell.ask("parts", { addition: name });
    if (asking === name) asking = null;
    if (!answer || !meta.asks.includes(name)) return;
    meta.asks = meta.asks.filter((one) => one !== name);
    meta.kept[name] = mapsOf(answer.content.parts, answer.buffers[0]);
    if (meta.additions[number()].name === name) draw();
  }

  function mapsOf(parts, view) {
    for (const data of Object.values(parts)) {
      [data.images, data.channels, data.height, data.width] = data.codes.shape;
      for (const name of ["codes", "scale", "offset", "rms"]) data[name] = arrayAt(view, data[name]);
    }
    return parts;
  }

  function drawMaps(one) {
    const parts = keptParts();
    const has = Object.keys(parts);
    const absent = meta.asks.includes(one.name);
    if (absent && shell.live) askForParts(one.name);
    for (const control of [sort, scale]) control.hide(!has.length);
    image.hide(!has.length || meta.images.length < 2);
    read.hidden = !has.length;
    hint.hidden = has.length === panes.length;
    const others = Object.keys(meta.kept);
    const elsewhere = others.length && !has.length ? ` Kept are: ${others.slice(0, 6).join(", ")}${others.length > 6 ? ", ..." : ""}.` : "";
    hint.textContent = absent ? (shell.live ? "asking the kernel for the channels …" : `The channels of ${one.name} need a running kernel; this page has those of ${others.join(", ") || "none"}.`) : `${has.length ? "Not all three tensors of this addition were kept" : "The channels of this addition were not kept"}; they are shown after ${keepHint(one.name)}.${elsewhere}`;
    mosaics.hidden = !has.length;
    if (!has.length) return;
    const first = parts[has[0]];
    if (state.image >= first.images) state.image = 0;
    if (state.channel >= first.channels) state.channel = 0;
    image.set(state.image);
    sort.setOptions(Object.entries(ORDER_NAMES).filter(([name]) => name === "index" || parts[name] || (name === "ratio" && parts.branch && parts.shortcut)).map(([value, label]) => ({ value, label })), state.sort);
    scale.set(state.scale);
    const wide = Math.max(Math.floor((shell.main.clientWidth - 16 * (has.length - 1)) / has.length), 220);
    const available = shell.main.clientWidth < 660 ? shell.main.clientWidth : wide;
    const now = order();
    const joint = limitsOf(Math.min(...has.map((part) => parts[part].low)), Math.max(...has.map((part) => parts[part].high)));
    mosaics.replaceChildren(...panes.filter(({ part }) => parts[part]).map(({ part, pane }) => {
      const data = parts[part];
      const limits = state.scale === "together" ? joint : limitsOf(data.low, data.high);
      pane.draw({ data, image: state.image, order: now, scaleOf: () => limits, title: { layer: PART_NAMES[part], size: `${data.channels} channels, ${data.height} × ${data.width}` } },
        { available, tableOf: (signed) => packedTable(signed ? "signed" : "viridis"), alone: false });
      pane.bar.replaceChildren(barNode(limits, "viridis"));
      return pane.node;
    }));
    markChannel();
  }

  function sayChannel() {
    const said = Object.keys(keptParts()).map((part) => `${PART_NAMES[part]} ${shortNumber(rmsOf(part)[state.channel])}`);
    read.textContent = `channel ${state.channel}, rms: ${said.join(", ")}`;
  }

  function hover(found) {
    if (!found) return sayChannel();
    const channel = order()[found.place];
    const said = Object.entries(keptParts()).map(([part, data]) => `${PART_NAMES[part]} ${shortNumber(Number(valueAt(data, state.image, channel, found.row, found.column).toPrecision(3)))}`);
    read.textContent = `channel ${channel}, row ${found.row}, column ${found.column}: ${said.join(", ")}`;
  }

  // ---- data
  function receive(content, view) {
    meta = content;
    meta.depth = [...arrayAt(view, meta.depth)];
    for (const column of Object.keys(meta.columns)) meta.columns[column] = columnAt(view, meta.columns[column]);
    for (const parts of Object.values(meta.kept)) mapsOf(parts, view);
    asking = null;
    shell.drop("parts"); // of what was shown before
    addition.setOptions(meta.additions.map((one) => ({ value: one.name, label: meta.kept[one.name] || (shell.live && meta.asks.includes(one.name)) ? `${one.name} (channels)` : one.name, group: one.stage || undefined })), "");
    image.setOptions(meta.images.map((label, value) => ({ label, value })), 0);
    pickers.forEach((picker, n) => picker.setOptions(CHART_CHOICES.map((one, value) => ({ ...one, label: one.option, value })).filter((one) => one.name === (n ? "gradient" : "sizes") && Object.keys(one.columns).some((column) => meta.columns[column])).map(({ value, label }) => ({ value, label })), n ? 2 : 0));
    heading.replaceChildren(element("h3", { class: "rv-depth-title" }, meta.about), element("p", { class: "rv-faint" }, meta.conditions));
    drawnCharts = "";
    follow(shell.selection());
  }

  function follow(selection) {
    Object.assign(state, selection);
    draw();
  }

  const save = async (chart, kind) => {
    const picture = chart.picture();
    if (kind === "svg") saveBlob(new Blob([svgText(picture)], { type: "image/svg+xml" }), "residuals.svg");
    else saveBlob(await svgToPng(picture), "residuals.png");
  };
  const mosaicPng = async () => {
    const shown = panes.filter(({ part }) => keptParts()[part]);
    if (!shown.length) throw new Error("no channels of this addition were kept");
    const gap = 12;
    const sizes = shown.map(({ pane }) => [pane.canvas.width * pane.layout.zoom, pane.canvas.height * pane.layout.zoom]);
    const canvas = element("canvas", { width: sizes.reduce((sum, [w]) => sum + w + gap, gap), height: Math.max(...sizes.map(([, h]) => h)) + 40 });
    const context = canvas.getContext("2d");
    const style = getComputedStyle(shell.root);
    context.fillStyle = style.backgroundColor;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = style.color;
    context.font = "13px system-ui, sans-serif";
    context.imageSmoothingEnabled = false;
    let left = gap;
    shown.forEach(({ part, pane }, n) => {
      context.fillText(`${meta.additions[number()].name}, ${PART_NAMES[part]}`, left, 18);
      context.drawImage(pane.canvas, left, 28, ...sizes[n]);
      left += sizes[n][0] + gap;
    });
    saveBlob(await new Promise((done) => canvas.toBlob(done, "image/png")), "residual_channels.png");
  };
  const tableRows = () => [
    ["addition", "block", "kind", "depth", "stage", "shape", ...Object.keys(meta.columns)],
    ...meta.additions.map((one, n) => [one.name, one.block, one.kind, meta.depth[n], one.stage, one.shape, ...Object.values(meta.columns).map((values) => (Number.isNaN(values[n]) ? "" : values[n]))]),
  ];
  shell.exports([
    { label: "left chart as PNG", run: () => save(charts[0], "png") },
    { label: "left chart as SVG", run: () => save(charts[0], "svg") },
    { label: "right chart as PNG", run: () => save(charts[1], "png") },
    { label: "right chart as SVG", run: () => save(charts[1], "svg") },
    { label: "channels as PNG", run: mosaicPng },
    { label: "table as CSV", run: async () => saveBlob(new Blob([csvText(tableRows())], { type: "text/csv" }), "residuals.csv") },
  ]);
  shell.onSelection(follow);
  shell.onWidth(() => draw());
  shell.data(receive);
  return shell.close;
}

export default { render: renderAnatomy };
