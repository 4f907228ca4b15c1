"""Lesion study: by hand, against the obvious way, and the published result on trained networks."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from left_as_found import assert_left_as_found, left_as_found
from resviz.analysis.lesions import lesion_study
from resviz.errors import NonFinite
from resviz.networks.cifar import cifar_resnet
from resviz.preset import Preset, set_preset
from resviz.views.figures.lesions import plot_lesions

TABLE = Path(__file__).parents[2] / "benchmarks" / "lesions.csv"
IMAGES = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
TARGETS = [0, 1, 2, 3, 4, 5]


def test_a_row_per_block_in_order():
    net = cifar_resnet(14, seed=0)
    table = assert_left_as_found(net, lambda: lesion_study(net, IMAGES, TARGETS, data="noise"))
    assert table["lesion"].tolist() == ["none"] + ["single"] * 6
    assert table["block"].tolist()[1:] == [f"layer{s}.{i}" for s in (1, 2, 3) for i in (0, 1)]
    assert table["depth"].tolist()[1:] == [3, 5, 7, 9, 11, 13]
    assert table["kind"].tolist()[1:4] == ["identity", "identity", "padded"]
    none = table.iloc[0]
    assert none["unchanged"] == 100 and none["logit_change"] == 0
    assert table.attrs["data"] == "noise" and table.attrs["images"] == 6


def test_against_the_obvious_way():
    net = cifar_resnet(14, shortcut="B", seed=0)
    table = lesion_study(net, IMAGES, TARGETS, batch_size=4).set_index("block")
    with torch.no_grad():
        own = net(IMAGES)
        for block in ("layer1.1", "layer2.0", "layer3.1"):
            copied = copy.deepcopy(net)
            kept = copied.get_submodule(block)
            kept.bn2 = nn.BatchNorm2d(kept.bn2.num_features).eval()
            kept.bn2.weight.zero_()  # F = 0
            logits = copied(IMAGES)
            hit = (logits.argmax(1) == torch.tensor(TARGETS)).double().mean().item()
            centred, before = (v - v.mean(1, keepdim=True) for v in (logits, own))
            change = ((centred - before).norm(dim=1) / before.norm(dim=1)).mean().item()
            assert table["accuracy"][block] == pytest.approx(100 * hit)
            error = 100 * math.sqrt(hit * (1 - hit) / 6)
            assert table["standard_error"][block] == pytest.approx(error)
            assert table["logit_change"][block] == pytest.approx(change, rel=1e-4)


@pytest.mark.thorough
def test_several_and_reorder_are_seeded():
    net = cifar_resnet(20, seed=0)
    options = dict(blocks=["layer1.0", "layer1.1", "layer1.2"], several=[2], reorder=[1], repeats=3)
    one, again, other = (lesion_study(net, IMAGES, seed=s, **options) for s in (1, 1, 2))
    assert one.equals(again) and not one["block"].equals(other["block"])
    counts = one.groupby("lesion")["count"].agg(["size", "max"])
    assert counts.loc["several"].tolist() == [3, 2] and counts.loc["reorder"].tolist() == [3, 1]
    assert one["accuracy"].isna().all() and one["unchanged"].notna().all()


@pytest.mark.parametrize("shared", [False, True])
def test_two_exchanges_move_three_blocks(shared: bool):
    """None puts another back, also where a block has a place of its own and that of another."""
    net = cifar_resnet(26, seed=0)
    if shared:
        net.layer1[3] = net.layer1[0]
    blocks, images = ["layer1.0", "layer1.1", "layer1.2"], IMAGES[:2, :, :16, :16]
    options = dict(blocks=blocks, reorder=[2], repeats=8, progress=False)
    table = assert_left_as_found(net, lambda: lesion_study(net, images, **options))
    possible = []
    with torch.no_grad():
        own = net(images)
        for order in ((1, 2, 0), (2, 0, 1)):  # all that move each of three
            turned = copy.deepcopy(net)
            turned.layer1 = nn.Sequential(*(turned.layer1[i] for i in (*order, 3)))
            now, before = (v - v.mean(1, keepdim=True) for v in (turned(images), own))
            possible.append(((now - before).norm(dim=1) / before.norm(dim=1)).mean().item())
    reordered = table[table["lesion"] == "reorder"]
    assert set(reordered["logit_change"].round(6)) == {round(each, 6) for each in possible}
    assert {frozenset(each.split(", ")) for each in reordered["block"]} == {frozenset(blocks)}


@pytest.mark.thorough
def test_deleting_one_of_several_is_deleting_it_alone():
    net = cifar_resnet(14, seed=0)
    table = lesion_study(net, IMAGES, several=[1], repeats=4)
    single = table[table["lesion"] == "single"].set_index("block")
    for row in table[table["lesion"] == "several"].itertuples():
        assert row.logit_change == single["logit_change"][row.block]


def test_change_of_grad_cam():
    net = cifar_resnet(14, seed=0)
    table = lesion_study(net, IMAGES, blocks=["layer2.1"], cam=3)
    assert table["cam_change"].iloc[0] == pytest.approx(0, abs=1e-12)
    assert 0 < table["cam_change"].iloc[1] < 2


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["vgg11", "mobilenet_v2", "densenet121"])
def test_networks_of_other_kinds(name: str):
    import torchvision

    net = torchvision.models.get_model(name).eval()
    images = torch.randn(1, 3, 64, 64)
    blocks = ["features.6"] if name == "vgg11" else None
    if name == "densenet121":
        with pytest.raises(ValueError, match="input cannot take the place"):
            lesion_study(net, images, blocks=["classifier"])
        return
    table = lesion_study(net, images, blocks=blocks, progress=False)
    assert len(table) == 1 + (1 if blocks else 10)
    assert table["kind"].iloc[-1] == ("plain" if blocks else "identity")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"blocks": ["layer9"]}, ValueError, "no block 'layer9'; closest: 'layer"),
        ({"several": [99]}, ValueError, "several 99; 1 to 3 blocks"),
        ({"blocks": ["layer1.0"], "reorder": [1]}, ValueError, "no two blocks have equal shapes"),
        ({"targets": [0]}, ValueError, "targets of shape"),
        ({"batch_size": 0}, ValueError, "batch_size 0"),
    ],
)
def test_bad_arguments(options, error, message):
    net = cifar_resnet(8, seed=0)
    with left_as_found(net), pytest.raises(error, match=message):
        lesion_study(net, IMAGES, **options)


def test_more_exchanges_than_an_order_needs_are_refused():
    net = cifar_resnet(20, seed=0)
    with left_as_found(net), pytest.raises(ValueError, match="reorder 3; 1 to 2 pairs"):
        lesion_study(net, IMAGES, blocks=["layer1.0", "layer1.1", "layer1.2"], reorder=[1, 2, 3])


def committed(network: str) -> pd.DataFrame:
    table = pd.read_csv(TABLE)
    return table[table["network"] == network]


def test_the_committed_table_shows_what_veit_et_al_found():
    """First 160 lossless test images; three standard errors of 160 images are 5 to 12 points."""
    residual, plain = committed("ResNet-56"), committed("plain-56")
    single = residual[residual["lesion"] == "single"].set_index("block")["accuracy"]
    assert len(single) == 27 and residual["accuracy"].iloc[0] == pytest.approx(94.5, abs=1)
    assert (single >= 90).sum() >= 22
    assert single.idxmin() == "layer2.0" and 70 < single.min() < 80
    assert set(single.nsmallest(3).index) == {"layer2.0", "layer1.7", "layer1.1"}
    cut = plain[plain["lesion"] == "single"]["accuracy"]
    assert len(cut) == 27 and cut.min() >= 4 and cut.max() <= 37
    assert plain["accuracy"].iloc[0] > 86
    several = residual[residual["lesion"] == "several"].groupby("count")["accuracy"].median()
    assert several[12] < 25 < several[2]  # not graceful: it is not promised


@pytest.mark.slow
def test_the_committed_table_is_what_is_measured(testdata_module):
    pixels, labels, _ = testdata_module.cifar_images()
    for network, name in (("ResNet-56", "resnet56"), ("plain-56", "plain56")):
        net, normalise = testdata_module.cifar_net(name)
        images, targets = normalise(pixels[:160]), torch.from_numpy(labels[:160])
        blocks = ["layer1.4", "layer2.0", "layer3.0"]
        table = lesion_study(net, images, targets, blocks)
        known = committed(network).set_index("block")["accuracy"]
        for row in table[table["lesion"] == "single"].itertuples():
            assert row.accuracy == pytest.approx(known[row.block], abs=1.3)  # two images


def test_additions_in_the_root_are_deleted_as_additions():
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.b1, self.b2 = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x):
            x = x + self.b1(x)
            return (x + self.b2(x)).mean((2, 3))

    net = Root()
    with torch.no_grad():
        net.b1.weight.zero_(), net.b1.bias.zero_()
    table = lesion_study(net, IMAGES)
    assert table["block"].tolist() == ["", "add", "add_1"]
    assert table["logit_change"].tolist()[:2] == [0, 0] and table["logit_change"].iloc[2] > 0


@pytest.mark.thorough
def test_stages_single_names_and_numbers():
    net = cifar_resnet(14, seed=0)
    table = lesion_study(net, IMAGES, blocks="layer1", several=1, repeats=2)
    assert table["block"].tolist() == ["", "layer1", "layer1", "layer1"]
    for options, message in (({"targets": [99] * 6}, "target 99 with 10 classes"),
                             ({"cam": -1}, "cam -1")):  # fmt: skip
        with pytest.raises(ValueError, match=f"lesion_study: {message}"):
            lesion_study(net, IMAGES, **options)
    with pytest.raises(TypeError, match="lesion_study: targets are torch.float32"):
        lesion_study(net, IMAGES, targets=torch.rand(6))


class Heads(nn.Module):
    """One residual block, and an output of some kind."""

    def __init__(self, outputs: int, shape: str = "") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.block = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.head, self.shape = nn.Conv2d(8, outputs, 1), shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).relu()
        maps = self.head(x + self.block(x).relu())
        wide = maps.mean((2, 3))
        return maps if self.shape == "dense" else wide[:, 0] if self.shape == "flat" else wide

    def cut(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.head(self.stem(x).relu())
        wide = maps.mean((2, 3))
        return maps if self.shape == "dense" else wide[:, 0] if self.shape == "flat" else wide


def of_kind(kind: str, outputs: int, shape: str, **more) -> Heads:
    net = Heads(outputs, shape).eval()
    set_preset(net, Preset("heads", "own", (0.5,) * 3, (0.5,) * 3, output=kind, **more))
    return net


SMALL = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))
MARKS = torch.tensor([[0, 1, 1], [1, 0, 0], [0, 0, 1], [1, 1, 1]])
PLACES = torch.randint(0, 3, (4, 8, 8), generator=torch.Generator().manual_seed(2))


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "outputs", "shape", "targets", "says"),
    [
        ("classes", 3, "", torch.tensor([0, 1, 2, 0]), lambda z: z.argmax(1)),
        ("labels", 3, "", MARKS, lambda z: z > 0),
        ("logit", 1, "flat", torch.tensor([0, 1, 1, 0]), lambda z: z > 0),
        ("map", 3, "dense", PLACES, lambda z: z.argmax(1)),
        ("map", 1, "dense", PLACES.clamp(max=1), lambda z: z[:, 0] > 0),
    ],
)
def test_what_is_said_without_a_block(kind, outputs, shape, targets, says):
    net = of_kind(kind, outputs, shape)
    whole, cut = (says(f(SMALL)) for f in (net, net.cut))
    row = lesion_study(net, SMALL, targets, batch_size=3).iloc[1]
    assert row["accuracy"] == pytest.approx(100 * (cut == targets).double().mean().item())
    assert row["unchanged"] == pytest.approx(100 * (cut == whole).double().mean().item())


@torch.no_grad()
@pytest.mark.parametrize(("outputs", "shape"), [(1, "flat"), (1, ""), (3, "")])
def test_values_without_a_block_in_their_units(outputs, shape):
    net = of_kind("values", outputs, shape, units="mm")
    whole, cut = net(SMALL), net.cut(SMALL)
    targets = torch.rand(whole.shape)
    table = lesion_study(net, SMALL, targets)
    row = table.iloc[1]
    assert row["rmse"] == pytest.approx((cut - targets).square().mean().sqrt().item(), rel=1e-5)
    assert row["value_change"] == pytest.approx(
        (cut - whole).square().mean().sqrt().item(), rel=1e-4
    )
    assert math.isnan(row["accuracy"]) and math.isnan(row["unchanged"])
    assert table.attrs["units"] == "mm"
    assert plot_lesions(table).layout.yaxis.title.text == "root mean squared error (mm)"
    untold = lesion_study(net, SMALL)
    words = plot_lesions(untold).layout.yaxis.title.text
    assert words == "root mean squared change of the values (mm)"


@torch.no_grad()
@pytest.mark.parametrize("shape", ["", "dense"])
def test_features_without_a_block(shape):
    net = of_kind("none", 5, shape)
    whole, cut = net(SMALL).flatten(1), net.cut(SMALL).flatten(1)
    table = lesion_study(net, SMALL)
    change = ((cut - whole).norm(dim=1) / whole.norm(dim=1)).mean().item()
    assert table["logit_change"].tolist() == pytest.approx([0, change], rel=1e-4)
    figure = plot_lesions(table)
    assert figure.layout.yaxis.title.text == "change of the features (relative norm)"
    assert figure.layout.title.text.startswith("Features without one block")
    with pytest.raises(ValueError, match="'accuracy' of .* holds no numbers; .* targets"):
        plot_lesions(table, "accuracy")


@pytest.mark.parametrize(
    ("kind", "outputs", "shape", "message"),
    [
        ("none", 5, "", r"cam=8 of features \(4, 5\), .*; cam=False would be right"),
        ("values", 3, "", r"cam=8 of values \(4, 3\)"),
        ("map", 3, "dense", r"cam=8 of a map \(4, 3, 8, 8\)"),
    ],
)
def test_grad_cam_of_what_predicts_no_one_thing_is_refused(kind, outputs, shape, message):
    with pytest.raises(ValueError, match=f"^lesion_study: {message}"):
        lesion_study(of_kind(kind, outputs, shape), SMALL, cam=True)


def test_a_shape_that_nobody_explained_is_refused():
    class Sequences(Heads):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x)[..., None].mT

    with pytest.raises(ValueError, match=r"\(4, 1, 5\), and nobody said what .*output='map'"):
        lesion_study(Sequences(5).eval(), SMALL)


def test_what_is_no_number_has_no_accuracy():
    """NaN has an argmax: a network's own is refused, under a lesion it is nobody's class."""
    net = cifar_resnet(8, seed=0)
    with pytest.raises(NonFinite, match=r"^lesion_study: logits that are NaN .* image 1 \(1 of 2"):
        images = IMAGES[:2].clone()
        images[1] = math.nan
        lesion_study(net, images, [0, 1])

    class Needs(nn.Module):
        """Divides by what its block adds."""

        def __init__(self) -> None:
            super().__init__()
            self.stem, self.block, self.head = nn.Conv2d(3, 3, 1), Adds(), nn.Linear(3, 2)

        def forward(self, x):
            x = self.stem(x)
            y = self.block(x)
            return self.head((y / (y - x).abs().clamp(max=1).sign()).mean((2, 3)))

    class Adds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            return x + self.conv(x)

    torch.manual_seed(0)
    net = Needs().eval()
    with torch.no_grad():
        own = net(IMAGES)
    for kind, said in (("classes", own.argmax(1)), ("labels", own > 0)):
        set_preset(net, Preset("needs", "own", (0.5,) * 3, (0.5,) * 3, output=kind))
        table = lesion_study(net, IMAGES, said.long(), blocks=["block"]).set_index("lesion")
        assert table.loc["none", "accuracy"] == 100
        assert table.loc["single", "accuracy"] == 0 and table.loc["single", "unchanged"] == 0
