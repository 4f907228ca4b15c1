// What is chosen among feature maps, and what follows from it. No DOM.

import { countWords } from "./explore/words.js";
import { MAP_SCALES, MAP_SORTS, counterpart, wholeLimits } from "./map_data.js";
import { channelEnds, channelOrder, limitsOf } from "./pixels.js";

export const STRONGEST = 48; // channels seen at first
const MAP_COLOURS = ["viridis", "cividis"];
const WEIGHED = ["weight", "contribution"]; // orders that ask for the weights of a class

export const FIRST_MAPS = {
  ...{ network: 0, layer: 0, image: 0, channel: null, class: null, sort: "max", scale: "channel" },
  ...{ show: "strongest", over: true, colours: "viridis", compare: "none", beside: null },
  ...{ besideChannel: null, active: 0 },
};

export const layerEntry = (network, index) => `${network}/${index}`;
export const entryParts = (value) => value.split("/").map(Number);

/** The state that a selection names; what it does not name, or names wrongly, stays. */
export function mapsAfter(state, selection, networks) {
  const next = { ...state };
  const within = (value, count) => Math.max(0, Math.min(count - 1, Math.floor(Number(value) || 0)));
  const known = (key, list) => list.includes(selection[key]) && (next[key] = selection[key]);
  next.network = within(selection.network, networks.length);
  const { layers, images } = networks[next.network];
  const named = layers.findIndex((one) => one.key === selection.layer);
  next.layer = named >= 0 ? named : within(state.layer, layers.length);
  next.image = within(selection.image, images.length);
  known("sort", MAP_SORTS.map(([name]) => name));
  known("scale", MAP_SCALES.map(([name]) => name));
  known("colours", MAP_COLOURS);
  known("show", ["strongest", "all"]);
  known("over", [true, false]);
  known("compare", compareChoices(next, networks).filter((one) => !one.disabled).map((one) => one.value));
  if (Number.isInteger(selection.channel)) next.channel = Math.max(0, selection.channel);
  if (Number.isInteger(selection.class)) next.class = selection.class;
  next.beside = besideOf(selection.beside, networks) ?? next.beside;
  return next;
}

function besideOf(chosen, networks) {
  if (!Array.isArray(chosen)) return null;
  const found = networks[chosen[0]]?.layers.findIndex((one) => one.key === chosen[1]) ?? -1;
  return found >= 0 ? layerEntry(chosen[0], found) : null;
}

/** The state with a class and a second layer, where none were chosen. */
export function filledMaps(state, networks) {
  const { images, layers } = networks[state.network];
  const first = images[state.image].predicted[0]?.index ?? null;
  const beside = layerEntry(state.network, Math.min(state.layer + 1, layers.length - 1));
  return { ...state, class: state.class ?? first, beside: state.beside ?? beside };
}

/** What is synced of a state. */
export function mapsSelection(state, networks) {
  const beside = state.beside ? entryParts(state.beside) : null;
  const { network, image, channel, sort, scale, colours, compare, show, over } = state;
  return {
    ...{ network, image, channel, sort, scale, colours, compare, show, over, class: state.class },
    layer: networks[network].layers[state.layer].key,
    beside: beside && [beside[0], networks[beside[0]].layers[beside[1]].key],
  };
}

// ---- choices
export function sortChoices(state, networks) {
  const { weight, layers } = networks[state.network];
  const reason = weight.reason ?? (weight.layer === layers[state.layer].key ? null : `only at ${weight.layer}`);
  return MAP_SORTS.map(([value, label]) =>
    WEIGHED.includes(value) && reason ? { value, label, disabled: true, reason } : { value, label },
  );
}

/** The order that is shown: the chosen one, or the largest value where that needs weights that are not there. */
export function sortShown(state, networks) {
  return sortChoices(state, networks).some((one) => one.value === state.sort && !one.disabled) ? state.sort : "max";
}

export const isWeighed = (sort) => WEIGHED.includes(sort);

export function compareChoices(state, networks) {
  const images = networks[state.network].images.length;
  const all = [
    { value: "none", label: "nothing" },
    { value: "photographs", label: `all ${images} photographs`, disabled: images < 2 },
    { value: "layer", label: "another layer" },
  ];
  if (networks.length > 1) all.push({ value: "network", label: "the other network" });
  return all;
}

export function layerChoices(networks) {
  return networks.flatMap((network, n) =>
    network.layers.map((one, index) => ({
      value: layerEntry(n, index),
      label: `${one.key} · ${one.channels}`,
      group: networks.length > 1 ? network.name : undefined,
    })),
  );
}

// ---- panes: one, or several to compare
/** What each pane shows: [{ network, layer, image }]. */
export function wantedPanes(state, networks) {
  const here = { network: state.network, layer: state.layer, image: state.image };
  const fitting = (other) => Math.min(state.image, networks[other].images.length - 1);
  if (state.compare === "photographs") {
    return networks[state.network].images.map((_, image) => ({ ...here, image }));
  }
  if (state.compare === "layer") {
    const [network, index] = entryParts(state.beside);
    return [here, { network, layer: index, image: fitting(network) }];
  }
  if (state.compare === "network" && networks.length > 1) {
    const other = (state.network + 1) % networks.length;
    const index = counterpart(networks[state.network], state.layer, networks[other]);
    return [here, { network: other, layer: index, image: fitting(other) }];
  }
  return [here];
}

/** The panes with their data, orders, scales and titles; those beside the first keep its order where they can. */
export function describedPanes(state, networks) {
  const panes = wantedPanes(state, networks).map((one) => {
    const network = networks[one.network];
    return { ...one, data: network.layers[one.layer], photograph: network.pictures && { ...network.pictures, image: one.image } };
  });
  const [first] = panes;
  panes.forEach((one, n) => {
    one.together = n === 0 || (one.network === first.network && one.data.channels === first.data.channels);
    one.ranked = one.together && n > 0 ? first.ranked : rankedChannels(one, state, networks);
    one.order = state.show === "all" ? one.ranked : one.ranked.slice(0, STRONGEST);
    one.scaleOf = scaleFor(one.data, state.scale, networks);
    one.title = paneTitle(one, networks);
  });
  return panes;
}

function rankedChannels(one, state, networks) {
  const weights = weightsFor(state, networks, one);
  return channelOrder(one.data, one.image, sortShown(state, networks), weights);
}

/** The weights of the chosen class over the channels of a pane; null where the order asks for none, or none are known. */
export function weightsFor(state, networks, one) {
  const { weight, layers } = networks[one.network];
  if (!isWeighed(sortShown(state, networks)) || weight.layer !== layers[one.layer].key) return null;
  const row = weight.classes.indexOf(state.class);
  const size = layers[one.layer].channels;
  return row < 0 ? null : weight.rows.subarray(row * size, (row + 1) * size);
}

function scaleFor(data, scale, networks) {
  const whole = scale === "network" ? wholeLimits(networks) : limitsOf(data.low, data.high);
  if (scale !== "channel") return () => whole;
  const ends = channelEnds(data);
  return (channel) => {
    const own = limitsOf(ends.low[channel], ends.high[channel]);
    // a channel without negatives among signed ones keeps the colours of the layer
    return whole.signed && !own.signed ? { low: -own.high, high: own.high, signed: true } : own;
  };
}

function paneTitle(one, networks) {
  const [network, { data }] = [networks[one.network], one];
  const size = data.height > 1 ? `${data.height} × ${data.width}` : `${data.width} ${data.position}`;
  const patches = data.height > 1 && data.position === "patches" ? " patches" : "";
  const name = networks.length > 1 ? `${network.name} · ` : "";
  const image = network.images.length > 1 ? ` · ${network.images[one.image].label}` : "";
  const channels = data.channels > one.order.length ? `${one.order.length} of ${countWords(data.channels)}` : countWords(data.channels);
  return {
    layer: `${name}${data.key}`,
    size: `${channels} channels of ${size}${patches}${image}`,
    image: network.images[one.image].label,
    note: data.left_out ? "the class token stands nowhere in the picture: it is left out" : "",
  };
}

/** The state with the channel of each side: the chosen one where it is shown, else the first. */
export function withChannels(state, panes) {
  const shown = (channel, one) => (one && !one.order.includes(channel) ? one.order[0] : channel);
  return {
    ...state,
    active: Math.min(state.active, panes.length - 1),
    channel: shown(state.channel, panes[0]),
    besideChannel: shown(state.besideChannel, panes.find((one) => !one.together)),
  };
}
export const channelIn = (state, one) => (one.together ? state.channel : state.besideChannel);

/** True where two panes have one colour scale, and need one bar. */
export function sameScale(state, one, first) {
  if (state.scale === "channel") return true;
  const [a, b] = [one.scaleOf(0), first.scaleOf(0)];
  return a.low === b.low && a.high === b.high;
}

/** The channel some places on in a pane; null where a step to another row leaves it. */
export function channelAfter(state, one, by) {
  const place = one.order.indexOf(channelIn(state, one)) + by;
  const last = one.order.length - 1;
  if (Math.abs(by) > 1 && Number.isFinite(by) && (place < 0 || place > last)) return null;
  return one.order[Math.max(0, Math.min(last, place))];
}
