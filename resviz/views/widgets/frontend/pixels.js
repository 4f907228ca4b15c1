// Numbers as pictures. No DOM: everything here runs under node too.

const NOT_FINITE = 255; // the code of NaN and of the infinities
const MISSING_COLOUR = Uint8Array.from([255, 0, 255]);

const COLOUR_STOPS = {
  viridis: "440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725",
  cividis: "00224e 123570 3b496c 575d6d 707173 8a8678 a59c74 c3b369 e1cc55 fee838",
  signed: "053061 2166ac 4393c3 92c5de d1e5f0 f7f7f7 fddbc7 f4a582 d6604d b2182b 67001f",
};
const colourTables = new Map();

const ARRAY_KINDS = { uint8: Uint8Array, uint16: Uint16Array, int32: Int32Array, float32: Float32Array };

/** The array a payload's reference { dtype, shape, at } points to; a view, copied only if misaligned. */
export function arrayAt(view, reference) {
  const Kind = ARRAY_KINDS[reference.dtype];
  const count = reference.shape.reduce((product, size) => product * size, 1);
  const start = view.byteOffset + reference.at;
  if (start % Kind.BYTES_PER_ELEMENT === 0) return new Kind(view.buffer, start, count);
  return new Kind(view.buffer.slice(start, start + count * Kind.BYTES_PER_ELEMENT));
}

/** 256 colours as bytes r, g, b: "viridis", "cividis", or "signed" (blue, white, red). */
export function colourTable(name) {
  if (colourTables.has(name)) return colourTables.get(name);
  const stops = COLOUR_STOPS[name].split(" ").map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  const table = new Uint8Array(256 * 3);
  for (let index = 0; index < 256; index += 1) {
    const place = (index / 255) * (stops.length - 1);
    const left = Math.min(Math.floor(place), stops.length - 2);
    for (let part = 0; part < 3; part += 1) {
      const [from, to] = [stops[left][part], stops[left + 1][part]];
      table[index * 3 + part] = Math.round(from + (to - from) * (place - left));
    }
  }
  colourTables.set(name, table);
  return table;
}

/** The same as 256 opaque pixels of an ImageData, one number each, and the colour of "not finite". */
export function packedTable(name) {
  const key = `${name} packed`;
  if (colourTables.has(key)) return colourTables.get(key);
  const packed = packedColours(colourTable(name));
  colourTables.set(key, packed);
  return packed;
}

export function packedColours(colours) {
  const packed = new Uint32Array(colours.length / 3);
  const bytes = new Uint8Array(packed.buffer);
  for (let index = 0; index < packed.length; index += 1) {
    bytes.set(colours.subarray(index * 3, index * 3 + 3), index * 4);
    bytes[index * 4 + 3] = 255;
  }
  return packed;
}

export const packedMissing = packedColours(MISSING_COLOUR)[0];

/** Ends of a colour scale: signed values are centred on 0, magnitudes begin at their least. */
export function limitsOf(low, high) {
  if (!(low <= high)) return { low: 0, high: 1, signed: false };
  if (low < 0) {
    const reach = Math.max(-low, high);
    return { low: -reach, high: reach, signed: true };
  }
  return high > low ? { low, high, signed: false } : { low: 0, high: high || 1, signed: false };
}

/**
 * A layer of a feature-map payload, ready to read.
 *
 * codes (N, C, H, W) bytes; scale, offset, mean, maximum (N, C); zeros (N, C): share of exact
 * zeros in 65535ths, 65535 only where all are; low, high: ends over all images.
 */
export function layerOf(view, described) {
  const [images, channels, height, width] = described.codes.shape;
  const read = {};
  for (const name of ["codes", "scale", "offset", "mean", "maximum", "zeros"]) {
    read[name] = arrayAt(view, described[name]);
  }
  return { ...described, ...read, images, channels, height, width };
}

/** The least value of a channel, to half a step of its scale. */
export function leastOf(layer, image, channel) {
  const size = layer.height * layer.width;
  const at = image * layer.channels + channel;
  const codes = layer.codes.subarray(at * size, (at + 1) * size);
  let least = NOT_FINITE;
  for (const code of codes) if (code < least) least = code;
  return least === NOT_FINITE ? NaN : layer.offset[at] + layer.scale[at] * least;
}

/** Ends of each channel over all images, (C,) each: for a scale per channel. */
export function channelEnds(layer) {
  if (layer.ends) return layer.ends;
  const low = new Float32Array(layer.channels).fill(Infinity);
  const high = new Float32Array(layer.channels).fill(-Infinity);
  for (let image = 0; image < layer.images; image += 1) {
    for (let channel = 0; channel < layer.channels; channel += 1) {
      const least = leastOf(layer, image, channel);
      const most = layer.maximum[image * layer.channels + channel];
      if (least < low[channel]) low[channel] = least;
      if (most > high[channel]) high[channel] = most;
    }
  }
  layer.ends = { low, high };
  return layer.ends;
}

/** A value of a layer; NaN where it was not finite. */
export function valueAt(layer, image, channel, row, column) {
  const at = image * layer.channels + channel;
  const code = layer.codes[(at * layer.height + row) * layer.width + column];
  return code === NOT_FINITE ? NaN : layer.offset[at] + layer.scale[at] * code;
}

/** All values of a channel, (H * W). */
export function valuesOf(layer, image, channel) {
  const size = layer.height * layer.width;
  const at = image * layer.channels + channel;
  const values = new Float32Array(size);
  for (let place = 0; place < size; place += 1) {
    const code = layer.codes[at * size + place];
    values[place] = code === NOT_FINITE ? NaN : layer.offset[at] + layer.scale[at] * code;
  }
  return values;
}

/** Numbers 0..n-1 with the largest key first; equal keys keep their order, NaN comes last. */
export function descending(keys) {
  const order = Array.from(keys, (_, index) => index);
  const clean = (value) => (Number.isNaN(value) ? -Infinity : value);
  return order.sort((a, b) => {
    const [first, second] = [clean(keys[a]), clean(keys[b])];
    return first === second ? a - b : second > first ? 1 : -1;
  });
}

/**
 * Channel numbers in the order "index", "mean", "max" or "dead"; with a class's weights also "weight", or
 * "contribution": the weight times the mean, what a channel adds to the class.
 */
export function channelOrder(layer, image, sort, weights = null) {
  const row = (values) => values.subarray(image * layer.channels, (image + 1) * layer.channels);
  if (sort === "mean") return descending(row(layer.mean));
  if (sort === "max") return descending(row(layer.maximum));
  if (sort === "dead") return descending(row(layer.zeros));
  if (sort === "weight" && weights) return descending(weights);
  if (sort === "contribution" && weights) return descending(row(layer.mean).map((mean, channel) => mean * weights[channel]));
  return Array.from({ length: layer.channels }, (_, index) => index);
}

/**
 * Where the tiles of a mosaic go.
 *
 * The zoom is the largest whole number at which all rows fit into `tall`, but no tile gets
 * narrower than `least` pixels on the screen. Rows of one number (tokens) are drawn `stretch` high.
 */
export function mosaicLayout(count, height, width, available, { tall = 560, least = 14 } = {}) {
  const stretch = height === 1 && width > 1 ? Math.max(1, Math.min(8, Math.round(width / 8))) : 1;
  const [tileHeight, gap] = [height * stretch, 1];
  const smallest = Math.max(1, Math.ceil(least / Math.max(tileHeight, width)));
  const largest = Math.max(smallest, Math.floor(160 / Math.max(tileHeight, width)));
  let zoom = largest;
  const fit = () => {
    const room = Math.floor((available + gap * zoom) / ((width + gap) * zoom));
    const columns = Math.max(1, Math.min(count, room));
    return { columns, rows: Math.ceil(count / columns) };
  };
  while (zoom > smallest && fit().rows * (tileHeight + gap) * zoom > tall) zoom -= 1;
  const { columns, rows } = fit();
  return {
    ...{ count, height, width, stretch, gap, columns, rows, zoom, tileHeight },
    pixelWidth: columns * (width + gap) - gap,
    pixelHeight: rows * (tileHeight + gap) - gap,
  };
}

/**
 * As `mosaicLayout`, but as large as all tiles can be in a field, and no step smaller than `least`: a zoom need not be whole.
 */
export function fieldLayout(count, height, width, available, { tall, least = 66, most = 160 }) {
  const whole = mosaicLayout(count, height, width, available, { tall });
  const [down, across] = [whole.tileHeight + whole.gap, width + whole.gap];
  const longer = Math.max(down, across);
  const zoomOf = (columns) => Math.min(available / (columns * across - whole.gap), tall / (Math.ceil(count / columns) * down - whole.gap));
  let [columns, zoom] = [1, 0];
  for (let tried = 1; tried <= count; tried += 1) if (zoomOf(tried) > zoom) [columns, zoom] = [tried, zoomOf(tried)];
  if (zoom * longer < least) [zoom, columns] = [least / longer, Math.max(1, Math.floor((available / (least / longer) + whole.gap) / across))];
  zoom = Math.min(zoom, most / longer);
  columns = Math.min(columns, count);
  const rows = Math.ceil(count / columns);
  return { ...whole, columns, rows, zoom, pixelWidth: columns * across - whole.gap, pixelHeight: rows * down - whole.gap };
}

/**
 * Where tiles over a photograph { height, width } go: as `mosaicLayout`, but a tile is a picture of its own size,
 * its longer side from `least` to `most` pixels. `height` and `columnsOf` are the map's rows and columns.
 */
export function overLayout(count, map, photograph, available, { tall = 560, least = 64, most = 112 } = {}) {
  const longer = Math.max(photograph.height, photograph.width);
  const gap = 4;
  const at = (side) => {
    const factor = side / longer; // as a small photograph is made
    const [width, tileHeight] = [photograph.width, photograph.height].map((one) => Math.max(1, Math.round(one * factor)));
    const columns = Math.max(1, Math.min(count, Math.floor((available + gap) / (width + gap))));
    return { width, tileHeight, columns, rows: Math.ceil(count / columns) };
  };
  let side = most;
  while (side > least && at(side).rows * (at(side).tileHeight + gap) > tall) side -= 4;
  const found = at(side);
  return {
    ...{ count, gap, side, zoom: 1, stretch: 1, height: map.height, columnsOf: map.width, ...found },
    pixelWidth: found.columns * (found.width + gap) - gap,
    pixelHeight: found.rows * (found.tileHeight + gap) - gap,
  };
}

/** The tile under a point in mosaic pixels: { place, row, column }, or null on a gap. */
export function tileAt(layout, x, y) {
  const [across, down] = [layout.width + layout.gap, layout.tileHeight + layout.gap];
  const [tileX, tileY] = [Math.floor(x / across), Math.floor(y / down)];
  const [left, top] = [Math.floor(x - tileX * across), Math.floor(y - tileY * down)];
  const place = tileY * layout.columns + tileX;
  if (x < 0 || y < 0 || tileX >= layout.columns || place >= layout.count) return null;
  if (left >= layout.width || top >= layout.tileHeight) return null;
  const row = Math.floor((top * layout.height) / layout.tileHeight);
  return { place, row, column: Math.floor((left * (layout.columnsOf ?? layout.width)) / layout.width) };
}

/** The rectangle of a tile in mosaic pixels. */
export function tileBox(layout, place) {
  return {
    x: (place % layout.columns) * (layout.width + layout.gap),
    y: Math.floor(place / layout.columns) * (layout.tileHeight + layout.gap),
    width: layout.width,
    height: layout.tileHeight,
  };
}

/** Copy a tile's packed pixels to its place. */
export function placeTile(target, layout, place, pixels) {
  const box = tileBox(layout, place);
  for (let row = 0; row < box.height; row += 1) {
    const line = (box.y + row) * layout.pixelWidth + box.x;
    target.set(pixels.subarray(row * box.width, (row + 1) * box.width), line);
  }
}

/** The colour of every code of a channel, into `colours` (256). */
function colourCodes(colours, start, step, table) {
  for (let code = 0; code < NOT_FINITE; code += 1) {
    const index = start + step * code;
    colours[code] = table[index <= 0 ? 0 : index >= 255 ? 255 : index | 0];
  }
  colours[NOT_FINITE] = packedMissing;
}

const codeColours = new Uint32Array(256);

/**
 * Paint a layer's channels as tiles into the pixels of an ImageData, one number a pixel.
 *
 * `scaleOf(channel)` gives { low, high, signed }; `tableOf(signed)` the packed colours.
 */
export function paintTiles(target, layout, layer, image, order, scaleOf, tableOf) {
  const { width, height, stretch, pixelWidth } = layout;
  const size = width * height;
  const { codes } = layer;
  target.fill(0);
  for (let place = 0; place < order.length; place += 1) {
    const channel = order[place];
    const { low, high, signed } = scaleOf(channel);
    const at = image * layer.channels + channel;
    const table = tableOf(signed);
    const span = 255 / (high - low || 1);
    const step = layer.scale[at] * span;
    const start = (layer.offset[at] - low) * span + 0.5;
    const many = size > 128; // then it pays to look up the colours of all codes first
    if (many) colourCodes(codeColours, start, step, table);
    const box = tileBox(layout, place);
    let from = at * size;
    for (let row = 0; row < height; row += 1) {
      const line = (box.y + row * stretch) * pixelWidth + box.x;
      const end = line + width;
      if (many) for (let to = line; to < end; to += 1, from += 1) target[to] = codeColours[codes[from]];
      else {
        for (let to = line; to < end; to += 1, from += 1) {
          const index = start + step * codes[from];
          if (codes[from] === NOT_FINITE) target[to] = packedMissing;
          else target[to] = table[index <= 0 ? 0 : index >= 255 ? 255 : index | 0];
        }
      }
      for (let again = 1; again < stretch; again += 1) {
        target.copyWithin(line + again * pixelWidth, line, end);
      }
    }
  }
}

/** For each of `fresh` places: the two old ones it lies between, and the share of the second. */
function betweenPlaces(old, fresh) {
  const [first, second] = [new Int32Array(fresh), new Int32Array(fresh)];
  const share = new Float32Array(fresh);
  for (let index = 0; index < fresh; index += 1) {
    const place = Math.min(Math.max(((index + 0.5) * old) / fresh - 0.5, 0), old - 1);
    first[index] = Math.min(Math.floor(place), Math.max(old - 2, 0));
    second[index] = Math.min(first[index] + 1, old - 1);
    share[index] = place - first[index];
  }
  return { first, second, share };
}

/** Values (h * w) brought to (H * W), bilinear, pixel centres aligned. */
export function resizedBilinear(values, height, width, tall, wide) {
  const [across, down] = [betweenPlaces(width, wide), betweenPlaces(height, tall)];
  const wider = new Float32Array(height * wide);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < wide; column += 1) {
      const left = values[row * width + across.first[column]];
      const right = values[row * width + across.second[column]];
      wider[row * wide + column] = left + (right - left) * across.share[column];
    }
  }
  const out = new Float32Array(tall * wide);
  for (let row = 0; row < tall; row += 1) {
    const [upper, lower, share] = [down.first[row] * wide, down.second[row] * wide, down.share[row]];
    for (let column = 0; column < wide; column += 1) {
      const above = wider[upper + column];
      out[row * wide + column] = above + (wider[lower + column] - above) * share;
    }
  }
  return out;
}

/**
 * A map over a part of a photograph in grey: `frame` is [top, left, bottom, right] of the map, in shares of the
 * photograph or beyond it. Bilinear, in one step; what the map does not reach stays grey.
 */
export function overlayPart(values, [rows, columns], scale, colours, photograph, opacity, [height, width], frame) {
  const down = partPlaces(rows, height, frame[0], frame[2]);
  const across = partPlaces(columns, width, frame[1], frame[3]);
  const over = new Float32Array(height * width);
  const outside = new Uint8Array(height * width);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const [place, upper, lower] = [row * width + column, down.first[row] * columns, down.second[row] * columns];
      outside[place] = down.outside[row] || across.outside[column];
      const [left, right, part] = [across.first[column], across.second[column], across.share[column]];
      const above = values[upper + left] + (values[upper + right] - values[upper + left]) * part;
      const below = values[lower + left] + (values[lower + right] - values[lower + left]) * part;
      over[place] = above + (below - above) * down.share[row];
    }
  }
  const [seen, bare] = [opacity, 0].map((most) => overlayPixels(over, scale, colours, photograph, most));
  outside.forEach((bared, place) => bared && seen.set(bare.subarray(place * 4, place * 4 + 4), place * 4));
  return seen;
}

function partPlaces(count, size, low, high) {
  const places = { first: [], second: [], share: [], outside: [] };
  for (let n = 0; n < size; n += 1) {
    const at = ((n + 0.5) / size - low) / (high - low);
    const place = Math.max(0, Math.min(count - 1, at * count - 0.5));
    const first = Math.min(Math.floor(place), Math.max(count - 2, 0));
    places.first.push(first);
    places.second.push(Math.min(first + 1, count - 1));
    places.share.push(place - first);
    places.outside.push(at < 0 || at > 1);
  }
  return places;
}

/** A channel's values over a photograph in grey, (H * W) pixels of an ImageData. */
export function overlayPixels(values, scale, colours, photograph, opacity) {
  const target = new Uint8ClampedArray(values.length * 4);
  const span = 255 / (scale.high - scale.low || 1);
  const share = photograph ? opacity : 1;
  for (let place = 0; place < values.length; place += 1) {
    const value = values[place];
    const finite = value - value === 0;
    const index = finite ? Math.min(255, Math.max(0, (value - scale.low) * span + 0.5)) | 0 : 0;
    const from = finite ? colours : MISSING_COLOUR;
    let grey = 0;
    if (photograph) {
      const at = place * 3;
      const shade = 0.299 * photograph[at] + 0.587 * photograph[at + 1] + 0.114 * photograph[at + 2];
      grey = Math.round(shade) * (1 - share);
    }
    target[place * 4] = grey + from[index * 3] * share;
    target[place * 4 + 1] = grey + from[index * 3 + 1] * share;
    target[place * 4 + 2] = grey + from[index * 3 + 2] * share;
    target[place * 4 + 3] = 255;
  }
  return target;
}

/** The place of `channel` by value, the largest first, counted from 1; ties by number. */
export function rankOf(values, channel) {
  const clean = (value) => (value !== value ? -Infinity : value);
  const own = clean(values[channel]);
  let rank = 1;
  for (let other = 0; other < values.length; other += 1) {
    const value = clean(values[other]);
    if (value > own || (value === own && other < channel)) rank += 1;
  }
  return rank;
}

/** Counts of the finite values in `bins` equal bins from their least to their largest. */
export function histogramOf(values, bins = 32) {
  let [low, high, missing] = [Infinity, -Infinity, 0];
  for (const value of values) {
    if (!Number.isFinite(value)) missing += 1;
    else {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  const counts = new Array(bins).fill(0);
  if (low > high) return { counts, low: NaN, high: NaN, missing };
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    counts[high > low ? Math.min(bins - 1, Math.floor(((value - low) / (high - low)) * bins)) : 0] += 1;
  }
  return { counts, low, high, missing };
}

/** A number in words: four significant digits at most, no trailing zeros; `step`: its precision. */
export function numberWords(value, step = 0) {
  if (!Number.isFinite(value)) return "not finite";
  if (value === 0) return "0";
  let digits = 4;
  const power = (number) => Math.floor(Math.log10(Math.abs(number)));
  if (step > 0) digits = power(value) - power(step) + 1;
  const text = value.toPrecision(Math.min(4, Math.max(1, digits)));
  return String(Number(text)).replace("-", "−");
}
