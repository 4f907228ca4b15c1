// The depth chart: lines, bands, exact zeros, theory, stages, and one cursor over depth, as SVG.
import {
  chartRows, chartSummary, cursorStops, depthLimits, depthTicks, lineOrder, nearestPoint,
  nearestStop, pointAtDepth, pointWords, shortNumber, stopAfterKey, unbroken, valueAxis,
} from "./chart_scales.js";
import { element, freshId, svgElement } from "./controls.js";

const CHART_MARGIN = { top: 24, right: 14, bottom: 46, left: 74 };
const ZERO_STRIP = 22; // pixels of the strip for exact zeros
const ZERO_GAP = 6;
const CHART_REACH = 28; // pixels from the pointer to the nearest point
const CHART_MANY = 130; // points without markers
const CHART_LEAST = 280; // pixels wide
const SERIES_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "ink", "#8C7B00"];
const LINE_DASHES = { solid: null, dash: "7 4", dot: "2 3", dashdot: "7 3 2 3" };
const THEORY_DASHES = ["2 3", "8 3 2 3", "6 4"];

/** Okabe and Ito's colours, as the plotly figures have them; black is the ink of the theme. */
export function seriesColour(index) {
  const colour = SERIES_COLOURS[index % SERIES_COLOURS.length];
  return colour === "ink" ? "var(--rv-ink)" : colour;
}

const MARK_SHAPES = {
  circle: (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0Z`,
  diamond: (r) => `M0,${-1.4 * r}L${1.4 * r},0L0,${1.4 * r}L${-1.4 * r},0Z`,
  triangle: (r) => `M0,${-1.3 * r}L${1.25 * r},${r}L${-1.25 * r},${r}Z`,
  square: (r) => `M${-r},${-r}H${r}V${r}H${-r}Z`,
};

/** A marker; a symbol named "diamond-open" is an outline. */
function chartMark(symbol, x, y, colour, radius) {
  const open = symbol.endsWith("-open");
  const size = open ? radius + 1 : radius;
  return svgElement("path", {
    d: MARK_SHAPES[symbol.replace("-open", "")](size), transform: `translate(${x.toFixed(1)},${y.toFixed(1)})`,
    style: open ? `fill:var(--rv-back);stroke:${colour};stroke-width:1.5` : `fill:${colour};stroke:none`,
  });
}

function chartSwatch(series) {
  const box = svgElement("svg", { width: 26, height: 12, viewBox: "0 0 26 12", "aria-hidden": "true" });
  const colour = series.theory ? "var(--rv-ink)" : seriesColour(series.colour);
  const dash = series.theory ? THEORY_DASHES[series.colour % 3] : LINE_DASHES[series.dash ?? "solid"];
  box.append(svgElement("line", { x1: 1, x2: 25, y1: 6, y2: 6, "stroke-dasharray": dash, style: `stroke:${colour};stroke-width:2` }));
  if (!series.theory && !series.bare) box.append(chartMark("circle", 13, 6, colour, 3));
  return box;
}

/** A chart in `host`. `show(spec)` draws; `setCursor(depth)` moves the cursor without a call back.
 *
 *  spec: title, axis (words at the vertical axis), xTitle, log, limits, extent (values that the
 *  axis has to hold, where they are more than the drawn ones), reference (a level with a line),
 *  stages [{name, from, to}], series, theory.
 *  A series: key, name, colour (number), dash, seeds, x, middle, low, high, layers, shapes, stages,
 *  notes, aside (drawn beside the line), symbols. A theory: name, source, x, y. */
export function depthChart(host, { height = 300, label = "cursor over depth", onCursor = null, onToggle = null, legend = true, readout = true } = {}) {
  const id = freshId("depth");
  const root = element("div", { class: "rv-depth" });
  const plot = element("div", { class: "rv-depth-plot" });
  const svg = svgElement("svg", { role: "img", class: "rv-depth-svg" });
  const slider = element("div", { class: "rv-depth-slider" });
  const tip = element("div", { class: "rv-depth-tip" });
  const names = element("div", { class: "rv-depth-legend" });
  const words = element("div", { class: "rv-depth-readout" });
  const cursorLine = svgElement("line", { class: "rv-depth-cursor", style: "stroke:var(--rv-ink);stroke-width:1.5" });
  const ring = svgElement("circle", { r: 7, style: "fill:none;stroke:var(--rv-ink);stroke-width:1.5" });
  Object.assign(slider, { tabIndex: 0, id });
  slider.setAttribute("role", "slider");
  slider.setAttribute("aria-label", label);
  slider.setAttribute("aria-orientation", "horizontal");
  tip.hidden = true;
  plot.append(svg, slider, tip);
  names.setAttribute("role", "group");
  names.setAttribute("aria-label", "lines shown");
  root.append(plot, ...(legend ? [names] : []), ...(readout ? [words] : []));
  host.append(root);

  let spec = null;
  let cursor = null;
  let drawn = null; // geometry of the last drawing
  let waiting = 0;
  let room = 0;
  const hidden = new Set();

  const shownSeries = () => spec.series.filter((series) => !hidden.has(series.key));

  function show(next) {
    spec = next;
    drawLegend();
    draw();
  }

  function drawLegend() {
    const entries = [
      ...spec.series.map((series) => ({ series, key: series.key, text: legendText(series) })),
      ...(spec.theory ?? []).map((law, n) => ({ series: { theory: true, colour: n }, key: null, text: `theory: ${law.name}`, tip: law.source })),
      ...(spec.symbols ?? []).map((entry) => ({ symbol: entry.symbol, key: null, text: entry.name })),
    ];
    const focused = names.contains(document.activeElement) ? document.activeElement.getAttribute("data-key") : null;
    names.replaceChildren(...entries.map(legendEntry));
    if (focused) [...names.children].find((node) => node.dataset.key === focused)?.focus();
  }

  function legendEntry(entry) {
    const node = element(entry.key === null ? "span" : "button", { class: "rv-depth-name" });
    if (entry.symbol) {
      const box = svgElement("svg", { width: 14, height: 12, viewBox: "0 0 14 12", "aria-hidden": "true" });
      box.append(chartMark(entry.symbol, 7, 6, "var(--rv-faint)", 3.5));
      node.append(box);
    } else node.append(chartSwatch(entry.series));
    node.append(element("span", {}, entry.text));
    if (entry.tip) node.title = entry.tip;
    if (entry.key === null) return node;
    node.type = "button";
    node.dataset.key = entry.key;
    node.setAttribute("aria-pressed", String(!hidden.has(entry.key)));
    node.title = `show or hide ${entry.text}`;
    node.addEventListener("click", () => {
      if (!hidden.delete(entry.key)) hidden.add(entry.key);
      node.setAttribute("aria-pressed", String(!hidden.has(entry.key)));
      draw();
      onToggle?.([...hidden]);
    });
    return node;
  }

  function legendText(series) {
    return series.seeds > 1 ? `${series.name} (median and range of ${series.seeds} seeds)` : series.name;
  }

  // ---- drawing
  function draw() {
    if (!spec) return;
    drawn = layOut(Math.max(plot.clientWidth || room, CHART_LEAST));
    const { width, bottom } = drawn;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
    svg.setAttribute("aria-label", chartSummary(spec, shownSeries()));
    const clip = svgElement("clipPath", { id: `${id}-clip` });
    clip.append(svgElement("rect", { x: CHART_MARGIN.left, y: CHART_MARGIN.top, width: width - CHART_MARGIN.left - CHART_MARGIN.right, height: drawn.foot - CHART_MARGIN.top }));
    const inside = svgElement("g", { "clip-path": `url(#${id}-clip)` });
    if (Number.isFinite(spec.reference)) inside.append(level(spec.reference, "2 3"));
    for (const series of shownSeries()) inside.append(...band(series));
    (spec.theory ?? []).forEach((law, n) => inside.append(theoryLine(law, n)));
    for (const series of shownSeries()) inside.append(...lines(series));
    const points = shownSeries().flatMap(pointsOf);
    const marks = points.filter((p) => p.marked).map((p) => chartMark(p.symbol, p.x, p.y, seriesColour(p.series.colour), 2.6));
    drawn.points = points;
    cursorLine.setAttribute("y1", CHART_MARGIN.top);
    cursorLine.setAttribute("y2", bottom);
    svg.replaceChildren(clip, ...stages(), ...axes(), inside, ...marks, cursorLine, ring);
    ring.style.display = "none";
    tip.hidden = true;
    drawCursor();
  }

  function layOut(width) {
    const values = spec.extent ?? spec.series.flatMap((s) => [...s.low, ...s.middle, ...s.high]);
    const level = Number.isFinite(spec.reference) ? [spec.reference] : [];
    const axis = valueAxis([...values, ...level], { log: spec.log, limits: spec.limits });
    const bottom = height - CHART_MARGIN.bottom;
    const foot = axis.zeros ? bottom - ZERO_STRIP - ZERO_GAP : bottom;
    const xs = spec.series.flatMap((s) => [...s.x]);
    const [from, to] = spec.xLimits ?? depthLimits(xs);
    const across = width - CHART_MARGIN.left - CHART_MARGIN.right;
    return {
      width, bottom, foot, axis, from, to, points: [],
      whole: xs.every((v) => !Number.isFinite(v) || Number.isInteger(v)),
      x: (depth) => CHART_MARGIN.left + ((depth - from) / (to - from)) * across,
      depth: (pixel) => from + ((pixel - CHART_MARGIN.left) / across) * (to - from),
      y: (value) => {
        const at = axis.position(value);
        return at === null ? null : foot - at * (foot - CHART_MARGIN.top);
      },
      zero: bottom - ZERO_STRIP / 2,
    };
  }

  function stages() {
    const nodes = [];
    (spec.stages ?? []).forEach((stage, number) => {
      const left = Math.max(drawn.x(stage.from), CHART_MARGIN.left);
      const right = Math.min(drawn.x(stage.to), drawn.width - CHART_MARGIN.right);
      if (right <= left) return;
      if (number % 2 === 0) {
        nodes.push(svgElement("rect", { x: left, y: CHART_MARGIN.top, width: right - left, height: drawn.bottom - CHART_MARGIN.top, style: "fill:var(--rv-card);stroke:none" }));
      }
      if (right - left > 6.4 * stage.name.length) {
        nodes.push(textAt((left + right) / 2, CHART_MARGIN.top - 8, stage.name, "middle", "var(--rv-faint)", 11));
      }
    });
    return nodes;
  }

  function textAt(x, y, text, anchor, colour = "var(--rv-ink)", size = 12, turn = null) {
    return svgElement("text", { x, y, "text-anchor": anchor, transform: turn, style: `fill:${colour};font-size:${size}px` }, text);
  }

  function axes() {
    const right = drawn.width - CHART_MARGIN.right;
    const nodes = [];
    for (const tick of drawn.axis.ticks) {
      const y = drawn.y(tick.value);
      if (y === null || y < CHART_MARGIN.top - 0.5 || y > drawn.foot + 0.5) continue;
      nodes.push(svgElement("line", { x1: CHART_MARGIN.left, x2: right, y1: y, y2: y, style: "stroke:var(--rv-line);stroke-opacity:0.55;stroke-width:1" }));
      nodes.push(textAt(CHART_MARGIN.left - 8, y + 4, tick.label, "end", "var(--rv-faint)", 11));
    }
    const room = Math.max(Math.floor((right - CHART_MARGIN.left) / 60), 2);
    for (const tick of depthTicks(drawn.from, drawn.to, room, drawn.whole)) {
      const x = drawn.x(tick.value);
      nodes.push(svgElement("line", { x1: x, x2: x, y1: drawn.bottom, y2: drawn.bottom + 4, style: "stroke:var(--rv-faint)" }));
      nodes.push(textAt(x, drawn.bottom + 17, tick.label, "middle", "var(--rv-faint)", 11));
    }
    const frame = `M${CHART_MARGIN.left},${CHART_MARGIN.top}V${drawn.foot}H${right}`;
    nodes.push(svgElement("path", { d: frame, style: "fill:none;stroke:var(--rv-faint);stroke-width:1" }));
    if (drawn.axis.zeros) {
      const top = drawn.bottom - ZERO_STRIP;
      nodes.push(svgElement("path", { d: `M${CHART_MARGIN.left},${top}V${drawn.bottom}H${right}`, style: "fill:none;stroke:var(--rv-faint);stroke-width:1" }));
      nodes.push(textAt(CHART_MARGIN.left - 8, drawn.zero + 4, "0", "end", "var(--rv-faint)", 11));
    }
    const middle = (CHART_MARGIN.top + drawn.foot) / 2;
    nodes.push(textAt((CHART_MARGIN.left + right) / 2, height - 8, spec.xTitle, "middle"));
    nodes.push(textAt(0, 0, spec.axis, "middle", "var(--rv-ink)", 12, `translate(16,${middle}) rotate(-90)`));
    return nodes;
  }

  function level(value, dash) {
    const y = drawn.y(value);
    return svgElement("line", { x1: CHART_MARGIN.left, x2: drawn.width - CHART_MARGIN.right, y1: y, y2: y, "stroke-dasharray": dash, style: "stroke:var(--rv-faint);stroke-width:1" });
  }

  function path(run, xs, height) {
    return run.map((i, n) => `${n ? "L" : "M"}${drawn.x(xs[i]).toFixed(1)},${height(i).toFixed(1)}`).join("");
  }

  function band(series) {
    if (!(series.seeds > 1)) return [];
    const low = (i) => (drawn.axis.log && series.low[i] === 0 ? drawn.foot : drawn.y(series.low[i]));
    const high = (i) => drawn.y(series.high[i]);
    const places = [...series.x.keys()].map((i) => (low(i) === null || high(i) === null ? null : 1));
    return unbroken(lineOrder(series), places).map((run) => svgElement("path", {
      d: `${path(run, series.x, high)}${path([...run].reverse(), series.x, low).replace("M", "L")}Z`,
      style: `fill:${seriesColour(series.colour)};fill-opacity:0.18;stroke:none`,
    }));
  }

  function lines(series) {
    const heights = [...series.middle].map((value) => drawn.y(value));
    return unbroken(lineOrder(series), heights).map((run) => svgElement("path", {
      d: path(run, series.x, (i) => heights[i]), "stroke-dasharray": LINE_DASHES[series.dash ?? "solid"],
      style: `fill:none;stroke:${seriesColour(series.colour)};stroke-width:2;stroke-linejoin:round`,
    }));
  }

  function theoryLine(law, number) {
    const heights = law.y.map((value) => drawn.y(value));
    const group = svgElement("g");
    for (const run of unbroken([...law.x.keys()], heights)) {
      group.append(svgElement("path", {
        d: path(run, law.x, (i) => heights[i]), "stroke-dasharray": THEORY_DASHES[number % 3],
        style: "fill:none;stroke:var(--rv-ink);stroke-width:1.5",
      }));
    }
    return group;
  }

  /** Every point with its place; zeros of a log axis stand in the strip, open where only some
   *  seeds are 0. */
  function pointsOf(series) {
    const points = [];
    const few = series.x.length <= CHART_MANY;
    for (let index = 0; index < series.x.length; index += 1) {
      if (!Number.isFinite(series.x[index])) continue;
      const symbol = series.symbols?.[index] ?? (series.aside?.[index] ? "diamond-open" : "circle");
      const own = few || series.aside?.[index] || symbol !== "circle";
      const at = { series, index, x: drawn.x(series.x[index]) };
      const y = drawn.y(series.middle[index]);
      if (y !== null) points.push({ ...at, y, symbol, marked: own });
      if (drawn.axis.zeros && series.low[index] === 0) {
        const all = series.middle[index] === 0;
        points.push({ ...at, y: drawn.zero, symbol: all ? symbol : "circle-open", marked: true });
      }
    }
    return points;
  }

  // ---- cursor
  function drawCursor() {
    const stops = cursorStops(shownSeries());
    const known = cursor !== null && stops.length > 0;
    cursorLine.style.display = known ? "" : "none";
    slider.setAttribute("aria-valuemin", stops[0] ?? 0);
    slider.setAttribute("aria-valuemax", stops.at(-1) ?? 0);
    slider.setAttribute("aria-valuenow", cursor ?? stops[0] ?? 0);
    slider.setAttribute("aria-valuetext", known ? spoken() : "no cursor yet");
    if (known) {
      cursorLine.setAttribute("x1", drawn.x(cursor));
      cursorLine.setAttribute("x2", drawn.x(cursor));
    }
    drawReadout(known);
  }

  function atCursor() {
    return shownSeries().map((series) => ({ series, index: pointAtDepth(series, cursor) })).filter((p) => p.index >= 0);
  }

  function spoken() {
    const parts = atCursor().map(({ series, index }) => {
      const said = pointWords(series, index);
      return `${series.name}: ${said.layer}, ${said.value}`;
    });
    return `depth ${shortNumber(cursor)}. ${parts.join("; ")}`;
  }

  function drawReadout(known) {
    if (!known) {
      words.replaceChildren(element("span", { class: "rv-depth-hint" }, "Click in the chart, or focus it and use the arrow keys, to read the values at a layer."));
      return;
    }
    const table = element("table", { class: "rv-depth-values" });
    table.append(element("caption", {}, `at depth ${shortNumber(cursor)}`));
    for (const { series, index } of atCursor()) {
      const said = pointWords(series, index);
      const row = element("tr", {});
      const first = element("th", {}, series.name);
      first.scope = "row";
      first.prepend(chartSwatch(series));
      const away = series.x[index] === cursor ? "" : `nearest: depth ${shortNumber(series.x[index])}`;
      row.append(first, ...[said.value, said.layer, said.shape, away].map((text) => element("td", {}, text)));
      table.append(row);
    }
    words.replaceChildren(table);
  }

  function setCursor(depth) {
    cursor = Number.isFinite(depth) ? depth : null;
    if (drawn) drawCursor();
  }

  function moveTo(depth) {
    if (depth === null || depth === cursor) return;
    setCursor(depth);
    onCursor?.(depth);
  }

  slider.addEventListener("keydown", (event) => {
    if (!spec || event.ctrlKey || event.metaKey || event.altKey) return;
    const stop = stopAfterKey(cursorStops(shownSeries()), cursor, event.key);
    if (stop === null) return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab takes arrow keys for the cells
    moveTo(stop);
  });

  const pixel = (event) => {
    const box = svg.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  function drag(event) {
    const [x] = pixel(event);
    moveTo(nearestStop(cursorStops(shownSeries()), drawn.depth(x)));
  }

  slider.addEventListener("pointerdown", (event) => {
    if (!drawn || event.button !== 0) return;
    slider.setPointerCapture(event.pointerId);
    slider.focus({ preventScroll: true });
    const [x, y] = pixel(event);
    const near = nearestPoint(drawn.points, x, y, 10);
    if (near) moveTo(near.series.x[near.index]);
    else drag(event);
  });
  slider.addEventListener("pointermove", (event) => {
    if (!drawn) return;
    if (slider.hasPointerCapture(event.pointerId)) drag(event);
    hover(...pixel(event));
  });
  slider.addEventListener("pointerleave", () => {
    tip.hidden = true;
    ring.style.display = "none";
  });

  function hover(x, y) {
    const near = nearestPoint(drawn.points, x, y, CHART_REACH);
    tip.hidden = !near;
    ring.style.display = near ? "" : "none";
    if (!near) return;
    ring.setAttribute("cx", near.x);
    ring.setAttribute("cy", near.y);
    const said = pointWords(near.series, near.index);
    tip.replaceChildren(element("b", {}, said.layer), ...[said.place, said.value, said.shape].filter(Boolean).map((text) => element("div", {}, text)));
    const left = near.x > drawn.width / 2;
    tip.style.left = left ? "" : `${near.x + 12}px`;
    tip.style.right = left ? `${plot.clientWidth - near.x + 12}px` : "";
    tip.style.top = `${Math.max(near.y - 30, 0)}px`;
  }

  // a cell out of sight has no width: the last one that was seen counts
  const watch = new ResizeObserver(([entry]) => {
    room = Math.floor(entry.contentRect.width) || room;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => drawn?.width === Math.max(room, CHART_LEAST) || draw());
  });
  watch.observe(plot);

  // ---- export
  /** The chart with title and legend as one SVG element; colours are those of the present theme. */
  function picture() {
    const copy = svg.cloneNode(true);
    const from = [svg, ...svg.querySelectorAll("*")];
    [copy, ...copy.querySelectorAll("*")].forEach((node, n) => paint(node, getComputedStyle(from[n])));
    const ground = getComputedStyle(root).backgroundColor;
    const ink = getComputedStyle(root).color;
    const entries = [
      ...shownSeries().map((series) => [series, legendText(series)]),
      ...(spec.theory ?? []).map((law, n) => [{ theory: true, colour: n }, `theory: ${law.name}`]),
    ];
    const above = [spec.title, ...(spec.conditions ?? [])];
    const top = 20 * above.length + 8;
    const total = top + height + 18 * entries.length + 10;
    const outer = svgElement("svg", { width: drawn.width, height: total, viewBox: `0 0 ${drawn.width} ${total}`, "font-family": "system-ui, sans-serif" });
    outer.append(svgElement("rect", { width: drawn.width, height: total, fill: ground }));
    above.forEach((text, n) => outer.append(svgElement("text", { x: 12, y: 20 * n + 20, fill: ink, "font-size": n ? 11 : 15 }, text)));
    copy.setAttribute("y", top);
    outer.append(copy);
    entries.forEach(([series, text], n) => {
      const y = top + height + 18 * n;
      const key = chartSwatch(series);
      for (const [name, value] of [["x", CHART_MARGIN.left], ["y", y]]) key.setAttribute(name, value);
      for (const node of key.querySelectorAll("[style]")) node.setAttribute("style", node.getAttribute("style").replaceAll("var(--rv-ink)", ink));
      outer.append(key, svgElement("text", { x: CHART_MARGIN.left + 34, y: y + 10, fill: ink, "font-size": 12 }, text));
    });
    return outer;
  }

  function paint(node, computed) {
    if (!node.getAttribute("style")) return;
    const keep = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-linejoin", "font-size", "display"];
    node.setAttribute("style", keep.map((name) => `${name}:${computed.getPropertyValue(name)}`).join(";"));
  }

  return {
    element: root,
    show,
    setCursor,
    get cursor() { return cursor; },
    /** Hide the series with these keys, show the others. */
    setHidden(keys) {
      hidden.clear();
      for (const key of keys) hidden.add(key);
      if (spec) show(spec);
    },
    stops: () => (spec ? cursorStops(shownSeries()) : []),
    shown: () => (spec ? shownSeries().map((series) => series.key) : []),
    focus: () => slider.focus(),
    picture,
    rows: () => chartRows(spec, shownSeries()),
    destroy() {
      watch.disconnect();
      cancelAnimationFrame(waiting);
      root.remove();
    },
  };
}
