"""How strongly the layers of a network respond: standard deviations of their outputs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor, nn

from resviz.analysis.batches import batches_of, how_measured
from resviz.arguments import Progress, caller, public
from resviz.given import Images, Inputs
from resviz.hooks import left_as_found
from resviz.networks.anatomy.structure import is_leaf
from resviz.networks.inputs import check_hookable, check_images
from resviz.progress import bar
from resviz.recording.axes import shape_of_all
from resviz.recording.recorder import record
from resviz.recording.recording import Recording
from resviz.torch_private import AnyConvolution, version

Call = tuple[str, int]
_COLUMNS = (
    *("layer", "call", "response", "type", "kernel", "position", "depth", "stage", "block"),
    *("shape", "mean", "std", "rank"),
)


@public
def response_std(
    net: nn.Module,
    images: Images,
    batch_stats: bool = False,
    *,
    batch_size: int = 64,
    data: str | None = None,
    progress: Progress = None,
) -> pd.DataFrame:
    """Standard deviation of the response of each convolution, over as many images as there are.

    He et al. 2015 (https://arxiv.org/abs/1512.03385), section 4.2 and Fig. 7. The response of a
    layer is its output after BatchNorm and before the nonlinearity or the addition. There, on
    CIFAR-10, residual networks have smaller responses than plain ones, and deeper residual networks
    smaller ones still. The paper draws them in their order and sorted by size: a few large
    responses move a mean, so the whole distribution is looked at.

    The response is the output of the normalisation that takes the convolution's output as it is;
    without one (pre-activation networks after their second convolution, networks without
    normalisation) it is the output of the convolution itself. Projections on shortcuts are left
    out.

    Args:
        net: any network with convolutions.
        images: as :func:`resviz.record` takes them.
        batch_stats: BatchNorm on each batch's statistics instead of the running ones.
        batch_size: images in one pass; bounds the memory.
        data: name of the data set, for figures.
        progress: None shows a bar over what takes more than a second, True at once, False never; or
            a function (done, total, what), called at each step.

    Returns:
        A row per call of a convolution, in order of execution: ``layer``, ``call``, ``response``
        (the module whose output was measured), ``type`` (of that module), ``kernel`` ("3x3"; the
        paper draws these alone), ``position`` (1 for the first), ``depth``, ``stage``, ``block``,
        ``shape``, ``mean`` and ``std`` (over images, channels and positions together), ``rank``
        (1 for the largest std). ``attrs`` say how it was measured.

    Raises:
        NonFinite, NotTraceable: as :func:`resviz.record`.
        TypeError: arguments of a wrong type.
        ValueError: a network without convolutions.

    Example:
        >>> import torch
        >>> from resviz.networks.cifar import cifar_resnet
        >>> table = response_std(cifar_resnet(8, seed=0), torch.randn(4, 3, 32, 32))
        >>> table[["layer", "response"]].values.tolist()[0]
        ['conv1', 'bn1']
    """
    check_hookable(net)
    inputs = check_images(net, images)
    batches = batches_of(inputs, batch_size)
    about = how_measured(net, inputs, data, batch_stats=batch_stats)
    one = inputs.one()
    first = record(net, one, gradients=False)
    pairs = _main_responses(net, one, first)
    sums = {call: np.zeros(3) for call in pairs.values()}
    with bar(inputs.count, "layer responses", progress) as shown:
        for batch in batches:
            part = inputs.part(batch)
            _add(sums, record(net, part, gradients=False, batch_stats=batch_stats).layers)
            shown.update(part.count)
    table = _table(net, pairs, sums, first.layers, inputs.count)
    table.attrs.update(about, batch_size=batch_size)
    return table


def _add(sums: dict[Call, np.ndarray[Any, Any]], layers: pd.DataFrame) -> None:
    """One batch."""
    for row in layers[layers["kind"] == "leaf"].to_dict("records"):
        call = (row["layer"], row["call"])
        if call in sums:
            sums[call] += _sums(row)


def _sums(row: Mapping[Any, Any]) -> np.ndarray[Any, Any]:
    """Elements, sum, and sum of squares, from the statistics of one batch."""
    count, mean = math.prod(row["shape"]), row["mean"]
    return count * np.array([1.0, mean, row["std"] ** 2 + mean**2])


def _main_responses(net: nn.Module, inputs: Inputs, first: Recording) -> dict[Call, Call]:
    """The responses of the convolutions on the main path: no projections, no gates."""
    parameters = first.parameters
    beside = set(parameters.loc[parameters["projection"] | parameters["gate"], "layer"])
    pairs = {conv: norm for conv, norm in _responses(net, inputs).items() if conv[0] not in beside}
    if not pairs:
        raise ValueError(
            f"{caller()}: no convolution ran in {type(net).__name__}; a network with convolutions "
            "is right. For other layers: rv.record(net, images).layers."
        )
    return pairs


def _responses(net: nn.Module, inputs: Inputs) -> dict[Call, Call]:
    """For each call of a convolution, the call whose output is its response."""
    found: dict[Call, Call] = {}
    outputs: dict[tuple[int, int], tuple[Call, Tensor]] = {}  # alive: their ids stay theirs
    calls: Counter[str] = Counter()

    def after(path: str, module: nn.Module, args: Any, output: Any) -> None:
        call = (path, calls[path])
        calls[path] += 1
        if isinstance(module, AnyConvolution) and isinstance(output, Tensor):
            found[call] = call
            outputs[_as_it_is(output)] = (call, output)
        elif "Norm" in type(module).__name__ and args and isinstance(args[0], Tensor):
            made = outputs.get(_as_it_is(args[0]))
            if made is not None:
                found[made[0]] = call

    with left_as_found(net) as hooks:
        for path, module in net.named_modules():
            if path and is_leaf(module):
                hooks.forward(module, _at(path, after))
        inputs.copies().run(net)
    return found


def _as_it_is(tensor: Tensor) -> tuple[int, int]:
    """Its id, and how often it was written to: ``out += x`` is the same tensor no longer."""
    return id(tensor), version(tensor)


def _at(path: str, after: Any) -> Any:
    return lambda module, args, output: after(path, module, args, output)


def _table(
    net: nn.Module,
    pairs: dict[Call, Call],
    sums: dict[Call, np.ndarray[Any, Any]],
    layers: pd.DataFrame,
    images: int,
) -> pd.DataFrame:
    modules = dict(net.named_modules())
    leaves = layers[layers["kind"] == "leaf"].to_dict("records")
    known: dict[Call, Any] = {(row["layer"], row["call"]): row for row in leaves}
    rows: list[dict[str, Any]] = []
    for (path, call), response in pairs.items():
        count, total, squares = sums[response]
        mean = total / count
        at = known[response]
        row = {"layer": path, "call": call, "response": response[0], "type": at["type"]}
        row["kernel"] = "x".join(map(str, modules[path].kernel_size))
        row |= {name: at[name] for name in ("depth", "stage", "block")}
        shape = shape_of_all(at["shape"], at["axes"], images)
        row |= {"position": len(rows) + 1, "shape": shape, "mean": mean}
        rows.append(row | {"std": math.sqrt(max(squares / count - mean**2, 0.0))})
    table = pd.DataFrame(rows, columns=list(_COLUMNS))
    table["rank"] = table["std"].rank(ascending=False, method="first").astype(int)
    return table
