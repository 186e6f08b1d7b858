// Kernels whose threads and blocks wait for each other.
#include <cooperative_groups.h>
namespace cg = cooperative_groups;

extern "C" {

__global__ void divergent_barriers(int *out)
{
    __shared__ int shared[64];
    int t = threadIdx.x;
    shared[t] = t;
    if (t < 32) {
        __syncthreads();
        out[t] = shared[63 - t];
    } else {
        __syncthreads();
        out[t] = shared[63 - t] + 1000;
    }
}

__global__ void early_exit(int *out, int n)
{
    __shared__ int shared[128];
    int t = threadIdx.x;
    if (t >= n)
        return;
    shared[t] = t;
    __syncthreads();
    out[t] = shared[n - 1 - t];
}

__global__ void tree_reduction(const int *in, int *out)
{
    __shared__ int shared[128];
    int t = threadIdx.x;
    shared[t] = in[blockIdx.x * 128 + t];
    __syncthreads();
    for (int d = blockDim.x / 2; d; d >>= 1) {
        if (t < d)
            shared[t] += shared[t + d];
        __syncthreads();
    }
    if (!t)
        out[blockIdx.x] = shared[0];
}

__global__ void barrier_votes(int *out, int n)
{
    int t = threadIdx.x;
    if (t >= n)
        return;
    int count = __syncthreads_count(t % 3 == 0);
    int all = __syncthreads_and(t < n), most = __syncthreads_and(t < n - 1), any = __syncthreads_or(t == 5);
    out[4 * t] = count, out[4 * t + 1] = all != 0, out[4 * t + 2] = most != 0, out[4 * t + 3] = any != 0;
    if (t % 2)
        return;
    out[4 * t] += 100 * __syncthreads_count(1);
}

__global__ void votes(unsigned *out)
{
    int t = threadIdx.x;
    unsigned *o = out + 5 * t;
    o[0] = __ballot_sync(~0u, t & 1);
    o[1] = __any_sync(~0u, t == 40);
    o[2] = __all_sync(~0u, t < 40);
    o[3] = __match_any_sync(~0u, t % 4);
    o[4] = __reduce_add_sync(~0u, t);
}

__global__ void votes_after_exits(unsigned *out)
{
    int t = threadIdx.x;
    if (t % 4 == 3)
        return;
    out[3 * t] = __ballot_sync(~0u, t & 1);
    if (t == 0)
        return;
    out[3 * t + 1] = __all_sync(0x77777777u, 1);
    out[3 * t + 2] = __reduce_max_sync(~0u, 100 - t);
}

__global__ void shuffles(int *out)
{
    int t = threadIdx.x, v = 10 * t;
    int *o = out + 4 * t;
    o[0] = __shfl_sync(~0u, v, 3);
    o[1] = __shfl_up_sync(~0u, v, 2);
    o[2] = __shfl_xor_sync(~0u, v, 1, 8);
    o[3] = __shfl_sync(~0u, v, 1, 4);
}

__global__ void divergent_shuffles(int *out)
{
    int t = threadIdx.x, v = t;
    if (t & 1)
        v = __shfl_xor_sync(0xaaaaaaaa, v, 2);
    else
        v = __shfl_xor_sync(0x55555555, v, 4) + 100;
    __syncwarp();
    out[t] = v;
}

__global__ void warp_reduction(const float *in, float *out, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    float v = i < n ? in[i] : 0;
    for (int d = 16; d; d >>= 1)
        v += __shfl_down_sync(~0u, v, d);
    if (threadIdx.x % 32 == 0)
        atomicAdd(out, v);
}

// as PyCUDA's reduction kernels are written: no __syncwarp between the steps of one warp
__global__ void warp_synchronous(const int *in, int *out)
{
    __shared__ volatile int s[64];
    int t = threadIdx.x;
    s[t] = in[blockIdx.x * 64 + t];
    __syncthreads();
    if (t < 32) {
        s[t] = s[t] + s[t + 32];
        s[t] = s[t] + s[t + 16];
        s[t] = s[t] + s[t + 8];
        s[t] = s[t] + s[t + 4];
        s[t] = s[t] + s[t + 2];
        s[t] = s[t] + s[t + 1];
    }
    if (t == 0)
        out[blockIdx.x] = s[0];
}

__global__ void cooperative(int *out)
{
    auto block = cg::this_thread_block();
    auto tile = cg::tiled_partition<16>(block);
    int v = threadIdx.x;
    for (int d = 8; d; d >>= 1)
        v += tile.shfl_down(v, d);
    if (tile.thread_rank() == 0)
        out[threadIdx.x / 16] = v;
    block.sync();
}

__global__ void coalesced(int *count, int *out)
{
    int t = threadIdx.x;
    if (t % 3 == 0) {
        auto group = cg::coalesced_threads();
        int r = 0;
        if (group.thread_rank() == 0)
            r = atomicAdd(count, group.size());
        out[t] = group.shfl(r, 0) + group.thread_rank();
    }
}

__global__ void spin_between_warps(volatile int *flag, int *out)
{
    if (threadIdx.x == 0) {
        while (*flag == 0)
            ;
        out[0] = 5;
    } else if (threadIdx.x == 32)
        *flag = 1;
}

__global__ void spin_between_blocks(int *flag, int *out)
{
    if (threadIdx.x)
        return;
    if (blockIdx.x == 0) {
        while (atomicAdd(flag, 0) != gridDim.x - 1)
            ;
        out[0] = 1;
    } else
        atomicAdd(flag, 1);
}

__global__ void grid_barrier(volatile int *arrived, int *out)
{
    __shared__ int sum;
    for (int round = 1; round <= 3; round++) {
        if (threadIdx.x == 0) {
            __threadfence();
            atomicAdd((int *)arrived, 1);
            while (*arrived < round * gridDim.x)
                ;
            sum = *arrived >= round * gridDim.x;
        }
        __syncthreads();
        out[blockIdx.x * blockDim.x + threadIdx.x] += sum;
        __syncthreads();
    }
}

__global__ void lock(int *mutex, int *count)
{
    bool done = false;
    while (!done) {
        if (atomicCAS(mutex, 0, 1) == 0) {
            *(volatile int *)count += 1;
            __threadfence();
            atomicExch(mutex, 0);
            done = true;
        }
    }
}

__global__ void retry(unsigned long long *sum)
{
    unsigned long long old = *sum, assumed;
    do {
        assumed = old;
        old = atomicCAS(sum, assumed, assumed + threadIdx.x);
    } while (old != assumed);
}

__global__ void producer_consumer(int *out)
{
    __shared__ int item;
    for (int i = 0; i < 4; i++)
        if (threadIdx.x < 32) {
            if (threadIdx.x == 0)
                item = 10 + i;
            asm volatile("bar.arrive 1, 64;");
            asm volatile("bar.sync 2, 64;");
        } else {
            asm volatile("bar.sync 1, 64;");
            out[32 * i + threadIdx.x - 32] = item;
            asm volatile("bar.arrive 2, 64;");
        }
}

__global__ void two_groups(int *out)
{
    __shared__ int shared[128];
    int t = threadIdx.x, group = t / 64;
    shared[t] = t;
    asm volatile("bar.sync %0, 64;" ::"r"(1 + group));
    out[t] = shared[64 * group + 63 - t % 64];
}

__global__ void deadlock(int *out)
{
    if (threadIdx.x < 32)
        asm volatile("bar.sync 1, 64;");
    else
        asm volatile("bar.sync 2, 64;");
    out[threadIdx.x] = 1;
}

__global__ void trap(int at)
{
    if (blockIdx.x == at && threadIdx.x == 3)
        __trap();
    __syncthreads();
}

__global__ void histogram(const unsigned char *in, unsigned *out, int n)
{
    __shared__ unsigned bins[256];
    for (int i = threadIdx.x; i < 256; i += blockDim.x)
        bins[i] = 0;
    __syncthreads();
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x)
        atomicAdd(&bins[in[i]], 1u);
    __syncthreads();
    for (int i = threadIdx.x; i < 256; i += blockDim.x)
        atomicAdd(&out[i], bins[i]);
}
}
