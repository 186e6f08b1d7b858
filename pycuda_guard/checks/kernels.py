"""What the rules about accesses inside kernels share: whose memory it was, and how to say it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar

from pycuda_guard.checks import messages
from pycuda_guard.checks.base import Rule
from pycuda_guard.checks.collector import kernel_key
from pycuda_guard.events.model import Launch
from pycuda_guard.findings import KernelLocation, Related, Severity

if TYPE_CHECKING:
    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.events.model import Address, Argument, KernelReport, KernelSignature, Parameter

_SAID = "in-kernel error"
_MEANINGLESS = "; the guard skipped it: from here on the program's results mean nothing"

#: ``_ZZ4tileE1s`` is ``s`` of kernel ``tile``; ``_ZZN4name4tileEvE1s_0`` likewise
_MANGLED = re.compile(r"^_ZZ.*?E(?P<length>\d+)(?P<rest>\w+)$")


@dataclass(frozen=True, slots=True)
class Scene:
    """One report of a kernel with what is known of the launch and of the memory.

    ``region`` is the allocation that the argument points into, else the one that the address lies in.
    """

    event: KernelReport
    launch: Launch | None
    signature: KernelSignature | None
    region: Region | None

    @property
    def argument(self) -> Argument | None:
        """The argument that the address comes from."""
        arguments = self.launch.arguments if self.launch is not None else None
        position = self.event.access.parameter
        return arguments[position] if arguments is not None and 0 <= position < len(arguments) else None

    @property
    def parameter(self) -> Parameter | None:
        """The parameter that the address comes from."""
        position = self.event.access.parameter
        if self.signature is None or not 0 <= position < len(self.signature.parameters):
            return None
        return self.signature.parameters[position]

    @property
    def verb(self) -> str:
        """What the kernel does to the memory."""
        return _VERBS.get(self.event.access.kind, "reads")

    @property
    def origin(self) -> Address:
        """The address that elements are counted from: what the argument points to, or the allocation."""
        argument = self.argument
        if argument is not None and type(argument.value) is int and argument.value:
            return argument.value
        return self.region.base if self.region is not None else 0

    @property
    def dtype(self) -> str | None:
        """What the argument is an array of, or the records that were copied to where it points."""
        if self.argument is not None and self.argument.dtype is not None:
            return self.argument.dtype
        contents = self.region.contents if self.region is not None else None
        if contents is None or (self.parameter is not None and self.parameter.pointee_size):
            return None
        return contents.dtype if messages.is_record(contents.dtype) else None

    @property
    def item(self) -> int:
        """Bytes of an element."""
        parameter = self.parameter
        size = messages.item_size(self.dtype)
        if size is None and parameter is not None and parameter.pointee_size:
            size = parameter.pointee_size
        return size or self.event.access.width or 1

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Shape of the array, where it has several dimensions."""
        argument = self.argument
        shape = argument.shape if argument is not None else None
        return shape if shape is not None and len(shape) > 1 and argument is not None else None

    @property
    def parameter_name(self) -> str:
        """The parameter's name in the source, quoted, or nothing."""
        parameter = self.parameter
        return messages.quoted(parameter.name) if parameter is not None and parameter.declared else ""

    @property
    def array_name(self) -> str:
        """What the program calls the memory, quoted, or nothing."""
        written = ""
        if self.launch is not None and self.argument is not None:
            written = messages.array_argument(self.launch, self.event.access.parameter)
        if written:
            return written
        if self.region is not None:
            name = messages.region_name(self.region)
            return name if name.startswith("`") else ""
        return ""

    def array(self) -> str:
        """Return shape and dtype of the array, or its size."""
        argument = self.argument
        described = messages.array(argument.shape, argument.dtype) if argument is not None else ""
        if described:
            return described
        return messages.holds(self.region) if self.region is not None else ""

    def target(self) -> str:
        """Return the memory as the reader knows it: parameter, array, shape and dtype."""
        parameter, name = self.parameter_name, self.array_name
        other = name if parameter and name != parameter else ""
        inside = ", ".join(part for part in (other, self.array()) if part)
        first = parameter or name or "memory"
        return f"{first} ({inside})" if inside else first

    def index(self, address: Address) -> int:
        """Return which element an address is in, counted from the start of the array."""
        return (address - self.origin) // self.item

    def element(self, address: Address) -> str:
        """Return an address as an element, with all indices of an array of several dimensions.

        Of a record, the byte in it as well. Where nothing is known of the memory, it is the address.
        """
        if not self.origin:
            return f"address {address:#x}"
        index, byte = divmod(address - self.origin, self.item)
        text = f"element {index}"
        shape = self.shape
        if shape is not None and 0 <= index < prod(shape):
            parts = []
            for extent in reversed(shape):
                index, part = divmod(index, extent)
                parts.append(str(part))
            text += f" [{', '.join(reversed(parts))}]"
        return f"{text}, byte {byte} of it" if byte and messages.is_record(self.dtype) else text

    def where(self) -> str:
        """Return which thread did it first, and how many accesses did it in all."""
        event = self.event
        text = f"block {_triple(event.block_index)}, thread {_triple(event.thread_index)}"
        if event.count <= 1:
            return text
        return f"{text} and {event.count - 1} more {'access' if event.count == 2 else 'accesses'}"

    def launched(self) -> str:
        """Return the launch in short."""
        return launch_text(self.launch) if self.launch is not None else f"`{self.event.access.function}`"

    def story(self) -> tuple[Related, ...]:
        """Return where the memory was allocated."""
        return messages.allocated(self.region) if self.region is not None else ()


_VERBS = {"read": "reads", "write": "writes", "atomic": "updates"}


class KernelRule(Rule):
    """A rule about what an instrumented kernel reports.

    The place of a finding is the line that launches the kernel; the kernel's own line goes with it. In
    kernels that PyCUDA wrote, only the first is the user's.
    """

    source: ClassVar[str] = "kernel"

    def scene(self, event: KernelReport) -> Scene:
        """Return what is known about a report."""
        launch = self.state.announced(event.launch)
        known = launch if isinstance(launch, Launch) else None
        signature = self.state.signature(known) if known is not None else None
        memory = self.state.memory
        address = event.base if event.size else event.address
        region = memory.find_used(address) or memory.find_freed(address)
        return Scene(event, known, signature, region)

    def is_told(self, event: KernelReport) -> bool:
        """Tell whether nothing is to be reported: the launch itself was found wrong, or this is known."""
        if self.explained(event.launch) and event.launch not in self._collector.in_kernel:
            return True
        if not self.again(event, kernel=kernel_key(place_of(event))):
            return False
        self._explain_launch(event)
        return True

    def tell(
        self,
        scene: Scene,
        text: str,
        help: str,
        *,
        related: tuple[Related, ...] = (),
        skipped: bool = True,
    ) -> None:
        """Report what a kernel did. ``skipped``: the access was not done."""
        event = scene.event
        if skipped and self.severity is Severity.ERROR and self._collector.tell(_SAID):
            text += _MEANINGLESS
        self._explain_launch(event)
        self.report(event, text, help, kernel=place_of(event), related=(*caller(event), *related))

    def _explain_launch(self, event: KernelReport) -> None:
        if not self.explained(event.launch):
            self._collector.in_kernel.add(event.launch)
            self.explain(event.launch)


def place_of(event: KernelReport) -> KernelLocation:
    """Return the kernel of a report and, in kernels of the program's own, the line."""
    access = event.access
    if event.library or not access.line:
        return KernelLocation(access.function)
    return KernelLocation(access.function, access.file, access.line)


def caller(event: KernelReport) -> tuple[Related, ...]:
    """Return the kernel's line that calls the function that a report is about, if it is about one."""
    access = event.access
    if event.library or not access.caller:
        return ()
    return (Related("called here", access.file, access.caller),)


def launch_text(launch: Launch) -> str:
    """Return a launch in short: ``kernel(…, block=(256, 1, 1), grid=(4, 1))``."""
    return f"{launch.function}(…, block={launch.block}, grid={launch.grid})"


def threads(launch: Launch) -> int:
    """Return how many threads a launch has."""
    return prod(launch.block) * prod(launch.grid)


def kernel_name(event: KernelReport) -> str:
    """Return the kernel of a report, and whose it is."""
    return (
        f"PyCUDA's kernel `{event.access.function}`" if event.library else f"kernel `{event.access.function}`"
    )


def variable_name(name: str) -> str:
    """Return the name that a variable has in CUDA C, quoted."""
    found = _MANGLED.match(name)
    if found is not None:
        name = found["rest"][: int(found["length"])]
    return f"`{name}`"


def _triple(index: tuple[int, int, int]) -> str:
    return f"({', '.join(map(str, index))})"
