"""The layers that a study was asked for, in the order in which they ran."""

from __future__ import annotations

from typing import Any

from resviz.arguments import caller
from resviz.recording.axes import call_of
from resviz.recording.recording import Recording


def rows_asked(rec: Recording) -> dict[str, dict[Any, Any]]:
    """What the table of layers says of each kept output, by key.

    Raises:
        KeyError: a module that only holds others, of which the table has no row.
    """
    rows = {(row["layer"], row["call"]): row for row in rec.layers.to_dict("records")}
    keys = {call_of(key): key for key in rec.tensors}
    for call, key in keys.items():
        if call not in rows:
            raise KeyError(
                f"{caller()}: {key!r} only holds other modules; the last of those would be right. "
                "See rv.list_layers(net)."
            )
    return {keys[call]: row for call, row in rows.items() if call in keys}
