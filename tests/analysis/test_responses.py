"""`response_std`: by hand, which output counts as a response, and the published numbers."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from left_as_found import assert_left_as_found, left_as_found
from resviz.analysis.responses import response_std
from resviz.networks.cifar import cifar_resnet

IMAGES = torch.randn(10, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def outputs(net: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """What each module returns, cloned before anybody writes over it."""
    found: dict[str, torch.Tensor] = {}
    handles = [
        module.register_forward_hook(
            lambda _, args, output, path=path: found.setdefault(path, output.detach().clone())
        )
        for path, module in net.named_modules()
        if path and "relu" not in path
    ]
    with torch.no_grad():
        net(images)
    for handle in handles:
        handle.remove()
    return found


def test_by_hand_in_batches():
    net = cifar_resnet(8, seed=0)
    table = assert_left_as_found(net, lambda: response_std(net, IMAGES, batch_size=3))
    right = outputs(net, IMAGES)
    assert table["layer"].tolist()[:3] == ["conv1", "layer1.0.conv1", "layer1.0.conv2"]
    assert table["response"].tolist()[:3] == ["bn1", "layer1.0.bn1", "layer1.0.bn2"]
    assert table["position"].tolist() == table["depth"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    for row in table.itertuples():
        response = right[row.response].double()
        assert row.std == pytest.approx(response.std(correction=0).item(), rel=1e-5)
        assert row.mean == pytest.approx(response.mean().item(), abs=1e-6)
        assert row.shape == tuple(response.shape) and row.kernel == "3x3"
    order = table.sort_values("rank")["std"].to_numpy()
    assert sorted(table["rank"]) == [1, 2, 3, 4, 5, 6, 7] and (np.diff(order) <= 0).all()


def test_batch_statistics():
    net = cifar_resnet(8, seed=0)
    table = assert_left_as_found(net, lambda: response_std(net, IMAGES, True))
    np.testing.assert_allclose(table["std"], 1.0, rtol=1e-3)  # what BatchNorm is for
    assert table.attrs["batch_stats"] is True and table.attrs["images"] == 10


def test_pre_activation_has_no_norm_after_its_second_convolution():
    net = cifar_resnet(8, preactivation=True, seed=0)
    table = response_std(net, IMAGES).set_index("layer")
    assert table.loc["conv1", "response"] == "layer1.0.bn1"  # takes it as it is
    assert table.loc["layer1.0.conv1", "response"] == "layer1.0.bn2"
    assert table.loc["layer1.0.conv2", "response"] == "layer1.0.conv2"  # then comes the addition
    assert table.loc["layer1.0.conv2", "type"] == "Conv2d"
    right = outputs(net, IMAGES)["layer3.0.conv2"].double().std(correction=0).item()
    assert table.loc["layer3.0.conv2", "std"] == pytest.approx(right, rel=1e-5)


class Written(nn.Module):
    """A convolution whose output is written over before a BatchNorm takes it."""

    def __init__(self, write: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.conv, self.bn, self.write = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), write

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.write(self.conv(x))).mean((2, 3))


@pytest.mark.parametrize("write", [torch.relu_, lambda out: out.add_(1)])
def test_what_was_written_over_is_not_the_convolutions_output(write: Callable[..., torch.Tensor]):
    net = Written(write).eval()
    table = response_std(net, IMAGES)
    assert table["response"].tolist() == ["conv"]
    right = net.conv(IMAGES).std(correction=0).item()
    assert table["std"].item() == pytest.approx(right, rel=1e-5)


def test_without_norm_the_convolution_is_the_response():
    table = response_std(cifar_resnet(8, norm=False, seed=0), IMAGES)
    assert (table["response"] == table["layer"]).all() and set(table["type"]) == {"Conv2d"}


def test_projections_are_left_out():
    table = response_std(cifar_resnet(14, shortcut="B", seed=0), IMAGES)
    assert len(table) == 13 and not table["layer"].str.contains("shortcut").any()


def test_weights_that_are_computed_make_no_difference():
    """The same convolutions under weight_norm, projections among them."""
    net = cifar_resnet(14, shortcut="B", seed=0)
    right = response_std(net, IMAGES)
    for module in [each for each in net.modules() if isinstance(each, nn.Conv2d)]:
        weight_norm(module)
    found = assert_left_as_found(net, lambda: response_std(net, IMAGES))
    same = ["layer", "response", "depth", "stage", "kernel", "shape"]
    assert found[same].equals(right[same])
    np.testing.assert_allclose(found["std"], right["std"], rtol=1e-4)


def test_a_convolution_that_runs_twice_has_two_rows():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(self.conv(x)).mean((2, 3))

    net = Twice()
    table = response_std(net, IMAGES, batch_size=4)
    assert table["call"].tolist() == [0, 1] and table["layer"].tolist() == ["conv", "conv"]
    once = net.conv(IMAGES)
    right = [once.std(correction=0).item(), net.conv(once).std(correction=0).item()]
    assert table["std"].tolist() == pytest.approx(right, rel=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "layers", "median", "mean"),
    [
        ("resnet20", 19, 0.69, None),
        ("resnet56", 55, 0.44, None),
        ("resnet56_projection", 55, 0.165, 0.173),
        ("plain56", 55, 0.152, 0.435),
    ],
)
def test_published(
    testdata_module: ModuleType, name: str, layers: int, median: float, mean: float | None
):
    """On the first 64 test images, within 3 per cent: of 0.69 as published 0.02."""
    net, look = testdata_module.cifar_net(name)
    images, _, _ = testdata_module.cifar_images("test")
    table = response_std(net, look(images[:64]), progress=False)
    assert len(table) == layers and set(table["type"]) == {"BatchNorm2d"}
    assert table["std"].median() == pytest.approx(median, rel=0.03)
    if mean is not None:
        assert table["std"].mean() == pytest.approx(mean, rel=0.03)


def test_it_refuses():
    net = cifar_resnet(8, seed=0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    cases = [
        (lambda: response_std(linear, IMAGES), ValueError, "no convolution ran in Sequential"),
        (lambda: response_std(net, IMAGES, batch_size=-1), ValueError, "batch_size -1; 1 or more"),
        (lambda: response_std(net, [1, 2]), TypeError, "images are a int"),
        (lambda: response_std("resnet", IMAGES), TypeError, "a network of type str"),
    ]
    for action, error, words in cases:
        with pytest.raises(error, match=f"response_std: {words}"), left_as_found(net):
            action()


def test_left_as_found_after_an_interrupt():
    net = cifar_resnet(8, seed=0)
    seen = []

    def stop(module: nn.Module, args: object) -> None:
        seen.append(1)
        if len(seen) == 4:
            raise KeyboardInterrupt

    handle = net.layer2.register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt), left_as_found(net):
        response_std(net, IMAGES, batch_size=2)
    handle.remove()
