"""When kernels' errors and output come out, and what happens to work that is left."""

from __future__ import annotations

import pytest
from async_support import answers, run

pytest.importorskip("pycuda")


def test_a_kernels_error_comes_when_somebody_waits_and_stays():
    said = answers(
        """
        a, other = zeros(), cuda.Stream(1)
        wrong(a, **one)
        said["queue"] = tried(lambda: add(a, np.int32(1), **all_))
        said["other stream"] = tried(other.synchronize)
        said["wait"] = tried(cuda.Context.synchronize).split(" - ")[0].split(":")[1].strip()
        said["again"] = tried(lambda: cuda.mem_alloc(16)).split(" - ")[0].split(":")[1].strip()
        """,
        breaks=True,
    )
    fault = ["failed", "an illegal memory access was encountered"]
    assert said.pop("queue") == said.pop("other stream") == "no error"
    assert said == {"wait": f"cuCtxSynchronize {' '.join(fault[:1])}", "again": "cuMemAlloc failed"}


def test_work_behind_a_failed_kernel_is_dropped():
    said = answers(
        """
        a, host = zeros(), pinned()
        wrong(a, **one)
        cuda.memcpy_dtoh_async(host, a)
        host[:] = 5
        said["failed"] = tried(cuda.Context.synchronize) != "no error"
        said["host"] = int(host[0])
        """,
        breaks=True,
    )
    assert said == {"failed": True, "host": 5}


@pytest.mark.parametrize("schedule", ["late", "eager", "random:3"])
def test_what_kernels_print_comes_out_in_order_when_somebody_waits(schedule):
    out, _ = run(
        """
        def line(text):
            print(text, flush=True)

        for i in range(3):
            say(np.int32(i), **one)
        line("queued")
        cuda.Context.synchronize()
        line("synchronized")
        say(np.int32(3), **one)
        line("queued")
        value(zeros())
        line("copied")
        """,
        f"schedule={schedule!r}",
    )
    assert out.split("\n") == [
        *("queued", "kernel 0", "kernel 1", "kernel 2", "synchronized"),
        *("queued", "kernel 3", "copied", ""),
    ]


def test_the_oldest_output_is_lost_where_the_buffer_is_full():
    out, _ = run(
        """
        cuda.Context.set_limit(cuda.limit.PRINTF_FIFO_SIZE, 1)
        assert cuda.Context.get_limit(cuda.limit.PRINTF_FIFO_SIZE) == 512 << 10
        many = SourceModule('''
        #include <stdio.h>
        __global__ void many(int n) { for (int i = 0; i < n; i++) printf("%09d\\\\n", i); }
        ''').get_function("many")
        many(np.int32(300000), **one)
        cuda.Context.synchronize()
        """
    )
    lines = out.split()
    assert len(lines) == (512 << 10) // 10
    assert lines == [f"{i:09d}" for i in range(300000 - len(lines), 300000)]


def test_work_that_is_left_at_the_end_is_done():
    out, err = run(
        """
        a = zeros()
        stream = cuda.Stream(1)
        say(np.int32(5), stream=stream, **one)
        print("end", flush=True)
        """
    )
    assert (out, err) == ("end\nkernel 5\n", "")


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit()", "raise SystemExit"])
def test_a_process_ends_whatever_is_queued(end):
    _, err = run(
        f"""
        a, b = zeros(), pinned()
        stream = cuda.Stream(1)
        add(a, np.int32(5), stream=stream, **all_)
        cuda.memcpy_dtoh_async(b, a, stream)
        {end}
        """
    )
    assert not err


def test_a_daemon_thread_may_be_waiting_at_the_end():
    run(
        """
        a, context = zeros(), pycuda.autoinit.context

        def wait():
            context.push()
            started.set()
            cuda.Context.synchronize()

        started = threading.Event()
        spin(a, **all_)
        threading.Thread(target=wait, daemon=True).start()
        started.wait()
        time.sleep(0.1)
        os._exit(0)
        """
    )


def test_destructors_may_free_memory_while_work_runs():
    said = answers(
        """
        class Node:
            def __init__(self):
                self.me = self
                self.memory = cuda.mem_alloc(512)
                self.host = pinned()
                self.stream = cuda.Stream(1)
                add(self.memory, np.int32(1), stream=self.stream, **one)

        before = cuda.mem_get_info()[0]
        a, stream = zeros(), cuda.Stream(1)
        gc.collect()
        gc.set_threshold(1, 1, 1)
        for _ in range(50):
            for _ in range(20):
                Node()
                add(a, np.int32(1), stream=stream, **one)
            stream.synchronize()
        gc.set_threshold(700, 10, 10)
        gc.collect()
        said["value"] = value(a)
        said["left"] = before - cuda.mem_get_info()[0]
        """
    )
    assert said == {"value": 1000, "left": 512}


def test_a_stream_takes_any_number_of_launches():
    said = answers(
        """
        a, stream = zeros(), cuda.Stream(1)
        for _ in range(5000):
            add(a, np.int32(1), stream=stream, **one)
        stream.synchronize()
        said["value"] = value(a)
        """
    )
    assert said == {"value": 5000}


def test_memory_of_a_forked_childs_parent_is_out_of_reach():
    said = answers(
        """
        a = zeros()
        add(a, np.int32(7), **all_)
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.write(write, tried(lambda: value(a)).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        said["child"] = os.read(read, 1000).decode()
        said["parent"] = value(a)
        """
    )
    assert said == {"child": "LogicError: cuMemcpyDtoH failed: initialization error", "parent": 7}
