// What every view shares: toolbar, status line, keyboard, export menu.

import { element, setText } from "./controls.js";
import { createDrops } from "./drop.js";
import { holdFocus, isPlainKey } from "./focus.js";
import { exportMenu, helpPanel } from "./menus.js";
import { createMessages } from "./messages.js";

/** Save `blob` as a file of the reader. */
export function saveBlob(blob, name) {
  const address = URL.createObjectURL(blob);
  const link = element("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** Rows of cells as CSV text (RFC 4180); numbers in full. */
export function csvText(rows) {
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

/** An SVG element as a picture of its own, and as a PNG at `times` its size. */
export function svgText(svg) {
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return new XMLSerializer().serializeToString(svg);
}

export async function svgToPng(svg, times = 2) {
  const [width, height] = ["width", "height"].map((side) => Number(svg.getAttribute(side)));
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText(svg))}`;
  await image.decode();
  const canvas = element("canvas", { width: width * times, height: height * times });
  canvas.getContext("2d").drawImage(image, 0, 0, width * times, height * times);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

/** @typedef {ReturnType<typeof createShell>} Shell */

/**
 * The frame of a view.
 *
 * `keys`: [{ keys: ["]", "PageDown"], text: "next layer", run: (event) => ..., within: () => node? }];
 * a key of a node acts while that node, or the view itself, has the focus. `terms`: what the help says of words, by word.
 * Returns { root, toolbar, main, live, add, say, keys, exports, data, ask, select, selection, ... };
 * see the functions below. A view's render returns shell.close.
 */
export function createShell({ model, el, label, keys = [], terms = {} }) {
  const toolbar = element("div", { class: "rv-toolbar", role: "group", "aria-label": "controls" });
  const main = element("div", { class: "rv-main" });
  const status = createStatus();
  const root = element("section", { class: "rv-view", "aria-label": label }, toolbar, main, status.node);
  const live = model.kernel !== false;
  const closing = createClosing();
  const [{ say, quietUntil, bar }, { listen }] = [status, closing];
  status.watch(root);
  const [menu, help] = [exportMenu(say), helpPanel(label, keys, terms)];
  const end = element("div", { class: "rv-toolbar-end" }, menu.node, help.button.node);
  toolbar.append(end);
  root.append(help.node);
  const still = stillPicture(model, main, root);
  const messages = createMessages({ model, root, live, say, quietUntil, bar, still, listen, closing: closing.all });
  const chosen = createSelection({ model, listen });
  hearKeys(root, keys, help);
  sayRefusals(root, say);
  el.append(root);
  closing.all.push(holdFocus(root));
  return {
    ...{ root, toolbar, main, live, say, onClose: closing.onClose },
    /** Put controls into the toolbar, before the menus. */
    add: (...controls) => controls.forEach((control) => end.before(control.node)),
    /** What the export menu offers: [{ label, run: async () => ... }] ; run saves the file itself. */
    exports: menu.set,
    /** What is dropped: { words, refusal?, run: (files) => ... }; refusal: why none are taken. The outer view hears of its parts' drops. */
    takeFiles: root.classList.contains("rv-host") ? createDrops(root) : () => {},
    ...messages,
    ...chosen,
    /** Call when the width changes (and once now); width in CSS pixels. */
    onWidth: (handler) => closing.all.push(watchWidth(main, handler)),
    close() {
      closing.all.splice(0).forEach((handler) => handler());
      root.remove();
    },
  };
}

/** What is to be undone when the view closes. */
function createClosing() {
  const all = [];
  return {
    all,
    onClose: (handler) => all.push(handler),
    listen(target, name, handler) {
      target.on(name, handler);
      all.push(() => target.off(name, handler));
    },
  };
}

/** The status line: { node, bar, say(text, { wrong }), quietUntil(), watch(root) }. */
function createStatus() {
  const words = element("span", { role: "status", "aria-live": "polite", class: "rv-words" });
  const bar = element("progress", { class: "rv-progress", hidden: true, "aria-label": "progress" });
  const node = element("div", { class: "rv-status" }, words, bar);
  let [wrongAt, actedAt] = [-Infinity, -Infinity]; // the error that stands there; the reader's last act
  return {
    ...{ node, bar },
    watch(root) {
      const act = () => (actedAt = performance.now());
      for (const name of ["pointerdown", "keydown", "drop"]) root.addEventListener(name, act, true);
    },
    /** What was asked before this says nothing over an error; nor does what a view asks by itself. */
    quietUntil: () => (actedAt > wrongAt || wrongAt === -Infinity ? wrongAt : Infinity),
    say(text, { wrong = false } = {}) {
      wrongAt = wrong ? performance.now() : -Infinity;
      setText(words, text); // a screen reader says it once
      node.classList.toggle("rv-wrong", wrong);
      bar.hidden = true;
    },
  };
}

/** What is disabled says why where it is pressed, too: a title is seen by those alone who wait for it. */
function sayRefusals(root, say) {
  root.addEventListener("pointerdown", ({ target }) => {
    const refused = target.closest?.("button:disabled");
    if (refused?.title) say(`${refused.title[0].toUpperCase()}${refused.title.slice(1)}.`);
  });
}

/** "?" and Escape are the help's, the others those of the view. */
function hearKeys(root, keys, help) {
  root.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || !isPlainKey(event)) return;
    const typing = event.target.matches("input:not([type=checkbox]), select, textarea");
    if (event.key === "?" && !typing) {
      help.toggle();
      return event.preventDefault();
    }
    if (event.key === "Escape" && help.close()) return event.preventDefault();
    for (const one of keys) {
      if (!one.run || !one.keys.includes(event.key)) continue;
      const there = event.target === root || one.within?.().contains(event.target);
      if (one.within ? !there : typing) continue;
      one.run(event);
      return event.preventDefault();
    }
  });
}

/** Returns what ends it. */
function watchWidth(main, handler) {
  let before = 0;
  const watcher = new ResizeObserver(() => {
    const width = Math.floor(main.clientWidth);
    if (width && width !== before) handler((before = width));
  });
  watcher.observe(main);
  return () => watcher.disconnect();
}

/** The view's last picture, in the place of its content until data come. */
function stillPicture(model, main, root) {
  const source = String(model.get("still") ?? "");
  const image = element("img", { class: "rv-still", alt: String(model.get("about") ?? "") });
  return {
    show() {
      if (!source.startsWith("data:image/png;base64,")) return;
      image.src = source;
      main.hidden = true;
      root.append(image);
    },
    hide() {
      main.hidden = false;
      image.remove();
    },
  };
}

/** The synced dict `selection`: changed here, by Python, or by another view of the same model. */
function createSelection({ model, listen }) {
  let ours = false;
  return {
    selection: () => ({ ...(model.get("selection") ?? {}) }),
    select(changes) {
      ours = true;
      model.set("selection", { ...(model.get("selection") ?? {}), ...changes });
      ours = false;
      model.save_changes();
    },
    onSelection(handler) {
      listen(model, "change:selection", () => {
        if (!ours) handler({ ...(model.get("selection") ?? {}) });
      });
    },
  };
}
