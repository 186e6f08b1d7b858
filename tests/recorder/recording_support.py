"""Events made up at random, and recordings written without PyCUDA."""

from __future__ import annotations

import enum
import types
import typing
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import strategies as st

from pycuda_guard.callsite import Site
from pycuda_guard.events import codec, model as m
from pycuda_guard.events.recorder import Recorder, describe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SITE = Site("/home/user/script.py", 3, "main")

NUMBERS = st.integers(-(2**63), 2**64 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def of_type(kind: Any) -> st.SearchStrategy[Any]:
    """Return a strategy for the values that a field annotated with ``kind`` may have."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*[of_type(choice) for choice in typing.get_args(kind)])
    if origin is tuple:
        of = typing.get_args(kind)
        if of[-1] is Ellipsis:
            return st.lists(of_type(of[0]), max_size=3).map(tuple)
        return st.tuples(*[of_type(part) for part in of])
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        names = {field.name: of_type(field.type) for field in msgspec.structs.fields(kind)}
        return st.fixed_dictionaries(names).map(lambda values: kind(**values))
    return {
        int: NUMBERS,
        str: TEXTS,
        bool: st.booleans(),
        float: st.floats(allow_nan=False),
        type(None): st.none(),
    }[kind]


def any_event() -> st.SearchStrategy[m.Event]:
    """Return a strategy for events of every class."""
    return st.one_of(*[of_type(kind) for kind in codec.event_classes()])


def copies(count: int, name: str = "memcpy_htod") -> list[m.Event]:
    """Return that many events, numbered from 1."""
    events: list[m.Event] = []
    for number in range(1, count + 1):
        event = m.Copy(
            SITE,
            11,
            31,
            name,
            m.CopyKind.HTOD,
            m.DeviceOperand(0xD000_0000 + number, m.Extent(400)),
            m.HostOperand(0x1000_0000, m.Extent(400), 400),
        )
        event.sequence = number
        event.time = 2 * number + 1  # odd, so that the record's last byte is not zero
        events.append(event)
    return events


def record(
    path: Path, events: Sequence[m.Event], *, limit: int | None = None, is_closed: bool = True
) -> list[BaseException]:
    """Write a recording and return what the recorder complained about."""
    problems: list[BaseException] = []
    recorder = Recorder(
        str(path), describe("1.2.3", "the CPU device"), lambda where, error: problems.append(error), limit
    )
    for event in events:
        recorder.write(event)
    if is_closed:
        recorder.close()
    return problems
