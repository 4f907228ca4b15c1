"""What the layers of a network say of the images: one check of shapes and dtypes for all passes.

It raises where torch itself does, and for an image without a batch, which a convolution takes for
one. Passes fail seldom, and hooks at all layers are a tenth of a pass of one image: they are there
for a second pass after one that failed, and at once only where a failure would come too late.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from resviz.arguments import caller
from resviz.errors import LayerRefused, NonFinite, NotTraceable, UnknownOutput
from resviz.given import Inputs
from resviz.hooks import Hooks
from resviz.torch_private import modules_of, unwatched

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_CHECKED = (*_CONVOLUTIONS, *_NORMS, nn.Linear, nn.Embedding)
_NAMES = {3: "NCL", 4: "NCHW", 5: "NCDHW"}
_FAILURES = (RuntimeError, TypeError, ValueError, IndexError)
# these say what is wrong, or there is nothing that a layer could add
_SAID = (LayerRefused, NonFinite, NotTraceable, UnknownOutput, torch.OutOfMemoryError)


@contextmanager
def checked(net: nn.Module, inputs: Inputs, said: bool = True) -> Iterator[None]:
    """Around a pass over `inputs`: where a layer cannot take them, the error names it.

    After a pass that failed a second one is made, to find the layer. Not `said`: errors stay as
    they are.

    Raises:
        TypeError, ValueError: what the layer got, and what would be right.
    """
    if not said:
        yield
        return
    before = _at_once(net, inputs)
    found: list[Exception] = []
    with Hooks() as hooks:
        if before:
            _watch(net, hooks, inputs, found)
        try:
            yield
        except _FAILURES as error:
            failure = error
        else:
            return
    if failure not in found and not isinstance(failure, _SAID):
        _say(net, inputs, failure)
    raise failure


def check_pass(net: nn.Module, inputs: Inputs) -> None:
    """A pass for the sake of its errors."""
    with checked(net, inputs):
        inputs.run(net)


def _say(net: nn.Module, inputs: Inputs, failure: Exception) -> None:
    """Raise what a layer has to say of the inputs; nothing where none has, or a pass succeeds."""
    found: list[Exception] = []
    with Hooks() as hooks:
        _watch(net, hooks, inputs, found)
        try:
            inputs.run(net)
        except Exception as error:  # noqa: BLE001  # of the first pass, which is raised then
            again = error
        else:
            return
    if again in found:
        raise again from None
    for guess in found:
        raise guess from failure


def _at_once(net: nn.Module, inputs: Inputs) -> bool:
    """True where a convolution could take an input for a single image, and for tokens.

    A token that has no row in an embedding leaves a GPU unusable to the process.
    """
    if not all(tensor.is_floating_point() or tensor.is_complex() for tensor in inputs):
        return True
    missing = {tensor.ndim + 1 for tensor in inputs}
    return any(
        len(module.kernel_size) + 2 in missing
        for module in modules_of(net).values()
        if isinstance(module, _CONVOLUTIONS) and _is_plain(module)
    )


def _watch(net: nn.Module, hooks: Hooks, inputs: Inputs, found: list[Exception]) -> None:
    """Check what reaches each layer in the passes over `inputs`, as long as `hooks` last."""
    for path, module in modules_of(net).items():
        if isinstance(module, _CHECKED):
            check = partial(_check, path=path, inputs=inputs, found=found)
            hooks.before_forward(module, check)


def _check(
    module: nn.Module, args: Any, *, path: str, inputs: Inputs, found: list[Exception]
) -> None:
    """Raise what a layer has to say, and note it in `found`.

    One with a forward of its own may know better what it takes: noted alone, as a guess.
    """
    try:
        with unwatched():  # the shapes that are asked for here are no step of the network's
            _check_call(module, args, inputs, path)
    except (TypeError, ValueError) as error:
        found.append(error)
        if _is_plain(module):
            raise


def _check_call(module: nn.Module, args: tuple[Any, ...], inputs: Inputs, path: str) -> None:
    """Raise ValueError or TypeError where a layer cannot take what the images have become.

    Args:
        module: about to run.
        args: its arguments.
        inputs: of the network in this pass.
        path: of the module.
    """
    if not args or torch.compiler.is_compiling():
        return
    taken = args[0]
    if isinstance(taken, list | tuple | dict):
        raise _unpacked(module, taken)
    if not isinstance(taken, Tensor) or taken.is_quantized:
        return
    _check_alone(module, taken, path)
    known = inputs.whole or inputs
    number = next((n for n, tensor in enumerate(inputs) if tensor is taken), None)
    if number is not None:
        _check_image(module, taken, known, number)
    elif _is_plain(module):
        _check_later(module, taken, known, path)


def _check_alone(module: nn.Module, taken: Tensor, path: str) -> None:
    """Raise ValueError where BatchNorm that keeps no statistics gets one value per channel."""
    own = isinstance(module, _NORMS) and module.running_mean is None
    if own and _is_plain(module) and _fits(module, taken) and taken.numel() == taken.shape[1]:
        raise ValueError(
            f"{caller()}: layer {path!r} ({type(module).__name__}) keeps no running statistics and "
            f"gets {tuple(taken.shape)} from one image, which is run alone here; a layer with "
            "track_running_stats=True would be right."
        )


def _unpacked(module: nn.Module, taken: Any) -> TypeError:
    kind = "dictionary" if isinstance(taken, dict) else type(taken).__name__
    right = "a tensor (N, C, H, W) would be right: torch.stack(images)"
    if _is_batch(module, taken):
        right = "its tensor would be right: images[0]"
    return TypeError(
        f"{caller()}: images are a {kind}, and {type(module).__name__} gets it as it is; {right}, "
        "or the keywords of the network's forward."
    )


def _is_batch(module: nn.Module, taken: Any) -> bool:
    """True for a batch of all axes as the one thing in a list, as a DataLoader may give it."""
    if isinstance(taken, dict) or len(taken) != 1 or not isinstance(taken[0], Tensor):
        return False
    if isinstance(module, _CONVOLUTIONS):
        return taken[0].ndim == len(module.kernel_size) + 2
    return taken[0].ndim > 1


def _is_plain(module: nn.Module) -> bool:
    """True for torch's own forward, whose demands are known."""
    own = "forward" in vars(module)
    return not own and any(type(module).forward is kind.forward for kind in _CHECKED)


# ---- the images themselves
def _check_image(module: nn.Module, images: Tensor, given: Inputs, number: int) -> None:
    what, shape = _title(given, number), _shape_of(given, number)
    if isinstance(module, _CONVOLUTIONS):
        right = _fitting(module)
        dimensions = len(module.kernel_size) + 2
        if images.ndim == dimensions - 1:
            raise ValueError(
                f"{caller()}: {what} of shape {shape}; {right} would be right. For a single image: "
                "images[None]."
            )
        if images.ndim != dimensions or images.shape[1] != module.in_channels:
            raise ValueError(
                f"{caller()}: {what} of shape {shape}; {right} would be right. "
                f"{_advice(module, shape)}"
            )
    elif not _fits(module, images):
        raise ValueError(
            f"{caller()}: {what} of shape {shape}; {_fitting(module)} would be right for "
            f"{type(module).__name__}."
        )
    if isinstance(module, nn.Embedding):
        _check_tokens(module, images, what)
    _check_dtype(module, images, what)


def _title(given: Inputs, number: int) -> str:
    """The word "images", or which of them."""
    several = len(given) > 1 and not given.listed
    return f"images[{given.names[number]!r}]" if several else "images"


def _shape_of(given: Inputs, number: int) -> tuple[int, ...]:
    return tuple(given[min(number, len(given) - 1)].shape)


def _advice(module: nn.Conv1d | nn.Conv2d | nn.Conv3d, shape: tuple[int, ...]) -> str:
    axes = len(module.kernel_size)
    if len(shape) == axes + 2 and shape[-1] == module.in_channels:
        order = ", ".join(map(str, [0, axes + 1, *range(1, axes + 1)]))
        return f"Channels come first: images.permute({order})."
    return "rv.load_images(..., net) makes them." if axes == 2 else "See rv.list_layers(net)."


def _check_tokens(module: nn.Embedding, tokens: Tensor, what: str) -> None:
    if tokens.dtype not in (torch.int64, torch.int32):
        raise TypeError(
            f"{caller()}: {what} of {tokens.dtype}, and an Embedding looks them up; whole numbers "
            f"would be right. {what}.long() makes them."
        )
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= module.num_embeddings:
        raise ValueError(
            f"{caller()}: {what} hold {low if low < 0 else high}, and the Embedding has "
            f"{module.num_embeddings} rows; 0 to {module.num_embeddings - 1} would be right. See "
            "the tokenizer that belongs to the network."
        )


def _check_dtype(module: nn.Module, images: Tensor, what: str) -> None:
    dtype = _dtype_of(module)
    if dtype in (None, images.dtype) or isinstance(module, (nn.Embedding, *_NORMS)):
        return
    if not torch.is_autocast_enabled(images.device.type):
        raise TypeError(
            f"{caller()}: {what} of {images.dtype} in a network of {dtype}; the same dtype would "
            "be right. rv.load_images(..., net) makes them."
        )


def _dtype_of(module: nn.Module) -> torch.dtype | None:
    return next((parameter.dtype for parameter in module.parameters()), None)


# ---- what they have become
def _check_later(module: nn.Module, taken: Tensor, given: Inputs, path: str) -> None:
    if _fits(module, taken):
        return
    shapes = ", ".join(str(_shape_of(given, n)) for n in range(1 if given.listed else len(given)))
    single = " For a single image: images[None]." if len(given.shape) == 3 else ""
    raise ValueError(
        f"{caller()}: images of shape {shapes}, of which layer {path!r} "
        f"({type(module).__name__}) gets {tuple(taken.shape)}; {_fitting(module)} would be right "
        f"there. Images of another size or with other channels may give it.{single}"
    )


def _fits(module: nn.Module, taken: Tensor) -> bool:
    """Whether the channels or features are as many as the layer has weights for."""
    if isinstance(module, nn.Linear):
        return taken.ndim > 0 and taken.shape[-1] == module.in_features
    if isinstance(module, _CONVOLUTIONS):
        missing = len(module.kernel_size) + 2 - taken.ndim
        return missing in (0, 1) and taken.shape[1 - missing] == module.in_channels
    if isinstance(module, _NORMS):
        return taken.ndim > 1 and taken.shape[1] == module.num_features
    return True


def _fitting(module: nn.Module) -> str:
    """The shape that it takes, in words."""
    if isinstance(module, nn.Linear):
        return f"(..., {module.in_features})"
    if isinstance(module, _CONVOLUTIONS):
        names = _NAMES[len(module.kernel_size) + 2]
        return f"({', '.join([names[0], str(module.in_channels), *names[2:]])})"
    return f"(N, {getattr(module, 'num_features', 'T')}, ...)"
