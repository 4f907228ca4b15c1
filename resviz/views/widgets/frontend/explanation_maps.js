// Maps of an explanation: from the record, or of any class from the head's numbers. No DOM.

import { arrayAt } from "./pixels.js";

/** The number that 16 bits stand for (IEEE 754 half precision). */
export function halfValue(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** Numbers of the head as floats: { kind: "float32" | "float16" | "one byte", shape, ... }. */
export function headNumbers(view, described) {
  if (described.kind === "float32") return arrayAt(view, described.values);
  if (described.kind === "float16") {
    const table = new Float32Array(65536);
    for (let bits = 0; bits < 65536; bits += 1) table[bits] = halfValue(bits) * described.factor;
    return Float32Array.from(arrayAt(view, described.values), (bits) => table[bits]);
  }
  const [codes, scale, offset] = ["codes", "scale", "offset"].map((name) => arrayAt(view, described[name]));
  return decodedGroups(codes, scale, offset, codes.length / scale.length);
}

function decodedGroups(codes, scale, offset, size) {
  const values = new Float32Array(codes.length);
  for (let place = 0; place < codes.length; place += 1) {
    const group = Math.floor(place / size);
    values[place] = codes[place] === 255 ? NaN : offset[group] + scale[group] * codes[place];
  }
  return values;
}

const mapKey = (method, layer) => JSON.stringify([method, layer]);

/** The payload, ready to read. */
export function explanationOf(meta, view) {
  const maps = new Map(
    meta.maps.map((one) => {
      const read = { codes: null, scale: null, offset: null };
      for (const name of Object.keys(read)) read[name] = arrayAt(view, one[name]);
      const [, , height, width] = one.codes.shape;
      return [mapKey(one.method, one.layer), { ...one, ...read, targets: one.codes.shape[1], height, width }];
    }),
  );
  const head = meta.head && {
    ...meta.head,
    activations: headNumbers(view, meta.head.activations),
    weight: meta.head.weight && headNumbers(view, meta.head.weight),
    kinds: [meta.head.activations.kind, meta.head.weight?.kind],
    channels: meta.head.activations.shape[1],
    height: meta.head.activations.shape[2],
    width: meta.head.activations.shape[3],
  };
  return {
    ...meta,
    maps,
    head,
    checks: [...meta.checks],
    logits: meta.logits && arrayAt(view, meta.logits),
    ...photographsOf(meta, view),
    originals: (meta.originals ?? []).map((one) => one && { ...one, pixels: arrayAt(view, one.pixels), shown: one.pixels.shape }),
    over: Object.fromEntries(Object.entries(meta.over ?? {}).map(([layer, one]) => [layer, photographsOf(one, view)])),
  };
}

/** The photographs that maps lie over, and their size; of several inputs, `over` has those of the other layers. */
function photographsOf({ pictures, size }, view) {
  return { pictures: pictures && arrayAt(view, pictures), size: pictures ? pictures.shape.slice(1, 3) : size };
}

/**
 * A class's map at the head, or of a sum of classes: sum over k of (sum of weights w_k) A_k.
 *
 * `terms`: [[class, weight], ...]; `factor`: 1 / (h w) for Grad-CAM, 1 for CAM. No ReLU.
 */
export function headMap(head, image, terms, factor) {
  const { channels, height, width } = head;
  const size = height * width;
  const values = new Float64Array(size);
  for (let channel = 0; channel < channels; channel += 1) {
    let weight = 0;
    for (const [index, times] of terms) weight += times * head.weight[index * channels + channel];
    const from = (image * channels + channel) * size;
    for (let place = 0; place < size; place += 1) values[place] += weight * head.activations[from + place];
  }
  return Float32Array.from(values, (value) => value * factor);
}

/** A map of the record, (h * w). */
export function recordedMap(one, image, position) {
  const size = one.height * one.width;
  const at = image * one.targets + position;
  const codes = one.codes.subarray(at * size, (at + 1) * size);
  return decodedGroups(codes, [one.scale[at]], [one.offset[at]], size);
}

/** Values below 0 become 0. NaN stays. */
export const positivePart = (values) => values.map((value) => (value < 0 ? 0 : value));

/** Ends of the colours: 0 to the largest, or the largest size on both sides of 0. */
export function mapScale(values, signed) {
  let reach = 0;
  for (const value of values) if (Number.isFinite(value)) reach = Math.max(reach, signed ? Math.abs(value) : value);
  return { low: signed ? -(reach || 1) : 0, high: reach || 1, signed };
}

/** Whether the output has probabilities; plain values have none. */
export const hasOdds = (data) => !["values", "unsaid"].includes(data.output);

/** Of all classes for an image: softmax, or sigmoids of labels and of a logit's sides; else its plain values. */
export function classOdds(data, image) {
  const row = data.logits.subarray(image * data.classes.length, (image + 1) * data.classes.length);
  if (!hasOdds(data)) return Float64Array.from(row);
  if (data.output === "labels" || data.output === "logit") return Float64Array.from(row, (z) => 1 / (1 + Math.exp(-z)));
  const most = row.reduce((a, b) => Math.max(a, b), -Infinity);
  const raised = Float64Array.from(row, (value) => Math.exp(value - most));
  const sum = raised.reduce((a, b) => a + b, 0);
  return raised.map((value) => value / sum);
}

/** Which recorded target of the image the state asks for; -1 for none. */
export function recordedPosition(data, state) {
  if (state.recorded !== null) return state.recorded < data.targets[state.image].length ? state.recorded : -1;
  return state.contrast === null ? data.targets[state.image].indexOf(state.class) : -1;
}

/** The target in words; the same words that the record uses for a difference. */
export function targetName(data, state) {
  if (state.recorded !== null) return data.names[state.image][state.recorded] ?? "";
  const one = data.classes[state.class] ?? "";
  return state.contrast === null ? one : `${one} - ${data.classes[state.contrast]}`;
}

/**
 * Where the map comes from: { from: "record" | "head" | "kernel", ... }, or { from: null, reason }.
 *
 * `live`: whether a kernel answers. A recorded map without its negative part serves "signed" only
 * where nothing else can; `note` then says so.
 */
export function mapSource(data, state, live) {
  const { method, layer } = state;
  const signed = state.part === "signed";
  const recorded = data.maps.get(mapKey(method, layer));
  const position = recordedPosition(data, state);
  const named = state.recorded === null && state.class !== null;
  if (recorded && position >= 0 && (!signed || recorded.signed)) return { from: "record", recorded, position };
  const { head, asks } = data;
  if (named && head?.layer === layer && method in head.methods) return { from: "head", factor: head.methods[method] };
  const askable = named && asks && asks.methods.includes(method) && asks.layers.includes(layer);
  if (askable && live) return { from: "kernel" };
  if (recorded && position >= 0) {
    return { from: "record", recorded, position, note: "recorded with the method's ReLU: no negative part" };
  }
  if (askable) return { from: null, reason: "needs a running kernel; this page has none" };
  const where = data.asks ? "" : "; explore_explanation(net, images) computes more";
  return { from: null, reason: `not in this explanation${where}` };
}

/** The map at the head, where it is instant: the method and layer, or null. */
export function headPlace(data) {
  return data.head && { method: "grad_cam", layer: data.head.layer };
}

/** Methods and layers to offer, in the order of the record, then of the kernel. */
export function offeredOf(data) {
  const [methods, layers] = [new Set(), new Set()];
  for (const { method, layer } of data.maps.values()) {
    methods.add(method);
    layers.add(layer);
  }
  if (data.head) {
    methods.add("grad_cam");
    layers.add(data.head.layer);
  }
  for (const method of data.asks?.methods ?? []) methods.add(method);
  for (const layer of data.asks?.layers ?? []) layers.add(layer);
  return { methods: [...methods], layers: [...layers] };
}

/** The index of the target; -1 of a difference, or of what only the record knows. */
function targetIndex(data, state) {
  if (state.recorded !== null) return data.targets[state.image][state.recorded] ?? -1;
  return state.contrast === null ? state.class : -1;
}

/** The row of checks for what is shown, or undefined. */
export function checkOf(data, state) {
  const name = targetName(data, state);
  const index = targetIndex(data, state);
  return data.checks.find(
    (row) =>
      row.method === state.method &&
      row.layer === state.layer &&
      row.image === state.image &&
      row.target === name &&
      (row.index ?? index) === index,
  );
}

/** Each pixel of rows of RGB bytes repeated `times` times both ways. */
export function enlargedPixels(pixels, height, width, times) {
  if (times === 1) return pixels;
  const out = new Uint8Array(pixels.length * times * times);
  for (let row = 0; row < height * times; row += 1) {
    for (let column = 0; column < width * times; column += 1) {
      const from = (Math.floor(row / times) * width + Math.floor(column / times)) * 3;
      const to = (row * width * times + column) * 3;
      for (let part = 0; part < 3; part += 1) out[to + part] = pixels[from + part];
    }
  }
  return out;
}
