"""PTX text to tokens.

A token is a plain string whose first character tells its kind, so the parser compares strings and
makes no token objects: a directive or a detached modifier starts with ``.``, a string with ``"``,
a number with a digit, a word with a letter, ``_``, ``$`` or ``%``; the rest are single punctuation
characters. Opcodes with their modifiers (``ld.global.L2::128B.u32``) and special registers
(``%tid.x``) are one word each. The empty string stands for the end of the text.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right

from pycuda_guard.kernels.ptx.errors import PtxSyntaxError
from pycuda_guard.kernels.ptx.ir import Immediate, Span

END = ""  #: the token after the last one

# Possessive quantifiers stand on single characters only: up to Python 3.11.4 they go wrong on groups
# (CPython issue 106052). The groups below match a text in one way only, so there is nothing to gain.
_TOKEN = re.compile(
    r"""
    (?:\s++ | //[^\n]*+ | /\*[^*]*+\*++(?:[^/*][^*]*+\*++)*/)*
    (
        [A-Za-z_$%][\w$%]*+ (?:(?:\.|::)\w++)*      # word, opcode with modifiers, special register
      | \d++\.\d*+ (?:[eE][+-]?\d++)? | \d++[eE][+-]?\d++ | \d\w*+
      | \.\w++ (?:::\w++)*                            # directive
      | "(?:[^"\\\n]|\\.)*"
      | /\*[\s\S]*+                                   # a comment that does not end
      | \S
      | \Z                                            # blanks and comments at the end are skipped
    )
    """,
    re.VERBOSE | re.ASCII,
)
_NEWLINE = re.compile("\n")
_PUNCTUATION = frozenset("{}()[]<>,;:|!@+-=")
_SINGLE_WORDS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_$%0123456789")

_INTEGER = re.compile(r"(0[xX][0-9a-fA-F]{1,32}|0[bB][01]{1,128}|0[0-7]{0,48}|[1-9]\d{0,38})U?", re.ASCII)
_BITS = re.compile(r"0[fF][0-9a-fA-F]{8}|0[dD][0-9a-fA-F]{16}")
_DECIMAL = re.compile(r"\d{1,400}\.\d{0,400}(?:[eE][+-]?\d{1,9})?|\d{1,400}[eE][+-]?\d{1,9}", re.ASCII)


class Cursor:
    """The tokens of a text, or of its part from ``start`` to ``end``, and a position among them.

    ``texts[position]`` is the next token. The list ends in two ``END`` tokens, so looking one
    token ahead needs no test.
    """

    __slots__ = ("_first_line", "_line_starts", "_part", "offsets", "position", "source", "texts")

    def __init__(self, source: str, start: int = 0, end: int | None = None) -> None:
        end = len(source) if end is None else end
        texts: list[str] = []
        offsets: list[int] = []
        for match in _TOKEN.finditer(source, start, end):
            texts.append(match[1])
            offsets.append(match.start(1))
        self.source = source
        self.texts = texts
        self.offsets = offsets
        self.position = 0
        self._part = start, end
        self._first_line = 1
        self._line_starts: list[int] = []  # of the part; made when a place is asked for
        odd = {text for text in set(texts) if _is_odd(text)}
        texts += (END, END)
        offsets += (end, end)
        if odd:
            self.position = min(texts.index(text) for text in odd)
            raise self.error(_describe_odd(source, offsets[self.position]))

    def span(self, position: int) -> Span:
        """Return where the token at ``position`` stands, by line and column."""
        if not self._line_starts:
            start, end = self._part
            self._first_line = self.source.count("\n", 0, start) + 1
            inside = (match.end() for match in _NEWLINE.finditer(self.source, start, end))
            self._line_starts = [self.source.rfind("\n", 0, start) + 1, *inside]
        offset = self.offsets[position]
        index = bisect_right(self._line_starts, offset) - 1
        return Span(self._first_line + index, offset - self._line_starts[index] + 1)

    def error(self, message: str, position: int | None = None) -> PtxSyntaxError:
        """Make the error for the token at ``position`` (default: the next one)."""
        span = self.span(self.position if position is None else position)
        start = self._line_starts[span.line - self._first_line]
        end = self.source.find("\n", start)
        text = self.source[start : end if end >= 0 else len(self.source)]
        return PtxSyntaxError(message, span.line, span.column, text)

    def unexpected(self, wanted: str) -> PtxSyntaxError:
        """Make the error that says what stands at the position instead of ``wanted``."""
        text = self.texts[self.position]
        found = f"found {text[:40]!r}" if text else "the text ends"
        return self.error(f"expected {wanted}, {found}")

    def take(self) -> str:
        """Return the next token and step over it; at the end stay there."""
        text = self.texts[self.position]
        if text:
            self.position += 1
        return text

    def accept(self, wanted: str) -> bool:
        """Step over the next token if it is ``wanted``."""
        if self.texts[self.position] == wanted:
            self.position += 1
            return True
        return False

    def expect(self, wanted: str) -> None:
        """Step over the next token, which must be ``wanted``."""
        if self.texts[self.position] != wanted:
            raise self.unexpected(repr(wanted))
        self.position += 1

    def name(self) -> str:
        """Step over the next token, which must be an identifier, and return it."""
        text = self.texts[self.position]
        if not is_word(text) or "." in text or ":" in text:
            raise self.unexpected("a name")
        self.position += 1
        return text

    def string(self) -> str:
        """Step over the next token, which must be a string, and return what is between the quotes."""
        text = self.texts[self.position]
        if not text.startswith('"'):
            raise self.unexpected("a string")
        self.position += 1
        return text[1:-1]

    def number(self) -> Immediate:
        """Step over a number, with its sign, and return it."""
        negative = self.accept("-")
        text = self.texts[self.position]
        value = immediate(text)
        if value is None:
            raise self.unexpected("a number")
        self.position += 1
        return negated(value) if negative else value

    def integer(self) -> int:
        """Step over an integer, with its sign, and return it."""
        start = self.position
        value = self.number()
        if value.kind != "int":
            self.position = start
            raise self.unexpected("an integer")
        return value.value


def is_word(text: str) -> bool:
    """Tell whether a token is a word (an identifier or an opcode)."""
    return text != "" and (text[0].isalpha() or text[0] in "_$%")


def immediate(text: str) -> Immediate | None:
    """Read the token of an unsigned number; None where it is none, or is out of range."""
    if match := _INTEGER.fullmatch(text):
        digits = match[1]
        if digits[:2] in ("0x", "0X"):
            return Immediate("int", int(digits, 16))
        if digits[:2] in ("0b", "0B"):
            return Immediate("int", int(digits, 2))
        return Immediate("int", int(digits, 8 if digits[0] == "0" else 10))
    if _BITS.fullmatch(text):
        return Immediate("f32" if text[1] in "fF" else "f64", int(text[2:], 16))
    if _DECIMAL.fullmatch(text):
        return Immediate("f64", struct.unpack("<Q", struct.pack("<d", float(text)))[0])
    return None


def negated(value: Immediate) -> Immediate:
    """Negate a constant: its value, or the sign bit of a floating-point one."""
    if value.kind == "int":
        return Immediate("int", -value.value)
    return Immediate(value.kind, value.value ^ (1 << (31 if value.kind == "f32" else 63)))


def _is_odd(text: str) -> bool:
    single = len(text) == 1 and text not in _PUNCTUATION and text not in _SINGLE_WORDS
    return single or text.startswith("/*")


def _describe_odd(source: str, offset: int) -> str:
    if source[offset] == '"':
        return "a string that does not end"
    if source.startswith("/*", offset):
        return "a comment that does not end"
    return f"no PTX token starts with {source[offset]!r}"
