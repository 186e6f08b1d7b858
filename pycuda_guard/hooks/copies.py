"""Copies of bytes between host, device and arrays, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from pycuda_guard.events.model import (
    Copy,
    CopyKind,
    DeviceOperand,
    Event,
    Extent,
    HostOperand,
    OddOperand,
    Operand,
)
from pycuda_guard.hooks.operands import ORDERS, array, device, host, name_of, plain
from pycuda_guard.hooks.patterns import remember
from pycuda_guard.hooks.streams import stream_id
from pycuda_guard.hooks.tap import Connect, Tap, ThreadState, Wrapped, announced, like

if TYPE_CHECKING:
    from pycuda_guard.callsite import Site
    from pycuda_guard.events.patterns import Pattern

# Reading a member off an Enum class is slow enough to matter on the way of every copy.
_HTOD = CopyKind.HTOD
_DTOH = CopyKind.DTOH
_DTOD = CopyKind.DTOD
_NOTHING = plain(0)


def _extent(buffer: Operand) -> Extent:
    """Return what a copy moves: PyCUDA copies as many bytes as the host buffer has."""
    return buffer.extent if type(buffer) is HostOperand else _NOTHING


def _copy(
    state: ThreadState,
    site: Site | None,
    call: str,
    kind: CopyKind,
    destination: Operand,
    source: Operand,
    stream: int,
    asynchronous: bool,
) -> Event | Pattern:
    """Return a copy by the calling thread, or what it has in common with those before that equal it."""
    if type(destination) is OddOperand or type(source) is OddOperand:
        return Copy(site, state.thread, state.context, call, kind, destination, source, stream, asynchronous)
    key = (site, destination.address, source.address)  # type: ignore[union-attr]
    copied = state.copies.get(key)
    if copied is not None:
        known: Copy = copied.example  # type: ignore[assignment]
        if (
            known.stream == stream
            and known.call is call
            and known.context == state.context
            and known.destination == destination
            and known.source == source
        ):
            return copied
    event = Copy(site, state.thread, state.context, call, kind, destination, source, stream, asynchronous)
    remember(state.copies, key, event)
    return event


def htod(call: str, asynchronous: bool = False) -> Connect:
    """Hook a copy from a host buffer to device memory."""

    def describe(
        tap: Tap, site: Site | None, state: ThreadState, /, dest: Any, src: Any, stream: Any = None
    ) -> Event | Pattern:
        source = host(tap, src, True)
        if state.uploading is not None and type(src) is bytes:
            source = _uploaded(tap, state.uploading, source)
        destination = _ordered(device(tap, dest, _extent(source)), state.transposing)
        handle = 0 if stream is None else stream.handle
        return _copy(state, site, call, _HTOD, destination, source, handle, asynchronous)

    return announced(call, describe)


def to_device(tap: Tap, wrapped: Wrapped) -> Wrapped:
    """Hook ``to_device``, which copies the bytes of an array: remember whose bytes they are."""
    threads = tap.threads

    def hook(*args: Any, **kwargs: Any) -> Any:
        if not tap.active:
            return wrapped(*args, **kwargs)
        state = threads.state
        before = state.uploading
        state.uploading = args[0] if args else kwargs.get("bf_obj")
        try:
            return wrapped(*args, **kwargs)
        finally:
            state.uploading = before

    return like(wrapped, hook)


def _uploaded(tap: Tap, buffer: Any, copied: Operand) -> Operand:
    """Give a copy of a buffer's bytes, in C order, the shape and dtype of the buffer."""
    described = host(tap, buffer)
    if type(described) is not HostOperand or type(copied) is not HostOperand:
        return copied
    if described.nbytes != copied.nbytes:
        return copied
    order = "CF" if described.order == "CF" else "C"
    shape, dtype, name = described.shape, described.dtype, described.type_name
    return msgspec.structs.replace(copied, shape=shape, dtype=dtype, order=order, type_name=name)


def copy_of_arrays(tap: Tap, wrapped: Wrapped) -> Wrapped:
    """Hook what ``GPUArray.set`` and ``get`` copy by: remember the GPUArray where orders disagree.

    The copy itself is given both memories as they lie.
    """
    threads = tap.threads

    def hook(dst: Any, src: Any, *args: Any, **kwargs: Any) -> Any:
        buffer, array = (src, dst) if isinstance(src, np.ndarray) else (dst, src)
        is_plain = not isinstance(buffer, np.ndarray) or buffer.ndim < 2
        if is_plain or not tap.active or getattr(array, "shape", None) != buffer.shape:
            return wrapped(dst, src, *args, **kwargs)
        state = threads.state
        state.transposing = _transposed(buffer, array, uploaded=buffer is src)
        try:
            return wrapped(dst, src, *args, **kwargs)
        finally:
            state.transposing = None

    return like(wrapped, hook)


def _transposed(buffer: np.ndarray[Any, Any], array: Any, *, uploaded: bool) -> DeviceOperand | None:
    """Describe a GPUArray that the elements of an array arrive in transposed, or come from; else None."""
    flags = getattr(array, "flags", None)  # of another array of the host there is nothing to know
    order = ORDERS[getattr(flags, "c_contiguous", 0) + 2 * getattr(flags, "f_contiguous", 0)]
    if {order, ORDERS[buffer.flags.num & 3]} != {"C", "F"}:
        return None
    if uploaded and buffer.tobytes("A") == buffer.tobytes("C" if order == "C" else "F"):
        return None  # a symmetric matrix, or zeros
    return DeviceOperand(0, _NOTHING, "GPUArray", array.shape, name_of(buffer.dtype), order)


def _ordered(operand: Operand, array: DeviceOperand | None) -> Operand:
    """Give device memory shape and order of the GPUArray that it is copied as, if there is one."""
    if array is None or type(operand) is not DeviceOperand:
        return operand
    return msgspec.structs.replace(operand, shape=array.shape, dtype=array.dtype, order=array.order)


def dtoh(call: str, asynchronous: bool = False) -> Connect:
    """Hook a copy from device memory to a host buffer."""

    def describe(
        tap: Tap, site: Site | None, state: ThreadState, /, dest: Any, src: Any, stream: Any = None
    ) -> Event | Pattern:
        destination = host(tap, dest, state.transposing is not None)
        source = _ordered(device(tap, src, _extent(destination)), state.transposing)
        handle = 0 if stream is None else stream.handle
        return _copy(state, site, call, _DTOH, destination, source, handle, asynchronous)

    return announced(call, describe)


def dtod(call: str, asynchronous: bool = False) -> Connect:
    """Hook a copy of ``size`` bytes within the device."""

    def describe(
        tap: Tap, site: Site | None, state: ThreadState, /, dest: Any, src: Any, size: int, stream: Any = None
    ) -> Event | Pattern:
        extent = plain(int(size))
        destination, source = device(tap, dest, extent), device(tap, src, extent)
        return _copy(state, site, call, _DTOD, destination, source, stream_id(stream), asynchronous)

    return announced(call, describe)


def peer(call: str, asynchronous: bool = False) -> Connect:
    """Hook a copy of ``size`` bytes between the memories of two contexts."""

    def describe(
        tap: Tap,
        site: Site | None,
        state: ThreadState,
        /,
        dest: Any,
        src: Any,
        size: int,
        dest_context: Any = None,
        src_context: Any = None,
        stream: Any = None,
    ) -> Event:
        extent = plain(int(size))
        return Copy(
            site,
            state.thread,
            state.context,
            call,
            CopyKind.PEER,
            device(tap, dest, extent),
            device(tap, src, extent),
            stream_id(stream),
            asynchronous,
        )

    return announced(call, describe)


def _array_copy(
    call: str, site: Site | None, state: ThreadState, destination: Operand, source: Operand
) -> Event:
    return Copy(site, state.thread, state.context, call, CopyKind.ARRAY, destination, source)


def _at(index: int, nbytes: int) -> Extent:
    """Return the extent of ``nbytes`` bytes that start ``index`` bytes into an array."""
    return Extent(int(nbytes), offset=int(index))


def _dtoa(
    tap: Tap, site: Site | None, state: ThreadState, /, ary: Any, index: int, src: Any, len: int
) -> Event:
    source = device(tap, src, plain(int(len)))
    return _array_copy("memcpy_dtoa", site, state, array(tap, ary, _at(index, len)), source)


def _atod(
    tap: Tap, site: Site | None, state: ThreadState, /, dest: Any, ary: Any, index: int, len: int
) -> Event:
    destination = device(tap, dest, plain(int(len)))
    return _array_copy("memcpy_atod", site, state, destination, array(tap, ary, _at(index, len)))


def _atoa(
    tap: Tap,
    site: Site | None,
    state: ThreadState,
    /,
    dest: Any,
    dest_index: int,
    src: Any,
    src_index: int,
    len: int,
) -> Event:
    destination = array(tap, dest, _at(dest_index, len))
    return _array_copy("memcpy_atoa", site, state, destination, array(tap, src, _at(src_index, len)))


def htoa(call: str) -> Connect:
    """Hook a copy from a host buffer into an array (``py_memcpy_htoa`` in some versions)."""

    def describe(tap: Tap, site: Site | None, state: ThreadState, /, ary: Any, index: int, src: Any) -> Event:
        source = host(tap, src)
        destination = array(tap, ary, _at(index, _extent(source).width))
        return _array_copy(call, site, state, destination, source)

    return announced(call, describe)


def atoh(call: str) -> Connect:
    """Hook a copy from an array into a host buffer (``py_memcpy_atoh`` in some versions)."""

    def describe(
        tap: Tap, site: Site | None, state: ThreadState, /, dest: Any, ary: Any, index: int
    ) -> Event:
        destination = host(tap, dest)
        source = array(tap, ary, _at(index, _extent(destination).width))
        return _array_copy(call, site, state, destination, source)

    return announced(call, describe)


dtoa = announced("memcpy_dtoa", _dtoa)
atod = announced("memcpy_atod", _atod)
atoa = announced("memcpy_atoa", _atoa)
