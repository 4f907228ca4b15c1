"""`plot_architecture` as data: boxes, alignment, shortcuts and their dashes, runs, totals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from cases import thorough
from resviz.networks.anatomy.architecture.table import architecture
from resviz.networks.cifar import cifar_resnet
from resviz.views.figures.architecture import plot_architecture
from resviz.views.figures.architecture_boxes import aligned, columns_of, wrapped
from resviz.views.figures.architecture_words import counted
from resviz.views.static import static_png

IMAGE = torch.zeros(1, 3, 32, 32)


def table_of(depth: int = 20, shortcut: str = "A") -> pd.DataFrame:
    return architecture(cifar_resnet(depth, shortcut=shortcut, seed=0), IMAGE)


@pytest.fixture(scope="module")
def padded() -> pd.DataFrame:
    return table_of()


def texts(figure: Any, name: str) -> list[str]:
    (trace,) = [t for t in figure.data if t.mode == "text" and t.name == name]
    return [str(text).replace("<br>", " ") for text in trace.text]


def curves(figure: Any, dash: str) -> list[np.ndarray]:
    """The curves of that dash, each (points, 2)."""
    found = []
    for trace in figure.data:
        if trace.mode == "lines" and trace.legendgroup and trace.line.dash == dash:
            points = np.column_stack([trace.x, trace.y]).astype(float)
            found += np.split(points, np.flatnonzero(np.isnan(points[:, 0])))[:-1]
    return [curve[~np.isnan(curve[:, 0])] for curve in found]


def notes(figure: Any) -> list[str]:
    return [str(note.text) for note in figure.layout.annotations]


def test_a_box_for_each_row(padded: pd.DataFrame) -> None:
    figure = plot_architecture({"ResNet-20": padded})
    assert texts(figure, "ResNet-20") == list(padded["label"])
    assert "<b>ResNet-20</b>" in notes(figure)
    parameters = counted(padded["parameters"].sum())
    assert f"depth 20 · {parameters} parameters" in notes(figure)
    assert f"{counted(padded['flops'].sum())} multiply-adds" in notes(figure)
    assert [n for n in notes(figure) if "×" in n] == ["32×32", "16×16", "8×8", "image 3 × 32 × 32"]


@pytest.mark.parametrize(
    ("shortcut", "solid", "dashed"), [("A", 7, 2), ("B", 7, 2), ("C", 9 - 2, 2), ("none", 0, 0)]
)
def test_dashed_where_the_shape_changes(shortcut: str, solid: int, dashed: int) -> None:
    """Option C projects everywhere; its shape changes in two blocks all the same."""
    figure = plot_architecture({"net": table_of(20, shortcut)})
    assert (len(curves(figure, "solid")), len(curves(figure, "dash"))) == (solid, dashed)


def test_a_curve_leads_around_its_block(padded: pd.DataFrame) -> None:
    figure = plot_architecture({"net": padded})
    (text,) = [t for t in figure.data if t.mode == "text"]
    (outline, *_) = [t for t in figure.data if t.name == "32×32, outline"]
    right = max(v for v in outline.x if v is not None)
    first = curves(figure, "solid")[0]
    above, block, below = text.y[0], text.y[1], text.y[2]
    assert above > first[:, 1].max() > block > first[:, 1].min() > below
    assert first[0, 0] == first[-1, 0] == text.x[0] and first[:, 0].max() > right


def test_networks_stand_side_by_side_by_output_size() -> None:
    plain = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, 1, 1), nn.Conv2d(8, 8, 3, 1, 1), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 8, 3, 1, 1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(512, 10)),
    )
    named = {"plain": architecture(plain, IMAGE), "ResNet-8": table_of(8)}
    columns = columns_of(named, 200, None)
    tops = [{b.size: b.top for b in reversed(column.boxes)} for column in columns]
    assert tops[0] == tops[1] and list(tops[0].values()) == sorted(tops[0].values(), reverse=True)
    figure = plot_architecture(named)
    sizes = [n for n in notes(figure) if n in ("32×32", "16×16", "8×8", "1")]
    assert sizes == ["32×32", "16×16", "8×8", "1"]
    assert texts(figure, "plain")[2] == "2×2 max pool, /2"


def test_networks_of_different_images_start_at_the_top() -> None:
    small = architecture(cifar_resnet(8, seed=0), torch.zeros(1, 3, 16, 16))
    first, second = columns_of({"32": table_of(8), "16": small}, 200, None)
    assert [box.top for box in first.boxes] == [box.top for box in second.boxes]
    words = notes(plot_architecture({"32": table_of(8), "16": small}))
    sizes = [word for word in words if word in ("32×32", "16×16", "8×8", "4×4", "1")]
    assert sizes == ["32×32", "16×16", "8×8", "1", "16×16", "8×8", "4×4", "1"]
    many = architecture(cifar_resnet(8, seed=0), torch.zeros(9, 3, 32, 32))
    assert aligned(columns_of({"one": table_of(8), "nine": many}, 200, None))


def test_boxes_do_not_overlap() -> None:
    for collapse in (True, False):
        (column,) = columns_of({"net": table_of(56)}, 200, collapse)
        for above, below in zip(column.boxes, column.boxes[1:], strict=False):
            assert above.bottom < below.top


def test_runs_of_equal_blocks_are_one_box() -> None:
    table = table_of(110)
    figure = plot_architecture({"ResNet-110": table})
    assert [n for n in notes(figure) if n.startswith("× ")] == ["× 18", "× 17", "× 17"]
    assert len(texts(figure, "ResNet-110")) == 8
    assert f"depth 110 · {counted(table['parameters'].sum())} parameters" in notes(figure)
    every = plot_architecture({"ResNet-110": table}, collapse=False)
    assert len(texts(every, "ResNet-110")) == len(table)
    assert not [n for n in notes(every) if n.startswith("× ")]
    assert every.layout.height > 3 * figure.layout.height
    few = plot_architecture({"ResNet-20": table_of(20)}, collapse=True)
    assert [n for n in notes(few) if n.startswith("× ")] == ["× 3", "× 2", "× 2"]


def pointed_at(trace: Any) -> list[str]:
    """What the pointer shows, place by place, each once."""
    shown = []
    for row in trace.customdata:
        words = trace.hovertemplate.removesuffix("<extra></extra>")
        for number, cell in enumerate(row):
            words = words.replace(f"%{{customdata[{number}]}}", cell)
        shown.append(words)
    return list(dict.fromkeys(shown))


def test_details_under_the_pointer(padded: pd.DataFrame, read: Any) -> None:
    figure = plot_architecture({"net": padded})
    details = pointed_at(read.named(figure, "net, details"))
    assert len(details) == len(padded)
    assert details[1].split("<br>") == [
        "<b>layer1.0</b>",
        "3×3, 16 → 3×3, 16",
        "output 16 × 32 × 32",
        "4,672 parameters, 4.72 M multiply-adds",
        "shortcut: identity, from conv1",
    ]
    run = plot_architecture({"net": padded}, collapse=True)
    words = pointed_at(read.named(run, "net, details"))[1]
    assert "layer1.0 … layer1.2" in words and "× 3" in words and "14,016 parameters" in words


def rows(**changes: Any) -> pd.DataFrame:
    row = {"unit": "a", "kind": "block", "label": "1×1, 4", "depth": 1, "shape": (1, 4, 8, 8)}
    row |= {"size": "8×8", "parameters": 20, "flops": 30}
    row |= {"shortcut": "", "shortcuts": 0, "shortcut_from": ""}
    return pd.DataFrame([row, row | {"unit": "b"} | changes])


def test_two_shortcuts_of_a_block_are_two_curves() -> None:
    figure = plot_architecture(rows(shortcut="identity", shortcuts=2, shortcut_from="a"))
    upper, lower = curves(figure, "solid")
    assert upper[:, 1].min() > lower[:, 1].max()
    mixed = rows(shortcut="identity + padded", shortcuts=2, shortcut_from="a")
    figure = plot_architecture(mixed)
    assert (len(curves(figure, "solid")), len(curves(figure, "dash"))) == (1, 1)


def test_concatenations_are_dotted_and_one_curve() -> None:
    figure = plot_architecture(rows(shortcut="concatenation", shortcuts=9, shortcut_from="a"))
    assert len(curves(figure, "dot")) == 1 and not curves(figure, "solid")
    names = {t.name for t in figure.data if t.legendgroup and t.showlegend is not False}
    assert names == {"concatenation, features untouched"}


def test_a_shortcut_around_several_boxes_begins_where_it_begins() -> None:
    table = pd.concat([rows(), rows(unit="c", shortcut="identity", shortcuts=1)])
    table["shortcut_from"] = ["", "", "", "input"]
    (curve,) = curves(plot_architecture(table), "solid")
    (text,) = [t for t in plot_architecture(table).data if t.mode == "text"]
    assert curve[:, 1].max() > max(text.y) and curve[:, 1].min() < min(text.y)


def test_a_block_where_its_own_shortcut_and_an_outer_one_end() -> None:
    table = pd.concat([rows(), rows(unit="c")])
    table["unit"] = ["a", "b", "c", "d"]
    table["shortcut"], table["shortcuts"] = ["", "", "", "identity"], [0, 0, 0, 2]
    table["shortcut_from"] = ["", "", "", "c + a"]
    figure = plot_architecture(table)
    (text,) = [t for t in figure.data if t.mode == "text"]
    own, outer = curves(figure, "solid")
    assert text.y[2] > own[:, 1].max() > text.y[3] > own[:, 1].min()
    assert text.y[0] > outer[:, 1].max() > text.y[1] and outer[:, 1].min() < text.y[3]


def test_what_did_not_run_stands_beside_the_parameters() -> None:
    table = rows()
    table.attrs |= {"not_run": {"aux": 1234}, "network": "net"}
    assert "depth 1 · 40 parameters (+ 1.23 K not run)" in notes(plot_architecture(table))


def test_changes_made_to_the_network_are_printed() -> None:
    table = rows()
    table.attrs["changes"] = ["without layer1.0"]
    assert "without layer1.0" in plot_architecture(table).layout.title.text


@pytest.mark.parametrize("kind", ["A", thorough("B")])
def test_static_picture(kind: str) -> None:
    table = table_of(20, kind)
    with_shortcuts = static_png(plot_architecture({"net": table}))
    without = table.assign(shortcut="", shortcuts=0, shortcut_from="")
    assert with_shortcuts != static_png(plot_architecture({"net": without}))


def test_words() -> None:
    assert wrapped("fc 10", 10) == ["fc 10"]
    assert wrapped("a, 1 | b, 2 → c, 3 | d, 4", 100) == ["a, 1", "| b, 2 → c, 3", "| d, 4"]
    assert wrapped("a, 1 | b, 2 | c, 3 | d, 4", 130) == ["a, 1 | b, 2", "| c, 3 | d, 4"]
    assert [counted(n) for n in (0, 999, 1000, 99_950, 3.664e9)] == [
        *("0", "999", "1.00 K", "100 K", "3.66 G")
    ]


def test_errors(padded: pd.DataFrame) -> None:
    with pytest.raises(TypeError, match="plot_architecture: a int"):
        plot_architecture(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="plot_architecture: a list under 'net'"):
        plot_architecture({"net": [1]})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="plot_architecture: no tables"):
        plot_architecture({})
    with pytest.raises(ValueError, match="plot_architecture: the table of 'net' has no label, flo"):
        plot_architecture({"net": padded.drop(columns=["label", "flops"])})
    with pytest.raises(ValueError, match="plot_architecture: the table of 'net' is empty"):
        plot_architecture({"net": padded.iloc[:0]})


def test_names_are_escaped(read: Any, hostile: str) -> None:
    table = rows(unit=hostile, label=hostile, shortcut="identity", shortcuts=1)
    table["shortcut_from"] = hostile
    figure = plot_architecture({hostile: table}, title=hostile)
    text = read.text(figure)
    assert "<script" not in text and "<b>bold" not in text and "&lt;script&gt;" in text
    details = [t for t in figure.data if t.mode == "markers" and t.customdata is not None]
    assert "<script" not in str(details[0].customdata.tolist())
