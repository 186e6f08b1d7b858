"""Recording from inside a program: dumps, forked children, several processes, the option's values."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from made_up.recordings import copies

import pycuda_guard
from pycuda_guard import config
from pycuda_guard.errors import GuardError, StartError
from pycuda_guard.events import model as m
from pycuda_guard.events.reader import read
from pycuda_guard.session import timeline
from pycuda_guard.session.timeline import Timeline

ROOT = Path(__file__).resolve().parents[2]

needs_pycuda = pytest.mark.skipif(
    importlib.util.find_spec("pycuda") is None, reason="the programs use PyCUDA"
)


def run(script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    (cwd / "program.py").write_text(script, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "program.py"],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def count(path: Path, kind: type[m.Event]) -> int:
    recording = read(str(path))
    found = sum(type(event) is kind for event in recording.events())
    assert recording.problems == []
    return found


@needs_pycuda
def test_dump_holds_the_timeline_so_far(tmp_path: Path) -> None:
    done = run(
        """
import pycuda_guard
pycuda_guard.enable(device="cpu")
import pycuda.autoinit
import pycuda.driver as cuda
memories = [cuda.mem_alloc(64) for _ in range(5)]
pycuda_guard.dump("first.pgr")
memories += [cuda.mem_alloc(64) for _ in range(5)]
pycuda_guard.dump("second.pgr")
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert count(tmp_path / "first.pgr", m.Allocated) == 5
    assert count(tmp_path / "second.pgr", m.Allocated) == 10
    assert "mem_alloc" in "".join(read(str(tmp_path / "first.pgr")).sources.values())


def test_dump_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(GuardError, match="nothing is guarded"):
        pycuda_guard.dump(tmp_path / "run.pgr")


def timeline_of(**options: object) -> tuple[Timeline, list[BaseException]]:
    problems: list[BaseException] = []
    kept = Timeline(config.read(options, {}), lambda where, error: problems.append(error))
    kept.start("the CPU device", is_worker=False)
    return kept, problems


def test_the_memory_of_a_dump_is_bounded(tmp_path: Path) -> None:
    kept, _ = timeline_of()
    for event in copies(timeline.KEPT + 100):
        kept.add(event)
    kept.dump(str(tmp_path / "dump.pgr"), ())
    lost, *events = read(str(tmp_path / "dump.pgr")).events()
    assert isinstance(lost, m.EventsLost) and lost.first == 101
    assert len(events) == timeline.KEPT


def test_a_dump_does_not_replace_the_recording(tmp_path: Path) -> None:
    kept, _ = timeline_of(record=tmp_path / "run.pgr")
    with pytest.raises(GuardError, match="being recorded to"):
        kept.dump(str(tmp_path / "run.pgr"), ())
    with pytest.raises(GuardError, match="can't be recorded to"):
        kept.dump(str(tmp_path), ())
    kept.close(())


@needs_pycuda
@pytest.mark.parametrize(
    ("record", "child"), [("run.pgr", "run.{child}.pgr"), ("run-{pid}.pgr", "run-{child}.pgr")]
)
def test_a_forked_child_has_a_file_of_its_own(tmp_path: Path, record: str, child: str) -> None:
    done = run(
        f"""
import os, sys
import pycuda_guard
pycuda_guard.enable(device="cpu", record={record!r}, quiet=True)
import pycuda.driver as cuda
os.chdir("/")
silent = os.fork()
if not silent:
    sys.exit()
os.waitpid(silent, 0)
worker = os.fork()
cuda.init()
context = cuda.Device(0).make_context()
memories = [cuda.mem_alloc(64) for _ in range(3 if worker else 7)]
context.pop()
if worker:
    os.waitpid(worker, 0)
print(os.getpid(), worker)
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    (worker, _), (parent, _) = sorted(
        (line.split() for line in done.stdout.splitlines()), key=lambda p: int(p[1])
    )
    path = tmp_path / child.format(child=worker)
    files = {file.name for file in tmp_path.glob("*.pgr")}
    assert files == {path.name, record.format(pid=parent)}
    assert count(tmp_path / record.format(pid=parent), m.Allocated) == 3
    assert count(path, m.Allocated) == 7
    recording = read(str(path))
    assert (recording.start.process, recording.start.parent) == (int(worker), int(parent))
    assert sum(type(event) is m.RunEnded for event in recording.events()) == 1


@needs_pycuda
def test_a_process_of_multiprocessing_leaves_its_parents_file(tmp_path: Path) -> None:
    done = run(
        """
import multiprocessing
import pycuda_guard
pycuda_guard.enable(device="cpu", record="run.pgr", quiet=True)
import pycuda.driver as cuda

def work(number):
    cuda.init()
    context = cuda.Device(0).make_context()
    memories = [cuda.mem_alloc(64) for _ in range(number)]
    context.pop()

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=work, args=(6,))
    process.start()
    process.join()
    work(2)
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert count(tmp_path / "run.pgr", m.Allocated) == 2
    (other,) = tmp_path.glob("run.*.pgr")
    assert count(other, m.Allocated) == 6


@needs_pycuda
def test_threads_record_in_one_order(tmp_path: Path) -> None:
    done = run(
        """
import threading
import pycuda_guard
pycuda_guard.enable(device="cpu", record="run.pgr", quiet=True)
import pycuda.driver as cuda
cuda.init()

def work():
    context = cuda.Device(0).retain_primary_context()
    context.push()
    for _ in range(300):
        cuda.mem_alloc(64).free()
    context.pop()

threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    events = list(read(str(tmp_path / "run.pgr")).events())
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert sum(type(event) is m.Allocated for event in events) == 1200
    assert sum(type(event) is m.Freed for event in events) == 1200
    assert len({event.thread for event in events if type(event) is m.Freed}) == 4


@needs_pycuda
def test_a_full_disk_is_reported_and_the_program_goes_on(tmp_path: Path) -> None:
    done = run(
        """
import resource
import pycuda_guard
pycuda_guard.enable(device="cpu", record="run.pgr")
import pycuda.autoinit
import pycuda.driver as cuda
resource.setrlimit(resource.RLIMIT_FSIZE, (17 * 65536, resource.RLIM_INFINITY))
for _ in range(10_000):
    cuda.mem_alloc(64).free()
print("done")
""",
        tmp_path,
    )
    assert done.stdout.split() == ["done"]
    assert "PG903" in done.stderr and "the recorder, which now keeps the last events only" in done.stderr
    assert read(str(tmp_path / "run.pgr")).problems == []


@pytest.mark.parametrize(
    ("given", "size"), [(1 << 20, 1 << 20), ("500000", 500_000), ("500M", 500 << 20), ("2g", 2 << 30)]
)
def test_sizes(given: object, size: int) -> None:
    assert config.read({"record_limit": given}, {}).record_limit == size
    assert config.read({}, {"PYCUDA_GUARD_RECORD_LIMIT": str(given)}).record_limit == size


@pytest.mark.parametrize("given", ["1", "12 apples", "", -5, True, 3.5, "1T", "٣"])
def test_sizes_that_are_none(given: object) -> None:
    with pytest.raises(StartError, match="record_limit"):
        config.read({"record_limit": given}, {})
