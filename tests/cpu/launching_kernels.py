"""Launches kernels that launch kernels, and prints what each of them leaves in its array, as JSON.

python -m pycuda_guard run --device cpu launching_kernels.py
"""

from __future__ import annotations

import json

import numpy as np
import pycuda.autoinit  # noqa: F401
import pycuda.driver as cuda
from pycuda.compiler import DEFAULT_NVCC_FLAGS, DynamicModule, DynamicSourceModule

KERNELS = r"""
struct Mixed { char c; double d; float4 v; };
__global__ void fill(int *x, char c, Mixed m, int n)
{
    extern __shared__ int part[];
    part[threadIdx.x] = c + (int)(m.d + m.v.w);
    __syncthreads();
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] = part[blockDim.x - 1 - threadIdx.x] + m.c;
}
__global__ void arguments(int *x)
{
    if (threadIdx.x + blockIdx.x == 0) fill<<<2, 24, 24 * sizeof(int)>>>(x, 10, {3, 2.5}, 40);
}

__global__ void append(int *x, int value) { x[++x[0]] = value; }
__global__ void two_more(int *x)
{
    append<<<1, 1, 0, cudaStreamTailLaunch>>>(x, 7);
    append<<<1, 1>>>(x, 6);
}
__global__ void order(int *x)
{
    if (threadIdx.x + blockIdx.x) return;
    cudaStream_t stream;
    cudaEvent_t event;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    append<<<1, 1, 0, cudaStreamTailLaunch>>>(x, 9);
    append<<<1, 1>>>(x, 1);
    cudaEventRecord(event, 0);
    cudaStreamWaitEvent(stream, event, 0);
    append<<<1, 1, 0, stream>>>(x, 2);
    two_more<<<1, 1>>>(x);
    append<<<1, 1, 0, cudaStreamFireAndForget>>>(x, 3);
    cudaStreamDestroy(stream);
    cudaEventDestroy(event);
    x[0] = 0;
}

__global__ void descend(int *x, int depth)
{
    x[depth] = depth + 1;
    if (depth < 60) descend<<<1, 1>>>(x, depth + 1);
}
__global__ void nested(int *x)
{
    if (threadIdx.x + blockIdx.x == 0) descend<<<1, 1>>>(x, 1);
}

__global__ void follow(int *x)
{
    if (++x[0] < 3000) follow<<<1, 1, 0, cudaStreamTailLaunch>>>(x);
    if (cudaError_t error = cudaGetLastError()) x[1] = error;
}
__global__ void tails(int *x)
{
    if (threadIdx.x + blockIdx.x == 0) follow<<<1, 1>>>(x);
}

__global__ void refused(int *x)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i % 2) append<<<1, 1025>>>(x, i);
    else if (i == 0) append<<<dim3(1, 65536), 1>>>(x, i);
    x[4 + i] = cudaPeekAtLastError();
    x[12 + i] = cudaGetLastError();
    x[20 + i] = cudaGetLastError();
}

__global__ void take(int *x, int *from) { x[threadIdx.x] = from[threadIdx.x]; cudaFree(from); }
__global__ void in_heap(int *x)
{
    if (threadIdx.x + blockIdx.x) return;
    int *some;
    x[0] = cudaMalloc((void **)&some, 3 * sizeof(int));
    for (int i = 0; i < 3; i++) some[i] = 5 * i;
    take<<<1, 1>>>(x + 1, some);
}

__global__ void own(int *x)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    fill<<<1, 1, 4>>>(x + i, i, {0, 0.0}, 1);
}
"""
OUTER = """
extern __global__ void inner(int *x, int value);
__global__ void outer(int *x) { inner<<<1, 2>>>(x, 40 + threadIdx.x); }
"""
INNER = "__global__ void inner(int *x, int value) { x[2 * (value - 40) + threadIdx.x] = value; }"


def main() -> None:
    """Launch each kernel on zeros; then those of a module of two parts."""
    module = DynamicSourceModule(KERNELS)
    names = ("arguments", "order", "nested", "tails", "refused", "in_heap", "own")
    found = {name: _ran(module.get_function(name), blocks=2) for name in names}
    linked = DynamicModule()
    for source in (OUTER, INNER):
        linked.add_source(source, nvcc_options=["-rdc=true", "-lcudadevrt", *DEFAULT_NVCC_FLAGS])
    linked.add_stdlib("cudadevrt")
    linked.link()
    found["linked"] = _ran(linked.get_function("outer"), blocks=1)
    fresh = cuda.mem_alloc(40 * 4)
    module.get_function("arguments")(fresh, block=(1, 1, 1))
    values = np.empty(40, np.int32)
    cuda.memcpy_dtoh(values, fresh)
    found["fresh"] = values.tolist()
    print(json.dumps(found))


def _ran(function, blocks: int) -> list[int]:
    values = np.zeros(64, np.int32)
    function(cuda.InOut(values), block=(4, 1, 1), grid=(blocks, 1))
    return values.tolist()


if __name__ == "__main__":
    main()
