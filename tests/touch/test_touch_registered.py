"""Registered memory that the device uses. With NumPy 2, PyCUDA registers none: its events are made up."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

if importlib.util.find_spec("pycuda") is None:
    pytest.skip("the memory is under PyCUDA's context", allow_module_level=True)

PROGRAM = """
import mmap
import numpy as np
import pycuda_guard
pycuda_guard.enable(device="cpu", json="findings.json", quiet=True)
import pycuda.autoinit
import pycuda.driver as cuda
from pycuda_guard import callsite
from pycuda_guard.events import model as m
from pycuda_guard.session import session

x = np.frombuffer(mmap.mmap(-1, 8 * mmap.PAGESIZE), np.uint8)
address, stream = x.ctypes.data, cuda.Stream()
memory = cuda.mem_alloc(x.nbytes)
where = (callsite.here(), __import__("threading").get_ident(), pycuda.autoinit.context.handle)
emit = session.active().emit


def copy(kind, first=0, nbytes=x.nbytes):
    stream.synchronize()
    device = m.DeviceOperand(int(memory), m.Extent(nbytes), "DeviceAllocation")
    host = m.HostOperand(address + first, m.Extent(nbytes), nbytes, m.HostKind.REGISTERED)
    ends = (host, device) if kind is m.CopyKind.DTOH else (device, host)
    emit(m.Copy(*where, "memcpy_async", kind, *ends, stream.handle, True))


emit(m.Allocated(*where, "register_host_memory", address, x.nbytes, m.MemoryKind.REGISTERED))
copy(m.CopyKind.DTOH)
x[5]  # PG101
copy(m.CopyKind.DTOH)
x[-1] = 1  # PG102
copy(m.CopyKind.HTOD)
x.fill(2)  # PG102
copy(m.CopyKind.HTOD)
x.sum()
copy(m.CopyKind.DTOH)
stream.synchronize()
x.sum()
copy(m.CopyKind.DTOH, 0, mmap.PAGESIZE)
x[mmap.PAGESIZE :] = 3
stream.synchronize()
emit(m.Freed(*where, address, m.MemoryKind.REGISTERED))
x[:] = 4
print(x[0])
"""


def test_touches_of_registered_memory_in_flight_are_told(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "4\n"), done.stderr
    findings = json.loads((tmp_path / "findings.json").read_text())["findings"]
    found = {(one["location"]["line"], one["code"]) for one in findings if one["severity"] != "note"}
    lines = enumerate(PROGRAM.splitlines(), 1)
    assert found == {(number, line.split("# ")[1]) for number, line in lines if "# PG" in line}
