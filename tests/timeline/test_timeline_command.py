"""``pycuda-guard timeline``: the table, its filters, traces and Parquet files."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from made_up.recordings import START, numbered, record
from made_up.streams import stream
from made_up_timelines import FIRST, dtoh, launch, synchronized, where

from pycuda_guard.cli import main
from pycuda_guard.events import model as m

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("streams_program.py")

needs_pycuda = pytest.mark.skipif(
    importlib.util.find_spec("pycuda") is None, reason="the program uses PyCUDA"
)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recording of a real program."""
    path = tmp_path_factory.mktemp("timeline") / "run.pgr"
    command = [sys.executable, "-m", "pycuda_guard", "run", "--device", "cpu", "--record", str(path)]
    ran = subprocess.run(
        [*command, str(PROGRAM)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 1, ran.stderr
    return path


def table(capsys: pytest.CaptureFixture[str], *arguments: object, status: int = 0) -> list[str]:
    """Run the command and return the lines of its table without the head."""
    assert main(["timeline", *map(str, arguments)]) == status
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[-1] == "line"
    return lines[1:]


def line_of(text: str) -> int:
    """Return the number of the first line of the program that ``text`` is in."""
    lines = PROGRAM.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def small(path: Path) -> Path:
    """Make a recording of a few events."""
    events = [stream(FIRST), launch(FIRST), launch(name="scan"), dtoh(), m.RunEnded(None, 11, 0)]
    assert not record(path, numbered(*events, step=1_000_000))
    return path


# --- the table --------------------------------------------------------------------------------


@needs_pycuda
def test_one_line_an_event(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = table(capsys, recording)
    assert [int(line.split()[0]) for line in lines] == list(range(1, len(lines) + 1))
    times = [float(line.split()[1]) for line in lines]
    assert times == sorted(times) and times[0] == 0
    (copy,) = [line for line in lines if "memcpy_dtoh " in line]
    assert copy.split()[2:5] == ["1", "default", "stream"]
    assert (
        "4000 B" in copy and "c, c_gpu" in copy and f"{PROGRAM.name}:{line_of('cuda.memcpy_dtoh(')}" in copy
    )
    assert any("step" in line and "grid 3×1 block 256×1×1" in line for line in lines)


@needs_pycuda
def test_filters(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on_second = table(capsys, recording, "--stream", "2")
    assert on_second and all("stream 2" in line for line in on_second)
    on_default = table(capsys, recording, "--stream", "default")
    assert on_default and all("default stream" in line for line in on_default)
    assert len(table(capsys, recording, "--kernel", "st*")) == 4
    assert table(capsys, recording, "--kernel", "other") == []
    about = table(capsys, recording, "--buffer", "c_gpu")
    assert about and all("c_gpu" in line for line in about)
    assert len(table(capsys, recording, "--limit", 3)) == 3
    everything = table(capsys, recording)
    moment = sum(float(line.split()[1]) for line in everything[9:11]) / 2
    assert table(capsys, recording, "--since", moment) == everything[10:]
    assert table(capsys, recording, "--until", moment) == everything[:10]


def test_processes_are_merged_by_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    early, late = numbered(launch(), launch(), step=2000), numbered(dtoh(), dtoh(), step=3000)
    assert not record(tmp_path / "a.pgr", late)
    assert not record(tmp_path / "b.pgr", early)
    assert main(["timeline", str(tmp_path)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[0] == "process"
    assert [line.split()[2] for line in lines] == ["0.000000", "0.000001", "0.000002", "0.000004"]
    assert [int(line.split()[0]) for line in lines] == [os.getpid()] * 4
    assert ["step" in line for line in lines] == [True, False, True, False]


def test_what_precedes_the_damage_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.pgr"
    assert not record(path, numbered(*[launch() for _ in range(50)]))
    data = bytearray(path.read_bytes())
    data[data.rindex(b"step", 0, data.rindex(b"step")) + 1] ^= 0x10
    path.write_bytes(data)
    assert main(["timeline", str(path)]) == 2
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 1 + 48
    assert "damaged" in captured.err


def test_texts_of_the_program_stay_on_their_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.pgr"
    assert not record(path, numbered(launch(name="a\x1b[31m\nb\u202e")))
    (line,) = table(capsys, path)
    assert line.isprintable() and "a\\x1b[31m b\\u202e" in line


@pytest.mark.parametrize("arguments", [["missing.pgr"], [__file__], ["--parquet", "/no/such/t", "FILE"]])
def test_what_can_not_be_read_or_written(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(small(tmp_path / "run.pgr"))
    assert main(["timeline", *[path if argument == "FILE" else argument for argument in arguments]]) == 2
    assert capsys.readouterr().err.startswith("pycuda-guard: ")


# --- traces -----------------------------------------------------------------------------------

_FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "M": {"name": str, "args": dict},
    "X": {"name": str, "cat": str, "ts": (int, float), "dur": (int, float), "args": dict},
    "i": {"name": str, "cat": str, "ts": (int, float), "s": str, "args": dict},
    "s": {"name": str, "cat": str, "ts": (int, float), "id": int},
    "f": {"name": str, "cat": str, "ts": (int, float), "id": int, "bp": str},
}
_OPTIONAL = {"cname"}


def trace(path: Path, out: Path) -> list[dict[str, Any]]:
    """Write a trace and return its events, each checked against the trace event format."""
    assert main(["timeline", str(path), "--perfetto", str(out)]) == 0
    document = json.loads(out.read_text(encoding="utf-8"))
    assert document["displayTimeUnit"] == "ns"
    events: list[dict[str, Any]] = document["traceEvents"]
    for event in events:
        fields = _FIELDS[event["ph"]] | {"pid": int, "tid": int, "ph": str}
        assert set(event) - _OPTIONAL == set(fields), event
        assert all(isinstance(event[name], kind) for name, kind in fields.items()), event
        assert event.get("ts", 0) >= 0 and event.get("dur", 0) >= 0
        assert event.get("s", "t") in ("t", "p", "g") and event.get("bp", "e") == "e"
    return events


def check_tracks(events: list[dict[str, Any]]) -> dict[tuple[int, int], str]:
    """Return the names of the tracks; slices of one track must not overlap, arrows must join slices."""
    names = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    slices: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for event in events:
        if event["ph"] == "X":
            span = event["ts"], event["ts"] + event["dur"]
            slices.setdefault((event["pid"], event["tid"]), []).append(span)
        assert event["ph"] == "M" or (event["pid"], event["tid"]) in names
    for spans in slices.values():
        spans.sort()
        assert all(end <= start + 1e-3 for (_, end), (start, _) in pairwise(spans))
    ends = [event for event in events if event["ph"] in "sf"]
    for end in ends:
        spans = slices[end["pid"], end["tid"]]
        assert sum(start < end["ts"] < stop for start, stop in spans) == 1
    for number in {event["id"] for event in ends}:
        start, finish = (event for event in ends if event["id"] == number)
        assert (start["ph"], finish["ph"]) == ("s", "f") and start["ts"] <= finish["ts"]
    return names


@needs_pycuda
def test_a_trace_of_a_program(recording: Path, tmp_path: Path) -> None:
    events = trace(recording, tmp_path / "run.json")
    names = check_tracks(events)
    assert sorted(names.values()) == [
        "default stream",
        "findings",
        "host thread 1",
        "stream 1",
        "stream 2",
    ]
    steps = [event for event in events if event["ph"] == "X" and event["name"] == "step"]
    assert [names[event["pid"], event["tid"]] for event in steps] == ["stream 1"] * 3 + ["default stream"]
    assert steps[0]["args"]["buffers"] == "a_gpu"
    arrows = [event for event in events if event["ph"] == "f" and event["name"] == "waits for the event"]
    assert [names[event["pid"], event["tid"]] for event in arrows] == ["stream 2"] * 2
    (race,) = [event for event in events if event.get("cat") == "finding" and "PG103" in event["name"]]
    place = f"{PROGRAM}:{line_of('memcpy_dtod_async')}"
    assert race["args"]["severity"] == "error" and race["args"]["line"] == place
    copies = [event for event in events if event["ph"] == "X" and event["args"]["line"] == place]
    assert [copy["ts"] == race["ts"] for copy in copies] == [False, True, False]


def test_a_trace_of_waits(tmp_path: Path) -> None:
    path = tmp_path / "run.pgr"
    assert not record(
        path, numbered(stream(FIRST), launch(FIRST), launch(FIRST), synchronized("stream", FIRST), dtoh())
    )
    events = trace(path, tmp_path / "run.json")
    names = check_tracks(events)
    slices = [event for event in events if event["ph"] == "X"]
    spans = [
        (event["name"], names[event["pid"], event["tid"]], event["ts"], event["dur"]) for event in slices
    ]
    assert spans == [
        ("step", "stream 1", 1.0, 1.0),
        ("step", "stream 1", 2.0, 1.0),
        ("stream synchronized", "host thread 1", 2.0, 1.0),
        ("memcpy_dtoh", "default stream", 4.0, 0.002),
    ]
    assert slices[1]["args"]["done by event"] == 4


def test_hostile_names_in_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "run.pgr"
    name = '"}]</script>\\\x00\u2028'
    assert not record(path, numbered(launch(name=name)))
    events = trace(path, tmp_path / "run.json")
    assert [event["name"] for event in events if event["ph"] == "X"] == [name]


# --- Parquet ----------------------------------------------------------------------------------


def test_a_parquet_file_has_a_row_an_event(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (the extra parquet)")
    out = tmp_path / "run.parquet"
    assert main(["timeline", str(small(tmp_path / "run.pgr")), "--parquet", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}: 5 events\n"
    written = parquet.read_table(out)
    assert [moment.value for moment in written["time"]] == [START + n * 1_000_000 for n in range(1, 6)]
    read = written.drop_columns("time").to_pylist()
    assert [row["event"] for row in read] == [1, 2, 3, 4, 5]
    assert [row["what"] for row in read[1:4]] == ["step", "scan", "memcpy_dtoh"]
    assert [row["stream"] for row in read] == [
        "stream 1",
        "stream 1",
        "default stream",
        "default stream",
        None,
    ]
    assert read[3]["nbytes"] == 400 and read[3]["line"] == 20 and read[4]["file"] is None
    assert read[2]["after"] == [2] and read[2]["buffers"] == ["0xd0000000"]


def test_the_extra_is_named_where_pyarrow_is_missing(tmp_path: Path) -> None:
    path = small(tmp_path / "run.pgr")
    code = (
        "import sys\n"
        "sys.modules['pyarrow'] = None  # as if it could not be found\n"
        "from pycuda_guard.cli import main\n"
        f"sys.exit(main(['timeline', {str(path)!r}, '--parquet', {str(tmp_path / 't')!r}]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert ran.stderr == "pycuda-guard: Parquet files need pyarrow (pip install 'pycuda-guard[parquet]')\n"


def test_failures_say_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.pgr"
    failed = m.CallFailed(
        *where(40), "memcpy_dtoh", 1, "LogicError", "cuMemcpyDtoH failed", "invalid argument"
    )
    assert not record(path, numbered(dtoh(), failed))
    assert "memcpy_dtoh raised LogicError: invalid argument" in table(capsys, path)[1]
