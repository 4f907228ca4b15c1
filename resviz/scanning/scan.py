"""`Scan`: what the images of a data set showed of a network's channels."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.arguments import caller, public
from resviz.scanning import saved, tables
from resviz.scanning.accumulated import Accumulated
from resviz.scanning.channel import ChannelTables
from resviz.scanning.layout import placed
from resviz.scanning.plan import Plan
from resviz.storage import Provenance

_FINGERPRINT = ("architecture", "weights", "data")
_SAME = ("preset", "autocast", "dtype", "input_shape")  # for parts that may be merged


@dataclass(frozen=True, eq=False)
class Scan(ChannelTables):
    """What a data set showed of a network. Made by :func:`resviz.scan`.

    Images are known by their position in the data set, channels by layer and number. Tables are
    made of the accumulators when they are first asked for.

    Attributes:
        plan: layers, measures and classes.
        seen: the accumulators.
        names: of the images, by position, where they have names: files.
        provenance: network, weights, data set, device, versions; `complete` is False where the
            scan, or a part of it, was interrupted.
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
        of "classes": ``selectivity`` (Morcos et al. 2018: 0, all classes alike, to 1, one alone;
        NaN where a class has a negative mean), ``best_class`` with the largest mean activation; of
        "top": ``top_image``.
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
        deviation of each one's ratio and cosine, without images whose shortcut, or branch, is 0.
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

    @property
    def skipped(self) -> pd.DataFrame:
        """A row per image that was left out: ``image``, ``name``, ``reason``."""
        rows = sorted(self.seen.skipped.items())
        table = pd.DataFrame(rows, columns=["image", "reason"])
        table.insert(1, "name", [self.name(int(image)) for image in table["image"]])
        return table

    @property
    def accuracy(self) -> float:
        """Share of the images whose prediction is their label; NaN where that has no meaning.

        Images without a label, or with one beyond the classes, are left out.
        """
        counts = self.confusion.to_numpy()
        return float(np.trace(counts) / counts.sum()) if counts.sum() else float("nan")

    @cached_property
    def confusion(self) -> pd.DataFrame:
        """(classes, outputs): how many images of a class are said to be what."""
        return tables.confusion(self.seen)

    # ---- layouts
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
        parts = self.provenance, other.provenance
        images = sum(int(about.get("images", 0)) for about in parts)
        complete = all(about.get("complete", True) for about in parts)
        about = {**self.provenance, "images": images, "complete": complete}
        return Scan(self.plan, both, self.names, about)

    @public
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole scan to one file; :func:`load_scan` gives it back equal."""
        saved.write(path, self.seen, self.names, self.provenance)

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
