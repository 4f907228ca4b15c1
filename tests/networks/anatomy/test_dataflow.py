"""Residual additions are found by structure: what is one, what is none, what is added to what.

Each toy block (recording/toys.py) is recorded and compared with its own `branch` and `shortcut`,
which are run apart, on two copies of the block's input.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from cases import thorough_but
from left_as_found import left_as_found
from recording import toys
from resviz.recording.recorder import record
from resviz.recording.recording import Recording


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors: a second thread only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))


def recorded(net: nn.Module, *inputs: Tensor, **settings) -> Recording:
    with left_as_found(net):
        return record(net, inputs if len(inputs) > 1 else inputs[0], **settings)


def parts_apart(net: toys.Net) -> dict[str, Tensor]:
    """Branch, shortcut and the gradient of the summed logits of the predicted classes in each."""
    x = torch.relu(net.stem(IMAGES)).detach()
    to_branch, to_shortcut = (x.clone().requires_grad_(True) for _ in range(2))
    branch, shortcut = net.block.branch(to_branch), net.block.shortcut(to_shortcut)
    total = branch + shortcut
    logits = net.after(total)
    loss = logits.max(1).values.sum()
    grads = torch.autograd.grad(loss, [to_branch, to_shortcut, total])
    return {
        "branch": branch.detach(),
        "shortcut": shortcut.detach(),
        "sum": total.detach(),
        **dict(zip(("grad_branch", "grad_shortcut", "grad_sum"), grads, strict=True)),
    }


@pytest.mark.parametrize("block", list(toys.KINDS), ids=lambda b: b.__name__)
def test_one_addition_of_the_right_kind(block: type[nn.Module]):
    net = toys.net_of(block)
    rec = recorded(net, IMAGES, gradients=False)
    assert list(rec.residuals["block"]) == ["block"]
    assert list(rec.residuals["kind"]) == [toys.KINDS[block]]
    assert torch.equal(rec.logits, net(IMAGES))


@pytest.mark.parametrize("block", list(toys.KINDS), ids=lambda b: b.__name__)
def test_branch_shortcut_and_sum_are_what_is_added(block: type[nn.Module]):
    net = toys.net_of(block)
    (name,) = recorded(net, IMAGES, gradients=False).residuals["addition"]
    right = parts_apart(net)
    rec = recorded(net, IMAGES, keep=[f"{name}:{part}" for part in ("branch", "shortcut", "sum")])
    for part in ("branch", "shortcut", "sum"):
        assert torch.allclose(rec[f"{name}:{part}"], right[part], atol=1e-6), part
        rms = right[part].double().square().mean().sqrt().item()
        assert rec.residuals[f"{part}_rms"].item() == pytest.approx(rms, rel=1e-5), part


@pytest.mark.parametrize(
    "block", thorough_but(toys.KINDS, toys.OF_EACH_KIND), ids=lambda b: b.__name__
)
def test_gradient_of_each_part_at_the_block_input(block: type[nn.Module]):
    net = toys.net_of(block)
    rec = recorded(net, IMAGES)
    right = parts_apart(net)
    for part in ("grad_branch", "grad_shortcut", "grad_sum"):
        rms = right[part].double().square().mean().sqrt().item()
        assert rec.residuals[f"{part}_rms"].item() == pytest.approx(rms, rel=1e-5), part
    branch, shortcut = (right[f"grad_{p}"].double() for p in ("branch", "shortcut"))
    whole = branch + shortcut
    share = ((branch * whole).sum() / (whole * whole).sum()).item()
    assert rec.residuals["grad_branch_share"].item() == pytest.approx(share, abs=1e-5)
    cosine = torch.cosine_similarity(branch.flatten(), shortcut.flatten(), dim=0).item()
    assert rec.residuals["grad_cosine"].item() == pytest.approx(cosine, abs=1e-5)


@pytest.mark.parametrize("block", toys.NOT_RESIDUAL, ids=lambda b: b.__name__)
def test_no_residual_addition(block: type[nn.Module]):
    rec = recorded(toys.net_of(block), IMAGES)
    assert len(rec.residuals) == 0
    assert list(rec.residuals.columns)[:3] == ["addition", "block", "call"]


def test_an_addition_with_alpha_adds_the_scaled_tensor():
    class Alpha(toys.Block):
        def forward(self, x):
            return torch.add(x, self.body(x), alpha=0.25)

        def branch(self, x):
            return 0.25 * self.body(x)

    net = toys.net_of(Alpha)
    right = parts_apart(net)
    rec = recorded(net, IMAGES, keep=["block.add:branch", "block.add:sum"])
    assert torch.allclose(rec["block.add:branch"], right["branch"], atol=1e-6)
    row = rec.residuals.iloc[0]
    assert row["branch_rms"] == pytest.approx(right["branch"].square().mean().sqrt().item())
    product = (right["branch"] * right["shortcut"]).mean().item()
    assert row["cosine"] * row["branch_rms"] * row["shortcut_rms"] == pytest.approx(product)


def test_an_inner_and_an_outer_addition():
    net = toys.net_of(toys.Nested)
    rec = recorded(net, IMAGES, keep=["block.add:branch", "block.add:shortcut"])
    assert list(rec.residuals["addition"]) == ["block.inner.add", "block.add"]
    assert list(rec.residuals["kind"]) == ["identity", "identity"]
    right = parts_apart(net)
    assert torch.allclose(rec["block.add:branch"], right["branch"], atol=1e-6)
    assert torch.equal(rec["block.add:shortcut"], right["shortcut"])


class TwoInABlock(toys.Block):
    def __init__(self) -> None:
        super().__init__()
        self.second = toys.convolutions()

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.body(x)
        return x + self.second(x)


def test_two_additions_in_one_block():
    net = toys.net_of(TwoInABlock)
    rec = recorded(net, IMAGES, keep=["block.add:sum", "block.add_1:shortcut"])
    assert list(rec.residuals["addition"]) == ["block.add", "block.add_1"]
    assert list(rec.residuals["block"]) == ["block", "block"]
    assert torch.equal(rec["block.add:sum"], rec["block.add_1:shortcut"])
    assert rec.residuals.filter(like="grad_").notna().all(axis=None)


class Direct(nn.Module):
    """The addition is in the network itself, on its input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return (x + self.conv(x)).mean((2, 3))


def test_a_residual_on_the_input_of_the_network():
    net = Direct().eval()
    rec = recorded(net, IMAGES, keep=["add:branch", "add:shortcut"])
    assert list(rec.residuals["addition"]) == ["add"]
    assert list(rec.residuals["kind"]) == ["identity"]
    assert list(rec.residuals["block"]) == [""]
    assert torch.equal(rec["add:shortcut"], IMAGES)
    assert torch.equal(rec["add:branch"], net.conv(IMAGES))
    assert rec.residuals.filter(like="grad_").notna().all(axis=None)


class Shared(nn.Module):
    """One block, run twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, toys.WIDTH, 3, 1, 1), toys.InPlaceThenReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.block(self.block(self.stem(x))).mean((2, 3))


def test_a_shared_block_that_runs_twice():
    net = Shared().eval()
    rec = recorded(net, IMAGES, keep=["block", "block.add:sum", "block.add:shortcut", "block:grad"])
    assert list(rec.residuals["addition"]) == ["block.add", "block.add"]
    assert list(rec.residuals["call"]) == [0, 1]
    first, second = rec["block.add:sum", 0], rec["block.add:sum", 1]
    assert torch.equal(torch.relu(first), rec["block", 0])
    assert torch.equal(torch.relu(second), rec["block", 1])
    assert torch.equal(rec["block.add:shortcut", 1], rec["block", 0])
    assert not torch.equal(rec["block:grad", 0], rec["block:grad", 1])
    assert list(rec.layers.query("layer == 'block.body.0'")["call"]) == [0, 1]


class Audio(nn.Module):
    """1-D convolutions on a waveform (N, 1, L)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, 8, 9, 4, 4)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 8, 3, 1, d, d)) for d in (1, 2)
        )
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.mean(2))


def test_audio():
    rec = recorded(Audio().eval(), torch.randn(2, 1, 64))
    assert list(rec.residuals["addition"]) == ["add", "add_1"]
    assert list(rec.residuals["kind"]) == ["identity"] * 2
    assert rec.pictures is None
    assert int(rec.layers["depth"].max()) == 4


class Waveform(Audio):
    """Takes (N, L) and makes the channel itself."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.unsqueeze(1))


def test_audio_without_a_channel():
    rec = recorded(Waveform().eval(), torch.randn(2, 64))
    assert len(rec.residuals) == 2


class Text(nn.Module):
    """Token and position embeddings, two transformer layers, mean, linear."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(50, 16), nn.Embedding(32, 16)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 3)

    def forward(self, ids: Tensor) -> Tensor:
        at = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        x = self.tokens(ids) + self.positions(at)
        return self.head(self.encoder(x).mean(1))


def encoder_layer(norm_first: bool) -> nn.Module:
    return nn.TransformerEncoderLayer(16, 2, 32, 0.1, batch_first=True, norm_first=norm_first)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("gradients", [False, True])
def test_text(norm_first: bool, gradients: bool):
    net = Text(encoder_layer(norm_first)).eval()
    ids = torch.randint(0, 50, (2, 7))
    rec = recorded(net, ids, gradients=gradients)
    owners = ["encoder.layers.0", "encoder.layers.0", "encoder.layers.1", "encoder.layers.1"]
    assert list(rec.residuals["block"]) == owners
    assert list(rec.residuals["kind"]) == ["identity"] * 4
    assert rec.pictures is None
    assert torch.allclose(rec.logits, net(ids), atol=1e-5)
    if gradients:
        assert rec.residuals.filter(like="grad_").notna().all(axis=None)
        assert rec.parameters["grad_norm"].notna().all()


class OwnTransformer(nn.Module):
    """Parallel attention and MLP: x + a(n(x)) + m(n(x)) (GPT-J)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Embedding(50, 16), nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        n = self.norm(x)
        return (x + self.attention(n, n, n, need_weights=False)[0] + self.mlp(n)).mean(1)


def test_parallel_attention_and_mlp():
    net, ids = OwnTransformer().eval(), torch.randint(0, 50, (2, 7))
    rec = recorded(net, ids, keep=["add:branch", "add:shortcut", "add_1:branch", "add_1:shortcut"])
    assert list(rec.residuals["addition"]) == ["add", "add_1"]
    x = net.embed(ids)
    n = net.norm(x)
    attended = net.attention(n, n, n, need_weights=False)[0]
    for key, right in {
        "add:branch": attended,
        "add:shortcut": x,
        "add_1:branch": net.mlp(n),
        "add_1:shortcut": x + attended,
    }.items():
        assert torch.allclose(rec[key], right, atol=1e-5), key
    assert list(rec.residuals["kind"]) == ["identity", "identity"]


class UNet(nn.Module):
    """Two long additive skips around blocks that have shortcuts of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, toys.WIDTH, 3, 1, 1)
        self.down = nn.Conv2d(toys.WIDTH, toys.WIDTH, 2, 2)
        self.middle = toys.Block()
        self.up = nn.ConvTranspose2d(toys.WIDTH, toys.WIDTH, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.stem(x)
        coarse = self.down(fine)
        coarse = coarse + self.middle(coarse)
        return (self.up(coarse) + fine).mean((2, 3))


def test_long_additive_skips():
    net = UNet().eval()
    rec = recorded(net, IMAGES, keep=["add:shortcut", "add_1:shortcut", "add_1:branch"])
    assert list(rec.residuals["addition"]) == ["middle.add", "add", "add_1"]
    assert list(rec.residuals["kind"]) == ["identity"] * 3
    fine = net.stem(IMAGES)
    coarse = net.down(fine)
    assert torch.allclose(rec["add:shortcut"], coarse, atol=1e-6)
    assert torch.allclose(rec["add_1:shortcut"], fine, atol=1e-6)
    right = net.up(coarse + net.middle(coarse))
    assert torch.allclose(rec["add_1:branch"], right, atol=1e-6)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(1, 4, 3, 1, 1)
        self.block = toys.Block()

    def forward(self, image: Tensor, depth: Tensor) -> dict[str, Tensor]:
        fused = self.left(image) + self.right(depth)
        out = self.block(fused)
        return {"features": out, "logits": out.mean((2, 3))}


def test_two_inputs_and_a_dictionary_as_output():
    net = TwoInputs().eval()
    depth = torch.randn(2, 1, 8, 8)
    rec = recorded(net, IMAGES, depth)
    assert list(rec.residuals["addition"]) == ["block.add"]  # fusing two inputs is no shortcut
    assert torch.equal(rec.logits, net(IMAGES, depth)["logits"])


class Wrapped(nn.Module):
    """As nn.DataParallel: the network is its only child."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        return self.module(*args, **kwargs)


@pytest.mark.parametrize("wrap", [Wrapped, nn.DataParallel])
def test_a_wrapped_network(wrap: type[nn.Module]):
    if wrap is nn.DataParallel and torch.cuda.device_count() > 1:
        pytest.skip("DataParallel would copy the network")
    inner = toys.net_of(toys.InPlaceThenReLU)
    rec = recorded(wrap(inner).eval(), IMAGES)
    plain = recorded(inner, IMAGES)
    assert list(rec.residuals["addition"]) == ["module.block.add"]
    assert list(rec.layers["layer"]) == [f"module.{name}" for name in plain.layers["layer"]]
    assert list(rec.layers["rms"]) == list(plain.layers["rms"])


def test_a_wrapped_block():
    net = toys.net_of(toys.Block)
    plain = recorded(net, IMAGES)
    net.block = Wrapped(net.block)
    rec = recorded(net, IMAGES)
    assert list(rec.residuals["addition"]) == ["block.module.add"]
    assert list(rec.layers.query("kind == 'block'")["layer"]) == ["block.module"]
    assert list(rec.layers["rms"]) == list(plain.layers["rms"])


@pytest.mark.parametrize("block", [toys.AsModule, toys.SequentialBlock], ids=lambda b: b.__name__)
def test_the_block_is_the_module_that_holds_branch_and_sum(block: type[nn.Module]):
    rec = recorded(toys.net_of(block), IMAGES)
    rows = rec.layers.query("kind == 'block'")
    assert list(rows["layer"]) == ["block"]
    inside = rec.layers[rec.layers["layer"].str.startswith("block")]
    assert set(inside["block"]) == {"block"}
    assert set(rec.residuals["block"]) <= set(rec.layers["block"])


class Caught(nn.Module):
    """A child fails, its parent goes on without it."""

    class Fails(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("not today")

    def __init__(self) -> None:
        super().__init__()
        self.fails, self.block, self.stem = self.Fails(), toys.Block(), nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        try:
            x = self.fails(x)
        except RuntimeError:
            x = self.block(x)
        return x.mean((2, 3))


def test_a_child_whose_error_is_caught():
    rec = recorded(Caught().eval(), IMAGES)
    assert list(rec.residuals["addition"]) == ["block.add"]
    assert list(rec.layers["call"]) == [0] * len(rec.layers)


class Checkpointing(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.net, self.reentrant = toys.net_of(toys.InPlaceThenReLU), reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.net.stem(x))
        run = torch.utils.checkpoint.checkpoint
        return self.net.after(run(self.net.block, x, use_reentrant=self.reentrant))


def test_checkpointing_that_is_not_reentrant_changes_no_number():
    rec = recorded(Checkpointing(False).eval(), IMAGES, keep=["net.block", "net.block:grad"])
    plain = recorded(toys.net_of(toys.InPlaceThenReLU), IMAGES, keep=["block", "block:grad"])
    assert list(rec.layers["call"]) == [0] * len(rec.layers)  # the second run leaves no rows
    assert list(rec.layers["grad_rms"]) == list(plain.layers["grad_rms"])
    columns = plain.residuals.select_dtypes("float").columns
    assert rec.residuals[columns].equals(plain.residuals[columns])
    assert torch.equal(rec["net.block:grad"], plain["block:grad"])


def test_reentrant_checkpointing_without_gradients():
    with pytest.warns(UserWarning, match="requires_grad"):  # torch's own
        rec = recorded(Checkpointing(True).eval(), IMAGES, gradients=False)
    assert list(rec.residuals["addition"]) == ["net.block.add"]


def test_reentrant_checkpointing_with_gradients_says_what_is_wrong():
    net = Checkpointing(True).eval()
    with pytest.raises(RuntimeError, match="record: .*checkpoint"), left_as_found(net):
        record(net, IMAGES)


class MixedGradients(nn.Module):
    """A frozen first half, run under no_grad."""

    def __init__(self) -> None:
        super().__init__()
        self.net = toys.net_of(toys.Block)
        self.second = toys.Block()

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.net.block(torch.relu(self.net.stem(x)))
        return self.second(x).mean((2, 3))


def test_a_half_without_gradients():
    rec = recorded(MixedGradients().eval(), IMAGES)
    assert list(rec.residuals["addition"]) == ["net.block.add", "second.add"]
    assert rec.residuals["grad_sum_rms"].isna().tolist() == [True, False]
    first = rec.layers[rec.layers["layer"].str.startswith("net.")]
    assert first["grad_rms"].isna().all()
    assert rec.layers.query("layer == 'second'")["grad_rms"].notna().all()


def test_autograd_function_of_the_users_own():
    class Double(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, gradient):
            return 2 * gradient

    class Custom(toys.Block):
        def branch(self, x):
            return Double.apply(self.body(x))

    net = toys.net_of(Custom)
    rec = recorded(net, IMAGES)
    assert list(rec.residuals["kind"]) == ["identity"]
    right = parts_apart(net)["grad_branch"].square().mean().sqrt().item()
    assert rec.residuals["grad_branch_rms"].item() == pytest.approx(right, rel=1e-5)


def gate(one: Tensor, other: Tensor) -> Tensor:
    return torch.tanh(one) * torch.sigmoid(other)


class Gated(nn.Module):
    """As in WaveGlow: two halves, and a gate of them that is compiled in WaveGlow itself."""

    def __init__(self, gate) -> None:
        super().__init__()
        self.one, self.other = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
        self.out, self.gate = nn.Conv2d(4, 4, 1), gate

    def forward(self, x: Tensor) -> Tensor:
        return x + self.out(self.gate(self.one(x), self.other(x)))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_a_scripted_function_is_seen_like_the_same_one_unscripted():
    tables = []
    for function in (gate, torch.jit.script(gate)):
        net = nn.Sequential(nn.Conv2d(3, 4, 1), Gated(function), Gated(function)).eval()
        rec = record(net, torch.ones(2, 3, 8, 8), gradients=False)
        tables.append((rec.layers["depth"].tolist(), rec.residuals["addition"].tolist()))
    assert tables[0] == tables[1] and tables[0][1] == ["1.add", "2.add"]


@dataclass
class Returned:
    """What some networks return."""

    logits: Tensor


class Biased(nn.Module):
    """Attention whose logits get a bias that is computed of the tokens: no residual addition."""

    def __init__(self, wrap) -> None:
        super().__init__()
        self.queries, self.keys, self.bias = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 5)
        self.head, self.wrap = nn.Linear(8, 3), wrap

    def forward(self, x: Tensor):
        logits = self.queries(x) @ self.keys(x).mT
        logits = logits + self.bias(x)
        x = x + logits.softmax(-1) @ x
        return self.wrap(self.head(x.mean(1)))


@pytest.mark.parametrize(
    "wrap", [tuple, Returned, lambda y: SimpleNamespace(logits=y)], ids=["tuple", "class", "object"]
)
def test_what_a_network_returns_may_be_an_object_with_logits(wrap):
    torch.manual_seed(0)
    wrap = (lambda y: (y,)) if wrap is tuple else wrap
    rec = record(Biased(wrap).eval(), torch.randn(2, 5, 8), gradients=False)
    assert rec.residuals["addition"].tolist() == ["add_1"]
