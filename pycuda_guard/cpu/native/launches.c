/* Kernels that launch kernels: what CUDA's device runtime gives them for it.
 *
 * A launch is noted, and run when the kernel that made it has ended, in the order in which launches were made.
 * That is an order that streams and events of a kernel allow, whichever they are, so these are names only.
 * Parameters of a launch lie in device memory until then: the kernel itself stores them there. */
#define _GNU_SOURCE
#include "launches.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define AREA ((uint64_t)256 << 20) /* bytes of parameters that one launch's threads may ask for */
#define COMMITTED_AT_ONCE ((uint64_t)2 << 20)
#define MOST_PARAMETERS 32764
#define TAIL_STREAM 3 /* cudaStreamTailLaunch */

/* numbers of cudaError_t */
enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_CONFIGURATION = 9, PENDING = 69 };

#define ALIGNMENT 64 /* of parameters */

/* Before the parameters, in device memory: a kernel can destroy it, so nothing in it is trusted. */
struct head {
    uint64_t kernel;
    uint32_t grid[3], block[3];
    uint32_t shared;
    uint32_t nbytes;
    uint64_t reserved[3];
};
_Static_assert(sizeof(struct head) % ALIGNMENT == 0, "parameters follow at a multiple of their alignment");

struct thread_error {
    uint64_t block;
    uint32_t thread;
    uint32_t error;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t area, committed; /* launches run one at a time, and share it */

static struct pg_launches *launches_of(const struct pg_block *block)
{
    return ((struct pg_launch *)block->launch)->launches;
}

static uint64_t block_number(const struct pg_block *block)
{
    const uint32_t *at = block->block_index, *grid = block->grid;
    return at[0] + grid[0] * (at[1] + (uint64_t)grid[1] * at[2]);
}

/* The place of a thread's last error; null if it has none. With the lock. */
static struct thread_error *find_error(struct pg_launches *launches, uint64_t block, uint32_t thread)
{
    for (size_t i = 0; i < launches->error_count; i++)
        if (launches->errors[i].block == block && launches->errors[i].thread == thread)
            return &launches->errors[i];
    return NULL;
}

static int32_t fail(const struct pg_block *block, uint32_t thread, uint32_t error)
{
    struct pg_launches *launches = launches_of(block);
    pg_enter();
    pthread_mutex_lock(&lock);
    struct thread_error *found = find_error(launches, block_number(block), thread);
    if (!found) {
        size_t count = launches->error_count;
        struct thread_error *grown = realloc(launches->errors, (count + 1) * sizeof *grown);
        if (grown) {
            launches->errors = grown;
            launches->error_count = count + 1;
            found = &grown[count];
            *found = (struct thread_error){.block = block_number(block), .thread = thread};
        }
    }
    if (found)
        found->error = error;
    pthread_mutex_unlock(&lock);
    pg_leave();
    return (int32_t)error;
}

int32_t pg_device_error(const struct pg_block *block, uint32_t thread, int32_t reset)
{
    struct pg_launches *launches = launches_of(block);
    uint32_t error = SUCCESS;
    pg_enter();
    pthread_mutex_lock(&lock);
    struct thread_error *found = find_error(launches, block_number(block), thread);
    if (found) {
        error = found->error;
        if (reset)
            found->error = SUCCESS;
    }
    pthread_mutex_unlock(&lock);
    pg_leave();
    return (int32_t)error;
}

static int is_within(const uint32_t *extents, uint32_t x, uint32_t y, uint32_t z)
{
    return extents[0] && extents[0] <= x && extents[1] && extents[1] <= y && extents[2] && extents[2] <= z;
}

static int is_launchable(const struct head *head)
{
    const uint32_t *block = head->block;
    return is_within(head->grid, 0x7fffffff, 65535, 65535) && is_within(block, 1024, 1024, 64) &&
           (uint64_t)block[0] * block[1] * block[2] <= 1024;
}

/* Take bytes of the area, with memory behind them; 0 if there are none left. With the lock. */
static uint64_t take(struct pg_launches *launches, uint64_t nbytes)
{
    if (!area && !(area = pg_scratch(AREA)))
        return 0;
    uint64_t end = launches->used + nbytes;
    if (end > AREA)
        return 0;
    while (committed < end) {
        if (pg_commit(area + committed, COMMITTED_AT_ONCE))
            return 0;
        committed += COMMITTED_AT_ONCE;
    }
    uint64_t address = area + launches->used;
    launches->used = end;
    return address;
}

uint64_t pg_parameter_buffer(const struct pg_block *block, uint32_t thread, uint64_t kernel, const uint32_t *grid,
                             const uint32_t *threads, uint32_t shared, uint32_t nbytes)
{
    struct head head = {
        .kernel = kernel,
        .grid = {grid[0], grid[1], grid[2]},
        .block = {threads[0], threads[1], threads[2]},
        .shared = shared,
        .nbytes = nbytes,
    };
    struct pg_launches *launches = launches_of(block);
    if (!is_launchable(&head)) {
        fail(block, thread, INVALID_CONFIGURATION);
        return 0;
    }
    uint64_t size = (sizeof head + nbytes + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
    pg_enter();
    pthread_mutex_lock(&lock);
    uint64_t address = take(launches, size);
    pthread_mutex_unlock(&lock);
    pg_leave();
    if (!address) {
        fail(block, thread, PENDING);
        return 0;
    }
    memcpy(PG_HOST(address), &head, sizeof head);
    return address + sizeof head;
}

int32_t pg_launch_device(const struct pg_block *block, uint32_t thread, uint64_t buffer, uint64_t stream)
{
    struct pg_launches *launches = launches_of(block);
    uint64_t offset = buffer - sizeof(struct head) - area;
    if (!area || offset % ALIGNMENT || offset >= launches->used)
        return fail(block, thread, INVALID_VALUE);
    struct head head;
    memcpy(&head, PG_HOST(area + offset), sizeof head);
    if (head.nbytes > MOST_PARAMETERS || offset + sizeof head + head.nbytes > launches->used)
        return fail(block, thread, INVALID_VALUE);
    if (!is_launchable(&head))
        return fail(block, thread, INVALID_CONFIGURATION);
    pg_enter();
    pthread_mutex_lock(&lock);
    int is_one_too_many = launches->count == launches->most;
    launches->count += !is_one_too_many;
    pthread_mutex_unlock(&lock);
    struct pg_child *child = is_one_too_many ? NULL : malloc(sizeof *child + head.nbytes);
    if (child) {
        *child = (struct pg_child){
            .kernel = head.kernel,
            .nbytes = head.nbytes,
            .shared = head.shared,
            .is_tail = stream == TAIL_STREAM,
        };
        memcpy(child->grid, head.grid, sizeof head.grid);
        memcpy(child->block, head.block, sizeof head.block);
        memcpy(child->parameters, PG_HOST(buffer), head.nbytes);
        pthread_mutex_lock(&lock);
        *(launches->last ? &launches->last->next : &launches->first) = child;
        launches->last = child;
        pthread_mutex_unlock(&lock);
    }
    pg_leave();
    if (is_one_too_many)
        return fail(block, thread, PENDING);
    return child ? SUCCESS : fail(block, thread, OUT_OF_MEMORY);
}

void pg_free_children(struct pg_child *first)
{
    while (first) {
        struct pg_child *next = first->next;
        free(first);
        first = next;
    }
}
