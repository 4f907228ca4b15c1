"""Layers that cannot take what the images have become."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

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


def test_batch_norm_without_statistics_says_why_it_cannot_take_one_image():
    net = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)).eval()
    images = torch.rand(5, 4)
    assert torch.equal(rv.record(net, images, gradients=False).logits, net(images))
    with pytest.raises(ValueError, match=r"^lesion_study: layer '1' .*\(1, 3\) from one image"):
        rv.lesion_study(net, images, progress=False)


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


class Gray(nn.Conv2d):
    """Makes its own channels."""

    def forward(self, x):
        return super().forward(x.repeat(1, 3, 1, 1))


class Audio(nn.Conv2d):
    """Makes its own axis of channels."""

    def forward(self, x):
        return super().forward(x[:, None])


class Same(nn.Conv2d):
    """As torch's own, with a forward of its own."""

    def forward(self, x):
        return super().forward(x)


def ended(conv, features=4):
    pooled = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(conv, nn.BatchNorm2d(4, affine=False), pooled, nn.Linear(features, 3))


@pytest.mark.parametrize(
    ("conv", "shape"), [(Gray(3, 4, 3), (4, 1, 8, 8)), (Audio(1, 4, 3), (4, 8, 8))]
)
def test_a_convolution_that_makes_its_channels_is_left_alone(conv, shape):
    images = torch.rand(shape)
    assert len(rv.record(ended(conv), images, gradients=False).layers)
    assert len(rv.scan(ended(conv), images, progress=False).images) == 4
    with pytest.raises(ValueError, match=r"of which layer '3' .Linear. gets \(\d, 4\)"):
        rv.record(ended(conv, features=5), images)


class Places(nn.Embedding):
    """Of tokens it reads the shape alone."""

    def forward(self, tokens):
        return super().forward(torch.arange(tokens.shape[1]))[None].expand(len(tokens), -1, -1)


def test_an_embedding_of_positions_is_left_alone():
    net = nn.Sequential(Places(4, 2), nn.Flatten(), nn.Linear(6, 2))
    assert len(rv.record(net, IDS + 90, gradients=False).layers)


def test_of_a_forward_of_its_own_a_guess_after_a_pass_that_failed():
    for images in (torch.rand(2, 4, 8, 8), torch.rand(2, 1, 8, 8)):
        with pytest.raises(ValueError, match=r"images of shape .*; \(N, 3, H, W\) would be right"):
            rv.record(nn.Sequential(Same(3, 4, 3)), images)
    with pytest.raises(ValueError, match=r"images of shape \(3, 8, 8\).*images\[None\]"):
        rv.record(ended(Same(3, 4, 3)), torch.rand(3, 8, 8))


def test_the_batch_of_a_loader_is_taken_out_of_its_list():
    net = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(12, 3))
    loader = DataLoader(TensorDataset(torch.rand(4, 1, 8)), batch_size=4)
    with pytest.raises(TypeError, match=r"^predict: images are a list.*right: images\[0\], or"):
        rv.predict(net, next(iter(loader)))
    with pytest.raises(TypeError, match=r"would be right: torch.stack\(images\)"):
        rv.predict(nn.Conv2d(3, 4, 3), [torch.rand(3, 8, 8)])


class Counted(nn.Module):
    """Notes its passes, and may fail of its own."""

    def __init__(self, net, error=None):
        super().__init__()
        self.net, self.error, self.runs = net, error, []

    @property
    def passes(self):
        return len(self.runs)

    def forward(self, *inputs):
        self.runs.append(1)  # a number that it kept would be put back
        output = self.net(*inputs)
        if self.error is not None:
            raise self.error
        return output


@pytest.mark.parametrize("function", [rv.predict, rv.record, rv.list_layers])
def test_a_second_pass_finds_the_layer_and_only_after_one_that_failed(function):
    images = torch.rand(2, 3, 17, 17)
    net = Counted(copy.deepcopy(FLAT))
    with pytest.raises(ValueError, match="layer 'net.2'"):
        function(net, torch.rand(2, 3, 32, 32))
    assert net.passes == 2
    assert not any(module._forward_pre_hooks for module in net.modules())
    fits = Counted(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(900, 2)))
    function(fits, images)
    assert fits.passes == 1


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, KeyError, ZeroDivisionError])
def test_an_error_of_the_networks_own_comes_through_as_it_is(kind):
    error = kind("of its own")
    with pytest.raises(kind) as raised:
        rv.record(Counted(nn.Conv2d(3, 4, 3), error), torch.rand(2, 3, 8, 8))
    assert raised.value is error and error.__cause__ is None


def test_an_image_without_its_batch_is_refused_where_all_layers_take_it():
    net = Counted(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3)))
    for function in (rv.record, rv.predict):
        with pytest.raises(ValueError, match=r"images of shape \(3, 9, 9\).*images\[None\]"):
            function(net, torch.rand(3, 9, 9))
    assert net.passes == 2  # one each


def test_a_token_without_a_row_is_refused_before_it_is_looked_up():
    """On a GPU the look-up itself would end the process's use of it."""
    net = Counted(Tokens())
    with pytest.raises(ValueError, match="the Embedding has 10 rows"):
        rv.record(net, (IDS + 8, MASK))
    assert net.passes == 1
