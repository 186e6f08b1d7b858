"""PG403 over hand-made events."""

from __future__ import annotations

import pytest
from made_up.copies import host, htod
from made_up.kernels import arg, kernel, launch, module, ptr
from made_up.memory import A, B, alloc, free, memset
from made_up.verdicts import codes, findings

from pycuda_guard.events import model as m


def gpuarray(dtype: str, shape: tuple[int, ...] = (50,)) -> m.Argument:
    return ptr(A, "GPUArray", shape=shape, dtype=dtype)


FIRING = {
    "float64 for float": ("float *x", gpuarray("float64")),
    "int64 for int": ("const int *x", gpuarray("int64")),
    "float32 for double": ("double *x", gpuarray("float32")),
    "int32 for long long": ("long long *x", gpuarray("int32")),
    "bytes for float": ("float *x", gpuarray("uint8")),
    "bool for int": ("int *x", gpuarray("bool")),
    "In": ("float *x", m.Argument(m.ArgumentKind.POINTER, "ndarray", 0, 8, dtype="float64", handler="In")),
}
SILENT = {
    "same": ("float *x", gpuarray("float32")),
    "same size": ("int *x", gpuarray("float32")),
    "char": ("char *x", gpuarray("float64")),
    "void": ("void *x", gpuarray("float64")),
    "vector": ("float4 *x", gpuarray("float32")),
    "complex": ("float *x", gpuarray("complex64")),
    "record": ("float *x", gpuarray("[('x', '<f8')]")),
    "bytes viewed as words": ("unsigned int *x", gpuarray("uint8")),
    "half": ("short *x", gpuarray("float16")),
    "table of pointers": ("float **x", gpuarray("uint64")),
    "unknown dtype": ("float *x", ptr(A)),
    "number": ("float *x", arg("uint64", A)),
}


@pytest.mark.parametrize(("parameter", "argument"), FIRING.values(), ids=FIRING)
def test_fires(parameter: str, argument: m.Argument) -> None:
    events = [module(kernel("k", parameter)), alloc(A, 400), launch("k", argument, line=10)]
    assert codes(*events) == [("PG403", 10)]


@pytest.mark.parametrize(("parameter", "argument"), SILENT.values(), ids=SILENT)
def test_stays_silent(parameter: str, argument: m.Argument) -> None:
    assert codes(module(kernel("k", parameter)), alloc(A, 400), launch("k", argument, line=10)) == []


TWICE = module(kernel("k", "float *x"), kernel("d", "double *x"), kernel("read", "const double *x"))
DOUBLES = host(50, "float64")

UPLOADED = {
    "uploaded": [alloc(A, 400), htod(A, DOUBLES)],
    "uploaded, then read only": [alloc(A, 400), htod(A, DOUBLES), launch("read", ptr(A))],
}
NOT_UPLOADED = {
    "right": [alloc(A, 400), htod(A, host(100))],
    "part of it": [alloc(A, 800), htod(A, DOUBLES)],
    "written since": [alloc(A, 400), htod(A, DOUBLES), launch("d", ptr(A))],
    "launched from bytes since": [alloc(A, 400), htod(A, DOUBLES), launch("d", raw=8)],
    "cleared since": [alloc(A, 400), htod(A, DOUBLES), memset(A, 100)],
    "other memory": [alloc(A, 400), alloc(B, 400), htod(B, DOUBLES)],
    "new memory": [alloc(A, 400), htod(A, DOUBLES), free(A), alloc(A, 400)],
}


@pytest.mark.parametrize("events", UPLOADED.values(), ids=UPLOADED)
def test_knows_what_was_uploaded(events: list[m.Event]) -> None:
    assert codes(TWICE, *events, launch("k", ptr(A), line=10)) == [("PG403", 10)]


@pytest.mark.parametrize("events", NOT_UPLOADED.values(), ids=NOT_UPLOADED)
def test_knows_when_it_does_not(events: list[m.Event]) -> None:
    assert codes(TWICE, *events, launch("k", ptr(A), line=10)) == []


def test_an_address_into_the_middle_is_not_judged() -> None:
    assert codes(TWICE, alloc(A, 400), htod(A, DOUBLES), launch("k", ptr(A + 8))) == []


def test_gives_the_evidence_and_the_conversion() -> None:
    (finding,) = findings(TWICE, alloc(A, 400), htod(A, DOUBLES), launch("k", ptr(A)))
    assert (
        "memory that 50 float64 were copied to (8 bytes each), and `float *x` points to float (4 bytes)"
        in (finding.message)
    )
    assert finding.help == "convert the array first: .astype(np.float32)"


@pytest.mark.parametrize(
    ("dtype", "declared", "help"),
    [
        ("int64", "float *x", "convert the array first: .astype(np.float32)"),
        ("float32", "double *x", "convert the array first: .astype(np.float64)"),
        ("bool", "const int *x", "convert the array first: .astype(np.int32)"),
        ("int32", "size_t *x", "convert the array to elements of 8 bytes, or change the kernel's parameter"),
    ],
)
def test_the_conversion_is_to_what_the_pointer_points_to(dtype: str, declared: str, help: str) -> None:
    (finding,) = findings(module(kernel("k", declared)), launch("k", gpuarray(dtype)))
    assert finding.help == help


def test_kernels_of_pycudas_own_are_silent() -> None:
    assert codes(TWICE, alloc(A, 400), launch("k", gpuarray("float64"), library=True)) == []


@pytest.mark.parametrize(
    ("count", "dtype", "expected"),
    [
        (50, "float64", [("PG403", 10)]),
        (100, "float64", []),  # a view: as many words as the kernel's type makes of it
        (25, "float64", []),  # a part: nothing says which elements are meant
        (50, "complex64", []),
    ],
)
def test_elementwise_kernels_are_told_how_many_elements_there_are(
    count: int, dtype: str, expected: list[tuple[str, int]]
) -> None:
    events = [
        module(kernel("k", "float *x", "unsigned long long n")),
        alloc(A, 400),
        htod(A, host(50, dtype)),
    ]
    assert codes(*events, launch("k", ptr(A), arg("int64", count), library=True, line=10)) == expected


@pytest.mark.parametrize(
    ("count", "block", "expected"),
    [
        (100, 64, []),  # 100 words: the bytes are meant as words
        (400, 100, [("PG403", 10)]),  # 400 items
        (7, 100, []),  # a thread for each word
        (7, 400, [("PG403", 10)]),
    ],
)
def test_a_launch_that_counts_words_means_them(
    count: int, block: int, expected: list[tuple[str, int]]
) -> None:
    events = [module(kernel("k", "float *x", "int n")), alloc(A, 400), htod(A, host(400, "uint8"))]
    called = launch("k", ptr(A), arg("int32", count), block=(block, 1, 1), line=10)
    assert codes(*events, called) == expected
