"""Signatures of kernels, from PTX with and without the source."""

from __future__ import annotations

import re

import pytest

from pycuda_guard.events.model import Parameter, ParameterKind
from pycuda_guard.kernels.ptx import PtxSyntaxError
from pycuda_guard.kernels.signature import read_signatures

POINTER, INTEGER, FLOAT, BYTES = (
    ParameterKind.POINTER,
    ParameterKind.INTEGER,
    ParameterKind.FLOAT,
    ParameterKind.BYTES,
)
HEADER = ".version 9.0\n.target sm_90\n.address_size 64\n"


@pytest.fixture(scope="module")
def language(pytestconfig):
    """The kernels of ``data/language``: its PTX and its source."""
    folder = pytestconfig.rootpath / "tests" / "kernels" / "data"
    return (folder / "language.ptx").read_text(), (folder / "language.cu").read_text()


def by_name(signatures):
    return {signature.name: signature for signature in signatures}


def test_with_source(language):
    ptx, source = language
    found = by_name(read_signatures(ptx, source))
    sample = found["by_value"]
    assert sample.parameters == (
        Parameter("s", 0, 48, 16, BYTES, "Sample s"),
        Parameter("v", 48, 16, 16, BYTES, "float4 v"),
        Parameter("c", 64, 1, 1, INTEGER, "char c"),
        Parameter("h", 66, 2, 2, INTEGER, "short h"),
        Parameter("out", 72, 8, 8, POINTER, "Sample *out", depth=1),
    )
    assert sample.packed_size == 80
    assert "by_value(" in source.splitlines()[sample.source_line - 1]
    assert found["jump_table"].parameters[0] == Parameter(
        "in", 0, 8, 8, POINTER, "const int *in", "int", 4, 1
    )
    assert found["print_values"].max_threads == 256
    assert found["by_value"].max_threads is None
    assert [p.declared for p in found["_Z5scaleIfEvPT_i"].parameters] == ["T *x", "int n"]


def test_without_source(language):
    ptx, source = language
    with_source, without = by_name(read_signatures(ptx, source)), by_name(read_signatures(ptx))
    assert with_source.keys() == without.keys()
    for name, signature in without.items():
        expected = [(p.offset, p.size, p.align, p.kind) for p in with_source[name].parameters]
        assert [(p.offset, p.size, p.align, p.kind) for p in signature.parameters] == expected
        assert not any(p.declared or p.pointee or p.depth for p in signature.parameters)
        assert signature.source_line is None


@pytest.mark.parametrize("name", ["language", "warp"])
def test_static_shared_is_what_ptxas_reports(name, ptxas_report, pytestconfig):
    text = (pytestconfig.rootpath / "tests" / "kernels" / "data" / f"{name}.ptx").read_text()
    report = ptxas_report(text)
    reported = {}
    for kernel in re.split("Compiling entry function '", report)[1:]:
        size = re.search(r"(\d+) bytes smem", kernel)
        reported[kernel.partition("'")[0]] = int(size[1]) if size else 0
    assert {signature.name: signature.static_shared for signature in read_signatures(text)} == reported
    assert max(reported.values()) > 0


def test_followed_pointers(language):
    ptx, source = language
    found = by_name(read_signatures(ptx, source))
    rows = found["rows"]
    assert rows.follows == (0,)
    assert (rows.parameters[0].pointee, rows.parameters[0].depth) == ("", 2)
    assert by_name(read_signatures(ptx))["rows"].follows == ()
    assert by_name(read_signatures(ptx, follow_all=True))["rows"].follows == (0,)


FOLLOWING = {
    "out[0] = *table[i];": (0,),
    "*table[i] = 1;": (0,),
    "out[0] = table[0][i] + table[1][2];": (0,),
    "float *p = table[i]; if (p) out[0] = *p;": (0,),
    "for (float *p = table[0]; p < table[1]; p++) out[0] += *p;": (0,),
    "atomicAdd(table[i], 1.0f);": (0,),
    "out[0] = *table[i] + *other[i];": (0, 1),
    "table[i] = out;": (),
    "out[(long long)table[i] & 7] = 1;": (),
    "((char *)out)[(long long)table[i]] = 1;": (),
    "float **q = i ? table : other; out[0] = *q[1];": (),
    "float *p = i ? table[0] : out; out[0] = *p;": (),
}


@pytest.fixture(scope="module")
def following_kernels(compile_ptx):
    """Signatures of kernels k0, k1, … with the bodies of ``FOLLOWING``."""
    parameters = "float **table, float **other, float *out, int i"
    kernels = [f"__global__ void k{n}({parameters}) {{ {body} }}" for n, body in enumerate(FOLLOWING)]
    source = 'extern "C" {\n' + "\n".join(kernels) + "\n}\n"
    return by_name(read_signatures(compile_ptx(source), source))


@pytest.mark.parametrize(("position", "body"), list(enumerate(FOLLOWING)))
def test_what_counts_as_followed(following_kernels, position, body):
    assert following_kernels[f"k{position}"].follows == FOLLOWING[body]


def test_source_that_does_not_fit_is_ignored(language):
    ptx, _ = language
    found = by_name(read_signatures(ptx, "__global__ void rows(float **rows) {}"))
    assert found["rows"].parameters[0].declared == ""


def test_kinds_of_plain_ptx():
    text = """
    .entry k(.param .u64 .ptr .global .align 4 a, .param .u64 b, .param .u64 c, .param .f32 d, .param .f64 e,
             .param .align 4 .b8 f[12], .param .u8 g, .param .u16 h, .param .b32 i,
             .param .u64 j, .param .u64 k)
    .reqntid 8, 4, 2
    {
        ld.param.u64 %rd1, [b]; // ld.param.u64 %rd2, [c];
        ld.param.u64 %rd3, [c];
        cvta.to.global.u64 %rd4, %rd1;
        cvta.to.global.u64 %rd5, %rd2;
        ld.param.u64 %rd6, [j];
        ld.param.u64 %rd7, [k];
        selp.b64 %rd8, %rd6, %rd7, %p1;
        cvta.to.global.u64 %rd9, %rd8;
    }
    """
    (signature,) = read_signatures((HEADER + text).encode() + b"\0")
    kinds = [parameter.kind for parameter in signature.parameters]
    assert kinds == [POINTER] * 2 + [INTEGER, FLOAT, FLOAT, BYTES] + [INTEGER] * 3 + [POINTER] * 2
    assert [parameter.offset for parameter in signature.parameters] == [
        0,
        8,
        16,
        24,
        32,
        40,
        52,
        54,
        56,
        64,
        72,
    ]
    assert signature.max_threads == 64


def test_bodies_are_skipped_and_headers_are_found():
    text = """
    // .entry no() { }
    .extern .func g(.param .b32 x) ;
    .global .b8 s[2] = {1, 2};
    .visible .entry first() { "}" /* } */ // }
      { not PTX at all } }
    .section .debug { .entry no2() }
    .entry second(.param .u32 n) .maxntid 32 .pragma "x"; { ret; }
    .entry declared(.param .u32 n);
    """
    assert [signature.name for signature in read_signatures(HEADER + text)] == ["first", "second"]


def test_shared_variables_of_the_module_count_where_they_are_named():
    text = """
    .shared .align 8 .b8 both[16]; .extern .shared .b8 dynamic[];
    .func callee() { st.shared.b32 [both], 1; }
    .entry uses_it() { .shared .b8 own[3]; call callee; mov.b32 %r1, dynamic; }
    .entry does_not() { .shared .b8 own[3]; ld.shared.b32 %r1, [own]; }
    """
    found = by_name(read_signatures(HEADER + text))
    assert (found["uses_it"].static_shared, found["does_not"].static_shared) == (24, 3)


def test_a_broken_header_is_an_error_with_its_line():
    with pytest.raises(PtxSyntaxError) as caught:
        read_signatures(HEADER + ".entry fine() { ret; }\n.entry broken(.param .nonsense x)\n{ ret; }")
    assert caught.value.line == 5
