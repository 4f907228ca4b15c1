"""What a scan reads: folders, files, loaders, streams, dictionaries; and what it leaves out."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
    TensorDataset,
)

import resviz as rv
from left_as_found import assert_left_as_found
from scanning.toys import pictures, toy

QUIET = {"progress": False, "batch_size": 4, "top": 3}
PRESET = rv.Preset("toy", "own", (0.5,) * 3, (0.5,) * 3, 8, 8, classes=("cat", "dog", "ship"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of three pictures, under names that are the network's in another order."""
    for name, grey in (("dog", 40), ("Cat", 200)):
        (tmp_path / name).mkdir()
        for n in range(3):
            pixels = np.random.default_rng(n).integers(0, grey, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{n}.png")
    return tmp_path


def net32():
    return toy(dtype=torch.float32)


def test_class_folders_are_labels_by_the_names_of_classes(folder):
    found = rv.scan(net32(), folder, preset=PRESET, **QUIET)
    assert found.images["label"].tolist() == ["cat"] * 3 + ["dog"] * 3
    assert found.images["name"].tolist()[:2] == ["Cat/0.png", "Cat/1.png"]
    assert found.classes["images"].tolist() == [3, 3, 0]
    assert 0 <= found.accuracy <= 1
    assert found.picture(0).shape == (8, 8, 3)
    with Image.open(folder / "Cat" / "0.png") as image:
        np.testing.assert_array_equal(found.picture(0), np.asarray(image))


def test_folders_of_other_names_are_classes_of_their_own(folder):
    (folder / "dog").rename(folder / "wolf")
    with pytest.warns(rv.ResvizWarning, match="'wolf' among them, so that accuracy is not counted"):
        found = rv.scan(net32(), folder, preset=PRESET, **QUIET)
    assert found.plan.classes == ("Cat", "wolf") and np.isnan(found.accuracy)
    assert len(found.find("wolf")) == 18


class Named(TensorDataset):
    """Images with labels, and the names of these."""

    def __init__(self, classes, *tensors):
        super().__init__(*tensors)
        self.classes = list(classes)


def named(numbers, names, outputs, **options):
    """A scan of images whose labels have those names, of a network whose outputs have those."""
    data = Named(names, pictures(len(numbers)).tensors[0], torch.tensor(numbers))
    return rv.scan(toy(), data, ["channels"], preset=rv.Preset(classes=outputs), **options, **QUIET)


def said():
    with torch.no_grad():
        return toy()(pictures().tensors[0]).argmax(1)


@pytest.mark.parametrize("names", [("A", "b", "a"), ("x", "crane", "crane"), ("a b", "b", "a_b")])
def test_classes_whose_names_are_alike_are_told_apart(names):
    found = named(said().tolist(), names, names)
    assert found.accuracy == 1
    assert found.classes["images"].tolist() == said().bincount(minlength=3).tolist()


def test_a_loader_that_shuffles_has_the_names_of_its_classes():
    data = Named(("dog", "cat", "ship"), *pictures().tensors)
    preset = rv.Preset(classes=("cat", "dog", "ship"))
    loader = DataLoader(data, batch_size=7, shuffle=True)
    found, same = (
        rv.scan(toy(), each, ["channels"], preset=preset, **QUIET) for each in (loader, data)
    )
    pd.testing.assert_frame_equal(found.classes, same.classes)
    pd.testing.assert_frame_equal(found.confusion, same.confusion)


def test_classes_of_several_words_as_imagenet_has_them():
    names = [("crane",), ("crane",), ("tench", "Tinca tinca")]
    found = named(said().tolist(), names, ("crane bird", "crane", "tench"))
    assert found.accuracy == 1 and found.plan.classes == ("crane bird", "crane", "tench")
    alone = rv.scan(toy(), Named(names, *pictures().tensors), ["channels"], **QUIET)
    assert set(alone.images["label"]) == {"crane", "tench"}


def test_exact_names_of_classes_come_before_alike_ones():
    other = [2, 0, 1]  # the place of each output among the labels' names
    labels = [other[k] for k in said().tolist()]
    found = named(labels, ("cardigan", "Wool", "Cardigan"), ("Cardigan", "cardigan", "wool"))
    assert found.accuracy == 1 and found.plan.classes == ("Cardigan", "cardigan", "wool")


@pytest.mark.parametrize("outputs", [("CAT", "Cat", "dog"), ("dog", "cat!", "crane")])
def test_a_name_that_is_not_one_class_alone_is_named(outputs):
    with pytest.warns(rv.ResvizWarning, match="'cat' among them, so that accuracy is not counted"):
        found = named([0, 1, 1], ("cat", "dog"), outputs)
    assert found.plan.classes == ("cat", "dog") and np.isnan(found.accuracy)


def test_labels_beyond_the_names_of_a_data_set():
    found = named([0, 1, 2], ("c", "a"), ("a", "b", "c"))
    assert found.images["label"].tolist() == ["c", "a", ""]
    with pytest.raises(ValueError, match="labels up to 2, and a data set of 2 classes; numbers of"):
        named([0, 1, 1], ("c", "a"), ("a", "b", "c"), labels=[0, 1, 2])


def test_files_in_a_list_and_names_as_labels(folder):
    files = sorted(folder.rglob("*.png"))
    found = rv.scan(net32(), files, preset=PRESET, labels=["dog"] * 3 + ["ship"] * 3, **QUIET)
    assert found.classes["images"].tolist() == [0, 3, 3]


def test_names_that_are_none_in_utf_8(folder):
    """As on a disk of another system: pandas and the file take text alone."""
    odd = os.fsdecode(b"caf\xe9.png")
    (folder / "dog" / "1.png").rename(folder / "dog" / odd)
    (folder / "dog" / f"no {odd}").write_bytes(b"no picture")
    found = rv.scan(net32(), folder, preset=PRESET, path=folder / "a.resviz", **QUIET)
    assert "dog/caf\\xe9.png" in found.images["name"].tolist()
    assert found.skipped["name"].tolist() == ["dog/no caf\\xe9.png"]
    found.save(folder / "b.resviz")


def test_what_cannot_be_read_is_named(folder):
    (folder / "dog" / "1.png").write_bytes(b"no picture")
    net = net32()
    found = assert_left_as_found(net, lambda: rv.scan(net, folder, preset=PRESET, **QUIET))
    assert found.skipped[["image", "name"]].to_numpy().tolist() == [[4, "dog/1.png"]]
    assert "not readable" in found.skipped["reason"][0]
    assert found.images["image"].tolist() == [0, 1, 2, 3, 5]
    with pytest.raises(RuntimeError, match=r"scan: image 4 cannot be read .*on_error='skip'"):
        rv.scan(net, folder, preset=PRESET, on_error="raise", **QUIET)


@pytest.mark.parametrize("grey", [1, 6])  # in the first batch, and in a later one
def test_images_of_a_shape_that_the_network_does_not_take(grey):
    data = [image for image, _ in pictures(9)]
    data[grey] = data[grey][:1]
    net = toy()
    found = assert_left_as_found(net, lambda: rv.scan(net, data, ["channels"], **QUIET))
    assert found.skipped["image"].tolist() == [grey]
    assert found.skipped["reason"][0].startswith("of shape (1, 8, 8): ")
    clean = [image for image in data if len(image) == 3]
    same = rv.scan(net, clean, ["channels"], **QUIET)
    np.testing.assert_allclose(found.channels["mean"], same.channels["mean"], rtol=1e-12)
    with pytest.raises(RuntimeError, match=rf"image {grey} \(of shape .*; images as \(3, 8, 8\)"):
        rv.scan(net, data, on_error="raise", **QUIET)


def test_images_that_give_nan_are_left_out():
    data = pictures(9)
    data.tensors[0][5] = torch.nan
    found = rv.scan(toy(), data, **QUIET)
    clean = rv.scan(toy(), TensorDataset(*(t[torch.arange(9) != 5] for t in data.tensors)), **QUIET)
    assert found.skipped["reason"].tolist() == ["activations that are NaN or infinite"]
    np.testing.assert_allclose(found.channels["mean"], clean.channels["mean"], rtol=1e-12)
    with pytest.raises(rv.NonFinite, match="for image 5 \\(1 of 4 in its batch"):
        rv.scan(toy(), data, on_error="raise", **QUIET)


def test_images_whose_gradient_is_nan_are_left_out():
    class Root(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = torch.nn.Conv2d(3, 4, 1, bias=False), torch.nn.Linear(4, 3)

        def forward(self, x):
            return self.fc(self.conv(x).square().sum((2, 3)).sqrt())

    images = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    images[3] = 0  # the root has no slope there
    found = rv.scan(Root().eval(), images, measures=["gradients"], layers=["conv"], **QUIET)
    assert found.skipped[["image", "reason"]].values.tolist() == [
        [3, "gradients that are NaN or infinite"]
    ]
    assert np.isfinite(found.layers["grad_norm"]).all()
    kept = rv.scan(Root().eval(), images, **QUIET)
    assert kept.skipped.empty


def test_nan_after_the_last_layer_that_is_scanned():
    class Unit(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.fc = torch.nn.Conv2d(3, 6, 3, bias=False), torch.nn.Linear(6, 3)

        def forward(self, x):
            x = self.stem(x).relu().mean((2, 3))
            return self.fc(x / x.norm(dim=1, keepdim=True))

    images = pictures(9).tensors[0].clone()
    images[5] = 0
    data = TensorDataset(images, torch.zeros(9, dtype=torch.int64))
    found = rv.scan(Unit().double(), data, ["channels"], ["stem"], **QUIET)
    assert found.skipped["image"].tolist() == [5]
    assert found.images["probability"].notna().all() and found.confusion.to_numpy().sum() == 8


class Rows(Dataset):
    """Items as Hugging Face data sets have them."""

    classes = ("a", "b", "c")

    def __len__(self):
        return 6

    def __getitem__(self, n):
        return {"pixel_values": pictures()[n][0], "label": n % 3}


def test_dictionaries():
    found = rv.scan(toy(), Rows(), **QUIET)
    assert found.classes["images"].tolist() == [2, 2, 2]


class Endless(IterableDataset):
    def __iter__(self):
        return iter([pictures()[n] for n in range(10)])


@pytest.mark.parametrize("batch", [3, pytest.param(4, marks=pytest.mark.thorough)])
def test_a_stream_is_known_by_its_order(batch):
    found = rv.scan(toy(), Endless(), progress=False, batch_size=batch, top=3)
    same = rv.scan(toy(), pictures(10), progress=False, batch_size=batch, top=3)
    pd.testing.assert_frame_equal(found.channels, same.channels)


def test_a_stream_of_pictures_is_read_as_the_preset_says():
    rng = np.random.default_rng(0)
    given = [Image.fromarray(rng.integers(0, 255, (9, n, 3), np.uint8)) for n in (8, 12, 9, 8)]

    class Shown(IterableDataset):
        def __iter__(self):
            yield from zip([*given[:3], "no picture", given[3]], (0, 1, 2, 0, 1), strict=True)

    found = rv.scan(net32(), Shown(), ["channels"], preset=PRESET, **QUIET)
    same = rv.scan(net32(), [(each, 0) for each in given], ["channels"], preset=PRESET, **QUIET)
    pd.testing.assert_frame_equal(found.channels, same.channels, rtol=1e-6)
    assert found.skipped["image"].tolist() == [3]
    assert found.images["label"].tolist() == ["cat", "dog", "ship", "dog"]


def test_a_loader_in_order_is_its_data_set():
    loader = DataLoader(pictures(), batch_size=7)
    found = rv.scan(toy(), loader, progress=False)
    assert found.provenance["batch"] == 7
    assert found.images["label"].tolist()[:4] == ["class 0", "class 1", "class 2", "class 0"]


@pytest.mark.parametrize(
    "options",
    [
        {"batch_sampler": [[3, 1], [7, 5, 2]]},
        {"sampler": SequentialSampler(range(10)), "batch_size": 4},
        {"batch_size": 8, "drop_last": True},
    ],
)
def test_a_loader_that_leaves_images_out(options):
    loader = DataLoader(pictures(), **options)
    given = torch.cat([labels for _, labels in loader])
    found = rv.scan(toy(), loader, ["channels"], progress=False)
    assert found.images["label"].tolist() == [f"class {k}" for k in given.tolist()]


class Darker(Subset):
    """Transforms what it gives, as parts of one split are wont to."""

    def __getitem__(self, n):
        image, label = super().__getitem__(n)
        return image / 8, label

    def __getitems__(self, numbers):
        return [self[n] for n in numbers]


class DarkerLoader(DataLoader):
    def __iter__(self):
        for images, labels in super().__iter__():
            yield images / 8, labels


@pytest.mark.parametrize("loader", [False, True])
def test_what_a_subset_or_a_loader_of_another_class_gives(loader):
    images, labels = pictures().tensors
    data = Named(("a", "b", "c"), images, labels)
    given = DarkerLoader(data, batch_size=4) if loader else Darker(data, range(20, 4, -1))
    found = rv.scan(toy(), given, ["channels"], **QUIET)
    same = images / 8 if loader else images[range(20, 4, -1)] / 8
    pd.testing.assert_frame_equal(
        found.channels, rv.scan(toy(), same, ["channels"], **QUIET).channels
    )
    assert loader or found.plan.classes == ("a", "b", "c")


class Once(IterableDataset):
    """Cannot begin again: a pipe."""

    def __init__(self):
        self.rest = (pictures()[n] for n in range(10))

    def __iter__(self):
        yield from self.rest


@pytest.mark.parametrize("loader", [False, True])
def test_what_can_be_read_but_once_is_read_whole(loader):
    data = DataLoader(Once(), batch_size=3) if loader else Once()
    found = rv.scan(toy(), data, ["channels"], **QUIET)
    same = rv.scan(toy(), pictures(10), ["channels"], **QUIET)
    pd.testing.assert_frame_equal(found.images, same.images)


@pytest.mark.parametrize("loader", [False, True])
def test_random_numbers_of_the_caller_stay_as_they_were(loader):
    class Noisy(TensorDataset):
        def __getitem__(self, n):
            return torch.randn(3, 8, 8, dtype=torch.float64), n % 3

    net, data = toy(), Noisy(*pictures().tensors)
    before = torch.get_rng_state()
    rv.scan(net, DataLoader(data, shuffle=True) if loader else data, ["channels"], **QUIET)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.thorough
def test_a_loader_that_shuffles_is_read_once_and_has_no_file(tmp_path):
    loader = DataLoader(pictures(), batch_size=7, shuffle=True)
    found = rv.scan(toy(), loader, progress=False, batch_size=4)
    same = rv.scan(toy(), pictures(), progress=False)
    np.testing.assert_allclose(found.channels["mean"], same.channels["mean"], rtol=1e-9)
    with pytest.raises(ValueError, match="a loader that shuffles, whose images cannot be told"):
        rv.scan(toy(), loader, path=tmp_path / "a.resviz", progress=False)


def test_images_of_several_sizes():
    class Mixed(Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, n):
            return torch.full((3, 8 + 2 * (n % 2), 8), float(n), dtype=torch.float64)

    found = rv.scan(toy(), Mixed(), **QUIET)
    assert len(found.images) == 8


@pytest.mark.thorough
def test_worker_processes_change_nothing(folder):
    plain = rv.scan(net32(), folder, preset=PRESET, **QUIET)
    found = rv.scan(net32(), folder, preset=PRESET, workers=2, **QUIET)
    pd.testing.assert_frame_equal(found.channels, plain.channels)


def test_without_labels_classes_are_those_that_the_network_says():
    found = rv.scan(toy(), pictures().tensors[0], **QUIET)
    assert found.plan.by == "prediction" and np.isnan(found.accuracy)
    assert found.classes["images"].sum() == 23


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.bfloat16, torch.bool])
def test_labels_as_a_binary_loss_wants_them(dtype, shape, stream):
    images, classes = pictures().tensors[0], torch.arange(23) % 2
    given = TensorDataset(images, classes.to(dtype).view(shape))
    data = DataLoader(given, batch_size=6, shuffle=True) if stream else given
    found = rv.scan(toy(), data, **QUIET)
    assert found.plan.by == "label" and 0 <= found.accuracy <= 1
    assert found.classes["images"].tolist()[:2] == [12, 11]


@pytest.mark.parametrize("given", ["labels", "targets"])
def test_a_first_image_without_a_label(given):
    labels, data = said().tolist(), pictures()
    labels[0] = -1
    if given == "targets":  # as torchvision's data sets have them
        data = TensorDataset(data.tensors[0], torch.tensor(labels))
        data.targets = labels
    options = {"labels": labels} if given == "labels" else {}
    found = rv.scan(toy(), data, ["channels"], **options, **QUIET)
    assert found.plan.by == "label" and found.accuracy == 1
    assert found.classes["images"].sum() == 22


@pytest.mark.parametrize("last", [22, None])
def test_a_first_image_without_a_label_where_classes_have_names(last):
    """Of the first hundred images one has a label, or none."""
    images, classes = pictures(101).tensors
    labels = torch.where(torch.arange(101) == (last or 100), classes, -1)
    data = Named(("cat", "dog", "ship"), images, labels)
    preset = rv.Preset(classes=("tench", "ship", "dog"))
    with pytest.warns(rv.ResvizWarning, match="'cat'") if last else nullcontext():
        found = rv.scan(toy(), data, ["channels"], preset=preset, progress=False)
    assert found.plan.by == ("label" if last else "prediction")
    assert found.images["label"][22 if last else 100] == ("dog" if last else "")


def test_labels_of_a_table_with_gaps():
    images, classes = pictures().tensors
    labels = torch.where(torch.arange(23) == 7, torch.nan, classes.double())
    found = rv.scan(toy(), TensorDataset(images, labels), ["channels"], **QUIET)
    known = [n for n in range(23) if n != 7]
    same = rv.scan(toy(), TensorDataset(images[known], classes[known]), ["channels"], **QUIET)
    assert found.accuracy == same.accuracy
    pd.testing.assert_frame_equal(found.classes, same.classes)


@pytest.mark.parametrize(("given", "names"), [([7, 8], 9), ([7.0, 9e6], 0), ([0.0, 1.0], 2)])
def test_numbers_of_a_network_without_classes(given, names):
    data = TensorDataset(pictures(2).tensors[0], torch.tensor(given))
    data.targets = given
    found = rv.scan(toy(), data, ["channels"], preset=rv.Preset(output="none"), **QUIET)
    assert len(found.plan.classes) == names


def test_labels_beyond_the_outputs_are_not_judged():
    labels = said().numpy().copy()
    labels[[3, 8]] = 255
    found = rv.scan(toy(), pictures(), ["channels", "classes"], labels=labels, **QUIET)
    assert found.accuracy == 1 and found.confusion.to_numpy().sum() == 21
    assert found.classes["images"].sum() == 21


@pytest.mark.parametrize("labels", [np.linspace(0, 2, 23), torch.eye(23)])
def test_labels_that_are_no_class_indices(labels):
    with pytest.raises(TypeError, match="class indices, or names"):
        rv.scan(toy(), pictures(), labels=labels, **QUIET)


@pytest.mark.parametrize("labels", [np.ones(23), torch.ones(23), [True] * 23, ["class 1"] * 23])
def test_labels_of_one_class(labels):
    found = rv.scan(toy(), pictures(), ["channels"], labels=labels, **QUIET)
    assert set(found.images["label"]) == {"class 1"}


def test_a_measurement_is_no_class():
    data = TensorDataset(pictures().tensors[0], torch.linspace(0.1, 0.9, 23))
    found = rv.scan(toy(), data, **QUIET)
    assert found.plan.by == "prediction" and np.isnan(found.accuracy)


@pytest.mark.parametrize(
    ("dataset", "options", "error", "words"),
    [
        (7, {}, TypeError, "scan: a data set of type int; a torch Dataset"),
        ("nowhere", {}, FileNotFoundError, "scan: no folder 'nowhere'; one with pictures"),
        (torch.zeros(0, 3, 8, 8), {}, ValueError, r"scan: images of shape \(0, 3, 8, 8\)"),
        (torch.zeros(3), {}, ValueError, r"scan: images of shape \(3,\)"),
        (pictures(), {"measures": "chanels"}, ValueError, "measure 'chanels'; one of channels"),
        (pictures(), {"layers": ["layer9"]}, ValueError, "no layer 'layer9'; closest: 'layer1"),
        (pictures(), {"layers": 3}, TypeError, "scan: layers 3; None, 'blocks'"),
        (pictures(), {"engine": "spark"}, ValueError, "engine 'spark'; one of local"),
        (pictures(), {"on_error": "no"}, ValueError, "on_error 'no'; one of skip, raise"),
        (pictures(), {"chunk": 0}, ValueError, "scan: chunk 0; 1 or more"),
        (pictures(), {"batch_size": 0}, ValueError, "scan: batch_size 0; 1 or more"),
        (pictures(), {"top": True}, TypeError, "scan: top True; a whole number"),
        (pictures(), {"amp": "int8"}, ValueError, "scan: amp 'int8'; True, 'bfloat16'"),
        (pictures(), {"only": [30]}, ValueError, "of 23 images; at least one, from 0 to 22"),
        (pictures(), {"only": [1.9, 3.0]}, TypeError, r"only= \[1.9, 3.0\]...; positions, which"),
        (pictures(), {"only": torch.arange(23) > 20}, TypeError, "they are np.flatnonzero"),
        (pictures(), {"labels": [1]}, ValueError, "scan: 1 labels for 23 images; one for each"),
        (pictures(), {"path": "no/where.resviz"}, FileNotFoundError, "scan: no folder"),
        (
            Endless(),
            {"workers": 2},
            ValueError,
            "workers=2 with an iterable data set, all of which",
        ),
        (["a.png"], {}, ValueError, "files, and no preset that says how the network wants them"),
    ],
)
def test_bad_arguments(dataset, options, error, words):
    net = toy()
    with pytest.raises(error, match=words):
        assert_left_as_found(net, lambda: rv.scan(net, dataset, **{"progress": False, **options}))


@pytest.mark.parametrize("only", [torch.tensor([4, 2]), (n for n in (2, 4)), np.uint8([2, 4])])
def test_positions_in_any_form(only):
    found = rv.scan(toy(), pictures(), ["channels"], only=only, **QUIET)
    assert found.images["image"].tolist() == [2, 4]


def test_asking_for_what_is_not_there():
    found = rv.scan(toy(), pictures(), ["channels"], **QUIET)
    with pytest.raises(ValueError, match="top: 'top' was not measured; scan"):
        found.top("relu", 0)
    with pytest.raises(KeyError, match="no layer 'layer1.5' in the scan; closest: 'layer1.1'"):
        found.top("layer1.5", 0) if "top" in found.plan.measures else found.number("layer1.5")
    full = rv.scan(toy(), pictures(), **QUIET)
    with pytest.raises(KeyError, match="find: no class 'class 7'; closest: 'class 2'"):
        full.find("class 7")
    with pytest.raises(KeyError, match="top: channel 6 of 'relu'; 0 to 5"):
        full.top("relu", 6)
    with pytest.raises(ValueError, match=r"quantiles: ranks \(2,\); one or more from 0 to 1"):
        full.quantiles("relu", (2,))
