"""The commands that run no program."""

from __future__ import annotations

import pytest

from pycuda_guard import __version__, config
from pycuda_guard.checks.registry import RULES
from pycuda_guard.cli import VERBS, load_verb, main


@pytest.mark.parametrize("name", VERBS)
def test_help_is_the_docstring(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert load_verb(name).help_text().splitlines()[0] in capsys.readouterr().out


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert all(f"\n    {name} " in printed for name in VERBS)


@pytest.mark.parametrize("arguments", [["explain"], ["rules", "more"], ["--colour"]])
def test_wrong_command_lines_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: pycuda-guard" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["run", "--race", "x.py"],
            "pycuda-guard run has no option --race (did you mean --races or --bare?)",
        ),
        (
            ["report", "--frmat=json", "x"],
            "pycuda-guard report has no option --frmat (did you mean --format?)",
        ),
        (["rules", "--zzzz"], "rules has no option --zzzz (pycuda-guard rules --help lists them)"),
    ],
)
def test_who_mistypes_an_option_is_told_which_there_are(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert words in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "To begin with: pycuda-guard run script.py, or pycuda-guard demo"),
        (["rnu", "script.py"], "there is no command rnu (did you mean run?)"),
        (["script.py", "--fast"], "script.py is no command (pycuda-guard run script.py)"),
        (["fly"], "there is no command fly (pycuda-guard --help lists them)"),
    ],
)
def test_who_names_no_command_is_told_what_to_write(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_every_option_has_one_heading_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    grouped = [name for _, names in config.GROUPS for name in names]
    assert sorted(grouped) == sorted(option.name for option in config.OPTIONS if not option.is_table)
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    printed = capsys.readouterr().out
    places = [printed.index(f"\n{title}:\n") for title, _ in config.GROUPS]
    assert places == sorted(places)


def test_doctor_ends_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor"])
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("everything is here; next: " if status == 0 else ("missing: ", "not checked: "))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"pycuda-guard {__version__}\n"


@pytest.mark.parametrize("code", RULES)
def test_explain_every_rule(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", code.lower()]) == 0
    by_code = capsys.readouterr().out
    assert by_code.startswith(f"{code} {RULES[code].name} ({RULES[code].severity.value})\n")
    assert RULES[code].page.strip() in by_code
    assert main(["explain", RULES[code].name]) == 0
    assert capsys.readouterr().out == by_code


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("PG2O1", "PG201"),
        ("copy-out-of-bound", "PG201 copy-out-of-bounds"),
        ("something else", "pycuda-guard rules lists them"),
    ],
)
def test_unknown_rule(wanted: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", wanted]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"pycuda-guard: there is no rule {wanted} (")
    assert words in captured.err


def test_rules_lists_every_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("PG")] == sorted(RULES)
    assert lines[-1] == "pycuda-guard explain CODE says more."
