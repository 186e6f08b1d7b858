"""The engine: isolation of rules, counting, and grading."""

from __future__ import annotations

from typing import ClassVar

from made_up.copies import dtoh, host, htod
from made_up.kernels import launch
from made_up.memory import A, B, alloc, free
from made_up.places import at
from made_up.process import ended, failed
from made_up.verdicts import codes, findings, run

from pycuda_guard.checks.base import HANDLERS, Rule
from pycuda_guard.checks.engine import Engine
from pycuda_guard.checks.registry import RULE_CLASSES
from pycuda_guard.events import model as m
from pycuda_guard.findings import Finding, Severity


class Broken(Rule):
    """Raises at every copy."""

    code: ClassVar[str] = "PG199"
    name: ClassVar[str] = "broken"
    severity: ClassVar[Severity] = Severity.ERROR

    def on_copy(self, event: m.Copy) -> None:
        """Fail."""
        raise KeyError("nothing here")


def feed(engine: Engine, *events: m.Event, first: int = 1) -> list[Finding]:
    for sequence, event in enumerate(events, first):
        event.sequence = sequence
        engine.feed(event)
    return engine.findings


def test_a_rule_that_raises_is_reported_once_and_the_others_go_on() -> None:
    engine = Engine(rules=(Broken, *RULE_CLASSES))
    copies = [htod(A, host(100), line=line) for line in (10, 11)]
    found = feed(engine, alloc(A, 40), *copies)
    assert [(f.code, f.count) for f in found] == [("PG903", 1), ("PG201", 1), ("PG201", 1)]
    assert "the check PG199" in found[0].message and "KeyError" in found[0].message


def test_the_state_is_kept_when_a_rule_raises() -> None:
    engine = Engine(rules=(Broken, *RULE_CLASSES))
    feed(engine, alloc(A, 40), htod(A, host(10)))
    region = engine.state.memory.find(A)
    assert region is not None and region.contents is not None


def test_equal_findings_are_counted() -> None:
    events = [alloc(A, 40)] + [htod(A, host(100), line=line) for line in (10, 10, 12, 10)]
    assert [(f.location.line, f.count) for f in findings(*events) if f.location] == [(10, 3), (12, 1)]


def test_new_findings_are_announced_once() -> None:
    seen: list[Finding] = []
    engine = Engine(seen.append)
    feed(engine, alloc(A, 40), *[htod(A, host(100)) for _ in range(3)])
    assert [(f.code, f.count) for f in seen] == [("PG201", 1)]
    assert engine.findings[0].count == 3


def test_an_error_stays_one_if_any_of_its_failures_escaped() -> None:
    twice = [launch("k", grid=(0, 1)), failed("invalid argument")] * 2
    assert [f.severity for f in findings(*twice, ended((4,)))] == [Severity.ERROR]
    assert [f.severity for f in findings(*twice, ended((17,)))] == [Severity.NOTE]


def test_a_part_has_counts_and_grades_of_its_own() -> None:
    engine = Engine()

    def copy_too_much(sequence: int) -> None:
        feed(engine, htod(A, host(100)), failed("invalid argument").event(sequence), first=sequence)

    def launch_nothing(sequence: int) -> None:
        feed(engine, launch("k", grid=(0, 1)), failed("invalid argument").event(sequence), first=sequence)

    feed(engine, alloc(A, 40))
    copy_too_much(2)
    launch_nothing(4)
    part = engine.open_part()
    assert part.take(()) == []
    copy_too_much(11)
    copy_too_much(13)
    launch_nothing(15)
    assert [(f.code, f.severity, f.count) for f in part.peek(())] == [
        ("PG201", Severity.ERROR, 2),
        ("PG404", Severity.NOTE, 1),
    ]
    # what escaped before the part was opened has nothing to do with it
    assert [f.severity for f in part.peek((5,))] == [Severity.ERROR, Severity.NOTE]
    assert [f.severity for f in part.peek((16,))] == [Severity.ERROR, Severity.ERROR]
    # one of the two copies was asked to fail, then both
    assert [f.severity for f in part.peek((), (12,))] == [Severity.ERROR, Severity.NOTE]
    assert [f.severity for f in part.take((), (12, 14))] == [Severity.NOTE, Severity.NOTE]
    assert part.take(()) == []
    engine.close_part(part)
    copy_too_much(17)
    assert part.take(()) == []


def test_errors_without_a_failure_are_not_graded() -> None:
    (finding,) = findings(alloc(A, 40), htod(A, host(100)), failed("invalid argument"), ended())
    assert finding.severity is Severity.ERROR


def test_before_the_end_handled_failures_count_as_errors() -> None:
    assert findings(launch("k", grid=(0, 1)), failed("invalid argument"))[0].severity is Severity.ERROR


def test_one_cause_is_one_finding() -> None:
    assert codes(alloc(A, 400), free(A), dtoh(host(100), A, line=9), failed("invalid argument")) == [
        ("PG203", 9)
    ]
    assert codes(dtoh(host(100), 0, line=9), failed("invalid argument")) == [("PG204", 9)]


def test_every_handler_of_a_rule_belongs_to_an_event() -> None:
    known = set(HANDLERS.values())
    for rule in RULE_CLASSES:
        assert {name for name in dir(rule) if name.startswith("on_")} <= known, rule.code


def test_every_event_has_a_handler_name() -> None:
    assert set(HANDLERS) == set(m.Event.__subclasses__())


def test_a_second_failure_of_an_old_call_is_ignored() -> None:
    assert codes(alloc(B, 40), failed("invalid argument", nth=77)) == []


def test_places_are_the_users_lines() -> None:
    (finding,) = run(alloc(A, 40), htod(A, host(100), line=33)).findings
    assert finding.location is not None
    assert (finding.location.file, finding.location.line) == (at(33).file, 33)
