"""Signatures of kernels whose image is machine code: their source is compiled once more, to PTX."""

from __future__ import annotations

import inspect

import pytest

from pycuda_guard.hooks.modules import signatures
from pycuda_guard.hooks.sources import compile_source, is_ptx
from pycuda_guard.hooks.tap import Tap

SOURCE = "__global__ void scale(float *x, double factor, int n) { if (n) x[0] *= factor; }"


@pytest.fixture
def tap(cuda, make_recorder):
    return Tap(make_recorder())


@pytest.fixture
def compile_cubin(cuda, tap):
    """PyCUDA's own compiler under the hook, without the CPU device's preference for PTX."""
    from pycuda import compiler

    hooked = compile_source(tap, inspect.unwrap(compiler.compile))
    return lambda source, **more: hooked(source, arch="sm_90", cache_dir=False, **more)


def test_the_source_of_a_cubin_is_compiled_to_ptx(tap, compile_cubin):
    cubin = compile_cubin(SOURCE, keep=False, options=["-lineinfo"])
    assert not is_ptx(cubin)
    kernels, unknown = signatures(tap, cubin)
    assert unknown == ""
    assert [(k.name, [p.declared for p in k.parameters]) for k in kernels] == [
        ("scale", ["float *x", "double factor", "int n"])
    ]


def test_a_cubin_of_unknown_source_is_unknown(tap):
    kernels, unknown = signatures(tap, b"\x7fELF machine code")
    assert kernels is None
    assert "source is not known" in unknown


def test_a_source_that_does_not_compile_to_ptx_is_unknown(tap, compile_cubin):
    # --ptx does not go together with options that ask for machine code of several architectures.
    several = ["-gencode=arch=compute_90,code=sm_90", "-gencode=arch=compute_80,code=sm_80"]
    tap.sources.clear()
    cubin = compile_cubin(SOURCE)
    (compiled,) = tap.sources.values()
    compiled._keywords["options"] = several
    kernels, unknown = signatures(tap, cubin)
    assert kernels is None
    assert unknown.startswith("CompileError")


def test_only_the_latest_sources_are_remembered(tap, monkeypatch):
    monkeypatch.setattr("pycuda_guard.hooks.sources.MAX_SOURCES", 3)
    hooked = compile_source(tap, lambda source: source.encode())
    for i in range(9):
        hooked(f"source {i}")
    assert [compiled.source for compiled in tap.sources.values()] == ["source 6", "source 7", "source 8"]
