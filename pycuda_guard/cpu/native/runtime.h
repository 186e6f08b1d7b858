/* The CPU device's native runtime: what its C files, generated code and ctypes agree on.
 *
 * The layout of struct pg_block, the enumerations and the address region are those of cpu/abi.py. "Device
 * address" means an address in the device or the host window; the memory behind it is at PG_HOST(address). */
#ifndef PG_RUNTIME_H
#define PG_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#define PG_WINDOW_BITS 40
#define PG_WINDOW ((uint64_t)1 << PG_WINDOW_BITS)
#define PG_REGION (4 * PG_WINDOW)
#define PG_REGION_MASK (~(PG_REGION - 1) | PG_WINDOW)
#define PG_SHARED_WINDOW ((uint64_t)1 << 31)
#define PG_DYNAMIC_SHARED ((uint64_t)1 << 20)
/* the upper half of the device window belongs to the runtime: shared windows, local memory, in-kernel heap */
#define PG_SCRATCH (PG_WINDOW / 2)

/* where generated code sends misaligned accesses, give or take a quarter of the window */
#define PG_MISALIGNED (PG_WINDOW / 2)

#define PG_HOST(address) ((void *)((uint64_t)(address) | PG_WINDOW))

#define PG_EXPORT __attribute__((visibility("default")))

enum pg_state { PG_EXITED = -1, PG_MIXED = -2 };

enum pg_suspension {
    PG_NONE = 0,
    PG_BARRIER = 1,
    PG_WARP = 2,
    PG_VOTE_BARRIER = 3,
    PG_LOCKSTEP = 4,
    PG_YIELD = 5,
    PG_NAMED_BARRIER = 6,
    PG_ARRIVAL = 7,
    PG_SPIN = 8,
    PG_NAMED_VOTE_BARRIER = 9,
    SUSPENSIONS,
};

enum pg_fault_kind {
    PG_NO_FAULT = 0,
    PG_ILLEGAL_ADDRESS = 1,
    PG_TRAP = 2,
    PG_ASSERT = 3,
    PG_DEADLOCK = 4,
    PG_STACK_OVERFLOW = 5,
    PG_ILLEGAL_INSTRUCTION = 6,
    PG_TIMEOUT = 7,
    PG_INTERRUPTED = 8,
    PG_MISALIGNED_ADDRESS = 9,
};

/* What generated code sees of the block that it runs; one a worker. Fields as in abi.BLOCK_FIELDS. */
struct pg_block {
    uint64_t parameters;
    uint64_t shared;
    uint64_t local;
    uint64_t frame;
    uint64_t state;
    uint64_t exchange;
    uint64_t snapshot;
    uint64_t warp_mask;
    uint64_t launch;
    uint32_t grid[3];
    uint32_t block[3];
    uint32_t block_index[3];
    uint32_t threads;
    uint32_t dynamic_shared;
    uint32_t local_stride;
};

typedef void (*pg_blocks_function)(struct pg_block *block, int64_t first, int64_t last);
typedef int32_t (*pg_full_function)(struct pg_block *block);
typedef void (*pg_range_function)(struct pg_block *block, int32_t low, int32_t high);

/* A loaded kernel; filled by runtime.py from its KernelPlan. Either `blocks` is set (no suspension point,
 * regions == 0) or full, range and suspension have `regions` elements each. */
struct pg_kernel {
    const char *name;
    pg_blocks_function blocks;
    const pg_full_function *full;
    const pg_range_function *range;
    const uint8_t *suspension; /* enum pg_suspension of the start of each region */
    uint32_t regions;
    uint32_t parameter_bytes;
    uint32_t static_shared; /* bytes */
    uint32_t local_bytes;   /* a thread */
    uint32_t frame_slots;   /* 8-byte slots a thread */
    uint32_t reserved;
};

/* One launch; lives as long as pg_run. */
struct pg_launch {
    const struct pg_kernel *kernel;
    const void *parameters; /* kernel->parameter_bytes bytes, 64-byte aligned */
    uint32_t grid[3];
    uint32_t block[3];
    uint32_t dynamic_shared;
    uint32_t stack_bytes; /* local memory a thread beyond the kernel's, for calls that recurse; 0: none does */
    struct pg_launches *launches; /* what the kernel launches itself */
};

/* A kernel that another launched, to be run when that has ended; one of a list. */
struct pg_child {
    struct pg_child *next;
    uint64_t kernel; /* its address as generated code knows it */
    uint32_t grid[3];
    uint32_t block[3];
    uint32_t shared; /* bytes of dynamic shared memory */
    uint32_t nbytes;
    uint32_t is_tail; /* to be run after all others and what they launch */
    uint32_t reserved;
    char parameters[];
};

/* How a launch failed. */
struct pg_fault {
    int32_t kind;       /* enum pg_fault_kind */
    int32_t known;      /* `address` is exactly the one the kernel used */
    int32_t located;    /* block and thread are known */
    int32_t line;       /* PG_ASSERT: line of the assertion */
    uint64_t address;   /* PG_ILLEGAL_ADDRESS: device address, 0 where unknown */
    uint32_t block[3];
    uint32_t thread[3];
    char message[256];  /* PG_ASSERT: the expression; PG_DEADLOCK: who waits for what */
    char file[256];     /* PG_ASSERT */
    char function[256]; /* PG_ASSERT */
};

/* -- region.c ------------------------------------------------------------------------------------------- */

/* Base address of the reserved region; 0 before pg_reserve. Generated code reads it by this name. */
extern PG_EXPORT uint64_t pg_region_base;

/* All return 0 or an errno value. Addresses and sizes are multiples of the page size. */
PG_EXPORT int pg_reserve(void);
PG_EXPORT int pg_commit(uint64_t device_address, uint64_t nbytes);
PG_EXPORT int pg_decommit(uint64_t device_address, uint64_t nbytes);
PG_EXPORT int pg_commit_host(uint64_t host_address, uint64_t nbytes);
PG_EXPORT int pg_decommit_host(uint64_t host_address, uint64_t nbytes);

/* Take `nbytes` of the runtime's own half of the device window (whole 2 MiB units, none committed) for the
 * rest of the process; 0 when it is used up. Commit what is used with pg_commit. */
PG_EXPORT uint64_t pg_scratch(uint64_t nbytes);

static inline int pg_is_device_address(uint64_t address)
{
    return (address & PG_REGION_MASK) == pg_region_base;
}

/* -- faults.c ------------------------------------------------------------------------------------------- */

/* Install the signal handlers, or put them in front again if somebody took SIGSEGV: the others are looked at
 * only then, as four system calls are a third of a small launch. */
PG_EXPORT void pg_arm(void);

/* Run function(argument) on this thread. Return 0; or 1 if it faulted, trapped or failed an assertion, with
 * *fault filled. The function is left without unwinding: it may hold no lock and own no memory meanwhile.
 * Rounding and denormal modes are the defaults inside, and the caller's again outside. May be nested. */
PG_EXPORT int pg_guarded(void (*function)(void *), void *argument, struct pg_fault *fault);

/* Around what a kernel must not be torn out of when it is given up: holding a lock, owning memory. May be nested;
 * if the kernel is given up meanwhile, the outermost pg_leave does not return. */
void pg_enter(void);
void pg_leave(void);

/* What makes a thread look up from a kernel: a signal that nobody else is likely to use. It gets through to any
 * loop, costs nothing, and leaves the code of loops alone. */
#define PG_TICK_SIGNAL (SIGRTMAX - 3)

/* Leave the innermost pg_guarded with this fault (copied). */
PG_EXPORT _Noreturn void pg_raise(const struct pg_fault *fault);

/* Copy `nbytes` from a device address; 0, or 1 if some of it is not accessible. */
PG_EXPORT int pg_read(void *to, uint64_t device_address, size_t nbytes);

/* Copy a NUL-terminated string of a device address, cut to capacity - 1 bytes. Return its length as
 * copied, or -1 if some of it is not accessible (`to` then holds what was). */
PG_EXPORT int64_t pg_read_string(char *to, uint64_t device_address, size_t capacity);

/* Called by generated code. `thread` is the linear index of the thread in its block, whose block_index must be
 * up to date. */
PG_EXPORT _Noreturn void pg_trap(const struct pg_block *block, uint32_t thread);
PG_EXPORT _Noreturn void pg_assert_fail(const struct pg_block *block, uint32_t thread, uint64_t message,
                                        uint64_t file, uint32_t line, uint64_t function);

/* -- printf.c ------------------------------------------------------------------------------------------- */

/* CUDA's vprintf: device addresses of the format and of the packed arguments; returns the number of
 * arguments, or -1 if the format is null. */
PG_EXPORT int32_t pg_vprintf(uint64_t format, uint64_t arguments);

/* Write what pg_vprintf has gathered to standard output. Of more bytes than the size set, the oldest are lost. */
extern PG_EXPORT int pg_has_output; /* whether there is any */
PG_EXPORT void pg_printf_resize(uint64_t nbytes);
PG_EXPORT void pg_flush(void);

/* -- heap.c --------------------------------------------------------------------------------------------- */

/* Size of the in-kernel heap in bytes; setting it fails (returns 1) after its first use. */
PG_EXPORT int pg_heap_resize(uint64_t nbytes);
PG_EXPORT uint64_t pg_heap_bytes(void);
PG_EXPORT uint64_t pg_malloc(uint64_t nbytes); /* device address, 16-byte aligned; 0 when it is full */
PG_EXPORT void pg_free(uint64_t device_address);

/* -- launches.c ----------------------------------------------------------------------------------------- */

/* CUDA's device runtime. Memory for `nbytes` of parameters of a launch, 0 where it can't be made; the launch; and
 * the last error of the thread, forgotten if `reset`. The latter return a cudaError_t. */
PG_EXPORT uint64_t pg_parameter_buffer(const struct pg_block *block, uint32_t thread, uint64_t kernel,
                                       const uint32_t *grid, const uint32_t *threads, uint32_t shared,
                                       uint32_t nbytes);
PG_EXPORT int32_t pg_launch_device(const struct pg_block *block, uint32_t thread, uint64_t buffer,
                                   uint64_t stream);
PG_EXPORT int32_t pg_device_error(const struct pg_block *block, uint32_t thread, int32_t reset);

PG_EXPORT void pg_free_children(struct pg_child *first);

/* -- pool.c --------------------------------------------------------------------------------------------- */

enum pg_launch_result { PG_OK = 0, PG_FAULTED = 1, PG_FORKED = 2, PG_NO_MEMORY = 3 };

/* Run all blocks of a launch on the worker pool and wait; return PG_OK, PG_NO_MEMORY, or PG_FAULTED with *fault
 * filled. After `timeout_ms` milliseconds (0: never), when pg_is_interrupted says so or pg_cancel is called, the
 * kernel is given up. Calls are serialized; generated code runs under pg_guarded. */
PG_EXPORT int pg_run(struct pg_launch *launch, uint64_t timeout_ms, struct pg_fault *fault);

/* Give up the running kernel, from another thread; without effect if there is none. */
PG_EXPORT void pg_cancel(void);

/* -- gate.c --------------------------------------------------------------------------------------------- */

/* Where the stubs of a library of ours jump to, with the address of their table cell in r11 (see cpu/elf.py);
 * not to be called from C. */
PG_EXPORT void pg_gate(void);

/* Called once, with the GIL, when the extension module is imported. */
void pg_open_gate(void);

/* -- interrupt.c ----------------------------------------------------------------------------------------- */

/* Run the Python handlers of signals that have come in, if this is the main thread. An exception that one raises is
 * kept, and raised in the program when the driver function has returned. With the GIL. */
void pg_handle_signals(void);

/* The same without the GIL; whether an exception is kept. In other threads always 0. */
int pg_is_interrupted(void);

/* Keep an exception to be raised in the program when the main thread's driver function has returned; for the main
 * thread, with the GIL. */
PG_EXPORT void pg_interrupt(void *exception);

/* Schedule a kept exception; called by the gate, with the GIL, when the outermost driver function has returned. */
void pg_raise_interruption(void);

/* -- module.c ------------------------------------------------------------------------------------------- */

/* Changed with every change of what runtime.py or generated code relies on, so that a stale build is noticed;
 * equal to runtime.ABI. */
#define PG_ABI 8
PG_EXPORT int pg_abi(void);

/* pg_run with the parameters copied, aligned and padded with zeros to the kernel's size. `dimensions` are the
 * three of the grid and the three of the block. `*children` are the kernels that it has launched, `most_children` of
 * them at most, to be freed with pg_free_children. Return an enum pg_launch_result. */
PG_EXPORT int pg_launch_kernel(const struct pg_kernel *kernel, const uint32_t *dimensions,
                               uint32_t dynamic_shared, uint32_t stack_bytes, const void *parameters, uint64_t nbytes,
                               uint64_t timeout_ms, uint32_t most_children, struct pg_child **children,
                               struct pg_fault *fault);

/* Offsets of the fields of struct pg_block in order, then its size: a test compares them with abi.py. */
PG_EXPORT const uint32_t *pg_block_layout(void);

#endif
