"""Files of weights as trainers write them: prefixes, things beside the weights, objects."""

from __future__ import annotations

import argparse
import pathlib
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

import resviz as rv


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


@pytest.fixture
def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return network().state_dict()


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


def loaded(content: Any, path: pathlib.Path) -> dict[str, Tensor]:
    torch.save(content, path / "file.pth")
    return rv.load_model(network(), path / "file.pth", device="cpu").state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.mark.parametrize(
    "prefix",
    [
        "_orig_mod.",
        "module._orig_mod.",
        "model.",
        "net.backbone.",
        "encoder.0.1.",
        "student.module.",
    ],
)
def test_any_prefix_is_taken_off_and_said(
    prefix: str, state: dict[str, Tensor], tmp_path: pathlib.Path
) -> None:
    said = rf"^load_model: keys of 'file.pth' begin with '{prefix}', which was taken off\.$"
    with pytest.warns(rv.ResvizWarning, match=said):
        found = loaded({"state_dict": under(prefix, state), "epoch": 3}, tmp_path)
    assert same(found, state)


@pytest.mark.parametrize("prefix", ["", "module.", "module.module."])
def test_nothing_to_say(prefix: str, state: dict[str, Tensor], tmp_path: pathlib.Path) -> None:
    assert same(loaded(under(prefix, state), tmp_path), state)


def test_what_lies_beside_the_prefix_is_left_out_and_said(
    state: dict[str, Tensor], tmp_path: pathlib.Path
) -> None:
    content = under("model.", state) | {"criterion.weight": torch.ones(2)}
    with pytest.warns(rv.ResvizWarning, match=r"taken off; left out: criterion\.weight\.$"):
        assert same(loaded(content, tmp_path), state)


def test_two_prefixes_that_fit_are_refused(
    state: dict[str, Tensor], tmp_path: pathlib.Path
) -> None:
    content = under("model.", state) | under("ema.", state)
    with pytest.raises(ValueError, match=r"fit under 2 prefixes: 'model\.', 'ema\.'; under one"):
        loaded(content, tmp_path)


def test_of_two_prefixes_the_one_with_the_shapes(
    state: dict[str, Tensor], tmp_path: pathlib.Path
) -> None:
    other = {key: torch.zeros(7) for key in state}
    with pytest.warns(rv.ResvizWarning, match="begin with 'model.'"):
        assert same(loaded(under("teacher.", other) | under("model.", state), tmp_path), state)


def test_counters_may_be_missing_under_a_prefix(
    state: dict[str, Tensor], tmp_path: pathlib.Path
) -> None:
    content = {k: v for k, v in under("model.", state).items() if "num_batches" not in k}
    with pytest.warns(rv.ResvizWarning, match="begin with 'model.'"):
        loaded(content, tmp_path)


def test_another_head_under_a_prefix_is_named_without_it(
    state: dict[str, Tensor], tmp_path: pathlib.Path
) -> None:
    del state["3.bias"]
    with pytest.raises(ValueError) as caught:
        loaded(under("net.backbone.", state), tmp_path)
    assert "missing: 3.bias\n" in str(caught.value) and "unexpected" not in str(caught.value)


def test_the_only_tensors_in_a_file_are_its_weights(
    state: dict[str, Tensor], tmp_path: pathlib.Path
) -> None:
    optimizer = {"state": {0: {"exp_avg": torch.ones(1)}}, "param_groups": []}
    assert same(loaded({"weights": state, "optimizer": optimizer}, tmp_path), state)
    with pytest.raises(ValueError, match="holds no tensors but 'generator', 'critic'"):
        loaded({"generator": state, "critic": state}, tmp_path)


def test_whole_numbers_are_no_weights(state: dict[str, Tensor], tmp_path: pathlib.Path) -> None:
    state["0.weight"] = (100 * state["0.weight"]).round().to(torch.int8)
    with pytest.raises(ValueError, match="hold torch.int8 for '0.weight' and 0 others; floating"):
        loaded(state, tmp_path)
    state["0.weight"] = state["0.weight"].half()
    loaded(state, tmp_path)


def test_complex_numbers_are_no_real_weights(
    state: dict[str, Tensor], tmp_path: pathlib.Path
) -> None:
    state["0.weight"] = state["0.weight"] * 1j
    with pytest.raises(ValueError, match="hold torch.complex64 for '0.weight' and 0 others; real"):
        loaded(state, tmp_path)


def test_two_values_for_one_parameter_are_refused(tmp_path: pathlib.Path) -> None:
    tied, untied = (nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)) for _ in range(2))
    tied[1].weight = tied[0].weight
    before = tied[0].weight.clone()
    torch.save(untied.state_dict(), tmp_path / "file.pth")
    with pytest.raises(ValueError, match=r"two values for '0\.weight' and '1\.weight', one param"):
        rv.load_model(tied, tmp_path / "file.pth", device="cpu")
    assert torch.equal(tied[0].weight, before)
    with torch.no_grad():
        untied[0].weight[0] = torch.nan
        untied[1].weight.copy_(untied[0].weight)
    torch.save(untied.state_dict(), tmp_path / "file.pth")
    rv.load_model(tied, tmp_path / "file.pth", device="cpu")
    assert torch.equal(tied[1].weight[1], untied[0].weight[1])


NUMBERS = {
    "float64": np.float64(0.9),
    "float32": np.float32(0.9),
    "int64": np.int64(3),
    "bool": np.bool_(True),
    "half": np.float16(1),
    "string": np.str_("best"),
    "array": np.arange(3),
    "arrays": {"history": [np.zeros((2, 3), np.float32)]},
    "complex": np.complex128(1j),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_numpy_beside_the_weights(
    name: str, state: dict[str, Tensor], tmp_path: pathlib.Path
) -> None:
    before = set(get_safe_globals())  # torch keeps a set
    assert same(loaded({"state_dict": state, "best": NUMBERS[name]}, tmp_path), state)
    assert set(get_safe_globals()) == before


def test_what_the_user_allowed_stays_allowed(
    state: dict[str, Tensor], tmp_path: pathlib.Path
) -> None:
    before = get_safe_globals()
    try:
        add_safe_globals([np.dtype])
        loaded({"state_dict": state, "best": np.float64(0.9)}, tmp_path)
        assert np.dtype in get_safe_globals()
    finally:
        clear_safe_globals()
        add_safe_globals(before)


def test_a_namespace_is_named_with_the_way_out(
    state: dict[str, Tensor], tmp_path: pathlib.Path
) -> None:
    content = {"state_dict": state, "args": argparse.Namespace(lr=0.1), "best": np.float64(1)}
    what = (
        r"holds more than weights \(Python objects or code: argparse\.Namespace\).*"
        r"with torch\.serialization\.safe_globals\(\[argparse\.Namespace\]\) around this call\.$"
    )
    with pytest.raises(ValueError, match=what):
        loaded(content, tmp_path)
    with torch.serialization.safe_globals([argparse.Namespace]):
        assert same(loaded(content, tmp_path), state)
