"""Who wrote what: copies, memsets, kernels, and what they leave alone."""

from __future__ import annotations

import numpy as np
import pytest

from pycuda_guard import hooks
from pycuda_guard.events.model import Contents, Copy, Freed

NUMBERS = np.arange(100, dtype=np.float32)


@pytest.fixture
def to(program):
    """New memory for 100 floats."""
    return program.cuda.mem_alloc(400)


@pytest.fixture
def source(program):
    return program.upload(NUMBERS)


def test_a_copy_of_memory_that_was_uploaded_asks_nothing(program, source, recorder):
    program.read(source, 100)
    assert recorder.of(Contents) == []


def test_memory_that_nobody_wrote(program, to, recorder):
    program.read(to, 100)
    assert recorder.contents == [([(0, 400, "nobody")], 400)]
    (contents,), (copy,) = recorder.of(Contents), recorder.of(Copy)[-1:]
    assert (contents.cause, contents.address, contents.base, contents.nbytes) == (
        copy.sequence, int(to), int(to), 400,
    )  # fmt: skip


def test_a_part_that_a_copy_wrote(program, to, recorder):
    program.cuda.memcpy_htod(int(to) + 40, NUMBERS[:20])
    program.read(to, 50)
    assert recorder.contents == [([(0, 40, "nobody"), (40, 120, "host"), (120, 200, "nobody")], 120)]


def test_a_part_that_a_kernel_wrote(program, to, source, recorder):
    program.run(program.copy, to, source, 60)
    program.read(to, 100)
    assert recorder.contents == [([(0, 240, "copy"), (240, 400, "nobody")], 160)]


def test_the_last_writer_counts(program, to, source, recorder):
    program.cuda.memset_d32(to, 0, 100)
    program.run(program.copy, to, source, 80)
    program.run(program.twice, to, source, 30)
    program.read(to, 100)
    assert recorder.contents == [([(0, 120, "twice"), (120, 320, "copy"), (320, 400, "host")], 0)]


def test_only_what_is_copied_is_told(program, to, source, recorder):
    program.run(program.copy, to, source, 60)
    result = np.empty(10, np.float32)
    program.cuda.memcpy_dtoh(result, int(to) + 220)
    program.cuda.Context.synchronize()
    assert recorder.contents == [([(220, 240, "copy"), (240, 260, "nobody")], 20)]


def test_a_copy_into_the_rest_makes_it_whole(program, to, source, recorder):
    program.run(program.copy, to, source, 60)
    program.cuda.memcpy_htod(int(to) + 240, NUMBERS[:40])
    program.read(to, 100)
    assert recorder.contents == [([(0, 240, "copy"), (240, 400, "host")], 0)]


def test_single_bytes(program, recorder):
    to = program.cuda.mem_alloc(40)
    program.put(to, np.int32(3), np.int32(5), block=(5, 1, 1))
    program.read(to, 40, np.uint8)
    assert recorder.contents == [([(0, 3, "nobody"), (3, 8, "put"), (8, 40, "nobody")], 35)]


def test_words_first_and_bytes_later(program, to, source, recorder):
    program.run(program.copy, to, source, 10)
    program.put(to, np.int32(41), np.int32(2), block=(2, 1, 1))
    program.read(to, 100)
    assert recorder.contents == [
        ([(0, 40, "copy"), (40, 41, "nobody"), (41, 43, "put"), (43, 400, "nobody")], 358)
    ]


def test_addresses_of_unknown_origin(program, source, recorder):
    to = program.cuda.mem_alloc(400)
    table = program.upload(np.array([int(source), int(to)], np.uint64))
    program.follow(table, np.int32(60), block=(60, 1, 1))
    program.read(to, 100)
    assert recorder.contents == [([(0, 240, "unknown"), (240, 400, "nobody")], 160)]


@pytest.mark.parametrize("has_shadow", [False, True])
def test_a_copy_within_the_device_carries_what_is_written(program, to, source, recorder, has_shadow):
    middle = program.cuda.mem_alloc(400)
    if has_shadow:
        program.run(program.copy, middle, source, 50)
    else:
        program.cuda.memcpy_htod(middle, NUMBERS[:50])
    program.cuda.memcpy_dtod(int(to) + 80, middle, 320)
    program.read(to, 100)
    assert recorder.contents == [([(0, 80, "nobody"), (80, 280, "host"), (280, 400, "nobody")], 200)]


def test_bytes_that_nobody_wrote_can_be_copied_over_others(program, to, source, recorder):
    program.cuda.memcpy_dtod(int(source) + 40, to, 80)
    program.read(source, 100)
    assert recorder.contents == [([(0, 40, "host"), (40, 120, "nobody"), (120, 400, "host")], 80)]


def test_bytes_copied_at_odd_places(program, to, source, recorder):
    program.run(program.copy, to, source, 10)
    other = program.cuda.mem_alloc(100)
    program.put(other, np.int32(0), np.int32(1), block=(1, 1, 1))
    program.cuda.memcpy_dtod(int(other) + 3, int(to) + 38, 6)
    program.read(other, 100, np.uint8)
    # two bytes of the words that are written, four of those that are not
    assert recorder.contents == [([(0, 1, "put"), (1, 3, "nobody"), (3, 5, "host"), (5, 100, "nobody")], 97)]


def test_rows_of_pitched_memory(program, recorder):
    cuda = program.cuda
    memory, pitch = cuda.mem_alloc_pitch(40, 5, 4)
    put = program.put
    for row in range(4):
        put(memory, np.int32(row * pitch), np.int32(40), block=(40, 1, 1))
    host = np.empty((5, 10), np.float32)
    copy = cuda.Memcpy2D()
    copy.set_src_device(memory)
    copy.set_dst_host(host)
    copy.src_pitch, copy.dst_pitch, copy.width_in_bytes, copy.height = pitch, 40, 40, 5
    copy(aligned=False)
    cuda.Context.synchronize()
    ((runs, unwritten),) = recorder.contents
    assert unwritten == 40
    assert runs == [
        *[(row * pitch, row * pitch + 40, "put") for row in range(4)],
        (4 * pitch, 4 * pitch + 40, "nobody"),
    ]


def test_rows_that_a_copy_wrote(program, recorder):
    cuda = program.cuda
    memory, pitch = cuda.mem_alloc_pitch(40, 5, 4)
    host = np.zeros((5, 10), np.float32)
    copy = cuda.Memcpy2D()
    copy.set_src_host(host)
    copy.set_dst_device(memory)
    copy.src_pitch, copy.dst_pitch, copy.width_in_bytes, copy.height = 40, pitch, 40, 5
    copy(aligned=False)
    result = np.empty(50, np.uint8)
    cuda.memcpy_dtoh(result, memory)
    cuda.Context.synchronize()
    assert recorder.contents == [([(0, 40, "host"), (40, 50, "nobody")], 10)]


def test_many_runs_are_counted_only(program, recorder):
    to = program.cuda.mem_alloc(8000)
    program.stripes(to, np.int32(1000), block=(250, 1, 1), grid=(4, 1))
    program.read(to, 8000, np.uint8)
    assert recorder.contents == [([], 7000)]
    (contents,) = recorder.of(Contents)
    assert (contents.first, contents.last) == (1, 8000)


def test_the_answer_before_a_free(program, to, source, recorder):
    program.run(program.copy, to, source, 60)
    to.free()
    hooks.finish()
    assert recorder.contents == [([(0, 240, "copy"), (240, 400, "nobody")], 160)]
    assert recorder.of(Contents)[0].cause == recorder.of(Freed)[-1].sequence


def test_the_answer_at_the_end(program, to, source, recorder):
    program.run(program.copy, to, source, 60)
    hooks.finish()
    assert recorder.contents == [([(0, 240, "copy"), (240, 400, "nobody")], 160)]
    assert recorder.of(Contents)[0].cause == 0


def test_more_launches_than_epochs(program, source, recorder):
    to = program.cuda.mem_alloc(400)
    for number in range(600):
        program.run(program.copy, to, source, 60 if number % 2 else 30)
    program.read(to, 100)
    assert recorder.contents == [([(0, 240, "copy"), (240, 400, "nobody")], 160)]


@pytest.mark.parametrize("option", [{"include": "twice"}, {"last": 0}])
def test_a_launch_that_is_not_watched_may_have_written_anything(cuda, guarded, option, new_program):
    sink = guarded(**option)
    program = new_program()
    to, source = cuda.mem_alloc(400), program.upload(NUMBERS)
    program.run(program.copy, to, source, 60)
    program.read(to, 100)
    assert all(not unwritten for _, unwritten in sink.contents)


def test_memory_given_to_others_is_not_judged(program, recorder):
    to = program.cuda.mem_alloc(400)
    to.as_buffer(400)
    program.read(to, 100)
    assert recorder.of(Contents) == []


def test_managed_memory_is_the_hosts_too(program, source, recorder):
    memory = program.cuda.managed_empty(100, np.float32, mem_flags=program.cuda.mem_attach_flags.GLOBAL)
    program.run(program.copy, memory, source, 60)
    program.cuda.Context.synchronize()
    hooks.finish()
    assert recorder.contents == [([(0, 240, "copy"), (240, 400, "host")], 0)]


def test_streams(program, source, recorder):
    cuda = program.cuda
    first, second, event = cuda.Stream(1), cuda.Stream(1), cuda.Event()
    to = cuda.mem_alloc(400)
    result = cuda.pagelocked_empty(100, np.float32)
    program.run(program.copy, to, source, 60, stream=first)
    event.record(first)
    second.wait_for_event(event)
    cuda.memcpy_dtoh_async(result, to, second)
    second.synchronize()
    assert recorder.contents == [([(0, 240, "copy"), (240, 400, "nobody")], 160)]


def test_a_long_run_keeps_nothing(program, source, recorder):
    world = hooks.install.__globals__["_current"].tap.kernels.runtime.world
    sizes = []
    for number in range(300):
        to = program.cuda.mem_alloc(400)
        program.run(program.copy, to, source, 100)
        to.free()
        if number % 100 == 99:
            program.cuda.Context.synchronize()
            (state,) = world.states.values()
            sizes.append(
                (len(world.allocations), state.arena.total, len(state.arena._sizes), bool(state.waiting))
            )
    assert sizes[0] == sizes[1] == sizes[2]
    assert not sizes[0][3]
