// Depth profiles: several networks, BatchNorm modes and training steps on one axis.
import { depthChart } from "./chart.js";
import { endsOf, fitsLog, shortNumber, throughMiddle } from "./chart_scales.js";
import { buttonControl, checkControl, element, rangeControl, selectControl } from "./controls.js";
import { createBlockRows, roomBeside } from "./gradient_blocks.js";
import { arrayAt } from "./pixels.js";
import { createShell, csvText, saveBlob, svgText, svgToPng } from "./shell.js";

const DEPTH_TITLE = "depth (weighted layers from the input)";
const AXIS_NAMES = { auto: "as fits", log: "log", linear: "linear" };

/** The float64 numbers of a payload reference that holds their halves as int32. */
export function doublesAt(view, reference) {
  return new Float64Array(arrayAt(view, reference).slice().buffer);
}

/** A series of the data for the chart. */
function chartSeries(meta, numbers, one) {
  const place = meta.places[one.places];
  const count = place.x.length;
  const part = (n) => numbers.subarray(one.at + n * count, one.at + (n + 1) * count);
  const middle = part(0);
  const several = one.seeds > 1;
  return {
    key: one.name, name: one.name, network: meta.networks[one.network].name, colour: one.network,
    dash: one.dash, seeds: one.seeds, step: one.step, middle, low: several ? part(1) : middle,
    high: several ? part(2) : middle, ...place,
  };
}

/** Of each line the last one measured up to `step`, or else its first. */
export function linesAtStep(all, step) {
  const away = (one) => (one.step <= step ? step - one.step : 1e15 + one.step);
  const found = new Map();
  for (const one of all) {
    const before = found.get(one.key);
    if (!before || away(one) < away(before)) found.set(one.key, one);
  }
  return [...found.values()];
}

function numberField({ label, value, onChange, title }) {
  const input = element("input", { type: "number", class: "rv-number", step: "any", min: "0", value, title });
  const node = element("label", { class: "rv-control rv-label" }, `${label} `, input);
  input.addEventListener("input", () => {
    const typed = Number(input.value);
    if (input.value && typed > 0) onChange(typed);
  });
  return { node, input, set: (wanted) => { input.value = wanted; }, hide: (hidden) => { node.hidden = hidden; } };
}

export function renderProfiles({ model, el }) {
  let [meta, pinned] = [null, null];
  let lines = []; // every series of the data, of all quantities
  const ends = new Map(); // quantity -> values that its axis has to hold, over all steps
  const chosen = { quantity: "", axis: "auto", step: 0, hidden: [], theory: "", through: "", factor: 1, depth: null };
  const shell = createShell({
    model, el, label: model.get("about") || "depth profiles",
    keys: [
      { keys: ["ArrowLeft", "ArrowRight", "Home", "End"], text: "in the chart: the cursor, from layer to layer" },
      { keys: ["["], text: "the step before", run: () => stepBy(-1) },
      { keys: ["]"], text: "the next step", run: () => stepBy(1) },
      { keys: ["p"], text: "pin this step", run: () => pin() },
      { keys: ["l"], text: "log or linear axis", run: () => change({ axis: isLog() ? "linear" : "log" }) },
    ],
  });
  const quantity = selectControl({ label: "quantity", onChange: (value) => change({ quantity: value }) });
  const axis = selectControl({ label: "axis", onChange: (value) => change({ axis: value }) });
  const step = rangeControl({ label: "step", min: 0, max: 0, value: 0, onChange: (n) => change({ step: meta.steps[n] }), words: (n) => String(meta?.steps[n] ?? "") });
  const pinButton = buttonControl({ text: "pin step", title: "keep the lines of this step, dotted, to compare with", onClick: () => pin() });
  const theory = selectControl({ label: "theory", onChange: (value) => change({ theory: value }) });
  const through = selectControl({ label: "through", title: "the network whose middle point the line goes through", onChange: (value) => change({ through: value }) });
  const factor = numberField({ label: "factor per layer", value: 1, title: "above 1: growth towards the input", onChange: (value) => change({ factor: value }) });
  const modes = element("span", { class: "rv-modes", role: "group", "aria-label": "BatchNorm mode" });
  shell.add(quantity, axis, { node: modes }, step, pinButton, theory, through, factor);

  const heading = element("div", { class: "rv-depth-heading" });
  const place = element("div", {});
  const notes = element("div", { class: "rv-depth-notes" });
  const blocks = createBlockRows();
  shell.root.classList.add("rv-gradients");
  shell.main.append(heading, place, blocks.node, notes);
  const chart = depthChart(place, {
    height: 380,
    onCursor: (depth) => {
      change({ depth }, false);
      blocks.say(depth);
    },
    onToggle: (hidden) => change({ hidden }, false),
  });
  shell.onClose(chart.destroy);
  let curves = []; // that are shown
  const drawBlocks = () => chart.xOf && curves.length && blocks.draw(curves, chart.xOf);
  shell.onWidth(() => requestAnimationFrame(drawBlocks));

  const known = () => meta.quantities.find((one) => one.name === chosen.quantity) ?? meta.quantities[0];
  const ofQuantity = () => lines.filter((one) => one.quantity === known().name);
  const allValues = () => {
    const name = known().name;
    if (!ends.has(name)) ends.set(name, endsOf(ofQuantity().flatMap((one) => [one.low, one.high])));
    return ends.get(name);
  };
  const isLog = () => (chosen.axis === "auto" ? known().log : chosen.axis === "log") && fitsLog(allValues());

  function change(changes, redraw = true) {
    Object.assign(chosen, changes);
    shell.select(changes);
    if (redraw) draw();
  }

  function stepBy(by) {
    if (meta.steps.length < 2) return;
    const place = Math.min(Math.max(meta.steps.indexOf(chosen.step) + by, 0), meta.steps.length - 1);
    change({ step: meta.steps[place] });
    shell.say(`${meta.stepWord} ${chosen.step}`);
  }

  function pin() {
    if (meta.steps.length < 2) return;
    pinned = pinned === null ? chosen.step : null;
    pinButton.input.textContent = pinned === null ? `pin ${meta.stepWord}` : `unpin ${meta.stepWord} ${pinned}`;
    pinButton.input.setAttribute("aria-pressed", String(pinned !== null));
    draw();
  }

  function theoryLines(shown) {
    if (!chosen.theory) return [];
    const series = shown.find((one) => one.network === chosen.through);
    if (chosen.theory === "factor") {
      if (!series) return [];
      const law = (layers) => chosen.factor ** layers;
      return [{ name: `× ${shortNumber(chosen.factor)} per layer towards the input, through ${series.name}`, source: "", ...throughMiddle(series, law) }];
    }
    const law = meta.theory.find((one) => one.name === chosen.theory);
    const line = law?.lines[chosen.through];
    if (!line || (law.quantity && law.quantity !== known().name)) return [];
    if (!law.through) return [{ name: law.name, source: "", x: line.x, y: line.y }];
    if (!series) return [];
    const value = (away) => line.y[Math.round(away - line.from)] ?? NaN;
    return [{ name: `${law.name}, through ${series.name}`, source: law.source, ...throughMiddle(series, value) }];
  }

  function draw() {
    const about = known();
    const all = ofQuantity();
    const many = meta.steps.length > 1;
    const now = linesAtStep(all, chosen.step).map((one) => (
      many && one.step !== chosen.step && all.some((other) => other.key === one.key && other.step !== one.step)
        ? { ...one, name: `${one.name}, ${meta.stepWord} ${one.step}` } : one));
    const kept = pinned === null || pinned === chosen.step ? []
      : linesAtStep(all, pinned).map((one) => ({ ...one, seeds: 1, dash: "dot", key: `${one.key} (pinned)`, name: `${one.name}, ${meta.stepWord} ${one.step}` }));
    const values = allValues();
    const log = isLog();
    const shown = [...now, ...kept];
    const laws = theoryLines(now);
    const deepest = [...now].sort((a, b) => Math.max(...b.x) - Math.max(...a.x))[0];
    const moment = many ? `, ${meta.stepWord} ${chosen.step}` : "";
    const particular = meta.networks.filter((one) => one.note).map((one) => `${one.name}: ${one.note}`);
    const conditions = [about.note, meta.conditions, ...particular].filter(Boolean);
    chart.show({
      title: about.title + moment, conditions, axis: about.axis + (log ? " (log)" : ""), xTitle: DEPTH_TITLE,
      log, limits: log ? null : about.limits, extent: values, roomRight: roomBeside(now), stages: deepest?.bounds ?? [], series: shown, theory: laws,
    });
    curves = now;
    drawBlocks();
    heading.replaceChildren(element("h3", { class: "rv-depth-title" }, `${about.title} against depth${moment}`),
      ...conditions.map((text) => element("p", { class: "rv-faint" }, text)));
    const wrong = now.reduce((sum, one) => sum + [...one.middle].filter((v) => !Number.isFinite(v)).length, 0);
    const said = [...laws.map((law) => law.source), ...(about.name === "layers.grad_rms" ? meta.words : []), wrong ? `${wrong} values are missing or not finite, and not drawn.` : ""];
    if (chosen.theory && !laws.length) said.unshift("The chosen theory says nothing about this quantity, or its network is not shown.");
    notes.replaceChildren(...said.filter(Boolean).map((text) => element("p", {}, text)));
    settle(about, values, log);
  }

  /** Every control as the selection says. */
  function settle(about, values, log) {
    quantity.set(about.name);
    const negative = fitsLog(values) ? {} : { disabled: true, reason: "there are negative values" };
    const entries = Object.entries(AXIS_NAMES).map(([value, label]) => ({ value, label, ...(value === "log" ? negative : {}) }));
    axis.setOptions(entries, chosen.axis === "log" && !log ? "auto" : chosen.axis);
    step.set(Math.max(meta.steps.indexOf(chosen.step), 0));
    const laws = meta.theory.filter((one) => !one.quantity || one.quantity === about.name);
    const options = [{ value: "", label: "none" }, ...laws.map((one) => ({ value: one.name, label: one.name })), { value: "factor", label: "a factor per layer" }];
    theory.setOptions(options, options.some((one) => one.value === chosen.theory) ? chosen.theory : "");
    through.set(chosen.through);
    through.hide(!chosen.theory || meta.networks.length < 2);
    factor.hide(chosen.theory !== "factor");
    if (document.activeElement !== factor.input) factor.set(chosen.factor);
    for (const box of modes.querySelectorAll("input")) box.checked = modeShown(box.dataset.mode);
  }

  const ofMode = (mode) => [...new Set(lines.filter((one) => one.key.endsWith(`, ${mode}`)).map((one) => one.key))];
  const modeShown = (mode) => ofMode(mode).some((key) => !chosen.hidden.includes(key));

  function toggleMode(mode, wanted) {
    const keys = ofMode(mode);
    const hidden = [...chosen.hidden.filter((key) => !keys.includes(key)), ...(wanted ? [] : keys)];
    chart.setHidden(hidden);
    change({ hidden });
  }

  function receive(content, view) {
    meta = content;
    ends.clear();
    for (const one of meta.places) one.x = arrayAt(view, one.x);
    const numbers = doublesAt(view, meta.numbers);
    lines = meta.series.map((one) => ({ ...chartSeries(meta, numbers, one), quantity: one.quantity }));
    quantity.setOptions(meta.quantities.map((one) => ({ value: one.name, label: `${one.title} (${one.column})`, group: one.group })), "");
    step.setRange(0, meta.steps.length - 1);
    step.label.textContent = meta.stepWord;
    pinButton.input.textContent = `pin ${meta.stepWord}`;
    step.hide(meta.steps.length < 2);
    pinButton.node.hidden = meta.steps.length < 2;
    through.setOptions(meta.networks.map((one) => one.name), "");
    modes.replaceChildren(...["batch statistics", "running statistics"].filter((mode) => ofMode(mode).length).map((mode) => {
      const box = checkControl({ label: mode, value: true, onChange: (wanted) => toggleMode(mode, wanted) });
      box.input.dataset.mode = mode;
      return box.node;
    }));
    follow(shell.selection());
  }

  function follow(selection) {
    Object.assign(chosen, selection);
    if (!meta) return;
    chart.setHidden(chosen.hidden ?? []);
    chart.setCursor(chosen.depth);
    draw();
    blocks.say(chosen.depth);
  }

  const fileName = () => `depth_${known().column}`;
  shell.exports([
    { label: "chart as PNG", run: async () => saveBlob(await svgToPng(chart.picture()), `${fileName()}.png`) },
    { label: "chart as SVG", run: async () => saveBlob(new Blob([svgText(chart.picture())], { type: "image/svg+xml" }), `${fileName()}.svg`) },
    { label: "shown numbers as CSV", run: async () => saveBlob(new Blob([csvText(chart.rows())], { type: "text/csv" }), `${fileName()}.csv`) },
  ]);
  shell.onSelection(follow);
  shell.data(receive);
  return shell.close;
}

export default { render: renderProfiles };
