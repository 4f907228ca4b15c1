"""Signals, tokens and video in dictionaries, beside other inputs, with outputs of every kind."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from captum.attr import LayerGradientXActivation, LayerIntegratedGradients
from torch import Tensor, nn

import resviz as rv
from cases import thorough_but

OUTPUTS: dict[str, dict[str, Any]] = {
    "classes": {},
    "labels": {"output": "labels", "classes": list("abcd")},
    "logit": {"output": "logit", "classes": ["no", "yes"]},
    "values": {"output": "values", "classes": list("abcd"), "units": "m"},
}


class Masked(nn.Module):
    """Words, places, LayerNorm and attention as in BERT; the mean over what the mask lets through.

    It takes keywords and gives a dictionary, as networks of transformers do.
    """

    def __init__(self, outputs: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.places = nn.Embedding(30, 8, padding_idx=0), nn.Embedding(30, 8)
        self.norm = nn.LayerNorm(8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(8, outputs)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        at = torch.arange(input_ids.shape[1]).expand_as(input_ids)
        hidden = self.norm(self.words(input_ids) + self.places(at))
        hidden = self.encoder(hidden, src_key_padding_mask=attention_mask == 0)
        seen = attention_mask[..., None].to(hidden)
        return {"hidden": hidden, "logits": self.head((hidden * seen).sum(1) / seen.sum(1))}


class Filtered(nn.Module):
    """A convolution along one axis or three, its mean, and a table that is added."""

    def __init__(self, axes: int, outputs: int = 4) -> None:
        super().__init__()
        torch.manual_seed(0)
        convolution = {1: nn.Conv1d, 3: nn.Conv3d}[axes]
        self.norm = nn.Sequential(convolution(2, 6, 3, stride=2, padding=1), nn.ReLU())
        self.head = nn.Linear(6, outputs)

    def forward(self, table: Tensor, values: Tensor) -> Tensor:
        return self.head(self.norm(values).flatten(2).mean(2) + table.sum(1, keepdim=True))


class Both(nn.Module):
    """A picture and a text, each through its own branch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.seen = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.words, self.norm, self.head = nn.Embedding(30, 8), nn.LayerNorm(8), nn.Linear(8, 4)

    def forward(self, pixel_values: Tensor, input_ids: Tensor) -> Tensor:
        seen = self.seen(pixel_values).mean((2, 3))
        return self.head(seen * self.norm(self.words(input_ids)).mean(1))


class Pair(nn.Module):
    """Two texts through the same layers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.norm, self.head = nn.Embedding(30, 8), nn.LayerNorm(8), nn.Linear(8, 4)

    def forward(self, one: Tensor, other: Tensor) -> Tensor:
        read = [self.norm(self.words(each)).mean(1) for each in (one, other)]
        return self.head(read[0] - read[1])


def words_of(count: int = 3, length: int = 7, seed: int = 1) -> Tensor:
    return torch.randint(1, 30, (count, length), generator=torch.Generator().manual_seed(seed))


def text() -> dict[str, Tensor]:
    mask = torch.ones(3, 7, dtype=torch.long)
    mask[1, 5:] = 0
    return {"input_ids": words_of(), "attention_mask": mask}


def made(kind: str, outputs: int) -> tuple[nn.Module, dict[str, Tensor], tuple[int, ...]]:
    """A network, its inputs, and their positions."""
    random = torch.Generator().manual_seed(0)
    table = torch.randn(3, 5, generator=random)
    if kind == "tokens":
        return Masked(outputs).eval(), text(), (7,)
    size = (24,) if kind == "signal" else (4, 8, 6)
    given = {"table": table, "values": torch.randn(3, 2, *size, generator=random)}
    return Filtered(len(size), outputs).eval(), given, size


QUICK = [("tokens", "labels"), ("signal", "logit")]


@pytest.mark.parametrize(
    ("kind", "output"), thorough_but(product(("tokens", "signal", "clip"), OUTPUTS), QUICK)
)
def test_everything_of_a_dictionary(kind: str, output: str, tmp_path: Path) -> None:
    net, given, size = made(kind, 1 if output == "logit" else 4)
    if OUTPUTS[output]:
        rv.set_preset(net, rv.Preset("mine", "own", **OUTPUTS[output]))
    targets = [[0], [1, 0], [1]] if output != "values" else [[0], [3, 1], [2]]
    methods = ["grad_cam", "occlusion", "integrated_gradients"]
    how: dict[str, Any] = {"methods": methods, "layers": "norm", "relu": False}
    exp = rv.explain(net, given, targets, options={methods[2]: {"steps": 4}}, progress=False, **how)
    main = "input_ids" if kind == "tokens" else "values"
    assert (exp.provenance["input"], exp.provenance["output"]) == (main, output)
    for method, layer in exp.maps:
        assert [len(maps) for maps in exp.maps[method, layer]] == [1, 2, 1]
        assert [each.shape[1:] for each in exp.upsampled(method, layer)] == [size] * 3
    checks = ["deletion", "insertion"]
    table = rv.faithfulness(net, given, exp, checks=checks, steps=4, progress=False)
    assert len(table) == 3 * 4 and table["p_random"].between(0, 1).all()
    known = "score" if output == "values" else "probability"
    assert table.attrs["provenance"]["score"] == known
    assert set(exp.diagnose()["cause"]) <= {"untrained weights", "no positive evidence"}
    assert len(rv.predict(net, given, top=1)) >= 3
    loss = {"targets": [0, 1, 1]} if output != "labels" else {"targets": [[0], [1, 0], [1]]}
    if output == "values":
        loss = {"targets": torch.zeros(3, 4)}
    assert rv.record(net, given, **loss).provenance["output"] == output
    with pytest.raises(ValueError, match="on_original: .* is a map over no photograph"):
        exp.on_original("grad_cam", "norm")
    rv.save(rv.plot_explanation(exp, 1), tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").stat().st_size > 1000
    exp.save(tmp_path / "kept.resviz")
    assert rv.load_explanation(tmp_path / "kept.resviz").equals(exp)


def test_masked_text_equals_captum() -> None:
    net, given = Masked().eval(), text()
    methods = ["integrated_gradients", "hires_cam"]
    exp = rv.explain(net, given, 2, methods=methods, layers="words", relu=False, progress=False)

    def run(ids: Tensor, mask: Tensor) -> Tensor:
        return net(input_ids=ids, attention_mask=mask)["logits"]

    ids, mask = given["input_ids"], given["attention_mask"]
    others: dict[str, Any] = {"target": 2, "additional_forward_args": (mask,)}
    wanted = LayerIntegratedGradients(run, net.words).attribute(
        ids, torch.zeros_like(ids), **others
    )
    found = exp.maps["integrated_gradients", "input"][:, 0]
    torch.testing.assert_close(found, wanted.sum(-1), atol=1e-6, rtol=1e-5)
    product = LayerGradientXActivation(run, net.words).attribute(ids, **others).sum(-1)
    found = exp.maps["hires_cam", "words"][:, 0]
    torch.testing.assert_close(found, product.detach(), atol=1e-6, rtol=1e-5)
    assert bool((exp.maps["integrated_gradients", "input"][1, 0, 5:] == 0).all())  # masked


def test_tokens_are_known_by_their_name_in_any_order() -> None:
    net, given = Masked().eval(), text()
    turned = dict(reversed(given.items()))
    exp = rv.explain(net, turned, 2, methods="occlusion")
    assert exp.provenance["input"] == "input_ids"
    assert exp.provenance["input_chosen"] == "the tokens"
    assert torch.equal(exp.inputs, given["input_ids"])


# ---- several inputs
def test_a_layer_of_the_text_is_about_the_text() -> None:
    net, given = (
        Both().eval(),
        {"pixel_values": torch.randn(2, 3, 12, 12), "input_ids": words_of(2)},
    )
    exp = rv.explain(net, given, 1, layers=["seen", "norm"], relu=False)
    assert [exp.input_of(layer) for layer in exp.layers] == ["pixel_values", "input_ids"]
    assert exp.upsampled("grad_cam", "norm").shape == (2, 1, 7)
    assert exp.upsampled("grad_cam", "seen").shape == (2, 1, 12, 12)
    assert exp.inputs_of("seen") is None
    assert torch.equal(exp.inputs_of("norm"), given["input_ids"])
    with pytest.raises(ValueError, match="plot_explanation: maps with 1 and 2 axes"):
        rv.plot_explanation(exp)
    assert rv.plot_explanation(exp, layers=["norm"], tokens=list("abcdefg")).data
    assert rv.plot_explanation(exp, layers=["seen"]).data


def test_files_keep_the_other_inputs(tmp_path: Path) -> None:
    net, given = (
        Both().eval(),
        {"pixel_values": torch.randn(2, 3, 12, 12), "input_ids": words_of(2)},
    )
    exp = rv.explain(net, given, 1, layers=["seen", "norm"], relu=False)
    exp.save(tmp_path / "both.resviz")
    again = rv.load_explanation(tmp_path / "both.resviz")
    assert again.equals(exp) and torch.equal(again.inputs_of("norm"), given["input_ids"])


def test_the_input_that_was_asked_for() -> None:
    net, given = (
        Both().eval(),
        {"pixel_values": torch.randn(2, 3, 12, 12), "input_ids": words_of(2)},
    )
    how: dict[str, Any] = {"methods": ["integrated_gradients", "grad_cam"], "progress": False}
    exp = rv.explain(net, given, 1, input="input_ids", **how)
    assert [maps.shape for maps in exp.maps.values()] == [(2, 1, 7)] * 2
    falls = rv.explain(net, given, 1, methods="occlusion", input="input_ids").maps
    blank = given["input_ids"].clone()
    blank[:, 3] = 0
    fall = net(**given) - net(given["pixel_values"], blank)
    torch.testing.assert_close(falls["occlusion", "input"][:, 0, 3], fall[:, 1].detach())
    with pytest.raises(ValueError, match="layer 'seen' depends on pixel_values and not on"):
        rv.explain(net, given, 1, layers="seen", input="input_ids")


def test_the_second_call_reads_the_second_text() -> None:
    net, one, other = Pair().eval(), words_of(2, 7), words_of(2, 5, seed=2)
    exp = rv.explain(net, (one, other), 1, layers=[("norm", 0), ("norm", 1)], relu=False)
    assert [tuple(maps.shape) for maps in exp.maps.values()] == [(2, 1, 7), (2, 1, 5)]
    assert torch.equal(exp.inputs_of("norm#1"), other)
    with pytest.raises(ValueError, match="plot_explanation: maps about the inputs 0 and 1"):
        rv.plot_explanation(exp)
    with pytest.raises(ValueError, match="faithfulness: maps about the inputs 0, 1; of one"):
        rv.faithfulness(net, (one, other), exp)
    second = rv.explain(net, (one, other), 1, layers=[("norm", 1)], relu=False)
    table = rv.faithfulness(net, (one, other), second, checks="deletion")
    assert table.attrs["provenance"]["input"] == "1"
