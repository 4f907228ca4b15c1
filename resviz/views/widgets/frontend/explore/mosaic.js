// All channels of all blocks, over the screen: the view of explore_feature_maps within it.

import { buttonControl, element } from "../controls.js";
import { renderMaps } from "../feature_maps.js";
import { momentKey } from "./scenes.js";

/** Returns { node, open, close, toggle, follow }. */
export function createMosaic({ model, shell, current, chosen }) {
  const body = element("div", { class: "rv-mosaic-body" });
  const closing = buttonControl({ text: "× back", title: "Escape", onClick: () => close() });
  const node = element("div", { class: "rv-mosaic-over", role: "dialog", "aria-label": "all channels", hidden: true }, closing.node, body);
  /** inner: what stands for the model of the view within; shown: of which moment it is. */
  const mosaic = { ...{ model, shell, current, chosen, body }, inner: null, end: null, shown: "" };
  function open() {
    if (!shell.live) return shell.say("All channels at once need a running kernel; this page has none.");
    node.hidden = false;
    closing.node.focus();
    return load(mosaic);
  }
  function close() {
    if (node.hidden) return false;
    node.hidden = true;
    shell.root.focus({ preventScroll: true });
    return true;
  }
  shell.onMessage((content, buffers) => {
    if (content.type === "within" && content.view === "maps") mosaic.inner?.emit("msg:custom", content.content, buffers);
  });
  shell.onClose(() => mosaic.end?.());
  return {
    ...{ node, open, close },
    toggle: () => (node.hidden ? open() : close()),
    follow() {
      if (!node.hidden && current() && momentKey(current().moment) !== mosaic.shown) load(mosaic);
    },
  };
}

async function load(mosaic) {
  const { model, shell, body, chosen } = mosaic;
  const { moment, scene } = mosaic.current();
  mosaic.shown = momentKey(moment);
  const answer = await shell.ask("maps", moment);
  if (!answer) return;
  mosaic.end?.();
  body.replaceChildren();
  const inner = innerModel(model, { scene: scene.number, chosen: { ...answer.content.chosen, ...pointedAt(chosen()) } });
  inner.data = { type: "data", meta: answer.content.maps };
  inner.view = answer.buffers[0];
  mosaic.inner = inner;
  mosaic.end = renderMaps({ model: inner.model, el: body });
}

/** The block under the cursor, and the channel that was pointed at, where there are any. */
function pointedAt({ channel, layer }) {
  return { ...(layer ? { layer } : {}), ...(channel === null ? {} : { channel }) };
}

/** What stands for the widget model of a view within this one. */
function innerModel(model, { scene, chosen }) {
  const handlers = {};
  const traits = { selection: { ...chosen, show: "all" }, about: "", still: "" };
  const emit = (event, ...details) => [...(handlers[event] ?? [])].forEach((handler) => handler(...details));
  const held = { data: null, view: null, emit };
  held.model = {
    kernel: model.kernel,
    widget_manager: model.widget_manager,
    get: (key) => traits[key],
    set(key, value) {
      traits[key] = value;
      emit(`change:${key}`);
    },
    save_changes() {},
    on: (event, handler) => (handlers[event] ??= []).push(handler),
    off(event, handler) {
      handlers[event] = (handlers[event] ?? []).filter((known) => known !== handler);
    },
    send(content) {
      if (content.type === "ready") emit("msg:custom", held.data, [held.view]);
      else model.send(/** @type {import("../message_types.d.ts").WithinAsked} */ ({ type: "within", view: "maps", scene, content }));
    },
  };
  return held;
}
