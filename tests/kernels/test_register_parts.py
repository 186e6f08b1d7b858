"""Parts of registers and negated ones, which video instructions take as operands."""

from __future__ import annotations

import pytest

from pycuda_guard.kernels.ptx import parse
from pycuda_guard.kernels.ptx.flatten import flatten
from pycuda_guard.kernels.ptx.ir import Register
from pycuda_guard.kernels.ptx.opcodes import definitions, uses
from pycuda_guard.kernels.ptx.printer import format_instruction
from pycuda_guard.kernels.ptx.wellformed import why_malformed

TEXTS = [
    "vadd.s32.u32.s32.sat %x.b0, %y.h1, %z, %x;",
    "vmad.s32.s32.s32.shr7 %x, -%y.b3, %z, -%x;",
    "vabsdiff4.u32.u32.u32.add %x.b320, %y.b3210, %z.b7654, %x;",
]


def flattened(text: str, declarations: str = ".reg .b32 %x, %y, %z;"):
    """Return the only instruction of a kernel, and the kernel."""
    source = (
        f".version 8.6\n.target sm_90\n.address_size 64\n.visible .entry k() {{ {declarations} {text} ret; }}"
    )
    module = parse(source)
    flat = flatten(module.functions["k"], module)
    return flat.body[0], flat


@pytest.mark.parametrize("text", TEXTS)
def test_a_part_is_of_its_register(text):
    instruction, flat = flattened(text)
    assert why_malformed(instruction, flat) == ""
    assert definitions(instruction) == ("%x",)
    assert {register.name for register in uses(instruction)} == {"%x", "%y", "%z"}


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_printed_is_what_was_read(text):
    instruction, _ = flattened(text)
    assert format_instruction(instruction) == text


def test_a_register_of_an_inner_scope_keeps_its_part():
    scope = "{ .reg .b32 %x; vmin.s32.s32.s32 %x, %x.h1, -%y, %z; }"
    instruction, _ = flattened(scope.replace(", -%y, %z", ", %y"))
    assert instruction.operands[1] == Register("%x$1", part="h1")
    assert instruction.operands[2] == Register("%y")


def test_a_component_of_a_vector_is_no_part():
    instruction, _ = flattened("mov.b32 %x, %v.b;", ".reg .b32 %x; .reg .v4 .b32 %v;")
    assert instruction.operands[1] == Register("%v.z")
