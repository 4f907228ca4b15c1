"""Where the boxes of an architecture stand: rows of a table as boxes, aligned by output size."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pandas as pd

NEEDED = (
    *("unit", "kind", "label", "depth", "shape", "size", "parameters", "flops"),
    *("shortcut", "shortcuts", "shortcut_from"),
)
LINE, PADDING, GAP, STAGE_GAP = 15, 7, 11, 12  # pixels
SHEETS = (4.0, 2.0)  # pixels by which the boxes behind the first of a run look out
_LETTER = 6.4  # pixels, of a small letter
MANY = 40  # boxes in one column that can be read


@dataclass
class Box:
    """One box: a row of the table, or a run of equal ones.

    Attributes:
        rows: of the table.
        lines: of text.
        top: in pixels below the first box.
        height: in pixels.
    """

    rows: list[Mapping[str, Any]]
    lines: list[str]
    top: float = 0.0
    height: float = 0.0

    @property
    def first(self) -> Mapping[str, Any]:
        """The row that stands for all."""
        return self.rows[0]

    @property
    def size(self) -> str:
        """Output size, as a label at the side says it."""
        return str(self.first["size"]) or "1"

    @property
    def shortcuts(self) -> list[tuple[str, str]]:
        """(kind, the unit where it begins) of each; concatenated features are one."""
        row = self.first
        kinds, begins = (str(row[key]).split(" + ") for key in ("shortcut", "shortcut_from"))
        if kinds == [""]:
            return []
        count = 1 if kinds == ["concatenation"] else max(int(row["shortcuts"]), len(kinds))
        kinds += kinds[-1:] * (count - len(kinds))
        begins += begins[-1:] * (count - len(begins))
        return list(zip(kinds, begins, strict=False))

    @property
    def bottom(self) -> float:
        """In pixels below the first box, with what looks out behind it."""
        return self.top + self.height + (SHEETS[0] if len(self.rows) > 1 else 0)


@dataclass(frozen=True)
class Column:
    """One network: its name, its boxes from top to bottom, and the table's ``attrs``."""

    name: str
    boxes: list[Box]
    about: Mapping[str, Any]

    @property
    def height(self) -> float:
        """Of all boxes, in pixels."""
        return self.boxes[-1].bottom

    def origin_of(self, number: int, unit: str) -> int:
        """Number of the box where a shortcut of box `number` begins; -1 for the images.

        Where the table does not hold that unit, the box before.
        """
        if unit == "input":
            return -1
        holds = (n for n in range(number, -1, -1) if self._holds(n, unit))
        return next(holds, number - 1)

    def _holds(self, number: int, unit: str) -> bool:
        return any(row["unit"] == unit for row in self.boxes[number].rows)


def columns_of(
    tables: Mapping[str, pd.DataFrame], width: float, collapse: bool | None
) -> list[Column]:
    """The tables as columns of placed boxes.

    Args:
        tables: by name.
        width: of a box, in pixels.
        collapse: runs of equal boxes as one; None: where a column has too many to read.
    """
    many = max(map(len, tables.values())) > MANY
    merge = many if collapse is None else collapse
    columns = [
        Column(name, _boxes(table, width, merge), {str(k): v for k, v in table.attrs.items()})
        for name, table in tables.items()
    ]
    _place(columns)
    return columns


def _boxes(table: pd.DataFrame, width: float, merge: bool) -> list[Box]:
    rows: list[Mapping[str, Any]] = [
        {str(key): value for key, value in row.items()} for row in table.to_dict("records")
    ]
    runs = [list(run) for _, run in groupby(rows, key=_look)] if merge else [[r] for r in rows]
    return [Box(run, wrapped(str(run[0]["label"]), width)) for run in runs]


def _look(row: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("kind", "label", "size", "shape", "shortcut")
    count = row["shortcuts"] if row["shortcut"] != "concatenation" else 1
    return (*(row[name] for name in names), count)


def wrapped(text: str, width: float) -> list[str]:
    """`text` in even lines of at most `width` pixels, broken between paths, or before an arrow.

    Example:
        >>> wrapped("1×1, 64 → 3×3, 64 → 1×1, 256", 130)
        ['1×1, 64 → 3×3, 64', '→ 1×1, 256']
        >>> wrapped("1×1, 64 | 1×1, 96 → 3×3, 128", 130)
        ['1×1, 64', '| 1×1, 96 → 3×3, 128']
    """
    lines = _packed(text, width)
    paths = [len(path) * _LETTER for path in _paths(text)]
    least = max((path for path in paths if path <= width), default=width)
    while width - _LETTER >= least and len(_packed(text, width - _LETTER)) == len(lines):
        width -= _LETTER
    return _packed(text, width)


def _paths(text: str) -> list[str]:
    return re.split(r" (?=[|] )", text)


def _packed(text: str, width: float) -> list[str]:
    """As many parts in a line as it holds."""
    lines: list[str] = []
    for path in _paths(text):
        parts = [path] if len(path) * _LETTER <= width else re.split(r" (?=→ )", path)
        for part in parts:
            if lines and (len(lines[-1]) + 1 + len(part)) * _LETTER <= width:
                lines[-1] += f" {part}"
            else:
                lines.append(part)
    return lines


def _place(columns: Sequence[Column]) -> None:
    """Tops and heights; networks whose images and sizes match stand side by side, size by size."""
    for column in columns:
        for box in column.boxes:
            box.height = LINE * len(box.lines) + PADDING
    order = _common_order(columns)
    starts: dict[str, float] = {}
    if order:
        top = 0.0
        for size in order:
            starts[size] = top
            here = [[b for b in c.boxes if b.size == size] for c in columns]
            top += max(sum(b.bottom - b.top + GAP for b in boxes) for boxes in here) + STAGE_GAP
    for column in columns:
        top, size = 0.0, ""
        for box in column.boxes:
            if box.size != size:
                top = starts.get(box.size, top + STAGE_GAP if size else 0.0)
                size = box.size
            box.top = top
            top = box.bottom + GAP


def aligned(columns: Sequence[Column]) -> bool:
    """True where one scale of output sizes at the side holds for all."""
    return len(columns) == 1 or bool(_common_order(columns))


def _common_order(columns: Sequence[Column]) -> list[str]:
    """The output sizes of all networks from large to small; none where they do not match."""
    images = {str(list(column.about.get("input_shape", ()))[1:]) for column in columns}
    sides = [[_side(size) for size, _ in groupby(c.boxes, key=lambda b: b.size)] for c in columns]
    falling = all(list(s) == sorted(set(s), reverse=True) for s in sides)
    if len(images) > 1 or not falling:
        return []
    every = {box.size for column in columns for box in column.boxes}
    return sorted(every, key=_side, reverse=True)


def _side(size: str) -> float:
    """First side of a map; tokens and the like have none in common with maps."""
    return float(size.split("×")[0]) if re.fullmatch(r"\d+(×\d+)*", size) else 1.5


def check_tables(tables: object) -> dict[str, pd.DataFrame]:
    """The tables by name.

    Raises:
        TypeError: something else than tables.
        ValueError: none, an empty one, or a column is missing.
    """
    right = 'what rv.architecture(net) returns, or a dict of them: {"VGG-19": table}'
    if not isinstance(tables, pd.DataFrame | Mapping):
        raise TypeError(f"plot_architecture: a {type(tables).__name__}; {right}.")
    if isinstance(tables, pd.DataFrame):
        tables = {str(tables.attrs.get("network", "network")): tables}
    if not tables:
        raise ValueError(f"plot_architecture: no tables; {right}.")
    for name, table in tables.items():
        if not isinstance(table, pd.DataFrame):
            raise TypeError(f"plot_architecture: a {type(table).__name__} under {name!r}; {right}.")
        missing = [column for column in NEEDED if column not in table]
        if missing:
            raise ValueError(
                f"plot_architecture: the table of {name!r} has no {', '.join(missing)}; {right}."
            )
        if table.empty:
            raise ValueError(f"plot_architecture: the table of {name!r} is empty; {right}.")
    return {str(name): table for name, table in tables.items()}
