"""Gradient flow: what it measures, and the published results at initialisation.

Reference values (recording.md section 4), 18 and 54 convolutions, batch of 32 standard normal
images, cross-entropy at random classes: the ratio of the activation gradient's norm, first block
over last. Ours are medians over 2 seeds; half a decade either way is allowed, as the values depend
on width, shortcut option and the distribution of the images.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch
from torch import nn

import resviz as rv
from cases import thorough, thorough_but
from left_as_found import assert_left_as_found, left_as_found
from resviz.analysis.flow import GradientFlow, gradient_flow, load_gradient_flow
from resviz.analysis.gradients import gradient_norms
from resviz.analysis.theory import BATCHNORM_RATE, scaled_shortcuts
from resviz.networks.cifar import cifar_resnet
from resviz.networks.surgery.blocks import drop_blocks
from resviz.networks.surgery.twin import plain_twin, untrained_copy
from resviz.recording.recorder import record

GENERATOR = torch.Generator().manual_seed(0)
IMAGES = torch.randn(16, 3, 32, 32, generator=GENERATOR)
TARGETS = torch.randint(0, 10, (16,), generator=GENERATOR)

PUBLISHED = {  # variant: (options, depth 20, depth 56)
    "plain, BatchNorm": (dict(shortcut="none"), 15.7, 8.9e3),
    "residual, BatchNorm": (dict(shortcut="A"), 4.5, 14.8),
    "pre-activation, BatchNorm": (dict(shortcut="A", preactivation=True), 4.4, 12.5),
    "plain, He": (dict(shortcut="none", norm=False), 0.85, 0.32),
    "residual, He": (dict(shortcut="A", norm=False), 15, 1.2e4),
    "plain, tanh": (
        dict(shortcut="none", norm=False, activation="tanh", init="xavier"),
        0.25,
        0.08,
    ),
}


def first_over_last(blocks) -> float:
    inside = blocks[blocks["stage"] != "stem"]
    ratios = [
        one["grad_norm"].iloc[0] / one["grad_norm"].iloc[-1] for _, one in inside.groupby("seed")
    ]
    return float(np.median(ratios))


@functools.cache
def flow_of(variant: str, depth: int) -> GradientFlow:
    """Two seeds; measured once for all tests that look at it."""
    options = {"depth": depth, **PUBLISHED[variant][0]}
    return gradient_flow({variant: options}, IMAGES, TARGETS, seeds=2)


@pytest.mark.parametrize("variant", thorough_but(PUBLISHED, ["plain, tanh"]))
@pytest.mark.parametrize("depth", [20, thorough(56)])
def test_published_ratios(variant: str, depth: int):
    expected = PUBLISHED[variant][1 + (depth == 56)]
    assert expected / 3.2 < first_over_last(flow_of(variant, depth).blocks) < expected * 3.2


@pytest.mark.thorough
def test_plain_with_batchnorm_explodes_at_the_mean_field_rate():
    """Yang et al. 2019: 1.2112 per layer for wide layers; 16 to 64 channels reach 1.19."""
    variants = {"plain-56": {"depth": 56, "shortcut": "none"}}
    flow = gradient_flow(variants, IMAGES, TARGETS, seeds=3)
    row = flow.growth.iloc[0]
    assert pytest.approx(1.2112, abs=1e-4) == BATCHNORM_RATE
    assert row["per_layer"] == pytest.approx(BATCHNORM_RATE, rel=0.03)
    assert row["low"] <= row["per_layer"] <= row["high"]


@pytest.mark.thorough
def test_running_statistics_flip_the_picture():
    variants = {"plain-56": {"depth": 56, "shortcut": "none"}}
    running = gradient_flow(variants, IMAGES, TARGETS, seeds=2, batch_stats=False)
    assert running.growth["per_layer"].item() < 1
    assert flow_of("plain, BatchNorm", 56).growth["per_layer"].item() > 1.15


@pytest.mark.thorough
def test_residual_grows_less_than_plain():
    plain, residual = (
        flow_of(variant, 56).growth["first_over_last"].item()
        for variant in ("plain, BatchNorm", "residual, BatchNorm")
    )
    assert plain > 100 * residual


@pytest.mark.thorough
def test_sigmoid_vanishes_to_exact_zeros():
    """5e-11 at 18 layers, 1.5e-17 with a residual at 54; exact zeros in float32 from 110 layers."""
    sigmoid = dict(norm=False, activation="sigmoid", init="xavier")
    variants = {
        "plain-20": dict(depth=20, shortcut="none", **sigmoid),
        "residual-56": dict(depth=56, **sigmoid),
        "plain-110": dict(depth=110, shortcut="none", **sigmoid),
    }
    flow = gradient_flow(variants, IMAGES[:4], TARGETS[:4], seeds=1)
    ratio = {name: first_over_last(part) for name, part in flow.blocks.groupby("variant")}
    assert 5e-12 < ratio["plain-20"] < 5e-10
    assert 1e-18 < ratio["residual-56"] < 1e-16
    assert ratio["plain-110"] == 0
    growth = flow.growth.set_index("variant")
    assert growth["zeros"].gt(10).to_dict() == {
        "plain-20": False, "residual-56": False, "plain-110": True
    }  # fmt: skip
    assert 0.2 < growth["per_layer"]["plain-110"] < 0.26  # fitted where it is not 0
    assert "exactly 0 at" in repr(flow)


@pytest.mark.thorough
def test_activations_of_a_residual_network_without_batchnorm_explode():
    """Activation std 8e3 at 54 layers: why Fixup exists."""
    last = flow_of("residual, He", 56).blocks.groupby("seed")["std"].last().median()
    assert 8e2 < last < 8e4


def test_it_is_a_thin_layer_over_record():
    net = cifar_resnet(8, shortcut="B", seed=1)
    flow = assert_left_as_found(
        net, lambda: gradient_flow({"net": net}, IMAGES, TARGETS, batch_stats=False)
    )
    rec = record(net, IMAGES, TARGETS)
    norms = gradient_norms(net, IMAGES, TARGETS)
    for column in ("layer", "depth", "grad_norm", "weight_norm", "projection"):
        assert flow.weights[column].tolist() == norms[column].tolist()
    assert flow.residuals["grad_branch_share"].tolist() == rec.residuals[
        "grad_branch_share"
    ].tolist()  # fmt: skip
    blocks = rec.layers[rec.layers["kind"] == "block"]
    assert flow.blocks["layer"].tolist() == ["relu", *blocks["layer"]]
    assert flow.blocks["grad_rms"].tolist()[1:] == blocks["grad_rms"].tolist()
    assert flow.weights["seed"].unique().tolist() == [0]  # one network has one seed
    assert flow.provenance["seeds"] == []


def test_growth_by_hand():
    """x -> 2x -> 2x ...: each layer doubles the gradient towards the input."""
    net = torch.nn.Sequential(*(torch.nn.Linear(3, 3, bias=False) for _ in range(6)))
    with torch.no_grad():
        for layer in net:
            layer.weight.copy_(2 * torch.eye(3))
    flow = gradient_flow({"doubling": net}, torch.randn(4, 3), [0, 1, 2, 0], "logit")
    row = flow.growth.iloc[0]
    assert row["per_layer"] == pytest.approx(2, rel=1e-6)
    assert row["first_over_last"] == pytest.approx(2**5, rel=1e-6)
    assert row["batch_stats"] is None
    assert float(scaled_shortcuts(2.0)(5)) == 32


class Gated(nn.Module):
    """A residual block with squeeze-and-excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 3, 1), nn.Sigmoid()
        )

    def forward(self, x):
        out = self.conv(x).relu()
        return x + out * self.gate(out)


def test_gates_stand_beside_the_line():
    net = nn.Sequential(*[Gated() for _ in range(3)], nn.Flatten(), nn.Linear(192, 4))
    flow = gradient_flow({"gated": net}, IMAGES[:, :, :8, :8], progress=False)
    gates = flow.weights.loc[flow.weights["gate"], "layer"].tolist()
    assert gates == [f"{block}.gate.{layer}" for block in range(3) for layer in (1, 3)]
    line = rv.plot_gradient_flow(flow, ["weights"]).data
    points = [len(one.x) for one in line if one.mode == "lines+markers"]
    assert points == [4]  # three convolutions and the head


@pytest.mark.thorough
def test_builders_twins_and_steps(use_torch_home):
    import torchvision

    net = torchvision.models.resnet18().eval()
    images = torch.randn(8, 3, 64, 64)
    variants = {
        "plain twin": lambda seed: plain_twin(net, seed=seed, images=images),
        "residual": {0: lambda seed: untrained_copy(net, seed=seed), 5: net},
    }
    flow = gradient_flow(variants, images, seeds=[3, 4])
    runs = [(keys["variant"], keys["step"], len(tables)) for keys, tables in flow.runs()]
    assert runs == [("plain twin", 0, 2), ("residual", 0, 2), ("residual", 5, 1)]
    assert len(flow.residuals) == 8 * 3
    assert flow.provenance["seeds"] == [3, 4] and flow.provenance["loss"] == "logit"


def test_saved_and_loaded(tmp_path):
    flow = gradient_flow({"a": {"depth": 8}, "b": dict(depth=8, norm=False)}, IMAGES, seeds=1)
    flow.save(tmp_path / "flow.resviz")
    again = load_gradient_flow(tmp_path / "flow.resviz")
    for table in ("weights", "blocks", "residuals", "growth"):
        assert getattr(again, table).equals(getattr(flow, table))
    assert [k for k, _ in again.runs()] == [k for k, _ in flow.runs()]
    with pytest.raises(ValueError, match="holds gradient flow; a recording was expected"):
        from resviz.recording.recording import load_recording

        load_recording(tmp_path / "flow.resviz")


def test_steps_that_are_numbers_of_numpy_are_saved(tmp_path):
    networks = {step: cifar_resnet(8, seed=0) for step in np.arange(0, 200, 100)}
    flow = gradient_flow({"a": networks}, IMAGES, batch_stats=False, progress=False)
    flow.save(tmp_path / "flow.resviz")
    again = load_gradient_flow(tmp_path / "flow.resviz")
    assert again.blocks.equals(flow.blocks) and set(again.blocks["step"]) == {0, 100}


@pytest.mark.parametrize(
    ("variants", "options", "error", "message"),
    [
        ({}, {}, ValueError, "no variants"),
        ([cifar_resnet(8)], {}, TypeError, "variants are a list; a dict"),
        ({"a": 5}, {}, TypeError, "variant 'a' is a int; a network"),
        ({8: {}, "8": {}}, {}, ValueError, "gradient_flow: two variants of the same name"),
        ({"a": lambda seed: "net"}, {}, TypeError, "variant 'a' is a str; a network"),
        ({"a": {"dept": 8}}, {}, TypeError, "gradient_flow: variant 'a'.*keyword argument 'dept'"),
        (
            {"a": {"depth": 8}},
            {"batch_stats": "both"},
            TypeError,
            "batch_stats 'b'; True or False",
        ),
        ({"a": {"depth": 9}}, {}, ValueError, "depth 9; depths are 6n"),
        ({"a": {"depth": 8}}, {"seeds": 0}, ValueError, "seeds 0; 1 or more"),
        ({"a": {"depth": 8}}, {"seeds": [0.5]}, TypeError, "seeds 0.5; a whole number"),
        ({"a": {"depth": 8}}, {"batch_stats": ()}, ValueError, "no variants or no BatchNorm mode"),
    ],
)
def test_bad_arguments(variants, options, error, message):
    with pytest.raises(error, match=message):
        gradient_flow(variants, IMAGES, **options)


def test_left_as_found_after_an_interrupt():
    net = cifar_resnet(8, seed=0)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    handle = net.layer2[0].register_forward_hook(stop)
    with left_as_found(net), pytest.raises(KeyboardInterrupt):
        gradient_flow({"net": net}, IMAGES)
    handle.remove()


@pytest.mark.thorough
def test_provenance_says_what_holds_for_all_variants():
    images = torch.randn(8, 3, 32, 32)
    trained, fresh = rv.load_model("cifar10-resnet20", device="cpu"), cifar_resnet(20, seed=0)
    for order in ({"trained": trained, "fresh": fresh}, {"fresh": fresh, "trained": trained}):
        about = gradient_flow(order, images, seeds=1, progress=False).provenance
        assert "untrained" not in about and about["batch_norm"] is True
    about = gradient_flow({"fresh": fresh}, images, seeds=1, progress=False).provenance
    assert about["untrained"] is True


def test_a_function_that_draws_from_the_global_state_is_seeded():
    def drawn(seed: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))

    images = torch.ones(4, 3, 8, 8)
    one, other = (
        gradient_flow({"mine": drawn}, images, seeds=[seed], progress=False).blocks["grad_rms"]
        for seed in (3, 3)
    )
    assert one.equals(other)
    torch.manual_seed(3)
    known = gradient_flow({"mine": drawn(0)}, images, seeds=1, progress=False).blocks["grad_rms"]
    assert one.tolist() == known.tolist()
    state = torch.get_rng_state()
    gradient_flow({"mine": drawn}, images, seeds=2, progress=False)
    assert torch.equal(torch.get_rng_state(), state)


def test_surgery_is_named():
    net = cifar_resnet(14, seed=0)
    with drop_blocks(net, "layer1.1"):
        flow = gradient_flow({"a": net, "b": {"depth": 8}}, IMAGES, seeds=np.arange(1))
    assert flow.provenance["changes"] == ["a without layer1.1"]


class Linear(nn.Module):
    """x + c x, without a nonlinearity: the gradient is finite where the activation is not."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.after = nn.Conv2d(4, 4, 1), nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.after(self.conv(x))


def test_boundaries_that_are_not_finite_are_left_out_of_the_fit():
    torch.manual_seed(0)
    blocks = [Linear() for _ in range(4)]
    net = nn.Sequential(nn.Conv2d(3, 4, 1), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    nn.init.constant_(blocks[2].conv.bias, math.inf)
    flow = gradient_flow({"net": net}, IMAGES, progress=False)
    finite = flow.blocks[np.isfinite(flow.blocks["rms"])]
    assert 2 < len(finite) < len(flow.blocks) and np.isfinite(flow.blocks["grad_rms"]).all()
    slope = np.polyfit(finite["depth"], np.log(finite["grad_rms"]), 1)[0]
    assert flow.growth["per_layer"].item() == pytest.approx(np.exp(-slope), rel=1e-9)


def test_one_seed_whose_gradients_are_zero_takes_nothing_from_the_others():
    def made(seed: int) -> nn.Module:
        net = cifar_resnet(8, seed=seed)
        if seed == 1:
            nn.init.zeros_(net.linear.weight)
        return net

    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    quiet = {"batch_stats": False, "progress": False}
    flow = gradient_flow({"a": made}, images, seeds=[0, 1, 2], **quiet)
    (row,) = flow.growth.to_dict("records")
    (known,) = gradient_flow({"a": made}, images, seeds=[0, 2], **quiet).growth.to_dict("records")
    for column in ("per_layer", "low", "high", "first_over_last"):
        assert row[column] == known[column]
    assert (row["fitted"], row["seeds"]) == (2, 3) and "over 2 of 3 seeds" in repr(flow)


def test_what_is_not_finite_is_counted():
    net = cifar_resnet(14, seed=0)
    with torch.no_grad():
        net.layer2[0].bn2.weight.fill_(float("inf"))
    row = gradient_flow({"a": net}, IMAGES, batch_stats=False).growth.iloc[0]
    assert row["nonfinite"] > 0 and row["boundaries"] == 7
