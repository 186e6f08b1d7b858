"""Global memory in the checked variant: loads read what the shadow says, stores of copies carry it along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.builder import at, is_true
from pycuda_guard.kernels.instrument.careful import add_write
from pycuda_guard.kernels.instrument.masks import type_of
from pycuda_guard.kernels.instrument.zeros import holds_too
from pycuda_guard.kernels.ptx.ir import Register, Vector
from pycuda_guard.kernels.ptx.opcodes import Role, operand_roles

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.coverage import Place
    from pycuda_guard.kernels.instrument.definedness import Definedness
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.instrument.masks import Mask, Masks
    from pycuda_guard.kernels.ptx.ir import Guard, Operand

#: codes of four bytes that somebody wrote
_WRITTEN = 0x01010101
#: bytes of which a mask is made at a time
PIECE = 4


def read_elements(access: Access) -> list[tuple[int, Register]]:
    """Return the registers that an access fills, each with the byte of the access that it begins at."""
    for operand, role in zip(access.instruction.operands, operand_roles(access.instruction), strict=True):
        if role is Role.DESTINATION:
            elements = operand.elements if isinstance(operand, Vector) else (operand,)
            return [
                (access.element * index, element)
                for index, element in enumerate(elements)
                if isinstance(element, Register)
            ]
    return []


def pieces(element: int) -> list[tuple[int, int]]:
    """Return start and width in bytes of the pieces that the mask of an element is made of."""
    return [(start, min(element - start, PIECE)) for start in range(0, element, PIECE)]


def fit(masks: Masks, access: Access, register: Register, parts: list[Register]) -> Register:
    """Return the mask of a register from those of its pieces (each b32, bits above the piece 0)."""
    width = masks.width(register)
    if len(parts) > 1:
        return masks.operation("mov.b64", 64, Vector(tuple(parts)))
    signed = access.instruction.modifiers[-1][0] == "s"
    bits = 8 * access.element
    if width == bits == 32:
        return parts[0]
    kind = "s" if signed else "u"
    return masks.operation(f"cvt.{kind}{width}.{kind}{bits}", width, parts[0])


def is_exchange(access: Access) -> bool:
    """Tell whether an atomic operation replaces what it reads without looking at it."""
    return access.kind == "atomic" and "exch" in access.instruction.modifiers


class Initialization:
    """What is added to each access to global memory; called by the careful form of accesses."""

    def __init__(self, definedness: Definedness) -> None:
        self.definedness = definedness
        self.masks = definedness.masks
        #: what to do with an access by a generic address that may be to shared memory
        self.elsewhere: Callable[[Access, Guard | None], None] | None = None

    def __call__(self, frame: Frame, access: Access, place: Place | None, guard: Guard | None) -> None:
        """Emit what an access that was done adds."""
        if place is None:
            if self.elsewhere is not None:
                self.elsewhere(access, guard)
            return
        if access.kind == "atomic" and not is_exchange(access):
            self._check_atomic(frame, access, place, guard)
        elif access.reads:
            self._load(frame, access, place, guard)
        add_write(frame, access, place, guard)
        if access.kind == "write":
            self._carry(frame, access, place, guard)

    # --- loads ----------------------------------------------------------------------------------------

    def _load(self, frame: Frame, access: Access, place: Place, guard: Guard | None) -> None:
        watched = self.masks.registers
        elements = [(start, each) for start, each in read_elements(access) if each.name in watched]
        if not elements:
            return
        codes = _Codes(frame, self.masks, place, guard)
        union: Mask = None
        for start, register in elements:
            parts = [codes.mask(start + inner, width) for inner, width in pieces(access.element)]
            union = self.masks.union(32, union, *parts)
            self.definedness.set_mask(register, fit(self.masks, access, register, parts), guard)
        found = self.masks.any(32, union)
        if found is not None:
            address = self._address(frame, place)
            self.definedness.origins.note(elements[0][1].name, found, access, address)

    def _check_atomic(self, frame: Frame, access: Access, place: Place, guard: Guard | None) -> None:
        """Report an atomic operation on memory that was never written."""
        codes = _Codes(frame, self.masks, place, guard)
        union = self.masks.union(32, *(codes.mask(start, width) for start, width in pieces(access.width)))
        found = self.masks.any(32, union)
        if found is not None:
            address = self._address(frame, place)
            self.definedness.origins.report_atomic(found, access, address)

    def _address(self, frame: Frame, place: Place) -> Register:
        """Return the address of an access; its own register may hold what was loaded by now."""
        return frame.builder.value("add.u64", "b64", place.offset, place.base)

    # --- stores ---------------------------------------------------------------------------------------

    def _carry(self, frame: Frame, access: Access, place: Place, guard: Guard | None) -> None:
        """Take back the codes of what was stored, where copies of bytes that were never written were."""
        data = access.instruction.operands[1]
        elements = data.elements if isinstance(data, Vector) else (data,)
        copies = [
            (access.element * index, element)
            for index, element in enumerate(elements)
            if isinstance(element, Register) and self._may_be_copy(element)
        ]
        found = self.masks.any_of(tuple(element for _, element in copies))
        if found is None:
            return
        builder = frame.builder
        if guard is not None:
            found = holds_too(frame, found, guard)
        with builder.rarely(is_true(found)):
            for start, element in copies:
                self._forget(frame, access.element, place, start, element)

    def _may_be_copy(self, element: Operand) -> bool:
        state = self.definedness.taint.of(element)
        return bool(state) and not state.is_computed

    def _forget(self, frame: Frame, width: int, place: Place, start: int, element: Register) -> None:
        """Emit the return to NEVER of the codes all of whose bits are not initialized."""
        masks = self.masks
        parts = split(masks, element)
        computed = self.definedness.flag(element)
        zero = masks.operation("mov.b32", 32, abi.NEVER)
        for shift, tracked in place.tracked.items():
            granule = 1 << shift
            if granule > width:
                continue
            holds = tracked
            if computed is not None:
                holds = masks.bits("and", 1, tracked, masks.complement(1, computed))
            where = address_of_codes(frame, place, shift)
            for inner in range(0, width, granule):
                every = (1 << 8 * granule) - 1 << 8 * (inner % PIECE)
                field = masks.bits("and", 32, parts[inner // PIECE], every)
                never = masks.operation("setp.eq.b32", 1, field, every)
                never = masks.bits("and", 1, never, holds)
                target = at(where, (start + inner) >> shift)
                frame.builder.emit("st.global.b8", target, zero, guard=is_true(never))


def split(masks: Masks, register: Register) -> list[Register]:
    """Return the mask of a register in pieces of 32 bits, lowest first."""
    mask = masks.registers[register.name]
    width = masks.width(register)
    if width == 64:
        halves = [masks.code.register("b32") for _ in range(2)]
        masks.code.emit("mov.b64", Vector(tuple(halves)), mask)
        return halves
    return [mask if width == 32 else masks.operation(f"cvt.u32.u{width}", 32, mask)]


def address_of_codes(frame: Frame, place: Place, shift: int) -> Register:
    """Return the address of an access's first code, if codes stand for ``1 << shift`` bytes."""
    builder = frame.builder
    where = builder.value("shr.u64", "b64", place.offset, shift) if shift else place.offset
    return builder.value("add.u64", "b64", where, place.shadow)


class _Codes:
    """The codes of one access, and masks made of them."""

    def __init__(self, frame: Frame, masks: Masks, place: Place, guard: Guard | None) -> None:
        self.builder = frame.builder
        self.masks = masks
        self.where = {shift: address_of_codes(frame, place, shift) for shift in place.tracked}
        self.holds = {
            shift: tracked if guard is None else holds_too(frame, tracked, guard)
            for shift, tracked in place.tracked.items()
        }

    def mask(self, start: int, width: int) -> Register:
        """Return the mask (b32) of up to four bytes of the access, at ``start``.

        Codes are read from where they are kept, not from a cache that other blocks don't share.
        """
        emit = self.builder.emit
        codes = self.masks.operation(f"mov.{type_of(32)}", 32, _WRITTEN)
        for shift, where in self.where.items():
            count = max(1, width >> shift)
            guard = is_true(self.holds[shift])
            emit(f"ld.volatile.global.b{8 * count}", codes, at(where, start >> shift), guard=guard)
            if width > count == 1:
                emit("mul.lo.u32", codes, codes, 0x01010101, guard=guard)
            elif width > count:
                emit("prmt.b32", codes, codes, 0, 0x1100, guard=guard)
        mask = self.masks.bits("not", 32, self.masks.nonzero_bytes(codes))
        if width < PIECE:
            mask = self.masks.bits("and", 32, mask, (1 << 8 * width) - 1)
        return mask
