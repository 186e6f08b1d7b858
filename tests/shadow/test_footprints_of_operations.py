"""What PyCUDA's kernels have touched where the operation's data decide it, and the rules about order."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pytest

from pycuda_guard.checks.engine import Engine
from pycuda_guard.events.model import Footprint

N = 1024
INDEXED = "float *z, float *x, int *index"


class Program:
    """Arrays, indices of their lower half, masks, two streams, and operations that are made when used."""

    def __init__(self, cuda):
        import pycuda.gpuarray as gpuarray

        self.cuda = cuda
        self.x = gpuarray.to_gpu(np.arange(N, dtype=np.float32))
        self.z = gpuarray.zeros(N, np.float32)
        low = np.random.RandomState(1).permutation(N // 2).astype(np.int32)
        self.low = gpuarray.to_gpu(low)
        self.lower = gpuarray.to_gpu((np.arange(N) < N // 2).astype(np.int32))
        self.counts = gpuarray.to_gpu(np.ones(N, np.int32))
        self.host = cuda.pagelocked_zeros(N // 2, np.float32)
        self.s, self.t = cuda.Stream(1), cuda.Stream(1)
        cuda.Context.synchronize()

    @cached_property
    def scatter(self):
        return _elementwise(INDEXED, "z[index[i]] = x[i]", "scatter")

    @cached_property
    def gather(self):
        return _elementwise(INDEXED, "z[i] = x[index[i]]", "gather")

    @cached_property
    def masked(self):
        return _elementwise("float *z, float *x, int *m", "if (m[i]) z[i] = x[i]", "masked")

    @cached_property
    def chosen(self):
        return _elementwise("float *z, float *x", "z[i] = x[i / 2]", "chosen")

    @cached_property
    def sum(self):
        from pycuda.reduction import ReductionKernel

        return ReductionKernel(np.float32, "0", "a+b", "x[index[i]]", "float *x, int *index")

    @cached_property
    def scan(self):
        from pycuda.scan import InclusiveScanKernel

        return InclusiveScanKernel(np.int32, "a+b")

    def upload(self, half, to):
        """Copy to one half of an array."""
        self.cuda.memcpy_htod_async(int(to.gpudata) + half * 2 * N, self.host, self.t)

    def download(self, half, of, stream=None):
        """Copy one half of an array to the host."""
        self.cuda.memcpy_dtoh_async(self.host, int(of.gpudata) + half * 2 * N, stream or self.t)


def _elementwise(arguments, operation, name):
    from pycuda.elementwise import ElementwiseKernel

    return ElementwiseKernel(arguments, operation, name)


@pytest.fixture
def program(cuda, recorder):
    return Program(cuda)


HALF = slice(0, N // 2, 1)


def _scatter(p, **keywords):
    p.scatter(p.z, p.x, p.low, range=HALF, stream=p.s, **keywords)


def _in_order(p):
    _scatter(p)
    done = p.cuda.Event()
    done.record(p.s)
    p.t.wait_for_event(done)
    p.download(0, p.z)


FIRING = {
    "scatter": lambda p: (_scatter(p), p.download(0, p.z)),
    "scatter, copy before": lambda p: (p.upload(0, p.z), _scatter(p)),
    "gather": lambda p: (p.gather(p.z, p.x, p.low, range=HALF, stream=p.s), p.upload(0, p.x)),
    "mask": lambda p: (p.masked(p.z, p.x, p.lower, stream=p.s), p.download(0, p.z)),
    "sum": lambda p: (p.sum(p.x, p.low, stream=p.s, range=HALF), p.upload(0, p.x)),
    "scan": lambda p: (p.scan(p.counts, stream=p.s), p.counts.get()),
}
SILENT = {
    "scatter, other half": lambda p: (_scatter(p), p.download(1, p.z)),
    "scatter, other half before": lambda p: (p.upload(1, p.z), _scatter(p)),
    "scatter, event": _in_order,
    "scatter, same stream": lambda p: (_scatter(p), p.download(0, p.z, p.s)),
    "scatter, synchronized": lambda p: (_scatter(p), p.s.synchronize(), p.download(0, p.z)),
    "gather, other half": lambda p: (
        p.gather(p.z, p.x, p.low, range=HALF, stream=p.s),
        p.upload(1, p.x),
    ),
    "gather, what is read": lambda p: (
        p.gather(p.z, p.x, p.low, range=HALF, stream=p.s),
        p.download(0, p.x),
    ),
    "mask, other half": lambda p: (p.masked(p.z, p.x, p.lower, stream=p.s), p.download(1, p.z)),
    "sum, other half": lambda p: (p.sum(p.x, p.low, stream=p.s, range=HALF), p.upload(1, p.x)),
    "scan, same stream": lambda p: (p.scan(p.counts, stream=p.s), p.counts.get_async(p.s)),
    "scan, synchronized": lambda p: (p.scan(p.counts, stream=p.s), p.s.synchronize(), p.counts.get()),
}


def _found(recorder, cuda):
    cuda.Context.synchronize()
    engine = Engine()
    for event in recorder.events:
        engine.feed(event)
    return [each for each in engine.findings if each.code in ("PG103", "PG105", "PG903")]


@pytest.mark.parametrize("case", FIRING.values(), ids=FIRING)
def test_what_data_decide_is_told(case, program, recorder, cuda):
    case(program)
    (race,) = _found(recorder, cuda)
    assert race.code == "PG103"
    assert "(bytes 0 to " in race.message


@pytest.mark.parametrize("case", SILENT.values(), ids=SILENT)
def test_what_is_apart_or_in_order_is_not_told(case, program, recorder, cuda):
    case(program)
    assert not _found(recorder, cuda)


def _event(p, result):
    done = p.cuda.Event()
    done.record(p.s)
    done.synchronize()
    return result.get()


RESULTS = {
    "NON_BLOCKING stream": (1, lambda p, result: result.get(), True),
    "stream": (0, lambda p, result: result.get(), False),
    "synchronized": (1, lambda p, result: (p.s.synchronize(), result.get()), False),
    "event": (1, _event, False),
    "same stream": (1, lambda p, result: result.get_async(p.s), False),
}


@pytest.mark.parametrize(("flags", "read", "expected"), RESULTS.values(), ids=RESULTS)
@pytest.mark.parametrize("operation", ["reduction", "sin"])
def test_results_that_are_read_on_the_default_stream(
    operation, flags, read, expected, program, recorder, cuda
):
    from pycuda.reduction import ReductionKernel

    program.s = cuda.Stream(flags)
    if operation == "reduction":
        total = ReductionKernel(np.float32, "0", "a+b", "x[i]", "float *x")
        read(program, total(program.x, stream=program.s))
    else:
        sine = _elementwise("float *z, float *x", "z[i] = sin(x[i])", "sine")
        sine(program.z, program.x, stream=program.s)
        read(program, program.z)
    assert [each.code for each in _found(recorder, cuda)] == ["PG103"] * expected


def test_operations_without_indices_tell_nothing(program, recorder, cuda):
    program.chosen(program.z, program.x, stream=program.s)
    assert (program.x + 2 * program.x).get()[3] == 9
    cuda.Context.synchronize()
    assert not recorder.of(Footprint)


def test_modules_of_many_kernels_tell_nothing(program, recorder, cuda, monkeypatch):
    monkeypatch.setattr("pycuda_guard.shadow.loading._MOST_TOLD", 0)
    _scatter(program)
    cuda.Context.synchronize()
    assert not recorder.of(Footprint)


def test_what_is_computed_is_the_same(program, cuda):
    program.scatter(program.z, program.x, program.low, range=HALF, stream=program.s)
    program.s.synchronize()
    expected = np.zeros(N, np.float32)
    expected[program.low.get()] = np.arange(N // 2)
    assert (program.z.get() == expected).all()
    total = program.sum(program.x, program.low, stream=program.s, range=HALF)
    program.s.synchronize()
    assert total.get() == (N // 2 - 1) * N // 4
    program.scan(program.counts, stream=program.s)
    program.s.synchronize()
    assert (program.counts.get() == np.arange(1, N + 1)).all()
