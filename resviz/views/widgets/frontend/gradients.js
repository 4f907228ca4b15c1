// Depth profiles: several networks, BatchNorm modes and training steps on one axis.
import { depthChart } from "./chart.js";
import { fitsLog } from "./chart_scales.js";
import { buttonControl, checkControl, element, rangeControl, selectControl } from "./controls.js";
import { createBlockRows, roomBeside } from "./gradient_blocks.js";
import { FIRST_PROFILES, isLog, known, ofMode, profilesOf, sharedBounds, stepAfter, stepLines, theoryLines, valuesOf } from "./gradient_lines.js";
import { createShell, csvText, saveBlob, svgText, svgToPng } from "./shell.js";

const DEPTH_TITLE = "depth (weighted layers from the input)";
const AXIS_NAMES = { auto: "as fits", log: "log", linear: "linear" };

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
  /** What the parts share. data: see profilesOf; pinned: a step; curves: the lines that are drawn. */
  /** @type {any} */
  const view = { data: null, pinned: null, curves: [], chosen: { ...FIRST_PROFILES } };
  const shell = (view.shell = createShell({ model, el, label: model.get("about") || "depth profiles", keys: profileKeys(view) }));
  shell.root.classList.add("rv-gradients");
  view.controls = profileControls(view);
  view.modes = element("span", { class: "rv-modes", role: "group", "aria-label": "BatchNorm mode" });
  const { quantity, axis, step, pinButton, theory, through, factor } = view.controls;
  shell.add(quantity, axis, { node: view.modes }, step, pinButton, theory, through, factor);
  view.heading = element("div", { class: "rv-depth-heading" });
  view.notes = element("div", { class: "rv-depth-notes" });
  view.blocks = createBlockRows();
  const place = element("div", {});
  shell.main.append(view.heading, place, view.blocks.node, view.notes);
  view.chart = depthChart(place, { height: 380, onCursor: (depth) => onCursor(view, depth), onToggle: (hidden) => change(view, { hidden }, false) });
  shell.onClose(view.chart.destroy);
  shell.onWidth(() => requestAnimationFrame(() => drawBlocks(view)));
  shell.exports(profileExports(view));
  shell.onSelection((selection) => follow(view, selection));
  shell.data((meta, buffer) => receive(view, meta, buffer));
  return shell.close;
}

function profileKeys(view) {
  return [
    { keys: ["ArrowLeft", "ArrowRight", "Home", "End"], text: "in the chart: the cursor, from layer to layer" },
    { keys: ["["], text: "the step before", run: () => stepBy(view, -1) },
    { keys: ["]"], text: "the next step", run: () => stepBy(view, 1) },
    { keys: ["p"], text: "pin this step", run: () => pin(view) },
    { keys: ["l"], text: "log or linear axis", run: () => view.data && change(view, { axis: isLog(view.data, view.chosen) ? "linear" : "log" }) },
  ];
}

function profileControls(view) {
  const set = (key) => (value) => change(view, { [key]: value });
  return {
    quantity: selectControl({ label: "quantity", onChange: set("quantity") }),
    axis: selectControl({ label: "axis", onChange: set("axis") }),
    step: rangeControl({
      ...{ label: "step", min: 0, max: 0, value: 0, onChange: (n) => change(view, { step: view.data.meta.steps[n] }) },
      words: (n) => String(view.data?.meta.steps[n] ?? ""),
    }),
    pinButton: buttonControl({ text: "pin step", title: "keep the lines of this step, dotted, to compare with", onClick: () => pin(view) }),
    theory: selectControl({ label: "theory", onChange: set("theory") }),
    through: selectControl({ label: "through", title: "the network whose middle point the line goes through", onChange: set("through") }),
    factor: numberField({ label: "factor per layer", value: 1, title: "above 1: growth towards the input", onChange: set("factor") }),
  };
}

function profileExports(view) {
  const save = (blob, ending) => saveBlob(blob, `depth_${known(view.data, view.chosen).column}.${ending}`);
  const text = (words, type) => new Blob([words], { type });
  return [
    { label: "chart as PNG", run: async () => save(await svgToPng(view.chart.picture()), "png") },
    { label: "chart as SVG", run: async () => save(text(svgText(view.chart.picture()), "image/svg+xml"), "svg") },
    { label: "shown numbers as CSV", run: async () => save(text(csvText(view.chart.rows()), "text/csv"), "csv") },
  ];
}

// ---- what may be done
function change(view, changes, redraw = true) {
  Object.assign(view.chosen, changes);
  view.shell.select(changes);
  if (redraw) draw(view);
}

function onCursor(view, depth) {
  change(view, { depth }, false);
  view.blocks.say(depth);
}

function stepBy(view, by) {
  const { data, chosen, shell } = view;
  if (!data || data.meta.steps.length < 2) return;
  change(view, { step: stepAfter(data, chosen, by) });
  shell.say(`${data.meta.stepWord} ${chosen.step}`);
}

function pin(view) {
  if (!view.data) return;
  const { steps, stepWord } = view.data.meta;
  if (steps.length < 2) return;
  view.pinned = view.pinned === null ? view.chosen.step : null;
  const { input } = view.controls.pinButton;
  input.textContent = view.pinned === null ? `pin ${stepWord}` : `unpin ${stepWord} ${view.pinned}`;
  input.setAttribute("aria-pressed", String(view.pinned !== null));
  draw(view);
}

function toggleMode(view, mode, wanted) {
  const keys = ofMode(view.data, mode);
  const hidden = [...view.chosen.hidden.filter((key) => !keys.includes(key)), ...(wanted ? [] : keys)];
  view.chart.setHidden(hidden);
  change(view, { hidden });
}

// ---- drawing
const drawBlocks = ({ chart, curves, blocks }) => curves.length && blocks.draw(curves, chart.xOf);

function draw(view) {
  const { data, chosen, pinned, chart } = view;
  const { meta } = data;
  const about = known(data, chosen);
  const { now, kept } = stepLines(data, chosen, pinned);
  const [log, laws] = [isLog(data, chosen), theoryLines(data, chosen, now)];
  const moment = meta.steps.length > 1 ? `, ${meta.stepWord} ${chosen.step}` : "";
  const particular = meta.networks.filter((one) => one.note).map((one) => `${one.name}: ${one.note}`);
  const conditions = [about.note, meta.conditions, ...particular].filter(Boolean);
  chart.show({
    ...{ title: about.title + moment, conditions, axis: about.axis + (log ? " (log)" : ""), xTitle: DEPTH_TITLE },
    ...{ log, limits: log ? null : about.limits, extent: valuesOf(data, chosen), roomRight: roomBeside(now) },
    ...{ stages: sharedBounds(now), series: [...now, ...kept], theory: laws },
  });
  view.curves = now;
  drawBlocks(view);
  const title = element("h3", { class: "rv-depth-title" }, `${about.title} against depth${moment}`);
  view.heading.replaceChildren(title, ...conditions.map((text) => element("p", { class: "rv-faint" }, text)));
  view.notes.replaceChildren(...notesOf(view, about, laws).map((text) => element("p", {}, text)));
  settle(view, about);
}

function notesOf({ data, chosen, curves }, about, laws) {
  const wrong = curves.reduce((sum, one) => sum + [...one.middle].filter((v) => !Number.isFinite(v)).length, 0);
  const silent = chosen.theory && !laws.length;
  return [
    silent ? "The chosen theory says nothing about this quantity, or its network is not shown." : "",
    ...laws.map((law) => law.source),
    ...(about.name === "layers.grad_rms" ? data.meta.words : []),
    wrong ? `${wrong} values are missing or not finite, and not drawn.` : "",
  ].filter(Boolean);
}

/** Every control as the selection says. */
function settle(view, about) {
  const { data, chosen, modes } = view;
  const { meta } = data;
  const { quantity, axis, step, theory, through, factor } = view.controls;
  quantity.set(about.name);
  const negative = fitsLog(valuesOf(data, chosen)) ? {} : { disabled: true, reason: "there are negative values" };
  const entries = Object.entries(AXIS_NAMES).map(([value, label]) => ({ value, label, ...(value === "log" ? negative : {}) }));
  axis.setOptions(entries, chosen.axis === "log" && !isLog(data, chosen) ? "auto" : chosen.axis);
  step.set(Math.max(meta.steps.indexOf(chosen.step), 0));
  const laws = meta.theory.filter((one) => !one.quantity || one.quantity === about.name);
  const options = [{ value: "", label: "none" }, ...laws.map((one) => ({ value: one.name, label: one.name })), { value: "factor", label: "a factor per layer" }];
  theory.setOptions(options, options.some((one) => one.value === chosen.theory) ? chosen.theory : "");
  through.set(chosen.through);
  through.hide(!chosen.theory || meta.networks.length < 2);
  factor.hide(chosen.theory !== "factor");
  if (document.activeElement !== factor.input) factor.set(chosen.factor);
  for (const box of modes.querySelectorAll("input")) box.checked = ofMode(data, box.dataset.mode).some((key) => !chosen.hidden.includes(key));
}

// ---- data
function receive(view, content, buffer) {
  const data = (view.data = profilesOf(content, buffer));
  const { quantity, step, pinButton, through } = view.controls;
  quantity.setOptions(content.quantities.map((one) => ({ value: one.name, label: `${one.title} (${one.column})`, group: one.group })), "");
  step.setRange(0, content.steps.length - 1);
  step.label.textContent = content.stepWord;
  pinButton.input.textContent = `pin ${content.stepWord}`;
  step.hide(content.steps.length < 2);
  pinButton.node.hidden = content.steps.length < 2;
  through.setOptions(content.networks.map((one) => one.name), "");
  const there = ["batch statistics", "running statistics"].filter((mode) => ofMode(data, mode).length);
  view.modes.replaceChildren(...there.map((mode) => modeBox(view, mode)));
  follow(view, view.shell.selection());
}

function modeBox(view, mode) {
  const box = checkControl({ label: mode, value: true, onChange: (wanted) => toggleMode(view, mode, wanted) });
  box.input.dataset.mode = mode;
  return box.node;
}

function follow(view, selection) {
  const { chosen, chart } = view;
  Object.assign(chosen, selection);
  if (!view.data) return;
  chart.setHidden(chosen.hidden ?? []);
  chart.setCursor(chosen.depth);
  draw(view);
  view.blocks.say(chosen.depth);
}

export default { render: renderProfiles };
