"""Right programs that write their outputs in parts, in odd orders, or not whole: nothing to find."""

import numpy as np
import pycuda.autoinit  # noqa: F401
import pycuda.gpuarray as gpuarray
from pycuda.compiler import SourceModule

mod = SourceModule("""
#define X (int)(blockIdx.x * blockDim.x + threadIdx.x)
#define Y (int)(blockIdx.y * blockDim.y + threadIdx.y)

__global__ void fill(float *y, float value, int n) { int i = X; if (i < n) y[i] = value + i; }
__global__ void chunk(float *y, int n, int first) { int i = first + X; if (i < n) y[i] = 2 * i; }
__global__ void twice(float *y, int n) { int i = X; if (i < n) y[i] *= 2; }
__global__ void rows(int *board, int first, int w, int h) {
    int y = 2 * Y + first;
    if (X < w && y < h) board[y * w + X] = y * 100 + X;
}
__global__ void left(int *out, int w, int h) { if (X < w / 2 && Y < h) out[Y * w + X] = 1; }
__global__ void right(int *out, int w, int h) { int x = w / 2 + X; if (x < w && Y < h) out[Y * w + x] = 2; }
__global__ void interior(const float *u, float *out, int w, int h) {
    if (X < 1 || Y < 1 || X >= w - 1 || Y >= h - 1) return;
    int c = Y * w + X;
    out[c] = u[c - 1] + u[c + 1] + u[c - w] + u[c + w];
}
__global__ void vectors(float4 *y, int n) { int i = X; if (i < n) y[i] = make_float4(1, 2, 3, 4); }
__global__ void tail(float *y, int n) { int i = n / 4 * 4 + X; if (i < n) y[i] = 9; }
__global__ void positive(const float *x, float *out, int *cursor, int n) {
    int i = X; if (i < n && x[i] > 0) out[atomicAdd(cursor, 1)] = x[i];
}
__global__ void where(const int *mask, float *y, int n) { int i = X; if (i < n && mask[i]) y[i] = -1; }
__global__ void scatter(const int *to, float *y, int n) { int i = X; if (i < n) y[to[i]] = i; }
__global__ void sign(const float *x, int *y, int n) {
    int i = X; if (i >= n) return;
    if (x[i] > 0) y[i] = 1; else if (x[i] < 0) y[i] = -1; else y[i] = 0;
}
__global__ void at(float *y, int place, float value) { if (X == place) y[place] = value; }
""")


def function(name):
    return mod.get_function(name)


def one(n):
    return {"block": (64, 1, 1), "grid": (max(1, -(-n // 64)), 1)}


def two(w, h):
    return {"block": (8, 8, 1), "grid": (-(-w // 8), -(-h // 8))}


def check(name, right):
    print(name, "ok" if right else "WRONG")


N = 1000
x = np.linspace(-1, 1, N).astype(np.float32)
x_gpu = gpuarray.to_gpu(x)
index = np.arange(N, dtype=np.float32)

# one array in chunks, forwards and backwards
for name, offsets in (("chunks", range(0, N, 256)), ("chunks backwards", range(768, -1, -256))):
    y_gpu = gpuarray.empty(N, np.float32)
    for first in offsets:
        function("chunk")(y_gpu, np.int32(N), np.int32(first), block=(64, 1, 1), grid=(4, 1))
    check(name, (y_gpu.get() == 2 * index).all())

# chunks by moved pointers, each told how much is left
y_gpu = gpuarray.empty(N, np.float32)
for first in range(0, N, 256):
    function("fill")(
        np.intp(int(y_gpu.gpudata) + 4 * first),
        np.float32(first),
        np.int32(N - first),
        block=(64, 1, 1),
        grid=(4, 1),
    )
check("moved pointers", (y_gpu.get() == index).all())

# only a part of an array is changed, by its own bound or by chunks
y_gpu = gpuarray.to_gpu(index)
function("twice")(y_gpu, np.int32(300), **one(300))
check("a part", (y_gpu.get()[300:] == index[300:]).all())
y_gpu = gpuarray.to_gpu(-index)
function("chunk")(y_gpu, np.int32(N), np.int32(256), block=(64, 1, 1), grid=(4, 1))
check("one chunk", (y_gpu.get()[256:512] == 2 * index[256:512]).all())
view = gpuarray.to_gpu(index)[100:200]
function("twice")(view, np.int32(100), **one(100))
check("a view", (view.get() == 2 * index[100:200]).all())

# two launches, two kernels
board = gpuarray.empty((51, 70), np.int32)
for first in (0, 1):
    function("rows")(board, np.int32(first), np.int32(70), np.int32(51), **two(70, 26))
check("rows", (board.get() == np.arange(51)[:, None] * 100 + np.arange(70)).all())
board = gpuarray.empty((51, 70), np.int32)
function("right")(board, np.int32(70), np.int32(51), **two(35, 51))
function("left")(board, np.int32(70), np.int32(51), **two(35, 51))
check("halves", (board.get() == np.where(np.arange(70) < 35, 1, 2)).all())
y_gpu = gpuarray.empty(N + 3, np.float32)
function("vectors")(y_gpu, np.int32((N + 3) // 4), **one((N + 3) // 4))
function("tail")(y_gpu, np.int32(N + 3), block=(32, 1, 1), grid=(1, 1))
check("vectors and a tail", (y_gpu.get()[-3:] == 9).all())

# borders: cleared, left from the input, or not read
random = np.random.default_rng(1)
u = random.random((40, 50), np.float32)
u_gpu = gpuarray.to_gpu(u)
for name, out in (("cleared border", gpuarray.zeros_like(u_gpu)), ("copied border", u_gpu.copy())):
    function("interior")(u_gpu, out, np.int32(50), np.int32(40), **two(50, 40))
    check(name, np.isfinite(out.get()).all())

# data decide what is written
out, cursor = gpuarray.empty(N, np.float32), gpuarray.zeros(1, np.int32)
function("positive")(x_gpu, out, cursor, np.int32(N), **one(N))
check("whole capacity copied and cut", (np.sort(out.get()[: int(cursor.get()[0])]) == x[x > 0]).all())
y_gpu = gpuarray.to_gpu(index)
function("where")(gpuarray.to_gpu((x > 0).astype(np.int32)), y_gpu, np.int32(N), **one(N))
check("mask", (y_gpu.get() == np.where(x > 0, -1, index)).all())
y_gpu = gpuarray.empty(N, np.float32)
order = random.permutation(N).astype(np.int32)
function("scatter")(gpuarray.to_gpu(order), y_gpu, np.int32(N), **one(N))
check("permutation", (y_gpu.get()[order] == index).all())
signs = gpuarray.empty(N, np.int32)
function("sign")(x_gpu, signs, np.int32(N), **one(N))
check("branches", (signs.get() == np.sign(x)).all())
y_gpu = gpuarray.to_gpu(index)
function("at")(y_gpu, np.int32(700), np.float32(-5), **one(N))
check("one element", y_gpu.get()[700] == -5)
