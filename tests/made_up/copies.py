"""Made-up copies, and the arrays of the host that they are from or to."""

from __future__ import annotations

from typing import Any

from made_up.memory import HOST, A, dev
from made_up.places import where

from pycuda_guard.events import model as m

_SIZES = {"int8": 1, "uint8": 1, "bool": 1, "int16": 2, "float16": 2, "int32": 4, "uint32": 4, "float32": 4}


def host(
    shape: int | tuple[int, ...], dtype: str = "float32", extent: m.Extent | None = None, **fields: Any
) -> m.HostOperand:
    """A numpy array of this shape and dtype."""
    dimensions = (shape,) if isinstance(shape, int) else shape
    nbytes = _SIZES.get(dtype, 8)
    for n in dimensions:
        nbytes *= n
    fields = {"order": "CF" if len(dimensions) == 1 else "C", **fields}
    return m.HostOperand(HOST, extent or m.Extent(nbytes), nbytes, shape=dimensions, dtype=dtype, **fields)


def pinned(n: int = 100) -> m.HostOperand:
    """A page-locked array of ``n`` float32."""
    return host(n, kind=m.HostKind.PINNED)


def htod(address: int | m.Operand, source: m.Operand, line: int = 10, **fields: Any) -> m.Copy:
    """``memcpy_htod(address, source)``."""
    size = source.extent.width if isinstance(source, m.HostOperand) else 0
    destination = dev(address, size) if isinstance(address, int) else address
    return m.Copy(*where(line), "memcpy_htod", m.CopyKind.HTOD, destination, source, **fields)


def dtoh(destination: m.Operand, address: int | m.Operand, line: int = 20, **fields: Any) -> m.Copy:
    """``memcpy_dtoh(destination, address)``."""
    size = destination.extent.width if isinstance(destination, m.HostOperand) else 0
    source = dev(address, size) if isinstance(address, int) else address
    return m.Copy(*where(line), "memcpy_dtoh", m.CopyKind.DTOH, destination, source, **fields)


def upload(on: int, address: int = A, n: int = 100, line: int = 15) -> m.Copy:
    """``memcpy_htod_async(address, pinned, stream)`` of ``n`` float32."""
    return htod(address, pinned(n), line, stream=on, asynchronous=True)


def download(on: int, address: int = A, n: int = 100, line: int = 20) -> m.Copy:
    """``memcpy_dtoh_async(pinned, address, stream)`` of ``n`` float32."""
    return dtoh(pinned(n), address, line, stream=on, asynchronous=True)


def dtod(destination: int | m.Operand, source: int | m.Operand, nbytes: int = 0, line: int = 25) -> m.Copy:
    """``memcpy_dtod(destination, source, nbytes)``."""
    ends = [dev(end, nbytes) if isinstance(end, int) else end for end in (destination, source)]
    return m.Copy(*where(line), "memcpy_dtod", m.CopyKind.DTOD, *ends)


def copy2d(destination: m.Operand, source: m.Operand, line: int = 26, **fields: Any) -> m.Copy:
    """A filled ``Memcpy2D`` or ``Memcpy3D`` is called."""
    return m.Copy(*where(line), "Memcpy2D", m.CopyKind.MIXED, destination, source, **fields)
