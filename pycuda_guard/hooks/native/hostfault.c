/* Tells Python that the host touched memory that it should not have: device memory, just before the process dies
 * of it, or pages that the device is using, whose protection is lifted so that the program can go on.
 *
 * A new thread calls back into Python while the faulting one waits, for a few seconds at most, with the GIL
 * released. A new thread, because a handler may be running on a signal stack that is too small for Python. A
 * fault that is not of a held page goes on to whoever had the signal before, and in the end the instruction faults
 * again: the process dies exactly as it would have. */
#define _GNU_SOURCE
#include <Python.h>

#include "hostfault.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#define CAPACITY ((size_t)1 << 20)
#define PATIENCE 5000000000L /* ns */
#define PAUSE 50000L /* ns */

/* exported by every CPython, though no part of the limited API */
extern int PyGILState_Check(void);

struct range {
    _Atomic uint64_t first, nbytes;
};

static struct range *ranges; /* CAPACITY of them: never moved, so that a handler can read it at any time */
static _Atomic size_t used;

/* what to call in Python */
enum { FAULTED, TOUCHED, KINDS };
static PyObject *callbacks[KINDS];
static pid_t owner; /* of the callbacks: a forked child has none */

/* The fault that Python is being told of. One at a time: others wait for their turn. */
static struct {
    uint64_t address;
    unsigned long thread;
    int is_write;
    int kind;
} fault;
static atomic_int is_telling;
static atomic_int is_dying; /* a fault that the process dies of has been told of */

static void handle(int signal, siginfo_t *info, void *context);

/* Python's own handlers run on the signal stack where there is one, and so must this: the stack may be what
 * overflowed. A handler before us that leaves by a jump must not leave the signal blocked. */
static const struct sigaction ours = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

static int is_watched(uint64_t address)
{
    size_t count = atomic_load(&used);
    for (size_t i = 0; i < count; i++)
        if (address - atomic_load(&ranges[i].first) < atomic_load(&ranges[i].nbytes))
            return 1;
    return 0;
}

static void *tell(void *unused)
{
    PyGILState_STATE gil = PyGILState_Ensure();
    PyObject *callback = callbacks[fault.kind];
    if (callback) {
        Py_INCREF(callback);
        PyObject *result = PyObject_CallFunction(callback, "KOk", (unsigned long long)fault.address,
                                                 fault.is_write ? Py_True : Py_False, fault.thread);
        if (!result)
            PyErr_WriteUnraisable(callback);
        Py_XDECREF(result);
        Py_DECREF(callback);
    }
    PyGILState_Release(gil);
    if (fault.kind == FAULTED)
        atomic_store(&is_dying, 1);
    atomic_store(&is_telling, 0);
    return unused;
}

static int start_telling(int kind, uint64_t address, int is_write)
{
    int expected = 0;
    if (!atomic_compare_exchange_strong(&is_telling, &expected, 1))
        return 0;
    fault.kind = kind;
    fault.address = address;
    fault.is_write = is_write;
    fault.thread = (unsigned long)pthread_self();
    pthread_t thread;
    if (pthread_create(&thread, NULL, tell, NULL))
        atomic_store(&is_telling, 0);
    else
        pthread_detach(thread);
    return 1;
}

/* Have Python told of a fault, and wait until it has been. */
static void report(int kind, uint64_t address, int is_write)
{
    PyThreadState *released = PyGILState_Check() ? PyEval_SaveThread() : NULL;
    const struct timespec pause = {.tv_nsec = PAUSE};
    int has_started = 0, is_told = 0;
    for (long waited = 0; waited < PATIENCE && !is_told; waited += PAUSE) {
        if (!has_started)
            has_started = start_telling(kind, address, is_write);
        nanosleep(&pause, NULL);
        is_told = has_started && !atomic_load(&is_telling);
    }
    /* a process that dies anyway must not wait for a report that keeps the GIL and never comes back */
    if (released && (is_told || kind == TOUCHED))
        PyEval_RestoreThread(released);
}

static int is_write(void *context)
{
#ifdef __x86_64__
    return (((ucontext_t *)context)->uc_mcontext.gregs[REG_ERR] & 2) != 0;
#else
    (void)context;
    return 0;
#endif
}

/* Whether a thread runs Python, and Python is that of the process that has asked to be told. Others, such as the
 * driver's own, are nobody's business. */
static int can_tell(void)
{
    return PyGILState_GetThisThreadState() && getpid() == owner;
}

static void handle(int signal, siginfo_t *info, void *context)
{
    int saved = errno;
    uint64_t address = (uint64_t)(uintptr_t)info->si_addr;
    if (info->si_code == SEGV_ACCERR) {
        enum lift lift = pages_lift(address);
        if (lift == LIFT_DONE && can_tell())
            report(TOUCHED, address, is_write(context));
        if (lift != LIFT_NONE) {
            errno = saved;
            return;
        }
    }
    if (info->si_code > 0 && !atomic_load(&is_dying) && is_watched(address) && can_tell())
        report(FAULTED, address, is_write(context));
    chain_pass_on(signal, info, context);
    errno = saved;
}

PyDoc_STRVAR(watch_doc, "watch(slot, first, nbytes)\n--\n\n"
                        "Make slot of the table the device memory at first; nbytes 0 empties it.");

static PyObject *watch(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_ssize_t slot;
    unsigned long long first, nbytes;
    if (!PyArg_ParseTuple(arguments, "nKK", &slot, &first, &nbytes))
        return NULL;
    if (slot < 0 || (size_t)slot >= CAPACITY)
        return PyErr_Format(PyExc_IndexError, "slot %zd of a table of %zu", slot, CAPACITY);
    atomic_store(&ranges[slot].nbytes, 0);
    atomic_store(&ranges[slot].first, first);
    atomic_store(&ranges[slot].nbytes, nbytes);
    if ((size_t)slot >= atomic_load(&used))
        atomic_store(&used, (size_t)slot + 1);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(hold_doc, "hold(slot, first, nbytes, whole)\n--\n\n"
                       "Protect whole pages from the host's writes and, with whole, from its reads too.\n\n"
                       "Takes the place of what slot held before. On the first touch the pages are free again and\n"
                       "on_touch(address, is_write, thread) is called, unless the thread does not run Python.");

static PyObject *hold(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_ssize_t slot;
    unsigned long long first, nbytes;
    int whole;
    if (!PyArg_ParseTuple(arguments, "nKKp", &slot, &first, &nbytes, &whole))
        return NULL;
    if (slot < 0 || (size_t)slot >= HOLDS)
        return PyErr_Format(PyExc_IndexError, "slot %zd of a table of %zu", slot, HOLDS);
    pages_hold((size_t)slot, first, nbytes, whole);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(drop_doc, "drop(slot)\n--\n\nLet the host touch the pages of a slot.");

static PyObject *drop(PyObject *module, PyObject *number)
{
    (void)module;
    Py_ssize_t slot = PyLong_AsSsize_t(number);
    if (slot == -1 && PyErr_Occurred())
        return NULL;
    if (slot < 0 || (size_t)slot >= HOLDS)
        return PyErr_Format(PyExc_IndexError, "slot %zd of a table of %zu", slot, HOLDS);
    pages_drop((size_t)slot);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(renew_doc, "renew()\n--\n\nProtect again what was touched and has not been dropped since.");

static PyObject *renew(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    pages_renew();
    Py_RETURN_NONE;
}

static PyObject *listen(int kind, PyObject *function)
{
    PyObject *old = callbacks[kind];
    callbacks[kind] = Py_NewRef(function);
    owner = getpid();
    Py_XDECREF(old);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(on_fault_doc, "on_fault(callback)\n--\n\n"
                           "Have callback(address, is_write, thread) called on a host access to watched memory.");

static PyObject *on_fault(PyObject *module, PyObject *function)
{
    (void)module;
    return listen(FAULTED, function);
}

PyDoc_STRVAR(on_touch_doc, "on_touch(callback)\n--\n\n"
                           "Have callback(address, is_write, thread) called on a host access to held pages.");

static PyObject *on_touch(PyObject *module, PyObject *function)
{
    (void)module;
    return listen(TOUCHED, function);
}

PyDoc_STRVAR(arm_doc, "arm()\n--\n\n"
                      "Come in front of whoever handles SIGSEGV.\n\n"
                      "To be called again from time to time: whoever took the signal since is put behind.");

static PyObject *arm(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    int error = chain_arm(&ours);
    if (error) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(disarm_doc, "disarm()\n--\n\n"
                         "Forget memory, pages and callbacks, and step back where nobody has come in front.");

static PyObject *disarm(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    atomic_store(&used, 0);
    pages_drop_all();
    for (int kind = 0; kind < KINDS; kind++)
        Py_CLEAR(callbacks[kind]);
    chain_disarm(&ours);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"watch", watch, METH_VARARGS, watch_doc},
    {"hold", hold, METH_VARARGS, hold_doc},
    {"drop", drop, METH_O, drop_doc},
    {"renew", renew, METH_NOARGS, renew_doc},
    {"on_fault", on_fault, METH_O, on_fault_doc},
    {"on_touch", on_touch, METH_O, on_touch_doc},
    {"arm", arm, METH_NOARGS, arm_doc},
    {"disarm", disarm, METH_NOARGS, disarm_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_hostfault",
    .m_doc = "Host accesses to memory that is the device's.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__hostfault(void)
{
    ranges = mmap(NULL, CAPACITY * sizeof *ranges, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ranges == MAP_FAILED)
        return PyErr_SetFromErrno(PyExc_OSError);
    return PyModule_Create(&definition);
}
