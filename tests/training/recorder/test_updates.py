"""What was used at `optimizer.step()`: GANs, several optimisers, closures, SAM; by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.optimizer import _global_optimizer_pre_hooks

from left_as_found import state_of
from resviz.training.recorder.record import TrainingRecord, load_training_record
from resviz.training.recorder.recorder import TrainingRecorder

REAL = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
NOISE = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(16) % 3
SGD = torch.optim.SGD


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.resviz-log"


def layers_of(inputs: int, outputs: int, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(inputs, 16), nn.LeakyReLU(0.2), nn.Linear(16, outputs))


def norm_of(parameters: Any) -> float:
    return float(torch.stack([p.grad.double().norm() for p in parameters]).norm())


def norms_of(net: nn.Module) -> list[float]:
    return [float(p.grad.double().norm()) for p in net.parameters()]


def recorded(
    net: nn.Module, path: Path, optimizer: Any, loop: Callable[[Any], None], **options: Any
) -> TrainingRecord:
    recorder = TrainingRecorder(net, path, 1, optimizer=optimizer, **options)
    with recorder, recorder.step() as step:
        loop(step)
    return load_training_record(path)


def is_used(log: TrainingRecord, net: nn.Module, norms: list[float]) -> None:
    row = log.steps.iloc[0]
    total = sum(v * v for v in norms) ** 0.5
    assert row["grad_norm"] == row["grad_norm_used"] == pytest.approx(total, rel=1e-6)
    assert log.parameters["grad_norm"].tolist() == pytest.approx(norms, rel=1e-6)
    assert log.parameters["grad_norm_used"].tolist() == pytest.approx(norms, rel=1e-6)
    assert row["updated"] is True and row["clipped"] is False


# ---- two networks
class Gan:
    """A pair, and the two halves of an iteration."""

    def __init__(self) -> None:
        self.g, self.d = layers_of(4, 8, 2), layers_of(8, 1, 1)
        self.og, self.od = SGD(self.g.parameters(), 0.05), SGD(self.d.parameters(), 0.02)
        self.norms: dict[str, list[float]] = {}
        self.losses: dict[str, float] = {}

    def discriminate(self, step: Any, to_none: bool = True) -> None:
        self.od.zero_grad(set_to_none=to_none)
        for loss in (F.softplus(-self.d(REAL)).mean(), F.softplus(self.d(self.fake())).mean()):
            if step is not None:
                step.loss(loss)
            loss.backward()
            self.losses["d"] = self.losses.get("d", 0.0) + float(loss.detach())
        self.norms["d"] = norms_of(self.d)
        self.od.step()

    def fake(self) -> Tensor:
        return self.g(NOISE).detach()

    def generate(self, step: Any) -> None:
        self.og.zero_grad()
        loss = F.softplus(-self.d(self.g(NOISE[:8]))).mean()
        if step is not None:
            step.loss(loss)
        loss.backward()
        self.norms["g"], self.losses["g"] = norms_of(self.g), float(loss.detach())
        self.og.step()


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("order", ["dg", "gd", "gd, zeroed"])
@pytest.mark.parametrize("which", ["d", "g"])
def test_both_halves_of_a_gan(path: Path, which: str, order: str, given: bool) -> None:
    """Whichever comes first, of both networks: gradient, loss, activations of its own half."""
    gan = Gan()
    net, own = (gan.d, gan.od) if which == "d" else (gan.g, gan.og)
    weights = [float(p.detach().double().norm()) for p in net.parameters()]

    def iteration(step: Any) -> None:
        for half in order[:2]:
            handed = step if half == which else None
            if half == "d":
                gan.discriminate(handed, "zeroed" not in order)
            else:
                gan.generate(handed)

    log = recorded(net, path, own if given else None, iteration)
    row = log.steps.iloc[0]
    is_used(log, net, gan.norms[which])
    assert log.parameters["weight_norm"].tolist() == pytest.approx(weights, rel=1e-6)
    assert row["loss"] == pytest.approx(gan.losses[which], rel=1e-6)
    assert row["micro_batches"] == {"d": 2, "g": 1}[which] and row["optimizer_steps"] == 1
    assert row["backward_passes"] == {"d": 3, "g": 1}[which]
    assert row["images"] == {"d": 16, "g": 8}[which]
    assert log.blocks["grad_rms"].notna().all() and (log.blocks["grad_rms"] > 0).all()
    if given:
        assert row["learning_rate"] == {"d": 0.02, "g": 0.05}[which]


def test_a_gradient_penalty_counts_with_its_backward(path: Path) -> None:
    """`autograd.grad` through the critic fills no `.grad`: one backward pass makes the gradient."""
    net = layers_of(8, 1, 1)
    optimizer = SGD(net.parameters(), 0.1)
    norms: list[float] = []

    def loop(step: Any) -> None:
        optimizer.zero_grad()
        mixed = REAL.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(net(mixed).sum(), mixed, create_graph=True)
        loss = net(REAL).mean() + 10 * (slope.norm(dim=1) - 1).square().mean()
        step.loss(loss)
        loss.backward()
        norms[:] = norms_of_all(net)
        optimizer.step()

    row = recorded(net, path, optimizer, loop).steps.iloc[0]
    total = sum(v * v for v in norms) ** 0.5
    assert row["grad_norm"] == pytest.approx(total, rel=1e-6) and row["micro_batches"] == 1


def norms_of_all(net: nn.Module) -> list[float]:
    return [0.0 if p.grad is None else float(p.grad.norm()) for p in net.parameters()]


# ---- several optimisers of one network
@pytest.mark.parametrize("given", ["both", "first", "none"])
def test_two_optimisers_of_one_network(path: Path, given: str) -> None:
    """Two passes in turn, one for each optimiser: each parameter as its own one used it."""
    net = layers_of(8, 3, 1)
    first, second = SGD(net[0].parameters(), 0.1), SGD(net[2].parameters(), 0.2)
    kept: list[list[float]] = []
    losses: list[float] = []

    def loop(step: Any) -> None:
        for optimizer in (first, second):
            net.zero_grad()
            loss = F.cross_entropy(net(REAL), LABELS)
            step.loss(loss)
            loss.backward()
            kept.append(norms_of(net))
            losses.append(float(loss.detach()))
            optimizer.step()

    optimizers = {"both": [first, second], "first": first, "none": None}[given]
    log = recorded(net, path, optimizers, loop)
    row = log.steps.iloc[0]
    if given == "first":
        is_used(log, net, kept[0])
        assert log.parameters["learning_rate"].tolist()[:2] == [0.1, 0.1]
        assert row["loss"] == pytest.approx(losses[0]) and row["optimizer_steps"] == 1
        return
    is_used(log, net, [*kept[0][:2], *kept[1][2:]])
    assert log.parameters["learning_rate"].tolist() == [0.1, 0.1, 0.2, 0.2]
    assert row["loss"] == pytest.approx(sum(losses)) and row["micro_batches"] == 2


def test_two_optimisers_of_one_pass(path: Path) -> None:
    net = layers_of(8, 3, 1)
    both = [SGD(net[0].parameters(), 0.1), torch.optim.Adam(net[2].parameters(), 0.2)]
    norms: list[float] = []

    def loop(step: Any) -> None:
        loss = F.cross_entropy(net(REAL), LABELS)
        loss.backward()
        norms[:] = norms_of(net)
        for optimizer in both:
            optimizer.step()

    log = recorded(net, path, both, loop)
    is_used(log, net, norms)
    assert log.steps["micro_batches"].tolist() == [1]
    assert log.provenance["optimizer"] == "SGD, Adam"


def test_one_of_two_makes_no_step(path: Path) -> None:
    """Its parameters have a gradient that nobody used; the quotient is over the others."""
    net = layers_of(8, 3, 1)
    both = [SGD(net[0].parameters(), 0.1), SGD(net[2].parameters(), 0.2)]

    def loop(step: Any) -> None:
        F.cross_entropy(net(REAL), LABELS).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1e-3)
        both[0].step()

    log = recorded(net, path, both, loop)
    row, clip = log.steps.iloc[0], log.parameters
    assert clip["grad_norm_used"].isna().tolist() == [False, False, True, True]
    assert clip["grad_norm"].notna().all() and row["updated"] is True
    factor = clip["grad_norm_used"][0] / clip["grad_norm"][0]
    assert row["clip_factor"] == pytest.approx(factor, rel=1e-4) and row["clipped"] is True


@pytest.mark.parametrize("infinite", [[0], [0, 2]])
@pytest.mark.parametrize("fused", [False, True])
def test_the_scaler_leaves_out_one_of_two(path: Path, infinite: list[int], fused: bool) -> None:
    """Each optimiser has its own check; what the other did is an update."""
    net = layers_of(8, 3, 1)
    both = [torch.optim.AdamW(net[i].parameters(), 0.1, fused=fused) for i in (0, 2)]
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    before = [net[i].weight.detach().clone() for i in (0, 2)]

    def loop(step: Any) -> None:
        weights = [net[i].weight for i in infinite]
        hooks = [weight.register_hook(lambda grad: grad * float("inf")) for weight in weights]
        scaler.scale(F.cross_entropy(net(REAL), LABELS)).backward()
        for hook in hooks:
            hook.remove()
        for optimizer in both:
            scaler.step(optimizer)
        scaler.update()

    row = recorded(net, path, both, loop, scaler=scaler).steps.iloc[0]
    moved = [not torch.equal(a, net[i].weight) for a, i in zip(before, (0, 2), strict=True)]
    assert moved == [False, infinite == [0]]
    assert row["skipped"] is True and row["updated"] is any(moved)


def test_the_scaler_looks_at_what_the_optimiser_has(path: Path) -> None:
    """A head that is trained alone: what overflows before it leaves out no step."""
    net, scaler = layers_of(8, 3, 1), torch.amp.GradScaler("cpu", init_scale=4.0)
    optimizer, before = SGD(net[2].parameters(), 0.1), net[2].weight.detach().clone()
    net[0].weight.register_hook(lambda grad: grad * float("inf"))

    def loop(step: Any) -> None:
        scaler.scale(F.cross_entropy(net(REAL), LABELS)).backward()
        scaler.step(optimizer)
        scaler.update()

    row = recorded(net, path, optimizer, loop, scaler=scaler).steps.iloc[0]
    assert not torch.equal(before, net[2].weight) and scaler.get_scale() == 4
    assert row["skipped"] is False and row["updated"] is True


@pytest.mark.parametrize("first", [True, False])
def test_a_penalty_with_a_backward_of_its_own(path: Path, first: bool) -> None:
    """On the parameters: it does not come through the network, and is no clipping."""
    net = layers_of(8, 3, 1)
    optimizer = SGD(net.parameters(), 0.1)
    norms: list[float] = []
    losses: list[float] = []

    def loop(step: Any) -> None:
        def penalty() -> Tensor:
            return 0.05 * sum(p.square().sum() for p in net.parameters())

        def main() -> Tensor:
            return F.cross_entropy(net(REAL), LABELS)

        for make in (penalty, main) if first else (main, penalty):
            loss = make()
            step.loss(loss)
            loss.backward()
            losses.append(float(loss.detach()))
        norms[:] = norms_of(net)
        optimizer.step()

    log = recorded(net, path, optimizer, loop)
    is_used(log, net, norms)
    assert log.steps["loss"][0] == pytest.approx(sum(losses), rel=1e-6)
    assert log.blocks["grad_rms"].notna().all()


def test_the_last_of_several_steps_counts(path: Path) -> None:
    net = layers_of(8, 3, 1)
    optimizer = SGD(net.parameters(), 0.1)
    kept: list[list[float]] = []

    def loop(step: Any) -> None:
        for _ in range(3):
            optimizer.zero_grad()
            F.cross_entropy(net(REAL), LABELS).backward()
            kept.append(norms_of(net))
            optimizer.step()

    log = recorded(net, path, optimizer, loop)
    is_used(log, net, kept[-1])
    assert log.steps["optimizer_steps"].tolist() == [3]
    assert log.steps["micro_batches"].tolist() == [1]
    assert log.steps["backward_passes"].tolist() == [3]


# ---- closures
def test_lbfgs_counts_with_its_first_evaluation(path: Path) -> None:
    """Clipped in the closure; the weights are those that the step starts from."""
    net = layers_of(8, 3, 1)
    optimizer = torch.optim.LBFGS(net.parameters(), 0.5, max_iter=4)
    weights = [float(p.detach().double().norm()) for p in net.parameters()]
    kept: list[tuple[float, float, float]] = []

    def loop(step: Any) -> None:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(REAL), LABELS)
            step.loss(loss)
            loss.backward()
            before = norm_of(net.parameters())
            nn.utils.clip_grad_norm_(net.parameters(), 0.05)
            kept.append((float(loss.detach()), before, norm_of(net.parameters())))
            return loss

        returned = optimizer.step(closure)
        assert float(returned.detach()) == kept[0][0]

    log = recorded(net, path, optimizer, loop)
    row = log.steps.iloc[0]
    assert len(kept) == row["backward_passes"] > 2 and row["micro_batches"] == 1
    assert (row["loss"], row["grad_norm"], row["grad_norm_used"]) == pytest.approx(kept[0], 1e-6)
    assert row["updated"] is True and row["clipped"] is True and row["learning_rate"] == 0.5
    assert log.parameters["weight_norm"].tolist() == pytest.approx(weights, rel=1e-6)


@pytest.mark.parametrize("keyword", [False, True])
def test_the_closure_is_the_loop_s_own(path: Path, keyword: bool) -> None:
    """LBFGS ends at the same bits, however it gets the closure."""
    ends = []
    for watched in (False, True):
        net = layers_of(8, 3, 1)
        optimizer = torch.optim.LBFGS(net.parameters(), max_iter=3, line_search_fn="strong_wolfe")

        def loop(step: Any, net: nn.Module = net, optimizer: Any = optimizer) -> None:
            def closure() -> Tensor:
                optimizer.zero_grad()
                loss = F.cross_entropy(net(REAL), LABELS)
                loss.backward()
                return loss

            optimizer.step(**{"closure": closure}) if keyword else optimizer.step(closure)

        if watched:
            recorded(net, path, optimizer, loop)
        else:
            loop(None)
        ends.append([p.detach().clone() for p in net.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


# ---- optimisers around others
class Sam(torch.optim.Optimizer):
    """Sharpness-aware minimisation (Foret et al. 2021), as it is usually written."""

    def __init__(self, parameters: Any, rho: float = 0.5) -> None:
        super().__init__(parameters, {"rho": rho, "lr": 0.1})
        self.base_optimizer = SGD(self.param_groups, lr=0.1)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def first_step(self) -> None:
        scale = self.param_groups[0]["rho"] / norm_of(self.every())
        for p in self.every():
            self.state[p]["old"] = p.clone()
            p.add_(p.grad, alpha=scale)

    @torch.no_grad()
    def second_step(self) -> None:
        for p in self.every():
            p.copy_(self.state[p]["old"])
        self.base_optimizer.step()

    def every(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def step(self, closure: Any = None) -> None:
        self.first_step()
        self.zero_grad()
        with torch.enable_grad():
            closure()
        self.second_step()


@pytest.mark.parametrize("to_none", [True, False])
@pytest.mark.parametrize("closure", [True, False])
@pytest.mark.parametrize("handed", ["both", "first"])
def test_sam_uses_its_second_gradient(
    path: Path, closure: bool, to_none: bool, handed: str
) -> None:
    net = layers_of(8, 3, 1)
    sam = Sam(net.parameters())
    weights = [float(p.detach().double().norm()) for p in net.parameters()]
    kept: list[list[float]] = []
    losses: list[float] = []

    def loop(step: Any) -> None:
        def evaluate() -> None:
            loss = F.cross_entropy(net(REAL), LABELS)
            if handed == "both" or not losses:
                step.loss(loss)
            loss.backward()
            kept.append(norms_of(net))
            losses.append(float(loss.detach()))

        evaluate()
        if closure:
            sam.step(evaluate)
        else:
            sam.first_step()
            sam.zero_grad(set_to_none=to_none)
            evaluate()
            sam.second_step()
        sam.zero_grad()

    log = recorded(net, path, sam, loop)
    row = log.steps.iloc[0]
    is_used(log, net, kept[1])
    assert row["micro_batches"] == 1 and row["backward_passes"] == 2
    assert row["loss"] == pytest.approx(losses[1 if handed == "both" else 0], rel=1e-6)
    assert log.parameters["weight_norm"].tolist() == pytest.approx(weights, rel=1e-6)
    with torch.no_grad():  # activations of the pass that the second gradient came through
        for p in net.parameters():
            p.copy_(sam.state[p]["old"])
        rms = float(net[0](REAL).square().mean().sqrt())
    assert abs(log.blocks["rms"][0] - rms) > 1e-3


# ---- plain numbers as losses
@pytest.mark.parametrize("late", [False, True])
def test_plain_losses_belong_to_the_pass_beside_them(path: Path, late: bool) -> None:
    gan = Gan()
    losses: list[float] = []

    def loop(step: Any) -> None:
        for sign in (1, -1):
            gan.od.zero_grad()
            loss = F.softplus(sign * gan.d(REAL)).mean()
            losses.append(float(loss.detach()))
            if not late:
                step.loss(losses[-1])
            loss.backward()
            if late:
                step.loss(losses[-1])
        gan.od.step()

    assert recorded(gan.d, path, gan.od, loop).steps["loss"][0] == pytest.approx(losses[1])


# ---- left as found
@pytest.mark.parametrize("where", ["in the closure", "in the block", "nowhere"])
def test_optimisers_are_left_as_found(path: Path, where: str) -> None:
    net = layers_of(8, 3, 1)
    sam = Sam(net.parameters())
    own = sam.base_optimizer.register_step_pre_hook(lambda *_: None)
    optimizers = (sam, sam.base_optimizer)

    def found() -> list[Any]:
        hooks = [(dict(o._optimizer_step_pre_hooks), sorted(vars(o))) for o in optimizers]
        return [*hooks, dict(_global_optimizer_pre_hooks)]

    def structure() -> dict[str, Any]:
        return {k: v for k, v in state_of(net).items() if "hooks" in k and ".grad" not in k}

    def evaluate() -> None:
        F.cross_entropy(net(REAL), LABELS).backward()
        if where == "in the closure" and len(seen) == 1:
            raise KeyboardInterrupt
        seen.append(1)

    def loop(_: Any) -> None:
        evaluate()
        sam.step(evaluate)
        if where == "in the block":
            raise KeyboardInterrupt

    seen: list[int] = []
    before = found(), structure()
    if where == "nowhere":
        recorded(net, path, sam, loop)
    else:
        with pytest.raises(KeyboardInterrupt):
            recorded(net, path, sam, loop)
    assert (found(), structure()) == before
    own.remove()


# ---- parts of a network
class Pair(nn.Module):
    """Generator and discriminator in one module, whose forward pass is both."""

    def __init__(self) -> None:
        super().__init__()
        self.g, self.d = layers_of(4, 8, 2), layers_of(8, 1, 1)

    def forward(self, z: Tensor) -> Tensor:
        return self.d(self.g(z))


def test_parts_of_a_network(path: Path, tmp_path: Path) -> None:
    net = Pair()
    optimizer = SGD(net.parameters(), 0.1)

    def loop(_: Any) -> None:
        optimizer.zero_grad()
        F.softplus(net(NOISE)).mean().backward()
        optimizer.step()

    whole = recorded(net, tmp_path / "whole", optimizer, loop)
    log = recorded(net, path, optimizer, loop, layers=["d", "g.0"])
    assert log.parameters["parameter"].tolist() == [
        *("g.0.weight", "g.0.bias", "d.0.weight", "d.0.bias", "d.2.weight", "d.2.bias")
    ]
    assert log.blocks["layer"].tolist() == ["g.0", "d.0", "d.1", "d.2"]
    assert len(whole.blocks) == 6 and len(whole.parameters) == 8
    chosen = [p for n, p in net.named_parameters() if not n.startswith("g.2")]
    assert log.steps["grad_norm"][0] == pytest.approx(norm_of(chosen), rel=1e-6)
    assert log.provenance["layers"] == ["d", "g.0"] and whole.provenance["layers"] is None
    with pytest.raises(ValueError, match="is of a network with other parameters"):
        TrainingRecorder(net, path, layers="d", resume=True)
    for wrong, error, words in (
        ("e", ValueError, "no layer 'e' in Pair; closest: "),
        ([], ValueError, "no layers"),
        (3, TypeError, "layers 3"),
        ([3], TypeError, "layer 3"),
    ):
        with pytest.raises(error, match=f"TrainingRecorder: {words}"):
            TrainingRecorder(net, tmp_path / "other", layers=wrong)  # type: ignore[arg-type]


def test_a_part_has_the_weight_that_it_shares(path: Path) -> None:
    """The head of a language model, whose weight is the embedding's."""
    net = nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 6), nn.Linear(6, 9))
    net[2].weight = net[0].weight
    optimizer = SGD(net.parameters(), 0.1)

    def loop(_: Any) -> None:
        F.cross_entropy(net(torch.arange(5)), torch.arange(5)).backward()
        optimizer.step()

    log = recorded(net, path, optimizer, loop, layers="2")
    assert log.parameters["parameter"].tolist() == ["2.weight", "2.bias"]
    assert log.parameters["layer"].tolist() == ["2", "2"]
    assert log.steps["grad_norm"][0] == pytest.approx(norm_of(net[2].parameters()), rel=1e-6)


def test_sparse_gradients_are_used_as_they_are(path: Path) -> None:
    """Rows that come twice add up first: the norm is that of the dense gradient."""
    net = nn.Sequential(nn.Embedding(9, 3, sparse=True), nn.Flatten(), nn.Linear(6, 2))
    both = [torch.optim.SparseAdam(net[0].parameters()), SGD(net[2].parameters(), 0.1)]
    norms: list[float] = []

    def loop(step: Any) -> None:
        for words in (torch.tensor([[1, 1], [2, 3]]), torch.tensor([[2, 1], [4, 1]])):
            loss = net(words).square().mean()
            step.loss(loss)
            loss.backward()
        norms.append(float(net[0].weight.grad.to_dense().norm()))
        for optimizer in both:
            optimizer.step()

    log = recorded(net, path, both, loop)
    assert log.parameters["grad_norm"][0] == pytest.approx(norms[0], rel=1e-6)
    assert log.parameters["grad_norm_used"][0] == pytest.approx(norms[0], rel=1e-6)
    assert log.steps["micro_batches"].tolist() == [2] and log.steps["loss"].notna().all()


def test_a_log_of_before_opens(path: Path) -> None:
    """Without the columns and the header's lines that came later."""
    net = layers_of(8, 3, 1)
    recorded(net, path, None, lambda _: net(REAL).sum().backward())
    text = path.read_text().replace('"layers":null,', "")
    for column in ("backward_passes", "optimizer_steps"):
        text = text.replace(f'"{column}":1,', "").replace(f'"{column}":0,', "")
    assert "optimizer_steps" not in text and "backward_passes" not in text
    path.write_text(text)
    steps = load_training_record(path).steps
    assert steps["backward_passes"].isna().all() and steps["micro_batches"].tolist() == [1]
    with TrainingRecorder(net, path, 1, resume=True) as recorder, recorder.step():
        net(REAL).sum().backward()
    assert load_training_record(path).steps["backward_passes"].tolist()[1:] == [1]


def fused(net: nn.Module, set_to_none: bool, given: list[Any]) -> list[Any]:
    """An optimiser for each parameter, which makes its step as soon as the gradient is there."""
    given[:] = [SGD([parameter], 0.1) for parameter in net.parameters()]
    own = dict(zip(net.parameters(), given, strict=True))

    def used(parameter: Tensor) -> None:
        own[parameter].step()
        own[parameter].zero_grad(set_to_none)

    return [p.register_post_accumulate_grad_hook(used) for p in net.parameters()]


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_steps_inside_the_backward_pass(path: Path, set_to_none: bool, named: bool) -> None:
    """Fused into it, so that no more than one gradient is in memory."""
    nets, optimizers = [layers_of(8, 3, 0) for _ in range(2)], list[Any]()
    handles = fused(nets[0], set_to_none, optimizers)
    usual = SGD(nets[1].parameters(), 0.1)
    logs = []
    for number, net in enumerate(nets):
        name = path.with_name(f"{number}.resviz-log")
        given = usual if number else optimizers if named else None
        with TrainingRecorder(net, name, 1, optimizer=given) as recorder:
            for _ in range(3):
                with recorder.step() as step:
                    loss = F.cross_entropy(net(REAL), LABELS)
                    step.loss(loss)
                    loss.backward()
                    if number:
                        usual.step()
                        usual.zero_grad()
        logs.append(load_training_record(name))
    own, other = logs
    for handle in handles:
        handle.remove()
    same = ["loss", "learning_rate", "grad_norm", "grad_norm_used", "updated", "micro_batches"]
    assert own.steps[same].equals(other.steps[same])
    assert own.steps["grad_norm"].notna().all()
    columns = ["grad_norm", "grad_norm_used", "weight_norm", "learning_rate"]
    assert own.parameters[columns].equals(other.parameters[columns])
    assert own.blocks["grad_rms"].equals(other.blocks["grad_rms"])
    assert own.steps["optimizer_steps"].tolist() == [4, 4, 4]
    assert own.steps["clip_factor"].isna().all()  # what came before such a step is not seen


def test_a_backward_pass_that_fails_after_a_step_inside(path: Path) -> None:
    net, given = layers_of(8, 3, 0), list[Any]()
    handles = fused(net, True, given)
    break_it = [True]

    def fail(_: Tensor) -> None:
        if break_it.pop():
            raise RuntimeError("out of memory")

    with TrainingRecorder(net, path, 1) as recorder, recorder.step() as step:
        for _ in range(2):
            hidden = net[1](net[0](REAL))
            hidden.register_hook(lambda g: fail(g) if break_it else None)
            loss = F.cross_entropy(net(REAL), LABELS) + F.cross_entropy(net[2](hidden), LABELS)
            step.loss(loss)
            try:
                loss.backward()
            except RuntimeError:
                continue
    for handle in handles:
        handle.remove()
    (row,) = load_training_record(path).steps.to_dict("records")
    assert row["grad_norm"] > 0 and row["updated"]
