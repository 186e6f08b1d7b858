"""What launches have touched, as they tell it, and what the rules about order make of that."""

from itertools import pairwise

import numpy as np
import pytest

from pycuda_guard.checks.engine import Engine
from pycuda_guard.events.model import Footprint, KernelReport, Launch
from pycuda_guard.shadow.runs import MOST_RUNS, runs_of

SOURCE = """
__device__ __noinline__ void put(float *x, int i) { x[i] = i; }

extern "C" {
__global__ void scatter(float *x, const int *index, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[index[i]] = i;
}
__global__ void gather(float *y, const float *x, const int *index, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = x[index[i]];
}
__global__ void histogram(unsigned *bins, const int *index, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) atomicAdd(bins + index[i], 1u);
}
__global__ void flagged(float *x, const int *flag, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (flag[0] && i < n) x[i] = i;
}
__global__ void counted(float *x, const int *count)
{
    for (int i = threadIdx.x; i < count[0]; i += blockDim.x) x[i] = i;
}
__global__ void chosen(float *x, float *y, const int *flag)
{
    float *p = flag[0] ? x : y;
    p[threadIdx.x] = 1;
}
__global__ void follow(float **rows) { rows[1][threadIdx.x] = 1; }
__global__ void called(float *x, const int *index) { put(x, index[threadIdx.x]); }
__global__ void shorts(unsigned short *x, double *y, const int *index)
{
    int i = index[threadIdx.x];
    x[i] = i;
    y[i] = i;
}
__global__ void shuffled(float *x, const int *index, int n)
{
    __shared__ float tile[256];
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    tile[threadIdx.x] = i;
    __syncthreads();
    if (i < n) x[index[i]] = tile[255 - threadIdx.x];
}
__global__ void locked(float *x, const int *index, int *lock)
{
    if (threadIdx.x == 0) {
        while (atomicCAS(lock, 0, 1)) {}
        x[index[0]] += 1;
        __threadfence();
        atomicExch(lock, 0);
    }
}
__global__ void swapped(unsigned long long *x, const int *index)
{
    unsigned long long *place = x + index[threadIdx.x], old = *place, seen;
    do {
        seen = old;
        old = atomicCAS(place, seen, seen + 1);
    } while (seen != old);
}
__global__ void best(int *x, const int *index)
{
    int *place = x + index[threadIdx.x];
    if (*place < threadIdx.x) atomicMax(place, threadIdx.x);
}
__global__ void plain(float *x, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] = i;
}
}
"""
N = 1024


class Program:
    """Two buffers, indices for their halves, and two streams."""

    def __init__(self, cuda, module):
        self.cuda = cuda
        self.module = module
        self.x, self.y = cuda.mem_alloc(4 * N), cuda.mem_alloc(4 * N)
        for each in (self.x, self.y):
            cuda.memset_d32(each, 0, N)
        half = np.arange(N // 2, dtype=np.int32)
        self.low = cuda.to_device(np.random.RandomState(1).permutation(half))
        self.even, self.odd = cuda.to_device(2 * half), cuda.to_device(2 * half + 1)
        self.one, self.zero = cuda.to_device(np.ones(1, np.int32)), cuda.to_device(np.zeros(1, np.int32))
        self.half = cuda.to_device(np.full(1, N // 2, np.int32))
        self.rows = cuda.to_device(np.array([int(self.y), int(self.x)], np.uint64))
        self.host = cuda.pagelocked_zeros(N // 2, np.float32)
        self.s, self.t = cuda.Stream(1), cuda.Stream(1)
        cuda.Context.synchronize()

    def run(self, name, *arguments, n=N // 2, stream=None, threads=256):
        """Launch a kernel for ``n`` threads at least."""
        grid = (max(1, -(-n // threads)), 1)
        function = self.module.get_function(name)
        function(*arguments, block=(threads, 1, 1), grid=grid, stream=stream or self.s)

    def index(self, name, target, index, n=N // 2, stream=None):
        """Launch one of the kernels with indices."""
        self.run(name, target, index, np.int32(n), stream=stream)

    def upload(self, half, to=None, stream=None):
        """Copy to one half of ``x``, or of another buffer."""
        address = int(self.x if to is None else to) + half * 2 * N
        self.cuda.memcpy_htod_async(address, self.host, stream or self.t)

    def download(self, half, of=None, stream=None):
        """Copy one half of ``x``, or of another buffer, to the host."""
        address = int(self.x if of is None else of) + half * 2 * N
        self.cuda.memcpy_dtoh_async(self.host, address, stream or self.t)


@pytest.fixture(scope="module")
def text(cuda):
    from pycuda.compiler import compile

    return compile(SOURCE, target="ptx", no_extern_c=True, options=["-lineinfo"])


@pytest.fixture
def program(cuda, text, recorder):
    return Program(cuda, cuda.module_from_buffer(text))


def _events(recorder, cuda):
    cuda.Context.synchronize()
    return recorder.events


def _found(recorder, cuda):
    engine = Engine()
    for event in _events(recorder, cuda):
        engine.feed(event)
    return [each for each in engine.findings if each.code in ("PG103", "PG105", "PG903")]


def _event(p):
    done = p.cuda.Event()
    p.index("scatter", p.x, p.low)
    done.record(p.s)
    p.t.wait_for_event(done)
    p.download(0)


def _synchronous(p, half):
    p.index("scatter", p.x, p.low)
    p.cuda.memcpy_dtoh(np.empty(N // 2, np.float32), int(p.x) + half * 2 * N)


FIRING = {
    "scatter, copy": lambda p: (p.index("scatter", p.x, p.low), p.download(0)),
    "copy, scatter": lambda p: (p.upload(0), p.index("scatter", p.x, p.low)),
    "gather, copy": lambda p: (p.run("gather", p.y, p.x, p.low, np.int32(N // 2)), p.upload(0)),
    "histogram, copy": lambda p: (p.index("histogram", p.x, p.low), p.download(0)),
    "same elements": lambda p: (
        p.index("scatter", p.x, p.even),
        p.index("scatter", p.x, p.even, stream=p.t),
    ),
    "branch that is taken": lambda p: (p.index("flagged", p.x, p.one), p.download(0)),
    "loop over what the data say": lambda p: (p.run("counted", p.x, p.half, n=64), p.download(0)),
    "the pointer that was chosen": lambda p: (p.run("chosen", p.x, p.y, p.one, threads=64), p.download(0)),
    "a pointer from memory": lambda p: (p.run("follow", p.rows, n=64), p.download(0)),
    "a device function": lambda p: (p.run("called", p.x, p.low, n=64), p.download(0)),
    "shared memory besides": lambda p: (p.index("shuffled", p.x, p.low), p.download(0)),
    "synchronous copy": lambda p: _synchronous(p, 0),
    "compare and swap, copy": lambda p: (
        p.run("swapped", p.x, p.even, n=64, threads=64),
        p.download(0),
    ),
}
SILENT = {
    "scatter, other half": lambda p: (p.index("scatter", p.x, p.low), p.download(1)),
    "other half, scatter": lambda p: (p.upload(1), p.index("scatter", p.x, p.low)),
    "gather, other half": lambda p: (p.run("gather", p.y, p.x, p.low, np.int32(N // 2)), p.upload(1)),
    "gather, copy of what is read": lambda p: (
        p.run("gather", p.y, p.x, p.low, np.int32(N // 2)),
        p.download(0),
    ),
    "histogram, other half": lambda p: (p.index("histogram", p.x, p.low), p.download(1)),
    "two histograms": lambda p: (
        p.index("histogram", p.x, p.low),
        p.index("histogram", p.x, p.low, stream=p.t),
    ),
    "every other element": lambda p: (
        p.index("scatter", p.x, p.even),
        p.index("scatter", p.x, p.odd, stream=p.t),
    ),
    "branch that is not taken": lambda p: (p.index("flagged", p.x, p.zero), p.download(0)),
    "n is 0": lambda p: (p.index("scatter", p.x, p.low, 0), p.download(0)),
    "loop up to the other half": lambda p: (p.run("counted", p.x, p.half, n=64), p.download(1)),
    "the pointer that was not chosen": lambda p: (p.run("chosen", p.x, p.y, p.zero, n=64), p.download(0)),
    "other memory than that of the pointer": lambda p: (p.run("follow", p.rows, n=64), p.download(0, p.y)),
    "a device function, other half": lambda p: (p.run("called", p.x, p.low, n=64), p.download(1)),
    "a lock in memory": lambda p: (
        p.run("locked", p.x, p.low, p.y, n=1),
        p.run("locked", p.x, p.low, p.y, n=1, stream=p.t),
    ),
    "compare and swap": lambda p: (
        p.run("swapped", p.x, p.low, n=64, threads=64),
        p.run("swapped", p.x, p.low, n=64, threads=64, stream=p.t),
    ),
    "compare and swap, other half": lambda p: (
        p.run("swapped", p.y, p.half, n=1, threads=1),
        p.download(0, p.y),
    ),
    "a look before the atomic": lambda p: (
        p.run("best", p.x, p.low, n=64, threads=64),
        p.run("best", p.x, p.low, n=64, threads=64, stream=p.t),
    ),
    "same stream": lambda p: (p.index("scatter", p.x, p.low), p.download(0, stream=p.s)),
    "event": _event,
    "synchronized": lambda p: (p.index("scatter", p.x, p.low), p.s.synchronize(), p.download(0)),
    "synchronous copy of the other half": lambda p: _synchronous(p, 1),
}


@pytest.mark.parametrize("case", FIRING.values(), ids=FIRING)
def test_what_is_touched_on_two_streams_is_told(case, program, recorder, cuda):
    case(program)
    (race,) = _found(recorder, cuda)
    assert race.code == "PG103"
    assert "(bytes 0 to " in race.message or "(byte 0 of 4096)" in race.message


@pytest.mark.parametrize("case", SILENT.values(), ids=SILENT)
def test_what_is_apart_or_in_order_is_not_told(case, program, recorder, cuda):
    case(program)
    assert not _found(recorder, cuda)


def _touched(recorder, cuda, program):
    (told,) = [event for event in _events(recorder, cuda) if isinstance(event, Footprint)]
    names = {int(program.x): "x", int(program.y): "y"}
    found = {(names.get(each.base, "other"), each.kind): (each.runs, each.exact) for each in told.touched}
    return {key: value for key, value in found.items() if key[0] != "other"}, told.lost


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (lambda p: p.index("scatter", p.x, p.low), {("x", "write"): (((0, 2 * N),), True)}),
        (lambda p: p.index("scatter", p.x, p.low, 0), {}),
        (lambda p: p.index("histogram", p.x, p.low), {("x", "atomic"): (((0, 2 * N),), True)}),
        (
            lambda p: p.index("scatter", p.x, p.odd, 3),
            {("x", "write"): (((4, 8), (12, 16), (20, 24)), True)},
        ),
        # what it writes is known before
        (lambda p: p.run("gather", p.y, p.x, p.even, np.int32(1)), {("x", "read"): (((0, 4),), True)}),
        (lambda p: p.run("chosen", p.x, p.y, p.zero, n=64, threads=64),
         {("y", "write"): (((0, 256),), True)}),
        (
            lambda p: p.run("shorts", p.x, p.y, p.odd, n=2, threads=2),
            {("x", "write"): (((2, 4), (6, 8)), True), ("y", "write"): (((8, 16), (24, 32)), True)},
        ),
    ],
    ids=["scatter", "n is 0", "histogram", "three elements", "gather", "by the table", "wide and narrow"],
)  # fmt: skip
@pytest.mark.parametrize("races", [False, True])
def test_touched_bytes_are_exact(case, expected, races, cuda, text, guarded):
    recorder = guarded(races=races)
    program = Program(cuda, cuda.module_from_buffer(text))
    case(program)
    assert _touched(recorder, cuda, program) == (expected, False)


VARIABLES = """
extern "C" {
__constant__ int first;
__device__ int total;
__global__ void shifted(float *x, const int *index)
{
    x[index[threadIdx.x] + first] = 1;
    atomicAdd(&total, 1);
}
}
"""


def test_kernels_have_the_variables_of_their_module(cuda, program, recorder):
    from pycuda.compiler import compile

    text = compile(VARIABLES, target="ptx", no_extern_c=True, options=["-lineinfo"])
    module = cuda.module_from_buffer(text)
    first, _ = module.get_global("first")
    cuda.memcpy_htod(first, np.int32(N // 2))
    module.get_function("shifted")(program.x, program.low, block=(N // 2, 1, 1), stream=program.s)
    assert _touched(recorder, cuda, program) == ({("x", "write"): (((2 * N, 4 * N),), True)}, False)
    counted = np.zeros(1, np.int32)
    cuda.memcpy_dtoh(counted, module.get_global("total")[0])
    assert counted[0] == N // 2


def test_what_else_is_wrong_is_reported_too(cuda, program, recorder):
    cuda.memcpy_htod(program.odd, np.array([N], np.int32))
    program.index("scatter", program.x, program.odd)
    fresh = cuda.mem_alloc(4 * N)
    program.index("histogram", fresh, program.low)
    cuda.Context.synchronize()
    assert recorder.reports == [
        ("scatter", "outside", "write", 1),
        ("histogram", "uninitialized", "use", 512),
    ]
    lines = [event.access.line for event in recorder.of(KernelReport)]
    assert [SOURCE.splitlines()[line - 1].split("{")[0].split("[")[0].strip() for line in lines] == [
        "if (i < n) x",
        "if (i < n) atomicAdd(bins + index",
    ]


def test_no_launch_tells_anything_without_a_stream(cuda, text, recorder):
    module = cuda.module_from_buffer(text)
    x, index = cuda.mem_alloc(4 * N), cuda.to_device(np.arange(N, dtype=np.int32))
    module.get_function("scatter")(x, index, np.int32(N), block=(256, 1, 1), grid=(4, 1))
    assert not [event for event in _events(recorder, cuda) if isinstance(event, Footprint)]


def test_no_launch_tells_what_is_known_before(program, recorder, cuda):
    program.run("plain", program.x, np.int32(N), n=N)
    assert not [event for event in _events(recorder, cuda) if isinstance(event, Footprint)]


def test_each_launch_of_a_loop_tells(program, recorder, cuda):
    for n in (3, 0, 5):
        program.index("scatter", program.x, program.even, n)
    launches = [event.sequence for event in recorder.events if isinstance(event, Launch)]
    told = [event for event in _events(recorder, cuda) if isinstance(event, Footprint)]
    assert [event.launch for event in told] == launches[-3:]
    assert [len(event.touched and event.touched[0].runs) for event in told] == [3, 0, 5]


def test_what_is_computed_is_the_same(program, cuda):
    program.index("scatter", program.x, program.odd)
    found = np.empty(N, np.float32)
    cuda.Context.synchronize()
    cuda.memcpy_dtoh(found, program.x)
    expected = np.zeros(N, np.float32)
    expected[1::2] = np.arange(N // 2)
    assert (found == expected).all()


@pytest.mark.parametrize(
    ("cells", "shift", "size", "expected"),
    [
        (b"\0\0\0", 2, 12, ((), True)),
        (b"\1\1\1", 2, 10, (((0, 10),), True)),
        (b"\0\1\0\1\1", 0, 5, (((1, 2), (3, 5)), True)),
        (
            b"\1\0" * MOST_RUNS,
            1,
            4 * MOST_RUNS,
            (tuple((n, n + 2) for n in range(0, 4 * MOST_RUNS, 4)), True),
        ),
    ],
)
def test_runs_of_cells(cells, shift, size, expected):
    assert runs_of(cells, shift, size) == expected


def test_of_too_many_runs_those_that_are_told_are_right():
    cells = bytearray(np.random.RandomState(2).randint(0, 2, 100_000).astype(np.uint8))
    cells[500:900] = bytes([1]) * 400
    runs, exact = runs_of(bytes(cells), 2, 400_000)
    assert not exact and 0 < len(runs) <= MOST_RUNS
    assert all(start < end for start, end in runs)
    assert all(before[1] < after[0] for before, after in pairwise(runs))
    assert all(cells[place // 4] for start, end in runs for place in range(start, end))
    assert runs[0][0] == 4 * cells.index(1) and runs[-1][1] == 4 * (cells.rindex(1) + 1)
