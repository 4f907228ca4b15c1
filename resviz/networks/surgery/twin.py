"""Plain counterparts: the same network without shortcuts, and untrained copies by one rule."""

from __future__ import annotations

import dataclasses
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from resviz.arguments import caller, choice, public
from resviz.errors import NotTraceable, warn
from resviz.given import Images, Inputs
from resviz.hooks import Hooks, evaluating
from resviz.networks.anatomy.additions import Addition
from resviz.networks.anatomy.dataflow import tensors_in
from resviz.networks.anatomy.sums import FAMILIES, addition_name
from resviz.networks.anatomy.survey import probe, survey
from resviz.networks.inputs import check_hookable
from resviz.networks.outputs import tensor_or_none, widened
from resviz.networks.surgery.blocks import scale_shortcuts
from resviz.networks.surgery.copies import copied
from resviz.networks.surgery.fresh import refilled
from resviz.preset import preset_of, set_preset

_FUNCTIONS = {  # as torch.fx names them, and what their additions are called
    **dict.fromkeys((operator.add, operator.iadd, torch.add), "add"),
    **dict.fromkeys((operator.sub, operator.isub, torch.sub, torch.subtract), "sub"),
}
_SAME = 1e-4  # of the output's norm: the branches alone against shortcuts times 0
_INSTEAD = "rv.scale_shortcuts(net, 0) does the same while it runs."


@public
def plain_twin(
    net: nn.Module,
    weights: str = "random",
    *,
    init: str | Callable[[Tensor], Tensor | None] = "he",
    seed: int = 0,
    images: Images | None = None,
) -> nn.Module:
    """A copy of a network without its shortcuts: every sum is the branch alone.

    ``plain_twin(resnet34)`` is the plain-34 of He et al. 2015 (https://arxiv.org/abs/1512.03385,
    Fig. 3, middle): a projection is removed with its shortcut, all else stays. Paths of modules
    stay as they were. To compare the two untrained, give both the same rule and seed::

        plain, residual = rv.plain_twin(net, seed=1), rv.untrained_copy(net, seed=1)

    Args:
        net: a network with residual additions.
        weights: "random": fresh weights by `init` and `seed`. "copied": the network's own. That
            is a lesion of a trained network and no plain network: nothing was trained to do
            without shortcuts. Its preset, and with it every plot, says so.
        init: as :func:`untrained_copy` takes it.
        seed: as :func:`untrained_copy` takes it.
        images: what to run the network on once; None: zeros as its preset says.

    Returns:
        The twin in eval mode, on the device of `net`, which is not changed.

    Raises:
        ValueError: no residual additions, neither preset nor images, or an unknown option.
        NotTraceable: a block whose forward cannot be traced by torch.fx.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> twin = plain_twin(cifar_resnet(20, shortcut="B"), seed=0)
        >>> sum(p.numel() for p in twin.parameters())
        269722
    """
    check_hookable(net)
    choice("weights", weights, ("random", "copied"))
    inputs = probe(net, images)
    additions = survey(net, inputs).additions
    if not additions:
        raise ValueError(
            f"{caller()}: a network without residual additions; one that has some would be right."
        )
    twin = _without_shortcuts(_copied(net).eval(), additions).eval()
    _check_twin(net, twin, inputs, additions)
    words = "copied from {}, shortcuts cut: a lesion" if weights == "copied" else "random"
    _rename(twin, net, "plain twin of {}", words)
    return twin if weights == "copied" else refilled(twin, init, seed)


@public
def untrained_copy(
    net: nn.Module,
    *,
    init: str | Callable[[Tensor], Tensor | None] = "he",
    seed: int = 0,
) -> nn.Module:
    """A copy of a network with fresh weights, the same whatever else the network holds.

    Each weight is drawn from `seed` and its own name, so that a network and its plain twin start
    from the same numbers in every layer that both have.

    Args:
        net: any network.
        init: "he" (normal, fan-in, gain sqrt 2: He et al. 2015, arXiv 1502.01852), "xavier",
            "orthogonal", "torch" (each layer's own), or a function that fills a weight in place.
            It is for convolutions and linear layers; their biases start at 0 but with "torch".
            Normalisation starts at scale 1, offset 0, empty running statistics. Other modules with
            a rule of their own (attention, embeddings) follow it; parameters without any are drawn
            from N(0, 0.02²), with a warning that names them.
        seed: of the draws.

    Returns:
        The copy in eval mode.

    Raises:
        ValueError: an unknown `init`; a network that cannot be copied, or is changed for a while.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> one, other = (untrained_copy(cifar_resnet(20), seed=3) for _ in range(2))
        >>> bool((one.conv1.weight == other.conv1.weight).all())
        True
    """
    check_hookable(net)
    fresh = _copied(net).eval()
    _rename(fresh, net, "{}", "random")
    return refilled(fresh, init, seed)


def _rename(twin: nn.Module, net: nn.Module, name: str, weights: str) -> None:
    try:
        preset = preset_of(net)
    except ValueError:
        return
    name, weights = name.format(preset.name), weights.format(preset.weights)
    set_preset(twin, dataclasses.replace(preset, name=name, weights=weights), check=False)


def _copied(net: nn.Module) -> nn.Module:
    """A copy with memory of its own.

    Raises:
        ValueError: a network that is changed for a while, or that cannot be copied.
    """
    changes = getattr(net, "resviz_changes", ())
    if changes:
        raise ValueError(
            f"{caller()}: a network that is {', '.join(changes)} while a with block lasts; the "
            "network outside of it would be right."
        )
    with torch.inference_mode(False):
        try:
            return copied(net)
        except RuntimeError as error:
            raise ValueError(
                f"{caller()}: {type(net).__name__} cannot be copied ({error}); one whose weights "
                "are leaves would be right. See torch.nn.utils.remove_weight_norm."
            ) from error


# ---- cutting the shortcuts
def _without_shortcuts(net: nn.Module, additions: Sequence[Addition]) -> nn.Module:
    """Each module that adds, traced and rewritten; what only its shortcut needs is gone."""
    by_owner: dict[str, list[Addition]] = defaultdict(list)
    for addition in additions:
        by_owner[addition.owner].append(addition)
    inner_first = sorted(by_owner, key=lambda path: (path == "", -path.count(".")))
    for owner in inner_first:
        block = net.get_submodule(owner)
        rewritten = _branch_alone(block, owner, by_owner[owner])
        if owner == "":
            return rewritten
        for path, module in list(net.named_modules(remove_duplicate=False)):
            if module is block:
                net.set_submodule(path, rewritten)
    return net


def _branch_alone(block: nn.Module, path: str, additions: Sequence[Addition]) -> fx.GraphModule:
    prefix = f"{path}." if path else ""
    operand_of = {a.name.removeprefix(prefix): a.branch_operand for a in additions}
    tracer, graph = _traced(block, path, operand_of)
    for node, name in tracer.additions.items():
        if name in operand_of:
            _put_branch(graph, node, operand_of[name])
    twin = fx.GraphModule(block, graph, type(block).__name__)
    twin.graph.eliminate_dead_code()
    twin.recompile()
    twin.delete_all_unused_submodules()
    for name, value in block.__dict__.items():  # what others read of the block
        if not name.startswith("_") and name not in twin.__dict__:
            setattr(twin, name, value)
    _check_training(block, path, operand_of, twin.graph)
    return twin


def _traced(block: nn.Module, path: str, names: Collection[str]) -> tuple[_Frames, fx.Graph]:
    """The block's graph, in which every one of the additions stands.

    Raises:
        NotTraceable: it cannot be traced, or does not show them.
    """
    tracer = _Frames({name.rpartition(".")[0] for name in names} - {""})
    try:
        graph = tracer.trace(block)
    except Exception as error:  # whatever a user's forward raises on a proxy
        why = str(error).partition(". ")[0]
        raise NotTraceable(
            f"{caller()}: block {path!r} cannot be traced by torch.fx ({why}); a forward without "
            f"branches that depend on values would be right. {_INSTEAD}"
        ) from error
    missing = set(names) - set(tracer.additions.values())
    if missing:
        raise NotTraceable(
            f"{caller()}: the traced block {path!r} shows no addition {min(missing)!r}; a block "
            f"that adds in its own forward would be right. {_INSTEAD}"
        )
    return tracer, graph


def _put_branch(graph: fx.Graph, node: fx.Node, operand: int) -> None:
    """The branch in place of the sum."""
    alpha: Any = node.kwargs.get("alpha", 1)
    if "sub" in str(getattr(node.target, "__name__", node.target)):
        alpha = -alpha
    pair: list[Any] = [
        *node.args,
        *(node.kwargs[k] for k in ("input", "other") if k in node.kwargs),
    ]
    branch = pair[operand]
    if alpha != 1 and operand == 1:
        with graph.inserting_before(node):
            branch = graph.call_function(operator.mul, (branch, alpha))
    node.replace_all_uses_with(branch)
    graph.erase_node(node)


def _check_training(block: nn.Module, path: str, names: Collection[str], graph: fx.Graph) -> None:
    """Warn of what the block's own forward does in training alone: it is not in the graph."""
    functions = {getattr(n.target, "__name__", "") for n in graph.nodes if n.op == "call_function"}
    if any("dropout" in name for name in functions):
        warn(
            f"{caller()}: block {path!r} calls dropout as a function, which tracing fixes as it is "
            "in eval mode: the twin has none in training either. A module nn.Dropout would be "
            "right."
        )
    elif _steps(block, path, names, training=True) != _steps(block, path, names, training=False):
        warn(
            f"{caller()}: block {path!r} does something else in training, as stochastic depth in "
            "its own forward; tracing fixes it as it is in eval mode: the twin trains without. A "
            "module, as torchvision.ops.StochasticDepth, would be right."
        )


def _steps(block: nn.Module, path: str, names: Collection[str], *, training: bool) -> list[str]:
    """What its forward does in that mode, children as steps of their own; [] where it fails."""
    before = [(module, module.training) for module in block.modules()]
    try:
        block.train(training)
        with torch.random.fork_rng(devices=[]):
            _, graph = _traced(block, path, names)
    except NotTraceable:
        return []
    finally:
        for module, mode in before:
            module.training = mode
    return [f"{node.op} {node.target} {node.args} {node.kwargs}" for node in graph.nodes]


class _Frames(fx.Tracer):
    """Traces one module's forward; its children stay calls, but for those that do the adding."""

    def __init__(self, frames: Collection[str] = ()) -> None:
        super().__init__()
        self.additions: dict[fx.Node, str] = {}
        self._frames, self._path = frames, [""]
        self._numbers: Counter[tuple[str, str]] = Counter()

    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        """True for all but the modules that hold an addition."""
        return not any(frame == path or frame.startswith(f"{path}.") for frame in self._frames)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Keeps track of whose forward is being traced."""
        self._path.append(self.path_of_module(m))
        try:
            return super().call_module(m, forward, args, kwargs)
        finally:
            self._path.pop()

    def create_node(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        """Names each addition as the dataflow does."""
        node = super().create_node(kind, target, *args, **kwargs)
        family = ""
        if kind == "call_function":
            family = _FUNCTIONS.get(target, "")
        elif kind == "call_method":
            family = FAMILIES.get(target, "")
        if family in ("add", "sub"):
            path = self._path[-1]
            self.additions[node] = addition_name(path, self._numbers[path, family], family)
            self._numbers[path, family] += 1
        return node


def _check_twin(
    net: nn.Module, twin: nn.Module, inputs: Inputs, additions: Sequence[Addition]
) -> None:
    """With its own weights the twin must give what the network gives with shortcuts times 0."""
    generator = torch.Generator().manual_seed(0)
    noise = inputs.one().each(
        lambda t: torch.randn(t.shape, generator=generator).to(t) if t.is_floating_point() else t
    )
    owners = list(dict.fromkeys(addition.owner for addition in additions))
    with scale_shortcuts(net, 0.0, images=noise):
        expected = _outputs(net, owners, noise)
    got = _outputs(twin, owners, noise)
    if not _are_same(expected, got):
        raise NotTraceable(
            f"{caller()}: the rewritten network does not give what the branches alone give; blocks "
            f"whose forward does not depend on shapes or values would be right. {_INSTEAD}"
        )


def _outputs(net: nn.Module, owners: Sequence[str], inputs: Inputs) -> list[Tensor]:
    """Of the network, where that is a tensor; else of the modules that add, as detections vary."""
    found: dict[str, list[Tensor]] = {}

    def note(path: str, _: nn.Module, __: Any, output: Any) -> None:
        found[path] = [t.detach().clone() for t in tensors_in(output) if t.is_floating_point()]

    with Hooks() as hooks, evaluating(net):
        for path in owners:
            hooks.forward(net.get_submodule(path), partial(note, path))
        whole = tensor_or_none(inputs.copies().run(net))
    return [whole] if whole is not None else [t for path in owners for t in found.get(path, ())]


def _are_same(expected: Sequence[Tensor], got: Sequence[Tensor]) -> bool:
    if [t.shape for t in expected] != [t.shape for t in got]:
        return False
    pairs = zip(map(widened, expected), map(widened, got), strict=True)
    return all(torch.allclose(b, a, rtol=0, atol=_SAME * float(a.abs().max()) + 1e-30)
               for a, b in pairs if a.numel())  # fmt: skip
