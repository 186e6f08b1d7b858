"""Builds the C extensions where they can work. Everything else is in pyproject.toml."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

from setuptools import Extension, setup

#: where the documentation is read, which has a page for each file that the README names
SITE = "https://pycuda-guard.readthedocs.io/en/stable/"

LANE = "pycuda_guard/events/native"
HOSTFAULT = "pycuda_guard/hooks/native"
NATIVE = "pycuda_guard/cpu/native"
SOURCES = (
    "module",
    "region",
    "faults",
    "printf",
    "heap",
    "launches",
    "resident",
    "scheduler",
    "pool",
    "lanes",
    "gate",
    "interrupt",
)

lane = Extension(
    "pycuda_guard.events._lane",
    sources=[f"{LANE}/lane.c"],
    define_macros=[("Py_LIMITED_API", "0x030B0000")],
    extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden"],
    py_limited_api=True,
    # without a C compiler the package installs all the same, and says at run time what is therefore off
    optional=True,
)

hostfault = Extension(
    "pycuda_guard.hooks._hostfault",
    sources=[f"{HOSTFAULT}/{name}.c" for name in ("hostfault", "chain", "pages")],
    depends=[f"{HOSTFAULT}/hostfault.h"],
    define_macros=[("Py_LIMITED_API", "0x030B0000")],
    extra_compile_args=["-std=gnu11", "-O2", "-Wall", "-Wextra", "-fvisibility=hidden"],
    extra_link_args=["-pthread"],
    py_limited_api=True,
    optional=True,
)

runtime = Extension(
    "pycuda_guard.cpu._runtime",
    sources=[f"{NATIVE}/{name}.c" for name in SOURCES],
    depends=[f"{NATIVE}/{name}.h" for name in ("runtime", "block", "launches")],
    define_macros=[("Py_LIMITED_API", "0x030B0000")],
    extra_compile_args=["-std=gnu11", "-O3", "-Wall", "-Wextra", "-fvisibility=hidden"],
    extra_link_args=["-pthread"],
    py_limited_api=True,
    optional=True,
)


def description() -> str:
    """Return the README for a package index, where its links to files of the repository lead to the site."""
    text = Path(__file__).with_name("README.md").read_text(encoding="utf-8")
    return re.sub(
        r"\]\((?:docs/)?(?!https?:)([\w/-]+)(?:\.schema\.json|\.md)(#[\w-]+)?\)",
        lambda link: f"]({SITE}{link[1]}.html{link[2] or ''})",
        text,
    )


extensions = []
if sys.platform == "linux":
    extensions += [lane, hostfault]
    # its signal handling and its generated code are written for this processor
    if platform.machine() == "x86_64":
        extensions.append(runtime)
setup(
    ext_modules=extensions,
    long_description=description(),
    long_description_content_type="text/markdown",
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if extensions else {},
)
