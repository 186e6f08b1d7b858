/* The memory of a block that is being run: shared and local memory in the device's window, and what its threads
 * leave behind between regions. */
#define _GNU_SOURCE
#include "block.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE ((uint64_t)4096)
#define LOCAL_WINDOW ((uint64_t)1 << 30) /* a block's local memory: all its threads' */

static _Atomic int resident_count;

static uint64_t whole_pages(uint64_t nbytes)
{
    return (nbytes + PAGE - 1) & ~(PAGE - 1);
}

/* Make exactly `nbytes` at a device address accessible, so that what lies beyond faults. */
static int fit(uint64_t address, uint64_t *committed, uint64_t nbytes)
{
    nbytes = whole_pages(nbytes);
    if (nbytes == *committed)
        return 0;
    char *memory = PG_HOST(address);
    int error = nbytes > *committed
                    ? mprotect(memory + *committed, nbytes - *committed, PROT_READ | PROT_WRITE)
                    : mprotect(memory + nbytes, *committed - nbytes, PROT_NONE);
    if (!error)
        *committed = nbytes;
    return error;
}

static uint64_t aligned(uint64_t nbytes)
{
    return (nbytes + 63) & ~(uint64_t)63;
}

struct resident *make_resident(void)
{
    if (atomic_fetch_add(&resident_count, 1) >= MOST_RESIDENT) {
        atomic_fetch_sub(&resident_count, 1);
        return NULL;
    }
    struct resident *resident = calloc(1, sizeof *resident);
    uint64_t window = resident ? pg_scratch(LOCAL_WINDOW + PG_SHARED_WINDOW) : 0;
    if (!window) {
        free(resident);
        atomic_fetch_sub(&resident_count, 1);
        return NULL;
    }
    resident->local_window = window;
    resident->block.shared = window + LOCAL_WINDOW;
    return resident;
}

/* Give a resident the memory and the fields that the launch's blocks need. 0, or nonzero without memory. */
int prepare_resident(struct resident *resident, struct pg_launch *launch)
{
    const struct pg_kernel *kernel = launch->kernel;
    struct pg_block *block = &resident->block;
    uint64_t threads = (uint64_t)launch->block[0] * launch->block[1] * launch->block[2];
    uint64_t stride = ((uint64_t)kernel->local_bytes + launch->stack_bytes + 15) & ~(uint64_t)15;
    uint64_t local = stride * threads;
    if (local > LOCAL_WINDOW)
        return 1;
    if (fit(block->shared, &resident->committed_static, kernel->static_shared)
        || fit(block->shared + PG_DYNAMIC_SHARED, &resident->committed_dynamic, launch->dynamic_shared)
        || fit(resident->local_window, &resident->committed_local, local))
        return 1;
    /* a stack that is used up ends where memory does, any other local memory begins there */
    block->local = resident->local_window + (launch->stack_bytes ? resident->committed_local - local : 0);
    uint64_t frame = aligned(kernel->frame_slots * threads * 8);
    uint64_t narrow = aligned(threads * 4);
    uint64_t needed = kernel->regions ? frame + 2 * EXCHANGE_BYTES + 2 * narrow : 0;
    if (resident->capacity < needed) {
        free(resident->memory);
        resident->memory = aligned_alloc(64, needed);
        resident->capacity = resident->memory ? needed : 0;
        if (!resident->memory)
            return 1;
    }
    uint64_t memory = (uint64_t)resident->memory;
    block->frame = memory;
    block->exchange = block->frame + frame;
    block->snapshot = block->exchange + EXCHANGE_BYTES;
    block->state = block->snapshot + EXCHANGE_BYTES;
    block->warp_mask = block->state + narrow;
    block->parameters = (uint64_t)launch->parameters;
    block->launch = (uint64_t)launch;
    memcpy(block->grid, launch->grid, sizeof block->grid);
    memcpy(block->block, launch->block, sizeof block->block);
    block->threads = (uint32_t)threads;
    block->dynamic_shared = launch->dynamic_shared;
    block->local_stride = (uint32_t)stride;
    resident->kernel = kernel;
    return 0;
}

int is_beyond_local(const struct resident *resident, uint64_t address)
{
    uint64_t offset = address - resident->local_window;
    return offset >= resident->committed_local && offset < LOCAL_WINDOW;
}
