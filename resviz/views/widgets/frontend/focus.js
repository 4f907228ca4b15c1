// Who gets the keys: a click in a view gives it the focus, and what is pressed there stays there.

const KEY_SHIELD = "data-lm-suppress-shortcuts"; // where a key is pressed on this, notebooks run no command

/** Alone or with Shift a key is the view's; Ctrl+S is everybody's. */
export const isPlainKey = (event) => !(event.ctrlKey || event.metaKey || event.altKey);

const isGone = (node) => !node.isConnected || node.disabled || node.checkVisibility?.() === false;

/**
 * Let the view `root` take the focus, by a click on what cannot take it itself, and keep its keys.
 * Not reached by Tab: that goes on to its controls. Returns what undoes it.
 */
export function holdFocus(root) {
  root.tabIndex = -1;
  root.addEventListener("click", () => {
    if (!holds(root)) root.focus({ preventScroll: true }); // a handler kept the browser from it
  });
  if (root.parentElement?.closest(".rv-view")) return () => {}; // the outer view guards them
  root.classList.add("rv-host");
  const endings = [guardKeys(root), keepFocus(root)];
  return () => endings.forEach((end) => end());
}

const holds = (root) => root.contains(root.getRootNode().activeElement);

function guardKeys(root) {
  // JupyterLab hears keys after the view, Notebook 7 before it: only the window is earlier
  const shield = (event) => {
    const [pressed] = event.composedPath();
    if (event.composedPath().includes(root)) pressed.toggleAttribute(KEY_SHIELD, isPlainKey(event));
  };
  window.addEventListener("keydown", shield, true);
  root.addEventListener("keydown", (event) => isPlainKey(event) && event.stopPropagation());
  return () => window.removeEventListener("keydown", shield, true);
}

/** The view takes the focus of what is drawn anew, hidden or disabled. */
function keepFocus(root) {
  let held = false;
  const restore = () => {
    if (!held) return;
    const { activeElement } = root.getRootNode();
    if (activeElement && activeElement !== document.body) return; // asked first: isGone makes a layout
    held = !isGone(root);
    if (held) root.focus({ preventScroll: true });
  };
  root.addEventListener("focusin", () => (held = true));
  root.addEventListener("focusout", ({ target, relatedTarget }) => {
    if (relatedTarget) held = root.contains(relatedTarget);
    else setTimeout(() => (isGone(target) ? restore() : (held = holds(root))));
  });
  const watcher = new MutationObserver(restore);
  watcher.observe(root, { childList: true, subtree: true });
  return () => watcher.disconnect();
}
