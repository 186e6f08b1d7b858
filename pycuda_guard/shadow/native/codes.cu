typedef unsigned char u8; typedef unsigned int u32; typedef unsigned long long u64;
#define ENTRIES 1024
struct Answer { u32 finished, count; u64 never, first, last, entries[ENTRIES]; };

__device__ __forceinline__ void look(u32 code, u32 before, bool is_first, u64 index, Answer *scratch,
                                     u64 &never, u64 &first, u64 &last)
{
    if (is_first || code != before) {
        u32 place = atomicAdd(&scratch->count, 1u);
        if (place < ENTRIES) scratch->entries[place] = index << 8 | code;
    }
    if (code == 0) {
        never++;
        if (~index > first) first = ~index;
        if (index + 1 > last) last = index + 1;
    }
}

// rows of `width` codes, `pitch` apart; count = width * rows. index counts densely.
extern "C" __global__ void pg_scan(const u8 *codes, u64 count, u64 width, u64 pitch, Answer *scratch,
                                   volatile Answer *answer)
{
    __shared__ u64 s_never, s_first, s_last;
    __shared__ u32 s_is_last;
    if (threadIdx.x == 0) s_never = s_first = s_last = 0;
    __syncthreads();
    u64 never = 0, first = 0, last = 0;
    u64 thread = (u64)blockIdx.x * blockDim.x + threadIdx.x, threads = (u64)gridDim.x * blockDim.x;
    if (width == count) {
        u64 start = (u64)codes, end = start + count;
        u64 word = (start & ~15ull) + thread * 16;
        #pragma unroll 1
        for (; word < end; word += threads * 16) {
            uint4 four = *(const uint4 *)word;
            u32 before = word > start ? *(const u8 *)(word - 1) : 0;
            bool whole = word >= start && word + 16 <= end && word > start;
            u32 a = four.x ^ (four.x << 8 | before), b = four.y ^ (four.y << 8 | four.x >> 24);
            u32 c = four.z ^ (four.z << 8 | four.y >> 24), d = four.w ^ (four.w << 8 | four.z >> 24);
            if (whole && (a | b | c | d) == 0) {
                if (before == 0) {
                    u64 index = word - start;
                    never += 16;
                    if (~index > first) first = ~index;
                    if (index + 16 > last) last = index + 16;
                }
                continue;
            }
            u32 words[4] = {four.x, four.y, four.z, four.w};
            #pragma unroll 1
            for (int i = 0; i < 16; i++) {
                u32 code = (i < 8 ? (i < 4 ? words[0] : words[1]) : (i < 12 ? words[2] : words[3])) >> (i % 4 * 8) & 255;
                u64 here = word + i;
                if (here >= start && here < end)
                    look(code, before, here == start, here - start, scratch, never, first, last);
                before = code;
            }
        }
    } else {
        #pragma unroll 1
        for (u64 index = thread; index < count; index += threads) {
            u64 row = index / width, column = index % width;
            u32 code = codes[row * pitch + column];
            u32 before = index == 0 ? 0 : column ? codes[row * pitch + column - 1] : codes[(row - 1) * pitch + width - 1];
            look(code, before, index == 0, index, scratch, never, first, last);
        }
    }
    if (never) {
        atomicAdd(&s_never, never);
        atomicMax(&s_first, first);
        atomicMax(&s_last, last);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        if (s_never) {
            atomicAdd(&scratch->never, s_never);
            atomicMax(&scratch->first, s_first);
            atomicMax(&scratch->last, s_last);
        }
        __threadfence();
        s_is_last = atomicAdd(&scratch->finished, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (!s_is_last) return;
    __threadfence();
    volatile Answer *found = scratch;
    u32 entries = found->count;
    #pragma unroll 1
    for (u32 i = threadIdx.x; i < entries && i < ENTRIES; i += blockDim.x) answer->entries[i] = found->entries[i];
    __threadfence_system();
    __syncthreads();
    if (threadIdx.x == 0) {
        answer->count = entries;
        answer->never = found->never;
        answer->first = found->first;
        answer->last = found->last;
        found->finished = found->count = 0;
        found->never = found->first = found->last = 0;
        __threadfence_system();
        answer->finished = 1;
    }
}

// carry what is written along with a copy of `nbytes` bytes
extern "C" __global__ void pg_carry(u8 *to, u32 to_shift, u64 to_start, const u8 *from, u32 from_shift, u64 from_start,
                                    u64 nbytes)
{
    u64 unit = (to_start >> to_shift) + (u64)blockIdx.x * blockDim.x + threadIdx.x;
    u64 final = (to_start + nbytes - 1) >> to_shift;
    #pragma unroll 1
    for (; unit <= final; unit += (u64)gridDim.x * blockDim.x) {
        u64 low = unit << to_shift, high = (unit + 1) << to_shift;
        u32 written = 0;
        if (low < to_start) { written |= to[unit]; low = to_start; }
        if (high > to_start + nbytes) { written |= to[unit]; high = to_start + nbytes; }
        u64 source = (low - to_start + from_start) >> from_shift;
        u64 source_final = (high - 1 - to_start + from_start) >> from_shift;
        #pragma unroll 1
        for (; source <= source_final; source++) written |= from[source];
        to[unit] = written != 0;
    }
}

// the same codes for finer units
extern "C" __global__ void pg_expand(u8 *to, const u8 *from, u32 difference, u64 count)
{
    u64 unit = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    #pragma unroll 1
    for (; unit < count; unit += (u64)gridDim.x * blockDim.x) to[unit] = from[unit >> difference];
}

// epochs become "the host"
extern "C" __global__ void pg_sweep(u8 *codes, u64 count)
{
    u64 unit = (u64)blockIdx.x * blockDim.x + threadIdx.x;
    #pragma unroll 1
    for (; unit < count; unit += (u64)gridDim.x * blockDim.x) {
        u32 code = codes[unit];
        if (code >= 2 && code <= 253) codes[unit] = 1;
    }
}
