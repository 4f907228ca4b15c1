// Numbers and findings in words that a student knows. No DOM.

/** Two significant digits, as many as a reader needs: "0.43", "12", "0.0031", "2e−9"; three and more before the point: "1235". */
export function briefNumber(value) {
  if (!Number.isFinite(value)) return "not finite";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return `${value < 0 ? "−" : ""}${sizeText(size)}`;
}

function sizeText(size) {
  if (size >= 1e5) return Number(size.toPrecision(2)).toExponential().replace("+", "");
  if (size >= 100) return String(Math.round(size));
  return size < 0.001 ? size.toExponential(0).replace("-", "−") : String(Number(size.toPrecision(2)));
}

/** A probability with two digits; a very small one says so. */
export const briefChance = (chance) => (chance > 0 && chance < 0.005 ? "< 0.01" : chance.toFixed(2));

/** What the network says in its own unit: a probability, a share, or a value. */
export function saidWords(value, { word, units }) {
  if (!Number.isFinite(value)) return "not finite";
  return word === "value" ? `${briefNumber(value)} ${units}`.trim() : briefChance(value);
}

/** Where the branch points, seen from the shortcut: 1 the same way, 0 at right angles, −1 against it. */
export function directionWords(cosine) {
  if (cosine === null) return "";
  const how = cosine >= 0.7 ? "the same way" : cosine >= 0.15 ? "partly the same way" : cosine > -0.15 ? "nearly at right angles" : cosine > -0.7 ? "partly against it" : "against it";
  const angle = cosine.toFixed(2).replace("-", "−");
  return `points ${how} (cosine ${angle === "−0.00" ? "0.00" : angle})`;
}

/** "The branch is 0.43 × the size of the shortcut and points nearly at right angles (cosine 0.02)." */
export function additionWords({ ratio, cosine }) {
  if (ratio === null) return "";
  const where = cosine === null ? "" : ` and ${directionWords(cosine)}`;
  return `The branch is ${briefNumber(ratio)} × the size of the shortcut${where}.`;
}

/** What the words of an addition mean. */
export const ADDITION_MEANING =
  "size: root mean square over all positions and channels; cosine: 1 the branch strengthens what is there, 0 it writes something new, −1 it takes away";

/** What the help says of words on the screen. */
export const TERMS = {
  shortcut: "what a block hands on of its input: as it is (solid arc), or brought to a new shape (dashed)",
  branch: "what a block computes and adds to its shortcut",
  head: "the network's last layer, which makes the numbers of the classes",
  "as seen so far": "the head applied to what each block gives: how the prediction forms. Where the head does not fit there is no point",
  "without the block": "what is left of the class when this one branch is cut out",
  "gradient norm": "how strongly the score of the class depends on what a block gives",
  evidence: "what the map marks: places that raise the score of the class",
  "for the class by": "what a channel adds to the score of the class",
  "A − B": "the map of class A minus that of class B: what tells them apart",
};

/** What the reading of the head means. */
export const SEEN_MEANING = "the network's last layer applied to the output of the block before, and → of this one";

/** How much of the gradient came back through the branch. */
export function shareWords(share) {
  if (share === null || share === undefined) return "";
  if (share < 0 || share > 1) return `The branch's share of the gradient is ${briefNumber(share)}: the two parts work against each other.`;
  return `${Math.round(share * 100)} % of the gradient comes through the branch.`;
}

/** "Without it: lynx 0.15 (Egyptian cat 0.86 → 0.12)." */
export function withoutWords(now, without, { index, classes, best, bestWithout, said }) {
  const name = (one) => classes[one] ?? `class ${one}`;
  const own = `${name(index)} ${saidWords(now[index], said)} → ${saidWords(without[index], said)}`;
  if (said.word === "value" || best === bestWithout) return `Without it: ${own}.`;
  return `Without it: ${name(bestWithout)} ${saidWords(without[bestWithout], said)} (${own}).`;
}

const SHORTCUTS = {
  identity: "The shortcut hands on what it receives, unchanged.",
  projection: "The shortcut is a projection: it changes the shape.",
  padded: "The shortcut is padded with zeros to the new shape.",
};
export const shortcutWords = (kind) => SHORTCUTS[kind] ?? "";

/** 2048 as "2,048". */
export const countWords = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, ",");

/** Where a map's evidence lies: "18 % of the picture holds half of it." */
export function spreadWords(values) {
  const positive = Array.from(values, (value) => (value > 0 ? value : 0)).sort((a, b) => b - a);
  const sum = positive.reduce((a, b) => a + b, 0);
  if (!(sum > 0) && values.length && Array.from(values).every(Number.isNaN)) return "This map is not finite: nothing can be read from it.";
  if (!(sum > 0)) return "No evidence for this class here: every value is 0 or below.";
  let [held, count] = [0, 0];
  while (held < sum / 2) held += positive[count++];
  const share = Math.max(1, Math.round((100 * count) / positive.length));
  return `Half of the evidence lies in ${share} % of the picture.`;
}

/** Why a map is zero, without saying again which map it is: the record says of one among many. */
export const zeroWords = (note) => note?.replace(/^.*? is zero: /, "This map is zero: ");

/** A name, or as much of its end as has room: the end says most. */
export function endOf(name, most) {
  return name.length <= most ? name : most > 3 ? `…${name.slice(-most + 1)}` : "";
}

/** "1st", "2nd", "23rd". */
export function placeWords(rank) {
  const [tens, ones] = [Math.floor(rank / 10) % 10, rank % 10];
  return `${rank}${tens === 1 ? "th" : (["th", "st", "nd", "rd"][ones] ?? "th")}`;
}
