"""`TrainingRecorder`: training is the same with and without it, and its numbers are true."""

from __future__ import annotations

import copy
import gc
import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cases import thorough
from left_as_found import bytes_of, left_as_found, state_of
from recording import toys
from resviz.errors import NotTraceable, ResvizWarning
from resviz.networks.cifar import cifar_resnet
from resviz.recording.recorder import record
from resviz.training.recorder.record import TrainingRecord, load_training_record
from resviz.training.recorder.recorder import TrainingRecorder

Batch = tuple[Tensor, Tensor]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.resviz-log"


def small(block: type[nn.Module] = toys.InPlaceThenReLU) -> nn.Module:
    net = toys.net_of(block)
    net.block.body.append(nn.Dropout(0.3))
    return net.train()


def batches(count: int, size: int = 8) -> list[Batch]:
    made = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(size, 3, 8, 8, generator=made),
            torch.randint(5, (size,), generator=made),
        )
        for _ in range(count)
    ]


def sgd(net: nn.Module, rate: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), rate, momentum=0.9)


# ---- loops, as users write them
def plain(net: nn.Module, optimizer: Any, batch: Batch, step: Any, scaler: Any) -> None:
    optimizer.zero_grad()
    loss = F.cross_entropy(net(batch[0]), batch[1])
    if step is not None:
        step.loss(loss)
    loss.backward()
    optimizer.step()


def clipped(net: nn.Module, optimizer: Any, batch: Batch, step: Any, scaler: Any) -> None:
    F.cross_entropy(net(batch[0]), batch[1]).backward()
    nn.utils.clip_grad_norm_(net.parameters(), 0.1)
    optimizer.step()
    optimizer.zero_grad()


def accumulated(net: nn.Module, optimizer: Any, batch: Batch, step: Any, scaler: Any) -> None:
    optimizer.zero_grad()
    for images, targets in zip(batch[0].split(4), batch[1].split(4), strict=True):
        loss = F.cross_entropy(net(images), targets)
        if step is not None:
            step.loss(loss)
        (loss / 2).backward()
    optimizer.step()


def mixed(net: nn.Module, optimizer: Any, batch: Batch, step: Any, scaler: Any) -> None:
    optimizer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(net(batch[0]), batch[1])
    if step is not None:
        step.loss(loss)
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    nn.utils.clip_grad_norm_(net.parameters(), 0.1)
    scaler.step(optimizer)
    scaler.update()


Loop = Callable[..., None]
LOOPS: list[Loop] = [plain, clipped, accumulated, mixed]


def train(net: nn.Module, loop: Loop, data: list[Batch], recorder: Any, optimizer: Any) -> None:
    scaler = torch.amp.GradScaler("cpu", enabled=loop is mixed)
    if recorder is not None:
        recorder.scaler = scaler if loop is mixed else None
    for batch in data:
        with recorder.step() if recorder is not None else nullcontext() as step:
            loop(net, optimizer, batch, step, scaler)


def everything(net: nn.Module) -> list[bytes]:
    """Parameters, buffers and gradients, bit by bit."""
    tensors = [*net.state_dict().values(), *(p.grad for p in net.parameters())]
    return [b"" if tensor is None else bytes_of(tensor) for tensor in tensors]


# ---- the same training
@pytest.mark.parametrize("every", [thorough(1), 3])
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    "block", [toys.InPlaceThenReLU, thorough(toys.Projection), thorough(toys.Checkpointed)]
)
def test_training_gives_the_same_bits(path: Path, block: Any, loop: Loop, every: int) -> None:
    ends = []
    for recorded in (False, True):
        net = small(block)
        optimizer = sgd(net)
        recorder = TrainingRecorder(net, path, every, optimizer=optimizer) if recorded else None
        torch.manual_seed(5)  # dropout draws from it
        train(net, loop, batches(5), recorder, optimizer)
        ends.append([*everything(net), bytes_of(torch.get_rng_state())])
    assert ends[0] == ends[1]
    steps = load_training_record(path).steps["step"].tolist()
    assert steps == list(range(0, 5, every))


def test_a_residual_network_trains_the_same(path: Path) -> None:
    data = [(torch.randn(8, 3, 32, 32), torch.arange(8)) for _ in range(3)]
    ends = []
    for recorded in (False, True):
        net = cifar_resnet(8, seed=0).train()
        optimizer = sgd(net)
        recorder = TrainingRecorder(net, path, 1, optimizer=optimizer) if recorded else None
        train(net, plain, data, recorder, optimizer)
        ends.append(everything(net))
    assert ends[0] == ends[1]


def structure(net: nn.Module) -> dict[str, Any]:
    """What a training step does not change: hooks, modules, modes."""
    return {
        key: value
        for key, value in state_of(net).items()
        if ("hooks" in key or "keys" in key) and ".grad " not in key
    }


@pytest.mark.thorough
def test_no_hooks_outside_of_recorded_steps(path: Path) -> None:
    net = small()
    optimizer = sgd(net)
    before = structure(net), dict(optimizer._optimizer_step_pre_hooks)
    recorder = TrainingRecorder(net, path, 2, optimizer=optimizer)
    for batch in batches(3):
        with recorder.step() as step:
            assert bool(net.head._forward_hooks) is step.recorded
            assert ("forward" in vars(net)) is step.recorded
            assert bool(optimizer._optimizer_step_pre_hooks) is step.recorded
            plain(net, optimizer, batch, step, None)
        assert (structure(net), dict(optimizer._optimizer_step_pre_hooks)) == before
    recorder.close()
    held = weakref.ref(net)
    del net, recorder, step, optimizer, before
    gc.collect()
    assert held() is None


def test_copies_and_files_of_a_recorded_step(path: Path, tmp_path: Path) -> None:
    """An average of weights that begins with the first step, a snapshot of the best."""
    net = small()
    recorder = TrainingRecorder(net, path, 1, optimizer=sgd(net))
    with recorder.step() as step:
        plain(net, recorder.optimizer, batches(1)[0], step, None)
        copied = copy.deepcopy(net)
        torch.save(net, tmp_path / "net.pt")
    for other in (copied, torch.load(tmp_path / "net.pt", weights_only=False)):
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in other.modules())
        assert not {"forward", "__getstate__"} & {key for m in other.modules() for key in vars(m)}
        weights = zip(other.state_dict().values(), net.state_dict().values(), strict=True)
        assert all(torch.equal(its, mine) for its, mine in weights)


@pytest.mark.thorough
def test_an_abandoned_recorder_closes_its_file(path: Path) -> None:
    recorder = TrainingRecorder(small(), path)
    assert recorder._writer is not None
    close = recorder._writer.close
    del recorder
    gc.collect()
    assert not close.alive


# ---- true numbers
class Detector(nn.Module):
    """Takes a list of images, and returns its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small()

    def forward(self, images: list[Tensor], targets: Tensor) -> Tensor:
        return F.cross_entropy(self.net(torch.stack(images)), targets)


@pytest.mark.parametrize("named", [False, True])
def test_images_of_a_list_are_counted(path: Path, named: bool) -> None:
    net, (images, targets) = Detector(), batches(1, size=5)[0]
    with TrainingRecorder(net, path, 1, optimizer=sgd(net)) as recorder, recorder.step():
        given: dict[str, Any] = {"images": list(images), "targets": targets}
        loss = net(**given) if named else net(*given.values())
        loss.backward()
        recorder.optimizers[0].step()
    log = load_training_record(path)
    assert log.steps["images"].tolist() == [5] and log.at(0).provenance["images"] == 5


def test_gradients_are_those_of_the_loop(path: Path) -> None:
    net = small()
    optimizer = sgd(net, 0.25)
    (images, targets), recorder = batches(1)[0], TrainingRecorder(net, path, optimizer=optimizer)
    weights = {name: float(p.detach().double().norm()) for name, p in net.named_parameters()}
    with recorder.step(epoch=3) as step:
        loss = F.cross_entropy(net(images), targets)
        step.loss(loss)
        loss.backward()
        grads = {name: float(p.grad.double().norm()) for name, p in net.named_parameters()}
        nn.utils.clip_grad_norm_(net.parameters(), 0.1)
        used = {name: float(p.grad.double().norm()) for name, p in net.named_parameters()}
        optimizer.step()
    log = load_training_record(path)
    table = log.parameters.set_index("parameter")
    for column, expected in (
        ("grad_norm", grads),
        ("grad_norm_used", used),
        ("weight_norm", weights),
    ):
        assert table[column].to_dict() == pytest.approx(expected, rel=1e-6)
    row = log.steps.iloc[0]
    total = math.sqrt(sum(v * v for v in grads.values()))
    assert row["grad_norm"] == pytest.approx(total, rel=1e-6)
    assert row["grad_norm_used"] == pytest.approx(0.1, rel=1e-4)
    assert row["clip_factor"] == pytest.approx(0.1 / total, rel=1e-4)
    assert row["loss"] == pytest.approx(float(loss.detach()))
    assert (row["epoch"], row["learning_rate"], row["images"]) == (3, 0.25, 8)
    assert row["clipped"] is True and row["updated"] is True and row["batch_stats"] is True
    assert row["skipped"] is False and row["scale_divided"] is False and row["scale"] == 1
    assert 0 < row["seconds"] < 60
    assert (table["learning_rate"] == 0.25).all() and (table["shard"] == "whole").all()
    assert (table["clip_factor"] == row["clip_factor"]).all()


def test_activations_are_those_of_record(path: Path) -> None:
    """In a network without dropout `record` sees the same, with BatchNorm on the batch."""
    net = toys.net_of(toys.ProjectionInPlace).train()
    images, targets = batches(1)[0]
    whole = record(net, images, targets.tolist(), batch_stats=True)
    recorder = TrainingRecorder(net, path)
    with recorder.step():
        F.cross_entropy(net(images), targets, reduction="sum").backward()
    at = load_training_record(path).at(0)
    expected = whole.layers[whole.layers["kind"] == "block"].reset_index(drop=True)
    for mine, its in ((at.layers, expected), (at.residuals, whole.residuals)):
        for column in its.columns.drop("axes", errors="ignore"):  # which a loop is not watched for
            values = its[column].tolist()
            if its[column].dtype == "float64":
                values = pytest.approx(values, rel=1e-5, abs=1e-7)
            assert mine[column].tolist() == values, column
    for column in ("depth", "stage", "weighted", "projection", "shape"):
        assert at.parameters[column].tolist() == whole.parameters[column].tolist()
    mine, its = at.parameters["grad_norm"], whole.parameters["grad_norm"]
    assert mine.tolist() == pytest.approx((its * 8).tolist(), rel=1e-5, abs=1e-6)


def test_accumulation_equals_the_big_batch(path: Path, tmp_path: Path) -> None:
    batch = batches(1)[0]
    records = []
    for number, loop in enumerate((plain, accumulated)):
        net = toys.net_of(toys.Block)  # eval: BatchNorm sees no batch
        with TrainingRecorder(net, tmp_path / str(number), optimizer=sgd(net)) as recorder:
            train(net, loop, [batch], recorder, recorder.optimizer)
        records.append(load_training_record(tmp_path / str(number)))
    one, two = records
    assert one.steps["micro_batches"].tolist() == [1] and two.steps["micro_batches"].tolist() == [2]
    assert two.steps["images"].tolist() == [4]
    assert two.steps["loss"][0] == pytest.approx(one.steps["loss"][0], rel=1e-6)
    for column in ("grad_norm", "grad_norm_used"):
        assert two.parameters[column].tolist() == pytest.approx(
            one.parameters[column].tolist(), rel=1e-4, abs=1e-7
        )


def test_losses_weigh_what_their_gradient_weighs(path: Path) -> None:
    net = small()
    recorder = TrainingRecorder(net, path, 1)
    images, targets = batches(1)[0]
    with recorder.step() as step:  # divided before, not after
        for _ in range(2):
            loss = F.cross_entropy(net(images), targets) / 2
            step.loss(loss)
            loss.backward()
    with recorder.step() as step:
        net(images).sum().backward()
        step.loss(2.5)
        step.loss(3.5)
    losses = load_training_record(path).steps["loss"]
    assert 0.5 < losses[0] < 4 and losses[1] == 3.0


def test_the_scale_is_divided_out(path: Path, tmp_path: Path) -> None:
    """The same float64 network, with and without a scaler: the same numbers, and the scale."""
    records = []
    for number, scaler in enumerate((None, torch.amp.GradScaler("cpu", init_scale=1024.0))):
        net = toys.net_of(toys.Projection).double().train()
        optimizer = sgd(net)
        where = tmp_path / str(number)
        images, targets = batches(1)[0]
        recorder = TrainingRecorder(net, where, optimizer=optimizer, scaler=scaler)
        with recorder.step() as step:
            loss = F.cross_entropy(net(images.double()), targets)
            step.loss(loss)
            (loss if scaler is None else scaler.scale(loss)).backward()
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer)
                scaler.update()
        records.append(load_training_record(where))
    without, scaled = records
    assert scaled.steps["scale"].tolist() == [1024] and without.steps["scale"].tolist() == [1]
    for table in ("parameters", "blocks", "residuals"):
        one, two = getattr(without, table), getattr(scaled, table)
        assert two["scale"].eq(1024).all() and two["scale_divided"].eq(True).all()
        for column in [c for c in one if one[c].dtype == "float64" and c != "scale"]:
            assert two[column].tolist() == pytest.approx(
                one[column].tolist(), rel=1e-8, abs=1e-12, nan_ok=True
            ), (table, column)
    assert scaled.steps["loss"][0] == pytest.approx(without.steps["loss"][0])
    assert scaled.steps["clipped"].tolist() == [False]


def test_mixed_precision_with_clipping(path: Path) -> None:
    net = small()
    optimizer = sgd(net)
    recorder = TrainingRecorder(net, path, 1, optimizer=optimizer)
    train(net, mixed, batches(2), recorder, optimizer)
    log = load_training_record(path)
    assert log.steps["autocast"].tolist() == ["bfloat16"] * 2
    assert log.steps["scale"].tolist() == [65536.0] * 2
    assert log.steps["grad_norm_used"].tolist() == pytest.approx([0.1] * 2, rel=1e-4)
    assert log.steps["clipped"].tolist() == [True] * 2
    assert (log.steps["grad_norm"] < 100).all()
    assert log.residuals["cosine"].between(-1, 1).all()


def test_the_cosine_is_not_computed_in_half_precision(path: Path) -> None:
    net = toys.net_of(toys.Block).train()
    images = batches(1)[0][0]
    recorder = TrainingRecorder(net, path)
    kept = {}

    class Tap(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            kept["branch"] = x.detach()
            return x

    net.block.body.append(Tap())
    with recorder.step(), torch.autocast("cpu", torch.bfloat16):
        out = torch.relu(net.stem(images)).detach()
        net(images).sum().backward()
    branch, shortcut = kept["branch"].double().flatten(), out.double().flatten()
    expected = float(branch @ shortcut / branch.norm() / shortcut.norm())
    assert load_training_record(path).residuals["cosine"][0] == pytest.approx(expected, abs=1e-7)


def test_skipped_steps_are_recorded_as_such(path: Path) -> None:
    net = small()
    optimizer, scaler = sgd(net), torch.amp.GradScaler("cpu", init_scale=256.0)
    recorder = TrainingRecorder(net, path, 1, optimizer=optimizer, scaler=scaler)
    for factor in (1.0, math.inf, 1.0):
        with recorder.step():
            optimizer.zero_grad()
            scaler.scale(net(batches(1)[0][0]).square().mean() * factor).backward()
            scaler.step(optimizer)
            scaler.update()
    steps = load_training_record(path).steps
    assert steps["skipped"].tolist() == [False, True, False]
    assert steps["updated"].tolist() == [True, False, True]
    assert steps["scale"].tolist() == [256, 256, 128]
    assert not math.isfinite(steps["grad_norm"][1])
    assert steps["grad_norm"].notna().tolist()[::2] == [True, True]


def test_only_the_first_forward_with_gradients_is_watched(path: Path) -> None:
    net = small()
    recorder = TrainingRecorder(net, path, 1)
    images = batches(1)[0][0]
    with recorder.step():
        with torch.no_grad():
            net(images * 100)
        net(images).sum().backward()
        net(images * 100).sum().backward()
    log = load_training_record(path)
    assert log.steps["micro_batches"].tolist() == [2]
    assert len(log.blocks) == 1 and log.blocks["rms"][0] < 10


class Tanh(nn.Module):
    """A block with an identity, smooth, that keeps its tensors."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        self.sum = x + torch.tanh(self.inner(x))
        return self.sum


def dense() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), Tanh(6), Tanh(6), nn.Linear(6, 3))


POINTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
CLASSES = torch.tensor([0, 1, 2] * 2)


def rms_of(loss: Tensor, net: nn.Sequential) -> list[float]:
    """Of a loss's gradients at the sums of the blocks."""
    grads = torch.autograd.grad(loss, [net[1].sum, net[2].sum], retain_graph=True)
    return [float(grad.square().mean().sqrt()) for grad in grads]


def test_the_split_is_of_the_pass_that_trains(path: Path) -> None:
    """A gradient penalty: the gradient of the loss alone came through the same forward pass."""
    net = dense()
    recorder = TrainingRecorder(net, path)
    with recorder.step():
        points = POINTS.clone().requires_grad_()
        loss = F.cross_entropy(net(points), CLASSES)
        (slope,) = torch.autograd.grad(loss, points, create_graph=True)
        loss = loss + 200 * slope.square().sum(1).mean()
        loss.backward(retain_graph=True)
    table = load_training_record(path).residuals
    expected = pytest.approx(rms_of(loss, net), rel=1e-5)
    assert table["grad_sum_rms"].tolist() == expected
    assert table["grad_shortcut_rms"].tolist() == expected  # an identity


def test_several_backward_passes_through_one_forward_pass(path: Path) -> None:
    """What each left is no gradient of their sum, which no tensor holds."""
    net = dense()
    with TrainingRecorder(net, path) as recorder, recorder.step():
        output = net(POINTS)
        F.cross_entropy(output, CLASSES).backward(retain_graph=True)
        (0.01 * output.square().mean()).backward()
        norm = float(net[0].weight.grad.norm())
    log = load_training_record(path)
    assert log.parameters["grad_norm"][0] == pytest.approx(norm, rel=1e-6)
    assert log.blocks["grad_rms"].isna().all() and log.blocks["rms"].notna().all()
    table = log.residuals
    assert table.filter(like="grad_").drop(columns="grad_reason").isna().all(axis=None)
    assert set(table["grad_reason"]) == {
        "it came in several backward passes through one forward pass"
    }


@pytest.mark.parametrize("reentrant", [True, False])
def test_the_reason_under_checkpointing(path: Path, reentrant: bool) -> None:
    """A reentrant one runs the block without autograd, and again in the backward pass."""
    net, inner = dense(), dense()[1]
    net[1].forward = lambda x: checkpoint(inner, x, use_reentrant=reentrant)
    net[1].inner = inner
    with TrainingRecorder(net, path) as recorder, recorder.step():
        F.cross_entropy(net(POINTS), CLASSES).backward()
    table = load_training_record(path).residuals
    reason = table["grad_reason"][0]
    assert table["grad_branch_share"].notna().tolist() == [not reentrant, True]
    assert ("reentrant checkpoint; use_reentrant=False would be right" in reason) is reentrant
    assert "sends no gradient" not in reason


def test_a_gradient_that_the_loop_looks_at_later(path: Path) -> None:
    net = dense()
    optimizer = sgd(net)
    with TrainingRecorder(net, path, optimizer=optimizer) as recorder, recorder.step():
        output = net(POINTS)
        loss = F.cross_entropy(output, CLASSES)
        loss.backward(retain_graph=True)
        expected = pytest.approx(rms_of(loss, net), rel=1e-6)
        torch.autograd.grad(output.square().sum(), net[0].weight)
        optimizer.step()
    log = load_training_record(path)
    assert log.blocks["grad_rms"].tolist() == expected
    assert log.residuals["grad_sum_rms"].tolist() == expected
    assert log.residuals["grad_shortcut_rms"].tolist() == expected


def attack(net: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """Images after three steps of projected gradient descent (Madry et al. 2018)."""
    for _ in range(3):
        images = images.detach().requires_grad_()
        loss = F.cross_entropy(net(images), targets)
        images = images + 0.5 * torch.autograd.grad(loss, images)[0].sign()
    return images.detach()


def look(net: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
    """A pass of others, with gradients that nobody asks for."""
    net(torch.cat([3 * images, images]))
    return images


@pytest.mark.parametrize("before", [attack, look])
def test_passes_before_the_one_that_trains(path: Path, tmp_path: Path, before: Any) -> None:
    """What they leave out of `.grad` is not in the record either."""
    images, targets = batches(1)[0]
    logs = []
    for where in (path, tmp_path / "alone"):
        net = toys.net_of(toys.Block)  # eval: BatchNorm sees no batch
        optimizer = sgd(net)
        given = before(net, images, targets) if where != path else images
        with TrainingRecorder(net, where, optimizer=optimizer) as recorder, recorder.step() as step:
            if where == path:
                given = before(net, images, targets)
            plain(net, optimizer, (given, targets), step, None)
        logs.append(load_training_record(where))
    within, alone = logs
    assert within.blocks.equals(alone.blocks) and within.residuals.equals(alone.residuals)
    assert within.steps["images"].tolist() == [8] and within.blocks["grad_rms"].notna().all()


def test_a_pass_that_was_not_measured_is_nan(path: Path) -> None:
    """Gradients are cleared after the forward pass that adds to them, where nobody expects it."""
    net = small()
    optimizer = sgd(net)
    images, targets = batches(1)[0]
    with (
        pytest.warns(ResvizWarning, match="step 0: its activations are NaN, for the gradients of"),
        TrainingRecorder(net, path, optimizer=optimizer) as recorder,
        recorder.step() as step,
    ):
        F.cross_entropy(net(3 * images), targets).backward()
        output = net(images[:4])
        optimizer.zero_grad()
        loss = F.cross_entropy(output, targets[:4])
        step.loss(loss)
        loss.backward()
        norm = float(net.head.weight.grad.norm())
        optimizer.step()
    log = load_training_record(path)
    for table, columns in ((log.blocks, ["rms", "grad_rms"]), (log.residuals, ["ratio", "cosine"])):
        assert table[columns].isna().all(axis=None) and len(table) == 1
    assert log.residuals["grad_reason"].tolist() == ["the pass of this gradient was not measured"]
    assert log.steps["images"].tolist() == [4]
    grads = log.parameters.set_index("parameter")["grad_norm"]
    assert grads["head.weight"] == pytest.approx(norm, rel=1e-6)


@pytest.mark.parametrize("tracked", [True, False])
def test_batch_stats_are_of_the_pass(path: Path, tracked: bool) -> None:
    """Not of the block's end, as after a validation; without running statistics there are none."""
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=tracked))
    recorder = TrainingRecorder(net, path, 1)
    for training in (True, False):
        with recorder.step():
            net.train(training)
            net(POINTS).square().sum().backward()
            net.train(not training)
    assert load_training_record(path).steps["batch_stats"].tolist() == [True, not tracked]


def test_a_failed_forward_may_be_tried_again(path: Path) -> None:
    net = small()
    recorder = TrainingRecorder(net, path, 1)
    fail = net.block.register_forward_pre_hook(_raise)
    images = batches(1)[0][0]
    with recorder.step():
        with pytest.raises(MemoryError):
            net(images)
        fail.remove()
        net(images[:4]).sum().backward()
    log = load_training_record(path)
    assert log.steps["images"].tolist() == [4]
    assert log.blocks["layer"].tolist() == ["block"] and len(log.residuals) == 1


def test_the_loop_gets_the_network_s_own_error(path: Path) -> None:
    """A loop may wait for that very error; a recorded step must not differ from another."""
    net = cifar_resnet(8, seed=0)
    images = torch.zeros(2, 2, 8, 8)
    with pytest.raises(RuntimeError) as own:
        net(images)
    with TrainingRecorder(net, path, 1) as recorder, recorder.step():
        with pytest.raises(RuntimeError) as seen:
            net(images)
        net(torch.randn(2, 3, 8, 8)).sum().backward()
    assert str(seen.value) == str(own.value) and type(seen.value) is type(own.value)
    assert load_training_record(path).steps["images"].tolist() == [2]


def _raise(*_: Any) -> None:
    raise MemoryError("out of memory")


def test_a_failed_backward_may_be_tried_again(path: Path) -> None:
    net = small()
    recorder = TrainingRecorder(net, path, 1)
    images = batches(1)[0][0]
    with recorder.step():
        output = net(images)
        hook = net.stem.weight.register_hook(_raise)
        with pytest.raises(MemoryError):
            output.sum().backward()
        hook.remove()
        net.zero_grad()
        net(images).sum().backward()
        norm = float(net.head.weight.grad.norm())
    log = load_training_record(path)
    assert log.steps["micro_batches"].tolist() == [1]
    table = log.parameters.set_index("parameter")["grad_norm"]
    assert table["head.weight"] == pytest.approx(norm, rel=1e-5)


def test_an_optimiser_that_calls_the_backward(path: Path) -> None:
    net = toys.net_of(toys.Block)
    optimizer = torch.optim.LBFGS(net.parameters(), 0.01, max_iter=3)
    images = batches(1)[0][0]

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = net(images).square().mean()
        loss.backward()
        return loss

    with TrainingRecorder(net, path) as recorder, recorder.step():
        optimizer.step(closure)
    log = load_training_record(path)
    assert log.steps["backward_passes"][0] >= 2 and log.steps["grad_norm"][0] > 0
    assert log.steps["micro_batches"][0] == 1


def test_a_network_without_blocks(path: Path) -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2, bias=False))
    net[0].bias.requires_grad_(False)
    with TrainingRecorder(net, path) as recorder, recorder.step():
        net(torch.randn(3, 4)).sum().backward()
    log = load_training_record(path)
    assert log.blocks["layer"].tolist() == ["0", "1", "2"] and log.residuals.empty
    assert log.parameters["grad_norm"].isna().tolist() == [False, True, False]
    assert log.steps["batch_stats"].tolist() == [None]
    assert isinstance(log, TrainingRecord) and "3 rows" in repr(log)


def test_sparse_gradients(path: Path) -> None:
    net = nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Linear(3, 2))
    with TrainingRecorder(net, path) as recorder, recorder.step():
        net(torch.tensor([1, 1, 2])).sum().backward()
    grad = net[0].weight.grad.to_dense()
    log = load_training_record(path)
    assert log.parameters["grad_norm"][0] == pytest.approx(float(grad.norm()), rel=1e-6)


def test_the_network_may_change_between_steps(path: Path) -> None:
    net = small()
    recorder = TrainingRecorder(net, path, 1)
    for size in (8, 8, 4):
        with recorder.step():
            net(batches(1, size)[0][0]).sum().backward()
        net.head.bias = None
    net.extra = nn.Linear(5, 2)
    net.after = lambda x: net.extra(net.head(torch.relu(x).mean((2, 3))))
    with recorder.step():
        net(batches(1, 4)[0][0]).sum().backward()
    log = load_training_record(path)
    counts = log.parameters.groupby("step")["parameter"].agg(list)
    assert "head.bias" in counts[0] and "head.bias" not in counts[1]
    assert counts[1] == counts[2] and counts[3][-2:] == ["extra.weight", "extra.bias"]
    assert log.blocks["shape"].map(lambda s: s[0]).tolist() == [8, 8, 4, 4]


# ---- errors in the loop, and of it
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("where", ["before", "forward", "backward", "after"])
def test_an_error_in_the_loop(path: Path, error: type[BaseException], where: str) -> None:
    net = small()
    recorder = TrainingRecorder(net, path, 1)
    images = batches(1)[0][0]

    def stop(*_: Any) -> None:
        raise error("stop")

    hooks = []
    if where == "forward":
        hooks.append(net.block.body[1].register_forward_hook(stop))
    if where == "backward":
        hooks.append(net.stem.weight.register_hook(stop))
    before = structure(net)
    with pytest.raises(error, match="stop"), recorder.step():
        if where == "before":
            stop()
        net(images).sum().backward()
        stop()
    assert structure(net) == before
    assert torch.overrides._get_current_function_mode_stack() == []
    for hook in hooks:
        hook.remove()
    with recorder.step():
        net(images).sum().backward()
    assert load_training_record(path).steps["step"].tolist() == [1]


def test_an_interrupt_while_hooks_are_set(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = small()
    recorder = TrainingRecorder(net, path, 1)
    calls = []

    def interrupted(module: nn.Module, hook: Any, **_: Any) -> Any:
        calls.append(module)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return nn.Module.register_forward_hook(module, hook)

    monkeypatch.setattr(nn.Conv2d, "register_forward_hook", interrupted, raising=False)
    with left_as_found(net), pytest.raises(KeyboardInterrupt), recorder.step():
        pass
    monkeypatch.undo()
    with recorder.step():
        net(batches(1)[0][0]).sum().backward()


def test_a_step_without_a_backward_warns_once_and_training_goes_on(path: Path) -> None:
    net = small()
    recorder = TrainingRecorder(net, path, 1)
    images = batches(1)[0][0]
    with pytest.warns(ResvizWarning, match="step 0 is not recorded: no backward pass"):  # noqa: SIM117
        with recorder.step():
            output = net(images)
    output.sum().backward()  # too late
    with recorder.step():
        pass
    with recorder.step():
        net(images).sum().backward()
    assert load_training_record(path).steps["step"].tolist() == [2]


def test_an_optimiser_that_steps_outside(path: Path) -> None:
    net = small()
    optimizer = sgd(net)
    recorder = TrainingRecorder(net, path, 1, optimizer=optimizer)
    with pytest.warns(ResvizWarning, match="the optimiser made no step in the with block"):  # noqa: SIM117
        with recorder.step():
            net(batches(1)[0][0]).sum().backward()
    optimizer.step()
    log = load_training_record(path)
    assert log.steps["updated"].tolist() == [False] and log.steps["clipped"].tolist() == [None]


def test_a_full_disk_ends_the_record_not_the_training(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = small()
    recorder = TrainingRecorder(net, path, 1)
    images = batches(1)[0][0]
    with recorder.step():
        net(images).sum().backward()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("resviz.training.recorder.file.os.write", full)
    with pytest.warns(ResvizWarning, match="recording ends with step 1.*No space left"):  # noqa: SIM117
        with recorder.step():
            net(images).sum().backward()
    with recorder.step() as step:
        assert not step.recorded
        net(images).sum().backward()
    recorder.close()
    assert load_training_record(path).steps["step"].tolist() == [0]


def test_double_use(path: Path) -> None:
    net = small()
    recorder = TrainingRecorder(net, path, 2)
    images = batches(1)[0][0]
    with recorder.step():
        with pytest.raises(RuntimeError, match="a step inside a step"), recorder.step():
            pass
        with pytest.raises(RuntimeError, match=r"close\(\) inside a step"):
            recorder.close()
        net(images).sum().backward()
    with recorder.step(), pytest.raises(RuntimeError, match="inside a step"), recorder.step():
        pass
    recorder.close()
    recorder.close()
    with pytest.raises(RuntimeError, match="closed"):
        recorder.step()
    assert load_training_record(path).steps["step"].tolist() == [0]


def test_two_recorders_of_one_network(path: Path, tmp_path: Path) -> None:
    net = small()
    one, two = TrainingRecorder(net, path), TrainingRecorder(net, tmp_path / "two")
    before = structure(net)
    with one.step(), two.step():
        net(batches(1)[0][0]).sum().backward()
    assert structure(net) == before
    mine, its = load_training_record(path), load_training_record(tmp_path / "two")
    assert mine.parameters.equals(its.parameters) and mine.blocks.equals(its.blocks)


def test_two_recorders_that_end_in_the_order_they_began_in(path: Path, tmp_path: Path) -> None:
    net = small()
    before = structure(net)
    recorders = [TrainingRecorder(net, path), TrainingRecorder(net, tmp_path / "two")]
    steps = [each.step() for each in recorders]
    for step in steps:
        step.__enter__()
    net(batches(1)[0][0]).sum().backward()
    for step in steps:
        step.__exit__(None, None, None)
    assert structure(net) == before and "forward" not in vars(net)
    mine, its = load_training_record(path), load_training_record(tmp_path / "two")
    assert mine.parameters.equals(its.parameters) and mine.blocks.equals(its.blocks)


def test_bad_arguments(path: Path, tmp_path: Path) -> None:
    net = small()
    other, compiled = copy.deepcopy(net), torch.compile(copy.deepcopy(net))
    cases: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (TypeError, "TrainingRecorder", lambda: TrainingRecorder(3, path)),  # type: ignore[arg-type]
        (ValueError, "every 0; 1 or more", lambda: TrainingRecorder(net, path, 0)),
        (TypeError, "every 2.5; a whole number", lambda: TrainingRecorder(net, path, 2.5)),  # type: ignore[arg-type]
        (
            ValueError,
            "first_step -1; 0",
            lambda: TrainingRecorder(net, path, first_step=-1),
        ),
        (TypeError, "a torch.optim", lambda: TrainingRecorder(net, path, optimizer=3)),  # type: ignore[arg-type]
        (
            ValueError,
            "none of the network's parameters",
            lambda: TrainingRecorder(net, path, optimizer=sgd(other)),
        ),
        (TypeError, "GradScaler", lambda: TrainingRecorder(net, path, scaler=3)),
        (
            ValueError,
            "a scaler without its optimizer",
            lambda: TrainingRecorder(net, path, scaler=torch.amp.GradScaler("cpu")),
        ),
        (ValueError, "DataParallel", lambda: TrainingRecorder(nn.DataParallel(net), path)),
        (NotTraceable, "compiled", lambda: TrainingRecorder(compiled, path)),
        (FileNotFoundError, "no folder", lambda: TrainingRecorder(net, tmp_path / "no" / "run")),
    ]
    for error, message, call in cases:
        with left_as_found(net), pytest.raises(error, match=message):
            call()
        assert not path.exists()
    recorder = TrainingRecorder(net, path)
    with recorder.step() as step:
        with pytest.raises(TypeError, match="a loss that is a str"):
            step.loss("1")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=r"a loss of shape \(2,\)"):
            step.loss(torch.zeros(2))
        net(batches(1)[0][0]).sum().backward()


def test_sharded_parameters_are_refused(path: Path) -> None:
    class Shard(nn.Parameter):
        def to_local(self) -> Tensor:
            return self

    net = nn.Linear(2, 2)
    net.weight = Shard(net.weight.data)
    with pytest.raises(ValueError, match="'weight' is a DTensor, of which this process holds a"):
        TrainingRecorder(net, path)


# ---- on a GPU
@pytest.mark.gpu
@pytest.mark.parametrize("fused", [False, True])
def test_mixed_precision_on_a_gpu(tmp_path: Path, fused: bool) -> None:
    records, ends = [], []
    for number, recorded in enumerate((False, True)):
        net = cifar_resnet(20, seed=0).cuda().train()
        optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=fused)
        scaler = torch.amp.GradScaler("cuda", init_scale=2.0**10)
        recorder = None
        if recorded:
            recorder = TrainingRecorder(
                net, tmp_path / str(number), 1, optimizer=optimizer, scaler=scaler
            )
        images, targets = torch.randn(8, 3, 32, 32).cuda(), torch.arange(8).cuda()
        torch.backends.cudnn.deterministic = True
        try:
            for _ in range(3):
                with recorder.step() if recorder is not None else nullcontext() as step:
                    optimizer.zero_grad()
                    with torch.autocast("cuda", torch.float16):
                        loss = F.cross_entropy(net(images), targets)
                    if step is not None:
                        step.loss(loss)
                    scaler.scale(loss).backward()
                    scaler.step(optimizer)
                    scaler.update()
        finally:
            torch.backends.cudnn.deterministic = False
        ends.append(everything(net))
        if recorded:
            records.append(load_training_record(tmp_path / str(number)))
    assert ends[0] == ends[1]
    steps = records[0].steps
    assert steps["scale"].tolist() == [1024] * 3 and steps["autocast"].tolist() == ["float16"] * 3
    assert steps["skipped"].tolist() == [False] * 3 and steps["clipped"].tolist() == [False] * 3
    assert steps["grad_norm"].between(1e-3, 1e3).all()
