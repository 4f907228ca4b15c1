"""Surgery, and what records the forward pass alone, needs no logits: whatever a network returns."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from left_as_found import left_as_found


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.last(self.conv(x).relu())).relu()


class Body(nn.Module):
    """Two residual blocks; what is returned is made by `ends`."""

    def __init__(self, ends: Callable[[list[Tensor]], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.one, self.two = nn.Conv2d(3, 8, 3, padding=1), Block(), Block()
        self.ends = ends

    def forward(self, images: Any) -> Any:
        x = torch.stack([*images]) if isinstance(images, list) else images
        first = self.one(self.stem(x))
        return self.ends([first, self.two(first)])


class Named(dict):  # as a ModelOutput: fields by name, in order
    pass


def detections(maps: list[Tensor]) -> list[dict[str, Tensor]]:
    """Boxes where a map is largest, as many as there are."""
    rows = [m.amax(0) for m in maps[-1]]
    return [{"boxes": (row > row.mean()).nonzero().float(), "scores": row.flatten()[:0]}
            for row in rows]  # fmt: skip


BATCH = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
NETWORKS: dict[str, tuple[Callable[[list[Tensor]], Any], Any]] = {
    "a detector, images in a list": (detections, list(BATCH)),
    "a dictionary": (lambda maps: {"scores": maps[1].mean((2, 3)), "aux": maps[0]}, BATCH),
    "hidden states": (lambda maps: Named(last_hidden_state=maps[1], pooler=maps[0]), BATCH),
    "a list of maps": (list, BATCH),
    "nothing": (lambda maps: None, BATCH),
}


@pytest.fixture(params=list(NETWORKS))
def case(request: pytest.FixtureRequest) -> tuple[Body, Any]:
    ends, images = NETWORKS[request.param]
    return Body(ends).eval(), images


def last_of(net: nn.Module, images: Any) -> Tensor:
    """The last block's output."""
    rec = rv.record(net, images, gradients=False, keep=["two"])
    return rec["two"]


def test_the_forward_pass_is_recorded(case: tuple[Body, Any]) -> None:
    net, images = case
    with left_as_found(net):
        rec = rv.record(net, images, gradients=False, keep="blocks")
    assert rec.residuals["addition"].tolist() == ["one.add", "two.add"]
    assert rec.residuals["ratio"].notna().all() and rec.provenance["output"] == "none"
    assert len(rv.list_layers(net, images)) == len(rec.layers)
    assert len(rv.residual_branches(net, images)) == 2
    assert len(rv.branch_study(net, images, progress=False)) == 2
    assert rv.explore_feature_maps(rec).payload().buffer


@pytest.mark.parametrize(
    ("change", "factors"),
    [
        (lambda net, x: rv.drop_blocks(net, ["two"], images=x), (1.0, 0.0)),
        (lambda net, x: rv.scale_branches(net, 0.5, "two", images=x), (1.0, 0.5)),
        (lambda net, x: rv.scale_shortcuts(net, 0.0, "two", images=x), (0.0, 1.0)),
        (lambda net, x: rv.zero_init_residual(net, "two", images=x), (1.0, 0.0)),
    ],
    ids=["drop", "branches", "shortcuts", "zero"],
)
@torch.no_grad()
def test_surgery(
    case: tuple[Body, Any],
    change: Callable[[nn.Module, Any], AbstractContextManager[None]],
    factors: tuple[float, float],
) -> None:
    net, images = case
    first = net.one(net.stem(BATCH))
    branch = net.two.last(net.two.conv(first).relu())
    with left_as_found(net), change(net, images):
        got = last_of(net, images)
    torch.testing.assert_close(got, (factors[0] * first + factors[1] * branch).relu())


@torch.no_grad()
def test_copies(case: tuple[Body, Any]) -> None:
    net, images = case
    with left_as_found(net):
        twin = rv.plain_twin(net, "copied", images=images)
        fresh = rv.untrained_copy(net)
    x = net.stem(BATCH)
    for block in (net.one, net.two):
        x = block.last(block.conv(x).relu()).relu()
    torch.testing.assert_close(last_of(twin, images), x)
    assert rv.record(twin, images, gradients=False).residuals.empty
    assert type(fresh(images)) is type(net(images))


class Shaped(Block):
    """How much of the branch it adds depends on values, which tracing does not have."""

    def forward(self, x: Tensor) -> Tensor:
        factor = 2.0 if float(x.detach().mean()) > 1e9 else 1.0
        return x + factor * self.last(self.conv(x))


def test_a_twin_that_cannot_be_says_what_does_the_same() -> None:
    net = Body(list).eval()
    net.two = Shaped().eval()
    with pytest.raises(rv.errors.NotTraceable, match=r"plain_twin: block 'two'.*scale_shortcuts"):
        rv.plain_twin(net, images=BATCH)


def test_a_wrong_twin_is_noticed_without_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    from resviz.networks.surgery import twin

    monkeypatch.setattr(twin, "_put_branch", lambda graph, node, operand: None)
    net = Body(lambda maps: {"boxes": maps[1].flatten(1)[:, :0]}).eval()
    with pytest.raises(rv.errors.NotTraceable, match="does not give what the branches alone give"):
        twin.plain_twin(net, images=BATCH)
