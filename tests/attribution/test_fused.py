"""Maps that C makes in one pass: those of the formulas, whatever the sizes and the threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from resviz.attribution import cam, fused
from resviz.attribution.fused import fused as fused_maps
from resviz.compiled.library import library
from resviz.networks.cifar import cifar_resnet

FORMULAS = [cam.grad_cam, cam.grad_cam_pp, cam.hires_cam, cam.xgrad_cam, cam.layer_cam]
FIVE = [each.__name__ for each in FORMULAS]
SIZES = [
    *(
        (1, 256, 56, 56),
        (3, 64, 28, 28),
        (2, 2048, 7, 7),
        (1, 3, 1, 1),
        (2, 5, 13),
        (1, 1, 300, 300),
    ),
    *((1, 7, 2, 3, 4), (2, 70, 64, 64)),
]


@pytest.fixture(autouse=True)
def compiler() -> None:
    if library() is None:
        pytest.skip("no C compiler")


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def tensors(sizes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Activations behind a ReLU with dead channels, and a gradient."""
    torch.manual_seed(0)
    activations = torch.randn(sizes).relu()
    activations[:, 2::5] = 0
    return activations, torch.randn(sizes) * 0.01


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_maps_and_norms_are_those_of_the_formulas_in_float64(sizes: tuple[int, ...]):
    activations, gradient = tensors(sizes)
    found = fused_maps(FORMULAS, activations, gradient)
    assert found is not None
    for formula in FORMULAS:
        right = formula(activations.double(), gradient.double())
        off = (found.maps[formula].double() - right).abs().max() / right.abs().max()
        assert off < 3e-6, formula.__name__
    squares = [each.double().flatten(2).square().sum(2) for each in (activations, gradient)]
    torch.testing.assert_close(found.squares, torch.stack(squares, 2), rtol=1e-6, atol=0)


def test_many_channels_are_added_up_as_exactly_as_few():
    activations = torch.full((1, 65536, 2), 0.1)
    found = fused_maps(FORMULAS, activations, torch.full_like(activations, 0.3))
    assert found is not None
    right = 65536 * 0.1 * 0.3
    for formula in (cam.grad_cam, cam.hires_cam, cam.layer_cam):
        assert (found.maps[formula] / right - 1).abs().max() < 3e-5


def test_images_that_do_not_fit_at_once_come_one_after_the_other(monkeypatch: pytest.MonkeyPatch):
    pair = tensors((5, 64, 28, 28))
    at_once = fused_maps(FORMULAS, *pair)
    monkeypatch.setattr("resviz.compiled.class_maps._ROOM", 1)
    in_turn = fused_maps(FORMULAS, *pair)
    assert at_once is not None and in_turn is not None
    assert torch.equal(at_once.squares, in_turn.squares)
    assert all(torch.equal(at_once.maps[each], in_turn.maps[each]) for each in FORMULAS)


def test_where_grad_cam_pp_has_no_meaning_its_terms_are_0():
    activations = torch.tensor([[[[-300.0, 1.0], [2.0, 3.0]], [[-1.0, 1.0], [2.0, 3.0]]]])
    gradient = torch.tensor([[[[0.5, 0.001], [-0.2, 0.0]], [[0.5, 0.1], [-0.2, 0.0]]]])
    found = fused_maps([cam.grad_cam_pp], activations, gradient)
    assert found is not None
    right = cam.grad_cam_pp(activations.double(), gradient.double())
    torch.testing.assert_close(found.maps[cam.grad_cam_pp].double(), right)


def test_threads_change_no_bit(threads: Callable[[int], None]):
    pair, maps = tensors((2, 256, 28, 28)), []
    for number in (1, 2, 5):
        threads(number)
        found = fused_maps(FORMULAS, *pair)
        assert found is not None
        maps.append(torch.stack(list(found.maps.values())))
    assert torch.equal(maps[0], maps[1]) and torch.equal(maps[0], maps[2])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e25])
def test_what_does_not_fit_is_left_to_torch(value: float):
    for number in (0, 1):
        pair = tensors((2, 8, 5, 5))
        pair[number][1, 3, 2, 2] = value
        assert fused_maps(FORMULAS, *pair) is None
    activations, gradient = tensors((2, 8, 5, 5))
    gradient[1] *= 1e-30
    assert fused_maps(FORMULAS, activations, gradient) is None
    assert fused_maps(FORMULAS, activations, gradient[:, :4].contiguous()) is None
    assert fused_maps(FORMULAS, *(each.mT for each in tensors((2, 8, 5, 6)))) is None
    assert fused_maps(FORMULAS, *(each.double() for each in tensors((2, 8, 5, 5)))) is None


@pytest.fixture
def net() -> nn.Module:
    return cifar_resnet(20, seed=0)


def explained(net: nn.Module) -> rv.Explanation:
    torch.manual_seed(0)
    images, methods = torch.rand(2, 3, 32, 32), [*FIVE, "finer_cam", "eigen_grad_cam"]
    return rv.explain(net, images, [[3, 5]] * 2, methods=methods, layers="blocks", relu=False)


def test_an_explanation_is_the_same_without_a_compiler(
    net: nn.Module, monkeypatch: pytest.MonkeyPatch
):
    fast = explained(net)
    monkeypatch.setattr(fused, "class_maps", lambda: None)
    slow = explained(net)
    assert list(fast.maps) == list(slow.maps)
    ways = [each.provenance["class_maps"] for each in (fast, slow)]
    assert ways == ["compiled", "eager"]
    for key, right in slow.maps.items():
        assert (fast.maps[key] - right).abs().max() <= 2e-5 * right.abs().max(), key
    one, other = (each.evidence.select_dtypes("number") for each in (fast, slow))
    torch.testing.assert_close(
        torch.tensor(one.to_numpy(float)),
        torch.tensor(other.to_numpy(float)),
        rtol=1e-5,
        atol=0,
        equal_nan=True,
    )
