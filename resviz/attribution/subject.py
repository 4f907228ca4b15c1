"""What one image of a batch is to methods that follow gradients to the input.

A picture, a signal or a clip is differentiated itself. Tokens are whole numbers, which no gradient
reaches: for them it is the rows of the embedding that they enter, as in Captum's
LayerIntegratedGradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resviz.arguments import caller, whole
from resviz.attribution.places import is_tokens
from resviz.attribution.scoring import Scorer
from resviz.hooks import Hooks, left_as_found
from resviz.networks.anatomy.dataflow import tensors_in

_Embeds = nn.Embedding | nn.EmbeddingBag


@dataclass(frozen=True)
class Subject:
    """One image, to be differentiated; alive inside :func:`opened`.

    Attributes:
        values: (1, C, *positions), (1, K) of a table, or (1, T, D), the rows of T tokens.
        origin: the same shape: what says nothing. 0, or the rows of the baseline's token.
        run: from M variants of `values` to the network's output for them.
        channels: the axis of the channels, None where there are none.
    """

    values: Tensor
    origin: Tensor
    run: Callable[[Tensor], Any]
    channels: int | None

    def largest(self, attributed: Tensor) -> Tensor:
        """(1, *positions): the largest over the channels."""
        return attributed if self.channels is None else attributed.amax(self.channels)

    def total(self, attributed: Tensor) -> Tensor:
        """(1, *positions): the sum over the channels."""
        return attributed if self.channels is None else attributed.sum(self.channels)


@contextmanager
def opened(scorer: Scorer, image: int, baseline: float | None = None) -> Iterator[Subject]:
    """One image of a batch, in a frame that leaves the network as found.

    Args:
        scorer: the network and the batch.
        image: its number.
        baseline: what says nothing: a number, or for tokens an id; None: 0, or :func:`token_of`.

    Raises:
        ValueError: tokens that enter no embedding of the network, or several.
    """
    given = scorer.picture(image).clone()
    with left_as_found(scorer.net, grad=True) as hooks:
        if is_tokens(given):
            yield _of_tokens(scorer, image, given, baseline, hooks)
            return

        def run(part: Tensor) -> Any:
            # a copy: a network may write over its input, and Captum differentiates it
            copied = part.to(given.dtype, copy=True)  # Captum's noise is float32
            return scorer.output(image, copied)

        origin = torch.full_like(given, baseline or 0.0)
        yield Subject(given, origin, run, None if given.ndim == 2 else 1)


def _of_tokens(
    scorer: Scorer, image: int, tokens: Tensor, baseline: float | None, hooks: Hooks
) -> Subject:
    module = _entered(scorer, image)
    blank = blank_of(scorer, image, baseline)
    with torch.no_grad():
        values, origin = _rows(module, tokens), _rows(module, blank)
    parts: list[Tensor] = []  # the variants of the pass that runs

    def instead(forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        ids = next(tensors_in((args, kwargs)), None)
        if not parts or ids is None or not _are(ids, tokens.expand(len(parts[0]), -1)):
            return forward(*args, **kwargs)
        return _pooled(module, parts[0])

    def run(part: Tensor) -> Any:
        parts[:] = [part.to(values.dtype)]
        try:
            return scorer.output(image, tokens.repeat(len(part), 1))
        finally:
            parts.clear()

    hooks.instead(module, instead)
    return Subject(values, origin, run, 2)


def _rows(module: _Embeds, ids: Tensor) -> Tensor:
    """(N, T, D)."""
    if isinstance(module, nn.EmbeddingBag):
        return F.embedding(ids, module.weight).detach()
    rows: Tensor = module(ids)
    return rows.detach()


def _pooled(module: _Embeds, rows: Tensor) -> Tensor:
    """What the embedding returns for these rows: themselves, or their bag."""
    if not isinstance(module, nn.EmbeddingBag):
        return rows
    return rows.mean(1) if module.mode == "mean" else rows.sum(1)


# ---- what says nothing
def blank_of(scorer: Scorer, image: int, baseline: float | None = None) -> Tensor:
    """(1, ...) as the image itself: `baseline` everywhere, or 0, or the token of :func:`token_of`.

    Raises:
        TypeError, ValueError: see :func:`token_of`.
    """
    given = scorer.picture(image)
    value = token_of(scorer, image, baseline) if is_tokens(given) else baseline or 0.0
    return torch.full_like(given, value)


def token_of(scorer: Scorer, image: int, baseline: float | None) -> int:
    """The id of the token that says nothing: the embedding's padding where nobody says, else 0.

    Raises:
        TypeError: no whole number.
        ValueError: an id that the embedding does not have.
    """
    entered = _entering(scorer, image)
    if baseline is None:
        padding = next((m.padding_idx for m in entered if m.padding_idx is not None), 0)
        return int(padding)
    most = min((m.num_embeddings for m in entered), default=0) - 1
    return whole("baseline, the id of a token,", baseline, least=0, most=most if entered else None)


# ---- the embedding
def _entered(scorer: Scorer, image: int) -> _Embeds:
    found = _entering(scorer, image)
    paths = {module: path for path, module in scorer.net.named_modules()}
    if len(found) == 1 and _is_plain(found[0]):
        return found[0]
    if not found:
        got = "tokens that enter no nn.Embedding of the network"
    elif len(found) > 1:
        got = f"tokens that enter {' and '.join(repr(paths[module]) for module in found)}"
    else:
        got = f"{paths[found[0]]!r}, whose bag is no plain mean or sum of its tokens' rows"
    raise ValueError(
        f"{caller()}: {got}; one nn.Embedding would be right, as gradients to tokens are those to "
        "its rows. occlusion and rise need none."
    )


def _is_plain(module: _Embeds) -> bool:
    if not isinstance(module, nn.EmbeddingBag):
        return True
    return module.mode in ("mean", "sum") and module.padding_idx is None


def _entering(scorer: Scorer, image: int) -> list[_Embeds]:
    """The embeddings that the tokens of an image go into."""
    tokens = scorer.picture(image).clone()
    # those that get the tensor itself, and those that get one of equal numbers, as positions may be
    same: list[_Embeds] = []
    alike: list[_Embeds] = []

    def watched(module: _Embeds, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        ids = next(tensors_in((args, kwargs)), None)
        if ids is not None and _are(ids, tokens):
            (same if ids.data_ptr() == tokens.data_ptr() else alike).append(module)
        return forward(*args, **kwargs)

    with left_as_found(scorer.net) as hooks:
        for module in scorer.net.modules():
            if isinstance(module, nn.Embedding | nn.EmbeddingBag):
                hooks.instead(module, partial(watched, module))
        scorer.output(image, tokens)
    return list(dict.fromkeys(same or alike))


def _are(ids: Tensor, tokens: Tensor) -> bool:
    return ids.shape == tokens.shape and bool((ids == tokens).all())
