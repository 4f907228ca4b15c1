"""The registry: every method, what it needs and where it comes from."""

from __future__ import annotations

import pandas as pd

from resviz.attribution import cam
from resviz.attribution.methods import captum as captum_methods
from resviz.attribution.methods import closed, perturbation
from resviz.attribution.methods.method import (
    ACTIVATIONS,
    CAPTUM,
    GRADIENTS,
    GUIDED_LAYER,
    HEAD,
    MASKED_LAYER,
    MASKED_PIXELS,
    Method,
)
from resviz.attribution.methods.options import baseline, count, number, seed, share, size
from resviz.attribution.targets import Targets

ARXIV = "https://arxiv.org/abs/"


_ONE = "1 forward and 1 backward per target, shared"
_BACK = "1 forward, 1 backward per target"

METHODS = {
    "grad_cam": Method(
        cam.grad_cam, GRADIENTS, "layer", _ONE, "Selvaraju et al. 2016", ARXIV + "1610.02391"
    ),
    "grad_cam_pp": Method(
        cam.grad_cam_pp,
        GRADIENTS,
        "layer",
        _ONE,
        "Chattopadhay et al. 2017",
        ARXIV + "1710.11063",
        positive=True,
    ),
    "hires_cam": Method(
        cam.hires_cam, GRADIENTS, "layer", _ONE, "Draelos and Carin 2020", ARXIV + "2011.08891"
    ),
    "xgrad_cam": Method(
        cam.xgrad_cam, GRADIENTS, "layer", _ONE, "Fu et al. 2020", ARXIV + "2008.02312"
    ),
    "layer_cam": Method(
        cam.layer_cam,
        GRADIENTS,
        "layer",
        _ONE,
        "Jiang et al. 2021",
        "https://doi.org/10.1109/TIP.2021.3089943",
        positive=True,
    ),
    "eigen_grad_cam": Method(
        cam.eigen_grad_cam,
        GRADIENTS,
        "layer",
        _ONE,
        "Eigen-CAM (Muhammad and Yeasin 2020) of g A",
        ARXIV + "2008.00299",
    ),
    "finer_cam": Method(
        cam.finer_cam,
        GRADIENTS,
        "layer",
        "1 backward more per target",
        "Zhang et al. 2025",
        ARXIV + "2501.11309",
        options={"gamma": number(0.6), "references": count(None)},
        contrast=Targets.contrasted,
    ),
    "cam": Method(
        closed.cam,
        HEAD,
        "layer",
        "1 forward, shared; needs pooling and one linear layer after the layer",
        "Zhou et al. 2015",
        ARXIV + "1512.04150",
    ),
    "eigen_cam": Method(
        cam.eigen_cam,
        ACTIVATIONS,
        "layer",
        "1 forward, shared; the same for every target",
        "Muhammad and Yeasin 2020",
        ARXIV + "2008.00299",
    ),
    "score_cam": Method(
        perturbation.score_cam,
        MASKED_LAYER,
        "layer",
        "1 forward per channel",
        "Wang et al. 2019",
        ARXIV + "1910.01279",
        tokens=False,
    ),
    "ablation_cam": Method(
        perturbation.ablation_cam,
        MASKED_LAYER,
        "layer",
        "1 forward per channel, from the layer on; none before pooling and one linear layer",
        "Desai and Ramaswamy 2020",
        "https://doi.org/10.1109/WACV45572.2020.9093360",
    ),
    "rise": Method(
        perturbation.rise,
        MASKED_PIXELS,
        "input",
        "1 forward per mask",
        "Petsiuk et al. 2018",
        ARXIV + "1806.07421",
        options={
            "masks": count(1000),
            "cells": count(7),
            "keep": share(0.5),
            "seed": seed(0),
            "baseline": baseline(),
        },
        signed=True,
    ),
    "occlusion": Method(
        perturbation.occlusion,
        MASKED_PIXELS,
        "input",
        "1 forward per place of the patch",
        "Zeiler and Fergus 2013",
        ARXIV + "1311.2901",
        options={"window": count(None), "stride": count(None), "baseline": baseline()},
        signed=True,
    ),
    "saliency": Method(
        captum_methods.saliency,
        CAPTUM,
        "input",
        _BACK,
        "Simonyan et al. 2013",
        ARXIV + "1312.6034",
    ),
    "smooth_grad": Method(
        captum_methods.smooth_grad,
        CAPTUM,
        "input",
        "1 forward and backward per sample",
        "Smilkov et al. 2017",
        ARXIV + "1706.03825",
        options={"samples": count(25), "noise": size(0.15), "seed": seed(0)},
    ),
    "integrated_gradients": Method(
        captum_methods.integrated_gradients,
        CAPTUM,
        "input",
        "1 forward and backward per step",
        "Sundararajan et al. 2017",
        ARXIV + "1703.01365",
        options={"steps": count(50), "baseline": baseline()},
        signed=True,
    ),
    "gradient_shap": Method(
        captum_methods.gradient_shap,
        CAPTUM,
        "input",
        "1 forward and backward per sample",
        "Lundberg and Lee 2017",
        ARXIV + "1705.07874",
        options={
            "samples": count(25),
            "noise": size(0.1),
            "seed": seed(0),
            "baseline": baseline(),
        },
        signed=True,
    ),
    "guided_backprop": Method(
        captum_methods.guided_backprop,
        CAPTUM,
        "input",
        _BACK + "; needs nn.ReLU modules",
        "Springenberg et al. 2014",
        ARXIV + "1412.6806",
        tokens=False,
    ),
    "guided_grad_cam": Method(
        captum_methods.guided_grad_cam,
        GUIDED_LAYER,
        "both",
        _BACK + "; needs nn.ReLU modules",
        "Selvaraju et al. 2016",
        ARXIV + "1610.02391",
        tokens=False,
    ),
    "deep_lift": Method(
        captum_methods.deep_lift,
        CAPTUM,
        "input",
        "1 forward and backward per target, 2 forward; no module may run twice",
        "Shrikumar et al. 2017",
        ARXIV + "1704.02685",
        tokens=False,
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
            "definition": row.definition,
            "at": row.at,
            "signed": row.signed,
            "cost": row.cost,
            "options": ", ".join(f"{k}={v.default}" for k, v in row.options.items()),
            "paper": row.paper,
            "link": row.link,
        }
        for name, row in METHODS.items()
    ]
    return pd.DataFrame(rows)
