"""PG204 over hand-made events."""

from __future__ import annotations

import pytest
from made_up.copies import copy2d, dtod, dtoh, host, htod
from made_up.kernels import arg, kernel, launch, module, ptr
from made_up.memory import HOST, PINNED, A, B, alloc, dev, free, memset
from made_up.places import where
from made_up.process import ILLEGAL, ended, failed, late
from made_up.streams import S1, stream, synchronize
from made_up.verdicts import codes, findings

from pycuda_guard.events import model as m

MASKED = module(kernel("masked", "const int *x", "const char *mask", "int n"))
LATE = late("memory")


def masked(mask: int, line: int = 15, **fields: int) -> m.Launch:
    return launch("masked", ptr(A), arg("int64", mask), arg("int32", 9), line=line, **fields)


def fault(address: int) -> m.HostFault:
    return m.HostFault(*where(10), address)


FIRING = {
    "null source": [dtoh(host(100), 0, line=10)],
    "null destination": [htod(0, host(100))],
    "null plus an offset": [htod(400, host(100))],
    "memset of null": [memset(0, 100, line=10)],
    "2D copy of null": [copy2d(host((4, 4)), dev(0, m.Extent(16, 4, 16)), line=10)],
    "the driver does not know it": [htod(dev(HOST, 400, known=False), host(100))],
    "the driver refuses it": [dtoh(host(100), A, line=10), failed("invalid argument")],
    "unknown to the driver after a late start too": [LATE, htod(dev(HOST, 400, known=False), host(100))],
    "host touches device memory": [alloc(A, 400), fault(A + 8)],
    "host touches freed device memory": [alloc(A, 400), free(A), fault(A + 8)],
    "kernel dies with a null argument": [
        MASKED,
        alloc(A, 400),
        masked(0, line=10),
        dtoh(host(100), A),
        failed(ILLEGAL),
    ],
    "kernel dies near null": [
        MASKED,
        alloc(A, 400),
        masked(0, line=10),
        dtoh(host(100), A),
        failed(f"{ILLEGAL}: kernel masked, block (1, 0, 0), address 0x10"),
    ],
    "kernel dies of a host address": [
        MASKED,
        alloc(A, 400),
        masked(HOST, line=10),
        dtoh(host(100), A),
        failed(f"{ILLEGAL}: kernel masked"),
    ],
    "kernel dies, and another launch was right": [
        MASKED,
        alloc(A, 400),
        masked(A),
        masked(0, line=10),
        synchronize("stream", S1),
        failed(ILLEGAL, nth=0),
    ],
}

#: calls that PyCUDA refuses
REFUSED = {
    "host array as destination": [alloc(A, 400), htod(host(100), host(100))],
    "arguments swapped": [alloc(A, 400), dtoh(dev(A, 400), host(100), line=10)],
    "device pointer as host destination": [alloc(A, 400), alloc(B, 400), dtoh(dev(A, 400), B, line=10)],
    "host array in a device copy": [alloc(A, 400), dtod(dev(A, 400), host(100), line=10)],
    "types that PyCUDA refuses, swapped": [
        alloc(A, 400),
        dtoh(m.OddOperand("DeviceAllocation"), m.OddOperand("ndarray"), line=10),
    ],
    "number as host destination": [alloc(A, 400), dtoh(m.OddOperand("int"), A, line=10)],
    "numpy integer as device pointer": [htod(m.OddOperand("uint64"), host(100))],
    "None": [htod(m.OddOperand("NoneType"), host(100))],
    "GPUArray": [dtoh(host(100), m.OddOperand("GPUArray"), line=10)],
}

SILENT = {
    "a pointer to unknown memory, and the kernel is not told": [
        MASKED,
        alloc(A, 400),
        masked(HOST),
        dtoh(host(100), A),
        failed(ILLEGAL),
    ],
    "a pointer to unknown memory, and the access was elsewhere": [
        MASKED,
        alloc(A, 400),
        masked(HOST),
        dtoh(host(100), A),
        failed(f"{ILLEGAL}: kernel masked, address 0x700000000000"),
    ],
    "live": [alloc(A, 400), htod(A, host(100))],
    "nothing through null": [htod(0, host(0))],
    "known to the driver": [htod(dev(A, 400, known=True), host(100))],
    "unknown, and the copy goes through": [htod(A, host(100))],
    "refused after a late start": [LATE, htod(A, host(100)), failed("invalid argument")],
    "host address of pinned memory": [alloc(A, 400, PINNED), htod(A, host(100))],
    "copy between arrays": [copy2d(host((4, 4)), m.ArrayOperand(7001, m.Extent(16, 4, 16), 64))],
    "a list for an array": [alloc(A, 400), htod(A, m.OddOperand("list"))],
    "null argument": [MASKED, alloc(A, 400), masked(0), synchronize()],
    "null argument, and the host has waited since": [
        MASKED,
        alloc(A, 400),
        masked(0),
        synchronize(),
        masked(A),
        dtoh(host(100), A),
        failed(ILLEGAL),
    ],
    "the address is nowhere near null": [
        MASKED,
        alloc(A, 400),
        masked(0),
        dtoh(host(100), A),
        failed(f"{ILLEGAL}: kernel masked, address 0x700000000000"),
    ],
    "another kernel failed": [
        MASKED,
        alloc(A, 400),
        masked(0),
        launch("other", ptr(A)),
        dtoh(host(100), A),
        failed(f"{ILLEGAL}: kernel other, address 0x10"),
    ],
    "a memset of live memory": [alloc(A, 400), memset(A, 100)],
    "the managed array's own host buffer": [
        alloc(A, 400),
        dtoh(host(100, kind=m.HostKind.MANAGED), A),
    ],
    "2D copy from live memory": [alloc(A, 64), copy2d(host((4, 4)), dev(A, m.Extent(16, 4, 16)))],
    "two launches with null": [
        MASKED,
        alloc(A, 400),
        masked(0),
        masked(0, line=16),
        dtoh(host(100), A),
        failed(ILLEGAL),
    ],
    "null for an integer": [
        module(kernel("count", "const int *x", "long long n")),
        alloc(A, 400),
        launch("count", ptr(A), arg("int64", 0)),
        dtoh(host(100), A),
        failed(ILLEGAL),
    ],
    "illegal address, no null": [MASKED, alloc(A, 400), masked(A), dtoh(host(100), A), failed(ILLEGAL)],
    "host fault elsewhere": [alloc(A, 400), fault(B)],
    "host fault in managed memory": [alloc(A, 400, m.MemoryKind.MANAGED), fault(A)],
    "host fault in pinned memory": [alloc(A, 400, PINNED), fault(A)],
    "failure without an announced call": [failed("invalid argument", nth=0)],
    "failure of a live copy": [alloc(A, 400), dtoh(host(100), A), failed("invalid argument")],
}


@pytest.mark.parametrize("events", FIRING.values(), ids=FIRING)
def test_fires(events: list[m.Event]) -> None:
    assert [code for code in codes(*events) if code[0] != "PG902"] == [("PG204", 10)]


@pytest.mark.parametrize("events", REFUSED.values(), ids=REFUSED)
def test_fires_where_pycuda_refuses(events: list[m.Event]) -> None:
    refusal = failed("", "ArgumentError", line=10)
    assert codes(*events, refusal) == [("PG204", 10)]
    escaped, caught = (findings(*events, refusal, ended(numbers)) for numbers in ((len(events) + 1,), ()))
    assert [finding.severity.value for finding in (*escaped, *caught)] == ["error", "note"]


@pytest.mark.parametrize("events", SILENT.values(), ids=SILENT)
def test_stays_silent(events: list[m.Event]) -> None:
    assert not codes(*events, among=["PG204"])


def test_says_that_arguments_are_swapped() -> None:
    (finding,) = findings(alloc(A, 400), dtoh(dev(A, 400), host(100)), failed("", "ArgumentError"))
    assert "memcpy_dtoh takes (destination, source)" in finding.message
    assert "they are swapped" in finding.message


def test_names_the_null_parameter() -> None:
    events = [
        MASKED,
        alloc(A, 400),
        masked(0, line=12),
        dtoh(host(100), A, line=14),
        failed(ILLEGAL, line=14),
    ]
    (finding,) = findings(*events, among=["PG204"])
    assert "null pointer for `const char *mask`" in finding.message
    assert [r.line for r in finding.related] == [14]


def test_a_failed_copy_does_not_count_as_a_wait() -> None:
    events = [
        stream(S1),
        MASKED,
        alloc(A, 400),
        masked(0, line=12, stream=S1),
        dtoh(host(100), A),
        failed(ILLEGAL),
    ]
    assert ("PG204", 12) in codes(*events)
