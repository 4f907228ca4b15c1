"""The callback for Hugging Face's Trainer: numbers of a loop by hand, accumulation, clipping."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import resviz as rv

transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.thorough]
GENERATOR = torch.Generator().manual_seed(1)
DATA = [
    {"images": torch.randn(3, 8, 8, generator=GENERATOR), "labels": number % 3}
    for number in range(16)
]


class Model(nn.Module):
    """Returns its loss, as models of transformers do."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))

    def forward(self, images: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.net(images)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def train(path: Path, micro: int, clip: float, folder: Path) -> Any:
    from resviz.integrations.transformers import TrainingRecorderCallback

    settings: dict[str, Any] = {"per_device_train_batch_size": 2, "num_train_epochs": 1}
    settings |= {"gradient_accumulation_steps": micro, "max_grad_norm": clip, "use_cpu": True}
    settings |= {"report_to": [], "save_strategy": "no", "optim": "sgd", "learning_rate": 0.1}
    settings |= {"lr_scheduler_type": "constant", "disable_tqdm": True, "seed": 3}
    args = transformers.TrainingArguments(str(folder), **settings)
    model = Model()
    with TrainingRecorderCallback(path, every=1) as recorded:
        trainer = transformers.Trainer(model, args, train_dataset=DATA, callbacks=[recorded])
        trainer._get_train_sampler = lambda *_: torch.utils.data.SequentialSampler(DATA)
        trainer.train()
    return model


@pytest.mark.parametrize(("micro", "clip"), [(1, 0.0), (2, 0.0), (1, 0.3), (2, 0.3)])
def test_equal_to_a_loop_by_hand(micro: int, clip: float, tmp_path: Path):
    trained = train(tmp_path / "run", micro, clip, tmp_path / "out")
    model = Model().train()
    sgd = torch.optim.SGD(model.parameters(), 0.1)
    log = rv.load_training_record(tmp_path / "run")
    assert len(log.steps) == 8 // micro
    for step in range(8 // micro):
        sgd.zero_grad()
        total = 0.0
        for part in range(step * micro, (step + 1) * micro):
            rows = DATA[2 * part : 2 * part + 2]
            images = torch.stack([row["images"] for row in rows])  # type: ignore[misc]
            loss = model(images, torch.tensor([row["labels"] for row in rows]))["loss"] / micro
            loss.backward()
            total += loss.item()
        table = log.at(step).parameters.set_index("parameter")
        for name, parameter in model.named_parameters():
            norm = float(parameter.grad.norm())  # type: ignore[union-attr]
            assert table["grad_norm"][name] == pytest.approx(norm, rel=1e-6)
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        for name, parameter in model.named_parameters():
            norm = float(parameter.grad.norm())  # type: ignore[union-attr]
            assert table["grad_norm_used"][name] == pytest.approx(norm, rel=1e-6)
        assert log.steps["loss"][step] == pytest.approx(total, rel=1e-5)
        sgd.step()
    for mine, its in zip(model.parameters(), trained.parameters(), strict=True):
        torch.testing.assert_close(mine, its)
    assert not any(module._forward_hooks for module in trained.modules())


def test_copies_and_files_made_between_two_steps_have_no_hook(tmp_path: Path):
    """An average of weights, a checkpoint of the whole model: a hook would bring the recorder."""
    from resviz.integrations.transformers import TrainingRecorderCallback

    model = Model()
    sgd = torch.optim.SGD(model.parameters(), 0.1)
    told: list[Any] = [SimpleNamespace(), SimpleNamespace(epoch=0.0, global_step=0), None]
    with TrainingRecorderCallback(tmp_path / "run") as recorded:
        recorded.on_train_begin(*told, model=model, optimizer=sgd)
        assert model._forward_hooks
        copied = copy.deepcopy(model)
        torch.save(model, tmp_path / "model.pt")
    for other in (copied, torch.load(tmp_path / "model.pt", weights_only=False), model):
        assert not other._forward_hooks and "__getstate__" not in vars(other)


def test_several_gpus_in_one_process_are_refused(tmp_path: Path):
    from resviz.integrations.transformers import TrainingRecorderCallback

    recorded = TrainingRecorderCallback(tmp_path / "run")
    args = SimpleNamespace(n_gpu=2)
    with pytest.raises(ValueError, match="TrainingRecorderCallback: 2 GPUs in one process"):
        recorded.on_train_begin(args, None, None, model=Model())


def test_the_scale_of_fp16_is_divided_out(tmp_path: Path):
    """As the Trainer calls it on a GPU: the scaler is that of accelerate's optimiser."""
    from accelerate import Accelerator
    from accelerate.optimizer import AcceleratedOptimizer

    from resviz.integrations.transformers import TrainingRecorderCallback

    Accelerator(cpu=True)
    model, scaler = Model().train(), torch.amp.GradScaler("cpu", init_scale=1024.0)
    sgd = torch.optim.SGD(model.parameters(), 0.1)
    optimizer = AcceleratedOptimizer(sgd, scaler=scaler)
    images = torch.stack([row["images"] for row in DATA])  # type: ignore[misc]
    labels = torch.tensor([row["labels"] for row in DATA])
    told: list[Any] = [SimpleNamespace(), SimpleNamespace(epoch=0.0, global_step=0), None]
    losses, norms = [], []
    with TrainingRecorderCallback(tmp_path / "run", every=1) as recorded:
        recorded.on_train_begin(*told, model=model, optimizer=optimizer)
        for factor in (1.0, float("inf")):
            recorded.on_step_begin(*told)
            loss = model(images, labels)["loss"]
            scaler.scale(loss * factor).backward()
            scaler.unscale_(sgd)
            losses.append(loss.item())
            norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 1e9)))
            optimizer.step()
            optimizer.zero_grad()
            recorded.on_step_end(*told)
        recorded.on_train_end(*told)
    steps = rv.load_training_record(tmp_path / "run").steps
    assert steps["loss"][0] == pytest.approx(losses[0], rel=1e-6)
    assert steps["grad_norm"][0] == pytest.approx(norms[0], rel=1e-5)
    assert steps["clipped"][0] is False and steps["scale"].tolist() == [1024.0] * 2
    assert steps["skipped"].tolist() == [False, True]
