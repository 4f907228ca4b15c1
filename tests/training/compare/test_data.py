"""What `train_compare` trains on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from resviz.training.compare.data import draw_shifts, shifted, training_data


def test_digits_are_split_and_normalised() -> None:
    data = training_data("digits")
    assert data.train_images.shape == (1437, 3, 8, 8) and data.test_images.shape == (360, 3, 8, 8)
    assert torch.equal(data.train_images[:, 0], data.train_images[:, 2])
    assert abs(float(data.train_images.mean())) < 1e-5
    assert abs(float(data.train_images.std()) - 1) < 1e-3
    everything = torch.cat([data.train_targets, data.test_targets])
    from sklearn.datasets import load_digits

    loaded: Any = load_digits()
    assert torch.equal(everything.bincount(), torch.from_numpy(loaded.target).bincount())
    assert set(data.test_targets.tolist()) == set(range(10))
    assert data.fingerprint == training_data("digits").fingerprint


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ModuleNotFoundError, match="training_data: data 'digits' without scikit"):
        training_data("digits")


def test_a_subset_is_always_the_same_and_another_data_set() -> None:
    one, other = (training_data("digits", subset=100) for _ in range(2))
    assert torch.equal(one.train_images, other.train_images) and len(one.train_targets) == 100
    assert one.name == "digits 8×8, 100 of 1437 training images"
    assert one.fingerprint != training_data("digits", subset=101).fingerprint
    for wrong, error in ((0, ValueError), (1438, ValueError), (2.5, TypeError)):
        with pytest.raises(error, match="training_data: subset"):
            training_data("digits", subset=wrong)  # type: ignore[arg-type]


def pixels(n: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)


def test_cifar10_from_npz_and_from_pictures(tmp_path: Path) -> None:
    images = pixels(4)
    labels = np.array([[0], [3], [3], [9]], np.uint8)  # as Keras has them
    np.savez(tmp_path / "train.npz", images=images, labels=labels)
    for name, picture in zip(("airplane", "cat", "cat", "truck"), images, strict=True):
        folder = tmp_path / "test" / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{len(list(folder.iterdir()))}.png")
    data = training_data("cifar10", tmp_path)
    assert torch.equal(data.train_images, data.test_images)
    assert data.train_targets.tolist() == data.test_targets.tolist() == [0, 3, 3, 9]
    assert data.augment
    by_hand = (images[1, 5, 6, 2] / 255 - 0.4465) / 0.2616  # blue of pixel (5, 6)
    assert float(data.inputs(data.train_images)[1, 2, 5, 6]) == pytest.approx(by_hand, rel=1e-5)


def test_cifar10_as_torchvision_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    class Fake:
        def __init__(self, root: str, train: bool, download: bool) -> None:
            assert Path(root) == tmp_path and not download
            self.data, self.targets = pixels(3 if train else 2), [1, 2, 3] if train else [4, 5]

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Fake)
    (tmp_path / "cifar-10-batches-py").mkdir()
    data = training_data("cifar10", tmp_path)
    assert data.train_targets.tolist() == [1, 2, 3] and data.test_targets.tolist() == [4, 5]


def test_wrong_cifar10(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no CIFAR-10 \(train\).*download=True"):
        training_data("cifar10", tmp_path)
    np.savez(tmp_path / "train.npz", pictures=pixels(1))
    with pytest.raises(ValueError, match="holds pictures; 'images' and 'labels'"):
        training_data("cifar10", tmp_path)
    for labels in (np.array([1]), np.eye(10)[:2]):
        np.savez(tmp_path / "train.npz", images=pixels(2), labels=labels)
        with pytest.raises(ValueError, match=rf"and labels \({len(labels)},.*; uint8"):
            training_data("cifar10", tmp_path)
    (tmp_path / "train.npz").unlink()
    (tmp_path / "train" / "dragon").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="no pictures in"):
        training_data("cifar10", tmp_path)
    for name in ("cat", "plane"):
        (tmp_path / "train" / name).mkdir()
        Image.fromarray(pixels(1)[0]).save(tmp_path / "train" / name / "a.png")
    with pytest.raises(
        ValueError, match="pictures in plane of .*: airplane, .* Rename the folders"
    ):
        training_data("cifar10", tmp_path)


def test_shifts_against_the_obvious_way() -> None:
    images = torch.randint(0, 256, (6, 3, 5, 5), dtype=torch.uint8)
    draws = draw_shifts(6, torch.Generator().manual_seed(1))
    found = shifted(images, draws)
    assert draws[2].any() and not draws[2].all()
    for number, (dy, dx, flip) in enumerate(zip(*draws, strict=True)):
        padded = torch.zeros(3, 13, 13, dtype=torch.uint8)
        padded[:, 4:9, 4:9] = images[number]
        crop = padded[:, dy : dy + 5, dx : dx + 5]
        assert torch.equal(found[number], crop.flip(2) if flip else crop)


def test_own_tensors() -> None:
    x, y = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 3], dtype=torch.int32)
    data = training_data((x, y, x.numpy(), y.numpy()))
    assert data.train_targets.dtype == torch.int64 and torch.equal(data.test_images, x)
    wrong: list[tuple[Any, type[Exception], str]] = [
        ((x, y, x), TypeError, "data are 3 things"),
        (7, TypeError, "data are a int"),
        ("mnist", ValueError, "data 'mnist'; 'digits', 'cifar10'"),
        ((x, [1], x, y), TypeError, "targets a list"),
        ((x.byte(), y, x, y), TypeError, "training images of torch.uint8"),
        ((x, y, x, y[:2]), ValueError, "test targets"),
        ((x, y - 1, x, y), ValueError, "target below 0"),
        ((x[:0], y[:0], x, y), ValueError, "no training images"),
    ]
    for data_given, error, message in wrong:
        with pytest.raises(error, match=message):
            training_data(data_given)
