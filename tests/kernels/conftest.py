"""What tests of kernels share: PTX made by nvcc, kept as data or made on the spot."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pycuda_guard.toolchain import find_nvcc, wheel_root

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def compile_ptx(tmp_path_factory):
    """Return a function that compiles CUDA C to PTX text."""
    nvcc = find_nvcc()
    if nvcc is None:
        pytest.skip("needs nvcc")

    def compile_text(source: str, *options: str) -> str:
        folder = tmp_path_factory.mktemp("cuda")
        (folder / "kernel.cu").write_text(source)
        command = [str(nvcc), "--ptx", "-lineinfo", *options, "kernel.cu", "-o", "kernel.ptx"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return (folder / "kernel.ptx").read_text()

    return compile_text


@pytest.fixture(scope="session")
def ptxas(tmp_path_factory):
    """Return a function that runs ptxas on PTX text and returns the cubin and what ptxas says."""
    nvcc = find_nvcc()
    roots = [root for root in (nvcc and nvcc.parent.parent, wheel_root()) if root]
    found = [path for path in (root / "bin" / "ptxas" for root in roots) if path.is_file()]
    if not found:
        pytest.skip("needs ptxas")

    def run(text: str) -> tuple[bytes, str]:
        folder = tmp_path_factory.mktemp("ptx")
        (folder / "kernel.ptx").write_text(text)
        command = [str(found[0]), "-v", "-arch", "sm_90", "kernel.ptx", "-o", "kernel.cubin"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return (folder / "kernel.cubin").read_bytes(), done.stderr

    return run


@pytest.fixture(scope="session")
def assemble(ptxas):
    """Return a function that assembles PTX text and returns the cubin."""
    return lambda text: ptxas(text)[0]


@pytest.fixture(scope="session")
def ptxas_report(ptxas):
    """Return a function that assembles PTX text and returns ptxas's report of resources."""
    return lambda text: ptxas(text)[1]


@pytest.fixture(params=["language", "warp", "debug"])
def real_ptx(request) -> str:
    """PTX that nvcc wrote for the kernels in ``data``."""
    return (DATA / f"{request.param}.ptx").read_text()
