"""Markers, the fixture, suppression, and tests of other plugins, under ``pytest --pycuda-guard``."""

from __future__ import annotations

import functools
import json
from xml.etree import ElementTree

import pytest
from plugin_support import CONFTEST

pytest.importorskip("pycuda")
pytest.importorskip("anyio")

pytest_plugins = ["pytester"]

TESTS = '''
import contextlib
import time
import unittest
import anyio
import numpy as np
import pytest
import pycuda.driver as cuda
from pycuda import gpuarray
from pycuda.compiler import SourceModule
from conftest import overrun

module = SourceModule("""
__global__ void one(float *x) { x[threadIdx.x] = 1; }
__global__ void race(float *x) { x[0] = threadIdx.x; }
""")
one, race = module.get_function("one"), module.get_function("race")

def documented():
    """
    >>> import numpy as np, pycuda.driver as cuda
    >>> memory = cuda.mem_alloc(8)
    >>> try:
    ...     cuda.memcpy_htod(memory, np.zeros(100))
    ... except cuda.LogicError:
    ...     print("refused")
    refused
    """

@pytest.mark.pycuda_guard(ignore=["PG201"])
def test_ignores(shared):
    overrun(shared)

@pytest.mark.pycuda_guard(ignore=["PG3", "PG1"])
def test_ignores_something_else(shared):
    overrun(shared)

@pytest.mark.pycuda_guard(fail_on="warning")
def test_is_strict():
    one(gpuarray.to_gpu(np.ones(10)), block=(10, 1, 1), grid=(1, 1))

def test_is_not_strict():
    one(gpuarray.to_gpu(np.ones(10)), block=(10, 1, 1), grid=(1, 1))

@pytest.mark.pycuda_guard(fail_on="never")
def test_never_fails(shared):
    overrun(shared)

@pytest.mark.pycuda_guard(fail_on="warning")
@pytest.mark.pycuda_guard_expect("PG201")
def test_expects(shared):
    overrun(shared)

@pytest.mark.pycuda_guard_expect("PG201")
def test_expects_what_does_not_come(shared):
    pass

@pytest.mark.pycuda_guard_expect("PG201", "PG202")
def test_expects_two(shared):
    overrun(shared)

@pytest.mark.pycuda_guard_expect("PG202")
def test_expects_another(shared):
    overrun(shared)

@pytest.mark.pycuda_guard_expect("PG201")
def test_expects_and_skips(shared):
    pytest.skip("no")

def test_comment(shared):
    with contextlib.suppress(cuda.LogicError):
        cuda.memcpy_htod(shared, np.zeros(100))  # pycuda-guard: ignore[PG201] known for long
    cuda.Context.synchronize()  # pycuda-guard: ignore[PG106]

@pytest.mark.pycuda_guard(ignore=["PG299"])
def test_marker_with_a_code_that_there_is_not():
    raise AssertionError("must not run")

@pytest.mark.pycuda_guard(fail_of="error")
def test_marker_with_a_keyword_that_there_is_not():
    raise AssertionError("must not run")

@pytest.mark.pycuda_guard_expect("PG2O1")
def test_expects_a_code_that_there_is_not():
    raise AssertionError("must not run")

def test_fixture(pycuda_guard, shared):
    assert pycuda_guard.findings == []
    with pycuda_guard.expect("PG201"):
        overrun(shared)
    assert pycuda_guard.findings == []
    cuda.memcpy_htod(shared, np.zeros(100, np.float32))
    kinds = [type(event).__name__ for event in pycuda_guard.timeline]
    assert kinds.count("Copy") == 2 and "Allocated" not in kinds

def test_fixture_shows_findings(pycuda_guard, shared):
    overrun(shared)
    overrun(shared)
    assert [finding.code for finding in pycuda_guard.findings] == ["PG201"]
    assert pycuda_guard.findings[0].count == 2

def test_fixture_expects_what_does_not_come(pycuda_guard, shared):
    with pycuda_guard.expect("PG201"):
        pass

def test_fixture_expects_a_code_that_there_is_not(pycuda_guard, shared):
    with pycuda_guard.expect("PG2"):
        pass

@pytest.mark.pycuda_guard(races=True)
def test_races():
    race(gpuarray.zeros(10, np.float32), block=(64, 1, 1), grid=(1, 1))

@pytest.mark.anyio
async def test_async(shared):
    await anyio.sleep(0)
    overrun(shared)

def test_broken_setup(broken):
    pass

class TestCase(unittest.TestCase):
    def setUp(self):
        overrun(cuda.mem_alloc(400))

    def test_method(self):
        if self._testMethodName == "test_method":
            raise ValueError("of its own")

@pytest.mark.timeout(1, method="signal")
def test_hangs(shared):
    overrun(shared)
    time.sleep(30)

def test_right(shared):
    cuda.memcpy_htod(shared, np.zeros(100, np.float32))
'''

#: what the tests above end with, where that is not PASSED
EXPECTED = {
    "test_ignores_something_else": "GUARD",
    "test_is_strict": "GUARD",
    "test_expects_what_does_not_come": "GUARD",
    "test_expects_two": "GUARD",
    "test_expects_another": "GUARD",
    "test_expects_and_skips": "SKIPPED",
    "test_marker_with_a_code_that_there_is_not": "ERROR",
    "test_marker_with_a_keyword_that_there_is_not": "ERROR",
    "test_expects_a_code_that_there_is_not": "ERROR",
    "test_fixture_shows_findings": "GUARD",
    "test_fixture_expects_what_does_not_come": "FAILED",
    "test_fixture_expects_a_code_that_there_is_not": "FAILED",
    "test_races": "GUARD",
    "test_async": "GUARD",
    "test_broken_setup": "ERROR",
    "TestCase::test_method": "FAILED",
    "test_hangs": "FAILED",
    "test_marks.documented": "GUARD",
}


@pytest.fixture
def run_marks(run, pytester: pytest.Pytester):
    """Return a function that runs the tests above, doctests too."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_marks=TESTS)
    return functools.partial(run, "--strict-markers", "--doctest-modules", "-rA")


def outcomes(result: pytest.RunResult) -> dict[str, str]:
    """Return the words that the short summary has for the tests."""
    text = result.stdout.str().rpartition("short test summary info")[2]
    rows = [line.split() for line in text.splitlines()]
    words = {row[1].partition("::")[2]: row[0] for row in rows if len(row) > 1 and "::" in row[1]}
    if "SKIPPED" in text:
        words["test_expects_and_skips"] = "SKIPPED"
    return words


@pytest.mark.parametrize("distribution", [("-v",), ("-q", "-n", "2")], ids=["alone", "xdist"])
def test_each_test_ends_as_its_markers_say(
    run_marks, pytester: pytest.Pytester, distribution: tuple[str, ...]
) -> None:
    files = ("--pycuda-guard-json=out.json", "--junitxml=out.xml", "--pycuda-guard-html=out.html")
    result = run_marks("--pycuda-guard", *files, "--pycuda-guard-record=run.pgr", *distribution)
    assert result.ret == 1, result.stdout.str() + result.stderr.str()
    ended = outcomes(result)
    assert {name: word for name, word in ended.items() if word != "PASSED"} == EXPECTED
    assert {"test_ignores", "test_is_not_strict", "test_never_fails", "test_expects", "test_comment"} <= set(
        ended
    )
    assert "must not run" not in result.stdout.str()

    text = " ".join(result.stdout.str().split())
    for words in (
        "PG202 was expected and not found",
        "@pytest.mark.pycuda_guard: there is no rule PG299",
        "@pytest.mark.pycuda_guard takes no 'fail_of' (did you mean fail_on?)",
        "@pytest.mark.pycuda_guard_expect: there is no rule PG2O1 (did you mean PG2",
        "expect: there is no rule PG2",
        "Timeout",
        "RuntimeError: the fixture is broken",
        "error[PG201] <doctest",
    ):
        assert words in text, words

    data = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))
    reasons = {(one["code"], one["reason"]) for one in data["suppressed"]}
    assert reasons == {
        ("PG201", "ignored by the test's marker"),
        ("PG201", "expected by the test"),
        ("PG201", "known for long"),
    }
    assert any(one["code"].startswith("PG50") for one in data["findings"])

    page = (pytester.path / "out.html").read_text(encoding="utf-8")
    assert "PG501" in page and "known for long" in page and "test_marks.py" in page

    cases = {case.get("name"): case for case in ElementTree.parse(pytester.path / "out.xml").iter("testcase")}
    properties = {
        name: [(one.get("name"), one.get("value")) for one in case.iter("property")]
        for name, case in cases.items()
    }
    assert properties["test_right"] == []
    ((name, value),) = properties["test_fixture_shows_findings"]
    assert name == "pycuda_guard" and value.startswith("error[PG201] conftest.py:9 copy-out-of-bounds")
    ((name, value),) = properties["test_comment"]
    assert name == "pycuda_guard_suppressed" and value.endswith("(known for long)")

    remark = "test_marks.py:72: ignore[PG106]: matched nothing in this run"
    if distribution[0] == "-v":
        assert "on the CPU device, kernels instrumented, races off, a test fails on: error" in text
        assert "suppressed (known for long): error[PG201]" in text and remark in text
    else:
        assert "kernels instrumented" not in text and "suppressed (known" not in text and remark not in text
    assert f"{len(data['suppressed'])} suppressed on the CPU device" in text


def test_configuration_and_no_guard(run_marks, pytester: pytest.Pytester) -> None:
    off = run_marks(
        "--pycuda-guard",
        "--pycuda-guard-bare",
        "--pycuda-guard-device=cpu",
        "-k",
        "test_fixture or test_expects",
    )
    off.assert_outcomes(skipped=10, deselected=15)  # nothing that needs the guard runs without it
    assert "needs --pycuda-guard" in off.stdout.str()
    pytester.makepyprojecttoml(
        """
        [tool.pytest.ini_options]
        pycuda_guard = true
        pycuda_guard_device = "cpu"
        pycuda_guard_fail_on = "warning"
        [tool.pycuda_guard]
        fail-on = "never"
        select = ["PG2", "PG4"]
        [tool.pycuda_guard.per-file-ignores]
        "conftest.py" = ["PG201"]
        """
    )
    on = run_marks("-k", "strict or ignores", "--pycuda-guard-write-baseline=old.json")
    on.assert_outcomes(passed=4)
    text = " ".join(on.stdout.str().split())
    assert "select PG2,PG4, a test fails on: warning" in text
    assert "1 suppressed" in text and "Not checked: PG1xx, PG3xx, PG5xx, PG6xx, PG9xx (left out" in text
    assert "matched nothing" not in text  # most tests have not run
    assert "2 findings written to old.json" in text
    known = run_marks("-k", "strict or ignores", "--pycuda-guard-baseline=old.json", "-n1")
    assert known.ret == 0 and "matched nothing" not in known.stdout.str(), known.stdout.str()
    new = run_marks("-k", "strict or ignores", "--pycuda-guard-ignore=PG1")
    new.assert_outcomes(passed=2, failed=2)
    wrong = run_marks("-o", "pycuda_guard_races=perhaps")
    assert wrong.ret == pytest.ExitCode.USAGE_ERROR
    wrong.stderr.fnmatch_lines(["ERROR: *pyproject.toml: pycuda_guard_races=perhaps is neither yes nor no*"])
    wrong = run_marks("--pycuda-guard-select=PG7")
    assert wrong.ret == pytest.ExitCode.USAGE_ERROR
    wrong.stderr.fnmatch_lines(["ERROR: *can't guard this run: select: there is no rule PG7*"])
