"""PG301 and PG302 over hand-made events: who leaves what out, and who may."""

from __future__ import annotations

from typing import Any

import pytest
from made_up.accesses import stores
from made_up.copies import copy2d, dtoh, host, htod
from made_up.kernels import arg, kernel, launch, module, ptr, reported
from made_up.memory import A, B, alloc, collected, contents, dev, free, memset
from made_up.places import CTX, MAIN
from made_up.process import ended, failed
from made_up.streams import S1
from made_up.verdicts import findings

from pycuda_guard.events import model as m

PITCHED = dev(A, m.Extent(40, rows=10, pitch=64))


MODULE = module(
    kernel("fill", "float *x", "int n", coverage=stores()),
    kernel("twice", "float *x", "int n", coverage=stores()),
    kernel("chunk", "float *x", "int n", "int first", coverage=stores(first=2)),
    kernel("compact", "float *x", "int n"),
    kernel("read", "const float *x"),
)
# the launch is event 3, or 4 where the array is filled first
FRESH = (MODULE, alloc(A, 4000))
FILLED = (*FRESH, htod(A, host(1000)))
READ = dtoh(host(1000), A)


def run(
    function: str, n: int = 1000, blocks: int = 3, at: int = A, line: int = 15, **fields: Any
) -> m.Launch:
    """Launch blocks of 256 threads."""
    numbers = [arg("int32", value) for value in (n, *fields.pop("numbers", ()))]
    array = ptr(at, dtype="float32")
    return launch(function, array, *numbers, block=(256, 1, 1), grid=(blocks, 1), line=line, **fields)


def told(*events: Any) -> list[tuple[str, int]]:
    """Return codes and lines of errors and warnings among PG3xx, notes with a small n."""
    return [
        (f.code + ("n" if f.severity.value == "note" else ""), f.location.line if f.location else 0)
        for f in findings(*events)
        if f.code.startswith("PG3") and f.code != "PG304"
    ]


def test_uncovered_output_names_all_that_there_is_to_say():
    events = (*FRESH, run("fill"), READ, contents(4, A, (0, 3072, 3), (3072, 4000, 0)))
    (found,) = findings(*events, among=["PG301"])
    assert found.severity.value == "error"
    assert (found.location.line, found.kernel.name) == (15, "fill")
    assert found.message.startswith("232 of 1000 elements of ")
    assert "memcpy_dtoh reads them: elements 768 to 999; kernel `fill` is to write them" in found.message
    assert "(`int n` = 1000), but block=(256, 1, 1), grid=(3, 1) has too few threads" in found.message
    assert found.help == "with this block, grid=(4, 1) covers them: ((n + 255) // 256, 1)"
    assert [related.line for related in found.related] == [20, 1]


def test_partial_coverage_names_all_that_there_is_to_say():
    events = (*FILLED, run("twice"), READ, contents(5, A, (0, 3072, 4), (3072, 4000, -1)))
    (found,) = findings(*events, among=["PG302"])
    assert found.severity.value == "warning"
    assert (found.location.line, found.kernel.name) == (15, "twice")
    assert "keep their old values: elements 768 to 999" in found.message
    assert found.help.startswith("with this block, grid=(4, 1) covers them")


FIRING = {
    "one block for all": (
        [*FRESH, run("fill", blocks=1), READ, contents(4, A, (0, 1024, 3), (1024, 4000, 0))],
        [("PG301", 15)],
    ),
    "a part is read": (
        [
            *FRESH,
            run("fill"),
            dtoh(host(100), dev(A + 3600, 400)),
            contents(4, A, (3600, 4000, 0), skip=3600),
        ],
        [("PG301", 15)],
    ),
    "another launch wrote a part of what is missing": (
        [
            *FRESH,
            run("fill", blocks=1),
            run("compact", line=16),
            READ,
            contents(5, A, (0, 1024, 3), (1024, 2000, 4), (2000, 4000, 0)),
        ],
        [("PG301", 15)],
    ),
    "of two launches the later one is told": (
        [
            *FRESH,
            run("fill", line=15),
            run("twice", line=16),
            READ,
            contents(5, A, (0, 3072, 4), (3072, 4000, 0)),
        ],
        [("PG301", 16)],
    ),
    "the answer comes after the array was freed": (
        [*FRESH, run("fill"), READ, free(A), contents(4, A, (0, 3072, 3), (3072, 4000, 0))],
        [("PG301", 15)],
    ),
    "too many ranges to tell, but the first is missing": (
        [*FRESH, run("fill"), READ, m.Contents(None, MAIN, CTX, 4, A, 4000, A, (), 900, 3072, 4000)],
        [("PG301", 15)],
    ),
    "nothing ever wrote it": (
        [
            *FRESH,
            alloc(B, 4000, line=2),
            run("fill", blocks=4),
            dtoh(host(1000), B),
            contents(5, B, (0, 4000, 0)),
        ],
        [("PG301", 20)],
    ),
    "nothing ever wrote it, and its rows are read": (
        [
            *FRESH,
            copy2d(host(100), PITCHED),
            contents(3, A, *((row * 64, row * 64 + 40, 0) for row in range(10))),
        ],
        [("PG301", 26)],
    ),
    "only read by a kernel": (
        [*FRESH, launch("read", ptr(A)), READ, contents(4, A, (0, 4000, 0))],
        [("PG301", 20)],
    ),
    "a buffer is copied whole without evidence": (
        [*FRESH, run("compact"), READ, contents(4, A, (0, 1000, 3), (1000, 4000, 0))],
        [("PG301n", 20)],
    ),
    "nothing was selected, and all is copied": (
        [*FRESH, run("compact"), READ, contents(4, A, (0, 4000, 0))],
        [("PG301n", 20)],
    ),
    "capacity beyond the bound is copied": (
        [*FRESH, run("fill", n=700), READ, contents(4, A, (0, 2800, 3), (2800, 4000, 0))],
        [("PG301n", 20)],
    ),
    "a chunk of a larger array is copied with the rest": (
        [
            *FRESH,
            run("chunk", numbers=[100]),
            READ,
            contents(4, A, (0, 400, 0), (400, 3472, 3), (3472, 4000, 0)),
        ],
        [("PG301n", 20)],
    ),
    "cleared by a memset": (
        [*FRESH, memset(A, 1000), run("twice"), READ, contents(5, A, (0, 3072, 4), (3072, 4000, -1))],
        [("PG302", 15)],
    ),
    "filled by PyCUDA's own kernel": (
        [
            *FRESH,
            run("fill", blocks=4, library=True),
            run("twice", line=16),
            READ,
            contents(5, A, (0, 3072, 4), (3072, 4000, 3)),
        ],
        [("PG302", 16)],
    ),
    "an earlier launch passed over all of it": (
        [
            *FRESH,
            run("fill", blocks=4),
            run("twice", line=16),
            READ,
            contents(5, A, (0, 3072, 4), (3072, 4000, 3)),
        ],
        [("PG302", 16)],
    ),
    "a step in a loop": (
        [*FILLED, run("twice"), run("twice"), READ, contents(6, A, (0, 3072, 5), (3072, 4000, -1))],
        [("PG302", 15)],
    ),
    "freed without being read": (
        [*FILLED, run("twice"), free(A), contents(5, A, (0, 3072, 4), (3072, 4000, -1))],
        [("PG302", 15)],
    ),
    "collected without being read": (
        [*FILLED, run("twice"), collected(A), contents(5, A, (0, 3072, 4), (3072, 4000, -1))],
        [("PG302", 15)],
    ),
    "there at the end of the run": (
        [*FILLED, run("twice"), contents(0, A, (0, 3072, 4), (3072, 4000, -1)), ended()],
        [("PG302", 15)],
    ),
}


@pytest.mark.parametrize(("events", "expected"), FIRING.values(), ids=FIRING)
def test_fires(events, expected):
    assert told(*events) == expected


SILENT = {
    "a bound beyond the array": [
        *FILLED,
        run("twice", n=2**31 - 1),
        READ,
        contents(5, A, (0, 3072, 4), (3072, 4000, -1)),
    ],
    "covered": [*FRESH, run("fill", blocks=4), READ, contents(4, A, (0, 4000, 3))],
    "two launches cover it together": [
        *FRESH,
        run("fill", blocks=2),
        run("chunk", numbers=[512], line=16),
        READ,
        contents(5, A, (0, 2048, 3), (2048, 4000, 4)),
    ],
    "another kernel writes the rest": [
        *FRESH,
        run("fill"),
        run("compact", line=16),
        READ,
        contents(5, A, (0, 3072, 3), (3072, 4000, 4)),
    ],
    "the host writes the rest afterwards": [
        *FRESH,
        run("fill"),
        htod(A + 3072, host(232)),
        READ,
        contents(5, A, (0, 3072, 3), (3072, 4000, -1)),
    ],
    "the host wrote the rest before, and nothing else": [
        *FRESH,
        htod(A + 3072, host(232)),
        run("fill"),
        READ,
        contents(5, A, (0, 3072, 4), (3072, 4000, -1)),
    ],
    "only what was written is read": [
        *FRESH,
        run("fill"),
        dtoh(host(768), A),
        contents(4, A, (0, 3072, 3)),
    ],
    "only what was written is read, and then it is freed": [
        *FILLED,
        run("twice"),
        dtoh(host(768), A),
        contents(5, A, (0, 3072, 4)),
        free(A),
        contents(7, A, (0, 3072, 4), (3072, 4000, -1)),
    ],
    "missing, and never read": [*FRESH, run("fill"), free(A), contents(4, A, (0, 3072, 3), (3072, 4000, 0))],
    "the other half was written by an earlier launch": [
        *FRESH,
        run("chunk", numbers=[768]),
        run("twice", line=16),
        READ,
        contents(5, A, (0, 3072, 4), (3072, 4000, 3)),
    ],
    "the other half was written by an unknown formula": [
        *FRESH,
        run("compact"),
        run("twice", line=16),
        READ,
        contents(5, A, (0, 3072, 4), (3072, 4000, 3)),
    ],
    "chunks of a filled array": [
        *FILLED,
        run("chunk", numbers=[0], blocks=1),
        run("chunk", numbers=[256], blocks=1),
        READ,
        contents(6, A, (0, 1024, 4), (1024, 2048, 5), (2048, 4000, -1)),
    ],
    "the first part only, by its own bound": [
        *FILLED,
        run("twice", n=700),
        READ,
        contents(5, A, (0, 2800, 4), (2800, 4000, -1)),
    ],
    "a launch after the read": [
        *FILLED,
        dtoh(host(1000), A),
        run("twice"),
        contents(4, A, (0, 4000, -1)),
    ],
    "on another stream than the pass before": [
        *FRESH,
        run("fill", blocks=4),
        run("twice", line=16, stream=S1),
        READ,
        contents(5, A, (0, 3072, 4), (3072, 4000, 3)),
    ],
    "somebody unknown wrote it": [
        *FILLED,
        run("twice"),
        READ,
        contents(5, A, (0, 3072, 4), (3072, 4000, -2)),
    ],
    "between the rows of a copy": [
        *FRESH,
        run("fill", n=10),
        copy2d(host(100), PITCHED),
        contents(
            4,
            A,
            *(
                (row * 64 + low, row * 64 + high, writer)
                for row in range(9)
                for low, high, writer in ((0, 40, 3), (40, 64, 0))
            ),
        ),
    ],
    "padding of a structure": [
        *FRESH,
        run("compact"),
        dtoh(host(4000, "uint8"), A),
        contents(
            4,
            A,
            *(
                (at + low, at + high, writer)
                for at in range(0, 4000, 16)
                for low, high, writer in ((0, 12, 3), (12, 16, 0))
            ),
        ),
    ],
    "the launch failed": [
        *FRESH,
        run("fill"),
        failed("invalid argument"),
        READ,
        contents(5, A, (0, 4000, 0)),
    ],
    "too few arguments are the cause": [
        *FRESH,
        launch("fill", ptr(A), block=(16, 1, 1)),
        READ,
        contents(4, A, (0, 64, 3), (64, 4000, 0)),
    ],
    "the address belongs to another array by now": [
        *FRESH,
        run("fill"),
        READ,
        free(A),
        alloc(A, 8000),
        contents(4, A, (0, 3072, 3), (3072, 4000, 0)),
    ],
    "a kernel's use of the array was told": [
        *FRESH,
        launch("read", ptr(A)),
        reported(3, "uninitialized", A, function="read", kind="use", parameter=0, base=A, size=4000),
        READ,
        contents(5, A, (0, 4000, 0)),
    ],
}


@pytest.mark.parametrize("events", SILENT.values(), ids=SILENT)
def test_stays_silent(events):
    assert [code for code, _ in told(*events) if code in ("PG301", "PG302")] == []


def test_one_note_for_a_loop_of_reads():
    reads = [READ, contents(4, A, (0, 1000, 3), (1000, 4000, 0))]
    assert told(*FRESH, run("compact"), *reads, *reads) == [("PG301n", 20)]


def test_elements_of_two_dimensions():
    array = ptr(A, "GPUArray", dtype="float32", shape=(40, 25))
    launched = launch("fill", array, arg("int32", 1000), block=(256, 1, 1), grid=(3, 1))
    events = (*FRESH, launched, READ, contents(4, A, (0, 3072, 3), (3072, 4000, 0)))
    (found,) = findings(*events, among=["PG301"])
    assert "(40×25 float32) were never written" in found.message
    assert "elements [30, 18] to [39, 24]" in found.message
