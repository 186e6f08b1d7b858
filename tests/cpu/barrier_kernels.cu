// Barriers that are objects, and the barrier of a cluster, which is one block here.
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cuda/barrier>

namespace cg = cooperative_groups;
using block_barrier = cuda::barrier<cuda::thread_scope_block>;

// each thread adds its right neighbour's value again and again
extern "C" __global__ void rounds(const int *in, int *out)
{
    __shared__ block_barrier bar;
    __shared__ int s[256];
    int i = threadIdx.x, n = blockDim.x;
    if (i == 0)
        init(&bar, n);
    __syncthreads();
    int value = in[blockIdx.x * n + i];
#pragma unroll 1
    for (int round = 0; round < 5; round++) {
        s[i] = value;
        bar.arrive_and_wait();
        value += s[(i + 1) % n];
        auto token = bar.arrive();
        value ^= round;
        bar.wait(std::move(token));
    }
    out[blockIdx.x * n + i] = value;
}

// half of the threads only give, the other half waits for them; the givers leave the barrier
extern "C" __global__ void halves(const int *in, int *out)
{
    __shared__ block_barrier bar;
    __shared__ int s[256];
    int i = threadIdx.x, n = blockDim.x / 2;
    if (i == 0)
        init(&bar, 2 * n);
    __syncthreads();
    if (i < n) {
        s[i] = in[i];
        bar.arrive_and_drop();
        return;
    }
    bar.arrive_and_wait();
    out[i - n] = s[n - 1 - (i - n)];
    bar.arrive_and_wait();
    out[i] = out[n - 1 - (i - n)];
}

extern "C" __global__ void copied(const int *in, int *out)
{
    __shared__ block_barrier bar;
    __shared__ int s[256];
    auto block = cg::this_thread_block();
    if (threadIdx.x == 0)
        init(&bar, blockDim.x);
    __syncthreads();
    cuda::memcpy_async(block, s, in, sizeof(int) * blockDim.x, bar);
    bar.arrive_and_wait();
    out[threadIdx.x] = s[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void cluster(const int *in, int *out)
{
    __shared__ int s[256];
    s[threadIdx.x] = in[threadIdx.x];
    cg::this_cluster().sync();
    out[threadIdx.x] = s[blockDim.x - 1 - threadIdx.x] + cg::this_cluster().num_blocks();
}

