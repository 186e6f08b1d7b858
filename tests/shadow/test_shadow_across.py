"""Copies from one context's memory to another's carry along what was never written."""

from __future__ import annotations

import json

import pytest
from guard_processes import run_guard

#: the first context's kernel writes ``written`` of 256 elements, a copy takes 200 of them from the 28th on to
#: the 50th and following of the second context's array, whose 256 elements are read there in the end
PROGRAM = """
import numpy as np
import pycuda.driver as cuda
from pycuda.compiler import SourceModule
cuda.init()
SOURCE = "__global__ void set(int *x, int n) {{ if (threadIdx.x < n) x[threadIdx.x] = threadIdx.x; }}"
first, second = (cuda.Device(number).make_context() for number in {devices})

def kernel(memory, n):
    SourceModule(SOURCE).get_function("set")(memory, np.int32(n), block=(256, 1, 1))

second.pop()
source = cuda.mem_alloc(1024)
stream_of_first = cuda.Stream()
kernel(source, {written})
second.push()
target = cuda.mem_alloc(1024)
stream_of_second = cuda.Stream()
kernel(target, {before})
cuda.Context.synchronize()
there, here = int(source) + 4 * 28, int(target) + 4 * 50
{copy}
result = np.empty(256, np.int32)
cuda.memcpy_dtoh(result, target)
end = min({written}, 228)
assert result[50:50 + end - 28].tolist() == list(range(28, end))
second.pop()
del source, stream_of_first
first.pop()
second.push()
del target, stream_of_second
second.pop()
"""

SYNCHRONOUS = "cuda.memcpy_peer(here, there, 800, second, first)"
FROM_THE_OTHER = f"second.pop()\n{SYNCHRONOUS}\nsecond.push()"
ASYNCHRONOUS = """
cuda.memcpy_peer_async(here, there, 800, second, first, stream_of_second)
stream_of_second.synchronize()
"""
IN_THE_OTHER_S_STREAM = """
second.pop()
cuda.memcpy_peer_async(here, there, 800, second, first, stream_of_first)
stream_of_first.synchronize()
second.push()
"""

#: how the copy is made, elements written before: in the source, in the target; unwritten bytes that are read
CASES = {
    "all is written": (SYNCHRONOUS, 256, 256, None),
    "what was written before is replaced": (SYNCHRONOUS, 100, 256, (228 - 100) * 4),
    "the copy writes what nobody had": (SYNCHRONOUS, 228, 50, 6 * 4),
    "both": (SYNCHRONOUS, 100, 50, (228 - 100 + 6) * 4),
    "from the other context": (FROM_THE_OTHER, 100, 256, (228 - 100) * 4),
    "from the other context, all is written": (FROM_THE_OTHER, 256, 256, None),
    "asynchronous": (ASYNCHRONOUS, 100, 256, (228 - 100) * 4),
    "asynchronous, all is written": (ASYNCHRONOUS, 228, 256, None),
    "in an order that nobody knows": (IN_THE_OTHER_S_STREAM, 100, 256, None),
}


@pytest.mark.parametrize("devices", [(0, 1), (0, 0)], ids=["two devices", "one device"])
@pytest.mark.parametrize("name", CASES)
def test_what_nobody_wrote_is_known_in_the_other_context(name, devices, tmp_path):
    copy, written, before, unwritten = CASES[name]
    program = PROGRAM.format(copy=copy, written=written, before=before, devices=devices)
    (tmp_path / "program.py").write_text(program)
    options = ["--device", "cpu", "--cpu-devices", "2", "--json", "out.json", "--fail-on", "never"]
    done = run_guard("run", *options, "program.py", cwd=tmp_path)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    findings = json.loads((tmp_path / "out.json").read_text())["findings"]
    assert "PG903" not in [finding["code"] for finding in findings]
    messages = [finding["message"] for finding in findings if finding["code"] == "PG301"]
    assert len(messages) == (unwritten is not None), done.stderr
    if unwritten is not None:
        assert f" {unwritten} bytes " in messages[0] or f"{unwritten // 4} of 256 elements" in messages[0], (
            messages
        )
