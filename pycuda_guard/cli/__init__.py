"""The command line: ``pycuda-guard VERB …``, the same as ``python -m pycuda_guard VERB …``."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

from pycuda_guard.errors import GuardError, StartError
from pycuda_guard.option import close_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pycuda_guard.cli.verb import Verb

PROGRAM = "pycuda-guard"

#: every command, in the order of the help: the module of this package that holds it, and its class there
VERBS: dict[str, tuple[str, str]] = {
    "run": ("run", "Run"),
    "check": ("check", "Check"),
    "report": ("report", "Report"),
    "timeline": ("timeline", "Timeline"),
    "config": ("config", "ConfigCommand"),
    "demo": ("demo", "Demo"),
    "explain": ("explain", "Explain"),
    "rules": ("rules", "Rules"),
    "doctor": ("doctor", "Doctor"),
    "setup": ("setup", "Setup"),
}

#: exit status where the guard itself could not do what was asked
CANNOT = 2


def load_verb(name: str) -> Verb:
    """Return the command of that name, importing its module."""
    module, class_name = VERBS[name]
    verb: Verb = getattr(import_module(f"pycuda_guard.cli.{module}"), class_name)()
    return verb


def build_parser(names: Iterable[str] = tuple(VERBS)) -> argparse.ArgumentParser:
    """Return the parser of the command line with these commands; the chosen one is ``options.verb``."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Finds out, while a PyCUDA program runs, why its data are wrong.",
        epilog=f"To begin with: {PROGRAM} run script.py, or {PROGRAM} demo",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {_version()}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in names:
        verb = load_verb(name)
        text = verb.help_text()
        command = commands.add_parser(
            name,
            help=text.splitlines()[0].rstrip("."),
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        verb.add_arguments(command)
        command.set_defaults(verb=verb, command=command)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; ``arguments`` are those after the program's name."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given:
        build_parser().print_help(sys.stderr)
        return CANNOT
    try:
        # only the command that is asked for is imported
        parser = build_parser(given[:1] if _check_command(given[0]) else VERBS)
        options, unknown = parser.parse_known_args(given)
        _check_options(parser, options, unknown)
        status: int = options.verb.run(options)
    except GuardError as error:
        hint = f" ({error.hint})" if error.hint else ""
        print(f"{PROGRAM}: {error}{hint}", file=sys.stderr)
        return CANNOT
    return status


def _check_command(word: str) -> bool:
    """Tell whether the first word of a command line is a command; an option is none.

    Raises :class:`StartError` for any other word.
    """
    if word.startswith("-") or word in VERBS:
        return word in VERBS
    if word.endswith(".py") or os.path.isfile(word):
        raise StartError(f"{word} is no command", f"{PROGRAM} run {word}")
    raise StartError(f"there is no command {word}", close_to(word, VERBS, f"{PROGRAM} --help lists them"))


def _check_options(
    parser: argparse.ArgumentParser, options: argparse.Namespace, unknown: Sequence[str]
) -> None:
    """Raise :class:`StartError` for an option that the command does not have, if one was given.

    Other words that are too many end the process with the parser's own message.
    """
    for word in unknown:
        if word.startswith("--"):
            name, command = word.partition("=")[0], options.command
            known = [option for option in command._option_string_actions if option.startswith("--")]
            hint = close_to(name, known, f"{command.prog} --help lists them")
            raise StartError(f"{command.prog} has no option {name}", hint)
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")


def _version() -> str:
    from pycuda_guard import __version__

    return __version__
