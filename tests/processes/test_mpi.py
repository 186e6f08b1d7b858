"""A program on four ranks of MPI: a file a rank in one folder, which every command takes for one run."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pycuda_guard import cli
from pycuda_guard.events.reader import read

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]

#: the launcher that the wheel of MPICH brings stands beside the interpreter
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")

for module in ("pycuda", "mpi4py"):
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"the program needs {module}", allow_module_level=True)
if MPIEXEC is None:
    pytest.skip("the program needs mpiexec: pip install mpich", allow_module_level=True)

PROGRAM = """
from mpi4py import MPI
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda

world = MPI.COMM_WORLD
stream, event = cuda.Stream(1), cuda.Event()
stream.wait_for_event(event)  # never recorded
part_gpu = cuda.to_device(np.full(100, world.rank + 1, np.float32))
part = np.empty(100, np.float32)
cuda.memcpy_dtoh(part, part_gpu)
if world.rank == 2:
    try:
        cuda.memcpy_dtod(part_gpu, part_gpu, 800)
    except cuda.LogicError:
        pass
whole = world.gather(part)
if world.rank == 0:
    print(np.concatenate(whole).sum())
"""


def on_four_ranks(folder: Path, arguments: list[str]) -> None:
    """Run Python on four ranks; it must print the program's sum."""
    done = subprocess.run(
        [str(MPIEXEC), "-n", "4", sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "1000.0\n"), done.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run the program guarded on four ranks and return the folder of its recordings."""
    folder = tmp_path_factory.mktemp("mpi")
    (folder / "program.py").write_text(PROGRAM)
    guarded = ["-m", "pycuda_guard", "run", "--device=cpu", "--fail-on=never", "--record=runs/", "program.py"]
    on_four_ranks(folder, guarded)
    before = Path.cwd()
    os.chdir(folder)
    yield folder / "runs"
    os.chdir(before)


def test_each_rank_has_a_file_that_says_whose_it_is(runs: Path) -> None:
    recordings = [read(str(file)) for file in sorted(runs.iterdir())]
    assert [recording.start.rank for recording in recordings] == [0, 1, 2, 3]
    assert {recording.start.host for recording in recordings} == {platform.node().partition(".")[0]}
    for recording in recordings:
        name = Path(recording.path).name
        assert name.startswith(f"rank000{recording.start.rank}.")
        assert name.endswith(f".{recording.start.process}.pgr")


def test_check_and_report_show_one_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--fail-on=warning", "--json=check.json", "runs"]) == 1
    shown = capsys.readouterr().out
    found = {one["code"]: one for one in json.loads(Path("check.json").read_text())["findings"]}
    assert (found["PG107"]["count"], found["PG201"]["count"]) == (4, 1)
    assert shown.count("] unrecorded-event: ") == shown.count("] copy-out-of-bounds: ") == 1
    assert cli.main(["report", "--format", "json", "runs"]) == 0
    reported = {one["code"]: one["count"] for one in json.loads(capsys.readouterr().out)["findings"]}
    assert reported == {code: one["count"] for code, one in found.items()}
    assert cli.main(["report", "--format", "html", "runs"]) == 0
    assert "rank 0, rank 1, rank 2, rank 3" in capsys.readouterr().out


def test_the_timeline_names_the_rank(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["timeline", "runs"]) == 0
    lines = capsys.readouterr().out.splitlines()[1:]
    assert {line.partition("  ")[0].strip() for line in lines} >= {"rank 0", "rank 1", "rank 2", "rank 3"}
    times = [float(line[8:].split()[1]) for line in lines if "memcpy" in line]
    assert times == sorted(times)
    assert cli.main(["timeline", "runs", "--perfetto", "trace.json"]) == 0
    trace = json.loads(Path("trace.json").read_text())["traceEvents"]
    titles = {one["args"]["name"] for one in trace if one["name"] == "process_name"}
    assert {title.partition(":")[0] for title in titles} == {"rank 0", "rank 1", "rank 2", "rank 3"}
    assert len({one["pid"] for one in trace}) == 4


def test_the_table_has_the_rank_and_the_machine(runs: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed (the extra parquet)")
    assert cli.main(["timeline", "runs", "--parquet", "run.parquet"]) == 0
    rows = parquet.read_table("run.parquet", columns=["rank", "host", "what"]).to_pylist()
    assert {row["rank"] for row in rows} == {0, 1, 2, 3}
    assert {row["host"] for row in rows} == {platform.node().partition(".")[0]}
    assert sum(row["what"] == "memcpy_dtod" for row in rows) == 1


def test_no_rank_writes_over_the_file_of_another(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    options = ["--device=cpu", "--fail-on=never", "--record=run.pgr", "--json=found.json"]
    on_four_ranks(tmp_path, ["-m", "pycuda_guard", "run", *options, "program.py"])
    recordings = sorted(tmp_path.glob("run*.pgr"))
    assert [file.name for file in recordings] == [f"run.rank000{rank}.pgr" for rank in range(4)]
    assert [read(str(file)).start.rank for file in recordings] == [0, 1, 2, 3]
    found = [json.loads(file.read_text())["findings"] for file in sorted(tmp_path.glob("found*.json"))]
    assert ["PG201" in {one["code"] for one in findings} for findings in found] == [False, False, True, False]
