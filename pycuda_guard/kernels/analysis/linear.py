"""Linear forms of parameters, launch extents and indices of a thread: their symbols, their arithmetic."""

from __future__ import annotations

from pycuda_guard.events.model import VARIABLES, LinearForm, product

#: the symbols of special registers of the launch, and of the indices of a thread
SPECIAL = {
    "%ntid.x": -1,
    "%ntid.y": -2,
    "%ntid.z": -3,
    "%nctaid.x": -4,
    "%nctaid.y": -5,
    "%nctaid.z": -6,
    "%tid.x": -7,
    "%ctaid.x": -8,
}
ROWS = {"%tid.y": -10, "%ctaid.y": -11}
_PRODUCTS = {(-8, -1): -9, (-11, -2): -12}  # ctaid.x * ntid.x, ctaid.y * ntid.y

Condition = tuple[str, LinearForm]  #: the form is ``>=``, ``==`` or ``!=`` zero


def plus(left: LinearForm, right: LinearForm, factor: int = 1) -> LinearForm:
    """Return ``left + factor * right``."""
    terms = dict(left.terms)
    for symbol, coefficient in right.terms:
        terms[symbol] = terms.get(symbol, 0) + factor * coefficient
    kept = tuple(sorted((symbol, value) for symbol, value in terms.items() if value))
    return LinearForm(left.constant + factor * right.constant, kept)


def times(left: LinearForm, right: LinearForm) -> LinearForm | None:
    """Return ``left * right``; None where that has a product of symbols that is no symbol."""
    found = plus(LinearForm(left.constant * right.constant), LinearForm(0, left.terms), right.constant)
    found = plus(found, LinearForm(0, right.terms), left.constant)
    for one, factor in left.terms:
        for other, by in right.terms:
            symbol = _product(min(one, other), max(one, other))
            if symbol is None:
                return None
            found = plus(found, LinearForm(0, ((symbol, factor * by),)))
    return found


def _product(low: int, high: int) -> int | None:
    """Return the symbol of the product of two; None where it has none."""
    if 0 <= high < VARIABLES and low >= -12 and not -7 < low < 0:
        return product(low, high)
    return _PRODUCTS.get((low, high))


def is_never_negative(form: LinearForm) -> bool:
    """Tell whether a form of launch extents and indices alone can't be negative."""
    return form.constant >= 0 and all(-12 <= symbol < 0 and factor > 0 for symbol, factor in form.terms)


def with_low_bits(form: LinearForm, bits: int) -> LinearForm | None:
    """Return ``form | bits``; None where the form may have some of these bits itself."""
    unit = 1 << max(bits, 0).bit_length()
    even = form.constant % unit == 0 and all(factor % unit == 0 for _, factor in form.terms)
    return plus(form, LinearForm(bits)) if even and bits >= 0 else None
