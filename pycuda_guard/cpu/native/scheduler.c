/* Runs the threads of one block.
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
 *   yield, spin      at once, but others first */
#define _GNU_SOURCE
#include "block.h"

#include <stdio.h>
#include <string.h>

/* how often a warp goes round loops before the next warp has its turn, and a block before the next block */
#define YIELD_TURNS 64
#define SPIN_TURNS 4
#define SPIN_ROUNDS 64

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

void begin_block(struct resident *r, int64_t number)
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
    while (!has_failed()) {
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
    while (!has_failed()) {
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

enum outcome run_block(struct resident *r)
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
