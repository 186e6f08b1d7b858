"""PG602, PG604 and PG606 over hand-made events: what belongs to which context, and what became of it."""

from __future__ import annotations

import threading

import pytest
from made_up.accesses import touches
from made_up.copies import dtod, host, htod
from made_up.kernels import kernel, launch, module, ptr
from made_up.memory import POOL, A, B, alloc, collected, dev, free
from made_up.places import CTX, CTX_B, MAIN, WORKER, at, where
from made_up.process import STALE, ended, failed, late
from made_up.streams import E1, E2, S1, S2, event, record, stream, synchronize, timed
from made_up.verdicts import codes, findings

from pycuda_guard.events import model as m

WRITES = kernel("f", "float *x", accesses=(touches("write"),))
UNKNOWN = kernel("f", "float *x")


def change(word: str, subject: int, current: int, thread: int = MAIN, line: int = 1, **fields: object):
    """A context is made, pushed, popped or detached; ``current`` is the one after."""
    return m.ContextChanged(at(line), thread, current, word, subject, **fields)


def within(context: int, *events: m.Event, thread: int = MAIN) -> list[m.Event]:
    """The same events with another context current, in a thread."""
    for one in events:
        one.context, one.thread = context, thread
    return list(events)


def replaced(actual: int, thread: int = MAIN) -> m.ContextReplaced:
    """Another library makes ``actual`` current."""
    return m.ContextReplaced(None, thread, CTX, actual, "cupy")


TWO = [change("created", CTX, CTX), change("created", CTX_B, CTX_B, line=2)]


def record_at(line: int, number: int, on: int) -> m.EventRecorded:
    return record(number, on, line)


ELSEWHERE = {
    "kernel": [*TWO, module(UNKNOWN), *within(CTX_B, launch("f", ptr(B), line=10))],
    "stream of a launch": [
        *TWO,
        *within(CTX_B, module(UNKNOWN)),
        stream(S1),
        *within(CTX_B, launch("f", ptr(B), stream=S1, line=10)),
    ],
    "memory that the kernel is certain to write": [
        *TWO,
        alloc(A, 4096),
        *within(CTX_B, module(WRITES), launch("f", ptr(A), line=10)),
    ],
    "stream of a copy, refused": [
        *TWO,
        stream(S1),
        alloc(A, 64),
        *within(CTX_B, htod(A, host(16), line=10, stream=S1, asynchronous=True)),
        failed(STALE, context=CTX_B),
    ],
    "event recorded on a stream of the other context, refused": [
        *TWO,
        event(E1),
        *within(CTX_B, stream(S2), record_at(10, E1, S2)),
        failed(STALE, context=CTX_B),
    ],
    "events of two contexts timed, refused": [
        *TWO,
        event(E1),
        *within(CTX_B, event(E2)),
        record(E1),
        *within(CTX_B, record(E2), timed(E1, E2, line=10)),
        failed(STALE, context=CTX_B),
    ],
}
AT_HOME = {
    "one context": [TWO[0], module(WRITES), alloc(A, 4096), launch("f", ptr(A))],
    "all of the current one": [
        *TWO,
        *within(CTX_B, module(WRITES), alloc(A, 4096), stream(S1), launch("f", ptr(A), stream=S1)),
    ],
    "pushed back": [
        *TWO,
        module(WRITES),
        alloc(A, 4096),
        change("pushed", CTX, CTX),
        launch("f", ptr(A)),
    ],
    "copy between contexts": [*TWO, alloc(A, 64), *within(CTX_B, alloc(B, 64), dtod(A, B, 64))],
    "copy on the other's stream that went through": [
        *TWO,
        stream(S1),
        alloc(A, 64),
        *within(CTX_B, htod(A, host(16), stream=S1)),
    ],
    "peer access": [
        *TWO,
        alloc(A, 4096),
        change("peer enabled", CTX, CTX_B),
        *within(CTX_B, module(WRITES), launch("f", ptr(A))),
    ],
    "memory that the kernel may not touch": [
        *TWO,
        alloc(A, 4096),
        *within(CTX_B, module(UNKNOWN), launch("f", ptr(A))),
    ],
    "managed memory": [
        *TWO,
        alloc(A, 4096, m.MemoryKind.MANAGED),
        *within(CTX_B, module(WRITES), launch("f", ptr(A))),
    ],
    "synchronized from the other context": [
        *TWO,
        stream(S1),
        *within(CTX_B, synchronize("stream", S1)),
    ],
    "a module from before the guard": [
        late("kernels"),
        *TWO,
        *within(CTX_B, launch("f", ptr(B))),
    ],
    "refused for another reason": [
        *TWO,
        stream(S1),
        *within(CTX_B, alloc(A, 64), htod(A, host(16), stream=S1)),
        failed("invalid argument", context=CTX_B),
    ],
}


@pytest.mark.parametrize("events", ELSEWHERE.values(), ids=ELSEWHERE)
def test_objects_of_another_context_are_found(events: list[m.Event]) -> None:
    assert codes(*events, among=["PG602"]) == [("PG602", 10)]


@pytest.mark.parametrize("events", AT_HOME.values(), ids=AT_HOME)
def test_objects_of_the_current_context_are_right(events: list[m.Event]) -> None:
    assert codes(*events, among=["PG602"]) == []


def test_a_refused_launch_is_told_once() -> None:
    events = [*TWO, module(UNKNOWN), *within(CTX_B, launch("f", ptr(B), line=10))]
    assert codes(*events, failed(STALE, context=CTX_B)) == [("PG602", 10)]
    (finding,) = findings(*events)
    assert [(place.message, place.line) for place in finding.related] == [
        ("its module is loaded here, in its context", 3),
        ("the current context is made current here", 2),
    ]


GONE = change("detached", CTX, 0, line=5)
LOST = {
    "copy": [TWO[0], alloc(A, 64), GONE, *within(CTX_B, htod(A, host(16)))],
    "memset of memory without a context": [
        TWO[0],
        alloc(A, 64),
        GONE,
        *within(0, m.Memset(at(10), MAIN, 0, "memset_d8", dev(A, 64), 1, 64)),
        failed("invalid device context", context=0, message="cuMemset failed: invalid device context"),
    ],
    "kernel": [TWO[0], module(UNKNOWN), GONE, *within(CTX_B, launch("f", ptr(B), line=10))],
    "pointer": [
        TWO[0],
        alloc(A, 64),
        GONE,
        *within(CTX_B, module(UNKNOWN), launch("f", ptr(A), line=10)),
    ],
    "stream": [
        TWO[0],
        stream(S1),
        GONE,
        *within(CTX_B, module(UNKNOWN), launch("f", ptr(B), stream=S1, line=10)),
    ],
    "event recorded in a later context": [
        TWO[0],
        event(E1),
        GONE,
        *within(CTX_B, stream(S2), record_at(10, E1, S2)),
        failed(STALE, context=CTX_B),
    ],
    "stream of a copy in a later context": [
        TWO[0],
        stream(S1),
        GONE,
        *within(
            CTX_B,
            alloc(A, 64),
            htod(A, host(16, kind=m.HostKind.PINNED), line=10, stream=S1, asynchronous=True),
        ),
        failed(STALE, context=CTX_B),
    ],
    "free": [TWO[0], alloc(A, 64), GONE, *within(0, free(A, line=10))],
    "synchronize": [
        TWO[0],
        stream(S1),
        GONE,
        failed(
            "invalid device context",
            nth=0,
            context=0,
            line=10,
            call="Stream.synchronize",
            message="cuStreamSynchronize failed: invalid device context",
        ),
    ],
    "collected in another thread": [TWO[0], alloc(A, 64), *within(0, collected(A, line=10), thread=WORKER)],
    "freed in another thread": [TWO[0], alloc(A, 64), *within(0, free(A, line=10), thread=WORKER)],
    "stream collected in another thread": [
        TWO[0],
        stream(S1),
        m.StreamDestroyed(at(10), WORKER, 0, S1),
    ],
    "event collected where another context is current": [
        TWO[0],
        event(E1),
        change("created", CTX_B, CTX_B, WORKER),
        m.EventDestroyed(at(10), WORKER, CTX_B, E1),
    ],
}
ALIVE = {
    "garbage after the end": [TWO[0], alloc(A, 64), GONE, *within(0, collected(A))],
    "an address that lives again": [
        TWO[0],
        alloc(A, 64),
        GONE,
        *within(CTX_B, alloc(A, 64), htod(A, host(16))),
    ],
    "another user of the context": [
        TWO[0],
        change("attached", CTX, CTX),
        alloc(A, 64),
        change("detached", CTX, CTX),
        htod(A, host(16)),
    ],
    "a primary context, which others may use": [
        change("retained", CTX, 0),
        change("pushed", CTX, CTX),
        alloc(A, 64),
        GONE,
        htod(dev(A, 64, known=True), host(16)),
    ],
    "a later context's event with the same number, refused for its stream": [
        TWO[0],
        event(E1),
        GONE,
        *within(CTX_B, event(E1), record_at(10, E1, 0)),
        failed(STALE, context=CTX_B),
    ],
    "a copy in a later context that fails for its size": [
        TWO[0],
        stream(S1),
        GONE,
        *within(CTX_B, alloc(A, 64), htod(A, host(99), stream=S1, asynchronous=True)),
        failed("invalid argument", context=CTX_B),
    ],
    "in the thread that made the context": [TWO[0], alloc(A, 64), *within(0, collected(A))],
    "where the context was pushed": [
        TWO[0],
        alloc(A, 64),
        *within(CTX, collected(A), thread=WORKER),
    ],
    "after the context of another thread has ended": [
        TWO[0],
        alloc(A, 64),
        stream(S1),
        GONE,
        *within(0, collected(A), thread=WORKER),
        m.StreamDestroyed(at(10), WORKER, 0, S1),
    ],
    "a context from before the guard": [alloc(A, 64), *within(0, collected(A), thread=WORKER)],
    "a block goes back to its pool": [
        TWO[0],
        alloc(A, 64, POOL, pool=1, held=0),
        *within(0, collected(A, POOL), thread=WORKER),
    ],
    "no context, and none was lost": [
        TWO[0],
        failed(
            "invalid device context",
            nth=0,
            context=0,
            thread=WORKER,
            call="Stream.synchronize",
            message="cuStreamSynchronize failed: invalid device context",
        ),
    ],
    "peer of a pushed one": [TWO[0], alloc(A, 64), change("popped", CTX, 0), *within(0, free(A))],
}


@pytest.mark.parametrize("events", LOST.values(), ids=LOST)
def test_what_outlives_its_context_is_found(events: list[m.Event]) -> None:
    assert codes(*events) == [("PG604", 10)]


def test_what_dies_with_a_thread_is_told_where_it_was_made() -> None:
    events = [TWO[0], stream(S1), m.StreamDestroyed(at(982, threading.__file__), WORKER, 0, S1)]
    assert codes(*events) == [("PG604", 4)]


@pytest.mark.parametrize("events", ALIVE.values(), ids=ALIVE)
def test_what_can_be_cleaned_up_is_right(events: list[m.Event]) -> None:
    assert codes(*events, among=["PG604"]) == []


def pooled(*more: m.Event, process: str = "exits", held: int = 0, automatic: bool = True) -> list[m.Event]:
    """A program that ends with a pool block alive."""
    return [
        change("created", CTX, CTX, automatic=automatic),
        alloc(A, 64, POOL, line=10, pool=1, held=held),
        *more,
        ended(process=process),
    ]


ABORTS = {
    "the only block": pooled(),
    "the context was popped": pooled(change("popped", CTX, 0), automatic=False),
    "what the pool held was given back": pooled(m.PoolEmptied(*where(3), 1), held=2),
}
ENDS_WELL = {
    "the pool holds others": pooled(held=1),
    "one has come back": pooled(alloc(B, 64, POOL, pool=1, held=0), collected(B, POOL)),
    "no blocks are alive": pooled(free(A, kind=POOL)),
    "the pool does not hold": pooled(m.PoolEmptied(*where(3), 1, stops=True)),
    "the process goes on": pooled(process=""),
    "nothing is cleaned up": pooled(process="dies"),
    "late": [late("memory"), *pooled()],
    "plain memory": [TWO[0], alloc(A, 64), ended(process="exits")],
}


@pytest.mark.parametrize("events", ABORTS.values(), ids=ABORTS)
def test_a_pool_block_that_aborts_the_process_is_found(events: list[m.Event]) -> None:
    assert codes(*events, among=["PG604"]) == [("PG604", 10)]


@pytest.mark.parametrize("events", ENDS_WELL.values(), ids=ENDS_WELL)
def test_a_pool_block_that_does_no_harm_is_right(events: list[m.Event]) -> None:
    assert codes(*events, among=["PG604"]) == []


CHANGED = {
    "kernel": [TWO[0], module(UNKNOWN), replaced(99), launch("f", ptr(B), line=10)],
    "kernel, refused": [
        TWO[0],
        module(UNKNOWN),
        replaced(99),
        launch("f", ptr(B), line=10),
        failed(STALE),
    ],
    "kernel, known only once it was refused": [
        TWO[0],
        module(UNKNOWN),
        launch("f", ptr(B), line=10),
        replaced(99),
        failed(STALE, nth=3),
    ],
    "stream": [TWO[0], stream(S1), alloc(A, 64), replaced(99), htod(A, host(16), stream=S1)],
    "event": [TWO[0], event(E1), replaced(0), record_at(10, E1, 0)],
}
UNCHANGED = {
    "changed back": [
        TWO[0],
        module(UNKNOWN),
        replaced(99),
        replaced(CTX),
        launch("f", ptr(B)),
    ],
    "kernel of the new context": [TWO[0], replaced(99), module(UNKNOWN), launch("f", ptr(B))],
    "plain copy": [TWO[0], alloc(A, 64), replaced(99), htod(A, host(16))],
    "in another thread": [TWO[0], module(UNKNOWN), replaced(99, WORKER), launch("f", ptr(B))],
    "module from before the guard": [TWO[0], replaced(99), launch("f", ptr(B))],
}


@pytest.mark.parametrize("events", CHANGED.values(), ids=CHANGED)
def test_objects_of_the_context_that_was_replaced_are_found(events: list[m.Event]) -> None:
    assert codes(*events) == [("PG606", 10)]


@pytest.mark.parametrize("events", UNCHANGED.values(), ids=UNCHANGED)
def test_other_objects_are_right_after_a_change(events: list[m.Event]) -> None:
    assert codes(*events, among=["PG606"]) == []


def test_a_context_left_pushed_does_no_harm_where_nothing_is_cleaned_up() -> None:
    left = change("created", CTX, CTX, line=10, automatic=False)
    assert codes(left, ended()) == [("PG603", 10)]
    assert codes(left, ended(process="exits")) == [("PG603", 10)]
    assert codes(left, ended(process="dies")) == []
