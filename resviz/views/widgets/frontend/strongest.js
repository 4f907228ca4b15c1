// The images of a data set that a channel answers to most, beside what it makes of a photograph.

import { judgedWords } from "./atlas/data.js";
import { element } from "./controls.js";
import { briefNumber, countWords } from "./explore/words.js";
import { arrayAt } from "./pixels.js";

const [SIDE, STEP] = [48, 51]; // pixels of an image, and from one to the next
const PAUSE = 60; // milliseconds that a channel is pointed at before it is asked for

/**
 * ask(layer, channel): a promise of the answer, or of null.
 * Returns { node, take(header, page, view), draw(layer, channel), close }.
 */
export function createStrongest({ ask, live }) {
  const canvas = element("canvas", { class: "rv-strongest-images", role: "img", "aria-label": "strongest images", height: SIDE });
  const words = element("p", { class: "rv-strongest-words" });
  const node = element("div", { class: "rv-strongest", role: "group", "aria-label": "strongest images of the data set", hidden: true }, canvas, words);
  /** known: where the images of a channel are, by "layer channel"; wanted: the one that is pointed at; pages: how many a page has. */
  const part = { ...{ ask, live, canvas, words, node }, known: new Map(), header: null, wanted: "", timer: 0, pages: 0 };
  canvas.addEventListener("pointermove", ({ offsetX }) => {
    const rank = Math.floor((offsetX / canvas.clientWidth) * (canvas.width / STEP));
    say(part, imageWords(part.header, part.known.get(part.wanted), rank));
  });
  canvas.addEventListener("pointerleave", () => show(part));
  return {
    node,
    take: (header, page, view) => takeKnown(part, header, page, view),
    draw: (key, channel) => drawStrongest(part, key, channel),
    close: () => clearTimeout(part.timer),
  };
}

const say = ({ words }, text) => (words.textContent = words.title = text);
const keep = ({ known }, group) => group.channels.forEach((channel, at) => known.set(`${group.layer} ${channel}`, { group, at }));

/** What is known from the start: of a page, the images of some channels. */
function takeKnown(part, header, page, { buffer, byteOffset }) {
  part.known.clear();
  part.header = header;
  page?.groups.forEach((group) => keep(part, groupOf(group, new DataView(buffer, byteOffset + group.base))));
  part.pages = part.known.size;
}

function drawStrongest(part, key, channel) {
  const { header, live, known, node } = part;
  node.hidden = !header || !key;
  clearTimeout(part.timer);
  if (node.hidden) return;
  const layer = key.replace(/#0$/, "");
  part.wanted = `${layer} ${channel}`;
  if (live && !known.has(part.wanted) && header.layers.includes(layer)) part.timer = setTimeout(() => fetchNow(part, layer, channel), PAUSE);
  show(part, layer);
}

async function fetchNow(part, layer, channel) {
  const answer = await part.ask(layer, channel);
  if (!answer) return;
  keep(part, groupOf(answer.content.strongest, answer.buffers[0]));
  show(part);
}

function show(part, layer = part.wanted.split(" ")[0]) {
  const { header, known, wanted, canvas, live, pages } = part;
  const found = known.get(wanted);
  const scanned = header.layers.includes(layer);
  canvas.hidden = !scanned || !header.pictures || !(found ? found.group.active[found.at] !== 0 : live);
  canvas.style.opacity = found ? "1" : "0.3"; // of the channel before
  if (!scanned) return say(part, `The scan did not take ${layer}: it is of ${header.words}. rv.scan(..., layers=[…]) takes others.`);
  if (!found) return say(part, live ? "…" : `Its strongest images are not on this page, which has those of ${countWords(pages)} channels.`);
  say(part, strongestWords(header, found));
  paint(canvas, found, () => part.known.get(part.wanted) === found);
}

/** An answer, its arrays read: { layer, channels, ranks, side, value, image, ... }. */
export function groupOf(told, view) {
  const read = { ...told, sheets: told.sheets.map((one) => arrayAt(view, one)) };
  for (const name of ["value", "image", "label", "prediction", "selectivity", "active", "best", "names"]) read[name] = arrayAt(view, told[name]);
  read.names = new TextDecoder().decode(new Uint8Array(read.names)).split("\n");
  return read;
}

const hasImage = ({ group, at }, rank) => rank < group.ranks && group.image[at * group.ranks + rank] >= 0;

/** Decoded when it is shown: a sheet is small, and a page has many. */
async function paint(canvas, { group, at }, wanted) {
  if (!group.sheets.length) return;
  const sheet = await createImageBitmap(new Blob([group.sheets[0]], { type: "image/jpeg" }));
  if (wanted()) {
    canvas.width = group.ranks * STEP - STEP + SIDE;
    const context = canvas.getContext("2d");
    for (let rank = 0; rank < group.ranks; rank += 1) {
      const place = at * group.ranks + rank;
      const from = [(place % group.columns) * group.cell, Math.floor(place / group.columns) * group.cell, group.side, group.side];
      if (hasImage({ group, at }, rank)) context.drawImage(sheet, ...from, rank * STEP, 0, SIDE, SIDE);
    }
    canvas.setAttribute("aria-label", `images that channel ${group.channels[at]} answers to most`);
  }
  sheet.close();
}

/** "strongest of 10,000 images · most for frog, selectivity 0.71". */
export function strongestWords({ images, classes, pictures }, { group, at }) {
  if (group.active[at] === 0) return `dead: no image of ${countWords(images)} activates it`;
  const [best, selectivity] = [classes[group.best[at]], group.selectivity[at]];
  const most = best === undefined ? "" : ` · most for ${best}${selectivity >= 0 ? `, selectivity ${briefNumber(selectivity)}` : ""}`;
  return `strongest of ${countWords(images)} images${most}${pictures ? "" : "; the scan has no pictures of them"}`;
}

/** "2. cat, taken for dog · 4.1 · cat/0012.jpg"; "" where there is no such image. */
export function imageWords({ classes, outputs }, found, rank) {
  if (!found || !hasImage(found, rank)) return "";
  const { group } = found;
  const place = found.at * group.ranks + rank;
  const [label, said] = [classes[group.label[place]], outputs[group.prediction[place]]];
  const judged = judgedWords(label, said) ?? `image ${group.image[place]}`;
  return [`${rank + 1}. ${judged}`, briefNumber(group.value[place]), group.names[place]].filter(Boolean).join(" · ");
}
