"""What every command of the command line is."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse


class Verb:
    """One command. The docstring of its class is its help text, the first line its summary."""

    @classmethod
    def help_text(cls) -> str:
        """Return the docstring without its indentation."""
        return inspect.cleandoc(cls.__doc__ or "")

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare what the command takes; nothing unless overridden."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it and return the exit status.

        Raises :class:`~pycuda_guard.errors.GuardError` where it can't be done: shown in one line,
        exit status 2.
        """
        raise NotImplementedError
