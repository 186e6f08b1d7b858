"""``guarded``, ``guard(select=…)`` and keywords, in one program on the CPU device."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

import pycuda_guard
from pycuda_guard.errors import StartError

pytest.importorskip("pycuda")

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import asyncio, contextlib, inspect, json
import pycuda_guard

def overrun(size):
    import numpy as np
    import pycuda.autoinit
    import pycuda.driver as cuda
    memory = cuda.mem_alloc(size)
    with contextlib.suppress(cuda.LogicError):
        cuda.memcpy_htod(memory, np.zeros(100))
    stream = cuda.Stream()
    cuda.memcpy_dtoh_async(np.empty(1), memory, stream)
    stream.synchronize()
    return size

@pycuda_guard.guarded(device="cpu", json="first.json", quiet=True, select=["PG201"])
def first(size):
    "What it does."
    return overrun(size)

@pycuda_guard.guarded
async def later(size):
    await asyncio.sleep(0)
    return overrun(size)

said = {"returned": first(400), "doc": first.__doc__, "coroutine": inspect.iscoroutinefunction(later)}
with pycuda_guard.guard(device="cpu", quiet=True) as outer:
    said["awaited"] = asyncio.run(later(404))
    with pycuda_guard.guard(select=["PG1"]) as one, pycuda_guard.guard(ignore="PG1") as two:
        overrun(408)
for name, block in [("outer", outer), ("one", one), ("two", two)]:
    said[name] = [finding.code for finding in block.findings]
json.dump(said, open("said.json", "w"))
"""


def test_calls_and_blocks(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text('[tool.pycuda_guard]\njson = "project.json"\n', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "program.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "said.json").read_text(encoding="utf-8"))
    assert (said["returned"], said["awaited"]) == (400, 404)
    assert said["doc"] == "What it does." and said["coroutine"] is True
    first = json.loads((tmp_path / "first.json").read_text(encoding="utf-8"))
    assert [finding["code"] for finding in first["findings"]] == ["PG201"]
    # where the program says nothing, its pyproject.toml does
    whole = json.loads((tmp_path / "project.json").read_text(encoding="utf-8"))
    assert sorted(finding["code"] for finding in whole["findings"]) == sorted(said["outer"])
    assert set(said["one"]) == {"PG106"} and set(said["two"]) == {"PG201"}
    assert set(said["outer"]) >= {"PG106", "PG201"}
    assert done.stderr.count("error[PG201]") >= 2


def test_generators_are_refused() -> None:
    def generate() -> object:
        yield 1

    async def generate_later() -> object:
        yield 1

    for function in (generate, generate_later):
        with pytest.raises(TypeError, match="a call of a generator runs nothing"):
            pycuda_guard.guarded(function)


@pytest.mark.parametrize(
    ("keywords", "words", "hint"),
    [
        ({"selekt": ["PG1"]}, "there is no option 'selekt'", "did you mean select?"),
        ({"fail_on": "error"}, "there is no option 'fail_on'", ""),
        ({"select": ["1"]}, "select can't be", ""),
    ],
)
def test_wrong_keywords(keywords: dict[str, object], words: str, hint: str) -> None:
    async def wait() -> None: ...

    for start in (pycuda_guard.guard, pycuda_guard.enable):
        with pytest.raises(StartError, match=words) as caught:
            start(**keywords)
        assert hint in caught.value.hint
    with pytest.raises(StartError, match=words):
        asyncio.run(pycuda_guard.guarded(**keywords)(wait)())
