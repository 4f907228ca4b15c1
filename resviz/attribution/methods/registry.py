"""The registry: every method, what it needs and where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from torch import Tensor

from resviz.attribution.methods import cam, perturbation
from resviz.attribution.methods import captum as captum_methods
from resviz.errors import closest

ARXIV = "https://arxiv.org/abs/"


@dataclass(frozen=True)
class Method:
    """A row of the registry.

    Attributes:
        function: see the module it comes from.
        kind: what it is computed from, and so how it is called: "gradients" (activations and
            gradients), "activations", "head" (activations and the last layer's weights), "masks"
            (many masked passes), "captum".
        at: "layer": a map per layer; "input": one at the input's resolution, under the layer name
            "input"; "both": at the input's resolution, one per layer.
        cost: passes for each image, in words.
        paper: author, year and identifier. link: where to read it.
        signed: negative values are kept; a method without has a last ReLU, or none are possible.
        options: names and defaults of what can be set.
    """

    function: Callable[..., Tensor]
    kind: str
    at: str
    cost: str
    paper: str
    link: str
    signed: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


_ONE = "1 forward and 1 backward per target, shared"
_BACK = "1 forward, 1 backward per target"

METHODS = {
    "grad_cam": Method(
        cam.grad_cam, "gradients", "layer", _ONE, "Selvaraju et al. 2016", ARXIV + "1610.02391"
    ),
    "grad_cam_pp": Method(
        cam.grad_cam_pp,
        "gradients",
        "layer",
        _ONE,
        "Chattopadhay et al. 2017",
        ARXIV + "1710.11063",
    ),
    "hires_cam": Method(
        cam.hires_cam, "gradients", "layer", _ONE, "Draelos and Carin 2020", ARXIV + "2011.08891"
    ),
    "xgrad_cam": Method(
        cam.xgrad_cam, "gradients", "layer", _ONE, "Fu et al. 2020", ARXIV + "2008.02312"
    ),
    "layer_cam": Method(
        cam.layer_cam,
        "gradients",
        "layer",
        _ONE,
        "Jiang et al. 2021",
        "https://doi.org/10.1109/TIP.2021.3089943",
    ),
    "eigen_grad_cam": Method(
        cam.eigen_grad_cam,
        "gradients",
        "layer",
        _ONE,
        "Eigen-CAM (Muhammad and Yeasin 2020) of g A",
        ARXIV + "2008.00299",
    ),
    "finer_cam": Method(
        cam.grad_cam,
        "gradients",
        "layer",
        "1 backward more per target",
        "Zhang et al. 2025",
        ARXIV + "2501.11309",
        options={"gamma": 0.6, "references": 3},
    ),
    "cam": Method(
        cam.weighted_sum,
        "head",
        "layer",
        "1 forward, shared; needs pooling and one linear layer after the layer",
        "Zhou et al. 2015",
        ARXIV + "1512.04150",
    ),
    "eigen_cam": Method(
        cam.eigen_cam,
        "activations",
        "layer",
        "1 forward, shared; the same for every target",
        "Muhammad and Yeasin 2020",
        ARXIV + "2008.00299",
    ),
    "score_cam": Method(
        perturbation.score_cam,
        "masks",
        "layer",
        "1 forward per channel",
        "Wang et al. 2019",
        ARXIV + "1910.01279",
    ),
    "ablation_cam": Method(
        perturbation.ablation_cam,
        "masks",
        "layer",
        "1 forward per channel, from the layer on; none before pooling and one linear layer",
        "Desai and Ramaswamy 2020",
        "https://doi.org/10.1109/WACV45572.2020.9093360",
    ),
    "rise": Method(
        perturbation.rise,
        "masks",
        "input",
        "1 forward per mask",
        "Petsiuk et al. 2018",
        ARXIV + "1806.07421",
        options={"masks": 1000, "cells": 7, "keep": 0.5, "seed": 0},
        signed=True,
    ),
    "occlusion": Method(
        perturbation.occlusion,
        "masks",
        "input",
        "1 forward per place of the patch",
        "Zeiler and Fergus 2013",
        ARXIV + "1311.2901",
        options={"window": None, "stride": None},
        signed=True,
    ),
    "saliency": Method(
        captum_methods.saliency,
        "captum",
        "input",
        _BACK,
        "Simonyan et al. 2013",
        ARXIV + "1312.6034",
    ),
    "smooth_grad": Method(
        captum_methods.smooth_grad,
        "captum",
        "input",
        "1 forward and backward per sample",
        "Smilkov et al. 2017",
        ARXIV + "1706.03825",
        options={"samples": 25, "noise": 0.15, "seed": 0},
    ),
    "integrated_gradients": Method(
        captum_methods.integrated_gradients,
        "captum",
        "input",
        "1 forward and backward per step",
        "Sundararajan et al. 2017",
        ARXIV + "1703.01365",
        options={"steps": 50},
        signed=True,
    ),
    "gradient_shap": Method(
        captum_methods.gradient_shap,
        "captum",
        "input",
        "1 forward and backward per sample",
        "Lundberg and Lee 2017",
        ARXIV + "1705.07874",
        options={"samples": 25, "noise": 0.1, "seed": 0},
        signed=True,
    ),
    "guided_backprop": Method(
        captum_methods.guided_backprop,
        "captum",
        "input",
        _BACK + "; needs nn.ReLU modules",
        "Springenberg et al. 2014",
        ARXIV + "1412.6806",
    ),
    "guided_grad_cam": Method(
        captum_methods.guided_grad_cam,
        "captum",
        "both",
        _BACK + "; needs nn.ReLU modules",
        "Selvaraju et al. 2016",
        ARXIV + "1610.02391",
    ),
    "deep_lift": Method(
        captum_methods.deep_lift,
        "captum",
        "input",
        "1 forward and backward per target; no module may run twice",
        "Shrikumar et al. 2017",
        ARXIV + "1704.02685",
        signed=True,
    ),
}


def explanation_methods() -> pd.DataFrame:
    """The methods that :func:`resviz.explain` knows.

    Returns:
        A row per method: method (its name), definition (what the map is, with its equation), at
        ("layer", "input" or "both": at the input's resolution, one per layer), signed (whether
        negative values are kept), cost (passes for each image), options (what can be set in
        ``explain(..., options={method: {...}})``, with the defaults), paper, link.

    Example:
        >>> table = explanation_methods()
        >>> table.loc[table["method"] == "grad_cam", "paper"].item()
        'Selvaraju et al. 2016'
    """
    rows = [
        {
            "method": name,
            "definition": _definition(name, row),
            "at": row.at,
            "signed": row.signed,
            "cost": row.cost,
            "options": ", ".join(f"{k}={v}" for k, v in row.options.items()),
            "paper": row.paper,
            "link": row.link,
        }
        for name, row in METHODS.items()
    ]
    return pd.DataFrame(rows)


_OWN_WORDS = {
    "finer_cam": "Grad-CAM of y_c - gamma mean_d y_d over the closest classes d",
    "cam": "sum_k w_ck A_k, w_ck the last linear layer's weights",
}


def _definition(name: str, row: Method) -> str:
    line = (row.function.__doc__ or "").strip().splitlines()[0]
    return _OWN_WORDS.get(name, line.partition(": ")[0])


@dataclass
class Asked:
    """A method and its options."""

    name: str
    method: Method
    options: dict[str, Any]


def read_methods(
    methods: str | Sequence[str], options: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, Asked]:
    """The rows asked for, with their options.

    Raises:
        ValueError: an unknown method or option, or no method.
    """
    listed = isinstance(methods, Iterable) and not isinstance(methods, str | Mapping)
    chosen: list[Any] = list(methods) if listed else [methods]
    _check_kinds(chosen, options)
    for name in [*chosen, *(options or {})]:
        if name not in METHODS:
            raise ValueError(
                f"explain: no method {name!r}; closest: {closest(name, METHODS)}. See "
                "rv.explanation_methods()."
            )
    if not chosen:
        raise ValueError(f"explain: no methods; one of {', '.join(METHODS)}.")
    result = {}
    for name in dict.fromkeys(chosen):
        method, given = METHODS[name], dict((options or {}).get(name, {}))
        for option, value in given.items():
            if option not in method.options:
                near = closest(option, method.options) or "it has none"
                raise ValueError(f"explain: no option {option!r} of {name}; closest: {near}.")
            _check_option(name, option, value)
        result[name] = Asked(name, method, {**method.options, **given})
    unused = [name for name in options or {} if name not in result]
    if unused:
        raise ValueError(
            f"explain: options of {unused[0]}, which is not among the methods {', '.join(result)}; "
            "options of those would be right."
        )
    return result


def _check_kinds(methods: Sequence[object], options: object) -> None:
    wrong = [method for method in methods if not isinstance(method, str)]
    if wrong:
        raise TypeError(f"explain: no method {wrong[0]!r}; a name, or a list of names.")
    inner = list(options.values()) if isinstance(options, Mapping) else [options or {}]
    if not all(isinstance(value, Mapping) for value in inner):
        raise TypeError(f"explain: options {options!r}; {{method: {{option: value}}}}.")


_COUNTS = ("masks", "cells", "samples", "steps", "references", "window", "stride")


def _check_option(method: str, option: str, value: Any) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    number = whole or isinstance(value, float)
    if option in _COUNTS:
        right, words = (whole and value >= 1), "a whole number from 1"
        right = right or (value is None and METHODS[method].options[option] is None)
    elif option == "keep":
        right, words = (number and 0 < value <= 1), "a number above 0, at most 1"
    elif option == "noise":
        right, words = (number and value >= 0), "a number from 0"
    elif option == "seed":
        right, words = whole, "a whole number"
    else:
        right, words = number, "a number"
    if not right:
        raise ValueError(f"explain: {option}={value!r} of {method}; {words} would be right.")


def check_passes(asked: Mapping[str, Asked], batch_stats: bool, chunk: int | None) -> None:
    """Raise ValueError for settings that the methods' further passes do not allow."""
    further = [n for n, a in asked.items() if a.method.kind in ("masks", "captum")]
    if batch_stats and further:
        raise ValueError(
            f"explain: batch_stats=True with {further[0]}, whose passes hold other pictures than "
            "the batch; the running statistics would be right: batch_stats=False."
        )
    if chunk is not None and (isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1):
        raise ValueError(f"explain: chunk={chunk!r}; a whole number from 1, or None.")
