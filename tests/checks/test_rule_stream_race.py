"""PG103 and PG108 over hand-made events: each row of the ordering table is a litmus test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from made_up.accesses import somewhere, touches
from made_up.copies import copy2d, download, dtod, dtoh, host, htod, pinned, upload
from made_up.kernels import arg, kernel, launch, module, ptr
from made_up.memory import HOST, PINNED, A, B, C, alloc, dev, free, memset
from made_up.places import CTX_B, where
from made_up.process import context, failed
from made_up.streams import E1, E2, S1, S2, destroyed, event, polled, record, stream, synchronize, timed, wait
from made_up.verdicts import codes, findings

from pycuda_guard.callsite import Site
from pycuda_guard.events import model as m

if TYPE_CHECKING:
    from pathlib import Path

MODULE = module(
    kernel("scatter", "float *x", "int n", accesses=(somewhere("write", below=1),)),
    kernel("histogram", "float *x", "int n", accesses=(somewhere("atomic", below=1),)),
    kernel("gather", "float *x", "int n", accesses=(somewhere("read", below=1),)),
    kernel("write", "float *x", "int n", accesses=(touches("write", below=1),)),
    kernel("read", "float *x", "int n", accesses=(touches("read", below=1),)),
    kernel("count", "float *x", "int n", accesses=(touches("atomic", below=1),)),
    kernel("chunk", "float *x", "int n", "int first", accesses=(touches("write", below=1, first=2),)),
    kernel("second", "float *x", "int n", accesses=(touches("write", below=1, start=4),)),
    kernel("nothing", "float *x", "int n", accesses=()),
    kernel("unknown", "float *x", "int n"),
)
PINNED_ARRAY = alloc(HOST, 400, PINNED)
OTHER = m.ModuleLoaded(*where(12), 902, None)
START = [MODULE, alloc(A, 400), alloc(B, 400), PINNED_ARRAY]


def k(name: str, on: int = 0, address: int = A, n: int = 100, line: int = 20, **fields: Any) -> m.Launch:
    """A launch of 128 threads for ``n`` elements at ``address``."""
    fields = {"block": (128, 1, 1), "stream": on, "line": line, **fields}
    return launch(name, ptr(address), arg("int32", n), **fields)


def chunk(first: int, on: int, n: int = 50) -> m.Launch:
    """A launch for ``n`` elements from ``first`` on."""
    arguments = ptr(A), arg("int32", n), arg("int32", first)
    return launch("chunk", *arguments, block=(128, 1, 1), stream=on, line=20)


ONE = [*START, stream(S1, 1)]
TWO = [*START, stream(S1, 1), stream(S2, 1)]
BLOCKING = [*START, stream(S1), stream(S2)]
MIXED = [*START, stream(S1), stream(S2, 1)]

RACES: dict[str, list[Any]] = {
    "kernel, memcpy_dtoh": [*ONE, k("write", S1, line=10), dtoh(host(100), A)],
    "kernel, pinned memcpy_dtoh": [*ONE, k("write", S1, line=10), dtoh(pinned(), A)],
    "kernel, pageable memcpy_htod": [*ONE, k("read", S1, line=10), htod(A, host(100), 20)],
    "kernel, pinned memcpy_htod": [*ONE, k("read", S1, line=10), htod(A, pinned(), 20)],
    "kernel, pageable memcpy_htod_async": [
        *TWO,
        k("read", S1, line=10),
        htod(A, host(100), 20, stream=S2, asynchronous=True),
    ],
    "memset, kernel": [*ONE, memset(A, 100), k("write", S1)],
    "memcpy_dtod, kernel": [*ONE, dtod(A, B, 400), k("read", S1)],
    "memcpy_dtod reads what a kernel writes": [*ONE, dtod(B, A, 400), k("write", S1)],
    "2D copy on the device, kernel": [
        *ONE,
        copy2d(dev(A, m.Extent(8, rows=5, pitch=40)), dev(B, m.Extent(8, rows=5, pitch=8))),
        k("read", S1),
    ],
    "two non-blocking streams, writes": [*TWO, k("write", S1, line=10), k("write", S2)],
    "two non-blocking streams, read before write": [*TWO, k("read", S1, line=10), k("write", S2)],
    "two blocking streams": [*BLOCKING, k("write", S1, line=10), k("read", S2)],
    "blocking and non-blocking stream": [*MIXED, k("write", S1, line=10), k("read", S2)],
    "default and non-blocking stream": [*ONE, k("write", line=10), k("read", S1)],
    "the stream is made after the default stream's kernel": [
        *START,
        k("write", line=10),
        stream(S1, 1),
        k("read", S1),
    ],
    "pinned upload on another stream": [*TWO, upload(S1), k("read", S2)],
    "download on another stream": [*TWO, k("write", S1, line=10), download(S2)],
    "one pinned buffer on two streams": [*TWO, download(S1, line=10), upload(S2, B, line=20)],
    "event recorded too early": [
        *TWO,
        event(E1),
        record(E1, S1),
        k("write", S1, line=10),
        wait(S2, E1),
        k("read", S2),
    ],
    "another event is waited for": [
        *TWO,
        event(E1),
        event(E2),
        record(E2, S2),
        k("write", S1, line=10),
        record(E1, S1),
        wait(S2, E2),
        k("read", S2),
    ],
    "the wait comes too late": [
        *TWO,
        event(E1),
        k("write", S1, line=10),
        record(E1, S1),
        k("read", S2),
        wait(S2, E1),
    ],
    "the host waited for the other stream": [
        *TWO,
        k("write", S1, line=10),
        synchronize("stream", S2),
        k("read", S2),
    ],
    "allocating is no synchronization": [
        *TWO,
        k("write", S1, line=10),
        alloc(C, 400, line=12),
        k("read", S2),
    ],
    "loading a module is no synchronization": [*TWO, k("write", S1, line=10), OTHER, k("read", S2)],
    "memset on another stream": [
        *TWO,
        m.Memset(*where(10), "memset_d32_async", dev(A, 400), 4, 100, S1, True),
        k("read", S2),
    ],
    "an event that was never recorded": [
        *TWO,
        k("write", S1, line=10),
        event(E1),
        wait(S2, E1),
        k("read", S2),
    ],
    "freeing other memory is no synchronization": [
        *TWO,
        k("write", S1, line=10),
        free(B),
        k("read", S2),
    ],
    "a stream that is gone keeps its work": [
        *ONE,
        k("write", S1, line=10),
        destroyed(S1),
        stream(S1, 1),
        k("read", S1),
    ],
    "atomic and plain": [*TWO, k("count", S1, line=10), k("read", S2)],
    "a histogram and the memset of its bins": [*ONE, memset(A, 100), k("histogram", S1)],
    "a histogram and the copy of its bins": [*ONE, k("histogram", S1, line=10), dtoh(host(100), A)],
    "a scatter of a part and a kernel that reads all": [
        *TWO,
        k("scatter", S1, A + 40, 10, line=10),
        k("read", S2),
    ],
    "a gather and the upload": [*TWO, upload(S1), k("gather", S2)],
    "overlapping chunks": [*TWO, chunk(0, S1, 51), chunk(50, S2)],
    "slice of the output": [*ONE, k("write", S1, line=10), dtoh(host(1), A + 396)],
    "default streams of two contexts": [
        *START,
        stream(S1),
        k("write", line=10),
        m.Copy(*where(20, CTX_B), "memcpy_dtoh", m.CopyKind.DTOH, host(100), dev(A, 400)),
    ],
    "another context is synchronized": [
        *ONE,
        k("write", S1, line=10),
        m.Synchronized(*where(12, CTX_B), "context", CTX_B),
        dtoh(host(100), A),
    ],
}

ORDERED: dict[str, list[Any]] = {
    "a scatter and a part of its array": [*ONE, k("scatter", S1), dtoh(host(99), A)],
    "a scatter and a part of what is behind its pointer": [*ONE, k("scatter", S1, A + 40), memset(A, 99)],
    "two scatters": [*TWO, k("scatter", S1), k("scatter", S2)],
    "two histograms": [*TWO, k("histogram", S1), k("histogram", S2)],
    "a gather and a copy of the array": [*ONE, k("gather", S1), dtoh(host(100), A)],
    "a scatter by no thread": [*ONE, k("scatter", S1, n=0), dtoh(host(100), A)],
    "a scatter, waited for": [*ONE, k("scatter", S1), synchronize("stream", S1), dtoh(host(100), A)],
    "same stream": [*ONE, k("write", S1), k("read", S1), download(S1)],
    "default stream alone": [*START, k("write"), k("read"), memset(A, 100), dtoh(host(100), A)],
    "blocking stream, memcpy_dtoh": [*BLOCKING, k("write", S1), dtoh(host(100), A)],
    "blocking stream, memset": [*BLOCKING, k("write", S1), memset(A, 100)],
    "memset, blocking stream": [*BLOCKING, memset(A, 100), k("write", S1)],
    "memcpy_dtod, blocking stream": [*BLOCKING, dtod(A, B, 400), k("write", S1)],
    "two blocking streams with default work between": [
        *BLOCKING,
        k("write", S1),
        memset(B, 1),
        k("read", S2),
    ],
    "pinned memcpy_htod is over on return": [*ONE, htod(A, pinned()), k("read", S1)],
    "memcpy_dtoh is over on return": [*ONE, dtoh(host(100), A), k("write", S1)],
    "memcpy_dtoh waits for the default stream": [
        *ONE,
        memset(A, 100),
        dtoh(host(100), B),
        k("write", S1),
    ],
    "pageable memcpy_dtoh_async counts as waiting": [
        *TWO,
        dtoh(host(100), A, 15, stream=S1, asynchronous=True),
        k("write", S2),
    ],
    "pageable memcpy_htod waits for work before it": [
        *ONE,
        memset(A, 100),
        htod(B, host(100)),
        k("write", S1),
    ],
    "context synchronized": [*TWO, k("write", S1), synchronize(), k("read", S2)],
    "stream synchronized": [*TWO, k("write", S1), synchronize("stream", S1), k("read", S2)],
    "stream polled": [
        *TWO,
        k("write", S1),
        polled("stream", S1),
        k("read", S2),
    ],
    "event synchronized": [
        *TWO,
        event(E1),
        k("write", S1),
        record(E1, S1),
        synchronize("event", E1),
        k("read", S2),
    ],
    "event polled": [
        *TWO,
        event(E1),
        k("write", S1),
        record(E1, S1),
        polled("event", E1),
        k("read", S2),
    ],
    "event timed": [
        *TWO,
        event(E1),
        event(E2),
        record(E1, S1),
        k("write", S1),
        record(E2, S1),
        timed(E1, E2),
        k("read", S2),
    ],
    "event waited for": [
        *TWO,
        event(E1),
        k("write", S1),
        record(E1, S1),
        wait(S2, E1),
        k("read", S2),
    ],
    "event of a chain of streams": [
        *TWO,
        stream(503, 1),
        event(E1),
        event(E2),
        k("write", S1),
        record(E1, S1),
        wait(503, E1),
        record(E2, 503),
        wait(S2, E2),
        k("read", S2),
    ],
    "event recorded again": [
        *TWO,
        event(E1),
        record(E1, S1),
        k("write", S1),
        record(E1, S1),
        wait(S2, E1),
        k("read", S2),
    ],
    "event on the default stream covers blocking streams": [
        *MIXED,
        event(E1),
        k("write", S1),
        record(E1, 0),
        wait(S2, E1),
        k("read", S2),
    ],
    "event recorded before there was another stream": [
        *START,
        event(E1),
        k("write"),
        record(E1, 0),
        stream(S1, 1),
        wait(S1, E1),
        k("read", S1),
    ],
    "event older than the guard": [*TWO, k("write", S1), wait(S2, E1), k("read", S2)],
    "event of another process": [
        *TWO,
        event(E1, flags=4),
        k("write", S1),
        wait(S2, E1),
        k("read", S2),
    ],
    "stream older than the guard": [*ONE, k("write", S1), k("read", S2)],
    "ordered by an older stream": [
        *ONE,
        event(E1),
        k("write", S1),
        record(E1, S1),
        wait(S2, E1),
        k("read", 0),
    ],
    "both read": [*TWO, k("read", S1), k("read", S2)],
    "both count with atomics": [*TWO, k("count", S1), k("count", S2)],
    "two halves by pointer": [*TWO, k("write", S1, n=50), k("write", S2, A + 200, n=50)],
    "two halves by argument": [*TWO, chunk(0, S1), chunk(50, S2)],
    "next to what the kernel touches": [*ONE, k("write", S1, n=50), dtoh(host(50), A + 200)],
    "an element that the second leaves out": [*TWO, k("write", S1, n=1), k("second", S2)],
    "columns of a pitched copy": [
        *TWO,
        k("write", S1, n=1),
        copy2d(dev(A + 8, m.Extent(8, rows=5, pitch=40)), dev(B, m.Extent(8, rows=5, pitch=8)), stream=S2),
    ],
    "the grid is empty for the bound": [*TWO, k("write", S1, n=0), k("write", S2, n=0)],
    "kernel that certainly touches nothing": [*TWO, k("nothing", S1), k("write", S2)],
    "kernel without PTX": [*TWO, k("unknown", S1), k("write", S2)],
    "arguments are not known": [*TWO, launch("write", stream=S1, raw=12), k("write", S2)],
    "missing argument": [*TWO, launch("write", ptr(A), stream=S1), k("write", S2)],
    "other memory": [*TWO, k("write", S1), k("write", S2, B)],
    "freed and allocated anew": [*TWO, k("write", S1), free(A), alloc(A, 400), k("write", S2)],
    "allocated anew before there was another stream": [
        *START,
        k("write"),
        free(A),
        alloc(A, 400),
        stream(S1, 1),
        k("write", S1),
    ],
    "the launch failed": [*TWO, k("write", S1), failed("out of memory"), k("read", S2)],
    "memset of pinned memory waits": [
        *ONE,
        memset(HOST, 100),
        download(S1, B),
    ],
    "context detached": [
        *TWO,
        k("write", S1),
        context("detached"),
        k("read", S2),
    ],
    "peer copies may wait for anything": [
        *TWO,
        k("write", S1),
        m.Copy(*where(12), "memcpy_peer", m.CopyKind.PEER, dev(B, 4), dev(B, 4)),
        k("read", S2),
    ],
}


@pytest.mark.parametrize("events", RACES.values(), ids=RACES)
def test_fires(events: list[Any]) -> None:
    (found,) = codes(*events, among=["PG103"])
    operations = [event for event in events if isinstance(event, m.Copy | m.Launch)]
    assert found[1] == operations[-1].site.line


@pytest.mark.parametrize("events", ORDERED.values(), ids=ORDERED)
def test_stays_silent(events: list[Any]) -> None:
    assert not codes(*events, among=["PG103", "PG108", "PG903"])


STAGED: dict[str, list[Any]] = {
    "memcpy_htod": [*ONE, htod(A, host(100)), k("read", S1)],
    "memcpy_htod_async": [*TWO, htod(A, host(100), stream=S1, asynchronous=True), k("read", S2)],
    "download": [*ONE, htod(A, host(100)), download(S1)],
}
ARRIVED: dict[str, list[Any]] = {
    "default stream": [*ONE, htod(A, host(100)), k("read")],
    "blocking stream": [*BLOCKING, htod(A, host(100)), k("read", S1)],
    "synchronized": [*ONE, htod(A, host(100)), synchronize(), k("read", S1)],
    "pinned": [*ONE, htod(A, pinned()), k("read", S1)],
    "other bytes": [*ONE, htod(A, host(50)), k("read", S1, A + 200, 50)],
}


@pytest.mark.parametrize("events", STAGED.values(), ids=STAGED)
def test_staged_data_may_be_on_their_way(events: list[Any]) -> None:
    assert codes(*events, among=["PG108"]) == [("PG108", 20)]
    assert not codes(*events, among=["PG103"])


@pytest.mark.parametrize("events", ARRIVED.values(), ids=ARRIVED)
def test_staged_data_have_arrived(events: list[Any]) -> None:
    assert not codes(*events, among=["PG108", "PG103"])


def test_what_follows_on_the_same_stream_is_not_told_again() -> None:
    events = [*TWO, upload(S1), k("read", S2, line=20), k("write", S2, line=21)]
    assert codes(*events, among=["PG103"]) == [("PG103", 20)]


def test_two_streams_without_a_name_are_told_apart() -> None:
    (race,) = findings(*TWO, upload(S1), k("read", S2), among=["PG103"])
    assert "kernel `read` on a " in race.message and " on another " in race.message


def test_message_names_both_operations() -> None:
    (race,) = findings(*ONE, k("write", S1, line=10), dtoh(host(100), A), among=["PG103"])
    assert "memcpy_dtoh on the default stream reads the allocation" in race.message
    assert "kernel `write` on a NON_BLOCKING stream may still write it" in race.message
    assert race.help == "call stream.synchronize() in between"
    assert [related.line for related in race.related] == [10, 1]


def test_many_short_lived_streams_stay_bounded() -> None:
    events: list[Any] = [*START]
    for handle in range(600, 800):
        events += [stream(handle, 1), k("write", handle), destroyed(handle)]
    assert len(codes(*events, among=["PG103"])) == 1


@pytest.mark.parametrize(
    ("work", "help"),
    [
        (
            [k("write", S1, line=10), k("read")],
            "launch `read` with stream=stream, or call stream.synchronize()",
        ),
        (
            [k("write", line=10), k("read", S1)],
            "launch `write` with stream=stream, or call cuda.Context.synchronize() in between",
        ),
        (
            [k("write", S1, line=10), k("read", call="prepared_call")],
            "launch `read` by prepared_async_call(grid, block, stream, …), or call",
        ),
        ([k("write", line=10), download(S1)], "launch `write` with stream=stream, or call"),
        ([k("write", S1, line=10), k("read", library=True)], "call stream.synchronize() in between"),
        ([k("write", S1, line=10), dtoh(host(100), A)], "call stream.synchronize() in between"),
    ],
    ids=["later", "earlier", "prepared", "before a copy", "PyCUDA's", "a copy"],
)
def test_a_launch_without_its_stream_is_to_be_given_one(work, help):
    (found,) = findings(*ONE, *work)
    assert found.code == "PG103"
    assert found.help.startswith(help)


@pytest.mark.parametrize(
    ("made", "text", "help"),
    [
        (
            ["streams = [cuda.Stream(1) for _ in range(2)]"],
            "on another NON_BLOCKING stream of `streams` may",
            "event.record(stream) after the first and other.wait_for_event(event)",
        ),
        (
            ["s = cuda.Stream(1)"],
            "on another NON_BLOCKING stream `s` may",
            "event.record(stream) after the first and other.wait_for_event(event)",
        ),
        (
            ["a, b = cuda.Stream(1), cuda.Stream(1)"],
            "on the NON_BLOCKING stream `a` may",
            "event.record(a) after the first and b.wait_for_event(event)",
        ),
        (
            ["self.a, self.b = [cuda.Stream(1) for _ in range(2)]"],
            "on the NON_BLOCKING stream `self.a` may",
            "event.record(self.a) after the first and self.b.wait_for_event(event)",
        ),
        (
            ["a, b = cuda.Stream(1), Thing(cuda.Stream(1))"],
            "on another NON_BLOCKING stream may",
            "event.record(stream) after the first and other.wait_for_event(event)",
        ),
        (
            ["a = cuda.Stream(1)", "b = cuda.Stream(1)"],
            "on the NON_BLOCKING stream `a` may",
            "event.record(a) after the first and b.wait_for_event(event)",
        ),
    ],
    ids=["a list", "one line twice", "a tuple", "an unpacked list", "a tuple of others", "two variables"],
)
def test_streams_are_called_what_can_be_written(
    tmp_path: Path, made: list[str], text: str, help: str
) -> None:
    path = tmp_path / "script.py"
    path.write_text("\n".join(made))
    sites = [Site(str(path), 1, "f"), Site(str(path), len(made), "f")]
    both = [
        msgspec.structs.replace(stream(handle, 1), site=site)
        for handle, site in zip((S1, S2), sites, strict=True)
    ]
    (finding,) = findings(MODULE, alloc(A, 400), *both, k("write", S1), k("write", S2))
    assert text in finding.message
    assert help in finding.help
