"""Training records as TensorBoard's and Weights & Biases' own files, read back."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import resviz as rv
from resviz.integrations.writers import scalars, write_tensorboard, write_wandb


@pytest.fixture
def record(tmp_path: Path) -> rv.TrainingRecord:
    net = rv.networks.cifar.cifar_resnet(8, seed=0).train()
    sgd = torch.optim.SGD(net.parameters(), 0.1)
    with rv.TrainingRecorder(net, tmp_path / "run", every=2, optimizer=sgd) as recorder:
        for _ in range(3):
            with recorder.step() as step:
                sgd.zero_grad()
                loss = nn.functional.cross_entropy(net(torch.randn(4, 3, 8, 8)), torch.arange(4))
                step.loss(loss)
                loss.backward()
                sgd.step()
    return rv.load_training_record(tmp_path / "run")


def test_names_and_values(record: rv.TrainingRecord):
    found = dict(scalars(record))
    assert list(found) == [0, 2]
    table = record.at(2).parameters.set_index("parameter")
    assert found[2]["resviz/grad_norm/conv1.weight"] == table["grad_norm"]["conv1.weight"]
    assert found[2]["resviz/loss"] == record.steps["loss"][1]
    row = record.at(2).residuals.iloc[0]
    assert found[2][f"resviz/ratio/{row['addition']}"] == row["ratio"]


def test_every_call_of_a_block_has_a_name(tmp_path: Path):
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.relu(self.inner(x))

    block = Twice()
    net = nn.Sequential(nn.Linear(4, 4), block, block)
    with rv.TrainingRecorder(net, tmp_path / "run") as recorder, recorder.step():
        net(torch.randn(3, 4)).sum().backward()
    record = rv.load_training_record(tmp_path / "run")
    ((_, found),) = scalars(record)
    rms, ratio = record.blocks["rms"].tolist(), record.residuals["ratio"].tolist()
    assert [found["resviz/rms/1"], found["resviz/rms/1#1"]] == rms
    assert [found["resviz/ratio/1.add"], found["resviz/ratio/1.add#1"]] == ratio


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")
def test_tensorboard_reads_them(record: rv.TrainingRecord, tmp_path: Path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write_tensorboard(tmp_path / "run", tmp_path / "board", prefix="mine")
    events = EventAccumulator(str(tmp_path / "board"))
    events.Reload()
    expected = dict(scalars(record, "mine"))
    assert set(events.Tags()["scalars"]) == set(expected[0]) | set(expected[2])
    for key in ("mine/grad_norm", "mine/grad_norm/conv1.weight"):
        read = {event.step: event.value for event in events.Scalars(key)}
        assert read == {step: pytest.approx(expected[step][key]) for step in (0, 2)}


class Run:
    """What of a run is used."""

    def __init__(self) -> None:
        self.metrics: list[tuple[str, dict[str, str]]] = []
        self.logged: list[dict[str, float]] = []

    def define_metric(self, key: str, **how: str) -> None:
        self.metrics.append((key, how))

    def log(self, values: dict[str, float]) -> None:
        self.logged.append(values)


def test_steps_of_wandb_have_an_axis_of_their_own(record: rv.TrainingRecord):
    run = Run()
    write_wandb(record, run)
    assert run.metrics == [("resviz/step", {}), ("resviz/*", {"step_metric": "resviz/step"})]
    assert [row["resviz/step"] for row in run.logged] == [0, 2]
    with pytest.raises(TypeError, match=r"write_wandb: run is a str; what wandb\.init returns"):
        write_wandb(record, "run")


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")
def test_a_run_offline(record: rv.TrainingRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = wandb.init(project="test", mode="offline", dir=tmp_path)
    try:
        write_wandb(record, run)
        last = dict(scalars(record))[2]
        assert run.summary["resviz/grad_norm"] == pytest.approx(last["resviz/grad_norm"])
    finally:
        run.finish()
