"""PG105 over hand-made events."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from made_up.accesses import somewhere, touches
from made_up.copies import dtoh, host, htod
from made_up.kernels import arg, kernel, launch, module, ptr
from made_up.memory import HOST, PINNED, POOL, REGISTERED, A, alloc, collected, free
from made_up.streams import E1, S1, S2, event, record, stream, synchronize, wait
from made_up.verdicts import codes, findings

from pycuda_guard.callsite import Site
from pycuda_guard.events import model as m

START = [
    module(
        kernel("write", "float *x", "int n", accesses=(touches("write", stride=0),)),
        kernel("scatter", "float *x", "int n", accesses=(somewhere("write"),)),
    ),
    alloc(0xD0F0_0000, 400),
    stream(S1, 1),
    stream(S2, 1),
]


def use(on: int, address: int = A, line: int = 20, name: str = "write") -> m.Launch:
    """A kernel writes to a block."""
    return launch(name, ptr(address), arg("int32", 1), stream=on, line=line)


def pinned(kind: m.MemoryKind = PINNED) -> m.Allocated:
    """``pagelocked_empty`` or ``register_host_memory``."""
    return alloc(HOST, 400, kind, call="pagelocked_empty")


def from_pool() -> m.Allocated:
    """``PageLockedMemoryPool.allocate``."""
    return alloc(HOST, 400, PINNED, call="PageLockedMemoryPool.allocate")


def upload(on: int = S1, kind: m.HostKind = m.HostKind.PINNED) -> m.Copy:
    """The device reads the page-locked array."""
    return htod(0xD0F0_0000, host(100, kind=kind), stream=on, asynchronous=True)


def download(on: int = S1) -> m.Copy:
    """The device writes the page-locked array."""
    return dtoh(host(100, kind=m.HostKind.PINNED), 0xD0F0_0000, 15, stream=on, asynchronous=True)


def gone(how: str = "collected", kind: m.MemoryKind = PINNED) -> m.Freed:
    """The page-locked array is given back, at line 2."""
    return free(HOST, how, kind)


WRONG: dict[str, list[Any]] = {
    "pinned, collected during an upload": [pinned(), upload(), gone()],
    "pinned, freed during an upload": [pinned(), upload(), gone("free")],
    "pinned, during a download": [pinned(), download(), gone()],
    "pinned, on the default stream": [pinned(), upload(0), gone()],
    "pinned, the other stream is synchronized": [pinned(), upload(), synchronize("stream", S2), gone()],
    "registered, during an upload": [
        pinned(REGISTERED),
        upload(kind=m.HostKind.REGISTERED),
        gone("free", REGISTERED),
    ],
    "pool block on two streams": [
        alloc(A, 400, POOL),
        use(S1),
        free(A, kind=POOL),
        alloc(A, 400, POOL),
        use(S2),
    ],
    "pool block, collected": [
        alloc(A, 400, POOL),
        use(S1),
        collected(A, POOL),
        alloc(A, 400, POOL),
        use(S2),
    ],
    "pool block, default stream and non-blocking one": [
        alloc(A, 400, POOL),
        use(0),
        free(A, kind=POOL),
        alloc(A, 400, POOL),
        use(S1),
    ],
    "pool block, its next owner copies": [
        alloc(A, 400, POOL),
        use(S1),
        free(A, kind=POOL),
        alloc(A, 400, POOL),
        dtoh(host(100), A),
    ],
    "pool block, written somewhere, its next owner copies all": [
        alloc(A, 400, POOL),
        use(S1, name="scatter"),
        free(A, kind=POOL),
        alloc(A, 400, POOL),
        dtoh(host(100), A),
    ],
    "page-locked pool, filled again": [from_pool(), upload(), gone(), from_pool(), upload()],
    "page-locked pool, filled again for the same stream": [
        from_pool(),
        download(),
        gone(),
        from_pool(),
        upload(),
    ],
    "page-locked pool, two downloads": [from_pool(), download(), gone(), from_pool(), download(S2)],
}

RIGHT: dict[str, list[Any]] = {
    "pinned, stream synchronized": [pinned(), upload(), synchronize("stream", S1), gone()],
    "pinned, context synchronized": [pinned(), upload(), synchronize(), gone()],
    "pinned, event synchronized": [
        pinned(),
        event(E1),
        upload(),
        record(E1, S1),
        synchronize("event", E1),
        gone(),
    ],
    "pinned, never in flight": [pinned(), gone()],
    "pinned, synchronous copy": [pinned(), htod(0xD0F0_0000, host(100, kind=m.HostKind.PINNED)), gone()],
    "pinned, default stream waited by memcpy_dtoh": [
        pinned(),
        upload(0),
        dtoh(host(100), 0xD0F0_0000),
        gone(),
    ],
    "pool block never handed out again": [alloc(A, 400, POOL), use(S1), free(A, kind=POOL)],
    "pool block handed out again, not used": [
        alloc(A, 400, POOL),
        use(S1),
        free(A, kind=POOL),
        alloc(A, 400, POOL),
    ],
    "pool block, written somewhere, its next owner copies a part": [
        alloc(A, 400, POOL),
        use(S1, name="scatter"),
        free(A, kind=POOL),
        alloc(A, 400, POOL),
        dtoh(host(99), A),
    ],
    "pool block, same stream": [
        alloc(A, 400, POOL),
        use(S1),
        free(A, kind=POOL),
        alloc(A, 400, POOL),
        use(S1),
    ],
    "pool block, default stream": [
        alloc(A, 400, POOL),
        use(0),
        free(A, kind=POOL),
        alloc(A, 400, POOL),
        use(0),
    ],
    "pool block, synchronized before it is given back": [
        alloc(A, 400, POOL),
        use(S1),
        synchronize("stream", S1),
        free(A, kind=POOL),
        alloc(A, 400, POOL),
        use(S2),
    ],
    "pool block, synchronized before it is used again": [
        alloc(A, 400, POOL),
        use(S1),
        free(A, kind=POOL),
        alloc(A, 400, POOL),
        synchronize(),
        use(S2),
    ],
    "pool block, streams ordered by an event": [
        alloc(A, 400, POOL),
        event(E1),
        use(S1),
        free(A, kind=POOL),
        alloc(A, 400, POOL),
        record(E1, S1),
        wait(S2, E1),
        use(S2),
    ],
    "another block of the pool": [
        alloc(A, 400, POOL),
        use(S1),
        free(A, kind=POOL),
        alloc(A + 512, 400, POOL),
        use(S2, A + 512),
    ],
    "plain allocation, collected": [alloc(A, 400), use(S1), collected(A)],
    "plain allocation, default stream": [alloc(A, 400), use(0), free(A)],
    "page-locked pool, kept until synchronized": [
        from_pool(),
        upload(),
        synchronize(),
        gone(),
        from_pool(),
        upload(),
    ],
    "page-locked pool, synchronized before it is filled again": [
        from_pool(),
        upload(),
        gone(),
        from_pool(),
        synchronize(),
        upload(),
    ],
    "page-locked pool, downloads on one stream": [
        from_pool(),
        download(),
        gone(),
        from_pool(),
        download(),
    ],
    "pageable": [htod(0xD0F0_0000, host(100), asynchronous=True, stream=S1), collected(HOST, PINNED)],
}


@pytest.mark.parametrize("events", WRONG.values(), ids=WRONG)
def test_fires(events: list[Any]) -> None:
    assert codes(*START, *events, among=["PG103", "PG105"]) == [("PG105", 2)]


@pytest.mark.parametrize("events", RIGHT.values(), ids=RIGHT)
def test_stays_silent(events: list[Any]) -> None:
    assert not codes(*START, *events, among=["PG103", "PG105", "PG903"])


def test_freeing_an_ordinary_allocation_is_a_note() -> None:
    found = findings(*START, alloc(A, 400), use(S1), free(A))
    assert [(f.code, f.severity.value) for f in found if f.code == "PG105"] == [("PG105", "note")]


def test_message_tells_the_story() -> None:
    events = [alloc(A, 400, POOL), use(S1), free(A, kind=POOL), alloc(A, 400, POOL, 9), use(S2, line=25)]
    (finding,) = findings(*START, *events, among=["PG105"])
    assert "the pool block goes back to its pool while kernel `write`" in finding.message
    assert [related.line for related in finding.related] == [20, 9, 25]


@pytest.mark.parametrize(
    ("functions", "help"),
    [
        (("push", "push", "main"), "call stream.synchronize() before `push` returns: it is freed there"),
        (("push", "push", "push"), "call stream.synchronize() before it is freed"),
        (("main", "push", "main"), "call stream.synchronize() before it is freed"),
        (("<module>", "<module>", "main"), "call stream.synchronize() before it is freed"),
    ],
)
def test_help_names_the_function_that_is_left(functions: tuple[str, str, str], help: str) -> None:
    events = [
        msgspec.structs.replace(event, site=Site("script.py", line, function))
        for line, (event, function) in enumerate(zip((pinned(), upload(), gone()), functions, strict=True), 1)
    ]
    (finding,) = findings(*START, *events)
    assert (finding.code, finding.help) == ("PG105", help)
