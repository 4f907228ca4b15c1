"""What keeps a view alive: the output of the cell that shows it, until that cell is run again.

Until it is shown, only its user holds a view. A cell that is run again has new output; views of the
former output that are nowhere else go, and with them what only they held. A view that the user
still has in a variable stays, and can be shown again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

_RESULT = re.compile(r"_+|_\d+")  # IPython's names for results: _, __, ___, _12


class Shown(Protocol):
    """A view, as far as it is shown."""

    def release(self) -> None:
        """Its outputs are gone."""


_cells: dict[str, dict[str, list[Shown]]] = {}  # views by cell and run


def hold(view: Shown) -> bool:
    """Keep `view` for the cell that is running; False where none is."""
    shell = _shell()
    cell, run = _running(shell)
    if cell is None:
        return False
    shell.events.register("post_run_cell", _after_run)  # once, however often this is called
    views = _cells.setdefault(cell, {}).setdefault(run, [])
    if not _among(view, views):
        views.append(view)
    return True


def in_a_cell() -> bool:
    """Whether a cell runs, and asks for what it does; not a browser."""
    return _running(_shell())[0] is not None


def forget(view: Shown) -> None:
    """Hold `view` no more; IPython forgets it, too, where it was a cell's result."""
    for cell, runs in list(_cells.items()):
        kept = {run: [each for each in views if each is not view] for run, views in runs.items()}
        _keep(cell, kept)
    _forget_results([view])


def _after_run(_: Any) -> None:
    """Release what former runs of this cell showed, and this one did not."""
    cell, run = _running(_shell())
    if cell is None or cell not in _cells:
        return
    former = [v for other, views in _cells[cell].items() if other != run for v in views]
    _keep(cell, {run: _cells[cell].get(run, [])})
    gone = [view for view in former if not any(_among(view, views) for views in _held())]
    for view in gone:
        view.release()
    _forget_results(gone)


def _held() -> list[list[Shown]]:
    return [views for runs in _cells.values() for views in runs.values()]


def _keep(cell: str, runs: dict[str, list[Shown]]) -> None:
    runs = {run: views for run, views in runs.items() if views}
    if runs:
        _cells[cell] = runs
    else:
        _cells.pop(cell, None)


def _among(view: Any, views: Sequence[Any]) -> bool:
    return any(view is each for each in views)


# ---- the kernel
def _shell() -> Any:
    """IPython's shell; None without it."""
    try:
        from IPython import get_ipython
    except ImportError:
        return None
    return get_ipython()


def _running(shell: Any) -> tuple[str | None, str]:
    """The cell that runs, and which run of it this is; None where none runs.

    A frontend that does not say which cell it is, is known by its text.
    """
    parent: dict[str, Any] = (shell.get_parent() if hasattr(shell, "get_parent") else None) or {}
    header = parent.get("header") or {}
    if header.get("msg_type") != "execute_request":
        return None, ""
    known = (parent.get("metadata") or {}).get("cellId")
    return str(known or parent["content"]["code"]), str(header["msg_id"])


def _forget_results(views: Sequence[Shown]) -> None:
    """Take views out of IPython's history of results, which nobody clears."""
    shell = _shell()
    if shell is None or not views:
        return
    results = shell.user_ns.get("_oh", {})
    outputs = getattr(shell.history_manager, "outputs", {})  # since IPython 9: pictures, too
    for number in [n for n, value in results.items() if _among(value, views)]:
        del results[number]
        if number in outputs:
            outputs[number] = [o for o in outputs[number] if o.output_type != "execute_result"]
    for names in (shell.user_ns, shell.user_ns_hidden):
        for name in [n for n, value in names.items() if _among(value, views)]:
            if _RESULT.fullmatch(name):
                names[name] = ""  # as IPython begins
    for name in ("_", "__", "___"):
        if _among(getattr(shell.displayhook, name, None), views):
            setattr(shell.displayhook, name, "")
