"""Launches with a pattern, which may wait and be taken in at once, are judged as they would be one by one."""

from __future__ import annotations

import random
from copy import copy
from typing import TYPE_CHECKING

import pytest
from made_up.accesses import touches
from made_up.copies import download, host, htod, upload
from made_up.kernels import arg, kernel, launch, module, ptr
from made_up.memory import A, B, C, alloc, free, memset
from made_up.places import where
from made_up.process import ended, failed
from made_up.streams import E1, S1, S2, event, record, stream, synchronize, wait

from pycuda_guard.checks import rows
from pycuda_guard.checks.engine import Engine
from pycuda_guard.events import model as m
from pycuda_guard.events.patterns import Pattern

if TYPE_CHECKING:
    from pycuda_guard.findings import Finding

KERNELS = module(
    kernel("fill", "float *x", "int n", accesses=(touches("write", below=1),), is_vague=False),
    kernel(
        "scale",
        "float *x",
        "const float *y",
        "int n",
        accesses=(touches("write", below=2), touches("read", 1, below=2)),
        is_vague=False,
    ),
)


def patterns() -> list[Pattern]:
    """Return launches of both kernels on two streams and none, with the memory in turn."""
    made = []
    for line, on in enumerate((0, S1, S2), 40):
        for one, other in ((A, B), (B, A), (C, A)):
            made.append(launch("fill", ptr(one), arg("int32", 8), line=line, stream=on))
            made.append(launch("scale", ptr(one), ptr(other), arg("int32", 8), line=line + 10, stream=on))
    return [Pattern(each) for each in made]


class Both:
    """An engine that is told of patterns, and one that is not."""

    def __init__(self) -> None:
        self.told, self.plain = Engine(), Engine()
        self.number = 0
        self.waited = 0

    def feed(self, event: m.Event, pattern: Pattern | None = None) -> None:
        """Feed an event to both."""
        self.number += 1
        event.sequence = self.number
        self.plain.feed(copy(event))
        self.told.feed(event, pattern)
        self.waited += bool(self.told._row.events)

    @property
    def findings(self) -> list[Finding]:
        """What both have found."""
        assert self.told.findings == self.plain.findings
        return self.told.findings


def others() -> list[m.Event]:
    """Return what can happen in between."""
    return [
        memset(A, 16),
        htod(B, host(16)),
        htod(A, host(8, "float64")),
        upload(S1, B, 16),
        download(S2, A, 16),
        synchronize(),
        synchronize("stream", S1),
        record(E1, S1),
        wait(S2, E1),
    ]


@pytest.mark.parametrize("seed", range(40))
def test_a_random_program_is_judged_alike(seed: int) -> None:
    chance, both, known = random.Random(seed), Both(), patterns()
    for each in (alloc(A, 64), alloc(B, 64), alloc(C, 64), KERNELS):
        both.feed(each)
    if seed % 4:
        for each in (stream(S1, chance.randrange(2)), stream(S2, chance.randrange(2)), event(E1)):
            both.feed(each)
    usual = chance.sample(known if seed % 4 else known[:6], 3)
    for _ in range(120):
        if chance.random() < 0.9:
            pattern = chance.choice(usual)
            both.feed(pattern.copy(), pattern)
        elif chance.random() < 0.2:
            usual[chance.randrange(3)] = chance.choice(known if seed % 4 else known[:6])
        elif chance.random() < 0.1:
            both.feed(free(C))
            both.feed(alloc(C, 64))
        elif chance.random() < 0.1:
            pattern = chance.choice(usual)
            both.feed(pattern.copy(), pattern)
            both.feed(failed("invalid argument").event(both.number))
        else:
            both.feed(chance.choice(others()))
    both.feed(ended())
    assert both.findings
    assert both.waited or seed % 4


def test_more_than_may_wait_are_taken_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_MOST", 5)
    both, (pattern, *_) = Both(), patterns()
    for each in (alloc(A, 64), KERNELS):
        both.feed(each)
    for _ in range(23):
        both.feed(pattern.copy(), pattern)
    assert both.waited
    both.feed(ended())
    (finding,) = both.findings
    assert (finding.code, finding.event) == ("PG304", both.number)


@pytest.mark.parametrize(("touched", "codes"), [((0, 16), ["PG103"]), ((32, 48), [])])
@pytest.mark.parametrize("nth", [0, 1, 3])
def test_each_launch_tells_what_it_touched(nth: int, touched: tuple[int, int], codes: list[str]) -> None:
    both = Both()
    signature = kernel("fill", "float *x", accesses=(), is_vague=True)
    for each in (alloc(A, 64), alloc(B, 64), stream(S1, 1), stream(S2, 1), module(signature)):
        both.feed(each)
    pattern = Pattern(launch("fill", ptr(A), line=40, stream=S1))
    numbers = []
    for _ in range(4):
        both.feed(pattern.copy(), pattern)
        numbers.append(both.number)
    both.feed(download(S2, A, 4))
    both.feed(m.Footprint(*where(10), numbers[nth], (m.TouchedBytes("write", A, (touched,)),)))
    assert [finding.code for finding in both.findings] == codes
