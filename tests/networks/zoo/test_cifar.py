"""`cifar_resnet`: the paper's family, built every way, and the published weights in it."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from cases import thorough
from left_as_found import bytes_of
from resviz.networks.cifar import ACTIVATIONS, INITS, ZeroPadShortcut, cifar_resnet

# name in the test data: file, depth, shortcut, published accuracy in percent, parameters
PUBLISHED = {
    "resnet20": ("resnet20-12fca82f.th", 20, "A", 91.73, 269_722),
    "resnet32": ("resnet32-d509ac18.th", 32, "A", 92.63, 464_154),
    "resnet56": ("resnet56-4bfd9763.th", 56, "A", 93.39, 853_018),
    "resnet56_projection": ("cifar10_resnet56_projection_li2018.t7", 56, "B", 93.66, 855_770),
    "plain56": ("cifar10_plain56_noshort_li2018.t7", 56, "none", 86.69, 853_018),
}


def count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def weighted_layers(net: nn.Module) -> list[str]:
    return [n for n, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """For many small networks, where several threads mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.thorough
@pytest.mark.usefixtures("one_thread")
def test_every_combination_builds_and_runs() -> None:
    """All structures with all activations; each init meets each of both."""
    images = torch.randn(1, 3, 8, 8)
    structures = itertools.product(("A", "B", "C", "none"), (True, False), (True, False))
    combinations = itertools.product(enumerate(structures), enumerate(ACTIVATIONS))
    for (i, (shortcut, norm, preactivation)), (j, activation) in combinations:
        init = list(INITS)[(i + j) % len(INITS)]
        options: dict[str, Any] = {"shortcut": shortcut, "norm": norm, "init": init}
        options |= {"preactivation": preactivation, "activation": activation, "classes": 7}
        net = cifar_resnet(8, **options, seed=0)
        assert not net.training and all(not module.training for module in net.modules())
        with torch.inference_mode():
            logits = net(images)
        assert logits.shape == (1, 7) and logits.isfinite().all(), options
        norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
        assert bool(norms) == norm
        convolutions = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
        if not preactivation:  # a projection of a pre-activation network has no norm after it
            assert all((m.bias is None) == norm for m in convolutions)


@pytest.mark.parametrize("depth", [20, thorough(56)])
def test_deeper_ones_run(depth: int) -> None:
    images = torch.randn(1, 3, 32, 32)
    for shortcut, preactivation in itertools.product(("A", "B", "C", "none"), (True, False)):
        net = cifar_resnet(depth, shortcut=shortcut, preactivation=preactivation, seed=0)
        projections = [name for name in weighted_layers(net) if "shortcut" in name]
        assert len(weighted_layers(net)) - len(projections) == depth
        expected = {"A": 0, "B": 2, "C": (depth - 2) // 2, "none": 0}[shortcut]
        assert len(projections) == expected
        with torch.inference_mode():
            assert net(images).isfinite().all()


@pytest.mark.parametrize("depth", [110, thorough(1202)])
def test_the_deepest_can_be_built(depth: int) -> None:
    net = cifar_resnet(depth, init="torch", seed=0)
    assert len(weighted_layers(net)) == depth
    assert [len(getattr(net, f"layer{n}")) for n in (1, 2, 3)] == [(depth - 2) // 6] * 3
    assert round(count(net) / 1e6, 1) == {110: 1.7, 1202: 19.4}[depth]  # table 6 of the paper


@pytest.mark.parametrize(
    ("depth", "shortcut", "parameters"),
    [(depth, shortcut, n) for _, depth, shortcut, _, n in PUBLISHED.values()]
    + [(44, "A", 658_586), (20, "none", 269_722), (20, "B", 272_474)],
)
def test_parameters_are_those_of_the_paper(depth: int, shortcut: str, parameters: int) -> None:
    assert count(cifar_resnet(depth, shortcut=shortcut)) == parameters


def test_the_maps_halve_and_the_channels_double() -> None:
    net = cifar_resnet(20)
    x = net.relu(net.bn1(net.conv1(torch.randn(1, 3, 32, 32))))
    for stage, shape in ((net.layer1, (16, 32)), (net.layer2, (32, 16)), (net.layer3, (64, 8))):
        x = stage(x)
        assert x.shape == (1, shape[0], shape[1], shape[1])


def test_zero_padding_by_hand() -> None:
    x = torch.arange(32.0).view(1, 2, 4, 4)
    out = ZeroPadShortcut(3, 2)(x)
    assert out.shape == (1, 5, 2, 2)
    assert out[0, [0, 3, 4]].count_nonzero() == 0
    assert out[0, 1].tolist() == [[0, 2], [8, 10]] and out[0, 2].tolist() == [[16, 18], [24, 26]]


@pytest.mark.parametrize("preactivation", [False, True])
def test_a_silent_branch_leaves_the_shortcut(preactivation: bool) -> None:
    net = cifar_resnet(8, preactivation=preactivation, seed=0)
    block = net.layer1[0]
    nn.init.zeros_(block.conv2.weight)
    x = torch.randn(2, 16, 32, 32)
    with torch.no_grad():
        assert torch.equal(block(x), x if preactivation else x.relu())
        plain = cifar_resnet(8, shortcut="none", preactivation=preactivation, seed=0).layer1[0]
        nn.init.zeros_(plain.conv2.weight)
        assert plain(x).count_nonzero() == 0


def test_the_seed_decides_and_nothing_else_moves() -> None:
    before = torch.get_rng_state()
    nets = [cifar_resnet(8, seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(torch.get_rng_state(), before)
    first, again, other = ([bytes_of(p) for p in net.parameters()] for net in nets)
    assert first == again and first != other
    torch.manual_seed(5)
    unseeded = cifar_resnet(8)
    assert not torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    assert torch.equal(unseeded.conv1.weight, cifar_resnet(8).conv1.weight)


def test_he_init_has_the_papers_spread() -> None:
    net = cifar_resnet(20, norm=False, seed=0)
    weight = net.layer3[1].conv1.weight  # 64 * 9 inputs
    assert weight.std().item() == pytest.approx((2 / 576) ** 0.5, rel=0.02)
    biases = [m.bias for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert all(bias is not None and bias.count_nonzero() == 0 for bias in biases)


def test_functions_as_activation_and_init() -> None:
    net = cifar_resnet(8, activation=lambda: nn.LeakyReLU(0.3), init=nn.init.ones_)
    assert isinstance(net.layer2[0].relu, nn.LeakyReLU)
    assert (net.layer2[0].conv1.weight == 1).all() and (net.linear.weight == 1).all()


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"depth": 21}, r"depth 21; depths are 6n\+2\. The nearest is 20"),
        ({"depth": 2}, "depth 2; .*nearest is 8"),
        ({"depth": -4}, "depth -4; .*nearest is 8"),
        ({"shortcut": "D"}, "shortcut 'D'; one of A, B, C, none"),
        ({"activation": "swish"}, "activation 'swish'; one of relu, "),
        ({"init": "zeros"}, "init 'zeros'; one of he, "),
        ({"classes": 0}, "classes 0; "),
        ({"classes": -3}, "classes -3; "),
    ],
    ids=str,
)
def test_options_that_cannot_be_right(options: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=f"^cifar_resnet: {what}"):
        cifar_resnet(**options)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"depth": "20"}, "depth '20'"),
        ({"depth": 20.0}, "depth 20.0"),
        ({"classes": 2.0}, "classes"),
        ({"seed": 1.5}, "seed 1.5"),
    ],
    ids=str,
)
def test_options_of_the_wrong_type(options: dict[str, Any], what: str) -> None:
    with pytest.raises(TypeError, match=f"^cifar_resnet: {what}.*; a whole number"):
        cifar_resnet(**options)


def test_numpys_whole_numbers_are_whole_numbers() -> None:
    net = cifar_resnet(np.int64(8), classes=np.int32(3), seed=np.int64(1))  # type: ignore[arg-type]
    assert bytes_of(net.linear.weight) == bytes_of(cifar_resnet(8, classes=3, seed=1).linear.weight)


# --- published weights


@pytest.fixture(scope="module")
def lossless(testdata_module: ModuleType) -> tuple[Any, Tensor]:
    images, labels, _ = testdata_module.cifar_images("test")
    return images, torch.from_numpy(labels)


@pytest.mark.parametrize("name", PUBLISHED)
def test_keys_and_numbers_of_the_published_code(name: str, testdata_module: ModuleType) -> None:
    _, depth, shortcut, _, _ = PUBLISHED[name]
    theirs, _ = testdata_module.cifar_net(name)
    ours = cifar_resnet(depth, shortcut=shortcut)
    state = theirs.state_dict()
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict(state)
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-5, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_accuracy(
    name: str,
    testdata: pathlib.Path,
    testdata_module: ModuleType,
    lossless: tuple[Any, Tensor],
) -> None:
    file, depth, shortcut, published, _ = PUBLISHED[name]
    _, _, _, (mean, std), _ = testdata_module.CIFAR[name]
    images, labels = lossless
    kind = f"plain{depth}" if shortcut == "none" else f"resnet{depth}-{shortcut}"
    preset = rv.Preset(f"cifar10-{kind}", file, mean, std, resize=32, crop=32)
    path = testdata / "weights" / file
    net = rv.load_model(f"cifar10-{kind}", path, preset=preset, device="cpu")
    assert rv.preset_of(net).weights == file
    with torch.inference_mode():
        right = net(rv.load_images(images, net)).argmax(1) == labels
    accuracy = 100 * right.double().mean().item()
    standard_error = (published * (100 - published) / len(labels)) ** 0.5
    assert abs(accuracy - published) <= 2 * standard_error, (accuracy, published)
