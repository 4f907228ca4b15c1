// Maps as small pictures beside the large one: buttons that choose.

import { element } from "../controls.js";
import { mapScale } from "../explanation_maps.js";
import { putPacked } from "./anatomy.js";
import { mapOverPhotograph, smallPhotograph } from "./tiles.js";

const SIDE = 72; // pixels of the longer side
const OVER = 0.75; // opacity over the photograph

/** Returns { node, draw(entries, picture, chosen) }; entries: [{ key, label, title, map, heading }], map with `values` or null, `heading` what stands before it, if any. */
export function createMapTiles({ label, onChoose }) {
  const node = element("div", { class: "rv-map-tiles", role: "group", "aria-label": label });
  const tiles = [];
  let [of, small, placed] = [null, null, ""];
  return {
    node,
    draw(entries, picture, chosen) {
      while (tiles.length < entries.length) tiles.push(mapTile(onChoose));
      const headings = JSON.stringify(entries.map((one) => one.heading ?? ""));
      if (placed !== headings) node.replaceChildren(...entries.flatMap(({ heading }, at) => [...headingNodes(heading), tiles[at].node]));
      placed = headings;
      if (of !== picture) [of, small] = [picture, picture && smallPhotograph(picture, SIDE)];
      entries.forEach((one, at) => tiles[at].draw(one, small, one.key === chosen));
    },
  };
}

const headingNodes = (words) => (words ? [element("span", { class: "rv-map-tiles-heading rv-faint" }, words)] : []);

function mapTile(onChoose) {
  const canvas = element("canvas", { class: "rv-map-tile-picture", width: 1, height: 1, "aria-hidden": "true" });
  const words = element("span", { class: "rv-map-tile-name" });
  let [key, drawn] = ["", null];
  const node = element("button", { type: "button", class: "rv-map-tile", onclick: () => onChoose(key) }, canvas, words);
  return {
    node,
    draw(entry, photograph, chosen) {
      key = entry.key;
      node.setAttribute("aria-pressed", String(chosen));
      [node.title, words.textContent] = [entry.title, entry.label];
      node.setAttribute("aria-label", entry.title);
      const wanted = [entry.map?.values, photograph];
      if (drawn?.every((one, at) => one === wanted[at])) return;
      drawn = wanted;
      paintTile(canvas, entry.map, photograph);
    },
  };
}

function paintTile(canvas, map, photograph) {
  canvas.classList.toggle("rv-map-tile-none", !map?.values);
  if (!map?.values) return putPacked(canvas, new Uint32Array(1), 1, 1);
  const under = photograph ?? { height: SIDE, width: Math.max(1, Math.round((SIDE * map.width) / map.height)), pixels: null };
  putPacked(canvas, mapOverPhotograph(map.values, map, mapScale(map.values, false), under, OVER), under.height, under.width);
}
