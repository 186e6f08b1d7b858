// What the language itself brings: calls, tables, structs, initializers, inline assembly.
// nvcc --ptx -lineinfo -arch sm_90 language.cu
#include <cstdio>

struct Sample {
    int id;
    double value;
    float4 color;
    char tag[3];
};

__constant__ float coefficients[4] = {1.0f, 2.5f};
__device__ int table[2][3] = {{1, 2}, {3}};
__device__ int *places[3] = {&table[0][1], nullptr, table[1]};
__device__ const char *names[2] = {"alpha", "beta\n"};
__managed__ int managed_counter = 7;
extern __shared__ float dynamic[];
__shared__ short shared_by_two[5];

__device__ __noinline__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

__device__ __noinline__ void clear_shared() { shared_by_two[threadIdx.x % 5] = 0; }

typedef float (*Operation)(float, float);
__device__ __noinline__ float add(float a, float b) { return a + b; }
__device__ __noinline__ float multiply(float a, float b) { return a * b; }
__device__ Operation operations[2] = {add, multiply};

extern "C" {

__global__ void __launch_bounds__(256, 2) print_values(int n, float x) { printf("%d %f\n", n, x); }

__global__ void recursion(int *out, int n) { out[threadIdx.x] = fibonacci(n); }

__global__ void function_pointer(float *x, int which) { x[threadIdx.x] = operations[which](x[threadIdx.x], 2.0f); }

__global__ void jump_table(const int *in, int *out, int which)
{
    int r;
    switch (which) {
    case 0: r = in[1] * 3; break;
    case 1: r = in[2] ^ 5; break;
    case 2: r = __popc(in[4]); break;
    case 3: r = in[5] / 3; break;
    case 4: r = in[6] % 5; break;
    case 5: r = __clz(in[9]); break;
    case 6: r = __brev(in[0]); break;
    case 7: r = in[7] - in[8]; break;
    default: r = 0;
    }
    out[threadIdx.x] = r;
}

__global__ void by_value(Sample s, float4 v, char c, short h, Sample *out)
{
    out->id = s.id + c + h;
    out->value = s.value;
    out->color = v;
    out->tag[2] = s.tag[1];
}

__global__ void shared_memory(float *x)
{
    __shared__ double tile[33];
    dynamic[threadIdx.x] = x[threadIdx.x];
    tile[threadIdx.x] = 1;
    clear_shared();
    __syncthreads();
    x[threadIdx.x] = dynamic[255 - threadIdx.x] + tile[3] + coefficients[threadIdx.x & 3] + *places[0] + names[1][0]
                     + managed_counter + shared_by_two[1];
}

__global__ void inline_assembly(unsigned *x)
{
    unsigned r;
    asm volatile("{\n .reg .pred p;\n .reg .u32 t<3>;\n setp.ne.u32 p, %1, 0;\n mov.u32 t0, %1;\n"
                 " @p add.u32 t1, t0, 5;\n @!p mov.u32 t1, 1;\n @p bra DONE;\n mov.u32 t2, t1;\n"
                 "DONE:\n mov.u32 %0, t1;\n}"
                 : "=r"(r) : "r"(x[0]));
    x[1] = r;
    asm volatile("{\n .reg .pred p;\n .reg .u32 t<3>;\n setp.ne.u32 p, %1, 0;\n mov.u32 t0, %1;\n"
                 " @p add.u32 t1, t0, 5;\n @!p mov.u32 t1, 1;\n @p bra DONE;\n mov.u32 t2, t1;\n"
                 "DONE:\n mov.u32 %0, t1;\n}"
                 : "=r"(r) : "r"(x[3]));
    x[2] = r;
}

__global__ void local_array(int *x, int n)
{
    int a[32];
    for (int i = 0; i < 32; i++) a[i] = x[i];
    __syncthreads();
    x[threadIdx.x] = a[n];
}

__global__ void rows(float **rows, const int *lengths, float *out)
{
    float sum = 0;
    for (int k = 0; k < lengths[threadIdx.x]; k++) sum += rows[threadIdx.x][k];
    out[threadIdx.x] = sum;
}

}

template <typename T> __global__ void scale(T *x, int n)
{
    for (int i = threadIdx.x; i < n; i += blockDim.x) x[i] *= T(2);
}
template __global__ void scale<float>(float *, int);
template __global__ void scale<double>(double *, int);
