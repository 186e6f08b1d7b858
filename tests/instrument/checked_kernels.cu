// Kernels for the checked variant. A comment that names a line's uses stands where a report is expected.
#include <cuda_fp16.h>

#define INDEX (blockIdx.x * blockDim.x + threadIdx.x)

struct Padded { char c; int x; };
struct Fields { unsigned low : 5, high : 27; };

extern "C" {

// ---- what must be reported ----

__global__ void add(float *c, const float *a, const float *b)
{
    int i = INDEX;
    c[i] = a[i] + b[i];  // use: add
}

__global__ void branch(int *out, const int *a)
{
    int i = INDEX;
    if (a[i] > 0)  // use: branch
        atomicAdd(out, 1);
}

__global__ void look_up(float *out, const float *table, const int *index)
{
    int i = INDEX;
    out[i] = table[index[i] & 7];  // use: look_up
}

__global__ void histogram(int *bins, const unsigned char *data)
{
    atomicAdd(&bins[data[INDEX] & 7], 1);  // use: histogram
}

__global__ void total(int *sum, const int *a)
{
    atomicAdd(sum, a[INDEX]);  // use: total
}

__global__ void sum_up(float *out, const float *a, int n)
{
    float s = 0;
    for (int i = 0; i < n; i++)
        s += a[i];  // use: sum_up
    *out = s;
}

__global__ void largest(int *out, const int *a, int n)
{
    int m = a[0];  // use: largest
    for (int i = 1; i < n; i++)
        m = max(m, a[i]);
    *out = m;
}

__global__ void twice(int *out, const int *a)
{
    int i = INDEX;
    out[i] = a[i] * 2;  // use: twice
}

__global__ void choose(int *out, const float *a)
{
    int i = INDEX;
    out[i] = a[i] > 0 ? 3 : 5;  // use: choose
}

__global__ void repeat(int *out, const int *count)
{
    int s = 0;
    for (int k = 0; k < *count; k++)  // use: repeat
        s += out[k & 3];
    out[0] = s;
}

__global__ void brighten(unsigned char *image)
{
    int i = INDEX;
    image[i] = min(image[i] + 10, 255);  // use: brighten
}

__global__ void member(int *out, const Padded *a)
{
    int i = INDEX;
    out[i] = a[i].x + 1;  // use: member
}

__global__ void rows(float *out, float *const *table, float *row)
{
    int i = INDEX;
    out[i] = table[0][i] + 1;  // use: rows
}

__global__ void shuffled(float *out, const float *a)
{
    float v = a[threadIdx.x];  // use: shuffled
    for (int k = 16; k; k >>= 1)
        v += __shfl_down_sync(0xFFFFFFFF, v, k);
    if (threadIdx.x == 0)
        *out = v;
}

__global__ void shared_histogram(int *out, const int *data)
{
    __shared__ int bins[8];
    atomicAdd(&bins[data[threadIdx.x] & 7], 1);  // use: shared_histogram
    __syncthreads();
    if (threadIdx.x < 8)
        out[threadIdx.x] = bins[threadIdx.x];
}

__global__ void half_filled(float *out, const float *a)
{
    __shared__ float s[64];
    int t = threadIdx.x;
    if (t < 16)
        s[t] = a[t];
    __syncthreads();
    out[t] = s[t] * 2;  // use: half_filled
}

__global__ void half_filled_bytes(unsigned char *out, const unsigned char *a)
{
    extern __shared__ unsigned char bytes[];
    int t = threadIdx.x;
    if (t != 5)
        bytes[t] = a[t];
    __syncthreads();
    out[t] = bytes[t] + 1;  // use: half_filled_bytes
}

__global__ void tiled(float *out, const float *a)
{
    __shared__ float tile[32];
    int t = threadIdx.x;
    tile[t] = a[t];  // use: tiled
    __syncthreads();
    out[t] = tile[31 - t] + 1;
}

__global__ void pointed(float *out, const float *a, int which)
{
    __shared__ float s[32];
    float *p = which ? s : out;
    int t = threadIdx.x;
    if (t < 16)
        s[t] = a[t];
    __syncthreads();
    out[t] = p[t] + 1;  // use: pointed
}

// ---- what is right ----

__global__ void copy(float *b, const float *a)
{
    int i = INDEX;
    b[i] = a[i];
}

__global__ void copy_row(float *const *table, float *to, float *from)
{
    int i = INDEX;
    table[0][i] = table[1][i];
}

__global__ void copy_structs(Padded *b, const Padded *a, int *out)
{
    int i = INDEX;
    b[i] = a[i];
    out[i] = a[i].x + a[i].c;
}

__global__ void set_field(Fields *a)
{
    int i = INDEX;
    a[i].low = i;
}

__global__ void clear_field(Fields *a)
{
    int i = INDEX;
    a[i].high = 0;
}

__global__ void rotate_bytes(uchar4 *b, const uchar4 *a)
{
    int i = INDEX;
    uchar4 v = a[i];
    b[i] = make_uchar4(v.w, v.x, v.y, v.z);
}

__global__ void pack_bytes(unsigned *b, const unsigned char *a)
{
    int i = INDEX;
    b[i] = a[4 * i] | a[4 * i + 1] << 8 | a[4 * i + 2] << 16 | a[4 * i + 3] << 24;
}

__global__ void unpack_bytes(unsigned char *b, const unsigned *a)
{
    int i = INDEX;
    unsigned v = a[i];
    for (int k = 0; k < 4; k++)
        b[4 * i + k] = v >> 8 * k;
}

__global__ void shifted_copy(unsigned *b, const unsigned *a)
{
    int i = INDEX;
    b[i] = __funnelshift_r(a[i], a[i + 1], 8);
}

__global__ void two_of_four(float *out, const float4 *a)
{
    int i = INDEX;
    float4 v = a[i];
    out[i] = v.x * v.z;
}

__global__ void zero_beyond(float *out, const float *a, int n)
{
    int i = INDEX;
    float v = __ldg(a + i);
    if (i >= n)
        v = 0;
    out[i] = v + 1;
}

__global__ void unused(float *out, const float *a, int n)
{
    int i = INDEX;
    float v = sqrtf(__ldg(a + i)) * 2;
    if (i < n)
        out[i] = v;
}

__global__ void both_conditions(int *out, const float *a, int n)
{
    int i = INDEX;
    bool positive = __ldg(a + i) > 0, inside = i < n;
    if (inside & positive)
        atomicAdd(out, 1);
}

__global__ void low_byte(int *out, const unsigned *a)
{
    int i = INDEX;
    out[i] = (a[i] & 0xFF) + 1;
}

__global__ void high_byte(int *out, const unsigned *a)
{
    int i = INDEX;
    if (a[i] >= 0x01000000)
        out[i] = (a[i] >> 24) + 1;
}

__global__ void swap(float *a, float *b)
{
    int i = INDEX;
    float t = a[i];
    a[i] = b[i];
    b[i] = t;
}

__global__ void scale_if(float *b, const float *a, int scale)
{
    int i = INDEX;
    float v = a[i];
    for (int k = 0; k < scale; k++)
        v *= 1.5f;
    b[i] = v;
}

__global__ void write_first(float *a)
{
    int i = INDEX;
    a[i] = i;
    a[i] += 2;
    atomicAdd(&a[i], 1.0f);
}

__global__ void exchange(int *slot, int *out)
{
    int old = atomicExch(slot, 7);
    out[1] = old;
    out[0] = *slot + 1;
}

__global__ void tail_lanes(float *out, const float *a, int n)
{
    float v = threadIdx.x < n ? a[threadIdx.x] : 0;
    for (int k = 16; k; k >>= 1)
        v += __shfl_xor_sync(0xFFFFFFFF, v, k);
    out[threadIdx.x] = v;
}

__global__ void local_array(float *out, const float *a, int n)
{
    float held[8];
    for (int k = 0; k < n; k++)
        held[(k * 5) & 7] = a[k];
    out[0] = held[((n - 1) * 5) & 7] * 2;
}

__global__ void halo(float *out, const float *a, int n)
{
    __shared__ float tile[34];
    int t = threadIdx.x, i = INDEX;
    if (i < n)
        tile[t + 1] = a[i];
    if (t == 0 && i > 0)
        tile[0] = a[i - 1];
    if (t == 31 && i + 1 < n)
        tile[33] = a[i + 1];
    __syncthreads();
    if (i > 0 && i + 1 < n)
        out[i] = tile[t] + tile[t + 1] + tile[t + 2];
}

__global__ void reduce(float *out, const float *a, int n)
{
    extern __shared__ float partial[];
    int t = threadIdx.x;
    partial[t] = t < n ? a[t] : 0;
    __syncthreads();
    for (int k = blockDim.x / 2; k; k >>= 1) {
        if (t < k)
            partial[t] += partial[t + k];
        __syncthreads();
    }
    if (t == 0)
        *out = partial[0];
}

__global__ void reduce_in_warp(float *out, const float *a)
{
    __shared__ volatile float s[64];
    int t = threadIdx.x;
    s[t] = a[t];
    // the upper lanes add what nobody wrote, and nobody looks at their sums
    s[t] += s[t + 16]; s[t] += s[t + 8]; s[t] += s[t + 4]; s[t] += s[t + 2]; s[t] += s[t + 1];
    if (t == 0)
        *out = s[0];
}

__global__ void transpose(float *out, const float *a)
{
    __shared__ float tile[16][17];
    int x = threadIdx.x, y = threadIdx.y;
    tile[y][x] = a[16 * y + x];
    __syncthreads();
    out[16 * y + x] = tile[x][y] * 2;
}

__global__ void static_and_dynamic(float *out, const float *a)
{
    __shared__ short first[33];
    __shared__ double second[8];
    extern __shared__ int third[];
    int t = threadIdx.x;
    first[t] = a[t];
    if (t < 8)
        second[t] = a[t] + 0.5;
    third[31 - t] = a[t] * 3;
    __syncthreads();
    out[t] = first[31 - t] + second[t & 7] + third[t];
}

__global__ void bytes_in_words(unsigned *out, const unsigned char *a)
{
    __shared__ unsigned char s[128];
    for (int k = threadIdx.x; k < 128; k += blockDim.x)
        s[k] = a[k];
    __syncthreads();
    out[threadIdx.x] = ((unsigned *)s)[threadIdx.x] + 1;
}

__global__ void leave_early(float *out, const float *a, int n)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    if (t >= n)
        return;
    s[t] = a[t];
    __syncwarp(__activemask());
    out[t] = s[n - 1 - t] + 1;
}

__global__ void sizes(unsigned *out, int n)
{
    extern __shared__ volatile unsigned held[];
    unsigned dynamic, total;
    asm("mov.u32 %0, %%dynamic_smem_size;" : "=r"(dynamic));
    asm("mov.u32 %0, %%total_smem_size;" : "=r"(total));
    held[threadIdx.x] = n;
    out[0] = dynamic;
    out[1] = total;
    out[2] = held[threadIdx.x] + 1;
}

__global__ void stage(float *out, const float *a)
{
    __shared__ float s[32];
    int t = threadIdx.x;
    unsigned to = __cvta_generic_to_shared(&s[t]);
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" :: "r"(to), "l"(a + t));
    asm volatile("cp.async.wait_all;");
    __syncthreads();
    out[t] = s[31 - t] + 1;
}

__global__ void through_pointer(float *out, const float *a, int which)
{
    __shared__ float s[32];
    float *p = which ? s : out;
    int t = threadIdx.x;
    p[t] = a[t];
    __syncthreads();
    out[t] = s[t] + p[t];
}

__global__ void half_lanes(__half2 *out, const __half2 *a)
{
    int i = INDEX;
    __half2 v = __hadd2(a[i], a[i]);
    ((__half *)out)[i] = __low2half(v);
}

}
