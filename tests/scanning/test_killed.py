"""A scan that is killed at any moment goes on from its file, and counts nothing twice."""

from __future__ import annotations

import multiprocessing
import random
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch import Tensor
from torch.utils.data import Dataset

import resviz as rv
from scanning.toys import activations, pictures, toy

COUNT, CHUNK = 240, 20
_SLOWLY = 0.003  # seconds to read an image, where a kill shall come in between


class Logged(Dataset):
    """Writes down what is read, in a file that survives a kill."""

    def __init__(self, log: Path, seconds: float = 0) -> None:
        self.log, self.seconds, self.data = log, seconds, pictures(COUNT)

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, n: int) -> tuple[Tensor, Tensor]:
        with self.log.open("a") as log:
            log.write(f"{n}\n")
        time.sleep(self.seconds)
        return self.data[n]


def scan_slowly(path: Path, log: Path) -> None:
    """In a process of its own, to be killed."""
    rv.scan(toy(), Logged(log, _SLOWLY), path=path, chunk=CHUNK, batch_size=10, progress=False)


def killed(path: Path, log: Path, after: float) -> None:
    """Start a scan, and kill it with SIGKILL once so many images have been read, and a moment."""
    own = multiprocessing.get_context("forkserver")
    own.set_forkserver_preload(["resviz.scanning.scanning", "scanning.toys", "datasketches"])
    process = own.Process(target=scan_slowly, args=(path, log))
    process.start()
    while process.is_alive() and (not log.exists() or log.read_text().count("\n") < after):
        time.sleep(0.002)
    time.sleep(after % 1 * 0.03)
    process.kill()
    process.join()


@pytest.mark.slow
def test_killed_at_ten_random_moments_the_result_is_the_same(tmp_path):
    whole = rv.scan(toy(), pictures(COUNT), batch_size=10, progress=False)
    peaks = activations(toy(), "relu", pictures(COUNT).tensors[0]).max((2, 3))
    draw, partial = random.Random(0), 0
    for number in range(10):
        path, log = tmp_path / f"{number}.resviz", tmp_path / f"{number}.log"
        killed(path, log, draw.uniform(0, COUNT))
        before = log.read_text().split() if log.exists() else []
        kept = len(rv.load_scan(path).images) if path.exists() else 0
        partial += 0 < kept < COUNT
        assert len(before) - 2 - kept <= CHUNK + 10  # two more tell what to expect
        found = rv.scan(toy(), Logged(log), path=path, chunk=CHUNK, batch_size=10, progress=False)
        assert found.images["image"].tolist() == list(range(COUNT))
        columns = [name for name in whole.channels if name != "median"]
        pd.testing.assert_frame_equal(found.channels[columns], whole.channels[columns])
        for layer in whole.layers["layer"]:
            pd.testing.assert_frame_equal(found.top(layer, 3), whole.top(layer, 3))
        ranks = (peaks <= found.quantiles("relu", (0.5,))[0.5].to_numpy()).mean(0)
        assert np.abs(ranks - 0.5).max() < 2 * 0.0133
    assert partial >= 5  # most of them in the middle
