"""PG206, PG207 and PG209 over hand-made events."""

from __future__ import annotations

import pytest
from made_up.copies import host, htod
from made_up.kernels import launch, ptr
from made_up.memory import DEVICE, PINNED, POOL, A, B, alloc, collected, free
from made_up.places import CTX, MAIN, at
from made_up.process import STALE, context, ended, failed
from made_up.streams import destroyed, event, stream
from made_up.verdicts import codes, findings

from pycuda_guard.events import model as m
from pycuda_guard.findings import Severity

FREED_TWICE = {
    "announced": [alloc(A, 400), free(A), free(A, line=10)],
    "announced and refused": [alloc(A, 400), free(A), free(A, line=10), failed(STALE)],
    "pool block": [
        alloc(A, 400, POOL),
        free(A, kind=POOL),
        free(A, kind=POOL, line=10),
    ],
    "after the address was handed out again": [
        alloc(A, 400),
        free(A),
        alloc(A, 400),
        free(A, line=10),
        failed(STALE),
    ],
    "older than the guard": [free(A, line=10), failed(STALE)],
    "a message without a status": [
        alloc(A, 400),
        free(A),
        free(A, line=10),
        failed(message=f"failed: {STALE}"),
    ],
}
FREED_ONCE = {
    "once": [alloc(A, 400), free(A)],
    "freed and collected": [alloc(A, 400), free(A), collected(A)],
    "freed, handed out and freed": [alloc(A, 400), free(A), alloc(A, 400), free(A)],
    "older than the guard": [free(A)],
    "the first free failed": [alloc(A, 400), free(A), failed("unknown error"), free(A)],
    "another call failed": [alloc(A, 400), free(A), htod(B, host(1)), failed(STALE)],
}


@pytest.mark.parametrize("events", FREED_TWICE.values(), ids=FREED_TWICE)
def test_a_second_free_is_found(events: list[m.Event]) -> None:
    assert codes(*events) == [("PG206", 10)]


@pytest.mark.parametrize("events", FREED_ONCE.values(), ids=FREED_ONCE)
def test_one_free_is_right(events: list[m.Event]) -> None:
    assert codes(*events) == []


def test_memory_that_a_refused_free_named_lives_on() -> None:
    events = [alloc(A, 400), free(A), alloc(A, 400), free(A, line=9), failed(STALE), htod(A, host(100))]
    assert codes(*events) == [("PG206", 9)]


def piled(count: int, work: bool = True, kind: m.MemoryKind = DEVICE) -> list[m.Event]:
    events: list[m.Event] = []
    for n in range(count):
        events.append(alloc(A + 4096 * n, 400, kind, line=10))
        events += [launch("k", ptr(A + 4096 * n))] * work
    return events


def made(count: int, make: str, work: bool = True) -> list[m.Event]:
    """A stream or an event after another, each with a launch."""
    events: list[m.Event] = []
    for n in range(count):
        one = stream(500 + n) if make == "stream" else event(700 + n, line=10)
        one.site = at(10)
        events += [one, *([launch("k")] * work)]
    return events


LEAKING = {
    "one a launch": [*piled(20), ended()],
    "pinned": [*piled(20, kind=PINNED), ended()],
    "streams": [*made(20, "stream"), ended()],
    "events": [*made(20, "event"), ended()],
    "most are left": [*piled(20), free(A), ended()],
}
NOT_LEAKING = {
    "few": [*piled(7), ended()],
    "a list made at the start": [*piled(20, work=False), ended()],
    "all freed": [*piled(20), *[free(A + 4096 * n) for n in range(20)], ended()],
    "one buffer again and again": [*[e for _ in range(20) for e in [*piled(1), free(A)]], ended()],
    "streams made at the start": [*made(20, "stream", work=False), ended()],
    "streams that went": [
        *made(20, "stream"),
        *[destroyed(500 + n) for n in range(20)],
        ended(),
    ],
    "few events": [*made(7, "event"), ended()],
    "module variables": [*piled(20, kind=m.MemoryKind.GLOBAL), ended()],
    "the run goes on": piled(20),
}


@pytest.mark.parametrize("events", LEAKING.values(), ids=LEAKING)
def test_memory_that_piles_up_is_noted(events: list[m.Event]) -> None:
    assert codes(*events) == [("PG207", 10)]


@pytest.mark.parametrize("events", NOT_LEAKING.values(), ids=NOT_LEAKING)
def test_memory_that_does_not_is_not(events: list[m.Event]) -> None:
    assert codes(*events) == []


def full(**fields: int) -> object:
    return failed("out of memory", error="MemoryError", call="mem_alloc", nth=0, line=10, **fields)


def test_out_of_memory_names_the_holders() -> None:
    events = [context(), alloc(A, 3 << 20, line=5), alloc(B + (4 << 20), 400, line=6), full()]
    (finding,) = findings(*events)
    assert (finding.code, finding.severity) == ("PG209", Severity.ERROR)
    assert "this program holds 3.0 MiB of 1024.0 MiB" in finding.message
    assert [(r.message, r.line) for r in finding.related] == [
        ("3.0 MiB in 1 allocation from here", 5),
        ("400 bytes in 1 allocation from here", 6),
    ]
    assert finding.help.endswith("starting with the largest holder below")


def test_out_of_memory_of_a_line_that_allocates_again_and_again() -> None:
    (finding,) = findings(context(), alloc(A, 3 << 20, line=10), full())
    assert "; 3.0 MiB in 1 allocation of this very line" in finding.message and not finding.related
    assert finding.help == "free what this line has allocated before, or use it again"


def test_out_of_memory_tells_what_pools_keep() -> None:
    block = alloc(A, 400, POOL, pool=3, held=2)
    (finding,) = findings(block, free(A, kind=POOL), full())
    assert "its memory pools keep 3 blocks more for later" in finding.message
    assert "free_held()" in finding.help
    emptied = m.PoolEmptied(None, MAIN, CTX, 3)
    (finding,) = findings(block, free(A, kind=POOL), emptied, full())
    assert "pools" not in finding.message


def test_out_of_memory_is_known_by_its_message_too() -> None:
    late = failed(message="cuMemAlloc failed: out of memory", nth=0, line=10)
    assert codes(late) == [("PG209", 10)]


@pytest.mark.parametrize(("escaped", "severity"), [((1,), Severity.ERROR), ((), Severity.NOTE)])
def test_backing_off_is_a_note(escaped: tuple[int, ...], severity: Severity) -> None:
    assert [f.severity for f in findings(full(), ended(escaped))] == [severity]


def test_other_failures_are_not_out_of_memory() -> None:
    assert codes(failed("invalid argument", nth=0), failed("invalid value", nth=0)) == []
    assert codes(alloc(A, 400), htod(A, host(10)), failed("out of memory")) == []
