// Residual anatomy: shortcut, branch and sum of the block under the cursor, and both charts.
import { depthChart } from "./chart.js";
import { shortNumber } from "./chart_scales.js";
import { buttonControl, element, selectControl } from "./controls.js";
import { additionWords, briefNumber, countWords, shareWords, shortcutWords } from "./explore/words.js";
import { barNode, createPane } from "./map_panes.js";
import { arrayAt, descending, limitsOf, packedTable, valueAt } from "./pixels.js";
import { createShell, csvText, saveBlob, svgText, svgToPng } from "./shell.js";

const MOST_ADDED = 24; // channels seen at first
const NARROW = 760; // pixels below which the channels stand under the charts
const [FIELD, LARGE_FIELD] = [198, 258]; // pixels down of the channels of one part
const CAPTION = 88; // pixels across of what stands beside them
const FIRST_ANATOMY = {
  ...{ addition: "", image: 0, channel: null, sort: "branch", scale: "together", show: "strongest" },
  ...{ sizes: 0, gradient: 2 }, // of CHART_CHOICES
};
const PART_SIGNS = { shortcut: "shortcut", branch: "+ branch F(x)", sum: "= sum" };
const PART_MEANINGS = {
  shortcut: "what the block receives, handed on past its layers",
  branch: "what the block's layers make of it, and add",
  sum: "what goes on to the next block, before its activation where one follows",
};
const PART_NAMES = { shortcut: "shortcut", branch: "branch F(x)", sum: "sum" };
const ORDER_NAMES = {
  branch: "most added", index: "number", shortcut: "largest shortcut", sum: "largest sum",
  ratio: "largest branch / shortcut",
};
const KIND_SYMBOLS = { identity: "circle", projection: "diamond-open", padded: "triangle-open" };
const DEPTH_WORDS = "depth (weighted layers from the input)";
const CHART_CHOICES = [
  {
    name: "sizes", title: "Branch over shortcut", option: "branch / shortcut", axis: "ratio (log)", log: true,
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
    name: "gradient", title: "Size of the gradient parts", option: "gradient sizes", axis: "gradient rms (log)", log: true,
    columns: { grad_branch_rms: ["through the branch", 0], grad_shortcut_rms: ["through the shortcut", 1], grad_sum_rms: ["at the sum", 2] },
  },
];
const FACT_NAMES = {
  branch_rms: ["branch, rms", "root mean square over all values: the size of what the branch adds"],
  shortcut_rms: ["shortcut, rms", "the size of what the block receives"],
  sum_rms: ["sum, rms", "the size of what it hands on"],
  grad_cosine: ["cosine of the gradient parts", "1: both parts of the gradient pull the same way; −1: against each other"],
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
  const view = { meta: null, drawnCharts: "", state: { ...FIRST_ANATOMY }, nodes: anatomyNodes() };
  const { nodes } = view;
  view.shell = createShell({ model, el, label: model.get("about") || "residual additions", keys: anatomyKeys(view) });
  const { shell } = view;
  view.controls = anatomyControls(view);
  shell.root.classList.add("rv-residuals");
  shell.add(...anatomyToolbar(view.controls));
  shell.main.append(nodes.said, nodes.mosaics);
  const chart = { height: 146, readout: false, label: "cursor over depth: the block", onCursor: (depth) => blockAtDepth(view, depth) };
  view.charts = nodes.places.map((place) => depthChart(place, chart));
  view.panes = Object.keys(PART_NAMES).map((part) => ({ part, pane: anatomyPane(view) }));
  shell.onClose(() => view.charts.forEach((one) => one.destroy()));
  shell.exports(anatomyExports(view));
  const follow = (selection) => {
    Object.assign(view.state, selection);
    drawAnatomy(view);
  };
  shell.onSelection(follow);
  shell.onWidth((width) => {
    shell.root.classList.toggle("rv-stacked", width < NARROW);
    drawAnatomy(view);
  });
  shell.data((content, buffer) => {
    receiveAnatomy(view, content, buffer);
    follow(shell.selection());
  });
  return shell.close;
}

function anatomyNodes() {
  const places = [element("div", { class: "rv-anatomy-chart" }), element("div", { class: "rv-anatomy-chart" })];
  const nodes = {
    heading: element("div", { class: "rv-depth-heading" }),
    row: element("div", { class: "rv-anatomy-charts" }, ...places),
    facts: element("dl", { class: "rv-anatomy-facts" }),
    title: element("h3", { class: "rv-depth-title" }),
    words: element("p", { class: "rv-anatomy-words", "aria-live": "polite" }),
    hint: element("p", { class: "rv-faint rv-anatomy-hint" }),
    read: element("p", { class: "rv-readout", role: "status" }),
    mosaics: element("div", { class: "rv-mosaics rv-anatomy-maps" }),
  };
  const { heading, row, title, words, facts, hint, read } = nodes;
  return { ...nodes, places, said: element("div", { class: "rv-anatomy-said" }, heading, row, title, words, facts, hint, read) };
}

function anatomyPane(view) {
  return createPane({
    onHover: (_, found) => hoverAnatomy(view, found),
    onChoose: (_, place) => changeAnatomy(view, { channel: anatomyShown(view)[place] }, false),
  });
}

function anatomyKeys(view) {
  const within = () => view.nodes.mosaics;
  const step = (by) => () => stepAnatomy(view, by);
  const row = (by) => () => stepAnatomy(view, by * anatomyRow(view));
  return [
    { keys: ["ArrowLeft", "ArrowRight", "Home", "End"], text: "in a chart: the cursor, from block to block" },
    { keys: ["["], text: "the block before", run: () => blockBy(view, -1) },
    { keys: ["]"], text: "the next block", run: () => blockBy(view, 1) },
    { keys: ["ArrowLeft"], text: "in the channels: the channel before", run: step(-1), within },
    { keys: ["ArrowRight"], text: "in the channels: the next channel", run: step(1), within },
    { keys: ["ArrowUp"], text: "in the channels: a row up", run: row(-1), within },
    { keys: ["ArrowDown"], text: "in the channels: a row down", run: row(1), within },
    { keys: ["a"], text: "all channels, or the strongest", run: () => toggleAnatomy(view) },
  ];
}

function anatomyControls(view) {
  const select = (label, key, more = {}) => selectControl({ label, onChange: (value) => changeAnatomy(view, { [key]: value }), ...more });
  const scales = [{ value: "together", label: "one for all three" }, { value: "each", label: "one each" }];
  return {
    addition: select("addition", "addition"),
    image: select("photograph", "image"),
    sort: select("order of channels", "sort"),
    scale: select("colour scale", "scale", { options: scales, value: "together" }),
    all: buttonControl({ text: "all", onClick: () => toggleAnatomy(view) }),
    pickers: [select("left chart", "sizes"), select("right chart", "gradient")],
  };
}

/** The toolbar's controls; those that are seldom used stand in a fold. */
function anatomyToolbar({ addition, image, sort, scale, all, pickers }) {
  const seldom = [...pickers, scale].map((one) => one.node);
  const fold = element("details", { class: "rv-fold" }, element("summary", {}, "charts, colours"), ...seldom);
  return [addition, image, sort, all, { node: fold }];
}

// ---- state
const anatomyNumber = ({ meta, state }) => Math.max(meta.additions.findIndex((one) => one.name === state.addition), 0);
const anatomyParts = (view) => view.meta.kept[view.meta.additions[anatomyNumber(view)].name] ?? {};

function changeAnatomy(view, changes, redraw = true) {
  Object.assign(view.state, changes);
  view.shell.select(changes);
  if (redraw) drawAnatomy(view);
  else markAnatomy(view);
}

function toggleAnatomy(view) {
  changeAnatomy(view, { show: view.state.show === "all" ? "strongest" : "all" });
}

function blockAtDepth(view, depth) {
  const { meta } = view;
  const nearest = meta.depth.reduce((best, value, n) => (Math.abs(value - depth) < Math.abs(meta.depth[best] - depth) ? n : best), 0);
  changeAnatomy(view, { addition: meta.additions[nearest].name });
}

function blockBy(view, by) {
  const { meta, shell } = view;
  const next = Math.min(Math.max(anatomyNumber(view) + by, 0), meta.additions.length - 1);
  changeAnatomy(view, { addition: meta.additions[next].name });
  shell.say(`${meta.additions[next].name}: ${additionWords(anatomyRowOf(meta, next)) || "no size was measured"}`);
}

function stepAnatomy(view, by) {
  const now = anatomyShown(view);
  if (!now.length) return;
  const next = now[Math.min(Math.max(now.indexOf(view.state.channel) + by, 0), now.length - 1)];
  changeAnatomy(view, { channel: next }, false);
}

const anatomyRow = ({ panes }) => panes.find(({ pane }) => pane.node.contains(document.activeElement))?.pane.layout.columns ?? 1;

function anatomyRms(view, part) {
  const data = anatomyParts(view)[part];
  return data ? data.rms.subarray(view.state.image * data.channels, (view.state.image + 1) * data.channels) : null;
}

/** The shown channels in their order. */
function anatomyShown(view) {
  const first = Object.values(anatomyParts(view))[0];
  if (!first) return [];
  const rms = Object.fromEntries(Object.keys(PART_NAMES).map((part) => [part, anatomyRms(view, part)]));
  const order = anatomyOrder(rms, view.state.sort, first.channels);
  return view.state.show === "all" ? order : order.slice(0, MOST_ADDED);
}

/** The measured numbers of an addition; null where one was not measured. */
function anatomyRowOf(meta, at) {
  const one = (column) => {
    const value = meta.columns[column]?.[at];
    return Number.isFinite(value) ? value : null;
  };
  return { ratio: one("ratio"), cosine: one("cosine"), share: one("grad_branch_share") };
}

// ---- drawing
function drawAnatomy(view) {
  const { meta, nodes, controls } = view;
  if (!meta) return;
  const at = anatomyNumber(view);
  const one = meta.additions[at];
  controls.addition.set(one.name);
  drawAnatomyCharts(view, meta.depth[at]);
  const shape = one.shape.split(" × ").slice(1).join(" × "); // of one image
  nodes.title.textContent = [`${one.name}: ${one.kind} shortcut`, one.stage, shape].filter(Boolean).join(", ");
  const row = anatomyRowOf(meta, at);
  nodes.words.textContent = [additionWords(row), shareWords(row.share), shortcutWords(one.kind)].filter(Boolean).join(" ");
  nodes.facts.replaceChildren(...Object.entries(FACT_NAMES).filter(([column]) => meta.columns[column]).map(([column, [name, why]]) =>
    element("div", { title: why }, element("dt", {}, name), element("dd", {}, briefNumber(meta.columns[column][at])))));
  drawAnatomyMaps(view, one);
}

function drawAnatomyCharts(view, depth) {
  const { state, charts, controls } = view;
  const key = `${state.sizes} ${state.gradient}`;
  if (key !== view.drawnCharts) {
    charts.forEach((chart, n) => chart.show(anatomyChart(view.meta, CHART_CHOICES[n ? state.gradient : state.sizes])));
    controls.pickers.forEach((picker, n) => picker.set(n ? state.gradient : state.sizes));
    view.drawnCharts = key;
  }
  charts.forEach((chart) => chart.setCursor(depth));
}

function anatomyChart(meta, choice) {
  const columns = Object.entries(choice.columns).filter(([column]) => meta.columns[column]);
  const kinds = [...new Set(meta.additions.map((one) => one.kind))];
  const of = (name) => meta.additions.map((one) => one[name]);
  const symbols = of("kind").map((kind) => KIND_SYMBOLS[kind] ?? "square-open");
  const series = columns.map(([column, [name, colour]]) => {
    const values = meta.columns[column];
    return {
      ...{ key: column, name, colour, seeds: 1, x: meta.depth, middle: values, low: values, high: values },
      ...{ layers: of("name"), shapes: of("shape"), stages: of("stage"), notes: of("kind"), symbols },
    };
  });
  return {
    ...{ title: choice.title, conditions: [meta.conditions], axis: choice.axis, xTitle: DEPTH_WORDS, log: choice.log },
    ...{ limits: choice.log ? null : unitLimits(series), reference: choice.reference, stages: meta.stages, series },
    symbols: kinds.map((kind) => ({ name: `${kind} shortcut`, symbol: KIND_SYMBOLS[kind] ?? "square-open" })),
  };
}

function unitLimits(series) {
  const values = series.flatMap((one) => [...one.middle]).filter(Number.isFinite);
  return [Math.min(-1, ...values) - 0.08, Math.max(1, ...values) + 0.08];
}

function drawAnatomyMaps(view, one) {
  const { state, nodes, controls, meta, shell } = view;
  const parts = anatomyParts(view);
  const has = Object.keys(parts);
  for (const control of [controls.sort, controls.scale]) control.hide(!has.length);
  controls.image.hide(!has.length || meta.images.length < 2);
  nodes.read.hidden = nodes.mosaics.hidden = !has.length;
  shell.root.classList.toggle("rv-charts-alone", !has.length);
  nodes.hint.hidden = has.length === Object.keys(PART_NAMES).length;
  nodes.hint.textContent = anatomyHint(view, one, has);
  controls.all.input.hidden = !has.length || (parts[has[0]].channels <= MOST_ADDED && state.show !== "all");
  if (!has.length) return;
  const first = parts[has[0]];
  if (state.image >= first.images) state.image = 0;
  const shown = anatomyShown(view);
  if (!shown.includes(state.channel)) state.channel = shown[0];
  showAnatomyControls(view, parts);
  drawAnatomyPanes(view, parts, shown);
  markAnatomy(view);
}

function anatomyHint({ meta }, one, has) {
  const others = Object.keys(meta.kept);
  const listed = `${others.slice(0, 6).join(", ")}${others.length > 6 ? ", ..." : ""}`;
  const elsewhere = others.length && !has.length ? ` Kept are: ${listed}.` : "";
  const what = has.length ? "Not all three tensors of this addition were kept" : "The channels of this addition were not kept";
  return `${what}; they are shown after ${keepHint(one.name)}.${elsewhere}`;
}

function showAnatomyControls({ state, controls }, parts) {
  const total = Object.values(parts)[0].channels;
  /** @type {(order: [string, string]) => boolean} */
  const there = ([name]) => name === "index" || parts[name] || (name === "ratio" && parts.branch && parts.shortcut);
  controls.image.set(state.image);
  controls.sort.setOptions(Object.entries(ORDER_NAMES).filter(there).map(([value, label]) => ({ value, label })), state.sort);
  controls.scale.set(state.scale);
  controls.all.input.textContent = state.show === "all" ? `strongest ${Math.min(MOST_ADDED, total)}` : `all ${countWords(total)}`;
  controls.all.input.title = state.show === "all" ? "those alone, larger (a)" : "every channel at once, smaller (a)";
}

function drawAnatomyPanes({ state, nodes, panes, shell }, parts, order) {
  const has = Object.keys(parts);
  const stacked = shell.main.clientWidth < NARROW;
  const field = shell.main.clientWidth < 1200 ? FIELD : LARGE_FIELD;
  const available = nodes.mosaics.clientWidth - (stacked ? 0 : CAPTION);
  const joint = limitsOf(Math.min(...has.map((part) => parts[part].low)), Math.max(...has.map((part) => parts[part].high)));
  const tableOf = (signed) => packedTable(signed ? "signed" : "viridis");
  const look = { available, tableOf, alone: false, large: state.show !== "all", field };
  nodes.mosaics.replaceChildren(...panes.filter(({ part }) => parts[part]).map(({ part, pane }) => {
    const data = parts[part];
    const limits = state.scale === "together" ? joint : limitsOf(data.low, data.high);
    const count = data.channels > order.length ? `${order.length} of ${countWords(data.channels)}` : countWords(data.channels);
    const title = { layer: PART_SIGNS[part], size: `${count} channels, ${data.height} × ${data.width}`, note: PART_MEANINGS[part] };
    pane.draw({ data, image: state.image, order, scaleOf: () => limits, title }, look);
    pane.bar.replaceChildren(barNode(limits, "viridis"));
    pane.bar.title = limits.signed ? "blue is below 0, white is 0, red is above" : "from dark to bright";
    return pane.node;
  }));
}

function markAnatomy(view) {
  const parts = anatomyParts(view);
  view.panes.forEach(({ part, pane }) => parts[part] && pane.mark(view.state.channel));
  sayAnatomy(view);
}

function sayAnatomy(view) {
  const { channel } = view.state;
  const said = Object.keys(anatomyParts(view)).map((part) => `${PART_NAMES[part]} ${briefNumber(anatomyRms(view, part)[channel])}`);
  view.nodes.read.textContent = `channel ${channel}, rms: ${said.join(", ")}`;
}

function hoverAnatomy(view, found) {
  if (!found) return sayAnatomy(view);
  const channel = anatomyShown(view)[found.place];
  const valueIn = (data) => Number(valueAt(data, view.state.image, channel, found.row, found.column).toPrecision(3));
  const said = Object.entries(anatomyParts(view)).map(([part, data]) => `${PART_NAMES[part]} ${shortNumber(valueIn(data))}`);
  view.nodes.read.textContent = `channel ${channel}, row ${found.row}, column ${found.column}: ${said.join(", ")}`;
}

// ---- data
function receiveAnatomy(view, content, buffer) {
  const { controls, nodes } = view;
  const meta = (view.meta = content);
  meta.depth = [...arrayAt(buffer, meta.depth)];
  for (const column of Object.keys(meta.columns)) meta.columns[column] = columnAt(buffer, meta.columns[column]);
  for (const parts of Object.values(meta.kept)) anatomyMaps(parts, buffer);
  const named = (one) => ({ value: one.name, label: meta.kept[one.name] ? `${one.name} (channels)` : one.name, group: one.stage || undefined });
  controls.addition.setOptions(meta.additions.map(named), "");
  controls.image.setOptions(meta.images.map((label, value) => ({ label, value })), 0);
  controls.pickers.forEach((picker, n) => picker.setOptions(chartOptions(meta, n ? "gradient" : "sizes"), n ? 2 : 0));
  nodes.heading.replaceChildren(element("h3", { class: "rv-depth-title" }, meta.about), element("p", { class: "rv-faint", title: meta.conditions }, meta.conditions));
  view.drawnCharts = "";
}

function chartOptions(meta, name) {
  const all = CHART_CHOICES.map((one, value) => ({ ...one, label: one.option, value }));
  const there = all.filter((one) => one.name === name && Object.keys(one.columns).some((column) => meta.columns[column]));
  return there.map(({ value, label }) => ({ value, label }));
}

function anatomyMaps(parts, buffer) {
  for (const data of Object.values(parts)) {
    [data.images, data.channels, data.height, data.width] = data.codes.shape;
    for (const name of ["codes", "scale", "offset", "rms"]) data[name] = arrayAt(buffer, data[name]);
  }
}

// ---- export
function anatomyExports(view) {
  const chart = (n, kind) => () => saveAnatomyChart(view.charts[n], kind);
  const table = async () => saveBlob(new Blob([csvText(anatomyTable(view.meta))], { type: "text/csv" }), "residuals.csv");
  return [
    { label: "left chart as PNG", run: chart(0, "png") },
    { label: "left chart as SVG", run: chart(0, "svg") },
    { label: "right chart as PNG", run: chart(1, "png") },
    { label: "right chart as SVG", run: chart(1, "svg") },
    { label: "channels as PNG", run: () => saveAnatomyMaps(view) },
    { label: "table as CSV", run: table },
  ];
}

async function saveAnatomyChart(chart, kind) {
  const picture = chart.picture();
  if (kind === "svg") saveBlob(new Blob([svgText(picture)], { type: "image/svg+xml" }), "residuals.svg");
  else saveBlob(await svgToPng(picture), "residuals.png");
}

async function saveAnatomyMaps(view) {
  const parts = anatomyParts(view);
  const shown = view.panes.filter(({ part }) => parts[part]);
  if (!shown.length) throw new Error("no channels of this addition were kept");
  const gap = 12;
  const sizes = shown.map(({ pane }) => [pane.canvas.width, pane.canvas.height].map((one) => Math.round(one * pane.layout.zoom)));
  const canvas = element("canvas", { width: sizes.reduce((sum, [w]) => sum + w + gap, gap), height: Math.max(...sizes.map(([, h]) => h)) + 40 });
  const context = canvas.getContext("2d");
  const style = getComputedStyle(view.shell.root);
  context.fillStyle = style.backgroundColor;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = style.color;
  context.font = "13px system-ui, sans-serif";
  context.imageSmoothingEnabled = false;
  let left = gap;
  shown.forEach(({ part, pane }, n) => {
    context.fillText(`${view.meta.additions[anatomyNumber(view)].name}, ${PART_NAMES[part]}`, left, 18);
    context.drawImage(pane.canvas, left, 28, ...sizes[n]);
    left += sizes[n][0] + gap;
  });
  saveBlob(await new Promise((done) => canvas.toBlob(done, "image/png")), "residual_channels.png");
}

function anatomyTable({ additions, depth, columns }) {
  const head = ["addition", "block", "kind", "depth", "stage", "shape", ...Object.keys(columns)];
  const cell = (value) => (Number.isNaN(value) ? "" : value);
  const row = (one, n) => [one.name, one.block, one.kind, depth[n], one.stage, one.shape, ...Object.values(columns).map((values) => cell(values[n]))];
  return [head, ...additions.map(row)];
}

export default { render: renderAnatomy };
