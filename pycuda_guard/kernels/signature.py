"""Kernel signatures from PTX headers, without parsing bodies.

Parameter sizes, alignments and offsets come from PTX; names, pointee types and lines from the
source text where it is known and a kernel of it can be told to be the one in PTX.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from pycuda_guard.events.model import KernelSignature, Parameter, ParameterKind
from pycuda_guard.kernels.analysis.pointers import followed_parameters
from pycuda_guard.kernels.ptx.declarations import read_variables
from pycuda_guard.kernels.ptx.flatten import flatten
from pycuda_guard.kernels.ptx.ir import Module
from pycuda_guard.kernels.ptx.lexer import Cursor
from pycuda_guard.kernels.ptx.parser import as_text, read_function, read_header
from pycuda_guard.kernels.source import SourceKernel, SourceParameter, find_kernels, match_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.kernels.ptx.ir import Function, Variable

# comments and strings first, so that nothing inside them counts
_STRUCTURE = re.compile(
    r"""
    //[^\n]*+ | /\*(?:[^*]|\*(?!/))*+\*/ | "(?:[^"\\\n]|\\.)*+"
  | (?P<brace>[{}])
  | (?<![\w.:])(?P<shared>\.shared)\b
  | (?P<function>(?:\.(?:visible|extern|weak)\s+)*+\.(?:entry|func)\b)
    """,
    re.VERBOSE,
)
_NAME = re.compile(r"[\w$%]+", re.ASCII)


@dataclass(slots=True)
class _Outline:
    """A function of a module by its place in the text: its header, body and shared variables."""

    start: int
    opening: int = 0
    end: int = 0
    shared: tuple[int, ...] = ()


def read_signatures(
    ptx: str | bytes, source: str | None = None, follow_all: bool = False
) -> tuple[KernelSignature, ...]:
    """Return the signatures of the kernels that a PTX module defines, in their order.

    ``source`` is the CUDA C text that was compiled, if known. ``source_line`` counts from 1 in that
    very text. ``follows`` is found for parameters that the source declares with two stars or more;
    ``follow_all`` looks at all kernels. ``static_shared`` adds up the shared variables of the kernel
    and of the functions it calls by name, in the order of declaration; ptxas may pack them closer.
    A 64-bit parameter that the source doesn't tell about is a pointer if PTX says ``.ptr`` or
    converts its value with ``cvta.to``, otherwise an integer.

    Raises PtxSyntaxError where a header does not follow the grammar. Bodies are not checked.
    """
    text = as_text(ptx)
    outlines, module_shared = _outline(text)
    kernels = find_kernels(source) if source else ()
    headers = [(outline, read_header(Cursor(text, outline.start, outline.opening))) for outline in outlines]
    shared = _SharedSizes(text, headers, module_shared)
    signatures = []
    for outline, header in headers:
        if header.entry:
            kernel = match_kernel(header.name, len(header.parameters), kernels)
            parameters = tuple(_parameters(header, text[outline.opening : outline.end], kernel))
            look = follow_all or any(parameter.depth > 1 for parameter in parameters)
            signatures.append(
                KernelSignature(
                    header.name,
                    parameters,
                    shared.of(header.name),
                    _max_threads(header),
                    None,
                    kernel.line if kernel else None,
                    _follows(text, outline) if look else (),
                )
            )
    return tuple(signatures)


def _outline(text: str) -> tuple[list[_Outline], list[int]]:
    """Find the functions that have bodies, and the shared variables of the module."""
    functions: list[_Outline] = []
    module_shared: list[int] = []
    shared = module_shared
    current: _Outline | None = None
    depth = 0
    for match in _STRUCTURE.finditer(text):
        kind = match.lastgroup
        if kind == "brace":
            if match.group() == "{":
                if depth == 0 and current is not None:
                    current.opening = match.start()
                    shared = []
                depth += 1
            elif depth:
                depth -= 1
                if depth == 0 and current is not None:
                    current.end = match.end()
                    current.shared = tuple(shared)
                    functions.append(current)
                    current, shared = None, module_shared
        elif kind == "shared":
            shared.append(match.start())
        elif kind == "function" and depth == 0:
            current = _Outline(match.start())
            declaration = re.compile("[;{]").search(text, match.end())
            if declaration is None or declaration.group() == ";":
                current = None
    return functions, module_shared


class _SharedSizes:
    """Static shared memory of each function, with that of the functions it names."""

    def __init__(self, text: str, headers: list[tuple[_Outline, Function]], module_shared: list[int]) -> None:
        self.text = text
        self.module_variables = {v.name: v for v in _read_variables(text, module_shared)}
        self.own = {header.name: _read_variables(text, outline.shared) for outline, header in headers}
        self.bodies = {header.name: outline for outline, header in headers}
        self.any = bool(module_shared) or any(self.own.values())

    def of(self, name: str) -> int:
        """Return the bytes for the kernel ``name``."""
        if not self.any:
            return 0
        variables: dict[str, Variable] = {}
        seen: set[str] = set()
        pending = [name]
        while pending:
            function = pending.pop()
            if function in seen:
                continue
            seen.add(function)
            variables.update({f"{function} {v.name}": v for v in self.own[function]})
            outline = self.bodies[function]
            named = set(_NAME.findall(self.text, outline.opening, outline.end))
            variables.update({n: v for n, v in self.module_variables.items() if n in named})
            pending.extend(named & self.bodies.keys())
        size = 0
        for variable in variables.values():
            size = _aligned(size, variable.alignment) + variable.size
        return size


def _read_variables(text: str, starts: tuple[int, ...] | list[int]) -> list[Variable]:
    found: list[Variable] = []
    for start in starts:
        end = text.find(";", start)
        found.extend(read_variables(Cursor(text, start, end + 1 if end >= 0 else len(text))))
    return found


def _parameters(header: Function, body: str, kernel: SourceKernel | None) -> Iterator[Parameter]:
    offset = 0
    declared = kernel.parameters if kernel else (SourceParameter("", ""),) * len(header.parameters)
    for variable, says in zip(header.parameters, declared, strict=True):
        offset = _aligned(offset, variable.alignment)
        names_scalar = says.depth == 1
        yield Parameter(
            says.name or variable.name,
            offset,
            variable.size,
            variable.alignment,
            _kind(variable, says, body),
            says.text,
            says.scalar if names_scalar else "",
            says.scalar_size if names_scalar else 0,
            says.depth,
        )
        offset += variable.size


def _kind(variable: Variable, says: SourceParameter, body: str) -> ParameterKind:
    if variable.dims or variable.vector != 1 or variable.type == "b128":
        return ParameterKind.BYTES
    if variable.type in ("f32", "f64", "f16", "bf16"):
        return ParameterKind.FLOAT
    if variable.element_size != 8:
        return ParameterKind.INTEGER
    known_integer = says.depth == 0 and says.scalar
    if says.depth or variable.pointer or (not known_integer and _is_converted(variable.name, body)):
        return ParameterKind.POINTER
    return ParameterKind.INTEGER


def _is_converted(name: str, body: str) -> bool:
    """Tell whether the body loads the parameter and converts its value to an address of a state space."""
    loads = re.finditer(
        rf"\bld\.param\.[bus]64\s+([\w$%]+)\s*,\s*\[\s*{re.escape(name)}\s*\]", body, re.ASCII
    )
    registers = {match[1] for match in loads}
    converted = re.finditer(r"\bcvta\.to\.\w+\.u64\s+[\w$%]+\s*,\s*([\w$%]+)", body, re.ASCII)
    return any(match[1] in registers for match in converted)


def _max_threads(header: Function) -> int | None:
    for directive, values in header.directives:
        if directive in ("maxntid", "reqntid"):
            return prod(value for value in values if isinstance(value, int))
    return None


def _follows(text: str, outline: _Outline) -> tuple[int, ...]:
    function = read_function(Cursor(text, outline.start, outline.end))
    return followed_parameters(flatten(function, Module((0, 0), ())))


def _aligned(offset: int, alignment: int) -> int:
    return (offset + alignment - 1) // alignment * alignment
