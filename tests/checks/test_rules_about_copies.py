"""PG106, PG210 and PG408 over hand-made events."""

from __future__ import annotations

import pytest
from made_up.copies import copy2d, dtod, dtoh, host, htod
from made_up.kernels import launch, ptr
from made_up.memory import A, B, alloc, dev, free, memset
from made_up.verdicts import codes, findings

from pycuda_guard.events import model as m

PINNED = host(100, kind=m.HostKind.PINNED)
ROWS, COLUMNS = host((8, 9), order="C"), host((8, 9), order="F")


def rows(address: int, width: int, count: int, pitch: int, offset: int = 0) -> m.DeviceOperand:
    return dev(address, m.Extent(width, count, pitch, offset=offset))


PAGEABLE = {
    "upload": [alloc(A, 400), htod(A, host(100), asynchronous=True)],
    "download": [alloc(A, 400), dtoh(host(100), A, line=10, asynchronous=True)],
    "2D": [alloc(A, 400), copy2d(host((10, 10)), rows(A, 40, 10, 40), line=10, asynchronous=True)],
}
NOT_PAGEABLE = {
    "pinned": [alloc(A, 400), htod(A, PINNED, asynchronous=True)],
    "registered": [alloc(A, 400), htod(A, host(100, kind=m.HostKind.REGISTERED), asynchronous=True)],
    "managed": [alloc(A, 400), htod(A, host(100, kind=m.HostKind.MANAGED), asynchronous=True)],
    "synchronous": [alloc(A, 400), htod(A, host(100))],
    "nothing": [alloc(A, 400), htod(A, host(0), asynchronous=True)],
}


@pytest.mark.parametrize("events", PAGEABLE.values(), ids=PAGEABLE)
def test_pageable_memory_is_noted(events: list[m.Event]) -> None:
    assert codes(*events) == [("PG106", 10)]


@pytest.mark.parametrize("events", NOT_PAGEABLE.values(), ids=NOT_PAGEABLE)
def test_other_memory_is_not(events: list[m.Event]) -> None:
    assert codes(*events) == []


def test_pageable_help_has_shape_and_dtype() -> None:
    (finding,) = findings(alloc(A, 400), htod(A, host((10, 10)), asynchronous=True))
    assert finding.help == "make it page-locked: cuda.pagelocked_empty((10, 10), np.float32)"


OVERLAPPING = {
    "shift down": [alloc(A, 4096), dtod(A + 1024, A, 3072, line=10)],
    "shift up": [alloc(A, 4096), dtod(A, A + 1024, 3072, line=10)],
    "by one byte": [alloc(A, 4096), dtod(A + 1023, A, 1024, line=10)],
    "rows of one pitch": [
        alloc(A, 1024),
        copy2d(rows(A + 8, 16, 8, 64), rows(A, 16, 8, 64), line=10),
    ],
    "rows shifted by a row": [
        alloc(A, 1024),
        copy2d(rows(A + 64, 16, 8, 64), rows(A, 16, 8, 64), line=10),
    ],
    "rows, the other way round the pitch": [
        alloc(A, 1024),
        copy2d(rows(A + 56, 16, 8, 64), rows(A, 16, 8, 64), line=10),
    ],
}
APART = {
    "neighbours": [alloc(A, 4096), dtod(A + 2048, A, 2048)],
    "onto itself": [alloc(A, 4096), dtod(A, A, 4096)],
    "other memory": [alloc(A, 4096), alloc(B, 4096), dtod(A, B, 4096)],
    "columns of one pitched allocation": [
        alloc(A, 1024),
        copy2d(rows(A, 16, 8, 64, offset=32), rows(A, 16, 8, 64)),
    ],
    "rows below one another": [alloc(A, 1024), copy2d(rows(A + 512, 16, 8, 64), rows(A, 16, 8, 64))],
    "different pitches": [alloc(A, 4096), copy2d(rows(A + 8, 16, 8, 128), rows(A, 16, 8, 64))],
    "nothing": [alloc(A, 4096), dtod(A + 10, A, 0)],
}


@pytest.mark.parametrize("events", OVERLAPPING.values(), ids=OVERLAPPING)
def test_overlap_is_found(events: list[m.Event]) -> None:
    assert codes(*events) == [("PG210", 10)]


@pytest.mark.parametrize("events", APART.values(), ids=APART)
def test_copies_apart_are_right(events: list[m.Event]) -> None:
    assert codes(*events) == []


def test_overlap_says_how_much() -> None:
    (finding,) = findings(alloc(A, 4096), dtod(A + 1024, A, 3072))
    assert "2048 bytes of the allocation are in both" in finding.message


TRANSPOSED = {
    "Fortran order up, C order down": [alloc(A, 288), htod(A, COLUMNS), dtoh(ROWS, A)],
    "C order up, Fortran order down": [alloc(A, 288), htod(A, ROWS), dtoh(COLUMNS, A)],
    "into a device array of known order": [
        alloc(A, 288),
        htod(dev(A, 288, shape=(8, 9), dtype="float32", order="C"), COLUMNS, line=20),
    ],
}
IN_ORDER = {
    "C order twice": [alloc(A, 288), htod(A, ROWS), dtoh(ROWS, A)],
    "Fortran order twice": [alloc(A, 288), htod(A, COLUMNS), dtoh(COLUMNS, A)],
    "one dimension": [alloc(A, 400), htod(A, host(100)), dtoh(host(100, order="F"), A)],
    "other shape": [alloc(A, 288), htod(A, COLUMNS), dtoh(host((9, 8)), A)],
    "a single row": [alloc(A, 36), htod(A, host((1, 9), order="CF")), dtoh(host((1, 9)), A)],
    "other dtype": [alloc(A, 288), htod(A, COLUMNS), dtoh(host((8, 9), "int32"), A)],
    "a kernel in between": [alloc(A, 288), htod(A, COLUMNS), launch("t", ptr(A)), dtoh(ROWS, A)],
    "a launch from bytes in between": [alloc(A, 288), htod(A, COLUMNS), launch("t", raw=8), dtoh(ROWS, A)],
    "a memset in between": [alloc(A, 288), htod(A, COLUMNS), memset(A, 72), dtoh(ROWS, A)],
    "new memory": [alloc(A, 288), htod(A, COLUMNS), free(A), alloc(A, 288), dtoh(ROWS, A)],
    "from the middle": [alloc(A, 576), htod(A, COLUMNS), dtoh(ROWS, A + 288)],
}


@pytest.mark.parametrize("events", TRANSPOSED.values(), ids=TRANSPOSED)
def test_transposed_data_are_found(events: list[m.Event]) -> None:
    assert codes(*events, among=["PG408"]) == [("PG408", 20)]


@pytest.mark.parametrize("events", IN_ORDER.values(), ids=IN_ORDER)
def test_data_in_order_are_right(events: list[m.Event]) -> None:
    assert codes(*events, among=["PG408"]) == []
