"""What the title of an explanation says: of what, measured how, drawn how."""

from __future__ import annotations

from typing import Any

from resviz.images.origin import Origin
from resviz.views.charts.words import short
from resviz.views.figures.explanation_lines import CHANNELS
from resviz.views.figures.quantities import conditions
from resviz.views.overlays import MapPanel
from resviz.views.pictures import Floats

_SCALES = {
    "shared": "one colour scale over all maps",
    "method": "one colour scale per method",
    "panel": "each map on its own colour scale",
}


def said_of(
    exp: Any,
    panels: list[MapPanel],
    note: str,
    scale: str,
    clip: float,
    name: str,
    whole: str = "",
) -> tuple[str, str, str]:
    """The lines of the title."""
    about = exp.provenance
    words = conditions(about)
    measured = [words[name] for name in ("output", "dtype", "weights", "bands") if name in words]
    if note:
        measured.append(note)
    inputs = dict.fromkeys(filter(None, (exp.input_of(panel.layer) for panel in panels)))
    if inputs:
        listed = " and ".join(f"input {each}" for each in inputs)
        measured.append(f"{'maps' if len(panels) > 1 else 'map'} over {listed}")
    names = list(dict.fromkeys(panel.target for panel in panels))
    shown = [short(name, 260) for name in names[:4]]
    if len(names) > 4:
        shown.append(f"{len(names) - 4} more")
    how = _SCALES[scale]
    if clip < 100:
        how += (
            f" · colours end at percentile {clip:g} of |values|:"
            f" at most {100 - clip:.3g} % of a map's values lie beyond"
        )
    how += whole
    shown_name = short(name, 400)
    return (
        f"Explanation of {', '.join(shown)}",
        " · ".join([str(about.get("network", "network")), shown_name, *measured]),
        how,
    )


def whole_note(origin: Origin | None) -> str:
    """What is said of a photograph that is shown whole."""
    if origin is None:
        return ""
    height, width = origin.size
    cropped = "" if origin.whole else ", without colours where it was cropped away"
    return f" · over the whole photograph ({height} x {width}){cropped}"


def input_note(exp: Any, line: Floats | None, clip: Floats | None, ids: bool) -> str:
    """What stands in the title about what the maps lie over."""
    if line is None and clip is None:
        return "the input was not kept: maps alone"
    if clip is not None:
        return "frames from the clip's least to its largest value"
    if ids:
        options = exp.provenance.get("options", {}).values()
        used = {each["baseline"] for each in options if each.get("baseline") is not None}
        return f"token {' or '.join(map(str, sorted(used)))} in place of others" if used else ""
    if line is not None and len(line) > CHANNELS:
        return f"channels 0 to {CHANNELS - 1} of {len(line)}, each on its own scale"
    return "each channel on its own scale" if line is not None and len(line) > 1 else ""
