// Small pictures from codes, one byte a value. No DOM: pixels of an ImageData.

import { colourTable, limitsOf, packedMissing, packedTable } from "../pixels.js";

const CODE_MISSING = 255;

/** Values of one of the pictures of `tiles`, (h * w). */
export function tileValues(tiles, index) {
  const size = tiles.height * tiles.width;
  const values = new Float32Array(size);
  const [scale, offset] = [tiles.scale[index], tiles.offset[index]];
  for (let place = 0; place < size; place += 1) {
    const code = tiles.codes[index * size + place];
    values[place] = code === CODE_MISSING ? NaN : offset + scale * code;
  }
  return values;
}

/** Least and largest of a picture, from its scale: codes reach from 0 to 254 at most. */
export function tileEnds(tiles, index) {
  const size = tiles.height * tiles.width;
  let [low, high] = [CODE_MISSING, -1];
  for (let place = index * size; place < (index + 1) * size; place += 1) {
    const code = tiles.codes[place];
    if (code === CODE_MISSING) continue;
    if (code < low) low = code;
    if (code > high) high = code;
  }
  if (high < 0) return { low: NaN, high: NaN };
  return { low: tiles.offset[index] + tiles.scale[index] * low, high: tiles.offset[index] + tiles.scale[index] * high };
}

/** The picture itself in colours, one number a pixel. `scale`: { low, high, signed }. */
export function tilePixels(tiles, index, scale) {
  const table = packedTable(scale.signed ? "signed" : "viridis");
  const size = tiles.height * tiles.width;
  const pixels = new Uint32Array(size);
  const span = 255 / (scale.high - scale.low || 1);
  const [step, start] = [tiles.scale[index] * span, (tiles.offset[index] - scale.low) * span + 0.5];
  for (let place = 0; place < size; place += 1) {
    const code = tiles.codes[index * size + place];
    const at = start + step * code;
    pixels[place] = code === CODE_MISSING ? packedMissing : table[at <= 0 ? 0 : at >= 255 ? 255 : at | 0];
  }
  return pixels;
}

/** The picture over a photograph, on its own scale: packed pixels of the photograph's size. */
export function tileOverPhotograph(tiles, index, photograph, opacity) {
  const ends = tileEnds(tiles, index);
  const scale = limitsOf(ends.low, ends.high);
  return mapOverPhotograph(tileValues(tiles, index), tiles, scale, photograph, opacity);
}

/**
 * Values (h * w) over a photograph in grey, bilinear between pixel centres, as packed pixels.
 *
 * scale: { low, high, signed, colours? }.
 * photograph: { height, width, pixels } with RGB bytes, or pixels null for the colours alone.
 */
export function mapOverPhotograph(values, { height, width }, scale, photograph, opacity) {
  const [tall, wide] = [photograph.height, photograph.width];
  const share = photograph.pixels ? opacity : 1;
  const colours = fadedColours(scale.signed ? "signed" : (scale.colours ?? "viridis"), share);
  const below = photograph.pixels ? greyOf(photograph) : null;
  const [rows, columns] = [placesBetween(height, tall), placesBetween(width, wide)];
  const out = new Uint32Array(tall * wide);
  const line = new Float32Array(width);
  const span = 255 / (scale.high - scale.low || 1);
  for (let row = 0; row < tall; row += 1) {
    const [upper, lower, part] = [rows.first[row] * width, rows.second[row] * width, rows.share[row]];
    for (let at = 0; at < width; at += 1) {
      const above = values[upper + at];
      line[at] = (above + (values[lower + at] - above) * part - scale.low) * span + 0.5;
    }
    blendRow(out, row * wide, line, columns, colours, below, 1 - share);
  }
  return out;
}

function blendRow(out, start, line, columns, [red, green, blue], below, rest) {
  const { first, second, share } = columns;
  for (let column = 0; column < first.length; column += 1) {
    const left = line[first[column]];
    const value = left + (line[second[column]] - left) * share[column];
    const place = start + column;
    const grey = below ? below[place] * rest : 0;
    if (value !== value) out[place] = packedMissing;
    else {
      const level = value <= 0 ? 0 : value >= 255 ? 255 : value | 0;
      out[place] = (0xff000000 | ((blue[level] + grey) << 16) | ((green[level] + grey) << 8) | (red[level] + grey)) >>> 0;
    }
  }
}

const fadedTables = new Map();
/** Red, green and blue of the 256 colours, times their share of the mixture. */
function fadedColours(name, share) {
  const key = `${name} ${share}`;
  if (!fadedTables.has(key)) {
    if (fadedTables.size > 64) fadedTables.clear();
    const table = colourTable(name);
    fadedTables.set(key, [0, 1, 2].map((part) => Float32Array.from({ length: 256 }, (_, at) => table[at * 3 + part] * share + 0.25)));
  }
  return fadedTables.get(key);
}

const greys = new WeakMap();
/** The shade of each pixel of a photograph; kept with it. */
function greyOf(photograph) {
  if (!greys.has(photograph)) {
    const { pixels } = photograph;
    const shade = (_, at) => Math.round(0.299 * pixels[at * 3] + 0.587 * pixels[at * 3 + 1] + 0.114 * pixels[at * 3 + 2]);
    greys.set(photograph, Float32Array.from({ length: pixels.length / 3 }, shade));
  }
  return greys.get(photograph);
}

const betweens = new Map();
/** For each of `fresh` places the two of `old` it lies between, and the share of the second; kept. */
function placesBetween(old, fresh) {
  const key = old * 65536 + fresh;
  if (!betweens.has(key)) {
    const places = { first: new Int32Array(fresh), second: new Int32Array(fresh), share: new Float32Array(fresh) };
    for (let index = 0; index < fresh; index += 1) {
      const place = Math.min(Math.max(((index + 0.5) * old) / fresh - 0.5, 0), old - 1);
      places.first[index] = Math.min(Math.floor(place), Math.max(old - 2, 0));
      places.second[index] = Math.min(places.first[index] + 1, old - 1);
      places.share[index] = place - places.first[index];
    }
    betweens.set(key, places);
  }
  return betweens.get(key);
}

/** A photograph { pixels (RGB bytes), height, width } whose longer side is `most`: means of areas. */
export function smallPhotograph(photograph, most) {
  const factor = most / Math.max(photograph.height, photograph.width);
  const [height, width] = [photograph.height, photograph.width].map((side) => Math.max(1, Math.round(side * factor)));
  const pixels = new Uint8Array(height * width * 3);
  for (let row = 0; row < height; row += 1) {
    for (let column = 0; column < width; column += 1) {
      const area = areaOf(photograph, row / height, (row + 1) / height, column / width, (column + 1) / width);
      pixels.set(area, (row * width + column) * 3);
    }
  }
  return { pixels, height, width };
}

function areaOf({ pixels, height, width }, top, bottom, left, right) {
  const [first, last] = [Math.floor(top * height), Math.max(Math.floor(top * height) + 1, Math.floor(bottom * height))];
  const [start, end] = [Math.floor(left * width), Math.max(Math.floor(left * width) + 1, Math.floor(right * width))];
  const sum = [0, 0, 0];
  for (let row = first; row < Math.min(last, height); row += 1) {
    for (let column = start; column < Math.min(end, width); column += 1) {
      for (let part = 0; part < 3; part += 1) sum[part] += pixels[(row * width + column) * 3 + part];
    }
  }
  const count = (Math.min(last, height) - first) * (Math.min(end, width) - start) || 1;
  return sum.map((value) => Math.round(value / count));
}
