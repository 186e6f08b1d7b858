"""Events and tables as bytes, by msgspec: checked against the classes on the way back.

Nothing but numbers, texts and rows of them is ever made from a file, so reading one runs no code.
"""

from __future__ import annotations

import inspect
import zlib
from enum import Enum
from typing import TYPE_CHECKING, Any, Union

import msgspec

from pycuda_guard.callsite import Site
from pycuda_guard.events import model

if TYPE_CHECKING:
    from collections.abc import Iterator

_SMALLEST, _LARGEST = -(2**63), 2**64 - 1

#: bytes that the text of a source file may have when it is read back
MAX_SOURCE = 1 << 26


class Start(msgspec.Struct, tag=True, kw_only=True):
    """What was recorded: the first record of the tables.

    ``started`` is seconds since 1970, UTC. ``parent`` is the process that this one was forked from
    while it was recorded, else 0. ``host`` is its machine, ``rank`` the number that a launcher of MPI has
    given it, if one has. ``device`` names where kernels run; ``kernels`` tells
    whether they were looked into, ``races`` whether for races, too.
    """

    version: str = "unknown"
    process: int = 0
    parent: int = 0
    host: str = ""
    rank: int | None = None
    started: float = 0.0
    arguments: tuple[str, ...] = ()
    directory: str = ""
    device: str = "an unknown device"
    races: bool = False
    kernels: bool = True


class SourceText(msgspec.Struct, tag=True):
    """The text of a file that calls PyCUDA, in UTF-8 under zlib; empty where it could not be read."""

    file: str
    packed: bytes

    @classmethod
    def pack(cls, file: str, text: str) -> SourceText:
        """Return the record of a file's text."""
        return cls(file, zlib.compress(text.encode("utf-8", "surrogatepass"), 1))

    def unpack(self) -> str:
        """Return the text. Raises ValueError where it is damaged or larger than :data:`MAX_SOURCE`."""
        unpacker = zlib.decompressobj()
        try:
            text = unpacker.decompress(self.packed, MAX_SOURCE)
        except zlib.error as error:
            raise ValueError(f"the text of {self.file} can't be unpacked: {error}") from error
        if not unpacker.eof:
            raise ValueError(f"the text of {self.file} is cut off or too large")
        return text.decode("utf-8", "surrogatepass")


class BlindSpots(msgspec.Struct, tag=True):
    """What the run did not look at for reasons of its own, for its last line."""

    spots: tuple[str, ...]


Table = Start | SourceText | BlindSpots


def event_classes() -> tuple[type[model.Event], ...]:
    """Return the classes of all events, in the order of their definition."""
    return tuple(_leaves(model.Event))


def _leaves(parent: type[model.Event]) -> Iterator[type[model.Event]]:
    for child in parent.__subclasses__():
        if child.__subclasses__():
            yield from _leaves(child)
        else:
            yield child


def layout() -> int:
    """Return a number that changes whenever a field or a word of the events is added, moved or renamed."""
    words: list[str] = []
    for name, found in sorted({**vars(model), "Site": Site}.items()):
        if not isinstance(found, type):
            continue
        if issubclass(found, Enum):
            words += [name, *(str(member.value) for member in found)]
        elif issubclass(found, msgspec.Struct):
            own = inspect.get_annotations(found)
            words += [name, *found.__struct_fields__, *(f"{field}:{text}" for field, text in own.items())]
    return zlib.crc32(" ".join(words).encode())


def plain(value: Any) -> Any:
    """Return a scalar of numpy's as Python's own, and anything else that is no plain data as text."""
    item = getattr(value, "item", None)
    return str(value) if item is None else item()


encode = msgspec.msgpack.Encoder(enc_hook=plain).encode

_decode_event = msgspec.msgpack.Decoder(Union[event_classes()]).decode  # noqa: UP007
_decode_table = msgspec.msgpack.Decoder(Table).decode


def encode_anyhow(event: model.Event) -> bytes:
    """Return the bytes of an event that :func:`encode` refuses.

    Numbers beyond 64 bits become the nearest that fit, and characters that UTF-8 does not know
    (of file names in no encoding) become backslash escapes.
    """
    return encode(_tamed(msgspec.to_builtins(event, enc_hook=plain)))


def _tamed(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int):
        return value if _SMALLEST <= value <= _LARGEST else max(_SMALLEST, min(value, _LARGEST))
    if isinstance(value, (list, tuple)):
        return [_tamed(item) for item in value]
    return value


def decode_event(body: bytes) -> model.Event:
    """Return the event that ``body`` encodes. Raises ValueError where it encodes none."""
    return _decode(_decode_event, body)  # type: ignore[no-any-return]


def decode_table(body: bytes) -> Table:
    """Return the table record that ``body`` encodes. Raises ValueError where it encodes none."""
    return _decode(_decode_table, body)  # type: ignore[no-any-return]


def _decode(decode: Any, body: bytes) -> Any:
    try:
        return decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(str(error) or type(error).__name__) from error
