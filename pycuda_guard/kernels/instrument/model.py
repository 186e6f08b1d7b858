"""What instrumenting a module gives: the new module, and what the host has to know of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.bounds import Bound
    from pycuda_guard.kernels.instrument.footprints import Tracing
    from pycuda_guard.kernels.instrument.proofs.model import Proof
    from pycuda_guard.kernels.instrument.races.model import RaceVariant
    from pycuda_guard.kernels.ptx.ir import Module, SourceLine


@dataclass(frozen=True, slots=True)
class Site:
    """A place in a kernel that can report. Its number is its index in :attr:`Instrumented.sites`.

    ``kind`` is ``read``, ``write``, ``atomic``, ``use`` (of a value), ``assert``, ``trap``, ``barrier`` or
    ``mask`` (of ``__syncwarp``); ``width`` the bytes accessed, all elements of a vector together;
    ``space`` is that of the access, as in PTX.
    ``root`` is the index in the kernel's roots where the address comes from one alone, else None.
    ``variable`` names the shared or global variable where the address comes from one alone.
    """

    function: str
    kind: str
    width: int
    space: str
    source: SourceLine | None
    root: int | None = None
    variable: str = ""
    variable_size: int = 0


@dataclass(frozen=True, slots=True)
class Root:
    """A 64-bit value in the user's parameters that a kernel derives addresses from.

    ``parameter`` is the position of the parameter, ``offset`` the byte offset in it (not 0 only for
    structs by value). ``narrowest`` is the width in bytes of the narrowest store through it (0 for
    none): where below 4, codes must stand for no more than that many bytes.
    """

    parameter: int
    offset: int
    loads: bool
    stores: bool
    atomics: bool
    narrowest: int = 0

    @property
    def expected_shift(self) -> int:
        """How many bytes one code stands for, as a power of two, unless other kernels need it finer."""
        return min(max(self.narrowest.bit_length() - 1, 0), 2)


@dataclass(frozen=True, slots=True)
class SharedShadow:
    """What watching a kernel's shared memory takes, behind its own dynamic shared memory.

    ``static`` bytes hold its static variables; one byte of the shadow stands for ``granule`` bytes.
    ``dynamic``: whether it uses dynamic shared memory.
    """

    static: int
    granule: int
    dynamic: bool

    def size(self, dynamic: int) -> int:
        """Return all the dynamic shared memory to ask for where the program asks for ``dynamic`` bytes."""
        codes = self.static // self.granule + -(-dynamic // self.granule)
        # both begin at multiples of 16; one unit is for the last origin, one for where the memory begins
        return _rounded(dynamic) + _rounded(codes) + 32


def _rounded(nbytes: int) -> int:
    return -(-nbytes // 16) * 16


@dataclass(frozen=True, slots=True)
class InstrumentedKernel:
    """One kernel of an instrumented module.

    ``hidden_offset`` is where the hidden parameter starts in the parameter buffer, ``hidden_bytes``
    its size. ``checked`` is the name of the variant that also checks what is read (global memory that
    was never written, shared memory of this block), or empty where there is nothing to check.
    ``loads_unknown`` and ``stores_unknown``: whether it accesses global memory by addresses whose
    origin is not known, for which the launch needs the table. ``shadow`` is what the checked variant
    needs to watch shared memory, None where it does not. Its launch may ask for :func:`shared_bytes`
    then; with less it watches global memory alone. ``races`` is the variant that looks for races.
    ``bounds``: what the host computes for the fast variant, one abi.BOUND each behind the hidden parameter.
    ``waits``: its blocks may wait for one another, so as many must be resident as of the bare kernel.
    ``proof`` is what the host must show for a launch of the variant without checks; None where there is none.
    ``tracing`` is what the variant needs that notes what it touches; None where there is none.
    """

    name: str
    hidden_offset: int
    hidden_bytes: int
    roots: tuple[Root, ...]
    checked: str = ""
    loads_unknown: bool = False
    stores_unknown: bool = False
    uses_heap: bool = False
    shadow: SharedShadow | None = None
    races: RaceVariant | None = None
    bounds: tuple[Bound, ...] = ()
    waits: bool = False
    proof: Proof | None = None
    tracing: Tracing | None = None

    @property
    def checks_shared(self) -> bool:
        """Whether the checked variant watches shared memory."""
        return self.shadow is not None

    def shared_bytes(self, dynamic: int) -> int:
        """Return the dynamic shared memory to ask for in the checked variant, in bytes."""
        return dynamic if self.shadow is None else self.shadow.size(dynamic)


@dataclass(frozen=True, slots=True)
class Instrumented:
    """An instrumented module. ``left_out`` says of kernels that stay as they were why."""

    module: Module
    kernels: dict[str, InstrumentedKernel]
    sites: tuple[Site, ...]
    left_out: dict[str, str] = field(default_factory=dict)
