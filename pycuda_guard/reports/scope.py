"""What a run did not look at, in the words of the report's last line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pycuda_guard.findings import Finding


@dataclass(frozen=True, slots=True)
class Area:
    """A part of what can go wrong, the rules that look at it, and the option that brings or removes them."""

    name: str
    codes: tuple[str, ...]
    off: str = ""

    @property
    def unchecked(self) -> str:
        """What a report says where not all of the rules looked."""
        return self.off or self.name


_KERNELS = "what kernels do (--no-kernels)"

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
    Area("accesses inside kernels", ("PG202", "PG205", "PG504", "PG506"), _KERNELS),
    Area(
        "uninitialized data and uncovered outputs",
        ("PG301", "PG302", "PG303", "PG304", "PG505"),
        _KERNELS,
    ),
    Area("kernels that can't be instrumented", ("PG208",)),
    Area(
        "races inside kernels",
        ("PG211", "PG501", "PG502", "PG503"),
        "races inside kernels (--races)",
    ),
    Area("several contexts, processes and libraries", ("PG602", "PG604", "PG605", "PG606")),
)

#: what the guard's own findings say about a run, by code
BLIND = {
    "PG901": "kernels that could not be instrumented (PG901)",
    "PG902": "work done before the guard was enabled (PG902)",
    "PG903": "calls on which the guard itself failed (PG903)",
}


#: how many rules there are
RULE_COUNT = sum(len(area.codes) for area in AREAS) + len(BLIND)


def not_checked(
    live: Collection[str],
    blind: Iterable[str],
    findings: Iterable[Finding] = (),
    left_out: Collection[str] = (),
) -> list[str]:
    """Return what was not looked at, each once: what the user left out, what the run says, what is off.

    ``live`` are the codes of the rules that looked; where none did, it is not known which. ``left_out``
    are those among them of which the user does not want to hear, ``blind`` the run's own words; of
    ``findings``, the guard's own count.
    """
    codes = {finding.code for finding in findings}
    spots = []
    if left_out:
        spots.append(f"{', '.join(_in_short(live, left_out))} (left out by select and ignore)")
    spots += [*blind, *(text for code, text in BLIND.items() if code in codes)]
    if live:
        spots += [area.unchecked for area in AREAS if not set(area.codes) <= set(live)]
    return list(dict.fromkeys(spots))


def _in_short(live: Collection[str], left_out: Collection[str]) -> list[str]:
    """Return the codes ``left_out``; ``PG1xx`` where all of a hundred that are live are among them."""
    named: dict[str, None] = {}
    for code in sorted(left_out):
        hundred = [other for other in live if other.startswith(code[:3])]
        is_whole = len(hundred) > 1 and set(hundred) <= set(left_out)
        named[f"{code[:3]}xx" if is_whole else code] = None
    return list(named)
