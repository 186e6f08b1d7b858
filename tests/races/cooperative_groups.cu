// Groups of the library cooperative_groups: a block's, a warp's tiles, those who come. See race_programs.py.
#include <cooperative_groups.h>
#define KERNEL(name) extern "C" __global__ void name(int *x, int *y, int *z, int n)
namespace cg = cooperative_groups;

//! grid=2 block=64
KERNEL(block_group) {
    __shared__ int s[64];
    cg::thread_block block = cg::this_thread_block();
    int t = block.thread_rank();
    s[t] = x[t];
    block.sync();
    y[64 * blockIdx.x + t] = s[63 - t];
}
//! grid=2 block=64
KERNEL(block_group_in_a_branch) {
    __shared__ int s[64];
    cg::thread_block block = cg::this_thread_block();
    int t = block.thread_rank();
    s[t] = x[t];
    if (t < 32) block.sync();  // PG503
    y[64 * blockIdx.x + t] = s[t];
    block.sync();  // PG503
    y[64 * blockIdx.x + t] += s[0];
}

//! grid=2 block=64
KERNEL(tile_group) {
    __shared__ int s[64];
    cg::thread_block_tile<16> tile = cg::tiled_partition<16>(cg::this_thread_block());
    int t = threadIdx.x;
    s[t] = x[t];
    tile.sync();
    y[64 * blockIdx.x + t] = s[t ^ 8] + tile.shfl_xor(x[t], 1);
}
//! grid=2 block=64
KERNEL(tile_group_reaches_over) {
    __shared__ int s[64];
    cg::thread_block_tile<16> tile = cg::tiled_partition<16>(cg::this_thread_block());
    int t = threadIdx.x;
    s[t] = x[t];  // PG502
    tile.sync();
    y[64 * blockIdx.x + t] = s[t ^ 32];  // PG502
}
