"""axe-core finds nothing wrong with any view's page at WCAG 2.1 AA, in both themes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import resviz as rv

pytestmark = pytest.mark.browser
VIEWS = ("explore", "feature_maps", "residuals", "gradients", "explanation", "channels")
RUN = """async () => {
  const rules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa'];
  const found = await axe.run(document.querySelector('.rv-view'), { runOnly: rules });
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 120)}`);
}"""


@pytest.fixture(scope="module")
def axe() -> str:
    package = pytest.importorskip("axe_playwright_python")
    return next(Path(package.__file__).parent.rglob("axe.min.js")).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pages(
    net: Any, images: torch.Tensor, preset: rv.Preset, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("accessible")
    rec = rv.record(net, images, preset=preset, keep=["blocks", "additions"])
    made = {
        "explore": lambda: rv.explore(net, images[:2], preset=preset),
        "feature_maps": lambda: rv.explore_feature_maps(rec),
        "residuals": lambda: rv.explore_residuals(rec),
        "gradients": lambda: rv.explore_gradients(rec),
        "channels": lambda: rv.explore_channels(
            rv.scan(net, images, preset=preset, progress=False)
        ),
        "explanation": lambda: rv.explore_explanation(net, images[:2], preset=preset),
    }

    def page(name: str) -> Path:
        file = folder / f"{name}.html"
        if not file.exists():
            made[name]().save_html(file)
        return file

    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", VIEWS)
def test_nothing_is_wrong(opened: Any, pages: Any, axe: str, name: str, scheme: str) -> None:
    ready = "() => document.querySelector('.rv-view svg path, .rv-view canvas')"
    page = opened(pages(name), ready, color_scheme=scheme, viewport={"width": 1000, "height": 700})
    page.page.evaluate(axe)
    assert page.page.evaluate(RUN) == []


def test_it_would_be_found(opened: Any, pages: Any, axe: str) -> None:
    page = opened(pages("explore"), "() => document.querySelector('.rv-spine-line')")
    page.page.evaluate(axe)
    page.at.locator(".rv-map-words").evaluate(
        "(one) => (one.style.color = 'rgba(128,128,128,0.4)')"
    )
    page.at.evaluate("(view) => view.append(document.createElement('button'))")
    found = page.page.evaluate(RUN)
    assert {one.split(":")[0] for one in found} == {"button-name", "color-contrast"}
