"""Kernels that do what no kernel should get CUDA's error for it, or go on; Python never crashes or hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from codegen_support import compile_cuda

pytest.importorskip("pycuda")

ROOT = Path(__file__).parents[2]
PRELUDE = """
import json, os, sys
from pycuda_guard import cpu
cpu.load(cpu.DeviceOptions(memory_bytes=256 << 20, kernel_timeout=float(sys.argv[2])))
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda

module = cuda.module_from_file(sys.argv[1])
said = {}

def run(name, number, threads=1, grid=1, shared=0, first=100):
    a = cuda.to_device(np.full(4096, first, np.int32))
    kernel = module.get_function(name)
    kernel(a, np.uint64(number % 2**64), block=(threads, 1, 1), grid=(grid, 1), shared=shared)
    cuda.Context.synchronize()
    return cuda.from_device(a, 4096, np.int32)

def tried(*arguments, **more):
    try:
        run(*arguments, **more)
    except cuda.Error as error:
        return f"{type(error).__name__}: {error}".splitlines()[0].split(" failed: ")[-1]
    return "no error"
"""
END = "\nprint(json.dumps(said), flush=True)\nos._exit(0)"

MISALIGNED = "misaligned address: kernel {}"
ILLEGAL = "an illegal memory access was encountered: kernel {}"
STACK = f"{ILLEGAL}, its calls need more stack than the limit STACK_SIZE gives"
TIMEOUT = "the launch timed out and was terminated"
HOST = 0x7FFF_0000_0000
#: arguments of a run → how the error begins; each in a process of its own, for it breaks the device
ENDS = {
    "'write_global', 0": ILLEGAL,
    "'write_global', -4": ILLEGAL,
    "'write_global', -1": MISALIGNED,
    "'write_shared_bytes', 3, 32, shared=128": MISALIGNED,
    "'unaligned', 3": MISALIGNED,
    "'write_global', id(said)": ILLEGAL,
    f"'read_global', {HOST}": ILLEGAL,
    "'read_global', 1 << 63": ILLEGAL,
    "'atomic_global', id(said)": ILLEGAL,
    "'write_shared', 0x7fffffff, 32, shared=128": ILLEGAL,
    "'write_shared', -1, 32, shared=128": ILLEGAL,
    "'write_local', 1 << 20": ILLEGAL,
    "'write_local', -1 << 30": ILLEGAL,
    "'read_constant', 1 << 36": ILLEGAL,
    "'call', 12345": ILLEGAL,
    "'call', id(said)": ILLEGAL,
    "'call_as_other_type', 0": ILLEGAL,
    f"'print_string', {HOST}": ILLEGAL,
    "'recurse', 0": STACK,
    "'recurse', 0, 256, 8": STACK,
    "'recurse_without_locals', 0, 64, 4": STACK,
    "'trap', 3, 32": "unspecified launch failure: kernel {}, block (0, 0, 0), thread (3, 0, 0)",
    "'fail', 3, 32": "device-side assert triggered: kernel {}, block (0, 0, 0), thread (3, 0, 0)",
    "'deadlock', 32, 64": f"{TIMEOUT}: kernel {{}}, no thread of block (0,0,0) can go on",
    "'endless', 0, 64, 8": f"{TIMEOUT}: kernel {{}}, given up",
}


@pytest.fixture(scope="module")
def ptx(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    text = compile_cuda(Path(__file__).with_name("hostile_kernels.cu"), folder)
    path = folder / "module.ptx"
    path.write_text(text)
    return path


def program(ptx: Path, script: str, timeout: float = 0) -> tuple[dict[str, object], str, str]:
    """Run a script in Python's development mode; return what it said, and its output and messages."""
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "dev",
            "-X",
            "faulthandler",
            "-c",
            PRELUDE + script + END,
            str(ptx),
            str(timeout),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, (script, done.returncode, done.stderr)
    assert "Fatal Python error" not in done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stdout, done.stderr


def test_what_breaks_the_device_leaves_python_whole(ptx):
    def outcome(arguments: str) -> object:
        timeout = 0.3 if "endless" in arguments else 0
        script = f"said['error'] = tried({arguments})\nsaid['later'] = tried('trap', 99)\n"
        said, _, err = program(ptx, script, timeout)
        assert said["later"] == said["error"]
        assert err.count("Assertion `threadIdx.x != n` failed.") == ("fail" in arguments)
        return said["error"]

    with ThreadPoolExecutor(2) as pool:
        errors = dict(zip(ENDS, pool.map(outcome, ENDS), strict=True))
    for arguments, beginning in ENDS.items():
        name = arguments.split("'")[1]
        assert errors[arguments].startswith(beginning.format(name)), (arguments, errors[arguments])


def test_what_a_cpu_would_stumble_over_goes_on(ptx):
    said, out, _ = program(
        ptx,
        """
said["aligned"] = run("unaligned", 16).tobytes()[16:24].hex()
said["by zero"] = run("divide", 0)[:4].tolist()
said["overflow"] = run("divide", -1, first=-(1 << 31))[:6].tolist()
said["large"] = run("large_local", 499_999, 1024, 64)[:1024].tolist()
said["call"] = run("call_as_it_is", 7)[1:3].tolist()
said["hoard"] = int(run("hoard", 1 << 16)[0])
said["free"] = int(run("free_wrongly", 0x1234)[0])
run("chatter", 1_000_000)
""",
    )
    smallest = -(1 << 31)
    assert said["aligned"] == "000000000000f03f"
    assert said["by zero"] == [-1, 100, -1, 100]
    # of the wide ones the upper half: INT64_MIN / -1 is INT64_MIN, with remainder 0
    assert said["overflow"][:2] == [smallest, 0]
    assert said["overflow"][4:] == [smallest, 0]
    assert said["large"] == [(i + 128) % 256 - 128 for i in range(1024)]
    assert said["call"] == [100, 100]
    assert (said["hoard"], said["free"]) == (128, 5)
    lines = out.splitlines()
    assert lines[-2] == "line 999999"  # of more than the buffer holds, the oldest are lost
    assert 100_000 < len(lines) < 1_000_000


def test_the_stack_of_kernels_that_recurse_has_a_limit(ptx):
    said, _, _ = program(
        ptx,
        """
limit = cuda.limit.STACK_SIZE
said["default"] = run("recurse_times", 3, 256)[:256].sum().item()
cuda.Context.set_limit(limit, 1 << 16)
said["size"] = cuda.Context.get_limit(limit)
said["deeper"] = run("recurse_times", 200, 256)[:256].sum().item()
try:
    cuda.Context.set_limit(limit, 1 << 20)
except cuda.Error as error:
    said["too large"] = str(error)
cuda.Context.set_limit(limit, 1 << 12)
said["less"] = tried("recurse_times", 200, 256)
""",
    )
    assert said == {
        "default": 256 * 303,
        "size": 1 << 16,
        "deeper": 256 * 200 * 101,
        "too large": "cuCtxSetLimit failed: invalid argument",
        "less": f"{STACK.format('recurse_times')} to a thread",
    }
