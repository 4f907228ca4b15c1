"""What comes out of a network: which part of it is the output, and what its numbers mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from resviz.arguments import caller
from resviz.errors import NonFinite, UnknownOutput, warn
from resviz.given import Inputs
from resviz.hooks import left_as_found
from resviz.preset import Preset
from resviz.torch_private import is_made_by_sigmoid

UNSAID = "unsaid"  # in place of a kind, where the shape leaves it open


@dataclass(frozen=True)
class Output:
    """What a network's output means: as its preset says, else by its shape where that is safe.

    A *target* is one thing the output speaks for: a class, a label, a value, one of the two sides
    of a logit.

    Attributes:
        kind: one of :data:`resviz.preset.OUTPUTS`, or "unsaid".
        names: of the targets, in order; empty where nobody knows.
        units: of "values".
        said: by the preset, and not read off the shape.
        part: which part of what the network returns is the output, as `Preset.logits` says.
        axes: how many its input has, N and C included; 0 where nobody said.
    """

    kind: str = UNSAID
    names: tuple[str, ...] = ()
    units: str = ""
    said: bool = False
    part: str | int | None = None
    axes: int = 0

    # ---- reading
    def logits(self, returned: Any) -> Tensor:
        """The output tensor in what the network returned; of a map always with channels."""
        return self._with_channels(logits_of(returned, self.part))

    def tensor_or_none(self, returned: Any) -> Tensor | None:
        """The same, None where there is none."""
        found = tensor_or_none(returned, self.part)
        return None if found is None else self._with_channels(found)

    def _with_channels(self, logits: Tensor) -> Tensor:
        """(N, H, W) for images (N, C, H, W) is one logit per pixel: (N, 1, H, W)."""
        squeezed = self.kind == "map" and 1 < logits.ndim == self.axes - 1
        return logits[:, None] if squeezed else logits

    def seen(self, logits: Tensor | None) -> Output:
        """Itself with its kind, now that there is an output to read the shape of.

        Without one, "none", whatever the preset says: who needs its numbers asks for them first.

        Raises:
            ValueError: a shape that does not fit what the preset says.
        """
        if logits is None:
            return replace(self, kind="none", said=self.said and self.kind == "none")
        if not self.said:
            return replace(self, kind=_kind_of(logits, self.names))._of_foreground(logits)
        if self.kind != "none":
            self._check_shape(logits)
        return self._of_foreground(logits)

    def _of_foreground(self, logits: Tensor | None) -> Output:
        """Of one logit per pixel and two names, the one that a positive logit speaks for."""
        one = self.kind == "map" and logits is not None and logits.shape[1] == 1
        return replace(self, names=self.names[1:]) if one and len(self.names) == 2 else self

    def _check_shape(self, logits: Tensor) -> None:
        shape = tuple(logits.shape)
        right, fits = {
            "classes": ("(N, C), C from 2", len(shape) == 2 and shape[-1] > 1),
            "labels": ("(N, C)", len(shape) == 2),
            "logit": ("(N,) or (N, 1)", len(shape) == 1 or shape[1:] == (1,)),
            "values": ("(N,) or (N, K)", len(shape) in (1, 2)),
            "map": ("(N, C, H, W), or (N, H, W) of one logit", len(shape) > 2),
        }[self.kind]
        if not fits:
            raise ValueError(
                f"{caller()}: output {self.kind!r} in the preset, and the network gives "
                f"{shape}; {right} would be right. See rv.Preset(output=...)."
            )

    # ---- its numbers
    def scores(self, logits: Tensor) -> Tensor:
        """(N, T) or (N, T, H, W): a score per target, whose gradient is what speaks for it.

        The logits themselves; of one logit z its two sides -z and z.
        """
        wide = widened(logits)
        wide = wide[:, None] if wide.ndim == 1 else wide
        return torch.cat([-wide, wide], 1) if self.kind == "logit" else wide

    def probabilities(self, logits: Tensor) -> Tensor | None:
        """(N, T) or (N, T, H, W) probability per target; None where the output has none.

        Softmax over classes; an independent sigmoid per label, of one logit and what is left of 1,
        and of the one channel of a map.
        """
        scores = self.scores(logits)
        if self.kind == "classes" or (self.kind == "map" and scores.shape[1] > 1):
            return scores.softmax(1)
        return scores.sigmoid() if self.kind in ("labels", "logit", "map") else None

    def numbers(self, logits: Tensor) -> tuple[str, Tensor]:
        """(what they are, (N, T) of them): what the output says of each target.

        "probability"; of a map "share", of the positions that say it; "value" where the output has
        no probabilities.
        """
        sure = self.probabilities(logits)
        if sure is None:
            return "value", self.scores(logits)
        if self.kind != "map":
            return "probability", sure
        if sure.shape[1] == 1:
            return "share", (sure > 0.5).flatten(2).float().mean(2)
        said = nn.functional.one_hot(sure.argmax(1), sure.shape[1])
        return "share", said.flatten(1, -2).float().mean(1)

    def ranked(self, logits: Tensor, numbers: Tensor) -> Tensor:
        """(N, T) targets, best first: by score, since rounding makes probabilities equal.

        Args:
            logits: the output.
            numbers: as :meth:`numbers` gives them; of a map the only ones that rank.
        """
        scores = self.scores(logits)
        known = scores if scores.ndim == numbers.ndim else numbers
        return known.argsort(dim=1, descending=True, stable=True)

    def warn_of_probabilities(
        self, logits: Tensor, again: Callable[[], Tensor] | None = None
    ) -> None:
        """Warn where what should be logits are probabilities: a softmax would follow a softmax.

        Args:
            logits: the output.
            again: gives an output with its graph, which tells a sigmoid from a linear layer whose
                outputs happen to lie between 0 and 1: for logits without one.
        """
        if self.kind not in ("classes", "labels", "logit", "map") or not bool(
            ((logits >= 0) & (logits <= 1.001)).all()
        ):
            return
        layer = self._last_layer(logits, again)
        if layer:
            how = "sum to 1" if layer == "softmax" else "come from a sigmoid"
            labels = layer == "sigmoid" and self.kind == "classes"
            more = ' with rv.Preset(output="labels")' if labels else ""
            warn(
                f"{caller()}: outputs of each image that {how}, as probabilities do, and are "
                f"read as logits; the network without its {layer} would be right{more}."
            )

    def _last_layer(self, logits: Tensor, again: Callable[[], Tensor] | None) -> str:
        """What made numbers between 0 and 1: "softmax", "sigmoid", or nothing that is known."""
        exclusive = self.kind == "classes" or (self.kind == "map" and logits.shape[1] > 1)
        if exclusive:
            off = (logits.detach().double().sum(1) - 1).abs()
            if bool((off < 1e-3).all()):
                return "softmax"
        known = again() if logits.grad_fn is None and again is not None else logits
        return "sigmoid" if is_made_by_sigmoid(known) else ""

    def with_graph(self, net: nn.Module, inputs: Inputs) -> Tensor:
        """The output of the first image, with its graph where there can be one."""
        can = not any(parameter.is_inference() for parameter in net.parameters())
        with left_as_found(net, grad=can, parameters=can):
            one = inputs.one()
            # copies of the leaves: a network may write over its input
            return self.logits((one.leaves().each(torch.clone) if can else one.copies()).run(net))

    def predicted(self, scores: Tensor) -> Tensor:
        """(N,) the target that scores (N, T) say: the largest class or label, a logit's side.

        Raises:
            ValueError: several values, of which none is "predicted".
        """
        if self.kind == "values" and scores.shape[1] > 1:
            names = [self.name(index) for index in range(min(scores.shape[1], 5))]
            raise ValueError(
                f"{caller()}: {scores.shape[1]} values and no target; one of them would be right: "
                f"{', '.join(names)}."
            )
        return scores.detach().argmax(1)

    # ---- words
    def name(self, index: int) -> str:
        """Of a target."""
        if index < len(self.names):
            return self.names[index]
        return f"{noun_of(self.kind)} {index}"

    def about(self) -> dict[str, Any]:
        """What a record holds of it."""
        known: dict[str, Any] = {"output": self.kind, "output_said": self.said}
        return known | ({"units": self.units} if self.units else {})


OUTPUT_KEYS = ("output", "output_said", "units")  # of `Output.about`
_NOUNS = {"labels": "label", "values": "value", UNSAID: "output"}


def noun_of(kind: str) -> str:
    """What one target of such an output is: "class", "label", "value"."""
    return _NOUNS.get(kind, "class")


# for people, by kind
WORDS = {
    "classes": "softmax over classes",
    "labels": "independent labels",
    "logit": "one logit, two classes",
    "values": "values",
    "map": "a map",
    "none": "features",
    UNSAID: "an output of unsaid meaning",
}
HOW_TO_SAY = (
    "rv.Preset(..., output='logit') for two classes, 'values' for a regression, 'labels' for "
    "independent labels"
)


def output_of(preset: Preset | None, inputs: Inputs | None = None) -> Output:
    """What a preset says of the output; nothing yet of its kind where it says none.

    `inputs` are what the network makes it of: their axes tell (N, H, W) of images, one logit per
    pixel, from (N, K, L) of signals, K classes.
    """
    axes = 0 if inputs is None else len(inputs.shape)
    if preset is None:
        return Output(axes=axes)
    kind, said = preset.output or UNSAID, preset.output is not None
    return Output(kind, preset.classes, preset.units, said, preset.logits, axes)


def of_record(about: Mapping[str, Any], logits: Tensor | None) -> Output:
    """What a record says of the output it holds; older ones say nothing but the classes' names."""
    names = tuple(str(each) for each in about.get("classes") or ())
    said = bool(about.get("output_said", False))
    output = Output(str(about.get("output") or UNSAID), names, str(about.get("units", "")), said)
    read = output._of_foreground if "output" in about else output.seen
    output = read(logits)
    known = 0 if logits is None or logits.ndim == 0 else output.scores(logits).shape[1]
    return output if len(output.names) == known else replace(output, names=())


def _kind_of(logits: Tensor, names: Sequence[str]) -> str:
    """The kind where the shape leaves no doubt; one output may be a logit or a value."""
    if logits.ndim == 2 and logits.shape[1] > 1:
        return "classes"
    if logits.ndim == 4:
        return "map"
    one = logits.ndim == 1 or tuple(logits.shape[1:]) == (1,)
    return "logit" if one and len(names) == 2 else UNSAID


def check_finite(logits: Tensor) -> Tensor:
    """Themselves.

    Raises:
        NonFinite: NaN or infinity, which have an argmax and no meaning.
    """
    finite = torch.isfinite(logits).reshape(len(logits), -1).all(1)
    if not finite.all():
        broken = (~finite).nonzero().flatten().tolist()
        raise NonFinite(
            f"{caller()}: logits that are NaN or infinite for image {broken[0]} ({len(broken)} of "
            f"{len(logits)} images); finite numbers. rv.record names the layer where it starts."
        )
    return logits


# ---- which part of what is returned
def logits_of(returned: Any, part: str | int | None = None) -> Tensor:
    """The output tensor in what a network returned.

    A tensor; the field ``logits`` (or ``out``, as torchvision's segmentation networks call it); the
    only tensor in a tuple or a list. Of several tensors none is believed: `part`, which
    `Preset.logits` says, picks one by its position or name.

    Raises:
        UnknownOutput: no such tensor, or several.
    """
    found = tensor_or_none(returned, part)
    if found is None:
        right = (
            "a tensor, a field 'logits' or 'out', or a tuple with one tensor is read"
            if part is None
            else f"Preset(logits={part!r}) should pick a tensor there"
        )
        raise UnknownOutput(
            f"{caller()}: the network returned {describe(returned)}, and no part of it is known to "
            f"be its output; {right}. Say which: rv.Preset(..., logits=name or position)."
        )
    return found


def tensor_or_none(returned: Any, part: str | int | None = None) -> Tensor | None:
    """The same, None where there is none: a detector's boxes, complex numbers."""
    found = _found(returned) if part is None else _picked(returned, part)
    if found is None or found.is_complex():
        return None
    return found[None] if found.ndim == 0 else found  # (N,) squeezed where N is 1


def _found(returned: Any) -> Tensor | None:
    if isinstance(returned, Tensor):
        return returned
    if isinstance(returned, Mapping):
        named = returned.get("logits", returned.get("out"))
    else:
        named = getattr(returned, "logits", None)
    if named is None and isinstance(returned, tuple | list):
        tensors = [each for each in returned if isinstance(each, Tensor)]
        named = tensors[0] if len(tensors) == 1 else None
    return named if isinstance(named, Tensor) else None


def _picked(returned: Any, part: str | int) -> Tensor | None:
    if isinstance(returned, Tensor):
        return None
    try:
        value = returned[part]
    except (LookupError, TypeError):
        value = getattr(returned, str(part), None)
    return value if isinstance(value, Tensor) else None


def describe(value: Any) -> str:
    """The shape of an output in words: ``"a list of 1: {'boxes': (0, 4), 'scores': (0,)}"``."""
    if isinstance(value, Tensor):
        return f"{tuple(value.shape)}" + (" of complex numbers" if value.is_complex() else "")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k!r}: {describe(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        inside = ", ".join(describe(each) for each in value[:4]) if value else "nothing"
        more = ", ..." if len(value) > 4 else ""
        return f"a {type(value).__name__} of {len(value)}: {inside}{more}"
    return type(value).__name__


def widened(tensor: Tensor) -> Tensor:
    """In float32 or better: half precision is for passes, not for what is computed of them."""
    return tensor if tensor.dtype == torch.float64 or tensor.is_complex() else tensor.float()


def in_full(tensor: Tensor) -> AbstractContextManager[Any]:
    """Without the user's autocast, which is for passes likewise: it would multiply in half."""
    kind = tensor.device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()


def missed(logits: Tensor, truth: Tensor) -> Tensor:
    """(N,) 1 where not the true class has the largest of (N, C) logits, else 0; NaN where one is.

    NaN has an argmax: without that a network that diverged would have an error like any other.
    """
    wrong = (logits.argmax(1) != truth).to(logits.dtype)
    return torch.where(logits.isnan().any(1), torch.nan, wrong)
