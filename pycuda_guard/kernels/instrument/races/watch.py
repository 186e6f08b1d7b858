"""Races in the making of a kernel's variant: who a thread is, what orders it, and its accesses to cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.accesses import accesses_of
from pycuda_guard.kernels.instrument.body import needs_check
from pycuda_guard.kernels.instrument.builder import at, is_true
from pycuda_guard.kernels.instrument.model import Site
from pycuda_guard.kernels.instrument.races import identity as fields
from pycuda_guard.kernels.instrument.races.cells import (
    ACQUIRED,
    CELLS,
    ENTER,
    FRAME_BYTES,
    FRAME_FIELDS,
    ORDER_BYTES,
    RELEASES,
    SHARED,
    SHIFT_BITS,
    WRITES,
)
from pycuda_guard.kernels.instrument.races.divergence import Barriers
from pycuda_guard.kernels.instrument.races.model import (
    ORDER,
    ORDER_FIELDS,
    ROOT_CELLS,
    ROOT_CELLS_FIELDS,
    SLOTS_BYTES,
)
from pycuda_guard.kernels.instrument.races.ordering import (
    is_acquire,
    is_block_barrier,
    is_release,
    is_warp_barrier,
    strength_of,
    without_alignment,
)
from pycuda_guard.kernels.instrument.races.stalls import AREA_BYTES
from pycuda_guard.kernels.instrument.races.watchdog import Watchdog
from pycuda_guard.kernels.instrument.shared_shadow import dynamic_start
from pycuda_guard.kernels.instrument.variables import watched_variable
from pycuda_guard.kernels.instrument.zeros import holds_too
from pycuda_guard.kernels.ptx.ir import Instruction, Register, Space, Symbol

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.coverage import Place
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.instrument.races.exclusion import Prospects
    from pycuda_guard.kernels.instrument.shared_shadow import SharedMemory, SharedPlace
    from pycuda_guard.kernels.ptx.ir import Guard

#: what ``pg_enter`` needs of the launch, in local memory
_FRAME = "pg_racing"


class Races:
    """What is added to a kernel, instruction by instruction. ``shared`` watches its shared memory.

    ``prospects`` say what need not be watched. ``has_lanes``: lanes of one warp go their own ways on all
    devices that the module is for. ``watchdog``: it looks after waits that may not end.
    """

    def __init__(
        self,
        frame: Frame,
        shared: SharedMemory | None,
        roots: int,
        prospects: Prospects,
        *,
        has_lanes: bool,
        watchdog: bool,
    ) -> None:
        self.frame = frame
        self.builder = frame.builder
        self.shared = shared
        self._harmless = prospects.harmless
        #: shared memory of the watchdog
        self.watchdog_bytes = AREA_BYTES if watchdog else 0
        self._parts_lanes = has_lanes and (watchdog or not prospects.waits_together)
        self.sites: list[int] = []
        #: numbers among the race sites, by the identity of the instruction
        self.numbers: dict[int, int] = {}
        self._start = abi.HEADER.size + roots * abi.RANGE.size
        self._roots: dict[int, tuple[Register, Register]] = {}
        self._orders = any(isinstance(entry, Instruction) and is_release(entry) for entry in frame.flat.body)
        self._written = _written_variables(frame)
        #: whether some accesses find their cells by the table
        self.looks_up = False
        with self.builder.in_prologue():
            self._identify()
            self._fill_frame()
            slots = self._find_room()
            self.watchdog = self._make_watchdog(slots) if watchdog else None
        self.barriers = Barriers(frame, slots, self._room, self, certain=prospects.waits_together)

    @property
    def writes_variables(self) -> bool:
        """Whether variables of the module are written."""
        return bool(self._written)

    @property
    def has_fences(self) -> bool:
        """Whether what orders blocks is kept account of."""
        return self._orders

    # --- the prologue -----------------------------------------------------------------------------

    def _identify(self) -> None:
        """Compute the identity of the thread, and where its block's account is."""
        value = self.builder.value
        thread, threads = self._linear("tid", "ntid")
        block, _ = self._linear("ctaid", "nctaid")
        self.thread, self.threads = thread, threads
        wide = value("cvt.u64.u32", "b64", block)
        upper = value("shl.b64", "b64", wide, fields.BLOCK.shift)
        lower = value("cvt.u64.u32", "b64", thread)
        self.identity = value("or.b64", "b64", upper, lower)
        self.builder.emit("or.b64", self.identity, self.identity, fields.BLOCK_EPOCH.put(1))
        if self._orders:
            order = self.builder.register("b64")
            self.builder.emit("ld.param.b64", order, at(Symbol(abi.LAUNCH_PARAMETER), self._start))
            self.account = value("mad.lo.u64", "b64", wide, ORDER_BYTES, order)

    def _fill_frame(self) -> None:
        """Put in local memory what entering an access takes, whichever it is."""
        self.builder.need_local(_FRAME, FRAME_BYTES)
        copied = [(8 * index, 8 * index) for index in range(abi.HEADER.size // 8)]
        copied += [(self._start + offset, FRAME_FIELDS[name]) for name, offset in ORDER_FIELDS.items()]
        for source, target in copied:
            word = self.builder.register("b64")
            self.builder.emit("ld.param.b64", word, at(Symbol(abi.LAUNCH_PARAMETER), source))
            self.builder.emit("st.local.b64", at(Symbol(_FRAME), target), word)

    def _linear(self, index: str, extent: str) -> tuple[Register, Register]:
        """Return the linear index, x fastest, and the product of the extents."""
        value = self.builder.value
        indices = [value("mov.u32", "b32", Register(f"%{index}.{axis}", special=True)) for axis in "xyz"]
        extents = [value("mov.u32", "b32", Register(f"%{extent}.{axis}", special=True)) for axis in "xyz"]
        linear = value("mad.lo.u32", "b32", indices[2], extents[1], indices[1])
        linear = value("mad.lo.u32", "b32", linear, extents[0], indices[0])
        product = value("mul.lo.u32", "b32", extents[0], extents[1])
        return linear, value("mul.lo.u32", "b32", product, extents[2])

    def _find_room(self) -> Register:
        """Find room in shared memory for the barriers' slots and the cells, and clear it."""
        value = self.builder.value
        base = dynamic_start(self.frame)
        if self.shared is None:
            start = value("add.u32", "b32", base, self.frame.header("dynamic"))
        else:
            start = value("add.u32", "b32", self.shared.slot, 16)
        start = value("and.b32", "b32", value("add.u32", "b32", start, 15), -16 & 0xFFFFFFFF)
        given = value("mov.u32", "b32", Register("%dynamic_smem_size", special=True))
        end = value("add.u32", "b32", base, given)
        self.cells = value("add.u32", "b32", start, SLOTS_BYTES + self.watchdog_bytes)
        self._room = value("setp.le.u32", "pred", self.cells, end)
        if self.shared is not None:
            count = value("sub.u32", "b32", self.shared.slot, self.shared.start)
            last = value("mad.lo.u32", "b32", count, CELLS, self.cells)
            fits = value("setp.le.u32", "pred", last, end)
            self._watched = value("and.pred", "pred", fits, self.shared.watched)
            self._clear(self.cells, last, self._watched)
        return start

    def _make_watchdog(self, slots: Register) -> Watchdog:
        area = self.builder.value("add.u32", "b32", slots, SLOTS_BYTES)
        self._clear(area, self.cells, self._room)
        return Watchdog(self.frame, area, self._room, self.thread, self.threads, self)

    def _clear(self, start: Register, end: Register, predicate: Register) -> None:
        """Emit a loop of all threads of the block over shared memory, where a predicate holds."""
        value = self.builder.value
        place = value("mad.lo.u32", "b32", self.thread, 8, start)
        step = value("shl.b32", "b32", self.threads, 3)
        stop = value("selp.b32", "b32", end, 0, predicate)
        again, done = self.builder.label(), self.builder.label()
        self.builder.place_label(again)
        self.builder.branch(done, is_true(value("setp.ge.u32", "pred", place, stop)))
        self.builder.emit("st.shared.b64", at(place), value("mov.b64", "b64", 0))
        self.builder.emit("add.u32", place, place, step)
        self.builder.branch(again)
        self.builder.place_label(done)

    def number(self, instruction: Instruction, kind: str, width: int = 0, root: int | None = None) -> int:
        """Return the number among the kernel's race sites of what an instruction does."""
        accesses = accesses_of(instruction)
        space = accesses[0].space.value if accesses else ""
        variable = watched_variable(self.frame, accesses[0]) if accesses else None
        name, size = "", 0
        if variable is not None and variable.space is Space.SHARED:
            name, size = variable.name, variable.size
        site = Site(self.frame.name, kind, width, space, instruction.source, root, name, size)
        number = self.frame.sites.number(instruction, site)
        if number not in self.sites:
            self.sites.append(number)
        found = min(self.sites.index(number), fields.SITE.largest)
        self.numbers[id(instruction)] = found
        return found

    # --- what orders accesses ---------------------------------------------------------------------

    def in_its_place(self, instruction: Instruction) -> Instruction:
        """Return what is done instead of an instruction of the program."""
        if self._parts_lanes and is_block_barrier(instruction):
            return without_alignment(instruction)
        return instruction

    def before(self, instruction: Instruction) -> None:
        """Emit what goes before an instruction."""
        self.barriers.before(instruction)
        if is_warp_barrier(instruction):
            self.barriers.check_mask(instruction)
        if self._orders and is_release(instruction):
            guard = instruction.guard
            self.builder.emit("red.global.add.u32", at(self.account, RELEASES), 1, guard=guard)

    def after(self, instruction: Instruction) -> None:
        """Emit what goes after an instruction: time goes on at a barrier."""
        if is_block_barrier(instruction):
            self._count(fields.BLOCK_EPOCH, instruction.guard)
            everything = (1 << 64) - 1
            mask = everything ^ fields.WARP_EPOCH.mask
            self.builder.emit("and.b64", self.identity, self.identity, mask, guard=instruction.guard)
            self.barriers.after(instruction)
        elif is_warp_barrier(instruction):
            self._count(fields.WARP_EPOCH, instruction.guard)
            return
        for access in accesses_of(instruction):
            variable = watched_variable(self.frame, access)
            if variable is not None and variable.name in self._written:
                self._enter_by_address(access, self.frame.address(access.address), access.guard)
        if self._orders:
            for access in accesses_of(instruction):
                if access.space in (Space.GLOBAL, Space.GENERIC) and is_acquire(access):
                    one = self.builder.value("mov.b32", "b32", 1)
                    target = at(self.account, ACQUIRED)
                    self.builder.emit("st.volatile.global.b32", target, one, guard=access.guard)

    def _count(self, field: fields.Field, guard: Guard | None) -> None:
        """Emit the end of an epoch; the largest stays."""
        value = self.builder.value
        current = value("and.b64", "b64", self.identity, field.mask)
        more = value("setp.ne.u64", "pred", current, field.mask)
        if guard is not None:
            more = holds_too(self.frame, more, guard)
        self.builder.emit("add.u64", self.identity, self.identity, field.put(1), guard=is_true(more))

    # --- accesses ---------------------------------------------------------------------------------

    def __call__(self, frame: Frame, access: Access, place: Place | None, guard: Guard | None) -> None:
        """Emit what an access to global memory adds, which was done."""
        if place is None:
            return
        root = frame.root_of(access)
        if root is None:
            address = self.builder.value("add.u64", "b64", place.base, place.offset)
            self._enter_by_address(access, address, guard)
            return
        if place.base != frame.range_of(root[0]).base:
            return
        cells, shift = self._cells_of(root[0])
        watched = self.builder.value("setp.ne.u64", "pred", cells, 0)
        if guard is not None:
            watched = holds_too(frame, watched, guard)
        with self.builder.rarely(is_true(watched)):
            value = self.builder.value
            index = value("shr.u64", "b64", place.offset, shift)
            first = value("mad.lo.u64", "b64", index, CELLS, cells)
            what = value("mad.lo.u32", "b32", shift, 1 << SHIFT_BITS, access.width)
            address = value("add.u64", "b64", place.base, place.offset)
            self._enter(access, first, address, what, strength_of(access, in_shared=False), root[0])

    def _enter_by_address(self, access: Access, address: Register, guard: Guard | None) -> None:
        """Emit the entry of an access whose cells the table tells, if it has any."""
        self.looks_up = True
        value = self.builder.value
        is_there = self.builder.register("b32")
        self.builder.emit("ld.local.b32", is_there, at(Symbol(_FRAME), FRAME_FIELDS["rows_count"]))
        watched = value("setp.ne.u32", "pred", is_there, 0)
        if guard is not None:
            watched = holds_too(self.frame, watched, guard)
        with self.builder.rarely(is_true(watched)):
            self._enter(access, 0, address, access.width, strength_of(access, in_shared=False), None)

    def in_shared(self, access: Access, place: SharedPlace, address: Register, guard: Guard | None) -> None:
        """Emit what an access to shared memory adds, whose codes are at ``place``."""
        if self.shared is None or id(access.instruction) in self._harmless:
            return
        watched = self.builder.value("and.pred", "pred", place.valid, self._watched)
        if guard is not None:
            watched = holds_too(self.frame, watched, guard)
        with self.builder.rarely(is_true(watched)):
            value = self.builder.value
            index = value("sub.u32", "b32", place.address, self.shared.start)
            where = value("mad.lo.u32", "b32", index, CELLS, self.cells)
            first = value("cvta.shared.u64", "b64", value("cvt.u64.u32", "b64", where))
            shift = self.shared.shadow.granule.bit_length() - 1
            what = access.width | shift << SHIFT_BITS | SHARED
            offset = self.shared.offset_of(access, address)
            self._enter(access, first, offset, what, strength_of(access, in_shared=True), None)

    def _enter(
        self,
        access: Access,
        first: Register | int,
        address: Register,
        what: Register | int,
        strength: fields.Strength,
        root: int | None,
    ) -> None:
        """Emit the entry in cells from ``first`` on (0: the table tells); ``what`` is as in cells.py."""
        value = self.builder.value
        self.builder.mark(access.instruction.source)
        number = self.number(access.instruction, access.kind, access.width, root)
        me = value("or.b64", "b64", self.identity, fields.SITE.put(number) | fields.STRENGTH.put(strength))
        if access.writes:
            what = what | WRITES if isinstance(what, int) else value("or.b32", "b32", what, WRITES)
        frame = value("mov.u64", "b64", Symbol(_FRAME))
        site = self.sites[number]
        self.builder.call(ENTER, [(8, first), (8, me), (8, address), (4, what), (4, site), (8, frame)])

    def _cells_of(self, root: int) -> tuple[Register, Register]:
        """Return the registers with the address of a root's cells and their shift."""
        known = self._roots.get(root)
        if known is None:
            start = self._start + ORDER.size + root * ROOT_CELLS.size
            with self.builder.in_prologue():
                known = self.builder.register("b64"), self.builder.register("b32")
                for target, name in zip(known, ROOT_CELLS_FIELDS, strict=True):
                    kind = "b64" if name == "cells" else "b32"
                    address = at(Symbol(abi.LAUNCH_PARAMETER), start + ROOT_CELLS_FIELDS[name])
                    self.builder.emit(f"ld.param.{kind}", target, address)
            self._roots[root] = known
        return known


def _written_variables(frame: Frame) -> frozenset[str]:
    """Return the names of the module's variables in global memory, if any is written, or may be."""
    accesses = [
        (access, watched_variable(frame, access))
        for entry in frame.flat.body
        if isinstance(entry, Instruction)
        for access in accesses_of(entry)
    ]
    used = {variable.name for _, variable in accesses if variable and variable.space is Space.GLOBAL}
    may_write = any(
        access.writes and (variable.name in used if variable else _is_unknown(frame, access))
        for access, variable in accesses
    )
    return frozenset(used) if may_write else frozenset()


def _is_unknown(frame: Frame, access: Access) -> bool:
    return needs_check(frame, access) and frame.root_of(access) is None
