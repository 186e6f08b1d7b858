"""Splits the findings of a process by test, has tests fail for theirs, and reports on the run.

One session guards the process from its start to its end, so that what fixtures and other tests
have made stays known; its findings are taken at the end of each phase of each test. The reports
carry them, and under xdist bring them home.
"""

from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pycuda_guard.errors import StartError
from pycuda_guard.findings import Finding, Severity
from pycuda_guard.pytest_plugin import summary
from pycuda_guard.pytest_plugin.expectations import Expectations
from pycuda_guard.pytest_plugin.tally import PROPERTY, Parcel, Tally, parcel_of
from pycuda_guard.reports.json_report import JsonReport
from pycuda_guard.reports.terminal import render
from pycuda_guard.session import devices
from pycuda_guard.session.uncaught import trim

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Sequence
    from typing import TextIO

    from pycuda_guard.session import Session

#: how a test is left that has neither passed nor failed: what it did before was no failure of its own
ABANDONED = (pytest.skip.Exception, pytest.xfail.Exception, unittest.SkipTest)

#: keys of what xdist's controller and its workers tell each other
INPUT, OUTPUT = "pycuda_guard_file", "pycuda_guard"


class Screen:
    """Passes on what the session shows; pytest's reports are where it is read."""

    manager: Manager | None = None

    def announce(self, text: str) -> None:
        """Say nothing: the header does."""

    def complain(self, text: str) -> None:
        """Have the run fail: the guard is broken."""
        if self.manager is not None:
            self.manager.failures.append(text)

    def show(self, finding: Finding) -> None:
        """Take a new finding before the driver sees the call."""
        if self.manager is not None:
            self.manager.found(finding)

    def finish(
        self,
        findings: Sequence[Finding],
        *,
        live: Collection[str],
        device: str,
        blind: Sequence[str],
        suppressed: Sequence[Finding] = (),
        left_out: Collection[str] = (),
    ) -> None:
        """Say nothing: the summary does."""


class Manager:
    """The plugin object of one guarded process: pytest itself, xdist's controller, or a worker."""

    def __init__(self, session: Session, json_file: str | None, stderr: TextIO | None) -> None:
        #: sentences, each of which makes the run fail
        self.failures: list[str] = []
        self._session = session
        self._json_file = json_file
        self._stderr = stderr
        self._json: JsonReport | None = None
        self._part = session.open_part()
        self._carried: list[tuple[str, Finding]] = []
        self._tests = Tally()
        self._outside = Tally()
        self._blind: list[str] = []
        self._workers: dict[str, str] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._is_finished = False
        self._expectations = Expectations(session.uncaught.expect)

    # -- the run ----------------------------------------------------------------------------------

    def pytest_configure(self, config: pytest.Config) -> None:
        """Write the empty JSON file; raises UsageError if it can't be written."""
        self._is_worker = hasattr(config, "workerinput")
        if self._is_worker:
            self._json_file = config.workerinput.get(INPUT)  # type: ignore[attr-defined]
        if self._json_file:
            try:
                self._json = JsonReport(self._json_file)
            except StartError as error:
                raise pytest.UsageError(str(error)) from error

    def pytest_report_header(self) -> str:
        """Say what guards the tests."""
        level = self._session.config.fail_on
        fails = "no finding fails a test" if level == "never" else f"a test fails on: {level}"
        return f"pycuda-guard: on {devices.NAMES[self._session.device]}, {fails}"

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """End the guarded run, after the last fixtures' ends and before the terminal's summary."""
        try:
            return (yield)
        finally:
            self._finish(session)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the summary."""
        blind = [*self._blind, *(f"the end of worker {name}" for name in self._workers)]
        every = self._all()
        last_line = self._session.summary(every, list(dict.fromkeys(blind)))
        quiet = self._session.config.quiet
        summary.write(terminalreporter, self._tests, self._outside, self.failures, last_line, quiet=quiet)

    def pytest_unconfigure(self) -> None:
        """Leave the process as it was."""
        self._session.stop()
        self._expectations.stop()
        if self._folder is not None:
            self._folder.cleanup()
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None

    # -- one test ---------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Generator[None, object, object]:
        """Tell what is found in a test from what was found before it."""
        self._take_outside()
        return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self) -> Generator[None, object, object]:
        """Listen to threads during the phase; pytest may have put its own listener in front before."""
        with self._session.uncaught.watching_threads():
            return (yield)

    pytest_runtest_call = pytest_runtest_teardown = pytest_runtest_setup

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Take the findings of a phase, and have it fail for them.

        Those of a setup that has passed wait for the test: it runs as it would without the guard.
        """
        # pytest's unittest support keeps the exceptions of a TestCase there until its own hook runs.
        for caught in (call.excinfo, *(getattr(item, "_excinfo", None) or ())):
            if caught is not None:
                trim(caught.value)
                caught.traceback = caught.traceback.filter(_is_not_own)
        report = yield
        if call.excinfo is not None and not isinstance(call.excinfo.value, ABANDONED):
            self._session.uncaught.note(call.excinfo.value)
        found = self._carried + [(call.when, finding) for finding in self._session.take(self._part)]
        self._check_that_it_goes_on(item)
        if call.when == "setup" and report.passed:
            self._carried = found
            return report
        self._carried = []
        return self._charge(item, call, report, found) if found else report

    def pytest_exception_interact(
        self, node: pytest.Item | pytest.Collector, call: pytest.CallInfo[Any]
    ) -> None:
        """Note an exception that ends the import of a test module."""
        if not isinstance(node, pytest.Item) and call.excinfo is not None:
            self._session.uncaught.note(call.excinfo.value)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Give a test that fails for its findings alone a letter of its own."""
        parcel = parcel_of(getattr(report, "user_properties", ()))
        if parcel is None or not parcel.is_cause or not report.failed:
            return None
        return "failed" if report.when == "call" else "error", "G", "GUARD"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count in what a test has brought, from this process or from a worker."""
        if self._is_worker:
            return
        parcel = parcel_of(report.user_properties)
        if parcel is not None:
            self._tests.add(parcel.findings, is_shown=report.failed)
            self._write_json()

    # -- xdist ------------------------------------------------------------------------------------

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Name the file in which a worker leaves what it has not brought home, should it die."""
        if not node.gateway.spec.popen:
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="pycuda-guard-")
        path = Path(self._folder.name) / f"{node.gateway.id}.json"
        node.workerinput[INPUT] = self._workers[node.gateway.id] = str(path)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a worker has found outside of tests, or left behind when it died."""
        packed = getattr(node, "workeroutput", {}).get(OUTPUT)
        if packed is not None:
            self._workers.pop(node.gateway.id, None)
            parcel = Parcel.unpack(packed)
            self._outside.add(parcel.findings)
            self._blind += parcel.blind
            self.failures += parcel.failures
        elif node.gateway.id in self._workers:
            path = Path(self._workers[node.gateway.id])
            if path.exists():
                left = json.loads(path.read_text(encoding="utf-8"))["findings"]
                self._tests.add_unknown(Finding.from_json(finding) for finding in left)

    # -- what the session calls ---------------------------------------------------------------------

    def found(self, finding: Finding) -> None:
        """Take a new error or warning at once, on any thread: the call may kill the process."""
        self._write_json()
        if self._session.is_dying and self._stderr is not None:
            print(f"\n{render(finding)}", file=self._stderr, flush=True)

    # -- inside -------------------------------------------------------------------------------------

    def _charge(
        self,
        item: pytest.Item,
        call: pytest.CallInfo[None],
        report: pytest.TestReport,
        found: list[tuple[str, Finding]],
    ) -> pytest.TestReport:
        """Return the report of a phase in which something was found."""
        failing = [finding for _, finding in found if self._session.fails(finding)]
        is_cause = bool(failing) and not report.failed
        if is_cause:
            # Before other plugins look at it, so that xfail, --pdb and their like see a failed test.
            call.excinfo = _failure(summary.headline(failing))
            report = pytest.TestReport.from_item_and_call(item, call)
            _place(report, failing[0])
        bad = [one for one in found if one[1].severity is not Severity.NOTE]
        if bad:
            report.sections.append((summary.TITLE, summary.section(bad)))
        parcel = Parcel(tuple(finding for _, finding in found), is_cause)
        report.user_properties.append((PROPERTY, parcel.pack()))
        return report

    def _check_that_it_goes_on(self, item: pytest.Item) -> None:
        """Notice a test that ends the guarding: nothing after it is guarded."""
        if self._session.is_over and not self._is_finished:
            self._is_finished = True
            self.failures.append(
                f"{item.nodeid} ended the guarding (pycuda_guard.finish() or disable()): "
                "nothing after it was checked"
            )

    def _take_outside(self) -> None:
        self._outside.add([finding for _, finding in self._carried])
        self._carried = []
        self._outside.add(self._session.take(self._part))

    def _finish(self, session: pytest.Session) -> None:
        """Apply the rules for the end of a run, and settle the exit status."""
        self._is_finished = True
        self._session.finish()
        self._take_outside()
        if self._is_worker:
            parcel = Parcel(
                tuple(self._outside.findings),
                blind=tuple(self._session.blind_spots()),
                failures=tuple(self.failures),
            )
            session.config.workeroutput[OUTPUT] = parcel.pack()  # type: ignore[attr-defined]
            return
        self._blind += self._session.blind_spots()
        count = sum(self._session.fails(finding) for finding in self._outside.findings)
        if count:
            self.failures.append(f"{count} finding{'s' if count > 1 else ''} outside of tests")
        self._write_json()
        if self.failures and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _all(self) -> list[Finding]:
        """Return everything that is known now."""
        every = Tally()
        every.add(self._tests.findings)
        every.add(self._outside.findings)
        every.add([finding for _, finding in self._carried])
        every.add(self._session.peek(self._part))
        return every.findings

    def _write_json(self) -> None:
        if self._json is None:
            return
        try:
            self._json.write(self._all())
        except OSError as error:
            self._json = None
            self.failures.append(f"{self._json_file} can't be written: {error.strerror}")


def _failure(text: str) -> pytest.ExceptionInfo[BaseException]:
    """Return the exception of a test that fails because of ``text``."""
    try:
        pytest.fail(text, pytrace=False)
    except pytest.fail.Exception:
        return pytest.ExceptionInfo.from_current()


def _is_not_own(entry: Any) -> bool:
    return not str(entry.frame.f_globals.get("__name__")).startswith("pycuda_guard.")


def _place(report: pytest.TestReport, finding: Finding) -> None:
    """Have a failed report point to the line of the finding rather than to this file."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None and finding.location is not None:
        crash.path, crash.lineno = finding.location.file, finding.location.line
