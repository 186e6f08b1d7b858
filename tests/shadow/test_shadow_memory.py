"""The memory that shadows take: given back when the program needs it."""

from __future__ import annotations

import numpy as np
import pytest

from pycuda_guard.events.model import CallFailed, Contents

NUMBERS = np.arange(100, dtype=np.float32)


def fill(cuda):
    """Allocate until there is room for nothing, and return what was got."""
    taken = []
    size = cuda.mem_get_info()[0]
    while size >= 512:
        try:
            taken.append(cuda.mem_alloc(size))
        except cuda.MemoryError:
            size //= 2
    return taken


def test_what_is_free_is_the_same(cuda, guarded, new_program):
    before = cuda.mem_get_info()
    guarded()
    program = new_program()
    source, to = program.upload(NUMBERS), cuda.mem_alloc(400)
    held = cuda.mem_get_info()
    program.run(program.copy, to, source, 60)
    cuda.Context.synchronize()
    assert cuda.mem_get_info() == held
    assert held[1] == before[1]


def test_the_program_gets_the_memory_that_shadows_took(program, recorder):
    cuda = program.cuda
    source, to = program.upload(NUMBERS), cuda.mem_alloc(400)
    program.run(program.copy, to, source, 60)
    cuda.Context.synchronize()
    free, _ = cuda.mem_get_info()
    block = cuda.mem_alloc(free - (1 << 20))
    assert recorder.of(CallFailed) == []
    assert program.read(to, 60).tolist() == NUMBERS[:60].tolist()
    assert recorder.of(Contents) == []  # not watched any more
    block.free()


def test_where_there_is_no_room_kernels_run_unwatched(program, recorder):
    cuda = program.cuda
    source, to = program.upload(NUMBERS), cuda.mem_alloc(400)
    taken = fill(cuda)
    program.run(program.copy, to, source, 101)
    cuda.Context.synchronize()
    assert {(reason, kind) for _, reason, kind, _ in recorder.reports} == {
        ("outside", "read"),
        ("outside", "write"),
    }
    assert program.read(to, 100).tolist() == NUMBERS.tolist()
    assert recorder.of(Contents) == []
    with pytest.raises(cuda.MemoryError):
        taken.append(cuda.mem_alloc(1 << 30))
