// What an explanation saves: a picture of it all, the map's numbers, the classes.

import { checkWords } from "./explanation_checks.js";
import { reasonsPicture } from "./explanation_export.js";
import { photographWords, valueWords } from "./explanation_look.js";
import { checkOf, hasOdds, targetName } from "./explanation_maps.js";
import { opaquePixels, paintCanvas } from "./explanation_pane.js";
import { csvText, saveBlob, svgText, svgToPng } from "./shell.js";
import { element } from "./controls.js";

/** Entries of the export menu. `view`: that of explanation.js. */
export function reasonsExports(view) {
  const save = (text, type, name) => saveBlob(new Blob([text], { type }), name);
  return [
    { label: "Picture (PNG)", run: async () => saveBlob(await svgToPng(wholePicture(view)), reasonsFile(view, "png")) },
    { label: "Picture (SVG)", run: async () => save(svgText(wholePicture(view)), "image/svg+xml", reasonsFile(view, "svg")) },
    { label: "Map (CSV)", run: async () => save(csvText(mapRows(view)), "text/csv", reasonsFile(view, "csv")) },
    { label: "Classes (CSV)", run: async () => save(csvText(classRows(view)), "text/csv", "classes.csv") },
  ];
}

const cleanName = (text) => text.replaceAll(/[^\w.-]+/g, "_");

function reasonsFile({ data, state }, ending) {
  return `explanation_${cleanName(`${targetName(data, state)}_${state.method}_${state.layer}`)}.${ending}`;
}

function wholePicture(view) {
  const { data, state, shown, pane, nodes } = view;
  const found = checkOf(data, state);
  const name = targetName(data, state).replace(" - ", " − ");
  const map = { canvas: pane.canvas, caption: `${state.method} at ${state.layer}` };
  return reasonsPicture({
    title: `Explanation of ${name}`,
    lines: [[nodes.facts.textContent, data.network, data.conditions].filter(Boolean).join(" · ")],
    pictures: [...photographAlone(view), map],
    scale: shown.scale,
    colours: state.colours,
    below: [pane.note.textContent, found ? checkWords(found) : ""].filter(Boolean).join(" · "),
    rows: view.odds ? view.listed.map((index) => pictureRow(view, index)) : [],
  });
}

/** The photograph without the map, where there is one. */
function photographAlone({ data, state, picture }) {
  if (!picture.pixels) return [];
  const canvas = element("canvas");
  paintCanvas(canvas, opaquePixels(picture.pixels), picture.height, picture.width);
  return [{ canvas, caption: photographWords(data, state.image) }];
}

function pictureRow({ data, state, odds }, index) {
  const sign = index === state.class ? "A: " : index === state.contrast ? "− B: " : "";
  return { name: data.classes[index], odds: odds[index], sign, said: hasOdds(data) ? null : valueWords(data, odds[index]) };
}

function mapRows({ data, state, shown }) {
  const head = ["image", "target", "method", "layer", "row", "column", "value", "plus_or_minus"];
  const rows = Array.from(shown.values ?? [], (value, place) => [
    ...[state.image, targetName(data, state), state.method, state.layer],
    ...[Math.floor(place / shown.width), place % shown.width, Number.isNaN(value) ? "" : value, shown.half],
  ]);
  return [head, ...rows];
}

function classRows({ data, state, odds }) {
  const logit = (index) => data.logits[state.image * data.classes.length + index];
  const rows = Array.from(odds ?? [], (chance, index) => [state.image, index, data.classes[index], logit(index), chance]);
  return [["image", "index", "class", "logit", hasOdds(data) ? "probability" : "value"], ...rows];
}
