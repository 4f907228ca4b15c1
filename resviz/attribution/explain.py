"""`explain`: where in the picture the evidence for a class is."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from resviz.attribution.diagnosis import evidence, findings, untrained
from resviz.attribution.engine import Captured, capture
from resviz.attribution.explanation import Explanation
from resviz.attribution.head import AllClasses, find_head
from resviz.attribution.layers import Layer, key_of, read_layers
from resviz.attribution.methods import METHODS, Asked, check_passes, read_methods
from resviz.attribution.positions import Reshape
from resviz.attribution.scoring import Scorer
from resviz.attribution.split import Split
from resviz.attribution.split import split as split_at
from resviz.attribution.targets import Targets
from resviz.errors import NonFinite, ResvizWarning
from resviz.hooks import gradients
from resviz.networks.inputs import check_hookable, check_images
from resviz.preset import Preset
from resviz.provenance import displayed, preset_or_none, provenance

INPUT = "input"  # the layer name of maps over the pixels themselves
_CACHE = 4 * 2**20  # bytes of activations that a CPU keeps close while it makes maps of them

Maps = dict[tuple[str, str], Tensor]


def explain(
    net: nn.Module,
    images: Tensor | tuple[Tensor, ...],
    targets: Any = None,
    *,
    methods: str | Sequence[str] = "grad_cam",
    layers: str | Layer | Sequence[str | Layer] = "auto",
    preset: Preset | None = None,
    relu: bool = True,
    split: bool = False,
    batch_stats: bool = False,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    chunk: int | None = None,
    progress: bool | None = None,
    reshape: Reshape | None = None,
) -> Explanation:
    """Maps of several methods at several layers, from one forward pass and one backward per target.

    All methods made of activations and gradients share those passes, at all layers; methods that
    mask or perturb run their own. The map of a layer explains exactly the tensor that the module
    returned, before any later in-place operation. The network is run in eval mode and left as it
    was, also after an interrupt; ``.grad`` is never touched. Works under ``no_grad`` and
    ``inference_mode``, with frozen parameters, under autocast and in any dtype: maps are computed
    in float32 or better.

    Args:
        net: any network whose chosen layers have positions: (N, C, H, W), channels last as in Swin,
            or tokens of patches as in ViT.
        images: (N, 3, H, W) as the network wants them; a tuple for several inputs, of which the
            first is the picture.
        targets: None, each image's predicted class; one class (index or name) for all; N classes;
            N lists of T classes; ``rv.target("a") - rv.target("b")`` in their place; a function
            (output) -> (N,), or a list of functions. See :func:`resviz.target` for regions of a
            segmentation.
        methods: names; :func:`resviz.explanation_methods` lists them with their papers.
        layers: dotted paths, (path, call) for a module that runs several times, "auto": the last
            layer with positions, or "blocks": every residual block.
        preset: for class names and pictures, instead of the network's own.
        relu: the last ReLU of the CAM family; False keeps what speaks against the target.
        split: also divide each block's Grad-CAM between branch and shortcut:
            :meth:`Explanation.split`.
        batch_stats: BatchNorm on this batch's own statistics, as in training; only for methods that
            need no further passes.
        options: of methods, ``{"integrated_gradients": {"steps": 100}}``.
        chunk: how many masked or perturbed pictures run at once; None: 8 on a CPU, 64 on a GPU.
        progress: None shows a bar over what takes more than a second, False never.
        reshape: from a layer's output to (N, C, h, w), where the shape alone does not tell.

    Returns:
        An :class:`Explanation`; ``maps[method, layer]`` is (N, T, h, w), raw. Maps over the input's
        pixels have the layer "input".

    Raises:
        NonFinite: a map holds NaN or infinity.
        NotTraceable: a scripted or compiled network.
        RuntimeError: parameters made under ``inference_mode``, which cannot be differentiated.
        TypeError: arguments of a wrong type.
        ValueError: an unknown method, layer or option; a layer that never ran, has no positions or
            does not reach the target; targets out of range or too few; images of a wrong shape; a
            method that this network does not allow.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> exp = explain(cifar_resnet(20, seed=0), torch.ones(1, 3, 32, 32), 3, layers="layer3")
        >>> exp.maps["grad_cam", "layer3"].shape
        torch.Size([1, 1, 8, 8])
    """
    check_hookable("explain", net)
    asked = read_methods(methods, options)
    check_passes(asked, batch_stats, chunk)
    inputs = check_images("explain", net, images)
    known = preset_or_none("explain", net, preset)
    classes = known.classes if known is not None else ()
    if len({len(tensor) for tensor in inputs}) > 1:
        raise ValueError(
            f"explain: inputs for {[len(tensor) for tensor in inputs]} images; as many in each "
            "would be right."
        )
    aims = Targets(targets, len(inputs[0]), classes)
    with gradients(False):
        if layers == "auto" and all(each.method.at == "input" for each in asked.values()):
            wanted = []  # nothing is asked at a layer
        else:
            wanted = read_layers(net, inputs, layers)
        run = _Run(
            net, inputs, aims, asked, wanted, relu, split, batch_stats, reshape, chunk, progress
        )
        run.pass_through()
        maps = {(n, key): values for n in asked for key, values in run.maps(n).items()}
        _check_finite(maps)
        return run.record(maps, known, layers)


@dataclass
class _Run:
    """One call of :func:`explain`: the shared pass, and maps made from it."""

    net: nn.Module
    inputs: tuple[Tensor, ...]
    aims: Targets
    asked: dict[str, Asked]
    layers: list[Layer]
    relu: bool = True
    split: bool = False
    batch_stats: bool = False
    reshape: Reshape | None = None
    chunk: int | None = None
    progress: bool | None = None
    heads: dict[str, AllClasses] = field(default_factory=dict)
    seen: Captured = field(init=False)

    @property
    def columns(self) -> int:
        """Targets of each image."""
        return self.aims.columns

    @functools.cached_property
    def scorer(self) -> Scorer:
        """For methods that run passes of their own."""
        return Scorer(self.net, self.inputs, self.aims, self.chunk, self.progress)

    def pass_through(self) -> None:
        """The one forward pass, and the backward passes that the methods need."""
        kinds = {asked.method.kind for asked in self.asked.values()}
        guided = "guided_grad_cam" in self.asked
        self.seen = capture(
            self.net,
            self.inputs,
            self.layers,
            self._scores,
            backward="gradients" in kinds or guided or self.split or not self.layers,
            reshape=self.reshape,
            batch_stats=self.batch_stats,
        )
        for layer in self.layers:
            key, activations = key_of(layer), self.seen.activations[layer]
            classes = tuple(self.aims.classes)
            head = find_head(self.net, key, activations, self.seen.logits, classes)
            if head is not None:
                self.heads[key] = head

    def _head(self, layer: Layer) -> AllClasses | None:
        """The closed form at a layer, where there is one."""
        head = self.heads.get(key_of(layer))
        return head if head is not None and head.makes(self.seen.logits) else None

    def _scores(self, output: Any) -> Tensor:
        scores = self.aims.scores(output)
        if "finer_cam" in self.asked:
            contrast = self.aims.contrasted(output, **self.asked["finer_cam"].options)
            scores = torch.cat([scores, contrast.scores(output)], 1)
        return scores

    def maps(self, name: str) -> dict[str, Tensor]:
        """The method's maps by layer."""
        asked = self.asked[name]
        method, options = asked.method, asked.options
        if method.at == "input":
            images = range(len(self.inputs[0]))
            parts = [method.function(self.scorer, image, **options) for image in images]
            return {INPUT: _ready(torch.stack(parts))}
        maps = {}
        for layer in self.layers:
            values = self._at(asked, layer)
            maps[key_of(layer)] = _ready(
                values.relu() if self.relu and not method.signed else values
            )
        return maps

    def _at(self, asked: Asked, layer: Layer) -> Tensor:
        """(N, T, h, w) of a method at a layer."""
        seen, method = self.seen, asked.method
        activations = seen.activations[layer]
        images = range(len(activations))
        if method.kind == "gradients":
            contrast = asked.name == "finer_cam"
            chosen = seen.gradients[layer][self.columns :] if contrast else seen.gradients[layer]
            columns = [_in_parts(method.function, activations, g) for g in chosen[: self.columns]]
            return torch.stack(columns, 1)
        if method.kind == "activations":
            one = _in_parts(method.function, activations, activations)
            return one.unsqueeze(1).expand(-1, self.columns, -1, -1)
        if method.kind == "head":
            return self._cam(layer)
        closed = self._ablated(layer) if asked.name == "ablation_cam" else None
        if closed is not None:
            return closed
        wide = _wide(activations)
        if asked.name == "guided_grad_cam":
            cams = self._at(Asked("grad_cam", METHODS["grad_cam"], {}), layer).relu()
            return torch.stack([method.function(self.scorer, i, cams[i]) for i in images])
        more = (layer, seen.readings[layer]) if asked.name == "ablation_cam" else ()
        return torch.stack([method.function(self.scorer, i, wide, *more) for i in images])

    def _ablated(self, layer: Layer) -> Tensor | None:
        """Ablation-CAM without further passes, where pooling and one linear layer follow.

        Without channel k the score falls by w_ck mean_ij A_k there.
        """
        head, indices = self._head(layer), torch.tensor(self.aims.indices)
        if head is None or bool((indices < 0).any()):
            return None
        drop = head.weight[indices.to(head.weight.device)]  # (N, T, C)
        drop = drop * head.activations.mean((2, 3)).unsqueeze(1)
        scores = self.seen.scores[:, : self.columns].to(drop)
        scale = torch.where(scores == 0, torch.ones_like(scores), scores.abs())
        return torch.einsum("ntk,nkhw->nthw", drop / scale.unsqueeze(2), head.activations)

    def _cam(self, layer: Layer) -> Tensor:
        head = self._head(layer)
        if head is None:
            raise ValueError(
                f"explain: cam at {layer[0]!r}, and the logits are not one linear layer of its "
                "mean over positions; the last layer of a network that ends in global pooling and "
                "one linear layer would be right. grad_cam needs neither."
            )
        factor = head.activations[0, 0].numel()  # CAM has no 1 / (h w)
        columns = []
        for column in range(self.columns):
            rows = [
                factor * head.map(self._class(n, column), relu=False)[n]
                for n in range(len(self.inputs[0]))
            ]
            columns.append(torch.stack(rows))
        return torch.stack(columns, 1)

    def _class(self, image: int, column: int) -> int:
        index = self.aims.indices[image][column]
        if index < 0:
            raise ValueError(
                f"explain: cam of {self.aims.names[image][column]!r}; one class would be right. "
                "Explanation.all_classes takes differences."
            )
        return index

    def record(self, maps: Maps, known: Preset | None, layers: object) -> Explanation:
        """The explanation, with what was measured about it."""
        seen, aims = self.seen, self.aims
        table = evidence(seen, self.columns)
        about = provenance(self.net, self.inputs, known, methods=list(self.asked))
        about |= {
            "layers": [key_of(layer) for layer in self.layers],
            "layers_chosen": _chosen(layers),
            "explained": [self._explained(layer) for layer in self.layers],
            "relu": self.relu,
            "batch_stats": self.batch_stats,
            "untrained": untrained(self.net, known.weights if known is not None else None),
            "options": {name: asked.options for name, asked in self.asked.items() if asked.options},
        }
        about["notes"] = _notes(maps, table, aims, about)
        logits = seen.logits if seen.logits is not None and seen.logits.ndim == 2 else None
        return Explanation(
            maps=maps,
            targets=aims.indices,
            target_names=aims.names,
            scores=seen.scores[:, : self.columns].cpu(),
            logits=_wide(logits).cpu() if logits is not None else None,
            pictures=displayed(self.inputs[0], known),
            measured=table,
            heads=tuple(reversed(self.heads.values())),
            parts=self._parts(),
            provenance=about,
        )

    def _parts(self) -> Split | None:
        if not self.split:
            return None
        return split_at(self.net, self.inputs, self.seen, self.columns, self.batch_stats)

    def _explained(self, layer: Layer) -> dict[str, Any]:
        """Which tensor it was: path, call, shape, how it was read, what wrote over it later."""
        path, call = layer
        reading = self.seen.readings[layer]
        return {
            "layer": key_of(layer),
            "path": path,
            "call": call,
            "shape": list(self.seen.activations[layer].shape),
            "axes": reading.axes,
            "read_as": reading.words(),
            "written_over_by": self.seen.written.get(layer, []),
        }


def _chosen(layers: object) -> str:
    named = {"auto": "last with positions", "blocks": "every residual block"}
    return named.get(layers, "as asked") if isinstance(layers, str) else "as asked"


def _wide(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def _in_parts(
    function: Callable[[Tensor, Tensor], Tensor], activations: Tensor, gradient: Tensor
) -> Tensor:
    """(N, h, w); on a CPU image by image where the whole batch would not stay in its cache."""
    whole = activations.numel() * activations.element_size()
    size = len(activations)
    if activations.device.type == "cpu" and whole > _CACHE:
        size = max(1, size * _CACHE // whole)
    parts = zip(torch.split(activations, size), torch.split(gradient, size), strict=True)
    return torch.cat([function(_wide(a), _wide(g)) for a, g in parts])


def _ready(maps: Tensor) -> Tensor:
    """On the CPU, contiguous, in float32 or float64."""
    return _wide(maps.detach()).cpu().contiguous()


def _check_finite(maps: Maps) -> None:
    for (method, layer), values in maps.items():
        if not bool(values.isfinite().all()):
            raise NonFinite(
                f"explain: {method} at {layer!r} holds NaN or infinity; finite activations "
                "and gradients would be right. rv.record names the layer where they begin."
            )


def _notes(
    maps: Maps, table: Mapping[str, Sequence[Any]], aims: Targets, about: Mapping[str, Any]
) -> list[str]:
    """A sentence, with the reason, for every map that is zero everywhere; warned about, too."""
    blank = {key: values for key, values in maps.items() if not values.flatten(2).any(2).all()}
    if not blank:
        return []
    notes = []
    for found in findings(blank, table, {**about, "untrained": False}):
        if not blank[found.method, found.layer][found.image, found.column].any():
            name = aims.names[found.image][found.column]
            notes.append(
                f"{found.method} at {found.layer}, image {found.image}, target {name!r} is zero: "
                f"{found.words}"
            )
    if notes:
        more = f" (and {len(notes) - 1} more)" if len(notes) > 1 else ""
        warnings.warn(f"explain: {notes[0]}{more}", ResvizWarning, stacklevel=4)
    return notes
