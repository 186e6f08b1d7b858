"""Machine code into this process: object files as LLVM makes them for the CPU device.

LLVM's own linker would do, but it keeps some kilobytes of every object for good, and takes longer to start
than a small kernel takes to run. What generated code needs is little: no thread-local storage, no
unwinding, no constructors, and six kinds of relocations.

An object is one range of memory: code, constants, addresses of what lies outside and ways to call it, which
cannot be written once it is linked; then, on pages of their own, its variables.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
import weakref
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.cpu.runtime import get_runtime
from pycuda_guard.errors import GuardError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_HEADER = struct.Struct("<IIQQQQIIQQ")  # Elf64_Shdr
_SYMBOL = struct.Struct("<IBBHQQ")  # Elf64_Sym
_RELOCATION = struct.Struct("<QIIq")  # Elf64_Rela, its info in two halves
_SYMBOL_TABLE, _RELOCATIONS, _NO_BITS = 2, 4, 8  # SHT_*
_WRITE, _ALLOC = 1, 2  # SHF_*
_ABSOLUTE = 0xFFF1  # SHN_ABS
_R_64, _R_PC32, _R_PLT32, _R_GOTPCREL, _R_GOTPCRELX, _R_REX_GOTPCRELX = 1, 2, 4, 9, 41, 42
#: jmp *(next instruction), and the address after it
_STUB = struct.Struct("<6sQ2x")
_JUMP = b"\xff\x25\0\0\0\0"


class LinkError(GuardError):
    """Generated code needs what is nowhere, or what this linker does not know: a bug of this package."""


class LoadedObject:
    """An object file in memory, ready to run; gone when no reference to it is left.

    ``addresses`` are those of the names that were asked for.
    """

    def __init__(self, image: bytes, symbols: Iterable[str]) -> None:
        """Link the object file; ``symbols`` are the names whose addresses are wanted.

        Raises LinkError, MemoryError.
        """
        linked = _Link(_Object(image))
        self.addresses = {name: linked.address_of(name) for name in symbols}
        # not at the end of the process: threads may still run in the code
        weakref.finalize(self, _library().munmap, linked.base, linked.size).atexit = False


def undefined_symbols(image: bytes) -> list[str]:
    """Return the names that an ELF64 object file uses without defining them."""
    return [symbol.name for symbol in _Object(image).symbols if symbol.name and not symbol.section]


class _Section(NamedTuple):
    kind: int
    flags: int
    offset: int  # in the file
    size: int
    link: int
    info: int
    alignment: int


class _Symbol(NamedTuple):
    name: str
    section: int  # 0: not defined here
    value: int


class _Object:
    """What an ELF64 relocatable file holds."""

    def __init__(self, image: bytes) -> None:
        self.image = image
        (start,) = struct.unpack_from("<Q", image, 0x28)
        size, count = struct.unpack_from("<HH", image, 0x3A)
        headers = [_HEADER.unpack_from(image, start + i * size) for i in range(count)]
        self.sections = [
            _Section(kind, flags, offset, size, link, info, max(1, alignment))
            for _, kind, flags, _, offset, size, link, info, alignment, _ in headers
        ]
        self.symbols: list[_Symbol] = []
        for section in self.sections:
            if section.kind == _SYMBOL_TABLE:
                strings = self.sections[section.link].offset
                self.symbols = [
                    _Symbol(self._text(strings + name), index, value)
                    for name, _, _, index, value, _ in _SYMBOL.iter_unpack(self._content(section))
                ]

    def relocations(self) -> Iterator[tuple[int, int, int, _Symbol, int]]:
        """Yield section, offset in it, kind, symbol and addend of each relocation of what is loaded."""
        for section in self.sections:
            if section.kind == _RELOCATIONS and self.sections[section.info].flags & _ALLOC:
                for offset, kind, symbol, addend in _RELOCATION.iter_unpack(self._content(section)):
                    yield section.info, offset, kind, self.symbols[symbol], addend

    def _content(self, section: _Section) -> bytes:
        return self.image[section.offset : section.offset + section.size]

    def _text(self, start: int) -> str:
        return self.image[start : self.image.index(b"\0", start)].decode()


class _Link:
    """An object being put into memory at ``base``."""

    def __init__(self, objects: _Object) -> None:
        self._object = objects
        self._defined = {symbol.name: symbol for symbol in objects.symbols if symbol.name and symbol.section}
        outside = {symbol.name for symbol in objects.symbols if symbol.name and not symbol.section}
        self._outside = dict(zip(sorted(outside), map(_find, sorted(outside)), strict=True))
        missing = [name for name, address in self._outside.items() if address is None]
        if missing:
            raise LinkError(f"generated code needs functions that do not exist: {', '.join(missing)}")
        self._places: dict[int, int] = {}  # of sections, from the base
        self._slots: dict[str, int] = {}  # of addresses in the code's part, from the base
        constant = self._lay_out(0, writable=False)
        for name in self._slot_names():
            constant = self._slots[name] = -(-constant // _STUB.size) * _STUB.size
            constant += _STUB.size
        self._code_size = _whole_pages(constant)
        self.size = _whole_pages(self._lay_out(self._code_size, writable=True))
        self.base = _map(self.size)
        try:
            self._fill()
        except BaseException:
            _library().munmap(self.base, self.size)
            raise

    def address_of(self, name: str) -> int:
        """Return the address of a name that the object defines. Raises LinkError."""
        if name not in self._defined:
            raise LinkError(f"generated code does not define {name}")
        return self._address(self._defined[name])

    def _lay_out(self, end: int, writable: bool) -> int:
        """Find places for sections from an offset on; return the offset where they end."""
        for number, section in enumerate(self._object.sections):
            if section.flags & _ALLOC and bool(section.flags & _WRITE) == writable:
                end = -(-end // section.alignment) * section.alignment
                self._places[number] = end
                end += section.size
        return end

    def _slot_names(self) -> list[str]:
        """Return the names whose addresses code loads, or that it calls outside."""
        names = {
            symbol.name
            for _, _, kind, symbol, _ in self._object.relocations()
            if kind in (_R_GOTPCREL, _R_GOTPCRELX, _R_REX_GOTPCRELX) or not symbol.section
        }
        return sorted(names)

    def _address(self, symbol: _Symbol) -> int:
        if not symbol.section:
            return self._outside[symbol.name] or 0
        if symbol.section == _ABSOLUTE:
            return symbol.value
        return self.base + self._places[symbol.section] + symbol.value

    def _fill(self) -> None:
        for number, place in self._places.items():
            section = self._object.sections[number]
            if section.kind != _NO_BITS:
                content = self._object.image[section.offset : section.offset + section.size]
                ctypes.memmove(self.base + place, content, section.size)
        for name, slot in self._slots.items():
            target = self._outside.get(name) or self.address_of(name)
            ctypes.memmove(self.base + slot, _STUB.pack(_JUMP, target), _STUB.size)
        for number, offset, kind, symbol, addend in self._object.relocations():
            self._relocate(self.base + self._places[number] + offset, kind, symbol, addend)
        executable = mmap.PROT_READ | mmap.PROT_EXEC
        if _library().mprotect(self.base, self._code_size, executable):
            raise MemoryError("the system does not let memory be executed")

    def _relocate(self, place: int, kind: int, symbol: _Symbol, addend: int) -> None:
        if kind == _R_64:
            ctypes.c_uint64.from_address(place).value = self._address(symbol) + addend
            return
        if kind in (_R_GOTPCREL, _R_GOTPCRELX, _R_REX_GOTPCRELX):
            target = self.base + self._slots[symbol.name] + len(_JUMP)
        elif kind in (_R_PC32, _R_PLT32):
            is_here = bool(symbol.section)
            target = self._address(symbol) if is_here else self.base + self._slots[symbol.name]
        else:
            raise LinkError(f"generated code has a relocation of kind {kind} for {symbol.name}")
        # both ends lie in one object, which is far smaller than 2 GiB
        ctypes.c_int32.from_address(place).value = target + addend - place


def _find(name: str) -> int | None:
    return get_runtime().symbol(name)


def _whole_pages(nbytes: int) -> int:
    return -(-nbytes // mmap.PAGESIZE) * mmap.PAGESIZE


def _map(nbytes: int) -> int:
    """Return the address of fresh memory. Raises MemoryError."""
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    address = _library().mmap(None, nbytes, protection, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if address in (None, ctypes.c_void_p(-1).value):
        raise MemoryError("no memory for the code of a module")
    return int(address)


@cache
def _library() -> ctypes.CDLL:
    """Return the C library, with the types of what is called here."""
    library = ctypes.CDLL(None)
    size, number, address = ctypes.c_size_t, ctypes.c_int, ctypes.c_void_p
    library.mmap.argtypes = (address, size, number, number, number, ctypes.c_long)
    library.mmap.restype = address
    library.munmap.argtypes = (address, size)
    library.mprotect.argtypes = (address, size, number)
    return library
