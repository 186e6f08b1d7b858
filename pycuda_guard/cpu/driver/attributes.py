"""Attributes of the device: those of a GPU of its compute capability, except where a CPU differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pycuda_guard.cpu.options import DeviceOptions

MAX_THREADS_PER_BLOCK = 1024
MAX_BLOCK = (1024, 1024, 64)
MAX_GRID = (2147483647, 65535, 65535)
SHARED_PER_BLOCK = 48 << 10
REGISTERS = 64 << 10
WARP_SIZE = 32

#: numbers of CU_DEVICE_ATTRIBUTE_*: of multiprocessors, which are the cores in use; of the shared memory that
#: a block can have with CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, static shared memory included
MULTIPROCESSORS = 16
SHARED_PER_BLOCK_OPTIN = 97
PCI_BUS = 33
CAPABILITY_MAJOR, CAPABILITY_MINOR = 75, 76
#: the largest number of an attribute
LAST = 147

#: values by number of CU_DEVICE_ATTRIBUTE_*; what is nowhere is 0: features that the CPU device lacks
_COMMON = {
    1: MAX_THREADS_PER_BLOCK,
    2: MAX_BLOCK[0],
    3: MAX_BLOCK[1],
    4: MAX_BLOCK[2],
    5: MAX_GRID[0],
    6: MAX_GRID[1],
    7: MAX_GRID[2],
    8: SHARED_PER_BLOCK,
    9: 64 << 10,  # constant memory
    10: WARP_SIZE,
    11: 2147483647,  # largest pitch
    12: REGISTERS,
    13: 1980000,  # clock rate in kHz
    14: 512,  # alignment of textures
    15: 1,  # copies overlap with kernels
    19: 1,  # maps host memory
    30: 512,  # alignment of surfaces
    31: 1,  # several kernels at a time
    36: 3201000,  # memory clock rate in kHz
    37: 6016,  # width of the memory bus in bits
    38: 60 << 20,  # L2 cache
    40: 3,  # copy engines
    41: 1,  # unified addressing
    44: 1,  # 2D texture gather
    51: 32,  # alignment of texture pitches
    79: 1,  # L1 cache for global memory
    80: 1,  # L1 cache for local memory
    82: REGISTERS,
    83: 1,  # managed memory
    89: 1,  # host and device may use managed memory at the same time
    99: 1,  # registers host memory
    # largest extents of textures and surfaces
    **dict.fromkeys((21, 22, 56, 70), 131072),
    **dict.fromkeys((23, 57), 65536),
    71: 65000,
    **dict.fromkeys((27, 28, 42, 45, 46, 49, 52, 53, 55, 61, 63, 64, 66, 67, 73, 74, 77), 32768),
    **dict.fromkeys((24, 25, 26, 58, 59, 60), 16384),
    **dict.fromkeys((47, 48), 8192),
    **dict.fromkeys((29, 43, 62, 65), 2048),
    **dict.fromkeys((54, 68), 2046),
    69: 268435456,
    72: 2097120,
}


class _Multiprocessor(NamedTuple):
    """What a multiprocessor holds, by compute capability; sizes in KiB."""

    threads: int
    blocks: int
    shared: int
    shared_optin: int  # for a block
    shared_reserved: int  # for each block
    double_ratio: int  # of single to double precision speed


_MULTIPROCESSORS = {
    "7.5": _Multiprocessor(1024, 16, 64, 64, 0, 32),
    "8.0": _Multiprocessor(2048, 32, 164, 163, 1, 2),
    "8.6": _Multiprocessor(1536, 16, 100, 99, 1, 64),
    "8.7": _Multiprocessor(1536, 16, 164, 163, 1, 64),
    "8.9": _Multiprocessor(1536, 24, 100, 99, 1, 64),
    "9.0": _Multiprocessor(2048, 32, 228, 227, 1, 2),
}


def attributes(options: DeviceOptions) -> dict[int, int]:
    """Return the attributes of a device by number of CU_DEVICE_ATTRIBUTE_*."""
    one = _MULTIPROCESSORS[options.compute_capability]
    major, minor = options.compute_capability.split(".")
    return {
        **_COMMON,
        MULTIPROCESSORS: options.threads,
        39: one.threads,
        CAPABILITY_MAJOR: int(major),
        CAPABILITY_MINOR: int(minor),
        81: one.shared << 10,
        87: one.double_ratio,
        SHARED_PER_BLOCK_OPTIN: one.shared_optin << 10,
        106: one.blocks,
        111: one.shared_reserved << 10,
        **options.attributes,
    }
