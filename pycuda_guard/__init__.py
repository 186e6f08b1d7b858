"""A debugging harness for PyCUDA programs.

``pycuda-guard run script.py`` guards a whole program. From inside one, :func:`enable` guards the
rest of it and :class:`guard` guards a block. Importing this package imports no PyCUDA.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from types import TracebackType

    from pycuda_guard.config import Config
    from pycuda_guard.findings import Finding

__version__ = "0.1.0"
__all__ = ["disable", "dump", "enable", "finish", "guard"]


def enable(
    device: str | None = None,
    *,
    json: str | os.PathLike[str] | None = None,
    record: str | os.PathLike[str] | None = None,
    record_limit: int | str | None = None,
    quiet: bool | None = None,
    races: bool | None = None,
    blocking: bool | None = None,
) -> None:
    """Guard this process from now on; what is found is printed to stderr, the rest of it at exit.

    ``device`` is ``auto``, ``cpu`` or ``gpu``; ``json`` names a file for the findings, ``record`` one
    for the timeline, of which ``record_limit`` bytes are kept. An option that is None is taken from
    the environment (docs/options.md). The exit status stays the program's own. Where the process
    is guarded already, as under ``pycuda-guard run``, this does nothing.

    Raises :class:`~pycuda_guard.errors.StartError`: a wrong value, no such device, a file that
    can't be written, the CPU device after ``pycuda.driver`` has been imported.

    In IPython and Jupyter what is found in a cell is printed after the cell (docs/jupyter.md).
    """
    import sys

    from pycuda_guard import config, session

    options = config.read(
        {
            "device": device,
            "json": json,
            "record": record,
            "record_limit": record_limit,
            "quiet": quiet,
            "races": races,
            "blocking": blocking,
        }
    )
    if session.active() is not None:
        return
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        session.begin(options).uncaught.watch_script()
    else:
        from pycuda_guard.ipython import begin

        begin(options, shell)


def disable() -> None:
    """Stop guarding, without the rules for the end of a run and without the report at exit."""
    from pycuda_guard import session

    running = session.active()
    if running is not None:
        running.stop()


def finish() -> list[Finding]:
    """End the guarded run now rather than at exit: report, stop guarding, return all findings."""
    from pycuda_guard import session

    running = session.active()
    return [] if running is None else running.finish()


def dump(path: str | os.PathLike[str]) -> None:
    """Write the timeline so far to ``path``, as a recording for ``pycuda-guard check``.

    It holds the last 16384 events, recorded or not. Raises
    :class:`~pycuda_guard.errors.GuardError` where nothing is guarded or the file can't be written.
    """
    from pycuda_guard import session
    from pycuda_guard.errors import GuardError

    running = session.active()
    if running is None:
        raise GuardError("there is no timeline: nothing is guarded", "call pycuda_guard.enable() first")
    running.dump(path)


def _guard_child(config: Config, folder: str) -> None:
    """Guard this process, which multiprocessing has started. It is unpickled there, and must never fail."""
    try:
        from pycuda_guard import session

        session.begin_child(config, folder)
    except Exception as error:
        import sys

        print(f"pycuda-guard: this child process is not guarded: {error}", file=sys.stderr)


def load_ipython_extension(shell: object) -> None:
    """Guard the notebook from now on: ``%load_ext pycuda_guard``."""
    enable()


def unload_ipython_extension(shell: object) -> None:
    """Stop guarding: ``%unload_ext pycuda_guard``."""
    disable()


class guard:  # noqa: N801 (used as a verb: with pycuda_guard.guard() as block)
    """Guard a block: ``with pycuda_guard.guard() as block: …``; then ``block.findings`` is a list.

    Takes the options of :func:`enable` and raises what it raises. Inside a process that is guarded
    already the block only collects its own findings, and its options are not used.
    """

    def __init__(
        self,
        device: str | None = None,
        *,
        json: str | os.PathLike[str] | None = None,
        record: str | os.PathLike[str] | None = None,
        record_limit: int | str | None = None,
        quiet: bool | None = None,
        races: bool | None = None,
        blocking: bool | None = None,
    ) -> None:
        from pycuda_guard import config

        self._options = config.read(
            {
                "device": device,
                "json": json,
                "record": record,
                "record_limit": record_limit,
                "quiet": quiet,
                "races": races,
                "blocking": blocking,
            }
        )
        self.findings: list[Finding] = []

    def __enter__(self) -> guard:
        """Start guarding, or note what has been found so far."""
        from pycuda_guard import session

        running = session.active()
        self._is_outermost = running is None
        self._session = running or session.begin(self._options)
        self._part = self._session.open_part()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Collect the block's findings, and report them if the guard was started for the block."""
        if self._is_outermost:
            if error is not None:
                self._session.uncaught.note(error)
            self.findings = self._session.finish()
        else:
            self.findings = self._session.take(self._part, error)
            self._session.close_part(self._part)
