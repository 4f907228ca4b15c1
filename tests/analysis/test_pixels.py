"""Studies of gradients at the images, of networks that take a list of images or several inputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from left_as_found import assert_left_as_found
from resviz.analysis.paths import path_study
from resviz.analysis.receptive_fields import receptive_field_study
from resviz.analysis.shattering import gradient_correlation
from resviz.errors import NonFinite
from resviz.networks.cifar import cifar_resnet

IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(3))
STUDIES = [(path_study, "grad_norm"), (receptive_field_study, "pixels")]
STUDIES = [*STUDIES, (gradient_correlation, "correlation")]
Study = Callable[..., pd.DataFrame]


class OfList(nn.Module):
    """A network that takes images (C, H, W) in a list, as detectors do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = cifar_resnet(8, seed=0)

    def forward(self, images: list[Tensor]) -> Tensor:
        return self.net(torch.stack(images))


@pytest.mark.parametrize(("study", "column"), STUDIES)
def test_a_list_of_images_is_as_one_tensor(study: Study, column: str):
    net = OfList().eval()
    found = assert_left_as_found(net, lambda: study(net, list(IMAGES), progress=False))
    right = study(net.net, IMAGES, progress=False)
    np.testing.assert_allclose(found[column], right[column], rtol=1e-4)


@pytest.mark.parametrize("study", [study for study, _ in STUDIES])
def test_images_of_different_sizes_are_refused(study: Study):
    net = nn.Sequential(OfList()).eval()
    net[0].forward = lambda images: torch.cat([net[0].net(image[None]) for image in images])
    with pytest.raises(ValueError, match="a list of images of different sizes"):
        study(net, [IMAGES[0], IMAGES[1, :, :12, :12]], progress=False)


@pytest.mark.parametrize("study", [study for study, _ in STUDIES])
def test_whole_numbers_are_refused(study: Study):
    with pytest.raises(TypeError, match="images of torch.int64"):
        study(ToFloat().eval(), IMAGES.long(), progress=False)


class ToFloat(OfList):
    def forward(self, images: Tensor) -> Tensor:
        return self.net(images.float())


class Beside(nn.Module):
    """Images, and a row of numbers for all of them or for each."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net, self.fc = cifar_resnet(8, seed=0), nn.Linear(5, 10)

    def forward(self, images: Tensor, more: Tensor) -> Tensor:
        return self.net(images) + self.fc(more)


def test_gradients_at_one_row_for_all_are_of_no_image():
    net, row = Beside().eval(), torch.randn(1, 5)
    targets, loss = torch.arange(6), "logit"  # the row changes no gradient at the images
    found = gradient_correlation(net, (IMAGES, row), targets, loss, progress=False)
    right = gradient_correlation(net.net, IMAGES, targets, loss, progress=False)
    np.testing.assert_allclose(found["correlation"], right["correlation"], rtol=1e-5)


@pytest.mark.parametrize("study", [study for study, _ in STUDIES])
def test_one_image_with_nan_is_refused(study: Study):
    images = IMAGES.clone()
    images[4, 0, 0, 0] = torch.nan
    with pytest.raises(NonFinite, match=f"{study.__name__}: .* NaN or infinity"):
        study(cifar_resnet(8, seed=0), images, progress=False)
