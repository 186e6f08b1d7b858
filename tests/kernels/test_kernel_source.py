"""Kernels in CUDA C source text."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from pycuda_guard.kernels.source import SourceParameter, find_kernels, match_kernel, unmangled_name


def names_and_lines(source: str) -> list[tuple[str, int]]:
    return [(kernel.name, kernel.line) for kernel in find_kernels(source)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("__global__ void f(int a) {}", [("f", 1)]),
        ('\nextern "C" __global__\nvoid f ( )\n{}', [("f", 3)]),
        ("static __global__ void __launch_bounds__(256, 2) f() {}", [("f", 1)]),
        ("__launch_bounds__(64) __global__ void f() {}", [("f", 1)]),
        ("__global__ void __attribute__((noinline)) f() {}", [("f", 1)]),
        ('__global__ [[deprecated("x")]] void f() {}', [("f", 1)]),
        ("template <typename T, int N = (1, 2)> __global__ void f(T *x) {}", [("f", 1)]),
        ("template <> __global__ void f<float>(float *x) {}", [("f", 1)]),
        ("namespace n { __global__ void f() {} __global__ void g(); }", [("f", 1), ("g", 1)]),
        ("// __global__ void f() {}\n/* __global__ void g() {} */", []),
        ('const char *s = "__global__ void f() {}"; char c = \'"\'; __global__ void g() {}', [("g", 1)]),
        ('auto s = R"x(" __global__ void f() {} )x"; __global__ void g() {}', [("g", 1)]),
        ("int n = 1'000; __global__ void g() {} // don't", [("g", 1)]),
        (
            "#define MAKE(T) __global__ void k_##T(T *x) \\\n { __global__ }\n__global__ void g() {}",
            [("g", 3)],
        ),
        ("__global__ void WRAP(256) f() {}", [("f", 1)]),
        ('#define KERNEL extern "C" __global__\nKERNEL SIZE(8, 1) void f() {}', [("f", 2)]),
        ("__global__ void MAKE(f)", []),
        ("__global__ void f(int a", []),
        ("__global__", []),
        ("", []),
    ],
)
def test_kernels(source, expected):
    assert names_and_lines(source) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("float *x", SourceParameter("float *x", "x", "float", 1)),
        (
            "const float* __restrict__ x",
            SourceParameter("const float* __restrict__ x", "x", "float", 1, True),
        ),
        ("float const *x", SourceParameter("float const *x", "x", "float", 1, True)),
        ("float *const x", SourceParameter("float *const x", "x", "float", 1)),
        ("unsigned n", SourceParameter("unsigned n", "n", "unsigned int")),
        ("long unsigned int long n", SourceParameter("long unsigned int long n", "n", "unsigned long long")),
        ("int n = f(1, 2)", SourceParameter("int n", "n", "int")),
        ("int n = a < b", SourceParameter("int n", "n", "int")),
        ("double **rows", SourceParameter("double **rows", "rows", "double", 2)),
        ("float x[]", SourceParameter("float x[]", "x", "float", 1)),
        ("float x[4][8]", SourceParameter("float x[4][8]", "x", "float", 1)),
        ("float *x[2]", SourceParameter("float *x[2]", "x", "float", 2)),
        ("float (*x)[16]", SourceParameter("float (*x)[16]", "x", "float", 1)),
        ("int (*f)(int)", SourceParameter("int (*f)(int)", "f", "", 1)),
        ("void *p", SourceParameter("void *p", "p", "", 1)),
        ("float4 *v", SourceParameter("float4 *v", "v", "", 1)),
        ("struct Node *n", SourceParameter("struct Node *n", "n", "", 1)),
        ("pycuda::complex<float> *z", SourceParameter("pycuda::complex<float> *z", "z", "", 1)),
        ("std::pair<int, int> p", SourceParameter("std::pair<int, int> p", "p")),
        ("std::uint8_t *b", SourceParameter("std::uint8_t *b", "b", "uint8_t", 1)),
        ("float", SourceParameter("float", "", "float")),
        ("char *", SourceParameter("char *", "", "char", 1)),
        ("real x", SourceParameter("real x", "x", "float")),
        ("index *x", SourceParameter("index *x", "x", "long long", 1)),
        ("SCALAR x", SourceParameter("SCALAR x", "x", "float")),
        ("DEVICE float *x", SourceParameter("DEVICE float *x", "x", "float", 1)),
        ("either *x", SourceParameter("either *x", "x", "", 1)),
        ("pointer x", SourceParameter("pointer x", "x")),
        ("T /* comment */ x", SourceParameter("T x", "x")),
    ],
)
def test_parameter(text, expected):
    source = f"""
    typedef float real;
    using index = long long; // as in the host code
    typedef float *pointer;
    #define SCALAR real
    #define DEVICE /* nothing here */
    #ifdef WIDE
    typedef double either;
    #else
    typedef float either;
    #endif
    template <typename T> __global__ void f(int first, {text}) {{}}
    """
    (kernel,) = find_kernels(source)
    assert kernel.parameters == (SourceParameter("int first", "first", "int"), expected)


@pytest.mark.parametrize("text", ["", "void", "  ", "/* none */"])
def test_no_parameters(text):
    (kernel,) = find_kernels(f"__global__ void f({text}) {{}}")
    assert kernel.parameters == ()


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("add", "add"),
        ("_Z3addPfi", "add"),
        ("_ZL3addPf", "add"),
        ("_ZN2ns3addEPf", "add"),
        ("_ZN12_GLOBAL__N_13addEv", "add"),
        ("_Z5scaleIfEvPT_i", "scale"),
        ("_Z99short", "_Z99short"),
        ("_Z", "_Z"),
        ("_ZSt3abc", "_ZSt3abc"),
    ],
)
def test_unmangled_name(symbol, name):
    assert unmangled_name(symbol) == name


def test_match():
    kernels = find_kernels(
        """
        __global__ void f(int *x);
        __global__ void f(int *x) {}
        __global__ void f(int *x, int n) {}
        __global__ void f(float *x, int n) {}
        #if A
        __global__ void g(int *x) {}
        #else
        __global__ void g(float *x) {}
        #endif
        """
    )
    assert match_kernel("_Z1fPi", 1, kernels).line == 3
    assert match_kernel("_Z1fPii", 2, kernels) is None
    assert match_kernel("g", 1, kernels) is None
    assert match_kernel("h", 1, kernels) is None


@given(st.text(alphabet="__global__ void f(int *a,<>)[]{}\"'/*#\\\n=;:", max_size=60))
def test_never_raises(text):
    find_kernels(f"__global__ void {text}")
    find_kernels(f"__global__ void f({text}) {{}}")


def test_a_macro_may_stand_for_several_parameters():
    (kernel,) = find_kernels("#define ARGS float *x, int n\n__global__ void f(ARGS, float a) {}")
    assert [(p.text, p.depth, p.scalar) for p in kernel.parameters] == [
        ("float *x", 1, "float"),
        ("int n", 0, "int"),
        ("float a", 0, "float"),
    ]


def test_a_macro_of_two_meanings_is_left_alone():
    source = "#define ARGS float *x, int n\n#define ARGS int *x, int n\n__global__ void f(ARGS) {}"
    assert len(find_kernels(source)[0].parameters) == 1
