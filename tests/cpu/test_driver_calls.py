"""Driver functions called from C, with the results that a GPU's driver (H200, CUDA 13.0) gave."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char_p, c_float, c_int, c_size_t, c_uint, c_uint64, c_void_p

import pytest

from pycuda_guard import cpu

OK, INVALID, NO_MEMORY, NO_DEVICE, NO_CONTEXT = 0, 1, 2, 101, 201
BAD_LIMIT, BAD_HANDLE, NOT_FOUND, RESOURCES, DESTROYED, NOT_PERMITTED = 215, 400, 500, 701, 709, 800

PTX = b"""
.version 8.0
.target sm_90
.address_size 64
.visible .global .align 4 .b8 table[40];
.visible .entry empty() { ret; }
.visible .entry store(.param .u64 where, .param .u32 what)
{
  .reg .b64 %rd<2>; .reg .b32 %r<2>;
  ld.param.u64 %rd1, [where]; ld.param.u32 %r1, [what];
  st.global.u32 [%rd1], %r1;
  ret;
}
.visible .entry limited() .maxntid 64, 1, 1 { ret; }
.visible .entry with_shared()
{
  .shared .align 4 .b8 s[1000]; .reg .b32 %r<2>;
  mov.u32 %r1, s; st.shared.u32 [%r1], %r1;
  ret;
}
"""


class Driver:
    """libcuda.so.1 with a current context, host memory and an allocation of 1000 bytes."""

    def __init__(self):
        cpu.load()
        self.library = ctypes.CDLL("libcuda.so.1")
        self.context = c_void_p()
        assert self.cuInit(0) == OK
        assert self.cuCtxCreate_v4(byref(self.context), None, 0, 0) == OK
        self.host = ctypes.create_string_buffer(1 << 20)
        self.device = self.alloc(1000)
        self.pinned = c_void_p()
        assert self.cuMemHostAlloc(byref(self.pinned), c_size_t(1000), 0) == OK
        self.out = c_uint64()
        self.module = c_void_p()
        assert self.cuModuleLoadData(byref(self.module), PTX) == OK

    def __getattr__(self, name):
        return getattr(self.library, name)

    def alloc(self, nbytes):
        out = c_uint64()
        assert self.cuMemAlloc_v2(byref(out), c_size_t(nbytes)) == OK
        return out.value

    def function(self, name):
        out = c_void_p()
        assert self.cuModuleGetFunction(byref(out), self.module, name) == OK
        return out

    def launch(self, name, grid=(1, 1, 1), block=(1, 1, 1), shared=0, buffer=None, pointers=None):
        extra = None
        if buffer is not None:
            size = c_size_t(len(buffer))
            kept = ctypes.create_string_buffer(buffer, max(1, len(buffer)))
            extra = (c_void_p * 5)(1, ctypes.addressof(kept), 2, ctypes.addressof(size), 0)
        return self.cuLaunchKernel(self.function(name), *grid, *block, shared, None, pointers, extra)

    def attribute(self, number, name):
        out = c_int()
        assert self.cuFuncGetAttribute(byref(out), number, self.function(name)) == OK
        return out.value


@pytest.fixture(scope="module")
def driver():
    made = Driver()
    yield made
    assert made.cuCtxDestroy_v2(made.context) == OK


@pytest.mark.parametrize(
    "offset, nbytes, result",
    [
        (0, 1000, OK),
        (0, 1001, INVALID),
        (0, 4096, INVALID),
        (999, 1, OK),
        (999, 2, INVALID),
        (1000, 1, INVALID),
        (-1, 1, INVALID),
        (1000, 0, OK),
    ],
)
@pytest.mark.parametrize("direction", ["HtoD", "DtoH", "DtoD", "set"])
def test_ranges_are_checked_to_the_byte(driver, direction, offset, nbytes, result):
    device, n = c_uint64(driver.device + offset), c_size_t(nbytes)
    other = c_uint64(driver.alloc(8192))
    calls = {
        "HtoD": lambda: driver.cuMemcpyHtoD_v2(device, driver.host, n),
        "DtoH": lambda: driver.cuMemcpyDtoH_v2(driver.host, device, n),
        "DtoD": lambda: driver.cuMemcpyDtoD_v2(other, device, n),
        "set": lambda: driver.cuMemsetD8_v2(device, 1, n),
    }
    assert calls[direction]() == result
    assert driver.cuMemFree_v2(other) == OK


def test_copies_know_host_from_device_memory(driver):
    host, device = c_uint64(ctypes.addressof(driver.host)), c_uint64(driver.device)
    pinned = c_uint64(driver.pinned.value)
    other = c_uint64(driver.alloc(1000))
    null, four = c_uint64(0), c_size_t(4)
    assert driver.cuMemcpyHtoD_v2(host, driver.host, four) == INVALID
    assert driver.cuMemcpyDtoH_v2(driver.host, host, four) == INVALID
    assert driver.cuMemcpyDtoD_v2(host, device, four) == INVALID
    assert driver.cuMemcpyHtoD_v2(null, driver.host, four) == INVALID
    assert driver.cuMemcpyHtoD_v2(device, null, four) == INVALID
    assert driver.cuMemcpyHtoD_v2(null, driver.host, c_size_t(0)) == OK
    assert driver.cuMemcpyHtoD_v2(device, other, four) == OK
    assert driver.cuMemcpyDtoH_v2(device, other, four) == OK
    assert driver.cuMemcpyDtoD_v2(pinned, device, four) == OK
    assert driver.cuMemcpyHtoD_v2(pinned, driver.host, four) == OK
    assert driver.cuMemcpyHtoD_v2(device, c_uint64(pinned.value + 996), c_size_t(8)) == INVALID
    assert driver.cuMemcpyHtoD_v2(pinned, driver.host, c_size_t(1001)) == INVALID


def test_allocating_and_freeing(driver):
    out = byref(driver.out)
    assert driver.cuMemAlloc_v2(out, c_size_t(0)) == INVALID
    assert driver.cuMemAlloc_v2(None, c_size_t(4)) == INVALID
    assert driver.cuMemAlloc_v2(out, c_size_t(1 << 44)) == NO_MEMORY
    address = driver.alloc(100)
    assert driver.cuMemFree_v2(c_uint64(0)) == OK
    assert driver.cuMemFree_v2(c_uint64(64)) == INVALID
    assert driver.cuMemFree_v2(c_uint64(address + 8)) == INVALID
    assert driver.cuMemFree_v2(driver.pinned) == INVALID
    assert driver.cuMemFree_v2(c_uint64(address)) == OK
    assert driver.cuMemFree_v2(c_uint64(address)) == INVALID
    assert driver.cuMemcpyHtoD_v2(c_uint64(address), driver.host, c_size_t(4)) == INVALID


def test_overlapping_copies_inside_the_device(driver):
    data, seen = (ctypes.c_uint8 * 64)(*range(64)), (ctypes.c_uint8 * 64)()
    n = c_size_t(64)
    assert driver.cuMemcpyHtoD_v2(c_uint64(driver.device), data, n) == OK
    assert driver.cuMemcpyDtoD_v2(c_uint64(driver.device + 8), c_uint64(driver.device), c_size_t(32)) == OK
    assert driver.cuMemcpyDtoH_v2(seen, c_uint64(driver.device), n) == OK
    assert list(seen) == [*range(8), *range(32), *range(40, 64)]


def test_address_ranges(driver):
    base, size = c_uint64(), c_size_t()
    find = lambda address: driver.cuMemGetAddressRange_v2(byref(base), byref(size), c_uint64(address))  # noqa: E731
    assert find(driver.device + 999) == OK
    assert (base.value, size.value) == (driver.device, 1000)
    assert find(driver.pinned.value + 8) == OK
    assert (base.value, size.value) == (driver.pinned.value, 1000)
    for unknown in (driver.device + 1000, 64, 0):
        assert find(unknown) == NOT_FOUND
    assert driver.cuMemGetAddressRange_v2(None, None, c_uint64(driver.device)) == OK


def test_attributes_of_pointers(driver):
    attribute, memory, pinned = driver.cuPointerGetAttribute, driver.device, driver.pinned.value
    context = driver.context.value
    expected = {1: (context, context), 2: (2, 1), 3: (memory + 8, pinned + 8), 8: (0, 0), 9: (0, 0)}
    for which, values in expected.items():
        for address, value in zip((memory, pinned), values, strict=True):
            out = c_uint64()
            assert attribute(byref(out), which, c_uint64(address + 8)) == OK
            assert out.value == value, which
    out = c_uint64()
    assert attribute(byref(out), 4, c_uint64(pinned + 8)) == OK
    assert out.value == pinned + 8
    assert attribute(byref(out), 4, c_uint64(memory)) == INVALID
    assert attribute(byref(out), 77, c_uint64(memory)) == INVALID
    for unknown in (memory + 1000, 64, 0):
        assert attribute(byref(out), 7, c_uint64(unknown)) == INVALID


def test_no_allocation_has_the_number_of_another_one(driver):
    numbers = []
    for _ in range(3):
        address, number = c_uint64(), c_uint64()
        assert driver.cuMemAlloc_v2(byref(address), c_size_t(64)) == OK
        assert driver.cuPointerGetAttribute(byref(number), 7, c_uint64(address.value + 63)) == OK
        assert driver.cuMemFree_v2(address) == OK
        assert driver.cuPointerGetAttribute(byref(number), 7, address) == INVALID
        numbers.append(number.value)
    assert len(set(numbers)) == 3


def test_pinned_memory(driver):
    out, flags = byref(driver.out), c_uint()
    inside = c_void_p(driver.pinned.value + 8)
    assert driver.cuMemHostAlloc(out, c_size_t(8), 0x100) == INVALID
    assert driver.cuMemHostAlloc(out, c_size_t(0), 0) == OK
    assert driver.cuMemHostGetFlags(byref(flags), inside) == OK
    assert flags.value == 2
    assert driver.cuMemHostGetFlags(byref(flags), driver.host) == INVALID
    assert driver.cuMemHostGetDevicePointer_v2(out, inside, 0) == OK
    assert driver.out.value == inside.value
    assert driver.cuMemHostGetDevicePointer_v2(out, inside, 1) == INVALID
    assert driver.cuMemHostGetDevicePointer_v2(out, driver.host, 0) == INVALID
    assert driver.cuMemFreeHost(None) == OK
    assert driver.cuMemFreeHost(inside) == INVALID
    assert driver.cuMemFreeHost(driver.host) == INVALID


@pytest.mark.parametrize(
    "width, height, element, result, pitch",
    [
        (1, 1, 4, OK, 512),
        (511, 2, 8, OK, 512),
        (513, 2, 16, OK, 1024),
        (100, 3, 2, INVALID, None),
        (0, 3, 4, INVALID, None),
        (100, 0, 4, INVALID, None),
    ],
)
def test_pitches(driver, width, height, element, result, pitch):
    got = c_size_t()
    out = byref(driver.out)
    size = (c_size_t(width), c_size_t(height))
    assert driver.cuMemAllocPitch_v2(out, byref(got), *size, element) == result
    if pitch:
        assert got.value == pitch
        assert driver.cuMemFree_v2(driver.out) == OK


@pytest.mark.parametrize(
    "offset, pitch, width, height, result",
    [
        (0, 100, 100, 10, OK),
        (0, 100, 100, 11, INVALID),
        (50, 100, 50, 10, OK),
        (0, 50, 60, 2, INVALID),
        (0, 50, 0, 5, OK),
        (0, 50, 50, 0, OK),
        (0, 0, 10, 1, OK),
    ],
)
def test_rows_that_are_set(driver, offset, pitch, width, height, result):
    where = c_uint64(driver.device + offset)
    sizes = (c_size_t(width), c_size_t(height))
    assert driver.cuMemsetD2D8_v2(where, c_size_t(pitch), 1, *sizes) == result
    assert driver.cuMemsetD2D8Async(where, c_size_t(pitch), 1, *sizes, None) == result


def test_values_that_are_set_must_be_aligned(driver):
    two = c_size_t(2)
    assert driver.cuMemsetD32_v2(c_uint64(driver.device + 2), 7, two) == INVALID
    assert driver.cuMemsetD16_v2(c_uint64(driver.device + 1), 7, two) == INVALID
    assert driver.cuMemsetD2D32_v2(c_uint64(driver.device), c_size_t(50), 1, two, two) == INVALID
    assert driver.cuMemsetD8_v2(c_uint64(0), 7, c_size_t(0)) == OK


def test_registered_host_memory(driver):
    inside = c_uint64(ctypes.addressof(driver.host) + 8)
    assert driver.cuMemHostRegister_v2(driver.host, c_size_t(0), 0) == INVALID
    assert driver.cuMemHostRegister_v2(driver.host, c_size_t(1 << 20), 0) == OK
    assert driver.cuMemHostRegister_v2(inside, c_size_t(100), 0) == 712
    assert driver.cuMemcpyHtoD_v2(c_uint64(driver.device), driver.host, c_size_t(1000)) == OK
    assert driver.cuMemHostUnregister(inside) == INVALID
    assert driver.cuMemHostUnregister(driver.host) == OK
    assert driver.cuMemHostUnregister(driver.host) == 713


def test_attaching_managed_memory(driver):
    managed, stream = c_uint64(), c_void_p()
    assert driver.cuMemAllocManaged(byref(managed), c_size_t(100), 1) == OK
    assert driver.cuStreamCreate(byref(stream), 0) == OK
    attach = lambda *of: driver.cuStreamAttachMemAsync(of[0], of[1], c_size_t(of[2]), of[3])  # noqa: E731
    assert attach(None, managed, 0, 1) == attach(stream, managed, 0, 4) == OK
    assert attach(None, managed, 0, 4) == attach(None, c_uint64(driver.device), 0, 1) == INVALID
    assert attach(None, managed, 50, 2) == INVALID
    assert driver.cuMemFree_v2(managed) == driver.cuStreamDestroy_v2(stream) == OK


@pytest.mark.parametrize("flags, result", [(0, INVALID), (1, OK), (2, OK), (3, INVALID), (4, INVALID)])
def test_flags_of_managed_memory(driver, flags, result):
    assert driver.cuMemAllocManaged(byref(driver.out), c_size_t(100), flags) == result
    if result == OK:
        assert driver.cuMemFree_v2(driver.out) == OK


@pytest.mark.parametrize(
    "grid, result",
    [
        ((1, 1, 1), OK),
        ((0, 1, 1), INVALID),
        ((1, 0, 1), INVALID),
        ((1, 1, 0), INVALID),
        ((1, 65535, 1), OK),
        ((1, 65536, 1), INVALID),
        ((1, 1, 65536), INVALID),
        ((1 << 31, 1, 1), INVALID),
    ],
)
def test_limits_of_grids(driver, grid, result):
    assert driver.launch(b"empty", grid=grid) == result


@pytest.mark.parametrize(
    "kernel, block, result",
    [
        (b"empty", (1024, 1, 1), OK),
        (b"empty", (1025, 1, 1), INVALID),
        (b"empty", (0, 1, 1), INVALID),
        (b"empty", (1, 1, 64), OK),
        (b"empty", (1, 1, 65), INVALID),
        (b"empty", (32, 32, 2), INVALID),
        (b"limited", (64, 1, 1), OK),
        (b"limited", (8, 8, 1), OK),
        (b"limited", (65, 1, 1), INVALID),
    ],
)
def test_limits_of_blocks(driver, kernel, block, result):
    assert driver.launch(kernel, block=block) == result
    assert driver.cuFuncSetBlockShape(driver.function(kernel), *block) == result


def test_dynamic_shared_memory_needs_leave_beyond_48_kib(driver):
    assert driver.attribute(1, b"with_shared") == 1000
    assert driver.attribute(8, b"with_shared") == 48152
    assert driver.launch(b"with_shared", shared=48152) == OK
    assert driver.launch(b"with_shared", shared=48153) == INVALID
    function = driver.function(b"with_shared")
    assert driver.cuFuncSetAttribute(function, 8, 100000) == OK
    assert driver.launch(b"with_shared", shared=100000) == OK
    assert driver.launch(b"with_shared", shared=100001) == INVALID
    assert driver.cuFuncSetAttribute(function, 8, 232448 - 1000) == OK
    for wrong in (232448, -1, 1 << 30):
        assert driver.cuFuncSetAttribute(function, 8, wrong) == INVALID
    assert driver.cuFuncSetAttribute(function, 0, 1) == INVALID


def stored(driver):
    value = c_uint()
    assert driver.cuMemcpyDtoH_v2(byref(value), c_uint64(driver.device), c_size_t(4)) == OK
    return value.value


@pytest.mark.parametrize("missing", [-8, -4, -1, 0, 4])
def test_sizes_of_parameter_buffers(driver, missing):
    full = driver.device.to_bytes(8, "little") + (77).to_bytes(4, "little")
    assert driver.launch(b"store", buffer=full) == OK
    assert stored(driver) == 77
    if missing < 0:
        assert driver.launch(b"store", buffer=full + bytes(-missing)) == RESOURCES
        assert driver.launch(b"empty", buffer=bytes(-missing)) == RESOURCES
    else:
        assert driver.launch(b"store", buffer=full[: len(full) - missing]) == OK
        assert stored(driver) == (0 if missing else 77)


def test_pointers_to_parameters(driver):
    where, what = c_uint64(driver.device), c_uint(88)
    pointers = (c_void_p * 2)(ctypes.addressof(where), ctypes.addressof(what))
    assert driver.launch(b"store", pointers=pointers) == OK
    assert stored(driver) == 88
    assert driver.launch(b"store", pointers=pointers, buffer=b"") == INVALID
    assert driver.launch(b"store") == INVALID


def test_parameters_set_one_by_one(driver):
    function, where = driver.function(b"store"), c_uint64(driver.device)
    assert driver.cuFuncSetBlockShape(function, 1, 1, 1) == OK
    assert driver.cuParamSetv(function, 0, byref(where), 8) == OK
    assert driver.cuParamSeti(function, 8, 99) == OK
    assert driver.cuParamSetSize(function, 12) == OK
    assert driver.cuLaunchGrid(function, 0, 1) == INVALID
    assert driver.cuLaunchGrid(function, 1, 1) == OK
    assert stored(driver) == 99
    assert driver.cuParamSetf(function, 8, c_float(1.0)) == OK
    assert driver.cuLaunch(function) == OK
    assert stored(driver) == 0x3F800000


def test_names_in_modules(driver):
    out, size = byref(driver.out), c_size_t()
    assert driver.cuModuleGetFunction(out, driver.module, b"nothing") == NOT_FOUND
    assert driver.cuModuleGetFunction(out, driver.module, b"table") == NOT_FOUND
    assert driver.cuModuleGetFunction(out, None, b"empty") == BAD_HANDLE
    assert driver.cuModuleGetGlobal_v2(out, byref(size), driver.module, b"nothing") == NOT_FOUND
    assert driver.cuModuleGetGlobal_v2(out, byref(size), driver.module, b"table") == OK
    assert size.value == 40
    assert driver.cuMemcpyHtoD_v2(driver.out, driver.host, c_size_t(40)) == OK
    assert driver.cuMemcpyHtoD_v2(driver.out, driver.host, c_size_t(41)) == INVALID
    assert driver.cuMemFree_v2(driver.out) == INVALID
    assert driver.function(b"empty").value == driver.function(b"empty").value


@pytest.mark.parametrize(
    "image, result, said",
    [
        (b"hello world", 200, "not PTX"),
        (b"\x7fELF" + bytes(100), 209, "runs PTX only"),
        (PTX.rstrip()[:-1], 218, "line"),
        (None, 1, ""),
    ],
)
def test_images_that_cannot_be_loaded(driver, image, result, said):
    log = ctypes.create_string_buffer(b"x" * 4095, 4096)
    options = (c_int * 2)(5, 6)
    values = (c_void_p * 2)(ctypes.addressof(log), 4096)
    assert driver.cuModuleLoadDataEx(byref(driver.out), image, 2, options, values) == result
    assert said in log.value.decode()
    assert (values[1] or 0) == (len(log.value) + 1 if log.value else 0)


def test_messages_are_empty_where_there_is_no_context(driver):
    context, out = c_void_p(), c_void_p()
    assert driver.cuCtxPopCurrent_v2(byref(context)) == OK
    log = ctypes.create_string_buffer(b"x" * 4095, 4096)
    options, values = (c_int * 2)(5, 6), (c_void_p * 2)(ctypes.addressof(log), 4096)
    try:
        assert driver.cuModuleLoadDataEx(byref(out), PTX, 2, options, values) == NO_CONTEXT
    finally:
        assert driver.cuCtxPushCurrent_v2(context) == OK
    assert (log.value, values[1]) == (b"", None)


def test_a_kernel_with_an_unknown_instruction_is_refused_at_its_launch(driver):
    module, function, text = c_void_p(), c_void_p(), c_char_p()
    image = PTX.replace(b"ret;", b"tcgen05.alloc.b32 [64], 32;", 1)
    assert driver.cuModuleLoadData(byref(module), image) == OK
    assert driver.cuModuleGetFunction(byref(function), module, b"empty") == OK
    assert driver.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, None, None, None) == 801
    assert driver.cuGetErrorString(801, byref(text)) == OK
    assert b"kernel empty cannot run on the CPU device: " in text.value
    assert b"tcgen05" in text.value
    assert driver.cuModuleGetFunction(byref(function), module, b"limited") == OK
    assert driver.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, None, None, None) == OK
    assert driver.cuModuleUnload(module) == OK
    assert driver.cuModuleUnload(module) == BAD_HANDLE


def test_events(driver):
    event, untimed, elapsed = c_void_p(), c_void_p(), c_float(5.0)
    assert driver.cuEventCreate(byref(event), 0) == OK
    assert driver.cuEventCreate(byref(untimed), 2) == OK
    assert driver.cuEventCreate(byref(driver.out), 0x10) == INVALID
    assert driver.cuEventCreate(byref(driver.out), 4) == INVALID
    assert driver.cuEventQuery(event) == driver.cuEventSynchronize(event) == OK
    assert driver.cuEventElapsedTime(byref(elapsed), event, event) == BAD_HANDLE
    assert driver.cuEventRecord(event, None) == driver.cuEventRecord(untimed, None) == OK
    assert driver.cuEventSynchronize(event) == OK
    assert driver.cuEventElapsedTime_v2(byref(elapsed), event, event) == OK
    assert elapsed.value == 0.0
    assert driver.cuEventElapsedTime(byref(elapsed), event, untimed) == BAD_HANDLE
    assert driver.cuEventRecord(None, None) == driver.cuEventQuery(None) == BAD_HANDLE
    assert driver.cuEventDestroy_v2(event) == driver.cuEventDestroy_v2(untimed) == OK
    assert driver.cuEventDestroy_v2(event) == BAD_HANDLE


def test_streams(driver):
    stream = c_void_p()
    assert driver.cuStreamCreate(byref(driver.out), 5) == INVALID
    assert driver.cuStreamCreate(byref(stream), 1) == OK
    for handle in (stream, None, c_void_p(1), c_void_p(2)):
        assert driver.cuStreamSynchronize(handle) == driver.cuStreamQuery(handle) == OK
    assert driver.cuStreamWaitEvent(stream, None, 0) == BAD_HANDLE
    assert driver.cuStreamGetCtx(stream, byref(driver.out)) == OK
    assert driver.out.value == driver.context.value
    assert driver.cuStreamDestroy_v2(stream) == OK
    assert driver.cuStreamDestroy_v2(stream) == driver.cuStreamDestroy_v2(None) == BAD_HANDLE


@pytest.mark.parametrize(
    "limit, default, wanted, result, then",
    [
        (0, 1024, 4096, OK, 4096),
        (1, 8650752, 4096, OK, 524288),
        (2, 8388608, 4096, OK, 4194304),
        (3, None, 1, BAD_LIMIT, None),
        (5, 64, 4096, INVALID, 64),
        (7, 232448, 4096, NOT_PERMITTED, 232448),
    ],
)
def test_limits(driver, limit, default, wanted, result, then):
    value = c_size_t()
    get = lambda: driver.cuCtxGetLimit(byref(value), limit)  # noqa: E731
    assert get() == (OK if default is not None else BAD_LIMIT)
    if default is not None:
        assert value.value == default
    assert driver.cuCtxSetLimit(limit, c_size_t(wanted)) == result
    if then is not None:
        assert get() == OK
        assert value.value == then


def test_the_device(driver):
    value, text = c_int(), ctypes.create_string_buffer(64)
    assert driver.cuDeviceGet(byref(value), 1) == driver.cuDeviceGet(byref(value), -1) == NO_DEVICE
    assert driver.cuDeviceGetAttribute(byref(value), 1, 3) == NO_DEVICE
    assert driver.cuDeviceGetAttribute(byref(value), 0, 0) == INVALID
    assert driver.cuDeviceGetAttribute(byref(value), 97, 0) == OK
    assert value.value == 232448
    assert driver.cuDeviceGetPCIBusId(text, 5, 0) == INVALID
    assert driver.cuDeviceGetPCIBusId(text, 64, 0) == OK
    assert driver.cuDeviceGetByPCIBusId(byref(value), text) == OK
    assert driver.cuDeviceGetByPCIBusId(byref(value), b"nonsense") == INVALID
    assert driver.cuDeviceGetByPCIBusId(byref(value), b"0000:77:00.0") == NO_DEVICE
    assert driver.cuDeviceGetName(text, 4, 0) == OK
    assert text.value == b"pyc"
    assert driver.cuCtxEnablePeerAccess(driver.context, 0) == 217
    assert driver.cuCtxDisablePeerAccess(driver.context) == 705


def test_names_and_messages_of_results(driver):
    text = c_char_p()
    assert driver.cuGetErrorName(700, byref(text)) == OK
    assert text.value == b"CUDA_ERROR_ILLEGAL_ADDRESS"
    assert driver.cuGetErrorString(700, byref(text)) == OK
    assert text.value == b"an illegal memory access was encountered"
    assert driver.cuGetErrorString(12345, byref(text)) == INVALID
    assert text.value is None


def test_what_is_not_supported_says_so(driver):
    text = c_char_p()
    assert driver.cuIpcGetMemHandle(byref(driver.out), c_uint64(driver.device)) == 801
    assert driver.cuGetErrorString(801, byref(text)) == OK
    assert text.value.startswith(b"operation not supported: cuIpcGetMemHandle (")


def test_contexts():
    cpu.load()
    d = ctypes.CDLL("libcuda.so.1")
    assert d.cuInit(0) == OK
    below, first, second, out = c_void_p(), c_void_p(), c_void_p(), c_void_p()
    while d.cuCtxPopCurrent_v2(byref(below)) == OK:
        pass
    assert d.cuMemAlloc_v2(byref(out), c_size_t(4)) == NO_CONTEXT
    assert d.cuCtxSynchronize() == d.cuCtxGetDevice(byref(out)) == NO_CONTEXT
    assert d.cuCtxGetCurrent(byref(out)) == OK
    assert out.value is None
    assert d.cuCtxPushCurrent_v2(None) == INVALID
    assert d.cuCtxCreate_v2(byref(out), 0x1000, 0) == INVALID
    assert d.cuCtxCreate_v2(byref(out), 0, 7) == NO_DEVICE
    assert d.cuCtxCreate_v2(byref(first), 0, 0) == d.cuCtxCreate_v4(byref(second), None, 0, 0) == OK
    stream, address = c_void_p(), c_uint64()
    assert d.cuStreamCreate(byref(stream), 0) == d.cuMemAlloc_v2(byref(address), c_size_t(16)) == OK
    assert d.cuCtxPopCurrent_v2(byref(out)) == OK
    assert out.value == second.value
    host = ctypes.create_string_buffer(16)
    assert d.cuMemcpyHtoDAsync_v2(address, host, c_size_t(16), stream) == BAD_HANDLE
    assert d.cuMemFree_v2(address) == OK
    assert d.cuCtxAttach(byref(out), 1) == INVALID
    assert d.cuCtxAttach(byref(out), 0) == d.cuCtxDetach(first) == OK
    assert d.cuCtxSynchronize() == OK
    assert d.cuCtxDestroy_v2(second) == OK
    assert d.cuCtxDestroy_v2(second) == d.cuCtxDetach(second) == DESTROYED
    assert d.cuCtxPushCurrent_v2(second) == d.cuCtxGetDevice(byref(out)) == OK
    assert d.cuCtxSynchronize() == d.cuMemAlloc_v2(byref(out), c_size_t(4)) == DESTROYED
    assert d.cuCtxPopCurrent_v2(byref(out)) == d.cuCtxDetach(first) == OK
    assert d.cuCtxGetCurrent(byref(out)) == OK
    assert out.value is None
    assert d.cuDevicePrimaryCtxRetain(byref(first), 0) == d.cuDevicePrimaryCtxRetain(byref(second), 0) == OK
    assert first.value == second.value
    assert d.cuDevicePrimaryCtxRelease_v2(0) == d.cuDevicePrimaryCtxRelease(0) == OK
    assert d.cuDevicePrimaryCtxRelease_v2(0) == NO_CONTEXT
    assert d.cuCtxPushCurrent_v2(below) in (OK, INVALID)
