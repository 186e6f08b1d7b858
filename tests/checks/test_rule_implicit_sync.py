"""PG104 over hand-made events."""

from __future__ import annotations

import pytest
from made_up.copies import dtod, dtoh, host
from made_up.kernels import arg, kernel, launch, module, ptr
from made_up.memory import A, B, alloc
from made_up.places import CTX_B, where
from made_up.streams import E1, S1, S2, record, stream, synchronize
from made_up.verdicts import codes, findings

from pycuda_guard.events import model as m

READ = module(kernel("read", "const float *x", "float *y"))


FIRING = {
    "default stream": [alloc(A, 400), launch("k", ptr(A)), dtoh(host(100), A)],
    "blocking stream": [alloc(A, 400), stream(S1), launch("k", ptr(A), stream=S1), dtoh(host(100), A)],
    "a slice of the output": [alloc(A, 400), launch("k", ptr(A + 100)), dtoh(host(10), A)],
    "library kernel on a blocking stream": [
        alloc(A, 400),
        stream(S1),
        launch("k", ptr(A), stream=S1, library=True),
        dtoh(host(100), A),
    ],
    "another stream was synchronized": [
        alloc(A, 400),
        stream(S1),
        stream(S2),
        launch("k", ptr(A), stream=S1),
        synchronize("stream", S2),
        dtoh(host(100), A),
    ],
    "the event was recorded before the launch": [
        alloc(A, 400),
        stream(S1),
        record(E1, S1),
        launch("k", ptr(A), stream=S1),
        synchronize("event", E1),
        dtoh(host(100), A),
    ],
}

SILENT = {
    "context synchronized": [alloc(A, 400), launch("k", ptr(A)), synchronize(), dtoh(host(100), A)],
    "stream synchronized": [
        alloc(A, 400),
        stream(S1),
        launch("k", ptr(A), stream=S1),
        synchronize("stream", S1),
        dtoh(host(100), A),
    ],
    "event synchronized": [
        alloc(A, 400),
        stream(S1),
        launch("k", ptr(A), stream=S1),
        record(E1, S1),
        synchronize("event", E1),
        dtoh(host(100), A),
    ],
    "event of the default stream synchronized": [
        alloc(A, 400),
        stream(S1),
        launch("k", ptr(A), stream=S1),
        record(E1, 0),
        synchronize("event", E1),
        dtoh(host(100), A),
    ],
    "an earlier copy has waited": [
        alloc(A, 400),
        alloc(B, 400),
        launch("k", ptr(A)),
        dtoh(host(100), B),
        dtoh(host(100), A),
    ],
    "non-blocking stream": [alloc(A, 400), stream(S1, 1), launch("k", ptr(A), stream=S1), dtoh(host(100), A)],
    "unknown stream": [alloc(A, 400), launch("k", ptr(A), stream=S1), dtoh(host(100), A)],
    "asynchronous copy": [alloc(A, 400), launch("k", ptr(A)), dtoh(host(100), A, asynchronous=True)],
    "other memory": [alloc(A, 400), alloc(B, 400), launch("k", ptr(A)), dtoh(host(100), B)],
    "only read": [
        READ,
        alloc(A, 400),
        alloc(B, 400),
        launch("read", ptr(A), ptr(B)),
        dtoh(host(100), A),
    ],
    "library kernel on the default stream": [
        alloc(A, 400),
        launch("k", ptr(A), library=True),
        dtoh(host(100), A),
    ],
    "no kernel": [alloc(A, 400), dtoh(host(100), A)],
    "not to the host": [alloc(A, 400), alloc(B, 400), launch("k", ptr(A)), dtod(B, A, 400)],
    "another context": [
        alloc(A, 400),
        m.Launch(*where(15, CTX_B), "__call__", 901, "k", (1,), (1, 1, 1), 0, 0, (ptr(A),), 8),
        dtoh(host(100), A),
    ],
    "number": [alloc(A, 400), launch("k", arg("int32", 5)), dtoh(host(100), A)],
}


@pytest.mark.parametrize("events", FIRING.values(), ids=FIRING)
def test_fires(events: list[m.Event]) -> None:
    assert codes(*events) == [("PG104", 20)]


@pytest.mark.parametrize("events", SILENT.values(), ids=SILENT)
def test_stays_silent(events: list[m.Event]) -> None:
    assert not codes(*events, among=["PG104"])


def test_names_the_launch() -> None:
    (finding,) = findings(alloc(A, 400), launch("k", ptr(A), line=12), dtoh(host(100), A))
    assert "kernel `k` on the default stream" in finding.message
    assert [r.line for r in finding.related] == [12]
