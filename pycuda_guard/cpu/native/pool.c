/* Runs the blocks of a launch on a pool of workers, of which the launching thread is one.
 *
 * A block whose threads do nothing but spin is put aside, with all its memory, and the worker begins or goes on
 * with another: so blocks may wait for each other, as long as there is room for all of those that wait.
 *
 * While a kernel runs for long, the launching thread is made to look up from time to time: by a signal from a
 * thread that does nothing else, or in its wait for the other workers. So a kernel that never ends is given up when
 * its time is over, or when the program is interrupted. */
#define _GNU_SOURCE
#include "block.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MOST_WORKERS 64
#define STACK_BYTES ((size_t)64 << 20)
/* below this many threads, waking other workers costs more than it saves */
#define WORTH_SHARING 4096
/* how often the launching thread looks up, in the launches that last longer */
#define TICK_NS 20000000
/* after how many ticks without a launch there are no more, until the next launch */
#define QUIET_TICKS 50

struct worker {
    pthread_t thread;
    pthread_cond_t begins;
    int has_work; /* under the pool's lock */
    struct resident *resident[MOST_RESIDENT];
    int count; /* of resident that exist; the first `active` have begun and not finished */
    int active;
    int64_t next, end; /* blocks taken but not begun */
};

static struct {
    pthread_mutex_t launching; /* one launch at a time */
    pthread_mutex_t lock;      /* of what follows */
    pthread_cond_t ends, runs;
    int workers; /* threads that exist besides the launching one */
    int busy;
    unsigned long generation; /* of launches */
    int is_running, is_ticking, has_ticker;
    pthread_t launcher;
} pool = {
    .launching = PTHREAD_MUTEX_INITIALIZER,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .runs = PTHREAD_COND_INITIALIZER,
};

/* The running launch, as the workers see it. */
static struct {
    struct pg_launch *launch;
    int64_t blocks, chunk;
    _Atomic int64_t next;
    _Atomic int failed;
    struct pg_fault *fault;
    _Atomic int is_unwanted; /* pg_cancel was called */
    struct timespec deadline;
    int has_deadline;
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
static struct resident *find_resident(struct worker *worker)
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

static struct resident *another_resident(struct worker *worker)
{
    pg_enter();
    struct resident *resident = find_resident(worker);
    pg_leave();
    return resident;
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

/* Whether a kernel that recurses has left its local memory by going too deep. */
static int has_used_up_stack(const struct worker *worker, const struct pg_fault *fault)
{
    if (!job.launch->stack_bytes || fault->kind != PG_ILLEGAL_ADDRESS || !fault->known)
        return 0;
    for (int i = 0; i < worker->count; i++)
        if (is_beyond_local(worker->resident[i], fault->address))
            return 1;
    return 0;
}

static void take_part(struct worker *worker)
{
    struct pg_fault fault;
    if (!pg_guarded(work, worker, &fault) || atomic_exchange(&job.failed, 1))
        return;
    if (has_used_up_stack(worker, &fault))
        fault = (struct pg_fault){.kind = PG_STACK_OVERFLOW};
    *job.fault = fault;
}

static void *pool_thread(void *argument)
{
    struct worker *worker = argument;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        while (!worker->has_work)
            pthread_cond_wait(&worker->begins, &pool.lock);
        pthread_mutex_unlock(&pool.lock);
        take_part(worker);
        pthread_mutex_lock(&pool.lock);
        worker->has_work = 0;
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

static const pthread_attr_t *detached(void)
{
    static pthread_attr_t attributes;
    static int is_made;
    if (!is_made) {
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, STACK_BYTES);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        is_made = 1;
    }
    return &attributes;
}

static void *tick(void *unused);

/* Start threads until the pool has `wanted`, and the one that ticks; called with the lock held. */
static void grow_pool(int wanted)
{
    if (!pool.has_ticker) {
        pthread_condattr_t clock;
        pthread_condattr_init(&clock);
        pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
        pthread_cond_init(&pool.ends, &clock);
        pthread_condattr_destroy(&clock);
    }
    sigset_t all, before;
    sigfillset(&all);
    /* the program's signals are for its own threads */
    const int wanted_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, PG_TICK_SIGNAL};
    for (size_t i = 0; i < sizeof wanted_signals / sizeof *wanted_signals; i++)
        sigdelset(&all, wanted_signals[i]);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool.workers < wanted) {
        struct worker *worker = &workers[pool.workers + 1];
        pthread_cond_init(&worker->begins, NULL);
        if (pthread_create(&worker->thread, detached(), pool_thread, worker))
            break;
        pool.workers++;
    }
    pthread_t ticker;
    if (!pool.has_ticker)
        pool.has_ticker = !pthread_create(&ticker, detached(), tick, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* -- giving up a kernel ---------------------------------------------------------------------------------- */

static struct timespec later(uint64_t nanoseconds)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    uint64_t total = (uint64_t)time.tv_nsec + nanoseconds;
    time.tv_sec += (time_t)(total / 1000000000);
    time.tv_nsec = (long)(total % 1000000000);
    return time;
}

static int is_past(struct timespec time)
{
    struct timespec now = later(0);
    return now.tv_sec > time.tv_sec || (now.tv_sec == time.tv_sec && now.tv_nsec >= time.tv_nsec);
}

/* Send the signal to a launching thread that has been at the same launch since the last tick. */
static void *tick(void *unused)
{
    (void)unused;
    const struct timespec interval = {.tv_nsec = TICK_NS};
    unsigned long seen = 0;
    int quiet = 0;
    for (;;) {
        nanosleep(&interval, NULL);
        pthread_mutex_lock(&pool.lock);
        if (pool.is_running && pool.generation == seen)
            pthread_kill(pool.launcher, PG_TICK_SIGNAL);
        quiet = pool.generation == seen && !pool.is_running ? quiet + 1 : 0;
        while (quiet >= QUIET_TICKS && !pool.is_running) {
            pool.is_ticking = 0;
            pthread_cond_wait(&pool.runs, &pool.lock);
        }
        pool.is_ticking = 1;
        seen = pool.generation;
        pthread_mutex_unlock(&pool.lock);
    }
    return NULL;
}

static void give_up(enum pg_fault_kind kind)
{
    if (!atomic_exchange(&job.failed, 1))
        *job.fault = (struct pg_fault){.kind = kind};
    pthread_mutex_lock(&pool.lock);
    for (int i = 1; i <= pool.workers; i++)
        if (workers[i].has_work)
            pthread_kill(workers[i].thread, PG_TICK_SIGNAL);
    pthread_mutex_unlock(&pool.lock);
}

int is_given_up(void)
{
    if (has_failed())
        return 1;
    if (!pthread_equal(pthread_self(), pool.launcher))
        return 0;
    if (atomic_load(&job.is_unwanted) || pg_is_interrupted())
        give_up(PG_INTERRUPTED);
    else if (job.has_deadline && is_past(job.deadline))
        give_up(PG_TIMEOUT);
    return has_failed();
}

void pg_cancel(void)
{
    atomic_store(&job.is_unwanted, 1);
}

/* Wait until the other workers are done; called with the lock held. */
static void wait_for_workers(void)
{
    while (pool.busy) {
        struct timespec until = later(TICK_NS);
        pthread_cond_timedwait(&pool.ends, &pool.lock, &until);
        if (!pool.busy || !is_past(until))
            continue;
        pthread_mutex_unlock(&pool.lock);
        if (is_given_up())
            give_up(PG_NO_FAULT); /* that a worker has missed */
        pthread_mutex_lock(&pool.lock);
    }
}

/* -- launching ------------------------------------------------------------------------------------------- */

static void let_ticks_in(void)
{
    static __thread int is_done;
    if (is_done)
        return;
    sigset_t ticks;
    sigemptyset(&ticks);
    sigaddset(&ticks, PG_TICK_SIGNAL);
    pthread_sigmask(SIG_UNBLOCK, &ticks, NULL);
    is_done = 1;
}

int pg_run(struct pg_launch *launch, uint64_t timeout_ms, struct pg_fault *fault)
{
    int64_t blocks = (int64_t)launch->grid[0] * launch->grid[1] * launch->grid[2];
    int64_t threads = (int64_t)launch->block[0] * launch->block[1] * launch->block[2];
    if (!blocks || !threads)
        return 0;
    let_ticks_in();
    pthread_mutex_lock(&pool.launching);
    int wanted = blocks > 1 && blocks * threads >= WORTH_SHARING ? most_workers() : 1;
    if (wanted > blocks)
        wanted = (int)blocks;
    job.launch = launch;
    job.blocks = blocks;
    job.chunk = blocks / (wanted * 8) > 0 ? blocks / (wanted * 8) : 1;
    atomic_store(&job.next, 0);
    atomic_store(&job.failed, 0);
    atomic_store(&job.is_unwanted, 0);
    job.fault = fault;
    job.has_deadline = timeout_ms != 0;
    if (timeout_ms)
        job.deadline = later(timeout_ms * 1000000);
    pthread_mutex_lock(&pool.lock);
    if (pool.workers < wanted - 1 || !pool.has_ticker)
        grow_pool(wanted - 1);
    pool.generation++;
    pool.launcher = pthread_self();
    pool.is_running = 1;
    if (!pool.is_ticking)
        pthread_cond_signal(&pool.runs);
    pool.busy = wanted - 1 < pool.workers ? wanted - 1 : pool.workers;
    for (int i = 1; i <= pool.busy; i++) {
        workers[i].has_work = 1;
        pthread_cond_signal(&workers[i].begins);
    }
    pthread_mutex_unlock(&pool.lock);
    take_part(&workers[0]);
    pthread_mutex_lock(&pool.lock);
    wait_for_workers();
    pool.is_running = 0;
    pthread_mutex_unlock(&pool.lock);
    int failed = atomic_load(&job.failed);
    pthread_mutex_unlock(&pool.launching);
    return failed ? PG_FAULTED : PG_OK;
}
