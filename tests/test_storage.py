"""storage.py: one file for tensors and tables, equal after a round trip, and no code run."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest
import torch

from cases import crossed
from resviz import storage

DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32),
    *(torch.int16, torch.int8, torch.uint8, torch.bool),
]


@pytest.mark.parametrize(
    ("dtype", "shape"), crossed(DTYPES, [(2, 3, 4), (), (0,), (3, 0, 2)]), ids=str
)
def test_tensors_of_every_dtype_and_shape(dtype: torch.dtype, shape: tuple, tmp_path: Path):
    tensor = (torch.randn(shape) * 3).to(dtype)
    storage.write(tmp_path / "file", "thing", {"a": tensor}, {})
    tensors, meta = storage.read(tmp_path / "file", "thing")
    assert storage.tensors_equal(tensors["a"], tensor) and meta == {}


def test_layouts_and_shared_memory(tmp_path: Path):
    base = torch.randn(2, 3, 4, 5)
    given = {
        "whole": base,
        "view": base[:, 1:],
        "transposed": base.transpose(1, 3),
        "last": base.to(memory_format=torch.channels_last),
        "expanded": torch.randn(1, 3).expand(4, 3),
        "graph": base.requires_grad_() * 2,
    }
    storage.write(tmp_path / "file", "thing", given, {"n": 1})
    tensors, _ = storage.read(tmp_path / "file", "thing")
    assert all(storage.tensors_equal(tensors[k], v.detach()) for k, v in given.items())


def test_odd_names_and_values(tmp_path: Path):
    meta = {"Ünïcode \n": ["<b>", None, True, 1.5, {"x": math.inf}], "nan": math.nan}
    storage.write(tmp_path / "file", "thing", {"layer1.0.add:branch#1": torch.ones(1)}, meta)
    tensors, again = storage.read(tmp_path / "file", "thing")
    assert list(tensors) == ["layer1.0.add:branch#1"]
    assert math.isnan(again.pop("nan")) and math.isnan(meta.pop("nan"))
    assert again == meta


def test_another_kind_is_refused(tmp_path: Path):
    storage.write(tmp_path / "file", "explanation", {"a": torch.ones(1)}, {})
    with pytest.raises(ValueError, match="holds explanation; a recording was expected"):
        storage.read(tmp_path / "file", "recording")


def test_a_file_of_a_later_version_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as later:
        later.setattr(storage, "_FORMAT", "resviz-2")
        storage.write(tmp_path / "file", "recording", {"a": torch.ones(1)}, {})
    with pytest.raises(ValueError, match="the format resviz-2; .* reads resviz-1.* -U resviz"):
        storage.read(tmp_path / "file", "recording")


def test_plain_safetensors_are_refused(tmp_path: Path):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, tmp_path / "file")
    with pytest.raises(ValueError, match="no resviz record"):
        storage.read(tmp_path / "file", "recording")


@pytest.mark.parametrize("error", ["meta", "folder"])
def test_a_write_that_fails_leaves_nothing(error: str, tmp_path: Path):
    target = tmp_path / "file" if error == "meta" else tmp_path / "none" / "file"
    meta = {"x": object()} if error == "meta" else {}
    with pytest.raises((TypeError, OSError)):
        storage.write(target, "thing", {"a": torch.ones(1)}, meta)
    assert list(tmp_path.iterdir()) == []


def test_a_dtype_that_the_file_cannot_hold(tmp_path: Path):
    single = torch.randn(3, dtype=torch.complex64)
    with pytest.raises(TypeError, match=r"'a' is of dtype torch.complex128.*complex64"):
        storage.write(tmp_path / "file", "thing", {"a": single.to(torch.complex128)}, {})
    assert list(tmp_path.iterdir()) == []
    storage.write(tmp_path / "file", "thing", {"a": single}, {})
    assert storage.tensors_equal(storage.read(tmp_path / "file", "thing")[0]["a"], single)


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "layer": ["a", "b", "ü<"],
            "shape": [(1, 2), (), (3,)],
            "depth": [1, 2, 3],
            "flag": [True, False, True],
            "value": [0.1, math.nan, -math.inf],
            "tiny": [5e-324, 1e308, 1 / 3],
        }
    )


def test_tables_keep_every_bit_and_type():
    data = json.loads(json.dumps(storage.table_to_json(table())))
    again = storage.table_from_json(data, "layer")
    pd.testing.assert_frame_equal(again, table(), check_exact=True)
    assert again.equals(table())


def test_empty_tables():
    for empty in (table().iloc[:0], pd.DataFrame([], columns=["layer", "x"])):
        again = storage.table_from_json(
            json.loads(json.dumps(storage.table_to_json(empty))), "layer"
        )
        assert again.equals(empty) and list(again) == list(empty)


def test_equality_of_tensors():
    nan, inf = math.nan, math.inf
    equal = storage.tensors_equal
    assert equal(None, None) and not equal(None, torch.ones(1)) and not equal(torch.ones(1), None)
    assert equal(torch.tensor([nan, 1.0]), torch.tensor([nan, 1.0]))
    assert not equal(torch.tensor([nan, 1.0]), torch.tensor([1.0, nan]))
    assert not equal(torch.tensor([nan]), torch.tensor([0.0]))
    assert not equal(torch.tensor([inf]), torch.tensor([torch.finfo(torch.float32).max]))
    assert not equal(torch.tensor([inf]), torch.tensor([-inf]))
    assert not equal(torch.ones(1), torch.ones(1, dtype=torch.float64))
    assert not equal(torch.ones(2), torch.ones(2, 1))
    assert equal(torch.zeros(0), torch.zeros(0))
