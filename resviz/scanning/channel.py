"""What a scan tells of one channel, and of the images that it answers to."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.arguments import caller, public, whole
from resviz.errors import closest
from resviz.scanning import tables
from resviz.scanning.accumulated import Accumulated
from resviz.scanning.measures.measure import Accumulator
from resviz.scanning.plan import Plan


class ChannelTables:
    """The part of a :class:`~resviz.scanning.scan.Scan` that is asked about one channel.

    Attributes:
        plan: layers, measures and classes.
        seen: the accumulators.
        names: of the images, by position, where they have names: files.
    """

    plan: Plan
    seen: Accumulated
    names: tuple[str, ...]

    @cached_property
    def images(self) -> pd.DataFrame:
        """A row per image that was seen.

        ``image`` (position in the data set), ``name``, ``label`` and ``prediction`` (names; "" for
        none), ``probability`` of the prediction.
        """
        return tables.images(self.seen, self.names)

    # ---- one channel
    @public
    def top(self, layer: str, channel: int) -> pd.DataFrame:
        """The images that a channel answers to most, strongest first.

        Returns:
            A row per image: ``rank`` (from 1), ``image``, ``name``, ``label``, ``prediction``,
            ``value`` (the maximum of its map), ``row`` and ``column`` of the position where that
            is, and its receptive field ``top``, ``left``, ``bottom``, ``right`` in pixels of the
            input; it may reach over the edge. NaN where each position sees the whole image.

        Raises:
            KeyError: no such layer or channel.
            ValueError: top images were not measured.
        """
        self._measured("top")
        return tables.top(self.seen, self.number(layer), self._channel(layer, channel), self.images)

    @public
    def quantiles(
        self, layer: str, ranks: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0)
    ) -> pd.DataFrame:
        """Quantiles over the images of the maximum in each channel: a row each, a column a rank.

        To a rank error of 1.33 % at 99 % confidence (KLL sketches); up to 200 images exactly. NaN
        where all images were left out.

        Raises:
            KeyError: no such layer.
            ValueError: quantiles were not measured, or a rank outside of 0 to 1.
        """
        given = [float(rank) for rank in ranks]
        if not given or not all(0 <= rank <= 1 for rank in given):
            raise ValueError(f"{caller()}: ranks {ranks!r}; one or more from 0 to 1.")
        values = self._measured("quantiles").values(self.number(layer), given)
        table = pd.DataFrame(values, columns=given)
        table.insert(0, "channel", np.arange(len(table)))
        return table

    @public
    def histogram(self, layer: str, channel: int, bins: int = 20) -> pd.DataFrame:
        """How a channel's maximum is spread over the images, to the error of the sketch.

        Returns:
            A row per bin: ``low``, ``high``, ``share`` of the images. NaN where all were left out.

        Raises:
            KeyError: no such layer or channel.
            ValueError: quantiles were not measured.
        """
        number, channel = self.number(layer), self._channel(layer, channel)
        bins = whole("bins", bins, least=1)
        sketch = self._measured("quantiles")
        low, high = sketch.values(number, (0.0, 1.0))[channel].tolist()
        edges = np.linspace(low, high, bins + 1) if high > low else np.array([low, high])
        shares = sketch.shares(number, channel, edges[1:-1]) if len(edges) > 2 else np.ones(1)
        shares = shares if np.isfinite(low) else np.full(1, np.nan)
        return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "share": shares})

    @public
    def nearest(self, layer: str, channel: int, count: int = 5) -> pd.DataFrame:
        """The channels of the same layer that vary with this one from image to image.

        Returns:
            A row per channel, the largest correlation first: ``channel``, ``correlation`` of each
            image's mean activation.

        Raises:
            KeyError: no such layer or channel.
            ValueError: correlations were not measured.
        """
        number, channel = self.number(layer), self._channel(layer, channel)
        row = self._measured("correlation").matrix(number)[channel]
        row[channel] = np.nan
        known = np.flatnonzero(np.isfinite(row))
        order = known[np.argsort(-row[known], kind="stable")][: whole("count", count, least=1)]
        return pd.DataFrame({"channel": order, "correlation": row[order]})

    @public
    def class_means(self, layer: str) -> pd.DataFrame:
        """(channels, classes) mean activation of each channel over the images of each class.

        Raises:
            KeyError: no such layer.
            ValueError: classes were not measured.
        """
        means = self._measured("classes").means(self.number(layer))
        return pd.DataFrame(means.T, columns=list(self.plan.classes))

    @public
    def find(self, name: str, layer: str | None = None) -> pd.DataFrame:
        """The channels that stand out for a class.

        Args:
            name: of the class, as :attr:`classes` has it.
            layer: of the channels; None: all.

        Returns:
            A row per channel, those that stand out most first: ``layer``, ``channel``,
            ``class_mean`` and ``others_mean`` of the mean activation, ``effect``: their difference
            in standard deviations over the images; ``selectivity`` (NaN where a class has a
            negative mean).

        Raises:
            KeyError: no such class or layer.
            ValueError: classes were not measured.
        """
        self._measured("classes")
        if name not in self.plan.classes:
            raise KeyError(
                f"{caller()}: no class {name!r}; closest: "
                f"{closest(str(name), self.plan.classes)}. See scan.classes."
            )
        numbers = range(len(self.plan.sites)) if layer is None else [self.number(layer)]
        return tables.standing_out(self.seen, self.plan.classes.index(name), numbers)

    # ---- pictures
    @public
    def picture(self, image: int) -> NDArray[np.uint8] | None:
        """(H, W, 3): a top image as the network saw it; None where there is no picture of it."""
        return self.seen.pictures.of(whole("image", image))

    @public
    def crop(self, layer: str, channel: int, rank: int = 1) -> NDArray[np.uint8] | None:
        """(h, w, 3): what a channel's maximum saw of the top image of that rank.

        None where there is no such image, or no picture of it.

        Raises:
            KeyError: no such layer or channel.
            ValueError: top images were not measured.
        """
        table = self.top(layer, channel)
        rows = table[table["rank"] == whole("rank", rank, least=1)].to_dict("records")
        picture = self.seen.pictures.of(int(rows[0]["image"])) if rows else None
        if picture is None or not np.isfinite(rows[0]["top"]):
            return picture
        top, left, bottom, right = (int(rows[0][k]) for k in ("top", "left", "bottom", "right"))
        return picture[max(top, 0) : bottom, max(left, 0) : right]

    # ---- asking
    def name(self, image: int) -> str:
        """Of an image; "" where it has none."""
        return self.names[image] if 0 <= image < len(self.names) else ""

    def number(self, layer: str) -> int:
        """Of a layer in the plan.

        Raises:
            KeyError: no such layer.
        """
        keys = [site.key for site in self.plan.sites]
        if layer not in keys:
            near = closest(str(layer), keys)
            raise KeyError(f"{caller()}: no layer {layer!r} in the scan; closest: {near}.")
        return keys.index(layer)

    def _channel(self, layer: str, channel: int) -> int:
        channel, count = whole("channel", channel), self.plan.sites[self.number(layer)].channels
        if not 0 <= channel < count:
            raise KeyError(f"{caller()}: channel {channel} of {layer!r}; 0 to {count - 1}.")
        return channel

    def measured(self, measure: str) -> Accumulator:
        """The accumulator of a measure.

        Raises:
            ValueError: it was not measured.
        """
        accumulator: Accumulator = self._measured(measure)
        return accumulator

    def _measured(self, measure: str) -> Any:
        if measure not in self.seen.measures:
            raise ValueError(
                f"{caller()}: {measure!r} was not measured; scan(..., measures=[..., "
                f"{measure!r}]) would be right. There are: {', '.join(self.seen.measures)}."
            )
        return self.seen.measures[measure]
