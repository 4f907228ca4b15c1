// What every view shares: toolbar, status line, keyboard, export menu.

import { buttonControl, element, setText } from "./controls.js";
import { createDrops } from "./drop.js";
import { holdFocus, isPlainKey } from "./focus.js";
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
 * a key of a node acts while that node, or the view itself, has the focus.
 * Returns { root, toolbar, main, live, add, say, keys, exports, data, ask, select, selection, ... };
 * see the functions below. A view's render returns shell.close.
 */
export function createShell({ model, el, label, keys = [] }) {
  const toolbar = element("div", { class: "rv-toolbar", role: "group", "aria-label": "controls" });
  const main = element("div", { class: "rv-main" });
  const words = element("span", { role: "status", "aria-live": "polite", class: "rv-words" });
  const bar = element("progress", { class: "rv-progress", hidden: true, "aria-label": "progress" });
  const status = element("div", { class: "rv-status" }, words, bar);
  const root = element(
    "section",
    { class: "rv-view", "aria-label": label },
    toolbar,
    main,
    status,
  );
  const closing = [];
  const listen = (target, name, handler) => {
    target.on(name, handler);
    closing.push(() => target.off(name, handler));
  };
  const live = model.kernel !== false;

  let [wrongAt, actedAt] = [-Infinity, -Infinity]; // the error that stands there; the reader's last act
  const act = () => (actedAt = performance.now());
  for (const name of ["pointerdown", "keydown", "drop"]) root.addEventListener(name, act, true);
  /** What was asked before this says nothing over an error; nor does what a view asks by itself. */
  const quietUntil = () => (actedAt > wrongAt ? wrongAt : wrongAt === -Infinity ? wrongAt : Infinity);
  function say(text, { wrong = false } = {}) {
    wrongAt = wrong ? performance.now() : -Infinity;
    setText(words, text); // a screen reader says it once
    status.classList.toggle("rv-wrong", wrong);
    bar.hidden = true;
  }

  const menu = exportMenu(say);
  const help = helpPanel(label, keys);
  const end = element("div", { class: "rv-toolbar-end" }, menu.node, help.button.node);
  toolbar.append(end);
  root.append(help.node);
  const still = stillPicture(model, main, root);
  const messages = createMessages({ model, root, live, say, quietUntil, bar, still, listen, closing });
  const chosen = createSelection({ model, listen });

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
  el.append(root);
  closing.push(holdFocus(root));
  const isPart = !root.classList.contains("rv-host"); // the outer view hears of its drops

  return {
    root,
    toolbar,
    main,
    live,
    say,
    /** Put controls into the toolbar, before the menus. */
    add: (...controls) => controls.forEach((control) => end.before(control.node)),
    /** What the export menu offers: [{ label, run: async () => ... }] ; run saves the file itself. */
    exports: menu.set,
    /** Disable a control that needs a kernel where there is none. */
    needsKernel(control, what) {
      if (!live) control.disable(`${what} needs a running kernel; this page has none`);
    },
    /** What is dropped: { words, refusal?, run: (files) => ... }; refusal: why none are taken. */
    takeFiles: isPart ? () => {} : createDrops(root),
    ...messages,
    ...chosen,
    /** Call when the width changes (and once now); width in CSS pixels. */
    onWidth(handler) {
      let before = 0;
      const watcher = new ResizeObserver(() => {
        const width = Math.floor(main.clientWidth);
        if (width && width !== before) handler((before = width));
      });
      watcher.observe(main);
      closing.push(() => watcher.disconnect());
    },
    onClose: (handler) => closing.push(handler),
    close() {
      closing.splice(0).forEach((handler) => handler());
      root.remove();
    },
  };
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

/** A button that opens a list of things to save. */
function exportMenu(say) {
  const list = element("div", { class: "rv-menu", role: "menu", hidden: true });
  const button = buttonControl({ text: "Export", title: "save as a file", className: "rv-menu-button" });
  button.input.setAttribute("aria-haspopup", "menu");
  const node = element("div", { class: "rv-menu-place" }, button.node, list);
  const open = (wanted) => {
    list.hidden = !wanted;
    button.input.setAttribute("aria-expanded", String(wanted));
    if (wanted) list.querySelector("button")?.focus();
  };
  open(false);
  button.input.addEventListener("click", () => open(list.hidden));
  node.addEventListener("focusout", (event) => {
    if (!node.contains(event.relatedTarget)) open(false);
  });
  node.addEventListener("keydown", (event) => {
    const items = [...list.children];
    const at = items.indexOf(event.target);
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key === "Escape" && !list.hidden) {
      open(false);
      button.input.focus();
    } else if (at >= 0 && event.key in steps) {
      items[(at + steps[event.key] + items.length) % items.length].focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const set = (entries) => {
    list.replaceChildren(
      ...entries.map((entry) =>
        element(
          "button",
          {
            type: "button",
            role: "menuitem",
            class: "rv-menu-item",
            onclick: async () => {
              open(false);
              button.input.focus();
              try {
                say((await entry.run()) ?? `${entry.label}: saved`);
              } catch (error) {
                say(`${entry.label}: ${error.message}`, { wrong: true });
              }
            },
          },
          entry.label,
        ),
      ),
    );
  };
  return { node, set };
}

/** The keys of a view, opened by "?" . */
function helpPanel(label, keys) {
  const rows = [...keys, { keys: ["?"], text: "this list" }].map((one) =>
    element(
      "div",
      { class: "rv-help-row" },
      element("dt", {}, ...one.keys.flatMap((key) => [element("kbd", {}, key), " "])),
      element("dd", {}, one.text),
    ),
  );
  const node = element(
    "div",
    { class: "rv-help", role: "note", "aria-label": `${label}: keys`, hidden: true },
    element("dl", {}, ...rows),
  );
  const button = buttonControl({
    text: "?",
    name: "keyboard help",
    title: "keys",
    onClick: () => toggle(),
  });
  const show = (wanted) => {
    node.hidden = !wanted;
    button.input.setAttribute("aria-expanded", String(wanted));
  };
  const toggle = () => show(node.hidden);
  show(false);
  return {
    node,
    button,
    toggle,
    close() {
      const was = !node.hidden;
      show(false);
      return was;
    },
  };
}
