// What is made once and kept, and what is made ready before it is asked for. No DOM.

/**
 * Keeps what was made of the last `most` objects: kept(of, by, make); another list of `by` makes it anew.
 * @returns {(of: object, by: any[], make: () => any) => any}
 */
export function createKept(most) {
  const known = new Map(); // the longest unused first
  return (of, by, make) => {
    let one = known.get(of);
    if (!one?.by.every((part, at) => part === by[at])) one = { by, made: make() };
    known.delete(of);
    known.set(of, one);
    if (known.size > most) known.delete(known.keys().next().value);
    return one.made;
  };
}

const whenIdle = (run) => (globalThis.requestIdleCallback ?? setTimeout)(run);

/** Runs the newest list of steps, each short, while there is nothing else to do: idly(steps). */
export function createIdly(later = whenIdle) {
  let [steps, waits] = [null, false];
  function run(deadline) {
    waits = false;
    do {
      if (steps.next().done) return;
    } while (deadline?.timeRemaining() > 1);
    wait();
  }
  function wait() {
    if (!waits) later(run);
    waits = true;
  }
  return (wanted) => {
    steps = wanted;
    wait();
  };
}
