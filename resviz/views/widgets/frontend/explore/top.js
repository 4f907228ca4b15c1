// The one line on top of the screen: what network this is, how it was measured, what can be done.

import { buttonControl, element } from "../controls.js";

/** The one line on top: name, conditions, what is cut, buttons. Returns { fill, leave, onStop, onAll, draw }. */
export function createTop(shell) {
  const { root } = shell;
  const name = element("strong", { class: "rv-top-name" });
  const facts = element("span", { class: "rv-faint rv-top-facts" });
  const all = buttonControl({ text: "put all blocks back", className: "rv-small", title: "0" });
  const stop = buttonControl({ text: "Stop", className: "rv-small", title: "Escape" });
  shell.toolbar.prepend(name, facts, all.node, stop.node);
  shell.toolbar.querySelector(".rv-toolbar-end").before(root.querySelector(".rv-status"));
  [all.node.hidden, stop.node.hidden] = [true, true];
  addFilling(shell);
  return {
    fill: () => fill(root),
    /** Over all else no more; false where it was not. */
    leave() {
      const was = root.classList.contains("rv-filled");
      root.classList.remove("rv-filled");
      return was;
    },
    onStop: (run) => stop.node.addEventListener("click", run),
    onAll: (run) => all.node.addEventListener("click", run),
    draw({ header, scene, shownOff: off, off: wanted }, busy) {
      name.textContent = header.network;
      const cut = off.length ? [`without ${off.join(", ")}`] : [];
      facts.textContent = facts.title = [...cut, scene.conditions].join(" · ");
      all.node.hidden = !off.length && !wanted.length;
      stop.node.hidden = !busy;
    },
  };
}

async function fill(root) {
  if (document.fullscreenElement === root) return document.exitFullscreen();
  try {
    await root.requestFullscreen();
  } catch {
    root.classList.toggle("rv-filled"); // where a page may not: over all else
  }
}

function addFilling({ root, toolbar, onClose }) {
  const button = buttonControl({ text: "Fill window", title: "f", onClick: () => fill(root) });
  toolbar.querySelector(".rv-toolbar-end").prepend(button.node);
  const keep = () => (button.node.textContent = document.fullscreenElement === root ? "Leave window" : "Fill window");
  document.addEventListener("fullscreenchange", keep);
  onClose(() => document.removeEventListener("fullscreenchange", keep));
}
