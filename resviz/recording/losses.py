"""Targets and losses: what is differentiated, per image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from resviz.arguments import caller

Loss = Callable[[Tensor, Tensor], Tensor]

LOSSES: dict[str, Loss] = {
    "logit": lambda logits, targets: logits.gather(1, targets[:, None]).squeeze(1),
    "cross_entropy": lambda logits, targets: F.cross_entropy(logits, targets, reduction="none"),
}


def check_targets(targets: Tensor | Sequence[int], logits: Tensor) -> Tensor:
    """Class indices on the device of `logits`, one per image.

    Raises:
        TypeError: not integers.
        ValueError: not as many as images, or outside 0..C-1.
    """
    try:
        chosen = torch.as_tensor(targets)
    except (TypeError, ValueError, RuntimeError) as err:
        raise TypeError(f"{caller()}: targets {targets!r}; class indices are integers.") from err
    if chosen.is_floating_point() or chosen.dtype == torch.bool:
        raise TypeError(f"{caller()}: targets are {chosen.dtype}; class indices are integers.")
    if chosen.shape != logits.shape[:1]:
        raise ValueError(
            f"{caller()}: targets of shape {tuple(chosen.shape)} for {len(logits)} images; one "
            "class index per image would be right."
        )
    wrong = chosen[(chosen < 0) | (chosen >= logits.shape[1])] if chosen.numel() else chosen
    if wrong.numel():
        raise ValueError(
            f"{caller()}: target {int(wrong[0])} with {logits.shape[1]} classes; 0 to "
            f"{logits.shape[1] - 1} would be right."
        )
    return chosen.to(logits.device, torch.int64)


def choose(
    logits: Tensor, targets: Tensor | Sequence[int] | None, loss: str | Loss | None
) -> tuple[Tensor | None, Tensor | None, str]:
    """(targets, loss per image, name of the loss).

    Without `targets`: the predicted classes and, as the loss, their logits. With: cross-entropy.
    The loss is computed in float32 or better.
    """
    wide = logits if logits.dtype == torch.float64 else logits.float()
    given = targets is not None
    if logits.ndim != 2:
        if not callable(loss):
            return None, None, "none"
        per_image = loss(wide, torch.as_tensor(targets) if given else logits)
        return None, _per_image(per_image, logits), _name(loss)
    chosen = check_targets(targets, logits) if targets is not None else logits.detach().argmax(1)
    function = loss if loss is not None else ("cross_entropy" if given else "logit")
    if isinstance(function, str):
        if function not in LOSSES:
            raise ValueError(
                f"{caller()}: loss {function!r}; one of {', '.join(LOSSES)}, or a function "
                "(logits, targets) -> (N,)."
            )
        return chosen, LOSSES[function](wide, chosen), function
    if not callable(function):
        raise TypeError(f"{caller()}: loss is a {type(function).__name__}; a name or a function.")
    return chosen, _per_image(function(wide, chosen), logits), _name(function)


def _per_image(values: Any, logits: Tensor) -> Tensor:
    if not isinstance(values, Tensor) or values.shape != logits.shape[:1]:
        got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(
            f"{caller()}: the loss returned {got} for {len(logits)} images; a tensor of shape "
            "(N,), one loss per image, would be right. Use reduction='none'."
        )
    return values


def _name(function: Loss) -> str:
    return getattr(function, "__name__", type(function).__name__)
