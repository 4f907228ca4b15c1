"""What was given as targets, as N lists of :class:`Target`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from resviz.arguments import caller
from resviz.attribution.target import Target, target
from resviz.networks.outputs import HOW_TO_SAY, Output


def rows_of(given: Any, count: int, output: Output, scores: Tensor) -> list[list[Target]]:
    """N lists of targets, at least one each; as many as each image has.

    Args:
        given: None, one target, N targets, N lists, or, for labels, (N, C) zeros and ones.
        count: N.
        output: what the network's output means.
        scores: (N, T, ...) of every target.

    Raises:
        TypeError: what is no target.
        ValueError: as many rows as there are no images, a row without targets, what could be
            indices or a multi-hot tensor, or no targets where none is predicted.
    """
    if given is None:
        rows: list[Any] = predicted(output, scores)
    elif _is_multi_hot(given, count, scores.shape[1]):
        rows = _of_multi_hot(given, output)
    else:
        listed = given.tolist() if hasattr(given, "tolist") else given
        alone = isinstance(listed, str | Target) or not isinstance(listed, Iterable)
        rows = [listed] * count if alone else list(listed)
    if len(rows) != count:
        raise ValueError(
            f"{caller()}: {len(rows)} targets for {count} images; one per image "
            "would be right, or a list of targets per image."
        )
    several = [list(row) if isinstance(row, list | tuple) else [row] for row in rows]
    empty = next((image for image, row in enumerate(several) if not row), None)
    if empty is not None:
        raise ValueError(f"{caller()}: no target for image {empty}; at least one for each.")
    return [[_as_target(each) for each in row] for row in several]


def predicted(output: Output, scores: Tensor) -> list[int]:
    """Where nobody says: the predicted target of each image; of one channel or value, that.

    Raises:
        ValueError: a map of several classes, of which no single one is predicted; several values.
    """
    if scores.ndim == 2:
        return output.predicted(scores).tolist()
    if scores.shape[1] == 1:
        return [0] * len(scores)
    shares = scores.argmax(1).flatten().bincount().float() / scores[:, 0].numel()
    seen = [f"{output.name(i)} ({shares[i]:.0%})" for i in shares.argsort(descending=True).tolist()]
    raise ValueError(
        f"{caller()}: no targets, and the network gives a map per class, "
        f"{tuple(scores.shape)}, so no single class is predicted; a class would be right. Seen "
        f"in the pixels: {', '.join(seen[:5])}."
    )


def _is_multi_hot(given: Any, count: int, targets: int) -> bool:
    """Whether a tensor or array (N, T) holds zeros and ones alone; lists always hold indices."""
    if not hasattr(given, "tolist") or tuple(getattr(given, "shape", ())) != (count, targets):
        return False
    values = torch.as_tensor(given)
    return targets > 1 and bool(((values == 0) | (values == 1)).all())


def _of_multi_hot(given: Any, output: Output) -> list[list[int]]:
    if output.kind != "labels":
        raise ValueError(
            f"{caller()}: targets of shape {tuple(given.shape)}, all 0 or 1, could be class "
            "indices or a mark for every label; lists of class indices would be right, or a preset "
            f"that says what the output is: {HOW_TO_SAY}."
        )
    return [[index for index, value in enumerate(row) if value] for row in given.tolist()]


def _as_target(given: Any) -> Target:
    if isinstance(given, Target):
        return given
    if isinstance(given, bool):
        raise ValueError(f"{caller()}: target {given}; a class index would be right.")
    try:
        return target(given)
    except TypeError as err:
        raise TypeError(
            f"{caller()}: a target of type {type(given).__name__}; a class index, a class "
            "name, rv.target(...) or, for all images, a function of the output."
        ) from err
