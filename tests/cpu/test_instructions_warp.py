"""Operations that a warp or a block does together, against what each lane must get."""

from __future__ import annotations

import numpy as np
import pytest

from pycuda_guard.cpu import jit

THREADS = 80  # the last warp has 16 lanes
WORDS = np.random.default_rng(7).integers(0, 1 << 32, THREADS, dtype=np.uint32)
FULL = 0xFFFFFFFF


def kernel(name: str, body: str) -> str:
    """A kernel: %a is the thread's word, %d and %q (predicate, stored as 0 or 1) are stored."""
    return f"""
.visible .entry {name}(.param .u64 {name}_in, .param .u64 {name}_d, .param .u64 {name}_q)
{{
  .reg .b32 %t, %l, %a, %b, %d, %e, %w;
  .reg .b64 %base, %to, %wide;
  .reg .pred %p, %q, %r;
  .shared .align 16 .b8 cells_{name}[2048];
  mov.u32 %t, %tid.x;
  mov.u32 %l, %laneid;
  mov.u32 %d, 0;
  setp.ne.u32 %q, 0, 0;
  ld.param.u64 %base, [{name}_in];
  mad.wide.u32 %to, %t, 4, %base;
  ld.global.u32 %a, [%to];
  {body}
  ld.param.u64 %base, [{name}_d];
  mad.wide.u32 %to, %t, 4, %base;
  st.global.u32 [%to], %d;
  ld.param.u64 %base, [{name}_q];
  mad.wide.u32 %to, %t, 4, %base;
  selp.u32 %w, 1, 0, %q;
  st.global.u32 [%to], %w;
  ret;
}}"""


def lanes(thread: int) -> range:
    """Threads of the warp of a thread."""
    start = thread & ~31
    return range(start, min(start + 32, THREADS))


def shuffled(mode: str, step: int, control: int):
    """The definition of ``shfl`` in the ISA manual."""

    def expected(thread: int):
        lane = thread & 31
        segment, clamp, step_5 = control >> 8 & 31, control & 31, step & 31
        limit = (lane & segment) | (clamp & ~segment)
        source = {
            "up": lane - step_5,
            "down": lane + step_5,
            "bfly": lane ^ step_5,
            "idx": (lane & segment) | (step_5 & ~segment),
        }[mode]
        inside = source >= limit if mode == "up" else source <= limit
        source = source if inside else lane
        return WORDS[min((thread & ~31) + source, THREADS - 1)], inside

    return expected


def exists(mode: str, step: int, control: int):
    """Threads whose source lane exists: the others get an undefined value."""

    def test(thread: int) -> bool:
        lane, segment, step_5 = thread & 31, control >> 8 & 31, step & 31
        source = {
            "up": lane - step_5,
            "down": lane + step_5,
            "bfly": lane ^ step_5,
            "idx": (lane & segment) | (step_5 & ~segment),
        }[mode]
        return (thread & ~31) + source < THREADS

    return test


def mask_of(threads) -> int:
    return sum(1 << (thread & 31) for thread in threads)


def odd(thread: int) -> bool:
    return bool(WORDS[thread] & 1)


def low(thread: int) -> int:
    return int(WORDS[thread]) & 3


ODD = "and.b32 %b, %a, 1; setp.eq.u32 %p, %b, 1;"
LOW = "and.b32 %b, %a, 3;"
CASES: dict[str, tuple] = {}


def case(name: str, body: str, expected, matters=lambda thread: True) -> None:
    """``expected`` gives (d, q) of a thread."""
    CASES[name] = (body, expected, matters)


for mode in ("up", "down", "bfly", "idx"):
    for step, control in (
        (1, 0x1F),
        (3, 0x1F),
        (16, 0x1F),
        (33, 0x1F),
        (2, 0x181F),
        (5, 0x1807),
        (0, 0x1C1F),
    ):
        fixed = control if mode != "up" else control & ~0x1F
        case(
            f"shfl_{mode}_{step}_{control:x}",
            f"shfl.sync.{mode}.b32 %d|%q, %a, {step}, {fixed:#x}, -1;",
            shuffled(mode, step, fixed),
            exists(mode, step, fixed),
        )
case(
    "shfl_divergent",
    f"""{ODD}
  @!%p bra EVEN;
  add.u32 %d, %a, 2;
  bra DONE;
EVEN:
  add.u32 %d, %a, 1;
DONE:
  shfl.sync.idx.b32 %d, %d, 0, 0x1f, -1;""",
    lambda thread: (int(WORDS[thread & ~31]) + 1 + odd(thread & ~31), False),
)
case(
    "shfl_some_lanes",
    "setp.lt.u32 %p, %l, 8; @%p shfl.sync.bfly.b32 %d, %a, 4, 0x1f, 0xff;",
    lambda thread: (WORDS[thread ^ 4] if thread % 32 < 8 else 0, False),
)
case(
    "ballot",
    f"{ODD} vote.sync.ballot.b32 %d, %p, -1;",
    lambda thread: (mask_of(filter(odd, lanes(thread))), False),
)
case(
    "ballot_not",
    f"{ODD} vote.sync.ballot.b32 %d, !%p, -1;",
    lambda thread: (mask_of(t for t in lanes(thread) if not odd(t)), False),
)
case("any", f"{ODD} vote.sync.any.pred %q, %p, -1;", lambda thread: (0, any(map(odd, lanes(thread)))))
case("all", f"{ODD} vote.sync.all.pred %q, %p, -1;", lambda thread: (0, all(map(odd, lanes(thread)))))
case("all_true", "setp.eq.u32 %p, 0, 0; vote.sync.all.pred %q, %p, -1;", lambda thread: (0, True))
case(
    "uni",
    f"{ODD} vote.sync.uni.pred %q, %p, -1;",
    lambda thread: (0, len({odd(t) for t in lanes(thread)}) == 1),
)
case("uni_none", "setp.ne.u32 %p, 0, 0; vote.sync.uni.pred %q, %p, -1;", lambda thread: (0, True))
case(
    "match_any",
    f"{LOW} match.any.sync.b32 %d, %b, -1;",
    lambda thread: (mask_of(t for t in lanes(thread) if low(t) == low(thread)), False),
)
case(
    "match_any_64",
    f"{LOW} cvt.u64.u32 %wide, %b; shl.b64 %wide, %wide, 40; match.any.sync.b64 %d, %wide, -1;",
    lambda thread: (mask_of(t for t in lanes(thread) if low(t) == low(thread)), False),
)
case("match_all_different", f"{LOW} match.all.sync.b32 %d|%q, %b, -1;", lambda thread: (0, False))
case(
    "match_all_same",
    "mov.u32 %b, 5; match.all.sync.b32 %d|%q, %b, -1;",
    lambda thread: (mask_of(lanes(thread)), True),
)
for name, kind, function in (
    ("add", "u32", lambda values: sum(values)),
    ("min", "u32", min),
    ("max", "u32", max),
    ("min", "s32", lambda values: min(v - (v >> 31 << 32) for v in values)),
    ("max", "s32", lambda values: max(v - (v >> 31 << 32) for v in values)),
    ("and", "b32", np.bitwise_and.reduce),
    ("or", "b32", np.bitwise_or.reduce),
    ("xor", "b32", np.bitwise_xor.reduce),
):
    case(
        f"redux_{name}_{kind}",
        f"redux.sync.{name}.{kind} %d, %a, -1;",
        lambda thread, function=function: (
            int(function([int(WORDS[t]) for t in lanes(thread)])) & FULL,
            False,
        ),
    )
case("elect", "elect.sync %d|%q, -1;", lambda thread: (0, thread % 32 == 0))
case("activemask", "activemask.b32 %d;", lambda thread: (mask_of(lanes(thread)), False))
case(
    "activemask_divergent",
    f"{ODD} @%p activemask.b32 %d;",
    lambda thread: (mask_of(filter(odd, lanes(thread))) if odd(thread) else 0, False),
)
case(
    "activemask_before_shuffle",
    """setp.lt.u32 %p, %l, 16; @!%p bra AFTER;
  activemask.b32 %b;
  shfl.sync.down.b32 %d, %a, 1, 0x1f, %b;
AFTER:
  bar.sync 0;""",
    lambda thread: (WORDS[thread + 1] if thread % 32 < 15 else 0, False),
    lambda thread: thread % 32 != 15,
)
case(
    "warp_barrier",
    "bar.warp.sync -1; add.u32 %d, %a, 1;",
    lambda thread: (int(WORDS[thread]) + 1 & FULL, False),
)
EXCHANGE = """mov.u32 %b, cells_{name};
  mad.lo.u32 %e, %t, 4, %b;
  st.shared.u32 [%e], %a;
  {barrier}
  sub.u32 %w, 79, %t;
  mad.lo.u32 %e, %w, 4, %b;
  ld.shared.u32 %d, [%e];"""
for name, barrier in (
    ("plain", "bar.sync 0;"),
    ("aligned", "barrier.sync.aligned 0;"),
    ("named", "bar.sync 3;"),
    ("counted", "bar.sync 1, 96;"),
    ("by_register", "mov.u32 %w, 5; barrier.sync %w;"),
):
    case(
        f"barrier_{name}",
        EXCHANGE.format(name=f"barrier_{name}", barrier=barrier),
        lambda thread: (WORDS[79 - thread], False),
    )
case(
    "barrier_popc",
    f"{ODD} bar.red.popc.u32 %d, 0, %p;",
    lambda thread: (sum(map(odd, range(THREADS))), False),
)
case("barrier_and", f"{ODD} bar.red.and.pred %q, 0, %p;", lambda thread: (0, all(map(odd, range(THREADS)))))
case(
    "barrier_or",
    f"{ODD} barrier.red.or.pred %q, 0, !%p;",
    lambda thread: (0, not all(map(odd, range(THREADS)))),
)
case(
    "barrier_named_popc",
    f"{ODD} bar.red.popc.u32 %d, 3, %p;",
    lambda thread: (sum(map(odd, range(THREADS))), False),
)
case(
    "barrier_counted_or",
    f"{ODD} bar.red.or.pred %q, 0, 96, %p;",
    lambda thread: (0, any(map(odd, range(THREADS)))),
)


def of_part(thread: int) -> range:
    """Return the first warp, or the others: the threads that share a barrier with a thread."""
    return range(32) if thread < 32 else range(32, THREADS)


case(
    "barrier_of_parts_popc",
    f"""{ODD} setp.lt.u32 %r, %t, 32;
  @%r bra $first_popc;
  bar.red.popc.u32 %d, 0, 64, %p;
  bar.red.and.pred %q, 2, 64, %p;
  bra $last_popc;
$first_popc:
  bar.red.popc.u32 %d, 1, 32, %p;
  bar.red.and.pred %q, 1, 32, %p;
$last_popc:""",
    lambda thread: (sum(map(odd, of_part(thread))), all(map(odd, of_part(thread)))),
)
case(
    "barrier_of_a_part_and",
    """setp.ge.u32 %r, %t, 32; setp.ne.u32 %p, %t, 31;
  @%r bra $others_and;
  bar.red.and.pred %q, 4, 32, %r;
  bra $all_and;
$others_and:
  setp.lt.u32 %p, %t, 999;
  bar.red.and.pred %q, 5, 64, %p;
$all_and:
  bar.sync 0;""",
    lambda thread: (0, thread >= 32),
)
case(
    "cp_async",
    """mov.u32 %b, cells_cp_async;
  mad.lo.u32 %e, %t, 16, %b;
  and.b64 %to, %to, -16;
  cp.async.ca.shared.global [%e], [%to], 16;
  cp.async.commit_group;
  cp.async.wait_group 0;
  and.b32 %w, %t, 3;
  mad.lo.u32 %e, %w, 4, %e;
  ld.shared.u32 %d, [%e];""",
    lambda thread: (WORDS[thread], False),
)
case(
    "cp_async_zero_filled",
    """mov.u32 %b, cells_cp_async_zero_filled;
  mad.lo.u32 %e, %t, 4, %b;
  cp.async.ca.shared.global [%e], [%to], 4, 2;
  cp.async.wait_all;
  ld.shared.u32 %d, [%e];""",
    lambda thread: (int(WORDS[thread]) & 0xFFFF, False),
)
for register, expected in {
    "%tid.x": lambda thread: thread,
    "%ntid.x": lambda thread: THREADS,
    "%ntid.y": lambda thread: 1,
    "%ctaid.x": lambda thread: 0,
    "%nctaid.x": lambda thread: 1,
    "%laneid": lambda thread: thread & 31,
    "%warpid": lambda thread: thread >> 5,
    "%nwarpid": lambda thread: 64,
    "WARP_SZ": lambda thread: 32,
    "%lanemask_eq": lambda thread: 1 << (thread & 31),
    "%lanemask_lt": lambda thread: (1 << (thread & 31)) - 1,
    "%lanemask_le": lambda thread: (2 << (thread & 31)) - 1,
    "%lanemask_gt": lambda thread: FULL & ~((2 << (thread & 31)) - 1),
    "%lanemask_ge": lambda thread: FULL & ~((1 << (thread & 31)) - 1),
    "%dynamic_smem_size": lambda thread: 0,
}.items():
    case(
        "special_" + register.strip("%").replace(".", "_"),
        f"mov.u32 %d, {register};",
        lambda thread, expected=expected: (expected(thread), False),
    )
case(
    "clock",
    "mov.u64 %wide, %clock64; mov.u64 %to, %clock64; setp.ge.u64 %q, %to, %wide; mov.u32 %w, %clock; "
    "nanosleep.u32 20; mov.u64 %wide, %globaltimer;",
    lambda thread: (0, True),
)


@pytest.fixture(scope="module")
def loaded(device):
    kernels = "".join(kernel(name, body) for name, (body, _, _) in CASES.items())
    text = f".version 8.6\n.target sm_90\n.address_size 64\n{kernels}\n"
    return jit.load_module(text.encode(), device.memory)


@pytest.mark.parametrize("name", CASES)
def test_warp(device, loaded, name):
    _, expected, matters = CASES[name]
    native = loaded.kernels[name]
    assert not native.plan.unsupported
    given, found, flags = (
        device.bytes(data) for data in (WORDS.tobytes(), bytes(4 * THREADS), bytes(4 * THREADS))
    )
    assert device.launch(native, given, found, flags, block=(THREADS, 1, 1)) is None
    results = np.frombuffer(device.memory.read(found, 4 * THREADS), np.uint32)
    predicates = np.frombuffer(device.memory.read(flags, 4 * THREADS), np.uint32)
    for address in (given, found, flags):
        device.memory.free(address)
    wrong = []
    for thread in range(THREADS):
        value, predicate = expected(thread)
        if not matters(thread):
            value = results[thread]
        if (int(results[thread]), bool(predicates[thread])) != (int(value) & FULL, bool(predicate)):
            wrong.append(
                f"thread {thread}: {results[thread]:#x} {predicates[thread]}, not {value:#x} {predicate}"
            )
    assert not wrong, f"{len(wrong)} wrong: " + "; ".join(wrong[:4])
