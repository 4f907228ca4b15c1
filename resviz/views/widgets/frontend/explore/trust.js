// Whether to believe a map: measured when asked for.

import { buttonControl, element } from "../controls.js";
import { checkOf } from "../explanation_maps.js";
import { briefNumber } from "./words.js";

/** Returns { node, draw(state) }. */
export function createTrust(on, live) {
  const words = element("span", { class: "rv-trust-words" });
  const button = buttonControl({
    ...{ text: "is it to be trusted?", className: "rv-small", onClick: () => on.check() },
    title: "deletion and insertion of what the map names, against random maps: takes some seconds",
  });
  if (!live) button.disable("measuring needs a running kernel; this page has none");
  const node = element("p", { class: "rv-trust" }, words, button.node);
  return {
    node,
    draw({ explained, page, map, index, contrast, method, layer, header }) {
      const chosen = { image: 0, class: index, contrast, recorded: null, method, layer };
      const row = page && index !== null ? checkOf(page, chosen) : undefined;
      const lines = explained?.untrained ? ["Untrained weights: nothing to explain yet."] : [];
      if (row) lines.push(trustWords(row));
      words.textContent = lines.join(" ");
      words.hidden = !lines.length;
      const blank = Boolean(map.blank?.length); // and the words above say why
      button.node.hidden = Boolean(row) || blank || !map.values || header.word === "value";
    },
  };
}

function trustWords(row) {
  const part = (name) => `${name} ${briefNumber(row[name])} (random map ${briefNumber(row[`${name}_random`])})`;
  const known = ["deletion", "insertion"].filter((name) => row[name] !== null);
  return `${known.map(part).join(", ")}: ${row.words}`;
}
