"""What a scan measures, and how: decided before the first image, the same for all its parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resviz.scanning.sites import Site


@dataclass(frozen=True)
class Plan:
    """Decided once; parts of a scan that are merged have the same one.

    Attributes:
        sites: the layers.
        measures: names of the measures, in the order of the registry.
        additions: (name, block, kind, depth) of each residual addition.
        classes: names of what images are sorted by: labels, or without any the network's outputs.
        by: "label" or "prediction": what the class of an image is; "" where it has none.
        judged: labels are the network's outputs, so that a prediction can be right or wrong.
        outputs: names of the network's outputs.
        top: how many images are kept for each channel.
        pictures: bytes that pictures of top images may take.
        points: how many images the embedding keeps.
        sampled: the images that faithfulness is measured on.
        method: whose faithfulness.
        seed: of what is drawn.
    """

    sites: tuple[Site, ...]
    measures: tuple[str, ...]
    additions: tuple[tuple[str, str, str, int], ...] = ()
    classes: tuple[str, ...] = ()
    by: str = ""
    judged: bool = False
    outputs: tuple[str, ...] = ()
    top: int = 9
    pictures: int = 2**26
    points: int = 5000
    sampled: tuple[int, ...] = ()
    method: str = "grad_cam"
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """What :meth:`from_json` reads."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return fields | {"sites": [site.to_json() for site in self.sites]}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Plan:
        """What :meth:`to_json` wrote."""
        known: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
        }
        known["additions"] = tuple(tuple(each) for each in fields["additions"])
        known["sites"] = tuple(Site.from_json(dict(each)) for each in fields["sites"])
        return cls(**known)

    def class_name(self, index: int) -> str:
        """Of a class."""
        return self.classes[index] if index < len(self.classes) else f"class {index}"

    def output_name(self, index: int) -> str:
        """Of an output of the network; "" for none."""
        if index < 0:
            return ""
        return self.outputs[index] if index < len(self.outputs) else f"class {index}"
