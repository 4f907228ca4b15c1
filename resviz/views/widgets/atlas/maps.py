"""The maps of opened channels over their top images: computed when asked for, kept for a page."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from resviz.arguments import public_as
from resviz.provenance import preset_or_none
from resviz.scanning.maps import TopMaps, check_invertible, top_maps
from resviz.views.payload import Packing, Payload
from resviz.views.widgets.messages import Fields, TopMapsAnswer

_ROOM = 3 * 2**20  # bytes of a page, compressed
_KEPT = 256  # channels


class ChannelMaps:
    """What the network that was scanned makes of the pictures that the scan kept.

    Args:
        scan: with pictures.
        net: the network; run in eval mode, left as it was.
        preset: how pictures become inputs; the network's own if None.

    Raises:
        ValueError: a preset from which inputs cannot be made.
    """

    def __init__(self, scan: Any, net: Any, preset: Any) -> None:
        self._scan, self._net, self._preset = scan, net, preset_or_none(net, preset)
        check_invertible(self._preset)
        self._known: dict[tuple[str, int], TopMaps] = {}

    @public_as("explore_channels")
    def of(self, layer: str, channel: int) -> TopMaps:
        """Computed once.

        Raises:
            KeyError, ValueError: as :func:`resviz.scanning.maps.top_maps`.
        """
        key = (layer, channel)
        if key not in self._known:
            made = top_maps(self._net, self._scan, layer, channel, self._preset)
            while len(self._known) >= _KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[key] = made
        return self._known[key]

    def answer(self, request: Mapping[str, Any]) -> tuple[Fields, list[bytes]]:
        """The maps of one channel."""
        packing = Packing()
        told = self._packed(packing, str(request["layer"]), int(request["channel"]))
        return TopMapsAnswer(maps=told), [packing.payload({}).buffer]

    def on_page(self, payload: Payload) -> Payload:
        """The data of a page with the maps that were asked for, the latest first."""
        packing, groups, size = Packing(), list[dict[str, Any]](), 0
        packing.add_bytes(payload.buffer)
        for key in reversed(self._known):
            one = Packing()
            told = self._packed(one, *key)
            buffer = one.payload({}).buffer
            size += len(zlib.compress(buffer, 1))
            if size > _ROOM:
                break
            groups.append(told | {"base": packing.add_bytes(buffer)})
        return packing.payload({**payload.meta, "opened": groups})

    def _packed(self, packing: Packing, layer: str, channel: int) -> dict[str, Any]:
        found = self.of(layer, channel)
        ends = {"low": float(found.maps.min()), "high": float(found.maps.max())}
        about = {"layer": layer, "channel": channel, "images": list(found.images), "off": found.off}
        return about | ends | packing.add_pixels(found.maps, groups=1)
