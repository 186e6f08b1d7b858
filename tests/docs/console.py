"""The console blocks of the documentation: a command, and what it prints.

``python tests/docs/console.py`` writes anew what the commands print.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```console\n(\$ .*?)^```$", re.MULTILINE | re.DOTALL)

#: make must not think that it was called by another; there is no GPU; lines come in a terminal's order
_ENVIRONMENT = ("env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "CUDA_VISIBLE_DEVICES=-1", "PYTHONUNBUFFERED=1")


def pages() -> list[Path]:
    """Return the files that may have console blocks."""
    return [CLONE / "README.md", *sorted((CLONE / "docs").glob("*.md"))]


def blocks(page: Path) -> list[str]:
    """Return the console blocks of a page, without their fences."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def command(block: str) -> str:
    """Return the command of a block: its first line, and those after a backslash."""
    found = re.match(r"\$ (?:.*\\\n)*.*\n", block)
    assert found is not None
    return found[0].removeprefix("$ ")


def shown(block: str) -> str:
    """Return the block as it must be: its command is run in the clone."""
    done = subprocess.run(
        [*_ENVIRONMENT, "bash", "-c", f"PATH=$PWD/.venv/bin:$PATH\n{command(block)}"],
        cwd=CLONE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return f"$ {command(block)}{done.stdout.rstrip()}\n"


def rewrite(page: Path) -> None:
    """Run the commands of a page and write what they print into it."""
    text = page.read_text(encoding="utf-8")
    for block in blocks(page):
        text = text.replace(f"```console\n{block}```", f"```console\n{shown(block)}```")
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for page in pages():
        rewrite(page)
