// Explore: depth profiles, feature maps, explanation and residual anatomy of one photograph, under
// one cursor over depth, one class, and one set of blocks switched off.

import { buttonControl, element } from "./controls.js";
import { fileFault } from "./drop.js";
import { renderReasons } from "./explanation.js";
import { createExploreHeader } from "./explore_header.js";
import { depthAt, followedBy, joinedBuffers, linkedBy, placeAt, samePasses, sameScene } from "./explore_links.js";
import { renderMaps } from "./feature_maps.js";
import { renderProfiles } from "./gradients.js";
import { renderAnatomy } from "./residuals.js";
import { createShell, csvText, saveBlob } from "./shell.js";

const EXPLORE_PARTS = [
  { name: "gradients", title: "Along depth", render: renderProfiles },
  { name: "maps", title: "Feature maps", render: renderMaps },
  { name: "explanation", title: "Explanation", render: renderReasons },
  { name: "residuals", title: "Residual anatomy", render: renderAnatomy },
];
const EXPLORE_WIDE = 1180; // pixels from which feature maps and explanation stand side by side
const SCENE_PAUSE = 150; // milliseconds until a change is sent on, so that fast ones make one question

/** What stands for the widget model of a view within this one. */
function innerModel(model, { onChosen, onReady, sceneNumber, name }) {
  const handlers = {};
  const traits = { selection: {}, about: "", still: "" };
  const emit = (event, ...details) => [...(handlers[event] ?? [])].forEach((handler) => handler(...details));
  return {
    kernel: model.kernel,
    widget_manager: model.widget_manager,
    get: (key) => traits[key],
    set(key, value) {
      traits[key] = value;
      emit(`change:${key}`);
    },
    save_changes: () => onChosen(traits.selection),
    on: (event, handler) => (handlers[event] ??= []).push(handler),
    off(event, handler) {
      handlers[event] = (handlers[event] ?? []).filter((known) => known !== handler);
    },
    send(content) {
      if (content.type === "ready") onReady();
      else model.send({ type: "within", view: name, scene: sceneNumber(), content });
    },
    emit,
  };
}

/** A part of the page: its frame, and the view in it once there are data. */
function createPart(model, { name, title, render }, { onChosen, sceneNumber }) {
  const body = element("div", { class: "rv-part-body" });
  const words = element("p", { class: "rv-faint rv-part-words" }, "waiting for data …");
  const node = element(
    "details",
    { class: `rv-part rv-part-${name}`, open: true },
    element("summary", { class: "rv-part-title" }, title),
    words,
    body,
  );
  let [inner, close, data, told] = [null, null, null, {}];
  const deliver = () => inner.emit("msg:custom", { type: "data", meta: data.meta }, [data.view]);
  const part = {
    ...{ node, name },
    get told() {
      return told;
    },
    get data() {
      return data;
    },
    selection: () => inner?.get("selection") ?? {},
    /** Show data, with a selection that follows the shared state. */
    show(wanted, selection) {
      data = wanted;
      words.hidden = true;
      body.hidden = false;
      if (inner) {
        told = { ...inner.get("selection"), ...selection };
        inner.set("selection", told);
        return deliver();
      }
      inner = innerModel(model, { name, sceneNumber, onReady: deliver, onChosen: (chosen) => onChosen(part, chosen) });
      told = { ...wanted.selection, ...selection };
      inner.set("selection", told);
      close = render({ model: inner, el: body });
    },
    /** Nothing is shown, and why. */
    empty(why) {
      close?.();
      [inner, close, data, told] = [null, null, null, {}];
      words.textContent = why;
      words.hidden = false;
    },
    /** Hidden, not lost: what is shown would belong to another scene. */
    wait(why) {
      words.textContent = why;
      words.hidden = false;
      body.hidden = true;
    },
    follow(changes) {
      if (!inner || Object.entries(changes).every(([key, value]) => told[key] === value)) return;
      told = { ...inner.get("selection"), ...changes };
      inner.set("selection", told);
    },
    heard(chosen) {
      told = { ...chosen };
    },
    message: (content, buffers) => inner?.emit("msg:custom", content, buffers),
    close: () => close?.(),
  };
  return part;
}

export function renderExplore({ model, el }) {
  const wanted = { image: 0, class: null, off: [] };
  const linked = { depth: null, channel: 0 };
  let [shown, header, headerView, timer, turn, waiting] = [null, null, null, 0, 0, false];
  let adding = Promise.resolve();
  let [lacking, explaining] = [false, false]; // the shown scene has no explanation yet; it is on its way

  const shell = createShell({
    model,
    el,
    label: "Explore",
    keys: [
      { keys: ["]", "PageDown"], text: "deeper, to the next block", run: () => stepBlock(1) },
      { keys: ["[", "PageUp"], text: "back, to the block before", run: () => stepBlock(-1) },
      { keys: ["o"], text: "the block under the cursor off, or on again", run: () => header && toggle(blockNow()) },
      { keys: ["0"], text: "all blocks on", run: () => want({ off: [] }) },
      { keys: [".", ">"], text: "next photograph", run: () => setImage(wanted.image + 1) },
      { keys: [",", "<"], text: "photograph before", run: () => setImage(wanted.image - 1) },
      { keys: ["Escape"], text: "stop the work in progress", run: () => stop() },
      { keys: ["Arrow keys"], text: "in the head: between photographs, classes, blocks" },
    ],
  });
  const head = createExploreHeader({
    live: shell.live,
    on: { image: setImage, files: addFiles, class: setClass, block: toggle, every: () => want({ off: [] }) },
  });
  const parts = EXPLORE_PARTS.map((one) => createPart(model, one, { onChosen, sceneNumber: () => shown?.number }));
  const partOf = (name) => parts.find((part) => part.name === name);
  shell.root.classList.add("rv-explore");
  const stopButton = buttonControl({ text: "Stop", title: "Escape", onClick: () => stop() });
  stopButton.node.hidden = true;
  shell.add(stopButton);
  shell.main.append(head.node, element("div", { class: "rv-parts" }, ...parts.map((part) => part.node)));
  parts.forEach((part) => part.node.addEventListener("toggle", publish));
  shell.onClose(() => parts.forEach((part) => part.close()));
  shell.onClose(() => clearTimeout(timer));

  // ---- the cursor
  const predicted = () => header?.scene.predicted[0]?.index;
  const blockPlaces = () => header.blocks.map((one) => [one.name, one.depth]);
  const blockNow = () => (linked.depth === null ? null : placeAt(blockPlaces(), linked.depth));

  function stepBlock(by) {
    if (!header) return;
    const names = blockPlaces();
    if (!names.length) return;
    const at = names.findIndex(([name]) => name === blockNow());
    const [name, depth] = names[Math.max(0, Math.min(names.length - 1, at + by))];
    link({ depth });
    shell.say(name);
  }

  function link(changes, from = null) {
    Object.assign(linked, changes);
    const state = { ...linked, class: wanted.class };
    for (const part of parts) {
      if (part === from) continue;
      part.follow(followedBy(part.name, state, header.places, predicted()));
    }
    drawHead();
    publish();
  }

  function onChosen(part, chosen) {
    const said = linkedBy(part.name, chosen, part.told, header.places);
    part.heard(chosen);
    if ("class" in said) setClass(said.class, part);
    delete said.class;
    if (Object.keys(said).length) link(said, part);
    else publish();
  }

  // ---- the scene: photograph, class, blocks
  function setImage(image) {
    if (!header || !(image >= 0 && image < header.photographs.length) || image === wanted.image) return;
    if (shell.live) want({ image, class: null });
  }
  function setClass(index, from = null) {
    want({ class: index === predicted() && samePasses(wanted, shown) ? null : index }, from);
  }
  function toggle(name) {
    if (!name) return;
    const off = wanted.off.includes(name) ? wanted.off.filter((one) => one !== name) : [...wanted.off, name];
    want({ off });
  }
  function want(changes, from = null) {
    if (!header) return;
    if (!shell.live && ("off" in changes || "image" in changes)) {
      return shell.say("Another photograph and blocks switched off need a running kernel; this page has none.");
    }
    Object.assign(wanted, changes);
    link({}, from);
    clearTimeout(timer);
    if (shell.live) timer = setTimeout(load, SCENE_PAUSE);
  }

  async function load() {
    timer = 0;
    if (sameScene(wanted, shown)) {
      shell.drop("scene");
      if (waiting) busy(false);
      else if (lacking && !explaining) explain();
      return;
    }
    turn += 1;
    const mine = turn;
    const asked = { ...wanted, off: [...wanted.off], shown: shown.number };
    busy(true);
    shell.drop("explanation");
    const answer = await shell.ask("scene", asked);
    if (mine !== turn) return; // a newer question is on its way
    busy(false);
    if (answer) return take(answer.content.scene, answer.buffers[0]);
    Object.assign(wanted, { image: shown.image, class: shown.class, off: [...shown.off] }); // as it is shown
    link({});
    if (lacking) explain(); // it was given up for the question that came to nothing
  }

  async function explain() {
    const mine = turn;
    explaining = true;
    showStop();
    const answer = await shell.ask("explanation", { image: shown.image, class: shown.class, off: [...shown.off] });
    if (mine !== turn) return;
    explaining = false;
    showStop();
    if (answer) take(answer.content.scene, answer.buffers[0]);
    else partOf("explanation").wait("No explanation: it was stopped, or failed. Choose its class again to ask again.");
  }

  function busy(now) {
    waiting = now;
    if (now) explaining = false;
    showStop();
    shell.root.setAttribute("aria-busy", String(now));
  }
  function showStop() {
    stopButton.node.hidden = !(waiting || explaining);
  }
  function stop() {
    if (waiting) shell.stop("scene");
    else if (explaining) shell.stop("explanation");
  }

  // ---- data
  /** meta: { header, views: { name: { meta, at, size, selection } | { reason } }, weight? }. */
  function take(meta, view) {
    const before = shown;
    header = meta.header;
    headerView = view;
    shown = { ...header.scene };
    if (!before || !(waiting || timer)) Object.assign(wanted, { image: shown.image, class: shown.class, off: [...shown.off] });
    if (linked.depth === null) linked.depth = header.deepest;
    const state = { ...linked, class: wanted.class };
    for (const part of parts) {
      const sent = meta.views[part.name];
      if (!sent) continue;
      if (sent.reason !== undefined) {
        part.empty(sent.reason);
        continue;
      }
      const slice = new DataView(view.buffer, view.byteOffset + sent.at, sent.size);
      const stored = before ? {} : (shell.selection().views?.[part.name] ?? {});
      const follows = followedBy(part.name, state, header.places, predicted());
      part.show({ meta: sent.meta, view: slice, selection: sent.selection }, { ...stored, ...follows });
    }
    if (meta.weight) weigh(meta.weight, view);
    lacking = Boolean(meta.explain);
    if (meta.explain) {
      if (!before || !samePasses(before, shown)) partOf("explanation").wait("being explained …");
      explain();
    }
    link({});
  }

  /** The last layer's weights, which come with the explanation, join the feature maps. */
  function weigh(weight, view) {
    const part = partOf("maps");
    if (!part.data) return;
    const slice = new DataView(view.buffer, view.byteOffset + weight.at, weight.size);
    const { view: joined, at } = joinedBuffers(part.data.view, slice);
    const { rows } = weight.meta;
    const placed = { ...weight.meta, rows: rows && { ...rows, at: rows.at + at } };
    const [first, ...others] = part.data.meta.networks;
    const meta = { ...part.data.meta, networks: [{ ...first, weight: placed }, ...others] };
    part.show({ ...part.data, meta, view: joined }, {});
  }

  /** One after the other: a newer question of one kind takes the place of the one before. */
  function addFiles(files) {
    for (const file of files) adding = adding.then(() => addFile(file));
  }
  async function addFile(file) {
    const fault = header ? fileFault(file) : `${file.name} was not added: the view has no data yet.`;
    if (fault) return shell.say(fault, { wrong: true });
    shell.say(`reading ${file.name} …`);
    const buffer = await file.arrayBuffer().catch(() => null);
    if (!buffer) return shell.say(`${file.name} cannot be read; a file with a picture would be right.`, { wrong: true });
    const answer = await shell.ask("photograph", { name: file.name, shown: shown.number }, [buffer]);
    if (!answer) return;
    header = { ...answer.content.header, scene: header.scene };
    headerView = answer.buffers[0];
    want({ image: answer.content.image, class: null });
  }

  function drawHead() {
    if (!header) return;
    const notes = [];
    if (shown && !shell.live && wanted.class !== shown.class) {
      notes.push("Explanation and weights are of the chosen class; gradients are of the recorded one: another needs a running kernel.");
    }
    head.show(header, headerView, wanted, blockNow(), notes.join(" "));
  }

  function publish() {
    if (!header) return;
    const views = Object.fromEntries(parts.map((part) => [part.name, part.selection()]));
    const open = parts.filter((part) => part.node.open).map((part) => part.name);
    shell.select({ ...wanted, off: [...wanted.off], ...linked, open, views });
  }

  shell.takeFiles({
    words: "Drop the photograph: it joins the others.",
    refusal: shell.live ? null : "Another photograph needs a running kernel; this page has none.",
    run: addFiles,
  });
  shell.exports([
    {
      label: "Predicted classes (CSV)",
      run: async () => {
        const rows = header.scene.predicted.map(({ index, probability, before }) => [header.classes[index], index, probability, before]);
        const text = csvText([["class", "index", "probability", "probability_whole_network"], ...rows]);
        saveBlob(new Blob([text], { type: "text/csv" }), "predicted_classes.csv");
      },
    },
  ]);
  shell.onWidth((width) => shell.root.classList.toggle("rv-explore-wide", width >= EXPLORE_WIDE));
  shell.onMessage((content, buffers) => {
    if (content.type === "within") partOf(content.view)?.message(content.content, buffers);
  });
  shell.onSelection((selection) => {
    if (!header) return;
    const changes = {};
    if (Number.isInteger(selection.image)) changes.image = selection.image;
    if (Array.isArray(selection.off)) changes.off = selection.off.map(String);
    if ("class" in selection) changes.class = Number.isInteger(selection.class) ? selection.class : null;
    const depth = Number.isFinite(selection.depth) ? selection.depth : linked.depth;
    const channel = Number.isInteger(selection.channel) ? selection.channel : linked.channel;
    Object.assign(linked, { depth, channel });
    if (Array.isArray(selection.open)) parts.forEach((part) => (part.node.open = selection.open.includes(part.name)));
    for (const part of parts) {
      const chosen = selection.views?.[part.name];
      if (chosen && typeof chosen === "object") part.follow(chosen);
    }
    if (!sameScene({ ...wanted, ...changes }, wanted)) want(changes);
    else link({});
  });
  shell.data((meta, view) => {
    const { open, depth, channel } = shell.selection();
    if (Array.isArray(open)) parts.forEach((part) => (part.node.open = open.includes(part.name)));
    if (Number.isFinite(depth)) linked.depth = depth;
    if (Number.isInteger(channel)) linked.channel = channel;
    take(meta, view);
  });
  return shell.close;
}

export default { render: renderExplore };
