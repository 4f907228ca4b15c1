"""What a scan reads: data sets, loaders, folders, files, tensors; an image at a time, by position.

Nothing but the position tells images apart: top images and parts of a scan are known by it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
)
from torch.utils.data import default_collate as as_torch_does

from resviz.arguments import caller
from resviz.images.fitting import fitted
from resviz.images.loading import SUFFIXES
from resviz.images.reading import planes
from resviz.preset import Preset
from resviz.scanning.batch import Ints
from resviz.scanning.labels import classes_of

# what a user may give as a data set, and as labels of its images
Data = Dataset[Any] | DataLoader[Any] | Tensor | str | os.PathLike[str] | Sequence[Any]
Labels = Sequence[int | str] | NDArray[np.generic] | Tensor
_Tried = tuple[int, Tensor | None, int, str]  # position, image and label, or why there is none
_IMAGES, _LABELS = ("image", "images", "pixel_values", "img"), ("label", "labels", "target")


@dataclass(frozen=True, eq=False)
class Loaded:
    """A batch as it was read.

    Attributes:
        groups: (positions, inputs, labels) of images of one shape; -1 for no label.
        failed: (position, reason) of those that could not be read.
    """

    groups: list[tuple[Ints, Tensor, Ints]]
    failed: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Source:
    """A data set whose images are read by position.

    Attributes:
        items: the data set itself.
        count: of its images.
        names: of each, where they have names: files.
        classes: names of the labels, in order; empty where nobody knows.
        preset: how pictures become inputs; None where items are inputs already.
        labels: instead of those of the items.
        renumbered: the class of each label; None: labels are classes.
        chosen: positions of a subset, in its order; None: all.
        only: which of them to scan, ascending; None: all.
        size, workers: of batches, and processes that read, as a loader had them.
    """

    items: Any
    count: int
    names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    preset: Preset | None = None
    labels: NDArray[np.int64] | None = None
    renumbered: NDArray[np.int64] | None = None
    chosen: NDArray[np.int64] | None = None
    only: NDArray[np.int64] | None = None
    size: int | None = None
    workers: int = 0

    def positions(self) -> Ints:
        """To scan, ascending."""
        return self.drawn() if self.only is None else self.only

    def drawn(self) -> Ints:
        """Of a subset, or of all images, ascending."""
        return np.arange(self.count) if self.chosen is None else np.sort(self.chosen)

    def item(self, position: int) -> tuple[Tensor, int]:
        """(input, label) of one image; whatever the data set raises where it cannot be read."""
        labels = None if self.labels is None else self.labels[[position]]
        return self.read(self.items[position], labels)

    def read(self, item: Any, labels: Ints | None = None) -> tuple[Tensor, int]:
        """(input, label) of what the data set gives; its own label unless there is another."""
        image, given = parts_of(item)
        labels = classes_of(given, 1) if labels is None else labels
        return self.tensor(image), int(self.counted(labels)[0])

    def counted(self, labels: Ints) -> Ints:
        """Labels as the plan counts them."""
        if self.renumbered is None:
            return labels
        known = (labels >= 0) & (labels < len(self.renumbered))
        found: Ints = np.append(self.renumbered, -1)[np.where(known, labels, -1)]
        return found

    def tensor(self, image: Any) -> Tensor:
        """The image as the network takes it."""
        if isinstance(image, Tensor):
            return image
        if self.preset is not None:
            return fitted(planes(image, self.preset), self.preset, "")[0]
        if isinstance(image, np.ndarray):
            return torch.from_numpy(image)
        raise TypeError(
            f"{caller()}: an image of type {type(image).__name__}; a tensor. A preset says how "
            "pictures become tensors: preset=rv.Preset(...)."
        )

    def batches(self, positions: Ints, size: int, workers: int, pin: bool) -> Iterator[Loaded]:
        """Those images, read by so many worker processes."""
        batches = [positions[at : at + size].tolist() for at in range(0, len(positions), size)]
        yield from DataLoader(
            _Reader(self),
            batch_sampler=batches,
            collate_fn=_collated,
            num_workers=workers,
            pin_memory=pin,
        )

    def digest(self) -> str:
        """Tells other data sets from this one: names, labels, and the first and last image."""
        made = hashlib.sha256(repr((self.count, self.names, self.classes)).encode())
        if self.labels is not None:
            made.update(self.labels.tobytes())
        for position in {0, self.count - 1}:
            try:
                image, label = self.item(position)
            except Exception as err:  # noqa: BLE001  # one that cannot be read will be named later
                made.update(type(err).__name__.encode())
                continue
            made.update(f"{tuple(image.shape)} {image.dtype} {label}".encode())
            made.update(image.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return made.hexdigest()


@dataclass(frozen=True, eq=False)
class Stream(Source):
    """Batches in the order in which a loader or an iterable data set gives them.

    Positions count what came before. `count` is 0 where nobody knows how many there are.
    """

    repeats: bool = True

    def positions(self) -> Ints:
        """To scan, as far as their number is known."""
        return np.arange(self.count)

    def item(self, position: int) -> tuple[Tensor, int]:
        """The first image alone can be had without reading all."""
        for given in self._begun[0]:
            if not self._batched:
                return self.read(given)
            images, labels = _batch_of(given)
            return images[0], int(self.counted(labels)[0])
        raise ValueError(f"{caller()}: an empty data set; at least one image.")

    def batches(self, positions: Ints, size: int, workers: int, pin: bool) -> Iterator[Loaded]:
        """All batches, from the first on; those that are done are for the caller to leave out."""
        if not self._batched:
            if workers:
                raise ValueError(
                    f"{caller()}: workers={workers} with an iterable data set, all of which each "
                    "of them would read; workers=0, or a DataLoader of it with num_workers and a "
                    "data set that shares itself out by torch.utils.data.get_worker_info()."
                )
            numbered = enumerate(self._all())
            while items := list(itertools.islice(numbered, size)):
                yield _collated([_tried(at, partial(self.read, item)) for at, item in items])
            return
        at = 0
        for batch in self._all():
            images, labels = _batch_of(batch)
            yield Loaded([(np.arange(at, at + len(images)), images, self.counted(labels))])
            at += len(images)

    @property
    def _batched(self) -> bool:
        return isinstance(self.items, DataLoader)

    @cached_property
    def _begun(self) -> tuple[list[Any], Iterator[Any]]:
        """What is given first, and the rest."""
        rest = iter(self.items)
        return list(itertools.islice(rest, 1)), rest

    def _all(self) -> Iterator[Any]:
        """What was begun goes on: some give what they give but once."""
        begun = self.__dict__.pop("_begun", None)
        return iter(self.items) if begun is None else itertools.chain(*begun)

    def digest(self) -> str:
        """Of the first image: nothing else is known before all is read."""
        image, label = self.item(0)
        made = hashlib.sha256(f"{self.count} {tuple(image.shape)} {label}".encode())
        made.update(image.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return made.hexdigest()


def _batch_of(batch: Any) -> tuple[Tensor, Ints]:
    """(images, labels) of a batch as a loader gives it."""
    images, labels = parts_of(batch)
    if not isinstance(images, Tensor):
        raise TypeError(
            f"{caller()}: a batch of {type(images).__name__}; (images, labels) or images, "
            "as a tensor (N, ...)."
        )
    return images, classes_of(labels, len(images))


class _Reader(Dataset[Any]):
    """Reads by position, and says why where that fails."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def __getitem__(self, position: int) -> _Tried:
        return _tried(position, partial(self._source.item, position))


def _tried(position: int, read: Callable[[], tuple[Tensor, int]]) -> _Tried:
    try:
        image, label = read()
    except Exception as err:  # noqa: BLE001  # what a user's data set raises is anybody's guess
        return position, None, -1, " ".join(f"{type(err).__name__}: {err}".split())
    return position, image, label, ""


def _collated(items: list[_Tried]) -> Loaded:
    shapes: dict[Any, list[tuple[int, Tensor, int]]] = {}
    failed = []
    for position, image, label, reason in items:
        if image is None:
            failed.append((position, reason))
        else:
            shapes.setdefault((image.shape, image.dtype), []).append((position, image, label))
    groups = [
        (np.array(p), torch.stack(images), np.array(labels))
        for p, images, labels in (zip(*each, strict=True) for each in shapes.values())
    ]
    return Loaded(groups, failed)


def parts_of(item: Any) -> tuple[Any, Any]:
    """(image, label) of what a data set gives, as it gives them; None for no label."""
    label: Any = None
    if isinstance(item, Mapping):
        image = next((item[key] for key in _IMAGES if key in item), None)
        label = next((item[key] for key in _LABELS if key in item), None)
        if image is None:
            raise TypeError(
                f"{caller()}: an item with {', '.join(map(str, item))}; one of "
                f"{', '.join(_IMAGES)} would be right."
            )
    elif isinstance(item, tuple | list) and item:
        image, label = item[0], item[1] if len(item) > 1 else None
    else:
        image = item
    return image, label


# ---- what the user gave
def source_of(
    dataset: Any,
    preset: Preset | None,
    labels: Labels | None = None,
    only: Iterable[int] | None = None,
) -> Source:
    """The source that `dataset` means: see :func:`resviz.scan`.

    Raises:
        FileNotFoundError: no such folder or file.
        TypeError, ValueError: no data set, an empty one, labels or positions that do not fit.
    """
    source = _read(dataset, preset)
    if isinstance(source, Stream):
        if labels is not None or only is not None or source.chosen is not None:
            raise TypeError(
                f"{caller()}: labels=, only= or a Subset of a stream, whose images have no "
                "positions of their own; a data set with a length would be right."
            )
        return source
    if not source.count:
        raise ValueError(f"{caller()}: an empty data set; at least one image.")
    if labels is not None:
        source = _labelled(source, labels)
    return source if only is None else _limited(source, only)


def _read(dataset: Any, preset: Preset | None) -> Source:
    if isinstance(dataset, str | os.PathLike):
        return _folder(pathlib.Path(dataset).expanduser(), preset)
    if isinstance(dataset, Tensor):
        if dataset.ndim < 2 or not len(dataset):
            raise ValueError(
                f"{caller()}: images of shape {tuple(dataset.shape)}; (N, ...), at least one."
            )
        return Source(dataset, len(dataset), preset=preset)
    if isinstance(dataset, DataLoader):
        return _of_loader(dataset, preset)
    if isinstance(dataset, IterableDataset):
        return Stream(dataset, _length(dataset), classes=_class_names(dataset), preset=preset)
    if isinstance(dataset, Subset) and _as_torch_has(dataset, "__getitem__", "__getitems__"):
        return _of_subset(dataset, preset)
    if isinstance(dataset, list | tuple) and dataset and isinstance(dataset[0], str | os.PathLike):
        return _files([pathlib.Path(path).expanduser() for path in dataset], preset)
    if hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__"):
        return Source(dataset, len(dataset), classes=_class_names(dataset), preset=preset)
    raise TypeError(
        f"{caller()}: a data set of type {type(dataset).__name__}; a torch Dataset, a DataLoader, "
        "a folder, a list of files, or a tensor (N, ...)."
    )


def _as_torch_has(given: Subset[Any] | DataLoader[Any], *methods: str) -> bool:
    """False where a class of the user's own gives other images, transformed for example."""
    own = Subset if isinstance(given, Subset) else DataLoader
    return all(getattr(type(given), name) is getattr(own, name) for name in methods)


def _class_names(dataset: Any) -> tuple[str, ...]:
    """Of its labels, the first of several words for one; a subset has those of its data set."""
    classes = getattr(dataset, "classes", ())
    if isinstance(classes, list | tuple) and classes:
        return tuple(str(each[0] if isinstance(each, tuple) and each else each) for each in classes)
    return _class_names(dataset.dataset) if isinstance(dataset, Subset) else ()


def _of_loader(loader: DataLoader[Any], preset: Preset | None) -> Source:
    """Its data set, where it reads all of that in order and puts batches together as torch does."""
    sampler, plain = loader.sampler, type(loader.batch_sampler) is BatchSampler
    ordered = isinstance(sampler, SequentialSampler) and (plain or loader.batch_sampler is None)
    whole = ordered and plain and not loader.drop_last and loader.collate_fn is as_torch_does
    whole = whole and _as_torch_has(loader, "__iter__")
    if whole and getattr(sampler, "data_source", None) is loader.dataset:
        found = _read(loader.dataset, preset)
        return _replaced(found, size=loader.batch_size, workers=loader.num_workers)
    names = _class_names(loader.dataset)
    return Stream(loader, _given_by(loader), classes=names, preset=preset, repeats=ordered)


def _given_by(loader: DataLoader[Any]) -> int:
    """How many images, as far as that is known."""
    if isinstance(loader.dataset, IterableDataset):
        return _length(loader.dataset)
    if type(loader.batch_sampler) is not BatchSampler:
        return 0
    count = _length(loader.sampler)
    return count - count % (loader.batch_size or 1) if loader.drop_last else count


def _length(dataset: Any) -> int:
    try:
        return len(dataset)
    except TypeError:
        return 0


def _of_subset(subset: Subset[Any], preset: Preset | None) -> Source:
    """The whole, with the subset's positions: parts of one data set can be merged."""
    whole = _read(subset.dataset, preset)
    chosen = np.asarray(subset.indices, np.int64)
    if whole.chosen is not None:
        chosen = whole.chosen[chosen]
    each, times = np.unique(chosen, return_counts=True)
    _check_positions(each, whole.count)
    if len(each) < len(chosen):
        raise ValueError(
            f"{caller()}: a Subset with image {each[times > 1][0]} more than once, and images are "
            "known by their positions in its data set; each once would be right: "
            "Subset(dataset, sorted(set(indices)))."
        )
    return _replaced(whole, chosen=chosen)


def _folder(folder: pathlib.Path, preset: Preset | None) -> Source:
    """Its pictures; where it has folders in place of pictures, theirs, labelled by folder."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{caller()}: no folder {str(folder)!r}; one with pictures.")
    own = _pictures_in(folder)
    inner = sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
    classes = [name for name in inner if any(_walked(name))] if not own else []
    if not own and not classes:
        raise ValueError(
            f"{caller()}: no picture in folder {str(folder)!r}; files that end in "
            f"{', '.join(SUFFIXES)}, or a folder of them for each class."
        )
    labelled = [(file, n) for n, name in enumerate(classes) for file in sorted(_walked(name))]
    files = own or [file for file, _ in labelled]
    found = _files(files, preset, root=folder)
    labels = None if own else np.array([label for _, label in labelled])
    return _replaced(found, labels=labels, classes=tuple(name.name for name in classes))


def _pictures_in(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(f for f in folder.iterdir() if f.is_file() and _is_picture(f))


def _walked(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    return (file for file in folder.rglob("*") if file.is_file() and _is_picture(file))


def _is_picture(file: pathlib.Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def _files(
    files: Sequence[pathlib.Path], preset: Preset | None, root: pathlib.Path | None = None
) -> Source:
    if preset is None or not preset.mean:
        raise ValueError(
            f"{caller()}: files, and no preset that says how the network wants them; "
            "preset=rv.Preset(...) with its mean and std would be right."
        )
    names = tuple(os.path.relpath(f, root) if root is not None else os.fspath(f) for f in files)
    return Source([os.fspath(file) for file in files], len(files), names, preset=preset)


def _labelled(source: Source, labels: Labels) -> Source:
    given = list(labels)
    if len(given) != source.count:
        of = "" if source.chosen is None else " in the data set of the Subset"
        raise ValueError(
            f"{caller()}: {len(given)} labels for {source.count} images{of}; one for each."
        )
    if source.chosen is not None and (np.diff(source.chosen) < 0).any():
        raise ValueError(
            f"{caller()}: labels= with a Subset in an order of its own; labels of its data set, "
            "and a Subset in the order of that: Subset(dataset, sorted(indices))."
        )
    if all(isinstance(label, str) for label in given):
        classes = tuple(sorted(set(given)))
        numbers = [classes.index(label) for label in given]
        return _replaced(source, labels=np.array(numbers), classes=classes)
    try:
        numbers = [int(label) for label in given]
        if numbers != given:
            raise ValueError("numbers that are not whole")
    except (TypeError, ValueError, RuntimeError) as err:  # the last: a row of numbers for each
        raise TypeError(f"{caller()}: labels {given[:3]}...; class indices, or names.") from err
    if source.classes and max(numbers) >= len(source.classes):
        raise ValueError(
            f"{caller()}: labels up to {max(numbers)}, and a data set of {len(source.classes)} "
            "classes; numbers of its classes, or names of the network's, would be right."
        )
    return _replaced(source, labels=np.array(numbers))


def _limited(source: Source, only: Iterable[int]) -> Source:
    given = np.asarray(list(only))
    if len(given) and given.dtype.kind not in "iu":
        raise TypeError(
            f"{caller()}: only= {given[:3].tolist()}...; positions, which are whole numbers. Of a "
            "mask they are np.flatnonzero(mask)."
        )
    chosen = np.unique(given).astype(np.int64)
    _check_positions(chosen, source.count)
    outside = np.setdiff1d(chosen, source.drawn())
    if len(outside):
        raise ValueError(
            f"{caller()}: only= with image {outside[0]}, which is not in the Subset; positions in "
            f"its data set would be right, as {source.drawn()[:3].tolist()}."
        )
    return _replaced(source, only=chosen)


def _check_positions(ascending: Ints, count: int) -> None:
    if not len(ascending) or ascending[0] < 0 or ascending[-1] >= count:
        raise ValueError(
            f"{caller()}: positions {list(ascending[:1])} to {list(ascending[-1:])} of {count} "
            f"images; at least one, from 0 to {count - 1}."
        )


def _replaced(source: Source, **changes: Any) -> Source:
    return dataclasses.replace(source, **changes)
