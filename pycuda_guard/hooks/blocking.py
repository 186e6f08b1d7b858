"""``--blocking``: the host waits for every launch, so that a kernel that fails is the one just launched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycuda_guard.callsite import here
from pycuda_guard.events.model import LaunchFinished
from pycuda_guard.hooks.tap import like

if TYPE_CHECKING:
    from pycuda_guard.hooks.tap import Connect, Tap, Wrapped


def waiting(connect: Connect) -> Connect:
    """Make the hook of a launch wait for the kernel, if the tap is to block.

    An error that comes out is told to the sink alone: the program's own next call gets it, as ever.
    """

    def connect_waiting(tap: Tap, wrapped: Wrapped) -> Wrapped:
        launch = connect(tap, wrapped)
        if not tap.is_blocking or tap.driver is None:
            return launch
        # As the table puts launches before contexts, this is not hooked yet.
        synchronize = tap.driver.Context.synchronize

        def hook(*args: Any, **kwargs: Any) -> Any:
            result = launch(*args, **kwargs)
            if tap.active:
                _finish(tap, synchronize)
            return result

        return like(wrapped, hook)

    return connect_waiting


def _finish(tap: Tap, synchronize: Wrapped) -> None:
    assert tap.driver is not None
    status = message = ""
    try:
        try:
            synchronize()
        except tap.driver.Error as error:
            status, message = tap.status_of(error), str(error)
        state = tap.threads.state
        tap.emit(LaunchFinished(here(3), state.thread, state.context, status, message))
    except Exception as error:
        tap.guard_error("waiting for a launch", error)
