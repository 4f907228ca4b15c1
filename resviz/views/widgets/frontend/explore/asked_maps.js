// Maps that are not in an explanation, and whether one is to be trusted: asked when they are looked at. No DOM.

import { momentKey } from "./scenes.js";

/** Returns { map, maps, check }; maps(moment): what was asked for at this moment, by key, { values, height, width } or { why }. */
export function createMapQuestions(asking) {
  const moments = new Map();
  const maps = (moment) => {
    const key = `${asking.store.generation()} ${momentKey(moment)}`;
    if (!moments.has(key)) moments.set(key, new Map());
    return moments.get(key);
  };
  return { maps, map: (asks) => askMap(asking, maps, asks), check: () => check(asking) };
}

/**
 * A map that is not in the explanation: of another class, method, or of a difference.
 * @param {import("./questions.js").Asking} asking
 * @param {(moment: object) => Map<string, object>} maps
 * @param {import("../message_types.d.ts").MapQuestion & { key: string }} asks
 */
async function askMap({ shell, shown, arrived, look }, maps, { key, ...wanted }) {
  const { moment } = shown();
  const known = maps(moment);
  if (known.has(key)) return;
  known.set(key, { why: "being explained …" });
  const answer = await shell.ask("map", { ...wanted, part: "positive", moment });
  if (!answer) {
    known.delete(key);
    look(); // it may be that the network changed
  } else {
    const [height, width] = answer.content.shape;
    const bytes = answer.buffers[0];
    const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    known.set(key, { values, height, width });
  }
  arrived();
}

/**
 * Deletion and insertion of what the map under the cursor names.
 * @param {import("./questions.js").Asking} asking
 */
async function check({ shell, store, state, shown, placeNow, open, arrived, look }) {
  const { moment } = shown();
  const explained = store.explained(moment);
  const [page, layer] = [explained?.page, explained?.layers[placeNow()]];
  if (!page || !layer) return;
  const { class: chosen, contrast, method } = state();
  open.add("faithfulness");
  arrived();
  const answer = await shell.ask("faithfulness", { class: chosen ?? page.targets[0][0], contrast, method, layer, moment });
  open.delete("faithfulness");
  if (answer) page.checks.push(answer.content.row);
  else look();
  arrived();
}
