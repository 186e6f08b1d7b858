"""Writes a shared library whose functions lead through a table of addresses. No compiler is needed.

The library has a function for each name and a table as a data symbol, for the loading program to fill. The
table's first cell is for a gate, the next ones for what carries the functions out. Each function puts the
address of its cell into register r11 and jumps to the gate.

The library is an x86-64 ELF file with two segments: headers, symbols and code, which can be executed, and
the dynamic section and table, which can be written. The structures are those of the System V ABI. Sections
are there for linkers and ``nm``; loading needs none of them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: name of the data symbol: 64-bit addresses, of the gate and then in the order of the functions
TABLE_SYMBOL = "pycuda_guard_table"

_PAGE = 4096
_HEADER_BYTES, _PROGRAM_HEADER_BYTES, _SYMBOL_BYTES = 64, 56, 24
_MACHINE_X86_64, _TYPE_SHARED = 62, 3
_LOAD, _DYNAMIC, _GNU_STACK = 1, 2, 0x6474E551
_READ, _WRITE, _EXECUTE = 4, 2, 1
_GLOBAL_FUNCTION, _GLOBAL_OBJECT = 0x12, 0x11
_STUB_BYTES = 16
_BUCKETS = 64
_HASH, _STRTAB, _SYMTAB, _STRSZ, _SYMENT, _SONAME = 4, 5, 6, 10, 11, 14
_VERSYM, _VERDEF, _VERDEFNUM = 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD
_VERSION_BASE, _VERSION_OWN = 1, 2
_SECTION_HEADER_BYTES = 64
_TEXT_SECTION, _DATA_SECTION = 4, 6


class _Strings:
    """A string table; equal strings are kept once."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0")
        self._offsets: dict[str, int] = {}

    def add(self, text: str) -> int:
        if text not in self._offsets:
            self._offsets[text] = len(self.data)
            self.data += text.encode() + b"\0"
        return self._offsets[text]


def build(soname: str, functions: Sequence[str], version: str = "") -> bytes:
    """Return the bytes of a shared library named ``soname`` with these functions and TABLE_SYMBOL.

    With a ``version``, the functions have that symbol version.
    """
    names = [*functions, TABLE_SYMBOL]
    strings = _Strings()
    offsets = [strings.add(name) for name in names]
    soname_offset = strings.add(soname)
    definitions = _version_definitions(strings, soname, version) if version else b""

    segments = 4
    symbols_at = _HEADER_BYTES + segments * _PROGRAM_HEADER_BYTES
    strings_at = symbols_at + _SYMBOL_BYTES * (1 + len(names))
    hash_at = _aligned(strings_at + len(strings.data), 8)
    hashes = _hash_table(names)
    versions_at = _aligned(hash_at + len(hashes), 8)
    versions = _version_numbers(len(functions)) if version else b""
    definitions_at = _aligned(versions_at + len(versions), 8)
    code_at = _aligned(definitions_at + len(definitions), 16)
    code_end = code_at + _STUB_BYTES * len(functions)
    dynamic_at = _aligned(code_end, _PAGE)
    entries = [
        (_SONAME, soname_offset),
        (_HASH, hash_at),
        (_STRTAB, strings_at),
        (_SYMTAB, symbols_at),
        (_STRSZ, len(strings.data)),
        (_SYMENT, _SYMBOL_BYTES),
    ]
    if version:
        entries += [(_VERSYM, versions_at), (_VERDEF, definitions_at), (_VERDEFNUM, 2)]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in [*entries, (0, 0)])
    table_at = dynamic_at + len(dynamic)
    table_bytes = 8 * (1 + len(functions))
    table_end = table_at + table_bytes

    symbols = bytearray(_SYMBOL_BYTES)
    for i, offset in enumerate(offsets[:-1]):
        symbols += struct.pack(
            "<IBBHQQ", offset, _GLOBAL_FUNCTION, 0, _TEXT_SECTION, code_at + _STUB_BYTES * i, _STUB_BYTES
        )
    symbols += struct.pack("<IBBHQQ", offsets[-1], _GLOBAL_OBJECT, 0, _DATA_SECTION, table_at, table_bytes)
    code = b"".join(
        _stub(code_at + _STUB_BYTES * i, table_at + 8 * (1 + i), table_at) for i in range(len(functions))
    )
    sections = [
        # name, type, flags, at, bytes, section of its strings, first global symbol, bytes of an element
        (".dynsym", 11, 2, symbols_at, len(symbols), 2, 1, _SYMBOL_BYTES),
        (".dynstr", 3, 2, strings_at, len(strings.data), 0, 0, 0),
        (".hash", 5, 2, hash_at, len(hashes), 1, 0, 4),
        (".text", 1, 6, code_at, len(code), 0, 0, 0),
        (".dynamic", 6, 3, dynamic_at, len(dynamic), 2, 0, 16),
        (".data", 1, 3, table_at, table_bytes, 0, 0, 0),
    ]
    if version:
        sections += [
            (".gnu.version", 0x6FFFFFFF, 2, versions_at, len(versions), 1, 0, 2),
            (".gnu.version_d", 0x6FFFFFFD, 2, definitions_at, len(definitions), 2, 2, 0),
        ]
    names_at = table_end
    section_names, section_headers = _sections(sections, names_at)
    headers_at = _aligned(names_at + len(section_names), 8)
    headers = _header(segments, headers_at, len(sections) + 2) + b"".join(
        (
            _program_header(_LOAD, _READ | _EXECUTE, 0, code_end, _PAGE),
            _program_header(_LOAD, _READ | _WRITE, dynamic_at, table_end - dynamic_at, _PAGE),
            _program_header(_DYNAMIC, _READ | _WRITE, dynamic_at, len(dynamic), 8),
            _program_header(_GNU_STACK, _READ | _WRITE, 0, 0, 16),
        )
    )
    image = bytearray(headers_at + len(section_headers))
    for at, part in (
        (0, headers),
        (symbols_at, symbols),
        (strings_at, strings.data),
        (hash_at, hashes),
        (versions_at, versions),
        (definitions_at, definitions),
        (code_at, code),
        (dynamic_at, dynamic),
        (names_at, section_names),
        (headers_at, section_headers),
    ):
        image[at : at + len(part)] = part
    return bytes(image)


def _aligned(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment


def _stub(at: int, cell: int, gate: int) -> bytes:
    """Return the code of a function at ``at``, given where its cell and the gate's are."""
    load_address = b"\x4c\x8d\x1d" + struct.pack("<i", cell - (at + 7))  # lea r11, [rip + ...]
    jump = b"\xff\x25" + struct.pack("<i", gate - (at + 13))  # jmp [rip + ...]
    return load_address + jump + b"\xcc" * (_STUB_BYTES - 13)


def _header(segments: int, sections_at: int, sections: int) -> bytes:
    identification = b"\x7fELF\2\1\1" + bytes(9)
    return identification + struct.pack(
        "<HHIQQQIHHHHHH",
        *(_TYPE_SHARED, _MACHINE_X86_64, 1, 0, _HEADER_BYTES, sections_at, 0),
        *(_HEADER_BYTES, _PROGRAM_HEADER_BYTES, segments, _SECTION_HEADER_BYTES, sections, sections - 1),
    )


def _sections(
    sections: Sequence[tuple[str, int, int, int, int, int, int, int]], names_at: int
) -> tuple[bytes, bytes]:
    """Return the names of all sections, and the section headers: null, ``sections``, the names."""
    names = _Strings()
    headers = bytearray(_SECTION_HEADER_BYTES)
    for name, kind, flags, at, nbytes, link, information, element in sections:
        headers += struct.pack(
            "<IIQQQQIIQQ", names.add(name), kind, flags, at, at, nbytes, link, information, 8, element
        )
    own = names.add(".shstrtab")
    headers += struct.pack("<IIQQQQIIQQ", own, 3, 0, 0, names_at, len(names.data), 0, 0, 1, 0)
    return bytes(names.data), bytes(headers)


def _program_header(kind: int, flags: int, at: int, nbytes: int, alignment: int) -> bytes:
    return struct.pack("<IIQQQQQQ", kind, flags, at, at, at, nbytes, nbytes, alignment)


def _hash(name: str) -> int:
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        high = value & 0xF000_0000
        value = (value ^ high >> 24) & ~high
    return value


def _hash_table(names: Sequence[str]) -> bytes:
    """Return the System V hash table of symbols that are numbered from 1."""
    buckets = [0] * _BUCKETS
    chains = [0] * (1 + len(names))
    for index, name in enumerate(names, 1):
        bucket = _hash(name) % _BUCKETS
        chains[index] = buckets[bucket]
        buckets[bucket] = index
    words = [_BUCKETS, len(chains), *buckets, *chains]
    return struct.pack(f"<{len(words)}I", *words)


def _version_numbers(functions: int) -> bytes:
    """Return the version of each symbol: of the null symbol, the functions and the table."""
    return struct.pack(f"<{functions + 2}H", 0, *[_VERSION_OWN] * functions, _VERSION_BASE)


def _version_definitions(strings: _Strings, soname: str, version: str) -> bytes:
    """Return the definitions of the base version and of ``version``."""
    record, auxiliary = 20, 8
    base = struct.pack(
        "<HHHHIII", 1, _VERSION_BASE, _VERSION_BASE, 1, _hash(soname), record, record + auxiliary
    )
    own = struct.pack("<HHHHIII", 1, 0, _VERSION_OWN, 1, _hash(version), record, 0)
    return (
        base + struct.pack("<II", strings.add(soname), 0) + own + struct.pack("<II", strings.add(version), 0)
    )
