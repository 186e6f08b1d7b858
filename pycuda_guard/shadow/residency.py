"""How many blocks of a kernel are resident together, which matters where they wait for one another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import Any

    from pycuda_guard.events.model import Launch
    from pycuda_guard.shadow.loading import Loader, Variant

_WARP = 32
#: registers are handed out to warps by so many, shared memory to blocks; each block takes some for the system
_REGISTER_UNIT, _SHARED_UNIT, _SYSTEM_SHARED = 256, 128, 1024


class DeviceRoom(NamedTuple):
    """The multiprocessors of a device, and what each holds: threads, registers, bytes of shared memory."""

    multiprocessors: int
    threads: int
    registers: int
    shared: int


def resident_blocks(room: DeviceRoom, threads: int, registers: int, shared: int) -> int:
    """Return how many blocks are resident together on a device: what these take, a thread and a block."""
    warps = -(-threads // _WARP)
    taken = -(-registers * _WARP // _REGISTER_UNIT) * _REGISTER_UNIT * warps
    used = -(-(shared + _SYSTEM_SHARED) // _SHARED_UNIT) * _SHARED_UNIT
    each = min(room.threads // (warps * _WARP), room.registers // max(taken, 1), room.shared // used)
    return room.multiprocessors * each


def is_crowded(loader: Loader, variant: Variant, races: bool, shared: int, event: Launch) -> bool:
    """Tell whether all blocks of a launch are resident together, but not with checks.

    Then those that are would wait for the others for ever. A grid that is larger than what the program's own
    kernel has resident counts on an order of the blocks, and has it.
    """
    kernel = variant.plan.kernel
    blocks, threads = math.prod(event.grid), math.prod(event.block)
    if not kernel.waits or blocks <= 1 or not event.block:
        return False
    room = loader.ask_device()
    if blocks <= room.multiprocessors:
        return False

    def fits(function: Any, asked: int) -> bool:
        registers, static = loader.ask_resources(function)
        return resident_blocks(room, threads, registers, static + asked) >= blocks

    if not fits(loader.bare_function(variant), shared):
        return False
    functions = [(loader.get_function(variant.module, variant.name), shared)]
    if kernel.checked:
        functions.append((loader.checked_function(variant), kernel.shared_bytes(shared)))
    if races and kernel.races is not None:
        functions.append((loader.races_function(variant), kernel.races.shared_bytes(shared)))
    return not all(fits(*each) for each in functions)
