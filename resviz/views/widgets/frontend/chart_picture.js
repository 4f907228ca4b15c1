// A depth chart as one SVG element for a file: with title and legend, in the colours of the theme.
import { chartSwatch, legendLines } from "./chart_legend.js";
import { svgElement } from "./controls.js";

const KEPT = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-opacity", "stroke-linejoin", "font-size", "display"];
const LINE = 18; // pixels of a line of the legend

/** The chart in `svg`, whose colours are those that `root` gives it now. */
export function chartPicture({ svg, root, spec, shown, chart }) {
  const { color: ink, backgroundColor: ground } = getComputedStyle(root);
  const above = [spec.title, ...(spec.conditions ?? [])];
  const top = 20 * above.length + 8;
  const entries = legendLines(spec, shown);
  const foot = top + chart.height;
  const size = { width: chart.width, height: foot + LINE * entries.length + 10 };
  const outer = svgElement("svg", { ...size, viewBox: `0 0 ${size.width} ${size.height}`, "font-family": "system-ui, sans-serif" });
  outer.append(svgElement("rect", { ...size, fill: ground }));
  above.forEach((text, n) => outer.append(svgElement("text", { x: 12, y: 20 * n + 20, fill: ink, "font-size": n ? 11 : 15 }, text)));
  const copy = painted(svg);
  copy.setAttribute("y", String(top));
  outer.append(copy, ...entries.flatMap(([series, text], n) => legendLine(series, text, chart.margin.left, foot + LINE * n, ink)));
  return outer;
}

/** A copy of which every style is written out. */
function painted(svg) {
  const copy = svg.cloneNode(true);
  const from = [svg, ...svg.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((node, n) => {
    if (!node.getAttribute("style")) return;
    const computed = getComputedStyle(from[n]);
    node.setAttribute("style", KEPT.map((name) => `${name}:${computed.getPropertyValue(name)}`).join(";"));
  });
  return copy;
}

function legendLine(series, text, x, y, ink) {
  const key = chartSwatch(series);
  for (const [name, value] of [["x", x], ["y", y]]) key.setAttribute(name, String(value));
  for (const node of key.querySelectorAll("[style]")) node.setAttribute("style", node.getAttribute("style").replaceAll("var(--rv-ink)", ink));
  return [key, svgElement("text", { x: x + 34, y: y + 10, fill: ink, "font-size": 12 }, text)];
}
