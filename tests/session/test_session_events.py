"""The session takes events in any order, from any thread, and never lets the guard's failures out."""

from __future__ import annotations

import gc
import io
import json
import threading
from typing import TYPE_CHECKING

import pytest
from made_up.copies import host, htod
from made_up.kernels import launch
from made_up.memory import A, alloc
from made_up.places import CTX, MAIN

from pycuda_guard import config
from pycuda_guard.errors import StartError
from pycuda_guard.events import model as m
from pycuda_guard.reports.json_report import JsonReport
from pycuda_guard.reports.terminal import Terminal
from pycuda_guard.session import Session

if TYPE_CHECKING:
    from pathlib import Path


def session_with(**options: object) -> tuple[Session, io.StringIO]:
    """Return a session that has not wrapped anything, and what it prints to."""
    stream = io.StringIO()
    return Session(config.read(options, {}), Terminal(stream, quiet=False)), stream


def upload(nbytes: int, line: int = 4) -> m.Copy:
    return htod(A, host(nbytes, "uint8"), line)


def test_numbers_count_from_one() -> None:
    session, _ = session_with()
    assert [session.emit(alloc(A, 400, line=3)) for _ in range(3)] == [1, 2, 3]


def test_numbers_are_unique_across_threads() -> None:
    session, _ = session_with()
    numbers: list[int] = []

    def emit() -> None:
        numbers.extend([session.emit(upload(400)) for _ in range(200)])

    threads = [threading.Thread(target=emit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 801))


def test_an_event_during_another_waits_its_turn() -> None:
    """Printing a finding collects garbage, whose __del__ emits an event: as a real free would."""
    session, stream = session_with()
    inner: list[int] = []

    class Garbage:
        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            inner.append(session.emit(m.Freed(None, 11, 31, A, m.MemoryKind.DEVICE, "collected")))

    class Collecting(io.StringIO):
        def write(self, text: str) -> int:
            Garbage()
            gc.collect()
            return stream.write(text)

    session._output.screen._stream = Collecting()
    session.emit(alloc(A, 400, line=3))
    session.emit(upload(404))
    assert inner[0] == 3
    assert "PG201" in stream.getvalue()
    session.emit(upload(4, line=9))
    assert [finding.code for finding in session.findings] == ["PG201", "PG203"]


def test_a_failure_of_the_guard_becomes_a_finding() -> None:
    session, _ = session_with()
    session.guard_error("the hook of mem_alloc", ValueError("odd"))
    assert [finding.code for finding in session.findings] == ["PG903"]
    assert "ValueError: odd" in session.findings[0].message


@pytest.mark.parametrize(
    ("options", "failed"),
    [({}, False), ({"strict": True}, True), ({"strict": True, "fail_on": "never"}, False)],
)
def test_strict_makes_the_guards_own_findings_count(options: dict[str, object], failed: bool) -> None:
    session, _ = session_with(**options)
    session.guard_error("somewhere", ValueError("odd"))
    assert session.has_failed is failed


@pytest.mark.parametrize("level", ["error", "warning", "never"])
def test_level_of_failure(level: str) -> None:
    session, _ = session_with(fail_on=level)
    session.emit(alloc(A, 400, line=3))
    assert not session.has_failed
    session.emit(upload(404))
    assert session.has_failed is (level != "never")


def test_errors_are_printed_at_once_and_counted_at_the_end() -> None:
    session, stream = session_with()
    session.device = "cpu"
    session.emit(alloc(A, 400, line=3))
    session.emit(upload(404))
    assert stream.getvalue().startswith("error[PG201] copy-out-of-bounds")
    before = len(stream.getvalue())
    session.emit(upload(404))
    assert len(stream.getvalue()) == before
    session.finish()
    last = stream.getvalue()[before:].splitlines()
    assert last[0] == "error[PG201] script.py:4: 2 times in all"
    assert last[1].startswith("pycuda-guard: 1 error on the CPU device (")


def test_an_error_that_the_program_handles_is_printed_at_the_end_as_a_note() -> None:
    session, stream = session_with()
    session.device = "cpu"
    refused = launch("k", block=(0, 1, 1), raw=8)
    announced = session.emit(refused)
    session.emit(
        m.CallFailed(refused.site, MAIN, CTX, "__call__", announced, "LogicError", "x", "invalid argument")
    )
    assert "PG404" not in stream.getvalue()
    session.finish()
    assert "note[PG404]" in stream.getvalue()
    assert not session.has_failed


def test_a_disk_that_fills_is_said_once_and_the_program_goes_on(tmp_path: Path) -> None:
    session, stream = session_with()
    folder = tmp_path / "gone"
    folder.mkdir()
    session._output._json = JsonReport(str(folder / "out.json"))
    (folder / "out.json").unlink()
    folder.rmdir()
    session.emit(alloc(A, 400, line=3))
    session.emit(upload(404))
    session.emit(upload(408, line=5))
    assert stream.getvalue().count("can't be written any more") == 1
    assert [finding.code for finding in session.findings].count("PG903") == 1
    folder.mkdir()
    session.emit(upload(412, line=6))
    assert len(json.loads((folder / "out.json").read_text())["findings"]) == 4


def test_json_is_complete_after_every_new_finding(tmp_path: Path) -> None:
    session, _ = session_with()
    path = tmp_path / "out.json"
    session._output._json = JsonReport(str(path))
    assert json.loads(path.read_text()) == {"version": 1, "findings": [], "suppressed": []}
    session.emit(alloc(A, 400, line=3))
    for n in range(3):
        session.emit(upload(404 + n, line=10 + n))
        assert len(json.loads(path.read_text())["findings"]) == n + 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.json"]


@pytest.mark.parametrize("place", ["missing/out.json", "."])
def test_json_that_can_not_be_written_is_said_at_the_start(place: str, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="can't be written"):
        JsonReport(str(tmp_path / place))
