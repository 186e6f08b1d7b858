"""Has setuptools compile the source files of an extension at the same time.

It compiles them one after the other, which for PyCUDA takes three minutes on two cores.
"""

from __future__ import annotations

import os
from importlib import import_module
from multiprocessing.pool import ThreadPool
from typing import Any


def install() -> None:
    """Replace the compilation of a list of files for this process; the rest of a build stays as it is."""
    ccompiler: Any = import_module("setuptools._distutils.ccompiler")
    ccompiler.CCompiler.compile = _compile_all


def _compile_all(
    self: Any,
    sources: list[str],
    output_dir: str | None = None,
    macros: Any = None,
    include_dirs: Any = None,
    debug: bool = False,
    extra_preargs: Any = None,
    extra_postargs: Any = None,
    depends: Any = None,
) -> list[str]:
    macros, objects, extra_postargs, options, build = self._setup_compile(
        output_dir, macros, include_dirs, sources, depends, extra_postargs
    )
    arguments = self._get_cc_args(options, debug, extra_preargs)

    def compile_one(target: str) -> None:
        if target in build:
            self._compile(target, *build[target], arguments, extra_postargs, options)

    with ThreadPool(os.cpu_count() or 1) as pool:
        pool.map(compile_one, objects, chunksize=1)
    return list(objects)
