"""Writes a timeline to a file, event by event, so that nothing which has returned is ever lost."""

from __future__ import annotations

import linecache
import os
import sys
import time
from typing import TYPE_CHECKING
from zlib import crc32

from pycuda_guard import launcher
from pycuda_guard.errors import StartError
from pycuda_guard.events import codec
from pycuda_guard.events.codec import Start, encode
from pycuda_guard.events.format import BLOCK, SUFFIX, Kind
from pycuda_guard.events.model import KernelReport, ModuleLoaded
from pycuda_guard.events.recorder_blocks import FEWEST, BlockFile, Lane, numbers_of, put, put_again

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pycuda_guard.callsite import Site
    from pycuda_guard.events.model import Event
    from pycuda_guard.events.patterns import Pattern

#: the fewest bytes that a recording can be bounded to
SMALLEST_LIMIT = FEWEST * BLOCK

#: what the recorder is called where it is to blame
NAME = "the recorder"

#: events that name other files than that of their line
_NAMING_MORE = (ModuleLoaded, KernelReport)


def template_of(path: str) -> str:
    """Return the absolute template for :func:`path_of` that the option ``record`` stands for.

    A folder, or a path that ends like one, which is made, gets a file for each process, named after its
    rank if it has one, its machine and its number. Of a file see
    :func:`launcher.own_file`. Raises :class:`StartError` where a folder can't be made.
    """
    if not path.endswith(("/", os.sep)) and not os.path.isdir(path):
        return launcher.own_file(os.path.abspath(path))
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise StartError(f"the run can't be recorded to {path}: {error.strerror}") from error
    rank = launcher.rank()
    name = "" if rank is None else f"rank{rank:04}."
    return os.path.join(os.path.abspath(path), f"{name}{launcher.host()}.{{pid}}{SUFFIX}")


def path_of(template: str, *, is_child: bool = False) -> str:
    """Return the absolute path that ``template`` stands for in this process.

    ``{pid}`` becomes the process's number. A child process whose template has none gets a file
    beside its parent's: ``run.pgr`` becomes ``run.4711.pgr``.
    """
    process = str(os.getpid())
    if is_child and "{pid}" not in template:
        stem, suffix = os.path.splitext(template)
        template = f"{stem}.{process}{suffix}"
    return os.path.realpath(template.replace("{pid}", process))


def describe(
    version: str, device: str, *, races: bool = False, kernels: bool = True, parent: int = 0
) -> Start:
    """Return what a recording says about this process and its run."""
    try:
        directory = os.getcwd()
    except OSError:  # it was removed under the process
        directory = ""
    return Start(
        version=version,
        process=os.getpid(),
        parent=parent,
        host=launcher.host(),
        rank=launcher.rank(),
        started=time.time(),
        arguments=tuple(_text(argument) for argument in sys.argv),
        directory=_text(directory),
        device=device,
        races=races,
        kernels=kernels,
    )


def _read(file: str) -> str:
    """Return the text of a source file as messages quote it, empty where there is none."""
    try:
        return "".join(linecache.getlines(file))
    except ValueError:  # a name that can't be one
        return ""


def _text(name: str) -> str:
    return name.encode("utf-8", "backslashreplace").decode()


class Recorder:
    """Records one process's timeline. Not thread-safe: events come one at a time.

    ``limit`` bounds the events (bytes): then the oldest go. When the disk is full, the recorder
    bounds itself to what it has, or stops; ``complain(where, error)`` is told, and the program goes
    on. Raises :class:`StartError` where the file can't be made.
    """

    def __init__(
        self,
        path: str,
        start: Start,
        complain: Callable[[str, BaseException], None],
        limit: int | None = None,
    ) -> None:
        self.path = path
        self._complain = complain
        if os.path.lexists(path) and not os.path.isfile(path):
            raise StartError(f"the run can't be recorded to {path}: it is not a regular file")
        blocks = None if limit is None else limit // BLOCK
        try:
            self._blocks = BlockFile(path, codec.layout(), blocks, self._bounded)
            self._tables = Lane(self._blocks, Kind.TABLES)
            self._tables.append(encode(start))
            self._events = Lane(self._blocks, Kind.EVENTS)
        except OSError as error:
            raise StartError(f"the run can't be recorded to {path}: {error.strerror}") from error
        self._sites: set[Site | None] = {None}
        self._files: set[str] = set()
        self.is_open = True

    def write(self, event: Event, pattern: Pattern | None = None) -> None:
        """Record ``event``: when this returns, it is in the file. Never raises.

        With a ``pattern`` the event equals those that were recorded with it, but for number and time.
        """
        if not self.is_open:
            return
        # on the way of every call, so what the lane would do is done here
        try:
            if pattern is not None and pattern.recorder is self:
                lane = self._events
                end = put_again(
                    lane.window, lane.position, pattern.head, pattern.check, event.sequence, event.time
                )
                if end:
                    lane.position = end
                else:
                    lane.append(pattern.head + numbers_of(event.sequence, event.time))
                return
            if event.site not in self._sites or type(event) in _NAMING_MORE:
                self._write_sources(event)
            try:
                body = encode(event)
            except (OverflowError, UnicodeEncodeError):
                body = codec.encode_anyhow(event)
            end = put(self._events.window, self._events.position, body)
            if end:
                self._events.position = end
            else:
                self._events.append(body)
            if pattern is not None:
                pattern.head = body.removesuffix(numbers_of(event.sequence, event.time))
                pattern.check = crc32(pattern.head)
                pattern.recorder = self
        except OSError as error:
            self._stop(error)
        except Exception as error:
            self._complain(f"{NAME}, at {type(event).__name__}", error)

    def close(self, blind: Iterable[str] = ()) -> None:
        """End the recording. ``blind`` is what the run did not look at. Never raises."""
        if not self.is_open:
            return
        try:
            self._tables.append(encode(codec.BlindSpots(tuple(blind))))
            end = self._events.position
            self._unmap()
            self._blocks.close(end)
        except OSError as error:
            self._stop(error)

    def abandon(self) -> None:
        """Let go of the file without a change to it: in a forked child it is the parent's."""
        if self.is_open:
            self._unmap()
            self._blocks.abandon()

    def _unmap(self) -> None:
        self.is_open = False
        self._events.close()
        self._tables.close()

    def _stop(self, error: OSError) -> None:
        """Stop for good: what is recorded stays."""
        self.abandon()
        self._complain(f"{NAME}, which has stopped", error)

    def _bounded(self, error: OSError) -> None:
        self._complain(f"{NAME}, which now keeps the last events only", error)

    def _write_sources(self, event: Event) -> None:
        """Record the texts of files that ``event`` names for the first time."""
        files = [] if event.site is None else [event.site.file]
        if isinstance(event, ModuleLoaded):
            files += [kernel.source_file for kernel in event.kernels or () if kernel.source_file]
        elif isinstance(event, KernelReport):
            files += [
                access.file for access in (event.access, event.other) if access is not None and access.line
            ]
        for file in files:
            if file not in self._files:
                self._tables.append(encode(codec.SourceText.pack(_text(file), _read(file))))
                self._files.add(file)
        self._sites.add(event.site)
