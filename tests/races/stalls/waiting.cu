// Threads that wait for others that never come, and their right twins. See race_programs.py.
#include <cassert>
#include <cooperative_groups.h>
#define KERNEL(name) extern "C" __global__ void name(int *x, int *y, int *z, int n)
#define FOR _Pragma("unroll 1") for
#define WHILE _Pragma("unroll 1") while
#define BARRIER(text) asm volatile(text ";" ::: "memory")
#define ODD 0xAAAAAAAA
#define EVEN 0x55555555

//! grid=1 block=64
KERNEL(barrier_for_some_operation_for_the_others) {
    int t = threadIdx.x;
    if (x[t] % 2)
        __syncthreads();  // PG503
    else
        __syncwarp();  // PG503
    y[t] = x[t];
}
//! grid=1 block=64
KERNEL(operations_of_halves_before_the_barrier) {
    int t = threadIdx.x;
    if (x[t] % 2)
        __syncwarp(ODD);
    else
        __syncwarp(EVEN);
    __syncthreads();
    y[t] = x[t];
}
//! grid=1 block=64
KERNEL(shuffle_of_all_for_some) {
    int t = threadIdx.x, v = x[t];
    if (x[t] % 2) v = __shfl_xor_sync(~0u, v, 2);  // PG503
    __syncthreads();  // PG503
    y[t] = v;
}
//! grid=1 block=64
KERNEL(shuffle_of_those_who_come) {
    int t = threadIdx.x, v = x[t];
    if (x[t] % 2) v = __shfl_xor_sync(ODD, v, 2);
    __syncthreads();
    assert(v == (t % 2 ? t ^ 2 : t));
    y[t] = v;
}
//! grid=1 block=64
KERNEL(vote_in_a_loop_of_some) {
    int t = threadIdx.x, votes = 0;
    FOR (int k = 0; k < x[t] % 3; k++) votes += __any_sync(~0u, x[t] == k);  // PG503
    __syncthreads();  // PG503
    y[t] = votes;
}
//! grid=1 block=64
KERNEL(vote_in_a_loop_of_all) {
    int t = threadIdx.x, votes = 0;
    FOR (int k = 0; __any_sync(~0u, k < x[t] % 3); k++) votes++;
    __syncthreads();
    assert(votes == 2);
    y[t] = votes;
}
//! grid=1 block=64
KERNEL(match_of_all_for_some_warps_lanes) {
    int t = threadIdx.x;
    unsigned same = 0;
    if (x[t] < 40) same = __match_any_sync(~0u, x[t] / 4);  // PG503
    __syncthreads();  // PG503
    y[t] = same;
}
//! grid=1 block=64
KERNEL(match_of_whole_warps) {
    int t = threadIdx.x;
    unsigned same = 0;
    if (x[t] < 32) same = __match_any_sync(~0u, x[t] / 4);
    __syncthreads();
    assert(__popc(same) == (t < 32 ? 4 : 0));
    y[t] = same;
}
//! grid=4 block=64 n=2
KERNEL(one_block_of_four) {
    int t = threadIdx.x;
    if (blockIdx.x == n && x[t] % 2) __syncwarp();  // PG503
    __syncthreads();  // PG503
    y[blockIdx.x * 64 + t] = x[t];
}
//! grid=4 block=64 n=4
KERNEL(no_block_of_four) {
    int t = threadIdx.x;
    if (blockIdx.x == n && x[t] % 2) __syncwarp();
    __syncthreads();
    y[blockIdx.x * 64 + t] = x[t];
}

//! grid=1 block=64
KERNEL(named_barrier_with_too_few) {
    int t = threadIdx.x;
    if (t < 32) BARRIER("bar.sync 1, 64");  // PG503
    y[t] = x[t];
}
//! grid=1 block=64
KERNEL(named_barrier_with_enough) {
    int t = threadIdx.x;
    if (t < 32)
        BARRIER("bar.sync 1, 64");
    else
        BARRIER("bar.sync 1, 64");
    y[t] = x[t];
}
//! grid=1 block=64
KERNEL(two_barriers_of_all) {
    int t = threadIdx.x;
    if (t < 32)
        BARRIER("bar.sync 1");  // PG503
    else
        BARRIER("bar.sync 2");  // PG503
    y[t] = x[t];
}
//! grid=1 block=64
KERNEL(one_barrier_after_the_other) {
    int t = threadIdx.x;
    BARRIER("bar.sync 1");
    y[t] = x[t];
    BARRIER("bar.sync 2");
    y[t] += x[63 - t];
}
//! grid=1 block=128
KERNEL(named_barriers_crossed) {
    int t = threadIdx.x;
    if (t < 64) {
        BARRIER("bar.sync 1, 128");  // PG503
        BARRIER("bar.sync 2, 128");
    } else {
        BARRIER("bar.sync 2, 128");  // PG503
        BARRIER("bar.sync 1, 128");
    }
    y[t] = x[t];
}
//! grid=1 block=128
KERNEL(named_barriers_of_pairs) {
    int t = threadIdx.x;
    FOR (int k = 0; k < 5; k++) {
        if (t < 64)
            BARRIER("bar.sync 1, 64");
        else
            BARRIER("bar.sync 2, 64");
        y[t] += x[t];
    }
    BARRIER("bar.sync 1, 128");
    y[t] += x[t];
}
//! grid=1 block=64
KERNEL(arrivals_for_more_threads) {
    int t = threadIdx.x;
    if (t < 32)
        BARRIER("bar.arrive 1, 96");
    else
        BARRIER("bar.sync 1, 96");  // PG503
    y[t] = x[t];
}
//! grid=2 block=64
KERNEL(producers_and_consumers_in_turn) {
    int t = threadIdx.x;
    FOR (int k = 0; k < 20; k++) {
        if (t < 32) {
            BARRIER("bar.sync 3, 64");
            BARRIER("bar.arrive 4, 64");
        } else {
            BARRIER("bar.arrive 3, 64");
            BARRIER("bar.sync 4, 64");
        }
    }
    y[blockIdx.x * 64 + t] = x[t];
}
//! grid=1 block=64
KERNEL(one_round_less_for_a_warp) {
    int t = threadIdx.x;
    FOR (int k = t / 32; k < 3; k++) {
        BARRIER("bar.sync 1, 64");  // PG503
        y[t] += x[t];
    }
}
//! grid=1 block=64
KERNEL(barrier_of_the_block_for_one_named_for_the_other) {
    int t = threadIdx.x;
    if (t < 32)
        BARRIER("bar.sync 1, 64");  // PG503
    else
        __syncthreads();  // PG503
    y[t] = x[t];
}

//! grid=2 block=64 n=40
KERNEL(lanes_that_have_left) {
    int t = threadIdx.x;
    if (t >= n) return;
    int v = __shfl_sync(~0u, x[t], 0);
    if (x[t] % 2) __syncwarp();
    else __syncwarp();
    __syncthreads();
    y[blockIdx.x * 64 + t] = v;
}
//! grid=1 block=96
KERNEL(a_warp_that_computes_for_long) {
    int t = threadIdx.x, v = 0;
    if (x[t] % 2) v = __popc(__ballot_sync(ODD, x[t] > 3));
    if (t < 32) {
        long long begin, now;
        asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(begin));
        do {
            __nanosleep(1000);
            asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
        } while (now - begin < 2500000000ll);
    }
    __syncthreads();
    y[t] = v;
}
//! grid=1 block=64
KERNEL(a_flag_of_a_lane) {
    __shared__ volatile int flag;
    int t = threadIdx.x;
    if (t == 0) flag = 0;
    __syncthreads();
    if (x[t] == 1) atomicExch((int *)&flag, 1);
    if (x[t] % 2 == 0) WHILE (atomicAdd((int *)&flag, 0) == 0) __nanosleep(100);
    if (x[t] % 2) __syncwarp(ODD);
    __syncthreads();
    y[t] = x[t];
}
//! grid=1 block=64
KERNEL(groups_in_divergent_code) {
    namespace cg = cooperative_groups;
    int t = threadIdx.x, sum = 0;
    cg::thread_block block = cg::this_thread_block();
    cg::thread_block_tile<8> tile = cg::tiled_partition<8>(block);
    if (x[t] % 3 == 0) {
        cg::coalesced_group those = cg::coalesced_threads();
        those.sync();
        sum = those.size();
    }
    if (x[t] / 8 % 2) sum += tile.shfl(x[t], 0);
    block.sync();
    FOR (int k = 0; k < x[t] / 8; k++) sum += tile.any(x[t] % 8 == k);
    block.sync();
    y[t] = sum;
}
//! grid=2 block=1024
KERNEL(many_rounds_of_a_large_block) {
    int t = threadIdx.x, sum = 0;
    FOR (int k = 0; k < 30; k++) {
        if ((x[t] + k) % 2)
            sum += __shfl_xor_sync(k % 2 ? EVEN : ODD, 1, 2);
        else
            sum += __shfl_xor_sync(k % 2 ? ODD : EVEN, 1, 2);
        int many = __syncthreads_count(x[t] % 4 == k % 4);
        assert(many == 256);
    }
    assert(sum == 30);
    if (blockIdx.x == 0) y[t] = sum;
}
