"""Answers of a device beside what the evaluator computed."""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tools.differential import numbers
from tools.differential.forms import BITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tools.differential.generate import Kernel, Result

#: what any NaN counts as: the manual leaves its bits open
_NANS = {kind: form.nan for kind, form in numbers.FORMATS.items()}


def normal(kind: str, column: np.ndarray) -> np.ndarray:
    """Return a column of bit patterns with the same bits for all NaNs."""
    single = kind.removesuffix("x2")
    if single not in _NANS:
        return column
    if kind != single:
        return normal(single, column.view(np.uint16)).view(column.dtype)
    form = numbers.FORMATS[single]
    unsigned = column & column.dtype.type(form.sign - 1)
    return np.where(unsigned > column.dtype.type(form.infinity), column.dtype.type(form.nan), column)


def column_of(answer: bytes, result: Result, threads: int) -> np.ndarray:
    """Return a stored column as bit patterns."""
    kind = f"u{max(BITS[result.kind] // 8, 2)}"
    column = np.frombuffer(answer, kind, count=threads, offset=result.offset)
    return normal(result.kind, column)


def digest(column: np.ndarray) -> int:
    """Return 32 bits that stand for a column."""
    return zlib.crc32(column.tobytes())


@dataclass
class Report:
    """What was compared, and what was wrong: the first wrong step of each kernel."""

    kernels: int = 0
    columns: int = 0
    values: int = 0
    contracted: Counter[bool] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def merge(self, other: Report) -> None:
        """Add the counts of another report."""
        self.kernels += other.kernels
        self.columns += other.columns
        self.values += other.values
        self.contracted += other.contracted
        self.wrong += other.wrong

    def add(self, kernel: Kernel, answer: bytes) -> list[int]:
        """Compare one kernel's answer with the evaluator's; return the digests of its columns."""
        self.kernels += 1
        digests = []
        failed = False
        for result in kernel.results:
            column = column_of(answer, result, kernel.threads)
            digests.append(digest(column))
            if failed:
                continue
            self.columns += 1
            self.values += kernel.threads
            expected = [normal(result.kind, np.array(each, column.dtype)) for each in result.columns]
            matches = [bool(np.array_equal(column, each)) for each in expected]
            if len(matches) == 2 and matches[0] != matches[1]:
                self.contracted[matches[1]] += 1
            if not any(matches):
                failed = True
                self.wrong.append(_difference(kernel, result, column, expected))
        return digests


def _difference(kernel: Kernel, result: Result, column: np.ndarray, expected: Sequence[np.ndarray]) -> str:
    thread = int(np.flatnonzero(column != expected[0])[0])
    wanted = " or ".join(f"{int(each[thread]):#x}" for each in expected)
    found = f"{int(column[thread]):#x} ({result.kind})"
    return f"{kernel.name}, thread {thread}: {found}, not {wanted}: {result.step}"
