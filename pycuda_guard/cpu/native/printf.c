/* printf of kernels: CUDA's format specifiers over a packed argument buffer in device memory. */
#define _GNU_SOURCE
#include "runtime.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_FIFO ((size_t)8650752)
/* widths and precisions beyond this are cut: a kernel must not make the host allocate gigabytes */
#define MAX_WIDTH (1 << 20)

/* A growing string; `text` is null once memory has run out. */
struct text {
    char *text;
    size_t length, capacity;
};

/* What has been printed and not been written: the last calls' output of up to `fifo` bytes, from `first` on. */
static struct text gathered;
static size_t first;
static size_t *ends; /* of the output of each call since, from ends[first_call] on */
static size_t calls, first_call, most_calls;
static size_t fifo = DEFAULT_FIFO;

int pg_has_output;
static pthread_mutex_t gathered_lock = PTHREAD_MUTEX_INITIALIZER;

/* Make room for `more` bytes and a NUL; whether there is. */
static int reserve(struct text *to, size_t more)
{
    size_t need = to->length + more + 1;
    if (need <= to->capacity)
        return 1;
    size_t capacity = to->capacity ? to->capacity : 256;
    while (capacity < need)
        capacity *= 2;
    char *text = realloc(to->text, capacity);
    if (!text)
        return 0;
    to->text = text;
    to->capacity = capacity;
    return 1;
}

static void append(struct text *to, const char *from, size_t length)
{
    if (!reserve(to, length))
        return;
    memcpy(to->text + to->length, from, length);
    to->length += length;
    to->text[to->length] = 0;
}

/* Append the string at a device address, at most `limit` bytes of it; whether it could be read. */
static int append_string(struct text *to, uint64_t address, size_t limit)
{
    char piece[1024];
    for (;;) {
        size_t capacity = limit < sizeof piece ? limit + 1 : sizeof piece;
        int64_t length = pg_read_string(piece, address, capacity);
        append(to, piece, length < 0 ? strlen(piece) : (size_t)length);
        if (length < (int64_t)capacity - 1)
            return length >= 0;
        limit -= (size_t)length;
        if (!limit)
            return 1;
        address += (uint64_t)length;
    }
}

/* One call's state. */
struct call {
    uint64_t arguments;
    uint64_t offset; /* of the next argument */
    uint64_t wrong;  /* address that could not be read, 0 if none */
    int32_t count;
    struct text output;
};

/* Take the next argument, which has `nbytes` bytes and that alignment. */
static uint64_t take(struct call *call, uint64_t nbytes)
{
    uint64_t value = 0;
    uint64_t offset = (call->offset + nbytes - 1) & ~(nbytes - 1);
    call->offset = offset + nbytes;
    call->count++;
    if (!call->wrong && pg_read(&value, call->arguments + offset, nbytes))
        call->wrong = call->arguments + offset;
    return value;
}

/* A conversion specification, `%[flags][width][.precision][size]type`. */
struct conversion {
    char flags[8];
    int width;
    int precision; /* -1 if none */
    int size;      /* bytes of an integer argument, 4 or 8 */
    int narrow;    /* 1 for h, 2 for hh */
    char type;
};

static int read_number(struct call *call, const char **at)
{
    long value = 0;
    if (**at == '*') {
        ++*at;
        value = (int32_t)take(call, 4);
    } else
        while (**at >= '0' && **at <= '9') {
            if (value < MAX_WIDTH)
                value = value * 10 + (**at - '0');
            ++*at;
        }
    return value > MAX_WIDTH ? MAX_WIDTH : value < -MAX_WIDTH ? -MAX_WIDTH : (int)value;
}

/* Parse what follows a `%`; return the position after it. */
static const char *parse(struct call *call, const char *at, struct conversion *to)
{
    *to = (struct conversion){.precision = -1, .size = 4};
    while (*at && strchr("-+ #0", *at)) {
        if (!strchr(to->flags, *at))
            to->flags[strlen(to->flags)] = *at;
        at++;
    }
    to->width = read_number(call, &at);
    if (to->width < 0) { /* from `*`: as the flag `-` */
        if (!strchr(to->flags, '-'))
            to->flags[strlen(to->flags)] = '-';
        to->width = -to->width;
    }
    if (*at == '.') {
        at++;
        to->precision = read_number(call, &at);
        if (to->precision < 0)
            to->precision = -1;
    }
    for (; *at && strchr("hlLqjzt", *at); at++) {
        if (*at == 'h')
            to->narrow++;
        else if (*at != 'L')
            to->size = 8;
    }
    to->type = *at ? *at++ : 0;
    return at;
}

/* Append by the host's printf: `%flags width .precision length type`. */
static void print_host(struct text *to, const struct conversion *spec, const char *length, ...)
{
    char format[64];
    int used = snprintf(format, sizeof format, "%%%s", spec->flags);
    if (spec->width)
        used += snprintf(format + used, sizeof format - (size_t)used, "%d", spec->width);
    if (spec->precision >= 0)
        used += snprintf(format + used, sizeof format - (size_t)used, ".%d", spec->precision);
    snprintf(format + used, sizeof format - (size_t)used, "%s%c", length, spec->type);
    size_t room = (size_t)spec->width + (spec->precision > 0 ? (size_t)spec->precision : 0) + 512;
    if (!reserve(to, room))
        return;
    va_list values;
    va_start(values, length);
    int written = vsnprintf(to->text + to->length, room, format, values);
    va_end(values);
    if (written > 0)
        to->length += (size_t)written < room ? (size_t)written : room - 1;
}

static void print_string(struct call *call, const struct conversion *spec)
{
    uint64_t address = take(call, 8);
    size_t limit = spec->precision < 0 ? SIZE_MAX / 2 : (size_t)spec->precision;
    struct text value = {0};
    if (!address)
        append(&value, "(null)", limit < 6 ? limit : 6);
    else if (limit && !append_string(&value, address, limit) && !call->wrong)
        call->wrong = address;
    size_t width = (size_t)spec->width;
    size_t padding = width > value.length ? width - value.length : 0;
    int is_left = strchr(spec->flags, '-') != NULL;
    if (is_left)
        append(&call->output, value.text, value.length);
    if (padding && reserve(&call->output, padding)) {
        memset(call->output.text + call->output.length, ' ', padding);
        call->output.length += padding;
        call->output.text[call->output.length] = 0;
    }
    if (!is_left)
        append(&call->output, value.text, value.length);
    free(value.text);
}

static void print_argument(struct call *call, struct conversion *spec, const char *text, size_t length)
{
    switch (spec->type) {
    case 'd':
    case 'i':
    case 'u':
    case 'o':
    case 'x':
    case 'X':
        if (spec->size == 8)
            print_host(&call->output, spec, "ll", (long long)take(call, 8));
        else
            print_host(&call->output, spec, spec->narrow > 1 ? "hh" : spec->narrow ? "h" : "",
                       (int)(uint32_t)take(call, 4));
        break;
    case 'c':
        print_host(&call->output, spec, "", (int)(uint32_t)take(call, 4));
        break;
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
    case 'a':
    case 'A': {
        uint64_t bits = take(call, 8);
        double value;
        memcpy(&value, &bits, sizeof value);
        print_host(&call->output, spec, "", value);
        break;
    }
    case 'p':
        print_host(&call->output, spec, "", (void *)take(call, 8));
        break;
    case 's':
        print_string(call, spec);
        break;
    case 'n': /* never written through: the argument is only skipped */
        take(call, 8);
        break;
    case '%':
        append(&call->output, "%", 1);
        break;
    default: /* no conversion: printed as it stands */
        append(&call->output, text, length);
    }
}

/* Forget the oldest calls' output if there is more than the buffer holds, as on a GPU. */
static void drop_oldest(void)
{
    while (first_call < calls && gathered.length - first > fifo)
        first = ends[first_call++];
    if (first <= fifo)
        return;
    memmove(gathered.text, gathered.text + first, gathered.length - first);
    gathered.length -= first;
    memmove(ends, ends + first_call, (calls - first_call) * sizeof *ends);
    calls -= first_call;
    for (size_t i = 0; i < calls; i++)
        ends[i] -= first;
    first = first_call = 0;
}

static void gather(const struct text *output)
{
    if (calls == most_calls) {
        size_t more = most_calls ? 2 * most_calls : 1024;
        size_t *grown = realloc(ends, more * sizeof *ends);
        if (!grown)
            return;
        ends = grown;
        most_calls = more;
    }
    append(&gathered, output->text, output->length);
    ends[calls++] = gathered.length;
    pg_has_output = 1;
    drop_oldest();
}

int32_t pg_vprintf(uint64_t format, uint64_t arguments)
{
    if (!format)
        return -1;
    struct text pattern = {0};
    struct call call = {.arguments = arguments};
    pg_enter();
    if (!append_string(&pattern, format, SIZE_MAX / 2))
        call.wrong = format;
    for (const char *at = pattern.text; at && *at && !call.wrong;) {
        size_t plain = strcspn(at, "%");
        append(&call.output, at, plain);
        at += plain;
        if (*at == '%') {
            struct conversion spec;
            const char *next = parse(&call, at + 1, &spec);
            print_argument(&call, &spec, at, (size_t)(next - at));
            at = next;
        }
    }
    free(pattern.text);
    if (!call.wrong && call.output.length) {
        pthread_mutex_lock(&gathered_lock);
        gather(&call.output);
        pthread_mutex_unlock(&gathered_lock);
    }
    free(call.output.text);
    pg_leave();
    if (call.wrong) {
        struct pg_fault fault = {.kind = PG_ILLEGAL_ADDRESS, .known = 1, .address = call.wrong};
        pg_raise(&fault);
    }
    return call.count;
}

void pg_flush(void)
{
    pthread_mutex_lock(&gathered_lock);
    if (gathered.length > first) {
        fwrite(gathered.text + first, 1, gathered.length - first, stdout);
        fflush(stdout);
    }
    gathered.length = first = calls = first_call = 0;
    pg_has_output = 0;
    pthread_mutex_unlock(&gathered_lock);
}

void pg_printf_resize(uint64_t nbytes)
{
    pthread_mutex_lock(&gathered_lock);
    fifo = nbytes;
    pthread_mutex_unlock(&gathered_lock);
}
