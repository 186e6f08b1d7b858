"""``pytest --pycuda-guard``: real runs of pytest on the CPU device, each with many cases."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from plugin_support import CONFTEST

from pycuda_guard.hooks.hostfault import HostFaultWatch

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("pycuda")

pytest_plugins = ["pytester"]

TESTS = """
import threading
import unittest
import numpy as np
import pytest
import pycuda.driver as cuda
from conftest import overrun

def test_right(shared):
    cuda.memcpy_htod(shared, np.ones(100, np.float32))

def test_wrong(shared):
    overrun(shared)

def test_wrong_in_its_own_way():
    small = cuda.mem_alloc(40)
    overrun(small)

@pytest.mark.parametrize("count", [99, 100, 150])
def test_parameters(shared, count):
    try:
        cuda.memcpy_htod(shared, np.zeros(count, np.float32))
    except cuda.LogicError:
        pass

def test_setup_is_wrong(faulty_setup):
    print("the test itself has run")

def test_teardown_raises(faulty_teardown):
    pass

def test_expects_an_error(shared):
    with pytest.raises(cuda.LogicError):
        cuda.memcpy_htod(shared, np.zeros(102, np.float32))

def test_handles_an_error():
    try:
        cuda.mem_alloc(1 << 60)
    except cuda.MemoryError:
        pass

def test_fails_of_an_error():
    cuda.mem_alloc(1 << 60)

def test_error_in_a_thread():
    def work():
        context = cuda.Device(0).make_context()
        try:
            cuda.mem_alloc(1 << 59)
        finally:
            context.pop()
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

def test_skips_after_an_error():
    try:
        cuda.mem_alloc(1 << 60)
    except cuda.MemoryError:
        pytest.skip("not enough memory")

@pytest.mark.xfail(strict=True)
def test_known_to_be_wrong(shared):
    overrun(shared)

def test_note(shared):
    stream = cuda.Stream()
    cuda.memcpy_dtoh_async(np.empty(100, np.float32), shared, stream)
    stream.synchronize()

class TestCase(unittest.TestCase):
    def test_expects(self):
        with self.assertRaises(cuda.MemoryError):
            cuda.mem_alloc(1 << 60)

    def test_fails(self):
        cuda.memcpy_htod(cuda.mem_alloc(4), np.zeros(2))
"""

#: the tests above that do not pass: letter, code and severity of their findings
EXPECTED = {
    "test_wrong": "PG201",
    "test_wrong_in_its_own_way": "PG201",
    "test_parameters[150]": "PG201",
    "test_setup_is_wrong": "PG201",
    "test_teardown_raises": "PG201",
    "test_fails_of_an_error": "PG209",
    "test_error_in_a_thread": "PG209",
    "TestCase::test_fails": "PG201",
}


def findings(path: Path) -> list[tuple[str, str, int]]:
    """Return code, severity and count of the findings in a JSON file, in order."""
    data = json.loads(path.read_text(encoding="utf-8"))
    assert set(data) == {"version", "findings", "suppressed"}
    assert data["version"] == 1
    return sorted((one["code"], one["severity"], one["count"]) for one in data["findings"])


def short_summary(result: pytest.RunResult) -> dict[str, str]:
    """Return the words that the short summary has for the tests that have not passed."""
    rows = [line.split() for line in result.outlines]
    words = ("FAILED", "ERROR", "GUARD", "XFAIL", "SKIPPED")
    return {row[1].partition("::")[2]: row[0] for row in rows if len(row) > 1 and row[0] in words}


def section_of(result: pytest.RunResult, test: str) -> str:
    """Return what is printed under the heading of a failed test."""
    lines = result.outlines
    start = next(i for i, line in enumerate(lines) if line.strip("_ ").endswith(test))
    end = next(i for i in range(start + 1, len(lines)) if lines[i].startswith(("____", "====")))
    return "\n".join(lines[start:end])


@pytest.mark.parametrize("distribution", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_each_test_is_guarded_by_itself(
    run, pytester: pytest.Pytester, distribution: tuple[str, ...]
) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    result = run("--pycuda-guard", "--pycuda-guard-json=out.json", "-rfEx", *distribution)
    assert result.ret == 1, result.stdout.str() + result.stderr.str()
    result.assert_outcomes(passed=8, failed=7, errors=1, skipped=1, xfailed=1)

    failed = {name: word for name, word in short_summary(result).items() if word != "XFAIL"}
    own = {"test_fails_of_an_error", "TestCase::test_fails"}
    assert failed == {
        name: "ERROR" if name == "test_teardown_raises" else "FAILED" if name in own else "GUARD"
        for name in EXPECTED
    }
    for name, code in EXPECTED.items():
        text = section_of(result, name.replace("::", "."))
        assert f"error[{code}]" in text, name
        assert "-- pycuda-guard --" in text, name
        assert "hooks" not in text, name  # no frames of the guard in the traceback
    assert "`small` holds 40 bytes" in section_of(result, "test_wrong_in_its_own_way")
    assert "small" not in section_of(result, "test_wrong")
    assert "copy of 600 bytes" in section_of(result, "test_parameters[150]")
    setup = section_of(result, "test_setup_is_wrong")
    assert "in setup:" in setup and "the test itself has run" in setup

    summary = result.stdout.str().rpartition("= pycuda-guard =")[2]
    assert "note[PG106]" in summary and "(handled by the program)" in summary
    assert "pycuda-guard: 6 errors, 5 notes on the CPU device (" in summary
    assert "Not checked: races inside kernels (--races)." in summary
    assert "error[" not in summary.partition("short test summary")[0]
    assert findings(pytester.path / "out.json") == [
        ("PG106", "note", 1),
        ("PG201", "error", 1),  # test_parameters[150]
        ("PG201", "error", 1),  # test_teardown_raises
        ("PG201", "error", 1),  # TestCase::test_fails
        ("PG201", "error", 4),  # overrun(), which the test known to be wrong calls, too
        ("PG201", "note", 1),
        ("PG209", "error", 1),
        ("PG209", "error", 1),
        ("PG209", "note", 1),
        ("PG209", "note", 1),
        ("PG209", "note", 1),
    ]


OUTSIDE = """
import numpy as np
import pycuda.driver as cuda
from conftest import overrun

overrun(cuda.mem_alloc(400))
event, stream = cuda.Event(), cuda.Stream()
stream.wait_for_event(event)

def test_right():
    assert True
"""


def test_what_happens_outside_of_tests_fails_the_run(run, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(OUTSIDE)
    result = run("--pycuda-guard", "--pycuda-guard-json=alone.json")
    result.assert_outcomes(passed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "found outside of tests:",
            "error[[]PG201[]]*",
            "warning[[]PG107[]]*",
            "pycuda-guard: the run fails: 1 finding outside of tests",
            "pycuda-guard: 1 error, 1 warning on the CPU device*",
        ]
    )
    again = run("--pycuda-guard", "-n1", "--pycuda-guard-json=xdist.json", "-p", "no:terminal")
    assert again.ret == 1
    assert findings(pytester.path / "alone.json") == findings(pytester.path / "xdist.json")
    assert findings(pytester.path / "alone.json") == [("PG107", "warning", 1), ("PG201", "error", 1)]
    never = run("--pycuda-guard", "--pycuda-guard-fail-on=never", "--pycuda-guard-quiet", "-q")
    assert never.ret == 0
    assert "error[PG201]" in never.stdout.str() and "Checked" not in never.stdout.str()


def test_a_warning_may_fail_a_test_and_no_test_ends_the_guarding(run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import numpy as np
        import pycuda.autoinit
        from pycuda import gpuarray
        from pycuda.compiler import SourceModule

        def test_type():
            kernel = SourceModule("__global__ void f(float *x) { x[0] = 1; }").get_function("f")
            kernel(gpuarray.to_gpu(np.ones(100)), block=(1, 1, 1), grid=(1, 1))

        def test_ends_it():
            import pycuda_guard
            pycuda_guard.disable()
        """
    )
    result = run("--pycuda-guard")
    result.assert_outcomes(passed=2)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "found in tests:",
            "warning[[]PG403[]]*",
            "pycuda-guard: the run fails: *::test_ends_it ended the guarding*: nothing after it was checked",
        ]
    )
    stricter = run("--pycuda-guard", "--pycuda-guard-fail-on=warning", "--tb=line", "-k", "type")
    stricter.assert_outcomes(failed=1, deselected=1)


CRASH = """
import ctypes
import pycuda.autoinit
import pycuda.driver as cuda

def test_touches_device_memory():
    memory = cuda.mem_alloc(400)
    ctypes.memset(int(memory), 1, 4)
"""


@pytest.mark.skipif(not HostFaultWatch.is_available, reason="the C extension is not built")
@pytest.mark.parametrize("distribution", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_test_that_kills_its_process(run, pytester: pytest.Pytester, distribution: tuple[str, ...]) -> None:
    pytester.makepyfile(CRASH)
    result = run("--pycuda-guard", "--pycuda-guard-json=out.json", *distribution)
    assert result.ret == (1 if distribution else -11)
    assert "error[PG204]" in result.stderr.str()
    assert findings(pytester.path / "out.json") == [("PG204", "error", 1)]
    if distribution:
        result.stdout.fnmatch_lines(["error[[]PG204[]]*", "*Not checked: the end of worker gw0,*"])


def test_a_run_that_cannot_be_guarded_fails(run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_right(): pass")
    pytester.makepyfile(early="from pycuda_guard import cpu\ncpu.load()\nimport pycuda.driver")
    gpu = run("--pycuda-guard", "--pycuda-guard-device=gpu")
    early = run("--pycuda-guard", "-p", "early")
    file = run("--pycuda-guard", "--pycuda-guard-json=missing/out.json")
    off = run("--pycuda-guard-json=out.json")
    for result, words in [
        (gpu, "can't guard this run: there is no GPU to use: *--pycuda-guard-device cpu*"),
        (early, "can't guard this run: pycuda.driver was imported before it could start*"),
        (file, "findings can't be written to missing/out.json*"),
        (off, "--pycuda-guard-json does nothing without --pycuda-guard"),
    ]:
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: *{words}"])
        assert "passed" not in result.stdout.str()


SEES_MODULES = """
import sys

def test_modules():
    guarded = [name for name in sys.modules if name.startswith("pycuda_guard.session")]
    assert not guarded and "wrapt" not in sys.modules and "numpy" not in sys.modules
"""


def test_off_it_does_nothing_and_without_pycuda_it_is_fine(run, pytester: pytest.Pytester) -> None:
    pytester.makepyfile(SEES_MODULES)
    off = run()
    off.assert_outcomes(passed=1)
    assert "pycuda-guard" not in off.stdout.str()
    assert run("--pycuda-guard", "-k", "absent").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    bare = run("--pycuda-guard", "--pycuda-guard-bare", "--pycuda-guard-device=cpu", "-k", "absent")
    bare.stdout.fnmatch_lines(["pycuda-guard: on the CPU device, bare: nothing is guarded"])
    assert "Checked" not in bare.stdout.str()
    pytester.makeini("[pytest]\npycuda_guard = true\naddopts = --pycuda-guard-device=cpu")
    on = run()
    on.assert_outcomes(failed=1)  # the guard is there now
    on.stdout.fnmatch_lines(["pycuda-guard: on the CPU device*", "pycuda-guard: nothing found on the CPU*"])
