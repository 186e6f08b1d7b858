"""Bring what the CPU device needs: a CUDA compiler, and PyCUDA built where there is no GPU.

Nothing that the user already has is touched: an ``nvcc`` on PATH is used, an installed PyCUDA stays.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

from pycuda_guard import toolchain
from pycuda_guard.errors import StartError
from pycuda_guard.progress import run_step

#: the folder that this package is imported from
_PACKAGE_FOLDER = Path(__file__).resolve().parents[2]


def _pip() -> list[str]:
    """Return the command that runs this environment's pip."""
    if not toolchain.is_importable("pip"):
        raise StartError(
            "this Python environment has no pip, which setup needs to install wheels",
            f"{sys.executable} -m ensurepip",
        )
    return [sys.executable, "-m", "pip", "--disable-pip-version-check"]


def ensure_packages(missing_only: dict[str, str]) -> None:
    """Install each distribution (values: requirement) whose module (keys) can't be found."""
    wanted = [
        requirement for module, requirement in missing_only.items() if not toolchain.is_importable(module)
    ]
    if wanted:
        run_step(" and ".join(wanted), [*_pip(), "install", *wanted])


def ensure_compiler() -> Path:
    """Return the CUDA compiler, installing NVIDIA's wheels if there is none."""
    nvcc = toolchain.find_nvcc()
    if nvcc is None:
        run_step("the CUDA compiler (wheels, 390 MB)", [*_pip(), "install", *toolchain.CUDA_WHEELS])
        nvcc = toolchain.find_nvcc()
        if nvcc is None:
            raise StartError("NVIDIA's wheels are installed and yet there is no nvcc")
    return nvcc


def ensure_pycuda() -> None:
    """Install PyCUDA if there is none: the wheel built earlier from the cache, else built now."""
    if toolchain.is_importable("pycuda"):
        return
    toolkit = toolchain.find_toolkit()
    if toolkit is None:
        run_step("CUDA's headers and cuRAND (wheels, 390 MB)", [*_pip(), "install", *toolchain.CUDA_WHEELS])
        toolkit = toolchain.find_toolkit()
        if toolkit is None:
            raise StartError("NVIDIA's wheels are installed and yet they hold no cuda.h and libcurand")
    kept = _wheel_folder(toolkit)
    if not list(kept.glob("pycuda-*.whl")):
        _build_pycuda(toolkit, kept)
    wheel = next(iter(kept.glob("pycuda-*.whl")))
    run_step(f"PyCUDA {toolchain.PYCUDA_RELEASE}", [*_pip(), "install", wheel])


def _wheel_folder(toolkit: toolchain.Toolkit) -> Path:
    """Return the folder that keeps the PyCUDA wheel of this Python and this CUDA release."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}-cuda{toolchain.nvcc_release(toolkit.nvcc)}"
    return toolchain.cache_directory() / "wheels" / f"pycuda-{toolchain.PYCUDA_RELEASE}-{tag}"


def _build_pycuda(toolkit: toolchain.Toolkit, kept: Path) -> None:
    """Build PyCUDA's wheel from its source distribution into the folder ``kept``."""
    for compiler in ("gcc", "g++"):
        if not shutil.which(compiler):
            raise StartError(
                f"PyCUDA is built with {compiler}, which is missing", "sudo apt install build-essential"
            )
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise StartError(
            "PyCUDA is built against Python.h, which is missing", f"sudo apt install python{version}-dev"
        )
    from pycuda_guard.cpu import elf
    from pycuda_guard.cpu.driver import export, table

    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="pycuda-guard-") as folder:
        work = Path(folder)
        # The linker needs a libcuda with PyCUDA's symbols, so that the extension names it as NEEDED
        # and later finds either the driver's or the CPU device's.
        link = work / "link"
        link.mkdir()
        symbols = [name for entry in table.entries() for name in entry.names]
        (link / "libcuda.so").write_bytes(elf.build(export.SONAME, symbols))
        (link / "libcurand.so").symlink_to(toolkit.curand)
        environment = dict(os.environ)
        environment["PATH"] = f"{toolkit.nvcc.parent}{os.pathsep}{environment.get('PATH', '')}"
        environment["CUDA_ROOT"] = str(toolkit.root)
        environment["LIBRARY_PATH"] = str(link)
        environment["LDFLAGS"] = "-Wl,--no-as-needed"
        # Without debug information and at -O1 it is built in two thirds of the time (measured: 110 s of
        # processor time instead of 166 s), and the wheel is an eighth of the size.
        environment["CFLAGS"] = environment["CXXFLAGS"] = "-g0 -O1 -DNDEBUG -fwrapv -fno-strict-aliasing"
        # Not in an isolated environment, so that its source files can be compiled at the same time.
        tools, site = work / "tools", work / "site"
        run_step("what builds PyCUDA", [*_pip(), "install", "--target", tools, "setuptools>=77", "wheel"])
        site.mkdir()
        (site / "sitecustomize.py").write_text(
            "from pycuda_guard.cli import parallel_compile\n\nparallel_compile.install()\n"
        )
        environment["PYTHONPATH"] = os.pathsep.join(str(part) for part in (site, tools, _PACKAGE_FOLDER))
        run_step(
            f"building PyCUDA {toolchain.PYCUDA_RELEASE} (one to two minutes, once)",
            [
                *_pip(),
                "wheel",
                "--no-deps",
                "--no-build-isolation",
                "--no-cache-dir",
                "-w",
                work,
                f"pycuda=={toolchain.PYCUDA_RELEASE}",
            ],
            environment,
        )
        for wheel in work.glob("pycuda-*.whl"):
            partial = kept / f".{wheel.name}.{os.getpid()}"
            shutil.copyfile(wheel, partial)
            partial.replace(kept / wheel.name)
