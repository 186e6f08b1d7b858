"""Programs with child processes: what the children find is in their parent's report."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

if importlib.util.find_spec("pycuda") is None:
    pytest.skip("the programs need PyCUDA", allow_module_level=True)

#: a function that copies too much in a context of its own, for a child or its parent
WORK = """
import os, sys
import numpy as np
import pycuda.driver as cuda
def work(n=5):
    cuda.init()
    context = cuda.Device(0).make_context()
    try:
        memory = cuda.mem_alloc(16)
        cuda.memcpy_htod(memory, np.zeros(n, np.float32))
    finally:
        context.pop()
def handle(n=5):
    try:
        work(n)
    except cuda.LogicError:
        pass
def grow(nbytes):
    cuda.init()
    context = cuda.Device(0).make_context()
    try:
        cuda.mem_alloc(nbytes)
    finally:
        context.pop()
"""


def run(program: str, folder: Path, *options: str, guard: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program; its temporary files go to ``folder/t`` (short: the path of a socket has 107 bytes)."""
    (folder / "program.py").write_text(program, encoding="utf-8")
    (folder / "t").mkdir(exist_ok=True)
    command = [sys.executable, "program.py"]
    if guard:
        command[1:1] = ["-m", "pycuda_guard", "run", "--device", "cpu", "--json", "out.json", *options]
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "t")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def found(folder: Path, file: str = "out.json") -> list[tuple[str, str, int]]:
    """Return codes, severities and counts of the findings in a report."""
    findings = json.loads((folder / file).read_text(encoding="utf-8"))["findings"]
    return [(one["code"], one["severity"], one["count"]) for one in findings]


START = """
if __name__ == "__main__":
    import multiprocessing
    start = multiprocessing.get_context({method!r}).Process
    children = [start(target={target}, args={arguments}) for _ in range({count})]
    for child in children:
        child.start()
    for child in children:
        child.join()
    print([child.exitcode for child in children])
"""


def started(method: str, target: str = "handle", count: int = 1, arguments: str = "()") -> str:
    return WORK + START.format(method=method, target=target, count=count, arguments=arguments)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_findings_of_children_come_once(method: str, tmp_path: Path) -> None:
    done = run(started(method, count=2), tmp_path)
    assert done.stdout == "[0, 0]\n", done.stderr
    assert found(tmp_path) == [("PG201", "error", 2)]
    assert done.stderr.count("error[PG201]") == 1
    assert done.stderr.count(" rules on)") == 1
    assert "child processes" not in done.stderr
    assert done.returncode == 1
    assert list((tmp_path / "t").glob("pycuda_guard-*")) == []


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_without_a_bug_add_nothing(method: str, tmp_path: Path) -> None:
    done = run(started(method, arguments="(4,)"), tmp_path)
    assert (done.stdout, done.returncode) == ("[0]\n", 0)
    assert found(tmp_path) == []


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_an_exception_that_ends_a_child_is_not_handled(method: str, tmp_path: Path) -> None:
    done = run(started(method, "grow", arguments="(1 << 50,)"), tmp_path)
    assert done.stdout == "[1]\n", done.stderr
    assert found(tmp_path) == [("PG209", "error", 1)]
    assert "MemoryError" in done.stderr and "pycuda_guard" not in done.stderr


POOL = """
if __name__ == "__main__":
    import multiprocessing
    with multiprocessing.get_context("fork").Pool(1) as pool:
        {body}
"""


@pytest.mark.parametrize(
    ("body", "severity"),
    [
        ("pool.map(grow, [1 << 50])", "error"),
        ("try: pool.map(grow, [1 << 50])\n        except cuda.MemoryError: pass", "note"),
    ],
)
def test_an_exception_that_a_worker_sends_is_the_parents_to_handle(
    body: str, severity: str, tmp_path: Path
) -> None:
    run(WORK + POOL.format(body=body), tmp_path)
    assert found(tmp_path) == [("PG209", severity, 1)]


def test_a_child_that_uses_cuda_after_its_parent(tmp_path: Path) -> None:
    body = """
if __name__ == "__main__":
    import multiprocessing
    import pycuda.autoinit
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join()
    print(child.exitcode)
"""
    done = run(WORK + body, tmp_path)
    assert done.stdout == "1\n"
    assert found(tmp_path) == [("PG605", "error", 1)]
    assert "initialization error" in done.stderr
    assert "the process is forked here" in done.stderr


@pytest.mark.parametrize(
    "child",
    [
        "os._exit(0)",  # nothing at all
        "sys.exit(0)",  # pops the inherited context on the way out
        "del memory; os._exit(0)",
    ],
)
def test_a_child_that_leaves_cuda_alone_is_right(child: str, tmp_path: Path) -> None:
    body = f"""
import pycuda.autoinit
memory = cuda.mem_alloc(16)
child = os.fork()
if not child:
    {child}
print(os.waitpid(child, 0)[1])
"""
    bare = run(WORK + body, tmp_path, "--bare")
    done = run(WORK + body, tmp_path)
    assert (done.stdout, done.returncode) == (bare.stdout, bare.returncode)
    assert found(tmp_path) == []


def test_a_context_that_a_forked_worker_leaves_pushed_harms_nobody(tmp_path: Path) -> None:
    body = """
def leave():
    cuda.init()
    cuda.Device(0).make_context()
"""
    for method, expected in (("fork", []), ("spawn", [("PG603", "warning", 1)])):
        run(started(method, "leave").replace("def work", body.lstrip() + "def work"), tmp_path)
        assert found(tmp_path) == expected


def test_children_of_children_are_seen(tmp_path: Path) -> None:
    body = """
first = os.fork()
if not first:
    second = os.fork()
    if not second:
        handle()
        sys.exit()
    os.waitpid(second, 0)
    handle()
    sys.exit()
os.waitpid(first, 0)
handle()
"""
    done = run(WORK + body, tmp_path)
    assert found(tmp_path) == [("PG201", "error", 3)], done.stderr


@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_what_a_child_finds_survives_its_death(end: str, tmp_path: Path) -> None:
    body = f"""
child = os.fork()
if not child:
    handle()
    {end}
os.waitpid(child, 0)
"""
    done = run(WORK + body, tmp_path)
    assert found(tmp_path) == [("PG201", "error", 1)]
    assert "child processes" not in done.stderr


def test_nobody_waits_for_a_child(tmp_path: Path) -> None:
    body = """
reading, writing = os.pipe()
child = os.fork()
if not child:
    handle()
    os.write(writing, b"x")
    os.close(1)
    os.close(2)
    import time
    time.sleep(60)
os.read(reading, 1)
print(child, flush=True)
"""
    done = run(WORK + body, tmp_path)
    try:
        assert found(tmp_path) == [("PG201", "error", 1)]
        assert "Not checked: child processes that had not ended" in done.stderr
    finally:
        os.kill(int(done.stdout), 9)


def test_damaged_reports_of_children_are_passed_over(tmp_path: Path) -> None:
    body = """
child = os.fork()
if not child:
    handle()
    sys.exit()
os.waitpid(child, 0)
import tempfile
from pathlib import Path
(folder,) = Path(tempfile.gettempdir()).glob("pycuda_guard-*")
whole = next(folder.glob("*.json")).read_text()
for number, text in enumerate([whole[:100], "", "[]", "null", "[" * 100000, '{"process": 1}', "\\0"]):
    (folder / f"1{number}.json").write_text(text)
(folder / "2.json").write_bytes(b"\\xff\\xfe")
(folder / "3.json").mkdir()
"""
    done = run(WORK + body, tmp_path)
    assert found(tmp_path) == [("PG201", "error", 1)], done.stderr
    assert "PG903" not in done.stderr


def test_a_block_has_the_findings_of_its_children(tmp_path: Path) -> None:
    body = """
def child():
    one = os.fork()
    if not one:
        handle()
        os._exit(0)
    os.waitpid(one, 0)
with pycuda_guard.guard() as first:
    child()
with pycuda_guard.guard() as second:
    pass
with pycuda_guard.guard() as third:
    child()
    child()
print([[(f.code, f.count) for f in block.findings] for block in (first, second, third)])
"""
    program = 'import pycuda_guard\npycuda_guard.enable(device="cpu", json="out.json", quiet=True)\n' + WORK
    done = run(program + body, tmp_path, guard=False)
    assert done.stdout == "[[('PG201', 1)], [], [('PG201', 2)]]\n", done.stderr
    assert found(tmp_path) == [("PG201", "error", 3)]


def test_a_process_started_by_itself_has_a_report_of_its_own(tmp_path: Path) -> None:
    body = """
import subprocess
if len(sys.argv) == 1:
    subprocess.run([sys.executable, "-m", "pycuda_guard", "run", "--device", "cpu", "--quiet", "--json",
        "out-{pid}.json", __file__, "again"])
else:
    handle()
    print(os.getpid())
"""
    done = run(WORK + body, tmp_path)
    assert found(tmp_path) == []
    assert found(tmp_path, f"out-{done.stdout.strip()}.json") == [("PG201", "error", 1)]


def test_recordings_of_children_give_what_they_found(tmp_path: Path) -> None:
    body = """
import pycuda.autoinit
child = os.fork()
if not child:
    work()
os.waitpid(child, 0)
"""
    done = run(WORK + body, tmp_path, "--record", "run.pgr")
    assert found(tmp_path) == [("PG605", "error", 1)], done.stderr
    (recording,) = set(tmp_path.glob("run.*.pgr"))
    command = [
        sys.executable,
        "-m",
        "pycuda_guard",
        "check",
        "--quiet",
        "--json",
        "again.json",
        str(recording),
    ]
    subprocess.run(command, cwd=tmp_path, timeout=240, check=False)
    assert found(tmp_path, "again.json") == [("PG605", "error", 1)]
