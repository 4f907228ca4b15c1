"""What `train_compare` trains on: digits, CIFAR-10, or the user's own tensors."""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from resviz import arguments
from resviz.arguments import caller, public, whole

_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_MEAN, _STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of CIFAR-10's training images
_SHIFT = 4  # pixels, He et al. 2015, section 4.2
_DIGITS_TRAIN = 1437  # of 1797: four fifths


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Training and test images with their targets.

    Attributes:
        name: of the data set, for figures.
        train_images: (N, C, H, W) as the network wants them; uint8 ones are normalised by `mean`
            and `std` when a batch is made.
        train_targets: (N,) class indices.
        test_images: (M, C, H, W).
        test_targets: (M,).
        augment: shift and flip training images unless the caller says otherwise.
        batch: the usual batch size.
        mean: per channel, of uint8 images scaled to 0..1.
        std: per channel.
    """

    name: str
    train_images: Tensor
    train_targets: Tensor
    test_images: Tensor
    test_targets: Tensor
    augment: bool = False
    batch: int = 128
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def to(self, device: torch.device) -> TrainingData:
        """The same on another device."""
        moved = {n: getattr(self, n).to(device) for n in _TENSORS}
        return replace(self, **moved)

    def inputs(self, images: Tensor) -> Tensor:
        """Images as the network takes them, in memory of their own: it may write over them."""
        if images.dtype != torch.uint8:
            return images.clone()
        mean, std = (torch.tensor(v, device=images.device)[:, None, None]
                     for v in (self.mean, self.std))  # fmt: skip
        return (images.float() / 255 - mean) / std

    @functools.cached_property
    def fingerprint(self) -> str:
        """Tells other data from these: a hash of every number."""
        digest = hashlib.sha256(repr((self.name, self.mean, self.std)).encode())
        for name in _TENSORS:
            tensor = getattr(self, name).cpu().contiguous()
            kind = str(tensor.dtype).removeprefix("torch.")
            digest.update(f"({tuple(tensor.shape)}, dtype({kind!r}))".encode())
            digest.update(tensor.flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()


_TENSORS = ("train_images", "train_targets", "test_images", "test_targets")


@public
def training_data(
    data: object, folder: str | os.PathLike[str] = "data", subset: int | None = None
) -> TrainingData:
    """The data set that `data` names, with `subset` training images.

    Args:
        data: "digits", "cifar10", or (train images, train targets, test images, test targets).
        folder: where CIFAR-10 lies.
        subset: keep so many training images, drawn with seed 0; None keeps all.

    Raises:
        TypeError, ValueError, FileNotFoundError, ModuleNotFoundError: as `train_compare` says.
    """
    if isinstance(data, str):
        if data not in ("digits", "cifar10"):
            raise ValueError(
                f"{caller()}: data {data!r}; 'digits', 'cifar10', or four tensors (training"
                " images and targets, test images and targets)."
            )
        found = digits() if data == "digits" else cifar10(folder)
    else:
        found = _own(data)
    return found if subset is None else _subset(found, subset)


def _subset(data: TrainingData, subset: int) -> TrainingData:
    n = len(data.train_targets)
    subset = whole("subset", subset)
    if not 1 <= subset <= n:
        raise ValueError(f"{caller()}: subset {subset} of {n} training images; 1 to {n}.")
    chosen = _permutation(n)[:subset]
    return replace(data, name=f"{data.name}, {subset} of {n} training images",
                   train_images=data.train_images[chosen],
                   train_targets=data.train_targets[chosen])  # fmt: skip


def _permutation(n: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator("cpu").manual_seed(0), device="cpu")


# ---- digits
def digits() -> TrainingData:
    """scikit-learn's 1,797 handwritten digits of 8x8, 1,437 to train and 360 to test.

    The test set of E. Alpaydin's "Optical Recognition of Handwritten Digits" (1998),
    https://archive.ics.uci.edu/ml/datasets/Optical+Recognition+of+Handwritten+Digits, which comes
    with scikit-learn. Mean 0 and standard deviation 1 over the training images; three equal
    channels, as image networks want them. The split is always the same: a permutation with seed 0.

    Raises:
        ModuleNotFoundError: scikit-learn is not installed.

    Example:
        >>> digits().train_images.shape
        torch.Size([1437, 3, 8, 8])
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{caller()}: data 'digits' without scikit-learn, which brings them; install it:"
            " pip install scikit-learn. Or give four tensors of your own."
        ) from error
    loaded: Any = load_digits()
    order = _permutation(len(loaded.target))
    pixels = torch.from_numpy(loaded.images.astype(np.float32))[order, None]
    targets = torch.from_numpy(loaded.target.astype(np.int64))[order]
    train = pixels[:_DIGITS_TRAIN]
    images = ((pixels - train.mean()) / train.std()).expand(-1, 3, -1, -1).contiguous()
    return TrainingData(
        "digits 8×8",
        images[:_DIGITS_TRAIN],
        targets[:_DIGITS_TRAIN],
        images[_DIGITS_TRAIN:],
        targets[_DIGITS_TRAIN:],
        batch=64,
    )


# ---- CIFAR-10
def cifar10(folder: str | os.PathLike[str]) -> TrainingData:
    """CIFAR-10 (A. Krizhevsky 2009) from a folder; nothing is downloaded.

    Each part, "train" and "test", is looked for as ``train.npz`` (``images`` uint8 (N, 32, 32, 3),
    ``labels``), as ``train/<class name>/*.png`` or ``*.jpg``, and in torchvision's
    ``cifar-10-batches-py``.

    Raises:
        FileNotFoundError: there are no such files.
        ValueError: a file with something else in it, or pictures in a folder of another name.
    """
    root = arguments.path("folder", folder)
    train, test = (_cifar_part(root, part) for part in ("train", "test"))
    return TrainingData("CIFAR-10", *train, *test, augment=True, mean=_MEAN, std=_STD)


def _cifar_part(root: pathlib.Path, part: str) -> tuple[Tensor, Tensor]:
    if (root / f"{part}.npz").is_file():
        return _from_npz(root / f"{part}.npz")
    if (root / part).is_dir():
        return _from_folder(root / part)
    if (root / "cifar-10-batches-py").is_dir():
        from torchvision.datasets import CIFAR10

        loaded = CIFAR10(str(root), train=part == "train", download=False)
        return _cifar_tensors(root, loaded.data, np.array(loaded.targets))
    raise FileNotFoundError(
        f"{caller()}: no CIFAR-10 ({part}) in {str(root)!r}; {part}.npz, {part}/<class name>/"
        "*.png, or cifar-10-batches-py would be right. torchvision fetches it: "
        f"torchvision.datasets.CIFAR10({str(root)!r}, download=True)"
    )


def _from_npz(file: pathlib.Path) -> tuple[Tensor, Tensor]:
    with np.load(file) as data:
        if not {"images", "labels"} <= set(data.files):
            raise ValueError(
                f"{caller()}: {str(file)!r} holds {', '.join(data.files)}; 'images' and"
                " 'labels' are needed."
            )
        return _cifar_tensors(file, data["images"], data["labels"])


def _from_folder(folder: pathlib.Path) -> tuple[Tensor, Tensor]:
    from PIL import Image

    found = {each.name: _pictures_in(each) for each in sorted(folder.iterdir()) if each.is_dir()}
    files = [(path, label) for label, name in enumerate(_CLASSES) for path in found.get(name, [])]
    if not files:
        raise FileNotFoundError(
            f"{caller()}: no pictures in {str(folder)!r}; folders named as CIFAR-10's classes"
            f" would be right: {', '.join(_CLASSES)}."
        )
    strange = [name for name, pictures in found.items() if pictures and name not in _CLASSES]
    if strange:
        raise ValueError(
            f"{caller()}: pictures in {', '.join(strange)} of {str(folder)!r}, which are no classes"
            f" of CIFAR-10; its names would be right: {', '.join(_CLASSES)}. Rename the folders."
        )
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path, _ in files])
    return _cifar_tensors(folder, pixels, np.array([label for _, label in files]))


def _pictures_in(folder: pathlib.Path) -> list[pathlib.Path]:
    endings = (".png", ".jpg", ".jpeg")
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)


def _cifar_tensors(where: pathlib.Path, pixels: Any, labels: Any) -> tuple[Tensor, Tensor]:
    count = len(pixels)
    fits = pixels.dtype == np.uint8 and pixels.shape[1:] == (32, 32, 3)
    if not fits or labels.shape not in ((count,), (count, 1)):  # the second as Keras has them
        raise ValueError(
            f"{caller()}: {str(where)!r} holds images {pixels.dtype} {pixels.shape} and labels"
            f" {labels.shape}; uint8 (N, 32, 32, 3) and a class index for each would be right."
        )
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    return images, torch.from_numpy(labels.reshape(-1).astype(np.int64))


def shifted(images: Tensor, draws: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Each image moved over a border of zeros and perhaps mirrored (He et al. 2015, section 4.2).

    Args:
        images: (N, C, H, W), pixels before normalising.
        draws: of :func:`draw_shifts`, a row per image.
    """
    n, channels, height, width = images.shape
    padded = F.pad(images, (_SHIFT,) * 4)
    dy, dx, flip = draws
    rows = dy[:, None] + torch.arange(height, device="cpu")
    columns = dx[:, None] + torch.arange(width, device="cpu")
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    image = torch.arange(n, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[None, :, None, None]
    rows, columns = (t.to(images.device) for t in (rows[:, None, :, None], columns[:, None, None]))
    return padded[image, channel, rows, columns]


def draw_shifts(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Shifts of 0 to 8 pixels in y and x, and whether to mirror, for n images."""
    dy, dx = (
        torch.randint(0, 2 * _SHIFT + 1, (n,), generator=generator, device="cpu") for _ in range(2)
    )
    return dy, dx, torch.rand(n, generator=generator, device="cpu") < 0.5


# ---- the user's own
def _own(data: object) -> TrainingData:
    if not isinstance(data, Sequence) or len(data) != 4:
        what = f"{len(data)} things" if isinstance(data, Sequence) else f"a {type(data).__name__}"
        raise TypeError(
            f"{caller()}: data are {what}; 'digits', 'cifar10', or four tensors (training"
            " images and targets, test images and targets) would be right."
        )
    tensors = [torch.as_tensor(part) if isinstance(part, np.ndarray) else part for part in data]
    _check_own(tensors[0], tensors[1], "training")
    _check_own(tensors[2], tensors[3], "test")
    images, targets, test_images, test_targets = (
        t.clone() if t.is_inference() else t.detach() for t in tensors
    )
    return TrainingData("own data", images, targets.long(), test_images, test_targets.long())


def _check_own(images: object, targets: object, part: str) -> None:
    if not (isinstance(images, Tensor) and isinstance(targets, Tensor)):
        raise TypeError(
            f"{caller()}: {part} images are a {type(images).__name__}, targets a"
            f" {type(targets).__name__}; tensors would be right."
        )
    if not images.is_floating_point():
        raise TypeError(
            f"{caller()}: {part} images of {images.dtype}; floating numbers as the network"
            " wants them, normalised."
        )
    if targets.is_floating_point() or targets.ndim != 1 or len(targets) != len(images):
        raise ValueError(
            f"{caller()}: {part} targets {targets.dtype} {tuple(targets.shape)} for"
            f" {len(images)} images; a class index for each image."
        )
    if not len(images) or int(targets.min()) < 0:
        raise ValueError(f"{caller()}: no {part} images, or a target below 0; both are wrong.")
