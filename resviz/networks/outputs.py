"""What comes out of a network: which part of it is the output, and what its numbers mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from resviz.arguments import caller
from resviz.preset import Preset

UNSAID = "unsaid"  # in place of a kind, where the shape leaves it open


@dataclass(frozen=True)
class Output:
    """What a network's output means: read off its preset, or off its shape where that is safe.

    Attributes:
        kind: one of :data:`resviz.preset.OUTPUTS`, or "unsaid".
        names: of the targets, in order; empty where nobody knows.
        units: of "values".
        said: by the preset, and not read off the shape.
        part: which part of what the network returns is the output, as `Preset.logits` says.
    """

    kind: str = UNSAID
    names: tuple[str, ...] = ()
    units: str = ""
    said: bool = False
    part: str | int | None = None

    # ---- reading
    def logits(self, returned: Any) -> Tensor:
        """The tensor in what a network returned."""
        return logits_of(returned, self.part)

    def seen(self, returned: Any) -> Output:
        """Itself with its kind, now that something is there to read the shape of.

        Raises:
            ValueError: a shape that does not fit what the preset says.
        """
        logits = tensor_or_none(returned, self.part)
        if self.said:
            if self.kind != "none":
                _check_shape(self, logits)
            return self
        return replace(self, kind=_kind_of(logits, self.names))

    @property
    def targets(self) -> int | None:
        """How many targets there are, where the kind alone says it."""
        return 2 if self.kind == "logit" else None

    def count(self, logits: Tensor) -> int:
        """How many targets there are."""
        return self.targets or (1 if logits.ndim == 1 else logits.shape[1])

    def scores(self, logits: Tensor) -> Tensor:
        """(N, T) or (N, T, H, W): a score per target, whose gradient is what speaks for it.

        The logits themselves; of one logit z the two sides -z and z.
        """
        wide = widened(logits)
        wide = wide[:, None] if wide.ndim == 1 else wide
        return torch.cat([-wide, wide], 1) if self.kind == "logit" else wide

    def probabilities(self, logits: Tensor) -> Tensor | None:
        """(N, T) probability per target; None where the output has none.

        Softmax over classes, an independent sigmoid per label, the sigmoid of one logit and what is
        left of 1. Over a map per position: softmax over its classes, the sigmoid of one channel.
        """
        scores = self.scores(logits)
        if self.kind == "classes" or (self.kind == "map" and scores.shape[1] > 1):
            return scores.softmax(1)
        if self.kind in ("labels", "logit", "map"):
            return scores.sigmoid()
        return None

    # ---- words
    def name(self, index: int) -> str:
        """Of a target."""
        if index < len(self.names):
            return self.names[index]
        return f"{self._noun} {index}"

    @property
    def _noun(self) -> str:
        return {"labels": "label", "values": "value", UNSAID: "output"}.get(self.kind, "class")

    @property
    def described(self) -> str:
        """For people: "softmax over classes"."""
        return _WORDS[self.kind] + (f" in {self.units}" if self.units else "")

    def provenance(self) -> dict[str, Any]:
        """What a record holds of it."""
        about: dict[str, Any] = {"output": self.kind, "output_said": self.said}
        return about | ({"units": self.units} if self.units else {})


_WORDS = {
    "classes": "softmax over classes",
    "labels": "independent labels",
    "logit": "one logit, two classes",
    "values": "values",
    "map": "a map",
    "none": "features",
    UNSAID: "an output whose meaning was not said",
}


def output_of(preset: Preset | None) -> Output:
    """What the preset says of the output; its kind is read off the shape where it says none."""
    if preset is None:
        return Output()
    names, kind = preset.classes, preset.output
    return Output(kind or UNSAID, names, preset.units, kind is not None, preset.logits)


def _kind_of(logits: Tensor | None, names: Sequence[str]) -> str:
    """The kind where the shape leaves no doubt; one output may be a logit or a value."""
    if logits is None:
        return "none"
    if logits.ndim == 2 and logits.shape[1] > 1:
        return "classes"
    if logits.ndim == 4:
        return "map"
    one = logits.ndim == 1 or (logits.ndim == 2 and logits.shape[1] == 1)
    return "logit" if one and len(names) == 2 else UNSAID


def _check_shape(output: Output, logits: Tensor | None) -> None:
    shape = None if logits is None else tuple(logits.shape)
    right, fits = {
        "classes": ("(N, C), C from 2", shape and len(shape) == 2 and shape[1] > 1),
        "labels": ("(N, C)", shape and len(shape) == 2),
        "logit": ("(N,) or (N, 1)", shape and (len(shape) == 1 or shape[1:] == (1,))),
        "values": ("(N,) or (N, K)", shape and len(shape) in (1, 2)),
        "map": ("(N, C, H, W)", shape and len(shape) >= 3),
    }[output.kind]
    if not fits:
        raise ValueError(
            f"{caller()}: output={output.kind!r} in the preset, and the network gives "
            f"{shape or 'no tensor'}; {right} would be right. See rv.Preset(output=...)."
        )


# ---- which part of what is returned
def logits_of(returned: Any, part: str | int | None = None) -> Tensor:
    """The output tensor in what a network returned.

    A tensor; the field ``logits`` (or ``out``, as torchvision's segmentation networks call it); the
    only tensor in a tuple or a list. Of several tensors none is believed: `part`, which
    `Preset.logits` says, picks one by its position or name.

    Raises:
        TypeError: no such tensor, or several.
    """
    found = tensor_or_none(returned, part)
    if found is None:
        right = (
            f"what Preset(logits={part!r}) picks is no tensor there"
            if part is not None
            else "a tensor, a field 'logits' or 'out', or a tuple with one tensor is read"
        )
        raise TypeError(
            f"{caller()}: the network returned {describe(returned)}, and no part of it is known to "
            f"be its output; {right}. Say which part: rv.Preset(..., logits='name' or position)."
        )
    return found


def tensor_or_none(returned: Any, part: str | int | None = None) -> Tensor | None:
    """The same, None where there is none: a detector's boxes."""
    if part is not None:
        return _picked(returned, part)
    if isinstance(returned, Tensor):
        return returned
    if isinstance(returned, Mapping):
        named = returned.get("logits", returned.get("out"))
    else:
        named = getattr(returned, "logits", None)
        if named is None and isinstance(returned, tuple | list):
            tensors = [each for each in returned if isinstance(each, Tensor)]
            named = tensors[0] if tensors else None
    return named if isinstance(named, Tensor) else None


def _picked(returned: Any, part: str | int) -> Tensor | None:
    try:
        value = returned[part]
    except (LookupError, TypeError, AttributeError):
        value = getattr(returned, str(part), None)
    return value if isinstance(value, Tensor) else None


def describe(value: Any) -> str:
    """The shape of an output in words: ``"a list of 1: {'boxes': (0, 4), 'scores': (0,)}"``."""
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k!r}: {describe(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        inside = ", ".join(describe(each) for each in value[:4]) if value else "nothing"
        more = ", ..." if len(value) > 4 else ""
        return f"a {type(value).__name__} of {len(value)}: {inside}{more}"
    return f"a {type(value).__name__}"


def widened(tensor: Tensor) -> Tensor:
    """In float32 or better: half precision is for passes, not for what is computed of them."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
