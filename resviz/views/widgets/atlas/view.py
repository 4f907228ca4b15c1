"""`explore_channels`: every channel of a scanned network as what it answers to most."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pandas as pd

from resviz.arguments import Progress, choice, public
from resviz.networks.inputs import check_hookable
from resviz.preset import check_network
from resviz.scanning import belonging
from resviz.views.figure import Figure
from resviz.views.figures.channel_statistics import plot_channel_statistics
from resviz.views.figures.scanned import about, check_scan
from resviz.views.figures.top_images import plot_top_images
from resviz.views.payload import Packing, Payload
from resviz.views.widgets.atlas.layers import packed_found, packed_layer
from resviz.views.widgets.atlas.maps import ChannelMaps
from resviz.views.widgets.atlas.pictures import Kept, needs_crops, packed_crops
from resviz.views.widgets.atlas.points import packed_points
from resviz.views.widgets.host import Host
from resviz.views.widgets.view import Answered, View

if TYPE_CHECKING:
    from resviz.given import Network
    from resviz.preset import Preset
    from resviz.scanning.scan import Scan

_CALLER = "explore_channels"
_MOST, _ALL = 9 * 2**20, 10 * 2**20  # bytes of whole pictures, with crops: a third more on a page
_STILL = 6  # channels in the static picture


class ChannelsView(View):
    """The view of :func:`explore_channels`.

    ``selection`` holds ``layer``, ``channel`` (None: none is open), ``sort`` ("selective",
    "strong", "dead", "index", "class"), ``show`` ("all", "active", "dead"), ``class`` (channels of
    all layers that stand out for it; None: those of the layer) and ``tab`` ("channels", "images").
    """

    module = "atlas.js"
    _points: pd.DataFrame | None = None

    def __init__(self, scan: Any, layout: str, net: Any = None, preset: Any = None) -> None:
        self._scan, self._layout = scan, layout
        self._maps = None if net is None else ChannelMaps(scan, net, preset)
        if layout == "umap" and "embedding" in scan.seen.measures:
            self._points = scan.layout(layout)  # takes a while, and says at once what it lacks
        classed = "selectivity" in scan.channels and bool(
            scan.channels["selectivity"].notna().any()
        )
        selection = {"layer": scan.plan.sites[-1].key, "channel": None, "class": None}
        selection |= {"sort": "selective" if classed else "strong", "show": "all"}
        super().__init__(f"Channels of {about(scan)}", selection | {"tab": "channels"})

    def payload(self) -> Payload:
        """All channels with their numbers, and as many pictures as fit."""
        packing, scan = Packing(), self._scan
        placed = self._points
        if placed is None and "embedding" in scan.seen.measures:
            placed = scan.layout(self._layout)
        kept = Kept(scan, _MOST)
        numbers, layers = range(len(scan.plan.sites)), []
        small = {number for number in numbers if needs_crops(scan, number, kept)}
        room = (_ALL - kept.bytes) / max(sum(scan.plan.sites[n].channels for n in small), 1)
        for number in numbers:
            crops = packed_crops(packing, scan, number, room) if number in small else None
            layers.append(packed_layer(packing, scan, number) | {"crops": crops})
        meta = {
            **{"facts": about(scan), "images": len(scan.images), "top": scan.plan.top},
            **{"classes": list(scan.plan.classes), "by": scan.plan.by, "layers": layers},
            **{"outputs": list(scan.plan.outputs), "found": packed_found(packing, scan)},
            **{
                "pictures": kept.packed(packing),
                "points": packed_points(packing, scan, placed),
            },
            "maps": self._maps is not None,
        }
        return packing.payload(meta)

    def page_payload(self, lesions: bool, progress: Progress) -> Payload:
        """With the maps of the channels that were opened."""
        payload = super().page_payload(lesions, progress)
        if self._maps is None:
            return payload
        layer, channel = str(self.selection.get("layer")), self.selection.get("channel")
        if channel is not None:
            with suppress(ValueError, KeyError):  # a layer without maps: the page says so
                self._maps.of(layer, int(channel))
        return self._maps.on_page(payload)

    def answer(self, what: str, request: dict[str, Any]) -> Answered:
        """The maps of a channel over its top images."""
        if what != "top_maps" or self._maps is None:
            return super().answer(what, request)
        return self._maps.answer(request)

    def figure(self) -> Figure:
        """The top images of some channels of the chosen layer; without pictures their numbers."""
        layer, channel = str(self.selection.get("layer")), self.selection.get("channel")
        if not self._scan.seen.pictures.images():
            return plot_channel_statistics(self._scan, y=self._number())
        if channel is not None:
            return plot_top_images(self._scan, layer, int(channel))
        table = self._scan.channels[self._scan.channels["layer"] == layer]
        by = "selectivity" if "selectivity" in table else "max"
        first = table.sort_values(by, ascending=False, kind="stable")["channel"].head(_STILL)
        return plot_top_images(self._scan, layer, first.tolist())

    def _number(self) -> str:
        return "zero_fraction" if "zero_fraction" in self._scan.channels else "selectivity"


@public
def explore_channels(
    scan: Scan,
    net: Network | None = None,
    *,
    preset: Preset | None = None,
    layout: str = "pca",
) -> Host[ChannelsView]:
    """A widget to browse what each channel of a network answers to most, over a whole data set.

    A layer's channels, each as its strongest images cropped to the receptive field of the maximum:
    the atlas of OpenAI Microscope (Schubert et al. 2020) and ChannelExplorer, for a network of
    one's own. A click opens a channel: its top images with the field framed, how its maximum is
    spread over the images, the classes that it prefers, the channels that vary with it. A class
    that is searched for gives the channels of all layers that stand out for it
    (:meth:`Scan.find`). With `net` the top images of an opened channel carry its map, from a pass
    over the pictures of them; a page has those of the channels that were opened.

    Everything goes to the browser once and works without a kernel in the page of
    ``view.save_html``. Pictures of top images take at most 9 MiB, with crops 10: where there are
    more, they are made smaller, then those of the last ranks are left out; the view says how many.
    Keys: arrows move between channels, [ and ] between layers; ? lists all. Without `net` no
    network is run.

    Args:
        scan: of :func:`resviz.scan`, with measure "top".
        net: the network that was scanned, for the maps; it is left as it was.
        preset: how the pictures become its inputs; its own if None.
        layout: of the images, in the tab of that name: "pca", or "umap" with `umap-learn`
            installed. A lasso around some lists what they have in common: classes, and the channels
            that answer to them otherwise than to the rest.

    Raises:
        ImportError: "umap" without `umap-learn`.
        NotTraceable: a scripted or compiled network, in which hooks do not fire.
        TypeError: no scan, or no network.
        ValueError: top images were not measured, no image was seen, another layout, or a network
            with other layers or weights than those that were scanned, or without a preset that
            says how its pictures become inputs.

    Example:
        >>> import resviz as rv, torch
        >>> net = rv.load_model("cifar10-resnet20", device="cpu")
        >>> scan = rv.scan(net, torch.rand(4, 3, 32, 32))
        >>> explore_channels(scan).selection["layer"]
        'layer3.2'
    """
    check_scan(_CALLER, scan)
    choice("layout", layout, ("pca", "umap"))
    scan.measured("top")
    if not len(scan.images):
        raise ValueError(f"{_CALLER}: a scan of no image; one image or more would be right.")
    if net is not None:
        check_network(net)
        check_hookable(net)
        belonging.check_network(scan, net)
    return Host(ChannelsView(scan, layout, net, preset))
