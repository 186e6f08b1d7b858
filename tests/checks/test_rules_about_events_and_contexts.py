"""PG107, PG601, PG603 and PG605 over hand-made events."""

from __future__ import annotations

import tracemalloc

import pytest
from made_up.copies import host, htod
from made_up.memory import DEVICE, A, alloc
from made_up.places import CTX, MAIN, where
from made_up.process import context, ended, failed, late
from made_up.streams import E1, E2, S1, event, polled, record, stream, synchronize, timed, wait
from made_up.verdicts import codes, findings

from pycuda_guard.callsite import Site
from pycuda_guard.checks.engine import Engine
from pycuda_guard.events import model as m
from pycuda_guard.findings import Severity

LATE = late("streams")

UNRECORDED = {
    "a stream waits": [stream(S1), event(E1), wait(S1, E1, line=10), ended()],
    "timed": [event(E1), event(E2), record(E1), timed(E1, E2, line=10), failed("x"), ended()],
    "timed after the host waited": [
        event(E1),
        event(E2),
        record(E1),
        synchronize("event", E2, line=9),
        timed(E1, E2, line=10),
        ended(),
    ],
    "only the host waits": [event(E1), synchronize("event", E1, line=10), ended()],
    "first of two waits": [event(E1), wait(S1, E1, line=10), wait(S1, E1, line=11), ended()],
}
RECORDED = {
    "recorded": [event(E1), record(E1), wait(S1, E1), ended()],
    "recorded later, as in a ring of buffers": [event(E1), wait(S1, E1), record(E1), wait(S1, E1), ended()],
    "never used": [event(E1), ended()],
    "polled": [event(E1), polled("event", E1), ended()],
    "older than the guard": [LATE, wait(S1, E1), ended()],
    "unknown": [wait(S1, E1), ended()],
    "of another process": [event(E1, flags=4 | 2), wait(S1, E1), ended()],
    "the run goes on": [event(E1), wait(S1, E1)],
}


@pytest.mark.parametrize("events", UNRECORDED.values(), ids=UNRECORDED)
def test_unrecorded_events_are_found(events: list[m.Event]) -> None:
    assert codes(*events) == [("PG107", 10)]


@pytest.mark.parametrize("events", RECORDED.values(), ids=RECORDED)
def test_recorded_events_are_right(events: list[m.Event]) -> None:
    assert not codes(*events, among=["PG107"])


def homeless(message: str = "cuMemAlloc failed: invalid device context", **fields: object) -> object:
    fields = {"context": 0, "thread": 12, "nth": 0, "line": 10, "call": "mem_alloc", **fields}
    status = message.partition(" failed: ")[2].partition(" - ")[0]
    return failed(status, message=message, **fields)


WITHOUT_CONTEXT = {
    "driver": [context(), homeless()],
    "PyCUDA": [
        homeless("explicit_context_dependent failed: invalid device context - no currently active context?")
    ],
    "no initialization": [homeless("cuMemAlloc failed: initialization error")],
    "no initialization before a module": [homeless("cuModuleLoadDataEx failed: initialization error - ")],
}
WITH_CONTEXT = {
    "another context is meant": [context(), homeless(context=31)],
    "another failure": [context(), homeless("cuMemAlloc failed: out of sorts")],
    "initialized": [context(), homeless("cuMemAlloc failed: initialization error", context=31)],
}


@pytest.mark.parametrize("events", WITHOUT_CONTEXT.values(), ids=WITHOUT_CONTEXT)
def test_a_missing_context_is_found(events: list[m.Event]) -> None:
    assert codes(*events) == [("PG601", 10)]


@pytest.mark.parametrize("events", WITH_CONTEXT.values(), ids=WITH_CONTEXT)
def test_other_failures_are_not(events: list[m.Event]) -> None:
    assert codes(*events) == []


def test_tells_which_thread_has_a_context() -> None:
    (finding,) = findings(context(line=2), homeless())
    assert "another thread has" in finding.message and "context.push()" in finding.help
    assert [r.line for r in finding.related] == [2]


def test_says_that_nothing_is_initialized() -> None:
    (finding,) = findings(*WITHOUT_CONTEXT["no initialization"])
    assert "mem_alloc is called before CUDA is initialized" in finding.message
    assert finding.help.startswith("import pycuda.autoinit first")


def test_a_missing_context_that_is_handled_is_a_note() -> None:
    assert [f.severity for f in findings(homeless(), ended())] == [Severity.NOTE]
    assert [f.severity for f in findings(homeless(), ended((1,)))] == [Severity.ERROR]


def made(**fields: object) -> m.ContextChanged:
    return context(line=10, automatic=False, **fields)


LEFT = {
    "made": [made(), ended()],
    "pushed": [made(), context("popped"), made(change="pushed"), ended()],
    "in another thread": [made(change="pushed", thread=12), ended()],
    "automatic, pushed twice after it was popped": [
        context(),
        context("popped"),
        context("pushed", line=9, automatic=False),
        made(change="pushed"),
        ended(),
    ],
    "automatic, pushed again in another thread": [
        context(),
        context("popped"),
        made(change="pushed", thread=12),
        ended(),
    ],
    "one of two": [context(), made(), context("popped", line=20), made(), ended()],
}
TAKEN = {
    "popped": [made(), context("popped"), ended()],
    "detached": [made(), context("detached"), ended()],
    "automatic": [context(), ended()],
    "automatic, popped and pushed again": [
        context(),
        context("popped"),
        made(change="pushed"),
        context("popped"),
        made(change="pushed"),
        ended(),
    ],
    "pushed and popped in a thread": [
        context(),
        made(change="pushed", thread=12),
        context("popped", thread=12),
        ended(),
    ],
    "after a late start": [LATE, made(), ended()],
    "current before the guard was there": [m.ContextChanged(None, MAIN, CTX, "pushed", 31), ended()],
    "retained, not pushed": [made(change="retained"), ended()],
    "the run goes on": [made()],
}


@pytest.mark.parametrize("events", LEFT.values(), ids=LEFT)
def test_contexts_left_are_found(events: list[m.Event]) -> None:
    assert codes(*events) == [("PG603", 10)]


@pytest.mark.parametrize("events", TAKEN.values(), ids=TAKEN)
def test_contexts_taken_off_are_right(events: list[m.Event]) -> None:
    assert not codes(*events, among=["PG603"])


@pytest.mark.parametrize(("escaped", "severity"), [((6,), "warning"), ((), "note")])
def test_a_failed_timing_is_graded_by_whether_the_program_catches_it(
    escaped: tuple[int, ...], severity: str
) -> None:
    events = [event(E1), event(E2), record(E1), stream(S1), timed(E1, E2, line=10), failed("x")]
    (finding,) = findings(*events, ended(escaped))
    assert (finding.code, finding.severity.value) == ("PG107", severity)


@pytest.mark.parametrize(("escaped", "line"), [((6,), 10), ((), 9)])
def test_a_failed_timing_that_is_caught_does_not_hide_that_the_host_waited_before(
    escaped: tuple[int, ...], line: int
) -> None:
    events = [event(E1), event(E2), record(E1), synchronize("event", E2, line=9)]
    (finding,) = findings(*events, timed(E1, E2, line=10), failed("x"), ended(escaped))
    assert finding.location is not None
    assert (finding.code, finding.severity.value, finding.location.line) == ("PG107", "warning", line)


FORKED = m.Forked(Site("script.py", 2, "main"), 11, 0, 4711, True)
BROKEN = "initialization error"
AFTER_FORK = {
    "an allocation fails": [FORKED, homeless(f"cuMemAlloc failed: {BROKEN}", context=31)],
    "no context": [FORKED, homeless()],
    "a copy with the parent's memory fails": [
        FORKED,
        htod(A, host(16), line=9),
        failed(BROKEN, line=10),
    ],
    "it goes through all the same": [FORKED, alloc(A, 64, line=10)],
    "a new context": [FORKED, context(line=10)],
    "twice": [FORKED, homeless(), homeless()],
}
NOT_AFTER_FORK = {
    "the parent had not initialized CUDA": [
        m.Forked(None, MAIN, 0, 4711, False),
        context(),
        alloc(A, 64),
        ended(),
    ],
    "nothing is used": [FORKED, ended()],
    "what was inherited is cleaned up": [
        FORKED,
        m.Freed(None, MAIN, CTX, A, DEVICE, "collected"),
        context("popped"),
        failed(BROKEN, call="Context.pop", nth=0),
        ended(),
    ],
    "no fork": [context(), homeless(f"cuMemAlloc failed: {BROKEN}", context=31)],
}


@pytest.mark.parametrize("events", AFTER_FORK.values(), ids=AFTER_FORK)
def test_cuda_after_a_fork_is_found(events: list[m.Event]) -> None:
    assert codes(*events) == [("PG605", 10)]


@pytest.mark.parametrize("events", NOT_AFTER_FORK.values(), ids=NOT_AFTER_FORK)
def test_children_that_may_use_cuda_or_do_not_are_right(events: list[m.Event]) -> None:
    assert codes(*events) == []


@pytest.mark.parametrize(("escaped", "severity"), [((), Severity.NOTE), ((2,), Severity.ERROR)])
def test_falling_back_in_a_child_is_a_note(escaped: tuple[int, ...], severity: Severity) -> None:
    (finding,) = findings(FORKED, homeless(), ended(escaped))
    assert (finding.code, finding.severity) == ("PG605", severity)
    assert [place.line for place in finding.related] == [2]


def test_events_that_are_gone_leave_nothing_behind() -> None:
    engine, sequence = Engine(), 0
    engine.feed(context())

    def go(first: int, last: int) -> None:
        nonlocal sequence
        for number in range(first, last):
            gone = m.EventDestroyed(*where(19), number)
            for one in (event(number), record(number), synchronize("event", number), gone):
                sequence += 1
                one.sequence = sequence
                engine.feed(one)

    go(1000, 3000)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    go(3000, 7000)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 600_000  # the last 4096 events are remembered
