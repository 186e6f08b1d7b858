"""Loads, stores and atomic operations on memory of a thread's own: 64 bytes in each of three spaces.

``%cell`` is their address in shared memory, ``%own`` in global memory, ``box`` a variable in local memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.differential import numbers
from tools.differential.forms import form, number, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.differential.forms import Form

#: spelling of a space in instructions, the address in it, and what makes that address if anything does
_SPACES = (
    (".shared", "%cell", ""),
    (".global", "%own", ""),
    (".local", "box", ""),
    ("", "y", ".reg .b64 y, z; cvt.u64.u32 z, %cell; cvta.shared.u64 y, z;"),
    ("", "y", ".reg .b64 y; cvta.global.u64 y, %own;"),
    ("", "y", ".reg .b64 y, z; mov.u64 z, box; cvta.local.u64 y, z;"),
    (".volatile.shared", "%cell", ""),
    (".volatile.global", "%own", ""),
    (".relaxed.gpu.global", "%own", ""),
)


def _parts() -> Iterator[Form]:
    """A word is stored, and parts of it are loaded."""
    for space, address, before in _SPACES:
        yield form(
            f"{{ {before} st{space}.b64 [{address}+8], $a; ld{space}.u8 $d, [{address}+9]; "
            f"ld{space}.s16 $e, [{address}+12]; ld{space}.b32 $g, [{address}+12]; }}",
            "i16 i32 i32 i64",
            lambda a: (a >> 8 & 255, signed(a >> 32, 16), a >> 32),
            results=3,
        )
        yield form(
            f"{{ {before} st{space}.b32 [{address}], $a; st{space}.b8 [{address}+1], $b; "
            f"ld{space}.b32 $d, [{address}]; ld{space}.s8 $e, [{address}+1]; }}",
            "i32 i64 i32 i16",
            lambda a, b: (a & 0xFFFF_00FF | (b & 255) << 8, signed(b, 8)),
            results=2,
        )
        if space.startswith(".relaxed"):
            continue
        yield form(
            f"{{ {before} st{space}.v4.b32 [{address}+16], {{$a, $b, $c, $a}}; "
            f"ld{space}.v2.b64 {{$d, $e}}, [{address}+16]; ld{space}.v4.u16 {{$g, _, _, $h}}, [{address}+24]; }}",
            "i64 i64 i16 i16 i32 i32 i32",
            lambda a, b, c: (a | b << 32, c | a << 32, c, a >> 16),
            results=4,
            immediates=False,
        )
        yield form(
            f"{{ {before} st{space}.v2.f64 [{address}+32], {{$a, $b}}; ld{space}.v2.f32 {{$d, $e}}, [{address}+40]; }}",
            "i32 i32 i64 i64",
            lambda a, b: (b, b >> 32),
            results=2,
            immediates=False,
        )
    yield form(
        "{ st.global.b32 [%own], $a; .reg .b64 y; cvta.global.u64 y, %own; ld.b16 $d, [y+2]; }",
        "i16 i32",
        lambda a: a >> 16,
    )
    yield form(
        "{ .reg .b64 y, z; .reg .b32 w; cvt.u64.u32 z, %cell; cvta.shared.u64 y, z; isspacep.shared $d, y; "
        "isspacep.global $e, y; isspacep.local $g, y; cvta.to.shared.u64 z, y; st.shared.b32 [z], $a; "
        "ld.shared.b32 $h, [%cell]; }",
        "pred pred pred i32 i32",
        lambda a: (1, 0, 0, a),
        results=4,
    )
    yield form(
        "{ st.global.b64 [%own], $a; st.global.b64 [%own+8], $b; cp.async.ca.shared.global [%cell], [%own], 16; "
        "cp.async.commit_group; cp.async.wait_group 0; ld.shared.b64 $d, [%cell]; ld.shared.b64 $e, [%cell+8]; }",
        "i64 i64 i64 i64",
        lambda a, b: (a, b),
        results=2,
    )
    yield form(
        "{ .reg .b32 n; and.b32 n, $b, 7; min.u32 n, n, 4; st.global.b32 [%own], $a; "
        "cp.async.ca.shared.global [%cell], [%own], 4, n; cp.async.wait_all; ld.shared.b32 $d, [%cell]; }",
        "i32 i32 i32",
        lambda a, b: a & ((1 << 8 * min(b & 7, 4)) - 1),
    )
    yield form(
        "{ prefetch.global.L2 [%own]; prefetchu.L1 [%own]; st.global.L1::evict_last.b32 [%own], $a; "
        "fence.acq_rel.gpu; membar.cta; ld.global.L1::no_allocate.b32 $d, [%own]; }",
        "i32 i32",
        lambda a: a,
    )


_INTEGER: dict[str, Callable[[int, int], int]] = {
    "add": lambda old, b: old + b,
    "min": min,
    "max": max,
    "and": lambda old, b: old & b,
    "or": lambda old, b: old | b,
    "xor": lambda old, b: old ^ b,
    "exch": lambda old, b: b,
    "inc": lambda old, b: 0 if old >= b else old + 1,
    "dec": lambda old, b: b if old == 0 or old > b else old - 1,
}
_ATOMIC = (
    *(("add", kind) for kind in ("u32", "s32", "u64")),
    *((name, kind) for name in ("min", "max") for kind in ("u32", "s32", "u64", "s64")),
    *((name, f"b{bits}") for name in ("and", "or", "xor", "exch") for bits in (32, 64)),
    ("inc", "u32"),
    ("dec", "u32"),
)


def _atomics() -> Iterator[Form]:
    spaces = (_SPACES[0], _SPACES[1], _SPACES[3], _SPACES[4])
    for space, address, before in spaces:
        order = ".acq_rel.gpu" if space == ".global" else ""
        for name, kind in _ATOMIC:
            bits = int(kind[1:])
            i = f"i{bits}"
            yield form(
                f"{{ {before} st{space}.b{bits} [{address}], $a; atom{order}{space}.{name}.{kind} $d, "
                f"[{address}], $b; ld{space}.b{bits} $e, [{address}]; }}",
                f"{i} {i} {i} {i}",
                lambda a, b, name=name, kind=kind: (a, _INTEGER[name](number(a, kind), number(b, kind))),
                results=2,
            )
            if name != "exch":
                yield form(
                    f"{{ {before} st{space}.b{bits} [{address}], $a; red{space}.{name}.{kind} [{address}], $b; "
                    f"ld{space}.b{bits} $d, [{address}]; }}",
                    f"{i} {i} {i}",
                    lambda a, b, name=name, kind=kind: _INTEGER[name](number(a, kind), number(b, kind)),
                )
        for bits in (16, 32, 64):
            i = f"i{bits}"
            yield form(
                f"{{ {before} .reg .pred q; .reg .b{bits} x; and.b{bits} x, $a, 1; setp.eq.u{bits} q, x, 0; "
                f"selp.b{bits} x, $a, $b, q; st{space}.b{bits} [{address}], $a; "
                f"atom{space}.cas.b{bits} $d, [{address}], x, $c; ld{space}.b{bits} $e, [{address}]; }}",
                f"{i} {i} {i} {i} {i}",
                lambda a, b, c: (a, c if a == (b if a & 1 else a) else a),
                results=2,
            )
        for name in ("cas", "exch"):
            compared = "y1, " if name == "cas" else ""
            yield form(
                f"{{ {before} .reg .b128 y1, y2, y3; mov.b128 y1, {{$a, $b}}; mov.b128 y2, {{$c, $f}}; "
                f"st{space}.v2.b64 [{address}], {{$a, $b}}; atom{space}.{name}.b128 y3, [{address}], {compared}y2; "
                f"mov.b128 {{$d, $e}}, y3; ld{space}.v2.b64 {{$g, $h}}, [{address}]; }}",
                "i64 i64 i64 i64 i64 i64 i64 i64",
                lambda a, b, c, f: (a, b, c, f),
                results=4,
                immediates=False,
            )
        yield from _float_atomics(space, address, before)


def _float_atomics(space: str, address: str, before: str) -> Iterator[Form]:
    is_global = "global" in space or "global" in before
    for kind, operation in (("f32", ""), ("f64", ""), ("f16", ".noftz"), ("bf16", ".noftz")):
        bits = numbers.FORMATS[kind].bits

        def added(a: int, b: int, kind: str = kind) -> int:
            # of denormal numbers, where the memory is global, the manual wants zeros
            if kind == "f32" and is_global:
                a, b = numbers.flushed(kind, a), numbers.flushed(kind, b)
                return numbers.flushed(kind, numbers.add(kind, a, b))
            return numbers.add(kind, a, b)

        yield form(
            f"{{ {before} st{space}.b{bits} [{address}], $a; atom{space}.add{operation}.{kind} $d, [{address}], $b; "
            f"ld{space}.b{bits} $e, [{address}]; }}",
            f"{kind} {kind} {kind} {kind}",
            lambda a, b, added=added: (a, added(a, b)),
            results=2,
            immediates=False,
        )
        if bits == 16:
            yield form(
                f"{{ {before} st{space}.b32 [{address}], $a; red{space}.add{operation}.{kind}x2 [{address}], $b; "
                f"ld{space}.b32 $d, [{address}]; }}",
                f"{kind}x2 {kind}x2 {kind}x2",
                lambda a, b, added=added: added(a & 0xFFFF, b & 0xFFFF) | added(a >> 16, b >> 16) << 16,
                immediates=False,
            )
    if space == ".global":
        one = lambda a, b: numbers.flushed(  # noqa: E731
            "f32",
            numbers.add("f32", numbers.flushed("f32", a), numbers.flushed("f32", b)),
        )
        yield form(
            "{ st.global.v2.b32 [%own], {$a, $b}; atom.global.add.v2.f32 {$d, $e}, [%own], {$c, $f}; "
            "ld.global.v2.b32 {$g, $h}, [%own]; }",
            "f32 f32 f32 f32 f32 f32 f32 f32",
            lambda a, b, c, f: (a, b, one(a, c), one(b, f)),
            results=4,
            immediates=False,
        )
        yield form(
            "{ st.global.v4.b32 [%own], {$a, $b, $c, $f}; red.global.add.v4.f32 [%own], {$c, $f, $a, $b}; "
            "ld.global.v4.b32 {$d, $e, $g, $h}, [%own]; }",
            "f32 f32 f32 f32 f32 f32 f32 f32",
            lambda a, b, c, f: (one(a, c), one(b, f), one(c, a), one(f, b)),
            results=4,
            immediates=False,
        )


def forms() -> Iterator[Form]:
    """Yield the forms of this family."""
    yield from _parts()
    yield from _atomics()
