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

#include <emmintrin.h>
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

static uint32_t lanes_of(struct resident *r, uint32_t warp)
{
    uint32_t count = r->block.threads - warp * WARP;
    return count >= WARP ? ~0u : (1u << count) - 1;
}

/* The lanes of a warp that have not exited. States are read for a whole warp, of which some may not exist. */
static uint32_t alive_in(struct resident *r, uint32_t warp)
{
    const __m128 *at = (const __m128 *)(states(r) + warp * WARP);
    uint32_t exited = 0;
    for (uint32_t i = 0; i < WARP / 4; i++)
        exited |= (uint32_t)_mm_movemask_ps(at[i]) << 4 * i; /* the sign bits */
    return lanes_of(r, warp) & ~exited;
}

static uint32_t lanes_at(struct resident *r, uint32_t warp, int32_t state)
{
    const __m128i *at = (const __m128i *)(states(r) + warp * WARP);
    const __m128i wanted = _mm_set1_epi32(state);
    uint32_t found = 0;
    for (uint32_t i = 0; i < WARP / 4; i++)
        found |= (uint32_t)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(at[i], wanted))) << 4 * i;
    return found;
}

static uint32_t first_of(uint32_t lanes)
{
    return (uint32_t)__builtin_ctz(lanes);
}

static uint32_t count_of(uint32_t lanes)
{
    return (uint32_t)__builtin_popcount(lanes);
}

/* Sort lanes that have not exited by what they wait for. */
static void sort_lanes(struct resident *r, uint32_t warp, uint32_t lanes, uint32_t waiting[SUSPENSIONS])
{
    memset(waiting, 0, SUSPENSIONS * sizeof *waiting);
    while (lanes) {
        int32_t state = states(r)[warp * WARP + first_of(lanes)];
        uint32_t same = lanes & lanes_at(r, warp, state);
        waiting[r->kernel->suspension[state]] |= same;
        lanes &= ~same;
    }
}

static uint32_t *words_of(uint64_t exchanged)
{
    return (uint32_t *)(exchanged + EXCHANGED_WORDS);
}

static void publish(struct resident *r, uint32_t thread)
{
    ((uint64_t *)r->block.snapshot)[thread] = ((uint64_t *)r->block.exchange)[thread];
    words_of(r->block.snapshot)[thread] = words_of(r->block.exchange)[thread];
}

/* Publish what all threads of the block have given; each gives anew before the next operation. */
static void publish_all(struct resident *r)
{
    uint64_t given = r->block.exchange;
    r->block.exchange = r->block.snapshot;
    r->block.snapshot = given;
}

/* Lanes at warp operations, of which those may go on whose masks hold nobody else who may still come. */
static uint32_t release_warp_operations(struct resident *r, uint32_t warp, uint32_t waiting, uint32_t alive)
{
    uint32_t absent = alive & ~waiting;
    uint32_t released = absent ? 0 : waiting;
    for (uint32_t left = absent ? waiting : 0; left; left &= left - 1)
        if (!(masks(r)[warp * WARP + first_of(left)] & absent))
            released |= left & -left;
    for (uint32_t left = released; left; left &= left - 1)
        publish(r, warp * WARP + first_of(left));
    r->ready[warp] |= released;
    r->present[warp] = alive;
    return released;
}

/* The hindmost lanes at lockstep points: those with the lowest region. */
static uint32_t release_lockstep(struct resident *r, uint32_t warp, uint32_t waiting)
{
    int32_t lowest = INT32_MAX;
    for (uint32_t left = waiting; left; left &= left - 1) {
        int32_t state = states(r)[warp * WARP + first_of(left)];
        lowest = state < lowest ? state : lowest;
    }
    uint32_t released = waiting ? waiting & lanes_at(r, warp, lowest) : 0;
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

static void count_arrivals(struct resident *r, uint32_t warp, uint32_t arriving)
{
    for (uint32_t left = arriving; left; left &= left - 1) {
        uint32_t thread = warp * WARP + first_of(left);
        r->arrivals[masks(r)[thread] % BARRIERS] += weight(r, thread);
    }
    r->ready[warp] |= arriving;
}

/* Run the lanes of a warp that may run, neighbours at the same region together; whether there were any. */
static int run_ready(struct resident *r, uint32_t warp)
{
    uint32_t ready = r->ready[warp];
    r->ready[warp] = 0;
    for (uint32_t left = ready & alive_in(r, warp); left;) {
        uint32_t lane = first_of(left);
        int32_t state = states(r)[warp * WARP + lane];
        uint64_t same = left & lanes_at(r, warp, state);
        uint32_t count = (uint32_t)__builtin_ctzll(~(same >> lane));
        uint32_t low = warp * WARP + lane;
        r->kernel->range[state](&r->block, (int32_t)low, (int32_t)(low + count));
        left &= ~(uint32_t)(((1ull << count) - 1) << lane);
    }
    return ready != 0;
}

/* Run a warp until its lanes are all at barriers or have had their turns in loops. */
static int run_warp(struct resident *r, uint32_t warp)
{
    int progress = 0;
    int yields = YIELD_TURNS, spins = SPIN_TURNS;
    for (;;) {
        progress |= run_ready(r, warp);
        uint32_t alive = alive_in(r, warp);
        if (!alive)
            return progress;
        uint32_t waiting[SUSPENSIONS];
        sort_lanes(r, warp, alive, waiting);
        count_arrivals(r, warp, waiting[PG_ARRIVAL]);
        if (r->ready[warp]
            || (waiting[PG_WARP] && release_warp_operations(r, warp, waiting[PG_WARP], alive)))
            continue;
        uint32_t yielding = yields > 0 ? waiting[PG_YIELD] : 0;
        uint32_t spinning = spins > 0 ? waiting[PG_SPIN] : 0;
        yields -= yielding != 0;
        spins -= spinning != 0;
        r->ready[warp] |= yielding | spinning;
        if (!r->ready[warp] && !release_lockstep(r, warp, waiting[PG_LOCKSTEP]))
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

static void count_lanes(struct resident *r, uint32_t warp, uint32_t alive, struct census *census)
{
    int32_t first = states(r)[warp * WARP + first_of(alive)];
    int32_t common = (alive & ~lanes_at(r, warp, first)) ? PG_MIXED : first;
    census->common = census->common == PG_EXITED || census->common == common ? common : PG_MIXED;
    uint32_t waiting[SUSPENSIONS];
    sort_lanes(r, warp, alive, waiting);
    uint32_t at_barrier = waiting[PG_BARRIER] | waiting[PG_VOTE_BARRIER];
    uint32_t at_named = waiting[PG_NAMED_BARRIER] | waiting[PG_NAMED_VOTE_BARRIER];
    census->at_barrier[0] += count_of(at_barrier);
    for (uint32_t left = at_named; left; left &= left - 1) {
        uint32_t thread = warp * WARP + first_of(left);
        uint32_t barrier = masks(r)[thread] % BARRIERS;
        census->at_barrier[barrier] += weight(r, thread);
        census->needed[barrier] = masks(r)[thread] / BARRIERS;
    }
    census->warp_operation += count_of(waiting[PG_WARP]);
    census->spinning += count_of(waiting[PG_SPIN]);
    census->looping += count_of(alive & ~(at_barrier | at_named | waiting[PG_WARP]));
}

static void take_census(struct resident *r, struct census *census)
{
    memset(census, 0, sizeof *census);
    census->common = PG_EXITED;
    for (uint32_t warp = 0; warp * WARP < r->block.threads; warp++) {
        uint32_t alive = alive_in(r, warp);
        census->alive += count_of(alive);
        if (alive)
            count_lanes(r, warp, alive, census);
    }
}

/* The lanes of a warp that wait at a barrier; those of them that vote there are added to *voting. */
static uint32_t lanes_at_barrier(struct resident *r, uint32_t warp, uint32_t barrier, uint32_t *voting)
{
    uint32_t waiting[SUSPENSIONS];
    sort_lanes(r, warp, alive_in(r, warp), waiting);
    uint32_t found = 0;
    if (barrier == 0) {
        *voting = waiting[PG_VOTE_BARRIER];
        found = waiting[PG_BARRIER] | *voting;
    }
    uint32_t at_named = waiting[PG_NAMED_BARRIER] | waiting[PG_NAMED_VOTE_BARRIER];
    for (uint32_t left = at_named; left; left &= left - 1)
        if (masks(r)[warp * WARP + first_of(left)] % BARRIERS == barrier)
            found |= left & -left;
    *voting |= found & waiting[PG_NAMED_VOTE_BARRIER];
    return found;
}

/* Let the threads at a barrier go on, and count the votes of those that vote. */
static void release_barrier(struct resident *r, uint32_t barrier)
{
    r->arrivals[barrier] = 0;
    uint32_t votes = 0, voters = 0;
    for (uint32_t warp = 0; warp * WARP < r->block.threads; warp++) {
        uint32_t voting = 0;
        r->ready[warp] |= lanes_at_barrier(r, warp, barrier, &voting);
        voters += count_of(voting);
        for (uint32_t left = voting; left; left &= left - 1)
            votes += ((uint64_t *)r->block.exchange)[warp * WARP + first_of(left)] & 1;
    }
    if (!voters)
        return;
    if (barrier == 0) {
        r->votes = votes;
        r->voters = voters;
    }
    /* of several barriers that are released at once, each has its own outcome */
    for (uint32_t warp = 0; warp * WARP < r->block.threads; warp++) {
        uint32_t voting = 0;
        lanes_at_barrier(r, warp, barrier, &voting);
        for (uint32_t left = voting; left; left &= left - 1)
            ((uint64_t *)r->block.snapshot)[warp * WARP + first_of(left)] = (uint64_t)voters << 32 | votes;
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
            publish_all(r);
            break;
        case PG_VOTE_BARRIER:
            count_all_votes(r);
            break;
        case PG_NAMED_BARRIER:
        case PG_NAMED_VOTE_BARRIER:
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
    return kind != PG_NAMED_BARRIER && kind != PG_NAMED_VOTE_BARRIER && (released || census->looping);
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
