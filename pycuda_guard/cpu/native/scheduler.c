/* Runs the blocks of a launch on a pool of workers.
 *
 * A kernel without suspension points runs whole blocks in one call. Any other is cut into regions
 * (cpu/codegen/regions.py), and each thread of a block is "at" a region. While all threads are at the same one,
 * the block takes the fast path: one call runs the region for all of them. As soon as they part, the slow path
 * takes over, warp by warp, until they meet again. There it decides who may go on:
 *
 *   warp operation   when all lanes of the thread's mask that have not exited have come to one
 *   barrier          when all threads of the block that have not exited have come to it (any bar.sync 0, wherever
 *                    it stands), or as many as a named barrier asks for
 *   lockstep         the hindmost lanes of the warp, when nobody else in it can run
 *   yield, spin      at once, but others first
 *
 * A block whose threads do nothing but spin is put aside, with all its memory, and the worker begins or goes on
 * with another: so blocks may wait for each other, as long as there is room for all of those that wait. */
#define _GNU_SOURCE
#include "runtime.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define WARP 32
#define MOST_THREADS 1024
#define MOST_WARPS (MOST_THREADS / WARP)
#define BARRIERS 16
#define PAGE ((uint64_t)4096)
#define LOCAL_WINDOW ((uint64_t)1 << 30) /* a block's local memory: all its threads' */
#define MOST_WORKERS 64
#define MOST_RESIDENT 128 /* blocks, of all workers together */
#define STACK_BYTES ((size_t)64 << 20)
/* below this many threads, waking other workers costs more than it saves */
#define WORTH_SHARING 4096
/* how often a warp goes round loops before the next warp has its turn, and a block before the next block */
#define YIELD_TURNS 64
#define SPIN_TURNS 4
#define SPIN_ROUNDS 64

enum outcome { FINISHED, PARTED, MET, SPINNING };

/* One block that has begun, with its memory. */
struct resident {
    struct pg_block block; /* first, so that generated code's pointer leads here */
    const struct pg_kernel *kernel;
    uint64_t committed_static, committed_dynamic, committed_local; /* bytes */
    char *memory; /* frame, exchange, snapshot, state, warp_mask */
    size_t capacity;
    uint32_t ready[MOST_WARPS];   /* lanes that may run */
    uint32_t present[MOST_WARPS]; /* at the warp's last release: lanes that had not exited; of lockstep points,
                                   * the lanes released */
    uint32_t arrivals[BARRIERS];  /* bar.arrive since the barrier was last released */
    uint32_t votes, voters;       /* at the last vote barrier */
    int32_t at;                   /* region of all threads; PG_MIXED on the slow path */
};

struct worker {
    struct resident *resident[MOST_RESIDENT];
    int count; /* of resident that exist; the first `active` have begun and not finished */
    int active;
    int64_t next, end; /* blocks taken but not begun */
};

static struct {
    pthread_mutex_t launching; /* one launch at a time */
    pthread_mutex_t lock;      /* of what follows */
    pthread_cond_t begins, ends;
    unsigned long generation;
    int workers; /* threads that exist besides the launching one */
    int wanted;  /* of them take part in the running launch */
    int busy;
} pool = {
    .launching = PTHREAD_MUTEX_INITIALIZER,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .begins = PTHREAD_COND_INITIALIZER,
    .ends = PTHREAD_COND_INITIALIZER,
};

/* The running launch, as the workers see it. */
static struct {
    struct pg_launch *launch;
    int64_t blocks, chunk;
    _Atomic int64_t next;
    _Atomic int failed;
    struct pg_fault *fault;
} job;

static _Atomic int resident_count;
static struct worker workers[MOST_WORKERS];

/* -- memory of a block ----------------------------------------------------------------------------------- */

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

static struct resident *make_resident(void)
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
    resident->block.local = window;
    resident->block.shared = window + LOCAL_WINDOW;
    return resident;
}

/* Give a resident the memory and the fields that the launch's blocks need. 0, or nonzero without memory. */
static int prepare(struct resident *resident, struct pg_launch *launch)
{
    const struct pg_kernel *kernel = launch->kernel;
    struct pg_block *block = &resident->block;
    uint64_t threads = (uint64_t)launch->block[0] * launch->block[1] * launch->block[2];
    uint64_t stride = (kernel->local_bytes + 15) & ~15u;
    if (stride * threads > LOCAL_WINDOW)
        return 1;
    if (fit(block->shared, &resident->committed_static, kernel->static_shared)
        || fit(block->shared + PG_DYNAMIC_SHARED, &resident->committed_dynamic, launch->dynamic_shared)
        || fit(block->local, &resident->committed_local, stride * threads))
        return 1;
    uint64_t frame = aligned(kernel->frame_slots * threads * 8);
    uint64_t wide = aligned(threads * 8), narrow = aligned(threads * 4);
    uint64_t needed = kernel->regions ? frame + 2 * wide + 2 * narrow : 0;
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
    block->snapshot = block->exchange + wide;
    block->state = block->snapshot + wide;
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

/* -- releasing threads ----------------------------------------------------------------------------------- */

static int32_t *states(struct resident *r)
{
    return (int32_t *)r->block.state;
}

static uint32_t *masks(struct resident *r)
{
    return (uint32_t *)r->block.warp_mask;
}

/* What thread i waits for; PG_NONE for one that has exited. */
static enum pg_suspension kind_of(struct resident *r, uint32_t i)
{
    int32_t state = states(r)[i];
    return state < 0 ? PG_NONE : r->kernel->suspension[state];
}

static uint32_t lanes_of(struct resident *r, uint32_t warp)
{
    uint32_t count = r->block.threads - warp * WARP;
    return count >= WARP ? ~0u : (1u << count) - 1;
}

static uint32_t alive_in(struct resident *r, uint32_t warp)
{
    uint32_t alive = 0;
    uint32_t lanes = lanes_of(r, warp);
    for (uint32_t lane = 0; lane < WARP && lanes >> lane & 1; lane++)
        alive |= (uint32_t)(states(r)[warp * WARP + lane] >= 0) << lane;
    return alive;
}

/* Lanes of a warp that wait for something of this kind. */
static uint32_t waiting_for(struct resident *r, uint32_t warp, enum pg_suspension kind)
{
    uint32_t found = 0;
    uint32_t lanes = lanes_of(r, warp) & ~r->ready[warp];
    for (uint32_t lane = 0; lane < WARP; lane++)
        if (lanes >> lane & 1 && kind_of(r, warp * WARP + lane) == kind)
            found |= 1u << lane;
    return found;
}

static void publish(struct resident *r, uint32_t thread)
{
    ((uint64_t *)r->block.snapshot)[thread] = ((uint64_t *)r->block.exchange)[thread];
}

static uint32_t release_warp_operations(struct resident *r, uint32_t warp)
{
    uint32_t waiting = waiting_for(r, warp, PG_WARP);
    if (!waiting)
        return 0;
    uint32_t alive = alive_in(r, warp);
    uint32_t released = 0;
    for (uint32_t lane = 0; lane < WARP; lane++)
        if (waiting >> lane & 1 && !(masks(r)[warp * WARP + lane] & alive & ~waiting))
            released |= 1u << lane;
    for (uint32_t lane = 0; lane < WARP; lane++)
        if (released >> lane & 1)
            publish(r, warp * WARP + lane);
    r->ready[warp] |= released;
    r->present[warp] = alive;
    return released;
}

/* The hindmost lanes at lockstep points: those with the lowest region. */
static uint32_t release_lockstep(struct resident *r, uint32_t warp)
{
    uint32_t waiting = waiting_for(r, warp, PG_LOCKSTEP);
    int32_t lowest = INT32_MAX;
    uint32_t released = 0;
    for (uint32_t lane = 0; lane < WARP; lane++) {
        if (!(waiting >> lane & 1))
            continue;
        int32_t state = states(r)[warp * WARP + lane];
        if (state < lowest) {
            lowest = state;
            released = 0;
        }
        if (state == lowest)
            released |= 1u << lane;
    }
    r->ready[warp] |= released;
    if (released)
        r->present[warp] = released;
    return released;
}

/* For how many threads a thread counts at a barrier for a number of threads, which is one of whole warps: the
 * block's last thread stands for the lanes that its warp lacks. */
static uint32_t weight(struct resident *r, uint32_t thread)
{
    int is_last = thread + 1 == r->block.threads && masks(r)[thread] >= BARRIERS;
    return is_last ? 1 + (WARP - r->block.threads % WARP) % WARP : 1;
}

static void count_arrivals(struct resident *r, uint32_t warp)
{
    uint32_t arriving = waiting_for(r, warp, PG_ARRIVAL);
    for (uint32_t lane = 0; lane < WARP; lane++)
        if (arriving >> lane & 1)
            r->arrivals[masks(r)[warp * WARP + lane] % BARRIERS] += weight(r, warp * WARP + lane);
    r->ready[warp] |= arriving;
}

/* Run the lanes of a warp that may run, those at the same region together; whether there were any. */
static int run_ready(struct resident *r, uint32_t warp)
{
    uint32_t ready = r->ready[warp];
    if (!ready)
        return 0;
    r->ready[warp] = 0;
    uint32_t low = warp * WARP;
    for (uint32_t lane = 0; lane < WARP;) {
        int32_t state = ready >> lane & 1 ? states(r)[low + lane] : PG_EXITED;
        if (state < 0) {
            lane++;
            continue;
        }
        uint32_t last = lane + 1;
        while (last < WARP && ready >> last & 1 && states(r)[low + last] == state)
            last++;
        r->kernel->range[state](&r->block, (int32_t)(low + lane), (int32_t)(low + last));
        lane = last;
    }
    return 1;
}

/* Run a warp until its lanes are all at barriers or have had their turns in loops. */
static int run_warp(struct resident *r, uint32_t warp)
{
    int progress = 0;
    int yields = YIELD_TURNS, spins = SPIN_TURNS;
    for (;;) {
        progress |= run_ready(r, warp);
        count_arrivals(r, warp);
        if (r->ready[warp] || release_warp_operations(r, warp))
            continue;
        uint32_t yielding = yields > 0 ? waiting_for(r, warp, PG_YIELD) : 0;
        uint32_t spinning = spins > 0 ? waiting_for(r, warp, PG_SPIN) : 0;
        yields -= yielding != 0;
        spins -= spinning != 0;
        r->ready[warp] |= yielding | spinning;
        if (!r->ready[warp] && !release_lockstep(r, warp))
            return progress;
    }
}

/* -- barriers -------------------------------------------------------------------------------------------- */

struct census {
    uint32_t alive;
    uint32_t at_barrier[BARRIERS]; /* threads waiting there */
    uint32_t needed[BARRIERS];     /* threads it is for; 0: the whole block */
    uint32_t warp_operation, looping, spinning;
    int32_t common; /* region of all that are alive, or PG_MIXED */
};

static void take_census(struct resident *r, struct census *census)
{
    memset(census, 0, sizeof *census);
    census->common = PG_EXITED;
    for (uint32_t i = 0; i < r->block.threads; i++) {
        int32_t state = states(r)[i];
        if (state < 0)
            continue;
        census->alive++;
        if (census->common == PG_EXITED)
            census->common = state;
        else if (census->common != state)
            census->common = PG_MIXED;
        switch (r->kernel->suspension[state]) {
        case PG_BARRIER:
        case PG_VOTE_BARRIER:
            census->at_barrier[0]++;
            break;
        case PG_NAMED_BARRIER: {
            uint32_t barrier = masks(r)[i] % BARRIERS;
            census->at_barrier[barrier] += weight(r, i);
            census->needed[barrier] = masks(r)[i] / BARRIERS;
            break;
        }
        case PG_WARP:
            census->warp_operation++;
            break;
        case PG_SPIN:
            census->spinning++;
            census->looping++;
            break;
        default:
            census->looping++;
        }
    }
}

static int is_at_barrier(struct resident *r, uint32_t thread, uint32_t barrier)
{
    switch (kind_of(r, thread)) {
    case PG_BARRIER:
    case PG_VOTE_BARRIER:
        return barrier == 0;
    case PG_NAMED_BARRIER:
        return masks(r)[thread] % BARRIERS == barrier;
    default:
        return 0;
    }
}

/* Let the threads at a barrier go on, and count the votes of those that vote. */
static void release_barrier(struct resident *r, uint32_t barrier)
{
    r->arrivals[barrier] = 0;
    uint32_t votes = 0, voters = 0;
    for (uint32_t i = 0; i < r->block.threads; i++) {
        if (!is_at_barrier(r, i, barrier))
            continue;
        if (kind_of(r, i) == PG_VOTE_BARRIER) {
            votes += ((uint64_t *)r->block.exchange)[i] & 1;
            voters++;
        }
        r->ready[i / WARP] |= 1u << i % WARP;
    }
    if (voters) {
        r->votes = votes;
        r->voters = voters;
    }
}

static int release_barriers(struct resident *r, const struct census *census)
{
    int released = 0;
    for (uint32_t barrier = 0; barrier < BARRIERS; barrier++) {
        uint32_t waiting = census->at_barrier[barrier];
        uint32_t needed = census->needed[barrier] ? census->needed[barrier] : census->alive;
        if (waiting && waiting + r->arrivals[barrier] >= needed) {
            release_barrier(r, barrier);
            released = 1;
        }
    }
    return released;
}

/* -- a block --------------------------------------------------------------------------------------------- */

static void set_all_present(struct resident *r)
{
    for (uint32_t warp = 0; warp * WARP < r->block.threads; warp++)
        r->present[warp] = lanes_of(r, warp);
}

static void begin(struct resident *r, int64_t number)
{
    struct pg_block *block = &r->block;
    block->block_index[0] = (uint32_t)(number % block->grid[0]);
    block->block_index[1] = (uint32_t)(number / block->grid[0] % block->grid[1]);
    block->block_index[2] = (uint32_t)(number / block->grid[0] / block->grid[1]);
    memset(r->arrivals, 0, sizeof r->arrivals);
    set_all_present(r);
    memset(r->ready, 0, sizeof r->ready);
    r->at = 0;
}

static void count_all_votes(struct resident *r)
{
    const uint64_t *given = (const uint64_t *)r->block.exchange;
    uint32_t votes = 0;
    for (uint32_t i = 0; i < r->block.threads; i++)
        votes += given[i] & 1;
    r->votes = votes;
    r->voters = r->block.threads;
}

/* All threads are at one region: run it for all, as long as that stays so. */
static enum outcome run_together(struct resident *r)
{
    int spins = SPIN_ROUNDS;
    uint32_t threads = r->block.threads;
    while (!atomic_load_explicit(&job.failed, memory_order_relaxed)) {
        int32_t next = r->kernel->full[r->at](&r->block);
        if (next == PG_EXITED)
            return FINISHED;
        r->at = next;
        if (next == PG_MIXED)
            return PARTED;
        switch (r->kernel->suspension[next]) {
        case PG_WARP:
            memcpy((void *)r->block.snapshot, (void *)r->block.exchange, 8 * (size_t)threads);
            break;
        case PG_VOTE_BARRIER:
            count_all_votes(r);
            break;
        case PG_NAMED_BARRIER:
        case PG_ARRIVAL:
            /* the threads may mean different barriers */
            for (uint32_t i = 0; i < threads; i++)
                states(r)[i] = next;
            r->at = PG_MIXED;
            return PARTED;
        case PG_SPIN:
            if (!--spins)
                return SPINNING;
            break;
        default:
            break;
        }
    }
    return FINISHED;
}

static void describe_deadlock(struct resident *r, const struct census *census)
{
    struct pg_fault fault = {.kind = PG_DEADLOCK};
    uint32_t at_barriers = 0;
    for (uint32_t barrier = 0; barrier < BARRIERS; barrier++)
        at_barriers += census->at_barrier[barrier];
    snprintf(fault.message, sizeof fault.message,
             "no thread of block (%u,%u,%u) can go on: %u wait at a barrier, %u at a warp operation, %u have exited",
             r->block.block_index[0], r->block.block_index[1], r->block.block_index[2], at_barriers,
             census->warp_operation, r->block.threads - census->alive);
    pg_raise(&fault);
}

/* Whether all threads of the block are at one region at which none need wait any longer. */
static int have_met(struct resident *r, const struct census *census, int released)
{
    if (census->alive != r->block.threads || census->common < 0)
        return 0;
    enum pg_suspension kind = r->kernel->suspension[census->common];
    return kind != PG_NAMED_BARRIER && (released || census->looping);
}

/* Threads are at different regions: run them warp by warp until they meet, are done, or only spin. */
static enum outcome run_apart(struct resident *r)
{
    int rounds = SPIN_ROUNDS;
    uint32_t warps = (r->block.threads + WARP - 1) / WARP;
    while (!atomic_load_explicit(&job.failed, memory_order_relaxed)) {
        int progress = 0;
        for (uint32_t warp = 0; warp < warps; warp++)
            progress |= run_warp(r, warp);
        struct census census;
        take_census(r, &census);
        if (!census.alive)
            return FINISHED;
        int released = release_barriers(r, &census);
        if (have_met(r, &census, released)) {
            memset(r->ready, 0, sizeof r->ready);
            set_all_present(r);
            r->at = census.common;
            return MET;
        }
        if (!released && !progress)
            describe_deadlock(r, &census);
        if (released || census.spinning < census.looping)
            rounds = SPIN_ROUNDS;
        else if (census.spinning && !--rounds)
            return SPINNING;
    }
    return FINISHED;
}

static enum outcome run_block(struct resident *r)
{
    for (int rounds = SPIN_ROUNDS; rounds;) {
        int was_spinning = r->at >= 0 && r->kernel->suspension[r->at] == PG_SPIN;
        enum outcome outcome = r->at == PG_MIXED ? run_apart(r) : run_together(r);
        if (outcome == FINISHED || outcome == SPINNING)
            return outcome;
        rounds = was_spinning ? rounds - 1 : SPIN_ROUNDS;
    }
    return SPINNING;
}

/* -- workers --------------------------------------------------------------------------------------------- */

/* Take blocks that nobody has begun yet; whether there were any. */
static int take_blocks(struct worker *worker)
{
    if (worker->next < worker->end)
        return 1;
    int64_t first = atomic_fetch_add_explicit(&job.next, job.chunk, memory_order_relaxed);
    worker->next = first;
    worker->end = first + job.chunk < job.blocks ? first + job.chunk : job.blocks;
    return first < job.blocks;
}

/* Return memory for one more block, or null if there is none left. */
static struct resident *another_resident(struct worker *worker)
{
    if (worker->active == worker->count) {
        struct resident *made = worker->count < MOST_RESIDENT ? make_resident() : NULL;
        if (!made)
            return NULL;
        worker->resident[worker->count++] = made;
    }
    struct resident *resident = worker->resident[worker->active];
    return prepare(resident, job.launch) ? NULL : resident;
}

static void raise_no_memory(void)
{
    struct pg_fault fault = {.kind = PG_STACK_OVERFLOW};
    snprintf(fault.message, sizeof fault.message, "no memory for the local variables of a block");
    pg_raise(&fault);
}

/* Blocks of a kernel without suspension points. */
static void run_straight(struct worker *worker)
{
    struct resident *resident = another_resident(worker);
    if (!resident)
        raise_no_memory();
    while (!atomic_load_explicit(&job.failed, memory_order_relaxed) && take_blocks(worker)) {
        job.launch->kernel->blocks(&resident->block, worker->next, worker->end);
        worker->next = worker->end;
    }
}

/* Blocks of a kernel that is cut: one after the other, but those that spin take turns. */
static void run_cut(struct worker *worker)
{
    unsigned turn = 0;
    while (!atomic_load_explicit(&job.failed, memory_order_relaxed)) {
        int number;
        struct resident *fresh = take_blocks(worker) ? another_resident(worker) : NULL;
        if (fresh) {
            begin(fresh, worker->next++);
            number = worker->active++;
        } else if (worker->active) {
            number = (int)(turn++ % (unsigned)worker->active);
            if (worker->active == 1)
                sched_yield();
        } else if (worker->next < worker->end)
            raise_no_memory();
        else
            return;
        struct resident *resident = worker->resident[number];
        if (run_block(resident) == FINISHED) {
            worker->active--;
            worker->resident[number] = worker->resident[worker->active];
            worker->resident[worker->active] = resident;
        }
    }
}

static void work(void *argument)
{
    struct worker *worker = argument;
    worker->active = 0;
    worker->next = worker->end = 0;
    if (job.launch->kernel->regions)
        run_cut(worker);
    else
        run_straight(worker);
}

static void take_part(struct worker *worker)
{
    struct pg_fault fault;
    if (pg_guarded(work, worker, &fault) && !atomic_exchange(&job.failed, 1))
        *job.fault = fault;
}

static void *pool_thread(void *argument)
{
    struct worker *worker = argument;
    int number = (int)(worker - workers);
    unsigned long seen = 0;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        while (pool.generation == seen || number > pool.wanted) {
            seen = pool.generation;
            pthread_cond_wait(&pool.begins, &pool.lock);
        }
        seen = pool.generation;
        pthread_mutex_unlock(&pool.lock);
        take_part(worker);
        pthread_mutex_lock(&pool.lock);
        if (!--pool.busy)
            pthread_cond_signal(&pool.ends);
    }
    return NULL;
}

/* Number of threads to run kernels on: PYCUDA_GUARD_CPU_THREADS, or that of the processors we may use. */
static int most_workers(void)
{
    static int most;
    if (most)
        return most;
    const char *given = getenv("PYCUDA_GUARD_CPU_THREADS");
    cpu_set_t set;
    most = given ? atoi(given) : 0;
    if (most < 1)
        most = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    if (most > MOST_WORKERS)
        most = MOST_WORKERS;
    return most;
}

/* Start threads until the pool has `wanted`; called with the lock held. */
static void grow_pool(int wanted)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    /* the program's signals are for its own threads */
    const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_t thread;
    while (pool.workers < wanted && !pthread_create(&thread, &attributes, pool_thread, &workers[pool.workers + 1]))
        pool.workers++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
}

int pg_run(struct pg_launch *launch, struct pg_fault *fault)
{
    int64_t blocks = (int64_t)launch->grid[0] * launch->grid[1] * launch->grid[2];
    int64_t threads = (int64_t)launch->block[0] * launch->block[1] * launch->block[2];
    if (!blocks || !threads)
        return 0;
    pthread_mutex_lock(&pool.launching);
    int wanted = blocks > 1 && blocks * threads >= WORTH_SHARING ? most_workers() : 1;
    if (wanted > blocks)
        wanted = (int)blocks;
    job.launch = launch;
    job.blocks = blocks;
    job.chunk = blocks / (wanted * 8) > 0 ? blocks / (wanted * 8) : 1;
    atomic_store(&job.next, 0);
    atomic_store(&job.failed, 0);
    job.fault = fault;
    pthread_mutex_lock(&pool.lock);
    if (pool.workers < wanted - 1)
        grow_pool(wanted - 1);
    pool.wanted = wanted - 1 < pool.workers ? wanted - 1 : pool.workers;
    pool.busy = pool.wanted;
    if (pool.wanted) {
        pool.generation++;
        pthread_cond_broadcast(&pool.begins);
    }
    pthread_mutex_unlock(&pool.lock);
    take_part(&workers[0]);
    pthread_mutex_lock(&pool.lock);
    while (pool.busy)
        pthread_cond_wait(&pool.ends, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    int failed = atomic_load(&job.failed);
    pthread_mutex_unlock(&pool.launching);
    return failed;
}

/* -- called by generated code ---------------------------------------------------------------------------- */

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
