"""`plot_*` in JupyterLab, once plotly has taken over: the height stays, the width follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from views.browsing import keep_screenshot
from views.lab import wait_for

FIGURES = """
import sys
import warnings
import pandas as pd
warnings.simplefilter("ignore")  # statistics of few images
seeds = {"ResNet-20": lambda seed: rv.untrained_copy(net, seed=seed)}
log = pd.DataFrame({"epoch": [1, 2], "train_error": [50.0, 40.0], "test_error": [60.0, 55.0]})
for figure in (
    rv.plot_depth_profile(rec),
    rv.plot_residual_branches(rec),
    rv.plot_gradient_flow(rv.gradient_flow(seeds, images)),
    rv.plot_response_std({"ResNet-20": rv.response_std(net, images)}),
    rv.plot_gradient_correlation({"ResNet-20": rv.gradient_correlation(net, images)}),
    rv.plot_branch_study(rv.branch_study(net, images)),
    rv.plot_training({"ResNet-20": log}),
    rv.plot_feature_maps(rec, "layer1.0"),
    rv.plot_explanation(exp),
    rv.plot_architecture({"ResNet-20": rv.architecture(net)}),
):
    sys.displayhook(figure)  # as the last line of a cell does
"""
FIXED = 3  # the last ones are pictures: as wide as they are
PLOTS = ".jp-NotebookPanel .jp-Cell:last-child .jp-RenderedPlotly"
SIZES = """all => all.map((plot) => {
  const drawn = plot.querySelector('.main-svg');
  const size = ['width', 'height'].map((side) => Math.round(drawn.getAttribute(side)));
  return [...size, plot.offsetWidth, plot.offsetHeight];
})"""
BACK = """() => {
  const all = [...window.jupyterapp.shell.widgets('main')];
  window.jupyterapp.shell.activateById(all.find((one) => one.title.label === 'views.ipynb').id);
}"""

pytestmark = pytest.mark.browser


@pytest.fixture
def plots(lab: Any) -> Iterator[Any]:
    """Ten figures below the last cell, taken over by plotly; at the end the page is as before."""
    lab.execute(FIGURES)
    plots = lab.page.locator(PLOTS)
    assert plots.count() == FIGURES.count("rv.plot_")
    for n in range(plots.count()):
        plots.nth(n).scroll_into_view_if_needed()
        plots.nth(n).hover()
        plots.nth(n).locator(".main-svg").first.wait_for()
    yield plots
    lab.page.set_viewport_size({"width": 1300, "height": 1000})
    lab.execute("None")


def sizes(plots: Any) -> list[list[int]]:
    """(width, height, width of its place, height of its place) of each."""
    return list(plots.evaluate_all(SIZES))


def follow(plots: Any, heights: list[int], before: list[list[int]]) -> list[list[int]]:
    """Sizes when every plot is as wide as its place, and that is another than before."""

    def followed() -> list[list[int]] | None:
        now = sizes(plots)
        free = now[:-FIXED]
        fits = all(width == place for width, _, place, _ in free)
        moved = all(one[2] != old[2] for one, old in zip(now, before, strict=True))
        return now if fits and moved else None

    wait_for(followed, 10)
    plots.page.wait_for_timeout(500)  # nothing comes after
    now = sizes(plots)
    assert [one[1] for one in now] == heights
    assert [one[3] for one in now] == heights
    assert [one[0] for one in now[:-FIXED]] == [one[2] for one in now[:-FIXED]]
    assert [one[0] for one in now[-FIXED:]] == [one[0] for one in before[-FIXED:]]
    return now


def test_the_height_stays_and_the_width_follows(lab: Any, plots: Any) -> None:
    lab.page.wait_for_timeout(500)
    now = sizes(plots)
    heights = [one[1] for one in now]
    assert min(heights) > 300
    for width in (1000, 1300):
        lab.page.set_viewport_size({"width": width, "height": 900})
        now = follow(plots, heights, now)
    for _ in ("closed", "open"):
        lab.command("application:toggle-left-area")
        now = follow(plots, heights, now)
    keep_screenshot(lab.page, "figures_jupyterlab")
    lab.command("launcher:create")
    plots.first.wait_for(state="hidden")
    lab.page.set_viewport_size({"width": 1100, "height": 900})  # while they are out of sight
    lab.page.wait_for_timeout(500)
    lab.page.evaluate(BACK)
    follow(plots, heights, now)
    lab.command("application:activate-next-tab")
    plots.first.wait_for(state="hidden")
    lab.command("application:close")  # the launcher
    plots.first.wait_for()
    lab.page.wait_for_timeout(500)
    assert [one[3] for one in sizes(plots)] == heights
