"""What a user gives to be scanned: data sets, loaders, folders, files, tensors; labels, a part."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
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
from resviz.images.loading import SUFFIXES
from resviz.preset import Preset
from resviz.scanning.batch import Ints
from resviz.scanning.sources import Source, Stream

# a data set, and labels of its images
Data = Dataset[Any] | DataLoader[Any] | Tensor | str | os.PathLike[str] | Sequence[Any]
Labels = Sequence[int | str] | NDArray[np.generic] | Tensor


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
    return _replaced(found, labels=labels, classes=tuple(_name_of(each.name) for each in classes))


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
    names = tuple(_name_of(os.path.relpath(f, root) if root is not None else f) for f in files)
    return Source([os.fspath(file) for file in files], len(files), names, preset=preset)


def _name_of(file: str | os.PathLike[str]) -> str:
    """As text, where UTF-8 has none with the numbers of its bytes."""
    return os.fsencode(file).decode("utf-8", "backslashreplace")


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
