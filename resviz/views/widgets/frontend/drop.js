// Files dropped on a view: taken wherever they fall, or not at all; opened by nobody else.

import { element } from "./controls.js";

const PICTURE_MOST = 64 * 2 ** 20; // bytes of a file
const isOther = (type) => Boolean(type) && !type.startsWith("image/"); // no type may be a picture

/** Why a file is not taken as a photograph; null where it is. */
export function fileFault({ name, type, size }) {
  if (isOther(type)) return `${name} is no picture; a PNG or JPEG file would be right.`;
  return size > PICTURE_MOST ? `${name} is larger than 64 MiB; a smaller picture would be right.` : null;
}

/** taker: { words, refusal? } or null; items: of a drag. */
export function dropOffer(taker, items) {
  if (!taker) return { words: "This view takes no files.", takes: false };
  if (taker.refusal) return { words: taker.refusal, takes: false };
  const types = items.filter((one) => one.kind === "file").map((one) => one.type);
  const words = types.length && types.every(isOther) ? "This is no picture." : taker.words;
  return { words, takes: true };
}

/** Returns takeFiles({ words, refusal?, run }): run(files) gets what is dropped anywhere on `root`. */
export function createDrops(root) {
  let taker = null;
  const words = element("span", { class: "rv-drop-words" });
  const veil = element("div", { class: "rv-drop", hidden: true, "aria-hidden": "true" }, words);
  root.append(veil);
  const over = (event) => {
    const offer = dropOffer(taker, [...event.dataTransfer.items]);
    event.dataTransfer.dropEffect = offer.takes ? "copy" : "none"; // none: no drop will follow
    veil.classList.toggle("rv-drop-refused", !offer.takes);
    words.textContent = offer.words;
    words.style.top = `${event.clientY - root.getBoundingClientRect().top}px`;
    veil.hidden = false;
  };
  const leave = (event) => {
    if (!root.contains(event.relatedTarget)) veil.hidden = true;
  };
  const drop = (event) => {
    veil.hidden = true;
    const files = [...event.dataTransfer.files];
    const wrong = (file) => Number(fileFault(file) !== null); // last, so that its words stay
    if (dropOffer(taker, []).takes) taker.run(files.sort((a, b) => wrong(a) - wrong(b)));
  };
  listenToFiles(root, { dragenter: over, dragover: over, dragleave: leave, drop });
  return (wanted) => (taker = wanted);
}

/** Neither the browser nor the notebook does anything with files over the view. */
function listenToFiles(root, handlers) {
  for (const [name, handler] of Object.entries(handlers)) {
    root.addEventListener(name, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      event.stopPropagation();
      handler(event);
    });
  }
}
