"""Puts the hooks in place and takes them out again.

wrapt finds each place (``resolve_path``) and defers to imports that have not happened yet
(``register_post_import_hook``). Names that a program took out of ``pycuda.driver`` before, and
default arguments that captured them, are found and rebound; uninstalling does the same backwards.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import wrapt

from pycuda_guard.errors import GuardError
from pycuda_guard.events.model import LateStart
from pycuda_guard.hooks.contexts import announce_current
from pycuda_guard.hooks.kernels import Kernels
from pycuda_guard.hooks.operands import learn_types
from pycuda_guard.hooks.rebind import rebind
from pycuda_guard.hooks.table import ARRAYS, COMPILER, DRIVER, ROWS, Row
from pycuda_guard.hooks.tap import Tap
from pycuda_guard.shadow.unwatched import Unwatched

if TYPE_CHECKING:
    from types import ModuleType

    from pycuda_guard.hooks.sink import Sink
    from pycuda_guard.shadow.world import Options

#: Where the same functions are bound a second time.
_SECOND_NAMES = {DRIVER: "pycuda._driver"}

_MISSING: Any = object()


class _Patch:
    """One attribute that was replaced, and what it was."""

    __slots__ = ("attribute", "before", "now", "owner", "serves_kernels")

    def __init__(self, owner: Any, attribute: str, now: Any, serves_kernels: bool = False) -> None:
        self.owner = owner
        self.serves_kernels = serves_kernels
        self.attribute = attribute
        self.before = vars(owner).get(attribute, _MISSING)  # missing: inherited, or created by us
        self.now = now
        setattr(owner, attribute, now)

    def undo(self) -> None:
        """Put back what was there, unless somebody replaced the replacement."""
        if vars(self.owner).get(self.attribute) is not self.now:
            return
        if self.before is _MISSING:
            delattr(self.owner, self.attribute)
        else:
            setattr(self.owner, self.attribute, self.before)


class _Installation:
    """The hooks of one ``install()``."""

    def __init__(self, sink: Sink, *, is_blocking: bool, kernels: Options | None) -> None:
        runtime = None if kernels is None else Kernels(kernels, sink)
        self.tap = Tap(sink, is_blocking=is_blocking, kernels=runtime)
        self.patches: list[_Patch] = []
        self.done: set[str] = set()
        self.hooks: dict[int, tuple[Any, Any]] = {}  # id(original) -> original, hook: functions only

    def apply(self, module: ModuleType) -> None:
        """Replace the calls of ``module`` that the table names."""
        name = module.__name__
        if name in self.done:
            return
        self.done.add(name)
        if name == DRIVER:
            self.tap.connect(module)
            learn_types(self.tap)
        second = sys.modules.get(_SECOND_NAMES.get(name, ""))
        for row in ROWS:
            if row.module == name:
                self._replace(row, module, second)

    def _replace(self, row: Row, module: ModuleType, second: ModuleType | None) -> None:
        try:
            owner, attribute, original = wrapt.resolve_path(module, row.path)
        except AttributeError:
            if not row.created:
                return
            owner_path, _, attribute = row.path.rpartition(".")
            owner, original = getattr(module, owner_path, None), None
            if owner is None:
                return
        if isinstance(original, staticmethod):
            self.patches.append(
                _Patch(owner, attribute, staticmethod(row.connect(self.tap, original.__func__)))
            )
            return
        hook = row.connect(self.tap, original)
        self.patches.append(_Patch(owner, attribute, hook, row.serves_kernels))
        if owner is module:
            self.hooks[id(original)] = (original, hook)
            if second is not None and getattr(second, attribute, None) is original:
                self.patches.append(_Patch(second, attribute, hook))

    def remove(self) -> None:
        """Put everything back, and silence the hooks that somebody still holds.

        What instrumented kernels can't be used without stays in place while there are any.
        """
        self.tap.active = False
        kernels = self.tap.kernels
        stays = kernels is not None and kernels.runtime.loader.is_in_use
        for patch in reversed(self.patches):
            if not (stays and patch.serves_kernels):
                patch.undo()
        rebind({id(hook): (hook, original) for original, hook in self.hooks.values()})


_lock = threading.RLock()
_current: _Installation | None = None
_deferred: set[str] = set()


def install(sink: Sink, *, is_blocking: bool = False, kernels: Options | None = None) -> None:
    """Hook PyCUDA's calls and deliver their events to ``sink``.

    Before PyCUDA is imported this waits for the import. Installing again with the same sink does
    nothing. If CUDA was in use already, a LateStart event says what is unknown. With ``is_blocking`` the
    host waits for every launch. With ``kernels`` these are instrumented.
    """
    global _current
    with _lock:
        if _current is not None:
            if _current.tap.sink is sink:
                return
            raise GuardError("PyCUDA's calls are hooked already", "call uninstall() first")
        _current = installation = _Installation(sink, is_blocking=is_blocking, kernels=kernels)
    late = DRIVER in sys.modules
    for name in (DRIVER, COMPILER, ARRAYS):
        _apply_when_imported(name)
    if late:
        found = rebind(installation.hooks)
        _announce_late_start(installation.tap, found)


def uninstall() -> None:
    """Put PyCUDA's own objects back. Does nothing if nothing is installed."""
    global _current
    with _lock:
        installation, _current = _current, None
    if installation is not None:
        installation.remove()


def collect() -> None:
    """Emit what is known by now of the kernels of the current context. Waits for nothing."""
    if _current is not None and _current.tap.kernels is not None:
        runtime, context = _current.tap.kernels.runtime, _current.tap.threads.state.context
        runtime.collect(context)
        runtime.collect_answers(context)


def watch_races(*, on: bool) -> None:
    """Look for races, or not, in the kernels of modules that are loaded from now on."""
    if _current is not None and _current.tap.kernels is not None:
        world = _current.tap.kernels.runtime.world
        world.options = replace(world.options, races=on)


def what_is_unwatched() -> Unwatched:
    """Return what of kernels was not looked at so far, though the options ask for it."""
    if _current is None or _current.tap.kernels is None:
        return Unwatched()
    return _current.tap.kernels.runtime.what_is_unwatched()


def finish() -> None:
    """Wait for instrumented kernels and emit what is left to be said of them: the run is about to end."""
    if _current is not None and _current.tap.kernels is not None:
        _current.tap.kernels.runtime.finish()


def leave_child() -> None:
    """Forget the kernels and the memory of the parent, in a forked child."""
    if _current is not None and _current.tap.kernels is not None:
        _current.tap.kernels.runtime.leave_child()


def installed() -> bool:
    """Tell whether the hooks are in place or waiting for an import."""
    return _current is not None


def _apply_when_imported(name: str) -> None:
    module = sys.modules.get(name)
    if module is not None:
        _apply(module)
    elif name not in _deferred:
        # wrapt has no way to take a post-import hook back, so it is registered once and asks what
        # is installed when the import comes.
        _deferred.add(name)
        wrapt.register_post_import_hook(_apply, name)


def _apply(module: ModuleType) -> None:
    installation = _current
    if installation is not None:
        installation.apply(module)


def _announce_late_start(tap: Tap, found: bool) -> None:
    """Say what is unknown if the program has used CUDA already."""
    try:
        state = tap.threads.state
        if not (state.context or found):
            return
        what = "memory, streams, events and kernels made before the guard was enabled"
        tap.emit(LateStart(None, state.thread, state.context, what))
        if (event := announce_current(tap)) is not None:
            tap.emit(event)
    except Exception as error:
        tap.guard_error("install", error)
