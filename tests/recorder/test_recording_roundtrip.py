"""What is recorded is read back, whatever it is."""

from __future__ import annotations

import linecache
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from made_up.anything import any_event
from made_up.recordings import copies, record

from pycuda_guard.callsite import Site
from pycuda_guard.events import codec, model as m
from pycuda_guard.events.format import BLOCK
from pycuda_guard.events.reader import read
from pycuda_guard.statements import call_text

if TYPE_CHECKING:
    from pathlib import Path


@given(any_event())
@settings(max_examples=300)
def test_every_event_survives(event: m.Event) -> None:
    assert codec.decode_event(codec.encode(event)) == event


@given(st.lists(any_event(), max_size=30))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_timeline_survives(tmp_path: Path, events: list[m.Event]) -> None:
    for number, event in enumerate(events, 1):
        event.sequence = number
    assert record(tmp_path / "run.pgr", events) == []
    recording = read(str(tmp_path / "run.pgr"))
    assert list(recording.events()) == events
    assert recording.problems == []


@pytest.mark.parametrize("is_closed", [True, False])
def test_a_timeline_of_many_blocks_survives(tmp_path: Path, is_closed: bool) -> None:
    events = copies(5000)
    record(tmp_path / "run.pgr", events, is_closed=is_closed)
    recording = read(str(tmp_path / "run.pgr"))
    assert list(recording.events()) == events
    assert recording.problems == []


@pytest.mark.parametrize("nbytes", [BLOCK - 200, BLOCK, 5 * BLOCK, *range(65_100, 65_500, 7)])
def test_an_event_may_be_larger_than_a_block(tmp_path: Path, nbytes: int) -> None:
    events = copies(3)
    large = m.CallFailed(None, 11, 31, "f", 0, "Error", "x" * nbytes)
    large.sequence = 4
    events.append(large)
    events += copies(6)[4:]
    record(tmp_path / "run.pgr", events)
    recording = read(str(tmp_path / "run.pgr"))
    assert list(recording.events()) == events
    assert recording.problems == []


def test_the_layout_tells_events_apart() -> None:
    before = codec.layout()
    m.Memset.__annotations__["stream"] = "str"
    try:
        assert codec.layout() != before
    finally:
        m.Memset.__annotations__["stream"] = "StreamId"
    assert codec.layout() == before


def test_scalars_of_numpy_are_numbers() -> None:
    event = m.Synchronized(None, np.int64(11), np.uint64(31), "stream", np.int32(7), np.bool_(True))
    assert codec.decode_event(codec.encode(event)) == event


def test_what_no_encoding_knows_is_kept_as_near_as_can_be(tmp_path: Path) -> None:
    event = m.CallFailed(Site("/home/\udcff.py", 3, "f"), 11, -(2**70), "f", 2**70, "Error", "\ud800 x")
    event.sequence = 1
    with pytest.raises((OverflowError, UnicodeEncodeError)):
        codec.encode(event)
    assert record(tmp_path / "run.pgr", [event]) == []
    (kept,) = read(str(tmp_path / "run.pgr")).events()
    assert isinstance(kept, m.CallFailed)
    assert (kept.context, kept.announced, kept.message) == (-(2**63), 2**64 - 1, "\\ud800 x")


@pytest.mark.parametrize("text", ["", "a = 1\n", "x = '\\x0c'\x0c\ny = 'Ω\u2028'\n# \udcff\n"])
def test_source_text_survives(tmp_path: Path, text: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(text, encoding="utf-8", errors="surrogateescape")
    lines = linecache.getlines(str(script))
    event = copies(1)[0]
    event.site = Site(str(script), 1, "f")
    record(tmp_path / "run.pgr", [event])
    before = call_text(event.site)
    script.unlink()
    linecache.clearcache()
    recording = read(str(tmp_path / "run.pgr"))
    recording.provide_sources()
    assert linecache.getlines(str(script)) == lines
    assert call_text(event.site) == before


def test_the_run_is_described(tmp_path: Path) -> None:
    record(tmp_path / "run.pgr", [])
    start = read(str(tmp_path / "run.pgr")).start
    assert (start.version, start.device) == ("1.2.3", "the CPU device")
    assert start.process > 0 and start.arguments and start.started > 1e9


def test_events_hold_plain_data_only() -> None:
    """Whatever a field is typed as, reading a file makes nothing but these."""
    allowed = (m.Plain, m.Value, Site, int, float, str, bool, tuple, type(None), m.Enum)
    for kind in codec.event_classes():
        for field in msgspec.structs.fields(kind):
            for part in [field.type, *getattr(field.type, "__args__", ())]:
                if isinstance(part, type):
                    assert issubclass(part, allowed)
