"""`plot_explanation`: what a prediction rests on, over the photograph, signal, text or clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.explanation_bars import draw_bars, draw_bars_of_rows
from resviz.views.figures.explanation_frames import chosen, draw_clip
from resviz.views.figures.explanation_lines import draw_signal, draw_words, on_white
from resviz.views.figures.explanation_words import input_note, said_of, whole_note
from resviz.views.figures.map_grid import HEAD, Arrangement, grid, is_grid, wrapped
from resviz.views.figures.tiles import LEFT, LINE, Sheet, title_room
from resviz.views.overlays import (
    MapPanel,
    clip_of,
    is_tokens,
    line_of,
    panels_of,
    photograph,
    whole_photograph,
)
from resviz.views.pictures import Pixels, enlarged

if TYPE_CHECKING:
    from resviz.attribution.explanation import Explanation
    from resviz.images.reading import Source
    from resviz.views.overlays import Whole

_MARGIN = 118  # pixels for the bar beside the sheet


def plot_explanation(
    exp: Explanation,
    image: int = 0,
    *,
    methods: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    targets: Sequence[int] | None = None,
    scale: str | None = None,
    clip: float = 100.0,
    opacity: float = 0.6,
    magnitude: str = style.MAGNITUDE,
    columns: int | None = None,
    name: str | None = None,
    tokens: Sequence[str] | Callable[[list[int]], Sequence[str]] | None = None,
    frames: Sequence[int] | None = None,
    original: Source | Whole | None = None,
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
        scale: "method": one colour scale for each method, whose values have units of their own;
            "shared": one over all panels; "panel": each its own. None: "method" where there are
            several. The largest value stands above each panel in any case.
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
    if scale is None:
        drawn = getattr(exp, "methods", ()) if methods is None else methods  # checked below
        scale = "method" if len(set(drawn)) > 1 else "shared"
    panels = panels_of(exp, image, methods, layers, targets, scale, magnitude, clip)
    name = name if name is not None else f"image {image}"
    others = [p.raw.ndim != 2 or line_of(exp, image, p.layer) is not None for p in panels]
    if any(others) and original is None:
        return _without_photograph(exp, image, panels, opacity, tokens, frames, (scale, clip, name))
    _check_asked("pictures", tokens, frames)
    return _over_photograph(exp, image, panels, opacity, columns, original, (scale, clip, name))


def _over_photograph(
    exp: Any,
    image: int,
    panels: list[MapPanel],
    opacity: float,
    columns: int | None,
    original: Any,
    titled: tuple[str, float, str],
) -> Figure:
    """The figure of maps over a photograph, or over that which it was cut from."""
    scale, clip, name = titled
    picture, origin = photograph(exp, image), None
    if original is not None:
        whole = whole_photograph(exp, image, original, "plot_explanation")
        origin, picture = whole.origin, whole.pixels
        panels = [replace(panel, origin=origin) for panel in panels]
    made = _arranged(panels, picture, scale, columns, name)
    note = "" if picture is not None else "this network has no pictures: maps alone"
    said = said_of(exp, panels, note, scale, clip, name, whole_note(origin))
    barred = bool(made.rows) and scale == "method"
    wide = max(title_room(*said), made.across + LEFT + (LEFT if barred else _MARGIN))
    sheet = Sheet(made.tile, made.across, made.down, round(wide) - made.across - LEFT)
    for cell in made.cells:
        own = cell.panel is not None and origin is None
        under = photograph(exp, image, cell.panel.layer) if own and cell.panel else picture
        _draw_cell(sheet, cell.panel, cell.left, cell.top, cell.lines, under, opacity)
    _draw_headings(sheet, made)
    if barred:
        draw_bars_of_rows(sheet, made, clip)
    else:
        draw_bars(sheet, panels, scale, clip, min(cell.top for cell in made.cells))
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
    note = input_note(exp, line, clip, ids)
    if not moving:
        panels = on_white(panels)
    said = said_of(exp, panels, note, scale, clip_at, name)
    room = title_room(*said)
    if moving:
        count = clip.shape[1] if clip is not None else len(panels[0].raw)
        sheet = draw_clip(panels, clip, chosen(frames, count), opacity, room)
    elif ids:
        sheet = draw_words(panels, _words(exp.inputs_of(layer)[image], tokens), opacity, room)
    else:
        signal = line if line is not None else np.zeros((0, panels[0].raw.size), np.float32)
        sheet = draw_signal(panels, signal, opacity, room)
    draw_bars(sheet, panels, scale, clip_at, LINE + 4)
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
