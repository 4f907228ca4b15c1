// What the screen asks the kernel for, in which order, and what becomes of the answers. No DOM.

import { createMapQuestions } from "./asked_maps.js";
import { createAdding } from "./added_photographs.js";

const PAUSE = 80; // milliseconds until a change is asked for, so that fast ones make one question
const PATIENT = 15; // seconds that cutting every block may take without being asked for
const PASSES = 5; // of the network, about, that an explanation takes
const MOST_RENEWALS = 3; // until the reader does something
const CHAIN = ["scene", "explanation", "without"]; // of one moment, one after the other

/**
 * state(): what is looked at; shown(): { scene, moment, exact }; changed(state), arrived(),
 * joined(header, view): what came.
 * @typedef {{ shell: import("../shell.js").Shell, store, state, shown, changed, arrived, joined, placeNow }} Screen
 * timer: of the next question; turn: of the newest moment, older ones are given up; open: kinds that wait for an answer;
 * block: seconds of a pass, as measured; renewals: how often the weights changed since the reader did something;
 * look: for what is not there, or no more.
 * @typedef {Screen & { timer: any, turn: number, open: Set<string>, block: number | null, renewals: number, look(): void }} Asking
 */

/**
 * Returns { later, busy, measure, measuring, secondsOfCuts, map, maps, add, check, stop, close }.
 * @param {Screen} of
 */
export function createAsking(of) {
  /** @type {Asking} */
  const asking = { ...of, timer: 0, turn: 0, open: new Set(), block: null, renewals: 0, look: () => later(asking, 0) };
  return {
    ...createMapQuestions(asking),
    add: createAdding(asking, () => later(asking, 0)),
    later(pause) {
      asking.renewals = 0;
      later(asking, pause);
    },
    measure: () => ask(asking, "without", momentNow(asking), (asking.turn += 1)),
    secondsOfCuts: () => secondsOfCuts(asking),
    busy: () => asking.open.size > 0,
    measuring: () => asking.open.has("without"),
    stop: () => stopAll(asking),
    close: () => clearTimeout(asking.timer),
  };
}

function momentNow({ state }) {
  const { image, class: index, off } = state();
  return { image, class: index, off: [...off] };
}

function later(asking, pause = PAUSE) {
  clearTimeout(asking.timer);
  if (asking.shell.live) asking.timer = setTimeout(() => load(asking), pause);
}

/** What is not there of the moment that is looked at, as long as it is. */
async function load(asking) {
  const { store } = asking;
  asking.timer = 0;
  asking.turn += 1;
  const [mine, moment] = [asking.turn, momentNow(asking)];
  if (store.scene(moment) && store.explained(moment) && !(await isOfThisNetwork(asking, mine))) return;
  if (!store.scene(moment) && !(await ask(asking, "scene", moment, mine))) return;
  if (mine !== asking.turn) return;
  if (!store.explained(moment) && !(await ask(asking, "explanation", moment, mine))) return;
  if (mine !== asking.turn || store.without(moment)) return;
  const seconds = secondsOfCuts(asking);
  if (seconds !== null && seconds <= PATIENT) await ask(asking, "without", moment, mine);
}

/** Whether what is here is of the network as it is; else all of it is asked for again. */
async function isOfThisNetwork(asking, mine) {
  const answer = await asking.shell.ask("generation", { generation: asking.store.generation() });
  return mine === asking.turn && !(answer && isRenewed(asking, answer.content.generation));
}

/** The answer of another network is of no use beside what is here; but of a network that trains all the while it is all there is. */
function isRenewed(asking, generation) {
  if (!asking.store.renewed(generation)) return false;
  asking.renewals += 1;
  if (asking.renewals > MOST_RENEWALS) return false;
  asking.shell.say("The network has changed: all of it is measured again.");
  later(asking, 0);
  return true;
}

/** How long cutting each block once would take, as far as that is known. */
function secondsOfCuts({ block, shown }) {
  return block === null || !shown() ? null : block * shown().scene.places.filter((one) => one.additions.length).length;
}

/**
 * One question; true where its answer came, and is still wanted.
 * @param {Asking} asking
 * @param {"scene" | "explanation" | "without"} what
 */
async function ask(asking, what, moment, mine) {
  const { open, shell, arrived } = asking;
  for (const other of CHAIN) {
    if (other === what) continue;
    open.delete(other);
    shell.drop(other);
  }
  const began = performance.now();
  open.add(what);
  arrived();
  const answer = await shell.ask(what, moment);
  if (mine !== asking.turn) return false;
  open.delete(what);
  if (answer) keep(asking, what, moment, answer, (performance.now() - began) / 1000);
  else giveUp(asking, what);
  arrived();
  return Boolean(answer);
}

function keep(asking, what, moment, { content, buffers }, seconds) {
  const { store } = asking;
  const told = content[what];
  if (isRenewed(asking, told.generation) && what !== "scene") return; // the scene that it belongs to comes first
  if (what === "scene") store.addScene(moment, told, buffers[0]);
  if (what === "explanation") store.addExplained(moment, told, buffers[0]);
  if (what === "without") store.addWithout(moment, told, buffers[0]);
  if (what === "explanation") asking.block = seconds / PASSES;
}

/** Without an answer the screen goes back to what it shows. */
function giveUp({ shown, changed }, what) {
  if (what !== "scene" || !shown()) return;
  const { image, class: index, off } = shown().moment;
  changed({ image, class: index, off: [...off] });
}

function stopAll(asking) {
  asking.turn += 1;
  for (const what of [...asking.open]) {
    asking.open.delete(what);
    asking.shell.stop(what);
    giveUp(asking, what);
  }
  asking.arrived();
}
