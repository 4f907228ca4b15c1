"""The networks in the package: they load offline, and are what the model card says."""

from __future__ import annotations

import re
from types import ModuleType

import pandas as pd
import pytest
import torch

import resviz as rv
from cases import thorough_but
from resviz.networks.zoo.packaged import PACKAGED

NAMES = ["cifar10-plain20", "cifar10-resnet20", "cifar10-plain56", "cifar10-resnet56"]
CARD = (PACKAGED / "README.md").read_text()


def test_the_four_are_there() -> None:
    table = rv.packaged_networks()
    assert sorted(table["network"]) == sorted(NAMES)
    assert set(table["epochs"]) == {40}
    for row in table.itertuples():
        assert row.shortcut == ("none" if "plain" in row.network else "A")
        assert (PACKAGED / f"{row.network}.safetensors").stat().st_size < 2.5 * row.parameters


@pytest.mark.parametrize("name", thorough_but(NAMES, []))
def test_accuracy_is_that_of_the_card(name: str, testdata_module: ModuleType) -> None:
    net = rv.load_model(name, device="cpu")
    pixels, labels, _ = testdata_module.cifar_images("test")
    images = rv.load_images(list(pixels), net)
    with torch.no_grad():
        right = net(images).argmax(1).numpy() == labels
    accuracy = 100 * right.mean()
    found = re.search(rf"\| `{name}` \|.*\| ([0-9.]+) % \|$", CARD, re.MULTILINE)
    assert found is not None
    assert accuracy == pytest.approx(float(found[1]), abs=0.21)  # one image of 502


def test_degradation() -> None:
    """He et al. 2015, Fig. 6: deeper is worse in training without shortcuts, better with them."""
    error = {name: rv.training_log(name)["train_error"].iloc[-1] for name in NAMES}
    assert error["cifar10-plain56"] > error["cifar10-plain20"] + 5
    assert error["cifar10-resnet56"] < error["cifar10-resnet20"]
    assert error["cifar10-resnet20"] < error["cifar10-plain20"]


@pytest.mark.parametrize("name", NAMES)
def test_training_log(name: str) -> None:
    log = rv.training_log(name)
    assert log["epoch"].tolist() == list(range(1, 41))
    assert log["train_error"].between(0, 100).all()
    found = re.search(rf"\| `{name}` \|.*\| ([0-9.]+) % \| [0-9.]+ % \| [0-9.]+ % \|$", CARD, re.M)
    assert found is not None
    assert log["train_error"].iloc[-1] == pytest.approx(float(found[1]), abs=0.05)


def test_no_such_log() -> None:
    with pytest.raises(ValueError, match="no log of 'resnet20'; one of cifar10-plain20"):
        rv.training_log("resnet20")


def test_the_log_is_a_plain_table() -> None:
    assert isinstance(rv.training_log(NAMES[0]), pd.DataFrame)
