"""`LossLandscape`: the loss around a network's weights, as a table that saves and loads itself."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass, field

import pandas as pd

from resviz import storage
from resviz.analysis.landscape.bends import bends_of
from resviz.arguments import public
from resviz.storage import Provenance

KIND = "loss landscape"


@dataclass(frozen=True, eq=False)
class LossLandscape:
    """The loss on a line or a plane through a network's weights. Made by `loss_landscape`.

    Attributes:
        table: a row per finished point, ordered by alpha, then beta: ``alpha``, ``beta`` (0 on a
            line), ``loss`` (mean cross-entropy over the images, in nats; inf or NaN where the
            network gave that), ``error`` (in percent; NaN where logits are NaN).
        provenance: network, weights, images, directions, points, extent, seed, BatchNorm mode,
            device, dtype, versions, and a fingerprint of weights and images.
    """

    table: pd.DataFrame
    provenance: Provenance = field(default_factory=dict)

    def __post_init__(self) -> None:
        about = {k: v for k, v in self.provenance.items() if k not in ("classes", "fingerprint")}
        self.table.attrs.update(about)

    @property
    def missing(self) -> int:
        """How many points are not measured yet: 0 unless an unfinished file was loaded."""
        whole = self.provenance["points"] ** self.provenance["dimensions"]
        return int(whole) - len(self.table)

    @property
    def centre(self) -> pd.Series:
        """The row of the network itself: alpha = beta = 0."""
        found = self.table[(self.table["alpha"] == 0) & (self.table["beta"] == 0)]
        return found.iloc[0]

    def nonconvexity(self) -> pd.DataFrame:
        """How far from convex: :func:`resviz.analysis.landscape.convexity.nonconvexity`."""
        return bends_of(self.table)

    @public
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to one file; :func:`load_landscape` gives it back equal."""
        meta = {"table": storage.table_to_json(self.table), "provenance": dict(self.provenance)}
        storage.write(path, KIND, {}, meta)

    def equals(self, other: LossLandscape) -> bool:
        """True where both hold the same points and provenance, NaN equal to NaN."""
        return self.table.equals(other.table) and dict(self.provenance) == dict(other.provenance)

    def __repr__(self) -> str:
        about, centre = self.provenance, self.centre
        unfinished = f", {self.missing} to come" if self.missing else ""
        return (
            f"LossLandscape of {about['network']} ({about['weights']}), {about['images']} images, "
            f"BatchNorm on {'batch' if about['batch_stats'] else 'running'} statistics, "
            f"{about['device']}, {about['dtype']}\n"
            f"  points      {len(self.table)}{unfinished}, {about['directions']} directions, "
            f"seed {about['seed']}, extent {about['extent']:g}\n"
            f"  centre      loss {centre['loss']:.4g}, error {centre['error']:.4g} %\n"
            f"  loss        {self.table['loss'].min():.4g} to {self.table['loss'].max():.4g}"
        )

    def _repr_html_(self) -> str:
        heading = html.escape(repr(self)).replace("\n", "<br>").replace("  ", "&ensp;")
        table = self.table.to_html(
            index=False, max_rows=12, float_format=lambda value: f"{value:.4g}"
        )
        return f"<div>{heading}</div>{table}"


@public
def load_landscape(path: str | os.PathLike[str]) -> LossLandscape:
    """A :class:`LossLandscape` from a file, also from an unfinished one. Runs no code from it.

    Args:
        path: what :meth:`LossLandscape.save` or ``loss_landscape(..., path=...)`` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or no loss landscape.
    """
    _, meta = storage.read(path, KIND)
    try:
        table = storage.table_from_json(meta["table"], "alpha")
        landscape = LossLandscape(table, {**meta["provenance"]})
        repr(landscape)  # touches what everything else relies on
        return landscape
    except (ValueError, IndexError, *storage.WRONG_CONTENT) as error:
        raise storage.damaged(path) from error
