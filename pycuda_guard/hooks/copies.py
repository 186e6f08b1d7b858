"""Copies of bytes between host, device and arrays, in one call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pycuda_guard.events.model import Copy, CopyKind, Event, Extent, HostOperand, Operand
from pycuda_guard.hooks.operands import array, device, host, plain
from pycuda_guard.hooks.streams import stream_id
from pycuda_guard.hooks.tap import Connect, Tap, ThreadState, Wrapped, announced, like

if TYPE_CHECKING:
    from pycuda_guard.callsite import Site

# Reading a member off an Enum class is slow enough to matter on the way of every copy.
_HTOD = CopyKind.HTOD
_DTOH = CopyKind.DTOH
_DTOD = CopyKind.DTOD
_NOTHING = plain(0)


def _extent(buffer: Operand) -> Extent:
    """Return what a copy moves: PyCUDA copies as many bytes as the host buffer has."""
    return buffer.extent if type(buffer) is HostOperand else _NOTHING


def htod(call: str, asynchronous: bool = False) -> Connect:
    """Hook a copy from a host buffer to device memory."""

    def describe(
        tap: Tap, site: Site | None, state: ThreadState, /, dest: Any, src: Any, stream: Any = None
    ) -> Event:
        source = host(tap, src, True)
        if state.uploading is not None and type(src) is bytes:
            source = _uploaded(tap, state.uploading, source)
        return Copy(
            site,
            state.thread,
            state.context,
            call,
            _HTOD,
            device(tap, dest, _extent(source)),
            source,
            0 if stream is None else stream.handle,
            asynchronous,
        )

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


def dtoh(call: str, asynchronous: bool = False) -> Connect:
    """Hook a copy from device memory to a host buffer."""

    def describe(
        tap: Tap, site: Site | None, state: ThreadState, /, dest: Any, src: Any, stream: Any = None
    ) -> Event:
        destination = host(tap, dest)
        return Copy(
            site,
            state.thread,
            state.context,
            call,
            _DTOH,
            destination,
            device(tap, src, _extent(destination)),
            0 if stream is None else stream.handle,
            asynchronous,
        )

    return announced(call, describe)


def dtod(call: str, asynchronous: bool = False) -> Connect:
    """Hook a copy of ``size`` bytes within the device."""

    def describe(
        tap: Tap, site: Site | None, state: ThreadState, /, dest: Any, src: Any, size: int, stream: Any = None
    ) -> Event:
        extent = plain(int(size))
        return Copy(
            site,
            state.thread,
            state.context,
            call,
            _DTOD,
            device(tap, dest, extent),
            device(tap, src, extent),
            stream_id(stream),
            asynchronous,
        )

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
