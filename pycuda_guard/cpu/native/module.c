/* The Python module `pycuda_guard.cpu._runtime`: empty, as runtime.py calls its library through ctypes. */
#define _GNU_SOURCE
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#include <Python.h>

#include "launches.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static int has_launched;
static int is_forked_child;

/* A child forked before the first launch lacks no threads: it is as good as its parent. */
static void note_fork(void)
{
    is_forked_child |= has_launched;
}

int pg_launch_kernel(const struct pg_kernel *kernel, const uint32_t *dimensions, uint32_t dynamic_shared,
                     uint32_t stack_bytes, const void *parameters, uint64_t nbytes, uint64_t timeout_ms,
                     uint32_t most_children, struct pg_child **children, struct pg_fault *fault)
{
    if (is_forked_child)
        return PG_FORKED;
    has_launched = 1;
    uint64_t size = kernel->parameter_bytes;
    _Alignas(64) char buffer[4096];
    /* rounded up to whole vectors, which generated code may load */
    uint64_t capacity = (size + 63) & ~(uint64_t)63;
    char *copy = buffer;
    if (capacity > sizeof buffer && !(copy = aligned_alloc(64, capacity)))
        return PG_NO_MEMORY;
    uint64_t given = nbytes < size ? nbytes : size;
    if (given)
        memcpy(copy, parameters, given);
    memset(copy + given, 0, capacity - given);
    struct pg_launches launches = {.most = most_children};
    struct pg_launch launch = {
        .kernel = kernel,
        .parameters = copy,
        .grid = {dimensions[0], dimensions[1], dimensions[2]},
        .block = {dimensions[3], dimensions[4], dimensions[5]},
        .dynamic_shared = dynamic_shared,
        .stack_bytes = stack_bytes,
        .launches = &launches,
    };
    pg_arm();
    fault->kind = PG_NO_FAULT;
    int result = pg_run(&launch, timeout_ms, fault);
    if (copy != buffer)
        free(copy);
    free(launches.errors);
    *children = launches.first;
    return result;
}

int pg_abi(void)
{
    return PG_ABI;
}

const uint32_t *pg_block_layout(void)
{
#define FIELD(name) (uint32_t)offsetof(struct pg_block, name)
    static const uint32_t layout[] = {
        FIELD(parameters), FIELD(shared), FIELD(local), FIELD(frame), FIELD(state), FIELD(exchange),
        FIELD(snapshot), FIELD(warp_mask), FIELD(launch), FIELD(grid), FIELD(block), FIELD(block_index),
        FIELD(threads), FIELD(dynamic_shared), FIELD(local_stride), sizeof(struct pg_block),
    };
#undef FIELD
    return layout;
}

static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "_runtime",
    .m_doc = "Native runtime of the CPU device; its functions are called through ctypes.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__runtime(void)
{
    pthread_atfork(NULL, NULL, note_fork);
    pg_open_gate();
    return PyModule_Create(&definition);
}
