"""PTX from PyCUDA's compiler: options, and finding nvcc."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pycuda_guard.cpu.compile import ptx_options

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "given, expected",
    [
        ([], ["-lineinfo"]),
        (["-O1", "-DN=3"], ["-O1", "-DN=3", "-lineinfo"]),
        (["-lineinfo"], ["-lineinfo"]),
        (["--generate-line-info"], ["--generate-line-info"]),
        (["-G"], ["-G"]),
        (["-code", "sm_80", "-O3"], ["-O3", "-lineinfo"]),
        (["-code=sm_80", "--gpu-code=sm_80"], ["-lineinfo"]),
        (["-gencode", "arch=compute_80,code=sm_80", "-w"], ["-w", "-lineinfo"]),
        (["-gencode=arch=compute_80,code=sm_80"], ["-lineinfo"]),
        (["-arch", "sm_75"], ["-arch=sm_75", "-lineinfo"]),
        (["-arch=native"], ["-arch=sm_90", "-lineinfo"]),
        (["--gpu-architecture", "all"], ["--gpu-architecture=sm_90", "-lineinfo"]),
        (["-dlto", "-rdc=true"], ["-rdc=true", "-lineinfo"]),
    ],
)
def test_options_for_machine_code_become_options_for_ptx(given, expected):
    before = list(given)
    assert ptx_options(given) == expected
    assert given == before


def test_debugging_brings_its_own_line_numbers():
    assert ptx_options(["-O0"], debugging=True) == ["-O0"]


SCRIPT = """
import os, shutil, sys
from pycuda_guard import cpu
cpu.load()
import pycuda.autoinit
import pycuda.compiler as compiler
"""


def run(script, **environment):
    pytest.importorskip("pycuda")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + script],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_modules_are_ptx_with_line_numbers_whatever_was_asked_for(tmp_path):
    out = run(
        """
source = "__global__ void f(int *p) { *p = N; }"
for arguments in ({}, dict(options=["-DN=4", "-gencode=arch=compute_80,code=sm_80"]), dict(target="ptx"),
                  dict(target="fatbin", arch="compute_80", code="sm_80"), dict(arch="native")):
    text = compiler.compile(source, **arguments).decode()
    print(text.lstrip().startswith("//"), "loc" in text, [x for x in text.split() if x.startswith("sm_")])
""",
        PYCUDA_CACHE_DIR=str(tmp_path),
        PYCUDA_DEFAULT_NVCC_FLAGS="-DN=3",
    )
    # PTX that the program asks for itself is what nvcc makes of its options
    assert out.splitlines() == [
        "True True ['sm_90']",
        "True True ['sm_90']",
        "True False ['sm_90']",
        "True True ['sm_80']",
        "True True ['sm_90']",
    ]
    assert {path.suffix for path in tmp_path.iterdir()} == {".ptx"}


def test_the_compiler_is_found_off_path_or_missed_clearly():
    out = run(
        """
from pycuda_guard import toolchain
os.environ["PATH"] = "/usr/bin:/bin"
assert not shutil.which("nvcc")
source = "__global__ void f(int *p) { *p = 1; }"
found = toolchain.find_nvcc()
try:
    compiler.SourceModule(source, cache_dir=False)
    print("compiled")
except Exception as error:
    print(type(error).__name__, error)
print(bool(found))
try:
    compiler.SourceModule(source, nvcc="no-such-compiler")
except Exception as error:
    print(type(error).__name__, error)
"""
    )
    lines = out.splitlines()
    missing = "StartError kernels cannot be compiled: there is no CUDA compiler `{}` on PATH"
    assert lines[0] == ("compiled" if lines[1] == "True" else missing.format("nvcc"))
    assert lines[2] == missing.format("no-such-compiler")
