"""Which methods are asked for, with which options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from resviz.arguments import caller, whole
from resviz.attribution.methods.method import Asked, Method
from resviz.attribution.methods.registry import METHODS
from resviz.attribution.places import is_tokens
from resviz.attribution.scoring import Scorer
from resviz.attribution.subject import token_of
from resviz.errors import closest
from resviz.given import Inputs


def read_methods(
    methods: str | Sequence[str], options: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, Asked]:
    """The rows asked for, with their options.

    Raises:
        ValueError: an unknown method or option, or no method.
    """
    listed = isinstance(methods, Iterable) and not isinstance(methods, str | Mapping)
    chosen: list[Any] = list(methods) if listed else [methods]
    _check_kinds(chosen, options)
    _check_names([*chosen, *(options or {})])
    if not chosen:
        raise ValueError(f"{caller()}: no methods; one of {', '.join(METHODS)}.")
    result = {}
    for name in dict.fromkeys(chosen):
        result[name] = _read_one(name, METHODS[name], (options or {}).get(name, {}))
    unused = [name for name in options or {} if name not in result]
    if unused:
        raise ValueError(
            f"{caller()}: options of {unused[0]}, which is not among the methods "
            f"{', '.join(result)}; options of those would be right."
        )
    return result


def _read_one(name: str, method: Method, given: Mapping[str, Any]) -> Asked:
    settings = {option: each.default for option, each in method.options.items()}
    for option, value in given.items():
        if option not in method.options:
            near = closest(option, method.options) or "it has none"
            raise ValueError(f"{caller()}: no option {option!r} of {name}; closest: {near}.")
        settings[option] = method.options[option].read(f"{option} of {name}", value)
    return Asked(name, method, settings)


def _check_names(names: Iterable[str]) -> None:
    for name in names:
        if name not in METHODS:
            raise ValueError(
                f"{caller()}: no method {name!r}; closest: {closest(name, METHODS)}. See "
                "rv.explanation_methods()."
            )


def _check_kinds(methods: Sequence[object], options: object) -> None:
    wrong = [method for method in methods if not isinstance(method, str)]
    if wrong:
        raise TypeError(f"{caller()}: no method {wrong[0]!r}; a name, or a list of names.")
    inner = list(options.values()) if isinstance(options, Mapping) else [options or {}]
    if not all(isinstance(value, Mapping) for value in inner):
        raise TypeError(f"{caller()}: options {options!r}; {{method: {{option: value}}}}.")


def check_tokens(asked: Mapping[str, Asked], given: Inputs) -> None:
    """Raise ValueError for methods that cannot work on ids, or on pixels without a gradient."""
    if not is_tokens(given):
        _check_slope(asked, given)
        return
    unfit = [name for name, each in asked.items() if not each.method.tokens]
    if unfit:
        raise ValueError(
            f"{caller()}: {unfit[0]} of tokens {given.shape}, whose numbers are ids that "
            "cannot be scaled or differentiated; a method through the embedding "
            "(integrated_gradients, saliency), occlusion, or one at a layer would be right. See "
            "rv.explanation_methods()."
        )


def _check_slope(asked: Mapping[str, Asked], given: Inputs) -> None:
    over = next((name for name, each in asked.items() if each.method.kind == "captum"), None)
    dtype = given.tensors[given.main].dtype
    if over is not None and not (dtype.is_floating_point or dtype.is_complex):
        raise ValueError(
            f"{caller()}: {over} of images of {dtype}: whole numbers have no gradient; methods at "
            "a layer, or that mask pixels, would be right: rv.explanation_methods()."
        )
    scaled = [n for n, each in asked.items() if each.method.kind == "captum" and n != "saliency"]
    scaled += [name for name in asked if name == "score_cam"]
    if scaled and dtype.is_complex:
        raise ValueError(
            f"{caller()}: {scaled[0]} of inputs of {dtype}: it compares or scales their numbers, "
            "and complex ones have no order; saliency, occlusion, or a method at a layer would be "
            "right: rv.explanation_methods()."
        )


def stated(asked: Mapping[str, Asked], scorer: Scorer) -> dict[str, Asked]:
    """With the id of the token that takes the place of others in their options."""
    if not is_tokens(scorer.inputs):
        return dict(asked)
    found = dict(asked)
    for name, each in asked.items():
        if "baseline" in each.options:
            token = token_of(scorer, 0, each.options["baseline"])
            found[name] = replace(each, options={**each.options, "baseline": token})
    return found


def check_passes(asked: Mapping[str, Asked], batch_stats: bool, chunk: int | None) -> None:
    """Raise ValueError for settings that the methods' further passes do not allow."""
    further = [n for n, a in asked.items() if a.method.form.passes]
    if batch_stats and further:
        raise ValueError(
            f"{caller()}: batch_stats=True with {further[0]}, whose passes hold other pictures "
            "than the batch; the running statistics would be right: batch_stats=False."
        )
    if chunk is not None:
        whole("chunk", chunk, least=1)
