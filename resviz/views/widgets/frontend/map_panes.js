// One mosaic with its caption, and the panel of the enlarged channel.

import { checkControl, element, rangeControl, svgElement } from "./controls.js";
import {
  colourTable,
  histogramOf,
  mosaicLayout,
  numberWords,
  overlayPixels,
  paintTiles,
  rankOf,
  resizedBilinear,
  tileAt,
  tileBox,
  valuesOf,
} from "./pixels.js";

const ENLARGED_WIDTH = 288;

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
  const numbers = [scale.low, (scale.low + scale.high) / 2, scale.high].map((n) => numberWords(n));
  const texts = words ?? numbers;
  const ends = element("div", { class: "rv-bar-ends" }, ...texts.map((text) => element("span", {}, text)));
  const label = `colour bar from ${texts[0]} to ${texts[2]}`;
  return element("div", { class: "rv-bar", role: "img", "aria-label": label }, canvas, ends);
}

/** A mosaic. draw(one, options) paints it; mark(channel) outlines a tile. */
export function createPane({ onHover, onChoose }) {
  const canvas = element("canvas", { class: "rv-mosaic", role: "img" });
  const [chosen, hovered] = ["chosen", "hovered"].map((name) =>
    element("div", { class: `rv-outline rv-outline-${name}`, hidden: true }),
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
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const pane = { node, canvas, bar, layout: null };
  let [order, key, picture] = [[], "", null];

  pane.draw = (one, { available, tableOf, alone }) => {
    const { data } = one;
    pane.layout = mosaicLayout(data.channels, data.height, data.width, available - 6, {
      tall: alone ? 560 : 420,
    });
    const { pixelWidth, pixelHeight, zoom } = pane.layout;
    const fresh = `${pixelWidth} ${pixelHeight} ${zoom}`;
    if (fresh !== key) {
      [canvas.width, canvas.height] = [pixelWidth, pixelHeight];
      canvas.style.width = `${pixelWidth * zoom}px`;
      canvas.style.height = `${pixelHeight * zoom}px`;
      picture = context.createImageData(pixelWidth, pixelHeight);
      key = fresh;
    }
    const pixels = new Uint32Array(picture.data.buffer);
    paintTiles(pixels, pane.layout, data, one.image, one.order, one.scaleOf, tableOf);
    context.putImageData(picture, 0, 0);
    order = one.order;
    [name.textContent, size.textContent] = [one.title.layer, one.title.size];
    canvas.setAttribute("aria-label", `${one.title.layer}: ${one.title.size}`);
    scroll.setAttribute("aria-label", `${one.title.layer}, arrow keys choose a channel`);
    hovered.hidden = true;
  };

  const outline = (box, place) => {
    box.hidden = place < 0;
    if (place < 0) return;
    const { zoom } = pane.layout;
    const tile = tileBox(pane.layout, place);
    box.style.transform = `translate(${tile.x * zoom}px, ${tile.y * zoom}px)`;
    box.style.width = `${tile.width * zoom}px`;
    box.style.height = `${tile.height * zoom}px`;
  };
  pane.mark = (channel) => {
    const place = order.indexOf(channel);
    outline(chosen, place);
    if (place < 0 || !scroll.contains(node.getRootNode().activeElement)) return;
    const tile = tileBox(pane.layout, place);
    const [top, bottom] = [tile.y * pane.layout.zoom, (tile.y + tile.height) * pane.layout.zoom];
    if (top < scroll.scrollTop) scroll.scrollTop = top - 4;
    if (bottom > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = bottom - scroll.clientHeight + 4;
  };

  const under = (event) => {
    const box = canvas.getBoundingClientRect();
    const ratio = box.width / pane.layout.pixelWidth || 1;
    return tileAt(pane.layout, (event.clientX - box.left) / ratio, (event.clientY - box.top) / ratio);
  };
  canvas.addEventListener("pointermove", (event) => {
    const found = under(event);
    outline(hovered, found ? found.place : -1);
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
  return pane;
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

  function numbers(one) {
    const { data, image, channel } = one;
    const at = image * data.channels + channel;
    const row = (values) => values.subarray(image * data.channels, (image + 1) * data.channels);
    const rank = (values) => rankOf(row(values), channel);
    const zeros = data.zeros[at];
    const share = zeros === 255 ? "all: dead here" : zeros ? `about ${Math.round(zeros / 2.55)} %` : "none";
    const rows = [
      ["mean", `${numberWords(data.mean[at])}, rank ${rank(data.mean)} of ${data.channels}`],
      ["maximum", `${numberWords(data.maximum[at])}, rank ${rank(data.maximum)}`],
      ["exact zeros", share],
    ];
    if (one.weight) {
      const { weights, name: label } = one.weight;
      const place = rankOf(weights, channel);
      rows.push([`weight for ${label}`, `${numberWords(weights[channel])}, rank ${place}`]);
    }
    return rows;
  }

  function enlarge(one, wide) {
    const { data, image, channel, photograph } = one;
    const values = valuesOf(data, image, channel);
    const scale = one.scaleOf(channel);
    const colours = colourTable(scale.signed ? "signed" : one.colours);
    const flat = data.height === 1 && data.width > 1;
    const over = photograph && !flat;
    const [tall, broad] = over ? [photograph.height, photograph.width] : [data.height, data.width];
    const brought = over ? fitted(values, data, tall, broad) : values;
    const size = tall * broad * 3;
    const below = over ? photograph.pixels.subarray(image * size, (image + 1) * size) : null;
    const canvas = element("canvas", { width: broad, height: tall, class: "rv-enlarged-picture", role: "img" });
    const pixels = overlayPixels(brought, scale, colours, below, opacity.get());
    canvas.getContext("2d").putImageData(new ImageData(pixels, broad, tall), 0, 0);
    canvas.style.width = `${wide}px`;
    canvas.style.height = flat ? "48px" : `${Math.round((wide * tall) / broad)}px`;
    canvas.setAttribute("aria-label", `channel ${channel} of ${data.key}${over ? " over the photograph" : ""}`);
    const why = over ? "" : flat ? "no picture has these positions" : "this network has no pictures";
    return element(
      "figure",
      { class: "rv-figure" },
      canvas,
      one.caption ? element("figcaption", { class: "rv-faint" }, one.caption) : null,
      why ? element("figcaption", { class: "rv-faint" }, why) : null,
    );
  }
  function fitted(values, data, tall, broad) {
    if (smooth.get()) return resizedBilinear(values, data.height, data.width, tall, broad);
    const out = new Float32Array(tall * broad);
    for (let place = 0; place < out.length; place += 1) {
      const row = Math.floor((Math.floor(place / broad) * data.height) / tall);
      out[place] = values[row * data.width + Math.floor(((place % broad) * data.width) / broad)];
    }
    return out;
  }

  return {
    node,
    draw(list, { colours, active }) {
      kept = list;
      const first = list[active];
      const several = list.length > 1;
      const wide = several ? 136 : ENLARGED_WIDTH;
      const captioned = (one) => ({
        ...{ ...one, colours },
        caption: several ? `${one.title.layer}, channel ${one.channel}, ${one.title.image}` : "",
      });
      pictures.replaceChildren(...list.map((one) => enlarge(captioned(one), wide)));
      name.textContent = `Channel ${first.channel}${several ? ` of ${first.title.layer}` : ""}`;
      const rows = numbers(first);
      facts.replaceChildren(
        ...rows.flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, value)]),
      );
      chart.replaceChildren(histogramNode(valuesOf(first.data, first.image, first.channel)));
      text = `channel ${first.channel}: ${rows.map((row) => row.join(" ")).join("; ")}`;
    },
    words: () => text,
    rows() {
      const head = ["layer", "image", "channel", "row", "column", "value", "half_step"];
      return [head, ...kept.flatMap(valueRows)];
    },
  };
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
  const words = `histogram of ${values.length} values from ${numberWords(low)} to ${numberWords(high)}`;
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
    element("span", {}, numberWords(low)),
    element("span", {}, `${values.length} values, largest bin ${most}${gone}`),
    element("span", {}, numberWords(high)),
  );
  return element("div", {}, svg, ends);
}
