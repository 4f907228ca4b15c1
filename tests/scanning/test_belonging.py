"""A scan beside a network or a recording: of the same network, or it says what it is of."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import resviz as rv
from resviz.scanning.belonging import check_network, check_recording
from scanning.toys import pictures, toy


@pytest.fixture(scope="module")
def scan() -> Any:
    return rv.scan(toy(), pictures(), measures=["top"], progress=False)


def test_a_network_is_known_by_layers_and_weights(scan: Any) -> None:
    check_network(scan, toy())
    with pytest.raises(ValueError, match=r"these layers with other weights, Toy \(own\); a scan"):
        check_network(scan, toy(seed=1))
    with pytest.raises(ValueError, match=r"a scan of another network, Toy \(own\); .*rv\.scan"):
        check_network(scan, torch.nn.Linear(3, 3))


@pytest.mark.thorough
def test_a_recording_is_known_by_names_and_channels(scan: Any) -> None:
    images = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    check_recording(scan, rv.record(toy(), images, keep="blocks"))
    wide = type(toy())(channels=8).double()
    with pytest.raises(ValueError, match=r"'relu' has 6 channels in the scan and 8 in the rec"):
        check_recording(scan, rv.record(wide, images, keep="blocks"))
    with pytest.raises(ValueError, match=r"a scan of relu, layer1.0, layer1.1, none of which"):
        check_recording(scan, rv.record(toy(), images, keep=["stem"]))
    named = rv.Preset("other", "own", (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(ValueError, match=r"a scan of Toy \(own\), and a recording of other \(own"):
        check_recording(scan, rv.record(toy(), images, keep="blocks", preset=named))
