"""Which bytes of shared memory the block has written: a shadow behind its dynamic shared memory.

One byte stands for a granule of up to 4 bytes. Static variables come first, then dynamic shared memory.
Where the launch gave no room for the shadow, nothing is watched. The block clears the shadow before
anything else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi, reports
from pycuda_guard.kernels.instrument.accesses import accesses_of, space_of
from pycuda_guard.kernels.instrument.builder import at, is_false, is_true
from pycuda_guard.kernels.instrument.calls import PROVIDED
from pycuda_guard.kernels.instrument.definedness import stored
from pycuda_guard.kernels.instrument.initialization import (
    PIECE,
    fit,
    is_exchange,
    pieces,
    read_elements,
    split,
)
from pycuda_guard.kernels.instrument.model import SharedShadow
from pycuda_guard.kernels.instrument.origins import load_site
from pycuda_guard.kernels.instrument.variables import is_dynamic, watched_variable
from pycuda_guard.kernels.instrument.zeros import holds_too
from pycuda_guard.kernels.ptx.ir import (
    Address,
    Instruction,
    Register,
    Space,
    Symbol,
    Variable,
    Vector,
)
from pycuda_guard.kernels.ptx.opcodes import OPCODES, called

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.definedness import Definedness
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.instrument.masks import Mask
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Guard, Operand

#: name of the dynamic shared memory, at whose start the program's own begins too
DYNAMIC = "pg_shared"

# Codes. A granule that nobody wrote is like one with a copy of such a granule.
NEVER = 0
WRITTEN = 1
COMPUTED = 2  # added where what was stored was computed from what is not initialized
GLOBAL = 4  # added where that came from global memory

_BYTES = 0x01010101
#: opcodes that use shared memory for themselves
_OWN_USE = frozenset({"mbarrier"})
#: beside the shadow: the site and address of the last load from global memory that brought bits here
_SLOT = 16


def dynamic_variable() -> Variable:
    """Return the declaration of the dynamic shared memory, for kernels that have none of their own."""
    return Variable(DYNAMIC, Space.SHARED, "b8", align=16, dims=(None,), linkage=("extern",))


def dynamic_start(frame: Frame) -> Register:
    """Return the address of the dynamic shared memory, the program's own where it has any."""
    used = _used_variables(frame.flat, frame.variables)
    own = next((variable.name for variable in used if is_dynamic(variable)), DYNAMIC)
    return frame.builder.value("mov.u32", "b32", Symbol(own))


def plan_shadow(
    flat: FlatFunction, accesses: tuple[Access, ...], variables: Mapping[str, Variable]
) -> SharedShadow | None:
    """Return the shadow that a kernel needs, or None where it reads no shared memory or can't be watched.

    It can't where shared memory is written in ways that aren't seen: by functions that it calls, by the
    matrix units or by other blocks of its cluster.
    """
    maybe = [access for access in accesses if access.space in (Space.SHARED, Space.GENERIC)]
    if any(_is_hidden(entry, variables) for entry in flat.body if isinstance(entry, Instruction)):
        return None
    used = _used_variables(flat, variables)
    if not used or not any(access.reads for access in maybe):
        return None
    static = sum(_room(variable) for variable in used if not is_dynamic(variable))
    granule = min((access.width for access in maybe if access.writes), default=PIECE)
    return SharedShadow(static and static + 16, min(granule, PIECE), any(map(is_dynamic, used)))


def _room(variable: Variable) -> int:
    """Return the bytes that a variable takes at most, with what is left free before it."""
    unit = max(variable.alignment, 16)
    return (variable.size + unit - 1) // unit * unit + (unit if unit > 16 else 0)


def _used_variables(flat: FlatFunction, variables: Mapping[str, Variable]) -> list[Variable]:
    """Return the shared variables that a function names."""
    known = {**variables, **flat.variables}
    names = dict.fromkeys(
        name
        for entry in flat.body
        if isinstance(entry, Instruction)
        for operand in entry.operands
        for name in _names(operand)
    )
    return [known[name] for name in names if name in known and known[name].space is Space.SHARED]


def _names(operand: Operand) -> Iterator[str]:
    match operand:
        case Symbol(name) | Address(Symbol(name)):
            yield name
        case Vector(elements):
            for element in elements:
                yield from _names(element)


def _is_hidden(instruction: Instruction, variables: Mapping[str, Variable]) -> bool:
    """Tell whether an instruction may write shared memory without being seen."""
    if instruction.opcode == "call":
        callee = called(instruction)
        return not isinstance(callee, Symbol) or callee.name not in PROVIDED
    row = OPCODES.get(instruction.opcode)
    if row is None or instruction.opcode == "mapa":
        return True
    if not row.writes_memory or instruction.opcode in _OWN_USE or accesses_of(instruction):
        return False
    if {"commit_group", "wait_group", "wait_all"} & {*instruction.modifiers}:
        return False
    return space_of(instruction) in (Space.SHARED, Space.GENERIC)


def is_shared(frame: Frame, access: Access) -> bool:
    """Tell whether an access is to shared memory for certain."""
    if access.space is Space.GENERIC:
        variable = watched_variable(frame, access)
        return variable is not None and variable.space is Space.SHARED
    return access.space is Space.SHARED


@dataclass(frozen=True, slots=True)
class SharedPlace:
    """Where the codes of an access are: address of the first, and whether there are any."""

    address: Register
    valid: Register


class SharedMemory:
    """Shared memory in the checked variant: the shadow's prologue, and what is added to accesses."""

    def __init__(self, frame: Frame, definedness: Definedness, shadow: SharedShadow) -> None:
        self.frame = frame
        self.builder = frame.builder
        self.definedness = definedness
        self.masks = definedness.masks
        self.shadow = shadow
        self._places: dict[int, tuple[SharedPlace, Register]] = {}
        #: who else is to be told of each access, where its codes are, its address and its guard
        self.observer: Callable[[Access, SharedPlace, Register, Guard | None], None] | None = None
        used = _used_variables(frame.flat, frame.variables)
        with self.builder.in_prologue():
            self._prepare(used)

    # --- the shadow -----------------------------------------------------------------------------------

    def _prepare(self, used: list[Variable]) -> None:
        """Find room for the shadow, and clear it."""
        value = self.builder.value
        self.dynamic_start = dynamic_start(self.frame)
        asked = self.frame.header("dynamic")
        end = value("add.u32", "b32", self.dynamic_start, asked)
        self.start = value("and.b32", "b32", value("add.u32", "b32", end, 15), -16 & 0xFFFFFFFF)
        granule = self.shadow.granule
        dynamic = value("add.u32", "b32", asked, granule - 1)
        if granule > 1:
            dynamic = value("shr.u32", "b32", dynamic, granule.bit_length() - 1)
        need = value("add.u32", "b32", dynamic, self.shadow.static // granule + 15)
        need = value("and.b32", "b32", need, -16 & 0xFFFFFFFF)
        self.slot = value("add.u32", "b32", self.start, need)
        last = value("add.u32", "b32", self.slot, _SLOT)
        given = value("mov.u32", "b32", Register("%dynamic_smem_size", special=True))
        self.end_of_memory = value("add.u32", "b32", self.dynamic_start, given)
        self.watched = value("setp.le.u32", "pred", last, self.end_of_memory)
        self.static_start = self._lowest([variable for variable in used if not is_dynamic(variable)])
        self._clear(last)

    def _lowest(self, static: list[Variable]) -> Register | None:
        """Return the address of the first of some variables, rounded down."""
        found: Register | None = None
        for variable in static:
            address = self.builder.value("mov.u32", "b32", Symbol(variable.name))
            found = address if found is None else self.builder.value("min.u32", "b32", found, address)
        if found is None:
            return None
        return self.builder.value("and.b32", "b32", found, -16 & 0xFFFFFFFF)

    def _clear(self, last: Register) -> None:
        """Emit a loop of all threads of the block over the shadow, and a barrier."""
        value = self.builder.value
        index, extent = (
            [value("mov.u32", "b32", Register(f"%{name}.{axis}", special=True)) for axis in "xyz"]
            for name in ("tid", "ntid")
        )
        linear = value("mad.lo.u32", "b32", index[2], extent[1], index[1])
        linear = value("mad.lo.u32", "b32", linear, extent[0], index[0])
        step = value("mul.lo.u32", "b32", extent[0], extent[1])
        step = value("mul.lo.u32", "b32", step, extent[2])
        step = value("shl.b32", "b32", step, 2)
        place = value("shl.b32", "b32", linear, 2)
        self.builder.emit("add.u32", place, place, self.start)
        end = value("selp.b32", "b32", last, 0, self.watched)
        again, done = self.builder.label(), self.builder.label()
        self.builder.place_label(again)
        self.builder.branch(done, is_true(value("setp.ge.u32", "pred", place, end)))
        zero = value("mov.b32", "b32", 0)
        self.builder.emit("st.shared.b32", at(place), zero)
        self.builder.emit("add.u32", place, place, step)
        self.builder.branch(again)
        self.builder.place_label(done)
        self.builder.emit("bar.sync", 0)

    def _locate(self, address: Register, width: int) -> SharedPlace:
        """Emit where the codes of ``width`` bytes at an address of the shared window are."""
        value = self.builder.value
        shift = self.shadow.granule.bit_length() - 1

        def code_of(offset: Register) -> Register:
            return value("shr.u32", "b32", offset, shift) if shift else offset

        found: Register | None = None
        valid: Register | None = None
        if self.static_start is not None:
            offset = value("sub.u32", "b32", address, self.static_start)
            inside = value("setp.lt.u32", "pred", offset, self.shadow.static - width + 1)
            found, valid = code_of(offset), inside
        if self.shadow.dynamic:
            offset = value("sub.u32", "b32", address, self.dynamic_start)
            inside = value("setp.lt.u32", "pred", offset, self.frame.dynamic_limit(width, 32))
            index = code_of(offset)
            if self.shadow.static:
                index = value("add.u32", "b32", index, self.shadow.static // self.shadow.granule)
            if found is None or valid is None:
                found, valid = index, inside
            else:
                found = value("selp.b32", "b32", index, found, inside)
                valid = value("or.pred", "pred", valid, inside)
        assert found is not None and valid is not None
        return SharedPlace(
            value("add.u32", "b32", found, self.start), value("and.pred", "pred", valid, self.watched)
        )

    # --- accesses -------------------------------------------------------------------------------------

    def before(self, instruction: Instruction) -> None:
        """Emit what goes before an instruction: where its codes are, and the codes of what it writes."""
        self._places = {}
        for access in accesses_of(instruction):
            if is_shared(self.frame, access):
                address = self._address(access)
                place = self._locate(address, access.width)
                self._places[id(access.instruction)] = place, address
                if self.observer is not None:
                    self.observer(access, place, address, access.guard)
                if access.kind == "write":
                    self._store(access, place, access.guard)

    def after(self, instruction: Instruction) -> None:
        """Emit what goes after an instruction: masks of what it read."""
        for access in accesses_of(instruction):
            known = self._places.get(id(access.instruction))
            if is_shared(self.frame, access) and access.reads and known is not None:
                self._read(access, known[0], known[1], access.guard)

    def elsewhere(self, access: Access, guard: Guard | None) -> None:
        """Emit what an access by a generic address adds, which was done and is not to global memory."""
        if access.space is not Space.GENERIC:
            return
        shared = self.builder.value("isspacep.shared", "pred", self.frame.address(access.address))
        following = self.builder.label()
        self.builder.branch(following, is_false(shared))
        address = self._address(access)
        place = self._locate(address, access.width)
        if self.observer is not None:
            self.observer(access, place, address, guard)
        if access.reads:
            self._read(access, place, address, guard)
        if access.kind == "write":
            self._store(access, place, guard)
        self.builder.place_label(following)

    def _address(self, access: Access) -> Register:
        """Return the address of an access to shared memory in 32 bits, as one of the shared window."""
        value = self.builder.value
        if access.space is Space.GENERIC:
            generic = self.frame.address(access.address)
            return value("cvt.u32.u64", "b32", value("cvta.to.shared.u64", "b64", generic))
        base, offset = access.address.base, access.address.offset
        if isinstance(base, Symbol):
            found = value("mov.u32", "b32", Symbol(base.name))
            offset += base.offset
        elif isinstance(base, Register):
            wide = self.masks.types.get(base.name) in ("b64", "u64", "s64")
            found = value("cvt.u32.u64" if wide else "mov.b32", "b32", base)
        else:
            found = value("mov.b32", "b32", base)
        return value("add.u32", "b32", found, offset) if offset else found

    def _holds(self, place: SharedPlace, guard: Guard | None) -> Register:
        return place.valid if guard is None else holds_too(self.frame, place.valid, guard)

    def _store(self, access: Access, place: SharedPlace, guard: Guard | None) -> None:
        """Note a store; what is not initialized in it goes along."""
        holds = self._holds(place, guard)
        self._write(access, place, access.width, holds)
        if access.instruction.opcode != "st":
            return
        found = self.masks.any_of(tuple(stored(access)))
        if found is None:
            return
        with self.builder.rarely(is_true(self.masks.bits("and", 1, found, holds))):
            data = access.instruction.operands[1]
            elements = data.elements if isinstance(data, Vector) else (data,)
            for index, element in enumerate(elements):
                if isinstance(element, Register) and element.name in self.masks.registers:
                    self._carry(access, place, access.element * index, element, holds)

    def _write(self, access: Access, place: SharedPlace, width: int, holds: Register) -> None:
        count = max(1, width // self.shadow.granule)
        for start in range(0, count, PIECE):
            part = min(count - start, PIECE)
            code = self.masks.operation("mov.b32", 32, _BYTES)
            self.builder.emit(
                f"st{_ordering(access)}.shared.b{8 * part}",
                at(place.address, start),
                code,
                guard=is_true(holds),
            )

    def _carry(
        self, access: Access, place: SharedPlace, start: int, element: Register, holds: Register
    ) -> None:
        """Emit codes for the granules of one element of which nothing is initialized."""
        masks, value, granule = self.masks, self.builder.value, self.shadow.granule
        if access.element < granule:
            return
        origin = self.definedness.origins.of(element.name)
        is_global = value("setp.eq.u32", "pred", origin.reason, int(abi.Reason.UNINITIALIZED))
        code = value("selp.b32", "b32", GLOBAL, NEVER, is_global)
        computed = self.definedness.flag(element)
        if computed is not None:
            code = masks.bits("or", 32, code, value("selp.b32", "b32", COMPUTED, 0, computed))
        parts = split(masks, element)
        for inner in range(0, access.element, granule):
            every = (1 << 8 * granule) - 1 << 8 * (inner % PIECE)
            field = masks.bits("and", 32, parts[inner // PIECE], every)
            never = masks.bits("and", 1, masks.operation("setp.eq.b32", 1, field, every), holds)
            target = at(place.address, (start + inner) // granule)
            self.builder.emit(f"st{_ordering(access)}.shared.b8", target, code, guard=is_true(never))
        keep = masks.bits("and", 1, is_global, self.watched)
        self.builder.emit("st.shared.b64", at(self.slot), origin.address, guard=is_true(keep))
        self.builder.emit("st.shared.b32", at(self.slot, 8), origin.site, guard=is_true(keep))

    def _read(self, access: Access, place: SharedPlace, address: Register, guard: Guard | None) -> None:
        """Make the masks of what was read; an atomic operation on what was never written is reported."""
        masks = self.masks
        atomic = access.kind == "atomic" and not is_exchange(access)
        holds = self._holds(place, guard)
        union: Mask = None
        seen: Mask = None
        if atomic:
            for start, width in pieces(access.width):
                mask, codes = self._mask(place, start, width, holds)
                union, seen = masks.union(32, union, mask), masks.union(32, seen, codes)
        else:
            for start, register in read_elements(access):
                if register.name not in masks.registers:
                    continue
                parts = []
                own: Mask = None
                for inner, width in pieces(access.element):
                    mask, codes = self._mask(place, start + inner, width, holds)
                    parts.append(mask)
                    own = masks.union(32, own, codes)
                computed = masks.bits("and", 32, own, _BYTES * COMPUTED) if own else None
                self.definedness.set_mask(register, fit(masks, access, register, parts), guard)
                self.definedness.set_flag(register, masks.any(32, computed), guard)
                union, seen = masks.union(32, union, *parts), masks.union(32, seen, own)
        if union is not None and seen is not None:
            found = masks.any(32, union)
            assert found is not None
            self._found(access, found, seen, address, atomic)
        if access.writes:
            self._write(access, place, access.width, holds)

    def _mask(self, place: SharedPlace, start: int, width: int, holds: Register) -> tuple[Register, Register]:
        """Return the mask of up to four bytes, and their codes, one a byte."""
        masks, granule = self.masks, self.shadow.granule
        codes = masks.operation("mov.b32", 32, _BYTES)
        count = max(1, width // granule)
        source = at(place.address, start // granule)
        self.builder.emit(f"ld.volatile.shared.b{8 * count}", codes, source, guard=is_true(holds))
        if width > count == 1:
            self.builder.emit("mul.lo.u32", codes, codes, _BYTES, guard=is_true(holds))
        elif width > count:
            self.builder.emit("prmt.b32", codes, codes, 0, 0x1100, guard=is_true(holds))
        written = masks.bits("and", 32, codes, _BYTES)
        missing = masks.bits("xor", 32, written, _BYTES)
        mask = masks.operation("mul.lo.u32", 32, missing, 0xFF)
        if width < PIECE:
            mask = masks.bits("and", 32, mask, (1 << 8 * width) - 1)
        return mask, codes

    def _found(
        self, access: Access, found: Register, codes: Register, address: Register, atomic: bool
    ) -> None:
        """Note where bits that are not initialized come from, or report them where they are used at once."""
        builder, masks = self.builder, self.masks
        variable = watched_variable(self.frame, access)
        site = load_site(self.frame, access, shared=True)
        origins = self.definedness.origins
        registers = [register for _, register in read_elements(access) if register.name in masks.registers]
        origin = None if atomic else origins.of(registers[0].name)
        with builder.rarely(is_true(found)):
            where = self._offset(variable, address)
            of_global = masks.any(32, masks.bits("and", 32, codes, _BYTES * GLOBAL))
            assert of_global is not None
            reason = builder.value(
                "selp.b32",
                "b32",
                int(abi.Reason.UNINITIALIZED),
                int(abi.Reason.SHARED_UNINITIALIZED),
                of_global,
            )
            place = builder.value("mov.b32", "b32", site)
            builder.emit("ld.shared.b64", where, at(self.slot), guard=is_true(of_global))
            builder.emit("ld.shared.b32", place, at(self.slot, 8), guard=is_true(of_global))
            if origin is None:
                reports.call_report(self.frame, place, reason, where, site)
            else:
                builder.emit("mov.b32", origin.site, place)
                builder.emit("mov.b32", origin.reason, reason)
                builder.emit("mov.b64", origin.address, where)

    def offset_of(self, access: Access, address: Register) -> Register:
        """Return the offset of an access in its variable, or in the shared window, in 64 bits."""
        return self._offset(watched_variable(self.frame, access), address)

    def _offset(self, variable: Variable | None, address: Register) -> Register:
        """Return the offset of an address in its variable, or in the shared window."""
        value = self.builder.value
        if variable is not None:
            start = value("mov.u32", "b32", Symbol(variable.name))
            address = value("sub.u32", "b32", address, start)
        return value("cvt.u64.u32", "b64", address)


def _ordering(access: Access) -> str:
    """Return what makes a store as visible as the program's own."""
    return ".volatile" if "volatile" in access.instruction.modifiers else ""
