"""All that is known of a run of tests, and the files that are made of it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pycuda_guard.errors import GuardError
from pycuda_guard.findings import Finding
from pycuda_guard.pytest_plugin.tally import Parcel, Tally
from pycuda_guard.reports.files import check_writable, replace_text
from pycuda_guard.reports.json_report import JsonReport
from pycuda_guard.reports.run import merged_pairs
from pycuda_guard.suppressions import UNUSED, Outcome, write_baseline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pycuda_guard.config import Config
    from pycuda_guard.reports.run import Run
    from pycuda_guard.session import Session
    from pycuda_guard.suppressions import Suppressed


class Results:
    """What tests and processes have brought. ``pending()`` gives the findings that none has brought yet."""

    def __init__(
        self, session: Session, options: Config, html: str, pending: Callable[[], Iterable[Finding]]
    ) -> None:
        #: sentences, each of which makes the run fail
        self.failures: list[str] = []
        self.tests = Tally()
        self.outside = Tally()
        #: the files in which workers that have not come home leave what they have found, by their names
        self.workers: dict[str, str] = {}
        #: whether some tests do not run: that an ignore matches nothing says little then
        self.is_partial = False
        #: what there is to say of the ignores, and whether it holds
        self.remarks: dict[str, bool] = {}
        self._session = session
        self._pending = pending
        self._baseline = os.path.abspath(options.write_baseline) if options.write_baseline else ""
        self._page = os.path.abspath(html) if html else ""
        self._recording = os.path.abspath(options.record) if options.record else ""
        self._recordings = [options.record] if options.record else []
        self._json_file: str | None = None
        self._json: JsonReport | None = None
        self._suppressed: list[Suppressed] = []
        self._blind: list[str] = []

    def open_files(self, json_file: str | None) -> None:
        """Write the empty JSON file; raises StartError where that or another file can't be written."""
        self._json_file = json_file
        if json_file:
            self._json = JsonReport(json_file)
        if self._baseline:
            check_writable(Path(self._baseline), "the baseline")
        if self._page:
            check_writable(Path(self._page), "the page")

    # -- what comes in ------------------------------------------------------------------------------

    def add_test(self, parcel: Parcel, *, is_shown: bool) -> None:
        """Count in what the report of a test has brought; it shows the findings itself if ``is_shown``."""
        self.tests.add(parcel.findings, is_shown=is_shown)
        self._suppressed += parcel.suppressed
        self.write_json()

    def add_outside(self, findings: Iterable[Finding], suppressed: Iterable[Suppressed]) -> None:
        """Count in what was found outside of tests."""
        self.outside.add(findings)
        self._suppressed += suppressed

    def add_worker(self, name: str, parcel: Parcel | None) -> None:
        """Take what a worker has brought home at its end, or left behind when it died."""
        if parcel is not None:
            self.workers.pop(name, None)
            self.add_outside(parcel.findings, parcel.suppressed)
            self._blind += parcel.blind
            self.note(parcel.remarks)
            self._recordings += [parcel.recording] if parcel.recording else []
            self.failures += parcel.failures
        elif name in self.workers:
            path = Path(self.workers[name])
            if path.exists():
                left = json.loads(path.read_text(encoding="utf-8"))["findings"]
                self.tests.add_unknown(Finding.from_json(finding) for finding in left)

    def note(self, remarks: Mapping[str, bool]) -> None:
        """Take in what one process has to say of the ignores: it holds if it does for all that say it."""
        for text, holds in remarks.items():
            holds = holds and not (self.is_partial and text.endswith(UNUSED))
            self.remarks[text] = self.remarks.get(text, True) and holds

    # -- what goes out ------------------------------------------------------------------------------

    def parcel(self) -> Parcel:
        """Return what a worker sends home at its end; its tests' reports have brought the rest."""
        return Parcel(
            tuple(self.outside.findings),
            blind=tuple(self._session.blind_spots()),
            failures=tuple(self.failures),
            suppressed=tuple(self._suppressed),
            remarks=self.remarks,
            recording=self._recording,
        )

    def findings(self) -> list[Finding]:
        """Return everything that has been found so far; may be asked for on any thread."""
        every = Tally()
        every.add(self.tests.findings)
        every.add(self.outside.findings)
        every.add(self._pending())
        return every.findings

    def run(self) -> Run:
        """Return the whole run, its workers included."""
        blind = [*self._blind, *(f"the end of worker {name}" for name in self.workers)]
        run = self._session.as_run(
            self.findings(), merged_pairs(self._suppressed), list(dict.fromkeys(blind))
        )
        return replace(run, has_ended=not self.workers)

    def write(self) -> None:
        """Write all files, at the end of the run."""
        self._blind += self._session.blind_spots()
        self.write_json()
        self._write_baseline()
        self._write_page()

    def write_json(self) -> None:
        """Write the JSON file as of now, if there is to be one."""
        if self._json is None:
            return
        try:
            self._json.write(self.findings(), merged_pairs(self._suppressed))
        except OSError as error:
            self._json = None
            self.failures.append(f"{self._json_file} can't be written: {error.strerror}")

    def _write_baseline(self) -> None:
        if not self._baseline:
            return
        try:
            outcome = Outcome(self.findings(), list(merged_pairs(self._suppressed)))
            self.remarks[write_baseline(self._baseline, outcome)] = True
        except GuardError as error:
            self.failures.append(str(error))

    def _write_page(self) -> None:
        if not self._page:
            return
        from pycuda_guard.events.reader import read
        from pycuda_guard.reports import html

        try:
            recordings = tuple(read(path) for path in self._recordings if os.path.exists(path))
            replace_text(Path(self._page), html.page(replace(self.run(), recordings=recordings)))
        except (GuardError, OSError) as error:
            self.failures.append(f"the page can't be written: {error}")
