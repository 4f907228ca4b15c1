"""What a data set shows of a channel, for views of one photograph: the images it answers to most.

Their half in the browser is ``frontend/strongest.js``. With a kernel a channel is asked for when it
is pointed at; a page carries those of the channels that it shows, as far as there is room.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from resviz.scanning.belonging import layers_in_words, scanned_key
from resviz.views.figures.scanned import about
from resviz.views.payload import Packing, Payload
from resviz.views.widgets.atlas.crops import crops_of
from resviz.views.widgets.atlas.sheets import packed_sheets
from resviz.views.widgets.messages import Fields, StrongestAnswer

RANKS = 5  # images of a channel
_LEAST = 2  # of each, on a page with many channels
_SIDE = 48  # pixels of each
_AT_ONCE = 24  # channels that are packed together
_MOST = 256  # channels in one question


class Strongest:
    """The strongest images of a scan, channel by channel.

    Args:
        scan: with measure "top", of the network that the view shows.
    """

    def __init__(self, scan: Any) -> None:
        scan.measured("top")
        self._scan = scan
        self._ranks = min(RANKS, scan.plan.top)
        self._channels = {site.key: site.channels for site in scan.plan.sites}

    @cached_property
    def _images(self) -> pd.DataFrame:
        table: pd.DataFrame = self._scan.images.set_index("image")
        return table

    def header(self) -> dict[str, Any]:
        """What the browser knows of it from the start."""
        scan = self._scan
        return {
            **{"facts": about(scan), "layers": list(self._channels), "images": len(scan.images)},
            **{"words": layers_in_words(scan), "ranks": self._ranks},
            **{"classes": list(scan.plan.classes), "outputs": list(scan.plan.outputs)},
            "pictures": bool(scan.seen.pictures.images()),
        }

    def answer(self, request: Mapping[str, Any]) -> tuple[Fields, list[bytes]]:
        """The images of some channels of a layer.

        Raises:
            KeyError: no such layer.
            ValueError: no such channels.
        """
        layer, packing = scanned_key(str(request["layer"])), Packing()
        number = self._scan.number(layer)
        channels = [int(channel) for channel in list(request["channels"])[:_MOST]]
        wrong = [channel for channel in channels if not 0 <= channel < self._channels[layer]]
        if wrong or not channels:
            raise ValueError(
                f"strongest images: channels {wrong or '[]'} of {layer!r}; "
                f"0 to {self._channels[layer] - 1}."
            )
        found = self._packed(packing, number, channels, self._ranks)
        return StrongestAnswer(strongest=found), [packing.payload({}).buffer]

    def on_page(self, payload: Payload, wanted: Mapping[str, Iterable[int]], room: int) -> Payload:
        """The data of a page with the images of the channels that it shows.

        Where there are many channels, each has fewer images; then the least wanted have none.

        Args:
            payload: of the view; its ``meta`` gets ``strongest``: ``groups`` of channels, as they
                are answered, how many channels were ``wanted``, and the ``bytes`` of the groups.
            wanted: channels by layer, the most wanted first.
            room: bytes for them.
        """
        packing = Packing()
        packing.add_bytes(payload.buffer)
        groups, size, turns = list[dict[str, Any]](), 0, self._in_turn(wanted)
        count = sum(len(channels) for _, channels in turns)
        ranks = self._fitting(turns, count, room)
        for number, channels in turns:
            one = Packing()
            group = self._packed(one, number, channels, ranks)
            buffer = one.payload({}).buffer
            more = len(zlib.compress(buffer, 1))
            if size + more <= room:
                size += more
                groups.append(group | {"base": packing.add_bytes(buffer)})
        told = {"groups": groups, "wanted": count, "bytes": size}
        return packing.payload({**payload.meta, "strongest": told})

    def _in_turn(self, wanted: Mapping[str, Iterable[int]]) -> list[tuple[int, list[int]]]:
        """Some channels of each layer, then more of each: what does not fit is missing of all."""
        turns: list[tuple[int, int, list[int]]] = []
        for key, channels in wanted.items():
            layer = scanned_key(key)
            if layer not in self._channels:
                continue
            listed, number = list(dict.fromkeys(channels)), self._scan.number(layer)
            for turn, at in enumerate(range(0, len(listed), _AT_ONCE)):
                turns.append((turn, number, listed[at : at + _AT_ONCE]))
        turns.sort(key=lambda one: one[0])
        return [(number, channels) for _, number, channels in turns]

    def _fitting(self, turns: list[tuple[int, list[int]]], count: int, room: int) -> int:
        """How many images of each channel fit, by the size of some of each of a few layers."""
        tried = [(number, channels[:4]) for number, channels in turns[:: max(len(turns) // 6, 1)]]
        size = 0
        for number, channels in tried:
            packing = Packing()
            self._packed(packing, number, channels, self._ranks)
            size += len(zlib.compress(packing.payload({}).buffer, 1))
        each = size / max(sum(len(channels) for _, channels in tried) * self._ranks, 1)
        return max(min(int(room / max(each * count, 1)), self._ranks), _LEAST)

    def _packed(
        self, packing: Packing, number: int, channels: list[int], ranks: int
    ) -> dict[str, Any]:
        """Crops and what is known of them: (channels, ranks) each."""
        scan, site = self._scan, self._scan.plan.sites[number]
        arrays = scan.measured("top").arrays
        image, value = (arrays[f"{number}/{n}"][:ranks, channels].T for n in ("image", "value"))
        field = _SIDE if site.field is None else max(site.field.size)
        side = min(_SIDE, field, self._largest(image))
        known = {"side": 0, "sheets": []}
        if side:
            crops = crops_of(scan, number, channels, ranks, side)
            known = packed_sheets(packing, crops, side) | {"side": side}
        told = {"layer": site.key, "channels": channels, "ranks": ranks, **known}
        told["value"] = packing.add(value.astype(np.float32))
        told["image"] = packing.add(np.clip(image, -1, 2**31 - 1).astype(np.int32))
        return told | self._of_images(packing, image) | self._of_channels(packing, number, channels)

    def _of_images(self, packing: Packing, image: Any) -> dict[str, Any]:
        """Classes and predictions by number, -1 for none; names, a line each."""
        scan, flat = self._scan, image.reshape(-1)
        table = self._images.reindex(flat)
        told = {}
        for name, names in (("label", scan.plan.classes), ("prediction", scan.plan.outputs)):
            codes = {known: n for n, known in enumerate(names)}
            found = [codes.get(each, -1) for each in table[name].fillna("")]
            told[name] = packing.add(np.array(found, np.int32))
        lines = "\n".join(scan.name(int(n)).replace("\n", " ") for n in flat)
        return told | {"names": packing.add(np.frombuffer(lines.encode(), np.uint8))}

    def _of_channels(self, packing: Packing, number: int, channels: list[int]) -> dict[str, Any]:
        """Selectivity, in how many images a channel is active; NaN where that is not known."""
        scan, site = self._scan, self._scan.plan.sites[number]
        table = scan.channels[scan.channels["layer"] == site.key].iloc[channels]
        told = {}
        for own, name in (("selectivity", "selectivity"), ("active", "active_images")):
            values = table[name] if name in table else np.full(len(table), np.nan)
            told[own] = packing.add(np.asarray(values, np.float32))
        codes = {known: n for n, known in enumerate(scan.plan.classes)}
        best = table["best_class"] if "best_class" in table else [""] * len(table)
        told["best"] = packing.add(np.array([codes.get(name, -1) for name in best], np.int32))
        return told

    def _largest(self, images: Any) -> int:
        """Pixels of the longer side of a picture; 0 where there is none."""
        found = (self._scan.picture(int(image)) for image in images.reshape(-1) if image >= 0)
        return next((max(each.shape[:2]) for each in found if each is not None), 0)
