"""Commands that read long recordings, on a real terminal and in a pipe."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from made_up.memory import alloc
from made_up.recordings import numbered, record

ROOT = Path(__file__).resolve().parents[2]

#: the command line without its patience: whatever takes any time at all is long
IMPATIENT = """
import sys
from pycuda_guard import cli, progress
progress.Meter.__init__.__kwdefaults__.update(patience=0, refresh=0)
sys.exit(cli.main(sys.argv[1:]))
"""

COMMANDS = [
    ("reading", ["check", "run.pgr"]),
    ("reading", ["report", "--format", "json", "-o", "out.json", "run.pgr"]),
    ("drawing", ["report", "--format", "html", "-o", "out.html", "run.pgr"]),
    ("writing", ["timeline", "--perfetto", "out.perfetto", "run.pgr"]),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a recording of some blocks."""
    path = tmp_path_factory.mktemp("long")
    events = [alloc(4096 * number, 400) for number in range(1, 1501)]
    assert not record(path / "run.pgr", numbered(*events, step=1))
    return path


def run(folder: Path, arguments: list[str], stderr: int) -> int:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYCUDA_GUARD_")}
    return subprocess.run(
        [sys.executable, "-c", IMPATIENT, *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        timeout=120,
        check=False,
    ).returncode


@pytest.mark.parametrize(("word", "arguments"), COMMANDS)
def test_on_a_terminal_they_say_how_far_they_are_and_clean_up(
    folder: Path, word: str, arguments: list[str], tmp_path: Path
) -> None:
    ours, theirs = pty.openpty()
    with (tmp_path / "shown").open("w+b") as shown:
        # somebody reads meanwhile: a terminal takes little that nobody has read
        with subprocess.Popen(["cat"], stdin=ours, stdout=shown, stderr=subprocess.DEVNULL):
            os.close(ours)
            try:
                assert run(folder, arguments, theirs) == 0
            finally:
                os.close(theirs)
        shown.seek(0)
        text = shown.read().decode()
    steps = [int(share) for share in re.findall(rf"\r{word} \S+ … (\d+)%", text)]
    assert steps == sorted(steps) and len(set(steps)) > 1
    assert re.search(r"\r +\r$", text), "the line stays"


@pytest.mark.parametrize(("word", "arguments"), COMMANDS)
def test_in_a_pipe_they_say_nothing(folder: Path, word: str, arguments: list[str], tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("w+b") as pipe:
        assert run(folder, arguments, pipe.fileno()) == 0
        pipe.seek(0)
        assert pipe.read() == b""
