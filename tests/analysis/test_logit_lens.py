"""`logit_lens`: the head on each block's output, against running it there by hand."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.models import VisionTransformer

import resviz as rv
from left_as_found import assert_left_as_found
from resviz.analysis.logit_lens import lens_of, logit_lens
from resviz.networks.cifar import cifar_resnet

IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def own_logits(net: nn.Module, images: Any = IMAGES) -> Tensor:
    with torch.no_grad():
        return net.eval()(images)


def at_the_last(table: Any) -> Any:
    return table[table["block"] == table["block"].iloc[-1]]


def test_by_hand():
    net = cifar_resnet(20, seed=0)
    table = assert_left_as_found(net, lambda: logit_lens(net, IMAGES, [[1, 7], [2, 7], [3, 7]]))
    assert len(table) == 3 * 9 * 2
    assert (
        table["block"].tolist()[::2] == [f"layer{s}.{b}" for s in (1, 2, 3) for b in range(3)] * 3
    )
    kept = rv.record(net, IMAGES, gradients=False, keep=["layer3.0", "layer3.1"])
    for block in ("layer3.0", "layer3.1"):
        with torch.no_grad():
            logits = net.linear(kept[block].mean((2, 3)))
        sure = logits.softmax(1)
        for row in table[table["block"] == block].itertuples():
            assert row.reads and row.why == ""
            assert row.score == pytest.approx(float(logits[row.image, row.index]), abs=1e-5)
            assert row.probability == pytest.approx(float(sure[row.image, row.index]), abs=1e-6)
            assert row.label == f"class {int(sure[row.image].argmax())}"
            assert row.label_probability == pytest.approx(float(sure[row.image].max()), abs=1e-6)
    early = table[table["stage"] == "layer1"]
    assert not early["reads"].any() and early["probability"].isna().all()
    assert set(early["why"]) == {"16 channels; the head takes 64"}
    assert table.attrs["output"] == "classes" and "classes" not in table.attrs


def test_the_last_block_says_what_the_network_says():
    net = cifar_resnet(14, seed=1)
    logits = own_logits(net)
    last = at_the_last(logit_lens(net, IMAGES))
    assert last["index"].tolist() == logits.argmax(1).tolist()
    assert last["score"].tolist() == logits.max(1).values.tolist()
    assert last["probability"].tolist() == logits.softmax(1).max(1).values.tolist()
    assert (last["probability"] == last["label_probability"]).all()
    assert last["label"].tolist() == last["target"].tolist()


def test_a_transformer_is_read_at_every_block():
    torch.manual_seed(0)
    net = VisionTransformer(32, 8, 4, 2, 16, 32, num_classes=5).eval()
    nn.init.normal_(net.heads.head.weight)
    table = assert_left_as_found(net, lambda: logit_lens(net, IMAGES))
    assert table["reads"].all() and len(table) == 3 * 4
    first = rv.record(net, IMAGES, gradients=False, keep=["encoder.layers.encoder_layer_0"])
    with torch.no_grad():
        tokens = net.encoder.ln(first["encoder.layers.encoder_layer_0"])
        logits = net.heads(tokens[:, 0])
    found = table[table["block"] == "encoder.layers.encoder_layer_0"]
    for row in found.itertuples():
        assert row.score == pytest.approx(float(logits[row.image, row.index]), abs=1e-5)


class Bare(nn.Module):
    """Two residual blocks and a head that looks at more than the last of them."""

    def __init__(self, head: nn.Module, outputs: str = "tensor") -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.one, self.two = Block(), Block()
        self.head, self.outputs = head, outputs

    def forward(self, x: Tensor) -> Any:
        stem = self.stem(x)
        pooled = self.two(self.one(stem)).mean((2, 3))
        if self.outputs == "beside":  # takes no other number of images than came in
            pooled = pooled + stem.mean((2, 3))
        if self.outputs == "over the batch":
            pooled = pooled / pooled.norm()
        logits = self.head(pooled)
        return {"logits": logits} if self.outputs == "dictionary" else logits


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x).relu()


@pytest.mark.parametrize("outputs", ["tensor", "beside", "over the batch", "dictionary"])
def test_the_rest_of_the_network_as_it_is(outputs: str):
    torch.manual_seed(0)
    net = Bare(nn.Linear(8, 4), outputs)
    table = logit_lens(net, IMAGES, 2)
    assert table["block"].tolist() == ["one", "two"] * 3 and table["reads"].all()

    def logits_of(changed: nn.Module) -> Tensor:
        output = own_logits(changed)
        return output["logits"] if isinstance(output, dict) else output

    whole = logits_of(net)
    with rv.drop_blocks(net, ["two"], images=IMAGES):
        without = logits_of(net)
    scores = torch.tensor(table["score"].tolist()).reshape(3, 2)
    torch.testing.assert_close(scores, torch.stack([without[:, 2], whole[:, 2]], 1))
    one = assert_left_as_found(net, lambda: logit_lens(net, IMAGES[:1], 2))
    if outputs != "over the batch":
        assert one["score"].tolist() == pytest.approx(scores[0].tolist(), rel=1e-5)
    assert one["reads"].all()


def test_of_one_image_the_second_pass_begins_at_the_last_block():
    net = cifar_resnet(20, seed=0)
    ran: list[int] = []
    handle = net.layer1[0].conv1.register_forward_hook(lambda *_: ran.append(1))
    rec = rv.record(net, IMAGES[:1], gradients=False)
    ran.clear()
    table = lens_of(net, IMAGES[:1], 3, rec=rec)
    handle.remove()
    assert len(ran) == 1
    assert table.equals(logit_lens(net, IMAGES[:1], 3))
    several = logit_lens(net, IMAGES, 3).query("image == 0")
    assert table["score"].tolist() == pytest.approx(
        several["score"].tolist(), rel=1e-5, nan_ok=True
    )


def test_blocks_are_those_of_a_recording():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(7200, 5))
    vit = VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5).eval()
    for net in (plain, vit, rv.plain_twin(cifar_resnet(8, seed=0), images=IMAGES)):
        rec = rv.record(net, IMAGES, gradients=False)
        assert lens_of(net, IMAGES, 3, rec=rec).equals(logit_lens(net, IMAGES, 3))


@pytest.mark.parametrize(
    ("outputs", "preset", "column", "labels"),
    [
        (1, {"output": "logit", "classes": ("cat", "dog")}, "probability", {"cat", "dog"}),
        (3, {"output": "labels"}, "probability", {"label 0", "label 1", "label 2"}),
        (1, {"output": "values", "units": "years"}, "value", {""}),
    ],
    ids=["logit", "labels", "values"],
)
def test_what_an_output_means(outputs: int, preset: dict[str, Any], column: str, labels: set[str]):
    torch.manual_seed(0)
    net = Bare(nn.Linear(8, outputs))
    known = rv.Preset(channels=3, name="own", mean=(0.5,) * 3, std=(0.5,) * 3, **preset)
    table = logit_lens(net, IMAGES, preset=known)
    own = rv.predict(net, IMAGES, top=1, preset=known)
    assert at_the_last(table)[column].tolist() == own[column].tolist()
    assert set(table["label"]) <= labels
    assert table.attrs["output"] == preset["output"]


def test_labels_that_are_equal_by_rounding():
    net = Bare(nn.Linear(8, 3))
    with torch.no_grad():
        net.head.bias.copy_(torch.tensor([30.0, 60, 40]))
    labels = rv.Preset("own", "own", (0.5,) * 3, (0.5,) * 3, output="labels")
    table = logit_lens(net, IMAGES, preset=labels)
    assert set(table["label"]) == {"label 1"} and set(table["index"]) == {1}


def test_a_function_as_target():
    net = cifar_resnet(8, seed=0)
    table = logit_lens(net, IMAGES, lambda output: output[:, 1] - output[:, 0])
    logits = own_logits(net)
    assert at_the_last(table)["score"].tolist() == (logits[:, 1] - logits[:, 0]).tolist()
    assert (table["index"] == -1).all() and table["probability"].isna().all()


def test_images_with_different_numbers_of_targets():
    net = cifar_resnet(8, seed=0)
    table = logit_lens(net, IMAGES, [[1, 2], [3], [4, 5]])
    assert table.query("image == 1")["index"].tolist() == [3, 3, 3]
    assert table["index"].tolist()[:6] == [1, 2] * 3
    logits = own_logits(net)
    wanted = [float(logits[n, c]) for n, c in ((0, 1), (0, 2), (1, 3), (2, 4), (2, 5))]
    assert at_the_last(table)["score"].tolist() == wanted


def test_without_residual_blocks():
    torch.manual_seed(0)
    plain = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(8 * 64, 5)),
    )
    table = logit_lens(plain, IMAGES)
    assert table["block"].tolist()[:2] == ["1", "4"] and table["reads"].tolist()[:2] == [
        False,
        True,
    ]
    assert table["why"].iloc[0] == "32 x 32 positions; the head takes 16 x 16"
    assert at_the_last(table)["score"].tolist() == own_logits(plain).max(1).values.tolist()
    twin = rv.plain_twin(cifar_resnet(8, seed=0), images=IMAGES)
    assert logit_lens(twin, IMAGES)["block"].tolist()[:3] == ["layer1.0", "layer2.0", "layer3.0"]


class Adds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x).relu()


def test_blocks_are_not_mixed_by_a_norm_without_statistics():
    """Behind the blocks; around 250,000 the scores hardly tell that other blocks were in them."""
    torch.manual_seed(0)
    norm, head = nn.BatchNorm2d(8, track_running_stats=False), nn.Linear(8, 1)
    nn.init.constant_(head.bias, 250_000.0)
    blocks, after = [Adds(), Adds(), Adds()], [norm, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head]
    net = nn.Sequential(nn.Conv2d(3, 8, 3), *blocks, *after).double().eval()
    preset = rv.Preset("price", classes=("price",), output="values", channels=3)
    images = IMAGES.double()
    table = logit_lens(net, images, 0, preset=preset)
    x = net[0](images)
    for number, block in enumerate(blocks, 1):
        x = block(x)
        wanted = nn.Sequential(*after)(x)[:, 0].tolist()
        found = table.loc[table["block"] == str(number), "score"].tolist()
        assert found == pytest.approx(wanted, rel=1e-12)


def test_nothing_before_the_head():
    with pytest.raises(ValueError, match="^logit_lens: no blocks or stages in Sequential; "):
        logit_lens(nn.Sequential(nn.Flatten(), nn.Linear(3072, 4)), IMAGES)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("resnet18", 2),
        ("resnext50_32x4d", 3),
        ("vit_b_16", 12),
        ("swin_t", 2),
        ("convnext_tiny", 3),
        ("densenet121", 1),
        ("vgg11", 1),
        ("mobilenet_v2", 2),
    ],
)
def test_torchvision(name: str, read: int):
    torch.manual_seed(0)
    net = getattr(models, name)(weights=None).eval()
    images = torch.randn(2, 3, 224, 224)
    table = assert_left_as_found(net, lambda: logit_lens(net, images, 7))
    assert table["reads"].sum() == 2 * read
    assert at_the_last(table)["score"].tolist() == own_logits(net, images)[:, 7].tolist()


@pytest.mark.thorough
def test_a_trained_network_grows_sure(testdata_module: ModuleType):
    net, normalise = testdata_module.cifar_net("resnet56")
    images = normalise(testdata_module.cifar_images()[0][:32])
    read = logit_lens(net, images).query("reads").groupby("block", sort=False)["probability"].mean()
    assert len(read) == 9 and read.iloc[-1] > 0.9 > 2 * read.iloc[0]
