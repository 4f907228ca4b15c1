"""`scan`: a data set streamed through a network once."""

from __future__ import annotations

import os
import pathlib
import threading
from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import nn

from resviz import arguments
from resviz.arguments import Progress, caller, choice, public, whole
from resviz.attribution.methods.registry import METHODS
from resviz.networks.inputs import check_hookable, check_weights
from resviz.preset import Preset
from resviz.provenance import preset_or_none, provenance
from resviz.scanning import saved
from resviz.scanning.accumulated import Accumulated
from resviz.scanning.asking import Prepared, prepare, read_settings
from resviz.scanning.belonging import marks_of
from resviz.scanning.engines import ENGINES
from resviz.scanning.given import Data, Labels, source_of
from resviz.scanning.runner import Settings
from resviz.scanning.scan import Scan, differences, load_scan
from resviz.scanning.sources import Stream
from resviz.writing import destination


@public
def scan(
    net: nn.Module,
    dataset: Data,
    measures: str | Iterable[str] | None = None,
    layers: str | Iterable[str] | None = None,
    engine: str = "local",
    *,
    preset: Preset | None = None,
    labels: Labels | None = None,
    only: Iterable[int] | None = None,
    batch_size: int | None = None,
    workers: int | None = None,
    path: str | os.PathLike[str] | None = None,
    chunk: int = 2048,
    amp: bool | str | torch.dtype | None = None,
    channels_last: bool | None = None,
    on_error: Literal["skip", "raise"] = "skip",
    top: int = 9,
    thumbnails: int = 2**26,
    points: int = 5000,
    sample: int = 16,
    method: str = "grad_cam",
    progress: Progress = None,
    seed: int = 0,
) -> Scan:
    """A data set streamed through a network once: what each channel looks for, and how strongly.

    Keeps accumulators alone, whose size does not grow with the data set, but for 20 bytes and the
    name of each image. The network is run in eval mode and left as it was.

    Args:
        net: any ``nn.Module`` that takes one tensor.
        dataset: a torch Dataset of images or of (image, label), a DataLoader, a folder of pictures
            (or of a folder for each class), a list of files, a tensor (N, ...). Pictures are read
            as the preset says. A loader that shuffles, leaves images out, puts batches together
            in its own way, or is of a class of your own, is read as a stream: its images are known
            by the order in which they came.
        measures: "channels", "top", "quantiles", "classes", "correlation", "embedding" (these by
            default), "residuals", "gradients", "faithfulness"; "all".
            :mod:`resviz.scanning.measures.registry` says what each one is.
        layers: None or "blocks": the stem and every block, without blocks the last layer of each
            stage; "all"; or paths, as :func:`resviz.list_layers` has them.
        engine: "local"; "ray": on a cluster, that which ``ray.init()`` was called for, else the one
            it finds or makes for the time of the scan (``pip install 'resviz[ray]'``). There the
            data set is read in tasks, `workers` at a time if given, and the network runs in an
            actor for each GPU, or CPU; machines may go and come. Streams are for "local" alone.
        preset: how pictures become inputs, what outputs mean; the network's own if None.
        labels: a class index, or name, for each image, instead of those of the data set; where it
            names its classes, an index counts those. Of a Subset: for each of its data set.
        only: positions in the data set to scan, for a part of it; see :meth:`Scan.merge`. Of a
            Subset: positions in its data set, by which its images are known everywhere.
        batch_size: images at a time; None: as the loader says, else up to 128, fewer where
            activations are large. Halved where memory does not suffice.
        workers: processes that read; None: as the loader says, else none. Streams have those of
            their loader, iterable data sets none.
        path: a ``.resviz`` file that is written after each chunk; where it is there, the scan goes
            on from it.
        chunk: images after which that file is written.
        amp: autocast: True or "bfloat16", "float16". None: no.
        channels_last: memory format of the images; None: on CUDA.
        on_error: "skip": images that cannot be read, are of a shape that the network does not
            take, or give NaN, are left out and named in ``skipped``; "raise": stop.
        top: how many images are kept for each channel.
        thumbnails: bytes that pictures of top images may take.
        points: images in the embedding.
        sample: images whose maps by `method` "faithfulness" is measured on; of the data set or the
            Subset, whatever part of it `only` takes.
        method: as :func:`resviz.explain` takes it.
        progress: as everywhere: None, True, False or a function (done, total, what).
        seed: of the samples in the embedding and of faithfulness.

    Returns:
        A :class:`Scan`.

    Raises:
        FileNotFoundError: no such folder, or none for `path`.
        ImportError: engine "ray" without Ray.
        NotTraceable: a scripted or compiled network, in which hooks do not fire.
        RuntimeError, NonFinite: with ``on_error="raise"``, an image that would be left out;
            with "ray", no cluster, or one that fails again and again.
        TypeError: arguments of a wrong type; with "ray", what cannot be pickled.
        ValueError: no such measure, layer or engine, an empty data set, or a `path` that holds
            another scan.

    Example:
        >>> import torch
        >>> from resviz.networks.cifar import cifar_resnet
        >>> images = torch.rand(8, 3, 32, 32)
        >>> found = scan(cifar_resnet(20, seed=0), images, measures=["channels", "top"])
        >>> len(found.channels), found.top("layer1.0", 3)["image"].iloc[0] < 8
        (352, np.True_)
    """
    check_hookable(net)
    check_weights(net)
    choice("engine", engine, list(ENGINES))
    choice("on_error", on_error, ("skip", "raise"))
    chunk = whole("chunk", chunk, least=1)
    known = preset_or_none(net, preset)
    source = source_of(dataset, known, labels, only)
    limits = {
        "top": whole("top", top, least=1),
        "pictures": whole("thumbnails", thumbnails, least=0),
        "points": whole("points", points, least=1),
        "method": choice("method", method, list(METHODS)),
        "seed": arguments.seed(seed),
    }
    many = whole("sample", sample, least=1)
    main = threading.current_thread() is threading.main_thread()  # random state is of all threads
    with torch.random.fork_rng(devices=[], enabled=main):  # loaders and data sets draw
        ready = prepare(net, source, known, measures, layers, many, **limits)
        size = batch_size if batch_size is not None else source.size or ready.batch
        settings = read_settings(net, ready.first, size, amp, channels_last, on_error)
        about = _about(net, ready, settings, known, engine)
    kept = _Kept(path, ready, about)
    device = ENGINES[engine](
        net,
        ready.source,
        kept.seen,
        settings,
        known,
        workers=source.workers if workers is None else whole("workers", workers, least=0),
        chunk=chunk,
        keep=kept.write,
        progress=progress,
    )
    return kept.finished(device)


def _about(
    net: nn.Module, ready: Prepared, settings: Settings, preset: Preset | None, engine: str
) -> dict[str, Any]:
    amp = None if settings.amp is None else str(settings.amp).removeprefix("torch.")
    about = provenance(net, ready.first, preset, engine=engine)
    return {
        **about,
        "images": 0,
        "autocast": amp or about["autocast"],
        "channels_last": settings.channels_last,
        "batch": settings.batch,
        "fingerprint": {**marks_of(net), "data": ready.source.digest()},
        "complete": False,
    }


class _Kept:
    """What was seen so far, in memory and, with a path, in a file that is whole at any moment.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the file is damaged, or holds another scan.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None, ready: Prepared, about: dict[str, Any]
    ) -> None:
        self._path = None if path is None else destination(path)
        self._names, self._about = ready.source.names, about
        self.seen = Accumulated(ready.plan)
        if self._path is None:
            return
        if isinstance(ready.source, Stream) and not ready.source.repeats:
            raise ValueError(
                f"{caller()}: path= with a loader that shuffles, whose images cannot be told apart "
                "the next time; its data set would be right: loader.dataset."
            )
        if self._path.exists():
            self.seen = self._before(self._path)

    def _before(self, path: pathlib.Path) -> Accumulated:
        before = load_scan(path)
        differ = differences(self._scan(False), before)
        if differ:
            raise ValueError(
                f"{caller()}: {str(path)!r} holds a scan with {', '.join(differ)}; the same "
                "arguments would go on with it. Give another path, or delete that file."
            )
        return before.seen

    def write(self) -> None:
        """To the file, if there is one."""
        self._written(False)

    def finished(self, device: str) -> Scan:
        """All of it; a cluster may have run it on a device that the network is not on here."""
        self._about["device"] = device
        return self._written(True)

    def _written(self, complete: bool) -> Scan:
        found = self._scan(complete)
        if self._path is not None:
            saved.write(self._path, self.seen, self._names, found.provenance, durable=True)
        return found

    def _scan(self, complete: bool) -> Scan:
        images = len(self.seen.images.state()["image"])
        about = {**self._about, "images": images, "complete": complete}
        return Scan(self.seen.plan, self.seen, self._names, about)
