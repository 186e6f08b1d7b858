"""PG401 over hand-made events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from made_up.kernels import arg, kernel, launch, module, ptr
from made_up.memory import A, alloc
from made_up.process import ended, failed
from made_up.verdicts import codes, findings

from pycuda_guard.callsite import Site
from pycuda_guard.events import model as m

if TYPE_CHECKING:
    from pathlib import Path

FIRING = {
    "int64 for int": (["int n"], [arg("int64", 5)]),
    "int64 for int, more behind it": (
        ["float *x", "int n", "float a", "float b"],
        [ptr(A), arg("int64", 5), arg("float32", 1.0), arg("float32", 2.0)],
    ),
    "int32 for long long": (["long long n"], [arg("int32", 5)]),
    "int8 for int": (["int n"], [arg("int8", 5)]),
    "float64 for float": (["float f"], [arg("float64", 3.0)]),
    "float32 for double": (["double f"], [arg("float32", 3.0)]),
    "integer for float": (["float f"], [arg("int32", 3)]),
    "float for integer": (["int n"], [arg("float32", 3.0)]),
    "float for a pointer": (["float *x"], [arg("float64", 3.0)]),
    "pointer for a double": (["double f"], [ptr(A)]),
    "int32 for a pointer": (["float *x"], [arg("int32", 0)]),
    "array for a pointer": (["int *x"], [arg("ndarray", size=256, shape=(64,), dtype="int32")]),
    "array of eight bytes for a pointer": (
        ["float *x"],
        [arg("ndarray", size=8, shape=(2,), dtype="float32")],
    ),
    "a small integer for float": (["float f"], [arg("int32", -5)]),
    "a wide integer that doesn't fit": (["bool b", "int n"], [arg("int32", 256), arg("int32", 5)]),
    "a smaller struct": (["P p:16:4"], [arg("void", size=12)]),
    "a larger struct": (["P p:12:4"], [arg("void", size=16)]),
    "a struct without the padding inside": (["P p:16:8"], [arg("void", size=12, misplaced="x")]),
    "a struct at the wrong offset": (["int n", "P p:16:8"], [arg("int32", 5), arg("void", size=16)]),
    "a float array of one for int": (["int n"], [arg("ndarray", size=4, shape=(), dtype="float32")]),
}

SILENT = {
    "all right": (["float *x", "int n", "double f"], [ptr(A), arg("int32", 5), arg("float64", 1.0)]),
    "integer of the size of a pointer": (["float *x"], [arg("uint64", A)]),
    "null": (["float *x"], [arg("int64", 0)]),
    "address for a 64-bit integer": (["size_t address"], [ptr(A)]),
    "signed for unsigned": (["unsigned int n"], [arg("int32", 5)]),
    "unsigned for signed": (["int n"], [arg("uint32", 5)]),
    "bool": (["bool b"], [arg("bool", 1)]),
    "char": (["char c"], [arg("int8", 1)]),
    "struct by value": (["float *x", "P p:12:4"], [ptr(A), arg("void", size=12)]),
    "complex by value": (["C c:8:8"], [arg("complex64", size=8)]),
    "record without the padding at its end": (["P p:16:8"], [arg("void", size=12)]),
    "aligned struct in front": (["P p:16:8", "int n"], [arg("void", size=16), arg("int32", 5)]),
    "half float": (["short h"], [arg("float16", 1.0)]),
    "half float as bytes": (["half h:2:2"], [arg("float16", 1.0)]),
    "enum": (["color c:4:4"], [arg("int32", 2)]),
    "array of one element for a number": (["int n"], [arg("ndarray", size=4, shape=(), dtype="int32")]),
    "array of one address for a pointer": (
        ["float *x"],
        [arg("ndarray", size=8, shape=(1,), dtype="uint64")],
    ),
    "In": (["float *x"], [m.Argument(m.ArgumentKind.POINTER, "In", 0, 8, handler="In")]),
    "struct that holds an address": (["span s:8:8"], [ptr(A)]),
    "wrong count, shifted": (["float *x", "int n", "float f"], [arg("int32", 5), arg("float32", 1.0)]),
}


@pytest.mark.parametrize(("parameters", "arguments"), FIRING.values(), ids=FIRING)
def test_fires(parameters: list[str], arguments: list[m.Argument]) -> None:
    events = [module(kernel("k", *parameters)), alloc(A, 400), launch("k", *arguments, line=10)]
    assert codes(*events) == [("PG401", 10)]


@pytest.mark.parametrize(("parameters", "arguments"), SILENT.values(), ids=SILENT)
def test_stays_silent(parameters: list[str], arguments: list[m.Argument]) -> None:
    events = [module(kernel("k", *parameters)), alloc(A, 400), launch("k", *arguments, line=10)]
    assert ("PG401", 10) not in codes(*events)


def test_unknown_signature_is_silent_but_for_refused_types() -> None:
    assert codes(launch("k", arg("int64", 5), arg("float64", 1.0))) == []
    assert codes(launch("k", arg("int", 5), line=10), failed("", "TypeError")) == [("PG401", 10)]


@pytest.mark.parametrize(
    ("declared", "argument"), [("int n", arg("int", 5)), ("float f", arg("float", 5.0))], ids=["int", "float"]
)
def test_a_refused_argument_is_a_note_where_the_program_catches_the_exception(
    declared: str, argument: m.Argument
) -> None:
    events = [module(kernel("k", declared)), launch("k", argument, line=10), failed("", "TypeError")]
    assert codes(*events) == [("PG401", 10)]
    escaped, caught = findings(*events, ended((3,))), findings(*events, ended())
    assert [finding.severity.value for finding in (*escaped, *caught)] == ["error", "note"]


def test_a_wide_integer_whose_value_arrives_is_a_note_until_one_does_not() -> None:
    first = [
        module(kernel("k", "bool b", "float *x")),
        *(launch("k", arg("int32", value), ptr(A), line=10) for value in (1, 1)),
    ]
    (note,) = findings(*first)
    assert (note.code, note.severity.value, note.count) == ("PG401", "note", 2)
    error = findings(*first, launch("k", arg("int32", 300), ptr(A), line=10))[-1]
    assert (error.code, error.severity.value, error.count) == ("PG401", "error", 1)


def test_swapped_arguments_are_told_the_order() -> None:
    signature = kernel("k", "float *x", "int n")
    (finding,) = findings(module(signature), launch("k", arg("int32", 5), ptr(A)))
    assert finding.help == "pass them in the kernel's order: float *x, int n"


def test_library_kernels_are_silent() -> None:
    assert codes(module(kernel("k", "int n")), launch("k", arg("int64", 5), library=True)) == []


def test_one_finding_names_every_wrong_argument() -> None:
    parameters = kernel("k", "float *x", "int n", "float f", source_file="script.py", source_line=4)
    (finding,) = findings(module(parameters), launch("k", ptr(A), arg("int64", 5), arg("float64", 1.0)))
    assert "argument 2 (int64) has 8 bytes, but `int n` takes 4" in finding.message
    assert "argument 3 (float64) has 8 bytes, but `float f` takes 4" in finding.message
    assert finding.help == "write np.int32(…)"
    assert [(r.message, r.line) for r in finding.related] == [("`k` is declared here", 4)]


def test_arguments_behind_a_wrong_one_are_not_blamed() -> None:
    (finding,) = findings(
        module(kernel("k", "int n", "int m")), launch("k", arg("int64", 5), arg("int32", 6))
    )
    assert "argument 2" not in finding.message


def test_an_array_by_value_is_told_how_to_wrap_it() -> None:
    (finding,) = findings(
        module(kernel("k", "int *x")), launch("k", arg("ndarray", size=256, shape=(64,), dtype="int32"))
    )
    assert "argument 1 (ndarray of 64 int32) is passed by value, but `int *x` is a pointer" in finding.message
    assert "cuda.In(…)" in finding.help


@pytest.mark.parametrize(
    ("declared", "shape", "call", "help"),
    [
        ("float3 v:12:4", (3,), "__call__", "write gpuarray.vec.make_float3(x, y, z)"),
        ("const uchar4 v:4:4", (2,), "__call__", "write gpuarray.vec.make_uchar4(x, y, z, w)"),
        ("double3 v:24:8", (2,), "__call__", "pass 24 bytes for `double3 v`"),
        ("float3 v:12:4", (3,), "prepared_call", "pass 12 bytes for `float3 v`"),
    ],
)
def test_vectors_are_made_as_pycuda_makes_them(
    declared: str, shape: tuple[int, ...], call: str, help: str
) -> None:
    given = arg("ndarray", size=8 * shape[0], shape=shape, dtype="int64")
    (finding,) = findings(module(kernel("k", declared)), launch("k", given, call=call))
    assert finding.help == help


def test_prepared_calls_are_told_the_character() -> None:
    (finding,) = findings(
        module(kernel("k", "unsigned int n")), launch("k", arg("int64", 5), call="prepared_call")
    )
    assert finding.help == "in prepare(), write 'I' for `unsigned int n`"


@pytest.mark.parametrize(
    ("text", "converted"),
    [
        ("n", "n"),
        ("np.int64(n)", "n"),
        ("numpy.uint64(x.shape[0] // 2)", "x.shape[0] // 2"),
        ("np.arange(n).max()", "np.arange(n).max()"),
        ("np.prod(x.shape)", "np.prod(x.shape)"),
        ("np.int64(n) * np.int64(m)", "np.int64(n) * np.int64(m)"),
    ],
)
def test_the_conversion_told_is_of_the_value_that_was_given(
    tmp_path: Path, text: str, converted: str
) -> None:
    path = tmp_path / "script.py"
    path.write_text(f"k({text}, block=(64, 1, 1))")
    wrong = msgspec.structs.replace(launch("k", arg("int64", 5)), site=Site(str(path), 1, "f"))
    (finding,) = findings(module(kernel("k", "int n")), wrong)
    assert finding.help == f"write np.int32({converted})"


def test_the_failure_that_follows_is_no_second_finding() -> None:
    events = [module(kernel("k", "int n")), launch("k", arg("int64", 5), block=(2048, 1, 1), line=10)]
    assert codes(*events, failed("too many resources requested for launch")) == [("PG401", 10)]
