"""What an output means: read off the preset, or off its shape where that is safe."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

import resviz as rv
from resviz.networks.outputs import (
    UNSAID,
    Output,
    describe,
    logits_of,
    of_record,
    output_of,
    tensor_or_none,
)

HALF = (0.5, 0.5, 0.5)


def preset(**about: Any) -> rv.Preset:
    return rv.Preset("mine", "own", HALF, HALF, None, None, **about)


class Named(NamedTuple):
    features: Tensor
    logits: Tensor


ONE, TWO = torch.zeros(2, 3), torch.ones(2, 5)


@pytest.mark.parametrize(
    ("returned", "part"),
    [
        (ONE, None),
        ({"logits": ONE, "out": TWO}, None),
        ({"aux": TWO, "out": ONE}, None),
        (Named(TWO, ONE), None),
        ([ONE], None),
        ((ONE, [TWO], "more"), None),
        ((TWO, ONE), 1),
        ((TWO, ONE), -1),
        ({"scores": ONE, "logits": TWO}, "scores"),
        (Named(ONE, TWO), "features"),
        (Named(ONE, TWO), 0),
    ],
)
def test_the_output_in_what_a_network_returns(returned: Any, part: Any) -> None:
    assert logits_of(returned, part) is ONE


@pytest.mark.parametrize(
    ("returned", "part"),
    [
        ((TWO, ONE), None),  # features and logits, or logits and features
        ([ONE, TWO], None),
        ({"a": ONE}, None),
        (None, None),
        ("logits", None),
        ((), None),
        ([{"boxes": ONE}], None),
        ((TWO, ONE), 2),
        ((TWO, ONE), "logits"),
        (ONE, 0),  # a row of it is no part
        ({"a": [ONE]}, "a"),
    ],
)
def test_what_is_not_believed(returned: Any, part: Any) -> None:
    assert tensor_or_none(returned, part) is None
    with pytest.raises(TypeError, match=r"the network returned .*Say which: rv.Preset"):
        logits_of(returned, part)


@pytest.mark.parametrize(
    ("shape", "names", "kind"),
    [
        ((2, 3), (), "classes"),
        ((2, 2), ("a",), "classes"),
        ((2, 1), (), UNSAID),
        ((2, 1), ("ill",), UNSAID),
        ((2, 1), ("healthy", "ill"), "logit"),
        ((2,), ("healthy", "ill"), "logit"),
        ((2,), (), UNSAID),
        ((2, 3, 4, 4), (), "map"),
        ((2, 1, 4, 4), (), "map"),
        ((2, 7, 16), (), UNSAID),
        ((2, 3, 4, 4, 4), (), UNSAID),
    ],
)
def test_what_a_shape_tells(shape: tuple[int, ...], names: tuple[str, ...], kind: str) -> None:
    output = output_of(preset(classes=names)).seen(torch.zeros(shape))
    assert (output.kind, output.said) == (kind, False)
    assert Output().seen(None).kind == "none"


@pytest.mark.parametrize("said", [None, "map"])
def test_the_foreground_has_the_second_of_two_names(said: str | None) -> None:
    output = output_of(preset(classes=("ground", "lesion"), output=said))
    one, two = (output.seen(torch.zeros(2, channels, 4, 4)) for channels in (1, 2))
    assert (one.names, two.names) == (("lesion",), ("ground", "lesion"))
    net = torch.nn.Conv2d(3, 1, 1)
    table = rv.predict(net, torch.zeros(2, 3, 4, 4), preset=preset(classes=("ground", "lesion")))
    assert table["label"].tolist() == ["lesion", "lesion"]
    rec = rv.record(net, torch.zeros(2, 3, 4, 4), preset=preset(classes=("ground", "lesion")))
    assert of_record(rec.provenance, rec.logits).name(0) == "lesion"


@pytest.mark.parametrize(
    ("kind", "fits", "wrong"),
    [
        ("classes", [(2, 3)], [(2, 1), (2,), (2, 3, 4, 4)]),
        ("labels", [(2, 3), (2, 1)], [(2,), (2, 3, 4, 4)]),
        ("logit", [(2,), (2, 1)], [(2, 2), (2, 1, 4, 4)]),
        ("values", [(2,), (2, 1), (2, 4)], [(2, 3, 4, 4)]),
        ("map", [(2, 3, 4, 4), (2, 1, 4, 4), (2, 3, 9)], [(2, 3), (2,)]),
        ("none", [(2, 3), (2,), (2, 3, 4)], []),
    ],
)
def test_what_a_preset_says_must_fit(kind: str, fits: list[Any], wrong: list[Any]) -> None:
    output = output_of(preset(output=kind))
    for shape in fits:
        assert output.seen(torch.zeros(shape)).kind == kind
    for shape in wrong:
        with pytest.raises(ValueError, match=f"output '{kind}' in the preset, and the network"):
            output.seen(torch.zeros(shape))


@pytest.mark.parametrize("kind", ["classes", "labels", "values", "map", "none", None])
def test_without_an_output_it_is_none_whatever_a_preset_says(kind: str | None) -> None:
    output = output_of(preset(output=kind)).seen(None)
    assert (output.kind, output.said) == ("none", kind == "none")


def test_scores_and_probabilities_by_hand() -> None:
    z = torch.tensor([[1.0, -2.0]])
    assert torch.equal(Output("classes").probabilities(z), z.softmax(1))
    assert torch.equal(Output("labels").probabilities(z), z.sigmoid())
    assert Output("values").probabilities(z) is None
    assert Output(UNSAID).probabilities(z) is None
    one = torch.tensor([3.0, -1.0], dtype=torch.float16)
    logit = Output("logit")
    assert torch.equal(logit.scores(one), torch.tensor([[-3.0, 3.0], [1.0, -1.0]]))
    assert torch.allclose(logit.probabilities(one).sum(1), torch.ones(2))
    assert logit.predicted(logit.scores(one[:, None])).tolist() == [1, 0]
    maps = torch.randn(1, 1, 2, 2)
    assert torch.equal(Output("map").probabilities(maps), maps.sigmoid())
    with pytest.raises(ValueError, match="2 values and no target; .*: x, y"):
        Output("values", ("x", "y")).predicted(z)


def test_what_a_record_holds_of_it() -> None:
    said = output_of(preset(output="values", units="years", classes=("age",)))
    about = said.about() | {"classes": ["age"]}
    assert about["output"] == "values" and about["units"] == "years"
    again = of_record(about, torch.zeros(2, 1))
    assert (again.kind, again.names, again.units, again.said) == ("values", ("age",), "years", True)
    assert of_record({"classes": ["a", "b"]}, torch.zeros(1, 2)).kind == "classes"  # an old record
    assert of_record({"classes": ["a"]}, torch.zeros(1, 2)).names == ()


def test_descriptions() -> None:
    assert describe((TWO, {"a": ONE})) == "a tuple of 2: (2, 5), {'a': (2, 3)}"
    assert describe([]) == "a list of 0: nothing"
