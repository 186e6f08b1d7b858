"""Reading PTX: each form of operand, declaration and statement, and what is refused."""

from __future__ import annotations

import pytest

from pycuda_guard.errors import GuardError
from pycuda_guard.kernels.ptx import PtxSyntaxError, parse
from pycuda_guard.kernels.ptx.ir import (
    Address,
    Arguments,
    Composite,
    Function,
    Guard,
    Immediate,
    Instruction,
    Label,
    Negated,
    Pair,
    Pragma,
    Prototype,
    Register,
    RegisterDeclaration,
    Scope,
    Sink,
    SourceLine,
    Space,
    Span,
    Symbol,
    SymbolValue,
    TargetList,
    Variable,
    Vector,
)

HEADER = ".version 9.0\n.target sm_90\n.address_size 64\n"
A, B, P = Register("%r1"), Register("%r2"), Register("p")


def body_of(statements: str) -> list:
    module = parse(
        f"{HEADER}.func f()\n{{\n.reg .pred p, q;\n.reg .b32 %r<9>, t<12>, t1<3>;\n{statements}\n}}\n"
    )
    return module.functions["f"].body[2:]


def instruction(text: str) -> Instruction:
    (found,) = body_of(text)
    assert isinstance(found, Instruction)
    return found


def declaration(text: str) -> Variable:
    (item,) = parse(HEADER + text).items
    assert isinstance(item, Variable)
    return item


def refused(text: str) -> PtxSyntaxError:
    with pytest.raises(PtxSyntaxError) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "operand"),
    [
        ("%r1", A),
        ("t11", Register("t11")),
        ("t12", Register("t12")),  # t1<3> has t10, t11 and t12
        ("t13", Symbol("t13")),
        ("%tid.x", Register("%tid.x", special=True)),
        ("%clock64", Register("%clock64", special=True)),
        ("WARP_SZ", Register("WARP_SZ", special=True)),
        ("%envreg3", Register("%envreg3", special=True)),
        ("42", Immediate("int", 42)),
        ("-42", Immediate("int", -42)),
        ("42U", Immediate("int", 42)),
        ("0x1F", Immediate("int", 31)),
        ("-0x10", Immediate("int", -16)),
        ("0b101", Immediate("int", 5)),
        ("017", Immediate("int", 15)),
        ("18446744073709551615", Immediate("int", 2**64 - 1)),
        ("0f3F800000", Immediate("f32", 0x3F800000)),
        ("-0f3F800000", Immediate("f32", 0xBF800000)),
        ("0d3ff0000000000000", Immediate("f64", 0x3FF0000000000000)),
        ("1.0", Immediate("f64", 0x3FF0000000000000)),
        ("-2.5e-1", Immediate("f64", 0xBFD0000000000000)),
        ("table", Symbol("table")),
        ("table+4", Symbol("table", 4)),
        ("table-4", Symbol("table", -4)),
        ("_", Sink()),
        ("!p", Negated(P)),
        ("p|q", Pair(P, Register("q"))),
        ("_|p", Pair(Sink(), P)),
        ("%r1|p", Pair(A, P)),
        ("{%r1, _, 3}", Vector((A, Sink(), Immediate("int", 3)))),
        ("{}", Vector(())),
        ("[%r1]", Address(A)),
        ("[%r1+8]", Address(A, 8)),
        ("[%r1+-8]", Address(A, -8)),
        ("[%r1-8]", Address(A, -8)),
        ("[table]", Address(Symbol("table"))),
        ("[table+16]", Address(Symbol("table"), 16)),
        ("[64]", Address(Immediate("int", 64))),
        ("[tex, {%r1, %r2}]", Composite((Symbol("tex"), Vector((A, B))))),
        ("[%r1, smp, {%r2}]", Composite((A, Symbol("smp"), Vector((B,))))),
        ("(%r1, table)", Arguments((A, Symbol("table")))),
    ],
)
def test_operand(text, operand):
    assert instruction(f"anything.b32 {text};").operands == (operand,)


@pytest.mark.parametrize(
    ("text", "opcode", "modifiers"),
    [
        ("ret;", "ret", ()),
        ("ld.global.L2::128B.v4.u32 %r1, [%r2];", "ld", ("global", "L2::128B", "v4", "u32")),
        ("st.shared::cta.b32 [%r1], %r2;", "st", ("shared::cta", "b32")),
        ("lg2.approx.f32.ftz %r1, %r2;", "lg2", ("approx", "f32", "ftz")),
        ("ld .global .u32 %r1, [%r2];", "ld", ("global", "u32")),
        ("tex.2d.v4.f32.f32 {%r1}, [t, {%r2}];", "tex", ("2d", "v4", "f32", "f32")),
        ("frobnicate.mode::x.b32 %r1;", "frobnicate", ("mode::x", "b32")),
    ],
)
def test_opcode_and_modifiers(text, opcode, modifiers):
    found = instruction(text)
    assert (found.opcode, found.modifiers) == (opcode, modifiers)


@pytest.mark.parametrize(
    ("text", "guard"), [("@p", Guard("p")), ("@!%p1", Guard("%p1", True)), ("@ ! q", Guard("q", True))]
)
def test_guard(text, guard):
    assert instruction(f"{text} bra L;").guard == guard


@pytest.mark.parametrize(
    ("text", "operands"),
    [
        ("call f;", (Symbol("f"),)),
        ("call.uni f, (a, b);", (Symbol("f"), Arguments((Symbol("a"), Symbol("b"))))),
        ("call (r), f, ();", (Arguments((Symbol("r"),)), Symbol("f"), Arguments(()))),
        (
            "call.uni (r),\n%r1,\n(\na\n)\n, proto;",
            (Arguments((Symbol("r"),)), A, Arguments((Symbol("a"),)), Symbol("proto")),
        ),
    ],
)
def test_call(text, operands):
    assert instruction(text).operands == operands


def test_names_are_registers_only_inside_the_scope_that_declares_them():
    outside, scope, after = body_of("mov.b32 %r1, x;\n{ .reg .b32 x; mov.b32 %r1, x; }\nmov.b32 %r1, x;")
    assert outside.operands[1] == after.operands[1] == Symbol("x")
    assert isinstance(scope, Scope)
    assert scope.body[1].operands[1] == Register("x")


def test_statements():
    text = """
    .reg .v4 .f32 %v, %w<2>;
    .pragma "nounroll";
    .local .align 8 .b8 depot[16];
    L: ;
    jumps: .branchtargets L, L;
    callees: .calltargets f, g;
    proto : .callprototype (.param .b32 _) _ (.param .b64 _, .param .align 8 .b8 _[16]) .noreturn;
    """
    integer = Variable("_", Space.PARAM, "b32")
    assert body_of(text) == [
        RegisterDeclaration("f32", (("%v", None), ("%w", 2)), 4),
        Pragma("nounroll"),
        Variable("depot", Space.LOCAL, "b8", align=8, dims=(16,)),
        Label("L"),
        TargetList("jumps", "branchtargets", ("L", "L")),
        TargetList("callees", "calltargets", ("f", "g")),
        Prototype(
            "proto",
            (integer,),
            (Variable("_", Space.PARAM, "b64"), Variable("_", Space.PARAM, "b8", align=8, dims=(16,))),
            ".noreturn",
        ),
    ]


def test_source_lines_are_in_force_until_the_next():
    text = """
    exit;
    .loc 1 20 5
    exit;
    { exit; .loc 2 7 0, function_name $L__info0+12, inlined_at 1 21 9
      exit; }
    exit;
    """
    body = body_of(text)
    scope = body[3].body
    inlined = SourceLine(2, 7, 0, "$L__info0+12", (1, 21, 9))
    found = [body[0], body[2], scope[0], scope[2], body[4]]
    assert [each.source for each in found] == [
        None,
        SourceLine(1, 20, 5),
        SourceLine(1, 20, 5),
        inlined,
        inlined,
    ]


def test_spans_count_from_one():
    module = parse(HEADER + ".func f()\n{\n\t/* two\nlines */ @%p1 exit;\n}")
    assert module.functions["f"].body[0].span == Span(7, 10)
    assert module.functions["f"].span == Span(4, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (".global .align 4 .u32 x;", Variable("x", Space.GLOBAL, "u32", align=4)),
        (
            ".extern .shared .align 16 .b8 s[];",
            Variable("s", Space.SHARED, "b8", 1, 16, (None,), ("extern",)),
        ),
        (".common .global .b64 c;", Variable("c", Space.GLOBAL, "b64", linkage=("common",))),
        (".const .v4 .f32 v[2][3];", Variable("v", Space.CONST, "f32", 4, None, (2, 3))),
        (
            ".visible .global .attribute(.managed) .u32 m = 7;",
            Variable(
                "m",
                Space.GLOBAL,
                "u32",
                linkage=("visible",),
                attributes=".managed",
                initializer=Immediate("int", 7),
            ),
        ),
        (
            ".global .b8 n[2][2] = {{1, -2}, {0x3}};",
            Variable(
                "n",
                Space.GLOBAL,
                "b8",
                dims=(2, 2),
                initializer=((Immediate("int", 1), Immediate("int", -2)), (Immediate("int", 3),)),
            ),
        ),
        (
            ".global .u64 a[5] = {x, generic(y), generic(y)+8, z-4, 0};",
            Variable(
                "a",
                Space.GLOBAL,
                "u64",
                dims=(5,),
                initializer=(
                    SymbolValue("x"),
                    SymbolValue("y", 0, True),
                    SymbolValue("y", 8, True),
                    SymbolValue("z", -4),
                    Immediate("int", 0),
                ),
            ),
        ),
        (
            ".global .u8 b[2] = {0xFF(x), 0xFF00(generic(x)+4)};",
            Variable(
                "b",
                Space.GLOBAL,
                "u8",
                dims=(2,),
                initializer=(SymbolValue("x", mask=0xFF), SymbolValue("x", 4, True, 0xFF00)),
            ),
        ),
        (".global .texref t;", Variable("t", Space.GLOBAL, "texref")),
    ],
)
def test_variable(text, expected):
    assert declaration(text) == expected


def test_several_variables_in_one_declaration():
    items = parse(HEADER + ".global .align 4 .u32 a, b[2] = {1, 1};").items
    one = Immediate("int", 1)
    assert items == [
        Variable("a", Space.GLOBAL, "u32", align=4),
        Variable("b", Space.GLOBAL, "u32", align=4, dims=(2,), initializer=(one, one)),
    ]


def test_function_header():
    text = """
    .visible .entry k(.param .u64 .ptr .global .align 8 k_param_0, .param .align 16 .b8 k_param_1[48],
                      .param .u64 .ptr .align 1 k_param_2)
    .maxntid 256, 1, 1
    .minnctapersm 2 .noreturn
    .pragma "enable_smem_spilling";
    { ret; }
    .extern .func (.param .b32 r) g(.reg .b32 a)
    ;
    .weak .func .attribute(.unified(0xAB, 0xCD)) h
    { ret; }
    """
    kernel, declared, weak = parse(HEADER + text).items
    assert kernel == Function(
        "k",
        True,
        [
            Variable("k_param_0", Space.PARAM, "u64", pointer=("global", 8)),
            Variable("k_param_1", Space.PARAM, "b8", align=16, dims=(48,)),
            Variable("k_param_2", Space.PARAM, "u64", pointer=("generic", 1)),
        ],
        [],
        ("visible",),
        [
            ("maxntid", (256, 1, 1)),
            ("minnctapersm", (2,)),
            ("noreturn", ()),
            ("pragma", ("enable_smem_spilling",)),
        ],
        [Instruction("ret")],
    )
    assert declared.body is None
    assert declared.returns == [Variable("r", Space.PARAM, "b32")]
    assert weak.directives == [("attribute", (".unified ( 0xAB , 0xCD )",))]


def test_parameters_in_registers_are_registers():
    module = parse(HEADER + ".func (.reg .b32 r) g(.reg .b32 a) { mov.b32 r, a; }")
    assert module.functions["g"].body[0].operands == (Register("r"), Register("a"))


def test_module_directives():
    text = """
    .file 1 "/home/me/kernel.cu", 1700000000, 512
    .file 2 "with \\"quotes\\".h"
    .alias one, two;
    .section .debug_str { info: .b8 1, 2 // a comment
    .b64 .debug_abbrev }
    """
    module = parse(f".version 6.4\n.target sm_60, debug\n{text}")
    assert (module.version, module.target, module.address_size) == ((6, 4), ("sm_60", "debug"), 32)
    assert module.files == {1: "/home/me/kernel.cu", 2: 'with \\"quotes\\".h'}
    assert module.items[0].text == ".alias one, two;"
    assert module.items[1].text.startswith(".section .debug_str {")


def test_bytes_as_the_driver_takes_them():
    assert parse(HEADER.encode() + b"// caf\xe9\n\0\0") == parse(HEADER)


def test_error_names_the_place():
    error = refused(HEADER + ".func f()\n{\n    add.s32 %r1, %r2\n    ret;\n}\n")
    assert isinstance(error, GuardError)
    assert (error.line, error.column, error.text) == (7, 5, "    ret;")
    assert str(error) == "PTX line 7, column 5: expected ',' or ';', found 'ret': ret;"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        ".version 9.0",
        ".version nine\n.target sm_90",
        HEADER + ".func f() {",
        HEADER + ".func f() }",
        HEADER + ".func f() { mov.b32 %r1 %r2; }",
        HEADER + ".func f() { @ }",
        HEADER + ".func f() { @p }",
        HEADER + ".func f() { mov.b32 !5; }",
        HEADER + ".func f() { .loc 1; }",
        HEADER + ".func f() { .reg .b32 %r<-1>; }",
        HEADER + ".func f() { .reg .b32 %r<99999999999>; }",
        HEADER + ".func f() { .reg .nonsense x; }",
        HEADER + ".func f() { mov.b32 %r1, 08; }",
        HEADER + ".func f() { mov.f32 %r1, 0f3F8; }",
        HEADER + ".func f() { mov.b64 %r1, " + "9" * 5000 + "; }",
        HEADER + ".func f() { /* no end",
        HEADER + '.func f() { .pragma "no end; }',
        HEADER + ".func f() { exit; # }",
        HEADER + ".global .u32 x = ;",
        HEADER + ".global .u32 .u32 x;",
        HEADER + ".global .align 3 .u32 x;",
        HEADER + ".global .u32 x[-1];",
        HEADER + ".global .u32 x = {1 2};",
        HEADER + ".section .x {",
        HEADER + ".func f() " + "{" * 100_000,
        HEADER + ".func f() { x " + "(" * 100_000,
        HEADER + ".global .u32 x = " + "{" * 100_000,
        HEADER + "/* " * 100_000,
        HEADER + '"' * 100_001,
        HEADER + ".func f() { " + "x(" * 100_000,
    ],
)
def test_refused(text):
    assert len(str(refused(text))) < 400
