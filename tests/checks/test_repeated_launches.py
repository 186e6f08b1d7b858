"""A launch that equals an earlier one is judged by what has changed since, and by nothing less."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING

import pytest
from made_up.accesses import touches
from made_up.copies import host, htod
from made_up.kernels import arg, kernel, launch, module, ptr
from made_up.memory import A, B, alloc, free, memset
from made_up.process import ended
from made_up.streams import S1, S2, stream, synchronize
from made_up.verdicts import codes, findings, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.events import model as m

FILL = kernel("fill", "float *x", "int n", accesses=(touches("write", below=1),))


@pytest.fixture(params=["shared", "apart"])
def again(request: pytest.FixtureRequest) -> Callable[..., m.Launch]:
    """Make launches of `fill`, whose arguments are one tuple, as in a run, or not, as read from a file."""
    arguments = launch("fill", ptr(A), arg("int32", 8)).arguments
    assert arguments is not None

    def made(**fields: object) -> m.Launch:
        event = launch("fill", **fields)
        event.arguments = arguments if request.param == "shared" else tuple(map(copy, arguments))
        event.packed = 12
        return event

    return made


def test_nothing_is_said_of_a_loop(again: Callable[..., m.Launch]) -> None:
    loop = [event for _ in range(5) for event in (again(), htod(B, host(16)), memset(B, 16))]
    start = [alloc(A, 64), alloc(B, 64), module(FILL), stream(S1), htod(A, host(16))]
    assert codes(*start, *loop, synchronize(), ended()) == [("PG304", 15)]


def test_what_was_copied_there_since_counts(again: Callable[..., m.Launch]) -> None:
    events = [
        alloc(A, 64),
        module(FILL),
        htod(A, host(16)),
        again(),
        again(),
        htod(A, host(8, "float64")),
        again(),
    ]
    assert codes(*events) == [("PG403", 15)]


def test_a_doubtful_one_is_looked_at_each_time(again: Callable[..., m.Launch]) -> None:
    # written since the copy: no longer known to be doubles, until they are copied once more
    doubles = [alloc(A, 64), module(FILL), htod(A, host(8, "float64")), memset(A, 16), again(), again()]
    assert codes(*doubles) == []
    assert codes(*doubles, htod(A, host(8, "float64")), again()) == [("PG403", 15)]


def test_each_time_counts(again: Callable[..., m.Launch]) -> None:
    (finding,) = findings(alloc(A, 64), module(kernel("fill", "float *x")), *(again() for _ in range(4)))
    assert (finding.code, finding.count) == ("PG402", 4)


def test_memory_that_went_and_came_counts(again: Callable[..., m.Launch]) -> None:
    events = [alloc(A, 64), module(FILL), again(), again(), free(A)]
    assert codes(*events, again()) == [("PG203", 15)]
    assert codes(*events, alloc(A, 64), again(), free(A), again(line=19)) == [("PG203", 19)]


def test_the_stream_counts(again: Callable[..., m.Launch]) -> None:
    start = [alloc(A, 64), module(FILL), stream(S1, 1), stream(S2, 1)]
    one, two = [again(stream=S1) for _ in range(3)], [again(stream=S2, line=19) for _ in range(2)]
    (finding,) = findings(*start, *one, *two)
    assert (finding.code, finding.count) == ("PG103", 1)
    assert codes(*start, *one, synchronize(), *two) == []
    # in turns, each launch is unordered with the one before it
    (finding,) = findings(*start, one[0], two[0], synchronize(), again(stream=S1), again(stream=S2, line=19))
    assert (finding.code, finding.count) == ("PG103", 2)


def test_a_module_that_is_loaded_anew_counts(again: Callable[..., m.Launch]) -> None:
    assert codes(alloc(A, 64), again(), again(), module(kernel("fill", "float *x")), again()) == [
        ("PG402", 15)
    ]


def test_numbers_on_which_nothing_depends_may_change() -> None:
    step = kernel("step", "float *x", "float dt", "int n", "int turn", accesses=(touches("write", below=2),))

    def made(n: int, turn: int, dt: str = "float32", on: int = 0) -> m.Launch:
        numbers = arg(dt, turn / 4), arg("int32", n), arg("int32", turn)
        return launch("step", ptr(A), *numbers, line=30 + n, stream=on)

    engine = run(alloc(A, 64), module(step), *(made(16, turn) for turn in range(9)))
    assert engine.findings == []
    assert len(engine.state.plans._known) == 1
    start = [alloc(A, 64), module(step), stream(S1, 1), made(16, 0, on=S1)]
    # what it does depends on n
    assert codes(*start, *(made(n, 1) for n in (0, 0, 1))) == [("PG103", 31)]
    # an integer for a float is wrong, whatever its value
    assert codes(alloc(A, 64), module(step), made(16, 1), made(16, 1), made(17, 9000, "int32")) == [
        ("PG401", 47)
    ]
