"""Running a kernel, the kernels that it launches, and those that they launch."""

from __future__ import annotations

from threading import current_thread, main_thread
from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.cpu.abi import FaultKind
from pycuda_guard.cpu.codegen.plan import name_in_program
from pycuda_guard.cpu.driver import state
from pycuda_guard.cpu.driver.errors import DriverError, InterruptedWaitError, Result
from pycuda_guard.cpu.driver.faults import failure

if TYPE_CHECKING:
    from pycuda_guard.cpu.driver.functions import Function
    from pycuda_guard.cpu.runtime import Child, Triple


class Launch(NamedTuple):
    """A kernel, and how it is launched.

    ``shared`` is in bytes. ``depth`` is the number of kernels that wait for its end.
    """

    function: Function
    grid: Triple
    block: Triple
    shared: int
    parameters: bytes
    depth: int = 0


def run(launch: Launch) -> None:
    """Run a kernel to its end, which is that of all that it launches; note how it failed.

    What a kernel launches runs when its blocks have ended, in the order of the launches, each with all
    that it launches itself; tail launches come last.
    """
    waiting = [launch]
    while waiting and not state.status.trouble:
        current = waiting.pop()
        children = _run_alone(current, pending=len(waiting) + current.depth)
        # a launch is pending until all that it has launched is done, so the last is to be the next
        children.reverse()
        for child in sorted(children, key=lambda each: not each.is_tail):
            launched = _launch(current, child)
            if launched is not None:
                waiting.append(launched)


def _run_alone(launch: Launch, pending: int) -> list[Child]:
    """Run a kernel and return what it launches; ``pending`` others count, too, against what there may be."""
    function = launch.function
    kernel = function.kernel
    children: list[Child] = []
    fault = state.runtime.launch(
        kernel,
        launch.grid,
        launch.block,
        launch.shared,
        launch.parameters,
        timeout=state.options.kernel_timeout,
        stack=function.context.stack_bytes,
        children=children,
        most_children=max(0, function.context.most_pending - pending),
    )
    if fault is None:
        return children
    state.fail(failure(name_in_program(kernel.name), fault))
    if fault.kind is FaultKind.INTERRUPTED and current_thread() is main_thread():
        raise InterruptedWaitError
    return []


def _launch(parent: Launch, child: Child) -> Launch | None:
    """Return a kernel's launch; None if it can't be, which breaks the device."""
    function = None if child.kernel is None else parent.function.sibling(child.kernel)
    try:
        if function is None:
            raise DriverError(Result.INVALID_HANDLE, "there is no kernel at the address that it launches")
        function.check(child.grid, child.block, child.shared)
    except DriverError as error:
        launched = f" launches {function.outline.name}" if function else ""
        reason = error.detail or error.result.name
        name = parent.function.kernel.name
        state.fail(state.Failure(Result.LAUNCH_FAILED, f"kernel {name}{launched}: {reason}"))
        return None
    # a tail launch begins when its kernel is done, so that this is no longer pending
    depth = parent.depth + (not child.is_tail)
    return Launch(function, child.grid, child.block, child.shared, child.parameters, depth)
