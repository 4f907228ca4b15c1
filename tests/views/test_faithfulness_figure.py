"""`plot_faithfulness` as data: lines, bands, legend, words, errors; then on a real table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import resviz as rv
from resviz.views.static import static_png

STEPS = 10
ABOUT = {"network": "toy-net", "weights": "random", "steps": STEPS, "baseline": "blur"}


def row(method: str, layer: str, image: int, target: Any, height: float) -> dict[str, Any]:
    """One map whose curves are straight lines of that height."""
    share = np.linspace(0, 1, STEPS + 1)
    down, up = height * (1 - share), height * share
    return {
        "method": method,
        "layer": layer,
        "image": image,
        "target": target,
        "deletion": height / 2,
        "deletion_random": 0.4,
        "insertion": height / 4,
        "insertion_random": 0.3,
        "randomised_upper": -0.004,
        "deletion_curve": tuple(down),
        "insertion_curve": tuple(up),
        "deletion_random_curve": tuple(0 * share + 0.4),
        "insertion_random_curve": tuple(0 * share + 0.3),
        "randomisation_curve": (0.5 * height, 0.25 * height, 0.0),
    }


def table_of(*rows: dict[str, Any], **about: Any) -> pd.DataFrame:
    table = pd.DataFrame(list(rows))
    table.attrs = {"provenance": {**ABOUT, **about}, "words": {}}
    return table


@pytest.fixture
def table() -> pd.DataFrame:
    """Two methods, two layers, two images: heights 0.2 and 0.8 (mean 0.5)."""
    return table_of(
        *(
            row(method, layer, image, 3, height)
            for method in ("grad_cam", "layer_cam")
            for layer in ("layer3", "layer4")
            for image, height in ((0, 0.2), (1, 0.8))
        )
    )


def lines(figure: Any, axis: str = "x") -> list[Any]:
    return [t for t in figure.data if t.fill is None and t.xaxis in (axis, None)]


def bands(figure: Any) -> list[Any]:
    return [t for t in figure.data if t.fill == "toself"]


def notes(figure: Any) -> list[str]:
    return [note.text for note in figure.layout.annotations]


def test_three_panels(table: pd.DataFrame, read: Any) -> None:
    figure = rv.plot_faithfulness(table)
    for check, better in (
        ("deletion", "lower is better"),
        ("insertion", "higher is better"),
        ("randomisation", "lower is better"),
    ):
        assert notes(figure)[notes(figure).index(check) + 1] == better
        assert check in read.title(figure)
    assert {t.xaxis for t in figure.data} == {"x", "x2", "x3"}
    for words in (
        "toy-net",
        "2 images",
        "steps: 10",
        "removed pixels become: blur",
        "score: probability",
    ):
        assert words in read.title(figure)
    spans = [figure.layout[f"xaxis{n}"].domain for n in ("", 2, 3)]
    assert all(left[1] < right[0] for left, right in zip(spans, spans[1:], strict=False))
    assert figure.layout.yaxis.range == figure.layout.yaxis2.range  # one scale for the score
    assert figure.layout.yaxis.title.text == "probability of the target"


def test_a_line_is_the_mean_and_its_band_the_extremes(table: pd.DataFrame, read: Any) -> None:
    figure = rv.plot_faithfulness(table)
    share = np.linspace(0, 1, STEPS + 1)
    first = next(t for t in lines(figure) if t.name.startswith("grad_cam, layer3"))
    np.testing.assert_allclose(first.x, share)
    np.testing.assert_allclose(first.y, 0.5 * (1 - share))
    band = bands(figure)[0]
    np.testing.assert_allclose(band.y, [*(0.2 * (1 - share)), *(0.8 * (1 - share))[::-1]])
    assert "mean of 2 maps" in read.title(figure) and "least to most" in read.title(figure)


def test_from_five_maps_on_the_band_is_the_standard_error(read: Any) -> None:
    heights = np.array([0.1, 0.2, 0.4, 0.5, 0.9, 0.3])
    figure = rv.plot_faithfulness(
        table_of(*(row("grad_cam", "layer4", i, 3, h) for i, h in enumerate(heights)))
    )
    error = heights.std(ddof=1) / np.sqrt(len(heights))
    band = next(b for b in bands(figure) if b.xaxis == "x")
    np.testing.assert_allclose([band.y[0], band.y[-1]], heights.mean() + [-error, error])
    assert "± 1 standard error" in read.title(figure)


def test_legend(table: pd.DataFrame) -> None:
    """Areas as the table has them; each line once; random maps grey, dashed, one a resolution."""
    figure = rv.plot_faithfulness(table)
    named = [t.name for t in figure.data if t.showlegend]
    assert len(named) == len(set(named)) == 6
    assert "grad_cam, layer4: 0.25 / 0.12 / 0.00" in named  # never -0.00
    assert "random map, layer4: 0.40 / 0.30 / –" in named
    faint = table.assign(deletion=0.00083, insertion=1.2e-5, insertion_random=0.0)
    named = [t.name for t in rv.plot_faithfulness(faint).data if t.showlegend]
    assert "grad_cam, layer4: 0.00083 / 1.2e-05 / 0.00" in named
    assert "random map, layer4: 0.40 / 0.00 / –" in named
    for trace in figure.data:
        if trace.name and trace.name.startswith("random"):
            assert trace.line.dash in ("dash", "dot", "dashdot") and trace.line.color == "#8a8f98"
    solid = [t for t in lines(figure) if t.line.dash == "solid"]
    assert len({t.line.color for t in solid}) == 4


def test_more_lines_than_colours(read: Any) -> None:
    """Methods have the colours, layers the dashes; no bands."""
    table = table_of(
        *(
            row(method, layer, image, 3, 0.5)
            for method in ("grad_cam", "layer_cam", "xgrad_cam")
            for layer in ("layer1", "layer2", "layer3", "layer4")
            for image in range(2)
        )
    )
    figure = rv.plot_faithfulness(table)
    looks = {(t.line.color, t.line.dash) for t in lines(figure)}
    assert len([look for look in looks if look[0] != "#8a8f98"]) == 12
    assert not bands(figure) and "no bands" in read.title(figure)
    assert read.picture(static_png(figure)).shape[:2] == (
        figure.layout.height,
        figure.layout.width,
    )


def test_stages_are_numbered(table: pd.DataFrame) -> None:
    """From 1 on; from 0 where curves begin with the trained weights, at exactly 1."""
    figure = rv.plot_faithfulness(table)
    assert list(lines(figure, "x3")[0].x) == [1, 2, 3]
    table["randomisation_curve"] = [(1.0, 0.4, 0.1)] * len(table)
    figure = rv.plot_faithfulness(table)
    assert list(lines(figure, "x3")[0].x) == [0, 1, 2]
    assert "stage" in figure.layout.xaxis3.title.text


def test_only_the_checks_that_were_made(table: pd.DataFrame, read: Any) -> None:
    without = table.drop(columns=["randomisation_curve", "randomised_upper"])
    figure = rv.plot_faithfulness(without)
    assert {t.xaxis for t in figure.data} == {"x", "x2"} and "randomis" not in read.title(figure)
    for nothing in (None, float("nan")):
        table["insertion_curve"] = table["insertion_random_curve"] = nothing
        figure = rv.plot_faithfulness(table)
        assert "insertion" not in notes(figure) and "deletion" in notes(figure)
    alone = rv.plot_faithfulness(table.drop(columns=["deletion_curve", "deletion_random_curve"]))
    assert "score" not in read.title(alone)
    assert not any("random map" in t.name for t in lines(alone))


def test_values_that_are_not_finite_are_left_out(table: pd.DataFrame) -> None:
    """A blank map has no rank correlation; stages that did not run have none either."""
    table["randomisation_curve"] = [(np.nan, np.nan, np.nan), (0.5, 0.2, np.nan)] * 4
    figure = rv.plot_faithfulness(table)
    np.testing.assert_array_equal(lines(figure, "x3")[0].y, [0.5, 0.2, np.nan])
    assert static_png(figure)


def test_a_map_without_an_order_is_left_out(table: pd.DataFrame) -> None:
    """A blank map has empty curves and no areas: its line, and its random maps, are of the rest."""
    for column in table.columns:
        if column.endswith("_curve"):
            table.at[0, column] = ()
        elif table[column].dtype == float:
            table.loc[0, column] = np.nan
    figure = rv.plot_faithfulness(table)
    first = lines(figure)[0]
    assert first.name == "grad_cam, layer3: 0.40 / 0.20 / 0.00" and first.y[0] == 0.8
    whole = next(t for t in lines(figure) if t.name.startswith("random map, layer3"))
    assert whole.name == "random map, layer3: 0.40 / 0.30 / –" and len(whole.y) == STEPS + 1


def test_what_a_stage_randomised(table: pd.DataFrame) -> None:
    table.attrs["provenance"]["stages"] = [["fc"], ["b.conv2", "b.bn", "a.conv1"]]
    trace = lines(rv.plot_faithfulness(table), "x3")[0]
    assert list(trace.text) == [": fc", ": b.conv2 … a.conv1", ""]
    assert "%{text}" in trace.hovertemplate


@pytest.mark.thorough
def test_the_table_of_faithfulness(
    net: Any, images: Any, exp: Any, preset: rv.Preset, read: Any
) -> None:
    """The real one, with hostile names of classes."""
    table = rv.faithfulness(net, images, exp, preset=preset, steps=4, progress=False)
    figure = rv.plot_faithfulness(table)
    assert {t.xaxis for t in figure.data} == {"x", "x2", "x3"}
    assert list(lines(figure, "x3")[0].x)[0] == 0 and lines(figure, "x3")[0].y[0] == 1
    part = table[(table["method"] == "grad_cam") & (table["layer"] == "layer3")]
    mean = np.mean([curve for curve in part["deletion_curve"] if curve], axis=0)
    trace = next(t for t in lines(figure) if t.name.startswith("grad_cam, layer3"))
    np.testing.assert_allclose(trace.y, mean)
    assert f": {part['deletion'].mean():.2f} / {part['insertion'].mean():.2f} / " in trace.name
    one = rv.plot_faithfulness(table, image=2, target=exp.target_names[2][1])
    assert "&lt;script&gt;" in read.title(one) and "<script" not in read.text(one)
    assert static_png(one)


def test_one_image_or_target(table: pd.DataFrame, read: Any) -> None:
    figure = rv.plot_faithfulness(table, image=1)
    assert "image 1" in read.title(figure) and "one map" in read.title(figure)
    assert not bands(figure)
    assert lines(figure)[0].y[0] == pytest.approx(0.8)
    assert "target 3" in read.title(rv.plot_faithfulness(table, target=3))


def test_targets_of_one_name_are_told_apart(table: pd.DataFrame) -> None:
    rows = [row("cam", "l", 0, "crane", 0.2), row("cam", "l", 0, "crane", 0.6)]
    both = table_of(*rows).assign(index=[1, 2])
    figure = rv.plot_faithfulness(both)
    assert "2 targets" in figure.chart.lines[0]
    assert "each line: one map" not in figure.chart.lines[2]
    with pytest.raises(ValueError, match=r"'crane' is the name of several targets \(1, 2\)"):
        rv.plot_faithfulness(both, target="crane")
    one = rv.plot_faithfulness(both[both["index"] == 2], target="crane")
    assert "target crane" in one.chart.lines[0]


def test_another_score_and_title(table: pd.DataFrame, read: Any, hostile: str) -> None:
    table.attrs["provenance"] |= {"score": "logit"}
    table["deletion_curve"] = [
        tuple(-5.0 + 10 * v for v in curve) for curve in table["deletion_curve"]
    ]
    figure = rv.plot_faithfulness(table, title=hostile)
    assert figure.layout.yaxis.range[0] < -5 and "logit" in figure.layout.yaxis.title.text
    assert "<script" not in read.title(figure)


def test_names_are_escaped(read: Any, hostile: str) -> None:
    rows = [row(hostile, hostile, 0, hostile, 0.5), row("x" * 200, "layer4", 0, hostile, 0.5)]
    figure = rv.plot_faithfulness(
        table_of(*rows, network=hostile, weights=hostile, baseline=hostile, score=hostile)
    )
    text = read.text(figure) + "".join(
        figure.layout[axis].title.text for axis in ("yaxis", "xaxis", "yaxis3")
    )
    assert "<script" not in text and "<b>" not in text and "&lt;script&gt;" in text
    assert max(len(t.name) for t in lines(figure)) < 120


@pytest.mark.thorough
def test_picture(table: pd.DataFrame, read: Any) -> None:
    figure = rv.plot_faithfulness(table)
    picture = read.picture(static_png(figure))
    assert picture.shape == (figure.layout.height, figure.layout.width, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100
    assert (picture[-1] == 255).all() and (picture[:, -1] == 255).all()


def test_the_table_stays_as_it_was(table: pd.DataFrame) -> None:
    before = table.copy(deep=True)
    rv.plot_faithfulness(table, image=0)
    pd.testing.assert_frame_equal(table, before)


def test_errors(table: pd.DataFrame) -> None:
    def refused(message: str) -> Any:
        return pytest.raises(ValueError, match=f"^plot_faithfulness: .*{message}")

    with pytest.raises(TypeError, match="^plot_faithfulness: a dict; a DataFrame is right"):
        rv.plot_faithfulness({})  # type: ignore[arg-type]
    with refused("a table without method, layer; .*rv.faithfulness"):
        rv.plot_faithfulness(table.drop(columns=["method", "layer"]))
    with refused("an empty table; a row"):
        rv.plot_faithfulness(table.iloc[:0])
    with refused("no image 7 in the table; .*'1'"):
        rv.plot_faithfulness(table, image=7)
    with refused("no target 'cat' of image 0 in the table; closest: '3'"):
        rv.plot_faithfulness(table, image=0, target="cat")
    with refused("no curves in the table; deletion_curve"):
        rv.plot_faithfulness(table[["method", "layer", "image", "target", "deletion"]])
    table.at[0, "deletion_curve"] = (1.0, 0.5)
    with refused("deletion_curve of grad_cam, layer3 with 2 and with 11 points"):
        rv.plot_faithfulness(table)
