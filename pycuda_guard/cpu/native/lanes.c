/* What generated code calls about the other lanes of a thread's warp, and the other threads of its block. */
#define _GNU_SOURCE
#include "block.h"

#include <time.h>

/* Lanes of a thread's warp that are in the mask and had not exited when the operation took place. */
static uint32_t members(const struct pg_block *block, uint32_t thread, uint32_t mask)
{
    return mask & ((const struct resident *)block)->present[thread / WARP];
}

static const uint64_t *given(const struct pg_block *block, uint32_t thread)
{
    return (const uint64_t *)block->snapshot + thread / WARP * WARP;
}

PG_EXPORT uint32_t pg_ballot(const struct pg_block *block, uint32_t thread, uint32_t mask)
{
    const uint64_t *values = given(block, thread);
    uint32_t result = 0;
    for (uint32_t left = members(block, thread, mask); left; left &= left - 1) {
        uint32_t lane = (uint32_t)__builtin_ctz(left);
        result |= (uint32_t)(values[lane] & 1) << lane;
    }
    return result;
}

PG_EXPORT uint32_t pg_match_any(const struct pg_block *block, uint32_t thread, uint32_t mask, uint64_t value)
{
    const uint64_t *values = given(block, thread);
    uint32_t result = 0;
    for (uint32_t left = members(block, thread, mask); left; left &= left - 1) {
        uint32_t lane = (uint32_t)__builtin_ctz(left);
        result |= (uint32_t)(values[lane] == value) << lane;
    }
    return result;
}

static uint32_t combine(uint32_t a, uint32_t b, int32_t operation)
{
    switch (operation) {
    case 0:
        return a + b;
    case 1:
        return a < b ? a : b;
    case 2:
        return a > b ? a : b;
    case 3:
        return (int32_t)a < (int32_t)b ? a : b;
    case 4:
        return (int32_t)a > (int32_t)b ? a : b;
    case 5:
        return a & b;
    case 6:
        return a | b;
    default:
        return a ^ b;
    }
}

/* `operation`: 0 sum, 1 and 2 unsigned minimum and maximum, 3 and 4 signed ones, 5 and, 6 or, 7 xor. */
PG_EXPORT uint32_t pg_redux(const struct pg_block *block, uint32_t thread, uint32_t mask, int32_t operation)
{
    const uint64_t *values = given(block, thread);
    uint32_t left = members(block, thread, mask);
    if (!left)
        return 0;
    uint32_t result = (uint32_t)values[__builtin_ctz(left)];
    for (left &= left - 1; left; left &= left - 1)
        result = combine(result, (uint32_t)values[__builtin_ctz(left)], operation);
    return result;
}

/* `operation`: 0 how many threads voted yes, 1 whether all did, 2 whether any did. */
PG_EXPORT uint32_t pg_barrier_vote(const struct pg_block *block, int32_t operation)
{
    const struct resident *r = (const struct resident *)block;
    if (operation == 0)
        return r->votes;
    return operation == 1 ? r->votes == r->voters : r->votes != 0;
}

/* Lanes that go on together with a thread from the lockstep point where it stood. */
PG_EXPORT uint32_t pg_active_mask(const struct pg_block *block, uint32_t thread)
{
    return ((const struct resident *)block)->present[thread / WARP];
}

/* Nanoseconds since the epoch, as %globaltimer gives them. */
PG_EXPORT uint64_t pg_globaltimer(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
