"""Tensors, tuples, dictionaries and lists: read alike, whatever the forward looks like."""

from collections import UserDict

import pytest
import torch
from torch import nn

import resviz as rv
from resviz.networks.inputs import check_images

X = torch.linspace(-1, 1, 2 * 3 * 8 * 8).view(2, 3, 8, 8)
ROW = torch.linspace(0, 1, 5)[None]
TABLE = ROW.repeat(2, 1)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return x + self.conv(x).relu()


class Both(nn.Module):
    """A picture and a table."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.block, self.head = Block(), nn.Linear(8, 4)

    def forward(self, image, table):
        return self.head(torch.cat([self.block(image).mean((2, 3)), table], 1))


class Named(Both):
    def forward(self, *, image, table):
        return super().forward(image, table)


class OneKeyword(Both):
    def forward(self, *, image):
        return super().forward(image, ROW.expand(len(image), 5))


class OfDictionary(Both):
    def forward(self, batch):
        return super().forward(batch["image"], batch["table"])


class OpenEnded(Both):
    def forward(self, **batch):
        return super().forward(batch["image"], batch["table"])


class OfList(Both):
    """As a detector: images of their own sizes."""

    def forward(self, images, targets=None):
        kept = [self.block(image[None]).mean((2, 3)) for image in images]
        return self.head(torch.cat([torch.cat(kept), ROW.expand(len(images), 5)], 1))


MAPPING = {"image": X, "table": TABLE}
WAYS = [
    (Both, (X, TABLE)),
    (Both, [X, TABLE]),
    (Both, MAPPING),
    (Both, {"table": TABLE, "image": X}),
    (Both, UserDict(MAPPING)),
    (Named, MAPPING),
    (OneKeyword, X),
    (OneKeyword, {"image": X}),
    (OfDictionary, MAPPING),
    (OpenEnded, MAPPING),
    (OfList, list(X)),
]
IDS = [f"{kind.__name__}-{type(images).__name__}{n}" for n, (kind, images) in enumerate(WAYS)]


@pytest.fixture(scope="module")
def expected():
    return rv.record(Both().eval(), (X, TABLE), keep=["block"])


@pytest.mark.parametrize(("kind", "images"), WAYS, ids=IDS)
def test_every_way_to_give_inputs_records_the_same(kind, images, expected):
    rec = rv.record(kind().eval(), images)
    torch.testing.assert_close(rec.logits, expected.logits)
    # of a list the network runs image by image: its first call is of the first image
    if kind is not OfList:
        one, other = (r.residuals["ratio"].tolist() for r in (rec, expected))
        assert one == pytest.approx(other)
        assert rec.provenance["input_shape"] == [2, 3, 8, 8]


@pytest.mark.parametrize(("kind", "images"), WAYS, ids=IDS)
def test_every_function_takes_them(kind, images):
    net = kind().eval()
    assert "block.conv" in rv.list_layers(net, images)["layer"].tolist()
    assert len(rv.residual_branches(net, images)) == (2 if kind is OfList else 1)
    assert len(rv.gradient_norms(net, images)) > 0
    before = rv.record(net, images, gradients=False).logits
    with rv.drop_blocks(net, "block", images=images):
        dropped = rv.record(net, images, gradients=False).logits
    assert not torch.equal(before, dropped)
    assert len(rv.lesion_study(net, images, progress=False)) == 2


METHODS = ["grad_cam", "score_cam", "ablation_cam", "occlusion", "saliency", "rise"]


@pytest.mark.parametrize(("kind", "images"), WAYS[:-1], ids=IDS[:-1])
@pytest.mark.thorough
def test_maps_are_the_same(kind, images):
    how = {"methods": METHODS, "layers": "block", "relu": False, "progress": False}
    how["options"] = {"rise": {"masks": 20}}
    exp = rv.explain(kind().eval(), images, 1, **how)
    reference = rv.explain(Both().eval(), (X, TABLE), 1, **how)
    for key, values in reference.maps.items():
        torch.testing.assert_close(exp.maps[key], values)
    table = rv.faithfulness(kind().eval(), images, exp, checks="deletion", steps=4, progress=False)
    assert len(table) == 2 * len(METHODS)


def test_maps_over_the_pixels_of_a_list():
    net, images = OfList().eval(), list(X)
    exp = rv.explain(net, images, 1, methods=["occlusion", "saliency"], progress=False)
    other = rv.explain(Both().eval(), (X, TABLE), 1, methods=["occlusion", "saliency"])
    assert exp.provenance["input_shape"] == [2, 3, 8, 8]
    for key, values in other.maps.items():
        torch.testing.assert_close(exp.maps[key], values)


def test_a_network_left_with_too_few_or_too_many():
    with pytest.raises(TypeError, match=r"record: 1 input, and Both takes image, table"):
        rv.record(Both(), X)
    with pytest.raises(TypeError, match=r"record: 3 inputs, and Both takes image, table"):
        rv.record(Both(), (X, TABLE, X))
    with pytest.raises(TypeError, match=r"record: 1 input, and Named takes image, table.*images="):
        rv.record(Named(), X)


def test_a_keyword_that_is_misspelled():
    with pytest.raises(TypeError, match=r"images\['tabel'\].*Closest: 'table'"):
        rv.record(Both(), {"image": X, "tabel": TABLE})
    with pytest.raises(TypeError, match=r"images\['picture'\], and OneKeyword takes image"):
        rv.record(OneKeyword(), {"picture": X})


def test_the_main_input_of_hugging_face_is_believed():
    net = Both()
    net.main_input_name = "table"
    assert check_images(net, MAPPING).main == 1
    assert check_images(Both(), MAPPING).main == 0


def test_a_list_for_a_network_of_tensors():
    with pytest.raises(TypeError, match=r"list_layers: images are a list.*torch.stack"):
        rv.list_layers(nn.Sequential(nn.Conv2d(3, 4, 3)), list(X))


class Detector(nn.Module):
    """No part of what it returns is known to be logits."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.block, self.last = Block(), nn.Conv2d(3, 4, 1)

    def forward(self, images, targets=None):
        found = self.last(self.block(torch.stack(images)))
        return [{"boxes": each.flatten(1).T, "scores": each.amax((0, 1))} for each in found]


def test_what_needs_no_logits():
    net, images = Detector().eval(), list(X)
    assert len(rv.list_layers(net, images)) == 3
    assert rv.record(net, images, gradients=False, keep="blocks").logits is None
    table = rv.branch_study(net, images, batch_size=1)
    other = rv.residual_branches(net, images)
    assert table["ratio"].tolist() == pytest.approx(other["ratio"].tolist())
    assert table["share"].notna().all()
    assert table["cos_gradient"].isna().all()
    assert table.attrs["loss"] is None
    assert len(rv.response_std(net, images)) == 2
    assert len(rv.refinement_study(net, images)) == 1
    assert len(rv.architecture(net, images)) == 2
    with rv.drop_blocks(net, "block", images=images):
        without = net(images)[0]["boxes"]
    torch.testing.assert_close(without, net.last(X[:1])[0].flatten(1).T)
    assert rv.explore_feature_maps(rv.record(net, images, gradients=False, keep="blocks"))


def test_a_loss_of_the_users_own_on_detections():
    def loudest(found, _):
        return torch.stack([each["scores"].amax() for each in found])

    rec = rv.record(Detector().eval(), list(X), loss=loudest)
    assert rec.residuals["grad_sum_rms"].notna().all()
    table = rv.branch_study(Detector().eval(), list(X), loss=loudest)
    assert table["cos_gradient"].notna().all()


class Tabled(nn.Module):
    """Pictures and rows of a table."""

    def __init__(self):
        super().__init__()
        self.conv, self.table = nn.Conv2d(3, 4, 3), nn.Linear(5, 4)
        self.head = nn.Linear(8, 3)

    def forward(self, pictures, rows):
        return self.head(torch.cat([self.conv(pictures).mean((2, 3)), self.table(rows)], 1))


@pytest.mark.parametrize("call", [rv.predict, rv.record, rv.explain, rv.lesion_study])
def test_as_many_rows_of_a_table_as_pictures(call):
    given = torch.rand(2, 3, 8, 8), torch.rand(3, 5)
    with pytest.raises(ValueError, match=r"^\w+: inputs (for \[2, 3\]|of 2 and 3) images; "):
        call(Tabled().eval(), given)


class Masked(nn.Module):
    """Attention with a mask (T, T)."""

    def __init__(self):
        super().__init__()
        self.embed, self.attention = nn.Linear(4, 8), nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x, mask):
        y = self.embed(x)
        return self.head((y + self.attention(y, y, y, attn_mask=mask)[0]).mean(1))


def test_a_mask_of_attention_is_for_all_images():
    torch.manual_seed(0)
    net, x, mask = Masked().eval(), torch.rand(2, 6, 4), torch.full((6, 6), -9.0).triu(1)
    how = {"layers": "embed", "relu": False, "reshape": lambda out: out.mT[:, :, None]}
    exp = rv.explain(net, (x, mask), 0, **how)
    ones = [rv.explain(net, (each[None], mask), 0, **how) for each in x]
    both = torch.cat([one.maps["grad_cam", "embed"] for one in ones])
    torch.testing.assert_close(exp.maps["grad_cam", "embed"], both)
    assert len(rv.predict(net, (x, mask), top=1)) == 2 and len(rv.record(net, (x, mask)).loss) == 2
