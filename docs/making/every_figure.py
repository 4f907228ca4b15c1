"""Every `plot_*` figure, of packaged networks and in seconds: docs/pictures/figures shows them.

    python docs/making/pictures.py figures

`tests/views/test_pictures_of_figures.py` draws them again and compares.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import resviz as rv
from resviz.analysis import theory
from resviz.networks.cifar import cifar_resnet
from resviz.views import style

SAMPLES = Path(__file__).parents[2] / "sample_images"
NAMES = sorted(name for name in rv.__all__ if name.startswith("plot_"))
_CHECKS = ("deletion", "insertion")
_CHARTED = (-1.0, -0.5, 0.0, 0.5, 1.0)


class EveryFigure:
    """Makes figures by the name of their function; what several are made of is computed once."""

    def figure(self, name: str) -> Any:
        """One of :data:`NAMES`, in the colours that it has as the first one of a session."""
        style._NETWORKS.clear()
        return _MAKERS[name](self)

    @cached_property
    def net(self) -> Any:
        return rv.load_model("cifar10-resnet20", device="cpu")

    @cached_property
    def photographs(self) -> torch.Tensor:
        files = [SAMPLES / name for name in ("chelsea.png", "coffee.png")]
        return rv.load_images(files, self.net)

    @cached_property
    def noise(self) -> torch.Tensor:
        return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    @cached_property
    def twins(self) -> dict[str, list[Any]]:
        """Untrained networks, two seeds of each."""
        return {
            "ResNet-20": [cifar_resnet(20, seed=seed) for seed in (0, 1)],
            "plain-20": [cifar_resnet(20, shortcut="none", seed=seed) for seed in (0, 1)],
        }

    def tables(self, study: Callable[..., Any], **options: Any) -> dict[str, list[Any]]:
        """A study of each of the twins."""
        return {
            name: [study(net, self.noise, **options) for net in nets]
            for name, nets in self.twins.items()
        }

    @cached_property
    def rec(self) -> Any:
        return rv.record(self.net, self.photographs, keep=["blocks", "additions"])

    @cached_property
    def exp(self) -> Any:
        methods = ["grad_cam", "layer_cam"]
        return rv.explain(self.net, self.photographs, methods=methods, layers=["layer2", "layer3"])

    def faithfulness(self) -> Any:
        one = self.photographs[:1]
        exp = rv.explain(self.net, one, methods=["grad_cam"], layers=["layer3"])
        return rv.faithfulness(self.net, one, exp, checks=_CHECKS, progress=False)

    @cached_property
    def scan(self) -> Any:
        return rv.scan(self.net, torch.cat([self.photographs, self.noise]), progress=False)

    def trained(self) -> Any:
        options = {"family": "digits", "width": 4}
        variants = {"plain-4": options | {"depth": 4, "shortcut": "none"}}
        variants |= {"ResNet-4": options | {"depth": 4}}
        small: dict[str, Any] = {"subset": 64, "epochs": 2, "seeds": 1, "progress": False}
        return rv.train_compare(variants, **small)

    def training_record(self) -> Any:
        net = cifar_resnet(8, seed=0)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/run.resviz-log"
            with rv.TrainingRecorder(net, path, every=1) as recorder:
                for _ in range(12):
                    with recorder.step():
                        optimizer.zero_grad()
                        net(self.noise).square().mean().backward()
                        optimizer.step()
            return rv.load_training_record(path)


def _bowl() -> pd.DataFrame:
    table = pd.DataFrame(
        [(a, b) for a in _CHARTED for b in _CHARTED], columns=["alpha", "beta"]
    ).assign(error=0.0)
    return table.assign(loss=0.1 + table["alpha"] ** 2 + 3 * table["beta"] ** 2)


def _flow(every: EveryFigure) -> Any:
    variants = {"plain-20": {"depth": 20, "shortcut": "none"}, "ResNet-20": {"depth": 20}}
    flow = rv.gradient_flow(variants, every.noise, seeds=2, data="normal noise", progress=False)
    return rv.plot_gradient_flow(flow, theory={"plain-20": theory.BATCHNORM_EXPLOSION})


def _log() -> dict[str, pd.DataFrame]:
    errors = {"epoch": [1, 2, 3, 4], "train_error": [60.0, 40.0, 25.0, 18.0]}
    table = pd.DataFrame(errors | {"test_error": [62.0, 45.0, 33.0, 30.0]})
    return {"ResNet-20": table, "plain-20": table.assign(train_error=table["train_error"] + 6)}


_QUIET: dict[str, Any] = {"progress": False, "data": "normal noise"}
_MAKERS: Mapping[str, Callable[[EveryFigure], Any]] = {
    "plot_architecture": lambda e: rv.plot_architecture(
        {name: rv.architecture(nets[0]) for name, nets in e.twins.items()}
    ),
    "plot_branch_study": lambda e: rv.plot_branch_study(
        {"ResNet-20": e.tables(rv.branch_study, **_QUIET)["ResNet-20"]}
    ),
    "plot_channel_statistics": lambda e: rv.plot_channel_statistics(e.scan),
    "plot_depth_profile": lambda e: rv.plot_depth_profile(e.tables(rv.gradient_norms)),
    "plot_explanation": lambda e: rv.plot_explanation(e.exp, name="chelsea.png"),
    "plot_faithfulness": lambda e: rv.plot_faithfulness(e.faithfulness()),
    "plot_feature_maps": lambda e: rv.plot_feature_maps(e.rec, "layer2.2", channels=32),
    "plot_gradient_correlation": lambda _: rv.plot_gradient_correlation(
        rv.shattering_study([1, 2, 8], width=64, inputs=16, seeds=[0, 1], progress=False)
    ),
    "plot_gradient_flow": _flow,
    "plot_landscape": lambda _: rv.plot_landscape({"a bowl": _bowl()}),
    "plot_lesions": lambda e: rv.plot_lesions(
        {"ResNet-20": rv.lesion_study(e.net, e.photographs, [3, 7], progress=False)}
    ),
    "plot_paths": lambda e: rv.plot_paths(
        rv.path_study(e.net, e.photographs, samples=2, progress=False)
    ),
    "plot_receptive_fields": lambda e: rv.plot_receptive_fields(
        {
            name: rv.receptive_field_study(nets[0], e.noise[:2], batch_stats=True, **_QUIET)
            for name, nets in e.twins.items()
        }
    ),
    "plot_similarity": lambda e: rv.plot_similarity(
        rv.similarity_study(e.net, e.noise, e.twins["ResNet-20"][0], **_QUIET),
        names=["trained", "untrained"],
    ),
    "plot_refinement": lambda e: rv.plot_refinement(
        {"ResNet-20": rv.refinement_study(e.net, e.noise, **_QUIET)}
    ),
    "plot_residual_branches": lambda e: rv.plot_residual_branches(e.rec),
    "plot_response_std": lambda e: rv.plot_response_std(e.tables(rv.response_std, **_QUIET)),
    "plot_top_images": lambda e: rv.plot_top_images(e.scan, "layer3.2", [0, 1, 2]),
    "plot_train_compare": lambda e: rv.plot_train_compare(e.trained()),
    "plot_training": lambda _: rv.plot_training(_log()),
    "plot_training_record": lambda e: rv.plot_training_record(e.training_record()),
}
