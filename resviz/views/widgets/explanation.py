"""`explore_explanation`: which class, which layer, which method; asked for when it is not there."""

from __future__ import annotations

import warnings
from typing import Any

import ipywidgets as widgets

from resviz.attribution.explain import explain
from resviz.attribution.methods import METHODS
from resviz.errors import ResvizWarning
from resviz.networks.layers import list_layers
from resviz.networks.predict import predict
from resviz.views.figure import Figure
from resviz.views.figures.explanation import plot_explanation
from resviz.views.static import static_png
from resviz.views.widgets.view import View, dropdown, images_of, picture

_TOP = 5


class ExplanationView(View):
    """The view of :func:`explore_explanation` on a record: nothing is computed."""

    def __init__(self, exp: Any) -> None:
        self._exp = exp
        self._picture = picture()
        controls = {
            "image": dropdown("photograph", images_of(len(exp.targets))),
            "method": dropdown("method", exp.methods),
            "layer": dropdown("layer", exp.layers),
            "target": dropdown("target", self._targets(0)),
            "opacity": _opacity(),
        }
        controls["image"].observe(self._other_image, "value")
        super().__init__(controls, [self._picture])

    def _targets(self, image: int) -> list[tuple[str, int]]:
        return [(f"{i}: {name}", i) for i, name in enumerate(self._exp.target_names[image])]

    def _other_image(self, change: Any) -> None:
        """Each image has targets of its own; the place in the list stays."""
        control = self._controls["target"]
        place, targets = control.value, self._targets(change["new"])
        control.options = targets
        control.value = min(place, len(targets) - 1)

    def figure(self) -> Figure:
        """The chosen map over the photograph."""
        chosen = self.selection
        return plot_explanation(
            self._exp,
            chosen["image"],
            methods=[chosen["method"]],
            layers=[chosen["layer"]],
            targets=[chosen["target"]],
            opacity=chosen["opacity"],
        )

    def refresh(self) -> None:
        """Draw it."""
        self._picture.value = static_png(self.figure())


class LiveExplanationView(View):
    """The view of :func:`explore_explanation` on a network: maps are computed when asked for."""

    def __init__(self, net: Any, images: Any, preset: Any) -> None:
        self._net, self._images, self._preset = net, images, preset
        self._known: dict[tuple[int, str, str, str], Any] = {}
        self._picture = picture()
        self._guesses = predict(net, images, top=_TOP, preset=preset)
        classes = list(preset.classes) if preset is not None else []
        if not classes:
            classes = sorted(set(self._guesses["label"]))
        layers = _stage_ends(net, images)
        controls = {
            "image": dropdown("photograph", images_of(len(images))),
            "top": dropdown("predicted", self._buttons(0), tip="the most probable classes"),
            "label": widgets.Combobox(
                value=self._best(0),
                options=classes,
                ensure_option=False,
                continuous_update=False,
                description="class",
                tooltip="type a part of a class's name",
            ),
            "method": dropdown("method", _quick_methods()),
            "layer": dropdown("layer", layers, layers[-1]),
            "opacity": _opacity(),
        }
        controls["image"].observe(self._other_image, "value")
        controls["top"].observe(self._other_guess, "value")
        super().__init__(controls, [self._picture])

    def _buttons(self, image: int) -> list[tuple[str, str]]:
        rows = self._guesses[self._guesses["image"] == image]
        return [
            (f"{label} {probability:.0%}", label)
            for label, probability in zip(rows["label"], rows["probability"], strict=True)
        ]

    def _best(self, image: int) -> str:
        return self._buttons(image)[0][1]

    def _other_image(self, change: Any) -> None:
        self._controls["top"].options = self._buttons(change["new"])
        self._controls["label"].value = self._best(change["new"])

    def _other_guess(self, change: Any) -> None:
        if change["new"]:
            self._controls["label"].value = change["new"]

    def _explanation(self) -> Any:
        chosen = self.selection
        wanted = (chosen["image"], chosen["label"], chosen["method"], chosen["layer"])
        if wanted not in self._known:
            image, label, method, layer = wanted
            self._say(f"explaining {label} at {layer} ...")
            with warnings.catch_warnings():  # the figure says why a map is blank
                warnings.simplefilter("ignore", ResvizWarning)
                self._known[wanted] = explain(
                    self._net,
                    self._images[image : image + 1],
                    self._target(label),
                    methods=method,
                    layers=layer,
                    preset=self._preset,
                )
        return self._known[wanted]

    def _target(self, label: str) -> Any:
        """The class by name; by number where the network names none."""
        rows = self._guesses[self._guesses["label"] == label]
        if self._preset is None or not self._preset.classes:
            return int(rows["index"].iloc[0]) if len(rows) else label
        return label

    def figure(self) -> Figure:
        """The chosen map over the photograph."""
        chosen = self.selection
        name = f"image {chosen['image']}"
        return plot_explanation(self._explanation(), 0, opacity=chosen["opacity"], name=name)

    def refresh(self) -> None:
        """Compute the map where it is not there yet, and draw it."""
        chosen = self.selection
        drawn = static_png(self.figure())
        if self.selection == chosen:  # something else was chosen meanwhile: that one is drawn
            self._picture.value = drawn


def _opacity() -> Any:
    return widgets.FloatSlider(
        value=0.6, min=0, max=1, step=0.1, description="opacity", continuous_update=False
    )


def _quick_methods() -> list[str]:
    """Those that one shared pass gives."""
    return [name for name, row in METHODS.items() if row.kind in ("gradients", "activations")]


def _stage_ends(net: Any, images: Any) -> list[str]:
    """The last block of each stage that has positions, and the last such layer of all."""
    table = list_layers(net, images)
    spatial = table[table["shape"].map(lambda s: len(s) == 4 and min(s[2:]) > 1)]
    blocks = spatial[spatial["kind"] == "block"]
    chosen = blocks if len(blocks) else spatial
    ends = chosen.groupby("stage", sort=False)["layer"].last().tolist()
    if not ends:
        raise ValueError(
            "explore_explanation: the network has no layer with positions (N, C, H, W); a "
            "convolutional network would be right."
        )
    return list(ends)


def explore_explanation(
    net_or_exp: Any, images: Any = None, *, preset: Any = None
) -> ExplanationView | LiveExplanationView:
    """A widget on the reasons for a prediction: photograph, class, method and layer to choose.

    Args:
        net_or_exp: an Explanation, to browse what it holds; or a network, and each map is computed
            when it is first asked for.
        images: with a network: (N, 3, H, W) as it wants them.
        preset: with a network: names of classes and scale of the pictures, instead of its own.

    Raises:
        TypeError: neither, or a network without images.
        ValueError: the network has no layer with positions.
    """
    if hasattr(net_or_exp, "maps") and hasattr(net_or_exp, "target_names"):
        return ExplanationView(net_or_exp)
    if not hasattr(net_or_exp, "forward") or images is None:
        raise TypeError(
            f"explore_explanation: a {type(net_or_exp).__name__}"
            f"{'' if images is not None else ' and no images'}; an Explanation, or a network and "
            "images, would be right."
        )
    known = preset if preset is not None else getattr(net_or_exp, "resviz_preset", None)
    return LiveExplanationView(net_or_exp, images, known)
