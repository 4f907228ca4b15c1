"""Every measure of a scan: a row each. Nothing else lists them."""

from __future__ import annotations

from resviz.scanning.measures.channels import ChannelStatistics
from resviz.scanning.measures.classes import ClassMeans
from resviz.scanning.measures.correlation import Correlation
from resviz.scanning.measures.embedding import Embedding
from resviz.scanning.measures.faithfulness import Faithfulness
from resviz.scanning.measures.gradients import GradientNorms
from resviz.scanning.measures.measure import Measure
from resviz.scanning.measures.quantiles import Quantiles
from resviz.scanning.measures.residuals import Residuals
from resviz.scanning.measures.top import TopImages

_ROWS = (
    Measure(
        "channels",
        ChannelStatistics,
        "mean, std, min, max, zero fraction, active images and dead channels",
        True,
        "Chan, Golub & LeVeque 1983",
    ),
    Measure("top", TopImages, "the strongest images of each channel, and where in them", True),
    Measure(
        "quantiles",
        Quantiles,
        "quantiles over the images of each channel's maximum",
        True,
        "Karnin, Lang & Liberty 2016",
    ),
    Measure(
        "classes",
        ClassMeans,
        "mean activation by class, class selectivity",
        True,
        "Morcos et al. 2018",
    ),
    Measure("correlation", Correlation, "how channels vary together from image to image", True),
    Measure("embedding", Embedding, "mean activations of a sample of images, for layouts", True),
    Measure("residuals", Residuals, "branch against shortcut: ratio and cosine per addition"),
    Measure("gradients", GradientNorms, "norm of each image's gradient at each layer"),
    Measure(
        "faithfulness",
        Faithfulness,
        "deletion and insertion of a method's maps on a sample of the images",
        False,
        "Petsiuk et al. 2018",
    ),
)
MEASURES = {row.name: row for row in _ROWS}
