"""PG402 over hand-made events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from made_up.kernels import arg, kernel, launch, module, ptr
from made_up.memory import A
from made_up.process import ended, failed
from made_up.verdicts import codes, findings

if TYPE_CHECKING:
    from pycuda_guard.events import model as m

FIRING = {
    "one missing": (["float *x", "int n"], [ptr(A)]),
    "all missing": (["float *x", "int n"], []),
    "one too many": (["float *x"], [ptr(A), arg("int32", 5)]),
    "argument for a kernel without any": ([], [arg("int32", 5)]),
    "first missing": (["float *x", "int n", "float f"], [arg("int32", 5), arg("float32", 1.0)]),
    "one long for two ints": (["float *x", "int n", "int m"], [ptr(A), arg("int64", 5)]),
}

SILENT = {
    "right": (["float *x", "int n"], [ptr(A), arg("int32", 5)]),
    "none": ([], []),
    "wrong type": (["float *x", "int n"], [ptr(A), arg("int64", 5)]),
    "struct field by field": (
        ["float *x", "float2 p:8:8"],
        [ptr(A), arg("float32", 1.0), arg("float32", 2.0)],
    ),
    "parameters as one record": (["float *x", "int n", "float f"], [ptr(A), arg("void", size=8)]),
    "everything as one record": (["float *x", "int n"], [arg("void", size=12)]),
}


@pytest.mark.parametrize(("parameters", "arguments"), FIRING.values(), ids=FIRING)
def test_fires(parameters: list[str], arguments: list[m.Argument]) -> None:
    assert codes(module(kernel("k", *parameters)), launch("k", *arguments, line=10)) == [("PG402", 10)]


@pytest.mark.parametrize(("parameters", "arguments"), SILENT.values(), ids=SILENT)
def test_stays_silent(parameters: list[str], arguments: list[m.Argument]) -> None:
    assert ("PG402", 10) not in codes(module(kernel("k", *parameters)), launch("k", *arguments, line=10))


@pytest.mark.parametrize(("packed", "found"), [(8, True), (12, False), (16, False)])
def test_packed_bytes(packed: int, found: bool) -> None:
    signature = module(kernel("k", "float *x", "int n"))
    assert codes(signature, launch("k", raw=packed, line=10)) == [("PG402", 10)] * found


def test_unknown_signature_is_silent() -> None:
    assert codes(launch("k", ptr(A)), launch("k", raw=0)) == []


def test_names_what_is_missing() -> None:
    (finding,) = findings(module(kernel("add", "const float *a", "int n")), launch("add", ptr(A)))
    assert finding.message.startswith("kernel `add` takes 2 arguments, but 1 is passed: nothing for `int n`")
    assert finding.help == "add np.int32(…) for `int n`"


def test_tells_prepared_calls_of_prepare() -> None:
    (finding,) = findings(
        module(kernel("add", "float *a", "int n")), launch("add", ptr(A), call="prepared_async_call")
    )
    assert finding.help == 'write prepare("Pi") for float *a, int n'


@pytest.mark.parametrize(("escaped", "severity"), [((3,), "error"), ((), "note")])
def test_a_refused_call_is_a_note_where_the_program_catches_the_exception(
    escaped: tuple[int, ...], severity: str
) -> None:
    called = launch("add", ptr(A), call="prepared_call", line=10)
    called.packed = 0  # PyCUDA could not pack the arguments
    events = [module(kernel("add", "float *a", "int n")), called, failed("", "error")]
    assert codes(*events) == [("PG402", 10)]
    (finding,) = findings(*events, ended(escaped))
    assert finding.severity.value == severity


def test_a_parameter_without_a_source_is_numbered() -> None:
    signature = kernel("add", "float *a", "int n")
    for index, parameter in enumerate(signature.parameters):
        parameter.declared, parameter.name = "", f"add_param_{index}"
    (finding,) = findings(module(signature), launch("add", ptr(A)))
    assert "nothing for `parameter 2`" in finding.message
