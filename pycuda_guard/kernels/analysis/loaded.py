"""Whether loaded values decide which memory a kernel accesses: ``x[index[i]]``, or ``if (mask[i]) x[i]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.analysis.sources import ParameterWord, VariableAddress
from pycuda_guard.kernels.ptx.ir import Address, Instruction, Register
from pycuda_guard.kernels.ptx.opcodes import definitions, uses

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from pycuda_guard.events.model import CertainAccess
    from pycuda_guard.kernels.analysis.provenance import Provenance
    from pycuda_guard.kernels.ptx.ir import FlatFunction

_LOADS = frozenset({"ld", "ldu", "atom", "tex", "tld4", "suld", "call"})
#: what is there before the kernel runs, and nothing has put loaded values in
_KNOWN = frozenset({"param", "param::entry", "const"})


def is_by_data(
    function: FlatFunction,
    accesses: Container[int],
    certain: Iterable[CertainAccess],
    provenance: Provenance,
) -> bool:
    """Tell whether loaded values decide what a kernel accesses by some instructions, by their identity.

    ``certain`` is what it is certain to access. They decide an address, or whether memory that a parameter
    points into is accessed at all. Turns of loops that are nothing but turns do not count. Takes a time
    proportional to the function's length for each turn; turns end when nothing changes, most often at the
    second.
    """
    known = {symbol for access in certain for symbol, _ in access.address.terms}
    is_uncertain = _goes_through_another(function, accesses, known, provenance)
    return is_uncertain or _follows_data(function, accesses, provenance)


def _goes_through_another(
    function: FlatFunction, accesses: Container[int], known: Container[int], provenance: Provenance
) -> bool:
    """Tell whether one of these instructions goes through a parameter whose position is not ``known``."""
    for entry in function.body:
        if isinstance(entry, Instruction) and id(entry) in accesses:
            for operand in entry.operands:
                origin = provenance.origin(operand) if isinstance(operand, Address) else None
                source = None if origin is None else origin.source
                if isinstance(source, ParameterWord) and source.position not in known:
                    return True
    return False


def _follows_data(function: FlatFunction, accesses: Container[int], provenance: Provenance) -> bool:
    """Tell whether one of these instructions accesses memory, other than variables, where loaded values say.

    A forward analysis over the whole function, without control flow: what a register gets of loaded values,
    by any of its definitions, it has.
    """
    found = [
        operand
        for entry in function.body
        if isinstance(entry, Instruction) and id(entry) in accesses
        for operand in entry.operands
        if isinstance(operand, Address) and isinstance(operand.base, Register)
    ]
    loaded = _loaded(function) if found else set[str]()
    for operand in found:
        assert isinstance(operand.base, Register)
        if operand.base.name in loaded:
            origin = provenance.origin(operand)
            if origin is None or not isinstance(origin.source, VariableAddress):
                return True
    return False


def _loaded(function: FlatFunction) -> set[str]:
    """Return the registers that get something of what was loaded."""
    found: set[str] = set()
    computed: list[tuple[set[str], tuple[str, ...]]] = []
    for entry in function.body:
        if not isinstance(entry, Instruction):
            continue
        defined = definitions(entry)
        if entry.opcode in _LOADS and _KNOWN.isdisjoint(entry.modifiers):
            found.update(defined)
        elif defined:
            computed.append(({register.name for register in uses(entry)}, defined))
    known = -1
    while known < len(found):
        known = len(found)
        for used, defined in computed:
            if not used.isdisjoint(found):
                found.update(defined)
    return found
