/* The reserved address region: which of its pages have memory behind them. Layout: cpu/abi.py. */
#define _GNU_SOURCE
#include "runtime.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE ((uint64_t)2 << 20)

uint64_t pg_region_base;

static _Atomic uint64_t scratch_used;

int pg_reserve(void)
{
    if (pg_region_base)
        return 0;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    /* twice the size holds an aligned region wherever the kernel puts it */
    char *whole = mmap(NULL, 2 * PG_REGION, PROT_NONE, flags, -1, 0);
    if (whole == MAP_FAILED)
        return errno;
    uint64_t start = (uint64_t)whole;
    uint64_t base = (start + PG_REGION - 1) & ~(PG_REGION - 1);
    if (base > start)
        munmap(whole, base - start);
    munmap((void *)(base + PG_REGION), start + PG_REGION - base);
    pg_region_base = base;
    return 0;
}

static int make_inaccessible(uint64_t address, uint64_t nbytes)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    return mmap((void *)address, nbytes, PROT_NONE, flags, -1, 0) == MAP_FAILED ? errno : 0;
}

/* Whether [address, address + nbytes) lies whole in the window that begins at `window`. */
static int is_inside(uint64_t address, uint64_t nbytes, uint64_t window)
{
    return pg_region_base && nbytes && address >= window && nbytes <= PG_WINDOW
           && address - window <= PG_WINDOW - nbytes;
}

int pg_commit(uint64_t address, uint64_t nbytes)
{
    if (!is_inside(address, nbytes, pg_region_base))
        return EINVAL;
    if (mprotect(PG_HOST(address), nbytes, PROT_READ | PROT_WRITE))
        return errno;
    /* advice only: without huge pages a kernel's first touch of its output costs a fault every 4 KiB */
    if (nbytes >= HUGE_PAGE)
        madvise(PG_HOST(address), nbytes, MADV_HUGEPAGE);
    return 0;
}

int pg_decommit(uint64_t address, uint64_t nbytes)
{
    if (!is_inside(address, nbytes, pg_region_base))
        return EINVAL;
    return make_inaccessible((uint64_t)PG_HOST(address), nbytes);
}

int pg_commit_host(uint64_t address, uint64_t nbytes)
{
    if (!is_inside(address, nbytes, pg_region_base + 2 * PG_WINDOW))
        return EINVAL;
    /* a file of its own for each range: no descriptor stays open, which the program could close */
    int file = memfd_create("pycuda-guard-host", MFD_CLOEXEC);
    if (file < 0)
        return errno;
    const int protection = PROT_READ | PROT_WRITE;
    const int flags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;
    int error = 0;
    if (ftruncate(file, (off_t)nbytes) || mmap(PG_HOST(address), nbytes, protection, flags, file, 0) == MAP_FAILED)
        error = errno;
    else if (mmap((void *)address, nbytes, protection, flags, file, 0) == MAP_FAILED) {
        error = errno;
        make_inaccessible((uint64_t)PG_HOST(address), nbytes);
    }
    close(file);
    return error;
}

int pg_decommit_host(uint64_t address, uint64_t nbytes)
{
    if (!is_inside(address, nbytes, pg_region_base + 2 * PG_WINDOW))
        return EINVAL;
    /* a part of a range keeps its pages until the whole range is unmapped, unless they are punched out */
    if (madvise(PG_HOST(address), nbytes, MADV_REMOVE) && errno != EINVAL && errno != EOPNOTSUPP)
        return errno;
    int error = make_inaccessible(address, nbytes);
    return error ? error : make_inaccessible((uint64_t)PG_HOST(address), nbytes);
}

uint64_t pg_scratch(uint64_t nbytes)
{
    if (!pg_region_base || !nbytes || nbytes > PG_WINDOW - PG_SCRATCH)
        return 0;
    nbytes = (nbytes + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    uint64_t used = atomic_load(&scratch_used);
    do {
        if (nbytes > PG_WINDOW - PG_SCRATCH - used)
            return 0;
    } while (!atomic_compare_exchange_weak(&scratch_used, &used, used + nbytes));
    return pg_region_base + PG_SCRATCH + used;
}
