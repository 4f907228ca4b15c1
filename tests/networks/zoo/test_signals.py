"""The network for signals, and the signals whose event one knows the place of."""

from __future__ import annotations

import importlib.util
import pathlib

import pytest
import torch

import resviz as rv
from resviz.networks.signals import EVENTS, planted_events, signals_resnet

SCRIPT = pathlib.Path(__file__).resolve().parents[3] / "training" / "signals.py"


def test_events_are_where_it_says() -> None:
    made = planted_events(40, seed=5)
    assert made.signals.shape == (40, 1, 256)
    assert made.events.tolist() == [0, 1, 2, 3] * 10
    assert ((made.spans[:, 1] - made.spans[:, 0]) == 40).all()
    assert (made.spans >= 0).all() and (made.spans <= 256).all()
    # the mean over many signals of what stands in the span: noise and humps average out
    at = made.spans[:, :1] + torch.arange(40)
    inside = made.signals[:, 0].gather(1, at)
    clicks = inside[made.events == 3].mean(0)
    assert clicks.topk(4).indices.sort().values.tolist() == [4, 14, 24, 34]


def test_the_hump_is_louder_and_elsewhere() -> None:
    made = planted_events(40, seed=6)
    loudest = made.signals[:, 0].argmax(1)
    outside = (loudest < made.spans[:, 0]) | (loudest >= made.spans[:, 1])
    assert int(outside.sum()) >= 36


def test_signals_come_from_the_seed() -> None:
    state = torch.random.get_rng_state()
    assert torch.equal(planted_events(3, seed=1).signals, planted_events(3, seed=1).signals)
    assert not torch.equal(planted_events(3, seed=1).signals, planted_events(3, seed=2).signals)
    assert torch.equal(torch.random.get_rng_state(), state)
    with pytest.raises(ValueError, match="planted_events: count 0; 1 or more"):
        planted_events(0)


def test_the_packaged_network_knows_the_events() -> None:
    net = rv.load_model("signals-resnet8", device="cpu")
    made = planted_events(400, seed=11)
    table = rv.predict(net, made.signals, top=1)
    assert (table["index"].to_numpy() == made.events.numpy()).mean() >= 0.99
    assert set(table["label"]) == set(EVENTS)
    assert rv.preset_of(net).weights == "planted events"


def test_its_residual_additions_are_found() -> None:
    record = rv.record(signals_resnet(8, seed=0), planted_events(4).signals)
    assert record.residuals["kind"].tolist() == ["identity", "projection", "projection"]


@pytest.mark.parametrize("weights", ["default", "random"])
def test_it_is_made_where_it_is_wanted(weights: str) -> None:
    """Whatever device new tensors go to."""
    with torch.device("meta"):
        net = rv.load_model("signals-resnet8", weights=weights, device="cpu", seed=1)
    assert {p.device.type for p in net.parameters()} == {"cpu"}


def test_other_weights_and_names(tmp_path: pathlib.Path) -> None:
    one = rv.load_model("signals-resnet14", "random", seed=3, device="cpu")
    assert torch.equal(one.conv1.weight, signals_resnet(14, seed=3).conv1.weight)
    torch.save(one.state_dict(), tmp_path / "own.pth")
    again = rv.load_model("signals-resnet14", tmp_path / "own.pth", device="cpu")
    assert torch.equal(one.linear.weight, again.linear.weight)
    with pytest.raises(rv.WeightsUnavailable, match="no trained weights for 'signals-resnet14'"):
        rv.load_model("signals-resnet14")
    with pytest.raises(ValueError, match="load_model: depth 9; depths are 6n.2"):
        rv.load_model("signals-resnet9", "random")
    with pytest.raises(ValueError, match="closest: .*signals-resnet8"):
        rv.load_model("signal-resnet8")


@pytest.mark.slow
def test_the_script_trains_it() -> None:
    spec = importlib.util.spec_from_file_location("signals_script", SCRIPT)
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    net, log = script.train(epochs=3, count=1200)
    assert log[-1]["test_error"] < 5
    assert not net.training
