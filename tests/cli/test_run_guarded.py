"""``pycuda-guard run`` on programs with bugs: status, report, JSON, and what else is asked of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from guard_processes import run_guard

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

PROGRAM = """
import sys
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda

memory = cuda.mem_alloc(400)
host = np.zeros(100)
bug = sys.argv[1] if len(sys.argv) > 1 else ""
if bug == "warning":
    event = cuda.Event()
    cuda.Stream().wait_for_event(event)
elif bug:
    for _ in range(3):
        try:
            cuda.memcpy_htod(memory, host)
        except cuda.LogicError:
            pass
if bug == "dies":
    import os
    os.kill(os.getpid(), 9)
if bug == "status":
    sys.exit(5)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("options", "bug", "status"),
    [
        ([], "", 0),
        ([], "error", 1),
        (["--fail-on", "never"], "error", 0),
        (["--fail-on", "never"], "status", 5),
        ([], "status", 5),
        ([], "warning", 0),
        (["--fail-on", "warning"], "warning", 1),
        (["--bare"], "error", 0),
        ([], "dies", -9),
    ],
)
def test_exit_status(options: list[str], bug: str, status: int, program: Path) -> None:
    done = run_guard("run", "--device", "cpu", *options, program, bug)
    assert done.returncode == status, done.stderr


def test_report_and_json(program: Path, tmp_path: Path) -> None:
    done = run_guard("run", "--device", "cpu", "--json", "out.json", "program.py", "error", cwd=tmp_path)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error[PG201] copy-out-of-bounds: ")
    assert lines[1] == "  --> program.py:16   cuda.memcpy_htod(memory, host)"
    assert "error[PG201] program.py:16: 3 times in all" in lines
    assert any(line.startswith("pycuda-guard: 1 error on the CPU device (") for line in lines[-2:])
    (finding,) = json.loads((tmp_path / "out.json").read_text())["findings"]
    assert (finding["code"], finding["count"]) == ("PG201", 3)
    assert finding["location"] == {"file": str(program), "line": 16, "function": "<module>"}


def test_quiet_says_nothing_about_a_clean_program(program: Path, tmp_path: Path) -> None:
    done = run_guard("run", "--quiet", "--json", "out.json", "program.py", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads((tmp_path / "out.json").read_text()) == {"version": 1, "findings": [], "suppressed": []}


def test_the_programs_folder_is_not_the_reports(program: Path, tmp_path: Path) -> None:
    program.write_text("import os, tempfile\nos.chdir(tempfile.gettempdir())\n" + PROGRAM, encoding="utf-8")
    run_guard("run", "--device", "cpu", "--json", "out.json", "program.py", "error", cwd=tmp_path)
    assert len(json.loads((tmp_path / "out.json").read_text())["findings"]) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing.py"], "can't open missing.py: No such file or directory"),
        ([], "no program to run"),
        (["--device", "tpu", "program.py"], "device can't be 'tpu' (allowed are auto, cpu, gpu)"),
        (["--fail-on=all", "program.py"], "fail_on can't be 'all'"),
        (["--json", "no/such/folder/out.json", "program.py"], "can't be written to no/such/folder/out.json"),
        (["--json", ".", "program.py"], "not a regular file"),
        (["--unknown", "program.py"], "pycuda-guard run has no option --unknown"),
    ],
)
def test_what_can_not_start_exits_with_2(
    arguments: list[str], words: str, program: Path, tmp_path: Path
) -> None:
    program.write_text("print('ran')", encoding="utf-8")
    done = run_guard("run", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_hidden_gpu_is_no_gpu(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    done = run_guard("run", "--device", "gpu", program)
    assert done.returncode == 2
    assert "there is no GPU to use: CUDA_VISIBLE_DEVICES=-1 hides every GPU" in done.stderr
    done = run_guard("run", program)
    assert done.stderr.splitlines()[0] == "pycuda-guard: no GPU found, using the CPU device"


def test_environment_sets_options(program: Path) -> None:
    variables = {"PYCUDA_GUARD_FAIL_ON": "never", "PYCUDA_GUARD_DEVICE": "cpu"}
    assert run_guard("run", program, "error", variables=variables).returncode == 0
    assert run_guard("run", "--fail-on", "error", program, "error", variables=variables).returncode == 1


def test_enable_inside_a_guarded_program_changes_nothing(tmp_path: Path) -> None:
    text = "import pycuda_guard\npycuda_guard.enable(json='other.json')\n" + PROGRAM
    (tmp_path / "program.py").write_text(text, encoding="utf-8")
    done = run_guard("run", "--device", "cpu", "program.py", "error", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count(" rules on)") == 1
    assert not (tmp_path / "other.json").exists()


def test_demo_shows_both_bugs_and_exits_with_1(tmp_path: Path) -> None:
    done = run_guard("demo", cwd=tmp_path)
    assert done.returncode == 1
    assert "error[PG301]" in done.stderr
    assert "error[PG201]" in done.stderr
    assert "memcpy_dtoh(y, y_gpu)" in done.stdout
    assert "PyCUDA says: cuMemcpyDtoH failed: invalid argument" in done.stdout


#: what the guard of this version says of each example: the severest findings
EXAMPLE_FINDINGS = {
    "missing_synchronization.py": {"PG103"},
    "undersized_allocation.py": {"PG201"},
    "short_grid.py": {"PG301"},
    "invalid_argument.py": {"PG401"},
    "wrong_pointer.py": {"PG204"},
}


def test_every_example_is_listed() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(EXAMPLE_FINDINGS)
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for name, codes in EXAMPLE_FINDINGS.items():
        row = next(line for line in readme.splitlines() if name in line)
        assert all(code in row for code in codes)


@pytest.mark.parametrize("name", EXAMPLE_FINDINGS)
def test_examples_run_to_their_end(name: str, tmp_path: Path) -> None:
    done = run_guard("run", "--device", "cpu", "--json", tmp_path / "out.json", EXAMPLES / name)
    found = json.loads((tmp_path / "out.json").read_text())["findings"]
    assert {finding["code"] for finding in found if finding["severity"] != "note"} == EXAMPLE_FINDINGS[name]
    assert done.returncode == bool(EXAMPLE_FINDINGS[name])
    assert done.stdout.count("\n") == 1
    assert "Traceback" not in done.stderr
