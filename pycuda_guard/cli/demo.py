"""The ``demo`` command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pycuda_guard.cli.verb import Verb

if TYPE_CHECKING:
    import argparse

SCRIPT = Path(__file__).with_name("demo_script.py")


class Demo(Verb):
    """Run a short PyCUDA script with two classic bugs, and show what the guard says of them.

    Exits with 1, as every run of a script with an error does.
    """

    def run(self, options: argparse.Namespace) -> int:
        """Print the script, then run it as ``pycuda-guard run`` would."""
        from pycuda_guard import config
        from pycuda_guard.cli.program import Program
        from pycuda_guard.cli.run import run_program

        print(f"$ pycuda-guard run {SCRIPT.name}\n")
        for number, line in enumerate(SCRIPT.read_text(encoding="utf-8").splitlines(), 1):
            print(f"{number:>4}  {line}".rstrip())
        print(flush=True)
        return run_program(Program(str(SCRIPT)), config.read({}))
