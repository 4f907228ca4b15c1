"""The backward goes on to the images where a gradient is read that no parameter lies behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from resviz.recording.recorder import record

IMAGES = torch.randn(3, 3, 6, 6, generator=torch.Generator().manual_seed(3))


class Fixed(nn.Module):
    """A convolution with a weight that it detaches."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.conv2d(x, self.weight.detach())


class Around(nn.Module):
    """x + conv(x)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x)


def _net(*layers: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(108, 2))


def _gradients(net: nn.Module, path: str) -> Tensor:
    """Of the summed target scores, at the output of a layer, by autograd alone."""
    found = []
    module = net.get_submodule(path)
    hook = module.register_forward_hook(lambda _, args, out: found.append(out))
    images = IMAGES.clone().requires_grad_()
    scores = net.eval()(images.clone())
    hook.remove()
    return torch.autograd.grad(scores.max(1).values.sum(), found)[0]


@pytest.mark.parametrize("first", [nn.ReLU, nn.Identity, nn.AvgPool2d, nn.InstanceNorm2d, Fixed])
def test_a_layer_before_the_first_parameter_has_its_gradient(first: Callable[..., nn.Module]):
    layer = first(1) if first is nn.AvgPool2d else first(3) if "Norm" in str(first) else first()
    net = _net(layer, nn.Conv2d(3, 3, 1))
    row = record(net, IMAGES).layers.set_index("layer").loc["0"]
    if first is nn.Identity:  # nothing is made there: the images' own gradient
        assert row["grad_norm"] > 0
    else:
        assert row["grad_norm"] == pytest.approx(_gradients(net, "0").norm().item(), rel=1e-5)


def test_an_addition_to_the_images_divides_its_gradient():
    net = _net(Around())
    row = record(net, IMAGES).residuals.iloc[0]
    gradient = _gradients(net, "0")
    count = gradient.numel() ** 0.5
    assert row["grad_shortcut_rms"] == pytest.approx(gradient.norm().item() / count, rel=1e-5)
    back = nn.functional.conv_transpose2d(gradient, net.get_submodule("0.conv").weight, padding=1)
    assert row["grad_branch_rms"] == pytest.approx(back.norm().item() / count, rel=1e-5)


def test_a_kept_gradient_of_a_container_before_the_first_parameter():
    net = _net(nn.Sequential(nn.ReLU()), nn.Conv2d(3, 3, 1))
    kept = record(net, IMAGES, keep="0:grad")["0:grad"]
    torch.testing.assert_close(kept, _gradients(net, "0"))


@pytest.mark.parametrize("gradients", [True, "activations"])
def test_of_a_convolution_that_reads_the_images_theirs_is_not_computed(gradients: bool | str):
    asked = []

    class Seen(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
            asked.append(True)
            return gradient

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = _net(nn.Conv2d(3, 3, 1))

        def forward(self, x: Tensor) -> Tensor:
            return self.net(Seen.apply(x))  # type: ignore[no-any-return, no-untyped-call]

    table = record(Net(), IMAGES, gradients=gradients).layers  # type: ignore[arg-type]
    assert bool(asked) == (gradients == "activations")
    assert table["grad_norm"].notna().all()
