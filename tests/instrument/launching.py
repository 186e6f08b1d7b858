"""Launches instrumented kernels through PyCUDA with host structures made by hand, beside the bare kernels."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.pipeline import instrument
from pycuda_guard.kernels.instrument.proofs.model import PROVEN_SUFFIX
from pycuda_guard.kernels.ptx import parse, print_module
from pycuda_guard.kernels.ptx.ir import Space
from pycuda_guard.toolchain import find_nvcc

if TYPE_CHECKING:
    from pathlib import Path

HEADER = ".version 8.0\n.target sm_80\n.address_size 64\n"


def compile_cuda(source: str, folder: Path, *options: str) -> str:
    """Return the PTX that nvcc makes of CUDA C; skip the test where there is no nvcc."""
    nvcc = find_nvcc()
    if nvcc is None:
        pytest.skip("needs nvcc")
    (folder / "kernel.cu").write_text(source)
    command = [str(nvcc), "--ptx", "-lineinfo", "-arch=sm_80", *options, "kernel.cu", "-o", "kernel.ptx"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return (folder / "kernel.ptx").read_text()


@dataclass
class Report:
    """One record of the ring."""

    site: int
    reason: abi.Reason
    address: int
    detail: int
    block: tuple[int, int, int]
    thread: tuple[int, int, int]


@dataclass
class Buffer:
    """Device memory with a shadow of its own, ``slack`` bytes of foreign memory on both sides.

    ``written`` are the ranges of bytes that the host wrote: what a checked kernel takes for initialized.
    """

    array: np.ndarray
    shift: int = 2
    slack: int = 512
    written: tuple[tuple[int, int], ...] = ()
    address: int = 0
    shadow: int = 0
    codes: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))
    memory: object = None
    shadow_memory: object = None

    def range(self, code: int) -> bytes:
        """Return the abi.RANGE."""
        return abi.RANGE.pack(self.address, self.array.nbytes, self.shadow, code * 0x01010101, self.shift)


class Launcher:
    """The kernels of one PTX module, bare and instrumented."""

    def __init__(self, cuda, ptx: str, only_checked: bool = False, only_fast: bool = False) -> None:
        self.cuda = cuda
        self.module = parse(ptx)
        self.result = instrument(self.module)
        self.text = print_module(self.result.module)
        assert print_module(parse(self.text)) == self.text
        if only_checked or only_fast:  # the rest would take as long again to compile
            items = self.result.module.items
            left_out = self._has_checked if only_checked else self._is_not_fast
            items[:] = [item for item in items if not left_out(getattr(item, "name", ""))]
            self.text = print_module(self.result.module)
        self.bare = cuda.module_from_buffer(ptx.encode())
        self.loaded = cuda.module_from_buffer(self.text.encode())
        self.variables = [self._variable(name) for name in self._variable_names()]
        self.reports: list[Report] = []
        self.counts: list[tuple[int, int, int]] = []

    def _variable_names(self) -> list[str]:
        variables = self.module.variables.items()
        return [name for name, variable in variables if variable.space in (Space.GLOBAL, Space.CONST)]

    def _variable(self, name: str) -> tuple[int, bytes]:
        """Return the row of the table for a variable of the instrumented module: where it is, no shadow."""
        address, nbytes = self.loaded.get_global(name)
        return int(address), abi.RANGE.pack(int(address), nbytes, 0, 0, abi.UNTRACKED)

    def _has_checked(self, name: str) -> bool:
        """Tell whether a kernel has a checked variant beside."""
        return name in self.result.kernels and bool(self.result.kernels[name].checked)

    def _is_not_fast(self, name: str) -> bool:
        """Tell whether a kernel is another variant of one."""
        return name.endswith((abi.CHECKED_SUFFIX, PROVEN_SUFFIX))

    def bare_run(self, name, *arguments, grid=1, block=1, shared=0):
        """Launch the bare kernel on copies of the buffers; return them as arrays."""
        copies = [Buffer(a.array.copy()) if isinstance(a, Buffer) else a for a in arguments]
        self._launch(self.bare.get_function(name), copies, b"", 0, grid, block, shared)
        return [copy.array for copy in copies if isinstance(copy, Buffer)]

    def run(
        self,
        name,
        *arguments,
        grid=1,
        block=1,
        shared=0,
        code=7,
        flags=0,
        known=None,
        table=True,
        checked=False,
        proven=False,
    ):
        """Launch the instrumented kernel; fill ``reports`` and ``counts`` and the buffers' arrays and codes.

        ``known`` are the positions of parameters whose ranges the kernel is told; by default all.
        ``table``: whether the buffers are in the table.
        """
        kernel = self.result.kernels[name]
        cuda = self.cuda
        ring = cuda.mem_alloc(abi.RING_HEADER + abi.RING_CAPACITY * abi.RECORD.size)
        cuda.memset_d8(ring, 0, abi.RING_HEADER + abi.RING_CAPACITY * abi.RECORD.size)
        counters, nbytes = self.loaded.get_global(abi.SITE_COUNTERS)
        assert nbytes >= len(self.result.sites) * abi.SITE_COUNTER.size
        cuda.memset_d8(counters, 0, nbytes)
        buffers = [a for a in arguments if isinstance(a, Buffer)]
        for buffer in buffers:
            self._place(buffer)
        rows = [(b.address, b.range(abi.STRAY)) for b in buffers] + self.variables if table else []
        rows.sort()
        entries = cuda.mem_alloc(max(len(rows), 1) * abi.RANGE.size)
        if rows:
            cuda.memcpy_htod(entries, b"".join(row for _, row in rows))
        hidden = abi.HEADER.pack(int(ring), int(entries), len(rows), 99, flags, shared)
        values, ranges = [], []
        for root in kernel.roots:
            argument = arguments[root.parameter]
            told = known is None or root.parameter in known
            if isinstance(argument, bytes):
                value = struct.unpack_from("<Q", argument, root.offset)[0]
                argument = next((b for b in buffers if b.address == value), None)
            is_buffer = isinstance(argument, Buffer) and told
            hidden += argument.range(code) if is_buffer else abi.RANGE.pack(0, 0, 0, 0, abi.UNTRACKED)
            values.append(argument.address if is_buffer else 0)
            ranges.append((argument.address, argument.array.nbytes) if is_buffer else (0, 0))
        assert len(hidden) == kernel.hidden_bytes
        if not (checked or proven):
            hidden += b"".join(abi.BOUND.pack(*bound.words(values, ranges)) for bound in kernel.bounds)
        variant = kernel.checked if checked else name + PROVEN_SUFFIX * proven
        function = self.loaded.get_function(variant)
        asked = kernel.shared_bytes(shared) if checked else shared
        self._launch(function, arguments, hidden, kernel.hidden_offset, grid, block, asked)
        for buffer in buffers:
            cuda.memcpy_dtoh(buffer.codes, buffer.shadow)
        self._read(ring, counters, nbytes)

    def _place(self, buffer: Buffer) -> None:
        """Give a buffer device memory and a shadow, once."""
        if buffer.address:
            return
        memory = self.cuda.mem_alloc(buffer.array.nbytes + 2 * buffer.slack)
        buffer.memory = memory
        self.cuda.memset_d8(memory, 0xA5, buffer.array.nbytes + 2 * buffer.slack)
        buffer.address = int(memory) + buffer.slack
        count = (buffer.array.nbytes >> buffer.shift) + 16
        buffer.codes = np.zeros(count, np.uint8)
        buffer.shadow_memory = self.cuda.mem_alloc(count)
        buffer.shadow = int(buffer.shadow_memory)
        for start, end in buffer.written:
            buffer.codes[start >> buffer.shift : -(-end >> buffer.shift)] = abi.HOST
        self.cuda.memcpy_htod(buffer.shadow_memory, buffer.codes)

    def _launch(self, function, arguments, hidden, hidden_offset, grid, block, shared) -> None:
        packed = b""
        for argument in arguments:
            if isinstance(argument, Buffer):
                self._place(argument)
                self.cuda.memcpy_htod(argument.address, np.ascontiguousarray(argument.array))
                value, alignment = struct.pack("<Q", argument.address), 8
            elif isinstance(argument, bytes):
                value, alignment = argument, 8
            else:
                value, alignment = argument.tobytes(), argument.nbytes
            packed = packed.ljust((len(packed) + alignment - 1) // alignment * alignment, b"\0") + value
        if hidden:
            packed = packed.ljust(hidden_offset, b"\0") + hidden
        function._launch_kernel(_triple(grid), _triple(block), packed, shared, None)
        self.cuda.Context.synchronize()
        for argument in arguments:
            if isinstance(argument, Buffer):
                self.cuda.memcpy_dtoh(argument.array, argument.address)
                around = np.zeros(argument.slack, np.uint8)
                for start in (argument.address - argument.slack, argument.address + argument.array.nbytes):
                    self.cuda.memcpy_dtoh(around, start)
                    assert (around == 0xA5).all() or not hidden, "memory outside of a buffer was written"

    def _read(self, ring, counters, nbytes) -> None:
        data = bytearray(abi.RING_HEADER + abi.RING_CAPACITY * abi.RECORD.size)
        self.cuda.memcpy_dtoh(data, ring)
        (count,) = struct.unpack_from("<I", data)
        self.reports = []
        for index in range(count):
            words = abi.RECORD.unpack_from(data, abi.RING_HEADER + index * abi.RECORD.size)
            number, launch, site, reason, address, detail = words[:6]
            assert (number, launch) == (index + 1, 99)
            report = Report(site, abi.Reason(reason), address, detail, words[6:9], words[9:12])
            self.reports.append(report)
        self.reports.sort(key=lambda report: (report.site, report.block, report.thread))
        data = bytearray(nbytes)
        self.cuda.memcpy_dtoh(data, counters)
        self.counts = []
        for index in range(len(self.result.sites)):
            count, _, lowest, highest = abi.SITE_COUNTER.unpack_from(data, index * abi.SITE_COUNTER.size)
            self.counts.append((count, lowest ^ ((1 << 64) - 1), highest))

    def count(self) -> int:
        """Return how many bad accesses there were in all."""
        return sum(count for count, _, _ in self.counts)


def _triple(extent):
    extent = (extent,) if isinstance(extent, int) else tuple(extent)
    return extent + (1,) * (3 - len(extent))
