"""The figure of gradient flow: lines, modes, zeros, theory, words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from resviz.analysis.flow import GradientFlow, gradient_flow
from resviz.analysis.theory import (
    BATCHNORM_EXPLOSION,
    BATCHNORM_RATE,
    VARIANCE_SHARE,
    scaled_shortcuts,
)
from resviz.views.figures.gradient_flow import plot_gradient_flow

IMAGES = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
SIGMOID = dict(norm=False, activation="sigmoid", init="xavier")


@pytest.fixture(scope="module")
def flow() -> GradientFlow:
    variants = {
        "plain <20>": {"depth": 20, "shortcut": "none"},
        "ResNet-20": {"depth": 20, "shortcut": "B"},
    }
    return gradient_flow(variants, IMAGES, seeds=2, batch_stats=(True, False), data="noise")


def test_one_line_per_variant_and_mode_in_every_panel(flow: GradientFlow):
    fig = plot_gradient_flow(flow)
    lines = [t for t in fig.data if t.line.width == 2]
    assert len(lines) == 4 * 3
    assert [t.line.dash for t in lines[:4]] == ["solid", "dash", "solid", "dash"]
    assert lines[0].line.color == lines[1].line.color != lines[2].line.color
    median = flow.blocks.query("variant == 'ResNet-20' and batch_stats == True")
    median = median.groupby("depth")["grad_rms"].median()
    assert np.allclose(lines[2].y, median)
    assert sum(t.showlegend is not False for t in fig.data) == 4  # projections are in a later panel


def test_title_and_words(flow: GradientFlow):
    fig = plot_gradient_flow(flow, title="a < b")
    title = fig.layout.title.text
    assert title.startswith("a &lt; b<br>")
    for part in ("noise", "loss: logit", "8 images", "2 seeds", "summed over the images"):
        assert part in title
    words = fig.layout.annotations[0].text
    assert "plain &lt;20&gt; (batch statistics): × 1.1" in words
    assert "per layer towards the input" in words and "(running statistics)" in words


def test_theory_goes_through_the_middle_point(flow: GradientFlow):
    fig = plot_gradient_flow(flow, theory={"plain <20>": BATCHNORM_EXPLOSION})
    (law,) = [t for t in fig.data if (t.name or "").startswith("theory")]
    line = next(t for t in fig.data if t.line.width == 2)
    assert law.y[5] == pytest.approx(line.y[5]) and len(law.y) == 10
    assert law.y[-2] / law.y[-1] == pytest.approx(BATCHNORM_RATE**2)
    assert "1902.08129" in law.hovertemplate


@pytest.mark.thorough
def test_exact_zeros_stand_in_a_strip():
    variants = {"sigmoid": dict(depth=110, shortcut="none", **SIGMOID)}
    flow = gradient_flow(variants, IMAGES[:2], [0, 1], seeds=1)
    fig = plot_gradient_flow(flow, ["gradients"])
    zeros = [t for t in fig.data if "exactly 0" in (t.name or "")]
    count = int((flow.blocks["grad_rms"] == 0).sum())
    assert count > 10 and len(zeros) == 1 and len(zeros[0].x) == count
    assert "BatchNorm" not in fig.layout.title.text


def test_residual_panels(flow: GradientFlow):
    fig = plot_gradient_flow(flow, ["ratio", "share"])
    assert {t.name.partition("<br>")[0] for t in fig.data if t.line.width == 2} == {"ResNet-20"}


@pytest.mark.thorough
def test_a_line_that_the_first_panel_lacks_is_named_in_a_later_one(flow: GradientFlow):
    fig = plot_gradient_flow(flow, panels=["ratio", "gradients"])
    named = [t.name for t in fig.data if t.line.width == 2 and t.showlegend is not False]
    assert len(named) == len(set(named)) == 4
    assert sum(name.startswith("plain") for name in named) == 2


def test_a_picture_without_a_kernel(flow: GradientFlow):
    bundle = plot_gradient_flow(flow)._repr_mimebundle_()
    assert bundle["image/png"] and "Gradients and activations" in bundle["text/plain"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"panels": ["loss"]}, ValueError, "panels .'loss'.; known: weights, gradients"),
        ({"panels": "weights"}, ValueError, "panels 'weights'; known"),
        ({"panels": []}, ValueError, "known: "),
        ({"theory": {"plain": BATCHNORM_EXPLOSION}}, ValueError, "theory for 'plain'.*closest"),
    ],
)
def test_bad_arguments(flow: GradientFlow, options, error, message):
    with pytest.raises(error, match=message):
        plot_gradient_flow(flow, **options)
    with pytest.raises(TypeError, match="a DataFrame; a GradientFlow"):
        plot_gradient_flow(flow.blocks)


def test_laws_that_count_blocks_and_laws_of_something_else(flow: GradientFlow):
    fig = plot_gradient_flow(flow, theory={"ResNet-20": scaled_shortcuts(0.5)})
    (law,) = [t for t in fig.data if (t.name or "").startswith("theory")]
    assert law.y[4] / law.y[5] == pytest.approx(0.5)  # one block, two layers
    with pytest.raises(ValueError, match="1/l is a law of the share"):
        plot_gradient_flow(flow, theory={"ResNet-20": VARIANCE_SHARE})
    with pytest.raises(ValueError, match="theory for the panel 'weights'"):
        plot_gradient_flow(flow, ["weights"], theory={"ResNet-20": scaled_shortcuts(0.5)})
    with pytest.raises(TypeError, match="theory for 'ResNet-20' is a float"):
        plot_gradient_flow(flow, theory={"ResNet-20": 1.2})


def test_no_residual_rows():
    flow = gradient_flow({"plain": {"depth": 8, "shortcut": "none"}}, IMAGES, seeds=1)
    with pytest.raises(ValueError, match="no residual additions in these networks"):
        plot_gradient_flow(flow, ["share"])
