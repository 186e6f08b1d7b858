"""``%%guard``: the findings of a cell as its output, in a real IPython shell on the CPU device."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pycuda_guard.findings import Finding, Location, Severity
from pycuda_guard.reports.cell import CellReport

ROOT = Path(__file__).resolve().parents[2]

SHELL = """
import sys
from IPython.core.interactiveshell import InteractiveShell

sys.stderr = sys.stdout
shell = InteractiveShell.instance(colors="nocolor")
for number, cell in enumerate(sys.argv[1:], 1):
    print(f"=== {number}")
    result = shell.run_cell(cell, store_history=True)
    print("success" if result.success else "failure")
"""

CUDA = """\
import numpy as np
import pycuda.autoinit
import pycuda.driver as cuda
memory = cuda.mem_alloc(400)
def overrun():
    cuda.memcpy_htod(memory, np.zeros(100))
"""

CAUGHT = """\
try:
    overrun()
except cuda.LogicError:
    print("caught")
"""

COMMENT = """\
try:
    cuda.memcpy_htod(memory, np.zeros(100))  # pycuda-guard: ignore[PG201] known for long
except cuda.LogicError:
    answer = 42
answer
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return what each cell of one shell has printed."""
    pytest.importorskip("pycuda")
    pytest.importorskip("IPython")
    folder = tmp_path_factory.mktemp("shell")
    cells = [
        "%load_ext pycuda_guard",
        CUDA,
        "%%guard\n" + CAUGHT,
        "%%guard --ignore PG201\n" + CAUGHT,
        "%%guard\n" + COMMENT,
        "%%guard\noverrun()",
        CAUGHT,
        "%%guard --select PG7\n1",
        "%%guard --colour\n1",
        "cuda.Context.synchronize()  # pycuda-guard: ignore[PG201]",
        "import pycuda_guard; pycuda_guard.finish(); None",
        "%unload_ext pycuda_guard",
        "%%guard\n1",
    ]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYCUDA_GUARD_")}
    done = subprocess.run(
        [sys.executable, "-c", SHELL, *cells],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**environment, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(folder), "PYCUDA_GUARD_DEVICE": "cpu"},
    )
    assert done.returncode == 0, done.stderr
    return [part.partition("\n")[2].strip() for part in done.stdout.split("=== ")[1:]]


def test_a_cell_shows_its_findings_once(printed: list[str]) -> None:
    loaded, cuda, caught, ignored, comment, _, plain, *_ = printed
    assert loaded == cuda == "success"
    assert caught.startswith("caught\npycuda-guard: 1 error in this cell\nerror[PG201] copy-out-of-bounds:")
    assert "--> In[2]:6   cuda.memcpy_htod(memory, np.zeros(100))" in caught
    assert caught.count("error[PG201]") == 1 and caught.endswith("success")
    assert ignored == "caught\npycuda-guard: nothing found in this cell\nsuccess"
    assert "Out[5]: 42" in comment and "nothing found, 1 suppressed in this cell" in comment
    assert "suppressed (known for long): error[PG201] In[5]:3" in comment
    assert plain.startswith("caught\nerror[PG201]") and "in this cell" not in plain


def test_a_cell_fails_as_it_would_without_the_magic(printed: list[str]) -> None:
    raised, unknown, wrong, _, finished, unloaded, after = printed[5], *printed[7:]
    assert raised.count("LogicError: cuMemcpyHtoD failed") == 1 and raised.endswith("failure")
    assert raised.count("error[PG201]") == 1 and "ipython.py" not in raised
    assert "there is no rule PG7" in unknown and "unrecognized arguments: --colour" in wrong
    assert unloaded == "success"
    assert "note: In[10]:1: ignore[PG201]: matched nothing in this run" in finished
    assert "nothing is guarded any more: %reload_ext pycuda_guard" in after and after.endswith("failure")


class Texts(HTMLParser):
    """Collects the text and the tags of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_whatever_comes_from_the_program_is_escaped() -> None:
    hostile = '<script>alert("&")</script><img src=x onerror=1>'
    place = Location(f"/{hostile}.py", 3, hostile)
    found = Finding("PG201", "copy-out-of-bounds", Severity.ERROR, hostile, hostile, place)
    note = Finding("PG104", "implicit-sync", Severity.NOTE, hostile, "", None)
    report = CellReport([note, found], [(found, hostile)], lambda file: file)
    html = report._repr_html_()
    seen = Texts(html)
    assert set(seen.tags) == {"div", "b", "details", "summary", "pre"}
    assert seen.text.count(hostile) >= 5
    assert html.index("PG201") < html.index("PG104")  # errors first
    assert html.count("<details open") == 1 and html.count("<details") == 2
    assert "1 error, 1 note, 1 suppressed in this cell" in repr(report)
