"""Layer switch to painted pixels in Chromium, and bytes sent, for ResNet-50's blocks.

    python benchmarks/frontend_speed.py

Needs Chromium and playwright. The exported page is opened, "]" and "[" are pressed through all
layers three times; measured is the time from the key to the end of the next frame, in which the
pixels are on the screen. Random weights: the number of pixels counts, not their values.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from pathlib import Path

import torch
import torchvision
from playwright.sync_api import sync_playwright

import resviz as rv
from resviz.views.widgets.feature_maps import explore_feature_maps

FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
SWITCHES = """async (count) => {
  const place = document.querySelector(".rv-mosaic-scroll");
  const last = document.querySelector("select").options.length - 1;
  place.focus();
  const times = [];
  for (let n = 0; n < count; n += 1) {
    await new Promise((done) => setTimeout(done, 60));
    const key = Math.floor(n / last) % 2 ? "[" : "]";
    const start = performance.now();
    place.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
    await new Promise((done) => requestAnimationFrame(() => {
      const after = new MessageChannel();
      after.port1.onmessage = done;
      after.port2.postMessage(0);
    }));
    times.push(performance.now() - start);
  }
  return times;
}"""


def main() -> None:
    torch.manual_seed(0)
    net = torchvision.models.resnet50(weights=None).eval()
    rec = rv.record(net, torch.randn(1, 3, 224, 224), gradients=False, keep="blocks")
    view = explore_feature_maps(rec)
    values = sum(tensor.numel() for tensor in rec.tensors.values())
    print(f"{len(view.payload().buffer) / values:.3f} bytes a pixel, {values / 1e6:.1f} M pixels")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder, "maps.html")
        view.save_html(file)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto(file.as_uri())
        page.wait_for_function("() => document.querySelector('canvas.rv-mosaic')?.width > 1")
        page.wait_for_timeout(1000)
        times = page.evaluate(SWITCHES, 6 * (len(rec.tensors) - 1))
        browser.close()
    print(f"layer switch: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms")


if __name__ == "__main__":
    main()
