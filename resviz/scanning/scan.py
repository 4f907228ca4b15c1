"""`Scan`: what the images of a data set showed of a network's channels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.arguments import caller, public, whole
from resviz.errors import closest
from resviz.scanning import saved, tables
from resviz.scanning.accumulated import Accumulated
from resviz.scanning.layout import placed
from resviz.scanning.measures.measure import Accumulator
from resviz.scanning.plan import Plan
from resviz.storage import Provenance

_FINGERPRINT = ("architecture", "weights", "data")
_SAME = ("preset", "autocast", "dtype", "input_shape")  # for parts that may be merged


@dataclass(frozen=True, eq=False)
class Scan:
    """What a data set showed of a network. Made by :func:`resviz.scan`.

    Images are known by their position in the data set, channels by layer and number. Tables are
    made of the accumulators when they are first asked for.

    Attributes:
        plan: layers, measures and classes.
        seen: the accumulators.
        names: of the images, by position, where they have names: files.
        provenance: network, weights, data set, device, versions; `complete` is False where the
            scan was interrupted.
    """

    plan: Plan
    seen: Accumulated
    names: tuple[str, ...] = ()
    provenance: Provenance = field(default_factory=dict)

    # ---- tables
    @cached_property
    def channels(self) -> pd.DataFrame:
        """A row per layer and channel.

        ``layer``, ``channel``; of "channels": ``mean``, ``std`` over all positions of all images,
        ``min``, ``max``, ``zero_fraction``, ``active_images`` (with a value other than 0 anywhere
        in the map), ``active_bound`` (of their share, the upper bound at 95 %: Clopper & Pearson
        1934), ``dead`` (no image was active); of "quantiles": ``median``, of each image's maximum;
        of "classes": ``selectivity`` (Morcos et al. 2018: 0, all classes alike, to 1, one alone),
        ``best_class`` with the largest mean activation; of "top": ``top_image``.
        """
        return tables.channels(self.seen)

    @cached_property
    def layers(self) -> pd.DataFrame:
        """A row per layer.

        ``layer``, ``module``, ``call``, ``type``, ``kind``, ``depth``, ``stage``, ``axes``,
        ``channels``, ``height``, ``width`` of its maps, ``field`` (side of a receptive field in
        pixels; NaN: the whole image); of "channels" also ``mean``, ``std``, ``zero_fraction`` over
        all channels, and ``dead`` channels; of "gradients" ``grad_norm`` with ``_std``, ``_min``,
        ``_max``: of each image's gradient of the score of what the network says.
        """
        return tables.layers(self.seen, self.channels)

    @cached_property
    def blocks(self) -> pd.DataFrame:
        """A row per residual addition, of measure "residuals".

        ``addition``, ``block``, ``kind``, ``depth``; over the whole data set ``branch_rms``,
        ``shortcut_rms``, their ``ratio`` and ``cosine``; over the images the mean and standard
        deviation of each one's ratio and cosine.
        """
        return self._measured("residuals").table()

    @cached_property
    def faithfulness(self) -> pd.DataFrame:
        """A row per image of a sample, of measure "faithfulness", as `rv.faithfulness` has it.

        ``image``, ``score`` (probability of the predicted class), ``deletion``, ``insertion`` and
        those of random maps, ``p_random`` of the rank test against them.
        """
        table: pd.DataFrame = self._measured("faithfulness").table()
        return table

    @cached_property
    def classes(self) -> pd.DataFrame:
        """A row per class.

        ``class``, ``index``, ``images``; where labels can be right ``correct``, ``accuracy``, and
        ``most_confused`` with.
        """
        return tables.classes(self.seen, self.confusion)

    @cached_property
    def images(self) -> pd.DataFrame:
        """A row per image that was seen.

        ``image`` (position in the data set), ``name``, ``label`` and ``prediction`` (names; "" for
        none), ``probability`` of the prediction.
        """
        return tables.images(self.seen, self.names)

    @property
    def skipped(self) -> pd.DataFrame:
        """A row per image that was left out: ``image``, ``name``, ``reason``."""
        rows = sorted(self.seen.skipped.items())
        table = pd.DataFrame(rows, columns=["image", "reason"])
        table.insert(1, "name", [self.name(int(image)) for image in table["image"]])
        return table

    @property
    def accuracy(self) -> float:
        """Share of the images whose prediction is their label; NaN where that has no meaning."""
        counts = self.confusion.to_numpy()
        return float(np.trace(counts) / counts.sum()) if counts.sum() else float("nan")

    @cached_property
    def confusion(self) -> pd.DataFrame:
        """(classes, outputs): how many images of a class are said to be what."""
        return tables.confusion(self.seen)

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

        To a rank error of 1.33 % at 99 % confidence (KLL sketches); up to 200 images exactly.

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
            A row per bin: ``low``, ``high``, ``share`` of the images.

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
            in standard deviations over the images; ``selectivity``.

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

    # ---- pictures and layouts
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

    @property
    def embedding(self) -> tuple[str, NDArray[np.int64], NDArray[np.float16]]:
        """(layer, (M,) images, (M, C)): mean activations there of a sample of the images.

        Raises:
            ValueError: it was not measured.
        """
        found = self._measured("embedding")
        images = found.arrays["image"]
        order = np.argsort(images, kind="stable")
        return self.plan.sites[found.number].key, images[order], found.arrays["vector"][order]

    @public
    def layout(self, method: str = "pca") -> pd.DataFrame:
        """The images of :attr:`embedding` in a plane, those that a layer answers to alike close.

        Args:
            method: "pca": the two axes of largest variance; "umap" (McInnes et al. 2018), with
                `umap-learn` installed.

        Returns:
            A row per image: ``image``, ``name``, ``label``, ``prediction``, ``x``, ``y``.

        Raises:
            ImportError: "umap" without `umap-learn`.
            ValueError: no embedding was measured, or another method.
        """
        layer, images, vectors = self.embedding
        x, y = placed(vectors, method, self.plan.seed).T
        table = self.images.set_index("image").reindex(images).reset_index()
        found = table[["image", "name", "label", "prediction"]].assign(x=x, y=y)
        found.attrs |= {"layer": layer, "method": method}
        return found

    # ---- parts and files
    @public
    def merge(self, other: Scan) -> Scan:
        """This scan and one of other images of the same data set as one.

        Counts, minima, maxima and top images are those of a single scan; means and variances to
        1e-6 relative (batches add up in another order); quantiles to the error of their sketches.

        Raises:
            TypeError: no scan.
            ValueError: a scan of another network, data set or plan, or of images that this has.
        """
        if not isinstance(other, Scan):
            raise TypeError(f"{caller()}: {type(other).__name__}; a Scan.")
        differ = differences(self, other)
        if differ:
            raise ValueError(
                f"{caller()}: a scan with {', '.join(differ)}; one of the same network, data set "
                "and arguments would be right."
            )
        twice = np.intersect1d(self.seen.done(), other.seen.done())
        if len(twice):
            raise ValueError(
                f"{caller()}: {len(twice)} images in both, {twice[0]} among them; other images "
                "would be right. Parts have positions of their own: only=range(...)."
            )
        both = Accumulated(self.plan)
        both.load(self.seen.state(), self.seen.skipped)
        both.merge(other.seen)
        count = int(self.provenance.get("images", 0)) + int(other.provenance.get("images", 0))
        return Scan(self.plan, both, self.names, {**self.provenance, "images": count})

    @public
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole scan to one file; :func:`load_scan` gives it back equal."""
        saved.write(path, self.seen, self.names, self.provenance)

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

    # ---- shown
    def __repr__(self) -> str:
        about, channels = self.provenance, sum(site.channels for site in self.plan.sites)
        images = len(self.seen.images.state()["image"])
        skipped = f", {len(self.seen.skipped)} left out" if self.seen.skipped else ""
        unfinished = "" if about.get("complete", True) else ", not finished"
        return (
            f"Scan of {about.get('network', 'network')} ({about.get('weights', 'own weights')}), "
            f"{images} images{skipped}{unfinished}\n"
            f"  layers    {len(self.plan.sites)}, {channels} channels\n"
            f"  measures  {', '.join(self.plan.measures)}\n"
            f"  classes   {len(self.plan.classes)}, by {self.plan.by or 'nothing'}"
        )

    def _repr_html_(self) -> str:
        import html

        heading = html.escape(repr(self)).replace("\n", "<br>").replace("  ", "&ensp;")
        table = self.layers.to_html(
            index=False, max_rows=12, float_format=lambda v: f"{v:.4g}", na_rep=""
        )
        return f"<div>{heading}</div>{table}"


def differences(one: Scan, other: Scan) -> list[str]:
    """In what two scans differ so that they are no parts of one; empty where they may be."""
    marks = [each.provenance.get("fingerprint") or {} for each in (one, other)]
    found = [f"other {name}" for name in _FINGERPRINT if marks[0].get(name) != marks[1].get(name)]
    plans = one.plan.to_json(), other.plan.to_json()
    found += [f"other {name}" for name in plans[0] if plans[0][name] != plans[1].get(name)]
    found += [
        f"{name} {other.provenance.get(name)!r} instead of {one.provenance.get(name)!r}"
        for name in _SAME
        if one.provenance.get(name) != other.provenance.get(name)
    ]
    return found


@public
def load_scan(path: str | os.PathLike[str]) -> Scan:
    """A :class:`Scan` from the file that :meth:`Scan.save` or ``scan(path=...)`` wrote.

    Runs no code from it. Of a scan that was interrupted, what was written last.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or no scan.
    """
    seen, names, about = saved.read(path)
    return Scan(seen.plan, seen, names, about)
