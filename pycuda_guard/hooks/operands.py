"""Describes the memory that a call names: device pointers, host buffers, CUDA arrays.

An operand of a type that the call does not take becomes an :class:`OddOperand`; the call is made
all the same, and PyCUDA says what it thinks of it.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from pycuda_guard.events.model import (
    ArrayOperand,
    DeviceOperand,
    Extent,
    HostKind,
    HostOperand,
    MemoryKind,
    OddOperand,
    Operand,
)

if TYPE_CHECKING:
    from pycuda_guard.events.model import Address
    from pycuda_guard.hooks.tap import Tap

_PAGEABLE = HostKind.PAGEABLE
#: orders of an array by the two low bits of ndarray.flags.num
ORDERS = (None, "C", "F", "CF")
_WRITEABLE = 0x400

_POINTERS = {
    "DeviceAllocation": MemoryKind.DEVICE,
    "PooledDeviceAllocation": MemoryKind.POOL,
    "ManagedAllocation": MemoryKind.MANAGED,
    "IPCMemoryHandle": MemoryKind.IPC,
}
_OWNERS = {
    "PagelockedHostAllocation": HostKind.PINNED,
    "HostAllocation": HostKind.PINNED,
    "PooledHostAllocation": HostKind.PINNED,
    "RegisteredHostMemory": HostKind.REGISTERED,
    "ManagedAllocation": HostKind.MANAGED,
}
_FORMAT_BYTES = {
    "UNSIGNED_INT8": 1,
    "UNSIGNED_INT16": 2,
    "UNSIGNED_INT32": 4,
    "SIGNED_INT8": 1,
    "SIGNED_INT16": 2,
    "SIGNED_INT32": 4,
    "HALF": 2,
    "FLOAT": 4,
}


def learn_types(tap: Tap) -> None:
    """Fill the tap's tables of PyCUDA's classes; those missing in this version are left out."""
    for name, kind in _POINTERS.items():
        if (cls := getattr(tap.driver, name, None)) is not None:
            tap.pointer_types[cls] = name
            tap.memory_types[cls] = kind
    for name, host_kind in _OWNERS.items():
        if (cls := getattr(tap.driver, name, None)) is not None:
            tap.host_types[cls] = host_kind


# --- plain data that is asked for on every call -------------------------------------------------

# ndarray.ctypes.data and __array_interface__ build objects around one machine word and take
# 1.5 and 2.8 µs, as much as all the rest of a hook. The word itself, PyArrayObject.data, has been
# the first one after the object header for as long as NumPy's C interface exists. The probe below
# makes sure of that in this very interpreter.
_HEADER = object.__basicsize__
_word_at = ctypes.c_size_t.from_address


def _read_address(array: np.ndarray[Any, Any]) -> Address:
    return _word_at(id(array) + _HEADER).value


def _ask_address(array: np.ndarray[Any, Any]) -> Address:
    return array.ctypes.data


_probe = np.empty(3)
address_of = _read_address if _read_address(_probe) == _probe.ctypes.data else _ask_address

_names: dict[np.dtype[Any], str] = {}
_extents: dict[int, Extent] = {}


def name_of(dtype: np.dtype[Any]) -> str:
    """Return NumPy's name of a dtype, which is slow to ask for; of records ``|V`` and their bytes."""
    name = _names.get(dtype)
    if name is None:
        name = _names[dtype] = dtype.str if dtype.names else str(dtype)
    return name


def misplaced_field(dtype: np.dtype[Any], start: int = 0) -> str | None:
    """Return the first field of a record that begins at no multiple of its type's alignment, if any does."""
    for name in dtype.names or ():
        field, offset = dtype.fields[name][:2]  # type: ignore[index]
        place = start + offset
        inner = field.base
        found = misplaced_field(inner, place) if inner.names else place % inner.alignment and name
        if found:
            return name
    return None


def _name_of_format(text: str) -> str | None:
    """Return the dtype of a buffer's items; None for raw bytes, which may hold anything."""
    try:
        dtype = np.dtype(text)
    except (TypeError, SyntaxError, ValueError):
        return None
    return None if dtype.itemsize == 1 else name_of(dtype)


def plain(nbytes: int) -> Extent:
    """Return the extent of a copy of ``nbytes`` bytes. Extents are shared: never change one."""
    extent = _extents.get(nbytes)
    if extent is None:
        if len(_extents) > 4096:
            _extents.clear()
        extent = _extents[nbytes] = Extent(nbytes)
    return extent


# --- operands ---------------------------------------------------------------------------------


def device(tap: Tap, pointer: Any, extent: Extent) -> Operand:
    """Describe device memory: an owner of it, an object with ``get_pointer()``, or an address."""
    cls = type(pointer)
    name = tap.pointer_types.get(cls)
    if name is not None:
        return DeviceOperand(int(pointer), extent, name)
    if isinstance(pointer, int):
        address = int(pointer)
        known = None if address in tap.live else _driver_knows(tap, address)
        return DeviceOperand(address, extent, "int", None, None, None, known)
    name = cls.__name__
    owners: Any = tuple(tap.pointer_types)
    if isinstance(pointer, owners):
        return DeviceOperand(int(pointer), extent, name)
    holder = getattr(tap.driver, "PointerHolderBase", None)
    if holder is not None and isinstance(pointer, holder):
        return DeviceOperand(int(pointer.get_pointer()), extent, name)
    return OddOperand(name)


def host(tap: Tap, buffer: Any, source: bool = False) -> Operand:
    """Describe a host buffer: an ndarray, or anything else with the buffer protocol.

    Of a ``source``, shape and order are those that the data have in the program.
    """
    if isinstance(buffer, np.ndarray):
        nbytes = buffer.nbytes
        flags = buffer.flags.num
        dtype = buffer.dtype
        shape = buffer.shape
        order = ORDERS[flags & 3]
        if source and len(shape) == 1 and buffer.base is not None:
            shape, order = _before_flattening(buffer)
        return HostOperand(
            address_of(buffer),
            _extents.get(nbytes) or plain(nbytes),
            nbytes,
            _PAGEABLE if buffer.base is None and not tap.registered else host_kind(tap, buffer),
            type(buffer).__name__,
            shape,
            _names.get(dtype) or name_of(dtype),
            order,
            flags & 3 != 0,
            flags & _WRITEABLE != 0,
        )
    if type(buffer) in tap.pointer_types:
        return OddOperand(type(buffer).__name__)
    try:
        view = memoryview(buffer)
    except TypeError:
        return OddOperand(type(buffer).__name__)
    owner = np.frombuffer(view, np.uint8) if view.contiguous and view.nbytes else None
    dtype_name = _name_of_format(view.format)
    return HostOperand(
        0 if owner is None else address_of(owner),
        plain(view.nbytes),
        view.nbytes,
        _PAGEABLE if owner is None else host_kind(tap, owner),
        type(buffer).__name__,
        view.shape if dtype_name else None,
        dtype_name,
        ORDERS[view.c_contiguous + 2 * view.f_contiguous],
        view.contiguous,
        not view.readonly,
    )


def _before_flattening(array: np.ndarray[Any, Any]) -> tuple[tuple[int, ...], str | None]:
    """Return shape and order of what a one-dimensional array is a whole view of, as PyCUDA makes them.

    ``GPUArray.set`` copies by such a view. So does ``get``, but that makes an array whose order fits
    the GPUArray, which may be a transposed view of what was copied there.
    """
    base = getattr(array.base, "base", None)  # as_strided() puts an object of its own between
    if (
        type(base) is np.ndarray
        and type(array.base) is not np.ndarray
        and base.ndim > 1
        and base.nbytes == array.nbytes
        and base.dtype == array.dtype
        and address_of(base) == address_of(array)
        and base.flags.forc
    ):
        return base.shape, ORDERS[base.flags.num & 3]
    return array.shape, ORDERS[array.flags.num & 3]


def host_kind(tap: Tap, array: np.ndarray[Any, Any]) -> HostKind:
    """Tell what kind of memory an array lives in: by its owner; registered memory by its address."""
    base: Any = array.base
    while base is not None:
        kind = tap.host_types.get(type(base))
        if kind is not None:
            return kind
        base = base.obj if isinstance(base, memoryview) else getattr(base, "base", None)
    address = address_of(array)
    inside = any(start <= address < end for start, end in list(tap.registered.values()))
    return HostKind.REGISTERED if inside else _PAGEABLE


def array(tap: Tap, value: Any, extent: Extent) -> Operand:
    """Describe a CUDA array."""
    if tap.driver is None or not isinstance(value, tap.driver.Array):
        return OddOperand(type(value).__name__)
    handle = int(value.handle)
    if handle not in tap.arrays:
        learn_array(tap, value)
    return ArrayOperand(handle, extent, tap.arrays[handle].nbytes)


def learn_array(tap: Tap, value: Any) -> ArrayOperand:
    """Read a CUDA array's size from its descriptor and remember it by its handle."""
    handle = int(value.handle)
    descriptor = value.get_descriptor_3d()
    item = _FORMAT_BYTES.get(str(descriptor.format).rpartition(".")[2], 1) * int(descriptor.num_channels)
    row = int(descriptor.width) * item
    rows = max(1, int(descriptor.height))
    nbytes = row * rows * max(1, int(descriptor.depth))
    operand = ArrayOperand(handle, plain(nbytes), nbytes)
    tap.arrays[handle] = operand
    tap.array_rows[handle] = (row, rows)
    return operand


def _driver_knows(tap: Tap, address: Address) -> bool | None:
    """Ask the driver whether anything lives at an address in no reported allocation."""
    if address <= 0 or tap.driver is None:
        return False
    if not tap.threads.state.context:
        return None
    try:
        tap.driver.mem_get_address_range(address)
    except (tap.driver.Error, OverflowError):
        return False
    return True
