// The payload of an atlas as layers, pictures and found channels that can be read. No DOM.

import { arrayAt } from "../pixels.js";

/** Every reference within `described` as the array that it stands for. */
function readIn(view, described) {
  if (described === null || typeof described !== "object" || Array.isArray(described)) return described;
  if ("dtype" in described) return arrayAt(view, described);
  return Object.fromEntries(Object.entries(described).map(([name, one]) => [name, readIn(view, one)]));
}

const sheetsOf = (view, described) => described && { ...readIn(view, described), sheets: described.sheets.map((one) => arrayAt(view, one)) };

/** The payload: { facts, images, top, classes, layers, found, pictures, points }. */
export function atlasOf(meta, view) {
  const pictures = sheetsOf(view, meta.pictures);
  pictures.place = new Map(Array.from(pictures.images, (image, place) => [image, place]));
  const layers = meta.layers.map((layer) => ({ ...readIn(view, layer), crops: sheetsOf(view, layer.crops) }));
  return { ...meta, layers, pictures, found: readIn(view, meta.found), points: readIn(view, meta.points ?? null) };
}

/** Number of a channel: "mean", "selectivity", ...; NaN where it was not measured. */
export const numberOf = (layer, name, channel) => layer.numbers[name]?.[channel] ?? NaN;

/** Whether no image activated a channel; false where that was not measured. */
export const isDead = (layer, channel) => numberOf(layer, "active", channel) === 0;

/** The top image of a rank (from 0): { image, value, row, column, place }, or null; `place` among the pictures, or -1. */
export function topOf(atlas, layer, channel, rank) {
  const { value, image, row, column } = layer.top;
  const at = rank * layer.channels + channel;
  if (rank >= atlas.top || image[at] < 0) return null;
  const place = atlas.pictures.place.get(image[at]) ?? -1;
  return { image: image[at], value: value[at], row: row[at], column: column[at], place };
}

/** "cat", or "cat, taken for dog"; undefined where neither is known. */
export const judgedWords = (label, said) => (label !== undefined && said !== undefined && said !== label ? `${label}, taken for ${said}` : (label ?? said));

/** Receptive field of a position in pixels of the input, [top, left, bottom, right]; null: the whole image. */
export function boxOf({ field }, row, column) {
  if (!field) return null;
  const [top, left] = [field.start[0] + field.step[0] * row, field.start[1] + field.step[1] * column];
  return [top, left, top + field.size[0], left + field.size[1]];
}

/** What of a picture a tile shows: `window` and, within it, what was `seen`; both [top, left, bottom, right]. */
export function windowOf(box, height, width) {
  if (!box) return { window: [0, 0, height, width], seen: [0, 0, height, width] };
  const seen = [Math.max(box[0], 0), Math.max(box[1], 0), Math.min(box[2], height), Math.min(box[3], width)];
  const [tall, wide] = [box[2] - box[0] >= height, box[3] - box[1] >= width];
  return { window: [tall ? 0 : box[0], wide ? 0 : box[1], tall ? height : box[2], wide ? width : box[3]], seen };
}

/** The classes that a channel answers to most: [{ index, name, mean }]. */
export function preferredOf(atlas, layer, channel) {
  return ranked(layer.preferred?.class, layer.preferred?.mean, layer.channels, channel).map(([index, mean]) => ({ index, name: atlas.classes[index], mean }));
}

/** The channels that vary with one: [{ channel, correlation }]. */
export function nearestOf(layer, channel) {
  return ranked(layer.nearest?.channel, layer.nearest?.correlation, layer.channels, channel).map(([other, correlation]) => ({ channel: other, correlation }));
}

function ranked(indices, values, channels, channel) {
  if (!indices) return [];
  const count = indices.length / channels;
  const places = Array.from({ length: count }, (_, n) => channel * count + n);
  return places.filter((at) => indices[at] >= 0).map((at) => [indices[at], values[at]]);
}

/** How a channel's maximum is spread over the images: { low, high, shares }; null where that was not measured. */
export function histogramOfChannel(layer, channel) {
  if (!layer.histogram) return null;
  const { low, high, shares } = layer.histogram;
  const bins = shares.length / layer.channels;
  const own = Array.from(shares.subarray(channel * bins, (channel + 1) * bins), (share) => share / 65535);
  return { low: low[channel], high: high[channel], shares: own };
}

/** The channels of all layers that stand out for a class, first those that do most: [{ layer, channel, effect }]. */
export function foundOf(atlas, index) {
  if (!atlas.found) return [];
  const count = atlas.found.layer.length / atlas.classes.length;
  const places = Array.from({ length: count }, (_, n) => index * count + n);
  const read = (at) => ({ layer: atlas.found.layer[at], channel: atlas.found.channel[at], effect: atlas.found.effect[at] });
  return places.map(read).filter((one) => one.layer >= 0);
}
