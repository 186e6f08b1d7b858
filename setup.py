"""Builds the CPU device's native runtime where there is one. Everything else is in pyproject.toml."""

from __future__ import annotations

import platform
import sys

from setuptools import Extension, setup

NATIVE = "pycuda_guard/cpu/native"
SOURCES = ("module", "region", "faults", "printf", "heap", "scheduler")

runtime = Extension(
    "pycuda_guard.cpu._runtime",
    sources=[f"{NATIVE}/{name}.c" for name in SOURCES],
    depends=[f"{NATIVE}/runtime.h"],
    define_macros=[("Py_LIMITED_API", "0x030B0000")],
    extra_compile_args=["-std=gnu11", "-O3", "-Wall", "-Wextra", "-fvisibility=hidden"],
    extra_link_args=["-pthread"],
    py_limited_api=True,
    # without a C compiler the package installs all the same; the CPU device then says why it is off
    optional=True,
)

# signal handling and generated code are written for this system and processor
if sys.platform == "linux" and platform.machine() == "x86_64":
    setup(ext_modules=[runtime], options={"bdist_wheel": {"py_limited_api": "cp311"}})
else:
    setup()
