"""Default targets and losses of every kind of output, against torch and by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import resviz as rv
from left_as_found import left_as_found

IMAGES = torch.linspace(-1, 1, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
HALF = (0.5, 0.5, 0.5)


def preset(**about: Any) -> rv.Preset:
    return rv.Preset("mine", "own", HALF, HALF, None, None, **about)


def head(outputs: int, *, squeeze: bool = False) -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(20, outputs)]
    return nn.Sequential(*layers, *([nn.Flatten(0)] if squeeze else [])).eval()


def dense(channels: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, channels, 1)).eval()


MARKS = torch.tensor([[1, 0, 1], [0, 1, 0]])
REAL = torch.tensor([[0.5], [2.0]])
PIXELS = torch.arange(32).reshape(2, 4, 4) % 3


def _cross(z: Tensor) -> Tensor:
    return F.cross_entropy(z, torch.tensor([2, 0]), reduction="none")


def _bce(z: Tensor, marks: Tensor) -> Tensor:
    found = F.binary_cross_entropy_with_logits(z, marks.float(), reduction="none")
    return found.flatten(1).mean(1)


CASES: list[tuple[str, nn.Module, dict[str, Any], Any, str, Any]] = [
    ("classes", head(3), {}, None, "logit", lambda z: z.amax(1)),
    ("classes", head(3), {}, [2, 0], "cross_entropy", _cross),
    ("labels", head(3), {"output": "labels"}, None, "logit", lambda z: z.amax(1)),
    ("labels", head(3), {"output": "labels"}, MARKS, "bce", lambda z: _bce(z, MARKS)),
    ("labels", head(3), {"output": "labels"}, MARKS.bool(), "bce", lambda z: _bce(z, MARKS)),
    *(
        ("labels", head(3), {"output": "labels"}, rows, "bce", lambda z: _bce(z, MARKS))
        for rows in ([[0, 2], [1]], MARKS.tolist(), MARKS.bool().tolist(), MARKS.double().tolist())
    ),
    (
        *("labels", head(2), {"output": "labels"}, [[0.25, 0.75], [1.0, 0.0]], "bce"),
        lambda z: _bce(z, torch.tensor([[0.25, 0.75], [1.0, 0.0]])),
    ),
    ("logit", head(1), {"output": "logit"}, None, "logit", lambda z: z[:, 0].abs()),
    ("logit", head(1), {"output": "logit"}, [1, 0], "bce", lambda z: _bce(z, MARKS[:, :1])),
    ("logit", head(1), {"output": "logit"}, torch.tensor([[1.0], [0.0]]), "bce", None),
    ("logit", head(1), {"classes": ("no", "yes")}, [1, 0], "bce", None),
    ("logit", head(1, squeeze=True), {"output": "logit"}, [1, 0], "bce", None),
    ("values", head(1), {"output": "values"}, None, "logit", lambda z: z[:, 0]),
    ("values", head(1), {"output": "values"}, REAL, "mse", lambda z: (z - REAL)[:, 0] ** 2),
    ("values", head(1), {"output": "values"}, REAL[:, 0], "mse", None),
    ("values", head(1, squeeze=True), {"output": "values"}, REAL[:, 0], "mse", None),
    (
        *("values", head(3), {"output": "values"}, MARKS.double(), "mse"),
        lambda z: ((z - MARKS) ** 2).mean(1),
    ),
    ("map", dense(3), {}, None, "logit", lambda z: z.amax(1).mean((1, 2))),
    (
        *("map", dense(3), {}, PIXELS, "cross_entropy"),
        lambda z: F.cross_entropy(z, PIXELS, reduction="none").mean((1, 2)),
    ),
    ("map", dense(1), {}, None, "logit", lambda z: z[:, 0].abs().mean((1, 2))),
    *(
        ("map", dense(1), {}, marks, "bce", lambda z: _bce(z[:, 0], PIXELS.clamp(max=1)))
        for marks in (PIXELS.clamp(max=1), PIXELS.clamp(max=1)[:, None])
    ),
    ("unsaid", head(1), {}, None, "logit", lambda z: z[:, 0]),
    ("unsaid", head(1, squeeze=True), {}, None, "logit", lambda z: z),
]


@pytest.mark.parametrize(
    ("kind", "net", "about", "targets", "name", "by_hand"),
    CASES,
    ids=[f"{case[0]}-{case[4]}-{number}" for number, case in enumerate(CASES)],
)
def test_defaults(
    kind: str, net: nn.Module, about: dict[str, Any], targets: Any, name: str, by_hand: Any
) -> None:
    """Loss, its name, and the gradients of its mean, all as autograd has them."""
    with left_as_found(net):
        rec = rv.record(net, IMAGES, targets, preset=preset(**about))
    assert (rec.provenance["output"], rec.provenance["loss"]) == (kind, name)
    assert rec.provenance["output_said"] is ("output" in about)
    if by_hand is None:
        wide = _bce if name == "bce" else None
        by_hand = (
            (lambda z: wide(z.reshape(2, 1), MARKS[:, :1]))
            if wide
            else lambda z: (z.reshape(2, 1) - REAL)[:, 0] ** 2
        )
    expected = by_hand(net(IMAGES))
    torch.testing.assert_close(rec.loss, expected.detach().float())
    grads = torch.autograd.grad(expected.mean(), list(net.parameters()))
    norms = rec.parameters.set_index("parameter")["grad_norm"]
    for (parameter, _), grad in zip(net.named_parameters(), grads, strict=True):
        assert norms[parameter] == pytest.approx(float(grad.norm()), rel=1e-4, abs=1e-7)


def test_the_score_of_a_given_target() -> None:
    """loss="logit": of a class, a label, several, a side, a value, a class everywhere."""

    def loss(net: nn.Module, targets: Any, **about: Any) -> Tensor:
        found = rv.record(net, IMAGES, targets, "logit", preset=preset(**about)).loss
        assert found is not None
        return found

    z, y, m = (net(IMAGES).detach() for net in (head(3), head(1), dense(3)))
    torch.testing.assert_close(loss(head(3), [2, 0]), torch.stack([z[0, 2], z[1, 0]]))
    torch.testing.assert_close(loss(head(3), [2, 0], output="labels"), z[[0, 1], [2, 0]])
    torch.testing.assert_close(loss(head(3), MARKS, output="labels"), (z * MARKS).sum(1))
    torch.testing.assert_close(loss(head(1), [1, 0], output="logit"), y[:, 0] * MARKS.new([1, -1]))
    torch.testing.assert_close(loss(head(3), [2, 0], output="values"), z[[0, 1], [2, 0]])
    torch.testing.assert_close(loss(head(1), [0, 0]), y[:, 0])
    torch.testing.assert_close(loss(dense(3), [2, 0]), m[[0, 1], [2, 0]].mean((1, 2)))


@pytest.mark.parametrize(
    ("net", "about", "targets", "loss", "words"),
    [
        (head(1), {}, [1, 0], None, "targets of one output whose meaning nobody said; a preset"),
        (
            head(1),
            {},
            [0, 0],
            "cross_entropy",
            "loss 'cross_entropy' of an output of unsaid.* a preset says so: rv.Preset",
        ),
        (head(3), {}, [2, 0], "bce", "loss 'bce' of softmax over classes; one of logit, cross_e"),
        (head(3), {"output": "labels"}, [2, 0], "cross_entropy", "of independent labels; one of"),
        (head(3), {"output": "labels"}, [2, 0], None, "0 or 1 for every label, or a list of label"),
        (head(3), {"output": "labels"}, MARKS * 2, None, "targets from 0 to 2; 0 to 1"),
        (head(3), {"output": "labels"}, [[0, 3], [1]], None, "target 3 with 3 classes"),
        (head(2), {"output": "labels"}, [[0, 1], [1, 0]], None, "2 labels, which may be marks or"),
        (head(3), {}, MARKS, None, r"one class index per image would be right, or a preset that"),
        (head(1), {"output": "logit"}, [1, 2], None, "targets from 1 to 2; 0 to 1"),
        (head(1), {"output": "logit"}, [1], None, "0 or 1 for each"),
        (head(3), {"output": "values"}, None, None, "3 values and no target; one of them"),
        (head(3), {"output": "values"}, [1.0, 2.0], None, "the same shape would be right"),
        (dense(3), {}, [[1, 2], [0, 1]], None, r"integers \(2, 4, 4\) would be right"),
        (dense(3), {}, PIXELS + 1, None, "target 3 with 3 classes"),
        (dense(1), {}, MARKS.new_ones(4, 4, 2), None, r"map \(2, 1, 4, 4\); 0 to 1 \(2, 4, 4\)"),
        (head(1), {"output": "values"}, None, "mse", "loss 'mse' without targets; the true values"),
        (dense(1), {}, None, "cross_entropy", "of a map of 1 channel; one of logit, bce, or a fun"),
        (dense(3), {}, PIXELS, "bce", "of a map of 3 channels; one of logit, cross_entropy, or a"),
        (head(3), {"output": "none"}, None, None, "no loss; .* gradients=False"),
        (head(3), {"output": "map"}, None, None, r"output 'map' in the preset, and the network"),
        (head(3), {"output": "logit"}, None, None, "output 'logit' in the preset, and the net"),
        (head(3), {}, [0, 1], "mae", "loss 'mae'; one of logit, cross_entropy, bce, mse, or a fu"),
    ],
)
def test_refused(net: nn.Module, about: dict[str, Any], targets: Any, loss: Any, words: str):
    with left_as_found(net), pytest.raises((ValueError, TypeError), match=f"^record: .*{words}"):
        rv.record(net, IMAGES, targets, loss, preset=preset(**about))


# ---- a loss of the user's own
class Packed(nn.Module):
    """Features and logits in a dictionary of its own names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.conv(x).relu().mean((2, 3))
        return {"features": features, "scores": self.fc(features)}


def test_it_is_called_with_what_the_network_returns() -> None:
    torch.manual_seed(0)
    net, seen = Packed().eval(), []

    def loss(output: Any, targets: Any) -> Tensor:
        seen.append((sorted(output), targets))
        return output["features"].square().sum(1)

    rec = rv.record(net, IMAGES, loss=loss)
    torch.testing.assert_close(rec.loss, net(IMAGES)["features"].square().sum(1).detach())
    assert rec.logits is None and seen == [(["features", "scores"], None)]
    given = torch.tensor([0.25, 4.0])
    rv.record(net, IMAGES, given, loss)
    assert seen[1][1] is not None and torch.equal(seen[1][1], given)
    with pytest.raises(TypeError, match="returned {'features': .*Say which: rv.Preset"):
        rv.record(net, IMAGES)
    named = rv.record(net, IMAGES, preset=preset(logits="scores"))
    assert named.logits is not None and named.logits.shape == (2, 2)


def test_without_targets_it_gets_what_the_network_says() -> None:
    """A class, a label, a side; of values nothing is the largest, and features say nothing."""

    def given(net: nn.Module, **about: Any) -> Any:
        return rv.record(net, IMAGES, None, lambda z, _: z[:, 0], preset=preset(**about)).targets

    z, y = head(3)(IMAGES), head(1)(IMAGES)
    assert torch.equal(given(head(3)), z.argmax(1))
    assert torch.equal(given(head(3), output="labels"), z.argmax(1))
    assert torch.equal(given(head(1), output="logit"), (y[:, 0] > 0).long())
    assert given(head(3), output="values") is None and given(head(3), output="none") is None
    assert given(head(1)) is None


def test_targets_of_its_own_are_handed_on_as_they_are() -> None:
    net = head(1)
    rec = rv.record(net, IMAGES, REAL[:, 0], lambda z, t: (z[:, 0] - t) ** 2)
    torch.testing.assert_close(rec.loss, (net(IMAGES).detach() - REAL)[:, 0] ** 2)
    assert rec.targets is not None and torch.equal(rec.targets, REAL[:, 0])


# ---- without gradients, no output is needed
@pytest.mark.parametrize("returned", ["two tensors", "boxes", "nothing"])
def test_layers_and_additions_need_no_logits(returned: str, tmp_path: Any) -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Any:
            x = x + self.conv(x).relu()
            boxes = [{"boxes": x[:, 0, 0]}]
            return {"two tensors": (x, x.mean((2, 3))), "boxes": boxes, "nothing": None}[returned]

    net = Block().eval()
    rec = rv.record(net, IMAGES, gradients=False)
    assert len(rec.residuals) == 1 and rec.logits is None and rec.targets is None
    assert rec.provenance["output"] == "none" and "2 inputs" in repr(rec)
    rec.save(tmp_path / "rec.resviz")
    assert rv.load_recording(tmp_path / "rec.resviz").equals(rec)
    assert len(rv.residual_branches(net, IMAGES)) == 1
