"""A batch against its images one by one: exact claims in float64, 1e-5 in float32.

Activation gradients are of the losses summed over images, so that an image's part does not depend
on who else is in the batch; parameter gradients are of their mean.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from cases import thorough, thorough_but
from resviz.networks.cifar import cifar_resnet
from resviz.recording.recorder import record
from resviz.recording.recording import Recording

PARTS = ("branch", "shortcut", "sum", "grad_branch", "grad_shortcut", "grad_sum")
SHORTCUTS = ("A", "B", "C")


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def setting(dtype: torch.dtype, shortcut: str = "B", **options) -> tuple[nn.Module, Tensor]:
    net = cifar_resnet(14, shortcut=shortcut, seed=0, **options).to(dtype)
    source = torch.Generator().manual_seed(7)
    return net, torch.randn(5, 3, 16, 16, generator=source).to(dtype)


def recordings(
    net: nn.Module, images: Tensor, targets: Tensor | None = None
) -> tuple[Recording, list[Recording]]:
    blocks = [name for name, module in net.named_modules() if hasattr(module, "conv2")]
    keep = ["blocks", "linear:grad", *(f"{b}:grad" for b in blocks)]
    keep += [f"{b}.add:{p}" for b in blocks for p in PARTS]
    whole = record(net, images, targets, keep=keep)
    singles = [
        record(net, images[i : i + 1], None if targets is None else targets[i : i + 1], keep=keep)
        for i in range(len(images))
    ]
    return whole, singles


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), thorough(torch.float32, 1e-5)], ids=str
)
@pytest.mark.parametrize("shortcut", thorough_but(SHORTCUTS, "B"))
def test_kept_tensors_and_gradients_of_an_image_do_not_depend_on_its_batch(
    dtype: torch.dtype, tolerance: float, shortcut: str
):
    net, images = setting(dtype, shortcut)
    whole, singles = recordings(net, images)
    for key in whole.keys():  # noqa: SIM118
        joined = torch.cat([single[key] for single in singles])
        rms = whole[key].double().square().mean().sqrt()
        assert ((whole[key] - joined).abs().max() / rms).item() <= tolerance, key


@pytest.mark.parametrize(
    "targets", [thorough(None), torch.tensor([0, 3, 9, 3, 1])], ids=["logit", "given"]
)
def test_columns_of_the_batch_are_made_of_those_of_its_images(targets: Tensor | None):
    net, images = setting(torch.float64)
    whole, singles = recordings(net, images, targets)

    def squares(table: str, column: str) -> list[float]:
        return sum(getattr(s, table)[column] ** 2 for s in singles)

    for column in ("norm", "grad_norm"):
        joined = squares("layers", column).pow(0.5)
        assert joined.tolist() == pytest.approx(whole.layers[column].tolist(), rel=1e-12)
    mean = sum(s.layers["mean"] for s in singles) / len(images)
    scale = whole.layers["rms"].tolist()
    for got, right, unit in zip(whole.layers["mean"], mean, scale, strict=True):
        assert abs(got - right) <= 1e-12 * unit
    low = torch.tensor([s.layers["min"].tolist() for s in singles]).min(0).values
    assert low.tolist() == pytest.approx(whole.layers["min"].tolist(), rel=1e-6)
    zeros = sum(s.layers["zero_fraction"] for s in singles) / len(images)
    assert zeros.tolist() == pytest.approx(whole.layers["zero_fraction"].tolist(), abs=1e-12)
    for part in ("branch", "shortcut", "sum", "grad_sum", "grad_branch", "grad_shortcut"):
        joined = (squares("residuals", f"{part}_rms") / len(images)).pow(0.5)
        right = whole.residuals[f"{part}_rms"].tolist()
        assert joined.tolist() == pytest.approx(right, rel=1e-12), part
    assert torch.allclose(whole.loss, torch.cat([s.loss for s in singles]), rtol=1e-6)
    assert torch.equal(whole.targets, torch.cat([s.targets for s in singles]))


def test_parameter_gradients_are_the_mean_over_images():
    net, images = setting(torch.float64)
    rec = record(net, images)
    losses = net(images).max(1).values
    named = list(net.named_parameters())
    singles = [
        torch.autograd.grad(loss, [p for _, p in named], retain_graph=True) for loss in losses
    ]
    for index, row in enumerate(rec.parameters.itertuples()):
        mean = sum(grads[index] for grads in singles) / len(images)
        assert row.parameter == named[index][0]
        assert row.grad_norm == pytest.approx(mean.norm().item(), rel=1e-12)


def test_one_image_twice_doubles_the_sum_and_leaves_the_mean():
    net, images = setting(torch.float64)
    one, two = record(net, images[:1]), record(net, images[[0, 0]])
    assert two.parameters["grad_norm"].tolist() == pytest.approx(
        one.parameters["grad_norm"].tolist(), rel=1e-12
    )
    right = (one.layers["grad_norm"] * math.sqrt(2)).tolist()
    assert two.layers["grad_norm"].tolist() == pytest.approx(right, rel=1e-12)
    assert two.layers["grad_rms"].tolist() == pytest.approx(
        one.layers["grad_rms"].tolist(), rel=1e-12
    )


@pytest.mark.parametrize("shortcut", SHORTCUTS)
@pytest.mark.parametrize("preactivation", [False, True])
def test_parts_of_the_gradient_sum_to_the_gradient_of_the_input(shortcut: str, preactivation: bool):
    net, images = setting(torch.float64, shortcut, preactivation=preactivation)
    keep = [f"{b}.add:grad_{p}" for b in ("layer1.1", "layer2.1") for p in ("branch", "shortcut")]
    rec = record(net, images, keep=[*keep, "layer1.0:grad", "layer2.0:grad"])
    for block, before in (("layer1.1", "layer1.0"), ("layer2.1", "layer2.0")):
        whole = rec[f"{before}:grad"]
        total = rec[f"{block}.add:grad_branch"] + rec[f"{block}.add:grad_shortcut"]
        assert ((total - whole).abs().max() / whole.abs().max()).item() <= 1e-14


@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
@pytest.mark.parametrize("preactivation", [False, True])
def test_kinds_of_the_cifar_family(shortcut: str, preactivation: bool):
    net, images = setting(torch.float32, shortcut, preactivation=preactivation)
    rec = record(net, images)
    counts = rec.residuals["kind"].value_counts().to_dict()
    assert (
        counts
        == {
            "A": {"identity": 4, "padded": 2},
            "B": {"identity": 4, "projection": 2},
            "C": {"projection": 6},
            "none": {},
        }[shortcut]
    )
    assert int(rec.layers["depth"].max()) == 14
    if shortcut != "none":
        assert rec.residuals.filter(like="grad_").notna().all(axis=None)


def test_gradients_that_vanish_are_numbers_until_they_are_zero():
    """54 sigmoid layers without BatchNorm: far below 1e-23, where float32 squares are zero."""
    net = cifar_resnet(56, shortcut="none", norm=False, activation="sigmoid", init="xavier", seed=0)
    images = torch.randn(2, 3, 32, 32)
    rec = record(net, images)
    weights = rec.parameters.query("weighted")["parameter"]
    losses = net(images).max(1).values.mean()
    grads = torch.autograd.grad(losses, [net.get_parameter(p) for p in weights])
    right = [g.double().norm().item() for g in grads]
    got = rec.parameters.query("weighted")["grad_norm"].tolist()
    assert got == pytest.approx(right, rel=1e-4, abs=0)
    assert any(0 < value < 1e-24 for value in got)


@pytest.mark.thorough
def test_half_precision_is_accumulated_in_float32():
    net, images = setting(torch.float32)
    plain = record(net, images)
    for dtype, tolerance in ((torch.bfloat16, 0.1), (torch.float16, 0.02)):
        rec = record(net.to(dtype), images.to(dtype), keep="blocks")
        for block in ("layer1.0", "layer3.1"):
            row = rec.layers.query("layer == @block").iloc[0]
            right = rec[block].double()
            assert row["norm"] == pytest.approx(right.norm().item(), rel=1e-6)
            assert row["mean"] == pytest.approx(right.mean().item(), rel=1e-6)
        error = (rec.layers["rms"] / plain.layers["rms"] - 1).abs().max()
        assert error < tolerance
        assert rec.provenance["dtype"] == str(dtype).removeprefix("torch.")
        net = net.float()


def test_autocast_is_recorded_as_it_runs():
    net, images = setting(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        rec = record(net, images, keep="blocks")
        logits = net(images)
    assert torch.equal(rec.logits, logits.float())
    assert rec.provenance["autocast"] == "bfloat16"
    assert rec.parameters["grad_norm"].notna().all()
    assert record(net, images).provenance["autocast"] is None


def test_a_norm_without_statistics_is_on_those_of_the_batch() -> None:
    images = torch.randn(4, 3, 8, 8)
    for keeps in (True, False):
        net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=keeps))
        rec = record(net.eval(), images, gradients=False)
        assert rec.provenance["batch_stats"] is not keeps
        assert ("batch statistics" in repr(rec)) is not keeps
