"""A program under ``pycuda-guard run`` is what it is under ``python``."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

QUIET = ["-m", "pycuda_guard", "run", "--quiet", "--device", "cpu"]

#: what each program is for, and its text
PROGRAMS = {
    "main module": """
        import sys
        names = set(globals())
        print(__name__, __file__, __spec__, __package__, __doc__, type(__loader__).__name__, __builtins__)
        print(sorted(names), sys.argv, sys.path[0], sys.modules["__main__"].__dict__ is globals())
        """,
    "standard input": "import sys; print(repr(sys.stdin.read()), sys.stdin.isatty())",
    "exception": """
        import pathlib
        def fail():
            raise ValueError("no")
        try:
            fail()
        except ValueError as error:
            raise RuntimeError("then") from error
        """,
    "exception group": "raise ExceptionGroup('two', [ValueError(1), KeyError(2)])",
    "syntax error": "print(1\nx = = 2",
    "future flags": "def f(x: nowhere): pass",
    "exit with a message": "import sys; print('out'); sys.exit('said at the end')",
    "exit with a number": "raise SystemExit(300)",
    "exit with none": "import sys; sys.exit()",
    "interrupt": "raise KeyboardInterrupt",
    "order of the end": """
        import atexit, sys, threading, time
        class Global:
            def __del__(self): print("global deleted")
        kept = Global()
        atexit.register(lambda: print("exit function", threading.main_thread().is_alive()))
        def late():
            time.sleep(0.2)
            print("thread done")
            raise KeyError("in a thread")
        threading.Thread(target=late, name="late").start()
        def local():
            gone = Global()
            sys.exit(4)
        local()
        """,
    "failing exit function": """
        import atexit
        @atexit.register
        def fail(): 1 / 0
        """,
    "excepthook": """
        import sys
        sys.excepthook = lambda kind, error, traceback: print("hooked", kind, traceback.tb_lineno)
        1 / 0
        """,
    "failing excepthook": """
        import sys
        def hook(*what): raise LookupError("hook")
        sys.excepthook = hook
        1 / 0
        """,
    "excepthook that exits": """
        import sys
        sys.excepthook = lambda *what: sys.exit(7)
        1 / 0
        """,
    "unchanged interpreter": """
        import gc, sys, threading
        print(sys.excepthook is sys.__excepthook__, threading.active_count(), sys.flags.safe_path)
        print(gc.isenabled(), gc.get_threshold(), gc.get_freeze_count())
        """,
    "killed": "import os; print('before', flush=True); os.kill(os.getpid(), 9)",
    "os._exit": "import os; os._exit(5)",
}


def both(program: list[str], folder: Path, extra: tuple[str, ...] = ()) -> list[tuple[int, str, str]]:
    """Run ``program`` under python and under the guard; return status, stdout and stderr of each."""
    results = []
    for prefix in ([], QUIET):
        done = subprocess.run(
            [sys.executable, *extra, *prefix, *program],
            cwd=folder,
            input="one\ntwo",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        hidden = re.sub(r"0x[0-9a-f]+", "0x…", done.stderr)
        results.append((done.returncode, re.sub(r"0x[0-9a-f]+", "0x…", done.stdout), hidden))
    return results


def write(folder: Path, text: str) -> None:
    (folder / "program.py").write_text(textwrap.dedent(text), encoding="utf-8")


@pytest.mark.parametrize("name", PROGRAMS)
def test_script(name: str, tmp_path: Path) -> None:
    write(tmp_path, PROGRAMS[name])
    bare, guarded = both(["program.py", "-m", "--json", "x y", "--", "-q"], tmp_path)
    assert guarded == bare


@pytest.mark.parametrize("name", ["main module", "exception", "interrupt", "order of the end"])
def test_module(name: str, tmp_path: Path) -> None:
    write(tmp_path, PROGRAMS[name])
    bare, guarded = both(["-m", "program", "-m", "--json", "x y"], tmp_path)
    assert guarded == bare


def test_missing_module(tmp_path: Path) -> None:
    bare, guarded = both(["-m", "no_such_module"], tmp_path)
    assert guarded == bare
    assert bare[0] == 1


def test_folder_with_main(tmp_path: Path) -> None:
    package = tmp_path / "tool"
    package.mkdir()
    (package / "beside.py").write_text("value = 5", encoding="utf-8")
    (package / "__main__.py").write_text(
        "import sys, beside; print(sys.argv, sys.path[0], beside.value); 1 / 0", encoding="utf-8"
    )
    bare, guarded = both(["tool", "a"], tmp_path)
    assert guarded == bare


def test_script_in_another_folder_and_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    write(tmp_path / "real", "import sys; print(sys.path[0], sys.argv, __file__); 1 / 0")
    (tmp_path / "link.py").symlink_to(tmp_path / "real" / "program.py")
    for program in ("link.py", "real/program.py"):
        bare, guarded = both([program], tmp_path)
        assert guarded == bare


def test_safe_path(tmp_path: Path) -> None:
    write(tmp_path, "import sys; print(sys.path[0])")
    bare, guarded = both(["program.py"], tmp_path, extra=("-P",))
    assert guarded == bare


def test_interrupt_from_outside(tmp_path: Path) -> None:
    # a signal that comes just before a sleep begins is answered only after it, so it is many short ones
    write(tmp_path, "import time\nprint('ready', flush=True)\nfor _ in range(600):\n    time.sleep(0.1)")
    for prefix in ([], QUIET):
        process = subprocess.Popen(
            [sys.executable, *prefix, "program.py"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == -signal.SIGINT
        assert errors.decode().splitlines()[-1] == "KeyboardInterrupt"
        assert b"pycuda_guard" not in errors
