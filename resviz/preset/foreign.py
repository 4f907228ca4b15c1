"""Presets of networks from timm and Hugging Face, read from what those carry; neither is imported.

timm's networks have a ``pretrained_cfg``; those of transformers a ``config`` that names the
outputs, and an image processor beside them, which says how images are wanted.
"""

from __future__ import annotations

import dataclasses
import math
import os
import sys
import weakref
from collections.abc import Mapping
from typing import Any

from torch import nn

from resviz.arguments import caller
from resviz.preset.definition import INTERPOLATIONS, Preset

_RESAMPLING = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers
_OUTPUTS = {
    "single_label_classification": "classes",
    "multi_label_classification": "labels",
    "regression": "values",
}
_SQUASHED = 384  # ConvNeXt's processor crops below this size, and squashes from it on


def foreign_preset(net: nn.Module, processor: Any = None, weights: str = "own") -> Preset | None:
    """What timm's or transformers' own settings amount to; None for any other network.

    Args:
        net: a network.
        processor: the image processor of transformers; None: the one beside the network's files,
            where they are on this machine.
        weights: whose they are.

    Raises:
        ValueError: settings that no preset has.
    """
    settings = getattr(net, "pretrained_cfg", None)
    if settings is not None and not isinstance(settings, nn.Module):
        return _of_timm(net, _as_mapping(settings), weights)
    config = getattr(net, "config", None)
    if isinstance(getattr(config, "id2label", None), Mapping):
        return _of_transformers(net, config, processor or _processor_of(net), weights)
    return None


def _as_mapping(settings: Any) -> Mapping[str, Any]:
    if isinstance(settings, Mapping):
        return settings
    if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
        return dataclasses.asdict(settings)
    found = settings.to_dict() if hasattr(settings, "to_dict") else vars(settings)
    return found if isinstance(found, Mapping) else {}


def _unknown(what: str) -> ValueError:
    return ValueError(
        f"{caller()}: {what}, which no preset has; settings that one has. Pass "
        "preset=rv.Preset(...), or store one with rv.set_preset(net, rv.Preset(...))."
    )


# ---- timm
def _of_timm(net: nn.Module, settings: Mapping[str, Any], weights: str) -> Preset:
    """As timm's own transforms for evaluation: ``timm.data.create_transform``."""
    parts = [settings.get("architecture") or type(net).__name__, settings.get("tag")]
    interpolation = str(settings.get("interpolation") or "bilinear")
    if interpolation not in INTERPOLATIONS:
        raise _unknown(f"pretrained_cfg with interpolation {interpolation!r}")
    _, height, width = settings["input_size"]
    return Preset(
        ".".join(str(part) for part in parts if part),
        weights,
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        resize=_timm_resize(settings, height, width),
        crop=(height, width),
        interpolation=interpolation,
        classes=_timm_classes(net, settings),
        output="classes" if getattr(net, "num_classes", settings.get("num_classes")) else "none",
    )


def _timm_resize(settings: Mapping[str, Any], height: int, width: int) -> int | tuple[int, int]:
    share = settings.get("crop_pct") or 0.875
    sizes = (math.floor(height / share), math.floor(width / share))
    mode = settings.get("crop_mode") or "center"
    if mode == "squash":
        return sizes
    if mode == "center" and height == width:
        return sizes[0]
    raise _unknown(f"pretrained_cfg with crop_mode {mode!r} to {height} x {width}")


def _timm_classes(net: nn.Module, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The names it carries, or ImageNet's; none for a head of another size."""
    count = getattr(net, "num_classes", settings.get("num_classes"))
    names = tuple(map(str, settings.get("label_names") or ()))
    if not names and "in1k" in str(settings.get("tag") or ""):
        import torchvision

        names = tuple(torchvision.models.ResNet50_Weights.IMAGENET1K_V2.meta["categories"])
    return names if len(names) == count else ()


# ---- transformers
def _of_transformers(net: nn.Module, config: Any, processor: Any, weights: str) -> Preset:
    kind = _transformers_output(net, config)
    names = [str(config.id2label[key]) for key in sorted(config.id2label, key=int)]
    numbered = names == [f"LABEL_{index}" for index in range(len(names))]
    wanted: dict[str, Any] = {"channels": getattr(config, "num_channels", None)}
    wanted |= {"crop": _both_of(getattr(config, "image_size", None))}
    if processor is not None:
        wanted |= _images_of(_as_mapping(processor))
    return Preset(
        _name_of(config) or type(net).__name__,
        weights,
        **wanted,
        classes=() if numbered or kind in ("none", "values") else tuple(names),
        output=kind,
    )


def _name_of(config: Any) -> str:
    """On the hub; of a folder its last part: where it lies is nobody's business in a record."""
    name = str(getattr(config, "name_or_path", "") or "")
    return os.path.basename(os.path.normpath(name)) if os.path.isdir(name) else name


def _transformers_output(net: nn.Module, config: Any) -> str:
    """As the losses of transformers take the outputs."""
    name = type(net).__name__
    task = name.partition("For")[2].removesuffix("WithTeacher")  # DeiT, LeViT
    if task.endswith("SemanticSegmentation"):
        return "map"
    bare = not task and name.endswith("Model")  # a backbone without a head: ViTModel
    if bare or (task and not task.endswith("Classification")):
        return "none"
    problem = getattr(config, "problem_type", None)
    if problem is None and len(config.id2label) == 1:
        return "values"
    return _OUTPUTS.get(str(problem), "classes")


def _images_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a preset that an image processor's settings amount to."""
    kind = str(settings.get("image_processor_type", "an image processor"))
    beyond = [name for name in _BEYOND if settings.get(name)]
    if beyond or kind.startswith("Perceiver"):
        raise _unknown(f"{kind} with {beyond[0] if beyond else 'a crop before its resize'}")
    factor = settings.get("rescale_factor", 1 / 255)
    if not settings.get("do_rescale", True) or abs(factor * 255 - 1) > 1e-6:
        raise _unknown(f"an image processor with rescale_factor {factor:g}")
    if settings.get("rescale_offset"):
        raise _unknown("an image processor with a rescale_offset")
    number = int(settings.get("resample", 2) if settings.get("do_resize", True) else 2)
    if number not in _RESAMPLING:
        raise _unknown(f"an image processor with resample {number}")
    known = settings.get("image_mean") is not None and settings.get("image_std") is not None
    scaled = settings.get("do_normalize", known)
    if scaled and not known:
        raise _unknown(f"{kind} that normalises, without image_mean")
    mean = tuple(settings["image_mean"]) if scaled else (0.0, 0.0, 0.0)
    std = tuple(settings["image_std"]) if scaled else (1.0, 1.0, 1.0)
    if scaled and kind.startswith("EfficientNet") and settings.get("include_top"):
        std = tuple(value * value for value in std)  # it divides twice
    resize, crop = _resize_of(settings)
    if kind.startswith("Levit") and isinstance(resize, int):
        resize = int(256 / 224 * resize)
    return {
        "mean": mean,
        "std": std,
        "channels": len(mean),
        "resize": resize,
        "crop": crop,
        "interpolation": _RESAMPLING[number],
    }


def _resize_of(
    settings: Mapping[str, Any],
) -> tuple[int | tuple[int, int] | None, tuple[int, int] | None]:
    crop = _both_of(settings["crop_size"]) if settings.get("do_center_crop") else None
    size = settings.get("size") or {}
    if not settings.get("do_resize", True):
        return None, crop
    both = _both_of(size)
    if both is not None:
        return both, crop
    short = int(size["shortest_edge"]) if isinstance(size, Mapping) else int(size)
    share = settings.get("crop_pct")
    if share is None:
        return short, crop
    if short >= _SQUASHED and crop is None:
        return (short, short), None
    return int(short / share), crop or (short, short)


def _both_of(size: Any) -> tuple[int, int] | None:
    if isinstance(size, Mapping):
        height, width = size.get("height"), size.get("width")
        return None if height is None or width is None else (int(height), int(width))
    if isinstance(size, tuple | list) and len(size) == 2:
        return int(size[0]), int(size[1])
    return (int(size), int(size)) if isinstance(size, int) else None


# what an image processor may do to pictures, and no preset can
_BEYOND = (
    *("do_flip_channel_order", "do_thumbnail", "do_align_long_axis", "do_pad", "size_divisor"),
)
_processors: weakref.WeakKeyDictionary[nn.Module, Any] = weakref.WeakKeyDictionary()


def _processor_of(net: nn.Module) -> Any:
    """The image processor beside the network's files; None where it is not on this machine."""
    transformers: Any = sys.modules.get("transformers")
    where = getattr(net, "name_or_path", "")
    if transformers is None or not where:
        return None
    if net not in _processors:
        try:
            load = transformers.AutoImageProcessor.from_pretrained
            _processors[net] = load(where, local_files_only=True)
        except (OSError, ValueError, KeyError, ImportError):
            _processors[net] = None
    return _processors[net]
