// The feature-map payload as networks, layers and words.

import { arrayAt, layerOf, limitsOf, numberWords } from "./pixels.js";

export const MAP_SORTS = [
  ["contribution", "most for a class"],
  ["max", "largest value"],
  ["mean", "largest mean"],
  ["index", "number"],
  ["dead", "dead first"],
  ["weight", "weight for a class"],
];
export const MAP_SCALES = [
  ["channel", "each channel its own"],
  ["layer", "one for the layer"],
  ["network", "one for the whole network"],
];

/** The payload as networks with layers that can be read. */
export function networksOf(meta, view) {
  return meta.networks.map((network) => ({
    ...network,
    pictures: network.pictures && {
      pixels: arrayAt(view, network.pictures),
      height: network.pictures.shape[1],
      width: network.pictures.shape[2],
    },
    layers: network.layers.map((layer) => layerOf(view, layer)),
    weight: { ...network.weight, rows: network.weight.rows && arrayAt(view, network.weight.rows) },
  }));
}

/** The layer of `other` that stands for layer `index` of `network`: same name, else same place. */
export function counterpart(network, index, other) {
  const named = other.layers.findIndex((layer) => layer.key === network.layers[index].key);
  if (named >= 0) return named;
  const share = network.layers.length > 1 ? index / (network.layers.length - 1) : 0;
  return Math.round(share * (other.layers.length - 1));
}

/** Largest range over the layers of some networks, as { low, high, signed }. */
export function wholeLimits(networks) {
  const layers = networks.flatMap((network) => network.layers);
  return limitsOf(
    Math.min(...layers.map((layer) => layer.low)),
    Math.max(...layers.map((layer) => layer.high)),
  );
}

/** What the pointer reads: channel, position, value to half a step, the channel's mean. */
export function readOutWords(one, { place, row, column }) {
  const channel = one.order[place];
  const { data, image } = one;
  const at_ = image * data.channels + channel;
  const code = data.codes[(at_ * data.height + row) * data.width + column];
  const half = data.scale[at_] / 2;
  const value = code === 255 ? NaN : data.offset[at_] + data.scale[at_] * code;
  const where = data.height > 1 ? `row ${row}, column ${column}` : `${data.position} ${column}`;
  const about = value && half ? ` ± ${Number(half.toPrecision(1))}` : "";
  const mean = numberWords(data.mean[at_]);
  return `channel ${channel} · ${where} · ${numberWords(value, half)}${about} · channel mean ${mean}`;
}

/** The channels of all panes in their order, as rows of a table. */
export function channelRows(networks, shown) {
  const head = ["network", "layer", "image", "channel", "place", "mean", "max", "zero_share"];
  const rows = shown.flatMap((one) =>
    (one.ranked ?? one.order).map((channel, place) => {
      const index = one.image * one.data.channels + channel;
      const { mean, maximum, zeros } = one.data;
      const { name, images } = networks[one.network];
      return [
        ...[name, one.data.key, images?.[one.image].number ?? one.image, channel, place],
        ...[mean[index], maximum[index], (zeros[index] / 65535).toFixed(3)],
      ];
    }),
  );
  return [head, ...rows];
}
