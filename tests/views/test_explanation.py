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
from resviz.views import style
from resviz.views.overlays import SCALES
from resviz.views.static import static_png


def changed(exp: Any, maps: Any = None, **fields: Any) -> Any:
    """The explanation with one method and layer, and this map (N, T, h, w)."""
    fields |= {} if maps is None else {"maps": {("grad_cam", "layer3"): maps}}
    return dataclasses.replace(exp, **fields)


def heats(figure: Any) -> list[Any]:
    return [t for t in figure.data if t.type == "heatmap"]


def bars(figure: Any) -> list[Any]:
    return [t.marker for t in figure.data if t.type == "scatter" and t.marker.showscale]


def bar_of(figure: Any) -> Any:
    (found,) = bars(figure)
    return found


def places(figure: Any) -> dict[str, tuple[float, float]]:
    """Left edge and upper edge of each map, by its hover words."""
    found = {}
    for heat in heats(figure):
        words = heat.hovertemplate.split("<br>row")[0].replace("<br>", ", ")
        found[words] = (round(heat.x0 - heat.dx / 2), round(heat.y0 - heat.dy / 2))
    return found


def mixed(exp: Any) -> Any:
    """Two methods at two layers, two over the pixels; one of those with negative values."""
    fine = torch.rand(3, 2, 32, 32)
    maps = dict(exp.maps)
    maps["saliency", "input"], maps["integrated_gradients", "input"] = fine, (fine - 0.3) * 50
    return dataclasses.replace(exp, maps=maps)


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
    figure = rv.plot_explanation(exp, scale="shared")
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
    assert static_png(blank)


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
    for words in ("dog", "toy-net", "image 2", "float32", "output: classes"):
        assert words in title
    text = notes(figure)
    for words in ("grad_cam", "hires_cam", "layer2", "layer3", "dog", "photograph"):
        assert words in text.splitlines()
    top = float(exp.maps["grad_cam", "layer2"][2, 0].max())
    assert f"max {top:.3g}" in text or "exactly 0" in text
    one = rv.plot_explanation(exp, 2, methods=["grad_cam"])
    assert "grad_cam, layer2" in notes(one) and f"max {top:.3g}" in notes(one)
    assert "horse" not in read.title(rv.plot_explanation(exp, targets=[0]))


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
    with refused("clip=0; a percentile"):
        rv.plot_explanation(exp, clip=0)
    with refused("columns=0; 1 or more"):
        rv.plot_explanation(exp, columns=0)
    with refused("no map of saliency at layer2; the explanation has saliency at input"):
        rv.plot_explanation(mixed(exp), methods=["saliency"], layers=["layer2"])
    with pytest.raises(TypeError, match="^plot_explanation: a dict; an Explanation"):
        rv.plot_explanation({})
    with refused("magnitude='Jet'"):
        rv.plot_explanation(exp, magnitude="Jet")
    with refused("opacity=2"):
        rv.plot_explanation(exp, opacity=2)


def test_the_grid(exp: Any) -> None:
    """A row for each method, a column for each layer and target, headings at both."""
    figure = rv.plot_explanation(exp)
    found = places(figure)
    lefts, tops = ({place[axis] for place in found.values()} for axis in (0, 1))
    assert len(lefts) == 4 and len(tops) == 2
    cat = f"grad_cam, layer3, {exp.target_names[0][0]}"
    assert found[cat][1] == found[cat.replace("layer3", "layer2")][1]
    assert found[cat][0] == found[cat.replace("grad_cam", "hires_cam")][0]
    upright = {n.text: n.y for n in figure.layout.annotations if n.textangle == -90}
    assert set(upright) == set(exp.methods)
    assert 0 < upright["grad_cam"] - found[cat][1] < figure.layout.meta["tile"][0]
    photo = next(t for t in figure.data if t.name == "photograph")
    assert photo.x0 < min(lefts) and round(photo.y0 - photo.dy / 2) == min(tops)


def test_maps_over_the_pixels_stand_below(exp: Any) -> None:
    """They have no layers: a block of their own, no empty places."""
    figure = rv.plot_explanation(mixed(exp), targets=[0])
    found = places(figure)
    assert len(found) == 6
    fine = [place for words, place in found.items() if ", input," in words]
    coarse = [place for words, place in found.items() if ", input," not in words]
    assert min(top for _, top in fine) > max(top for _, top in coarse)
    assert len({top for _, top in fine}) == 1  # side by side
    assert notes(figure).count("input pixels") == 2
    several = places(rv.plot_explanation(mixed(exp), methods=["saliency", "integrated_gradients"]))
    assert len({top for _, top in several.values()}) == 2  # alone: a row for each


def test_columns_wrap_instead(exp: Any) -> None:
    found = places(rv.plot_explanation(exp, columns=3))
    assert len({left for left, _ in found.values()}) == 3
    assert len({top for _, top in found.values()}) == 3
    assert len({top for _, top in places(rv.plot_explanation(exp, methods=["grad_cam"])).values()})


@pytest.mark.thorough
@pytest.mark.parametrize("scale", SCALES)
def test_no_map_covers_another(exp: Any, scale: str) -> None:
    for kwargs in ({}, {"targets": [1]}, {"columns": 3}):
        figure = rv.plot_explanation(mixed(exp), scale=scale, **kwargs)
        height, width = figure.layout.meta["tile"]
        corners = [*places(figure).values()]
        for n, (x, y) in enumerate(corners):
            assert 0 <= x <= figure.layout.xaxis.range[1] - width
            assert 0 <= y <= figure.layout.yaxis.range[0] - height
            assert all(abs(x - a) >= width or abs(y - b) >= height for a, b in corners[:n])


def test_methods_have_units_of_their_own_unless_one_scale_is_asked_for(exp: Any, read: Any) -> None:
    assert len(exp.methods) > 1
    assert "one colour scale per method" in read.title(rv.plot_explanation(exp))
    one = rv.plot_explanation(exp, methods=exp.methods[:1])
    assert "one colour scale over all maps" in read.title(one)


def test_a_scale_for_each_method(exp: Any, read: Any) -> None:
    """A bar beside each row, of all the maps in it."""
    several = mixed(exp)
    figure = rv.plot_explanation(several, scale="method")
    assert "one colour scale per method" in read.title(figure)
    found = bars(figure)
    assert len(found) == 4
    for marker, method in zip(found, several.methods, strict=True):
        maps = [m[0] for (name, _), m in several.maps.items() if name == method]
        if method != "integrated_gradients":
            assert (marker.cmin, marker.cmax) == (
                0,
                pytest.approx(max(float(m.max()) for m in maps)),
            )
    assert found[3].cmin == -found[3].cmax < -10
    middles = [(1 - b.colorbar.y) * figure.layout.yaxis.range[0] for b in found]
    tops = sorted({top for _, top in places(figure).values()})
    height = figure.layout.meta["tile"][0]
    np.testing.assert_allclose(middles, [top + height / 2 for top in tops])


def test_one_scale_means_one_colour_map(exp: Any) -> None:
    """A shared bar holds for every panel: blue-red where any map has negative values."""
    figure = rv.plot_explanation(mixed(exp), scale="shared", opacity=1)
    marker = bar_of(figure)
    assert marker.cmin == -marker.cmax
    middle = style.colour_table(style.SIGNED)[127].astype(int)
    pictures = [t for t in figure.data if t.type == "image"][1:]
    faint = [p for p in pictures if "grad_cam" in p.name]  # tiny beside the others: colour of 0
    assert all(np.abs(shown(p).astype(int) - middle).max() < 12 for p in faint)


def test_two_bars_for_signed_and_unsigned_maps(exp: Any) -> None:
    one, other = bars(rv.plot_explanation(mixed(exp), scale="panel"))
    assert {one.cmin, other.cmin} == {-1, 0} and one.colorscale != other.colorscale
    for marker in (one, other):
        assert not any(re.search("[1-9]", text) for text in marker.colorbar.ticktext)
    assert abs(one.colorbar.y - other.colorbar.y) >= (one.colorbar.len + other.colorbar.len) / 2


def test_clip(exp: Any, read: Any) -> None:
    """Colours end at a percentile; the hover keeps the raw values; 100 is the default."""
    maps = torch.linspace(0, 1, 100).reshape(1, 1, 10, 10)
    maps[0, 0, 9, 9] = 1000.0
    whole = rv.plot_explanation(changed(exp, maps), targets=[0])
    cut = rv.plot_explanation(changed(exp, maps), targets=[0], clip=98)
    assert bar_of(whole).cmax == 1000 and "percentile" not in read.title(whole)
    assert bar_of(cut).cmax == pytest.approx(np.percentile(maps.numpy(), 98))
    assert "percentile 98" in read.title(cut) and "at most 2 %" in read.title(cut)
    assert heats(cut)[0].z.max() == 1000 and "max 1e+03" in notes(cut)


def test_clip_takes_each_map_alone(exp: Any) -> None:
    """A fine map does not push a coarse one beyond the end."""
    two = dict(exp.maps)
    two["grad_cam", "layer2"], two["grad_cam", "layer3"] = (
        torch.rand(3, 2, 64, 64) * 1e-3,
        torch.rand(3, 2, 4, 4),
    )
    figure = rv.plot_explanation(dataclasses.replace(exp, maps=two), methods=["grad_cam"], clip=90)
    coarse = two["grad_cam", "layer3"][0].numpy()
    assert bar_of(figure).cmax == pytest.approx(max(np.percentile(m, 90) for m in coarse))
    sparse = torch.zeros(1, 1, 20, 20)
    sparse[0, 0, 3, 3] = 5.0
    figure = rv.plot_explanation(changed(exp, sparse), targets=[0], clip=99)
    assert bar_of(figure).cmax == 5  # the percentile is 0: nothing is clipped


@pytest.mark.thorough
def test_many_maps_stay_legible(exp: Any, read: Any) -> None:
    """5 methods x 4 layers: smaller tiles, nothing over the foot or the side."""
    methods = ("grad_cam", "layer_cam", "hires_cam", "integrated_gradients_of", "a_b_" * 20)
    maps = {(m, f"layer{n}"): torch.rand(3, 2, 4, 4) for m in methods for n in range(1, 5)}
    many = dataclasses.replace(exp, maps=maps, target_names=[["a long name " * 9] * 2] * 3)
    for scale in ("method", "shared"):
        figure = rv.plot_explanation(many, scale=scale, targets=[0], name="n" * 200)
        height, width = figure.layout.meta["tile"]
        assert 88 <= width < 200 and figure.layout.width < 1200 and figure.layout.height < 1100
        assert all(len(note.text) < 80 for note in figure.layout.annotations)
        picture = read.picture(static_png(figure))
        assert picture.shape == (figure.layout.height, figure.layout.width, 3)
        assert (picture[-1] == 255).all() and (picture[:, -1] == 255).all()
        top = round(figure.layout.margin.t)
        for x, y in places(figure).values():  # every tile is there
            tile = picture[round(y) + top :][:height, round(x) + 16 :][:, :width]
            assert (tile == 255).all(axis=2).mean() < 0.2


def test_names_are_escaped(exp: Any, read: Any, hostile: str) -> None:
    odd = dataclasses.replace(
        exp,
        maps={("grad_cam", hostile): exp.maps["grad_cam", "layer3"]},
        provenance={**exp.provenance, "network": hostile},
    )
    text = read.text(rv.plot_explanation(odd))
    assert "<script" not in text and "<b>bold" not in text and "&lt;script&gt;" in text
