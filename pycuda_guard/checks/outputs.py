"""What the rules about outputs that no thread wrote share: what a launch left out, and how to say it."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from pycuda_guard.checks import messages
from pycuda_guard.checks.state import ranges
from pycuda_guard.events.model import Copy, DeviceOperand, ParameterKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.checks.state import State
    from pycuda_guard.checks.state.outputs import Gap
    from pycuda_guard.checks.state.ranges import Ranges
    from pycuda_guard.events.model import Contents, KernelSignature, Parameter

_MAX_ROWS = 20_000
_AXES = ("x", "y", "z")


def asked(state: State, event: Contents) -> Ranges:
    """Return the bytes that an answer is for, without what lies between the rows of a copy."""
    copy = state.announced(event.cause)
    operand = copy.source if isinstance(copy, Copy) else None
    if not isinstance(operand, DeviceOperand):
        return ((event.address, event.address + event.nbytes),)
    extent = operand.extent
    start = operand.address + extent.offset
    sides = ((extent.rows, extent.pitch), (extent.slices, extent.slice_pitch))
    found = ranges.box(start, extent.width, [side for side in sides if side[0] > 1], _MAX_ROWS)
    return ((start, operand.address + extent.end),) if found is None else found


def written_by(event: Contents) -> Iterator[tuple[int, int, int]]:
    """Return the ranges of an answer by address, each with its writer."""
    for start, end, writer in event.runs:
        yield event.base + start, event.base + end, writer


def unwritten(event: Contents) -> Ranges:
    """Return the bytes that nobody wrote; of too many ranges to tell, the first and the last byte."""
    if event.runs or not event.unwritten:
        return ranges.merged((start, end) for start, end, writer in written_by(event) if writer == 0)
    first, last = event.base + event.first, event.base + event.last
    return ranges.merged(((first, first + 1), (last - 1, last)))


def item_size(gap: Gap, signature: KernelSignature | None) -> int:
    """Return the bytes of an element of the array that a gap is in."""
    argument = (gap.launch.arguments or ())[gap.parameter]
    size = messages.item_size(argument.dtype)
    if size is None and signature is not None:
        size = signature.parameters[gap.parameter].pointee_size
    return size or gap.meant.width


def array_name(gap: Gap) -> str:
    """Return what the program calls the array that a gap is in."""
    return messages.array_argument(gap.launch, gap.parameter) or messages.region_name(gap.region)


def element(gap: Gap, address: int, item: int) -> str:
    """Return an address as an element of the array, with all indices where it has several dimensions."""
    argument = (gap.launch.arguments or ())[gap.parameter]
    start = argument.value if type(argument.value) is int else gap.region.base
    index = (address - start) // item
    shape = argument.shape
    if shape is None or len(shape) < 2 or not 0 <= index < prod(shape):
        return str(index)
    parts = []
    for extent in reversed(shape):
        index, part = divmod(index, extent)
        parts.append(str(part))
    return f"[{', '.join(reversed(parts))}]"


def which(gap: Gap, hit: Ranges, item: int) -> str:
    """Return which elements of the array these bytes are in."""
    first, last = element(gap, hit[0][0], item), element(gap, hit[-1][1] - 1, item)
    if first == last:
        return f"element {first}"
    if len(hit) == 1:
        return f"elements {first} to {last}"
    return f"{ranges.size(hit) // item} elements, {first} to {last}"


def share(gap: Gap, hit: Ranges, item: int) -> str:
    """Return how many elements these bytes are of all that the launch means to write."""
    argument = (gap.launch.arguments or ())[gap.parameter]
    inside = messages.array(argument.shape, argument.dtype)
    text = f"{ranges.size(hit) // item} of {gap.total // item} elements of {array_name(gap)}"
    return f"{text} ({inside})" if inside else text


def blame(gap: Gap, signature: KernelSignature | None) -> str:
    """Say that a launch has too few threads for what its arguments tell it to write."""
    launch, bounds = gap.launch, _bounds(gap, signature)
    told = f" ({bounds})" if bounds else ""
    return (
        f"kernel `{launch.function}` is to write them{told}, but block={launch.block}, grid={launch.grid} "
        "has too few threads"
    )


def _bounds(gap: Gap, signature: KernelSignature | None) -> str:
    """Return the arguments that a kernel's guard names, with their values."""
    arguments = gap.launch.arguments or ()
    told = [
        f"`{messages.declared(parameter)}` = {arguments[position].value}"
        for position, parameter in _named(gap, signature)
    ]
    return messages.listed(told) if told else ""


def _named(gap: Gap, signature: KernelSignature | None) -> list[tuple[int, Parameter]]:
    """Return the integer parameters that a kernel's guard names, with their positions."""
    if signature is None or signature.coverage is None:
        return []
    coverage = signature.coverage
    polynomials = [
        polynomial
        for store in coverage.stores
        if store.parameter == gap.parameter
        for _, polynomial in store.conditions
    ]
    polynomials += [operand for uniform in coverage.uniforms for operand in uniform.operands]
    named = {name for polynomial in polynomials for _, symbols in polynomial.terms for name in symbols}
    return [
        (position, parameter)
        for position, parameter in enumerate(signature.parameters)
        if position in named and parameter.kind is ParameterKind.INTEGER
    ]


def covering_grid(gap: Gap, signature: KernelSignature | None) -> str:
    """Return what to write for the launch to cover all that it means to."""
    grid, launch = gap.meant.grid, gap.launch
    if grid is None:
        return "give the block a thread for each element, or let each thread do several in a loop"
    used = max(len(launch.grid), max((axis + 1 for axis in range(3) if grid[axis] > 1), default=1))
    padded, block = (*launch.grid, 1, 1), (*launch.block, 1, 1)
    wanted = _tuple([str(extent) for extent in grid[:used]])
    short = [axis for axis in range(used) if grid[axis] > padded[axis]]
    named = [parameter.name for _, parameter in _named(gap, signature)]
    parts = []
    for axis in range(used):
        extent = named[0] if len(named) == len(short) == 1 else f"extent in {_AXES[axis]}"
        ceiling = f"({extent} + {block[axis] - 1}) // {block[axis]}" if block[axis] > 1 else extent
        parts.append(ceiling if axis in short else str(grid[axis]))
    return f"with this block, grid={wanted} covers them: {_tuple(parts)}"


def _tuple(parts: list[str]) -> str:
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
