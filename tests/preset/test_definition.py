"""`Preset`, `preset_of`, `set_preset`: what they accept, keep and refuse."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import resviz as rv
from cases import plain

HALF = (0.5, 0.5, 0.5)


def preset(**changes: Any) -> rv.Preset:
    fields: dict[str, Any] = {"name": "mine", "weights": "own", "mean": HALF, "std": HALF}
    return rv.Preset(**{**fields, "resize": 64, "crop": 64, **changes})


def test_sequences_become_tuples_and_a_number_a_square() -> None:
    made = preset(mean=[0, 0.5, 1], std=[1, 2, 3], resize=[40, 30], crop=[32, 24], classes=["a"])
    assert made.mean == (0.0, 0.5, 1.0) and made.std == (1.0, 2.0, 3.0)
    assert made.resize == (40, 30) and made.crop == (32, 24) and made.classes == ("a",)
    assert preset(crop=24).crop == (24, 24)
    assert preset(resize=None, crop=None).resize is None


def test_it_is_frozen_equal_by_value_and_survives_copies() -> None:
    made = preset(classes=("cat", "dog"))
    assert made == preset(classes=["cat", "dog"]) and hash(made) == hash(
        preset(classes=made.classes)
    )
    assert pickle.loads(pickle.dumps(made)) == made
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.name = "other"  # type: ignore[misc]
    with pytest.raises(ValueError, match="at least 1 pixel"):
        dataclasses.replace(made, resize=0)


WRONG_TYPES = [
    {"name": 3},
    {"weights": None},
    {"mean": True},
    {"mean": "abc"},
    {"std": None},
    {"resize": True},
    {"resize": 64.0},
    {"resize": "64"},
    {"resize": (64.0, 64)},
    {"crop": True},
    {"crop": 64.5},
    {"classes": "cat"},
    {"classes": [1, 2]},
    {"classes": None},
    {"classes": 10},
    {"classes": (name for name in ["cat"])},
    {"interpolation": 2},
    {"output": 1},
    {"units": None},
    {"logits": 1.0},
    {"logits": True},
    {"channels": 1.5},
    {"channels": True},
    {"display": "012"},
    {"display": (0, 1.0, 2)},
    {"window": 400},
    {"window": "ab"},
]
WRONG_VALUES = [
    {"mean": (0.5,)},
    {"mean": (0.5, 0.5, float("nan"))},
    {"mean": (123.7, 116.3, 103.5)},
    {"std": (0, 1, 1)},
    {"std": (1, 1, -1)},
    {"std": (1, 1, float("inf"))},
    {"resize": 0},
    {"resize": (64,)},
    {"resize": (64, 0)},
    {"crop": 0},
    {"crop": (64, 64, 3)},
    {"interpolation": "lanczos"},
    {"output": "softmax"},
    {"output": "logit", "classes": ("ill",)},
    {"units": "years"},
    {"display": 3},
    {"display": (0, 1)},
    {"display": (0, 1, -1)},
    {"window": (400, -1000)},
    {"window": (0, 1, 2)},
    {"window": (0, float("inf"))},
    {"units": "years", "output": "classes"},
]


@pytest.mark.parametrize("change", WRONG_TYPES, ids=lambda value: plain(str(value)))
def test_wrong_types(change: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=rf"^Preset: {next(iter(change))} .*; "):
        preset(**change)


@pytest.mark.parametrize("change", WRONG_VALUES, ids=str)
def test_wrong_values(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"^Preset: {next(iter(change))} .*; "):
        preset(**change)


def test_means_of_0_to_255_are_told_what_to_do() -> None:
    with pytest.raises(ValueError, match="Divide means of pixels in 0..255 by 255"):
        preset(mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4))


def test_a_network_keeps_its_preset_through_copies_and_wrappers() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3))
    keys = list(net.state_dict())
    rv.set_preset(net, preset())
    assert rv.preset_of(net) == preset()
    assert rv.preset_of(copy.deepcopy(net)) == preset()
    assert rv.preset_of(nn.DataParallel(net)) == preset()
    assert list(net.state_dict()) == keys
    rv.set_preset(net, preset(name="other"))
    assert rv.preset_of(net).name == "other"


def test_a_network_without_a_preset_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"^preset_of: Conv2d has no preset; .*Pass preset=rv\.P"):
        rv.preset_of(nn.Conv2d(3, 4, 3))
    net = nn.Conv2d(3, 4, 3)
    net.resviz_preset = "resnet50"  # type: ignore[assignment]
    with pytest.raises(ValueError, match="no preset"):
        rv.preset_of(net)


def test_arguments_of_the_wrong_type() -> None:
    with pytest.raises(TypeError, match=r"^preset_of: a network of type str; an nn.Module"):
        rv.preset_of("resnet50")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^set_preset: a network of type Preset"):
        rv.set_preset(preset(), preset())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^set_preset: a preset of type dict; an rv.Preset"):
        rv.set_preset(nn.Conv2d(3, 4, 3), {})  # type: ignore[arg-type]


def test_channels_are_as_many_as_the_means() -> None:
    assert preset().channels == 3 and preset().display == (0, 1, 2)
    one = rv.Preset("mine", "own", 0.5, 0.25, None, None)
    assert (one.channels, one.mean, one.std, one.display) == (1, (0.5,), (0.25,), (0,))
    five = rv.Preset("mine", "own", (0.1, 0.2, 0.3, 0.4, 0.5), 1, None, None)
    assert (five.channels, five.std, five.display) == (5, (1.0,) * 5, (0, 1, 2))
    four = rv.Preset("mine", "own", 0.5, 1, None, None, channels=4, display=[3, 1, 0])
    assert (four.mean, four.display) == ((0.5,) * 4, (3, 1, 0))
    assert rv.Preset("mine", "own", 0.5, 1, None, None, channels=2).display == (0,)
    assert preset(window=[-1000, 400]).window == (-1000.0, 400.0)
    assert dataclasses.replace(four, classes=["a"]).channels == 4


@pytest.mark.parametrize("change", [{"channels": 0}, {"channels": 4}, {"channels": 1}])
def test_channels_that_do_not_fit_mean_and_std(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="^Preset: .*channel"):
        preset(**change)


def test_presets_pickled_before_they_had_channels() -> None:
    state = dict(preset().__dict__)
    for field in ("channels", "display", "window", "output", "units", "logits"):
        del state[field]
    old = rv.Preset.__new__(rv.Preset)
    old.__setstate__(state)
    assert old == preset() and old.channels == 3 and old.window is None


@pytest.mark.thorough
def test_the_example_of_the_guide_runs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "guides" / "own_network.md").read_text(
        encoding="utf-8"
    )
    section = text.partition("## What an output means")[2]
    names: dict[str, Any] = {}
    exec(section.partition("```python\n")[2].partition("```")[0], names)
    table = rv.predict(names["net"], names["images"])
    assert set(table["label"]) == {"water", "forest"} and table.attrs["output"] == "labels"
    assert (names["age"].channels, names["ill"].window) == (1, (-1000, 400))
