"""Layers that cannot take what the images have become."""

import pytest
import torch
from torch import nn

import resviz as rv


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.head = nn.Embedding(10, 4), nn.Linear(4, 2)

    def forward(self, ids, mask):
        return self.head((self.words(ids) * mask[..., None]).mean(1))


IDS, MASK = torch.arange(6).view(2, 3), torch.ones(2, 3)
FLAT = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Flatten(), nn.Linear(4 * 7 * 7, 2))
CASES = [
    (
        FLAT,
        torch.rand(2, 3, 32, 32),
        r"images of shape \(2, 3, 32, 32\), of which layer '2' .Linear",
    ),
    (
        FLAT,
        torch.rand(2, 3, 32, 32),
        r"gets \(\d, 900\); \(..., 196\) would be right there. Images of",
    ),
    (nn.Sequential(nn.Linear(5, 2)), torch.rand(2, 4), r"images of shape \(2, 4\); \(..., 5\)"),
    (nn.Sequential(nn.BatchNorm2d(3)), torch.rand(2, 4, 8, 8), r"images of shape .*\(N, 3, ...\)"),
    (nn.Sequential(nn.Conv1d(3, 2, 3)), torch.rand(2, 4, 9), r"\(2, 4, 9\); \(N, 3, L\) would be"),
    (Tokens(), (IDS + 8, MASK), r"images\['0'\] hold 1\d, and the Embedding has 10 rows; 0 to 9"),
    (Tokens(), (IDS - 1, MASK), r"images\['0'\] hold -1, and"),
]


@pytest.mark.parametrize(("net", "images", "words"), CASES)
def test_what_does_not_fit(net, images, words):
    for function in (rv.list_layers, rv.predict, rv.record):
        with pytest.raises(ValueError, match=rf"^{function.__name__}: .*{words}"):
            function(net, images)


@pytest.mark.parametrize(
    ("net", "images", "words"),
    [
        (Tokens(), (IDS.float(), MASK), r"images\['0'\] of torch.float32, and an Embedding"),
        (Tokens(), {"ids": IDS.float(), "mask": MASK}, r"images\['ids'\] of torch.float32"),
        (nn.Sequential(nn.Linear(4, 2)), torch.ones(2, 4).int(), "images of torch.int32 in a net"),
    ],
)
def test_another_dtype(net, images, words):
    with pytest.raises(TypeError, match=f"^record: {words}"):
        rv.record(net, images)


def test_what_fits_is_left_alone():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4 * 36, 2))
    assert len(rv.list_layers(net, torch.rand(2, 3, 8, 8))) == 4
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert len(rv.predict(net, torch.rand(2, 3, 8, 8))) == 4
    assert len(rv.record(Tokens(), (IDS, MASK)).layers) == 2
    assert len(rv.record(Tokens(), (IDS.int(), MASK)).layers) == 2


class Own(nn.Linear):
    """Whose forward is not torch's: nobody knows what it takes."""

    def forward(self, x):
        return super().forward(x[..., : self.in_features])


def test_layers_of_their_own_are_left_alone():
    net = nn.Sequential(nn.Flatten(), Own(5, 2))
    assert len(rv.predict(net, torch.rand(2, 2, 4))) == 4
