"""`plot_explanation`: what a prediction rests on, over the photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from resviz.images.origin import Origin
from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.map_grid import HEAD, Arrangement, grid, is_grid, wrapped
from resviz.views.figures.quantities import conditions
from resviz.views.figures.tiles import LEFT, LINE, Sheet, room_for, short
from resviz.views.overlays import MapPanel, panels_of, photograph, whole_photograph
from resviz.views.pictures import Pixels, enlarged

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
    original: Any = None,
) -> Figure:
    """A figure of the photograph and, beside it, each map over it: methods x layers x targets.

    Several methods at several layers (or for several targets) stand in a grid: a row for each
    method, a column for each layer and target; methods over the pixels, which have no layers, below
    the others. Else the maps stand one after the other. Maps are drawn as they are (no min-max, no
    ReLU), bilinear, over the photograph in grey. Maps on one colour scale have the same colours:
    blue-red, centred on 0, where any of them has negative values. The hover reads the raw value.
    Where the network has no pictures the map is drawn alone.

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
        original: the photograph that the image was cut from (a file, a PIL image, an array
            (H, W, 3)): maps are drawn over all of it, as :meth:`Explanation.on_original` places
            them. What was cropped away has no colours.

    Raises:
        TypeError: not an Explanation.
        UnreadableImage: an original that is no picture.
        ValueError: no such image, method, layer, target, scale, percentile or colour scale; an
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
    picture, origin = photograph(exp, image), None
    if original is not None:
        whole = whole_photograph(exp, image, original, "plot_explanation")
        origin, picture = whole.origin, whole.pixels
        panels = [replace(panel, origin=origin) for panel in panels]
    name = name if name is not None else f"image {image}"
    made = _arranged(panels, picture, scale, columns, name)
    title = _title(exp, panels, picture, scale, clip, name, _whole(origin))
    barred = bool(made.rows) and scale == "method"
    wide = max(_title_room(title), made.across + LEFT + (LEFT if barred else _MARGIN))
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
    sheet.fig.update_layout(title={"text": title})
    return sheet.fig


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


def _title(
    exp: Any,
    panels: list[MapPanel],
    picture: Pixels | None,
    scale: str,
    clip: float,
    name: str,
    whole: str,
) -> str:
    about = exp.provenance
    words = conditions(about)
    measured = [words[name] for name in ("output", "dtype", "weights", "bands") if name in words]
    if picture is None:
        measured.append("this network has no pictures: maps alone")
    inputs = dict.fromkeys(filter(None, (exp.input_of(panel.layer) for panel in panels)))
    if inputs:
        listed = " and ".join(f"input {style.escape(each)}" for each in inputs)
        measured.append(f"{'maps' if len(panels) > 1 else 'map'} over {listed}")
    names = list(dict.fromkeys(panel.target for panel in panels))
    shown = [style.escape(short(name, 260)) for name in names[:4]]
    if len(names) > 4:
        shown.append(f"{len(names) - 4} more")
    how = _SCALES[scale]
    if clip < 100:
        how += (
            f" · colours end at percentile {clip:g} of |values|:"
            f" at most {100 - clip:.3g} % of a map's values lie beyond"
        )
    how += whole
    network = style.escape(about.get("network", "network"))
    return style.heading(
        f"Explanation of {', '.join(shown)}",
        " · ".join([network, style.escape(short(name, 400)), *measured]),
        how,
    )


def _whole(origin: Origin | None) -> str:
    """What is said of a photograph that is shown whole."""
    if origin is None:
        return ""
    height, width = origin.size
    cropped = "" if origin.whole else ", without colours where it was cropped away"
    return f" · over the whole photograph ({height} x {width}){cropped}"


def _title_room(title: str) -> float:
    """How wide the figure must be for its title, in pixels."""
    from resviz.views.static import plain

    first, *others = plain(title).splitlines()
    return 3 * LEFT + max(room_for(first, 16), *(room_for(line) for line in others))


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
