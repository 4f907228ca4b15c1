// Data, questions and answers between a view and the kernel, and what is said while one waits.

/** @import { Answer, Answers, FromBrowser, Questions, ToBrowser } from "./message_types.d.ts" */
import { isHopeless, kernelPatience, kernelWords, kindUnsent, watchKernel } from "./kernel.js";

const BESIDE = "generation"; // nobody waits for its answer
const QUIET = ["strongest", "top_maps", BESIDE]; // asked by pointing: what stands in the status line stays
const KERNEL_PATIENCE = [1000, 4000]; // milliseconds until what is known is said; until a guess is

export function createMessages({ model, root, live, say, quietUntil, bar, still, listen, closing }) {
  const questions = createQuestions();
  const data = { handler: null, came: false };
  const send = createSend(model);
  const waiting = createWaiting({ model, root, live, say, quietUntil, still, closing, questions, data });
  hearAnswers({ model, say, quietUntil, bar, still, listen, questions, data, waiting });
  function drop(what) {
    const found = questions.newest(what);
    if (!found) return false;
    questions.remove(found.id);
    waiting.goOn();
    send({ type: "stop", id: found.id });
    found.done(null);
    return true;
  }
  return {
    /** Ask for the data and call handler(meta, DataView) whenever they come. */
    data(handler) {
      data.handler = handler;
      waiting.begin();
      send({ type: "ready" });
    },
    ask: createAsk({ live, questions, waiting, send, drop }),
    /** Messages that are neither data nor an answer: handler(content, buffers). */
    onMessage: (handler) => listen(model, "msg:custom", (/** @type {ToBrowser} */ content, buffers = []) => handler(content, buffers)),
    /** Give up the newest question of this `what`, and say so. */
    stop: (what) => drop(what) && say("stopped"),
    /** The same without a word: another question takes its place. */
    drop,
  };
}

function createSend(model) {
  /**
   * False where the kernel is gone: ipywidgets throws then.
   * @param {FromBrowser} message
   * @param {ArrayBuffer[]} [files]
   */
  return (message, files) => {
    try {
      model.send(message, undefined, files);
      return true;
    } catch {
      return false;
    }
  };
}

function createAsk({ live, questions, waiting, send, drop }) {
  /**
   * Ask the kernel; null where it failed (said in the status line) or a newer question of the same
   * `what` made it stale.
   * @template {keyof Questions} What
   * @param {What} what
   * @param {Questions[What]} details
   * @param {ArrayBuffer[]} [files]
   * @returns {Promise<{ content: Answer & Answers[What], buffers: DataView[] } | null>}
   */
  return function ask(what, details, files = []) {
    if (!live) return Promise.resolve(null);
    drop(what);
    return new Promise((done) => {
      const id = questions.add(what, done);
      waiting.begin();
      waiting.sent(send({ ...details, type: "ask", id, what }, files));
    });
  };
}

/** What was asked and not answered: { id, what, done, began? }. */
function createQuestions() {
  const open = new Map();
  const stem = Math.random().toString(36).slice(2, 10);
  let count = 0;
  return {
    add(what, done) {
      const id = `${stem}-${(count += 1)}`;
      open.set(id, { id, what, done, asked: performance.now() });
      return id;
    },
    find: (id) => open.get(id),
    newest: (what) => [...open.values()].findLast((one) => one.what === what),
    remove: (id) => open.delete(id),
    any: () => [...open.values()].some((one) => one.what !== BESIDE),
    /** Of those asked since a moment. */
    anySilent: (since) => [...open.values()].some((one) => one.what !== BESIDE && one.began === undefined && one.asked >= since),
    clear() {
      const all = [...open.values()];
      open.clear();
      return all;
    },
  };
}

/** What the reader is told of the kernel until an answer or the data come. */
function createWaiting({ model, root, live, say, quietUntil, still, closing, questions, data }) {
  const patience = createPatience(() => tell());
  const kernel = live ? watchKernel(model.widget_manager, root, () => tell()) : null;
  closing.push(() => (patience.end(), kernel?.close()));
  const needsData = () => Boolean(data.handler) && !data.came;
  let told = false; // something of the kernel stands in the status line

  function tell(kind = kernel.kind()) {
    const waited = patience.waited();
    if (isHopeless(kind) && (questions.any() || (needsData() && waited))) return giveUp(kind);
    if (!(questions.anySilent(quietUntil()) || needsData()) || waited < kernelPatience(kind)) return;
    say(kernelWords(kind));
    told = true;
    if (needsData() && waited > 1) still.show();
  }
  function giveUp(kind) {
    patience.end();
    say(kernelWords(kind), { wrong: kind !== "absent" });
    if (needsData()) still.show();
    questions.clear().forEach((one) => one.done(null));
  }
  return {
    begin: () => kernel && patience.begin(),
    /** Whether the kernel was spoken of since this was asked last. */
    told() {
      const was = told;
      told = false;
      return was;
    },
    /** Something came: wait for the others, where there are others. */
    goOn: () => (questions.any() && kernel ? patience.begin() : patience.end()),
    sent: (well) => tell(well ? kernel.kind() : kindUnsent(kernel.kind())),
  };
}

/** Counts how many of KERNEL_PATIENCE have passed. */
function createPatience(onLonger) {
  let [timers, waited] = [[], 0];
  const end = () => {
    timers.forEach(clearTimeout);
    [timers, waited] = [[], 0];
  };
  return {
    end,
    waited: () => waited,
    begin() {
      end();
      const longer = () => ((waited += 1), onLonger());
      timers = KERNEL_PATIENCE.map((pause) => setTimeout(longer, pause));
    },
  };
}

function hearAnswers({ model, say, quietUntil, bar, still, listen, questions, data, waiting }) {
  /** An error stays until the reader does something and a question of that time is answered. */
  const isOver = (one) => one.asked < quietUntil();
  function showData(content, buffers) {
    data.came = true;
    waiting.goOn();
    say("");
    still.hide();
    data.handler?.(structuredClone(content.meta), buffers[0]); // a view shown twice gets one message
  }
  function showProgress(one, { text, done, total }) {
    one.began ??= performance.now();
    if (isOver(one)) return;
    const each = (performance.now() - one.began) / Math.max(1, done);
    const left = Math.round((each * (total - done)) / 1000);
    say(`${text} ${done} of ${total}` + (left > 0 ? `, ${left} s left` : ""));
    [bar.max, bar.value, bar.hidden] = [total, done, false];
  }
  listen(model, "msg:custom", (/** @type {ToBrowser} */ content, buffers = []) => {
    if (content.type === "within") return; // for a view within this one
    if (content.type === "data") return showData(content, buffers);
    const one = questions.find(content.id);
    if (!one) return; // stale, or another view's
    if (content.type === "progress") return showProgress(one, content);
    questions.remove(one.id);
    waiting.goOn();
    if (content.type === "error") {
      say(content.text, { wrong: true });
      return one.done(null);
    }
    if (!isOver(one) && (waiting.told() || !QUIET.includes(one.what))) say("");
    one.done({ content, buffers });
  });
}
