"""Device functions: which of them are instrumented, and how the launch's header is handed on to them.

An instrumented device function is a copy under another name with one parameter more than the user's, the
last: the header of the kernel's hidden parameter. Every call in instrumented code that can reach it, by
name or by address, passes it. The function as it was stays for kernels that are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.accesses import is_unseen
from pycuda_guard.kernels.instrument.reports import pass_header
from pycuda_guard.kernels.ptx.ir import (
    Arguments,
    Instruction,
    Register,
    Space,
    Symbol,
    SymbolValue,
    Variable,
    symbols_of,
)
from pycuda_guard.kernels.ptx.opcodes import called
from pycuda_guard.kernels.ptx.wellformed import why_malformed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.ptx.ir import FlatFunction, Function, Initializer, Module, Operand

#: what the name of an instrumented device function ends in
SUFFIX = "$guarded"
#: functions that the driver provides: they access what the program hands them, and no output of it
PROVIDED = frozenset({"vprintf", "malloc", "free", "__assertfail"})
HEAP = frozenset({"malloc", "free"})
#: how the names of the functions begin by which kernels launch kernels, and what is said of those
_DEVICE_RUNTIME = "__cudaCDP2"
_LAUNCHES = "it launches kernels, or a kernel launches it"


@dataclass(frozen=True, slots=True)
class CallPlan:
    """What calls in a module need.

    ``functions``: the flat device functions with bodies. ``left_out``: why a kernel or a function, or
    something that it calls, can't be instrumented. ``reached``: the device functions that each
    function can reach by calls. ``heap``: the functions that use the in-kernel heap.
    ``indirect``: those that call by address, or call such a function.
    ``renames_addresses``: whether variables hold addresses of instrumented functions.
    """

    functions: Mapping[str, FlatFunction]
    left_out: Mapping[str, str]
    reached: Mapping[str, frozenset[str]]
    heap: frozenset[str]
    renames_addresses: bool
    indirect: frozenset[str]

    def guarded(self, name: str) -> bool:
        """Tell whether a function has an instrumented copy."""
        return name in self.functions


def plan_calls(module: Module, flat: Mapping[str, FlatFunction]) -> CallPlan:
    """Find out what can be instrumented of the functions ``flat``, by name, of a module."""
    functions = {name: each for name, each in flat.items() if not each.function.entry}
    taken = {name for each in flat.values() for name in _addresses_taken(each) if name in module.functions}
    taken |= {
        name for variable in module.variables.values() for name in symbols_of(variable.initializer)
        if name in module.functions
    }  # fmt: skip
    calls = {name: _callees(each) for name, each in flat.items()}
    launched = sorted(name for name in taken & flat.keys() if flat[name].function.entry)
    own = {name: _own_reason(each, module) for name, each in flat.items()}
    # who launches it knows nothing of the hidden parameter
    left_out = dict.fromkeys(launched, _LAUNCHES)
    reached: dict[str, frozenset[str]] = {}
    heap = set()
    for name in flat:
        reach = _reach(name, calls, taken & functions.keys())
        reached[name] = frozenset(reach & functions.keys())
        reasons = [own[each] for each in sorted(reach | {name}) if own.get(each)]
        if reasons:
            left_out.setdefault(name, reasons[0])
        if any(each in HEAP for each in reach):
            heap.add(name)
    _leave_recursive_out(left_out, reached)
    indirect = bool(taken & functions.keys())
    by_address = frozenset(name for name in flat if _is_indirect(name, calls, reached))
    takers = {name for name, each in flat.items() if not taken.isdisjoint(_addresses_taken(each))}
    bad_indirect = ""
    for name in flat:
        deals = name in by_address or not takers.isdisjoint({name, *reached[name]})
        if name in left_out and deals:
            bad_indirect = bad_indirect or left_out[name]
    if bad_indirect and indirect:
        # addresses of functions are one and the same for all kernels of the module
        for name in flat:
            if name in by_address:
                left_out.setdefault(name, f"it calls functions by address, and {bad_indirect}")
    return CallPlan(functions, left_out, reached, frozenset(heap), indirect and not bad_indirect, by_address)


def _leave_recursive_out(left_out: dict[str, str], reached: Mapping[str, frozenset[str]]) -> None:
    """Say of functions that come to recursion why they are left out.

    The stack has the size that the program asked for, and instrumented functions need more of it.
    """
    for name, names in reached.items():
        recursive = sorted(each for each in names if each in reached[each])
        if recursive:
            left_out.setdefault(name, f"it calls {recursive[0]}, which is recursive")


def header_parameter() -> Variable:
    """Return the parameter that instrumented device functions have in addition."""
    return Variable(abi.LAUNCH_PARAMETER, Space.PARAM, "b8", align=16, dims=(abi.HEADER.size,))


def emit_call(frame: Frame, instruction: Instruction) -> None:
    """Emit a call; one that may come to an instrumented function passes the header."""
    builder = frame.builder
    callee = called(instruction)
    if isinstance(callee, Symbol) and not frame.is_guarded(callee.name):
        builder.keep(instruction)
        return
    name = f"{abi.LAUNCH_PARAMETER}_{builder.label().lstrip('$')}"
    passing = pass_header(frame, name)
    for statement in passing:
        builder.keep(statement)
    builder.keep(replace(instruction, operands=tuple(_with_header(frame, instruction, name))))


def with_guarded(frame: Frame, instruction: Instruction) -> Instruction:
    """Return an instruction in which functions are their instrumented copies."""
    if not any(isinstance(operand, Symbol) for operand in instruction.operands):
        return instruction
    operands = tuple(_guarded(frame, operand) for operand in instruction.operands)
    return instruction if operands == instruction.operands else replace(instruction, operands=operands)


def _guarded(frame: Frame, operand: Operand) -> Operand:
    if isinstance(operand, Symbol) and frame.is_guarded(operand.name):
        return Symbol(operand.name + SUFFIX, operand.offset)
    return operand


def _with_header(frame: Frame, instruction: Instruction, name: str) -> Iterator[Operand]:
    """Yield the operands of a call with the header as one more argument."""
    header = Symbol(name)
    callee_seen = arguments_seen = False
    for operand in instruction.operands:
        if isinstance(operand, Arguments) and callee_seen:
            arguments_seen = True
            yield Arguments((*operand.elements, header))
        elif not callee_seen and isinstance(operand, Symbol | Register):
            callee_seen = True
            yield _guarded(frame, operand)
        else:
            if callee_seen and not arguments_seen:
                arguments_seen = True
                yield Arguments((header,))
            yield operand
    if not arguments_seen:
        yield Arguments((header,))


def _own_reason(flat: FlatFunction, module: Module) -> str:
    """Return why a function can't be instrumented for what it does itself; empty if it can."""
    if any("." in name for name in flat.registers):
        return "it has vectors of registers"
    if any(variable.space is Space.REG for variable in (*flat.function.parameters, *flat.function.returns)):
        return f"the parameters of {flat.name} are in registers"
    for statement in flat.body:
        if not isinstance(statement, Instruction):
            continue
        if reason := why_malformed(statement, flat):
            return reason
        if is_unseen(statement):
            return f"it uses {'.'.join((statement.opcode, *statement.modifiers))}"
        callee = called(statement)
        reason = _callee_reason(callee.name, module) if isinstance(callee, Symbol) else ""
        if reason:
            return reason
    for name in _addresses_taken(flat):
        known = module.functions.get(name)
        if known is not None and (known.entry or known.body is None):
            return f"it takes the address of {name}"
    return ""


def _callee_reason(name: str, module: Module) -> str:
    """Return why calls of a function can't be instrumented; empty if they can."""
    known = module.functions.get(name)
    if name.startswith(_DEVICE_RUNTIME):
        return _LAUNCHES
    if name not in PROVIDED and (known is None or known.body is None):
        return f"it calls {name}, which is in another module"
    return f"it calls the kernel {name}" if known is not None and known.entry else ""


def _addresses_taken(flat: FlatFunction) -> Iterator[str]:
    """Yield the symbols whose address a function takes other than to call or access them."""
    for statement in flat.body:
        if isinstance(statement, Instruction) and statement.opcode not in ("call", "bra", "brx"):
            for operand in statement.operands:
                if isinstance(operand, Symbol):
                    yield operand.name


def _callees(flat: FlatFunction) -> set[str]:
    """Return the names that a function calls; the empty name stands for calls by address."""
    found = set()
    for statement in flat.body:
        if isinstance(statement, Instruction) and statement.opcode == "call":
            callee = called(statement)
            found.add(callee.name if isinstance(callee, Symbol) else "")
    return found


def _reach(name: str, calls: Mapping[str, set[str]], indirect: set[str]) -> set[str]:
    """Return all names that a function may come to call."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for callee in calls.get(waiting.pop(), ()):
            for each in indirect if callee == "" else {callee}:
                if each not in found:
                    found.add(each)
                    waiting.append(each)
    return found


def _is_indirect(name: str, calls: Mapping[str, set[str]], reached: Mapping[str, frozenset[str]]) -> bool:
    return any("" in calls[each] for each in {name, *reached[name]})


def rename_initializer(variable: Variable, guarded: set[str]) -> Variable:
    """Return a variable in whose initial value functions are their instrumented copies."""
    return replace(variable, initializer=_renamed(variable.initializer, guarded))


def _renamed(value: Initializer | None, guarded: set[str]) -> Initializer | None:
    if isinstance(value, tuple):
        return tuple(new for new in (_renamed(each, guarded) for each in value) if new is not None)
    if isinstance(value, SymbolValue) and value.name in guarded:
        return replace(value, name=value.name + SUFFIX)
    return value


def with_prototypes(flat: FlatFunction) -> FlatFunction:
    """Return a function whose calls by address pass the header too."""
    if not flat.prototypes:
        return flat
    more = replace(header_parameter(), name="_")
    prototypes = {
        name: replace(each, parameters=(*each.parameters, more)) for name, each in flat.prototypes.items()
    }
    return replace(flat, prototypes=prototypes)


def takes_header(function: Function) -> Function:
    """Return a device function with the header as one more parameter."""
    return replace(function, parameters=[*function.parameters, header_parameter()])
