"""The ``explain`` command."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from pycuda_guard.cli.verb import Verb
from pycuda_guard.errors import GuardError

if TYPE_CHECKING:
    import argparse


class Explain(Verb):
    """Explain a rule: when it fires, why that is wrong, what to write instead.

    A rule is named by its code (PG201) or its name (copy-out-of-bounds).
    """

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take the rule."""
        parser.add_argument("rule", metavar="CODE", help="such as PG201")

    def run(self, options: argparse.Namespace) -> int:
        """Print the rule's page."""
        from pycuda_guard.checks.registry import RULES

        names = {rule.name: code for code, rule in RULES.items()}
        wanted = str(options.rule)
        code = names.get(wanted.lower(), wanted.upper())
        if code not in RULES:
            close = difflib.get_close_matches(wanted.upper(), RULES, cutoff=0.6)
            close += [
                f"{names[name]} {name}" for name in difflib.get_close_matches(wanted.lower(), names, n=2)
            ]
            hint = f"did you mean {', '.join(close)}?" if close else "pycuda-guard rules lists them"
            raise GuardError(f"there is no rule {wanted}", hint)
        rule = RULES[code]
        print(f"{rule.code} {rule.name} ({rule.severity.value})\n\n{rule.page.strip()}")
        return 0
