"""Makes the table of driver functions callable from C, as the libcuda.so.1 of this process."""

from __future__ import annotations

import ctypes
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

from pycuda_guard.cpu import library
from pycuda_guard.cpu.driver import state, table
from pycuda_guard.cpu.driver.errors import DriverError, InterruptedWaitError, Result, remember

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SONAME = "libcuda.so.1"


def load(folder: Path) -> None:
    """Put our libcuda.so.1 into the process, its symbols visible to libraries loaded later.

    The library file is kept in ``folder``.
    """
    functions = {name: _callback(name, entry) for entry in table.entries() for name in entry.names}
    library.load(SONAME, functions, folder)


def _callback(name: str, entry: table.Entry) -> Any:
    """Return a C function that carries out an entry. It never lets an exception out."""
    call = _refusal(name, entry.reason) if entry.handler is None else _guarded(name, entry.handler)
    return ctypes.CFUNCTYPE(ctypes.c_int, *entry.arguments)(call)


def _guarded(name: str, handler: Callable[..., None]) -> Callable[..., int]:
    # everything that is used here is bound now: at the end of the process, when PyCUDA's objects are
    # destroyed, module globals may be gone
    driver_error, note, unexpected = DriverError, remember, _unexpected
    interrupted = InterruptedWaitError

    def call(*arguments: Any) -> int:
        try:
            handler(*arguments)
        except driver_error as error:
            return note(error)
        except interrupted:
            return 0
        except BaseException as error:
            return unexpected(name, error)
        return 0

    return call


def _unexpected(name: str, error: BaseException) -> int:
    if sys is None or sys.is_finalizing():
        return 0  # the interpreter is being torn down: there is nobody left to be told
    if threading.current_thread() is threading.main_thread() and isinstance(error, KeyboardInterrupt):
        state.runtime.raise_later(error)
        return remember(DriverError(Result.UNKNOWN, f"{name} was interrupted from the keyboard"))
    where = traceback.extract_tb(error.__traceback__)[-1]
    detail = f"{type(error).__name__} in {name}: {error} ({where.filename}:{where.lineno})"
    return remember(DriverError(Result.UNKNOWN, detail))


def _refusal(name: str, reason: str) -> Callable[..., int]:
    def call() -> int:
        return remember(DriverError(Result.NOT_SUPPORTED, f"{name} ({reason})"))

    return call
