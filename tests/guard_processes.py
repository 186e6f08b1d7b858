"""Runs ``pycuda-guard`` in processes that are forked from one which has imported what every run imports.

That import takes most of the time of a short program, and tests run hundreds. Such a process is as fresh as
one of the command line: neither PyCUDA nor a driver is loaded before the fork. What tests the start of Python
or of the guard starts Python.

``python guard_processes.py`` is the process that forks: it reads a request in a line of JSON from standard
input for each, and answers with the exit status.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

MODULES = (
    "llvmlite.binding", "numpy", "pytools", "unittest", "wrapt", "pycuda_guard.cli.program",
    "pycuda_guard.cli.run", "pycuda_guard.cpu", "pycuda_guard.session",
)  # fmt: skip
#: the same for all runs, as a run fails for what changed, not for its luck; and one thread can fork
SETTINGS = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}


def run_guard(
    *arguments: str | Path,
    cwd: Path | None = None,
    variables: dict[str, str] | None = None,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """Run ``pycuda-guard`` with these arguments in a folder; return its exit status and what it printed.

    The environment has no options of the guard but those among the ``variables``. What runs for longer than
    ``timeout`` seconds is killed.
    """
    options = {name for name in os.environ if name.startswith("PYCUDA_GUARD_")} - {"PYCUDA_GUARD_CACHE_DIR"}
    environment = {name: text for name, text in os.environ.items() if name not in options}
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in ("out", "err")]
        request = {
            "arguments": [str(argument) for argument in arguments],
            "folder": str(cwd or Path.cwd()),
            "environment": {**environment, **SETTINGS, **(variables or {})},
            "outputs": [str(path) for path in outputs],
            "timeout": timeout,
        }
        server = _server()
        assert server.stdin is not None and server.stdout is not None
        print(json.dumps(request), file=server.stdin, flush=True)
        status = int(server.stdout.readline())
        texts = [path.read_text(encoding="utf-8", errors="replace") for path in outputs]
    return subprocess.CompletedProcess(arguments, status, *texts)


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, __file__],
        env={**os.environ, **SETTINGS},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)
    return server


def serve() -> None:
    """Answer requests until there are no more."""
    for name in MODULES:
        import_module(name)
    assert "pycuda" not in sys.modules
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            _run(request)
        print(_status(child, request["timeout"]), flush=True)


def _run(request: dict[str, Any]) -> None:
    """Be the command, to the end of this process."""
    from pycuda_guard.cli import main

    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, path in enumerate(request["outputs"], 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[0] = request["folder"]
    sys.argv = ["pycuda-guard", *request["arguments"]]
    sys.exit(main(request["arguments"]))


def _status(child: int, timeout: float) -> int:
    """Wait for a process and return its exit status, negative for a signal."""
    ended = os.pidfd_open(child)
    if not select.select([ended], [], [], timeout)[0]:
        os.kill(child, signal.SIGKILL)
    os.close(ended)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    serve()
