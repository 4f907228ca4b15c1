"""The Ray engine: on two simulated machines of one CPU each, and what needs none."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import resviz as rv
from resviz.cli import main
from resviz.scanning.cluster.division import Share, cut
from scanning.test_parts import assert_same
from scanning.toys import Toy, pictures, toy

HEAD, SECOND = "127.0.0.2", "127.0.0.3"
TESTS = Path(__file__).parents[1]
QUIET = {"progress": False, "batch_size": 5, "top": 4}


# ---- how a cluster is divided, without one
def machines(*cpus: float, gpus: float = 0) -> list[dict]:
    return [{"CPU": n, "GPU": gpus} for n in cpus]


@pytest.mark.parametrize("cpus", [[1], [1, 1], [16], [1, 64], [0.5], [4] * 30])
def test_actors_leave_room_for_reading_on_any_one_machine(cpus):
    share = Share.of(machines(*cpus))
    assert share.actors == max(1, int(sum(cpus))) and share.gpus == 0
    assert share.actors * share.cpus + share.reading <= min(cpus)
    assert 0 < share.cpus < share.reading  # those that ask for the same become one step


def test_an_actor_for_each_gpu():
    share = Share.of(machines(8, 8, gpus=2))
    assert (share.actors, share.gpus) == (4, 1)


def test_machines_without_a_cpu_do_not_count():
    assert Share.of([*machines(2, 0), {"memory": 1.0}]) == Share.of(machines(2))


@pytest.mark.parametrize("chunk, largest", [(2048, 1e9), (7, 1e9), (2048, 12), (1, 1)])
def test_pieces_are_whole_batches_and_hold_every_image_once(chunk, largest):
    todo = np.arange(3, 103)
    pieces = cut(todo, 5, largest, chunk, 2)
    np.testing.assert_array_equal(np.concatenate(pieces), todo)
    assert max(map(len, pieces)) <= min(chunk, largest)
    assert all(len(piece) % 5 == 0 or chunk < 5 for piece in pieces[:-1])
    assert len(pieces) >= 5


# ---- what is refused, and what is not loaded
@pytest.mark.long
def test_ray_is_loaded_where_it_is_asked_for():
    pytest.importorskip("ray")
    code = "import sys, resviz.scanning.scanning; sys.exit('ray' in sys.modules)"
    assert not subprocess.run([sys.executable, "-c", code]).returncode


def test_without_ray_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r"scan: engine 'ray', and .*pip install 'resviz\[ray\]'"):
        rv.scan(toy(), pictures(), engine="ray", **QUIET)


@pytest.mark.long
def test_what_cannot_be_sent_is_named():
    pytest.importorskip("ray")

    class Locked(torch.utils.data.Dataset):
        lock = None

        def __init__(self):
            self.lock = threading.Lock()

        def __len__(self):
            return 23

        def __getitem__(self, n):
            return pictures()[n]

    with pytest.raises(TypeError, match="scan: a data set that cannot be pickled .*lock"):
        rv.scan(toy(), Locked(), engine="ray", **QUIET)
    net = toy()
    net.lock = threading.Lock()
    with pytest.raises(TypeError, match="scan: a network that cannot be pickled .*lock"):
        rv.scan(net, pictures(), engine="ray", **QUIET)
    loader = torch.utils.data.DataLoader(pictures(), shuffle=True)
    with pytest.raises(TypeError, match="scan: engine 'ray' with a stream"):
        rv.scan(toy(), loader, engine="ray", **QUIET)


# ---- two machines
SMALL = {"num_cpus": 1, "object_store_memory": 2**27, "include_dashboard": False}


def patient(get_node):
    """Ray gives a machine 30 s to start in, which a busy one does not keep."""

    def waiting(*args):
        for _ in range(60):
            with contextlib.suppress(RuntimeError):
                return get_node(*args)
            time.sleep(1)
        return get_node(*args)

    return waiting


def started(make, **arguments):
    """What Ray starts; again where a busy machine lets a limit of its own pass."""
    for attempt in range(4):
        try:
            return make(**arguments)
        except Exception:  # Ray raises no other
            if attempt == 3:
                raise


@pytest.fixture(scope="module")
def cluster():
    """Of one machine of one CPU, reached from this one alone."""
    ray = pytest.importorskip("ray")
    from ray._private import services
    from ray.cluster_utils import Cluster

    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, of its own settings
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))  # of the processes there: toys
        patch.setattr(services, "get_node", patient(services.get_node))
        # not 127.0.0.1: Ray takes that for the name of this machine in its network
        head = {**SMALL, "node_ip_address": HEAD}
        made = started(Cluster, initialize_head=True, head_node_args=head)
        try:
            ray.init(address=made.address, log_to_driver=False, _node_ip_address=HEAD)
            yield made
        finally:
            ray.shutdown()
            made.shutdown()


@pytest.fixture
def two(cluster):
    """The cluster, with a second machine, and that."""
    if not cluster.worker_nodes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            started(cluster.add_node, **SMALL, node_ip_address=SECOND)
    return cluster, next(iter(cluster.worker_nodes))


def noted(folder, count=43, dying=()):
    """Images that note who reads which; the process that first reads one of `dying` ends."""

    driver = os.getpid()

    class Noted(torch.utils.data.Dataset):  # local: travels by value, as one of a notebook
        def __len__(self):
            return count

        def __getitem__(self, n):
            import ray

            node = ray.get_runtime_context().get_node_id()
            with open(folder / f"{node}-{os.getpid()}", "a") as file:
                file.write(f"{n}\n")
            end_once(folder / f"ended-{n}", n in dying and os.getpid() != driver)
            return pictures(count)[n]

    return Noted()


def end_once(flag, really):
    if really and not flag.exists():
        flag.touch()
        os._exit(1)


def read_by(folder, node="") -> list[int]:
    files = [file for file in folder.glob(f"{node}*-*") if not file.name.startswith("ended")]
    return [int(n) for file in files for n in file.read_text().split()]


@pytest.mark.long
def test_two_machines_give_what_one_gives_and_a_second_run_resumes(two, tmp_path):
    import ray

    net, told = toy(), []
    arguments = {**QUIET, "path": tmp_path / "a.resviz", "chunk": 10}

    def stopping(done: int, total: int, _: str) -> None:
        told.append((done, total))
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rv.scan(net, noted(tmp_path), engine="ray", **{**arguments, "progress": stopping})
    assert told[0] == (0, 43) and told[-1][0] < 43 and ray.is_initialized()
    for _ in range(60):  # its actors and tasks end
        free = ray.available_resources().get("CPU", 0)
        if free == 2:
            break
        time.sleep(1)
    assert free == 2
    before = len(rv.load_scan(arguments["path"]).images)
    assert 0 < before < 43
    (tmp_path / "again").mkdir()
    found = rv.scan(net, noted(tmp_path / "again"), engine="ray", **arguments)
    others = set(read_by(tmp_path / "again")) - {0, 42}  # those are read for the digest
    assert others == set(range(before, 42))
    assert found.provenance["engine"] == "ray" and found.provenance["complete"]
    assert_same(rv.scan(net, pictures(43), **QUIET), found)
    assert_same(found, rv.load_scan(arguments["path"]))


@pytest.mark.long
def test_a_machine_that_dies_costs_no_data(two, tmp_path):
    made, second = two
    net, gone = toy(), []

    def killing(done: int, *_: object) -> None:
        if done and not gone:
            gone.append(done)
            made.remove_node(second, allow_graceful=False)

    found = rv.scan(net, noted(tmp_path, 200), engine="ray", **{**QUIET, "progress": killing})
    assert 0 < gone[0] < 200 and not made.worker_nodes
    assert read_by(tmp_path, second.node_id)  # it had a part in it
    assert_same(rv.scan(net, pictures(200), **QUIET), found)


@pytest.mark.long
def test_processes_that_die_cost_no_data(two, tmp_path):
    driver = os.getpid()

    class Ending(Toy):
        def forward(self, x):
            end_once(tmp_path / "ended-net", os.getpid() != driver)
            return super().forward(x)

    net = Ending().double().eval()
    found = rv.scan(net, noted(tmp_path, dying=(12,)), engine="ray", **QUIET)
    assert len(list(tmp_path.glob("ended-*"))) == 2
    assert read_by(tmp_path).count(12) > 1
    assert_same(rv.scan(net, pictures(43), **QUIET), found)


@pytest.mark.long
def test_an_error_there_is_an_error_here(two):
    data = pictures()
    data.tensors[0][7] = torch.nan
    with pytest.raises(rv.NonFinite, match="scan: activations that are NaN or infinite for image"):
        rv.scan(toy(), data, engine="ray", on_error="raise", **QUIET)
    found = rv.scan(toy(), data, engine="ray", **QUIET)
    assert found.skipped["image"].tolist() == [7]
    assert_same(rv.scan(toy(), data, **QUIET), found)


@pytest.mark.long
def test_on_the_command_line(two, tmp_path, capsys):
    for n in range(7):
        pixels = np.random.default_rng(n).integers(0, 255, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{n}.png")
    words = ["scan", str(tmp_path), "--model", "cifar10-resnet20", "--device", "cpu"]
    for engine in ("local", "ray"):
        out = str(tmp_path / f"{engine}.csv")
        assert main([*words, "--engine", engine, "--measures", "channels", "--out", out]) == 0
    one, other = (pd.read_csv(tmp_path / f"{engine}.csv") for engine in ("local", "ray"))
    pd.testing.assert_frame_equal(one, other, rtol=1e-5)


CELL = """
import torch, resviz as rv
class Own(torch.nn.Sequential):
    pass
net = Own(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(144, 3))
images = torch.rand(23, 3, 8, 8)
one, other = (rv.scan(net.eval(), images, ["channels"], "all", engine=engine, batch_size=5)
              for engine in ("local", "ray"))
assert (one.channels["mean"] - other.channels["mean"]).abs().max() < 1e-5
len(other.images)
"""


@pytest.mark.long
def test_in_a_notebook(two, monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("RAY_ADDRESS", two[0].address)  # the kernel connects for itself
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    (result,) = [out for out in notebook.cells[0].outputs if out.output_type == "execute_result"]
    assert result["data"]["text/plain"] == "23"
