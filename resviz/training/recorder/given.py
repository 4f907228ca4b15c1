"""What a loop gives its recorder, checked: the network, its optimisers, a gradient scaler."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from resviz.arguments import caller
from resviz.networks.inputs import check_hookable
from resviz.training.recorder.updates import has_any


def unwrapped(net: nn.Module) -> nn.Module:
    """The network itself, without a DistributedDataParallel around it.

    Raises:
        NotTraceable: hooks do not fire in it.
        ValueError: a DataParallel; a part of a network.
    """
    check_hookable(net)
    if isinstance(net, nn.DataParallel):
        raise ValueError(
            f"{caller()}: a DataParallel, whose copies of the network last for one pass; "
            "DistributedDataParallel, or the network alone, would be right."
        )
    if isinstance(net, nn.parallel.DistributedDataParallel):
        net = net.module
    check_whole(net)
    return net


def check_whole(net: nn.Module) -> None:
    """Refuse a network of which this process holds a part."""
    wrapped = any(type(m).__name__ == "FullyShardedDataParallel" for m in net.modules())
    parted = next((n for n, p in net.named_parameters() if hasattr(p, "to_local")), None)
    if wrapped or parted is not None:
        what = f"parameter {parted!r} is a DTensor" if parted is not None else "FSDP"
        raise ValueError(
            f"{caller()}: {what}, of which this process holds a part, whose norms are not "
            "those of the whole; DistributedDataParallel would be right."
        )


def checked_optimizers(optimizer: Any, net: nn.Module) -> tuple[torch.optim.Optimizer, ...]:
    """The optimisers, or an error where one is none or of another network."""
    if optimizer is None:
        return ()
    several = isinstance(optimizer, list | tuple)
    optimizers = tuple(optimizer) if several else (optimizer,)
    for each in optimizers:
        if not isinstance(each, torch.optim.Optimizer):
            raise TypeError(
                f"{caller()}: the optimizer is a {type(each).__name__}; a "
                "torch.optim.Optimizer, or a list of those, would be right."
            )
        if not has_any(each, list(net.parameters())):
            raise ValueError(
                f"{caller()}: the optimizer has none of the network's parameters; the one that "
                "trains it would be right. Was the network moved or copied after it was made?"
            )
    return optimizers


def checked_scaler(scaler: Any, optimizer: object) -> Any | None:
    """The scaler where it is in use, or an error where it is none."""
    if scaler is None:
        return None
    if not (hasattr(scaler, "get_scale") and hasattr(scaler, "is_enabled")):
        raise TypeError(
            f"{caller()}: the scaler is a {type(scaler).__name__}; a torch.amp.GradScaler "
            "would be right."
        )
    if not scaler.is_enabled():
        return None
    if optimizer is None:
        raise ValueError(
            f"{caller()}: a scaler without its optimizer; both would be right, for the scaler "
            "decides whether the optimizer makes a step."
        )
    return scaler
