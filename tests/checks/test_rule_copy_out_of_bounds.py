"""PG201 over hand-made events."""

from __future__ import annotations

import pytest
from made_up.copies import copy2d, dtod, dtoh, host, htod
from made_up.memory import POOL, REGISTERED, A, B, alloc, dev, free, memset
from made_up.places import MAIN
from made_up.process import failed
from made_up.verdicts import codes, findings

from pycuda_guard.events import model as m

GLOBAL, ARRAY = m.MemoryKind.GLOBAL, m.MemoryKind.ARRAY

FIRING = {
    "upload larger than the allocation": [alloc(A, 40), htod(A, host(100, "int32"))],
    "download larger than the allocation": [alloc(A, 400), dtoh(host(100, "float64"), A, line=10)],
    "within the driver's rounding": [alloc(A, 12), htod(A, host(4))],
    "from an offset": [alloc(A, 4096), htod(A + 4000, host(100))],
    "past a pool block's requested size": [alloc(A, 1000, POOL), htod(A, host(251))],
    "module variable": [alloc(A, 20, GLOBAL, name="taps"), htod(A, host(9))],
    "device to device, source": [alloc(A, 40), alloc(B, 80), dtod(B, A, 80, line=10)],
    "device to device, destination": [alloc(A, 40), alloc(B, 80), dtod(A, B, 80, line=10)],
    "memset counts elements": [alloc(A, 4000), memset(A, 4000, line=10)],
    "negative size": [alloc(A, 400), alloc(B, 400), dtod(A, B, -80, line=10)],
    "2D rows past the host array": [
        alloc(A, 544 * 1024),
        copy2d(
            host((530, 1000), "uint8", m.Extent(1000, 544, 1000)), dev(A, m.Extent(1000, 544, 1024)), line=10
        ),
    ],
    "2D rows past the allocation": [
        alloc(A, 1024 * 9 + 500),
        copy2d(
            host((10, 1000), "uint8", m.Extent(1000, 10, 1000)), dev(A, m.Extent(1000, 10, 1024)), line=10
        ),
    ],
    "3D slices past the allocation": [
        alloc(A, 4 * 64 * 8),
        copy2d(
            host((5, 8, 64), "uint8", m.Extent(64, 8, 64, 5, 512)),
            dev(A, m.Extent(64, 8, 64, 5, 512)),
            line=10,
        ),
    ],
    "past a CUDA array": [
        alloc(A, 400),
        copy2d(m.ArrayOperand(7001, m.Extent(400), 200), dev(A, 400), line=10),
    ],
    "starts in the rounding behind an allocation": [alloc(A, 1000), htod(A + 1000, host(2))],
    "starts at the very end, and the driver does not know it": [
        alloc(A, 1024),
        htod(dev(A + 1024, 400, known=False), host(100)),
    ],
    "starts at the very end, and the driver refuses it": [
        alloc(A, 1024),
        htod(A + 1024, host(100), line=10),
        failed("invalid argument"),
    ],
    "starts below and runs in": [alloc(A, 1024), htod(A - 16, host(8))],
}

SILENT = {
    "an array that PyCUDA refuses": [alloc(A, 40), htod(A, host(100, order=None, contiguous=False))],
    "exact": [alloc(A, 400), htod(A, host(100)), dtoh(host(100), A)],
    "smaller": [alloc(A, 400), htod(A, host(10))],
    "one value": [alloc(A, 40), htod(A, host((), "int32"))],
    "last element": [alloc(A, 400), htod(A + 396, host(1))],
    "back into the allocation by a negative offset": [alloc(A, 400), dtoh(host(10), A + 400 - 40)],
    "nothing": [alloc(A, 400), htod(A + 400, host(0))],
    "module variable, whole": [alloc(A, 20, GLOBAL), htod(A, host(5))],
    "pool block, whole": [alloc(A, 1000, POOL), htod(A, host(250))],
    "pitched rows whose last one has no padding": [
        alloc(A, 1024 * 10),
        copy2d(host((10, 1000), "uint8", m.Extent(1000, 10, 1000)), dev(A, m.Extent(1000, 10, 1024))),
    ],
    "a column of a pitched allocation": [
        alloc(A, 1024 * 10),
        copy2d(host((10, 4), "uint8", m.Extent(4, 10, 4)), dev(A, m.Extent(4, 10, 1024, offset=1020))),
    ],
    "memory of another library": [htod(dev(A, 4000, known=True), host(1000))],
    "memory that nobody asked about": [htod(A, host(1000))],
    "refused for a reason of its own": [alloc(A, 400), htod(A, host(100)), failed("invalid argument")],
    "address handed out again, larger": [alloc(A, 40), free(A), alloc(A, 400), htod(A, host(100))],
    "larger allocation over an unseen free": [alloc(A + 64, 40), alloc(A, 400), htod(A, host(100))],
    "the neighbour's first byte": [alloc(A, 1024), alloc(A + 1024, 400), htod(A + 1024, host(100))],
    "registered host memory": [alloc(A, 400, REGISTERED), htod(A, host(200))],
    "memory of a context that is gone": [
        alloc(A, 40),
        m.ContextChanged(None, MAIN, 0, "detached", 31),
        htod(A, host(100)),
    ],
    "the same module variable asked for twice": [
        alloc(A, 20, GLOBAL),
        alloc(A, 20, GLOBAL),
        htod(A, host(5)),
    ],
}


@pytest.mark.parametrize("events", FIRING.values(), ids=FIRING)
def test_fires(events: list[m.Event]) -> None:
    assert codes(*events) == [("PG201", 10)]


@pytest.mark.parametrize("events", SILENT.values(), ids=SILENT)
def test_stays_silent(events: list[m.Event]) -> None:
    assert codes(*events) == []


def test_says_both_sizes() -> None:
    (finding,) = findings(alloc(A, 40, line=5), htod(A, host(100, "int32")))
    assert finding.message == (
        "copy of 400 bytes (100 int32, the host array) to the allocation, which holds 40 bytes"
    )
    assert [(r.message, r.line) for r in finding.related] == [("allocated here", 5)]


def test_says_where_a_copy_at_an_offset_ends() -> None:
    (finding,) = findings(alloc(A, 4096), dtoh(host(100), A + 4000))
    assert "starts at byte 4000 and runs 304 bytes past the end" in finding.message


def test_knows_the_elements_of_what_was_uploaded() -> None:
    (finding,) = findings(alloc(A, 40), htod(A, host(10, "int32")), dtoh(host(20, "int32"), A))
    assert "holds 40 bytes (10 int32)" in finding.message


@pytest.mark.parametrize(
    ("place", "count", "help"),
    [
        (A + 3800, 100, "make the offset one that leaves room for the array's nbytes: offsets count bytes"),
        (A + 3800, 1100, "allocate the array's nbytes, or copy a slice of the array that fits"),
        (A, 1100, "allocate the array's nbytes, or copy a slice of the array that fits"),
    ],
)
def test_a_copy_to_the_wrong_place_is_no_matter_of_the_size(place: int, count: int, help: str) -> None:
    (finding,) = findings(alloc(A, 4000), htod(place, host(count)))
    assert (finding.code, finding.help) == ("PG201", help)


def test_tells_numpys_default_dtype() -> None:
    (finding,) = findings(alloc(A, 400), dtoh(host(100, "float64"), A))
    assert "dtype=np.float32" in finding.help


def test_tells_that_memset_counts_elements() -> None:
    (finding,) = findings(alloc(A, 4000), memset(A, 4000))
    assert finding.help == "memset_d32 counts elements, not bytes: pass 1000"


def test_a_copy_that_failed_says_nothing_of_the_contents() -> None:
    events = [
        alloc(A, 400),
        htod(A, host(100), line=5),
        htod(A, host(100, "float64"), line=6),
        failed("invalid argument"),
        dtoh(host(200), A, line=7),
    ]
    finding = findings(*events)[-1]
    assert "holds 400 bytes (100 float32)" in finding.message


@pytest.mark.parametrize(
    ("count", "item", "offset", "help"),
    [
        (400, 4, 0, "memset_d32 counts elements, not bytes: pass 100"),
        (101, 4, 0, "pass at most 100, which is what fits"),
        (400, 1, 1, "pass at most 399, which is what fits"),
    ],
)
def test_memset_is_told_how_many_elements_fit(count: int, item: int, offset: int, help: str) -> None:
    (finding,) = findings(alloc(A, 400), memset(A + offset, count, item))
    assert finding.help == help
