"""The places that can report, numbered over a whole module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.kernels.instrument.model import Site

if TYPE_CHECKING:
    from pycuda_guard.kernels.instrument.accesses import Access
    from pycuda_guard.kernels.ptx.ir import Instruction


class Sites:
    """Gives out the numbers of sites. The same site, asked for again by another variant, keeps its number."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, Site], int] = {}
        # instructions stay alive while sites are given out, so that their identities tell them apart
        self._instructions: list[Instruction] = []

    @property
    def found(self) -> tuple[Site, ...]:
        """All sites, by number."""
        return tuple(site for _, site in self._numbers)

    def number(self, instruction: Instruction, site: Site) -> int:
        """Return the number of the site of an instruction."""
        key = (id(instruction), site)
        known = self._numbers.get(key)
        if known is None:
            known = self._numbers[key] = len(self._numbers)
            self._instructions.append(instruction)
        return known

    def of_access(
        self, function: str, access: Access, root: int | None = None, variable: str = "", size: int = 0
    ) -> int:
        """Return the number of an access's site; see :class:`Site` for ``root`` and ``variable``."""
        site = Site(
            function,
            access.kind,
            access.width,
            access.space.value,
            access.instruction.source,
            root,
            variable,
            size,
        )
        return self.number(access.instruction, site)
