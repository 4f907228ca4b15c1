// One channel, large, over the small ones: where on the photograph it answers.

import { element } from "../controls.js";
import { moved } from "./colours.js";
import { putPacked } from "./pictures.js";
import { tileOverPhotograph } from "./tiles.js";

const OVER = 0.6; // opacity over the photograph
const PLAIN = 224; // pixels of the longer side where there is no photograph

/** Returns { node, open(), close(), isOpen(), onClose(run), draw(tiles, at, photograph) }. */
export function createLargeChannel() {
  const canvas = element("canvas", { class: "rv-channel-large-picture", role: "img", width: 1, height: 1 });
  const words = element("span", { class: "rv-channel-large-name" });
  const back = element("button", { type: "button", class: "rv-button rv-small", title: "Escape" }, "× all of them");
  const head = element("div", { class: "rv-channel-large-head" }, words, back);
  const node = element("div", { class: "rv-channel-large", hidden: true }, head, canvas);
  return {
    node,
    isOpen: () => !node.hidden,
    open() {
      if (node.hidden) requestAnimationFrame(() => moved(node, [{ opacity: 0, transform: "scale(0.92)" }, { opacity: 1, transform: "none" }]));
      node.hidden = false;
    },
    close: () => (node.hidden = true),
    onClose: (run) => [back, canvas].forEach((one) => one.addEventListener("click", run)),
    draw(tiles, at, photograph) {
      if (node.hidden) return;
      const channel = tiles.channels[at];
      const under = photograph ?? plainField(tiles);
      putPacked(canvas, tileOverPhotograph(tiles, at, under, OVER), under.height, under.width);
      canvas.setAttribute("aria-label", `channel ${channel}, large`);
      words.textContent = `#${channel} · ${tiles.height} × ${tiles.width}`;
    },
  };
}

function plainField({ height, width }) {
  const times = Math.max(1, Math.floor(PLAIN / Math.max(height, width)));
  return { height: height * times, width: width * times, pixels: null };
}
