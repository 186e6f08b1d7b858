"""Printing a parsed module gives an equal module, for real PTX, made-up trees and damaged text."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from pycuda_guard.kernels.ptx import PtxSyntaxError, flatten, parse, print_module
from pycuda_guard.kernels.ptx.ir import (
    TYPE_SIZES,
    Address,
    Arguments,
    Composite,
    Function,
    Guard,
    Immediate,
    Instruction,
    Label,
    Module,
    Negated,
    Pair,
    Pragma,
    Prototype,
    Register,
    RegisterDeclaration,
    Scope,
    Sink,
    SourceLine,
    SourceMark,
    Space,
    Symbol,
    SymbolValue,
    TargetList,
    Variable,
    Vector,
    Verbatim,
)

# names that no register has, and registers that every generated body declares
symbols = st.from_regex(r"[a-z][a-z0-9_$]{0,6}", fullmatch=True).filter(lambda name: name != "generic")
registers = st.sampled_from(["%r0", "%r7", "%p1", "%fd3", "P", "T_2"]).map(Register)
special = st.sampled_from(["%tid.x", "%laneid", "WARP_SZ"]).map(lambda name: Register(name, True))
offsets = st.integers(-(2**31), 2**31)
immediates = (
    st.builds(Immediate, st.just("int"), st.integers(-(2**63), 2**64 - 1))
    | st.builds(Immediate, st.just("f32"), st.integers(0, 2**32 - 1))
    | st.builds(Immediate, st.just("f64"), st.integers(0, 2**64 - 1))
)
plain = registers | special | immediates | st.builds(Symbol, symbols, offsets) | st.just(Sink())
addresses = (
    st.builds(Address, registers, offsets)
    | st.builds(Address, symbols.map(Symbol), offsets)
    | st.builds(Address, st.builds(Immediate, st.just("int"), st.integers(0, 2**40)))
)
vectors = st.builds(Vector, st.lists(plain, max_size=4).map(tuple))
operands = (
    plain
    | addresses
    | vectors
    | st.builds(Arguments, st.lists(plain, max_size=3).map(tuple))
    | st.builds(Pair, registers, registers | st.just(Sink()))
    | st.builds(Negated, registers)
    | st.builds(lambda first, rest: Composite((first, rest)), registers | symbols.map(Symbol), vectors)
)
modifiers = st.from_regex(r"[a-z0-9]{1,4}(::[a-z0-9]{1,4})?", fullmatch=True)
instructions = st.builds(
    Instruction,
    st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True),
    st.lists(modifiers, max_size=3).map(tuple),
    st.lists(operands, max_size=4).map(tuple),
    st.none() | st.builds(Guard, registers.map(lambda register: register.name), st.booleans()),
)
types = st.sampled_from(sorted(TYPE_SIZES))
initial_values = immediates | st.builds(
    SymbolValue, symbols, offsets, st.booleans(), st.none() | st.integers(0, 2**64 - 1)
)
initializers = st.recursive(
    initial_values, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6
)


def variables(spaces: list[Space], initialized: bool = False) -> st.SearchStrategy[Variable]:
    return st.builds(
        Variable,
        symbols,
        st.sampled_from(spaces),
        types,
        st.sampled_from([1, 2, 4, 8]),
        st.none() | st.sampled_from([1, 8, 128]),
        st.lists(st.none() | st.integers(0, 99), max_size=2).map(tuple),
        attributes=st.sampled_from(["", ".managed"]),
        initializer=st.none() | initializers if initialized else st.none(),
        pointer=st.none()
        | st.tuples(st.sampled_from(["generic", "global", "shared"]), st.sampled_from([1, 16])),
    )


parameters = variables([Space.PARAM])
marks = st.builds(
    SourceMark,
    st.builds(
        SourceLine,
        st.integers(1, 9),
        st.integers(0, 999),
        st.integers(0, 99),
        symbols | st.just("") | symbols.map(lambda name: name + "+12"),
        st.none() | st.tuples(st.integers(1, 9), st.integers(0, 99), st.integers(0, 99)),
    ),
)
local_variables = variables([Space.LOCAL, Space.SHARED, Space.PARAM])
leaves = (
    instructions
    | st.builds(Label, symbols)
    | marks
    | st.builds(
        TargetList, symbols, st.just("branchtargets"), st.lists(symbols, min_size=1, max_size=3).map(tuple)
    )
    | st.builds(
        Prototype,
        symbols,
        st.lists(parameters, max_size=1).map(tuple),
        st.lists(parameters, max_size=2).map(tuple),
    )
    | st.builds(Pragma, symbols)
    | local_variables
)
bodies = st.recursive(
    st.lists(leaves, max_size=5),
    lambda inner: st.lists(leaves | st.builds(Scope, inner), max_size=5),
    max_leaves=10,
)
DECLARED = RegisterDeclaration("b32", (("P", None), ("T_", 3)))


functions = st.builds(
    Function,
    symbols,
    st.booleans(),
    st.lists(parameters, max_size=3),
    st.lists(parameters, max_size=1),
    st.sampled_from([(), ("visible",), ("extern", "weak")]),
    st.lists(
        st.tuples(
            st.sampled_from(["maxntid", "noreturn"]), st.lists(st.integers(0, 9), max_size=3).map(tuple)
        ),
        max_size=2,
    ),
    st.none() | bodies.map(lambda body: [DECLARED, *body]),
)
modules = st.builds(
    Module,
    st.tuples(st.integers(6, 9), st.integers(0, 9)),
    st.just(("sm_90",)) | st.just(("sm_75", "debug")),
    st.just(64),
    st.dictionaries(st.integers(1, 9), symbols, max_size=2),
    st.lists(
        variables([Space.GLOBAL, Space.CONST, Space.SHARED], initialized=True)
        | functions
        | st.builds(Verbatim, symbols.map(lambda name: f".alias {name}, other;")),
        max_size=4,
    ),
)


def test_real_modules(real_ptx):
    module = parse(real_ptx)
    assert module.functions
    assert parse(print_module(module)) == module


@settings(max_examples=200)
@given(modules)
def test_generated_modules(module):
    assert parse(print_module(module)) == module


@pytest.mark.parametrize("seed", range(3))
def test_damaged_text_gives_a_module_or_a_syntax_error(real_ptx, seed):
    dice = random.Random(seed)
    whole = parse(real_ptx)
    parts = [print_module(replace(whole, items=[item])) for item in whole.items]
    accepted = refused = 0
    for _ in range(150):
        text = list(dice.choice([part for part in parts if len(part) < 8000]))
        for _ in range(dice.randrange(1, 3)):
            place = dice.randrange(len(text))
            text[place : place + dice.randrange(3)] = dice.choice(
                ["", *"{}()[]<>,;:|!@+-=./*%$_ \n0x9é\0", '"']
            )
        try:
            module = parse("".join(text))
        except PtxSyntaxError as error:
            refused += 1
            assert error.line >= 1
            assert error.column >= 1
        else:
            accepted += 1
            assert parse(print_module(module)) == module
            for function in module.functions.values():
                flatten(function, module)
    assert accepted
    assert refused


def test_ptxas_makes_the_same_machine_code(assemble, pytestconfig):
    folder = pytestconfig.rootpath / "tests" / "kernels" / "data"
    for name in ("language", "warp"):
        text = (folder / f"{name}.ptx").read_text()
        assert machine_code(assemble(print_module(parse(text)))) == machine_code(assemble(text))


def machine_code(cubin: bytes) -> dict[str, bytes]:
    """Return the ``.text`` sections of a 64-bit ELF file by name."""

    def number(offset: int, size: int) -> int:
        return int.from_bytes(cubin[offset : offset + size], "little")

    table, size, count, names_index = number(0x28, 8), number(0x3A, 2), number(0x3C, 2), number(0x3E, 2)
    names = number(table + names_index * size + 0x18, 8)
    found = {}
    for header in range(table, table + count * size, size):
        start = names + number(header, 4)
        name = cubin[start : cubin.index(b"\0", start)].decode()
        if name.startswith(".text"):
            offset, length = number(header + 0x18, 8), number(header + 0x20, 8)
            found[name] = cubin[offset : offset + length]
    assert found
    return found
