"""On a GPU: the same numbers as on the CPU, and no synchronisation inside the pass."""

from __future__ import annotations

import copy

import pytest
import torch
import torchvision
from torch import Tensor, nn

from left_as_found import left_as_found
from recording.rewrites import perturb
from resviz.networks.cifar import cifar_resnet
from resviz.recording import recorder
from resviz.recording.measuring import MeasuredPass
from resviz.recording.recorder import record
from resviz.recording.statistics import mean_product, mean_square, measure, read

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def no_tf32():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def networks() -> dict[str, tuple[nn.Module, Tensor]]:
    torch.manual_seed(1)
    images = torch.randn(4, 3, 64, 64)
    return {
        "resnet18": (perturb(torchvision.models.resnet18(weights=None)), images),
        "resnet50": (perturb(torchvision.models.resnet50(weights=None)), images),
        "cifar": (cifar_resnet(20, seed=0), images[..., :32, :32].contiguous()),
    }


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "cifar"])
@pytest.mark.parametrize("channels_last", [False, True])
def test_cpu_and_gpu_agree(name: str, channels_last: bool):
    net, images = networks()[name]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    on_cpu = record(net, images)
    moved = copy.deepcopy(net).cuda().to(memory_format=layout)
    with left_as_found(moved):
        on_gpu = record(moved, images.cuda().to(memory_format=layout))
    assert on_gpu.provenance["device"].startswith("cuda")
    for table, unit in (("layers", "rms"), ("residuals", "branch_rms"), ("parameters", "norm")):
        left, right = getattr(on_cpu, table), getattr(on_gpu, table)
        for column in left.select_dtypes("float").columns:
            relative = column not in ("mean", "min", "max", "zero_fraction")
            scale = left[column].abs() if relative else left[unit]
            if column in ("cosine", "grad_cosine", "grad_branch_share", "zero_fraction"):
                scale = scale.clip(lower=1)
            error = ((left[column] - right[column]).abs() / scale.clip(lower=1e-30)).max()
            assert error <= 1e-4, (table, column, error)
        for column in left.select_dtypes(exclude="float").columns:
            assert left[column].equals(right[column]), (table, column)
    assert torch.allclose(on_cpu.logits, on_gpu.logits, rtol=1e-4, atol=1e-4)


def test_the_parts_sum_to_the_whole_and_kept_tensors_come_to_the_cpu():
    net, images = networks()["resnet50"]
    blocks = [name for name, module in net.named_modules() if hasattr(module, "conv3")]
    keep = [f"{b}.add:{p}" for b in blocks for p in ("branch", "shortcut", "grad_branch")]
    keep += [f"{b}.add:grad_shortcut" for b in blocks] + [f"{b}:grad" for b in blocks]
    rec = record(net.cuda(), images.cuda(), keep=[*keep, "blocks", "maxpool:grad"])
    assert {t.device.type for t in rec.tensors.values()} == {"cpu"}
    for before, block in zip(["maxpool", *blocks], blocks, strict=False):
        added = rec[f"{block}.add:branch"] + rec[f"{block}.add:shortcut"]
        assert torch.equal(torch.relu(added), rec[block])
        whole = rec[f"{before}:grad"]
        total = rec[f"{block}.add:grad_branch"] + rec[f"{block}.add:grad_shortcut"]
        assert (total - whole).norm() <= 1e-6 * whole.norm(), block


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype:UserWarning")
@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("keep_device", ["cpu", None])
def test_no_synchronisation_inside_the_pass(
    gradients: bool, keep_device: str | None, monkeypatch: pytest.MonkeyPatch
):
    net, images = networks()["resnet50"]
    net, images = net.cuda(), images.cuda()
    keep = ["layer1", "layer2.0.add:branch"]

    def strict(function):
        def run(*args, **kwargs):
            before = torch.cuda.get_sync_debug_mode()
            try:
                torch.cuda.set_sync_debug_mode("error")
                return function(*args, **kwargs)
            finally:
                torch.cuda.set_sync_debug_mode(before)

        return run

    record(net, images[:2])  # cuDNN's first calls
    calls = []
    run = MeasuredPass.run
    monkeypatch.setattr(MeasuredPass, "run", strict(lambda *args: calls.append(1) or run(*args)))
    monkeypatch.setattr(recorder, "_backward", strict(recorder._backward))
    rec = record(net, images[:2], gradients=gradients, keep=keep, keep_device=keep_device)
    assert calls == [1]
    assert rec["layer2.0.add:branch"].device.type == (keep_device or "cuda")


@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1.0, 1e20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_statistics(scale: float, dtype: torch.dtype):
    x = torch.relu(torch.randn(100_003, dtype=torch.float64)).mul(scale).to(dtype)
    wide = x.double()
    result = measure(x.cuda())
    got = result.named(read(list(result.values)))
    rms = wide.square().mean().sqrt().item()
    assert got["rms"] == pytest.approx(rms, rel=1e-5, abs=0)
    assert got["mean"] == pytest.approx(wide.mean().item(), rel=1e-5, abs=0)
    assert got["zero_fraction"] == (wide == 0).double().mean().item()
    assert read([mean_square(x.cuda())])[0] == pytest.approx(rms * rms, rel=1e-5, abs=0)
    product = read([mean_product(x.cuda(), x.cuda())])[0]
    assert product == pytest.approx(rms * rms, rel=1e-5, abs=0)


def test_memory_is_given_back():
    net, images = networks()["resnet18"]
    net, images = net.cuda(), images.cuda()
    record(net, images, keep=["blocks"])
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for _ in range(5):
        record(net, images, keep=["blocks"])
    assert torch.cuda.memory_allocated() <= before


def test_autocast_on_the_gpu():
    net, images = networks()["resnet18"]
    net, images = net.cuda(), images.cuda()
    with torch.autocast("cuda", torch.float16), left_as_found(net):
        rec = record(net, images)
    assert rec.provenance["autocast"] == "float16"
    assert rec.layers["norm"].notna().all() and rec.parameters["grad_norm"].notna().all()
