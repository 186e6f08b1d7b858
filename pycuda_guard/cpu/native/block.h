/* A block that is being run: shared by the files that give it memory, run its threads, and hand out blocks. */
#ifndef PG_BLOCK_H
#define PG_BLOCK_H

#include "runtime.h"

#define WARP 32
#define MOST_THREADS 1024
#define MOST_WARPS (MOST_THREADS / WARP)
#define BARRIERS 16
/* what threads exchange: 8 bytes each, then 4 bytes each with room for a warp before and behind (cpu/abi.py) */
#define EXCHANGED_WORDS (MOST_THREADS * 8 + WARP * 4)
#define EXCHANGE_BYTES (EXCHANGED_WORDS + MOST_THREADS * 4 + WARP * 4)
#define MOST_RESIDENT 128 /* blocks, of all workers together */

enum outcome { FINISHED, PARTED, MET, SPINNING };

/* One block that has begun, with its memory. */
struct resident {
    struct pg_block block; /* first, so that generated code's pointer leads here */
    const struct pg_kernel *kernel;
    uint64_t local_window;
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

/* resident.c: a new one, or null where there is no room for it; and what a launch's blocks need, in it. The
 * latter returns nonzero without memory. */
struct resident *make_resident(void);
int prepare_resident(struct resident *resident, struct pg_launch *launch);

/* resident.c: whether a device address lies where local memory that is too small would go on. */
int is_beyond_local(const struct resident *resident, uint64_t address);

/* scheduler.c: put the threads of block `number` of the grid at the start; run them until they have all exited
 * or only spin. */
void begin_block(struct resident *resident, int64_t number);
enum outcome run_block(struct resident *resident);

/* pool.c: whether a block of the running launch has failed, so that the others need not go on. */
int has_failed(void);

/* pool.c, at a tick: whether the thread must leave the running launch. Decides about giving it up, if the thread is
 * the one that launches. */
int is_given_up(void);

#endif
