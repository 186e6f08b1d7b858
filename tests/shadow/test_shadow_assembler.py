"""ptxas, where the driver can't load PTX."""

from __future__ import annotations

import pytest

from pycuda_guard.shadow.assembler import AssemblerError, assemble, ptxas_options
from pycuda_guard.shadow.source import Source
from pycuda_guard.shadow.state import _code

PTX = b""".version 8.0
.target sm_80
.address_size 64
.visible .entry k(.param .u64 p) { ret; }
"""


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ([], []),
        (["-O3", "-lineinfo", "-I/include"], []),
        (["-maxrregcount=32"], ["-maxrregcount=32"]),
        (["--maxrregcount", "32", "-O1"], ["-maxrregcount=32"]),
        (["-Xptxas", "-v,-O1", "-Xptxas=-dlcm=cg"], ["-v", "-O1", "-dlcm=cg"]),
        (["--ptxas-options=-v"], ["-v"]),
    ],
)
def test_what_ptxas_is_asked_for(options, found):
    assert ptxas_options(tuple(options)) == found


@pytest.mark.parametrize("registers", [0, 24])
def test_machine_code(registers):
    assert assemble(PTX, ["-maxrregcount=32"], registers).startswith(b"\x7fELF")


@pytest.mark.parametrize("ptx", [b"", PTX.replace(b"ret", b"return")])
def test_what_can_not_be_assembled(ptx):
    with pytest.raises(AssemblerError):
        assemble(ptx, [])


def test_instrumented_kernels_and_those_of_the_guard_can_be_assembled(kernel_source, recorder):
    from pycuda.compiler import compile

    text = compile(kernel_source, target="ptx").decode()
    image = Source(lambda: text).image(races=False, watchdog=False)
    assert assemble(image.text, []).startswith(b"\x7fELF")
    # what ptxas supports today; the text itself is for old drivers, too
    newer = _code().replace(b".version 6.0", b".version 6.3").replace(b"sm_50", b"sm_75")
    assert assemble(newer, []).startswith(b"\x7fELF")
