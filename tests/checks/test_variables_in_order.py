"""PG103 over hand-made events about variables of modules, whose addresses are symbols of certain accesses."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from made_up import copies
from made_up.accesses import touches
from made_up.copies import host, htod
from made_up.kernels import MOD, kernel, launch, module, ptr
from made_up.memory import HOST, PINNED, A, B, C, alloc
from made_up.streams import E1, S1, S2, event, record, stream, synchronize, wait
from made_up.verdicts import codes

from pycuda_guard.events import model as m

if TYPE_CHECKING:
    from collections.abc import Sequence

GLOBAL = m.MemoryKind.GLOBAL
SOME = m.CertainAccess("read", 4, m.LinearForm(0, ((m.ANYWHERE, 1), (m.VARIABLES, 1))))
MODULE = module(
    kernel(
        "weighted",
        "float *x",
        accesses=(touches("read", m.VARIABLES + 1, start=8, stride=0),),
        is_vague=False,
        variables=("bias", "weights"),
    ),
    kernel("indexed", "float *x", accesses=(SOME,), is_vague=False, variables=("weights",)),
    kernel(
        "counted",
        "float *x",
        accesses=(touches("atomic", m.VARIABLES, stride=0),),
        is_vague=False,
        variables=("total",),
    ),
)
asked = partial(alloc, kind=GLOBAL, call="Module.get_global", line=4)
WEIGHTS = asked(B, 400, name="weights", module=MOD)
TOTAL = asked(C, 4, name="total", module=MOD)
START = [MODULE, alloc(A, 400), alloc(HOST, 400, PINNED), stream(S1, 1), stream(S2, 1)]
KNOWN = [*START, WEIGHTS, TOTAL]


def upload(on: int, address: int = B, n: int = 100) -> m.Copy:
    """Copy to a variable on a stream."""
    return copies.upload(on, address, n)


def k(on: int = S1, name: str = "weighted") -> m.Launch:
    """Launch a kernel on a stream."""
    return launch(name, ptr(A), block=(128, 1, 1), stream=on, line=10)


RACES: dict[str, Sequence[Any]] = {
    "upload": [*KNOWN, k(), upload(S2)],
    "upload before": [*KNOWN, upload(S2), k()],
    "synchronous upload": [*KNOWN, k(), htod(B, host(100), line=15)],
    "of the very element": [*KNOWN, k(), upload(S2, B + 8, 1)],
    "asked for after another launch": [*START, k(), synchronize(), WEIGHTS, k(), upload(S2)],
    "an index that nobody knows": [*KNOWN, k(name="indexed"), upload(S2)],
    "updated": [*KNOWN, k(name="counted"), copies.download(S2, C, 1)],
}
ORDERED: dict[str, Sequence[Any]] = {
    "not asked for": [*START, k(), upload(S2, A)],
    "asked for after the launch": [*START, k(), WEIGHTS, upload(S2)],
    "same stream": [*KNOWN, k(), upload(S1)],
    "synchronized": [*KNOWN, k(), synchronize(), upload(S2)],
    "event": [*KNOWN, event(E1), k(), record(E1, S1), wait(S2, E1), upload(S2)],
    "default stream": [*KNOWN, k(0), htod(B, host(100))],
    "another element": [*KNOWN, k(), upload(S2, B + 12, 1)],
    "an index that nobody knows, one element": [*KNOWN, k(name="indexed"), upload(S2, B + 12, 1)],
    "both read": [*KNOWN, k(), copies.download(S2, B)],
    "both update": [*KNOWN, k(name="counted"), k(S2, "counted")],
    "another variable": [*KNOWN, k(name="counted"), upload(S2)],
    "of another module": [*START, asked(B, 400, name="weights", module=MOD + 1), k(), upload(S2)],
}


@pytest.mark.parametrize("events", RACES.values(), ids=RACES)
def test_variables_that_are_touched_on_two_streams(events: Sequence[Any]) -> None:
    assert [code for code, _ in codes(*events, among=("PG103",))] == ["PG103"]


@pytest.mark.parametrize("events", ORDERED.values(), ids=ORDERED)
def test_variables_in_order_or_apart(events: Sequence[Any]) -> None:
    assert not codes(*events, among=("PG103", "PG105", "PG903"))
