"""Bounded recordings, full disks, and files that must not be touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_up.recordings import copies, record

from pycuda_guard.checks.engine import Engine
from pycuda_guard.errors import StartError
from pycuda_guard.events import model as m
from pycuda_guard.events.format import BLOCK, PAYLOAD
from pycuda_guard.events.reader import read
from pycuda_guard.events.recorder import SMALLEST_LIMIT

ROOT = Path(__file__).resolve().parents[2]

#: records until the file may not grow, then until the recorder has nothing left to do
FULL = """
import resource, sys
sys.path[:0] = sys.argv[3:]
from made_up.recordings import copies, record
blocks, count = 65536, int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (count * blocks, resource.RLIM_INFINITY))
print([str(problem) for problem in record(sys.argv[1], copies(20_000))])
"""


@pytest.mark.parametrize("limit", [SMALLEST_LIMIT, 10 * BLOCK])
@pytest.mark.parametrize("is_closed", [True, False])
def test_the_last_events_are_kept(tmp_path: Path, limit: int, is_closed: bool) -> None:
    events = copies(20_000)
    assert record(tmp_path / "run.pgr", events, limit=limit, is_closed=is_closed) == []
    assert (tmp_path / "run.pgr").stat().st_size <= limit + 16 * BLOCK
    recording = read(str(tmp_path / "run.pgr"))
    lost, *kept = recording.events()
    assert isinstance(lost, m.EventsLost)
    assert kept == events[-len(kept) :]
    assert lost.first == kept[0].sequence == recording.lost + 1
    assert len(kept) * 163 > limit - 2 * BLOCK
    assert recording.problems == []


def test_a_bounded_recording_of_a_short_run_is_whole(tmp_path: Path) -> None:
    events = copies(500)
    record(tmp_path / "run.pgr", events, limit=1 << 20)
    assert list(read(str(tmp_path / "run.pgr")).events()) == events


def test_records_across_blocks_of_a_ring(tmp_path: Path) -> None:
    events: list[m.Event] = []
    for number in range(1, 60):
        event = m.CallFailed(None, 11, 31, "f", 0, "Error", "x" * (number * 1717 % 60_000))
        event.sequence = number
        events.append(event)
    record(tmp_path / "run.pgr", events, limit=8 * BLOCK)
    lost, *kept = read(str(tmp_path / "run.pgr")).events()
    assert isinstance(lost, m.EventsLost)
    assert kept == events[-len(kept) :]


def test_a_record_larger_than_the_ring_is_said(tmp_path: Path) -> None:
    events = copies(3)
    large = m.CallFailed(None, 11, 31, "f", 0, "Error", "x" * (3 * PAYLOAD))
    large.sequence = 4
    (problem,) = record(tmp_path / "run.pgr", [*events, large, *copies(6)[4:]], limit=SMALLEST_LIMIT)
    assert "more than the recording may keep" in str(problem)
    assert [event.sequence for event in read(str(tmp_path / "run.pgr")).events()] == [1, 2, 3, 5, 6]


def test_rules_are_told_what_is_lost() -> None:
    engine = Engine()
    engine.feed(m.EventsLost(None, 0, 0, 123))
    engine.feed(m.RunEnded(None, 0, 0))
    (finding,) = engine.findings
    assert finding.code == "PG902"
    assert "events before #123 are not in the recording" in finding.message


@pytest.mark.parametrize("blocks", [17, 40])
def test_a_full_disk_makes_it_a_ring(tmp_path: Path, blocks: int) -> None:
    path = tmp_path / "run.pgr"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path), str(blocks), str(ROOT), str(ROOT / "tests")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.count("File too large") == 1
    assert path.stat().st_size <= blocks * BLOCK
    recording = read(str(path))
    lost, *kept = recording.events()
    assert isinstance(lost, m.EventsLost)
    assert [event.sequence for event in kept] == list(range(lost.first, 20_001))
    assert len(kept) * 163 > (blocks - 3) * BLOCK


def test_no_space_at_all_is_an_error_at_the_start(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "run.pgr"), "1", str(ROOT), str(ROOT / "tests")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "StartError: the run can't be recorded to" in done.stderr
    assert not (tmp_path / "run.pgr").exists()


def test_an_older_file_is_replaced_and_not_written_to(tmp_path: Path) -> None:
    """Another process may have it mapped: cutting it short would end that process."""
    path = tmp_path / "run.pgr"
    record(path, copies(10), is_closed=False)
    with path.open("rb") as older:
        record(path, copies(20))
        assert os.fstat(older.fileno()).st_size == 16 * BLOCK
    assert len(list(read(str(path)).events())) == 20


@pytest.mark.parametrize("target", [".", "/dev/null", "missing/run.pgr"])
def test_what_can_not_be_recorded_to_is_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(StartError, match="can't be recorded to"):
        record(tmp_path / target, [])
