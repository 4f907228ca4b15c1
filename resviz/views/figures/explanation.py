"""`plot_explanation`: what a prediction rests on, over the photograph, signal, text or clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from resviz.images.origin import Origin
from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.explanation_frames import chosen, draw_clip
from resviz.views.figures.explanation_lines import CHANNELS, draw_signal, draw_words, on_white
from resviz.views.figures.map_grid import HEAD, Arrangement, grid, is_grid, wrapped
from resviz.views.figures.quantities import conditions
from resviz.views.figures.tiles import LEFT, LINE, Sheet, room_for, short, title_room
from resviz.views.overlays import (
    MapPanel,
    clip_of,
    is_tokens,
    line_of,
    panels_of,
    photograph,
    whole_photograph,
)
from resviz.views.pictures import Floats, Pixels, enlarged

_MARGIN = 118  # pixels for the bar beside the sheet


def plot_explanation(
    exp: Any,
    image: int = 0,
    *,
    methods: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    targets: Sequence[int] | None = None,
    scale: str = "shared",
    clip: float = 100.0,
    opacity: float = 0.6,
    magnitude: str = style.MAGNITUDE,
    columns: int | None = None,
    name: str | None = None,
    tokens: Sequence[str] | Callable[[list[int]], Sequence[str]] | None = None,
    frames: Sequence[int] | None = None,
    original: Any = None,
) -> Figure:
    """A figure of the photograph and, beside it, each map over it: methods x layers x targets.

    Several methods at several layers (or for several targets) stand in a grid: a row for each
    method, a column for each layer and target; methods over the pixels, which have no layers, below
    the others. Else the maps stand one after the other. Maps are drawn as they are (no min-max, no
    ReLU), bilinear, over the photograph in grey. Maps on one colour scale have the same colours:
    blue-red, centred on 0, where any of them has negative values. The hover reads the raw value.
    Where the network has no pictures the map is drawn alone.

    Signals: a row for each map, its colours behind the curve, red where it is positive; several
    channels, the first eight, stand one below the other, each on its own scale. Tokens: a block of
    words for each map, each word on the colour of its value. Video: a row of frames for each map.

    Args:
        exp: an Explanation.
        image: which image of the batch.
        methods: which of ``exp.methods``; None: all.
        layers: which of ``exp.layers``; None: all. Pairs of which there is no map are left out.
        targets: positions in ``exp.targets[image]``; None: all.
        scale: "shared": one colour scale over all panels; "method": one for each method, for
            methods whose values have different units; "panel": each its own. The largest value
            stands above each panel in any case.
        clip: percentile of a map's absolute values at which its colours end; 100: nothing is
            clipped. Of several maps on one scale the one that reaches furthest decides, so that at
            most 100 - clip percent of any map lie beyond. Below 100 the title says so; for maps
            over the pixels, whose few extreme values leave the rest near 0, 99 shows more.
        opacity: of the map over the photograph, 0 to 1.
        magnitude: colour scale of maps without negative values, "Viridis" or "Cividis".
        columns: panels in a row, one after the other, instead of the grid.
        name: what the image is called; "image 0" and so on if None.
        tokens: the words of a text, one for each of its tokens, or what makes them of its ids, as a
            tokenizer's ``convert_ids_to_tokens`` does; None: the ids.
        frames: which frames of a clip; None: six, evenly.
        original: the photograph that the image was cut from (a file, a PIL image, an array
            (H, W, 3)): maps are drawn over all of it, as :meth:`Explanation.on_original` places
            them. What was cropped away has no colours.

    Raises:
        TypeError: not an Explanation.
        UnreadableImage: an original that is no picture.
        ValueError: no such image, method, layer, target, scale, percentile or colour scale; as many
            words as there are no tokens, no such frame; maps of signals and of pictures at once; an
            original of another size than the image came from, or nobody knows where it came from.
    """
    if magnitude not in style.MAGNITUDES or not 0 <= opacity <= 1:
        raise ValueError(
            f"plot_explanation: magnitude={magnitude!r}, opacity={opacity}; one of"
            f" {', '.join(style.MAGNITUDES)}, and 0 to 1."
        )
    if columns is not None and columns < 1:
        raise ValueError(f"plot_explanation: columns={columns}; 1 or more, or None.")
    panels = panels_of(exp, image, methods, layers, targets, scale, magnitude, clip)
    name = name if name is not None else f"image {image}"
    others = [p.raw.ndim != 2 or line_of(exp, image, p.layer) is not None for p in panels]
    if any(others) and original is None:
        return _without_photograph(exp, image, panels, opacity, tokens, frames, (scale, clip, name))
    _check_asked("pictures", tokens, frames)
    picture, origin = photograph(exp, image), None
    if original is not None:
        whole = whole_photograph(exp, image, original, "plot_explanation")
        origin, picture = whole.origin, whole.pixels
        panels = [replace(panel, origin=origin) for panel in panels]
    made = _arranged(panels, picture, scale, columns, name)
    note = "" if picture is not None else "this network has no pictures: maps alone"
    said = _said(exp, panels, note, scale, clip, name, _whole(origin))
    barred = bool(made.rows) and scale == "method"
    wide = max(title_room(*said), made.across + LEFT + (LEFT if barred else _MARGIN))
    sheet = Sheet(made.tile, made.across, made.down, round(wide) - made.across - LEFT)
    for cell in made.cells:
        own = cell.panel is not None and origin is None
        under = photograph(exp, image, cell.panel.layer) if own and cell.panel else picture
        _draw_cell(sheet, cell.panel, cell.left, cell.top, cell.lines, under, opacity)
    _draw_headings(sheet, made)
    if barred:
        _draw_bars_of_rows(sheet, made, clip)
    else:
        _draw_bars(sheet, panels, scale, clip, min(cell.top for cell in made.cells))
    return Figure.of(sheet.chart(*said))


def _without_photograph(
    exp: Any,
    image: int,
    panels: list[MapPanel],
    opacity: float,
    tokens: Any,
    frames: Sequence[int] | None,
    titled: tuple[str, float, str],
) -> Figure:
    """The figure of a signal, a text or a clip."""
    scale, clip_at, name = titled
    axes = {panel.raw.ndim for panel in panels}
    _check_alike(exp, panels, axes)
    layer = panels[0].layer
    line, clip, ids = line_of(exp, image, layer), clip_of(exp, image, layer), is_tokens(exp, layer)
    moving = clip is not None or axes == {3}
    _check_asked("video" if moving else "text" if ids else "signals", tokens, frames)
    note = _note(exp, line, clip, ids)
    if not moving:
        panels = on_white(panels)
    said = _said(exp, panels, note, scale, clip_at, name)
    room = title_room(*said)
    if moving:
        count = clip.shape[1] if clip is not None else len(panels[0].raw)
        sheet = draw_clip(panels, clip, chosen(frames, count), opacity, room)
    elif ids:
        sheet = draw_words(panels, _words(exp.inputs_of(layer)[image], tokens), opacity, room)
    else:
        signal = line if line is not None else np.zeros((0, panels[0].raw.size), np.float32)
        sheet = draw_signal(panels, signal, opacity, room)
    _draw_bars(sheet, panels, scale, clip_at, LINE + 4)
    return Figure.of(sheet.chart(*said))


def _check_asked(kind: str, tokens: Any, frames: Any) -> None:
    """Raise ValueError for what has no meaning for maps over this kind of input."""
    for name, given, right in (("tokens", tokens, "text"), ("frames", frames, "video")):
        if given is not None and kind != right:
            raise ValueError(
                f"plot_explanation: {name}= of maps over {kind}; over {right} it would be right. "
                "Leave it out."
            )


def _check_alike(exp: Any, panels: list[MapPanel], axes: set[int]) -> None:
    """Raise ValueError for maps that do not lie over one and the same signal, text or clip."""
    if len(axes) > 1:
        raise ValueError(
            f"plot_explanation: maps with {' and '.join(map(str, sorted(axes)))} axes of positions;"
            " those of one kind would be right: choose with methods= and layers=."
        )
    names = dict.fromkeys(filter(None, (exp.input_of(panel.layer) for panel in panels)))
    if len(names) > 1:
        raise ValueError(
            f"plot_explanation: maps about the inputs {' and '.join(names)}, which are no pictures;"
            " those about one would be right: choose with layers=."
        )


def _note(exp: Any, line: Floats | None, clip: Floats | None, ids: bool) -> str:
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


def _words(ids: Any, tokens: Any) -> list[str]:
    """The words of the tokens, as they were given or made from the ids."""
    numbers = [int(each) for each in ids.tolist()]
    found = tokens(numbers) if callable(tokens) else tokens
    words = [str(each) for each in (numbers if found is None else found)]
    if isinstance(found, str) or len(words) != len(numbers):
        raise ValueError(
            f"plot_explanation: {len(words)} words for {len(numbers)} tokens; a word for each "
            "would be right, or a function of the ids, as tokenizer.convert_ids_to_tokens."
        )
    return words


def _arranged(
    panels: list[MapPanel], picture: Pixels | None, scale: str, columns: int | None, name: str
) -> Arrangement:
    shape = picture.shape if picture is not None else panels[0].raw.shape
    shown = name if picture is not None else None
    if columns is None and is_grid(panels):
        return grid(panels, shape, shown, bars=scale == "method")
    scales = {panel.scale for panel in panels}
    ends = scale == "method" and 1 < len(scales) < len(panels)
    return wrapped(panels, shape, columns, shown, ends=ends)


_SCALES = {
    "shared": "one colour scale over all maps",
    "method": "one colour scale per method",
    "panel": "each map on its own colour scale",
}


def _said(
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


def _whole(origin: Origin | None) -> str:
    """What is said of a photograph that is shown whole."""
    if origin is None:
        return ""
    height, width = origin.size
    cropped = "" if origin.whole else ", without colours where it was cropped away"
    return f" · over the whole photograph ({height} x {width}){cropped}"


def _draw_cell(
    sheet: Sheet,
    panel: MapPanel | None,
    left: int,
    top: int,
    lines: Sequence[str],
    picture: Pixels | None,
    opacity: float,
) -> None:
    """The photograph, or a map over it with its values for the hover; the lines above it."""
    size = max(sheet.tile)
    if panel is None and picture is not None:
        sheet.add_picture(left, top, enlarged(picture, size), "photograph")
    if panel is not None:
        where = f"{panel.method}, {panel.layer}"
        sheet.add_picture(left, top, enlarged(panel.over(picture, opacity), size), where)
        sheet.add_values(left, top, panel.raw, (where, panel.target), panel.frame())
    head = len(lines) > 1
    above = top - LINE * max(len(lines), 3 if head else 1) - (4 if head else 2)
    for number, line in enumerate(lines):
        first = head and number == 0
        size_of = HEAD if first else style.SMALL
        sheet.add_words(left, above + LINE * number, line, faint=not first, size=size_of)


def _draw_headings(sheet: Sheet, made: Arrangement) -> None:
    for left, top, text, faint in made.headings:
        sheet.add_words(left, top, text, faint=faint, size=style.SMALL if faint else HEAD)
    for row in made.rows:
        sheet.add_upright(row.middle, row.top + made.tile[0] / 2, row.heading, HEAD)


def _draw_bars_of_rows(sheet: Sheet, made: Arrangement, clip: float) -> None:
    """A bar beside each method's row; none where there is nothing to see."""
    for row in made.rows:
        low, high, colours = row.panels[0].scale
        if not all(panel.blank() for panel in row.panels):
            middle = 0.0 if low < 0 else high / 2
            ticks = {value: f"{value:.2g}" for value in (low, middle, high)}
            if clip < 100:
                ticks |= {high: f"≥{high:.2g}"} | ({low: f"≤{low:.2g}"} if low < 0 else {})
            sheet.add_bar((low, high, colours), row.end, row.top, made.tile[0], ticks=ticks)


def _draw_bars(sheet: Sheet, panels: list[MapPanel], scale: str, clip: float, top: float) -> None:
    """The bar beside the sheet: with numbers where all maps are on one scale, else in words.

    Two of them where some of the maps are signed and some are not.
    """
    left, length = sheet.across + 4, min(sheet.down - top - 12, 420)
    scales = list(dict.fromkeys(panel.scale for panel in panels))
    if len(scales) == 1:
        title = _fitting(
            length, "attribution (raw)", "" if clip == 100 else f" to percentile {clip:g}"
        )
        sheet.add_bar(scales[0], left, top, length, title=title)
        return
    kinds = list(dict.fromkeys((low < 0, colours) for low, _, colours in scales))
    share = (length - 24 * (len(kinds) - 1)) / len(kinds)
    end = "largest" if clip == 100 else f"p{clip:g}"
    for number, (signed, colours) in enumerate(kinds):
        what = "attribution" if len(kinds) == 1 else "signed maps" if signed else "unsigned maps"
        sheet.add_bar(
            (-1.0 if signed else 0.0, 1.0, colours),
            left,
            top + number * (share + 24),
            share,
            title=_fitting(
                share, what, f", each {'map' if scale == 'panel' else 'method'} its own"
            ),
            ticks={-1.0: f"−{end}", 0.0: "0", 1.0: end} if signed else {0.0: "0", 1.0: end},
        )


def _fitting(room: float, words: str, more: str) -> str:
    return words + more if room_for(words + more) <= room else words
