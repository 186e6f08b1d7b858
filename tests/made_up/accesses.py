"""What is known of made-up kernels: the memory they certainly touch, and the stores they are meant to do."""

from __future__ import annotations

from pycuda_guard.events import model as m
from pycuda_guard.events.formulas import BLOCK_DIMS, BLOCKS, THREADS, Coverage, MeantStore, Polynomial

# blockIdx.x * blockDim.x + threadIdx.x: as symbols of a linear form, as terms of a polynomial
_BLOCK_START, _THREAD = -9, -7
_NUMBER = ((1, (BLOCKS[0], BLOCK_DIMS[0])), (1, (THREADS[0],)))


def touches(
    kind: str,
    parameter: int = 0,
    *,
    below: int | None = None,
    first: int | None = None,
    start: int = 0,
    stride: int = 4,
) -> m.CertainAccess:
    """``x[i]``, four bytes, for each thread ``i`` of the grid.

    ``parameter`` is ``x``, and ``below`` the one that ``i`` is less than. Element 0 is the one at ``start``
    bytes, and the one whose index the parameter ``first`` has; elements are ``stride`` bytes apart.
    """
    index = ((_BLOCK_START, stride), (_THREAD, stride)) if stride else ()
    from_first = ((first, stride),) if first is not None else ()
    return m.CertainAccess(kind, 4, m.LinearForm(start, (*index, (parameter, 1), *from_first)), _guard(below))


def somewhere(kind: str, *, below: int | None = None) -> m.CertainAccess:
    """``x[index[i]]`` for a thread ``i`` at least, less than the parameter ``below``."""
    return m.CertainAccess(kind, 4, m.LinearForm(0, ((m.ANYWHERE, 1), (0, 1))), _guard(below))


def _guard(below: int | None) -> tuple[tuple[str, m.LinearForm], ...]:
    if below is None:
        return ()
    return ((">=", m.LinearForm(-1, ((_BLOCK_START, -1), (_THREAD, -1), (below, 1)))),)


def stores(
    n: int = 1,
    *,
    first: int | None = None,
    beside: tuple[tuple[int, tuple[int, ...]], ...] = (),
    start: int = 0,
    width: int = 4,
) -> Coverage:
    """``if (i + beside < n) x[i] = …`` for each thread ``i``, counted from the parameter ``first`` on.

    ``n`` is the number of a parameter too, ``start`` is where ``x[0]`` is, in bytes.
    """
    index = (*_NUMBER, (1, (first,))) if first is not None else _NUMBER
    guard = _polynomial(-1, (1, (n,)), *((-factor, symbols) for factor, symbols in (*index, *beside)))
    place = _polynomial(start, *((width * factor, symbols) for factor, symbols in index))
    return Coverage((), (MeantStore(0, width, place, ((">=", guard),)),))


def _polynomial(constant: int, *terms: tuple[int, tuple[int, ...]]) -> Polynomial:
    return Polynomial((((constant, ()),) if constant else ()) + terms)
