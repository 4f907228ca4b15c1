"""`explain` beside torchcam, grad-cam and captum.

Where a peer is right, the maps agree. Where it is wrong, ours is held against the formula in
float64, and the peer's error is held against zero: the day a peer is repaired its test says so.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

import resviz as rv
from cases import thorough, thorough_but
from resviz.attribution import cam

torchcam = pytest.importorskip("torchcam.methods")
captum = pytest.importorskip("captum.attr")

pytestmark = [
    pytest.mark.filterwarnings("ignore:explain. .* is zero"),
    # what captum says when it hooks a network or differentiates a tensor
    pytest.mark.filterwarnings("ignore:Setting (back|for)ward:UserWarning"),
    pytest.mark.filterwarnings("ignore:Input Tensor .* did not:UserWarning"),
]
SAMPLES = Path(__file__).parents[3] / "sample_images"
EXACT = 1e-5  # of the map's maximum
TABBY = 281

OURS = {
    "GradCAM": "grad_cam",
    "XGradCAM": "xgrad_cam",
    "LayerCAM": "layer_cam",
    "HiResCAM": "hires_cam",
    "GradCAMpp": "grad_cam_pp",
    "GradCAMPlusPlus": "grad_cam_pp",
    "ScoreCAM": "score_cam",
    "AblationCAM": "ablation_cam",
}


def grad_cam(module: str = "") -> Any:
    """A module of the library grad-cam, which takes a second to import: not while collecting."""
    return pytest.importorskip(f"pytorch_grad_cam{module}")


def projection(activations: Any) -> Any:
    return grad_cam(".utils.svd_on_activations").get_2d_projection(activations)


# ---- the peers, each on its own copy: they leave modes, gradients and hooks behind
def by_torchcam(
    name: str, net: nn.Module, images: Tensor, layer: str, classes: list[int], **more: Any
) -> Tensor:
    """(N, h, w), not scaled."""
    net = copy.deepcopy(net).eval()
    with getattr(torchcam, name)(net, layer, **more) as extractor:
        return extractor(classes, net(images), normalized=False)[0].detach()


def by_grad_cam(
    name: str, net: nn.Module, images: Tensor, layer: str, classes: list[int]
) -> Tensor:
    """(N, h, w), before the ReLU, the scaling and the resizing."""
    net = copy.deepcopy(net)
    target = grad_cam(".utils.model_targets").ClassifierOutputTarget
    with getattr(grad_cam(), name)(net, [net.get_submodule(layer)]) as method:
        kept = keep_maps(method)
        method(images.clone(), [target(c) for c in classes])
    return torch.from_numpy(kept[0])


def keep_maps(method: Any) -> list[np.ndarray]:
    """Where the maps of a method of grad-cam will be, as they are before it scales them."""
    kept: list[np.ndarray] = []
    compute = method.get_cam_image

    def keep(*args: Any, **options: Any) -> np.ndarray:
        kept.append(np.asarray(compute(*args, **options)))
        return kept[-1]

    method.get_cam_image = keep
    return kept


def by_captum(net: nn.Module, images: Tensor, layer: str, classes: list[int]) -> Tensor:
    net = copy.deepcopy(net).eval()
    method = captum.LayerGradCam(net, net.get_submodule(layer))
    attribution = method.attribute(images, torch.tensor(classes), relu_attributions=True)
    return attribution.detach()[:, 0]


def ours(
    name: str, net: nn.Module, images: Tensor, layer: str, classes: list[int], **more: Any
) -> Tensor:
    """(N, h, w)"""
    exp = rv.explain(net, images, classes, methods=name, layers=[layer], progress=False, **more)
    return exp.maps[name, layer][:, 0]


# ---- the formula
def activations_and_gradients(
    net: nn.Module, images: Tensor, layer: str, classes: list[int]
) -> tuple[Tensor, Tensor]:
    """In float64, on a copy that hands on a clone of the layer's output: plain autograd."""
    net = copy.deepcopy(net).double().eval()
    kept: list[Tensor] = []

    def keep(module: nn.Module, args: Any, output: Tensor) -> Tensor:
        kept.append(output)
        return output.clone()

    net.get_submodule(layer).register_forward_hook(keep)
    scores = net(images.double()).gather(1, torch.tensor(classes)[:, None])
    (gradient,) = torch.autograd.grad(scores.sum(), kept[0])
    return kept[0].detach(), gradient


def equation_19(a: Tensor, g: Tensor) -> Tensor:
    """Grad-CAM++ with its alpha, as it is printed."""
    alpha = g**2 / (2 * g**2 + a.sum((2, 3), keepdim=True) * g**3)
    alpha = torch.where(g != 0, alpha, 0.0)
    weights = (alpha * g.relu()).sum((2, 3), keepdim=True)
    return (weights * a).sum(1).relu()


def gap(one: Tensor, reference: Tensor) -> float:
    """Largest difference, as a part of the reference's largest value."""
    return float((one.double() - reference.double()).abs().max() / reference.double().abs().max())


def gap_of_shapes(one: Tensor, reference: Tensor) -> float:
    """The same where a factor does not matter."""
    scaled = one.double() / one.double().amax((1, 2), keepdim=True)
    return gap(scaled, reference.double() / reference.double().amax((1, 2), keepdim=True))


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten().double(), other.flatten()]))[0, 1])


class Small(nn.Module):
    """Two convolutions at the input's resolution, one at half of it; its logits can be negative."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu2(self.conv2(self.relu1(self.conv1(x))))
        return self.fc((x * x).mean((2, 3)))


@pytest.fixture
def small() -> nn.Module:
    return Small().eval()


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 16, 16)


@pytest.fixture
def resnet() -> nn.Module:
    """Random weights; BatchNorm statistics as after some training, so that maps are not blank."""
    net = torchvision.models.resnet18(weights=None, num_classes=10)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
    return net.eval()


@pytest.fixture(scope="module")
def loaded(torch_home: Path) -> tuple[nn.Module, Tensor]:
    """A trained ResNet-18 and a photograph of a cat."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TORCH_HOME", str(torch_home))
        net = rv.load_model("resnet18", weights="IMAGENET1K_V1", device="cpu")
    return net, rv.load_images([SAMPLES / "chelsea.png"], net)


@pytest.fixture
def real(loaded: tuple[nn.Module, Tensor]) -> tuple[nn.Module, Tensor]:
    """A copy of the network, and the photograph."""
    return copy.deepcopy(loaded[0]), loaded[1]


@pytest.fixture
def near(loaded: tuple[nn.Module, Tensor]) -> tuple[nn.Module, Tensor]:
    """A copy of the network, and the photograph 128 pixels wide."""
    image = F.interpolate(loaded[1], size=128, mode="bilinear", antialias=True)
    return copy.deepcopy(loaded[0]), image


# ---- where they are right
@pytest.mark.parametrize("layer", thorough_but(["layer1.1", "layer3.0", "layer4"], ["layer3.0"]))
@pytest.mark.parametrize(
    ("peer", "name"),
    [
        (by_torchcam, "GradCAM"),
        *[thorough(by_torchcam, name) for name in ("XGradCAM", "LayerCAM")],
        *[thorough(by_grad_cam, name) for name in ("GradCAM", "XGradCAM", "LayerCAM")],
        (by_grad_cam, "HiResCAM"),
        (by_captum, "GradCAM"),
    ],
)
def test_agrees_at_block_outputs(
    resnet: nn.Module, peer: Callable[..., Tensor], name: str, layer: str
) -> None:
    images, classes = torch.randn(2, 3, 64, 64), [3, 7]
    named = () if peer is by_captum else (name,)
    theirs = peer(*named, resnet, images, layer, classes).relu()
    assert theirs.flatten(1).any(1).all()
    assert gap(ours(OURS[name], resnet, images, layer, classes), theirs) < EXACT


@pytest.mark.thorough
@pytest.mark.parametrize("layer", ["layer2", "layer4"])
def test_agrees_on_a_photograph(near: tuple[nn.Module, Tensor], layer: str) -> None:
    for name in ("GradCAM", "XGradCAM", "LayerCAM"):
        mine = ours(OURS[name], *near, layer, [TABBY])
        assert gap(by_torchcam(name, *near, layer, [TABBY]), mine) < EXACT
        assert gap(by_grad_cam(name, *near, layer, [TABBY]).relu(), mine) < EXACT
    mine = ours("grad_cam", *near, layer, [TABBY])
    assert gap(by_captum(*near, layer, [TABBY]), mine) < EXACT


@pytest.mark.thorough
def test_cam_agrees_with_torchcam(near: tuple[nn.Module, Tensor]) -> None:
    theirs = by_torchcam("CAM", *near, "layer4", [TABBY], fc_layer="fc")
    assert gap(ours("cam", *near, "layer4", [TABBY], relu=False), theirs) < EXACT


def test_finer_cam_agrees(resnet: nn.Module) -> None:
    """torchcam, and grad-cam with one reference: with several it weighs them by probability."""
    images = torch.randn(2, 3, 64, 64)
    classes = resnet(images).argmax(1).tolist()
    theirs = by_torchcam("FinerCAM", resnet, images, "layer3", classes)
    assert gap(ours("finer_cam", resnet, images, "layer3", classes), theirs) < EXACT
    net = copy.deepcopy(resnet)
    with grad_cam().FinerCAM(net, [net.layer3]) as finer:
        kept = keep_maps(finer.base_cam)
        finer(images, alpha=0.6, comparison_categories=[1])
    options = {"finer_cam": {"references": 1}}
    mine = ours("finer_cam", resnet, images, "layer3", classes, options=options)
    assert gap(torch.from_numpy(kept[0]).relu(), mine) < EXACT


def test_score_cam_agrees_where_nothing_is_upsampled(small: nn.Module, images: Tensor) -> None:
    """At the input's resolution the peers' two mistakes have no room."""
    mine = ours("score_cam", small, images, "relu1", [1, 3])
    assert gap(by_torchcam("ScoreCAM", small, images, "relu1", [1, 3]), mine) < EXACT
    assert gap(by_grad_cam("ScoreCAM", small, images, "relu1", [1, 3]), mine) < EXACT


def test_ablation_cam_agrees_where_the_score_is_positive(small: nn.Module, images: Tensor) -> None:
    classes = small(images).argmax(1).tolist()
    assert (small(images).amax(1) > 0).all()
    for layer in ("relu1", "relu2"):
        mine = ours("ablation_cam", small, images, layer, classes, relu=False)
        theirs = by_grad_cam("AblationCAM", small, images, layer, classes)
        assert gap(theirs, mine) < EXACT


@pytest.mark.parametrize("wide", [False, True])
def test_eigen_cam_is_the_singular_vector(wide: bool) -> None:
    """numpy's SVD in float64; centred, as grad-cam does it, its projection up to the sign."""
    a = torch.randn(4, 8 if wide else 70, 6, 7).relu()
    matrices = a.flatten(2).transpose(1, 2).double().numpy()
    mine = cam.eigen_cam(a)
    for matrix, one in zip(matrices, mine, strict=True):
        u, s, _ = np.linalg.svd(matrix, full_matrices=False)
        expected = torch.from_numpy(u[:, 0] * s[0]).view(6, 7)
        assert gap(one, expected * expected.sum().sign()) < EXACT
    centred = a - a.mean((2, 3), keepdim=True)
    theirs = torch.from_numpy(projection(a.numpy()))
    assert gap(cam.eigen_cam(centred).abs(), theirs.abs()) < EXACT


# ---- captum's own methods, called without us
def test_captum_integrated_gradients_and_saliency(small: nn.Module, images: Tensor) -> None:
    exp = rv.explain(
        small,
        images,
        [1, 3],
        methods=["integrated_gradients", "saliency"],
        layers=["relu2"],
        options={"integrated_gradients": {"steps": 20}},
        progress=False,
    )
    classes = torch.tensor([1, 3])
    theirs = captum.IntegratedGradients(small).attribute(images, target=classes, n_steps=20).sum(1)
    assert gap(exp.maps["integrated_gradients", "input"][:, 0], theirs.detach()) < EXACT
    theirs = captum.Saliency(small).attribute(images.clone(), target=classes).amax(1)
    assert gap(exp.maps["saliency", "input"][:, 0], theirs) < EXACT


@pytest.mark.parametrize(("window", "stride"), [(4, 2), (5, 3), (16, 16)])
def test_captum_occlusion(small: nn.Module, images: Tensor, window: int, stride: int) -> None:
    options = {"occlusion": {"window": window, "stride": stride}}
    exp = rv.explain(small, images, [1, 3], methods="occlusion", layers=["relu2"], options=options)
    theirs = captum.Occlusion(small).attribute(
        images, (3, window, window), (3, stride, stride), target=torch.tensor([1, 3])
    )
    assert gap(exp.maps["occlusion", "input"][:, 0], theirs.detach().mean(1)) < EXACT


@pytest.mark.thorough
def test_captum_guided(resnet: nn.Module) -> None:
    """Captum's hooks need ReLUs that do not write in place: ours takes care of that itself."""
    images, classes = torch.randn(2, 3, 64, 64), [3, 7]
    methods = ["guided_backprop", "guided_grad_cam"]
    exp = rv.explain(resnet, images, classes, methods=methods, layers=["layer3"], progress=False)
    net = copy.deepcopy(resnet)
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    target = torch.tensor(classes)
    theirs = captum.GuidedBackprop(net).attribute(images.clone(), target).abs().amax(1)
    assert gap(exp.maps["guided_backprop", "input"][:, 0], theirs) < EXACT
    theirs = captum.GuidedGradCam(net, net.layer3).attribute(
        images.clone(), target, interpolate_mode="bilinear"
    )
    assert gap(exp.maps["guided_grad_cam", "layer3"][:, 0], theirs.abs().amax(1).detach()) < EXACT


class Plain(Small):
    """The same without a square, which DeepLIFT has no rule for."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.relu2(self.conv2(self.relu1(self.conv1(x)))).mean((2, 3)))


def test_captum_deep_lift(small: nn.Module, images: Tensor) -> None:
    net = Plain().eval()
    net.load_state_dict(small.state_dict())
    exp = rv.explain(net, images, [1, 3], methods="deep_lift", layers=["relu2"], progress=False)
    with pytest.raises(ValueError, match="deep_lift, and the map of image 0 sums to"):
        rv.explain(small, images, [1, 3], methods="deep_lift")
    theirs = captum.DeepLift(net).attribute(
        images, torch.zeros_like(images), target=torch.tensor([1, 3])
    )
    assert gap(exp.maps["deep_lift", "input"][:, 0], theirs.sum(1).detach()) < EXACT


@pytest.mark.thorough
def test_captum_smooth_grad_in_expectation(small: nn.Module, images: Tensor) -> None:
    """Each draws noise of its own; 4000 samples: 3 % of the maximum."""
    image = images[:1]
    options = {"smooth_grad": {"samples": 4000, "noise": 0.1}}
    exp = rv.explain(
        small, image, 1, methods="smooth_grad", layers=["relu2"], options=options, chunk=1000
    )
    theirs = captum.NoiseTunnel(captum.Saliency(small)).attribute(
        image.clone(),
        nt_samples=4000,
        nt_samples_batch_size=1000,
        stdevs=0.1 * float(image.max() - image.min()),
        target=1,
        abs=False,
    )
    assert gap(exp.maps["smooth_grad", "input"][:, 0], theirs.abs().amax(1)) < 0.03


@pytest.mark.thorough
def test_captum_gradient_shap_in_expectation(small: nn.Module, images: Tensor) -> None:
    """Without noise, expected gradients from 0 are integrated gradients; 4000 samples: 3 %."""
    image, options = images[:1], {"gradient_shap": {"samples": 4000, "noise": 0.0}}
    exp = rv.explain(
        small,
        image,
        1,
        methods="gradient_shap",
        layers=["relu2"],
        options=options,
        chunk=1000,
        progress=False,
    )
    theirs = captum.IntegratedGradients(small).attribute(image, target=1, n_steps=100).sum(1)
    mine = exp.maps["gradient_shap", "input"][:, 0]
    assert gap(mine, theirs.detach()) < 0.05
    assert float(mine.sum()) == pytest.approx(float(theirs.sum()), rel=0.03)


# ---- where they are wrong
@pytest.mark.thorough
@pytest.mark.parametrize(("layer", "at_most"), [("layer4", 0.98), ("layer2", 0.97)])
def test_grad_cam_pp_where_torchcam_divides_a_copy(
    real: tuple[nn.Module, Tensor], layer: str, at_most: float
) -> None:
    expected = equation_19(*activations_and_gradients(*real, layer, [TABBY]))
    assert gap(ours("grad_cam_pp", *real, layer, [TABBY]), expected) < EXACT
    theirs = by_torchcam("GradCAMpp", *real, layer, [TABBY])
    assert correlation(theirs, expected) < at_most
    assert gap_of_shapes(theirs, expected) > 0.05


@pytest.mark.thorough
@pytest.mark.parametrize(("scale", "off"), [(1, 0.005), (0.1, 0.05), (0.01, 0.1)])
def test_grad_cam_pp_where_grad_cam_adds_a_constant(
    real: tuple[nn.Module, Tensor], scale: float, off: float
) -> None:
    """Its 1e-6 beside g^2: the smaller the logits, the larger the error."""
    net, image = real
    with torch.no_grad():
        net.fc.weight *= scale
        net.fc.bias *= scale
    expected = equation_19(*activations_and_gradients(net, image, "layer4", [TABBY]))
    assert gap(ours("grad_cam_pp", net, image, "layer4", [TABBY]), expected) < EXACT
    theirs = by_grad_cam("GradCAMPlusPlus", net, image, "layer4", [TABBY]).relu()
    assert gap_of_shapes(theirs, expected) > off


def formula(name: str, a: Tensor, g: Tensor) -> Tensor:
    weights = {"GradCAM": g.mean((2, 3), keepdim=True), "LayerCAM": g.relu()}
    return (weights[name] * a).sum(1).relu()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("layer", "name"),
    [
        *[(layer, "GradCAM") for layer in ("bn1", "layer1.0.bn1", "layer1.0.bn2", "layer2.0.bn2")],
        # a ReLU in place alone does not change relu(g) A: only the addition does
        *[(layer, "LayerCAM") for layer in ("layer1.0.bn2", "layer2.0.bn2")],
    ],
)
def test_layers_written_over_in_place(
    near: tuple[nn.Module, Tensor], layer: str, name: str
) -> None:
    """torchcam and grad-cam keep a reference and read what the next operation left there.

    All in float64: in float32 a ReLU near 0 may be open by one processor's kernels and shut by
    another's, and a single one moves these maps by more than the bound.
    """
    net, image = copy.deepcopy(near[0]).double(), near[1].double()
    expected = formula(name, *activations_and_gradients(net, image, layer, [TABBY]))
    assert gap(ours(OURS[name], net, image, layer, [TABBY]), expected) < EXACT
    if name == "GradCAM":
        assert gap(by_captum(net, image, layer, [TABBY]), expected) < EXACT
    for peer in (by_torchcam, by_grad_cam):
        theirs = peer(name, net, image, layer, [TABBY]).relu()
        assert correlation(theirs, expected) < 0.98
        assert gap_of_shapes(theirs, expected) > 0.1


@pytest.mark.thorough
def test_a_layer_that_nothing_writes_over(near: tuple[nn.Module, Tensor]) -> None:
    """The shortcut is read by the addition only: there all four agree."""
    layer = "layer2.0.downsample.1"
    expected = formula("GradCAM", *activations_and_gradients(*near, layer, [TABBY]))
    assert gap(ours("grad_cam", *near, layer, [TABBY]), expected) < EXACT
    assert gap(by_captum(*near, layer, [TABBY]), expected) < EXACT
    assert gap(by_torchcam("GradCAM", *near, layer, [TABBY]), expected) < EXACT
    assert gap(by_grad_cam("GradCAM", *near, layer, [TABBY]).relu(), expected) < EXACT


@pytest.mark.thorough
def test_densenet_features_written_over_in_place() -> None:
    net = torchvision.models.densenet121(weights=None, num_classes=10).eval()
    images, layer = torch.randn(1, 3, 96, 96), "features.norm5"
    classes = net(images).argmax(1).tolist()
    expected = formula("GradCAM", *activations_and_gradients(net, images, layer, classes))
    assert gap(ours("grad_cam", net, images, layer, classes), expected) < EXACT
    assert gap(by_captum(net, images, layer, classes), expected) < EXACT
    assert gap(by_torchcam("GradCAM", net, images, layer, classes), expected) > 0.1
    assert gap(by_grad_cam("GradCAM", net, images, layer, classes).relu(), expected) > 0.1


def algorithm_1(
    net: nn.Module, image: Tensor, layer: str, index: int, *, corners: bool, first: str
) -> Tensor:
    """Score-CAM in float64, one channel at a time; `first`: "upsample" or "normalise"."""
    net, image = copy.deepcopy(net).double(), image.double()
    a = activations_and_gradients(net, image, layer, [index])[0]

    def normalised(x: Tensor) -> Tensor:
        return (x - x.min()) / (x.max() - x.min() + 1e-300)

    def upsampled(x: Tensor) -> Tensor:
        return F.interpolate(x, image.shape[2:], mode="bilinear", align_corners=corners)

    gains = []
    for k in range(a.shape[1]):
        one = a[:, k : k + 1]
        mask = upsampled(normalised(one)) if first == "normalise" else normalised(upsampled(one))
        gains.append(net(image * mask)[0, index] - net(0 * image)[0, index])
    weights = torch.stack(gains).softmax(0).detach()
    return (weights[:, None, None] * a[0]).sum(0, keepdim=True).relu()


def test_score_cam_where_the_peers_upsample_otherwise(small: nn.Module, images: Tensor) -> None:
    """Each peer is exactly Algorithm 1 with its own mistake, and ours without."""
    small.fc.weight.data *= 20  # weights that differ from one another
    image, at = images[:1], ("relu2", [1])
    right = algorithm_1(small, image, "relu2", 1, corners=False, first="upsample")
    assert gap(ours("score_cam", small, image, *at), right) < EXACT
    corners = algorithm_1(small, image, "relu2", 1, corners=True, first="upsample")
    theirs = by_grad_cam("ScoreCAM", small, image, *at)
    assert gap(theirs, corners) < EXACT < 1e-3 < gap(theirs, right)
    early = algorithm_1(small, image, "relu2", 1, corners=False, first="normalise")
    theirs = by_torchcam("ScoreCAM", small, image, *at)
    assert gap(theirs, early) < EXACT < 1e-3 < gap(theirs, right)


def test_ablation_cam_where_the_score_is_negative(small: nn.Module, images: Tensor) -> None:
    """Divided by a negative y, what supports the class gets a negative weight."""
    classes = small(images).argmin(1).tolist()
    assert (small(images).amin(1) < 0).all()
    mine = ours("ablation_cam", small, images, "relu2", classes, relu=False)
    assert gap(by_grad_cam("AblationCAM", small, images, "relu2", classes), -mine) < EXACT


def test_ablation_cam_where_activations_are_negative(images: Tensor) -> None:
    """grad-cam puts minus ten million in a channel's place there; the paper puts 0."""

    class Leaky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv2(F.leaky_relu(self.conv1(x))).mean((2, 3))

    net, image = Leaky().eval(), images[:1]
    wide = copy.deepcopy(net).double()
    a = wide.conv1(image.double()).detach()
    assert float(a.min()) < 0
    variants = (
        a * (1 - torch.eye(6, dtype=a.dtype))[:, :, None, None]
    )  # variant k without channel k
    whole, without = (wide.conv2(F.leaky_relu(x)).mean((2, 3)).detach() for x in (a, variants))
    index = int(whole.argmax())
    weights = (whole - without)[:, index] / whole[0, index].abs()
    expected = (weights[:, None, None] * a[0]).sum(0, keepdim=True)
    mine = ours("ablation_cam", net, image, "conv1", [index], relu=False)
    assert gap(mine, expected) < EXACT
    assert gap(by_grad_cam("AblationCAM", net, image, "conv1", [index]), expected) > 1e3


def test_eigen_cam_whose_sign_is_left_to_chance() -> None:
    """A bright object on a dim ground: grad-cam's ReLU erases it in some cases, ours in none."""
    erased = {"ours": 0, "grad-cam": 0}
    for seed in range(50):
        random = torch.Generator().manual_seed(seed)
        a = torch.rand(1, 12, 7, 7, generator=random) * 0.3
        a[:, :, 2:5, 2:5] += torch.rand(12, 1, 1, generator=random)
        for name, maps in (
            ("ours", cam.eigen_cam(a)),
            ("grad-cam", torch.from_numpy(projection(a.numpy()))),
        ):
            inside = maps.relu()[0, 2:5, 2:5].sum() / maps.relu().sum()
            erased[name] += bool(inside < 0.2)
    assert erased["ours"] == 0
    assert erased["grad-cam"] >= 5
