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
    """Return the command of each console block of the README, with what is printed below it."""
    blocks = []
    for text in BLOCK.findall((CLONE / "README.md").read_text(encoding="utf-8")):
        command, _, printed = text.removeprefix("$ ").partition("\n")
        blocks.append((command, printed))
    return blocks


@pytest.mark.parametrize(("command", "printed"), console_blocks(), ids=[c for c, _ in console_blocks()])
def test_readme_shows_what_is_printed(command: str, printed: str) -> None:
    result = subprocess.run(
        [
            "env",
            "-u",
            "MAKEFLAGS",
            "-u",
            "MAKELEVEL",
            "CUDA_VISIBLE_DEVICES=-1",
            "bash",
            "-c",
            f"PATH=$PWD/.venv/bin:$PATH; {command}",
        ],
        cwd=CLONE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert result.stdout.rstrip() == printed.rstrip()


def test_rule_table_of_the_readme_is_fresh() -> None:
    text = (CLONE / "README.md").read_text(encoding="utf-8")
    between = re.search(r"<!-- rules: made .*? -->\n(.*?)\n<!-- rules: end -->", text, re.DOTALL)
    index = (CLONE / "docs" / "rules" / "index.md").read_text(encoding="utf-8")
    rows = [row.replace("](PG", "](docs/rules/PG") for row in index.splitlines() if row.startswith("|")]
    assert between is not None
    assert between[1].splitlines() == rows


def test_platform_table_is_fresh() -> None:
    text = (CLONE / "docs" / "installation.md").read_text(encoding="utf-8")
    between = re.search(r"<!-- platforms: made .*? -->\n(.*?)<!-- platforms: end -->", text, re.DOTALL)
    assert between is not None
    assert between[1].strip() == platforms.table()
