"""The checked variant of a kernel: each access careful, and uninitialized bits followed to their use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from pycuda_guard.kernels.instrument.accesses import accesses_of
from pycuda_guard.kernels.instrument.body import emit_instruction, emit_statement, needs_check, statements
from pycuda_guard.kernels.instrument.definedness import Definedness
from pycuda_guard.kernels.instrument.initialization import Initialization, is_exchange
from pycuda_guard.kernels.instrument.shared_shadow import SharedMemory, is_shared
from pycuda_guard.kernels.instrument.taint import State, find_taint
from pycuda_guard.kernels.ptx.ir import Instruction, Register, Space

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.instrument.careful import AtAccess
    from pycuda_guard.kernels.instrument.coverage import Place
    from pycuda_guard.kernels.instrument.footprints import Tracer
    from pycuda_guard.kernels.instrument.frame import Frame
    from pycuda_guard.kernels.instrument.model import SharedShadow
    from pycuda_guard.kernels.instrument.races.watch import Races
    from pycuda_guard.kernels.ptx.ir import Guard

_DYNAMIC_SIZE = "%dynamic_smem_size"
_TOTAL_SIZE = "%total_smem_size"


def is_worthwhile(frame: Frame, accesses: tuple[Access, ...], shadow: SharedShadow | None) -> bool:
    """Tell whether a kernel reads anything that may not be initialized."""
    return any(access.reads and _brings(frame, access, shadow) for access in accesses)


def emit_checked(
    frame: Frame,
    shadow: SharedShadow | None,
    watch: Callable[[SharedMemory | None], Races] | None = None,
    tracer: Tracer | None = None,
) -> Races | None:
    """Emit the whole body. ``shadow`` is what the kernel needs to watch shared memory, if it can be.

    ``watch`` makes what looks for races, too, and is returned. ``tracer`` notes what is touched.
    """
    loads = _loads(frame, shadow)
    taint = find_taint(frame.flat, {index: state for index, (_, state) in loads.items()})
    brought = [(access, is_shared(frame, access)) for access, _ in loads.values()]
    definedness = Definedness(frame, taint, brought)
    initialization = Initialization(definedness)
    added: AtAccess = initialization
    watchers: list[Watcher] = [definedness]
    shared = SharedMemory(frame, definedness, shadow) if shadow is not None else None
    if shared is not None:
        initialization.elsewhere = shared.elsewhere
        watchers.append(shared)
    races = watch(shared) if watch is not None else None
    if races is not None:
        watchers.append(races)
        if races.watchdog is not None:
            watchers.insert(0, races.watchdog)  # before any operation of the warp that is added
        added = _Both(initialization, races)
        if shared is not None:
            shared.observer = races.in_shared
    if tracer is not None:
        added = _Both(added, tracer)
        watchers.append(tracer)
    sizes = _own_sizes(frame) if shared is not None or races is not None else {}
    _emit_all(frame, sizes, watchers, added, races)
    return races


def _emit_all(
    frame: Frame, sizes: dict[str, Register], watchers: list[Watcher], added: AtAccess, races: Races | None
) -> None:
    """Emit all statements, with what is added around each and to each access."""
    for statement in statements(frame.flat):
        if not isinstance(statement, Instruction):
            emit_statement(frame, statement)
            continue
        instruction = _with_sizes(statement, sizes)
        if races is not None:
            instruction = races.in_its_place(instruction)
        for watcher in watchers:
            watcher.before(instruction)
        emit_instruction(frame, instruction, added)
        for watcher in reversed(watchers):
            watcher.after(instruction)


class Watcher(Protocol):
    """What adds something around each instruction."""

    def before(self, instruction: Instruction) -> None:
        """Emit what goes before it."""

    def after(self, instruction: Instruction) -> None:
        """Emit what goes after it."""


@dataclass(frozen=True, slots=True)
class _Both:
    """What is added to an access: both, one after the other."""

    first: AtAccess
    second: AtAccess

    def __call__(self, frame: Frame, access: Access, place: Place | None, guard: Guard | None) -> None:
        self.first(frame, access, place, guard)
        self.second(frame, access, place, guard)


def _loads(frame: Frame, shadow: SharedShadow | None) -> dict[int, tuple[Access, State]]:
    """Return what is loaded that may not be initialized, by position in the body."""
    loads: dict[int, tuple[Access, State]] = {}
    for index, entry in enumerate(frame.flat.body):
        if isinstance(entry, Instruction):
            for access in accesses_of(entry):
                state = _brings(frame, access, shadow)
                if state and (access.kind == "read" or is_exchange(access)):
                    loads[index] = access, state
    return loads


def _brings(frame: Frame, access: Access, shadow: SharedShadow | None) -> State:
    """Return what an access may bring into registers that is not initialized."""
    if is_shared(frame, access):
        return State(0) if shadow is None else State.COPIED | State.COMPUTED
    # module variables start as zeros
    if not needs_check(frame, access) or frame.variable_of(access) is not None:
        return State(0)
    mixed = access.space is Space.GENERIC and shadow is not None
    return State.COPIED | State.COMPUTED if mixed else State.COPIED


def _own_sizes(frame: Frame) -> dict[str, Register]:
    """Compute what the program would read as sizes of shared memory, if the launch had asked for no more."""
    builder = frame.builder
    with builder.in_prologue():
        asked = frame.header("dynamic")
        given = builder.value("mov.u32", "b32", Register(_DYNAMIC_SIZE, special=True))
        total = builder.value("mov.u32", "b32", Register(_TOTAL_SIZE, special=True))
        total = builder.value("sub.u32", "b32", total, given)
        total = builder.value("add.u32", "b32", total, asked)
    return {_DYNAMIC_SIZE: asked, _TOTAL_SIZE: total}


def _with_sizes(instruction: Instruction, sizes: dict[str, Register]) -> Instruction:
    """Return an instruction with registers in the place of special ones."""
    if not sizes or not any(isinstance(o, Register) and o.name in sizes for o in instruction.operands):
        return instruction
    operands = tuple(sizes.get(o.name, o) if isinstance(o, Register) else o for o in instruction.operands)
    return replace(instruction, operands=operands)
