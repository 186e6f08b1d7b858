"""What is off on which platform, and why: the one table behind the documentation and the program."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

from pycuda_guard.toolchain import is_wsl


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that not every platform has. ``off`` maps a platform's name to the reason."""

    name: str
    off: dict[str, str]


PLATFORMS = ("Linux x86-64", "Linux aarch64", "WSL2", "Windows", "macOS")

FEATURES = (
    Feature(
        "the CPU device",
        {
            "Linux aarch64": "its libcuda is written for x86-64",
            "Windows": "PyCUDA binds nvcuda.dll there, which can't be put in front",
            "macOS": "PyCUDA can't be built there: CUDA ended with 10.2",
        },
    ),
    Feature(
        "host access to device memory (PG204 by page fault)",
        {
            "Windows": "it needs SIGSEGV",
            "macOS": "there is no device",
        },
    ),
    Feature(
        "host access to memory in flight (PG101 and PG102 by page protection)",
        {
            "Linux aarch64": "reads are told from writes on x86-64 alone",
            "WSL2": "the pinned memory of its driver was not tried",
            "Windows": "it needs SIGSEGV",
            "macOS": "there is no device",
        },
    ),
    Feature(
        "running on a GPU",
        {"macOS": "there is no CUDA"},
    ),
)


def current_platform() -> str:
    """Return which of PLATFORMS this is; an unknown one is given as ``system machine``."""
    machine = platform.machine().lower()
    if is_wsl() and machine in ("x86_64", "amd64"):
        return "WSL2"
    if sys.platform == "linux":
        name = {"x86_64": "x86-64", "amd64": "x86-64", "arm64": "aarch64"}.get(machine, machine)
        return f"Linux {name}"
    return {"win32": "Windows", "darwin": "macOS"}.get(sys.platform, f"{sys.platform} {machine}")


def limits_here() -> list[str]:
    """Return what is off on this platform, one sentence each; an empty list where nothing is."""
    here = current_platform()
    if here not in PLATFORMS:
        return [f"{here} is not a platform that pycuda_guard was tried on"]
    return [
        f"{feature.name} is off on {here}: {feature.off[here]}" for feature in FEATURES if here in feature.off
    ]


def table() -> str:
    """Return the table for the documentation, in Markdown."""
    lines = ["| | " + " | ".join(PLATFORMS) + " |", "|---" * (len(PLATFORMS) + 1) + "|"]
    for feature in FEATURES:
        cells = (f"off: {feature.off[name]}" if name in feature.off else "yes" for name in PLATFORMS)
        lines.append(f"| {feature.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
