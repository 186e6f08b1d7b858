"""What a launch tells: once, from the outermost call, with arguments as they are packed."""

from __future__ import annotations

import numpy as np
import pytest

from pycuda_guard.events import failures
from pycuda_guard.events.model import (
    Allocated,
    ArgumentKind,
    CallFailed,
    Copy,
    FunctionLimits,
    Launch,
    ModuleLoaded,
    Synchronized,
)

BLOCK = (16, 1, 1)


@pytest.fixture
def axpy(kernels):
    return kernels.get_function("axpy")


@pytest.fixture
def buffers(cuda, recorder):
    return cuda.mem_alloc(64), cuda.mem_alloc(64)


def test_a_call_is_one_launch_with_the_layout_of_its_arguments(axpy, buffers, recorder):
    y, x = buffers
    axpy(y, x, np.float32(2), np.int32(16), block=BLOCK, grid=(2, 1))
    (launch,) = recorder.of(Launch)
    assert (launch.call, launch.function, launch.grid, launch.block) == ("__call__", "axpy", (2, 1), BLOCK)
    assert [(a.offset, a.size, a.value) for a in launch.arguments] == [
        (0, 8, int(y)),
        (8, 8, int(x)),
        (16, 4, 2.0),
        (20, 4, 16),
    ]
    assert launch.packed == 24
    assert launch.site.file == __file__


@pytest.mark.parametrize("call", ["prepared_call", "prepared_async_call", "prepared_timed_call"])
def test_a_prepared_launch_is_one_launch(axpy, buffers, recorder, cuda, call):
    y, x = buffers
    stream = cuda.Stream()
    axpy.prepare("PPfi")
    where = ((1, 1), BLOCK, stream) if call == "prepared_async_call" else ((1, 1), BLOCK)
    getattr(axpy, call)(*where, y, x, 2.0, 16)
    (launch,) = recorder.of(Launch)
    assert launch.call == call
    assert launch.stream == (stream.handle if call == "prepared_async_call" else 0)
    assert [a.kind for a in launch.arguments] == [
        ArgumentKind.POINTER,
        ArgumentKind.POINTER,
        ArgumentKind.FLOAT,
        ArgumentKind.INTEGER,
    ]
    assert [a.type_name for a in launch.arguments] == ["DeviceAllocation", "DeviceAllocation", "float", "int"]


def test_a_raw_launch_has_no_arguments(axpy, buffers, recorder):
    axpy._launch_kernel((1, 1), BLOCK, bytes(24), 0, None)
    (launch,) = recorder.of(Launch)
    assert (launch.call, launch.arguments, launch.packed) == ("_launch_kernel", None, 24)


def test_the_copies_of_handlers_stand_around_the_launch(axpy, cuda, recorder):
    y, x = np.zeros(16, np.float32), np.ones(16, np.float32)
    recorder.take()
    axpy(cuda.InOut(y), cuda.In(x), np.float32(3), np.int32(16), block=BLOCK)
    kinds = [type(event) for event in recorder.take()]
    assert kinds[:8] == [Allocated, Allocated, Copy, Copy, Launch, Synchronized, Copy, *kinds[7:8]]
    assert y.tolist() == [3.0] * 16


def test_an_array_behind_a_handler_is_described(axpy, cuda, recorder):
    y = np.zeros((4, 4), np.float32)
    axpy(cuda.InOut(y), cuda.In(y), np.float32(0), np.int32(16), block=BLOCK)
    first, second = recorder.of(Launch)[0].arguments[:2]
    assert (first.handler, second.handler) == ("InOut", "In")
    assert (first.shape, first.dtype, first.nbytes) == ((4, 4), "float32", 64)


def test_a_table_of_pointers_is_read(cuda, recorder, kernels):
    table = np.array([4096, 8192], np.uint64)
    kernels.get_function("swallow")(cuda.In(table), block=BLOCK)
    assert recorder.of(Launch)[0].arguments[0].table == (4096, 8192)


def test_gpuarrays_tell_shape_and_dtype_of_each_launch(axpy, recorder, cuda):
    from pycuda import gpuarray

    y = gpuarray.zeros((4, 4), np.float32)
    recorder.take()
    for array in (y, y.reshape(16)):
        axpy(array, y, np.float32(1), np.int32(16), block=BLOCK)
    shapes = [launch.arguments[0].shape for launch in recorder.of(Launch)]
    assert shapes == [(4, 4), (16,)]


def test_a_struct_is_reported_where_pycuda_packs_it(kernels, recorder):
    pair = np.zeros((), np.dtype([("a", "f8"), ("b", "f8")]))[()]
    kernels.get_function("swallow")(np.int32(1), pair, block=BLOCK)
    _, record = recorder.of(Launch)[0].arguments
    assert (record.kind, record.offset, record.size) == (ArgumentKind.BYTES, 4, 16)


def test_a_host_array_goes_by_value(kernels, recorder):
    kernels.get_function("swallow")(np.zeros(3, np.float32), block=BLOCK)
    (argument,) = recorder.of(Launch)[0].arguments
    assert (argument.kind, argument.size, argument.shape) == (ArgumentKind.BYTES, 12, (3,))


@pytest.mark.parametrize("wrong", [3, 2.5, np.float16(1), object()])
def test_an_argument_that_pycuda_refuses_is_announced_and_failed(kernels, recorder, wrong):
    with pytest.raises(Exception) as caught:
        kernels.get_function("swallow")(wrong, block=BLOCK)
    launch, failed = recorder.of(Launch)[-1], recorder.of(CallFailed)[-1]
    assert launch.arguments[0].kind is ArgumentKind.INVALID
    assert failed.announced == launch.sequence
    assert failed.error == type(caught.value).__name__
    assert failures.sequences(caught.value) == {failed.sequence}


def test_a_launch_that_the_driver_refuses_comes_with_the_functions_limits(axpy, buffers, recorder, cuda):
    with pytest.raises(cuda.Error):
        axpy(*buffers, np.float32(1), np.int32(16), block=(2048, 1, 1))
    (launch,), (limits,), (failed,) = (
        recorder.of(Launch),
        recorder.of(FunctionLimits),
        recorder.of(CallFailed),
    )
    assert launch.sequence < limits.sequence < failed.sequence
    assert (failed.announced, failed.status) == (launch.sequence, "invalid argument")
    assert limits.max_threads_per_block == 1024


def test_prepared_calls_with_too_many_arguments_are_refused(axpy, buffers, recorder):
    from pycuda import _pvt_struct

    axpy.prepare("PPfi")
    with pytest.raises(_pvt_struct.error):
        axpy.prepared_call((1, 1), BLOCK, *buffers, 1.0, 16, 17)
    (launch,), (failed,) = recorder.of(Launch), recorder.of(CallFailed)
    assert len(launch.arguments) == 5
    assert failed.announced == launch.sequence


def test_a_modules_kernels_are_known(kernels, recorder):
    (loaded,) = recorder.of(ModuleLoaded)
    assert {kernel.name for kernel in loaded.kernels} == {"axpy", "swallow"}
    assert not loaded.library


def test_kernels_that_pycuda_writes_are_library_kernels(recorder, cuda):
    from pycuda import gpuarray

    array = gpuarray.zeros(16, np.float32)
    (array + array).get()
    assert [loaded.library for loaded in recorder.of(ModuleLoaded)] == [True] * len(recorder.of(ModuleLoaded))
    assert all(launch.library for launch in recorder.of(Launch))
    assert {launch.site.file for launch in recorder.of(Launch)} == {__file__}


@pytest.mark.parametrize(
    ("fields", "align", "misplaced"),
    [
        ([("a", "i1"), ("b", "f8")], False, "b"),
        ([("a", "i1"), ("b", "f4", (3,))], False, "b"),
        ([("a", [("x", "i2"), ("y", "f4")])], False, "a"),
        ([("a", "i1"), ("b", "f8")], True, None),
        ([("a", "f8"), ("b", "i1")], False, None),
    ],
)
def test_a_record_tells_which_field_lies_where_c_puts_none(fields, align, misplaced, kernels, recorder):
    record = np.zeros(1, np.dtype(fields, align=align))
    kernels.get_function("swallow")(record[0], block=BLOCK)
    kernels.get_function("swallow")(record, block=BLOCK)
    assert [launch.arguments[0].misplaced for launch in recorder.of(Launch)] == [misplaced] * 2


def test_a_launch_like_the_last_tells_what_is_other(axpy, buffers, recorder):
    x, y = buffers
    axpy.prepare("PPfi")
    for turn in range(3):
        axpy((y, x)[turn % 2], x, np.float32(turn), np.int32(turn // 2), block=(4, 1, 1), grid=(1, 1))
        axpy.prepared_call((1, 1), (4, 1, 1), (y, x)[turn % 2], x, 0.5 * turn, turn)
    values = [[each.value for each in launch.arguments] for launch in recorder.of(Launch)]
    ends = [int(y), int(x)]
    assert values == [
        [ends[turn % 2], int(x), *numbers]
        for turn in range(3)
        for numbers in ((float(turn), turn // 2), (0.5 * turn, turn))
    ]
    kinds = {tuple((each.kind, each.offset, each.size) for each in e.arguments) for e in recorder.of(Launch)}
    assert len(kinds) == 1


def test_equal_launches_and_copies_are_equal_events(axpy, buffers, recorder, cuda):
    x, y = buffers
    host = np.zeros(4, np.float32)
    for number in (1, 1, 1, 2, 2):
        axpy(y, x, np.float32(number), np.int32(4), block=(4, 1, 1), grid=(1, number))
        cuda.memcpy_htod(x, host[:number])
    launches, copies = recorder.of(Launch), recorder.of(Copy)[-5:]
    assert [launch.grid for launch in launches] == [(1, 1)] * 3 + [(1, 2)] * 2
    assert [launch.arguments[2].value for launch in launches] == [1, 1, 1, 2, 2]
    assert [copy.source.nbytes for copy in copies] == [4, 4, 4, 8, 8]
    numbers = [event.sequence for event in (*launches, *copies)]
    assert len(set(numbers)) == len(numbers)
