"""Kernel signatures from PTX headers, without parsing bodies.

Parameter sizes, alignments and offsets come from PTX; names, pointee types and lines from the
source text where it is known and a kernel of it can be told to be the one in PTX.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from pycuda_guard.events.model import VARIABLES, KernelSignature, Parameter, ParameterKind
from pycuda_guard.kernels.analysis.accesses import certain_accesses, named_variables, vague_accesses
from pycuda_guard.kernels.analysis.coverage import meant_stores
from pycuda_guard.kernels.analysis.loaded import is_by_data
from pycuda_guard.kernels.analysis.pointers import followed_parameters
from pycuda_guard.kernels.analysis.provenance import find_provenance
from pycuda_guard.kernels.analysis.sources import ParameterWord
from pycuda_guard.kernels.ptx.declarations import read_variables
from pycuda_guard.kernels.ptx.errors import PtxSyntaxError
from pycuda_guard.kernels.ptx.flatten import flatten
from pycuda_guard.kernels.ptx.ir import Address, Instruction, Module
from pycuda_guard.kernels.ptx.lexer import Cursor
from pycuda_guard.kernels.ptx.parser import as_text, read_function, read_header
from pycuda_guard.kernels.source import SourceParameter, find_kernels, match_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pycuda_guard.events.model import CertainAccess
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Function, Variable

# comments and strings come first, so that nothing inside them counts
_IGNORED = r"//[^\n]*+|/\*[^*]*+\*++(?:[^/*][^*]*+\*++)*/|\"(?:[^\"\\\n]|\\.)*\""
_BRACE = re.compile(rf"{_IGNORED}|\{{|\}}")
_FUNCTION = re.compile(
    rf"{_IGNORED}|(?P<head>(?:\.(?:visible|extern|weak)\s+)*\.(?P<kind>entry|func)\b)|\.pragma[^;]*+;|;"
)
_SHARED = re.compile(rf"{_IGNORED}|(?P<shared>\.shared)\b|[\w.:]+")
#: accesses and fences that reach beyond the device, or that are made to be watched from there
_SIGNALS = re.compile(r"\.sys\b|\.mmio\b|\.volatile\b(?!\.(?:shared|local))")

_LOAD_OR_CONVERT = re.compile(
    rf"{_IGNORED}|ld\.param\.[bus]64\s+(?P<loaded>[\w$%]+)\s*,\s*\[\s*(?P<parameter>[\w$%]+)\s*\]"
    r"|(?:selp|mov)\.[bus]64\s+(?P<chosen>[\w$%]+)\s*,\s*(?P<first>[\w$%]+)(?:\s*,\s*(?P<second>[\w$%]+))?"
    r"|cvta\.to\.\w+\.u64\s+[\w$%]+\s*,\s*(?P<converted>[\w$%]+)",
    re.ASCII,
)
_NAME = re.compile(r"[\w$%]+", re.ASCII)

#: Bytes of kernels in a module up to which their bodies are looked into: some 150 ms on a slow core.
_MAX_LOOKED_INTO = 100_000


@dataclass(frozen=True, slots=True)
class _Outline:
    """A function by its place in the text: from its linkage to the brace that closes its body."""

    start: int
    opening: int
    end: int
    entry: bool


def read_signatures(
    ptx: str | bytes, source: str | None = None, follow_all: bool = False
) -> tuple[KernelSignature, ...]:
    """Return the signatures of the kernels that a PTX module defines, in their order.

    ``source`` is the CUDA C text that was compiled, if known. ``source_line`` counts from 1 in that
    very text. ``follows`` is found for parameters that the source declares with two stars or more;
    ``follow_all`` looks at all kernels. ``accesses`` and ``coverage`` are found in modules of moderate
    size. ``signals`` is told of a module as a whole. ``static_shared`` adds up the shared variables
    of the kernel and of the functions it names, in the order of declaration; ptxas may pack them closer.
    A 64-bit parameter that the source doesn't tell about is a pointer if PTX says ``.ptr`` or
    converts its value with ``cvta.to``, otherwise an integer.

    Raises PtxSyntaxError where a header does not follow the grammar. Bodies are not checked.
    """
    text = as_text(ptx)
    outlines = _outline(text)
    kernels = find_kernels(source) if source else ()
    shared = _SharedSizes(text, outlines)
    signatures = []
    signals = _SIGNALS.search(text) is not None
    small = sum(outline.end - outline.start for outline in outlines if outline.entry) <= _MAX_LOOKED_INTO
    for outline in outlines:
        if not outline.entry:
            continue
        header = read_header(Cursor(text, outline.start, outline.opening))
        kernel = match_kernel(header.name, len(header.parameters), kernels)
        declared = kernel.parameters if kernel else (SourceParameter("", ""),) * len(header.parameters)
        told = all(says.depth or says.scalar for says in declared)
        converted: frozenset[str] = frozenset() if told else _converted(text, outline)
        parameters = tuple(_parameters(header, declared, converted))
        look = follow_all or any(parameter.depth > 1 for parameter in parameters)
        body = _body(text, outline) if look or small else None
        certain = certain_accesses(body) if small and body else None
        vague = vague_accesses(body) if small and body else None
        goes_anywhere, by_data = _addresses(body, vague, certain or ()) if body and vague else (False, False)
        signatures.append(
            KernelSignature(
                header.name,
                parameters,
                shared.of(outline),
                _max_threads(header),
                None,
                kernel.line if kernel else None,
                followed_parameters(body) if look and body else (),
                certain,
                signals,
                coverage=meant_stores(body, _pointers(parameters)) if small and body else None,
                is_vague=vague is None or bool(vague) or _calls(body),
                goes_anywhere=goes_anywhere or _calls(body),
                is_by_data=by_data,
                variables=_variables(body, certain or ()) if body else (),
            )
        )
    return tuple(signatures)


def _calls(body: FlatFunction | None) -> bool:
    entries = () if body is None else body.body
    return any(isinstance(entry, Instruction) and entry.opcode == "call" for entry in entries)


def _variables(body: FlatFunction, accesses: tuple[CertainAccess, ...]) -> tuple[str, ...]:
    """Return the variables whose addresses are symbols of accesses, up to the last one that is."""
    last = max((symbol for each in accesses for symbol, _ in each.address.terms), default=0)
    return named_variables(body)[: max(0, last - VARIABLES + 1)]


def _addresses(
    body: FlatFunction, accesses: frozenset[int], certain: tuple[CertainAccess, ...]
) -> tuple[bool, bool]:
    """Tell whether one of these accesses, by their identity, has an address of unknown origin.

    ``certain`` is what the kernel is certain to access. Second comes whether loaded values decide what
    they access.
    """
    provenance = find_provenance(body)
    origins = [
        provenance.origin(operand)
        for entry in body.body
        if isinstance(entry, Instruction) and id(entry) in accesses
        for operand in entry.operands
        if isinstance(operand, Address)
    ]
    goes_anywhere = not all(origin and isinstance(origin.source, ParameterWord) for origin in origins)
    return goes_anywhere, is_by_data(body, accesses, certain, provenance)


def _pointers(parameters: tuple[Parameter, ...]) -> frozenset[int]:
    kinds = enumerate(parameter.kind for parameter in parameters)
    return frozenset(position for position, kind in kinds if kind is ParameterKind.POINTER)


def _outline(text: str) -> list[_Outline]:
    """Find the functions that have bodies, by the braces of the module's level."""
    functions: list[_Outline] = []
    depth = opening = previous = 0
    for match in _BRACE.finditer(text):
        brace = match.group()
        if brace == "{":
            if depth == 0:
                opening = match.start()
            depth += 1
        elif brace == "}" and depth:
            depth -= 1
            if depth == 0:
                if head := _head(text, previous, opening):
                    functions.append(_Outline(head.start(), opening, match.end(), head["kind"] == "entry"))
                previous = match.end()
    return functions


def _head(text: str, start: int, end: int) -> re.Match[str] | None:
    """Find where the function starts whose body opens at ``end``; None if something else opens there."""
    head = None
    for match in _FUNCTION.finditer(text, start, end):
        if match["head"]:
            head = match
        elif match.group() == ";":
            head = None
    return head


class _SharedSizes:
    """Static shared memory of kernels, with that of the functions they name."""

    def __init__(self, text: str, outlines: list[_Outline]) -> None:
        self.text = text
        self.own: dict[_Outline, list[Variable]] = {}
        self.of_module: dict[str, Variable] = {}
        self.functions: dict[str, _Outline] = {}
        self.named: dict[_Outline, set[str]] = {}
        if ".shared" not in text:
            return
        previous = 0
        for outline in outlines:
            self._of_module(previous, outline.start)
            self.own[outline] = _shared_variables(text, outline.opening, outline.end)
            previous = outline.end
        self._of_module(previous, len(text))
        if self.of_module or any(found and not outline.entry for outline, found in self.own.items()):
            for outline in outlines:
                header = read_header(Cursor(text, outline.start, outline.opening))
                self.functions[header.name] = outline

    def _of_module(self, start: int, end: int) -> None:
        self.of_module.update({v.name: v for v in _shared_variables(self.text, start, end)})

    def of(self, kernel: _Outline) -> int:
        """Return the bytes for a kernel; dynamic shared memory counts by its alignment, as in ptxas."""
        variables: list[Variable] = []
        reached = {kernel: None}  # in the order met
        pending = [kernel]
        names: set[str] = set()
        while pending:
            function = pending.pop()
            variables.extend(self.own.get(function, ()))
            if not self.functions:
                break
            if function not in self.named:
                words = set(_NAME.findall(self.text, function.opening, function.end))
                self.named[function] = words & (self.functions.keys() | self.of_module.keys())
            names |= self.named[function]
            called = [self.functions[name] for name in self.named[function] & self.functions.keys()]
            pending.extend(other for other in called if other not in reached)
            reached.update(dict.fromkeys(called))
        variables.extend(variable for name, variable in self.of_module.items() if name in names)
        size = 0
        for variable in variables:
            size = _aligned(size, variable.alignment) + variable.size
        return size


def _shared_variables(text: str, start: int, end: int) -> list[Variable]:
    """Read the declarations of shared variables between two places."""
    if text.find(".shared", start, end) < 0:
        return []
    found: list[Variable] = []
    for match in _SHARED.finditer(text, start, end):
        if match["shared"]:
            stop = text.find(";", match.start(), end)
            found.extend(read_variables(Cursor(text, match.start(), stop + 1 if stop >= 0 else end)))
    return found


def _parameters(
    header: Function, declared: tuple[SourceParameter, ...], converted: frozenset[str]
) -> Iterator[Parameter]:
    offset = 0
    for variable, says in zip(header.parameters, declared, strict=True):
        offset = _aligned(offset, variable.alignment)
        names_scalar = says.depth == 1
        yield Parameter(
            says.name or variable.name,
            offset,
            variable.size,
            variable.alignment,
            _kind(variable, says, variable.name in converted),
            says.text,
            says.scalar if names_scalar else "",
            says.scalar_size if names_scalar else 0,
            says.depth,
        )
        offset += variable.size


def _kind(variable: Variable, says: SourceParameter, converted: bool) -> ParameterKind:
    if variable.dims or variable.vector != 1 or variable.type == "b128":
        return ParameterKind.BYTES
    if variable.type in ("f32", "f64", "f16", "bf16"):
        return ParameterKind.FLOAT
    if variable.element_size != 8:
        return ParameterKind.INTEGER
    known_integer = says.depth == 0 and says.scalar
    if says.depth or variable.pointer or (converted and not known_integer):
        return ParameterKind.POINTER
    return ParameterKind.INTEGER


def _converted(text: str, outline: _Outline) -> frozenset[str]:
    """Return the parameters whose values the body converts to addresses of a state space."""
    none: frozenset[str] = frozenset()
    values: dict[str, frozenset[str]] = {}  # of a register: the parameters that it may hold
    found = none
    for match in _LOAD_OR_CONVERT.finditer(text, outline.opening, outline.end):
        if match["loaded"]:
            values[match["loaded"]] = frozenset({match["parameter"]})
        elif match["chosen"]:
            values[match["chosen"]] = values.get(match["first"], none) | values.get(match["second"], none)
        elif match["converted"]:
            found |= values.get(match["converted"], none)
    return found


def _max_threads(header: Function) -> int | None:
    for directive, values in header.directives:
        if directive in ("maxntid", "reqntid"):
            return prod(value for value in values if isinstance(value, int))
    return None


def _body(text: str, outline: _Outline) -> FlatFunction | None:
    """Read the body of a kernel; None where it can't be read, which is the driver's business."""
    try:
        function = read_function(Cursor(text, outline.start, outline.end))
    except PtxSyntaxError:
        return None
    return flatten(function, Module((0, 0), ()))


def _aligned(offset: int, alignment: int) -> int:
    return (offset + alignment - 1) // alignment * alignment
