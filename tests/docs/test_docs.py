"""What the documentation says is what the program prints and what its tables hold."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from pycuda_guard import platforms

CLONE = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def console_blocks() -> list[tuple[str, str]]:
    """Return the commands of the README's console blocks, each with what is printed below it."""
    blocks = []
    for text in BLOCK.findall((CLONE / "README.md").read_text(encoding="utf-8")):
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            blocks.append((command, printed))
    return blocks


@pytest.mark.parametrize(("command", "printed"), console_blocks(), ids=[c for c, _ in console_blocks()])
def test_readme_shows_what_is_printed(command: str, printed: str) -> None:
    result = subprocess.run(
        ["env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "bash", "-c", f"PATH=$PWD/.venv/bin:$PATH; {command}"],
        cwd=CLONE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.stdout.rstrip() == printed.rstrip()


def test_platform_table_is_fresh() -> None:
    text = (CLONE / "docs" / "installation.md").read_text(encoding="utf-8")
    between = re.search(r"<!-- platforms: made .*? -->\n(.*?)<!-- platforms: end -->", text, re.DOTALL)
    assert between is not None
    assert between[1].strip() == platforms.table()
