"""`TrainingRecorder` under DistributedDataParallel: two processes over gloo, one over nccl."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from resviz.training.recorder.record import load_training_record

pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()),
    reason="torch without gloo",
)

WORKER = """
import json, sys
from contextlib import nullcontext
import torch
from torch import nn
import torch.distributed as dist
from resviz.training.recorder.recorder import TrainingRecorder

folder, rank, world = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
backend, device = ("gloo", "cpu") if world > 1 else ("nccl", "cuda")
torch.set_num_threads(1)
torch.backends.cudnn.deterministic = True
dist.init_process_group(backend, init_method=f"file://{folder}/meet", rank=rank, world_size=world)

def train(recorded, name):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2),
        nn.Flatten(), nn.Linear(4 * 36, 5),
    ).to(device)
    parallel = nn.parallel.DistributedDataParallel(net, bucket_cap_mb=0.0005)  # several buckets
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    recorder = TrainingRecorder(parallel, f"{folder}/{name}", 2, optimizer=optimizer)
    torch.manual_seed(rank + 1)
    data = torch.randn(5, 2, 4, 3, 8, 8).to(device)
    seen = []
    for batch in data:
        with recorder.step() if recorded else nullcontext() as step:
            optimizer.zero_grad()
            for number, images in enumerate(batch):
                with parallel.no_sync() if number == 0 else nullcontext():
                    loss = parallel(images).square().mean() / 2
                    if step is not None:
                        step.loss(loss)
                    loss.backward()
            seen.append([float(p.grad.double().norm()) for p in net.parameters()])
            nn.utils.clip_grad_norm_(net.parameters(), 0.05)
            optimizer.step()
    return seen, {k: v.double().flatten().tolist() for k, v in net.state_dict().items()}

plain, recorded = train(False, "plain"), train(True, "run")
print(json.dumps({"grads": recorded[0], "same": plain == recorded}))
dist.barrier()
dist.destroy_process_group()
"""


def run(folder: Path, world: int) -> list[dict[str, Any]]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(folder), str(rank), str(world)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(world)
    ]
    try:
        results = [process.communicate(timeout=60) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0] * world, results
    return [json.loads(out.splitlines()[-1]) for out, _ in results]


@pytest.mark.thorough
def test_gradients_are_averaged_and_rank_0_writes(tmp_path: Path) -> None:
    first, second = run(tmp_path, 2)
    assert first["same"] and second["same"]  # with and without the recorder, bit by bit
    assert first["grads"] == second["grads"]
    assert sorted(p.name for p in tmp_path.iterdir() if p.name != "meet") == ["plain", "run"]
    log = load_training_record(tmp_path / "run")
    assert log.steps["step"].tolist() == [0, 2, 4]
    assert log.steps["rank"].tolist() == [0] * 3 and log.steps["world_size"].tolist() == [2] * 3
    assert log.steps["micro_batches"].tolist() == [2] * 3
    assert log.steps["images"].tolist() == [4] * 3
    for step in (0, 2, 4):
        table = log.at(step).parameters
        assert table["grad_norm"].tolist() == pytest.approx(first["grads"][step], rel=1e-6)
        assert not table["parameter"].str.startswith("module.").any()
    assert log.steps["grad_norm_used"].tolist() == pytest.approx([0.05] * 3, rel=1e-4)
    assert (log.parameters["shard"] == "whole").all() and (log.parameters["world_size"] == 2).all()
    assert log.provenance["world_size"] == 2


@pytest.mark.gpu
def test_nccl_in_one_process(tmp_path: Path) -> None:
    (found,) = run(tmp_path, 1)
    assert found["same"]
    log = load_training_record(tmp_path / "run")
    assert log.steps["step"].tolist() == [0, 2, 4] and log.steps["rank"].tolist() == [0] * 3
    for step in (0, 2, 4):
        norms = log.at(step).parameters["grad_norm"].tolist()
        assert norms == pytest.approx(found["grads"][step], rel=1e-5)
    assert log.provenance["world_size"] == 1
