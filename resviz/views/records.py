"""Which record something is: told by its class, never by the attributes that it happens to have.

The classes are imported when they are asked for: figures of tables alone load no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeGuard

import pandas as pd

if TYPE_CHECKING:
    from resviz.analysis.landscape.surface import LossLandscape
    from resviz.attribution.explanation import Explanation
    from resviz.recording.recording import Recording
    from resviz.scanning.scan import Scan
    from resviz.training.recorder.record import TrainingRecord, TrainingStep

    # what a figure is made from: a table or a record that has tables, one for each seed, by name
    Table: TypeAlias = pd.DataFrame | Recording | TrainingStep
    Tables: TypeAlias = Table | Mapping[str, Table | Sequence[Table]]
    Landscape: TypeAlias = LossLandscape | pd.DataFrame
    Landscapes: TypeAlias = Landscape | Mapping[str, Landscape | Sequence[Landscape]]


def is_recording(given: object) -> TypeGuard[Recording]:
    """True for what ``rv.record`` gives."""
    from resviz.recording.recording import Recording

    return isinstance(given, Recording)


def is_moment(given: object) -> TypeGuard[Recording | TrainingStep]:
    """True for a recording, or one step of a training record: tables of layers and the like."""
    from resviz.training.recorder.record import TrainingStep

    return is_recording(given) or isinstance(given, TrainingStep)


def is_explanation(given: object) -> TypeGuard[Explanation]:
    """True for what ``rv.explain`` gives."""
    from resviz.attribution.explanation import Explanation

    return isinstance(given, Explanation)


def is_scan(given: object) -> TypeGuard[Scan]:
    """True for what ``rv.scan`` gives."""
    from resviz.scanning.scan import Scan

    return isinstance(given, Scan)


def is_training_record(given: object) -> TypeGuard[TrainingRecord]:
    """True for what ``rv.load_training_record`` gives."""
    from resviz.training.recorder.record import TrainingRecord

    return isinstance(given, TrainingRecord)


def is_landscape(given: object) -> TypeGuard[LossLandscape]:
    """True for what ``rv.loss_landscape`` gives."""
    from resviz.analysis.landscape.surface import LossLandscape

    return isinstance(given, LossLandscape)
