"""The pictures of docs/pictures/packaged are what the views look like, but for how letters fall."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resviz.views import style

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "docs" / "pictures" / "packaged"
SIZE = {"width": 1000, "height": 700}
NAMES = (
    *("feature_maps", "residuals", "gradients", "explanation"),
    *("explore", "explore_stem", "explore_cut", "explore_keys"),
)


def difference(one: Path, other: Path) -> float:
    """Share of the squares of 20 pixels whose mean colours differ by more than 8 %."""
    squares = []
    for file in (one, other):
        pixels = np.asarray(Image.open(file).convert("RGB"), dtype=np.float32) / 255
        squares.append(pixels[:700, :1000].reshape(35, 20, 50, 20, 3).mean(axis=(1, 3)))
    return float((np.abs(squares[0] - squares[1]).max(axis=2) > 0.08).mean())


@pytest.fixture(scope="module")
def maker() -> Any:
    spec = importlib.util.spec_from_file_location("pictures", ROOT / "docs/making/pictures.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(maker: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "_NETWORKS", {})  # colours as the first views of a session
        return {name: (page, keys) for name, page, keys in maker.packaged_pages(folder)}


@pytest.mark.parametrize("name", NAMES)
def test_the_views_look_as_in_the_pictures(
    name: str, pages: dict[str, Any], maker: Any, chromium: Any, tmp_path: Path
) -> None:
    page, keys = pages[name]
    for scheme in ("light", "dark"):
        file = tmp_path / f"{name}_{scheme}.png"
        maker.photograph(chromium, page, file, SIZE, scheme, keys)
        found = difference(file, COMMITTED / file.name)
        assert found < 0.02, f"{found:.3f} of {file.name} changed; look at it, then: make pictures"


def test_a_change_would_be_seen() -> None:
    states = [COMMITTED / f"explore{state}_light.png" for state in ("", "_stem", "_cut", "_keys")]
    for other in states[1:]:
        assert difference(states[0], other) > 0.05
    assert difference(states[0], COMMITTED / "explore_dark.png") > 0.5


def test_every_picture_is_compared() -> None:
    known = {f"{name}_{scheme}.png" for name in NAMES for scheme in ("light", "dark")}
    assert {file.name for file in COMMITTED.glob("*.png")} == known
