// What is known of the channel that is pointed at: its numbers, its values, its colours.

import { element, svgElement } from "../controls.js";
import { histogramOf, limitsOf } from "../pixels.js";
import { createScale } from "./colours.js";
import { tileEnds, tileValues } from "./tiles.js";
import { briefNumber, placeWords } from "./words.js";

const BINS = 24;
const [WIDE, TALL] = [96, 20]; // pixels of the histogram

/** Returns { node, hide(wanted), draw(tiles, at, added), say(words) }. */
export function createChannelFoot() {
  const facts = element("p", { class: "rv-channel-facts", "aria-live": "polite" });
  const bins = svgElement("path", { class: "rv-bin" });
  const histogram = svgElement("svg", { viewBox: `0 0 ${WIDE} ${TALL}`, width: WIDE, height: TALL, "aria-hidden": "true" }, bins);
  const scale = createScale();
  const chart = element("div", { class: "rv-channel-chart" }, histogram, scale.node);
  /** In the place of all else. */
  const say = (words) => {
    facts.textContent = facts.title = words;
    chart.hidden = true;
  };
  return {
    node: element("div", { class: "rv-channel-foot" }, facts, chart),
    say,
    hide(wanted) {
      facts.hidden = chart.hidden = wanted;
    },
    draw(tiles, at, added) {
      say(channelWords(tiles, at, added));
      chart.hidden = false;
      bins.setAttribute("d", histogramPath(tileValues(tiles, at)));
      const { low, high } = tileEnds(tiles, at);
      scale.draw(limitsOf(low, high), "the colours of this channel; each channel has a scale of its own");
    },
  };
}

/** "#39 · rank 1 · for the class by 0.8 · 2nd added · 51 % zeros · largest 4.1"; the last may be cut, and stands at the scale, too. */
export function channelWords(tiles, at, added = []) {
  const words = [`#${tiles.channels[at]}`, `rank ${at + 1}`];
  const weight = tiles.weights?.[at];
  if (weight !== undefined && weight !== null) words.push(`${weight < 0 ? "against" : "for"} the class by ${briefNumber(Math.abs(weight))}`);
  const place = added.indexOf(tiles.channels[at]);
  if (place >= 0) words.push(`${placeWords(place + 1)} added`);
  const [most, zeros] = [tiles.max[at], tiles.zeros[at]];
  if (zeros) words.push(zeros === 1 ? "0 everywhere" : `${Math.round(zeros * 100)} % zeros`);
  if (most !== null) words.push(`largest ${briefNumber(most)}`);
  return words.join(" · ");
}

/** Why a channel to which the branch adds much is not among those shown. */
export function absentWords(channel, added, { byClass, className }) {
  const order = byClass ? `counts most for ${className}` : "answers most strongly";
  return `#${channel} is ${placeWords(added.indexOf(channel) + 1)} most added, yet not among these: they are what ${order}.`;
}

/** Its bars as one path: one node to lay out in each step along depth. */
export function histogramPath(values) {
  const { counts } = histogramOf(values, BINS);
  const most = Math.max(1, ...counts);
  const step = WIDE / BINS;
  const tall = (count) => (count ? Math.max(1, (count / most) * TALL) : 0);
  return counts.map((count, bin) => `M${bin * step},${TALL}v${-tall(count)}h${step - 1}V${TALL}z`).join("");
}
