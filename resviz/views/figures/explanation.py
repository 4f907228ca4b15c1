"""`plot_explanation`: what a prediction rests on, over the photograph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from resviz.views import style
from resviz.views.figure import Figure
from resviz.views.figures.feature_maps import add_colour_bar
from resviz.views.figures.quantities import conditions
from resviz.views.overlays import MapPanel, panels_of, photograph
from resviz.views.pictures import Pixels, data_uri, enlarged

_TILE, _LABEL, _GAP = 224, 52, 14  # pixels on the screen


def plot_explanation(
    exp: Any,
    image: int = 0,
    *,
    methods: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    targets: Sequence[int] | None = None,
    scale: str = "shared",
    opacity: float = 0.6,
    magnitude: str = style.MAGNITUDE,
    columns: int | None = None,
    name: str | None = None,
) -> Figure:
    """A figure of the photograph and, beside it, each map over it: methods x layers x targets.

    Maps are drawn as they are (no min-max, no ReLU), bilinear, over the photograph in grey. Maps
    with negative values are blue-red, centred on 0. The hover reads the raw value. Where the
    network has no pictures the map is drawn alone.

    Args:
        exp: an Explanation.
        image: which image of the batch.
        methods: which of ``exp.methods``; None: all.
        layers: which of ``exp.layers``; None: all.
        targets: positions in ``exp.targets[image]``; None: all.
        scale: "shared": one colour scale over all panels; "panel": each its own, for methods whose
            values have different units. The largest value stands above each panel either way.
        opacity: of the map over the photograph, 0 to 1.
        magnitude: colour scale of maps without negative values, "Viridis" or "Cividis".
        columns: panels in a row.
        name: what the image is called; "image 0" and so on if None.

    Raises:
        ValueError: no such image, method, layer, target, scale or colour scale.
    """
    if magnitude not in style.MAGNITUDES or not 0 <= opacity <= 1:
        raise ValueError(
            f"plot_explanation: magnitude={magnitude!r}, opacity={opacity}; one of"
            f" {', '.join(style.MAGNITUDES)}, and 0 to 1."
        )
    panels = panels_of(exp, image, methods, layers, targets, scale, magnitude)
    picture = photograph(exp, image)
    name = name if name is not None else f"image {image}"
    columns = columns or min(4, len(panels) + (picture is not None))
    fig = _sheet(len(panels) + (picture is not None), columns, picture, panels)
    place = 0
    if picture is not None:
        _add_picture(fig, 0, columns, enlarged(picture, _TILE), ["photograph", name], None)
        place = 1
    for panel in panels:
        shown = enlarged(panel.over(picture, opacity), _TILE)
        _add_picture(fig, place, columns, shown, _words(panel), panel.raw)
        place += 1
    first = panels[0]
    add_colour_bar(
        fig,
        first.low,
        first.high,
        first.colours,
        own=scale == "panel",
        title="attribution (raw)" if scale == "shared" else "attribution",
    )
    fig.update_layout(title={"text": _title(exp, image, picture, scale, name)})
    return fig


def _title(exp: Any, image: int, picture: Pixels | None, scale: str, name: str) -> str:
    about = exp.provenance
    words = conditions(about)
    measured = " · ".join(words[name] for name in ("dtype", "weights") if name in words)
    alone = "" if picture is not None else " · this network has no pictures: maps alone"
    how = (
        "one colour scale over all maps"
        if scale == "shared"
        else "each map on its own colour scale"
    )
    network = style.escape(about.get("network", "network"))
    names = ", ".join(style.escape(name) for name in exp.target_names[image])
    return style.heading(
        f"Explanation of {names}", f"{network} · {style.escape(name)} · {how}", measured + alone
    )


def _words(panel: MapPanel) -> list[str]:
    extremes = f"max {panel.raw.max():.3g}"
    if panel.raw.min() < 0:
        extremes = f"min {panel.raw.min():.3g}, {extremes}"
    return [f"{panel.method}, {panel.layer}", panel.target, panel.blank() or extremes]


def _sheet(count: int, columns: int, picture: Pixels | None, panels: list[MapPanel]) -> Figure:
    """An empty figure whose axes are pixels: x to the right, y downwards."""
    height, width = _tile_size(picture, panels)
    columns = min(columns, count)
    rows = -(-count // columns)
    across, down = columns * (width + _GAP), rows * (height + _LABEL + _GAP)
    return Figure(
        layout={
            "template": style.template(),
            "height": down + 110,
            "width": across + 16 + 130,
            "margin": {"l": 16, "r": 130, "t": 92, "b": 18},
            "showlegend": False,
            "xaxis": {"visible": False, "range": [0, across], "constrain": "domain"},
            "yaxis": {
                "visible": False,
                "range": [down, 0],
                "scaleanchor": "x",
                "constrain": "domain",
                "constraintoward": "top",
            },
            "meta": {"tile": [height, width]},
        }
    )


def _tile_size(picture: Pixels | None, panels: list[MapPanel]) -> tuple[int, int]:
    height, width = picture.shape[:2] if picture is not None else panels[0].raw.shape
    return max(1, round(_TILE * height / max(height, width))), max(
        1, round(_TILE * width / max(height, width))
    )


def _add_picture(
    fig: Figure, number: int, columns: int, pixels: Pixels, words: list[str], raw: Any
) -> None:
    height, width = fig.layout.meta["tile"]
    left = number % columns * (width + _GAP)
    top = number // columns * (height + _LABEL + _GAP) + _LABEL
    dy, dx = height / pixels.shape[0], width / pixels.shape[1]
    fig.add_image(
        source=data_uri(pixels),
        x0=left + dx / 2,
        dx=dx,
        y0=top + dy / 2,
        dy=dy,
        hoverinfo="skip",
        name=style.escape(words[0]),
    )
    if raw is not None:  # unseen, for the hover: the map at its own resolution
        dy, dx = height / raw.shape[0], width / raw.shape[1]
        rows, across = np.indices(raw.shape, dtype=np.uint16)
        fig.add_heatmap(
            z=raw,
            x0=left + dx / 2,
            dx=dx,
            y0=top + dy / 2,
            dy=dy,
            opacity=0,
            showscale=False,
            name=style.escape(words[0]),
            customdata=np.stack([rows, across], axis=-1),
            hovertemplate=f"{style.escape(words[0])}<br>{style.escape(words[1])}"
            "<br>row %{customdata[0]}, column %{customdata[1]}"
            "<br>%{z:.4g}<extra></extra>",
        )
    for line, text in enumerate(words):
        size = style.SMALL if line else style.SMALL + 1
        fig.add_annotation(
            text=style.escape(_short(text)),
            x=left,
            y=top - _LABEL,
            yshift=-16 * line,
            xanchor="left",
            yanchor="top",
            showarrow=False,
            font={"size": size, "color": style.FAINT if line else style.INK},
        )


def _short(text: str, room: int = 34) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"
