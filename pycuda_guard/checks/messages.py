"""Wording that the rules share: names first, then shapes and dtypes, then sizes; addresses last."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pycuda_guard.events.model import ArgumentKind, DeviceOperand, HostOperand, MemoryKind
from pycuda_guard.findings import KernelLocation, Location, Related
from pycuda_guard.names import argument_names, target_name, unpacked_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycuda_guard.callsite import Site
    from pycuda_guard.checks.state.allocations import Region
    from pycuda_guard.events.model import (
        Argument,
        Copy,
        Extent,
        KernelSignature,
        Launch,
        Memset,
        Operand,
        Parameter,
    )

_LONGEST_NAME = 48

#: an array as an argument: ``x``, ``self.x.gpudata``, ``cuda.InOut(x)``
_ARRAY = re.compile(
    r"(?:\w+\.)*(?:In|Out|InOut)\((?P<handled>[\w.]+)\)|(?P<name>[A-Za-z_][\w.]*?)(?:\.gpudata)?"
)

#: Bytes of an element, by dtype name, for the dtypes that have a name of their own.
ITEM_SIZES = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "float16": 2,
    "int32": 4,
    "uint32": 4,
    "float32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
    "complex64": 8,
    "complex128": 16,
}

#: the name of a record type
_RECORD = re.compile(r"\|V(?P<size>[1-9]\d*)")


# --- places -----------------------------------------------------------------------------------


def location(site: Site | None) -> Location | None:
    """Return a finding's form of a line of the user's program."""
    return None if site is None else Location(site.file, site.line, site.function)


def related(message: str, site: Site | None) -> tuple[Related, ...]:
    """Return one related place, or nothing where the place is not known."""
    return () if site is None else (Related(message, site.file, site.line),)


def allocated(region: Region) -> tuple[Related, ...]:
    """Return where memory was allocated."""
    name = region_name(region)
    return related("allocated here" if name == _UNNAMED else f"{name} is allocated here", region.site)


def story(region: Region) -> tuple[Related, ...]:
    """Return where memory was allocated and, if so, freed."""
    name = region_name(region)
    places = allocated(region)
    if region.freed:
        how = {"free": "freed", "collected": "freed by garbage collection"}.get(region.freed_how, "freed")
        if region.kind is MemoryKind.GLOBAL:
            how = "lost with its module"
        elif region.kind is MemoryKind.POOL:
            how = "given back to its pool" if region.freed_how == "free" else "collected and back in its pool"
        places += related(f"{name} is {how} here", region.freed_site)
    return places


def kernel_location(launch: Launch) -> KernelLocation:
    """Return the finding's form of a launched kernel, when no line of it is at fault."""
    return KernelLocation(launch.function)


def declared(parameter: Parameter) -> str:
    """Return a parameter as its source has it, or which one it is."""
    if parameter.declared:
        return parameter.declared
    # nvcc's own names count from 0
    numbered = re.search(r"_param_(\d+)$", parameter.name)
    return f"parameter {int(numbered[1]) + 1}" if numbered else parameter.name


def declaration(signature: KernelSignature) -> tuple[Related, ...]:
    """Return where a kernel is declared, if its source is known."""
    if signature.source_file is None or signature.source_line is None:
        return ()
    text = f"`{signature.name}` is declared here"
    return (Related(text, signature.source_file, signature.source_line),)


# --- names ------------------------------------------------------------------------------------


def quoted(text: str) -> str:
    """Return source text in backquotes, or nothing where it is missing or too long to read."""
    return f"`{text}`" if text and len(text) <= _LONGEST_NAME else ""


def copy_names(event: Copy | Memset) -> tuple[str, str]:
    """Return the quoted source text of the destination and the source of a copy, or nothing.

    A call of fewer arguments is another one around it, such as ``GPUArray.set``.
    """
    names = argument_names(event.site, event.call)
    return (quoted(names[0]), quoted(names[1])) if len(names) >= 2 else ("", "")


def region_name(region: Region) -> str:
    """Return what the program calls a piece of memory."""
    name = region.name or target_name(region.site)
    if not name and (names := unpacked_names(region.site)):
        name = names[region.rank % len(names)]
    return quoted(name) or _DESCRIPTIONS.get(region.kind, _UNNAMED)


_UNNAMED = "the allocation"
_DESCRIPTIONS = {
    MemoryKind.POOL: "the pool block",
    MemoryKind.MANAGED: "the managed array",
    MemoryKind.PINNED: "the pinned array",
    MemoryKind.ARRAY: "the CUDA array",
    MemoryKind.GLOBAL: "the module variable",
}


# --- sizes ------------------------------------------------------------------------------------


def count(number: int, thing: str) -> str:
    """Return a number and a noun in the right number."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def size(nbytes: int) -> str:
    """Return a size in bytes."""
    return count(nbytes, "byte")


def array(shape: tuple[int, ...] | None, dtype: str | None) -> str:
    """Return shape and dtype of an array: ``40×50 float32``; empty where neither is known."""
    dimensions = "×".join(str(n) for n in shape) if shape else ("1" if shape == () else "")
    return " ".join(part for part in (dimensions, _short(dtype)) if part)


def _short(dtype: str | None) -> str:
    """Return a dtype's name; a record type by its size, since its own name runs over lines."""
    return f"records of {size(item_size(dtype) or 0)}" if is_record(dtype) else dtype or ""


def is_record(dtype: str | None) -> bool:
    """Tell whether a dtype is a record type."""
    return bool(dtype and _RECORD.fullmatch(dtype))


def item_size(dtype: str | None) -> int | None:
    """Return the bytes of an element of a dtype; None where its name does not tell."""
    record = _RECORD.fullmatch(dtype) if dtype else None
    return ITEM_SIZES.get(dtype or "") if record is None else int(record["size"])


def elements(nbytes: int, dtype: str | None) -> str:
    """Return a size in elements of a dtype, or nothing where it is no whole number of them."""
    item = item_size(dtype)
    return "" if not item or nbytes % item else f"{nbytes // item} {_short(dtype)}"


def holds(region: Region) -> str:
    """Return the size of a piece of memory in bytes and, where the dtype is known, elements."""
    dtype = region.contents.dtype if region.contents is not None else None
    inside = elements(region.nbytes, dtype)
    return size(region.nbytes) + (f" ({inside})" if inside else "")


def extent(part: Extent) -> str:
    """Return how much a copy moves."""
    if part.rows == 1 and part.slices == 1:
        return size(part.width)
    text = f"{count(part.rows, 'row')} of {size(part.width)}"
    return text if part.slices == 1 else f"{count(part.slices, 'slice')} of {text}"


def operand(part: Operand, name: str) -> str:
    """Return an operand's name and, in brackets, its shape and dtype, as far as they are known."""
    inside = ""
    if isinstance(part, (DeviceOperand, HostOperand)):
        inside = array(part.shape, part.dtype)
    if not name:
        name = f"a host {part.type_name}" if isinstance(part, HostOperand) else ""
    return f"{name} ({inside})" if name and inside else name or inside


def address(value: int) -> str:
    """Return an address in hex."""
    return f"0x{value:x}"


def listed(parts: Iterable[str]) -> str:
    """Join parts as a sentence does: ``a, b and c``."""
    *head, last = parts
    return f"{', '.join(head)} and {last}" if head else last


# --- launches ---------------------------------------------------------------------------------


def launch_argument(launch: Launch, index: int) -> str:
    """Return the quoted source text of a kernel argument (0-based), or nothing."""
    names = argument_names(launch.site, launch.call)
    whole = launch.arguments is not None and len(names) == len(launch.arguments)
    return quoted(names[index]) if whole else ""


def array_argument(launch: Launch, index: int) -> str:
    """Return the quoted name of the array that a kernel argument (0-based) is, or nothing."""
    found = _ARRAY.fullmatch(launch_argument(launch, index).strip("`"))
    return "" if found is None else f"`{found['handled'] or found['name']}`"


def described_argument(launch: Launch, index: int, argument: Argument) -> str:
    """Return an argument of a launch as the reader knows it: position, text, type."""
    kind = "a record" if argument.type_name == "void" else argument.type_name
    if argument.kind is ArgumentKind.BYTES and argument.shape:
        kind += f" of {array(argument.shape, argument.dtype)}"
    inside = ", ".join(part for part in (launch_argument(launch, index), kind) if part)
    return f"argument {index + 1} ({inside})"
