// The one line on top of the screen: what network this is, how it was measured, what can be done.

import { buttonControl, element } from "../controls.js";

/** The one line on top: name, conditions, what is cut, buttons. */
export function createTop(shell) {
  const name = element("strong", { class: "rv-top-name" });
  const facts = element("span", { class: "rv-faint rv-top-facts" });
  const all = buttonControl({ text: "put all blocks back", className: "rv-small", title: "0" });
  const stop = buttonControl({ text: "Stop", className: "rv-small", title: "Escape" });
  const fillButton = buttonControl({ text: "Fill window", title: "f", onClick: () => fill() });
  shell.toolbar.prepend(name, facts, all.node, stop.node);
  shell.toolbar.querySelector(".rv-toolbar-end").prepend(fillButton.node);
  shell.toolbar.querySelector(".rv-toolbar-end").before(shell.root.querySelector(".rv-status"));
  [all.node.hidden, stop.node.hidden] = [true, true];

  async function fill() {
    const { root } = shell;
    if (document.fullscreenElement === root) return document.exitFullscreen();
    try {
      await root.requestFullscreen();
    } catch {
      root.classList.toggle("rv-filled"); // where a page may not: over all else
    }
  }
  const keep = () => (fillButton.node.textContent = document.fullscreenElement === shell.root ? "Leave window" : "Fill window");
  document.addEventListener("fullscreenchange", keep);
  shell.onClose(() => document.removeEventListener("fullscreenchange", keep));
  return {
    fill,
    /** Over all else no more; false where it was not. */
    leave() {
      const was = shell.root.classList.contains("rv-filled");
      shell.root.classList.remove("rv-filled");
      return was;
    },
    onStop: (run) => stop.node.addEventListener("click", run),
    onAll: (run) => all.node.addEventListener("click", run),
    draw({ header, scene, shownOff: off, off: wanted }, busy) {
      name.textContent = header.network;
      const cut = off.length ? [`without ${off.join(", ")}`] : [];
      facts.textContent = [...cut, scene.conditions].join(" · ");
      facts.title = facts.textContent;
      all.node.hidden = !off.length && !wanted.length;
      stop.node.hidden = !busy;
    },
  };
}
