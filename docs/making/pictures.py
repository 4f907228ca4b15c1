"""The pictures of the README, made by the project itself: `make pictures`.

    python docs/making/pictures.py explored     # the screen of `explore` alone
    python docs/making/pictures.py scanned      # the atlas and the charts of a scan
    python docs/making/pictures.py packaged     # what tests/views/test_pictures_browser.py compares
    python docs/making/pictures.py figures      # and tests/views/test_pictures_of_figures.py
    python docs/making/pictures.py guides       # and tests/test_docs.py

Charts are the static pictures of their figures; views are photographed in Chromium from their
exported pages. With pretrained weights at hand the network is ResNet-50, else the packaged
ResNet-56.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import resviz as rv
from resviz.analysis import theory
from resviz.views import style
from resviz.views.static import static_png

HERE = Path(__file__).parents[1] / "pictures"
SAMPLES = Path(__file__).parents[2] / "sample_images"
SIZE = {"width": 1100, "height": 640}
SCREENS = ((1000, 700), (1400, 900))
CUT = 12  # blocks back from the last one of ResNet-50: layer2.0
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


def figures() -> None:
    """Every `plot_*`, as a static picture."""
    from every_figure import NAMES, EveryFigure  # beside this file

    (HERE / "figures").mkdir(exist_ok=True)
    every = EveryFigure()
    for name in NAMES:
        (HERE / "figures" / f"{name}.png").write_bytes(static_png(every.figure(name)))


def guides() -> None:
    """What the snippets of the pages draw, where a picture stands under them."""
    import snippets  # beside this file

    for path in sorted(HERE.parent.rglob("*.md")):
        found = snippets.snippets(path)
        if not any(each.picture for each in found):
            continue
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            snippets.furnish(Path(folder))
            style._NETWORKS.clear()
            torch.manual_seed(0)
            names: dict[str, Any] = {"__name__": "snippet"}
            for number, each in enumerate(found, 1):
                figure = snippets.run(each.code, f"{path.name}, snippet {number}", names)
                if each.picture is not None:
                    each.picture.parent.mkdir(exist_ok=True)
                    each.picture.write_bytes(static_png(figure))


def views(browser: Any, folder: Path) -> None:
    net = rv.load_model("resnet50", fallback="cifar10-resnet56")
    images = rv.load_images([SAMPLES / "chelsea.png", SAMPLES / "coffee.png"], net)
    found = rv.record(net, images).residuals["addition"].iloc[:3]
    parts = [f"{name}:{part}" for name in found for part in ("branch", "shortcut", "sum")]
    rec = rv.record(net, images, keep=["blocks", *parts])
    made = {
        "feature_maps": rv.explore_feature_maps(rec),
        "residuals": rv.explore_residuals(rec),
        "explanation": rv.explore_explanation(net, images),
    }
    for name, view in made.items():
        rv.save_html(view, folder / f"{name}.html")
        photograph(browser, folder / f"{name}.html", HERE / f"{name}.png", SIZE, "light")


# ---- the one screen of `explore`
def explored(browser: Any, folder: Path) -> None:
    """The screen of three kinds of networks, in two sizes and both themes."""
    for name, net in screen_networks():
        view = rv.explore(net, [SAMPLES / "chelsea.png", SAMPLES / "coffee.png"])
        page = folder / f"{name}.html"
        rv.save_html(view, page)
        for (wide, high), scheme in itertools.product(SCREENS, ("light", "dark")):
            file = HERE / f"{name}_{wide}_{scheme}.png"
            photograph(browser, page, file, {"width": wide, "height": high}, scheme)
    shutil.copyfile(HERE / "explore_1000_light.png", HERE / "explore.png")


def screen_networks() -> Iterator[tuple[str, Any]]:
    """What the screen is photographed of: file name and network."""
    yield "explore", rv.load_model("resnet50", fallback="cifar10-resnet56")
    yield "explore_vgg", rv.load_model("vgg11", weights="random", seed=0)
    vit = rv.load_model("vit_b_16", weights="random", seed=0)
    torch.manual_seed(0)
    torch.nn.init.normal_(vit.heads.head.weight, std=0.02)  # zero as made: nothing to explain
    yield "explore_vit", vit


def cut(browser: Any, folder: Path) -> None:
    """The README's: along the blocks, one is cut out, and what is predicted becomes another."""
    net = rv.load_model("resnet50", fallback="cifar10-resnet56")
    page = folder / "cut.html"
    rv.explore(net, [SAMPLES / "chelsea.png"]).save_html(page, lesions=True)
    opened = browser.new_page(viewport={"width": SCREENS[0][0], "height": SCREENS[0][1]})
    opened.goto(page.as_uri())
    opened.wait_for_selector(".rv-view canvas", state="attached")
    opened.wait_for_timeout(500)
    frames, lasts = [], []
    for keys, last in (([], 1500), *((["["], 150) for _ in range(CUT)), ([], 600), (["o"], 3500)):
        for key in keys:
            opened.keyboard.press(key)
        opened.wait_for_timeout(400)
        frames.append(Image.open(io.BytesIO(opened.screenshot())).convert("RGB"))
        lasts.append(last)
    opened.close()
    how = {"save_all": True, "append_images": frames[1:], "duration": lasts, "loop": 0}
    frames[0].save(HERE / "explore_cut.webp", quality=80, method=6, **how)


# ---- what a data set shows of channels
def scanned(browser: Any, folder: Path) -> None:
    """The atlas, a channel opened, in both themes; charts of a scan of the samples in patches."""
    net = rv.load_model("cifar10-resnet56", device="cpu")
    files = sorted(SAMPLES.glob("*.[pj][np]g"))
    patches, names = patches_of(files)
    scan = rv.scan(net, rv.load_images(patches, net), labels=names, progress=False)
    (HERE / "top_images.png").write_bytes(static_png(rv.plot_top_images(scan, "layer1.0")))
    figure = rv.plot_channel_statistics(scan, y="selectivity")
    (HERE / "channel_statistics.png").write_bytes(static_png(figure))
    view, page = rv.explore_channels(scan, net), folder / "atlas.html"
    view.selection = view.selection | {"layer": "layer2.3", "channel": 7}
    view.save_html(page)
    for (wide, high), scheme in itertools.product(SCREENS, ("light", "dark")):
        file = HERE / f"atlas_{wide}_{scheme}.png"
        photograph(browser, page, file, {"width": wide, "height": high}, scheme)


def patches_of(files: list[Path], side: int = 32) -> tuple[list[Image.Image], list[str]]:
    """Photographs of 480 x 320 pixels in patches, and the name of each one's photograph."""
    corners = [(x, y) for y in range(0, 320, side) for x in range(0, 480, side)]
    photographs = [Image.open(file).convert("RGB").resize((480, 320)) for file in files]
    patches = [each.crop((x, y, x + side, y + side)) for each in photographs for x, y in corners]
    return patches, [file.stem for file in files for _ in corners]


# ---- every view of a packaged network, which needs no download: tests make them again
def packaged(browser: Any, folder: Path) -> None:
    """Every view, and states of the screen, in both themes."""
    (HERE / "packaged").mkdir(exist_ok=True)
    for name, page, keys in packaged_pages(folder):
        for scheme in ("light", "dark"):
            file = HERE / "packaged" / f"{name}_{scheme}.png"
            photograph(browser, page, file, {"width": 1000, "height": 700}, scheme, keys)


def packaged_pages(folder: Path) -> Iterator[tuple[str, Path, tuple[str, ...]]]:
    """Name of a picture, the page it is of, and the keys that are pressed before it is taken."""
    net = rv.load_model("cifar10-resnet20", device="cpu")
    images = rv.load_images([SAMPLES / "chelsea.png", SAMPLES / "coffee.png"], net)
    rec = rv.record(net, images, keep=["blocks", "additions"])
    made = {
        "feature_maps": rv.explore_feature_maps(rec),
        "residuals": rv.explore_residuals(rec),
        "gradients": rv.explore_gradients(rec),
        "explanation": rv.explore_explanation(net, images),
    }
    for name, view in made.items():
        rv.save_html(view, folder / f"{name}.html")
        yield name, folder / f"{name}.html", ()
    page = folder / "explore.html"
    rv.explore(net, images, names=["cat", "coffee"]).save_html(page, lesions=True)
    yield "explore", page, ()
    yield "explore_stem", page, ("Home",)
    yield "explore_cut", page, ("[", "o")
    yield "explore_keys", page, ("?",)


def photograph(
    browser: Any,
    page: Path,
    file: Path,
    viewport: dict[str, int],
    scheme: str,
    keys: tuple[str, ...] = (),
) -> None:
    opened = browser.new_page(viewport=viewport, color_scheme=scheme)
    opened.goto(page.as_uri())
    opened.wait_for_selector(".rv-view canvas, .rv-view svg path", state="attached")
    opened.wait_for_timeout(500)
    for key in keys:
        opened.keyboard.press(key)
        opened.wait_for_timeout(200)
    opened.screenshot(path=file)
    opened.close()


def main() -> None:
    from playwright.sync_api import sync_playwright

    HERE.mkdir(exist_ok=True)
    every = "charts figures guides views explored cut scanned packaged"
    only = sys.argv[1:] or every.split()
    for make in (charts, figures, guides):
        if make.__name__ in only:
            make()
    if shutil.which("chromium") is None:
        sys.exit("make pictures: no Chromium; the charts are made, the views are not.")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for photographed in (views, explored, cut, scanned, packaged):
            if photographed.__name__ in only:
                photographed(browser, Path(folder))
        browser.close()


if __name__ == "__main__":
    main()
