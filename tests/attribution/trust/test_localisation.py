"""Pointing, energy and IoU: numbers by hand, and what boxes and masks may be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from resviz.arguments import public_as
from resviz.attribution.trust.localisation import energy, iou, pointing, read_masks

LEFT = torch.tensor([[True, False], [True, False]])


def test_by_hand() -> None:
    values = torch.tensor([[0.4, 0.3], [0.2, -0.1]])
    assert pointing(values, LEFT) and not pointing(values, ~LEFT)
    assert energy(values, LEFT) == pytest.approx(0.6 / 0.9)
    assert iou(values, LEFT) == pytest.approx(1 / 3)
    assert iou(values, torch.ones(2, 2, dtype=torch.bool)) == 1


def test_all_maxima_must_lie_inside() -> None:
    values = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert not pointing(values, LEFT)
    assert pointing(values, torch.tensor([[True, True], [False, False]]))


def test_nothing_positive_has_no_energy() -> None:
    assert np.isnan(energy(-torch.ones(2, 2), LEFT))


def test_boxes_become_masks() -> None:
    several = read_masks([[[0, 0, 2, 1], [3, 2, 4, 3]], [1, 1, 4, 3]], None, 2, (3, 4))
    assert several is not None
    assert several[0].nonzero().tolist() == [[0, 0], [0, 1], [2, 3]]
    assert int(several[1].sum()) == 6
    assert torch.equal(read_masks(torch.tensor([[1, 1, 4, 3]]), None, 1, (3, 4))[0], several[1])
    assert torch.equal(read_masks(None, several.numpy(), 2, (3, 4)), several)
    assert read_masks(None, None, 2, (3, 4)) is None


@pytest.mark.parametrize(
    ("boxes", "masks", "error", "words"),
    [
        ([[0, 0, 5, 3]], None, ValueError, "whole pixels .* <= 4"),
        ([[2, 0, 2, 3]], None, ValueError, "whole pixels"),
        ([[0, 0, 1.5, 3]], None, ValueError, "whole pixels"),
        ([[0, 0, 1]], None, ValueError, "whole pixels"),
        ([["a", 0, 1, 2]], None, TypeError, "four numbers"),
        ([[]], None, TypeError, "boxes of image 0"),
        ([[0, 0, 1, 1], [0, 0, 1, 1]], None, ValueError, "boxes for 2 images"),
        (None, torch.ones(1, 3, 5, dtype=torch.bool), ValueError, r"shape \(1, 3, 5\)"),
        (None, torch.ones(1, 3, 4), TypeError, "masks > 0"),
        (None, torch.zeros(1, 3, 4, dtype=torch.bool), ValueError, "no pixel"),
        ([[0, 0, 1, 1]], torch.ones(1, 3, 4, dtype=torch.bool), ValueError, "one of the two"),
    ],
)
def test_bad_boxes_and_masks(boxes: Any, masks: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=f"faithfulness: .*{words}"):
        public_as("faithfulness")(read_masks)(boxes, masks, 1, (3, 4))
