"""Run tests of the native parts under AddressSanitizer: ``make sanitize``.

A copy of the package in a temporary folder is built with ``-fsanitize=address``, and the tests named below
run on it, with ASan loaded before Python. Faults of kernels are the CPU device's own business, so ASan leaves
the signals to it; leaks are not looked for, as Python itself keeps memory to its end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pycuda_guard.toolchain import find_nvcc

CLONE = Path(__file__).resolve().parents[1]
#: those in which nearly each function of the C sources runs
TESTS = (
    "tests/cpu/test_driver_calls.py",
    "tests/cpu/test_runtime_heap.py",
    "tests/cpu/test_runtime_printf.py",
    "tests/cpu/test_runtime_region.py",
    "tests/cpu/test_runtime_faults.py",
    "tests/cpu/test_scheduler_blocks.py",
    "tests/cpu/test_device_launches.py::test_hostile_launches",
    "tests/recorder/test_recording_records.py",
    "tests/session/test_host_fault.py::test_after_a_launch",
    "tests/session/test_host_fault.py::test_on_another_thread",
)
#: tests of these in which a crash of the host, or a limit on its addresses, is what is tested
LEFT_OUT = "not crash and not address_space and not signal_sent"
BUILT = ("pycuda_guard", "setup.py", "pyproject.toml", "README.md", "LICENSE")
#: nvcc does not run with ASan in it
NVCC = """#!/bin/sh
exec env -u LD_PRELOAD {} "$@"
"""
OPTIONS = {
    "detect_leaks": "0",
    "handle_segv": "0",
    "handle_sigbus": "0",
    "handle_sigfpe": "0",
    "handle_sigill": "0",
    "use_sigaltstack": "0",
    # LLVM allocates much, and none of it is ours
    "quarantine_size_mb": "8",
    "malloc_context_size": "4",
}


def build(folder: Path) -> None:
    """Put a copy of the package there whose extensions are built with ASan."""
    for name in BUILT:
        source = CLONE / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        else:
            shutil.copy(source, folder)
    flags = "-fsanitize=address -fno-omit-frame-pointer -g -O1"
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(command, check=True, cwd=folder, env={**os.environ, "CFLAGS": flags, "LDFLAGS": flags})
    if not list(folder.glob("pycuda_guard/*/*.so")):
        sys.exit("the native parts could not be built with -fsanitize=address")


def main() -> int:
    """Build and test; return pytest's exit status."""
    library = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder)
        nvcc = find_nvcc()
        if nvcc is not None:
            (folder / "bin").mkdir()
            (folder / "bin" / "nvcc").write_text(NVCC.format(nvcc))
            (folder / "bin" / "nvcc").chmod(0o755)
        environment = {
            **os.environ,
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder),
            "PYTHONSAFEPATH": "1",  # the clone is the current folder, and is not what is tested
            "LD_PRELOAD": library,
            "ASAN_OPTIONS": ":".join(f"{option}={value}" for option, value in OPTIONS.items()),
        }
        where = "import pycuda_guard.cpu._runtime as native; print(native.__file__)"
        found = subprocess.check_output([sys.executable, "-c", where], text=True, cwd=CLONE, env=environment)
        if not found.startswith(name):
            sys.exit(f"{found.strip()} is not what was built")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", LEFT_OUT, *TESTS]
        return subprocess.run([*command, *sys.argv[1:]], cwd=CLONE, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
