"""The table of driver functions: names, argument types, what carries them out, or why nothing does.

``python -m pycuda_guard.cpu.driver.table FILE`` writes it into a Markdown file, between the two marker lines.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycuda_guard.cpu import generated
from pycuda_guard.cpu.driver import (
    arrays,
    box_copies,
    contexts,
    copies,
    device,
    functions,
    linker,
    memory_calls,
    memsets,
    modules,
    profiler,
    streams,
)
from pycuda_guard.cpu.driver.cells import DEVICE_POINTER as D, FLOAT, INT, POINTER, SIZE, UCHAR, UINT, USHORT

BEGIN = "<!-- generated from pycuda_guard/cpu/driver/table.py -->"
END = "<!-- end of the generated part -->"

Handler = Callable[..., None]


@dataclass(frozen=True, slots=True)
class Entry:
    """Driver functions that do the same: a ``handler``, or ``reason`` why they are not supported.

    A handler gets its arguments as plain numbers (addresses and handles too) and raises DriverError.
    """

    names: tuple[str, ...]
    arguments: tuple[Any, ...]
    handler: Handler | None
    reason: str = ""

    @property
    def summary(self) -> str:
        """What the function does, in a sentence; or why it is not supported."""
        if self.handler is None:
            return self.reason
        return (inspect.getdoc(self.handler) or "").split("\n\n")[0].replace("\n", " ")


def _does(names: str, handler: Handler, *arguments: Any) -> Entry:
    return Entry(tuple(names.split()), arguments, handler)


def _lacks(reason: str, names: str) -> Entry:
    return Entry(tuple(names.split()), (), None, reason)


_PEER = (D, POINTER, D, POINTER, SIZE)
_LINK_OPTIONS = (UINT, POINTER, POINTER)

#: groups of functions by heading. Besides what PyCUDA imports when it is built against CUDA 13, the names are
#: those that it imports when built against CUDA 11 or 12, and names without a version's suffix
TABLE: dict[str, tuple[Entry, ...]] = {
    "Start, versions, errors": (
        _does("cuInit", device.initialize, UINT),
        _does("cuDriverGetVersion", device.get_version, POINTER),
        _does("cuGetErrorName", device.get_error_name, INT, POINTER),
        _does("cuGetErrorString", device.get_error_string, INT, POINTER),
    ),
    "Devices": (
        _does("cuDeviceGet", device.get, POINTER, INT),
        _does("cuDeviceGetCount", device.get_count, POINTER),
        _does("cuDeviceGetName", device.get_name, POINTER, INT, INT),
        _does("cuDeviceTotalMem_v2 cuDeviceTotalMem", device.get_total_memory, POINTER, INT),
        _does("cuDeviceComputeCapability", device.get_compute_capability, POINTER, POINTER, INT),
        _does("cuDeviceGetAttribute", device.get_attribute, POINTER, INT, INT),
        _does("cuDeviceGetPCIBusId", device.get_pci_bus_id, POINTER, INT, INT),
        _does("cuDeviceGetByPCIBusId", device.get_by_pci_bus_id, POINTER, POINTER),
        _does("cuDeviceCanAccessPeer", device.can_access_peer, POINTER, INT, INT),
        _does("cuDevicePrimaryCtxRetain", contexts.retain_primary, POINTER, INT),
        _does("cuDevicePrimaryCtxRelease_v2 cuDevicePrimaryCtxRelease", contexts.release_primary, INT),
        _does("cuDevicePrimaryCtxGetState", contexts.get_primary_state, INT, POINTER, POINTER),
    ),
    "Contexts": (
        _does("cuCtxCreate_v2 cuCtxCreate", contexts.create, POINTER, UINT, INT),
        _does("cuCtxCreate_v3", contexts.create_with_affinity, POINTER, POINTER, INT, UINT, INT),
        _does("cuCtxCreate_v4", contexts.create_with_parameters, POINTER, POINTER, UINT, INT),
        _does("cuCtxDestroy_v2 cuCtxDestroy", contexts.destroy, POINTER),
        _does("cuCtxAttach", contexts.attach, POINTER, UINT),
        _does("cuCtxDetach", contexts.detach, POINTER),
        _does("cuCtxPushCurrent_v2 cuCtxPushCurrent", contexts.push, POINTER),
        _does("cuCtxPopCurrent_v2 cuCtxPopCurrent", contexts.pop, POINTER),
        _does("cuCtxGetCurrent", contexts.get_current, POINTER),
        _does("cuCtxSetCurrent", contexts.set_current, POINTER),
        _does("cuCtxGetDevice", contexts.get_device, POINTER),
        _does("cuCtxGetFlags", contexts.get_flags, POINTER),
        _does("cuCtxSynchronize", contexts.synchronize),
        _does("cuCtxGetApiVersion", contexts.get_api_version, POINTER, POINTER),
        _does("cuCtxGetLimit", contexts.get_limit, POINTER, INT),
        _does("cuCtxSetLimit", contexts.set_limit, INT, SIZE),
        _does("cuCtxGetCacheConfig", contexts.get_cache_config, POINTER),
        _does("cuCtxSetCacheConfig", contexts.set_cache_config, INT),
        _does("cuCtxGetSharedMemConfig", contexts.get_shared_config, POINTER),
        _does("cuCtxSetSharedMemConfig", contexts.set_shared_config, INT),
        _does("cuCtxEnablePeerAccess", contexts.enable_peer_access, POINTER, UINT),
        _does("cuCtxDisablePeerAccess", contexts.disable_peer_access, POINTER),
    ),
    "Modules and the linker": (
        _does("cuModuleLoad", modules.load_file, POINTER, POINTER),
        _does("cuModuleLoadData", modules.load_data, POINTER, POINTER),
        _does("cuModuleLoadDataEx", modules.load_data_with_options, POINTER, POINTER, *_LINK_OPTIONS),
        _does("cuModuleUnload", modules.unload, POINTER),
        _does("cuModuleGetFunction", modules.get_function, POINTER, POINTER, POINTER),
        _does("cuModuleGetGlobal_v2 cuModuleGetGlobal", modules.get_global, *(POINTER,) * 4),
        _does("cuLinkCreate_v2 cuLinkCreate", linker.create, *_LINK_OPTIONS, POINTER),
        _does(
            "cuLinkAddData_v2 cuLinkAddData",
            linker.add_data,
            *(POINTER, INT, POINTER, SIZE, POINTER),
            *_LINK_OPTIONS,
        ),
        _does("cuLinkAddFile_v2 cuLinkAddFile", linker.add_file, POINTER, INT, POINTER, *_LINK_OPTIONS),
        _does("cuLinkComplete", linker.complete, POINTER, POINTER, POINTER),
        _does("cuLinkDestroy", linker.destroy, POINTER),
    ),
    "Kernels": (
        _does("cuFuncGetAttribute", functions.get_attribute, POINTER, INT, POINTER),
        _does("cuFuncSetAttribute", functions.set_attribute, POINTER, INT, INT),
        _does("cuFuncSetCacheConfig", functions.set_cache_config, POINTER, INT),
        _does("cuFuncSetSharedMemConfig", functions.set_shared_config, POINTER, INT),
        _does("cuLaunchKernel", functions.launch_kernel, POINTER, *(UINT,) * 7, POINTER, POINTER, POINTER),
        _does("cuFuncSetBlockShape", functions.set_block_shape, POINTER, INT, INT, INT),
        _does("cuFuncSetSharedSize", functions.set_shared_size, POINTER, UINT),
        _does("cuParamSetSize", functions.set_parameter_size, POINTER, UINT),
        _does("cuParamSeti", functions.set_parameter_integer, POINTER, INT, UINT),
        _does("cuParamSetf", functions.set_parameter_float, POINTER, INT, FLOAT),
        _does("cuParamSetv", functions.set_parameter, POINTER, INT, POINTER, UINT),
        _does("cuLaunch", functions.launch, POINTER),
        _does("cuLaunchGrid", functions.launch_grid, POINTER, INT, INT),
        _does("cuLaunchGridAsync", functions.launch_grid_async, POINTER, INT, INT, POINTER),
    ),
    "Memory": (
        _does("cuMemGetInfo_v2 cuMemGetInfo", memory_calls.get_info, POINTER, POINTER),
        _does("cuMemAlloc_v2 cuMemAlloc", memory_calls.allocate, POINTER, SIZE),
        _does(
            "cuMemAllocPitch_v2 cuMemAllocPitch",
            memory_calls.allocate_pitch,
            *(POINTER, POINTER, SIZE, SIZE, UINT),
        ),
        _does("cuMemFree_v2 cuMemFree", memory_calls.free, D),
        _does(
            "cuMemGetAddressRange_v2 cuMemGetAddressRange",
            memory_calls.get_address_range,
            POINTER,
            POINTER,
            D,
        ),
        _does("cuPointerGetAttribute", memory_calls.get_pointer_attribute, POINTER, INT, D),
        _does("cuMemHostAlloc", memory_calls.allocate_host, POINTER, SIZE, UINT),
        _does("cuMemAllocHost_v2 cuMemAllocHost", memory_calls.allocate_host_plain, POINTER, SIZE),
        _does("cuMemFreeHost", memory_calls.free_host, POINTER),
        _does(
            "cuMemHostGetDevicePointer_v2 cuMemHostGetDevicePointer",
            memory_calls.get_host_device_pointer,
            *(POINTER, POINTER, UINT),
        ),
        _does("cuMemHostGetFlags", memory_calls.get_host_flags, POINTER, POINTER),
        _does("cuMemHostRegister_v2 cuMemHostRegister", memory_calls.register_host, POINTER, SIZE, UINT),
        _does("cuMemHostUnregister", memory_calls.unregister_host, POINTER),
        _does("cuMemAllocManaged", memory_calls.allocate_managed, POINTER, SIZE, UINT),
        _does("cuStreamAttachMemAsync", memory_calls.attach_managed, POINTER, D, SIZE, UINT),
    ),
    "Copies": (
        _does("cuMemcpy", copies.unified, D, D, SIZE),
        _does("cuMemcpyAsync", copies.unified_async, D, D, SIZE, POINTER),
        _does("cuMemcpyHtoD_v2 cuMemcpyHtoD", copies.host_to_device, D, POINTER, SIZE),
        _does(
            "cuMemcpyHtoDAsync_v2 cuMemcpyHtoDAsync", copies.host_to_device_async, D, POINTER, SIZE, POINTER
        ),
        _does("cuMemcpyDtoH_v2 cuMemcpyDtoH", copies.device_to_host, POINTER, D, SIZE),
        _does(
            "cuMemcpyDtoHAsync_v2 cuMemcpyDtoHAsync", copies.device_to_host_async, POINTER, D, SIZE, POINTER
        ),
        _does("cuMemcpyDtoD_v2 cuMemcpyDtoD", copies.device_to_device, D, D, SIZE),
        _does("cuMemcpyDtoDAsync_v2 cuMemcpyDtoDAsync", copies.device_to_device_async, D, D, SIZE, POINTER),
        _does("cuMemcpyPeer", copies.peer, *_PEER),
        _does("cuMemcpyPeerAsync", copies.peer_async, *_PEER, POINTER),
        _does("cuMemcpy2D_v2", box_copies.copy_2d, POINTER),
        _does("cuMemcpy2DUnaligned_v2", box_copies.copy_2d, POINTER),
        _does("cuMemcpy2DAsync_v2", box_copies.copy_2d_async, POINTER, POINTER),
        _does("cuMemcpy3D_v2", box_copies.copy_3d, POINTER),
        _does("cuMemcpy3DAsync_v2", box_copies.copy_3d_async, POINTER, POINTER),
        _does("cuMemcpy3DPeer", box_copies.copy_3d_peer, POINTER),
        _does("cuMemcpy3DPeerAsync", box_copies.copy_3d_peer_async, POINTER, POINTER),
        _does("cuMemcpyHtoA_v2 cuMemcpyHtoA", arrays.host_to_array, POINTER, SIZE, POINTER, SIZE),
        _does("cuMemcpyAtoH_v2 cuMemcpyAtoH", arrays.array_to_host, POINTER, POINTER, SIZE, SIZE),
        _does("cuMemcpyDtoA_v2 cuMemcpyDtoA", arrays.device_to_array, POINTER, SIZE, D, SIZE),
        _does("cuMemcpyAtoD_v2 cuMemcpyAtoD", arrays.array_to_device, D, POINTER, SIZE, SIZE),
        _does("cuMemcpyAtoA_v2 cuMemcpyAtoA", arrays.array_to_array, POINTER, SIZE, POINTER, SIZE, SIZE),
    ),
    "Filling memory": (
        _does("cuMemsetD8_v2 cuMemsetD8", memsets.d8, D, UCHAR, SIZE),
        _does("cuMemsetD16_v2 cuMemsetD16", memsets.d16, D, USHORT, SIZE),
        _does("cuMemsetD32_v2 cuMemsetD32", memsets.d32, D, UINT, SIZE),
        _does("cuMemsetD8Async", memsets.d8_async, D, UCHAR, SIZE, POINTER),
        _does("cuMemsetD16Async", memsets.d16_async, D, USHORT, SIZE, POINTER),
        _does("cuMemsetD32Async", memsets.d32_async, D, UINT, SIZE, POINTER),
        _does("cuMemsetD2D8_v2 cuMemsetD2D8", memsets.d2d8, D, SIZE, UCHAR, SIZE, SIZE),
        _does("cuMemsetD2D16_v2 cuMemsetD2D16", memsets.d2d16, D, SIZE, USHORT, SIZE, SIZE),
        _does("cuMemsetD2D32_v2 cuMemsetD2D32", memsets.d2d32, D, SIZE, UINT, SIZE, SIZE),
        _does("cuMemsetD2D8Async", memsets.d2d8_async, D, SIZE, UCHAR, SIZE, SIZE, POINTER),
        _does("cuMemsetD2D16Async", memsets.d2d16_async, D, SIZE, USHORT, SIZE, SIZE, POINTER),
        _does("cuMemsetD2D32Async", memsets.d2d32_async, D, SIZE, UINT, SIZE, SIZE, POINTER),
    ),
    "Arrays": (
        _does("cuArrayCreate_v2", arrays.create, POINTER, POINTER),
        _does("cuArray3DCreate_v2", arrays.create_3d, POINTER, POINTER),
        _does("cuArrayDestroy", arrays.destroy, POINTER),
        _does("cuArrayGetDescriptor_v2", arrays.get_descriptor, POINTER, POINTER),
        _does("cuArray3DGetDescriptor_v2", arrays.get_descriptor_3d, POINTER, POINTER),
    ),
    "Streams and events": (
        _does("cuStreamCreate", streams.create, POINTER, UINT),
        _does("cuStreamCreateWithPriority", streams.create_with_priority, POINTER, UINT, INT),
        _does("cuStreamDestroy_v2 cuStreamDestroy", streams.destroy, POINTER),
        _does("cuStreamSynchronize", streams.synchronize, POINTER),
        _does("cuStreamQuery", streams.query, POINTER),
        _does("cuStreamWaitEvent", streams.wait_event, POINTER, POINTER, UINT),
        _does("cuStreamGetFlags", streams.get_flags, POINTER, POINTER),
        _does("cuStreamGetPriority", streams.get_priority, POINTER, POINTER),
        _does("cuStreamGetCtx", streams.get_context, POINTER, POINTER),
        _does("cuEventCreate", streams.create_event, POINTER, UINT),
        _does("cuEventDestroy_v2 cuEventDestroy", streams.destroy_event, POINTER),
        _does("cuEventRecord", streams.record, POINTER, POINTER),
        _does("cuEventQuery", streams.query_event, POINTER),
        _does("cuEventSynchronize", streams.synchronize_event, POINTER),
        _does("cuEventElapsedTime_v2 cuEventElapsedTime", streams.elapsed_time, POINTER, POINTER, POINTER),
    ),
    "Profiler": (
        _does("cuProfilerStart", profiler.start),
        _does("cuProfilerStop", profiler.stop),
        _lacks("the CPU device has no profiler to configure", "cuProfilerInitialize"),
    ),
    "Not supported": (
        _lacks(
            "the CPU device has no IPC between processes",
            "cuIpcGetMemHandle cuIpcOpenMemHandle_v2 cuIpcOpenMemHandle cuIpcCloseMemHandle "
            "cuIpcGetEventHandle cuIpcOpenEventHandle",
        ),
        _lacks(
            "the CPU device has no texture references, and CUDA 12 compiles no kernel that uses one",
            "cuModuleGetTexRef cuParamSetTexRef cuTexRefCreate cuTexRefDestroy cuTexRefGetAddressMode "
            "cuTexRefGetAddress_v2 cuTexRefGetArray cuTexRefGetFilterMode cuTexRefGetFlags cuTexRefGetFormat "
            "cuTexRefSetAddress2D_v2 cuTexRefSetAddress2D_v3 cuTexRefSetAddressMode cuTexRefSetAddress_v2 "
            "cuTexRefSetArray cuTexRefSetFilterMode cuTexRefSetFlags cuTexRefSetFormat",
        ),
        _lacks(
            "the CPU device has no surface references, and CUDA 12 compiles no kernel that uses one",
            "cuModuleGetSurfRef cuSurfRefGetArray cuSurfRefSetArray",
        ),
    ),
}


def entries() -> list[Entry]:
    """Return all entries of the table."""
    return [entry for group in TABLE.values() for entry in group]


def markdown() -> str:
    """Return the table as Markdown: one table for each group."""
    lines = []
    for heading, group in TABLE.items():
        lines += [f"### {heading}", "", "| function | |", "| --- | --- |"]
        for entry in group:
            names = ", ".join(f"`{name}`" for name in entry.names)
            note = entry.summary if entry.handler else f"**not supported:** {entry.summary}"
            lines.append(f"| {names} | {note} |")
        lines.append("")
    return "\n".join(lines)


def rewritten(text: str) -> str:
    """Return a Markdown text with what lies between the two marker lines made anew."""
    return generated.rewritten(text, BEGIN, END, markdown())


if __name__ == "__main__":
    _file = Path(sys.argv[1])
    _file.write_text(rewritten(_file.read_text()))
