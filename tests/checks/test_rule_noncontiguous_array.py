"""PG407 over hand-made events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from made_up.copies import dtoh, host, htod
from made_up.kernels import launch
from made_up.memory import A, B, alloc
from made_up.process import ended, failed
from made_up.verdicts import codes, findings

from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events import model as m

COLUMN = host(200, contiguous=False, order=None)

FIRING = {
    "source": [alloc(A, 800), htod(A, COLUMN), failed(error="ValueError")],
    "destination": [alloc(A, 800), dtoh(COLUMN, A, line=10), failed(error="ValueError")],
    "asynchronous": [alloc(A, 800), htod(A, COLUMN, asynchronous=True), failed(error="BufferError")],
}

SILENT = {
    "PyCUDA copied it after all": [alloc(A, 800), htod(A, COLUMN)],
    "contiguous": [alloc(A, 800), htod(A, host(200)), failed(error="ValueError")],
    "Fortran order": [alloc(A, 800), htod(A, host((20, 10), order="F")), failed(error="ValueError")],
    "the driver failed it": [alloc(A, 800), alloc(B, 1), htod(A, COLUMN), failed("unknown error")],
    "another call failed": [alloc(A, 800), htod(A, COLUMN), launch("k"), failed(error="ValueError")],
}


@pytest.mark.parametrize("events", FIRING.values(), ids=FIRING)
def test_fires(events: list[m.Event]) -> None:
    assert ("PG407", 10) in codes(*events)


@pytest.mark.parametrize("events", SILENT.values(), ids=SILENT)
def test_stays_silent(events: list[m.Event]) -> None:
    assert not codes(*events, among=["PG407"])


def test_says_what_to_copy_instead() -> None:
    (finding,) = findings(alloc(A, 800), htod(A, COLUMN), failed(error="ValueError"))
    assert "the host array (200 float32) is not contiguous" in finding.message
    assert finding.help == "copy np.ascontiguousarray(array)"


def test_is_a_note_if_the_program_handles_it() -> None:
    events = [alloc(A, 800), htod(A, COLUMN), failed(error="ValueError")]
    assert [f.severity for f in findings(*events, ended())] == [Severity.NOTE]
    events = [alloc(A, 800), htod(A, COLUMN), failed(error="ValueError")]
    assert [f.severity for f in findings(*events, ended((3,)))] == [Severity.ERROR]
