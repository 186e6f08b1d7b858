"""A module back to PTX text. Parsing the text gives an equal module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.ptx.ir import (
    Address,
    Arguments,
    Composite,
    Function,
    Immediate,
    Initializer,
    Instruction,
    Label,
    Module,
    Negated,
    Operand,
    Pair,
    Pragma,
    Prototype,
    Register,
    RegisterDeclaration,
    Scope,
    SourceMark,
    Statement,
    Symbol,
    TargetList,
    Variable,
    Vector,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BITS = {"f32": "0f{:08X}", "f64": "0d{:016X}"}


def print_module(module: Module) -> str:
    """Return a module's PTX text."""
    lines = [
        ".version {}.{}".format(*module.version),
        f".target {', '.join(module.target)}",
        f".address_size {module.address_size}",
        *(f'.file {number} "{path}"' for number, path in module.files.items()),
    ]
    for item in module.items:
        lines.append("")
        if isinstance(item, Variable):
            lines.append(f"{format_variable(item)};")
        elif isinstance(item, Function):
            lines.extend(_function_lines(item))
        else:
            lines.append(item.text)
    return "\n".join(lines) + "\n"


def format_operand(operand: Operand) -> str:
    """Return the text of one operand."""
    match operand:
        case Register(name, _, part, negative):
            return f"{'-' * negative}{name}{part and f'.{part}'}"
        case Immediate(kind, value):
            return str(value) if kind == "int" else _BITS[kind].format(value)
        case Symbol(name, offset):
            return name + _format_offset(offset)
        case Address(base, offset):
            return f"[{format_operand(base)}{_format_offset(offset)}]"
        case Vector(elements):
            return f"{{{_format_list(elements)}}}"
        case Pair(first, second):
            return f"{format_operand(first)}|{format_operand(second)}"
        case Negated(register):
            return f"!{register.name}"
        case Arguments(elements):
            return f"({_format_list(elements)})"
        case Composite(elements):
            return f"[{_format_list(elements)}]"
        case _:
            return "_"


def format_instruction(instruction: Instruction) -> str:
    """Return the text of one instruction, with its guard and semicolon."""
    guard = instruction.guard
    text = "" if guard is None else f"@{'!' if guard.negated else ''}{guard.register} "
    text += ".".join((instruction.opcode, *instruction.modifiers))
    if instruction.operands:
        text += " " + _format_list(instruction.operands)
    return text + ";"


def format_variable(variable: Variable) -> str:
    """Return the text of a variable or a parameter, without the semicolon."""
    parts = [f".{word}" for word in (*variable.linkage, variable.space.value)]
    if variable.attributes:
        parts.append(f".attribute({variable.attributes})")
    if variable.align is not None:
        parts.append(f".align {variable.align}")
    if variable.vector != 1:
        parts.append(f".v{variable.vector}")
    parts.append(f".{variable.type}")
    if variable.pointer is not None:
        space, align = variable.pointer
        parts.append(f".ptr .align {align}" if space == "generic" else f".ptr .{space} .align {align}")
    parts.append(variable.name + "".join("[]" if n is None else f"[{n}]" for n in variable.dims))
    if variable.initializer is not None:
        parts.append(f"= {_format_initializer(variable.initializer)}")
    return " ".join(parts)


def _format_list(operands: Iterable[Operand]) -> str:
    return ", ".join(map(format_operand, operands))


def _format_offset(offset: int) -> str:
    return f"+{offset}" if offset else ""


def _format_initializer(value: Initializer) -> str:
    if isinstance(value, tuple):
        return f"{{{', '.join(map(_format_initializer, value))}}}"
    if isinstance(value, Immediate):
        return format_operand(value)
    text = f"generic({value.name})" if value.generic else value.name
    text += _format_offset(value.offset)
    return text if value.mask is None else f"0x{value.mask:X}({text})"


def _function_lines(function: Function) -> Iterator[str]:
    directives = list(function.directives)
    head = [f".{word}" for word in (*function.linkage, "entry" if function.entry else "func")]
    if directives and directives[0][0] == "attribute":
        head.append(f".attribute({directives.pop(0)[1][0]})")
    if function.returns:
        head.append(f"({', '.join(map(format_variable, function.returns))})")
    yield f"{' '.join(head)} {function.name}("
    for position, parameter in enumerate(function.parameters, 1):
        yield f"\t{format_variable(parameter)}{',' if position < len(function.parameters) else ''}"
    yield ")"
    for name, values in directives:
        if name == "pragma":
            yield ".pragma {};".format(", ".join(f'"{value}"' for value in values))
        else:
            yield f".{name} {', '.join(map(str, values))}".rstrip()
    if function.body is None:
        yield ";"
    else:
        yield "{"
        yield from _statement_lines(function.body, "\t")
        yield "}"


def _statement_lines(body: list[Statement], indent: str) -> Iterator[str]:
    for statement in body:
        match statement:
            case Instruction():
                yield indent + format_instruction(statement)
            case Label(name):
                yield f"{name}:"
            case Scope(inner):
                yield indent + "{"
                yield from _statement_lines(inner, indent + "\t")
                yield indent + "}"
            case _:
                yield indent + _format_directive(statement)


def _format_directive(
    statement: SourceMark | TargetList | Prototype | Pragma | RegisterDeclaration | Variable,
) -> str:
    match statement:
        case SourceMark(source):
            text = f".loc {source.file} {source.line} {source.column}"
            if source.function:
                text += f", function_name {source.function}"
            if source.inlined_at:
                text += ", inlined_at {} {} {}".format(*source.inlined_at)
            return text
        case TargetList(name, directive, targets):
            return f"{name}: .{directive} {', '.join(targets)};"
        case Prototype(name, returns, parameters, suffix):
            text = f"{name} : .callprototype "
            if returns:
                text += f"({', '.join(map(format_variable, returns))}) "
            return f"{text}_ ({', '.join(map(format_variable, parameters))}) {suffix}".rstrip() + ";"
        case Pragma(text):
            return f'.pragma "{text}";'
        case RegisterDeclaration(type_name, names, vector):
            listed = ", ".join(name if count is None else f"{name}<{count}>" for name, count in names)
            return f".reg {f'.v{vector} ' if vector != 1 else ''}.{type_name} {listed};"
        case _:
            return f"{format_variable(statement)};"
