// What may be done with an explanation. `view`: that of explanation.js.

import { TOP_CLASSES } from "./explanation_classes.js";
import { update } from "./explanation_drawing.js";
import { insideMap, largestPlace, rankedClasses } from "./explanation_look.js";
import { headPlace, mapSource } from "./explanation_maps.js";
import { drawReading } from "./explanation_photo.js";
import { REASON_PARTS, atImage, atMethod, layerChoicesOf, methodChoices, reasonsAfter, steppedChoice } from "./explanation_state.js";

export function take(view, selection) {
  view.state = reasonsAfter(view.state, selection, view.data);
  update(view);
}

export function change(view, changes) {
  Object.assign(view.state, changes);
  update(view);
  view.shell.select({ ...view.state });
}

/** Change the target; where the map of it is not at hand, go where every class is. */
function aim(view, changes) {
  const { data, shell } = view;
  const wanted = { ...view.state, recorded: null, ...changes };
  const place = headPlace(data);
  const moves = mapSource(data, wanted, shell.live).from === null && place;
  change(view, { ...wanted, ...(moves ? place : {}) });
  if (moves) shell.say(`${place.method} at ${place.layer}: where this page has every class`);
}

export function setClass(view, index) {
  const { contrast } = view.state;
  aim(view, { class: index, contrast: contrast === index ? null : contrast });
}
export function setContrast(view, index) {
  if (view.state.class !== null) aim(view, { contrast: index === view.state.class ? null : index });
}
export function swap(view) {
  const { class: index, contrast } = view.state;
  if (contrast !== null) aim(view, { class: contrast, contrast: index });
}
export function setImage(view, image) {
  if (image >= 0 && image < view.data.images) change(view, atImage(view.state, image, view.data));
}
/** Its maps then come first among the small ones, which a click on one of them does not move. */
export function setMethod(view, method) {
  view.mapsKey = "";
  change(view, atMethod(view.state, method, view.data, view.shell.live));
}
export function chooseMap(view, key) {
  const [method, layer] = JSON.parse(key);
  change(view, { method, layer });
}
export function stepLayer(view, by) {
  const { data, state, shell } = view;
  change(view, { layer: steppedChoice(layerChoicesOf(data, state, shell.live), state.layer, by) });
  shell.say(`layer ${state.layer}`);
}
export function stepMethod(view, by) {
  const { data, state, shell } = view;
  setMethod(view, steppedChoice(methodChoices(data, state, shell.live), state.method, by));
  shell.say(`method ${view.state.method}`);
}
export function togglePart(view) {
  change(view, { part: view.state.part === "signed" ? "positive" : "signed" });
  view.shell.say(REASON_PARTS.find((one) => one.value === view.state.part).label);
}
export function chooseRank(view, place) {
  const best = view.odds ? rankedClasses(view.odds, TOP_CLASSES)[place] : undefined;
  if (best !== undefined) setClass(view, best);
}
/** A drag over the picture: by this share of its width. */
export function fade(view, by) {
  change(view, { opacity: Math.max(0, Math.min(1, view.state.opacity + by)) });
}

// ---- the cursor in the map
export function onCell(view, place, how) {
  if (!view.data) return;
  view[how === "lock" ? "cursor" : "hovered"] = place;
  drawReading(view);
}
export function moveCursor(view, down, right) {
  const { shown, cursor } = view;
  if (!shown.values) return;
  view.cursor = cursor ? insideMap({ row: cursor.row + down, column: cursor.column + right }, shown) : { row: 0, column: 0 };
  view.hovered = null;
  drawReading(view);
}
export function toLargest(view) {
  if (!view.shown.values) return;
  Object.assign(view, { cursor: largestPlace(view.shown), hovered: null });
  drawReading(view);
}
