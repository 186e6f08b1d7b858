"""What the host and other streams see of work that nobody has waited for yet."""

from __future__ import annotations

import pytest
from async_support import answers

pytest.importorskip("pycuda")

SCENES = """
def scene(function):
    said[function.__name__] = function()

@scene
def read_before_synchronize():
    a, host, stream = zeros(), pinned(), cuda.Stream()
    add(a, np.int32(7), stream=stream, **all_)
    cuda.memcpy_dtoh_async(host, a, stream)
    before = int(host[0])
    stream.synchronize()
    return [before, int(host[0])]

@scene
def read_before_event():
    a, host, stream, event = zeros(), pinned(), cuda.Stream(), cuda.Event()
    event.record(stream)
    add(a, np.int32(7), stream=stream, **all_)
    cuda.memcpy_dtoh_async(host, a, stream)
    event.synchronize()
    before = int(host[0])
    event.record(stream).synchronize()
    return [before, int(host[0])]

@scene
def source_changed_too_early():
    a, host, stream = zeros(), pinned(7), cuda.Stream()
    cuda.memcpy_htod_async(a, host, stream)
    host[:] = 9
    stream.synchronize()
    return [value(a)]

@scene
def managed_memory():
    a = cuda.managed_zeros(N, np.int32, mem_flags=cuda.mem_attach_flags.GLOBAL)
    add(a, np.int32(7), **all_)
    before = int(a[0])
    cuda.Context.synchronize()
    return [before, int(a[0])]

@scene
def mapped_memory():
    a = pinned()
    add(np.uintp(a.base.get_device_pointer()), np.int32(7), **all_)
    before = int(a[0])
    cuda.Context.synchronize()
    return [before, int(a[0])]

@scene
def default_stream_does_not_wait_for_non_blocking():
    a, stream = zeros(), cuda.Stream(1)
    add(a, np.int32(7), stream=stream, **all_)
    before = value(a)
    stream.synchronize()
    return [before, value(a)]

@scene
def non_blocking_does_not_wait_for_memset():
    a, stream = zeros(), cuda.Stream(1)
    cuda.memset_d32(a, 7, N)
    add(a, np.int32(2), stream=stream, **all_)
    stream.synchronize()
    return [value(a)]

@scene
def non_blocking_does_not_wait_for_copy_inside_the_device():
    a, b, stream = zeros(), zeros(), cuda.Stream(1)
    cuda.memset_d32(b, 7, N)
    cuda.memcpy_dtod(a, b, 4 * N)
    add(a, np.int32(2), stream=stream, **all_)
    stream.synchronize()
    return [value(a)]

@scene
def two_streams():
    a, b, first, second = zeros(), zeros(), cuda.Stream(1), cuda.Stream(1)
    add(a, np.int32(7), stream=first, **all_)
    copy(b, a, stream=second, **all_)
    cuda.Context.synchronize()
    return [value(b)]

@scene
def two_streams_in_turn():
    a, b, streams = zeros(), [zeros(), zeros()], [cuda.Stream(1), cuda.Stream(1)]
    for i in range(2):
        cuda.memset_d32_async(a, i + 1, N, streams[i])
        copy(b[i], a, stream=streams[i], **all_)
    cuda.Context.synchronize()
    return [value(b[0]), value(b[1])]

@scene
def recorded_too_early():
    a, b, first, second, event = zeros(), zeros(), cuda.Stream(1), cuda.Stream(1), cuda.Event()
    event.record(first)
    add(a, np.int32(7), stream=first, **all_)
    second.wait_for_event(event)
    copy(b, a, stream=second, **all_)
    cuda.Context.synchronize()
    return [value(b)]

@scene
def overtaken_by_the_next_upload():
    a, b, host = zeros(), zeros(), [pinned(1), pinned(2)]
    upload, work = cuda.Stream(1), cuda.Stream(1)
    for i in range(2):
        filled = cuda.Event()
        cuda.memcpy_htod_async(a, host[i], upload)
        filled.record(upload)
        work.wait_for_event(filled)
        add(b, np.int32(0), stream=work, **all_)
        if i == 0:
            copy(b, a, stream=work, **all_)
    work.synchronize()
    return [value(b)]
"""

#: what is seen where nothing is ordered, as late as the rules permit and at once
RACES = {
    "read_before_synchronize": ([0, 7], [7, 7]),
    "read_before_event": ([0, 7], [7, 7]),
    "source_changed_too_early": ([9], [7]),
    "managed_memory": ([0, 7], [7, 7]),
    "mapped_memory": ([0, 7], [7, 7]),
    "default_stream_does_not_wait_for_non_blocking": ([0, 7], [7, 7]),
    "non_blocking_does_not_wait_for_memset": ([7], [9]),
    "non_blocking_does_not_wait_for_copy_inside_the_device": ([7], [9]),
    "two_streams": ([0], [7]),
    "two_streams_in_turn": ([1, 1], [1, 2]),
    "recorded_too_early": ([0], [7]),
    "overtaken_by_the_next_upload": ([2], [1]),
}

RIGHT = """
def scene(function):
    said[function.__name__] = function()

@scene
def default_stream():
    a = zeros()
    add(a, np.int32(7), **all_)
    return value(a)

@scene
def blocking_stream():
    a = zeros()
    add(a, np.int32(7), stream=cuda.Stream(), **all_)
    return value(a)

@scene
def blocking_streams_and_default_in_turn():
    a, streams = zeros(), [cuda.Stream(), cuda.Stream()]
    for i in range(5):
        add(a, np.int32(1), stream=streams[i % 2], **all_)
        cuda.memcpy_dtod(a, a, 0)
        cuda.memset_d32(int(a) + 4, i, 1)
        add(a, np.int32(1), **all_)
    return value(a)

@scene
def pageable_upload_for_a_non_blocking_stream():
    a, stream = cuda.mem_alloc(4 * N), cuda.Stream(1)
    cuda.memcpy_htod(a, np.full(N, 5, np.int32))
    add(a, np.int32(2), stream=stream, **all_)
    stream.synchronize()
    return value(a)

@scene
def pinned_upload_for_a_non_blocking_stream():
    a, stream = cuda.mem_alloc(4 * N), cuda.Stream(1)
    cuda.memcpy_htod(a, pinned(5))
    add(a, np.int32(2), stream=stream, **all_)
    stream.synchronize()
    return value(a)

@scene
def pageable_source_changed_after_the_call():
    a, host, stream = zeros(), np.full(N, 7, np.int32), cuda.Stream(1)
    cuda.memcpy_htod_async(a, host, stream)
    host[:] = 9
    stream.synchronize()
    return value(a)

@scene
def pageable_rectangle_changed_after_the_call():
    a, host, stream = zeros(), np.full((4, 16), 7, np.int32), cuda.Stream(1)
    rectangle = cuda.Memcpy2D()
    rectangle.set_src_host(host)
    rectangle.set_dst_device(a)
    rectangle.src_pitch, rectangle.dst_pitch = 64, 32
    rectangle.width_in_bytes, rectangle.height = 32, 4
    rectangle(stream)
    host[:] = 9
    stream.synchronize()
    return value(a)

@scene
def asynchronous_copy_to_pageable_memory():
    a, host, stream = zeros(), np.zeros(N, np.int32), cuda.Stream(1)
    add(a, np.int32(7), stream=stream, **all_)
    cuda.memcpy_dtoh_async(host, a, stream)
    return int(host[0])

@scene
def memset_of_pinned_memory():
    a = pinned()
    cuda.memset_d32(a.base.get_device_pointer(), 7, N)
    return int(a[0])

@scene
def event_between_non_blocking_streams():
    a, b, first, second = zeros(), zeros(), cuda.Stream(1), cuda.Stream(1)
    add(a, np.int32(7), stream=first, **all_)
    second.wait_for_event(cuda.Event().record(first))
    copy(b, a, stream=second, **all_)
    second.synchronize()
    return value(b)

@scene
def event_recorded_again_after_the_wait():
    a, b, first, second, event = zeros(), zeros(), cuda.Stream(1), cuda.Stream(1), cuda.Event()
    add(a, np.int32(7), stream=first, **all_)
    event.record(first)
    second.wait_for_event(event)
    event.record(second)
    copy(b, a, stream=second, **all_)
    second.synchronize()
    return value(b)

@scene
def ping_pong():
    a, streams = zeros(), [cuda.Stream(1), cuda.Stream(1)]
    for i in range(3000):
        add(a, np.int32(1), stream=streams[i % 2], **one)
        streams[1 - i % 2].wait_for_event(cuda.Event().record(streams[i % 2]))
    streams[1].synchronize()
    return value(a)

@scene
def polled():
    a, host, stream, event = zeros(), pinned(), cuda.Stream(1), cuda.Event()
    for _ in range(10):
        add(a, np.int32(1), stream=stream, **one)
    cuda.memcpy_dtoh_async(host, a, stream)
    event.record(stream)
    while not event.query():
        pass
    seen = int(host[0])
    add(a, np.int32(1), stream=stream, **one)
    while not stream.is_done():
        pass
    return [seen, value(a)]

@scene
def timed():
    start, end = cuda.Event(), cuda.Event()
    add.prepare("Pi")
    start.record()
    seconds = add.prepared_timed_call((1, 1), (N, 1, 1), zeros(), 1)()
    end.record().synchronize()
    return seconds >= 0 and start.time_till(end) >= 1000 * seconds

@scene
def freed_memory_is_waited_for():
    a, host, stream = zeros(), pinned(), cuda.Stream(1)
    add(a, np.int32(7), stream=stream, **all_)
    cuda.memcpy_dtoh_async(host, a, stream)
    a.free()
    return int(host[0])

@scene
def stream_dropped():
    a, stream = zeros(), cuda.Stream(1)
    add(a, np.int32(7), stream=stream, **all_)
    del stream
    cuda.Context.synchronize()
    return value(a)

@scene
def module_dropped():
    a, stream = zeros(), cuda.Stream(1)
    other = SourceModule("__device__ int n = 7; __global__ void f(int *a) { *a = n; }")
    other.get_function("f")(a, stream=stream, **one)
    del other
    return value(a)

@scene
def parameters_changed_after_the_launch():
    a, n = zeros(), np.full(1, 7, np.int32)
    add(a, n[0], **all_)
    n[:] = 9
    return value(a)

@scene
def in_and_out():
    a = np.arange(N).astype(np.int32)
    add(cuda.InOut(a), np.int32(7), **all_)
    return int(a[3])
"""

ANSWERS = {
    "default_stream": 7,
    "blocking_stream": 7,
    "blocking_streams_and_default_in_turn": 10,
    "pageable_upload_for_a_non_blocking_stream": 7,
    "pinned_upload_for_a_non_blocking_stream": 7,
    "pageable_source_changed_after_the_call": 7,
    "pageable_rectangle_changed_after_the_call": 7,
    "asynchronous_copy_to_pageable_memory": 7,
    "memset_of_pinned_memory": 7,
    "event_between_non_blocking_streams": 7,
    "event_recorded_again_after_the_wait": 7,
    "ping_pong": 3000,
    "polled": [10, 11],
    "timed": True,
    "freed_memory_is_waited_for": 7,
    "stream_dropped": 7,
    "module_dropped": 7,
    "parameters_changed_after_the_launch": 7,
    "in_and_out": 10,
}


def test_without_order_the_host_and_other_streams_see_old_data():
    assert answers(SCENES) == {name: late for name, (late, _) in RACES.items()}


def test_an_eager_device_hides_all_that():
    assert answers(SCENES, "schedule='eager'") == {name: eager for name, (_, eager) in RACES.items()}


def test_a_seed_replays_a_random_schedule_and_another_gives_another():
    first, again, other = (answers(SCENES, f"schedule='random:{seed}'") for seed in (1, 1, 2))
    assert first == again != other
    assert first.keys() == RACES.keys()


@pytest.mark.parametrize("schedule", ["late", "eager", "random:1"])
def test_right_programs_are_right_in_every_schedule(schedule):
    assert answers(RIGHT, f"schedule={schedule!r}") == ANSWERS
