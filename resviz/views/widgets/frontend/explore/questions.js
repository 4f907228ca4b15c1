// What the screen asks the kernel for, in which order, and what becomes of the answers.

import { fileFault } from "../drop.js";
import { momentKey } from "./scenes.js";

const PAUSE = 80; // milliseconds until a change is asked for, so that fast ones make one question
const PATIENT = 15; // seconds that cutting every block may take without being asked for
const PASSES = 5; // of the network, about, that an explanation takes

/**
 * state(): what is looked at; shown(): { scene, moment, exact }; changed(state), arrived(),
 * joined(header, view): what came. Returns
 * { later, busy, measure, measuring, secondsOfCuts, map, maps, add, check, stop, close }.
 * @param {{ shell: import("../shell.js").Shell, store, state, shown, changed, arrived, joined, placeNow }} of
 */
export function createAsking({ shell, store, state, shown, changed, arrived, joined, placeNow }) {
  let [timer, turn, adding] = [0, 0, Promise.resolve()];
  const open = new Set(); // kinds of questions that wait for an answer
  const maps = new Map(); // maps that were asked for, by moment
  const pace = { block: null }; // seconds of a pass, as measured

  const momentNow = () => ({ image: state().image, class: state().class, off: [...state().off] });

  function later(pause = PAUSE) {
    clearTimeout(timer);
    if (shell.live) timer = setTimeout(load, pause);
  }
  async function load() {
    timer = 0;
    turn += 1;
    const [mine, moment] = [turn, momentNow()];
    if (!store.scene(moment) && !(await ask("scene", moment, mine))) return;
    if (mine !== turn) return;
    if (!store.explained(moment) && !(await ask("explanation", moment, mine))) return;
    if (mine !== turn || store.without(moment)) return;
    const seconds = secondsOfCuts();
    if (seconds !== null && seconds <= PATIENT) await ask("without", moment, mine);
  }
  /** How long cutting each block once would take, as far as that is known. */
  const secondsOfCuts = () => (pace.block === null || !shown() ? null : pace.block * shown().scene.places.filter((one) => one.additions.length).length);
  async function measure() {
    turn += 1;
    await ask("without", momentNow(), turn);
  }

  /**
   * One question; true where its answer came, and is still wanted.
   * @param {"scene" | "explanation" | "without"} what
   */
  async function ask(what, moment, mine) {
    for (const other of ["scene", "explanation", "without"]) if (other !== what) drop(other);
    const began = performance.now();
    open.add(what);
    arrived();
    const answer = await shell.ask(what, moment);
    if (mine !== turn) return false;
    open.delete(what);
    if (answer) keep(what, moment, answer, (performance.now() - began) / 1000);
    else giveUp(what);
    arrived();
    return Boolean(answer);
  }
  function drop(what) {
    open.delete(what);
    shell.drop(what);
  }
  function keep(what, moment, { content, buffers }, seconds) {
    const told = content[what];
    if (what === "scene") store.addScene(moment, told, buffers[0]);
    if (what === "explanation") store.addExplained(moment, told, buffers[0]);
    if (what === "without") store.addWithout(moment, told, buffers[0]);
    if (what === "explanation") pace.block = seconds / PASSES;
  }
  /** Without an answer the screen goes back to what it shows. */
  function giveUp(what) {
    if (what !== "scene" || !shown()) return;
    const { image, class: index, off } = shown().moment;
    changed({ image, class: index, off: [...off] });
  }

  const mapsOf = (moment) => {
    const key = momentKey(moment);
    if (!maps.has(key)) maps.set(key, new Map());
    return maps.get(key);
  };
  /**
   * A map that is not in the explanation: of another class, method, or of a difference.
   * @param {import("../message_types.d.ts").MapQuestion & { key: string }} asks
   */
  async function map({ key, ...wanted }) {
    const moment = shown().moment;
    const known = mapsOf(moment);
    if (known.has(key)) return;
    known.set(key, { why: "being explained …" });
    const answer = await shell.ask("map", { ...wanted, part: "positive", moment });
    if (!answer) known.delete(key);
    else {
      const [height, width] = answer.content.shape;
      const bytes = answer.buffers[0];
      const values = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
      known.set(key, { values, height, width });
    }
    arrived();
  }
  async function check() {
    const { moment } = shown();
    const explained = store.explained(moment);
    const [page, layer] = [explained?.page, explained?.layers[placeNow()]];
    if (!page || !layer) return;
    const index = state().class ?? page.targets[0][0];
    const details = { class: index, contrast: state().contrast, method: state().method, layer, moment };
    open.add("faithfulness");
    arrived();
    const answer = await shell.ask("faithfulness", details);
    open.delete("faithfulness");
    if (answer) page.checks.push(answer.content.row);
    arrived();
  }

  /** One after the other: a newer question of one kind takes the place of the one before. */
  function add(files) {
    for (const file of files) adding = adding.then(() => addOne(file));
  }
  async function addOne(file) {
    const fault = shown() ? fileFault(file) : `${file.name} was not added: the view has no data yet.`;
    if (fault) return shell.say(fault, { wrong: true });
    shell.say(`reading ${file.name} …`);
    const buffer = await file.arrayBuffer().catch(() => null);
    if (!buffer) return shell.say(`${file.name} cannot be read; a file with a picture would be right.`, { wrong: true });
    const answer = await shell.ask("photograph", { name: file.name }, [buffer]);
    if (!answer) return;
    joined(answer.content.header, answer.buffers[0]);
    changed({ image: answer.content.image, class: null });
    later(0);
  }

  return {
    ...{ later, map, check, add, measure, secondsOfCuts },
    maps: mapsOf,
    busy: () => open.size > 0,
    measuring: () => open.has("without"),
    stop() {
      turn += 1;
      for (const what of [...open]) {
        open.delete(what);
        shell.stop(what);
        giveUp(what);
      }
      arrived();
    },
    close: () => clearTimeout(timer),
  };
}
