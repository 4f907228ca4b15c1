"""What goes into a network: reading what the user gave, and checks that every pass shares."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from resviz.arguments import caller
from resviz.errors import NotTraceable, closest
from resviz.given import Inputs, by_keyword, by_position
from resviz.preset import check_network
from resviz.torch_private import (
    ORIGINAL,
    buffers_of,
    has_compiled_forward,
    is_compiled_in_place,
    is_dynamic_int8,
    is_exported,
    is_inside_vmap,
    is_static_int8,
    is_wrapped_by_compile,
    modules_of,
    parameters_of,
)


def _read(net: nn.Module, images: object) -> Inputs:
    """How the network is to be called."""
    if isinstance(images, Inputs):
        return images
    if isinstance(images, Mapping):
        return _read_mapping(net, images)
    if isinstance(images, list) and _is_for_detector(net, images):
        return Inputs(tuple(images), tuple(map(str, range(len(images)))), listed=True)
    return _read_positions(net, Inputs.of(images))


def _read_positions(net: nn.Module, inputs: Inputs) -> Inputs:
    """By position; by keyword where the forward takes keywords alone, one for each.

    Raises:
        TypeError: more or fewer than the forward takes.
    """
    known, count = _parameters(net), len(inputs.args)
    kinds = [parameter.kind for parameter in known.values()]
    positional = [n for n, p in known.items() if p.kind in _POSITIONAL]
    named = [name for name in _required(known) if name not in positional]
    needed = len(_required(known)) - len(named)
    if not count or not known or inspect.Parameter.VAR_POSITIONAL in kinds:
        return inputs
    if not positional and len(named) == count:
        return replace(inputs, args=(), kwargs=dict(zip(named, inputs.args, strict=True)))
    if named or not needed <= count <= len(positional):
        raise TypeError(
            f"{caller()}: {count} input{'s' * (count > 1)}, and {type(net).__name__} takes "
            f"{', '.join(known) or 'none'}; {needed or 1} by position, or a dictionary by keyword, "
            f"would be right: images={{{next(iter(_required(known) or known), 'x')!r}: ...}}."
        )
    return inputs


def _read_mapping(net: nn.Module, given: Mapping[str, Any]) -> Inputs:
    """By keyword; as one dictionary where the forward has a single argument of another name."""
    names = _parameters(net)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in names.values())
    strange = [key for key in given if key not in names]
    if strange and not open_ended:
        single = len(_required(names)) == 1 and names[_required(names)[0]].kind in _POSITIONAL
        if single and len(strange) == len(given):
            return replace(by_position((given,)), main=by_keyword(given).main)
        raise TypeError(
            f"{caller()}: images[{strange[0]!r}], and {type(net).__name__} takes "
            f"{', '.join(names)}; the keywords of its forward would be right. Closest: "
            f"{closest(str(strange[0]), names)}."
        )
    found = by_keyword(given)
    first = getattr(net, "main_input_name", None)  # what Hugging Face says of its networks
    return found.about(found.names.index(first)) if first in found.names else found


def _is_for_detector(net: nn.Module, images: Sequence[Any]) -> bool:
    """Images (C, H, W) of their own sizes, for a network that takes a single argument."""
    single = bool(images) and all(isinstance(t, Tensor) and t.ndim == 3 for t in images)
    return single and len(_required(_parameters(net))) == 1


def _parameters(net: nn.Module) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(net.forward).parameters)
    except (TypeError, ValueError):  # a forward that is made elsewhere
        return {}


def _required(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    """Those that have to be given."""
    several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    kinds = {n: p for n, p in parameters.items() if p.kind not in several}
    return [name for name, p in kinds.items() if p.default is p.empty]


def check_images(net: nn.Module, images: object) -> Inputs:
    """What goes into the network, on its device.

    Args:
        net: the network.
        images: a tensor; a tuple, by position; a dictionary (a tokenizer's BatchEncoding too), by
            keyword; a list of images (C, H, W), as detectors take them.

    Raises:
        RuntimeError: a network whose parameters have no values.
        TypeError: no tensors, or keywords that the network does not have.
        ValueError: no images.
    """
    check_weights(net)
    return _on_device(net, _read(net, images))


def check_shapes_of(net: nn.Module, images: object) -> Inputs:
    """The same for what needs shapes alone: a network without values, on "meta", may do."""
    return _on_device(net, _read(net, images))


def _on_device(net: nn.Module, inputs: Inputs) -> Inputs:
    if not inputs.tensors:
        raise ValueError(f"{caller()}: no images; a tensor (N, 3, H, W).")
    first = inputs.tensors[inputs.main]
    if all(tensor.layout != torch.strided for tensor in inputs):
        raise ValueError(
            f"{caller()}: images in the layout {first.layout}, which keeps no zeros; dense tensors "
            "would be right: images.to_dense()."
        )
    if first.ndim == 0 or any(t.ndim and len(t) == 0 for t in inputs):
        shapes = [tuple(t.shape) for t in inputs if t.ndim == 0 or len(t) == 0]
        raise ValueError(f"{caller()}: images of shape {shapes[0]}; at least one.")
    device = next((p.device for p in net.parameters()), first.device)
    if any(tensor.is_meta for tensor in inputs) and device.type != "meta":
        raise ValueError(
            f"{caller()}: images on the device 'meta', which holds shapes alone; images with "
            "values would be right. rv.load_images makes them."
        )
    return inputs.each(lambda tensor: tensor.to(device))


def check_weights(net: nn.Module) -> None:
    """Raise RuntimeError where parameters have no values: lazy ones, or on the device "meta"."""
    check_network(net)
    modules = modules_of(net)
    _check_lazy(modules)
    for own in (parameters_of, buffers_of):
        for path, module in modules.items():
            for name, tensor in own(module).items():
                if tensor is not None and tensor.is_meta:
                    raise RuntimeError(
                        f"{caller()}: {_joined(path, name)!r} is on the device "
                        "'meta', which holds shapes and no values; a network with weights would be "
                        "right. Try net.to_empty(device='cpu'), then net.load_state_dict(...)."
                    )


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _check_lazy(modules: Mapping[str, nn.Module]) -> None:
    """Raise RuntimeError for a lazy layer that never ran: a pass would make its weights."""
    for path, module in modules.items():
        own = parameters_of(module)  # most have none
        if own and any(is_lazy(each) for each in own.values() if each is not None):
            raise RuntimeError(
                f"{caller()}: {path!r} ({type(module).__name__}) has no weights before its first "
                "pass; a network that has run once would be right. Run it: net(images)."
            )


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def check_hookable(net: object) -> None:
    """Raise where hooks would not fire, or see nothing: scripted, compiled and int8 networks."""
    check_network(net)
    modules = modules_of(net)  # type: ignore[arg-type]
    _check_lazy(modules)
    for path, module in modules.items():
        where = f"{path!r} in the network" if path else "the network"
        if isinstance(module, torch.jit.ScriptModule):
            raise NotTraceable(
                f"{caller()}: {where} is a TorchScript module, which hides what it computes; the "
                "Python module it was made from would be right."
            )
        if type(module).__name__ == "QFunctional":
            raise NotTraceable(
                f"{caller()}: {where} adds in int8, where additions and gradients are not seen; "
                "the network before torch.ao.quantization.convert would be right."
            )
        compiled = is_wrapped_by_compile(module)
        if compiled or is_compiled_in_place(module):
            raise NotTraceable(
                f"{caller()}: {where} is compiled, and hooks do not fire in compiled code; the "
                "network as it was before torch.compile would be right. "
                + (f"Pass net.{ORIGINAL}." if compiled else "Load it again without .compile().")
            )
        _check_forward(module, where)


def _check_forward(module: nn.Module, where: str) -> None:
    if has_compiled_forward(module):
        raise NotTraceable(
            f"{caller()}: the forward of {where} is compiled, and hooks do not fire in compiled "
            "code; the forward as it was before torch.compile would be right. "
            "Take it back with: del net.forward."
        )
    if is_exported(module):
        raise NotTraceable(
            f"{caller()}: {where} was made by torch.export, which leaves a graph of operators "
            "without modules; the Python module it was made from would be right."
        )
    if is_static_int8(module):
        raise NotTraceable(
            f"{caller()}: {where} is quantised to int8 ({type(module).__name__}), and its "
            "activations are no floating point tensors; the network as it was before "
            "torch.ao.quantization.convert would be right."
        )


def check_differentiable(
    net: nn.Module, instead: str = "take methods without gradients: rv.explanation_methods()"
) -> None:
    """Raise RuntimeError for parameters that were made under ``inference_mode``.

    `instead` is what else the user can do.
    """
    name = next((name for name, p in net.named_parameters() if p.is_inference()), None)
    if name is not None:
        raise RuntimeError(
            f"{caller()}: parameter {name!r} was made under torch.inference_mode and cannot be "
            "differentiated through; a network made outside of it would be right. Load it "
            f"again, or {instead}."
        )


def dynamic_int8(net: nn.Module) -> str | None:
    """The first layer that computes in int8 by dynamic quantisation: no derivative comes through.

    Example:
        >>> dynamic_int8(nn.Linear(2, 2)) is None
        True
    """
    return next((path for path, each in modules_of(net).items() if is_dynamic_int8(each)), None)


def check_not_inside_vmap(args: tuple[Any, ...], path: str) -> None:
    """Raise NotTraceable where a module runs under ``torch.vmap``: its tensors are no tensors."""
    if args and isinstance(args[0], Tensor) and is_inside_vmap(args[0]):
        raise NotTraceable(
            f"{caller()}: {path!r} runs inside torch.vmap (or torch.func), which hands on tensors "
            "without values of their own; a forward that takes the whole batch at once would be "
            "right."
        )
