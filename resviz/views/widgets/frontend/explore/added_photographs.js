// Photographs that are dropped on the view, or chosen: the kernel makes the network's input of them. No DOM.

import { fileFault } from "../drop.js";

/** Returns add(files): one after the other, for a newer question of one kind takes the place of the one before. */
export function createAdding(asking, load) {
  let adding = Promise.resolve();
  return (files) => {
    for (const file of files) adding = adding.then(() => addOne(asking, file, load));
  };
}

/** @param {import("./questions.js").Asking} asking */
async function addOne({ shell, shown, joined, changed }, file, load) {
  const fault = shown() ? fileFault(file) : `${file.name} was not added: the view has no data yet.`;
  if (fault) return shell.say(fault, { wrong: true });
  shell.say(`reading ${file.name} …`);
  const buffer = await file.arrayBuffer().catch(() => null);
  if (!buffer) return shell.say(`${file.name} cannot be read; a file with a picture would be right.`, { wrong: true });
  const answer = await shell.ask("photograph", { name: file.name }, [buffer]);
  if (!answer) return;
  joined(answer.content.header, answer.buffers[0]);
  changed({ image: answer.content.image, class: null });
  load();
}
