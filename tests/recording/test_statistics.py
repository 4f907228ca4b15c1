"""`measure`, `mean_square`, `mean_product` against float64: every dtype, layout, extreme, way."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from resviz.compiled.sums import one_pass
from resviz.recording import statistics
from resviz.recording.norms import NormsBeside, norms
from resviz.recording.statistics import (
    NAMES,
    flat,
    mean_product,
    mean_square,
    mean_squares_and_product,
    measure,
    read,
)


@pytest.fixture(autouse=True, params=["compiled", "eager"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is said here holds with a compiler and without."""
    if request.param == "eager":
        monkeypatch.setattr(statistics, "one_pass", lambda: None)
    elif one_pass() is None:
        pytest.skip("no C compiler")


def measured(x: Tensor) -> dict[str, float]:
    result = measure(x)
    return result.named(read(list(result.values)))


def expected(x: Tensor) -> dict[str, float]:
    wide = x.detach().double()
    return {
        "mean": wide.mean().item(),
        "std": wide.std(correction=0).item(),
        "rms": wide.square().mean().sqrt().item(),
        "norm": wide.square().sum().sqrt().item(),
        "min": wide.min().item(),
        "max": wide.max().item(),
        "zero_fraction": (wide == 0).double().mean().item(),
    }


def check(x: Tensor, tolerance: float = 1e-6) -> None:
    got, right = measured(x), expected(x)
    scale = right["rms"]
    assert set(got) == set(NAMES)
    for name in ("mean", "std", "rms", "min", "max"):
        assert abs(got[name] - right[name]) <= tolerance * scale, (name, got[name], right[name])
    assert got["norm"] == pytest.approx(right["norm"], rel=tolerance, abs=0)
    assert got["zero_fraction"] == right["zero_fraction"]
    assert math.sqrt(mean_square_of(x)) == pytest.approx(right["rms"], rel=tolerance, abs=0)


def mean_square_of(x: Tensor) -> float:
    return float(mean_square(x))


@pytest.mark.parametrize("size", [1, 2, 4095, 4096, 4097, 8192, 100_003])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_floating_dtypes_and_sizes_around_the_rows(dtype: torch.dtype, size: int):
    check((torch.randn(size) * 3 + 1).to(dtype))
    check(torch.relu(torch.randn(size)).to(dtype))


@pytest.mark.parametrize("spread", [0.005, 0.01, 0.012, 0.05, 0.09, 0.11])
def test_a_spread_far_below_the_mean_is_right_in_itself(spread: float):
    for size in (300, 70_000, 1_100_000):
        x = 1 + spread * torch.randn(size)
        assert measured(x)["std"] == pytest.approx(expected(x)["std"], rel=5e-5)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("more", [0, 4096, 5])
def test_what_is_read_in_several_parts(share: float, more: int):
    """4 MB are read together: the ends, and zeros, may lie in any of them."""
    x = torch.randn(2 * 2**20 + more) * (torch.rand(2 * 2**20 + more) >= share)
    x[7], x[2**20 + 7], x[-1] = -9.0, 9.0, 0.0
    check(x)
    y = torch.randn_like(x)
    right = (x.double() * y.double()).mean().item()
    assert float(mean_product(x, y)) == pytest.approx(right, abs=1e-7)
    x[2**20 + 8] = math.nan
    got = measured(x)
    assert math.isnan(got["min"]) and math.isnan(got["max"]) and math.isnan(got["mean"])
    assert got["zero_fraction"] == (x == 0).double().mean().item()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_integers(dtype: torch.dtype):
    check(torch.randint(0, 100, (3, 5000)).to(dtype))


def test_booleans():
    check(torch.rand(3, 5000) > 0.3)


def test_float16_whose_sum_and_squares_would_overflow():
    check(torch.full((100_000,), 300.0, dtype=torch.float16) + torch.randn(100_000).half())


def test_empty():
    assert all(math.isnan(v) or v == 0 for v in measured(torch.zeros(2, 0)).values())
    assert math.isnan(mean_square_of(torch.zeros(0)))
    assert math.isnan(float(mean_product(torch.zeros(0), torch.zeros(0))))


@pytest.mark.parametrize("value", [0.0, -2.5, 7.0])
def test_scalar(value: float):
    check(torch.tensor(value))


def layouts() -> dict[str, Tensor]:
    x = torch.randn(4, 6, 10, 12)
    return {
        "channels_last": x.to(memory_format=torch.channels_last),
        "transposed": x.transpose(1, 3),
        "strided": x[:, ::2, 1:, ::3],
        "expanded": torch.randn(1, 6, 1, 12).expand(4, 6, 10, 12),
        "expanded scalar": torch.tensor(2.0).expand(3, 4),
        "flipped": x.flip(2),
        "narrow": x.narrow(3, 2, 5),
        "five dimensions": torch.randn(2, 3, 4, 5, 6).to(memory_format=torch.channels_last_3d),
        "one": torch.randn(1, 1, 1, 1).to(memory_format=torch.channels_last),
    }


@pytest.mark.parametrize("layout", list(layouts()))
def test_layouts(layout: str):
    check(layouts()[layout])
    check(torch.relu(layouts()[layout]))


@pytest.mark.parametrize("layout", ["channels_last", "transposed", "five dimensions"])
def test_flat_does_not_copy_dense_layouts(layout: str):
    x = layouts()[layout]
    assert flat(x).data_ptr() == x.data_ptr()
    assert flat(x).shape == (x.numel(),)


@pytest.mark.parametrize("one", list(layouts()))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_mean_product_of_different_layouts(one: str, dtype: torch.dtype):
    x = layouts()[one].to(dtype)
    y = torch.randn(x.shape).to(dtype)
    right = (x.double() * y.double()).mean().item()
    for left, other in ((x, y), (y, x)):
        assert float(mean_product(left, other)) == pytest.approx(right, rel=1e-5, abs=1e-7)


def test_mean_product_of_large_tensors():
    x, y = torch.randn(1_000_003), torch.randn(1_000_003)
    right = (x.double() @ y.double()).item() / x.numel()
    assert float(mean_product(x, y)) == pytest.approx(right, abs=1e-8)


@pytest.mark.parametrize(
    "size", [1, 40_000, pytest.param(2**18 * 65 + 7, marks=pytest.mark.thorough)]
)
def test_two_tensors_read_once_are_as_each_by_itself(size: int):
    generator = torch.Generator().manual_seed(size)
    x, y = torch.randn(2, size, generator=generator) * torch.tensor([[3.0], [1e-4]])
    together = mean_squares_and_product(x, y)
    assert together == pytest.approx((mean_square(x), mean_square(y), mean_product(x, y)), rel=1e-9)
    assert together[2] == pytest.approx((x.double() * y.double()).mean().item(), abs=1e-10)


@pytest.mark.parametrize("value", [0.0, 1e-25, 1e25, math.inf])
def test_two_tensors_of_which_one_does_not_fit_into_float32_squares(value: float):
    x, y = torch.full((5000,), value), torch.ones(5000)
    first, second, both = mean_squares_and_product(x, y)
    assert (first, second) == pytest.approx((x.double().square().mean().item(), 1.0))
    assert both == pytest.approx(x.double().mean().item())


def test_sums_do_not_depend_on_the_number_of_threads():
    x = torch.randn(2**18 * 9 + 100, generator=torch.Generator().manual_seed(0))
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append((measure(x).values, mean_square(x), mean_product(x, x.flip(0))))
    finally:
        torch.set_num_threads(before)
    if statistics.is_compiled():
        assert found[0] == found[1] == found[2]


def test_norms_beside_are_norms():
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(size, generator=generator) for size in (1, 7, 100_000)]
    tensors += [torch.zeros(3), torch.full((4,), 1e25), torch.ones(2, dtype=torch.float64)]
    for some in (tensors[:5], tensors):
        assert NormsBeside(some).read() == norms(some)
        right = [float(t.double().square().sum().sqrt()) for t in some]
        assert norms(some) == pytest.approx(right, rel=1e-7)


def test_mean_product_under_autocast():
    one, other = torch.randn(2, 10_000).unbind()
    with torch.autocast("cpu", torch.bfloat16):
        product = mean_product(one, other)
        assert torch.is_autocast_enabled("cpu")
    assert product == mean_product(one, other)


@pytest.mark.parametrize("mean", [1e4, -1e4, 1e6])
def test_std_beside_a_large_mean(mean: float):
    x = torch.randn(500_000) + mean
    assert measured(x)["std"] == pytest.approx(x.double().std(correction=0).item(), rel=1e-4)
    assert measured(x)["mean"] == pytest.approx(x.double().mean().item(), rel=1e-7)


@pytest.mark.parametrize("size", [7, 4096, 4097, 100_003])
@pytest.mark.parametrize(("mean", "spread"), [(1e4, 1e-3), (1e6, 0.1), (1e6, 1.0), (-3e5, 0.1)])
def test_std_of_few_numbers_at_the_edge_of_their_dtype(size: int, mean: float, spread: float):
    x = torch.randn(size) * spread + mean
    assert measured(x)["std"] == pytest.approx(x.double().std(correction=0).item(), rel=1e-6)


def test_std_of_a_constant_is_zero():
    for value in (0.1, -3.0, 12345.678):
        assert measured(torch.full((10_000,), value))["std"] <= 1e-6 * abs(value)


def test_all_zeros():
    right = dict.fromkeys(NAMES, 0.0) | {"zero_fraction": 1.0}
    assert measured(torch.zeros(5000)) == right
    assert mean_square_of(torch.zeros(5000)) == 0.0


@pytest.mark.parametrize("low", [-3, 0, 1])
@pytest.mark.parametrize("high", [-1, 0, 3])
def test_zero_counts(low: int, high: int):
    if low <= high:
        check(torch.randint(low, high + 1, (9999,)).float())


def test_negative_zero_is_a_zero():
    assert measured(torch.tensor([-0.0, 1.0, -1.0, 0.0]))["zero_fraction"] == 0.5


def test_denormals_are_no_zeros():
    x = torch.tensor([1e-45, -1e-45, 0.0, 1e-39])
    assert measured(x)["zero_fraction"] == 0.25


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e-25, 1e-22, 1e-15, 1e15, 1e19, 1e25, 1e37])
def test_what_is_too_small_or_large_for_float32_squares(scale: float):
    """Vanishing gradients: 1e-25 is a number, and so is its norm."""
    x = (torch.randn(10_000).double() * scale).float()
    check(x, 1e-5)
    y = torch.randn(10_000)
    right = (x.double() * x.double()).mean().item()
    assert float(mean_product(x, x)) == pytest.approx(right, rel=1e-5, abs=0)
    right = (x.double() * y.double()).mean().item()
    assert float(mean_product(x, y)) == pytest.approx(right, rel=1e-4, abs=0)


def test_one_small_tensor_beside_a_normal_one_in_a_cosine():
    x, y = torch.randn(10_000), torch.randn(10_000) * 1e-36
    right = (x.double() * y.double()).mean().item()
    assert float(mean_product(x, y)) == pytest.approx(right, rel=1e-4, abs=0)


@pytest.mark.parametrize("position", [0, 4095, 4096, 5000])
def test_one_nan_shows(position: int):
    x = torch.relu(torch.randn(5001))
    zeros = (x == 0).sum().item() - (x[position] == 0).item()
    x[position] = math.nan
    got = measured(x)
    assert all(math.isnan(got[name]) for name in ("mean", "std", "rms", "norm", "min", "max"))
    assert got["zero_fraction"] == pytest.approx(zeros / 5001)
    assert math.isnan(mean_square_of(x))


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_one_infinity_shows(value: float):
    x = torch.relu(torch.randn(5001))
    zeros = (x[1:] == 0).sum().item()
    x[0] = value
    got = measured(x)
    assert got["mean"] == value
    assert math.isnan(got["std"])
    assert got["rms"] == math.inf and got["norm"] == math.inf
    assert got["max" if value > 0 else "min"] == value
    assert got["zero_fraction"] == pytest.approx(zeros / 5001)


def test_the_tensor_is_not_changed():
    x = torch.randn(3, 4, 5000)
    before, version = x.clone(), x._version
    measure(x), mean_square(x), mean_product(x, x)
    assert torch.equal(x, before) and x._version == version


def test_no_slow_kernel_on_the_cpu(monkeypatch: pytest.MonkeyPatch):
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a slow kernel on the CPU path")

    for name in ("var_mean", "std_mean", "count_nonzero", "histc", "var", "std", "isfinite"):
        monkeypatch.setattr(torch, name, refuse)
        if hasattr(Tensor, name):
            monkeypatch.setattr(Tensor, name, refuse)
    from resviz.networks.cifar import cifar_resnet
    from resviz.recording.recorder import record

    measured(torch.randn(100_000))
    record(cifar_resnet(8, seed=0), torch.randn(2, 3, 32, 32))


def test_read_gives_numbers_in_order():
    values = [1.5, torch.tensor(2.5), torch.tensor(3, dtype=torch.int64), math.nan]
    got = read(values)
    assert got[:3] == [1.5, 2.5, 3.0] and math.isnan(got[3])
    assert read([]) == []
