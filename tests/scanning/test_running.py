"""How batches run: memory that does not suffice, errors and interrupts, networks of other kinds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import Subset

import resviz as rv
from left_as_found import assert_left_as_found, left_as_found
from resviz.scanning import watching
from resviz.scanning.reducing import on_device
from scanning.toys import Toy, pictures, toy

QUIET = {"progress": False, "top": 4}
ALL = {"measures": "all", "sample": 2}  # maps of two images are judged: a second for sixteen


class Small(Toy):
    """Has memory for three images."""

    seen: list[int]

    def forward(self, x):
        self.seen.append(len(x))
        if len(x) > 3:
            raise torch.OutOfMemoryError("no memory")
        return super().forward(x)


def test_a_batch_that_does_not_fit_is_halved():
    torch.manual_seed(0)
    net = Small().double().eval()
    net.seen = []
    found = rv.scan(net, pictures(), batch_size=16, **QUIET)
    assert net.seen[-1] <= 3 and max(net.seen) == 16 and net.seen.count(16) == 1
    same = rv.scan(toy(), pictures(), batch_size=2, **QUIET)
    np.testing.assert_allclose(found.channels["mean"], same.channels["mean"], rtol=1e-12)
    assert len(found.images) == 23


def test_an_image_that_never_fits_is_an_error():
    class Full(Toy):
        armed = False

        def forward(self, x):
            if self.armed:
                raise torch.OutOfMemoryError("no memory")
            return super().forward(x)

    net = Full().double()
    data = pictures()

    class Arming(torch.utils.data.Dataset):
        def __len__(self):
            return 23

        def __getitem__(self, n):
            net.armed = n > 4
            return data[n]

    with pytest.raises(torch.OutOfMemoryError):
        rv.scan(net, Arming(), batch_size=8, **QUIET)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("measures", [["channels", "top"], "all"])
def test_the_network_is_left_as_found_after_an_error(error, measures):
    class Breaking(nn.Module):
        calls = 0

        def forward(self, x):
            Breaking.calls += 1
            if Breaking.calls == 7:
                raise error("now")
            return x

    net = toy()
    net.train()
    net.layer1.append(Breaking())
    with pytest.raises(error), left_as_found(net):
        rv.scan(net, pictures(), measures, batch_size=3, sample=2, **QUIET)


def test_the_network_is_left_as_found():
    net = toy()
    net.train()
    net.stem.requires_grad_(False)
    assert_left_as_found(net, lambda: rv.scan(net, pictures(), batch_size=5, **ALL, **QUIET))


def test_under_inference_mode_and_no_grad():
    net, data = toy(), pictures()
    plain = rv.scan(net, data, **ALL, **QUIET)
    with torch.inference_mode():
        found = rv.scan(net, data, **ALL, **QUIET)
    pd.testing.assert_frame_equal(found.layers, plain.layers)


def test_a_network_that_writes_into_its_input():
    class Shifted(Toy):
        def forward(self, x):
            return super().forward(x.sub_(0.5))

    torch.manual_seed(0)
    net = Shifted().eval()
    net.stem = nn.Conv2d(1, 6, 3)
    images = torch.rand(6, 1, 8, 8)  # of one channel: channels last as they are
    preset = rv.Preset(mean=(0.0,), std=(1.0,))
    found = rv.scan(net, images, ["top"], preset=preset, channels_last=True, **QUIET)
    for image in {*found.channels["top_image"]}:
        seen = found.picture(image).mean() / 255
        assert seen == pytest.approx(float(images[image].mean()), abs=0.01)


def test_gradients_where_the_first_layer_writes_into_its_input():
    images = pictures().tensors[0]
    found = rv.scan(nn.Sequential(nn.ReLU(inplace=True), toy()), images, ["gradients"], **QUIET)
    same = rv.scan(toy(), images.relu(), ["gradients"], **QUIET)
    seen = found.layers.set_index("layer").loc["1.layer1.0", "grad_norm"]
    assert seen == pytest.approx(same.layers.set_index("layer").loc["layer1.0", "grad_norm"])


def test_gradients_of_tokens():
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.linear, self.fc = nn.Embedding(9, 4), nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.fc(self.linear(self.words(x)).mean(1))

    torch.manual_seed(0)
    net, words = Words().double(), torch.randint(9, (7, 5))
    found = rv.scan(net, words, ["gradients"], ["linear"], **QUIET).layers["grad_norm"][0]
    rows = net.fc.weight.detach()[net(words).argmax(1)]  # each of 5 positions has a fifth of it
    assert found == pytest.approx(float(rows.norm(dim=1).mean()) / 5**0.5, rel=1e-6)


def test_all_layers_and_shared_modules():
    found = rv.scan(toy(), pictures(), ["channels"], "all", **QUIET)
    assert found.layers["layer"].tolist()[:4] == ["stem", "relu", "layer1.0.conv", "layer1.0.relu"]
    assert found.layers["layer"].tolist()[-1] == "fc"
    stem = found.channels[found.channels["layer"] == "stem"]
    assert (stem["min"] < 0).all()  # measured before the ReLU writes over it


@pytest.mark.parametrize("last", [True, False])
def test_channels_last_changes_no_number(last):
    net, data = toy(dtype=torch.float32), pictures(dtype=torch.float32)
    plain = rv.scan(net, data, **QUIET)
    found = rv.scan(net, data, channels_last=last, **QUIET)
    for column in ("mean", "std", "min", "max", "zero_fraction"):
        np.testing.assert_allclose(
            found.channels[column], plain.channels[column], rtol=1e-4, atol=1e-6
        )


@pytest.mark.thorough
def test_autocast():
    net, data = toy(dtype=torch.float32), pictures(dtype=torch.float32)
    plain, found = rv.scan(net, data, **QUIET), rv.scan(net, data, amp=True, **QUIET)
    assert found.provenance["autocast"] == "bfloat16"
    np.testing.assert_allclose(found.channels["mean"], plain.channels["mean"], rtol=0.05, atol=0.02)


def test_vectors_and_tokens():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Conv2d(3, 5, 4, 4)
            self.norm = nn.LayerNorm(5)
            self.head = nn.Linear(5, 3)

        def forward(self, x):
            x = self.norm(self.embed(x).flatten(2).transpose(1, 2))
            return self.head(x.mean(1))

    net, data = Tokens().double(), pictures()
    found = rv.scan(net, data, layers=["norm", "head"], **QUIET)
    assert found.layers["axes"].tolist() == ["NLC", "NC"]
    with torch.no_grad():
        tokens = net.norm(net.embed(data.tensors[0]).flatten(2).transpose(1, 2))
    means = found.channels[found.channels["layer"] == "norm"]["mean"]
    np.testing.assert_allclose(means, tokens.mean((0, 1)), atol=1e-12)
    first = found.top("norm", 2).iloc[0]
    assert first["value"] == tokens[..., 2].max()
    assert first["column"] == tokens[int(first["image"]), :, 2].argmax() and first["row"] == 0


def test_large_means_do_not_spoil_the_variance():
    net, data = toy(dtype=torch.float32), pictures(dtype=torch.float32)
    with torch.no_grad():
        net.stem.bias += 1e4
    found = rv.scan(net, data, ["channels"], ["stem"], **QUIET).channels
    with torch.no_grad():
        x = net.stem(data.tensors[0])
    np.testing.assert_allclose(found["std"], x.double().std((0, 2, 3), correction=0), rtol=1e-5)


@pytest.mark.thorough
def test_a_network_that_is_compiled_is_refused():
    with pytest.raises(rv.NotTraceable, match="scan: the network is compiled"):
        rv.scan(torch.compile(toy()), pictures(), **QUIET)


def test_progress_is_told():
    told: list[tuple[int, int, str]] = []
    rv.scan(toy(), pictures(), batch_size=10, progress=lambda *each: told.append(each))
    assert told == [(0, 23, "scan"), (10, 23, "scan"), (20, 23, "scan"), (23, 23, "scan")]


def test_the_way_of_a_gpu_gives_the_same_numbers(monkeypatch):
    plain = rv.scan(toy(), pictures(), batch_size=5, **QUIET)
    monkeypatch.setattr(watching, "reduce", on_device)
    found = rv.scan(toy(), pictures(), batch_size=5, **QUIET)
    pd.testing.assert_frame_equal(found.channels, plain.channels, rtol=1e-12)
    pd.testing.assert_frame_equal(found.top("layer1.0", 2), plain.top("layer1.0", 2))


@pytest.mark.gpu
def test_on_a_gpu(monkeypatch):
    data = pictures()
    plain = rv.scan(toy(), data, batch_size=5, **ALL, **QUIET)
    net = toy().cuda()
    found = rv.scan(net, data, batch_size=5, **ALL, **QUIET)
    pd.testing.assert_frame_equal(found.channels, plain.channels, rtol=1e-9)
    pd.testing.assert_frame_equal(found.top("layer1.0", 2), plain.top("layer1.0", 2))


def test_faithfulness_is_measured_on_images_of_a_subset():
    net, data = toy(dtype=torch.float32), pictures(400, dtype=torch.float32)
    few = [17, 3, 250]
    found = rv.scan(net, Subset(data, few), ["faithfulness"], sample=2, **QUIET).faithfulness
    assert len(found) == 2 and set(found["image"]) < set(few)
    with pytest.warns(rv.ResvizWarning, match="no image of only= is among the 2 of 400 that"):
        assert rv.scan(net, data, ["faithfulness"], sample=2, only=few, **QUIET).faithfulness.empty


@pytest.mark.thorough
def test_faithfulness_is_that_of_the_sampled_images():
    net, data = toy(dtype=torch.float32), pictures(dtype=torch.float32)
    found = rv.scan(net, data, ["faithfulness"], sample=2, **QUIET).faithfulness
    assert len(found) == 2
    one = data.tensors[0][[int(found["image"][0])]]
    exp = rv.explain(net, one, methods=["grad_cam"])
    expected = rv.faithfulness(net, one, exp, checks=["deletion", "insertion"], progress=False)
    assert found["deletion"][0] == pytest.approx(float(expected["deletion"][0]), rel=1e-4)
    parts = [
        rv.scan(net, data, ["faithfulness"], sample=2, only=only, **QUIET)
        for only in (range(11), range(11, 23))
    ]
    pd.testing.assert_frame_equal(parts[0].merge(parts[1]).faithfulness, found, rtol=1e-4)
