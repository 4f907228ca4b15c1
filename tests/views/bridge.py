"""A view in Chromium with its Python side in this process: messages, without a Jupyter server."""

from __future__ import annotations

import base64
import json
import queue
import time
from collections.abc import Callable
from typing import Any

from resviz.views.widgets.modules import module_source, style_source
from views.browsing import View, watch

PAGE = """<!DOCTYPE html><html><head><link rel="icon" href="data:,"><style>{style}</style></head>
<body><main id="root" class="rv-page"></main><script type="module">
const entry = (() => {{
{module}}})();
const traits = {traits};
const handlers = {{}};
const emit = (name, ...details) => [...(handlers[name] ?? [])].forEach((one) => one(...details));
const text = (buffer) => {{
  const bytes = new Uint8Array(buffer.buffer ?? buffer);
  let out = "";
  for (let at = 0; at < bytes.length; at += 32768) {{
    out += String.fromCharCode(...bytes.subarray(at, at + 32768));
  }}
  return btoa(out);
}};
const view = (coded) => new DataView(Uint8Array.from(atob(coded), (c) => c.charCodeAt(0)).buffer);
window.heard = (content, buffers) => emit("msg:custom", content, buffers.map(view));
window.assigned = (selection) => {{
  traits.selection = selection;
  emit("change:selection");
}};
const model = {{
  get: (name) => traits[name],
  set(name, value) {{
    traits[name] = value;
    emit(`change:${{name}}`);
  }},
  save_changes: () => window.chosen(traits.selection),
  on: (name, handler) => (handlers[name] ??= []).push(handler),
  off(name, handler) {{
    handlers[name] = (handlers[name] ?? []).filter((known) => known !== handler);
  }},
  send: (content, _, buffers = []) => window.asked(content, buffers.map(text)),
  widget_manager: {manager},
}};
entry.render({{ model, el: document.getElementById("root") }});
</script></body></html>"""


class Live(View):
    """A living view on a page; `until` lets both sides talk until something is so.

    Args:
        chromium: the browser.
        widget: the view; what it sends is taken from its ``send``.
        manager: JavaScript of what tells the view of its kernel; none by default.
        options: of the browser's context: viewport, color_scheme.
    """

    def __init__(
        self, chromium: Any, widget: Any, manager: str = "undefined", **options: Any
    ) -> None:
        self.widget = widget
        self.wrong: list[str] = []
        self.sent: list[dict[str, Any]] = []  # what Python sent, without buffers
        self.asked: list[dict[str, Any]] = []  # what the page sent
        self._out: queue.Queue[tuple[Any, list[Any]]] = queue.Queue()
        self._in: list[tuple[str, Any, list[str]]] = []
        self._theirs = False
        size = {"width": 1300, "height": 1000}
        self.context = chromium.new_context(**({"viewport": size} | options))
        page = self.context.new_page()
        super().__init__(page, page.locator(".rv-view").first)
        watch(page, self.wrong, ("data:", "blob:", "about:"))
        widget.send = lambda content, buffers=None: self._out.put((content, buffers or []))
        widget.observe(self._assign, "selection")
        page.expose_function("asked", lambda c, b: self._in.append(("asked", c, b)))
        page.expose_function("chosen", lambda c: self._in.append(("chosen", c, [])))
        traits = {"selection": dict(widget.selection), "about": widget.about, "still": ""}
        module = module_source(widget.view.module).replace("export default ", "return ")
        parts = {"style": style_source(widget.view.module), "module": module, "manager": manager}
        page.set_content(PAGE.format(traits=json.dumps(traits), **parts), wait_until="load")

    def _assign(self, change: Any) -> None:
        if not self._theirs:
            self._out.put(("assigned", [change["new"]]))

    def pump(self) -> None:
        """Hand on everything that either side said."""
        while self._in:
            kind, content, coded = self._in.pop(0)
            if kind == "chosen":
                self._theirs = True
                self.widget.selection = content
                self._theirs = False
            else:
                self.asked.append(content)
                buffers = [base64.b64decode(each) for each in coded]
                self.widget._received(self.widget, content, buffers)
        while not self._out.empty():
            content, buffers = self._out.get()
            if content == "assigned":
                self.page.evaluate("s => window.assigned(s)", buffers[0])
                continue
            self.sent.append(content)
            coded = [base64.b64encode(bytes(each)).decode("ascii") for each in buffers]
            self.page.evaluate("([c, b]) => window.heard(c, b)", [content, coded])

    def until(self, so: Callable[[], Any], seconds: float = 30) -> Any:
        """What `so` gives as soon as it is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.pump()
            found = so()
            if found:
                return found
            self.page.wait_for_timeout(20)
        raise AssertionError(f"it did not come to that; status: {self.text('.rv-words')!r}")

    def quiet(self, seconds: float = 0.2) -> None:
        """Let both sides talk for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.pump()
            self.page.wait_for_timeout(20)
