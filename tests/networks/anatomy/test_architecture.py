"""`architecture`: units, labels, counts by hand, the papers' numbers, shortcuts, refusals."""

from __future__ import annotations

import warnings
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torchvision.models import SwinTransformer

import resviz as rv
from cases import families, thorough
from left_as_found import assert_left_as_found, left_as_found
from of_torchvision import made
from resviz.networks.anatomy.architecture.labels import chain, size_of, words
from resviz.networks.anatomy.architecture.table import COLUMNS, architecture
from resviz.networks.cifar import cifar_resnet
from resviz.preset import set_preset

SMALL = torch.zeros(1, 3, 8, 8)

# name: (side, shortcuts by kind)
FAMILIES: dict[str, tuple[int, dict[str, int]]] = {
    "resnet18": (64, {"identity": 5, "projection": 3}),
    "resnet50": (64, {"identity": 12, "projection": 4}),
    "resnext50_32x4d": (64, {"identity": 12, "projection": 4}),
    "wide_resnet50_2": (64, {"identity": 12, "projection": 4}),
    "regnet_y_400mf": (64, {"identity": 12, "projection": 4}),
    "regnet_x_400mf": (64, {"identity": 18, "projection": 4}),
    "mobilenet_v2": (64, {"identity": 10}),
    "mobilenet_v3_large": (64, {"identity": 10}),
    "mnasnet1_0": (64, {"identity": 10}),
    "efficientnet_b0": (64, {"identity": 9}),
    "efficientnet_v2_s": (64, {"identity": 35}),
    "convnext_tiny": (64, {"identity": 18}),
    "vit_b_16": (64, {"identity": 24}),
    "swin_t": (64, {"identity": 24}),
    "swin_v2_t": (64, {"identity": 24}),
    "maxvit_t": (224, {"identity": 51, "projection": 4}),
    "densenet121": (64, {"concatenation": 21 + 78 + 300 + 136}),
    "shufflenet_v2_x1_0": (64, {"concatenation": 13}),
    "googlenet": (64, {}),
    "inception_v3": (96, {}),
    "squeezenet1_1": (64, {}),
    "vgg19": (64, {}),
    "vgg11_bn": (64, {}),
    "alexnet": (64, {}),
}
QUICK = ("resnet18", "mobilenet_v2", "shufflenet_v2_x1_0", "squeezenet1_1", "densenet121")
ALL = families(FAMILIES, QUICK, ("resnet18", "squeezenet1_1"))


def build(name: str) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision: the default initialisation will change
        return torchvision.models.get_model(name, weights=None)


@pytest.mark.parametrize("name", ALL)
def test_family(name: str):
    side, shortcuts = FAMILIES[name]
    net = made(name).eval()
    images = torch.zeros(1, 3, side, side)
    table = assert_left_as_found(net, lambda: architecture(net, images))
    assert tuple(table) == COLUMNS
    parameters = sum(p.numel() for p in net.parameters())
    idle = table.attrs["not_run"]
    assert table["parameters"].sum() + sum(idle.values()) == table.attrs["parameters"] == parameters
    assert bool(idle) == (name in ("googlenet", "inception_v3"))
    kinds = table[table["shortcuts"] > 0].groupby("shortcut")["shortcuts"].sum()
    assert kinds.to_dict() == shortcuts
    assert set(table["kind"]) <= {"stem", "block", "layer", "pool", "head"}
    assert table["kind"].iloc[-1] in ("head", "pool") and (table["label"] != "").all()
    assert table["flops"].sum() == table.attrs["flops"]
    begins = " + ".join(table["shortcut_from"][table["shortcut"] != ""]).split(" + ")
    assert set(begins) <= {*table["unit"], "input", ""}


@pytest.mark.parametrize("name", ALL)
def test_multiply_adds_are_those_that_torchvision_publishes(name: str):
    weights = torchvision.models.get_model_weights(name).DEFAULT
    side = {"efficientnet_v2_s": 384, "inception_v3": 299, "swin_v2_t": 256}.get(name, 224)
    table = architecture(build(name), torch.zeros(1, 3, side, side))
    published = weights.meta["_ops"]
    assert table["flops"].sum() / 1e9 == pytest.approx(published, rel=1e-3, abs=6e-4)


@pytest.mark.parametrize(
    ("name", "paper"),
    [
        ("resnet18", 1.8e9),
        thorough("resnet34", 3.6e9),
        thorough("resnet50", 3.8e9),
        pytest.param("resnet101", 7.6e9, marks=pytest.mark.slow),
        pytest.param("resnet152", 11.3e9, marks=pytest.mark.slow),
        pytest.param("vgg19", 19.6e9, marks=pytest.mark.slow),
    ],
)
def test_multiply_adds_of_the_paper(name: str, paper: float):
    """He et al. 2015, Table 1 and Fig. 3, within 3 %: a product and its addition count as one."""
    net = build(name)
    for module in net.modules():  # the paper strides in the first 1x1, torchvision in the 3x3
        if type(module).__name__ == "Bottleneck":
            module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
    table = architecture(net, torch.zeros(1, 3, 224, 224))
    assert table["flops"].sum() == pytest.approx(paper, rel=0.03)
    assert int(table["depth"].max()) == int(name.removeprefix("resnet").removeprefix("vgg"))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 1, 1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(torch.relu(self.norm(self.conv1(x))))


class Toy(nn.Module):
    """A stem, a residual block, a pooling without a module, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.block = nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4), Block()
        self.drop, self.fc = nn.Dropout(0.5), nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.block(torch.relu(self.norm(self.stem(x)))), 2)
        return self.fc(self.drop(x.flatten(1)))


def test_by_hand():
    table = architecture(Toy(), SMALL, name="toy")
    assert list(table["unit"]) == ["stem", "block", "max_pool2d", "fc"]
    assert list(table["type"]) == ["Conv2d", "Block", "max_pool2d", "Linear"]
    assert list(table["kind"]) == ["stem", "block", "pool", "head"]
    assert list(table["label"]) == [*("3×3 conv, 4", "3×3, 4 → 3×3, 4", "2×2 max pool, /2", "fc 5")]
    assert list(table["depth"]) == [1, 3, 3, 4]
    assert list(table["shape"]) == [(1, 4, 8, 8), (1, 4, 8, 8), (1, 4, 4, 4), (1, 5)]
    assert list(table["size"]) == ["8×8", "8×8", "4×4", ""]
    # 3*4*9 + 4 and the norm's 8; 2 * (4*4*9 + 4) + 8; none; 64*5 + 5
    assert list(table["parameters"]) == [120, 304, 0, 325]
    # 64 positions * 4 channels * 27; two layers of 64 * 4 * 36; none; 64 * 5
    assert list(table["flops"]) == [6912, 18432, 0, 320]
    assert list(table["shortcut"]) == ["", "identity", "", ""]
    assert list(table["shortcut_from"]) == ["", "stem", "", ""]
    assert table.attrs["network"] == "toy" and table.attrs["flops"] == 25664


def test_one_image_is_counted_however_many_are_given():
    many = architecture(Toy(), torch.zeros(7, 3, 8, 8))
    assert many["flops"].sum() == 25664 and many["shape"].iloc[0] == (1, 4, 8, 8)


@pytest.mark.parametrize("shortcut", ["A", "B", "C", "none"])
def test_cifar_family(shortcut: str):
    net = cifar_resnet(20, shortcut=shortcut, seed=0)
    table = architecture(net, torch.zeros(1, 3, 32, 32))
    right = {"A": {"identity": 7, "padded": 2}, "B": {"identity": 7, "projection": 2}}
    right |= {"C": {"projection": 9}, "none": {}}
    assert Counter(table.query("shortcut != ''")["shortcut"]) == right[shortcut]
    assert list(table["kind"]) == ["stem", *["block"] * 9, "pool", "head"]
    assert table["label"].iloc[4] == "3×3, 32, /2 → 3×3, 32"  # no projection among the layers
    assert list(table["stage"].iloc[[0, 1, 4, 7, 11]]) == [
        *("stem", "layer1", "layer2", "layer3", "head")
    ]
    if shortcut != "C":
        # He et al. 2015, section 4.2 and Table 6: 0.27 M parameters
        assert table["parameters"].sum() == pytest.approx(0.27e6, rel=0.03)


@pytest.mark.thorough
def test_vgg_has_a_row_per_layer():
    features = made("vgg19").features
    net = nn.Sequential(features, nn.Flatten(), nn.Linear(2048, 10))
    table = architecture(net, torch.zeros(1, 3, 64, 64))
    assert list(table["kind"]).count("layer") == 16 and list(table["kind"]).count("pool") == 5
    assert table["label"].iloc[:3].tolist() == ["3×3 conv, 64", "3×3 conv, 64", "2×2 max pool, /2"]
    assert table["kind"].iloc[-1] == "head" and not table["shortcut"].any()


@pytest.mark.thorough
def test_layers_of_a_dense_block_each_join_all_earlier_features():
    table = architecture(build("densenet121"), torch.zeros(1, 3, 64, 64))
    layers = table[table["kind"] == "block"]
    assert list(layers["shortcuts"]) == [n + 1 for size in (6, 12, 24, 16) for n in range(size)]
    second = layers.iloc[1]
    assert second["shortcut_from"] == layers.iloc[0]["unit"]
    assert second["label"] == "1×1, 128 → 3×3, 32"


@pytest.mark.slow
def test_two_shortcuts_in_a_transformer_block():
    table = architecture(build("vit_b_16"), torch.zeros(1, 3, 224, 224))
    blocks = table[table["kind"] == "block"]
    assert list(blocks["shortcut"]) == ["identity"] * 12 and set(blocks["shortcuts"]) == {2}
    assert set(blocks["label"]) == {"attention, 12 heads → linear, 3072 → linear, 768"}
    names = list(table["unit"])
    assert list(blocks["shortcut_from"]) == [f"{names[i]} + {names[i + 1]}" for i in range(12)]
    assert blocks["size"].iloc[0] == "197 tokens" and table["size"].iloc[0] == "14×14"


class Functional(nn.Module):
    """No modules at all but parameters; the shortcut leads around two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.ones(4, 3, 3, 3))
        self.second, self.third = (nn.Parameter(torch.ones(4, 4, 3, 3)) for _ in range(2))
        self.last, self.unused = nn.Parameter(torch.ones(5, 4)), nn.Parameter(torch.ones(7))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv2d(x, self.first, padding=1))
        y = F.conv2d(F.relu(F.conv2d(x, self.second, padding=1)), self.third, padding=1)
        return F.linear((x + y).mean((2, 3)), self.last)


def test_a_network_without_modules():
    table = architecture(Functional(), SMALL)
    assert list(table["unit"]) == ["conv2d", "conv2d_1", "conv2d_2", "mean", "linear"]
    assert list(table["kind"]) == ["layer", "layer", "layer", "pool", "head"]
    assert list(table["parameters"]) == [108, 144, 144, 0, 20]
    assert list(table["shortcut"]) == ["", "", "identity", "", ""]
    assert table["shortcut_from"].iloc[2] == "conv2d"
    assert table.attrs["not_run"] == {"unused": 7}
    assert table.attrs["parameters"] == 108 + 144 + 144 + 20 + 7


class Shared(Toy):
    """The same block three times."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(self.block(self.block(self.stem(x))))
        return self.fc(F.max_pool2d(x, 2).flatten(1))


def test_a_block_that_runs_several_times():
    table = architecture(Shared(), SMALL)
    blocks = table[table["unit"] == "block"]
    assert list(blocks["call"]) == [0, 1, 2] and list(blocks["shortcut"]) == ["identity"] * 3
    assert list(blocks["parameters"]) == [304, 0, 0] and set(blocks["flops"]) == {18432}


class UNet(nn.Module):
    """Down and up; the copy is concatenated untouched."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.low = nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 2, 1)
        self.up, self.out = nn.ConvTranspose2d(4, 6, 2, 2), nn.Conv2d(10, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.down(x))
        return self.out(torch.cat([x, self.up(self.low(x))], 1))


def test_a_copy_that_skips_layers():
    table = architecture(UNet(), SMALL)
    assert list(table["label"]) == [
        *("3×3 conv, 4", "3×3 conv, 4, /2", "2×2 transposed conv, 6, ×2", "1×1 conv, 1")
    ]
    assert list(table["shortcut"]) == ["", "", "concatenation", ""]
    assert table["shortcut_from"].iloc[2] == "down"


class Parallel(nn.Module):
    """Two paths that both compute, and one that is pooled: nothing passes untouched."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, 1, 1)
        self.c, self.d = nn.Conv2d(4, 2, 3, 1, 1), nn.Conv2d(9, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.avg_pool2d(x, 3, 1, 1)
        return torch.cat([self.a(x), self.c(self.b(x)), pooled], 1)


def test_parallel_paths_are_no_shortcuts():
    net = nn.Sequential(nn.Conv2d(3, 3, 1), Parallel(), nn.Conv2d(9, 2, 1))
    table = architecture(net, SMALL)
    assert not table["shortcut"].any()
    assert table["label"].iloc[1] == "3×3 average pool | 1×1, 4 | 3×3, 4 → 3×3, 2"


class Trunk(nn.Module):
    """A shortcut around two blocks with shortcuts: the blocks are the units."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.blocks(x)


def test_a_shortcut_around_several_blocks():
    table = architecture(nn.Sequential(nn.Conv2d(3, 4, 1), Trunk(), nn.Conv2d(4, 1, 1)), SMALL)
    assert list(table["unit"]) == ["0", "1.blocks.0", "1.blocks.1", "2"]
    assert list(table["shortcuts"]) == [0, 1, 2, 0]
    assert list(table["shortcut"]) == ["", "identity", "identity", ""]
    assert list(table["shortcut_from"]) == ["", "0", "1.blocks.0 + 0", ""]


def test_sizes_of_pictures_that_are_not_square():
    """As list_layers has the stages; channels may be as many as rows."""
    net = nn.Sequential(
        *(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1)),
        *(nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), nn.Flatten(), nn.Linear(128, 3)),
    )
    table = rv.architecture(net, torch.zeros(1, 3, 16, 32))
    assert table["size"].tolist() == ["16×32", "8×16", "8×16", "4×8", "4×8", ""]
    assert table["stage"].tolist() == ["16x32", "8x16", "8x16", "4x8", "4x8", "head"]
    swin = SwinTransformer([4, 4], 8, [1, 1], [2, 2], [4, 4], num_classes=3)
    images = torch.zeros(1, 3, 32, 64)
    sizes = rv.architecture(swin, images).set_index("unit")["size"]
    assert sizes["features.1.0"] == "8×16" and sizes["features.3.0"] == "4×8"
    stages = rv.list_layers(swin, images).set_index("layer")["stage"]
    assert stages["features.1.0"] == "8x16" and stages["features.3.0"] == "4x8"


def test_size_and_preset():
    half = (0.5, 0.5, 0.5)
    net = cifar_resnet(8, seed=0)
    set_preset(net, rv.Preset("mine", "own", half, half, 32, (32, 48)))
    table = architecture(net)
    assert table["size"].iloc[0] == "32×48" and table.attrs["network"] == "mine"
    assert architecture(net, size=64)["size"].iloc[0] == "64×64"
    assert architecture(net, name="other").attrs["network"] == "other"


def test_size_is_enough_for_a_network_without_a_preset():
    assert architecture(cifar_resnet(8, seed=0), size=16)["size"].iloc[0] == "16×16"
    grey = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    assert architecture(grey, size=9)["shape"].iloc[0] == (1, 2, 7, 7)


def test_refusals():
    net = Toy()
    with left_as_found(net):
        with pytest.raises(ValueError, match=r"architecture: Toy has no preset.*; images"):
            architecture(net)
        with pytest.raises(TypeError, match="architecture: images are a str"):
            architecture(net, "cat.png")
        with pytest.raises(ValueError, match=r"architecture: images of shape .*\(N, 3, H, W\)"):
            architecture(net, torch.zeros(1, 4, 8, 8))
        with pytest.raises(TypeError, match="architecture: size 'big'; a whole number"):
            architecture(net, SMALL, size="big")
        with pytest.raises(ValueError, match="architecture: size 0; 1 or more"):
            architecture(net, SMALL, size=0)
        with pytest.raises(TypeError, match="architecture: name 3; a string"):
            architecture(net, SMALL, name=3)
    with pytest.raises(TypeError, match=r"architecture: .*nn.Module"):
        architecture("resnet18", SMALL)
    with pytest.raises(ValueError, match="architecture: no layer with weights ran in ReLU"):
        architecture(nn.ReLU(), SMALL)


@pytest.mark.thorough
def test_a_compiled_network_is_refused():
    with pytest.raises(rv.NotTraceable, match="architecture: "):
        architecture(torch.compile(Toy()), SMALL)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_left_as_found_after_an_error(error: type[BaseException]):
    class Breaks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise error("stop")

    net = Toy().train()
    net.drop = Breaks()
    with pytest.raises(error, match="stop"), left_as_found(net):
        architecture(net, SMALL)


def test_left_as_found_in_training_mode():
    net = Toy().train()
    net.stem.weight.requires_grad_(False)
    table = assert_left_as_found(net, lambda: architecture(net, SMALL))
    assert table["flops"].sum() == 25664


@pytest.mark.parametrize(
    ("module", "shape", "label"),
    [
        (nn.Conv2d(6, 6, (1, 7), groups=6), (1, 6, 8, 8), "1×7 depthwise conv, 6"),
        (nn.Conv2d(6, 4, 3, 2, groups=2), (1, 6, 8, 8), "3×3 conv, 4, 2 groups, /2"),
        (nn.Conv2d(6, 4, 3, dilation=2), (1, 6, 8, 8), "3×3 conv, 4, dilation 2"),
        (nn.Conv1d(6, 4, 5, 2), (1, 6, 9), "5 conv, 4, /2"),
        (nn.Conv2d(6, 4, 3, (2, 1)), (1, 6, 8, 8), "3×3 conv, 4, /2×1"),
        (nn.Linear(6, 4), (1, 6), "fc 4"),
        (nn.Linear(6, 4), (1, 5, 6), "linear, 4"),
    ],
)
def test_labels(module: nn.Module, shape: tuple[int, ...], label: str):
    assert architecture(nn.Sequential(module), torch.zeros(shape))["label"].tolist() == [label]


def test_words_of_sizes_and_chains():
    assert size_of((1, 56, 56, 96), "linear") == size_of((1, 96, 56, 56), "conv2d") == "56×56"
    assert size_of((1, 64, 64, 32), "conv2d") == "64×32"
    assert size_of((1, 8, 1, 1), "conv2d") == size_of((1, 8), "linear") == ""
    assert chain([("a", False), ("b", True), ("c", False)]) == "a → b | c"
    shapes = ((1, 4, 9, 9), (1, 4, 3, 3))
    assert words("adaptive_avg_pool2d", (None, 3), {}, *shapes)[0] == "average pool to 3×3"
