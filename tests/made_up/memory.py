"""Made-up memory: device addresses are 0xD000_0000 and up, host addresses 0x1000_0000 and up."""

from __future__ import annotations

from typing import Any

from made_up.places import CTX, MAIN, where

from pycuda_guard.events import model as m

A, B, C = 0xD000_0000, 0xD010_0000, 0xD020_0000  #: device allocations, 1 MiB apart
HOST, HOST_B = 0x1000_0000, 0x1010_0000
DEVICE, POOL = m.MemoryKind.DEVICE, m.MemoryKind.POOL
PINNED, REGISTERED = m.MemoryKind.PINNED, m.MemoryKind.REGISTERED


def alloc(
    address: int,
    nbytes: int,
    kind: m.MemoryKind = DEVICE,
    line: int = 1,
    context: int = CTX,
    call: str = "mem_alloc",
    **fields: Any,
) -> m.Allocated:
    """``mem_alloc(nbytes)`` returned ``address``."""
    return m.Allocated(*where(line, context), call, address, nbytes, kind, **fields)


def free(address: int, how: str = "free", kind: m.MemoryKind = DEVICE, line: int = 2) -> m.Freed:
    """``address`` is freed."""
    return m.Freed(*where(line), address, kind, how)


def collected(address: int, kind: m.MemoryKind = DEVICE, line: int = 2) -> m.Freed:
    """``address`` is garbage-collected."""
    return free(address, "collected", kind, line)


def dev(address: int, nbytes: int | m.Extent, **fields: Any) -> m.DeviceOperand:
    """Device memory from ``address``, as one end of a copy."""
    extent = nbytes if isinstance(nbytes, m.Extent) else m.Extent(nbytes)
    return m.DeviceOperand(address, extent, **fields)


def memset(address: int, count: int, item_size: int = 4, line: int = 28, **fields: Any) -> m.Memset:
    """``memset_d32(address, value, count)``."""
    operand = dev(address, count * item_size, **fields)
    return m.Memset(*where(line), "memset_d32", operand, item_size, count)


def contents(cause: int, base: int, *runs: tuple[int, int, int], skip: int = 0) -> m.Contents:
    """Who wrote ``(start, end, writer)``, byte offsets from ``base``; asked from ``skip`` on."""
    gaps = [run for run in runs if run[2] == 0]
    size = sum(end - start for start, end, _ in gaps)
    first, last = (gaps[0][0], gaps[-1][1]) if gaps else (0, 0)
    nbytes = max(end for _, end, _ in runs) - skip
    return m.Contents(None, MAIN, CTX, cause, base + skip, nbytes, base, runs, size, first, last)
