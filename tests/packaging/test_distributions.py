"""What is in the source distribution, and what the release reads."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from pycuda_guard import __version__

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Return the files of the source distribution, built from a copy of the sources."""
    folder = tmp_path_factory.mktemp("sdist")
    copy = folder / "source"
    copy.mkdir()
    if not (ROOT / ".git").exists():
        pytest.skip("what belongs in is known in a clone alone")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", folder, copy],
        check=True,
        capture_output=True,
    )
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as held:
        return {name.partition("/")[2] for name in held.getnames()}


@pytest.mark.parametrize(
    "pattern",
    [
        "pycuda_guard/**/native/*",
        "pycuda_guard/**/*.py*",
        "pycuda_guard/py.typed",
        "pycuda_guard/shadow/codes.ptx",
        "docs/**/*.md",
        "docs/**/*.json",
        "tests/**/*.py",
        "tests/**/*.cu",
        "tests/**/*.ptx",
        "examples/**/*.py",
        "benchmarks/*.py",
        "notebooks/*.ipynb",
        "changes/*.md",
        "tools/*.py",
        "recipe/*",
        "Makefile",
        "CHANGELOG.md",
        "CITATION.cff",
        "CONTRIBUTING.md",
        "LICENSE",
    ],
)
def test_sdist_holds_what_it_is_built_tested_and_read_from(sdist: set[str], pattern: str) -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    here = {path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern) if path.is_file()}
    wanted = here & set(tracked.stdout.splitlines())
    assert wanted
    assert wanted <= sdist


def test_sdist_holds_nothing_that_was_built(sdist: set[str]) -> None:
    assert not [name for name in sdist if name.endswith((".so", ".pyc"))]


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == __version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in citation
    recipe = (ROOT / "recipe" / "meta.yaml").read_text(encoding="utf-8")
    assert f'version = "{__version__}"' in recipe
    # the recipe needs what the package needs
    for requirement in project["dependencies"]:
        name, bound = re.fullmatch(r"(\w+)(>=.*)", requirement).groups()  # type: ignore[union-attr]
        assert f"    - {name} {bound}\n" in recipe


def test_changelog_is_made_of_all_fragments() -> None:
    draft = subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "0.0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert draft.returncode == 0, draft.stderr
    shown = " ".join(draft.stdout.split())
    for fragment in (ROOT / "changes").glob("*.md"):
        text = " ".join(fragment.read_text(encoding="utf-8").split())
        assert text in shown, fragment.name
