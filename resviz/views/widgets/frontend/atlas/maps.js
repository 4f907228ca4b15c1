// The maps of an opened channel over its top images: asked for, kept, painted.

import { checkControl, element } from "../controls.js";
import { createScale } from "../explore/colours.js";
import { tilesOf } from "../explore/scenes.js";
import { tilePixels } from "../explore/tiles.js";
import { limitsOf } from "../pixels.js";
import { percent } from "./state.js";

const PAUSE = 80; // milliseconds that a channel is open before its maps are asked for
const OVER = 0.65; // of a map over its picture
const OFF = 0.1; // from which on a difference to the scan is worth a word

/**
 * ask(layer, channel): a promise of the answer, or of null; changed(): paint again.
 * Returns { node, take(meta, view), want(atlas, entry), words(), paint(context, image, box), close }.
 */
export function createTopMaps({ ask, live, changed }) {
  const shown = checkControl({ label: "map", value: true, onChange: changed, title: "where in the picture the channel answers, over the picture in grey" });
  const scale = createScale();
  scale.node.hidden = true;
  /** @type {any} */
  const view = { ask, live, changed, shown, scale, known: new Map(), there: false, timer: 0, refused: new Set() };
  return {
    node: element("div", { class: "rv-atlas-map-choice" }, shown.node, scale.node),
    take(meta, { buffer, byteOffset }) {
      view.known.clear();
      view.refused.clear();
      view.there = Boolean(meta.maps);
      for (const one of meta.opened ?? []) view.known.set(keyOf(one), mapsOf(one, new DataView(buffer, byteOffset + one.base)));
    },
    want(atlas, { layer, channel }) {
      const key = keyOf({ layer: atlas.layers[layer].key, channel });
      clearTimeout(view.timer);
      offer(view, key);
      if (live && view.there && !view.known.has(key) && !view.refused.has(key)) view.timer = setTimeout(() => fetchMaps(view, key), PAUSE);
      view.key = key;
    },
    /** What is to be said of them; "" where there is nothing. */
    words() {
      const found = view.known.get(view.key);
      scale.node.hidden = !found || !shown.get();
      if (found) scale.draw(found.scale, "the colours of the map, the same for all these images");
      return mapWords(found);
    },
    paint: (context, image, box) => (shown.get() ? paintMap(view.known.get(view.key), context, image, box) : false),
    close: () => clearTimeout(view.timer),
  };
}

const keyOf = ({ layer, channel }) => `${layer} ${channel}`;

/** An answer, ready to be painted. */
export function mapsOf(told, view) {
  const places = new Map(told.images.map((image, n) => [image, n]));
  return { tiles: tilesOf(told, view), scale: limitsOf(told.low, told.high), off: told.off, places, pictures: new Map() };
}

function offer({ shown, known, live, there }, key) {
  if (known.has(key) || (live && there)) return shown.enable();
  shown.disable(live ? "the maps need the network: rv.explore_channels(scan, net)" : there ? "this page has the maps of the channels that were opened before it was saved; others need a running kernel" : "the maps need a running kernel and the network: rv.explore_channels(scan, net)");
}

async function fetchMaps(view, key) {
  const at = key.lastIndexOf(" ");
  const answer = await view.ask(key.slice(0, at), Number(key.slice(at + 1)));
  if (!answer) return view.refused.add(key);
  view.known.set(key, mapsOf(answer.content.maps, answer.buffers[0]));
  view.changed();
}

/** How far the maps are from what the scan saw, where that is far. */
export function mapWords(found) {
  return found && found.off > OFF ? `maxima up to ${percent(found.off)} off: made from the pictures that the scan kept` : "";
}

/** True where there is a map of this image. box: { x, y, width, height } of the picture. */
function paintMap(found, context, image, box) {
  const place = found?.places.get(image);
  if (place === undefined) return false;
  if (!found.pictures.has(place)) found.pictures.set(place, pictureOf(found, place));
  const area = [box.x, box.y, box.width, box.height];
  context.save();
  context.beginPath();
  context.rect(...area);
  context.clip();
  context.globalCompositeOperation = "saturation"; // the picture in grey
  context.fillStyle = "#808080";
  context.fillRect(...area);
  context.globalCompositeOperation = "source-over";
  context.globalAlpha = OVER;
  context.imageSmoothingQuality = "high";
  context.drawImage(found.pictures.get(place), ...area);
  context.restore();
  return true;
}

/** A map in colours, a pixel a position; all maps of a channel have one scale. */
function pictureOf({ tiles, scale }, place) {
  const canvas = element("canvas", { width: tiles.width, height: tiles.height });
  const pixels = new Uint8ClampedArray(tilePixels(tiles, place, scale).buffer);
  canvas.getContext("2d").putImageData(new ImageData(pixels, tiles.width, tiles.height), 0, 0);
  return canvas;
}
