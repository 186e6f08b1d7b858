"""Every row of the table: the call is exercised and its event arrives."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from pycuda_guard.events.model import (
    ArrayOperand,
    CallFailed,
    Copy,
    DeviceOperand,
    HostOperand,
    Launch,
    ModuleLoaded,
)
from pycuda_guard.hooks.table import COMPILER, ROWS

#: Calls that this PyCUDA does not have, or has under another name.
OTHER_VERSIONS = {"memcpy_htoa", "memcpy_atoh"}

#: PyCUDA's own call crashes the process with NumPy 2: it drops a reference that it does not hold.
CRASHES = {"register_host_memory", "RegisteredHostMemory.unregister", "RegisteredHostMemory.__del__"}

#: Calls that the CPU device refuses; the failure must be told instead.
REFUSED = {
    "Context.enable_peer_access",
    "Context.disable_peer_access",
    "mem_get_ipc_handle",
    "IPCMemoryHandle.__init__",
    "IPCMemoryHandle.close",
    "IPCMemoryHandle.__del__",
    "Event.from_ipc_handle",
}


SMALL = "__global__ void nothing() {}"


class World:
    """Objects to call things on; each is made when it is first asked for."""

    def __init__(self, cuda, kernels, folder):
        self.cuda, self.folder = cuda, folder
        self.kernels = kernels
        self.a, self.b = cuda.mem_alloc(256), cuda.mem_alloc(256)
        self.host = np.zeros(16, np.float32)
        self.pinned = cuda.pagelocked_empty(16, np.float32)
        self.kept = []
        self.stream, self.event = cuda.Stream(), cuda.Event()
        self.event.record()
        self.function = kernels.get_function("axpy").prepare("PPfi")
        self.context = cuda.Context.get_current()

    def array(self):
        """Return a CUDA array of 16 by 4 floats."""
        descriptor = self.cuda.ArrayDescriptor()
        descriptor.width, descriptor.height = 16, 4
        descriptor.format, descriptor.num_channels = self.cuda.array_format.FLOAT, 1
        return self.cuda.Array(descriptor)

    def pool_block(self):
        """Return a block of a device memory pool."""
        return self.cuda.DeviceMemoryPool().allocate(64)

    def pinned_block(self):
        """Return the owner of a block of a pinned memory pool."""
        return self.cuda.PageLockedMemoryPool().allocate((16,), np.float32).base

    def box(self, cls, source="device", target="device"):
        """Return a Memcpy2D or 3D of 16 bytes, ready to be called."""
        copy = getattr(self.cuda, cls)()
        for end, kind in (("src", source), ("dst", target)):
            values = {"device": self.a, "array": self.array(), "host": self.host, "unified": self.pinned}
            value = values[kind]
            self.kept.append(value)  # a setter keeps nothing alive
            getattr(copy, f"set_{end}_{kind}")(value)
        copy.width_in_bytes, copy.height, copy.src_pitch, copy.dst_pitch = 16, 1, 64, 64
        if cls != "Memcpy2D":
            copy.depth, copy.src_height, copy.dst_height = 1, 4, 4
        return copy

    def image(self):
        """Return the PTX of a small module."""
        from pycuda.compiler import compile

        return compile("__global__ void linked(float *p) { *p = 1; }", target="ptx")

    def file(self):
        """Return the name of a file with such a module."""
        path = self.folder / "module.ptx"
        path.write_bytes(self.image())
        return str(path)

    def drop_module(self):
        """Ask for a variable of a module that goes at once."""
        from pycuda.compiler import SourceModule

        SourceModule("__device__ int gone;").get_global("gone")

    def run_box(self, cls, source="device", target="device"):
        """Copy 16 bytes by descriptor."""
        copy = self.box(cls, source, target)
        copy(True) if cls == "Memcpy2D" else copy()

    def borrow_primary(self):
        """Make the primary context current and let go of it."""
        context = self.cuda.Device(0).retain_primary_context()
        context.push()
        context.detach()

    def launch_as_before(self, launch):
        """Launch the kernel with zero elements in the way of before CUDA 4."""
        self.function._set_block_shape(4, 1, 1)
        self.function._set_shared_size(64)
        self.function._param_set_size(24)
        self.function._param_setv(0, bytes(24))
        launch()

    def link(self):
        """Link a module from PTX."""
        linker = self.cuda.Linker()
        linker.add_data(self.image(), self.cuda.jit_input_type.PTX, "linked.ptx")
        return linker.link_module()


EXERCISES = {
    "mem_alloc": lambda w: w.cuda.mem_alloc(16),
    "mem_alloc_pitch": lambda w: w.cuda.mem_alloc_pitch(16, 4, 4),
    "managed_empty": lambda w: w.cuda.managed_empty(4, np.float32, mem_flags=w.cuda.mem_attach_flags.GLOBAL),
    "pagelocked_empty": lambda w: w.cuda.pagelocked_empty(4, np.float32),
    "DeviceMemoryPool.allocate": lambda w: w.pool_block(),
    "PageLockedMemoryPool.allocate": lambda w: w.pinned_block(),
    "IPCMemoryHandle.__init__": lambda w: w.cuda.IPCMemoryHandle(bytearray(64)),
    "Array.__init__": lambda w: w.array(),
    "Module.get_global": lambda w: w.kernels.get_global("table"),
    "Module.__del__": lambda w: w.drop_module(),
    "mem_get_ipc_handle": lambda w: w.cuda.mem_get_ipc_handle(w.a),
    "Context.enable_peer_access": lambda w: w.cuda.Context.enable_peer_access(w.context),
    "Context.disable_peer_access": lambda w: w.cuda.Context.disable_peer_access(w.context),
    "DeviceMemoryPool.free_held": lambda w: w.cuda.DeviceMemoryPool().free_held(),
    "DeviceMemoryPool.stop_holding": lambda w: w.cuda.DeviceMemoryPool().stop_holding(),
    "DeviceAllocation.as_buffer": lambda w: w.a.as_buffer(16),
    "DeviceAllocation.free": lambda w: w.cuda.mem_alloc(16).free(),
    "PooledDeviceAllocation.free": lambda w: w.pool_block().free(),
    "PagelockedHostAllocation.free": lambda w: w.cuda.pagelocked_empty(4, np.float32).base.free(),
    "PooledHostAllocation.free": lambda w: w.pinned_block().free(),
    "Array.free": lambda w: w.array().free(),
    "DeviceAllocation.__del__": lambda w: w.cuda.mem_alloc(16) and None,
    "PooledDeviceAllocation.__del__": lambda w: w.pool_block() and None,
    "PagelockedHostAllocation.__del__": lambda w: w.cuda.pagelocked_empty(4, np.float32).base and None,
    "PooledHostAllocation.__del__": lambda w: w.pinned_block() and None,
    "Array.__del__": lambda w: w.array() and None,
    "memcpy_htod": lambda w: w.cuda.memcpy_htod(w.a, w.host),
    "memcpy_htod_async": lambda w: w.cuda.memcpy_htod_async(w.a, w.host, stream=w.stream),
    "memcpy_dtoh": lambda w: w.cuda.memcpy_dtoh(w.host, w.a),
    "memcpy_dtoh_async": lambda w: w.cuda.memcpy_dtoh_async(w.host, w.a, w.stream),
    "memcpy_dtod": lambda w: w.cuda.memcpy_dtod(w.a, w.b, size=16),
    "memcpy_dtod_async": lambda w: w.cuda.memcpy_dtod_async(w.a, w.b, 16, w.stream),
    # Without contexts PyCUDA crashes.
    "memcpy_peer": lambda w: w.cuda.memcpy_peer(w.a, w.b, 16, w.context, w.context),
    "memcpy_peer_async": lambda w: w.cuda.memcpy_peer_async(w.a, w.b, 16, w.context, w.context, w.stream),
    "memcpy_dtoa": lambda w: w.cuda.memcpy_dtoa(w.array(), 0, w.a, 16),
    "memcpy_atod": lambda w: w.cuda.memcpy_atod(w.a, w.array(), 0, 16),
    "memcpy_atoa": lambda w: w.cuda.memcpy_atoa(w.array(), 0, w.array(), 16, 16),
    "py_memcpy_htoa": lambda w: w.cuda.py_memcpy_htoa(w.array(), 0, w.host),
    "py_memcpy_atoh": lambda w: w.cuda.py_memcpy_atoh(w.host, w.array(), 0),
    "Memcpy2D.__call__": lambda w: w.run_box("Memcpy2D"),
    "Memcpy3D.__call__": lambda w: w.run_box("Memcpy3D"),
    "Memcpy3DPeer.__call__": lambda w: w.run_box("Memcpy3DPeer"),
    **{
        f"memset_d{bits}": lambda w, bits=bits: getattr(w.cuda, f"memset_d{bits}")(w.a, 0, 4)
        for bits in (8, 16, 32)
    },
    **{
        f"memset_d{bits}_async": lambda w, bits=bits: getattr(w.cuda, f"memset_d{bits}_async")(
            w.a, 0, 4, w.stream
        )
        for bits in (8, 16, 32)
    },
    **{
        f"memset_d2d{bits}": lambda w, bits=bits: getattr(w.cuda, f"memset_d2d{bits}")(w.a, 64, 0, 4, 2)
        for bits in (8, 16, 32)
    },
    **{
        f"memset_d2d{bits}_async": lambda w, bits=bits: getattr(w.cuda, f"memset_d2d{bits}_async")(
            w.a, 64, 0, 4, 2, w.stream
        )
        for bits in (8, 16, 32)
    },
    "Function._launch_kernel": lambda w: w.function._launch_kernel((1, 1), (1, 1, 1), bytes(24), 0, None),
    "Function._launch": lambda w: w.launch_as_before(w.function._launch),
    "Function._launch_grid": lambda w: w.launch_as_before(lambda: w.function._launch_grid(1, 1)),
    "Function._launch_grid_async": lambda w: w.launch_as_before(
        lambda: w.function._launch_grid_async(1, 1, w.stream)
    ),
    "Stream.__init__": lambda w: w.cuda.Stream(1),
    "Stream.__del__": lambda w: w.cuda.Stream() and None,
    "Stream.synchronize": lambda w: w.stream.synchronize(),
    "Stream.is_done": lambda w: (w.stream.synchronize(), w.stream.is_done()),
    "Stream.wait_for_event": lambda w: w.stream.wait_for_event(w.event),
    "Event.__init__": lambda w: w.cuda.Event(),
    "Event.from_ipc_handle": lambda w: w.cuda.Event.from_ipc_handle(bytearray(64)),
    "Event.__del__": lambda w: w.cuda.Event() and None,
    "Event.record": lambda w: w.event.record(w.stream),
    "Event.synchronize": lambda w: w.event.synchronize(),
    "Event.query": lambda w: (w.event.synchronize(), w.event.query()),
    "Event.time_since": lambda w: w.event.synchronize().time_since(w.event),
    "Event.time_till": lambda w: w.event.synchronize().time_till(w.event),
    "Device.make_context": lambda w: w.cuda.Device(0).make_context() and w.cuda.Context.pop(),
    # A primary context that isn't current stays on CUDA's own stack when PyCUDA detaches it.
    "Device.retain_primary_context": lambda w: w.borrow_primary(),
    "Context.push": lambda w: (w.context.push(), w.cuda.Context.pop()),
    "Context.pop": lambda w: (w.context.push(), w.cuda.Context.pop()),
    "Context.detach": lambda w: w.borrow_primary(),
    "Context.attach": lambda w: w.cuda.Context.attach().detach(),
    "Context.synchronize": lambda w: w.cuda.Context.synchronize(),
    "module_from_buffer": lambda w: w.cuda.module_from_buffer(w.image()),
    "module_from_file": lambda w: w.cuda.module_from_file(w.file()),
    "Linker.link_module": lambda w: w.link(),
}

EVENT_ROWS = [row for row in ROWS if row.event and row.path not in OTHER_VERSIONS | CRASHES]


@pytest.fixture
def world(cuda, kernels, tmp_path):
    return World(cuda, kernels, tmp_path)


@pytest.mark.parametrize("row", EVENT_ROWS, ids=lambda row: row.path)
def test_the_row_makes_its_event(row, world, recorder):
    recorder.take()
    expected = row.event
    if row.path in REFUSED:
        expected = CallFailed.__name__
        with pytest.raises(world.cuda.Error):
            {**EXERCISES, **IPC}[row.path](world)
    else:
        EXERCISES[row.path](world)
    gc.collect()
    assert expected in [type(event).__name__ for event in recorder.take()]


IPC = {path: EXERCISES["IPCMemoryHandle.__init__"] for path in REFUSED if path.startswith("IPC")}

LAUNCHES = {
    "Function.__call__": lambda w: w.function(w.a, w.b, np.float32(1), np.int32(4), block=(4, 1, 1)),
    "Function.prepared_call": lambda w: w.function.prepared_call((1, 1), (4, 1, 1), w.a, w.b, 1.0, 4),
    "Function.prepared_timed_call": lambda w: w.function.prepared_timed_call(
        (1, 1), (4, 1, 1), w.a, w.b, 1.0, 4
    ),
    "Function.prepared_async_call": lambda w: w.function.prepared_async_call(
        (1, 1), (4, 1, 1), w.stream, w.a, w.b, 1.0, 4
    ),
}


@pytest.mark.parametrize("path", LAUNCHES)
def test_a_watched_way_to_launch_names_the_call(path, world, recorder):
    LAUNCHES[path](world)
    assert [launch.call for launch in recorder.of(Launch)] == [path.partition(".")[2]]


OPERANDS = {"host": HostOperand, "device": DeviceOperand, "array": ArrayOperand}


@pytest.mark.parametrize("cls", ["Memcpy2D", "Memcpy3D"])
@pytest.mark.parametrize("source", OPERANDS)
@pytest.mark.parametrize("target", OPERANDS)
def test_a_setter_makes_the_operand_of_its_kind(cls, source, target, world, recorder):
    recorder.take()
    world.run_box(cls, source, target)
    (copy,) = recorder.of(Copy)
    assert (type(copy.source), type(copy.destination)) == (OPERANDS[source], OPERANDS[target])
    assert copy.source.extent.width == 16


@pytest.mark.parametrize("cls", ["Memcpy2D", "Memcpy3D"])
def test_a_unified_setter_takes_host_memory(cls, world, recorder):
    # PyCUDA stores the address where the driver does not look for it.
    with pytest.raises(world.cuda.Error):
        world.run_box(cls, "unified", "unified")
    copy = recorder.of(Copy)[-1]
    assert [type(copy.source), type(copy.destination)] == [HostOperand, HostOperand]


def test_a_linked_modules_kernels_are_known(world, recorder):
    module = world.link()
    module.get_function("linked")(world.a, block=(1, 1, 1))
    loaded = recorder.of(ModuleLoaded)[-1]
    assert [kernel.name for kernel in loaded.kernels] == ["linked"]
    (launch,) = recorder.of(Launch)
    assert (launch.module, launch.function) == (loaded.module, "linked")


def test_a_file_added_to_a_linker_is_read(world, recorder):
    linker = world.cuda.Linker()
    linker.add_file(world.file(), world.cuda.jit_input_type.PTX)
    linker.link_module()
    assert [kernel.name for kernel in recorder.of(ModuleLoaded)[-1].kernels] == ["linked"]


def test_a_launch_of_the_old_form_tells_how_it_was_set_up(world, recorder):
    world.launch_as_before(lambda: world.function._launch_grid_async(3, 2, world.stream))
    (launch,) = recorder.of(Launch)
    assert (launch.function, launch.arguments, launch.packed) == ("axpy", None, 24)
    assert (launch.grid, launch.stream) == ((3, 2), world.stream.handle)
    assert launch.shared == 64


def in_a_thread_without_context(work):
    """Return the exception that ``work`` ends with, or None."""
    caught = []

    def run():
        try:
            work()
        except Exception as error:
            caught.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return caught[0] if caught else None


def test_a_device_that_is_asked_for_without_a_context_is_told(world, recorder):
    assert in_a_thread_without_context(world.cuda.Context.get_device) is not None
    assert [event.call for event in recorder.of(CallFailed)] == ["Context.get_device"]


def test_the_compiler_may_ask_for_a_device_in_vain(world, recorder):
    from pycuda import compiler

    assert in_a_thread_without_context(lambda: compiler.compile(SMALL)) is None
    assert recorder.of(CallFailed) == []
    assert world.cuda.Context.get_device() == world.cuda.Device(0)


def test_every_row_is_exercised_here():
    watched = {row.path for row in ROWS if not row.event}
    setters = {path for path in watched if ".set_" in path}
    boxes = {f"{cls}.__init__" for cls in ("Memcpy2D", "Memcpy3D", "Memcpy3DPeer")}
    linkers = {f"Linker.{name}" for name in ("__init__", "add_data", "add_file")}
    parameters = {f"Function._param_{name}" for name in ("set_size", "seti", "setf", "setv")}
    parameters.add("Function._set_shared_size")
    compiler = {row.path for row in ROWS if row.module == COMPILER}
    others = {
        "_memcpy_discontig",
        "Module.get_function",
        "Function.get_attribute",
        "mem_get_info",
        "to_device",
        "DeviceMemoryPool.__init__",
        "init",
        "Device.__init__",
        "Context.get_device",
    }
    assert watched == setters | boxes | linkers | parameters | compiler | set(LAUNCHES) | others
    assert {row.path for row in EVENT_ROWS} == set(EXERCISES) | REFUSED
