"""`Curve`: one network's values along depth, from one table or from several seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.views.figures.quantities import together
from resviz.views.records import is_moment

Floats = NDArray[np.float64]
_BESIDE = ("gate", "projection")  # columns that say what is not on the main path
_KEYS = {"parameters": ["parameter"], "residuals": ["addition"], "layers": ["layer", "call"]}


@dataclass(frozen=True)
class Curve:
    """One network: a row per measured layer, a column per seed.

    Attributes:
        name: the network's name in the legend.
        rows: layer, shape, stage, kind and x position of every row; index 0..R-1.
        values: (R, S), a column per seed; NaN where a table has no value.
        aside: (R,) True for rows that are drawn off the line (projections, gates).
        about: provenance, as far as the tables agree.
        x: what is along the axis.
    """

    name: str
    rows: pd.DataFrame
    values: Floats
    aside: NDArray[np.bool_]
    about: Mapping[str, Any]
    x: str = "depth"

    @property
    def seeds(self) -> int:
        """How many tables stand behind the curve."""
        return self.values.shape[1]


def as_tables(tables: Any, caller: str) -> dict[str, list[Any]]:
    """``{"ResNet-56": [table, ...]}`` from a table, a recording, or a dict of (lists of) those.

    Raises:
        TypeError: something else.
        ValueError: nothing to draw.
    """
    named = tables if isinstance(tables, Mapping) else {_name_of(tables): tables}
    lists = {
        str(name): list(value) if isinstance(value, (list, tuple)) else [value]
        for name, value in named.items()
    }
    for name, several in lists.items():
        for table in several:
            if not (isinstance(table, pd.DataFrame) or is_moment(table)):
                raise TypeError(
                    f"{caller}: a {type(table).__name__} under {name!r}; a DataFrame, a Recording,"
                    ' or a dict of (lists of) those is right: {"ResNet-56": table}.'
                )
    if not lists or any(not several for several in lists.values()):
        raise ValueError(f"{caller}: no tables; at least one is needed.")
    return lists


def as_table(table: Any, caller: str) -> Any:
    """The one table or recording, for a figure that shows one network.

    Raises:
        TypeError: something else.
        ValueError: several.
    """
    several = [each for tables in as_tables(table, caller).values() for each in tables]
    if len(several) > 1:
        raise ValueError(f"{caller}: {len(several)} tables; one network at a time is drawn.")
    return several[0]


def about(table: Any) -> Mapping[str, Any]:
    """The provenance that a table or a recording carries."""
    if not isinstance(table, pd.DataFrame):
        return dict(table.provenance)
    attrs = {str(k): v for k, v in table.attrs.items()}
    return dict(attrs.get("provenance", attrs))


def _name_of(table: Any) -> str:
    known = isinstance(table, pd.DataFrame) or is_moment(table)
    return str(about(table).get("network", "network")) if known else "network"


def kind_of(table: Any, y: str) -> str:
    """Which table `y` is read from: "parameters", "residuals" or "layers"."""
    if isinstance(table, pd.DataFrame):
        if "addition" in table:
            return "residuals"
        return "parameters" if "parameter" in table else "layers"
    if y in ("grad_norm", "weight_norm"):
        return "parameters"
    return "layers" if y in table.layers else "residuals"


def columns_of(table: Any, kind: str) -> list[str]:
    """Names to choose from: of the table, or of all tables of a recording."""
    frames = [table_of(table, kind)]
    if not isinstance(table, pd.DataFrame):
        frames += [table_of(table, each) for each in _KEYS if each != kind]
    return list(dict.fromkeys(str(name) for frame in frames for name in frame))


def table_of(table: Any, kind: str) -> pd.DataFrame:
    """The DataFrame of that kind: the table itself, or a recording's."""
    if isinstance(table, pd.DataFrame):
        return table
    if kind != "parameters":
        frame: pd.DataFrame = getattr(table, kind)
        return frame
    parameters = table.parameters
    return parameters[parameters["weighted"]].rename(columns={"norm": "weight_norm"})


def select_rows(frame: pd.DataFrame, kind: str, rows: str | Sequence[str] | None) -> pd.DataFrame:
    """Of a table of layers: block outputs, or the given types; other tables stay whole."""
    if rows is not None:
        wanted = [rows] if isinstance(rows, str) else list(rows)
        column = (
            frame["kind"] if "kind" in frame and wanted[0] in ("block", "leaf") else frame["type"]
        )
        return frame[column.isin(wanted)]
    if kind == "layers" and "kind" in frame and (frame["kind"] == "block").any():
        return frame[frame["kind"] == "block"]
    return frame


def curve(
    name: str, tables: Sequence[Any], kind: str, x: str, y: str, rows: str | Sequence[str] | None
) -> Curve:
    """Align the tables of one network (one per seed) on their layers.

    Raises:
        ValueError: the tables of one network have different layers, or no rows are left.
    """
    frames = [select_rows(table_of(table, kind), kind, rows) for table in tables]
    first = frames[0].reset_index(drop=True)
    keys = [key for key in _KEYS[kind] if key in first]
    if first.empty:
        raise ValueError(f"plot_depth_profile: no rows left for {name!r}; rows={rows!r}.")
    for frame in frames[1:]:
        if not frame[keys].reset_index(drop=True).equals(first[keys]):
            raise ValueError(
                f"plot_depth_profile: the tables of {name!r} have different layers; a list holds"
                " the same network under several seeds. Give other networks a name of their own."
            )
    values = np.column_stack([_numbers(frame, y) for frame in frames])
    label = "layer" if "layer" in first else keys[0]
    described = pd.DataFrame(
        {
            "x": _numbers(first, x),
            "layer": first[label].astype(str),
            "shape": [_shape(s) for s in first["shape"]] if "shape" in first else "",
            "stage": [_stage(s) for s in first["stage"]] if "stage" in first else "",
            "kind": first["kind"] if kind == "residuals" else "",
        }
    )
    aside = np.zeros(len(first), bool)
    for beside in _BESIDE:
        if beside in first:
            here = first[beside].eq(True).to_numpy()
            described.loc[here, "kind"] = beside
            aside |= here
    said = together("plot_depth_profile", name, [about(table) for table in tables])
    return Curve(name, described, values, aside, said, x)


def _numbers(frame: pd.DataFrame, column: str) -> Floats:
    if not pd.api.types.is_numeric_dtype(frame[column]):
        raise ValueError(
            f"plot_depth_profile: {column!r} holds no numbers; a column of numbers would be right."
        )
    return frame[column].to_numpy(dtype=float)


def _shape(shape: Any) -> str:
    return (
        " × ".join(str(size) for size in shape) if isinstance(shape, (tuple, list)) else str(shape)
    )


def _stage(stage: Any) -> str:
    return stage if isinstance(stage, str) else "" if pd.isna(stage) else str(stage)


def stage_bounds(curve: Curve) -> list[tuple[str, float, float]]:
    """(stage, from, to) along x, in order, half a step wider than the layers in it."""
    rows = curve.rows[(curve.rows["stage"] != "") & ~curve.aside & curve.rows["x"].notna()]
    spans = [
        (str(stage), float(part["x"].min()), float(part["x"].max()))
        for stage, part in rows.groupby("stage", sort=False)
    ]
    return [
        (stage, low - 0.5, high + 0.5) for stage, low, high in sorted(spans, key=lambda s: s[1])
    ]
