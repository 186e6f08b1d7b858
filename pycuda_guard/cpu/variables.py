"""Module variables as a loader knows them: their initial bytes, with the addresses left open."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def integer_bytes(value: int, nbytes: int) -> bytes:
    """Return the low bytes of an integer of any sign, in memory's order."""
    return (value & ((1 << 8 * nbytes) - 1)).to_bytes(nbytes, "little")


@dataclass(frozen=True, slots=True)
class Reference:
    """``nbytes`` at ``offset`` are the address of a variable or function, plus ``addend``.

    With a ``mask`` they are the bits of it that the mask selects, shifted down to bit 0.
    """

    offset: int
    nbytes: int
    name: str
    addend: int = 0
    mask: int | None = None

    def value(self, address: int) -> bytes:
        """Return the bytes for an address of the symbol."""
        result = address + self.addend
        if self.mask:
            result = (result & self.mask) >> ((self.mask & -self.mask).bit_length() - 1)
        return integer_bytes(result, self.nbytes)


@dataclass(frozen=True, slots=True)
class Image:
    """A variable as it is when its module has been loaded. ``data`` is empty if it is all zeros."""

    name: str
    nbytes: int
    data: bytes = b""
    references: tuple[Reference, ...] = ()

    def resolved(self, address_of: Callable[[str], int]) -> bytes:
        """Return the initial bytes, given the addresses of variables and functions; empty if all zeros."""
        if not self.references:
            return self.data
        data = bytearray(self.data or bytes(self.nbytes))
        for reference in self.references:
            end = reference.offset + reference.nbytes
            data[reference.offset : end] = reference.value(address_of(reference.name))
        return bytes(data)

    def record(self) -> dict[str, Any]:
        """Return all but ``data`` in a form fit for JSON, with the number of bytes that ``data`` has."""
        references = [asdict(reference) for reference in self.references]
        return {"name": self.name, "nbytes": self.nbytes, "stored": len(self.data), "references": references}

    @classmethod
    def from_record(cls, record: dict[str, Any], data: bytes) -> Image:
        """Return the image of a record and the bytes that were stored for it."""
        references = tuple(Reference(**reference) for reference in record["references"])
        return cls(record["name"], record["nbytes"], data, references)
