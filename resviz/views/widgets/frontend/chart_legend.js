// The names beside a depth chart: what is shown, with buttons that hide it.
import { seriesColour, theoryDash } from "./chart_depth.js";
import { dashOf, pointMark } from "./chart_pen.js";
import { element, svgElement } from "./controls.js";

/** A piece of a series' line, or of a theory's ({ theory: true, colour }). */
export function chartSwatch(series) {
  const box = svgElement("svg", { width: 26, height: 12, viewBox: "0 0 26 12", "aria-hidden": "true" });
  const colour = series.theory ? "var(--rv-ink)" : seriesColour(series.colour);
  const dash = series.theory ? theoryDash(series.colour) : dashOf(series.dash ?? "solid");
  box.append(svgElement("line", { x1: 1, x2: 25, y1: 6, y2: 6, "stroke-dasharray": dash, style: `stroke:${colour};stroke-width:2` }));
  if (!series.theory && !series.bare) box.append(pointMark("circle", 13, 6, colour, 6));
  return box;
}

/** The name of a series in the legend. */
export function legendText(series) {
  return series.seeds > 1 ? `${series.name} (median and range of ${series.seeds} seeds)` : series.name;
}

/** [series or theory, words] of all lines. */
export function legendLines(spec, shown) {
  return [
    ...shown.map((series) => [series, legendText(series)]),
    ...(spec.theory ?? []).map((law, n) => [{ theory: true, colour: n, tip: law.source }, `theory: ${law.name}`]),
  ];
}

/** Fill `names`; `hidden` is a set of keys, onToggle() is called when it has changed. */
export function drawLegend(names, spec, hidden, onToggle) {
  const focused = names.contains(document.activeElement) ? document.activeElement.getAttribute("data-key") : null;
  names.replaceChildren(
    ...legendLines(spec, spec.series).map(([series, text]) => (series.theory ? lawEntry(series, text) : seriesEntry(series, text, hidden, onToggle))),
    ...(spec.symbols ?? []).map(symbolEntry),
  );
  if (focused) [...names.children].find((node) => node.dataset.key === focused)?.focus();
}

function seriesEntry(series, text, hidden, onToggle) {
  const pressed = () => String(!hidden.has(series.key));
  const node = element("button", { class: "rv-depth-name", type: "button", "data-key": series.key, "aria-pressed": pressed(), title: `show or hide ${text}` }, chartSwatch(series), element("span", {}, text));
  node.addEventListener("click", () => {
    if (!hidden.delete(series.key)) hidden.add(series.key);
    node.setAttribute("aria-pressed", pressed());
    onToggle();
  });
  return node;
}

function lawEntry(law, text) {
  return element("span", { class: "rv-depth-name", title: law.tip || null }, chartSwatch(law), element("span", {}, text));
}

function symbolEntry({ symbol, name }) {
  const box = svgElement("svg", { width: 14, height: 12, viewBox: "0 0 14 12", "aria-hidden": "true" }, pointMark(symbol, 7, 6, "var(--rv-faint)", symbol.endsWith("-open") ? 9 : 7));
  return element("span", { class: "rv-depth-name" }, box, element("span", {}, name));
}
