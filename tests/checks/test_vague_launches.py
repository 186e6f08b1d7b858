"""PG103 and PG105 over hand-made events of launches that tell afterwards what they have touched."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from made_up import copies
from made_up.accesses import somewhere
from made_up.copies import dtoh, host
from made_up.kernels import arg, kernel, launch, module, ptr
from made_up.memory import HOST, PINNED, POOL, A, B, alloc, dev, free
from made_up.places import where
from made_up.process import failed
from made_up.streams import E1, S1, S2, event, record, stream, synchronize, wait
from made_up.verdicts import codes, findings

from pycuda_guard.events import model as m

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE = module(
    kernel("vague", "float *x", "int n", accesses=(), is_vague=True),
    kernel("follow", "float **rows", "int n", accesses=(), is_vague=True, goes_anywhere=True),
    kernel("clear", "float *x", "int n", accesses=(), is_vague=False),
    kernel("indexed", "float *x", "int n", accesses=(), is_vague=True, is_by_data=True),
)
START = [MODULE, alloc(A, 400), alloc(B, 400), alloc(HOST, 400, PINNED)]
ONE = [*START, stream(S1, 1)]
TWO = [*ONE, stream(S2, 1)]
POOLED = [MODULE, alloc(A, 400, POOL), alloc(HOST, 400, PINNED), stream(S1, 1), stream(S2, 1)]
# half of an allocation
upload, download = partial(copies.upload, n=50, line=20), partial(copies.download, n=50)


def k(on: int = 0, address: int = A, name: str = "vague", line: int = 10, **fields: Any) -> m.Launch:
    """A launch for memory at ``address``."""
    return launch(name, ptr(address), arg("int32", 9), block=(128, 1, 1), stream=on, line=line, **fields)


class Told:
    """Becomes the Footprint of the ``nth`` launch, which touched these ranges of the memory at ``base``."""

    def __init__(self, nth: int, kind: str, *runs: tuple[int, int], base: int = A) -> None:
        self.nth = nth
        self.touched = (m.TouchedBytes(kind, base, runs),) if runs else ()


def told(events: list[Any]) -> Iterator[Any]:
    """Yield the events, each Told with the number of its launch."""
    numbers: list[int] = []
    for number, each in enumerate(events, 1):
        if isinstance(each, m.Launch):
            numbers.append(number)
        if isinstance(each, Told):
            yield m.Footprint(*where(10), numbers[each.nth], each.touched)
        else:
            yield each


LOW, HIGH, WHOLE = (0, 200), (200, 400), (0, 400)
EVEN = [(place, place + 4) for place in range(0, 400, 8)]
ODD = [(place, place + 4) for place in range(4, 400, 8)]

RACES: dict[str, list[Any]] = {
    "copy after": [*TWO, k(S1), download(S2), synchronize(), Told(0, "write", LOW)],
    "copy before": [*TWO, upload(S2, line=9), k(S1, line=20), synchronize(), Told(0, "write", LOW)],
    "copy to what is read": [*TWO, k(S1), upload(S2), synchronize(), Told(0, "read", LOW)],
    "copy of what is updated": [*TWO, k(S1), download(S2), synchronize(), Told(0, "atomic", LOW)],
    "one element": [*TWO, k(S1), download(S2), synchronize(), Told(0, "write", (196, 200), (300, 304))],
    "synchronous copy": [*ONE, k(S1), dtoh(host(50), A), Told(0, "write", LOW)],
    "told before the copy": [*TWO, k(S1), Told(0, "write", LOW), download(S2), synchronize()],
    "default stream before": [*ONE, k(), upload(S1), synchronize(), Told(0, "write", LOW)],
    "waited too late": [
        *TWO, event(E1), k(S1), record(E1, S1), download(S2), wait(S2, E1), Told(0, "write", LOW),
    ],
    "two launches": [
        *TWO, k(S1), k(S2, line=20), synchronize(), Told(0, "write", LOW), Told(1, "read", (100, 300)),
    ],
    "two launches, told backwards": [
        *TWO, k(S1), k(S2, line=20), synchronize(), Told(1, "write", *EVEN), Told(0, "read", *EVEN),
    ],
    "read and updated": [
        *TWO, k(S1), k(S2, line=20), synchronize(), Told(0, "atomic", LOW), Told(1, "read", LOW),
    ],
    "an operation with indices": [
        *TWO, k(S1, name="indexed", library=True), download(S2), synchronize(), Told(0, "write", LOW),
    ],
    "by a pointer in memory": [
        *TWO, k(S1, B, "follow"), download(S2), synchronize(), Told(0, "write", LOW),
    ],
    "copy before what follows pointers": [
        *TWO, upload(S2, line=9), k(S1, B, "follow", line=20), synchronize(), Told(0, "write", LOW),
    ],
    "rows of a copy": [
        *TWO,
        k(S1),
        m.Copy(
            *where(20), "Memcpy2D", m.CopyKind.MIXED,
            dev(B, m.Extent(8, rows=5, pitch=8)), dev(A, m.Extent(8, rows=5, pitch=40)), stream=S2,
        ),
        synchronize(),
        Told(0, "write", (84, 88)),
    ],
}  # fmt: skip

ORDERED: dict[str, list[Any]] = {
    "an operation with indices, other half": [
        *TWO, k(S1, name="indexed", library=True), download(S2), synchronize(), Told(0, "write", HIGH),
    ],
    "an operation without indices": [
        *TWO, k(S1, library=True), download(S2), synchronize(), Told(0, "write", LOW),
    ],
    "never told": [*TWO, k(S1), download(S2), synchronize()],
    "nothing touched": [*TWO, k(S1), download(S2), synchronize(), Told(0, "write")],
    "the other half": [*TWO, k(S1), download(S2), synchronize(), Told(0, "write", HIGH)],
    "the other half before": [*TWO, upload(S2), k(S1), synchronize(), Told(0, "write", HIGH)],
    "told before the other half": [*TWO, k(S1), Told(0, "write", HIGH), download(S2)],
    "every other element": [
        *TWO, k(S1), k(S2), synchronize(), Told(0, "write", *EVEN), Told(1, "write", *ODD),
    ],
    "same stream": [*TWO, k(S1), download(S1), synchronize(), Told(0, "write", LOW)],
    "both read": [*TWO, k(S1), download(S2), synchronize(), Told(0, "read", LOW)],
    "both update": [*TWO, k(S1), k(S2), synchronize(), Told(0, "atomic", LOW), Told(1, "atomic", LOW)],
    "synchronized": [*TWO, k(S1), synchronize("stream", S1), download(S2), Told(0, "write", LOW)],
    "told after it was waited for": [*TWO, k(S1), synchronize(), Told(0, "write", LOW), download(S2)],
    "event": [
        *TWO, event(E1), k(S1), record(E1, S1), wait(S2, E1), download(S2), synchronize(),
        Told(0, "write", LOW),
    ],
    "event before": [
        *TWO, event(E1), upload(S2), record(E1, S2), wait(S1, E1), k(S1), synchronize(),
        Told(0, "write", LOW),
    ],
    "blocking streams and the default stream": [
        *START, stream(S1), k(S1), dtoh(host(50), A), Told(0, "write", LOW),
    ],
    "other memory": [*TWO, k(S1), download(S2, B), synchronize(), Told(0, "write", LOW)],
    "a copy that failed": [*TWO, k(S1), download(S2), failed("no"), synchronize(), Told(0, "write", LOW)],
    "a launch that failed": [*TWO, k(S1), failed("no"), download(S2), synchronize(), Told(0, "write", LOW)],
    "freed and allocated anew": [
        *TWO, k(S1), free(A, "collected"), alloc(A, 400), download(S2), synchronize(), Told(0, "write", LOW),
    ],
    "told of memory that is younger": [
        *TWO, k(S1, B, "follow"), free(A), alloc(A, 400), download(S2), synchronize(), Told(0, "write", LOW),
    ],
    "a launch that nobody knows": [*TWO, k(S1), download(S2), m.Footprint(*where(10), 999, ())],
    "what was known before": [*TWO, k(S1, name="clear"), download(S2), synchronize(), Told(0, "write", LOW)],
    "a kernel of PyCUDA": [
        *TWO, k(S1, library=True), download(S2), synchronize(), Told(0, "write", LOW),
    ],
}  # fmt: skip


@pytest.mark.parametrize("events", RACES.values(), ids=RACES)
def test_what_turns_out_to_race_is_told_once(events: list[Any]) -> None:
    assert codes(*told(events), among=["PG103", "PG903"]) == [("PG103", 20)]


@pytest.mark.parametrize("events", ORDERED.values(), ids=ORDERED)
def test_what_turns_out_to_be_apart_or_in_order_is_not_told(events: list[Any]) -> None:
    assert not codes(*told(events), among=["PG103", "PG105", "PG108", "PG903"])


def test_the_bytes_are_told() -> None:
    events = [*TWO, k(S1), download(S2), synchronize(), Told(0, "write", (100, 104), (160, 240))]
    (race,) = findings(*told(events), among=["PG103"])
    assert "reads the allocation (bytes 100 to 103 of 400) while kernel `vague`" in race.message
    assert [each.line for each in race.related] == [10, 1]


def test_what_is_known_before_is_not_told_again() -> None:
    scatter = kernel("vague", "float *x", "int n", accesses=(somewhere("write"),), is_vague=True)
    events = [module(scatter), *TWO[1:], k(S1), download(S2, n=100), download(S2, line=21)]
    events += [synchronize(), Told(0, "write", WHOLE)]
    assert codes(*told(events), among=["PG103"]) == [("PG103", 20)]


def test_a_race_in_a_loop_is_one_finding() -> None:
    events = [*TWO]
    for nth in range(3):
        events += [k(S1), download(S2), synchronize(), Told(nth, "write", LOW)]
    (race,) = findings(*told(events), among=["PG103"])
    assert race.count == 3


REUSED = [k(S1), free(A, "collected", POOL, line=30), alloc(A, 400, POOL, line=31)]
FREED = [k(S1, HOST), free(HOST, "collected", PINNED, line=30), synchronize()]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([*POOLED, *REUSED, upload(S2), synchronize(), Told(0, "write", LOW)], [("PG105", 30)]),
        ([*POOLED, *REUSED, upload(S2), synchronize(), Told(0, "write", HIGH)], []),
        ([*POOLED, *REUSED, upload(S1), synchronize(), Told(0, "write", LOW)], []),
        ([*POOLED, *REUSED, synchronize(), upload(S2), Told(0, "write", LOW)], []),
        ([*TWO, *FREED, Told(0, "read", (0, 4), base=HOST)], [("PG105", 30)]),
        ([*TWO, *FREED, Told(0, "read", (0, 4))], []),
        ([*TWO, FREED[0], synchronize(), FREED[1], Told(0, "read", (0, 4), base=HOST)], []),
    ],
    ids=["reused", "other half", "same stream", "synchronized", "pinned", "not used", "pinned, synchronized"],
)  # fmt: skip
def test_memory_that_is_freed_too_early(events: list[Any], expected: list[tuple[str, int]]) -> None:
    assert codes(*told(events), among=["PG103", "PG105", "PG903"]) == expected
