"""Kernels written by hand (``corpus.cu``), and their answers by other means."""

from __future__ import annotations

import math
import zlib
from itertools import permutations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.differential.generate import Kernel, Result

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = Path(__file__).with_name("corpus.cu")
THREADS = 256
Array = np.ndarray[Any, np.dtype[Any]]


def _reduced(given: Array) -> Array:
    return given.sum(dtype=np.uint32) ^ given


def _crc(given: Array) -> Array:
    return np.array([zlib.crc32(word.tobytes()) for word in given], np.uint32)


def _steps(number: int) -> int:
    count = 0
    while number != 1:
        number = 3 * number + 1 if number % 2 else number // 2
        count += 1
    return count


def _collatz(given: Array) -> Array:
    return np.array([_steps(int(word) % 100_000 + 1) for word in given], np.uint32)


def _divisors(given: Array) -> Array:
    pairs = zip(given, given.reshape(-1, 2)[:, ::-1].reshape(-1), strict=True)
    return np.array([math.gcd(int(a), int(b)) for a, b in pairs], np.uint32)


def _by_pointers(given: Array) -> Array:
    value = given.astype(np.uint32)
    for place in range(4):
        choice = (value >> place) % 3
        value = np.where(choice == 0, 2 * value, np.where(choice == 1, value * value, ~value))
    return value


def _queens(given: Array) -> Array:
    counts = [0] * 6
    for columns in permutations(range(6)):
        pairs = ((a, b) for b in range(6) for a in range(b))
        counts[columns[0]] += all(abs(columns[a] - columns[b]) != b - a for a, b in pairs)
    return np.array([counts[thread % 6] for thread in range(THREADS)], np.uint32)


def _stencil(given: Array) -> Array:
    values = given
    quarter, half = np.float32(0.25), np.float64(0.5)
    for _ in range(8):
        sides = quarter * (np.roll(values, 1) + np.roll(values, -1))
        # half of an f32 and the sum with another are exact in f64 for numbers of similar size
        values = (half * values + sides.astype(np.float64)).astype(np.float32)
    return values


def _fields(given: Array) -> Array:
    low = (given & 31) + 3 & 31
    middle = ((given >> 5 & 0x1FFF) - 7) & 0x1FFF
    high = (given >> 18) ^ low
    extended = np.where(middle >> 12, middle | 0xFFFF_E000, middle).astype(np.uint32)
    return (low | middle << 5 | high << 18) + extended


def _product(given: Array) -> Array:
    a, b = given[:256].reshape(16, 16).astype(np.int32), given[256:512].reshape(16, 16).astype(np.int32)
    return (a @ b.T + 5).reshape(-1)


#: kernel: type of what is given, how many, and its answers
KERNELS: dict[str, tuple[type, int, Callable[[Array], Array]]] = {
    "scan": (np.uint32, 256, lambda given: np.cumsum(given, dtype=np.uint32)),
    "bitonic": (np.uint32, 256, np.sort),
    "histogram": (np.uint8, 1024, lambda given: np.bincount(given, minlength=256).astype(np.uint32)),
    "reduction": (np.uint32, 256, _reduced),
    "crc": (np.uint32, 256, _crc),
    "collatz": (np.uint32, 256, _collatz),
    "recursion": (np.uint32, 256, _divisors),
    "pointers": (np.uint32, 256, _by_pointers),
    "queens": (np.uint32, 256, _queens),
    "stencil": (np.float32, 256, _stencil),
    "fields": (np.uint32, 256, _fields),
    "bytes": (np.int8, 512, _product),
}


def kernels() -> list[Kernel]:
    """Return all of them, with the text of the whole file in the first."""
    generator = np.random.default_rng(2026)
    found = []
    for name, (kind, count, answers) in KERNELS.items():
        if kind is np.float32:
            given = generator.standard_normal(count).astype(np.float32)
        else:
            limits = np.iinfo(kind)
            given = generator.integers(limits.min, limits.max, count, kind, True)
        with np.errstate(over="ignore"):
            column = answers(given).view(np.uint32)
        result = Result(
            "f32" if kind is np.float32 else "i32", 0, f"corpus.cu: {name}", (tuple(map(int, column)),)
        )
        text = "" if found else SOURCE.read_text()
        found.append(Kernel(name, text, THREADS, given.tobytes(), [result], frozenset(), 4 * THREADS))
    return found
