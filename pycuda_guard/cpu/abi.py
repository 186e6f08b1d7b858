"""What generated code, the C runtime and the driver must agree on: one table each.

Address space. The device's addresses lie in one reserved region of ``4 * WINDOW`` bytes, aligned to
its own size, which no host access can touch (PROT_NONE), as on a GPU::

    region + 0*WINDOW   device window: addresses of device memory, scratch, in-kernel heap; never mapped
    region + 1*WINDOW   its mirror: the memory behind them, where generated code and copies go
    region + 2*WINDOW   host window: pinned and managed memory, mapped for the host
    region + 3*WINDOW   its mirror: a second mapping of the same pages, for the device

So the memory behind any valid address ``a`` is at ``a | WINDOW``, and ``a`` is valid only if
``a & REGION_MASK`` is the region's base (bit WINDOW clear, region bits right). Generated code sends
every other address to one that faults, which becomes CUDA_ERROR_ILLEGAL_ADDRESS, and misaligned ones to the
middle of the device window, which becomes CUDA_ERROR_MISALIGNED_ADDRESS.
"""

from __future__ import annotations

from enum import IntEnum

WINDOW_BITS = 40
WINDOW = 1 << WINDOW_BITS
REGION = 4 * WINDOW

#: in ``a & REGION_MASK == region base`` for every valid device-side address
REGION_MASK = ~(REGION - 1) & 0xFFFF_FFFF_FFFF_FFFF | WINDOW

#: where invalid addresses are sent: not canonical on x86-64, however far an index moves it
POISON = 1 << 62

#: offset in the device window, amid addresses that are never mapped, where misaligned accesses are sent.
#: Accesses that leave the memory before or behind that window do not come near
MISALIGNED = WINDOW // 2

#: bytes of the device window reserved for the shared memory of each resident block, most of it never mapped.
#: A 32-bit offset may leave it, but for other blocks' windows, never for device or host memory
SHARED_WINDOW = 1 << 31

#: offset of dynamic shared memory in a block's shared window, above all static variables of any kernel
DYNAMIC_SHARED = 1 << 20

#: where in what threads exchange the 32-bit values of shuffles begin, with room for a warp before and behind
EXCHANGED_WORDS = 1024 * 8 + 32 * 4

#: offset in the device window from which on it belongs to the runtime (shared windows, local memory, the
#: in-kernel heap); device memory is allocated below
SCRATCH = WINDOW // 2

#: address of the first kernel of a module, as kernels see it that launch others; those of the rest follow
FIRST_KERNEL = 1 << 61
KERNEL_BYTES = 16


def kernel_address(number: int) -> int:
    """Return the address of a module's kernel by its number among the kernels of the module."""
    return FIRST_KERNEL + KERNEL_BYTES * number


def kernel_number(address: int) -> int | None:
    """Return which kernel of a module has this address; None if it is no such address."""
    number, rest = divmod(address - FIRST_KERNEL, KERNEL_BYTES)
    return None if rest or number < 0 else number


class State(IntEnum):
    """What a region of a kernel returns instead of the number of the next region."""

    EXITED = -1
    MIXED = -2  # the threads of the block go on in different regions: take the slow path


class Suspension(IntEnum):
    """Why threads stop at the start of a region; how the scheduler lets them go on."""

    NONE = 0
    BARRIER = 1  # the whole block (bar.sync 0 and the like)
    WARP = 2  # the lanes of this thread's mask (shfl.sync, vote.sync, match, redux, bar.warp.sync)
    VOTE_BARRIER = 3  # the whole block, exchanging a value (bar.red)
    LOCKSTEP = 4  # the warp, without a mask: around volatile shared stores (warp-synchronous code)
    YIELD = 5  # nobody in particular: a loop header, so that blocks and warps take turns
    NAMED_BARRIER = 6  # barrier `warp_mask & 15` for `warp_mask >> 4` threads (0: the whole block)
    ARRIVAL = 7  # bar.arrive: counts at that barrier, but waits for nobody
    SPIN = 8  # nobody in particular, but going on helps only when others have: a loop that waits for a store
    NAMED_VOTE_BARRIER = 9  # as NAMED_BARRIER, exchanging a value: votes, and voters << 32, for each


#: fields of ``struct pg_block`` in order: name, C type, number of elements
BLOCK_FIELDS: tuple[tuple[str, str, int], ...] = (
    ("parameters", "u64", 1),  # host address of the parameter buffer, 64-byte aligned
    ("shared", "u64", 1),  # device address of this worker's shared window
    ("local", "u64", 1),  # device address of this worker's local memory; thread i at local + i * local_stride
    ("frame", "u64", 1),  # host address of spilled registers: slot s of thread i at frame + 8*(s*threads + i)
    ("state", "u64", 1),  # host address of i32[threads]: region each thread is at, or State
    ("exchange", "u64", 1),  # host address of what is given to warp operations: u64[1024], then words
    ("snapshot", "u64", 1),  # the same as it was at the release
    ("warp_mask", "u64", 1),  # host address of u32[threads]: member masks of warp operations
    ("launch", "u64", 1),  # host address of the running launch, for the C runtime
    ("grid", "u32", 3),
    ("block", "u32", 3),
    ("block_index", "u32", 3),
    ("threads", "u32", 1),  # of the block
    ("dynamic_shared", "u32", 1),  # bytes
    ("local_stride", "u32", 1),  # bytes
)
SIZES = {"u64": 8, "u32": 4}


def block_offsets() -> dict[str, int]:
    """Return the byte offset of every field of ``struct pg_block``."""
    offsets = {}
    position = 0
    for name, kind, count in BLOCK_FIELDS:
        offsets[name] = position
        position += SIZES[kind] * count
    return offsets


def is_region_address(address: int, base: int) -> bool:
    """Whether ``address`` lies in the device or the host window of the region at ``base``."""
    return address & REGION_MASK == base


class FaultKind(IntEnum):
    """How a launch ended."""

    NONE = 0
    ILLEGAL_ADDRESS = 1
    TRAP = 2
    ASSERT = 3
    DEADLOCK = 4  # no thread of a block can go on
    STACK_OVERFLOW = 5
    ILLEGAL_INSTRUCTION = 6
    TIMEOUT = 7  # given up when its time was over
    INTERRUPTED = 8  # given up because a signal's handler raised an exception in the program
    MISALIGNED_ADDRESS = 9
