"""The preset of a network: stored on it, asked for, checked against what it takes."""

from __future__ import annotations

from torch import nn

from resviz.arguments import caller, public, switch
from resviz.preset.definition import Preset
from resviz.preset.foreign import foreign_preset
from resviz.torch_private import AnyConvolution


@public
def preset_of(net: nn.Module, *, processor: object = None) -> Preset:
    """How this network wants its images, as `load_model` or `set_preset` stored it.

    A network of timm or of Hugging Face's transformers that you made yourself is asked for its own
    settings: ``pretrained_cfg``; ``config`` and the image processor. Whose weights it has they do
    not say ("own").

    Args:
        net: any network; one wrapped by DataParallel is asked inside.
        processor: the image processor of a network of transformers. None: the one beside its files,
            where those are on this machine; else the preset names the outputs alone.

    Raises:
        TypeError: `net` is no network.
        ValueError: the network has no preset, or settings of its own that no preset has.

    Example:
        >>> net = nn.Conv2d(3, 8, 3)
        >>> mean, std = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
        >>> set_preset(net, Preset("mine", "random", mean, std, resize=64, crop=64))
        >>> preset_of(net).name
        'mine'
    """
    check_network(net)
    inside = getattr(net, "module", None)
    networks = [net, inside] if isinstance(inside, nn.Module) else [net]
    for each in networks:
        preset = getattr(each, "resviz_preset", None)
        if isinstance(preset, Preset) and processor is None:
            return preset
    for each in networks:
        found = foreign_preset(each, processor)
        if found is not None:
            check_channels(each, found)
            return found
    raise ValueError(
        f"{caller()}: {type(net).__name__} has no preset; resviz does not guess how a network "
        "wants its images. Pass preset=rv.Preset(...), or store one once with "
        "rv.set_preset(net, rv.Preset(...))."
    )


@public
def set_preset(net: nn.Module, preset: Preset, *, check: bool = True) -> None:
    """Store on a network of your own how it wants its images, where every function finds it.

    It is kept as the attribute `resviz_preset`, which copies of the network carry along.

    Args:
        net: any network.
        preset: see :class:`Preset`.
        check: False for a network that makes its own channels of the preset's: grey that it repeats
            for a first convolution of three.

    Raises:
        TypeError: `net` is no network or `preset` no preset.
        ValueError: no convolution of the network takes as many channels as the preset says.

    Example:
        >>> mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        >>> set_preset(nn.Conv2d(3, 8, 3), Preset("mine", "random", mean, std, resize=64, crop=64))
    """
    check_network(net)
    check_preset(preset)
    if switch("check", check):
        check_channels(net, preset)
    net.resviz_preset = preset  # type: ignore[assignment]


def check_channels(net: nn.Module, preset: Preset) -> None:
    """Raise ValueError, where images as the preset says cannot be what the network takes.

    That is certain where no convolution takes as many channels, nor the first one those of a square
    of pixels, which some stems put into one. A network without convolutions may take anything.
    """
    if not preset.channels:
        return
    taken = [m.in_channels for m in net.modules() if isinstance(m, AnyConvolution)]
    if not taken or 0 in taken:  # 0: a lazy one, which will see
        return
    squares = [preset.channels * side**2 for side in (2, 4, 8)]
    if preset.channels not in taken and taken[0] not in squares:
        raise ValueError(
            f"{caller()}: preset {preset.name!r} is of {_count(preset.channels)}, and the first "
            f"convolution of this {type(net).__name__} takes {taken[0]}; as many mean and std as "
            f"the network has channels. Preset(channels={taken[0]}, ...), or, where the network "
            "makes its own channels, rv.set_preset(net, preset, check=False)."
        )


def _count(channels: int) -> str:
    return f"{channels} channel" + "s" * (channels > 1)


def check_network(net: object) -> None:
    """Raise TypeError, where `net` is no network."""
    if not isinstance(net, nn.Module):
        raise TypeError(
            f"{caller()}: a network of type {type(net).__name__}; an nn.Module. "
            "rv.load_model(name) makes one from a name."
        )


def check_preset(preset: object) -> None:
    """Raise TypeError, where `preset` is no preset."""
    if not isinstance(preset, Preset):
        raise TypeError(f"{caller()}: a preset of type {type(preset).__name__}; an rv.Preset.")


def check_scale(preset: Preset) -> None:
    """Raise ValueError, where nobody knows how pixels are scaled."""
    if not preset.mean:
        raise ValueError(
            f"{caller()}: preset {preset.name!r} does not say how pixels are scaled; mean and std, "
            "and the size. rv.Preset(..., mean=..., std=...) says it; so does the image processor "
            "of a network of transformers: rv.preset_of(net, processor=...)."
        )
