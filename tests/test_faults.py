"""What is wrong with the images, said alike by every function that takes some."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from cases import thorough_but
from resviz.networks.cifar import cifar_resnet

Call = Callable[[Any, Any], object]


def entered(context: Any) -> None:
    with context:
        pass


def faithful(net: nn.Module, images: Any) -> object:
    exp = rv.explain(net, GOOD, 1, layers="layer3", relu=False)
    return rv.faithfulness(net, images, exp, checks="drop", progress=False)


FUNCTIONS: dict[str, Call] = {
    "architecture": rv.architecture,
    "branch_study": rv.branch_study,
    "channel_contributions": rv.channel_contributions,
    "drop_blocks": lambda n, x: entered(rv.drop_blocks(n, ["layer1.0"], images=x)),
    "explain": rv.explain,
    "explore": rv.explore,
    "explore_explanation": rv.explore_explanation,
    "faithfulness": faithful,
    "gradient_correlation": rv.gradient_correlation,
    "gradient_flow": lambda n, x: rv.gradient_flow(
        {"a": lambda seed: n}, x, seeds=1, batch_stats=False
    ),
    "gradient_norms": rv.gradient_norms,
    "lesion_study": rv.lesion_study,
    "list_layers": rv.list_layers,
    "logit_lens": rv.logit_lens,
    "loss_landscape": lambda n, x: rv.loss_landscape(n, x, [0, 1, 2, 3], points=3),
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
GOOD = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
FAULTS: dict[str, tuple[Any, type[Exception], str]] = {
    "channels": (GOOD[:, :2], ValueError, r"images of shape \(4, 2, 16, 16\).*\(N, 3, H, W\)"),
    "HWC": (GOOD.permute(0, 2, 3, 1), ValueError, r"images of shape \(4, 16, 16, 3\).*permute"),
    "single": (GOOD[0], ValueError, r"images of shape \(3, 16, 16\).*images\[None\]"),
    "uint8": (GOOD.to(torch.uint8), TypeError, r"images of torch.uint8 in a network of torch.fl"),
    "float64": (GOOD.double(), TypeError, r"images of torch.float64 in a network of torch.float32"),
    "half": (GOOD.half(), TypeError, r"images of torch.float16 in a network of torch.float32"),
    "numpy": (GOOD.numpy(), TypeError, r"images are a ndarray of shape \(4, 3, 16, 16\)"),
    "no images": (GOOD[:0], ValueError, r"images of shape \(0, 3, 16, 16\); at least one"),
    "list": (list(GOOD), TypeError, r"images are a list.*torch.stack"),
}
ELSEWHERE = {  # what these say first is another thing
    ("explore", "numpy"): "CifarResNet has no preset",  # an array is a picture to load
    ("faithfulness", "HWC"): r"images of \(16, 3\) pixels and an explanation of \(16, 16\)",
    ("faithfulness", "single"): r"images of shape \(3, 16, 16\)",
    ("loss_landscape", "single"): r"targets of shape \(4,\) for 3 images",
}
CASES = [(name, fault) for name in FUNCTIONS for fault in FAULTS]
QUICK = [(n, f) for n, f in CASES if n in ("record", "explain", "predict") or f == "channels"]


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return cifar_resnet(8, seed=0)


@pytest.mark.parametrize(("name", "fault"), thorough_but(CASES, QUICK), ids=lambda value: value)
def test_images_that_the_network_cannot_take(name: str, fault: str, net: nn.Module) -> None:
    images, error, words = FAULTS[fault]
    words = ELSEWHERE.get((name, fault), words)
    error = ValueError if (name, fault) in ELSEWHERE else error
    with pytest.raises(error, match=rf"^{name}: {words}"):
        FUNCTIONS[name](net, images)


class Normalised(nn.Module):
    """Whose own code stands before the first layer."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net((x - 0.5) / 0.25)


@pytest.mark.parametrize("fault", ["channels", "HWC"])
@pytest.mark.parametrize("name", ["record", "predict", "explain", "list_layers", "path_study"])
def test_what_the_first_layer_gets_of_them(name: str, fault: str, net: nn.Module) -> None:
    images = FAULTS[fault][0]
    shape = re.escape(str(tuple(images.shape)))
    with pytest.raises(ValueError, match=rf"^{name}: images of shape {shape}, of which layer 'net"):
        FUNCTIONS[name](Normalised(net), images)
