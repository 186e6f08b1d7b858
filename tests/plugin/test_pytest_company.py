"""The guard beside other plugins, and without those that pytest itself brings."""

from __future__ import annotations

import json
import re
from importlib import metadata
from xml.etree import ElementTree

import pytest
from plugin_support import CONFTEST, PLUGINS, ROOT

pytest.importorskip("pycuda")

pytest_plugins = ["pytester"]

HANGS = """
import contextlib
import time
import pytest
from conftest import cuda, overrun

def test_wrong(shared):
    overrun(shared)

@pytest.mark.timeout(2, method="thread")
def test_hangs(shared):
    with contextlib.suppress(cuda.LogicError):
        cuda.memset_d8(shared, 0, 401)
    time.sleep(60)

def test_after(shared):
    pass
"""

WRONG = """
import unittest
from conftest import cuda, overrun

class TestCase(unittest.TestCase):
    def test_wrong(self):
        overrun(cuda.mem_alloc(400))

def test_wrong(shared):
    overrun(shared)

def test_right(shared):
    pass
"""


def counts(pytester: pytest.Pytester) -> list[tuple[str, str, int]]:
    """Return code, file and count of each finding in the file of findings."""
    data = json.loads((pytester.path / "out.json").read_text(encoding="utf-8"))
    places = [(one["code"], one["location"]["file"], one["count"]) for one in data["findings"]]
    return sorted((code, file.rpartition("/")[2], count) for code, file, count in places)


@pytest.mark.parametrize("distribution", [(), ("-n", "1")], ids=["alone", "xdist"])
def test_a_timeout_that_ends_the_process_loses_no_finding(
    run, pytester: pytest.Pytester, distribution: tuple[str, ...]
) -> None:
    """That method of pytest-timeout ends the process in the middle of a test, a worker or pytest itself."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_hangs=HANGS)
    result = run("--pycuda-guard", "--pycuda-guard-json=out.json", *distribution)
    assert result.ret == 1
    assert counts(pytester) == [("PG201", "conftest.py", 1), ("PG201", "test_hangs.py", 1)]
    if distribution:
        result.assert_outcomes(failed=2, passed=1)  # the rest is run by another worker
        result.stdout.fnmatch_lines(
            ["*GUARD test_hangs.py::test_wrong*", "*FAILED test_hangs.py::test_hangs*"]
        )
        result.stdout.fnmatch_lines(["*Not checked: *the end of worker gw0*"])


def test_without_the_plugins_that_pytest_brings(run, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_wrong=WRONG)
    absent = (
        "junitxml",
        "skipping",
        "doctest",
        "logging",
        "capture",
        "assertion",
        "threadexception",
        "tmpdir",
    )
    plugins = ("pycuda_guard.pytest_plugin", *(f"no:{name}" for name in absent))
    result = run("--pycuda-guard", "--pycuda-guard-json=out.json", plugins=plugins)
    assert result.ret == 1
    result.assert_outcomes(failed=2, passed=1)
    assert counts(pytester) == [("PG201", "conftest.py", 2)]
    # without unittest's, the class has no tests
    fewer = run("--pycuda-guard", "--pycuda-guard-json=out.json", plugins=(*plugins, "no:unittest"))
    fewer.assert_outcomes(failed=1, passed=1)


def test_the_installed_plugin_is_found_and_can_be_left_out(
    run, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not any(one.name == "pycuda_guard" for one in metadata.entry_points(group="pytest11")):
        pytest.skip("the package is not installed here")
    monkeypatch.delenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_wrong=WRONG)
    found = run("--pycuda-guard", "--junitxml=out.xml", "-n", "2", plugins=("no:cacheprovider",))
    found.assert_outcomes(failed=2, passed=1)
    cases = {
        case.get("classname", ""): [one.get("value", "") for one in case.iter("property")]
        for case in ElementTree.parse(pytester.path / "out.xml").iter("testcase")
        if case.get("name") == "test_wrong"
    }
    assert set(cases) == {"test_wrong", "test_wrong.TestCase"}
    assert all(value.startswith("error[PG201] ") for values in cases.values() for value in values)
    assert all(len(values) == 1 for values in cases.values())
    # who asks for it and has it not is told so
    (pytester.path / "conftest.py").unlink()
    left_out = run("--pycuda-guard", plugins=("no:pycuda_guard",))
    assert left_out.ret == pytest.ExitCode.USAGE_ERROR
    left_out.stderr.fnmatch_lines(["*unrecognized arguments: --pycuda-guard*"])


def test_a_failed_set_up_of_a_module_or_a_class_is_charged_once(run, pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        test_set_up="""
        import unittest
        import pytest
        from conftest import cuda, overrun

        @pytest.fixture(scope="module", autouse=True)
        def memory():
            allocated = cuda.mem_alloc(400)
            overrun(allocated)
            yield allocated

        def test_first(memory):
            pass

        def test_second(memory):
            pass

        class TestCase(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                overrun(cuda.mem_alloc(400))
                raise RuntimeError("no class")

            def test_first(self):
                pass

            def test_second(self):
                pass
        """
    )
    result = run("--pycuda-guard", "--pycuda-guard-json=out.json", "-rA")
    # the fixture of the module passes, and its finding is that of the test for which it was set up
    result.assert_outcomes(failed=1, passed=1, errors=2)
    result.stdout.fnmatch_lines(["GUARD test_set_up.py::test_first*"])
    assert result.stdout.str().count("in setup:") >= 1
    assert counts(pytester) == [("PG201", "conftest.py", 2)]


UPLOAD = """
import contextlib
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda

def test_upload():
    numbers = np.zeros(100)
    memory = cuda.mem_alloc(400)
    with contextlib.suppress(cuda.LogicError):
        cuda.memcpy_htod(memory, numbers)
"""


def test_the_documentation_shows_what_is_printed(run, pytester: pytest.Pytester) -> None:
    (pytester.path / "test_upload.py").write_text(UPLOAD, encoding="utf-8")
    page = (ROOT / "docs" / "pytest.md").read_text(encoding="utf-8")
    found = re.search(r"^```\n(_+ test_upload _+\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    printed = run("--pycuda-guard").stdout.str()
    # the width of the screen is another one
    shown = re.sub(r"(?m)^([_-])\1+ (.*?) [_-]+$", r"\2", found[1])
    assert shown in re.sub(r"(?m)^([_-])\1+ (.*?) [_-]+$", r"\2", printed)


def test_every_plugin_in_these_tests_is_there() -> None:
    assert {"xdist", "pytest_timeout"} < set(PLUGINS)
    for name in ("xdist", "pytest_timeout", "anyio"):
        pytest.importorskip(name)
