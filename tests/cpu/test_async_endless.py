"""Kernels that never end, and what a program may do meanwhile."""

from __future__ import annotations

import pytest
from async_support import answers, run

pytest.importorskip("pycuda")

GIVEN_UP = "unspecified launch failure: kernel {}, given up when the program was interrupted"
#: Runtime.launch runs a kernel
INTERRUPT = "interrupt('launch')"
MANY = "grid=(8, 1), block=(1024, 1, 1)"


@pytest.mark.parametrize(
    "name, shape",
    [
        ("spin", "**one"),
        ("spin", MANY),
        ("busy", "**one"),
        ("busy", MANY),
        ("chatty", "**one"),
        ("chatty", MANY),
        ("meet", MANY),
        ("greedy", MANY),
    ],
)
def test_ctrl_c_ends_a_kernel_that_never_ends(name, shape):
    said = answers(
        f"""
        a = cuda.mem_alloc(1 << 16)
        cuda.memset_d32(a, 0, 1 << 14)
        cuda.Context.synchronize()
        {INTERRUPT}
        try:
            {name}(a, {shape})
            cuda.Context.synchronize()
            said["went on"] = True
        except KeyboardInterrupt:
            said["interrupted"] = True
        said["later"] = tried(cuda.Context.synchronize)
        """,
        breaks=True,
    )
    assert said == {
        "interrupted": True,
        "later": f"LaunchError: cuCtxSynchronize failed: {GIVEN_UP.format(name)}",
    }


@pytest.mark.parametrize(
    "wait", ["cuda.Context.synchronize()", "value(a)", "a.free()", "stream.synchronize()"]
)
def test_whatever_waits_can_be_interrupted(wait):
    said = answers(
        f"""
        a, stream = zeros(), cuda.Stream()
        {INTERRUPT}
        try:
            spin(a, stream=stream, **all_)
            said["queued"] = True
            {wait}
        except KeyboardInterrupt:
            said["interrupted"] = True
        """,
        breaks=True,
    )
    assert said == {"queued": True, "interrupted": True}


def test_the_exception_of_any_handler_ends_a_kernel():
    said = answers(
        """
        class TooLong(Exception):
            pass

        def ring(number, frame):
            said["handled"] = said.get("handled", 0) + 1
            if said["handled"] == 3:
                raise TooLong

        signal.signal(signal.SIGALRM, ring)
        a = zeros()
        spin(a, **all_)
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
        try:
            cuda.Context.synchronize()
        except TooLong:
            signal.setitimer(signal.ITIMER_REAL, 0)
            said["raised"] = True
        """,
        breaks=True,
    )
    assert said == {"handled": 3, "raised": True}


def test_a_handler_may_queue_work_but_not_wait():
    said = answers(
        """
        a, flag = zeros(), pinned()

        def ring(number, frame):
            said["wait"] = tried(cuda.Context.synchronize)
            add(a, np.int32(7), **all_)
            flag[:] = 1

        signal.signal(signal.SIGALRM, ring)
        spin(np.uintp(flag.base.get_device_pointer()), **all_)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        cuda.Context.synchronize()
        said["then"] = value(a)
        """
    )
    assert said == {
        "wait": "LogicError: cuCtxSynchronize failed: operation not permitted: "
        "a signal's handler can't wait while its thread waits for the device",
        "then": 7,
    }


@pytest.mark.parametrize("shape", ["**one", MANY])
def test_a_kernel_is_given_up_when_its_time_is_over(shape):
    said = answers(
        f"""
        a = cuda.mem_alloc(1 << 16)
        cuda.memset_d32(a, 0, 1 << 14)
        add(a, np.int32(0), **all_)
        cuda.Context.synchronize()
        busy(a, {shape})
        said["result"] = tried(cuda.Context.synchronize)
        said["later"] = tried(lambda: cuda.mem_alloc(16))
        """,
        "kernel_timeout=0.2",
        breaks=True,
    )
    words = (
        "the launch timed out and was terminated: kernel busy, given up after the time that --kernel-timeout"
    )
    assert said == {
        "result": f"LaunchError: cuCtxSynchronize failed: {words} allows",
        "later": f"LaunchError: cuMemAlloc failed: {words} allows",
    }


def test_other_threads_go_on_while_a_kernel_runs():
    said = answers(
        """
        flag, other = pinned(), zeros()

        def work():
            context.push()
            stream = cuda.Stream(1)
            add(other, np.int32(7), stream=stream, **all_)
            flag[:] = 1
            stream.synchronize()
            said["other"] = value(other)
            del stream
            cuda.Context.pop()

        context = pycuda.autoinit.context
        thread = threading.Thread(target=work)
        spin(np.uintp(flag.base.get_device_pointer()), **all_)
        threading.Timer(0.1, thread.start).start()
        cuda.Context.synchronize()
        said["over"] = True
        while not thread.is_alive() and "other" not in said:
            pass
        thread.join()
        """
    )
    assert said == {"over": True, "other": 7}


def test_ctrl_c_ends_the_kernel_that_another_thread_waits_for():
    said = answers(
        """
        a, context = zeros(), pycuda.autoinit.context

        def wait():
            context.push()
            said["thread"] = tried(cuda.Context.synchronize)
            cuda.Context.pop()

        spin(a, **all_)
        thread = threading.Thread(target=wait)
        thread.start()
        while sys._current_frames()[thread.ident].f_code.co_name != "launch":
            time.sleep(0.01)
        interrupt('_take_turn')
        try:
            cuda.Context.synchronize()
        except KeyboardInterrupt:
            said["interrupted"] = True
        thread.join()
        """,
        breaks=True,
    )
    assert said == {
        "interrupted": True,
        "thread": f"LaunchError: cuCtxSynchronize failed: {GIVEN_UP.format('spin')}",
    }


def test_an_interrupted_program_ends_like_any_other():
    out, err = run(
        f"""
        a = zeros()
        {INTERRUPT}
        spin(a, **all_)
        cuda.Context.synchronize()
        """,
        expected=-2,
    )
    assert not out
    lines = err.splitlines()  # since Python 3.13 with the line of a program that is no file
    assert lines[0] == "Traceback (most recent call last):"
    assert "KeyboardInterrupt" in lines
