"""`Maps`: what may be asked of an explanation: the map of any class, and whether to believe it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pandas as pd

from resviz.attribution.explain import explain
from resviz.attribution.methods.registry import METHODS
from resviz.attribution.target import target
from resviz.attribution.trust.faithfulness import faithfulness
from resviz.errors import quiet
from resviz.networks.inputs import check_images
from resviz.networks.state import state_of
from resviz.networks.surgery.copies import copied, lasting
from resviz.recording.said import said_by
from resviz.sessions.explaining import altered

HEAD_METHODS = ("grad_cam", "hires_cam", "cam")  # what a class's weights alone determine
CHECKS = ("deletion", "insertion")
QUICK = tuple(name for name, row in METHODS.items() if row.kind in ("gradients", "activations"))
_CALLER = "explore_explanation"
_KNOWN = 256  # maps kept after they were asked for
# pictures of a faithfulness: itself and two ends; 27 steps of each curve, for four maps; 3 steps of
# each, for 39 rivals
PICTURES = 3 + 2 * 27 * (1 + 3) + 2 * 3 * 39


@dataclasses.dataclass(frozen=True)
class Wanted:
    """One map that is asked for.

    Attributes:
        image: its number.
        index: of the class. contrast: of the class that is taken away from it, or None.
        method, layer: by name.
        relu: whether what speaks against the class is left out.
    """

    image: int
    index: int
    contrast: int | None
    method: str
    layer: str
    relu: bool

    def target(self) -> Any:
        """As :func:`resviz.explain` takes it."""
        if self.contrast is None:
            return self.index
        return target(self.index) - target(self.contrast)


class Maps:
    """An explanation, and the network for what it does not hold.

    Args:
        exp: the Explanation.
        classes: a name for each output.
        head: its :class:`AllClasses`, where any class's map is had without the network; or None.
        net: the network, or None; whoever computes beside a cell hands in a copy of it.
        images: what was explained.
        preset: names and scale of the pictures; None for the network's own.
        without: blocks that were switched off.
    """

    def __init__(
        self,
        exp: Any,
        classes: Sequence[str],
        head: Any = None,
        net: Any = None,
        images: Any = None,
        preset: Any = None,
        without: Sequence[str] = (),
    ) -> None:
        self.exp, self._classes, self._head = exp, list(classes), head
        self._net, self._images, self._preset = lasting(net), images, preset
        self._without = list(without)
        self._weights = None if net is None else state_of(self._net)
        self._asked: dict[Wanted, Any] = {}

    @property
    def asks(self) -> dict[str, list[str]] | None:
        """Methods and layers that can be asked for; None where there is no network."""
        if self._net is None:
            return None
        layers = [layer for layer in self.exp.layers if layer != "input"]
        return {"methods": list(QUICK), "layers": layers}

    def is_signed(self, method: str) -> bool:
        """Whether its recorded maps keep what speaks against a class."""
        row = METHODS.get(method)
        return self.exp.provenance.get("relu") is False or (row is not None and row.signed)

    # ---- one map
    def wanted(self, request: Mapping[str, Any]) -> Wanted:
        """The question, read with care: it comes from outside.

        Raises:
            KeyError, TypeError, ValueError: no such map.
        """
        asks = self.asks
        if asks is None:
            raise ValueError(
                f"{_CALLER}: this explanation came without its network; "
                f"{_CALLER}(net, images) computes more."
            )
        if self._weights != state_of(self._net):
            raise ValueError(
                f"{_CALLER}: the network has changed since these maps were made; the cell that "
                "made them, run again, explains the network as it is."
            )
        image, outputs = int(request["image"]), len(self._classes)
        classes = [request.get("class"), request.get("contrast")]
        given = [int(each) for each in classes if each is not None]
        if not 0 <= image < len(self.exp.targets):
            raise ValueError(f"{_CALLER}: image {image} of {len(self.exp.targets)}.")
        if classes[0] is None or not all(0 <= index < outputs for index in given):
            raise ValueError(f"{_CALLER}: class {classes[0]}; 0 to {outputs - 1}.")
        method, layer = str(request["method"]), str(request["layer"])
        recorded = (method, layer) in self.exp.maps
        if not recorded and (method not in asks["methods"] or layer not in asks["layers"]):
            raise ValueError(f"{_CALLER}: no {method} at {layer}.")
        relu = request.get("part") != "signed"
        return Wanted(image, given[0], given[1] if len(given) > 1 else None, method, layer, relu)

    def map_of(self, wanted: Wanted) -> Any:
        """(h, w), computed on the network; kept for when it is asked for again."""
        if wanted not in self._asked:
            made = next(iter(self._explained(self._net, wanted).maps.values()))[0, 0]
            while len(self._asked) >= _KNOWN:
                self._asked.pop(next(iter(self._asked)))
            self._asked[wanted] = made
        return self._asked[wanted]

    def _explained(self, net: Any, wanted: Wanted) -> Any:
        with quiet(), self._altered(net):  # the view says why a map is blank
            return explain(
                net,
                self._one_image(wanted.image),
                wanted.target(),
                methods=wanted.method,
                layers="auto" if wanted.layer == "input" else _layer(wanted.layer),
                relu=wanted.relu,
                preset=self._preset,
                progress=False,
            )

    def _altered(self, net: Any) -> AbstractContextManager[None]:
        """The network as it was explained: some of its blocks may have been switched off."""
        return altered(net, self._without, self._one_image(0))

    def _one_image(self, image: int) -> Any:
        return check_images(self._net, self._images).one(image)

    # ---- whether to believe it
    def measuring(self, wanted: Wanted) -> Callable[[Callable[[int], None]], pd.DataFrame]:
        """What measures a map's faithfulness, on a copy: a cell may be using the network.

        The copy is made here and now; the function may run in another thread. It takes what is told
        of every step, in pictures, and may end the work by an error.
        """
        net, own = copied(self._net), dataclasses.replace(wanted, relu=True)

        def measured(tick: Callable[[int], None]) -> pd.DataFrame:
            exp = self._explained(net, own)
            with self._altered(net):
                return faithfulness(
                    net,
                    self._one_image(own.image),
                    exp,
                    own.target() if own.contrast is not None else None,
                    checks=CHECKS,
                    preset=self._preset,
                    progress=_ticks(tick),
                )

        return measured

    # ---- the chosen one
    def shown(self, image: int, chosen: Mapping[str, Any]) -> Any:
        """An Explanation of one chosen map: of the record, of the head, or computed.

        Args:
            image: its number.
            chosen: ``method``, ``layer``, ``class``, ``contrast``, ``recorded`` and ``part``, as
                the selection of the view has them.

        Raises:
            ValueError: no such map.
        """
        exp = self.exp
        if not 0 <= image < len(exp.targets):
            raise ValueError(f"{_CALLER}: image {image} of {len(exp.targets)}.")
        key = (str(chosen.get("method")), str(chosen.get("layer")))
        recorded = self._recorded(image, key, chosen)
        if recorded is not None and (chosen.get("part") != "signed" or self.is_signed(key[0])):
            return recorded
        at_head = self._is_at_head(key)
        if chosen.get("class") is not None and (at_head or self._net is not None):
            asked = {**chosen, "image": image}
            values = (
                self._of_head(image, key[0], chosen) if at_head else self.map_of(self.wanted(asked))
            )
            return self._single(image, key, values, self._name(chosen), self._score(image, chosen))
        if recorded is None:
            raise ValueError(f"{_CALLER}: no {key[0]} at {key[1]} for this target in the record.")
        return recorded

    def _recorded(self, image: int, key: tuple[str, str], chosen: Mapping[str, Any]) -> Any:
        """The map as it was recorded, or None."""
        position = self._position(image, chosen)
        if position is None or key not in self.exp.maps:
            return None
        name = self.exp.target_names[image][position]
        values = self.exp.maps[key][image][position]
        return self._single(image, key, values, name, float(self.exp.scores[image, position]))

    def _position(self, image: int, chosen: Mapping[str, Any]) -> int | None:
        """Of the chosen target among the image's recorded ones."""
        known = self.exp.targets[image]
        if chosen.get("recorded") is not None:
            position = int(chosen["recorded"])
            return position if 0 <= position < len(known) else None
        if chosen.get("contrast") is not None or chosen.get("class") not in known:
            return None
        return int(known.index(chosen["class"]))

    def _is_at_head(self, key: tuple[str, str]) -> bool:
        return self._head is not None and key[1] == self._head.layer and key[0] in HEAD_METHODS

    def _of_head(self, image: int, method: str, chosen: Mapping[str, Any]) -> Any:
        """`AllClasses.map` is Grad-CAM; CAM has no mean over the positions."""
        which = target(int(chosen["class"]))
        if chosen.get("contrast") is not None:
            which = which - target(int(chosen["contrast"]))
        values = self._head.map(which, relu=False)[image]
        return values * float(np.prod(values.shape)) if method == "cam" else values

    def _name(self, chosen: Mapping[str, Any]) -> str:
        named = [chosen.get("class"), chosen.get("contrast")]
        return " - ".join(self._classes[int(each)] for each in named if each is not None)

    def _score(self, image: int, chosen: Mapping[str, Any]) -> float:
        """What the chosen map explains; NaN where the record does not say it."""
        said = said_by(self.exp)
        if said is None or said.scores is None:
            return math.nan
        scores, contrast = said.scores[image], chosen.get("contrast")
        of_contrast = 0.0 if contrast is None else scores[int(contrast)]
        return float(scores[int(chosen["class"])] - of_contrast)

    def _single(
        self, image: int, key: tuple[str, str], values: Any, name: str, score: float
    ) -> Any:
        return dataclasses.replace(
            self.exp,
            maps={key: values[None, None]},
            targets=[[-1]],
            target_names=[[name]],
            scores=self.exp.scores.new_full((1, 1), score),
            logits=None,
            heads=(),
            parts=None,
            channels={},
            **self._under(image),
        )

    def _under(self, image: int) -> dict[str, Any]:
        """What maps of one image lie over, whichever input they are about."""

        def cut(given: Any) -> Any:
            if isinstance(given, Mapping):
                return {name: cut(each) for name, each in given.items()}
            return None if given is None else given[image : image + 1]

        fields = ("pictures", "other_pictures", "inputs", "other_inputs")
        about = {**self.exp.provenance, "images": 1}
        about |= {name: cut(about[name]) for name in ("sources", "other_sources") if name in about}
        return {name: cut(getattr(self.exp, name)) for name in fields} | {"provenance": about}


def _ticks(tick: Callable[[int], None]) -> Callable[[int, int, str], None]:
    """Tells `tick` how many steps are new, of one bar after the other."""
    known = 0

    def told(done: int, total: int, what: str) -> None:
        nonlocal known
        new, known = done - (known if done else 0), done
        tick(new)

    return told


def _layer(key: str) -> Any:
    name, _, call = key.partition("#")
    return [(name, int(call))] if call else key
