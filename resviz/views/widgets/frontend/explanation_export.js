// The explanation as one SVG picture, on white: photograph, map, colour bar, classes.

import { svgElement } from "./controls.js";
import { colourTable, numberWords } from "./pixels.js";

const REASON_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif";
const REASON_SIDE = 320;

function reasonWords(x, y, text, { size = 12, fill = "#222222", anchor = "start", weight = "400" } = {}) {
  const style = { "font-size": size, "font-family": REASON_FONT, "font-weight": weight };
  return svgElement("text", { x, y, fill, "text-anchor": anchor, ...style }, text);
}

function reasonBar(x, y, scale, colours) {
  const table = colourTable(scale.signed ? "signed" : colours);
  const group = svgElement("g");
  for (let step = 0; step < 64; step += 1) {
    const at = Math.round((step / 63) * 255) * 3;
    const fill = `rgb(${table[at]},${table[at + 1]},${table[at + 2]})`;
    const wide = REASON_SIDE / 64;
    group.append(svgElement("rect", { x: x + step * wide, y, width: wide + 0.3, height: 8, fill }));
  }
  [scale.low, (scale.low + scale.high) / 2, scale.high].forEach((value, n) => {
    const anchor = ["start", "middle", "end"][n];
    group.append(reasonWords(x + (n * REASON_SIDE) / 2, y + 20, numberWords(value), { size: 10, anchor }));
  });
  return group;
}

/** Text broken into lines of about `most` letters. */
export function brokenLines(text, most) {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines.length - 1;
    if (lines[last] && lines[last].length + word.length + 1 > most) lines.push(word);
    else lines[last] = lines[last] ? `${lines[last]} ${word}` : word;
  }
  return lines;
}

/** An SVG element of { title, lines, pictures: [{ canvas, caption }], scale, colours, below, rows }. */
export function reasonsPicture({ title, lines, pictures, scale, colours, below, rows }) {
  const [margin, gap] = [16, 16];
  const tall = (canvas) => Math.round((REASON_SIDE * canvas.height) / canvas.width);
  const wide = margin * 2 + pictures.length * (REASON_SIDE + gap) + (rows.length ? 280 : 0);
  const [titles, facts] = [brokenLines(title, wide / 9), lines.flatMap((line) => brokenLines(line, wide / 6))];
  const top = 8 + titles.length * 20 + facts.length * 16 + 24;
  const under = top + Math.max(...pictures.map(({ canvas }) => tall(canvas))) + 12;
  const words = below ? brokenLines(below, (wide - margin * 2) / 6) : [];
  const height = Math.max(under + 40 + words.length * 16, top + rows.length * 22) + margin;
  const svg = svgElement("svg", { width: wide, height, viewBox: `0 0 ${wide} ${height}` });
  svg.append(svgElement("rect", { width: wide, height, fill: "#ffffff" }));
  titles.forEach((line, n) => svg.append(reasonWords(margin, 24 + n * 20, line, { size: 16, weight: "600" })));
  const start = 24 + titles.length * 20;
  facts.forEach((line, n) => svg.append(reasonWords(margin, start + n * 16, line, { size: 11, fill: "#5f6670" })));
  pictures.forEach(({ canvas, caption }, n) => {
    const x = margin + n * (REASON_SIDE + gap);
    const href = canvas.toDataURL("image/png");
    svg.append(reasonWords(x, top - 6, caption, { size: 11 }));
    svg.append(svgElement("image", { x, y: top, width: REASON_SIDE, height: tall(canvas), href }));
    if (n === pictures.length - 1 && scale) svg.append(reasonBar(x, under, scale, colours));
  });
  const x = margin + pictures.length * (REASON_SIDE + gap);
  rows.forEach(({ name, odds, said, sign }, n) => {
    const y = top + n * 22;
    svg.append(svgElement("rect", { x, y, width: 250 * (said ? 0 : odds), height: 18, fill: sign ? "#56b4e9" : "#c9d3dc" }));
    svg.append(reasonWords(x + 4, y + 13, `${sign}${name}`, { size: 11, weight: sign ? "600" : "400" }));
    svg.append(reasonWords(x + 262, y + 13, said ?? odds.toFixed(3), { size: 11, anchor: "end" }));
  });
  words.forEach((line, n) => svg.append(reasonWords(margin, under + 44 + n * 16, line, { size: 11 })));
  return svg;
}
