"""The PTX registers of one LLVM function: stack slots, and what is known of them on the way.

A register is an ``alloca``, which LLVM turns into values of its own. That takes it long where code is long,
as instrumented code is, and most registers are read near the place that writes them. So what a register holds
is remembered from block to block, and slots that nobody reads are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.cpu.codegen.types import bits_type

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

    from llvmlite import ir

#: what registers hold: by name their bits (under BITS), and these as values of PTX types
Known = dict[str, dict[str, "ir.Value"]]

BITS = ""


def common(ways: list[Known]) -> Known:
    """Return what is known where several ways meet: what is the same value on all of them.

    A value that is known at the end of every way was made on every way, so it may be used where they meet.
    """
    if len(ways) < 2:
        return ways[0] if ways else {}
    first, *others = ways
    met: Known = {}
    for name, values in first.items():
        bits = values[BITS]
        for other in others:
            found = other.get(name)
            if found is None or found[BITS] is not bits:
                break
            if found is not values:
                values = {kind: value for kind, value in values.items() if found.get(kind) is value}
        else:
            met[name] = values
    return met


class Registers:
    """The registers of a function, ``declared`` by name with their PTX types.

    ``entry`` stands in the function's entry block, ``builder`` wherever the function is being written.
    ``written`` are the registers that were written since somebody emptied it.
    """

    def __init__(self, declared: Mapping[str, str], entry: ir.IRBuilder, builder: ir.IRBuilder) -> None:
        self._declared = declared
        self._entry = entry
        self._builder = builder
        self._slots: dict[str, ir.AllocaInstr] = {}
        self._stores: dict[str, list[tuple[ir.Block, ir.Instruction]]] = {}
        self._loaded: set[str] = set()
        self.written: set[str] = set()
        self._known: Known = {}
        self._block: ir.Block = builder.block  # where that is known

    def kind(self, name: str) -> ir.IntType:
        """Return the LLVM type of a register's bits. Raises KeyError where it is not declared."""
        return bits_type(self._declared[name])

    def bits(self, name: str) -> ir.Value:
        """Return what a register holds, as ``iN`` of its width. Raises KeyError where it is not declared."""
        known = self._here().get(name)
        if known is not None:
            return known[BITS]
        slot = self._slot(name)
        self._loaded.add(name)
        value = self._builder.load(slot, typ=slot.allocated_type)
        self._known[name] = {BITS: value}
        return value

    def as_type(self, name: str, ptx_type: str) -> ir.Value | None:
        """Return what a register holds as a value of a type, if that was made or written before."""
        known = self._here().get(name)
        return None if known is None else known.get(ptx_type)

    def remember(self, name: str, ptx_type: str, value: ir.Value) -> None:
        """Note that ``value`` is what a register that was read holds, as a value of a type."""
        known = self._here()
        # not changed in its place, which other lines of blocks may share
        known[name] = {**known[name], ptx_type: value}

    def set(self, name: str, bits: ir.Value) -> None:
        """Write a register: ``iN`` of its width. Raises KeyError where it is not declared."""
        store = self._builder.store(bits, self._slot(name))
        self._stores[name].append((self._builder.block, store))
        self._here()[name] = {BITS: bits}
        self.written.add(name)

    def known(self) -> Known:
        """Return what is known at this place, to go on from in the blocks that are entered from here."""
        return dict(self._here())

    def go_on(self, known: Known, without: Container[str] = ()) -> None:
        """Begin a block with what is known where it is entered, ``without`` what may be written since."""
        self._block = self._builder.block
        self._known = {name: values for name, values in known.items() if name not in without}

    def finish(self) -> None:
        """Leave out the registers that were never loaded, and what was stored to them."""
        unread = [slot for name, slot in self._slots.items() if name not in self._loaded]
        dead = {id(slot) for slot in unread}
        blocks = {id(self._entry.block): self._entry.block}
        for name, stores in self._stores.items():
            if name not in self._loaded:
                dead.update(id(store) for _, store in stores)
                blocks.update((id(block), block) for block, _ in stores)
        for block in blocks.values():
            block.instructions[:] = [each for each in block.instructions if id(each) not in dead]

    def _here(self) -> Known:
        """Return what is known in the block that is being written; nothing where a lowering has begun it."""
        if self._builder.block is not self._block:
            self._block = self._builder.block
            self._known = {}
        return self._known

    def _slot(self, name: str) -> ir.AllocaInstr:
        slot = self._slots.get(name)
        if slot is None:
            slot = self._entry.alloca(self.kind(name), name=name.lstrip("%"))
            self._slots[name] = slot
            self._stores[name] = []
        return slot
