"""Blocks dropped, scaled, swapped, zeroed: hand numbers, every family, undone on exit."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from cases import families, thorough
from left_as_found import left_as_found
from of_torchvision import made
from resviz.errors import NotTraceable
from resviz.networks.cifar import cifar_resnet
from resviz.networks.surgery.altering import altered
from resviz.networks.surgery.blocks import (
    drop_blocks,
    scale_branches,
    scale_shortcuts,
    swap_blocks,
    zero_init_residual,
)
from resviz.recording.recorder import record

# recording.md section 2
ADDITIONS = {
    "resnet18": 8,
    "resnet50": 16,
    "resnext50_32x4d": 16,
    "wide_resnet50_2": 16,
    "regnet_y_400mf": 16,
    "mobilenet_v2": 10,
    "mobilenet_v3_large": 10,
    "mnasnet1_0": 10,
    "efficientnet_b0": 9,
    "convnext_tiny": 18,
    "vit_b_16": 24,
    "swin_t": 24,
}


class Block(nn.Module):
    """shortcut + 3x, with the addition written in one of the ways that people write it."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how, self.times = how, nn.Linear(1, 1, bias=False)
        with torch.no_grad():
            self.times.weight.fill_(3.0)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.times(x)
        if self.how == "branch += x":
            branch += x
            return branch
        if self.how == "x += branch":
            x = x.clone()
            x += branch
            return x
        if self.how == "branch.add_(x)":
            branch.add_(x)
            return branch
        if self.how == "torch.add":
            return torch.add(input=x, other=branch)
        if self.how == "alpha":
            return torch.add(x, branch, alpha=1)
        return x + branch


WAYS = ["x + branch", "branch += x", "x += branch", "branch.add_(x)", "torch.add", "alpha"]
ONE = torch.ones(1, 1)


def toy(*ways: str) -> nn.Sequential:
    return nn.Sequential(*(Block(how) for how in ways))


@pytest.mark.parametrize("how", WAYS)
def test_by_hand(how: str):
    net = toy(how, how)
    assert net(ONE).item() == 16
    with drop_blocks(net, "0", images=ONE):
        assert net(ONE).item() == 4
    with drop_blocks(net, ["0", "1"], images=ONE):
        assert net(ONE).item() == 1
    with scale_branches(net, 0.5, images=ONE):
        assert net(ONE).item() == 2.5**2
    with scale_shortcuts(net, 2, "1", images=ONE):
        assert net(ONE).item() == 4 * 5
    with scale_branches(net, 0.5, "1.add", images=ONE), scale_branches(net, 2, images=ONE):
        assert net(ONE).item() == 7 * 4
    with drop_blocks(net, "1", images=ONE), scale_shortcuts(net, 10, images=ONE):
        assert net(ONE).item() == 13 * 10
    with zero_init_residual(net, images=ONE):
        assert net(ONE).item() == 1
    assert net(ONE).item() == 16


def test_what_was_stacked_is_summed_by_keyword():
    class Stacked(Block):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sum(input=torch.stack([x, self.times(x)]), dim=0)

    net = nn.Sequential(Stacked(""), Stacked(""))
    with drop_blocks(net, "0", images=ONE):
        assert net(ONE).item() == 4
    with scale_branches(net, 0.5, images=ONE):
        assert net(ONE).item() == 2.5**2
    assert net(ONE).item() == 16


@pytest.mark.parametrize("how", WAYS)
def test_gradients_by_hand(how: str):
    net, x = toy(how, how), ONE.clone().requires_grad_()
    with scale_shortcuts(net, 0.5, images=ONE):
        (gradient,) = torch.autograd.grad(net(x).sum(), x)
    assert gradient.item() == 3.5**2
    with drop_blocks(net, "0", images=ONE):
        weights = [block.times.weight for block in net]
        first, second = torch.autograd.grad(net(x).sum(), weights)
    assert first.item() == 0 and second.item() == 1


def test_nothing_finite_is_needed_of_a_dropped_branch():
    net = toy("x + branch")
    with torch.no_grad():
        net[0].times.weight.fill_(float("inf"))
    with drop_blocks(net, "0", images=ONE):
        assert net(ONE).item() == 1


def test_a_module_called_outside_the_network_is_changed_too():
    net = toy("x + branch", "x + branch")
    with drop_blocks(net, "1", images=ONE):
        assert net[1](ONE).item() == 1


def test_additions_of_children_are_not_counted_as_the_parents():
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.times = toy("x + branch"), Block("x + branch").times

        def forward(self, x: Tensor) -> Tensor:
            return x + self.times(self.inner(x + 0))

    net = Outer()
    assert net(ONE).item() == 13
    with scale_branches(net, 0, "add_1", images=ONE):  # the first addition is x + 0
        assert net(ONE).item() == 1
    with scale_branches(net, 0, "inner", images=ONE):
        assert net(ONE).item() == 4


@pytest.mark.parametrize("name", families(ADDITIONS, ADDITIONS, ()))
def test_every_family(name: str):
    net, images = made(name).eval(), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        own = net(images)
    additions = record(net, images, gradients=False).residuals
    assert len(additions) == ADDITIONS[name]
    last = additions["addition"].iloc[-1]
    with left_as_found(net):
        with (
            scale_branches(net, 0.5, images=images),
            drop_blocks(net, last, images=images),
            torch.no_grad(),
        ):
            rec = record(net, images, gradients=False)
        with zero_init_residual(net, images=images):
            zero = record(net, images, gradients=False).residuals
        with torch.no_grad():
            assert torch.equal(net(images), own)
    assert rec.residuals["addition"].tolist() == additions["addition"].tolist()
    first, before = rec.residuals.iloc[0], additions.iloc[0]
    assert first["branch_rms"] == pytest.approx(before["branch_rms"] / 2, rel=1e-6)
    assert rec.residuals["branch_rms"].iloc[-1] == 0
    assert zero["branch_rms"].max() == 0 < additions["branch_rms"].min()


def test_dropping_a_projection_block_leaves_the_projection():
    net, images = cifar_resnet(20, shortcut="B", seed=0), torch.randn(2, 3, 32, 32)
    with torch.no_grad(), drop_blocks(net, "layer2.0"):
        rec = record(net, images, keep=["layer1", "layer2.0"], gradients=False)
        expected = net.layer2[0].shortcut(rec["layer1"]).relu()
    assert torch.equal(rec["layer2.0"], expected)


@pytest.mark.parametrize("stage", ["layer1", "layer2", "layer3"])
def test_dropping_a_block_of_a_plain_network_hands_its_input_on(stage: str):
    net, images = cifar_resnet(20, shortcut="none", seed=0), torch.randn(2, 3, 32, 32)
    before = {"layer1": "relu#0", "layer2": "layer1", "layer3": "layer2"}[stage]
    with left_as_found(net), drop_blocks(net, f"{stage}.0"):
        rec = record(net, images, keep=[before.partition("#")[0], f"{stage}.0"], gradients=False)
    given, taken = rec[f"{stage}.0"], rec[before.partition("#")[0]]
    if stage == "layer1":
        assert torch.equal(given, taken)
    else:
        extra = taken.shape[1] // 2
        assert torch.equal(given[:, extra:-extra], taken[:, :, ::2, ::2])
        assert given[:, :extra].abs().max() == given[:, -extra:].abs().max() == 0


@pytest.mark.thorough
def test_lambda_to_the_power_of_blocks():
    """He et al. 2016, Eq. 8: with F = 0 the gradient is lambda^L, exactly."""
    net, images = cifar_resnet(56, preactivation=True, seed=0).double(), torch.randn(2, 3, 32, 32)
    images = images.double()
    tables = {}
    for factor in (1.0, 0.9):
        with zero_init_residual(net), scale_shortcuts(net, factor, "layer3"):
            tables[factor] = record(net, images).layers.set_index("layer")["grad_rms"]
    # the last sum's gradient depends on the logits' scale (BatchNorm runs on fixed statistics)
    ratio = {f: t["layer3.0"] / t["layer3.8"] for f, t in tables.items()}
    assert ratio[1.0] == pytest.approx(1, rel=1e-12)
    assert ratio[0.9] == pytest.approx(0.9**8, rel=1e-5)


def test_zero_init_makes_identity_blocks_the_identity():
    net, images = cifar_resnet(20, shortcut="B", seed=0), torch.randn(8, 3, 32, 32)
    with zero_init_residual(net):
        rec = record(net, images, keep="blocks", batch_stats=True, loss="logit")
        trained = copy.deepcopy(net)
    assert torch.equal(rec["layer1.2"], rec["layer1.0"])
    assert not torch.equal(rec["layer2.0"][:, :16], rec["layer1.2"][:, :, ::2, ::2])
    assert trained.layer1[0].bn2.weight.abs().max() == 0
    assert net.layer1[0].bn2.weight.min() == 1
    gradients = rec.layers.set_index("layer")["grad_rms"]
    assert gradients["layer1.0"] == pytest.approx(gradients["layer1.1"], rel=1e-6)


def test_swap():
    net, images = cifar_resnet(20, seed=0), torch.randn(2, 3, 32, 32)
    own = net(images)
    other = copy.deepcopy(net)
    other.layer2[1], other.layer2[2] = other.layer2[2], other.layer2[1]
    with left_as_found(net), swap_blocks(net, "layer2.1", "layer2.2"):
        swapped = net(images)
        rec = record(net, images)
    assert torch.equal(swapped, other(images)) and not torch.equal(swapped, own)
    assert rec.provenance["changes"] == ["layer2.1 and layer2.2 swapped"]
    assert torch.equal(net(images), own)


def test_a_block_with_a_second_name_is_swapped_in_both_places():
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two, self.three = cifar_resnet(20, seed=0).layer1
            self.body = nn.Sequential(self.one, self.two, self.three)

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x)

    net, images = Named().eval(), torch.randn(2, 16, 8, 8)
    right = net.one(net.two(net.three(images)))
    with left_as_found(net), swap_blocks(net, "one", "three"):
        assert torch.equal(net(images), right) and not torch.equal(net.body[0](images), right)
    assert torch.equal(net(images), net.three(net.two(net.one(images))))


def test_a_state_that_is_no_tensor_has_no_shape():
    class Block(nn.Linear):
        def get_extra_state(self) -> dict[str, int]:
            return {"steps": 3}

        def set_extra_state(self, state: dict[str, int]) -> None: ...

    net, images = nn.Sequential(Block(4, 4), Block(4, 4)), torch.randn(2, 4)
    with swap_blocks(net, "0", "1"):
        assert torch.equal(net(images), net[0](images) @ net[1].weight.T + net[1].bias)


def test_what_the_network_never_calls_is_no_block_to_drop():
    class Iterated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stage = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.stage:
                x = layer(x)
            return x

    class Attending(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.attention(x, x, x)[0]

    net, images = Iterated().eval(), torch.randn(2, 3, 4, 4)
    right = "never calls 'stage', so nothing is left out.*; 'stage.0', 'stage.1' would be"
    refused = pytest.raises(ValueError, match=right)
    with left_as_found(net), refused, drop_blocks(net, "stage", images=images):
        net(images)
    with drop_blocks(net, ["stage.0"], images=images):
        assert torch.equal(net(images), net.stage[1](images))
    tokens, never = (
        torch.randn(3, 1, 4),
        "never calls 'attention.out_proj'.*the module that holds it",
    )
    net = Attending().eval()
    with (
        pytest.raises(ValueError, match=never),
        drop_blocks(net, "attention.out_proj", images=tokens),
    ):
        net(tokens)


def test_the_record_says_what_was_done():
    net, images = cifar_resnet(8, seed=0), torch.randn(1, 3, 32, 32)
    with drop_blocks(net, ["layer1.0"]), scale_branches(net, 0.5, "layer2"):
        rec = record(net, images)
    assert rec.provenance["changes"] == ["without layer1.0", "branches × 0.5 in layer2"]
    assert record(net, images).provenance["changes"] == []


@pytest.mark.parametrize("error", [thorough(ValueError), KeyboardInterrupt])
def test_undone_after_an_error(error: type[BaseException]):
    net, images = cifar_resnet(20, seed=0), torch.randn(1, 3, 32, 32)
    surgeries = [
        lambda: drop_blocks(net, ["layer1.0", "layer3.1"]),
        lambda: scale_branches(net, 0.1),
        lambda: scale_shortcuts(net, 0.1),
        lambda: swap_blocks(net, "layer1.0", "layer1.1"),
        lambda: zero_init_residual(net),
        lambda: altered(net, lambda addition: {}),
    ]
    for surgery in surgeries:
        with left_as_found(net), pytest.raises(error), surgery():
            net(images)
            raise error


def test_undone_after_an_error_inside_the_forward():
    net, images = cifar_resnet(20, seed=0), torch.randn(1, 3, 32, 32)
    own = net(images)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    handle = net.layer1[1].conv1.register_forward_hook(fail)
    with left_as_found(net), pytest.raises(KeyboardInterrupt), drop_blocks(net, ["layer1.1"]):
        handle.remove()  # the survey ran without it
        handle = net.layer1[1].conv2.register_forward_hook(fail)
        try:
            net(images)
        finally:
            handle.remove()
            handle = net.layer1[1].conv1.register_forward_hook(fail)
    handle.remove()
    assert torch.equal(net(images), own)


@pytest.mark.parametrize(
    ("surgery", "error", "message"),
    [
        (lambda n: drop_blocks(n, ["layer9.0"]), ValueError, "drop_blocks: no block.*'layer9.0'"),
        (lambda n: drop_blocks(n, [3]), TypeError, "drop_blocks: blocks .3.; a path"),
        (lambda n: drop_blocks(n, "linear"), ValueError, "'linear' makes .1, 10. of .1, 64."),
        (lambda n: scale_branches(n, "0.5"), TypeError, "factor '0.5'; a number"),
        (lambda n: scale_branches(n, 0.5, "conv1"), ValueError, "'conv1' has no residual"),
        (lambda n: swap_blocks(n, "layer1.0", "layer2.0"), ValueError, r"layer1.0.conv1.weight"),
        (lambda n: swap_blocks(n, "layer1.0", "layer1.0"), ValueError, "side by side"),
        (lambda n: swap_blocks(n, "layer1", "layer1.0"), ValueError, "side by side"),
        (lambda n: swap_blocks(n, "layer1.0", "layer7"), ValueError, "no module 'layer7'"),
        (lambda n: zero_init_residual(n, "bn1"), ValueError, "'bn1' has no residual"),
    ],
)
def test_bad_arguments(surgery, error, message):
    net, images = cifar_resnet(20, seed=0), torch.randn(1, 3, 32, 32)
    with left_as_found(net), pytest.raises(error, match=message), surgery(net):
        net(images)


def test_a_block_is_not_swapped_with_itself_in_another_place():
    net = cifar_resnet(20, seed=0)
    net.layer1[1] = net.layer1[0]
    with pytest.raises(ValueError, match="side by side"), swap_blocks(net, "layer1.0", "layer1.1"):
        pass


def test_networks_without_additions_or_preset():
    plain = cifar_resnet(8, shortcut="none", seed=0)
    with pytest.raises(ValueError, match="without residual additions"), scale_branches(plain, 1):
        pass
    own = toy("x + branch")
    with pytest.raises(ValueError, match="has no preset.*images=images"), drop_blocks(own, "0"):
        pass


def test_weights_computed_from_others_are_refused():
    net = cifar_resnet(8, norm=False, seed=0)
    nn.utils.parametrizations.weight_norm(net.layer1[0].conv2)
    with pytest.raises(ValueError, match="computed from others"), zero_init_residual(net):
        pass


class Skips(nn.Module):
    """A long skip around blocks that are iterated, or called as a whole."""

    def __init__(self, iterated: bool) -> None:
        super().__init__()
        self.blocks, self.times = toy("x + branch", "x + branch"), Block("x + branch").times
        self.iterated = iterated

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for block in self.blocks if self.iterated else [self.blocks]:
            y = block(y)
        return x + self.times(y)


def test_blocks_of_a_container_that_is_iterated_are_not_the_parents():
    for net in (Skips(iterated=True), Skips(iterated=False)):
        assert net(ONE).item() == 1 + 3 * 16
        with drop_blocks(net, "add", images=ONE):
            assert net(ONE).item() == 1
        with drop_blocks(net, "blocks.0", images=ONE):
            assert net(ONE).item() == 1 + 3 * 4
        with scale_branches(net, 0, images=ONE):
            assert net(ONE).item() == 1


def test_a_module_that_is_a_whole_branch_is_dropped_as_one():
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.b1, self.b2 = (nn.Sequential(Block("x + branch").times, nn.ReLU()) for _ in "12")

        def forward(self, x: Tensor) -> Tensor:
            x = x + self.b1(x)
            return x + self.b2(x)

    net = Root()
    with drop_blocks(net, "b1", images=ONE):
        assert net(ONE).item() == 4  # x + 0, not x + x


def test_zero_init_goes_past_a_gate():
    class Gated(nn.Module):
        def __init__(self, last: str) -> None:
            super().__init__()
            self.conv, self.squeeze = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
            self.norm, self.last = nn.BatchNorm2d(3, affine=False), last
            self.norm.running_mean.fill_(0.5)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            y = y * self.squeeze(y.mean((2, 3), keepdim=True)).sigmoid()
            return x + (self.norm(y) if self.last == "norm" else y)

    images = torch.randn(1, 3, 4, 4)
    net = nn.Sequential(Gated("gate")).eval()
    with zero_init_residual(net, images=images):
        assert torch.equal(net(images), images)
    net = nn.Sequential(Gated("norm")).eval()
    with (
        left_as_found(net),
        pytest.raises(ValueError, match="the branch of '0.add' is not 0"),
        zero_init_residual(net, images=images),
    ):
        pass


def test_another_order_of_leaving_is_an_error():
    net = toy("x + branch", "x + branch")
    first, second = (drop_blocks(net, name, images=ONE) for name in "01")
    first.__enter__()
    second.__enter__()
    with pytest.raises(RuntimeError, match="'without 0' ends before.*the reverse order"):
        first.__exit__(None, None, None)


def test_one_addition_with_its_branch_in_two_places():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.times, self.sum = Block("x + branch").times, Sum()

        def forward(self, x: Tensor) -> Tensor:
            x = self.sum(x, self.times(x))
            return self.sum(self.times(x), x)

    net = nn.Sequential(Shared())
    with (
        pytest.raises(NotTraceable, match="runs several times"),
        scale_branches(net, 1, images=ONE),
    ):
        pass


class Sum(nn.Module):
    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        return one + other


def test_nothing_to_drop():
    net = cifar_resnet(8, seed=0)
    images = torch.randn(1, 3, 32, 32)
    own = net(images)
    with drop_blocks(net, []):
        assert torch.equal(net(images), own)
        assert record(net, images).provenance["changes"] == []


class Noisy(nn.Module):
    """Adds noise before its branch, in train mode alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x + torch.randn_like(x)
        return x + self.conv(x).relu()


def test_additions_of_train_mode_alone_are_not_taken_for_the_blocks():
    net, images = nn.Sequential(Noisy(), nn.Flatten(), nn.Linear(48, 2)), torch.randn(2, 3, 4, 4)
    with scale_branches(net, 0.0, images=images):
        net.eval()
        torch.testing.assert_close(net(images), net[2](images.flatten(1)))
        net.train()
        with pytest.raises(
            NotTraceable, match="scale_branches: module .0. runs add 2 times here, and 1"
        ):
            net(images)
    net(images)
