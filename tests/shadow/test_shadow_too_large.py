"""A kernel that the driver takes as it is but not with checks: its blocks are too large for the registers."""

from __future__ import annotations

import numpy as np
import pytest

from pycuda_guard import hooks
from pycuda_guard.kernels.instrument.pipeline import instrument
from pycuda_guard.kernels.ptx import parse
from pycuda_guard.shadow.unwatched import Unwatched

PLAIN = """
__global__ void copy(float *to, const float *from, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) to[i] = from[i];
}
"""
WITH_VARIABLE = PLAIN + "__device__ float factor; __global__ void scale(float *x) { x[0] *= factor; }"


@pytest.fixture
def small_blocks(cuda, monkeypatch):
    """Have the driver refuse, once, what the program has not asked for: (its functions, refusals)."""
    own: list[int] = []
    refused: list[int] = []
    real = cuda.Function._launch_kernel

    def launch(function, *args):
        if own and id(function) not in own and not refused:
            refused.append(id(function))
            raise cuda.LaunchError("cuLaunchKernel failed: too many resources requested for launch")
        return real(function, *args)

    monkeypatch.setattr(cuda.Function, "_launch_kernel", launch)
    return own, refused


@pytest.mark.parametrize("source", [PLAIN, WITH_VARIABLE], ids=["plain", "with a variable"])
def test_runs_unwatched_and_nothing_is_said_of_it(cuda, small_blocks, guarded, source):
    from pycuda.compiler import SourceModule

    own, refused = small_blocks
    sink = guarded()
    copy = SourceModule(source).get_function("copy")
    half = np.arange(500, dtype=np.float32)
    source_gpu, to_gpu = cuda.mem_alloc(4000), cuda.mem_alloc(4000)
    cuda.memcpy_htod(source_gpu, half)  # the rest is not written: what is read has to be checked
    own.append(id(copy))
    copy(to_gpu, source_gpu, np.int32(500), block=(128, 1, 1), grid=(4, 1))
    result = np.empty(1000, np.float32)
    cuda.memcpy_dtoh(result, to_gpu)
    cuda.Context.synchronize()
    assert refused
    assert (result[:500] == half).all()
    assert sink.reports == []
    # what an unwatched kernel has written is not known: nothing counts as unwritten
    assert [unwritten for _, unwritten in sink.contents if unwritten] == []
    assert hooks.what_is_unwatched() == Unwatched(refused=("copy",))

    # the program's own mistake is no reason to say so
    del own[:]
    with pytest.raises(cuda.Error):
        copy(to_gpu, source_gpu, np.int32(500), block=(2048, 1, 1), grid=(4, 1))
    assert hooks.what_is_unwatched() == Unwatched(refused=("copy",))


HEADER = ".version 8.0\n.target sm_90\n.address_size 64\n"
KERNEL = """.visible .entry sum(.param .u64 to, .param .u64 from){directives}
{{
  .reg .b64 %t, %f; .reg .f32 %x, %y;
  ld.param.u64 %t, [to];
  ld.param.u64 %f, [from];
  ld.global.f32 %x, [%f];
  setp.gt.f32 %p, %x, 0f00000000;
  @%p st.global.f32 [%t], %x;
  ret;
}}
"""


@pytest.mark.parametrize(
    ("directives", "expected"),
    [
        ("", [("maxnreg", (64,))]),
        (" .maxntid 256, 1, 1", [("maxntid", (256, 1, 1))]),
        (" .maxnreg 40", [("maxnreg", (40,))]),
    ],
)
def test_checked_kernels_can_have_the_largest_blocks(directives, expected):
    text = HEADER + KERNEL.format(directives=directives).replace(".reg .f32", ".reg .pred %p; .reg .f32")
    instrumented = instrument(parse(text))
    checked = instrumented.kernels["sum"].checked
    assert checked
    assert instrumented.module.functions[checked].directives == expected
