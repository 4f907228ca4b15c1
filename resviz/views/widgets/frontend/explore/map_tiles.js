// Maps as small pictures beside the large one: buttons that choose.

import { element } from "../controls.js";
import { mapScale } from "../explanation_maps.js";
import { createKept } from "./kept.js";
import { packedImage, putImage, putPacked } from "./pictures.js";
import { mapOverPhotograph, smallPhotograph } from "./tiles.js";

const SIDE = 72; // pixels of the longer side
const OVER = 0.75; // opacity over the photograph
const KEPT = 120; // maps, 20 kB each

/**
 * Returns { node, draw(entries, picture, chosen), steps(entries, picture) }; entries: [{ key, label, title, map, heading }], map with
 * `values` or null, `heading` what stands before it, if any; steps: what makes them ready, one after the other.
 */
export function createMapTiles({ label, onChoose }) {
  const node = element("div", { class: "rv-map-tiles", role: "group", "aria-label": label });
  const tiles = [];
  let [of, small, placed] = [null, null, ""];
  const kept = createKept(KEPT);
  function imageOf(map, picture) {
    if (of !== picture) [of, small] = [picture, picture && smallPhotograph(picture, SIDE)];
    return map?.values ? kept(map.values, [small], () => overImage(map, small)) : null;
  }
  return {
    node,
    *steps(entries, picture) {
      for (const { map } of entries) yield imageOf(map, picture);
    },
    draw(entries, picture, chosen) {
      while (tiles.length < entries.length) tiles.push(mapTile(onChoose));
      const headings = JSON.stringify(entries.map((one) => one.heading ?? ""));
      if (placed !== headings) node.replaceChildren(...entries.flatMap(({ heading }, at) => [...headingNodes(heading), tiles[at].node]));
      placed = headings;
      entries.forEach((one, at) => tiles[at].draw(one, imageOf(one.map, picture), one.key === chosen));
    },
  };
}

const headingNodes = (words) => (words ? [element("span", { class: "rv-map-tiles-heading rv-faint" }, words)] : []);

function mapTile(onChoose) {
  const canvas = element("canvas", { class: "rv-map-tile-picture", width: 1, height: 1, "aria-hidden": "true" });
  const words = element("span", { class: "rv-map-tile-name" });
  let [key, drawn] = ["", undefined];
  const node = element("button", { type: "button", class: "rv-map-tile", onclick: () => onChoose(key) }, canvas, words);
  return {
    node,
    draw(entry, image, chosen) {
      key = entry.key;
      node.setAttribute("aria-pressed", String(chosen));
      if (node.title !== entry.title || words.textContent !== entry.label) {
        node.title = entry.title;
        words.replaceChildren(...entry.label.split(/(_cam)(?=_|$)/).map((part, at) => (at % 2 ? element("span", { class: "rv-map-tile-cam" }, part) : part)));
        node.setAttribute("aria-label", entry.title);
      }
      if (drawn === image) return;
      drawn = image;
      canvas.classList.toggle("rv-map-tile-none", !image);
      if (image) putImage(canvas, image);
      else putPacked(canvas, new Uint32Array(1), 1, 1);
    },
  };
}

function overImage(map, photograph) {
  const under = photograph ?? { height: SIDE, width: Math.max(1, Math.round((SIDE * map.width) / map.height)), pixels: null };
  return packedImage(mapOverPhotograph(map.values, map, mapScale(map.values, false), under, OVER), under.height, under.width);
}
