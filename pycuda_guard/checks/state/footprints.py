"""Which bytes an operation is certain to touch: ranges of rows, and those of a kernel by its arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pycuda_guard.events.model import ANYWHERE, FIRST_PRODUCT, VARIABLES, CertainAccess, LinearForm, factors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pycuda_guard.events.model import (
        Address,
        Extent,
        KernelSignature,
        Launch,
        ModuleId,
    )

_MAX_KNOWN = 4096

#: which field of a line a symbol of a LinearForm counts for, and the symbol that it stands for so many of
_ALONG = {-7: (1, 0), -8: (2, 0), -9: (2, -1), -10: (3, 0), -11: (4, 0), -12: (4, -2)}


class Range(NamedTuple):
    """``rows`` rows of ``width`` bytes, ``pitch`` bytes apart.

    Of width 0, it is some bytes of the memory that ``start`` points into, nobody knows which.
    """

    start: Address
    width: int
    rows: int = 1
    pitch: int = 0

    @property
    def end(self) -> Address:
        """One past the last byte."""
        return self.start + (self.rows - 1) * self.pitch + self.width


#: makes a Range of a tuple; calling the class takes three times as long, on the way of every copy
_new = tuple.__new__


def of_extent(address: Address, extent: Extent) -> Range | None:
    """Return the bytes of a copy's operand; None where there are none or they make no plain rows."""
    width, rows, pitch = extent.width, extent.rows, extent.pitch
    if rows == 1 and extent.slices == 1:
        return _new(Range, (address + extent.offset, width, 1, 0)) if width > 0 else None
    if extent.slices != 1:
        if extent.slice_pitch != rows * pitch:
            return None
        rows *= extent.slices
    if width <= 0 or rows <= 0 or (rows > 1 and pitch < width):
        return None
    start = address + extent.offset
    return Range(start, width * rows) if pitch == width or rows == 1 else Range(start, width, rows, pitch)


def holds(touched: Range, address: Address) -> bool:
    """Tell whether a range has a byte."""
    offset = address - touched.start
    if touched.rows == 1 or offset < 0:
        return 0 <= offset < touched.width
    return offset // touched.pitch < touched.rows and offset % touched.pitch < touched.width


def overlap(one: Range, other: Range) -> bool:
    """Tell whether two ranges have a byte in common. Of two with many rows, it may miss one."""
    if one.end <= other.start or other.end <= one.start:
        return False
    if one.rows > other.rows:
        one, other = other, one
    if other.rows == 1:
        return True
    rows = min(one.rows, 4096)
    starts = (one.start + row * one.pitch for row in range(rows))
    return any(_meets(start, start + one.width, other) for start in starts)


def _meets(start: Address, end: Address, other: Range) -> bool:
    """Tell whether [start, end) meets a row of ``other``: the last row that starts below ``end``."""
    row = min((end - 1 - other.start) // other.pitch, other.rows - 1)
    return row >= 0 and other.start + row * other.pitch + other.width > start


def covers(touched: Range, start: Address, end: Address) -> bool:
    """Tell whether a range has all bytes from ``start`` up to ``end``."""
    return touched.rows == 1 and touched.start <= start and end <= touched.end


#: how bytes are touched, and which ones
Touched = tuple[tuple[str, Range], ...]


class Footprints:
    """What launches touch. A launch with the same numbers as one before is not worked out again."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Touched] = {}

    def of_launch(
        self, launch: Launch, signature: KernelSignature, variables: Mapping[tuple[ModuleId, str], Address]
    ) -> Touched:
        """Return the kinds and ranges of what a launch certainly touches, each once.

        ``variables`` are the addresses of those of modules, as far as the program has asked for them.
        """
        arguments = launch.arguments
        if not signature.accesses or arguments is None or len(arguments) != len(signature.parameters):
            return ()
        symbols: dict[int, int] = {}
        parameters = signature.parameters
        for position, argument in enumerate(arguments):
            parameter = parameters[position]
            fits = argument.size == parameter.size and argument.offset == parameter.offset
            if fits and type(argument.value) is int:
                symbols[position] = argument.value
        for index, name in enumerate(signature.variables):
            address = variables.get((launch.module, name))
            if address is not None:
                symbols[VARIABLES + index] = address
        key = (launch.module, launch.function, launch.block, launch.grid, *symbols.items())
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            found = self._known[key] = _work_out(launch, signature.accesses or (), symbols)
        return found


def _work_out(launch: Launch, accesses: Iterable[CertainAccess], symbols: dict[int, int]) -> Touched:
    block, grid = (*launch.block, 1, 1, 1), (*launch.grid, 1, 1, 1)
    for axis in range(3):
        symbols[-1 - axis], symbols[-4 - axis] = block[axis], grid[axis]
    found: dict[tuple[str, Range], None] = {}
    for access in accesses:
        for touched in _somewhere(access, symbols) if _is_anywhere(access) else _ranges(access, symbols):
            found[access.kind, touched] = None
    return tuple(found)


def _is_anywhere(access: CertainAccess) -> bool:
    return any(symbol == ANYWHERE for symbol, _ in access.address.terms)


def _somewhere(access: CertainAccess, symbols: dict[int, int]) -> Iterable[Range]:
    """Return where the memory begins somewhere in which an access is, if any thread makes it."""
    terms = tuple(term for term in access.address.terms if term[0] != ANYWHERE)
    pointer = LinearForm(access.address.constant, terms)
    made = _ranges(CertainAccess(access.kind, access.width, pointer, access.conditions), symbols)
    return [Range(touched.start, 0) for touched in made][:1]


class _Line(NamedTuple):
    """A form whose symbols are known: along the threads of a block and along the blocks, in x and in y."""

    constant: int
    a_thread: int
    a_block: int
    a_row: int
    a_row_block: int

    @property
    def has_x(self) -> bool:
        """Whether it changes along x."""
        return bool(self.a_thread or self.a_block)

    @property
    def has_y(self) -> bool:
        """Whether it changes along y."""
        return bool(self.a_row or self.a_row_block)


def _line(form: LinearForm, symbols: dict[int, int]) -> _Line | None:
    fields = [form.constant, 0, 0, 0, 0]
    for symbol, factor in form.terms:
        if symbol <= FIRST_PRODUCT:
            symbol, parameter = factors(symbol)
            if parameter not in symbols:
                return None
            factor *= symbols[parameter]
        if symbol in _ALONG:
            field, extent = _ALONG[symbol]
            fields[field] += factor * (symbols[extent] if extent else 1)
        elif symbol in symbols:
            fields[0] += factor * symbols[symbol]
        else:
            return None
    return _Line(*fields)


def _ranges(access: CertainAccess, symbols: dict[int, int]) -> Iterable[Range]:
    """Return what an access touches along the whole grid, or else along one block and the first threads.

    So in x and in y; in y along the first row alone where a condition is about both.
    """
    address = _line(access.address, symbols)
    lines = [(kind, _line(form, symbols)) for kind, form in access.conditions]
    conditions = [(kind, line) for kind, line in lines if line is not None]
    if address is None or len(conditions) < len(lines):
        return
    every = [address, *(line for _, line in conditions)]
    threads, blocks, rows, row_blocks = symbols[-1], symbols[-4], symbols[-2], symbols[-5]
    across = _ways(every, threads, blocks, "a_thread", "a_block")
    if any(line.has_x and line.has_y for _, line in conditions):
        down = [(1, "a_row")]
    else:
        down = _ways(every, rows, row_blocks, "a_row", "a_row_block")
    in_x = [each for each in conditions if each[1].has_x]
    in_y = [each for each in conditions if not each[1].has_x]
    for count, along in across:
        first, last = _bounds(count, [(kind, line.constant, getattr(line, along)) for kind, line in in_x])
        if first > last:
            continue
        row = _stretch(address.constant, getattr(address, along), first, last, access.width)
        for row_count, step in down:
            bounds = [(kind, line.constant, getattr(line, step)) for kind, line in in_y]
            top, bottom = _bounds(row_count, bounds)
            if top <= bottom:
                yield _repeated(row, getattr(address, step), top, bottom)


def _ways(
    lines: Iterable[_Line], threads: int, blocks: int, thread: str, block: str
) -> list[tuple[int, str]]:
    """Return along how many of what to go: the whole grid, or else one block and the first of each block."""
    if all(getattr(line, block) == getattr(line, thread) * threads for line in lines):
        return [(threads * blocks, thread)]
    return [(threads, thread), (blocks, block)]


def _repeated(row: Range, step: int, first: int, last: int) -> Range:
    """Return a row at several steps; one of them alone where these are no rows."""
    count, pitch = last - first + 1, abs(step)
    if row.rows > 1 or count == 1 or step == 0:
        return row._replace(start=row.start + step * first)
    start = row.start + min(step * first, step * last)
    if pitch <= row.width:
        return Range(start, row.width + pitch * (count - 1))
    return Range(start, row.width, count, pitch)


def _bounds(count: int, conditions: list[tuple[str, int, int]]) -> tuple[int, int]:
    """Return the first and the last index below ``count`` of a stretch on which all conditions hold."""
    first, last = 0, count - 1
    for kind, constant, factor in conditions:
        if factor == 0:
            holds = {">=": constant >= 0, "==": constant == 0, "!=": constant != 0}[kind]
            if not holds:
                return 1, 0
        elif kind == ">=" and factor > 0:
            first = max(first, -(constant // factor))
        elif kind == ">=":
            last = min(last, constant // -factor)
        elif constant % factor == 0:
            root = -constant // factor
            only = max(first, root), min(last, root)
            first, last = only if kind == "==" else _without(first, last, root)
        elif kind == "==":
            return 1, 0
    return first, last


def _without(first: int, last: int, index: int) -> tuple[int, int]:
    """Return a part of a stretch that leaves out an index."""
    if index == first:
        return first + 1, last
    return (first, index - 1) if first < index <= last else (first, last)


def _stretch(constant: int, factor: int, first: int, last: int, width: int) -> Range:
    start = constant + min(factor * first, factor * last)
    rows, pitch = last - first + 1, abs(factor)
    if pitch <= width:
        return Range(start, width + pitch * (rows - 1))
    return Range(start, width, rows, pitch)
