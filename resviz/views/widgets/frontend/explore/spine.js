// The network along depth: blocks, shortcuts as arcs, one curve, and the class as it forms.

import { element, svgElement } from "../controls.js";
import {
  SPINE_BLOCKS,
  SPINE_CURVE,
  SPINE_HEIGHT,
  SPINE_WORDS,
  arcPath,
  axisOf,
  axisTicks,
  curvePath,
  heightOf,
  placeNear,
  spineLayout,
} from "./spine_shape.js";
import { briefNumber, endOf } from "./words.js";

const CHANCE_AXIS = { low: 0, high: 1, log: false, zeros: false };
const ARC_MEANINGS = {
  identity: "a shortcut that hands on what it receives, unchanged",
  projection: "a shortcut that is a projection: it changes the shape",
  padded: "a shortcut that is padded with zeros to the new shape",
};
const LETTER = 7; // pixels, about, of a letter at the cursor: asking the browser would cost a layout a key
const LONG = 36; // letters at the cursor
const RIGHT = 60; // pixels of the numbers at the right end
const MOVED = 4; // pixels from which a press is a drag

/**
 * on: { cursor(place), cut(place) }. Returns { node, svg, draw(state), move(place, value), resize(width), speak(words) }.
 *
 * state: { places, off, canCut(place), curve: { label, log, values, whole }, seen, without, className }; `seen` and
 * `without` hold a probability for each place, or null.
 */
export function createSpine({ on }) {
  const svg = svgElement("svg", { class: "rv-spine-svg", height: SPINE_HEIGHT });
  const attributes = { class: "rv-spine", role: "slider", tabindex: "0", "aria-label": "depth", "aria-orientation": "horizontal" };
  const node = element("div", attributes, svg);
  /** at, shown: the place of the cursor and the value that stands at it. */
  const spine = { node, svg, cursor: createCursor(), state: null, layout: null, width: 0, at: 0, shown: null };
  listenToPointer(svg, { on, layout: () => spine.layout, width: () => spine.width });
  return {
    ...{ node, svg },
    draw(state) {
      spine.state = state;
      drawAll(spine);
    },
    move(place, value) {
      [spine.at, spine.shown] = [place, value];
      moveCursor(spine);
    },
    resize(width) {
      spine.width = width;
      drawAll(spine);
    },
    /** What a screen reader says of the cursor. */
    speak: (words) => node.setAttribute("aria-valuetext", words),
  };
}

function createCursor() {
  const words = svgElement("text", { y: SPINE_WORDS });
  const line = svgElement("line", { x1: 0, x2: 0, y1: 16, y2: SPINE_CURVE.zero + 4 });
  return { node: svgElement("g", { class: "rv-spine-cursor" }, line, words), words };
}

function drawAll(spine) {
  const { node, svg, state, width } = spine;
  if (!state || !width) return;
  const layout = (spine.layout = spineLayout(state.places, width));
  node.setAttribute("aria-valuemin", 0);
  node.setAttribute("aria-valuemax", state.places.length - 1);
  svg.setAttribute("width", width);
  svg.setAttribute("viewBox", `0 0 ${width} ${SPINE_HEIGHT}`);
  svg.replaceChildren(
    ...stageNodes(layout),
    ...endNodes(layout, state.places),
    ...arcLegend(state.places),
    ...axisNodes(state, layout),
    ...curveNodes(state, layout),
    ...state.places.map((place, index) => blockNode(place, layout.places[index], index, state)),
    spine.cursor.node,
  );
  moveCursor(spine);
}

/** At once, and nothing else is drawn: the next key may come in the next frame. */
function moveCursor({ node, cursor, state, layout, width, at, shown }) {
  cursor.node.toggleAttribute("hidden", !layout?.places[at]);
  if (!layout?.places[at]) return;
  const { x } = layout.places[at];
  const words = cursorWords(state.places[at].name, state.curve, shown);
  const flip = x > width / 2 && x + words.length * LETTER + RIGHT > width;
  cursor.node.setAttribute("transform", `translate(${x})`);
  cursor.words.setAttribute("x", flip ? -5 : 5);
  cursor.words.setAttribute("text-anchor", flip ? "end" : "start");
  cursor.words.textContent = words;
  node.setAttribute("aria-valuenow", at);
}

/** "layer4.2 · gradient norm 0.22"; of a long name the number alone. */
function cursorWords(name, curve, shown) {
  if (shown === null) return name;
  const long = `${name} · ${curve.label} ${briefNumber(shown)}`;
  return long.length > LONG ? `${name} · ${briefNumber(shown)}` : long;
}

/** A press moves the cursor, a drag goes on moving it; a press on a block that stays there cuts it. */
function listenToPointer(svg, { on, layout, width }) {
  let [pressed, dragged] = [null, false];
  const xOf = (event) => {
    const box = svg.getBoundingClientRect();
    return ((event.clientX - box.left) / box.width) * width();
  };
  const end = () => (pressed = null);
  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !layout()) return;
    pressed = { x: event.clientX, block: event.target.closest?.("[data-place]") };
    dragged = false;
    svg.setPointerCapture(event.pointerId);
    if (!pressed.block) on.cursor(placeNear(layout(), xOf(event)));
  });
  svg.addEventListener("pointermove", (event) => {
    if (!pressed) return;
    dragged ||= Math.abs(event.clientX - pressed.x) > MOVED;
    if (dragged) on.cursor(placeNear(layout(), xOf(event)));
  });
  svg.addEventListener("pointerup", () => {
    if (pressed?.block && !dragged) on.cut(Number(pressed.block.dataset.place));
    end();
  });
  svg.addEventListener("pointercancel", end);
}

function stageNodes({ stages }) {
  return stages.flatMap(({ name, from, to }, index) => [
    svgElement("rect", {
      ...{ x: from, width: to - from, y: 0, height: SPINE_CURVE.zero + 6 },
      class: index % 2 ? "rv-spine-stage" : "rv-spine-stage rv-spine-odd",
    }),
    svgElement("text", { x: (from + to) / 2, y: 11, class: "rv-spine-name" }, endOf(name, Math.floor((to - from) / 6.5)), svgElement("title", {}, name)),
  ]);
}

/** What comes before the first block and after the last. */
function endNodes({ left, right }, places) {
  const middle = SPINE_BLOCKS.top + SPINE_BLOCKS.height / 2;
  const ends = places[0]?.kind === "stem" ? ["image", "head"] : ["stem", "head"];
  return ends.map((words, index) =>
    svgElement("text", { x: index ? right + 6 : left - 6, y: middle + 4, class: index ? "rv-spine-end" : "rv-spine-end rv-spine-first" }, words),
  ).concat(svgElement("line", { x1: left, x2: right, y1: middle, y2: middle, class: "rv-spine-wire" }));
}

const ARCS = [
  ["identity", "unchanged"],
  ["projection", "projected"],
  ["padded", "padded"],
];

/** What the arcs mean: in the corner over the stem, which has none; elsewhere there is one line of room. */
function arcLegend(places) {
  const kinds = new Set(places.filter((place) => place.additions.length).map((place) => place.kind));
  const rows = ARCS.filter(([kind]) => kinds.has(kind)).slice(places[0]?.additions.length ? -1 : 0);
  return rows.slice(0, 2).flatMap(([kind, words], row) => [
    svgElement("path", { d: `M1,${11 + row * 13} c1,-11 10,-11 11,0`, class: `rv-spine-arc rv-spine-${kind}` }),
    svgElement("text", { x: 15, y: 11 + row * 13, class: "rv-spine-key" }, words, svgElement("title", {}, ARC_MEANINGS[kind])),
  ]);
}

function blockNode(place, shape, index, { off, canCut }) {
  const cut = off.includes(place.name);
  const [summed, cuttable] = [place.additions.length > 0, canCut(place)];
  const { top, height } = SPINE_BLOCKS;
  const box = { x: shape.x - shape.width / 2, y: top, width: shape.width, height, rx: 3 };
  const group = svgElement("g", { class: `rv-spine-block${cut ? " rv-spine-cut" : ""}${cuttable ? " rv-spine-cuttable" : ""}` });
  if (summed) {
    group.dataset.place = index;
    group.append(svgElement("path", { d: arcPath(shape), class: `rv-spine-arc rv-spine-${place.kind}` }));
  }
  group.append(svgElement("rect", box));
  if (cut) {
    const [l, r, b] = [box.x, box.x + box.width, top + height];
    group.append(svgElement("path", { d: `M${l},${top}L${r},${b}M${r},${top}L${l},${b}`, class: "rv-spine-cross" }));
  }
  const verb = cut ? "click puts its branch back" : "click cuts its branch out; the shortcut stays";
  const does = cuttable ? verb : "to be cut it needs the notebook";
  group.append(svgElement("title", {}, summed ? `${place.name}, ${place.kind} shortcut: ${does}` : place.name));
  return group;
}

function axisNodes({ curve, seen, without }, layout) {
  const { left, right } = layout;
  const nodes = [];
  if (curve) {
    const axis = axisOf([...curve.values, ...(curve.whole ?? [])], curve.log);
    for (const [value, y] of axisTicks(axis)) nodes.push(...tickNodes(left, right, y, briefNumber(value)));
    if (axis.zeros) nodes.push(...tickNodes(left, right, SPINE_CURVE.zero, "0"));
  }
  if (seen || without) {
    for (const value of [0, 1]) {
      const y = heightOf(value, CHANCE_AXIS);
      nodes.push(svgElement("text", { x: right + 5, y: y + 4, class: "rv-spine-chance" }, String(value)));
    }
  }
  return nodes;
}

const tickNodes = (left, right, y, words) => [
  svgElement("line", { x1: left, x2: right, y1: y, y2: y, class: "rv-spine-grid" }),
  svgElement("text", { x: left - 5, y: y + 4, class: "rv-spine-tick" }, words),
];

function curveNodes({ curve, seen, without }, layout) {
  const nodes = [];
  if (curve) {
    const axis = axisOf([...curve.values, ...(curve.whole ?? [])], curve.log);
    if (curve.whole) nodes.push(svgElement("path", { d: curvePath(curve.whole, axis, layout), class: "rv-spine-line rv-spine-whole" }));
    nodes.push(svgElement("path", { d: curvePath(curve.values, axis, layout), class: "rv-spine-line" }));
    nodes.push(...dots(curve.values, axis, layout, "rv-spine-dot", 2.5));
  }
  if (seen) {
    nodes.push(svgElement("path", { d: curvePath(seen, CHANCE_AXIS, layout), class: "rv-spine-line rv-spine-seen" }));
    nodes.push(...dots(seen, CHANCE_AXIS, layout, "rv-spine-seen-dot", 2.5));
  }
  if (without) nodes.push(...dots(without, CHANCE_AXIS, layout, "rv-spine-without", 3.5));
  return nodes;
}

function dots(values, axis, layout, name, radius) {
  const small = layout.step < 6 ? radius / 2 : radius;
  return values.flatMap((value, index) =>
    value === null || !Number.isFinite(value)
      ? []
      : [svgElement("circle", { cx: layout.places[index].x, cy: heightOf(value, axis), r: small, class: name })],
  );
}
