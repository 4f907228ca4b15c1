// What the kernel is doing, as far as the notebook tells, in words for a reader who waits.

const KERNEL_WORDS = {
  busy: "The kernel is busy with a cell; this will be answered when it is done.",
  working: "The kernel is working on it.",
  starting: "The kernel is starting.",
  lost: "The connection to the kernel is lost; it is being tried again.",
  quiet: "No answer yet; the kernel may be busy.",
  unknown: "No answer yet; the kernel may be busy. If it is not running, run the cell again.",
  dead: "The kernel is not running. Run the cell again.",
  forgotten: "The kernel was started again and does not know this view. Run the cell again.",
  absent: "There is no kernel. Choose one and run the cell again.",
};
const KERNEL_STARTS = ["starting", "restarting", "autorestarting"];
const KERNEL_ENDS = ["restarting", "autorestarting", "terminating", "dead"]; // views are forgotten

export const kernelWords = (kind) => KERNEL_WORDS[kind];
/** No answer will come. */
export const isHopeless = (kind) => ["dead", "forgotten", "absent"].includes(kind);
/** How often patience must end before it is worth a word. */
export const kernelPatience = (kind) => ({ working: 1, busy: 1, quiet: 2, unknown: 2 })[kind] ?? 0;

/** The same where a message could not be sent. */
export function kindUnsent(kind) {
  if (isHopeless(kind) || ["starting", "lost"].includes(kind)) return kind;
  return kind === "unknown" ? "dead" : "forgotten";
}

/** kernel: its connection; null: there is none now; undefined: the host does not tell. */
export function firstKernelState(kernel) {
  const known = kernel === null || typeof kernel?.status === "string";
  return {
    there: known ? Boolean(kernel) : null,
    ever: Boolean(known && kernel),
    ...{ forgotten: false, requests: {} }, // requests: id -> type of what the kernel has begun
    ...{ status: kernel?.status ?? "unknown", connection: kernel?.connectionStatus ?? "unknown" },
  };
}

/** The state after { status } | { connection } | { kernel } | { request, type, begins }. */
export function nextKernelState(state, event) {
  if ("status" in event) {
    if (state.status === "restarting" && /idle|busy/.test(event.status)) return state; // of before
    const ends = KERNEL_ENDS.includes(event.status) && { forgotten: true, requests: {} };
    return { ...state, status: event.status, ...ends };
  }
  if ("connection" in event) return { ...state, connection: event.connection, requests: {} };
  if ("kernel" in event) {
    const now = firstKernelState(event.kernel ?? null);
    return { ...now, ever: state.ever || now.ever, forgotten: state.forgotten || state.ever };
  }
  const { [event.request]: _, ...others } = state.requests;
  return { ...state, requests: event.begins ? { ...others, [event.request]: event.type } : others };
}

/** A key of KERNEL_WORDS; `cut`: the host marks the view as one without a connection. */
export function kernelKind(state, cut = false) {
  const { there, status, connection, forgotten } = state;
  if (there === false) return state.ever ? "dead" : "absent";
  if (["dead", "terminating"].includes(status) || connection === "disconnected") return "dead";
  if (KERNEL_STARTS.includes(status)) return "starting";
  if (connection === "connecting") return forgotten ? "starting" : "lost";
  if (forgotten || cut) return "forgotten";
  if (there === null) return "unknown";
  const begun = Object.values(state.requests); // comms may have a thread of their own beside a cell
  if (begun.includes("comm_msg")) return "working";
  return begun.includes("execute_request") || status === "busy" ? "busy" : "quiet";
}

/** Follow a widget manager's kernel: JupyterLab and Notebook tell of it. Returns { kind(), close() }. */
export function watchKernel(manager, root, onChange) {
  const context = manager?.context?.sessionContext;
  let state = firstKernelState(context ? (manager.kernel ?? null) : manager?.kernel);
  const closing = [];
  const hear = (name, read) => {
    const signal = (context ?? manager?.kernel)?.[name];
    if (typeof signal?.connect !== "function") return;
    const heard = (_, detail) => {
      const event = read(detail);
      if (!event) return;
      state = nextKernelState(state, event);
      onChange();
    };
    signal.connect(heard);
    closing.push(() => signal.disconnect(heard));
  };
  hear("statusChanged", (status) => ({ status }));
  hear("connectionStatusChanged", (connection) => ({ connection }));
  hear("kernelChanged", ({ newValue }) => ({ kernel: newValue }));
  hear("iopubMessage", requestOf);
  return {
    kind: () => kernelKind(state, Boolean(root.closest(".jupyter-widgets-disconnected"))),
    close: () => closing.forEach((end) => end()),
  };
}

/** A kernel says of each request when it is busy with it: several may go on at once. */
function requestOf({ header, parent_header: parent, content }) {
  if (header?.msg_type !== "status" || !parent?.msg_id) return null;
  const begins = content.execution_state === "busy";
  if (!begins && content.execution_state !== "idle") return null;
  return { request: parent.msg_id, type: parent.msg_type, begins };
}
