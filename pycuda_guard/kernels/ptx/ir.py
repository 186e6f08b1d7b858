"""PTX as data: a module is a tree of small objects that print themselves back to PTX.

The tree keeps what the text says (scopes, ``.loc``, order of directives), so that printing a
parsed module gives an equal module when parsed again. :mod:`pycuda_guard.kernels.ptx.flatten`
turns a function into one flat list with unique names, which analysis and lowering work on.

Terms are those of the PTX ISA manual.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Space(Enum):
    """State spaces; GENERIC stands for an instruction that names none."""

    GENERIC = "generic"
    GLOBAL = "global"
    SHARED = "shared"
    LOCAL = "local"
    PARAM = "param"
    CONST = "const"
    REG = "reg"


#: size in bytes of each type; ``pred`` counts as one byte, opaque types as the handles that they are
TYPE_SIZES: dict[str, int] = {
    "b8": 1, "u8": 1, "s8": 1, "e4m3": 1, "e5m2": 1,
    "b16": 2, "u16": 2, "s16": 2, "f16": 2, "bf16": 2,
    "b32": 4, "u32": 4, "s32": 4, "f32": 4, "f16x2": 4, "bf16x2": 4, "tf32": 4,
    "b64": 8, "u64": 8, "s64": 8, "f64": 8,
    "b128": 16, "pred": 1,
    "texref": 8, "samplerref": 8, "surfref": 8,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """Where something stands in the PTX text: 1-based line and column."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class SourceLine:
    """What a ``.loc`` says: a line of a ``.file`` entry, possibly inlined into another line."""

    file: int
    line: int
    column: int = 0
    function: str = ""  # label of the inlined function's name, with its offset (``L+12``)
    inlined_at: tuple[int, int, int] | None = None  # file, line, column


# --- operands -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Register:
    """A declared register, or a special one when ``special`` (``%tid.x``, ``%laneid``, ``WARP_SZ``).

    Video instructions take a ``part`` of a register (``%r1.h0``, ``%r1.b3210``) or its ``negative``.
    """

    name: str
    special: bool = False
    part: str = ""
    negative: bool = False


@dataclass(frozen=True, slots=True)
class Immediate:
    """A constant. ``kind`` is ``int``, ``f32`` (0f…) or ``f64`` (0d… or decimal); ``value`` holds the
    integer itself, or the IEEE bit pattern of a floating-point constant."""

    kind: str
    value: int


@dataclass(frozen=True, slots=True)
class Symbol:
    """A variable, parameter, function or label by name, plus a byte offset."""

    name: str
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Address:
    """``[base+offset]``."""

    base: Register | Symbol | Immediate
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Vector:
    """``{a, b, …}``."""

    elements: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """``p|q``: two destinations."""

    first: Operand
    second: Operand


@dataclass(frozen=True, slots=True)
class Negated:
    """``!p``."""

    operand: Register


@dataclass(frozen=True, slots=True)
class Arguments:
    """``(a, b, …)`` of a call; also the parenthesized return operand."""

    elements: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Sink:
    """``_``: a destination whose value is not wanted."""


@dataclass(frozen=True, slots=True)
class Composite:
    """``[tex, {x, y}]`` and other bracketed operand lists."""

    elements: tuple[Operand, ...]


Operand = Register | Immediate | Symbol | Address | Vector | Pair | Negated | Arguments | Sink | Composite


# --- statements ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Guard:
    """``@p`` or ``@!p``."""

    register: str
    negated: bool = False


@dataclass(slots=True)
class Instruction:
    """One instruction: ``@p opcode.modifier.modifier operands;``

    ``modifiers`` keep their order and spelling without the dots (``("global", "L2::128B", "u32")``).
    The last one is usually the type. ``source`` is the ``.loc`` in force.
    """

    opcode: str
    modifiers: tuple[str, ...] = ()
    operands: tuple[Operand, ...] = ()
    guard: Guard | None = None
    span: Span | None = field(default=None, compare=False)
    source: SourceLine | None = field(default=None, compare=False)


@dataclass(slots=True)
class Label:
    """``name:``."""

    name: str


@dataclass(slots=True)
class SourceMark:
    """A ``.loc`` directive."""

    source: SourceLine


@dataclass(slots=True)
class TargetList:
    """``name: .branchtargets a, b;`` or ``.calltargets``."""

    name: str
    directive: str
    targets: tuple[str, ...]


@dataclass(slots=True)
class Prototype:
    """``name: .callprototype (ret) _ (params);``."""

    name: str
    returns: tuple[Variable, ...]
    parameters: tuple[Variable, ...]
    suffix: str = ""  # .noreturn and the like


@dataclass(slots=True)
class Pragma:
    """``.pragma "text";``."""

    text: str


@dataclass(slots=True)
class RegisterDeclaration:
    """``.reg .type names;``. Each name comes with its count for ``%r<12>``, else None."""

    type: str
    names: tuple[tuple[str, int | None], ...]
    vector: int = 1


@dataclass(slots=True)
class Variable:
    """A variable or parameter declaration.

    ``dims`` are array dimensions (None for ``[]``); ``vector`` is 1, 2 or 4. ``initializer`` is nested
    tuples of Immediate and Symbol (a Symbol may stand for ``generic(sym)+off`` when ``generic``).
    ``pointer`` is the space and alignment of ``.ptr .global .align 8`` on a kernel parameter.
    """

    name: str
    space: Space
    type: str
    vector: int = 1
    align: int | None = None
    dims: tuple[int | None, ...] = ()
    linkage: tuple[str, ...] = ()  # visible, extern, weak, common
    attributes: str = ""  # text of .attribute(…)
    initializer: Initializer | None = None
    pointer: tuple[str, int] | None = None
    span: Span | None = field(default=None, compare=False)

    @property
    def element_size(self) -> int:
        """Bytes of one element, the vector included."""
        return TYPE_SIZES[self.type] * self.vector

    @property
    def alignment(self) -> int:
        """Bytes: declared, or that of the element."""
        return self.align or self.element_size

    @property
    def size(self) -> int:
        """Bytes; 0 for an extern array without a size."""
        count = 1
        for extent in self.dims:
            count *= extent or 0
        return count * self.element_size


@dataclass(frozen=True, slots=True)
class SymbolValue:
    """An address in an initializer: ``name+offset``, ``generic(name)`` or one byte of it (``mask``)."""

    name: str
    offset: int = 0
    generic: bool = False
    mask: int | None = None


Initializer = tuple["Initializer | Immediate | SymbolValue", ...] | Immediate | SymbolValue


def symbols_of(value: Initializer | None) -> Iterator[str]:
    """Yield the names of the symbols in an initializer."""
    if isinstance(value, tuple):
        for element in value:
            yield from symbols_of(element)
    elif isinstance(value, SymbolValue):
        yield value.name


@dataclass(slots=True)
class Scope:
    """``{ … }`` inside a body; its registers and variables hide outer ones."""

    body: list[Statement]


Statement = (
    Instruction
    | Label
    | SourceMark
    | TargetList
    | Prototype
    | Pragma
    | RegisterDeclaration
    | Variable
    | Scope
)


# --- functions and modules ----------------------------------------------------------------------


@dataclass(slots=True)
class Function:
    """``.entry`` or ``.func``. ``body`` is None for a declaration.

    ``directives`` are those between the parameters and the body, in order: ``("maxntid", (256, 1, 1))``.
    """

    name: str
    entry: bool
    parameters: list[Variable] = field(default_factory=list)
    returns: list[Variable] = field(default_factory=list)
    linkage: tuple[str, ...] = ()
    directives: list[tuple[str, tuple[int | str, ...]]] = field(default_factory=list)
    body: list[Statement] | None = None
    span: Span | None = field(default=None, compare=False)


@dataclass(slots=True)
class Verbatim:
    """A module-level directive kept as text (``.section``, ``.alias``, ``.pragma``)."""

    text: str


@dataclass(slots=True)
class Module:
    """A PTX module; ``items`` are variables, functions and verbatim text in their order."""

    version: tuple[int, int]
    target: tuple[str, ...]
    address_size: int = 64
    files: dict[int, str] = field(default_factory=dict)  # .file number → path
    items: list[Variable | Function | Verbatim] = field(default_factory=list)

    @property
    def functions(self) -> dict[str, Function]:
        """Functions by name; a definition wins over its declarations."""
        found: dict[str, Function] = {}
        for item in self.items:
            if isinstance(item, Function) and (item.body is not None or item.name not in found):
                found[item.name] = item
        return found

    @property
    def variables(self) -> dict[str, Variable]:
        """Module-scope variables by name."""
        return {item.name: item for item in self.items if isinstance(item, Variable)}


@dataclass(slots=True)
class FlatFunction:
    """A function with scopes dissolved: every register and variable has a name of its own.

    ``registers`` maps a name to its type (``pred``, ``b32`` …; vectors appear as ``name.x`` …).
    ``body`` holds instructions (each with its ``source``) and labels; ``tables`` the branch target
    lists; ``prototypes`` the call prototypes; ``variables`` the local, shared, param, global
    variables declared inside; ``pragmas`` each pragma with the index in ``body`` of what it stands before.
    """

    function: Function
    registers: dict[str, str]
    variables: dict[str, Variable]
    body: list[Instruction | Label]
    tables: dict[str, tuple[str, ...]]
    prototypes: dict[str, Prototype]
    pragmas: list[tuple[int, Pragma]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.name
