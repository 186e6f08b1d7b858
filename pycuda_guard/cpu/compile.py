"""Makes ``pycuda.compiler`` produce PTX, which is what the CPU device runs.

PyCUDA asks nvcc for machine code of a GPU (``target="cubin"``). Here it asks for PTX with line numbers
instead; everything else, PyCUDA's cache of compiled kernels included, stays as it is. CUDA's device runtime,
which kernels need that launch kernels, is part of the device: no library is searched for.
"""

from __future__ import annotations

import inspect
import os
import shutil
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wrapt

from pycuda_guard import toolchain
from pycuda_guard.errors import StartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

_MACHINE_CODE = ("cubin", "fatbin")
#: options that say for which GPUs to make machine code; each may take its value as the next argument
_CODE_OPTIONS = ("-code", "--gpu-code", "-gencode", "--generate-code")
_ARCH_OPTIONS = ("-arch", "--gpu-architecture")
#: architectures that stand for several, or for the GPU of this machine, which is none
_ARCH_KEYWORDS = ("native", "all", "all-major")
_FALLBACK_ARCH = "sm_90"
#: options that PTX output does not go with
_REFUSED = ("-dlto", "--dlink-time-opt", "-lto")
_DEBUG = ("-G", "--device-debug")
_LINE_INFO = ("-lineinfo", "--generate-line-info")

#: the library with which kernels launch kernels
DEVICE_RUNTIME = "cudadevrt"


def install() -> None:
    """Wrap what compiles and links in ``pycuda.compiler``, now or when that module is imported."""
    wrapt.register_post_import_hook(_wrap, "pycuda.compiler")


def _wrap(module: ModuleType) -> None:
    signature = inspect.signature(module.compile)

    def compile_to_ptx(
        wrapped: Callable[..., bytes], _instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> bytes:
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        arguments = call.arguments
        _find_compiler(arguments["nvcc"])
        if arguments["target"] in _MACHINE_CODE:
            options = arguments["options"]
            given = module.DEFAULT_NVCC_FLAGS if options is None else options
            arguments["target"] = "ptx"
            arguments["code"] = None
            arguments["options"] = ptx_options(given, _is_debugging())
            if arguments["arch"] in _ARCH_KEYWORDS:
                arguments["arch"] = None
        if "curand" in arguments["source"]:
            arguments["include_dirs"] = [*(arguments["include_dirs"] or ()), *_curand_headers()]
        return wrapped(*call.args, **call.kwargs)

    wrapt.wrap_function_wrapper(module, "compile", compile_to_ptx)
    wrapt.wrap_function_wrapper(module, "DynamicModule.add_stdlib", _add_library)


def _add_library(
    wrapped: Callable[..., Any], instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> object:
    """Add a library of CUDA's to a link, unless the device has it."""
    name = args[0] if args else kwargs.get("libname")
    return instance if name == DEVICE_RUNTIME else wrapped(*args, **kwargs)


def ptx_options(options: Iterable[str], debugging: bool = False) -> list[str]:
    """Return nvcc's options for PTX with line numbers, made from those for machine code.

    ``debugging``: PyCUDA adds ``-G`` itself, which has line numbers of its own.
    """
    kept: list[str] = []
    remaining = iter(options)
    for option in remaining:
        name, equals, value = option.partition("=")
        if name in _REFUSED:
            continue
        if name in _CODE_OPTIONS:
            if not equals:
                next(remaining, None)
            continue
        if name in _ARCH_OPTIONS:
            value = value if equals else next(remaining, "")
            kept.append(f"{name}={_FALLBACK_ARCH if value in _ARCH_KEYWORDS else value}")
            continue
        kept.append(option)
    if not debugging and not any(option in _DEBUG + _LINE_INFO for option in kept):
        kept.append("-lineinfo")
    return kept


def _is_debugging() -> bool:
    import pycuda.driver

    return bool(pycuda.driver.CUDA_DEBUGGING)


def _find_compiler(nvcc: str) -> None:
    """Put nvcc's folder on PATH if it is not there; PyCUDA looks nowhere else. Raise StartError."""
    if shutil.which(nvcc):
        return
    found = toolchain.find_nvcc() if nvcc == "nvcc" else None
    if found is None:
        raise StartError(
            f"kernels cannot be compiled: there is no CUDA compiler `{nvcc}` on PATH",
            'pip install "pycuda-guard[cpu]", or install the CUDA toolkit and add its bin folder to PATH',
        )
    os.environ["PATH"] = os.pathsep.join((str(found.parent), os.environ.get("PATH", "")))


def _curand_headers() -> list[str]:
    """Return the folder of cuRAND's headers in pip's packages, if the compiler does not bring them."""
    compiler = shutil.which("nvcc")
    if compiler and (Path(compiler).resolve().parent.parent / "include" / "curand_kernel.h").exists():
        return []
    packages = Path(sysconfig.get_path("purelib")) / "nvidia"
    folders = [packages / name / "include" for name in ("cu13", "cu12", "curand")]
    return [str(folder) for folder in folders if (folder / "curand_kernel.h").exists()][:1]
