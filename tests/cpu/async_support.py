"""Runs PyCUDA programs on the CPU device with a schedule, in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRELUDE = """
import gc, json, os, signal, sys, threading, time
from pycuda_guard import cpu
cpu.load(cpu.DeviceOptions(memory_bytes=256 << 20, {options}))
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

module = SourceModule('''
#include <stdio.h>
__global__ void add(int *a, int n) {{ a[threadIdx.x] += n; }}
__global__ void copy(int *to, const int *from) {{ to[threadIdx.x] = from[threadIdx.x]; }}
__global__ void say(int n) {{ printf("kernel %d\\\\n", n); }}
__global__ void wrong(int *a) {{ a[1LL << 40] = 1; }}
__global__ void spin(volatile int *a) {{ while (a[0] == 0) ; }}
__global__ void busy(int *a) {{ for (;;) a[threadIdx.x + blockDim.x * blockIdx.x] += 1; }}
__global__ void chatty(volatile int *a) {{ while (a[0] == 0) printf("%s", ""); }}
__global__ void meet(volatile int *a) {{ while (a[0] == 0) __syncthreads(); }}
__global__ void greedy(volatile int *a) {{ while (a[0] == 0) free(malloc(16)); }}
''', no_extern_c=False)
names = ("add", "copy", "say", "wrong", "spin", "busy", "chatty", "meet", "greedy")
add, copy, say, wrong, spin, busy, chatty, meet, greedy = map(module.get_function, names)
N = 64
one = dict(block=(1, 1, 1))
all_ = dict(block=(N, 1, 1))

def zeros():
    a = cuda.mem_alloc(4 * N)
    cuda.memset_d32(a, 0, N)
    cuda.Context.synchronize()
    return a

def pinned(value=0):
    a = cuda.pagelocked_empty(N, np.int32)
    a[:] = value
    return a

def value(a):
    host = np.empty(N, np.int32)
    cuda.memcpy_dtoh(host, a)
    return int(host[0])

def tried(call):
    try:
        call()
    except Exception as error:
        return f"{{type(error).__name__}}: {{error}}".splitlines()[0]
    return "no error"

def interrupt(function):
    # send SIGINT when the main thread is in a function of this name
    def watch():
        while sys._current_frames()[threading.main_thread().ident].f_code.co_name != function:
            time.sleep(0.01)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=watch, daemon=True).start()

said = {{}}
"""


def run(script: str, options: str = "", expected: int = 0) -> tuple[str, str]:
    """Run a script after the prelude; ``options`` are arguments of DeviceOptions. Return what it wrote."""
    program = PRELUDE.format(options=options) + textwrap.dedent(script)
    # the development mode has faulthandler, checks memory, and warns of what is not about us
    mode = ["-X", "dev", "-W", "ignore"]
    done = subprocess.run(
        [sys.executable, *mode, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == expected, (done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def answers(script: str, options: str = "", breaks: bool = False) -> dict[str, object]:
    """Run a script that collects what happens in ``said``; return that.

    One that ``breaks`` the device ends without cleaning up, about which PyCUDA would complain.
    """
    end = "\nprint(json.dumps(said), flush=True)" + ("\nos._exit(0)" if breaks else "")
    out, err = run(textwrap.dedent(script) + end, options)
    assert not err, err
    said: dict[str, object] = json.loads(out.splitlines()[-1])
    return said
