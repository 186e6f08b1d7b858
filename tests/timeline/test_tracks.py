"""Events as rows: tracks, what orders what, names of memory."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from made_up.places import CTX
from made_up.streams import stream
from made_up_timelines import A_GPU, DEFAULT, FIRST, SECOND, dtoh, launch, rows, synchronized, where

from pycuda_guard.events import codec, model as m
from pycuda_guard.reports.looks import LOOKS, Kind

if TYPE_CHECKING:
    from pycuda_guard.reports.tracks import Row


def arrows(row: Row) -> list[int]:
    return [arrow.number for arrow in row.after]


def test_every_type_of_event_has_a_look() -> None:
    assert set(LOOKS) == set(codec.event_classes())


def test_work_is_on_the_track_of_its_stream() -> None:
    made = rows(stream(FIRST), stream(SECOND, 1), launch(FIRST), launch(SECOND), launch(), dtoh(FIRST, True))
    names = [row.stream.name for row in made if row.is_queued and row.stream]
    assert names == ["stream 1", "stream 2", "default stream", "stream 1"]
    assert [row.is_queued for row in made[:2]] == [False, False]


def test_a_handle_used_again_is_another_stream() -> None:
    destroyed = m.StreamDestroyed(*where(), FIRST)
    made = rows(stream(FIRST), launch(FIRST), destroyed, stream(FIRST), launch(FIRST))
    assert [row.stream.name for row in made if row.stream] == [
        "stream 1",
        "stream 1",
        "stream 1",
        "stream 2",
        "stream 2",
    ]


def test_contexts_and_threads_are_told_apart() -> None:
    made = rows(launch(), launch(thread=12), launch(context=77))
    assert [(row.thread, row.context) for row in made] == [(1, 1), (2, 1), (1, 2)]
    assert made[2].stream is not None and made[2].stream.name == "default stream of context 2"
    assert made[2].after == []


def test_a_wait_for_an_event_is_an_arrow_from_its_record() -> None:
    record, wait = m.EventRecorded(*where(), 5, FIRST), m.StreamWaited(*where(), SECOND, 5)
    made = rows(stream(FIRST), stream(SECOND), launch(FIRST), record, wait, launch(SECOND))
    assert [(arrow.number, arrow.reason) for arrow in made[4].after] == [(4, "waits for the event")]
    assert arrows(made[5]) == []


@pytest.mark.parametrize(("flags", "expected"), [(0, [2]), (1, [])])
def test_the_default_stream_and_blocking_streams_take_turns(flags: int, expected: list[int]) -> None:
    assert arrows(rows(stream(FIRST, flags), launch(FIRST), launch(DEFAULT))[2]) == expected
    assert arrows(rows(stream(FIRST, flags), launch(DEFAULT), launch(FIRST))[2]) == expected


def test_blocking_streams_do_not_wait_for_each_other() -> None:
    assert arrows(rows(stream(FIRST), stream(SECOND), launch(FIRST), launch(SECOND))[3]) == []


def test_the_same_order_is_shown_once() -> None:
    made = rows(stream(FIRST), launch(FIRST), launch(DEFAULT), launch(DEFAULT), launch(FIRST), launch(FIRST))
    assert [arrows(row) for row in made] == [[], [], [2], [], [4], []]


def test_synchronizing_tells_what_is_done() -> None:
    made = rows(stream(FIRST), stream(SECOND), launch(FIRST), launch(SECOND), synchronized("stream", FIRST))
    assert [row.done for row in made] == [0, 0, 5, 0, 0]
    assert arrows(made[4]) == [3]
    assert made[4].stream is not None and not made[4].is_queued
    whole = rows(stream(FIRST), launch(FIRST), launch(SECOND), synchronized("context", CTX))
    assert [row.done for row in whole] == [0, 4, 4, 0]


def test_what_was_waited_for_is_done_too() -> None:
    record, wait = m.EventRecorded(*where(), 5, FIRST), m.StreamWaited(*where(), SECOND, 5)
    made = rows(launch(FIRST), record, launch(FIRST), wait, launch(SECOND), synchronized("stream", SECOND))
    assert [row.done for row in made] == [6, 6, 0, 6, 6, 0]


def test_an_event_tells_of_what_came_before_its_record() -> None:
    record = m.EventRecorded(*where(), 5, FIRST)
    made = rows(launch(FIRST), record, launch(FIRST), synchronized("event", 5, polled=True))
    assert [row.done for row in made] == [4, 4, 0, 0]


def test_only_copies_that_wait_tell_that_work_is_done() -> None:
    assert [row.done for row in rows(launch(), dtoh())] == [2, 2]
    assert [row.done for row in rows(launch(), dtoh(asynchronous=True))] == [0, 0]
    devices = [m.DeviceOperand(A_GPU, m.Extent(4)), m.DeviceOperand(A_GPU + 64, m.Extent(4))]
    within = m.Copy(*where(), "memcpy_dtod", m.CopyKind.DTOD, *devices)
    assert [row.done for row in rows(launch(), within)] == [0, 0]


def test_memory_is_found_by_any_address_in_it() -> None:
    made = m.Allocated(*where(), "mem_alloc", A_GPU, 400, m.MemoryKind.DEVICE, name="table")
    freed = m.Freed(*where(), A_GPU, m.MemoryKind.DEVICE)
    inside, behind = launch(address=A_GPU + 396), launch(address=A_GPU + 400)
    found = rows(made, inside, behind, freed, launch(address=A_GPU))
    assert [row.buffers for row in found] == [
        ("table",),
        ("table",),
        ("0xd0000190",),
        ("table",),
        ("0xd0000000",),
    ]


def test_sizes() -> None:
    memset = m.Memset(*where(), "memset_d32", m.DeviceOperand(A_GPU, m.Extent(400)), 4, 100)
    made = rows(launch(), dtoh(), memset)
    assert [(row.kind, row.size, row.nbytes) for row in made] == [
        (Kind.LAUNCH, "grid 4×1 block 32×1×1", 0),
        (Kind.COPY, "400 B", 400),
        (Kind.MEMSET, "400 B", 400),
    ]


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_events_makes_rows(seed: int) -> None:
    """Recordings may begin anywhere: streams, events and memory that nothing is known about."""
    dice = random.Random(seed)
    makers = [
        lambda: launch(dice.choice([0, FIRST, SECOND])),
        lambda: dtoh(dice.choice([0, FIRST]), dice.random() < 0.5),
        lambda: stream(dice.choice([FIRST, SECOND]), dice.randrange(2)),
        lambda: m.StreamDestroyed(*where(), FIRST),
        lambda: m.EventRecorded(*where(), dice.randrange(3), dice.choice([0, FIRST, SECOND])),
        lambda: m.StreamWaited(*where(), dice.choice([0, FIRST, SECOND]), dice.randrange(3)),
        lambda: m.EventDestroyed(*where(), dice.randrange(3)),
        lambda: synchronized(dice.choice(["stream", "event", "context"]), dice.choice([0, 1, FIRST, CTX])),
        lambda: m.Allocated(*where(), "mem_alloc", dice.randrange(8), 4, m.MemoryKind.DEVICE),
        lambda: m.Freed(*where(), dice.randrange(8), m.MemoryKind.DEVICE),
    ]
    made = rows(*[dice.choice(makers)() for _ in range(300)])
    assert [row.number for row in made] == list(range(1, 301))
    for row in made:
        assert all(arrow.number < row.number for arrow in row.after)
        assert row.done == 0 or row.done >= row.number
