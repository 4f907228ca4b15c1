// One mosaic with its caption, and the panel of the enlarged channel.

import { checkControl, element, rangeControl, svgElement } from "./controls.js";
import { mapOverPhotograph, smallPhotograph } from "./explore/tiles.js";
import { briefNumber, countWords } from "./explore/words.js";
import {
  colourTable,
  histogramOf,
  fieldLayout,
  mosaicLayout,
  overLayout,
  overlayPixels,
  paintTiles,
  placeTile,
  rankOf,
  resizedBilinear,
  tileAt,
  tileBox,
  valuesOf,
} from "./pixels.js";

const ENLARGED_WIDTH = 288;
const LARGE = 64; // pixels on the screen of a large tile's longer side, at least
const OVER_SHARE = 0.75; // of a map over the photograph

/** A colour bar with its ends; `words` where each channel has its own. */
export function barNode(scale, colours, words = null) {
  const canvas = element("canvas", { width: 256, height: 1, class: "rv-bar-colours", "aria-hidden": "true" });
  const context = canvas.getContext("2d");
  const picture = context.createImageData(256, 1);
  const table = colourTable(scale.signed ? "signed" : colours);
  for (let index = 0; index < 256; index += 1) {
    picture.data.set([...table.subarray(index * 3, index * 3 + 3), 255], index * 4);
  }
  context.putImageData(picture, 0, 0);
  const numbers = [scale.low, (scale.low + scale.high) / 2, scale.high].map(briefNumber);
  const texts = words ?? numbers;
  const ends = element("div", { class: "rv-bar-ends" }, ...texts.map((text) => element("span", {}, text)));
  const label = `colour bar from ${texts[0]} to ${texts[2]}`;
  return element("div", { class: "rv-bar", role: "img", "aria-label": label }, canvas, ends);
}

/**
 * A mosaic. draw(one, options) paints it; mark(channel) outlines a tile.
 *
 * Options: `available` pixels across, `tableOf(signed)`, `alone`; `large` tiles, `over` the photograph in `colours`;
 * `field`: pixels down that it may take.
 */
export function createPane({ onHover, onChoose }) {
  const canvas = element("canvas", { class: "rv-mosaic", role: "img" });
  const [chosen, hovered] = ["chosen", "hovered"].map((name) =>
    element("div", { class: `rv-outline rv-outline-${name}`, hidden: true }, element("span", { class: "rv-tile-name" })),
  );
  const frame = element("div", { class: "rv-mosaic-frame" }, canvas, hovered, chosen);
  const scroll = element(
    "div",
    { class: "rv-mosaic-scroll", tabindex: "0", role: "group", "aria-roledescription": "mosaic" },
    frame,
  );
  const [name, size] = [element("strong"), element("span", { class: "rv-faint" })];
  const bar = element("div", { class: "rv-pane-bar" });
  const caption = element("div", { class: "rv-caption" }, name, size);
  const node = element("div", { class: "rv-pane" }, caption, bar, scroll);
  const pane = { node, canvas, bar, scroll, layout: null, order: [], large: false, paint: painter(canvas) };

  pane.draw = (one, options) => {
    paintPane(pane, one, options);
    [name.textContent, size.textContent, size.title] = [one.title.layer, one.title.size, one.title.note ?? ""];
    canvas.setAttribute("aria-label", `${one.title.layer}: ${one.title.size}`);
    scroll.setAttribute("aria-label", `${one.title.layer}, arrow keys choose a channel`);
    hovered.hidden = true;
  };
  pane.mark = (channel) => {
    const place = pane.order.indexOf(channel);
    outlineTile(pane, chosen, place);
    if (place >= 0 && scroll.contains(node.getRootNode().activeElement)) scrollToTile(pane, place);
  };
  listenToTiles(pane, hovered, { onHover, onChoose });
  return pane;
}

/** Paints a canvas of a layout's size: paint(layout, (pixels) => ...). */
function painter(canvas) {
  const context = canvas.getContext("2d", { willReadFrequently: true });
  let [key, picture] = ["", null];
  return (layout, fill) => {
    const { pixelWidth, pixelHeight, zoom } = layout;
    const fresh = `${pixelWidth} ${pixelHeight} ${zoom}`;
    if (fresh !== key) {
      [canvas.width, canvas.height] = [pixelWidth, pixelHeight];
      canvas.style.width = `${pixelWidth * zoom}px`;
      canvas.style.height = `${pixelHeight * zoom}px`;
      picture = context.createImageData(pixelWidth, pixelHeight);
      key = fresh;
    }
    fill(new Uint32Array(picture.data.buffer));
    context.putImageData(picture, 0, 0);
  };
}

function paintPane(pane, one, { available, tableOf, alone, large = false, over = false, colours = "viridis", field = 0 }) {
  const { data, order, photograph } = one;
  const tall = alone ? (large ? 520 : 560) : 420;
  const flat = data.height === 1 && data.width > 1;
  Object.assign(pane, { order, large });
  if (over && photograph && !flat) {
    pane.layout = overLayout(order.length, data, photograph, available - 6, { tall, least: LARGE });
    pane.paint(pane.layout, (pixels) => paintOver(pixels, pane.layout, one, colours));
    return;
  }
  const count = [order.length, data.height, data.width, available - 6];
  pane.layout = field && large ? fieldLayout(...count, { tall: field }) : mosaicLayout(...count, { tall: field || tall, least: large ? LARGE : undefined });
  pane.paint(pane.layout, (pixels) => paintTiles(pixels, pane.layout, data, one.image, order, one.scaleOf, tableOf));
}

/** Channels over the photograph, each a tile. */
function paintOver(pixels, layout, one, colours) {
  const { data, image, photograph } = one;
  const below = photographOf(photograph, layout.side);
  pixels.fill(0);
  one.order.forEach((channel, place) => {
    const scale = { ...one.scaleOf(channel), colours };
    placeTile(pixels, layout, place, mapOverPhotograph(valuesOf(data, image, channel), data, scale, below, OVER_SHARE));
  });
}

const smallOnes = new WeakMap();
/** One photograph of a record, its longer side `side` pixels; kept with the record's. */
function photographOf({ pixels, height, width, image }, side) {
  if (!smallOnes.has(pixels)) smallOnes.set(pixels, new Map());
  const kept = smallOnes.get(pixels);
  const key = `${image} ${side}`;
  if (!kept.has(key)) {
    const size = height * width * 3;
    const one = { height, width, pixels: pixels.subarray(image * size, (image + 1) * size) };
    kept.set(key, smallPhotograph(one, side));
  }
  return kept.get(key);
}

function outlineTile({ layout, order, large }, box, place) {
  box.hidden = place < 0;
  if (place < 0) return;
  const { zoom } = layout;
  const tile = tileBox(layout, place);
  box.style.transform = `translate(${tile.x * zoom}px, ${tile.y * zoom}px)`;
  box.style.width = `${tile.width * zoom}px`;
  box.style.height = `${tile.height * zoom}px`;
  box.firstChild.textContent = large ? `#${order[place]}` : "";
}

function scrollToTile({ layout, scroll }, place) {
  const tile = tileBox(layout, place);
  const [top, bottom] = [tile.y * layout.zoom, (tile.y + tile.height) * layout.zoom];
  if (top < scroll.scrollTop) scroll.scrollTop = top - 4;
  if (bottom > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = bottom - scroll.clientHeight + 4;
}

function listenToTiles(pane, hovered, { onHover, onChoose }) {
  const { canvas } = pane;
  const under = (event) => {
    const box = canvas.getBoundingClientRect();
    const ratio = box.width / pane.layout.pixelWidth || 1;
    return tileAt(pane.layout, (event.clientX - box.left) / ratio, (event.clientY - box.top) / ratio);
  };
  canvas.addEventListener("pointermove", (event) => {
    const found = under(event);
    outlineTile(pane, hovered, found ? found.place : -1);
    onHover(pane, found);
  });
  canvas.addEventListener("pointerleave", () => {
    hovered.hidden = true;
    onHover(pane, null);
  });
  canvas.addEventListener("click", (event) => {
    const found = under(event);
    if (found) onChoose(pane, found.place);
  });
}

/** The enlarged channel of every pane, with numbers and a histogram. */
export function createChannelPanel({ onChange }) {
  const pictures = element("div", { class: "rv-enlarged" });
  const opacity = rangeControl({
    ...{ label: "Opacity", min: 0, max: 1, step: 0.05, value: 0.6, onChange },
    words: (value) => `${Math.round(value * 100)} %`,
  });
  const smooth = checkControl({ label: "smooth", value: true, onChange, title: "bilinear" });
  const name = element("h4", { class: "rv-heading" });
  const facts = element("dl", { class: "rv-numbers" });
  const chart = element("div", { class: "rv-histogram" });
  const controls = element("div", { class: "rv-panel-controls" }, opacity.node, smooth.node);
  const node = element("aside", { class: "rv-panel", "aria-label": "enlarged channel" });
  node.append(name, pictures, controls, facts, chart);
  let [kept, text] = [[], ""];
  const draw = (list, { colours, active }) => {
    kept = list;
    const [first, several] = [list[active], list.length > 1];
    const look = { wide: several ? 136 : ENLARGED_WIDTH, several, colours, opacity: opacity.get(), smooth: smooth.get() };
    pictures.replaceChildren(...list.map((one) => enlargedChannel(one, look)));
    name.textContent = `Channel ${first.channel}${several ? ` of ${first.title.layer}` : ""}`;
    const rows = channelNumbers(first);
    facts.replaceChildren(...rows.flatMap(([term, value, why]) => [element("dt", { title: why }, term), element("dd", {}, value)]));
    chart.replaceChildren(histogramNode(valuesOf(first.data, first.image, first.channel)));
    text = `channel ${first.channel}: ${rows.map(([term, value]) => `${term} ${value}`).join("; ")}`;
  };
  const head = ["layer", "image", "channel", "row", "column", "value", "half_step"];
  return { node, draw, words: () => text, rows: () => [head, ...kept.flatMap(valueRows)] };
}

/** What is known of a channel: [term, value, explanation]. */
function channelNumbers({ data, image, channel, weight }) {
  const at = image * data.channels + channel;
  const row = (values) => values.subarray(image * data.channels, (image + 1) * data.channels);
  const rank = (values) => countWords(rankOf(row(values), channel));
  const zeros = data.zeros[at];
  const share = zeros === 255 ? "all: dead here" : zeros ? `about ${Math.round(zeros / 2.55)} %` : "none";
  const rows = [
    ["mean", `${briefNumber(data.mean[at])}, rank ${rank(data.mean)} of ${countWords(data.channels)}`, "over all positions; rank 1 is the largest of the layer"],
    ["maximum", `${briefNumber(data.maximum[at])}, rank ${rank(data.maximum)}`, "at the position where the channel answers most"],
    ["exact zeros", share, "positions at which the channel does not answer at all"],
  ];
  if (!weight) return rows;
  const { weights, name } = weight;
  const why = "what a unit of this channel's mean adds to the class, before the softmax";
  const added = weights[channel] * data.mean[at];
  rows.push([`weight for ${name}`, `${briefNumber(weights[channel])}, rank ${countWords(rankOf(weights, channel))}`, why]);
  rows.push([`adds to ${name}`, briefNumber(added), "weight times mean: the channel's part of the class's logit"]);
  return rows;
}

/** look: { wide, several, colours, opacity, smooth }. */
function enlargedChannel(one, look) {
  const { data, image, channel, photograph } = one;
  const values = valuesOf(data, image, channel);
  const scale = one.scaleOf(channel);
  const colours = colourTable(scale.signed ? "signed" : look.colours);
  const flat = data.height === 1 && data.width > 1;
  const over = photograph && !flat;
  const [tall, broad] = over ? [photograph.height, photograph.width] : [data.height, data.width];
  const size = tall * broad * 3;
  const below = over ? photograph.pixels.subarray(image * size, (image + 1) * size) : null;
  const canvas = element("canvas", { width: broad, height: tall, class: "rv-enlarged-picture", role: "img" });
  const brought = over ? fittedValues(values, data, tall, broad, look.smooth) : values;
  const pixels = overlayPixels(brought, scale, colours, below, look.opacity);
  canvas.getContext("2d").putImageData(new ImageData(pixels, broad, tall), 0, 0);
  canvas.style.width = `${look.wide}px`;
  canvas.style.height = flat ? "48px" : `${Math.round((look.wide * tall) / broad)}px`;
  canvas.setAttribute("aria-label", `channel ${channel} of ${data.key}${over ? " over the photograph" : ""}`);
  const caption = look.several ? `${one.title.layer}, channel ${channel}, ${one.title.image}` : "";
  const why = over ? "" : flat ? "no picture has these positions" : "this network has no pictures";
  const words = [caption, why].filter(Boolean).map((text) => element("figcaption", { class: "rv-faint" }, text));
  return element("figure", { class: "rv-figure" }, canvas, ...words);
}

function fittedValues(values, data, tall, broad, smooth) {
  if (smooth) return resizedBilinear(values, data.height, data.width, tall, broad);
  const out = new Float32Array(tall * broad);
  for (let place = 0; place < out.length; place += 1) {
    const row = Math.floor((Math.floor(place / broad) * data.height) / tall);
    out[place] = values[row * data.width + Math.floor(((place % broad) * data.width) / broad)];
  }
  return out;
}

function valueRows(one) {
  const { data, image, channel } = one;
  const half = data.scale[image * data.channels + channel] / 2;
  return Array.from(valuesOf(data, image, channel), (value, place) => {
    const [row, column] = [Math.floor(place / data.width), place % data.width];
    return [data.key, image, channel, row, column, Number.isNaN(value) ? "" : value, half];
  });
}

/** Bars of a channel's values. */
function histogramNode(values) {
  const { counts, low, high, missing } = histogramOf(values);
  const [width, height] = [288, 72];
  const most = Math.max(1, ...counts);
  const each = width / counts.length;
  const words = `histogram of ${values.length} values from ${briefNumber(low)} to ${briefNumber(high)}`;
  const svg = svgElement("svg", {
    ...{ viewBox: `0 0 ${width} ${height}`, class: "rv-chart", role: "img", "aria-label": words },
  });
  counts.forEach((count, bin) => {
    const tall = count ? Math.max(1, (count / most) * (height - 2)) : 0;
    svg.append(
      svgElement("rect", {
        ...{ x: bin * each + 0.5, y: height - tall, width: each - 1, height: tall, class: "rv-bin" },
      }),
    );
  });
  svg.append(svgElement("line", { x1: 0, x2: width, y1: height, y2: height, class: "rv-axis" }));
  const gone = missing ? `, ${missing} not finite` : "";
  const ends = element(
    "div",
    { class: "rv-bar-ends" },
    element("span", {}, briefNumber(low)),
    element("span", {}, `${countWords(values.length)} values, largest bin ${countWords(most)}${gone}`),
    element("span", {}, briefNumber(high)),
  );
  return element("div", {}, svg, ends);
}
