// Graphs, flags, locks, warps and barriers: racy kernels and their right twins. See race_programs.py.
#define KERNEL(name) extern "C" __global__ void name(int *x, int *y, int *z, int n)
#define INDEX (blockIdx.x * blockDim.x + threadIdx.x)
// loops stay loops: code that is unrolled takes long to compile
#define FOR _Pragma("unroll 1") for
#define WHILE _Pragma("unroll 1") while

// Graphs: vertex v has the neighbours (3v + 1) % n, (5v + 2) % n.
#define NEIGHBOUR(v, k) (((2 * (k) + 3) * (v) + (k) + 1) % n)

//! grid=2 block=32 n=64
KERNEL(bfs_level_plain) {
    int v = INDEX;
    if (y[v] == 0)  // PG501
        FOR (int k = 0; k < 2; k++) {
            int w = NEIGHBOUR(v, k);
            if (y[w] == 0) y[w] = x[v] + 1;  // PG501
        }
}
//! grid=2 block=32 n=64
KERNEL(bfs_level_by_compare_and_swap) {
    int v = INDEX;
    if (x[v] % 4 == 0)
        FOR (int k = 0; k < 2; k++) atomicCAS(&y[NEIGHBOUR(v, k)], 0, x[v] + 1);
}
//! grid=2 block=32 n=64
KERNEL(bfs_queue_plain) {
    int v = INDEX;
    FOR (int k = 0; k < 2; k++) {
        int w = NEIGHBOUR(v, k);
        if (atomicExch(&y[w], 1) == 0) z[x[1000]++ % 64] = w;  // PG501
    }
}
//! grid=2 block=32 n=64
KERNEL(bfs_queue_atomic) {
    int v = INDEX;
    FOR (int k = 0; k < 2; k++) {
        int w = NEIGHBOUR(v, k);
        if (atomicExch(&y[w], 1) == 0) z[atomicAdd(&z[1000], 1)] = w;
    }
}

//! grid=2 block=32 n=64
KERNEL(sssp_relax_plain) {
    int v = INDEX;
    FOR (int k = 0; k < 2; k++) {
        int w = NEIGHBOUR(v, k), d = x[v] + k + 1;  // PG501
        if (d > x[w]) x[w] = d;  // PG501
    }
}
//! grid=2 block=32 n=64
KERNEL(sssp_relax_by_atomic_min) {
    int v = INDEX;
    FOR (int k = 0; k < 2; k++) atomicMin(&y[NEIGHBOUR(v, k)], x[v] - k);
}

//! grid=2 block=32 n=64
KERNEL(components_hook_plain) {
    int v = INDEX;
    FOR (int k = 0; k < 2; k++) {
        int w = NEIGHBOUR(v, k);
        if (x[v] < x[w]) x[x[w]] = x[v];  // PG501
    }
}
//! grid=2 block=32 n=64
KERNEL(components_hook_atomic) {
    int v = INDEX;
    volatile int *label = x;
    FOR (int k = 0; k < 2; k++) {
        int w = NEIGHBOUR(v, k), mine = label[v], other = label[w];
        if (mine < other) atomicMin(&x[other], mine);
    }
}

//! grid=2 block=32 n=64
KERNEL(labels_in_place) {
    int v = INDEX, best = x[v];
    FOR (int k = 0; k < 2; k++) best = max(best, x[NEIGHBOUR(v, k)]);  // PG501
    x[v] = best;  // PG501
}
//! grid=2 block=32 n=64
KERNEL(labels_to_another) {
    int v = INDEX, best = x[v];
    FOR (int k = 0; k < 2; k++) best = max(best, x[NEIGHBOUR(v, k)]);
    y[v] = best;
}

//! grid=4 block=32
KERNEL(last_block_without_a_fence) {
    __shared__ bool last;
    y[INDEX] = x[INDEX];  // PG501
    __syncthreads();
    if (threadIdx.x == 0) last = atomicAdd(z, 1) == gridDim.x - 1;
    __syncthreads();
    if (last) {
        int sum = 0;
        FOR (int k = threadIdx.x; k < 128; k += 32) sum += y[k];  // PG501
        z[1 + threadIdx.x] = sum;
    }
}
//! grid=4 block=32
KERNEL(last_block_with_a_fence) {
    __shared__ bool last;
    y[INDEX] = x[INDEX];
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicAdd(z, 1) == gridDim.x - 1;
    __syncthreads();
    if (last) {
        __threadfence();
        int sum = 0;
        FOR (int k = threadIdx.x; k < 128; k += 32) sum += y[k];
        z[1 + threadIdx.x] = sum;
    }
}

//! grid=4 block=32
KERNEL(look_back_without_fences) {
    __shared__ int before;
    volatile int *flags = z;
    if (threadIdx.x == 0) {
        int sum = 0;
        if (blockIdx.x > 0) {
            WHILE (flags[blockIdx.x - 1] == 0) {}
            sum = y[blockIdx.x - 1];  // PG501
        }
        before = sum;
        y[blockIdx.x] = sum + x[blockIdx.x + 512];  // PG501
        flags[blockIdx.x] = 1;
    }
    __syncthreads();
    x[INDEX] += before;
}
//! grid=4 block=32
KERNEL(look_back_with_fences) {
    __shared__ int before;
    volatile int *flags = z;
    if (threadIdx.x == 0) {
        int sum = 0;
        if (blockIdx.x > 0) {
            WHILE (flags[blockIdx.x - 1] == 0) {}
            __threadfence();
            sum = y[blockIdx.x - 1];
        }
        before = sum;
        y[blockIdx.x] = sum + x[blockIdx.x + 512];
        __threadfence();
        flags[blockIdx.x] = 1;
    }
    __syncthreads();
    x[INDEX] += before;
}

//! grid=4 block=1
KERNEL(flag_without_a_fence) {
    volatile int *flag = z;
    if (blockIdx.x == 0) {
        y[0] = 7;  // PG501
        *flag = 1;
    } else {
        WHILE (*flag == 0) {}
        x[blockIdx.x] = y[0];  // PG501
    }
}
//! grid=4 block=1
KERNEL(flag_with_a_fence) {
    volatile int *flag = z;
    if (blockIdx.x == 0) {
        y[0] = 7;
        __threadfence();
        *flag = 1;
    } else {
        WHILE (*flag == 0) {}
        __threadfence();
        x[blockIdx.x] = y[0];
    }
}

//! grid=4 block=1
KERNEL(lock_without_fences) {
    WHILE (atomicCAS(z, 0, 1) != 0) {}
    y[0] += x[blockIdx.x];  // PG501
    atomicExch(z, 0);
}
//! grid=4 block=1
KERNEL(lock_with_fences) {
    WHILE (atomicCAS(z, 0, 1) != 0) {}
    __threadfence();
    y[0] += x[blockIdx.x];
    __threadfence();
    atomicExch(z, 0);
}

//! grid=2 block=64
KERNEL(ballot_compaction_by_a_plain_count) {
    unsigned votes = __ballot_sync(~0u, x[INDEX] % 3 == 0);
    int lane = threadIdx.x % 32, base = 0;
    if (lane == 0) {
        base = z[0];  // PG501
        z[0] = base + __popc(votes);  // PG501
    }
    base = __shfl_sync(~0u, base, 0);
    if (x[INDEX] % 3 == 0) atomicExch(&y[base + __popc(votes & ((1u << lane) - 1))], x[INDEX]);
}
//! grid=2 block=64
KERNEL(ballot_compaction) {
    unsigned votes = __ballot_sync(~0u, x[INDEX] % 3 == 0);
    int lane = threadIdx.x % 32, base = 0;
    if (lane == 0) base = atomicAdd(&z[0], __popc(votes));
    base = __shfl_sync(~0u, base, 0);
    if (x[INDEX] % 3 == 0) y[base + __popc(votes & ((1u << lane) - 1))] = x[INDEX];
}

//! grid=2 block=64
KERNEL(warp_sums_to_one_element) {
    int sum = x[INDEX];
    FOR (int k = 16; k > 0; k /= 2) sum += __shfl_down_sync(~0u, sum, k);
    if (threadIdx.x % 32 == 0) y[blockIdx.x] = sum;  // PG501
}
//! grid=2 block=64
KERNEL(warp_sums_to_their_own) {
    int sum = x[INDEX];
    FOR (int k = 16; k > 0; k /= 2) sum += __shfl_down_sync(~0u, sum, k);
    if (threadIdx.x % 32 == 0) y[INDEX / 32] = sum;
}
//! grid=1 block=64
KERNEL(shuffle_is_no_barrier) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[t] = x[t];  // PG502
    int other = __shfl_xor_sync(~0u, x[t], 1);
    y[t] = s[t ^ 1] + other;  // PG502
}
//! grid=1 block=64
KERNEL(syncwarp_is_one_for_the_warp) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[t] = x[t];
    __syncwarp();
    y[t] = s[t ^ 1];
}
//! grid=1 block=64
KERNEL(syncwarp_is_none_for_the_block) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[t] = x[t];  // PG502
    __syncwarp();
    y[t] = s[t ^ 32];  // PG502
}
//! grid=1 block=32
KERNEL(half_warps_with_masks) {
    __shared__ int s[32];
    int t = threadIdx.x;
    s[t] = x[t];
    if (t < 16) {
        __syncwarp(0xFFFF);
        y[t] = s[t ^ 1];
    } else {
        __syncwarp(0xFFFF0000);
        y[t] = s[t ^ 2];
    }
}

//! grid=1 block=32
KERNEL(masks_of_those_who_come) {
    __shared__ int s[32];
    int t = threadIdx.x;
    unsigned come = __ballot_sync(~0u, x[t] % 3 == 0);
    s[t] = x[t];
    if (x[t] % 3 == 0) {
        __syncwarp(come);
        y[t] = s[(t + 3) % 33 % 32 / 3 * 3];
    }
}
//! grid=1 block=32
KERNEL(no_mask_for_those_who_come) {
    __shared__ int s[32];
    int t = threadIdx.x;
    s[t] = x[t];  // PG502
    if (x[t] % 3 == 0) y[t] = s[(t + 3) % 33 % 32 / 3 * 3];  // PG502
}

// What cooperative groups do where all blocks of a grid wait for one another.
__device__ void wait_for_the_grid(int *arrived, bool fence) {
    __syncthreads();
    if (threadIdx.x == 0) {
        if (fence) __threadfence();
        int rest = blockIdx.x == 0 ? 0x80000000 - (gridDim.x - 1) : 1;
        int old = atomicAdd(arrived, rest);
        WHILE (((old ^ *(volatile int *)arrived) & 0x80000000) == 0) {}
        if (fence) __threadfence();
    }
    __syncthreads();
}
//! grid=4 block=32
KERNEL(grid_barrier) {
    y[INDEX] = x[INDEX];
    wait_for_the_grid(z, true);
    x[INDEX] += y[127 - INDEX];
    wait_for_the_grid(z, true);
    y[INDEX] = x[INDEX ^ 64];
}
//! grid=4 block=32
KERNEL(grid_barrier_without_fences) {
    y[INDEX] = x[INDEX];  // PG501
    wait_for_the_grid(z, false);
    x[INDEX] += y[127 - INDEX];  // PG501
}

//! grid=2 block=64
KERNEL(producers_and_consumers) {
    __shared__ int s[32];
    int t = threadIdx.x;
    if (t < 32) {
        s[t] = x[INDEX];
        asm volatile("bar.arrive 1, 64;" ::: "memory");
    } else {
        asm volatile("bar.sync 1, 64;" ::: "memory");
        y[INDEX] = s[t - 32];
    }
}
//! grid=2 block=64
KERNEL(producers_without_a_barrier) {
    __shared__ int s[32];
    int t = threadIdx.x;
    if (t < 32)
        s[t] = x[INDEX];  // PG502
    else
        y[INDEX] = s[t - 32];  // PG502
}

//! grid=2 block=64
KERNEL(counted_by_the_block) {
    int many = __syncthreads_count(x[INDEX] % 2);
    y[INDEX] = many;
}
//! grid=1 block=64
KERNEL(barrier_in_both_branches) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[t] = x[t];
    if (x[t] % 2) {
        __syncthreads();  // PG503
        y[t] = s[63 - t];
    } else {
        __syncthreads();  // PG503
        y[t] = 2 * s[63 - t];
    }
}
//! grid=1 block=64
KERNEL(barrier_before_both_branches) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[t] = x[t];
    __syncthreads();
    if (x[t] % 2)
        y[t] = s[63 - t];
    else
        y[t] = 2 * s[63 - t];
}
//! grid=1 block=64 n=1
KERNEL(barrier_by_an_argument) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[t] = x[t];
    if (n) {
        __syncthreads();
        y[t] = s[63 - t];
    } else {
        y[t] = 1;
        __syncthreads();
    }
}
//! grid=1 block=64 n=64
KERNEL(barrier_for_some_warps) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[t] = x[t];
    if (t < 32) __syncthreads();  // PG503
    y[t] = s[t];
    __syncthreads();  // PG503
    y[t] += s[0];
}
//! grid=1 block=64 n=3
KERNEL(barrier_in_a_loop_of_all) {
    __shared__ int s[64];
    int t = threadIdx.x;
    FOR (int k = 0; k < n; k++) {
        s[t] = x[t] + k;
        __syncthreads();
        y[t] += s[63 - t];
        __syncthreads();
    }
}
