"""The layout of a recording: blocks, lanes and records (docs/recording.md).

A recording is a row of blocks of :data:`BLOCK` bytes, the last one cut short once the run is over.
Each begins with a :class:`Head`; what follows is a piece of one of two *lanes*, streams of bytes
that are put together from the blocks of their kind in the order of their serial numbers. A lane is
a row of records: the size in bytes of the whole record, the CRC-32 of its body, the body.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

from pycuda_guard.errors import GuardError

MAGIC = b"\x89PGREC\r\n"

#: how the name of a recording ends by custom
SUFFIX = ".pgr"

#: version of the blocks, lanes and records; that of the events is their layout, see events/codec.py
VERSION = 1

#: bytes of a block; a multiple of what any platform can map into memory at
BLOCK = 1 << 16

#: bytes at the start of a block that belong to its head
HEAD = 64

#: bytes of a block that belong to its lane
PAYLOAD = BLOCK - HEAD

#: size of the record and CRC-32 of its body, little-endian
RECORD = struct.Struct("<II")

_HEAD = struct.Struct("<8sHHIII")
_CHECK = struct.Struct("<I")


class RecordingError(GuardError):
    """A file can't be read as a recording."""


class Kind(IntEnum):
    """Which lane a block belongs to."""

    TABLES = 1  # what the run is and its source texts: never overwritten
    EVENTS = 2  # the timeline; in a bounded recording the oldest blocks are used again


@dataclass(frozen=True, slots=True)
class Head:
    """How a block begins. ``first`` is the offset in the block of the first record that starts there.

    ``first`` is :data:`BLOCK` where none does. ``serial`` counts the blocks of the lane from 1.
    ``layout`` tells apart versions of the events, see :func:`~pycuda_guard.events.codec.layout`.
    """

    kind: int
    serial: int
    first: int
    layout: int
    version: int = VERSION

    def pack(self) -> bytes:
        """Return the bytes that stand in the file, the check at their end."""
        packed = _HEAD.pack(MAGIC, self.version, self.kind, self.first, self.serial, self.layout)
        return packed + _CHECK.pack(zlib.crc32(packed))

    @classmethod
    def unpack(cls, data: bytes) -> Head | None:
        """Return the head that ``data`` begins with, or None where there is none, or a damaged one."""
        if len(data) < _HEAD.size + _CHECK.size or not data.startswith(MAGIC):
            return None
        (check,) = _CHECK.unpack_from(data, _HEAD.size)
        if zlib.crc32(data[: _HEAD.size]) != check:
            return None
        _, version, kind, first, serial, layout = _HEAD.unpack_from(data)
        return cls(kind, serial, first, layout, version)
