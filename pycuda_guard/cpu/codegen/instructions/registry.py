"""Which function lowers which opcode: the one table that the families fill.

A lowering is ``lower_it(e, i, m)``: emitter, instruction and a :class:`Modifiers` that it takes its
modifiers from. What it leaves there is unsupported, so that no modifier is ever ignored by accident.
An opcode such as ``add`` has a lowering for each kind of number, told apart by the instruction's last type.
Warp-wide operations have two lowerings, before the suspension point and after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from pycuda_guard.kernels.ptx.ir import TYPE_SIZES

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.cpu.abi import Suspension
    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction

#: packed integer types, which are types of instructions only, never of registers
PACKED_INTEGERS = frozenset({"u16x2", "s16x2"})
TYPE_NAMES = frozenset(TYPE_SIZES) | PACKED_INTEGERS

_KINDS = {
    "f32": "float",
    "f64": "float",
    "f16": "half",
    "f16x2": "half",
    "bf16": "half",
    "bf16x2": "half",
}


def kind_of(instruction: Instruction) -> str:
    """Return ``float`` (f32, f64), ``half`` (16-bit floating point, packed too) or ``integer``."""
    names = [name for name in instruction.modifiers if name in TYPE_NAMES]
    return _KINDS.get(names[-1], "integer") if names else "integer"


class Modifiers:
    """The modifiers of an instruction, taken one after the other by its lowering."""

    def __init__(self, emitter: Emitter, instruction: Instruction) -> None:
        self._emitter = emitter
        self._left = list(instruction.modifiers)

    def flag(self, *names: str) -> bool:
        """Take every modifier of these names; whether there was any."""
        found = [name for name in self._left if name in names]
        self._left = [name for name in self._left if name not in names]
        return bool(found)

    def one_of(self, *names: str, default: str | None = None) -> str:
        """Take the first modifier of these names; ``default`` if there is none (None: unsupported then)."""
        for name in self._left:
            if name in names:
                self._left.remove(name)
                return name
        if default is None:
            self._emitter.unsupported(f"without any of .{', .'.join(names)}")
        assert default is not None
        return default

    def drop(self, *prefixes: str) -> None:
        """Take every modifier that starts so: hints without a meaning here (``L2::128B``)."""
        self._left = [name for name in self._left if not name.startswith(prefixes)]

    def types(self, count: int) -> tuple[str, ...]:
        """Take the types, in order; unsupported unless there are ``count``."""
        found = tuple(name for name in self._left if name in TYPE_NAMES)
        if len(found) != count:
            self._emitter.unsupported(f"with {len(found)} types instead of {count}")
        self._left = [name for name in self._left if name not in TYPE_NAMES]
        return found

    def type(self, *allowed: str) -> str:
        """Take the only type; unsupported if ``allowed`` names types and it is none of them."""
        (name,) = self.types(1)
        if allowed and name not in allowed:
            self._emitter.unsupported(f"type .{name}")
        return name

    def count_types(self) -> int:
        """How many types are left."""
        return sum(name in TYPE_NAMES for name in self._left)

    def finish(self) -> None:
        """Refuse the instruction if modifiers are left."""
        if self._left:
            self._emitter.unsupported("modifier ." + ".".join(self._left))


if TYPE_CHECKING:
    Lowering = Callable[[Emitter, Instruction, Modifiers], None]
    SuspendHalf = Callable[[Emitter, Instruction, Modifiers], Suspension]

_AnyFunction = TypeVar("_AnyFunction", bound="Callable[..., object]")


@dataclass(slots=True)
class Entry:
    """What is known of one opcode.

    ``lower`` maps a kind of number (see :func:`kind_of`, or ``any``) to the lowering; ``limits`` maps it to
    a sentence for the documentation.
    """

    opcode: str
    family: str
    lower: dict[str, Lowering] = field(default_factory=dict)
    limits: dict[str, str] = field(default_factory=dict)
    suspend: SuspendHalf | None = None
    resume: Lowering | None = None

    def lowering(self, instruction: Instruction) -> Lowering | None:
        """Return the lowering for the instruction's kind of number."""
        return self.lower.get(kind_of(instruction)) or self.lower.get("any")


ENTRIES: dict[str, Entry] = {}


def _entry(opcode: str, function: Callable[..., object], kind: str, limits: str) -> Entry:
    entry = ENTRIES.setdefault(opcode, Entry(opcode, function.__module__.rpartition(".")[2]))
    if limits:
        entry.limits[kind] = limits
    return entry


def lowers(*opcodes: str, kind: str = "any", limits: str = "") -> Callable[[_AnyFunction], _AnyFunction]:
    """Register the decorated function as the lowering of ``opcodes`` for a kind of number."""

    def register(function: _AnyFunction) -> _AnyFunction:
        for opcode in opcodes:
            _entry(opcode, function, kind, limits).lower[kind] = function  # type: ignore[assignment]
        return function

    return register


def suspends(*opcodes: str, limits: str = "") -> Callable[[_AnyFunction], _AnyFunction]:
    """Register the decorated function as the half of ``opcodes`` before the suspension point."""

    def register(function: _AnyFunction) -> _AnyFunction:
        for opcode in opcodes:
            _entry(opcode, function, "any", limits).suspend = function  # type: ignore[assignment]
        return function

    return register


def resumes(*opcodes: str) -> Callable[[_AnyFunction], _AnyFunction]:
    """Register the decorated function as the half of ``opcodes`` after the suspension point."""

    def register(function: _AnyFunction) -> _AnyFunction:
        for opcode in opcodes:
            _entry(opcode, function, "any", "").resume = function  # type: ignore[assignment]
        return function

    return register
