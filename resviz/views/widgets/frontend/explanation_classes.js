// The classes of an explanation as bars: choose A, or take a class away as B.

import { element } from "./controls.js";
import { valueWords } from "./explanation_look.js";
import { hasOdds, mapSource } from "./explanation_maps.js";
import { briefNumber } from "./explore/words.js";
import { rankOf } from "./pixels.js";
import { searchControl } from "./search.js";

export const TOP_CLASSES = 8;

/** on: { class(index), contrast(index or null), recorded(place) }. Returns { node, controls, data(data), draw(look) }. */
export function createClassPart({ on }) {
  const list = element("div", { class: "rv-class-list" });
  const controls = {
    class: searchControl({ label: "Class A", names: [], onChoose: on.class }),
    contrast: searchControl({ label: "minus class B", names: [], placeholder: "nothing", onChoose: (index) => on.contrast(index === 0 ? null : index - 1) }),
  };
  const searches = element("div", { class: "rv-class-searches" }, controls.class.node, controls.contrast.node);
  const node = element("aside", { class: "rv-part rv-classes", "aria-label": "classes" }, list, searches);
  return {
    ...{ node, controls },
    data(data) {
      searches.hidden = !data.logits;
      controls.class.setNames(data.classes, null);
      controls.contrast.setNames(["nothing", ...data.classes], null);
    },
    draw(look) {
      nameSearches(controls, look);
      const held = list.contains(list.getRootNode().activeElement) ? list.getRootNode().activeElement.dataset.place : null;
      list.replaceChildren(...classNodes(look, on));
      if (held) [...list.querySelectorAll("button")].find((one) => one.dataset.place === held)?.focus();
    },
  };
}

/** The searches show what is chosen, and begin with the most probable classes. */
function nameSearches(controls, { data, state, order }) {
  controls.class.setNames(data.classes, state.class, order);
  const shifted = order && [0, ...order.map((index) => index + 1)];
  controls.contrast.setNames(["nothing", ...data.classes], state.contrast === null ? null : state.contrast + 1, shifted);
}

function classNodes(look, on) {
  const { data, state, listed } = look;
  const nodes = [];
  if (data.logits) {
    const words = hasOdds(data) ? "Classes by probability" : "Values";
    nodes.push(element("h4", { class: "rv-part-name", title: "choose A; − subtracts a class as B" }, words));
    nodes.push(...listed.map((index) => classRow(index, look, on)));
  }
  const own = data.targets[state.image].flatMap((index, place) => (index < 0 || !data.logits ? [place] : []));
  if (own.length) {
    nodes.push(element("h4", { class: "rv-part-name" }, "Recorded targets"));
    nodes.push(...own.map((place) => targetRow(place, look, on)));
  }
  return nodes;
}

function classRow(index, look, on) {
  const chosen = look.state.recorded === null && look.state.class === index;
  return element("div", { class: "rv-class-row" }, chooseButton(index, chosen, look, on), minusButton(index, chosen, look, on));
}

function chooseButton(index, chosen, { data, state, odds, live }, on) {
  const rank = rankOf(odds, index);
  const logit = data.logits[state.image * data.classes.length + index];
  const button = element(
    "button",
    {
      ...{ type: "button", class: "rv-class-bar rv-class", "aria-pressed": String(chosen), "data-place": `a${index}` },
      ...{ title: `${data.classes[index]}: class ${index}, logit ${briefNumber(logit)}`, onclick: () => on.class(index) },
    },
    element("span", { class: "rv-class-fill", style: `width: ${hasOdds(data) ? odds[index] * 100 : 0}%` }),
    element("span", { class: "rv-class-name" }, `${rank > TOP_CLASSES ? `${rank}. ` : ""}${data.classes[index]}`),
    element("span", { class: "rv-class-odds" }, valueWords(data, odds[index])),
  );
  const alone = { ...state, recorded: null, contrast: null, class: index };
  if (!chosen && !data.head && mapSource(data, alone, live).from === null) {
    button.disabled = true;
    button.title = data.asks && !live ? "needs a running kernel; this page has none" : `${data.classes[index]}: not in this explanation`;
  }
  return button;
}

function minusButton(index, chosen, { data, state, live }, on) {
  const taken = state.contrast === index;
  const button = element(
    "button",
    {
      ...{ type: "button", class: "rv-button rv-minus", "aria-pressed": String(taken), "data-place": `b${index}` },
      ...{ "aria-label": `subtract ${data.classes[index]}`, title: taken ? "subtract nothing" : "subtract this class" },
      onclick: () => on.contrast(taken ? null : index),
    },
    taken ? "B" : "−",
  );
  const { from, reason } = mapSource(data, { ...state, contrast: index }, live);
  if (state.recorded !== null || chosen || (from === null && !data.head)) {
    button.disabled = true;
    button.title = chosen ? "this is A" : state.recorded !== null ? "choose A first" : reason;
  }
  return button;
}

function targetRow(place, { data, state }, on) {
  const pressed = String(state.recorded === place);
  const attributes = { type: "button", class: "rv-class-bar rv-class", "aria-pressed": pressed, "data-place": `t${place}`, onclick: () => on.recorded(place) };
  return element("div", { class: "rv-class-row" }, element("button", attributes, element("span", {}, data.names[state.image][place])));
}
