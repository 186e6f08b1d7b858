/* Tells Python that the host touched device memory, just before the process dies of it.
 *
 * The SIGSEGV handler looks up the fault's address in a table of device allocations. If it is there, a new
 * thread calls back into Python while the faulting one waits, at most PATIENCE seconds, with the GIL released.
 * A new thread, because a handler may be running on a signal stack that is too small for Python. Whatever
 * happens then, the signal goes on to whoever had it before, and in the end the instruction faults again: the
 * process dies exactly as it would have. */
#define _GNU_SOURCE
#include <Python.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <ucontext.h>

#define CAPACITY ((size_t)1 << 20)
#define PATIENCE 5 /* seconds */

/* exported by every CPython, though no part of the limited API */
extern int PyGILState_Check(void);

struct range {
    _Atomic uint64_t first, nbytes;
};

enum { IDLE, TELLING, TOLD };

static struct range *ranges; /* CAPACITY of them: never moved, so that a handler can read it at any time */
static _Atomic size_t used;
static PyObject *callback;
static struct sigaction previous;
static _Atomic int state;
static struct {
    uint64_t address;
    int is_write;
    unsigned long thread;
} fault;

/* the frame of the handler that is passing a signal on, null if none is; read inside signal handlers, where
 * the dynamic TLS models may allocate */
static __thread char *passing __attribute__((tls_model("initial-exec")));

static void handle(int signal, siginfo_t *info, void *context);

static int is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == handle;
}

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
    if (callback) {
        PyObject *result = PyObject_CallFunction(callback, "KOk", (unsigned long long)fault.address,
                                                 fault.is_write ? Py_True : Py_False, fault.thread);
        if (!result)
            PyErr_WriteUnraisable(callback);
        Py_XDECREF(result);
    }
    PyGILState_Release(gil);
    atomic_store(&state, TOLD);
    return unused;
}

/* Have Python told of the fault, once in the life of the process, and wait until it has been. */
static void report(uint64_t address, int is_write)
{
    int expected = IDLE;
    if (atomic_compare_exchange_strong(&state, &expected, TELLING)) {
        fault.address = address;
        fault.is_write = is_write;
        fault.thread = (unsigned long)pthread_self();
        pthread_t thread;
        if (pthread_create(&thread, NULL, tell, NULL)) {
            atomic_store(&state, TOLD);
            return;
        }
        pthread_detach(thread);
    }
    PyThreadState *released = PyGILState_Check() ? PyEval_SaveThread() : NULL;
    const struct timespec millisecond = {.tv_nsec = 1000000};
    for (int i = 0; i < PATIENCE * 1000 && atomic_load(&state) == TELLING; i++)
        nanosleep(&millisecond, NULL);
    if (released && atomic_load(&state) == TOLD)
        PyEval_RestoreThread(released);
}

static void take_default_action(int signal, int is_synchronous)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(signal, &action, NULL);
    /* a synchronous signal comes again by itself, with its own address, when the handlers have returned */
    if (!is_synchronous)
        raise(signal);
}

static void pass_on(int signal, siginfo_t *info, void *context)
{
    char here;
    int is_synchronous = info->si_code > 0;
    /* The handler before us may call its own predecessor, which may be us. The stack grows downwards: a frame
     * that is not below the recorded one means that it has left by a jump instead. */
    int is_nested = passing && &here < passing;
    if (is_nested || previous.sa_handler == SIG_DFL || (previous.sa_handler == SIG_IGN && is_synchronous)) {
        take_default_action(signal, is_synchronous);
        return;
    }
    if (previous.sa_handler == SIG_IGN)
        return;
    passing = &here;
    if (previous.sa_flags & SA_SIGINFO)
        previous.sa_sigaction(signal, info, context);
    else
        previous.sa_handler(signal);
    passing = NULL;
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

static void handle(int signal, siginfo_t *info, void *context)
{
    int saved = errno;
    if (info->si_code > 0 && atomic_load(&state) != TOLD && is_watched((uint64_t)(uintptr_t)info->si_addr))
        report((uint64_t)(uintptr_t)info->si_addr, is_write(context));
    pass_on(signal, info, context);
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

PyDoc_STRVAR(arm_doc, "arm(callback)\n--\n\n"
                      "Have callback(address, is_write, thread) called on a host access to watched memory.\n\n"
                      "To be called again from time to time: whoever took SIGSEGV since is put behind.");

static PyObject *arm(PyObject *module, PyObject *function)
{
    (void)module;
    struct sigaction now;
    if (sigaction(SIGSEGV, NULL, &now))
        return PyErr_SetFromErrno(PyExc_OSError);
    PyObject *old = callback;
    callback = Py_NewRef(function);
    Py_XDECREF(old);
    if (!is_ours(&now)) {
        /* Python's own handlers run on the signal stack where there is one, and so must this: the stack may be
         * what overflowed. A handler before us that leaves by a jump must not leave the signal blocked. */
        struct sigaction ours = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
        previous = now;
        if (sigaction(SIGSEGV, &ours, NULL))
            return PyErr_SetFromErrno(PyExc_OSError);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(disarm_doc, "disarm()\n--\n\nForget the callback, and step back where nobody has come in front.");

static PyObject *disarm(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    struct sigaction now;
    atomic_store(&used, 0);
    Py_CLEAR(callback);
    if (!sigaction(SIGSEGV, NULL, &now) && is_ours(&now))
        sigaction(SIGSEGV, &previous, NULL);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"watch", watch, METH_VARARGS, watch_doc},
    {"arm", arm, METH_O, arm_doc},
    {"disarm", disarm, METH_NOARGS, disarm_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_hostfault",
    .m_doc = "Host accesses to device memory.",
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
