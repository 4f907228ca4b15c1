// The head of `explore`: photographs to choose and to add, the classes, the blocks to switch off.

import { buttonControl, element, searchControl } from "./controls.js";
import { chanceWords, opaquePixels, paintCanvas } from "./explanation_pane.js";
import { arrayAt, numberWords } from "./pixels.js";
import { shortBlock } from "./explore_links.js";

/** on: { image(n), files([File]), class(index | null), block(name), every() }; all are called by the user's acts. */
export function createExploreHeader({ live, on }) {
  const pictures = element("div", { class: "rv-photos", role: "group", "aria-label": "photographs" });
  const guesses = element("div", { class: "rv-guesses", role: "group", "aria-label": "predicted classes" });
  const blocks = element("div", { class: "rv-blocks", role: "group", "aria-label": "residual blocks; a pressed one is on" });
  const facts = element("p", { class: "rv-faint rv-explore-facts" });
  const note = element("p", { class: "rv-explore-note", hidden: true });
  const search = searchControl({ label: "Class", names: [], onChoose: (index) => on.class(index) });
  const file = element("input", {
    ...{ type: "file", accept: "image/*", hidden: true, multiple: true, "aria-label": "photograph to add" },
    onchange: () => {
      on.files([...file.files]);
      file.value = "";
    },
  });
  const upload = buttonControl({ text: "Add a photograph", title: "or drop one anywhere on the view", onClick: () => file.click() });
  const every = buttonControl({ text: "all blocks on", onClick: () => on.every() });
  const blockRow = element("div", { class: "rv-blocks-row" }, blocks, every.node);
  const node = element(
    "div",
    { class: "rv-explore-head" },
    element("div", { class: "rv-photos-row" }, pictures, upload.node, file),
    element("div", { class: "rv-guesses-row" }, guesses, search.node),
    blockRow,
    facts,
    note,
  );
  const kernelWords = "needs a running kernel; this page has none";
  if (!live) {
    upload.disable(`another photograph ${kernelWords}`);
    every.disable(`switching blocks ${kernelWords}`);
  }

  node.addEventListener("keydown", (event) => {
    const group = [pictures, guesses, blocks].find((one) => one.contains(event.target));
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!group || !by) return;
    const all = [...group.querySelectorAll("button")];
    all[Math.max(0, Math.min(all.length - 1, all.indexOf(event.target) + by))]?.focus();
    event.preventDefault();
    event.stopPropagation();
  });

  function photograph(one, number, view, wanted) {
    const picture = one.picture && element("canvas", { class: "rv-photo-picture", "aria-hidden": "true" });
    if (picture) {
      const [height, width] = one.picture.shape;
      paintCanvas(picture, opaquePixels(arrayAt(view, one.picture)), height, width);
    }
    const chosen = number === wanted.image;
    const button = element(
      "button",
      {
        ...{ type: "button", class: "rv-photo", "aria-pressed": String(chosen), title: one.name },
        onclick: () => on.image(number),
      },
      picture,
      element("span", {}, one.name),
    );
    if (!live && !chosen) {
      button.disabled = true;
      button.title = `${one.name}: ${kernelWords}`;
    }
    return button;
  }

  function guess({ index, probability, before }, header, wanted) {
    const chosen = index === (wanted.class ?? header.scene.predicted[0].index);
    const { word, units } = header.said;
    const words = (value) => (word === "value" ? `${numberWords(value)} ${units}`.trim() : chanceWords(value));
    const was = before === null ? "" : ` was ${words(before)}`;
    return element(
      "button",
      {
        ...{ type: "button", class: "rv-button rv-guess", "aria-pressed": String(chosen) },
        title: before === null ? `predicted ${word}` : `predicted ${word}; ${words(before)} by the whole network`,
        onclick: () => on.class(index),
      },
      header.classes[index],
      element("span", { class: "rv-guess-odds" }, ` ${words(probability)}${was}`),
    );
  }

  function block(one, wanted, cursor) {
    const isOn = !wanted.off.includes(one.name);
    const button = element(
      "button",
      {
        ...{ type: "button", class: "rv-block", "aria-pressed": String(isOn), "aria-label": one.name },
        title: `${one.name}, ${one.kind} shortcut: ${isOn ? "on; press to take its branch away" : "off: its branch is taken away"}`,
        onclick: () => on.block(one.name),
      },
      shortBlock(one),
    );
    if (one.name === cursor) button.setAttribute("aria-current", "true");
    if (!live) {
      button.disabled = true;
      button.title = `switching ${one.name} off ${kernelWords}`;
    }
    return button;
  }

  function staged(list, wanted, cursor) {
    const stages = new Map();
    for (const one of list) stages.set(one.stage, [...(stages.get(one.stage) ?? []), one]);
    return [...stages].map(([stage, of]) =>
      element(
        "span",
        { class: "rv-blocks-stage" },
        element("span", { class: "rv-faint" }, stage || "blocks"),
        ...of.map((one) => block(one, wanted, cursor)),
      ),
    );
  }

  let named = null;
  return {
    node,
    blocks,
    /** header: as the kernel sent it; wanted: { image, class, off }; cursor: name of a block. */
    show(header, view, wanted, cursor, words) {
      const within = [pictures, guesses, blocks].find((one) => one.contains(document.activeElement));
      const at = within ? [...within.querySelectorAll("button")].indexOf(document.activeElement) : -1;
      pictures.replaceChildren(...header.photographs.map((one, n) => photograph(one, n, view, wanted)));
      guesses.replaceChildren(...header.scene.predicted.map((one) => guess(one, header, wanted)));
      if (named !== header.classes) search.setNames(header.classes, null);
      named = header.classes;
      search.set(wanted.class ?? header.scene.predicted[0]?.index);
      search.hide(!header.classes.length);
      blocks.replaceChildren(...staged(header.blocks, wanted, cursor));
      blockRow.hidden = !header.blocks.length;
      every.node.hidden = !wanted.off.length;
      facts.textContent = header.scene.conditions;
      note.textContent = words;
      note.hidden = !words;
      if (at >= 0) within.querySelectorAll("button")[at]?.focus();
    },
  };
}
