"""Arithmetic on polynomials of a launch's numbers and a thread's indices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.events.formulas import BLOCKS, THREADS, Polynomial

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_TERMS = 24
_MAX_DEGREE = 5

_INDICES = frozenset((*THREADS, *BLOCKS))


def constant(value: int) -> Polynomial:
    """Return the polynomial of a number."""
    return Polynomial(((value, ()),) if value else ())


def symbol(name: int) -> Polynomial:
    """Return the polynomial of one symbol."""
    return Polynomial(((1, (name,)),))


def as_constant(polynomial: Polynomial) -> int | None:
    """Return the number that a polynomial is, or None where it has symbols."""
    if not polynomial.terms:
        return 0
    ((factor, symbols), *more) = polynomial.terms
    return None if symbols or more else factor


def plus(left: Polynomial, right: Polynomial, factor: int = 1) -> Polynomial:
    """Return ``left + factor * right``."""
    terms = {symbols: value for value, symbols in left.terms}
    for value, symbols in right.terms:
        terms[symbols] = terms.get(symbols, 0) + factor * value
    return _made(terms)


def times(left: Polynomial, right: Polynomial) -> Polynomial:
    """Return ``left * right``."""
    terms: dict[tuple[int, ...], int] = {}
    for value, symbols in left.terms:
        for other, more in right.terms:
            key = tuple(sorted((*symbols, *more)))
            terms[key] = terms.get(key, 0) + value * other
    return _made(terms)


def scaled(polynomial: Polynomial, factor: int) -> Polynomial:
    """Return ``factor * polynomial``."""
    return plus(Polynomial(), polynomial, factor)


def is_simple(polynomial: Polynomial) -> bool:
    """Tell whether a polynomial is small, and affine in the indices of the thread."""
    return len(polynomial.terms) <= _MAX_TERMS and all(
        len(symbols) <= _MAX_DEGREE and sum(name in _INDICES for name in symbols) <= 1
        for _, symbols in polynomial.terms
    )


def is_uniform(polynomial: Polynomial) -> bool:
    """Tell whether all threads of a launch agree on the value."""
    return not any(name in _INDICES for _, symbols in polynomial.terms for name in symbols)


def slope(polynomial: Polynomial, index: int) -> Polynomial:
    """Return what a polynomial that is affine in ``index`` grows by when that grows by 1."""
    return Polynomial(
        tuple(
            (value, tuple(name for name in symbols if name != index))
            for value, symbols in polynomial.terms
            if index in symbols
        )
    )


def without_indices(polynomial: Polynomial) -> Polynomial:
    """Return the terms without an index of the thread."""
    return Polynomial(
        tuple(term for term in polynomial.terms if not any(name in _INDICES for name in term[1]))
    )


def _made(terms: Mapping[tuple[int, ...], int]) -> Polynomial:
    return Polynomial(tuple((value, symbols) for symbols, value in sorted(terms.items()) if value))
