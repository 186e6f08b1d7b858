"""Splits the findings of a process by test, has tests fail for theirs, and reports on the run.

One session guards the process from its start to its end, so that what fixtures and other tests
have made stays known; its findings are taken at the end of each phase of each test. The reports
carry them, and under xdist bring them home.
"""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pycuda_guard.errors import StartError
from pycuda_guard.findings import Finding, Severity, fails
from pycuda_guard.pytest_plugin import summary
from pycuda_guard.pytest_plugin.current import Current, PycudaGuard
from pycuda_guard.pytest_plugin.expectations import Expectations
from pycuda_guard.pytest_plugin.marks import asks_for_races
from pycuda_guard.pytest_plugin.results import Results
from pycuda_guard.pytest_plugin.tally import ATTRIBUTE, Parcel, parcel_of
from pycuda_guard.reports.terminal import last_line, render
from pycuda_guard.session import devices
from pycuda_guard.session.uncaught import trim

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import TextIO

    from pycuda_guard.config import Config
    from pycuda_guard.session import Session
    from pycuda_guard.suppressions import Outcome

#: how a test is left that has neither passed nor failed: what it did before was no failure of its own
ABANDONED = (pytest.skip.Exception, pytest.xfail.Exception, unittest.SkipTest)

#: keys of what xdist's controller and its workers tell each other
INPUT, OUTPUT = "pycuda_guard_file", "pycuda_guard"


class Manager:
    """The plugin object of one guarded process: pytest itself, xdist's controller, or a worker."""

    def __init__(self, session: Session, options: Config, html: str, stderr: TextIO | None) -> None:
        self.results = Results(session, options, html, self._pending)
        self._session = session
        self._options = options
        self._stderr = stderr
        self._part = session.open_part()
        self._current: Current | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._is_finished = False
        self._expectations = Expectations(session.uncaught.expect)

    # -- the run ----------------------------------------------------------------------------------

    def pytest_configure(self, config: pytest.Config) -> None:
        """Write the empty JSON file; raises UsageError where a file can't be written."""
        self._is_worker = hasattr(config, "workerinput")
        self.results.is_partial = any("::" in argument for argument in config.args)
        json_file = self._options.json
        if self._is_worker:
            json_file = config.workerinput.get(INPUT)  # type: ignore[attr-defined]
        try:
            self.results.open_files(json_file)
        except StartError as error:
            raise pytest.UsageError(str(error)) from error

    def pytest_report_header(self) -> str:
        """Say what guards the tests."""
        return summary.header(self._options, devices.NAMES[self._session.device])

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """End the guarded run, after the last fixtures' ends and before the terminal's summary."""
        try:
            return (yield)
        finally:
            self._finish(session)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the summary."""
        results, run = self.results, self.results.run()
        summary.write(
            terminalreporter,
            results.tests,
            results.outside,
            summary.Rest(
                run.suppressed,
                [text for text, holds in results.remarks.items() if holds],
                results.failures,
                last_line(run),
            ),
            verbosity=-2 if self._options.quiet else terminalreporter.config.get_verbosity(),
        )

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
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Tell what is found in a test from what was found before it."""
        self._take_outside()
        current = self._current = Current(item, self._session.timeline.last_number, self._take)
        if current.marks.races:
            self._session.watch_races(on=True)
        try:
            return (yield)
        finally:
            if current.marks.races:
                self._session.watch_races(on=False)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_setup(self) -> Generator[None, object, object]:
        """Refuse markers that make no sense."""
        if self._current is not None and self._current.problem:
            pytest.fail(self._current.problem, pytrace=False)
        return (yield from self._phase("setup"))

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """Note that the test has run, all its subtests with it."""
        try:
            return (yield from self._phase("call"))
        finally:
            if self._current is not None:
                self._current.was_called = True

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_teardown(self) -> Generator[None, object, object]:
        """Tell what is found now from what was found before."""
        return (yield from self._phase("teardown"))

    def _phase(self, name: str) -> Generator[None, object, object]:
        """Listen to threads during a phase; pytest may have put its own listener in front before."""
        if self._current is not None:
            self._current.phase = name
        with self._session.uncaught.watching_threads():
            return (yield)

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
        current = self._current
        if current is None:
            return report
        current.collect()
        self._check_that_it_goes_on(item)
        if call.when == "setup" and report.passed:
            return report
        return self._charge(item, call, report, current)

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Look for races in the kernels of a module some of whose tests ask for it."""
        wants = isinstance(collector, pytest.Module) and asks_for_races(collector.path)
        if wants:
            self._session.watch_races(on=True)
        try:
            return (yield)
        finally:
            if wants:
                self._session.watch_races(on=False)

    def pytest_deselected(self) -> None:
        """Note that not all tests run: that an ignore matches nothing says little then."""
        self.results.is_partial = True

    def pytest_exception_interact(
        self, node: pytest.Item | pytest.Collector, call: pytest.CallInfo[Any]
    ) -> None:
        """Note an exception that ends the import of a test module."""
        if not isinstance(node, pytest.Item) and call.excinfo is not None:
            self._session.uncaught.note(call.excinfo.value)

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        """Give a test that fails for its findings alone a letter of its own."""
        parcel = parcel_of(report)
        if parcel is None or not parcel.is_cause or not report.failed:
            return None
        return "failed" if report.when == "call" else "error", "G", "GUARD"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count in what a test has brought, from this process or from a worker."""
        if self._is_worker:
            return
        parcel = parcel_of(report)
        if parcel is not None:
            self.results.add_test(parcel, is_shown=report.failed)

    # -- xdist ------------------------------------------------------------------------------------

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Name the file in which a worker leaves what it has not brought home, should it die."""
        if not node.gateway.spec.popen:
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="pycuda-guard-")
        path = Path(self._folder.name) / f"{node.gateway.id}.json"
        node.workerinput[INPUT] = self.results.workers[node.gateway.id] = str(path)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take what a worker has found outside of tests, or left behind when it died."""
        packed = getattr(node, "workeroutput", {}).get(OUTPUT)
        self.results.add_worker(node.gateway.id, None if packed is None else Parcel.unpack(packed))

    # -- what the session calls ---------------------------------------------------------------------

    def found(self, finding: Finding) -> None:
        """Take a new error or warning at once, on any thread: the call may kill the process."""
        self.results.write_json()
        if self._session.is_dying and self._stderr is not None:
            print(f"\n{render(finding)}", file=self._stderr, flush=True)

    def fixture(self) -> PycudaGuard:
        """Return what the fixture ``pycuda_guard`` gives to the test that is running."""
        assert self._current is not None
        return PycudaGuard(self._current, self._session.timeline.after)

    # -- inside -------------------------------------------------------------------------------------

    def _charge(
        self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport, current: Current
    ) -> pytest.TestReport:
        """Return the report of a phase with what was found in it, failed if it has to."""
        found, suppressed = current.hand_over()
        missing = current.missing if current.was_called and call.when == "call" and report.passed else []
        if not (found or suppressed or missing):
            return report
        failing = [finding for _, finding in found if self._fails(finding, current.marks.fail_on)]
        is_cause = bool(failing or missing) and not report.failed
        if is_cause:
            # Before other plugins look at it, so that xfail, --pdb and their like see a failed test.
            call.excinfo = _failure(summary.headline(failing, missing))
            report = pytest.TestReport.from_item_and_call(item, call)
            if failing:
                _place(report, failing[0])
        bad = [one for one in found if one[1].severity is not Severity.NOTE]
        if bad:
            report.sections.append((summary.TITLE, summary.section(bad)))
        properties = summary.properties(found, suppressed)
        item.user_properties += properties  # JUnit XML has those of the test's last report
        report.user_properties += properties
        parcel = Parcel(tuple(finding for _, finding in found), is_cause, suppressed=tuple(suppressed))
        setattr(report, ATTRIBUTE, parcel.pack())
        return report

    def _fails(self, finding: Finding, fail_on: str = "") -> bool:
        level = fail_on or self._options.fail_on
        return not self._options.write_baseline and fails(finding, level, strict=self._options.strict)

    def _take(self) -> Outcome:
        return self._session.take(self._part)

    def _check_that_it_goes_on(self, item: pytest.Item) -> None:
        """Notice a test that ends the guarding: nothing after it is guarded."""
        if self._session.is_over and not self._is_finished:
            self._is_finished = True
            self.results.failures.append(
                f"{item.nodeid} ended the guarding (pycuda_guard.finish() or disable()): "
                "nothing after it was checked"
            )

    def _take_outside(self) -> None:
        if self._current is not None:
            found, suppressed = self._current.hand_over()
            self.results.add_outside([finding for _, finding in found], suppressed)
            self._current = None
        outcome = self._take()
        self.results.add_outside(outcome.kept, outcome.suppressed)

    def _pending(self) -> list[Finding]:
        """Return what was found and no test has brought yet."""
        found = [] if self._current is None else [finding for _, finding in self._current.found]
        return found + self._session.peek(self._part).kept

    def _finish(self, session: pytest.Session) -> None:
        """Apply the rules for the end of a run, and settle the exit status."""
        self._is_finished = True
        self._session.finish()
        self._take_outside()
        results = self.results
        results.note(self._session.remarks())
        if self._is_worker:
            session.config.workeroutput[OUTPUT] = results.parcel().pack()  # type: ignore[attr-defined]
            return
        count = sum(self._fails(finding) for finding in results.outside.findings)
        if count:
            results.failures.append(f"{count} finding{'s' if count > 1 else ''} outside of tests")
        results.write()
        is_well = session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
        if results.failures and is_well:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


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
