"""Signals, tokens and video: numbers by hand, Captum's own, and events whose place is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from captum.attr import LayerGradientXActivation, LayerIntegratedGradients
from torch import Tensor, nn

import resviz as rv
from cases import OF_EACH_KIND, thorough_but
from left_as_found import assert_left_as_found, left_as_found
from resviz.networks.signals import planted_events

METHODS = [
    *("grad_cam", "grad_cam_pp", "hires_cam", "xgrad_cam", "layer_cam", "eigen_cam"),
    *("eigen_grad_cam", "finer_cam", "cam", "score_cam", "ablation_cam"),
    *("rise", "occlusion", "saliency", "smooth_grad", "integrated_gradients", "gradient_shap"),
    *("guided_backprop", "guided_grad_cam", "deep_lift"),
]
FEW = {
    "rise": {"masks": 20},
    "smooth_grad": {"samples": 2},
    "gradient_shap": {"samples": 2},
    "integrated_gradients": {"steps": 4},
}


def signal_net(channels: int = 3) -> nn.Sequential:
    torch.manual_seed(0)
    first = nn.Conv1d(channels, 16, 5, padding=2, stride=2)
    return nn.Sequential(
        first, nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 4)
    ).eval()


def clip_net() -> nn.Sequential:
    torch.manual_seed(0)
    first = nn.Conv3d(2, 16, 3, padding=1, stride=2)
    return nn.Sequential(
        first, nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(16, 4)
    ).eval()


class Bag(nn.Module):
    """The mean of its tokens' rows, and two layers."""

    def __init__(self, padding: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.embedding = nn.Embedding(30, 8, padding_idx=padding)
        self.hidden = nn.Linear(8, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.hidden(self.embedding(tokens).mean(1))))


class Reader(nn.Module):
    """Shaped as BERT: words, positions and kinds, LayerNorm, attention, a pooler at the start."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.words = nn.Embedding(30, 8, padding_idx=0)
        self.places, self.kinds = nn.Embedding(30, 8), nn.Embedding(2, 8)
        self.norm = nn.LayerNorm(8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.pooler, self.head = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1])[None].expand_as(tokens)
        x = self.words(tokens) + self.places(places) + self.kinds(torch.zeros_like(tokens))
        x = self.encoder(self.norm(x))
        return self.head(torch.tanh(self.pooler(x[:, 0])))


def tokens_of(count: int, length: int) -> Tensor:
    return torch.randint(1, 30, (count, length), generator=torch.Generator().manual_seed(3))


# ---- signals and video
@pytest.mark.parametrize("method", thorough_but(METHODS, (*OF_EACH_KIND, "score_cam", "rise")))
@pytest.mark.parametrize("kind", ["signal", "clip"])
def test_every_method_has_as_many_axes_as_the_input(kind: str, method: str) -> None:
    net = signal_net() if kind == "signal" else clip_net()
    shape = (2, 3, 24) if kind == "signal" else (2, 2, 4, 8, 6)
    images = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    options = {method: FEW[method]} if method in FEW else None
    how = {"methods": method, "layers": "1", "options": options, "relu": False}
    exp = rv.explain(net, images, [[0, 1]] * 2, progress=False, **how)
    ((_, layer),) = exp.maps
    grid = shape[2:] if layer == "input" or method == "guided_grad_cam" else None
    assert exp.maps[method, layer].shape[:2] == (2, 2)
    assert exp.maps[method, layer].shape[2:] == (grid or net[0](images).shape[2:])
    assert exp.upsampled(method, layer).shape == (2, 2, *shape[2:])


def test_cams_of_a_signal_by_hand() -> None:
    net = signal_net()
    images = torch.randn(2, 3, 24, generator=torch.Generator().manual_seed(1))
    exp = rv.explain(net, images, 1, methods=["grad_cam", "cam"], layers="1", relu=False)
    activations = net[1](net[0](images)).detach()  # (2, 16, 12)
    by_hand = torch.einsum("k,nkl->nl", net[4].weight[1].detach(), activations)
    torch.testing.assert_close(exp.maps["cam", "1"][:, 0], by_hand)
    torch.testing.assert_close(exp.maps["grad_cam", "1"][:, 0], by_hand / 12)
    assert exp.provenance["explained"][0]["axes"] == "NCL"


def test_occlusion_of_a_signal_by_hand() -> None:
    net = signal_net()
    images = torch.randn(1, 3, 24, generator=torch.Generator().manual_seed(1))
    options = {"occlusion": {"window": 6, "stride": 6, "baseline": 0.5}}
    exp = rv.explain(net, images, 1, methods="occlusion", options=options)
    for part in range(4):
        covered = images.clone()
        covered[:, :, 6 * part : 6 * part + 6] = 0.5
        fall = (net(images) - net(covered))[0, 1].detach()
        found = exp.maps["occlusion", "input"][0, 0, 6 * part : 6 * part + 6]
        torch.testing.assert_close(found, fall.expand(6))


def test_one_position_wide() -> None:
    """(N, C, H, 1), as recordings come that are laid out as pictures."""
    torch.manual_seed(0)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    net = nn.Sequential(nn.Conv2d(11, 8, (3, 1), padding=(1, 0)), nn.ReLU(), *head).eval()
    images = torch.rand(1, 11, 60, 1)
    exp = rv.explain(net, images, methods=["grad_cam", "occlusion"])
    assert exp.maps["grad_cam", "1"].shape == (1, 1, 60, 1)
    assert exp.maps["occlusion", "input"].shape == (1, 1, 60, 1)
    table = rv.faithfulness(net, images, exp, checks=["deletion", "insertion", "road"])
    assert table["deletion"].notna().all()
    assert rv.plot_explanation(exp).layout.title.text


@pytest.mark.parametrize(
    "methods", [["grad_cam", "layer_cam"], pytest.param("occlusion", marks=pytest.mark.thorough)]
)
def test_the_map_falls_on_the_planted_event(methods: Any) -> None:
    net = rv.load_model("signals-resnet8", device="cpu")
    made = planted_events(100, seed=7)
    exp = rv.explain(net, made.signals, made.events, methods=methods, chunk=64, progress=False)
    at = torch.arange(256)
    inside = (at >= made.spans[:, :1]) & (at < made.spans[:, 1:])
    for key in exp.maps:
        maps = exp.upsampled(*key)[:, 0]
        largest = maps == maps.amax(1, keepdim=True)
        assert int((~largest | inside).all(1).sum()) >= 95, key  # every one of equal ones


def test_occlusion_moves_along_a_signal_by_a_quarter_of_its_window() -> None:
    net = signal_net()
    images = torch.randn(1, 3, 56, generator=torch.Generator().manual_seed(1))
    found = rv.explain(net, images, 1, methods="occlusion")
    options = {"occlusion": {"window": 8, "stride": 2}}
    same = rv.explain(net, images, 1, methods="occlusion", options=options)
    assert torch.equal(*(exp.maps["occlusion", "input"] for exp in (found, same)))


# ---- tokens
@pytest.mark.parametrize("net", [Bag(3), Bag(), Reader()], ids=["bag", "no padding", "reader"])
def test_gradients_through_the_embedding_are_those_of_captum(net: Any) -> None:
    net = net.eval()
    embedding = net.words if isinstance(net, Reader) else net.embedding
    path = "words" if isinstance(net, Reader) else "embedding"
    tokens, blank = tokens_of(3, 7), embedding.padding_idx or 0
    methods = ["integrated_gradients", "hires_cam"]
    exp = rv.explain(net, tokens, 2, methods=methods, layers=path, relu=False, progress=False)
    captum = LayerIntegratedGradients(net, embedding)
    wanted = captum.attribute(tokens, torch.full_like(tokens, blank), target=2).sum(-1)
    torch.testing.assert_close(
        exp.maps["integrated_gradients", "input"][:, 0], wanted, atol=1e-6, rtol=1e-5
    )
    product = LayerGradientXActivation(net, embedding).attribute(tokens, target=2).sum(-1)
    found = exp.maps["hires_cam", path][:, 0]
    torch.testing.assert_close(found, product.detach(), atol=1e-6, rtol=1e-5)
    assert exp.provenance["options"]["integrated_gradients"]["baseline"] == blank


def test_positions_of_equal_numbers_are_not_taken_for_the_tokens() -> None:
    net, tokens = Reader().eval(), torch.arange(7)[None]
    exp = rv.explain(net, tokens, 2, methods="integrated_gradients", progress=False)
    captum = LayerIntegratedGradients(net, net.words)
    wanted = captum.attribute(tokens, torch.zeros_like(tokens), target=2).sum(-1)
    found = exp.maps["integrated_gradients", "input"][:, 0]
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("blank", [None, 11])
def test_occlusion_puts_another_token_in_place(blank: int | None) -> None:
    net, tokens = Bag(3).eval(), tokens_of(2, 6)
    options = {"occlusion": {"baseline": blank}}
    exp = rv.explain(net, tokens, 1, methods="occlusion", options=options)
    falls = []
    for place in range(6):
        other = tokens.clone()
        other[:, place] = 3 if blank is None else blank
        falls.append((net(tokens) - net(other))[:, 1].detach())
    torch.testing.assert_close(exp.maps["occlusion", "input"][:, 0], torch.stack(falls, 1))


@pytest.mark.parametrize("mode", ["mean", "sum"])
def test_a_bag_has_gradients_of_its_tokens(mode: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.EmbeddingBag(30, 8, mode=mode), nn.Linear(8, 3)).eval()
    exp = rv.explain(net, tokens_of(2, 5), 1, methods=["integrated_gradients", "occlusion"])
    # the score is linear in each row: taking a token away costs what it brought
    torch.testing.assert_close(*exp.maps.values(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    "method", ["rise", "saliency", "smooth_grad", "gradient_shap", "eigen_cam"]
)
def test_other_methods_of_tokens(method: str) -> None:
    net, tokens = Reader().eval(), tokens_of(2, 9)
    options = {method: FEW[method]} if method in FEW else None
    exp = rv.explain(net, tokens, methods=method, layers="norm", options=options, progress=False)
    (maps,) = exp.maps.values()
    assert maps.shape == (2, 1, 9)


@pytest.mark.parametrize("method", ["score_cam", "guided_backprop", "guided_grad_cam", "deep_lift"])
def test_methods_that_cannot_take_ids_say_so(method: str) -> None:
    with pytest.raises(ValueError, match=rf"explain: {method} of tokens \(2, 5\), whose numbers"):
        rv.explain(Bag().eval(), tokens_of(2, 5), methods=method, layers="embedding")


class Wave(nn.Module):
    """A waveform (N, L), or a signal (N, 1, L)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.relu = nn.Conv1d(1, 4, 5, padding=2, stride=2), nn.ReLU()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, None] if x.ndim == 2 else x
        return self.fc(self.relu(self.conv(x)).mean(2))


@pytest.mark.parametrize("method", ["score_cam", "guided_grad_cam"])
def test_a_waveform_is_a_signal_of_one_channel(method: str) -> None:
    net, given = Wave().eval(), torch.randn(2, 32)
    ours, expected = (
        rv.explain(net, each, 1, methods=method, layers="relu", relu=False).maps[method, "relu"]
        for each in (given, given[:, None])
    )
    torch.testing.assert_close(ours, expected)


def test_tokens_that_enter_no_embedding() -> None:
    class OneHot(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(30, 4)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(nn.functional.one_hot(tokens, 30).float().mean(1))

    net = OneHot().eval()
    with pytest.raises(ValueError, match="explain: tokens that enter no nn.Embedding"):
        rv.explain(net, tokens_of(1, 5), methods="saliency")
    exp = rv.explain(net, tokens_of(1, 5), methods="occlusion")
    assert exp.provenance["options"]["occlusion"]["baseline"] == 0


@pytest.mark.parametrize("baseline, words", [(77, "77; 0 to 29"), (0.5, "0.5; a whole number")])
def test_a_token_that_there_is_not(baseline: float, words: str) -> None:
    options = {"occlusion": {"baseline": baseline}}
    with pytest.raises((TypeError, ValueError), match=f"explain: baseline, .* {words}"):
        rv.explain(Bag().eval(), tokens_of(1, 5), methods="occlusion", options=options)


def test_auto_takes_a_layer_with_every_token() -> None:
    assert rv.explain(Bag().eval(), tokens_of(1, 5)).maps["grad_cam", "embedding"].shape[2:] == (5,)
    exp = rv.explain(Reader().eval(), tokens_of(1, 5))
    (maps,) = exp.maps.values()
    assert maps.shape == (1, 1, 5)


def test_the_network_is_left_as_found() -> None:
    net, tokens = Reader(), tokens_of(2, 5)
    methods = ["integrated_gradients", "occlusion", "grad_cam"]
    how = {"methods": methods, "layers": "norm", "relu": False, "progress": False}
    exp = assert_left_as_found(net, lambda: rv.explain(net, tokens, **how))
    how = {"checks": "deletion", "steps": 2, "progress": False}
    assert_left_as_found(net, lambda: rv.faithfulness(net, tokens, exp, **how))
    with pytest.raises(ValueError, match="no option"), left_as_found(net):
        rv.explain(net, tokens, methods="rise", options={"rise": {"window": 3}})


# ---- files
def test_an_explanation_keeps_what_it_lies_over(tmp_path: Path) -> None:
    tokens = tokens_of(2, 5)
    exp = rv.explain(Bag().eval(), tokens, methods="occlusion")
    exp.save(tmp_path / "words.resviz")
    again = rv.load_explanation(tmp_path / "words.resviz")
    assert again.equals(exp) and torch.equal(again.inputs, tokens)


def test_a_map_of_other_axes_is_not_resized() -> None:
    net, images = signal_net(), torch.randn(1, 3, 24)
    exp = rv.explain(net, images, layers="1", reshape=lambda out: out[:, :, None])
    assert exp.upsampled("grad_cam", "1", (4, 24)).shape == (1, 1, 4, 24)
    with pytest.raises(ValueError, match="Explanation: maps .* to the size"):
        exp.upsampled("grad_cam", "1")


# ---- channels last
class Turned(nn.Module):
    """Takes (N, T, C), for a convolution or for a recurrent network."""

    def __init__(self, recurrent: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.LSTM(3, 6, batch_first=True) if recurrent else nn.Conv1d(3, 6, 3, padding=1)
        self.mixed, self.head = nn.Linear(6, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.first, nn.LSTM):
            x = self.first(x)[0]
        else:
            x = self.first(x.transpose(1, 2)).transpose(1, 2)
        return self.head(torch.tanh(self.mixed(x)).mean(1))


@pytest.mark.parametrize("recurrent", [True, False])
def test_channels_that_come_last(recurrent: bool) -> None:
    net, images = Turned(recurrent).eval(), torch.randn(2, 12, 3)
    exp = rv.explain(net, images, layers="mixed", relu=False)
    assert exp.maps["grad_cam", "mixed"].shape == exp.upsampled("grad_cam", "mixed").shape
    assert exp.maps["grad_cam", "mixed"].shape == (2, 1, 12)
    drawn = [trace for trace in rv.plot_explanation(exp).data if trace.name == "signal"]
    assert [len(trace.x) for trace in drawn] == [12] * 3
    for method in ("saliency", "occlusion"):
        with pytest.raises(ValueError, match=rf"explain: {method} of inputs .*, whose channels"):
            rv.explain(net, images, methods=method)
    with pytest.raises(ValueError, match="faithfulness: checks of inputs"):
        rv.faithfulness(net, images, exp)
