"""Faithfulness along one axis and three: curves by hand, tokens, segments."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from resviz.attribution.trust.removal import averaged, ranks_of, steps_of
from resviz.attribution.trust.rivals import compared_at, noise, rival_series
from resviz.attribution.trust.road import imputed
from resviz.networks.signals import planted_events


class Counting(nn.Module):
    """The score of class 1 is the sum of what stands at each place, weighed."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 1)
        with torch.no_grad():
            self.embedding.weight.copy_(torch.tensor([[0.0], [1], [2], [3], [4], [5]]))

    def forward(self, tokens: Tensor) -> Tensor:
        score = self.embedding(tokens).sum((1, 2))
        return torch.stack([torch.zeros_like(score), score], 1)


def curve(scores: list[float]) -> list[float]:
    """Probabilities of class 1."""
    return torch.tensor(scores).sigmoid().tolist()


def test_tokens_are_replaced_one_by_one() -> None:
    net, tokens = Counting().eval(), torch.tensor([[2, 5, 1, 3]])
    exp = rv.explain(net, tokens, 1, methods="occlusion")
    assert exp.maps["occlusion", "input"].tolist() == [[[2, 5, 1, 3]]]
    table = rv.faithfulness(net, tokens, exp, checks=["deletion", "insertion"])
    assert table["deletion_curve"][0] == pytest.approx(curve([11.0, 6, 3, 1, 0]))
    assert table["insertion_curve"][0] == pytest.approx(curve([0.0, 5, 8, 10, 11]))
    about = table.attrs["provenance"]
    assert (about["baseline"], about["reveal"], about["steps"]) == (0, 0, 4)


class Single(Counting):
    """Its one output: a logit, or a value."""

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens)[:, 1]


@pytest.mark.parametrize("output", ["logit", "values"])
def test_tokens_with_one_output(output: str) -> None:
    net, tokens = Single().eval(), torch.tensor([[2, 5, 1, 3]])
    names = ["no", "yes"] if output == "logit" else []
    rv.set_preset(net, rv.Preset("sum", "own", classes=names, output=output))
    exp = rv.explain(net, tokens, methods="occlusion")
    assert exp.maps["occlusion", "input"].tolist() == [[[2, 5, 1, 3]]]
    table = rv.faithfulness(net, tokens, exp, checks=["deletion", "insertion"])
    gone, shown = [11.0, 6, 3, 1, 0], [0.0, 5, 8, 10, 11]
    read = curve if output == "logit" else list
    assert table["deletion_curve"][0] == pytest.approx(read(gone))
    assert table["insertion_curve"][0] == pytest.approx(read(shown))


def test_a_map_that_is_right_by_construction_is_clearly_better() -> None:
    random = torch.Generator().manual_seed(0)
    net, tokens = Counting().eval(), torch.randint(0, 6, (1, 12), generator=random)
    exp = rv.explain(net, tokens, rv.target(1) - rv.target(0), methods="occlusion")
    turned = replace(exp, maps={key: -maps for key, maps in exp.maps.items()})
    how: dict[str, Any] = {"checks": ["deletion", "insertion"], "progress": False}
    for null in ("noise", "spectrum"):
        how |= {"targets": rv.target(1) - rv.target(0), "null": null}
        assert rv.faithfulness(net, tokens, exp, **how)["p_random"][0] <= 0.05
        assert rv.faithfulness(net, tokens, turned, **how)["p_random"][0] > 0.95


@pytest.mark.parametrize("shape", [(2, 24), (2, 3, 6, 8), (9,)])
def test_rivals_have_the_positions_of_the_input(shape: tuple[int, ...]) -> None:
    picture = torch.ones(shape)
    size = shape if len(shape) == 1 else shape[1:]
    rivals = noise(tuple(max(1, side // 2) for side in size), 19, seed=0)
    bases = {"deletion": torch.zeros(shape), "insertion": torch.zeros(shape)}
    series = rival_series(picture, rivals, bases, 4)
    pictures = list(series.pictures())
    assert len(pictures) == series.count == 19 * 2 * 2
    counts = steps_of(math.prod(size), 4)
    shares = [float(each.mean()) for each in pictures[:4]]
    gone = [1 - counts[step] / counts[-1] for step in compared_at(4)]
    assert shares == pytest.approx([*gone, *(1 - share for share in gone)])


def test_rivals_go_in_segments_too() -> None:
    picture, rivals = torch.ones(8), torch.rand(1, 8, generator=torch.Generator().manual_seed(0))
    halves = rival_series(
        picture, rivals, {"deletion": torch.zeros(8)}, 2, lambda v: ranks_of(averaged(v, 2))
    )
    for each in halves.pictures():
        assert each[:4].unique().numel() == each[4:].unique().numel() == 1


def test_a_baseline_of_tokens_is_an_id() -> None:
    net, tokens = Counting().eval(), torch.tensor([[2, 5, 1, 3]])
    exp = rv.explain(net, tokens, 1, methods="occlusion")
    table = rv.faithfulness(net, tokens, exp, checks="deletion", baseline=1)
    assert table["deletion_curve"][0] == pytest.approx(curve([11.0, 7, 5, 4, 4]))
    with pytest.raises(TypeError, match="baseline, the id of a token, 0.5; a whole number"):
        rv.faithfulness(net, tokens, exp, baseline=0.5)
    with pytest.raises(ValueError, match="faithfulness: baseline, the id of a token, 9; 0 to 5"):
        rv.faithfulness(net, tokens, exp, baseline=9)


def test_checks_that_tokens_do_not_have() -> None:
    net, tokens = Counting().eval(), torch.tensor([[2, 5, 1, 3]])
    exp = rv.explain(net, tokens, 1, methods="occlusion")
    table = rv.faithfulness(net, tokens, exp, progress=False)
    assert "road" not in table and "drop" not in table and "randomised" in table
    with pytest.raises(ValueError, match="faithfulness: check 'road' of tokens .*, whose numbers"):
        rv.faithfulness(net, tokens, exp, checks="road")


def test_segments_go_as_a_whole() -> None:
    net, tokens = Counting().eval(), torch.tensor([[2, 5, 1, 3]])
    exp = rv.explain(net, tokens, 1, methods="occlusion")
    table = rv.faithfulness(net, tokens, exp, checks="deletion", segments=2)
    assert table["deletion_curve"][0] == pytest.approx(curve([11.0, 4, 0]))
    assert averaged(torch.tensor([2.0, 5, 1, 3]), 2).tolist() == [3.5, 3.5, 2, 2]
    with pytest.raises(ValueError, match="faithfulness: segments 5; 2 to 4"):
        rv.faithfulness(net, tokens, exp, segments=5)


def test_pictures_have_no_segments() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    images = torch.randn(1, 1, 8, 8)
    exp = rv.explain(net, images, methods="saliency")
    with pytest.raises(ValueError, match="faithfulness: segments=4 of inputs"):
        rv.faithfulness(net, images, exp, segments=4)


def test_a_missing_sample_is_the_mean_of_its_two_neighbours() -> None:
    signal = torch.tensor([[1.0, 0, 5, 0, 0, 2]])
    gone = torch.tensor([False, True, False, True, True, False])
    # between 5 and 2, two gaps: x = (5 + y) / 2, y = (x + 2) / 2
    assert imputed(signal, gone)[0].tolist() == pytest.approx([1, 3, 5, 4, 3, 2])
    assert imputed(signal[0], gone).shape == (6,)


def test_a_missing_pixel_of_a_clip() -> None:
    clip = torch.arange(27.0).view(1, 3, 3, 3)
    gone = torch.zeros(3, 3, 3, dtype=torch.bool)
    gone[1, 1, 1] = True
    assert imputed(clip, gone)[0, 1, 1, 1] == pytest.approx(13)


@pytest.mark.thorough
def test_a_signal_through_every_check() -> None:
    net = rv.load_model("signals-resnet8", device="cpu")
    made = planted_events(4, seed=7)
    exp = rv.explain(net, made.signals, made.events, layers="layer3")
    checks = ["deletion", "insertion", "road", "drop"]
    how: dict[str, Any] = {"checks": checks, "boxes": made.spans, "segments": 16}
    table = rv.faithfulness(net, made.signals, exp, progress=False, **how)
    assert table["pointing"].all() and (table["energy"] > 0.3).all()
    assert (table["deletion"] < table["deletion_random"]).all()
    assert np.isfinite(table["road"]).all()
    masks = torch.zeros(4, 256, dtype=torch.bool)
    for mask, (start, end) in zip(masks, made.spans.tolist(), strict=True):
        mask[start:end] = True
    how = {"checks": "drop", "masks": masks}
    assert rv.faithfulness(net, made.signals, exp, **how)["energy"].equals(table["energy"])
    with pytest.raises(ValueError, match=r"whole positions \[start, end\] with 0 <= start"):
        rv.faithfulness(net, made.signals, exp, boxes=[[3, 300]] * 4)
