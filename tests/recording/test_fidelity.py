"""`record` on torchvision's own ResNets against a rewrite without in-place operations.

Every number of every row, to 1e-5 of its tensor's rms; kept tensors and gradients element by
element; the gradient's two parts as they arrive at two separate copies of the block's input.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from cases import thorough, thorough_but
from left_as_found import left_as_found
from recording.rewrites import Rewrite, Trace, perturb
from resviz.recording.recorder import record
from resviz.recording.recording import Recording

TOLERANCE = 1e-5
PARTS = ("branch", "shortcut", "sum", "grad_branch", "grad_shortcut", "grad_sum")


@dataclass
class Case:
    net: nn.Module
    images: Tensor
    targets: Tensor | None
    rec: Recording
    trace: Trace
    rewritten: nn.Module


def rms(tensor: Tensor) -> float:
    return tensor.double().square().mean().sqrt().item()


def off(got: Tensor, right: Tensor) -> float:
    """Largest deviation of any element, as a share of the tensor's rms."""
    return (got.double() - right.detach().double()).abs().max().item() / max(rms(right), 1e-300)


def random_net(name: str, **settings) -> nn.Module:
    torch.manual_seed(1)
    return perturb(torchvision.models.get_model(name, weights=None, **settings))


def case_of(net: nn.Module, images: Tensor, targets: Tensor | None) -> Case:
    paths = [name for name, _ in net.named_modules() if name and name.count(".") < 5]
    running = [p for p in paths if not isinstance(net.get_submodule(p), nn.Sequential)]
    blocks = [p for p in running if hasattr(net.get_submodule(p), "conv2")]
    keep = [*running, *(f"{p}:grad" for p in running)]
    keep += [f"{block}.add:{part}" for block in blocks for part in PARTS]
    with left_as_found(net):
        rec = record(net, images, targets, keep=keep)
    rewrite = Rewrite(net)
    trace = rewrite.run(images)
    assert trace.logits is not None
    if targets is None:
        losses = trace.logits.gather(1, trace.logits.argmax(1, keepdim=True)).squeeze(1)
    else:
        losses = F.cross_entropy(trace.logits, targets, reduction="none")
    losses.sum().backward()
    return Case(net, images, targets, rec, trace, rewrite.net)


CASES = {
    "resnet18": lambda data: (random_net("resnet18"), torch.randn(3, 3, 64, 64), None),
    "resnet50": lambda data: (random_net("resnet50"), torch.randn(2, 3, 64, 64), None),
    "resnet18 with targets": lambda data: (
        random_net("resnet18", num_classes=10),
        torch.randn(4, 3, 64, 64),
        torch.tensor([3, 0, 9, 3]),
    ),
    "real resnet18": lambda data: (data.imagenet_net("resnet18"), photographs(data, 2), None),
    "real resnet50": lambda data: (
        data.imagenet_net("resnet50"),
        photographs(data, 2),
        torch.tensor([0, 10]),
    ),
}


def photographs(data, count: int) -> Tensor:
    from PIL import Image

    transform = data.imagenet_transform()
    return torch.stack(
        [transform(Image.open(path).convert("RGB")) for path, *_ in data.imagenet_images()[:count]]
    )[:, :, 48:176, 48:176]


@pytest.fixture(scope="module", params=thorough_but(CASES, ["resnet18 with targets"]))
def case(request: pytest.FixtureRequest) -> Case:
    data = request.getfixturevalue("testdata_module") if "real" in request.param else None
    torch.manual_seed(0)
    return case_of(*CASES[request.param](data))


def test_rows_are_every_leaf_call_and_every_block_in_order(case: Case):
    rows = list(zip(case.rec.layers["layer"], case.rec.layers["call"], strict=True))
    assert len(rows) == len(set(rows))
    assert rows == list(case.trace.values)
    kinds = dict(zip(case.rec.layers["layer"], case.rec.layers["kind"], strict=True))
    assert {path for path, kind in kinds.items() if kind == "block"} == set(case.trace.blocks)


def test_every_statistic_of_every_row(case: Case):
    for row in case.rec.layers.itertuples():
        right = case.trace.values[row.layer, row.call].detach()
        wide, scale = right.double(), rms(right)
        assert row.shape == tuple(right.shape)
        expected = {
            "mean": wide.mean(),
            "std": wide.std(correction=0),
            "rms": scale,
            "min": wide.min(),
            "max": wide.max(),
        }
        for name, value in expected.items():
            got = getattr(row, name)
            assert abs(got - float(value)) <= TOLERANCE * scale, (row.layer, row.call, name)
        assert row.norm == pytest.approx(wide.norm().item(), rel=TOLERANCE)
        zeros = (right == 0).double().mean().item()
        assert abs(row.zero_fraction - zeros) <= TOLERANCE, (row.layer, row.call)


def test_every_activation_gradient(case: Case):
    for row in case.rec.layers.itertuples():
        right = case.trace.values[row.layer, row.call].grad
        assert row.grad_rms == pytest.approx(rms(right), rel=TOLERANCE), (row.layer, row.call)
        norm = right.double().norm().item()
        assert row.grad_norm == pytest.approx(norm, rel=TOLERANCE), (row.layer, row.call)


def test_kept_tensors_and_gradients_element_by_element(case: Case):
    for (path, call), right in case.trace.values.items():
        assert off(case.rec[path, call], right) <= TOLERANCE, (path, call)
        assert off(case.rec[f"{path}:grad", call], right.grad) <= TOLERANCE, (path, call)


def test_the_three_tensors_of_every_addition(case: Case):
    assert list(case.rec.residuals["block"]) == list(case.trace.blocks)
    for row in case.rec.residuals.itertuples():
        block = case.trace.blocks[row.block]
        assert row.addition == f"{row.block}.add" and row.call == 0
        for part, right in (
            ("branch", block.branch),
            ("shortcut", block.shortcut),
            ("sum", block.total),
        ):
            assert off(case.rec[f"{row.addition}:{part}"], right) <= TOLERANCE, (row.addition, part)
            got = getattr(row, f"{part}_rms")
            assert got == pytest.approx(rms(right), rel=TOLERANCE), (row.addition, part)
        branch, shortcut = block.branch.detach().double(), block.shortcut.detach().double()
        cosine = F.cosine_similarity(branch.flatten(), shortcut.flatten(), dim=0).item()
        assert row.cosine == pytest.approx(cosine, abs=TOLERANCE)
        assert row.ratio == pytest.approx(rms(branch) / rms(shortcut), rel=TOLERANCE)


def test_relu_of_the_sum_is_the_block_output_bit_by_bit(case: Case):
    for row in case.rec.residuals.itertuples():
        branch = case.rec[f"{row.addition}:branch"]
        shortcut = case.rec[f"{row.addition}:shortcut"]
        assert torch.equal(branch + shortcut, case.rec[f"{row.addition}:sum"])
        assert torch.equal(torch.relu(branch + shortcut), case.rec[row.block])


def test_kinds_are_those_of_the_blocks(case: Case):
    for row in case.rec.residuals.itertuples():
        has_projection = case.net.get_submodule(row.block).downsample is not None
        assert row.kind == ("projection" if has_projection else "identity"), row.block


def test_parts_of_the_gradient_as_they_arrive_at_two_copies_of_the_input(case: Case):
    for row in case.rec.residuals.itertuples():
        block = case.trace.blocks[row.block]
        right = {
            "grad_branch": block.branch_input.grad,
            "grad_shortcut": block.shortcut_input.grad,
            "grad_sum": block.total.grad,
        }
        for part, gradient in right.items():
            got = case.rec[f"{row.addition}:{part}"]
            assert off(got, gradient) <= TOLERANCE, (row.addition, part)
            column = getattr(row, f"{part}_rms")
            assert column == pytest.approx(rms(gradient), rel=TOLERANCE), (row.addition, part)


def test_parts_of_the_gradient_sum_to_the_whole(case: Case):
    outputs = ["maxpool", *case.rec.residuals["block"]]
    for source, row in zip(outputs, case.rec.residuals.itertuples(), strict=False):
        whole = case.rec[f"{source}:grad"]
        parts = [case.rec[f"{row.addition}:grad_{side}"] for side in ("branch", "shortcut")]
        assert torch.equal(parts[0] + parts[1], whole) or off(parts[0] + parts[1], whole) < 1e-6


def test_share_and_cosine_of_the_gradient_from_a_float64_recomputation(case: Case):
    for row in case.rec.residuals.itertuples():
        block = case.trace.blocks[row.block]
        branch = block.branch_input.grad.double().flatten()
        shortcut = block.shortcut_input.grad.double().flatten()
        whole = branch + shortcut
        share = (branch @ whole / (whole @ whole)).item()
        assert row.grad_branch_share == pytest.approx(share, abs=1e-5 * max(1, abs(share)))
        cosine = (branch @ shortcut / branch.norm() / shortcut.norm()).item()
        assert row.grad_cosine == pytest.approx(cosine, abs=1e-5)


def test_parameter_gradients_equal_backward_of_the_mean_loss_on_a_copy(case: Case):
    twin = copy.deepcopy(case.net).requires_grad_(True)
    logits = twin(case.images)
    if case.targets is None:
        loss = logits.gather(1, logits.argmax(1, keepdim=True)).mean()
    else:
        loss = F.cross_entropy(logits, case.targets)
    loss.backward()
    named = dict(twin.named_parameters())
    assert list(case.rec.parameters["parameter"]) == list(named)
    for row in case.rec.parameters.itertuples():
        parameter = named[row.parameter]
        right = parameter.grad.double().norm().item()
        assert row.grad_norm == pytest.approx(right, rel=TOLERANCE), row.parameter
        assert row.norm == pytest.approx(parameter.detach().double().norm().item(), rel=TOLERANCE)
        assert row.layer == row.parameter.rpartition(".")[0]
        assert row.shape == tuple(parameter.shape)


def test_logits_loss_and_targets(case: Case):
    with torch.no_grad():
        logits = case.net(case.images)
    assert torch.equal(case.rec.logits, logits)
    if case.targets is None:
        assert torch.equal(case.rec.targets, logits.argmax(1))
        assert torch.equal(case.rec.loss, logits.max(1).values)
    else:
        assert torch.equal(case.rec.targets, case.targets)
        right = F.cross_entropy(logits, case.targets, reduction="none")
        assert torch.allclose(case.rec.loss, right, rtol=1e-6)


def test_projection_parameters_are_marked(case: Case):
    marked = set(case.rec.parameters.query("projection")["layer"])
    right = {n.rpartition(".")[0] for n in case.rec.parameters["parameter"] if "downsample" in n}
    assert marked == right
    weighted = case.rec.parameters.query("weighted")
    main = weighted[~weighted["projection"]]
    assert sorted(main["depth"]) == list(range(1, len(main) + 1))


def test_depth_of_the_named_networks(case: Case):
    assert int(case.rec.layers["depth"].max()) == (50 if "layer1.0.conv3" in case.rec else 18)
    assert math.isclose(case.rec.layers["depth"].min(), 1)


@pytest.mark.parametrize("name", ["resnet18", thorough("resnet50")])
def test_forward_only_records_the_same_forward_columns(name: str):
    net, images = random_net(name), torch.randn(2, 3, 64, 64)
    with left_as_found(net):
        full, forward = record(net, images), record(net, images, gradients=False)
    gradient_columns = [c for c in full.layers if c.startswith("grad_")]
    assert forward.layers[gradient_columns].isna().all(axis=None)
    left, right = (r.layers.drop(columns=gradient_columns) for r in (full, forward))
    assert left.equals(right)
    gradient_columns = [c for c in full.residuals if c.startswith("grad_")]
    assert forward.residuals[gradient_columns].isna().all(axis=None)
    left, right = (r.residuals.drop(columns=gradient_columns) for r in (full, forward))
    assert left.equals(right)
    assert forward.parameters["grad_norm"].isna().all()
    assert forward.loss is None


def test_gradients_of_the_activations_alone_are_the_same():
    net, images = random_net("resnet18"), torch.randn(2, 3, 64, 64)
    full = record(net, images)
    with left_as_found(net):
        rec = record(net, images, gradients="activations")
    assert rec.layers.equals(full.layers) and rec.residuals.equals(full.residuals)
    assert torch.equal(rec.loss, full.loss)
    assert rec.parameters["grad_norm"].isna().all() and full.parameters["grad_norm"].notna().all()
    assert rec.parameters["norm"].equals(full.parameters["norm"])
    with pytest.raises(ValueError, match="gradients='all'; True, False or 'activations'"):
        record(net, images, gradients="all")


def test_tokens_have_no_gradient_of_their_own_and_activations_have_one():
    net = torch.nn.Sequential(torch.nn.Embedding(9, 4), torch.nn.Flatten(), torch.nn.Linear(8, 3))
    tokens = torch.tensor([[1, 2], [3, 4]])
    full, rec = record(net, tokens), record(net, tokens, gradients="activations")
    assert rec.layers.equals(full.layers) and rec.layers["grad_norm"].notna().all()


@pytest.mark.thorough
def test_channels_last_gives_the_same_numbers():
    net, images = random_net("resnet18"), torch.randn(2, 3, 64, 64)
    plain = record(net, images)
    last = record(
        copy.deepcopy(net).to(memory_format=torch.channels_last),
        images.to(memory_format=torch.channels_last),
    )
    for table in ("layers", "residuals"):
        left, right = getattr(plain, table), getattr(last, table)
        scale = left["rms"] if table == "layers" else left["branch_rms"]
        for column in left.select_dtypes("float").columns:
            absolute = column in ("mean", "min", "max")
            error = (left[column] - right[column]).abs() / (scale if absolute else 1)
            limit = 2e-5 * left[column].abs().clip(lower=1)
            assert (error <= limit).all(), (table, column)
