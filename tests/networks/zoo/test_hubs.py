"""`load_model("timm/...")` and `load_model("hf/...")`: offline, with what is on this machine."""

from __future__ import annotations

import pathlib
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import resviz as rv
from resviz.networks.zoo import hubs


def load(name: str, *args: Any, **options: Any) -> nn.Module:
    return rv.load_model(name, *args, device="cpu", progress=False, **options)


@pytest.mark.parametrize(("prefix", "library"), [("timm", "timm"), ("hf", "transformers")])
def test_a_library_that_is_not_installed(
    prefix: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    what = (
        rf"^load_model: '{prefix}/a/b' is a network of {library}.*pip install 'resviz\[{prefix}\]'"
    )
    with pytest.raises(ImportError, match=what):
        load(f"{prefix}/a/b")


def test_names_of_hubs() -> None:
    assert hubs.is_of_hub("timm/resnet50.a1_in1k") and hubs.is_of_hub("hf/microsoft/resnet-50")
    assert (
        not hubs.is_of_hub("resnet50") and not hubs.is_of_hub("hf/") and not hubs.is_of_hub("timm")
    )
    with pytest.raises(ValueError, match="no network 'tim/resnet50'"):
        load("tim/resnet50")


# ---- timm


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> Any:
    """timm, and no connection, said at once."""
    library = pytest.importorskip("timm")
    real = library.create_model

    def create_model(name: str, pretrained: bool = False, **options: Any) -> nn.Module:
        if pretrained:
            raise ConnectionError("no connection")
        return real(name, pretrained=False, **options)

    monkeypatch.setattr(library, "create_model", create_model)
    return library


@pytest.mark.thorough
def test_timm_with_random_weights(timm: Any) -> None:
    state = torch.get_rng_state()
    net, same = (load("timm/resnet18.a1_in1k", "random", seed=3) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state) and not net.training
    assert torch.equal(net.conv1.weight, same.conv1.weight)
    preset = rv.preset_of(net)
    assert (preset.name, preset.weights) == ("resnet18.a1_in1k", "random")
    assert preset.classes[281] == "tabby" and preset.output == "classes"
    images = rv.load_images(np.zeros((300, 300, 3), np.uint8), net)
    assert net(images).shape == (1, 1000)


def test_timm_with_classes_and_a_file(timm: Any, tmp_path: pathlib.Path) -> None:
    net = load("timm/resnet10t", "random", classes=["a", "b"])
    assert rv.preset_of(net).classes == ("a", "b") and net.fc.out_features == 2
    torch.save(net.state_dict(), tmp_path / "mine.pth")
    again = load("timm/resnet10t", tmp_path / "mine.pth", classes=["a", "b"])
    assert torch.equal(again.fc.weight, net.fc.weight)
    assert rv.preset_of(again).weights == "mine.pth"


def test_timm_offline(timm: Any) -> None:
    what = r"^load_model: the weights of 'timm/resnet50.a1_in1k' are not on this machine .*random"
    with pytest.raises(rv.WeightsUnavailable, match=what):
        load("timm/resnet50.a1_in1k")
    with pytest.raises(rv.WeightsUnavailable):
        load("timm/resnet50", "a1_in1k")
    with pytest.warns(rv.ResvizWarning, match="using the fallback"):
        net = load("timm/resnet50", fallback="cifar10-resnet20")
    assert rv.preset_of(net).name == "cifar10-resnet20"


def test_what_timm_does_not_have(timm: Any) -> None:
    with pytest.raises(ValueError, match=r"no network 'resnet51' in timm; closest: 'resnet"):
        load("timm/resnet51")
    with pytest.raises(
        ValueError, match=r"no weights 'resnet50.a9_in1k' in timm; of 'resnet50' th"
    ):
        load("timm/resnet50.a9_in1k")
    with pytest.raises(ValueError, match="classes with weights 'default'"):
        load("timm/resnet50", classes=["a"])


# ---- transformers


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """transformers, and a hub that nobody asks."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    library = pytest.importorskip("transformers")
    monkeypatch.setattr("transformers.utils.hub.is_offline_mode", lambda: True)
    return library


@pytest.fixture
def folder(transformers: Any, tmp_path: pathlib.Path) -> pathlib.Path:
    """A small network of two labels, saved with its image processor."""
    config = transformers.ResNetConfig(
        depths=[1, 1],
        hidden_sizes=[8, 16],
        embedding_size=8,
        id2label={0: "cat", 1: "dog"},
        label2id={"cat": 0, "dog": 1},
        problem_type="multi_label_classification",
    )
    torch.manual_seed(0)
    transformers.ResNetForImageClassification(config).save_pretrained(tmp_path)
    processor = transformers.ConvNextImageProcessor(size={"shortest_edge": 64})
    processor.save_pretrained(tmp_path)
    return tmp_path


def test_a_folder_of_transformers(folder: pathlib.Path, transformers: Any) -> None:
    net = load(f"hf/{folder}")
    preset = rv.preset_of(net)
    assert (preset.output, preset.classes) == ("labels", ("cat", "dog"))
    assert (preset.resize, preset.crop) == (int(64 / 0.875), (64, 64))
    assert preset.name == preset.weights == folder.name and preset.mean == (0.5, 0.5, 0.5)
    theirs = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    images = rv.load_images(np.full((80, 100, 3), 99, np.uint8), net)
    assert set(rv.predict(net, images)["label"]) == {"cat", "dog"}
    assert torch.equal(net(images).logits, theirs(images).logits)
    # the user's own: the processor beside its files
    assert rv.preset_of(theirs).crop == (64, 64) and rv.preset_of(theirs).output == "labels"


def test_transformers_with_random_weights_or_a_file(folder: pathlib.Path) -> None:
    net, same = (load(f"hf/{folder}", "random", seed=1) for _ in range(2))
    name = "classifier.1.weight"
    assert torch.equal(net.state_dict()[name], same.state_dict()[name])
    assert rv.preset_of(net).weights == "random"
    other = load(f"hf/{folder}", folder / "model.safetensors")
    assert torch.equal(other.state_dict()[name], load(f"hf/{folder}").state_dict()[name])
    assert rv.preset_of(load(f"hf/{folder}", "random", classes=["x", "y", "z"])).classes == (
        "x",
        "y",
        "z",
    )


class Raises:
    """A class of transformers that makes nothing."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def from_pretrained(self, *_: Any, **__: Any) -> None:
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("where", ["settings", "weights"])
def test_what_is_no_classifier_is_not_taken_for_missing(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stub(error: Exception) -> None:
        bars = SimpleNamespace(logging=SimpleNamespace(is_progress_bar_enabled=lambda: False))
        parts = [error, None] if where == "settings" else [None, error]
        names = ("AutoConfig", "AutoModelForImageClassification")
        made = dict(zip(names, map(Raises, parts), strict=True))
        monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(utils=bars, **made))

    class Absent(FileNotFoundError, ValueError):
        """As of its hub."""

    stub(ValueError("Unrecognized configuration class BertConfig\nOne of ..."))
    with pytest.raises(ValueError, match=r"'hf/a/b' does not classify images.*class BertConfig\)"):
        load("hf/a/b", fallback="cifar10-resnet20")
    for error in (OSError("no connection"), Absent("nowhere")):
        stub(error)
        with pytest.raises(rv.WeightsUnavailable, match=f"the {where}.* could not be downloaded"):
            load("hf/a/b")


def test_transformers_offline(transformers: Any) -> None:
    for weights in ("default", "random"):
        with pytest.raises(rv.WeightsUnavailable, match="settings, which say what the network is"):
            load("hf/nobody/has-this", weights)
    with pytest.raises(ValueError, match="no weights 'v1' for 'hf/a/b'"):
        load("hf/a/b", "v1")
