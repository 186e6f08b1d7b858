"""The driver's words for its errors, as far as rules go by them.

The CPU device adds a detail after a colon, such as ``kernel f, block (0, 0, 0), address 0x10``, which
no GPU's driver has.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycuda_guard.checks.state import State
    from pycuda_guard.events.model import CallFailed, Launch, LaunchFinished

    Failure = CallFailed | LaunchFinished

INVALID_ARGUMENT = "invalid argument"
INVALID_CONTEXT = "invalid device context"
NOT_INITIALIZED = "initialization error"
OUT_OF_MEMORY = "out of memory"
STALE_HANDLE = "invalid resource handle"
ILLEGAL_ADDRESS = "an illegal memory access was encountered"

#: What a kernel's failure is called; the context is lost after each of them.
KERNEL_FAILURES = frozenset(
    {
        ILLEGAL_ADDRESS,
        "unspecified launch failure",
        "misaligned address",
        "an illegal instruction was encountered",
        "invalid program counter",
        "hardware stack error",
        "operation not supported on global/shared address space",
        "the launch timed out and was terminated",
        "device-side assert triggered",
    }
)

_DEADLOCK = re.compile(r"no thread of block (\([\d,]+\)) can go on: (.+)")
_KERNEL = re.compile(r"\bkernel ([^\s,]+)")
_ADDRESS = re.compile(r"\baddress (0x[0-9a-f]+)")


def words(event: Failure) -> str:
    """Return the driver's words for an error, without a detail."""
    return event.status.partition(": ")[0]


def detail(event: Failure) -> str:
    """Return what the device said beyond that; mostly empty."""
    return event.status.partition(": ")[2]


def kernel(event: Failure) -> str:
    """Return the name of the kernel that failed, where the device says it."""
    found = _KERNEL.search(detail(event))
    return found[1] if found else ""


def suspects(state: State, event: CallFailed) -> list[Launch]:
    """Return the launches that a failure may come from: those of the kernel that the device names, if any."""
    found = state.pending.unfinished(event.context, event.announced)
    named = kernel(event)
    return [launch for launch in found if launch.function == named] or found


def deadlock(event: Failure) -> tuple[str, str] | None:
    """Return the block whose threads wait for ever, and for what they do, if that is what failed."""
    found = _DEADLOCK.search(detail(event))
    return (found[1], found[2]) if found else None


def address(event: CallFailed) -> int | None:
    """Return the address at which a kernel failed, where the device says it."""
    found = _ADDRESS.search(detail(event))
    return int(found[1], 16) if found else None
