"""PG103 over hand-made events of variables that modules tell of when they are loaded."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from made_up import copies
from made_up.kernels import MOD, kernel, launch, module
from made_up.memory import HOST, PINNED, A, B, alloc, free
from made_up.places import CTX, where
from made_up.streams import E1, S1, S2, event, record, stream, synchronize, wait
from made_up.verdicts import codes, findings

from pycuda_guard.events import model as m

GLOBAL = m.MemoryKind.GLOBAL
#: writes all of ``out``; reads it; does something nobody knows before it is over
WRITES, READS = (
    m.CertainAccess(kind, 4, m.LinearForm(0, ((m.VARIABLES, 1), (-7, 4)))) for kind in ("write", "read")
)
KERNELS = [
    kernel("fill", accesses=(WRITES,), is_vague=False, variables=("out",)),
    kernel("look", accesses=(READS,), is_vague=False, variables=("out",)),
    kernel("scatter", accesses=(), is_vague=True, goes_anywhere=True),
]
MODULE = module(*KERNELS, variables=(m.ModuleVariable("out", A, 400), m.ModuleVariable("other", B, 400)))
START = [MODULE, alloc(HOST, 400, PINNED), stream(S1, 1), stream(S2, 1)]
download = partial(copies.download, line=20)


def k(on: int, name: str = "fill", line: int = 10) -> m.Launch:
    """A launch of 100 threads."""
    return launch(name, block=(100, 1, 1), stream=on, line=line)


def asked(address: int = A, name: str = "out", mod: int = MOD) -> m.Allocated:
    """``module.get_global(name)``."""
    return m.Allocated(*where(7), "Module.get_global", address, 400, GLOBAL, name=name, module=mod)


def told(launch: int, kind: str, *runs: tuple[int, int], base: int = A) -> m.Footprint:
    """What the ``launch``-th event has touched."""
    return m.Footprint(*where(10), launch, (m.TouchedBytes(kind, base, runs),))


RACES: dict[str, list[Any]] = {
    "two kernels": [*START, k(S1), k(S2, line=20)],
    "written and read": [*START, k(S1), k(S2, "look", line=20)],
    "asked for after the launch": [*START, k(S1), asked(), download(S2)],
    "asked for before": [*START, asked(), k(S1), download(S2)],
    "in between two kernels": [*START, k(S1), asked(), k(S2, line=20)],
    "before there are streams": [
        MODULE, alloc(HOST, 400, PINNED), k(0), asked(), stream(S2, 1), download(S2),
    ],
    "by data": [*START, k(S1, "scatter"), k(S2, line=20), synchronize(), told(5, "write", (8, 12))],
    "by data, asked for": [
        *START, k(S1, "scatter"), asked(), download(S2), synchronize(), told(5, "write", (8, 12)),
    ],
    "both by data": [
        *START, k(S1, "scatter"), k(S2, "scatter", line=20), synchronize(),
        told(5, "write", (8, 12)), told(6, "read", (0, 400)),
    ],
}  # fmt: skip
RIGHT: dict[str, list[Any]] = {
    "both read": [*START, k(S1, "look"), k(S2, "look")],
    "same stream": [*START, k(S1), k(S1)],
    "synchronized": [*START, k(S1), synchronize("stream", S1), k(S2)],
    "event": [*START, event(E1), k(S1), record(E1, S1), wait(S2, E1), k(S2)],
    "another variable": [*START, k(S1), asked(B, "other"), download(S2, B)],
    "by data, other bytes": [*START, k(S1, "scatter"), k(S2), synchronize(), told(5, "write", (400, 404))],
    "by data, another variable": [
        *START, k(S1, "scatter"), k(S2), synchronize(), told(5, "write", (8, 12), base=B),
    ],
    "both by data, every other": [
        *START, k(S1, "scatter"), k(S2, "scatter"), synchronize(),
        told(5, "write", (0, 4), (8, 12)), told(6, "write", (4, 8), (12, 16)),
    ],
    "other memory since": [*START, k(S1), alloc(A, 400), download(S2)],
    "memory of which a part lies there": [*START, k(S1), alloc(A + 200, 400), download(S2, A + 200, n=10)],
    "a context that is gone": [
        *START, k(S1), m.ContextChanged(*where(8), "detached", CTX), k(S2),
    ],
    "variables that nobody told of": [module(*KERNELS), *START[1:], k(S1), k(S2)],
}  # fmt: skip


@pytest.mark.parametrize("events", RACES.values(), ids=RACES)
def test_kernels_that_use_a_variable_at_a_time(events: list[Any]) -> None:
    assert codes(*events, among=["PG103", "PG105", "PG903"]) == [("PG103", 20)]


@pytest.mark.parametrize("events", RIGHT.values(), ids=RIGHT)
def test_variables_that_are_apart_or_in_order(events: list[Any]) -> None:
    assert not codes(*events, among=["PG103", "PG105", "PG903"])


def test_a_variable_is_named_and_its_place_is_where_it_was_asked_for() -> None:
    (race,) = findings(*RACES["two kernels"], among=["PG103"])
    assert "kernel `fill` on" in race.message and "writes `out` while" in race.message
    assert [each.line for each in race.related] == [10, 3]
    (race,) = findings(*RACES["asked for after the launch"], among=["PG103"])
    assert [each.line for each in race.related] == [10, 7]


def test_variables_that_nobody_asked_for_are_no_memory_of_the_program() -> None:
    events = [*START, free(A), copies.dtoh(copies.host(100), B, line=30)]
    without = [module(*KERNELS), *events[1:]]
    assert codes(*events) == codes(*without)
