// Kernels that do what no kernel should: each has a buffer of 4096 ints, all 100, and a number.
#include <assert.h>
#include <stdio.h>

__constant__ int table[16];

__device__ int without_end(volatile int *a, int n)
{
    volatile int pad[64];
    pad[n % 64] = a[0] + n;
    return without_end(a, n + 1) + pad[n % 64];
}

__device__ int without_end_or_locals(volatile int *a, int n)
{
    return a[n & 1] ? without_end_or_locals(a, n + a[2]) * 3 + a[1] : n;
}

__device__ int deep(volatile int *a, int n)
{
    volatile int pad[64];
    pad[n % 64] = a[0];
    return n ? deep(a, n - 1) + pad[n % 64] + 1 : 0;
}

__device__ int of_three(int *a, int b, int *c) { return *c = a[b]; }
__device__ int (*function)(int *, int, int *) = of_three;

extern "C" {
__global__ void write_global(int *a, unsigned long long n) { *(int *)n = 1; }
__global__ void read_global(int *a, unsigned long long n) { a[0] = *(int *)n; }
__global__ void atomic_global(int *a, unsigned long long n) { atomicAdd((int *)n, 1); }
__global__ void write_shared(int *a, long long n)
{
    extern __shared__ int shared[];
    shared[threadIdx.x] = 1;
    __syncthreads();
    shared[n] = 2;
    a[0] = shared[0];
}
__global__ void write_shared_bytes(int *a, long long n)
{
    extern __shared__ char bytes[];
    *(volatile float *)(bytes + n) = 2;
}
__global__ void write_local(int *a, long long n)
{
    int local[16], sum = 0;
    for (int k = 0; k < 16; k++)
        local[k] = a[k];
    local[n] = 7;
    for (int k = 0; k < 16; k++)
        sum += local[k];
    a[0] = sum;
}
__global__ void read_constant(int *a, long long n) { a[0] = table[n]; }
__global__ void call(int *a, unsigned long long n) { ((void (*)(int *))n)(a); }
__global__ void call_as_other_type(int *a, long long n) { ((void (*)(int *))function)(a); }
__global__ void call_as_it_is(int *a, long long n) { a[1] = function(a, (int)n, a + 2); }
__global__ void print_string(int *a, unsigned long long n) { printf("%s\n", (const char *)n); }
__global__ void recurse(int *a, long long n) { a[1] = without_end(a, (int)n); }
__global__ void recurse_without_locals(int *a, long long n) { a[1] = without_end_or_locals(a, (int)n); }
__global__ void recurse_times(int *a, long long n) { a[threadIdx.x] = deep(a + 1000, (int)n); }
__global__ void trap(int *a, long long n)
{
    if (threadIdx.x == n)
        __trap();
}
__global__ void fail(int *a, long long n) { assert(threadIdx.x != n); }
__global__ void deadlock(int *a, long long n)
{
    if (threadIdx.x < n)
        __syncthreads();
    else
        asm volatile("bar.sync 1, 128;");
    a[0] = 1;
}
__global__ void endless(volatile int *a, long long n)
{
    while (a[0] >= n)
        ;
}

__global__ void unaligned(char *a, long long n)
{
    *(volatile double *)(a + n) = 1.0;
    *(float4 *)(a + 400 + n) = make_float4(1, 2, 3, 4);
    atomicAdd((int *)(a + 800 + n), 1);
}
__global__ void divide(int *a, long long n)
{
    int m = a[0], d = (int)n;
    long long wide = (long long)m << 32;
    a[0] = m / d;
    a[1] = m % d;
    a[2] = (int)((unsigned)m / (unsigned)d);
    a[3] = (int)((unsigned)m % (unsigned)d);
    a[4] = (int)(wide / n >> 32);
    a[5] = (int)(wide % n >> 32);
}
__global__ void large_local(int *a, long long n)
{
    volatile char local[500000];
    local[n] = (char)threadIdx.x;
    __syncthreads();
    a[threadIdx.x] = local[n];
}
__global__ void chatter(int *a, long long n)
{
    for (int k = 0; k < n; k++)
        printf("line %d\n", k);
}
__global__ void hoard(int *a, long long n)
{
    int count = 0;
    while (void *p = malloc((size_t)n)) {
        *(int *)p = count++;
        if (count > 1000000)
            break;
    }
    a[0] = count;
}
__global__ void free_wrongly(int *a, long long n)
{
    char *p = (char *)malloc(64);
    free(p);
    free(p);
    free(p + 8);
    free(a);
    free((void *)n);
    a[0] = 5;
}
}
