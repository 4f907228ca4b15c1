"""explain and faithfulness follow what the output means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from left_as_found import left_as_found
from resviz.attribution.trust.removal import area

HALF = (0.5, 0.5, 0.5)
LEFT, RIGHT = (slice(4, 8), slice(2, 6)), (slice(4, 8), slice(10, 14))


def preset(**about: Any) -> rv.Preset:
    return rv.Preset("mine", "own", HALF, HALF, None, None, **about)


def known(weights: list[list[float]]) -> nn.Module:
    """Evidence by construction: channel 0 sees what is bright, channel 1 what is dark."""
    net = nn.Sequential(
        *(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(2, len(weights)),
    )
    with torch.no_grad():
        net[0].weight[:] = torch.tensor([1 / 3, -1 / 3])[:, None, None, None]  # type: ignore[index]
        net[0].bias.zero_()  # type: ignore[union-attr, operator]
        net[4].weight[:] = torch.tensor(weights)  # type: ignore[index]
        net[4].bias.zero_()  # type: ignore[union-attr, operator]
    return net.eval()


def photograph(dark: float = 1.0) -> Tensor:
    """Bright at the left, dark at the right."""
    image = torch.zeros(1, 3, 16, 16)
    image[0, :, LEFT[0], LEFT[1]] = 1
    image[0, :, RIGHT[0], RIGHT[1]] = -dark
    return image


def sides(exp: rv.Explanation, method: str = "grad_cam", layer: str = "1") -> tuple[float, float]:
    """The map at the two patches, of the first image and target."""
    one = exp.maps[method, layer][0][0]
    return float(one[5, 3]), float(one[5, 11])


METHODS = ["grad_cam", "layer_cam", "hires_cam", "cam", "ablation_cam", "score_cam"]


@pytest.mark.parametrize("method", METHODS)
def test_both_sides_of_a_logit(method: str) -> None:
    """The evidence against is the negative: what is dark speaks for the negative side."""
    net, image, about = known([[100.0, -200.0]]), photograph(), preset(classes=("no", "yes"))
    exps = [
        rv.explain(net, image, target, methods=method, layers="1", preset=about, progress=False)
        for target in (None, 0, 1)
    ]
    said, against, for_it = exps
    assert said.targets == [[0]] and said.target_names == [["no"]]
    assert float(said.scores) == pytest.approx(6.25) and float(for_it.scores) == -6.25
    assert said.maps[method, "1"].equal(against.maps[method, "1"])
    assert sides(against, method)[1] > 2 * sides(against, method)[0]
    assert sides(for_it, method)[0] > 2 * sides(for_it, method)[1]
    assert said.provenance["output"] == "logit"
    if method == "grad_cam":
        torch.testing.assert_close(said.all_classes["no"], against.maps[method, "1"][:, 0])
        torch.testing.assert_close(said.all_classes[1], for_it.maps[method, "1"][:, 0])
        assert len(said.all_classes) == 2


def test_a_side_is_the_negative_of_the_other() -> None:
    net, image, about = known([[100.0, -200.0]]), photograph(), preset(output="logit")
    maps = [
        rv.explain(net, image, target, layers="1", relu=False, preset=about).maps["grad_cam", "1"]
        for target in (0, 1, rv.target(1) * -1)
    ]
    assert torch.equal(maps[0], -maps[1]) and torch.equal(maps[0], maps[2])


@pytest.mark.parametrize(
    ("about", "weights", "read"),
    [
        ({"output": "logit"}, [[30.0, -2.0]], lambda z: z[:, 0].sigmoid()),
        ({"output": "labels"}, [[30.0, 0.0], [0.0, 20.0]], lambda z: z[:, 0].sigmoid()),
        ({}, [[30.0, 0.0], [0.0, 20.0]], lambda z: z.softmax(1)[:, 0]),
        ({"output": "values"}, [[30.0, -2.0]], lambda z: z[:, 0]),
        ({}, [[30.0, -2.0]], lambda z: z[:, 0]),
    ],
    ids=["logit", "labels", "classes", "values", "unsaid"],
)
def test_the_curves_follow_the_score_of_the_kind(
    about: dict[str, Any], weights: list[list[float]], read: Any
) -> None:
    """Deletion and insertion by hand; a map of the evidence is better than a random one."""
    net, image = known(weights), photograph(0.2)
    said = preset(**about)
    with left_as_found(net):
        exp = rv.explain(net, image, layers="1", preset=said)
        checks = ["deletion", "insertion"]
        table = rv.faithfulness(
            net, image, exp, checks=checks, steps=4, reveal="mean", preset=said
        ).iloc[0]
    order = exp.maps["grad_cam", "1"][0, 0].flatten().argsort(descending=True, stable=True)
    deleted, inserted = [], []
    for step in range(5):
        gone = order[: 64 * step]
        without, alone = image.clone().flatten(2), torch.zeros(1, 3, 256)
        without[..., gone] = 0
        alone[..., gone] = image.flatten(2)[..., gone]
        deleted.append(read(net(without.view_as(image)).detach()).item())
        inserted.append(read(net(alone.view_as(image)).detach()).item())
    np.testing.assert_allclose(table["deletion_curve"], deleted, atol=1e-5)
    np.testing.assert_allclose(table["insertion_curve"], inserted, atol=1e-5)
    assert table["deletion"] == pytest.approx(area(deleted), abs=1e-5)
    assert table["deletion"] < table["deletion_random"]
    assert table["insertion"] > table["insertion_random"]


def test_an_output_of_unsaid_meaning_is_named() -> None:
    net, image = known([[100.0, -200.0]]), photograph()
    exp = rv.explain(net, image, layers="1")
    assert exp.target_names == [["output 0"]] and exp.targets == [[0]]
    assert exp.diagnose()["cause"].tolist() == ["unsaid output"]
    with pytest.raises(ValueError, match="target 1 of one output whose meaning nobody said; 0, th"):
        rv.explain(net, image, 1, layers="1")
    flat = nn.Sequential(*net, nn.Flatten(0))
    again = rv.explain(flat, image, layers="1")
    assert again.maps["grad_cam", "1"].equal(exp.maps["grad_cam", "1"])
    assert again.logits is not None and again.logits.shape == (1, 1)
    for method in ("cam", "ablation_cam", "score_cam"):
        one = rv.explain(flat, image, methods=method, layers="1", progress=False)
        assert one.maps[method, "1"].equal(
            rv.explain(net, image, methods=method, layers="1", progress=False).maps[method, "1"]
        )
    called = rv.explain(
        flat, image, lambda out: out, methods=["grad_cam", "ablation_cam"], layers="1"
    )
    assert called.maps["grad_cam", "1"].equal(exp.maps["grad_cam", "1"])
    assert "no gradient" not in called.diagnose()["cause"].tolist()


def test_values_have_names_and_units() -> None:
    net, image = known([[100.0, -200.0], [1.0, 1.0]]), photograph()
    about = preset(output="values", units="mm", classes=("height", "width"))
    with pytest.raises(ValueError, match="2 values and no target; .*: height, width"):
        rv.explain(net, image, layers="1", preset=about)
    exp = rv.explain(net, image, "width", layers="1", preset=about)
    assert exp.target_names == [["width"]] and exp.provenance["units"] == "mm"
    assert exp.evidence["top_probability"].isna().all()


def test_features_need_a_target_of_ones_own() -> None:
    net, image = known([[100.0, -200.0], [1.0, 1.0]]), photograph()
    with pytest.raises(ValueError, match="features, as the preset says .*Pass a function"):
        rv.explain(net, image, layers="1", preset=preset(output="none"))
    exp = rv.explain(
        net, image, lambda out: out.norm(dim=1), layers="1", preset=preset(output="none")
    )
    assert exp.provenance["output"] == "none"


# ---- several labels
LABELS = [[30.0, 0.0], [0.0, 20.0], [-5.0, -5.0]]


def test_a_multi_hot_tensor() -> None:
    net, images = known(LABELS), torch.cat([photograph(), photograph()])
    marks = torch.tensor([[1, 1, 0], [1, 0, 0]])
    labels = preset(output="labels", classes=("bright", "dark", "none"))
    for given in (marks, marks.float(), marks.bool(), marks.numpy()):
        exp = rv.explain(net, images, given, layers="1", preset=labels)
        assert exp.target_names == [["bright", "dark"], ["bright"]]
    with pytest.raises(ValueError, match="all 0 or 1, could be class indices or a mark for every"):
        rv.explain(net, images, marks, layers="1")
    with pytest.raises(ValueError, match="no target for image 1; at least one"):
        rv.explain(net, images, torch.tensor([[1, 1, 0], [0, 0, 0]]), layers="1", preset=labels)
    indices = rv.explain(net, images, torch.tensor([[0, 1], [1, 0]]), layers="1")
    assert indices.targets == [[0, 1], [1, 0]]


METHODS_OF_KINDS = ["grad_cam", "score_cam", "cam", "ablation_cam", "saliency", "eigen_cam"]


@pytest.mark.parametrize("method", METHODS_OF_KINDS)
def test_images_with_different_numbers_of_targets(method: str, tmp_path: Any) -> None:
    """A map for each target and none more; each the same as alone."""
    net, images = known(LABELS), torch.cat([photograph(), photograph(0.5)])
    labels = preset(output="labels")
    exp = rv.explain(
        net, images, [[0, 1], [1]], methods=method, layers="1", preset=labels, progress=False
    )
    (key,) = exp.maps
    assert [len(each) for each in exp.maps[key]] == [2, 1]
    for image, row in enumerate([[0, 1], [1]]):
        for column, target in enumerate(row):
            alone = rv.explain(
                net, images, target, methods=method, layers="1", preset=labels, progress=False
            )
            torch.testing.assert_close(exp.maps[key][image][column], alone.maps[key][image, 0])
    assert exp.targets == [[0, 1], [1]] and exp.scores.isnan().tolist() == [
        [False] * 2,
        [False, True],
    ]
    assert len(exp.to_frame()) == 3 and len(exp.evidence) == 3
    assert [len(each) for each in exp.upsampled(*key, (4, 4))] == [2, 1]
    assert "1 to 2 targets" in repr(exp)
    exp.save(tmp_path / "exp.resviz")
    again = rv.load_explanation(tmp_path / "exp.resviz")
    assert again.equals(exp) and again.maps[key][0].equal(exp.maps[key][0])


def test_of_different_numbers_of_targets_one_may_be_blank() -> None:
    """The columns that an image does not have are no blank maps."""
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 4),
    ).eval()
    nn.init.ones_(net[4].weight)
    with torch.no_grad():
        net[4].weight[3] = -1
    images = torch.rand(3, 3, 16, 16)
    with pytest.warns(UserWarning, match=r"image 1, target 'class 3' is zero.*\(and 1 more\)"):
        exp = rv.explain(net, images, [[0, 1], [3], [3]], layers="1")
    assert [len(one) for one in exp.maps["grad_cam", "1"]] == [2, 1, 1]
    assert len(exp.provenance["notes"]) == 2


def test_checks_and_figures_of_different_numbers_of_targets() -> None:
    net, images = known(LABELS), torch.cat([photograph(), photograph(0.5)])
    rv.set_preset(net, preset(output="labels", classes=("bright", "dark", "none")))
    exp = rv.explain(net, images, [["bright", "dark"], ["dark"]], layers="1")
    table = rv.faithfulness(net, images, exp, steps=3, progress=False)
    assert table["target"].tolist() == ["bright", "dark", "dark"]
    assert table["randomised"].notna().all()
    assert rv.plot_explanation(exp, 1).data
    view = rv.explore_explanation(exp)
    view.close()
    with pytest.raises(ValueError, match="split=True with different numbers of targets"):
        rv.explain(net, images, [[0, 1], [0]], layers="1", split=True)


# ---- one logit per pixel
class Dense(nn.Module):
    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.top = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.top(torch.relu(self.conv(x)))


def test_the_region_of_one_channel_is_the_foreground() -> None:
    net, image = Dense().eval(), torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        net.top.bias -= net(image).quantile(0.75)
    out = net(image).detach()
    for targets in (None, 0):
        exp = rv.explain(net, image, targets, layers="conv")
        assert float(exp.scores) == pytest.approx(float(out[out > 0].sum()), rel=1e-5)
    everywhere = rv.explain(net, image, rv.target(0, region="all"), layers="conv")
    assert float(everywhere.scores) == pytest.approx(float(out.sum()), rel=1e-5)
    with pytest.raises(ValueError, match="no position of image 0"), torch.no_grad():
        net.top.bias -= 100
        rv.explain(net, image, 0, layers="conv")


# ---- the part of what is returned
class Two(nn.Module):
    """(features, logits): the first is never believed."""

    def __init__(self) -> None:
        super().__init__()
        self.net = known([[30.0, 0.0], [0.0, 20.0]])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.net(x)
        return logits.repeat(1, 8) * -1, logits


def test_which_of_two_tensors_is_said_once() -> None:
    net, image = Two().eval(), photograph()
    names = ("bright", "dark")
    with pytest.raises(TypeError, match=r"returned a tuple of 2: \(1, 16\), \(1, 2\)"):
        rv.explain(net, image, layers="net.1", preset=preset(classes=names))
    about = preset(classes=names, logits=1)
    exp = rv.explain(net, image, methods=["grad_cam", "score_cam"], preset=about, progress=False)
    assert exp.target_names == [["bright"]] and exp.layers == ["net.1"]
    table = rv.faithfulness(net, image, exp, steps=3, preset=about, progress=False)
    assert table["score"][0] == pytest.approx(float(net(image)[1].detach().softmax(1)[0, 0]))


class _Squeezed(nn.Module):
    """One logit per position without the axis of channels."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.inside = net

    def forward(self, pictures: Tensor) -> Tensor:
        return self.inside(pictures).squeeze(1)


def test_one_logit_per_pixel_without_an_axis_of_channels() -> None:
    """(N, H, W) of images is what (N, 1, H, W) is: no row of pixels is taken for a class."""
    torch.manual_seed(0)
    whole = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.ReLU(), nn.Conv2d(4, 1, 3, 1, 1)).eval()
    about = preset(output="map", classes=("sky", "cat"))
    pictures, truth = torch.rand(2, 3, 6, 5), torch.rand(2, 6, 5).round().long()
    seen = []
    for net, layer in ((whole, "1"), (_Squeezed(whole).eval(), "inside.1")):
        rv.set_preset(net, about)
        exp = rv.explain(net, pictures, "cat", layers=layer)
        trust = rv.faithfulness(net, pictures, exp, checks=["deletion"], steps=3, progress=False)
        recs = [rv.record(net, pictures, targets) for targets in (None, truth)]
        seen.append(
            [
                torch.tensor(rv.predict(net, pictures)["share"]),
                torch.stack([rec.loss for rec in recs]),
                recs[0].logits,
                exp.maps["grad_cam", layer],
                exp.scores,
                torch.tensor(trust["deletion"]),
            ]
        )
        assert exp.target_names == [["cat"], ["cat"]] and recs[0].logits.shape == (2, 1, 6, 5)
    for one, other in zip(*seen, strict=True):
        assert torch.equal(one, other)


def test_the_input_tells_a_class_at_each_moment_from_a_logit_per_pixel() -> None:
    net = nn.Conv1d(3, 3, 3, 1, 1).eval()
    signal, about = torch.rand(2, 3, 7), preset(output="map")
    table = rv.predict(net, signal, preset=about)
    assert sorted(table["index"].unique()) == [0, 1, 2]
    assert rv.record(net, signal, torch.zeros(2, 7).long(), preset=about).logits.shape == (2, 3, 7)
    one = _Squeezed(nn.Conv1d(3, 1, 3, 1, 1)).eval()
    share = (one(signal) > 0).float().mean(1)
    assert rv.predict(one, signal, preset=about)["share"].tolist() == share.tolist()


def test_values_are_named_as_such_with_their_units() -> None:
    """In the record of the checks, in what is drawn of them, and where a map is blank."""
    net, image = known([[1.0, 0.0], [0.0, 1.0]]), photograph()
    rv.set_preset(net, preset(output="values", classes=("w", "h"), units="mm"))
    exp = rv.explain(net, image, "w", layers="1")
    table = rv.faithfulness(net, image, exp, checks=["deletion"], steps=3, progress=False)
    about = table.attrs["provenance"]
    assert (about["output"], about["units"], about["score"]) == ("values", "mm", "score")
    drawn = rv.plot_faithfulness(table).layout
    assert "output: values in mm" in drawn.title.text
    assert drawn.yaxis.title.text == "score (mm) of the target"
    rec = rv.record(net, image, [[1.0, 0.0]], keep=["1"])
    assert "output: values in mm" in rv.plot_feature_maps(rec, "1").layout.title.text
    with pytest.warns(rv.ResvizWarning, match="no position speaks for this value, only against"):
        rv.explain(net, image, rv.target("w") * -1, layers="1")
