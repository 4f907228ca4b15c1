"""What keeps a view alive: who holds it, until it is shown; the output of a cell, from then on."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import ipywidgets
import pytest
from ipywidgets.widgets import widget as every_widget
from jupyter_client.manager import start_new_kernel

import resviz as rv
from cases import thorough_but
from resviz.views.widgets import shown
from resviz.views.widgets.host import Host
from resviz.views.widgets.view import View

Make = Callable[[], Any]


def known() -> set[str]:
    """Ids of the widgets that ipywidgets keeps."""
    return set(every_widget._instances)


@pytest.fixture(
    params=thorough_but(
        ["feature maps", "residuals", "gradients", "explanation", "live explanation", "explore"],
        ["feature maps", "explanation", "explore"],
    )
)
def make(request: Any, makers: dict[str, Make]) -> Make:
    return makers[request.param]


@pytest.fixture
def without_gc() -> Iterator[None]:
    """No collector: what is freed had no holder."""
    gc.freeze()  # what is there already need not be looked at
    gc.disable()
    yield
    gc.enable()


# ---- held by its user
@pytest.mark.usefixtures("without_gc")
@pytest.mark.filterwarnings("ignore:explain. .* is zero")
def test_a_view_goes_with_its_last_holder(make: Make) -> None:
    before = known()
    view = make()
    assert known() == before  # nothing knows it as long as it is not shown
    gone = weakref.ref(view)
    del view
    assert gone() is None


@pytest.mark.filterwarnings("ignore:explain. .* is zero")
def test_a_closed_view_leaves_nothing(make: Make) -> None:
    before, view = known(), make()
    view._repr_mimebundle_()
    assert len(known() - before) == 2  # its layout is a widget, too
    view.close()
    assert known() == before and view._repr_mimebundle_ is None
    view.close()  # once more does nothing
    with pytest.raises(AttributeError):  # as of every closed widget
        view.model_id  # noqa: B018
    assert known() == before


@pytest.mark.usefixtures("without_gc")
def test_tensors_go_with_a_closed_view(net: Any, images: Any, preset: Any) -> None:
    rv.explore(net, images[:1], preset=preset)._repr_mimebundle_()  # what is made once
    gc.collect()
    view = rv.explore(net, images[:1], preset=preset)
    held = [weakref.ref(tensor) for tensor in view.view._session.current.rec.tensors.values()]
    view._repr_mimebundle_()
    view.close()
    del view
    assert held and not any(tensor() is not None for tensor in held)


def test_a_view_that_was_never_shown_is_closed(rec: Any) -> None:
    before, view = known(), rv.explore_feature_maps(rec)
    view.close()
    assert view._repr_mimebundle_ is None and known() == before
    assert view.figure().data  # what it holds is its user's


def test_a_layout_of_the_users_stays(rec: Any) -> None:
    before, view = known(), rv.explore_feature_maps(rec)
    view.layout = ipywidgets.Layout(width="50%")
    view._repr_mimebundle_()
    view.close()
    assert known() - before == {view.layout.model_id}
    view.layout.close()


# ---- held by cells
class Shell:
    """A kernel's shell, as far as views see it."""

    def __init__(self) -> None:
        self.after: list[Callable[[Any], None]] = []
        self.events = self
        self.results: dict[int, Any] = {}
        self.user_ns: dict[str, Any] = {"_oh": self.results, "_": "", "__": "", "___": ""}
        self.user_ns_hidden: dict[str, Any] = {}
        self.displayhook = SimpleNamespace(_="", __="", ___="")
        self.history_manager = SimpleNamespace(outputs=defaultdict(list))
        self.parent: dict[str, Any] = {}
        self.count = 0

    def register(self, event: str, function: Callable[[Any], None]) -> None:
        assert event == "post_run_cell"
        if function not in self.after:
            self.after.append(function)

    def get_parent(self) -> dict[str, Any]:
        return self.parent

    def run(self, cell: str, *views: Any, named: bool = True, result: Any = None) -> None:
        """Show views in a cell, and what is its last line."""
        self.count += 1
        header = {"msg_type": "execute_request", "msg_id": str(self.count)}
        metadata = {"cellId": cell} if named else {}
        self.parent = {"header": header, "metadata": metadata, "content": {"code": cell}}
        for view in views:
            view._repr_mimebundle_()
        if result is not None:
            result._repr_mimebundle_()
            self._keep(result)
        for function in self.after:
            function(None)
        self.parent = {"header": {"msg_type": "comm_msg", "msg_id": "x"}}

    def _keep(self, view: Any) -> None:
        """What IPython keeps of a cell's result."""
        n = self.count
        self.results[n] = view
        for names in (self.user_ns, self.user_ns_hidden):
            names |= {f"_{n}": view, "___": names.get("__"), "__": names.get("_"), "_": view}
        hook = self.displayhook
        hook.___, hook.__, hook._ = hook.__, hook._, view
        kinds = ("display_data", "execute_result")
        self.history_manager.outputs[n] = [SimpleNamespace(output_type=kind) for kind in kinds]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    made = Shell()
    monkeypatch.setattr(shown, "_shell", lambda: made)
    monkeypatch.setattr(shown, "_cells", {})
    before = known()
    yield made
    for model in known() - before:
        if model in known():
            every_widget._instances[model].close()


class Plain(View):
    """A view without anything to draw."""

    module = "feature_maps.js"

    def __init__(self) -> None:
        super().__init__("plain", {"image": 0})

    def figure(self) -> Any:
        raise ValueError("nothing to draw")


@pytest.fixture
def view_of() -> Make:
    return lambda: Host(Plain())


def is_open(view: Any) -> bool:
    return view.comm is not None


@pytest.mark.parametrize("named", [True, False], ids=["by its id", "by its text"])
@pytest.mark.usefixtures("without_gc")
def test_a_cell_that_is_run_again(shell: Shell, view_of: Make, named: bool) -> None:
    before, view = known(), view_of()
    shell.run("a", view, named=named)
    gone = weakref.ref(view)
    del view
    assert gone() is not None  # its output holds it
    shell.run("b", named=named)
    assert gone() is not None
    shell.run("a", view_of(), named=named)
    assert gone() is None and len(known() - before) == 2
    shell.run("a", named=named)  # its code was changed, and shows no view
    assert known() == before


def test_views_of_one_run_stay_together(shell: Shell, view_of: Make) -> None:
    views = [view_of() for _ in range(3)]
    shell.run("a", *views, views[0])
    assert all(map(is_open, views))
    shell.run("a", views[1])
    assert [is_open(view) for view in views] == [False, True, False]


def test_a_view_that_is_shown_elsewhere_stays(shell: Shell, view_of: Make) -> None:
    view = view_of()
    shell.run("a", view)
    shell.run("b", view)
    shell.run("a", view_of())
    assert is_open(view)
    shell.run("b")
    assert not is_open(view)


def test_a_released_view_can_be_shown_again(shell: Shell, view_of: Make) -> None:
    before, view = known(), view_of()
    shell.run("a", view)
    view.selection = {**view.selection, "image": 1}
    shell.run("a", view_of())
    assert not is_open(view) and len(known() - before) == 2
    shell.run("b", view)
    assert is_open(view) and view.layout.comm is not None and view.selection["image"] == 1
    assert view.get_state("layout")["layout"] == f"IPY_MODEL_{view.layout.model_id}"
    view.close()
    assert len(known() - before) == 2


def test_a_view_in_a_box_stays_until_it_is_closed(shell: Shell, view_of: Make) -> None:
    view = view_of()
    box = ipywidgets.VBox([view])
    assert box.get_state("children")["children"] == [f"IPY_MODEL_{view.model_id}"]
    shell.run("a", view)
    shell.run("a")
    assert is_open(view)
    view.close()


def test_a_shown_view_that_a_cell_puts_in_a_box(shell: Shell, view_of: Make) -> None:
    view = view_of()
    shell.run("a", view)
    header = {"msg_type": "execute_request", "msg_id": "1"}
    shell.parent = {"header": header, "content": {"code": "b"}}
    box = ipywidgets.HBox([view])
    shell.run("a")
    assert is_open(view) and box.get_state("children")["children"]
    view.close()


def test_a_browser_that_comes_back_asks_for_all_and_changes_nothing(
    shell: Shell, view_of: Make
) -> None:
    view = view_of()
    shell.run("a", view)
    assert view.model_id in ipywidgets.Widget.get_manager_state()["state"]
    shell.run("a")
    assert not is_open(view)


def test_shown_where_no_cell_runs(shell: Shell, view_of: Make) -> None:
    view = view_of()
    shell.run("a")
    view._repr_mimebundle_()  # in an answer to a browser
    shell.run("a", view)
    shell.run("a")
    assert is_open(view)
    view.close()
    assert not is_open(view)


@pytest.mark.usefixtures("without_gc")
def test_results_are_forgotten(shell: Shell, view_of: Make) -> None:
    def once() -> weakref.ref[Any]:
        view = view_of()
        shell.run("a", result=view)
        return weakref.ref(view)

    gone = [once() for _ in range(4)]
    assert [view() is None for view in gone] == [True, True, True, False]
    shell.run("a")
    assert all(view() is None for view in gone)
    assert shell.results == {} and shell.user_ns["_1"] == "" == shell.displayhook._
    kinds = [[one.output_type for one in each] for each in shell.history_manager.outputs.values()]
    assert kinds == [["display_data"]] * 4  # pictures of results are kept by IPython, too


@pytest.mark.usefixtures("without_gc")
def test_a_closed_result_is_forgotten(shell: Shell, view_of: Make) -> None:
    view = view_of()
    shell.run("a", result=view)
    shell.user_ns["mine"] = view
    view.close()
    assert shell.results == {} and shell.user_ns["_"] == "" and shell.user_ns["mine"] is view
    gone = weakref.ref(view)
    del view, shell.user_ns["mine"]
    assert gone() is None


def test_long_work_ends_with_the_view(shell: Shell, net: Any, images: Any, preset: Any) -> None:
    view = rv.explore(net, images, preset=preset)
    shell.run("a", view)
    ask = {"type": "ask", "id": "q", "what": "explanation", "image": 0, "class": None, "off": []}
    view._received(view, ask, [])
    work = view.view._works["explanation"]
    shell.run("a")
    work.join(60)
    assert work._stopped.is_set() and view.view._session.current.exp is None
    gone = weakref.ref(work)
    del work
    view.view._works.clear()
    assert gone() is None


# ---- in a real kernel
KERNEL = """
import gc, warnings, torch, resviz as rv
warnings.simplefilter("ignore")
from IPython.display import display
from ipywidgets.widgets import widget
from resviz.networks.cifar import cifar_resnet
torch.set_num_threads(1)
net, images = cifar_resnet({depth}, seed=0), torch.zeros(1, 3, 32, 32)
preset = rv.Preset("net", "random", (0.5,) * 3, (0.5,) * 3, resize=32, crop=32)
gc.collect()
gc.freeze()  # what is imported stays, and need not be looked at again
"""
STATE = """
gc.collect()
try:
    import ctypes
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what glibc keeps for later is no leak
except (OSError, AttributeError):
    pass
size = int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20
print(size, len(widget._instances), sum(torch.is_tensor(each) for each in gc.get_objects()))
"""


class Kernel:
    """A Jupyter kernel of its own; `run` is what a frontend does for a cell."""

    def __init__(self) -> None:
        self.manager, self.client = start_new_kernel(kernel_name="python3")

    def run(self, code: str, cell: str | None = None) -> str:
        """What the code printed."""
        content = {"code": code, "silent": False, "store_history": True}
        content |= {"user_expressions": {}, "allow_stdin": False, "stop_on_error": True}
        metadata = {} if cell is None else {"cellId": cell}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        self.client.shell_channel.send(message)
        printed = ""
        while True:
            said = self.client.get_iopub_msg(timeout=120)
            if said["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            assert said["msg_type"] != "error", "\n".join(said["content"]["traceback"])
            if said["msg_type"] == "stream":
                printed += said["content"]["text"]
            if said["msg_type"] == "status" and said["content"]["execution_state"] == "idle":
                return printed

    def state(self) -> tuple[float, int, int]:
        """Resident MiB; widgets; tensors."""
        size, widgets, tensors = self.run(STATE).split()
        return float(size), int(widgets), int(tensors)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.client.stop_channels()
    made.manager.shutdown_kernel(now=True)


SHOW = "rv.explore(net, images, preset=preset)"
CELLS = {
    "result": (SHOW, 2),
    "variable": (f"view = {SHOW}\nview", 2),
    "displayed": (f"display({SHOW}, {SHOW})", 4),
    "never shown": (f"view = {SHOW}", 0),
    "closed": (f"view = {SHOW}\ndisplay(view)\nview.close()", 0),
}


@pytest.mark.thorough
def test_a_cell_run_again_in_a_kernel(kernel: Kernel) -> None:
    """Known by its id, and by its text."""
    kernel.run(KERNEL.format(depth=8))
    for named, (name, (code, widgets)) in itertools.product([True, False], CELLS.items()):
        counts = []
        for _ in range(4):
            kernel.run(code, name if named else None)
            counts.append(kernel.state()[1:])
        assert {count for count, _ in counts} == {widgets}, name
        assert counts[1][1] == counts[-1][1], name  # the same tensors
        kernel.run("view = None", name)
        kernel.run("widget.Widget.close_all()")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", ["result", "closed"])
def test_200_runs_of_a_cell_keep_nothing(kernel: Kernel, name: str) -> None:
    kernel.run(KERNEL.format(depth=56))
    code, widgets = CELLS[name]
    sizes = []
    for number in range(1, 201):
        kernel.run(code, "a")
        if number in (20, 200):
            size, count, _ = kernel.state()
            assert count == widgets
            sizes.append(size)
    assert sizes[1] - sizes[0] < 10


@pytest.mark.slow
@pytest.mark.long
def test_200_views_in_one_run_keep_nothing(kernel: Kernel) -> None:
    kernel.run(KERNEL.format(depth=56))
    opened = f"view = {SHOW}; view._repr_mimebundle_(); view.close()"
    for code in (opened, SHOW):  # closed, dropped
        kernel.run(f"for _ in range(20): {code}")
        before = kernel.state()
        kernel.run(f"for _ in range(180): {code}")
        after = kernel.state()
        assert after[1:] == before[1:] and after[0] - before[0] < 10
