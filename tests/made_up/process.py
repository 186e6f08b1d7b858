"""What happens to a made-up process: its contexts, calls that fail, its end."""

from __future__ import annotations

from typing import Any

from made_up.places import CTX, MAIN, where

from pycuda_guard.events import model as m

_DEVICE = m.DeviceLimits(
    name="made-up device",
    compute_capability=(9, 0),
    max_threads_per_block=1024,
    max_block=(1024, 1024, 64),
    max_grid=(2**31 - 1, 65535, 65535),
    max_shared_per_block=49152,
    max_shared_per_block_optin=232448,
    max_registers_per_block=65536,
    total_memory=1 << 30,
)

#: what the driver says of a call
ILLEGAL = "an illegal memory access was encountered"
STALE = "invalid resource handle"


def context(change: str = "created", line: int = 1, thread: int = MAIN, **fields: Any) -> m.ContextChanged:
    """A context is made, pushed or popped; by pycuda.autoinit unless ``automatic`` is False."""
    fields = {"device": _DEVICE, "automatic": True, **fields}
    return m.ContextChanged(*where(line, CTX, thread), change, CTX, **fields)


def late(missed: str = "memory") -> m.LateStart:
    """The guard began when there was already something of the program's."""
    return m.LateStart(None, MAIN, 0, missed)


def ended(escaped: tuple[int, ...] = (), process: str = "") -> m.RunEnded:
    """The run is over; ``process`` says what follows: ``exits``, ``dies``, or nothing."""
    return m.RunEnded(None, MAIN, 0, escaped, process)


class Failed:
    """Becomes a CallFailed of the event before it, once that has its number."""

    def __init__(self, status: str, error: str, line: int, call: str, fields: dict[str, Any]) -> None:
        self.status, self.error, self.line, self.call, self.fields = status, error, line, call, fields

    def event(self, announced: int) -> m.CallFailed:
        """Return the event, which says that the call of event ``announced`` raises."""
        place = where(self.line, self.fields.get("context", CTX), self.fields.get("thread", MAIN))
        message = self.fields.get("message", f"cuCall failed: {self.status}")
        return m.CallFailed(*place, self.call, announced, self.error, message, self.status)


def failed(
    status: str = "", error: str = "LogicError", line: int = 40, call: str = "call", **fields: Any
) -> Failed:
    """The call just announced raises. ``nth=0`` says that none was announced."""
    return Failed(status, error, line, call, fields)
