"""`refinement_study`: by hand, its control, and what trained networks show."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from left_as_found import assert_left_as_found, left_as_found
from resviz.analysis.refinement import _shuffle, refinement_study
from resviz.networks.cifar import cifar_resnet

IMAGES = torch.randn(10, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def block_outputs(net: nn.Module, names: list[str]) -> dict[str, np.ndarray]:
    found = {}
    handles = [
        net.get_submodule(name).register_forward_hook(
            lambda _, args, output, name=name: found.update(
                {name: output.detach().double().numpy()}
            )
        )
        for name in names
    ]
    with torch.no_grad():
        net(IMAGES)
    for handle in handles:
        handle.remove()
    return found


def test_by_hand_in_batches():
    net = cifar_resnet(20, seed=0)
    table = assert_left_as_found(
        net, lambda: refinement_study(net, IMAGES, seed=4, batch_size=3, progress=False)
    )
    assert table["block"].tolist() == [f"layer{s}.{b}" for s in (1, 2, 3) for b in (0, 1, 2)]
    assert table["position"].tolist() == [1, 2, 3] * 3 and (table["blocks"] == 3).all()
    found = block_outputs(net, table["block"].tolist())
    for row in table.itertuples():
        h, end = found[row.block], found[f"{row.stage}.2"]
        order = _shuffle(end.shape, 4).numpy()
        for control, of, correlation in (
            (end, row.cosine, row.correlation),
            (end[:, order], row.shuffled_cosine, row.shuffled_correlation),
        ):
            cosine = (h * control).sum() / np.sqrt((h**2).sum() * (control**2).sum())
            assert of == pytest.approx(cosine, abs=1e-6)
            channels = [
                np.corrcoef(h[:, c].ravel(), control[:, c].ravel())[0, 1]
                for c in range(h.shape[1])
                if h[:, c].std() > 0 and control[:, c].std() > 0
            ]
            assert correlation == pytest.approx(np.mean(channels), abs=1e-5)
        error = h - end
        assert row.mean_error == pytest.approx(error.mean(), abs=1e-6)
        assert row.error_std == pytest.approx(error.std(), rel=1e-5, abs=1e-9)
        bias = np.sqrt((error.mean((0, 2, 3)) ** 2).mean())
        assert row.channel_bias == pytest.approx(bias, rel=1e-5, abs=1e-9)
        right = np.linalg.norm(error) / np.linalg.norm(end)
        assert row.relative_error == pytest.approx(right, rel=1e-5, abs=1e-9)
        assert row.end_rms == pytest.approx(np.sqrt((end**2).mean()), rel=1e-5)
        assert row.shape == h.shape and row.channels >= h.shape[1] - 2
    ends = table[table["position"] == 3]
    assert (ends["cosine"] == 1).all() and (ends["relative_error"] == 0).all()
    np.testing.assert_allclose(ends["correlation"], 1)
    assert table.attrs["seeds"] == [4] and table.attrs["batch_size"] == 3


def test_a_name_makes_no_stage():
    """One output shape is one stage, whether the blocks are block1, block2 or body.0, body.1."""

    class Named(nn.Module):
        def __init__(self, blocks: nn.Sequential) -> None:
            super().__init__()
            self.stem, self.block1, self.block2, self.block3 = nn.Conv2d(3, 16, 1), *blocks

        def forward(self, x: Tensor) -> Tensor:
            return self.block3(self.block2(self.block1(self.stem(x)))).mean((2, 3))

    named = Named(cifar_resnet(20, seed=0).layer1).eval()
    body = nn.Sequential(named.stem, nn.Sequential(named.block1, named.block2, named.block3))
    one, other = (refinement_study(net, IMAGES, progress=False) for net in (named, body.eval()))
    assert one["position"].tolist() == [1, 2, 3] and (one["relative_error"].iloc[:2] > 0).all()
    columns = ["position", "blocks", "cosine", "relative_error", "correlation"]
    pd.testing.assert_frame_equal(one[columns], other[columns])


def test_a_shuffle_leaves_nothing_in_its_place():
    for channels in (2, 3, 16, 64):
        for seed in range(20):
            order = _shuffle((1, channels, 4, 4), seed)
            assert sorted(order.tolist()) == list(range(channels))
            assert (order != torch.arange(channels)).all()
    assert torch.equal(_shuffle((1, 16, 4, 4), 3), _shuffle((1, 16, 4, 4), 3))
    assert not torch.equal(_shuffle((1, 16, 4, 4), 3), _shuffle((1, 16, 4, 4), 4))


def test_a_channel_that_does_not_vary_is_left_out():
    net = cifar_resnet(20, seed=0)
    with torch.no_grad():  # the branch of block 0 pushes its channel 3 far below the ReLU
        net.layer1[0].bn2.weight[3], net.layer1[0].bn2.bias[3] = 0.0, -1e4
    table = refinement_study(net, IMAGES, progress=False)
    assert table["channels"].tolist()[0] == 15 and table["correlation"].notna().all()
    found = block_outputs(net, ["layer1.0", "layer1.2"])
    h, end = found["layer1.0"], found["layer1.2"]
    others = [c for c in range(16) if c != 3]
    right = np.mean([np.corrcoef(h[:, c].ravel(), end[:, c].ravel())[0, 1] for c in others])
    assert table["correlation"].iloc[0] == pytest.approx(right, abs=1e-5)


def test_one_channel_has_no_shuffle_and_tokens_have_theirs_last():
    class Wide(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(channels, 8), nn.Linear(8, channels)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.b(self.a(x).tanh())

    class Tokens(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.blocks = nn.Sequential(Wide(channels), Wide(channels))
            self.head = nn.Linear(channels, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.blocks(x).mean(1))

    tokens = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(0))
    net = Tokens(4)
    row = refinement_study(net, tokens, batch_size=4, progress=False).iloc[0]
    h = net.blocks[0](tokens).detach().numpy().reshape(-1, 4)
    end = net.blocks(tokens).detach().numpy().reshape(-1, 4)
    right = np.mean([np.corrcoef(h[:, c], end[:, c])[0, 1] for c in range(4)])
    assert row["channels"] == 4 and row["correlation"] == pytest.approx(right, abs=1e-5)
    alone = refinement_study(Tokens(1), tokens[..., :1], progress=False)
    assert alone[["shuffled_cosine", "shuffled_correlation"]].isna().all(axis=None)
    assert alone["correlation"].notna().all()


def measured(module: ModuleType, name: str) -> pd.DataFrame:
    net, look = module.cifar_net(name)
    images, _, _ = module.cifar_images("test")
    return refinement_study(net, look(images[:64]), progress=False)


@pytest.mark.thorough
def test_trained_networks(testdata_module: ModuleType):
    """First 64 test images. In both residual networks channels agree with the stage's end from its
    first block on, ever more so, and with shuffled channels not; in the plain one they do not."""
    for name in ("resnet56", "resnet56_projection"):
        table = measured(testdata_module, name)
        inner = table[table["position"] < table["blocks"]]
        assert inner["correlation"].min() > 0.25
        assert inner["shuffled_correlation"].abs().max() < 0.1
        assert (inner["cosine"] > inner["shuffled_cosine"] + 0.1).all()
        for _, stage in table.groupby("stage"):
            assert (np.diff(stage["correlation"]) > 0).all()
            assert stage["error_std"].iloc[-2] < stage["error_std"].iloc[0]
        # mean error: at most half of the end's rms, and near zero in the second stage
        relative = (table["mean_error"] / table["end_rms"]).abs()
        assert relative.max() < 0.5 and relative[table["stage"] == "layer2"].max() < 0.1
    plain = measured(testdata_module, "plain56")
    inner = plain[(plain["position"] < plain["blocks"]) & (plain["channels"] > 20)]
    assert len(inner) == 16 and inner["correlation"].abs().max() < 0.15
    assert (inner["correlation"] - inner["shuffled_correlation"]).abs().max() < 0.1


def test_it_refuses():
    net = cifar_resnet(8, seed=0)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    cases = [
        (lambda: refinement_study(linear, IMAGES), ValueError, "no blocks in Sequential"),
        (lambda: refinement_study(net, IMAGES, seed=-1), ValueError, "seed -1; 0 or more"),
        (lambda: refinement_study(net, IMAGES, seed=0.5), TypeError, "seed 0.5"),
        (lambda: refinement_study(net, IMAGES, batch_size=None), TypeError, "batch_size None"),
        (lambda: refinement_study(net, None), TypeError, "images are a NoneType"),
    ]
    for action, error, words in cases:
        with pytest.raises(error, match=f"refinement_study: {words}"), left_as_found(net):
            action()


def test_left_as_found_after_an_interrupt():
    net, many = cifar_resnet(8, seed=0), torch.cat([IMAGES, IMAGES])
    seen = []

    def stop(module: nn.Module, args: object) -> None:
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt

    handle = net.layer3.register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt), left_as_found(net):
        refinement_study(net, many, True, batch_size=10, progress=False)
    handle.remove()


def test_labels_are_no_batch_statistics():
    net = cifar_resnet(8, seed=0)
    with pytest.raises(TypeError, match="batch_stats is a Tensor; True or False"):
        refinement_study(net, torch.zeros(2, 3, 32, 32), torch.tensor([1, 2]))
