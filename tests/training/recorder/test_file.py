"""The file of a training record: whatever ends the process, every completed step is in it."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from resviz.errors import ResvizWarning
from resviz.training.recorder import file as training_file
from resviz.training.recorder.record import load_training_record
from resviz.training.recorder.recorder import TrainingRecorder


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def run(recorder: TrainingRecorder, steps: int) -> None:
    made = torch.Generator().manual_seed(0)
    for _ in range(steps):
        with recorder.step() as step:
            loss = recorder.net(torch.randn(5, 3, generator=made)).square().mean()
            step.loss(loss)
            loss.backward()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.resviz-log"


def test_what_is_read_is_what_was_written(path: Path) -> None:
    shapes = [(4, 3), (2,)]
    parameters = pd.DataFrame({"parameter": ["a", "b"], "depth": [1, 2], "shape": shapes})
    numbers = {"grad_norm": [math.nan, 1 / 3], "weight_norm": [math.inf, 1e-300]}
    parameters = parameters.assign(**numbers)
    empty = pd.DataFrame(columns=["addition", "ratio"])
    tables = {"parameters": parameters, "blocks": parameters.iloc[:1], "residuals": empty}
    writer = training_file.Writer(path, {"network": "né"})
    for step in (0, 7):
        row = {"step": step, "loss": -math.inf, "time": 1795567890.123456, "clipped": None}
        writer.append({"images": 1, "micro_batches": 1, "rank": 0, "world_size": 1} | row, tables)
    writer.close()
    log = load_training_record(path)
    assert log.provenance["network"] == "né"
    assert log.steps["step"].tolist() == [0, 7] and log.steps["loss"].tolist() == [-math.inf] * 2
    assert log.steps["time"].tolist() == [1795567890.123456] * 2
    assert log.steps["clipped"].tolist() == [None, None]
    assert log.parameters["step"].tolist() == [0, 0, 7, 7]
    assert log.parameters["shape"].tolist() == shapes * 2
    np.testing.assert_allclose(log.parameters["grad_norm"], [math.nan, 1 / 3] * 2, rtol=1e-8)
    assert log.parameters["weight_norm"].tolist() == [math.inf, 1e-300] * 2
    assert log.blocks["parameter"].tolist() == ["a", "a"] and log.residuals.empty
    assert path.read_text().count('"shape"') == 2  # one layout: names are written once


def test_a_layer_whose_name_is_that_of_a_number(path: Path) -> None:
    net = nn.Sequential()
    for name, layer in (("inf", nn.Linear(3, 4)), ("nan", nn.ReLU()), ("1", nn.Linear(4, 2))):
        net.add_module(name, layer)
    with TrainingRecorder(net, path, 1) as recorder:
        run(recorder, 1)
    log = load_training_record(path)
    assert log.blocks["layer"].tolist() == ["inf", "nan", "1"]
    assert log.parameters["layer"].tolist() == ["inf", "inf", "1", "1"]
    assert log.blocks["rms"].dtype == "float64"


def test_the_home_folder_may_be_a_tilde(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(path.parent))
    with TrainingRecorder(network(), f"~/{path.name}", 1) as recorder:
        run(recorder, 2)
    assert path.is_file()
    assert load_training_record(f"~/{path.name}").steps["step"].tolist() == [0, 1]


def test_every_line_is_strict_json(path: Path) -> None:
    net = network()
    net[0].bias.requires_grad_(False)
    run(TrainingRecorder(net, path, 1), 3)

    def refuse(word: str) -> None:
        raise AssertionError(word)

    lines = [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]
    assert [sorted(line)[0] for line in lines] == ["data", "tables", *["blocks"] * 3]


def test_the_file_can_be_read_while_it_grows(path: Path) -> None:
    recorder = TrainingRecorder(network(), path, 1)
    assert load_training_record(path).steps.empty
    assert "0 steps, none" in repr(load_training_record(path))
    for count in (1, 2):
        run(recorder, 1)
        assert len(load_training_record(path).steps) == count


@pytest.mark.parametrize("epoch", [3, 3.0, np.int64(3), np.float32(3), torch.tensor(3)])
def test_an_epoch_is_any_number(path: Path, epoch: Any) -> None:
    recorder = TrainingRecorder(network(), path, 1)
    with recorder.step(epoch):
        recorder.net(torch.ones(2, 3)).sum().backward()
    assert load_training_record(path).steps["epoch"].tolist() == [3]
    with pytest.raises(TypeError, match="TrainingRecorder: epoch 'warmup'; a number"):
        recorder.step("warmup")  # type: ignore[arg-type]


@pytest.mark.parametrize("cut", [1, 2, 40, 400])
def test_a_broken_last_record_is_left_out(path: Path, cut: int) -> None:
    run(TrainingRecorder(network(), path, 1), 4)
    raw = path.read_bytes()
    path.write_bytes(raw[:-cut])
    with pytest.warns(ResvizWarning, match="not written to its end and is left out; 3 whole"):
        log = load_training_record(path)
    assert log.steps["step"].tolist() == [0, 1, 2]


def test_any_cut_leaves_whole_steps(path: Path) -> None:
    """Wherever the file ends, it opens, and holds the steps that were whole by then."""
    run(TrainingRecorder(network(), path, 1), 3)
    raw = path.read_bytes()
    ends = training_file.read(path).ends
    for cut in range(ends[0], len(raw), 97):
        path.write_bytes(raw[:cut])
        content = training_file.read(path)
        assert len(content.steps) == sum(end <= cut for end in ends[1:])
        assert content.broken is not raw[:cut].endswith(b"\n")


def test_other_and_damaged_files(path: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="load_training_record: no file"):
        load_training_record(path)
    run(TrainingRecorder(network(), path, 1), 3)
    lines = path.read_text().splitlines(keepends=True)
    step = json.loads(lines[3])
    damaged = [
        "",
        "no record\n",
        "[1]\n",
        '{"format": "resviz-1"}\n',
        "".join(lines[1:]),  # no header
        "".join([*lines[:2], lines[2][:100], *lines[3:]]),
        "".join([lines[0], *lines[2:]]),  # no layout
        "".join(lines[:3]) + json.dumps(step | {"layout": 5}) + "\n",
        "".join(lines[:3]) + json.dumps(step | {"parameters": {"grad_norm": [1.0]}}) + "\n",
        "".join(lines[:3]) + json.dumps(step | {"row": {}}) + "\n",
        "".join(lines[:3]) + json.dumps(step | {"row": {"step": 1, "loss": "x"}}) + "\n",
        "".join(lines[:3]) + "[" * 100_000 + "\n",
    ]
    for text in damaged:
        path.write_text(text)
        with pytest.raises(ValueError, match="is damaged or no resviz file"):
            load_training_record(path)


# ---- going on
def test_resuming_goes_on(path: Path) -> None:
    for steps in (3, 4):
        with TrainingRecorder(network(), path, 2, resume=True) as recorder:
            run(recorder, steps)
    # steps 0 and 2; the second run begins at 3, the one after the last recorded
    assert load_training_record(path).steps["step"].tolist() == [0, 2, 4, 6]
    assert path.read_text().count('{"tables"') == 1


def test_resuming_from_a_checkpoint_replaces_what_came_after_it(path: Path) -> None:
    with TrainingRecorder(network(), path, 1) as recorder:
        run(recorder, 5)
    before = load_training_record(path)
    net = network()
    with torch.no_grad():
        net[0].weight.mul_(2)
    with TrainingRecorder(net, path, 1, resume=True, first_step=3) as recorder:
        run(recorder, 3)
    after = load_training_record(path)
    assert after.steps["step"].tolist() == [0, 1, 2, 3, 4, 5]
    same = before.parameters["step"] < 3
    assert after.parameters[: same.sum()].equals(before.parameters[same])
    assert after.at(3).parameters["norm"][0] == pytest.approx(
        2 * before.at(3).parameters["norm"][0], rel=1e-6
    )


def test_resuming_at_the_beginning_and_after_a_torn_record(path: Path) -> None:
    with TrainingRecorder(network(), path, 1) as recorder:
        run(recorder, 3)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.warns(ResvizWarning, match="left out; 2 whole"):
        recorder = TrainingRecorder(network(), path, 1, resume=True)
    run(recorder, 1)
    assert load_training_record(path).steps["step"].tolist() == [0, 1, 2]
    with TrainingRecorder(network(), path, 1, resume=True, first_step=0) as recorder:
        run(recorder, 1)
    log = load_training_record(path)
    assert log.steps["step"].tolist() == [0] and len(log.parameters) == 4


def test_a_file_is_never_overwritten(path: Path) -> None:
    run(TrainingRecorder(network(), path), 1)
    raw = path.read_bytes()
    with pytest.raises(FileExistsError, match="exists; a new path, or resume=True"):
        TrainingRecorder(network(), path)
    with pytest.raises(ValueError, match="is of a network with other parameters"):
        TrainingRecorder(nn.Linear(2, 2), path, resume=True)
    assert path.read_bytes() == raw
    path.write_bytes(b"")  # killed before the header was written
    run(TrainingRecorder(network(), path, resume=True), 1)
    assert load_training_record(path).steps["step"].tolist() == [0]
    path.write_text("my thesis\n")
    with pytest.raises(ValueError, match="damaged or no resviz file"):
        TrainingRecorder(network(), path, resume=True)
    assert path.read_text() == "my thesis\n"


WORKER = """
import sys, time
import torch
from torch import nn
from resviz.training.recorder.recorder import TrainingRecorder
torch.set_num_threads(1)
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
recorder = TrainingRecorder(net, sys.argv[1], 1)
for number in range(10**6):
    with recorder.step():
        net(torch.randn(5, 3)).square().mean().backward()
        if number == int(sys.argv[2]):
            print("in the middle", flush=True)
            time.sleep(60)
    print(number, flush=True)
"""


def worker(path: Path, stop: int) -> subprocess.Popen[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path), str(stop)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


OTHER = """
import sys
from torch import nn
from resviz.training.recorder.recorder import TrainingRecorder
net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
try:
    TrainingRecorder(net, sys.argv[1], 1, resume=True, first_step=0)
except RuntimeError as error:
    print(error)
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="no locks on this system")
def test_reading_gives_up_no_lock(path: Path) -> None:
    """A plot while training goes on; then another process wants to write the file."""
    recorder = TrainingRecorder(network(), path, 1)
    run(recorder, 2)
    assert len(load_training_record(path).steps) == 2
    command = [sys.executable, "-c", OTHER, str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "is being written by another process" in said
    run(recorder, 1)
    assert load_training_record(path).steps["step"].tolist() == [0, 1, 2]


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_killed_in_the_middle_of_a_step(path: Path) -> None:
    process = worker(path, 5)
    with process:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(6)]
        assert lines == ["0", "1", "2", "3", "4", "in the middle"]
        with pytest.raises(RuntimeError, match="is being written by another process"):
            TrainingRecorder(network(), path, 1, resume=True)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert load_training_record(path).steps["step"].tolist() == [0, 1, 2, 3, 4]
    with TrainingRecorder(network(), path, 1, resume=True) as recorder:
        run(recorder, 1)
    assert load_training_record(path).steps["step"].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_killed_at_any_moment(path: Path) -> None:
    """Killed without looking: every step that was reported complete is in the file."""
    process = worker(path, -1)
    with process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.3)
        process.kill()
        rest = process.stdout.read().splitlines()
    completed = int(rest[-1] if rest[-1].isdigit() and len(rest) > 1 else rest[-2])
    content = training_file.read(path)
    numbers = [step["row"]["step"] for step in content.steps]
    assert numbers == list(range(len(numbers))) and len(numbers) > completed - 1
