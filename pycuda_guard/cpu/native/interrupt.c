/* Signals of the program, while the main thread waits for a kernel.
 *
 * Python runs a signal's handler when the main thread next executes Python code, which a wait keeps it from. So the
 * wait looks up from time to time and lets the handlers run. If one raises an exception (that of SIGINT does:
 * KeyboardInterrupt), the wait is over, but between the driver function and the program lies PyCUDA's C++ code, which
 * passes on error codes, not exceptions. Therefore the exception is raised by a pending call: the interpreter makes it
 * before the next instruction of the program. */
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#define _GNU_SOURCE
#include <Python.h>

#include "runtime.h"

#include <sys/syscall.h>
#include <unistd.h>

static struct {
    PyObject *type, *value, *traceback;
} kept;

static int is_main_thread(void)
{
    return (pid_t)syscall(SYS_gettid) == getpid();
}

static void keep(PyObject *type, PyObject *value, PyObject *traceback)
{
    Py_XDECREF(kept.type);
    Py_XDECREF(kept.value);
    Py_XDECREF(kept.traceback);
    kept.type = type;
    kept.value = value;
    kept.traceback = traceback;
}

void pg_handle_signals(void)
{
    /* pending calls include handlers of signals, and what pg_raise_interruption has scheduled if PyCUDA calls
     * another driver function before the program goes on */
    while (Py_MakePendingCalls() < 0) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        keep(type, value, traceback);
    }
}

int pg_is_interrupted(void)
{
    if (!is_main_thread() || !Py_IsInitialized())
        return 0;
    PyGILState_STATE gil = PyGILState_Ensure();
    pg_handle_signals();
    int is_raised = kept.type != NULL;
    PyGILState_Release(gil);
    return is_raised;
}

void pg_interrupt(void *exception)
{
    PyObject *value = exception;
    Py_INCREF(value);
    keep(PyObject_Type(value), value, NULL);
}

static int raise_kept(void *unused)
{
    (void)unused;
    PyObject *type = kept.type, *value = kept.value, *traceback = kept.traceback;
    kept.type = kept.value = kept.traceback = NULL;
    if (!type)
        return 0;
    PyErr_Restore(type, value, traceback);
    return -1;
}

void pg_raise_interruption(void)
{
    if (kept.type && is_main_thread())
        Py_AddPendingCall(raise_kept, NULL);
}
