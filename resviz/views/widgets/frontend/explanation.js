// Explanation: why this class? Photograph, map over it, the classes; any class, one minus another.

import { buttonControl, checkControl, element, rangeControl, searchControl, selectControl } from "./controls.js";
import { barNode } from "./map_panes.js";
import { colourTable, numberWords, overlayPart, overlayPixels, rankOf, resizedBilinear } from "./pixels.js";
import { createShell, csvText, saveBlob, svgText, svgToPng } from "./shell.js";
import { reasonsPicture } from "./explanation_export.js";
import { briefChance, briefNumber } from "./explore/words.js";
import { WHOLE, createReasonPane, opaquePixels, paintCanvas } from "./explanation_pane.js";
import {
  checkOf,
  classOdds,
  enlargedPixels,
  explanationOf,
  hasOdds,
  headMap,
  headPlace,
  mapScale,
  mapSource,
  offeredOf,
  positivePart,
  recordedMap,
  targetName,
} from "./explanation_maps.js";

const TOP_CLASSES = 8;
const REASON_LEAST = 224; // pixels; smaller photographs are enlarged by a whole number
const REASON_UNDER = [
  { value: "seen", label: "as the network saw it" },
  { value: "file", label: "the whole file" },
];
const REASON_PARTS = [
  { value: "positive", label: "evidence for it" },
  { value: "signed", label: "for and against" },
];

export function renderReasons({ model, el }) {
  const state = {
    ...{ image: 0, class: null, contrast: null, recorded: null, method: "", layer: "" },
    ...{ part: "positive", opacity: 0.6, colours: "viridis", under: "seen" },
  };
  let data = null;
  let [shown, cursor, hovered, kept, measuring] = [null, null, null, null, false];
  const answers = new Map(); // maps the kernel made, by what was asked
  const failures = new Map();
  const photographs = new Map();

  const heading = element("h3", { class: "rv-heading" });
  const facts = element("p", { class: "rv-faint rv-reason-facts" });
  const photo = element("canvas", { class: "rv-reason-picture", role: "img" });
  const photoCaption = element("figcaption");
  const photoNode = element("figure", { class: "rv-reason" }, photoCaption, photo);
  const pane = createReasonPane({ onCell });
  const classes = element("aside", { class: "rv-classes", "aria-label": "classes" });

  const inMap = () => pane.frame;
  const shell = createShell({
    model,
    el,
    label: "Explanation",
    keys: [
      { keys: ["ArrowRight"], text: "next position of the map", within: inMap, run: () => moveCursor(0, 1) },
      { keys: ["ArrowLeft"], text: "position before", within: inMap, run: () => moveCursor(0, -1) },
      { keys: ["ArrowDown"], text: "position below", within: inMap, run: () => moveCursor(1, 0) },
      { keys: ["ArrowUp"], text: "position above", within: inMap, run: () => moveCursor(-1, 0) },
      { keys: ["Home"], text: "largest value of the map", within: inMap, run: () => toLargest() },
      { keys: ["]", "PageDown"], text: "next layer", run: () => stepLayer(1) },
      { keys: ["[", "PageUp"], text: "layer before", run: () => stepLayer(-1) },
      { keys: ["m"], text: "next method", run: () => stepMethod(1) },
      { keys: ["M"], text: "method before", run: () => stepMethod(-1) },
      { keys: ["s"], text: "evidence for it, or for and against", run: () => togglePart() },
      { keys: ["x"], text: "swap A and B", run: () => swap() },
      { keys: ["0"], text: "A alone, nothing subtracted", run: () => setContrast(null) },
      {
        keys: Array.from({ length: TOP_CLASSES }, (_, n) => String(n + 1)),
        ...{ text: "class of that rank", run: (event) => chooseRank(Number(event.key) - 1) },
      },
      { keys: [".", ">"], text: "next photograph", run: () => setImage(state.image + 1) },
      { keys: [",", "<"], text: "photograph before", run: () => setImage(state.image - 1) },
    ],
  });
  const row = element("div", { class: "rv-reasons" }, photoNode, pane.node, classes);
  shell.main.append(heading, facts, row);

  const controls = {
    image: selectControl({ label: "Photograph", onChange: (image) => setImage(image) }),
    class: searchControl({ label: "Class A", names: [], onChoose: (index) => setClass(index) }),
    contrast: searchControl({
      ...{ label: "minus class B", names: [], placeholder: "nothing" },
      onChoose: (index) => setContrast(index === 0 ? null : index - 1),
    }),
    method: selectControl({ label: "Method", onChange: (method) => setMethod(method), title: "m: next" }),
    layer: selectControl({ label: "Layer", onChange: (layer) => change({ layer }), title: "[ and ] step" }),
    under: selectControl({
      ...{ label: "Under the map", options: REASON_UNDER, onChange: (under) => change({ under }) },
      title: "the whole file: in grey where it was cropped away",
    }),
    part: selectControl({ label: "Show", options: REASON_PARTS, onChange: (part) => change({ part }) }),
    colours: selectControl({
      label: "Colours",
      options: ["viridis", "cividis"],
      onChange: (colours) => change({ colours }),
      title: "of evidence for a class; signed maps are blue and red around a white 0",
    }),
    opacity: rangeControl({
      ...{ label: "Opacity", min: 0, max: 1, step: 0.05, value: 0.6 },
      onChange: (opacity) => change({ opacity }),
      words: (value) => `${Math.round(value * 100)} %`,
    }),
    keep: checkControl({
      value: false,
      label: "keep the scale",
      onChange: (wanted) => {
        kept = wanted && shown?.values ? shown.scale : null;
        update();
      },
      title: "the colours mean the same values while classes and layers change",
    }),
  };
  shell.add(...Object.values(controls));

  // ---- state
  function take(selection) {
    const { methods, layers } = offeredOf(data);
    const whole = (value, count) => Number.isInteger(value) && value >= 0 && value < count;
    const known = (list, value, before) => (list.includes(value) ? value : before);
    if (whole(selection.image, data.images)) state.image = selection.image;
    const outputs = data.classes.length;
    state.recorded = whole(selection.recorded, data.targets[state.image].length) ? selection.recorded : null;
    state.class = whole(selection.class, outputs) ? selection.class : null;
    state.contrast = whole(selection.contrast, outputs) ? selection.contrast : null;
    if (state.class === null && state.recorded === null) state.recorded = 0;
    if (state.recorded !== null) state.contrast = null;
    state.method = known(methods, selection.method, state.method || methods[0]);
    state.layer = known(layers, selection.layer, state.layer || layers[0]);
    state.part = known(["positive", "signed"], selection.part, state.part);
    state.colours = known(["viridis", "cividis"], selection.colours, state.colours);
    state.under = known(["seen", "file"], selection.under, state.under);
    const opacity = Number(selection.opacity);
    if (opacity >= 0 && opacity <= 1) state.opacity = opacity;
    update();
  }
  function change(changes) {
    Object.assign(state, changes);
    update();
    shell.select({ ...state });
  }
  /** Change the target; where the map of it is not at hand, go where every class is. */
  function aim(changes) {
    const wanted = { ...state, recorded: null, ...changes };
    const place = headPlace(data);
    const moves = mapSource(data, wanted, shell.live).from === null && place;
    change({ ...wanted, ...(moves ? place : {}) });
    if (moves) shell.say(`${place.method} at ${place.layer}: where this page has every class`);
  }
  function setClass(index) {
    aim({ class: index, contrast: state.contrast === index ? null : state.contrast });
  }
  function setContrast(index) {
    if (state.class === null) return;
    aim({ contrast: index === state.class ? null : index });
  }
  function swap() {
    if (state.contrast !== null) aim({ class: state.contrast, contrast: state.class });
  }
  function setImage(image) {
    if (!(image >= 0 && image < data.images)) return;
    const first = data.targets[state.image][0];
    const usual = state.contrast === null && state.class !== null && state.class === first;
    const next = data.targets[image][0];
    const changes = usual && next >= 0 ? { class: next } : {};
    const last = data.targets[image].length - 1;
    if (state.recorded !== null) changes.recorded = Math.min(state.recorded, last);
    change({ image, ...changes });
  }
  function setMethod(method) {
    const { layers } = offeredOf(data);
    const there = (layer) => mapSource(data, { ...state, method, layer }, shell.live).from !== null;
    const layer = there(state.layer) ? state.layer : layers.find(there);
    change({ method, layer: layer ?? state.layer });
  }
  const usable = (options) => options.filter((one) => !one.disabled).map((one) => one.value);
  function stepped(list, value, by) {
    const at = list.indexOf(value) + by;
    return at >= 0 && at < list.length ? list[at] : value;
  }
  function stepLayer(by) {
    change({ layer: stepped(usable(layerOptions()), state.layer, by) });
    shell.say(`layer ${state.layer}`);
  }
  function stepMethod(by) {
    setMethod(stepped(usable(methodOptions()), state.method, by));
    shell.say(`method ${state.method}`);
  }
  function togglePart() {
    change({ part: state.part === "signed" ? "positive" : "signed" });
    shell.say(REASON_PARTS.find((one) => one.value === state.part).label);
  }
  function chooseRank(place) {
    const best = ranked()[place];
    if (best !== undefined) setClass(best);
  }

  // ---- the map
  const askKey = () =>
    JSON.stringify([state.image, state.class, state.contrast, state.method, state.layer, state.part]);
  function terms() {
    const all = [[state.class, 1]];
    return state.contrast === null ? all : [...all, [state.contrast, -1]];
  }
  /** { values, height, width, signed, note, from }, or { reason }. */
  function mapNow() {
    const source = mapSource(data, state, shell.live);
    let found = null;
    if (source.from === "record") {
      const { recorded, position } = source;
      const values = recordedMap(recorded, state.image, position);
      const step = recorded.scale[state.image * recorded.targets + position];
      found = { values, height: recorded.height, width: recorded.width, half: step / 2 };
    } else if (source.from === "head") {
      const { head } = data;
      const values = headMap(head, state.image, terms(), source.factor);
      const most = values.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      found = { values, height: head.height, width: head.width, half: head.error * most };
    } else if (source.from === "kernel") {
      if (!answers.has(askKey())) return { reason: failures.get(askKey()) ?? "asking the kernel …", waiting: true };
      found = { ...answers.get(askKey()), half: 0 };
    } else return { reason: source.reason };
    const signed = state.part === "signed" && !source.note;
    const values = signed ? found.values : positivePart(found.values);
    return { ...found, values, signed, note: source.note, from: source.from };
  }
  async function askForMap() {
    const key = askKey();
    if (failures.has(key)) return;
    const { opacity, colours, recorded, under, ...wanted } = state;
    const answer = await shell.ask("map", wanted);
    if (answer) {
      const { shape } = answer.content;
      const view = answer.buffers[0];
      const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + shape[0] * shape[1] * 4);
      answers.set(key, { values: new Float32Array(bytes), height: shape[0], width: shape[1] });
    } else if (key === askKey()) failures.set(key, "the kernel gave no map; its words stand below");
    if (key !== askKey()) return;
    update({ ask: false });
    failures.delete(key);
  }

  // ---- controls follow the state
  function methodOptions() {
    const { methods, layers } = offeredOf(data);
    return methods.map((method) => {
      const sources = layers.map((layer) => mapSource(data, { ...state, method, layer }, shell.live));
      const there = sources.some((one) => one.from !== null);
      const kernel = sources.find((one) => one.reason?.startsWith("needs"));
      return { value: method, label: method, disabled: !there, reason: there ? null : optionReason(kernel) };
    });
  }
  const optionReason = (kernel) => (kernel ? "needs a kernel" : "not for this target");
  function layerOptions() {
    return offeredOf(data).layers.map((layer) => {
      const source = mapSource(data, { ...state, layer }, shell.live);
      const there = source.from !== null;
      const reason = there ? null : optionReason(source.reason.startsWith("needs") ? source : null);
      return { value: layer, label: layer, disabled: !there, reason };
    });
  }
  function showControls() {
    controls.image.set(state.image);
    controls.class.set(state.class);
    controls.contrast.set(state.contrast === null ? null : state.contrast + 1);
    controls.method.setOptions(methodOptions(), state.method);
    controls.method.input.title = pane.caption.title = data.methods?.[state.method] ?? "";
    controls.layer.setOptions(layerOptions(), state.layer);
    controls.under.hide(!originalOf());
    for (const name of ["part", "colours", "opacity", "under"]) controls[name].set(state[name]);
  }

  // ---- drawing
  const originalOf = () => (data.over[state.layer] ? null : data.originals[state.image]);
  /** The photograph under the map, and where the map is in it. */
  function photograph() {
    const { image } = state;
    const original = state.under === "file" ? originalOf() : null;
    const over = data.over[state.layer] ?? data;
    const [height, width] = original?.shown ?? over.size;
    const key = `${image} ${original ? "in its file" : data.over[state.layer] ? state.layer : ""}`;
    const times = Math.max(1, Math.ceil(REASON_LEAST / Math.max(height, width, 1)));
    if (!photographs.has(key)) {
      const length = height * width * 3;
      const pixels = original?.pixels ?? (over.pictures && over.pictures.subarray(image * length, (image + 1) * length));
      photographs.set(key, pixels && enlargedPixels(pixels, height, width, times));
    }
    const frame = original?.frame ?? WHOLE;
    return { pixels: photographs.get(key), height: height * times, width: width * times, frame };
  }
  function update({ ask = true } = {}) {
    showControls();
    const found = mapNow();
    shown = { ...found };
    if (found.values) shown.scale = scaleFor(found);
    if (found.waiting && ask) askForMap();
    const name = targetName(data, state);
    heading.textContent = `Explanation of ${name.replace(" - ", " − ")}`;
    const words = [`${state.method} at ${state.layer}`, sourceWords(), scoreWords()];
    facts.textContent = [...words, data.network, data.conditions]
      .filter(Boolean)
      .join(" · ");
    drawPictures(name);
    drawClasses();
    drawChecks();
  }
  function scaleFor(found) {
    if (kept && kept.signed === found.signed) return kept;
    if (controls.keep.get()) kept = mapScale(found.values, found.signed);
    return kept ?? mapScale(found.values, found.signed);
  }
  function sourceWords() {
    if (shown.from === "head") {
      const { error } = data.head;
      const off = error ? ` (at most ${Number((error * 100).toPrecision(1))} % of the largest value off)` : "";
      return `made here from the head's ${[...new Set(data.head.kinds)].join(" and ")} numbers${off}`;
    }
    return { record: "from the record", kernel: "from the kernel" }[shown.from] ?? "";
  }
  function scoreWords() {
    if (state.class === null || state.recorded !== null || !data.logits) return "";
    const logit = (index) => data.logits[state.image * data.classes.length + index];
    if (state.contrast === null) {
      const value = saidWords(odds()[state.class]);
      return hasOdds(data) ? `logit ${briefNumber(logit(state.class))}, probability ${value}${untrainedWords()}` : `value ${value}`;
    }
    return `difference of logits ${numberWords(logit(state.class) - logit(state.contrast))}`;
  }
  function saidWords(value) {
    return hasOdds(data) ? briefChance(value) : `${briefNumber(value)} ${data.said.units}`.trim();
  }
  const untrainedWords = () => (data.untrained ? " (untrained weights: it means nothing yet)" : "");
  function drawPictures(name) {
    const { pixels, height, width, frame } = photograph();
    photoNode.hidden = !pixels;
    const label = controls.image.get() === undefined ? "" : imageLabel(state.image);
    if (pixels) {
      paintCanvas(photo, opaquePixels(pixels), height, width);
      photo.setAttribute("aria-label", `photograph, ${label}`);
      photoCaption.textContent = label;
    }
    const alone = pixels ? "" : " (this network has no pictures)";
    pane.caption.textContent = `${state.method} at ${state.layer}${alone}`;
    const { values, scale } = shown;
    if (!values) {
      const blank = pixels ?? new Uint8Array(height * width * 3).fill(128);
      paintCanvas(pane.canvas, opaquePixels(blank), height, width);
      pane.canvas.setAttribute("aria-label", `no map: ${shown.reason}`);
      pane.note.textContent = `No map of ${name} here: ${shown.reason}`;
      pane.bar.replaceChildren();
      pane.setShape(null);
      return drawReadOut();
    }
    const colours = colourTable(scale.signed ? "signed" : state.colours);
    /** @type {[number, number][]} */
    const [small, large] = [[shown.height, shown.width], [height, width]];
    const over = frame === WHOLE
        ? overlayPixels(resizedBilinear(values, ...small, ...large), scale, colours, pixels, state.opacity)
        : overlayPart(values, small, scale, colours, pixels, state.opacity, large, frame);
    paintCanvas(pane.canvas, over, height, width);
    pane.canvas.setAttribute("aria-label", altText(name));
    const none = shown.signed && values.every((value) => value >= 0) ? "no value is below 0" : "";
    pane.note.textContent = [shown.note, blankWords() || none].filter(Boolean).join("; ");
    pane.bar.replaceChildren(barNode(scale, state.colours));
    pane.setShape({ height: shown.height, width: shown.width }, frame);
    if (cursor) cursor = inside(cursor);
    drawReadOut();
  }
  function inside({ row: r, column }) {
    const clamp = (value, count) => Math.max(0, Math.min(count - 1, value));
    return { row: clamp(r, shown.height), column: clamp(column, shown.width) };
  }
  function blankWords() {
    if (shown.values.some((value) => value !== 0)) return "";
    const said = data.maps.get(JSON.stringify([state.method, state.layer]))?.blank ?? [];
    const start = `${state.method} at ${state.layer}, image ${state.image}, target `;
    const known = said.find((note) => note.startsWith(start) && note.includes(targetName(data, state)));
    return known ?? "the map is exactly 0 everywhere";
  }
  function largest() {
    let best = 0;
    shown.values.forEach((value, place) => {
      if (value > shown.values[best] || Number.isNaN(shown.values[best])) best = place;
    });
    return { row: Math.floor(best / shown.width), column: best % shown.width };
  }
  function altText(name) {
    const { row: r, column } = largest();
    const most = numberWords(shown.values[r * shown.width + column]);
    const where = `largest value ${most} in row ${r}, column ${column} of ${shown.height} × ${shown.width}`;
    return `${state.method} at ${state.layer} for ${name}: ${where}`;
  }

  // ---- read-out
  function onCell(place, how) {
    if (how === "lock") cursor = place;
    else hovered = place;
    drawReadOut();
  }
  function moveCursor(down, right) {
    if (!shown?.values) return;
    cursor = cursor ? inside({ row: cursor.row + down, column: cursor.column + right }) : { row: 0, column: 0 };
    hovered = null;
    drawReadOut();
  }
  function toLargest() {
    if (!shown?.values) return;
    [cursor, hovered] = [largest(), null];
    drawReadOut();
  }
  function drawReadOut() {
    const place = hovered ?? cursor;
    pane.mark(shown.values ? place : null);
    pane.bar.querySelector(".rv-reason-mark")?.remove();
    if (!place || !shown.values) {
      pane.read.textContent = shown.values ? readHint() : "";
      return;
    }
    const { row: r, column } = inside(place);
    const value = shown.values[r * shown.width + column];
    const { low, high } = shown.scale;
    const half = shown.half && value ? ` ± ${Number(shown.half.toPrecision(1))}` : "";
    const where = `row ${r}, column ${column} of ${shown.height} × ${shown.width}`;
    const { frame } = photograph();
    const [tall, wide] = frame === WHOLE ? data.size : originalOf().size;
    const from = (n, count, size, low, high) =>
      Math.max(0, Math.min(size, Math.round((low + (n / count) * (high - low)) * size)));
    const ends = (n, count, size, low, high) =>
      `${from(n, count, size, low, high)}–${from(n + 1, count, size, low, high) - 1}`;
    const across = ends(column, shown.width, wide, frame[1], frame[3]);
    const down = ends(r, shown.height, tall, frame[0], frame[2]);
    const pixels = `pixels ${across} across, ${down} down${frame === WHOLE ? "" : " in the file"}`;
    const share = Number.isFinite(value) ? Math.max(0, Math.min(1, (value - low) / (high - low))) : 0;
    pane.read.textContent = `${where}: ${numberWords(value, shown.half)}${half} · ${pixels}`;
    pane.bar.firstElementChild?.append(element("span", { class: "rv-reason-mark", style: `left: ${share * 100}%` }));
  }
  const readHint = () => {
    const { row: r, column } = largest();
    return `largest ${numberWords(shown.values[r * shown.width + column])} in row ${r}, column ${column}; point at the map to read it`;
  };

  // ---- classes
  let [oddsOf, oddsImage] = [null, -1];
  function odds() {
    if (oddsImage !== state.image) [oddsOf, oddsImage] = [classOdds(data, state.image), state.image];
    return oddsOf;
  }
  function ranked() {
    if (!data.logits) return [];
    const known = odds();
    return Array.from(known.keys())
      .sort((a, b) => known[b] - known[a] || a - b)
      .slice(0, TOP_CLASSES);
  }
  function shownClasses() {
    const best = ranked();
    const others = [state.class, state.contrast].filter((index) => index !== null && !best.includes(index));
    return [...best, ...others];
  }
  function imageLabel(image) {
    const name = data.image_names[image];
    if (!data.logits || !hasOdds(data)) return name;
    const row = data.logits.subarray(image * data.classes.length, (image + 1) * data.classes.length);
    return `${name}: predicted ${data.classes[row.indexOf(Math.max(...row))] ?? "nothing"}`;
  }
  function drawClasses() {
    const root = el.getRootNode();
    const focused = classes.contains(root.activeElement) ? root.activeElement.dataset.place : null;
    const parts = [];
    if (data.logits) {
      const known = odds();
      parts.push(element("h4", { class: "rv-heading" }, hasOdds(data) ? "Classes by probability" : "Values"));
      parts.push(element("p", { class: "rv-faint rv-reason-facts" }, "choose A; − subtracts a class as B"));
      shownClasses().forEach((index) => parts.push(classRow(index, known)));
    }
    const own = data.targets[state.image].flatMap((index, place) => (index < 0 || !data.logits ? [place] : []));
    if (own.length) {
      parts.push(element("h4", { class: "rv-heading" }, "Recorded targets"));
      own.forEach((place) => parts.push(targetRow(place)));
    }
    classes.replaceChildren(...parts);
    if (focused) [...classes.querySelectorAll("button")].find((one) => one.dataset.place === focused)?.focus();
  }
  function classRow(index, known) {
    const [a, b] = [state.recorded === null && state.class === index, state.contrast === index];
    const rank = rankOf(known, index);
    const logit = data.logits[state.image * data.classes.length + index];
    const chances = saidWords(known[index]);
    const choose = element(
      "button",
      {
        ...{ type: "button", class: "rv-button rv-class", "aria-pressed": String(a), "data-place": `a${index}` },
        ...{ title: `class ${index}, logit ${briefNumber(logit)}`, onclick: () => setClass(index) },
      },
      element("span", { class: "rv-class-fill", style: `width: ${hasOdds(data) ? known[index] * 100 : 0}%` }),
      element("span", {}, `${rank > TOP_CLASSES ? `${rank}. ` : ""}${data.classes[index]}`),
      element("span", { class: "rv-class-odds" }, chances),
    );
    const minus = element(
      "button",
      {
        ...{ type: "button", class: "rv-button rv-minus", "aria-pressed": String(b), "data-place": `b${index}` },
        ...{ "aria-label": `subtract ${data.classes[index]}`, title: b ? "subtract nothing" : "subtract this class" },
        onclick: () => setContrast(b ? null : index),
      },
      b ? "B" : "−",
    );
    const where = mapSource(data, { ...state, contrast: index }, shell.live);
    if (state.recorded !== null || a || (where.from === null && !data.head)) {
      minus.disabled = true;
      minus.title = a ? "this is A" : state.recorded !== null ? "choose A first" : where.reason;
    }
    if (!a && mapSource(data, { ...state, ...{ recorded: null, contrast: null, class: index } }, shell.live).from === null) {
      if (!data.head) {
        choose.disabled = true;
        choose.title = `${data.classes[index]}: not in this explanation`;
        if (data.asks && !shell.live) choose.title = "needs a running kernel; this page has none";
      }
    }
    return element("div", { class: "rv-class-row" }, choose, minus);
  }
  function targetRow(place) {
    const chosen = state.recorded === place;
    return element(
      "div",
      { class: "rv-class-row" },
      element(
        "button",
        {
          ...{ type: "button", class: "rv-button rv-class", "aria-pressed": String(chosen), "data-place": `t${place}` },
          onclick: () => change({ recorded: place, contrast: null }),
        },
        element("span", {}, data.names[state.image][place]),
      ),
    );
  }

  // ---- faithfulness
  function drawChecks() {
    const found = checkOf(data, state);
    const button = measuring
      ? buttonControl({ text: "Stop measuring", onClick: () => shell.stop("faithfulness") })
      : buttonControl({
          ...{ text: "Measure faithfulness", title: "deletion and insertion beside random maps" },
          onClick: measure,
        });
    const reason = measuring ? "" : whyNoMeasure();
    if (reason) button.disable(reason);
    const root = el.getRootNode();
    const held = pane.checks.contains(root.activeElement);
    if (found) {
      const how = [data.checked, found.part ? "of the method's own map" : ""].filter(Boolean).join(" · ");
      pane.checks.replaceChildren(
        element("p", {}, checkWords(found)),
        element("p", { class: "rv-faint" }, `deletion: low is good; insertion: high is good${how ? ` · ${how}` : ""}`),
      );
      if (measuring) pane.checks.append(button.node);
    } else {
      const words = reason ? `Faithfulness was not measured; ${reason}.` : "";
      pane.checks.replaceChildren(button.node, element("p", { class: "rv-faint" }, words));
    }
    if (held) (pane.checks.querySelector("button:enabled") ?? pane.frame).focus();
  }
  function whyNoMeasure() {
    if (!data.asks) return "this explanation came without its network: pass faithfulness=, or explore_explanation(net, images)";
    if (!shell.live) return "it needs a running kernel; this page has none";
    if (state.recorded !== null && data.targets[state.image][state.recorded] < 0) return "a target of one's own: pass faithfulness=";
    return shown.values ? "" : "there is no map";
  }
  function checkWords(found) {
    if (found.words) return found.words;
    return ["deletion", "insertion"]
      .filter((name) => found[name] !== null)
      .map((name) => `${name} ${numberWords(found[name])} against ${numberWords(found[`${name}_random`])} for a random map`)
      .join(", ");
  }
  async function measure() {
    measuring = true;
    drawChecks();
    const index = state.recorded === null ? state.class : data.targets[state.image][state.recorded];
    const { image, contrast, method, layer } = state;
    const answer = await shell.ask("faithfulness", { image, class: index, contrast, method, layer });
    measuring = false;
    if (answer) {
      data.checks.push(answer.content.row);
      data.checked = answer.content.checked;
    }
    drawChecks();
  }

  // ---- export
  const clean = (text) => text.replaceAll(/[^\w.-]+/g, "_");
  const fileName = (ending) => `explanation_${clean(`${targetName(data, state)}_${state.method}_${state.layer}`)}.${ending}`;
  function picture() {
    const known = data.logits ? odds() : null;
    const sign = (index) => (index === state.class ? "A: " : index === state.contrast ? "− B: " : "");
    const found = checkOf(data, state);
    return reasonsPicture({
      title: heading.textContent,
      lines: [facts.textContent],
      pictures: [
        ...(photoNode.hidden ? [] : [{ canvas: photo, caption: photoCaption.textContent }]),
        { canvas: pane.canvas, caption: pane.caption.textContent },
      ],
      scale: shown.scale,
      colours: state.colours,
      below: [pane.note.textContent, found ? checkWords(found) : ""].filter(Boolean).join(" · "),
      rows: known ? shownClasses().map((index) => ({
              ...{ name: data.classes[index], odds: known[index], sign: sign(index) },
              said: hasOdds(data) ? null : saidWords(known[index]),
            })) : [],
    });
  }
  function mapRows() {
    const head = ["image", "target", "method", "layer", "row", "column", "value", "plus_or_minus"];
    const rows = Array.from(shown.values ?? [], (value, place) => [
      ...[state.image, targetName(data, state), state.method, state.layer],
      ...[Math.floor(place / shown.width), place % shown.width, Number.isNaN(value) ? "" : value, shown.half],
    ]);
    return [head, ...rows];
  }
  function classRows() {
    const known = data.logits ? odds() : [];
    const logit = (index) => data.logits[state.image * data.classes.length + index];
    const rows = Array.from(known, (chance, index) => [state.image, index, data.classes[index], logit(index), chance]);
    return [["image", "index", "class", "logit", hasOdds(data) ? "probability" : "value"], ...rows];
  }
  const saveText = (text, type, name) => saveBlob(new Blob([text], { type }), name);
  shell.exports([
    { label: "Picture (PNG)", run: async () => saveBlob(await svgToPng(picture()), fileName("png")) },
    { label: "Picture (SVG)", run: async () => saveText(svgText(picture()), "image/svg+xml", fileName("svg")) },
    { label: "Map (CSV)", run: async () => saveText(csvText(mapRows()), "text/csv", fileName("csv")) },
    { label: "Classes (CSV)", run: async () => saveText(csvText(classRows()), "text/csv", "classes.csv") },
  ]);

  // ---- life
  shell.onSelection((selection) => data && take(selection));
  shell.data((meta, view) => {
    data = explanationOf(meta, view);
    ["map", "faithfulness"].forEach((what) => shell.drop(what)); // they were of what was shown before
    answers.clear();
    photographs.clear();
    oddsImage = -1;
    controls.image.setOptions(data.targets.map((_, value) => ({ value, label: imageLabel(value) })));
    controls.image.hide(data.images < 2);
    controls.class.setNames(data.classes, null);
    controls.contrast.setNames(["nothing", ...data.classes], null);
    for (const name of ["class", "contrast"]) controls[name].hide(!data.logits);
    take(shell.selection());
  });
  return shell.close;
}

export default { render: renderReasons };
