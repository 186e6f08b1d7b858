/* Pages that the host is not to touch while the device uses them.
 *
 * A hold is a run of pages in a slot of a table. The table is guarded by a spin lock, as the signal handler
 * needs it, too. Nobody touches a program's memory while having the lock, so that a handler never waits for the
 * thread that it interrupts. */
#define _GNU_SOURCE
#include "hostfault.h"

#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define MOST_SPINS 1000000
/* faults of a thread at one address in a row after which it is not another thread that lifts the protection */
#define MOST_RETRIES 100

enum { EMPTY, HELD, LIFTED };

struct hold {
    uint64_t first, end; /* stay when the hold is over: see is_recent() */
    int whole;
    int state;
};

static struct hold holds[HOLDS];
static size_t used;
static int lifted; /* holds in that state */
static atomic_flag lock = ATOMIC_FLAG_INIT;

static __thread struct {
    uint64_t address;
    int count;
} retry __attribute__((tls_model("initial-exec")));

static int take_lock(void)
{
    for (int i = 0; i < MOST_SPINS; i++) {
        if (!atomic_flag_test_and_set_explicit(&lock, memory_order_acquire))
            return 1;
        if (i % 64 == 63)
            sched_yield();
    }
    return 0;
}

static void give_lock(void)
{
    atomic_flag_clear_explicit(&lock, memory_order_release);
}

static int is_in(const struct hold *hold, uint64_t address)
{
    return address - hold->first < hold->end - hold->first;
}

/* The protection that an address is to have, and in `end` how far it reaches, if no further than that. */
static int protection_at(uint64_t address, uint64_t *end)
{
    int protection = PROT_READ | PROT_WRITE;
    for (size_t i = 0; i < used; i++) {
        const struct hold *hold = &holds[i];
        if (hold->state != HELD)
            continue;
        if (is_in(hold, address)) {
            if (hold->whole)
                protection = PROT_NONE;
            else if (protection != PROT_NONE)
                protection = PROT_READ;
            if (hold->end < *end)
                *end = hold->end;
        } else if (hold->first > address && hold->first < *end)
            *end = hold->first;
    }
    return protection;
}

/* Give pages the protection that the holds ask for. */
static void settle(uint64_t first, uint64_t end)
{
    uint64_t start = first;
    while (start < end) {
        uint64_t stop = end;
        int protection = protection_at(start, &stop);
        while (stop < end) {
            uint64_t next = end;
            if (protection_at(stop, &next) != protection)
                break;
            stop = next;
        }
        /* what can't be protected (no more mappings to be had) is not watched */
        mprotect((void *)(uintptr_t)start, stop - start, protection);
        start = stop;
    }
}

static void set_state(struct hold *hold, int state)
{
    lifted += (state == LIFTED) - (hold->state == LIFTED);
    hold->state = state;
}

static void end_hold(struct hold *hold)
{
    int was_held = hold->state == HELD;
    set_state(hold, EMPTY);
    if (was_held)
        settle(hold->first, hold->end);
}

void pages_hold(size_t slot, uint64_t first, uint64_t nbytes, int whole)
{
    if (!take_lock())
        return;
    struct hold *hold = &holds[slot];
    end_hold(hold);
    hold->first = first;
    hold->end = first + nbytes;
    hold->whole = whole;
    set_state(hold, HELD);
    if (slot >= used)
        used = slot + 1;
    settle(first, first + nbytes);
    give_lock();
}

void pages_drop(size_t slot)
{
    if (!take_lock())
        return;
    end_hold(&holds[slot]);
    give_lock();
}

void pages_drop_all(void)
{
    int has_lock = take_lock();
    for (size_t i = 0; i < used; i++)
        end_hold(&holds[i]);
    used = 0;
    if (has_lock)
        give_lock();
}

void pages_renew(void)
{
    if (!lifted || !take_lock())
        return;
    for (size_t i = 0; i < used; i++)
        if (holds[i].state == LIFTED) {
            set_state(&holds[i], HELD);
            settle(holds[i].first, holds[i].end);
        }
    give_lock();
}

/* Whether the address was in a hold that is over by now; the slot may not have been used again since. */
static int is_recent(uint64_t address)
{
    for (size_t i = 0; i < HOLDS; i++)
        if (is_in(&holds[i], address)) {
            retry.count = retry.address == address ? retry.count + 1 : 0;
            retry.address = address;
            return retry.count < MOST_RETRIES;
        }
    return 0;
}

enum lift pages_lift(uint64_t address)
{
    if (!take_lock())
        return LIFT_NONE;
    enum lift result = LIFT_NONE;
    for (size_t i = 0; i < used; i++)
        if (holds[i].state == HELD && is_in(&holds[i], address)) {
            set_state(&holds[i], LIFTED);
            settle(holds[i].first, holds[i].end);
            result = LIFT_DONE;
        }
    if (result == LIFT_NONE && is_recent(address))
        result = LIFT_AGAIN;
    give_lock();
    return result;
}
