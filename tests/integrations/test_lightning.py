"""The Lightning callback: numbers of a loop by hand, accumulation, clipping, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import resviz as rv

lightning = pytest.importorskip("lightning.pytorch")
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # Lightning's own, of loaders and loggers
    pytest.mark.thorough,
]
DATA = [
    (torch.randn(4, 3, 8, 8, generator=g), torch.randint(3, (4,), generator=g))
    for g in [torch.Generator().manual_seed(1)]
    for _ in range(8)
]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    )


class Task(lightning.LightningModule):  # type: ignore[misc]
    def __init__(self, fail_at: int | None = None) -> None:
        super().__init__()
        self.model = network()
        self.fail_at = fail_at

    def training_step(self, batch: Any, number: int) -> torch.Tensor:
        if number == self.fail_at:
            raise ValueError("no more")
        return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1, momentum=0.9)


def fit(task: Task, path: Path, **settings: Any) -> None:
    from resviz.integrations.lightning import TrainingRecorderCallback

    recorded = TrainingRecorderCallback(path, every=1)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    quiet |= {"enable_model_summary": False, "accelerator": "cpu", "max_epochs": 1}
    loader = torch.utils.data.DataLoader(DATA, batch_size=None)
    lightning.Trainer(callbacks=[recorded], **quiet, **settings).fit(task, loader)


def by_hand(micro: int, clip: float | None) -> tuple[list[dict[str, float]], nn.Module]:
    net, found = network().train(), []
    sgd = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    for start in range(0, len(DATA), micro):
        sgd.zero_grad()
        total = 0.0
        for images, targets in DATA[start : start + micro]:
            loss = nn.functional.cross_entropy(net(images), targets) / micro
            loss.backward()
            total += loss.item()
        row = {n: float(p.grad.norm()) for n, p in net.named_parameters() if p.grad is not None}
        if clip is not None:
            nn.utils.clip_grad_norm_(net.parameters(), clip)
        used = {f"used {n}": float(p.grad.norm()) for n, p in net.named_parameters()}  # type: ignore[union-attr]
        found.append({"loss": total, **row, **used})
        sgd.step()
    return found, net


@pytest.mark.parametrize(("micro", "clip"), [(1, None), (4, None), (1, 0.5), (2, 0.5)])
def test_equal_to_a_loop_by_hand(micro: int, clip: float | None, tmp_path: Path):
    task = Task()
    fit(task, tmp_path / "run", accumulate_grad_batches=micro, gradient_clip_val=clip)
    expected, net = by_hand(micro, clip)
    log = rv.load_training_record(tmp_path / "run")
    assert log.steps["step"].tolist() == list(range(len(expected)))
    assert log.steps["micro_batches"].tolist() == [micro] * len(expected)
    for step, row in enumerate(expected):
        table = log.at(step).parameters.set_index("parameter")
        for name in dict(net.named_parameters()):
            assert table["grad_norm"][name] == pytest.approx(row[name], rel=1e-6)
            assert table["grad_norm_used"][name] == pytest.approx(row[f"used {name}"], rel=1e-6)
        assert log.steps["loss"][step] == pytest.approx(row["loss"], rel=1e-6)
    for mine, its in zip(net.parameters(), task.model.parameters(), strict=True):
        assert torch.equal(mine, its)  # the same bits as without the recorder
    assert log.steps["clipped"].any() == (clip is not None)


def test_an_error_leaves_no_hook(tmp_path: Path):
    task = Task(fail_at=3)
    with pytest.raises(ValueError, match="no more"):
        fit(task, tmp_path / "run")
    assert not any(module._forward_hooks for module in task.modules())
    assert rv.load_training_record(tmp_path / "run").steps["step"].tolist() == [0, 1, 2]


def test_a_part_that_is_not_there(tmp_path: Path):
    from resviz.integrations.lightning import TrainingRecorderCallback

    callback = TrainingRecorderCallback(tmp_path / "run", net="backbone")
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    loader = torch.utils.data.DataLoader(DATA, batch_size=None)
    with pytest.raises(ValueError, match="no 'backbone' in Task; model would be right"):
        lightning.Trainer(callbacks=[callback], max_steps=1, accelerator="cpu", **quiet).fit(
            Task(), loader
        )
