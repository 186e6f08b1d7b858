"""Suppression in whole runs on the CPU device: status, last line, JSON, recordings, baselines, children."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("pycuda")

ROOT = Path(__file__).resolve().parents[2]

PROJECT = """
[tool.pycuda_guard]
device = "cpu"
ignore = ["PG104"]
[tool.pycuda_guard.per-kernel-ignores]
"past_*" = ["PG202"]
[tool.pycuda_guard.per-file-ignores]
"tools/*.py" = ["PG107"]
"sub/*.py" = ["PG106"]
"""

PROGRAM = '''\
import multiprocessing
import numpy as np
import pycuda.driver as cuda
import helping

def overrun(x):
    try:
        cuda.memcpy_htod(
            x,
            np.zeros(100),  # pycuda-guard: ignore[PG201] float64 is meant
        )
    except cuda.LogicError:
        pass

def child():
    import pycuda.autoinit
    overrun(cuda.mem_alloc(400))

if __name__ == "__main__":
    import pycuda.autoinit
    from pycuda.compiler import SourceModule

    module = SourceModule("""
    __global__ void shift(float *x)
    {
        x[threadIdx.x + 1] = 1;  // pycuda-guard: ignore[PG202] the last one is meant
    }
    __global__ void past_end(float *x)
    {
        x[threadIdx.x + 1] = 1;
    }
    """)
    x = cuda.mem_alloc(400)
    module.get_function("shift")(x, block=(100, 1, 1), grid=(1, 1))
    module.get_function("past_end")(x, block=(100, 1, 1), grid=(1, 1))
    helping.wait()
    cuda.memcpy_dtoh(np.empty(100, np.float32), x)
    overrun(x)
    y = cuda.mem_alloc(400)
    out = np.empty(100, np.float32)
    cuda.memcpy_dtoh(out, y)
    cuda.memcpy_dtoh(out, y)
    cuda.Context.synchronize()  # pycuda-guard: ignore[PG1] nothing here
    process = multiprocessing.get_context("spawn").Process(target=child)
    process.start()
    process.join()
'''

MADE = '''\
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda
from pathlib import Path
from pycuda.compiler import SourceModule

x = cuda.to_device(np.zeros(100, np.float32))

def launch(source, name):
    SourceModule(source).get_function(name)(x, block=(100, 1, 1))
    cuda.Context.synchronize()

launch(Path(__file__).with_name("shift.cu").read_text(), "shift")
for kind in ("one", "two"):
    launch(f"""
    __global__ void {kind}(float *x)
    {{
        x[threadIdx.x + 1] = 1;  // pycuda-guard: ignore[PG202] in a formatted text
    }}
    """, kind)
launch("""
__global__ void %s(float *x)
{
    x[threadIdx.x + 1] = 1;
    x[threadIdx.x] = 1;  // pycuda-guard: ignore[PG202] on the wrong line
}
""" % "percent", "percent")
'''

SHIFT = """\
__global__ void shift(float *x)
{
    x[threadIdx.x + 1] = 1;  // pycuda-guard: ignore[PG202] in a file
}
__global__ void idle(float *x)
{
    x[threadIdx.x + 1] = 1;  // pycuda-guard: ignore[PG202] never launched
}
"""

HELPING = """
import pycuda.driver as cuda

def wait():
    cuda.Stream().wait_for_event(cuda.Event())
"""


def guard(folder: Path, *arguments: str) -> SimpleNamespace:
    """Run a command of pycuda-guard and return its status, its words and the codes in out.json."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYCUDA_GUARD_")}
    paths = os.pathsep.join([str(ROOT), str(folder / "tools")])
    done = subprocess.run(
        [sys.executable, "-m", "pycuda_guard", *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    written = folder / "out.json"
    data = json.loads(written.read_text(encoding="utf-8")) if written.exists() else None
    words = " ".join((done.stderr + done.stdout).split())
    return SimpleNamespace(status=done.returncode, text=done.stderr + done.stdout, words=words, data=data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("project")
    (path / "sub").mkdir()
    (path / "tools").mkdir()
    (path / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (path / "sub" / "program.py").write_text(PROGRAM, encoding="utf-8")
    (path / "tools" / "helping.py").write_text(HELPING, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def live(folder: Path) -> SimpleNamespace:
    return guard(folder, "run", "--json", "out.json", "--record", "run.pgr", "sub/program.py")


def codes(data: dict[str, list[dict[str, object]]], key: str = "findings") -> list[object]:
    return sorted(one["code"] for one in data[key])


def test_what_is_silenced_fails_nothing_and_is_kept_with_its_reason(live: SimpleNamespace) -> None:
    assert live.status == 1
    assert codes(live.data) == ["PG301", "PG301"]
    silenced = {(one["code"], one["reason"], one["count"]) for one in live.data["suppressed"]}
    assert silenced == {
        ("PG201", "float64 is meant", 2),  # here and in the child process
        ("PG202", "the last one is meant", 1),
        ("PG202", "per-kernel-ignores: past_*", 1),
        ("PG107", "per-file-ignores: tools/*.py", 1),
    }
    assert "pycuda-guard: 2 errors, 4 suppressed on the CPU device" in live.words
    assert "Not checked: PG104 (left out by select and ignore)" in live.words
    assert "error[PG201]" not in live.text and "error[PG202]" not in live.text
    assert "sub/program.py:43: ignore[PG1]: matched nothing in this run" in live.words
    assert "per-file-ignores, sub/*.py: matched nothing in this run" in live.words
    assert live.words.count("matched nothing") == 2
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "docs" / "findings.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(live.data, schema)


def test_a_recording_is_judged_by_the_configuration_anew(folder: Path, live: SimpleNamespace) -> None:
    recordings = sorted(path.name for path in folder.glob("run*.pgr"))
    again = guard(folder, "check", "--json", "out.json", *recordings)
    assert again.status == 1
    assert codes(again.data) == codes(live.data)
    assert codes(again.data, "suppressed") == codes(live.data, "suppressed")
    # no comment and no table is in the recording: the rules of another day are these
    other = guard(folder, "check", "--json", "out.json", "--ignore", "PG3,PG104", *recordings)
    assert (other.status, codes(other.data)) == (0, [])
    wider = guard(folder, "check", "--json", "out.json", "--select", "PG1", "--ignore", "PG107", "run.pgr")
    assert codes(wider.data) == ["PG104"] and wider.data["suppressed"] == []
    assert "Not checked: PG107, PG2xx, PG3xx, PG4xx" in wider.words
    report = guard(folder, "report", "--format", "json", *recordings)
    written = json.loads(report.text)
    assert codes(written) == codes(live.data) and len(written["suppressed"]) == 4


def test_comments_in_kernels_that_are_made_or_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(MADE, encoding="utf-8")
    (tmp_path / "shift.cu").write_text(SHIFT, encoding="utf-8")
    live = guard(tmp_path, "run", "--device", "cpu", "--json", "out.json", "--record", "run.pgr", "made.py")
    for moved in (False, True):
        assert live.status == 1
        (found,) = (one for one in live.data["findings"] if one["severity"] == "error")
        assert found["kernel"] == {"name": "percent", "file": str(tmp_path / "made.py"), "line": 24}
        places = {(one["reason"], one["kernel"]["file"]) for one in live.data["suppressed"]}
        assert places == {
            ("in a file", str(tmp_path / "shift.cu")),
            ("in a formatted text", str(tmp_path / "made.py")),
        }
        assert "kernel percent: made.py:24 x[threadIdx.x + 1] = 1;" in live.words
        assert "made.py:25: ignore[PG202]: matched nothing in this run" in live.words
        assert "shift.cu:7: ignore[PG202]: matched nothing in this run" in live.words
        assert live.words.count("matched nothing") == 2
        if not moved:  # the recording has the texts as they were
            (tmp_path / "made.py").unlink()
            (tmp_path / "shift.cu").unlink()
            live = guard(tmp_path, "check", "--json", "out.json", "run.pgr")


def test_a_baseline_survives_shifted_lines_and_says_what_is_gone(folder: Path, live: SimpleNamespace) -> None:
    made = guard(folder, "check", "--write-baseline", "old.json", "run.pgr")
    assert made.status == 0 and "2 findings written to old.json" in made.words
    program = folder / "sub" / "program.py"
    moved = PROGRAM.replace("    y = cuda", "    # a line\n    y = cuda").replace(
        "import numpy", "\nimport numpy"
    )
    program.write_text(moved, encoding="utf-8")
    old = guard(folder, "run", "--baseline", "old.json", "--json", "out.json", "sub/program.py")
    assert old.status == 0 and old.data["findings"] == []
    assert [one["reason"] for one in old.data["suppressed"]].count("baseline: old.json") == 2
    # one line more that reads the same is one error more; one is gone
    twice = moved.replace("    cuda.memcpy_dtoh(out, y)\n", "    cuda.memcpy_dtoh(out, y)\n" * 2, 1)
    program.write_text(twice, encoding="utf-8")
    new = guard(folder, "run", "--baseline", "old.json", "--json", "out.json", "sub/program.py")
    assert new.status == 1 and codes(new.data) == ["PG301"]
    program.write_text(moved.replace("    cuda.memcpy_dtoh(out, y)\n", "", 1), encoding="utf-8")
    gone = guard(
        folder,
        "run",
        "--baseline",
        "old.json",
        "--write-baseline",
        "new.json",
        "--json",
        "out.json",
        str(program),
    )
    assert gone.status == 0 and gone.data["findings"] == []
    assert "old.json: PG301 in sub/program.py at `cuda.memcpy_dtoh(out, y)`: matched nothing" in gone.words
    assert "1 finding written to new.json" in gone.words
    written = json.loads((folder / "new.json").read_text(encoding="utf-8"))
    assert [entry["known"]["code"] for entry in written["findings"]] == ["PG301"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "can't be read: No such file"),
        ("{", "is not a baseline"),
        ('{"version": 2, "findings": []}', "of version 2"),
    ],
)
def test_a_baseline_that_cannot_be_read(tmp_path: Path, content: str | None, words: str) -> None:
    (tmp_path / "program.py").write_text("print('never run')", encoding="utf-8")
    if content is not None:
        (tmp_path / "old.json").write_text(content, encoding="utf-8")
    done = guard(tmp_path, "run", "--baseline", "old.json", "program.py")
    assert done.status == 2 and words in done.words and "never run" not in done.words
