"""The committed table of 100 photographs: whole, as the guide has it, and measured again in part.

`benchmarks/faithfulness_photographs.py` made it, from the test data's ResNet-50 and photographs.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

import resviz as rv

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    file = ROOT / "benchmarks" / "faithfulness_photographs.py"
    spec = importlib.util.spec_from_file_location("faithfulness_photographs", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table(benchmark: ModuleType) -> pd.DataFrame:
    return pd.read_csv(benchmark.TABLE)


def test_the_table_is_whole(benchmark: ModuleType, table: pd.DataFrame, testdata: Path) -> None:
    files = sorted(file.name for file in (testdata / "imagenet").glob("*.jpg"))
    assert len(files) == 100
    for method in benchmark.METHODS:
        assert table.loc[table["method"] == method, "file"].tolist() == files
    assert table.notna().all(axis=None)
    assert table[["deletion", "insertion"]].stack().between(0, 1).all()


def test_every_method_beats_the_random_map(benchmark: ModuleType, table: pd.DataFrame) -> None:
    """Paired over the photographs, with the 95 % interval of the mean on one side of 0."""
    for row in benchmark.summary(table).to_dict("records"):
        if row["curve"] == "deletion":
            assert row["high"] < 0, row
        else:
            assert row["low"] > 0, row


def test_the_guide_has_these_numbers(benchmark: ModuleType, table: pd.DataFrame) -> None:
    assert benchmark.markdown(table) in (ROOT / "docs" / "guides" / "explain.md").read_text()


@pytest.mark.slow
@pytest.mark.long
def test_a_photograph_measured_again(
    benchmark: ModuleType, table: pd.DataFrame, testdata: Path, use_torch_home: Path
) -> None:
    """Its rows come out again; other kernels may differ in the third digit."""
    net = rv.load_model("resnet50", weights="IMAGENET1K_V1", device="cpu")
    name = "310_n02219486_ant.jpg"
    again = benchmark.measure(net, testdata / "imagenet" / name).reset_index(drop=True)
    committed = table[table["file"] == name].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, committed, rtol=0, atol=0.01)
