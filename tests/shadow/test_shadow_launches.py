"""Launches: what kernels are told, what they report, and that they compute the same."""

from __future__ import annotations

import gc
import threading
from pathlib import Path

import numpy as np
import pytest

from pycuda_guard import hooks
from pycuda_guard.events.model import Contents, GuardFailed, KernelReport, Launch, ModuleLoaded

NUMBERS = np.arange(100, dtype=np.float32)


def test_a_right_program_is_silent_and_computes_the_same(program, recorder):
    source, to = program.upload(NUMBERS), program.cuda.mem_alloc(NUMBERS.nbytes)
    program.run(program.twice, to, source, 100)
    assert (program.read(to, 100) == 2 * NUMBERS).all()
    assert recorder.reports == []
    assert recorder.of(ModuleLoaded)[0].left_out == ()
    assert recorder.of(GuardFailed) == []


def test_what_is_outside_is_reported_and_skipped(program, recorder):
    source, to = program.upload(NUMBERS), program.upload(np.zeros(128, np.float32))
    program.run(program.copy, to, source, 128)
    assert program.read(to, 128).tolist() == NUMBERS.tolist() + [0.0] * 28
    assert recorder.reports == [("copy", "outside", "read", 28)]
    (report,) = recorder.of(KernelReport)
    (launch,) = recorder.of(Launch)
    assert (report.launch, report.site) == (launch.sequence, launch.site)
    assert (report.base, report.size) == (int(source), 400)
    assert (report.lowest - report.base, report.highest - report.base) == (400, 508)
    assert report.address == report.base + 4 * (32 * report.block_index[0] + report.thread_index[0])
    assert report.access.parameter == 1


def test_how_far_launches_with_other_buffers_went_is_not_told_of_the_first(program, recorder):
    arrays = [program.upload(NUMBERS) for _ in range(2)]
    to = program.upload(np.zeros(128, np.float32))
    first, last = sorted(arrays, key=int)
    for source in (first, last):
        program.run(program.copy, to, source, 128)
    program.cuda.Context.synchronize()
    (report,) = recorder.of(KernelReport)
    assert (report.base, report.count) == (int(first), 56)
    assert report.base + 400 <= report.lowest <= report.highest < report.base + 512


def test_a_report_tells_the_line_of_the_programs_file(cuda, recorder):
    from pycuda.compiler import SourceModule

    module = SourceModule(
        """
        __global__ void past(int *p)
        {
            p[threadIdx.x] = 1;  // the line
        }
        """
    )
    module.get_function("past")(cuda.mem_alloc(12), block=(4, 1, 1))
    cuda.Context.synchronize()
    (report,) = recorder.of(KernelReport)
    lines = Path(__file__).read_text().splitlines()
    assert report.access.file == __file__
    assert lines[report.access.line - 1].endswith("// the line")


def test_a_launch_may_start_inside_an_allocation(program, recorder):
    both = program.upload(np.arange(64, dtype=np.float32))
    program.run(program.copy, np.uint64(int(both) + 128), both, 32)
    assert program.read(both, 64).tolist() == [*range(32)] * 2
    assert recorder.reports == []


def test_launches_that_swap_their_buffers(program, recorder):
    buffers = [program.upload(NUMBERS), program.cuda.mem_alloc(NUMBERS.nbytes)]
    for turn in range(6):
        source, to = buffers[turn % 2], buffers[1 - turn % 2]
        program.run(program.twice, to, source, 100)
    assert (program.read(buffers[0], 100) == 64 * NUMBERS).all()
    assert (program.read(buffers[1], 100) == 32 * NUMBERS).all()
    program.cuda.Context.synchronize()
    hooks.collect()
    launches = recorder.of(Launch)
    answers = {answer.base: answer.runs for answer in recorder.of(Contents)}
    assert answers[int(buffers[0])] == ((0, 400, launches[5].sequence),)
    assert answers[int(buffers[1])] == ((0, 400, launches[4].sequence),)
    assert recorder.reports == []
    program.run(program.twice, buffers[0], buffers[1], 101)
    program.cuda.Context.synchronize()
    assert recorder.reports == [("twice", "outside", "read", 1), ("twice", "outside", "write", 1)]
    assert {report.launch for report in recorder.of(KernelReport)} == {recorder.of(Launch)[6].sequence}


def test_a_pointer_to_nothing_is_reported_and_an_unused_null_is_not(program, recorder):
    to = program.upload(NUMBERS)
    program.run(program.copy, to, np.uint64(0), 0, threads=1)
    program.cuda.Context.synchronize()
    assert recorder.reports == []
    program.run(program.copy, to, np.uint64(0), 3, threads=3)
    program.cuda.Context.synchronize()
    assert recorder.reports == [("copy", "outside", "read", 3)]


def test_freed_memory_is_outside(program, recorder):
    source, to = program.cuda.mem_alloc(400), program.upload(NUMBERS)
    address = np.uint64(int(source))
    source.free()
    program.run(program.copy, to, address, 2, threads=2)
    program.cuda.Context.synchronize()
    assert [(reason, kind) for _, reason, kind, _ in recorder.reports] == [("outside", "read")]


def test_a_block_of_a_pool_has_the_size_that_was_asked_for(program, recorder):
    from pycuda.tools import DeviceMemoryPool

    block = DeviceMemoryPool().allocate(100)
    program.put(block, np.int32(0), np.int32(101), block=(101, 1, 1))
    program.cuda.Context.synchronize()
    assert recorder.reports == [("put", "outside", "write", 1)]


def test_memory_older_than_the_guard_is_asked_of_the_driver(cuda, guarded, new_program):
    old = cuda.mem_alloc(400)
    cuda.memcpy_htod(old, NUMBERS)
    sink = guarded()
    program = new_program()
    to = cuda.mem_alloc(400)
    program.run(program.copy, to, old, 101)
    assert program.read(to, 100).tolist() == NUMBERS.tolist()
    assert ("copy", "outside", "read", 1) in sink.reports


def test_addresses_in_memory_are_looked_up(program, recorder):
    rows = [program.upload(NUMBERS), program.cuda.mem_alloc(400)]
    table = program.upload(np.array([int(row) for row in rows], np.uint64))
    program.follow(table, np.int32(100), block=(100, 1, 1))
    assert program.read(rows[1], 100).tolist() == NUMBERS.tolist()
    assert recorder.reports == []
    program.follow(table, np.int32(101), block=(101, 1, 1))
    program.cuda.Context.synchronize()
    assert {(reason, kind) for _, reason, kind, _ in recorder.reports} == {
        ("outside", "read"),
        ("outside", "write"),
    }


def test_addresses_of_the_host_are_told_from_others(program, recorder):
    shared = program.cuda.pagelocked_zeros(100, np.float32, mem_flags=program.cuda.host_alloc_flags.DEVICEMAP)
    to, large, told = program.cuda.mem_alloc(400), np.ones(1 << 20, np.float32), []
    for source in (shared.base.get_device_pointer(), NUMBERS.ctypes.data, large.ctypes.data):
        table = program.upload(np.array([source, int(to)], np.uint64))
        program.follow(table, np.int32(100), block=(100, 1, 1))
        program.cuda.Context.synchronize()
        told.append([(reason, kind) for _, reason, kind, _ in recorder.reports])
    assert told == [[], [("host", "read")], [("host", "read")] * 2]


def test_variables_exist_once(program, recorder):
    address, _ = program.module.get_global("counted")
    program.cuda.memcpy_htod(address, np.full(4, 5, np.int32))
    seen = program.cuda.mem_alloc(16)
    program.count(seen, block=(4, 1, 1))
    assert program.read(seen, 4, np.int32).tolist() == [5] * 4
    assert program.read(address, 4, np.int32).tolist() == [6] * 4
    assert recorder.reports == []


@pytest.mark.parametrize("way", ["prepared_call", "prepared_async_call", "raw", "legacy"])
def test_every_way_to_launch(program, recorder, way):
    source, to, stream = program.upload(NUMBERS), program.cuda.mem_alloc(400), program.cuda.Stream()
    kernel = program.copy.prepare("PPi")
    arguments = (int(to), int(source), 101)
    if way == "prepared_call":
        kernel.prepared_call((4, 1), (32, 1, 1), *arguments)
    elif way == "prepared_async_call":
        kernel.prepared_async_call((4, 1), (32, 1, 1), stream, *arguments)
    elif way == "raw":
        packed = np.array(arguments[:2], np.uint64).tobytes() + np.int32(101).tobytes()
        kernel._launch_kernel((4, 1), (32, 1, 1), packed, 0, None)
    else:
        kernel._set_block_shape(32, 1, 1)
        kernel._param_set_size(20)
        kernel._param_setv(0, np.array(arguments[:2], np.uint64).tobytes())
        kernel._param_seti(16, 101)
        kernel._launch_grid(4, 1)
    program.cuda.Context.synchronize()
    assert program.read(to, 100).tolist() == NUMBERS.tolist()
    assert sorted(recorder.reports) == [("copy", "outside", "read", 1), ("copy", "outside", "write", 1)]


@pytest.mark.parametrize(
    ("packed", "grid", "block", "shared"),
    [
        (bytes(28), (1, 1), (32, 1, 1), 0),
        (bytes(20), (0, 1), (32, 1, 1), 0),
        (bytes(20), (1, 1), (2048, 1, 1), 0),
        (bytes(20), (1, 1), (32, 1, 1), 1 << 20),
    ],
)
def test_what_the_driver_refuses_it_refuses_alike(cuda, guarded, packed, grid, block, shared, new_program):
    def refusal():
        with pytest.raises(cuda.Error) as caught:
            new_program().copy._launch_kernel(grid, block, packed, shared, None)
        return type(caught.value), str(caught.value)

    bare = refusal()
    guarded()
    assert refusal() == bare


def test_attributes_are_those_of_the_programs_own_kernel(cuda, guarded, new_program):
    names = ("num_regs", "shared_size_bytes", "local_size_bytes", "max_threads_per_block", "const_size_bytes")

    def attributes():
        kernel = new_program().copy
        kernel.set_attribute(cuda.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES, 60_000)
        read = [getattr(kernel, name) for name in names]
        return [*read, kernel.get_attribute(cuda.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES)]

    bare = attributes()
    guarded()
    assert attributes() == bare


@pytest.mark.parametrize(
    ("options", "reported"),
    [
        ({"include": "c*"}, ["copy"]),
        ({"exclude": "copy"}, ["twice"]),
        ({"first": 2}, ["twice"]),
        ({"last": 1}, ["copy"]),
        ({"include": "nothing"}, []),
    ],
)
def test_only_what_is_wanted_is_looked_into(cuda, guarded, options, reported, new_program):
    sink = guarded(**options)
    program = new_program()
    source, to = program.upload(NUMBERS), program.upload(np.zeros(128, np.float32))
    program.run(program.copy, to, source, 128 if reported else 100)
    program.run(program.twice, to, source, 128 if reported else 100)
    program.cuda.Context.synchronize()
    assert [function for function, *_ in sink.reports] == reported


def test_kernels_of_a_guard_that_is_gone_still_run(cuda, guarded, new_program):
    guarded()
    program = new_program()
    hooks.uninstall()
    source, to = program.upload(NUMBERS), program.cuda.mem_alloc(400)
    program.run(program.twice, to, source, 100)
    assert (program.read(to, 100) == 2 * NUMBERS).all()
    again = program.module.get_function("copy")
    program.run(again, source, to, 100)
    assert (program.read(source, 100) == 2 * NUMBERS).all()
    sink = guarded()
    program.run(program.copy, to, source, 100)
    program.cuda.Context.synchronize()
    assert (sink.reports, len(sink.of(Launch))) == ([], 1)


def test_a_module_that_is_gone_is_let_go(cuda, recorder, new_program):
    program = new_program()
    runtime = hooks.install.__globals__["_current"].tap.kernels.runtime
    assert runtime.loader.is_in_use
    del program
    gc.collect()
    assert not runtime.loader.is_in_use


def test_threads_launch_at_the_same_time(program, recorder):
    context = program.cuda.Context.get_current()
    wrong = []

    def work():
        context.push()
        try:
            for _ in range(20):
                source, to = program.upload(NUMBERS), program.cuda.mem_alloc(400)
                program.run(program.twice, to, source, 100)
                if not (program.read(to, 100) == 2 * NUMBERS).all():
                    wrong.append(1)
                source.free()
                to.free()
        finally:
            context.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (wrong, recorder.reports) == ([], [])


def test_launches_whose_other_numbers_change(cuda, recorder):
    from pycuda.compiler import SourceModule

    module = SourceModule(
        """
        __global__ void step(float *to, float dt, int n, long long turn)
        {
            int i = blockIdx.x * blockDim.x + threadIdx.x;
            if (i < n) to[i] = dt * turn;
        }
        """
    )
    step = module.get_function("step").prepare("Pfiq")
    to = cuda.mem_alloc(128)
    host = np.empty(32, np.float32)
    for turn in range(40):
        step.prepared_call((1, 1), (32, 1, 1), to, 0.5 + turn, 32, turn)
        cuda.memcpy_dtoh(host, to)
        assert (host == (0.5 + turn) * turn).all()
    assert recorder.reports == []
    step.prepared_call((1, 1), (32, 1, 1), int(to) + 4, 1.5, 32, 1)  # another pointer
    step.prepared_call((2, 1), (32, 1, 1), to, 1.5, 33, 1)  # another number that addresses depend on
    cuda.Context.synchronize()
    assert recorder.reports == [("step", "outside", "write", 2)]
