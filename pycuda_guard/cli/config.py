"""The ``config`` command."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pycuda_guard import config, project
from pycuda_guard.cli.verb import Verb

if TYPE_CHECKING:
    import argparse

    from pycuda_guard.config import Setting, Value

#: variables that are no options
OTHER_VARIABLES = ("PYCUDA_GUARD_CACHE_DIR", "PYCUDA_GUARD_CPU_THREADS")


class ConfigCommand(Verb):
    """Show the value that each option would have, and where it comes from.

    Takes the options that run takes. Where a value comes from is one of: default, environment NAME,
    pyproject.toml:PATH, command line. The pyproject.toml is that of PROGRAM, a script or a folder, or
    of the current folder.
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take the options of a run, and whose configuration is meant."""
        config.add_arguments(parser)
        parser.add_argument(
            "program", nargs="?", default=os.curdir, metavar="PROGRAM", help="a script or a folder"
        )

    def run(self, options: argparse.Namespace) -> int:
        """Print one line for each option."""
        below = project.layers(project.folder_of(options.program))
        found = config.settings(config.given(options), below=below)
        rows = [(setting.option.key, _shown(setting), setting.origin) for setting in found]
        width = max(len(key) for key, _, _ in rows)
        value_width = max(len(value) for _, value, _ in rows)
        for key, value, origin in rows:
            print(f"{key:{width}}  {value:{value_width}}  {origin}")
        known = [option.variable for option in config.OPTIONS if not option.is_table]
        for name in sorted(os.environ):
            if name.startswith(config.VARIABLE_PREFIX) and name not in (*known, *OTHER_VARIABLES):
                print(f"the environment's {name} stands for no option ({config.close_to(name, known)})")
        return 0


def _shown(setting: Setting) -> str:
    """Return a value as text."""
    return _text(setting.value)


def _text(value: Value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return (
            ", ".join(one if isinstance(one, str) else f"{one[0]}: {_text(one[1])}" for one in value)
            or "none"
        )
    return "none" if value is None else str(value)
