"""Launches the kernels of a file on arrays of their own, one after the other.

A line `//! grid=2,2 block=8,8 n=16 shared=512 args=x,y,z` before a kernel says how: `x` holds the numbers
from 0 up, `y` and `z` zeros, `rows` pointers to the halves of an array, `x+1` is `x` from its second element
on. Lines that end in `// PG501` are those that a finding of that code may name; a kernel without any is
right.

    python -m pycuda_guard run --races race_programs.py kernels.cu
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

#: elements of an array
ELEMENTS = 1024
_KERNEL = re.compile(r"KERNEL\((\w+)\)")
_MARK = re.compile(r"// (PG\d{3})$")


@dataclass
class Case:
    """A kernel, how it is launched, and the lines that findings may name by code."""

    name: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    n: int = 0
    shared: int = 0
    arguments: tuple[str, ...] = ("x", "y", "z")
    marked: dict[str, set[int]] = field(default_factory=dict)


def read_cases(path: Path) -> list[Case]:
    """Return the kernels of a file that have a line that says how to launch them."""
    cases: list[Case] = []
    words: dict[str, str] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith("//!"):
            words = dict(word.split("=") for word in line[3:].split())
        elif words and (found := _KERNEL.match(line)):
            cases.append(
                Case(
                    found[1],
                    _extents(words["grid"]),
                    _extents(words["block"]),
                    int(words.get("n", 0)),
                    int(words.get("shared", 0)),
                    tuple(words.get("args", "x,y,z").split(",")),
                )
            )
            words = {}
        if mark := _MARK.search(line):
            cases[-1].marked.setdefault(mark[1], set()).add(number)
    return cases


def _extents(text: str) -> tuple[int, ...]:
    extents = tuple(map(int, text.split(",")))
    return extents + (1,) * (3 - len(extents))


def main(path: Path) -> None:
    """Launch all kernels of a file."""
    import numpy as np
    import pycuda.autoinit  # noqa: F401
    import pycuda.driver as cuda
    import pycuda.gpuarray as gpuarray
    from pycuda.compiler import SourceModule

    module = SourceModule(path.read_text(), no_extern_c=True)
    for case in read_cases(path):
        arrays = {"x": gpuarray.to_gpu(np.arange(ELEMENTS, dtype=np.int32))}
        for name in ("y", "z"):
            arrays[name] = gpuarray.to_gpu(np.zeros(ELEMENTS, np.int32))
        pointer = int(arrays["y"].gpudata)
        arrays["rows"] = gpuarray.to_gpu(np.array([pointer, pointer + 2 * ELEMENTS], np.uint64))
        arguments = []
        for word in case.arguments:
            name, _, offset = word.partition("+")
            arguments.append(np.uintp(int(arrays[name].gpudata) + 4 * int(offset or 0)))
        function = module.get_function(case.name)
        function(*arguments, np.int32(case.n), grid=case.grid, block=case.block, shared=case.shared)
        cuda.Context.synchronize()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
