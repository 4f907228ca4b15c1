// What the views of `explore` share: one depth, one class, one channel. No DOM.

/** Of [[name, depth], ...], in order of depth: the first at or behind `depth`, else the last. */
export function placeAt(places, depth) {
  if (!places?.length) return null;
  return (places.find(([, at]) => at >= depth) ?? places.at(-1))[0];
}

/** The depth of a name; null where there is none of it. */
export function depthAt(places, name) {
  return places?.find(([known]) => known === name)?.[1] ?? null;
}

const PLACE_KEYS = { maps: "layer", explanation: "layer", residuals: "addition" };

/**
 * What a view's selection says of the shared state: { depth, class, channel }, each where it says
 * something else than what the view was told before.
 */
export function linkedBy(view, selection, before, places) {
  const said = {};
  const changed = (key) => selection[key] !== before[key];
  const key = PLACE_KEYS[view];
  if (key && changed(key)) {
    const depth = depthAt(places[view], selection[key]);
    if (depth !== null) said.depth = depth;
  }
  if (view === "gradients" && changed("depth") && selection.depth !== null) said.depth = selection.depth;
  if (view !== "residuals" && changed("class") && Number.isInteger(selection.class)) said.class = selection.class;
  if (view !== "explanation" && changed("channel") && Number.isInteger(selection.channel)) said.channel = selection.channel;
  return said;
}

/** The changes by which a view's selection follows the shared state; `predicted` stands for class null. */
export function followedBy(view, linked, places, predicted) {
  const changes = {};
  const key = PLACE_KEYS[view];
  const place = key && linked.depth !== null ? placeAt(places[view], linked.depth) : null;
  if (place !== null) changes[key] = place;
  const index = linked.class ?? predicted;
  if (view === "gradients") changes.depth = linked.depth;
  if (view === "maps" || view === "residuals") changes.channel = linked.channel;
  if (view === "maps" && Number.isInteger(index)) changes.class = index;
  if (view === "explanation" && Number.isInteger(index)) Object.assign(changes, { class: index, recorded: null });
  return changes;
}

/** Whether two scenes need the same passes: photograph, class, blocks switched off. */
export function sameScene(a, b) {
  return a.class === b.class && samePasses(a, b);
}

/** Whether two scenes have the same feature maps: photograph and blocks switched off. */
export function samePasses(a, b) {
  return a.image === b.image && a.off.length === b.off.length && a.off.every((name) => b.off.includes(name));
}

/** A block's name without its stage: "layer3.4" in stage "layer3" is "4". */
export function shortBlock({ name, stage }) {
  if (stage && name.startsWith(`${stage}.`)) return name.slice(stage.length + 1);
  return name.split(".").slice(-2).join(".");
}

/** `first` and `second` as one DataView; `second` begins at a multiple of four bytes. */
export function joinedBuffers(first, second) {
  const at = Math.ceil(first.byteLength / 4) * 4;
  const bytes = new Uint8Array(at + second.byteLength);
  bytes.set(new Uint8Array(first.buffer, first.byteOffset, first.byteLength));
  bytes.set(new Uint8Array(second.buffer, second.byteOffset, second.byteLength), at);
  return { view: new DataView(bytes.buffer), at };
}
