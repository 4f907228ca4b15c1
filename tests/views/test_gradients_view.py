"""`explore_gradients`: what is read from every kind of input, and what goes to the browser."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import resviz as rv
from resviz.analysis.theory import BATCHNORM_EXPLOSION, VARIANCE_SHARE, scaled_shortcuts
from resviz.networks.cifar import cifar_resnet
from resviz.training.recorder.record import TrainingRecord, load_training_record
from resviz.training.recorder.recorder import TrainingRecorder
from resviz.views import style
from resviz.views.style import COLOURS
from resviz.views.widgets.gradients import DepthView, explore_gradients
from resviz.views.widgets.host import Host

WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def flow(images: torch.Tensor) -> Any:
    variants = {"ResNet-8": {"depth": 8}, "plain-8": {"depth": 8, "shortcut": "none"}}
    with pytest.warns(rv.ResvizWarning):  # a small batch
        return rv.gradient_flow(variants, images, seeds=2, batch_stats=(True, False), data="noise")


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> TrainingRecord:
    net, path = cifar_resnet(8, seed=0), tmp_path_factory.mktemp("run") / "run.resviz-log"
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    net.train()
    with TrainingRecorder(net, path, every=1, optimizer=optimiser) as recorder:
        for _ in range(3):
            with recorder.step():
                optimiser.zero_grad()
                net(images).square().mean().backward()
                optimiser.step()
    return load_training_record(path)


def lines(view: Host[DepthView], quantity: str) -> dict[tuple[str, int], dict[str, Any]]:
    """(line, step) -> its numbers as the browser reads them."""
    data = view.payload()
    numbers = data.array(data.meta["numbers"]).view("<f8")
    found = {}
    for one in data.meta["series"]:
        if one["quantity"] != quantity:
            continue
        place = data.meta["places"][one["places"]]
        x = data.array(place["x"])
        parts = [numbers[one["at"] + n * len(x) :][: len(x)] for n in range(3)]
        names = ("middle", "low", "high") if one["seeds"] > 1 else ("middle",)
        key = (one["name"], one["step"])
        found[key] = one | {"x": x, "place": place} | dict(zip(names, parts, strict=False))
    return found


def test_a_network_has_the_colour_of_figures(zeros: pd.DataFrame, read: Any) -> None:
    names = [f"network {number} of this view" for number in range(3)]
    figure = rv.plot_depth_profile({name: zeros for name in names})
    view = explore_gradients({name: zeros for name in names[:0:-1]})
    for one in view.payload().meta["networks"]:
        drawn = read.named(figure, one["name"]).line.color
        assert drawn == COLOURS[one["colour"]]
        assert drawn == read.named(view.figure(), one["name"]).line.color


def names_of(view: Host[DepthView]) -> list[str]:
    return [one["name"] for one in view.payload().meta["quantities"]]


def test_a_table_comes_through_to_the_last_digit(zeros: pd.DataFrame) -> None:
    tiny = zeros.assign(grad_norm=[0.5, 0.0, 1e-200, np.nan])  # float32 would make 0 of 1e-200
    view = explore_gradients({"toy": tiny})
    (one,) = lines(view, "parameters.grad_norm").values()
    np.testing.assert_array_equal(one["middle"], [0.5, 0.0, 1e-200, np.nan])
    np.testing.assert_array_equal(one["x"], [1, 2, 3, 4])
    assert one["place"]["layers"] == ["a.conv", "b.conv", "c.conv", "d.conv"]
    assert one["place"]["shapes"][0] == "4 × 3 × 3 × 3"
    assert [each["name"] for each in one["place"]["bounds"]] == ["layer1", "layer2"]
    assert names_of(view) == ["parameters.grad_norm"]
    json.dumps(view.payload().meta, allow_nan=False)


@pytest.mark.thorough
def test_seeds_are_a_median_and_a_range(norms: list[Any]) -> None:
    (one,) = lines(explore_gradients({"ResNet-20": norms}), "parameters.grad_norm").values()
    values = np.column_stack([table["grad_norm"] for table in norms])
    assert one["seeds"] == 3 and one["name"] == "ResNet-20"
    np.testing.assert_array_equal(one["middle"], np.median(values, axis=1))
    np.testing.assert_array_equal(one["low"], values.min(axis=1))
    np.testing.assert_array_equal(one["high"], values.max(axis=1))
    assert sum(one["place"]["aside"]) == 2  # the projections


def test_both_batchnorm_modes_are_two_lines_not_seeds(norms: list[Any], in_training: Any) -> None:
    view = explore_gradients({"ResNet-20": [*norms, in_training]})
    found = lines(view, "parameters.grad_norm")
    running, batch = ("ResNet-20, running statistics", 0), ("ResNet-20, batch statistics", 0)
    assert set(found) == {running, batch}
    assert (found[running]["seeds"], found[batch]["seeds"]) == (3, 1)
    assert (found[running]["dash"], found[batch]["dash"]) == ("dash", "solid")
    assert "BatchNorm" not in view.payload().meta["conditions"]
    np.testing.assert_array_equal(found[batch]["middle"], in_training["grad_norm"])


def test_one_mode_is_said_once_for_all(in_training: Any) -> None:
    meta = explore_gradients({"a": in_training, "b": in_training}).payload().meta
    assert "BatchNorm on batch statistics" in meta["conditions"]
    assert [one["note"] for one in meta["networks"]] == ["", ""]
    assert len(meta["places"]) == 1  # the same layers are sent once


def test_a_recording_offers_everything_it_measured(rec: Any, blind: Any) -> None:
    names = names_of(explore_gradients(rec))
    assert {"parameters.grad_norm", "layers.grad_rms", "layers.grad_norm"} <= set(names)
    assert {"residuals.ratio", "residuals.grad_branch_share", "layers.zero_fraction"} <= set(names)
    unmeasured = names_of(explore_gradients(blind))
    assert "layers.rms" in unmeasured and not any("grad" in name for name in unmeasured)


def test_the_two_gradient_norms_of_a_recording_are_told_apart(rec: Any) -> None:
    view = explore_gradients({"net": rec}, "layers.grad_norm")
    (one,) = lines(view, "layers.grad_norm").values()
    blocks = rec.layers[rec.layers["kind"] == "block"]
    np.testing.assert_array_equal(one["middle"], blocks["grad_norm"])
    assert "activation gradient" in view.figure().layout.yaxis.title.text
    view.selection = view.selection | {"quantity": "parameters.grad_norm"}
    assert "weight gradient" in view.figure().layout.yaxis.title.text


def test_rows_choose_the_layers(rec: Any) -> None:
    view = explore_gradients({"net": rec}, "layers.rms", rows="Conv2d")
    (one,) = lines(view, "layers.rms").values()
    convolutions = rec.layers[rec.layers["type"] == "Conv2d"]
    np.testing.assert_array_equal(one["middle"], convolutions["rms"])
    described = next(q for q in view.payload().meta["quantities"] if q["name"] == "layers.rms")
    assert described["note"] == "rows: Conv2d"


def test_a_flow_has_variants_modes_and_words(flow: Any) -> None:
    view = explore_gradients(flow)
    found = lines(view, "layers.grad_rms")
    assert {name for name, _ in found} == {
        f"{net}, {mode} statistics"
        for net in ("ResNet-8", "plain-8")
        for mode in ("batch", "running")
    }
    rows = flow.blocks[(flow.blocks["variant"] == "plain-8") & flow.blocks["batch_stats"].eq(True)]
    by_seed = [one["grad_rms"].to_numpy() for _, one in rows.groupby("seed")]
    one = found["plain-8, batch statistics", 0]
    np.testing.assert_array_equal(one["middle"], np.median(by_seed, axis=0))
    meta = view.payload().meta
    assert len(meta["words"]) == 4 and "per layer towards the input" in meta["words"][0]
    assert "noise" in meta["conditions"] and "2 seeds" in meta["conditions"]
    ratios = {name for name, _ in lines(view, "residuals.ratio")}
    assert all(name.startswith("ResNet-8") for name in ratios) and len(ratios) == 2


def test_a_training_record_has_a_line_per_step(training: TrainingRecord) -> None:
    view = explore_gradients({"run": training})
    steps = training.steps["step"].tolist()
    assert view.payload().meta["steps"] == steps and view.selection["step"] == steps[-1]
    found = lines(view, "parameters.grad_norm")
    assert [step for _, step in found] == steps
    weights = training.at(steps[1]).parameters
    wanted = weights[weights["weighted"]]["grad_norm"]
    np.testing.assert_array_equal(found["run", steps[1]]["middle"], wanted)
    assert len(view.payload().meta["places"]) == 3  # weights, blocks, additions: not once a step
    assert "parameters.grad_norm_used" in names_of(view)
    shown = view.figure().layout.title.text.partition("<br>")[0]
    assert (
        shown
        == f"Weight gradients against depth (weighted layers from the input), step {steps[-1]}"
    )
    alone = explore_gradients(training).payload().meta
    assert alone["networks"][0]["name"] == training.provenance["network"]


def test_many_steps_are_thinned_with_first_and_last(
    training: TrainingRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resviz.views.widgets.gradient_runs._MOST_STEPS", 2)
    assert explore_gradients(training).payload().meta["steps"] == [0, 2]


def test_a_training_comparison_has_epochs() -> None:
    options = {"family": "digits", "depth": 4}
    comparison = rv.train_compare({"ResNet-4": options}, subset=64, epochs=1, progress=False)
    view = explore_gradients(comparison)
    meta = view.payload().meta
    assert (
        meta["steps"] == [0, 1] and meta["stepWord"] == "epoch" and "digits" in meta["conditions"]
    )
    found = lines(view, "parameters.grad_norm")
    last = comparison.gradients[comparison.gradients["epoch"] == 1]
    np.testing.assert_array_equal(found["ResNet-4", 1]["middle"], last["grad_norm"])


def test_steps_by_hand_and_networks_with_other_steps(zeros: pd.DataFrame) -> None:
    later = zeros.assign(grad_norm=[1.0, 2.0, 3.0, 4.0])
    view = explore_gradients({"a": {0: zeros, 100: later}, "b": zeros})
    assert view.payload().meta["steps"] == [0, 100]
    assert set(lines(view, "parameters.grad_norm")) == {("a", 0), ("a", 100), ("b", 0)}
    named = {trace.name: trace for trace in view.figure().data if trace.showlegend is not False}
    np.testing.assert_array_equal(named["a"].y, [1, 2, 3, 4])
    view.selection = view.selection | {"step": 50}  # the last moment up to it
    named = {trace.name: trace for trace in view.figure().data if trace.showlegend is not False}
    np.testing.assert_array_equal(named["a, step 0"].y, [0.5, np.nan, 2.0, np.nan])
    assert set(named) == {"a, step 0", "b"}  # b was given without a step


@pytest.mark.parametrize("turned", [False, True])
def test_which_rows_is_said_of_each_network(turned: bool) -> None:
    table = pd.DataFrame({"layer": ["a", "b"], "type": "Conv2d", "depth": [1, 2], "rms": [1.0, 2]})
    tables = {"ResNet": table.assign(kind=["leaf", "block"]), "VGG": table.assign(kind="leaf")}
    tables = dict(reversed(tables.items())) if turned else tables
    note = "at the block outputs: ResNet; at every layer: VGG"
    assert rv.plot_depth_profile(tables, y="rms").chart.lines[0] == note
    (quantity,) = explore_gradients(tables).payload().meta["quantities"]
    assert quantity["note"] == note


def test_of_a_table_that_has_no_kinds_nothing_is_said_of_rows() -> None:
    """A GradientFlow's: all rows are drawn, boundaries of blocks or layers of a plain network."""
    table = pd.DataFrame({"layer": ["a", "b"], "type": "Conv2d", "depth": [1, 2], "rms": [1.0, 2]})
    for tables, note in (
        ({"ResNet": table}, ""),
        ({"ResNet": table, "VGG": table.assign(kind="leaf")}, "at every layer: VGG"),
    ):
        first = rv.plot_depth_profile(tables, y="rms").chart.lines[0]
        assert "block outputs" not in first and first.startswith(note)
        (quantity,) = explore_gradients(tables).payload().meta["quantities"]
        assert quantity["note"] == note


@pytest.mark.parametrize(("step", "names"), [(0, ["a", "b, step 50"]), (50, ["a, step 0", "b"])])
def test_a_line_of_another_step_than_the_chosen_says_so(
    zeros: pd.DataFrame, step: int, names: list[str]
) -> None:
    view = explore_gradients({"a": {0: zeros, 100: zeros}, "b": {50: zeros}})
    assert {one["name"]: one["dated"] for one in view.payload().meta["series"]}["b"]
    view.selection = view.selection | {"step": step}
    drawn = [t for t in view.figure().data if t.showlegend is not False]
    assert [t.name for t in drawn] == names
    colours = style.colours_of(["a", "b"])
    assert [t.line.color for t in drawn] == [colours[name[0]] for name in names]


def test_theory_comes_with_its_quantity_and_from_the_user(rec: Any) -> None:
    half = scaled_shortcuts(0.5)
    own = {"half": half, "a slope": lambda depth: 2 * depth}
    laws = {
        law["name"]: law
        for law in explore_gradients({"net": rec}, theory=own).payload().meta["theory"]
    }
    assert set(laws) == {"half", "a slope", BATCHNORM_EXPLOSION.name}
    assert laws["half"]["through"] and laws["half"]["quantity"] is None
    line = laws["half"]["lines"]["net"]
    away = line["from"] + np.arange(len(line["y"]))
    np.testing.assert_allclose(line["y"], 0.5**away)
    assert 0 in away and half.source in laws["half"]["source"]
    slope = laws["a slope"]["lines"]["net"]
    np.testing.assert_allclose(slope["y"], 2 * np.array(slope["x"]))
    assert not laws["a slope"]["through"]
    assert laws[BATCHNORM_EXPLOSION.name]["quantity"] == "layers.grad_rms"


def test_a_law_without_a_value_somewhere_is_blank_there(rec: Any) -> None:
    view = explore_gradients({"net": rec}, theory={"1/l": VARIANCE_SHARE})
    line = next(law for law in view.payload().meta["theory"] if law["name"] == "1/l")["lines"][
        "net"
    ]
    assert line["y"][round(-line["from"])] is None  # 1/0
    json.dumps(view.payload().meta, allow_nan=False)
    nothing = explore_gradients({"net": rec}, theory={"no": lambda depth: depth * np.nan})
    with pytest.raises(ValueError, match="explore_gradients: theory 'no' has no finite value"):
        nothing.payload()


def test_the_static_picture_follows_the_selection(norms: list[Any], read: Any) -> None:
    view = explore_gradients({"a": norms[0], "b": norms[1]})
    data, _ = view._repr_mimebundle_()
    assert WIDGET in data and data["text/plain"].startswith("Figure: Weight gradients")
    assert len(np.unique(read.picture(base64.b64decode(data["image/png"])))) > 20
    assert view.figure().layout.yaxis.type == "log"
    view.selection = view.selection | {"axis": "linear", "hidden": ["a"]}
    assert view.figure().layout.yaxis.type == "linear"
    assert all(trace.name != "a" for trace in view.figure().data)
    view.selection = view.selection | {"hidden": ["a", "b"]}
    with pytest.raises(ValueError, match="explore_gradients: every line is hidden"):
        view.figure()
    assert "every line is hidden" in view._repr_mimebundle_()[0]["text/plain"]


def test_the_state_stays_small_and_the_page_is_whole(norms: list[Any], tmp_path: Path) -> None:
    view = explore_gradients({"a": norms})
    state = {k: v for k, v in view.get_state().items() if k not in ("_esm", "_css")}
    assert len(json.dumps(state, default=str)) < 4000
    view.save_html(tmp_path / "depth.html")
    assert "rv-data" in (tmp_path / "depth.html").read_text(encoding="utf-8")


def test_hostile_names_stay_text(zeros: pd.DataFrame, hostile: str, tmp_path: Path) -> None:
    view = explore_gradients({hostile: zeros.assign(layer=hostile)})
    assert view.payload().meta["networks"][0]["name"] == hostile  # not escaped twice
    view.save_html(tmp_path / "page.html")
    assert hostile not in (tmp_path / "page.html").read_text(encoding="utf-8")


def _bad() -> Iterator[tuple[Any, str]]:
    table = pd.DataFrame(
        {"layer": ["a"], "parameter": ["a.weight"], "depth": [1], "grad_norm": [1.0]}
    )
    yield 3, "explore_gradients: a int"
    yield {"a": {"first": table}}, "explore_gradients: step 'first' of 'a'"
    yield {"a": {}}, "explore_gradients: step None of 'a'"
    yield {"a": {0: "x"}}, "explore_gradients: a str"


@pytest.mark.parametrize(("tables", "words"), list(_bad()))
def test_wrong_types(tables: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        explore_gradients(tables)


def test_wrong_values(rec: Any, norms: list[Any], zeros: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="explore_gradients: no tables"):
        explore_gradients({})
    with pytest.raises(ValueError, match="explore_gradients: the tables hold none of grad_norm"):
        explore_gradients(zeros[["layer", "parameter", "depth"]])
    with pytest.raises(ValueError, match="no numbers of 'grad_nrm'.*closest.*grad_norm"):
        explore_gradients(norms[0], "grad_nrm")
    with pytest.raises(TypeError, match="explore_gradients: theory 'x' is a float"):
        explore_gradients(norms[0], theory={"x": 0.5})  # type: ignore[dict-item]
    with pytest.raises(
        ValueError, match="^explore_gradients: the tables of 'a' have different layers"
    ):
        explore_gradients({"a": [norms[0], norms[1].iloc[:-1]]})
    with pytest.raises(ValueError, match="^explore_gradients: no rows left"):
        explore_gradients({"a": rec}, rows="Conv9d")


def test_a_network_without_batch_norm_says_nothing_of_it(images: torch.Tensor) -> None:
    norms = rv.gradient_norms(cifar_resnet(8, norm=False, seed=0), images)
    assert "BatchNorm" not in rv.explore_gradients(norms).payload().meta["conditions"]
    norms = rv.gradient_norms(cifar_resnet(8, seed=0), images)
    assert "BatchNorm" in rv.explore_gradients(norms).payload().meta["conditions"]
