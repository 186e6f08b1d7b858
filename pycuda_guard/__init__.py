"""A debugging harness for PyCUDA programs.

``pycuda-guard run script.py`` guards a whole program. From inside one, :func:`enable` guards the
rest of it and :class:`guard` guards a block. Importing this package imports no PyCUDA.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from types import TracebackType
    from typing import TypeVar, Unpack, overload

    from pycuda_guard.config import Config, Keywords
    from pycuda_guard.findings import Finding

    _Function = TypeVar("_Function", bound=Callable[..., object])

__version__ = "0.1.0"
__all__ = ["disable", "dump", "enable", "finish", "guard", "guarded"]


def enable(device: str | None = None, **options: Unpack[Keywords]) -> None:
    """Guard this process from now on; what is found is printed to stderr, the rest of it at exit.

    ``device`` is ``auto``, ``cpu`` or ``gpu``; docs/options.md lists the other options: ``json`` names a
    file for the findings, ``record`` one for the timeline, ``select`` and ``ignore`` say which rules are
    reported. One that is None is taken from the environment or the script's pyproject.toml. The
    exit status stays the program's own. Where the process is guarded already, as under
    ``pycuda-guard run``, this does nothing.

    Raises :class:`~pycuda_guard.errors.StartError`: a wrong option or value, no such device, a file
    that can't be written, the CPU device after ``pycuda.driver`` has been imported.

    In IPython and Jupyter what is found in a cell is printed after the cell (docs/jupyter.md).
    """
    import sys

    from pycuda_guard import session

    chosen = _read(device, options)
    if session.active() is not None:
        return
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        session.begin(chosen).uncaught.watch_script()
    else:
        from pycuda_guard.ipython import begin

        begin(chosen, shell)


def _read(device: str | None, options: Keywords) -> Config:
    """Return the configuration that keyword arguments, the environment and pyproject.toml make."""
    from pycuda_guard import config, project
    from pycuda_guard.errors import StartError

    known = [option.name for option in config.OPTIONS if not option.for_run and not option.is_table]
    for name in options:
        if name not in known:
            raise StartError(f"there is no option {name!r}", config.close_to(name, known))
    return config.read({"device": device, **options}, below=project.layers(project.folder_here()))


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
    already the block only collects its own findings; of its options only ``select`` and ``ignore`` are used.
    """

    def __init__(self, device: str | None = None, **options: Unpack[Keywords]) -> None:
        self._options = _read(device, options)
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
        from pycuda_guard.suppressions import is_left_out

        if self._is_outermost:
            if error is not None:
                self._session.uncaught.note(error)
            self.findings = self._session.finish()
        else:
            self.findings = [
                finding
                for finding in self._session.take(self._part, error).kept
                if not is_left_out(finding.code, self._options.select, self._options.ignore)
            ]
            self._session.close_part(self._part)


if TYPE_CHECKING:

    @overload
    def guarded(function: _Function, /) -> _Function: ...
    @overload
    def guarded(
        *, device: str | None = None, **options: Unpack[Keywords]
    ) -> Callable[[_Function], _Function]: ...


def guarded(
    function: Callable[..., object] | None = None,
    /,
    *,
    device: str | None = None,
    **options: Unpack[Keywords],
) -> Callable[..., object]:
    """Guard each call of a function: ``@pycuda_guard.guarded`` or ``@pycuda_guard.guarded(select=["PG1"])``.

    Takes the options of :func:`enable`; each call is a block of :class:`guard` of its own. A coroutine
    function is guarded while it is awaited. Raises TypeError for a generator function, whose calls
    run nothing yet.
    """
    if function is None:

        def decorate(function: Callable[..., object]) -> Callable[..., object]:
            return _guarded(function, device, options)

        return decorate
    return _guarded(function, device, options)


def _guarded(function: Callable[..., object], device: str | None, options: Keywords) -> Callable[..., object]:
    """Return ``function`` with each of its calls guarded."""
    import functools
    import inspect

    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError("a call of a generator runs nothing: use pycuda_guard.guard() inside of it")

    def call(*args: object, **kwargs: object) -> object:
        with guard(device, **options):
            return function(*args, **kwargs)

    async def wait(*args: object, **kwargs: object) -> object:
        with guard(device, **options):
            return await function(*args, **kwargs)  # type: ignore[misc]

    return functools.wraps(function)(wait if inspect.iscoroutinefunction(function) else call)
