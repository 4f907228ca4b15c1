"""A scan against the obvious way: numpy over all activations at once."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import resviz as rv
from resviz.scanning.measures.quantiles import Quantiles
from resviz.scanning.scan import Scan
from scanning.toys import SequenceFirst, activations, pictures, toy

LAYERS = ["relu", "layer1.0", "layer1.1"]


@pytest.fixture(scope="module")
def data():
    return pictures()


@pytest.fixture(scope="module")
def scan(data) -> Scan:
    return rv.scan(toy(), data, measures="all", batch_size=5, top=4, sample=2, progress=False)


@pytest.fixture(scope="module")
def maps(data) -> dict[str, np.ndarray]:
    return {layer: activations(toy(), layer, data.tensors[0]) for layer in LAYERS}


def test_layers_are_stem_and_blocks(scan):
    assert scan.layers["layer"].tolist() == LAYERS
    assert scan.layers["field"].tolist() == [3, 7, 11]


def test_channel_statistics(scan, maps):
    for layer in LAYERS:
        rows, x = scan.channels[scan.channels["layer"] == layer], maps[layer]
        over = (0, 2, 3)
        np.testing.assert_allclose(rows["mean"], x.mean(over), rtol=1e-12)
        np.testing.assert_allclose(rows["std"], x.std(over), rtol=1e-12)
        np.testing.assert_array_equal(rows["min"], x.min(over))
        np.testing.assert_array_equal(rows["max"], x.max(over))
        np.testing.assert_allclose(rows["zero_fraction"], (x == 0).mean(over), rtol=1e-12)
        np.testing.assert_array_equal(rows["active_images"], (x != 0).any((2, 3)).sum(0))


def test_top_images_with_their_places(scan, maps):
    for layer in LAYERS:
        peaks = maps[layer].max((2, 3))
        for channel in range(6):
            found = scan.top(layer, channel)
            order = np.lexsort((np.arange(len(peaks)), -peaks[:, channel]))[:4]
            assert found["image"].tolist() == order.tolist()
            np.testing.assert_array_equal(found["value"], peaks[order, channel])
            for image, row, column in found[["image", "row", "column"]].itertuples(index=False):
                chosen = maps[layer][image, channel]
                assert chosen[row, column] == chosen.max()


def test_receptive_field_is_what_the_maximum_depends_on(scan, data):
    """By the gradient of that position."""
    net, row = toy(), scan.top("layer1.0", 2).iloc[0]
    image = data.tensors[0][[row["image"]]].clone().requires_grad_()
    kept = []
    net.layer1[0].register_forward_hook(lambda _, args, out: kept.append(out.clone()))
    net(image)
    kept[0][0, 2, int(row["row"]), int(row["column"])].backward()
    touched = image.grad[0].abs().sum(0).nonzero()
    top, left = touched.amin(0).tolist()
    bottom, right = (touched.amax(0) + 1).tolist()
    assert max(row["top"], 0) <= top and max(row["left"], 0) <= left
    assert min(row["bottom"], 8) >= bottom and min(row["right"], 8) >= right
    assert row["bottom"] - row["top"] == row["right"] - row["left"] == 7


def test_quantiles_of_each_images_maximum(scan, maps):
    found = scan.quantiles("layer1.0", (0.0, 0.5, 1.0))
    peaks = np.sort(maps["layer1.0"].max((2, 3)), axis=0)
    np.testing.assert_allclose(found[0.0], peaks[0], rtol=1e-6)
    np.testing.assert_allclose(found[0.5], peaks[11], rtol=1e-6)
    np.testing.assert_allclose(found[1.0], peaks[-1], rtol=1e-6)
    shares = scan.histogram("layer1.0", 1, bins=4)["share"]
    assert shares.sum() == pytest.approx(1)


def test_ends_of_quantiles_are_exact_beyond_what_a_sketch_keeps(scan):
    found = Quantiles(scan.plan)
    peaks = np.random.default_rng(0).exponential(size=(900, len(scan.plan.sites), 6))
    for each in peaks:
        sites = [SimpleNamespace(high=row[None]) for row in each]
        found.update(SimpleNamespace(sites=sites))
    ends = found.values(1, (1.0, 0.0, 1.0))
    np.testing.assert_allclose(ends[:, 0], peaks[:, 1].max(0), rtol=1e-6)
    np.testing.assert_allclose(ends[:, 1], peaks[:, 1].min(0), rtol=1e-6)
    np.testing.assert_array_equal(ends[:, 2], ends[:, 0])


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_histogram_of_a_nearly_constant_channel(steps):
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 1), torch.nn.Flatten())
    torch.nn.init.ones_(net[0].weight), torch.nn.init.ones_(net[0].bias)
    images = torch.zeros(12, 1, 8, 8)
    images[5:] = steps * 2.0**-23  # float32 has nothing between 1 and 1 + 2**-23
    scan = rv.scan(net, images, ["quantiles"], layers=["0"], progress=False)
    table = scan.histogram("0", 0)
    assert table["share"].tolist()[::19] == pytest.approx([5 / 12, 7 / 12])
    assert table["share"].sum() == pytest.approx(1)
    np.testing.assert_allclose(scan.measured("quantiles").histograms(0, 20)[2][0], table["share"])


def test_a_scan_of_no_image_and_of_one():
    one = rv.scan(toy(), pictures(1).tensors[0], progress=False)
    assert one.layout()[["x", "y"]].to_numpy().tolist() == [[0, 0]]
    none = rv.scan(toy(), pictures(2).tensors[0] * torch.nan, progress=False)
    assert len(none.skipped) == 2 and none.layout().empty
    assert none.quantiles("relu").drop(columns="channel").isna().all(axis=None)
    assert none.histogram("relu", 0).isna().all(axis=None)


def test_class_means_and_selectivity(scan, maps, data):
    labels, means = data.tensors[1].numpy(), maps["layer1.1"].mean((2, 3))
    by_class = np.stack([means[labels == k].mean(0) for k in range(3)])
    np.testing.assert_allclose(scan.class_means("layer1.1"), by_class.T, rtol=1e-12)
    most = by_class.max(0)
    rest = (by_class.sum(0) - most) / 2
    rows = scan.channels[scan.channels["layer"] == "layer1.1"]
    known = most > 0  # a dead channel has none
    index = (most - rest)[known] / (most + rest)[known]
    np.testing.assert_allclose(rows["selectivity"][known], index, rtol=1e-12)
    best = [f"class {k}" for k in by_class.argmax(0)]
    assert rows["best_class"][known].tolist() == list(np.array(best)[known])


def test_find_lists_the_channels_that_stand_out(scan, maps, data):
    found, labels = scan.find("class 1"), data.tensors[1].numpy() == 1
    row = found.iloc[0]
    means = maps[row["layer"]].mean((2, 3))[:, int(row["channel"])]
    effect = (means[labels].mean() - means[~labels].mean()) / means.std()
    assert row["effect"] == pytest.approx(effect)
    assert found["effect"].dropna().is_monotonic_decreasing


def test_correlation(scan, maps):
    means = maps["layer1.0"].mean((2, 3))
    expected = np.corrcoef(means.T)[2]
    found = scan.nearest("layer1.0", 2, count=5).set_index("channel")["correlation"]
    assert 2 not in found.index
    for channel, value in found.items():
        assert value == pytest.approx(expected[channel])
    assert found.is_monotonic_decreasing


def test_channels_that_do_not_vary_have_no_correlation():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(4, 4, 3, padding=1))
    torch.nn.init.zeros_(net[0].weight[1:].detach())
    torch.nn.init.zeros_(net[1].weight[2:, 0].detach())  # no image reaches these two
    images = torch.randn(60, 3, 7, 7)
    scan = rv.scan(net, images, ["correlation"], ["1"], batch_size=7, progress=False)
    matrix = scan.measured("correlation").matrix(0)
    assert np.isnan(matrix[2:]).all() and np.isnan(matrix[:, 2:]).all()
    assert np.isfinite(matrix[:2, :2]).all() and matrix[0, 0] == pytest.approx(1)


def test_accuracy_and_confusion(scan, data):
    with torch.no_grad():
        said = toy()(data.tensors[0]).argmax(1)
    assert scan.accuracy == pytest.approx(float((said == data.tensors[1]).double().mean()))
    assert scan.confusion.to_numpy().sum() == 23
    assert scan.classes["images"].tolist() == [8, 8, 7]
    assert scan.images["prediction"].tolist() == [f"class {k}" for k in said.tolist()]


def test_residual_branches_are_those_of_a_recording(scan, data):
    expected = rv.residual_branches(toy(), data.tensors[0])
    assert scan.blocks["addition"].tolist() == expected["addition"].tolist()
    for column in ("branch_rms", "shortcut_rms", "ratio", "cosine"):
        np.testing.assert_allclose(scan.blocks[column], expected[column], rtol=1e-9)


@pytest.mark.parametrize("batch", [4, 1])
def test_an_image_without_a_direction_is_left_out_of_the_mean_ones(batch):
    net, images = toy(), pictures().tensors[0][:9].clone()
    torch.nn.init.zeros_(net.stem.bias)
    images[6] = 0  # no bias before the first shortcut
    found = rv.scan(net, images, ["residuals"], batch_size=batch, progress=False).blocks
    seen = [rv.residual_branches(net, images[[n]]) for n in range(9) if n != 6]
    for column in ("ratio", "cosine"):
        values = [table[column][0] for table in seen]
        assert found[f"{column}_mean"][0] == pytest.approx(np.mean(values), rel=1e-9)
        assert found[f"{column}_std"][0] == pytest.approx(np.std(values), rel=1e-9)
    none = rv.scan(net, images[[6]], ["residuals"], progress=False).blocks
    assert none.loc[0, ["ratio_mean", "ratio_std", "cosine_mean", "cosine_std"]].isna().all()


@pytest.mark.thorough
def test_gradient_norms_are_those_of_a_recording(scan, data):
    norms = [
        rv.record(toy(), data.tensors[0][[n]], keep=["layer1.0:grad"])["layer1.0:grad"].norm()
        for n in range(23)
    ]
    row = scan.layers.set_index("layer").loc["layer1.0"]
    assert row["grad_norm"] == pytest.approx(float(torch.stack(norms).mean()), rel=1e-6)
    assert row["grad_norm_max"] == pytest.approx(float(torch.stack(norms).max()), rel=1e-6)


@pytest.mark.parametrize(("scale", "dtype"), [(1e-26, torch.float32), (1e-90, torch.float64)])
def test_gradients_and_branches_that_vanish_are_not_zero(scale, dtype):
    class Faint(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.branch = torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)
            self.head = torch.nn.Linear(8, 3)

        def forward(self, x):
            x = self.stem(x)
            x = x + self.branch(x) * scale
            return self.head(x) * scale

    torch.manual_seed(0)
    net, images = Faint().to(dtype), torch.rand(5, 8, dtype=dtype)
    found = rv.scan(net, images, ["residuals", "gradients"], "all", batch_size=3, progress=False)
    norms = [rv.record(net, images[[n]], keep="stem:grad")["stem:grad"] for n in range(5)]
    expected = torch.stack(norms).double().flatten(1).norm(dim=1)
    row = found.layers.set_index("layer").loc["stem"]
    assert 0 < row["grad_norm"] == pytest.approx(float(expected.mean()), rel=1e-5)
    assert row["grad_norm_max"] == pytest.approx(float(expected.max()), rel=1e-5)
    branches = rv.residual_branches(net, images)
    for column in ("branch_rms", "ratio", "cosine"):
        assert found.blocks[column][0] == pytest.approx(branches[column][0], rel=1e-5)
    assert np.isfinite(found.blocks["cosine_mean"][0])


def test_embedding_holds_mean_activations(scan, maps):
    layer, images, vectors = scan.embedding
    assert (layer, images.tolist()) == ("layer1.1", list(range(23)))
    np.testing.assert_allclose(vectors, maps[layer].mean((2, 3)), rtol=2e-3, atol=1e-6)


def test_a_dead_channel_has_a_bound(data):
    net = toy()
    with torch.no_grad():
        net.stem.weight[4], net.stem.bias[4] = 0.0, -1.0
    found = rv.scan(net, data, ["channels"], ["relu"], progress=False).channels
    assert found["dead"].tolist() == [False] * 4 + [True, False]
    assert found["zero_fraction"][4] == 1
    assert found["active_bound"][4] == pytest.approx(1 - 0.05 ** (1 / 23))
    assert found["active_bound"][0] == 1


@pytest.mark.parametrize("batch", [1, 4, 5, 6])
def test_residuals_by_image_of_tokens_that_come_first(batch):
    torch.manual_seed(0)
    net = SequenceFirst().double().eval()
    images = torch.randn(6, 3, 16, 16, dtype=torch.float64)
    images *= torch.arange(1.0, 7.0).view(-1, 1, 1, 1)
    found = rv.scan(net, images, ["residuals"], batch_size=batch, progress=False).blocks
    rec = rv.record(net, images, gradients=False, keep="additions")
    tokens = found[found["block"] == "layer"]
    assert len(tokens) == 2
    for row in tokens.itertuples():
        f, x = (rec[f"{row.addition}:{part}"] for part in ("branch", "shortcut"))
        powers, own = f.square().sum((0, 2)), x.square().sum((0, 2))
        ratio, cosine = (powers / own).sqrt(), (f * x).sum((0, 2)) / (powers * own).sqrt()
        assert row.ratio_mean == pytest.approx(float(ratio.mean()), rel=1e-9)
        assert row.ratio_std == pytest.approx(float(ratio.std(correction=0)), rel=1e-9)
        assert row.cosine_mean == pytest.approx(float(cosine.mean()), abs=1e-9)
        assert row.ratio == pytest.approx(float((powers.sum() / own.sum()).sqrt()), rel=1e-9)


@pytest.mark.parametrize("batch", [1, 4, 5])  # five images, as there are five queries
def test_a_sum_of_no_image_has_no_moments_over_images(batch):
    torch.manual_seed(0)
    net = SequenceFirst().eval()
    found = rv.scan(net, torch.randn(6, 3, 16, 16), ["residuals"], batch_size=batch, progress=False)
    (row,) = found.blocks[found.blocks["block"] != "layer"].to_dict("records")
    with torch.no_grad():
        ratio = net.own(net.queries).norm() / net.queries.norm()
    assert row["ratio"] == pytest.approx(float(ratio), rel=1e-5)
    assert np.isnan([row["ratio_mean"], row["cosine_std"]]).all()
