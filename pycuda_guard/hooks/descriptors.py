"""Copies by descriptor: Memcpy2D, Memcpy3D and Memcpy3DPeer.

Such an object is filled in by setters and copies when it is called. What a host or array setter
was given can't be read back, so the setters are hooked and the operands kept beside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pycuda_guard.events.model import (
    DEFAULT_STREAM,
    ArrayOperand,
    Copy,
    CopyKind,
    DeviceOperand,
    Event,
    Extent,
    HostOperand,
    OddOperand,
    Operand,
)
from pycuda_guard.hooks.operands import array, device, host, plain
from pycuda_guard.hooks.tap import Connect, Tap, ThreadState, announced, reported

if TYPE_CHECKING:
    from pycuda_guard.callsite import Site

_NOTHING = plain(0)


def create(call: str) -> Connect:
    """Hook the constructor: a new descriptor has no ends, whatever had its ``id()`` before."""

    def forget(
        tap: Tap, site: Site | None, state: ThreadState, result: None, /, descriptor: Any, *args: Any
    ) -> None:
        tap.ends.pop(id(descriptor), None)

    return reported(call, forget)


def set_end(call: str, end: str, kind: str) -> Connect:
    """Hook a setter of the ``src`` or ``dst`` end: kind is host, device, array or unified."""

    def remember(
        tap: Tap, site: Site | None, state: ThreadState, result: None, /, descriptor: Any, value: Any
    ) -> None:
        operand: Operand
        if kind == "host":
            operand = host(tap, value)
        elif kind == "array":
            operand = array(tap, value, _NOTHING)
        elif kind == "device":
            operand = device(tap, value, _NOTHING)
        else:
            operand = host(tap, value)
            if isinstance(operand, OddOperand):
                operand = device(tap, value, _NOTHING)
        tap.ends.setdefault(id(descriptor), {})[end] = operand

    return reported(call, remember)


def copy(call: str) -> Connect:
    """Hook the call of a descriptor, which copies; with a stream it is asynchronous."""

    def describe(
        tap: Tap, site: Site | None, state: ThreadState, /, descriptor: Any, *args: Any, **kwargs: Any
    ) -> Event:
        stream = next((value for value in (*args, *kwargs.values()) if hasattr(value, "handle")), None)
        return Copy(
            site,
            state.thread,
            state.context,
            call,
            CopyKind.MIXED,
            _end(tap, descriptor, "dst"),
            _end(tap, descriptor, "src"),
            DEFAULT_STREAM if stream is None else int(stream.handle),
            stream is not None,
        )

    return announced(call, describe)


def _end(tap: Tap, descriptor: Any, end: str) -> Operand:
    """Put one end's operand and its geometry together."""
    operand = tap.ends.get(id(descriptor), {}).get(end)
    if str(getattr(descriptor, f"{end}_memory_type")).rpartition(".")[2] == "DEVICE":
        # The src_device property may have been assigned to after the setter was called.
        address = int(getattr(descriptor, f"{end}_device"))
        if not isinstance(operand, DeviceOperand) or operand.address != address:
            operand = device(tap, address, _NOTHING)
    if operand is None:
        return OddOperand("nothing")
    if isinstance(operand, ArrayOperand):
        pitch, rows_a_slice = tap.array_rows.get(operand.handle, (0, 0))
    else:
        pitch = int(getattr(descriptor, f"{end}_pitch"))
        # Memcpy2D has no such property, but PyCUDA assigns an attribute of that name to it.
        rows_a_slice = int(getattr(descriptor, f"{end}_height", 0)) if hasattr(descriptor, "depth") else 0
    extent = _extent(descriptor, end, pitch, pitch * rows_a_slice)
    if isinstance(operand, DeviceOperand | HostOperand | ArrayOperand):
        return msgspec.structs.replace(operand, extent=extent)
    return operand


def _extent(descriptor: Any, end: str, pitch: int, slice_pitch: int) -> Extent:
    x = int(getattr(descriptor, f"{end}_x_in_bytes"))
    y = int(getattr(descriptor, f"{end}_y"))
    z = int(getattr(descriptor, f"{end}_z", 0))
    return Extent(
        int(descriptor.width_in_bytes),
        rows=int(descriptor.height),
        pitch=pitch,
        slices=int(getattr(descriptor, "depth", 1)),
        slice_pitch=slice_pitch,
        offset=x + y * pitch + z * slice_pitch,
    )
