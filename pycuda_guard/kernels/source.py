"""What CUDA C source text says about its kernels: names, parameters and lines.

A reader of signatures, not a C++ parser: what it does not understand (a kernel made by a macro, a
type it does not know) it leaves empty. It never raises.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pycuda_guard.kernels.scalars import (
    SCALAR_SIZES,
    TYPE_WORDS,
    Aliases,
    scalar_aliases,
    scalar_type,
    strip_qualifiers,
)


@dataclass(frozen=True, slots=True)
class SourceParameter:
    """One parameter as the source declares it.

    ``text`` is its own text on one line, without the default. ``depth`` counts the stars, and an
    array's brackets as one. ``scalar`` is the canonical name of the scalar type under the stars
    (``unsigned int``), or empty for ``void``, structs and unknown types. ``const`` is that of the type under
    the stars.
    """

    text: str
    name: str
    scalar: str = ""
    depth: int = 0
    const: bool = False

    @property
    def scalar_size(self) -> int:
        """Bytes of the scalar type; 0 where it is not known."""
        return SCALAR_SIZES.get(self.scalar, 0)


@dataclass(frozen=True, slots=True)
class SourceKernel:
    """A ``__global__`` function: its name without namespaces, and the 1-based line of its name."""

    name: str
    line: int
    parameters: tuple[SourceParameter, ...]
    defined: bool = True


_COMMENTS_AND_STRINGS = re.compile(
    r"""
    //(?:[^\\\n]|\\\r?\n|\\)*
  | /\*.*?(?:\*/|\Z)
  | \bR"(?P<mark>[^()\s\\]{0,16})\(.*?(?:\)(?P=mark)"|\Z)
  | "(?:\\.|[^"\\\n])*"?
  | (?<![0-9A-Za-z_])'(?:\\.|[^'\\\n])*'?                     # not the separator in 1'000
    """,
    re.VERBOSE | re.DOTALL,
)
_PREPROCESSOR = re.compile(r"^[ \t]*#(?:[^\\\n]|\\\r?\n|\\)*", re.MULTILINE)
_NOT_NEWLINE = re.compile(r"[^\n]")
_KERNEL_MACRO = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t][^\n]*\b__global__[ \t\r]*$", re.MULTILINE)
_LIST_MACRO = re.compile(r"^[ \t]*#[ \t]*define[ \t]+(\w+)[ \t]+([^\n(]*,[^\n(\\]*)$", re.MULTILINE)
_LISTED = re.compile(r"[A-Za-z_]\w*")
_TOKEN = re.compile(r"\s*([A-Za-z_]\w*|::|\S)")
_ATTRIBUTE = re.compile(r"__\w+__|alignas|noexcept|__declspec")
_CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}
_MANGLED_PART = re.compile(r"[1-9]\d{0,3}")


def find_kernels(source: str) -> tuple[SourceKernel, ...]:
    """Return the ``__global__`` functions that ``source`` defines or declares, in their order."""
    plain = _blank(_COMMENTS_AND_STRINGS, source)
    aliases = scalar_aliases(plain)
    lists = _list_macros(plain)
    text = _blank(_PREPROCESSOR, plain)
    found = []
    markers = "|".join(["__global__", *_KERNEL_MACRO.findall(plain)])
    for match in re.finditer(rf"\b(?:{markers})\b", text):
        if declarator := _declarator(text, match.end()):
            name, opening, closing, defined = declarator
            line = text.count("\n", 0, name.start(1)) + 1
            listed = _LISTED.sub(lambda word: lists.get(word[0], word[0]), text[opening + 1 : closing])
            parameters = _parameters(listed, aliases)
            found.append(SourceKernel(name[1], line, parameters, defined))
    return tuple(found)


def code_only(source: str) -> str:
    """Return ``source`` with blanks for comments, strings and what is the preprocessor's."""
    return _blank(_PREPROCESSOR, _blank(_COMMENTS_AND_STRINGS, source))


def _list_macros(plain: str) -> dict[str, str]:
    """Return the macros that stand for several parameters; those defined twice, differently, are left out."""
    found: dict[str, set[str]] = {}
    for match in _LIST_MACRO.finditer(plain):
        found.setdefault(match[1], set()).add(" ".join(match[2].split()))
    return {name: texts.pop() for name, texts in found.items() if len(texts) == 1}


def match_kernel(symbol: str, count: int, kernels: tuple[SourceKernel, ...]) -> SourceKernel | None:
    """Return the one kernel in ``kernels`` that the PTX symbol with ``count`` parameters stands for.

    None where there is none, or where overloads or conditional compilation leave several.
    """
    name = unmangled_name(symbol)
    fitting = [k for k in kernels if k.name == name and len(k.parameters) == count]
    candidates = [k for k in fitting if k.defined] or fitting
    return candidates[0] if len({k.parameters for k in candidates}) == 1 else None


def unmangled_name(symbol: str) -> str:
    """Return the function's own name in a mangled one: ``_ZN2ns3addIfEEvPT_`` → ``add``.

    Only plain and nested names are understood; anything else is returned as it is.
    """
    if not symbol.startswith("_Z"):
        return symbol
    position = 2
    nested = symbol[position : position + 1] == "N"
    position += nested
    while symbol[position : position + 1] in ("K", "V", "L"):
        position += 1
    name = ""
    while match := _MANGLED_PART.match(symbol, position):
        end = match.end() + int(match.group())
        if end > len(symbol):
            return symbol
        name = symbol[match.end() : end]
        position = end
        if not nested:
            break
    return name or symbol


def _blank(pattern: re.Pattern[str], text: str) -> str:
    """Replace what ``pattern`` finds by blanks, so that lines and columns stay."""
    return pattern.sub(lambda match: _NOT_NEWLINE.sub(" ", match.group()), text)


def _declarator(text: str, position: int) -> tuple[re.Match[str], int, int, bool] | None:
    """Find what follows ``__global__``: the name, both parentheses, and whether a body follows.

    What looks like a call before the name is an attribute or a macro that stands for one.
    """
    name: re.Match[str] | None = None
    while match := _TOKEN.match(text, position):
        token = match[1]
        position = match.end()
        if token[0].isalpha() or token[0] == "_":
            name = match
        elif token in ("(", "[", "<"):
            closing = _matching(text, match.start(1))
            if closing is None:
                return None
            following = _TOKEN.match(text, closing + 1)
            after = following[1] if following else ""
            ends = after in ("{", ";") or _ATTRIBUTE.fullmatch(after) is not None
            if token == "(" and ends and name is not None and not _ATTRIBUTE.fullmatch(name[1]):
                return name, match.start(1), closing, after != ";"
            position = closing + 1
        elif token not in ("::", "*", "&"):
            return None
    return None


def _matching(text: str, opening: int) -> int | None:
    """Return where the bracket at ``opening`` closes."""
    pair = text[opening] + _CLOSING[text[opening]]
    depth = 0
    for match in re.compile(f"[{re.escape(pair)}]").finditer(text, opening):
        depth += 1 if match.group() == pair[0] else -1
        if depth == 0:
            return match.start()
    return None


def _parameters(text: str, aliases: Aliases) -> tuple[SourceParameter, ...]:
    parts = [part for part in _split(text) if part]
    return () if parts == ["void"] else tuple(_parameter(part, aliases) for part in parts)


def _split(text: str) -> list[str]:
    """Split a parameter list at its commas, drop defaults, and put each parameter on one line."""
    parts: list[str] = []
    current: list[str] = []
    depth, default = 0, False
    for character in text:
        if character == "," and depth == 0:
            parts.append("".join(current))
            current, default = [], False
            continue
        default = default or (character == "=" and depth == 0)
        if character in "([{" or (character == "<" and not default):
            depth += 1
        elif character in ")]}" or (character == ">" and not default):
            depth -= 1
        if not default:
            current.append(character)
    return [" ".join(part.split()) for part in (*parts, "".join(current))]


def _parameter(text: str, aliases: Aliases) -> SourceParameter:
    bare = re.sub(r"\[\[.*?\]\]|\b(?:__attribute__|__align__|alignas|__declspec)\s*\([^)]*\)+", " ", text)
    bare = re.sub(r"\b(?:struct|enum|class|union|register)\b", " ", bare)
    if match := re.search(r"\(\s*\*\s*(?:const\s+)?(\w*)\s*\)\s*(.)", bare):  # to a function or an array
        scalar = scalar_type(bare[: match.start()], aliases) if match[2] == "[" else ""
        return SourceParameter(text, match[1], scalar, 1, "const" in bare[: match.start()].split())
    declared, bracket, _ = bare.partition("[")
    under, *rest = re.split(r"[*&]", declared)
    if rest:
        name = " ".join(strip_qualifiers(rest[-1]))
    else:
        words = strip_qualifiers(under)
        named = len(words) > 1 and words[-1] not in TYPE_WORDS
        name = words[-1] if named else ""
        under = under[: under.rindex(name)] if named else under
    return SourceParameter(
        text,
        name,
        scalar_type(under, aliases),
        declared.count("*") + bool(bracket),
        "const" in under.split(),
    )
