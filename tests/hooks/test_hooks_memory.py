"""Lives of memory: when it comes, when it goes, and that the guard keeps none of it."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from pycuda_guard.events.model import Allocated, CallFailed, Freed, MemoryKind

KINDS = {
    "device": (lambda cuda: cuda.mem_alloc(64), MemoryKind.DEVICE),
    "pitch": (lambda cuda: cuda.mem_alloc_pitch(64, 4, 4)[0], MemoryKind.DEVICE),
    "pool": (lambda cuda: cuda.DeviceMemoryPool().allocate(64), MemoryKind.POOL),
    "managed": (
        lambda cuda: cuda.managed_empty(16, np.float32, mem_flags=cuda.mem_attach_flags.GLOBAL).base,
        MemoryKind.MANAGED,
    ),
    "pinned": (lambda cuda: cuda.pagelocked_empty(16, np.float32).base, MemoryKind.PINNED),
    "pinned pool": (
        lambda cuda: cuda.PageLockedMemoryPool().allocate((16,), np.float32).base,
        MemoryKind.PINNED,
    ),
}


@pytest.fixture(params=KINDS)
def made(request, cuda, recorder):
    """A fresh owner of memory with its Allocated event."""
    make, kind = KINDS[request.param]
    owners = [make(cuda)]
    (allocated,) = recorder.of(Allocated)
    assert allocated.kind is kind
    recorder.take()
    return owners, allocated


def test_the_last_reference_frees(made, recorder):
    owners, allocated = made
    reference = weakref.ref(owners[0])
    owners.clear()
    gc.collect()
    assert reference() is None
    (freed,) = recorder.of(Freed)
    assert (freed.address, freed.kind, freed.how) == (allocated.address, allocated.kind, "collected")


def test_free_is_told_once(made, recorder):
    owners, allocated = made
    owners[0].free()
    owners.clear()
    gc.collect()
    (freed,) = recorder.of(Freed)
    assert (freed.address, freed.kind, freed.how) == (allocated.address, allocated.kind, "free")


def test_a_second_free_is_announced_and_failed(cuda, recorder):
    allocation = cuda.mem_alloc(16)
    allocation.free()
    with pytest.raises(cuda.LogicError):
        allocation.free()
    first, second = recorder.of(Freed)
    assert first.address == second.address
    assert recorder.of(CallFailed)[0].announced == second.sequence
    del allocation
    assert len(recorder.of(Freed)) == 2


def test_memory_older_than_the_guard_is_freed_by_its_address(cuda, make_recorder):
    from pycuda_guard import hooks

    allocation = cuda.mem_alloc(16)
    address = int(allocation)
    sink = make_recorder()
    hooks.install(sink)
    del allocation
    assert [freed.address for freed in sink.of(Freed)] == [address]


def test_sizes_and_addresses_are_those_asked_for(cuda, recorder):
    allocation = cuda.mem_alloc(100)
    array = cuda.pagelocked_empty((5, 5), np.float64)
    device, pinned = recorder.of(Allocated)
    assert (device.address, device.nbytes) == (int(allocation), 100)
    assert (pinned.address, pinned.nbytes) == (array.ctypes.data, 200)


def test_a_pitched_allocation_has_whole_rows(cuda, recorder):
    _, pitch = cuda.mem_alloc_pitch(100, 4, 4)
    allocated = recorder.of(Allocated)[0]
    assert (allocated.pitch, allocated.nbytes) == (pitch, 4 * pitch)


def test_a_global_is_reported_once(kernels, recorder):
    address, nbytes = kernels.get_global("table")
    kernels.module.get_global("table")
    (allocated,) = [event for event in recorder.of(Allocated) if event.kind is MemoryKind.GLOBAL]
    assert (allocated.address, allocated.nbytes, allocated.name) == (address, nbytes, "table")


def test_a_constructor_that_fails_leaves_nothing_to_destroy(cuda, recorder):
    with pytest.raises(TypeError):
        cuda.Stream("no flags")
    with pytest.raises(TypeError):
        cuda.Array("no descriptor")
    gc.collect()
    assert {type(event) for event in recorder.events} == {CallFailed}


def test_results_are_pycudas_own_objects(cuda, recorder):
    assert type(cuda.mem_alloc(16)) is cuda.DeviceAllocation
    assert type(cuda.Stream()) is cuda.Stream


def test_pool_blocks_are_not_kept_at_exit(run_script):
    # A block that outlives the context would abort the process.
    lines = run_script(
        """
from conftest import Recorder
from pycuda_guard import cpu, hooks
hooks.install(Recorder())
cpu.load()
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda
import pycuda.gpuarray as gpuarray
from pycuda.tools import DeviceMemoryPool

def work():
    pool = DeviceMemoryPool()
    array = gpuarray.to_gpu(np.arange(8.0), allocator=pool.allocate)
    return (array + array).get().sum()

print(work())
"""
    )
    assert lines == ["56.0"]
