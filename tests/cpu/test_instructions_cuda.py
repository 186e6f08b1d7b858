"""What nvcc makes of CUDA C: its math library, 16-bit floats, intrinsics, random numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from codegen_support import Kernels, compile_cuda

from pycuda_guard.toolchain import wheel_root

POSITIVE = np.concatenate(
    [np.geomspace(1e-30, 1e30, 300), np.linspace(0.01, 20, 300), [0, 1, np.inf, np.nan]]
)
ANY = np.concatenate([-POSITIVE, POSITIVE])
SMALL = np.concatenate([np.linspace(-8, 8, 301), [0, -0.0, np.inf, -np.inf, np.nan]])
UNIT = np.linspace(-1, 1, 301)
ANGLES = np.concatenate([np.linspace(-50, 50, 300), np.geomspace(1e3, 1e30, 100), [np.inf, np.nan]])


def each(function):
    return np.vectorize(function, otypes=[np.float64])


#: CUDA expression of x and y, reference in double precision, x, y, tolerance in units in the last place
F32 = [
    ("sinf(x)", np.sin, ANGLES, None, 2),
    ("cosf(x)", np.cos, ANGLES, None, 2),
    ("tanf(x)", np.tan, ANGLES, None, 4),
    ("expf(x)", np.exp, np.linspace(-100, 90, 500), None, 2),
    ("exp2f(x)", np.exp2, np.linspace(-150, 128, 500), None, 2),
    ("expm1f(x)", np.expm1, SMALL, None, 2),
    ("logf(x)", np.log, POSITIVE, None, 2),
    ("log2f(x)", np.log2, POSITIVE, None, 2),
    ("log10f(x)", np.log10, POSITIVE, None, 3),
    ("log1pf(x)", np.log1p, POSITIVE, None, 2),
    ("powf(x, y)", np.power, np.geomspace(1e-5, 1e5, 300), np.linspace(-7, 7, 300), 5),
    ("sqrtf(x)", np.sqrt, POSITIVE, None, 0),
    ("rsqrtf(x)", lambda x: 1 / np.sqrt(x), POSITIVE, None, 2),
    ("cbrtf(x)", np.cbrt, ANY, None, 2),
    ("tanhf(x)", np.tanh, SMALL, None, 3),
    ("sinhf(x)", np.sinh, SMALL, None, 4),
    ("atanf(x)", np.arctan, ANY, None, 3),
    ("atan2f(x, y)", np.arctan2, ANY[:600], ANY[::-1][:600], 4),
    ("asinf(x)", np.arcsin, UNIT, None, 3),
    ("erff(x)", each(math.erf), SMALL, None, 3),
    ("erfcf(x)", each(math.erfc), np.linspace(-3, 8, 200), None, 5),
    ("tgammaf(x)", each(math.gamma), np.linspace(0.1, 30, 200), None, 12),
    ("fmodf(x, y)", np.fmod, np.linspace(-100, 100, 300), np.linspace(0.1, 7, 300), 0),
    ("hypotf(x, y)", np.hypot, np.linspace(-100, 100, 300), np.linspace(-3, 7, 300), 3),
    ("floorf(x) + rintf(y)", lambda x, y: np.floor(x) + np.rint(y), SMALL, SMALL[::-1], 0),
    ("fminf(x, y)", np.fmin, SMALL, SMALL[::-1], 0),
    ("x / y", np.divide, SMALL, SMALL[::-1], 0),
]
F64 = [
    ("sin(x)", np.sin, ANGLES, None, 2),
    ("cos(x)", np.cos, ANGLES, None, 2),
    ("tan(x)", np.tan, ANGLES, None, 4),
    ("exp(x)", np.exp, np.linspace(-740, 709, 500), None, 2),
    ("log(x)", np.log, POSITIVE, None, 2),
    ("pow(x, y)", np.power, np.geomspace(1e-5, 1e5, 300), np.linspace(-7, 7, 300), 3),
    ("sqrt(x)", np.sqrt, POSITIVE, None, 0),
    ("rsqrt(x)", lambda x: 1 / np.sqrt(x), POSITIVE, None, 2),
    ("cbrt(x)", np.cbrt, ANY, None, 2),
    ("tanh(x)", np.tanh, SMALL, None, 3),
    ("atan2(x, y)", np.arctan2, ANY[:600], ANY[::-1][:600], 3),
    ("erf(x)", each(math.erf), SMALL, None, 3),
    ("x / y", np.divide, SMALL, SMALL[::-1], 0),
    (
        "fma(x, y, -x)",
        lambda x, y: np.fma(x, y, -x) if hasattr(np, "fma") else x * (y - 1),
        SMALL[:1],
        SMALL[:1],
        1,
    ),
]

SOURCE = """
#include <cuda_fp16.h>
#include <cuda_bf16.h>
#include <curand_kernel.h>
extern "C" {
MATH
__global__ void half2_arithmetic(const __half2 *a, const __half2 *b, __half2 *out, int n)
{
    int i = threadIdx.x;
    out[i] = __hadd2(a[i], b[i]);
    out[n + i] = __hmul2(a[i], b[i]);
    out[2 * n + i] = __hfma2(a[i], b[i], a[i]);
    out[3 * n + i] = __hmax2(a[i], __hneg2(b[i]));
    out[4 * n + i] = __h2div(a[i], b[i]);
    out[5 * n + i] = __hgt2(a[i], b[i]);
    out[6 * n + i] = h2exp2(a[i]);
    out[7 * n + i] = __float22half2_rn(__half22float2(a[i]));
    out[8 * n + i] = __lowhigh2highlow(h2sqrt(__habs2(a[i])));
}
__global__ void bfloat_arithmetic(const __nv_bfloat16 *a, const __nv_bfloat16 *b, __nv_bfloat16 *out, int n)
{
    int i = threadIdx.x;
    out[i] = __hadd(a[i], b[i]);
    out[n + i] = __hmul(a[i], b[i]);
    out[2 * n + i] = __float2bfloat16(__bfloat162float(a[i]) * 3.0f);
    out[3 * n + i] = __hlt(a[i], b[i]) ? a[i] : b[i];
}
__global__ void intrinsics(const unsigned *in, unsigned *out, int n)
{
    int i = threadIdx.x;
    unsigned a = in[i], b = in[n - 1 - i];
    out[i] = __brev(a);
    out[n + i] = __byte_perm(a, b, 0x2461);
    out[2 * n + i] = __umulhi(a, b);
    out[3 * n + i] = __funnelshift_l(a, b, b & 31);
    out[4 * n + i] = __popc(a) + __clz(b) + __ffs(a);
    out[5 * n + i] = __usad(a, b, 7);
    out[6 * n + i] = __float_as_uint(__uint2float_rz(a));
    out[7 * n + i] = __vadd4(a, b);
    out[8 * n + i] = (unsigned)(((unsigned long long)a * b) / (b | 1));
    out[9 * n + i] = (unsigned)((long long)(int)a % (int)(b | 1));
}
__global__ void random_words(unsigned long long seed, unsigned *out, int n)
{
    curandStateXORWOW_t state;
    curand_init(seed, 0, 0, &state);
    for (int i = 0; i < n; i++)
        out[i] = curand(&state);
}
__global__ void random_sequences(unsigned *out, float *normal)
{
    curandStateXORWOW_t state, later;
    curand_init(5, threadIdx.x, 0, &state);
    curand_init(5, threadIdx.x, 4, &later);
    for (int i = 0; i < 4; i++)
        out[threadIdx.x] = curand(&state);
    out[threadIdx.x + blockDim.x] = curand(&later) - curand(&state);
    normal[threadIdx.x] = curand_normal(&state);
}
}
"""


def math_kernels() -> str:
    lines = []
    for kind, table in (("float", F32), ("double", F64)):
        for number, (expression, *_) in enumerate(table):
            lines.append(
                f"__global__ void {kind}_{number}(const {kind} *a, const {kind} *b, {kind} *out, int n)"
                "{ int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) "
                f"{{ {kind} x = a[i], y = b[i]; (void)y; out[i] = {expression}; }} }}"
            )
    return "\n".join(lines)


@pytest.fixture(scope="module")
def kernels(device, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cuda")
    source = folder / "instructions.cu"
    source.write_text(SOURCE.replace("MATH", math_kernels()))
    headers = wheel_root()
    with pytest.MonkeyPatch.context() as patch:
        if headers is not None:  # cuRAND's are not in every toolkit
            patch.setenv("NVCC_APPEND_FLAGS", f"-I{headers / 'include'}")
        return Kernels(device, compile_cuda(source, folder))


CASES = [("float", number) for number in range(len(F32))] + [("double", number) for number in range(len(F64))]


@pytest.mark.parametrize(
    ("kind", "number"), CASES, ids=[(F32 if kind == "float" else F64)[number][0] for kind, number in CASES]
)
def test_math_library(kernels, kind, number):
    dtype = np.dtype(np.float32 if kind == "float" else np.float64)
    _, reference, x, y, ulps = (F32 if kind == "float" else F64)[number]
    with np.errstate(all="ignore"):
        x = x.astype(dtype)
        y = x if y is None else y.astype(dtype)
        out = np.zeros_like(x)
        kernels.run(f"{kind}_{number}", x, y, out, np.int32(x.size), grid=-(-x.size // 64), block=64)
        arguments = (x, y)[
            : reference.__code__.co_argcount
            if hasattr(reference, "__code__")
            else getattr(reference, "nin", 1)
        ]
        wanted = reference(*(argument.astype(np.float64) for argument in arguments)).astype(dtype)
        unit = np.maximum(np.spacing(np.abs(wanted)), np.finfo(dtype).smallest_subnormal)
        same = (out == wanted) | (np.isnan(out) & np.isnan(wanted))
        near = np.abs(out.astype(np.float64) - wanted) <= ulps * unit
    wrong = ~(same | near)
    assert not wrong.any(), list(zip(x[wrong], out[wrong], wanted[wrong], strict=True))[:5]


@pytest.fixture
def halves():
    random = np.random.default_rng(3)
    return random.uniform(-9, 9, (2, 128)).astype(np.float16)


def test_half2_arithmetic(kernels, halves):
    a, b = halves
    out = np.zeros((9, 128), np.float16)
    kernels.run("half2_arithmetic", a, b, out, np.int32(64), block=64)
    x, y = a.astype(np.float64), b.astype(np.float64)
    exact = [x + y, x * y, x * y + x, np.maximum(x, -y)]
    for result, wanted in zip(out, exact, strict=False):
        assert np.array_equal(result, wanted.astype(np.float16))
    assert np.allclose(out[4].astype(np.float64), x / y, rtol=2e-3)
    assert np.array_equal(out[5], (a > b).astype(np.float16))
    assert np.allclose(out[6].astype(np.float64), np.exp2(x), rtol=2e-3)
    assert np.array_equal(out[7], a)
    swapped = np.sqrt(np.abs(a)).reshape(-1, 2)[:, ::-1].ravel()
    assert np.allclose(out[8].astype(np.float64), swapped, rtol=2e-3)


def test_bfloat_arithmetic(kernels):
    random = np.random.default_rng(4)
    words = random.uniform(-9, 9, (2, 64)).astype(np.float32).view(np.uint32) >> 16
    a, b = ((word << 16).view(np.float32) for word in words)
    out = np.zeros((4, 64), np.uint16)
    kernels.run("bfloat_arithmetic", *(word.astype(np.uint16) for word in words), out, np.int32(64), block=64)
    for result, wanted in zip(out, (a + b, a * b, a * np.float32(3), np.where(a < b, a, b)), strict=True):
        bits = wanted.astype(np.float32).view(np.uint32)
        rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
        assert np.array_equal(result, rounded)


def test_intrinsics(kernels):
    n = 64
    words = np.random.default_rng(5).integers(1, 1 << 32, n, dtype=np.uint32)
    out = np.zeros((10, n), np.uint32)
    kernels.run("intrinsics", words, out, np.int32(n), block=n)
    for i in range(n):
        a, b = int(words[i]), int(words[n - 1 - i])
        signed_a, signed_b = (value - (value >> 31 << 32) for value in (a, b | 1))
        taken = [(b << 32 | a) >> 8 * k & 255 for k in (1, 6, 4, 2)]
        wanted = [
            int(f"{a:032b}"[::-1], 2),
            sum(byte << 8 * k for k, byte in enumerate(taken)),
            a * b >> 32,
            ((b << 32 | a) << (b & 31)) >> 32,
            a.bit_count() + 32 - b.bit_length() + (a & -a).bit_length(),
            abs(a - b) + 7,
            int(np.float32(a >> max(0, a.bit_length() - 24) << max(0, a.bit_length() - 24)).view(np.uint32)),
            sum(((a >> s) + (b >> s) & 255) << s for s in (0, 8, 16, 24)),
            a * b // (b | 1),
            int(math.fmod(signed_a, signed_b)),
        ]
        assert [int(word) for word in out[:, i]] == [value & 0xFFFFFFFF for value in wanted]


def xorwow(seed: int, count: int) -> list[int]:
    """Marsaglia's xorwow, seeded as cuRAND seeds it."""
    mask = 0xFFFFFFFF
    low = (seed & mask) ^ 0xAAD26B49
    high = (seed >> 32) ^ 0xF7DCEFDD
    t0, t1 = 1099087573 * low & mask, 2591861531 * high & mask
    d = 6615241 + t1 + t0
    v = [123456789 + t0, 362436069 ^ t0, 521288629 + t1, 88675123 ^ t1, 5783321 + t0]
    v = [word & mask for word in v]
    found = []
    for _ in range(count):
        t = v[0] ^ v[0] >> 2
        v = [*v[1:], (v[4] ^ v[4] << 4 ^ t ^ t << 1) & mask]
        d = d + 362437 & mask
        found.append(v[4] + d & mask)
    return found


@pytest.mark.parametrize("seed", [0, 1234, 0x123456789ABCDEF0])
def test_random_words_are_those_of_the_algorithm(kernels, seed):
    out = np.zeros(50, np.uint32)
    kernels.run("random_words", np.uint64(seed), out, np.int32(50))
    assert out.tolist() == xorwow(seed, 50)


def test_random_sequences_can_be_skipped_into(kernels):
    runs = []
    for _ in range(2):
        words, normal = np.zeros((2, 64), np.uint32), np.zeros(64, np.float32)
        kernels.run("random_sequences", words, normal, block=64)
        runs.append((words, normal))
    (words, normal), (again, normal_again) = runs
    assert not words[1].any()  # the fifth number, whether four are drawn or skipped
    assert len(set(words[0].tolist())) == 64
    assert np.isfinite(normal).all()
    assert abs(normal.mean()) < 0.5
    assert np.array_equal(words, again)
    assert np.array_equal(normal, normal_again)
