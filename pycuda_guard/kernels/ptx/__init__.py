"""PTX as data: ``parse`` text to a tree, ``print_module`` it, ``flatten`` a function of it."""

from __future__ import annotations

from pycuda_guard.kernels.ptx.errors import PtxSyntaxError
from pycuda_guard.kernels.ptx.flatten import flatten
from pycuda_guard.kernels.ptx.opcodes import OPCODES
from pycuda_guard.kernels.ptx.parser import parse
from pycuda_guard.kernels.ptx.printer import print_module

__all__ = ["OPCODES", "PtxSyntaxError", "flatten", "parse", "print_module"]
