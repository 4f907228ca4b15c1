// The feature maps of the place under the cursor: the strongest channels, each on its own scale.

import { element, selectControl, setText } from "../controls.js";
import { absentWords, createChannelFoot } from "./channel_foot.js";
import { createLargeChannel } from "./channel_large.js";
import { createKept } from "./kept.js";
import { packedImage, putImage } from "./pictures.js";
import { smallPhotograph, tileOverPhotograph } from "./tiles.js";
import { countWords } from "./words.js";

const ACROSS = 4;
const CHANNEL_TILES = 24;
const PHOTO_SIDE = 64;
const OVER = 0.75; // opacity of a map over the photograph
const KEPT = 24; // blocks whose small pictures are kept, 0.4 MB each
const ORDERS = [
  { value: "class", label: "most for the class" },
  { value: "max", label: "largest value" },
];

/**
 * on: { channel(number), order(name), all() }; strongest: the images of a scan.
 * Returns { node, draw(state), steps(state), mark(channel), step(by), isLarge(), close }; mark: of a channel pointed at elsewhere;
 * steps: what makes its pictures ready, one after the other.
 */
export function createChannels({ on, strongest }) {
  const view = { on, strongest, shown: null, state: null, small: null, of: null, active: 0, kept: createKept(KEPT), parts: channelParts(on) };
  const { tiles, grid, large } = view.parts;
  const point = (at) => pointAt(view, at);
  tiles.forEach((one, at) => {
    one.node.addEventListener("pointerenter", () => point(at));
    one.node.addEventListener("click", () => (point(at), openLarge(view)));
  });
  large.onClose(() => closeLarge(view));
  listenToArrows(grid, (by) => point(Math.max(0, Math.min((view.shown?.channels.length ?? 1) - 1, view.active + by))));
  grid.addEventListener("keydown", (event) => event.key === "Enter" && (openLarge(view), event.preventDefault()));
  return {
    node: channelSection(view.parts, strongest),
    step: (by) => point(view.active + by),
    close: () => closeLarge(view),
    /** One channel is looked at, large: what is only passed over changes nothing. */
    isLarge: () => large.isOpen(),
    mark: (channel) => markElsewhere(view, channel),
    *steps({ tiles: wanted, picture }) {
      for (let at = 0; at < (wanted?.channels.length ?? 0); at += 1) yield imageAt(view, wanted, at, picture);
    },
    draw(state) {
      view.state = state;
      view.shown = state.tiles;
      drawChannelControls(view);
      drawChannelTiles(view);
    },
  };
}

function channelParts(on) {
  const tiles = Array.from({ length: CHANNEL_TILES }, channelTile);
  const grid = element(
    "div",
    { class: "rv-channels-grid", role: "group", tabindex: "0", "aria-label": "channels, arrow keys go from one to the next, Enter shows one large" },
    ...tiles.map((one) => one.node),
  );
  return {
    ...{ tiles, grid, large: createLargeChannel(), foot: createChannelFoot() },
    title: element("h3", { class: "rv-part-name" }),
    order: selectControl({ label: "order", options: ORDERS, value: "class", onChange: on.order }),
    all: element("button", { type: "button", class: "rv-button rv-small", onclick: () => on.all() }),
    none: element("p", { class: "rv-empty" }),
  };
}

function channelSection({ title, grid, large, none, foot, order, all }, strongest) {
  return element(
    "section",
    { class: "rv-part rv-channels", "aria-label": "feature maps" },
    element("div", { class: "rv-part-heading" }, title),
    element("div", { class: "rv-channels-field" }, grid, large.node, none),
    foot.node,
    strongest.node,
    element("div", { class: "rv-channel-order" }, order.node, all),
  );
}

function pointAt(view, at) {
  const { shown, on } = view;
  if (!shown?.channels || at < 0 || at >= shown.channels.length) return;
  view.active = at;
  markActive(view);
  on.channel(shown.channels[at]);
}

function markActive({ parts, shown, active, state, strongest }) {
  parts.tiles.forEach((one, at) => one.node.classList.toggle("rv-channel-active", at === active));
  parts.foot.draw(shown, active, state.added);
  parts.large.draw(shown, active, state.picture);
  strongest.draw(state.key, shown.channels[active]);
}

/** Of a channel that is not among these, why not. */
function markElsewhere(view, channel) {
  const { shown, state, parts } = view;
  if (!shown) return;
  const at = shown.channels.indexOf(channel);
  if (at >= 0) {
    view.active = at;
    return markActive(view);
  }
  parts.tiles.forEach((one) => one.node.classList.remove("rv-channel-active"));
  if (state.added.includes(channel)) parts.foot.say(absentWords(channel, state.added, state));
}

function openLarge(view) {
  if (!view.shown || view.shown.height * view.shown.width < 2) return;
  view.parts.large.open();
  markActive(view);
}

function closeLarge({ parts }) {
  if (!parts.large.isOpen()) return false;
  const held = parts.large.node.contains(parts.large.node.getRootNode().activeElement);
  parts.large.close();
  if (held) parts.grid.focus();
  return true;
}

function drawChannelControls({ shown, state, parts, strongest }) {
  const { title, order, all, grid, none, foot } = parts;
  setText(title, state.title);
  title.title = state.title;
  order.set(state.order);
  order.hide(!state.orders);
  all.hidden = !shown;
  setText(all, shown ? `all ${countWords(shown.total)}` : "");
  all.disabled = Boolean(state.refusal);
  all.title = state.refusal ?? "every channel of every block, larger";
  grid.hidden = !shown;
  foot.hide(!shown);
  none.hidden = Boolean(shown);
  none.textContent = shown ? "" : (state.why ?? "This layer has no rows and columns: there is no picture of it.");
  if (!shown) parts.large.close();
  if (!shown) strongest.draw(null);
}

function drawChannelTiles(view) {
  const { shown, state, parts } = view;
  if (!shown) return;
  parts.tiles.forEach((one, at) => one.draw(shown.channels[at], () => imageAt(view, shown, at, state.picture)));
  view.active = Math.max(0, shown.channels.indexOf(state.channel));
  markActive(view);
}

/** A channel over the photograph, small; made once. */
function imageAt(view, tiles, at, picture) {
  if (view.of !== picture) [view.of, view.small] = [picture, picture && smallPhotograph(picture, PHOTO_SIDE)];
  const flat = tiles.height === 1 && tiles.width > 1;
  const under = (!flat && view.small) || { height: tiles.height, width: tiles.width, pixels: null };
  const images = view.kept(tiles, [view.small], () => []);
  return (images[at] ??= packedImage(tileOverPhotograph(tiles, at, under, OVER), under.height, under.width));
}

function channelTile() {
  const canvas = element("canvas", { class: "rv-tile", role: "img", width: 1, height: 1 });
  const words = element("span", { class: "rv-channel-number" });
  const node = element("div", { class: "rv-channel" }, canvas, words);
  return {
    node,
    draw(channel, image) {
      node.hidden = channel === undefined;
      if (node.hidden) return;
      putImage(canvas, image());
      canvas.setAttribute("aria-label", `channel ${channel}`);
      words.textContent = `#${channel}`;
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
