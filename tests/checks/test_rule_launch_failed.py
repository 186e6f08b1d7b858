"""PG405 over hand-made events."""

from __future__ import annotations

import pytest
from made_up.copies import dtoh, host
from made_up.kernels import arg, kernel, launch, module, ptr
from made_up.memory import A, alloc
from made_up.process import ILLEGAL, ended, failed
from made_up.streams import S1, stream, synchronize
from made_up.verdicts import codes, findings

from pycuda_guard.events import model as m
from pycuda_guard.findings import Severity

FIRING = {
    "found by a copy": [alloc(A, 400), launch("k", ptr(A), line=10), dtoh(host(100), A), failed(ILLEGAL)],
    "found by a synchronize": [launch("k", line=10), failed(ILLEGAL, nth=0)],
    "found by the next launch": [launch("k", line=10), launch("k", line=11), failed(ILLEGAL)],
    "the host has waited for the others": [
        launch("k", line=9),
        synchronize(),
        launch("k", line=10),
        failed("misaligned address", nth=0),
    ],
    "on another stream": [
        stream(S1, 1),
        launch("k", stream=S1, line=10),
        failed("the launch timed out and was terminated", nth=0),
    ],
    "nothing to blame": [failed(ILLEGAL, nth=0, line=10)],
}
SILENT = {
    "no failure": [launch("k"), synchronize()],
    "failure of the call itself": [launch("k"), failed("invalid argument")],
    "failure without a status": [launch("k"), failed(error="TypeError", message="wrong type")],
    "out of memory": [launch("k"), failed("out of memory", nth=0)],
    "explained by its arguments": [
        module(kernel("k", "int n")),
        launch("k", arg("int64", 5)),
        failed(ILLEGAL, nth=0),
    ],
    "explained by a null pointer": [
        module(kernel("k", "int *x")),
        launch("k", arg("int64", 0)),
        failed(ILLEGAL, nth=0),
    ],
}


@pytest.mark.parametrize("events", FIRING.values(), ids=FIRING)
def test_fires_at_the_launch(events: list[m.Event]) -> None:
    assert [found for found in codes(*events) if found[0] != "PG104"] == [("PG405", 10)]


@pytest.mark.parametrize("events", SILENT.values(), ids=SILENT)
def test_stays_silent(events: list[m.Event]) -> None:
    assert not codes(*events, among=["PG405"])


def test_the_failures_after_the_first_are_its_echo() -> None:
    events = [launch("k", line=10)] + [failed(ILLEGAL, nth=0, line=line) for line in (20, 21, 22)]
    assert codes(*events) == [("PG405", 10)]


def test_several_suspects_are_named() -> None:
    (finding,) = findings(launch("f", line=10), launch("g", line=11), failed(ILLEGAL, nth=0, line=12))
    assert finding.message.startswith("one of 2 launches failed, of which this is the first (kernel `f`)")
    assert [r.line for r in finding.related] == [12, 11]


def test_the_device_may_name_the_kernel() -> None:
    reason = f"{ILLEGAL}: kernel g, block (1, 0, 0), thread (3, 0, 0), address 0x70000000000"
    (finding,) = findings(launch("f", line=10), launch("g", line=11), failed(reason, nth=0, line=12))
    assert finding.location is not None and finding.location.line == 11
    assert finding.message == (
        f"kernel `g` failed: {ILLEGAL} (block (1, 0, 0), thread (3, 0, 0), address 0x70000000000)"
    )


def test_it_stays_an_error_when_the_program_catches_it() -> None:
    (finding,) = findings(launch("k"), failed(ILLEGAL, nth=0), ended())
    assert finding.severity is Severity.ERROR


def waited(status: str = "", thread: int = 11) -> m.LaunchFinished:
    """The host has waited for the last launch of a thread."""
    return m.LaunchFinished(None, thread, 31, status, f"cuCtxSynchronize failed: {status}")


def test_the_launch_that_was_waited_for_is_to_blame_alone() -> None:
    events = [launch("j", line=9), waited(), launch("k", line=10), waited(ILLEGAL)]
    events += [dtoh(host(100), A, line=20), failed(ILLEGAL), ended((6,))]
    (finding,) = findings(*events)
    assert (finding.code, finding.location.line, finding.related) == ("PG405", 10, ())
    assert finding.severity is Severity.ERROR


def test_launches_that_were_waited_for_are_not_to_blame() -> None:
    events = [launch("j", line=8), waited(), launch("k", line=9), waited(), launch("l", line=10)]
    (finding,) = findings(*events, failed(ILLEGAL, nth=0))
    assert (finding.location.line, finding.related[1:]) == (10, ())


def test_a_launch_that_is_explained_is_not_told_again_when_it_was_waited_for() -> None:
    events = [module(kernel("k", "int n")), launch("k", arg("int64", 5)), waited(ILLEGAL)]
    assert {code for code, _ in codes(*events)} == {"PG401"}


def test_a_refused_launch_that_was_waited_for_is_no_failed_kernel() -> None:
    assert codes(launch("k"), waited("invalid argument")) == []


DEADLOCK = (
    "the launch timed out and was terminated: kernel g, no thread of block (1,0,0) can go on: 16 wait at a "
    "barrier, 16 at a warp operation, 0 have exited"
)


def test_threads_that_wait_for_one_another_are_a_matter_of_their_barriers() -> None:
    events = [launch("f", line=10), launch("g", line=11)]
    events += [failed(DEADLOCK, nth=0, line=line) for line in (20, 21)]
    (finding,) = findings(*events)
    assert (finding.code, finding.location.line) == ("PG503", 11)
    assert (
        "no thread of block (1,0,0) can go on: 16 wait at a barrier, 16 at a warp operation"
        in finding.message
    )
    (waited_for,) = findings(launch("g", line=12), waited(DEADLOCK), failed(DEADLOCK, nth=0, line=20))
    assert (waited_for.code, waited_for.location.line) == ("PG503", 12)


def test_a_deadlock_of_nothing_that_is_known_is_a_failed_launch() -> None:
    assert codes(failed(DEADLOCK, nth=0, line=10)) == [("PG405", 10)]
