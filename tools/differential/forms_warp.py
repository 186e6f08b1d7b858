"""What a warp or a block does together; and special registers.

``%offset`` is 64 times the thread's index, ``%cells`` the shared address of all threads' cells,
``%common`` that of 64 bytes of the whole block.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from tools.differential.forms import form, number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tools.differential.forms import Column, Form


def _by_warp(function: Callable[..., list[tuple[int, ...]]]) -> Callable[..., tuple[Column, ...]]:
    """Return a function of whole columns from one of a warp's; it returns a row for each lane."""

    def together(*columns: Column) -> tuple[Column, ...]:
        rows: list[tuple[int, ...]] = []
        for start in range(0, len(columns[0]), 32):
            rows += function(*(column[start : start + 32] for column in columns))
        return tuple(list(column) for column in zip(*rows, strict=True))

    return together


def _shuffled(mode: str, control: int) -> Callable[[Column, Column], list[tuple[int, ...]]]:
    segment, clamp = control >> 8 & 31, control & 31

    def function(values: Column, steps: Column) -> list[tuple[int, ...]]:
        rows = []
        for lane, step in enumerate(steps):
            step &= 31
            limit = lane & segment | clamp & ~segment
            first = lane & segment
            if mode == "up":
                source = lane - step
                inside = source >= limit
            else:
                source = {"down": lane + step, "bfly": lane ^ step, "idx": first | step & ~segment}[mode]
                inside = source <= limit
            rows.append((values[source] if inside else values[lane], int(inside)))
        return rows

    return function


def _shuffles() -> Iterator[Form]:
    for mode in ("up", "down", "bfly", "idx"):
        for control in (0x1F, 0x181F, 0x1C1F, 0x1807):
            if mode == "up":
                control &= ~0x1F
            yield form(
                f"shfl.sync.{mode}.b32 $d|$e, $a, $b, {control:#x}, 0xffffffff;",
                "i32 pred i32 i32",
                _by_warp(_shuffled(mode, control)),
                results=2,
                together=True,
            )


def _votes() -> Iterator[Form]:
    tests: dict[str, Callable[[Column], int]] = {
        "all": lambda votes: int(all(votes)),
        "any": lambda votes: int(any(votes)),
        "uni": lambda votes: int(len(set(votes)) == 1),
    }
    for name, test in tests.items():
        yield form(
            f"vote.sync.{name}.pred $d, $a, 0xffffffff;",
            "pred pred",
            _by_warp(lambda votes, test=test: [(test(votes),)] * 32),
            together=True,
        )
    yield form(
        "vote.sync.ballot.b32 $d, !$a, 0xffffffff;",
        "i32 pred",
        _by_warp(lambda votes: [(sum((1 - vote) << lane for lane, vote in enumerate(votes)),)] * 32),
        together=True,
    )
    for bits in (32, 64):
        cut = f"{{ .reg .b{bits} x; and.b{bits} x, $a, 3;"
        yield form(
            f"{cut} match.any.sync.b{bits} $d, x, 0xffffffff; }}",
            f"i32 i{bits}",
            _by_warp(lambda values: [(_same(values, value),) for value in values]),
            together=True,
        )
        yield form(
            f"{{ .reg .b{bits} x; shr.u{bits} x, $a, {bits - 1}; match.all.sync.b{bits} $d|$e, x, 0xffffffff; }}",
            f"i32 pred i{bits}",
            _by_warp(
                lambda values, top=bits - 1: (
                    [(0xFFFF_FFFF, 1) if len({value >> top for value in values}) == 1 else (0, 0)] * 32
                )
            ),
            results=2,
            together=True,
        )
    reductions: tuple[tuple[str, str, Callable[[Column], int]], ...] = (
        ("add", "u32", sum),
        ("add", "s32", sum),
        ("min", "u32", min),
        ("max", "u32", max),
        ("min", "s32", min),
        ("max", "s32", max),
        ("and", "b32", lambda values: reduce(int.__and__, values)),
        ("or", "b32", lambda values: reduce(int.__or__, values)),
        ("xor", "b32", lambda values: reduce(int.__xor__, values)),
    )
    for name, kind, function in reductions:
        yield form(
            f"redux.sync.{name}.{kind} $d, $a, 0xffffffff;",
            "i32 i32",
            _by_warp(
                lambda values, function=function, kind=kind: (
                    [(function([number(value, kind) for value in values]),)] * 32
                )
            ),
            together=True,
        )
    yield form(
        "{ elect.sync $d|$e, 0xffffffff; xor.b32 $d, $d, $a; }",
        "i32 pred i32",
        _by_warp(lambda values: [(value, int(lane == 0)) for lane, value in enumerate(values)]),
        results=2,
        together=True,
    )
    yield form(
        "{ .reg .b32 x; bar.warp.sync 0xffffffff; activemask.b32 x; xor.b32 $d, x, $a; }",
        "i32 i32",
        _by_warp(lambda values: [(~value,) for value in values]),
        together=True,
    )


def _same(values: Column, value: int) -> int:
    return sum((other & 3 == value & 3) << lane for lane, other in enumerate(values))


def _exchange(columns: Column, step: int) -> tuple[Column, ...]:
    return ([columns[thread ^ step] for thread in range(len(columns))],)


def _barriers() -> Iterator[Form]:
    neighbour = ".reg .b32 n; xor.b32 n, %offset, {step}; add.u32 n, n, %cells;"
    for barrier, step in (
        ("bar.sync 0;", 64 * 5),
        ("barrier.sync.aligned 3;", 64 * 31),
        ("barrier.sync 7, %count;", 64),
        ("bar.warp.sync 0xffffffff;", 64 * 16),
    ):
        yield form(
            f"{{ {neighbour.format(step=step)} {barrier} st.shared.b32 [%cell], $a; {barrier} "
            f"ld.shared.b32 $d, [n]; {barrier} }}",
            "i32 i32",
            lambda values, step=step // 64: _exchange(values, step),
            together=True,
        )
    yield form(
        f"{{ {neighbour.format(step=64 * 3)} st.shared.b32 [%cell], $a; barrier.arrive 4, %twice; "
        "barrier.sync 4, %twice; ld.shared.b32 $d, [n]; bar.sync 0; }",
        "i32 i32",
        lambda values: _exchange(values, 3),
        together=True,
    )
    votes: tuple[tuple[str, str, Callable[[Column], int]], ...] = (
        ("popc.u32", "i32", sum),
        ("and.pred", "pred", lambda values: int(all(values))),
        ("or.pred", "pred", lambda values: int(any(values))),
    )
    for name, kind, function in votes:
        yield form(
            f"barrier.red.{name} $d, 0, $a;",
            f"{kind} pred",
            lambda values, function=function: ([function(values)] * len(values),),
            together=True,
        )
    start = "bar.sync 0; .reg .pred q; setp.eq.u32 q, %offset, 0; @q st.shared.b64 [%common], {first}; bar.sync 0;"
    for name, kind, first, total in (
        ("add", "u32", 0, sum),
        ("add", "u64", 0, sum),
        ("min", "s32", (1 << 31) - 1, min),
        ("max", "u64", 0, max),
        ("xor", "b32", 0, lambda values: reduce(int.__xor__, values)),
        ("or", "b64", 0, lambda values: reduce(int.__or__, values)),
    ):
        i = f"i{kind[1:]}"
        yield form(
            f"{{ {start.format(first=first)} red.shared.{name}.{kind} [%common], $a; bar.sync 0; "
            f"ld.shared.b{kind[1:]} $d, [%common]; }}",
            f"{i} {i}",
            lambda values, total=total, kind=kind: (
                [total([number(value, kind) for value in values])] * len(values),
            ),
            together=True,
        )


_SPECIAL: dict[str, Callable[[int, int], int]] = {
    "%tid.x": lambda thread, count: thread,
    "%tid.y": lambda thread, count: 0,
    "%ntid.x": lambda thread, count: count,
    "%ntid.z": lambda thread, count: 1,
    "%ctaid.x": lambda thread, count: 0,
    "%nctaid.x": lambda thread, count: 1,
    "%laneid": lambda thread, count: thread & 31,
    "WARP_SZ": lambda thread, count: 32,
    "%lanemask_eq": lambda thread, count: 1 << (thread & 31),
    "%lanemask_le": lambda thread, count: (2 << (thread & 31)) - 1,
    "%lanemask_lt": lambda thread, count: (1 << (thread & 31)) - 1,
    "%lanemask_ge": lambda thread, count: -1 << (thread & 31),
    "%lanemask_gt": lambda thread, count: -2 << (thread & 31),
}


def _special() -> Iterator[Form]:
    for name, function in _SPECIAL.items():
        yield form(
            f"{{ .reg .b32 x; mov.u32 x, {name}; xor.b32 $d, x, $a; }}",
            "i32 i32",
            lambda values, function=function: (
                [value ^ function(thread, len(values)) for thread, value in enumerate(values)],
            ),
            together=True,
        )
    yield form(
        "{ .reg .b64 x, y; .reg .b32 z; mov.u64 x, %clock64; mov.u64 y, %globaltimer; mov.u32 z, %clock; "
        "nanosleep.u32 5; setp.ne.u64 $d, y, 0; }",
        "pred i32",
        lambda values: ([1] * len(values),),
        together=True,
    )


def forms() -> Iterator[Form]:
    """Yield the forms of this family."""
    yield from _shuffles()
    yield from _votes()
    yield from _barriers()
    yield from _special()
