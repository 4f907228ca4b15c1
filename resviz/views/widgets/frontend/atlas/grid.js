// The channels as tiles of their strongest images; only those in sight are drawn.

import { element } from "../controls.js";
import { endOf } from "../explore/words.js";
import { gridOf, tilePlace, tileUnder } from "./state.js";
import { readyCanvas } from "./sheets.js";

/**
 * on: { hover(entry), choose(place) }.
 * Returns { node, draw(atlas, painter, shown, chosen), again, mark(place), columns, canvas }.
 */
export function createGrid({ on }) {
  const canvas = element("canvas", { class: "rv-atlas-canvas", role: "img", "aria-label": "channels" });
  const room = element("div", { class: "rv-atlas-room" }, canvas);
  const node = element("div", { class: "rv-atlas-grid", tabindex: "0", role: "group", "aria-roledescription": "mosaic", "aria-label": "channels, arrow keys choose one" }, room);
  /** @type {any} */
  const grid = { node, canvas, room, layout: null, at: { place: -1, hovered: -1 }, content: null };
  node.addEventListener("scroll", () => paintGrid(grid));
  listenToPointer(grid, on);
  grid.draw = (atlas, painter, shown, place, wordsOf) => {
    if (grid.content?.shown !== shown) node.scrollTop = 0;
    grid.content = { atlas, painter, shown, wordsOf };
    grid.at = { place, hovered: -1 };
    grid.again();
  };
  grid.again = () => {
    layOut(grid);
    paintGrid(grid);
  };
  grid.mark = (place) => {
    layOut(grid);
    grid.at.place = place;
    if (place >= 0) scrollTo(grid, place);
    paintGrid(grid);
  };
  return grid;
}

function listenToPointer(grid, on) {
  const { canvas, node } = grid;
  const under = (event) => {
    if (!grid.layout) return -1;
    const box = canvas.getBoundingClientRect();
    return tileUnder(grid.layout, event.clientX - box.left, event.clientY - box.top + node.scrollTop);
  };
  const hover = (place) => {
    if (place === grid.at.hovered) return;
    grid.at.hovered = place;
    paintGrid(grid);
    on.hover(place < 0 ? null : grid.content.shown[place]);
  };
  canvas.addEventListener("pointermove", (event) => hover(under(event)));
  canvas.addEventListener("pointerleave", () => hover(-1));
  canvas.addEventListener("click", (event) => {
    const place = under(event);
    if (place >= 0) on.choose(place);
  });
}

function layOut(grid) {
  const { node, room, content } = grid;
  if (!content) return;
  const [width, height] = [node.clientWidth - 8, node.clientHeight - 8];
  grid.layout = gridOf(content.shown.length, width, height);
  room.style.height = `${Math.max(grid.layout.height, height)}px`;
}

function paintGrid(grid) {
  const { node, canvas, layout, at } = grid;
  if (!layout || node.clientWidth < 20) return;
  const [width, height, top] = [node.clientWidth - 8, node.clientHeight - 8, node.scrollTop];
  const context = readyCanvas(canvas, width, height);
  const tiles = paintedTiles(grid, width, height, top);
  context.drawImage(tiles, 0, 0, width, height);
  if (at.hovered >= 0) outline(context, layout, at.hovered, top, ["#000000", "#ffffff"]);
  if (at.place >= 0) outline(context, layout, at.place, top, ["#ffffff", "#d55e00"]);
}

/** The tiles in sight, without outlines; painted again only where something of them changed. */
function paintedTiles(grid, width, height, top) {
  const { node, layout, content } = grid;
  const [first, end] = [Math.floor(top / layout.tall), Math.ceil((top + height) / layout.tall)];
  const ink = getComputedStyle(node).color;
  const { shown } = content;
  const of = [content, layout.side, layout.columns, width, height, top, ink, globalThis.devicePixelRatio];
  if (grid.tiles?.whole && of.every((one, n) => one === grid.tiles.of[n])) return grid.tiles.canvas;
  const canvas = grid.tiles?.canvas ?? element("canvas");
  const context = readyCanvas(canvas, width, height);
  let whole = true;
  for (let place = first * layout.columns; place < Math.min(end * layout.columns, shown.length); place += 1) {
    whole = paintTile(context, content, layout, place, top, ink) && whole;
  }
  grid.tiles = { canvas, of, whole };
  return canvas;
}

/** False where pictures are still being decoded. */
function paintTile(context, { painter, shown, wordsOf }, layout, place, top, ink) {
  const { x, y } = tilePlace(layout, place);
  const whole = painter.tile(context, shown[place], x + 3, y + 3 - top, layout.side - 4, layout.across);
  if (!layout.caption) return whole;
  context.fillStyle = ink;
  context.font = "11px system-ui, sans-serif";
  context.fillText(endOf(wordsOf(shown[place]), Math.floor(layout.side / 5)), x + 3, y + layout.side + 9 - top, layout.side - 4);
  return whole;
}

function outline(context, layout, place, top, [outer, inner]) {
  const { x, y } = tilePlace(layout, place);
  const side = layout.side - 4;
  context.lineWidth = 4;
  context.strokeStyle = outer;
  context.strokeRect(x + 3, y + 3 - top, side, side);
  context.lineWidth = 2;
  context.strokeStyle = inner;
  context.strokeRect(x + 3, y + 3 - top, side, side);
}

function scrollTo({ node, layout }, place) {
  if (!layout) return;
  const { y } = tilePlace(layout, place);
  const height = node.clientHeight - 8;
  if (y < node.scrollTop) node.scrollTop = y;
  if (y + layout.tall > node.scrollTop + height) node.scrollTop = y + layout.tall - height;
}
