"""`explore_residuals`: the table, the kept channels, and what is said where none were kept."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import resviz as rv
from resviz.networks.cifar import cifar_resnet
from resviz.views.widgets.host import Host
from resviz.views.widgets.residuals import AnatomyView, explore_residuals

ADDITION = "layer1.0.add"


def column(view: Host[AnatomyView], name: str) -> Any:
    data = view.payload()
    return data.array(data.meta["columns"][name]).view("<f8")


def values(view: Host[AnatomyView], addition: str, part: str) -> Any:
    data = view.payload()
    packed = data.meta["kept"][addition][part]
    codes, scale, offset = (data.array(packed[n]) for n in ("codes", "scale", "offset"))
    return codes * scale[..., None, None] + offset[..., None, None], scale


def test_the_table_comes_through_exactly(rec: Any) -> None:
    view = explore_residuals(rec)
    for name in ("ratio", "branch_rms", "grad_branch_share", "grad_cosine"):
        np.testing.assert_array_equal(column(view, name), rec.residuals[name])
    meta = view.payload().meta
    assert [one["name"] for one in meta["additions"]] == rec.residuals["addition"].tolist()
    assert [one["kind"] for one in meta["additions"]] == rec.residuals["kind"].tolist()
    np.testing.assert_array_equal(view.payload().array(meta["depth"]), rec.residuals["depth"])
    assert [stage["name"] for stage in meta["stages"]] == ["layer1", "layer2", "layer3"]
    json.dumps(meta, allow_nan=False)


def test_channels_are_read_back_and_the_parts_sum(rec: Any) -> None:
    view = explore_residuals(rec)
    assert view.selection["addition"] == ADDITION and list(view.payload().meta["kept"]) == [
        ADDITION
    ]
    parts, steps = {}, {}
    for part in ("shortcut", "branch", "sum"):
        parts[part], scale = values(view, ADDITION, part)
        steps[part] = float(scale.max())
        error = np.abs(parts[part] - rec[f"{ADDITION}:{part}"].numpy()).max()
        assert error <= 0.51 * steps[part]
        data = view.payload()
        rms = data.array(data.meta["kept"][ADDITION][part]["rms"])
        wanted = rec[f"{ADDITION}:{part}"].double().square().mean((2, 3)).sqrt()
        np.testing.assert_allclose(rms, wanted, rtol=1e-6)
    whole = np.abs(parts["shortcut"] + parts["branch"] - parts["sum"]).max()
    assert whole <= 0.51 * sum(steps.values()) + 1e-6


def test_pixels_cost_a_byte(rec: Any) -> None:
    data = explore_residuals(rec).payload()
    pixels = sum(rec[f"{ADDITION}:{part}"].numel() for part in ("shortcut", "branch", "sum"))
    assert pixels < len(data.buffer) < 1.1 * pixels


def test_photographs_are_chosen(rec: Any) -> None:
    data = explore_residuals(rec, images=[2]).payload()
    assert data.meta["images"] == ["image 2"] and "1 of 3 photographs" in data.meta["conditions"]
    read, _ = values(explore_residuals(rec, images=[2]), ADDITION, "sum")
    wanted = rec[f"{ADDITION}:sum"][2:].numpy()
    assert read.shape == wanted.shape and np.abs(read - wanted).max() < 0.05
    for wrong in ([3], [], [-1]):
        with pytest.raises(ValueError, match=r"explore_residuals: images .*0 to 2"):
            explore_residuals(rec, images=wrong)


def test_too_many_photographs_are_left_out_and_said(
    rec: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resviz.views.widgets.residuals._MOST", 3 * 16 * 32 * 32 * 2)
    meta = explore_residuals(rec).payload().meta
    assert meta["images"] == ["image 0", "image 1"] and "2 of 3 photographs" in meta["conditions"]


def test_nothing_kept_shows_the_numbers(rec: Any, blind: Any) -> None:
    for one in (rec.residuals, blind):
        view = explore_residuals(one)
        meta = view.payload().meta
        assert meta["kept"] == {} and meta["images"] == []
        np.testing.assert_array_equal(column(view, "ratio"), view.view._frame["ratio"])
    assert not any(
        name.startswith("grad") for name in explore_residuals(blind).payload().meta["columns"]
    )


def test_one_part_alone_is_shown(net: Any, images: torch.Tensor) -> None:
    part = rv.record(net, images, gradients=False, keep=["layer2.0.add:branch"])
    meta = explore_residuals(part).payload().meta
    assert list(meta["kept"]) == ["layer2.0.add"] and list(meta["kept"]["layer2.0.add"]) == [
        "branch"
    ]


@pytest.mark.thorough
def test_the_static_picture(rec: Any, read: Any, tmp_path: Path) -> None:
    view = explore_residuals(rec)
    data, _ = view._repr_mimebundle_()
    assert data["text/plain"].startswith("Figure: Residual additions")
    assert len(np.unique(read.picture(base64.b64decode(data["image/png"])))) > 20
    state = view.get_state()
    assert state.pop("still").endswith(data["image/png"])  # beside it, next to nothing is saved
    rest = {k: v for k, v in state.items() if k not in ("_esm", "_css")}
    assert len(json.dumps(rest, default=str)) < 4000
    view.save_html(tmp_path / "anatomy.html")
    assert "rv-data" in (tmp_path / "anatomy.html").read_text(encoding="utf-8")


def test_hostile_names_stay_text(rec: Any, hostile: str, tmp_path: Path) -> None:
    view = explore_residuals(rec.residuals.assign(addition=hostile, kind=hostile))
    assert view.payload().meta["additions"][0]["name"] == hostile
    view.save_html(tmp_path / "page.html")
    assert hostile not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_errors(rec: Any, images: torch.Tensor, norms: list[Any]) -> None:
    plain = rv.record(cifar_resnet(8, shortcut="none", seed=0), images, gradients=False)
    with pytest.raises(ValueError, match="explore_residuals: no residual additions"):
        explore_residuals(plain)
    with pytest.raises(ValueError, match="explore_residuals: no column 'addition'"):
        explore_residuals(norms[0])
    with pytest.raises(ValueError, match="explore_residuals: 2 tables"):
        explore_residuals({"a": rec, "b": rec})
    with pytest.raises(TypeError, match="explore_residuals: a int"):
        explore_residuals(3)
