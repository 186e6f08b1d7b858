"""``pycuda-guard check`` says what ``pycuda-guard run`` said, from the recording alone."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from guard_processes import run_guard
from made_up.recordings import SITE, copies, record

from pycuda_guard import cli
from pycuda_guard.events import model as m

ROOT = Path(__file__).resolve().parents[2]

needs_pycuda = pytest.mark.skipif(
    importlib.util.find_spec("pycuda") is None, reason="the programs use PyCUDA"
)

START = """
import sys
import threading
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda
from pycuda import gpuarray
from pycuda.compiler import SourceModule

host = np.zeros((4, 100), np.float32)
memory_gpu = cuda.mem_alloc(400)
"""

PROGRAMS = {
    "clean": "cuda.memcpy_htod(memory_gpu, host[0])\n",
    "too long, caught and again": """
for _ in range(3):
    try:
        cuda.memcpy_htod(memory_gpu, host)
    except cuda.LogicError:
        pass
""",
    "uncaught": "cuda.memcpy_dtoh(host[:, ::2], memory_gpu)\n",
    "freed": """
alias = int(memory_gpu)
memory_gpu.free()
for call in (memory_gpu.free, lambda: cuda.memcpy_htod(alias, host[0])):
    try:
        call()
    except cuda.Error as error:
        print(error)
""",
    "arguments": '''
module = SourceModule("""
__global__ void scale(float *out, const float *in, float factor, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) out[i] = factor * in[i];
}
""")
scale = module.get_function("scale")
wide_gpu = gpuarray.to_gpu(host.astype(np.float64))
for arguments in ((memory_gpu, wide_gpu, np.float64(2), np.int32(9)), (memory_gpu, wide_gpu, np.float32(2))):
    try:
        scale(*arguments, block=(32, 1, 1))
    except cuda.Error:
        pass
try:
    scale(memory_gpu, memory_gpu, np.float32(2), np.int32(9), block=(4096, 1, 1))
except (cuda.Error, OverflowError, ValueError) as error:
    print(error)
''',
    "streams": """
stream, event = cuda.Stream(1), cuda.Event()
stream.wait_for_event(event)
cuda.memcpy_htod_async(memory_gpu, host[0], stream)
stream.synchronize()
try:
    event.time_till(cuda.Event())
except cuda.Error:
    pass
""",
    "touched by a launch": '''
module = SourceModule("""
__global__ void scatter(float *x, const int *index) { x[index[threadIdx.x]] = 1; }
""")
index_gpu = gpuarray.to_gpu(np.arange(50, dtype=np.int32))
streams = [cuda.Stream(1), cuda.Stream(1)]
pinned = cuda.pagelocked_zeros(50, np.float32)
cuda.Context.synchronize()
for half in range(2):
    module.get_function("scatter")(memory_gpu, index_gpu, block=(50, 1, 1), stream=streams[0])
    cuda.memcpy_htod_async(int(memory_gpu) + 200 * half, pinned, streams[1])
    cuda.Context.synchronize()
''',
    "memory and leaks": """
keep = sys.modules["kept"] = [cuda.mem_alloc(64) for _ in range(3)]
try:
    cuda.mem_alloc(1 << 50)
except cuda.MemoryError:
    pass
""",
    "threads": """
def work():
    try:
        cuda.memcpy_dtoh(host[0], memory_gpu)
    except cuda.Error:
        raise
thread = threading.Thread(target=work)
thread.start()
thread.join()
""",
    "ends by itself": """
try:
    cuda.memcpy_htod(memory_gpu, host)
except cuda.LogicError:
    sys.exit("wrong")
""",
}


@needs_pycuda
@pytest.mark.parametrize(
    "program", [*PROGRAMS, *sorted(path.name for path in (ROOT / "examples").glob("*.py"))]
)
def test_check_gives_the_findings_of_the_run(
    tmp_path: Path, program: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "program.py"
    text = START + PROGRAMS[program] if program in PROGRAMS else (ROOT / "examples" / program).read_text()
    script.write_text(text, encoding="utf-8")
    live = run_guard("run", "--device=cpu", "--json=live.json", "--record=run.pgr", script, cwd=tmp_path)
    script.unlink()
    monkeypatch.chdir(tmp_path)
    status = cli.main(["check", "--json=check.json", "run.pgr"])
    assert json.loads(Path("check.json").read_text()) == json.loads(Path("live.json").read_text())
    printed = capsys.readouterr()
    assert printed.err == ""
    for line in printed.out.splitlines():
        assert line in live.stderr
    assert printed.out.splitlines()[-1] == live.stderr.splitlines()[-1]
    if live.returncode in (0, 1) and "Traceback" not in live.stderr and "wrong" not in live.stderr:
        assert status == live.returncode


def recorded(tmp_path: Path, *events: m.Event, name: str = "run.pgr") -> str:
    """Write a recording of these events, numbered, and return its path."""
    for number, event in enumerate(events, 1):
        event.sequence = number
    record(tmp_path / name, events)
    return str(tmp_path / name)


def wrong() -> list[m.Event]:
    """Return a timeline with an error: a copy beyond the end of its memory."""
    memory = m.Allocated(SITE, 11, 31, "mem_alloc", 0xD000_0001, 100, m.MemoryKind.DEVICE)
    return [memory, copies(1)[0]]


END = m.RunEnded(None, 11, 0)


@pytest.mark.parametrize(
    ("events", "options", "status"),
    [
        ([], [], 0),
        (wrong(), [], 1),
        (wrong(), ["--fail-on", "never"], 0),
        ([m.EventRecorded(None, 11, 31, 1, 0)], ["--fail-on", "warning"], 0),
        ([m.LateStart(None, 11, 31, "everything")], [], 0),
        ([m.LateStart(None, 11, 31, "everything")], ["--strict"], 1),
    ],
)
def test_the_status_is_that_of_a_run(
    tmp_path: Path, events: list[m.Event], options: list[str], status: int
) -> None:
    assert cli.main(["check", *options, recorded(tmp_path, *events, END)]) == status


def test_findings_of_several_recordings_are_merged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [recorded(tmp_path, *wrong(), END, name=name) for name in ("a.pgr", "b.pgr")]
    assert cli.main(["check", "--quiet", "--json", str(tmp_path / "both.json"), *files]) == 1
    (finding,) = json.loads((tmp_path / "both.json").read_text())["findings"]
    assert (finding["code"], finding["count"]) == ("PG201", 2)
    first, again = (line for line in capsys.readouterr().out.splitlines() if "error[PG201]" in line)
    assert "copy-out-of-bounds" in first and again.endswith("2 times in all")


def test_damage_is_said_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(recorded(tmp_path, *copies(100), END))
    data = bytearray(path.read_bytes())
    data[-5000] ^= 1
    path.write_bytes(data)
    assert cli.main(["check", str(path)]) == 2
    printed = capsys.readouterr()
    assert "is damaged; nothing after it is read" in printed.err
    assert "the recording stops before it" in printed.out


def test_what_is_no_recording_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other").write_text("text")
    assert cli.main(["check", str(tmp_path / "other")]) == 2
    assert capsys.readouterr().err.startswith("pycuda-guard: ")


def test_check_needs_neither_pycuda_nor_numpy(tmp_path: Path) -> None:
    path = recorded(tmp_path, *wrong(), END)
    script = f"""
import sys
for name in ("pycuda", "numpy", "llvmlite", "wrapt", "pytools"):
    sys.modules[name] = None
from pycuda_guard.cli import main
sys.exit(main(["check", {path!r}]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "error[PG201]" in done.stdout
    assert done.stderr == ""


def test_a_file_of_the_same_name_here_is_not_quoted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The text was not to be had when the run was recorded; what is there now is another file's."""
    events = wrong()
    for event in events:
        event.site = m.Site(str(tmp_path / "script.py"), 1, "f")
    path = recorded(tmp_path, *events, END)
    (tmp_path / "script.py").write_text("another = file()\n")
    cli.main(["check", path])
    assert "another" not in capsys.readouterr().out


@needs_pycuda
def test_what_was_off_in_the_run_is_off_in_its_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "program.py").write_text("import pycuda.autoinit\n", encoding="utf-8")
    live = run_guard("run", "--device=cpu", "--no-kernels", "--record=run.pgr", "program.py", cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["check", "run.pgr"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("--no-kernels") == printed.count("--races") == 1
    assert printed == live.stderr
