"""Statements of a function's body, from tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.declarations import SPACES, read_parameters, read_registers, read_variables
from pycuda_guard.kernels.ptx.ir import (
    Guard,
    Instruction,
    Label,
    Pragma,
    Prototype,
    Scope,
    SourceLine,
    SourceMark,
    Statement,
    TargetList,
    Variable,
)
from pycuda_guard.kernels.ptx.lexer import is_word
from pycuda_guard.kernels.ptx.names import Names
from pycuda_guard.kernels.ptx.operands import read_operands

if TYPE_CHECKING:
    from pycuda_guard.kernels.ptx.lexer import Cursor

DEEPEST = 100  #: levels of scopes in a body


def read_body(cursor: Cursor, parameters: list[Variable]) -> list[Statement]:
    """Read ``{ … }``, the body of a function that has these parameters and return values."""
    body = _Body(cursor)
    for parameter in parameters:
        body.declare(parameter)
    cursor.expect("{")
    return body.statements(0)


class _Body:
    """The state of reading one body: open scopes, the ``.loc`` in force, opcodes already split."""

    __slots__ = ("cursor", "names", "opcodes", "source")

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self.names = Names()
        self.source: SourceLine | None = None
        self.opcodes: dict[str, tuple[str, tuple[str, ...]]] = {}

    def declare(self, variable: Variable) -> None:
        """Make a variable's name known in the open scope."""
        if variable.space.value == "reg":
            self.names.register(variable.name)
        else:
            self.names.variable(variable.name)

    def statements(self, depth: int) -> list[Statement]:
        """Read statements up to and including the closing brace."""
        cursor = self.cursor
        texts = cursor.texts
        found: list[Statement] = []
        while True:
            text = texts[cursor.position]
            if is_word(text) and texts[cursor.position + 1] != ":":
                found.append(self.instruction(None, cursor.position))
            elif text == "@":
                position = cursor.position
                found.append(self.instruction(self.guard(), position))
            elif text[:1] == ".":
                cursor.position += 1
                self.directive(text, found)
            elif is_word(text):
                found.append(self.labelled())
            elif text == "{":
                if depth == DEEPEST:
                    raise cursor.error("scopes are nested too deeply")
                cursor.position += 1
                self.names.open()
                found.append(Scope(self.statements(depth + 1)))
                self.names.close()
            elif text == "}":
                cursor.position += 1
                return found
            elif text == ";":
                cursor.position += 1
            else:
                raise cursor.unexpected("a statement")

    def guard(self) -> Guard:
        """Read ``@p`` or ``@!p``."""
        self.cursor.expect("@")
        negated = self.cursor.accept("!")
        return Guard(self.cursor.name(), negated)

    def instruction(self, guard: Guard | None, start: int) -> Instruction:
        """Read an opcode and its operands; the statement starts at token ``start``."""
        cursor = self.cursor
        text = cursor.texts[cursor.position]
        parts = self.opcodes.get(text)
        if parts is None:
            if not is_word(text) or text[0] in "%$":
                raise cursor.unexpected("an instruction")
            opcode, *modifiers = text.split(".")
            parts = self.opcodes[text] = opcode, tuple(modifiers)
        cursor.position += 1
        opcode, all_modifiers = parts
        while cursor.texts[cursor.position][:1] == ".":
            all_modifiers = (*all_modifiers, cursor.take()[1:])
        operands = read_operands(cursor, self.names)
        return Instruction(opcode, all_modifiers, operands, guard, cursor.span(start), self.source)

    def labelled(self) -> Label | TargetList | Prototype:
        """Read a label, or a list of targets or a call prototype with its name."""
        cursor = self.cursor
        name = cursor.name()
        cursor.expect(":")
        directive = cursor.texts[cursor.position]
        if directive in (".branchtargets", ".calltargets"):
            cursor.position += 1
            targets = [cursor.name()]
            while cursor.accept(","):
                targets.append(cursor.name())
            cursor.expect(";")
            return TargetList(name, directive[1:], tuple(targets))
        if directive == ".callprototype":
            cursor.position += 1
            return self.prototype(name)
        return Label(name)

    def prototype(self, name: str) -> Prototype:
        """Read what follows ``.callprototype``."""
        cursor = self.cursor
        returns = read_parameters(cursor) if cursor.texts[cursor.position] == "(" else []
        cursor.name()
        parameters = read_parameters(cursor) if cursor.texts[cursor.position] == "(" else []
        suffix: list[str] = []
        while not cursor.accept(";"):
            text = cursor.take()
            if text in ("", "{", "}"):
                raise cursor.unexpected("';'")
            suffix.append(text)
        return Prototype(name, tuple(returns), tuple(parameters), " ".join(suffix))

    def directive(self, text: str, found: list[Statement]) -> None:
        """Read the rest of a directive that starts with ``text``."""
        cursor = self.cursor
        if text == ".loc":
            self.source = _source_line(cursor)
            found.append(SourceMark(self.source))
        elif text == ".reg":
            declaration = read_registers(cursor)
            for name, count in declaration.names:
                self.names.register(name, count)
            found.append(declaration)
        elif text in SPACES:
            cursor.position -= 1
            variables = read_variables(cursor)
            for variable in variables:
                self.declare(variable)
            found.extend(variables)
        elif text == ".pragma":
            texts = [cursor.string()]
            while cursor.accept(","):
                texts.append(cursor.string())
            cursor.expect(";")
            found.extend(Pragma(each) for each in texts)
        else:
            cursor.position -= 1
            raise cursor.unexpected("a statement")


def _source_line(cursor: Cursor) -> SourceLine:
    """Read what follows ``.loc``."""
    file, line, column = cursor.integer(), cursor.integer(), cursor.integer()
    function = ""
    inlined_at = None
    while cursor.accept(","):
        word = cursor.name()
        if word == "function_name":
            function = cursor.name()
            if cursor.accept("+"):
                function += f"+{cursor.integer()}"
        elif word == "inlined_at":
            inlined_at = cursor.integer(), cursor.integer(), cursor.integer()
        else:
            cursor.position -= 1
            raise cursor.unexpected("'function_name' or 'inlined_at'")
    return SourceLine(file, line, column, function, inlined_at)
