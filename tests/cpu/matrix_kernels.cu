// Products of matrices that a warp holds together. Each kernel is one warp.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

using namespace nvcuda::wmma;

template <int M, int N, int K, typename T, typename Sum, typename LayoutA, typename LayoutB>
__device__ void product(const T *a, const T *b, const Sum *c, Sum *d, int lda, int ldb, layout_t order, int ldc)
{
    using Stored = T;
    fragment<matrix_a, M, N, K, Stored, LayoutA> fa;
    fragment<matrix_b, M, N, K, Stored, LayoutB> fb;
    fragment<accumulator, M, N, K, Sum> fc;
    load_matrix_sync(fa, a, lda);
    load_matrix_sync(fb, b, ldb);
    load_matrix_sync(fc, c, ldc, order);
    mma_sync(fc, fa, fb, fc);
    for (int i = 0; i < fc.num_elements; i++)
        fc.x[i] = fc.x[i] + fc.x[i];
    store_matrix_sync(d, fc, ldc, order);
}

#define PRODUCT(name, M, N, K, T, Sum, LayoutA, LayoutB, lda, ldb, order, ldc)                                  \
    extern "C" __global__ void name(const T *a, const T *b, const Sum *c, Sum *d)                               \
    {                                                                                                           \
        product<M, N, K, T, Sum, LayoutA, LayoutB>(a, b, c, d, lda, ldb, order, ldc);                           \
    }

PRODUCT(square_f32, 16, 16, 16, half, float, row_major, col_major, 16, 16, mem_row_major, 16)
PRODUCT(square_f16, 16, 16, 16, half, half, row_major, row_major, 16, 16, mem_row_major, 16)
PRODUCT(columns, 16, 16, 16, half, float, col_major, row_major, 16, 16, mem_col_major, 16)
PRODUCT(tall, 32, 8, 16, half, float, row_major, col_major, 16, 16, mem_row_major, 8)
PRODUCT(wide, 8, 32, 16, half, half, col_major, col_major, 8, 16, mem_col_major, 8)
PRODUCT(bfloat, 16, 16, 16, __nv_bfloat16, float, row_major, col_major, 16, 16, mem_row_major, 16)
PRODUCT(bytes, 16, 16, 16, signed char, int, row_major, col_major, 16, 16, mem_row_major, 16)
PRODUCT(bytes_wide, 8, 32, 16, unsigned char, int, row_major, col_major, 16, 16, mem_row_major, 32)
PRODUCT(doubles, 8, 8, 4, double, double, row_major, col_major, 4, 4, mem_row_major, 8)

extern "C" __global__ void tf32(const float *a, const float *b, float *d)
{
    fragment<matrix_a, 16, 16, 8, precision::tf32, row_major> fa;
    fragment<matrix_b, 16, 16, 8, precision::tf32, col_major> fb;
    fragment<accumulator, 16, 16, 8, float> fc;
    fill_fragment(fc, 0.0f);
    load_matrix_sync(fa, a, 8);
    load_matrix_sync(fb, b, 8);
    for (int i = 0; i < fa.num_elements; i++)
        fa.x[i] = __float_to_tf32(fa.x[i]);
    mma_sync(fc, fa, fb, fc);
    store_matrix_sync(d, fc, 16, mem_row_major);
}

// 64 by 64 by 64 with blocks of four warps: tiles in shared memory, fragments in a loop
extern "C" __global__ void tiled(const half *a, const half *b, float *c)
{
    __shared__ half as[32][16], bs[16][32];
    int warp = threadIdx.x / 32, top = warp / 2 * 16, left = warp % 2 * 16;
    fragment<accumulator, 16, 16, 16, float> sum;
    fill_fragment(sum, 0.0f);
#pragma unroll 1
    for (int k = 0; k < 64; k += 16) {
        for (int i = threadIdx.x; i < 512; i += blockDim.x) {
            as[i / 16][i % 16] = a[(blockIdx.y * 32 + i / 16) * 64 + k + i % 16];
            bs[i / 32][i % 32] = b[(k + i / 32) * 64 + blockIdx.x * 32 + i % 32];
        }
        __syncthreads();
        fragment<matrix_a, 16, 16, 16, half, row_major> fa;
        fragment<matrix_b, 16, 16, 16, half, row_major> fb;
        load_matrix_sync(fa, &as[top][0], 16);
        load_matrix_sync(fb, &bs[0][left], 32);
        mma_sync(sum, fa, fb, sum);
        __syncthreads();
    }
    store_matrix_sync(c + (blockIdx.y * 32 + top) * 64 + blockIdx.x * 32 + left, sum, 64, mem_row_major);
}

// mma with the places of numbers as the ISA manual lists them, not by fragments
__device__ unsigned two(half low, half high)
{
    return __half_as_ushort(low) | __half_as_ushort(high) << 16;
}

extern "C" __global__ void mma_k16(const half *a, const half *b, const float *c, float *d)
{
    int group = threadIdx.x >> 2, t = threadIdx.x % 4;
    unsigned ra[4], rb[2];
    float x[4];
    for (int i = 0; i < 8; i += 2) {
        int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8, col = t * 2 + (i >= 4 ? 8 : 0);
        ra[i / 2] = two(a[row * 16 + col], a[row * 16 + col + 1]);
    }
    for (int i = 0; i < 4; i += 2) {
        int row = t * 2 + (i >= 2 ? 8 : 0);
        rb[i / 2] = two(b[row * 8 + group], b[(row + 1) * 8 + group]);
    }
    for (int i = 0; i < 4; i++)
        x[i] = c[(group + (i < 2 ? 0 : 8)) * 8 + t * 2 + (i & 1)];
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(x[0]), "+f"(x[1]), "+f"(x[2]), "+f"(x[3])
                 : "r"(ra[0]), "r"(ra[1]), "r"(ra[2]), "r"(ra[3]), "r"(rb[0]), "r"(rb[1]));
    for (int i = 0; i < 4; i++)
        d[(group + (i < 2 ? 0 : 8)) * 8 + t * 2 + (i & 1)] = x[i];
}

extern "C" __global__ void mma_k8(const half *a, const half *b, const half *c, half *d)
{
    int group = threadIdx.x >> 2, t = threadIdx.x % 4;
    unsigned ra[2], rb, rc[2];
    for (int i = 0; i < 2; i++) {
        int row = group + 8 * i;
        ra[i] = two(a[row * 8 + t * 2], a[row * 8 + t * 2 + 1]);
        rc[i] = two(c[row * 8 + t * 2], c[row * 8 + t * 2 + 1]);
    }
    rb = two(b[t * 2 * 8 + group], b[(t * 2 + 1) * 8 + group]);
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f16.f16.f16.f16 {%0,%1}, {%2,%3}, {%4}, {%0,%1};"
                 : "+r"(rc[0]), "+r"(rc[1])
                 : "r"(ra[0]), "r"(ra[1]), "r"(rb));
    for (int i = 0; i < 2; i++) {
        d[(group + 8 * i) * 8 + t * 2] = __ushort_as_half(rc[i] & 0xffff);
        d[(group + 8 * i) * 8 + t * 2 + 1] = __ushort_as_half(rc[i] >> 16);
    }
}

extern "C" __global__ void mma_bytes(const signed char *a, const signed char *b, int *d)
{
    int group = threadIdx.x >> 2, t = threadIdx.x % 4;
    unsigned ra[4] = {0}, rb[2] = {0};
    int x[4] = {0};
    for (int i = 0; i < 16; i++) {
        int row = i < 4 || (i >= 8 && i < 12) ? group : group + 8, col = t * 4 + (i & 3) + (i >= 8 ? 16 : 0);
        ra[i / 4] |= (unsigned)(unsigned char)a[row * 32 + col] << 8 * (i & 3);
    }
    for (int i = 0; i < 8; i++)
        rb[i / 4] |= (unsigned)(unsigned char)b[(t * 4 + (i & 3) + (i >= 4 ? 16 : 0)) * 8 + group] << 8 * (i & 3);
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+r"(x[0]), "+r"(x[1]), "+r"(x[2]), "+r"(x[3])
                 : "r"(ra[0]), "r"(ra[1]), "r"(ra[2]), "r"(ra[3]), "r"(rb[0]), "r"(rb[1]));
    for (int i = 0; i < 4; i++)
        d[(group + (i < 2 ? 0 : 8)) * 8 + t * 2 + (i & 1)] = x[i];
}

// lane l holds the numbers 2 * l and 2 * l + 1 of each matrix, in rows of 8
extern "C" __global__ void moved(const unsigned short *in, unsigned short *loaded, unsigned short *transposed,
                                 unsigned short *stored, unsigned short *turned)
{
    __shared__ __align__(16) unsigned short s[256], back[256];
    int lane = threadIdx.x;
    for (int i = lane; i < 256; i += 32)
        s[i] = in[i];
    __syncwarp();
    unsigned row = (unsigned)__cvta_generic_to_shared(&s[lane * 8]), x[4], y[2], z;
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3]) : "r"(row) : "memory");
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(y[0]), "=r"(y[1]) : "r"(row) : "memory");
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(z) : "r"(x[3]));
    row = (unsigned)__cvta_generic_to_shared(&back[lane * 8]);
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1,%2,%3,%4};"
                 :: "r"(row), "r"(x[0]), "r"(x[1]), "r"(x[2]), "r"(x[3]) : "memory");
    __syncwarp();
    for (int i = 0; i < 4; i++)
        ((unsigned *)loaded)[32 * i + lane] = x[i];
    for (int i = 0; i < 2; i++)
        ((unsigned *)transposed)[32 * i + lane] = y[i];
    ((unsigned *)turned)[lane] = z;
    for (int i = lane; i < 256; i += 32)
        stored[i] = back[i];
}
