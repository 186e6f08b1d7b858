/* Faults of generated code: from a signal, a trap or a failed assertion back to pg_guarded.
 *
 * A signal raised outside of pg_guarded goes to whoever had the signal before. "Before" is a list: each time
 * somebody else (faulthandler, say) is found in our place, they are put on top of it and we in front again.
 * As they will in turn call the handler that they replaced, us, a signal that comes in while one of them is
 * running goes to the next one down. */
#define _GNU_SOURCE
#include "block.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <xmmintrin.h>

#define SIGNALS 4
#define LEVELS 8
#define DEFAULT_FLOAT_MODE 0x1f80u
/* how far from the stack pointer an access to the stack's guard page can be */
#define STACK_REACH ((uint64_t)1 << 20)
/* faults at one instruction and address, each within REPEAT_NS of the last, after which a handler that always
 * returns is taken for one that does nothing (a disabled faulthandler does) */
#define REPEATS 1000
#define REPEAT_NS 10000000

/* read inside signal handlers, where the dynamic TLS models may allocate */
#define THREAD_LOCAL static __thread __attribute__((tls_model("initial-exec")))

struct guard {
    sigjmp_buf jump;
    struct guard *outer;
    struct pg_fault *fault; /* may be null */
};

struct chain {
    struct sigaction actions[LEVELS];
    _Atomic int count;
};

static const int signals[SIGNALS] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
static struct chain chains[SIGNALS];
static pthread_mutex_t arm_lock = PTHREAD_MUTEX_INITIALIZER;

THREAD_LOCAL struct guard *volatile current;
THREAD_LOCAL volatile int critical; /* depth of pg_enter */
THREAD_LOCAL volatile int has_ticked; /* while critical */
THREAD_LOCAL int has_signal_stack;
THREAD_LOCAL struct {
    char *frame; /* of the handler that is passing a signal on; null if none */
    int level;
} passing;
THREAD_LOCAL struct {
    uint64_t instruction, address;
    int64_t time; /* ns */
    int count;
} repeat;

/* -- leaving generated code ------------------------------------------------------------------------------ */

static void describe(struct pg_fault *fault, int signal, const siginfo_t *info, const ucontext_t *context)
{
    memset(fault, 0, sizeof *fault);
    if (signal == SIGFPE || signal == SIGILL) {
        fault->kind = PG_ILLEGAL_INSTRUCTION;
        return;
    }
    fault->kind = PG_ILLEGAL_ADDRESS;
    uint64_t address = (uint64_t)info->si_addr;
    uint64_t stack = (uint64_t)context->uc_mcontext.gregs[REG_RSP];
    if (pg_region_base && address - pg_region_base - PG_MISALIGNED + PG_WINDOW / 4 < PG_WINDOW / 2)
        fault->kind = PG_MISALIGNED_ADDRESS;
    else if (pg_region_base && address - pg_region_base < PG_REGION) {
        fault->address = address & ~PG_WINDOW;
        fault->known = 1;
    } else if (address - (stack - STACK_REACH) < 2 * STACK_REACH)
        fault->kind = PG_STACK_OVERFLOW;
    /* any other address is null plus something small, where generated code sends what is no device address */
}

/* -- signals of others ----------------------------------------------------------------------------------- */

static void take_default_action(int signal, int is_synchronous)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(signal, &action, NULL);
    /* a synchronous signal comes again by itself, with its own address, when the handlers have returned */
    if (!is_synchronous)
        raise(signal);
}

/* Levels to leave out because their handlers have let the very same fault happen again and again. */
static int useless_levels(const siginfo_t *info, const ucontext_t *context)
{
    struct timespec clock;
    clock_gettime(CLOCK_MONOTONIC, &clock);
    int64_t now = clock.tv_sec * INT64_C(1000000000) + clock.tv_nsec;
    uint64_t instruction = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
    uint64_t address = (uint64_t)info->si_addr;
    int is_same = repeat.instruction == instruction && repeat.address == address;
    repeat.count = is_same && now - repeat.time < REPEAT_NS ? repeat.count + 1 : 0;
    repeat.instruction = instruction;
    repeat.address = address;
    repeat.time = now;
    return repeat.count / REPEATS;
}

static void call(struct sigaction *action, int signal, siginfo_t *info, void *context)
{
    struct sigaction copy = *action;
    sigset_t mask = copy.sa_mask, before;
    if (!(copy.sa_flags & SA_NODEFER))
        sigaddset(&mask, signal);
    if (copy.sa_flags & (int)SA_RESETHAND)
        *action = (struct sigaction){.sa_handler = SIG_DFL};
    pthread_sigmask(SIG_BLOCK, &mask, &before);
    if (copy.sa_flags & SA_SIGINFO)
        copy.sa_sigaction(signal, info, context);
    else
        copy.sa_handler(signal);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void pass_on(struct chain *chain, int signal, siginfo_t *info, void *context)
{
    char here;
    int is_synchronous = info->si_code > 0;
    int level = atomic_load(&chain->count) - 1;
    /* the stack grows downwards: a frame not below the recorded one means that the handler never came back */
    int is_nested = passing.frame && &here < passing.frame;
    if (is_nested)
        level = passing.level - 1;
    else if (is_synchronous)
        level -= useless_levels(info, context);
    struct sigaction *action = level < 0 ? NULL : &chain->actions[level];
    if (!action || action->sa_handler == SIG_DFL) {
        take_default_action(signal, is_synchronous);
        return;
    }
    if (action->sa_handler == SIG_IGN) {
        if (is_synchronous) /* which cannot be ignored */
            take_default_action(signal, is_synchronous);
        return;
    }
    char *outer_frame = is_nested ? passing.frame : NULL;
    int outer_level = passing.level;
    passing.frame = &here;
    passing.level = level;
    call(action, signal, info, context);
    passing.frame = outer_frame;
    passing.level = outer_level;
}

static void handle(int signal, siginfo_t *info, void *context)
{
    struct guard *guard = current;
    if (guard && info->si_code > 0) {
        if (guard->fault)
            describe(guard->fault, signal, info, context);
        siglongjmp(guard->jump, 1);
    }
    int saved = errno;
    for (int i = 0; i < SIGNALS; i++)
        if (signals[i] == signal)
            pass_on(&chains[i], signal, info, context);
    errno = saved;
}

static int is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == handle;
}

/* Put `action` on top of the chain; once only, so that a handler that always comes back does not fill it. */
static void push(struct chain *chain, const struct sigaction *action)
{
    int count = atomic_load(&chain->count);
    int kept = 0;
    for (int i = 0; i < count; i++)
        if (chain->actions[i].sa_handler != action->sa_handler)
            chain->actions[kept++] = chain->actions[i];
    if (kept == LEVELS) { /* forget the second oldest: the oldest is the process's own */
        memmove(&chain->actions[1], &chain->actions[2], (LEVELS - 2) * sizeof *action);
        kept--;
    }
    chain->actions[kept++] = *action;
    atomic_store(&chain->count, kept);
}

/* -- ticks ----------------------------------------------------------------------------------------------- */

/* Leave the kernel if it is given up. That may run the program's handlers of signals, whose own faults are theirs.
 * They are ordinary Python code, though called inside a signal handler: what was interrupted is generated code or
 * the scheduler, which hold no lock of the C library. */
static void look_up(void)
{
    struct guard *guard = current;
    current = NULL;
    int is_over = is_given_up();
    current = guard;
    if (is_over)
        siglongjmp(guard->jump, 1);
}

static void handle_tick(int signal)
{
    (void)signal;
    int saved = errno;
    if (critical)
        has_ticked = 1;
    else if (current)
        look_up();
    errno = saved;
}

void pg_enter(void)
{
    critical++;
}

void pg_leave(void)
{
    critical--;
    if (critical || !has_ticked)
        return;
    has_ticked = 0;
    if (current)
        look_up();
}

/* -- taking signals ------------------------------------------------------------------------------------- */

void pg_arm(void)
{
    struct sigaction now;
    sigaction(signals[0], NULL, &now);
    if (is_ours(&now))
        return;
    pthread_mutex_lock(&arm_lock);
    for (int i = 0; i < SIGNALS; i++) {
        /* nested signals must come in (SA_NODEFER): siglongjmp does not restore the mask, which is cheaper */
        struct sigaction ours = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
        sigaction(signals[i], NULL, &now);
        if (!is_ours(&now)) {
            push(&chains[i], &now);
            sigaction(signals[i], &ours, NULL);
        }
    }
    /* on the thread's own stack: handlers of the program may run on it */
    struct sigaction ticks = {.sa_handler = handle_tick, .sa_flags = SA_RESTART | SA_NODEFER};
    sigaction(PG_TICK_SIGNAL, &ticks, NULL);
    pthread_mutex_unlock(&arm_lock);
}

/* -- signal stacks --------------------------------------------------------------------------------------- */

static pthread_key_t stack_key;
static pthread_once_t stack_once = PTHREAD_ONCE_INIT;

static size_t signal_stack_size(void)
{
    return getauxval(AT_MINSIGSTKSZ) + (64 << 10);
}

static void drop_signal_stack(void *stack)
{
    stack_t none = {.ss_flags = SS_DISABLE}, now;
    if (!sigaltstack(NULL, &now) && now.ss_sp == stack)
        sigaltstack(&none, NULL);
    munmap(stack, signal_stack_size());
}

static void make_stack_key(void)
{
    pthread_key_create(&stack_key, drop_signal_stack);
}

/* Give this thread a signal stack, so that running out of its own can be handled. */
static void ensure_signal_stack(void)
{
    has_signal_stack = 1;
    stack_t stack;
    if (sigaltstack(NULL, &stack) || !(stack.ss_flags & SS_DISABLE))
        return;
    pthread_once(&stack_once, make_stack_key);
    stack.ss_flags = 0;
    stack.ss_size = signal_stack_size();
    stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (stack.ss_sp == MAP_FAILED)
        return;
    pthread_setspecific(stack_key, stack.ss_sp);
    sigaltstack(&stack, NULL);
}

/* -- guarded calls --------------------------------------------------------------------------------------- */

int pg_guarded(void (*function)(void *), void *argument, struct pg_fault *fault)
{
    struct guard guard = {.outer = current, .fault = fault};
    unsigned mode = _mm_getcsr();
    int depth = critical;
    if (!has_signal_stack)
        ensure_signal_stack();
    if (sigsetjmp(guard.jump, 0)) {
        current = guard.outer;
        critical = depth;
        _mm_setcsr(mode);
        return 1;
    }
    current = &guard;
    _mm_setcsr(DEFAULT_FLOAT_MODE);
    function(argument);
    _mm_setcsr(mode);
    current = guard.outer;
    return 0;
}

void pg_raise(const struct pg_fault *fault)
{
    struct guard *guard = current;
    if (!guard) {
        fputs("pycuda_guard: a kernel's fault outside of pg_guarded\n", stderr);
        abort();
    }
    if (guard->fault)
        *guard->fault = *fault;
    siglongjmp(guard->jump, 1);
}

struct copy {
    char *to;
    const char *from;
    size_t nbytes;
    volatile size_t done;
};

static void copy_bytes(void *argument)
{
    struct copy *copy = argument;
    memcpy(copy->to, copy->from, copy->nbytes);
}

static void copy_string(void *argument)
{
    struct copy *copy = argument;
    for (size_t i = 0; i + 1 < copy->nbytes && copy->from[i]; i++) {
        copy->to[i] = copy->from[i];
        copy->done = i + 1;
    }
}

int pg_read(void *to, uint64_t device_address, size_t nbytes)
{
    struct copy copy = {.to = to, .from = PG_HOST(device_address), .nbytes = nbytes};
    return !pg_is_device_address(device_address) || pg_guarded(copy_bytes, &copy, NULL);
}

int64_t pg_read_string(char *to, uint64_t device_address, size_t capacity)
{
    struct copy copy = {.to = to, .from = PG_HOST(device_address), .nbytes = capacity};
    int failed = !pg_is_device_address(device_address) || pg_guarded(copy_string, &copy, NULL);
    to[copy.done] = 0;
    return failed ? -1 : (int64_t)copy.done;
}

/* -- traps ----------------------------------------------------------------------------------------------- */

static void locate(struct pg_fault *fault, const struct pg_block *block, uint32_t thread)
{
    memcpy(fault->block, block->block_index, sizeof fault->block);
    fault->thread[0] = thread % block->block[0];
    fault->thread[1] = thread / block->block[0] % block->block[1];
    fault->thread[2] = thread / block->block[0] / block->block[1];
    fault->located = 1;
}

void pg_trap(const struct pg_block *block, uint32_t thread)
{
    struct pg_fault fault = {.kind = PG_TRAP};
    locate(&fault, block, thread);
    pg_raise(&fault);
}

void pg_assert_fail(const struct pg_block *block, uint32_t thread, uint64_t message, uint64_t file, uint32_t line,
                    uint64_t function)
{
    struct pg_fault fault = {.kind = PG_ASSERT, .line = (int32_t)line};
    locate(&fault, block, thread);
    pg_read_string(fault.message, message, sizeof fault.message);
    pg_read_string(fault.file, file, sizeof fault.file);
    pg_read_string(fault.function, function, sizeof fault.function);
    char text[1024];
    int length = snprintf(text, sizeof text, "%s:%u: %s: block: [%u,%u,%u], thread: [%u,%u,%u] Assertion `%s` failed.\n",
                          fault.file, line, fault.function, fault.block[0], fault.block[1], fault.block[2],
                          fault.thread[0], fault.thread[1], fault.thread[2], fault.message);
    fflush(stderr);
    for (const char *at = text; length > 0;) { /* one write, so that workers' lines do not mix */
        ssize_t written = write(STDERR_FILENO, at, (size_t)length);
        if (written < 0)
            break;
        at += written;
        length -= (int)written;
    }
    pg_raise(&fault);
}
