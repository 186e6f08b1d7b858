"""Masks: for each register whose bits may be uninitialized, a register of the same width.

A bit of a mask is set where the bit of the value is not initialized. A mask that is ``None`` is
all clean; the algebra below leaves out what clean masks make needless. A predicate's mask is a
predicate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.ir import TYPE_SIZES, Immediate, Negated, Operand, Register, Vector

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pycuda_guard.kernels.instrument.builder import Builder

Mask = Register | None
#: widths in bits of registers that can have masks; 1 for predicates
WIDTHS = frozenset({1, 16, 32, 64})


def width_of(type_name: str) -> int:
    """Return the width of a register's type in bits, 1 for a predicate."""
    return 1 if type_name == "pred" else 8 * TYPE_SIZES.get(type_name, 0)


def integer(operand: Operand) -> Operand:
    """Return an operand as instructions on bits take it: a number's bit pattern."""
    return Immediate("int", operand.value) if isinstance(operand, Immediate) else operand


class Masks:
    """The masks of one function, and instructions on masks.

    ``types`` are the types of the function's registers, ``watched`` those of them that have masks.
    """

    def __init__(self, code: Builder, types: Mapping[str, str], watched: Collection[str]) -> None:
        self.code = code
        self.types = types
        self.registers = {name: code.register(_mask_type(types[name])) for name in sorted(watched)}

    def of(self, operand: Operand) -> Mask:
        """Return the mask of an operand; an address has that of its base."""
        match operand:
            case Register(name) | Negated(Register(name)):
                return self.registers.get(name)
            case _:
                return None

    def width(self, operand: Operand) -> int:
        """Return the width of a register in bits, or 32 for other operands."""
        return width_of(self.types.get(operand.name, "")) or 32 if isinstance(operand, Register) else 32

    # --- instructions on masks; ``width`` is that of the result in bits -----------------------------

    def operation(self, text: str, width: int, *operands: Operand | int) -> Register:
        """Emit an instruction that makes a new value of a width, and return it."""
        return self.code.value(text, type_of(width), *operands)

    def bits(self, opcode: str, width: int, *operands: Operand | int) -> Register:
        """Emit an instruction on bits (``and``, ``or``, ``xor``, ``not``)."""
        return self.operation(
            f"{opcode}.{type_of(width)}", width, *(o if isinstance(o, int) else integer(o) for o in operands)
        )

    def union(self, width: int, *masks: Mask) -> Mask:
        """Return the bits that are set in any of some masks."""
        result: Mask = None
        for mask in masks:
            if mask is not None and mask != result:
                result = mask if result is None else self.bits("or", width, result, mask)
        return result

    def where(self, width: int, mask: Mask, value: Operand) -> Mask:
        """Return the bits of a mask where a value's are set."""
        if mask is None or value == Immediate("int", 0):
            return None
        return self.bits("and", width, mask, value)

    def complement(self, width: int, value: Operand) -> Operand:
        """Return a value with all bits inverted."""
        if isinstance(value, Immediate):
            return Immediate("int", ~value.value & ((1 << width) - 1))
        if isinstance(value, Negated):
            return value.operand
        return self.bits("not", width, value)

    def plain(self, value: Operand) -> Operand:
        """Return ``!p`` as a predicate of its own, and other operands as they are."""
        return self.bits("not", 1, value.operand) if isinstance(value, Negated) else value

    def any(self, width: int, mask: Mask) -> Mask:
        """Return a predicate: whether a mask has a bit set."""
        if mask is None or width == 1:
            return mask
        return self.operation(f"setp.ne.b{width}", 1, mask, 0)

    def any_of(self, operands: tuple[Operand, ...]) -> Mask:
        """Return a predicate: whether any bit of some operands, each of its own width, is uninitialized."""
        found: Mask = None
        seen: list[Register] = []
        for operand in operands:
            elements = operand.elements if isinstance(operand, Vector) else (operand,)
            for element in elements:
                mask = self.of(element)
                if mask is None or mask in seen:
                    continue
                seen.append(mask)
                width = self.width(mask_owner(element))
                # A union of masks, compared once, is as short. But where they are selp of predicates, one of
                # them not of all bits, ptxas 13.0 makes p | !(q & r) of it: it forgets to negate q and r.
                if found is None or width == 1:
                    found = self.union(1, found, self.any(width, mask))
                else:
                    found = self.operation(f"setp.ne.or.b{width}", 1, mask, 0, found)
        return found

    def spread(self, width: int, predicate: Mask) -> Mask:
        """Return a mask with all bits set if a predicate holds, else none."""
        if predicate is None or width == 1:
            return predicate
        return self.operation(f"selp.b{width}", width, (1 << width) - 1, 0, predicate)

    def upward(self, width: int, mask: Mask) -> Mask:
        """Return all bits from a mask's lowest set bit upward: what carries can reach."""
        if mask is None:
            return None
        return self.bits("or", width, mask, self.operation(f"neg.s{width}", width, mask))

    def lanes(self, mask: Mask) -> Mask:
        """Return, for each half of 32 bits, all bits set if any of them is."""
        if mask is None:
            return None
        low = self.bits("and", 32, mask, 0x7FFF7FFF)
        low = self.operation("add.s32", 32, low, 0x7FFF7FFF)
        signs = self.bits("or", 32, low, mask)
        return self.operation("prmt.b32", 32, signs, 0, 0xBB99)

    def nonzero_bytes(self, value: Operand) -> Register:
        """Return, for each byte of 32 bits, all bits set if any of them is."""
        low = self.bits("and", 32, value, 0x7F7F7F7F)
        low = self.operation("add.s32", 32, low, 0x7F7F7F7F)
        signs = self.bits("or", 32, low, value)
        return self.operation("prmt.b32", 32, signs, 0, 0xBA98)

    def zero(self, width: int) -> Register:
        """Return a mask of no bits in a register, for where an instruction takes no immediate."""
        return self.operation(f"mov.b{width}", width, 0)


def mask_owner(operand: Operand) -> Operand:
    """Return the register of a possibly negated operand."""
    return operand.operand if isinstance(operand, Negated) else operand


def type_of(width: int) -> str:
    """Return the PTX type of bits of a width, ``pred`` for 1."""
    return "pred" if width == 1 else f"b{width}"


def _mask_type(type_name: str) -> str:
    return type_of(width_of(type_name))
