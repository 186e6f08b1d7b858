"""PG901, PG902 and PG903 over hand-made events."""

from __future__ import annotations

from made_up.kernels import MOD, kernel, launch, module
from made_up.places import MAIN, where
from made_up.process import ended, late
from made_up.verdicts import codes, findings

from pycuda_guard.events import model as m
from pycuda_guard.findings import Severity


def cubin(line: int = 3, **fields: bool) -> m.ModuleLoaded:
    return m.ModuleLoaded(*where(line), MOD, None, "it is a prebuilt cubin", **fields)


def test_a_cubin_is_noted() -> None:
    (finding,) = findings(cubin())
    assert (finding.code, finding.severity) == ("PG901", Severity.NOTE)
    assert "it is a prebuilt cubin" in finding.message


def test_known_and_library_modules_are_not() -> None:
    assert codes(module(kernel("k")), cubin(library=True), module()) == []


def test_a_late_start_is_noted_once() -> None:
    (finding,) = findings(*[late("2 modules were loaded") for _ in range(2)])
    assert (finding.code, finding.count) == ("PG902", 2)


def test_guard_failures_are_told_apart_without_a_place() -> None:
    events = [m.GuardFailed(None, MAIN, 0, where, "boom") for where in ("a hook", "a hook", "another")]
    assert [(f.code, f.count) for f in findings(*events)] == [("PG903", 2), ("PG903", 1)]


def test_nothing_is_noted_otherwise() -> None:
    assert codes(launch("k"), ended()) == []
