"""Scalar types of CUDA C: canonical names, sizes in bytes, and the aliases that a source gives them."""

from __future__ import annotations

import re
import struct
from itertools import product

#: size in bytes of scalar types by canonical name
SCALAR_SIZES: dict[str, int] = {
    "bool": 1, "char": 1, "signed char": 1, "unsigned char": 1,
    "short": 2, "unsigned short": 2, "int": 4, "unsigned int": 4,
    "long": struct.calcsize("l"), "unsigned long": struct.calcsize("L"),
    "long long": 8, "unsigned long long": 8, "float": 4, "double": 8,
    "int8_t": 1, "uint8_t": 1, "int16_t": 2, "uint16_t": 2,
    "int32_t": 4, "uint32_t": 4, "int64_t": 8, "uint64_t": 8,
    "size_t": 8, "ssize_t": 8, "ptrdiff_t": 8, "intptr_t": 8, "uintptr_t": 8,
    "half": 2, "__half": 2, "nv_bfloat16": 2, "__nv_bfloat16": 2,
    "ushort": 2, "uint": 4, "ulong": struct.calcsize("L"),
    "__int128": 16, "unsigned __int128": 16,
}  # fmt: skip

_QUALIFIERS = frozenset(
    ["const", "volatile", "restrict", "__restrict__", "__restrict", "__grid_constant__", "typename"]
)
_WORD = re.compile(r"[A-Za-z_]\w*")
_ALIAS = re.compile(
    r"""
    \btypedef\s+(?P<typedef>[\w\s:]+?)\s+(?P<typedef_name>\w+)\s*;
  | \busing\s+(?P<using_name>\w+)\s*=\s*(?P<using>[\w\s:]+?)\s*;
  | ^[ \t]*\#[ \t]*define[ \t]+(?P<define_name>\w+)(?:[ \t]+(?P<define>[\w: \t]+?))?[ \t]*$
    """,
    re.VERBOSE | re.MULTILINE,
)
#: a pointer to one of the built-in vector types: ``const uchar4 *rgba``
_VECTORS = re.compile(
    r"(?:const\s+|volatile\s+)*(?P<sign>u?)(?P<scalar>char|short|int|longlong|long|float|double)(?P<count>[1-4])\b"
    r"[^*]*\*[^*]*"
)
_CHAIN = 8  #: aliases of aliases that are followed

Aliases = dict[str, str]


def _spellings() -> dict[tuple[str, ...], str]:
    """Map each order-free spelling of an integer type to its canonical name."""
    found = {tuple(sorted(name.split())): name for name in SCALAR_SIZES}
    for length, sign, ending in product(
        ("", "short", "long", "long long"), ("", "signed", "unsigned"), ("", "int")
    ):
        words = " ".join((sign, length, ending)).split()
        if words:
            prefix = "unsigned " if sign == "unsigned" else ""
            found[tuple(sorted(words))] = prefix + (length or "int")
    return found


_CANONICAL = _spellings()
#: words that can only be part of a type, never a parameter's name
TYPE_WORDS = frozenset(word for words in _CANONICAL for word in words) | {"void"}


def scalar_aliases(text: str) -> Aliases:
    """Return what simple ``typedef``, ``using`` and ``#define`` lines call other names.

    ``text`` is source without comments. A name that is defined twice, differently, is left out:
    conditional compilation decides between the two.
    """
    found: Aliases = {}
    conflicting: set[str] = set()
    for match in _ALIAS.finditer(text):
        kind = next(kind for kind in ("typedef", "using", "define") if match[f"{kind}_name"])
        name, meaning = match[f"{kind}_name"], " ".join((match[kind] or "").split())
        if found.setdefault(name, meaning) != meaning:
            conflicting.add(name)
    return {name: meaning for name, meaning in found.items() if name not in conflicting}


def scalar_type(text: str, aliases: Aliases) -> str:
    """Return the canonical name of the scalar type that ``text`` spells, or an empty string.

    Qualifiers and the namespaces ``std`` and ``cuda::std`` are ignored.
    """
    for _ in range(_CHAIN):
        text = re.sub(r"(?:\bcuda\s*::\s*)?\bstd\s*::|(?<![\w>])\s*::", " ", text)
        if not re.fullmatch(r"[\w\s]*", text):
            return ""
        words = [word for word in text.split() if word not in _QUALIFIERS]
        if name := _CANONICAL.get(tuple(sorted(words))):
            return name
        if not any(word in aliases for word in words):
            return ""
        text = " ".join(aliases.get(word, word) for word in words)
    return ""


def pointed_vector_size(declared: str) -> int:
    """Return the bytes of the built-in vector that a declaration points to; 0 where it points to none."""
    match = _VECTORS.fullmatch(declared.strip())
    if match is None:
        return 0
    return int(match["count"]) * SCALAR_SIZES[match["scalar"].replace("longlong", "long long")]


def strip_qualifiers(text: str) -> list[str]:
    """Return the words of ``text`` that are not qualifiers."""
    return [word for word in _WORD.findall(text) if word not in _QUALIFIERS]
