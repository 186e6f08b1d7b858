"""Declarations of variables, parameters and registers, from tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.ir import (
    TYPE_SIZES,
    Immediate,
    Initializer,
    RegisterDeclaration,
    Space,
    SymbolValue,
    Variable,
)
from pycuda_guard.kernels.ptx.lexer import is_word

if TYPE_CHECKING:
    from pycuda_guard.kernels.ptx.lexer import Cursor

LINKAGE = frozenset({".visible", ".extern", ".weak", ".common"})
SPACES = {
    ".global": Space.GLOBAL,
    ".shared": Space.SHARED,
    ".local": Space.LOCAL,
    ".param": Space.PARAM,
    ".const": Space.CONST,
    ".reg": Space.REG,
}
MOST_REGISTERS = 1 << 20  #: of one declaration; hardware has 255 a thread, nvcc numbers some 10^5
DEEPEST = 20  #: levels of braces in an initializer

_VECTORS = {".v2": 2, ".v4": 4, ".v8": 8}


def read_linkage(cursor: Cursor) -> tuple[str, ...]:
    """Read ``.visible``, ``.extern``, ``.weak`` and ``.common``, without their dots."""
    linkage: list[str] = []
    while cursor.texts[cursor.position] in LINKAGE:
        linkage.append(cursor.take()[1:])
    return tuple(linkage)


def read_variables(cursor: Cursor, linkage: tuple[str, ...] = ()) -> list[Variable]:
    """Read a declaration of variables with the semicolon that ends it."""
    first = read_variable(cursor, linkage)
    found = [first]
    while cursor.accept(","):
        position = cursor.position
        following = Variable(
            cursor.name(), first.space, first.type, first.vector, first.align, (), linkage, first.attributes
        )
        following.span = cursor.span(position)
        _dims_and_value(cursor, following)
        found.append(following)
    cursor.expect(";")
    return found


def read_parameters(cursor: Cursor) -> list[Variable]:
    """Read a parenthesized list of parameters."""
    cursor.expect("(")
    parameters: list[Variable] = []
    if cursor.accept(")"):
        return parameters
    parameters.append(read_variable(cursor))
    while cursor.accept(","):
        parameters.append(read_variable(cursor))
    cursor.expect(")")
    return parameters


def read_variable(cursor: Cursor, linkage: tuple[str, ...] = ()) -> Variable:
    """Read one variable or parameter, from its state space to its initializer."""
    space = SPACES.get(cursor.texts[cursor.position])
    if space is None:
        raise cursor.unexpected("a state space")
    position = cursor.position
    cursor.position += 1
    variable = Variable("", space, "", linkage=linkage, span=cursor.span(position))
    while cursor.texts[cursor.position].startswith("."):
        _property(cursor, variable)
    if not variable.type:
        raise cursor.unexpected("a type")
    variable.name = cursor.name()
    _dims_and_value(cursor, variable)
    return variable


def _property(cursor: Cursor, variable: Variable) -> None:
    text = cursor.take()
    if text == ".align":
        variable.align = _alignment(cursor)
    elif text == ".attribute":
        variable.attributes = read_attribute(cursor)
    elif text == ".ptr":
        variable.pointer = _pointer(cursor)
    elif text in _VECTORS:
        variable.vector = _VECTORS[text]
    elif text[1:] in TYPE_SIZES:
        if variable.type:
            cursor.position -= 1
            raise cursor.unexpected("a name")
        variable.type = text[1:]
    else:
        cursor.position -= 1
        raise cursor.unexpected("a type")


def read_attribute(cursor: Cursor) -> str:
    """Read what follows ``.attribute``, and return the text between the parentheses."""
    cursor.expect("(")
    start = cursor.position
    depth = 1
    while depth:
        text = cursor.take()
        if not text:
            raise cursor.unexpected("')'")
        depth += (text == "(") - (text == ")")
    return " ".join(cursor.texts[start : cursor.position - 1])


def _pointer(cursor: Cursor) -> tuple[str, int]:
    """Read what follows ``.ptr``: a state space (default generic) and an alignment (default 4)."""
    space = "generic"
    if cursor.texts[cursor.position] in SPACES:
        space = cursor.take()[1:]
    return space, _alignment(cursor) if cursor.accept(".align") else 4


def _alignment(cursor: Cursor) -> int:
    position = cursor.position
    value = cursor.integer()
    if value <= 0 or value & (value - 1):
        raise cursor.error("an alignment must be a power of two", position)
    return value


def _dims_and_value(cursor: Cursor, variable: Variable) -> None:
    dims: list[int | None] = []
    while cursor.accept("["):
        if cursor.accept("]"):
            dims.append(None)
            continue
        position = cursor.position
        dims.append(cursor.integer())
        if dims[-1] is not None and dims[-1] < 0:
            raise cursor.error("an array extent must not be negative", position)
        cursor.expect("]")
    variable.dims = tuple(dims)
    if cursor.accept("="):
        variable.initializer = _initializer(cursor, {}, 0)


def _initializer(cursor: Cursor, known: dict[str, Immediate], depth: int) -> Initializer:
    if cursor.texts[cursor.position] != "{":
        return _value(cursor)
    if depth == DEEPEST:
        raise cursor.error("braces are nested too deeply")
    cursor.position += 1
    elements: list[Initializer] = []
    texts = cursor.texts
    while not cursor.accept("}"):
        text = texts[cursor.position]
        value = known.get(text)
        if value is not None and texts[cursor.position + 1] != "(":
            cursor.position += 1
            elements.append(value)
        else:
            element = _initializer(cursor, known, depth + 1)
            elements.append(element)
            if type(element) is Immediate and text != "-":
                known[text] = element
        if not cursor.accept(",") and texts[cursor.position] != "}":
            raise cursor.unexpected("',' or '}'")
    return tuple(elements)


def _value(cursor: Cursor) -> Immediate | SymbolValue:
    """Read a number, ``name+4``, ``generic(name)+4`` or ``0xFF00(name)``."""
    text = cursor.texts[cursor.position]
    if is_word(text):
        return _symbol_value(cursor, None)
    value = cursor.number()
    if value.kind != "int" or not cursor.accept("("):
        return value
    masked = _symbol_value(cursor, value.value)
    cursor.expect(")")
    return masked


def _symbol_value(cursor: Cursor, mask: int | None) -> SymbolValue:
    generic = cursor.texts[cursor.position] == "generic" and cursor.texts[cursor.position + 1] == "("
    if generic:
        cursor.position += 2
    name = cursor.name()
    if generic:
        cursor.expect(")")
    offset = 0
    if cursor.accept("+") or cursor.texts[cursor.position] == "-":
        offset = cursor.integer()
    return SymbolValue(name, offset, generic, mask)


def read_registers(cursor: Cursor) -> RegisterDeclaration:
    """Read what follows ``.reg`` in a body, with the semicolon that ends it."""
    vector = 1
    if cursor.texts[cursor.position] in _VECTORS:
        vector = _VECTORS[cursor.take()]
    type_name = cursor.texts[cursor.position][1:]
    if cursor.texts[cursor.position][:1] != "." or type_name not in TYPE_SIZES:
        raise cursor.unexpected("a register type")
    cursor.position += 1
    found = [_register(cursor)]
    while cursor.accept(","):
        found.append(_register(cursor))
    cursor.expect(";")
    return RegisterDeclaration(type_name, tuple(found), vector)


def _register(cursor: Cursor) -> tuple[str, int | None]:
    name = cursor.name()
    if not cursor.accept("<"):
        return name, None
    position = cursor.position
    count = cursor.integer()
    if not 0 <= count <= MOST_REGISTERS:
        raise cursor.error(f"a range has at most {MOST_REGISTERS} registers", position)
    cursor.expect(">")
    return name, count
