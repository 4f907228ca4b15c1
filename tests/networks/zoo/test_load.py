"""`load_model`: names, weights, files, fallbacks; errors."""

from __future__ import annotations

import copy
import pathlib
import pickle
import urllib.error
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

import resviz as rv
from cases import thorough
from left_as_found import bytes_of, left_as_found
from resviz.networks.cifar import cifar_resnet
from resviz.networks.zoo import packaged

PRESET = rv.Preset("mine", "own", (0.5, 0.5, 0.5), (0.2, 0.2, 0.2), resize=16, crop=16)


def load(network: str | nn.Module, *args: Any, **options: Any) -> nn.Module:
    net = rv.load_model(network, *args, **{"device": "cpu", **options})
    assert not any(module.training for module in net.modules())
    return net


def same_weights(net: nn.Module, other: nn.Module) -> bool:
    ours, theirs = net.state_dict(), other.state_dict()
    return list(ours) == list(theirs) and all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.fixture
def trained() -> nn.Module:
    """A small network with statistics of its own, as if it had been trained."""
    net = cifar_resnet(20, seed=3)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            module.num_batches_tracked.fill_(7)
    return net


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    """An empty cache, and downloads that fail; the cache's folder."""

    def fail(url: str, *args: Any, **kwargs: Any) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "hub" / "checkpoints"


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder of packaged weights with a ResNet-20 and a ResNet-56 in it."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for depth in (20, 56):
        state = {k: v.half() for k, v in cifar_resnet(depth, seed=depth).state_dict().items()}
        save_file(state, folder / f"cifar10-resnet{depth}.safetensors")
    log = (
        "epoch,train_loss,train_error,test_loss,test_error,seconds\n1,1,40,1,50,3\n2,1,9,1,12.5,3\n"
    )
    (folder / "cifar10-resnet20.csv").write_text(log)
    monkeypatch.setattr(packaged, "PACKAGED", folder)
    return folder


# --- random weights


@pytest.mark.parametrize("name", [thorough("resnet18"), "cifar10-resnet20", "mobilenet_v3_small"])
def test_random_weights_follow_the_seed_alone(name: str) -> None:
    before = torch.get_rng_state()
    first, again, other = (load(name, "random", seed=seed) for seed in (1, 1, 2))
    assert same_weights(first, again) and not same_weights(first, other)
    assert same_weights(first, load(name, "random", seed=np.int64(1)))
    unseeded = load(name, "random")
    assert same_weights(unseeded, load(name, "random"))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(9)
    assert not same_weights(unseeded, load(name, "random"))
    assert rv.preset_of(first).weights == "random" and rv.preset_of(first).name == name


def test_random_weights_need_no_network(offline: pathlib.Path) -> None:
    preset = rv.preset_of(load("resnet18", "random"))
    assert preset.crop == (224, 224) and preset.resize == 256 and len(preset.classes) == 1000
    assert not offline.exists()


def test_classes_make_the_head() -> None:
    for name in ("resnet18", "cifar10-resnet20", "googlenet"):
        net = load(name, "random", classes=["cat", "dog", "fox"], seed=0)
        assert rv.preset_of(net).classes == ("cat", "dog", "fox")
        assert rv.predict(net, torch.zeros(1, 3, 64, 64)).label.isin(["cat", "dog", "fox"]).all()


@pytest.mark.parametrize(
    ("name", "depth", "shortcut"),
    [
        ("cifar10-resnet20", 20, "A"),
        ("cifar10-resnet32-B", 32, "B"),
        ("cifar10-resnet20-C", 20, "C"),
        ("cifar10-plain32", 32, "none"),
        ("cifar10-resnet110", 110, "A"),
    ],
)
def test_the_cifar_family_by_name(name: str, depth: int, shortcut: str) -> None:
    net = load(name, "random", seed=4)
    assert same_weights(net, cifar_resnet(depth, shortcut=shortcut, seed=4))
    preset = rv.preset_of(net)
    assert preset.name == name and preset.crop == (32, 32) and preset.classes[3] == "cat"


# --- torchvision's own weights


@pytest.mark.thorough
@pytest.mark.usefixtures("use_torch_home")
def test_torchvisions_weights_and_preset() -> None:
    before = torch.get_rng_state()
    net = load("resnet18", progress=False)
    expected = torchvision.models.resnet18(weights="IMAGENET1K_V1").eval()
    assert type(net) is torchvision.models.ResNet and same_weights(net, expected)
    preset = rv.preset_of(net)
    assert (preset.name, preset.weights) == ("resnet18", "IMAGENET1K_V1")
    assert preset.classes[285] == "Egyptian cat" and preset.interpolation == "bilinear"
    entry = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    for weights in ("IMAGENET1K_V1", "DEFAULT", entry, str(entry)):
        assert same_weights(load("resnet18", weights, progress=False), net)
    torch.set_rng_state(before)
    load("resnet18", progress=False)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.thorough
@pytest.mark.usefixtures("use_torch_home")
def test_a_real_network_on_real_photographs(testdata: pathlib.Path) -> None:
    net = load("resnet50", progress=False)
    preset = rv.preset_of(net)
    assert preset.weights == "IMAGENET1K_V2" and preset.resize == 232
    assert rv.preset_of(load("resnet50", "IMAGENET1K_V1", progress=False)).resize == 256
    files = [testdata / "sample_images_cc0" / name for name in ("chelsea.png", "coffee.png")]
    table = rv.predict(net, rv.load_images(files, net), top=1)
    assert table.label.tolist() == ["Egyptian cat", "espresso"]
    assert (table.probability > 0.5).all()


# --- nothing cached, no network


@pytest.mark.usefixtures("package")
def test_no_weights_says_what_works_offline(offline: pathlib.Path) -> None:
    with pytest.raises(rv.WeightsUnavailable) as caught:
        rv.load_model("resnet50", progress=False)
    message = str(caught.value)
    assert message.startswith("load_model: the weights IMAGENET1K_V2 of 'resnet50' are not cached")
    assert "Name or service not known" in message and "; offline work: " in message
    assert "load_model('cifar10-resnet56')" in message and "random weights" in message
    assert "fallback=" in message
    assert isinstance(caught.value.__cause__, urllib.error.URLError)


@pytest.mark.thorough
@pytest.mark.usefixtures("use_torch_home")
def test_what_is_cached_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(rv.WeightsUnavailable, match=r"load_model\('resnet18', 'IMAGENET1K_V1'\)"):
        rv.load_model("resnet34", progress=False)


def test_a_download_that_arrives_damaged(
    offline: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError('invalid hash value (expected "11ad3fa6", got "0000")')

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(rv.WeightsUnavailable, match="arrived incomplete"):
        rv.load_model("resnet50", progress=False)


def test_a_damaged_file_in_the_cache(offline: pathlib.Path) -> None:
    offline.mkdir(parents=True)
    file = offline / "resnet18-f37072fd.pth"
    file.write_bytes(b"half a download")
    with pytest.raises(ValueError, match=r"^load_model: the cached weights .*; .*Delete") as caught:
        rv.load_model("resnet18", progress=False)
    assert str(file) in str(caught.value)


@pytest.mark.usefixtures("package", "offline")
def test_the_fallback_is_visible_and_says_what_it_is() -> None:
    with pytest.warns(rv.ResvizWarning, match="using the fallback 'cifar10-resnet56'") as caught:
        net = load("resnet50", fallback="cifar10-resnet56", preset=PRESET, progress=False)
    assert len(caught) == 1 and "'resnet50'" in str(caught[0].message)
    preset = rv.preset_of(net)  # not the caller's: that was for the network asked for
    assert (preset.name, preset.weights, preset.crop) == ("cifar10-resnet56", "cifar10", (32, 32))
    assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


@pytest.mark.usefixtures("use_torch_home")
def test_no_fallback_where_none_is_needed() -> None:
    net = load("resnet18", fallback="cifar10-resnet56", progress=False)
    assert rv.preset_of(net).name == "resnet18"


@pytest.mark.usefixtures("package", "offline")
def test_a_fallback_that_is_not_there_either() -> None:
    with (
        pytest.warns(rv.ResvizWarning, match="fallback"),
        pytest.raises(rv.WeightsUnavailable, match="no trained weights for 'cifar10-plain32'"),
    ):
        rv.load_model("resnet50", fallback="cifar10-plain32", progress=False)


# --- packaged networks


@pytest.mark.usefixtures("offline")
def test_packaged_networks_load_offline(package: pathlib.Path) -> None:
    net = load("cifar10-resnet20")
    assert rv.preset_of(net).weights == "cifar10"
    assert all(parameter.dtype == torch.float32 for parameter in net.parameters())
    expected = cifar_resnet(20, seed=20)
    for key, value in expected.state_dict().items():
        torch.testing.assert_close(net.state_dict()[key], value, rtol=1e-3, atol=1e-6)
    assert same_weights(load("cifar10-resnet20", "cifar10"), net)


@pytest.mark.usefixtures("package")
def test_the_table_of_packaged_networks() -> None:
    table = rv.packaged_networks()
    assert table.network.tolist() == ["cifar10-resnet20", "cifar10-resnet56"]
    assert table.depth.tolist() == [20, 56] and table.shortcut.tolist() == ["A", "A"]
    assert table.parameters.tolist() == [269_722, 853_018]
    assert table.epochs[0] == 2 and table.accuracy[0] == 87.5
    assert table.epochs.isna()[1] and table.accuracy.isna()[1]


@pytest.mark.usefixtures("package")
def test_no_such_packaged_network() -> None:
    with pytest.raises(rv.WeightsUnavailable, match=r"offline work: 'cifar10-resnet20', 'cifar10"):
        rv.load_model("cifar10-resnet110")


# --- files

WRITERS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "bare.pth": lambda state: state,
    "bare.pt": lambda state: state,
    "wrapped.th": lambda state: {"state_dict": state, "best_prec1": 91.7, "epoch": 3},
    "model.ckpt": lambda state: {"model": state, "optimizer": {"lr": 0.1}},
    "net.t7": lambda state: {"net": state, "acc": 93.0},
    "parallel.pth": lambda state: {f"module.{key}": value for key, value in state.items()},
    "both.pth": lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}},
    "uncounted.pth": lambda state: {k: v for k, v in state.items() if "num_batches" not in k},
    "half.pth": lambda state: {k: v.half() for k, v in state.items()},
}


@pytest.mark.parametrize("name", [*WRITERS, "plain.safetensors", "parallel.safetensors"])
def test_files_of_every_kind(name: str, trained: nn.Module, tmp_path: pathlib.Path) -> None:
    file, state = tmp_path / name, dict(trained.state_dict())
    if name.endswith(".safetensors"):
        prefix = "module." if name.startswith("parallel") else ""
        save_file({prefix + key: value for key, value in state.items()}, file)
    else:
        torch.save(WRITERS[name](state), file)
    net = load("cifar10-resnet20", file)
    assert rv.preset_of(net).weights == name and rv.preset_of(net).name == "cifar10-resnet20"
    for key, value in state.items():
        ours = net.state_dict()[key]
        if name == "half.pth":
            torch.testing.assert_close(ours, value, rtol=1e-3, atol=1e-6)
        elif not (name == "uncounted.pth" and "num_batches" in key):
            assert torch.equal(ours, value)
    assert same_weights(load("cifar10-resnet20", str(file)), net)


@pytest.mark.thorough
@pytest.mark.usefixtures("offline")
def test_a_file_for_a_torchvision_network(tmp_path: pathlib.Path) -> None:
    own = torchvision.models.resnet18(num_classes=3)
    torch.save(own.state_dict(), tmp_path / "mine.pth")
    net = load("resnet18", tmp_path / "mine.pth", classes=["a", "b", "c"], preset=None)
    assert same_weights(net, own)
    preset = rv.preset_of(net)
    assert preset.weights == "mine.pth" and preset.classes == ("a", "b", "c")
    with pytest.raises(ValueError, match=r"fc\.weight \(3, 512\) instead of \(1000, 512\)"):
        rv.load_model("resnet18", tmp_path / "mine.pth", device="cpu")


def test_a_switch_that_is_not_in_the_file_is_named(tmp_path: pathlib.Path) -> None:
    """GoogLeNet scales its input with torchvision's weights, and those fine-tuned from them."""
    source = torchvision.models.googlenet(
        aux_logits=False, transform_input=True, init_weights=False, num_classes=2
    )
    file = tmp_path / "mine.pth"
    torch.save(source.state_dict(), file)
    said = r"'googlenet' scales its input itself is not in 'mine.pth'.*net.transform_input = True"
    with pytest.warns(rv.ResvizWarning, match=f"^load_model: whether {said}"):
        net = load("googlenet", file, classes=["cat", "dog"])
    net.transform_input = True
    images = torch.rand(1, 3, 64, 64)
    assert torch.equal(net(images), source.eval()(images))


def test_a_mismatch_lists_the_first_of_each(tmp_path: pathlib.Path, trained: nn.Module) -> None:
    state = dict(trained.state_dict())
    for key in ("conv1.weight", "layer1.0.conv1.weight", "layer1.0.conv2.weight", "linear.bias"):
        del state[key]
    state |= {f"extra{n}.weight": torch.zeros(1) for n in range(5)}
    state["linear.weight"] = torch.zeros(7, 64)
    torch.save(state, tmp_path / "other.pth")
    net = cifar_resnet(20, seed=0)
    with pytest.raises(ValueError) as caught, left_as_found(net):
        rv.load_model(net, tmp_path / "other.pth", device="cpu")
    message = str(caught.value)
    assert message.startswith("load_model: the weights 'other.pth' do not fit this CifarResNet; ")
    lines = [line.strip() for line in message.splitlines()]
    first = "conv1.weight, layer1.0.conv1.weight, layer1.0.conv2.weight, ... (4 in all)"
    assert f"missing: {first}" in lines
    first = "extra0.weight, extra1.weight, extra2.weight, ... (5 in all)"
    assert f"unexpected: {first}" in lines
    assert "misshapen: linear.weight (7, 64) instead of (10, 64)" in lines


class Hostile:
    """Unpickled, it would write a file."""

    def __init__(self, target: pathlib.Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return pathlib.Path.touch, (self.target,)


@pytest.mark.parametrize("wrap", ["bare", "beside", "pickle"])
def test_code_in_a_file_is_not_run(wrap: str, trained: nn.Module, tmp_path: pathlib.Path) -> None:
    target, file = tmp_path / "written", tmp_path / "hostile.pth"
    if wrap == "pickle":
        file.write_bytes(pickle.dumps(Hostile(target)))
    else:
        beside = {"state_dict": trained.state_dict(), "note": Hostile(target)}
        torch.save(Hostile(target) if wrap == "bare" else beside, file)
    with pytest.raises(ValueError, match=r"^load_model: 'hostile.pth' .*; .*state_dict"):
        rv.load_model("cifar10-resnet20", file)
    assert not target.exists()


def test_a_whole_pickled_network_is_not_run(trained: nn.Module, tmp_path: pathlib.Path) -> None:
    torch.save(trained, tmp_path / "whole.pth")
    with pytest.raises(ValueError, match=r"holds more than weights .*Save net.state_dict\(\)"):
        rv.load_model("cifar10-resnet20", tmp_path / "whole.pth")


@pytest.mark.parametrize("suffix", ["pth", "pt", "safetensors"])
@pytest.mark.parametrize("what", ["text", "empty", "cut"])
def test_damaged_files(suffix: str, what: str, trained: nn.Module, tmp_path: pathlib.Path) -> None:
    file = tmp_path / f"damaged.{suffix}"
    state = dict(trained.state_dict())
    save_file(state, file) if suffix == "safetensors" else torch.save(state, file)
    whole = file.read_bytes()
    file.write_bytes({"text": b"not weights", "empty": b"", "cut": whole[: len(whole) // 2]}[what])
    with pytest.raises(ValueError, match=r"^load_model: 'damaged\.\w+' is damaged or no weights"):
        rv.load_model("cifar10-resnet20", file)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ([1, 2], "holds a list; a dictionary of tensors"),
        (torch.zeros(3), "holds a Tensor; a dictionary"),
        ({}, "holds no tensors but nothing"),
        ({"epoch": 3}, "holds no tensors but 'epoch'"),
        ({"state_dict": {}}, "holds no tensors"),
    ],
    ids=str,
)
def test_files_without_weights(content: Any, what: str, tmp_path: pathlib.Path) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=f"^load_model: 'other.pth' {what}"):
        rv.load_model("cifar10-resnet20", tmp_path / "other.pth")


def test_files_that_are_not_there(tmp_path: pathlib.Path) -> None:
    for weights in (tmp_path / "missing.pth", str(tmp_path / "missing"), "missing.safetensors"):
        with pytest.raises(FileNotFoundError, match=r"^load_model: no weights file .*missing"):
            rv.load_model("cifar10-resnet20", weights)
    with pytest.raises(FileNotFoundError, match="no weights file"):
        rv.load_model("cifar10-resnet20", tmp_path)


# --- a network of one's own


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).mean((2, 3)))


def test_a_network_of_ones_own_is_itself_returned() -> None:
    net = Own().train()
    weights = [bytes_of(p) for p in net.parameters()]
    assert load(net) is net
    assert [bytes_of(p) for p in net.parameters()] == weights
    with pytest.raises(ValueError, match="has no preset"):
        rv.preset_of(net)
    load(net, preset=PRESET)
    assert rv.preset_of(net) == PRESET
    assert rv.preset_of(load(net)) == PRESET
    assert rv.preset_of(load(net, classes=["cat", "dog"])).classes == ("cat", "dog")


def test_a_file_for_ones_own_network(tmp_path: pathlib.Path) -> None:
    source, net = Own(), Own()
    torch.save({"model_state_dict": source.state_dict()}, tmp_path / "own.pt")
    load(net, tmp_path / "own.pt", preset=PRESET)
    assert same_weights(net, source) and rv.preset_of(net) == PRESET
    other = copy.deepcopy(net)
    assert rv.preset_of(load(other, tmp_path / "own.pt")).weights == "own.pt"


def test_weights_by_name_are_not_for_ones_own_network() -> None:
    for weights in ("random", "IMAGENET1K_V1"):
        with pytest.raises(ValueError, match=r"^load_model: weights .* for a network of your own"):
            rv.load_model(Own(), weights)


def test_classes_stand_in_the_preset_that_holds() -> None:
    names = ["cat", "dog"]
    for network in (Own(), "cifar10-resnet20"):
        weights = "default" if isinstance(network, nn.Module) else "random"
        net = load(network, weights, preset=PRESET, classes=names)
        assert rv.preset_of(net) == replace(PRESET, classes=("cat", "dog"))
        assert set(rv.predict(net, torch.rand(1, 3, 16, 16))["label"]) == {"cat", "dog"}
        named = rv.preset_of(net)
        assert rv.preset_of(load(network, weights, preset=named, classes=names)) == named
        with pytest.raises(ValueError, match=r"'cat', 'cow' and a preset with 'cat', 'dog'"):
            load(network, weights, preset=named, classes=["cat", "cow"])


def test_what_a_network_of_ones_own_cannot_follow(tmp_path: pathlib.Path) -> None:
    net = Own()
    torch.save(Own().state_dict(), tmp_path / "own.pt")
    weights = [bytes_of(p) for p in net.parameters()]
    for options, said in [
        ({"classes": ["cat", "dog"]}, "'cat', 'dog' for this Own, which has no preset;.*rv.Preset"),
        ({"seed": 0}, "0 for a network of your own; seed with the name of one"),
        ({"fallback": "cifar10-resnet20"}, "'cifar10-resnet20' for a network of your own; fal"),
    ]:
        with pytest.raises(ValueError, match=f"^load_model: {next(iter(options))} {said}"):
            load(net, tmp_path / "own.pt", **options)
    assert [bytes_of(p) for p in net.parameters()] == weights


# --- other mistakes


@pytest.mark.parametrize(
    ("arguments", "kind", "what"),
    [
        (("resnet51",), ValueError, "no network 'resnet51'; closest: 'resnet50', 'resnet"),
        (("ResNet50",), ValueError, "no network 'ResNet50'; closest: 'resnet50'"),
        (("cifar10-resnet",), ValueError, "no network 'cifar10-resnet'; closest: 'cifar10-res"),
        (("",), ValueError, "no network ''; closest: "),
        (("cifar10-resnet21",), ValueError, "depth 21; depths are 6n.*'cifar10-resnet20'"),
        (("cifar10-plain20-B",), ValueError, "a plain network has no shortcut"),
        ((50,), TypeError, "a network of type int; a name or an nn.Module"),
        ((nn.Linear,), TypeError, "a network of type type; "),
        (("resnet50", "IMAGENET1K_V9"), ValueError, "no weights 'IMAGENET1K_V9' for 'resnet50'"),
        (("cifar10-resnet20", "IMAGENET1K_V1"), ValueError, "weights 'IMAGENET1K_V1' for 'cifar"),
        (("resnet50", 3), TypeError, "weights of type int; "),
        (("resnet50", None), TypeError, "weights of type NoneType; "),
    ],
    ids=str,
)
def test_names_that_cannot_be_right(arguments: Any, kind: type[Exception], what: str) -> None:
    with pytest.raises(kind, match=f"^load_model: .*{what}"):
        rv.load_model(*arguments)


def test_unknown_weights_name_the_closest() -> None:
    with pytest.raises(ValueError, match=r"Closest: 'IMAGENET1K_V[12]'\.$"):
        rv.load_model("resnet50", "imagenet")


@pytest.mark.parametrize(
    ("options", "kind", "what"),
    [
        ({"device": "gpu"}, ValueError, "device 'gpu'; one of .*cpu"),
        ({"device": "cuda:99"}, ValueError, "device 'cuda:99' is not on this machine; .*cpu"),
        ({"device": 1.5}, ValueError, "device 1.5; "),
        ({"fallback": "cifar10-resnet57"}, ValueError, "fallback 'cifar10-resnet57' has depth 57"),
        ({"fallback": "resnet51"}, ValueError, "no fallback network 'resnet51'; closest"),
        ({"fallback": 3}, TypeError, "a fallback of type int; a name"),
        ({"classes": "cat"}, TypeError, "classes 'cat'; a sequence of names"),
        ({"classes": []}, TypeError, r"classes \[\]; "),
        ({"classes": 10}, TypeError, "classes 10; a sequence of names"),
        ({"classes": [1, 2]}, TypeError, r"classes \[1, 2\]; a sequence of names"),
        ({"preset": "resnet50"}, TypeError, "a preset of type str; an rv.Preset"),
        ({"seed": "0"}, TypeError, "seed '0'; a whole number"),
    ],
    ids=str,
)
def test_options_that_cannot_be_right(
    options: dict[str, Any], kind: type[Exception], what: str
) -> None:
    before = torch.get_rng_state()
    with pytest.raises(kind, match=f"^load_model: {what}"):
        rv.load_model("cifar10-resnet20", "random", **options)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.usefixtures("offline", "package")
def test_classes_are_not_for_trained_heads() -> None:
    for name in ("resnet50", "cifar10-resnet20"):
        with pytest.raises(ValueError, match=r"^load_model: classes with weights 'default'"):
            rv.load_model(name, classes=["cat", "dog"])


def test_the_best_device_there_is() -> None:
    net = rv.load_model("cifar10-resnet20", "random")
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    if not torch.backends.mps.is_available():
        assert next(net.parameters()).device.type == kind
    other = rv.load_model("cifar10-resnet20", "random", device=torch.device("cpu"))
    assert next(other.parameters()).device.type == "cpu"
