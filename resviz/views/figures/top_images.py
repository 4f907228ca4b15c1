"""`plot_top_images`: what some channels of a layer answer to most, cropped to what they saw."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from resviz.arguments import whole, wholes
from resviz.views.charts.marks import Hover
from resviz.views.figure import Figure
from resviz.views.figures.scanned import about, check_scan
from resviz.views.figures.tiles import LINE, Sheet, title_room

if TYPE_CHECKING:
    from resviz.scanning.scan import Scan

_TILE, _GAP, _SHOWN = 72, 6, 8
_ROW = _TILE + 2 * LINE + 4 + _GAP
_OUTSIDE = 236  # grey of what a channel did not see

Pixels = NDArray[np.uint8]


def plot_top_images(
    scan: Scan,
    layer: str,
    channels: Iterable[int] | int | None = None,
    *,
    images: int | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of the images that channels answer to most, a row per channel, strongest first.

    Each is cropped to the receptive field of the position with the largest activation: what that
    number was computed from. Where the field is larger than the image, the whole image is shown,
    and in grey what lies outside of the field.

    Args:
        scan: of :func:`resviz.scan`.
        layer: as ``scan.layers`` has it.
        channels: which; None: the eight that tell classes apart most (``selectivity``), without
            classes the first eight.
        images: of each channel; None: all that were kept.
        title: replaces the first line of the title.

    Raises:
        TypeError: no scan.
        KeyError: no such layer or channel.
        ValueError: a scan without top images, or without pictures of them.

    Example:
        >>> import resviz as rv
        >>> net = rv.load_model("cifar10-resnet20")
        >>> scan = rv.scan(net, rv.load_images("sample_images", net))  # doctest: +SKIP
        >>> rv.plot_top_images(scan, "layer3.2", [13, 19])  # doctest: +SKIP
    """
    check_scan("plot_top_images", scan)
    scan.measured("top")
    chosen = _channels(scan, layer, channels)
    count = scan.plan.top if images is None else whole("images", images, least=1)
    tables = {channel: scan.top(layer, channel).head(count) for channel in chosen}
    _check_pictures(scan, tables)
    across = max((len(table) for table in tables.values()), default=1) * (_TILE + _GAP)
    down = len(chosen) * _ROW
    said = title or f"Strongest images of {layer}"
    line = about(scan)
    note = "cropped to the receptive field of the largest activation; numbers: that activation"
    sheet = Sheet((_TILE, _TILE), max(across, int(title_room(said, line))), down, 16)
    for row, (channel, table) in enumerate(tables.items()):
        top = row * _ROW
        sheet.add_words(0, top, _heading(scan, layer, channel))
        for place, each in enumerate(table.to_dict("records")):
            _add(sheet, scan, each, place * (_TILE + _GAP), top + LINE + 4)
    return Figure.of(sheet.chart(said, line, note))


def _channels(scan: Any, layer: str, channels: Any) -> list[int]:
    if isinstance(channels, int):
        return [channels]
    if channels is not None:
        return wholes("channels", channels)
    scan.number(layer)  # an error of its own where there is no such layer
    table = scan.channels[scan.channels["layer"] == layer]
    if "selectivity" in table and table["selectivity"].notna().any():
        table = table.sort_values("selectivity", ascending=False, kind="stable")
    return [int(channel) for channel in table["channel"].head(_SHOWN)]


def _check_pictures(scan: Any, tables: dict[int, Any]) -> None:
    shown = [image for table in tables.values() for image in table["image"].tolist()]
    if not any(scan.picture(image) is not None for image in shown):
        raise ValueError(
            "plot_top_images: a scan without pictures of these images; a preset with mean and std "
            "gives them: rv.scan(..., preset=rv.Preset(...)). Or a larger thumbnails=."
        )


def _heading(scan: Any, layer: str, channel: int) -> str:
    """The channel, and what is known of it."""
    table = scan.channels
    row = table[(table["layer"] == layer) & (table["channel"] == channel)].iloc[0]
    words = [f"channel {channel}"]
    if row.get("dead", False):
        words.append("dead")
    if row.get("best_class"):
        words.append(f"most for {row['best_class']}, selectivity {row['selectivity']:.2f}")
    return " · ".join(words)


def _add(sheet: Sheet, scan: Any, row: dict[Any, Any], left: float, top: float) -> None:
    picture = scan.picture(int(row["image"]))
    name = row["name"] or f"image {row['image']}"
    words = [f"{name}{', ' + row['label'] if row['label'] else ''}", f"value {row['value']:.4g}"]
    if picture is None:
        sheet.add_words(left, top + _TILE / 2, "no picture", faint=True)
        return
    pixels = seen_part(picture, tuple(row[side] for side in ("top", "left", "bottom", "right")))
    sheet.add_picture(left, top, _square(pixels), words[0], Hover("\n".join(words)))
    sheet.add_words(left, top + _TILE, f"{row['value']:.3g}", faint=True)


def seen_part(picture: Pixels, box: tuple[float, ...]) -> Pixels:
    """What a position saw of a picture: its field; the whole where that is as large, rest grey.

    Example:
        >>> seen_part(np.zeros((8, 8, 3), np.uint8), (-1, 2, 2, 5))[:, :, 0].tolist()
        [[236, 236, 236], [0, 0, 0], [0, 0, 0]]
    """
    if not np.isfinite(box).all():
        return picture
    spans = []
    for size, low, high in zip(picture.shape, box[:2], box[2:], strict=False):
        window = (0, size) if high - low >= size else (int(low), int(high))
        spans.append((window, max(int(low), 0), min(int(high), size)))
    ((y0, y1), top, bottom), ((x0, x1), left, right) = spans
    shown = np.full((y1 - y0, x1 - x0, 3), _OUTSIDE, np.uint8)
    shown[top - y0 : bottom - y0, left - x0 : right - x0] = picture[top:bottom, left:right]
    return shown


def _square(pixels: Pixels) -> Pixels:
    """With grey beside or below what is not square."""
    side = max(pixels.shape[:2])
    if pixels.shape[:2] == (side, side):
        return pixels
    whole = np.full((side, side, 3), _OUTSIDE, np.uint8)
    top, left = (side - pixels.shape[0]) // 2, (side - pixels.shape[1]) // 2
    whole[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return whole
