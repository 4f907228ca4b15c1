"""The pictures of docs/pictures/figures are what every `plot_*` draws, but for how letters fall."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import resviz as rv
from cases import thorough_but
from pictures import difference
from resviz.views import style
from resviz.views.static import static_png

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "docs" / "pictures" / "figures"
NAMES = sorted(name for name in rv.__all__ if name.startswith("plot_"))


@pytest.fixture(scope="module")
def every() -> Any:
    spec = importlib.util.spec_from_file_location(
        "every_figure", ROOT / "docs/making/every_figure.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.EveryFigure()


@pytest.mark.parametrize("name", thorough_but(NAMES, ["plot_landscape"]))
def test_every_figure_looks_as_in_its_picture(
    name: str, every: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "_NETWORKS", {})  # colours as the first figures of a session
    drawn = Image.open(io.BytesIO(static_png(every.figure(name))))
    found = difference(drawn, Image.open(COMMITTED / f"{name}.png"))
    assert found < 0.02, f"{found:.3f} of {name}.png changed; look at it, then: make pictures"


@pytest.mark.thorough
def test_a_change_would_be_seen() -> None:
    for name in NAMES:
        picture = Image.open(COMMITTED / f"{name}.png")
        assert difference(picture, picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) > 0.02
        assert difference(picture, picture.crop((0, 0, picture.width, picture.height - 1))) == 1


def test_every_figure_has_a_picture() -> None:
    assert sorted(file.stem for file in COMMITTED.glob("*.png")) == NAMES
