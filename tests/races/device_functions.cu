// Device functions that are called: racy kernels and their right twins. See race_programs.py.
#define KERNEL(name) extern "C" __global__ void name(int *x, int *y, int *z, int n)
#define INDEX (blockIdx.x * blockDim.x + threadIdx.x)
#define CALLED __device__ __noinline__

struct Step { int by, to[3]; };
CALLED int next_of(const int *a, int i) { return a[i + 1]; }
CALLED void put(int *a, int i, int value, Step step) { a[i + step.by] = value + step.to[i % 3]; }
CALLED void wait(int *s, int t, int value) {
    s[t] = value;
    __syncthreads();
}
CALLED int following(const int *a, int i);
CALLED int neighbour(int *s, int t);
CALLED int sum_of(const int *a, int i) { return next_of(a, i) + next_of(a, i + 1); }

//! grid=2 block=32
KERNEL(called_function_reads_what_is_written) {
    int i = INDEX;
    int v = following(x, i);
    x[i] = v;  // PG501
}
CALLED int following(const int *a, int i) { return a[i + 1]; }  // PG501
//! grid=2 block=32
KERNEL(called_function_reads_another) {
    int i = INDEX;
    Step step = {1, {1, 2, n}};
    put(y, i, sum_of(x, i), step);
}
//! grid=2 block=32
KERNEL(called_function_waits) {
    __shared__ int s[32];
    int t = threadIdx.x;
    wait(s, t, x[INDEX]);
    y[INDEX] = neighbour(s, t);
}
//! grid=2 block=32
KERNEL(called_function_does_not_wait) {
    __shared__ int s[32];
    int t = threadIdx.x;
    s[t] = x[INDEX];  // PG502
    y[INDEX] = neighbour(s, t);
}
CALLED int neighbour(int *s, int t) { return s[t ^ 1]; }  // PG502
__device__ int mirrored(const int *s, int t) { return s[31 - t]; }
__device__ void fold(int *s, int t, int half) {
    if (t < half)
        s[t] += s[t + half];
}
//! grid=2 block=32
KERNEL(inlined_function_reads_too_early) {
    __shared__ int s[32];
    int t = threadIdx.x;
    s[t] = x[INDEX];  // PG502
    y[INDEX] = mirrored(s, t);  // PG502
}
//! grid=2 block=32
KERNEL(inlined_function_reads_in_time) {
    __shared__ int s[32];
    int t = threadIdx.x;
    s[t] = x[INDEX];
    __syncthreads();
    y[INDEX] = mirrored(s, t);
}
__device__ void shift(int *s, int t);
__device__ void clear(int *s, int t) { s[t] = s[t + 32] = 0; }
//! grid=2 block=32
KERNEL(inlined_function_races_with_itself) {
    __shared__ int s[64];
    int t = threadIdx.x;
    clear(s, t);
    __syncthreads();
    shift(s, t);  // PG502
    __syncthreads();
    y[INDEX] = s[t];
}
__device__ void shift(int *s, int t) {
    s[t] = s[t + 1];  // PG502
}
//! grid=2 block=128
KERNEL(sums_carry_on_what_was_read_too_early) {
    __shared__ int s[128];
    int t = threadIdx.x;
    s[t] = x[INDEX];  // PG502
    fold(s, t, 64);  // PG502
    __syncthreads();
    fold(s, t, 32);
    __syncthreads();
    if (t == 0)
        for (int i = 0; i < 32; i++) y[blockIdx.x] += s[i];
}
