// Races for global memory and their right twins. race_programs.py tells how to read this.
#define KERNEL(name) extern "C" __global__ void name(int *x, int *y, int *z, int n)
#define INDEX (blockIdx.x * blockDim.x + threadIdx.x)
// loops stay loops: code that is unrolled takes long to compile
#define FOR _Pragma("unroll 1") for

//! grid=3 block=64 n=192
KERNEL(histogram_plain) {
    y[x[INDEX] % 8] += 1;  // PG501
}
//! grid=3 block=64 n=192
KERNEL(histogram_atomic) {
    atomicAdd(&y[x[INDEX] % 8], 1);
}

//! grid=3 block=37 n=100
KERNEL(total_plain) {
    int i = INDEX;
    if (i < n) *y += x[i];  // PG501
}
//! grid=3 block=37 n=100
KERNEL(total_atomic) {
    int i = INDEX;
    if (i < n) atomicAdd(y, x[i]);
}

//! grid=4 block=32 n=128
KERNEL(blur_in_place) {
    int i = INDEX;
    if (i + 1 < n) {
        int right = x[i + 1];  // PG501
        x[i] = (x[i] + right) / 2;  // PG501
    }
}
//! grid=4 block=32 n=128
KERNEL(blur_to_another) {
    int i = INDEX;
    if (i + 1 < n) y[i] = (x[i] + x[i + 1]) / 2;
}

//! grid=2 block=32 n=200
KERNEL(stride_of_one_block) {
    FOR (int i = threadIdx.x; i < n; i += blockDim.x) x[i] = 2 * x[i];  // PG501
}
//! grid=2 block=32 n=200
KERNEL(stride_of_the_grid) {
    FOR (int i = INDEX; i < n; i += blockDim.x * gridDim.x) x[i] = 2 * x[i];
}

//! grid=2 block=50
KERNEL(bytes_shared_by_two) {
    ((char *)y)[INDEX / 2] = INDEX;  // PG501
}
//! grid=2 block=50
KERNEL(bytes_of_neighbours) {
    ((char *)y)[INDEX] = INDEX;
}

//! grid=2 block=64
KERNEL(word_over_halves) {
    int i = INDEX;
    if (i == 5) y[10] = 1;  // PG501
    else ((short *)y)[i] = i;  // PG501
}
//! grid=2 block=64
KERNEL(halves_of_neighbours) {
    ((short *)y)[INDEX] = INDEX;
}

//! grid=2 block=64
KERNEL(bits_by_or) {
    int i = INDEX;
    y[i / 32] |= 1 << i % 32;  // PG501
}
//! grid=2 block=64
KERNEL(bits_by_atomic_or) {
    int i = INDEX;
    atomicOr(&y[i / 32], 1 << i % 32);
}

//! grid=1 block=20
KERNEL(flag_of_the_same_value) {
    if (x[threadIdx.x] < 100) y[0] = 1;  // PG501
}
//! grid=2 block=20 n=7
KERNEL(level_of_what_several_reach) {
    y[x[INDEX] % 8] = n + 1;  // PG501
}
//! grid=2 block=20
KERNEL(flag_of_its_own_value) {
    if (x[threadIdx.x] < 100) y[0] = x[INDEX];  // PG501
}
//! grid=1 block=20
KERNEL(flag_that_others_read) {
    if (x[threadIdx.x] < 10 && y[0] == 0)  // PG501
        y[0] = 1;  // PG501
}
//! grid=1 block=20
KERNEL(count_cleared_by_all) {
    y[0] = 0;  // PG501
    atomicAdd(&y[0], x[threadIdx.x]);  // PG501
}
//! grid=1 block=20
KERNEL(flag_by_an_atomic) {
    if (x[threadIdx.x] < 100) atomicExch(&y[0], 1);
}
//! grid=2 block=20
KERNEL(flag_by_one_thread) {
    if (INDEX == 7) y[0] = 1;
}

//! grid=2 block=32
KERNEL(read_by_all_and_written) {
    int i = INDEX;
    y[i] = x[0];  // PG501
    if (i == 40) x[0] = 5;  // PG501
}
//! grid=2 block=32
KERNEL(read_by_all) {
    y[INDEX] = x[0] + x[1];
}

//! grid=2 block=32
KERNEL(ldg_of_what_is_written) {
    int i = INDEX;
    int next = __ldg(&x[(i + 1) % 64]);  // PG501
    x[i] = next;  // PG501
}
//! grid=2 block=32
KERNEL(ldg_of_what_is_only_read) {
    int i = INDEX;
    y[i] = __ldg(&x[(i + 1) % 64]);
}

__constant__ int weights[4] = {1, 2, 3, 4};

//! grid=2 block=32
KERNEL(constants_to_one_element) {
    y[INDEX / 3] = weights[INDEX % 4];  // PG501
}
//! grid=2 block=32
KERNEL(constants_to_each) {
    y[INDEX] = weights[INDEX % 4] + weights[0];
}

//! grid=2 block=32 n=16
KERNEL(scratch_shared_by_blocks) {
    int *mine = z + 16 * threadIdx.x;
    FOR (int k = 0; k < n; k++) mine[k] = x[(INDEX + k) % 64];  // PG501
    y[INDEX] = mine[x[INDEX] % n];  // PG501
}
//! grid=2 block=32 n=16
KERNEL(scratch_of_each_thread) {
    int mine[16];
    FOR (int k = 0; k < n; k++) mine[k] = x[(INDEX + k) % 64];
    y[INDEX] = mine[x[INDEX] % n];
}

//! grid=2 block=24
KERNEL(vector_beside_a_word) {
    int i = INDEX;
    ((int4 *)y)[i] = make_int4(i, i, i, i);  // PG501
    z[i] = y[4 * i + 4];  // PG501
}
//! grid=2 block=24
KERNEL(vectors_side_by_side) {
    int i = INDEX;
    ((int4 *)y)[i] = make_int4(i, i, i, i);
    z[i] = y[4 * i + 3];
}

//! grid=2 block=32
KERNEL(atomics_and_a_plain_read) {
    atomicAdd(&y[0], 1);  // PG501
    z[INDEX] = y[0];  // PG501
}
//! grid=2 block=32
KERNEL(atomics_and_what_they_return) {
    z[INDEX] = atomicAdd(&y[0], 1);
}
//! grid=2 block=32
KERNEL(atomics_and_a_volatile_read) {
    atomicAdd(&y[0], 1);
    z[INDEX] = *(volatile int *)&y[0];
}

//! grid=2 block=33
KERNEL(largest_by_comparing) {
    if (x[INDEX] > y[0]) y[0] = x[INDEX];  // PG501
}
//! grid=2 block=33
KERNEL(largest_by_compare_and_swap) {
    int value = x[INDEX], old = atomicAdd(&y[0], 0);
    while (value > old) {
        int assumed = old;
        old = atomicCAS(&y[0], assumed, value);
        if (old == assumed) break;
    }
}

//! grid=3 block=32
KERNEL(block_atomics_across_blocks) {
    atomicAdd_block(&y[0], x[INDEX]);  // PG501
}
//! grid=3 block=32
KERNEL(block_atomics_in_blocks) {
    atomicAdd_block(&y[blockIdx.x], x[INDEX]);
}
//! grid=3 block=32
KERNEL(system_atomics_across_blocks) {
    atomicAdd_system(&y[0], x[INDEX]);
}

//! grid=2 block=64
KERNEL(cleared_without_a_barrier) {
    if (threadIdx.x == 0) y[blockIdx.x] = 0;  // PG501
    atomicAdd(&y[blockIdx.x], x[INDEX]);  // PG501
}
//! grid=2 block=64
KERNEL(cleared_before_a_barrier) {
    if (threadIdx.x == 0) y[blockIdx.x] = 0;
    __syncthreads();
    atomicAdd(&y[blockIdx.x], x[INDEX]);
}

//! grid=2 block=64
KERNEL(exchange_without_a_barrier) {
    y[INDEX] = x[INDEX];  // PG501
    z[INDEX] = y[INDEX ^ 33];  // PG501
}
//! grid=2 block=64
KERNEL(exchange_with_a_barrier) {
    y[INDEX] = x[INDEX];
    __syncthreads();
    z[INDEX] = y[INDEX ^ 33];
}
//! grid=2 block=64
KERNEL(exchange_between_blocks) {
    y[INDEX] = x[INDEX];  // PG501
    __syncthreads();
    z[INDEX] = y[INDEX ^ 64];  // PG501
}

//! grid=1 block=48 n=5
KERNEL(jacobi_with_half_the_barriers) {
    int *from = x, *to = y, t = threadIdx.x;
    FOR (int step = 0; step < n; step++) {
        if (t > 0 && t < 47) to[t] = (from[t - 1] + from[t + 1]) / 2;  // PG501
        if (step & 1) __syncthreads();
        int *swap = from; from = to; to = swap;
    }
}
//! grid=1 block=48 n=5
KERNEL(jacobi_with_barriers) {
    int *from = x, *to = y, t = threadIdx.x;
    FOR (int step = 0; step < n; step++) {
        if (t > 0 && t < 47) to[t] = (from[t - 1] + from[t + 1]) / 2;
        __syncthreads();
        int *swap = from; from = to; to = swap;
    }
}

//! grid=2 block=32 args=x,y,rows
KERNEL(rows_of_a_table_collide) {
    int *row = ((int **)z)[INDEX % 2];
    row[INDEX / 4] = x[INDEX];  // PG501
}
//! grid=2 block=32 args=x,y,rows
KERNEL(rows_of_a_table) {
    int *row = ((int **)z)[INDEX % 2];
    row[INDEX / 2] = x[INDEX];
}

__device__ int counted, counters[8];

//! grid=2 block=32
KERNEL(variable_counts_plainly) {
    counted += x[INDEX];  // PG501
}
//! grid=2 block=32
KERNEL(variable_counts_atomically) {
    atomicAdd(&counters[x[INDEX] % 8], 1);
}

//! grid=2,2 block=8,8 n=16
KERNEL(transpose_all_pairs) {
    int i = blockIdx.x * 8 + threadIdx.x, j = blockIdx.y * 8 + threadIdx.y;
    int a = x[i * n + j], b = x[j * n + i];  // PG501
    x[i * n + j] = b;  // PG501
    x[j * n + i] = a;  // PG501
}
//! grid=2,2 block=8,8 n=16
KERNEL(transpose_half_the_pairs) {
    int i = blockIdx.x * 8 + threadIdx.x, j = blockIdx.y * 8 + threadIdx.y;
    if (i < j) {
        int a = x[i * n + j], b = x[j * n + i];
        x[i * n + j] = b;
        x[j * n + i] = a;
    }
}

//! grid=2,2,2 block=3,3,3
KERNEL(volume_without_one_axis) {
    int a = blockIdx.x * 3 + threadIdx.x, b = blockIdx.y * 3 + threadIdx.y;
    y[a + 6 * b] = blockIdx.z * 3 + threadIdx.z;  // PG501
}
//! grid=2,2,2 block=3,3,3
KERNEL(volume_with_all_axes) {
    int a = blockIdx.x * 3 + threadIdx.x, b = blockIdx.y * 3 + threadIdx.y;
    y[a + 6 * (b + 6 * (blockIdx.z * 3 + threadIdx.z))] = a;
}

//! grid=5 block=21 n=105
KERNEL(scatter_with_collisions) {
    y[INDEX * 7 % 100] = INDEX;  // PG501
}
//! grid=5 block=21 n=105
KERNEL(scatter_by_a_permutation) {
    y[INDEX * 11 % 105] = INDEX;
}

//! grid=2 block=40
KERNEL(compact_by_plain_count) {
    if (x[INDEX] % 3 == 0) {
        int place = z[0]++;  // PG501
        y[place % 100 + 100 * INDEX % 3] = x[INDEX];  // PG501
    }
}
//! grid=1 block=40
KERNEL(count_in_two_steps) {
    int place = z[0];  // PG501
    if (x[INDEX] % 3 == 0) z[0] = place + 1;  // PG501
}
//! grid=2 block=40
KERNEL(compact_by_atomic_count) {
    if (x[INDEX] % 3 == 0) y[atomicAdd(z, 1)] = x[INDEX];
}

//! grid=2 block=32
KERNEL(long_over_words) {
    int i = INDEX;
    ((long long *)y)[i] = i;  // PG501
    if (i == 3) y[9] = 0;  // PG501
}
//! grid=2 block=32
KERNEL(longs_and_their_own_words) {
    int i = INDEX;
    ((long long *)y)[i] = i;
    y[2 * i + 1] = 5;
}

//! grid=2 block=32 n=128
KERNEL(sort_overlapping_pairs) {
    int i = INDEX;
    int a = x[i], b = x[i + 1];  // PG501
    x[i] = min(a, b);  // PG501
    x[i + 1] = max(a, b);  // PG501
}
//! grid=2 block=32 n=128
KERNEL(sort_disjoint_pairs) {
    int i = 2 * INDEX;
    int a = x[i], b = x[i + 1];
    x[i] = min(a, b);
    x[i + 1] = max(a, b);
}

//! grid=1 block=2
KERNEL(two_threads_collide) {
    y[0] = threadIdx.x;  // PG501
}
//! grid=1 block=1
KERNEL(one_thread_alone) {
    y[0] = 1;
    y[0] += x[0];
}

//! grid=300 block=1
KERNEL(blocks_of_one_thread_collide) {
    y[blockIdx.x / 2] = x[blockIdx.x];  // PG501
}
//! grid=300 block=1
KERNEL(blocks_of_one_thread) {
    y[blockIdx.x] = x[blockIdx.x];
}
