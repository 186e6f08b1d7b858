"""The console blocks of the documentation: commands, and what they print.

``python tests/docs/console.py`` writes anew what the commands print.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

CLONE = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```console\n(\$ .*?)^```$", re.MULTILINE | re.DOTALL)

#: printed between two commands of a block
_MARK = "-- next command --"

#: make must not think that it was called by another, and there is no GPU
_ENVIRONMENT = ("env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "CUDA_VISIBLE_DEVICES=-1")


def pages() -> list[Path]:
    """Return the files that may have console blocks."""
    return [CLONE / "README.md", *sorted((CLONE / "docs").glob("*.md"))]


def blocks(page: Path) -> list[str]:
    """Return the console blocks of a page, without their fences."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def commands(block: str) -> list[str]:
    """Return the commands of a block; what stands below each is what it prints."""
    return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]


def shown(block: str) -> str:
    """Return the block as it must be: its commands are run one after the other in the clone."""
    script = f"\necho '{_MARK}'\n".join(commands(block))
    done = subprocess.run(
        [*_ENVIRONMENT, "bash", "-c", f"PATH=$PWD/.venv/bin:$PATH\n{script}"],
        cwd=CLONE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    printed = done.stdout.split(f"{_MARK}\n")
    lines = [f"$ {command}\n{text}" for command, text in zip(commands(block), printed, strict=True)]
    return "".join(lines).rstrip() + "\n"


def rewrite(page: Path) -> None:
    """Run the commands of a page and write what they print into it."""
    text = page.read_text(encoding="utf-8")
    for block in blocks(page):
        text = text.replace(f"```console\n{block}```", f"```console\n{shown(block)}```")
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for page in pages():
        rewrite(page)
