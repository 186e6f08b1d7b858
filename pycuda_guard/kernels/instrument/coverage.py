"""Notes in the shadow which bytes a kernel wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.builder import at, is_true
from pycuda_guard.kernels.instrument.zeros import holds_too
from pycuda_guard.kernels.ptx.ir import Immediate, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.instrument.ranges import Range
    from pycuda_guard.kernels.ptx.ir import Guard, Operand, Register

#: granularities of codes, as ``shift`` of an abi.RANGE
SHIFTS = (2, 1, 0)
STRAY_WORD = abi.STRAY * 0x01010101


@dataclass(frozen=True, slots=True)
class Place:
    """Where the codes of the bytes are that an access touches.

    ``offset`` is that of the access in its allocation, in bytes; ``shadow`` the address of the code of the
    allocation's first byte; ``tracked`` has a predicate for each granularity that the codes may have.
    ``code`` is what a write leaves there, in each of its four bytes. ``base`` is the allocation's address.
    """

    offset: Register
    shadow: Register
    tracked: Mapping[int, Register]
    code: Operand
    base: Register


def place_in(known: Range, offset: Register) -> Place:
    """Return the place at an offset in a root's range."""
    tracked = {shift: known.tracked(shift) for shift in SHIFTS}
    return Place(offset, known.shadow, tracked, known.code, known.base)


def note_write(frame: Frame, place: Place, width: int, guard: Guard | None = None) -> None:
    """Store the code for ``width`` bytes, where ``guard`` holds."""
    for shift, predicate in place.tracked.items():
        holds = predicate if guard is None else holds_too(frame, predicate, guard)
        where = frame.builder.value("shr.u64", "b64", place.offset, shift) if shift else place.offset
        address = frame.builder.value("add.u64", "b64", where, place.shadow)
        store_code(frame, address, 0, width, shift, place.code, holds)


def store_code(
    frame: Frame,
    address: Register,
    offset: int,
    width: int,
    shift: int,
    code: Operand,
    holds: Register | None = None,
) -> None:
    """Store the code for ``width`` bytes at ``[address+offset]``, where the predicate ``holds`` if any."""
    count = max(1, width >> shift)
    for start in range(0, count, 16):
        target = at(address, offset + start)
        if count <= 4:
            data: Operand = code
            kind = f"b{8 * count}"
            if isinstance(code, Immediate):
                data = Immediate("int", code.value % (1 << 8 * count))
        else:
            words = min(count, 16) // 4
            data, kind = Vector((code,) * words), f"v{words}.b32"
        guard = None if holds is None else is_true(holds)
        frame.builder.emit(f"st.global.{kind}", target, data, guard=guard)
