"""What instructions make of forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument.proofs.forms import Form, as_constant, constant, plus, scaled
from pycuda_guard.kernels.instrument.proofs.model import FIRST_LOOP
from pycuda_guard.kernels.ptx.ir import TYPE_SIZES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycuda_guard.kernels.instrument.proofs.forms import Space

    Operation = Callable[[Space, str, Sequence[Form | None]], Form | None]


def _bits(kind: str) -> int:
    return 8 * TYPE_SIZES[kind]


def _signed(kind: str) -> str:
    return f"s{_bits(kind)}"


def _unsigned(kind: str) -> str:
    return f"u{_bits(kind)}"


def _any(low: int, high: int) -> Form:
    return Form((), low, high)


def _add(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    left, right = values
    return None if left is None or right is None else plus(left, right)


def _subtract(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    left, right = values
    return None if left is None or right is None else plus(left, right, -1)


def _negate(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    return None if values[0] is None else scaled(values[0], -1)


def _invert(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    return None if values[0] is None else plus(constant(-1), values[0], -1)


def _product(space: Space, left: Form, right: Form) -> Form | None:
    if left.base is not None or right.base is not None:
        return None
    for one, other in ((left, right), (right, left)):
        factor = as_constant(one)
        if factor is not None:
            return scaled(other, factor)
    corners = [a * b for a in space.range(left) for b in space.range(right)]
    return _any(min(corners), max(corners))


def _multiply(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    """Multiply; of a number that all threads have, the representative of least magnitude counts."""
    left, right = values
    if left is None or right is None:
        return None
    known = [space.seen_as(each, _signed(kind)) if not each.steps else each for each in (left, right)]
    if left.base is not None or right.base is not None:
        return None
    return _product(space, *known)


def _multiply_wide(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    return _product(space, space.seen_as(values[0], kind), space.seen_as(values[1], kind))


def _multiply_high(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    product = _multiply_wide(space, kind, values)
    return None if product is None else _quotient(space, product, 1 << _bits(kind))


def _quotient(space: Space, form: Form, divisor: int) -> Form:
    """Return a form divided by a number above 0, rounded down."""
    if all(step % divisor == 0 for _, step in form.steps):
        steps = tuple((dimension, step // divisor) for dimension, step in form.steps)
        return Form(steps, form.low // divisor, form.high // divisor)
    low, high = space.range(form)
    return _any(low // divisor, high // divisor)


def _shift_left(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    by = as_constant(space.seen_as(values[1], "u32"))
    if values[0] is None or by is None or by >= _bits(kind):
        return None
    return scaled(values[0], 1 << by)


def _shift_right(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    by = as_constant(space.seen_as(values[1], "u32"))
    if by is None or by >= _bits(kind):
        return None
    return _quotient(space, space.seen_as(values[0], kind if kind[0] == "s" else _unsigned(kind)), 1 << by)


def _and(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    size = 1 << _bits(kind)
    for mask, other in ((values[1], values[0]), (values[0], values[1])):
        number = as_constant(mask)
        if number is None:
            continue
        number %= size
        unit = size - number
        if not number & (number + 1):
            return _low_bits(space, other, number)
        if not unit & (unit - 1) and other is not None and other.base is None:
            # what is taken off is less than a unit
            even = other.low == other.high and not any(
                value % unit for _, value in (*other.steps, (0, other.low))
            )
            return other if even else other._replace(low=other.low - unit + 1)
    highs = [space.range(space.seen_as(each, _unsigned(kind)))[1] for each in values]
    return _any(0, min(highs))


def _low_bits(space: Space, form: Form | None, mask: int) -> Form:
    """Return a form modulo ``mask + 1``."""
    if form is not None and form.base is None:
        low, high = space.range(form)
        turns = low // (mask + 1) * (mask + 1)
        if high - turns <= mask:
            return form._replace(low=form.low - turns, high=form.high - turns)
    return _any(0, mask)


def _or(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    for one, other in ((values[0], values[1]), (values[1], values[0])):
        bits = as_constant(other)
        if bits is None or bits < 0 or one is None or one.low != one.high:
            continue
        unit = 1 << bits.bit_length()
        if not one.low % unit and not any(step % unit for _, step in one.steps):
            return plus(one, constant(bits)) if one.base is None else None
    ranges = [space.range(space.seen_as(each, _unsigned(kind))) for each in values]
    return _any(max(low for low, _ in ranges), (1 << max(high for _, high in ranges).bit_length()) - 1)


def _xor(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    highs = [space.range(space.seen_as(each, _unsigned(kind)))[1] for each in values]
    return _any(0, (1 << max(highs).bit_length()) - 1)


def _minimum(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    left, right = (space.seen_as(each, kind) for each in values)
    (low, high), (other_low, other_high) = space.range(left), space.range(right)
    if high <= other_low:
        return left
    return right if other_high <= low else _any(min(low, other_low), min(high, other_high))


def _maximum(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    left, right = (space.seen_as(each, kind) for each in values)
    (low, high), (other_low, other_high) = space.range(left), space.range(right)
    if low >= other_high:
        return left
    return right if other_low >= high else _any(max(low, other_low), max(high, other_high))


def _magnitude(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    form = space.seen_as(values[0], _signed(kind))
    low, high = space.range(form)
    return form if low >= 0 else _any(0, max(-low, high))


def _divide(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    left, right = (space.seen_as(each, kind) for each in values)
    low, high = space.range(left)
    least, most = space.range(right)
    if least < 1:
        return None
    if low >= 0:
        return _quotient(space, left, least) if least == most else _any(low // most, high // least)
    largest = max(-low, high)
    return _any(-largest, largest)


def _remainder(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    left, right = (space.seen_as(each, kind) for each in values)
    low, high = space.range(left)
    least, most = space.range(right)
    if least < 1:
        return None
    if low >= 0 and high < least:
        return left
    return _any(max(low, 1 - most) if low < 0 else 0, min(max(high, 0), most - 1))


def _convert(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    """Convert an integer; an address of a variable is one of 32 or 64 bits."""
    to, of = kind.split(".")
    form = values[0]
    if form is not None and form.base is not None:
        is_whole = min(TYPE_SIZES[to], TYPE_SIZES[of]) >= (8 if form.base >= 0 else 4)
        return form if is_whole else None
    if TYPE_SIZES[to] > TYPE_SIZES[of]:
        return space.seen_as(form, of)
    return space.seen_as(form, to) if TYPE_SIZES[to] == 1 else form


def _either(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    """One of two forms, chosen here."""
    known = [value for value in values if value is not None]
    if len(known) != len(values) or len({value.base for value in known}) != 1:
        return None
    if len({value.steps for value in known}) == 1:
        return known[0]._replace(low=min(v.low for v in known), high=max(v.high for v in known))
    ranges = [space.range(value) for value in known]
    return Form((), min(low for low, _ in ranges), max(high for _, high in ranges), known[0].base)


def _join(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    """One of some forms, computed at other places: perhaps in another round of a loop."""
    settled = []
    for value in values:
        if value is not None and any(dimension >= FIRST_LOOP for dimension, _ in value.steps):
            low, high = space.range(value)
            value = Form((), low, high, value.base)
        settled.append(value)
    return _either(space, kind, settled)


def _address(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    """Convert an address between state spaces."""
    return values[0] if values[0] is not None and values[0].base is not None else None


def _field(space: Space, kind: str, values: Sequence[Form | None]) -> Form | None:
    """Extract bits."""
    length = as_constant(space.seen_as(values[2], "u32"))
    return _any(0, (1 << min(length, 64)) - 1) if length is not None and kind[0] == "u" else None


OPERATIONS: dict[str, Operation] = {
    "add": _add,
    "sub": _subtract,
    "neg": _negate,
    "not": _invert,
    "mul.lo": _multiply,
    "mul.wide": _multiply_wide,
    "mul.hi": _multiply_high,
    "shl": _shift_left,
    "shr": _shift_right,
    "and": _and,
    "or": _or,
    "xor": _xor,
    "min": _minimum,
    "max": _maximum,
    "abs": _magnitude,
    "div": _divide,
    "rem": _remainder,
    "cvt": _convert,
    "selp": _either,
    "join": _join,
    "cvta": _address,
    "bfe": _field,
}
