"""Records of small random networks for the views, made once; what reads figures; a browser."""

from __future__ import annotations

import io
import itertools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import resviz as rv
from resviz.networks.cifar import cifar_resnet
from views.browsing import Tab
from views.lab import Lab, started_server

HOSTILE = "<script>alert(1)</script><b>bold</b>"
CLASSES = (*("airplane", "automobile", "bird", "cat", "deer"), *("dog", "frog", "horse", "ship"))


@pytest.fixture(scope="session")
def preset() -> rv.Preset:
    half = (0.5, 0.5, 0.5)
    return rv.Preset(
        "toy-net", "random", half, half, resize=32, crop=32, classes=(*CLASSES, HOSTILE)
    )


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    return torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(7))


@pytest.fixture(scope="session")
def net() -> Any:
    return cifar_resnet(8, seed=0)


@pytest.fixture(scope="session")
def rec(net: Any, images: torch.Tensor, preset: rv.Preset) -> Any:
    additions = [f"layer1.0.add:{part}" for part in ("branch", "shortcut", "sum")]
    keep = ["conv1", "layer1", "layer3", "layer1.0.relu", *additions]
    return rv.record(net, images, preset=preset, keep=keep)


@pytest.fixture(scope="session")
def blind(net: Any, images: torch.Tensor) -> Any:
    """A recording without pictures: nobody said what the network's numbers look like."""
    return rv.record(net, images, gradients=False, keep="blocks")


@pytest.fixture(scope="session")
def norms(images: torch.Tensor) -> list[Any]:
    """`gradient_norms` of one network under three seeds; with projections."""
    return [
        rv.gradient_norms(cifar_resnet(20, shortcut="B", seed=seed), images) for seed in range(3)
    ]


@pytest.fixture(scope="session")
def in_training(images: torch.Tensor) -> Any:
    """The same with BatchNorm on the batch's statistics."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rv.ResvizWarning)  # a small batch
        return rv.gradient_norms(cifar_resnet(20, shortcut="B", seed=0), images, batch_stats=True)


@pytest.fixture(scope="session")
def exp(net: Any, images: torch.Tensor, preset: rv.Preset) -> Any:
    """Two methods, two layers, two targets of each image; the second target has a hostile name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rv.ResvizWarning)  # some maps are blank
        return rv.explain(
            net,
            images,
            [[3, 9], [4, 9], [5, 9]],
            methods=["grad_cam", "hires_cam"],
            layers=["layer2", "layer3"],
            preset=preset,
        )


@pytest.fixture(scope="session")
def makers(rec: Any, norms: Any, exp: Any, net: Any, images: Any, preset: Any) -> dict[str, Any]:
    """What makes each of the explorers, by a name."""
    return {
        "feature maps": lambda: rv.explore_feature_maps(rec),
        "residuals": lambda: rv.explore_residuals(rec),
        "gradients": lambda: rv.explore_gradients({"eval": norms}),
        "explanation": lambda: rv.explore_explanation(exp),
        "live explanation": lambda: rv.explore_explanation(net, images, preset=preset),
        "explore": lambda: rv.explore(net, images, preset=preset),
    }


@pytest.fixture
def zeros() -> pd.DataFrame:
    """A table by hand, with exact zeros, two stages and a provenance."""
    table = pd.DataFrame(
        {
            "layer": ["a.conv", "b.conv", "c.conv", "d.conv"],
            "parameter": ["a.conv.weight", "b.conv.weight", "c.conv.weight", "d.conv.weight"],
            "type": "Conv2d",
            "depth": [1, 2, 3, 4],
            "stage": ["layer1", "layer1", "layer2", "layer2"],
            "projection": False,
            "grad_norm": [0.5, 0.0, 2.0, 0.0],
            "shape": [(4, 3, 3, 3)] * 4,
        }
    )
    return table


class Read:
    """What a figure or a PNG shows, as data."""

    @staticmethod
    def picture(png: bytes) -> np.ndarray[Any, Any]:
        return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))

    @staticmethod
    def named(figure: Any, name: str) -> Any:
        found = [trace for trace in figure.data if trace.name == name]
        assert len(found) == 1, [trace.name for trace in figure.data]
        return found[0]

    @staticmethod
    def title(figure: Any) -> str:
        return str(figure.layout.title.text)

    @staticmethod
    def text(figure: Any) -> str:
        """Everything that plotly reads as markup: titles, names, notes, hover, hover data."""
        parts = [figure.layout.title.text or ""]
        parts += [note.text for note in figure.layout.annotations]
        parts += [shape.label.text or "" for shape in figure.layout.shapes]
        for trace in figure.data:
            parts += [trace.name or "", trace.hovertemplate or ""]
            parts += [str(t) for t in (getattr(trace, "text", None) or ())]
            data = trace.customdata
            if data is not None and np.asarray(data).dtype == object:
                parts += [str(v) for v in np.asarray(data).ravel()]
        return "\n".join(parts)


@pytest.fixture(scope="session")
def read() -> type[Read]:
    return Read


@pytest.fixture(scope="session")
def hostile() -> str:
    return HOSTILE


@pytest.fixture
def opened(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Opens exported pages; afterwards nothing may have gone wrong on any.

    `opened(file, ready, kind=Tab, **options)`: `ready` is JavaScript that is true when it is drawn.
    """
    tabs: list[Tab] = []

    def open_page(file: Path, ready: str, kind: type[Tab] = Tab, **options: Any) -> Tab:
        tabs.append(kind(chromium, file, ready, **options))
        return tabs[-1]

    yield open_page
    for tab in tabs:
        tab.context.close()
    assert [tab.wrong for tab in tabs if tab.wrong] == []


@pytest.fixture
def charted(opened: Callable[..., Any], tmp_path: Path) -> Callable[..., Tab]:
    """Saves a view that has depth charts and opens its page."""
    count = itertools.count()

    def open_view(view: Any, scheme: str = "light", width: int = 1000) -> Any:
        path = tmp_path / f"page{next(count)}.html"
        view.save_html(path)
        size = {"width": width, "height": 900}
        ready = "() => document.querySelector('.rv-depth-svg path')"
        return opened(path, ready, color_scheme=scheme, viewport=size)

    return open_view


@pytest.fixture(scope="session")
def opened_lab(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One JupyterLab with one notebook for all tests that need one."""
    folder = tmp_path_factory.mktemp("lab")
    with started_server(folder) as server:
        lab = Lab(chromium, server, folder)
        yield lab
        lab.context.close()


@pytest.fixture
def lab(opened_lab: Lab) -> Iterator[Lab]:
    """The notebook with its views; afterwards nothing may have gone wrong."""
    opened_lab.refresh()
    yield opened_lab
    assert opened_lab.wrong == []
