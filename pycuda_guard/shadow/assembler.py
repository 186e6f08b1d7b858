"""Assembles instrumented PTX with ptxas, where the driver can't or must not do it.

A driver that is older than the compiler refuses its PTX, and options that a program gives for ptxas
(``-maxrregcount``, ``-Xptxas``) are not known to it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from pycuda_guard import toolchain
from pycuda_guard.errors import GuardError

#: seconds after which a kernel counts as one that ptxas can't assemble
_TIMEOUT = 300
_TARGET = re.compile(rb"^\s*\.target\s+(sm_\w+)", re.MULTILINE)
_PASSED_ON = ("-Xptxas", "--ptxas-options")
_REGISTERS = ("-maxrregcount", "--maxrregcount")


class AssemblerError(GuardError):
    """ptxas is missing, or refuses a module."""


def ptxas_options(options: tuple[str, ...]) -> list[str]:
    """Return what nvcc's ``options`` ask ptxas for."""
    found: list[str] = []
    remaining = iter(options)
    for option in remaining:
        name, equals, value = option.partition("=")
        if name in _PASSED_ON:
            found += (value if equals else next(remaining, "")).split(",")
        elif name in _REGISTERS:
            found.append(f"-maxrregcount={value if equals else next(remaining, '')}")
    return [option for option in found if option]


def assemble(ptx: bytes, options: list[str], registers: int = 0) -> bytes:
    """Return the machine code of a module, for the architecture that it names.

    ``registers`` limits those of a thread further. Raises :class:`AssemblerError`.
    """
    ptxas = _find_ptxas()
    target = _TARGET.search(ptx)
    if ptxas is None or target is None:
        raise AssemblerError("there is no ptxas to assemble it with")
    limit = [f"-maxrregcount={registers}"] if registers else []
    kept = [option for option in options if not (limit and option.startswith("-maxrregcount"))]
    with tempfile.TemporaryDirectory(prefix="pycuda-guard-") as folder:
        source, output = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_bytes(ptx.rstrip(b"\0"))
        command = [str(ptxas), f"-arch={target[1].decode()}", *kept, *limit, str(source), "-o", str(output)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise AssemblerError(f"ptxas failed: {error}") from error
        if done.returncode or not output.exists():
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise AssemblerError(f"ptxas refuses it: {lines[0] if lines else done.returncode}")
        return output.read_bytes()


def _find_ptxas() -> Path | None:
    """Return ptxas: the one beside nvcc, else on PATH."""
    nvcc = toolchain.find_nvcc()
    if nvcc is not None and (beside := nvcc.resolve().parent / "ptxas").is_file():
        return beside
    found = shutil.which("ptxas")
    return None if found is None else Path(found)
