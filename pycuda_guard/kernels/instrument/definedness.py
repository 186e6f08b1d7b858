"""Masks in a function: what each instruction does to them, and where uninitialized bits are used.

A bit that was never written may be loaded, moved, put together with others and stored again: a store
of a copy carries the state along. It is *used* where it decides a branch or whether an instruction
is executed, is part of an address, goes into an atomic operation, or where something that was
computed from it is stored. What is computed and not used says nothing: compilers compute ahead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument.accesses import accesses_of
from pycuda_guard.kernels.instrument.masks import Mask, Masks
from pycuda_guard.kernels.instrument.model import Site
from pycuda_guard.kernels.instrument.origins import Origins
from pycuda_guard.kernels.instrument.propagation import RULES, Flow, destinations
from pycuda_guard.kernels.instrument.taint import State, computes, moves_bytes, registers_in
from pycuda_guard.kernels.instrument.zeros import holds_too
from pycuda_guard.kernels.ptx.ir import Address, Instruction, Register, Space, Vector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.instrument.taint import Taint
    from pycuda_guard.kernels.ptx.ir import Guard, Operand

_ATOMIC = frozenset({"atom", "red"})
#: opcodes that do something even if nothing is computed from it
_EFFECTS = frozenset(
    ["bra", "brx", "call", "ret", "exit", "trap", "brkpt", "st", "red", "atom", "cp", "bar", "barrier"]
)
_HINTS = frozenset(["prefetch", "prefetchu", "applypriority", "discard"])


class Definedness:
    """The masks of one function in the making, and instructions that keep them up to date.

    Of each register whose bits may be copies as well as computed, ``flags`` has a predicate: whether
    what is uninitialized was computed. It holds only while a bit of the mask is set.
    """

    def __init__(self, frame: Frame, taint: Taint, loads: Iterable[tuple[Access, bool]]) -> None:
        self.frame = frame
        self.taint = taint
        self.builder = frame.builder
        types = frame.flat.registers
        with self.builder.in_prologue():
            self.masks = Masks(self.builder, types, taint.states)
            zero = self.builder.value("mov.b32", "b32", 0)
            self.never = self.builder.value("setp.ne.u32", "pred", zero, 0)
            mixed = [name for name, state in taint.states.items() if state.is_mixed]
            self.flags = {name: self.builder.value("mov.pred", "pred", self.never) for name in mixed}
            for name in taint.states:
                self._set(Register(name), None)
        self.origins = Origins(frame, taint, loads)

    # --- masks ----------------------------------------------------------------------------------------

    def set_mask(self, register: Register, mask: Mask, guard: Guard | None) -> None:
        """Emit the assignment of a mask, where the guard holds; nothing for registers without."""
        if register.name in self.masks.registers:
            self._set(register, mask, guard)

    def set_flag(self, register: Register, flag: Mask, guard: Guard | None) -> None:
        """Emit the assignment of a flag likewise."""
        if register.name in self.flags:
            self.builder.emit("mov.pred", self.flags[register.name], flag or self.never, guard=guard)

    def clear(self, instruction: Instruction) -> None:
        """Emit: what an instruction writes is initialized."""
        for register in destinations(instruction):
            self.set_mask(register, None, instruction.guard)
            self.set_flag(register, None, instruction.guard)

    def _set(self, register: Register, mask: Mask, guard: Guard | None = None) -> None:
        width = self.masks.width(register)
        none: Operand | int = self.never if width == 1 else 0
        kind = "pred" if width == 1 else f"b{width}"
        self.builder.emit(f"mov.{kind}", self.masks.registers[register.name], mask or none, guard=guard)

    def flag(self, operand: Operand) -> Mask:
        """Return a predicate: whether an operand has uninitialized bits that were computed."""
        found: Mask = None
        for register in registers_in(operand):
            state = self.taint.of(register)
            if state.is_mixed:
                found = self.masks.union(1, found, self.flags[register.name])
            elif state.is_computed:
                found = self.masks.union(1, found, self.masks.any_of((register,)))
        return found

    # --- instructions ---------------------------------------------------------------------------------

    def before(self, instruction: Instruction) -> None:
        """Emit what goes before an instruction: reports of uses, and the masks of what it computes."""
        self.builder.mark(instruction.source)
        self._report_uses(instruction)
        if not any(register.name in self.masks.registers for register in destinations(instruction)):
            return
        rule = RULES.get(instruction.opcode)
        if rule is None:
            if not _is_returned(instruction):
                self.clear(instruction)
            return
        to = destinations(instruction)
        results = rule.formula(instruction, self.masks)
        flags = [
            self._result_flag(instruction, result, register) if register.name in self.flags else None
            for register, result in zip(to, results, strict=True)
        ]
        unsure = self._unsure(instruction)
        for register, result, flag in zip(to, results, flags, strict=True):
            self.set_mask(register, result, instruction.guard)
            self.set_flag(register, flag, instruction.guard)
            if unsure is not None and register.name in self.masks.registers:
                width = self.masks.width(register)
                mask = self.masks.registers[register.name]
                spread = self.masks.spread(width, unsure)
                self._set(register, self.masks.union(width, mask, spread))
                if register.name in self.flags:
                    flag = self.flags[register.name]
                    self.builder.emit("or.pred", flag, flag, unsure)

    def after(self, instruction: Instruction) -> None:
        """Emit what goes after an instruction that hands on what a call returned, which is clean."""
        if _is_returned(instruction):
            self.clear(instruction)

    def _unsure(self, instruction: Instruction) -> Mask:
        """Return a predicate: whether it isn't known if an instruction is executed."""
        guard = instruction.guard
        return None if guard is None else self.masks.of(Register(guard.register))

    def _result_flag(self, instruction: Instruction, result: Mask, to: Register) -> Mask:
        """Return whether the uninitialized bits of a result are computed."""
        masks = self.masks
        rule = RULES[instruction.opcode]
        moved = [o for at, o in enumerate(instruction.operands) if at and at not in rule.control]
        control = tuple(o for at, o in enumerate(instruction.operands) if at and at in rule.control)
        computed = masks.any(masks.width(to), result)
        if rule.flow is Flow.COMPUTE or (rule.flow is Flow.MOVE and computes(instruction)):
            return computed
        if rule.flow is Flow.SHIFT and not moves_bytes(instruction):
            return computed
        if instruction.opcode == "selp":
            return masks.union(1, self._chosen_flag(instruction), masks.any_of(control))
        if rule.flow is Flow.JOIN:
            moved = [o for o in moved if self.taint.of(o) != State.SHIFTED]
        return masks.union(1, *map(self.flag, moved), masks.any_of(control))

    def _chosen_flag(self, instruction: Instruction) -> Mask:
        """Return the flag of the side that ``selp`` chooses."""
        first, second, by = instruction.operands[1:4]
        one, other = self.flag(first), self.flag(second)
        return self.masks.union(
            1,
            self.masks.where(1, one, by) if one else None,
            self.masks.where(1, other, self.masks.complement(1, by)) if other else None,
        )

    # --- uses -----------------------------------------------------------------------------------------

    def _report_uses(self, instruction: Instruction) -> None:
        guard = instruction.guard
        if guard is not None and instruction.opcode in _EFFECTS:
            decided = self.masks.of(Register(guard.register))
            if decided is not None:
                self.report(instruction, guard.register, decided)
        by_group: dict[str, list[Register]] = {}
        for register in _used(instruction):
            if register.name in self.masks.registers:
                by_group.setdefault(self.taint.group(register.name), []).append(register)
        for group, registers in by_group.items():
            used = self.masks.any_of(tuple(dict.fromkeys(registers)))
            if used is not None:
                self.report(instruction, group, self._if_executed(instruction, used))
        self._report_stored(instruction)

    def _if_executed(self, instruction: Instruction, predicate: Register) -> Register:
        """Return a predicate that holds where one does and the instruction's guard."""
        guard = instruction.guard
        return predicate if guard is None else holds_too(self.frame, predicate, guard)

    def _report_stored(self, instruction: Instruction) -> None:
        """Report the store of what was computed, unless it only goes on in local or shared memory."""
        for access in accesses_of(instruction):
            if access.kind != "write" or access.space not in (Space.GLOBAL, Space.GENERIC):
                continue
            for register in stored(access):
                flag = self.flag(register)
                if flag is None:
                    continue
                flag = self._if_executed(instruction, flag)
                if access.space is Space.GENERIC:
                    flag = self._unless_shared(access, flag)
                self.report(instruction, register.name, flag)

    def _unless_shared(self, access: Access, flag: Register) -> Register:
        """Return a predicate that holds where one does, unless an address is of shared or local memory."""
        address = self.frame.address(access.address)
        for space in ("shared", "local"):
            there = self.builder.value(f"isspacep.{space}", "pred", address)
            flag = self.masks.bits("and", 1, flag, self.masks.complement(1, there))
        return flag

    def report(self, instruction: Instruction, name: str, used: Register) -> None:
        """Emit the report of a use by an instruction of what is in a register, where ``used`` holds."""
        site = Site(self.frame.name, "use", 0, "", instruction.source)
        self.origins.report(name, used, self.frame.sites.number(instruction, site))


def stored(access: Access) -> list[Register]:
    """Return the registers that a plain store stores, in order."""
    data = access.instruction.operands[1]
    return list(registers_in(data)) if isinstance(data, Register | Vector) else []


def _used(instruction: Instruction) -> list[Register]:
    """Return the registers, but the guard, whose bits decide what an instruction does to the world."""
    opcode = instruction.opcode
    found: list[Register] = []
    if opcode not in _HINTS:
        for operand in instruction.operands:
            if isinstance(operand, Address) and isinstance(operand.base, Register):
                found.append(operand.base)
    if opcode == "brx":
        found += registers_in(instruction.operands[0])
    if opcode in _ATOMIC and "exch" not in instruction.modifiers:
        for operand in instruction.operands[opcode == "atom" :]:
            found += registers_in(operand)
    return found


def _is_returned(instruction: Instruction) -> bool:
    """Tell whether an instruction loads a parameter, as those do that stand right after a call."""
    return instruction.opcode == "ld" and any(word.startswith("param") for word in instruction.modifiers)
