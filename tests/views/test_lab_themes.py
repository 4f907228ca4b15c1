"""JupyterLab's light and dark theme, whatever the system prefers: words stand out, charts fit."""

from __future__ import annotations

from typing import Any

import pytest

from views.browsing import keep_screenshot, luminance
from views.lab import VIEWS, wait_for

FITS = """view => [...view.querySelectorAll('.rv-depth-plot')]
  .every((plot) => plot.clientWidth === Number(plot.querySelector('svg').getAttribute('width')))"""

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("theme", ["Dark", "Light"])
def test_words_stand_out(lab: Any, theme: str, scheme: str) -> None:
    lab.page.emulate_media(color_scheme=scheme)
    lab.command("apputils:change-theme", theme=f"JupyterLab {theme}")
    named = "name => document.body.dataset.jpThemeName === name"
    lab.page.wait_for_function(named, arg=f"JupyterLab {theme}")
    lab.view("residuals").choose("addition", "layer1.0.add (channels)")
    for name in VIEWS:
        one = lab.view(name)
        one.at.get_by_role("button", name="keyboard help").click()
        wait_for(lambda one=one: (luminance(one.ground()) < 0.1) == (theme == "Dark"), 5)
        ratio, words = one.faintest()
        assert ratio >= 4.5, (name, words)
        one.at.get_by_role("button", name="keyboard help").click()
        wait_for(lambda one=one: one.at.evaluate(FITS), 5)
        if scheme == theme.lower():
            keep_screenshot(one.at, f"{name}_lab_{scheme}")
