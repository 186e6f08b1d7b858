"""What an option is: how it is spelled, and which values it can have."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pycuda_guard.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Iterable

VARIABLE_PREFIX = "PYCUDA_GUARD_"

TRUE_WORDS = ("1", "yes", "true", "on")
FALSE_WORDS = ("", "0", "no", "false", "off")

#: a code of a rule, or the beginning of one
CODE_FORM = r"PG[0-9]{0,3}"

SIZE_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

#: codes of rules by pattern: of files, of kernels
Table = tuple[tuple[str, tuple[str, ...]], ...]

Value = str | bool | int | tuple[str, ...] | Table | None


@dataclass(frozen=True, slots=True)
class Option:
    """One option. ``choices`` empty and ``metavar`` empty is a flag; ``metavar`` alone names a file.

    One that ``is_pattern`` stands for names, one that ``is_range`` (``N:M``, ``N:`` or ``:M``) for numbers.
    ``smallest`` makes it a size, of that many bytes at least; a ``form`` is a regular expression that
    its values match. One that ``is_codes`` is a list of codes of rules or their beginnings, one that
    ``is_table`` such a list for each pattern, which only pyproject.toml can hold. One that is ``for_run``
    has a meaning for commands of ``pycuda-guard`` and for pytest alone, one that is ``for_once`` does
    not belong in pyproject.toml.
    """

    name: str
    help: str
    choices: tuple[str, ...] = ()
    metavar: str = ""
    default: Value = False
    for_run: bool = False
    for_once: bool = False
    smallest: int = 0
    is_pattern: bool = False
    is_range: bool = False
    is_codes: bool = False
    is_table: bool = False
    form: str = ""

    @property
    def key(self) -> str:
        """How it is spelled in pyproject.toml."""
        return self.name.replace("_", "-")

    @property
    def flag(self) -> str:
        """How it is spelled on the command line."""
        return f"--{self.key}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it where the command line does not."""
        return VARIABLE_PREFIX + self.name.upper()

    @property
    def values(self) -> str:
        """What may follow the flag, for people."""
        return "|".join(self.choices) or self.metavar

    @property
    def is_file(self) -> bool:
        """Whether its value names a file."""
        return self.metavar == "FILE"

    def argument(self) -> dict[str, Any]:
        """Return what a parser of command lines is told of it; where it is not given, it is None there."""
        if self.is_codes:
            # one that is given twice adds to the first
            return {"action": "extend", "type": _split, "metavar": self.values, "help": self.help}
        if self.values:
            text = f"{self.help} (default: {self.default})" if self.default else self.help
            return {"metavar": self.values, "help": text}
        return {"action": "store_const", "const": True, "help": self.help}

    def read(self, text: str, name: str = "") -> Value:
        """Return the value that ``text`` stands for: of the environment, or of ``name``.

        Raises :class:`StartError` where it stands for none, with those that do.
        """
        if self.choices or self.smallest or self.is_range or self.form or self.is_codes:
            return self.check(text)
        if self.metavar:
            return text
        word = text.strip().lower()
        if word not in TRUE_WORDS + FALSE_WORDS:
            name = name or self.variable
            raise StartError(f"{name}={text} is neither yes nor no", f"{name}=1 or 0")
        return word in TRUE_WORDS

    def check(self, value: object) -> Value:
        """Return ``value`` if the option can have it; raises :class:`StartError` if not."""
        if self.is_table:
            return self._check_table(value)
        if self.is_codes:
            return self._check_codes(value)
        if self.smallest:
            return self._check_size(value)
        if self.choices or self.form:
            return self._check_word(value)
        if self.metavar:
            return self._check_name(value)
        if not isinstance(value, bool):
            raise StartError(f"{self.name} must be True or False, not {value!r}")
        return value

    def _check_word(self, value: object) -> str:
        if self.choices and str(value) not in self.choices:
            raise StartError(f"{self.name} can't be {value!r}", f"allowed are {', '.join(self.choices)}")
        if self.form and (isinstance(value, bool) or not re.fullmatch(self.form, str(value))):
            raise StartError(f"{self.name} can't be {value!r}", f"it must be {self.metavar}")
        return str(value)

    def _check_name(self, value: object) -> str:
        if self.is_range:
            parse_range(self.name, value)
        if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
            what = "be a pattern" if self.is_pattern else "name a file"
            raise StartError(f"{self.name} must {what}, not {value!r}")
        return str(os.fspath(value))

    def _check_codes(self, value: object) -> tuple[str, ...]:
        words = _split(value) if isinstance(value, str) else value
        if not isinstance(words, list | tuple | set | frozenset) or not all(
            isinstance(word, str) and re.fullmatch(CODE_FORM, word) for word in words
        ):
            raise StartError(
                f"{self.name} can't be {value!r}",
                "it must be a list of codes or beginnings of codes: PG1, PG302",
            )
        if self.name == "select" and not words:
            raise StartError("select must name one rule at least", "PG stands for all of them")
        return tuple(words)

    def _check_table(self, value: object) -> Table:
        if not isinstance(value, Mapping):
            raise StartError(
                f"{self.key} must be a table", f'[tool.pycuda_guard.{self.key}] "{self.metavar}" = ["PG302"]'
            )
        return tuple((str(pattern), self._check_codes(codes)) for pattern, codes in value.items())

    def _check_size(self, value: object) -> int:
        size = value if isinstance(value, int) else _parse_size(value) if isinstance(value, str) else None
        if size is None or isinstance(value, bool):
            raise StartError(f"{self.name} must be a number of bytes, not {value!r}", "such as 500M or 2G")
        if size < self.smallest:
            raise StartError(f"{self.name} can't be {value}", f"it must be {self.smallest} bytes at least")
        return size


def _split(text: str) -> list[str]:
    """Return the words of a list with commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def close_to(word: str, words: Iterable[str], otherwise: str = "") -> str:
    """Return the hint for a ``word`` that is not among ``words``: those it may stand for.

    Where it resembles none, that is what to do ``otherwise``, or all of them.
    """
    import difflib

    known = sorted(words)
    close = difflib.get_close_matches(word, known, n=2)
    return f"did you mean {' or '.join(close)}?" if close else otherwise or f"there are {', '.join(known)}"


def parse_range(name: str, value: object) -> tuple[int, int | None]:
    """Return the first and the last number (None: no end) that ``N:M``, ``N:`` or ``:M`` stands for.

    Raises :class:`StartError` where it stands for none.
    """
    match = re.fullmatch(r"(\d*):(\d*)", value) if isinstance(value, str) else None
    first = int(match[1] or 1) if match else 0
    last = int(match[2]) if match and match[2] else None
    if first < 1 or (last is not None and last < first):
        raise StartError(f"{name} must be two numbers, not {value!r}", "such as 1:100, 100: or :100")
    return first, last


def _parse_size(text: str) -> int | None:
    """Return the bytes that ``text`` stands for (``500M``), or None where it stands for none."""
    digits, unit = text.strip(), 1
    if digits[-1:].upper() in SIZE_UNITS:
        digits, unit = digits[:-1], SIZE_UNITS[digits[-1].upper()]
    return int(digits) * unit if digits.isascii() and digits.isdigit() else None
