"""Operands of instructions, from tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.ir import (
    Address,
    Arguments,
    Composite,
    Immediate,
    Negated,
    Operand,
    Pair,
    Register,
    Sink,
    Symbol,
    Vector,
)
from pycuda_guard.kernels.ptx.lexer import immediate, is_word

if TYPE_CHECKING:
    from pycuda_guard.kernels.ptx.lexer import Cursor
    from pycuda_guard.kernels.ptx.names import Names

DEEPEST = 50  #: levels of brackets in one operand; real ones have three

_CLOSING = {"{": "}", "(": ")", "[": "]"}
_SINK = Sink()


def read_operands(cursor: Cursor, names: Names) -> tuple[Operand, ...]:
    """Read the operands of an instruction, and step over the semicolon that ends them."""
    if cursor.accept(";"):
        return ()
    operands = [_operand(cursor, names, 0)]
    while cursor.accept(","):
        operands.append(_operand(cursor, names, 0))
    if not cursor.accept(";"):
        raise cursor.unexpected("',' or ';'")
    return tuple(operands)


def _operand(cursor: Cursor, names: Names, depth: int) -> Operand:
    first = _simple(cursor, names, depth)
    if cursor.texts[cursor.position] != "|":
        return first
    cursor.position += 1
    return Pair(first, _simple(cursor, names, depth))


def _simple(cursor: Cursor, names: Names, depth: int) -> Operand:
    text = cursor.texts[cursor.position]
    if text == "_":
        cursor.position += 1
        return _SINK
    if is_word(text):
        return _name(cursor, names)
    if text in _CLOSING:
        if depth == DEEPEST:
            raise cursor.error("brackets are nested too deeply")
        return _bracketed(cursor, names, depth + 1)
    if text == "!":
        cursor.position += 1
        operand = names.resolve(cursor.texts[cursor.position])
        if not is_word(cursor.texts[cursor.position]) or not isinstance(operand, Register):
            raise cursor.unexpected("a predicate register")
        cursor.position += 1
        return Negated(operand)
    value = immediate(text)
    if value is not None:
        cursor.position += 1
        return value
    if text == "-":
        return _negative(cursor, names)
    raise cursor.unexpected("an operand")


def _negative(cursor: Cursor, names: Names) -> Operand:
    """Read a number below zero, or a register with a minus before it."""
    if not is_word(cursor.texts[cursor.position + 1]):
        return cursor.number()
    operand = names.resolve(cursor.texts[cursor.position + 1])
    if not isinstance(operand, Register):
        raise cursor.unexpected("a number or a register")
    cursor.position += 2
    return replace(operand, negative=True)


def _name(cursor: Cursor, names: Names) -> Register | Symbol:
    """Read a register, or a symbol with its offset."""
    found = names.resolve(cursor.texts[cursor.position])
    cursor.position += 1
    if type(found) is Symbol and cursor.texts[cursor.position] in ("+", "-"):
        return Symbol(found.name, _offset(cursor))
    return found


def _offset(cursor: Cursor) -> int:
    """Read ``+4``, ``-4`` or ``+-4``; 0 where nothing follows."""
    if cursor.accept("+"):
        return cursor.integer()
    if cursor.texts[cursor.position] == "-":
        return cursor.integer()
    return 0


def _bracketed(cursor: Cursor, names: Names, depth: int) -> Operand:
    opening = cursor.take()
    closing = _CLOSING[opening]
    if opening == "[":
        return _address(cursor, names, depth)
    elements: list[Operand] = []
    if not cursor.accept(closing):
        elements.append(_operand(cursor, names, depth))
        while cursor.accept(","):
            elements.append(_operand(cursor, names, depth))
        if not cursor.accept(closing):
            raise cursor.unexpected(f"',' or '{closing}'")
    return Vector(tuple(elements)) if opening == "{" else Arguments(tuple(elements))


def _address(cursor: Cursor, names: Names, depth: int) -> Address | Composite:
    """Read what follows ``[``: a base with an offset, or a list such as ``tex, {x, y}``."""
    text = cursor.texts[cursor.position]
    elements: list[Operand]
    if is_word(text) and text != "_":
        base = names.resolve(text)
        cursor.position += 1
        offset = _offset(cursor)
        if cursor.accept("]"):
            return Address(base, offset)
        if offset and type(base) is Register:
            raise cursor.unexpected("']'")
        elements = [Symbol(base.name, offset) if offset else base]
    else:
        first = _operand(cursor, names, depth)
        if type(first) is Immediate and first.kind == "int" and cursor.accept("]"):
            return Address(first)
        elements = [first]
    while cursor.accept(","):
        elements.append(_operand(cursor, names, depth))
    if not cursor.accept("]"):
        raise cursor.unexpected("',' or ']'")
    return Composite(tuple(elements))
