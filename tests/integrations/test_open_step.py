"""What the callbacks share: a step that two calls open and close."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

import resviz as rv
from resviz.integrations.open_step import OpenStep


def train(path: Path, done: int, steps: int, **options: Any) -> list[int]:
    """The steps in the file after a run from a checkpoint that has `done` steps."""
    net = nn.Linear(3, 2)
    run = OpenStep(path, 2, {"resume": True, **options})
    run.make(net, [torch.optim.SGD(net.parameters(), 0.1)], done=done)
    assert run.recorder is not None
    for _ in range(steps):
        run.begin()
        net(torch.ones(2, 3)).sum().backward()
        run.recorder.optimizer[0].step()  # type: ignore[index]
        run.end()
    run.close()
    return rv.load_training_record(path).steps["step"].tolist()


def test_a_run_from_a_checkpoint_keeps_its_numbers(tmp_path: Path) -> None:
    path = tmp_path / "run"
    assert train(path, 0, 4) == [0, 2]
    assert train(path, 4, 4) == [0, 2, 4, 6]  # not from 3 on
    assert train(path, 4, 2) == [0, 2, 4]  # what came after the checkpoint is replaced
    assert train(path, 9, 2, first_step=6) == [0, 2, 4, 6]  # as is asked for
    assert train(path, 0, 2) == [0, 2, 4, 6, 8]  # another run, that goes on with the file
    assert train(tmp_path / "new", 1000, 3, resume=False) == [1000, 1002]
