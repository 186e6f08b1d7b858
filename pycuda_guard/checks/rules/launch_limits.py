"""A launch exceeds what the device or the kernel allows, or one of its extents is zero.

What it does
------------
Where a launch fails, compares its block, grid and shared memory with the limits of the device and of
the kernel, and says which limit is exceeded, by how much, and what would fit.

Why is this bad
---------------
The driver says "invalid argument" or "too many resources requested for launch" and nothing else. The
usual reasons are a block whose dimensions multiply to more than 1024 threads, a grid of `n // 256`
blocks where n is below 256, and shared memory beyond the 48 KiB that a kernel gets without asking.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    mod = SourceModule("__global__ void clear(float *x) { x[threadIdx.y * blockDim.x + threadIdx.x] = 0; }")
    x = np.ones((64, 32), np.float32)
    mod.get_function("clear")(cuda.InOut(x), block=(32, 64, 1))

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    mod = SourceModule(
        "__global__ void clear(float *x) {"
        " x[(blockIdx.y * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x] = 0; }"
    )
    x = np.ones((64, 32), np.float32)
    mod.get_function("clear")(cuda.InOut(x), block=(32, 32, 1), grid=(1, 2))

Known limits
------------
An error only if the exception leaves the script, the thread or the test: a program that probes what
the device can do and catches the exception is right, and gets a note.

References
----------
CUDA C++ programming guide, Compute Capabilities (technical specifications); CUDA driver API,
cuLaunchKernel.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.events.model import Launch
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import CallFailed, DeviceLimits

_AXES = "xyz"


class _Problem(NamedTuple):
    text: str
    help: str


class LaunchLimits(Rule):
    """PG404."""

    code: ClassVar[str] = "PG404"
    name: ClassVar[str] = "launch-limits"
    severity: ClassVar[Severity] = Severity.ERROR

    def on_call_failed(self, event: CallFailed) -> None:
        """Look at the limits when a launch failed."""
        if not event.announced or self.explained(event.announced):
            return
        launch = self.state.announced(event.announced)
        if not isinstance(launch, Launch):
            return
        problem = self._problem(launch)
        if problem is None:
            return
        self.explain(launch.sequence)
        if self.again(event, site=launch.site, kernel=launch.function, failure=event.sequence):
            return
        self.report(
            event,
            f"kernel `{launch.function}`: {problem.text}",
            problem.help,
            site=launch.site,
            kernel=messages.kernel_location(launch),
            failure=event.sequence,
        )

    def _problem(self, launch: Launch) -> _Problem | None:
        """Return the limit that a launch exceeds, the plainest first."""
        block, grid = _three(launch.block), _three(launch.grid)
        device = self.state.devices.limits.get(launch.context)
        return (
            _empty("block", block, block)
            or _empty("grid", grid, block)
            or self._threads(launch, block, grid, device)
            or _axes("block", block, device.max_block if device is not None else None)
            or _axes("grid", grid, device.max_grid if device is not None else None)
            or self._shared(launch, device)
            or self._registers(launch, block, grid, device)
        )

    def _threads(
        self,
        launch: Launch,
        block: tuple[int, int, int],
        grid: tuple[int, int, int],
        device: DeviceLimits | None,
    ) -> _Problem | None:
        threads = prod(block)
        product = f"a block of {block[0]}×{block[1]}×{block[2]} = {threads} threads"
        if device is not None and threads > device.max_threads_per_block:
            limit = device.max_threads_per_block
            return _Problem(f"{product} exceeds the device's limit of {limit}", _smaller(block, grid, limit))
        signature = self.state.signature(launch)
        bound = signature.max_threads if signature is not None else None
        if bound is not None and threads > bound:
            text = f"{product} exceeds the {bound} that the kernel's __launch_bounds__ allows"
            return _Problem(text, _smaller(block, grid, bound))
        return None

    def _registers(
        self,
        launch: Launch,
        block: tuple[int, int, int],
        grid: tuple[int, int, int],
        device: DeviceLimits | None,
    ) -> _Problem | None:
        limits = self.state.modules.limits.get((launch.module, launch.function))
        if limits is None or prod(block) <= limits.max_threads_per_block:
            return None
        text = f"a block of {prod(block)} threads exceeds the {limits.max_threads_per_block} that fit"
        if device is not None and limits.registers:
            text += (
                f": each uses {limits.registers} of the block's {device.max_registers_per_block} registers"
            )
        return _Problem(text, _smaller(block, grid, limits.max_threads_per_block))

    def _shared(self, launch: Launch, device: DeviceLimits | None) -> _Problem | None:
        limits = self.state.modules.limits.get((launch.module, launch.function))
        signature = self.state.signature(launch)
        if limits is not None:
            static, allowed = limits.static_shared, limits.max_dynamic_shared
        elif device is not None:
            static = signature.static_shared if signature is not None else 0
            allowed = device.max_shared_per_block - static
        else:
            return None
        if launch.shared <= allowed:
            return None
        text = f"{launch.shared} bytes of dynamic shared memory exceed the {allowed} that the kernel may use"
        if static:
            text += f" beside its {static} static ones"
        most = (device.max_shared_per_block_optin if device is not None else 0) - static
        if launch.shared <= most:
            return _Problem(
                text,
                "opt in before the launch: func.set_attribute("
                f"cuda.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES, {launch.shared})",
            )
        return _Problem(text, f"use at most {max(most, allowed)} bytes: let a block work on a smaller tile")


def _three(extents: tuple[int, ...]) -> tuple[int, int, int]:
    """Return extents as three numbers."""
    x, y, z = (*extents, 1, 1, 1)[:3]
    return x, y, z


def _empty(what: str, extents: tuple[int, int, int], block: tuple[int, int, int]) -> _Problem | None:
    """Return the problem of an extent that is zero or negative."""
    for axis, extent in zip(_AXES, extents, strict=True):
        if extent <= 0:
            text = f"{what}={extents} has extent {extent} in {axis}: nothing would run"
            if what == "block":
                return _Problem(text, "a block needs at least one thread in each direction")
            width = block[_AXES.index(axis)]
            return _Problem(
                text, f"round up, as in (n + {width - 1}) // {width}, and launch nothing where n is 0"
            )
    return None


def _axes(what: str, extents: tuple[int, int, int], limits: tuple[int, int, int] | None) -> _Problem | None:
    """Return the problem of an extent beyond the limit of its axis."""
    things = "threads" if what == "block" else "blocks"
    for axis, extent, limit in zip(_AXES, extents, limits or extents, strict=True):
        if extent > limit:
            return _Problem(
                f"{what}={extents} has extent {extent} in {axis}, and the device's limit there is {limit}",
                f"spread the {things} over another axis; x takes the most",
            )
    return None


def _smaller(block: tuple[int, int, int], grid: tuple[int, int, int], limit: int) -> str:
    """Suggest a block that fits, and the grid that covers the same threads with it."""
    sides = list(block)
    while prod(sides) > limit:
        longest = max(range(3), key=lambda axis: sides[axis])
        sides[longest] = -(-sides[longest] // 2)
    blocks = tuple(-(-n * old // new) for n, old, new in zip(grid, block, sides, strict=True))
    return f"block={tuple(sides)} with grid={blocks} covers the same threads"
