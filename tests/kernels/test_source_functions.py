"""Which lines of CUDA C are a function's."""

from __future__ import annotations

import pytest

from pycuda_guard.kernels.functions import function_lines

ONE = """#include <cmath>
#define OPEN {
// { a comment
__device__ int one(
    int n)
{
    if (n) { return '{'; }
    return "}"[0];
}
"""


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("int x;\n__global__ void declared(int *x);\n", []),
        (ONE, [(3, 5, 8)]),
        ("void a() {\n}\n\nvoid b() { }\nvoid c()\n{\n", [(0, 0, 1), (3, 3, 3), (4, 5, 6)]),
        ('extern "C" {\nvoid a() {\n}\n}\nnamespace n\n{\nvoid b() {\n}\n}\n', [(1, 1, 2), (6, 6, 7)]),
        ('extern "C" __global__ void a() {\n}\n', [(0, 0, 1)]),
        ("template <typename T>\nstruct Pair {\n  T a, b;\n};\n", [(0, 1, 3)]),
        ("}\n};\nvoid a() {\n}\n", [(2, 2, 3)]),
    ],
)
def test_lines(text, lines):
    assert [tuple(found) for found in function_lines(text)] == lines
