"""What launches have touched through pointers from memory, and what the rules about order make of that."""

from __future__ import annotations

import numpy as np
import pytest

from pycuda_guard.checks.engine import Engine
from pycuda_guard.events.model import Footprint, MemoryKind
from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.footprints import EXTENT, Map
from pycuda_guard.shadow import lookups
from pycuda_guard.shadow.allocations import Allocation

SOURCE = """
struct Pair { float *first, *second; };
struct Node { float *values; Node *next; };

extern "C" {
__global__ void by_table(float **rows, int row, int start, int step)
{
    rows[row][start + step * threadIdx.x] = 1;
}
__global__ void by_struct(const Pair *pair, int start)
{
    pair->first[start + 2 * threadIdx.x] = pair->second[start + 2 * threadIdx.x];
}
__global__ void by_list(const Node *node, int start)
{
    for (; node; node = node->next) node->values[start + 2 * threadIdx.x] = 1;
}
__global__ void swapping(float *x, float *y, int rounds, int start)
{
    for (int round = 0; round < rounds; round++) {
        x[start + 2 * threadIdx.x] = y[start + 2 * threadIdx.x] + round;
        float *other = x;
        x = y;
        y = other;
    }
}
__global__ void fetch(float **rows, int row, int start, float *to)
{
    to[threadIdx.x] = rows[row][start + 2 * threadIdx.x];
}
__global__ void count(unsigned **rows, int row, int start)
{
    atomicAdd(rows[row] + start + 2 * threadIdx.x, 1u);
}
__global__ void best(int **rows, int row)
{
    int *place = rows[row] + threadIdx.x;
    if (*place < 3) atomicMax(place, 3);
}
__global__ void wide(void **rows)
{
    int i = threadIdx.x;
    ((float4 *) rows[0])[2 * i] = make_float4(1, 2, 3, 4);
    ((char *) rows[0])[64 + 3 * i] = 1;
    ((double *) rows[1])[i + 1] = ((short *) rows[1])[100 + i];
}
}
"""
N = 64
i32 = np.int32


class Program:
    """Two arrays that a table, a struct and a list lead to, a third, and two streams."""

    def __init__(self, cuda, text):
        self.cuda = cuda
        self.module = cuda.module_from_buffer(text)
        for name in ("by_table", "by_struct", "by_list", "swapping", "fetch", "count", "best", "wide"):
            setattr(self, name, self.module.get_function(name))
        self.x, self.y, self.z = (cuda.to_device(np.zeros(4 * N, np.float32)) for _ in range(3))
        self.rows = self.table(int(self.x), int(self.y))
        self.last = self.table(int(self.y), 0)
        self.list = self.table(int(self.x), int(self.last))
        self.host = cuda.pagelocked_zeros(2 * N, np.float32)
        self.s, self.t = cuda.Stream(1), cuda.Stream(1)
        self.on_s, self.on_t = ({"block": (N, 1, 1), "stream": each} for each in (self.s, self.t))
        cuda.Context.synchronize()

    def table(self, *words):
        """Return device memory with these addresses."""
        return self.cuda.to_device(np.array(words, np.uint64))


@pytest.fixture(scope="module")
def text(cuda):
    from pycuda.compiler import compile

    return compile(SOURCE, target="ptx", no_extern_c=True, options=["-lineinfo"])


class Racing(Program):
    """Each method races."""

    def same_elements(self):
        self.by_table(self.rows, i32(0), i32(0), i32(2), **self.on_s)
        self.by_table(self.rows, i32(0), i32(0), i32(2), **self.on_t)

    def one_element_in_common(self):
        self.by_table(self.rows, i32(0), i32(0), i32(2), **self.on_s)
        self.by_table(self.rows, i32(0), i32(2 * N - 2), i32(1), **self.on_t)

    def copy_of_the_middle(self):
        self.by_table(self.rows, i32(1), i32(0), i32(3), **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host[:2], int(self.y) + 4 * 102, self.t)

    def struct(self):
        self.by_struct(self.rows, i32(0), **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host, int(self.x), self.t)

    def copy_to_what_a_struct_leads_to(self):
        self.by_struct(self.rows, i32(0), **self.on_s)
        self.cuda.memcpy_htod_async(int(self.y) + 8, self.host[:1], self.t)

    def linked_list(self):
        self.by_list(self.list, i32(1), **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host[:1], int(self.y) + 4 * 33, self.t)

    def swapped(self):
        self.swapping(self.x, self.y, i32(3), i32(0), **self.on_s)
        self.swapping(self.x, self.y, i32(3), i32(0), **self.on_t)

    def read_and_written(self):
        self.fetch(self.rows, i32(0), i32(1), self.z, **self.on_s)
        self.by_table(self.rows, i32(0), i32(1), i32(2), **self.on_t)

    def counted(self):
        self.count(self.rows, i32(0), i32(0), **self.on_s)
        self.fetch(self.rows, i32(0), i32(0), self.z, **self.on_t)


class Right(Program):
    """Each method is right."""

    def every_other_element(self):
        self.by_table(self.rows, i32(0), i32(0), i32(2), **self.on_s)
        self.by_table(self.rows, i32(0), i32(1), i32(2), **self.on_t)

    def thirds(self):
        self.by_table(self.rows, i32(0), i32(0), i32(3), **self.on_s)
        self.by_table(self.rows, i32(0), i32(1), i32(3), **self.on_t)

    def between_elements(self):
        self.by_table(self.rows, i32(1), i32(0), i32(3), **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host[:2], int(self.y) + 4 * 100, self.t)

    def another_row(self):
        self.by_table(self.rows, i32(0), i32(0), i32(1), **self.on_s)
        self.by_table(self.rows, i32(1), i32(0), i32(1), **self.on_t)

    def halves_by_struct(self):
        self.by_struct(self.rows, i32(0), **self.on_s)
        self.by_struct(self.rows, i32(2 * N), **self.on_t)

    def struct_every_other(self):
        self.by_struct(self.rows, i32(0), **self.on_s)
        self.by_struct(self.rows, i32(1), **self.on_t)

    def lists_every_other(self):
        self.by_list(self.list, i32(0), **self.on_s)
        self.by_list(self.list, i32(1), **self.on_t)

    def swapped_every_other(self):
        self.swapping(self.x, self.y, i32(3), i32(0), **self.on_s)
        self.swapping(self.x, self.y, i32(3), i32(1), **self.on_t)

    def both_read(self):
        self.fetch(self.rows, i32(0), i32(0), self.z, **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host, int(self.x), self.t)

    def read_every_other(self):
        self.fetch(self.rows, i32(0), i32(0), self.z, **self.on_s)
        self.by_table(self.rows, i32(0), i32(1), i32(2), **self.on_t)

    def both_counted(self):
        self.count(self.rows, i32(0), i32(0), **self.on_s)
        self.count(self.rows, i32(0), i32(0), **self.on_t)

    def looked_at_before(self):
        self.best(self.rows, i32(0), **self.on_s)
        self.best(self.rows, i32(0), **self.on_t)

    def same_stream(self):
        self.by_table(self.rows, i32(0), i32(0), i32(1), **self.on_s)
        self.cuda.memcpy_dtoh_async(self.host, int(self.x), self.s)

    def event(self):
        done = self.cuda.Event()
        self.by_table(self.rows, i32(0), i32(0), i32(1), **self.on_s)
        done.record(self.s)
        self.t.wait_for_event(done)
        self.cuda.memcpy_dtoh_async(self.host, int(self.x), self.t)

    def stream_synchronized(self):
        self.by_table(self.rows, i32(0), i32(0), i32(1), **self.on_s)
        self.s.synchronize()
        self.cuda.memcpy_dtoh_async(self.host, int(self.x), self.t)


def _cases(cases):
    return {name: case for name, case in vars(cases).items() if not name.startswith("_")}


def test_what_is_touched_on_two_streams_is_told(cuda, text, recorder):
    program = Program(cuda, text)
    racing, right = _cases(Racing), _cases(Right)
    for case in (*racing.values(), *right.values()):
        case(program)
        cuda.Context.synchronize()
    engine = Engine()
    for event in recorder.events:
        engine.feed(event)
    found = [each for each in engine.findings if each.code in ("PG103", "PG105", "PG903")]
    assert [each.location.function for each in found] == [f"Racing.{name}" for name in racing]
    assert all("(byte" in each.message for each in found)
    messages = dict(zip(racing, [each.message for each in found], strict=True))
    assert "(bytes 504 to 507 of 1024)" in messages["one_element_in_common"]
    assert "(bytes 132 to 135 of 1024)" in messages["linked_list"]


def _every(start, step, width, count=N):
    return tuple((start + step * n, start + step * n + width) for n in range(count))


#: (64, 80) and (96, 112) are bytes of vectors, some of which are written alone as well
TOUCHED = {
    "by_table": ((1, 3, 2), {("y", "write"): _every(12, 8, 4)}),
    "by_struct": ((1,), {("x", "write"): _every(4, 8, 4), ("y", "read"): _every(4, 8, 4)}),
    "count": ((0, 1), {("x", "atomic"): _every(4, 8, 4)}),
    # not what it looked at before
    "best": ((1,), {("y", "atomic"): ((0, 4 * N),)}),
    "wide": (
        (),
        {
            ("x", "write"): ((0, 16), (32, 48), (64, 80), (96, 112)),
            ("y", "write"): ((8, 40),),
            ("y", "read"): ((200, 208),),
        },
    ),
}


@pytest.mark.parametrize(("races", "kernels"), [(False, [*TOUCHED]), (True, ["count", "wide"])])
def test_touched_bytes_are_exact(races, kernels, cuda, text, guarded):
    recorder = guarded(races=races)
    p = Program(cuda, text)
    for name in kernels:
        arguments = [i32(number) for number in TOUCHED[name][0]]
        cuda.memset_d32(p.y, 0, 4 * N)
        cuda.Context.synchronize()
        threads = 4 if name == "wide" else N
        getattr(p, name)(p.rows, *arguments, block=(threads, 1, 1), stream=p.s)
    cuda.Context.synchronize()
    names = {int(p.x): "x", int(p.y): "y"}
    told = [
        {(names[each.base], each.kind): each.runs for each in event.touched if each.base in names}
        for event in recorder.of(Footprint)
    ]
    assert told == [TOUCHED[name][1] for name in kernels]
    assert all(each.exact for event in recorder.of(Footprint) for each in event.touched)


def test_what_has_no_room_is_told_by_its_ends(cuda, text, recorder, monkeypatch):
    monkeypatch.setattr(lookups, "_MOST_CELLS", 1024)
    p = Program(cuda, text)
    large = cuda.to_device(np.zeros(8 * N, np.float32))
    rows = p.table(int(p.x), int(large))
    for row in (0, 1):
        p.by_table(rows, i32(row), i32(1), i32(2), **p.on_s)
    for most in (1024, 0):
        cuda.Context.synchronize()
        monkeypatch.setattr("pycuda_guard.shadow.tracing._MOST_BYTES", most)
        p.by_table(rows, i32(0), i32(1), i32(2), **p.on_s)
    cuda.Context.synchronize()
    ends = ((4, 5), (8 * N - 1, 8 * N))
    told = [
        [(each.runs, each.exact) for each in event.touched if each.kind == "write"]
        for event in recorder.of(Footprint)
    ]
    assert told == [[(_every(4, 8, 4), True)], [(ends, False)], [(ends, False)], []]
    assert [event.lost for event in recorder.of(Footprint)] == [False, False, False, True]


def test_each_launch_tells_of_itself(cuda, text, recorder):
    p = Program(cuda, text)
    expected = []
    for turn in range(6):
        row, start = turn % 2, turn
        p.by_table(p.rows, i32(row), i32(start), i32(2), **p.on_s)
        if turn % 3:
            p.by_table(p.rows, i32(row), i32(start + 120), i32(2), **p.on_t)
        expected += [_every(4 * start + each, 8, 4) for each in ((0, 480) if turn % 3 else (0,))]
        cuda.Context.synchronize()
        if turn == 3:
            p.more = cuda.mem_alloc(400)  # the allocations stand elsewhere from now on
    told = [
        (each.runs, each.base)
        for event in recorder.of(Footprint)
        for each in event.touched
        if each.kind == "write"
    ]
    assert [runs for runs, _ in told] == expected
    assert {base for _, base in told} == {int(p.x), int(p.y)}


def _allocations(*sizes, start=1 << 20):
    return [Allocation(start + (index << 30), size, MemoryKind.DEVICE, 1) for index, size in enumerate(sizes)]


def test_small_allocations_come_first_and_those_without_cells_have_no_place():
    odd = _allocations(8, start=4)
    placed = lookups.places_of([*_allocations(1000, 0, 257, 256), *odd])
    assert placed == [3, 0, 1, 0, abi.NOWHERE]


def test_a_layout_has_room_for_whole_allocations(monkeypatch):
    monkeypatch.setattr(lookups, "_MOST_CELLS", 2048)
    maps = Map("read", 2, 4), Map("write", 0, 4), Map("write", 2, 4, 0)
    layout = lookups.Layout(_allocations(1000, 512, 4000), maps)
    assert layout.covered == 512 + 1024
    assert layout.extents == 256 and layout.nbytes == 256 + layout.covered // 4 + layout.covered
    assert [layout.map_at(4096, each) for each in maps[:2]] == [4096 + 256, 4096 + 256 + layout.covered // 4]
    assert lookups.Layout([], maps).is_possible is False


def test_pieces_of_a_map_are_read_without_what_lies_between(monkeypatch):
    monkeypatch.setattr(lookups, "_GAP", 16)
    allocations = _allocations(256, 256, 256)
    kept = Map("write", 2, 4)
    layout = lookups.Layout(allocations, [kept])
    block = bytearray(layout.nbytes)
    for index, (first, end) in {0: (8, 16), 1: (0, 256), 2: (4, 240)}.items():
        base = allocations[index].address
        words = [0, 0, ~(base + first) % (1 << 64), base + end, 0, 0]
        EXTENT.pack_into(block, index * EXTENT.size, *words)
        start = layout.map_at(0, kept) + 64 * index
        block[start + first // 4] = block[start + end // 4 - 1] = 1
    read = []

    def download(address, nbytes):
        read.append((address, nbytes))
        return bytes(block[address : address + nbytes])

    told = [(each.base, each.runs, each.exact) for each in layout.touched(0, True, download)]
    assert told == [
        (allocations[0].address, ((8, 16),), True),
        (allocations[1].address, ((0, 4), (252, 256)), True),
        (allocations[2].address, ((4, 8), (236, 240)), True),
    ]
    first = layout.map_at(0, kept)
    assert read == [(0, 3 * EXTENT.size), (first + 2, 2), (first + 64, 124)]
    assert layout.touched(0, False, download)[0].runs == ((8, 9), (15, 16))
    assert layout.touched(0, True, lambda address, nbytes: b"") == []
