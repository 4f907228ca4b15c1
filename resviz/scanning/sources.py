"""What a scan reads: images one at a time, by position, or as a stream.

Nothing but the position tells images apart: top images and parts of a scan are known by it.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from resviz.arguments import caller
from resviz.images.fitting import fitted
from resviz.images.reading import planes
from resviz.preset import Preset
from resviz.scanning.batch import Ints
from resviz.scanning.labels import classes_of

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
        reason = " ".join(f"{type(err).__name__}: {err}".split())
        return position, None, -1, reason.encode(errors="backslashreplace").decode()
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
