"""`explore`: a network, block by block, with what it makes of one photograph, on one screen."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from resviz.arguments import public
from resviz.images import load_images
from resviz.images.loading import each_in
from resviz.networks.inputs import check_images
from resviz.preset import check_network
from resviz.scanning import belonging
from resviz.views.figures.scanned import check_scan
from resviz.views.widgets.host import Host
from resviz.views.widgets.originals import Source, sources
from resviz.views.widgets.screen.view import ExploreView
from resviz.views.widgets.strongest import Strongest

if TYPE_CHECKING:
    from resviz.given import Images, Network
    from resviz.images.loading import Sources
    from resviz.preset import Preset
    from resviz.scanning.scan import Scan

_CALLER = "explore"


@public
def explore(
    net: Network,
    images: Images | Sources,
    *,
    preset: Preset | None = None,
    names: Sequence[str] | None = None,
    scan: Scan | None = None,
) -> Host[ExploreView]:
    """Look into a network on one screen: one photograph, one class, one cursor over depth.

    Across the top the network, block by block, with its shortcuts as arcs, a quantity along depth,
    and the class as the blocks so far see it (:func:`logit_lens`). Below the photograph with the
    map of the class; the block under the cursor as shortcut + branch = sum; its strongest channels.
    The branch of a block can be cut out (:func:`drop_blocks`), and everything follows. Photographs
    can be added from the disk. The network itself is left as it was: what takes longer runs on a
    copy, says how far it is, and can be stopped. The parts with more room:
    :func:`explore_gradients`, :func:`explore_explanation`, :func:`explore_residuals`,
    :func:`explore_feature_maps`.

    The gradients are of the logit of the chosen class, for the chosen photograph alone.

    Args:
        net: a network whose output means something (see :class:`Preset`): classes, labels, a logit,
            values (the first until another is chosen), a map. For features and detections there
            is :func:`explore_feature_maps`.
        images: as :func:`record` takes them; or what :func:`load_images` takes: files, a
            folder, PIL images; in a list each may have its own size. Of files and PIL images maps
            can be seen over the whole photograph.
        preset: names of classes and scale of the pictures, instead of the network's own.
        names: of the photographs; file names, or "image 0" and so on.
        scan: of :func:`resviz.scan`, of this network: the channel pointed at shows the images of
            the data set that it answers to most, cropped to what its maximum saw. A page carries
            those of the channels that it shows, in 3 MB at most.

    Raises:
        TypeError: no network, no scan, or names that are no list.
        ValueError: no images, another number of names, what :func:`record` refuses, or a scan
            without top images or of another network: its layers and weights are compared.
        UnreadableImage: a file that is no picture.

    Example:
        >>> import resviz as rv, torch
        >>> net = rv.load_model("cifar10-resnet20", device="cpu")
        >>> explore(net, torch.zeros(1, 3, 32, 32)).selection["off"]
        []
    """
    check_network(net)
    strongest = None
    if scan is not None:
        check_scan(_CALLER, scan)
        belonging.check_network(scan, net)
        strongest = Strongest(scan)
    photographs: list[Source | None] = []
    groups: list[Any] = [images]
    if not _are_tensors(images):
        names = names if names is not None else _file_names(images)
        given = list(images) if isinstance(images, list | tuple) and images else [images]
        groups = [load_images(one, net, preset=preset) for one in given]  # each has its own size
        for loaded, picture in zip(groups, given, strict=True):
            photographs += sources(loaded, picture) or [None] * len(loaded)
    inputs = [check_images(net, group) for group in groups]
    each = [group.one(number) for group in inputs for number in range(group.count)]
    if names is None or len(names) == 0:
        names = [f"image {number}" for number in range(len(each))]
    if isinstance(names, str) or len(names) != len(each):
        raise ValueError(f"{_CALLER}: names {names!r}; one for each of {len(each)} images.")
    named = [str(name) for name in names]
    return Host(ExploreView(net, each, named, preset, photographs, strongest))


def _are_tensors(images: Any) -> bool:
    """True for what a network takes; False for files and pictures to be loaded."""
    several = isinstance(images, tuple | list) and any(map(_are_tensors, images))
    return several or isinstance(images, Mapping) or hasattr(images, "detach")


def _file_names(sources: Any) -> list[str] | None:
    """Names of files where every source is one; None for what load_images has to unpack."""
    listed = [sources] if isinstance(sources, (str, os.PathLike)) else sources
    if not isinstance(listed, (list, tuple)):
        return None
    if not all(isinstance(s, (str, os.PathLike)) and not os.path.isdir(s) for s in listed):
        return None
    return [picture.name for source in listed for picture in each_in(source)]
