"""Where each map of an explanation stands: wrapped in rows, or methods x layers with headings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from resviz.views import style
from resviz.views.charts.words import room_for, short
from resviz.views.figures.tiles import LINE
from resviz.views.overlays import MapPanel

HEAD = style.SMALL + 1  # size of headings
BAR = 84  # pixels for the bar of a row and its numbers
_GAP = 12
_LARGEST = 224  # a tile's longer side
_NARROWEST = 88  # a tile's width: the words above it must stay legible
_ACROSS, _DOWN = 840, 760  # what all tiles together should need at most
_PIXELS = "input"  # the layer name of maps over the pixels themselves


@dataclass(frozen=True)
class Cell:
    """A picture at a place, with the lines above it; without a panel it is the photograph."""

    left: int
    top: int
    panel: MapPanel | None
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """The maps of one method in a row: their heading at the left, room for a bar at the right."""

    heading: list[str]
    top: int
    middle: int
    end: int
    panels: list[MapPanel]


@dataclass
class Arrangement:
    """Cells, headings (left, top, text, faint) and rows on a sheet of so many pixels."""

    tile: tuple[int, int]
    cells: list[Cell] = field(default_factory=list)
    headings: list[tuple[int, int, str, bool]] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    across: int = 0
    down: int = 0

    def room(self, right: int, foot: int) -> None:
        """Make the sheet reach so far."""
        self.across, self.down = max(self.across, right), max(self.down, foot)


def is_grid(panels: Sequence[MapPanel]) -> bool:
    """More than one method, and one with more than one map."""
    methods = {panel.method for panel in panels}
    return 1 < len(methods) < len(panels)


def wrapped(
    panels: Sequence[MapPanel],
    shape: Sequence[int],
    columns: int | None,
    photograph: str | None,
    *,
    ends: bool,
) -> Arrangement:
    """The photograph and the maps one after the other, `columns` in a row.

    Args:
        panels: the maps.
        shape: (height, width) of the photograph, for the shape of the tiles.
        columns: in a row; None: one row of up to six, else rows of about five.
        photograph: its name; None: there is none.
        ends: also say above each map where its colours end.
    """
    count = len(panels) + (photograph is not None)
    columns = min(columns or (count if count <= 6 else -(-count // -(-count // 5))), count)
    tile = _tile(shape, columns, 1)
    made, label = Arrangement(tile), 3 * LINE + 4
    entries: list[tuple[MapPanel | None, tuple[str, ...]]] = [
        (panel, _three_lines(panel, tile[1], ends=ends)) for panel in panels
    ]
    if photograph is not None:
        entries.insert(0, (None, ("photograph", short(photograph, tile[1]))))
    for number, (panel, lines) in enumerate(entries):
        row, column = divmod(number, columns)
        left = column * (tile[1] + _GAP)
        top = row * (tile[0] + label + _GAP) + label
        made.cells.append(Cell(left, top, panel, lines))
        made.room(left + tile[1] + _GAP, top + tile[0] + _GAP)
    return made


def _three_lines(panel: MapPanel, room: int, *, ends: bool) -> tuple[str, str, str]:
    first, second = f"{panel.method}, {panel.layer}", panel.target
    if room_for(first, HEAD) > room:
        first, second = panel.method, f"{panel.layer} · {panel.target}"
    more = f" · colours to {'±' if panel.low < 0 else ''}{panel.high:.2g}" if ends else ""
    note = _extremes(panel, room - room_for(more)) + more
    return short(first, room, HEAD, middle=True), short(second, room), short(note, room)


def _extremes(panel: MapPanel, room: float) -> str:
    """The largest and least value, or why there is nothing to see, as short as the room demands."""
    blank = panel.blank()
    words = [blank, blank.removesuffix(" everywhere").removesuffix(" in places (magenta)")]
    if not blank:
        low, high = float(panel.raw.min()), float(panel.raw.max())
        words = [panel.extremes(), f"max {high:.2g}"]
        if low < 0:
            words[1:] = [f"{low:.2g} to {high:.2g}", f"{low:.1g} to {high:.1g}"]
    return next((each for each in words if room_for(each) <= room), short(words[-1], room))


def grid(
    panels: Sequence[MapPanel],
    shape: Sequence[int],
    photograph: str | None,
    *,
    bars: bool,
) -> Arrangement:
    """A row for each method, a column for each layer and target; the photograph at the left.

    Methods over the pixels have no layers: they stand below the others, under a heading of their
    own, side by side where the rows above leave room for that.

    Args:
        panels: the maps.
        shape: (height, width) of the photograph, for the shape of the tiles.
        photograph: its name; None: there is none.
        bars: leave room for a colour bar beside each row.
    """
    blocks = _blocks(panels)
    widest = max(len(block[0]) for block in blocks)
    above = len(blocks[0][1])
    below = sum(-(-len(block[1]) * len(block[0]) // max(3, widest)) for block in blocks[1:])
    tile = _tile(shape, widest + (photograph is not None), above + below)
    made = Arrangement(tile)
    start = 0
    if photograph is not None:
        start = tile[1] + _GAP
    several = len({panel.position for panel in panels}) > 1
    for number, (columns, methods) in enumerate(blocks):
        least = 1 if number == 0 else max(1, 3 // len(columns))
        _add_block(made, columns, methods, start, least, several=several, bars=bars)
    if photograph is not None:
        first = min(cell.top for cell in made.cells)
        made.cells.insert(0, Cell(0, first, None, (short(photograph, tile[1]),)))
        made.headings.append((0, 0, "photograph", False))
    return made


Column = tuple[str, int]  # layer, position of the target
Block = tuple[list[Column], dict[str, dict[Column, MapPanel]]]


def _blocks(panels: Sequence[MapPanel]) -> list[Block]:
    """Methods with layers, then methods over the pixels: their columns, and each one's maps."""
    with_layers = {panel.method for panel in panels if panel.layer != _PIXELS}
    blocks: list[Block] = []
    for at_layers in (True, False):
        chosen = [p for p in panels if (p.method in with_layers) == at_layers]
        if chosen:
            methods: dict[str, dict[Column, MapPanel]] = {}
            for panel in chosen:
                methods.setdefault(panel.method, {})[panel.layer, panel.position] = panel
            blocks.append((list(dict.fromkeys((p.layer, p.position) for p in chosen)), methods))
    return blocks


def _add_block(
    made: Arrangement,
    columns: Sequence[Column],
    methods: dict[str, dict[Column, MapPanel]],
    start: int,
    least: int,
    *,
    several: bool,
    bars: bool,
) -> None:
    """Rows of one block below what is there; side by side, `least` or what the rows above hold."""
    (height, width), head = made.tile, LINE * (2 if several else 1) + 6
    names = {method: _broken(method, height) for method in methods}
    side = LINE * max(map(len, names.values())) + 8
    whole = side + len(columns) * (width + _GAP) + (BAR if bars else 0)
    beside = max(least, (made.across - start) // whole)
    above = made.down
    for number, (method, maps) in enumerate(methods.items()):
        row, place = divmod(number, beside)
        left = start + place * whole + side
        top = above + head + row * (height + LINE + _GAP) + LINE + 2
        for column, key in enumerate(columns):
            at = left + column * (width + _GAP)
            if row == 0:
                _add_heading(made, at, above, maps, methods.values(), key, several=several)
            if key in maps:
                note = _extremes(maps[key], width + _GAP - 4)
                made.cells.append(Cell(at, top, maps[key], (note,)))
        end = left + len(columns) * (width + _GAP)
        made.rows.append(Row(names[method], top, left - side // 2, end, list(maps.values())))
        made.room(end + (BAR if bars else 0), top + height + _GAP)


def _add_heading(
    made: Arrangement,
    left: int,
    top: int,
    maps: dict[Column, MapPanel],
    others: Iterable[dict[Column, MapPanel]],
    key: Column,
    *,
    several: bool,
) -> None:
    """Layer, and target where there are several, above a column."""
    panel = next(m[key] for m in (maps, *others) if key in m)
    layer = "input pixels" if panel.layer == _PIXELS else panel.layer
    made.headings.append((left, top, short(layer, made.tile[1], HEAD, middle=True), False))
    if several:
        made.headings.append((left, top + LINE, short(panel.target, made.tile[1]), True))


def _broken(method: str, room: int) -> list[str]:
    """A method's name in one or two lines, as long as a tile is high."""
    if room_for(method, HEAD) <= room:
        return [method]
    first, second = "", method
    for cut in [i + 1 for i, letter in enumerate(method) if letter in "_ "]:
        if room_for(method[:cut], HEAD) <= room:
            first, second = method[:cut], method[cut:]
    return [short(line, room, HEAD, middle=True) for line in (first, second) if line]


def _tile(shape: Sequence[int], columns: int, rows: int) -> tuple[int, int]:
    """(height, width) of a tile: as large as the room allows, within limits."""
    height, width = shape[0] / max(shape[:2]), shape[1] / max(shape[:2])
    fits = min(_ACROSS / columns / width, _DOWN / rows / height) - _GAP
    side = max(min(_LARGEST, fits), min(_NARROWEST / width, 2 * _LARGEST))
    return max(1, round(side * height)), max(1, round(side * width))
