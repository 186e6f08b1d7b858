"""Made-up modules, 900 and up, their kernels, launches of them and what the kernels report."""

from __future__ import annotations

from typing import Any

import msgspec
from made_up.places import where

from pycuda_guard.events import model as m

MOD = 901

_KINDS = {
    "int": (4, m.ParameterKind.INTEGER),
    "unsigned int": (4, m.ParameterKind.INTEGER),
    "long long": (8, m.ParameterKind.INTEGER),
    "size_t": (8, m.ParameterKind.INTEGER),
    "bool": (1, m.ParameterKind.INTEGER),
    "char": (1, m.ParameterKind.INTEGER),
    "short": (2, m.ParameterKind.INTEGER),
    "float": (4, m.ParameterKind.FLOAT),
    "double": (8, m.ParameterKind.FLOAT),
}


def module(*signatures: m.KernelSignature, line: int = 3, **fields: Any) -> m.ModuleLoaded:
    """A module of these kernels is loaded."""
    return m.ModuleLoaded(*where(line), MOD, signatures, **fields)


def kernel(name: str, *declared: str, **fields: Any) -> m.KernelSignature:
    """``kernel("f", "float *x", "int n", "struct P p:12:4")``; structs give size and alignment."""
    parameters, offset = [], 0
    for text in declared:
        text, _, layout = text.partition(":")
        name_of = text.replace("*", " ").split()[-1]
        base = text.replace("const ", "").removesuffix(name_of).replace("*", " ").strip()
        size, kind = _KINDS.get(base, (8, m.ParameterKind.BYTES))
        align, pointee, pointee_size = size, "", 0
        if "*" in text:
            pointee, pointee_size = (base, size) if base in _KINDS else ("", 0)
            size, align, kind = 8, 8, m.ParameterKind.POINTER
        elif layout:
            size, align = (int(n) for n in layout.split(":"))
        offset = -(-offset // align) * align
        depth = text.count("*")
        parameters.append(
            m.Parameter(name_of, offset, size, align, kind, text, pointee, pointee_size, depth=depth)
        )
        offset += size
    return m.KernelSignature(name, tuple(parameters), **fields)


_FORMATS = {
    "int8": (1, m.ArgumentKind.INTEGER),
    "bool": (1, m.ArgumentKind.INTEGER),
    "int16": (2, m.ArgumentKind.INTEGER),
    "int32": (4, m.ArgumentKind.INTEGER),
    "uint32": (4, m.ArgumentKind.INTEGER),
    "int64": (8, m.ArgumentKind.INTEGER),
    "uint64": (8, m.ArgumentKind.INTEGER),
    "float16": (2, m.ArgumentKind.FLOAT),
    "float32": (4, m.ArgumentKind.FLOAT),
    "float64": (8, m.ArgumentKind.FLOAT),
    "DeviceAllocation": (8, m.ArgumentKind.POINTER),
    "GPUArray": (8, m.ArgumentKind.POINTER),
    "int": (0, m.ArgumentKind.INVALID),
    "float": (0, m.ArgumentKind.INVALID),
}


def arg(type_name: str, value: float | None = None, size: int = 0, **fields: Any) -> m.Argument:
    """An argument of this type; ``ndarray`` and ``void`` need their size in bytes."""
    width, kind = _FORMATS.get(type_name, (size, m.ArgumentKind.BYTES))
    return m.Argument(kind, type_name, 0, width, value, **fields)


def ptr(address: int, type_name: str = "DeviceAllocation", **fields: Any) -> m.Argument:
    """A device pointer as an argument."""
    return arg(type_name, address, **fields)


def launch(
    function: str,
    *arguments: m.Argument,
    block: tuple[int, ...] = (32, 1, 1),
    grid: tuple[int, ...] = (1, 1),
    stream: int = 0,
    shared: int = 0,
    call: str = "__call__",
    line: int = 15,
    raw: int | None = None,
    **fields: Any,
) -> m.Launch:
    """``function(*arguments, block=…, grid=…)``, packed as PyCUDA packs: bytes with alignment 1."""
    placed: list[m.Argument] = []
    offset = 0
    for argument in arguments:
        align = 1 if argument.kind is m.ArgumentKind.BYTES else max(argument.size, 1)
        offset = -(-offset // align) * align
        placed.append(msgspec.structs.replace(argument, offset=offset))
        offset += argument.size
    packed = tuple(placed) if raw is None else None
    size = offset if raw is None else raw
    return m.Launch(*where(line), call, MOD, function, grid, block, shared, stream, packed, size, **fields)


def reported(
    launch: int,
    reason: str,
    address: int,
    *,
    function: str,
    kind: str = "write",
    width: int = 4,
    space: str = "global",
    parameter: int = -1,
    kernel_line: int = 7,
    variable: tuple[str, int] = ("", 0),
    line: int = 15,
    **fields: Any,
) -> m.KernelReport:
    """The kernel launched by event ``launch`` did something wrong; ``fields`` are the report's others."""
    access = m.KernelAccess(function, "script.py", kernel_line, kind, width, space, parameter, *variable)
    fields = {"lowest": address, "highest": address, **fields}
    return m.KernelReport(*where(line), launch, access, reason, address, (1, 0, 0), (3, 0, 0), **fields)
