"""Every torchvision family: rows, additions and their names, depth, sampled layers.

Four independent sources: a table of counts, torchvision's own fx names, plain forward hooks that
count calls, and a capture of three sampled layers by a hook that copies.
"""

from __future__ import annotations

import random
import warnings
from collections import Counter

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.feature_extraction import get_graph_node_names

from cases import families, thorough_but
from left_as_found import left_as_found
from of_torchvision import made
from recording.rewrites import perturb
from resviz.networks.anatomy.survey import list_layers
from resviz.recording.recorder import record

# name: (side of the images, additions by kind, depth)
FAMILIES: dict[str, tuple[int, dict[str, int], int | None]] = {
    "resnet18": (64, {"identity": 5, "projection": 3}, 18),
    "resnet34": (64, {"identity": 13, "projection": 3}, 34),
    "resnet50": (64, {"identity": 12, "projection": 4}, 50),
    "resnet101": (64, {"identity": 29, "projection": 4}, 101),
    "resnet152": (64, {"identity": 46, "projection": 4}, 152),
    "resnext50_32x4d": (64, {"identity": 12, "projection": 4}, 50),
    "wide_resnet50_2": (64, {"identity": 12, "projection": 4}, 50),
    "regnet_y_400mf": (64, {"identity": 12, "projection": 4}, None),
    "mobilenet_v2": (64, {"identity": 10}, 53),
    "mobilenet_v3_large": (64, {"identity": 10}, None),
    "mnasnet1_0": (64, {"identity": 10}, 53),
    "efficientnet_b0": (64, {"identity": 9}, None),
    "efficientnet_v2_s": (64, {"identity": 35}, None),
    "convnext_tiny": (64, {"identity": 18}, None),
    "vit_b_16": (64, {"identity": 24}, None),
    "swin_t": (64, {"identity": 24}, None),
    "densenet121": (64, {}, 121),
    "vgg19": (64, {}, 19),
    "vgg16_bn": (64, {}, 16),
    "googlenet": (64, {}, 22),
    "inception_v3": (96, {}, None),
    "shufflenet_v2_x1_0": (64, {}, None),
    "squeezenet1_1": (64, {}, None),
    "alexnet": (64, {}, 8),
}
QUICK = ("resnet18", "mobilenet_v2", "shufflenet_v2_x1_0", "squeezenet1_1", "efficientnet_b0")
ALL = families(FAMILIES, QUICK, ("resnet18", "squeezenet1_1"))


def build(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(2)
    return perturb(made(name, 10)), torch.randn(2, 3, FAMILIES[name][0], FAMILIES[name][0])


def capture(net: nn.Module, images: Tensor, paths: list[str]) -> dict[tuple[str, int], Tensor]:
    """A copy of every output of `paths`, by plain hooks."""
    found: dict[tuple[str, int], Tensor] = {}
    calls: Counter[str] = Counter()

    def hook(path: str, output: Tensor | tuple[Tensor, ...]) -> None:
        first = output[0] if isinstance(output, tuple) else output  # of attention
        found[path, calls[path]] = first.detach().clone()
        calls[path] += 1

    handles = [
        net.get_submodule(p).register_forward_hook(lambda m, a, out, p=p: hook(p, out))
        for p in paths
    ]
    with torch.no_grad():
        net(images)
    for handle in handles:
        handle.remove()
    return found


def leaf_calls(net: nn.Module, images: Tensor) -> Counter[str]:
    calls: Counter[str] = Counter()
    handles = [
        module.register_forward_hook(
            lambda m, a, out, p=path: calls.update([p] if isinstance(out, Tensor | tuple) else [])
        )
        for path, module in net.named_modules()
        if not list(module.children()) or isinstance(module, nn.MultiheadAttention)
    ]
    with torch.no_grad():
        net(images)
    for handle in handles:
        handle.remove()
    return calls


def fx_additions(net: nn.Module) -> list[str]:
    """torchvision's names of all additions of the traced network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nodes = get_graph_node_names(net, suppress_diff_warning=True)[1]
    return [n for n in nodes if n.rpartition(".")[2].partition("_")[0] == "add"]


@pytest.mark.parametrize("name", ALL)
def test_family(name: str):
    side, kinds, depth = FAMILIES[name]
    net, images = build(name)
    with left_as_found(net):
        rec = record(net, images, gradients=name in QUICK)
    assert torch.equal(rec.logits, net(images).detach())

    # additions: counts, kinds, torchvision's names in order
    assert dict(Counter(rec.residuals["kind"])) == kinds
    names = list(rec.residuals["addition"])
    fx = fx_additions(net)
    assert set(names) <= set(fx)
    if name not in ("vit_b_16", "swin_t"):  # these add position embeddings, biases and masks too
        assert names == [n for n in fx if n in names] and len(names) == len(fx)

    # depth
    if depth is not None:
        assert int(rec.layers["depth"].max()) == depth

    # rows: the leaf calls and the blocks
    calls = leaf_calls(net, images)
    leaves = rec.layers.query("kind == 'leaf'")
    assert Counter(leaves["layer"]) == calls
    blocks = rec.layers.query("kind == 'block'")
    assert set(rec.residuals["block"]) <= set(blocks["layer"])
    for path in blocks["layer"]:
        assert list(net.get_submodule(path).children())
    assert len(rec.layers) == len(leaves) + len(blocks)
    assert not rec.layers.duplicated(["layer", "call"]).any()

    # three sampled layers and one block agree with an independent capture
    source = random.Random(name)
    sampled = source.sample(sorted(set(leaves["layer"])), 3)
    sampled += source.sample(sorted(set(blocks["layer"])), min(1, len(blocks)))
    captured = capture(net, images, sampled)
    rows = rec.layers.set_index(["layer", "call"])
    for key, right in captured.items():
        wide, row = right.double(), rows.loc[key]
        scale = wide.square().mean().sqrt().item()
        assert row["shape"] == tuple(right.shape), key
        expected = (wide.mean(), wide.std(correction=0), scale, wide.min(), wide.max())
        got = row[["mean", "std", "rms", "min", "max"]].tolist()
        assert got == pytest.approx([float(v) for v in expected], abs=1e-5 * scale), key
        assert row["zero_fraction"] == pytest.approx((right == 0).double().mean().item(), abs=1e-5)

    # list_layers says the same
    with left_as_found(net):
        listed = list_layers(net, images)
    for column in ("layer", "call", "type", "kind", "depth", "stage", "block"):
        assert listed[column].equals(rec.layers[column]), column
    assert [s[1:] for s in listed["shape"]] == [s[1:] for s in rec.layers["shape"]] or name in (
        "swin_t",  # windows are part of the first dimension
    )

    # every parameter has a row, and those that took part a depth
    assert list(rec.parameters["parameter"]) == [n for n, _ in net.named_parameters()]
    weighted = rec.parameters.query("weighted")
    assert weighted["depth"].notna().all()
    main = [p for p in rec.parameters["parameter"] if p.endswith("weight")]
    assert set(weighted["parameter"]) >= {p for p in main if _is_weight(net, p)}


def _is_weight(net: nn.Module, parameter: str) -> bool:
    owner = net.get_submodule(parameter.rpartition(".")[0])
    return isinstance(owner, nn.Conv2d | nn.Linear) and "aux" not in parameter.lower()


@pytest.mark.parametrize(
    "name", thorough_but(["resnet18", "mobilenet_v2", "efficientnet_b0"], ["resnet18"])
)
def test_keep_blocks_keeps_the_stem_and_the_blocks_of_the_table(name: str):
    net, images = build(name)
    rec = record(net, images, gradients=False, keep="blocks")
    blocks = list(rec.layers.query("kind == 'block'")["layer"])
    kept = rec.keys()
    assert [key for key in kept if key in blocks] == blocks
    assert len(kept) == len(blocks) + 1, set(kept) - set(blocks)
    captured = capture(net, images, blocks)
    assert all(torch.equal(rec[block], captured[block, 0]) for block in blocks)


def test_attention_is_a_layer():
    """Its only child holds a weight and never runs."""
    torch.manual_seed(0)
    net = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), 2
    ).eval()
    images = torch.randn(3, 5, 8)
    rec = record(net, images, targets=None, loss=lambda out, _: out.square().sum((1, 2)))
    paths = [f"layers.{n}.self_attn" for n in range(2)]
    rows = rec.layers.set_index("layer").loc[paths]
    assert rows["kind"].eq("leaf").all() and rows["shape"].tolist() == [(3, 5, 8)] * 2
    assert rows["depth"].tolist() == [2, 6]  # two projections each, then two linear layers
    outputs = []
    for path in paths:
        net.get_submodule(path).register_forward_hook(lambda m, a, out: outputs.append(out[0]))
    out = net(images)
    grads = torch.autograd.grad(out.square().sum(), outputs)
    for row, output, grad in zip(rows.itertuples(), outputs, grads, strict=True):
        assert row.rms == pytest.approx(output.square().mean().sqrt().item(), rel=1e-5)
        assert row.grad_norm == pytest.approx(grad.norm().item(), rel=1e-5)


@pytest.mark.slow
def test_vit_position_embedding_is_no_residual_addition():
    net, images = build("vit_b_16")
    rec = record(net, images, gradients=False)
    assert len(fx_additions(net)) == len(rec.residuals) + 1
    assert "encoder.add" not in set(rec.residuals["addition"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit_b_16", "swin_t", "convnext_tiny"])
def test_gradients_of_networks_with_attention_and_layer_scale(name: str):
    net, images = build(name)
    with torch.no_grad():  # ViT's head starts at zero
        for parameter in net.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    with left_as_found(net):
        rec = record(net, images[:1], keep=["blocks"])
    assert rec.residuals.filter(like="grad_").notna().all(axis=None)
    twin_loss = net(images[:1]).max()
    grads = torch.autograd.grad(twin_loss, list(net.parameters()), allow_unused=True)
    for row, grad in zip(rec.parameters.itertuples(), grads, strict=True):
        right = grad.double().norm().item()
        assert row.grad_norm == pytest.approx(right, rel=1e-4, abs=1e-9), row.parameter


def test_stages_of_a_resnet():
    net, images = build("resnet18")
    rec = record(net, images, gradients=False)
    stages = list(dict.fromkeys(rec.layers["stage"]))
    assert stages == ["stem", "layer1", "layer2", "layer3", "layer4", "head"]
    inside = rec.layers[rec.layers["layer"].str.startswith("layer3.")]
    assert set(inside["stage"]) == {"layer3"}
