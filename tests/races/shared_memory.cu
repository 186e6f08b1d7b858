// Races for shared memory and their right twins. race_programs.py tells how to read this.
#define KERNEL(name) extern "C" __global__ void name(int *x, int *y, int *z, int n)
#define INDEX (blockIdx.x * blockDim.x + threadIdx.x)
// loops stay loops: code that is unrolled takes long to compile
#define FOR _Pragma("unroll 1") for

//! grid=2 block=128
KERNEL(reduce_without_barriers) {
    __shared__ int s[128];
    int t = threadIdx.x;
    s[t] = x[INDEX];
    __syncthreads();
    FOR (int k = 64; k > 0; k /= 2)
        if (t < k) s[t] += s[t + k];  // PG502
    if (t == 0) y[blockIdx.x] = s[0];
}
//! grid=2 block=128
KERNEL(reduce_with_barriers) {
    __shared__ int s[128];
    int t = threadIdx.x;
    s[t] = x[INDEX];
    __syncthreads();
    FOR (int k = 64; k > 0; k /= 2) {
        if (t < k) s[t] += s[t + k];
        __syncthreads();
    }
    if (t == 0) y[blockIdx.x] = s[0];
}
//! grid=1 block=32
KERNEL(reduce_unrolled_without_barriers) {
    __shared__ int s[32];
    int t = threadIdx.x;
    s[t] = x[t];
    __syncthreads();
    for (int k = 16; k > 0; k /= 2)
        if (t < k) s[t] += s[t + k];  // PG502
    if (t == 0) y[0] = s[0];
}
//! grid=1 block=32
KERNEL(reduce_unrolled_with_barriers) {
    __shared__ int s[32];
    int t = threadIdx.x;
    s[t] = x[t];
    __syncthreads();
    for (int k = 16; k > 0; k /= 2) {
        if (t < k) s[t] += s[t + k];
        __syncthreads();
    }
    if (t == 0) y[0] = s[0];
}

//! grid=1 block=32
KERNEL(reduce_by_a_warp_in_lockstep) {
    __shared__ volatile int s[64];
    int t = threadIdx.x;
    s[t] = x[t];
    s[t + 32] = x[t + 32];
    __syncwarp();
    s[t] = s[t] + s[t + 16];  // PG502
    s[t] = s[t] + s[t + 8];  // PG502
    y[t] = s[t];
}
//! grid=1 block=32
KERNEL(reduce_by_a_warp) {
    __shared__ volatile int s[64];
    int t = threadIdx.x, v = x[t];
    s[t] = v;
    s[t + 32] = x[t + 32];
    __syncwarp();
    v += s[t + 16]; __syncwarp();
    s[t] = v; __syncwarp();
    v += s[t + 8]; __syncwarp();
    s[t] = v; __syncwarp();
    y[t] = s[t];
}

//! grid=2 block=70
KERNEL(reverse_without_a_barrier) {
    __shared__ int s[70];
    s[threadIdx.x] = x[INDEX];  // PG502
    y[INDEX] = s[69 - threadIdx.x];  // PG502
}
//! grid=2 block=70
KERNEL(reverse_with_a_barrier) {
    __shared__ int s[70];
    s[threadIdx.x] = x[INDEX];
    __syncthreads();
    y[INDEX] = s[69 - threadIdx.x];
}

//! grid=1 block=64 n=6
KERNEL(one_tile_in_turn) {
    __shared__ int s[64];
    int sum = 0, t = threadIdx.x;
    FOR (int k = 0; k < n; k++) {
        s[t] = x[64 * k + t];  // PG502
        __syncthreads();
        sum += s[63 - t];  // PG502
    }
    y[t] = sum;
}
//! grid=1 block=64 n=6
KERNEL(two_tiles_in_turn) {
    __shared__ int s[2][64];
    int sum = 0, t = threadIdx.x;
    FOR (int k = 0; k < n; k++) {
        s[k % 2][t] = x[64 * k + t];
        __syncthreads();
        sum += s[k % 2][63 - t];
    }
    y[t] = sum;
}

//! grid=2,2 block=8,8 n=16
KERNEL(multiply_one_barrier) {
    __shared__ int a[8][8], b[8][8];
    int row = blockIdx.y * 8 + threadIdx.y, column = blockIdx.x * 8 + threadIdx.x, sum = 0;
    FOR (int k = 0; k < n / 8; k++) {
        a[threadIdx.y][threadIdx.x] = x[row * n + k * 8 + threadIdx.x];  // PG502
        b[threadIdx.y][threadIdx.x] = x[(k * 8 + threadIdx.y) * n + column];  // PG502
        __syncthreads();
        FOR (int j = 0; j < 8; j++) sum += a[threadIdx.y][j] * b[j][threadIdx.x];  // PG502
    }
    y[row * n + column] = sum;
}
//! grid=2,2 block=8,8 n=16
KERNEL(multiply_two_barriers) {
    __shared__ int a[8][8], b[8][8];
    int row = blockIdx.y * 8 + threadIdx.y, column = blockIdx.x * 8 + threadIdx.x, sum = 0;
    FOR (int k = 0; k < n / 8; k++) {
        a[threadIdx.y][threadIdx.x] = x[row * n + k * 8 + threadIdx.x];
        b[threadIdx.y][threadIdx.x] = x[(k * 8 + threadIdx.y) * n + column];
        __syncthreads();
        FOR (int j = 0; j < 8; j++) sum += a[threadIdx.y][j] * b[j][threadIdx.x];
        __syncthreads();
    }
    y[row * n + column] = sum;
}

//! grid=1 block=64
KERNEL(scan_in_place) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[t] = x[t];
    __syncthreads();
    FOR (int d = 1; d < 64; d *= 2) {
        if (t >= d) s[t] += s[t - d];  // PG502
        __syncthreads();
    }
    y[t] = s[t];
}
//! grid=1 block=64
KERNEL(scan_read_then_write) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[t] = x[t];
    __syncthreads();
    FOR (int d = 1; d < 64; d *= 2) {
        int before = t >= d ? s[t - d] : 0;
        __syncthreads();
        s[t] += before;
        __syncthreads();
    }
    y[t] = s[t];
}
//! grid=1 block=64
KERNEL(scan_in_two_arrays) {
    __shared__ int s[2][64];
    int t = threadIdx.x, from = 0;
    s[0][t] = x[t];
    __syncthreads();
    FOR (int d = 1; d < 64; d *= 2) {
        s[1 - from][t] = s[from][t] + (t >= d ? s[from][t - d] : 0);
        from = 1 - from;
        __syncthreads();
    }
    y[t] = s[from][t];
}

//! grid=1 block=32
KERNEL(scan_of_a_tree_without_the_last_barrier) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[2 * t] = x[2 * t];
    s[2 * t + 1] = x[2 * t + 1];
    int d = 1;
    FOR (int k = 32; k > 0; k /= 2, d *= 2) {
        __syncthreads();
        if (t < k) s[d * (2 * t + 2) - 1] += s[d * (2 * t + 1) - 1];  // PG502
    }
    y[t] = s[2 * t + 1];  // PG502
}
//! grid=1 block=32
KERNEL(scan_of_a_tree) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[2 * t] = x[2 * t];
    s[2 * t + 1] = x[2 * t + 1];
    int d = 1;
    FOR (int k = 32; k > 0; k /= 2, d *= 2) {
        __syncthreads();
        if (t < k) s[d * (2 * t + 2) - 1] += s[d * (2 * t + 1) - 1];
    }
    __syncthreads();
    y[t] = s[2 * t + 1];
}

//! grid=2 block=64
KERNEL(bins_cleared_too_late) {
    __shared__ int bins[16];
    if (threadIdx.x < 16) bins[threadIdx.x] = 0;  // PG502
    atomicAdd(&bins[x[INDEX] % 16], 1);  // PG502
    __syncthreads();
    if (threadIdx.x < 16) atomicAdd(&y[threadIdx.x], bins[threadIdx.x]);
}
//! grid=2 block=64
KERNEL(bins_added_plainly) {
    __shared__ int bins[16];
    if (threadIdx.x < 16) bins[threadIdx.x] = 0;
    __syncthreads();
    bins[x[INDEX] % 16] += 1;  // PG502
    __syncthreads();
    if (threadIdx.x < 16) atomicAdd(&y[threadIdx.x], bins[threadIdx.x]);
}
//! grid=2 block=64
KERNEL(bins_read_too_early) {
    __shared__ int bins[16];
    if (threadIdx.x < 16) bins[threadIdx.x] = 0;
    __syncthreads();
    atomicAdd(&bins[x[INDEX] % 16], 1);  // PG502
    if (threadIdx.x < 16) atomicAdd(&y[threadIdx.x], bins[threadIdx.x]);  // PG502
}
//! grid=2 block=64
KERNEL(bins) {
    __shared__ int bins[16];
    if (threadIdx.x < 16) bins[threadIdx.x] = 0;
    __syncthreads();
    atomicAdd(&bins[x[INDEX] % 16], 1);
    __syncthreads();
    if (threadIdx.x < 16) atomicAdd(&y[threadIdx.x], bins[threadIdx.x]);
}

//! grid=1 block=50
KERNEL(shared_bytes_for_two) {
    __shared__ unsigned char s[50];
    s[threadIdx.x] = 0;
    __syncthreads();
    s[threadIdx.x / 2] = x[threadIdx.x];  // PG502
    __syncthreads();
    y[threadIdx.x] = s[threadIdx.x];
}
//! grid=1 block=50
KERNEL(shared_bytes) {
    __shared__ unsigned char s[50];
    s[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = s[49 - threadIdx.x];
}

//! grid=1 block=40
KERNEL(shared_halves_and_a_word) {
    __shared__ int s[20];
    ((short *)s)[threadIdx.x] = x[threadIdx.x];  // PG502
    if (threadIdx.x == 30) s[2] = 7;  // PG502
    __syncthreads();
    y[threadIdx.x] = ((short *)s)[threadIdx.x];
}
//! grid=1 block=40
KERNEL(shared_halves) {
    __shared__ int s[20];
    ((short *)s)[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = ((short *)s)[39 - threadIdx.x];
}

//! grid=2 block=32 shared=512
KERNEL(parts_of_dynamic_memory_overlap) {
    extern __shared__ int s[];
    int *a = s, *b = s + 31;
    a[threadIdx.x] = x[INDEX];  // PG502
    b[threadIdx.x] = 1;  // PG502
    __syncthreads();
    y[INDEX] = a[threadIdx.x] + b[threadIdx.x];
}
//! grid=2 block=32 shared=512
KERNEL(parts_of_dynamic_memory) {
    extern __shared__ int s[];
    int *a = s, *b = s + 32;
    a[threadIdx.x] = x[INDEX];
    b[threadIdx.x] = 1;
    __syncthreads();
    y[INDEX] = a[threadIdx.x] + b[31 - threadIdx.x];
}

//! grid=2,1 block=8,8 n=16
KERNEL(transpose_tile_without_a_barrier) {
    __shared__ int tile[8][9];
    int row = threadIdx.y, column = blockIdx.x * 8 + threadIdx.x;
    tile[threadIdx.y][threadIdx.x] = x[row * n + column];  // PG502
    y[(blockIdx.x * 8 + threadIdx.y) * n + threadIdx.x] = tile[threadIdx.x][threadIdx.y];  // PG502
}
//! grid=2,1 block=8,8 n=16
KERNEL(transpose_tile) {
    __shared__ int tile[8][9];
    int row = threadIdx.y, column = blockIdx.x * 8 + threadIdx.x;
    tile[threadIdx.y][threadIdx.x] = x[row * n + column];
    __syncthreads();
    y[(blockIdx.x * 8 + threadIdx.y) * n + threadIdx.x] = tile[threadIdx.x][threadIdx.y];
}

//! grid=3 block=30 n=90
KERNEL(halo_without_a_barrier) {
    __shared__ int s[32];
    int i = INDEX, t = threadIdx.x;
    s[t + 1] = x[i];  // PG502
    if (t == 0) s[0] = i ? x[i - 1] : 0;  // PG502
    if (t == 29) s[31] = i + 1 < n ? x[i + 1] : 0;  // PG502
    y[i] = s[t] + s[t + 1] + s[t + 2];  // PG502
}
//! grid=3 block=30 n=90
KERNEL(halo_with_a_barrier) {
    __shared__ int s[32];
    int i = INDEX, t = threadIdx.x;
    s[t + 1] = x[i];
    if (t == 0) s[0] = i ? x[i - 1] : 0;
    if (t == 29) s[31] = i + 1 < n ? x[i + 1] : 0;
    __syncthreads();
    y[i] = s[t] + s[t + 1] + s[t + 2];
}

//! grid=2 block=64 n=3
KERNEL(broadcast_written_again_too_early) {
    __shared__ int value;
    int sum = 0;
    FOR (int k = 0; k < n; k++) {
        if (threadIdx.x == 0) value = x[k];  // PG502
        __syncthreads();
        sum += value;  // PG502
    }
    y[INDEX] = sum;
}
//! grid=2 block=64 n=3
KERNEL(broadcast_with_two_barriers) {
    __shared__ int value;
    int sum = 0;
    FOR (int k = 0; k < n; k++) {
        if (threadIdx.x == 0) value = x[k];
        __syncthreads();
        sum += value;
        __syncthreads();
    }
    y[INDEX] = sum;
}

//! grid=1 block=64
KERNEL(found_by_the_same_value) {
    __shared__ int found;
    if (threadIdx.x == 0) found = 0;
    __syncthreads();
    if (x[threadIdx.x] % 2) found = 1;  // PG502
    __syncthreads();
    y[threadIdx.x] = found;
}
//! grid=1 block=64
KERNEL(found_by_different_values) {
    __shared__ int found;
    if (threadIdx.x == 0) found = 0;
    __syncthreads();
    if (x[threadIdx.x] % 2) found = threadIdx.x;  // PG502
    __syncthreads();
    y[threadIdx.x] = found;
}
//! grid=1 block=64
KERNEL(found_by_a_vote_of_the_block) {
    y[threadIdx.x] = __syncthreads_or(x[threadIdx.x] % 2);
}

//! grid=1 block=64
KERNEL(sort_with_a_barrier_a_stage) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[t] = x[t] * 37 % 64;
    __syncthreads();
    FOR (int k = 2; k <= 64; k *= 2) {
        FOR (int j = k / 2; j > 0; j /= 2) {
            int other = t ^ j, a = s[t], b = s[other];  // PG502
            if (other > t && (a > b) == ((t & k) == 0)) {
                s[t] = b;  // PG502
                s[other] = a;  // PG502
            }
        }
        __syncthreads();
    }
    y[t] = s[t];
}
//! grid=1 block=64
KERNEL(sort_with_a_barrier_a_step) {
    __shared__ int s[64];
    int t = threadIdx.x;
    s[t] = x[t] * 37 % 64;
    __syncthreads();
    FOR (int k = 2; k <= 64; k *= 2)
        FOR (int j = k / 2; j > 0; j /= 2) {
            int other = t ^ j;
            if (other > t) {
                int a = s[t], b = s[other];
                if ((a > b) == ((t & k) == 0)) {
                    s[t] = b;
                    s[other] = a;
                }
            }
            __syncthreads();
        }
    y[t] = s[t];
}

//! grid=2 block=64
KERNEL(queue_by_plain_count) {
    __shared__ int queue[64], count;
    if (threadIdx.x == 0) count = 0;
    queue[threadIdx.x] = 0;
    __syncthreads();
    if (x[INDEX] % 2) queue[count++ % 64] = INDEX;  // PG502
    __syncthreads();
    y[INDEX] = queue[threadIdx.x];
}
//! grid=2 block=64
KERNEL(queue_by_atomic_count) {
    __shared__ int queue[64], count;
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    if (x[INDEX] % 2) queue[atomicAdd(&count, 1)] = INDEX;
    __syncthreads();
    if (threadIdx.x < count) y[INDEX] = queue[threadIdx.x];
}

//! grid=1 block=64 n=40
KERNEL(either_memory_without_a_barrier) {
    __shared__ int s[64];
    int t = threadIdx.x;
    int *p = t < n ? s : y;
    p[t] = x[t];  // PG502
    z[t] = s[(t + 1) % n];  // PG502
}
//! grid=1 block=64 n=40
KERNEL(either_memory_with_a_barrier) {
    __shared__ int s[64];
    int t = threadIdx.x;
    int *p = t < n ? s : y;
    p[t] = x[t];
    __syncthreads();
    z[t] = s[(t + 1) % n];
}

//! grid=2 block=64 n=100
KERNEL(threads_leave_and_no_barrier) {
    __shared__ int s[64];
    if (INDEX >= n) return;
    s[threadIdx.x] = x[INDEX];  // PG502
    if (threadIdx.x > 0) y[INDEX] = s[threadIdx.x - 1];  // PG502
}
//! grid=2 block=64 n=100
KERNEL(threads_leave_before_a_barrier) {
    __shared__ int s[64];
    if (INDEX >= n) return;
    s[threadIdx.x] = x[INDEX];
    __syncthreads();
    if (threadIdx.x > 0) y[INDEX] = s[threadIdx.x - 1];
}

//! grid=1 block=32
KERNEL(vectors_in_shared_memory_and_a_word) {
    __shared__ int4 s[32];
    s[threadIdx.x] = make_int4(x[threadIdx.x], 1, 2, 3);  // PG502
    y[threadIdx.x] = ((int *)s)[4 * (31 - threadIdx.x) + 2];  // PG502
}
//! grid=1 block=32
KERNEL(vectors_in_shared_memory) {
    __shared__ int4 s[32];
    s[threadIdx.x] = make_int4(x[threadIdx.x], 1, 2, 3);
    y[threadIdx.x] = ((int *)s)[4 * threadIdx.x + 2];
}

//! grid=1 block=96
KERNEL(shared_largest_by_comparing) {
    __shared__ int largest;
    if (threadIdx.x == 0) largest = 0;
    __syncthreads();
    if (x[threadIdx.x] > largest) largest = x[threadIdx.x];  // PG502
    __syncthreads();
    y[threadIdx.x] = largest;
}
//! grid=1 block=96
KERNEL(shared_largest_by_an_atomic) {
    __shared__ int largest;
    if (threadIdx.x == 0) largest = 0;
    __syncthreads();
    atomicMax(&largest, x[threadIdx.x]);
    __syncthreads();
    y[threadIdx.x] = largest;
}

//! grid=1 block=33
KERNEL(partial_warp_without_a_barrier) {
    __shared__ int s[33];
    s[threadIdx.x] = x[threadIdx.x];  // PG502
    __syncwarp();
    y[threadIdx.x] = s[32 - threadIdx.x];  // PG502
}
//! grid=1 block=33
KERNEL(partial_warp_with_a_barrier) {
    __shared__ int s[33];
    s[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = s[32 - threadIdx.x];
}
