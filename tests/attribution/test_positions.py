"""How a layer's output is read as feature maps: the right axes, or a refusal, never a guess.

Each map is compared with Grad-CAM by plain autograd at that module, on axes written down by hand,
with pictures that are not square, so that height and width cannot be swapped unseen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.models.convnext import CNBlockConfig

import resviz as rv
from cases import crossed, thorough
from resviz.attribution.positions import read
from resviz.errors import LayerRefused

pytestmark = pytest.mark.filterwarnings("ignore:explain. .* is zero")

TALL, WIDE, SQUARE = (64, 32), (32, 64), (32, 32)


def by_hand(
    net: nn.Module, images: Tensor, layer: str, to_maps: Callable[[Tensor], Tensor]
) -> Tensor:
    """(N, h, w) Grad-CAM of class 1, with its ReLU, by autograd at the module's own output."""
    kept: list[Tensor] = []
    handle = net.get_submodule(layer).register_forward_hook(
        lambda module, args, output: (kept.append(output), output.clone())[1]
    )
    score = net(images)[:, 1].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept[0])
    maps, slopes = to_maps(kept[0].detach()), to_maps(gradient)
    return torch.einsum("nc,nchw->nhw", slopes.mean((2, 3)), maps).relu()


def assert_read(
    net: nn.Module, images: Tensor, layer: str, to_maps: Callable[[Tensor], Tensor]
) -> rv.Explanation:
    exp = rv.explain(net, images, 1, layers=layer)
    expected = by_hand(net, images, layer, to_maps)
    torch.testing.assert_close(
        exp.maps["grad_cam", layer][:, 0],
        expected,
        rtol=1e-9,
        atol=1e-12 * max(1.0, float(expected.max())),
    )
    return exp


def channels_first(tensor: Tensor) -> Tensor:
    return tensor


def channels_last(tensor: Tensor) -> Tensor:
    return tensor.permute(0, 3, 1, 2)


# ---- tokens
class Tokens(nn.Module):
    """A small transformer: patches of 8 pixels, `leading` tokens before them, one block."""

    def __init__(self, leading: int, width: int = 12, **patches: Any) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, width, 8, 8, **patches)
        self.leading = nn.Parameter(torch.randn(1, leading, width))
        self.block = nn.TransformerEncoderLayer(width, 2, 24, 0.0, batch_first=True)
        self.last = nn.Linear(width, width)
        self.fc = nn.Linear(width, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.leading.expand(len(x), -1, -1), x], 1)
        return self.fc(self.last(self.block(x)).tanh().mean(1))


@pytest.mark.parametrize("size", [SQUARE, TALL, WIDE], ids=str)
@pytest.mark.parametrize("leading", [0, 1, 2, 5])
def test_tokens(leading: int, size: tuple[int, int]) -> None:
    net = Tokens(leading).double().eval()
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    h, w = size[0] // 8, size[1] // 8

    def to_maps(tokens: Tensor) -> Tensor:
        return tokens[:, leading:].transpose(1, 2).reshape(len(tokens), 12, h, w)

    for layer in ("block", "last", "block.norm1"):
        exp = assert_read(net, images, layer, to_maps)
        about = exp.provenance["explained"][0]
        assert about["axes"] == "NTC"
        assert about["read_as"] == f"tokens {leading} to {leading + h * w - 1} as {h} x {w}"
        assert about["shape"] == [2, 12, h, w]


@pytest.mark.parametrize("size", [SQUARE, TALL], ids=str)
def test_vit(size: tuple[int, int]) -> None:
    """torchvision's, whose position embedding is for one size: a square one, or none."""
    side = 32
    net = torchvision.models.VisionTransformer(side, 8, 2, 2, 16, 32, num_classes=5)
    nn.init.normal_(net.heads.head.weight)
    net = net.double().eval()
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    layer = "encoder.layers.encoder_layer_0"
    if size != SQUARE:
        with pytest.raises(AssertionError):  # torchvision's own check
            rv.explain(net, images, 1, layers=layer)
        return
    assert_read(net, images, layer, lambda t: t[:, 1:].transpose(1, 2).reshape(2, 16, 4, 4))


def test_the_query_of_a_channel_in_ablation_is_a_tokens_channel() -> None:
    """Ablation-CAM sets a channel of all tokens to 0, the class token's too."""
    net = Tokens(2).double().eval()
    images = torch.randn(1, 3, *TALL, dtype=torch.float64)
    exp = rv.explain(net, images, 1, methods="ablation_cam", layers="last", relu=False)
    with torch.no_grad():
        tokens = net.last(net.block(_embedded(net, images)))
        score = net.fc(tokens.tanh().mean(1))[0, 1]
        weights = []
        for channel in range(12):
            without = tokens.clone()
            without[:, :, channel] = 0
            weights.append((score - net.fc(without.tanh().mean(1))[0, 1]) / score.abs())
    maps = tokens[:, 2:].transpose(1, 2).reshape(12, 8, 4)
    expected = torch.einsum("c,chw->hw", torch.stack(weights), maps)
    torch.testing.assert_close(exp.maps["ablation_cam", "last"][0, 0], expected)


def _embedded(net: Tokens, images: Tensor) -> Tensor:
    patches = net.embed(images).flatten(2).transpose(1, 2)
    return torch.cat([net.leading.expand(len(images), -1, -1), patches], 1)


@pytest.mark.parametrize("padding", ["valid", 0])
def test_a_patch_embedding_whose_padding_is_a_word(padding: Any) -> None:
    """ "auto" and a name find the same reading."""
    net = Tokens(1, padding=padding).double().eval()
    images = torch.randn(2, 3, *TALL, dtype=torch.float64)
    assert rv.explain(net, images, 1, layers="block").maps["grad_cam", "block"].shape[2:] == (8, 4)
    assert rv.explain(net, images, 1).maps


class StandardisedConv2d(nn.Conv2d):
    """A convolution of somebody's own, as in BiT and many transformers."""


def test_a_patch_embedding_of_another_class() -> None:
    net = Tokens(1)
    net.embed = StandardisedConv2d(3, 12, 8, 8)
    net = net.double().eval()
    images = torch.randn(2, 3, *TALL, dtype=torch.float64)
    exp = rv.explain(net, images, 1)
    assert exp.provenance["explained"][0]["axes"] == "NTC"


class LinearPatches(Tokens):
    """Patches cut out by `unfold` and embedded by a linear layer: no convolution tells the grid."""

    def __init__(self) -> None:
        super().__init__(1)
        self.embed = nn.Linear(3 * 64, 12)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(nn.functional.unfold(x, 8, stride=8).transpose(1, 2))
        x = torch.cat([self.leading.expand(len(x), -1, -1), x], 1)
        return self.fc(self.last(self.block(x)).tanh().mean(1))


def test_tokens_of_linear_patches_have_the_pictures_proportions() -> None:
    """No convolution made the grid: 33 tokens of a 1 : 2 picture can only be 1 + 8 x 4."""
    net = LinearPatches().double().eval()
    images = torch.randn(2, 3, *TALL, dtype=torch.float64)

    def reshape(tokens: Tensor) -> Tensor:
        return tokens[:, 1:].transpose(1, 2).unflatten(2, (8, 4))

    found = rv.explain(net, images, 1, layers="block")
    assert found.provenance["explained"][0]["read_as"] == "tokens 1 to 32 as 8 x 4"
    exp = rv.explain(net, images, 1, layers="block", reshape=reshape)
    expected = by_hand(net, images, "block", reshape)
    torch.testing.assert_close(exp.maps["grad_cam", "block"][:, 0], expected)
    assert torch.equal(exp.maps["grad_cam", "block"], found.maps["grad_cam", "block"])
    assert exp.provenance["explained"][0]["axes"] == "own"
    assert exp.provenance["explained"][0]["read_as"] == "reshaped by the caller"


@pytest.mark.parametrize(
    ("reshape", "words"),
    [
        (lambda t: t, r"reshape gives \(2, 33, 12\) for \(2, 33, 12\); \(N, C, h, w\)"),
        (lambda t: t.flatten()[:16].view(1, 1, 4, 4), r"reshape gives \(1, 1, 4, 4\)"),
        (lambda t: None, "reshape gives NoneType"),
        (lambda t: t.view(2, 1, 3, 5), "reshape"),
    ],
    ids=["three axes", "one image", "nothing", "an error"],
)
def test_a_reshape_that_gives_something_else(reshape: Any, words: str) -> None:
    net = LinearPatches().double().eval()
    images = torch.randn(2, 3, *TALL, dtype=torch.float64)
    with pytest.raises(ValueError, match=words) as caught:
        rv.explain(net, images, 1, layers="block", reshape=reshape)
    assert str(caught.value).startswith("explain: ")


class SequenceFirst(Tokens):
    """Tokens (T, N, C), as torch's transformers have them by default."""

    def __init__(self) -> None:
        super().__init__(0)
        self.block = nn.TransformerEncoderLayer(12, 2, 24, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).flatten(2).permute(2, 0, 1)
        return self.fc(self.last(self.block(x)).tanh().mean(0))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("method", ["grad_cam", "ablation_cam"])
def test_reshape_of_tokens_before_images(count: int, method: str) -> None:
    """(T, N, C): the batch is not the first axis, which only the caller's function knows."""
    net = SequenceFirst().double().eval()
    images = torch.randn(count, 3, *TALL, dtype=torch.float64)

    def reshape(tokens: Tensor) -> Tensor:
        return tokens.permute(1, 2, 0).unflatten(2, (8, 4))

    if method == "ablation_cam":
        try:
            rv.explain(net, images, 1, layers="block", reshape=reshape, methods=method)
        except ValueError as error:
            assert str(error).startswith("explain: ")
            return
        pytest.fail("a batch on the second axis cannot be resumed: an error would be right")
    exp = rv.explain(net, images, 1, layers="block", reshape=reshape)
    expected = by_hand(net, images, "block", reshape)
    torch.testing.assert_close(exp.maps["grad_cam", "block"][:, 0], expected)


# ---- channels last
def _swin(embed: int) -> nn.Module:
    net = torchvision.models.SwinTransformer([2, 2], embed, [2, 2], [2, 4], [4, 4], num_classes=5)
    return net.double().eval()


SWIN_LAYERS = ["features.0", "features.0.2", "features.1", "features.1.1", "features.1.0.attn"]
SWIN_LAYERS += ["features.1.0.mlp", "features.2", "features.3", "features.3.1.norm2", "norm"]


@pytest.mark.parametrize(("layer", "size"), crossed(SWIN_LAYERS, [SQUARE, TALL, WIDE]), ids=str)
def test_swin(layer: str, size: tuple[int, int]) -> None:
    net = _swin(16)
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    exp = assert_read(net, images, layer, channels_last)
    assert exp.provenance["explained"][0]["axes"] == "NHWC"
    assert exp.provenance["explained"][0]["read_as"] == "channels last"


@pytest.mark.parametrize("size", [SQUARE, TALL], ids=str)
def test_swin_back_in_channels_first(size: tuple[int, int]) -> None:
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    for layer in ("permute", "features.0.0"):
        exp = assert_read(_swin(16), images, layer, channels_first)
        assert exp.provenance["explained"][0]["axes"] == "NCHW"


@pytest.mark.parametrize("layer", ["features.0.2", "features.1.1", "features.1.0.attn"])
def test_swin_with_as_many_channels_as_positions(layer: str) -> None:
    """(N, 8, 8, 8), as swin_t at 384 pixels has (N, 96, 96, 96): both orders look the same.

    Read as channels last, or refused; never read as channels first.
    """
    net = _swin(8)
    images = torch.randn(2, 3, *SQUARE, dtype=torch.float64)
    try:
        exp = rv.explain(net, images, 1, layers=layer)
    except ValueError as error:
        assert "reshape=" in str(error)
        return
    expected = by_hand(net, images, layer, channels_last)
    torch.testing.assert_close(exp.maps["grad_cam", layer][:, 0], expected)


CONVNEXT_LAYERS = {
    "features.1.0.block.0": channels_first,  # depthwise convolution
    "features.1.0.block.1": channels_last,  # Permute
    "features.1.0.block.2": channels_last,  # LayerNorm
    "features.1.0.block.3": channels_last,  # Linear, four times as wide
    "features.1.0.block.4": channels_last,  # GELU
    "features.1.0.block.5": channels_last,  # Linear
    "features.1.0.block.6": channels_first,  # Permute back
    "features.1.0": channels_first,
    "features.2": channels_first,
    "features.3.1.block.5": channels_last,
    "features.3": channels_first,
}


@pytest.mark.parametrize(("layer", "size"), crossed(CONVNEXT_LAYERS, [SQUARE, TALL, WIDE]), ids=str)
def test_convnext(layer: str, size: tuple[int, int]) -> None:
    blocks = [CNBlockConfig(16, 24, 2), CNBlockConfig(24, None, 2)]
    net = torchvision.models.ConvNeXt(blocks, layer_scale=0.5, num_classes=5).double().eval()
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    assert_read(net, images, layer, CONVNEXT_LAYERS[layer])


# ---- channels first
@pytest.mark.parametrize(
    ("channels", "size"),
    crossed([7, 8, 9, 12, 16], [(8, 12), (8, 8), (9, 8), (12, 8), (7, 16)]),
    ids=str,
)
def test_channels_first_where_sizes_meet(channels: int, size: tuple[int, int]) -> None:
    """C == H, C == W, C == H == W: a convolution's output is (N, C, H, W)."""
    net = nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, 5),
    ).double()
    images = torch.randn(2, 3, *size, dtype=torch.float64)
    for layer in ("0", "1", "2"):
        exp = assert_read(net, images, layer, channels_first)
        assert exp.provenance["explained"][0]["axes"] == "NCHW"


@pytest.mark.parametrize(
    "size",
    [(65, 97), *[thorough(size) for size in [(64, 64), (96, 64), (64, 96), (224, 64)]]],
    ids=str,
)
def test_resnet_at_every_layer(size: tuple[int, int]) -> None:
    net = torchvision.models.resnet18(weights=None).eval()
    layers = [n for n, _ in net.named_modules() if n and n not in ("fc", "avgpool")]
    exp = rv.explain(net, torch.randn(1, 3, *size), 1, methods="eigen_cam", layers=layers)
    assert {about["axes"] for about in exp.provenance["explained"]} == {"NCHW"}


COINCIDENCES = [(8, 8, 8), (8, 8, 32), (8, 32, 8), (32, 8, 8), (16, 8, 64), (4, 4, 60), (3, 60, 1)]


@pytest.mark.parametrize("sizes", COINCIDENCES, ids=str)
@pytest.mark.parametrize("square", [True, False])
def test_the_layers_say_it_whatever_the_sizes(sizes: tuple[int, int, int], square: bool) -> None:
    """Channels first, turned to channels last and back, in nets that change the proportions."""
    channels, height, width = sizes
    net = nn.Sequential(
        nn.AdaptiveAvgPool2d((height, width)),
        nn.Conv2d(3, channels, 1),
        nn.BatchNorm2d(channels),
        nn.Tanh(),
        torchvision.ops.Permute([0, 2, 3, 1]),
        nn.LayerNorm(channels),
        nn.Linear(channels, channels),
        torchvision.ops.Permute([0, 3, 1, 2]),
        nn.Sigmoid(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, 5),
    )
    side = (64, 64) if square else (64, max(1, 64 * width // height))
    images = torch.randn(2, 3, *side, dtype=torch.float64)
    for layer in ("1", "2", "3", "7", "8"):
        exp = assert_read(net.double().eval(), images, layer, channels_first)
        assert exp.provenance["explained"][0]["axes"] == "NCHW"
        assert exp.provenance["explained"][0]["axes_said"]
    for layer in ("4", "5", "6"):
        exp = assert_read(net, images, layer, channels_last)
        assert exp.provenance["explained"][0]["axes"] == "NHWC"


def test_tokens_down_the_columns_and_swapped_axes() -> None:
    """Axes that a network swapped are put back: the map lies where the picture has it."""

    class Swapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.turned = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1)
            self.mix, self.fc = nn.Linear(8, 8), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.turned(self.conv(x).tanh().mT).tanh()  # (N, C, W, H)
            return self.fc(self.mix(x.flatten(2).mT).tanh().mean(1))

    net, images = Swapped().double(), torch.randn(2, 3, 8, 12, dtype=torch.float64)
    exp = assert_read(net, images, "turned", lambda maps: maps.mT)
    assert exp.provenance["explained"][0]["axes"] == "NCWH"
    exp = assert_read(net, images, "mix", lambda t: t.mT.unflatten(2, (12, 8)).mT)
    assert exp.provenance["explained"][0]["read_as"] == "tokens 0 to 95 as 8 x 12, columns first"
    exp = rv.explain(net, images, 1, methods="ablation_cam", layers="turned", progress=False)
    assert exp.maps["ablation_cam", "turned"].shape == (2, 1, 8, 12)


def test_columns_of_text_in_a_picture() -> None:
    """(N, W, C H), as networks that read lines of text have: positions along the width alone."""

    class Line(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.read, self.fc = nn.Conv2d(3, 4, 1), nn.Linear(32, 6), nn.Linear(6, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x).tanh().permute(0, 3, 1, 2).flatten(2)
            return self.fc(self.read(x).tanh().mean(1))

    net, images = Line().double(), torch.randn(2, 3, 8, 12, dtype=torch.float64)
    exp = assert_read(net, images, "read", lambda t: t.mT[:, :, None])
    assert exp.provenance["explained"][0]["shape"] == [2, 6, 1, 12]


def test_a_strided_axis_is_still_channels_first() -> None:
    """A network may halve one axis only, as those for spectrograms do."""
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, (4, 1), 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 5),
    ).double()
    assert_read(net, torch.randn(2, 3, 32, 32, dtype=torch.float64), "1", channels_first)


# ---- four axes, and none of them images of the batch
class Crops(nn.Module):
    """Runs on both halves of every picture: (2 N, C, H, W) inside."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[3] // 2
        both = torch.cat([x[..., :half], x[..., half:]])
        return self.fc(self.conv(both).relu().mean((2, 3))).view(2, len(x), 5).mean(0)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("method", ["grad_cam", "eigen_cam"])
def test_more_maps_than_images_are_refused(count: int, method: str) -> None:
    with pytest.raises(ValueError, match=r"explain: layer 'conv' \(Conv2d\) gives \(\d, 8, 8, 8\)"):
        rv.explain(Crops(), torch.randn(count, 3, 8, 16), 1, methods=method, layers="conv")


@pytest.mark.parametrize(
    ("layer", "shape"),
    [("avgpool", "(1, 512, 1, 1)"), ("fc", "(1, 1000)"), ("layer4", "(1, 512, 1, 1)")],
)
def test_layers_without_positions(layer: str, shape: str) -> None:
    net = torchvision.models.resnet18(weights=None)
    with pytest.raises(ValueError, match="explain: layer") as caught:
        rv.explain(net, torch.randn(1, 3, 32, 32), 1, layers=layer)
    words = str(caught.value)
    assert f"gives {shape}; (N, C, H, W) with H and W above 1" in words
    assert words.endswith("or pass reshape=.")


def test_a_module_that_gives_no_tensor() -> None:
    net = torchvision.models.VisionTransformer(32, 8, 1, 2, 16, 32, num_classes=5)
    attention = "encoder.layers.encoder_layer_0.self_attention"
    with pytest.raises(ValueError, match=r"\(MultiheadAttention\) gives tuple; \(N, C, H, W\)"):
        rv.explain(net, torch.randn(1, 3, 32, 32), 1, layers=attention)


# ---- the function itself
@pytest.mark.parametrize(
    ("shape", "image", "grids", "axes"),
    [
        ((2, 64, 7, 7), (224, 224), [], "NCHW"),
        ((2, 7, 7, 64), (224, 224), [], "NHWC"),
        ((2, 64, 64, 64), (256, 256), [(64, 64)], "NCHW"),
        ((2, 96, 7, 10), (224, 320), [], "NCHW"),
        ((2, 7, 10, 96), (224, 320), [], "NHWC"),
        ((2, 50, 32), (224, 224), [(7, 7)], "NTC"),
        ((2, 54, 32), (224, 224), [(14, 14), (7, 7)], "NTC"),
        ((2, 196, 32), (224, 224), [(7, 7), (14, 14)], "NTC"),
        ((2, 60, 32), (224, 224), [(7, 7)], None),
        ((2, 48, 32), (224, 224), [(7, 7)], None),
        ((2, 50, 32), (224, 224), [], "NTC"),
        ((2, 50, 32), None, [], None),
        ((2, 64, 1, 7), (224, 224), [], None),
        ((2, 64), (224, 224), [(7, 7)], None),
        ((2, 3, 4, 5, 6), (224, 224), [], None),
    ],
)
def test_read(shape: Any, image: Any, grids: Any, axes: str | None) -> None:
    reading = read(shape, image, grids)
    assert (reading.axes if reading else None) == axes


def test_ablation_with_a_reshape_where_sizes_meet() -> None:
    """(N, H, W, C) with H == C, by the caller's own function: the right axis is set to 0."""

    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.mix, self.fc = nn.Conv2d(3, 8, 1), nn.Linear(8, 8), nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.mix(self.conv(x).permute(0, 2, 3, 1)).tanh().mean((1, 2)))

    net = Last().double()
    images = torch.randn(1, 3, 8, 12, dtype=torch.float64)
    settings = {"methods": "ablation_cam", "layers": "mix", "relu": False}
    ours = rv.explain(net, images, 1, reshape=channels_last, **settings)  # type: ignore[arg-type]
    read_by_shape = rv.explain(net, images, 1, **settings)  # type: ignore[arg-type]
    torch.testing.assert_close(
        ours.maps["ablation_cam", "mix"], read_by_shape.maps["ablation_cam", "mix"]
    )


@pytest.mark.parametrize(
    "reshape",
    [lambda t: t.flip(1), lambda t: t[:, 1:3], lambda t: F.pixel_unshuffle(t, 2)],
    ids=["another order", "some", "space to depth"],
)
def test_ablation_with_a_reshape_to_other_channels(reshape: Any) -> None:
    """Each channel of the maps is weighted by what it does itself."""
    torch.manual_seed(0)
    first, then = nn.Conv2d(3, 4, 3, padding=1).double(), nn.Conv2d(4, 4, 3, padding=1).double()
    last = nn.Sequential(nn.ReLU(), then, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    settings: dict[str, Any] = {"methods": "ablation_cam", "layers": "0", "relu": False}
    exp = rv.explain(nn.Sequential(first, last), images, 1, reshape=reshape, **settings)
    with torch.no_grad():
        output = first(images)
        maps, score = reshape(output), last(output)[:, 1]
        numbers = reshape(torch.arange(output[0].numel()).view(1, 4, 8, 8).double()).long()[0]
        expected = torch.zeros_like(maps[:, 0])
        for k, where in enumerate(numbers):
            without = output.flatten(1).index_fill(1, where.flatten(), 0).view_as(output)
            weight = (score - last(without)[:, 1]) / score.abs()
            expected += weight[:, None, None] * maps[:, k]
    torch.testing.assert_close(exp.maps["ablation_cam", "0"][:, 0], expected)


class Mirrored(nn.Module):
    """A network over a picture and over the same one turned round."""

    def __init__(self, flip) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.small = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, 2, 1)
        self.head, self.flip = nn.Linear(4, 2), flip

    def forward(self, x: Tensor) -> Tensor:
        both = self.small(self.conv(x).relu()), self.small(self.conv(self.flip(x)).relu())
        return self.head(sum(maps.relu().mean((2, 3)) for maps in both))


FLIPS = {
    "flip": lambda x: x.flip(3),
    "both axes": lambda x: x.flip((2, 3)),
    "upside down": lambda x: torch.flip(x, dims=[-2]),
}


@pytest.mark.parametrize("flip", FLIPS.values(), ids=FLIPS)
def test_positions_behind_a_flip_are_not_those_of_the_picture(flip) -> None:
    net, images = Mirrored(flip).eval(), torch.randn(2, 3, 16, 12)
    assert rv.explain(net, images, 0, relu=False).layers == ["small"]
    for layer in ("conv", "small"):
        with pytest.raises(LayerRefused, match="positions in reverse order"):
            rv.explain(net, images, 0, layers=[(layer, 1)])


ORDER = torch.randperm(12, generator=torch.Generator().manual_seed(0))
MOVED = {
    "rolled": lambda x: x.roll(3, 3),
    "rolled both ways": lambda x: torch.roll(x, shifts=(2, -1), dims=(2, 3)),
    "rolled as one": lambda x: x.roll(5),
    "rolled over the edge of a pad": lambda x: F.pad(x.roll(-3, 3), (0, 4)).roll(3, 3),
    "turned": lambda x: torch.rot90(x, 1, (2, 3)),
    "turned twice": lambda x: x.rot90(2, (2, 3)),
    "an index": lambda x: x[:, :, :, ORDER],
    "an index behind dots": lambda x: x[..., ORDER],
    "a list": lambda x: x[..., list(range(11, -1, -1))],
    "selected": lambda x: x.index_select(3, ORDER),
    "gathered": lambda x: x.gather(3, ORDER.expand_as(x)),
    "taken": lambda x: torch.take_along_dim(x, ORDER.view(1, 1, 1, -1), 3),
    "masked": lambda x: x[..., ORDER > 4],
    "sorted": lambda x: x.sort(3).values,
    "warped": lambda x: F.grid_sample(x, torch.rand(1, 16, 12, 2) * 2 - 1, align_corners=False),
}


@pytest.mark.parametrize("moved", MOVED.values(), ids=MOVED)
def test_positions_in_another_order_are_not_those_of_the_picture(moved) -> None:
    net, images = Mirrored(moved).eval(), torch.randn(1, 3, 16, 12)
    assert rv.explain(net, images, 0, relu=False).layers == ["small"]
    for layer in ("conv", "small"):
        with pytest.raises(LayerRefused, match="positions in (reverse|another) order"):
            rv.explain(net, images, 0, layers=[(layer, 1)])


UNDONE = {
    "rolled": lambda x: x.roll(3, 3).roll(-3, 3),
    "rolled by a pad's": lambda x: F.pad(x.roll(-3, 3), (0, 4))[..., :12].roll(3, 3),
    "turned": lambda x: torch.rot90(torch.rot90(x, 1, (2, 3)), -1, (2, 3)),
    "an index": lambda x: x[..., ORDER][..., ORDER.argsort()],
    "selected": lambda x: x.index_select(3, ORDER).flip(3)[..., 11 - ORDER.argsort()],
    "every second": lambda x: x[..., torch.arange(0, 12, 2)],
    "channels": lambda x: x.roll(1, 1)[:, [2, 1, 0]],
    "not at all": lambda x: x.rot90(4, (2, 3)).roll(12, 3).roll(0, 2),
}


@pytest.mark.parametrize("undone", UNDONE.values(), ids=UNDONE)
def test_positions_that_are_back_in_order_are_those_of_the_picture(undone) -> None:
    net, images = Mirrored(undone).eval(), torch.randn(1, 3, 16, 12)
    exp = rv.explain(net, images, 0, layers=[("small", 1)], relu=False)
    assert exp.provenance["explained"][0]["axes_said"]


def test_an_order_is_kept_through_windows() -> None:
    """As Swin has them: rolled, cut into windows and put together again, rolled back."""

    class Windows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Conv2d(4, 4, 1)

        def forward(self, x: Tensor) -> Tensor:
            x = x.roll((-1, -1), (2, 3)).permute(0, 2, 3, 1)
            cut = x.unflatten(1, (4, 4)).unflatten(3, (3, 4)).permute(0, 1, 3, 2, 4, 5)
            back = cut.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)
            return self.inner(back.permute(0, 3, 1, 2)).roll((1, 1), (2, 3))

    net = Mirrored(nn.Sequential(nn.Conv2d(3, 4, 1), Windows(), nn.Conv2d(4, 3, 1))).eval()
    images = torch.randn(1, 3, 16, 12)
    exp = rv.explain(net, images, 0, layers=["flip.1", ("small", 1)], relu=False)
    assert all(each["axes_said"] for each in exp.provenance["explained"])
    with pytest.raises(LayerRefused, match="another order"):
        rv.explain(net, images, 0, layers="flip.1.inner")


def test_a_flip_that_is_undone_leaves_positions_as_they_were() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), Turned(), nn.Conv2d(4, 4, 3, padding=1), Turned())
    net = nn.Sequential(*net, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    exp = rv.explain(net.eval(), torch.randn(1, 3, 8, 6), 0, relu=False)
    assert exp.layers == ["4"] and exp.provenance["explained"][0]["axes_said"]


class Turned(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flip(3)
