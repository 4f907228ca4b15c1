"""Additions of the networks in timm, against counts from their papers and definitions.

``timm_additions.csv`` holds a row for each: ``true`` is worked out from the architecture, blocks
times additions in each, as ``how`` says in words; ``found`` and ``kinds`` are what was found in
timm 1.0.31. Weights are random.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd
import pytest
import torch

from resviz.networks.anatomy.survey import survey

TABLE = pd.read_csv(Path(__file__).parent / "timm_additions.csv", keep_default_na=False)
LARGE = (  # over 30 million parameters
    *("maxvit_tiny_tf_224", "tresnet_m", "nextvit_small", "selecsls42b", "darknet53"),
    *("inception_resnet_v2", "dm_nfnet_f0", "beit_base_patch16_224", "vit_base_patch32_clip_224"),
    "samvit_base_patch16",
)
KINDS = ("identity", "scaled", "padded", "projection")


def kinds_of(found: list[str]) -> str:
    return " ".join(f"{kind} {found.count(kind)}" for kind in KINDS if kind in found)


def test_the_table_is_large_and_all_of_it_is_right():
    assert len(TABLE) >= 60
    assert TABLE["network"].is_unique
    assert (TABLE["true"] == TABLE["found"]).all()
    assert TABLE["how"].str.len().min() > 5


ROWS = [
    pytest.param(row, id=row["network"], marks=[pytest.mark.long] * (row["network"] in LARGE))
    for row in TABLE.to_dict("records")
]


@pytest.mark.thorough
@pytest.mark.parametrize("row", ROWS)
def test_additions_of_timm(row):
    timm = pytest.importorskip("timm")
    if row["network"] not in timm.list_models():
        pytest.skip("not in this version of timm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's own, of deprecated names and windows
        net = timm.create_model(row["network"], num_classes=5, pretrained=False).eval()
        size = row["size"]
        found = [a.kind for a in survey(net, (torch.zeros(1, 3, size, size),)).additions]
    assert len(found) == row["true"]
    assert kinds_of(found) == row["kinds"]
