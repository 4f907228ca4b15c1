"""What a method is: a function, how it is called, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from resviz.attribution.layer import Layer
from resviz.attribution.methods.options import Option
from resviz.attribution.shared_pass import Contrast, SharedPass
from resviz.attribution.targets import Targets


@dataclass(frozen=True)
class Form:
    """How a function makes maps, and what it needs of the shared pass.

    Attributes:
        kind: what it is computed from, in a word.
        call: the maps (N, T, h, w) of a method that was asked for, at a layer.
        gradients: it needs those at the layers, and so backward passes.
        passes: it runs further ones of its own, over other pictures than the batch.
        formula: it is one of activations and gradients, and made together with the others.
    """

    kind: str
    call: Callable[[Asked, SharedPass, Layer], Tensor]
    gradients: bool = False
    passes: bool = False
    formula: bool = False


@dataclass(frozen=True)
class Method:
    """A row of the registry.

    Attributes:
        function: of the maps; its docstring's first line is the definition, up to ": ". Its
            arguments are those that the form says; options follow by name.
        form: how it is called: see :data:`GRADIENTS` and its neighbours.
        at: "layer": a map per layer; "input": one at the input's resolution, under the layer name
            "input"; "both": at the input's resolution, one per layer.
        cost: passes for each image, in words.
        paper: author, year and identifier. link: where to read it.
        signed: negative values are kept; a method without has a last ReLU, or none are possible.
        positive: it weights by positive gradients alone: blank where no gradient is positive.
        options: what can be set: their defaults and checks.
        tokens: whether it takes ids (N, T), whose numbers cannot be scaled; methods that go through
            the embedding do.
        contrast: (targets, output, **options) -> targets whose scores are differentiated in place
            of the targets' own.
    """

    function: Callable[..., Tensor]
    form: Form
    at: str
    cost: str
    paper: str
    link: str
    signed: bool = False
    positive: bool = False
    tokens: bool = True
    options: Mapping[str, Option] = field(default_factory=dict)
    contrast: Callable[..., Targets] | None = None

    @property
    def kind(self) -> str:
        """What it is computed from: "gradients", "activations", "head", "masks" or "captum"."""
        return self.form.kind

    @property
    def over_input(self) -> bool:
        """Whether it works on the input itself, and so must know which axis is which there."""
        return self.at != "layer" or self.function.__name__ == "score_cam"

    @property
    def definition(self) -> str:
        """What the map is, with its equation."""
        lines = (self.function.__doc__ or "").strip().splitlines()
        return lines[0].partition(": ")[0] if lines else ""


@dataclass(frozen=True, eq=False)
class Asked:
    """A method and its options."""

    name: str
    method: Method
    options: dict[str, Any]

    @cached_property
    def function(self) -> Callable[..., Tensor]:
        """The method's, with its options; a contrast takes them where there is one."""
        bare = not self.options or self.method.contrast is not None
        return self.method.function if bare else partial(self.method.function, **self.options)

    @cached_property
    def contrast(self) -> Contrast | None:
        """The method's, with its options."""
        contrast = self.method.contrast
        return None if contrast is None else partial(contrast, **self.options)

    def used(self, targets: Targets) -> dict[str, Any]:
        """The options, with the number of classes that a contrast took where nobody said."""
        if "references" not in self.options:
            return self.options
        return self.options | {"references": targets.references(self.options["references"])}

    def run(self, shared: SharedPass, layer: Layer) -> Tensor:
        """(N, T, h, w) at a layer, up to the last ReLU."""
        return self.method.form.call(self, shared, layer)


# ---- the ways to call a function
def _of_gradients(asked: Asked, shared: SharedPass, layer: Layer) -> Tensor:
    return shared.of_gradients(asked.function, layer, asked.contrast)


def _of_activations(asked: Asked, shared: SharedPass, layer: Layer) -> Tensor:
    return shared.of_activations(asked.function, layer)


def _whole(asked: Asked, shared: SharedPass, layer: Layer) -> Tensor:
    return asked.function(shared, layer)


def _each_image(asked: Asked, shared: SharedPass, layer: Layer) -> Tensor:
    return torch.stack([asked.function(shared.scorer, image) for image in shared.images])


# (activations, gradients) -> (n, h, w)
GRADIENTS = Form("gradients", _of_gradients, gradients=True, formula=True)
# (activations, _) -> (n, h, w)
ACTIVATIONS = Form("activations", _of_activations)
# (shared pass, layer) -> (N, T, h, w)
HEAD = Form("head", _whole)
MASKED_LAYER = Form("masks", _whole, passes=True)
GUIDED_LAYER = Form("captum", _whole, gradients=True, passes=True)
# (scorer, image) -> (T, H, W), over the pixels
MASKED_PIXELS = Form("masks", _each_image, passes=True)
CAPTUM = Form("captum", _each_image, passes=True)
