"""The ``run`` command."""

from __future__ import annotations

import argparse
import traceback
from typing import TYPE_CHECKING

from pycuda_guard import config, project
from pycuda_guard.cli.verb import Verb
from pycuda_guard.errors import GuardError, StartError
from pycuda_guard.garbage import uncollected

if TYPE_CHECKING:
    from pycuda_guard.cli.program import Program


class Run(Verb):
    """Run a script, or with -m a module, and say what is wrong with it.

    The program runs as it would under python: same arguments, same standard input, same exit
    status. Only where its own status is 0 and there are findings at the level of --fail-on, the
    status is 1. It is 2 where the guard could not start.
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take the options of a run, then the program; everything after it is the program's."""
        config.add_arguments(parser)
        parser.usage = "pycuda-guard run [options] script.py [arguments …]\n" + (
            " " * 7 + "pycuda-guard run [options] -m module [arguments …]"
        )
        parser.add_argument(
            "-m", dest="module", nargs=argparse.REMAINDER, metavar="module …", help="run a module"
        )
        parser.add_argument(
            "script", nargs=argparse.REMAINDER, metavar="script.py …", help="the program and its arguments"
        )

    def run(self, options: argparse.Namespace) -> int:
        """Run the program under the guard and return the exit status."""
        with uncollected():
            program = read_program(options)
        program.check()
        below = project.layers(program.folder)
        return run_program(program, config.read(config.given(options), below=below))


def read_program(options: argparse.Namespace) -> Program:
    """Return the program that the command line names; raises :class:`StartError` if it names none."""
    from pycuda_guard.cli.program import Program

    named = options.module if options.module is not None else options.script
    if options.module is None and named and named[0] == "--":
        named = named[1:]
    if not named:
        raise StartError("no program to run", "pycuda-guard run script.py, or pycuda-guard run -m module")
    return Program(named[0], tuple(named[1:]), is_module=options.module is not None)


def run_program(program: Program, options: config.Config) -> int:
    """Run ``program`` with ``options`` to its end and return the exit status of the process."""
    with uncollected():
        from pycuda_guard.cli.program import run_to_the_end
        from pycuda_guard.session import begin, devices

    if options.bare:
        devices.choose(options)
        return run_to_the_end(program, lambda error: None)
    try:
        with uncollected():
            session = begin(options)
    except GuardError:
        raise
    except Exception as error:
        traceback.print_exc()
        raise StartError(f"the guard could not start: {type(error).__name__}: {error}") from error
    status = run_to_the_end(program, session.uncaught.note)
    session.finish()
    return status or int(session.has_failed)
