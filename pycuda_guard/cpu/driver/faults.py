"""What a kernel's fault means for later calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.cpu.abi import FaultKind
from pycuda_guard.cpu.driver.errors import Result
from pycuda_guard.cpu.driver.state import Failure

if TYPE_CHECKING:
    from pycuda_guard.cpu.runtime import Fault

_RESULTS = {
    FaultKind.ILLEGAL_ADDRESS: Result.ILLEGAL_ADDRESS,
    FaultKind.MISALIGNED_ADDRESS: Result.MISALIGNED_ADDRESS,
    FaultKind.TRAP: Result.LAUNCH_FAILED,
    FaultKind.ASSERT: Result.ASSERT,
    FaultKind.DEADLOCK: Result.LAUNCH_TIMEOUT,
    FaultKind.STACK_OVERFLOW: Result.ILLEGAL_ADDRESS,
    FaultKind.ILLEGAL_INSTRUCTION: Result.ILLEGAL_INSTRUCTION,
    FaultKind.TIMEOUT: Result.LAUNCH_TIMEOUT,
    FaultKind.INTERRUPTED: Result.LAUNCH_FAILED,
}

_GIVEN_UP = {
    FaultKind.TIMEOUT: "given up after the time that --kernel-timeout allows",
    FaultKind.INTERRUPTED: "given up when the program was interrupted",
}


def failure(kernel: str, fault: Fault) -> Failure:
    """Return the result of later calls, and where and how the kernel failed in words."""
    parts = [f"kernel {kernel}"]
    if fault.block is not None and fault.thread is not None:
        parts.append(f"block {fault.block}, thread {fault.thread}")
    if fault.kind is FaultKind.ASSERT:
        parts.append(f"assertion `{fault.message}` at {fault.file}:{fault.line}")
    elif fault.kind in _GIVEN_UP:
        parts.append(_GIVEN_UP[fault.kind])
    elif fault.message:
        parts.append(fault.message)
    elif fault.kind is FaultKind.STACK_OVERFLOW:
        parts.append("its calls need more stack than the limit STACK_SIZE gives to a thread")
    if fault.known:
        parts.append(f"address {fault.address:#x}")
    return Failure(_RESULTS[fault.kind], ", ".join(parts))
