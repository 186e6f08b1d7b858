"""What a run looked at and what it did not, in the words of the report's last line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pycuda_guard.findings import Finding


@dataclass(frozen=True, slots=True)
class Area:
    """A part of what can go wrong, and the rules that look at it."""

    name: str
    codes: tuple[str, ...]


#: every rule of the catalogue belongs to one area; PG9xx is the guard's own
AREAS: tuple[Area, ...] = (
    Area("copies", ("PG201", "PG210", "PG407")),
    Area("launch limits", ("PG404",)),
    Area("arguments", ("PG401", "PG402")),
    Area("lifetimes", ("PG203", "PG206")),
    Area("pointers", ("PG204",)),
    Area("implicit synchronization", ("PG104",)),
    Area("types and orders of arrays", ("PG403", "PG408")),
    Area("leaks and exhausted memory", ("PG207", "PG209")),
    Area("events and asynchronous copies", ("PG106", "PG107")),
    Area("failed kernels", ("PG405",)),
    Area("current contexts", ("PG601", "PG603")),
    Area("races between streams", ("PG103", "PG105", "PG108")),
    Area("host accesses in flight", ("PG101", "PG102")),
    Area("accesses inside kernels", ("PG202", "PG205", "PG504", "PG506")),
    Area("arrays that alias in one launch", ("PG211",)),
    Area("kernels that can't be instrumented", ("PG208",)),
    Area("races inside kernels", ("PG501", "PG502", "PG503")),
    Area("uninitialized data and uncovered outputs", ("PG301", "PG302", "PG303", "PG304", "PG505")),
    Area("several contexts, processes and libraries", ("PG602", "PG604", "PG605", "PG606")),
)

#: what the guard's own findings say about a run, by code
BLIND = {
    "PG901": "kernels that could not be instrumented (PG901)",
    "PG902": "work done before the guard was enabled (PG902)",
    "PG903": "calls on which the guard itself failed (PG903)",
}


def checked(live: Collection[str]) -> list[str]:
    """Return the names of the areas all of whose rules are in ``live``."""
    return [area.name for area in AREAS if set(area.codes) <= set(live)]


def not_checked(live: Collection[str], findings: Iterable[Finding]) -> list[str]:
    """Return what was not looked at: in this run first, then by this version at all."""
    codes = {finding.code for finding in findings}
    return [text for code, text in BLIND.items() if code in codes] + [
        area.name for area in AREAS if not set(area.codes) <= set(live)
    ]
