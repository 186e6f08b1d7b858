/* Runs the blocks of a launch on a pool of workers.
 *
 * A block whose threads do nothing but spin is put aside, with all its memory, and the worker begins or goes on
 * with another: so blocks may wait for each other, as long as there is room for all of those that wait. */
#define _GNU_SOURCE
#include "block.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MOST_WORKERS 64
#define STACK_BYTES ((size_t)64 << 20)
/* below this many threads, waking other workers costs more than it saves */
#define WORTH_SHARING 4096

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

static struct worker workers[MOST_WORKERS];

int has_failed(void)
{
    return atomic_load_explicit(&job.failed, memory_order_relaxed);
}

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
    return prepare_resident(resident, job.launch) ? NULL : resident;
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
    while (!has_failed() && take_blocks(worker)) {
        job.launch->kernel->blocks(&resident->block, worker->next, worker->end);
        worker->next = worker->end;
    }
}

/* Blocks of a kernel that is cut: one after the other, but those that spin take turns. */
static void run_cut(struct worker *worker)
{
    unsigned turn = 0;
    while (!has_failed()) {
        int number;
        struct resident *fresh = take_blocks(worker) ? another_resident(worker) : NULL;
        if (fresh) {
            begin_block(fresh, worker->next++);
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
