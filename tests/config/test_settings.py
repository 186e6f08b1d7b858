"""Where options come from: command line, environment, pyproject.toml; ``pycuda-guard config``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pycuda_guard import config, project
from pycuda_guard.cli import main
from pycuda_guard.errors import StartError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is the current one; the environment has no options."""
    for name in [name for name in os.environ if name.startswith(config.VARIABLE_PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, text: str) -> Path:
    """Write the guard's section of a pyproject.toml; return its path."""
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / "pyproject.toml"
    path.write_text(f"[tool.pycuda_guard]\n{text}\n", encoding="utf-8")
    return path


def origins(
    folder: Path, given: dict[str, object], environment: dict[str, str]
) -> dict[str, tuple[object, str]]:
    found = config.settings(given, environment, project.layers(folder))
    return {one.option.name: (one.value, one.origin) for one in found}


def test_each_place_wins_over_those_below_it(folder: Path) -> None:
    path = write(folder, 'device = "gpu"\nfail-on = "warning"\nraces = true\nselect = ["PG1", "PG302"]')
    found = origins(
        folder / "sub" / "deeper",
        {"device": "cpu", "races": None},
        {"PYCUDA_GUARD_DEVICE": "auto", "PYCUDA_GUARD_FAIL_ON": "never", "PYCUDA_GUARD_QUIET": "yes"},
    )
    assert found["device"] == ("cpu", "command line")
    assert found["fail_on"] == ("never", "environment PYCUDA_GUARD_FAIL_ON")
    assert found["quiet"] == (True, "environment PYCUDA_GUARD_QUIET")
    assert found["races"] == (True, f"pyproject.toml:{path}")
    assert found["select"] == (("PG1", "PG302"), f"pyproject.toml:{path}")
    assert found["schedule"] == ("late", "default")
    # an environment or a flag that says no wins over a yes
    assert origins(folder, {"races": False}, {})["races"] == (False, "command line")
    assert origins(folder, {}, {"PYCUDA_GUARD_RACES": "0"})["races"][0] is False


def test_the_nearest_file_with_the_section_is_taken_whole(folder: Path) -> None:
    write(folder, "races = true")
    (folder / "middle").mkdir()
    (folder / "middle" / "pyproject.toml").write_text("[tool.other]\nx = 1", encoding="utf-8")
    (folder / "broken").mkdir()
    (folder / "broken" / "pyproject.toml").write_text("not TOML of ours [", encoding="utf-8")
    inner = write(folder / "middle" / "inner", "strict = true")
    assert origins(folder / "middle", {}, {})["races"][0] is True
    assert origins(folder / "broken", {}, {})["races"][0] is True
    found = origins(inner.parent, {}, {})
    assert found["strict"] == (True, f"pyproject.toml:{inner}")
    assert found["races"] == (False, "default")


def test_names_of_files_are_seen_from_the_folder_of_the_file(folder: Path) -> None:
    write(
        folder,
        'baseline = "old.json"\n[tool.pycuda_guard.per-file-ignores]\n"a/*" = ["PG1"]\n"b.py" = "PG2,PG3"',
    )
    found = origins(folder / "sub", {}, {})
    assert found["baseline"][0] == str(folder / "old.json")
    assert found["per_file_ignores"][0] == ((f"{folder}/a/*", ("PG1",)), ("b.py", ("PG2", "PG3")))


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("fail_on = 'error'", "no option 'fail_on'", "did you mean fail-on?"),
        ("devise = 'cpu'", "no option 'devise'", "did you mean device?"),
        ("races = 'yes'", "races must be True or False", ""),
        ("select = ['P1']", "select can't be", "PG1, PG302"),
        ("select = []", "select must name one rule", ""),
        ("bare = true", "bare can't be set", "--bare"),
        ("write-baseline = 'x'", "write-baseline can't be set", "--write-baseline"),
        ("per-file-ignores = 3", "per-file-ignores must be a table", "tool.pycuda_guard.per-file-ignores"),
        ("races = ", "is not TOML", ""),
    ],
)
def test_what_makes_no_sense_is_an_error_that_names_the_file(
    folder: Path, text: str, words: str, hint: str
) -> None:
    path = write(folder, text)
    with pytest.raises(StartError) as caught:
        config.read({}, {}, project.layers(folder))
    assert words in str(caught.value) and str(path) in str(caught.value)
    assert hint in caught.value.hint


def test_numbers_may_be_numbers(folder: Path) -> None:
    write(folder, 'cpu-devices = 2\nkernel-timeout = 1.5\nrecord-limit = "1M"\ncompute-capability = 8.6')
    found = config.read({}, {}, project.layers(folder))
    assert (found.cpu_devices, found.kernel_timeout, found.compute_capability) == ("2", "1.5", "8.6")
    assert found.record_limit == 1 << 20


def test_the_command_shows_values_and_origins(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(folder / "app", 'device = "cpu"\n[tool.pycuda_guard.per-kernel-ignores]\n"f*" = ["PG3"]')
    monkeypatch.setenv("PYCUDA_GUARD_QUIET", "1")
    monkeypatch.setenv("PYCUDA_GUARD_RACE", "1")
    assert main(["config", "--ignore", "PG101", "--ignore", "PG102,PG103", "app/script.py"]) == 0
    rows = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    shown = {row[0]: " ".join(row[1].split()) for row in rows}
    assert shown["device"] == f"cpu pyproject.toml:{path}"
    assert shown["quiet"] == "on environment PYCUDA_GUARD_QUIET"
    assert shown["ignore"] == "PG101, PG102, PG103 command line"
    assert shown["per-kernel-ignores"] == f"f*: PG3 pyproject.toml:{path}"
    assert shown["schedule"] == "late default"
    assert "PYCUDA_GUARD_RACE stands for no option (did you mean PYCUDA_GUARD_RACES" in " ".join(rows[-1])
    assert set(shown) >= {option.key for option in config.OPTIONS}


def test_the_command_line_refuses_what_no_rule_has(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "program.py").write_text("print('never run')", encoding="utf-8")
    assert main(["run", "--select", "PG9,PG999", "program.py"]) == 2
    printed = capsys.readouterr()
    assert "select: there is no rule PG999 (did you mean PG9" in printed.err and not printed.out


def test_keywords_are_those_of_the_table() -> None:
    options = {one.name for one in config.OPTIONS if not one.for_run and not one.is_table}
    assert {"device", *config.Keywords.__annotations__} == options


def test_the_package_stays_light() -> None:
    program = (
        "import sys, pycuda_guard\n"
        "heavy = {'pycuda', 'numpy', 'llvmlite', 'pycuda_guard.config', 'tomllib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
