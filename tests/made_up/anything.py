"""Events made up at random, of all that a recording may hold."""

from __future__ import annotations

import enum
import types
import typing
from typing import Any

import msgspec
from hypothesis import strategies as st

from pycuda_guard.events import codec, model as m

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
