"""`explore_feature_maps`: browse the channels of every kept layer."""

from __future__ import annotations

from typing import Any

import ipywidgets as widgets
import numpy as np

from resviz.views.channels import SORTS, channels_of, guess_axes
from resviz.views.figure import Figure
from resviz.views.figures.feature_maps import SCALES, plot_feature_maps
from resviz.views.pictures import as_pixels, blended, coloured, enlarged, grey, limits, png, resized
from resviz.views.static import static_png
from resviz.views.widgets.view import View, dropdown, images_of, picture

_PAGE = 24
_LARGE = 336


class FeatureMapsView(View):
    """The view of :func:`explore_feature_maps`."""

    def __init__(self, rec: Any) -> None:
        layers = [key for key in rec.tensors if guess_axes(rec, key, rec[_key(key)].shape)]
        if not layers:
            raise ValueError(
                "explore_feature_maps: no feature maps in this recording; kept layers with "
                "(N, C, H, W), (N, C, L) or (N, T, C) would be right. Record with keep='blocks'."
            )
        self._rec = rec
        self._mosaic = picture()
        self._channel = picture()
        self._facts = widgets.HTML()
        controls = {
            "layer": dropdown("layer", layers, tip="a kept layer"),
            "image": dropdown("photograph", images_of(len(rec.logits))),
            "sort": dropdown("order", SORTS, tip="order of the channels"),
            "scale": dropdown("colour scale", SCALES, "layer", "one scale, or one per channel"),
            "page": widgets.BoundedIntText(
                value=1, min=1, max=1, description="page", tooltip=f"{_PAGE} channels a page"
            ),
            "channel": widgets.BoundedIntText(
                value=0, min=0, max=0, description="enlarge", tooltip="number of a channel"
            ),
        }
        side = widgets.VBox([self._channel, self._facts])
        row = widgets.HBox([self._mosaic, side], layout={"flex_flow": "row wrap"})
        super().__init__(controls, [row])

    def _found(self) -> Any:
        chosen = self.selection
        return channels_of(
            self._rec, chosen["layer"], chosen["image"], caller="explore_feature_maps"
        )

    def figure(self) -> Figure:
        """The chosen page of channels."""
        chosen, found = self.selection, self._found()
        start = (chosen["page"] - 1) * _PAGE
        channels = found.order(chosen["sort"])[start : start + _PAGE]
        return plot_feature_maps(
            self._rec,
            chosen["layer"],
            chosen["image"],
            channels=[int(c) for c in channels],
            sort=chosen["sort"],
            scale=chosen["scale"],
        )

    def refresh(self) -> None:
        """Draw the page and the enlarged channel."""
        count = len(self._found().maps)
        for name, last in (("page", -(-count // _PAGE)), ("channel", count - 1)):
            control = self._controls[name]
            control.max = last  # also brings a larger value down
        self._mosaic.value = static_png(self.figure())
        self._enlarge()

    def _enlarge(self) -> None:
        chosen, found = self.selection, self._found()
        values = found.maps[chosen["channel"]]
        low, high, colours = limits(values)
        if values.ndim == 1:
            shown = np.repeat(coloured(values[None], low, high, colours), 48, axis=0)
        elif self._rec.pictures is None:
            shown = coloured(values, low, high, colours)
        else:
            photo = as_pixels(self._rec.pictures[chosen["image"]])
            over = coloured(resized(values, photo.shape[:2]), low, high, colours)
            shown = blended(grey(photo), over, 0.6)
        self._channel.value = png(enlarged(shown, _LARGE))
        order = found.order("mean").tolist()
        place = "" if self._rec.pictures is not None else "<br>this network has no pictures"
        self._facts.value = (
            f"<b>channel {chosen['channel']}</b> of {len(found.maps)}<br>"
            f"minimum {values.min():.4g}, mean {values.mean():.4g}, maximum {values.max():.4g}<br>"
            f"{(values == 0).mean():.0%} exact zeros<br>"
            f"rank {order.index(chosen['channel']) + 1} by mean{place}"
        )


def _key(key: str) -> Any:
    name, _, call = key.partition("#")
    return (name, int(call)) if call else name


def explore_feature_maps(rec: Any) -> FeatureMapsView:
    """A widget to browse the feature maps of a recording.

    Choose layer, photograph, order and colour scale; a channel is enlarged over the photograph by
    its number. ``view.selection`` is what is chosen. No network is run.

    Args:
        rec: a Recording with kept tensors: ``record(net, images, keep="blocks")``.

    Raises:
        ValueError: nothing was kept that has maps.
    """
    return FeatureMapsView(rec)
