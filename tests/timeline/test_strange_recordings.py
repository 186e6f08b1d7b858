"""Recordings may hold anything that their format allows: every way to show them takes it."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from made_up.anything import any_event, of_type
from made_up.recordings import SITE, record

from pycuda_guard.cli import main
from pycuda_guard.events import codec, model as m
from pycuda_guard.findings import Finding, KernelLocation, Location, Severity
from pycuda_guard.reports import html, table
from pycuda_guard.reports.perfetto import TraceWriter
from pycuda_guard.reports.run import Run
from pycuda_guard.reports.tracks import Tracks

if TYPE_CHECKING:
    from pathlib import Path

_CONTROL = {chr(code) for code in (*range(32), *range(127, 160))}

EVENTS = st.lists(any_event(), max_size=12)
strange = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Recorded:
    """Events in place of a recording."""

    def __init__(self, events: list[m.Event]) -> None:
        self.path = "run.pgr"
        self.share = 1.0
        self.start = codec.Start(process=-1, started=float("inf"), arguments=("",))
        self.sources: dict[str, str] = {}
        self.problems: list[str] = []
        self.is_damaged = False
        self.made = events

    def events(self) -> list[m.Event]:
        return self.made


def numbered(events: list[m.Event]) -> list[m.Event]:
    for number, event in enumerate(events, 1):
        event.sequence = number
    return events


@given(EVENTS)
@strange
def test_rows_lines_and_traces(events: list[m.Event]) -> None:
    rows = list(Tracks().rows(numbered(events)))
    lines = [table.line(row, 0) for row in rows]
    assert all(len(line.splitlines()) == 1 and not set(line) & _CONTROL for line in lines)
    out = io.StringIO()
    writer = TraceWriter(out, 0)
    writer.write(1, "program", rows, [])
    writer.close()
    document = json.loads(out.getvalue())
    assert len(document["traceEvents"]) >= len(rows)
    assert all(event.get("ts", 0) >= 0 and event.get("dur", 0) >= 0 for event in document["traceEvents"])


@given(EVENTS)
@strange
def test_pages(events: list[m.Event]) -> None:
    found = []
    for event in numbered(events):
        site = event.site
        place = None if site is None else Location(site.file, site.line)
        kernel = KernelLocation(str(getattr(event, "function", "")))
        found.append(
            Finding("PG302", "made-up", Severity.ERROR, "message", "", place, kernel, event=event.sequence)
        )
    run = Run(tuple(found), "", frozenset(), (), True, recordings=(Recorded(events),))  # type: ignore[arg-type]
    assert html.page(run).endswith("</html>\n")


@given(
    of_type(m.Launch),
    of_type(m.KernelReport),
    of_type(m.Contents),
    of_type(m.Copy),
    st.integers(-5, 2**40),
    st.lists(st.integers(0, 70_000), max_size=3),
)
@strange
def test_pictures(
    launch: m.Launch, report: m.KernelReport, contents: m.Contents, copy: m.Copy, nbytes: int, grid: list[int]
) -> None:
    """What a picture is made of fits together, and its numbers are any."""
    launch.site = report.site = copy.site = contents.site = SITE
    launch.grid, launch.block = tuple(grid), (32, 4, 1)
    launch.function = report.access.function = "step"
    contents.cause, contents.nbytes = 2, nbytes
    place, kernel = Location(SITE.file, SITE.line), KernelLocation("step")
    found = [
        Finding("PG302", "made-up", Severity.ERROR, "message", "", place, kernel, event=number)
        for number in (3, 4)
    ]
    events = numbered([launch, copy, report, contents])
    run = Run(tuple(found), "", frozenset(), (), True, recordings=(Recorded(events),))  # type: ignore[arg-type]
    assert (">Blocks of the grid" in html.page(run)) == all(grid)


@given(events=EVENTS)
@strange
def test_parquet_files(tmp_path: Path, events: list[m.Event]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (the extra parquet)")
    assert not record(tmp_path / "run.pgr", numbered(events))
    out = tmp_path / "run.parquet"
    assert main(["timeline", str(tmp_path / "run.pgr"), "--parquet", str(out)]) == 0
    assert parquet.read_table(out).num_rows == len(events)
