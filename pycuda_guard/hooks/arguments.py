"""Describes kernel arguments as PyCUDA packs them.

``Function.__call__`` makes a format string of its arguments' types, ``prepare()`` is given one, and
``pycuda._pvt_struct`` lays both out. Where each argument lands is asked of that very module, so
that what is reported is what the kernel gets, alignment mistakes included.
"""

from __future__ import annotations

import operator
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pycuda_guard.events.model import Argument, ArgumentKind
from pycuda_guard.hooks.operands import misplaced_field, name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.hooks.tap import Tap

_POINTER = ArgumentKind.POINTER
_INTEGER = ArgumentKind.INTEGER
_FLOAT = ArgumentKind.FLOAT
_BYTES = ArgumentKind.BYTES
_INVALID = ArgumentKind.INVALID

#: Kinds of struct characters: numbers of ``prepare()`` and the characters of NumPy's scalars.
_KINDS = {
    **dict.fromkeys("bBhHiIlLqQnN?c", _INTEGER),
    **dict.fromkeys("fd", _FLOAT),
    **dict.fromkeys("FDs", _BYTES),
    "P": _POINTER,
}
_FORMAT_ITEM = re.compile(r"(\d*)([a-zA-Z?])")

#: Longest host array given to In() whose entries are looked at: a table of pointers is short.
MAX_TABLE = 64

#: Argument lists that an Arranger remembers.
MAX_REMEMBERED = 1024

Arguments = tuple[Argument, ...]


@lru_cache(maxsize=4096)
def layout(codes: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Return offset and size in bytes of each of ``codes``, struct items such as ``P`` or ``12s``.

    An item that PyCUDA can't pack has size 0.
    """
    from pycuda._pvt_struct import calcsize, error

    places = []
    packed = ""
    for code in codes:
        try:
            size = calcsize(code)
            end = calcsize(packed + code)
        except error:
            places.append((calcsize(packed) if packed else 0, 0))
            continue
        packed += code
        places.append((end - size, size))
    return tuple(places)


@lru_cache(maxsize=1024)
def split_format(text: str) -> tuple[str, ...]:
    """Split the format of ``prepare()`` into one struct item an argument.

    ``4i`` is four arguments, ``16s`` is one, padding (``x``) goes with the argument after it.
    """
    codes: list[str] = []
    padding = ""
    for count, letter in _FORMAT_ITEM.findall(text):
        if letter == "x":
            padding += count + letter
        elif letter == "s":
            codes.append(padding + count + letter)
            padding = ""
        else:
            codes += [padding + letter] + [letter] * (int(count or 1) - 1)
            padding = ""
    return tuple(codes)


class Arranger:
    """Describes argument lists, and remembers those that are launched again and again.

    A list of numbers and of owners of device memory is described by its types and its packed bytes
    alone; of a GPUArray shape and dtype are needed, too. So a launch in a loop costs one look-up.
    """

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._remembered: dict[tuple[Any, ...], Arguments] = {}
        # the last list of each way to pack one: its bytes and description
        self._last: dict[tuple[Any, ...], tuple[bytes, Arguments]] = {}
        self._arrays: dict[tuple[type, ...], tuple[int, ...] | None] = {}  # see _find_arrays

    def called(self, arguments: tuple[Any, ...], packed: bytes | None) -> Arguments:
        """Describe the arguments of ``Function.__call__``; ``packed`` is None if packing failed."""
        types = tuple(map(type, arguments))
        known = self._remembered.get((packed, types))
        if known is not None:
            return known
        shapes = self._shapes(arguments, types)
        if shapes is None or packed is None:
            return self._describe(arguments)
        key = (types, *shapes)
        known = self._remembered.get((packed, *key))
        if known is not None:
            return known
        before = self._last.get(key)
        if before is None or len(before[0]) != len(packed):
            return self._remember((packed, *key), key, packed, self._describe(arguments))

        def again(index: int, old: Argument) -> Argument:
            _, kind, name, rest = self._called(arguments[index])
            return Argument(kind, name, old.offset, old.size, *rest)

        return self._vary(key, packed, before, again)

    def recall(self, call: str, form: str, given: tuple[Any, ...], packed: bytes | None) -> Arguments | None:
        """Return what :meth:`prepared` does if it is remembered: ``given`` is all that the call was given."""
        return self._remembered.get((packed, call, form, *map(type, given)))

    def prepared(
        self, call: str, form: str, given: tuple[Any, ...], arguments: tuple[Any, ...], packed: bytes | None
    ) -> Arguments:
        """Describe the arguments of a prepared call, packed by the format ``form``."""
        types = tuple(map(type, arguments))
        # there is neither shape nor dtype in what is known of a prepared argument
        if packed is None or self._shapes(arguments, types) is None:
            return _describe_prepared(form, arguments)
        key = (call, form, *map(type, given))
        before = self._last.get(key)
        if before is None or len(before[0]) != len(packed):
            described = _describe_prepared(form, arguments)
            return self._remember((packed, *key), key, packed, described)
        codes = split_format(form)

        def again(index: int, old: Argument) -> Argument:
            return _prepared(arguments[index], codes[index], old.offset, old.size)

        return self._vary(key, packed, before, again)

    def _shapes(self, arguments: tuple[Any, ...], types: tuple[type, ...]) -> list[Any] | None:
        """Return shape and dtype of each GPUArray; None where a list must not be remembered."""
        if types not in self._arrays:
            self._arrays[types] = self._find_arrays(types)
        arrays = self._arrays[types]
        return None if arrays is None else [(arguments[i].shape, arguments[i].dtype) for i in arrays]

    def _find_arrays(self, types: tuple[type, ...]) -> tuple[int, ...] | None:
        """Return where GPUArrays stand, or None if more than shapes and bytes has to be looked at."""
        arrays = []
        for i, cls in enumerate(types):
            if cls.__module__ == "pycuda.gpuarray" and cls.__name__ == "GPUArray":
                arrays.append(i)
            elif not (cls in self._tap.pointer_types or cls in (int, float) or issubclass(cls, np.number)):
                return None
        return tuple(arrays)

    def _vary(
        self,
        key: tuple[Any, ...],
        packed: bytes,
        before: tuple[bytes, Arguments],
        describe: Callable[[int, Argument], Argument],
    ) -> Arguments:
        """Describe a list by what is other than in the last one that was packed in this way.

        ``describe(index, old)`` returns a new description in the place of an old one. A list in which numbers
        alone are other is remembered when it comes again: in a loop that counts, it never does.
        """
        old_packed, old = before
        if packed == old_packed:
            return self._remember((packed, *key), key, packed, old)
        described, moved = list(old), False
        for index, each in enumerate(old):
            start = each.offset
            end = start + each.size
            if packed[start:end] != old_packed[start:end]:
                described[index] = describe(index, each)
                moved = moved or each.kind is _POINTER
        known = tuple(described)
        if moved:
            return self._remember((packed, *key), key, packed, known)
        self._last[key] = packed, known
        return known

    def _remember(
        self, key: tuple[Any, ...], way: tuple[Any, ...], packed: bytes, described: Arguments
    ) -> Arguments:
        for table in (self._remembered, self._last):
            if len(table) >= MAX_REMEMBERED:
                table.clear()
        self._remembered[key] = described
        self._last[way] = packed, described
        return described

    def _describe(self, arguments: tuple[Any, ...]) -> Arguments:
        rows = [self._called(argument) for argument in arguments]
        places = layout(tuple([row[0] for row in rows]))
        return tuple(
            [
                Argument(kind if size or code == "0s" else _INVALID, name, offset, size, *rest)
                for (code, kind, name, rest), (offset, size) in zip(rows, places, strict=True)
            ]
        )

    def _called(self, argument: Any) -> tuple[str, ArgumentKind, str, tuple[Any, ...]]:
        """Return format item, kind, type name and the other fields, in PyCUDA's order of tests."""
        name = type(argument).__name__
        if isinstance(argument, np.number):
            code = argument.dtype.char
            value = argument.item()
            return code, _KINDS.get(code, _BYTES), name, (value if isinstance(value, int | float) else None,)
        driver: Any = self._tap.driver
        if isinstance(argument, (driver.DeviceAllocation, driver.PooledDeviceAllocation)):
            return "P", _POINTER, name, (int(argument),)
        if isinstance(argument, driver.ArgumentHandler):
            return "P", _POINTER, _host_name(argument.array), _handler(driver, argument)
        if isinstance(argument, np.ndarray):
            fields = (argument.shape, name_of(argument.dtype), argument.nbytes)
            if isinstance(argument.base, driver.ManagedAllocationOrStub):
                return "P", _POINTER, name, (int(argument.base), *fields)
            return f"{argument.nbytes}s", _BYTES, name, _by_value(argument, argument.shape)
        if isinstance(argument, np.void):
            return f"{argument.nbytes}s", _BYTES, name, _by_value(argument, ())
        interface = getattr(argument, "__cuda_array_interface__", None)
        if interface:
            dtype = np.dtype(interface["typestr"])
            shape = tuple(interface["shape"])
            nbytes = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
            return "P", _POINTER, name, (int(interface["data"][0]), shape, name_of(dtype), nbytes)
        data = getattr(argument, "gpudata", None)
        if data is None:
            return "", _INVALID, name, (argument if type(argument) in (int, float) else None,)
        return "P", _POINTER, name, (int(data),)


def _by_value(argument: np.ndarray[Any, Any] | np.void, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Return the fields of an array or a record that is packed itself, from ``value`` on."""
    dtype = argument.dtype
    return None, shape, name_of(dtype), argument.nbytes, None, None, misplaced_field(dtype)


def _host_name(array: Any) -> str:
    return type(array).__name__


def _handler(driver: Any, handler: Any) -> tuple[Any, ...]:
    """Return the fields of an In, Out or InOut from ``value`` on."""
    array = handler.array
    allocation = handler.dev_alloc
    kinds = ("InOut", "In", "Out")  # InOut is both of the others
    kind = next((name for name in kinds if isinstance(handler, getattr(driver, name))), None)
    shape = dtype = table = None
    if isinstance(array, np.ndarray):
        shape, dtype = array.shape, name_of(array.dtype)
        if kind != "Out" and array.dtype.kind in "iu" and array.itemsize == 8 and array.size <= MAX_TABLE:
            table = tuple(array.ravel().tolist())
    value = None if allocation is None else int(allocation)
    return value, shape, dtype, getattr(array, "nbytes", None), kind, table


def _describe_prepared(form: str, arguments: tuple[Any, ...]) -> Arguments:
    codes = split_format(form)
    places = layout(codes)
    end = sum(places[-1]) if places else 0
    return tuple(
        [
            _prepared(argument, codes[i], *places[i])
            if i < len(codes)
            else Argument(_INVALID, type(argument).__name__, end, 0)
            for i, argument in enumerate(arguments)
        ]
    )


def _prepared(argument: Any, code: str, offset: int, size: int) -> Argument:
    name = type(argument).__name__
    kind = _KINDS.get(code[-1], _INVALID)
    if kind is _BYTES:
        return Argument(kind, name, offset, size)
    try:
        value = float(argument) if kind is _FLOAT else operator.index(argument)
    except TypeError:
        return Argument(_INVALID, name, offset, size)
    return Argument(kind, name, offset, size, value)
