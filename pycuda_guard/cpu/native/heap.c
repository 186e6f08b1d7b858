/* malloc and free of kernels: a buddy allocator over scratch of the device window.
 *
 * Its books are kept outside of device memory, where kernels cannot destroy them. The area is twice the
 * heap's size: what counts against the size is what was asked for, so that rounding up to powers of two
 * never makes a request fail that the size allows. */
#define _GNU_SOURCE
#include "runtime.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define UNIT_BITS 4
#define MAX_ORDER 36
#define DEFAULT_BYTES ((uint64_t)8 << 20)
#define MAX_BYTES ((uint64_t)1 << (UNIT_BITS + 30))

enum { UNUSED = 0, FREE = 1, TAKEN = 2 };

/* Of each unit that begins a block; the area's memory for these is mapped, but only touched as needed. */
struct unit {
    uint32_t next, previous; /* in the list of free blocks of this order; unit numbers + 1, 0 = none */
    uint32_t units;          /* TAKEN: what was asked for */
    uint8_t status, order;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t limit = DEFAULT_BYTES;
static uint64_t taken; /* bytes */
static uint64_t area;  /* device address, 0 before the first use */
static uint32_t area_order;
static struct unit *units;
static uint32_t free_lists[MAX_ORDER + 1];

static void link_free(uint32_t index, uint32_t order)
{
    uint32_t head = free_lists[order];
    units[index] = (struct unit){.next = head, .status = FREE, .order = (uint8_t)order};
    if (head)
        units[head - 1].previous = index + 1;
    free_lists[order] = index + 1;
}

static void unlink_free(uint32_t index)
{
    struct unit *unit = &units[index];
    if (unit->previous)
        units[unit->previous - 1].next = unit->next;
    else
        free_lists[unit->order] = unit->next;
    if (unit->next)
        units[unit->next - 1].previous = unit->previous;
    unit->status = UNUSED;
}

/* Map the area and its books; whether that worked. */
static int start(void)
{
    uint64_t nbytes = (uint64_t)2 << 20;
    while (nbytes < 2 * limit)
        nbytes *= 2;
    uint64_t count = nbytes >> UNIT_BITS;
    struct unit *books = mmap(NULL, count * sizeof *books, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (books == MAP_FAILED)
        return 0;
    uint64_t address = pg_scratch(nbytes);
    if (!address || pg_commit(address, nbytes)) {
        munmap(books, count * sizeof *books);
        return 0;
    }
    units = books;
    area = address;
    area_order = (uint32_t)__builtin_ctzll(count);
    link_free(0, area_order);
    return 1;
}

int pg_heap_resize(uint64_t nbytes)
{
    pthread_mutex_lock(&lock);
    int refused = area != 0 || nbytes > MAX_BYTES;
    if (!refused)
        limit = nbytes;
    pthread_mutex_unlock(&lock);
    return refused;
}

uint64_t pg_heap_bytes(void)
{
    return limit;
}

static uint64_t allocate(uint64_t nbytes)
{
    if (nbytes > limit || (!area && !start()))
        return 0;
    uint64_t wanted = nbytes ? (nbytes + (1 << UNIT_BITS) - 1) >> UNIT_BITS : 1;
    if ((wanted << UNIT_BITS) > limit - taken)
        return 0;
    uint32_t order = wanted > 1 ? 64 - (uint32_t)__builtin_clzll(wanted - 1) : 0;
    uint32_t from = order;
    while (from <= area_order && !free_lists[from])
        from++;
    if (from > area_order)
        return 0;
    uint32_t index = free_lists[from] - 1;
    unlink_free(index);
    while (from > order) {
        from--;
        link_free(index + ((uint32_t)1 << from), from);
    }
    units[index] = (struct unit){.units = (uint32_t)wanted, .status = TAKEN, .order = (uint8_t)order};
    taken += wanted << UNIT_BITS;
    return area + ((uint64_t)index << UNIT_BITS);
}

static void release(uint64_t address)
{
    uint64_t offset = address - area;
    if (!area || offset >> UNIT_BITS >> area_order || offset & ((1 << UNIT_BITS) - 1))
        return;
    uint32_t index = (uint32_t)(offset >> UNIT_BITS);
    if (units[index].status != TAKEN) /* freed before, or never allocated */
        return;
    uint32_t order = units[index].order;
    taken -= (uint64_t)units[index].units << UNIT_BITS;
    units[index].status = UNUSED;
    for (; order < area_order; order++) {
        uint32_t buddy = index ^ ((uint32_t)1 << order);
        if (units[buddy].status != FREE || units[buddy].order != order)
            break;
        unlink_free(buddy);
        index &= ~((uint32_t)1 << order);
    }
    link_free(index, order);
}

uint64_t pg_malloc(uint64_t nbytes)
{
    pg_enter();
    pthread_mutex_lock(&lock);
    uint64_t address = allocate(nbytes);
    pthread_mutex_unlock(&lock);
    pg_leave();
    return address;
}

void pg_free(uint64_t device_address)
{
    pg_enter();
    pthread_mutex_lock(&lock);
    release(device_address);
    pthread_mutex_unlock(&lock);
    pg_leave();
}
