"""Plain twins: the paper's plain-34, every family, and fresh weights by one rule."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torchvision
from torch import Tensor, nn

import resviz as rv
from cases import thorough_but
from left_as_found import assert_left_as_found, left_as_found
from of_torchvision import made
from resviz.errors import NotTraceable, ResvizWarning
from resviz.networks.cifar import cifar_resnet
from resviz.networks.surgery.blocks import scale_shortcuts
from resviz.networks.surgery.twin import plain_twin, untrained_copy
from resviz.recording.recorder import record

SMALL = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))

PLAIN = cifar_resnet(8, shortcut="none", seed=0)


def plain_34() -> nn.Sequential:
    """Written down from Fig. 3 (middle) and Table 1 of He et al. 2015."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    layers.append(nn.MaxPool2d(3, 2, 1))
    channels = 64
    for width, convolutions in ((64, 6), (128, 8), (256, 12), (512, 6)):
        for number in range(convolutions):
            stride = 2 if number == 0 and width > 64 else 1
            layers.append(nn.Conv2d(channels, width, 3, stride, 1, bias=False))
            layers += [nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))


@pytest.mark.thorough
def test_the_twin_of_resnet34_is_the_papers_plain_34():
    net = torchvision.models.resnet34().eval()
    twin, paper = plain_twin(net, "copied", images=SMALL), plain_34().eval()
    ours = [p for p in twin.parameters()]
    theirs = [p for p in paper.parameters()]
    assert [p.shape for p in ours] == [p.shape for p in theirs]
    with torch.no_grad():
        for mine, other in zip(ours, theirs, strict=True):
            other.copy_(mine)
        assert torch.equal(twin(SMALL), paper(SMALL))
    table = rv.list_layers(twin, SMALL)
    assert table["depth"].max() == 34
    assert (table["type"] == "Conv2d").sum() == 33
    assert record(twin, SMALL, gradients=False).residuals.empty


@pytest.mark.parametrize("shortcut", thorough_but("ABC", "B"))
@pytest.mark.parametrize("preactivation", [False, True])
def test_the_twin_of_a_cifar_network_is_the_familys_own(shortcut: str, preactivation: bool):
    net = cifar_resnet(20, shortcut=shortcut, preactivation=preactivation, seed=0)
    twin = assert_left_as_found(net, lambda: plain_twin(net, "copied"))
    plain = cifar_resnet(20, shortcut="none", preactivation=preactivation, seed=1)
    plain.load_state_dict(twin.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(twin(images), plain(images))
    blocks = rv.list_layers(twin, images).query("kind == 'block'")["layer"]
    assert blocks.tolist() == [f"layer{s}.{i}" for s in (1, 2, 3) for i in (0, 1, 2)]


OF_EACH_FAMILY = [
    *("resnet18", "resnext50_32x4d", "regnet_y_400mf", "mobilenet_v3_large", "efficientnet_b0"),
    *("mnasnet1_0", "convnext_tiny", "vit_b_16", "swin_t"),
]


@pytest.mark.filterwarnings("ignore:.*no rule of their own")
@pytest.mark.parametrize("name", thorough_but(OF_EACH_FAMILY, []))
def test_every_family(name: str):
    net, images = made(name).eval(), torch.randn(1, 3, 64, 64)
    twin = plain_twin(net, "copied", images=images)
    with torch.no_grad(), scale_shortcuts(net, 0, images=images):
        expected = net(images)
    assert torch.allclose(twin(images), expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    assert record(twin, images, gradients=False).residuals.empty
    fresh = plain_twin(net, images=images, seed=1)
    changed = [
        name
        for (name, own), other in zip(twin.named_parameters(), fresh.parameters(), strict=True)
        if own.ndim >= 2 and torch.equal(own, other)
    ]
    assert changed == []  # no trained weight is left


@pytest.mark.thorough
def test_twins_can_be_saved_copied_and_trained():
    twin = plain_twin(torchvision.models.resnet18().eval(), images=SMALL)
    again = pickle.loads(pickle.dumps(twin))
    assert torch.equal(again(SMALL), twin(SMALL))
    copied = copy.deepcopy(twin).train()
    copied(SMALL).sum().backward()
    assert all(p.grad is not None for p in copied.parameters())


def test_same_seed_same_numbers_in_residual_and_plain():
    net = cifar_resnet(20, shortcut="B", seed=9)
    plain, residual = plain_twin(net, seed=4), untrained_copy(net, seed=4)
    shared = dict(residual.named_parameters())
    for name, parameter in plain.named_parameters():
        assert torch.equal(parameter, shared[name])
    assert not torch.equal(plain.conv1.weight, net.conv1.weight)
    other = untrained_copy(net, seed=5)
    assert not torch.equal(other.conv1.weight, residual.conv1.weight)


@pytest.mark.thorough
def test_fresh_weights_by_the_rule(use_torch_home):
    net = rv.load_model("resnet18")
    fresh = assert_left_as_found(net, lambda: untrained_copy(net, seed=0))
    conv = fresh.layer4[1].conv2.weight  # He: sqrt(2 / fan_in)
    assert conv.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.01)
    assert fresh.bn1.running_mean.abs().max() == 0 and fresh.bn1.weight.min() == 1
    assert fresh.fc.bias.abs().max() == 0
    assert rv.preset_of(fresh).weights == "random"
    twin = plain_twin(net, "copied")
    assert "a lesion" in rv.preset_of(twin).weights
    assert "a lesion" in record(twin, SMALL).provenance["weights"]


@pytest.mark.thorough
def test_parameters_without_a_rule_are_named():
    net = made("vit_b_16").eval()
    with pytest.warns(ResvizWarning, match="2 parameters have no rule.*class_token"):
        fresh = untrained_copy(net)
    assert fresh.class_token.std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("slope", [0.25, 0.3])
def test_a_rule_is_known_by_what_it_writes(slope: float, recwarn: pytest.WarningsRecorder):
    """PReLU's rule gives 0.25, also where that is what stands there."""
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.PReLU(4))
    nn.init.constant_(net[1].weight, slope)
    assert torch.equal(untrained_copy(net)[1].weight, torch.full((4,), 0.25))
    assert not recwarn.list


@pytest.mark.filterwarnings("ignore:.*no rule of their own")
def test_a_parameter_is_drawn_from_its_own_name():
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)
            self.alpha, self.beta = nn.Parameter(torch.rand(1)), nn.Parameter(torch.rand(1))

        def forward(self, x: Tensor) -> Tensor:
            return x + self.alpha * self.conv(self.beta * x)  # in use, beta comes first

    net, images = nn.Sequential(Scaled(), Scaled()).eval(), torch.randn(1, 4, 4, 4)
    fresh, twin = untrained_copy(net, seed=1), plain_twin(net, seed=1, images=images)
    shared = dict(fresh.named_parameters())
    assert {name for name, _ in twin.named_parameters()} >= {"0.alpha", "0.beta"}
    assert all(torch.equal(p, shared[name]) for name, p in twin.named_parameters())
    assert fresh[0].alpha != fresh[0].beta


@pytest.mark.parametrize("groups", [1, 4])
def test_the_fan_in_of_a_transposed_convolution(groups: int):
    layer = untrained_copy(nn.Sequential(nn.ConvTranspose2d(64, 8, 3, groups=groups)))[0]
    assert layer.weight.std().item() == pytest.approx((2 / (64 / groups * 9)) ** 0.5, rel=0.05)


@pytest.mark.filterwarnings("ignore:.*no rule of their own")
def test_an_untrained_copy_is_divided_by_its_own_spectral_norm():
    def copy_of(scale: float) -> nn.Module:
        layer = nn.Linear(8, 8)
        nn.init.eye_(layer.weight).data *= scale * torch.arange(8)
        return untrained_copy(nn.utils.parametrizations.spectral_norm(layer).eval(), seed=1)

    one, other = copy_of(1), copy_of(-5)
    assert torch.linalg.matrix_norm(one.weight, 2).item() == pytest.approx(1, rel=0.001)
    assert torch.equal(one.weight, other.weight)  # whatever the network held


def test_additions_in_a_leaf_of_their_own():
    class Sum(nn.Module):
        def forward(self, one: Tensor, other: Tensor) -> Tensor:
            return one + other

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.projection, self.sum = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), Sum()

        def forward(self, x: Tensor) -> Tensor:
            branch = self.conv(torch.relu(self.conv(x)))
            return self.sum(branch, self.projection(x))

    net = nn.Sequential(Block())
    twin = plain_twin(net, "copied", images=SMALL)
    conv = net[0].conv
    assert torch.equal(twin(SMALL), conv(torch.relu(conv(SMALL))))
    assert "0.projection.weight" not in dict(twin.named_parameters())


def test_what_cannot_be_traced_says_so():
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            if x.mean() > 1000:
                return x
            return x + self.conv(x)

    net = nn.Sequential(Block())
    with left_as_found(net), pytest.raises(NotTraceable, match="block '0' cannot be traced"):
        plain_twin(net, images=SMALL)


@pytest.mark.parametrize(
    ("action", "error", "message"),
    [
        (lambda n: plain_twin(n, "pretrained"), ValueError, "one of random, copied"),
        (lambda n: plain_twin(n, init="best"), ValueError, "plain_twin: init 'best'; one of he"),
        (lambda n: untrained_copy(n, seed=1.5), TypeError, "seed 1.5; a whole number"),
        (lambda n: plain_twin(PLAIN), ValueError, "without residual"),
        (lambda n: plain_twin("resnet18"), TypeError, "an nn.Module"),
    ],
)
def test_bad_arguments(action, error, message):
    net = cifar_resnet(8, seed=0)
    with left_as_found(net), pytest.raises(error, match=message):
        action(net)


def test_no_old_value_is_left():
    class WithMore(nn.Linear):
        def __init__(self) -> None:
            super().__init__(4, 4)
            self.low_rank = nn.Parameter(torch.randn(2, 4))

    frozen = torchvision.ops.FrozenBatchNorm2d(3)
    frozen.weight.fill_(7), frozen.running_mean.fill_(3)
    norm = nn.LayerNorm([4, 4])
    with torch.no_grad():
        norm.weight.fill_(5)
    net = nn.Sequential(WithMore(), frozen, norm, nn.GroupNorm(1, 3), nn.LSTM(4, 4))
    with pytest.warns(ResvizWarning, match="1 parameters have no rule.*0.low_rank"):
        fresh = untrained_copy(net, seed=0)
    assert not torch.equal(fresh[0].low_rank, net[0].low_rank)
    assert fresh[1].weight.tolist() == [1, 1, 1] and fresh[1].running_mean.tolist() == [0, 0, 0]
    assert (fresh[2].weight == 1).all()
    assert not torch.equal(fresh[4].weight_hh_l0, net[4].weight_hh_l0)


def test_a_network_under_surgery_is_not_copied():
    net = cifar_resnet(8, seed=0)
    with (
        pytest.raises(ValueError, match="a network that is shortcuts × 0.5 while a with block"),
        scale_shortcuts(net, 0.5),
    ):
        untrained_copy(net)


def test_training_mode_shared_blocks_and_inference_mode():
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.rate = nn.Conv2d(3, 3, 1), 2

        def forward(self, x: Tensor) -> Tensor:
            branch = nn.functional.dropout(self.conv(x), 0.5, self.training)
            return torch.add(x, branch, alpha=0.5)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            block = Block()
            self.blocks = nn.ModuleList([block, block])

        def forward(self, x: Tensor) -> Tensor:
            for block in self.blocks:
                x = block(x) * block.rate
            return x

    net = Net().train()
    with torch.inference_mode(), pytest.warns(ResvizWarning, match="dropout as a function"):
        twin = plain_twin(net, "copied", images=SMALL)
    conv = net.blocks[0].conv
    once = conv(SMALL) * 0.5 * 2
    assert torch.allclose(twin(SMALL), conv(once) * 0.5 * 2)
    twin(SMALL).sum().backward()  # its weights are no inference tensors
    assert net.training and not twin.training


@pytest.mark.parametrize("own", [True, False])
def test_what_a_block_does_in_training_alone_is_said(own: bool):
    """Stochastic depth, by hand or torchvision's function; as a module it stays."""

    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            if not own:
                return x + torchvision.ops.stochastic_depth(self.conv(x), 0.5, "row", self.training)
            branch = self.conv(x)
            if self.training:
                branch = branch * (torch.rand(len(x), 1, 1, 1) > 0.5)
            return x + branch

    class Kept(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.drop = nn.Conv2d(3, 3, 1), torchvision.ops.StochasticDepth(0.5, "row")

        def forward(self, x: Tensor) -> Tensor:
            return x + self.drop(self.conv(x))

    net = nn.Sequential(Deep(), Kept()).train()
    with pytest.warns(ResvizWarning, match="block '0' does something else in training") as said:
        plain_twin(net, "copied", images=SMALL)
    assert len(said) == 1 and net[0].training
