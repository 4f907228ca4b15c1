// Whether to believe a map: its faithfulness, measured when asked for.

import { buttonControl, element } from "./controls.js";
import { checkOf } from "./explanation_maps.js";
import { numberWords } from "./pixels.js";

/** Lines about the map that is shown, and the button that measures. `view`: that of explanation.js. */
export function drawChecks(view) {
  const { data, state, measuring, pane } = view;
  const found = checkOf(data, state);
  const button = checkButton(view);
  const reason = measuring ? "" : whyNoCheck(view);
  if (reason) button.disable(reason);
  const held = pane.checks.contains(pane.checks.getRootNode().activeElement);
  if (found) {
    pane.checks.replaceChildren(...checkNodes(data, found));
    if (measuring) pane.checks.append(button.node);
  } else {
    const words = reason ? `Faithfulness was not measured; ${reason}.` : "";
    pane.checks.replaceChildren(button.node, element("p", { class: "rv-faint" }, words));
  }
  if (held) (pane.checks.querySelector("button:enabled") ?? pane.frame).focus();
}

function checkButton(view) {
  if (view.measuring) return buttonControl({ text: "Stop measuring", className: "rv-small", onClick: () => view.shell.stop("faithfulness") });
  const title = "is it to be trusted? deletion and insertion beside random maps";
  return buttonControl({ text: "Measure faithfulness", className: "rv-small", title, onClick: () => measureCheck(view) });
}

function checkNodes(data, found) {
  const how = [data.checked, found.part ? "of the method's own map" : ""].filter(Boolean).join(" · ");
  return [
    element("p", {}, checkWords(found)),
    element("p", { class: "rv-faint" }, `deletion: low is good; insertion: high is good${how ? ` · ${how}` : ""}`),
  ];
}

function whyNoCheck({ data, state, shell, shown }) {
  if (!data.asks) return "this explanation came without its network: pass faithfulness=, or explore_explanation(net, images)";
  if (!shell.live) return "it needs a running kernel; this page has none";
  if (state.recorded !== null && data.targets[state.image][state.recorded] < 0) return "a target of one's own: pass faithfulness=";
  return shown.values ? "" : "there is no map";
}

export function checkWords(found) {
  if (found.words) return found.words;
  return ["deletion", "insertion"]
    .filter((name) => found[name] !== null)
    .map((name) => `${name} ${numberWords(found[name])} against ${numberWords(found[`${name}_random`])} for a random map`)
    .join(", ");
}

async function measureCheck(view) {
  const { state, data, shell } = view;
  view.measuring = true;
  drawChecks(view);
  const index = state.recorded === null ? state.class : data.targets[state.image][state.recorded];
  const { image, contrast, method, layer } = state;
  const answer = await shell.ask("faithfulness", { image, class: index, contrast, method, layer });
  view.measuring = false;
  if (answer) {
    view.data.checks.push(answer.content.row);
    view.data.checked = answer.content.checked;
  }
  drawChecks(view);
}
