"""What a view and its half in the browser say to each other: every message, once.

``frontend/message_types.d.ts`` is written from here (``make messages``); mypy checks what Python
sends, TypeScript what the browser sends. Arrays travel beside a message, as buffers. What comes
from the browser is read with care all the same: anybody may write to a kernel.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

Meta = dict[str, Any]  # what JSON holds; each view says what is in it


# ---- from the browser
class Ready(TypedDict):
    """The view is drawn; it waits for its data."""

    type: Literal["ready"]


class Ask(TypedDict):
    """A question; the fields of its kind stand beside these, see :class:`Questions`."""

    type: Literal["ask"]
    id: str
    what: str


class Stop(TypedDict):
    """Nobody wants the answer any more."""

    type: Literal["stop"]
    id: str


class WithinAsked(TypedDict):
    """To a view within this one, of the scene that the browser shows."""

    type: Literal["within"]
    view: str
    scene: int
    content: Ready | Ask | Stop


# ---- from Python
class Data(TypedDict):
    """All that the view shows at first; with one buffer."""

    type: Literal["data"]
    meta: Meta


class Answer(TypedDict):
    """To a question; the fields of its kind stand beside these, see :class:`Answers`."""

    type: Literal["answer"]
    id: str


class Progress(TypedDict):
    """How far the answer is."""

    type: Literal["progress"]
    id: str
    done: int
    total: int
    text: str


class Failure(TypedDict):
    """There is no answer, and why."""

    type: Literal["error"]
    id: str
    text: str


class WithinTold(TypedDict):
    """From a view within this one."""

    type: Literal["within"]
    view: str
    content: Told


# ---- questions, and what is in their answers
# what the screen of `explore` looks at: a photograph, a class, blocks that are cut
Moment = TypedDict("Moment", {"image": int, "class": int | None, "off": list[str]})
# a map of a class, or of a class minus another one
MapQuestion = TypedDict(
    "MapQuestion",
    {
        "image": NotRequired[int],
        "class": int,
        "contrast": int | None,
        "method": str,
        "layer": str,
        "part": NotRequired[str],
        "moment": NotRequired[Moment],
    },
)
# the last layer's weights for a class
WeightQuestion = TypedDict("WeightQuestion", {"network": int, "class": int})


class PhotographQuestion(TypedDict):
    """A file joins the others; with its bytes."""

    name: str


class StrongestQuestion(TypedDict):
    """The images of a scan that channels answer to most."""

    layer: str
    channels: list[int]


class TopMapsQuestion(TypedDict):
    """The maps of a channel over its top images."""

    layer: str
    channel: int


class GenerationQuestion(TypedDict):
    """Whether the network is still the one that was measured: the generation that is known."""

    generation: int


class Questions(TypedDict):
    """By what is asked: the fields of the question."""

    scene: Moment
    explanation: Moment
    without: Moment
    maps: Moment
    map: MapQuestion
    faithfulness: MapQuestion
    weight: WeightQuestion
    photograph: PhotographQuestion
    strongest: StrongestQuestion
    top_maps: TopMapsQuestion
    generation: GenerationQuestion


class SceneAnswer(TypedDict):
    """What was recorded; with one buffer."""

    scene: Meta


class ExplanationAnswer(TypedDict):
    """What was explained; with one buffer."""

    explanation: Meta


class WithoutAnswer(TypedDict):
    """What is predicted without each block; with one buffer."""

    without: Meta


class MapsAnswer(TypedDict):
    """All channels, as :func:`resviz.explore_feature_maps` has them; with one buffer."""

    maps: Meta
    chosen: Meta


class MapAnswer(TypedDict):
    """(h, w) of the map; with its values, float32."""

    shape: list[int]


class FaithfulnessAnswer(TypedDict):
    """A row of the table of checks, and how they were made."""

    row: Meta
    checked: str


# with (C,) weights, float32
WeightAnswer = TypedDict("WeightAnswer", {"class": int})


class PhotographAnswer(TypedDict):
    """What the screen says of all photographs, with one buffer; which one is new."""

    header: Meta
    image: int


class StrongestAnswer(TypedDict):
    """Their crops, and what is known of each; with one buffer."""

    strongest: Meta


class TopMapsAnswer(TypedDict):
    """Maps, one byte a value; with one buffer."""

    maps: Meta


class GenerationAnswer(TypedDict):
    """How often its weights were found to be others."""

    generation: int


class Answers(TypedDict):
    """By what is asked: the fields of the answer."""

    scene: SceneAnswer
    explanation: ExplanationAnswer
    without: WithoutAnswer
    maps: MapsAnswer
    map: MapAnswer
    faithfulness: FaithfulnessAnswer
    weight: WeightAnswer
    photograph: PhotographAnswer
    strongest: StrongestAnswer
    top_maps: TopMapsAnswer
    generation: GenerationAnswer


FromBrowser = Ready | Ask | Stop | WithinAsked
Fields = (
    SceneAnswer
    | ExplanationAnswer
    | WithoutAnswer
    | MapsAnswer
    | MapAnswer
    | FaithfulnessAnswer
    | WeightAnswer
    | PhotographAnswer
    | StrongestAnswer
    | TopMapsAnswer
    | GenerationAnswer
)
Told = Data | Answer | Progress | Failure
ToBrowser = Told | WithinTold
