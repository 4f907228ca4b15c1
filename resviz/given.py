"""What a network is given: its tensors, and the call that they are made with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resviz.arguments import caller


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where a tensor goes in a call."""

    number: int


@dataclass(frozen=True, eq=False)
class Inputs:
    """What goes into a network: its tensors in order, and the call that they are made with.

    As convenient as a tuple of them: ``len(inputs)``, ``inputs[0]``, ``for tensor in inputs``.

    Attributes:
        tensors: every tensor, in order.
        names: of each: its keyword, or its position, "0".
        main: the number of the one that maps and pictures are about.
        listed: they are the images of a list, (C, H, W) each, as a detector takes them.
        args, kwargs: of the call, with a slot in place of each tensor.
        whole: what these are a part of: whose shapes the user knows.
    """

    tensors: tuple[Tensor, ...]
    names: tuple[str, ...]
    main: int = 0
    listed: bool = False
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] | None = None
    whole: Inputs | None = None

    # ---- as a sequence
    def __len__(self) -> int:
        return len(self.tensors)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.tensors)

    def __getitem__(self, index: int) -> Tensor:
        return self.tensors[index]

    # ---- the call
    def run(self, net: Callable[..., Any]) -> Any:
        """What the network returns for them.

        Raises:
            ValueError: numbers of images that differ, which the network could not join.
        """
        try:
            return self._called(net)
        except RuntimeError as err:
            if type(err) is RuntimeError and len(self.lengths) > 1:
                raise self.uneven() from err
            raise

    def uneven(self) -> ValueError:
        """The error that numbers of images differ."""
        return ValueError(
            f"{caller()}: inputs for {sorted(self.lengths)} images; as many in each would be "
            "right, or one row for all."
        )

    def _called(self, net: Callable[..., Any]) -> Any:
        if self.listed:
            return net(list(self.tensors))
        return net(*_filled(self.args, self.tensors), **_filled(self.kwargs or {}, self.tensors))

    # ---- the images
    @property
    def count(self) -> int:
        """How many images."""
        return len(self.tensors) if self.listed else len(self.tensors[self.main])

    @property
    def is_even(self) -> bool:
        """False for a list of images of different sizes."""
        return not self.listed or len({tensor.shape for tensor in self.tensors}) == 1

    @property
    def picture(self) -> Tensor:
        """(N, ...): the input that maps and pictures are about.

        Raises:
            ValueError: a list of images of different sizes.
        """
        if not self.listed:
            return self.tensors[self.main]
        if not self.is_even:
            raise ValueError(
                f"{caller()}: a list of images of different sizes, {self.shape[1:]} first; one "
                "size would be right where they are compared or shown. Call once for each."
            )
        return torch.stack(self.tensors)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the input that maps and pictures are about; of a list that of the first image."""
        whole = self.tensors[self.main].shape
        return (self.count, *whole) if self.listed else tuple(whole)

    @property
    def lengths(self) -> set[int]:
        """Numbers of images that the inputs hold; one row for all of them does not count."""
        if self.listed:
            return {self.count}
        return {len(t) for n, t in enumerate(self.tensors) if self.is_of_images(n)}

    def is_of_images(self, number: int) -> bool:
        """True for what has a row for each image; False for a mask, or one row for all of them."""
        tensor, whole = self.tensors[number], self.whole or self
        if tensor.ndim == 0 or whole._is_mask(number):
            return False
        return len(tensor) != 1 or self.count == 1

    def _is_mask(self, number: int) -> bool:
        """True for (T, T) beside inputs of T positions: who may attend to whom, for all images."""
        return self._is_square(number) and len(self.tensors[number]) != self.count

    def _is_square(self, number: int) -> bool:
        shape, main = tuple(self.tensors[number].shape), self.tensors[self.main]
        square = len(shape) == 2 and shape[0] == shape[1] and number != self.main
        return square and shape[0] in main.shape[1:]

    def _may_be_both(self, number: int) -> bool:
        """True for a mask of attention beside sequences, as large as one with a row for each."""
        sequences = self.count > 1 and self.tensors[self.main].ndim == 3
        return sequences and self._is_square(number) and len(self.tensors[number]) == self.count

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.tensors[self.main].device

    # ---- others like them
    def each(self, function: Callable[[Tensor], Tensor]) -> Inputs:
        """The same call with every tensor changed."""
        return self._with([function(tensor) for tensor in self.tensors])

    def _with(self, tensors: Sequence[Tensor]) -> Inputs:
        return replace(self, tensors=tuple(tensors))

    def _list_of(self, images: Sequence[Tensor]) -> Inputs:
        return replace(self, tensors=tuple(images), names=tuple(map(str, range(len(images)))))

    def about(self, number: int) -> Inputs:
        """The same, with maps and pictures about another of them."""
        return replace(self, main=number)

    def copies(self) -> Inputs:
        """In memory of their own, apart from any graph: the network may write over them."""
        return self.each(lambda tensor: tensor.detach().clone())

    def leaves(self) -> Inputs:
        """Such copies that can be differentiated; tokens and other whole numbers cannot."""
        return self.each(lambda t: t.detach().clone().requires_grad_(_has_slope(t)))

    def part(self, images: slice | Tensor) -> Inputs:
        """Some of the images: a slice, or their numbers.

        Raises:
            ValueError: beside N images of N positions an input (N, N): with a row for each image,
                or for each position?
        """
        whole = self.whole or self
        if self.listed:
            numbers = range(self.count)[images] if isinstance(images, slice) else images.tolist()
            chosen = [self.tensors[number] for number in numbers]
            return replace(self._list_of(chosen), whole=whole)
        chosen = [t[images] if self.is_of_images(n) else t for n, t in enumerate(self.tensors)]
        if any(whole._may_be_both(n) and len(t) < whole.count for n, t in enumerate(chosen)):
            raise ValueError(
                f"{caller()}: an input ({whole.count}, {whole.count}) beside as many images of as "
                "many positions, with a row for each image or for each position; another number of "
                "images would be right, which tells."
            )
        return replace(self, tensors=tuple(chosen), whole=whole)

    def one(self, image: int = 0) -> Inputs:
        """A single image."""
        return self.part(slice(image, image + 1))

    def repeated(self, count: int) -> Inputs:
        """A single image `count` times: views."""
        if self.listed:
            return self._list_of(self.tensors * count)
        return self._with([_expanded(tensor, count) for tensor in self.tensors])

    def variants(self, image: int, pictures: Tensor) -> Inputs:
        """(M, ...) variants of an image's picture, each with that image's other inputs."""
        if self.listed:
            return self._list_of(pictures.unbind())
        whole = [t.clone() for t in self.one(image).repeated(len(pictures)).tensors]
        whole[self.main] = pictures  # the others in memory of their own: a network may write there
        return self._with(whole)

    @staticmethod
    def of(images: object) -> Inputs:
        """Themselves, or tensors as they are given: one, or several by position."""
        if isinstance(images, Inputs):
            return images
        return by_position(tuple(images) if isinstance(images, tuple | list) else (images,))


# what a user may give as `images`
Images = Tensor | Sequence[Any] | Mapping[str, Any] | Inputs
# what a user may give as `targets` of a loss: a number or a row of numbers for each image
Labels = Tensor | NDArray[np.generic] | Sequence[object] | Mapping[str, Tensor] | int | None
Numbers = Tensor | NDArray[np.generic] | Sequence[object]  # what makes a tensor
Network = nn.Module


def _has_slope(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _expanded(tensor: Tensor, count: int) -> Tensor:
    alone = tensor.ndim > 0 and len(tensor) == 1
    return tensor.expand(count, *tensor.shape[1:]) if alone else tensor


def _filled(template: Any, tensors: Sequence[Tensor]) -> Any:
    """A template with the tensors in their slots."""
    if isinstance(template, _Slot):
        return tensors[template.number]
    if isinstance(template, tuple) and hasattr(template, "_fields"):
        return type(template)(*(_filled(each, tensors) for each in template))
    if isinstance(template, tuple | list):
        return type(template)(_filled(each, tensors) for each in template)
    if isinstance(template, dict):
        return {key: _filled(each, tensors) for key, each in template.items()}
    return template


class _Taken:
    """Takes the tensors out of what a user gave, and leaves a template."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.names: list[str] = []

    def template(self, value: Any, name: str) -> Any:
        """`value` with slots in place of its tensors.

        Raises:
            TypeError: something in it that no call could be made of.
        """
        if isinstance(value, Tensor):
            self.tensors.append(value)
            self.names.append(name)
            return _Slot(len(self.tensors) - 1)
        if isinstance(value, Mapping):
            return {k: self.template(v, f"{name}.{k}" if name else k) for k, v in value.items()}
        if isinstance(value, tuple | list):
            inside = [self.template(v, f"{name}.{n}" if name else str(n)) for n, v in _items(value)]
            return type(value)(*inside) if hasattr(value, "_fields") else type(value)(inside)
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise _no_tensor(f"images[{name!r}] is" if name else "images are", value)

    def check(self, given: Any) -> None:
        """Raise TypeError where there are no tensors in it."""
        if not self.tensors and not (isinstance(given, tuple | list | Mapping) and not given):
            raise _no_tensor("images are", given)


def _no_tensor(what: str, value: object) -> TypeError:
    return TypeError(
        f"{caller()}: {what} {_described(value)}; a tensor (N, 3, H, W) would be right, or what "
        f"else the network takes. {_advice(value)}"
    )


def _items(value: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    yield from zip(getattr(value, "_fields", range(len(value))), value, strict=True)


def _described(value: object) -> str:
    while isinstance(value, list | tuple) and value:
        value = value[0]
    kind, shape = type(value).__name__, getattr(value, "shape", None)
    return f"a {kind}" + (f" of shape {tuple(shape)}" if shape is not None else "")


def _advice(value: object) -> str:
    if type(value).__name__ == "ndarray":
        return "torch.from_numpy makes one; rv.load_images makes one from pictures."
    if isinstance(value, list | Mapping):
        return "A tokenizer gives tensors with return_tensors='pt'."
    return "rv.load_images makes one from pictures."


def by_position(given: Sequence[Any]) -> Inputs:
    """Arguments in order."""
    taken = _Taken()
    alone = len(given) == 1
    args = tuple(taken.template(v, "" if alone else str(n)) for n, v in enumerate(given))
    taken.check(given[0] if alone else given)
    names = tuple(name or "0" for name in taken.names)
    return Inputs(tuple(taken.tensors), names, _picture_among(taken.tensors), args=args)


def by_keyword(given: Mapping[str, Any]) -> Inputs:
    """Arguments by name."""
    taken = _Taken()
    kwargs = taken.template(given, "")
    taken.check(given)
    main = _picture_among(taken.tensors, taken.names)
    return Inputs(tuple(taken.tensors), tuple(taken.names), main, kwargs=kwargs)


def _picture_among(tensors: Sequence[Tensor], names: Sequence[str] = ()) -> int:
    """The first that could be a picture, a video or a signal; else the tokens, or the first.

    Tokens are known by the name that every tokenizer gives them: masks are whole numbers, too.
    """
    for least in (4, 3):
        for number, tensor in enumerate(tensors):
            if tensor.ndim >= least and tensor.is_floating_point():
                return number
    return list(names).index("input_ids") if "input_ids" in names else 0
