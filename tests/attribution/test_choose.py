"""`layers=`: paths, calls, "auto", "blocks", and what is said about a layer that cannot be."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import resviz as rv
from left_as_found import left_as_found
from resviz.attribution.choose import with_positions
from resviz.given import Inputs
from resviz.networks.anatomy.dataflow import Dataflow
from resviz.networks.cifar import cifar_resnet
from resviz.networks.outputs import Output

pytestmark = pytest.mark.filterwarnings("ignore:explain. .* is zero")


@pytest.fixture
def net() -> nn.Module:
    return cifar_resnet(8, seed=0).eval()


@pytest.fixture
def image() -> Tensor:
    return torch.randn(1, 3, 16, 16)


@pytest.mark.parametrize(
    ("layers", "found"),
    [
        ("layer1", ["layer1"]),
        (["layer1", "layer3"], ["layer1", "layer3"]),
        (("layer1", "layer3"), ["layer1", "layer3"]),
        (["layer3", "layer1"], ["layer3", "layer1"]),
        (("layer1.0.relu", 1), ["layer1.0.relu#1"]),
        ([("layer1.0.relu", 1), "layer1"], ["layer1.0.relu#1", "layer1"]),
        ("layer1.0.relu#1", ["layer1.0.relu#1"]),
        (["layer1", "layer1", ("layer1", 0), "layer1#0"], ["layer1"]),
        ("blocks", ["layer1.0", "layer2.0", "layer3.0"]),
    ],
    ids=str,
)
def test_ways_to_name_layers(net: nn.Module, image: Tensor, layers: Any, found: list[str]) -> None:
    exp = rv.explain(net, image, 1, layers=layers)
    assert exp.layers == found
    assert exp.provenance["layers"] == found
    paths = [(about["path"], about["call"]) for about in exp.provenance["explained"]]
    assert paths == [(f.partition("#")[0], int(f.partition("#")[2] or 0)) for f in found]


@pytest.mark.parametrize(
    ("layers", "error", "words"),
    [
        ("layer1.0.conv9", ValueError, "no layer 'layer1.0.conv9' in CifarResNet; closest: "),
        ("", ValueError, "no layer ''"),
        (["auto"], ValueError, "no layer 'auto'"),
        ("layer1.0.relu#x", ValueError, "layer1.0.relu#x"),
        ("layer1.0.relu#-1", ValueError, "layer1.0.relu#-1"),
        ("layer1.0.relu#", ValueError, "layer1.0.relu#"),
        ("layer1.0.relu#2", ValueError, "call 2 of layer 'layer1.0.relu', which ran 2 times"),
        (("layer1", -1), ValueError, "call -1 of layer 'layer1', which ran 1 time"),
        ([], ValueError, "no layers; a path"),
        (None, TypeError, "layers None; a path"),
        (3, TypeError, "layers 3; a path"),
        ({"layer1"}, TypeError, "layers {'layer1'}; a path"),
        ([3], TypeError, "layer 3; a path, or (path, call)"),
        ([("layer1", "0")], TypeError, "layer ('layer1', '0'); a path, or (path, call)"),
        ([("layer1", 0, 0)], TypeError, "layer ('layer1', 0, 0)"),
        (b"layer1", TypeError, "layer"),
    ],
    ids=str,
)
def test_layers_that_are_refused(
    net: nn.Module, image: Tensor, layers: Any, error: type, words: str
) -> None:
    with pytest.raises(error, match=re.escape(words)) as caught:
        rv.explain(net, image, 1, layers=layers)
    assert str(caught.value).startswith("explain: ")


def test_a_module_object_is_told_by_its_path(net: nn.Module, image: Tensor) -> None:
    """What users of other libraries pass: the module itself."""
    with pytest.raises(TypeError, match=r"^explain: layer"):
        rv.explain(net, image, 1, layers=[net.layer1])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"^explain: layer"):
        rv.explain(net, image, 1, layers=net.layer1)  # type: ignore[arg-type]


def test_auto_without_positions() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 16), nn.ReLU(), nn.Linear(16, 5))
    with pytest.raises(ValueError, match=r"explain: Sequential has no layer with positions"):
        rv.explain(net, torch.randn(1, 3, 8, 8), 1)
    with pytest.raises(ValueError, match=r"explain: ResNet has no layer with positions|layer4"):
        rv.explain(
            torchvision.models.resnet18(weights=None), torch.randn(1, 3, 32, 32), 1, layers="layer4"
        )


class TwoInOne(nn.Module):
    """One convolution under two names, and one that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.alias = self.again
        self.unused = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(self.conv(x).relu()).relu()
        return self.fc(self.alias(x).relu().mean((2, 3)))


def test_shared_modules() -> None:
    net, image = TwoInOne().double(), torch.randn(1, 3, 8, 8, dtype=torch.float64)
    exp = rv.explain(net, image, 1, layers=[("again", 0), ("again", 1)], relu=False)
    first = net.again(net.conv(image).relu())
    second = net.again(first.relu())
    score = net.fc(second.relu().mean((2, 3)))[0, 1]
    for key, tensor in (("again", first), ("again#1", second)):
        (gradient,) = torch.autograd.grad(score, tensor, retain_graph=True)
        expected = torch.einsum("c,chw->hw", gradient[0].mean((1, 2)), tensor[0])
        torch.testing.assert_close(exp.maps["grad_cam", key][0, 0], expected.detach())
    assert rv.explain(net, image, 1).layers == ["again#1"]


def test_all_layers_at_once_run_the_network_once(net: nn.Module, image: Tensor) -> None:
    """One forward pass for every layer and method that shares it (and one to find "blocks")."""
    passes: list[int] = []
    net.conv1.register_forward_pre_hook(lambda module, args: passes.append(1))
    layers = ["conv1", "layer1", "layer2", "layer3"]
    with left_as_found(net):
        rv.explain(net, image, 1, methods=["grad_cam", "hires_cam", "eigen_cam"], layers=layers)
    assert len(passes) == 1


def test_nothing_before_the_earliest_layer_needs_memory_for_gradients(net: nn.Module) -> None:
    """What lies before has no graph: its output does not require gradients."""
    seen: dict[str, bool] = {}
    for path in ("conv1", "layer1", "layer2", "layer3"):
        net.get_submodule(path).register_forward_hook(
            lambda module, args, output, path=path: seen.update({path: output.requires_grad})
        )
    rv.explain(net, torch.randn(1, 3, 16, 16), 1, layers=["layer2"])
    assert seen == {"conv1": False, "layer1": False, "layer2": False, "layer3": True}


@pytest.mark.parametrize("method", ["cam", "grad_cam"])
def test_two_names_of_one_tensor(method: str) -> None:
    """A stage and its last block give the same tensor: every method works at both."""
    net = cifar_resnet(8, seed=0).eval()
    exp = rv.explain(
        net, torch.randn(1, 3, 16, 16), 1, methods=method, layers=["layer3.0", "layer3"]
    )
    one, other = exp.maps[method, "layer3.0"], exp.maps[method, "layer3"]
    torch.testing.assert_close(one, other)


class Transformer(torchvision.models.VisionTransformer):
    """A small ViT whose output is packed as many libraries pack it."""

    def __init__(self) -> None:
        super().__init__(32, 8, 2, 2, 16, 32, num_classes=5)
        nn.init.normal_(self.heads.head.weight)

    def forward(self, x: Tensor) -> Any:
        return {"logits": super().forward(x)}


def test_auto_in_a_transformer_with_packed_logits() -> None:
    exp = rv.explain(Transformer(), torch.randn(1, 3, 32, 32), 1)
    assert exp.layers == ["encoder.layers.encoder_layer_1.ln_1"]


def test_origins_of_what_comes_from_weights_do_not_multiply() -> None:
    """A sum of a tensor with itself has one origin, not two: else memory doubles with each.

    The anchors of a detector are such sums; "auto" on one took 20 GB before it was killed.
    """
    weight = nn.Parameter(torch.ones(2))
    with Dataflow() as flow:
        total = weight * 1
        for _ in range(12):
            total = total + total
    assert len(flow._origins_of(total)) == 1


def test_a_write_through_a_view_keeps_what_the_whole_is_made_of() -> None:
    """`batch[0].copy_(image)`, as detectors collect their pictures."""
    image = torch.ones(3, 4, 4)
    with Dataflow() as flow:
        flow.source(image)
        batch = image.new_zeros(1, 3, 8, 8)
        batch[0, :, :4, :4].copy_(image)
        assert flow.node_of(batch) is not None


# ---- "auto": what it never takes
class Attention(nn.Module):
    """Attention by hand, its matrix handed through modules."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(16), nn.Linear(16, 48), nn.Linear(16, 16)
        self.softmax, self.drop = nn.Softmax(-1), nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        n, t, c = x.shape
        q, k, v = self.qkv(self.norm(x)).view(n, t, 3, 4, c // 4).permute(2, 0, 3, 1, 4)
        weights = self.drop(self.softmax(q @ k.mT / 2))
        return x + self.out((weights @ v).transpose(1, 2).reshape(n, t, c))


class Patches(nn.Module):
    """16 patches of 4 x 4, with a class token or without."""

    def __init__(self, token: bool) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, 16, 4, 4), nn.Linear(16, 5)
        self.token = nn.Parameter(torch.ones(1, int(token), 16))
        self.blocks = nn.Sequential(Attention(), Attention())

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).mT
        x = self.blocks(torch.cat([self.token.expand(len(x), -1, -1), x], 1))
        return self.head(x[:, 0] if self.token.numel() else x.mean(1))


@pytest.mark.parametrize("token", [True, False])
def test_auto_takes_no_attention_matrix(token: bool, image: Tensor) -> None:
    """(N, heads, 16, 16) has the picture's proportions, and even the right number of positions."""
    exp = rv.explain(Patches(token).eval(), image, 1)
    (about,) = exp.provenance["explained"]
    assert "tokens" in about["read_as"] and about["shape"][2:] == [4, 4]
    assert about["layer"] == ("blocks.1.qkv" if token else "blocks.1")
    with pytest.raises(ValueError, match=r"'blocks.0.drop' .* gives \(1, 4, \d+, \d+\)"):
        rv.explain(Patches(token).eval(), image, 1, layers="blocks.0.drop")


class Tuples(nn.Module):
    """Hands on its result beside its size, as multi-scale transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        return self.conv(x).relu_(), x.shape[2]


class Odd(nn.Module):
    """Late layers that cannot be explained: a tuple, crops, what is detached, and another head."""

    def __init__(self, output: str) -> None:
        super().__init__()
        self.first, self.pairs, self.output = nn.Conv2d(3, 8, 3, padding=1), Tuples(), output
        self.act, self.crops, self.fc = nn.ReLU(), nn.Conv2d(8, 8, 1), nn.Linear(8, 5)
        self.aside, self.aux = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 5, 1)

    def forward(self, x: Tensor) -> Any:
        x = self.act(self.pairs(self.first(x))[0])
        y = self.crops(torch.cat([x, x.flip(3)])).mean((2, 3)).unflatten(0, (2, -1)).mean(0)
        y = y + self.aside(x).mean((2, 3)).detach()
        out, aux = self.fc(y), self.aux(x.detach()).mean((2, 3))
        kinds = {"tensor": out, "dict": {"aux": aux, "out": out}, "second": (aux, out)}
        return kinds[self.output]


@pytest.mark.parametrize("output", ["tensor", "dict", "second"])
def test_auto_takes_nothing_that_would_be_refused(output: str, image: Tensor) -> None:
    net = Odd(output).eval()
    part = 1 if output == "second" else None
    assert with_positions(net, Inputs.of(image), Output(part=part))[0] == ("act", 0)
    if output != "second":
        assert rv.explain(net, image, 1).layers == ["act"]


class Late(nn.Module):
    """A layer that for one image has positions of it, and for several has those of none."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.act = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.pool, self.fc = nn.Conv2d(8, 8, 1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.first(x))
        shared = self.pool(x.mean(0, keepdim=True))  # (1, C, H, W), as what all images share
        return self.fc((x + shared).mean((2, 3)))


def test_auto_takes_the_next_where_the_first_is_refused_late(image: Tensor) -> None:
    net, images = Late().eval(), image.repeat(2, 1, 1, 1)
    assert rv.explain(net, image, 1).layers == ["pool"]
    with left_as_found(net):
        exp = rv.explain(net, images, 1)
    assert exp.layers == ["act"]
    assert list(exp.provenance["layers_refused"]) == ["pool"]
    assert exp.provenance["notes"] == [
        "layers='auto' took act in place of pool: layer 'pool' (Conv2d) gives (1, 8, 16, 16) for "
        "2 images."
    ]
    named = rv.explain(net, images, 1, layers="act")
    assert torch.equal(exp.maps["grad_cam", "act"], named.maps["grad_cam", "act"])
    assert named.provenance["layers_refused"] == {} and not named.provenance["notes"]
    with pytest.raises(ValueError, match="layer 'pool' .* for 2 images; a layer whose first axis"):
        rv.explain(net, images, 1, layers="pool")


class Heads(nn.Module):
    """Two heads at different depths."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1))
        self.last = nn.Conv2d(8, 8, 3, padding=1)
        self.early, self.fc = nn.Linear(8, 5), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.first(x).relu()
        early = self.early(x.mean((2, 3)))
        return {"aux": early, "logits": self.fc(self.last(x).mean((2, 3)))}


def test_auto_takes_a_layer_that_reaches_a_target_of_ones_own(image: Tensor) -> None:
    net = Heads().eval()
    exp = rv.explain(net, image, lambda out: out["aux"][:, 1])
    assert exp.layers == ["first.1"] and list(exp.provenance["layers_refused"]) == ["last"]
    assert rv.explain(net, image, lambda out: out["logits"][:, 1]).layers == ["last"]
    with pytest.raises(ValueError, match=r"explain: layer 'last' does not reach the target"):
        rv.explain(net, image, lambda out: out["aux"][:, 1].detach())


class UNet(nn.Module):
    """No residual blocks; the last layer gives the output itself."""

    def __init__(self, classes: int, squeezed: bool = False) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
        self.low = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.up, self.merge = nn.ConvTranspose2d(8, 8, 2, 2), nn.Conv2d(16, 8, 3, padding=1)
        self.out, self.squeezed = nn.Conv2d(8, classes, 1), squeezed

    def forward(self, x: Tensor) -> Tensor:
        high = self.down(x)
        low = self.up(self.low(nn.functional.max_pool2d(high, 2)))
        out = self.out(self.merge(torch.cat([low, high], 1)).relu())
        return out.squeeze(1) if self.squeezed else out


@pytest.mark.parametrize(("classes", "squeezed"), [(1, False), (1, True), (3, False), (8, False)])
def test_auto_takes_no_output_map(classes: int, squeezed: bool, image: Tensor) -> None:
    layers = with_positions(UNet(classes, squeezed).eval(), Inputs.of(image), Output())
    assert layers[0] == ("low.1", 0)


@pytest.mark.parametrize("aux", [False, True])
@pytest.mark.thorough
def test_auto_before_an_auxiliary_head(aux: bool) -> None:
    net = torchvision.models.segmentation.fcn_resnet50(
        weights=None, weights_backbone=None, num_classes=4, aux_loss=aux
    )
    exp = rv.explain(net.eval(), torch.rand(1, 3, 64, 64), rv.target(0, region="all"))
    assert exp.layers == ["backbone.layer4.2"]


class Unseen(nn.Module):
    """Positions made by a function that says nothing of its axes."""

    def __init__(self) -> None:
        super().__init__()
        self.fft, self.fc = nn.Identity(), nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.fft(torch.fft.fft2(x).abs()).mean((2, 3)))


def test_where_no_layer_says_it_the_record_does(image: Tensor) -> None:
    exp = rv.explain(Unseen().eval(), image, 1, layers="fft")
    (about,) = exp.provenance["explained"]
    assert about["read_as"] == "channels first, by its shape alone" and not about["axes_said"]
    (finding,) = exp.diagnose().to_dict("records")
    assert (
        finding["cause"] == "axes by shape" and "no layer says which is which" in finding["words"]
    )
    assert exp.provenance["notes"] == [f"fft: {finding['words']}"]


def test_known_axes_come_before_guessed_ones(image: Tensor) -> None:
    class Late(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.late = nn.Conv2d(3, 8, 3, padding=1), nn.Identity()
            self.fc = nn.Linear(8, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.late(torch.rot90(self.conv(x), 1, (2, 3))).mean((2, 3)))

    exp = rv.explain(Late().eval(), image, 1)
    assert exp.layers == ["conv"] and exp.diagnose().empty


def test_blocks_of_a_network_that_adds_in_its_own_forward() -> None:
    class Adds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head((x + self.conv(x).relu()).mean((2, 3)))

    with pytest.raises(ValueError, match="Adds has residual additions in its own forward alone"):
        rv.explain(Adds().eval(), torch.randn(1, 3, 8, 8), 0, layers="blocks")
    with pytest.raises(ValueError, match="Sequential has no residual additions"):
        plain = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        rv.explain(plain, torch.randn(1, 3, 8, 8), 0, layers="blocks")
