"""Calls that equal earlier ones are judged by what has changed since, and by nothing less.

Random programs whose calls repeat are judged twice: as always, and by an engine to which each call is new.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import msgspec
import pytest
from made_up.accesses import touches
from made_up.copies import copy2d, dtod, dtoh, host, htod
from made_up.kernels import arg, kernel, launch, module, ptr
from made_up.memory import HOST, HOST_B, A, B, C, alloc, collected, dev, free, memset
from made_up.places import CTX, at
from made_up.process import ended, failed
from made_up.streams import E1, S1, S2, event, record, stream, synchronize, wait
from made_up.verdicts import codes

from pycuda_guard.checks.engine import Engine
from pycuda_guard.checks.state.moves import Moves
from pycuda_guard.events import model as m

if TYPE_CHECKING:
    from pycuda_guard.findings import Finding

DECLARED = "float *x", "int n", "float dt", "int turn"
KERNELS = (
    kernel("fill", *DECLARED, accesses=(touches("write", below=1),), is_vague=False),
    kernel("look", "const float *x", *DECLARED[1:], accesses=(touches("read", below=1),), is_vague=False),
    kernel("vague", *DECLARED),
)


class ForgetfulMoves(Moves):
    """Moves each of which is looked at anew."""

    def _is_again(self, key: object) -> bool:
        return False


def call(chance: random.Random, line: int, turn: int) -> m.Event:
    """Return a call that a program may make at a line, in a turn of its loop."""
    place, other = (chance.choice((A, A + 64, B, C)) for _ in range(2))
    shape = chance.choice((16, 8, (4, 4), (4, 4), 80))
    array = msgspec.structs.replace(
        host(shape, chance.choice(("float32", "float32", "float64"))),
        address=chance.choice((HOST, HOST + 64, HOST_B)),
        kind=chance.choice((m.HostKind.PAGEABLE, m.HostKind.PINNED)),
        order="CF" if isinstance(shape, int) else chance.choice(("C", "F")),
    )
    how = {"stream": chance.choice((0, S1, S2)), "asynchronous": chance.random() < 0.5}
    rows = m.Extent(16, chance.randrange(1, 4), 32, offset=chance.choice((0, 0, 32)))
    operands = chance.choice(((dev(place, rows), dev(other, rows)), (dev(place, rows), array)))
    name = chance.choice(("fill", "look", "vague"))
    numbers = (
        arg("int32", chance.choice((8, 16, 8 * turn))),
        arg(chance.choice(("float32", "float32", "int32")), turn / 2),
        arg("int32", turn),
    )
    made = chance.choices(
        (
            lambda: htod(place, array, **how),
            lambda: dtoh(array, place, **how),
            lambda: dtod(place, other, chance.choice((32, 64, 128, 300))),
            lambda: copy2d(*operands, **how),
            lambda: memset(place, chance.choice((8, 16, 80))),
            lambda: launch(name, ptr(place), *numbers, block=(16, 1, 1), stream=how["stream"]),
            lambda: synchronize(*chance.choice((("context", CTX), ("stream", S1), ("event", E1)))),
            lambda: record(E1, how["stream"]),
            lambda: wait(how["stream"], E1),
            lambda: chance.choice((free, collected))(chance.choice((A, B, C))),
            lambda: alloc(chance.choice((A, B, C)), chance.choice((128, 256))),
            lambda: alloc(HOST, 256, m.MemoryKind.PINNED),
            lambda: stream(S1, chance.randrange(2)),
        ),
        (6, 6, 3, 3, 4, 5, 2, 1, 1, 1, 1, 0.3, 0.3),
    )[0]()
    made.site = at(line)
    return made


def program(seed: int) -> list[m.Event | object]:
    """Return the events of a program: a loop over a few calls, of which each round leaves some out."""
    chance = random.Random(seed)
    kinds = [chance.choice((m.MemoryKind.DEVICE, m.MemoryKind.DEVICE, m.MemoryKind.POOL)) for _ in range(3)]
    events: list[m.Event | object] = [module(*KERNELS)]
    events += [alloc(base, 256, kind) for base, kind in zip((A, B, C), kinds, strict=True)]
    if chance.random() < 0.8:
        events += [stream(S1, chance.randrange(2)), stream(S2, chance.randrange(2)), event(E1)]
    body = [(chance.getrandbits(32), line) for line in range(100, 100 + chance.randrange(4, 24))]
    for turn in range(chance.randrange(3, 8)):
        for choices, line in body:
            if chance.random() < 0.8:
                events.append(call(random.Random(choices), line, turn))
                if chance.random() < 0.03:
                    events.append(failed())
    return [*events, ended()]


def judged(seed: int, *, anew: bool) -> list[Finding]:
    """Return the findings of a program."""
    engine = Engine()
    if anew:
        state = engine.state
        state.moves = state.work._moves = ForgetfulMoves(state.memory)
    announced = 0
    for sequence, item in enumerate(program(seed), 1):
        if anew:
            engine.state.plans.forget()
        made = item if isinstance(item, m.Event) else item.event(announced)
        made.sequence = announced = sequence
        engine.feed(made)
    return engine.findings


@pytest.mark.parametrize("first", range(0, 80, 20))
def test_random_programs_are_judged_as_if_each_call_were_new(first: int) -> None:
    for seed in range(first, first + 20):
        assert judged(seed, anew=False) == judged(seed, anew=True), seed


def test_random_programs_have_findings_of_many_rules() -> None:
    found = {finding.code for seed in range(40) for finding in judged(seed, anew=False)}
    assert found >= {"PG103", "PG104", "PG105", "PG106", "PG201", "PG203", "PG210", "PG304"}


def test_what_was_copied_there_since_counts() -> None:
    rows, columns = host((4, 4)), host((4, 4), order="F")
    again = [event for _ in range(3) for event in (htod(A, rows), dtoh(rows, A))]
    assert codes(alloc(A, 64), *again) == []
    assert codes(alloc(A, 64), *again, htod(A, columns), dtoh(rows, A)) == [("PG408", 20)]


def test_memory_that_went_and_came_counts() -> None:
    loop = [event for _ in range(3) for event in (alloc(A, 64), memset(A, 16), htod(A, host(16)), free(A))]
    assert codes(*loop) == []
    assert codes(*loop, memset(A, 16)) == [("PG203", 28)]
    assert codes(*loop, alloc(A, 32), htod(A, host(16))) == [("PG201", 10)]
