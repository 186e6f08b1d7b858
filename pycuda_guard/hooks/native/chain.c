/* The handlers of SIGSEGV, one behind the other.
 *
 * Each time somebody else (faulthandler, say) is found in our place, they are put on top of the list and we in
 * front again. As they will in turn call the handler that they replaced, us, a signal that comes in while one of
 * them is running goes to the next one down. */
#define _GNU_SOURCE
#include "hostfault.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#define LEVELS 8
/* faults at one address, each within REPEAT_NS of the last, after which a handler that always returns is taken
 * for one that does nothing (a disabled faulthandler does) */
#define REPEATS 1000
#define REPEAT_NS 10000000

/* read inside signal handlers, where the dynamic TLS models may allocate */
#define THREAD_LOCAL static __thread __attribute__((tls_model("initial-exec")))

static struct sigaction actions[LEVELS];
static _Atomic int count;

THREAD_LOCAL struct {
    char *frame; /* of the handler that is passing a signal on; null if none */
    int level;
} passing;
THREAD_LOCAL struct {
    void *address;
    int64_t time; /* ns */
    int count;
} repeat;

static void take_default_action(int signal, int is_synchronous)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(signal, &action, NULL);
    /* a synchronous signal comes again by itself, with its own address, when the handlers have returned */
    if (!is_synchronous)
        raise(signal);
}

/* Levels to leave out because their handlers have let the very same fault happen again and again. */
static int useless_levels(const siginfo_t *info)
{
    struct timespec clock;
    clock_gettime(CLOCK_MONOTONIC, &clock);
    int64_t now = clock.tv_sec * INT64_C(1000000000) + clock.tv_nsec;
    int is_same = repeat.address == info->si_addr && now - repeat.time < REPEAT_NS;
    repeat.count = is_same ? repeat.count + 1 : 0;
    repeat.address = info->si_addr;
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

/* Whether the handler that was called has left the fault to the default action. It may have done so because it
 * was in front and had called us, so that for it there was nobody else; for us there may be. */
static int has_given_up(void)
{
    struct sigaction now;
    return !sigaction(SIGSEGV, NULL, &now) && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL;
}

void chain_pass_on(int signal, siginfo_t *info, void *context)
{
    char here;
    int is_synchronous = info->si_code > 0;
    int level = atomic_load(&count) - 1;
    /* the stack grows downwards: a frame not below the recorded one means that the handler never came back */
    int is_nested = passing.frame && &here < passing.frame;
    if (is_nested)
        level = passing.level - 1;
    else if (is_synchronous)
        level -= useless_levels(info);
    char *outer_frame = is_nested ? passing.frame : NULL;
    int outer_level = passing.level;
    do {
        struct sigaction *action = level < 0 ? NULL : &actions[level];
        if (!action || action->sa_handler == SIG_DFL || (action->sa_handler == SIG_IGN && is_synchronous)) {
            take_default_action(signal, is_synchronous);
            break;
        }
        if (action->sa_handler == SIG_IGN)
            break;
        passing.frame = &here;
        passing.level = level--;
        call(action, signal, info, context);
    } while (is_synchronous && has_given_up());
    passing.frame = outer_frame;
    passing.level = outer_level;
}

static int is_same(const struct sigaction *one, const struct sigaction *other)
{
    return one->sa_handler == other->sa_handler;
}

/* Put `action` on top; once only, so that a handler that always comes back does not fill the list. */
static void push(const struct sigaction *action)
{
    int had = atomic_load(&count);
    int kept = 0;
    for (int i = 0; i < had; i++)
        if (!is_same(&actions[i], action))
            actions[kept++] = actions[i];
    if (kept == LEVELS) { /* forget the second oldest: the oldest is the process's own */
        memmove(&actions[1], &actions[2], (LEVELS - 2) * sizeof *action);
        kept--;
    }
    actions[kept++] = *action;
    atomic_store(&count, kept);
}

int chain_arm(const struct sigaction *ours)
{
    struct sigaction now;
    if (sigaction(SIGSEGV, NULL, &now))
        return errno;
    if (is_same(&now, ours))
        return 0;
    push(&now);
    return sigaction(SIGSEGV, ours, NULL) ? errno : 0;
}

void chain_disarm(const struct sigaction *ours)
{
    struct sigaction now;
    int top = atomic_load(&count) - 1;
    if (top >= 0 && !sigaction(SIGSEGV, NULL, &now) && is_same(&now, ours))
        sigaction(SIGSEGV, &actions[top], NULL);
}
