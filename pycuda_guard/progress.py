"""Show that long work is getting on: a command, or our own."""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, TypeVar

from pycuda_guard.errors import GuardError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

_Item = TypeVar("_Item")

#: seconds between signs of life where the output is no terminal
QUIET_INTERVAL = 15.0
#: seconds of work that needs no sign of life on a terminal, and between two
PATIENCE, REFRESH = 1.0, 0.1
#: lines of a failed command's output that are shown
TAIL = 25


class Meter:
    """A line that says how far work has come: on stderr, if that is a terminal, and gone afterwards.

    ``patience`` are the seconds before the first sign, ``refresh`` those between two.
    """

    def __init__(self, text: str, *, patience: float = PATIENCE, refresh: float = REFRESH) -> None:
        self._text = text
        self._refresh = refresh
        self._next = time.monotonic() + patience if sys.stderr.isatty() else math.inf
        self._width = 0

    def show(self, share: float) -> None:
        """Say that ``share`` of the work is done, from 0 to 1, where it is time to."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self._refresh
        line = f"{self._text} … {share:.0%}"
        print("\r" + line.ljust(self._width), end="", file=sys.stderr, flush=True)
        self._width = len(line)

    def clear(self) -> None:
        """Take the line away; the next sign brings it back."""
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=sys.stderr, flush=True)
            self._width = 0


def metered(text: str, items: Iterable[_Item], share: Callable[[], float]) -> Iterator[_Item]:
    """Yield ``items`` while a meter says how far they have come; ``share()`` is from 0 to 1."""
    meter = Meter(text)
    try:
        for item in items:
            yield item
            meter.show(share())
    finally:
        meter.clear()


class StepError(GuardError):
    """A command of a set-up step ended with an error; the message ends with its last lines."""


def run_step(text: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
    """Run ``command`` under the heading ``text``, with the seconds counted while it runs.

    Its output is kept and shown only if it fails. ``environment`` replaces the process's own.
    Raises :class:`StepError` when the command can't be started or ends with another status than 0.
    """
    terminal = sys.stderr.isatty()
    began = time.monotonic()

    def show(state: str, end: str) -> None:
        start = "\r" if terminal else ""
        print(f"{start}setup: {text} … {state}", end=end, file=sys.stderr, flush=True)

    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
            )
        except OSError as error:
            raise StepError(f"{text}: {command[0]} can't be started ({error.strerror})") from error
        interval = 1.0 if terminal else QUIET_INTERVAL
        while True:
            show(f"{time.monotonic() - began:.0f} s", "" if terminal else "\n")
            try:
                status = process.wait(interval)
            except subprocess.TimeoutExpired:
                continue
            except BaseException:
                process.terminate()
                raise
            break
        if status:
            output.seek(0)
            lines = output.read().decode(errors="replace").splitlines()[-TAIL:]
            raise StepError("\n".join([f"{text}: failed with exit status {status}. Its last lines:", *lines]))
    show(f"done in {time.monotonic() - began:.0f} s", "\n")
