"""What is a residual addition and what is not: one toy for each clause of the definition."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from left_as_found import left_as_found
from resviz.networks.anatomy.survey import survey
from resviz.networks.surgery.blocks import drop_blocks, scale_branches, scale_shortcuts
from resviz.recording.recorder import record
from resviz.recording.recording import Recording

C = 8
IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))


class Parts(nn.Module):
    """A stem, a head, and parts to make a block of: `forward` is `head(block(self, stem(x)))`."""

    def __init__(self, block: Callable[[Parts, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = nn.Conv2d(3, C, 3, 1, 1), nn.Linear(C, 5)
        self.two = nn.Sequential(nn.Conv2d(C, C, 3, 1, 1), nn.ReLU(), nn.Conv2d(C, C, 3, 1, 1))
        self.one, self.other = nn.Conv2d(C, C, 3, 1, 1), nn.Conv2d(C, C, 3, 1, 1)
        self.point, self.depthwise = nn.Conv2d(C, C, 1), nn.Conv2d(C, C, 3, 1, 1, groups=C)
        self.part, self.down = nn.Conv2d(C // 2, C // 2, 3, 1, 1), nn.Conv2d(C, C, 3, 2, 1)
        self.a, self.norm = nn.Parameter(torch.rand(C, 1, 1)), nn.GroupNorm(1, C)
        self.low, self.high = nn.Conv2d(C, 2, 1, bias=False), nn.Conv2d(2, C, 1, bias=False)
        self.across = nn.Linear(64, 64)  # positions
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(self, self.stem(x).relu()).mean((2, 3)))


def up(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2)


def mixed(s: Parts, x: Tensor) -> Tensor:
    y = s.norm(x)
    return s.a * x + F.avg_pool2d(y, 3, 1, 1) - y


def level(s: Parts, x: Tensor) -> Tensor:
    y = s.down(x)
    return torch.cat([(s.a * x + s.a * up(y)).flatten(2), s.one(y).flatten(2)], 2)[..., None]


def bottom_up(s: Parts, x: Tensor) -> Tensor:
    low = s.down(x)
    high = s.point(x) + up(low)
    return high + up(s.down(s.one(high)) + low)


def splits(s: Parts, x: Tensor) -> Tensor:
    one, other = x.chunk(2, 1)
    return torch.cat([one, s.part(s.part(one) + other)], 1)


def logits(s: Parts, x: Tensor) -> Tensor:
    q, k, v = (f(x).flatten(2).mT for f in (s.one, s.other, s.point))
    return (v.mT @ (q @ k.mT + F.linear(q, torch.eye(64)[:, :C])).softmax(-1)).view_as(x)


def talking(s: Parts, x: Tensor) -> Tensor:
    q, k, v = (f(x).flatten(2).mT for f in (s.one, s.other, s.point))
    a = q @ k.mT / 8
    return (v.mT @ (a + s.across(a)).softmax(-1)).view_as(x)


RESIDUAL = {
    "x - f(x)": (lambda s, x: x - s.two(x), "sub", "identity"),
    "x.sub_(f(x))": (lambda s, x: x.clone().sub_(s.two(x)), "sub", "identity"),
    "stack sum": (lambda s, x: torch.stack([x, s.two(x)]).sum(0), "sum", "identity"),
    "torch.sum of stack": (lambda s, x: torch.sum(torch.stack([s.two(x), x], 1), dim=1), "sum",
                           "identity"),
    "stack mean": (lambda s, x: torch.stack([x, s.two(x)], 1).mean(1), "mean", "scaled"),
    "a graph": (lambda s, x: torch.roll(torch.eye(8), 1, 0) @ x + 0.1 * x, "add", "scaled"),
    "rsub": (lambda s, x: torch.rsub(s.two(x), x), "rsub", "identity"),
    "x + flip(x)": (lambda s, x: x + x.flip(3), "add", "identity"),
    "lerp": (lambda s, x: torch.lerp(x, s.two(x), 0.3), "lerp", "scaled"),
    "lerp by a gate": (lambda s, x: x.lerp(s.two(x), s.one(x).sigmoid()), "lerp", "scaled"),
    "addcmul": (lambda s, x: torch.addcmul(x, s.two(x), s.a, value=0.5), "addcmul", "identity"),
    "x + relu(x)": (lambda s, x: x + torch.relu(x), "add", "identity"),
    "x + pool(x)": (lambda s, x: x + F.max_pool2d(x, 3, 1, 1), "add", "identity"),
    "x + f(mean(x))": (lambda s, x: x + s.point(x.mean((2, 3), keepdim=True)), "add", "identity"),
    "f(x) + alpha x": (lambda s, x: torch.add(s.two(x), x, alpha=0.5), "add", "scaled"),
    "learned scale": (lambda s, x: s.a * x + s.two(x), "add", "scaled"),
    "learned scale, pooling": (mixed, "add", "scaled"),
    "norm": (lambda s, x: s.norm(x) + s.two(x), "add", "scaled"),
    "1x1": (lambda s, x: s.point(x) + s.two(x), "add", "projection"),
    "separable": (lambda s, x: s.point(s.depthwise(x)) + s.two(x), "add", "projection"),
    "separable, with norms": (
        lambda s, x: s.norm(s.point(s.norm(s.depthwise(x)))) + s.two(x).relu(), "add", "projection",
    ),
    "long skip": (lambda s, x: x + up(s.one(s.down(x).relu())), "add", "identity"),
}  # fmt: skip
OTHERS = {
    "pyramid": (lambda s, x: s.point(x) + up(s.one(s.down(x).relu())), "fusion"),
    "a level that goes on": (level, "fusion"),
    "a level of others": (bottom_up, "fusion"),
    "back from above": (lambda s, x: x + s.down(s.one(up(x)).relu()), "fusion"),
    "two branches": (lambda s, x: s.two(x) + s.other(s.two(x)), "fusion"),
    "one activated": (lambda s, x: s.one(x).relu() + s.two(x), "fusion"),
    "pointwise, depthwise": (lambda s, x: s.depthwise(s.point(x)) + s.two(s.two(x)), "fusion"),
    "x - mean(x)": (lambda s, x: x - x.mean(1, keepdim=True), "fusion"),
    "split to split": (splits, "inner"),
    "attention logits": (logits, "inner"),
    "scaled logits": (talking, "inner"),
    "f(x) - x": (lambda s, x: s.two(x) - x, "inner"),
    "rsub(x, f(x))": (lambda s, x: torch.rsub(x, s.two(x)), "inner"),
    "low rank": (lambda s, x: s.one(x) + s.high(s.low(x)), "adapter"),
}
NONE = {
    "x + 2 x": lambda s, x: x + 2 * x,
    "gelu by hand": lambda s, x: x * (1 + torch.tanh(0.8 * (x + 0.044715 * x.pow(3)))),
    "a learned bias": lambda s, x: s.one(x) + s.a,
}


def recorded(block: Callable[..., Tensor], **settings) -> Recording:
    net = Parts(block).eval()
    with left_as_found(net):
        rec = record(net, IMAGES, **settings)
    assert torch.equal(rec.logits, net(IMAGES))
    return rec


@pytest.mark.parametrize("name", list(RESIDUAL))
def test_residual(name: str):
    block, function, kind = RESIDUAL[name]
    table = recorded(block).residuals
    assert table[["addition", "kind", "residual"]].values.tolist() == [[function, kind, True]]


@pytest.mark.parametrize("name", list(OTHERS))
def test_not_residual(name: str):
    block, kind = OTHERS[name]
    assert len(recorded(block).residuals) == 0
    asked = recorded(block, include=[kind]).residuals
    assert set(asked["kind"]) == {kind} and not asked["residual"].any()
    assert recorded(block, include="all").residuals["addition"].tolist() == list(asked["addition"])


@pytest.mark.parametrize("name", list(NONE))
def test_no_sum_of_two_things(name: str):
    assert len(recorded(NONE[name], include="all").residuals) == 0


def test_an_hourglass_around_a_residual_block():
    def block(s: Parts, x: Tensor) -> Tensor:
        return (x + s.two(x)) + up(s.one(F.max_pool2d(x, 2)).relu())

    assert recorded(block).residuals["addition"].tolist() == ["add"]
    table = recorded(block, include="fusion").residuals
    assert table["kind"].tolist() == ["identity", "fusion"]


def test_what_is_upsampled_inside_a_branch_is_work_of_it():
    def block(s: Parts, x: Tensor) -> Tensor:
        return x + s.one(up(s.two(F.max_pool2d(x, 2))).relu())

    assert recorded(block).residuals["kind"].tolist() == ["identity"]
    both = recorded(lambda s, x: up(x) + s.one(up(s.two(x)))).residuals
    assert both["residual"].all() and len(both) == 1


def test_the_skips_of_a_wavenet_are_fusions():
    def block(s: Parts, x: Tensor) -> Tensor:
        first = s.two(x).tanh()
        inside = x + s.one(first)
        return s.point(first) + s.other(s.two(inside).tanh()) + inside.mean()

    table = recorded(block, include="fusion").residuals
    kinds = dict(zip(table["addition"], table["kind"], strict=True))
    assert kinds["add"] == "identity" and kinds["add_1"] == "fusion"


def test_a_light_branch_beside_a_heavy_one():
    def block(s: Parts, x: Tensor) -> Tensor:  # as GPT-J: both read norm(x)
        y = s.norm(x)
        return x + s.two(y) + s.point(y)

    table = recorded(block).residuals
    assert table["addition"].tolist() == ["add", "add_1"]
    assert table["kind"].tolist() == ["identity", "identity"]


def test_of_three_stacked_each_is_an_addition():
    def block(s: Parts, x: Tensor) -> Tensor:
        return torch.stack([x, s.two(x), s.one(x)]).sum(0)

    table = recorded(block).residuals
    assert table["addition"].tolist() == ["sum", "sum_1"]
    plain = recorded(lambda s, x: x + s.two(x) + s.one(x)).residuals
    columns = ["branch_rms", "shortcut_rms", "sum_rms"]
    assert torch.allclose(torch.tensor(table[columns].values), torch.tensor(plain[columns].values))


@pytest.mark.parametrize(
    ("block", "plain"),
    [
        (lambda s, x: x - s.two(x), lambda s, x: x + -s.two(x)),
        (lambda s, x: torch.lerp(x, s.two(x), 0.3), lambda s, x: 0.7 * x + 0.3 * s.two(x)),
        (lambda s, x: torch.add(s.two(x), x, alpha=0.5), lambda s, x: s.two(x) + 0.5 * x),
        (lambda s, x: torch.addcmul(x, s.two(x), s.a), lambda s, x: x + s.a * s.two(x)),
        (lambda s, x: torch.stack([x, s.two(x)]).sum(0), lambda s, x: x + s.two(x)),
        (lambda s, x: torch.stack([x, s.two(x)]).mean(0), lambda s, x: 0.5 * x + 0.5 * s.two(x)),
        (lambda s, x: torch.rsub(s.two(x), x), lambda s, x: x + -s.two(x)),
    ],
    ids=["sub", "lerp", "alpha", "addcmul", "stack", "mean", "rsub"],
)
def test_numbers_are_those_of_the_sum_written_out(block, plain):
    one, other = (recorded(f).residuals.select_dtypes("float") for f in (block, plain))
    assert one.notna().all(axis=None)
    assert torch.allclose(torch.tensor(one.values), torch.tensor(other.values), rtol=1e-4)


def test_a_share_that_is_not_there_has_a_reason():
    table = recorded(lambda s, x: torch.addcmul(x, x, s.one(x).sigmoid())).residuals
    assert table["grad_branch_share"].isna().all()
    assert "in one function" in table["grad_reason"].item()
    assert recorded(lambda s, x: x + s.two(x)).residuals["grad_reason"].tolist() == [""]
    without = recorded(lambda s, x: x + s.two(x), gradients=False).residuals
    assert without["grad_reason"].isna().all()
    table = recorded(lambda s, x: x.detach() + s.two(x.detach())).residuals
    assert "both operands are detached" in table["grad_reason"].item()


@pytest.mark.parametrize(
    ("block", "part", "share"),
    [
        (lambda s, x: x.detach() + s.two(x), "shortcut", 1),
        (lambda s, x: x + s.two(x.detach()), "branch", 0),
        (lambda s, x: s.point(x) + s.two(x.detach().relu()), "branch", 0),
    ],
    ids=["shortcut", "branch", "branch beside a projection"],
)
def test_the_part_of_a_detached_side_is_zero(block, part: str, share: int):
    row = recorded(block).residuals.iloc[0]
    assert (row[f"grad_{part}_rms"], row["grad_branch_share"], row["grad_reason"]) == (0, share, "")
    assert row["grad_branch_rms"] + row["grad_shortcut_rms"] > 0


@pytest.mark.parametrize("name", ["x - f(x)", "stack sum", "stack mean", "rsub", "lerp", "addcmul"])
def test_surgery_reaches_every_way_to_add(name: str):
    block, function, _ = RESIDUAL[name]
    net = Parts(block).eval()
    x = net.stem(IMAGES).relu()
    total = net.block(net, x)
    shortcut = {"lerp": 0.7, "stack mean": 0.5}.get(name, 1.0) * x
    branch = total - shortcut
    with left_as_found(net):
        for change, right in (
            (drop_blocks(net, function, images=IMAGES), shortcut),
            (scale_branches(net, 0.5, images=IMAGES), shortcut + 0.5 * branch),
            (scale_shortcuts(net, 0.5, images=IMAGES), 0.5 * shortcut + branch),
        ):
            with change:
                got = net(IMAGES)
            assert torch.allclose(got, net.head(right.mean((2, 3))), atol=1e-5)


def test_surgery_leaves_other_sums_alone_unless_asked():
    net = Parts(OTHERS["pyramid"][0]).eval()
    with pytest.raises(ValueError, match="without residual additions"):
        scale_branches(net, 0.0, images=IMAGES).__enter__()
    with scale_branches(net, 0.0, images=IMAGES, include="fusion"):
        got = net(IMAGES)
    assert torch.allclose(got, net.head(net.point(net.stem(IMAGES).relu()).mean((2, 3))), atol=1e-6)
    with pytest.raises(ValueError, match="include 'fussion'; one of all, fusion"):
        record(net, IMAGES, include="fussion")


class Queries(nn.Module):
    """A decoder on learned queries, with positions that are added to queries in each layer."""

    def __init__(self, positions: bool) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(6, 16), nn.Linear(16, 5)
        self.start, self.place = (nn.Parameter(torch.randn(4, 16)) for _ in range(2))
        self.positions = positions
        self.own, self.cross, self.mlp = (
            nn.ModuleList(f() for _ in range(2))
            for f in (lambda: nn.MultiheadAttention(16, 2, batch_first=True),) * 2
            + (lambda: nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 16)),)
        )

    def forward(self, x: Tensor) -> Tensor:
        memory, place = self.embed(x), self.place.expand(len(x), -1, -1)
        x = self.start.expand(len(x), -1, -1)
        for own, cross, mlp in zip(self.own, self.cross, self.mlp, strict=True):
            q = x + place if self.positions else x
            x = x + own(q, q, x)[0]
            q = x + place if self.positions else x
            x = x + cross(q, memory, memory)[0]
            x = x + mlp(x)
        return self.head(x.mean(1))


@pytest.mark.parametrize("positions", [False, True])
def test_a_stream_that_starts_at_a_parameter(positions: bool):
    torch.manual_seed(0)
    net = Queries(positions).eval()
    rec = record(net, torch.randn(2, 7, 6))
    assert rec.residuals["kind"].tolist() == ["identity"] * 6
    assert torch.allclose(rec.logits, net(torch.randn(2, 7, 6)), atol=10)


class Token(nn.Module):
    """A class token that reads all tokens, joined with them and taken out again."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(6, 16), nn.Linear(16, 5)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.read = nn.MultiheadAttention(16, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.token.expand(len(x), -1, -1), self.embed(x)], 1)
        return self.head((x[:, :1] + self.read(x[:, :1], x, x)[0])[:, 0])


def test_a_class_token_is_all_of_itself():
    rec = record(Token().eval(), torch.randn(2, 7, 6))
    assert rec.residuals["kind"].tolist() == ["identity"]


class Pooling(nn.Module):
    """Tokens pooled in pairs on the shortcut, the class token cut off for it and joined again."""

    def __init__(self, projects: bool, order: str = "cut") -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(6, 16), nn.Linear(16, 5)
        self.branch, self.norm = nn.Conv1d(16, 16, 3, 2, 1), nn.LayerNorm(16)
        self.wider, self.order = nn.Linear(16, 16) if projects else nn.Identity(), order

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        token, patches = torch.tensor_split(self.wider(x), (1,), 1)
        if self.order == "first alone":
            patches = patches[:, 2:]
        pooled = F.max_pool1d(patches.mT, 2).mT
        shortcut = torch.cat([token, pooled], 1)
        branch = self.branch(self.norm(x).mT).mT[:, : shortcut.shape[1]]
        return self.head((shortcut + branch).mean(1))


@pytest.mark.parametrize(("projects", "kind"), [(True, "projection"), (False, "padded")])
def test_pooling_beside_a_class_token_carries_all_of_the_root(projects: bool, kind: str):
    net, tokens = Pooling(projects).eval(), torch.randn(2, 9, 6)
    with left_as_found(net):
        rec = record(net, tokens)
    assert rec.residuals[["addition", "kind"]].values.tolist() == [["add", kind]]


@pytest.mark.parametrize("size", [8, 2])
def test_a_pooled_projection_is_one_of_one_position_too(size: int):
    net = Parts(lambda s, x: s.point(F.avg_pool2d(x, 2)) + s.down(s.two(x)))
    table = record(net.eval(), IMAGES[..., :size, :size]).residuals
    assert table["kind"].tolist() == ["projection"]


def test_what_is_cut_and_only_in_part_joined_again_is_no_shortcut():
    assert len(record(Pooling(False, "first alone").eval(), torch.randn(2, 9, 6)).residuals) == 0


@pytest.mark.thorough
def test_mvit_has_two_additions_in_each_layer_and_the_pooled_query_in_each_attention():
    video = pytest.importorskip("torchvision.models.video")
    found = survey(video.mvit_v2_s(num_classes=5).eval(), (torch.zeros(1, 3, 16, 224, 224),))
    assert len(found.additions) == 16 * 3
    pooled = [a.name for a in found.additions if a.kind == "projection"]
    assert pooled == ["blocks.1.add", "blocks.3.add", "blocks.14.add"]
