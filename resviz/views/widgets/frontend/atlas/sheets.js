// Pictures on JPEG sheets, decoded when one of them is drawn for the first time.

import { boxOf, isDead, topOf, windowOf } from "./data.js";

const KEPT = 96; // decoded sheets; about 2 MB each

/** Returns { draw(context, place, from, to) }: false until the sheet is decoded; then `changed` is called. */
export function createSheets(described, changed) {
  const { cell, columns, cells, sheets } = described;
  const bitmaps = new Map();
  function bitmapOf(n) {
    const known = bitmaps.get(n);
    if (known !== undefined) {
      bitmaps.delete(n);
      bitmaps.set(n, known); // the latest last
      return known;
    }
    bitmaps.set(n, null);
    createImageBitmap(new Blob([sheets[n]], { type: "image/jpeg" })).then((bitmap) => {
      bitmaps.set(n, bitmap);
      if (bitmaps.size > KEPT) forget(bitmaps.keys().next().value);
      changed();
    });
    return null;
  }
  function forget(n) {
    bitmaps.get(n)?.close();
    bitmaps.delete(n);
  }
  return {
    /** from: [x, y, width, height] within the picture; to: the same on the canvas. */
    draw(context, place, from, to) {
      const bitmap = bitmapOf(Math.floor(place / cells));
      if (!bitmap) return false;
      const within = place % cells;
      const [x, y] = [(within % columns) * cell, Math.floor(within / columns) * cell];
      context.drawImage(bitmap, x + from[0], y + from[1], from[2], from[3], ...to);
      return true;
    },
    close: () => [...bitmaps.keys()].forEach(forget),
  };
}

/**
 * Draws the pictures of an atlas. `changed` is called, once a frame at most, when more are decoded.
 *
 * Returns { tile(context, entry, x, y, side, across), whole(context, place, x, y, side), close }.
 */
export function createPainter(atlas, changed) {
  const soon = onceAFrame(changed);
  const pictures = createSheets(atlas.pictures, soon);
  const crops = atlas.layers.map((layer) => layer.crops && createSheets(layer.crops, soon));
  return {
    tile: (...where) => drawTile({ atlas, pictures, crops }, ...where),
    /** A whole picture in a square; how large it is there: { x, y, width, height, zoom }. */
    whole(context, place, x, y, side) {
      const [height, width] = atlas.pictures.shape.subarray(place * 2, place * 2 + 2);
      const [factor, zoom] = [keptScale(atlas, place), side / Math.max(height, width)];
      const box = { x: x + (side - width * zoom) / 2, y: y + (side - height * zoom) / 2, width: width * zoom, height: height * zoom, zoom };
      pictures.draw(context, place, [0, 0, Math.round(width * factor), Math.round(height * factor)], [box.x, box.y, box.width, box.height]);
      return box;
    },
    close: () => [pictures, ...crops].forEach((one) => one?.close()),
  };
}

function onceAFrame(run) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      run();
    });
  };
}

/** Pixels of a picture as it is kept for one of its own. */
function keptScale({ pictures: { side, shape } }, place) {
  return Math.min(1, side / Math.max(shape[place * 2], shape[place * 2 + 1]));
}

/** across x across top images of a channel; false until all of them are decoded. */
function drawTile(painter, context, entry, x, y, side, across) {
  context.fillStyle = "#8a929b";
  context.fillRect(x, y, side, side);
  if (isDead(painter.atlas.layers[entry.layer], entry.channel)) return dead(context, x, y, side);
  const part = (side - (across - 1)) / across;
  let whole = true;
  for (let rank = 0; rank < across * across; rank += 1) {
    whole = drawCrop(painter, context, entry, rank, x + (rank % across) * (part + 1), y + Math.floor(rank / across) * (part + 1), part) && whole;
  }
  return whole;
}

/** What a channel saw of its top image of a rank, in a square of `side`. */
function drawCrop({ atlas, pictures, crops }, context, { layer: at, channel }, rank, x, y, side) {
  const layer = atlas.layers[at];
  const own = layer.crops;
  if (own && rank < own.ranks) return crops[at].draw(context, channel * own.ranks + rank, [0, 0, own.side, own.side], [x, y, side, side]);
  const top = topOf(atlas, layer, channel, rank);
  if (!top || top.place < 0) return true;
  const [height, width] = atlas.pictures.shape.subarray(top.place * 2, top.place * 2 + 2);
  const { window, seen } = windowOf(boxOf(layer, top.row, top.column), height, width);
  const zoom = side / Math.max(window[2] - window[0], window[3] - window[1]);
  const from = [seen[1], seen[0], seen[3] - seen[1], seen[2] - seen[0]];
  const to = [x + (seen[1] - window[1]) * zoom, y + (seen[0] - window[0]) * zoom, from[2] * zoom, from[3] * zoom];
  const factor = keptScale(atlas, top.place);
  return pictures.draw(context, top.place, from.map((one) => one * factor), to);
}

function dead(context, x, y, side) {
  context.fillStyle = "#ffffff";
  context.font = `${Math.min(13, side / 3.4)}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.fillText("dead", x + side / 2, y + side / 2 + 4);
  context.textAlign = "left";
  return true;
}

/** A canvas made ready for `width` x `height` CSS pixels; its context. */
export function readyCanvas(canvas, width, height) {
  const ratio = globalThis.devicePixelRatio || 1;
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== across || canvas.height !== down) {
    [canvas.width, canvas.height] = [across, down];
    [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}
