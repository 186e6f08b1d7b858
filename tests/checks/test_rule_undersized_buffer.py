"""PG208 over hand-made events: kernels that can't be watched, and what their arguments make them write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from made_up.accesses import stores
from made_up.kernels import arg, kernel, launch, module, ptr
from made_up.memory import A, B, alloc, free
from made_up.verdicts import findings

from pycuda_guard.events.formulas import THREADS

if TYPE_CHECKING:
    from pycuda_guard.events import model as m

KERNELS = (
    kernel("fill", "float *x", "int n", coverage=stores()),
    kernel("behind", "float *x", "int n", coverage=stores(start=400)),
    kernel("triangle", "float *x", "int n", coverage=stores(beside=((1, (THREADS[1],)),))),
    kernel("by_data", "float *x", "int n"),
)
LEFT_OUT = tuple((one.name, "it is recursive") for one in KERNELS)


def run(function: str, n: int, blocks: int = 4, at: int = A, **fields: Any) -> m.Launch:
    """Launch blocks of 256 threads."""
    fields = {"block": (256, 1, 1), "grid": (blocks, 1), **fields}
    return launch(function, ptr(at, dtype="float32"), arg("int32", n), **fields)


def told(*events: m.Event, left_out: tuple[tuple[str, str], ...] = LEFT_OUT) -> list[Any]:
    return findings(module(*KERNELS, left_out=left_out), *events, among=["PG208"])


def test_says_what_is_too_small_and_by_how_much():
    (found,) = told(alloc(A, 1000), run("fill", 1000))
    assert found.severity.value == "warning"
    assert (found.location.line, found.kernel.name) == (15, "fill")
    assert "kernel `fill` writes element 999 through `float *x`" in found.message
    assert "has room for 250 (block=(256, 1, 1), grid=(4, 1))" in found.message
    assert found.help.startswith("allocate 4000 bytes for ")
    assert [related.line for related in found.related] == [1]


FIRING = {
    "one element too many": (alloc(A, 3996), run("fill", 1000)),
    "as far as there are threads": (alloc(A, 4000), run("fill", 5000, blocks=5)),
    "all kernels of the module": (alloc(A, 400), run("fill", 101)),
    "from an offset on": (alloc(A, 4000), run("behind", 1000)),
    "from the middle of an allocation on": (alloc(A, 4000), run("fill", 600, at=A + 2000)),
    "the guard names more than the place": (alloc(A, 100), run("triangle", 100)),
}


@pytest.mark.parametrize("events", FIRING.values(), ids=FIRING)
def test_fires(events):
    assert len(told(*events)) == 1


def test_fires_where_the_whole_module_is_left_out():
    assert told(alloc(A, 400), run("fill", 101), left_out=(("", "it is linked"),))


def test_a_loop_is_one_finding():
    (found,) = told(alloc(A, 400), *(run("fill", n) for n in range(90, 120)))
    assert found.count == 19


SILENT = {
    "exactly as large": (alloc(A, 4000), run("fill", 1000)),
    "too few threads to get there": (alloc(A, 4000), run("fill", 5000, blocks=3)),
    "nothing to do": (alloc(A, 4), run("fill", 0)),
    "a part of a larger allocation": (alloc(A, 8000), run("fill", 1000, at=A + 4000)),
    "no thread of the last row gets there": (
        alloc(A, 4 * 1020),
        run("triangle", 1000, block=(256, 4, 1)),
    ),
    "data decide": (alloc(A, 4), run("by_data", 1000)),
    "memory that nobody knows": (run("fill", 1000, at=B),),
    "memory that is gone": (alloc(A, 400), free(A), run("fill", 1000)),
    "another kernel of the module": (alloc(A, 400), run("by_data", 101)),
    "PyCUDA's own": (alloc(A, 400), run("fill", 101, library=True)),
}


@pytest.mark.parametrize("events", SILENT.values(), ids=SILENT)
def test_stays_silent(events):
    assert not told(*events)


def test_kernels_that_are_watched_are_left_to_the_watching():
    assert not told(alloc(A, 400), run("fill", 101), left_out=())
    assert not told(alloc(A, 400), run("fill", 101), left_out=(("by_data", "it is recursive"),))
