"""Bytes for the browser: what was packed is read back, also by the JavaScript that reads it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resviz.views import style
from resviz.views.payload import NOT_FINITE, Packing, quantised
from views.sources import FRONTEND

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="no node")


def read_back(codes: Any, scale: Any, offset: Any) -> Any:
    """As the browser does: float64 arithmetic on float32 scale and offset."""
    shape = scale.shape + (1,) * (codes.ndim - scale.ndim)
    values = scale.astype(float).reshape(shape) * codes + offset.astype(float).reshape(shape)
    return np.where(codes == NOT_FINITE, np.nan, values)


def test_by_hand() -> None:
    codes, scale, offset = quantised([0.0, 2.54, 1.27])
    assert codes.tolist() == [0, 254, 127] and offset == 0
    assert scale == pytest.approx(0.01, rel=1e-4)


@pytest.mark.parametrize("shift", [-3.0, -1.0, -1e-3, 0.0, 1e-3, 5.0, 1e6])
@pytest.mark.parametrize("size", [1e-30, 1e-6, 1.0, 1e30])
def test_half_a_step(shift: float, size: float) -> None:
    rng = np.random.default_rng(0)
    values = ((rng.random((3, 4, 5, 6)) + shift) * size).astype(np.float32)
    codes, scale, offset = quantised(values, groups=2)
    assert codes.dtype == np.uint8 and scale.dtype == offset.dtype == np.float32
    assert codes.shape == values.shape and scale.shape == offset.shape == (3, 4)
    error = np.abs(read_back(codes, scale, offset) - values.astype(float))
    rounding = np.abs(values).max() * 2.0**-24  # offset is a float32
    assert (error <= scale[..., None, None] / 2 * (1 + 1e-5) + rounding).all()
    span = values.max(axis=(2, 3)) - values.min(axis=(2, 3))
    assert (scale <= span / 253 * 1.01 + rounding).all()


def test_exact_zeros_stay_exact() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=(50, 64)).astype(np.float32) * np.exp(rng.normal(size=(50, 1)) * 9)
    values[:, ::3] = 0
    values[:10] = np.abs(values[:10])
    values[10:20] = -np.abs(values[10:20])
    back = read_back(*quantised(values.astype(np.float32), groups=1))
    assert (back[:, ::3] == 0).all()


def test_each_group_has_its_own_scale() -> None:
    values = np.stack([np.linspace(0, 1e-4, 9), np.linspace(0, 1e4, 9)])
    back = read_back(*quantised(values, groups=1))
    assert np.allclose(back[0], values[0], atol=1e-6 / 2)
    together = read_back(*quantised(values))
    assert (together[0] == 0).all()  # a shared scale would have lost the first


@pytest.mark.parametrize("constant", [0.0, 3.5, -2.0, 1e-45, 3e38])
def test_a_constant(constant: float) -> None:
    codes, scale, offset = quantised(np.full((2, 3), constant), groups=1)
    assert np.allclose(read_back(codes, scale, offset), np.float32(constant), rtol=1e-4)


def test_what_is_not_finite() -> None:
    values = np.array([[np.nan, 1, 2, np.inf], [-np.inf, np.nan, np.nan, np.inf]])
    codes, scale, offset = quantised(values, groups=1)
    assert codes.tolist()[0][1:3] == [0, 254] and (codes == NOT_FINITE).sum() == 6
    assert np.isfinite(scale).all() and np.isfinite(offset).all()


def test_the_whole_range_of_float32() -> None:
    end = np.finfo(np.float32).max
    codes, scale, offset = quantised([-end, 0, end])
    assert np.isfinite(read_back(codes, scale, offset)).all()
    assert read_back(codes, scale, offset)[1] == 0


def test_nothing_at_all() -> None:
    codes, scale, offset = quantised(np.zeros((2, 0)), groups=1)
    assert codes.shape == (2, 0) and scale.tolist() == offset.tolist() == [0, 0]


def test_packing_aligns_and_reads_back() -> None:
    packing = Packing()
    arrays = [np.arange(5, dtype=np.uint8), np.float32([1.5, -2]), np.arange(3, dtype=np.uint16)]
    references = [packing.add(array) for array in arrays]
    payload = packing.payload({"arrays": references})
    assert [reference["at"] % 4 for reference in references] == [0, 0, 0]
    for array, reference in zip(arrays, references, strict=True):
        assert (payload.array(reference) == array).all()
    json.dumps(payload.meta, allow_nan=False)


def test_packing_refuses_what_the_browser_cannot_read() -> None:
    with pytest.raises(TypeError, match="Packing: float64; one of uint8"):
        Packing().add(np.zeros(2))


def in_node(script: str, *arguments: str) -> Any:
    """What `script`, which imports pixels.js as `pixels`, prints as JSON."""
    head = f'import * as pixels from "{(FRONTEND / "pixels.js").as_uri()}";\n'
    head += 'import { readFileSync } from "node:fs";\n'
    command = [str(NODE), "--input-type=module", "-e", head + script, "--", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_node
@pytest.mark.parametrize("shift", [0, 1, 2, 3])
def test_the_browser_reads_what_python_packed(tmp_path: Path, shift: int) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(2, 3, 4, 5)).astype(np.float32)
    values[0, 1] = np.abs(values[0, 1])
    values[1, 2, 0, 0] = np.nan
    packing = Packing()
    packing.add(np.uint8([1, 2, 3]))
    described = packing.add_pixels(values, groups=2)
    payload = packing.payload({})
    (tmp_path / "buffer").write_bytes(b"\0" * shift + payload.buffer)  # a misaligned DataView too
    (tmp_path / "meta").write_text(json.dumps(described))
    found = in_node(
        """
        const [folder, shift] = process.argv.slice(1);
        const bytes = new Uint8Array(readFileSync(`${folder}/buffer`));
        const view = new DataView(bytes.buffer, Number(shift));
        const described = JSON.parse(readFileSync(`${folder}/meta`, "utf8"));
        const read = Object.fromEntries(
          Object.entries(described).map(([name, ref]) => [name, pixels.arrayAt(view, ref)]));
        const layer = { ...read, images: 2, channels: 3, height: 4, width: 5 };
        const all = [0, 1].map((n) => [0, 1, 2].map((c) => [...pixels.valuesOf(layer, n, c)]));
        console.log(JSON.stringify(all));
        """,
        str(tmp_path),
        str(shift),
    )
    back = np.array(found, dtype=float).reshape(values.shape)
    steps = payload.array(described["scale"])[..., None, None]
    assert np.isnan(back[1, 2, 0, 0])
    known = np.isfinite(values)
    assert (
        np.abs(back - values)[known] <= np.broadcast_to(steps, values.shape)[known] * 0.501
    ).all()


@needs_node
@pytest.mark.parametrize(
    ("theirs", "ours"), [("Viridis", "viridis"), ("Cividis", "cividis"), ("RdBu_r", "signed")]
)
def test_colours_are_those_of_the_figures(theirs: str, ours: str) -> None:
    found = in_node(f'console.log(JSON.stringify([...pixels.colourTable("{ours}")]))')
    table = np.array(found).reshape(256, 3)
    assert np.abs(table - style.colour_table(theirs).astype(int)).max() <= 1


@needs_node
def test_the_overlay_is_that_of_the_figures() -> None:
    from resviz.views.pictures import blended, coloured, grey, resized

    rng = np.random.default_rng(5)
    values = rng.random((3, 4)).astype(np.float32)
    photo = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
    found = in_node(
        f"""
        const values = Float32Array.from({json.dumps(values.ravel().tolist())});
        const photo = Uint8Array.from({json.dumps(photo.ravel().tolist())});
        const fine = pixels.resizedBilinear(values, 3, 4, 6, 9);
        const colours = pixels.colourTable("viridis");
        const pixels_ = pixels.overlayPixels(fine, {{ low: 0, high: 1 }}, colours, photo, 0.6);
        console.log(JSON.stringify([[...fine], [...pixels_]]));
        """
    )
    fine = resized(values, (6, 9))
    assert np.allclose(np.array(found[0]).reshape(6, 9), fine, atol=1e-6)
    wanted = blended(grey(photo), coloured(fine, 0, 1, "Viridis"), 0.6).astype(int)
    assert np.abs(np.array(found[1]).reshape(6, 9, 4)[..., :3] - wanted).max() <= 3
