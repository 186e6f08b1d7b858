"""Running a kernel, the kernels that it launches, and those that they launch."""

from __future__ import annotations

from threading import current_thread, main_thread
from typing import TYPE_CHECKING

from pycuda_guard.cpu.abi import FaultKind
from pycuda_guard.cpu.driver import state
from pycuda_guard.cpu.driver.errors import DriverError, InterruptedWaitError, Result
from pycuda_guard.cpu.driver.faults import failure

if TYPE_CHECKING:
    from pycuda_guard.cpu.driver.functions import Function
    from pycuda_guard.cpu.runtime import Child, Triple


def run(
    function: Function, grid: Triple, block: Triple, shared: int, parameters: bytes, depth: int = 0
) -> None:
    """Run a kernel to its end, which is that of all that it launches; note how it failed.

    ``shared`` is in bytes, ``depth`` the number of kernels that have launched one another before it.
    """
    kernel = function.kernel
    timeout = state.options.kernel_timeout
    stack = function.context.stack_bytes
    children: list[Child] = []
    fault = state.runtime.launch(kernel, grid, block, shared, parameters, timeout, stack, depth, children)
    if fault is not None:
        state.fail(failure(kernel.name, fault))
        if fault.kind is FaultKind.INTERRUPTED and current_thread() is main_thread():
            raise InterruptedWaitError
        return
    for child in sorted(children, key=lambda each: each.is_tail):
        if state.status.trouble:
            return
        _run_child(function, child, depth + 1)


def _run_child(parent: Function, child: Child, depth: int) -> None:
    function = None if child.kernel is None else parent.sibling(child.kernel)
    try:
        if function is None:
            raise DriverError(Result.INVALID_HANDLE, "there is no kernel at the address that it launches")
        function.check(child.grid, child.block, child.shared)
    except DriverError as error:
        launched = f" launches {function.outline.name}" if function else ""
        reason = error.detail or error.result.name
        state.fail(state.Failure(Result.LAUNCH_FAILED, f"kernel {parent.kernel.name}{launched}: {reason}"))
        return
    run(function, child.grid, child.block, child.shared, child.parameters, depth)
