"""What `record` refuses, and that it says what was wrong, what would be right, and what to do."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch import Tensor, nn

import resviz as rv
from left_as_found import left_as_found
from recording import toys
from resviz.errors import NonFinite, NotTraceable, ResvizWarning
from resviz.networks.cifar import cifar_resnet
from resviz.recording import kept
from resviz.recording.recorder import record


@pytest.fixture
def net() -> nn.Module:
    return cifar_resnet(8, seed=0)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(2, 3, 16, 16)


def refused(error: type[Exception], net: object, *args: object, **settings: object) -> str:
    """The message; it names the function and has both halves of the form."""
    if isinstance(net, nn.Module):
        with pytest.raises(error) as caught, left_as_found(net):
            record(net, *args, **settings)
    else:
        with pytest.raises(error) as caught:
            record(net, *args, **settings)
    message = str(caught.value)
    assert message.startswith("record: ")
    assert ";" in message, message
    assert message.endswith((".", ")"))
    return message


def test_unknown_layer_names_the_closest(net, images):
    message = refused(ValueError, net, images, keep=["layer3.0.conv9"])
    assert "no layer 'layer3.0.conv9' in CifarResNet" in message
    assert "closest: 'layer3.0.conv" in message and "rv.list_layers(net)" in message


def test_unknown_part(net, images):
    message = refused(ValueError, net, images, keep=["layer1.0.add:middle"])
    assert "branch, shortcut, sum" in message


def test_part_of_a_layer_that_is_no_addition(net, images):
    assert "layer1.0.add:branch" in refused(ValueError, net, images, keep=["layer1.0:branch"])


def test_unknown_addition_names_the_closest(net, images):
    message = refused(ValueError, net, images, keep=["layer1.5.add:branch"])
    assert "no residual addition 'layer1.5.add'" in message and "'layer1.0.add'" in message


def test_addition_in_a_network_without_any(images):
    plain = cifar_resnet(8, shortcut="none", seed=0)
    assert "none" in refused(ValueError, plain, images, keep=["layer1.0.add:branch"])


def test_gradients_of_a_forward_pass(net, images):
    message = refused(ValueError, net, images, gradients=False, keep=["layer1:grad"])
    assert "gradients=True" in message


def test_layer_that_never_ran(images):
    net = toys.net_of(toys.Block)
    net.spare = nn.Conv2d(3, 3, 1)
    message = refused(ValueError, net, images, keep=["spare"])
    assert "'spare' never ran" in message


def test_gradient_of_a_layer_that_does_not_reach_the_loss(images):
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.main, self.aside = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            return {"logits": self.main(x).mean((2, 3)), "aside": self.aside(x)}

    message = refused(ValueError, Two().eval(), images, keep=["aside:grad"])
    assert "'aside'" in message and "gradient" in message
    rec = record(Two().eval(), images)
    aside = rec.parameters.query("layer == 'aside'")
    assert aside["grad_norm"].isna().all()


def test_keep_of_a_wrong_type(net, images):
    refused(TypeError, net, images, keep=[3])
    with pytest.raises(TypeError):
        record(net, images, keep=3)


@pytest.mark.parametrize("targets", [[0, 10], [-1, 0], torch.tensor([0, 99])])
def test_targets_out_of_range(net, images, targets):
    message = refused(ValueError, net, images, targets=targets)
    assert "10 classes" in message and "0 to 9" in message


@pytest.mark.parametrize("targets", [[0], [0, 1, 2], 3, [[0, 1]]])
def test_a_wrong_number_of_targets(net, images, targets):
    assert "2 images" in refused(ValueError, net, images, targets=targets)


@pytest.mark.parametrize("targets", [[0.0, 1.0], torch.tensor([True, False])])
def test_targets_that_are_no_integers(net, images, targets):
    assert "integers" in refused(TypeError, net, images, targets=targets)


def test_targets_that_are_names(net, images):
    assert "integers" in refused(TypeError, net, images, targets=["cat", "dog"])


def test_unknown_loss(net, images):
    assert "logit, cross_entropy" in refused(ValueError, net, images, loss="mse")
    refused(TypeError, net, images, loss=3)


@pytest.mark.parametrize("loss", [lambda a, b: a.sum(), lambda a, b: 1.0, lambda a, b: a])
def test_a_loss_of_a_wrong_shape(net, images, loss):
    assert "(N,)" in refused(ValueError, net, images, loss=loss)


def test_a_loss_without_gradient(net, images):
    message = refused(ValueError, net, images, loss=lambda a, b: a.detach().sum(1))
    assert "does not depend on the network" in message


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 1, 16, 16), (2, 4, 16, 16), (2, 3, 16), (2, 3)])
def test_images_of_a_wrong_shape(net, shape):
    message = refused(ValueError, net, torch.randn(shape))
    assert f"images of shape {shape}" in message and "(N, 3, H, W)" in message


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((2, 24, 3), "Channels come first: images.permute(0, 2, 1)."),
        ((2, 3, 24, 24), "(N, 3, L) would be right. See rv.list_layers(net)."),
    ],
)
def test_signals_are_not_told_to_come_from_pictures(shape, advice):
    assert refused(ValueError, nn.Sequential(nn.Conv1d(3, 2, 3)), torch.randn(shape)).endswith(
        advice
    )


def test_a_single_image_is_told_to_add_a_dimension(net):
    assert "images[None]" in refused(ValueError, net, torch.randn(3, 16, 16))


@pytest.mark.parametrize("images", [torch.zeros(0, 3, 16, 16), torch.tensor(3.0)])
def test_no_images(net, images):
    refused(ValueError, net, images)


@pytest.mark.parametrize("images", ["cat.png", None, 3, [1, 2]])
def test_images_that_are_no_tensor(net, images):
    assert "load_images" in refused(TypeError, net, images)


@pytest.mark.parametrize("net", ["resnet18", None, nn.Linear])
def test_a_network_that_is_none(net, images):
    assert "nn.Module" in refused(TypeError, net, images)


class NaNFrom(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        out = x.clone()
        out.view(-1)[-1] = self.value
        return out


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("gradients", [False, True])
def test_non_finite_activations_name_the_first_layer(images, value, gradients):
    net = toys.net_of(toys.Block)
    net.block.body.insert(2, NaNFrom(value))
    message = refused(NonFinite, net, images, gradients=gradients)
    assert "'block.body.2'" in message and "allow_nonfinite=True" in message
    rec = record(net, images, gradients=gradients, allow_nonfinite=True)
    row = rec.layers.query("layer == 'block.body.2'").iloc[0]
    assert not math.isfinite(row["mean"])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_non_finite_images(net, images, value):
    images[0, 0, 0, 0] = value
    assert "'conv1'" in refused(NonFinite, net, images)


def test_batch_statistics_of_a_few_images_warn(net, images):
    with pytest.warns(ResvizWarning, match="batch statistics of 2 images; 8 or more"):
        record(net, images, batch_stats=True)


def test_batch_statistics_without_batchnorm_warn():
    net = cifar_resnet(8, norm=False, seed=0)
    with pytest.warns(ResvizWarning, match="without BatchNorm"):
        record(net, torch.randn(8, 3, 16, 16), batch_stats=True)


def test_scripted_networks(images):
    net = toys.net_of(toys.Block)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch: TorchScript is deprecated
        scripted = torch.jit.trace(net, images)
    with pytest.raises(NotTraceable, match="record: the network is a TorchScript module, "):
        record(scripted, images)
    holder = nn.Sequential(scripted)
    with pytest.raises(NotTraceable, match="'0' in the network"):
        record(holder, images)


@pytest.mark.thorough
def test_compiled_networks(images):
    net = toys.net_of(toys.Block)
    for compiled in (torch.compile(net), nn.Sequential(torch.compile(net))):
        with pytest.raises(NotTraceable, match="compiled.*_orig_mod"):
            record(compiled, images)
    net.compile()
    with pytest.raises(NotTraceable, match="compiled"):
        record(net, images)


@pytest.mark.thorough
@pytest.mark.parametrize("function", [rv.gradient_norms, rv.residual_branches, rv.list_layers])
def test_compiled_networks_elsewhere(function, images):
    with pytest.raises(NotTraceable, match="compiled"):
        function(torch.compile(toys.net_of(toys.Block)), images)


def test_much_memory_is_announced(net, monkeypatch: pytest.MonkeyPatch):
    images = torch.randn(8, 3, 16, 16)
    rec = record(net, images, keep=["layer1.0", "layer1.0.relu"])
    size = sum(t.numel() * t.element_size() for t in rec.tensors.values())
    monkeypatch.setattr(kept, "_MUCH", size - 1)
    with pytest.warns(ResvizWarning, match=r"record: .* GiB; .*keep_dtype"), left_as_found(net):
        record(net, images, keep=["layer1.0", "layer1.0.relu"])
    monkeypatch.setattr(kept, "_MUCH", size)
    record(net, images, keep=["layer1.0", "layer1.0.relu"])  # no warning: warnings are errors


def test_half_precision_halves_the_announced_memory(net, monkeypatch: pytest.MonkeyPatch):
    images = torch.randn(8, 3, 16, 16)
    rec = record(net, images, keep="layer1.0", keep_dtype=torch.float16)
    size = rec["layer1.0"].numel() * 2
    monkeypatch.setattr(kept, "_MUCH", size)
    record(net, images, keep="layer1.0", keep_dtype=torch.float16)
    with pytest.warns(ResvizWarning, match="GiB"):
        record(net, images, keep="layer1.0")


@pytest.mark.parametrize(
    ("layer", "factor", "key", "words"),
    [("stem", 1e6, "stem", "infinity"), ("head", 1e-9, "stem:grad", "zeros, or of few digits")],
)
def test_a_dtype_without_a_place_for_the_numbers(images, layer, factor, key, words):
    net = toys.net_of(toys.Block)
    with torch.no_grad():
        net.get_submodule(layer).weight.mul_(factor)
    expected = record(net, images, keep=key)[key]
    message = rf"^record: '{key}' reaches .*float16 {words}; keep_dtype=torch.bfloat16"
    with pytest.warns(ResvizWarning, match=message):
        record(net, images, keep=key, keep_dtype=torch.float16)
    found = record(net, images, keep=key, keep_dtype=torch.bfloat16)[key]  # no warning
    torch.testing.assert_close(found.float(), expected, rtol=1e-2, atol=0)


@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.int8, ValueError), ("float16", TypeError), (float, TypeError)]
)
def test_a_dtype_that_is_not_floating(net, images, dtype, error):
    assert "torch.bfloat16" in refused(error, net, images, keep="layer1.0", keep_dtype=dtype)


def test_a_network_for_one_batch_size_only():
    """Announcing the memory must not run the network on another batch than the caller's."""

    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.sizes = nn.Conv2d(3, 4, 1), []

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x).view(8, 64)[:, :5]

    rec = record(Fixed().eval(), torch.randn(8, 3, 4, 4), keep=["conv"])
    assert rec["conv"].shape == (8, 4, 4, 4)


def test_a_network_without_logits(images):
    class Nothing(nn.Module):
        def forward(self, x: Tensor) -> str:
            return "logits"

    assert "returned str, and no part of it" in refused(TypeError, Nothing(), images)


def test_outputs_that_are_no_classes_need_a_loss_or_no_gradients(images):
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()).eval()
    with_map = record(net, images)  # of a map: the score of what is said at each position
    assert torch.equal(with_map.loss, with_map.logits.amax(1).mean((1, 2)))
    tokens = nn.Sequential(net, nn.Flatten(2))
    assert "loss" in refused(ValueError, tokens, images)
    assert record(tokens, images, gradients=False).logits.shape == (2, 4, 256)
    rec = record(net, images, loss=lambda out, _: out.mean((1, 2, 3)))
    assert rec.parameters["grad_norm"].notna().all()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float64])
def test_images_of_another_dtype(net: nn.Module, images: Tensor, dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match="in a network of torch.float32"), left_as_found(net):
        record(net, images.to(dtype))
