"""Device memory handed to somebody whose accesses no hook sees: another process, or who takes a buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycuda_guard.events.model import Event, Exported
from pycuda_guard.hooks.tap import Connect, Tap, ThreadState, reported

if TYPE_CHECKING:
    from pycuda_guard.callsite import Site


def _exporting(call: str) -> Connect:
    """Hook a function whose first argument is device memory."""

    def describe(
        tap: Tap,
        site: Site | None,
        state: ThreadState,
        result: Any,
        /,
        memory: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Event:
        return Exported(site, state.thread, state.context, call, int(memory))

    return reported(call, describe)


ipc_handle = _exporting("mem_get_ipc_handle")
as_buffer = _exporting("DeviceAllocation.as_buffer")
