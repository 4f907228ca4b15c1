// What is chosen of an explanation, and what may be. No DOM.

import { mapSource, offeredOf } from "./explanation_maps.js";

export const FIRST_REASONS = {
  ...{ image: 0, class: null, contrast: null, recorded: null, method: "", layer: "" },
  ...{ part: "positive", opacity: 0.6, colours: "viridis", under: "seen" },
};
export const REASON_PARTS = [
  { value: "positive", label: "evidence for it" },
  { value: "signed", label: "for and against" },
];
export const REASON_UNDER = [
  { value: "seen", label: "as the network saw it" },
  { value: "file", label: "the whole file" },
];
export const REASON_COLOURS = ["viridis", "cividis"];

/** The state that a selection names; what it does not name, or names wrongly, stays. */
export function reasonsAfter(state, selection, data) {
  const { methods, layers } = offeredOf(data);
  const whole = (value, count) => Number.isInteger(value) && value >= 0 && value < count;
  const known = (list, value, before) => (list.includes(value) ? value : before);
  const next = { ...state };
  if (whole(selection.image, data.images)) next.image = selection.image;
  const outputs = data.classes.length;
  next.recorded = whole(selection.recorded, data.targets[next.image].length) ? selection.recorded : null;
  next.class = whole(selection.class, outputs) ? selection.class : null;
  next.contrast = whole(selection.contrast, outputs) ? selection.contrast : null;
  if (next.class === null && next.recorded === null) next.recorded = 0;
  if (next.recorded !== null) next.contrast = null;
  next.method = known(methods, selection.method, next.method || methods[0]);
  next.layer = known(layers, selection.layer, next.layer || layers[0]);
  next.part = known(["positive", "signed"], selection.part, next.part);
  next.colours = known(REASON_COLOURS, selection.colours, next.colours);
  next.under = known(["seen", "file"], selection.under, next.under);
  const opacity = Number(selection.opacity);
  if (opacity >= 0 && opacity <= 1) next.opacity = opacity;
  return next;
}

/** The state at another photograph: the class that is predicted there, where the predicted one was shown. */
export function atImage(state, image, data) {
  const [first, next] = [data.targets[state.image][0], data.targets[image][0]];
  const usual = state.contrast === null && state.class !== null && state.class === first;
  const changed = { ...state, image };
  if (usual && next >= 0) changed.class = next;
  if (state.recorded !== null) changed.recorded = Math.min(state.recorded, data.targets[image].length - 1);
  return changed;
}

/** The state with another method, at a layer where there is a map of it. */
export function atMethod(state, method, data, live) {
  const there = (layer) => mapSource(data, { ...state, method, layer }, live).from !== null;
  const layer = there(state.layer) ? state.layer : offeredOf(data).layers.find(there);
  return { ...state, method, layer: layer ?? state.layer };
}

/** What a map is asked for by. */
export const mapAsked = ({ image, class: index, contrast, method, layer, part }) => JSON.stringify([image, index, contrast, method, layer, part]);

const optionReason = (kernel) => (kernel ? "needs a kernel" : "not for this target");

export function methodChoices(data, state, live) {
  const { methods, layers } = offeredOf(data);
  return methods.map((method) => {
    const sources = layers.map((layer) => mapSource(data, { ...state, method, layer }, live));
    const there = sources.some((one) => one.from !== null);
    const kernel = sources.some((one) => one.reason?.startsWith("needs"));
    return { value: method, label: method, disabled: !there, reason: there ? null : optionReason(kernel) };
  });
}

export function layerChoicesOf(data, state, live) {
  return offeredOf(data).layers.map((layer) => {
    const source = mapSource(data, { ...state, layer }, live);
    const there = source.from !== null;
    return { value: layer, label: layer, disabled: !there, reason: there ? null : optionReason(source.reason.startsWith("needs")) };
  });
}

/** The choice `by` places on, of those that there are. */
export function steppedChoice(choices, value, by) {
  const list = choices.filter((one) => !one.disabled).map((one) => one.value);
  const at = list.indexOf(value) + by;
  return at >= 0 && at < list.length ? list[at] : value;
}

/** Columns of equal square tiles, as large as groups of them can be in a field, each group of several under a heading; no larger than `most`. */
export function fittingColumns(counts, width, height, { most = 132, gap = 2, heading = 16 } = {}) {
  const headings = counts.length > 1 ? counts.length * (heading + gap) : 0;
  const rows = (columns) => counts.reduce((sum, count) => sum + Math.ceil(count / columns), 0);
  const tall = (columns) => headings + rows(columns) * ((width + gap) / columns) - gap;
  let columns = Math.max(1, Math.ceil(width / most));
  while (columns < Math.max(0, ...counts) && tall(columns) > height) columns += 1;
  return columns;
}
