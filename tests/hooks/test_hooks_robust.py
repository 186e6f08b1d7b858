"""Whatever happens in a hook, the user's call is made once and its outcome is the user's."""

from __future__ import annotations

import gc
import threading
import traceback
from types import SimpleNamespace

import numpy as np
import pytest

from pycuda_guard import hooks
from pycuda_guard.events import failures
from pycuda_guard.events.model import (
    Allocated,
    CallFailed,
    ContextChanged,
    Copy,
    EventTimed,
    Launch,
    Synchronized,
)

BAD_CALLS = {
    "too few arguments": lambda cuda, own: cuda.memcpy_htod(own.memory),
    "too many arguments": lambda cuda, own: cuda.memcpy_htod(own.memory, b"1", 2, 3),
    "an unknown keyword": lambda cuda, own: cuda.memcpy_htod(own.memory, b"1", whence=2),
    "a wrong type": lambda cuda, own: cuda.memcpy_dtoh(own.memory, b"1"),
    "no stream": lambda cuda, own: cuda.memcpy_htod_async(own.memory, b"1", "stream"),
    "a negative size": lambda cuda, own: cuda.mem_alloc(-1),
    "too much memory": lambda cuda, own: cuda.mem_alloc(1 << 60),
    "a string for a size": lambda cuda, own: cuda.memset_d8(own.memory, 0, "many"),
    "nothing to wait for": lambda cuda, own: own.stream.wait_for_event(None),
    "a foreign address": lambda cuda, own: cuda.memcpy_htod(64, b"12345678"),
    "an unrecorded event": lambda cuda, own: own.event.time_since(own.event),
    "no module": lambda cuda, own: cuda.module_from_buffer(b"no module"),
    "no such file": lambda cuda, own: cuda.module_from_file("/no/such/file"),
}


class Broken:
    """A sink in which everything fails."""

    def emit(self, event, pattern=None):
        raise RuntimeError("broken sink")

    def guard_error(self, where, error):
        raise RuntimeError("broken to the core")


@pytest.mark.parametrize("name", BAD_CALLS)
def test_exceptions_are_the_same_with_and_without_hooks(name, cuda, make_recorder):
    own = SimpleNamespace(memory=cuda.mem_alloc(16), stream=cuda.Stream(), event=cuda.Event())

    def outcome():
        with pytest.raises(Exception) as caught:
            BAD_CALLS[name](cuda, own)
        return caught.value

    bare = outcome()
    sink = make_recorder()
    hooks.install(sink)
    sink.take()
    hooked = outcome()
    assert (type(hooked), str(hooked), hooked.args) == (type(bare), str(bare), bare.args)
    assert hooked.__cause__ is None and hooked.__context__ is None
    (failed,) = sink.of(CallFailed)
    assert failures.sequences(hooked) == {failed.sequence}
    assert sink.errors == []


def test_a_traceback_without_the_guards_frames_is_the_bare_one(cuda, recorder):
    with pytest.raises(cuda.Error) as caught:
        cuda.mem_alloc(1 << 60)
    trimmed = failures.without_guard_frames(caught.value.__traceback__)
    assert {frame.filename for frame in traceback.extract_tb(trimmed)} == {__file__}


def test_a_broken_sink_stops_no_call(cuda, capfd):
    hooks.install(Broken())
    try:
        host = np.arange(4, dtype=np.float32)
        allocation = cuda.mem_alloc(host.nbytes)
        cuda.memcpy_htod(allocation, host)
        back = cuda.from_device_like(allocation, host)
    finally:
        hooks.uninstall()
    assert back.tolist() == [0, 1, 2, 3]
    assert "broken to the core" in capfd.readouterr().err


def test_a_failing_hook_is_reported_and_the_call_made_once(cuda, make_recorder, monkeypatch):
    sink = make_recorder()
    hooks.install(sink)
    monkeypatch.setattr(sink, "errors", [])
    real = hooks.install.__globals__["_current"].tap
    monkeypatch.setattr(real.arranger, "called", lambda *arguments: 1 / 0)
    from pycuda.compiler import SourceModule

    total = np.zeros(1, np.float32)
    kernel = SourceModule("__global__ void once(float *p) { p[0] += 1; }").get_function("once")
    kernel(cuda.InOut(total), block=(1, 1, 1))
    assert total[0] == 1
    assert [(where, type(error)) for where, error in sink.errors] == [
        ("Function._launch_kernel", ZeroDivisionError)
    ]


def test_threads_keep_their_own_context_and_launches(cuda, kernels, recorder):
    function = kernels.get_function("axpy")
    failed = []

    def work(context):
        context.push()
        try:
            for _ in range(50):
                y, x = np.zeros(8, np.float32), np.ones(8, np.float32)
                function(cuda.InOut(y), cuda.In(x), np.float32(1), np.int32(8), block=(8, 1, 1))
                if y.tolist() != x.tolist():
                    failed.append(y)
        finally:
            cuda.Context.pop()

    context = cuda.Context.get_current()
    threads = [threading.Thread(target=work, args=(context,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    launches = recorder.of(Launch)
    assert len(launches) == 200
    assert len({launch.thread for launch in launches}) <= 4
    assert {launch.context for launch in launches} == {context.handle}
    pushed = [event for event in recorder.of(ContextChanged) if event.change == "pushed"]
    popped = [event for event in recorder.of(ContextChanged) if event.change == "popped"]
    assert [event.context for event in pushed] == [context.handle] * 4
    assert [(event.subject, event.context) for event in popped] == [(context.handle, 0)] * 4


def test_a_thread_without_a_context_is_told(cuda, recorder):
    def work():
        with pytest.raises(cuda.Error):
            cuda.mem_alloc(16)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (failed,) = recorder.of(CallFailed)
    assert failed.context == 0
    assert failed.thread != threading.get_ident()


def test_a_collection_inside_a_hook_is_just_another_event(cuda, make_recorder):
    class Collecting(make_recorder):
        def emit(self, event, pattern=None):
            number = super().emit(event)
            gc.collect()
            return number

    sink = Collecting()
    hooks.install(sink)
    cycle = [cuda.mem_alloc(16)]
    cycle.append(cycle)
    del cycle
    cuda.mem_alloc(16)
    hooks.uninstall()
    assert sink.errors == []
    assert len(sink.of(Allocated)) == 2


def test_unfinished_polls_are_no_synchronization(cuda, recorder):
    event, stream = cuda.Event(), cuda.Stream()
    event.record(stream)
    event.synchronize()
    recorder.take()
    assert event.query()
    assert stream.is_done()
    assert [(e.scope, e.polled) for e in recorder.of(Synchronized)] == [("event", True), ("stream", True)]


def test_timing_names_both_events(cuda, recorder):
    start, end = cuda.Event(), cuda.Event()
    start.record()
    end.record().synchronize()
    end.time_since(start)
    start.time_till(end)
    first, second = recorder.of(EventTimed)
    assert (first.start, first.end) == (second.start, second.end)
    assert first.start != first.end


def test_sites_of_copies_are_the_callers(cuda, recorder):
    allocation = cuda.mem_alloc(16)
    cuda.memcpy_htod(
        allocation,
        bytes(16),
    )
    (copy,) = recorder.of(Copy)
    assert copy.site.function == "test_sites_of_copies_are_the_callers"
