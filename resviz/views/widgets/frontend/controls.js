// Labelled controls. Text is set as text, never as markup: layer, class and file names are users'.

const SVG_SPACE = "http://www.w3.org/2000/svg";
// every view of a notebook page has a copy of this module: ids of its own
const controlStem = Math.random().toString(36).slice(2, 8);
let controlCount = 0;

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** An HTML element: element("p", { class: "rv-note", onclick: f }, "text", other). */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svgElement(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG_SPACE, tag), attributes, children);
}

/** Set a text; the same once more would be laid out anew. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function freshId(stem) {
  controlCount += 1;
  return `rv-${stem}-${controlStem}-${controlCount}`;
}

/**
 * What every control shares: `node` to place, `input` to focus, disable(reason), enable(), hide().
 * @param {string} label
 * @param {any} input
 * @param {{ title?: string, className?: string }} more
 */
export function labelled(label, input, { title, className = "" } = {}) {
  input.id = input.id || freshId("control");
  if (title) input.title = title;
  const text = element("label", { class: "rv-label", for: input.id }, label);
  const node = element("div", { class: `rv-control ${className}` }, text, input);
  return {
    node,
    input,
    label: text,
    disable(reason) {
      input.disabled = true;
      input.title = reason;
      node.classList.add("rv-disabled");
    },
    enable() {
      input.disabled = false;
      input.title = title ?? "";
      node.classList.remove("rv-disabled");
    },
    hide(hidden = true) {
      node.hidden = hidden;
    },
  };
}

/**
 * A list to choose from. `options`: strings, or { value, label, group, disabled, reason }.
 * @param {{ label: string, options?: any[], value?: any, onChange?: (value: any) => void, title?: string }} options
 */
export function selectControl({ label, options = [], value, onChange, title }) {
  const input = element("select", { class: "rv-select" });
  const control = labelled(label, input, { title });
  let known = [];
  const setOptions = (list, chosen) => {
    known = list.map((one) => (typeof one === "object" ? one : { value: one, label: String(one) }));
    const groups = new Map();
    input.replaceChildren();
    known.forEach((one, index) => {
      const words = one.reason ? `${one.label} (${one.reason})` : one.label;
      const option = element("option", { value: index, disabled: Boolean(one.disabled) }, words);
      if (!one.group) return input.append(option);
      if (!groups.has(one.group)) {
        groups.set(one.group, element("optgroup", { label: one.group }));
        input.append(groups.get(one.group));
      }
      groups.get(one.group).append(option);
    });
    control.set(chosen);
  };
  control.set = (chosen) => {
    const index = known.findIndex((one) => one.value === chosen);
    if (input.selectedIndex !== index) input.selectedIndex = index;
  };
  control.get = () => known[input.selectedIndex]?.value;
  control.setOptions = setOptions;
  setOptions(options, value);
  input.addEventListener("change", () => onChange?.(control.get()));
  return control;
}

/**
 * A slider. onChange is called at most once a frame while it moves, with the newest value.
 * @param {{ label: string, min: number, max: number, step?: number, value: number, onChange?: (value: number) => void, title?: string, words?: (value: any) => string }} options
 */
export function rangeControl({ label, min, max, step = 1, value, onChange, title, words = String }) {
  const input = element("input", { type: "range", class: "rv-range", min, max, step, value });
  const control = labelled(label, input, { title });
  const read = element("output", { class: "rv-read", for: input.id || "" });
  control.node.append(read);
  const show = () => {
    setText(read, words(Number(input.value)));
    input.setAttribute("aria-valuetext", read.textContent);
  };
  let waiting = false;
  input.addEventListener("input", () => {
    show();
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      onChange?.(Number(input.value));
    });
  });
  control.get = () => Number(input.value);
  control.set = (wanted) => {
    input.value = wanted;
    show();
  };
  control.setRange = (low, high) => {
    [input.min, input.max] = [low, high];
    show();
  };
  show();
  return control;
}

/**
 * A box to tick.
 * @param {{ label: string, value: boolean, onChange?: (value: boolean) => void, title?: string }} options
 */
export function checkControl({ label, value = false, onChange, title }) {
  const input = element("input", { type: "checkbox", class: "rv-check" });
  input.checked = value;
  const control = labelled(label, input, { title, className: "rv-control-check" });
  control.get = () => input.checked;
  control.set = (wanted) => {
    input.checked = wanted;
  };
  input.addEventListener("change", () => onChange?.(input.checked));
  return control;
}

/**
 * A button; `name` is what a screen reader says where the text is a sign.
 * @param {{ text: string, name?: string, onClick?: (event: Event) => any, title?: string, className?: string }} options
 */
export function buttonControl({ text, name, onClick, title, className = "" }) {
  const input = element(
    "button",
    { type: "button", class: `rv-button ${className}`, "aria-label": name, title, onclick: onClick },
    text,
  );
  return {
    node: input,
    input,
    disable(reason) {
      input.disabled = true;
      input.title = reason;
    },
    enable() {
      input.disabled = false;
      input.title = title ?? "";
    },
  };
}
