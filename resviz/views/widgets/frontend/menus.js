// What opens from the toolbar of a view: the list of files to save, and the keys.

import { buttonControl, element } from "./controls.js";

/** A button that opens a list of things to save. */
export function exportMenu(say) {
  const list = element("div", { class: "rv-menu", role: "menu", hidden: true });
  const button = buttonControl({ text: "Export", title: "save as a file", className: "rv-menu-button" });
  button.input.setAttribute("aria-haspopup", "menu");
  const node = element("div", { class: "rv-menu-place" }, button.node, list);
  const open = (wanted) => {
    showUnder(button, list, wanted);
    if (wanted) list.querySelector("button")?.focus();
  };
  open(false);
  button.input.addEventListener("click", () => open(list.hidden));
  node.addEventListener("focusout", ({ relatedTarget }) => node.contains(relatedTarget) || open(false));
  const back = () => {
    open(false);
    button.input.focus();
  };
  walkMenu(node, list, back);
  return { node, set: (entries) => list.replaceChildren(...entries.map((entry) => menuItem(entry, say, back))) };
}

function showUnder(button, node, wanted) {
  node.hidden = !wanted;
  button.input.setAttribute("aria-expanded", String(wanted));
}

function walkMenu(node, list, back) {
  node.addEventListener("keydown", (event) => {
    const items = [...list.children];
    const at = items.indexOf(event.target);
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key === "Escape" && !list.hidden) back();
    else if (at >= 0 && event.key in steps) items[(at + steps[event.key] + items.length) % items.length].focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

function menuItem({ label, run }, say, back) {
  async function save() {
    back();
    try {
      say((await run()) ?? `${label}: saved`);
    } catch (error) {
      say(`${label}: ${error.message}`, { wrong: true });
    }
  }
  return element("button", { type: "button", role: "menuitem", class: "rv-menu-item", onclick: save }, label);
}

/** The keys of a view, opened by "?" . */
export function helpPanel(label, keys, terms) {
  const rows = [...keys, { keys: ["?"], text: "this list" }].map(helpRow);
  const told = Object.entries(terms).flatMap(([term, words]) => [element("dt", {}, term), element("dd", {}, words)]);
  const lists = [element("dl", {}, ...rows), ...(told.length ? [element("dl", { class: "rv-help-terms" }, ...told)] : [])];
  const node = element("div", { class: "rv-help", role: "note", "aria-label": `${label}: keys${told.length ? " and words" : ""}` }, ...lists);
  const toggle = () => showUnder(button, node, node.hidden);
  const button = buttonControl({ text: "?", name: "keyboard help", title: "keys", onClick: toggle });
  const close = () => {
    const was = !node.hidden;
    showUnder(button, node, false);
    return was;
  };
  close();
  return { node, button, toggle, close };
}

function helpRow({ keys, text }) {
  const names = keys.flatMap((key) => [element("kbd", {}, key), " "]);
  return element("div", { class: "rv-help-row" }, element("dt", {}, ...names), element("dd", {}, text));
}
