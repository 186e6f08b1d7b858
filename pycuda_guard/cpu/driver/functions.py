"""Kernels: their attributes, and launching them."""

from __future__ import annotations

import ctypes
from functools import partial
from typing import TYPE_CHECKING

from pycuda_guard.cpu.driver import contexts, state, streams
from pycuda_guard.cpu.driver.attributes import (
    MAX_BLOCK,
    MAX_GRID,
    MAX_THREADS_PER_BLOCK,
    SHARED_PER_BLOCK,
    SHARED_PER_BLOCK_OPTIN,
)
from pycuda_guard.cpu.driver.cells import get_u64, put_i32
from pycuda_guard.cpu.driver.errors import DriverError, Result
from pycuda_guard.cpu.driver.running import Launch, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.cpu.codegen.plan import KernelPlan
    from pycuda_guard.cpu.driver.queues import Queue
    from pycuda_guard.cpu.runtime import Kernel, Triple

# CU_FUNC_ATTRIBUTE_*
_MAX_THREADS, _STATIC_SHARED, _LOCAL_BYTES, _REGISTERS = 0, 1, 3, 4
_PTX, _MACHINE_CODE, _MAX_DYNAMIC_SHARED, _CARVEOUT = 5, 6, 8, 9
_LAST_ATTRIBUTE = 15
_CLUSTER_ATTRIBUTES = range(11, 16)
_PTX_VERSION = 90
_CACHE_PREFERENCES = range(4)
_SHARED_CONFIGS = range(3)
_PARAMETER_LIMIT = 32764  # bytes of parameters that a kernel can have
_EXTRA_END, _EXTRA_POINTER, _EXTRA_SIZE = 0, 1, 2  # CU_LAUNCH_PARAM_*


class Function:
    """A kernel of a context, with what callers have set for it."""

    def __init__(
        self,
        context: contexts.Context,
        outline: KernelPlan,
        find: Callable[[], Kernel],
        sibling: Callable[[int], Function | None],
    ) -> None:
        """``outline`` has the limits of a launch.

        ``find`` returns the kernel; it is called when something is asked that needs its code. ``sibling``
        returns a kernel of the same module by its number there.
        """
        self.context = context
        self.outline = outline
        self._find = find
        self.sibling = sibling
        self._kernel: Kernel | None = None
        self._max_dynamic_shared = -1  # not set
        self.carveout = -1
        self.block: Triple = (1, 1, 1)
        self.dynamic_shared = 0
        self.parameters = bytearray()

    @property
    def kernel(self) -> Kernel:
        """The kernel, compiled when first asked for."""
        if self._kernel is None:
            self._kernel = self._find()
        return self._kernel

    @property
    def max_threads(self) -> int:
        """Threads that a block may have."""
        return min(self.outline.max_threads or MAX_THREADS_PER_BLOCK, MAX_THREADS_PER_BLOCK)

    @property
    def max_dynamic_shared(self) -> int:
        """Bytes of dynamic shared memory that a launch may ask for."""
        if self._max_dynamic_shared >= 0:
            return self._max_dynamic_shared
        return max(0, SHARED_PER_BLOCK - self.outline.static_shared)

    @max_dynamic_shared.setter
    def max_dynamic_shared(self, nbytes: int) -> None:
        self._max_dynamic_shared = nbytes

    def attribute(self, number: int) -> int:
        """Return an attribute by number of CU_FUNC_ATTRIBUTE_*."""
        if number in (_LOCAL_BYTES, _REGISTERS):
            plan = self.kernel.plan
            return plan.local_bytes if number == _LOCAL_BYTES else plan.registers
        # all others but these are 0: constant memory, what is cached in L1, clusters
        known = {
            _MAX_THREADS: self.max_threads,
            _STATIC_SHARED: self.outline.static_shared,
            _PTX: _PTX_VERSION,
            _MACHINE_CODE: _PTX_VERSION,
            _MAX_DYNAMIC_SHARED: self.max_dynamic_shared,
            _CARVEOUT: self.carveout,
        }
        return known.get(number, 0)

    def check_block(self, block: Triple) -> None:
        """Raise unless a block of these extents can be launched."""
        x, y, z = block
        if not (0 < x <= MAX_BLOCK[0] and 0 < y <= MAX_BLOCK[1] and 0 < z <= MAX_BLOCK[2]):
            raise DriverError(Result.INVALID_VALUE)
        if x * y * z > self.max_threads:
            raise DriverError(Result.INVALID_VALUE)

    def check(self, grid: Triple, block: Triple, shared: int) -> None:
        """Raise unless the kernel can be launched so. ``shared`` is in bytes."""
        self.check_block(block)
        if not (0 < grid[0] <= MAX_GRID[0] and 0 < grid[1] <= MAX_GRID[1] and 0 < grid[2] <= MAX_GRID[2]):
            raise DriverError(Result.INVALID_VALUE)
        if shared > self.max_dynamic_shared:
            raise DriverError(Result.INVALID_VALUE)
        kernel = self.kernel
        if kernel.plan.unsupported:
            raise DriverError(
                Result.NOT_SUPPORTED,
                f"kernel {kernel.name} cannot run on the CPU device: {kernel.plan.unsupported}",
            )

    def launch(self, grid: Triple, block: Triple, shared: int, queue: Queue, parameters: bytes) -> None:
        """Check the extents and queue the kernel. ``shared`` is in bytes."""
        self.check(grid, block, shared)
        queue.enqueue(partial(run, Launch(self, grid, block, shared, parameters)))


handles = state.Handles(0x6000_0000)


def lookup(handle: int) -> Function:
    """Return the kernel of a handle."""
    function: Function = handles.get(handle)
    return function


def get_attribute(out: int, number: int, handle: int) -> None:
    """Return an attribute of a kernel; its number of registers is an estimate."""
    contexts.current_waiting()
    if not 0 <= number <= _LAST_ATTRIBUTE:
        raise DriverError(Result.INVALID_VALUE)
    put_i32(out, lookup(handle).attribute(number))


def set_attribute(handle: int, number: int, value: int) -> None:
    """Set the limit of dynamic shared memory of a kernel, or its preferred share of the cache."""
    contexts.current_waiting()
    function = lookup(handle)
    if number == _MAX_DYNAMIC_SHARED:
        if value < 0 or function.outline.static_shared + value > state.attributes[SHARED_PER_BLOCK_OPTIN]:
            raise DriverError(Result.INVALID_VALUE)
        function.max_dynamic_shared = value
    elif number == _CARVEOUT:
        if not -1 <= value <= 100:
            raise DriverError(Result.INVALID_VALUE)
        function.carveout = value
    elif number in _CLUSTER_ATTRIBUTES:
        raise DriverError(Result.NOT_SUPPORTED, "the CPU device has no thread block clusters")
    else:
        raise DriverError(Result.INVALID_VALUE)


def set_cache_config(handle: int, preference: int) -> None:
    """Accept a preferred split between cache and shared memory; it has no effect."""
    contexts.current_waiting()
    lookup(handle)
    if preference not in _CACHE_PREFERENCES:
        raise DriverError(Result.INVALID_VALUE)


def set_shared_config(handle: int, config: int) -> None:
    """Accept a width of shared memory banks; it has no effect."""
    contexts.current_waiting()
    lookup(handle)
    if config not in _SHARED_CONFIGS:
        raise DriverError(Result.INVALID_VALUE)


def launch_kernel(
    handle: int,
    grid_x: int,
    grid_y: int,
    grid_z: int,
    block_x: int,
    block_y: int,
    block_z: int,
    shared: int,
    stream: int,
    parameters: int,
    extra: int,
) -> None:
    """Launch a kernel, with an array of pointers to arguments or a buffer of packed ones.

    A buffer smaller than the kernel's parameters is filled up with zeros, a larger one is refused.
    """
    context = contexts.current()
    function = lookup(handle)
    if function.context is not context:
        raise DriverError(Result.INVALID_HANDLE)
    queue = streams.lookup(stream, context)
    packed = _packed(function, parameters, extra)
    function.launch((grid_x, grid_y, grid_z), (block_x, block_y, block_z), shared, queue, packed)


def _packed(function: Function, parameters: int, extra: int) -> bytes:
    plan = function.kernel.plan
    if parameters and extra:
        raise DriverError(Result.INVALID_VALUE)
    if extra:
        address = nbytes = 0
        word = ctypes.c_uint64.from_address
        while (tag := word(extra).value) != _EXTRA_END:
            if tag == _EXTRA_POINTER:
                address = word(extra + 8).value
            elif tag == _EXTRA_SIZE:
                nbytes = get_u64(word(extra + 8).value)
            else:
                raise DriverError(Result.INVALID_VALUE)
            extra += 16
        if nbytes > plan.parameter_bytes:
            raise DriverError(Result.LAUNCH_OUT_OF_RESOURCES)
        return ctypes.string_at(address, nbytes) if nbytes else b""
    if not plan.parameter_bytes:
        return b""
    buffer = bytearray(plan.parameter_bytes)
    for index, (offset, size) in enumerate(plan.parameters):
        buffer[offset : offset + size] = ctypes.string_at(
            get_u64(parameters and parameters + 8 * index), size
        )
    return bytes(buffer)


def set_block_shape(handle: int, x: int, y: int, z: int) -> None:
    """Set the block that cuLaunch uses."""
    contexts.current_waiting()
    function = lookup(handle)
    function.check_block((x, y, z))
    function.block = (x, y, z)


def set_shared_size(handle: int, nbytes: int) -> None:
    """Set the dynamic shared memory that cuLaunch uses."""
    contexts.current_waiting()
    function = lookup(handle)
    if nbytes > SHARED_PER_BLOCK:
        raise DriverError(Result.INVALID_VALUE)
    function.dynamic_shared = nbytes


def set_parameter_size(handle: int, nbytes: int) -> None:
    """Set the number of bytes of parameters that cuLaunch uses."""
    contexts.current_waiting()
    _resize(lookup(handle), nbytes)


def set_parameter(handle: int, offset: int, address: int, nbytes: int) -> None:
    """Set bytes of the parameters that cuLaunch uses."""
    contexts.current_waiting()
    function = lookup(handle)
    if not address:
        raise DriverError(Result.INVALID_VALUE)
    _store(function, offset, ctypes.string_at(address, nbytes))


def set_parameter_integer(handle: int, offset: int, value: int) -> None:
    """Set an integer among the parameters that cuLaunch uses."""
    contexts.current_waiting()
    _store(lookup(handle), offset, value.to_bytes(4, "little"))


def set_parameter_float(handle: int, offset: int, value: float) -> None:
    """Set a float among the parameters that cuLaunch uses."""
    contexts.current_waiting()
    _store(lookup(handle), offset, bytes(ctypes.c_float(value)))


def _store(function: Function, offset: int, data: bytes) -> None:
    if len(function.parameters) < offset + len(data):
        _resize(function, offset + len(data))
    function.parameters[offset : offset + len(data)] = data


def _resize(function: Function, nbytes: int) -> None:
    if not 0 <= nbytes <= _PARAMETER_LIMIT:
        raise DriverError(Result.INVALID_VALUE)
    function.parameters = function.parameters[:nbytes].ljust(nbytes, b"\0")


def launch(handle: int) -> None:
    """Launch one block with the block shape and parameters set before."""
    launch_grid_async(handle, 1, 1, 0)


def launch_grid(handle: int, width: int, height: int) -> None:
    """Launch a grid with the block shape and parameters set before."""
    launch_grid_async(handle, width, height, 0)


def launch_grid_async(handle: int, width: int, height: int, stream: int) -> None:
    """Launch a grid on a stream with the block shape and parameters set before."""
    context = contexts.current()
    function = lookup(handle)
    queue = streams.lookup(stream, context)
    size = function.kernel.plan.parameter_bytes
    packed = bytes(function.parameters[:size])
    function.launch((width, height, 1), function.block, function.dynamic_shared, queue, packed)
