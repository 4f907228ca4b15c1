"""`Recording`: keys, files, what it looks like; `save` and `load_recording` give an equal one."""

from __future__ import annotations

import dataclasses
import json
import math
import struct
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from recording import toys
from resviz.networks.cifar import cifar_resnet
from resviz.preset import set_preset
from resviz.recording.recorder import record
from resviz.recording.recording import Recording, load_recording

PARTS = ("branch", "shortcut", "sum")
IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def rec() -> Recording:
    net = cifar_resnet(8, seed=0)
    keep = ["layer1.0.relu", "layer3", "layer1.0:grad", "layer2.0.add:branch"]
    return record(net, IMAGES, keep=keep)


COLUMNS = {
    "layers": "layer call type kind depth stage block projection gate shape axes mean std rms norm "
    "min max zero_fraction grad_rms grad_norm",
    "residuals": "addition block call kind residual depth stage shape branch_rms shortcut_rms "
    "sum_rms ratio cosine grad_sum_rms grad_branch_rms grad_shortcut_rms grad_cosine "
    "grad_branch_share grad_reason",
    "parameters": "parameter layer type depth stage weighted projection gate shape norm grad_norm",
}


@pytest.mark.parametrize("table", list(COLUMNS))
def test_columns(rec: Recording, table: str):
    assert " ".join(getattr(rec, table)) == COLUMNS[table]


def test_layers_beside_the_main_path_are_named():
    net = cifar_resnet(8, shortcut="B", seed=0)
    table = record(net, torch.randn(2, 3, 32, 32)).layers
    beside = table.loc[table["projection"], "layer"].tolist()
    assert beside == [f"layer{n}.0.shortcut.{k}" for n in (2, 3) for k in (0, 1)]
    assert not table["gate"].any()


def test_keys(rec: Recording):
    keys = ["layer1.0.relu#0", "layer1.0.relu#1", "layer3", "layer1.0:grad", "layer2.0.add:branch"]
    assert sorted(rec.keys()) == sorted(keys)
    assert all(key in rec for key in keys)
    assert rec["layer1.0.relu", 1] is rec["layer1.0.relu#1"]
    assert rec["layer3"] is rec["layer3", 0]
    assert rec["layer1.0:grad"].shape == (2, 16, 8, 8)
    assert not torch.equal(rec["layer1.0.relu", 0], rec["layer1.0.relu", 1])


def test_a_module_that_ran_twice_needs_its_call(rec: Recording):
    with pytest.raises(KeyError, match=r"'layer1.0.relu' ran 2 times; .*rec\['layer1.0.relu', 0\]"):
        rec["layer1.0.relu"]


@pytest.mark.parametrize("key", ["layer2", ("layer3", 1), ("layer1.0.relu", 2), "layer3:grad"])
def test_a_tensor_that_was_not_kept(rec: Recording, key: str | tuple[str, int]):
    assert key not in rec
    with pytest.raises(KeyError, match="was not kept; closest: 'layer"):
        rec[key]


def test_it_is_frozen(rec: Recording):
    with pytest.raises(dataclasses.FrozenInstanceError):
        rec.layers = None


def test_kept_tensors_are_copies_on_the_cpu_without_gradients(rec: Recording):
    for tensor in rec.tensors.values():
        assert tensor.device.type == "cpu" and not tensor.requires_grad and tensor.is_leaf


def test_everything_is_plain_data(rec: Recording):
    assert rec.logits.dtype == torch.float32 and rec.logits.shape == (2, 10)
    assert rec.targets.dtype == torch.int64 and rec.loss.shape == (2,)
    assert not rec.logits.requires_grad and not rec.loss.requires_grad
    json.dumps(dict(rec.provenance))
    assert all(isinstance(shape, tuple) for shape in rec.layers["shape"])
    assert rec.provenance["images"] == 2 and rec.provenance["batch_stats"] is False
    assert rec.provenance["loss"] == "logit" and rec.provenance["device"] == "cpu"
    assert set(rec.provenance["versions"]) >= {"resviz", "torch", "torchvision"}


def test_saved_and_loaded_is_equal(rec: Recording, tmp_path: Path):
    rec.save(tmp_path / "one.resviz")
    again = load_recording(tmp_path / "one.resviz")
    assert again.equals(rec) and rec.equals(again)
    for name in ("layers", "residuals", "parameters"):
        pd.testing.assert_frame_equal(getattr(again, name), getattr(rec, name))
    assert again.keys() == rec.keys()
    assert again.provenance == rec.provenance
    assert repr(again) == repr(rec)
    assert [p.name for p in tmp_path.iterdir()] == ["one.resviz"]
    again.save(str(tmp_path / "two.resviz"))
    assert load_recording(str(tmp_path / "two.resviz")).equals(rec)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes_of_kept_tensors(dtype: torch.dtype, tmp_path: Path):
    rec = record(cifar_resnet(8, seed=0), IMAGES, keep="blocks", keep_dtype=dtype)
    assert {t.dtype for t in rec.tensors.values()} == {dtype}
    rec.save(tmp_path / "rec")
    again = load_recording(tmp_path / "rec")
    assert again.equals(rec)
    assert {t.dtype for t in again.tensors.values()} == {dtype}


def test_additions_are_kept_in_all_three_parts():
    net = cifar_resnet(8, seed=0)
    rec = record(net, IMAGES, keep=["additions"])
    parts = [f"{a}:{part}" for a in rec.residuals["addition"] for part in PARTS]
    assert sorted(rec.keys()) == sorted(parts) and len(parts) == 9
    one = record(net, IMAGES, keep=[*parts, "blocks"])
    both = record(net, IMAGES, keep=["blocks", "additions"])
    assert both.equals(one) and len(both.keys()) == 9 + 4  # the stem and three blocks
    for addition in rec.residuals["addition"]:
        branch, shortcut, total = (rec[f"{addition}:{part}"] for part in PARTS)
        assert torch.equal(branch + shortcut, total)
    plain = record(cifar_resnet(8, shortcut="none", seed=0), IMAGES, keep="additions")
    assert plain.keys() == []


@pytest.mark.parametrize("kind", ["no additions", "forward only", "text", "nan", "not contiguous"])
def test_unusual_recordings_survive_a_file(kind: str, tmp_path: Path):
    x = IMAGES
    if kind == "no additions":
        rec = record(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), x)
    elif kind == "forward only":
        rec = record(cifar_resnet(8, seed=0), x, gradients=False)
    elif kind == "text":
        net = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 3))
        rec = record(net, torch.randint(0, 9, (2, 3)), keep=["0"])
    elif kind == "nan":
        net = toys.net_of(toys.Block)
        rec = record(net, x * math.inf, keep=["block"], allow_nonfinite=True)
        assert rec["block"].isnan().any()
    else:
        net = cifar_resnet(8, seed=0).to(memory_format=torch.channels_last)
        rec = record(net, x.to(memory_format=torch.channels_last), keep="blocks")
    rec.save(tmp_path / "rec")
    assert load_recording(tmp_path / "rec").equals(rec)


def test_equals_sees_every_difference(rec: Recording):
    def other(**changes: object) -> Recording:
        return dataclasses.replace(rec, **changes)

    assert other().equals(rec)
    table = rec.layers.copy()
    table.loc[3, "mean"] += 1e-12
    assert not other(layers=table).equals(rec)
    assert not other(logits=rec.logits + 1e-6).equals(rec)
    assert not other(targets=None).equals(rec)
    assert not other(tensors={}).equals(rec)
    assert not other(tensors={**rec.tensors, "layer3": rec["layer3"].double()}).equals(rec)
    assert not other(provenance={**rec.provenance, "loss": "mine"}).equals(rec)
    infinite = rec.logits.clone()
    infinite[0, 0] = math.inf
    largest = rec.logits.clone()
    largest[0, 0] = torch.finfo(torch.float32).max
    assert not other(logits=infinite).equals(other(logits=largest))


def header_of(path: Path) -> tuple[dict, bytes]:
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + size]), raw[8 + size :]


def with_header(path: Path, header: dict, body: bytes) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def changed(meta: dict, *keys: str, to: object) -> dict:
    inner = meta
    for key in keys[:-1]:
        inner = inner[key]
    if to is KeyError:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = to
    return meta


HOSTILE = {
    "no meta": lambda m: None,
    "meta is a list": lambda m: [],
    "meta is a number": lambda m: 3,
    "no tables": lambda m: changed(m, "tables", to=KeyError),
    "tables are a list": lambda m: changed(m, "tables", to=[]),
    "one table missing": lambda m: changed(m, "tables", "layers", to=KeyError),
    "no columns": lambda m: changed(m, "tables", "layers", "columns", to=KeyError),
    "columns of unequal length": lambda m: changed(
        m, "tables", "layers", "columns", "mean", to=[1.0]
    ),
    "an unknown dtype": lambda m: changed(m, "tables", "layers", "dtypes", "mean", to="evil"),
    "a dtype that does not fit": lambda m: changed(
        m, "tables", "layers", "dtypes", "layer", to="float64"
    ),
    "no dtypes": lambda m: changed(m, "tables", "layers", "dtypes", to={}),
    "columns are a string": lambda m: changed(m, "tables", "layers", "columns", to="abc"),
    "another column": lambda m: changed(m, "tables", "layers", "columns", to={}),
    "a kept tensor that is not there": lambda m: changed(m, "kept", to=["nothing"]),
    "kept is a number": lambda m: changed(m, "kept", to=7),
    "provenance is a list": lambda m: changed(m, "provenance", to=[1]),
}


@pytest.mark.parametrize("case", list(HOSTILE))
def test_a_file_with_a_wrong_header(case: str, rec: Recording, tmp_path: Path):
    path = tmp_path / "rec.resviz"
    rec.save(path)
    header, body = header_of(path)
    meta = HOSTILE[case](json.loads(header["__metadata__"]["meta"]))
    if meta is None:
        del header["__metadata__"]["meta"]
    else:
        header["__metadata__"]["meta"] = json.dumps(meta)
    with_header(path, header, body)
    with pytest.raises(ValueError, match=r"rec\.resviz"):
        load_recording(path)


def test_a_file_with_a_nested_header(rec: Recording, tmp_path: Path):
    path = tmp_path / "rec.resviz"
    rec.save(path)
    header, body = header_of(path)
    header["__metadata__"]["meta"] = "[" * 100_000 + "]" * 100_000
    with_header(path, header, body)
    with pytest.raises(ValueError, match="damaged"):
        load_recording(path)


def test_a_file_without_its_logits(rec: Recording, tmp_path: Path):
    path = tmp_path / "rec.resviz"
    rec.save(path)
    header, body = header_of(path)
    header["field/other"] = header.pop("field/logits")  # a record may have none, but says so
    with_header(path, header, body)
    with pytest.raises(ValueError, match="damaged"):
        load_recording(path)


@pytest.mark.parametrize("keep", [0, 4, 8, 100, 2000, -1, -1000])
def test_a_truncated_file(keep: int, rec: Recording, tmp_path: Path):
    path = tmp_path / "rec.resviz"
    rec.save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"rec\.resviz"):
        load_recording(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04.", b"\xff" * 64, b"PK\x03\x04" * 9])
def test_a_file_of_another_kind(content: bytes, tmp_path: Path):
    path = tmp_path / "some.file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"some\.file"):
        load_recording(path)


def test_a_pickle_is_not_opened(tmp_path: Path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "evil"), "w"))

    torch.save({"a": Evil()}, tmp_path / "rec.pt")
    with pytest.raises(ValueError, match=r"rec\.pt"):
        load_recording(tmp_path / "rec.pt")
    assert not (tmp_path / "evil").exists()


def test_no_file_and_a_folder(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        load_recording(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=tmp_path.name):
        load_recording(tmp_path)


def test_a_save_that_fails_leaves_no_file(rec: Recording, tmp_path: Path):
    odd = dataclasses.replace(rec, provenance={"loss": object()})
    with pytest.raises(TypeError):
        odd.save(tmp_path / "rec")
    assert list(tmp_path.iterdir()) == []
    rec.save(tmp_path / "rec")
    before = (tmp_path / "rec").read_bytes()
    with pytest.raises(TypeError):
        odd.save(tmp_path / "rec")
    assert (tmp_path / "rec").read_bytes() == before


def test_repr(rec: Recording):
    text = repr(rec)
    assert "CifarResNet" in text and "depth 8" in text and "3 additions" in text
    assert len(text.splitlines()) <= 8 and all(len(line) <= 120 for line in text.splitlines())


class Odd(nn.Module):
    """<b>"""

    def __init__(self) -> None:
        super().__init__()
        self.add_module("<img src=x onerror=alert(1)>", nn.Flatten())
        self.linear = nn.Linear(192, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(getattr(self, "<img src=x onerror=alert(1)>")(x))


def test_html_is_escaped_and_tidy():
    net = Odd()
    names = ("<script>alert(1)</script>", "b")
    preset = rv.Preset(
        "<script>net</script>", "<i>w</i>", (0.5,) * 3, (0.5,) * 3, 8, 8, classes=names
    )
    set_preset(net, preset)
    html = record(net, IMAGES)._repr_html_()
    assert "<table" in html
    for markup in ("<script", "<img", "<i>"):
        assert markup not in html
    assert "&lt;script&gt;net" in html


def test_html_of_recordings_without_rows_or_gradients():
    forward = record(cifar_resnet(8, seed=0), IMAGES, gradients=False)
    assert "no gradients" in forward._repr_html_()
    bare = dataclasses.replace(forward, layers=forward.layers.iloc[:0])
    assert "<table" in bare._repr_html_() and "0 rows" in repr(bare)


def test_tables_show_in_pandas(rec: Recording):
    for table in (rec.layers, rec.residuals, rec.parameters):
        assert len(table.to_string().splitlines()) == len(table) + 1
        assert "<table" in table.to_html()
        assert table.index.equals(pd.RangeIndex(len(table)))
        assert isinstance(table.describe(), pd.DataFrame)
    assert pd.api.types.is_integer_dtype(rec.layers["depth"])
    assert pd.api.types.is_bool_dtype(rec.parameters["weighted"])
    assert all(pd.api.types.is_float_dtype(rec.layers[c]) for c in ("mean", "grad_norm"))


@pytest.mark.thorough
def test_pictures_are_what_the_network_saw():
    net = cifar_resnet(8, seed=0)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    pictures = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)
    images = (pictures.permute(0, 3, 1, 2) / 255 - torch.tensor(mean)[:, None, None]) / (
        torch.tensor(std)[:, None, None]
    )
    preset = rv.Preset("mine", "own", mean, std, 8, 8)
    assert record(net, images).pictures is None
    assert torch.equal(record(net, images, preset=preset).pictures, pictures)
    set_preset(net, preset)
    rec = record(net, images)
    assert torch.equal(rec.pictures, pictures)
    assert rec.provenance["network"] == "mine" and rec.provenance["weights"] == "own"


class Convolutions(nn.Module):
    """Three stages without a block, as VGG has five."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(4, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(128, 5))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


def test_without_blocks_the_ends_of_the_stages_are_kept():
    net, images = Convolutions().eval(), torch.rand(2, 3, 16, 16)
    rec = rv.record(net, images, keep="blocks")
    kept = {name: tuple(tensor.shape[1:]) for name, tensor in rec.tensors.items()}
    assert kept == {"features.1": (4, 16, 16), "features.4": (8, 8, 8), "features.7": (8, 4, 4)}
    assert torch.equal(rec["features.4"], net.features[:5](images))
    assert rv.explore_feature_maps(rec).payload().buffer


def test_the_stem_is_what_its_layer_gave():
    net, images = toys.net_of(toys.Block), torch.rand(2, 3, 8, 8)
    for keep in ("blocks", ["stem", "blocks"]):
        rec = rv.record(net, images, keep=keep)
        assert rec.keys() == ["stem", "block"]
        assert torch.equal(rec["stem"], net.stem(images))  # a torch.relu follows it


def test_a_layer_that_normalises_is_no_stem():
    net = nn.Sequential(nn.Identity(), cifar_resnet(8, seed=0))
    stem, *blocks = rv.record(net, IMAGES, gradients=False, keep="blocks").keys()
    assert blocks == [f"1.layer{i}.0" for i in (1, 2, 3)] and stem.startswith("1.")


class OfTwo(Convolutions):
    """Made for two images and no other number."""

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier[1](self.features(x).reshape(2, 128))


def test_a_network_of_one_batch_size_without_blocks_is_recorded_all_the_same():
    rec = rv.record(OfTwo().eval(), torch.rand(2, 3, 16, 16), keep="blocks")
    assert len(rec.layers) and rec.tensors == {}
