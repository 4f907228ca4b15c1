"""The pictures of the README, made by the project itself: `make pictures`.

Charts are the static pictures of their figures; views are photographed in Chromium from their
exported pages. With pretrained weights at hand the network is ResNet-50, else the packaged
ResNet-56.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import torch

import resviz as rv
from resviz.analysis import theory
from resviz.views.static import static_png

HERE = Path(__file__).parent / "pictures"
SAMPLES = Path(__file__).parents[1] / "sample_images"
SIZE = {"width": 1100, "height": 640}
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]


def charts() -> None:
    resnet = rv.load_model("resnet34", weights="random", seed=0)
    plain = rv.plain_twin(resnet, seed=0)
    tables = {
        name: rv.architecture(net) for name, net in (("plain-34", plain), ("ResNet-34", resnet))
    }
    (HERE / "architecture.png").write_bytes(static_png(rv.plot_architecture(tables)))
    images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    variants = {"plain-56": {"depth": 56, "shortcut": "none"}, "ResNet-56": {"depth": 56}}
    flow = rv.gradient_flow(variants, images, seeds=3, data="normal noise", progress=False)
    law = {"plain-56": theory.BATCHNORM_EXPLOSION}
    figure = rv.plot_gradient_flow(flow, ["gradients", "activations"], theory=law)
    (HERE / "gradient_flow.png").write_bytes(static_png(figure))


def views() -> None:
    from playwright.sync_api import sync_playwright

    net = rv.load_model("resnet50", fallback="cifar10-resnet56")
    images = rv.load_images([SAMPLES / "chelsea.png", SAMPLES / "coffee.png"], net)
    found = rv.record(net, images).residuals["addition"].iloc[:3]
    parts = [f"{name}:{part}" for name in found for part in ("branch", "shortcut", "sum")]
    rec = rv.record(net, images, keep=["blocks", *parts])
    made = {
        "feature_maps": rv.explore_feature_maps(rec),
        "residuals": rv.explore_residuals(rec),
        "explanation": rv.explore_explanation(net, images),
        "explore": rv.explore(net, images, names=["chelsea.png", "coffee.png"]),
    }
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for name, view in made.items():
            size = {"width": 1300, "height": 1700} if name == "explore" else SIZE
            page = browser.new_page(viewport=size)
            rv.save_html(view, Path(folder) / f"{name}.html")
            page.goto((Path(folder) / f"{name}.html").as_uri())
            page.wait_for_timeout(2000)
            page.screenshot(path=HERE / f"{name}.png")
        browser.close()


def main() -> None:
    HERE.mkdir(exist_ok=True)
    charts()
    if shutil.which("chromium") is None:
        sys.exit("make pictures: no Chromium; the charts are made, the views are not.")
    views()


if __name__ == "__main__":
    main()
