"""Exact floating-point arithmetic on bit patterns, in Python's integers, rounded once in any direction.

A finite number is ``(sign, magnitude, exponent)``: (-1)**sign * magnitude * 2**exponent. A *sticky* bit says
that the exact result is larger in magnitude by less than one unit of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt


@dataclass(frozen=True, slots=True)
class Format:
    """An IEEE format: its width, its bits of fraction, and the NaN of a GPU's results."""

    bits: int
    fraction: int
    nan: int

    @property
    def top(self) -> int:
        """All exponent bits set."""
        return (1 << (self.bits - 1 - self.fraction)) - 1

    @property
    def bias(self) -> int:
        """What a stored exponent is larger by."""
        return self.top >> 1

    @property
    def smallest(self) -> int:
        """Exponent of the last place of denormal numbers."""
        return 1 - self.bias - self.fraction

    @property
    def infinity(self) -> int:
        """Bits of positive infinity."""
        return self.top << self.fraction

    @property
    def sign(self) -> int:
        """The sign bit."""
        return 1 << (self.bits - 1)

    @property
    def one(self) -> int:
        """Bits of 1.0."""
        return self.bias << self.fraction


FORMATS = {
    "f16": Format(16, 10, 0x7FFF),
    "bf16": Format(16, 7, 0x7FFF),
    "f32": Format(32, 23, 0x7FFF_FFFF),
    "f64": Format(64, 52, 0x7FFF_FFFF_FFFF_FFFF),
    # with room for the exponents of all products, and of an f64 in a kernel
    "f16 unbounded": Format(20, 10, 0x7_FFFF),
    "f32 unbounded": Format(40, 23, 0x7F_FFFF_FFFF),
}

Finite = tuple[int, int, int]


def is_nan(kind: str, bits: int) -> bool:
    """Tell whether bits stand for a NaN."""
    form = FORMATS[kind]
    return bits & (form.sign - 1) > form.infinity


def is_infinite(kind: str, bits: int) -> bool:
    """Tell whether bits stand for an infinity."""
    form = FORMATS[kind]
    return bits & (form.sign - 1) == form.infinity


def sign_of(kind: str, bits: int) -> int:
    """Return the sign bit as 0 or 1."""
    return bits >> (FORMATS[kind].bits - 1)


def finite(kind: str, bits: int) -> Finite:
    """Return a finite number's parts."""
    form = FORMATS[kind]
    stored = bits >> form.fraction & form.top
    fraction = bits & ((1 << form.fraction) - 1)
    if stored:
        return sign_of(kind, bits), fraction | 1 << form.fraction, stored - 1 + form.smallest
    return sign_of(kind, bits), fraction, form.smallest


def rounds_up(units: int, rest: int, half: int, sign: int, mode: str) -> bool:
    """Tell whether ``units + rest/(2*half)`` is rounded away from zero; ``rest`` counts in ``1/(2*half)``."""
    if mode == "rn":
        return rest > half or (rest == half and units & 1 == 1)
    if mode == "rna":
        return rest >= half
    return rest > 0 and mode == ("rm" if sign else "rp")


def rounded(kind: str, number: Finite, mode: str = "rn", sticky: bool = False) -> int:
    """Return the bits of a number rounded to a format; 0 keeps the sign that it is given."""
    form = FORMATS[kind]
    sign, magnitude, exponent = number
    if magnitude == 0:
        return sign << (form.bits - 1)
    magnitude, exponent = magnitude << 2 | sticky, exponent - 2  # room for the sticky bit
    target = max(magnitude.bit_length() - 1 - form.fraction + exponent, form.smallest)
    shift = target - exponent
    if shift > 0:
        units, rest = magnitude >> shift, magnitude & ((1 << shift) - 1)
        units += rounds_up(units, rest, 1 << (shift - 1), sign, mode)
    else:
        units = magnitude << -shift
    bits = units + ((target - form.smallest) << form.fraction)  # a carry moves into the exponent
    if bits >= form.infinity:
        outwards = mode in ("rn", "rna") or mode == ("rm" if sign else "rp")
        bits = form.infinity if outwards else form.infinity - 1
    return bits | sign << (form.bits - 1)


def flushed(kind: str, bits: int) -> int:
    """Return the bits with a denormal number replaced by zero of its sign."""
    form = FORMATS[kind]
    return bits & form.sign if not bits >> form.fraction & form.top else bits


def negative(kind: str, bits: int) -> int:
    """Return the bits with the other sign."""
    return bits ^ FORMATS[kind].sign


def _sum(first: Finite, second: Finite, mode: str) -> Finite:
    exponent = min(first[2], second[2])
    a, b = (
        (-magnitude if sign else magnitude) << (place - exponent)
        for sign, magnitude, place in (first, second)
    )
    total = a + b
    if total == 0:
        both = first[0] & second[0] if first[1] == 0 and second[1] == 0 else 0
        either = first[0] | second[0] if first[1] == 0 and second[1] == 0 else 1
        return (either if mode == "rm" else both), 0, exponent
    return int(total < 0), abs(total), exponent


def add(kind: str, a: int, b: int, mode: str = "rn") -> int:
    """Return ``a + b``."""
    form = FORMATS[kind]
    if is_nan(kind, a) or is_nan(kind, b):
        return form.nan
    if is_infinite(kind, a):
        return form.nan if is_infinite(kind, b) and a != b else a
    if is_infinite(kind, b):
        return b
    return rounded(kind, _sum(finite(kind, a), finite(kind, b), mode), mode)


def _product(first: Finite, second: Finite) -> Finite:
    return first[0] ^ second[0], first[1] * second[1], first[2] + second[2]


def multiply(kind: str, a: int, b: int, mode: str = "rn") -> int:
    """Return ``a * b``."""
    form = FORMATS[kind]
    if is_nan(kind, a) or is_nan(kind, b):
        return form.nan
    sign = (a ^ b) & form.sign
    if is_infinite(kind, a) or is_infinite(kind, b):
        return form.nan if 0 in (a & ~form.sign, b & ~form.sign) else form.infinity | sign
    return rounded(kind, _product(finite(kind, a), finite(kind, b)), mode)


def fused(kind: str, a: int, b: int, c: int, mode: str = "rn") -> int:
    """Return ``a * b + c``, rounded once."""
    form = FORMATS[kind]
    if any(is_nan(kind, each) for each in (a, b, c)):
        return form.nan
    if is_infinite(kind, a) or is_infinite(kind, b):
        product = multiply(kind, a, b)
        return form.nan if is_infinite(kind, c) and c != product else product
    if is_infinite(kind, c):
        return c
    return rounded(kind, _sum(_product(finite(kind, a), finite(kind, b)), finite(kind, c), mode), mode)


def divide(kind: str, a: int, b: int, mode: str = "rn") -> int:
    """Return ``a / b``."""
    form = FORMATS[kind]
    if is_nan(kind, a) or is_nan(kind, b):
        return form.nan
    sign = (a ^ b) & form.sign
    if is_infinite(kind, a):
        return form.nan if is_infinite(kind, b) else form.infinity | sign
    if is_infinite(kind, b):
        return sign
    (_, top, above), (_, bottom, below) = finite(kind, a), finite(kind, b)
    if bottom == 0:
        return form.nan if top == 0 else form.infinity | sign
    shift = 2 * form.fraction + 8
    quotient, rest = divmod(top << shift, bottom)
    return rounded(kind, (sign >> (form.bits - 1), quotient, above - below - shift), mode, rest != 0)


def root(kind: str, a: int, mode: str = "rn") -> int:
    """Return the square root of ``a``."""
    form = FORMATS[kind]
    if is_nan(kind, a):
        return form.nan
    sign, magnitude, exponent = finite(kind, a)
    if a & ~form.sign == 0:
        return a
    if sign:
        return form.nan
    if is_infinite(kind, a):
        return a
    shift = 2 * form.fraction + 8
    shift += (exponent - shift) % 2
    scaled = magnitude << shift
    found = isqrt(scaled)
    return rounded(kind, (0, found, (exponent - shift) // 2), mode, found * found != scaled)


def order(kind: str, bits: int) -> int:
    """Return an integer that orders numbers, -0 below +0."""
    magnitude = bits & (FORMATS[kind].sign - 1)
    return -1 - magnitude if sign_of(kind, bits) else magnitude


def extremum(kind: str, a: int, b: int, largest: bool, keeps_nan: bool = False) -> int:
    """Return the smaller or larger number; a NaN only if both are, or if asked to keep any."""
    nan_a, nan_b = is_nan(kind, a), is_nan(kind, b)
    if (nan_a and nan_b) or (keeps_nan and (nan_a or nan_b)):
        return FORMATS[kind].nan
    if nan_a or nan_b:
        return b if nan_a else a
    return (max if largest else min)(a, b, key=lambda bits: order(kind, bits))


def saturated(kind: str, bits: int) -> int:
    """Return a number limited to 0 … 1; NaN becomes +0."""
    if is_nan(kind, bits) or sign_of(kind, bits):
        return 0
    return min(bits, FORMATS[kind].one)


def clipped(kind: str, bits: int) -> int:
    """Return a number with +0 for negative ones; NaN stays."""
    if is_nan(kind, bits):
        return FORMATS[kind].nan
    return 0 if sign_of(kind, bits) else bits


def compared(kind: str, a: int, b: int) -> int | None:
    """Return a negative number, 0 or a positive one as a is less, equal or greater; None for a NaN."""
    if is_nan(kind, a) or is_nan(kind, b):
        return None
    sizes = [-(bits & (FORMATS[kind].sign - 1)) if sign_of(kind, bits) else bits for bits in (a, b)]
    return sizes[0] - sizes[1]


def converted(target: str, source: str, bits: int, mode: str = "rn") -> int:
    """Return a number of one format in another."""
    if is_nan(source, bits):
        return FORMATS[target].nan
    if is_infinite(source, bits):
        return FORMATS[target].infinity | sign_of(source, bits) << (FORMATS[target].bits - 1)
    return rounded(target, finite(source, bits), mode)


def narrowed(kind: str, bits: int, mode: str) -> int:
    """Return a number of unbounded exponent as one of a format, with zeros for denormal numbers."""
    wide, form = f"{kind} unbounded", FORMATS[kind]
    if is_nan(wide, bits) or is_infinite(wide, bits):
        return converted(kind, wide, bits)
    sign, magnitude, exponent = finite(wide, bits)
    if magnitude.bit_length() + exponent < 2 - form.bias:
        return sign << (form.bits - 1)
    return rounded(kind, (sign, magnitude, exponent), mode)


def integral(kind: str, bits: int, mode: str) -> int:
    """Return a finite number rounded to an integer, as a Python integer; mode as for ``rounded``."""
    sign, magnitude, exponent = finite(kind, bits)
    if exponent >= 0:
        units = magnitude << exponent
    else:
        shift = min(-exponent, magnitude.bit_length() + 2)
        units, rest = magnitude >> shift, magnitude & ((1 << shift) - 1)
        units += rounds_up(units, rest, 1 << (shift - 1), sign, mode)
    return -units if sign else units


def of_integer(kind: str, value: int, mode: str = "rn") -> int:
    """Return an integer as a floating-point number."""
    return rounded(kind, (int(value < 0), abs(value), 0), mode)
