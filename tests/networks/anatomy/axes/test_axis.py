"""Axes by what they count, through views, parts and broadcasts; written down by hand."""

from __future__ import annotations

import pytest

from resviz.networks.anatomy.axes.axis import (
    ONE,
    Atom,
    Axis,
    Layout,
    beside,
    fresh,
    given,
    joined,
    letters,
    narrowed,
    overlaid,
    reshaped,
    resized,
    unknown,
)

MAPS: Layout = (fresh("N", 2), fresh("C", 8), fresh("H", 4), fresh("W", 6))


def test_letters() -> None:
    assert letters(MAPS) == "NCHW"
    assert letters(reshaped(MAPS, (2, 8, 24))) == "NCL"
    assert letters(given((2, 3, 8, 8))) == "N?HW"
    assert letters((unknown(3), *MAPS[1:])) == "?CHW"


def test_windows_are_cut_and_put_together() -> None:
    """As Swin does: (N, H, W, C) to (N, rows, 2, columns, 3, C), windows first, and back."""
    last = (MAPS[0], MAPS[2], MAPS[3], MAPS[1])
    cut = reshaped(last, (2, 2, 2, 2, 3, 8))
    assert cut[1] == Axis((Atom("H", 2, 2, 4),)) and cut[2] == Axis((Atom("H", 1, 2, 4),))
    windows = tuple(cut[n] for n in (0, 1, 3, 2, 4, 5))
    flat = reshaped(windows, (8, 6, 8))
    assert letters(flat) == "?LC"
    again = reshaped(flat, (2, 2, 2, 2, 3, 8))
    back = tuple(again[n] for n in (0, 1, 3, 2, 4, 5))
    assert reshaped(back, (2, 4, 6, 8)) == last
    assert reshaped(again, (2, 4, 6, 8)) != last  # the wrong order is not taken for the right one
    assert letters(reshaped(again, (2, 4, 6, 8))) == "NLLC"


def test_heads_are_channels() -> None:
    tokens = reshaped((MAPS[0], MAPS[2], MAPS[3], MAPS[1]), (2, 24, 8))
    heads = reshaped(tokens, (2, 24, 2, 4))
    assert letters(heads) == "NLCC"
    assert reshaped(heads, (2, 24, 8)) == tokens


def test_a_view_that_does_not_fit_leaves_the_rest_open() -> None:
    assert letters(reshaped(MAPS, (2, 8, 3, 8))) == "NC??"
    assert letters(reshaped(MAPS, (384,))) == "?"


def test_a_class_token_before_and_after() -> None:
    axis = reshaped(MAPS, (2, 8, 24))[2]
    tokens = beside([ONE, axis, unknown(2)])
    assert (tokens.before, tokens.after, tokens.size) == (1, 2, 27)
    assert narrowed(tokens, 1, 24) == axis
    assert narrowed(tokens, 0, 25) == beside([ONE, axis])
    assert narrowed(tokens, 2, 24).names == {"?"}
    assert beside([axis, axis]).names == {"?"}
    assert beside([fresh("C", 3), fresh("C", 5)]) == fresh("C", 8)


def test_joined() -> None:
    place, soft = fresh("H", 4), fresh("h", 4)
    for other in (soft, unknown(4), place, ONE):
        assert joined(place, other) == joined(other, place) == place
    assert joined(soft, unknown(4)) == joined(unknown(4), soft) == soft
    assert joined(place, fresh("W", 4)).names == {"?"}


def test_overlaid_is_aligned_to_the_right() -> None:
    weights = (fresh("C", 8), ONE, ONE)
    assert overlaid([weights, MAPS], (2, 8, 4, 6)) == MAPS
    assert letters(overlaid([weights], (2, 8, 4, 6))) == "?C??"


@pytest.mark.parametrize(
    ("axis", "name"), [(fresh("H", 4), "H"), (Axis((Atom("C", 4, 2, 8),)), "C")]
)
def test_resized(axis: Axis, name: str) -> None:
    assert resized(axis, 3) == fresh(name, 3)


def test_a_piece_of_positions_resized_is_not_known() -> None:
    assert resized(Axis((Atom("H", 1, 2, 4),)), 3).names == {"?"}
