"""Checks of arguments, and whose name their errors speak in."""

from __future__ import annotations

import gc
import inspect
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import numpy as np
import pytest

from resviz import arguments
from resviz.arguments import caller, public, public_as
from resviz.errors import ResvizWarning, quiet, warn

LETTERS = ("filter", "layer", "none")


@public
def inner() -> str:
    return caller()


@public
def outer() -> tuple[str, str]:
    return caller(), inner()


@public
def failing() -> None:
    raise ValueError(f"{caller()}: no.")


@public
def counting(up_to: int):
    """Who speaks at every step."""
    for _ in range(up_to):
        yield caller()


@contextmanager
@public
def framed(inside: list[str]):
    inside.append(caller())
    try:
        yield "given"
    except KeyError:
        inside.append(f"{caller()} caught")
    finally:
        inside.append(caller())


class Thing:
    @public
    def __init__(self, value: object = 1) -> None:
        self.value = arguments.whole("value", value)

    @public
    def __getitem__(self, key: object) -> str:
        return caller()

    @public
    def look(self) -> str:
        return caller()

    @public_as("Thing")
    def step(self) -> str:
        return caller()


# ---- whose name
def test_nobody_speaks_outside():
    assert caller() == "resviz"


def test_the_outermost_public_function_speaks():
    assert inner() == "inner"
    assert outer() == ("outer", "outer")
    assert caller() == "resviz"


def test_an_error_gives_the_name_back():
    with pytest.raises(ValueError, match="^failing: no"):
        failing()
    assert caller() == "resviz"


def test_an_inner_error_leaves_the_outer_name():
    @public
    def trying() -> str:
        with pytest.raises(ValueError, match="trying: no"):
            failing()
        return caller()

    assert trying() == "trying"


def test_methods_and_classes():
    thing = Thing()
    assert [thing[0], thing.look(), thing.step()] == ["Thing", "look", "Thing"]
    with pytest.raises(TypeError, match="^Thing: value 'a'; a whole number"):
        Thing("a")


def test_a_generator_speaks_in_its_own_steps_alone():
    steps = counting(2)
    assert next(steps) == "counting"
    assert caller() == "resviz" and inner() == "inner"
    assert next(steps) == "counting"
    assert list(steps) == []


def test_generators_side_by_side():
    first, second = counting(2), counting(2)
    assert [next(first), next(second), next(first), next(second)] == ["counting"] * 4
    assert caller() == "resviz"


def test_a_generator_gets_what_is_sent_and_gives_its_result():
    @public
    def echo():
        got = yield "first"
        assert (yield got) is None
        return "end"

    steps = echo()
    assert (next(steps), steps.send("sent")) == ("first", "sent")
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == "end"


def test_a_closed_generator_cleans_up_in_its_own_name():
    seen = []

    @public
    def cleaning():
        try:
            yield
        finally:
            seen.append(caller())

    steps = cleaning()
    next(steps)
    steps.close()
    assert seen == ["cleaning"]


def test_in_a_with_block_the_user_speaks():
    seen: list[str] = []
    with framed(seen) as value:
        assert value == "given" and caller() == "resviz" and inner() == "inner"
    assert seen == ["framed", "framed"]


def test_a_with_block_sees_errors_of_its_body():
    seen: list[str] = []
    with framed(seen):
        raise KeyError
    assert seen == ["framed", "framed caught", "framed"]
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine") as raised, framed(seen):
        raise error
    assert raised.value is error and caller() == "resviz"


@pytest.mark.parametrize("error", [StopIteration("mine"), KeyboardInterrupt()])
def test_a_with_block_hands_any_error_on(error: BaseException):
    with pytest.raises(type(error)) as raised, framed([]):
        raise error
    assert raised.value is error


@contextmanager
def bare():
    """As `framed`, without a name: what contextlib does by itself."""
    with suppress(KeyError):
        yield


def test_a_with_block_keeps_nothing_of_an_error_alive():
    """contextlib's own, from Python 3.12 on, holds an error until the collector comes."""

    class Big:
        pass

    def alive(frame: Callable[[], AbstractContextManager[Any]]) -> bool:
        def go() -> weakref.ref[Big]:
            big = Big()
            with frame():
                raise KeyError(big)
            return weakref.ref(big)

        return go()() is not None

    gc.disable()
    try:
        assert alive(lambda: framed([])) == alive(bare)
        assert sys.version_info >= (3, 12) or not alive(bare)
    finally:
        gc.enable()


def test_threads_speak_for_themselves():
    seen, inside, done = [], threading.Event(), threading.Event()

    @public
    def waiting() -> None:
        inside.set()
        assert done.wait(10)
        seen.append(caller())

    thread = threading.Thread(target=waiting)
    thread.start()
    assert inside.wait(10)
    assert caller() == "resviz" and inner() == "inner"
    done.set()
    thread.join(10)
    assert seen == ["waiting"]


def test_a_decorated_function_looks_as_it_was():
    assert (counting.__name__, counting.__doc__) == ("counting", "Who speaks at every step.")
    assert list(inspect.signature(counting).parameters) == ["up_to"]
    assert counting.__module__ == __name__
    assert inspect.isgeneratorfunction(counting)


# ---- warnings
@public
def warning() -> None:
    warn(f"{caller()}: look.")


@contextmanager
@public
def warning_frame():
    warn("on the way in")
    yield
    warn("on the way out")


def line() -> int:
    return inspect.currentframe().f_back.f_lineno  # type: ignore[union-attr]


def as_resviz(source: str, **names: object) -> dict[str, object]:
    """What the source defines, as if it stood in the package."""
    space: dict[str, object] = {"__name__": "resviz.somewhere", **names}
    exec(source, space)
    return space


def test_a_warning_points_at_the_users_line():
    space = as_resviz(
        "@public\ndef far():\n    near()\n\n@public\ndef near():\n    warn(caller() + ': look.')",
        public=public,
        warn=warn,
        caller=caller,
    )
    with pytest.warns(ResvizWarning, match="^far: look") as seen:
        space["far"]()
        here = line() - 1
    assert [(w.filename, w.lineno) for w in seen] == [(__file__, here)]


def test_a_warning_of_a_with_block_points_at_the_users_line():
    space = as_resviz(
        "@contextmanager\n@public\ndef frame():\n    warn('in')\n    yield\n    warn('out')",
        contextmanager=contextmanager,
        public=public,
        warn=warn,
    )
    with pytest.warns(ResvizWarning) as seen:
        first = line() + 1
        with space["frame"]():
            pass
    assert [str(w.message) for w in seen] == ["in", "out"]
    assert {(w.filename, w.lineno) for w in seen} == {(__file__, first)}


def test_a_warning_can_be_filtered_and_comes_once_per_line():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for _ in range(2):
            warning()
        warnings.simplefilter("ignore", ResvizWarning)
        warning()
    assert [str(w.message) for w in seen] == ["warning: look."]
    with warnings.catch_warnings(), pytest.raises(ResvizWarning, match="warning: look"):
        warnings.simplefilter("error")
        warning()


def test_quiet_silences():
    with quiet():
        warning()


# ---- kinds of arguments
@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole(value: object):
    found = arguments.whole("points", value, 1, 5)
    assert found == 3 and type(found) is int


@pytest.mark.parametrize(
    "value", [True, np.True_, 3.0, "3", None, [3], np.float64(3), float("nan")]
)
def test_no_whole_number(value: object):
    with pytest.raises(TypeError, match="^resviz: points .*; a whole number"):
        arguments.whole("points", value)


@pytest.mark.parametrize(
    ("least", "most", "words"),
    [(4, None, "4 or more"), (None, 2, "2 or less"), (4, 9, "4 to 9"), (1, 2, "1 or 2")],
)
def test_whole_out_of_range(least: int | None, most: int | None, words: str):
    with pytest.raises(ValueError, match=f"^resviz: points 3; {words}"):
        arguments.whole("points", 3, least, most)


@pytest.mark.parametrize("values", [range(1, 3), (1, 2), np.array([1, 2]), iter([1, 2])])
def test_wholes(values: object):
    assert arguments.wholes("depths", values, least=1) == [1, 2]


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        (3, TypeError, "depths 3; a sequence of whole numbers"),
        ("12", TypeError, "depths '12'; a sequence of whole numbers"),
        ([1, 2.5], TypeError, "depths 2.5; a whole number"),
        ([1, True], TypeError, "depths True; a whole number"),
        ([1, -1], ValueError, "depths -1; 0 or more"),
        ([], ValueError, "no depths; at least one"),
    ],
)
def test_no_wholes(values: object, error: type[Exception], words: str):
    with pytest.raises(error, match=f"^resviz: {words}"):
        arguments.wholes("depths", values, least=0)


@pytest.mark.parametrize("value", [1, 1.0, np.float32(1), np.int8(1)])
def test_number(value: object):
    found = arguments.number("extent", value, above=0)
    assert found == 1.0 and type(found) is float


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (True, TypeError, "True; a number"),
        ("1", TypeError, "'1'; a number"),
        (None, TypeError, "None; a number"),
        (float("nan"), ValueError, "nan; a finite number above 0"),
        (float("inf"), ValueError, "inf; a finite number above 0"),
        (0, ValueError, "0; a finite number above 0"),
        (-0.5, ValueError, "-0.5; a finite number above 0"),
    ],
)
def test_no_number(value: object, error: type[Exception], words: str):
    with pytest.raises(error, match=f"^resviz: extent {words}"):
        arguments.number("extent", value, above=0)


@pytest.mark.parametrize(("value", "words"), [(0, "0; "), (1.5, "1.5; ")])
def test_a_number_above_one_bound_and_not_over_another(value: object, words: str):
    assert arguments.number("share", 1, above=0, most=1) == 1
    with pytest.raises(ValueError, match=f"^resviz: share {words}"):
        arguments.number("share", value, above=0, most=1)


@pytest.mark.parametrize(
    ("value", "read"), [(3, [0, 1, 2]), ([7, 5], [7, 5]), (np.int64(1), [0]), (range(2), [0, 1])]
)
def test_seeds(value: Any, read: list[int]):
    assert arguments.seeds(value) == read


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (0, ValueError, "seeds 0; 1 or more"),
        ([], ValueError, "no seeds"),
        ([1, 1], ValueError, "each once"),
        ([-1], ValueError, "seeds -1; 0 or more"),
        ([2**64], ValueError, "less than 2"),
        (True, TypeError, "a sequence of whole numbers"),
        ("12", TypeError, "a sequence of whole numbers"),
        (1.5, TypeError, "a sequence of whole numbers"),
        ([0.5], TypeError, "seeds 0.5; a whole number"),
    ],
)
def test_no_seeds(value: object, error: type[Exception], words: str):
    with pytest.raises(error, match=words):
        arguments.seeds(value)


def test_seed():
    assert arguments.seed(np.int64(7)) == 7
    assert arguments.seed(-1, least=None) == -1
    assert arguments.seed(2**64 - 1) == 2**64 - 1


@pytest.mark.parametrize(
    ("value", "error"),
    [(True, TypeError), (1.5, TypeError), (None, TypeError), (-1, ValueError), (2**64, ValueError)],
)
def test_no_seed(value: object, error: type[Exception]):
    with pytest.raises(error, match="^resviz: seed "):
        arguments.seed(value)


def test_name():
    assert arguments.name("data", "CIFAR-10") == "CIFAR-10"
    with pytest.raises(TypeError, match="^resviz: data 3; a string, the name of the data set"):
        arguments.name("data", 3, "a string, the name of the data set")


def test_choice():
    assert arguments.choice("directions", "layer", LETTERS) == "layer"


@pytest.mark.parametrize("value", [None, 3, True, ["layer"]])
def test_choice_of_a_wrong_type(value: object):
    with pytest.raises(TypeError, match="directions .*; a string, one of filter, layer, none"):
        arguments.choice("directions", value, LETTERS)


@pytest.mark.parametrize(
    ("instead", "words"),
    [
        ("", "one of filter, layer, none. Closest: 'layer'"),
        ("or a function", "one of filter, layer, none, or a function. Closest: 'layer'"),
    ],
)
def test_no_choice(instead: str, words: str):
    with pytest.raises(ValueError, match=f"^resviz: directions 'layers'; {words}"):
        arguments.choice("directions", "layers", dict.fromkeys(LETTERS), instead)


def test_choices():
    assert arguments.choices("kind", "layer", LETTERS) == ["layer"]
    assert arguments.choices("kind", ("none", "layer"), LETTERS) == ["none", "layer"]


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ([], ValueError, "no kinds; one or more of filter, layer, none"),
        (3, TypeError, "kinds 3; one or more of filter, layer, none"),
        (["layer", "lyer"], ValueError, "kind 'lyer'; one of filter, layer, none. Closest: 'lay"),
        (["layer", 3], TypeError, "kind 3; a string, one of"),
    ],
)
def test_no_choices(values: object, error: type[Exception], words: str):
    with pytest.raises(error, match=f"^resviz: {words}"):
        arguments.choices("kind", values, LETTERS)


def test_switch():
    assert arguments.switch("batch_stats", np.False_) is False
    assert arguments.switch("batch_stats", True) is True


@pytest.mark.parametrize("value", [1, 0, None, "yes", 1.0])
def test_no_switch(value: object):
    with pytest.raises(TypeError, match="^resviz: batch_stats .*; True or False"):
        arguments.switch("batch_stats", value)


@pytest.mark.parametrize("value", [None, True, False, print])
def test_progress(value: object):
    assert arguments.progress(value) is value


@pytest.mark.parametrize("value", [1, 0, "yes"])
def test_no_progress(value: object):
    with pytest.raises(TypeError, match="^resviz: progress .*; None, True or False"):
        arguments.progress(value)


def test_it_loads_without_torch_and_numpy():
    script = "import sys, resviz.arguments; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
