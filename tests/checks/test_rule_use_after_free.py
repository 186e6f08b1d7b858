"""PG203 over hand-made events."""

from __future__ import annotations

import pytest
from made_up.copies import dtod, dtoh, host, htod
from made_up.kernels import arg, kernel, launch, module, ptr
from made_up.memory import PINNED, POOL, A, B, C, alloc, collected, dev, free, memset
from made_up.process import failed
from made_up.verdicts import codes, findings

from pycuda_guard.events import model as m

GLOBAL = m.MemoryKind.GLOBAL
READ = module(kernel("read", "const float *x", "long long n"))
FOLLOW = module(kernel("follow", "float **rows", "int n", follows=(0,)))


def table(*entries: int, at: int | None = None) -> m.Argument:
    return m.Argument(m.ArgumentKind.POINTER, "In", 0, 8, at, handler="In", table=entries)


FIRING = {
    "download": [alloc(A, 400), free(A), dtoh(host(100), A, line=10)],
    "download from the middle": [alloc(A, 400), free(A), dtoh(host(10), A + 40, line=10)],
    "upload after garbage collection": [alloc(A, 400), collected(A), htod(A, host(100))],
    "variable of a module that is gone": [
        alloc(A, 400, GLOBAL, name="table"),
        collected(A, GLOBAL),
        dtoh(host(100), A, line=10),
    ],
    "device to device": [alloc(A, 400), alloc(B, 400), free(A), dtod(B, A, 400, line=10)],
    "memset": [alloc(A, 400), free(A), memset(A, 100, line=10)],
    "block given back to its pool": [alloc(A, 400, POOL), free(A, kind=POOL), htod(A, host(100))],
    "pool block that the driver knows": [
        alloc(A, 400, POOL),
        free(A, kind=POOL),
        htod(dev(A, 400, known=True), host(100)),
    ],
    "kernel argument": [alloc(A, 400), free(A), launch("unknown", ptr(A), line=10)],
    "raw integer for a pointer parameter": [
        READ,
        alloc(A, 400),
        free(A),
        launch("read", arg("uint64", A), arg("int64", 5), line=10),
    ],
    "table of freed rows": [
        FOLLOW,
        alloc(A, 400),
        alloc(B, 400),
        free(A),
        free(B),
        launch("follow", table(A, B, 0), arg("int32", 2), line=10),
    ],
    "table of a freed row whose address the table itself was given": [
        FOLLOW,
        alloc(A, 400),
        free(A),
        alloc(A, 512, line=10),
        launch("follow", table(A + 16, at=A), arg("int32", 1), line=10),
    ],
    "what is left of a range that was handed out again": [
        alloc(A, 4096),
        free(A),
        alloc(A, 100),
        htod(A + 2048, host(10)),
    ],
}

SILENT = {
    "live": [alloc(A, 400), dtoh(host(100), A)],
    "handed out again": [alloc(A, 400), free(A), alloc(A, 400), dtoh(host(100), A)],
    "handed out again as part of a larger one": [
        alloc(A + 64, 400),
        free(A + 64),
        alloc(A, 4096),
        htod(A + 64, host(9)),
    ],
    "pool block handed out again": [
        alloc(A, 400, POOL),
        free(A, kind=POOL),
        alloc(A, 300, POOL),
        htod(A, host(75)),
    ],
    "another library was given the address": [
        alloc(A, 400),
        free(A),
        htod(dev(A, 400, known=True), host(100)),
    ],
    "nothing is moved": [alloc(A, 400), free(A), htod(A, host(0))],
    "a free that failed": [alloc(A, 400), free(A), failed("invalid argument"), htod(A, host(100))],
    "second handle freed after the address was reused": [
        alloc(A, 400),
        free(A),
        alloc(A, 400),
        free(A),
        failed("something else"),
        htod(A, host(100)),
    ],
    "integer parameter that happens to be an address": [
        READ,
        alloc(A, 400),
        alloc(B, 400),
        free(A),
        launch("read", ptr(B), arg("int64", A)),
    ],
    "integer for an unknown kernel": [alloc(A, 400), free(A), launch("unknown", arg("uint64", A))],
    "table with a live row": [
        FOLLOW,
        alloc(A, 400),
        alloc(B, 400),
        free(A),
        launch("follow", table(A, B), arg("int32", 1)),
    ],
    "table of a row that is an argument too, allocated earlier": [
        FOLLOW,
        alloc(A, 400, line=5),
        launch("follow", table(A, at=A), arg("int32", 1), line=10),
    ],
    "table of a row in the address that was freed and allocated again": [
        FOLLOW,
        alloc(A, 400),
        free(A),
        alloc(A, 400, line=5),
        alloc(B, 8, line=10),
        launch("follow", table(A, at=B), arg("int32", 1), line=10),
    ],
    "table of a kernel that does not follow it": [
        module(kernel("sum", "long long *rows", "int n")),
        alloc(A, 400),
        free(A),
        launch("sum", table(A), arg("int32", 1)),
    ],
    "table of nulls": [FOLLOW, alloc(A, 400), free(A), launch("follow", table(0, 0), arg("int32", 2))],
    "pinned memory goes back to the C library": [
        alloc(A, 400, PINNED),
        free(A, kind=PINNED),
        htod(A, host(100)),
    ],
    "variable of a module that is loaded once more": [
        alloc(A, 400, GLOBAL, name="table"),
        collected(A, GLOBAL),
        alloc(A, 400, GLOBAL, name="table"),
        dtoh(host(100), A),
    ],
    "live beside freed": [alloc(A, 400), alloc(B, 400), free(A), dtod(B, C, 400), launch("unknown", ptr(B))],
}


@pytest.mark.parametrize("events", FIRING.values(), ids=FIRING)
def test_fires(events: list[m.Event]) -> None:
    assert codes(*events) == [("PG203", 10)]


@pytest.mark.parametrize("events", SILENT.values(), ids=SILENT)
def test_stays_silent(events: list[m.Event]) -> None:
    assert not codes(*events, among=["PG203"])


def test_tells_the_story() -> None:
    (finding,) = findings(alloc(A, 400, line=5), collected(A, line=7), dtoh(host(100), A, line=9))
    assert (
        "memcpy_dtoh of 400 bytes from the allocation, which garbage collection has freed" in finding.message
    )
    assert [r.line for r in finding.related] == [5, 7]


def test_says_that_a_variable_went_with_its_module() -> None:
    gone = alloc(A, 400, GLOBAL, name="table", line=5), collected(A, GLOBAL, line=7)
    (finding,) = findings(*gone, dtoh(host(100), A, line=9))
    assert "from `table`, which went with its module" in finding.message
    assert finding.help == "keep the module, or a function of it, until its last use"
    assert [(r.message, r.line) for r in finding.related] == [
        ("`table` is allocated here", 5),
        ("`table` is lost with its module here", 7),
    ]


def test_says_which_argument() -> None:
    (finding,) = findings(READ, alloc(A, 400), free(A), launch("read", ptr(A), arg("int64", 5)))
    assert finding.message.startswith(
        "argument 1 (DeviceAllocation) of kernel `read` points into the allocation"
    )
    assert finding.kernel is not None and finding.kernel.name == "read"
