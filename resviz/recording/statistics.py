"""Statistics of one tensor in a few cheap passes, without a host sync on a GPU.

On a CPU one compiled pass where there is a compiler (:mod:`resviz.compiled`), else row
sums, row norms, ``aminmax`` and zeros of 4 MB at a time, which are still in the cache when they are
read again: half the time for 25 MB. Rows of 4096 keep float32 sums exact to about 1e-8 (one float32
``dot`` over 6.4 million elements is off by 5e-5, ``vector_norm`` by 4e-4), and cost a quarter of
``var_mean`` plus ``count_nonzero``. On a GPU the built-in reductions are both fast and exact, so
they are used as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from resviz.compiled.sums import OnePass, is_direct, one_pass

_ROW = 4096
_READ = 256  # rows that are read together: 4 MB
Number = Tensor | float
NAMES = ("mean", "std", "rms", "norm", "min", "max", "zero_fraction")


@dataclass(frozen=True)
class Measured:
    """Statistics that are still on the device: values[i] are scalar tensors or Python numbers."""

    numel: int
    values: tuple[Tensor | float, ...]  # mean, var, mean square, min, max, zeros

    def named(self, values: Sequence[float]) -> dict[str, float]:
        """The seven columns, from the numbers that `values` came back as."""
        return dict(zip(NAMES, self.columns(values), strict=True))

    def columns(self, values: Sequence[float]) -> tuple[float, ...]:
        """The same in the order of `NAMES`."""
        mean, variance, mean_square, low, high, zeros = values
        rms = math.sqrt(max(mean_square, 0.0)) if math.isfinite(mean_square) else mean_square
        std = math.sqrt(max(variance, 0.0)) if math.isfinite(variance) else variance
        norm = rms * math.sqrt(self.numel)
        fraction = zeros / self.numel if self.numel else math.nan
        return mean, std, rms, norm, low, high, fraction


def dense(x: Tensor) -> Tensor:
    """The numbers of a sparse or quantised tensor as an ordinary one; others as they are.

    Example:
        >>> dense(torch.eye(2).to_sparse()).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    if x.layout != torch.strided:
        return x.to_dense()
    return x.dequantize() if x.is_quantized else x


def flat(x: Tensor, like: Tensor | None = None) -> Tensor:
    """All elements in one dimension, in the memory order of `like` (of `x` itself if None).

    No copy for any dense layout, channels_last included.
    """
    x = dense(x.detach())
    if like is None and x.is_contiguous():
        return x.view(-1)
    order = sorted(range(x.ndim), key=(dense(like) if like is not None else x).stride, reverse=True)
    ordered = x.permute(order)
    return ordered.view(-1) if ordered.is_contiguous() else ordered.reshape(-1)


def _wide(x: Tensor) -> Tensor:
    """At least float32; of complex numbers their absolute values."""
    if x.is_complex():
        x = x.abs()
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def widest(x: Tensor) -> torch.dtype:
    """float64, but on Apple's GPUs, which have none."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def _rows(x: Tensor) -> Iterator[Tensor]:
    """A flat tensor as rows of 4096, so many at a time, and the rest as one row."""
    rows = x[: x.numel() // _ROW * _ROW].view(-1, _ROW)
    for start in range(0, len(rows), _READ):
        yield rows[start : start + _READ]
    if rows.numel() < x.numel():
        yield x[rows.numel() :].view(1, -1)


def how(device: torch.device) -> str:
    """How statistics of float32 tensors are taken there: "compiled", on a CPU, or "eager"."""
    return "compiled" if device.type == "cpu" and is_compiled() else "eager"


def is_compiled() -> bool:
    """True where there is a compiled pass."""
    return one_pass() is not None


def _compiled(*tensors: Tensor) -> OnePass | None:
    """What takes these tensors in one pass, in any shape; None where that must be eager."""
    return one_pass() if all(map(is_direct, tensors)) else None


def _ready(x: Tensor) -> Tensor:
    """As it is where C reads it, else flat and wide."""
    return x if _compiled(x) is not None else _wide(flat(x))


def sums_of_squares(
    tensors: Sequence[Tensor], found: Sequence[float] | None = None
) -> list[Number]:
    """The sum of squares of each of several tensors that are not empty, as :func:`mean_square`.

    `found` are those that the compiled pass gave, where it has been over them.
    """
    direct = [number for number, x in enumerate(tensors) if is_direct(x)]
    compiled = one_pass() if direct else None
    totals: list[Number | None] = [None] * len(tensors)
    if compiled is not None:
        chosen = [tensors[number] for number in direct]
        found = compiled.squares(chosen) if found is None else found
        for number, x, total in zip(direct, chosen, found, strict=True):
            if squares_fit(total / x.numel()) or not (total or bool(x.any())):
                totals[number] = total
    return [
        mean_square(x) * x.numel() if total is None else total
        for x, total in zip(tensors, totals, strict=True)
    ]


def _sum_of_squares(x: Tensor, compiled: OnePass | None) -> float:
    if compiled is not None:
        total = compiled.products(x, x)
        if squares_fit(total / x.numel(), x):
            return total
        return float(x.detach().double().square().sum())
    norms = (torch.linalg.vector_norm(rows, dim=1).double() for rows in _rows(x))
    total = float(sum(torch.dot(n, n) for n in norms))
    return total if squares_fit(total / x.numel(), x) else float(x.double().square().sum())


def squares_fit(mean_square: float, *operands: Tensor) -> bool:
    """False where float32 squares vanished or overflowed: 1e-23 squared is 0.

    `operands` tell a mean of 0 or infinity that is right from one that is not.
    """
    if 1e-30 < abs(mean_square) < 1e30:
        return True
    largest = [max(abs(float(v)) for v in torch.aminmax(x.detach())) for x in operands]
    return any(v == 0 or not math.isfinite(v) for v in largest)


def measure(x: Tensor) -> Measured:
    """Mean, variance (population), mean square, minimum, maximum and zeros of one tensor.

    Of complex numbers: of their absolute values. Zeros that a sparse tensor leaves out count.

    Everything is accumulated in float32 or better, whatever the dtype of `x`. No sync on a GPU.

    Example:
        >>> m = measure(torch.tensor([0.0, 3.0, 4.0, 1.0]))
        >>> m.named([float(v) for v in m.values])["mean"]
        2.0
    """
    values = _moments(x)
    if values is not None:
        return Measured(x.numel(), values)
    x = _ready(x)
    count = x.numel()
    if count == 0:
        return Measured(0, (math.nan,) * 6)
    if x.device.type != "cpu":
        variance, mean = torch.var_mean(x, correction=0)
        low, high = torch.aminmax(x)
        zeros = count - torch.count_nonzero(x)
        return Measured(count, (mean, variance, mean_square(x), low, high, zeros))
    return Measured(count, _moments(x) or _on_cpu(x))


def _moments(x: Tensor) -> tuple[float, ...] | None:
    """In one pass; None where that cannot be, or its sums do not fit into float32."""
    compiled = _compiled(x)
    if compiled is None:
        return None
    count = x.numel()
    total, squares, low, high, zeros = compiled.moments(x)
    if not (math.isfinite(total) and 1e-30 < squares / count < 1e30):
        return None
    mean, mean_square = total / count, squares / count
    variance = mean_square - mean * mean
    if variance < 1e-2 * mean_square:  # two large numbers cancel: centre first
        variance = _around(x.detach(), mean)
    return mean, variance, mean_square, low, high, zeros


def _around(x: Tensor, mean: float) -> float:
    """The variance of numbers far from 0 that have about this mean.

    What their dtype rounds off the mean, and what summing them did, is what the rest has for one.
    """
    rest = x - mean
    squares = _sum_of_squares(rest, _compiled(rest))
    return squares / x.numel() - float(rest.mean(dtype=torch.float64)) ** 2


def _on_cpu(x: Tensor) -> tuple[float, ...]:
    count = x.numel()
    x = x.detach().view(-1)
    low, high, total, squares, zeros = _totals(x)
    mean = total / count
    if not math.isfinite(mean) and math.isfinite(high - low):
        mean = float(x.double().mean())
    if not squares_fit(squares / count, x):
        squares = float(x.double().square().sum())
    mean_square = squares / count
    variance = mean_square - mean * mean
    if variance < 1e-2 * mean_square:  # as above
        variance = _around(x, mean)
    return mean, variance, mean_square, low, high, zeros


def _totals(x: Tensor) -> tuple[float, ...]:
    """Minimum, maximum, sum, sum of squares and zeros of a flat tensor, read once."""
    ends: list[Tensor] = []
    total, squares, zeros = 0.0, 0.0, 0.0
    room = torch.empty(min(x.numel(), _READ * _ROW), dtype=torch.bool)
    for rows in _rows(x):
        pair = torch.stack(torch.aminmax(rows))
        low, high = pair.tolist()
        if not (low > 0 or high < 0):
            other = room[: rows.numel()].copy_(rows.view(-1))  # than zero; NaN is, too
            zeros += rows.numel() - _how_many(other)
        total += float(rows.sum(1).double().sum())
        norms = torch.linalg.vector_norm(rows, dim=1).double()
        squares += float(torch.dot(norms, norms))
        ends.append(pair)
    both = torch.stack(ends)  # NaN is the smallest and the largest
    return float(both[:, 0].amin()), float(both[:, 1].amax()), total, squares, zeros


def _how_many(true: Tensor) -> int:
    """Of a flat tensor of bool. As numbers of eight bytes, each of which counts to 128: a sixth."""
    if true.numel() % 1024:
        return int(true.sum())
    return int(true.view(torch.int64).view(-1, 128).sum(1).view(torch.uint8).sum())


def mean_square(x: Tensor) -> Tensor | float:
    """Mean square of one tensor, accumulated in float32 or better; no sync on a GPU."""
    compiled = _compiled(x)
    if compiled is not None:
        return _sum_of_squares(x, compiled) / x.numel()
    if x.numel() == 0:
        return math.nan
    x = _ready(x)
    if x.device.type != "cpu":
        norm = torch.linalg.vector_norm(x, dtype=widest(x))
        return norm * norm / x.numel()
    return _sum_of_squares(x, _compiled(x)) / x.numel()


def mean_product(x: Tensor, y: Tensor) -> Tensor | float:
    """Mean of the elementwise product of two tensors of one shape; no sync on a GPU.

    Of complex numbers: of the real part of x times the conjugate of y.
    """
    if x.numel() == 0:
        return math.nan
    if x.is_complex() and y.is_complex():
        return 2 * mean_product(torch.view_as_real(dense(x)), torch.view_as_real(dense(y)))
    if _compiled(x, y) is None:
        x, y = _wide(flat(x)), _wide(flat(y, like=x))
    if x.device.type != "cpu":
        return torch.dot(x.to(widest(x)), y.to(widest(x))) / x.numel()
    y = y.to(x.dtype)
    compiled = _compiled(x, y)
    if compiled is not None:
        mean = compiled.products(x, y) / x.numel()
        if squares_fit(mean, x, y):
            return mean
        return float((x.detach().double() * y.detach().double()).mean())
    # not bmm, which adds up one by one on some CPUs: 2e-5 off in 4096 equal numbers
    products = ((a * b).sum(1).double().sum() for a, b in zip(_rows(x), _rows(y), strict=True))
    mean = float(sum(products)) / x.numel()
    return mean if squares_fit(mean, x, y) else float((x.double() * y.double()).mean())


def mean_squares_and_product(x: Tensor, y: Tensor) -> tuple[Number, Number, Number]:
    """:func:`mean_square` of two tensors of one shape, and :func:`mean_product`; read once."""
    compiled = _compiled(x, y)
    if compiled is not None:
        count = x.numel()
        first, second, both = (total / count for total in compiled.pair(x, y))
        if all(1e-30 < abs(mean) < 1e30 for mean in (first, second, both)):
            return first, second, both
    return mean_square(x), mean_square(y), mean_product(x, y)


def read(values: list[Tensor | float]) -> list[float]:
    """Numbers from scalars that may still be on a device: one transfer for all of them."""
    tensors = [v for v in values if isinstance(v, Tensor)]
    if not tensors:
        return [float(v) for v in values]
    scalars = [t.detach().to(widest(t)).reshape(()) for t in tensors]
    numbers = iter(torch.stack(scalars).tolist())
    return [next(numbers) if isinstance(v, Tensor) else float(v) for v in values]
