"""`Resume`: a pass from one layer on equals a full pass in which that layer's output is replaced.

The reference is plain: a forward hook that returns the other output, on copies of the network, in
float64. Beside equality: what lies before the layer does not run again, nothing is computed per
variant that is the same for all, and where resuming cannot be right the whole network runs.
"""

from __future__ import annotations

import warnings
from collections import Counter
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from cases import thorough, thorough_but
from left_as_found import left_as_found
from resviz.arguments import public_as
from resviz.networks.anatomy.resume import Resume, _alike
from resviz.networks.cifar import cifar_resnet

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def replaced(
    net: nn.Module, inputs: tuple[Tensor, ...], layer: tuple[str, int], activations: Tensor
) -> Any:
    """The obvious way: the whole network on M copies of the image, the layer's output replaced."""
    path, call = layer
    calls = [0]

    def instead(module: nn.Module, args: Any, output: Any) -> Any:
        calls[0] += 1
        return activations.clone() if calls[0] == call + 1 else None

    handle = net.get_submodule(path).register_forward_hook(instead)
    many = (t.expand(len(activations), *t.shape[1:]).clone() for t in inputs)
    with torch.no_grad():
        output = net(*many)
    handle.remove()
    return output


def variants(activation: Tensor, count: int = 3) -> Tensor:
    """Different outputs of the layer: one untouched, one noisy, one 0."""
    many = activation.repeat(count, *[1] * (activation.ndim - 1))
    many[1:] += torch.randn_like(many[1:])
    many[-1] = 0
    return many


def assert_equal_to_full_pass(
    net: nn.Module, inputs: tuple[Tensor, ...], layer: tuple[str, int]
) -> Resume:
    with torch.no_grad():
        whole = net(*(tensor.clone() for tensor in inputs))
        with left_as_found(net):
            resumed = Resume(net, inputs, layer)
        changed = variants(resumed.activation)
        with left_as_found(net):
            ours = resumed.run(changed.clone())
    torch.testing.assert_close(resumed.output, whole, **EXACT)
    torch.testing.assert_close(ours, replaced(net, inputs, layer, changed), **EXACT)
    return resumed


def _vit() -> nn.Module:
    net = torchvision.models.VisionTransformer(32, 8, 3, 2, 16, 32, num_classes=5)
    nn.init.normal_(net.heads.head.weight)
    return net


def _swin() -> nn.Module:
    return torchvision.models.SwinTransformer([2, 2], 8, [2, 2], [2, 4], [4, 4], num_classes=5)


NETWORKS: dict[str, tuple[Any, int, list[str]]] = {
    "resnet18": (
        lambda: torchvision.models.resnet18(weights=None),
        32,
        [
            *("conv1", "bn1", "relu", "maxpool", "layer1", "layer1.0"),
            *("layer1.0.bn1", "layer1.0.relu#0", "layer1.0.bn2"),
            *("layer1.0.relu#1", "layer2.0.downsample.0", "layer2.0.bn2"),
            *("layer3", "layer4.1.bn2", "layer4", "avgpool", "fc"),
        ],
    ),
    "densenet121": (
        lambda: torchvision.models.densenet121(weights=None),
        32,
        [
            *("features.norm0", "features.denseblock1.denselayer2.conv1", "features.denseblock1"),
            *("features.denseblock3.denselayer5.norm2", "features.norm5"),
        ],
    ),
    "mobilenet_v2": (
        lambda: torchvision.models.mobilenet_v2(weights=None),
        32,
        ["features.3.conv.1", "features.3", "features.8.conv.0.2", "features.18.2"],
    ),
    "efficientnet_b0": (
        lambda: torchvision.models.efficientnet_b0(weights=None),
        32,
        [
            *("features.0.1", "features.2.1.block.2.fc1"),
            *("features.6.2.block.3", "features.8"),
        ],
    ),
    "vit": (
        _vit,
        32,
        [
            *("conv_proj", "encoder.dropout", "encoder.layers.encoder_layer_0"),
            *("encoder.layers.encoder_layer_1.ln_1", "encoder.layers.encoder_layer_1.mlp"),
            *("encoder.layers.encoder_layer_2.mlp.0", "encoder.ln"),
        ],
    ),
    "swin": (
        _swin,
        32,
        ["features.0", "features.1.0.norm1", "features.1.0.attn", "features.1.1", "features.2"]
        + ["features.3.0.mlp.0", "norm", "permute"],
    ),
    "googlenet": (
        lambda: torchvision.models.googlenet(weights=None, init_weights=False),
        64,
        ["inception3b.branch2.0", "inception4e.branch4", "inception5b"],
    ),
    "preactivation": (
        lambda: cifar_resnet(8, preactivation=True, seed=0),
        16,
        ["conv1", "layer1.0", "layer1.0.bn2", "layer2.0.conv1", "layer3"],
    ),
}
CASES = [(name, layer) for name, (_, _, layers) in NETWORKS.items() for layer in layers]
SMALL = ("vit", "swin", "preactivation")
QUICK = [case for case in CASES if case[0] in SMALL]
_built: dict[str, nn.Module] = {}


def build(name: str) -> nn.Module:
    """In float64, BatchNorm with statistics of its own; built once."""
    if name not in _built:
        torch.manual_seed(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = NETWORKS[name][0]().double().eval()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.1, 0.1)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
        _built[name] = net
    return _built[name]


@pytest.mark.parametrize(("name", "layer"), thorough_but(CASES, QUICK), ids=lambda value: value)
def test_equals_the_full_pass(name: str, layer: str) -> None:
    image = torch.randn(1, 3, NETWORKS[name][1], NETWORKS[name][1], dtype=torch.float64)
    path, _, call = layer.partition("#")
    resumed = assert_equal_to_full_pass(build(name), (image,), (path, int(call or 0)))
    assert resumed._finished, "the network ran in full: nothing was gained"


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        *(("resnet18", layer) for layer in ("layer1.0.bn2", "layer2.0.relu#1", "layer4")),
        thorough("densenet121", "features.denseblock3.denselayer5.norm2"),
        thorough("mobilenet_v2", "features.8.conv.0.2"),
        *(("vit", layer) for layer in ("encoder.layers.encoder_layer_1.mlp", "encoder.ln")),
        *(("swin", layer) for layer in ("features.1.0.attn", "norm")),
        thorough("googlenet", "inception4e.branch4"),
        ("preactivation", "layer2.0.conv1"),
    ],
    ids=lambda value: value,
)
def test_what_lies_before_does_not_run_again(name: str, layer: str) -> None:
    """Counted at each leaf's forward: none that was over before the layer runs once more."""
    net = build(name)
    size = NETWORKS[name][1]
    image = torch.randn(1, 3, size, size, dtype=torch.float64)
    path, _, call = layer.partition("#")
    before: Counter[str] = Counter()
    count: Counter[str] = Counter()
    original = {}
    for leaf, module in net.named_modules():
        if not list(module.children()):
            original[leaf] = module

            def counted(*args: Any, leaf: str = leaf, module: nn.Module = module, **kw: Any) -> Any:
                count[leaf] += 1
                return type(module).forward(module, *args, **kw)

            module.forward = counted  # type: ignore[method-assign]
    calls = [0]

    def remember(module: nn.Module, args: Any, output: Any) -> None:
        calls[0] += 1
        if calls[0] == int(call or 0) + 1:
            before.update(count)

    try:
        with torch.no_grad():
            handle = net.get_submodule(path).register_forward_hook(remember)
            net(image)
            handle.remove()
            count_of_one_pass = Counter(count)
            resumed = Resume(net, (image,), (path, int(call or 0)))
            count.clear()
            resumed.run(resumed.activation.repeat(2, *[1] * (resumed.activation.ndim - 1)))
    finally:
        for module in original.values():
            del module.forward
    expected = count_of_one_pass - before
    assert +count == +expected


# ---- toys
class Reused(nn.Module):
    """One block and one ReLU that run three times; one convolution used by two paths."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(inplace=True))
        self.relu = nn.ReLU()
        self.alias = self.block[0]
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        for _ in range(3):
            x = self.relu(self.block(x) + x)
        return self.fc(self.alias(x).mean((2, 3)))


@pytest.mark.parametrize(
    "layer",
    [
        *(("relu", 0), ("relu", 1), ("relu", 3), ("block", 0), ("block", 1), ("block", 2)),
        *(("block.0", 0), ("block.0", 1), ("block.0", 3), ("block.1", 2), ("stem", 0), ("fc", 0)),
    ],
    ids=lambda layer: "#".join(map(str, layer)),
)
def test_a_module_that_runs_several_times(layer: tuple[str, int]) -> None:
    net = Reused().double().eval()
    image = torch.randn(1, 3, 6, 7, dtype=torch.float64)
    assert assert_equal_to_full_pass(net, (image,), layer)._finished


class InPlace(nn.Module):
    """Everything after a module is written in place, on outputs of before and after the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(3, 4, 3, padding=1)
        self.two = nn.Conv2d(3, 4, 1)
        self.three = nn.Conv2d(4, 4, 1)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        a = self.one(x)
        b = self.two(x)
        b.mul_(2).add_(1)
        a += b
        c = self.three(a)
        c -= a
        a.sub_(c)
        self.relu(a)
        c[:, 0] = a[:, 1]
        return self.fc((a + c).mean((2, 3)))


@pytest.mark.parametrize("layer", ["one", "two", "three"])
def test_in_place_operations(layer: str) -> None:
    net = InPlace().double().eval()
    image = torch.randn(1, 3, 6, 7, dtype=torch.float64)
    before = image.clone()
    resumed = assert_equal_to_full_pass(net, (image,), (layer, 0))
    assert torch.equal(image, before)
    assert resumed._finished
    given = variants(resumed.activation)
    kept = resumed.activation.clone()
    first = resumed.run(given.clone())
    torch.testing.assert_close(resumed.run(given.clone()), first, **EXACT)  # nothing wears off
    assert torch.equal(resumed.activation, kept)


class WritesOnInput(Reused):
    """Writes on the pictures themselves."""

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.5)
        return super().forward(x)


def test_a_network_that_writes_on_its_input() -> None:
    net = WritesOnInput().double().eval()
    image = torch.randn(1, 3, 6, 7, dtype=torch.float64)
    before = image.clone()
    assert_equal_to_full_pass(net, (image,), ("relu", 1))
    assert torch.equal(image, before)
    resumed = Resume(net, (image,), ("relu", 1))
    resumed.run(resumed.activation)  # a single variant is no copy by itself
    assert torch.equal(image, before)


class UsesSideEffect(Reused):
    """Calls an in-place ReLU for what it does to its argument, and throws the result away."""

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU(inplace=True)
        self.late = nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        self.act(x)
        return self.fc(self.late(x).mean((2, 3)))


def test_a_side_effect_before_the_layer_is_kept() -> None:
    net = UsesSideEffect().double().eval()
    image = torch.randn(1, 3, 6, 7, dtype=torch.float64)
    assert_equal_to_full_pass(net, (image,), ("late", 0))


class Wandering(nn.Module):
    """The course of the forward depends on values: which convolution runs, and how often."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.low, self.high = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Conv2d(4, 4, 1)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(3):
            x = self.high(x) if float(x.abs().mean()) > 0.2 else self.low(x)
        return self.fc(self.last(x).mean((2, 3)))


@pytest.mark.parametrize("layer", [("stem", 0), ("last", 0)])
def test_a_forward_that_depends_on_values(layer: tuple[str, int]) -> None:
    """Each variant alone, as what one image does to the course the others would follow."""
    net = Wandering().double().eval()
    image = torch.randn(1, 3, 6, 7, dtype=torch.float64)
    resumed = Resume(net, (image,), layer)
    for value in variants(resumed.activation).split(1):
        expected = replaced(net, (image,), layer, value)
        torch.testing.assert_close(resumed.run(value.clone()), expected, **EXACT)


class KeepsWhatItGives(nn.Module):
    """A U-Net's encoder: what it gives is read from where it keeps it, too."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.middle = Encoder(), nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        deep = self.middle(self.encoder(x)).tanh()
        return self.fc((deep + self.encoder.features * self.encoder.scale).mean((2, 3)))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        self.features, self.scale = self.conv(x).relu(), 0.5
        return self.features


def test_a_layer_that_keeps_what_it_returns() -> None:
    """The variants stand there as well: they are in place of the tensor, wherever it is read."""
    net = KeepsWhatItGives().double().eval()
    image = torch.randn(1, 3, 6, 7, dtype=torch.float64)
    resume = Resume(net, (image,), ("encoder", 0))
    many = variants(resume.activation)
    with torch.no_grad():
        expected = net.fc((net.middle(many).tanh() + many * 0.5).mean((2, 3)))
    torch.testing.assert_close(resume.run(many.clone()), expected, **EXACT)
    assert not hasattr(net.encoder, "features")


class CountsItsPasses(Reused):
    """Runs its stem differently on the second pass: no replay can be right from the first."""

    def __init__(self) -> None:
        super().__init__()
        self.passes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.passes.append(1)
        return super().forward(x) + len(self.passes)


def test_what_cannot_be_resumed_is_an_error() -> None:
    """Not even a full pass gives the network's own output again: silence would be a wrong map."""
    net = CountsItsPasses().double().eval()
    with pytest.raises(RuntimeError, match="explain: |resume"):
        resume = public_as("explain")(Resume)
        resume(net, (torch.randn(1, 3, 6, 7, dtype=torch.float64),), ("block", 1))


@pytest.mark.parametrize("where", ["stem", "block", "relu"])
def test_hooks_of_the_users_that_change_outputs(where: str) -> None:
    """A hook that doubles the output doubles it once, before, at and inside the layer."""
    net = Reused().double().eval()
    net.get_submodule(where).register_forward_hook(lambda module, args, output: output * 2)
    image = torch.randn(1, 3, 6, 7, dtype=torch.float64)
    assert_equal_to_full_pass(net, (image,), ("block", 1))


@pytest.mark.parametrize("where", ["stem", "block", "relu"])
def test_hooks_of_the_users_that_write_in_place(where: str) -> None:
    """What they wrote in the first pass is in what the modules returned: no second time."""
    net = Reused().double().eval()
    net.get_submodule(where).register_forward_hook(lambda module, args, output: output.add_(1e-3))
    image = torch.randn(1, 3, 6, 7, dtype=torch.float64)
    assert_equal_to_full_pass(net, (image,), ("block", 1))


class SeveralInputsAndOutputs(nn.Module):
    """Two inputs; a branch that returns a dict, a tuple and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.other = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(6, 4)
        self.pack = Pack()
        self.last, self.fc = nn.Conv2d(4, 4, 1), nn.Linear(4, 5)

    def forward(self, x: Tensor, y: Tensor) -> Any:
        packed = self.pack(self.image(x), y=self.other(y))
        last = self.last(packed["maps"][0] * packed["maps"][1])
        return {"logits": self.fc(last.mean((2, 3))) * packed["scale"], "maps": last}


class Pack(nn.Module):
    def forward(self, x: Tensor, *, y: Tensor) -> dict[str, Any]:
        return {"maps": (x, y[:, :, None, None]), "scale": 2.0, "none": None}


@pytest.mark.parametrize("layer", ["image", "last"])
def test_several_inputs_and_packed_outputs(layer: str) -> None:
    net = SeveralInputsAndOutputs().double().eval()
    inputs = torch.randn(1, 3, 6, 7, dtype=torch.float64), torch.randn(1, 6, dtype=torch.float64)
    assert_equal_to_full_pass(net, inputs, (layer, 0))


class FirstAxisIsNoBatch(nn.Module):
    """A module whose output has 1 on its first axis and no batch: a learned weight of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = Weights()
        self.stem, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        filters = self.scale(x)
        x = torch.nn.functional.conv2d(self.last(self.stem(x)), filters)
        return self.fc(x.mean((2, 3)).expand(-1, 4))


class Weights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Parameter(torch.randn(1, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.filters * 2


def test_an_output_that_holds_no_batch() -> None:
    """Its one filter is no image; the network runs in full, or the filter is left alone."""
    net = FirstAxisIsNoBatch().double().eval()
    assert_equal_to_full_pass(net, (torch.randn(1, 3, 6, 7, dtype=torch.float64),), ("last", 0))


class Keeps(nn.Module):
    """An encoder that keeps its skip beside what it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        self.skip = torch.relu(self.conv(x))
        return nn.functional.avg_pool2d(self.skip, 2)


class Skips(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.middle = Keeps(), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        deep = nn.functional.interpolate(torch.relu(self.middle(self.encoder(x))), scale_factor=2)
        return self.head(torch.cat([deep, self.encoder.skip], 1))


def test_a_skip_that_is_kept_as_an_attribute() -> None:
    """It is not there when the encoder does not run: the passes run in full."""
    net, image = Skips().double().eval(), torch.randn(1, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        with left_as_found(net):
            resumed = Resume(net, (image,), ("middle", 0))
        changed = variants(resumed.activation)
        with left_as_found(net):
            ours = resumed.run(changed.clone())
    expected = replaced(net, (image,), ("middle", 0), changed)
    torch.testing.assert_close(ours, expected, **EXACT)


def test_what_counts_as_the_same_output() -> None:
    """Of a large output one value counts, too; NaN and infinity are what they are."""
    output = torch.randn(1, 21, 64, 64)
    other = output.clone()
    other[0, 0, 0, :2] += torch.tensor([0.2, 0.0])
    assert not _alike(other, output)
    assert _alike(output + 1e-5, output) and not _alike(output[:, 1:], output)
    output[0, 0, 0, :2] = torch.tensor([torch.nan, -torch.inf])
    assert _alike(output.clone(), output)
    assert not _alike(other, output) and not _alike(output, other)


def test_parametrised_weights() -> None:
    net = Reused().double().eval()
    torch.nn.utils.parametrizations.weight_norm(net.block[0])
    torch.nn.utils.parametrizations.weight_norm(net.stem)
    image = torch.randn(1, 3, 6, 7, dtype=torch.float64)
    assert assert_equal_to_full_pass(net, (image,), ("block", 1))._finished


def test_memory_is_not_multiplied() -> None:
    """What is the same for every variant is handed out as views of one copy."""
    net = build("resnet18")
    image = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    resumed = Resume(net, (image,), ("layer3.1.conv1", 0))
    seen: list[Tensor] = []
    handle = net.layer3[0].register_forward_hook(lambda module, args, out: seen.append(out))
    resumed.run(resumed.activation.repeat(64, 1, 1, 1))
    handle.remove()
    assert seen[0].shape[0] == 64
    assert seen[0].untyped_storage().nbytes() == seen[0][0].nbytes
    kept = {path for path, _ in resumed._finished}
    assert kept == {"conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3.0"} | {
        "layer3.1.conv1"
    }
