"""`faithfulness`: should a map be believed?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from resviz.arguments import Progress, public
from resviz.attribution.explanation import Explanation
from resviz.attribution.order import check_order
from resviz.attribution.places import size_of
from resviz.attribution.positions import Reshape
from resviz.attribution.scoring import Scorer
from resviz.attribution.target import Wanted
from resviz.attribution.trust.localisation import energy, iou, pointing, read_masks
from resviz.attribution.trust.randomisation import Randomised, again_as, randomise
from resviz.attribution.trust.removal import (
    Series,
    area,
    curve_series,
    drop_of,
    filled,
    random_ranks,
    resized,
    score_series,
    weighted,
)
from resviz.attribution.trust.rivals import (
    compared_at,
    lead_of,
    leads_of,
    noise,
    p_value,
    rival_series,
    rivals_of,
)
from resviz.attribution.trust.road import road_score, road_series
from resviz.attribution.trust.settings import Settings, check_explanation, scorer_for
from resviz.attribution.trust.verdict import standing, summaries, words_of
from resviz.given import Images, Numbers
from resviz.hooks import gradients
from resviz.networks.inputs import check_hookable, check_images
from resviz.networks.outputs import OUTPUT_KEYS
from resviz.preset import Preset
from resviz.provenance import preset_or_none, provenance

Key = tuple[str, str]


@public
def faithfulness(
    net: nn.Module,
    images: Images,
    exp: Explanation,
    targets: Wanted = None,
    *,
    checks: str | Sequence[str] | None = None,
    boxes: Numbers | None = None,
    masks: Numbers | None = None,
    steps: int = 28,
    baseline: str | float | Numbers = "mean",
    reveal: str | float | Numbers = "blur",
    percentages: Sequence[float] = (20, 40, 60, 80),
    draws: int = 3,
    rivals: int = 39,
    null: str = "noise",
    seed: int = 0,
    chunk: int | None = None,
    progress: Progress = None,
    preset: Preset | None = None,
    reshape: Reshape | None = None,
    segments: int | None = None,
) -> pd.DataFrame:
    """A table of checks on the maps of an explanation, beside those of random maps.

    The score is the target's probability where the output has one: of a class the softmax, of a
    label or a side of one logit the sigmoid. Of values, differences, functions and dense outputs it
    is the score itself. Maps are upsampled to the input (bilinear) and
    pixels are ordered by the value with its sign, the largest first, equal ones row by row. The
    network is run in eval mode and left as it was, also after an interrupt.

    - deletion, insertion (Petsiuk et al. 2018, https://arxiv.org/abs/1806.07421, section 4.1): the
      area under the score over the share of pixels removed or shown. Low and high is good.
    - road (Rong et al. 2022, https://arxiv.org/abs/2202.00449): mean over `percentages` of the
      score without the least relevant pixels less that without the most relevant, the gaps filled
      from their neighbours. 0 for a random order, high is good.
    - drop (Chattopadhay et al. 2017, https://arxiv.org/abs/1710.11063, section 5.1): max(0, Y - O)
      / Y in percent, O the score of the picture times the map over its maximum. Low is good.
    - randomisation (Adebayo et al. 2018, https://arxiv.org/abs/1810.03292): the parameters of a
      copy are permuted from the last layer towards the input, in six stages, and the map is made
      again: rank correlation of absolute values with the original. Low is good, high means that
      the map shows the picture and not what the network learned. Costs six more explanations.

    Whether a map is better than a random one is a rank test, one-sided, at level 0.05, of this map
    alone among `rivals` random maps. T is insertion less deletion, summed over the steps nearest to
    1/7, 2/7 and 4/7 of the pixels: six pictures for a random map, where its curves take 54. p = (1
    + random maps whose T is as large) / (1 + `rivals`): "clearly" better up to 0.05, "no better"
    above 0.5, "worse" above 0.95. A random map of that kind is "clearly" better once in twenty, and
    "worse" as often. Over several images the p are combined as Fisher did.

    Signals (N, C, L) and video (N, C, T, H, W) are checked alike, sample by sample. Tokens (N, T)
    are removed by putting another in their place, `baseline`, and shown in a row of those; road and
    drop, which mix and scale values, have no meaning there.

    Args:
        net: the network that was explained.
        images: the same images.
        exp: of :func:`resviz.explain`; maps put in by hand get everything but randomisation.
        targets: as :func:`resviz.explain` got them: only for differences and functions, which the
            explanation cannot hold.
        checks: of "deletion", "insertion", "road", "drop", "randomisation"; None: all.
        boxes: of the object, for localisation: [left, top, right, bottom] in pixels of the
            network's input for each image, or a list of those for each.
        masks: (N, H, W) bool, instead of boxes. Boxes and masks hold for all targets of an image.
        steps: equal steps of deletion and insertion; the curves have one point more. 28, or as
            many as there are samples or tokens where those are fewer.
        baseline: what removed pixels become: "mean" (0, the mean colour), "blur" (a Gaussian of
            10/224 of the shorter side), a number, or a tensor (a value per channel or a picture).
            Of tokens an id; the words stand for the embedding's padding, or id 0. The id is in the
            record.
        reveal: what inserted pixels are put into, likewise.
        percentages: of the pixels that road removes, each strictly between 0 and 100.
        draws: random maps for each resolution and image whose mean curves stand in the table, at
            least 2.
        rivals: random maps that each map is ranked among, at least 19; more find smaller leads.
        null: what those are: "noise" on the map's grid, shared by all maps of a resolution, or
            "spectrum", random maps with the map's own Fourier amplitudes, so as smooth as it at
            every scale (see :mod:`resviz.attribution.trust.rivals`): a stricter test, which says
            more seldom that a map is better, and costs its pictures for each map. The first keeps
            false alarms of noise at 5 %; of smooth random maps it let 10 of 64 pass (ResNet-18).
        seed: of random maps, noise and permutations.
        chunk: how many pictures run at once; None: 8 on a CPU, 64 on a GPU.
        progress: None shows a bar over what takes more than a second, True at once, False never; or
            a function (done, total, what), called at each step.
        preset: for class names, instead of the network's own.
        reshape: as :func:`resviz.explain` got it.
        segments: of signals and tokens: remove and show this many equal parts as a whole, in the
            order of the map's mean over each, one a step; None: position by position.

    Returns:
        A row per method, layer, image and target: its name, and its index, -1 of a function or a
        difference. Columns of checks that were not asked for are absent. score; deletion,
        insertion, deletion_random, insertion_random (of uniform noise at the map's own resolution,
        mean of `draws`); p_random (of the rank test); road; drop, increase (whether O > Y);
        randomised_head (after the last layer alone), randomised_upper (mean over the upper half of
        the stages, which the words go by: see
        :data:`resviz.attribution.trust.randomisation.LIMIT`), randomised (after all); with boxes or
        masks pointing, energy and iou; the curves as tuples: deletion_curve, insertion_curve,
        deletion_random_curve, insertion_random_curve, randomisation_curve (from 1, the trained
        network); words. A map that is the same everywhere has no order: NaN and empty curves, as
        has randomisation for methods nobody knows.
        ``attrs["provenance"]`` says how, ``attrs["words"]`` has a line per method and layer.

    Raises:
        RuntimeError: the network cannot be copied, for randomisation.
        TypeError: arguments of a wrong type.
        ValueError: the scores are not those of the explanation: another network or other images;
            a target that must be given again; maps that are not finite; values out of range.

    Example:
        >>> import resviz as rv
        >>> from resviz.networks.cifar import cifar_resnet
        >>> net, image = cifar_resnet(8, seed=0), torch.linspace(-2, 2, 3072).view(1, 3, 32, 32)
        >>> exp = rv.explain(net, image, 3, methods="layer_cam", layers="layer2")
        >>> table = faithfulness(net, image, exp, checks=["deletion", "insertion"], steps=4)
        >>> len(table["deletion_curve"][0])
        5
    """
    check_hookable(net)
    inputs = check_images(net, images)
    inputs = check_explanation(exp, inputs)
    check_order(net, inputs, "checks")
    settings = (steps, baseline, reveal, percentages, draws, rivals, null, seed, chunk, segments)
    how = Settings.read(checks, inputs.picture, *settings)
    inside = read_masks(boxes, masks, inputs.count, size_of(inputs.picture))
    known = preset_or_none(net, preset)
    with gradients(False):
        scorer = scorer_for(net, inputs, exp, targets, known, chunk, progress)
        return _Checked(scorer, exp, how.stated(scorer), inside).through(known, reshape)


@dataclass
class _Map:
    """One map of one image and target: its row, and what the words need."""

    key: Key
    image: int
    column: int
    row: dict[str, Any]
    blank: bool


class _Checked:
    """One call of :func:`faithfulness`."""

    def __init__(
        self, scorer: Scorer, exp: Explanation, settings: Settings, inside: Tensor | None
    ) -> None:
        self.scorer, self.exp, self.settings, self.inside = scorer, exp, settings, inside
        images = scorer.inputs.picture
        self.size = size_of(images)
        checks = settings.checks
        fills = {"deletion": settings.baseline, "insertion": settings.reveal}
        self.base = {name: filled(kind, images) for name, kind in fills.items() if name in checks}
        self.curves = list(self.base)
        self.maps: list[_Map] = []
        self.randomised: Randomised | None = None

    def through(self, preset: Preset | None, reshape: Reshape | None) -> pd.DataFrame:
        """Every check on every image, and the table of them."""
        scorer, settings = self.scorer, self.settings
        for image in range(scorer.inputs.count):
            self.measure(image)
        if "randomisation" in settings.checks:
            self.randomise(preset, reshape)
        score = self.kind_of_score()
        about = provenance(scorer.net, scorer.inputs, preset, score=score, **settings.record())
        about |= {key: value for key, value in self.exp.provenance.items() if key in OUTPUT_KEYS}
        return self.table(about)

    def measure(self, image: int) -> None:
        """The scores of every variant of one image, and the rows of its maps."""
        picture = self.scorer.picture(image)[0]
        series: dict[Any, Series] = {"picture": _one(picture)}
        for name in self.curves:
            series[name] = _one(self.base[name][image])
        values: dict[tuple[Key, int], Tensor] = {}
        for key, maps in self.exp.maps.items():
            for column, each in enumerate(resized(maps[image], self.size)):
                values[key, column] = each
                if not bool(each.isfinite().all()) or _is_even(each):
                    continue
                found = self._variants(picture, image, each)
                if self.curves and self.settings.null == "spectrum":
                    found["rivals"] = self._rivals(picture, image, maps[image][column])
                series |= {(key, column, name): made for name, made in found.items()}
        if self.curves:
            for grid in dict.fromkeys(_grid(maps) for maps in self.exp.maps.values()):
                how = self.settings
                ranks = random_ranks(how.draws, grid, self.size, self._seed(image), how.ranks)
                for draw, one in enumerate(ranks):
                    made = self._curve_series(picture, image, one)
                    series |= {(grid, draw, name): each for name, each in made.items()}
                if self.settings.null == "noise":
                    series[grid, "rivals"] = self._rivals(picture, image, grid)
        scores = score_series(self.scorer, image, series, "faithfulness")
        for (key, column), each in values.items():
            self.maps.append(self._row(key, image, column, each, scores))

    def _seed(self, image: int) -> int:
        # other random maps for each image; what a generator takes
        return (self.settings.seed * 100_003 + image) % 2**63

    def _curve_series(self, picture: Tensor, image: int, ranks: Tensor) -> dict[str, Series]:
        base = {name: each[image] for name, each in self.base.items()}
        blank, hidden = base.get("deletion"), base.get("insertion")
        return curve_series(picture, ranks, blank, hidden, self.settings.steps)

    def _rivals(self, picture: Tensor, image: int, like: Tensor | tuple[int, ...]) -> Series:
        """The pictures that random rivals of a map, or of all maps of a grid, need: few of each."""
        count, seed = self.settings.rivals, self._seed(image)
        if isinstance(like, Tensor):
            rivals = rivals_of(like, count, seed)
        else:
            rivals = noise(like, count, seed)
        base = {name: each[image] for name, each in self.base.items()}
        return rival_series(picture, rivals, base, self.settings.steps, self.settings.ranks)

    def _variants(self, picture: Tensor, image: int, values: Tensor) -> dict[str, Series]:
        """The pictures that the checks of one map need."""
        settings, ranks = self.settings, self.settings.ranks(values)
        series = self._curve_series(picture, image, ranks)
        if "road" in settings.checks:
            series |= road_series(picture, ranks, settings.percentages, settings.seed)
        if "drop" in settings.checks:
            series["drop"] = Series(1, lambda: iter([weighted(picture, values)]))
        return series

    # ---- rows
    def _row(
        self, key: Key, image: int, column: int, values: Tensor, scores: Mapping[Any, Tensor]
    ) -> _Map:
        exp, checks = self.exp, self.settings.checks
        score = float(scores["picture"][0, column])
        row: dict[str, Any] = {"method": key[0], "layer": key[1], "image": image}
        row |= {"target": exp.target_names[image][column]}
        row |= {"index": exp.targets[image][column], "score": score}
        blank, grid = _is_even(values), _grid(exp.maps[key])
        for name in self.curves:
            curve = () if blank else self._curve(scores, (key, column), name, column)
            row |= {name: _area(curve), f"{name}_curve": curve}
            many = self._random(scores, grid, name, column)
            mean = tuple(sum(points) / len(points) for points in zip(*many, strict=True))
            row |= {f"{name}_random": area(mean), f"{name}_random_curve": mean}
        if self.curves:
            shared = self.settings.null == "noise"
            drawn = scores.get((grid, "rivals") if shared else (key, column, "rivals"))
            row["p_random"] = self._p_random(row, blank, drawn, column)
        if "road" in checks:
            ends = [scores.get((key, column, name)) for name in ("morf", "lerf")]
            there = [each for each in ends if each is not None]
            row["road"] = float(road_score(*there)[column]) if there else math.nan
        if "drop" in checks:
            left = math.nan if blank else float(scores[key, column, "drop"][0, column])
            row |= {"drop": drop_of(score, left), "increase": left > score}
        if self.inside is not None:
            mask = self.inside[image]
            row |= {"pointing": pointing(values, mask), "energy": energy(values, mask)}
            row["iou"] = math.nan if blank else iou(values, mask)
        return _Map(key, image, column, row, blank)

    def _curve(
        self, scores: Mapping[Any, Tensor], which: tuple[Any, int], name: str, column: int
    ) -> tuple[float, ...]:
        """From the picture to the baseline, or from what is revealed to the picture."""
        first, last = ("picture", name) if name == "deletion" else (name, "picture")
        parts = [scores[first], scores[(*which, name)], scores[last]]
        return tuple(torch.cat(parts)[:, column].tolist())

    def _random(
        self, scores: Mapping[Any, Tensor], grid: tuple[int, ...], name: str, column: int
    ) -> list[tuple[float, ...]]:
        draws = range(self.settings.draws)
        return [self._curve(scores, (grid, draw), name, column) for draw in draws]

    def _p_random(
        self, row: Mapping[str, Any], blank: bool, drawn: Tensor | None, column: int
    ) -> float:
        if blank or drawn is None or not compared_at(self.settings.steps):
            return math.nan
        curves = {name: row[f"{name}_curve"] for name in self.curves}
        leads = leads_of(drawn[:, column], self.curves, self.settings.rivals)
        return p_value(lead_of(curves, self.settings.steps), leads)

    # ---- randomisation
    def randomise(self, preset: Preset | None, reshape: Reshape | None) -> None:
        """The rank correlations, for maps that can be made again."""
        again, original = again_as(self.exp, self.scorer, preset, reshape)
        if original:
            self.randomised = randomise(self.scorer, again, original, self.settings.seed)

    def _add_randomised(self, each: _Map) -> None:
        found, row = self.randomised, each.row
        curve: tuple[float, ...] = ()
        upper = math.nan
        if found is not None and each.key in found.curves:
            values = found.curves[each.key][:, each.image, each.column].tolist()
            upper = float(found.upper(each.key)[each.image, each.column])
            curve = () if each.blank else (1.0, *values)
        row["randomised_head"] = curve[1] if curve else math.nan
        row["randomised_upper"] = upper
        row["randomised"] = curve[-1] if curve else math.nan
        row["randomisation_curve"] = curve

    # ---- the table
    def kind_of_score(self) -> str:
        """Which score it is: "probability", "score", or both for targets of different kinds."""
        kinds = [self._is_probability(image) for image in range(self.scorer.inputs.count)]
        if all(kinds):
            return "probability"
        return "probability or score" if any(kinds) else "score"

    def _is_probability(self, image: int) -> bool:
        return self.scorer.targets.has_probability(image)

    def table(self, about: dict[str, Any]) -> pd.DataFrame:
        """A row per map, in the order of the explanation's maps."""
        order = {key: number for number, key in enumerate(self.exp.maps)}
        self.maps.sort(key=lambda each: (order[each.key], each.image, each.column))
        better, settings = [], self.settings
        for each in self.maps:
            if "randomisation" in self.settings.checks:
                self._add_randomised(each)
            probability = self._is_probability(each.image)
            better.append(standing(each.row, probability))
            each.row["words"] = words_of(
                each.row, better[-1], each.blank, probability, settings.rivals, settings.null
            )
        table = pd.DataFrame([each.row for each in self.maps])
        curves = [name for name in table if str(name).endswith("_curve")]
        plain = [name for name in table if name not in (*curves, "words")]
        table = table[[*plain, *curves, "words"]]
        if self.randomised is not None:
            about |= {"stages": self.randomised.stages, "notes": self.randomised.notes}
        table.attrs = {
            "provenance": about,
            "words": summaries(table, better, settings.rivals, settings.null),
        }
        return table


def _one(picture: Tensor) -> Series:
    return Series(1, lambda: iter([picture]))


def _grid(maps: Tensor | Sequence[Tensor]) -> tuple[int, ...]:
    return tuple(maps[0].shape[1:])


def _is_even(values: Tensor) -> bool:
    """Whether a map is the same everywhere."""
    return bool((values == values.flatten()[0]).all())


def _area(curve: Sequence[float]) -> float:
    return area(curve) if curve else math.nan
