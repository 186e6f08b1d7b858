"""Flattening: unique names, and the same program."""

from __future__ import annotations

import copy

import pytest

from pycuda_guard.kernels.ptx import flatten, parse, print_module
from pycuda_guard.kernels.ptx.ir import (
    Address,
    Function,
    Guard,
    Instruction,
    Label,
    Negated,
    Pair,
    Register,
    RegisterDeclaration,
    Symbol,
    TargetList,
    Variable,
    Vector,
)
from pycuda_guard.kernels.ptx.opcodes import definitions, uses

HEADER = ".version 9.0\n.target sm_90\n.address_size 64\n"


def flat(body: str, before: str = "", parameters: str = ""):
    module = parse(f"{HEADER}{before}\n.func f({parameters})\n{{\n{body}\n}}\n")
    return flatten(module.functions["f"], module)


def test_registers_of_scopes_that_clash_are_renamed():
    function = flat(
        """
        .reg .b32 t; .reg .pred p;
        mov.b32 t, 0;
        { .reg .b64 t; .reg .b32 only; @p mov.b64 t, 1; mov.b32 only, 2; }
        { .reg .b32 t, only; @!p ld.b32 t, [only+4]; setp.b32 p|_, t, !p; }
        mov.b32 t, 3;
        """
    )
    assert function.registers == {
        "t": "b32",
        "p": "pred",
        "t$1": "b64",
        "only": "b32",
        "t$2": "b32",
        "only$3": "b32",
    }
    first, inner, free, second, pair, last = function.body
    assert first.operands[0] == last.operands[0] == Register("t")
    assert (inner.operands[0], inner.guard) == (Register("t$1"), Guard("p"))
    assert free.operands[0] == Register("only")
    assert second.operands == (Register("t$2"), Address(Register("only$3"), 4))
    assert pair.operands[1:] == (Register("t$2"), Negated(Register("p")))
    assert isinstance(pair.operands[0], Pair)


def test_guards_follow_their_register():
    _, inner = flat(".reg .pred p; @p exit; { .reg .pred p; @!p exit; }").body
    assert inner.guard == Guard("p$1", True)


def test_labels_and_tables_of_scopes():
    function = flat(
        """
        .reg .b32 i;
        DONE:
        { bra DONE; ts: .branchtargets DONE, OUT; brx.idx i, ts; DONE: }
        { ts: .branchtargets OUT; brx.idx i, ts; }
        OUT:
        """
    )
    assert function.body == [
        Label("DONE"),
        Instruction("bra", (), (Symbol("DONE$1"),)),
        Instruction("brx", ("idx",), (Register("i"), Symbol("ts"))),
        Label("DONE$1"),
        Instruction("brx", ("idx",), (Register("i"), Symbol("ts$2"))),
        Label("OUT"),
    ]
    assert function.tables == {"ts": ("DONE$1", "OUT"), "ts$2": ("OUT",)}


def test_variables_and_prototypes():
    function = flat(
        """
        .shared .b32 s;
        { .param .b32 a; st.param.b32 [a], 1; p: .callprototype _ (.param .b32 _); call g, (a), p; }
        { .param .b64 a; st.param.b64 [a+4], 1; p: .callprototype _ (.param .b64 _); call g, (a), p; }
        ld.shared.b32 %r1, [s];
        """,
        before=".shared .b32 s;",
    )
    assert [(name, each.type) for name, each in function.variables.items()] == [
        ("s$1", "b32"),
        ("a", "b32"),
        ("a$3", "b64"),
    ]
    assert all(name == each.name for name, each in (function.variables | function.prototypes).items())
    assert list(function.prototypes) == ["p", "p$2"]
    assert function.body[2].operands[0] == Address(Symbol("a$3"), 4)
    assert function.body[4].operands[1] == Address(Symbol("s$1"))


def test_vectors_become_their_components():
    function = flat(
        ".reg .v4 .f32 %v; ld.v4.f32 %v, [x]; mov.f32 %v.x, %v.a; { .reg .v2 .b16 %v; mov.b16 %v.y, 1; }"
    )
    assert list(function.registers) == ["%v.x", "%v.y", "%v.z", "%v.w", "%v$1.x", "%v$1.y"]
    load, move, inner = function.body
    assert load.operands[0] == Vector(tuple(Register(f"%v.{component}") for component in "xyzw"))
    assert move.operands == (Register("%v.x"), Register("%v.w"))
    assert inner.operands[0] == Register("%v$1.y")


def test_ranges_and_parameters():
    function = flat(".reg .b32 %r<3>; mov.b32 %r2, a;", parameters=".reg .b64 a, .param .b32 b")
    assert function.registers == {"a": "b64", "%r0": "b32", "%r1": "b32", "%r2": "b32"}


def test_source_lines_and_the_tree_stay():
    module = parse(f"{HEADER}.func f()\n{{\n.reg .b32 t;\n.loc 1 5 0\n{{ .reg .b32 t; mov.b32 t, 1; }}\n}}\n")
    before = copy.deepcopy(module)
    (found,) = flatten(module.functions["f"], module).body
    assert found.source.line == 5
    assert found.span.line == 8
    assert module == before


def test_a_declaration_is_empty():
    module = parse(HEADER + ".extern .func f(.param .b32 a);")
    assert flatten(module.functions["f"], module).body == []


def test_names_of_real_functions_are_declared_and_defined(real_ptx):
    """A register that is read and never written would mean a wrong role in the table of opcodes."""
    module = parse(real_ptx)
    for function in module.functions.values():
        found = flatten(function, module)
        instructions = [entry for entry in found.body if isinstance(entry, Instruction)]
        written = {name for each in instructions for name in definitions(each)}
        read = {register.name for each in instructions for register in uses(each) if not register.special}
        assert written | read <= found.registers.keys()
        assert read <= written


@pytest.mark.parametrize("name", ["language", "warp"])
def test_flat_functions_assemble(name, assemble, pytestconfig):
    """ptxas accepts flat functions and finds nothing redeclared or undeclared in them."""
    module = parse((pytestconfig.rootpath / "tests" / "kernels" / "data" / f"{name}.ptx").read_text())
    module.items = [
        as_tree(item, module) if isinstance(item, Function) and item.body is not None else item
        for item in module.items
    ]
    assert assemble(print_module(module))


def as_tree(function: Function, module) -> Function:
    found = flatten(function, module)
    registers = [RegisterDeclaration(kind, ((name, None),)) for name, kind in found.registers.items()]
    variables: list[Variable] = list(found.variables.values())
    tables = [TargetList(name, "branchtargets", targets) for name, targets in found.tables.items()]
    changed = copy.copy(function)
    changed.body = [*registers, *variables, *found.prototypes.values(), *tables, *found.body]
    return changed
