"""What is in the source distribution, and what the release reads."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from pycuda_guard import __version__

ROOT = Path(__file__).resolve().parents[2]

SITE = "https://pycuda-guard.readthedocs.io/en/stable/"

#: where a link of Markdown leads
LINK = re.compile(r"\]\(([^)\s#]+)[^)\s]*\)")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the source distribution, built from a copy of the sources."""
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
    (built,) = folder.glob("*.tar.gz")
    return built


@pytest.fixture(scope="module")
def sdist(archive: Path) -> set[str]:
    """Return the files of the source distribution."""
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
        "tests/**/*.json",
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


def test_the_package_index_shows_the_readme_with_links_that_lead_somewhere(archive: Path) -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "twine", "--no-color", "check", "--strict", archive],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    with tarfile.open(archive) as held:
        (name,) = (name for name in held.getnames() if name.count("/") == 1 and name.endswith("/PKG-INFO"))
        content = held.extractfile(name)
        assert content is not None
        metadata = email.message_from_string(content.read().decode())
    assert metadata["Description-Content-Type"] == "text/markdown"
    shown, written = metadata.get_payload(), (ROOT / "README.md").read_text(encoding="utf-8")
    assert isinstance(shown, str)
    assert LINK.sub("]", shown).strip() == LINK.sub("]", written).strip()
    for target, own in zip(LINK.findall(shown), LINK.findall(written), strict=True):
        if own.startswith("https:"):
            assert target == own
            continue
        assert (ROOT / own).is_file(), own
        assert target.startswith(SITE), own
        page = target.removeprefix(SITE).removesuffix(".html")
        assert (ROOT / "docs" / f"{page}.md").is_file(), target


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("github-workflows", ".github/workflows/*.yml"),
        ("readthedocs", ".readthedocs.yaml"),
        ("citation-file-format", "CITATION.cff"),
    ],
)
def test_what_services_read_fits_their_schemas(schema: str, pattern: str) -> None:
    files = sorted(ROOT.glob(pattern))
    if not files and not (ROOT / ".git").exists():
        pytest.skip("it is in a clone alone")
    assert files
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *files]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.skipif(not (ROOT / ".github").is_dir(), reason="it is in a clone alone")
def test_workflows_run_what_there_is() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\S+):", makefile, re.MULTILINE))
    texts = [path.read_text(encoding="utf-8") for path in ROOT.glob(".github/workflows/*.yml")]
    commands = [line for text in texts for line in re.findall(r"^ +- run: (.*)", text, re.MULTILINE)]
    assert commands
    for words in map(str.split, commands):
        if words[0] == "make":
            assert set(words[1:]) <= targets
        scripts = [word for word in words if word.endswith(".py")]
        assert all((ROOT / script).is_file() for script in scripts), words
    versions = set(re.findall(r'"(3\.\d+)"', "".join(texts)))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {f"Programming Language :: Python :: {version}" for version in versions} <= set(
        project["classifiers"]
    )


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
