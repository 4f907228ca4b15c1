"""Networks with a part switched off, scaled or moved, for as long as a ``with`` block lasts.

Every function here is a context manager; they nest in any combination, are left in reverse order as
``with`` blocks are, and at the end the network is what it was, also after an error. What was done
stands in ``provenance["changes"]`` of every record made inside, and on its plots.

Additions are found by structure (see :mod:`resviz.networks.anatomy.dataflow`), so all of it works
in ResNet, ResNeXt, Wide ResNet, RegNet, MobileNet, EfficientNet, ConvNeXt, ViT, Swin and networks
of your own. They are found in one pass when the block begins, on zeros of the size that the preset
says, or on ``images``, which a network of your own without a preset needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from resviz.arguments import caller, number, public
from resviz.errors import closest
from resviz.given import Images
from resviz.hooks import Hooks, evaluating, left_as_found
from resviz.networks.anatomy.additions import Addition, included
from resviz.networks.anatomy.dataflow import tensors_in
from resviz.networks.anatomy.structure import inside
from resviz.networks.anatomy.survey import probe
from resviz.networks.inputs import check_hookable
from resviz.networks.surgery.altering import Change, additions_of, altered, change_operands
from resviz.networks.zoo.cifar import ZeroPadShortcut
from resviz.torch_private import children_of, parameters_of


@contextmanager
@public
def drop_blocks(
    net: nn.Module,
    blocks: str | Sequence[str],
    *,
    images: Images | None = None,
    include: str | Sequence[str] = (),
) -> Iterator[None]:
    """The network without some of its blocks: sum = shortcut + 0 instead of shortcut + F(x).

    As Veit et al. 2016 (https://arxiv.org/abs/1605.06431, section 4.1) delete blocks. A projection
    shortcut stays, as without it no shape would fit. A module without residual additions, such as
    a block of a plain network, hands its input on; where it changes the shape, every second (third,
    ...) position of it, with zero channels added on both sides (option A of He et al. 2015).

    Args:
        net: any network.
        blocks: paths of blocks ("layer3.4"), of single additions ("encoder.layers.
            encoder_layer_3.add_1"), of stages, or of plain modules.
        images: what to run the network on once, to find its additions; None: zeros as its preset
            says.
        include: kinds of sums that are not residual ("fusion", "inner", "adapter", "all"), to be
            taken for additions too, as :func:`resviz.record` takes them.

    Raises:
        ValueError: neither preset nor images, no such block, or a module whose input cannot take
            the place of its output; at a pass, a module that the network never calls.
        NotTraceable: a scripted or compiled network.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> net, images = cifar_resnet(20, seed=0), torch.ones(1, 3, 32, 32)
        >>> before = net(images)
        >>> with drop_blocks(net, ["layer1.1"]):
        ...     bool((net(images) == before).all())
        False
        >>> bool((net(images) == before).all())
        True
    """
    check_hookable(net)
    wanted = _listed(blocks)
    with blocks_dropped(net, wanted, additions_of(net, images, included(include))):
        yield


@contextmanager
def blocks_dropped(
    net: nn.Module, wanted: Sequence[str], additions: list[Addition]
) -> Iterator[None]:
    """:func:`drop_blocks` where the additions are known: no pass is needed to find them.

    Args:
        net: the network in which they were found.
        wanted: blocks or additions.
        additions: as :func:`additions_of` has found them; they stay good for its next passes.
    """
    modules = dict(net.named_modules())
    chosen = {n: _find(n, additions, modules, plain=True) for n in wanted}
    left = dict.fromkeys(name for name, found in chosen.items() if not found)
    with Hooks() as hooks, _noted(net, f"without {', '.join(wanted)}" if wanted else ""):
        for name in list(left):
            hooks.instead(modules[name], partial(_hand_on, modules[name], name, left))
        if left:
            hooks.forward(net, lambda *_: _check_called(left, modules))
        change_operands(net, hooks, [(a, True, _erase) for found in chosen.values() for a in found])
        yield


@contextmanager
@public
def scale_branches(
    net: nn.Module,
    factor: float,
    blocks: str | Sequence[str] | None = None,
    *,
    images: Images | None = None,
    include: str | Sequence[str] = (),
) -> Iterator[None]:
    """The network with its residual branches scaled: sum = shortcut + factor * F(x).

    Args:
        net: any network with residual additions.
        factor: what the branches are multiplied with; 0.5 halves them.
        blocks: as for :func:`drop_blocks`; None for all.
        images: as for :func:`drop_blocks`.
        include: as for :func:`drop_blocks`.

    Raises:
        ValueError: no such block, no residual addition in it, or neither preset nor images.
        NotTraceable: a scripted or compiled network.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> net = cifar_resnet(20, seed=0)
        >>> with scale_branches(net, 0.5):
        ...     net(torch.ones(1, 3, 32, 32)).shape
        torch.Size([1, 10])
    """
    with _scaled(net, factor, blocks, images, branch=True, include=include):
        yield


@contextmanager
@public
def scale_shortcuts(
    net: nn.Module,
    factor: float,
    blocks: str | Sequence[str] | None = None,
    *,
    images: Images | None = None,
    include: str | Sequence[str] = (),
) -> Iterator[None]:
    """The network with its shortcuts scaled: sum = factor * shortcut + F(x).

    He et al. 2016 (https://arxiv.org/abs/1603.05027, Eq. 6 to 8): through L identity shortcuts
    scaled by lambda, the gradient's direct part is multiplied by lambda^L.

    Args:
        net: any network with residual additions.
        factor: lambda.
        blocks: as for :func:`drop_blocks`; None for all.
        images: as for :func:`drop_blocks`.
        include: as for :func:`drop_blocks`.

    Raises:
        ValueError: no such block, no residual addition in it, or neither preset nor images.
        NotTraceable: a scripted or compiled network.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> net = cifar_resnet(20, seed=0)
        >>> with scale_shortcuts(net, 0.9), scale_branches(net, 0.1, "layer3"):
        ...     net(torch.ones(1, 3, 32, 32)).shape
        torch.Size([1, 10])
    """
    with _scaled(net, factor, blocks, images, branch=False, include=include):
        yield


@contextmanager
@public
def swap_blocks(net: nn.Module, first: str, second: str) -> Iterator[None]:
    """The network with two blocks in each other's place.

    Inside, ``first`` is the place: a record's row "layer3.1" is of the block that stands there now.
    Where the block has a second name, in a module beside the one that holds it, the exchange is
    made there, too; of several places in one container ``first`` is the only one.

    Args:
        net: any network.
        first: path of a module.
        second: path of another one, with parameters of the same shapes.

    Raises:
        ValueError: no such module, one inside the other, one in both places, or shapes that differ.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> net = cifar_resnet(20, seed=0)
        >>> with swap_blocks(net, "layer1.0", "layer1.2"):
        ...     net(torch.ones(1, 3, 32, 32)).shape
        torch.Size([1, 10])
    """
    check_hookable(net)
    modules = dict(net.named_modules(remove_duplicate=False))  # a block may have several places
    for path in (first, second):
        _check_module(path, modules)
    same = modules[first] is modules[second]
    if same or inside(first, second) or inside(second, first):
        raise ValueError(f"{caller()}: {first!r} and {second!r}; two modules side by side.")
    _check_same_shapes(first, modules[first], second, modules[second])
    pair = {id(modules[first]): modules[second], id(modules[second]): modules[first]}
    places = [
        (children_of(modules[owner]), name, modules[path])
        for path in (first, second)
        for owner, _, name in (path.rpartition("."),)
    ]
    holders = [id(children) for children, _, _ in places]
    others = {id(each): each for each in map(children_of, modules.values())}
    places += [
        (children, name, child)
        for children in others.values()
        for name, child in children.items()
        if child is not None and id(child) in pair and id(children) not in holders
    ]
    with _noted(net, f"{first} and {second} swapped"):
        try:
            for children, name, child in places:
                children[name] = pair[id(child)]
            yield
        finally:
            for children, name, child in places:
                children[name] = child


@contextmanager
@public
def zero_init_residual(
    net: nn.Module,
    blocks: str | Sequence[str] | None = None,
    *,
    images: Images | None = None,
) -> Iterator[None]:
    """The network with each branch's last parameters at zero, so that F(x) = 0 exactly.

    Goyal et al. 2017 (https://arxiv.org/abs/1706.02677, section 5.1): with gamma = 0 in the last
    BatchNorm of a branch, a block with an identity shortcut starts as the identity (a projection
    block as its projection). Set to zero are the scale and offset of the last normalisation, or the
    last weight and bias where a branch ends without one; in ViT those of ``out_proj`` and of the
    MLP's last layer, in ConvNeXt the ``layer_scale``. Parameters are put in the place of the
    network's own, which come back at the end; a copy made inside (``copy.deepcopy``) keeps the
    zeros and can be trained.

    Args:
        net: any network with residual additions.
        blocks: as for :func:`drop_blocks`; None for all.
        images: as for :func:`drop_blocks`.

    Raises:
        ValueError: no such block, no residual addition in it, a branch whose last parameters are
            computed from others, or neither preset nor images.
        NotTraceable: a scripted or compiled network.

    Example:
        >>> from resviz.networks.cifar import cifar_resnet
        >>> net = cifar_resnet(20, seed=0)
        >>> with zero_init_residual(net):
        ...     float(net.layer1[0].bn2.weight.abs().sum().detach())
        0.0
    """
    check_hookable(net)
    modules = dict(net.named_modules())
    wanted = None if blocks is None else _listed(blocks)
    chosen = _chosen(wanted, additions_of(net, images), modules)
    with torch.inference_mode(False):
        zeros = {id(p): nn.Parameter(torch.zeros_like(p), p.requires_grad)
                 for addition in chosen for p in _last_parameters(addition)}  # fmt: skip
    own = [(parameters_of(m), name, p) for m in modules.values()
           for name, p in parameters_of(m).items() if id(p) in zeros]  # fmt: skip
    with _noted(net, "branches start at zero" + _of(blocks)):
        try:
            for parameters, name, p in own:
                parameters[name] = zeros[id(p)]
            _check_zero(net, images, {addition.name for addition in chosen})
            yield
        finally:
            for parameters, name, p in own:
                parameters[name] = p


# ---- what the functions share
@contextmanager
def _scaled(
    net: nn.Module,
    factor: float,
    blocks: str | Sequence[str] | None,
    images: Images | None,
    *,
    branch: bool,
    include: str | Sequence[str],
) -> Iterator[None]:
    check_hookable(net)
    factor = number("factor", factor)
    modules = dict(net.named_modules())
    wanted = None if blocks is None else _listed(blocks)
    change = partial(_multiply, factor)
    what = f"{'branches' if branch else 'shortcuts'} × {factor:g}{_of(blocks)}"
    chosen = _chosen(wanted, additions_of(net, images, included(include)), modules)
    with Hooks() as hooks, _noted(net, what):
        change_operands(net, hooks, [(addition, branch, change) for addition in chosen])
        yield


def _multiply(factor: float, operand: Tensor, in_place: bool) -> Tensor:
    return operand.mul_(factor) if in_place else operand * factor


def _erase(operand: Tensor, in_place: bool) -> Tensor:
    """Zeros, also where the operand is not finite."""
    everywhere = torch.ones((), dtype=torch.bool, device=operand.device)
    if in_place:
        return operand.masked_fill_(everywhere, 0)
    return operand.masked_fill(everywhere, 0)


@contextmanager
def _noted(net: nn.Module, what: str) -> Iterator[None]:
    """What was done to the network, where `provenance` looks for it."""
    if not what:
        yield
        return
    before = net.__dict__.get("resviz_changes")
    now = (*(before or ()), what)
    net.__dict__["resviz_changes"] = now
    try:
        yield
    finally:
        if net.__dict__.get("resviz_changes") is not now:
            raise RuntimeError(
                f"{caller()}: {what!r} ends before what was begun after it, and the network is not "
                "what it was; the reverse order would be right. Use with blocks, or an ExitStack."
            )
        if before is None:
            del net.__dict__["resviz_changes"]
        else:
            net.__dict__["resviz_changes"] = before


# ---- which blocks
def _listed(blocks: object) -> list[str]:
    names = [blocks] if isinstance(blocks, str) else blocks
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{caller()}: blocks {blocks!r}; a path or a list of paths.")
    return list(dict.fromkeys(names))


def _of(blocks: str | Sequence[str] | None) -> str:
    if blocks is None:
        return ""
    return f" in {blocks if isinstance(blocks, str) else ', '.join(map(str, blocks))}"


def _chosen(
    wanted: Sequence[str] | None,
    additions: list[Addition],
    modules: Mapping[str, nn.Module],
) -> list[Addition]:
    """The additions in the wanted blocks, each once; all of them for None."""
    if wanted is not None:
        found = [a for name in wanted for a in _find(name, additions, modules)]
        return list(dict.fromkeys(found))
    if not additions:
        raise ValueError(
            f"{caller()}: a network without residual additions; one that has some would be right."
        )
    return list(additions)


def _find(
    name: str,
    additions: list[Addition],
    modules: Mapping[str, nn.Module],
    *,
    plain: bool = False,
) -> list[Addition]:
    """The additions that `name` means; with `plain`, none for a module that has none."""
    exact = [a for a in additions if a.name == name]
    if exact:
        return exact
    owners = list(dict.fromkeys(a.owner for a in additions if a.owner))
    if name not in modules or not name:
        names = [*owners, *(a.name for a in additions)]
        offered = closest(name, names or [path for path in modules if path])
        raise ValueError(
            f"{caller()}: no block or addition {name!r}; closest: {offered}. "
            "rv.residual_branches(net, images) lists them."
        )
    found = [a for a in additions if a.owner == name or inside(a.name, name)]
    if not found and plain:  # a module that is a whole branch of the network's own additions
        found = [a for a in additions if _made_in(a, name)]
    if not found and not plain:
        raise ValueError(
            f"{caller()}: {name!r} has no residual addition; a residual block would be right: "
            f"{closest(name, owners) or 'the network has none'}."
        )
    return found


def _made_in(addition: Addition, path: str) -> bool:
    """True where everything between an addition's root and its branch happens in one module."""
    waiting, seen = [addition.branch], set()
    while waiting:
        node = waiting.pop()
        if node.index <= addition.root.index or node.index in seen:
            continue
        if node.owner != path and not inside(node.owner, path):
            return False
        seen.add(node.index)
        waiting += node.parents
    return bool(seen)


def _check_module(path: object, modules: Mapping[str, nn.Module]) -> None:
    if not isinstance(path, str):
        raise TypeError(f"{caller()}: {path!r}; the path of a module.")
    if not path or path not in modules:
        raise ValueError(
            f"{caller()}: no module {path!r}; closest: {closest(path, filter(None, modules))}."
        )


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shapes of its parameters and buffers; a state may hold other things, too."""
    state: Mapping[str, object] = module.state_dict()
    return {name: tuple(v.shape) for name, v in state.items() if isinstance(v, Tensor)}


def _check_same_shapes(first: str, one: nn.Module, second: str, other: nn.Module) -> None:
    shapes, others = shapes_of(one), shapes_of(other)
    for name in dict.fromkeys([*shapes, *others]):
        if shapes.get(name) != others.get(name):
            raise ValueError(
                f"{caller()}: {first}.{name} has shape {shapes.get(name)} and {second}.{name} "
                f"{others.get(name)}; blocks of the same shapes would be right, of one stage and "
                "neither its first."
            )


# ---- modules without an addition
def _check_called(left: Mapping[str, None], modules: Mapping[str, nn.Module]) -> None:
    """Raise ValueError after a pass in which modules that were to hand on had no part."""
    for path in left:
        parts = [repr(f"{path}.{name}") for name in children_of(modules[path])]
        raise ValueError(
            f"{caller()}: the network never calls {path!r}, so nothing is left out with it; "
            f"{', '.join(parts[:3]) or 'the module that holds it'} would be right."
        )


def _hand_on(
    module: nn.Module,
    path: str,
    left: dict[str, None],
    forward: Callable[..., Any],
    *args: Any,
    **kwargs: Any,
) -> Tensor:
    """The module's input in the shape of its output; it is no longer `left` to be called."""
    left.pop(path, None)
    taken = next(tensors_in(args), None)
    with left_as_found(module), torch.no_grad():
        given = forward(*(a.clone() if isinstance(a, Tensor) else a for a in args), **kwargs)
    if not isinstance(taken, Tensor) or not isinstance(given, Tensor):
        raise ValueError(
            f"{caller()}: {path!r} does not take and give one tensor; a module that does would be "
            "right."
        )
    if taken.shape == given.shape:
        return taken.clone()
    strides = _strides(taken, given)
    if strides is None:
        raise ValueError(
            f"{caller()}: {path!r} makes {tuple(given.shape)} of {tuple(taken.shape)}, and its "
            "input cannot take the place of that; a module that keeps the shape, or adds channels "
            "and divides the sides, would be right."
        )
    shortcut = ZeroPadShortcut(given.shape[1] - taken.shape[1], strides)
    return shortcut(taken)


def _strides(taken: Tensor, given: Tensor) -> int | None:
    if taken.ndim != 4 or given.ndim != 4 or given.shape[1] < taken.shape[1]:
        return None
    for stride in range(1, max(taken.shape[2:]) + 1):
        if all(-(-a // stride) == b for a, b in zip(taken.shape[2:], given.shape[2:], strict=True)):
            return stride
    return None


# ---- the end of a branch
def _check_zero(net: nn.Module, images: Images | None, names: set[str]) -> None:
    """Raise ValueError where a branch is not 0 although its last parameters are."""
    left: dict[str, float] = {}

    def look(name: str, operand: Tensor, in_place: bool) -> Tensor:
        left[name] = max(left.get(name, 0.0), float(operand.detach().abs().max()))
        return operand

    def changes(addition: Addition) -> Mapping[str, Change]:
        return {"branch": partial(look, addition.name)} if addition.name in names else {}

    inputs = probe(net, images).one().copies()
    with altered(net, changes, images=images), evaluating(net):
        inputs.run(net)
    wrong = [name for name, value in left.items() if value != 0]
    if wrong:
        raise ValueError(
            f"{caller()}: the branch of {wrong[0]!r} is not 0 when its last parameters "
            "are; one that ends in a layer with weights of its own would be right. "
            "rv.scale_branches(net, 0) makes it 0 while it runs."
        )


def _last_parameters(addition: Addition) -> list[Tensor]:
    """The last weight of a branch and what follows it in the same function."""
    node, seen = addition.branch, 0
    while not node.parametered:
        before = [p for p in node.parents if p.index > addition.root.index]
        if not before or seen > 1000:
            return []
        # of a product with a gate the larger operand: half of a gate is not 0
        node, seen = max(before, key=lambda p: (p.numel, p.index)), seen + 1
    weights = [i for i, p in enumerate(node.parameters) if p.ndim >= 2]
    found = list(node.parameters[weights[-1] if weights else 0 :])
    if not all(isinstance(p, nn.Parameter) for p in found):
        raise ValueError(
            f"{caller()}: the last weight of {addition.name!r} is computed from others "
            "(weight_norm and the like); a branch that ends in parameters of its own would be "
            "right."
        )
    return found
