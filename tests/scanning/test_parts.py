"""Parts of a scan, files of it, and a scan that goes on after it was stopped."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import Subset

import resviz as rv
from left_as_found import left_as_found
from resviz.scanning.accumulated import Accumulated
from resviz.scanning.scan import Scan
from scanning.toys import Block, pictures, toy

EXACT = ["min", "max", "active_images", "dead", "top_image", "best_class", "zero_fraction"]
CLOSE = ["mean", "std", "selectivity"]
QUIET = {"progress": False, "batch_size": 5, "top": 4}


def assert_same(one: Scan, other: Scan, rank_error: bool = False) -> None:
    """Equal to the tolerance that `Scan.merge` states."""
    for column in EXACT:
        pd.testing.assert_series_equal(one.channels[column], other.channels[column])
    for column in CLOSE:
        np.testing.assert_allclose(one.channels[column], other.channels[column], rtol=1e-6)
    pd.testing.assert_frame_equal(one.images, other.images)
    for site in one.plan.sites:
        for channel in range(site.channels):
            pd.testing.assert_frame_equal(one.top(site.key, channel), other.top(site.key, channel))
        number = one.number(site.key)
        np.testing.assert_allclose(
            *(scan.measured("correlation").matrix(number) for scan in (one, other)), atol=1e-9
        )
    np.testing.assert_array_equal(one.embedding[2], other.embedding[2])


def test_parts_of_images_of_two_sizes_make_one():
    sizes = [(8, 8), (8, 12)] * 6
    images = [torch.randn(3, *size, dtype=torch.float64) for size in sizes]
    parts = [rv.scan(toy(), images, only=range(part, 12, 2), **QUIET) for part in (1, 0)]
    assert_same(parts[0].merge(parts[1]), rv.scan(toy(), images, **QUIET))


@pytest.mark.parametrize("parts", [2, pytest.param(7, marks=pytest.mark.thorough)])
def test_parts_make_one(parts):
    data, whole = pictures(), rv.scan(toy(), pictures(), **QUIET)
    scans = [
        rv.scan(toy(), data, only=range(part, len(data), parts), **QUIET) for part in range(parts)
    ]
    merged = scans[-1]
    for scan in scans[:-1]:
        merged = merged.merge(scan)
    assert_same(whole, merged)
    np.testing.assert_allclose(merged.quantiles("relu"), whole.quantiles("relu"), rtol=1e-6)


def test_a_subset_keeps_the_positions_of_the_whole():
    data = pictures()
    found = rv.scan(toy(), Subset(data, [20, 3, 4]), **QUIET)
    assert found.images["image"].tolist() == [3, 4, 20]


def test_a_subset_of_a_subset_has_the_images_that_it_gives():
    inner = Subset(pictures(), [20, 3, 4, 11])
    found = rv.scan(toy(), Subset(inner, [3, 0]), ["channels"], **QUIET)
    assert found.images["image"].tolist() == [11, 20]


def test_a_part_of_a_subset_does_not_leave_it():
    some = Subset(pictures(), [9, 8, 7, 6])
    assert rv.scan(toy(), some, ["channels"], only=[8, 7], **QUIET).images["image"].tolist() == [
        7,
        8,
    ]
    with pytest.raises(ValueError, match=r"image 0, which is not in the Subset; .* as \[6, 7, 8\]"):
        rv.scan(toy(), some, only=range(3), **QUIET)


def test_a_subset_with_an_image_twice_is_refused():
    with pytest.raises(ValueError, match="a Subset with image 1 more than once, .* each once"):
        rv.scan(toy(), Subset(pictures(), [2, 1, 1, 1]), **QUIET)


def test_labels_of_a_subset_are_those_of_its_data_set():
    data, labels = pictures(), [1, *[0] * 22]
    found = rv.scan(toy(), Subset(data, [0, 4]), ["channels"], labels=labels, **QUIET)
    assert found.images["label"].tolist() == ["class 1", "class 0"]
    with pytest.raises(ValueError, match="2 labels for 23 images in the data set of the Subset"):
        rv.scan(toy(), Subset(data, [0, 4]), labels=[1, 0], **QUIET)
    with pytest.raises(ValueError, match="labels= with a Subset in an order of its own"):
        rv.scan(toy(), Subset(data, range(22, -1, -1)), labels=labels, **QUIET)


@pytest.mark.parametrize("whole", [True, False])
def test_with_a_part_that_was_interrupted_nothing_is_complete(whole):
    parts = [rv.scan(toy(), pictures(), ["top"], only=only, **QUIET) for only in ([0], [1])]
    parts[1].provenance["complete"] = whole
    assert parts[0].merge(parts[1]).provenance["complete"] is whole
    assert parts[1].merge(parts[0]).provenance["complete"] is whole


def test_overlapping_parts_are_refused():
    data = pictures()
    one, other = (rv.scan(toy(), data, only=only, **QUIET) for only in (range(9), range(8, 12)))
    with pytest.raises(ValueError, match="merge: 1 images in both, 8 among them"):
        one.merge(other)


def test_parts_of_another_network_are_refused():
    one = rv.scan(toy(), pictures(), only=range(9), **QUIET)
    other = rv.scan(toy(1), pictures(), only=range(9, 12), **QUIET)
    with pytest.raises(ValueError, match="merge: a scan with other weights"):
        one.merge(other)


@pytest.mark.thorough
def test_a_saved_scan_is_the_same(tmp_path):
    scan = rv.scan(toy(), pictures(), measures="all", sample=2, **QUIET)
    scan.save(tmp_path / "a.resviz")
    loaded = rv.load_scan(tmp_path / "a.resviz")
    assert_same(scan, loaded)
    pd.testing.assert_frame_equal(scan.blocks, loaded.blocks)
    pd.testing.assert_frame_equal(scan.layers, loaded.layers)
    pd.testing.assert_frame_equal(scan.quantiles("relu"), loaded.quantiles("relu"))
    assert loaded.provenance == scan.provenance and repr(loaded) == repr(scan)


def test_a_saved_scan_has_its_blocks_in_order(tmp_path):
    net = toy()
    net.layer1.extend([Block(6).double() for _ in range(9)])  # 10 stands before 2 in a dictionary
    scan = rv.scan(net, pictures(), ["residuals"], **QUIET)
    assert scan.blocks["block"].tolist() == [f"layer1.{n}" for n in range(11)]
    scan.save(tmp_path / "a.resviz")
    pd.testing.assert_frame_equal(rv.load_scan(tmp_path / "a.resviz").blocks, scan.blocks)


def test_files_from_before_images_were_left_out_of_ratios():
    scan = rv.scan(toy(), pictures(), ["residuals"], **QUIET)
    state = scan.seen.state()
    earlier = {name: array for name, array in state.items() if not name.endswith(("io_n", "ne_n"))}
    loaded = Accumulated(scan.plan)
    loaded.load(earlier, {})
    assert len(earlier) < len(state) == len(loaded.state())
    for name, array in state.items():
        np.testing.assert_array_equal(loaded.state()[name], array)


@pytest.mark.thorough
def test_an_interrupted_scan_goes_on(tmp_path):
    path, read = tmp_path / "a.resviz", []

    class Watched(torch.utils.data.Dataset):
        def __len__(self):
            return 23

        def __getitem__(self, n):
            read.append(n)
            if len(read) == 17:
                raise KeyboardInterrupt
            return pictures()[n]

    net = toy()
    with pytest.raises(KeyboardInterrupt), left_as_found(net):
        rv.scan(net, Watched(), path=path, chunk=5, **QUIET)
    partial = rv.load_scan(path)
    assert partial.images["image"].tolist() == list(range(10))
    assert not partial.provenance["complete"] and "not finished" in repr(partial)
    read[:] = [-1] * 100
    found = rv.scan(net, Watched(), path=path, chunk=5, **QUIET)
    assert sorted(set(read[100:])) == [0, *range(10, 23)]  # the first one tells what to expect
    assert_same(rv.scan(toy(), pictures(), **QUIET), found)
    assert_same(found, rv.load_scan(path))


@pytest.mark.thorough
def test_a_file_of_another_scan_is_refused(tmp_path):
    path = tmp_path / "a.resviz"
    rv.scan(toy(), pictures(), path=path, **QUIET)
    with pytest.raises(ValueError, match="holds a scan with other weights; the same arguments"):
        rv.scan(toy(1), pictures(), path=path, **QUIET)
    with pytest.raises(ValueError, match="other data"):
        rv.scan(toy(), pictures(24), path=path, **QUIET)
    with pytest.raises(ValueError, match="other measures"):
        rv.scan(toy(), pictures(), ["top"], path=path, **QUIET)
