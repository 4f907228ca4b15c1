// Small pictures from codes, one byte a value. No DOM: pixels of an ImageData.

import { colourTable, limitsOf, overlayPixels, packedMissing, packedTable, resizedBilinear } from "../pixels.js";

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

/** The picture over a photograph of `side` x `side` (or the photograph's own shape), on its own scale. */
export function tileOverPhotograph(tiles, index, photograph, opacity) {
  const ends = tileEnds(tiles, index);
  const scale = limitsOf(ends.low, ends.high);
  const { height, width, pixels } = photograph;
  const values = resizedBilinear(tileValues(tiles, index), tiles.height, tiles.width, height, width);
  return overlayPixels(values, scale, colourTable(scale.signed ? "signed" : "viridis"), pixels, opacity);
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
