"""Runs short scripts under the guard, each in a process of its own that is forked after the slow imports.

``python script_server.py`` reads a line of JSON for each script from standard input, the arguments of
``pycuda-guard`` and the file that its output goes to, and answers with the exit status. Such a process is
as fresh as one of the command line: neither PyCUDA nor a driver is loaded before the fork.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

#: what every guarded run imports sooner or later
MODULES = (
    "llvmlite.binding", "numpy", "pytools", "unittest", "wrapt", "pycuda_guard.cli.program",
    "pycuda_guard.cli.run", "pycuda_guard.cpu", "pycuda_guard.session",
)  # fmt: skip


def run(arguments: list[str], output: str) -> int:
    """Run one command in a forked process and return its exit status, negative for a signal."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    from pycuda_guard.cli import main

    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = ["pycuda-guard", *arguments]
    sys.exit(main(arguments))


def serve() -> None:
    """Answer requests until there are no more."""
    for name in MODULES:
        import_module(name)
    assert "pycuda" not in sys.modules
    for line in sys.stdin:
        request = json.loads(line)
        print(run(request["arguments"], request["output"]), flush=True)


if __name__ == "__main__":
    serve()
