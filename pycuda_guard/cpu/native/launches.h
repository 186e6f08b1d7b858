/* Kernels that launch kernels: what of it the files of the runtime share. */
#ifndef PG_LAUNCHES_H
#define PG_LAUNCHES_H

#include "runtime.h"

struct thread_error;

/* What the threads of a launch have launched so far. */
struct pg_launches {
    uint32_t most, count; /* launches: how many there may be, and are */
    uint64_t used;        /* bytes of parameters handed out */
    struct pg_child *first, *last;
    struct thread_error *errors;
    size_t error_count;
};

#endif
