"""`explain`: where in the picture the evidence for a class is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from torch import Tensor, nn

from resviz.arguments import Progress, caller, public, switch
from resviz.attribution.about import About, read_input
from resviz.attribution.blocks import NotFoundAtOnce, likely_blocks
from resviz.attribution.choose import first_taken, read_layers, with_positions
from resviz.attribution.diagnosis import by_shape, evidence, findings
from resviz.attribution.explanation import Explanation
from resviz.attribution.layer import Layer, key_of
from resviz.attribution.methods.asked import check_passes, check_tokens, read_methods, stated
from resviz.attribution.methods.method import Asked
from resviz.attribution.order import check_order, is_channels_last
from resviz.attribution.positions import Reshape
from resviz.attribution.run import Maps, maps_of, needs_of
from resviz.attribution.shared_pass import SharedPass
from resviz.attribution.split import Split
from resviz.attribution.split import split as split_at
from resviz.attribution.target import Wanted
from resviz.attribution.targets import Targets
from resviz.errors import LayerRefused, warn
from resviz.given import Images, Inputs
from resviz.hooks import gradients
from resviz.images.origin import origins
from resviz.networks.anatomy.dataflow import tensors_in
from resviz.networks.inputs import check_hookable, check_images
from resviz.networks.outputs import Output, output_of, widened
from resviz.preset import Preset
from resviz.provenance import displayed, preset_or_none, provenance


@public
def explain(
    net: nn.Module,
    images: Images,
    targets: Wanted = None,
    *,
    methods: str | Sequence[str] = "grad_cam",
    layers: str | Layer | Sequence[str | Layer] = "auto",
    preset: Preset | None = None,
    relu: bool = True,
    split: bool = False,
    channels: bool = False,
    batch_stats: bool = False,
    options: Mapping[str, Mapping[str, object]] | None = None,
    chunk: int | None = None,
    progress: Progress = None,
    reshape: Reshape | None = None,
    input: int | str | None = None,
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
            or tokens of patches as in ViT; of signals (N, C, l), of text (N, T, C), of video
            (N, C, t, h, w).
        images: (N, 3, H, W) as the network wants them; several inputs as :func:`resviz.record`
            takes them. Or signals (N, C, L), tokens (N, T) as whole numbers, or video
            (N, C, T, H, W): maps have as many axes of positions.
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
        channels: also what each channel of each layer contributes: :attr:`Explanation.channels`,
            as :func:`resviz.channel_contributions` tells it.
        batch_stats: BatchNorm on this batch's own statistics, as in training; only for methods that
            need no further passes. The gradient is that of an image's own score, not of what it
            does to the others: a backward pass for each image.
        options: of methods, ``{"integrated_gradients": {"steps": 100}}``.
        chunk: how many masked or perturbed pictures run at once; None: 8 on a CPU, 64 on a GPU.
        progress: None shows a bar over what takes more than a second, True at once, False never; or
            a function (done, total, what), called at each step.
        reshape: from a layer's output to (N, C, h, w), where the shape alone does not tell.
        input: of several, the one that the maps are about (position or keyword): whose pixels
            methods change, and whose photograph lies under a map. None: the picture that a layer
            depends on alone, else the first picture; the record says which.

    Returns:
        An :class:`Explanation`; ``maps[method, layer]`` is (N, T, h, w), raw; (N, T, l) of signals
        and tokens, (N, T, t, h, w) of video. Maps over the input's pixels, samples or tokens have
        the layer "input"; of tokens they are made through the embedding that those enter.

    Raises:
        NonFinite: a map holds NaN or infinity.
        NotTraceable: a scripted or compiled network.
        RuntimeError: parameters made under ``inference_mode``, which cannot be differentiated.
        TypeError: arguments of a wrong type.
        ValueError: an unknown method, layer or option; a layer that never ran, has no positions or
            does not reach the target; targets out of range or too few; images of a wrong shape; a
            method that this network or this input does not allow.

    Example:
        >>> import torch
        >>> from resviz.networks.cifar import cifar_resnet
        >>> exp = explain(cifar_resnet(20, seed=0), torch.ones(1, 3, 32, 32), 3, layers="layer3")
        >>> exp.maps["grad_cam", "layer3"].shape
        torch.Size([1, 1, 8, 8])
    """
    check_hookable(net)
    asked = read_methods(methods, options)
    check_passes(asked, batch_stats, chunk)
    more = (split, switch("channels", channels))
    inputs, known = _read(net, images, preset)
    inputs = read_input(inputs, input)
    subject = About(net, inputs, None if input is None else inputs.main)
    aims = Targets(targets, inputs.count, output_of(known, inputs))
    formulas, backward = needs_of(asked.values())

    def passed(wanted: list[Layer], blocks: bool = False) -> tuple[SharedPass, bool]:
        given, both = subject.settle(wanted), backward or any(more) or not wanted
        check_tokens(asked, given)
        last = _order(net, given, asked)
        several = (batch_stats, reshape, chunk, progress, subject.layers)
        return SharedPass(net, given, aims, wanted, formulas, both, *several, blocks), last

    with gradients(False):
        found = _at_once(subject, layers, passed)
        if found is None:
            found = first_taken(_wanted(subject, layers, asked, aims.output), passed)
        taken, refused = found
        shared, last = taken
        asked = stated(asked, shared.scorer)
        maps = maps_of(shared, asked, relu)
        about = _about(shared, asked, known, relu, layers) | _inputs(subject)
        about |= _origins(images, shared.inputs)
        about["layers_refused"] = {key_of(layer): str(why) for layer, why in refused.items()}
        about |= {"channels_last": True} if last else {}
        return _record(shared, maps, known, about, *more)


def _read(net: nn.Module, images: object, preset: Preset | None) -> tuple[Inputs, Preset | None]:
    """The inputs on the network's device, and its preset."""
    inputs = check_images(net, images)
    known = preset_or_none(net, preset)
    if len(inputs.lengths) > 1:
        raise inputs.uneven()
    return inputs, known


def _order(net: nn.Module, inputs: Inputs, asked: Mapping[str, Asked]) -> bool:
    """Whether the channels of the input come last; raise for methods that take them for first."""
    over = next((name for name, each in asked.items() if each.method.over_input), None)
    if over is not None:
        check_order(net, inputs, over)
    return over is None and is_channels_last(net, inputs)


def _inputs(subject: About) -> dict[str, Any]:
    """Of several inputs: how the one was found that maps are about."""
    return {} if subject.alone else {"input_chosen": subject.chosen()}


def _origins(images: object, inputs: Inputs) -> dict[str, Any]:
    """Where the images were in their photographs: told by the tensors that were given."""
    given = dict(zip(inputs.names, tensors_in(images), strict=False))
    return origins(given, inputs.names[inputs.main])


def _wanted(
    subject: About, layers: object, asked: Mapping[str, Asked], output: Output
) -> list[list[Layer]]:
    """The layers to explain; of "auto" several choices, of which the first that can be is taken."""
    net, inputs = subject.net, subject.inputs
    if not isinstance(layers, str) or layers != "auto":
        return [read_layers(net, inputs, layers, subject.allows)]
    if all(each.method.at == "input" for each in asked.values()):
        return [[]]  # nothing is asked at a layer
    return [[layer] for layer in with_positions(net, inputs, output, subject.allows)]


def _at_once(
    subject: About, layers: object, passed: Callable[[list[Layer], bool], tuple[SharedPass, bool]]
) -> tuple[tuple[SharedPass, bool], dict[Layer, LayerRefused]] | None:
    """Of "blocks", what one pass gives that finds and explains them; None where it takes two."""
    blocks = isinstance(layers, str) and layers == "blocks" and subject.alone
    likely = likely_blocks(subject.net) if blocks and not subject.inputs.listed else []
    if likely:
        with suppress(NotFoundAtOnce):
            return passed(likely, True), {}
    return None


def _about(
    shared: SharedPass,
    asked: Mapping[str, Asked],
    known: Preset | None,
    relu: bool,
    layers: object,
) -> dict[str, Any]:
    """How the maps were made."""
    return provenance(shared.net, shared.inputs, known, methods=list(asked)) | {
        "layers": [key_of(layer) for layer in shared.layers],
        "layers_chosen": _chosen(layers),
        "explained": [_explained(shared, layer) for layer in shared.layers],
        "by_class_tokens": [
            key_of(x) for x in shared.layers if shared.norms.by_class_tokens(x, shared.columns)
        ],
        "relu": relu,
        "batch_stats": shared.batch_stats,
        "class_maps": shared.norms.how,
        "options": {n: each.used(shared.aims) for n, each in asked.items() if each.options},
        **shared.aims.about(shared.seen.logits),
    }


def _record(
    shared: SharedPass,
    maps: Maps,
    known: Preset | None,
    about: dict[str, Any],
    split: bool,
    channels: bool,
) -> Explanation:
    """The explanation, with what was measured about it."""
    seen, aims = shared.seen, shared.aims
    aims.warn_of_probabilities(seen.logits, shared.net, shared.inputs)
    table = evidence(seen, shared.norms, aims)
    about["notes"] = [*_passed_over(about), *_unsaid(about), *_notes(maps, table, aims, about)]
    return Explanation(
        maps={key: aims.cut(values) for key, values in maps.items()},
        targets=aims.indices,
        target_names=aims.names,
        scores=aims.blanked(seen.scores[:, : shared.columns]).cpu(),
        logits=_table_of(seen.logits),
        pictures=displayed(shared.inputs, known),
        other_pictures=_others(shared, lambda inputs: displayed(inputs, known)),
        inputs=_without_pictures(shared.inputs),
        other_inputs=_others(shared, _without_pictures),
        measured=table,
        heads=tuple(reversed(shared.heads.values())),
        parts=_split(shared) if split else None,
        channels={key_of(x): c for x, c in shared.channels().items()} if channels else {},
        provenance=about,
    )


def _table_of(logits: Tensor | None) -> Tensor | None:
    """(N, C) on the CPU; None for what has no columns."""
    if logits is None or logits.ndim > 2:
        return None
    return widened(logits if logits.ndim == 2 else logits[:, None]).cpu()


def _without_pictures(inputs: Inputs) -> Tensor | None:
    """A copy of signals, tokens, video, or what is one position wide; None for pictures."""
    if len(inputs.shape) == 4 and min(inputs.shape[2:]) > 1:
        return None
    kept = widened(inputs.picture) if inputs.picture.is_floating_point() else inputs.picture
    return kept.detach().cpu().clone()


def _split(shared: SharedPass) -> Split:
    if shared.aims.ragged:
        raise ValueError(
            f"{caller()}: split=True with different numbers of targets per image; as many for "
            "each would be right."
        )
    return split_at(shared.net, shared.inputs, shared.seen, shared.columns, shared.batch_stats)


def _explained(shared: SharedPass, layer: Layer) -> dict[str, Any]:
    """Which tensor it was: path, call, shape, how it was read, what wrote over it later."""
    path, call = layer
    reading = shared.seen.readings[layer]
    return {
        "layer": key_of(layer),
        "path": path,
        "call": call,
        "shape": list(shared.seen.activations[layer].shape),
        "axes": reading.axes,
        "read_as": reading.words(),
        "axes_said": reading.said,
        "written_over_by": shared.seen.written.get(layer, []),
        **_input_of(shared, layer),
    }


def _input_of(shared: SharedPass, layer: Layer) -> dict[str, Any]:
    """Of several inputs, the one that a layer's map is about."""
    inputs = shared.inputs
    if inputs.listed or len(inputs) == 1:
        return {}
    of_layer = inputs.about(shared.about.get(layer, inputs.main))
    return {"input": of_layer.names[of_layer.main], "input_shape": list(of_layer.shape)}


def _others(shared: SharedPass, kept: Callable[[Inputs], Tensor | None]) -> dict[str, Tensor]:
    """What is kept of the inputs that only some of the layers are about, by name."""
    others = {number for number in shared.about.values() if number != shared.inputs.main}
    found = {shared.inputs.names[n]: kept(shared.inputs.about(n)) for n in others}
    return {name: each for name, each in found.items() if each is not None}


def _unsaid(about: Mapping[str, Any]) -> list[str]:
    """A sentence for every tensor of which no layer says which axis is which."""
    explained = [each for each in about["explained"] if not each["axes_said"]]
    return [f"{each['layer']}: {by_shape(each)}" for each in explained]


def _passed_over(about: Mapping[str, Any]) -> list[str]:
    """A sentence where "auto" did not take the layer that it would have taken first."""
    refused = about["layers_refused"]
    if not refused:
        return []
    why = next(iter(refused.values())).partition(": ")[2].partition(";")[0]
    return [f"layers='auto' took {about['layers'][0]} in place of {', '.join(refused)}: {why}."]


def _chosen(layers: object) -> str:
    named = {"auto": "last with positions", "blocks": "every residual block"}
    return named.get(layers, "as asked") if isinstance(layers, str) else "as asked"


def _notes(
    maps: Maps, table: Mapping[str, Sequence[Any]], aims: Targets, about: Mapping[str, Any]
) -> list[str]:
    """A sentence, with the reason, for every map that is zero everywhere; warned about, too."""
    blank = {key: values for key, values in maps.items() if not values.flatten(2).any(2).all()}
    if not blank:
        return []
    notes = []
    for found in findings(blank, table, {**about, "untrained": False, "explained": []}):
        names = aims.names[found.image]  # an image with fewer targets has columns that say nothing
        here = found.image, found.column
        if found.column < len(names) and not blank[found.method, found.layer][here].any():
            notes.append(
                f"{found.method} at {found.layer}, image {found.image}, target "
                f"{names[found.column]!r} is zero: {found.words}"
            )
    if notes:
        more = f" (and {len(notes) - 1} more)" if len(notes) > 1 else ""
        warn(f"{caller()}: {notes[0]}{more}")
    return notes
