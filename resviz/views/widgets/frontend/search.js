// A field that finds one of many names while one types.

import { element, freshId, labelled } from "./controls.js";

/**
 * Entries of `names` for what was typed: the number or the whole name first, then those that begin
 * with it, those with a word that does, those that contain it; within each in the given order.
 */
export function searchHits(names, typed, most = 12, order = null) {
  const wanted = typed.trim().toLowerCase();
  const all = order ?? names.map((_, index) => index);
  if (!wanted) return all.slice(0, most);
  const ranks = [[], [], [], []];
  for (const index of all) {
    const rank = hitRank(String(names[index]).toLowerCase(), index, wanted);
    if (rank >= 0) ranks[rank].push(index);
  }
  return ranks.flat().slice(0, most);
}

function hitRank(text, index, wanted) {
  if (text === wanted || String(index) === wanted) return 0;
  if (text.startsWith(wanted)) return 1;
  const at = text.indexOf(wanted);
  if (at < 0) return -1;
  return /[\s(,-]/.test(text[at - 1]) ? 2 : 3;
}

/**
 * A field that finds one of many names (classes) while one types. onChoose gets its index.
 * @param {{ label: string, names: string[], value?: any, onChoose?: (index: any) => any, title?: string, placeholder?: string, onEmpty?: () => any }} options
 */
export function searchControl({ label, names, value, onChoose, title, placeholder = "search", onEmpty }) {
  const list = element("ul", { class: "rv-hits", role: "listbox", id: freshId("hits"), hidden: true });
  const input = searchInput(placeholder, list.id);
  const control = labelled(label, input, { title, className: "rv-control-search" });
  control.node.append(list);
  /** hits: indices that are listed; active: the place of the marked one; typed: what stands there was; order: of all names, or null. */
  const field = { input, list, names, title, onChoose, onEmpty, chosen: value, hits: [], active: 0, typed: false, order: null };
  listenToTyping(field);
  control.get = () => field.chosen;
  control.set = (index) => {
    field.chosen = index;
    closeHits(field);
  };
  /** `first`: numbers of all names in the order of the list; null for that of the names. */
  control.setNames = (list_, index, first = null) => {
    [field.names, field.order] = [list_, first];
    control.set(index);
  };
  closeHits(field);
  return control;
}

function searchInput(placeholder, listId) {
  return element("input", {
    ...{ type: "text", class: "rv-search", role: "combobox", autocomplete: "off", spellcheck: "false", placeholder },
    ...{ "aria-expanded": "false", "aria-autocomplete": "list", "aria-controls": listId },
  });
}

const nameOf = ({ names }, index) => (index === undefined || index === null ? "" : String(names[index] ?? index));

function closeHits(field) {
  const { input, list } = field;
  list.hidden = true;
  field.typed = false;
  input.setAttribute("aria-expanded", "false");
  input.removeAttribute("aria-activedescendant");
  input.value = nameOf(field, field.chosen);
  if (!input.disabled) input.title = field.title ?? input.value; // there may be no room for all of it
}

function openHits(field) {
  const { input, list, names, order } = field;
  const hits = (field.hits = searchHits(names, field.typed ? input.value : "", 12, order));
  field.active = Math.min(field.active, Math.max(0, hits.length - 1));
  list.replaceChildren(...hits.map((index, place) => hitNode(field, index, place)));
  if (!hits.length) list.append(element("li", { class: "rv-hit rv-faint" }, "no such name"));
  list.hidden = false;
  input.setAttribute("aria-expanded", "true");
  if (hits.length) input.setAttribute("aria-activedescendant", `${list.id}-${field.active}`);
}

function hitNode(field, index, place) {
  const onpointerdown = (event) => {
    event.preventDefault();
    choose(field, index);
  };
  const attributes = { role: "option", id: `${field.list.id}-${place}`, class: "rv-hit", "aria-selected": String(place === field.active), onpointerdown };
  return element("li", attributes, nameOf(field, index), element("span", { class: "rv-faint" }, ` ${index}`));
}

function choose(field, index) {
  field.chosen = index;
  closeHits(field);
  field.onChoose?.(index);
}

function listenToTyping(field) {
  const { input } = field;
  input.addEventListener("input", () => {
    [field.active, field.typed] = [0, true];
    openHits(field);
  });
  input.addEventListener("focus", () => input.select());
  input.addEventListener("blur", () => closeHits(field));
  input.addEventListener("keydown", (event) => {
    if (!searchKey(field, event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  });
}

/** Whether the key was for the field. */
function searchKey(field, key) {
  const { input, list, hits, onEmpty } = field;
  const steps = { ArrowDown: 1, ArrowUp: -1 };
  if (key in steps) {
    field.active = list.hidden ? 0 : (field.active + steps[key] + hits.length) % Math.max(1, hits.length);
    openHits(field);
  } else if (key === "Enter" && field.typed && !input.value.trim() && onEmpty) {
    field.chosen = null;
    closeHits(field);
    onEmpty();
  } else if (key === "Enter" && !list.hidden && hits.length) choose(field, hits[field.active]);
  else if (key === "Escape") closeHits(field);
  else return false;
  return true;
}
