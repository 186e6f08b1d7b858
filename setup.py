"""Builds the C extensions where they can work. Everything else is in pyproject.toml."""

from __future__ import annotations

import platform
import sys

from setuptools import Extension, setup

HOSTFAULT = "pycuda_guard/hooks/native"
NATIVE = "pycuda_guard/cpu/native"
SOURCES = (
    "module",
    "region",
    "faults",
    "printf",
    "heap",
    "resident",
    "scheduler",
    "pool",
    "lanes",
    "gate",
    "interrupt",
)

hostfault = Extension(
    "pycuda_guard.hooks._hostfault",
    sources=[f"{HOSTFAULT}/{name}.c" for name in ("hostfault", "chain", "pages")],
    depends=[f"{HOSTFAULT}/hostfault.h"],
    define_macros=[("Py_LIMITED_API", "0x030B0000")],
    extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden"],
    extra_link_args=["-pthread"],
    py_limited_api=True,
    # without a C compiler the package installs all the same, and says at run time what is therefore off
    optional=True,
)

runtime = Extension(
    "pycuda_guard.cpu._runtime",
    sources=[f"{NATIVE}/{name}.c" for name in SOURCES],
    depends=[f"{NATIVE}/runtime.h", f"{NATIVE}/block.h"],
    define_macros=[("Py_LIMITED_API", "0x030B0000")],
    extra_compile_args=["-std=gnu11", "-O3", "-Wall", "-Wextra", "-fvisibility=hidden"],
    extra_link_args=["-pthread"],
    py_limited_api=True,
    optional=True,
)

extensions = []
if sys.platform == "linux":
    extensions.append(hostfault)
    # its signal handling and its generated code are written for this processor
    if platform.machine() == "x86_64":
        extensions.append(runtime)
setup(ext_modules=extensions, options={"bdist_wheel": {"py_limited_api": "cp311"}} if extensions else {})
