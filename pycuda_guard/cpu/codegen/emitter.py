"""The Emitter: what the lowering of one instruction may use.

An Emitter belongs to one LLVM function. It reads and writes PTX operands as typed LLVM values, translates
device addresses to host memory, and reads the block's context and the special registers. Lowerings of
instructions (:mod:`pycuda_guard.cpu.codegen.instructions`) know nothing else of the generated function; what
they share beyond one of them is built of it (:mod:`~pycuda_guard.cpu.codegen.exchange`,
:mod:`~pycuda_guard.cpu.codegen.spaces`).

Addresses. The memory behind a valid device address ``a`` is at ``a | WINDOW`` (see
:mod:`pycuda_guard.cpu.abi`); every other address is sent to one that faults. In the ``.shared`` space an
address is an offset in the block's shared window; in ``.local``, ``.global``, ``.const`` and as a generic
address it is a device address; in ``.param`` it is a host address.

Alignment. As on a GPU, an address must be a multiple of the access's size, of a vector's whole size; one
that is not is sent to where the fault says so. Of local variables that is not asked: a misaligned one is read
as x86 reads it. So loads and stores state the alignment of scalars only, with which x86-64 code cannot fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from llvmlite import ir

from pycuda_guard.cpu import abi
from pycuda_guard.cpu.codegen import fields, special
from pycuda_guard.cpu.codegen.errors import Unsupported
from pycuda_guard.cpu.codegen.instructions import nans
from pycuda_guard.cpu.codegen.registers import Registers
from pycuda_guard.cpu.codegen.types import (
    I1,
    I8,
    I32,
    I64,
    POINTER,
    constant,
    is_signed,
    scalar_width,
    value_type,
    width,
)
from pycuda_guard.kernels.ptx.ir import Address, Immediate, Negated, Register, Sink, Space, Symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pycuda_guard.cpu.codegen.context import FunctionContext
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand


class Emitter:
    """Emits into one LLVM function; made anew for each.

    ``builder`` stands where the next LLVM instruction goes; a lowering may open basic blocks and must leave
    the builder in an unterminated one. ``instruction`` is the PTX instruction being lowered.
    """

    def __init__(
        self,
        context: FunctionContext,
        function: ir.Function,
        thread: special.Thread,
        known: Mapping[fields.Key, ir.Value] | None = None,
    ) -> None:
        self.context: FunctionContext = context
        self.module: ir.Module = function.module
        self.function: ir.Function = function
        self.thread: special.Thread = thread
        self.instruction: Instruction | None = None
        self.builder: ir.IRBuilder = ir.IRBuilder(function.append_basic_block("body"))
        self._entry = ir.IRBuilder(function.insert_basic_block(0, "entry"))
        self.registers = Registers(context.flat.registers, self._entry, self.builder)
        self._carry: ir.AllocaInstr | None = None
        self._cached: dict[tuple[str | int, ...], ir.Value] = {}
        self._cached.update(known or {})
        self._parameter_places: dict[int, int] = {}

    # --- operands ---------------------------------------------------------------------------------

    def read(self, operand: Operand, ptx_type: str) -> ir.Value:
        """Return an operand's value as ``value_type(ptx_type)``.

        Takes Register (special ones too), Negated, Immediate and Symbol (its address, as ``mov`` sees it).
        A wider register is truncated, a narrower one extended with zeros.
        """
        if isinstance(operand, Negated):
            return self.builder.not_(self.read(operand.operand, "pred"))
        if isinstance(operand, Immediate):
            return self._immediate(operand, ptx_type)
        if isinstance(operand, Symbol):
            return self._from_bits(self.symbol_address(operand.name, operand.offset)[1], ptx_type)
        if not isinstance(operand, Register):
            self.unsupported(f"operand of kind {type(operand).__name__.lower()} as a value")
        if operand.part or operand.negative:
            self.unsupported("part of a register, or a negated one")
        if operand.special:
            return self._from_bits(self.special(operand.name), ptx_type)
        value = self.registers.as_type(operand.name, ptx_type)
        if value is None:
            bits = self._register(operand.name)
            if ptx_type != "f32" and operand.name in self.context.unsettled:
                bits = nans.settled(self.builder, bits)
            value = self._from_bits(bits, ptx_type)
            self.registers.remember(operand.name, ptx_type, value)
        return value

    def write(self, operand: Operand, value: ir.Value, ptx_type: str) -> None:
        """Write a value of ``value_type(ptx_type)`` to a Register; a Sink takes it and forgets it.

        A register wider than the type gets the value extended, by the sign for signed types.
        """
        if isinstance(operand, Sink):
            return
        if not isinstance(operand, Register) or operand.special or operand.part:
            self.unsupported("destination that is no register")
        name = operand.name
        if name not in self.context.flat.registers:
            self.unsupported(f"register {name} is not declared")
        bits = self.bits(value)
        target = self.registers.kind(name)
        if bits.type.width < target.width:
            extend = self.builder.sext if is_signed(ptx_type) else self.builder.zext
            bits = extend(bits, target)
        elif bits.type.width > target.width:
            bits = self.builder.trunc(bits, target)
        self.registers.set(name, bits)

    def _register(self, name: str) -> ir.Value:
        if name not in self.context.flat.registers:
            self.unsupported(f"register {name} is not declared")
        return self.registers.bits(name)

    def scratch(self, name: str, kind: ir.Type) -> ir.Value:
        """Return a pointer to stack memory of this function, 16-byte aligned; one for each name."""

        def make(entry: ir.IRBuilder) -> ir.Value:
            slot = entry.alloca(kind)
            slot.align = 16
            slot.type = POINTER  # of llvmlite's typed pointers nothing may be stored but their own type
            return slot

        return self._once(("scratch", name), make)

    @property
    def carry(self) -> ir.AllocaInstr:
        """The alloca (``i1``) of the condition-code register CC.CF that ``add.cc`` and the like use."""
        if self._carry is None:
            self._carry = self._entry.alloca(I1, name="carry")
        return self._carry

    def bits(self, value: ir.Value) -> ir.Value:
        """Return any first-class value as the integer with its bits."""
        kind = value.type
        if isinstance(kind, ir.IntType):
            return value
        if isinstance(kind, ir.PointerType):
            return self.builder.ptrtoint(value, I64)
        if isinstance(kind, ir.VectorType):
            return self.builder.bitcast(value, ir.IntType(kind.count * scalar_width(kind.element)))
        return self.builder.bitcast(value, ir.IntType(scalar_width(kind)))

    def _immediate(self, operand: Immediate, ptx_type: str) -> ir.Value:
        bits = operand.value
        kind = operand.kind
        if kind == "int":
            if ptx_type in ("f32", "f64", "f16"):
                return ir.Constant(value_type(ptx_type), float(bits))
        elif ptx_type in ("f32", "f64") and kind != ptx_type:
            return ir.Constant(value_type(ptx_type), special.float_of_bits(kind, bits))
        return constant(ptx_type, bits)

    def _from_bits(self, bits: ir.Value, ptx_type: str) -> ir.Value:
        wanted = width(ptx_type)
        if bits.type.width > wanted:
            bits = self.builder.trunc(bits, ir.IntType(wanted))
        elif bits.type.width < wanted:
            bits = self.builder.zext(bits, ir.IntType(wanted))
        kind = value_type(ptx_type)
        return bits if isinstance(kind, ir.IntType) else self.builder.bitcast(bits, kind)

    # --- memory -----------------------------------------------------------------------------------

    def pointer(self, operand: Operand, space: Space, nbytes: int) -> ir.Value:
        """Return a host pointer for an address operand, valid for an access of ``nbytes`` bytes.

        Generic, global, const and local addresses are checked: outside the device's region the pointer
        faults when it is used. So it does, local ones excepted, where the address is no multiple of
        ``nbytes``, a power of two.
        """
        if not isinstance(operand, Address):
            self.unsupported("operand that is no address")
        return self.context.addresses.pointer(self, operand, space, nbytes)

    def translate(self, address: ir.Value, alignment: int = 1) -> ir.Value:
        """Return the host pointer behind a device address (``i64``), or one that faults."""
        return self.offset_pointer(self.translation(address, address, 0, alignment), address)

    def translation(self, root: ir.Value, address: ir.Value, offset: int, alignment: int) -> ir.Value:
        """Return what to add to an address near ``root`` (both ``i64``) to reach its memory.

        That is ``WINDOW`` if the root is a valid device address, else a distance that leads to POISON. So
        one check serves every address at a bounded offset from the root. Where ``address + offset`` is no
        multiple of ``alignment``, a power of two, it leads to :attr:`misaligned_address`.
        """
        builder = self.builder
        aligned = self.is_aligned(address, offset, alignment)
        mask = abi.REGION_MASK
        if root is address and offset % alignment == 0:
            mask |= alignment - 1
        right = builder.icmp_unsigned("==", builder.and_(root, ir.Constant(I64, mask)), self.region_base)
        wrong: ir.Value = ir.Constant(I64, abi.POISON)
        if aligned is not None:
            wrong = builder.select(aligned, wrong, self.misaligned_address)
            if mask == abi.REGION_MASK:
                right = builder.and_(right, aligned)
        return builder.select(right, ir.Constant(I64, abi.WINDOW), builder.sub(wrong, root))

    def is_aligned(self, address: ir.Value, offset: int, alignment: int) -> ir.Value | None:
        """Return whether (``i1``) an address and an offset make a multiple of a power of two; None if all do.

        LLVM finds what the answer depends on, mostly a pointer that is the same for all threads: the test is
        then done once, and loops over elements are vectorized as without it.
        """
        if alignment == 1:
            return None
        builder = self.builder
        place = builder.add(address, address.type(offset)) if offset % alignment else address
        rest = builder.and_(place, address.type(alignment - 1))
        return builder.icmp_unsigned("==", rest, address.type(0))

    def offset_pointer(self, base: ir.Value, offset: ir.Value) -> ir.Value:
        """Return ``base + offset`` as a pointer; base is an ``i64`` or a pointer, offset an ``i64``."""
        if isinstance(base.type, ir.IntType):
            base = self.builder.inttoptr(base, POINTER)
        return self.builder.gep(base, [offset], source_etype=I8)

    def load(
        self,
        pointer: ir.Value,
        kind: ir.Type,
        space: Space,
        *,
        volatile: bool = False,
        invariant: bool = False,
    ) -> ir.Value:
        """Load a scalar ``kind`` from a host pointer into ``space``.

        ``invariant``: nobody writes it while the kernel runs. ``volatile``: done as written, and once (a
        relaxed atomic access, as ``.volatile`` and ``.relaxed`` ask for).
        """
        offset = self._parameter_places.get(id(pointer))
        if offset is not None and ("parameter", offset, scalar_width(kind)) in self._cached:
            return self._cached["parameter", offset, scalar_width(kind)]
        alignment = self._alignment(kind, space)
        if volatile:
            load = self.builder.load_atomic(pointer, "monotonic", alignment, typ=kind)
        else:
            load = self.builder.load(pointer, typ=kind, align=alignment)
        self.context.metadata.memory(load, space, volatile=volatile, invariant=invariant)
        return load

    def store(self, value: ir.Value, pointer: ir.Value, space: Space, *, volatile: bool = False) -> None:
        """Store a scalar through a host pointer into ``space``."""
        alignment = self._alignment(value.type, space)
        if volatile:
            # IRBuilder.store_atomic knows typed pointers only
            store = ir.StoreAtomicInstr(self.builder.block, value, pointer, "monotonic", alignment)
            self.builder._insert(store)
        else:
            store = self.builder.store(value, pointer, align=alignment)
        self.context.metadata.memory(store, space, volatile=volatile, invariant=False)

    def symbol_address(self, name: str, offset: int = 0) -> tuple[Space, ir.Value]:
        """Return the space of a variable, parameter or function, and its address in it (``i64``).

        A function's address is that of its code, in space GLOBAL.
        """
        return self.context.addresses.symbol(self, name, offset)

    def _alignment(self, kind: ir.Type, space: Space) -> int:
        if space is Space.PARAM:
            return 1
        return max(1, scalar_width(kind) // 8)

    # --- the block and its threads ------------------------------------------------------------------

    def block_field(self, name: str, index: int = 0) -> ir.Value:
        """Return a field of ``struct pg_block`` (``i64`` or ``i32``); constant while the block runs."""
        if name == "block_index":
            return self.thread.block_index[index]
        if name == "block":
            return self.thread.block_dimensions[index]
        return self._once(
            ("field", name, index),
            lambda entry: fields.read_field(entry, self.context.metadata, self.block, name, index),
        )

    def block_pointer(self, name: str) -> ir.Value:
        """Return a field that holds a host address as a pointer."""
        return self._once(
            ("pointer", name, 0),
            lambda entry: fields.read_pointer(entry, self.context.metadata, self.block, name),
        )

    def parameter(self, offset: int) -> ir.Value:
        """Return the host pointer to a byte of the kernel's parameters."""
        place = self.offset_pointer(self.block_pointer("parameters"), ir.Constant(I64, offset))
        self._parameter_places[id(place)] = offset
        return place

    def _once(self, key: tuple[str | int, ...], make: Callable[[ir.IRBuilder], ir.Value]) -> ir.Value:
        """Return a value made once, in the function's entry block."""
        value = self._cached.get(key)
        if value is None:
            value = self._cached[key] = make(self._entry)
        return value

    @property
    def block(self) -> ir.Value:
        """Pointer to ``struct pg_block``, the first argument of most runtime functions."""
        return self.thread.block

    @property
    def region_base(self) -> ir.Value:
        """Base of the address region (``i64``)."""
        shared = self.block_field("shared")
        mask = ir.Constant(I64, ~(abi.REGION - 1) & 0xFFFF_FFFF_FFFF_FFFF)
        return self._once(("base",), lambda entry: entry.and_(shared, mask))

    @property
    def misaligned_address(self) -> ir.Value:
        """Host address (``i64``) where misaligned accesses are sent, to fault in a way of their own."""
        base = self.region_base
        return self._once(("misaligned",), lambda entry: entry.add(base, ir.Constant(I64, abi.MISALIGNED)))

    @property
    def shared_memory(self) -> ir.Value:
        """Host pointer to the block's shared window."""
        shared = self.block_field("shared")
        window = ir.Constant(I64, abi.WINDOW)
        return self._once(
            ("shared memory",), lambda entry: entry.inttoptr(entry.or_(shared, window), POINTER)
        )

    @property
    def local_address(self) -> ir.Value:
        """Device address (``i64``) of the running function's local variables."""
        return self.thread.local

    @property
    def thread_linear(self) -> ir.Value:
        """Linear index of the thread in its block (``i32``)."""
        return self.thread.linear

    @property
    def threads(self) -> ir.Value:
        """Number of threads of the block (``i32``)."""
        return self.block_field("threads")

    @property
    def lane(self) -> ir.Value:
        """Index of the thread in its warp (``i32``)."""
        return self._once(("lane",), lambda entry: entry.and_(self.thread_linear, ir.Constant(I32, 31)))

    def frame_start(self, slot: int) -> ir.Value:
        """Return how far a slot of the block's frame is from the first, in bytes (``i64``)."""
        threads = self.threads
        pitch = self._once(("frame pitch",), lambda entry: entry.zext(threads, I64))
        return self._once(("frame start", slot), lambda entry: entry.mul(pitch, ir.Constant(I64, 8 * slot)))

    def frame_place(self, nbytes: int) -> ir.Value:
        """Return the host pointer to the thread's element in the frame's first slot; elements have a size."""
        frame, linear = self.block_pointer("frame"), self.thread_linear

        def make(entry: ir.IRBuilder) -> ir.Value:
            index = entry.mul(entry.zext(linear, I64), ir.Constant(I64, nbytes))
            return entry.gep(frame, [index], source_etype=I8)

        return self._once(("frame place", nbytes), make)

    def special(self, name: str) -> ir.Value:
        """Return a special register (``%tid.x``, ``%laneid``, ``WARP_SZ`` …) as ``iN`` of its width."""
        return special.read(self, name)

    # --- functions ----------------------------------------------------------------------------------

    def declare(self, name: str, return_type: ir.Type, argument_types: Sequence[ir.Type]) -> ir.Function:
        """Declare a function and return it.

        That is an LLVM intrinsic by its full name (``llvm.fma.f32``), or one of the C runtime or of libm,
        which does not unwind.
        """
        found = self.module.globals.get(name)
        if isinstance(found, ir.Function):
            return found
        function = ir.Function(self.module, ir.FunctionType(return_type, list(argument_types)), name)
        if not name.startswith("llvm."):
            function.attributes.add("nounwind")
        return function

    def call(self, function: ir.Function, arguments: Sequence[ir.Value]) -> ir.Value:
        """Call a declared function."""
        return self.builder.call(function, list(arguments))

    def unsupported(self, reason: str) -> NoReturn:
        """Raise Unsupported for the instruction being lowered."""
        raise Unsupported(reason, self.instruction)

    def finish(self) -> None:
        """Close the entry block; nothing can be emitted afterwards."""
        self.registers.finish()
        self._entry.branch(self.function.basic_blocks[1])
