"""Operations of a warp or a block that meet at a suspension point.

Before it each thread gives a value and says for whom it waits; after it each reads what the others gave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llvmlite import ir

from pycuda_guard.cpu.abi import EXCHANGED_WORDS, Suspension
from pycuda_guard.cpu.codegen import exchange
from pycuda_guard.cpu.codegen.instructions.comparison import destinations
from pycuda_guard.cpu.codegen.instructions.registry import Modifiers, lowers, resumes, suspends
from pycuda_guard.cpu.codegen.instructions.values import extend, integer, minimum, runtime
from pycuda_guard.cpu.codegen.types import I1, I32, I64, is_signed
from pycuda_guard.kernels.ptx.ir import Immediate, Register

if TYPE_CHECKING:
    from pycuda_guard.cpu.codegen.emitter import Emitter
    from pycuda_guard.kernels.ptx.ir import Instruction, Operand


#: numbers of the runtime's reductions, unsigned and signed
_REDUCTIONS = {"add": (0, 0), "min": (1, 3), "max": (2, 4), "and": (5, 5), "or": (6, 6), "xor": (7, 7)}


def _require_sync(e: Emitter, m: Modifiers) -> None:
    if not m.flag("sync"):
        e.unsupported("without .sync (removed for compute capability 7.0 and later)")


# --- shfl ---------------------------------------------------------------------------------------


@suspends("shfl")
def give_for_shuffle(e: Emitter, i: Instruction, m: Modifiers) -> Suspension:
    """Give the value that other lanes may fetch."""
    _require_sync(e, m)
    m.one_of("up", "down", "bfly", "idx")
    m.type("b32", "u32", "s32", "f32")
    _give_word(e, e.read(i.operands[1], "b32"))
    exchange.set_members(e, e.read(i.operands[4], "b32"))
    return Suspension.WARP


@resumes("shfl")
def shuffle(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``shfl.sync``: the value of another lane of the segment; ``p`` says whether there is such a lane."""
    m.flag("sync")
    mode = m.one_of("up", "down", "bfly", "idx")
    m.type()
    fixed = _fixed_step(mode, _known(e, i.operands[2]), _known(e, i.operands[3]))
    values = _fetch_near(e, mode, fixed) if fixed else _fetch(e, mode, i.operands[2], i.operands[3])
    kinds = ("b32", "pred")
    for destination, value, kind in zip(destinations(i.operands[0]), values, kinds, strict=False):
        e.write(destination, value, kind)


def _fetch(e: Emitter, mode: str, step: Operand, control: Operand) -> tuple[ir.Value, ir.Value]:
    """Return the value of the lane that a shuffle names, and whether there is such a lane."""
    b = e.builder
    distance, limits = e.read(step, "b32"), e.read(control, "b32")
    lane, low_5 = e.lane, integer(32, 31)
    segment = b.and_(b.lshr(limits, integer(32, 8)), low_5)
    first = b.and_(lane, segment)
    limit = b.or_(first, b.and_(b.and_(limits, low_5), b.not_(segment)))
    distance = b.and_(distance, low_5)
    if mode == "up":
        source = b.sub(lane, distance)
        inside = b.icmp_signed(">=", source, limit)
    else:
        if mode == "down":
            source = b.add(lane, distance)
        elif mode == "bfly":
            source = b.xor(lane, distance)
        else:
            source = b.or_(first, b.and_(distance, b.not_(segment)))
        inside = b.icmp_signed("<=", source, limit)
    thread = b.add(b.and_(e.thread_linear, integer(32, ~31)), source)
    # the last warp may be incomplete: of lanes that do not exist, a lane gets its own value
    exists = b.and_(inside, b.icmp_unsigned("<", thread, e.threads))
    return _word(e, b.select(exists, thread, e.thread_linear)), inside


def _known(e: Emitter, operand: Operand) -> int:
    """Return the value of an operand that is a constant, by way of a register or not; -1 for any other."""
    if isinstance(operand, Register) and not operand.special:
        definition = e.context.definitions.single.get(operand.name)
        if definition is not None and definition.instruction.opcode == "mov":
            operand = definition.instruction.operands[1]
    return operand.value if isinstance(operand, Immediate) else -1


def _fixed_step(mode: str, step: int, control: int) -> int:
    """Return the step of a shuffle by a fixed one over whole warps, else 0."""
    is_whole = control == (0 if mode == "up" else 31)
    is_near = mode in ("up", "down") or (mode == "bfly" and step & (step - 1) == 0)
    return step if is_whole and is_near and 0 < step < 32 else 0


def _fetch_near(e: Emitter, mode: str, step: int) -> tuple[ir.Value, ir.Value]:
    """Return what :func:`_fetch` does, by loads from one place after the other for thread after thread."""
    b = e.builder
    lane, own = e.lane, _word(e, e.thread_linear)
    if mode == "up":
        inside = b.icmp_unsigned(">=", lane, integer(32, step))
        return b.select(inside, _word(e, e.thread_linear, -step), own), inside
    exists = b.icmp_unsigned("<", b.add(e.thread_linear, integer(32, step)), e.threads)
    above = _word(e, e.thread_linear, step)
    if mode == "down":
        inside = b.icmp_unsigned("<", lane, integer(32, 32 - step))
        return b.select(b.and_(inside, exists), above, own), inside
    is_lower = b.icmp_unsigned("==", b.and_(lane, integer(32, step)), integer(32, 0))
    higher = b.select(exists, above, own)
    return b.select(is_lower, higher, _word(e, e.thread_linear, -step)), integer(1, 1)


def _give_word(e: Emitter, value: ir.Value) -> None:
    """Give 32 bits to the other threads, done before a suspension."""
    store = e.builder.store(value, _word_place(e, "exchange", e.thread_linear, 0), align=4)
    e.context.metadata.frame(store)


def _word(e: Emitter, thread: ir.Value, offset: int = 0) -> ir.Value:
    """Return the 32 bits that the thread ``offset`` behind another gave, which need not exist."""
    load = e.builder.load(_word_place(e, "snapshot", thread, offset), typ=I32, align=4)
    e.context.metadata.frame(load)
    return load


def _word_place(e: Emitter, field: str, thread: ir.Value, offset: int) -> ir.Value:
    b = e.builder
    place = b.mul(b.zext(thread, I64), ir.Constant(I64, 4))
    return e.offset_pointer(
        e.block_pointer(field), b.add(place, ir.Constant(I64, EXCHANGED_WORDS + 4 * offset))
    )


# --- vote, match, redux, elect ------------------------------------------------------------------


@suspends("vote")
def give_for_vote(e: Emitter, i: Instruction, m: Modifiers) -> Suspension:
    """Give the predicate that is voted on; for ``.all`` its opposite, which nobody may hold."""
    _require_sync(e, m)
    mode = m.one_of("all", "any", "uni", "ballot")
    m.type("pred", "b32")
    vote = e.read(i.operands[1], "pred")
    exchange.give(e, e.builder.not_(vote) if mode == "all" else vote)
    exchange.set_members(e, e.read(i.operands[2], "b32"))
    return Suspension.WARP


@resumes("vote")
def vote(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``vote.sync``: all, any, uni (all or none), or the mask of the lanes whose predicate holds."""
    b = e.builder
    m.flag("sync")
    mode = m.one_of("all", "any", "uni", "ballot")
    m.type()
    members = e.read(i.operands[2], "b32")
    lanes = [e.block, e.thread_linear, members]
    if mode == "uni":
        every, some = (
            runtime(e, "pg_redux", I32, [*lanes, integer(32, _REDUCTIONS[name][0])]) for name in ("and", "or")
        )
        return e.write(i.operands[0], b.icmp_unsigned("==", every, some), "pred")
    ballot = runtime(e, "pg_ballot", I32, lanes)
    if mode == "ballot":
        return e.write(i.operands[0], ballot, "b32")
    return e.write(
        i.operands[0], b.icmp_unsigned("!=" if mode == "any" else "==", ballot, integer(32, 0)), "pred"
    )


def _present(e: Emitter, members: ir.Value) -> ir.Value:
    """The members of a mask that exist: the last warp of a block may be incomplete."""
    b = e.builder
    warp_start = b.and_(e.thread_linear, integer(32, ~31))
    count = minimum(e, b.sub(e.threads, warp_start), integer(32, 32))
    return b.and_(members, b.lshr(integer(32, -1), b.sub(integer(32, 32), count)))


@suspends("match")
def give_for_match(e: Emitter, i: Instruction, m: Modifiers) -> Suspension:
    """Give the value to compare."""
    _require_sync(e, m)
    m.one_of("any", "all")
    kind = m.type("b32", "b64")
    exchange.give(e, e.read(i.operands[1], kind))
    exchange.set_members(e, e.read(i.operands[2], "b32"))
    return Suspension.WARP


@resumes("match")
def match(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``match.sync``: the lanes with the same value; ``.all``: the whole mask if all have it, else 0."""
    b = e.builder
    m.flag("sync")
    mode, kind = m.one_of("any", "all"), m.type()
    value, members = e.read(i.operands[1], kind), e.read(i.operands[2], "b32")
    same = runtime(e, "pg_match_any", I32, [e.block, e.thread_linear, members, extend(e, value, 64, False)])
    if mode == "any":
        return e.write(i.operands[0], same, "b32")
    everyone = b.icmp_unsigned("==", same, _present(e, members))
    results = (b.select(everyone, same, integer(32, 0)), everyone)
    for destination, result, result_kind in zip(
        destinations(i.operands[0]), results, ("b32", "pred"), strict=False
    ):
        e.write(destination, result, result_kind)
    return None


@suspends("redux", limits="integers only")
def give_for_reduction(e: Emitter, i: Instruction, m: Modifiers) -> Suspension:
    """Give the value to reduce."""
    _require_sync(e, m)
    m.one_of(*_REDUCTIONS)
    m.type("u32", "s32", "b32")
    exchange.give(e, e.read(i.operands[1], "b32"))
    exchange.set_members(e, e.read(i.operands[2], "b32"))
    return Suspension.WARP


@resumes("redux")
def reduce(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``redux.sync``: sum, smallest, largest, and, or, xor over the lanes of the mask."""
    m.flag("sync")
    name, kind = m.one_of(*_REDUCTIONS), m.type()
    number = _REDUCTIONS[name][is_signed(kind)]
    members = e.read(i.operands[2], "b32")
    result = runtime(e, "pg_redux", I32, [e.block, e.thread_linear, members, integer(32, number)])
    e.write(i.operands[0], result, kind)


@suspends("elect")
def give_for_election(e: Emitter, i: Instruction, m: Modifiers) -> Suspension:
    """Wait for the other candidates."""
    _require_sync(e, m)
    exchange.set_members(e, e.read(i.operands[1], "b32"))
    return Suspension.WARP


@resumes("elect")
def elect(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``elect.sync``: the lowest lane of the mask is the leader."""
    m.flag("sync")
    members = e.read(i.operands[1], "b32")
    function = e.declare("llvm.cttz.i32", I32, [I32, I1])
    leader = e.call(function, [members, ir.Constant(I1, 0)])
    results = (leader, e.builder.icmp_unsigned("==", leader, e.lane))
    for destination, result, kind in zip(destinations(i.operands[0]), results, ("b32", "pred"), strict=False):
        e.write(destination, result, kind)


@suspends("activemask", limits="lanes that a GPU would run together by chance may be apart, and the reverse")
def wait_for_others(e: Emitter, i: Instruction, m: Modifiers) -> Suspension:
    """Wait until the lanes that can come here have come."""
    m.type("b32")
    return Suspension.LOCKSTEP


@resumes("activemask")
def active_mask(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``activemask``: the lanes that go on from here together."""
    m.type()
    e.write(i.operands[0], runtime(e, "pg_active_mask", I32, [e.block, e.thread_linear]), "b32")


# --- barriers -----------------------------------------------------------------------------------

_VOTES = {"popc": 0, "and": 1, "or": 2}


@suspends("bar", "barrier", limits="no clusters of several blocks")
def stop_at_barrier(e: Emitter, i: Instruction, m: Modifiers) -> Suspension:
    """``bar.warp.sync`` waits for lanes, ``bar.sync`` and ``.red`` for the block, ``.arrive`` for nobody."""
    m.flag("aligned", "cta")
    if m.flag("cluster"):
        return _cluster(e, m)
    if m.flag("warp"):
        _require_sync(e, m)
        exchange.set_members(e, e.read(i.operands[0], "b32"))
        return Suspension.WARP
    if m.flag("red"):
        return _give_for_vote(e, i, m)
    arrives = m.one_of("sync", "arrive") == "arrive"
    barrier = i.operands[0]
    count = i.operands[1] if len(i.operands) > 1 else None
    if not arrives and count is None and _is_zero(barrier):
        return Suspension.BARRIER
    _set_barrier(e, barrier, count)
    return Suspension.ARRIVAL if arrives else Suspension.NAMED_BARRIER


def _set_barrier(e: Emitter, barrier: Operand, count: Operand | None) -> None:
    """State which barrier the thread is at, and for how many threads that is (None: the whole block)."""
    threads = e.read(count, "u32") if count is not None else integer(32, 0)
    number = e.builder.and_(e.read(barrier, "u32"), integer(32, 15))
    exchange.set_members(e, e.builder.or_(e.builder.shl(threads, integer(32, 4)), number))


def _is_zero(operand: Operand) -> bool:
    return isinstance(operand, Immediate) and operand.value == 0


def _cluster(e: Emitter, m: Modifiers) -> Suspension:
    """``barrier.cluster``: the block is alone in its cluster, so that waiting is a barrier of the block."""
    m.flag("acquire", "release", "relaxed")
    m.one_of("wait")
    return Suspension.BARRIER


@lowers("barrier")
def arrive_at_cluster(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """``barrier.cluster.arrive``: nothing to do, as ``.wait`` waits until all have come there."""
    m.flag("aligned", "acquire", "release", "relaxed")
    m.one_of("cluster")
    m.one_of("arrive")


def _is_vote_of_block(i: Instruction) -> bool:
    return _is_zero(i.operands[1]) and len(i.operands) == 3


def _give_for_vote(e: Emitter, i: Instruction, m: Modifiers) -> Suspension:
    """``bar.red d, a{, b}, p``."""
    m.one_of(*_VOTES)
    m.type("u32", "pred")
    _, barrier, *count, vote = i.operands
    exchange.give(e, e.read(vote, "pred"))
    if _is_vote_of_block(i):
        return Suspension.VOTE_BARRIER
    _set_barrier(e, barrier, count[0] if count else None)
    return Suspension.NAMED_VOTE_BARRIER


@resumes("bar", "barrier")
def leave_barrier(e: Emitter, i: Instruction, m: Modifiers) -> None:
    """Write the outcome of ``bar.red``; the other barriers have none."""
    m.flag(*i.modifiers)
    if "red" not in i.modifiers:
        return
    name = next(name for name in _VOTES if name in i.modifiers)
    if _is_vote_of_block(i):
        result = runtime(e, "pg_barrier_vote", I32, [e.block, integer(32, _VOTES[name])])
    else:
        result = _outcome(e, name)
    if name == "popc":
        return e.write(i.operands[0], result, "u32")
    return e.write(i.operands[0], e.builder.icmp_unsigned("!=", result, integer(32, 0)), "pred")


def _outcome(e: Emitter, name: str) -> ir.Value:
    """Return the outcome (``i32``) of a vote of which the thread was given the votes and the voters."""
    b = e.builder
    counts = exchange.given(e, e.thread_linear)
    votes, voters = b.trunc(counts, I32), b.trunc(b.lshr(counts, integer(64, 32)), I32)
    if name == "and":
        return b.zext(b.icmp_unsigned("==", votes, voters), I32)
    return votes
