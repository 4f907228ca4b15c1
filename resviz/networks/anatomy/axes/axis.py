"""An axis of a tensor by what it counts, and what reshaping makes of axes.

An axis is made of atoms. (N, C, H, W) flattened to (N, C, H W) has a last axis of two atoms; an
axis H cut into windows is two pieces of one atom, which are whole again when they meet in order.
So the order of positions is known through every view of a tensor, windows and heads included.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

IMAGES, CHANNELS = "N", "C"
MIXED = "m"  # weighted sums over positions, as inside an MLP-Mixer
PLACES = "DHWL"  # said by a layer: depth or time, height, width, position in a sequence
GIVEN = "cthwl"  # axes of the input, of which no layer has said anything yet
_unknown = itertools.count()


class Atom(NamedTuple):
    """An axis, or a piece of one that was cut.

    Attributes:
        name: "N", "C", one of `PLACES` or `GIVEN`; "?1", "?2", ... where it is not known.
        step: how far apart in the whole axis neighbours are; below 0 where they run backwards.
        size: of this piece.
        total: of the whole axis.
        order: of a whole axis, which position lies at each place; () where they are in order, None
            where nobody knows.
    """

    name: str
    step: int
    size: int
    total: int
    order: tuple[int, ...] | None = ()

    def cut(self, size: int, step: int | None = None) -> Atom:
        """Of another size."""
        step = self.step if step is None else step
        return Atom(self.name, step, size, self.total, self.order)

    def called(self, name: str) -> Atom:
        """Of another name."""
        return Atom(name, self.step, self.size, self.total, self.order)


class Axis(NamedTuple):
    """One axis: its atoms, the slowest first, and others (a class token) before and after them."""

    atoms: tuple[Atom, ...]
    before: int = 0
    after: int = 0

    @property
    def size(self) -> int:
        """Of the axis."""
        if len(self.atoms) == 1:  # nearly always
            return self.before + self.atoms[0].size + self.after
        return self.before + math.prod(atom.size for atom in self.atoms) + self.after

    @property
    def names(self) -> set[str]:
        """Of its atoms; "?" for each that is not known."""
        return {atom.name[0] for atom in self.atoms}

    @property
    def certainty(self) -> int:
        """2 where a layer said what its atoms are, 1 where the input did, else 0."""
        if not self.atoms or self.names & {"?", MIXED}:
            return 0
        return 1 if self.names & {*GIVEN} else 2

    @property
    def known(self) -> bool:
        """True where a layer said what it is."""
        return self.certainty == 2

    @property
    def positions(self) -> bool:
        """True where it counts positions alone."""
        return bool(self.atoms) and self.names <= {*PLACES, *GIVEN}

    @property
    def whole(self) -> str:
        """The name of its one whole atom; "" where it has several, or a piece."""
        if len(self.atoms) != 1 or self.before or self.after:
            return ""
        atom = self.atoms[0]
        whole = atom.step == 1 and atom.size == atom.total and atom.order == ()
        return atom.name if whole else ""

    @property
    def backwards(self) -> str:
        """The same of an axis that runs backwards, as after a flip."""
        return flipped(self).whole

    @property
    def reordered(self) -> bool:
        """True for positions that are in an order of their own, as behind a roll."""
        return self.positions and any(atom.order != () for atom in self.atoms)


Layout = tuple[Axis, ...]
ONE = Axis(())


def fresh(name: str, size: int) -> Axis:
    """A whole axis."""
    return Axis((Atom(name, 1, size, size),))


def unknown(size: int) -> Axis:
    """An axis like no other; that of one element has no order to know."""
    return fresh(f"?{next(_unknown)}", size) if size != 1 else ONE


def given(shape: Sequence[int]) -> Layout:
    """Of an input of the network: images first, the rest until a layer says what it is."""
    names = {2: "l", 3: "cl", 4: "chw", 5: "cthw"}.get(len(shape), "")
    if not names:
        return tuple(unknown(size) for size in shape)
    return (fresh(IMAGES, shape[0]), *map(fresh, names, shape[1:]))


def flipped(axis: Axis) -> Axis:
    """An axis that runs the other way round; of several pieces it is not known."""
    if axis.reordered:
        return picked(axis, range(axis.size - 1, -1, -1))
    if len(axis.atoms) != 1 or axis.before or axis.after:
        return unknown(axis.size)
    (atom,) = axis.atoms
    return Axis((atom.cut(atom.size, -atom.step),))


def shuffled(axis: Axis, size: int) -> Axis:
    """So many positions of an axis, in an order that nobody knows."""
    if not axis.positions:
        return unknown(size)
    return Axis((Atom(axis.atoms[0].name, 1, size, size, None),))


def picked(axis: Axis, places: Sequence[int]) -> Axis:
    """The positions at these places, in this order; one that undoes another leaves none."""
    own = _order_of(axis)
    if own is None:
        return shuffled(axis, len(places))
    return _ordered(axis, [own[place] for place in places])


def rolled(axis: Axis, by: int) -> Axis:
    """An axis whose last `by` positions are put before the others."""
    return picked(axis, [(place - by) % axis.size for place in range(axis.size)])


def ended(axis: Axis, size: int) -> Axis:
    """An axis to which something is added at its end, or of which that is taken away."""
    own = _order_of(axis) if axis.reordered else None
    if own is None:
        return resized(axis, size)
    return _ordered(axis, [*own[:size], *range(axis.size, size)])


def _order_of(axis: Axis) -> Sequence[int] | None:
    """Which position lies at each place of a whole axis; None where nobody knows."""
    (atom,) = axis.atoms if len(axis.atoms) == 1 else (None,)
    if atom is None or not axis.positions or atom.order is None or axis.size != atom.total:
        return None
    return atom.order or range(atom.total)[:: 1 if atom.step > 0 else -1]


def _ordered(axis: Axis, order: list[int]) -> Axis:
    """An axis of these positions of another one."""
    name, size = axis.atoms[0].name, len(order)
    steps = {after - before for before, after in itertools.pairwise(order)}
    if len(steps) < 2 and 0 not in steps:  # all, or every second
        backwards = min(steps, default=1) < 0
        return flipped(fresh(name, size)) if backwards else fresh(name, size)
    if sorted(order) != list(range(size)):
        return shuffled(axis, size)
    return Axis((Atom(name, 1, size, size, tuple(order)),))


def resized(axis: Axis, size: int) -> Axis:
    """An axis after a layer that keeps its order and may change its size."""
    if axis.size == size:
        return axis
    if axis.reordered:
        return shuffled(axis, size)
    if axis.backwards:
        return flipped(fresh(axis.backwards, size))
    name = CHANNELS if axis.names == {CHANNELS} else axis.whole
    return fresh(name, size) if name else unknown(size)


def narrowed(axis: Axis, start: int, length: int) -> Axis:
    """A part of an axis: `length` of it from `start`."""
    end = axis.size - start - length
    if axis.before or axis.after:
        before, after = axis.before - start, axis.after - end
        return Axis(axis.atoms, before, after) if min(before, after) >= 0 else unknown(length)
    return resized(axis, length) if start else ended(axis, length)


def beside(axes: Sequence[Axis]) -> Axis:
    """Axes put one behind the other: more channels, or tokens with a class token before them."""
    size = sum(axis.size for axis in axes)
    name = axes[0].whole
    if name and name[0] != "?" and all(axis.whole == name for axis in axes):
        return fresh(name, size)
    if all(axis.names == {CHANNELS} for axis in axes):
        return fresh(CHANNELS, size)
    known = [number for number, axis in enumerate(axes) if axis.positions]
    if len(known) != 1:
        return unknown(size)
    (number,) = known
    before = sum(axis.size for axis in axes[:number]) + axes[number].before
    after = sum(axis.size for axis in axes[number + 1 :]) + axes[number].after
    return Axis(axes[number].atoms, before, after)


def joined(one: Axis, other: Axis) -> Axis:
    """Of the result of two operands that lie over each other along this axis."""
    if one.size != other.size:
        return one if one.size > other.size else other
    if one == other or not other.atoms:
        return one
    if not one.atoms or other.certainty > one.certainty:
        return other
    same = one.names == other.names == {CHANNELS} or one.certainty > other.certainty
    return one if same or one.certainty < 2 else unknown(one.size)


def overlaid(layouts: Iterable[Layout], shape: Sequence[int]) -> Layout:
    """Of the result, of this shape, of operands that are broadcast against each other."""
    first, *others = layouts
    if [axis.size for axis in first] == list(shape) and all(axis.atoms for axis in first):
        result = list(first)
    else:
        result, others = [ONE if n == 1 else unknown(n) for n in shape], [first, *others]
    for layout in others:
        offset = len(shape) - len(layout)
        for number, axis in enumerate(layout):
            if axis.size in (1, shape[offset + number]):
                result[offset + number] = joined(axis, result[offset + number])
    return tuple(result)


# ---- views
def reshaped(layout: Layout, shape: Sequence[int]) -> Layout:
    """The axes of the same elements in the same order, in another shape."""
    if [axis.size for axis in layout] == list(shape):
        return layout
    pieces = [piece for axis in layout for piece in _pieces(axis) if piece.size != 1]
    result: list[Axis] = []
    for number, size in enumerate(shape):
        taken = _taken(pieces, size)
        if taken is None:  # the cuts do not fit: nothing is known from here on
            return (*result, *map(unknown, shape[number:]))
        result.append(_together(taken))
    return tuple(result)


def _pieces(axis: Axis) -> list[Axis]:
    """What a view may cut apart: the atoms; with other tokens among them, the axis as it is."""
    return [axis] if axis.before or axis.after else [Axis((atom,)) for atom in axis.atoms]


def _taken(pieces: list[Axis], size: int) -> list[Axis] | None:
    """The next pieces, off the list, that make `size`; None where none do."""
    taken: list[Axis] = []
    while size > 1:
        if not pieces:
            return None
        piece = pieces.pop(0)
        if size % piece.size == 0:
            taken.append(piece)
            size //= piece.size
        elif piece.size % size == 0 and not (piece.before or piece.after):
            atom = piece.atoms[0]
            rest = atom.size // size
            taken.append(Axis((atom.cut(size, atom.step * rest),)))
            pieces.insert(0, Axis((atom.cut(rest),)))
            size = 1
        else:
            return None
    return taken


def _together(pieces: Sequence[Axis]) -> Axis:
    """One axis of several; pieces of one atom, in order, are whole again."""
    if any(piece.before or piece.after for piece in pieces):
        return pieces[0] if len(pieces) == 1 else unknown(math.prod(p.size for p in pieces))
    atoms: list[Atom] = []
    for atom in (atom for piece in pieces for atom in piece.atoms):
        last = atoms[-1] if atoms else None
        one = (atom.name, atom.total, atom.order)
        follows = last is not None and (last.name, last.total, last.order) == one
        if last is not None and follows and last.step == atom.step * atom.size:
            atoms[-1] = atom.cut(last.size * atom.size)
        else:
            atoms.append(atom)
    return Axis(tuple(atoms))


@functools.lru_cache(maxsize=512)
def letters(layout: Layout) -> str:
    """The order of axes in letters: "NCHW", "NHWC", "NLC" for tokens; "?" where one is open."""
    found = [_letter(axis) for axis in layout]
    if found[:1] == ["?"] and layout[0].size == 1 and IMAGES not in found:
        found[0] = IMAGES  # the only image, of which views lose sight
    if CHANNELS in found and any(axis.whole == "c" for axis in layout):
        left = [i for i, letter in enumerate(found) if letter not in (IMAGES, CHANNELS)]
        if found[0] == "?" and IMAGES not in found:
            left = left[1:]  # frames of videos, folded into the batch
        places = {3: "L", 4: "HW", 5: "DHW"}.get(len(layout), "?" * len(left))
        if len(left) == len(places):
            for i, letter in zip(left, places, strict=True):
                found[i] = letter
    if len(layout) == 3:
        found = ["L" if letter in PLACES else letter for letter in found]
    return "".join(found)


def _letter(axis: Axis) -> str:
    if axis.names == {IMAGES}:
        return IMAGES
    if CHANNELS in axis.names and not axis.names & {IMAGES, "?"}:
        return CHANNELS
    if not axis.positions:
        return "?"
    if len(axis.names) > 1 or axis.before or axis.after:
        return "L"
    return {"t": "D", "c": "?"}.get(axis.atoms[0].name, axis.atoms[0].name.upper())
