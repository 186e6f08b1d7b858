"""Run the user's script or module in this process as ``python`` would.

What must not differ: ``sys.argv``, ``sys.path[0]``, the ``__main__`` module, standard input, the
traceback of an exception that ends the program, the exit status, and the order in which the
interpreter ends: traceback, non-daemon threads, exit functions, then module globals. The first
three of these are done here and not by the interpreter, because the exit status depends on what
is found until the last exit function has run.
"""

from __future__ import annotations

import atexit
import io
import os
import pkgutil
import runpy
import sys
import threading
import traceback
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

from pycuda_guard.errors import StartError
from pycuda_guard.project import folder_of
from pycuda_guard.session.uncaught import trim

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Program:
    """A script (or a folder or zip file with a ``__main__.py``), or a module, and its arguments."""

    target: str
    arguments: tuple[str, ...] = ()
    is_module: bool = False

    @property
    def folder(self) -> str:
        """The folder that its pyproject.toml is looked for from; the current one for a module."""
        return os.getcwd() if self.is_module else folder_of(self.target)

    def check(self) -> None:
        """Raise :class:`StartError` if there is no such script."""
        if self.is_module:
            return
        try:
            if not os.path.isdir(self.target):
                io.open_code(os.path.abspath(self.target)).close()
        except OSError as error:
            raise StartError(f"can't open {self.target}: {error.strerror}") from error

    def run(self) -> None:
        """Run the program in a fresh ``__main__``; raises whatever ends it."""
        # The old __main__ is kept alive by the frames that are running in it.
        main = ModuleType("__main__")
        main.__dict__["__builtins__"] = sys.modules["builtins"]
        if sys.version_info < (3, 14):
            main.__annotations__ = {}
        sys.modules["__main__"] = main
        if self.is_module:
            sys.argv[:] = ["-m", *self.arguments]
            self._set_path(os.getcwd())
            runpy._run_module_as_main(self.target)  # type: ignore[attr-defined]
        elif type(pkgutil.get_importer(self.target)) is not type(None):
            sys.argv[:] = [self.target, *self.arguments]
            self._set_path(os.path.abspath(self.target))
            runpy._run_module_as_main("__main__", False)  # type: ignore[attr-defined]
        else:
            self._run_script(main)

    def _run_script(self, main: ModuleType) -> None:
        path = os.path.abspath(self.target)
        sys.argv[:] = [self.target, *self.arguments]
        self._set_path(os.path.dirname(os.path.realpath(path)))
        with io.open_code(path) as file:
            content = file.read()
        main.__file__ = path
        main.__loader__ = SourceFileLoader("__main__", path)
        main.__dict__["__cached__"] = None
        code = compile(content, path, "exec", dont_inherit=True)
        exec(code, main.__dict__)

    @staticmethod
    def _set_path(first: str) -> None:
        """Put ``first`` where the interpreter has put the folder of the guard's own script."""
        if not sys.flags.safe_path:
            sys.path[0] = first


def run_to_the_end(program: Program, note: Callable[[BaseException], None]) -> int:
    """Run ``program``, then its threads and exit functions to their end; return its exit status.

    ``note`` is told the exception that ended it, if one did. Raises KeyboardInterrupt if that was
    what ended it, and has the interpreter print nothing about it any more.
    """
    status, is_interrupted = _run(program, note)
    _join_threads()
    atexit._run_exitfuncs()
    if is_interrupted:
        # Left to the interpreter, this makes the process die of SIGINT, as shells expect it to.
        sys.excepthook = lambda *_: None
        raise KeyboardInterrupt
    return status


def _run(program: Program, note: Callable[[BaseException], None]) -> tuple[int, bool]:
    """Return the exit status, and whether an interrupt ended the program.

    No reference to the exception is left but ``sys.last_value``, as under the interpreter: objects
    that only its frames keep alive are freed when they would be.
    """
    try:
        program.run()
    except SystemExit as error:
        note(error)
        return exit_status(error), False
    except BaseException as error:
        note(error)
        try:
            show(trim(error))
        except SystemExit as stop:  # raised by the program's own sys.excepthook
            return exit_status(stop), False
        return 1, type(error) is KeyboardInterrupt
    return 0, False


def exit_status(error: SystemExit) -> int:
    """Return the status that ``error`` asks for, printing its message if it carries one."""
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code
    if sys.stderr is not None:
        print(error.code, file=sys.stderr)
    return 1


def show(error: BaseException) -> None:
    """Print the traceback of ``error`` as the interpreter does: through ``sys.excepthook``."""
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit:
        raise
    except BaseException as second:
        second.__context__ = None
        print("Error in sys.excepthook:", file=sys.stderr)
        traceback.print_exception(trim(second))
        print("\nOriginal exception was:", file=sys.stderr)
        traceback.print_exception(error)


def _join_threads() -> None:
    """Wait for the non-daemon threads, and run what the standard library does before its exit functions."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
    except BaseException as error:
        sys.unraisablehook(
            SimpleNamespace(
                exc_type=type(error),
                exc_value=error,
                exc_traceback=trim(error).__traceback__,
                err_msg=None,
                object=threading,
            )
        )
