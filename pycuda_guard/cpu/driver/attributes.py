"""Attributes of the device: those of a GPU of compute capability 9.0, except where a CPU differs."""

from __future__ import annotations

COMPUTE_CAPABILITY = (9, 0)
MAX_THREADS_PER_BLOCK = 1024
MAX_BLOCK = (1024, 1024, 64)
MAX_GRID = (2147483647, 65535, 65535)
SHARED_PER_BLOCK = 48 << 10
#: with CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES; static shared memory included
SHARED_PER_BLOCK_OPTIN = 227 << 10
SHARED_RESERVED = 1 << 10
SHARED_PER_MULTIPROCESSOR = 228 << 10
REGISTERS = 64 << 10
WARP_SIZE = 32

#: the number of CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, which is the number of cores in use
MULTIPROCESSORS = 16
#: the largest number of an attribute
LAST = 147

#: values by number of CU_DEVICE_ATTRIBUTE_*; what is not here is 0: features that the CPU device lacks
VALUES = {
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
    39: 2048,  # threads on a multiprocessor
    40: 3,  # copy engines
    41: 1,  # unified addressing
    44: 1,  # 2D texture gather
    51: 32,  # alignment of texture pitches
    75: COMPUTE_CAPABILITY[0],
    76: COMPUTE_CAPABILITY[1],
    79: 1,  # L1 cache for global memory
    80: 1,  # L1 cache for local memory
    81: SHARED_PER_MULTIPROCESSOR,
    82: REGISTERS,
    83: 1,  # managed memory
    87: 2,  # ratio of single to double precision speed
    89: 1,  # host and device may use managed memory at the same time
    97: SHARED_PER_BLOCK_OPTIN,
    99: 1,  # registers host memory
    106: 32,  # blocks on a multiprocessor
    111: SHARED_RESERVED,
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
