"""``alloca``: memory of a thread's own that lasts until its function returns, and what has no room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from codegen_support import PTX_HEADER, Kernels

from pycuda_guard.cpu.abi import FaultKind

pytest.importorskip("pycuda")

SOURCE = r"""
__device__ __noinline__ int weighted(const int *x, int n)
{
    int *a = (int *)alloca(n * sizeof(int)), sum = 0;
    for (int i = 0; i < n; i++)
        a[i] = x[i];
    for (int i = 0; i < n; i++)
        sum += a[n - 1 - i] * i;
    return sum;
}
__device__ __noinline__ int from_neighbour(int *cells, int n)
{
    int *mine = (int *)alloca(n * sizeof(int));
    mine[n - 1] = threadIdx.x;
    cells[threadIdx.x] = n;
    __syncthreads();
    return mine[n - 1] * 1000 + cells[(threadIdx.x + 1) % blockDim.x];
}
__device__ int (*table[])(const int *, int) = {weighted};

extern "C" {
__global__ void over_barrier(int *out, const int *x, int n)
{
    int *a = (int *)alloca(n * sizeof(int)), sum = 0;
    for (int i = 0; i < n; i++)
        a[i] = x[i] + threadIdx.x;
    __syncthreads();
    for (int i = 0; i < n; i++)
        sum += a[(i * 7 + x[0]) % n];
    out[threadIdx.x] = sum;
}
__global__ void many(int *out, const int *x, int n)
{
    int sum = 0;
    for (int i = 1; i < n; i++) {
        int *b = (int *)alloca(i * sizeof(int));
        b[i - 1] = i;
        sum += b[i - 1] + x[0];
    }
    out[threadIdx.x] = sum;
}
__global__ void calls(int *out, const int *x, int n)
{
    int *own = (int *)alloca(n * sizeof(int)), sum = 0;
    own[0] = x[1];
    own[n - 1] = x[2];
    #pragma unroll 1
    for (int i = 1; i < 50; i++)
        sum += weighted(x, n) + table[x[0] - x[0]](x, n);
    out[threadIdx.x] = sum + own[0] + own[n - 1];
}
__global__ void barriers_inside(int *out, const int *x, int n)
{
    __shared__ int cells[64];
    int *own = (int *)alloca(n * sizeof(int)), sum = 0;
    own[n - 1] = x[n];
    #pragma unroll 1
    for (int i = 0; i < 50; i++) {
        sum += from_neighbour(cells, n);
        __syncthreads();
    }
    out[threadIdx.x] = sum + own[n - 1];
}
}
"""
PROGRAM = """
import json, os, sys
if sys.argv[1] == "bare":
    from pycuda_guard import cpu
    cpu.load()
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

module = SourceModule(sys.argv[2], no_extern_c=True)
x = cuda.to_device(np.arange(3, 503, dtype=np.int32))

def run(name, n, threads=48):
    out = cuda.to_device(np.zeros(threads, np.int32))
    module.get_function(name)(out, x, np.int32(n), block=(threads, 1, 1))
    cuda.Context.synchronize()
    return cuda.from_device(out, threads, np.int32).tolist()

said = {name: run(name, 20) for name in ("over_barrier", "many", "calls", "barriers_inside")}
cuda.Context.set_limit(cuda.limit.STACK_SIZE, 8192)
said["large"] = run("over_barrier", 400)
cuda.Context.set_limit(cuda.limit.STACK_SIZE, 1024)
print(json.dumps(said), flush=True)
if sys.argv[1] == "bare":
    for _ in range(2):
        try:
            run("over_barrier", 400)
        except cuda.Error as error:
            print(error, flush=True)
    os._exit(0)
"""


def expected() -> dict[str, list[int]]:
    x = np.arange(3, 503)
    threads = np.arange(48)
    n = 20
    weighted = int((x[:n][::-1] * np.arange(n)).sum())
    return {
        "over_barrier": [int((x[:n] + t).sum()) for t in threads],
        "many": [sum(i + 3 for i in range(1, n))] * 48,
        "calls": [98 * weighted + 4 + 5] * 48,
        "barriers_inside": [50 * (1000 * int(t) + n) + 23 for t in threads],
        "large": [sum(int(x[(i * 7 + 3) % 400]) + int(t) for i in range(400)) for t in threads],
    }


def run(tmp_path: Path, *command: str) -> list[str]:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, *command, str(script), "bare" if not command else "guarded", SOURCE],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_memory_lasts_until_its_function_returns(tmp_path):
    said, *errors = run(tmp_path)
    assert json.loads(said) == expected()
    assert len(errors) == 2
    for error in errors:  # more than the stack has room for, and the device is broken
        assert "an illegal memory access was encountered: kernel over_barrier" in error


def test_under_the_guard_kernels_compute_the_same(tmp_path):
    found = tmp_path / "found.json"
    said = run(tmp_path, "-m", "pycuda_guard", "run", "--device", "cpu", "--quiet", "--json", str(found))
    assert json.loads(said[0]) == expected()
    assert json.loads(found.read_text())["findings"] == []


PTX = """
.visible .entry saved(.param .u64 out, .param .u64 size, .param .u64 count) {
  .reg .b64 %p, %n, %k, %a, %s, %first; .reg .pred %q;
  ld.param.u64 %p, [out]; ld.param.u64 %n, [size]; ld.param.u64 %k, [count];
  alloca.u64 %first, 8;
  st.local.u64 [%first], %k;
$again:
  stacksave.u64 %s;
  alloca.u64 %a, %n, 64;
  st.local.u64 [%a], %n;
  bar.sync 0;
  stackrestore.u64 %s;
  sub.s64 %k, %k, 1;
  setp.gt.s64 %q, %k, 0;
  @%q bra $again;
  ld.local.u64 %k, [%first]; st.global.u64 [%p], %k;
  and.b64 %a, %a, 63; st.global.u64 [%p+8], %a;
  ret;
}
.visible .entry taken(.param .u64 out, .param .u64 size, .param .u64 touched) {
  .reg .b64 %p, %n, %a; .reg .pred %q;
  ld.param.u64 %p, [out]; ld.param.u64 %n, [size];
  alloca.u64 %a, %n, 8;
  ld.param.u64 %n, [touched];
  setp.ge.s64 %q, %n, 0;
  add.s64 %a, %a, %n;
  @%q st.local.u8 [%a], 1;
  ret;
}
"""


@pytest.fixture(scope="module")
def kernels(device):
    return Kernels(device, PTX_HEADER.replace("8.0", "8.3") + PTX)


def launch(kernels, name: str, *numbers: int, stack: int):
    device, kernel = kernels.device, kernels.module.kernels[name]
    out = device.memory.allocate(16)
    packed = np.array([out, *numbers], np.int64).tobytes()
    fault = device.runtime.launch(kernel, (2, 1, 1), (33, 1, 1), 0, packed, stack=stack)
    return fault, np.frombuffer(device.memory.read(out, 16), np.int64).tolist()


def test_what_was_saved_is_restored(kernels):
    fault, values = launch(kernels, "saved", 300, 1000, stack=512)
    assert (fault, values) == (None, [1000, 0])


@pytest.mark.parametrize("size, touched", [(1024, 1023), (0, -1), (5000, -1), (-8, -1), (1 << 40, -1)])
def test_only_an_access_needs_room(kernels, size, touched):
    assert launch(kernels, "taken", size, touched, stack=1024)[0] is None


@pytest.mark.parametrize("size", [1025, 5000, -8, 1 << 40, (1 << 63) - 1])
def test_an_access_to_what_has_no_room_is_illegal(kernels, size):
    assert launch(kernels, "taken", size, 0, stack=1024)[0].kind is FaultKind.ILLEGAL_ADDRESS
