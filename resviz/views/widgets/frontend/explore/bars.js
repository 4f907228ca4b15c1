// Classes as bars that are buttons: the most probable ones, and the chosen one.

import { element } from "../controls.js";
import { largest } from "./scenes.js";
import { saidWords } from "./words.js";

const BARS = 5;

/** Returns { node, draw(state) }; the bars stay, so that they grow and shrink. */
export function createBars(onClass) {
  const node = element("div", { class: "rv-bars", role: "group", "aria-label": "classes" });
  const bars = [];
  return {
    node,
    draw(state) {
      const wanted = listedBars(state);
      while (bars.length < wanted.length) bars.push(createBar(onClass));
      if (node.childElementCount !== wanted.length) node.replaceChildren(...bars.slice(0, wanted.length).map((one) => one.node));
      const most = mostShown(wanted, state);
      wanted.forEach((index, at) => bars[at].draw(index, state, most));
    },
  };
}

/** The most probable classes; the chosen one in the place of the last where it is none of them. */
function listedBars({ scene, index }) {
  if (!scene.numbers) return [];
  const best = largest(scene.numbers, BARS);
  return best.includes(index) || index === null ? best : [...best.slice(0, BARS - 1), index];
}

/** What a whole bar stands for: 1, or of plain values the largest. */
function mostShown(listed, { header, scene }) {
  return header.word === "value" ? Math.max(...listed.map((one) => Math.abs(scene.numbers[one]))) || 1 : 1;
}

function createBar(onClass) {
  let shown = null;
  const [fill, before] = ["fill", "before"].map((name) => element("span", { class: `rv-class-${name}` }));
  const [name, odds] = ["name", "odds"].map((part) => element("span", { class: `rv-class-${part}` }));
  const node = element("button", { type: "button", class: "rv-class-bar", onclick: () => onClass(shown) }, fill, before, name, odds);
  return {
    node,
    draw(index, { header, scene, index: chosen }, most) {
      shown = index;
      const [now, whole] = [scene.numbers[index], scene.before?.[index]];
      const share = (value) => `${Math.max(0, Math.min(1, Math.abs(value) / most)) * 100}%`;
      const words = header.classes[index] ?? `class ${index}`;
      const was = whole === undefined ? "" : `, ${saidWords(whole, header)} with all blocks`;
      node.setAttribute("aria-pressed", String(index === chosen));
      node.title = `${words}: ${header.word} ${saidWords(now, header)}${was}`;
      fill.style.width = share(now);
      if (whole === undefined) before.remove();
      else fill.after(before);
      before.style.left = share(whole ?? 0);
      [name.textContent, odds.textContent] = [words, saidWords(now, header)];
    },
  };
}
