// The depth chart: lines, bands, exact zeros, theory, stages, and one cursor over depth, as SVG.
import { depthChartOf, pointsOf } from "./chart_depth.js";
import { chartSwatch, drawLegend } from "./chart_legend.js";
import { drawChart, pixelOn } from "./chart_pen.js";
import { chartPicture } from "./chart_picture.js";
import {
  chartRows, chartSummary, cursorStops, nearestPoint, nearestStop, pointAtDepth, pointWords,
  shortNumber, stopAfterKey,
} from "./chart_scales.js";
import { element, freshId, svgElement } from "./controls.js";

const REACH = 28; // pixels from the pointer to the nearest point
const NEAR = 10; // to the point that a click means
const LEAST = 240; // pixels wide
const HINT = "Click in the chart, or focus it and use the arrow keys, to read the values at a layer.";

/** A chart in `host`. `show(spec)` draws; `setCursor(depth)` moves the cursor without a call back.
 *
 *  spec: title, axis (words at the vertical axis), xTitle, log, limits, extent (values that the
 *  axis has to hold, where they are more than the drawn ones), reference (a level with a line),
 *  roomRight (pixels beside the axes), stages [{name, from, to}], series, theory.
 *  A series: key, name, colour (number), dash, seeds, x, middle, low, high, layers, shapes, stages,
 *  notes, aside (drawn beside the line), symbols. A theory: name, source, x, y. */
export function depthChart(host, { height = 300, label = "cursor over depth", onCursor = null, onToggle = null, legend = true, readout = true } = {}) {
  const nodes = chartNodes(label);
  nodes.root.append(nodes.plot, ...(legend ? [nodes.names] : []), ...(readout ? [nodes.words] : []));
  host.append(nodes.root);
  // drawn: { chart, place, points } of the last drawing
  const view = { ...nodes, height, onCursor, onToggle, spec: null, cursor: null, drawn: null, hidden: new Set() };
  listenToKeys(view);
  listenToPointer(view);
  return { ...chartHandles(view), destroy: watchWidth(view) };
}

function chartHandles(view) {
  const { hidden } = view;
  return {
    element: view.root,
    show: (spec) => show(view, spec),
    setCursor: (depth) => setCursor(view, depth),
    get cursor() { return view.cursor; },
    /** Pixels from the left of a depth. */
    xOf: (depth) => view.drawn?.place.on("x")(depth) ?? 0,
    /** Hide the series with these keys, show the others. */
    setHidden(keys) {
      hidden.clear();
      for (const key of keys) hidden.add(key);
      if (view.spec) show(view, view.spec);
    },
    stops: () => (view.spec ? stopsOf(view) : []),
    shown: () => (view.spec ? shownSeries(view).map((series) => series.key) : []),
    focus: () => view.slider.focus(),
    /** The chart with title and legend as one SVG element; colours are those of the present theme. */
    picture: () => chartPicture({ svg: view.svg, root: view.root, spec: view.spec, shown: shownSeries(view), chart: view.drawn.chart }),
    rows: () => chartRows(view.spec, shownSeries(view)),
  };
}

function chartNodes(label) {
  const id = freshId("depth");
  const svg = svgElement("svg", { role: "img", class: "rv-depth-svg" });
  const slider = element("div", { class: "rv-depth-slider", tabindex: 0, id, role: "slider", "aria-label": label, "aria-orientation": "horizontal" });
  const tip = element("div", { class: "rv-depth-tip", hidden: true });
  return {
    id, svg, slider, tip,
    root: element("div", { class: "rv-depth" }),
    plot: element("div", { class: "rv-depth-plot" }, svg, slider, tip),
    names: element("div", { class: "rv-depth-legend", role: "group", "aria-label": "lines shown" }),
    words: element("div", { class: "rv-depth-readout" }),
    cursorLine: svgElement("line", { class: "rv-depth-cursor", style: "stroke:var(--rv-ink);stroke-width:1.5" }),
    ring: svgElement("circle", { r: 7, style: "fill:none;stroke:var(--rv-ink);stroke-width:1.5" }),
  };
}

/** Drawn again when its width changes. Returns what ends that, and the chart. */
function watchWidth(view) {
  let waiting = 0;
  const watch = new ResizeObserver(([entry]) => {
    view.room = Math.floor(entry.contentRect.width) || view.room;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => view.drawn?.place.width === Math.max(view.room, LEAST) || draw(view));
  });
  watch.observe(view.plot);
  return () => {
    watch.disconnect();
    cancelAnimationFrame(waiting);
    view.root.remove();
  };
}

// ---- drawing
const shownSeries = ({ spec, hidden }) => spec.series.filter((series) => !hidden.has(series.key));
const stopsOf = (view) => cursorStops(shownSeries(view));

function show(view, spec) {
  view.spec = spec;
  drawLegend(view.names, spec, view.hidden, () => {
    draw(view);
    view.onToggle?.([...view.hidden]);
  });
  draw(view);
}

function draw(view) {
  if (!view.spec) return;
  const { svg, spec, height, cursorLine, ring } = view;
  const shown = shownSeries(view);
  // a cell out of sight has no width: the last one that was seen counts
  const width = Math.max(view.plot.clientWidth || view.room || 0, LEAST);
  const chart = depthChartOf(spec, shown, { width, height });
  const place = drawChart(svg, chart, { width, id: view.id });
  svg.setAttribute("aria-label", chartSummary(spec, shown));
  const points = shown.flatMap((series) => pointsOf(series, { log: chart.axes.y.log, zeros: Boolean(chart.axes.y2) }));
  for (const point of points) Object.assign(point, { x: pixelOn(place, "x", point.depth), y: pixelOn(place, point.yaxis, point.value) });
  view.drawn = { chart, place, points };
  cursorLine.setAttribute("y1", place.top);
  cursorLine.setAttribute("y2", place.bottom);
  svg.append(cursorLine, ring);
  hideTip(view);
  drawCursor(view);
}

// ---- cursor
function drawCursor(view) {
  const { slider, cursorLine, cursor, drawn } = view;
  const stops = stopsOf(view);
  const known = cursor !== null && stops.length > 0;
  cursorLine.style.display = known ? "" : "none";
  slider.setAttribute("aria-valuemin", stops[0] ?? 0);
  slider.setAttribute("aria-valuemax", stops.at(-1) ?? 0);
  slider.setAttribute("aria-valuenow", cursor ?? stops[0] ?? 0);
  slider.setAttribute("aria-valuetext", known ? spoken(view) : "no cursor yet");
  if (known) for (const end of ["x1", "x2"]) cursorLine.setAttribute(end, drawn.place.on("x")(cursor));
  view.words.replaceChildren(known ? readOut(view) : element("span", { class: "rv-depth-hint" }, HINT));
}

function atCursor(view) {
  return shownSeries(view).map((series) => ({ series, index: pointAtDepth(series, view.cursor) })).filter((p) => p.index >= 0);
}

function spoken(view) {
  const parts = atCursor(view).map(({ series, index }) => {
    const said = pointWords(series, index);
    return `${series.name}: ${said.layer}, ${said.value}`;
  });
  return `depth ${shortNumber(view.cursor)}. ${parts.join("; ")}`;
}

function readOut(view) {
  const caption = element("caption", {}, `at depth ${shortNumber(view.cursor)}`);
  const rows = atCursor(view).map(({ series, index }) => {
    const said = pointWords(series, index);
    const away = series.x[index] === view.cursor ? "" : `nearest: depth ${shortNumber(series.x[index])}`;
    const cells = [said.value, said.layer, said.shape, away].map((text) => element("td", {}, text));
    return element("tr", {}, element("th", { scope: "row" }, chartSwatch(series), series.name), ...cells);
  });
  return element("table", { class: "rv-depth-values" }, caption, ...rows);
}

function setCursor(view, depth) {
  view.cursor = Number.isFinite(depth) ? depth : null;
  if (view.drawn) drawCursor(view);
}

function moveTo(view, depth) {
  if (depth === null || depth === view.cursor) return;
  setCursor(view, depth);
  view.onCursor?.(depth);
}

function listenToKeys(view) {
  view.slider.addEventListener("keydown", (event) => {
    if (!view.spec || event.ctrlKey || event.metaKey || event.altKey) return;
    const stop = stopAfterKey(stopsOf(view), view.cursor, event.key);
    if (stop === null) return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab takes arrow keys for the cells
    moveTo(view, stop);
  });
}

// ---- pointer
function listenToPointer(view) {
  const { slider, svg } = view;
  const pixel = (event) => {
    const box = svg.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const drag = (x) => moveTo(view, nearestStop(stopsOf(view), view.drawn.place.on("x").invert(x)));
  slider.addEventListener("pointerdown", (event) => {
    if (!view.drawn || event.button !== 0) return;
    slider.setPointerCapture(event.pointerId);
    slider.focus({ preventScroll: true });
    const [x, y] = pixel(event);
    const near = nearestPoint(view.drawn.points, x, y, NEAR);
    if (near) moveTo(view, near.depth);
    else drag(x);
  });
  slider.addEventListener("pointermove", (event) => {
    if (!view.drawn) return;
    const [x, y] = pixel(event);
    if (slider.hasPointerCapture(event.pointerId)) drag(x);
    showTip(view, x, y);
  });
  slider.addEventListener("pointerleave", () => hideTip(view));
}

function hideTip({ tip, ring }) {
  tip.hidden = true;
  ring.style.display = "none";
}

function showTip(view, x, y) {
  const { tip, ring, drawn, plot } = view;
  const near = nearestPoint(drawn.points, x, y, REACH);
  if (!near) return hideTip(view);
  [tip.hidden, ring.style.display] = [false, ""];
  ring.setAttribute("cx", near.x);
  ring.setAttribute("cy", near.y);
  const said = pointWords(near.series, near.index);
  tip.replaceChildren(element("b", {}, said.layer), ...[said.place, said.value, said.shape].filter(Boolean).map((text) => element("div", {}, text)));
  const left = near.x > drawn.place.width / 2;
  tip.style.left = left ? "" : `${near.x + 12}px`;
  tip.style.right = left ? `${plot.clientWidth - near.x + 12}px` : "";
  tip.style.top = `${Math.max(near.y - 30, 0)}px`;
}
