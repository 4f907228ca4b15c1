// An explanation drawn from its state: the map, the classes, all maps small, the controls.

import { drawChecks } from "./explanation_checks.js";
import { TOP_CLASSES } from "./explanation_classes.js";
import { focusWords, fromWords, mapGroups, mapShown, mapsAtHand, oddsOf, orderWords, rankedClasses, scoreWords, targetWords } from "./explanation_look.js";
import { mapScale } from "./explanation_maps.js";
import { drawReasonMap, originalOf, photographNow } from "./explanation_photo.js";
import { fittingColumns, layerChoicesOf, mapAsked, methodChoices } from "./explanation_state.js";

const NAMED = 64; // pixels from which a small map has room for its name

export function update(view, { ask = true } = {}) {
  const { data, state, shell, nodes } = view;
  showControls(view);
  const found = mapShown(data, state, { live: shell.live, answers: view.answers, failures: view.failures });
  view.shown = found.values ? { ...found, scale: scaleFor(view, found) } : found;
  if (found.waiting && ask) askForMap(view);
  view.picture = photographNow(view);
  if (view.oddsImage !== state.image) countOdds(view);
  view.listed = listedClasses(view);
  const name = targetWords(data, state);
  nodes.heading.textContent = nodes.heading.title = `what speaks for ${name}`;
  nodes.facts.textContent = [`${state.method} at ${state.layer}`, scoreWords(data, state, view.odds), fromWords(view.shown, data)].filter(Boolean).join(" · ");
  view.top.draw({ header: { network: data.network }, scene: { conditions: data.conditions }, shownOff: [], off: [] }, false);
  drawReasonMap(view, name);
  view.classes.draw({ ...view, live: shell.live });
  drawChecks(view);
  drawTiles(view); // last: in the room that is left
}

function scaleFor(view, found) {
  if (view.kept && view.kept.signed === found.signed) return view.kept;
  if (view.controls.keep.get()) view.kept = mapScale(found.values, found.signed);
  return view.kept ?? mapScale(found.values, found.signed);
}

function countOdds(view) {
  const { data, state } = view;
  view.oddsImage = state.image;
  view.odds = oddsOf(data, state.image);
  view.order = view.odds && rankedClasses(view.odds, data.classes.length);
}

/** The most probable classes, then A and B where they are none of them. */
function listedClasses({ order, state }) {
  if (!order) return [];
  const best = order.slice(0, TOP_CLASSES);
  return [...best, ...[state.class, state.contrast].filter((index) => index !== null && !best.includes(index))];
}

function showControls(view) {
  const { data, state, shell, controls } = view;
  controls.image.set(state.image);
  controls.method.setOptions(methodChoices(data, state, shell.live), state.method);
  controls.method.input.title = data.methods?.[state.method] ?? "";
  controls.layer.setOptions(layerChoicesOf(data, state, shell.live), state.layer);
  controls.under.hide(!originalOf(view));
  for (const name of ["part", "colours", "opacity", "under"]) controls[name].set(state[name]);
}

/** All maps of the target that are at hand, small; those of another target are made when it changes. */
function drawTiles(view) {
  const { data, state, shell, nodes, photographs } = view;
  const key = mapAsked({ ...state, method: "", layer: "", part: "" });
  if (key !== view.mapsKey) Object.assign(view, { mapsKey: key, maps: mapsAtHand(data, { ...state }, shell.live) });
  const under = photographNow({ data, state: { ...state, under: "seen", layer: data.over[state.layer] ? state.layer : "" }, photographs });
  const words = ({ method, layer, focus }) => `${method} at ${layer}: ${focusWords(focus)}`;
  const several = mapGroups(view.maps).length > 1;
  const heading = ({ method }, at) => (several && method !== view.maps[at - 1]?.method ? method : "");
  const entries = view.maps.map((one, at) => ({ ...one, heading: heading(one, at), label: several ? one.layer : `${one.method} ${one.layer}`, title: words(one) }));
  nodes.tiles.draw(entries, under.pixels && pictureKept(view, under), JSON.stringify([state.method, state.layer]));
  const now = view.maps.find((one) => one.method === state.method && one.layer === state.layer);
  nodes.about.textContent = [orderWords(view.maps), ...(now ? [`this one: ${focusWords(now.focus)}`] : [])].join("; ");
  fitTiles(view);
}

/** The same object for the same pixels: what is made small of it is kept. */
function pictureKept(view, under) {
  if (view.under?.pixels !== under.pixels) view.under = under;
  return view.under;
}

/** As many columns as make the small maps as large as there is room for. */
export function fitTiles({ nodes, maps }) {
  const { node } = nodes.tiles;
  const columns = fittingColumns(mapGroups(maps).map(({ count }) => count), node.clientWidth, node.clientHeight);
  node.style.setProperty("--rv-columns", String(columns));
  node.classList.toggle("rv-maps-small", node.clientWidth / columns < NAMED);
}

async function askForMap(view) {
  const { state, answers, failures, shell } = view;
  const key = mapAsked(state);
  if (failures.has(key)) return;
  const { opacity, colours, recorded, under, ...wanted } = state;
  const answer = await shell.ask("map", wanted);
  if (answer) {
    const { shape } = answer.content;
    const bytes = answer.buffers[0];
    const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + shape[0] * shape[1] * 4));
    answers.set(key, { values, height: shape[0], width: shape[1] });
  } else if (key === mapAsked(view.state)) failures.set(key, "the kernel gave no map; its words stand above");
  if (key !== mapAsked(view.state)) return;
  update(view, { ask: false });
  failures.delete(key);
}
