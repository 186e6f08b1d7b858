"""PG404 over hand-made events."""

from __future__ import annotations

import pytest
from made_up.kernels import MOD, kernel, launch, module
from made_up.places import where
from made_up.process import context, ended, failed
from made_up.verdicts import codes, findings, run

from pycuda_guard.events import model as m
from pycuda_guard.findings import Severity

INVALID = "invalid argument"
MANY = "too many resources requested for launch"


def limits(threads: int = 1024, static: int = 0, dynamic: int = 49152) -> m.FunctionLimits:
    return m.FunctionLimits(*where(15), MOD, "k", threads, static, dynamic, registers=96)


FIRING = {
    "too many threads": launch("k", block=(32, 64, 1), line=10),
    "too many threads in a row": launch("k", block=(2048, 1, 1), line=10),
    "too deep": launch("k", block=(1, 1, 128), line=10),
    "grid too high": launch("k", grid=(1, 70000), line=10),
    "empty grid": launch("k", grid=(0, 1), line=10),
    "empty block": launch("k", block=(32, 0, 1), line=10),
    "negative grid": launch("k", grid=(-1, 1), line=10),
    "too much shared memory": launch("k", shared=64000, line=10),
    "beyond the opt-in": launch("k", shared=300000, line=10),
}

SILENT = {
    "exactly 1024": launch("k", block=(32, 32, 1)),
    "deepest block": launch("k", block=(16, 1, 64)),
    "longest grid": launch("k", grid=(2**31 - 1,)),
    "highest grid": launch("k", grid=(1, 65535, 65535)),
    "exactly 48 KiB": launch("k", shared=49152),
    "one thread": launch("k", block=(1, 1, 1)),
    "block of two numbers": launch("k", block=(32, 32)),
    "no block": launch("k", block=()),
}


@pytest.mark.parametrize("event", FIRING.values(), ids=FIRING)
def test_fires_when_the_launch_failed(event: m.Launch) -> None:
    assert codes(context(), event, failed(INVALID)) == [("PG404", 10)]


@pytest.mark.parametrize("event", FIRING.values(), ids=FIRING)
def test_stays_silent_when_it_did_not(event: m.Launch) -> None:
    assert codes(context(), event) == []


@pytest.mark.parametrize("event", SILENT.values(), ids=SILENT)
def test_stays_silent_within_the_limits(event: m.Launch) -> None:
    assert codes(context(), event, failed(INVALID)) == []


def test_registers_come_from_the_function() -> None:
    launched = launch("k", block=(1024, 1, 1), line=10)
    (finding,) = findings(context(), launched, limits(threads=640), failed(MANY))
    assert "a block of 1024 threads exceeds the 640 that fit: each uses 96" in finding.message
    assert finding.help == "block=(512, 1, 1) with grid=(2, 1, 1) covers the same threads"


def test_launch_bounds_come_from_the_signature() -> None:
    events = [
        context(),
        module(kernel("k", max_threads=128)),
        launch("k", block=(256, 1, 1)),
        failed(INVALID),
    ]
    (finding,) = findings(*events)
    assert "__launch_bounds__" in finding.message


def test_shared_memory_that_was_opted_in_is_allowed() -> None:
    assert codes(context(), launch("k", shared=64000), limits(dynamic=65536), failed(INVALID)) == []


def test_static_shared_memory_counts() -> None:
    events = [context(), module(kernel("k", static_shared=40000)), launch("k", shared=20000), failed(INVALID)]
    (finding,) = findings(*events)
    assert "the 9152 that the kernel may use beside its 40000 static ones" in finding.message
    assert "MAX_DYNAMIC_SHARED_SIZE_BYTES, 20000" in finding.help


def test_tells_which_block_and_grid_fit() -> None:
    (finding,) = findings(context(), launch("k", block=(32, 64, 1), grid=(3, 2)), failed(INVALID))
    assert "32×64×1 = 2048 threads exceeds the device's limit of 1024" in finding.message
    assert finding.help == "block=(32, 32, 1) with grid=(3, 4, 1) covers the same threads"


def test_tells_how_to_round_up() -> None:
    (finding,) = findings(context(), launch("k", block=(256, 1, 1), grid=(0, 1)), failed(INVALID))
    assert "(n + 255) // 256" in finding.help


def test_needs_no_device_for_an_empty_grid() -> None:
    assert codes(launch("k", grid=(0, 1), line=10), failed(INVALID)) == [("PG404", 10)]
    assert codes(launch("k", block=(2048, 1, 1), line=10), failed(INVALID)) == []


@pytest.mark.parametrize(
    ("escaped", "severity"), [((3,), Severity.ERROR), ((), Severity.NOTE), ((99,), Severity.NOTE)]
)
def test_is_a_note_if_the_program_handles_it(escaped: tuple[int, ...], severity: Severity) -> None:
    (finding,) = run(context(), launch("k", grid=(0, 1)), failed(INVALID), ended(escaped)).findings
    assert finding.severity is severity
