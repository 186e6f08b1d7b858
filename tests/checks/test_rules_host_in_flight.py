"""PG101 and PG102 over hand-made events: what the host touches while the device uses it."""

from __future__ import annotations

from typing import Any

import pytest
from made_up.accesses import somewhere, touches
from made_up.copies import copy2d, dtod, dtoh, host, htod
from made_up.kernels import kernel, launch, module, ptr
from made_up.memory import HOST, HOST_B, PINNED, REGISTERED, A, B, alloc, collected, dev, free, memset
from made_up.places import where
from made_up.process import context, failed
from made_up.streams import E1, E2, S1, S2, destroyed, event, polled, record, stream, synchronize, timed, wait
from made_up.verdicts import codes, findings, run

from pycuda_guard.events import model as m

MODULE = module(
    kernel("write", "float *x", accesses=(touches("write"),)),
    kernel("read", "float *x", accesses=(touches("read"),)),
    kernel("count", "float *x", accesses=(touches("atomic"),)),
    kernel("every_other", "float *x", accesses=(touches("write", stride=8),)),
    kernel("scatter", "float *x", accesses=(somewhere("write"),)),
    kernel("publish", "float *x", accesses=(touches("write"),), signals=True),
    kernel("unknown", "float *x"),
)
PINNED_ARRAY = alloc(HOST, 4096, PINNED, line=2)
OTHER_ARRAY = alloc(HOST_B, 4096, PINNED, line=3)
START = [MODULE, alloc(A, 4096), alloc(B, 4096), PINNED_ARRAY, OTHER_ARRAY]
ONE = [*START, stream(S1)]
REGISTERED_ARRAY = [alloc(A, 4096), alloc(HOST, 4096, REGISTERED), stream(S1)]
TWO = [*START, stream(S1), stream(S2)]


def pinned(first: int = 0, nbytes: int = 4096, kind: m.HostKind = m.HostKind.PINNED) -> m.HostOperand:
    """Bytes of the page-locked array."""
    return m.HostOperand(HOST + first, m.Extent(nbytes), nbytes, kind, shape=(nbytes,), dtype="uint8")


def download(on: int = S1, first: int = 0, nbytes: int = 4096, line: int = 10) -> m.Copy:
    """``memcpy_dtoh_async`` into the page-locked array."""
    return dtoh(pinned(first, nbytes), A, line, stream=on, asynchronous=True)


def upload(on: int = S1, first: int = 0, nbytes: int = 4096, line: int = 10) -> m.Copy:
    """``memcpy_htod_async`` from the page-locked array."""
    return htod(A, pinned(first, nbytes), line, stream=on, asynchronous=True)


def registered(way: str) -> m.Copy:
    """A copy that goes on while the host does, from or into a registered array."""
    array = pinned(kind=m.HostKind.REGISTERED)
    if way == "down":
        return dtoh(array, A, stream=S1, asynchronous=True)
    return htod(A, array, stream=S1, asynchronous=True)


def rows() -> m.Copy:
    """``Memcpy2D`` into ten rows of 100 bytes of the page-locked array, 200 apart."""
    extent = m.Extent(100, rows=10, pitch=200)
    into = m.HostOperand(HOST, extent, 4096, m.HostKind.PINNED)
    return copy2d(into, dev(A, 1000), stream=S1, asynchronous=True)


def k(name: str, on: int = 0, address: int = HOST, line: int = 10, threads: int = 128) -> m.Launch:
    """A launch whose pointer is that of the page-locked array."""
    return launch(name, ptr(address), block=(threads, 1, 1), stream=on, line=line)


def read(offset: int = 0, line: int = 20) -> m.HostTouched:
    """The host reads a byte of the page-locked array."""
    return m.HostTouched(*where(line, 0), HOST + offset, False)


def write(offset: int = 0, line: int = 20) -> m.HostTouched:
    """The host writes a byte of the page-locked array."""
    return m.HostTouched(*where(line, 0), HOST + offset, True)


FIRING: dict[str, tuple[list[Any], str]] = {
    "read of a download": ([*ONE, download(), read()], "PG101"),
    "its last byte": ([*ONE, download(), read(4095)], "PG101"),
    "write over a download": ([*ONE, download(), write()], "PG102"),
    "write during an upload": ([*ONE, upload(), write()], "PG102"),
    "download on the default stream": ([*START, download(0), read()], "PG101"),
    "another stream is waited for": ([*TWO, download(S1), synchronize("stream", S2), read()], "PG101"),
    "an event of before": (
        [*ONE, event(E1), record(E1, S1), download(), synchronize("event", E1), read()],
        "PG101",
    ),
    "a stream waits, the host does not": (
        [*TWO, event(E1), download(S1), record(E1, S1), wait(S2, E1), read()],
        "PG101",
    ),
    "the event of another chunk": (
        [
            *ONE,
            event(E1),
            event(E2),
            download(S1, 0, 2048),
            record(E1, S1),
            download(S1, 2048, 2048),
            record(E2, S1),
            synchronize("event", E1),
            read(2048),
        ],
        "PG101",
    ),
    "the earlier of two uploads is waited for": (
        [*ONE, event(E1), upload(), record(E1, S1), upload(), synchronize("event", E1), write()],
        "PG102",
    ),
    "a memory free is no synchronization": ([*ONE, download(), free(B), read()], "PG101"),
    "row of a pitched copy": ([*ONE, rows(), read(250)], "PG101"),
    "kernel writes what the host reads": ([*START, k("write"), read()], "PG101"),
    "kernel reads what the host writes": ([*START, k("read"), write()], "PG102"),
    "kernel on a stream": ([*ONE, k("write", S1), read(500)], "PG101"),
    "elements that a kernel skips lie between": ([*START, k("every_other"), read(16)], "PG101"),
    "registered, read of a download": ([*REGISTERED_ARRAY, registered("down"), read()], "PG101"),
    "registered, write during an upload": ([*REGISTERED_ARRAY, registered("up"), write()], "PG102"),
    "a stream that is gone": (
        [*ONE, download(), destroyed(S1, 15), read()],
        "PG101",
    ),
}  # fmt: skip

SILENT: dict[str, list[Any]] = {
    "nothing in flight": [*ONE, read(), write()],
    "read during an upload": [*ONE, upload(), read()],
    "the context is waited for": [*ONE, download(), synchronize(), read(), write()],
    "the stream is waited for": [*ONE, download(), synchronize("stream", S1), read()],
    "the event is waited for": [
        *ONE, event(E1), download(), record(E1, S1), synchronize("event", E1), read(),
    ],
    "the stream is polled": [*ONE, download(), polled("stream", S1, 9), read()],
    "an event of another stream that waited": [
        *TWO, event(E1), event(E2), download(S1), record(E1, S1), wait(S2, E1), record(E2, S2),
        synchronize("event", E2), read(),
    ],
    "time was asked for": [
        *ONE, event(E1), event(E2), record(E1, S1), download(), record(E2, S1), timed(E1, E2), read(),
    ],
    "a copy that waits for blocking streams": [*ONE, download(), dtoh(host(16), A), read()],
    "the context is destroyed": [*ONE, download(), context("detached"), read()],
    "before the copy": [*ONE, read(), download()],
    "the other half": [*ONE, download(S1, 0, 2048), read(2048), write(4095)],
    "between the rows of a pitched copy": [
        *ONE, rows(), read(150), read(2000),
    ],
    "another array": [*ONE, download(), m.HostTouched(*where(20, 0), HOST_B, False)],
    "pageable memory": [
        *ONE, dtoh(pinned(kind=m.HostKind.PAGEABLE), A, stream=S1, asynchronous=True), read(),
    ],
    "a copy that returns when it is done": [*ONE, dtoh(pinned(), A), read(), write()],
    "freed": [*START, stream(S1), upload(), synchronize(), free(HOST, kind=PINNED), write()],
    "a new owner whose free was not seen": [
        *ONE, download(), alloc(HOST, 4096, PINNED), read(), write(),
    ],
    "the copy failed": [*ONE, download(), failed("invalid argument"), read()],
    "kernel reads, host reads": [*START, k("read"), read()],
    "beyond what a kernel touches": [*START, k("write"), read(512)],
    "a kernel that may talk to the host": [*START, k("publish"), read(), write()],
    "a kernel that writes who knows where": [*START, k("scatter"), read(), read(500)],
    "an atomic counter": [*START, k("count"), read()],
    "a kernel that nothing is known of": [*START, k("unknown"), read(), write()],
    "registered, read during an upload": [*REGISTERED_ARRAY, registered("up"), read()],
    "registered, waited for": [*REGISTERED_ARRAY, registered("down"), synchronize(), read(), write()],
    "a kernel that was waited for": [*START, k("write"), synchronize(), read()],
    "a kernel and a copy on the same stream": [*ONE, k("write", S1), dtoh(host(16), B, stream=S1), read()],
    "a stream older than the guard": [*START, download(S2), read()],
    "an event older than the guard": [*ONE, download(), synchronize("event", E2), read()],
    "memset through the device's pointer": [*ONE, memset(HOST, 4), read()],
    "dtod into page-locked memory": [*ONE, dtod(HOST, A, 4096), read()],
    "late touch of what another line has waited for": [
        *TWO, download(S1), upload(S2), synchronize("stream", S1), synchronize("stream", S2), write(),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("events", "code"), FIRING.values(), ids=FIRING)
def test_fires(events: list[Any], code: str) -> None:
    assert codes(*events, among=["PG101", "PG102"]) == [(code, 20)]


@pytest.mark.parametrize("events", SILENT.values(), ids=SILENT)
def test_silent(events: list[Any]) -> None:
    assert not codes(*events, among=["PG101", "PG102"])


def test_each_use_is_told_once() -> None:
    assert codes(*ONE, download(), read(line=20), read(8, line=21)) == [("PG101", 20)]
    again = [download(line=22), read(line=23)]
    assert codes(*ONE, download(), read(line=20), *again) == [("PG101", 20), ("PG101", 23)]


def test_a_loop_is_one_finding() -> None:
    (finding,) = findings(*ONE, *[item for _ in range(5) for item in (upload(), write())])
    assert finding.count == 5


def test_the_writing_operation_is_named_first() -> None:
    *_, finding = findings(*TWO, k("read", S1, line=9), download(S2), read())
    assert "memcpy_dtoh on a stream may still write" in finding.message


def test_message() -> None:
    (finding,) = findings(*ONE, download(), read(12))
    assert finding.message == (
        "the host reads the pinned array, byte 12 of 4096, while memcpy_dtoh on a stream may still write it"
    )
    assert finding.help == "call stream.synchronize() before reading it"
    assert [(place.message, place.line) for place in finding.related] == [
        ("memcpy_dtoh writes the pinned array here", 10),
        ("the pinned array is allocated here", 2),
    ]


def test_default_stream_is_waited_for_by_the_context() -> None:
    (finding,) = findings(*START, k("write"), read())
    assert finding.help == "call cuda.Context.synchronize() before reading it"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([download(S1, line=10)], htod(B, pinned(), 20)),
        ([upload(S1, line=10)], dtoh(pinned(), B, 20)),
        ([download(S1, line=10)], htod(B, pinned(), 20, stream=S2, asynchronous=True)),
    ],
    ids=["memcpy_htod of a download", "memcpy_dtoh over an upload", "another stream"],
)
def test_a_copy_that_uses_what_is_in_flight_is_a_race(before: list[Any], after: m.Copy) -> None:
    """Copies are the device's doing: PG103, and nothing else."""
    streams = [stream(S1, 1), stream(S2, 1)]
    assert codes(*START, *streams, *before, after) == [("PG103", 20)]


def test_collected_in_flight_is_told_as_such() -> None:
    events = [*ONE, download(), collected(HOST, PINNED, line=15), read()]
    assert codes(*events) == [("PG105", 15)]


class Recorded:
    """A watcher that notes what it is told."""

    def __init__(self) -> None:
        self.held: list[Any] = []
        self.dropped: list[Any] = []

    def hold(self, use: Any) -> None:
        self.held.append(use)

    def drop(self, use: Any) -> None:
        self.dropped.append(use)


def test_every_hold_is_dropped() -> None:
    engine, watcher = run(*ONE), Recorded()
    engine.watch(watcher)
    later = [download(), upload(S1, 0, 2048), upload(S1, 0, 2048), read(), synchronize()]
    for number, item in enumerate(later, 100):
        item.sequence = number
        engine.feed(item)
    assert len(watcher.held) == 3
    assert {id(use) for use in watcher.dropped} == {id(use) for use in watcher.held}
