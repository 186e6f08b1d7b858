"""Instrumentation of PTX: kernels that say themselves what they do wrong."""

from __future__ import annotations

from pycuda_guard.kernels.instrument.pipeline import instrument

__all__ = ["instrument"]
