"""What a copy or memset tells: both operands as they were passed, before the driver is called."""

from __future__ import annotations

import array
import ctypes

import numpy as np
import pytest

from pycuda_guard.events.model import (
    CallFailed,
    Copy,
    CopyKind,
    DeviceOperand,
    Extent,
    HostKind,
    HostOperand,
    Memset,
    OddOperand,
)


@pytest.fixture
def buffer(cuda, recorder):
    allocation = cuda.mem_alloc(256)
    recorder.take()
    return allocation


def test_a_copy_names_both_ends(cuda, buffer, recorder):
    host = np.zeros((4, 8), np.float32)
    cuda.memcpy_htod(buffer, host)
    (copy,) = recorder.of(Copy)
    assert (copy.kind, copy.call, copy.asynchronous, copy.stream) == (
        CopyKind.HTOD,
        "memcpy_htod",
        False,
        0,
    )
    assert copy.destination == DeviceOperand(int(buffer), Extent(128), "DeviceAllocation")
    assert copy.source == HostOperand(
        host.ctypes.data, Extent(128), 128, HostKind.PAGEABLE, "ndarray", (4, 8), "float32", "C"
    )


def test_to_device_tells_whose_bytes_it_copies(cuda, recorder):
    cuda.to_device(np.zeros((4, 8), np.float64, order="F"))
    cuda.to_device(np.zeros(4, np.float32).tobytes())
    array, raw = [copy.source for copy in recorder.of(Copy)]
    assert (array.shape, array.dtype, array.order, array.nbytes) == ((4, 8), "float64", "C", 256)
    assert (raw.shape, raw.dtype, raw.nbytes) == (None, None, 16)


@pytest.mark.parametrize("order", ["C", "F"])
def test_gpuarray_copies_tell_the_order_of_the_host_array(recorder, order):
    from pycuda import gpuarray

    on_device = gpuarray.to_gpu(np.zeros((4, 8), np.float32, order=order))
    on_device.get()
    up, down = recorder.of(Copy)
    assert (up.source.shape, up.source.order) == ((4, 8), order)
    # get() may be that of a transposed view, whose order is no mistake
    assert (down.destination.shape, down.destination.order) == ((32,), "CF")


@pytest.mark.parametrize(
    ("buffer_of", "shape", "dtype"),
    [
        (lambda: bytes(16), None, None),
        (lambda: bytearray(16), None, None),
        (lambda: array.array("d", [0, 0]), (2,), "float64"),
        (lambda: (ctypes.c_float * 4)(), (4,), "float32"),
    ],
)
def test_a_buffer_tells_its_dtype_unless_it_is_raw_bytes(cuda, buffer, recorder, buffer_of, shape, dtype):
    cuda.memcpy_htod(buffer, buffer_of())
    (copy,) = recorder.of(Copy)
    assert (copy.source.shape, copy.source.dtype, copy.source.nbytes) == (shape, dtype, 16)


@pytest.mark.parametrize(
    ("view", "order", "contiguous"),
    [
        (lambda a: a, "C", True),
        (lambda a: a.T, "F", True),
        (lambda a: a[0], "CF", True),
        (lambda a: a[:, ::2], None, False),
    ],
)
def test_the_order_of_an_array_is_told(cuda, buffer, recorder, view, order, contiguous):
    host = view(np.zeros((4, 8), np.float32))
    if contiguous:
        cuda.memcpy_htod(buffer, host)
    else:
        with pytest.raises(ValueError, match="contiguous"):
            cuda.memcpy_htod(buffer, host)
    source = recorder.of(Copy)[0].source
    assert (source.order, source.contiguous) == (order, contiguous)


@pytest.mark.parametrize(
    "data", [b"12345678", bytearray(8), array.array("d", [1.0]), np.float64(1), memoryview(b"12345678")]
)
def test_any_buffer_is_a_host_operand(cuda, buffer, recorder, data):
    cuda.memcpy_htod(buffer, data)
    source = recorder.of(Copy)[0].source
    assert (type(source), source.nbytes, source.type_name) == (HostOperand, 8, type(data).__name__)
    assert source.address != 0


def test_a_buffer_that_is_read_only_is_told(cuda, buffer, recorder):
    host = np.zeros(4)
    host.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        cuda.memcpy_dtoh(host, buffer)
    assert not recorder.of(Copy)[0].destination.writable


@pytest.mark.parametrize("kind", ["pinned", "pinned view", "pooled", "managed"])
def test_the_kind_of_host_memory_is_told(cuda, buffer, recorder, kind):
    pool = cuda.PageLockedMemoryPool()
    host = {
        "pinned": lambda: cuda.pagelocked_empty(8, np.float32),
        "pinned view": lambda: np.frombuffer(memoryview(cuda.pagelocked_empty(8, np.float32)), np.uint8)[4:],
        "pooled": lambda: pool.allocate((8,), np.float32),
        "managed": lambda: cuda.managed_empty(8, np.float32, mem_flags=cuda.mem_attach_flags.GLOBAL),
    }[kind]()
    cuda.memcpy_htod(buffer, host)
    expected = HostKind.MANAGED if kind == "managed" else HostKind.PINNED
    assert recorder.of(Copy)[0].source.kind is expected


def test_swapped_arguments_are_odd_and_still_called_once(cuda, buffer, recorder):
    with pytest.raises(TypeError, match="memcpy_dtoh"):
        cuda.memcpy_dtoh(buffer, np.zeros(4))
    (copy,), (failed,) = recorder.of(Copy), recorder.of(CallFailed)
    assert (copy.destination, copy.source) == (OddOperand("DeviceAllocation"), OddOperand("ndarray"))
    assert failed.announced == copy.sequence


def test_a_negative_size_is_kept(cuda, buffer, recorder):
    with pytest.raises(OverflowError):
        cuda.memcpy_dtod(buffer, buffer, -8)
    assert recorder.of(Copy)[0].source.extent == Extent(-8)


@pytest.mark.parametrize(
    ("address", "known"), [(lambda p: p, None), (lambda p: p + 64, True), (lambda p: 64, False)]
)
def test_the_driver_is_asked_for_addresses_in_no_reported_allocation(cuda, buffer, recorder, address, known):
    place = address(int(buffer))
    try:
        cuda.memcpy_htod(place, b"1234")
    except cuda.Error:
        assert known is False
    assert recorder.of(Copy)[0].destination.known is known


def test_pointer_holders_are_asked_for_their_pointer(cuda, buffer, recorder):
    class Holder(cuda.PointerHolderBase):
        def get_pointer(self):
            return int(buffer)

    cuda.memcpy_htod(Holder(), b"1234")
    assert recorder.of(Copy)[0].destination == DeviceOperand(int(buffer), Extent(4), "Holder")


def test_helpers_of_pycuda_are_one_copy_at_the_users_line(cuda, buffer, recorder):
    cuda.from_device(buffer, (4,), np.float32)
    (copy,) = recorder.of(Copy)
    assert copy.site.file == __file__


def test_a_gpuarray_is_copied_at_the_users_line(recorder, cuda):
    from pycuda import gpuarray

    gpuarray.to_gpu(np.zeros((3, 4))).get()
    assert [copy.kind for copy in recorder.of(Copy)] == [CopyKind.HTOD, CopyKind.DTOH]
    assert {copy.site.file for copy in recorder.of(Copy)} == {__file__}


def test_a_box_copy_knows_its_geometry(cuda, buffer, recorder):
    host = np.zeros((3, 16), np.uint8)
    copy = cuda.Memcpy2D()
    copy.set_src_host(host)
    copy.set_dst_device(int(buffer))
    copy.width_in_bytes, copy.height = 4, 3
    copy.src_x_in_bytes, copy.src_y = 8, 0
    copy.src_pitch, copy.dst_pitch = 16, 32
    stream = cuda.Stream()
    copy(stream)
    stream.synchronize()
    (event,) = recorder.of(Copy)
    assert event.source.extent == Extent(4, rows=3, pitch=16, offset=8)
    assert event.destination.extent == Extent(4, rows=3, pitch=32)
    assert (event.asynchronous, event.stream) == (True, stream.handle)
    assert event.source.extent.end == 44


def test_a_box_copy_believes_an_assigned_device_address(cuda, buffer, recorder):
    copy = cuda.Memcpy2D()
    copy.set_src_device(int(buffer))
    copy.set_dst_device(int(buffer))
    copy.dst_device = int(buffer) + 128
    copy.width_in_bytes, copy.height, copy.src_pitch, copy.dst_pitch = 4, 1, 4, 4
    copy(True)
    assert recorder.of(Copy)[0].destination.address == int(buffer) + 128


def test_memsets_count_elements(cuda, buffer, recorder):
    cuda.memset_d32(buffer, 7, 8)
    cuda.memset_d2d16(buffer, 32, 7, 4, 3)
    line, box = recorder.of(Memset)
    assert (line.item_size, line.count, line.destination.extent) == (4, 8, Extent(32))
    assert (box.item_size, box.count, box.destination.extent) == (2, 4, Extent(8, rows=3, pitch=32))
