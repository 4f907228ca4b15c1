"""Presets of networks from timm and transformers: stand-ins with the same attributes, then both."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import resviz as rv
from resviz.preset.foreign import _images_of

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CFG = {
    "architecture": "resnet50",
    "tag": "a1_in1k",
    "input_size": (3, 224, 224),
    "interpolation": "bicubic",
    "crop_pct": 0.95,
    "crop_mode": "center",
    "mean": MEAN,
    "std": STD,
    "num_classes": 1000,
}


class Net(nn.Module):
    """A network with whatever attributes its library would give it."""

    def __init__(self, channels: int = 3, **attributes: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3)
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).mean((2, 3))


def timm_net(channels: int = 3, num_classes: int = 1000, **changes: Any) -> Net:
    return Net(channels, pretrained_cfg=CFG | changes, num_classes=num_classes)


# ---- timm


def test_pretrained_cfg() -> None:
    preset = rv.preset_of(timm_net())
    assert (preset.name, preset.weights, preset.output) == ("resnet50.a1_in1k", "own", "classes")
    assert (preset.mean, preset.std, preset.channels) == (MEAN, STD, 3)
    assert (preset.resize, preset.crop) == (235, (224, 224))  # floor(224 / 0.95)
    assert preset.interpolation == "bicubic"
    assert len(preset.classes) == 1000 and preset.classes[281] == "tabby"


def test_pretrained_cfg_as_an_object() -> None:
    net = timm_net()
    expected = rv.preset_of(net)
    net.pretrained_cfg = SimpleNamespace(**CFG)  # type: ignore[assignment]
    assert rv.preset_of(net) == expected
    assert rv.preset_of(nn.DataParallel(net)) == expected


@pytest.mark.parametrize(
    ("changes", "resize", "crop"),
    [
        ({"crop_pct": 1.0, "input_size": (3, 96, 96)}, 96, (96, 96)),
        ({"crop_pct": None}, 256, (224, 224)),
        (
            {"crop_mode": "squash", "input_size": (3, 80, 160), "crop_pct": 0.8},
            (100, 200),
            (80, 160),
        ),
    ],
)
def test_sizes_of_pretrained_cfg(changes: dict[str, Any], resize: Any, crop: Any) -> None:
    preset = rv.preset_of(timm_net(**changes))
    assert (preset.resize, preset.crop) == (resize, crop)


@pytest.mark.parametrize(
    "changes",
    [{"crop_mode": "border"}, {"input_size": (3, 80, 160)}, {"interpolation": "lanczos"}],
)
def test_settings_that_no_preset_has_are_refused(changes: dict[str, Any]) -> None:
    net = timm_net(**changes)
    with pytest.raises(
        ValueError, match=r"^preset_of: pretrained_cfg with .*which no preset has; "
    ):
        rv.preset_of(net)
    assert rv.record(net, torch.zeros(1, 3, 8, 8)).pictures is None


def test_another_head_or_other_weights_have_no_names() -> None:
    assert rv.preset_of(timm_net(num_classes=5)).classes == ()
    assert rv.preset_of(timm_net(tag="laion2b")).classes == ()
    assert rv.preset_of(timm_net(num_classes=0)).output == "none"
    names = ("cat", "dog")
    assert rv.preset_of(timm_net(num_classes=2, label_names=names)).classes == names


def test_other_channels_than_pretrained_cfg_are_refused() -> None:
    with pytest.raises(ValueError, match=r"is of 3 channels, and the first .* takes 1"):
        rv.preset_of(timm_net(1))


def test_a_preset_of_ones_own_comes_first() -> None:
    net, own = timm_net(), rv.Preset("mine", "own", 0.5, 0.5, channels=3)
    rv.set_preset(net, own)
    assert rv.preset_of(net) == own


# ---- transformers

NAMES = {0: "cat", 1: "dog", 2: "owl"}
PROCESSOR = {
    "do_resize": True,
    "size": {"shortest_edge": 256},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": list(MEAN),
    "image_std": list(STD),
}


def hf_net(**config: Any) -> Net:
    fields = {"id2label": NAMES, "problem_type": None, "num_channels": 3, "name_or_path": ""}
    return Net(config=SimpleNamespace(**fields | config))


def processor(**changes: Any) -> SimpleNamespace:
    return SimpleNamespace(**PROCESSOR | changes)


def test_config_and_processor() -> None:
    preset = rv.preset_of(hf_net(name_or_path="a/b"), processor=processor())
    assert (preset.name, preset.weights, preset.output) == ("a/b", "own", "classes")
    assert (preset.mean, preset.std, preset.channels) == (MEAN, STD, 3)
    assert (preset.resize, preset.crop, preset.interpolation) == (256, (224, 224), "bicubic")
    assert preset.classes == ("cat", "dog", "owl")


@pytest.mark.parametrize(
    ("config", "output", "classes"),
    [
        ({"problem_type": "single_label_classification"}, "classes", tuple(NAMES.values())),
        ({"problem_type": "multi_label_classification"}, "labels", tuple(NAMES.values())),
        ({"problem_type": "regression"}, "values", ()),
        ({"id2label": {0: "age"}}, "values", ()),
        ({"id2label": {"1": "b", "0": "a", "10": "k"}}, "classes", ("a", "b", "k")),
        ({"id2label": {0: "LABEL_0", 1: "LABEL_1"}}, "classes", ()),
    ],
)
def test_what_the_config_says_of_outputs(
    config: dict[str, Any], output: str, classes: tuple[str, ...]
) -> None:
    preset = rv.preset_of(hf_net(**config))
    assert (preset.output, preset.classes) == (output, classes)


@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("ViTModel", "none"),
        ("MaskFormerModel", "none"),
        ("BertForMaskedLM", "none"),
        ("PoolFormerForImageClassification", "classes"),
        ("DeiTForImageClassificationWithTeacher", "classes"),
        ("SegformerForSemanticSegmentation", "map"),
        ("OneOfMyOwn", "classes"),
    ],
)
def test_the_task_in_a_name_says_what_comes_out(name: str, output: str) -> None:
    net = type(name, (Net,), {})(config=hf_net().config)
    preset = rv.preset_of(net)
    assert preset.output == output


def test_the_size_that_a_config_knows_is_the_size_of_images() -> None:
    assert rv.preset_of(hf_net(image_size=64)).crop == (64, 64)
    assert rv.preset_of(hf_net(image_size=[32, 64])).crop == (32, 64)
    assert rv.preset_of(hf_net(image_size=64), processor=processor()).crop == (224, 224)


def test_without_a_processor_the_outputs_have_names_and_images_are_not_guessed() -> None:
    net = hf_net()
    preset = rv.preset_of(net)
    assert (preset.mean, preset.std, preset.channels, preset.resize) == ((), (), 3, None)
    with pytest.raises(ValueError, match=r"^load_images: .*does not say how pixels are scaled; "):
        rv.load_images(np.zeros((8, 8, 3), np.uint8), net)
    with pytest.raises(ValueError, match=r"^to_pictures: .*does not say how pixels are scaled; "):
        rv.images.to_pictures(torch.zeros(1, 3, 8, 8), preset)
    assert rv.record(net, torch.zeros(1, 3, 8, 8)).pictures is None


@pytest.mark.parametrize(
    ("changes", "resize", "crop"),
    [
        ({"do_center_crop": False, "size": {"height": 80, "width": 90}}, (80, 90), None),
        ({"size": {"height": 256, "width": 256}}, (256, 256), (224, 224)),
        ({"size": 200, "crop_size": 180}, (200, 200), (180, 180)),
        ({"do_resize": False}, None, (224, 224)),
        ({"do_resize": False, "do_center_crop": False}, None, None),
        (  # as ConvNeXt's and Microsoft's ResNet's
            {"do_center_crop": False, "size": {"shortest_edge": 224}, "crop_pct": 0.875},
            256,
            (224, 224),
        ),
        (
            {"do_center_crop": False, "size": {"shortest_edge": 384}, "crop_pct": 0.875},
            (384, 384),
            None,
        ),
    ],
)
def test_sizes_of_processors(changes: dict[str, Any], resize: Any, crop: Any) -> None:
    preset = rv.preset_of(hf_net(), processor=processor(**changes))
    assert (preset.resize, preset.crop) == (resize, crop)


def test_a_processor_that_does_not_normalise() -> None:
    preset = rv.preset_of(hf_net(), processor=processor(do_normalize=False))
    assert (preset.mean, preset.std) == ((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize(
    "changes",
    [
        {"rescale_factor": 1 / 127.5},
        {"do_rescale": False},
        {"rescale_offset": True},
        {"resample": 1},
    ],
)
def test_processors_that_no_preset_has_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^preset_of: an image processor with .*; "):
        rv.preset_of(hf_net(), processor=processor(**changes))


def test_networks_with_a_config_of_something_else() -> None:
    with pytest.raises(ValueError, match="has no preset"):
        rv.preset_of(Net(config={"lr": 0.1}))


# ---- the libraries themselves


@pytest.fixture
def picture() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((400, 300), Image.Resampling.BICUBIC)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["resnet18.a1_in1k", "vit_tiny_patch16_224.augreg_in21k_ft_in1k"])
def test_images_of_timms_own_transforms(name: str, picture: Image.Image) -> None:
    timm = pytest.importorskip("timm")
    net = timm.create_model(name).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(net))
    images = rv.load_images(picture, net)
    torch.testing.assert_close(images[0], transform(picture), rtol=0, atol=1e-6)
    preset = rv.preset_of(net)
    assert preset.classes[281] == "tabby" and preset.name == name


@pytest.mark.parametrize("kind", ["ConvNext", "ViT", "DeiT"])
def test_images_of_transformers_own_processors(kind: str, picture: Image.Image) -> None:
    transformers = pytest.importorskip("transformers")
    maker = getattr(transformers, f"{kind}ImageProcessor", None)
    if maker is None:
        pytest.skip(f"no {kind} in this version")
    size = {"size": {"shortest_edge": 224}} if kind == "ConvNext" else {}
    made = maker(**size)
    config = transformers.ResNetConfig(num_labels=3, depths=[1, 1], hidden_sizes=[8, 16])
    net = transformers.ResNetForImageClassification(config).eval()
    preset = rv.preset_of(net, processor=made)
    images = rv.load_images(picture, net, preset=preset)
    theirs = torch.as_tensor(made(picture, return_tensors="pt")["pixel_values"])
    assert images.shape == theirs.shape
    # theirs resizes tensors, or rounds elsewhere
    assert (images - theirs).abs().max() < 6 / 255 / min(preset.std)
    assert net(images).logits.shape == (1, 3)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("MobileViTImageProcessor", {"do_flip_channel_order": True}),
        ("DonutImageProcessor", {"do_thumbnail": True}),
        ("Swin2SRImageProcessor", {"do_pad": True}),
        ("TextNetImageProcessor", {"size_divisor": 32}),
        ("PerceiverImageProcessor", {"crop_size": {"height": 256, "width": 256}}),
    ],
)
def test_processors_that_do_what_no_preset_can(kind: str, more: dict[str, Any]) -> None:
    settings = {"image_processor_type": kind, "size": {"height": 8, "width": 8}} | more
    with pytest.raises(ValueError, match=kind):
        _images_of(settings | {"image_mean": [0.5] * 3, "image_std": [0.5] * 3})


def test_processors_with_ways_of_their_own() -> None:
    about = {"image_mean": [0.4] * 3, "image_std": [0.5] * 3}
    twice = {"image_processor_type": "EfficientNetImageProcessor", "include_top": True} | about
    assert _images_of(twice | {"size": {"height": 8, "width": 8}})["std"] == (0.25,) * 3
    levit = {"image_processor_type": "LevitImageProcessorPil", "size": {"shortest_edge": 224}}
    assert _images_of(levit | about)["resize"] == 256
    plain = _images_of({"size": {"height": 8, "width": 8}})  # nothing to normalise by
    assert plain["mean"] == (0.0,) * 3 and plain["std"] == (1.0,) * 3
    with pytest.raises(ValueError, match="without image_mean"):
        _images_of({"do_normalize": True, "size": {"height": 8, "width": 8}})
