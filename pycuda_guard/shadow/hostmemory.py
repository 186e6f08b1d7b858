"""Tells the addresses of the host's own memory from those that only a device has."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Addresses that lie next to each other in such a number were reserved for a device: no host has that much.
_DEVICE_SPAN = 1 << 40

_OWN_NAMES = ("", "[heap]", "[stack]")


class Mapping(NamedTuple):
    """A line of ``/proc/PID/maps``: the addresses from ``start`` up to ``end``, and how they may be used."""

    start: int
    end: int
    access: str
    name: str


def is_host_memory(address: int, lines: Iterable[str] | None = None) -> bool:
    """Tell whether an address certainly lies in memory that the host has for itself, heap, stack or array.

    ``lines`` are those of ``/proc/self/maps``, which is read by default. False where there is no such file.
    """
    if lines is None:
        try:
            with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
                lines = maps.readlines()
        except OSError:
            return False
    mappings = [mapping for line in lines if (mapping := _parse(line)) is not None]
    for index, mapping in enumerate(mappings):
        if mapping.start <= address < mapping.end:
            is_own = mapping.access == "rw-p" and mapping.name in _OWN_NAMES
            return is_own and _span(mappings, index) < _DEVICE_SPAN
    return False


def _span(mappings: list[Mapping], index: int) -> int:
    """Return how many addresses are mapped in one piece around a mapping, whatever for."""
    first = last = index
    while first and mappings[first - 1].end == mappings[first].start:
        first -= 1
    while last + 1 < len(mappings) and mappings[last].end == mappings[last + 1].start:
        last += 1
    return mappings[last].end - mappings[first].start


def _parse(line: str) -> Mapping | None:
    fields = line.split(maxsplit=5)
    try:
        start, end = (int(number, 16) for number in fields[0].split("-"))
    except (ValueError, IndexError):
        return None
    return Mapping(start, end, fields[1], fields[5].strip() if len(fields) > 5 else "")
