// The feature maps of the place under the cursor: the strongest channels, each on its own scale.

import { element, selectControl, svgElement } from "../controls.js";
import { histogramOf } from "../pixels.js";
import { putPacked } from "./anatomy.js";
import { smallPhotograph, tileOverPhotograph, tileValues } from "./tiles.js";
import { briefNumber, countWords } from "./words.js";

const ACROSS = 4;
const CHANNEL_TILES = 24;
const PHOTO_SIDE = 64;
const OVER = 0.75; // opacity of a map over the photograph
const ORDERS = [
  { value: "class", label: "most for the class" },
  { value: "max", label: "largest value" },
];

/** on: { channel(number), order(name), all() }. Returns { node, draw(state), step(by) }. */
export function createChannels({ on }) {
  const title = element("h3", { class: "rv-part-name" });
  const order = selectControl({ label: "order", options: ORDERS, value: "class", onChange: on.order });
  const all = element("button", { type: "button", class: "rv-button rv-small", onclick: () => on.all() });
  const tiles = Array.from({ length: CHANNEL_TILES }, (_, at) => channelTile(() => point(at)));
  const grid = element(
    "div",
    { class: "rv-channels-grid", role: "group", tabindex: "0", "aria-label": "channels, arrow keys go from one to the next" },
    ...tiles.map((one) => one.node),
  );
  const none = element("p", { class: "rv-empty" });
  const facts = element("p", { class: "rv-channel-facts", "aria-live": "polite" });
  const chart = element("div", { class: "rv-channel-chart", "aria-hidden": "true" });
  const node = element(
    "section",
    { class: "rv-part rv-channels", "aria-label": "feature maps" },
    element("div", { class: "rv-part-heading" }, title),
    grid,
    none,
    element("div", { class: "rv-channel-foot" }, facts, chart),
    element("div", { class: "rv-channel-order" }, order.node, all),
  );
  let [shown, small, of, active] = [null, null, null, 0];

  function point(at) {
    if (!shown?.channels || at < 0 || at >= shown.channels.length) return;
    active = at;
    mark();
    on.channel(shown.channels[at]);
  }
  function mark() {
    tiles.forEach((one, at) => one.node.classList.toggle("rv-channel-active", at === active));
    facts.textContent = channelWords(shown, active);
    chart.replaceChildren(histogramChart(tileValues(shown, active)));
  }
  listenToArrows(grid, (by) => point(Math.max(0, Math.min((shown?.channels.length ?? 1) - 1, active + by))));
  return {
    node,
    step: (by) => point(active + by),
    draw(state) {
      shown = state.tiles;
      title.textContent = state.title;
      order.set(state.order);
      order.hide(!state.orders);
      all.hidden = !shown;
      all.textContent = shown ? `all ${countWords(shown.total)}` : "";
      all.disabled = Boolean(state.refusal);
      all.title = state.refusal ?? "every channel of every block, larger";
      grid.hidden = facts.hidden = chart.hidden = !shown;
      none.hidden = Boolean(shown);
      none.textContent = shown ? "" : (state.why ?? "This layer has no rows and columns: there is no picture of it.");
      if (!shown) return;
      if (of !== state.picture) [of, small] = [state.picture, state.picture && smallPhotograph(state.picture, PHOTO_SIDE)];
      tiles.forEach((one, at) => one.draw(shown, at, small));
      const at = shown.channels.indexOf(state.channel);
      active = at < 0 ? 0 : at;
      mark();
    },
  };
}

function channelTile(onPoint) {
  const canvas = element("canvas", { class: "rv-tile", role: "img", width: 1, height: 1 });
  const words = element("span", { class: "rv-channel-number" });
  const node = element("div", { class: "rv-channel", onpointerenter: onPoint, onclick: onPoint }, canvas, words);
  return {
    node,
    draw(tiles, at, photograph) {
      node.hidden = at >= tiles.channels.length;
      if (node.hidden) return;
      const below = photograph ?? { height: tiles.height, width: tiles.width, pixels: null };
      const flat = tiles.height === 1 && tiles.width > 1;
      const under = flat ? { height: 1, width: tiles.width, pixels: null } : below;
      putPacked(canvas, tileOverPhotograph(tiles, at, under, OVER), under.height, under.width);
      canvas.setAttribute("aria-label", `channel ${tiles.channels[at]}`);
      words.textContent = `#${tiles.channels[at]}`;
    },
  };
}

function listenToArrows(grid, move) {
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: ACROSS, ArrowUp: -ACROSS };
  grid.addEventListener("keydown", (event) => {
    if (!(event.key in steps)) return;
    move(steps[event.key]);
    event.preventDefault();
    event.stopPropagation();
  });
}

/** "#39 · rank 1 · largest 4.1 · 51 % zeros · for the class by 0.8". */
export function channelWords(tiles, at) {
  const words = [`#${tiles.channels[at]}`, `rank ${at + 1}`];
  const [most, zeros] = [tiles.max[at], tiles.zeros[at]];
  if (most !== null) words.push(`largest ${briefNumber(most)}`);
  words.push(zeros === 1 ? "0 everywhere" : `${Math.round(zeros * 100)} % zeros`);
  const weight = tiles.weights?.[at];
  if (weight !== undefined && weight !== null) words.push(`${weight < 0 ? "against" : "for"} the class by ${briefNumber(Math.abs(weight))}`);
  return words.join(" · ");
}

function histogramChart(values) {
  const { counts } = histogramOf(values, 24);
  const [width, height] = [96, 26];
  const most = Math.max(1, ...counts);
  const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, width, height });
  counts.forEach((count, bin) => {
    const tall = count ? Math.max(1, (count / most) * height) : 0;
    svg.append(svgElement("rect", { x: bin * 4, y: height - tall, width: 3, height: tall, class: "rv-bin" }));
  });
  return svg;
}
