"""Whatever ends the process: what had returned to the program is in the recording."""

from __future__ import annotations

import importlib.util
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pycuda_guard.events import model as m
from pycuda_guard.events.reader import read

if importlib.util.find_spec("pycuda") is None:
    pytest.skip("the calls are PyCUDA's", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[2]

KILLS = 50

#: forks a process for each line it is sent; each copies until it is killed, and says so after every copy
SERVER = """
import os, sys
import numpy as np
import pycuda_guard
import pycuda_guard.session  # once for all
from pycuda_guard import cpu
cpu.load()
import pycuda.driver as cuda

def work(path, limit):
    pycuda_guard.enable(device="cpu", record=path, record_limit=limit, quiet=True)
    cuda.init()
    context = cuda.Device(0).make_context()
    host = np.zeros(16, np.float32)
    memory = cuda.mem_alloc(64)
    while True:
        cuda.memcpy_htod(memory, host)
        os.write(1, b"x")

for line in sys.stdin:
    path, limit = line.split()
    pid = os.fork()
    if not pid:
        work(path, int(limit))
    os.write(2, f"{pid}\\n".encode())
    os.waitpid(pid, 0)
    os.write(1, b".")
"""


def test_sigkill_loses_nothing_that_had_returned(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert server.stdin is not None and server.stdout is not None and server.stderr is not None
    returned = []
    try:
        for number in range(KILLS):
            # every fifth time into a ring, whose blocks are being used again
            limit = 1 << 18 if number % 5 == 0 else 1 << 30
            server.stdin.write(f"{tmp_path}/{number}.pgr {limit}\n".encode())
            pid = int(server.stderr.readline())
            seen = server.stdout.read(1)
            assert seen == b"x", server.stderr.readline()
            time.sleep(random.uniform(0, 0.1 if number % 5 == 0 else 0.02))
            os.kill(pid, signal.SIGKILL)
            while not seen.endswith(b"."):
                seen += server.stdout.read(1 << 16)
            returned.append(len(seen) - 1)
    finally:
        server.stdin.close()
        server.wait(20)
        server.stdout.close()
        server.stderr.close()
    for number, count in enumerate(returned):
        recording = read(f"{tmp_path}/{number}.pgr")
        events = [event for event in recording.events() if not isinstance(event, m.EventsLost)]
        first = events[0].sequence
        assert [event.sequence for event in events] == list(range(first, first + len(events)))
        assert not recording.is_damaged
        assert not recording.has_ended
        # before the first copy: a device, a context and an allocation
        before = recording.lost or sum(not isinstance(event, m.Copy) for event in events)
        copies = sum(isinstance(event, m.Copy) for event in events)
        if recording.lost:
            assert events[-1].sequence >= count
            assert copies + before >= count
        else:
            assert count <= copies <= count + 1


ENDS = {
    "os._exit": "os._exit(0)",
    "abort": "os.abort()",
    "segmentation fault": "import ctypes; ctypes.string_at(1)",
    "exec": "os.execv('/bin/true', ['true'])",
    "an error that breaks the context": """
from pycuda.compiler import SourceModule
wild = SourceModule("__global__ void wild(int *x) { *(x + (1L << 40)) = 1; }").get_function("wild")
wild(memories[0], block=(1, 1, 1))
for call in (cuda.Context.synchronize, lambda: cuda.mem_alloc(64), cuda.Context.synchronize):
    try:
        call()
    except cuda.Error as error:
        assert "illegal memory access" in str(error), error
os._exit(7)
""",
}


@pytest.mark.parametrize("end", ENDS)
def test_other_ends_lose_nothing(tmp_path: Path, end: str) -> None:
    script = f"""
import os
import pycuda_guard
pycuda_guard.enable(device="cpu", record="run.pgr", no_kernels=True)
import pycuda.autoinit
import pycuda.driver as cuda
memories = [cuda.mem_alloc(64) for _ in range(100)]
{ENDS[end]}
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        timeout=120,
        check=False,
    )
    recording = read(str(tmp_path / "run.pgr"))
    events = list(recording.events())
    assert sum(isinstance(event, m.Allocated) for event in events) == 100
    if "os._exit(7)" in ENDS[end]:
        assert done.returncode == 7, done.stderr
        assert [event.call for event in events if isinstance(event, m.CallFailed)] == [
            "Context.synchronize",
            "mem_alloc",
            "Context.synchronize",
        ]
    assert recording.problems == []
