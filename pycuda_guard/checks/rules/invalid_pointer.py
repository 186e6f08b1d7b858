"""A pointer is null, is of the wrong kind, or points to nothing.

What it does
------------
Reports a copy or memset through a null pointer, a host array where the call takes a device pointer
and the reverse (swapped arguments), an address that nobody allocated and the driver does not know
(such as `array.ctypes.data`, or memory that a kernel got from its own `malloc`), and the host
touching device memory as if it were its own. Where a kernel died of an illegal address and exactly
one of the launches in question had a null pointer argument, that launch is reported. So is every access of
a kernel through a pointer argument that is null or points to nothing, or through an address of the host's
own memory that it has loaded from a table or a struct.

Why is this bad
---------------
Device and host addresses are just integers to PyCUDA. The wrong one gives a bare "invalid
argument" or "Python argument types did not match", kills the process by a segmentation fault, or
makes a kernel fail so that every later CUDA call of the process fails too.

Example
-------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    a = np.arange(100, dtype=np.int32)
    b = np.empty_like(a)
    a_gpu = cuda.to_device(a)
    cuda.memcpy_dtoh(a_gpu, b)  # destination and source are swapped

Use instead
-----------
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda

    a = np.arange(100, dtype=np.int32)
    b = np.empty_like(a)
    a_gpu = cuda.to_device(a)
    cuda.memcpy_dtoh(b, a_gpu)

Known limits
------------
A null argument of a kernel is no finding by itself: kernels may test for it. Memory of other
libraries that the driver knows is never reported.

References
----------
PyCUDA documentation, memcpy_htod and memcpy_dtoh (destination first); CUDA C++ programming guide,
Unified Virtual Address Space and Dynamic Global Memory Allocation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages, statuses
from pycuda_guard.checks.kernels import KernelRule, Scene, kernel_name
from pycuda_guard.checks.pointers import NULL_PAGE, Place, locate, moves
from pycuda_guard.events.model import (
    ArgumentKind,
    Copy,
    CopyKind,
    DeviceOperand,
    HostOperand,
    MemoryKind,
    Memset,
    OddOperand,
    ParameterKind,
)
from pycuda_guard.findings import Severity

if TYPE_CHECKING:
    from pycuda_guard.events.model import CallFailed, HostFault, KernelReport, Launch, Operand

#: Which ends of a copy are device memory (destination, source); None where either may be.
_ENDS: dict[CopyKind, tuple[bool, bool]] = {
    CopyKind.HTOD: (True, False),
    CopyKind.DTOH: (False, True),
    CopyKind.DTOD: (True, True),
    CopyKind.PEER: (True, True),
}

_HELP = "a device pointer comes from mem_alloc, to_device or GPUArray.gpudata"

#: What to write for a type that PyCUDA does not take as a device pointer.
_NOT_DEVICE = {
    "NoneType": "allocate the memory first, with mem_alloc or to_device",
    "GPUArray": "pass {}.gpudata, or use the array's get() and set()",
    "ndarray": _HELP,
    "int64": "write int({})",
    "uint64": "write int({})",
}

#: What to write for a type that PyCUDA does not take as host memory.
_NOT_HOST = {
    **dict.fromkeys(
        ("DeviceAllocation", "PooledDeviceAllocation", "ManagedAllocation", "IPCMemoryHandle"), ""
    ),
    "int": "",
    "NoneType": "make the array first, with np.empty(shape, dtype)",
    "GPUArray": "use the array's get() and set(), or memcpy_dtod with {}.gpudata",
}

#: An array that starts at null reaches up to here, and no allocation lies below.
_NEAR_NULL = 1 << 32

#: How far behind a pointer to nothing an access is still put down to it.
_REACH = 1 << 20

_DEVICE_ONLY = frozenset({MemoryKind.DEVICE, MemoryKind.POOL, MemoryKind.GLOBAL, MemoryKind.IPC})


class InvalidPointer(KernelRule):
    """PG204."""

    code: ClassVar[str] = "PG204"
    name: ClassVar[str] = "invalid-pointer"
    severity: ClassVar[Severity] = Severity.ERROR
    source: ClassVar[str] = "api"
    only_odd = frozenset({Copy, Memset})

    def on_copy(self, event: Copy) -> None:
        """Look at the addresses of both ends."""
        if self.state.stray and not self.explained(event.sequence):
            for position, operand in enumerate((event.destination, event.source)):
                if isinstance(operand, DeviceOperand):
                    self._check_address(event, operand, position)

    def on_memset(self, event: Memset) -> None:
        """Look at the address of a memset."""
        operand = event.destination
        if self.state.stray and isinstance(operand, DeviceOperand) and not self.explained(event.sequence):
            self._check_address(event, operand, 0)

    def on_call_failed(self, event: CallFailed) -> None:
        """Look for the pointer behind a refused copy or a kernel's illegal address."""
        announced = self.state.announced(event.announced) if event.announced else None
        if not event.status:
            # PyCUDA refuses the kinds itself, and the program may have counted on that.
            if isinstance(announced, Copy) and announced.kind in _ENDS:
                self._check_kinds(announced, _ENDS[announced.kind], event)
        elif statuses.words(event) == statuses.ILLEGAL_ADDRESS:
            self._check_bad_argument(event)
        elif isinstance(announced, (Copy, Memset)) and not self.explained(event.announced):
            if statuses.words(event) != statuses.INVALID_ARGUMENT:
                return
            source = [announced.source] if isinstance(announced, Copy) else []
            for position, operand in enumerate([announced.destination, *source]):
                if isinstance(operand, DeviceOperand):
                    self._check_address(announced, operand, position, refused=True)

    def on_host_fault(self, event: HostFault) -> None:
        """Report the host using a device address as its own."""
        memory = self.state.memory
        region = memory.find(event.address) or memory.find_freed(event.address)
        if region is None or region.kind not in _DEVICE_ONLY or self.again(event):
            return
        verb = "writes" if event.write else "reads"
        name = messages.region_name(region)
        offset = messages.size(event.address - region.base)
        self.report(
            event,
            f"the host {verb} device memory {name} as if it were its own, {offset} from its start: "
            f"{messages.address(event.address)} is no host address",
            "copy it to a host array first: cuda.memcpy_dtoh(array, pointer)",
            related=messages.story(region),
        )

    def on_kernel_report(self, event: KernelReport) -> None:
        """Look at a kernel's access through a pointer to nothing."""
        if event.reason == "host" and not self.is_told(event):
            self._tell_host(event)
        if event.reason != "outside" or event.size:
            return
        if event.access.parameter < 0 and event.address >= NULL_PAGE:
            return
        scene = self.scene(event)
        value = scene.argument.value if scene.argument is not None else None
        value = event.address if type(value) is not int else value
        if self.state.memory.find_freed(value) is not None or self.is_told(event):
            return
        null = value == 0 or (value == event.address and value < _NEAR_NULL)
        self.tell(
            scene,
            f"{_through(scene, value, null)}: {scene.where()}, in {scene.launched()}",
            _need(scene, null),
        )

    def _tell_host(self, event: KernelReport) -> None:
        """Report an address of the host's that a kernel found in memory, as in a table of pointers."""
        scene, width = self.scene(event), messages.size(event.access.width)
        self.tell(
            scene,
            f"{kernel_name(event)} {scene.verb} {width} through a pointer to memory "
            f"of the host ({messages.address(event.address)}): {scene.where()}, in {scene.launched()}",
            "fill the table or the struct that the pointer comes from with device addresses: int(x_gpu) of a "
            "DeviceAllocation, int(x_gpu.gpudata) of a GPUArray",
        )

    def _check_kinds(self, event: Copy, expected: tuple[bool, bool], failed: CallFailed) -> None:
        """Report a host array in the place of a device pointer, or the reverse."""
        ends = (event.destination, event.source)
        wrong = [
            (position, operand)
            for position, (operand, device) in enumerate(zip(ends, expected, strict=True))
            if _is_wrong(operand, device)
        ]
        if not wrong:
            return
        self.explain(event.sequence)
        if self.again(failed, site=event.site, failure=failed.sequence):
            return
        names = messages.copy_names(event)
        if len(wrong) == 2 and expected[0] is not expected[1]:
            text = (
                f"{event.call} takes (destination, source): {names[0] or 'the first'} is "
                f"{_what(ends[0])} and {names[1] or 'the second'} is {_what(ends[1])}; they are swapped"
            )
            help = "swap the two arguments"
            if all(names):
                help = f"write {event.call}({names[1].strip('`')}, {names[0].strip('`')})"
        else:
            position, operand = wrong[0]
            role = ("destination", "source")[position]
            place = "device memory" if expected[position] else "a host array"
            text = f"{event.call} takes {place} as its {role}"
            text += f", {names[position] or f'the {role}'} is {_what(operand)}"
            help = _HELP if expected[position] else "pass a numpy array, or use memcpy_dtod"
            if isinstance(operand, OddOperand):
                told = (_NOT_DEVICE if expected[position] else _NOT_HOST)[operand.type_name]
                help = told.format(names[position].strip("`") or "…") or help
        self.report(failed, text, help, site=event.site, failure=failed.sequence)

    def _check_address(
        self, event: Copy | Memset, operand: DeviceOperand, position: int, refused: bool = False
    ) -> None:
        """Report an address that is null or that nobody knows."""
        place, _ = locate(self.state, operand, refused)
        if place not in (Place.NULL, Place.UNKNOWN) or not moves(operand.extent) or self.again(event):
            return
        name = messages.copy_names(event)[position] or "the device pointer"
        role = ("to", "from")[position] if isinstance(event, Copy) else "of"
        text = f"{event.call} of {messages.extent(operand.extent)} {role} {name}"
        if place is Place.NULL:
            if operand.address:
                text += f", {operand.address} bytes from a null pointer"
            else:
                text += ", which is null"
            help = "allocate the memory first, with mem_alloc or to_device"
        elif _is_host_expression(name):
            text += f", the address of host memory ({messages.address(operand.address)})"
            help = f"pass the array itself to a copy of the right direction; {_HELP}"
        else:
            text += f", where nothing was allocated ({messages.address(operand.address)})"
            help = f"{_HELP}; host addresses and memory from malloc() in a kernel can't be copied"
        self.report(event, text, help)

    def _check_bad_argument(self, event: CallFailed) -> None:
        """Report the one launch that a kernel's illegal address can come from, if its pointer was bad."""
        if self.explained(event.sequence):
            return
        suspects = [
            (launch, index)
            for launch in self.state.pending.unfinished(event.context, event.announced)
            if statuses.kernel(event) in ("", launch.function)
            and not self.explained(launch.sequence)
            and (index := self._bad_pointer(launch, event)) is not None
        ]
        if len(suspects) != 1:
            return
        launch, index = suspects[0]
        if self.again(event, site=launch.site, kernel=launch.function):
            return
        signature = self.state.signature(launch)
        parameter = signature.parameters[index] if signature is not None else None
        named = f"`{messages.declared(parameter)}`" if parameter is not None else f"argument {index + 1}"
        value = (launch.arguments or ())[index].value
        what, help = "a null pointer", f"test {named} for null in the kernel before using it, or pass memory"
        if value:
            what, help = "a pointer to nothing that was allocated", _HELP
        self.report(
            event,
            f"kernel `{launch.function}` was launched with {what} for {named} and then made an "
            f"illegal memory access{f' ({messages.address(int(value))})' if value else ''}",
            help,
            site=launch.site,
            kernel=messages.kernel_location(launch),
            related=messages.related("the failure showed up here", event.site),
        )

    def _bad_pointer(self, launch: Launch, failed: CallFailed) -> int | None:
        """Return the position of the pointer argument behind an illegal access, if there is one.

        A pointer to unknown memory may be another library's. It is to blame only where the device tells
        more than a GPU does: the address, or at least the kernel.
        """
        address, told = statuses.address(failed), bool(statuses.kernel(failed))
        signature = self.state.signature(launch)
        for index, argument in enumerate(launch.arguments or ()):
            value = argument.value
            if type(value) is not int or argument.kind is ArgumentKind.FLOAT or argument.size != 8:
                continue
            if value == 0:
                possible = address is None or address < _NEAR_NULL
            else:
                near = told if address is None else 0 <= address - value < _REACH
                possible = near and not self._is_known(value)
            if not possible:
                continue
            if signature is None:
                pointer = argument.kind is ArgumentKind.POINTER
            else:
                parameters = signature.parameters
                pointer = index < len(parameters) and parameters[index].kind is ParameterKind.POINTER
            if pointer:
                return index
        return None

    def _is_known(self, address: int) -> bool:
        """Tell whether an address lies in memory that is or was allocated."""
        memory = self.state.memory
        return self.state.late or memory.find(address) is not None or memory.find_freed(address) is not None


def _through(scene: Scene, value: int, null: bool) -> str:
    """Say through which pointer a kernel accesses memory."""
    event = scene.event
    text = f"{kernel_name(event)} {scene.verb} {messages.size(event.access.width)} "
    name = scene.parameter_name or (
        f"argument {event.access.parameter + 1}" if scene.argument is not None else ""
    )
    if null:
        return text + (f"through {name}, which is a null pointer" if name else "through a null pointer")
    text += f"through {name or 'a pointer'}, which points to nothing that was allocated on the device"
    return f"{text} ({messages.address(value)})"


def _need(scene: Scene, null: bool) -> str:
    name = scene.parameter_name or "the pointer"
    return f"test {name} for null in the kernel before using it, or pass memory" if null else _HELP


def _is_wrong(operand: Operand, device: bool) -> bool:
    """Tell whether an operand certainly is not what the call takes."""
    if isinstance(operand, OddOperand):
        return operand.type_name in (_NOT_DEVICE if device else _NOT_HOST)
    return isinstance(operand, HostOperand if device else DeviceOperand)


def _what(operand: Operand) -> str:
    """Say what kind of thing an operand is."""
    if isinstance(operand, DeviceOperand):
        return "a device pointer"
    if isinstance(operand, HostOperand):
        inside = messages.array(operand.shape, operand.dtype)
        return f"a host array ({inside})" if inside else f"host memory ({operand.type_name})"
    if isinstance(operand, OddOperand):
        described = {"NoneType": "None", "int": "a number", "ndarray": "a host array"}
        return described.get(operand.type_name, f"a {operand.type_name}")
    return "a CUDA array"


def _is_host_expression(name: str) -> bool:
    """Tell whether the source text of an address says that it is a host array's."""
    return any(mark in name for mark in (".ctypes", "__array_interface__", "addressof"))
