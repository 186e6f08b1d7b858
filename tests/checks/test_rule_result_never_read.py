"""PG304 over hand-made events."""

from __future__ import annotations

import pytest
from made_up.accesses import touches
from made_up.copies import dtod, dtoh, host, htod
from made_up.kernels import arg, kernel, launch, module, ptr
from made_up.memory import HOST, PINNED, A, B, alloc, dev, free
from made_up.places import CTX, MAIN
from made_up.process import ended, failed, late
from made_up.verdicts import codes, findings

from pycuda_guard.events import model as m
from pycuda_guard.findings import Severity

MODULE = module(
    kernel("fill", "float *x", accesses=(touches("write"),)),
    kernel("scale", "float *x", "const float *y", accesses=(touches("write"), touches("read", 1))),
    kernel("count", "int *x", accesses=(touches("atomic"),)),
    kernel("unknown", "float *x"),
    kernel("follow", "float *x", accesses=(), follows=(0,)),
    kernel("mixed", "float *x", "struct P p:16:8", accesses=(touches("write"),)),
)
START = [MODULE, alloc(A, 400), alloc(B, 400)]


def fill() -> m.Launch:
    return launch("fill", ptr(A), line=10)


UNREAD = {
    "never used again": [fill()],
    "in a loop": [fill(), fill(), fill()],
    "the last of a chain of the same kernel": [
        launch("scale", ptr(A), ptr(B), line=1),
        launch("scale", ptr(B), ptr(A), line=10),
    ],
    "by atomics": [launch("count", ptr(A), line=10)],
    "freed without being read": [fill(), free(A)],
    "overwritten by a copy": [fill(), htod(A, host(100))],
    "the other buffer is copied": [fill(), dtoh(host(100), B)],
    "the input is copied": [launch("scale", ptr(A), ptr(B), line=10), dtoh(host(100), B)],
    "read before the launch": [dtoh(host(100), A), fill()],
}
READ = {
    "copied back": [fill(), dtoh(host(100), A)],
    "part of it copied back": [fill(), dtoh(host(10), dev(A + 40, 40))],
    "copied to another buffer": [fill(), dtod(B, A, 400)],
    "read by another kernel": [fill(), launch("scale", ptr(B), ptr(A)), dtoh(host(100), B)],
    "read by the next launch of the same kernel": [
        launch("scale", ptr(A), ptr(B)),
        launch("scale", ptr(B), ptr(A)),
        dtoh(host(100), B),
    ],
    "given to a kernel that is not known": [fill(), launch("unknown", ptr(A))],
    "given to a kernel as a number": [fill(), launch("unknown", arg("uint64", A + 8))],
    "written by a kernel that is not known": [launch("unknown", ptr(A))],
    "exported": [fill(), m.Exported(None, MAIN, CTX, "mem_get_ipc_handle", A)],
    "a struct may hold its address": [fill(), launch("mixed", ptr(B), arg("void", size=16))],
    "a table may hold its address": [fill(), launch("unknown", ptr(B, table=(A,)))],
    "a kernel follows pointers": [fill(), launch("follow", ptr(B))],
    "a launch of unknown arguments": [fill(), launch("unknown", raw=8)],
    "a variable may hold its address": [
        alloc(0xD030_0000, 8, m.MemoryKind.GLOBAL, name="where"),
        fill(),
        htod(0xD030_0000, host(1, "uint64")),
    ],
    "copied back by Out": [launch("fill", ptr(A, handler="Out"))],
    "pinned memory, which the host reads": [
        alloc(HOST, 400, PINNED),
        launch("fill", ptr(HOST)),
    ],
    "the launch is refused": [fill(), failed("invalid argument")],
    "the guard came late": [late("memory"), fill()],
    "a kernel that PyCUDA wrote": [launch("fill", ptr(A), library=True)],
}


@pytest.mark.parametrize("events", UNREAD.values(), ids=UNREAD)
def test_a_result_that_nobody_reads_is_noted(events: list[m.Event]) -> None:
    assert codes(*START, *events, ended(), among=["PG304"]) == [("PG304", 10)]


@pytest.mark.parametrize("events", READ.values(), ids=READ)
def test_a_result_that_may_be_read_is_right(events: list[m.Event]) -> None:
    assert not codes(*START, *events, ended(), among=["PG304"])


def test_it_is_a_note() -> None:
    (finding,) = findings(*START, fill(), ended())
    assert (finding.code, finding.severity) == ("PG304", Severity.NOTE)
    assert "kernel `fill` writes" in finding.message
