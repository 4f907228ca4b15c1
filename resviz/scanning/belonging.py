"""Whether a scan is of a network, or of the network of a recording."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from resviz.analysis.landscape.resumed import fingerprint
from resviz.arguments import caller
from resviz.recording.axes import channel_axis
from resviz.recording.recording import Recording
from resviz.scanning.scan import Scan


def marks_of(net: nn.Module) -> dict[str, str]:
    """SHA-256 of the architecture and of the weights, as ``scan.provenance["fingerprint"]`` has."""
    marks = fingerprint(net, [], torch.zeros(0))
    return {name: marks[name] for name in ("architecture", "weights")}


def check_network(scan: Scan, net: nn.Module) -> None:
    """Raise ValueError unless it is this network, with these weights, that was scanned."""
    known, own = scan.provenance.get("fingerprint") or {}, marks_of(net)
    differ = [name for name, mark in own.items() if known.get(name) != mark]
    if differ:
        what = "another network" if "architecture" in differ else "these layers with other weights"
        raise ValueError(
            f"{caller()}: a scan of {what}, {_named(scan)}; a scan of this "
            f"{type(net).__name__} as it is now would be right: rv.scan(net, dataset)."
        )


def check_recording(scan: Scan, rec: Recording) -> None:
    """Raise ValueError where a recording is of another network, as far as its names tell.

    A recording holds no weights: network and weights by name, and the channels of its layers.
    """
    names = [(of.provenance.get("network"), of.provenance.get("weights")) for of in (scan, rec)]
    if names[0] != names[1]:
        raise ValueError(
            f"{caller()}: a scan of {_named(scan)}, and a recording of {_named(rec)}; both of one "
            "network would be right: rv.scan(net, dataset), rv.record(net, images)."
        )
    channels = {site.key: site.channels for site in scan.plan.sites}
    common = 0
    for key, tensor in rec.tensors.items():
        layer = scanned_key(key)
        if layer not in channels:
            continue
        common += 1
        count = tensor.shape[channel_axis(tuple(tensor.shape), rec.axes.get(key, ""))]
        if count != channels[layer]:
            raise ValueError(
                f"{caller()}: {layer!r} has {channels[layer]} channels in the scan and {count} in "
                "the recording; both of one network would be right."
            )
    if not common:
        raise ValueError(
            f"{caller()}: a scan of {layers_in_words(scan)}, none of which the recording kept; "
            "one of them would be right: rv.record(net, images, keep='blocks')."
        )


def scanned_key(key: str) -> str:
    """The layer of a kept tensor as a scan names it: a first call without its number.

    Example:
        >>> scanned_key("layer1.0.relu#0"), scanned_key("layer1.0.relu#1")
        ('layer1.0.relu', 'layer1.0.relu#1')
    """
    return key.removesuffix("#0")


def layers_in_words(scan: Scan) -> str:
    """The layers of a scan: all of a few, else the ends.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> from resviz.scanning.scanning import scan as scanned
        >>> found = scanned(cifar_resnet(20, seed=0), torch.rand(2, 3, 32, 32), measures=["top"])
        >>> layers_in_words(found)
        'relu, layer1.0 ... layer3.2 (10 layers)'
    """
    keys = [site.key for site in scan.plan.sites]
    if len(keys) <= 4:
        return ", ".join(keys)
    return f"{keys[0]}, {keys[1]} ... {keys[-1]} ({len(keys)} layers)"


def _named(of: Any) -> str:
    about = of.provenance
    return f"{about.get('network', 'network')} ({about.get('weights', 'own')})"
