"""The targets of a loss, read as the meaning of the output has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from resviz.arguments import caller
from resviz.networks.outputs import HOW_TO_SAY, UNSAID, Output, widened


def check_targets(targets: Any, logits: Tensor) -> Tensor:
    """Class indices on the device of `logits`, one per image.

    Raises:
        TypeError: not integers.
        ValueError: not as many as images, or outside 0..C-1.
    """
    chosen = _tensor(targets, "class indices are integers")
    if chosen.is_floating_point() or chosen.dtype == torch.bool:
        raise TypeError(f"{caller()}: targets are {chosen.dtype}; class indices are integers.")
    if chosen.shape != logits.shape[:1]:
        raise ValueError(
            f"{caller()}: targets of shape {tuple(chosen.shape)} for {len(logits)} images; one "
            f"class index per image would be right{_hint(chosen, logits)}."
        )
    _check_range(chosen, logits.shape[1])
    return chosen.to(logits.device, torch.int64)


def _hint(chosen: Tensor, logits: Tensor) -> str:
    if chosen.shape != logits.shape:
        return ""
    return f", or a preset that says what the output is: {HOW_TO_SAY}"


def scored_targets(targets: Any, logits: Tensor, output: Output) -> Tensor:
    """Targets of which the score itself is asked for: (N,) indices, or marks of several labels."""
    scores = output.scores(logits)
    if output.kind == "map" and _tensor(targets, "class indices are integers").ndim > 1:
        return _positions(targets, logits)
    if output.kind == "labels" and getattr(targets, "ndim", 1) == 2:
        return _marks(targets, logits)
    return check_targets(targets, scores)


def read_targets(targets: Any, logits: Tensor, output: Output) -> Tensor:
    """Targets of a loss by name, on the device of the logits.

    Args:
        targets: (N,) class indices; of labels (N, C) zeros and ones or N lists of indices; of a
            logit (N,) zeros and ones; of values (N,) or (N, K); of a map (N, H, W).
        logits: the output.
        output: what it means.

    Raises:
        TypeError, ValueError: targets that do not fit it.
    """
    if output.kind == UNSAID:
        raise ValueError(
            f"{caller()}: targets of one output whose meaning nobody said; a preset that says it "
            f"would be right: {HOW_TO_SAY}. Or a loss of your own."
        )
    if output.kind == "classes":
        return check_targets(targets, logits)
    if output.kind == "labels":
        return _marks(targets, logits)
    if output.kind == "logit":
        return _sides(targets, logits)
    if output.kind == "values":
        return _values(targets, logits)
    return _positions(targets, logits)


def _marks(targets: Any, logits: Tensor) -> Tensor:
    """(N, C) of 0 to 1 for labels, from such numbers or from lists of the labels of each image."""
    labels = logits.shape[1]
    rows = targets if isinstance(targets, list | tuple) else []
    indices = _label_indices(rows, labels)
    if indices is not None:
        marks = torch.zeros(len(rows), labels)
        for image, row in enumerate(indices):
            _check_range(row, labels)
            marks[image, row] = 1
    else:
        marks = _tensor(targets, f"{tuple(logits.shape)} of 0 and 1").float()
    if marks.shape != logits.shape:
        raise ValueError(
            f"{caller()}: targets of shape {tuple(marks.shape)} for labels {tuple(logits.shape)}; "
            "0 or 1 for every label, or a list of label indices for each image, would be right."
        )
    return _between(marks).to(logits.device)


def _label_indices(rows: Sequence[Any], labels: int) -> list[Tensor] | None:
    """Lists of the labels of each image; None for marks, and what is no list of lists.

    Raises:
        ValueError: lists that may be either.
    """
    if not rows or not all(isinstance(row, list | tuple) for row in rows):
        return None
    found = [_tensor(row, "label indices are integers") for row in rows]
    if any(row.is_floating_point() or row.dtype == torch.bool for row in found if len(row)):
        return None
    if any(row.ndim != 1 or len(set(row.tolist())) < len(row) for row in found):
        return None
    if all(len(row) == labels and set(row.tolist()) <= {0, 1} for row in found):
        if labels == 1 and any(map(bool, found)):  # there is no label 1
            return None
        raise ValueError(
            f"{caller()}: targets such as {rows[0]!r} of {labels} labels, which may be marks or "
            f"indices; a tensor {(len(rows), labels)} of 0 and 1 would be right."
        )
    return [row.long() for row in found]


def _sides(targets: Any, logits: Tensor) -> Tensor:
    """(N,) of 0 to 1 for one logit."""
    sides = _tensor(targets, "0 or 1 for each image").float()
    if sides.numel() != len(logits) or sides.shape[:1] != logits.shape[:1]:
        raise ValueError(
            f"{caller()}: targets of shape {tuple(sides.shape)} for {len(logits)} images; 0 or 1 "
            "for each would be right."
        )
    return _between(sides.reshape(-1)).to(logits.device)


def _between(marks: Tensor) -> Tensor:
    if not bool(((marks >= 0) & (marks <= 1)).all()):
        raise ValueError(f"{caller()}: targets from {marks.min():g} to {marks.max():g}; 0 to 1.")
    return marks


def _values(targets: Any, logits: Tensor) -> Tensor:
    """(N, K) for values."""
    wide = logits if logits.ndim == 2 else logits[:, None]
    values = widened(_tensor(targets, "numbers"))
    values = values[:, None] if values.ndim == 1 and wide.shape[1] == 1 else values
    if values.shape != wide.shape:
        raise ValueError(
            f"{caller()}: targets of shape {tuple(values.shape)} for values "
            f"{tuple(logits.shape)}; the same shape would be right."
        )
    return values.to(logits.device)


def _positions(targets: Any, logits: Tensor) -> Tensor:
    """(N, H, W) class indices, or 0 to 1 for the one channel."""
    chosen = _tensor(targets, "a class for every position")
    size = (len(logits), *logits.shape[2:])
    one = logits.shape[1] == 1
    if one and chosen.shape == logits.shape:
        chosen = chosen[:, 0]
    if tuple(chosen.shape) != size or (chosen.is_floating_point() and not one):
        raise ValueError(
            f"{caller()}: targets of shape {tuple(chosen.shape)}, {chosen.dtype}, for a map "
            f"{tuple(logits.shape)}; {'0 to 1' if one else 'integers'} {size} would be right."
        )
    if one:
        return _between(chosen.float()).to(logits.device)
    _check_range(chosen, logits.shape[1])
    return chosen.to(logits.device, torch.int64)


def as_tensor(targets: Any) -> Tensor:
    """``torch.as_tensor``; of one that was made under ``inference_mode`` a copy.

    A loss saves its targets for the backward pass, which torch refuses for those.
    """
    found = torch.as_tensor(targets)
    return found.clone() if found.is_inference() else found


def _tensor(targets: Any, right: str) -> Tensor:
    try:
        return as_tensor(targets)
    except (TypeError, ValueError, RuntimeError) as err:
        raise TypeError(f"{caller()}: targets {targets!r}; {right}.") from err


def _check_range(chosen: Tensor, classes: int) -> None:
    wrong = chosen[(chosen < 0) | (chosen >= classes)]
    if wrong.numel():
        raise ValueError(
            f"{caller()}: target {int(wrong[0])} with {classes} classes; 0 to "
            f"{classes - 1} would be right."
        )
