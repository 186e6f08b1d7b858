/* The way from C into the driver functions, which are ctypes callbacks: what ctypes does not see to.
 *
 * - A driver function may be called while a Python exception is being raised: a failing call destroys PyCUDA's
 *   objects among its arguments, and these free memory. Python code must not run with an exception set, and the
 *   exception must not be lost.
 * - A signal that has come in before makes its handler run, and perhaps raise an exception, where Python code begins
 *   to run next: in the callback, which has nobody to give it to. So handlers run here, before it.
 * - It may be called when the interpreter is gone, from the destructors of a process that ends. Then there is
 *   nothing left to do, and it succeeds. (While the interpreter is torn down, Python code still runs, though
 *   Py_IsInitialized() already says no; up to when the contents of sys are dropped, which comes after all other
 *   modules. Objects that are destroyed later still are those that only the interpreter itself has kept.) */
#include <Python.h>

#include "runtime.h"

static int is_interpreter_gone;
static __thread int depth; /* of driver functions in this thread, which signal handlers may nest */

struct gate_state {
    PyObject *type, *value, *traceback;
    int64_t gil;
};

/* Whether Python code can run. Needs the GIL. */
static int has_modules(void)
{
    if (Py_IsInitialized())
        return 1;
    PyObject *modules = PySys_GetObject("modules");
    return modules && PyDict_Check(modules);
}

__attribute__((used)) static int gate_enter(struct gate_state *state)
{
    if (is_interpreter_gone)
        return 0;
    state->gil = PyGILState_Ensure();
    if (!has_modules()) {
        PyGILState_Release((PyGILState_STATE)state->gil);
        return 0;
    }
    PyErr_Fetch(&state->type, &state->value, &state->traceback);
    depth++;
    pg_handle_signals();
    return 1;
}

__attribute__((used)) static void gate_leave(struct gate_state *state)
{
    if (!--depth)
        pg_raise_interruption();
    PyErr_Restore(state->type, state->value, state->traceback);
    PyGILState_Release((PyGILState_STATE)state->gil);
}

static void note_end(void)
{
    is_interpreter_gone = 1;
}

void pg_open_gate(void)
{
    Py_AtExit(note_end);
}

/* pg_gate calls the function whose address is at %r11, with the arguments that it was called with: six integers
 * and one float in registers, six words on the stack; more than any driver function has. */
__asm__(".text\n"
        ".globl pg_gate\n"
        ".type pg_gate, @function\n"
        "pg_gate:\n"
        ".cfi_startproc\n"
        "    pushq %rbp\n"
        ".cfi_def_cfa_offset 16\n"
        ".cfi_offset %rbp, -16\n"
        "    movq %rsp, %rbp\n"
        ".cfi_def_cfa_register %rbp\n"
        "    subq $112, %rsp\n"
        "    movq %r11, -8(%rbp)\n"
        "    movq %rdi, -16(%rbp)\n"
        "    movq %rsi, -24(%rbp)\n"
        "    movq %rdx, -32(%rbp)\n"
        "    movq %rcx, -40(%rbp)\n"
        "    movq %r8, -48(%rbp)\n"
        "    movq %r9, -56(%rbp)\n"
        "    movsd %xmm0, -64(%rbp)\n"
        "    leaq -96(%rbp), %rdi\n" /* struct gate_state */
        "    call gate_enter\n"
        "    testl %eax, %eax\n"
        "    jz 1f\n" /* %eax is 0, CUDA_SUCCESS */
        "    movq -16(%rbp), %rdi\n"
        "    movq -24(%rbp), %rsi\n"
        "    movq -32(%rbp), %rdx\n"
        "    movq -40(%rbp), %rcx\n"
        "    movq -48(%rbp), %r8\n"
        "    movq -56(%rbp), %r9\n"
        "    movsd -64(%rbp), %xmm0\n"
        "    pushq 56(%rbp)\n"
        "    pushq 48(%rbp)\n"
        "    pushq 40(%rbp)\n"
        "    pushq 32(%rbp)\n"
        "    pushq 24(%rbp)\n"
        "    pushq 16(%rbp)\n"
        "    movq -8(%rbp), %r11\n"
        "    call *(%r11)\n"
        "    movl %eax, -104(%rbp)\n"
        "    leaq -96(%rbp), %rdi\n"
        "    call gate_leave\n"
        "    movl -104(%rbp), %eax\n"
        "1:  leave\n"
        ".cfi_def_cfa %rsp, 8\n"
        "    ret\n"
        ".cfi_endproc\n"
        ".size pg_gate, . - pg_gate\n");
