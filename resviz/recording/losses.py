"""Targets and losses: what is differentiated, per image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from resviz.arguments import caller
from resviz.networks.outputs import HOW_TO_SAY, UNSAID, WORDS, Output, widened
from resviz.recording.targets import as_tensor, read_targets, scored_targets

Loss = Callable[[Any, Any], Tensor]  # (output, targets) -> (N,)

# by name: which outputs have it
KINDS = {
    "logit": ("classes", "labels", "logit", "values", "map", UNSAID),
    "cross_entropy": ("classes", "map"),
    "bce": ("labels", "logit", "map"),
    "mse": ("values",),
}
# with targets; without, it is the score of what the network says
_DEFAULTS = {"classes": "cross_entropy", "labels": "bce", "logit": "bce", "values": "mse"}


class Chosen(NamedTuple):
    """What is differentiated.

    Attributes:
        targets: as they were read, or what the network says; None where it says nothing.
        per_image: (N,), in float32 or better; None where nothing can be differentiated.
        name: of the loss.
    """

    targets: Tensor | None
    per_image: Tensor | None
    name: str


def choose(returned: Any, targets: Any, loss: str | Loss | None, output: Output) -> Chosen:
    """Targets and loss of each image, as the meaning of the output has them.

    Without `targets`: what the network says (its class, its most probable label, the side of its
    logit, its value, its class at every position), and as the loss the score of that. With: cross-
    entropy of classes, binary cross-entropy of labels and logits (the mean over labels), squared
    error of values (the mean over them); over a map the mean over its positions.

    Args:
        returned: what the network returned.
        targets: see :func:`read_targets`; for the loss "logit" indices.
        loss: a name, or a function (output, targets) -> (N,), which gets what the network returned
            (a tensor in float32 or better) and the targets as they were given.
        output: what the output means.

    Raises:
        TypeError, ValueError: targets or a loss that do not fit the output.
    """
    if callable(loss):
        return _own(returned, targets, loss, output)
    _check_name(loss)
    logits = output.logits(returned)
    output = output.seen(logits)
    output.warn_of_probabilities(logits)
    if output.kind == "none" or (output.kind == UNSAID and output.scores(logits).ndim != 2):
        return Chosen(None, None, "none")
    if targets is not None and loss is None and output.kind == UNSAID:
        read_targets(targets, logits, output)  # which says what is missing
    name = loss or ("logit" if targets is None else _default(output, logits))
    _check_fits(name, output, logits)
    if targets is None and name == "mse":
        raise ValueError(
            f"{caller()}: loss 'mse' without targets; the true values as targets would be right. "
            "Or loss='logit'."
        )
    if targets is None:
        chosen = _said(logits, output)
    else:
        read = scored_targets if name == "logit" else read_targets
        chosen = read(targets, logits, output)
    return Chosen(chosen, _LOSSES[name](logits, chosen, output), name)


def known_targets(returned: Any, targets: Any, output: Output) -> Chosen:
    """The targets where nothing is differentiated: as given, or what the network says."""
    logits = output.tensor_or_none(returned)
    output = output.seen(logits)
    if logits is None:
        return Chosen(None, None, "")
    if targets is not None:
        return Chosen(read_targets(targets, logits, output), None, "")
    return Chosen(_said_of_images(logits, output), None, "")


def _check_name(loss: object) -> None:
    if loss is not None and not isinstance(loss, str):
        raise TypeError(f"{caller()}: loss is a {type(loss).__name__}; a name or a function.")
    if loss is not None and loss not in KINDS:
        raise ValueError(
            f"{caller()}: loss {loss!r}; one of {', '.join(KINDS)}, or a function "
            "(output, targets) -> (N,)."
        )


def _check_fits(name: str, output: Output, logits: Tensor) -> None:
    """Refuse a loss that the output does not have."""
    names = [each for each, kinds in KINDS.items() if output.kind in kinds]
    what = WORDS[output.kind]
    if output.kind == "map":
        channels = logits.shape[1]
        names.remove("cross_entropy" if channels == 1 else "bce")
        what += f" of {channels} channel{'s' * (channels > 1)}"
    if name in names:
        return
    more = ""
    if output.kind in (UNSAID, "classes"):  # what is taken where nobody says
        more = f" If the output means something else, a preset says so: {HOW_TO_SAY}."
    raise ValueError(
        f"{caller()}: loss {name!r} of {what}; one of {', '.join(names)}, or a function.{more}"
    )


def _default(output: Output, logits: Tensor) -> str:
    """The loss of given targets."""
    if output.kind == "map":
        return "bce" if logits.shape[1] == 1 else "cross_entropy"
    return _DEFAULTS.get(output.kind, "mse")


def _own(returned: Any, targets: Any, loss: Loss, output: Output) -> Chosen:
    """A loss of the user's, called with what the network returned."""
    logits = output.tensor_or_none(returned)
    given = targets
    if targets is not None:
        given = _own_targets(targets, logits)
    elif logits is not None:
        given = _said_of_images(logits, output.seen(logits))
    whole = widened(returned) if isinstance(returned, Tensor) else returned
    per_image = loss(whole, given)
    count = None if logits is None else len(logits)
    kept = given if isinstance(given, Tensor) else None
    name = getattr(loss, "__name__", type(loss).__name__)
    return Chosen(kept, _per_image(per_image, count), name)


def _own_targets(targets: Any, logits: Tensor | None) -> Any:
    """As given, as a tensor where they are numbers, beside the output."""
    try:
        given = as_tensor(targets)
    except (TypeError, ValueError, RuntimeError):
        return targets
    return given if logits is None else given.to(logits.device)


def _per_image(values: Any, count: int | None) -> Tensor:
    fits = isinstance(values, Tensor) and values.ndim == 1 and count in (None, len(values))
    if not fits:
        got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        images = "" if count is None else f" for {count} images"
        raise ValueError(
            f"{caller()}: the loss returned {got}{images}; a tensor of shape "
            "(N,), one loss per image, would be right. Use reduction='none'."
        )
    return values


# ---- losses
def _said(logits: Tensor, output: Output) -> Tensor:
    """What the network says: a target of each image, or of each position of a map."""
    scores = output.scores(logits)
    if output.kind != "map":
        return output.predicted(scores)
    one = scores.shape[1] == 1
    return (scores.detach()[:, 0] > 0).long() if one else scores.detach().argmax(1)


def _said_of_images(logits: Tensor, output: Output) -> Tensor | None:
    """(N,) the class, label or side that the network says; None of an output without those."""
    return _said(logits, output) if output.kind in ("classes", "labels", "logit") else None


def _logit(logits: Tensor, chosen: Tensor, output: Output) -> Tensor:
    scores = output.scores(logits)
    if output.kind == "map" and chosen.ndim == 1:  # one class, everywhere
        return scores[range(len(scores)), chosen].flatten(1).mean(1)
    if output.kind == "map":
        sides = torch.cat([-scores, scores], 1) if scores.shape[1] == 1 else scores
        return sides.gather(1, chosen.long()[:, None]).flatten(1).mean(1)
    if chosen.ndim == 1:
        return scores.gather(1, chosen.long()[:, None]).squeeze(1)
    return (scores * chosen).sum(1)


def _cross_entropy(logits: Tensor, chosen: Tensor, output: Output) -> Tensor:
    losses = F.cross_entropy(output.scores(logits), chosen, reduction="none")
    return losses if losses.ndim == 1 else losses.flatten(1).mean(1)


def _bce(logits: Tensor, chosen: Tensor, output: Output) -> Tensor:
    wide = widened(logits)
    if output.kind == "labels" and chosen.ndim == 1:  # the label that the network says
        chosen = F.one_hot(chosen, wide.shape[1])
    marks = chosen.to(wide.dtype).reshape(wide.shape)
    losses = F.binary_cross_entropy_with_logits(wide, marks, reduction="none")
    return losses.reshape(len(losses), -1).mean(1)


def _mse(logits: Tensor, chosen: Tensor, output: Output) -> Tensor:
    scores = output.scores(logits)
    return (scores - chosen.to(scores.dtype)).square().mean(1)


_LOSSES: dict[str, Callable[[Tensor, Tensor, Output], Tensor]] = {
    "logit": _logit,
    "cross_entropy": _cross_entropy,
    "bce": _bce,
    "mse": _mse,
}
