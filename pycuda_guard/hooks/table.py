"""The one table of PyCUDA's calls that are hooked.

Installing, uninstalling and the page of documentation all come from :data:`ROWS`. A call that this
PyCUDA lacks is skipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.hooks import (
    blocking,
    contexts,
    copies,
    descriptors,
    exports,
    kernels,
    launches,
    memory,
    memsets,
    modules,
    refusals,
    sources,
    streams,
)

if TYPE_CHECKING:
    from pycuda_guard.hooks.tap import Connect

DRIVER = "pycuda.driver"
COMPILER = "pycuda.compiler"
ARRAYS = "pycuda.gpuarray"


@dataclass(frozen=True, slots=True)
class Row:
    """One hooked call: ``module:path``, the hook's maker, and the event it makes.

    ``group`` is the subject, as PyCUDA's reference sorts them. ``event`` is empty for a call that
    is watched only to understand a later one. ``created`` rows add a method (``__del__``) that the
    class does not have. Rows that ``serve_kernels`` stay hooked as long as there are instrumented kernels.
    """

    target: str
    connect: Connect
    group: str
    event: str = ""
    created: bool = False
    serves_kernels: bool = False

    @property
    def module(self) -> str:
        """The module that has to be imported first."""
        return self.target.partition(":")[0]

    @property
    def path(self) -> str:
        """The dotted path of the call inside its module."""
        return self.target.partition(":")[2]


def _driver(path: str, connect: Connect, group: str, event: str = "", created: bool = False) -> Row:
    return Row(f"{DRIVER}:{path}", connect, group, event, created)


def _kernels(path: str, connect: Connect, group: str, event: str = "") -> Row:
    return Row(f"{DRIVER}:{path}", connect, group, event, serves_kernels=True)


_MEMORY = (
    _driver("mem_alloc", kernels.with_room(memory.mem_alloc), "memory", "Allocated"),
    _driver("mem_alloc_pitch", kernels.with_room(memory.mem_alloc_pitch), "memory", "Allocated"),
    _driver("managed_empty", kernels.with_room(memory.managed_empty), "memory", "Allocated"),
    _driver("pagelocked_empty", memory.pagelocked_empty, "memory", "Allocated"),
    _driver(
        "register_host_memory",
        refusals.needs_old_numpy(memory.register_host_memory, "register_host_memory"),
        "memory",
        "Allocated",
    ),
    _driver("DeviceMemoryPool.__init__", memory.create_pool, "memory"),
    _driver("DeviceMemoryPool.free_held", memory.free_held, "memory", "PoolEmptied"),
    _driver("DeviceMemoryPool.stop_holding", memory.stop_holding, "memory", "PoolEmptied"),
    _driver("DeviceAllocation.as_buffer", exports.as_buffer, "memory", "Exported"),
    _driver("mem_get_ipc_handle", exports.ipc_handle, "memory", "Exported"),
    _driver("DeviceMemoryPool.allocate", kernels.with_room(memory.pool_allocate), "memory", "Allocated"),
    _driver("PageLockedMemoryPool.allocate", memory.pinned_pool_allocate, "memory", "Allocated"),
    _driver("IPCMemoryHandle.__init__", memory.ipc_open, "memory", "Allocated"),
    _driver("Array.__init__", memory.array, "memory", "Allocated"),
    _driver("mem_get_info", kernels.mem_get_info, "memory"),
    _driver("Module.get_global", memory.get_global, "memory", "Allocated"),
    _driver("DeviceAllocation.free", memory.free, "memory", "Freed"),
    _driver("PooledDeviceAllocation.free", memory.free_pooled, "memory", "Freed"),
    _driver("IPCMemoryHandle.close", memory.ipc_close, "memory", "Freed"),
    _driver("PagelockedHostAllocation.free", memory.free_pinned, "memory", "Freed"),
    _driver("PooledHostAllocation.free", memory.free_pooled_pinned, "memory", "Freed"),
    _driver("RegisteredHostMemory.unregister", memory.unregister, "memory", "Freed"),
    _driver("Array.free", memory.free_array, "memory", "Freed"),
    _driver("DeviceAllocation.__del__", memory.collect, "memory", "Freed", created=True),
    _driver("PooledDeviceAllocation.__del__", memory.collect_pooled, "memory", "Freed", created=True),
    _driver("IPCMemoryHandle.__del__", memory.ipc_collect, "memory", "Freed", created=True),
    _driver("PagelockedHostAllocation.__del__", memory.collect_pinned, "memory", "Freed", created=True),
    _driver("PooledHostAllocation.__del__", memory.collect_pooled_pinned, "memory", "Freed", created=True),
    _driver("RegisteredHostMemory.__del__", memory.collect_registered, "memory", "Freed", created=True),
    _driver("Array.__del__", memory.collect_array, "memory", "Freed", created=True),
)

_COPIES = (
    _driver("memcpy_htod", copies.htod("memcpy_htod"), "copies", "Copy"),
    _driver("to_device", copies.to_device, "copies"),
    Row(f"{ARRAYS}:_memcpy_discontig", copies.copy_of_arrays, "copies"),
    _driver("memcpy_htod_async", copies.htod("memcpy_htod_async", True), "copies", "Copy"),
    _driver("memcpy_dtoh", copies.dtoh("memcpy_dtoh"), "copies", "Copy"),
    _driver("memcpy_dtoh_async", copies.dtoh("memcpy_dtoh_async", True), "copies", "Copy"),
    _driver("memcpy_dtod", copies.dtod("memcpy_dtod"), "copies", "Copy"),
    _driver("memcpy_dtod_async", copies.dtod("memcpy_dtod_async", True), "copies", "Copy"),
    _driver(
        "memcpy_peer", refusals.needs_contexts(copies.peer("memcpy_peer"), "memcpy_peer"), "copies", "Copy"
    ),
    _driver(
        "memcpy_peer_async",
        refusals.needs_contexts(copies.peer("memcpy_peer_async", True), "memcpy_peer_async"),
        "copies",
        "Copy",
    ),
    _driver("memcpy_dtoa", copies.dtoa, "copies", "Copy"),
    _driver("memcpy_atod", copies.atod, "copies", "Copy"),
    _driver("memcpy_atoa", copies.atoa, "copies", "Copy"),
    _driver("memcpy_htoa", copies.htoa("memcpy_htoa"), "copies", "Copy"),
    _driver("memcpy_atoh", copies.atoh("memcpy_atoh"), "copies", "Copy"),
    _driver("py_memcpy_htoa", copies.htoa("py_memcpy_htoa"), "copies", "Copy"),
    _driver("py_memcpy_atoh", copies.atoh("py_memcpy_atoh"), "copies", "Copy"),
    *(
        row
        for cls in ("Memcpy2D", "Memcpy3D", "Memcpy3DPeer")
        for row in (
            _driver(f"{cls}.__init__", descriptors.create(cls), "copies"),
            _driver(f"{cls}.__call__", descriptors.copy(cls), "copies", "Copy"),
            *(
                _driver(
                    f"{cls}.set_{end}_{kind}",
                    descriptors.set_end(f"{cls}.set_{end}_{kind}", end, kind),
                    "copies",
                )
                for end in ("src", "dst")
                for kind in ("host", "device", "array", "unified")
            ),
        )
    ),
)

_MEMSETS = tuple(
    row
    for suffix, asynchronous in (("", False), ("_async", True))
    for bits in (8, 16, 32)
    for row in (
        _driver(f"memset_d{bits}{suffix}", memsets.memset(bits, asynchronous), "memsets", "Memset"),
        _driver(f"memset_d2d{bits}{suffix}", memsets.memset_2d(bits, asynchronous), "memsets", "Memset"),
    )
)

_LAUNCHES = (
    _driver("Function.__call__", launches.launcher("__call__"), "launches"),
    _driver("Function.prepared_call", launches.launcher("prepared_call"), "launches"),
    _driver("Function.prepared_async_call", launches.launcher("prepared_async_call"), "launches"),
    _driver("Function.prepared_timed_call", launches.launcher("prepared_timed_call"), "launches"),
    _kernels("Function._launch_kernel", blocking.waiting(launches.launch_kernel), "launches", "Launch"),
    _driver("Function._param_set_size", launches.set_parameter_size, "launches"),
    _driver("Function._set_shared_size", launches.set_shared_size, "launches"),
    _kernels("Function._param_seti", kernels.parameter("<i"), "launches"),
    _kernels("Function._param_setf", kernels.parameter("<f"), "launches"),
    _kernels("Function._param_setv", kernels.parameter(""), "launches"),
    *(
        _kernels(f"Function.{name}", blocking.waiting(launches.launch_legacy(name)), "launches", "Launch")
        for name in ("_launch", "_launch_grid", "_launch_grid_async")
    ),
)

_STREAMS = (
    _driver("Stream.__init__", streams.create_stream, "streams", "StreamCreated"),
    _driver("Stream.__del__", streams.collect_stream, "streams", "StreamDestroyed", created=True),
    _driver("Stream.synchronize", streams.synchronize_stream, "streams", "Synchronized"),
    _driver("Stream.is_done", streams.poll_stream, "streams", "Synchronized"),
    _driver("Stream.wait_for_event", streams.wait_for_event, "streams", "StreamWaited"),
    _driver("Event.__init__", streams.create_event, "streams", "EventCreated"),
    _driver("Event.from_ipc_handle", streams.open_event, "streams", "EventCreated"),
    _driver("Event.__del__", streams.collect_event, "streams", "EventDestroyed", created=True),
    _driver("Event.record", streams.record_event, "streams", "EventRecorded"),
    _driver("Event.synchronize", streams.synchronize_event, "streams", "Synchronized"),
    _driver("Event.query", streams.poll_event, "streams", "Synchronized"),
    _driver("Event.time_since", streams.time_since, "streams", "EventTimed"),
    _driver("Event.time_till", streams.time_till, "streams", "EventTimed"),
)

_CONTEXTS = (
    _driver("init", contexts.init, "contexts"),
    _driver("Device.__init__", contexts.device, "contexts"),
    _driver("Device.make_context", contexts.make_context, "contexts", "ContextChanged"),
    _driver("Device.retain_primary_context", contexts.retain_primary_context, "contexts", "ContextChanged"),
    _driver("Context.push", contexts.push, "contexts", "ContextChanged"),
    _driver("Context.pop", contexts.pop, "contexts", "ContextChanged"),
    _driver("Context.detach", contexts.detach, "contexts", "ContextChanged"),
    _driver("Context.attach", contexts.attach, "contexts", "ContextChanged"),
    _driver("Context.enable_peer_access", contexts.enable_peer_access, "contexts", "ContextChanged"),
    _driver("Context.disable_peer_access", contexts.disable_peer_access, "contexts", "ContextChanged"),
    _driver("Context.get_device", contexts.get_device, "contexts"),
    _driver("Context.synchronize", contexts.synchronize, "contexts", "Synchronized"),
)

_MODULES = (
    _driver("module_from_buffer", modules.module_from_buffer, "modules", "ModuleLoaded"),
    _driver("module_from_file", modules.module_from_file, "modules", "ModuleLoaded"),
    _driver("Module.__del__", modules.collect, "modules", "Freed", created=True),
    _kernels("Module.get_function", modules.get_function, "modules"),
    _kernels("Function.get_attribute", kernels.get_attribute, "modules"),
    *(
        _kernels(f"Function.{name}", kernels.setter(name), "modules")
        for name in ("set_attribute", "set_cache_config", "set_shared_config")
    ),
    _driver("Linker.__init__", modules.create_linker, "modules"),
    _driver("Linker.add_data", modules.add_data, "modules"),
    _driver("Linker.add_file", modules.add_file, "modules"),
    _driver("Linker.link_module", modules.link_module, "modules", "ModuleLoaded"),
    Row(f"{COMPILER}:compile", sources.compile_source, "modules"),
)

ROWS: tuple[Row, ...] = (
    *_MEMORY,
    *_COPIES,
    *_MEMSETS,
    *_LAUNCHES,
    *_STREAMS,
    *_CONTEXTS,
    *_MODULES,
)


def as_markdown() -> str:
    """Return the table as a page of documentation."""
    lines = ["| call | group | event |", "|---|---|---|"]
    for row in ROWS:
        lines.append(f"| `{row.module}.{row.path}` | {row.group} | {row.event or '(watched)'} |")
    return "\n".join(lines) + "\n"
