"""A method is a function and one row: what the table says of it, and rows put in from outside."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from resviz.arguments import public_as
from resviz.attribution.layer import Layer
from resviz.attribution.methods.method import (
    ACTIVATIONS,
    GRADIENTS,
    MASKED_LAYER,
    MASKED_PIXELS,
    Form,
    Method,
)
from resviz.attribution.methods.options import Option, count, number, seed, share, size
from resviz.attribution.methods.registry import METHODS
from resviz.attribution.scoring import Scorer
from resviz.attribution.shared_pass import SharedPass
from resviz.attribution.targets import Targets
from resviz.networks.zoo.cifar import cifar_resnet


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return cifar_resnet(8, seed=0)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def power_cam(activations: Tensor, gradients: Tensor, *, power: float = 1.0) -> Tensor:
    """sum_k |g_k|^p A_k: nobody, 2026."""
    return (gradients.abs() ** power * activations).sum(1)


def mean_activation(activations: Tensor, _: Tensor) -> Tensor:
    """mean_k A_k: nobody, 2026."""
    return activations.mean(1)


def brightness(scorer: Scorer, image: int, *, scale: float = 2.0) -> Tensor:
    """The picture itself: nobody, 2026."""
    picture = scorer.inputs[0][image].mean(0) * scale
    return picture.expand(scorer.targets.columns, *picture.shape)


def scored(shared: SharedPass, layer: Layer) -> Tensor:
    """The score everywhere: nobody, 2026."""
    grid = shared.activations(layer).shape[2:]
    return shared.seen.scores[:, : shared.columns, None, None].expand(-1, -1, *grid)


def row(function: Any, form: Form, at: str = "layer", **more: Any) -> Method:
    return Method(function, form, at, "none", "Nobody 2026", "https://example.org", **more)


def test_a_row_is_all_that_a_method_needs(
    net: nn.Module, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        METHODS, "power_cam", row(power_cam, GRADIENTS, options={"power": number(1.0)})
    )
    options = {"power_cam": {"power": 2}}
    exp = rv.explain(net, images, [[0, 4], [1, 3]], methods=["power_cam"], options=options)
    (maps,) = exp.maps.values()
    assert maps.shape == (2, 2, 8, 8)
    assert exp.provenance["options"] == options
    assert exp.provenance["methods"] == ["power_cam"]

    figure = rv.plot_explanation(exp)
    assert "power_cam" in figure.layout.title.text + str(figure.layout.annotations)
    known = rv.explanation_methods().set_index("method").loc["power_cam"]
    assert known["definition"] == "sum_k |g_k|^p A_k"
    assert (known["options"], known["at"], known["paper"]) == ("power=1.0", "layer", "Nobody 2026")
    table = rv.faithfulness(net, images, exp, checks=["randomisation"], progress=False)
    assert table["randomised"].notna().all()
    with pytest.raises(TypeError, match="power of power_cam 'a'; a number"):
        rv.explain(net, images, methods="power_cam", options={"power_cam": {"power": "a"}})


def test_a_formula_gets_what_the_pass_saw(
    net: nn.Module, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sign of its gradients makes hires_cam of it; alone and beside others."""
    signed = row(lambda a, g: power_cam(a, g) - (g.abs() - g).mul(a).sum(1), GRADIENTS, signed=True)
    monkeypatch.setitem(METHODS, "again", signed)
    alone = rv.explain(net, images, 3, methods="again", layers="layer3")
    several = ["grad_cam", "again", "finer_cam", "hires_cam", "guided_grad_cam"]
    beside = rv.explain(net, images, 3, methods=several, layers="layer3", relu=False)
    maps = alone.maps["again", "layer3"]
    assert maps.min() < 0
    torch.testing.assert_close(maps, beside.maps["again", "layer3"], rtol=0, atol=0)
    torch.testing.assert_close(maps, beside.maps["hires_cam", "layer3"])


def test_rows_of_the_other_forms(
    net: nn.Module, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "mean", row(mean_activation, ACTIVATIONS))
    scale = {"scale": number(2.0)}
    pixels = row(brightness, MASKED_PIXELS, "input", signed=True, options=scale)
    monkeypatch.setitem(METHODS, "brightness", pixels)
    monkeypatch.setitem(METHODS, "scored", row(scored, MASKED_LAYER, signed=True))
    exp = rv.explain(
        net, images, [[0, 4], [1, 3]], methods=["mean", "brightness", "scored"], layers="layer3"
    )
    assert list(exp.maps) == [("mean", "layer3"), ("brightness", "input"), ("scored", "layer3")]
    brighter = exp.maps["brightness", "input"]
    torch.testing.assert_close(brighter, (2 * images.mean(1))[:, None].expand(-1, 2, -1, -1))
    assert torch.equal(exp.maps["scored", "layer3"][:, :, 0, 0], exp.scores)
    mean = exp.maps["mean", "layer3"]
    assert torch.equal(mean[:, 0], mean[:, 1])
    with pytest.raises(ValueError, match="batch_stats=True with brightness"):
        rv.explain(net, images, methods="brightness", batch_stats=True)


def test_a_contrast_of_its_own(
    net: nn.Module, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside Finer-CAM's: each gets the gradients of its own scores."""

    def twice(targets: Targets, output: Any, *, times: float) -> Targets:
        new = Targets([rv.target(3) * times] * targets.count, targets.count, targets.output)
        new.resolve(output)
        return new

    more = {"options": {"times": number(2.0)}, "contrast": twice, "signed": True}
    monkeypatch.setitem(METHODS, "twice", row(METHODS["grad_cam"].function, GRADIENTS, **more))
    methods = ["finer_cam", "twice", "grad_cam"]
    exp = rv.explain(net, images, 3, methods=methods, layers="layer3", relu=False)
    alone = rv.explain(net, images, 3, methods="finer_cam", layers="layer3", relu=False)
    grad_cam = exp.maps["grad_cam", "layer3"]
    torch.testing.assert_close(exp.maps["twice", "layer3"], 2 * grad_cam)
    torch.testing.assert_close(exp.maps["finer_cam", "layer3"], alone.maps["finer_cam", "layer3"])
    assert not torch.allclose(exp.maps["finer_cam", "layer3"], grad_cam)


def test_a_method_of_positive_gradients_says_so(
    net: nn.Module, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for positive, words in (
        (True, "positive gradients alone count here"),
        (False, "relu=False shows that"),
    ):
        nothing = row(lambda a, g: -g.abs().sum(1), GRADIENTS, positive=positive)
        monkeypatch.setitem(METHODS, "nothing", nothing)
        with pytest.warns(rv.ResvizWarning, match=words):
            rv.explain(net, images, 3, methods="nothing", layers="layer3")


@pytest.mark.parametrize(
    ("option", "right", "wrong"),
    [
        (count(3), (1, 10**9), (0, -1, True, 1.0, "1", None)),
        (count(None), (1, None), (0, False, "x")),
        (seed(0), (0, -5, 7, 2**64 - 1), (True, 1.5, None, "0", 2**64)),
        (number(0.5), (0, -1.5, 3), (True, "1", None)),
        (size(0.1), (0, 0.0, 2.5), (-0.1, float("nan"), True, None)),
        (share(0.5), (1e-9, 1, 0.5), (0, 0.0, 1.1, True, float("nan"), None)),
    ],
    ids=["count", "count_or_none", "seed", "number", "size", "share"],
)
def test_options_check_their_values(
    option: Option, right: tuple[Any, ...], wrong: tuple[Any, ...]
) -> None:
    for value in (option.default, *right):
        assert option.read("name of method", value) == value
    read = public_as("explain")(option.read)
    for value in wrong:
        said = "nan" if value != value else repr(value)
        with pytest.raises((TypeError, ValueError), match=f"^explain: name of method {said}; "):
            read("name of method", value)


@pytest.mark.parametrize("name", METHODS)
def test_defaults_are_right_and_the_function_knows_them(name: str) -> None:
    method = METHODS[name]
    assert method.definition
    taking = method.contrast or method.function
    known = inspect.signature(taking).parameters
    for option, each in method.options.items():
        assert each.read(option, each.default) == each.default
        assert known[option].default in (each.default, inspect.Parameter.empty)
