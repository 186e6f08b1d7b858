// Kernels written by hand, each for one block. Their answers are computed anew in corpus.py.
#include <mma.h>

extern "C" {

__global__ void scan(const unsigned *given, unsigned *answer, void *own)
{
    __shared__ unsigned s[256];
    unsigned t = threadIdx.x;
    s[t] = given[t];
    __syncthreads();
    for (unsigned step = 1; step < 256; step *= 2) {
        unsigned more = t >= step ? s[t - step] : 0;
        __syncthreads();
        s[t] += more;
        __syncthreads();
    }
    answer[t] = s[t];
}

__global__ void bitonic(const unsigned *given, unsigned *answer, void *own)
{
    __shared__ unsigned s[256];
    unsigned t = threadIdx.x;
    s[t] = given[t];
    for (unsigned size = 2; size <= 256; size *= 2)
        for (unsigned step = size / 2; step; step /= 2) {
            __syncthreads();
            unsigned other = t ^ step;
            if (other > t && (s[t] > s[other]) == !(t & size)) {
                unsigned kept = s[t];
                s[t] = s[other];
                s[other] = kept;
            }
        }
    __syncthreads();
    answer[t] = s[t];
}

__global__ void histogram(const unsigned char *given, unsigned *answer, void *own)
{
    __shared__ unsigned s[256];
    unsigned t = threadIdx.x;
    s[t] = 0;
    __syncthreads();
    for (unsigned i = t; i < 1024; i += 256)
        atomicAdd(&s[given[i]], 1u);
    __syncthreads();
    answer[t] = s[t];
}

__global__ void reduction(const unsigned *given, unsigned *answer, void *own)
{
    __shared__ unsigned s[8];
    unsigned t = threadIdx.x, value = given[t];
    for (int step = 16; step; step /= 2)
        value += __shfl_down_sync(~0u, value, step);
    if (t % 32 == 0)
        s[t / 32] = value;
    __syncthreads();
    if (t < 32) {
        value = t < 8 ? s[t] : 0;
        for (int step = 4; step; step /= 2)
            value += __shfl_xor_sync(~0u, value, step);
        if (t < 8)
            s[t] = value;
    }
    __syncthreads();
    answer[t] = s[t % 8] ^ given[t];
}

__global__ void crc(const unsigned *given, unsigned *answer, void *own)
{
    unsigned t = threadIdx.x, value = ~0u;
    for (int byte = 0; byte < 4; byte++) {
        value ^= given[t] >> 8 * byte & 255;
        for (int bit = 0; bit < 8; bit++)
            value = value & 1 ? value >> 1 ^ 0xedb88320u : value >> 1;
    }
    answer[t] = ~value;
}

__global__ void collatz(const unsigned *given, unsigned *answer, void *own)
{
    unsigned long long n = given[threadIdx.x] % 100000 + 1;
    unsigned steps = 0;
    for (; n != 1; steps++)
        n = n % 2 ? 3 * n + 1 : n / 2;
    answer[threadIdx.x] = steps;
}

__device__ __noinline__ unsigned gcd(unsigned a, unsigned b)
{
    return b ? gcd(b, a % b) : a;
}

__global__ void recursion(const unsigned *given, unsigned *answer, void *own)
{
    unsigned t = threadIdx.x;
    answer[t] = gcd(given[t], given[t ^ 1]);
}

__device__ __noinline__ unsigned twice(unsigned x) { return 2 * x; }
__device__ __noinline__ unsigned square(unsigned x) { return x * x; }
__device__ __noinline__ unsigned flip(unsigned x) { return ~x; }

__global__ void pointers(const unsigned *given, unsigned *answer, void *own)
{
    unsigned (*const functions[3])(unsigned) = {twice, square, flip};
    unsigned t = threadIdx.x, value = given[t];
    for (int i = 0; i < 4; i++)
        value = functions[(value >> i) % 3](value);
    answer[t] = value;
}

__global__ void queens(const unsigned *given, unsigned *answer, void *own)
{
    // solutions of 6 queens that begin in the thread's column, by a stack in local memory
    unsigned columns[6], count = 0;
    int depth = 1;
    columns[0] = threadIdx.x % 6;
    columns[1] = 0;
    while (depth > 0) {
        if (depth == 6) {
            count++;
            depth--;
            columns[depth]++;
            continue;
        }
        bool placed = false;
        for (; columns[depth] < 6 && !placed;) {
            placed = true;
            for (int row = 0; row < depth; row++) {
                int apart = (int)columns[row] - (int)columns[depth];
                if (apart == 0 || abs(apart) == depth - row)
                    placed = false;
            }
            if (!placed)
                columns[depth]++;
        }
        if (placed) {
            depth++;
            if (depth < 6)
                columns[depth] = 0;
        } else {
            depth--;
            if (depth > 0)
                columns[depth]++;
        }
    }
    answer[threadIdx.x] = count;
}

__global__ void stencil(const float *given, float *answer, void *own)
{
    __shared__ float s[2][256];
    unsigned t = threadIdx.x;
    s[0][t] = given[t];
    __syncthreads();
    for (int round = 0; round < 8; round++) {
        const float *from = s[round % 2];
        float sides = __fadd_rn(from[(t + 255) % 256], from[(t + 1) % 256]);
        s[1 - round % 2][t] = __fmaf_rn(0.5f, from[t], __fmul_rn(0.25f, sides));
        __syncthreads();
    }
    answer[t] = s[0][t];
}

__global__ void fields(const unsigned *given, unsigned *answer, void *own)
{
    struct {
        unsigned low : 5;
        int middle : 13;
        unsigned high : 14;
    } parts;
    unsigned t = threadIdx.x;
    memcpy(&parts, &given[t], 4);
    parts.low += 3;
    parts.middle -= 7;
    parts.high ^= parts.low;
    unsigned bits;
    memcpy(&bits, &parts, 4);
    answer[t] = bits + (unsigned)parts.middle;
}

__global__ void bytes(const signed char *given, int *answer, void *own)
{
    using namespace nvcuda::wmma;
    __shared__ int s[256];
    if (threadIdx.x < 32) {
        fragment<matrix_a, 16, 16, 16, signed char, row_major> a;
        fragment<matrix_b, 16, 16, 16, signed char, col_major> b;
        fragment<accumulator, 16, 16, 16, int> c;
        fill_fragment(c, 5);
        load_matrix_sync(a, given, 16);
        load_matrix_sync(b, given + 256, 16);
        mma_sync(c, a, b, c);
        store_matrix_sync(s, c, 16, mem_row_major);
    }
    __syncthreads();
    answer[threadIdx.x] = s[threadIdx.x];
}
}
