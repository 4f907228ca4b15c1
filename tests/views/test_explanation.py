"""`plot_explanation` as data: panels, colours, words, errors."""

from __future__ import annotations

import base64
import dataclasses
import io
import re
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import resviz as rv


def changed(exp: Any, maps: Any = None, **fields: Any) -> Any:
    """The explanation with one method and layer, and this map (N, T, h, w)."""
    fields |= {} if maps is None else {"maps": {("grad_cam", "layer3"): maps}}
    return dataclasses.replace(exp, **fields)


def heats(figure: Any) -> list[Any]:
    return [t for t in figure.data if t.type == "heatmap"]


def bar_of(figure: Any) -> Any:
    (found,) = [t for t in figure.data if t.type == "scatter" and t.marker.showscale]
    return found.marker


def notes(figure: Any) -> str:
    return "\n".join(note.text for note in figure.layout.annotations)


def shown(trace: Any) -> np.ndarray[Any, Any]:
    raw = base64.b64decode(trace.source.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"))


def test_the_maps_are_those_of_the_record(exp: Any) -> None:
    figure = rv.plot_explanation(exp, 1)
    keys = [(m, layer, t) for m in exp.methods for layer in exp.layers for t in range(2)]
    assert len(heats(figure)) == len(keys) == 8
    for heat, (method, layer, target) in zip(heats(figure), keys, strict=True):
        np.testing.assert_array_equal(heat.z, exp.maps[method, layer][1, target])
        assert f"{method}, {layer}" in heat.hovertemplate and "%{z" in heat.hovertemplate
    pictures = [t for t in figure.data if t.type == "image"]
    assert len(pictures) == 9  # the photograph first
    photo = shown(pictures[0])
    times = photo.shape[0] // 32
    np.testing.assert_array_equal(photo[::times, ::times], exp.pictures[1])


def test_a_choice_of_maps(exp: Any) -> None:
    figure = rv.plot_explanation(exp, methods=["hires_cam"], layers=["layer2"], targets=[1])
    (heat,) = heats(figure)
    np.testing.assert_array_equal(heat.z, exp.maps["hires_cam", "layer2"][0, 1])


def test_one_colour_scale_over_all_maps(exp: Any, read: Any) -> None:
    figure = rv.plot_explanation(exp)
    values = torch.cat([m[0].flatten() for m in exp.maps.values()])
    marker = bar_of(figure)
    assert marker.cmax == pytest.approx(float(values.max()))
    assert marker.cmin == 0
    assert "one colour scale over all maps" in read.title(figure)
    own = rv.plot_explanation(exp, scale="panel")
    assert "each map on its own colour scale" in read.title(own)
    assert all(not re.search(r"\d", text) or text == "0" for text in bar_of(own).colorbar.ticktext)


def test_signed_maps_are_diverging_and_centred(exp: Any) -> None:
    maps = torch.linspace(-1, 3, 16).reshape(1, 1, 4, 4)
    signed = rv.plot_explanation(changed(exp, maps), targets=[0])
    marker = bar_of(signed)
    assert (marker.cmin, marker.cmax) == (-3, 3)
    assert (
        marker.colorscale
        != bar_of(rv.plot_explanation(changed(exp, maps.abs()), targets=[0])).colorscale
    )
    assert "min -1, max 3" in notes(signed)


def test_a_blank_map_says_so(exp: Any) -> None:
    blank = rv.plot_explanation(changed(exp, torch.zeros(1, 1, 4, 4)), targets=[0])
    assert "exactly 0 everywhere" in notes(blank)
    assert rv.views.static.static_png(blank)


def test_a_map_that_is_not_finite_says_so(exp: Any) -> None:
    maps = torch.rand(1, 1, 4, 4)
    maps[0, 0, 0, 0] = float("nan")
    assert "not finite" in notes(rv.plot_explanation(changed(exp, maps), targets=[0]))


def test_without_pictures_the_maps_stand_alone(exp: Any, read: Any) -> None:
    figure = rv.plot_explanation(changed(exp, pictures=None))
    assert "no pictures" in read.title(figure)
    assert len([t for t in figure.data if t.type == "image"]) == 8


def test_opacity(exp: Any) -> None:
    """0 is the photograph in grey, 1 the map alone."""
    maps = torch.rand(3, 2, 4, 4)
    bare = rv.plot_explanation(changed(exp, maps), targets=[0], opacity=0)
    picture = shown([t for t in bare.data if t.type == "image"][1])
    assert (picture[..., 0] == picture[..., 1]).all() and (picture[..., 0] == picture[..., 2]).all()
    full = rv.plot_explanation(changed(exp, maps), targets=[0], opacity=1)
    assert (shown([t for t in full.data if t.type == "image"][1]) != picture).any()


def test_words(exp: Any, read: Any) -> None:
    figure = rv.plot_explanation(exp, 2)
    title = read.title(figure)
    for words in ("dog", "toy-net", "image 2", "float32"):
        assert words in title
    text = notes(figure)
    assert "grad_cam, layer2" in text and "dog" in text and "photograph" in text
    top = float(exp.maps["grad_cam", "layer2"][2, 0].max())
    assert f"max {top:.3g}" in text or "exactly 0" in text


def test_errors(exp: Any) -> None:
    def refused(message: str) -> Any:
        return pytest.raises(ValueError, match=f"^plot_explanation: .*{message}")

    with refused("image 3 of 3"):
        rv.plot_explanation(exp, 3)
    with refused("no method 'gradcam'.*'grad_cam'"):
        rv.plot_explanation(exp, methods=["gradcam"])
    with refused("no layer 'layer4'.*'layer3'"):
        rv.plot_explanation(exp, layers=["layer4"])
    with refused(r"targets \[2\] of 2"):
        rv.plot_explanation(exp, targets=[2])
    with refused("scale='own'; one of"):
        rv.plot_explanation(exp, scale="own")
    with refused("magnitude='Jet'"):
        rv.plot_explanation(exp, magnitude="Jet")
    with refused("opacity=2"):
        rv.plot_explanation(exp, opacity=2)


def test_names_are_escaped(exp: Any, read: Any, hostile: str) -> None:
    odd = dataclasses.replace(
        exp,
        maps={("grad_cam", hostile): exp.maps["grad_cam", "layer3"]},
        provenance={**exp.provenance, "network": hostile},
    )
    text = read.text(rv.plot_explanation(odd))
    assert "<script" not in text and "<b>bold" not in text and "&lt;script&gt;" in text
