"""The ``rules`` command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycuda_guard.cli.verb import Verb

if TYPE_CHECKING:
    import argparse


class Rules(Verb):
    """List the rules that this version checks."""

    def run(self, options: argparse.Namespace) -> int:
        """Print one line for each rule."""
        from pycuda_guard.checks.registry import RULES

        width = max(len(rule.name) for rule in RULES.values())
        for rule in sorted(RULES.values(), key=lambda rule: rule.code):
            print(f"{rule.code}  {rule.severity.value:<7}  {rule.name:<{width}}  {rule.summary}")
        print("\npycuda-guard explain CODE says more.")
        return 0
