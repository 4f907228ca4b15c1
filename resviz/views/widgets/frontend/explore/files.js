// What the screen saves: numbers along depth, what was predicted, pictures.

import { csvText, saveBlob, svgText, svgToPng } from "../shell.js";
import { largest } from "./scenes.js";

const INK_STYLES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "font", "text-anchor", "opacity"];

/** Entries of the export menu; look() gives what is shown. */
export function exploreFiles({ look, spine, root }) {
  const name = (what, ending) => `${stem(look())}-${what}.${ending}`;
  return [
    {
      label: "Numbers along depth (CSV)",
      run: async () => saveBlob(new Blob([csvText(depthRows(look()))], { type: "text/csv" }), name("depth", "csv")),
    },
    {
      label: "Predicted classes (CSV)",
      run: async () => saveBlob(new Blob([csvText(classRows(look()))], { type: "text/csv" }), name("classes", "csv")),
    },
    { label: "Network and curve (SVG)", run: async () => saveBlob(svgBlob(spine.svg), name("depth", "svg")) },
    { label: "Network and curve (PNG)", run: async () => saveBlob(await svgToPng(inked(spine.svg)), name("depth", "png")) },
    {
      label: "Photograph with map (PNG)",
      run: async () => saveBlob(await canvasBlob(root.querySelector(".rv-explore-picture")), name("map", "png")),
    },
  ];
}

/** A file name of what is shown: network, photograph, class. */
function stem({ header, image, className }) {
  const parts = [header.network, header.photographs[image].name.replace(/\.\w+$/, ""), className];
  return parts.map((part) => part.replace(/[^\w-]+/g, "_")).filter(Boolean).join("-");
}

/** A row for each place: its numbers, and the class without it. */
export function depthRows({ scene, index, without, line, className, of }) {
  const curves = Object.entries(scene.curves);
  const named = (name) => (of && name === "gradient" ? `gradient: ${of}` : name); // of the recorded class
  const head = ["block", "depth", "stage", "shortcut", ...curves.map(([name]) => named(name)), `seen: ${className}`, `without: ${className}`];
  const rows = scene.places.map((place, at) => [
    ...[place.name, place.depth, place.stage, place.kind],
    ...curves.map(([, { values }]) => values[at]),
    line.seen?.[at] ?? null,
    index === null ? null : (without?.rows.get(at)?.[index] ?? null),
  ]);
  return [head, ...rows];
}

function classRows({ scene, header }) {
  const head = ["class", "index", header.word ?? "value", `${header.word ?? "value"}_whole_network`];
  const order = scene.numbers ? largest(scene.numbers, scene.numbers.length) : [];
  return [head, ...order.map((one) => [header.classes[one], one, scene.numbers[one], scene.before ? scene.before[one] : null])];
}

/** A copy with its colours written into it: a file has no style sheet. */
function inked(svg) {
  const copy = svg.cloneNode(true);
  const [from, to] = [svg, copy].map((one) => [...one.querySelectorAll("*")]);
  from.forEach((node, at) => {
    const style = getComputedStyle(node);
    for (const key of INK_STYLES) to[at].style.setProperty(key, style.getPropertyValue(key));
  });
  return copy;
}
const svgBlob = (svg) => new Blob([svgText(inked(svg))], { type: "image/svg+xml" });
const canvasBlob = (canvas) => new Promise((done) => canvas.toBlob(done, "image/png"));
