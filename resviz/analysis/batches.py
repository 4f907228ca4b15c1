"""Images in batches of a bounded size, and what a study says of how it was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from resviz.arguments import caller, name, whole
from resviz.given import Images, Inputs
from resviz.provenance import preset_or_none, provenance


def batches_of(inputs: Images, batch_size: object) -> list[slice]:
    """Slices of at most `batch_size` images, as even as they can be.

    Even, because batch statistics of a small last batch would be noise.

    Raises:
        TypeError: `batch_size` is no whole number.
        ValueError: below 1, or inputs of different lengths.

    Example:
        >>> batches_of((torch.zeros(5, 3),), 4)
        [slice(0, 3, None), slice(3, 5, None)]
    """
    size = whole("batch_size", batch_size, least=1)
    given = Inputs.of(inputs)
    lengths = given.lengths
    if len(lengths) > 1:
        raise ValueError(
            f"{caller()}: inputs of {' and '.join(map(str, sorted(lengths)))} images; "
            "the same number in each is right."
        )
    count = given.count
    number = -(-count // size)
    ends = [(count * i + number - 1) // number for i in range(number + 1)]
    return [slice(low, high) for low, high in zip(ends, ends[1:], strict=False)]


def targets_of(
    targets: Tensor | Sequence[int] | None, count: int, batches: Sequence[slice]
) -> Iterator[Tensor | None]:
    """The targets of each batch.

    Raises:
        TypeError: no class indices.
        ValueError: not one per image.
    """
    if targets is None:
        yield from (None for _ in batches)
        return
    try:
        chosen = torch.as_tensor(targets)
    except (TypeError, ValueError, RuntimeError) as err:
        raise TypeError(f"{caller()}: targets {targets!r}; class indices are integers.") from err
    if chosen.ndim == 0 or len(chosen) != count:
        raise ValueError(
            f"{caller()}: targets of shape {tuple(chosen.shape)} for {count} images; one class "
            "index per image is right."
        )
    yield from (chosen[batch] for batch in batches)


def how_measured(
    net: nn.Module, inputs: Inputs, data: str | None, **settings: Any
) -> dict[str, Any]:
    """What the attrs of a study hold: provenance without the names of the classes, and `data`.

    Raises:
        TypeError: `data` is no string.
    """
    if data is not None:
        name("data", data, "a string, the name of the data set")
    about = provenance(net, inputs, preset_or_none(net, None), **settings)
    del about["classes"]
    return {**about, "data": data}
