// The mosaics as one SVG picture, on white, with titles and colour bars.

import { svgElement } from "./controls.js";
import { colourTable, numberWords } from "./pixels.js";

const MAPS_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif";
const MAPS_MARGIN = 16;
const MAPS_HEAD = 72;
const MAPS_BAR = 34;

function mapsWords(x, y, text, { size = 12, fill = "#222222", anchor = "start", weight = "400" } = {}) {
  return svgElement(
    "text",
    {
      ...{ x, y, fill, "font-size": size, "font-family": MAPS_FONT },
      ...{ "text-anchor": anchor, "font-weight": weight },
    },
    text,
  );
}

function barPicture(x, y, scale, colours, own) {
  const wide = 180;
  const table = colourTable(scale.signed ? "signed" : colours);
  const group = svgElement("g");
  for (let step = 0; step < 64; step += 1) {
    const at = Math.round((step / 63) * 255) * 3;
    const fill = `rgb(${table[at]},${table[at + 1]},${table[at + 2]})`;
    group.append(svgElement("rect", { x: x + (step * wide) / 64, y, width: wide / 64 + 0.3, height: 8, fill }));
  }
  const ends = own ? ["least", "largest"] : [scale.low, scale.high].map((n) => numberWords(n));
  group.append(mapsWords(x, y + 20, ends[0], { size: 10 }));
  group.append(mapsWords(x + wide, y + 20, ends[1], { size: 10, anchor: "end" }));
  return group;
}

/** An SVG element of all panes: { title, lines, panes, colours, own, channel }. */
export function mapsPicture({ title, lines, panes, colours, own, channel }) {
  const sizes = panes.map(({ layout }) => [layout.pixelWidth * layout.zoom, layout.pixelHeight * layout.zoom]);
  const widths = sizes.map(([wide]) => Math.max(wide, 200));
  const width = Math.max(480, widths.reduce((sum, wide) => sum + wide + MAPS_MARGIN, MAPS_MARGIN));
  const height = MAPS_HEAD + MAPS_BAR + 24 + Math.max(...sizes.map(([, tall]) => tall)) + MAPS_MARGIN;
  const svg = svgElement("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
  svg.append(svgElement("rect", { width, height, fill: "#ffffff" }));
  svg.append(mapsWords(MAPS_MARGIN, 26, title, { size: 16, weight: "600" }));
  lines.forEach((line, n) => svg.append(mapsWords(MAPS_MARGIN, 44 + n * 16, line, { size: 11, fill: "#5f6670" })));
  let x = MAPS_MARGIN;
  panes.forEach((one, n) => {
    const text = `${one.title.layer} · ${one.title.size}`;
    svg.append(mapsWords(x, MAPS_HEAD + 12, text, { size: 11 }));
    const scale = one.scaleOf(Math.min(channel, one.data.channels - 1));
    svg.append(barPicture(x, MAPS_HEAD + 20, scale, colours, own));
    svg.append(
      svgElement("image", {
        ...{ x, y: MAPS_HEAD + MAPS_BAR + 16, width: sizes[n][0], height: sizes[n][1] },
        ...{ href: one.canvas.toDataURL("image/png"), style: "image-rendering: pixelated" },
      }),
    );
    x += widths[n] + MAPS_MARGIN;
  });
  return svg;
}
