// Threads together: warps, atomics, half precision, asynchronous copies, tensor cores, textures.
// nvcc --ptx -lineinfo -arch sm_90 warp.cu
#include <cuda_fp16.h>
#include <cuda_pipeline.h>
#include <mma.h>

extern "C" {

__global__ void warp_functions(int *x)
{
    int v = x[threadIdx.x], p;
    unsigned mask = __ballot_sync(~0u, v > 3);
    v += __shfl_down_sync(mask, v, 4);
    v += __match_any_sync(~0u, v);
    v += __match_all_sync(~0u, v, &p) + p;
    v += __reduce_add_sync(~0u, v);
    v += __any_sync(~0u, v) + __syncthreads_count(v) + __syncthreads_or(v);
    __syncwarp();
    x[threadIdx.x] = v + __activemask() + __funnelshift_l(v, 3, 5) + __byte_perm(v, mask, 0x1234) + __dp4a(v, v, v)
                     + __vabsdiffu4(v, mask);
    __threadfence();
}

__global__ void atomics(unsigned long long *u, double *d, int *i, unsigned short *h, __half *f)
{
    atomicCAS(u, 1, 2);
    atomicExch(i, 3);
    atomicMax(i, 4);
    atomicAdd(d, 1.0);
    atomicCAS(h, (unsigned short)1, (unsigned short)2);
    atomicAdd_system(i, 1);
    atomicAdd_block(i, i[1]);
    atomicAdd(f, __float2half(1.0f));
}

__global__ void halves(__half2 *a) { a[threadIdx.x] = __hfma2(a[threadIdx.x], a[threadIdx.x + 1], a[0]); }

__global__ void asynchronous_copy(float4 *out, const float4 *__restrict__ in)
{
    __shared__ float4 tile[64];
    __pipeline_memcpy_async(&tile[threadIdx.x], &in[threadIdx.x], sizeof(float4));
    __pipeline_commit();
    __pipeline_wait_prior(0);
    __syncthreads();
    out[threadIdx.x] = tile[63 - threadIdx.x];
}

__global__ void tensor_cores(const __half *a, const __half *b, float *c)
{
    using namespace nvcuda::wmma;
    fragment<matrix_a, 16, 16, 16, __half, row_major> fa;
    fragment<matrix_b, 16, 16, 16, __half, col_major> fb;
    fragment<accumulator, 16, 16, 16, float> fc;
    fill_fragment(fc, 0.0f);
    load_matrix_sync(fa, a, 16);
    load_matrix_sync(fb, b, 16);
    mma_sync(fc, fa, fb, fc);
    store_matrix_sync(c, fc, 16, mem_row_major);
}

__global__ void textures(cudaTextureObject_t t, cudaSurfaceObject_t s, float4 *out)
{
    out[0] = tex2D<float4>(t, 1.0f, 2.0f);
    out[1].x = tex1Dfetch<float>(t, 4);
    surf2Dwrite(3.0f, s, 4, 5);
    out[2] = tex3D<float4>(t, 1.0f, 2.0f, 3.0f);
}

__global__ void mathematics(double *a, float *b)
{
    int i = threadIdx.x;
    a[i] = sin(a[i]) + __dadd_rz(a[i], 1.0);
    b[i] = __expf(b[i]) + rsqrtf(b[i]) + __fmaf_rd(b[i], b[i], 1.0f) + __mul24(i, i) + __umulhi(i, 77u);
}

__global__ void wide(__int128 *a, const long long *b, signed char *c) { a[0] = a[1] + a[2]; c[0] = c[b[0]] >> 3; }

}
