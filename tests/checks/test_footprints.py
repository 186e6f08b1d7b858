"""The bytes that a launch certainly touches, against a count over all of its threads."""

from __future__ import annotations

import itertools

from hypothesis import given, strategies as st
from made_up.kernels import arg, kernel, launch, ptr
from made_up.memory import A

from pycuda_guard.checks.state.footprints import Footprints, Range, overlap
from pycuda_guard.events import model as m

PRODUCTS = tuple(m.product(symbol, 1) for symbol in (-7, -8, -10, -12, 1))
SYMBOLS = (0, 1, -1, -4, -7, -8, -9, -10, -11, -12, *PRODUCTS)
factors = st.integers(-3, 3)
forms = st.builds(
    lambda constant, *values: m.LinearForm(
        constant, tuple((s, f) for s, f in zip(SYMBOLS, values, strict=True) if f)
    ),
    st.integers(-8, 8),
    st.just(0),
    *[factors] * 14,
)
conditions = st.lists(st.tuples(st.sampled_from([">=", "==", "!="]), forms), max_size=3)


def value(
    form: m.LinearForm, n: int, extents: tuple[int, ...], thread: int, block: int, row: int, down: int
) -> int:
    threads, blocks, rows = extents
    known = {0: A, 1: n, -1: threads, -4: blocks, -7: thread, -8: block, -9: block * threads, -10: row}
    known |= {-11: down, -12: down * rows}
    known |= {symbol: known[m.factors(symbol)[0]] * n for symbol in PRODUCTS}
    return form.constant + sum(factor * known[symbol] for symbol, factor in form.terms)


def holds(kind: str, number: int) -> bool:
    return {">=": number >= 0, "==": number == 0, "!=": number != 0}[kind]


@given(forms, conditions, st.integers(1, 8), st.integers(0, 9), *[st.integers(1, n) for n in (5, 4, 3, 3)])
def test_no_byte_is_claimed_that_no_thread_touches(
    form: m.LinearForm,
    required: list[tuple[str, m.LinearForm]],
    width: int,
    n: int,
    threads: int,
    blocks: int,
    rows: int,
    row_blocks: int,
) -> None:
    address = m.LinearForm(form.constant, ((0, 1), *form.terms))
    access = m.CertainAccess("write", width, address, tuple(required))
    event = launch("k", ptr(A), arg("int32", n), block=(threads, rows, 1), grid=(blocks, row_blocks))
    touched = set()
    for at in itertools.product(range(threads), range(blocks), range(rows), range(row_blocks)):
        known = n, (threads, blocks, rows), *at
        if all(holds(kind, value(form, *known)) for kind, form in required):
            start = value(address, *known)
            touched |= set(range(start, start + width))
    claimed = set()
    signature = kernel("k", "char *x", "int n", accesses=(access,))
    for _, found in Footprints().of_launch(event, signature, {}):
        claimed |= bytes_of(found)
    assert claimed <= touched


def test_rows_of_an_image_are_told() -> None:
    address = m.LinearForm(0, ((0, 1), (-9, 1), (-7, 1), (m.product(-12, 1), 1), (m.product(-10, 1), 1)))
    below = m.LinearForm(-1, ((-9, -1), (-7, -1), (1, 1)))
    access = m.CertainAccess("write", 1, address, ((">=", below),))
    signature = kernel("k", "char *x", "int n", accesses=(access,))
    event = launch("k", ptr(A), arg("int32", 100), block=(16, 4, 1), grid=(7, 3))
    ((_, found),) = Footprints().of_launch(event, signature, {})
    assert found == Range(A, 1200)
    narrow = launch("k", ptr(A), arg("int32", 100), block=(16, 4, 1), grid=(2, 3))
    ((_, found),) = Footprints().of_launch(narrow, signature, {})
    assert found == Range(A, 32, 12, 100)


def bytes_of(touched: Range) -> set[int]:
    rows = (touched.start + row * touched.pitch for row in range(touched.rows))
    return {byte for start in rows for byte in range(start, start + touched.width)}


ranges = st.builds(
    lambda start, width, rows, gap: Range(start, width, rows, width + gap if rows > 1 else 0),
    st.integers(0, 60),
    st.integers(1, 9),
    st.integers(1, 6),
    st.integers(1, 9),
)


@given(ranges, ranges)
def test_overlap_is_a_byte_in_both(one: Range, other: Range) -> None:
    assert overlap(one, other) == bool(bytes_of(one) & bytes_of(other))
