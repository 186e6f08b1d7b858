"""Guards the processes that ``multiprocessing`` starts, and learns how they end.

A process that is started afresh (spawn, forkserver) unpickles what its parent prepared before it
imports anything of the program; so that is where its session begins. How a process ends is learned
from its ``run()``, which an exception leaves on its way out, and from the finalizers that run later.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import wrapt

from pycuda_guard import _guard_child

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.config import Config
    from pycuda_guard.session.session import Session

#: a key of the preparation data that multiprocessing itself has no use for
KEY = "pycuda_guard_session"

#: finalizers with a lower number run later: this one is the last
_LAST = -(1 << 30)

_is_hooked = False


@dataclass(frozen=True, slots=True)
class Start:
    """What a child needs to know: the session begins where this is unpickled."""

    config: Config
    folder: str

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Config, str]]:
        return _guard_child, (self.config, self.folder)


def hook(start: Callable[[], Start | None], failed: Callable[[BaseException], None]) -> None:
    """Have every process that is started afresh get what ``start()`` returns, if anything.

    In every process of multiprocessing, ``failed`` is told the exception that ends it.
    """
    global _is_hooked
    if _is_hooked:
        return
    _is_hooked = True

    def prepare(
        wrapped: Callable[..., dict[str, Any]], instance: None, args: Any, kwargs: Any
    ) -> dict[str, Any]:
        data = wrapped(*args, **kwargs)
        found = start()
        return data if found is None else {**data, KEY: found}

    def wrap(module: Any) -> None:
        wrapt.wrap_function_wrapper(module, "get_preparation_data", prepare)

    def begin(wrapped: Callable[..., int], instance: Any, args: Any, kwargs: Any) -> int:
        instance.run = _watched(instance.run, failed)
        return wrapped(*args, **kwargs)

    def wrap_process(module: Any) -> None:
        wrapt.wrap_function_wrapper(module, "BaseProcess._bootstrap", begin)

    wrapt.register_post_import_hook(wrap, "multiprocessing.spawn")
    wrapt.register_post_import_hook(wrap_process, "multiprocessing.process")


def _watched(run: Callable[[], object], failed: Callable[[BaseException], None]) -> Callable[[], object]:
    def watched() -> object:
        try:
            return run()
        except BaseException as error:
            failed(error)
            raise

    return watched


def watch_end(session: Session, *, forked: bool) -> None:
    """Tell ``session`` how this process ends, if it is one of multiprocessing's.

    In one that was ``forked`` it is not known yet whether it is.
    """
    if "multiprocessing.util" in sys.modules:
        from multiprocessing import util

        util.register_after_fork(session, _started)
        if not forked:
            _started(session)  # a process that was spawned has no after-fork functions


def _started(session: Session) -> None:
    from multiprocessing import util

    util.Finalize(None, _ended, args=(session,), exitpriority=_LAST)


def _ended(session: Session) -> None:
    # a process that was spawned ends like any other, those that were forked end at once
    if "--multiprocessing-fork" not in sys.orig_argv:
        session.finish("dies")
