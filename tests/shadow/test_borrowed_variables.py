"""Kernels that tell what they touch are in a module of their own, with the variables of the program's."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from pycuda_guard.events.model import Footprint
from pycuda_guard.kernels.instrument.pipeline import instrument
from pycuda_guard.kernels.ptx import parse, print_module
from pycuda_guard.toolchain import find_nvcc, wheel_root

SOURCE = """
extern "C" int printf(const char *, ...);
__constant__ int first;
__constant__ float weights[8];
__device__ int total, cells[8];
__device__ int *inside = cells + 2;
__device__ float *target;

__device__ __noinline__ void count(int by) { atomicAdd(&total, by); }

extern "C" {
__global__ void offset(float *x, const int *index) { x[index[threadIdx.x] + first] = 1; }
__global__ void weighted(float *x, const int *index, int k)
{
    int i = index[threadIdx.x];
    x[i] = weights[i & 7] + weights[3] + weights[k & 7];
}
__global__ void tallied(float *x, const int *index)
{
    x[index[threadIdx.x]] = 1;
    count(2);
    atomicAdd(cells + (index[threadIdx.x] & 7), 1);
}
__global__ void through(float *x, const int *index)
{
    x[index[threadIdx.x]] = *inside + inside[1];
    if (threadIdx.x == 0) target = x;
}
__global__ void chosen(float *x, const int *index, int k)
{
    const float *from = k ? weights : x + 256;
    x[index[threadIdx.x]] = from[threadIdx.x & 7];
}
__global__ void says(float *x, const int *index)
{
    int i = index[threadIdx.x];
    x[i] = i;
    if (i == 3) printf("%s %d\\n", "index", i);
}
}
"""
N = 64
INDEX = np.random.RandomState(3).permutation(128)[:N].astype(np.int32)
WEIGHTS = np.arange(10, 18).astype(np.float32)
CELLS = np.arange(100, 108).astype(np.int32)
HEAD = ".version 8.0\n.target sm_80\n.address_size 64\n"


@pytest.fixture(scope="module")
def text(cuda):
    from pycuda.compiler import compile

    return compile(SOURCE, target="ptx", no_extern_c=True, options=["-lineinfo"])


def _run(cuda, module, name, *arguments):
    """Run a kernel on a stream; return x and the variables that kernels change."""

    def address(variable):
        return module.get_global(variable)[0]

    for variable, value in (("first", np.int32(5)), ("weights", WEIGHTS), ("cells", CELLS)):
        cuda.memcpy_htod(address(variable), value)
    cuda.memset_d32(address("total"), 0, 1)
    x, index = cuda.to_device(np.full(512, -1, np.float32)), cuda.to_device(INDEX)
    module.get_function(name)(x, index, *arguments, block=(N, 1, 1), stream=cuda.Stream(1))
    cuda.Context.synchronize()
    found = {"x": cuda.from_device(x, 512, np.float32)}
    found["total"] = cuda.from_device(address("total"), 1, np.int32)[0]
    found["cells"] = cuda.from_device(address("cells"), 8, np.int32)
    pointer = cuda.from_device(address("target"), 1, np.uint64)[0]
    return found, pointer == int(x)


EXPECTED = {
    "offset": ((), INDEX + 5, np.ones(N)),
    "weighted": ((np.int32(9),), INDEX, WEIGHTS[INDEX & 7] + WEIGHTS[3] + WEIGHTS[1]),
    "tallied": ((), INDEX, np.ones(N)),
    "through": ((), INDEX, np.full(N, CELLS[2] + CELLS[3])),
    "chosen": ((np.int32(1),), INDEX, WEIGHTS[np.arange(N) & 7]),
    "says": ((), INDEX, INDEX),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_variables_are_those_of_the_program(name, cuda, text, recorder):
    arguments, where, values = EXPECTED[name]
    found, is_noted = _run(cuda, cuda.module_from_buffer(text), name, *arguments)
    expected = np.full(512, -1, np.float32)
    expected[where] = values
    assert (found["x"] == expected).all()
    is_tallied = name == "tallied"
    assert found["total"] == 2 * N * is_tallied
    assert (found["cells"] == CELLS + np.bincount(INDEX & 7, minlength=8) * is_tallied).all()
    assert is_noted == (name == "through")
    (told,) = recorder.of(Footprint)
    (written,) = [each for each in told.touched if each.kind == "write" and len(each.runs) > 1]
    bytes_of = np.concatenate([np.arange(start, end) for start, end in written.runs])
    assert (np.unique(bytes_of // 4) == np.unique(where)).all() and written.exact
    assert not recorder.reports


def test_reads_outside_of_a_variable_are_told_as_before(cuda, text, recorder):
    module = cuda.module_from_buffer(text)
    x, index = cuda.mem_alloc(2048), cuda.to_device(INDEX)
    cuda.memcpy_htod(module.get_global("inside")[0], np.uint64(int(module.get_global("cells")[0]) + 28))
    module.get_function("through")(x, index, block=(N, 1, 1), stream=cuda.Stream(1))
    cuda.Context.synchronize()
    assert recorder.reports == [("through", "outside", "read", N)]


def test_only_the_second_module_has_what_tells(text):
    module = parse(text.decode())
    first, second = instrument(module), instrument(module, traced=True)
    assert not [name for name in first.module.functions if name.endswith("$traced")]
    entries = [name for name, function in second.module.functions.items() if function.entry]
    assert sorted(entries) == sorted(f"{name}$traced" for name in EXPECTED)
    names = [name for name in second.module.variables if not name.startswith(("pg_", "$str"))]
    assert not names
    for name, kernel in first.kernels.items():
        assert kernel.tracing == second.kernels[name].tracing
    assert second.kernels["chosen"].tracing.variables == ("weights",)
    assert second.kernels["says"].tracing.variables == ()


def test_the_second_module_assembles(text, tmp_path):
    nvcc = find_nvcc()
    roots = [root for root in (nvcc and nvcc.parent.parent, wheel_root()) if root]
    ptxas = next((root / "bin" / "ptxas" for root in roots if (root / "bin" / "ptxas").is_file()), None)
    if ptxas is None:
        pytest.skip("needs ptxas")
    path = tmp_path / "traced.ptx"
    path.write_text(print_module(instrument(parse(text.decode()), traced=True).module))
    done = subprocess.run(
        [ptxas, "-arch=sm_90", "-o", tmp_path / "traced.cubin", path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


KERNEL = """.visible .entry k(.param .u64 x, .param .u64 index)
{
    .reg .pred %p; .reg .b32 %r<5>; .reg .b64 %rd<9>;
    ld.param.u64 %rd1, [x];
    ld.param.u64 %rd2, [index];
    ld.global.u32 %r1, [%rd2];
    mad.wide.u32 %rd3, %r1, 4, %rd1;
    <>
    st.global.u32 [%rd3], %r1;
    ret;
}
"""


@pytest.mark.parametrize(
    ("variable", "code", "expected"),
    [
        (".const .b32 v[4];", "ld.const.u32 %r1, [v+4];", ("v",)),
        (".const .b32 v[4];", "cvta.const.u64 %rd4, v; ld.u32 %r1, [%rd4];", ("v",)),
        (".const .b32 v[4];", "mov.u64 %rd4, v; cvta.const.u64 %rd4, %rd4; ld.u32 %r1, [%rd4];", ("v",)),
        (".visible .global .b32 v[4];", "mov.u64 %rd4, v+8; ld.global.u32 %r1, [%rd4];", ("v",)),
        (".visible .global .b32 v[4];", "red.global.add.u32 [v+8], 1;", ("v",)),
        (".visible .global .b32 v[4];", "", ()),
        # a window that the address is asked about, and one that is not known
        (".const .b32 v[4];", "mov.u64 %rd4, v; isspacep.const %p, %rd4; @%p ld.u32 %r1, [%rd4];", None),
        (".const .b32 v[4];", "ld.const.u64 %rd4, [v]; ld.const.u32 %r1, [%rd4];", None),
        (".visible .global .b32 v[4];", "mov.u32 %r1, v;", None),
    ],
)
def test_what_can_be_done_with_addresses(variable, code, expected):
    instrumented = instrument(parse(HEAD + variable + "\n" + KERNEL.replace("<>", code)), traced=True)
    tracing = instrumented.kernels["k"].tracing
    assert (None if tracing is None else tracing.variables) == expected
    printed = print_module(instrumented.module)
    assert print_module(parse(printed)) == printed
    if expected:
        assert "v[4]" not in printed and "[v" not in printed and "ld.const" not in printed
