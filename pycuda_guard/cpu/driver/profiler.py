"""Profiler control, which does nothing: there is no profiler of the CPU device."""

from __future__ import annotations

from pycuda_guard.cpu.driver import contexts


def start() -> None:
    """Accept the start of profiling."""
    contexts.current()


def stop() -> None:
    """Accept the end of profiling."""
    contexts.current()
