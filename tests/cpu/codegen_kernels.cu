// Kernels that test_codegen_kernels.py compares with numpy.
#include <cuda_fp16.h>
#include <stdio.h>

extern "C" {

__global__ void vector_add(const float *a, const float *b, float *c, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        c[i] = a[i] + b[i];
}

__global__ void stencil(const float *in, float *out, int width, int height)
{
    int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x > 0 && y > 0 && x < width - 1 && y < height - 1)
        out[y * width + x] = in[y * width + x] + in[y * width + x - 1] + in[y * width + x + 1]
                             + in[(y - 1) * width + x] + in[(y + 1) * width + x];
}

__global__ void tiled_product(const float *a, const float *b, float *c, int n)
{
    __shared__ float rows[16][16], columns[16][16];
    int tx = threadIdx.x, ty = threadIdx.y, x = blockIdx.x * 16 + tx, y = blockIdx.y * 16 + ty;
    float sum = 0;
    for (int tile = 0; tile < n / 16; tile++) {
        rows[ty][tx] = a[y * n + tile * 16 + tx];
        columns[ty][tx] = b[(tile * 16 + ty) * n + x];
        __syncthreads();
        for (int k = 0; k < 16; k++)
            sum += rows[ty][k] * columns[k][tx];
        __syncthreads();
    }
    c[y * n + x] = sum;
}

__global__ void grid_stride(const float *in, float *out, unsigned n)
{
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        out[i] = 2 * in[i];
}

__global__ void strided_with_tail(int *out, long long n)
{
    for (long long i = threadIdx.x; i < n; i += blockDim.x)
        out[i] += (int)i;
    if (threadIdx.x == 0)
        out[0] += 1000;
}

__global__ void coordinates(unsigned *out)
{
    unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    unsigned *o = out + 8 * (block * blockDim.x * blockDim.y * blockDim.z + thread);
    o[0] = threadIdx.x, o[1] = threadIdx.y, o[2] = threadIdx.z;
    o[3] = blockIdx.x, o[4] = blockIdx.y, o[5] = blockIdx.z;
    asm("mov.u32 %0, %%laneid;" : "=r"(o[6]));
    asm("mov.u32 %0, %%lanemask_lt;" : "=r"(o[7]));
}

__device__ __noinline__ int fibonacci(int n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

__global__ void recursion(int *out)
{
    out[threadIdx.x] = fibonacci(threadIdx.x);
}

__device__ __noinline__ int local_recursion(int n, int *parent)
{
    int mine[4] = {n, n + 1, n + 2, n + 3};
    int below = n ? local_recursion(n - 1, mine) : 0;
    parent[n & 3] += 1;
    return below + mine[0] + mine[1] + mine[2] + mine[3];
}

__global__ void recursion_with_arrays(int *out)
{
    int top[4] = {0, 0, 0, 0};
    int sum = local_recursion(threadIdx.x, top);
    out[threadIdx.x] = sum + 1000 * (top[0] + top[1] + top[2] + top[3]);
}

typedef int (*function)(int);
__device__ __noinline__ int increment(int x) { return x + 1; }
__device__ __noinline__ int square(int x) { return x * x; }
__device__ function functions[2] = {increment, square};

__global__ void function_pointers(int *out)
{
    int t = threadIdx.x;
    out[t] = functions[t & 1](t);
}

__global__ void dynamic_shared(float *out, int n)
{
    extern __shared__ float pool[];
    __shared__ float fixed[32];
    int t = threadIdx.x;
    pool[t] = t, pool[t + n] = 2 * t, fixed[t] = 3 * t;
    __syncthreads();
    out[t] = pool[n - 1 - t] + pool[n + t] + fixed[n - 1 - t];
}

__global__ void local_across_barriers(int *out, int k)
{
    int a[16], t = threadIdx.x;
    for (int i = 0; i < 16; i++)
        a[i] = i * t;
    __syncthreads();
    a[(k + t) & 15] += 5;
    __syncthreads();
    int sum = 0;
    for (int i = 0; i < 16; i++)
        sum += a[(i * k) & 15] * (i + 1);
    out[t] = sum;
}

__device__ __noinline__ int block_sum(int value, int *scratch)
{
    scratch[threadIdx.x] = value;
    __syncthreads();
    int sum = 0;
    for (int i = 0; i < blockDim.x; i++)
        sum += scratch[i];
    __syncthreads();
    return sum;
}

__global__ void barrier_in_function(int *out)
{
    __shared__ int scratch[64];
    int t = threadIdx.x;
    out[t] = block_sum(t, scratch) + 10 * block_sum(2 * t, scratch);
}

__constant__ float coefficients[4] = {1, 2, 3, 4};
__device__ int counter = 7;
__device__ float table[3][2] = {{1, 2}, {3, 4}, {5, 6}};
__device__ float *pointer_to_table = &table[1][0];

__global__ void module_variables(float *out)
{
    int t = threadIdx.x;
    out[t] = coefficients[t] * table[t % 3][t & 1] + pointer_to_table[t & 1];
    if (t == 0)
        atomicAdd(&counter, 3);
}

__global__ void generic_addresses(int *out)
{
    __shared__ int shared[32];
    int local[4] = {1, 2, 3, 4};
    int t = threadIdx.x;
    shared[t] = 10 * t;
    __syncthreads();
    const int *choice[3] = {&shared[31 - t], &local[t & 3], out + t};
    out[t] = *choice[t % 3];
}

__global__ void halves(const __half *a, const __half2 *b, float *out)
{
    int t = threadIdx.x;
    __half x = __hadd(a[t], __float2half(1.5f));
    __half2 y = __hmul2(b[t], b[t]);
    out[t] = __half2float(x) + __low2float(y) + __high2float(y);
}

__global__ void vectors(const float4 *in, float4 *out)
{
    float4 v = in[threadIdx.x];
    out[threadIdx.x] = make_float4(v.w, v.z, v.y, v.x);
}

struct pair {
    int first;
    double second;
    int third[3];
};

__global__ void structure(struct pair p, double *out)
{
    out[threadIdx.x] = p.first + p.second + p.third[threadIdx.x];
}

__global__ void transcendental(const double *in, double *out)
{
    int t = threadIdx.x;
    out[t] = sin(in[t]) + pow(in[t], 1.5);
}

__global__ void wild_read(float *out, unsigned long long address)
{
    out[0] = *(float *)address;
}

__global__ void wild_write(unsigned long long address, unsigned long long index)
{
    ((volatile char *)address)[index] = 1;
}

__global__ void read_beyond(const float *in, float *out, int index)
{
    out[threadIdx.x] = in[index];
}

__global__ void shared_beyond(int *out, int index)
{
    __shared__ int small[8];
    small[index] = 1;
    __syncthreads();
    out[0] = small[0];
}
}
