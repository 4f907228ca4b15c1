// The layers along depth: how selective their channels are, or how many answer to a class.

import { element, svgElement } from "../controls.js";
import { briefNumber, endOf } from "../explore/words.js";
import { foundByLayer, medianOf } from "./state.js";

const HEIGHT = 54;
const [FOOT, HEAD] = [14, 12];

/** on: { layer(index) }. Returns { node, draw(atlas, state, width) }. */
export function createLayerSpine({ on }) {
  const svg = svgElement("svg", { class: "rv-atlas-spine-svg", height: HEIGHT, "aria-hidden": "true" });
  const node = element("div", { class: "rv-atlas-spine", role: "slider", tabindex: "0", "aria-label": "layer", "aria-valuemin": "0" }, svg);
  let [count, width, pressed] = [1, 1, false];
  const at = (event) => {
    const box = svg.getBoundingClientRect();
    on.layer(Math.max(0, Math.min(count - 1, Math.floor(((event.clientX - box.left) / width) * count))));
  };
  svg.addEventListener("pointerdown", (event) => {
    pressed = true;
    svg.setPointerCapture(event.pointerId);
    at(event);
  });
  svg.addEventListener("pointermove", (event) => pressed && at(event));
  svg.addEventListener("pointerup", () => (pressed = false));
  return {
    node,
    draw(atlas, state, wide) {
      [count, width] = [atlas.layers.length, wide];
      svg.setAttribute("width", wide);
      const { values, words } = barsOf(atlas, state);
      svg.replaceChildren(...stageNodes(atlas, wide), ...barNodes(values, wide, state.layer), ...nameNodes(atlas, wide, state.layer), legendNode(`${words}, first layer to last`, wide, (state.layer + 0.5) * (wide / count)));
      node.setAttribute("aria-valuemax", String(count - 1));
      node.setAttribute("aria-valuenow", String(state.layer));
      node.setAttribute("aria-valuetext", `${atlas.layers[state.layer].key}, ${words}: ${briefNumber(values[state.layer])}`);
      node.title = words;
    },
  };
}

function barsOf(atlas, state) {
  if (state.class !== null) return { values: foundByLayer(atlas, state.class), words: `channels that stand out for ${atlas.classes[state.class]}` };
  const selective = atlas.layers.map((layer) => medianOf(layer, "selectivity"));
  if (selective.some((value) => !Number.isNaN(value))) return { values: selective, words: "median selectivity of each layer's channels" };
  return { values: atlas.layers.map((layer) => medianOf(layer, "zeros")), words: "median share of zeros in each layer's channels" };
}

function barNodes(values, width, chosen) {
  const most = Math.max(...values.filter(Number.isFinite), 1e-9);
  const step = width / values.length;
  const room = HEIGHT - FOOT - HEAD;
  return values.map((value, n) => {
    const tall = Number.isFinite(value) ? Math.max(2, (value / most) * room) : 2;
    const shape = { x: n * step + Math.min(1, step / 8), width: Math.max(1, step - Math.min(2, step / 4)), y: HEIGHT - FOOT - tall, height: tall };
    return svgElement("rect", { ...shape, class: n === chosen ? "rv-atlas-bar rv-atlas-bar-on" : "rv-atlas-bar" });
  });
}

/** What the bars are, on the side where the name of the layer is not. */
function legendNode(words, width, middle) {
  const left = middle > width / 2;
  return svgElement("text", { x: left ? 0 : width, y: 10, "text-anchor": left ? "start" : "end", class: "rv-atlas-name" }, words);
}

/** The name of each stage, where it begins. */
function stageNodes(atlas, width) {
  const step = width / atlas.layers.length;
  return atlas.layers.flatMap(({ stage }, n) => {
    if (!stage || atlas.layers[n - 1]?.stage === stage) return [];
    return [svgElement("line", { x1: n * step, x2: n * step, y1: HEAD, y2: HEIGHT, class: "rv-atlas-stage" }), svgElement("text", { x: n * step + 3, y: HEIGHT - 3, class: "rv-atlas-name" }, stage)];
  });
}

function nameNodes(atlas, width, chosen) {
  const step = width / atlas.layers.length;
  const middle = (chosen + 0.5) * step;
  const name = endOf(atlas.layers[chosen].key, 40);
  const room = name.length * 3.4;
  const x = Math.max(room, Math.min(width - room, middle));
  return [svgElement("text", { x, y: 10, "text-anchor": "middle", class: "rv-atlas-name rv-atlas-name-on" }, name)];
}
