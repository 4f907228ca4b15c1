"""The gallery: every `explore_*` and `plot_*`, as the pages that `rv.save` writes.

    python docs/making/gallery.py              # to build/gallery, with index.json
    python docs/making/gallery.py explore      # that one again

The code of an entry is run, and is what the site shows. Figures share one plotly.js.
"""

from __future__ import annotations

import ast
import json
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "build" / "gallery"
HEIGHTS = {"view": 720, "figure": 560}

SETUP = """
import resviz as rv
from PIL import Image

net = rv.load_model("cifar10-resnet56")
plain = rv.load_model("cifar10-plain56")
names = ["chelsea.png", "coffee.png", "rocket.jpg", "camera.png"]
files = [f"sample_images/{name}" for name in names]
images = rv.load_images(files, net)

# and pieces of the photographs, where many images are wanted
boxes = [(x, y, x + 64, y + 64) for y in range(0, 256, 64) for x in range(0, 384, 64)]
pieces = [Image.open(f).convert("RGB").resize((384, 256)).crop(box) for f in files for box in boxes]
labels = [name for name in names for _ in boxes]
many = rv.load_images(pieces, net)
"""

# name, title, what one sees, code whose last line is an expression
ENTRIES: list[tuple[str, str, str, str]] = [
    (
        "explore",
        "explore: everything on one screen",
        "The network block by block, the photograph with its map, shortcut + branch = sum, the "
        "strongest channels. "
        "Press `]` and `[` to go from block to block, `o` to cut the one under the cursor out. "
        "In a saved page blocks of the first photograph can be cut where it was written by "
        "`rv.save_html(view, path, lesions=True)`, as this one.",
        """
        view = rv.explore(net, images, names=names)
        view
        """,
    ),
    (
        "explore_feature_maps",
        "Feature maps",
        "The channels that answer most, over the photograph.",
        """
        rec = rv.record(net, images, keep=["blocks", "additions"])
        rv.explore_feature_maps(rec)
        """,
    ),
    (
        "explore_residuals",
        "Residual branches, live",
        "What each block adds to its shortcut, by channel, and how large that is along depth.",
        "rv.explore_residuals(rec)",
    ),
    (
        "explore_gradients",
        "Gradients against depth, live",
        "Residual and plain, trained: any quantity, any rows, theory beside it.",
        'rv.explore_gradients({"ResNet-56": rec, "plain-56": rv.record(plain, images)})',
    ),
    (
        "explore_explanation",
        "Explanations, live",
        "Any class, one class minus another, every layer and method that was recorded.",
        "rv.explore_explanation(net, images, names=names)",
    ),
    (
        "explore_channels",
        "A channel atlas",
        "What each channel answers to, over many images; search for a class.",
        """
        scan = rv.scan(net, many, labels=labels, progress=False)
        rv.explore_channels(scan)
        """,
    ),
    (
        "plot_depth_profile",
        "A profile along depth",
        "Gradient norms at the weights of each convolution. Exact zeros would stand in a strip of "
        "their own.",
        """
        recs = {"ResNet-56": rec, "plain-56": rv.record(plain, images)}
        rv.plot_depth_profile(recs, y="grad_norm", rows="Conv2d")
        """,
    ),
    (
        "plot_residual_branches",
        "Branch, shortcut, sum",
        "Sizes, their ratio, and the angle between them.",
        "rv.plot_residual_branches(rec)",
    ),
    (
        "plot_feature_maps",
        "Feature maps of one layer",
        "Sixteen channels on one scale.",
        'rv.plot_feature_maps(rec, "layer1.0")',
    ),
    (
        "plot_explanation",
        "Maps over the photograph",
        "Methods by layers.",
        """
        methods = ["grad_cam", "layer_cam", "integrated_gradients"]
        exp = rv.explain(net, images[:1], methods=methods, layers=["layer2.8", "layer3.8"])
        rv.plot_explanation(exp, scale="method", name="chelsea.png")
        """,
    ),
    (
        "plot_faithfulness",
        "Whether to believe them",
        "Deletion and insertion beside random maps of the same resolution.",
        """
        tried = rv.explain(net, images[:1], methods=["grad_cam", "layer_cam"], layers=["layer3.8"])
        table = rv.faithfulness(net, images[:1], tried, progress=False)
        rv.plot_faithfulness(table)
        """,
    ),
    (
        "plot_gradient_flow",
        "Before training",
        "Gradients and activations of plain and residual networks at initialisation.",
        """
        variants = {"plain-56": {"depth": 56, "shortcut": "none"}, "ResNet-56": {"depth": 56}}
        flow = rv.gradient_flow(variants, many[:32], seeds=2, data="sample pieces", progress=False)
        rv.plot_gradient_flow(flow)
        """,
    ),
    (
        "plot_gradient_correlation",
        "Shattered gradients",
        "How alike the gradients at two inputs are (Balduzzi et al. 2017).",
        "rv.plot_gradient_correlation(rv.shattering_study(seeds=range(2), progress=False))",
    ),
    (
        "plot_branch_study",
        "Branch against shortcut",
        "Size, variance share and direction of each branch.",
        """
        study = rv.branch_study(net, many[:32], loss="cross_entropy", data="sample pieces")
        rv.plot_branch_study({"ResNet-56": study})
        """,
    ),
    (
        "plot_response_std",
        "Layer responses",
        "Fig. 7 of He et al. 2015, measured.",
        """
        both = {"ResNet-56": net, "plain-56": plain}
        responses = {name: rv.response_std(one, many[:32]) for name, one in both.items()}
        rv.plot_response_std(responses)
        """,
    ),
    (
        "plot_refinement",
        "Refinement within a stage",
        "Each block's output against its stage's end (Greff et al. 2017).",
        """
        refined = {name: rv.refinement_study(one, many[:32]) for name, one in both.items()}
        rv.plot_refinement(refined)
        """,
    ),
    (
        "plot_similarity",
        "How alike blocks are",
        "Linear CKA between the blocks of two networks (Kornblith et al. 2019).",
        """
        small = rv.load_model("cifar10-resnet20")
        alike = rv.similarity_study(small, many, net, data="sample pieces", progress=False)
        rv.plot_similarity(alike, names=["ResNet-20", "ResNet-56"])
        """,
    ),
    (
        "plot_receptive_fields",
        "Receptive fields, in theory and in effect",
        "How much of the image the middle of each block depends on (Luo et al. 2016).",
        """
        fields = {
            "ResNet-56": rv.receptive_field_study(net, many[:8], progress=False),
            "plain-56": rv.receptive_field_study(plain, many[:8], progress=False),
        }
        rv.plot_receptive_fields(fields)
        """,
    ),
    (
        "plot_paths",
        "Gradient by path length",
        "Paths shorter than the average carry nearly all of it (Veit et al. 2016).",
        "rv.plot_paths(rv.path_study(net, many[:8], samples=4, progress=False))",
    ),
    (
        "plot_training",
        "The packaged networks in training",
        "Deeper is worse without shortcuts, better with them.",
        """
        short = ["cifar10-plain20", "cifar10-plain56", "cifar10-resnet20", "cifar10-resnet56"]
        rv.plot_training({name.removeprefix("cifar10-"): rv.training_log(name) for name in short})
        """,
    ),
    (
        "plot_train_compare",
        "Networks trained side by side",
        "On 8 x 8 digits, in seconds: errors, and gradient norms against depth.",
        """
        digits = {
            "plain-16": {"family": "digits", "depth": 16, "shortcut": "none"},
            "ResNet-16": {"family": "digits", "depth": 16},
        }
        comparison = rv.train_compare(digits, "digits", epochs=4, progress=False)
        rv.plot_train_compare(comparison)
        """,
    ),
    (
        "plot_lesions",
        "Without one block",
        "Accuracy when each block is deleted (Veit et al. 2016).",
        """
        data = rv.training_data("digits")
        test = (data.test_images[:200], data.test_targets[:200])
        lesions = {
            name: rv.lesion_study(one, *test, data="digits, test", progress=False)
            for (name, _), one in comparison.networks.items()
        }
        rv.plot_lesions(lesions)
        """,
    ),
    (
        "plot_landscape",
        "Loss landscapes",
        "The loss on a plane through the weights (Li et al. 2018).",
        """
        planes = {
            name: rv.loss_landscape(one, *test, points=9, data="digits, test", progress=False)
            for (name, _), one in comparison.networks.items()
        }
        rv.plot_landscape(planes)
        """,
    ),
    (
        "plot_training_record",
        "A training loop of your own",
        "Gradient norms per layer while it trains.",
        """
        import tempfile, torch

        student = rv.networks.cifar.cifar_resnet(20, seed=0)
        sgd = torch.optim.SGD(student.parameters(), 0.05, momentum=0.9)
        targets = torch.tensor([names.index(label) for label in labels])
        path = tempfile.mkdtemp() + "/run"
        with rv.TrainingRecorder(student.train(), path, every=2, optimizer=sgd) as recorder:
            for step in range(12):
                with recorder.step():
                    sgd.zero_grad()
                    torch.nn.functional.cross_entropy(student(many), targets).backward()
                    sgd.step()
        rv.plot_training_record(rv.load_training_record(path))
        """,
    ),
    (
        "plot_architecture",
        "Architectures",
        "Drawn as in Fig. 3 of He et al. 2015.",
        """
        tables = {name: rv.architecture(one) for name, one in both.items()}
        rv.plot_architecture(tables)
        """,
    ),
    (
        "plot_channel_statistics",
        "Channels over a data set",
        "How often each channel is zero, layer by layer.",
        "rv.plot_channel_statistics(scan)",
    ),
    (
        "plot_top_images",
        "The images a channel answers to",
        "Each cropped to what the channel saw.",
        'rv.plot_top_images(scan, "layer2.0", [0, 3, 5], images=6)',
    ),
]


def value_of(code: str, names: dict[str, Any]) -> Any:
    """What the last line of the code is, after the others were run."""
    tree = ast.parse(code)
    last = tree.body.pop()
    assert isinstance(last, ast.Expr), f"the last line is no expression: {code}"
    exec(compile(tree, "gallery", "exec"), names)
    return eval(compile(ast.Expression(last.value), "gallery", "eval"), names)


def page_of(name: str, shown: Any) -> str:
    """Its page; plotly.js stands in a file beside it."""
    from plotly.offline import get_plotlyjs

    import resviz as rv
    from resviz.views.document import script_text

    file = OUT / "page.html"
    rv.save_html(shown, file, lesions=name == "explore")
    text = file.read_text(encoding="utf-8")
    file.unlink()
    inline = f"<script>{script_text(get_plotlyjs())}</script>"
    if inline in text:
        (OUT / "plotly.js").write_text(get_plotlyjs(), encoding="utf-8")
        text = text.replace(inline, '<script src="plotly.js"></script>')
        text = text.replace("script-src 'unsafe-inline'", "script-src 'self' 'unsafe-inline'")
    return text


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)  # the code names sample_images/
    only, names, index = sys.argv[1:], {}, []
    exec(SETUP, names)
    for name, title, about, raw in ENTRIES:
        code = textwrap.dedent(raw).strip()
        shown = value_of(code, names)
        file = f"{name}.html"
        if not only or name in only:
            (OUT / file).write_text(page_of(name, shown), encoding="utf-8")
            print(f"{name}: {(OUT / file).stat().st_size / 1e6:.2f} MB", flush=True)
        height = HEIGHTS["view" if name.startswith("explore") else "figure"]
        if name.startswith("plot"):
            height = int(shown.layout.height or height) + 20
        entry = {"name": name, "title": title, "about": about, "code": code}
        index.append(entry | {"file": file, "height": height})
    made = json.dumps({"setup": SETUP.strip(), "entries": index}, indent=1)
    (OUT / "index.json").write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
