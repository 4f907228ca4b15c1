"""Networks that keep what a layer gives, write over it, or switch gradients: as plain autograd."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import resviz as rv


class Encoder(nn.Module):
    """Keeps what it gives, as encoders of U-Nets do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        self.features = F.relu(self.conv(x))
        return self.features


class Net(nn.Module):
    """A skip that is read from where the encoder keeps it; `between` may write over it first."""

    def __init__(self, between: Callable[[Tensor], object] = lambda kept: None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.between = Encoder(), between
        self.middle = nn.Conv2d(6, 6, 3, padding=1, stride=2)
        self.decoder = nn.Conv2d(12, 6, 3, padding=1)
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        deep = F.interpolate(F.relu(self.middle(self.encoder(x))), scale_factor=2.0)
        self.between(self.encoder.features)
        joined = torch.cat([deep, self.encoder.features], 1)
        return self.fc(F.relu(self.decoder(joined)).mean((2, 3)))


class Table(nn.Module):
    """Gives what it owns: no tensor of the pass."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.rand(1, 6, 16, 16))

    def forward(self) -> Tensor:
        return self.table


def by_hand(net: nn.Module, images: Tensor, layer: str) -> Tensor:
    """Grad-CAM of output 1 with plain autograd, its negative part too."""
    found: list[Tensor] = []
    handle = net.get_submodule(layer).register_forward_hook(lambda m, a, out: found.append(out))
    score = net(images)[:, 1].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, found)
    return (gradient.mean((2, 3), keepdim=True) * found[0]).sum(1).detach()


def grad_cam(net: nn.Module, images: Tensor, layer: str) -> Tensor:
    return rv.explain(net, images, 1, layers=layer, relu=False).maps["grad_cam", layer][:, 0]


IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def test_a_skip_read_from_an_attribute() -> None:
    net = Net().eval()
    expected, maps = by_hand(net, IMAGES, "encoder"), grad_cam(net, IMAGES, "encoder")
    torch.testing.assert_close(maps, expected, rtol=1e-5, atol=1e-7)


def test_what_is_kept_may_be_written_over() -> None:
    """A graph cannot start at a tensor that is written over; then it starts beside it."""
    net = Net(lambda kept: kept.mul_(0.5)).eval()
    exp = rv.explain(net, IMAGES, 1, layers="encoder", relu=False)
    with torch.no_grad():
        torch.testing.assert_close(exp.logits, net(IMAGES))
    assert exp.maps["grad_cam", "encoder"].abs().sum() > 0


class Cube(torch.autograd.Function):
    """One of the user's own, in NumPy: no torch function runs inside."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.from_numpy(x.detach().numpy() ** 3)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return 3 * ctx.saved_tensors[0] ** 2 * gradient


class Tapped(nn.Module):
    """An encoder that makes a second tensor of what it gives, in one of several ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.aside = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 1)
        self.way, self.kept = way, list[Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        x.mul_(0.5)
        out = F.relu(self.conv(x))
        if self.way == "list":
            self.kept[:] = [self.aside(out)]
        elif self.way == "joined":
            self.side = self.aside(torch.cat([out.mul(0.5), out], 1)[:, 3:9])
        elif self.way == "function":
            self.side = Cube.apply(out)
        elif self.way == "attribute":
            self.side = self.aside(out)
        return F.dropout(out, training=self.training)


class TwoHeads(nn.Module):
    """Reads that second tensor far behind the encoder."""

    def __init__(self, way: str, frozen: bool) -> None:
        super().__init__()
        self.encoder = Tapped(way)
        self.middle, self.fc = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 4)
        if way == "hook":
            self.encoder.register_forward_hook(self.keep)
        self.requires_grad_(not frozen)

    @staticmethod
    def keep(module: nn.Module, args: object, out: Tensor) -> None:
        module.side = module.aside(out)

    def forward(self, x: Tensor) -> Tensor:
        deep = torch.tanh(self.middle(self.encoder(x.clone())))
        side = self.encoder.kept[0] if self.encoder.way == "list" else self.encoder.side
        return self.fc((deep + 3 * torch.tanh(side)).mean((2, 3)))


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("way", ["attribute", "list", "joined", "function", "hook"])
def test_a_layer_of_whose_output_more_is_made_inside(way: str, frozen: bool) -> None:
    """Its score depends on the layer by both ways; an auxiliary head is one."""
    net = TwoHeads(way, frozen).eval()
    maps = grad_cam(net, IMAGES, "encoder")
    expected = by_hand(net.requires_grad_(True), IMAGES, "encoder")
    torch.testing.assert_close(maps, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("layers", [["1"], ["1", "3"], ["3"]])
def test_a_backward_hook_that_changes_gradients(layers: list[str]) -> None:
    """It is called with the gradient in front of its layer, as in a backward pass of the user's."""
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU()]
    net = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)).eval()
    for number in (1, 3):
        net[number].register_full_backward_hook(lambda module, into, out: (into[0] * 2,))
    exp = rv.explain(net, IMAGES, 1, layers=layers, relu=False)
    for layer in layers:
        maps = exp.maps["grad_cam", layer][:, 0]
        torch.testing.assert_close(maps, by_hand(net, IMAGES, layer), rtol=1e-5, atol=1e-7)


class Shortcut(nn.Module):
    """A block whose shortcut is an empty Sequential, called before the branch or after it."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.first = nn.Conv2d(3, 4, 3, padding=1), first
        self.shortcut, self.conv = nn.Sequential(), nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        if self.first:
            kept = self.shortcut(x)
            total = kept + self.conv(x)
        else:
            total = self.conv(x) + self.shortcut(x)
        return self.fc(F.relu(total).mean((2, 3)))


@pytest.mark.parametrize("layers", [["shortcut"], ["stem", "shortcut", "conv"]])
@pytest.mark.parametrize("first", [True, False])
def test_a_layer_that_hands_its_input_on(first: bool, layers: list[str]) -> None:
    """What the branch makes of the same tensor is no part of it."""
    net = Shortcut(first).eval()
    exp = rv.explain(net, IMAGES, 1, layers=layers, relu=False)
    with torch.no_grad():
        given = F.relu(net.stem(IMAGES))
        slope = (given + net.conv(given) > 0) * net.fc.weight[1][:, None, None] / 256
    expected = (slope.mean((2, 3), keepdim=True) * given).sum(1)
    torch.testing.assert_close(exp.maps["grad_cam", "shortcut"][:, 0], expected)


class Owning(Net):
    """Its first layer gives a buffer."""

    def __init__(self, fails: bool) -> None:
        super().__init__()
        self.owner, self.fails = Table(), fails

    def forward(self, x: Tensor) -> Tensor:
        table = self.owner()
        if self.fails:
            raise ArithmeticError("one of its own")
        return super().forward(x) * table.mean()


@pytest.mark.parametrize("fails", [False, True])
def test_a_buffer_that_a_layer_gives_is_left_as_it_was(fails: bool) -> None:
    net = Owning(fails).eval()
    with pytest.raises(ArithmeticError, match="of its own") if fails else nullcontext():
        rv.explain(net, IMAGES[:1], 1, layers="owner", relu=False)
    assert net.owner.table.is_leaf and not net.owner.table.requires_grad


class Switching(nn.Module):
    """Its encoder is trained or frozen by a switch, as backbones often are."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.up = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.decoder, self.fc = nn.Conv2d(12, 6, 3, padding=1), nn.Linear(6, 4)
        self.trained = True

    def forward(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(self.trained):
            early = F.relu(self.encoder(x))
        deep = F.relu(self.up(early))
        return self.fc(F.relu(self.decoder(torch.cat([deep, early], 1))).mean((2, 3)))


class On(Switching):
    """Gradients on in all of its forward, and off again."""

    @torch.enable_grad()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


@pytest.mark.parametrize("kind", [Switching, On])
@pytest.mark.parametrize("layers", [["encoder"], ["encoder", "up"], ["up"]])
def test_a_network_that_switches_gradients_itself(kind: type[nn.Module], layers: list[str]) -> None:
    net = kind().eval()
    exp = rv.explain(net, IMAGES, 1, layers=layers, relu=False)
    for layer in layers:
        expected = by_hand(net, IMAGES, layer)
        torch.testing.assert_close(
            exp.maps["grad_cam", layer][:, 0], expected, rtol=1e-5, atol=1e-7
        )


class Dividing(nn.Module):
    """Writes over its second input."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.place, self.fc = nn.Conv2d(3, 6, 3), nn.Linear(2, 6), nn.Linear(6, 4)
        self.in_place = in_place

    def forward(self, x: Tensor, where: Tensor) -> Tensor:
        where = where.div_(10) if self.in_place else where / 10
        return self.fc(F.relu(self.conv(x)).mean((2, 3)) * torch.tanh(self.place(where)))


@pytest.mark.parametrize("method", ["saliency", "occlusion", "integrated_gradients", "score_cam"])
def test_a_second_input_that_is_written_over(method: str) -> None:
    where = torch.tensor([[8.0, 3.0], [1.0, 9.0]])
    found = [
        rv.explain(
            Dividing(in_place).eval(),
            (IMAGES, where.clone()),
            [[0, 1, 2]] * 2,
            methods=method,
            layers="conv",
            relu=False,
            progress=False,
        )
        for in_place in (False, True)
    ]
    plain, written = (next(iter(exp.maps.values())) for exp in found)
    torch.testing.assert_close(written, plain)
