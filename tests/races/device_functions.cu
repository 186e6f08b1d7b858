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
