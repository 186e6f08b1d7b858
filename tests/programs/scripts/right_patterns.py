"""Right programs with loops, tiles, padding, pools and pointers into the middle: nothing to find."""

import numpy as np
import pycuda.autoinit  # noqa: F401
import pycuda.driver as cuda
import pycuda.gpuarray as gpuarray
from pycuda.compiler import SourceModule
from pycuda.tools import DeviceMemoryPool

mod = SourceModule("""
#define X (int)(blockIdx.x * blockDim.x + threadIdx.x)
#define Y (int)(blockIdx.y * blockDim.y + threadIdx.y)

__global__ void fill(float *y, float value, int n) { int i = X; if (i < n) y[i] = value + i; }
__global__ void push(float *ring, const float *x, int n, int head, int size) {
    int i = X; if (i < n) ring[(head + i) % size] = x[i];
}
__global__ void own_part(float *y, int n, int each) {
    for (int i = X * each; i < min(X * each + each, n); i++) y[i] = i;
}
__global__ void sums(const float *x, float *partial, int n) {
    __shared__ float s[64];
    s[threadIdx.x] = X < n ? x[X] : 0;
    __syncthreads();
    for (int k = 32; k; k /= 2) {
        if (threadIdx.x < k) s[threadIdx.x] += s[threadIdx.x + k];
        __syncthreads();
    }
    if (threadIdx.x == 0) partial[blockIdx.x] = s[0];
}
__global__ void halo(const float *x, float *y, int n) {
    __shared__ float s[34];
    int i = blockIdx.x * 32 + threadIdx.x - 1;
    s[threadIdx.x] = i >= 0 && i < n ? x[i] : 0;
    __syncthreads();
    if (threadIdx.x >= 1 && threadIdx.x <= 32 && i < n)
        y[i] = s[threadIdx.x - 1] + s[threadIdx.x] + s[threadIdx.x + 1];
}
__global__ void one_row_a_warp(const float *x, float *y, int w, int h) {
    int row = X / 32, lane = X % 32;
    float s = 0;
    if (row < h) for (int c = lane; c < w; c += 32) s += x[row * w + c];
    for (int k = 16; k; k /= 2) s += __shfl_down_sync(0xffffffff, s, k);
    if (row < h && lane == 0) y[row] = s;
}
struct Pair { char tag; double value; };
__global__ void pairs(Pair *p, int n) { int i = X; if (i < n) { p[i].tag = 'x'; p[i].value = i; } }
__global__ void bytes(unsigned char *y, int n) { int i = X; if (i < n) y[i] = i; }
__global__ void bit(unsigned *flags, int n) {
    int i = X; if (i < n) atomicOr(&flags[i / 32], 1u << (i % 32));
}
__global__ void optional(const float *x, const float *extra, float *y, int n) {
    int i = X; if (i < n) y[i] = extra ? x[i] + extra[i] : x[i];
}
__global__ void lower(int *y, int n) { if (Y < n && X <= Y) y[Y * n + X] = 1; }
__global__ void before(float *y, int n) { int i = X; if (i < n) y[-1 - i] = i; }
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
u = np.random.default_rng(1).random((40, 50), np.float32)
u_gpu = gpuarray.to_gpu(u)

# rings, loops, blocks
ring = gpuarray.zeros(256, np.float32)
for head in range(0, N, 250):
    function("push")(ring, x_gpu[head : head + 250], np.int32(250), np.int32(head), np.int32(256), **one(250))
check("ring", ring.get()[(999) % 256] == x[999])
y_gpu = gpuarray.empty(N, np.float32)
function("own_part")(y_gpu, np.int32(N), np.int32(7), **one(-(-N // 7)))
check("parts by thread", (y_gpu.get() == index).all())
partial = gpuarray.empty(256, np.float32)
function("sums")(x_gpu, partial, np.int32(N), **one(N))
check("partial sums", np.isclose(partial.get()[:16].sum(), x.sum(), atol=1e-3))
y_gpu = gpuarray.empty(N, np.float32)
function("halo")(x_gpu, y_gpu, np.int32(N), block=(34, 1, 1), grid=(-(-N // 32), 1))
check("halo", np.allclose(y_gpu.get()[1:-1], x[:-2] + x[1:-1] + x[2:], atol=1e-5))
sums = gpuarray.empty(40, np.float32)
function("one_row_a_warp")(u_gpu, sums, np.int32(50), np.int32(40), block=(64, 1, 1), grid=(20, 1))
check("a row a warp", np.allclose(sums.get(), u.sum(axis=1), rtol=1e-4))
triangle = gpuarray.zeros((20, 20), np.int32)
function("lower")(triangle, np.int32(20), **two(20, 20))
check("triangle", (triangle.get() == np.tri(20)).all())

# padding, sub-words, bits, pointers
pairs = gpuarray.empty(16 * 50, np.uint8)
function("pairs")(pairs, np.int32(50), **one(50))
check("padding", (pairs.get().view(np.float64)[1::2] == np.arange(50)).all())
small = gpuarray.empty(N + 1, np.uint8)
function("bytes")(small, np.int32(N + 1), **one(N + 1))
check("bytes", (small.get() == np.arange(N + 1).astype(np.uint8)).all())
flags = gpuarray.zeros(4, np.uint32)
function("bit")(flags, np.int32(100), **one(100))
check("bits", flags.get()[0] == 0xFFFFFFFF)
y_gpu = gpuarray.empty(N, np.float32)
function("optional")(x_gpu, np.intp(0), y_gpu, np.int32(N), **one(N))
check("optional null", (y_gpu.get() == x).all())
function("optional")(y_gpu, y_gpu, y_gpu, np.int32(N), **one(N))
check("in place", (y_gpu.get() == 2 * x).all())
whole = cuda.mem_alloc(4 * 300)
function("fill")(whole, np.float32(0), np.int32(100), **one(100))
function("fill")(np.intp(int(whole) + 400), np.float32(100), np.int32(100), **one(100))
function("before")(np.intp(int(whole) + 1200), np.int32(100), **one(100))
parts = np.empty(300, np.float32)
cuda.memcpy_dtoh(parts, whole)
check(
    "three arrays in one",
    (parts[:200] == np.arange(200)).all() and (parts[200:] == np.arange(99, -1, -1)).all(),
)

# outputs through handlers and pools
y = np.empty(N, np.float32)
function("fill")(cuda.Out(y), np.float32(0), np.int32(N), **one(N))
check("Out", (y == index).all())
pool = DeviceMemoryPool()
for n in (1000, 900, 800):
    block = pool.allocate(4 * n)
    function("fill")(block, np.float32(1), np.int32(n), **one(n))
    y = np.empty(n, np.float32)
    cuda.memcpy_dtoh(y, block)
    check("pool", (y == np.arange(1, n + 1)).all())
    del block

# pitched rows: the copy skips what lies between them
pitched, pitch = cuda.mem_alloc_pitch(50 * 4, 40, 4)
function("fill")(pitched, np.float32(0), np.int32(50), **one(50))
for row in range(1, 40):
    function("fill")(np.intp(int(pitched) + row * pitch), np.float32(row), np.int32(50), **one(50))
down = cuda.Memcpy2D()
down.set_src_device(pitched)
image = np.empty((40, 50), np.float32)
down.set_dst_host(image)
down.width_in_bytes = down.dst_pitch = 200
down.src_pitch, down.height = pitch, 40
down(aligned=True)
check("pitched", (image == np.arange(40)[:, None] + np.arange(50)).all())
