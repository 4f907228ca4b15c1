"""Correlation of input gradients: by hand, against the obvious loop, and as published."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from left_as_found import assert_left_as_found, left_as_found
from resviz.analysis.shattering import gradient_correlation, law, shattering_study
from resviz.errors import NonFinite, ResvizWarning
from resviz.networks.cifar import cifar_resnet
from resviz.networks.shattering import RandomGate, shattering_network

IMAGES = torch.randn(7, 3, 32, 32, generator=torch.Generator().manual_seed(3))
TARGETS = torch.tensor([0, 1, 2, 3, 4, 5, 6])
DEPTHS = [1, 2, 4, 8, 16, 32]
# Balduzzi et al. 2017, width 256, with random gates
PUBLISHED = {
    "plain": [0.50, 0.26, 0.055, 0.004, 0.0, 0.0],
    "residual": [0.75, 0.56, 0.30, 0.09, 0.01, 0.0],
    "residual_bn": [0.75, 0.61, 0.47, 0.36, 0.25, 0.18],
}
RELU_PLAIN = [0.50, 0.29, 0.16, 0.05, 0.02, 0.01]


# ---- the networks
def test_a_random_gate_is_open_half_of_the_time_and_the_same_in_every_call():
    gate, x = RandomGate(5), torch.ones(200, 300)
    before = torch.get_rng_state()
    first = gate(x)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, gate(x))
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert first.mean().item() == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(60_000))
    both_open = (first[0] * first[1]).mean().item()  # two inputs: independent
    assert both_open == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 300))
    assert not torch.equal(first, RandomGate(6)(x))
    assert torch.equal(gate(-x), -first)  # whatever the value


@pytest.mark.parametrize("kind", ["plain", "residual", "residual_bn"])
def test_the_network_is_what_it_says(kind: str):
    net = shattering_network(3, kind, width=16, gates="relu", seed=4)
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    h = x
    for block in net.blocks:
        weight = block.linear.weight
        if kind == "plain":
            h = torch.relu(h @ weight.T)
            continue
        inner = h
        if kind == "residual_bn":
            mean, variance = block.norm.running_mean, block.norm.running_var
            inner = (h - mean) / (variance + block.norm.eps).sqrt()
        h = h + torch.relu(inner) @ weight.T
    torch.testing.assert_close(net(x), h @ net.head.weight.T)
    assert not net.training and all(not module.training for module in net.modules())


def test_batch_norm_knows_the_statistics_of_normal_inputs():
    """The variance grows by one per block (the law 1 + 1/l is made of that)."""
    net = shattering_network(8, "residual_bn", seed=0)
    found = [block.norm.running_var.mean().item() for block in net.blocks]
    np.testing.assert_allclose(found, range(1, 9), rtol=0.1)
    assert all(block.norm.momentum == 0.1 for block in net.blocks)


def test_seeds_of_networks():
    before = torch.get_rng_state()
    one, same, other = (shattering_network(2, "residual_bn", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    x = torch.ones(3, 256)
    assert torch.equal(one(x), same(x)) and not torch.equal(one(x), other(x))
    weights = torch.cat([block.linear.weight.flatten() for block in one.blocks])
    assert weights.std().item() == pytest.approx(math.sqrt(2 / 256), rel=0.02)


@pytest.mark.parametrize("seed", [1_800_000_000_000_000_000, 2**64 - 1])
def test_seeds_as_large_as_a_generator_takes(seed: int):
    net = shattering_network(2, width=4, seed=seed)
    assert net(torch.zeros(1, 4)).shape == (1, 1)
    table = shattering_study([2], ["plain"], width=4, inputs=3, seeds=[seed], progress=False)
    assert table["correlation"].notna().all()


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"depth": 0}, ValueError, "depth 0; 1 or more"),
        ({"depth": 2.0}, TypeError, "depth 2.0; a whole number"),
        ({"width": True}, TypeError, "width True"),
        ({"seed": -1}, ValueError, "seed -1; 0 or more"),
        ({"kind": "resnet"}, ValueError, "kind 'resnet'; one of plain, residual, residual_bn"),
        ({"gates": "none"}, ValueError, "gates 'none'; one of random, relu"),
    ],
)
def test_networks_refuse(changed: dict[str, object], error: type[Exception], words: str):
    with pytest.raises(error, match=f"shattering_network: {words}"):
        shattering_network(**({"depth": 2} | changed))  # type: ignore[arg-type]


# ---- the paper's setting
def test_laws():
    assert [law("plain", d) for d in (1, 5)] == [0.5, 1 / 32]
    assert [law("residual", d) for d in (1, 2)] == [0.75, 0.5625]
    assert law("residual_bn", 3) == pytest.approx(3 / 4 * 5 / 6 * 7 / 8)
    assert law("residual_bn", 4000) == pytest.approx(2 / math.sqrt(math.pi * 4000), rel=1e-3)


@pytest.mark.thorough
def test_published_correlations_under_random_gates():
    """Seeds 0 to 7, 32 pairs each: 0.035 from the published numbers, 0.025 from the laws."""
    table = shattering_study(DEPTHS, seeds=range(8), progress=False)
    assert len(table) == 3 * 6 * 8 and (table["pairs"] == 32).all()
    means = table.groupby(["kind", "depth"])["correlation"].mean()
    for kind, published in PUBLISHED.items():
        np.testing.assert_allclose(means[kind].loc[DEPTHS], published, atol=0.035, err_msg=kind)
        laws = [law(kind, depth) for depth in DEPTHS]
        np.testing.assert_allclose(means[kind].loc[DEPTHS], laws, atol=0.025, err_msg=kind)
    assert table.attrs["gates"] == "random" and table.attrs["seeds"] == list(range(8))


@pytest.mark.thorough
def test_rectifiers_fall_more_slowly_than_random_gates():
    """Seeds 0 to 7: 0.05 from the published numbers; at 4 layers twice the law of random gates."""
    table = shattering_study(DEPTHS, "plain", gates="relu", seeds=range(8), progress=False)
    means = table.groupby("depth")["correlation"].mean()
    np.testing.assert_allclose(means.loc[DEPTHS], RELU_PLAIN, atol=0.05)
    assert means[4] > 1.6 * law("plain", 4) and means[8] > 4 * law("plain", 8)
    assert table.attrs["gates"] == "relu" and set(table["gates"]) == {"relu"}


def test_a_study_is_made_of_its_networks():
    table = shattering_study([3], ["residual"], width=32, inputs=5, seeds=[2], progress=False)
    net = shattering_network(3, "residual", width=32, seed=2)
    x = torch.randn(4, 32, generator=torch.Generator().manual_seed(2**40 + 2)).requires_grad_()
    (g,) = torch.autograd.grad(net(x).sum(), x)
    right = torch.cosine_similarity(g[::2].double(), g[1::2].double())
    row = table.iloc[0]
    assert row["correlation"] == pytest.approx(right.mean().item(), abs=1e-6)
    assert row["correlation_std"] == pytest.approx(right.std().item(), abs=1e-6)
    assert row["pairs"] == 2 and row["theory"] == 0.75**3


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"depths": 3}, TypeError, "depths 3; a sequence"),
        ({"depths": []}, ValueError, "no depths"),
        ({"depths": [0]}, ValueError, "depths 0; 1 or more"),
        ({"seeds": [1.5]}, TypeError, "seeds 1.5; a whole number"),
        ({"seeds": []}, ValueError, "no seeds"),
        ({"kinds": ["vgg"]}, ValueError, "kind 'vgg'; one of plain, residual, residual_bn"),
        ({"kinds": []}, ValueError, "no kinds"),
        ({"gates": "open"}, ValueError, "gates 'open'; one of random, relu"),
        ({"inputs": 1}, ValueError, "inputs 1; 2 or more"),
    ],
)
def test_a_study_refuses(changed: dict[str, object], error: type[Exception], words: str):
    with pytest.raises(error, match=f"shattering_study: {words}"):
        shattering_study(**changed)  # type: ignore[arg-type]


# ---- any network
@pytest.mark.parametrize("targets", [None, TARGETS])
def test_it_is_the_cosine_of_gradients_taken_one_by_one(targets: torch.Tensor | None):
    net = cifar_resnet(8, seed=0)
    table = assert_left_as_found(
        net, lambda: gradient_correlation(net, IMAGES, targets, batch_size=4, progress=False)
    )
    gradients = []
    for index in range(7):
        x = IMAGES[index : index + 1].clone().requires_grad_()
        logits = net(x)
        loss = (
            logits.max()
            if targets is None
            else nn.functional.cross_entropy(logits, targets[index : index + 1])
        )
        gradients.append(torch.autograd.grad(loss, x)[0].double().flatten())
    assert len(table) == 3 and (table["depth"] == 8).all()
    used = [*table["first"], *table["second"]]
    assert len(set(used)) == 6 and set(used) <= set(range(7))
    for row in table.itertuples():
        right = torch.cosine_similarity(gradients[row.first], gradients[row.second], dim=0)
        assert row.correlation == pytest.approx(right.item(), abs=1e-5)
    assert table.attrs["loss"] == ("logit" if targets is None else "cross_entropy")
    assert table.attrs["seeds"] == [0] and "classes" not in table.attrs


def test_batches_and_seeds_of_pairs():
    net = cifar_resnet(8, seed=0)
    whole, parts, other = (
        gradient_correlation(net, IMAGES, seed=seed, batch_size=size, progress=False)
        for seed, size in ((0, 32), (0, 1), (1, 32))
    )
    assert whole[["first", "second"]].equals(parts[["first", "second"]])
    np.testing.assert_allclose(whole["correlation"], parts["correlation"], atol=1e-5)
    assert not whole[["first", "second"]].equals(other[["first", "second"]])


def test_a_linear_network_has_one_gradient_and_a_dead_one_none():
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    table = gradient_correlation(linear, IMAGES, torch.zeros(7).long(), "logit", progress=False)
    np.testing.assert_allclose(table["correlation"], 1.0, atol=1e-6)
    nn.init.zeros_(linear[1].weight)
    table = gradient_correlation(linear, IMAGES, progress=False)
    assert table["correlation"].isna().all()  # a zero vector has no direction


def test_batch_stats_switch_and_restore():
    net, many = cifar_resnet(8, seed=0), torch.cat([IMAGES, IMAGES.flip(3)])
    run, batch = (
        assert_left_as_found(
            net,
            lambda mode=mode: gradient_correlation(net, many, batch_stats=mode, progress=False),
        )
        for mode in (False, True)
    )
    assert not np.allclose(run["correlation"], batch["correlation"], atol=1e-3)
    assert batch.attrs["batch_stats"] is True
    with pytest.warns(ResvizWarning, match="batch statistics of 6 images"):
        gradient_correlation(net, IMAGES, batch_stats=True, progress=False)


def test_gradient_correlation_refuses():
    net, words = cifar_resnet(8, seed=0), nn.Embedding(4, 3)
    cases = [
        (lambda: gradient_correlation(net, IMAGES[:1]), ValueError, "one image; two or more"),
        (lambda: gradient_correlation(net, IMAGES, TARGETS[:3]), ValueError, "targets of shape"),
        (lambda: gradient_correlation(net, IMAGES, seed="0"), TypeError, "seed '0'"),
        (lambda: gradient_correlation(net, IMAGES, batch_size=0), ValueError, "batch_size 0"),
        (lambda: gradient_correlation(net, IMAGES, data=3), TypeError, "data 3"),
        (lambda: gradient_correlation(net, IMAGES * math.nan), NonFinite, "NaN or infinity"),
        (
            lambda: gradient_correlation(words, torch.ones(2, dtype=torch.int64)),
            TypeError,
            "nothing can be differentiated",
        ),
    ]
    for action, error, said in cases:
        with pytest.raises(error, match=f"gradient_correlation: .*{said}"), left_as_found(net):
            action()


def test_left_as_found_after_an_interrupt():
    net = cifar_resnet(8, seed=0)

    def stop(logits: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), left_as_found(net):
        gradient_correlation(net, IMAGES, loss=stop, progress=False)


def test_an_input_without_a_gradient_counts_for_nothing():
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(12, 3)

        def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.fc((x * (mask > 0)).flatten(1).tanh())

    net, images = Masked().eval(), torch.randn(4, 3, 2, 2)
    masks, targets = torch.ones(4, 1, 1, 1), [0, 1, 2, 0]
    table = gradient_correlation(net, (images, masks), targets, progress=False)

    def alone(x: torch.Tensor) -> torch.Tensor:
        return net(x, masks[: len(x)])

    class Alone(nn.Module):
        forward = staticmethod(alone)

    right = gradient_correlation(Alone(), images, targets, progress=False)
    assert table["correlation"].tolist() == pytest.approx(right["correlation"].tolist())


def test_complex_images_are_refused():
    class Size(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.abs().flatten(1)

    with pytest.raises(TypeError, match="images of torch.complex64.*floating point numbers"):
        gradient_correlation(Size(), torch.randn(4, 1, 2, 2).to(torch.complex64), progress=False)
