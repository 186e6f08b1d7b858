"""The test that is running: its findings from phase to phase, and what it may and must have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pycuda_guard.errors import StartError
from pycuda_guard.pytest_plugin import marks
from pycuda_guard.suppressions import matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from types import TracebackType

    from pycuda_guard.events.model import Event
    from pycuda_guard.findings import Finding
    from pycuda_guard.suppressions import Outcome, Suppressed

EXPECTED = "expected by the test"
IGNORED = "ignored by the test's marker"


class Current:
    """What is known of the test that is running. ``take()`` gives what was found since it was last called."""

    def __init__(self, item: pytest.Item, start: int, take: Callable[[], Outcome]) -> None:
        #: why its markers make no sense, if they don't
        self.problem = ""
        try:
            self.marks = marks.read(item)
        except StartError as error:
            self.marks = marks.Marks()
            self.problem = f"{error} ({error.hint})" if error.hint else str(error)
        #: the number of the last event before it
        self.start = start
        self.phase = "setup"
        #: what was found in it and no report has brought, with the phase it was found in
        self.found: list[tuple[str, Finding]] = []
        self.suppressed: list[Suppressed] = []
        #: whether its own function has run
        self.was_called = False
        self._take = take
        self._seen: set[str] = set()

    def collect(self, expected: Iterable[str] = ()) -> set[str]:
        """Take in what was found since the last time; return which of the codes ``expected`` are among it."""
        outcome = self._take()
        self.suppressed += outcome.suppressed
        codes, wanted = set(), {*expected, *self.marks.expected}
        for finding in outcome.kept:
            if finding.code in wanted:
                codes.add(finding.code)
                self.suppressed.append((finding, EXPECTED))
            elif matches(finding.code, self.marks.ignore):
                self.suppressed.append((finding, IGNORED))
            else:
                self.found.append((self.phase, finding))
        self._seen |= codes
        return codes

    @property
    def missing(self) -> list[str]:
        """The codes that its markers expect and that have not been found so far."""
        return [code for code in self.marks.expected if code not in self._seen]

    def hand_over(self) -> tuple[list[tuple[str, Finding]], list[Suppressed]]:
        """Return what no report has brought yet, and forget it."""
        found, suppressed = self.found, self.suppressed
        self.found, self.suppressed = [], []
        return found, suppressed


class PycudaGuard:
    """The fixture ``pycuda_guard``: what the guard has seen of the test so far."""

    def __init__(self, current: Current, events: Callable[[int], list[Event]]) -> None:
        self._current = current
        self._events = events

    @property
    def findings(self) -> list[Finding]:
        """The findings of the test so far, those of its set-up among them, without those silenced."""
        self._current.collect()
        return [finding for _, finding in self._current.found]

    @property
    def timeline(self) -> list[Event]:
        """The events since its set-up began (:mod:`pycuda_guard.events.model`), the last 16384 at most."""
        return self._events(self._current.start)

    def expect(self, code: str) -> AbstractContextManager[None]:
        """Expect a finding of this code: ``with pycuda_guard.expect("PG201"): …``.

        It does not fail the test; the test fails where it is not found in the block. Raises
        :class:`~pycuda_guard.errors.StartError` for a code that there is not.
        """
        marks.check_code(code, "expect")
        return _Expected(self._current, code)


class _Expected:
    def __init__(self, current: Current, code: str) -> None:
        self._current = current
        self._code = code

    def __enter__(self) -> None:
        self._current.collect()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        __tracebackhide__ = True
        # an exception on its way out says more, and whether anybody handles it is not known yet
        if error is None and self._code not in self._current.collect([self._code]):
            pytest.fail(f"{self._code} was expected and not found")
