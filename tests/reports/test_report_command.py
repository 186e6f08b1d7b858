"""``pycuda-guard report`` reads recordings, folders of them and files of findings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
from made_up import recordings
from made_up.memory import A
from made_up.recordings import SITE
from sarif_subset import SUBSET

from pycuda_guard import cli
from pycuda_guard.callsite import Site
from pycuda_guard.events import model as m
from pycuda_guard.reports.formats import FORMATS

if TYPE_CHECKING:
    from pycuda_guard.reports.run import Run

ROOT = Path(__file__).resolve().parents[2]


def record(path: Path, *, is_wrong: bool, has_ended: bool = True, copies: int = 1, site: Site = SITE) -> str:
    """Record a program that copies 400 bytes into an allocation of 400, or of 100, and return the path."""
    nbytes = 100 if is_wrong else 400
    events: list[m.Event] = [m.Allocated(site, 11, 31, "mem_alloc", A, nbytes, m.MemoryKind.DEVICE)]
    for _ in range(copies):
        source = m.HostOperand(0x1000_0000, m.Extent(400), 400)
        target = m.DeviceOperand(A, m.Extent(400))
        events.append(m.Copy(site, 11, 31, "memcpy_htod", m.CopyKind.HTOD, target, source))
    if has_ended:
        events.append(m.RunEnded(None, 11, 0))
    assert recordings.record(path, recordings.numbered(*events)) == []
    return str(path)


def run_of(*paths: Path) -> Run:
    """Return the run that the command reads from these files and folders."""
    held: list[Run] = []

    def write(run: Run) -> str:
        held.append(run)
        return ""

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FORMATS, "json", replace(FORMATS["json"], write=write))
        cli.main(["report", "--format=json", *map(str, paths)])
    (run,) = held
    return run


def damage(path: str) -> None:
    data = bytearray(Path(path).read_bytes())
    data[-5000] ^= 1
    Path(path).write_bytes(data)


def codes(text: str) -> list[tuple[str, int]]:
    return [(finding["code"], finding["count"]) for finding in json.loads(text)["findings"]]


def test_terminal_report_is_that_of_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(tmp_path / "run.pgr", is_wrong=True)
    assert cli.main(["check", path]) == 1
    checked = capsys.readouterr()
    assert "error[PG201]" in checked.out
    assert cli.main(["report", path]) == 0
    assert capsys.readouterr() == checked
    assert cli.main(["report", path, "-o", str(tmp_path / "out.txt")]) == 0
    assert (tmp_path / "out.txt").read_text() == checked.out


def test_a_folder_is_its_recordings_merged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path / "a.pgr", is_wrong=True)
    record(tmp_path / "other_name", is_wrong=True)
    record(tmp_path / "c.pgr", is_wrong=False, has_ended=False)
    (tmp_path / "notes.txt").write_text("no recording")
    run = run_of(tmp_path)
    assert len(run.recordings) == 3
    assert not run.has_ended
    assert any("the recording stops before it" in spot for spot in run.blind)
    assert cli.main(["report", str(tmp_path), "--format=json"]) == 0
    assert codes(capsys.readouterr().out) == [("PG201", 2)]


def test_a_file_of_findings_is_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(tmp_path / "run.pgr", is_wrong=True)
    cli.main(["check", "--json", str(tmp_path / "findings.json"), path])
    capsys.readouterr()
    assert cli.main(["report", "--format=json", str(tmp_path / "findings.json")]) == 0
    assert capsys.readouterr().out == (tmp_path / "findings.json").read_text()
    run = run_of(tmp_path / "findings.json")
    assert (run.recordings, run.live) == ((), frozenset())
    assert cli.main(["report", "--format=json", str(tmp_path / "findings.json"), path]) == 0
    assert codes(capsys.readouterr().out) == [("PG201", 2)]


@pytest.mark.parametrize("name", FORMATS)
def test_of_a_damaged_recording_what_precedes_the_damage_is_reported(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record(tmp_path / "run.pgr", is_wrong=True, copies=100)
    damage(path)
    assert cli.main(["report", path, "--format", name]) == 2
    printed = capsys.readouterr()
    assert "is damaged; nothing after it is read" in printed.err
    assert "PG201" in printed.out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("text", "is not a recording"),
        ("", "is empty, not a recording"),
        ("{}", "is not a file of findings: Object missing required field `version`"),
        ('{"version": 1, "findings": [{"code": 1}]}', "is not a file of findings: Expected `str`"),
        ('{"version": 2, "findings": []}', "schema version 2; this pycuda_guard reads version 1"),
        ("[" * 100_000, "is not a file of findings: "),
    ],
)
def test_what_is_neither_is_one_line(
    tmp_path: Path, content: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").write_text(content)
    assert cli.main(["report", str(tmp_path / "other")]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert words in printed.err


@pytest.mark.parametrize(
    ("name", "words"),
    [("", "there is no recording in "), ("missing", "can't open "), ("file/x", "can't open ")],
)
def test_an_empty_folder_and_a_missing_file_are_named(
    tmp_path: Path, name: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no recording")
    assert cli.main(["report", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.startswith(f"pycuda-guard: {words}{tmp_path}")


@pytest.mark.parametrize(
    ("out", "why"),
    [("missing/out.json", "No such file"), ("run.pgr/out", "Not a directory"), (".", "regular")],
)
def test_unwritable_places_are_known_before_anything_is_read(
    tmp_path: Path, out: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record(tmp_path / "run.pgr", is_wrong=True)
    assert cli.main(["report", path, "-o", str(tmp_path / out)]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"pycuda-guard: the report can't be written to {tmp_path / out}: ")
    assert why in printed.err
    assert [file.name for file in tmp_path.iterdir()] == ["run.pgr"]


def test_a_report_that_can_not_be_made_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")
    (tmp_path / "other").write_text("text")
    assert cli.main(["report", str(tmp_path / "other"), "-o", str(tmp_path / "out")]) == 2
    assert (tmp_path / "out").read_text() == "old"
    assert {file.name for file in tmp_path.iterdir()} == {"out", "other"}


def test_sarif_tells_about_the_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record(tmp_path / "run.pgr", is_wrong=True, copies=100)
    for status in (0, 2):
        assert cli.main(["report", path, "--format=sarif"]) == status
        document = json.loads(capsys.readouterr().out)
        jsonschema.validate(document, SUBSET, format_checker=jsonschema.FormatChecker())
        (run,) = document["runs"]
        (invocation,) = run["invocations"]
        assert invocation["processId"] == os.getpid()
        assert invocation["workingDirectory"]["uri"] == f"{Path.cwd().as_uri()}/"
        assert invocation["executionSuccessful"] is (status == 0)
        texts = [note["message"]["text"] for note in invocation["toolExecutionNotifications"]]
        assert any("is damaged" in text for text in texts) is (status == 2)
        damage(path)


def test_files_are_named_relative_to_the_folder_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run was elsewhere: its folder stands for the root, unless its files are in the current one."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    script = Site(str(tmp_path / "elsewhere" / "sub" / "script.py"), 3, "main")
    path = record(tmp_path / "run.pgr", is_wrong=True, site=script)
    for folder, name in (("elsewhere", "sub/script.py"), (".", "elsewhere/sub/script.py"), ("/", None)):
        monkeypatch.chdir(tmp_path / folder)
        assert cli.main(["report", path, "--format=github"]) == 0
        name = name or str(script.file).lstrip("/")
        assert f"::error file={name},line=3,title=PG201" in capsys.readouterr().out
    (tmp_path / "third").mkdir()
    monkeypatch.chdir(tmp_path / "third")
    assert cli.main(["report", path, "--format=github"]) == 0
    assert "::error file=sub/script.py,line=3," in capsys.readouterr().out


def test_events_can_be_read_again_after_the_replay(tmp_path: Path) -> None:
    path = record(tmp_path / "run.pgr", is_wrong=True, copies=100)
    damage(path)
    (recording,) = run_of(Path(path)).recordings
    first = [event.sequence for event in recording.events()]
    assert first == [event.sequence for event in recording.events()]
    assert len(first) > 50
    assert len(recording.problems) == 1


def test_needs_neither_pycuda_nor_numpy(tmp_path: Path) -> None:
    path = record(tmp_path / "run.pgr", is_wrong=True)
    script = f"""
import sys
for name in ("pycuda", "numpy", "llvmlite", "wrapt", "pytools"):
    sys.modules[name] = None
from pycuda_guard.cli import main
sys.exit(max(main(["report", {path!r}, "--format", name]) for name in {list(FORMATS)!r}))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "error[PG201]" in done.stdout


def test_how_much_was_read_grows_to_the_end(tmp_path: Path) -> None:
    path = record(tmp_path / "run.pgr", is_wrong=False, copies=2000)
    (recording,) = run_of(Path(path)).recordings
    shares = [recording.share for _ in recording.events()]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert len(set(shares)) > 3
    assert recording.share <= 1


@pytest.mark.parametrize("name", FORMATS)
def test_a_current_folder_that_is_gone_harms_no_report(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = record(tmp_path / "run.pgr", is_wrong=True)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert cli.main(["report", path, "--format", name]) == 0
    assert "PG201" in capsys.readouterr().out
