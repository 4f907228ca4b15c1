"""Maps over the input pixels through Captum, for the targets of one image at a time.

Each function takes a :class:`Scorer` and the image's number and returns (T, H, W), one map per
target, at the input's resolution, or takes the shared pass and a layer and returns those of all
images; how the colour channels become one value is part of the method and stated there. Signals
have channels in place of colours and give (T, L), video (T, t, H, W). Of tokens the rows of their
embedding are differentiated, whose numbers are the channels: see
:mod:`resviz.attribution.subject`. Methods that put hooks on a network work on a copy of it.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from resviz.arguments import caller
from resviz.attribution.cam import grad_cam
from resviz.attribution.layer import Layer
from resviz.attribution.places import resized, size_of
from resviz.attribution.scoring import Scorer
from resviz.attribution.shared_pass import SharedPass
from resviz.attribution.subject import Subject, opened
from resviz.hooks import left_as_found
from resviz.networks.anatomy.operations import is_nonlinear, plain
from resviz.networks.inputs import check_differentiable
from resviz.networks.outputs import widened
from resviz.networks.surgery.copies import copied
from resviz.progress import bar
from resviz.torch_private import deep_lift_rules, drop_backward_hooks, is_activation

Forward = Callable[[Tensor], Tensor]

_INCOMPLETE = 0.01  # of what the score rises by
_FINE = 1e-3  # of what is added up: TF32 on a GPU
_RELU = "a ReLU by another name"  # x.clamp(min=0)


def saliency(scorer: Scorer, image: int) -> Tensor:
    """Max over colours of |dy/dx|: Simonyan et al. 2013, arXiv 1312.6034, section 3.1."""
    from captum.attr import Saliency

    def one(forward: Forward, given: Subject) -> Tensor:
        return given.largest(Saliency(forward).attribute(given.values, abs=True))

    return _each_target(scorer, image, one, 1, "saliency")


def smooth_grad(
    scorer: Scorer, image: int, *, samples: int = 25, noise: float = 0.15, seed: int = 0
) -> Tensor:
    """Max over colours of |mean gradient| over noisy copies: Smilkov et al. 2017, arXiv 1706.03825.

    The noise's standard deviation is `noise` times the picture's range.
    """
    from captum.attr import Saliency

    def one(forward: Forward, given: Subject) -> Tensor:
        total = torch.zeros_like(given.values, dtype=torch.float32)
        for noisy, _ in _noisy(given.values, samples, noise, seed, scorer.chunk):
            total += Saliency(forward).attribute(noisy, abs=False).float().sum(0)
        return given.largest((total / samples).abs())

    return _each_target(scorer, image, one, samples, "smooth_grad")


def integrated_gradients(
    scorer: Scorer, image: int, *, steps: int = 50, baseline: float | None = None
) -> Tensor:
    """Sum over colours of (x - x') times the mean gradient on the way from x': arXiv 1703.01365.

    x' = `baseline`, or 0, the mean colour; of tokens that id, or the embedding's padding, or id 0.
    The map sums to the score less the baseline's (completeness), up to the error of `steps`
    Gauss-Legendre points.
    """
    from captum.attr import IntegratedGradients

    def one(forward: Forward, given: Subject) -> Tensor:
        return given.total(
            IntegratedGradients(forward).attribute(
                given.values,
                baselines=given.origin,
                n_steps=steps,
                internal_batch_size=scorer.chunk,
            )
        )

    return _each_target(scorer, image, one, steps, "integrated_gradients", baseline)


def gradient_shap(
    scorer: Scorer,
    image: int,
    *,
    samples: int = 25,
    noise: float = 0.1,
    seed: int = 0,
    baseline: float | None = None,
) -> Tensor:
    """Sum over colours of expected gradients: Lundberg and Lee 2017, arXiv 1705.07874.

    The mean of x~ - x' times the gradient at a random point between x~ and x', x~ being the picture
    with noise of `noise` times its range, x' as for :func:`integrated_gradients`. Captum's
    GradientShap draws from NumPy's global generator; here every sample comes from `seed`.
    """
    from captum.attr import Saliency

    def one(forward: Forward, given: Subject) -> Tensor:
        total = torch.zeros_like(given.values, dtype=torch.float32)
        for noisy, along in _noisy(given.values, samples, noise, seed, scorer.chunk):
            way = noisy - given.origin
            slopes = Saliency(forward).attribute(given.origin + way * along, abs=False)
            total += (widened(slopes.detach()) * widened(way)).float().sum(0)
        return given.total(total / samples)

    return _each_target(scorer, image, one, samples, "gradient_shap", baseline)


def _noisy(
    picture: Tensor, samples: int, noise: float, seed: int, chunk: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Chunks of noisy copies (m, C, H, W), with a random number in 0..1 each, (m, 1, 1, 1).

    Or (m, C, L) with (m, 1, 1), and so on.

    Drawn on the CPU, sample by sample, in float32: the same on every device, for every chunk and
    whatever torch's default type is.
    """
    random = torch.Generator().manual_seed(seed)
    size = noise * float(picture.max() - picture.min())
    drawn: list[tuple[Tensor, Tensor]] = []
    for number in range(samples):
        shift = torch.randn(picture.shape, generator=random, dtype=torch.float32) * size
        place = torch.rand([1] * picture.ndim, generator=random, dtype=torch.float32)
        drawn.append((shift, place))
        if len(drawn) == chunk or number == samples - 1:
            shifts, along = (torch.cat(part) for part in zip(*drawn, strict=True))
            yield picture + shifts.to(picture), along.to(picture)
            drawn = []


def guided_backprop(scorer: Scorer, image: int) -> Tensor:
    """Max over colours of |guided gradient|: Springenberg et al. 2014, arXiv 1412.6806.

    Negative gradients are dropped at every ReLU module.
    """
    guided = _guided(scorer, image).abs()
    return guided if guided.ndim == 2 else guided.amax(1)


def guided_grad_cam(shared: SharedPass, layer: Layer) -> Tensor:
    """Guided gradient times the upsampled Grad-CAM, max over colours of the absolute value.

    Selvaraju et al. 2016, arXiv 1610.02391, section 3.2; Grad-CAM with its ReLU. (N, T, H, W).
    """
    products = []
    for image, cams in enumerate(shared.of_gradients(grad_cam, layer).relu()):
        guided = widened(_guided(shared.scorer_of(layer), image))
        maps = resized(cams[:, None].to(guided), size_of(guided))
        if guided.ndim == 2:  # a table, or a waveform without channels
            guided = guided[:, None]
        products.append((guided * maps).abs().amax(1))
    return torch.stack(products)


def deep_lift(scorer: Scorer, image: int) -> Tensor:
    """Sum over colours of DeepLIFT's rescale rule from the mean colour: arXiv 1704.02685.

    Raises:
        ValueError: a module that runs several times, as ReLUs of residual blocks do: the rule needs
            each to run once; activation functions that Captum has no rule for; or something else
            that keeps the map from summing to the rise of the score.
    """
    from captum.attr import DeepLift

    calls, functions = _watched(scorer, image)
    _check_activations(scorer.net, functions)
    again = [path for path, count in calls.items() if count > 1]
    if again:
        raise ValueError(
            f"{caller()}: deep_lift, and {again[0]!r} runs {calls[again[0]]} times in a pass; a "
            "network in which every module runs once would be right. integrated_gradients has no "
            "such limit."
        )

    def one(scored: nn.Module, picture: Tensor) -> Tensor:
        drop_backward_hooks(scored)  # Captum leaves a module alone that has one
        found = DeepLift(scored).attribute(picture, baselines=torch.zeros_like(picture))
        return found if found.ndim == 2 else found.sum(1)

    maps = _on_a_copy(scorer, image, one, "deep_lift")
    if not any(isinstance(module, nn.Softmax) for module in scorer.net.modules()):
        _check_sums(scorer, image, maps)  # which is normalised: section 3.6 there
    return maps


def _check_sums(scorer: Scorer, image: int, maps: Tensor) -> None:
    """Raise where DeepLIFT's maps (T, H, W) are not what the score is above the baseline's."""
    given = scorer.picture(image)
    ends = scorer.scores(image, [torch.zeros_like(given), given], 2, "deep_lift").double()
    flat, rise = maps.double().flatten(1), ends[1] - ends[0]
    kind = maps.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else maps.dtype
    fine = max(_FINE, 4 * torch.finfo(dtype).eps)
    room = _INCOMPLETE * rise.abs() + fine * (flat.abs().sum(1) + ends.abs().sum(0))
    wrong = (flat.sum(1) - rise).abs() > room
    if bool(wrong.any()):
        column = int(wrong.int().argmax())
        raise ValueError(
            f"{caller()}: deep_lift, and the map of image {image} sums to "
            f"{float(flat[column].sum()):.3g} where the score rises by {float(rise[column]):.3g}; "
            "a network without what the rule does not cover (norms of the image itself, products "
            "of activations as in gates, softmax, attention) would be right. integrated_gradients "
            "has no such limit."
        )


def _check_activations(net: nn.Module, functions: Counter[str]) -> None:
    """Raise where DeepLIFT would take an activation function for a linear one."""
    called = [f"{name}()" for name in functions if is_nonlinear(name)]
    with_rule = deep_lift_rules()
    others = [
        f"{path!r} ({type(module).__name__})"
        for path, module in net.named_modules()
        if is_activation(module) and type(module) not in with_rule
    ]
    got = [f"calls of {' and '.join(called)}, which are no modules"] if called else []
    got += [f"{others[0]}, for which there is no rule"] if others else []
    if got:
        raise ValueError(
            f"{caller()}: deep_lift, and the network has {' and '.join(got)}; a network whose "
            "activation functions are modules with a rule (ReLU, ELU, Sigmoid, Tanh, ...) would be "
            "right. integrated_gradients has no such limit."
        )


# ---- running Captum
def _each_target(
    scorer: Scorer,
    image: int,
    one: Callable[[Forward, Subject], Tensor],
    passes: int,
    what: str,
    baseline: float | None = None,
) -> Tensor:
    """(T, H, W) from a function of the forward pass of one target and the picture."""
    check_differentiable(scorer.net)
    columns = scorer.targets.columns
    maps = []
    with (
        opened(scorer, image, baseline) as given,
        bar(columns * passes, what, scorer.progress) as shown,
        _quiet(),
    ):
        for column in range(columns):

            def forward(part: Tensor, column: int = column) -> Tensor:
                shown.update(len(part))
                return scorer.targets.of(given.run(part), image, column)

            maps.append(one(forward, given).detach())
    return torch.cat(maps)


class _Scored(nn.Module):
    """A network that gives one target's score, (M, 1)."""

    def __init__(self, net: nn.Module, scorer: Scorer, image: int, column: int) -> None:
        super().__init__()
        self.net = net
        self._read: Any = (scorer, image, column)

    def forward(self, part: Tensor) -> Tensor:
        scorer, image, column = self._read
        output = scorer.output(image, part.clone(), self.net)
        return scorer.targets.of(output, image, column).unsqueeze(1)


def _on_a_copy(
    scorer: Scorer, image: int, one: Callable[[nn.Module, Tensor], Tensor], what: str
) -> Tensor:
    """The same for methods that put hooks on the network: those go on a copy."""
    with left_as_found(scorer.net, grad=True) as hooks, _quiet():
        net = copied(scorer.net)
        for module in net.modules():
            if hasattr(module, "inplace"):
                module.inplace = False  # type: ignore[assignment]
            if is_activation(module):
                hooks.before_forward(module, _apart)
        picture = scorer.picture(image).clone()
        columns = range(scorer.targets.columns)
        with bar(len(columns), what, scorer.progress) as shown:
            maps = []
            for column in columns:
                scored = _Scored(net, scorer, image, column).eval()
                maps.append(one(scored, picture.clone()).detach())
                shown.update()
    return torch.cat(maps)


def _apart(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """A tensor of its own for an activation: Captum's hooks on it are on nothing else then."""
    return tuple(each.clone() if isinstance(each, Tensor) else each for each in args)


def _guided(scorer: Scorer, image: int) -> Tensor:
    """(T, 3, H, W) guided gradients."""
    from captum.attr import GuidedBackprop

    calls, functions = _watched(scorer, image)
    functional = functions["relu"] + functions["relu_"] + functions[_RELU]
    relus = {p for p, m in scorer.net.named_modules() if isinstance(m, nn.ReLU)} & set(calls)
    if not relus or functional:
        got = f"{functional} ReLUs that are no modules" if functional else "no ReLU modules"
        raise ValueError(
            f"{caller()}: guided backpropagation, and the network has {got}; a network whose ReLUs "
            "are all nn.ReLU modules would be right: the others would be passed unguided."
        )
    return _on_a_copy(
        scorer,
        image,
        lambda scored, picture: GuidedBackprop(scored).attribute(picture),
        "guided_backprop",
    )


class _Functions(TorchFunctionMode):
    """Counts the functions that are called outside of activation modules, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.within = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if not self.within:
            name = getattr(func, "__name__", "")
            self.calls[name] += 1
            self.calls[_RELU] += _cuts_at_0(plain(name), *args[1:], **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def enter(self, *_: Any) -> None:
        """An activation module starts to run."""
        self.within += 1

    def leave(self, *_: Any) -> None:
        """It has run."""
        self.within -= 1


def _cuts_at_0(name: str, *args: Any, **kwargs: Any) -> bool:
    """Whether a call is a ReLU: x.clamp(min=0), F.threshold(x, 0, 0)."""
    bounds = [each for each in [*args, *kwargs.values()] if isinstance(each, int | float)]
    if name.lstrip("_") == "threshold":
        return bounds[:2] == [0, 0]
    least = name in ("clamp", "clip", "clamp_min") and "max" not in kwargs
    return least and bounds == [0] and args[:1] != (None,)


def _watched(scorer: Scorer, image: int) -> tuple[Counter[str], Counter[str]]:
    """Calls of each leaf module, and of each function outside of activation modules: one pass."""
    calls: Counter[str] = Counter()

    def count(path: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            calls[path] += 1

        return hook

    seen = _Functions()
    with left_as_found(scorer.net) as hooks:
        for path, module in scorer.net.named_modules():
            if next(module.children(), None) is None:
                hooks.forward(module, count(path))
            if is_activation(module) or isinstance(module, nn.ReLU):
                hooks.before_forward(module, seen.enter)
                hooks.forward(module, seen.leave)
        with seen:
            scorer.output(image, scorer.picture(image).clone())
    return calls, seen.calls


@contextmanager
def _quiet() -> Iterator[None]:
    """Captum announces its hooks and gradients; they are wanted here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"captum\.")
        warnings.filterwarnings("ignore", message="Setting (back|for)ward", category=UserWarning)
        warnings.filterwarnings("ignore", message="Input Tensor .* did not", category=UserWarning)
        yield
