"""The tables of a scan, made of its accumulators."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from resviz.scanning.accumulated import Accumulated

Floats = NDArray[np.float64]


def channels(seen: Accumulated) -> pd.DataFrame:
    """A row per layer and channel; see :attr:`Scan.channels`."""
    measures: dict[str, Any] = {**seen.measures}
    sites = seen.plan.sites
    if "channels" in measures:
        table = measures["channels"].table()
    else:
        rows = [(site.key, channel) for site in sites for channel in range(site.channels)]
        table = pd.DataFrame(rows, columns=["layer", "channel"])
    numbers = range(len(sites))
    if "quantiles" in measures and len(seen.images.state()["image"]):
        found = [measures["quantiles"].values(n, [0.5])[:, 0] for n in numbers]
        table["median"] = np.concatenate(found)
    if "classes" in measures and seen.plan.classes:
        index, best = zip(*(measures["classes"].selectivity(n) for n in numbers), strict=True)
        table["selectivity"] = np.concatenate(index)
        names = [seen.plan.class_name(n) if n >= 0 else "" for n in np.concatenate(best).tolist()]
        table["best_class"] = names
    if "top" in measures:
        first = [measures["top"].arrays[f"{n}/image"][0] for n in numbers]
        table["top_image"] = np.concatenate(first)
    return table


def layers(seen: Accumulated, channels: pd.DataFrame) -> pd.DataFrame:
    """A row per layer; see :attr:`Scan.layers`."""
    rows = [
        {
            "layer": site.key,
            "module": site.layer,
            "call": site.call,
            "type": site.type,
            "kind": site.kind,
            "depth": site.depth,
            "stage": site.stage,
            "axes": site.axes,
            "channels": site.channels,
            "height": site.positions[0],
            "width": site.positions[1],
            "field": max(site.field.size) if site.field is not None else np.nan,
        }
        for site in seen.plan.sites
    ]
    table = pd.DataFrame(rows)
    if "channels" in seen.measures:
        grouped = channels.groupby("layer", sort=False)
        mean = grouped["mean"].mean().to_numpy()
        within = grouped["std"].agg(lambda s: float(np.square(s).mean())).to_numpy()
        between = grouped["mean"].var(ddof=0).to_numpy()
        table["mean"], table["std"] = mean, np.sqrt(within + between)
        table["zero_fraction"] = grouped["zero_fraction"].mean().to_numpy()
        table["dead"] = grouped["dead"].sum().to_numpy()
    if "gradients" in seen.measures:
        norms: Any = seen.measures["gradients"]
        table = pd.concat([table, norms.columns()], axis=1)
    return table


def images(seen: Accumulated, names: tuple[str, ...]) -> pd.DataFrame:
    """A row per image; see :attr:`Scan.images`."""
    table = seen.images.table()
    plan = seen.plan
    table.insert(1, "name", [names[n] if n < len(names) else "" for n in table["image"].tolist()])
    table["label"] = [plan.class_name(n) if n >= 0 else "" for n in table["label"].tolist()]
    table["prediction"] = [plan.output_name(n) for n in table["prediction"].tolist()]
    return table


def classes(seen: Accumulated, confusion: pd.DataFrame) -> pd.DataFrame:
    """A row per class; see :attr:`Scan.classes`."""
    plan, columns = seen.plan, seen.images.state()
    which = columns["label" if plan.by == "label" else "prediction"]
    counts = np.bincount(which[which >= 0], minlength=len(plan.classes))[: len(plan.classes)]
    table = pd.DataFrame({"class": list(plan.classes), "index": np.arange(len(plan.classes))})
    table["images"] = counts
    if plan.judged and plan.by == "label":
        confused = confusion.to_numpy()
        right = np.diagonal(confused)[: len(table)]
        table["correct"] = right
        table["accuracy"] = np.where(counts > 0, right / np.maximum(counts, 1), np.nan)
        wrong = confused.copy()
        np.fill_diagonal(wrong, 0)
        names = [plan.output_name(n) for n in wrong.argmax(1)]
        table["most_confused"] = np.where(wrong.max(1) > 0, names, "")
    return table


def confusion(seen: Accumulated) -> pd.DataFrame:
    """(classes, outputs) counts; empty where labels are no outputs."""
    if not seen.plan.judged:
        return pd.DataFrame()
    counts = seen.images.confusion()
    columns = [seen.plan.output_name(n) for n in range(counts.shape[1])]
    return pd.DataFrame(counts, index=list(seen.plan.classes), columns=columns)


def top(seen: Accumulated, number: int, channel: int, images: pd.DataFrame) -> pd.DataFrame:
    """The top images of a channel; see :meth:`Scan.top`."""
    arrays, site = seen.measures["top"].arrays, seen.plan.sites[number]
    names = ("value", "image", "row", "column")
    columns = {name: arrays[f"{number}/{name}"][:, channel] for name in names}
    filled = columns["image"] >= 0
    table = pd.DataFrame({name: values[filled] for name, values in columns.items()})
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    known = images.set_index("image")
    at = known.reindex(table["image"])
    for place, name in enumerate(("name", "label", "prediction"), 2):
        table.insert(place, name, at[name].fillna("").to_numpy())
    boxes = [
        site.field.box(row, column) if site.field is not None else (np.nan,) * 4
        for row, column in zip(table["row"].tolist(), table["column"].tolist(), strict=True)
    ]
    sides = pd.DataFrame(boxes, columns=["top", "left", "bottom", "right"], index=table.index)
    order = ["rank", "image", "name", "label", "prediction", "value", "row", "column"]
    return pd.concat([table[order], sides.astype(float)], axis=1)


def effects(seen: Accumulated, number: int) -> Floats:
    """(classes, channels) of a layer: how far each class lies above the others, in deviations."""
    found: Any = seen.measures["classes"]
    images = found.arrays["images"].astype(np.float64)[:, None]
    sums = found.arrays[f"{number}/sum"].astype(np.float64)
    std = found.std(number)
    with np.errstate(invalid="ignore", divide="ignore"):
        other = (sums.sum(0) - sums) / (images.sum() - images)
        table: Floats = np.where(std > 0, (sums / images - other) / std, np.nan)
    return table


def standing_out(seen: Accumulated, index: int, numbers: Iterable[int]) -> pd.DataFrame:
    """Channels by how far a class lies above the others; see :meth:`Scan.find`."""
    found: Any = seen.measures["classes"]
    images: Any = found.arrays["images"]
    others = int(images.sum() - images[index])
    rows = []
    for number in numbers:
        sums = found.arrays[f"{number}/sum"]
        own = sums[index] / images[index] if images[index] else np.full(sums.shape[1], np.nan)
        rest = (sums.sum(0) - sums[index]) / others if others else np.full(sums.shape[1], np.nan)
        std = found.std(number)
        effect = np.full(len(std), np.nan)
        np.divide(own - rest, std, out=effect, where=std > 0)
        rows.append(
            pd.DataFrame(
                {
                    "layer": seen.plan.sites[number].key,
                    "channel": np.arange(len(std)),
                    "class_mean": own,
                    "others_mean": rest,
                    "effect": effect,
                    "selectivity": found.selectivity(number)[0],
                }
            )
        )
    table = pd.concat(rows, ignore_index=True)
    return table.sort_values("effect", ascending=False, kind="stable", ignore_index=True)
