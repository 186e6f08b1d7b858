"""Matrices that a warp holds together: ``wmma``, ``mma``, ``ldmatrix``, ``stmatrix``, ``movmatrix``.

Before the suspension point each lane lends its part of A and B; after it each computes its own part of D. A
second suspension point, which the control-flow graph adds, keeps lanes from lending anew while others
still read. Products are exact, and their sum with C is rounded once (f64: each time): at least as precise as
the manual asks for, which leaves order and rounding open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.abi import Suspension
from pycuda_guard.cpu.codegen.instructions.addresses import take_space
from pycuda_guard.cpu.codegen.instructions.floating import canonical
from pycuda_guard.cpu.codegen.instructions.fragments import COLUMNS, Fragment, Shape, accumulator, factor
from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, resumes, suspends
from pycuda_guard.cpu.codegen.instructions.rounding import exactly, float_of_16, round_pair, widen
from pycuda_guard.cpu.codegen.instructions.values import clamp, extend, integer, intrinsic, minimum
from pycuda_guard.cpu.codegen.special import THREAD_TYPES, thread_of
from pycuda_guard.cpu.codegen.types import DOUBLE, FLOAT, I16, I32, I64, POINTER, VOID, is_signed, width
from pycuda_guard.kernels.ptx.ir import Address, Space, Symbol, Vector

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand

_EVERYBODY = -1
#: registers of the largest fragment, and two more
_MOST_WORDS = 18
_FACTORS = frozenset({"f16", "bf16", "tf32", "s8", "u8", "f64"})
_SUMS = {"f16": ("f16", "f32"), "bf16": ("f32",), "tf32": ("f32",), "f64": ("f64",)}


def _elements(e: Emitter, operand: Operand) -> tuple[Operand, ...]:
    return operand.elements if isinstance(operand, Vector) else (operand,)


def _flags(m: Modifiers) -> None:
    m.flag("aligned", "sync")


def _stop(e: Emitter) -> Suspension:
    e.set_members(integer(32, _EVERYBODY))
    return Suspension.WARP


def _lane_of(e: Emitter, index: ir.Value) -> ir.Value:
    """Return the linear index of the thread that is lane ``index`` (``i32``) of this warp."""
    b = e.builder
    thread = b.add(b.and_(e.thread_linear, integer(32, ~31)), index)
    return minimum(e, thread, b.sub(e.threads, integer(32, 1)))


def _group(e: Emitter) -> ir.Value:
    return e.builder.lshr(e.lane, integer(32, 2))


def _place_in_group(e: Emitter) -> ir.Value:
    return e.builder.and_(e.lane, integer(32, 3))


def _outlined(
    e: Emitter,
    i: Instruction,
    given: list[ir.Value],
    body: Callable[[Emitter, list[ir.Value]], list[ir.Value]],
    results: int,
) -> list[ir.Value]:
    """Do what ``body`` emits in a function of the kernel, made once for all instructions spelled alike.

    Unrolled at every instruction, it would take LLVM seconds each. Integers are passed as ``i64``.
    """

    def word(emitter: Emitter, words: ir.Value, place: int) -> ir.Value:
        return emitter.offset_pointer(words, integer(64, 8 * place))

    words = e.scratch("matrix", ir.ArrayType(I64, _MOST_WORDS))
    for place, value in enumerate(given):
        e.builder.store(extend(e, value, 64, False), word(e, words, place), align=8)
    name = ".".join((e.context.flat.name, i.opcode, *i.modifiers))
    function = e.module.globals.get(name)
    if function is None:
        function = ir.Function(e.module, ir.FunctionType(VOID, [*THREAD_TYPES, POINTER]), name)
        function.linkage = "internal"
        for attribute in ("noinline", "nounwind", "null_pointer_is_valid"):
            set.add(function.attributes, attribute)
        arguments = list(function.args)
        inner = type(e)(e.context, function, thread_of(arguments))
        inner.instruction = i
        taken = [
            inner.builder.load(word(inner, arguments[-1], place), typ=I64, align=8)
            for place in range(len(given))
        ]
        for place, value in enumerate(body(inner, taken)):
            inner.builder.store(extend(inner, value, 64, False), word(inner, arguments[-1], place), align=8)
        inner.builder.ret_void()
        inner.finish()
    e.builder.call(function, [*e.thread.arguments(), words])
    return [e.builder.load(word(e, words, place), typ=I64, align=8) for place in range(results)]


# --- memory -------------------------------------------------------------------------------------


def _address(e: Emitter, operand: Operand, space: Space) -> ir.Value:
    """Return the generic address (``i64``) that an address operand stands for."""
    if not isinstance(operand, Address):
        e.unsupported("operand that is no address")
    if isinstance(operand.base, Symbol):
        space, address = e.symbol_address(operand.base.name, operand.base.offset)
    else:
        address = e.read(operand.base, "u64")
    address = e.builder.add(address, integer(64, operand.offset))
    return e.to_generic(address, space) if space is Space.SHARED else address


class _InMemory:
    """A matrix in memory, of which a lane loads or stores its part.

    The manual asks for more, but a GPU goes on as long as its own accesses are aligned: of what a lane has
    side by side, else of words of 32 bits, or of bytes where those of a word lie apart (as ptxas 13.0 does).
    """

    def __init__(self, e: Emitter, i: Instruction, m: Modifiers) -> None:
        matrix = m.one_of("a", "b", "c", "d")
        by_rows = m.one_of("row", "col") == "row"
        shape = _take_shape(e, i, m)
        self.space = take_space(m)
        self.bits = width(m.type(*_FACTORS, "f32", "s32"))
        if matrix in "ab":
            self.fragment = factor(shape, matrix, self.bits)
            extents = (shape.m, shape.k) if matrix == "a" else (shape.k, shape.n)
        else:
            self.fragment = accumulator(shape)
            extents = shape.m, shape.n
        if not self.fragment.fits():
            e.unsupported("this shape")
        self.transposed = by_rows == (matrix == "b")  # B is held as its transpose
        beside = 1 if self.transposed else self.fragment.per_cell
        by_bytes = self.transposed and self.bits == 8
        self._alignment = 1 if by_bytes else max(beside * self.bits // 8, 4)
        self.stride = extents[by_rows]

    def inputs(self, e: Emitter, address: Operand, stride: tuple[Operand, ...]) -> list[ir.Value]:
        """Return the address and the stride (in numbers, ``i64``)."""
        step = e.read(stride[0], "u32") if stride else integer(32, self.stride)
        return [_address(e, address, self.space), extend(e, step, 64, False)]

    def places(self, e: Emitter, start: ir.Value, stride: ir.Value) -> list[ir.Value]:
        """Return the host pointers to the lane's numbers, tile by tile; they fault if one is misaligned."""
        b = e.builder
        found = []
        step = b.mul(stride, integer(64, self.bits // 8))
        aligned = e.is_aligned(b.or_(start, step), 0, self._alignment)
        misaligned = b.inttoptr(e.misaligned_address, POINTER)
        for tile in range(self.fragment.tiles):
            top, left = self.fragment.corner(tile)
            row = b.add(b.zext(_group(e), I64), integer(64, top))
            cell = b.mul(b.zext(_place_in_group(e), I64), integer(64, self.fragment.per_cell))
            for index in range(self.fragment.per_cell):
                column = b.add(cell, integer(64, left + index))
                major, minor = (column, row) if self.transposed else (row, column)
                offset = b.add(b.mul(major, stride), minor)
                pointer = e.translate(b.add(start, b.mul(offset, integer(64, self.bits // 8))))
                found.append(pointer if aligned is None else b.select(aligned, pointer, misaligned))
        return found


def _take_shape(e: Emitter, i: Instruction, m: Modifiers) -> Shape:
    for name in i.modifiers:
        shape = Shape.of(name)
        if shape is not None:
            m.flag(name)
            return shape
    e.unsupported("without a shape")


@suspends("wmma", limits="no sub-byte numbers; the layout of fragments is that of mma")
def lend_to_wmma(e: Emitter, i: Instruction, m: Modifiers) -> Suspension:
    """Lend A and B for ``wmma.mma``; wait for the warp also before loads and stores."""
    if "mma" in i.modifiers:
        _lend_factors(e, i, _Product(e, i, m))
    else:
        m.flag(*i.modifiers)
    return _stop(e)


@resumes("wmma")
def use_fragments(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``wmma.load``, ``wmma.store``, ``wmma.mma``."""
    if "mma" in i.modifiers:
        return _multiply(e, i, _Product(e, i, m))
    _flags(m)
    if m.flag("load"):
        return _load_fragment(e, i, m)
    m.flag("store")
    return _store_fragment(e, i, m)


def _load_fragment(e: Emitter, i: Instruction, m: Modifiers) -> None:
    target, address, *stride = i.operands
    memory = _InMemory(e, i, m)

    def load(inner: Emitter, given: list[ir.Value]) -> list[ir.Value]:
        kind = ir.IntType(memory.bits)
        numbers = [inner.load(place, kind, Space.GENERIC) for place in memory.places(inner, *given)]
        return _packed(inner, numbers) if memory.bits < 32 else numbers

    size = max(32, memory.bits)
    count = memory.fragment.tiles * memory.fragment.per_cell * memory.bits // size
    words = _outlined(e, i, memory.inputs(e, address, tuple(stride)), load, count)
    for index, register in enumerate(_elements(e, target)):
        e.write(register, extend(e, words[index % count], size, False), f"b{size}")


def _store_fragment(e: Emitter, i: Instruction, m: Modifiers) -> None:
    address, source, *stride = i.operands
    memory = _InMemory(e, i, m)
    size = max(32, memory.bits)
    registers = _elements(e, source)
    if len(registers) != memory.fragment.tiles * memory.fragment.per_cell * memory.bits // size:
        e.unsupported(f"{len(registers)} registers")

    def store(inner: Emitter, given: list[ir.Value]) -> list[ir.Value]:
        words = [extend(inner, word, size, False) for word in given[2:]]
        numbers = [number for word in words for number in _unpacked(inner, word, memory.bits)]
        for number, place in zip(numbers, memory.places(inner, *given[:2]), strict=True):
            inner.store(number, place, Space.GENERIC)
        return []

    words = [e.read(register, f"b{size}") for register in registers]
    _outlined(e, i, [*memory.inputs(e, address, tuple(stride)), *words], store, 0)


def _packed(e: Emitter, numbers: list[ir.Value]) -> list[ir.Value]:
    """Return numbers of less than 32 bits as words."""
    bits = numbers[0].type.width
    words = []
    for start in range(0, len(numbers), 32 // bits):
        word: ir.Value = integer(32, 0)
        for index, number in enumerate(numbers[start : start + 32 // bits]):
            part = e.builder.shl(e.builder.zext(number, I32), integer(32, index * bits))
            word = e.builder.or_(word, part)
        words.append(word)
    return words


def _unpacked(e: Emitter, word: ir.Value, bits: int) -> list[ir.Value]:
    """Return the numbers of ``bits`` bits in a word, or the word itself."""
    if bits >= word.type.width:
        return [word]
    places = range(0, 32, bits)
    return [e.builder.trunc(e.builder.lshr(word, integer(32, at)), ir.IntType(bits)) for at in places]


# --- products -----------------------------------------------------------------------------------


class _Product:
    """What ``mma`` and ``wmma.mma`` say: shape, types, fragments."""

    def __init__(self, e: Emitter, i: Instruction, m: Modifiers) -> None:
        _flags(m)
        m.flag("mma", "row", "col", "rn")
        self.saturates = m.flag("satfinite")
        shape = _take_shape(e, i, m)
        if m.count_types() == 2:  # of f16 only D and C are named
            self.first = self.second = "f16"
            self.result, self.start = m.types(2)
        else:
            self.result, self.first, self.second, self.start = m.types(4)
        self.bits = width(self.first)
        known = {self.first, self.second} <= _FACTORS and self.bits == width(self.second)
        sums = _SUMS.get(self.first, ("s32",))
        if not known or self.result not in sums or self.start not in sums:
            e.unsupported("these types")
        self.a = factor(shape, "a", self.bits)
        self.b = factor(shape, "b", self.bits)
        self.c = accumulator(shape)
        self.k = shape.k
        if not (self.a.fits() and self.b.fits() and self.c.fits()):
            e.unsupported("this shape")

    def size(self, kind: str) -> int:
        """Return the bits of a register of C or D."""
        return max(32, width(kind))

    def registers(self, kind: str) -> int:
        """Return how many registers C or D has."""
        return 2 * self.c.tiles * width(kind) // self.size(kind)


def _lend_factors(e: Emitter, i: Instruction, product: _Product) -> None:
    kind = "b64" if product.bits == 64 else "b32"
    words = []
    for operand, fragment in zip(i.operands[1:3], (product.a, product.b), strict=True):
        registers = _elements(e, operand)
        if len(registers) < fragment.tiles:
            e.unsupported(f"{len(registers)} registers")
        words += [e.read(register, kind) for register in registers[: fragment.tiles]]
    e.lend(words)


def _multiply(e: Emitter, i: Instruction, product: _Product) -> None:
    sources, targets = (_elements(e, i.operands[place]) for place in (3, 0))
    needed = product.registers(product.start), product.registers(product.result)
    if (len(sources), len(targets)) != needed:
        e.unsupported(f"{len(sources)} and {len(targets)} registers instead of {needed[0]} and {needed[1]}")
    given = [e.read(source, f"b{product.size(product.start)}") for source in sources]
    words = _outlined(e, i, given, lambda inner, words: _results(inner, product, words), needed[1])
    size = product.size(product.result)
    for target, word in zip(targets, words, strict=True):
        e.write(target, extend(e, word, size, False), f"b{size}")


def _results(e: Emitter, product: _Product, words: list[ir.Value]) -> list[ir.Value]:
    """Return the registers of D, from those of C and the rows of A and the columns of B that they need."""
    b = e.builder
    group = b.shl(_group(e), integer(32, 2))
    rows = [_numbers(e, product, product.a, 0, b.add(group, integer(32, t))) for t in range(4)]
    columns = []
    for neighbour in range(2):
        first = b.shl(
            b.add(b.shl(_place_in_group(e), integer(32, 1)), integer(32, neighbour)), integer(32, 2)
        )
        lanes = [b.add(first, integer(32, t)) for t in range(4)]
        columns.append([_numbers(e, product, product.b, product.a.tiles, lane) for lane in lanes])
    starts = _starts(e, product, words)
    sums = []
    for tile in range(product.c.tiles):
        top, left = product.c.corner(tile)
        for neighbour in range(2):
            pairs = []
            for k in range(product.k):
                lane, part = divmod(k % (COLUMNS * product.a.per_cell), product.a.per_cell)
                first = rows[lane][product.a.tile(top, k)][part]
                pairs.append((first, columns[neighbour][lane][product.b.tile(left, k)][part]))
            sums.append(_sum(e, product, starts[2 * tile + neighbour], pairs))
    return _rounded(e, product, sums)


def _numbers(
    e: Emitter, product: _Product, fragment: Fragment, first: int, lane: ir.Value
) -> list[list[ir.Value]]:
    """Return what a lane lent of a factor: for each tile its numbers, ready to be multiplied."""
    thread = _lane_of(e, lane)
    found = []
    for tile in range(fragment.tiles):
        word = e.lent(thread, first + tile)
        word = word if product.bits == 64 else e.builder.trunc(word, I32)
        kind = product.first if first == 0 else product.second
        found.append([_number(e, part, kind) for part in _unpacked(e, word, product.bits)])
    return found


def _number(e: Emitter, bits: ir.Value, kind: str) -> ir.Value:
    """Return a factor as a double, or an 8-bit integer as one of 32 bits."""
    if kind in ("f16", "bf16"):
        return widen(e, float_of_16(e, bits, kind))
    if kind == "tf32":
        return widen(e, e.builder.bitcast(e.builder.and_(bits, integer(32, ~0x1FFF)), FLOAT))
    if kind == "f64":
        return e.builder.bitcast(bits, DOUBLE)
    return extend(e, bits, 32, is_signed(kind))


def _starts(e: Emitter, product: _Product, words: list[ir.Value]) -> list[ir.Value]:
    """Return the lane's numbers of C as doubles, or as integers of 64 bits."""
    kind = product.start
    if kind == "s32":
        return [e.builder.sext(e.builder.trunc(word, I32), I64) for word in words]
    bits = width(kind)
    parts = [part for word in words for part in _unpacked(e, extend(e, word, max(32, bits), False), bits)]
    if kind == "f16":
        return [widen(e, float_of_16(e, part, kind)) for part in parts]
    return [widen(e, e.builder.bitcast(part, FLOAT if kind == "f32" else DOUBLE)) for part in parts]


def _sum(e: Emitter, product: _Product, total: ir.Value, pairs: list[tuple[ir.Value, ir.Value]]) -> ir.Value:
    b = e.builder
    if product.result == "s32":
        for first, second in pairs:
            total = b.add(total, b.sext(b.mul(first, second), I64))
        if product.saturates:
            total = clamp(e, total, -(1 << 31), (1 << 31) - 1)
        return b.trunc(total, I32)
    for first, second in pairs:
        total = intrinsic(e, "fma", first, second, total)
    return total


def _rounded(e: Emitter, product: _Product, sums: list[ir.Value]) -> list[ir.Value]:
    """Return sums as registers of D, as integers."""
    if product.result == "s32":
        return sums
    if product.result == "f16":
        return _packed(e, [round_pair(e, exactly(total), "f16", "rn") for total in sums])
    return [e.bits(canonical(e, round_pair(e, exactly(total), product.result, "rn"))) for total in sums]


@suspends("mma", limits="no sparse ones, no numbers of 8 bits or less but integers, no m8n8k4 of f16")
def lend_to_mma(e: Emitter, i: Instruction, m: Modifiers) -> Suspension:
    """Lend A and B."""
    _lend_factors(e, i, _Product(e, i, m))
    return _stop(e)


@resumes("mma")
def multiply(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``mma``: D = A * B + C."""
    _multiply(e, i, _Product(e, i, m))


# --- 8 by 8 matrices of 16-bit numbers ----------------------------------------------------------


#: of a row of eight, which must be a multiple of that
_ROW_BYTES = 16


def _take_small(e: Emitter, m: Modifiers) -> tuple[int, bool, Space]:
    """Take the modifiers of ``ldmatrix`` and ``stmatrix``: how many matrices, transposed, space."""
    _flags(m)
    m.one_of("m8n8")
    count = int(m.one_of("x1", "x2", "x4")[1])
    transposed, space = m.flag("trans"), take_space(m)
    m.type("b16")
    return count, transposed, space


def _row_places(e: Emitter, matrix: int, transposed: bool) -> list[ir.Value]:
    """Return host pointers to the lane's two numbers of a matrix, whose rows' addresses were given."""
    b = e.builder
    two = b.shl(_place_in_group(e), integer(32, 1))
    found = []
    for neighbour in range(2):
        beside = b.add(two, integer(32, neighbour))
        row, column = (beside, _group(e)) if transposed else (_group(e), beside)
        start = e.given(_lane_of(e, b.add(row, integer(32, 8 * matrix))))
        offset = b.shl(b.zext(column, I64), integer(64, 1))
        found.append(e.offset_pointer(e.translate(start, _ROW_BYTES), offset))
    return found


@suspends("ldmatrix", "stmatrix", limits="16-bit numbers only")
def give_row(e: Emitter, i: Instruction, m: Modifiers) -> Suspension:
    """Give the address of a row."""
    _, _, space = _take_small(e, m)
    place = i.operands[1 if i.opcode == "ldmatrix" else 0]
    e.give(_address(e, place, space))
    return _stop(e)


@resumes("ldmatrix")
def load_matrices(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``ldmatrix``: one, two or four matrices; lane 8 * i + r gave the address of row r of matrix i."""
    count, transposed, _ = _take_small(e, m)
    for matrix, register in zip(range(count), _elements(e, i.operands[0]), strict=True):
        numbers = [e.load(place, I16, Space.GENERIC) for place in _row_places(e, matrix, transposed)]
        e.write(register, _packed(e, numbers)[0], "b32")


@resumes("stmatrix")
def store_matrices(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``stmatrix``: the reverse of ``ldmatrix``."""
    count, transposed, _ = _take_small(e, m)
    for matrix, register in zip(range(count), _elements(e, i.operands[1]), strict=True):
        numbers = _unpacked(e, e.read(register, "b32"), 16)
        for number, place in zip(numbers, _row_places(e, matrix, transposed), strict=True):
            e.store(number, place, Space.GENERIC)


@suspends("movmatrix")
def give_cell(e: Emitter, i: Instruction, m: Modifiers) -> Suspension:
    """Give the lane's two numbers."""
    m.flag(*i.modifiers)
    e.give(e.read(i.operands[1], "b32"))
    return _stop(e)


@resumes("movmatrix")
def transpose(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``movmatrix``: the transpose of a matrix of 16-bit numbers."""
    _flags(m)
    m.one_of("m8n8")
    m.one_of("trans")
    m.type("b16")
    b = e.builder
    numbers = []
    for neighbour in range(2):
        row = b.add(b.shl(_place_in_group(e), integer(32, 1)), integer(32, neighbour))
        column = _group(e)
        lane = b.add(b.shl(row, integer(32, 2)), b.lshr(column, integer(32, 1)))
        word = b.trunc(e.given(_lane_of(e, lane)), I32)
        place = b.shl(b.and_(column, integer(32, 1)), integer(32, 4))
        numbers.append(b.trunc(b.lshr(word, place), I16))
    e.write(i.operands[0], _packed(e, numbers)[0], "b32")
