"""An error names the function that was called, also where another one finds the fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import resviz as rv
from resviz.networks.cifar import cifar_resnet
from resviz.networks.digits import digits_resnet
from resviz.networks.shattering import shattering_network

Call = Callable[[Any, Any], object]


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return cifar_resnet(8, seed=0)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def entered(context: Any) -> None:
    with context:
        pass


WITH_A_NETWORK: dict[str, Call] = {
    "architecture": rv.architecture,
    "branch_study": rv.branch_study,
    "channel_contributions": rv.channel_contributions,
    "drop_blocks": lambda n, x: entered(rv.drop_blocks(n, ["layer1.0"], images=x)),
    "explain": rv.explain,
    "gradient_correlation": rv.gradient_correlation,
    "gradient_norms": rv.gradient_norms,
    "lesion_study": rv.lesion_study,
    "list_layers": rv.list_layers,
    "logit_lens": rv.logit_lens,
    "loss_landscape": lambda n, x: rv.loss_landscape(n, x, [0, 1, 2, 3]),
    "path_study": rv.path_study,
    "plain_twin": lambda n, x: rv.plain_twin(n, images=x),
    "predict": rv.predict,
    "record": rv.record,
    "refinement_study": rv.refinement_study,
    "residual_branches": rv.residual_branches,
    "response_std": rv.response_std,
    "scale_branches": lambda n, x: entered(rv.scale_branches(n, 0.5, images=x)),
    "scale_shortcuts": lambda n, x: entered(rv.scale_shortcuts(n, 0.5, images=x)),
    "zero_init_residual": lambda n, x: entered(rv.zero_init_residual(n, images=x)),
}
NO_NETWORK = WITH_A_NETWORK | {
    "preset_of": lambda n, x: rv.preset_of(n),
    "set_preset": lambda n, x: rv.set_preset(n, None),
    "swap_blocks": lambda n, x: entered(rv.swap_blocks(n, "layer1.0", "layer1.1")),
    "untrained_copy": lambda n, x: rv.untrained_copy(n),
}


@pytest.mark.parametrize("name", NO_NETWORK)
def test_no_network(name: str, images: torch.Tensor):
    with pytest.raises(TypeError, match=f"^{name}: a network of type str"):
        NO_NETWORK[name]("resnet50", images)


@pytest.mark.parametrize("name", WITH_A_NETWORK)
def test_no_images(name: str, net: nn.Module):
    with pytest.raises(TypeError, match=f"^{name}: images (are a|of type) list|^{name}: images "):
        WITH_A_NETWORK[name](net, ["cat.png"])


@pytest.mark.parametrize("name", sorted(set(WITH_A_NETWORK) - {"predict"}))
def test_images_with_other_channels(name: str, net: nn.Module):
    with pytest.raises(ValueError, match=rf"^{name}: images of shape \(\d, 2, 32, 32\)"):
        WITH_A_NETWORK[name](net, torch.zeros(4, 2, 32, 32))


def test_gradient_flow_with_a_loss_that_is_none(images: torch.Tensor):
    with pytest.raises(ValueError, match="^gradient_flow: loss 'foo'"):
        rv.gradient_flow({"a": {"depth": 8}}, images, loss="foo", seeds=1, batch_stats=False)


@pytest.mark.parametrize(
    "name", ["gradient_correlation", "gradient_norms", "branch_study", "path_study", "record"]
)
def test_a_loss_that_is_none(name: str, net: nn.Module, images: torch.Tensor):
    with pytest.raises(ValueError, match=f"^{name}: loss 'foo'; one of logit, cross_entropy"):
        getattr(rv, name)(net, images, loss="foo")


@pytest.mark.parametrize(
    "name",
    ["branch_study", "gradient_correlation", "lesion_study", "refinement_study", "response_std"],
)
@pytest.mark.parametrize("value", [0, -3, True, 2.0, "4"])
def test_batch_size(name: str, value: object, net: nn.Module, images: torch.Tensor):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: batch_size {value!r}; "):
        getattr(rv, name)(net, images, batch_size=value)


@pytest.mark.parametrize(
    "name", ["gradient_correlation", "lesion_study", "path_study", "refinement_study"]
)
@pytest.mark.parametrize("value", [-1, True, 1.5, None, "0"])
def test_seed(name: str, value: object, net: nn.Module, images: torch.Tensor):
    with pytest.raises((TypeError, ValueError), match=f"^{name}: seed {value!r}; "):
        getattr(rv, name)(net, images, seed=value)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("cifar_resnet", lambda seed: cifar_resnet(8, seed=seed)),
        ("digits_resnet", lambda seed: digits_resnet(4, seed=seed)),
        ("shattering_network", lambda seed: shattering_network(2, seed=seed)),
        ("untrained_copy", lambda seed: rv.untrained_copy(nn.Linear(2, 2), seed=seed)),
        (
            "load_model",
            lambda seed: rv.load_model("cifar10-resnet8", "random", seed=seed, device="cpu"),
        ),
    ],
)
def test_seeds_of_networks(name: str, make: Callable[[Any], object]):
    for value in (True, 0.5, "0"):
        with pytest.raises(TypeError, match=f"^{name}: seed {value!r}; a whole number"):
            make(value)
    make(np.int64(3))


@pytest.mark.parametrize(
    "name", ["branch_study", "gradient_correlation", "path_study", "response_std"]
)
def test_progress(name: str, net: nn.Module, images: torch.Tensor):
    with pytest.raises(TypeError, match=f"^{name}: progress 'yes'; None, True or False"):
        getattr(rv, name)(net, images, progress="yes")


def test_load_images_says_what_no_preset_means():
    with pytest.raises(ValueError, match="^load_images: Linear has no preset"):
        rv.load_images(np.zeros((8, 8), np.uint8), nn.Linear(2, 2))


@pytest.mark.parametrize(
    "name",
    [
        "load_explanation",
        "load_gradient_flow",
        "load_landscape",
        "load_recording",
        "load_training_record",
    ],
)
def test_no_such_file(name: str, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=f"^{name}: no file "):
        getattr(rv, name)(tmp_path / "nothing")
    (tmp_path / "torn").write_bytes(b"torn")
    with pytest.raises(ValueError, match=f"^{name}: .* is damaged"):
        getattr(rv, name)(tmp_path / "torn")


def test_a_block_that_is_none_inside_a_study(net: nn.Module, images: torch.Tensor):
    with pytest.raises(ValueError, match="^lesion_study: no block 'layer9'"):
        rv.lesion_study(net, images, blocks=["layer9"])


def test_training_data_and_train_compare():
    with pytest.raises(ValueError, match="^training_data: data 'mnist'"):
        rv.training_data("mnist")
    with pytest.raises(ValueError, match="^train_compare: data 'mnist'"):
        rv.train_compare({"a": {"depth": 8}}, "mnist")
