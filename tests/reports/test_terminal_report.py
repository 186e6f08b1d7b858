"""The report as people see it."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pycuda_guard.checks.registry import RULES
from pycuda_guard.findings import Finding, KernelLocation, Location, Related, Severity
from pycuda_guard.reports import scope
from pycuda_guard.reports.run import Run
from pycuda_guard.reports.terminal import Terminal, last_line, render, short_path, wants_colour

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """\
b_gpu = cuda.mem_alloc(b.nbytes)
copy(a_gpu,
     b_gpu, block=(16, 1, 1))
cuda.memcpy_dtoh(b, b_gpu)
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = tmp_path / "blur.py"
    path.write_text(SOURCE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return str(path)


def finding(script: str, **changes: object) -> Finding:
    fields: dict[str, object] = {
        "code": "PG301",
        "rule": "uncovered-output",
        "severity": Severity.ERROR,
        "message": "1008 of 1024 elements of `b_gpu` were never written",
        "help": "n = 1024 needs grid=(64, 1)",
        "location": Location(script, 3, "main"),
        "related": (Related("read here", script, 4), Related("allocated here", script, 1)),
    }
    return Finding(**(fields | changes))  # type: ignore[arg-type]


def test_finding_in_the_house_standard(script: str) -> None:
    assert render(finding(script)).splitlines() == [
        "error[PG301] uncovered-output: 1008 of 1024 elements of `b_gpu` were never written",
        "  --> blur.py:3   copy(a_gpu, b_gpu, block=(16, 1, 1))",
        "   |  read here:      blur.py:4  cuda.memcpy_dtoh(b, b_gpu)",
        "   |  allocated here: blur.py:1  b_gpu = cuda.mem_alloc(b.nbytes)",
        "  help: n = 1024 needs grid=(64, 1)      pycuda-guard explain PG301",
    ]


def test_what_is_not_known_is_left_out(script: str) -> None:
    lines = render(finding(script, location=None, related=(), help="", count=3)).splitlines()
    assert lines[0].endswith("were never written (3 times)")
    assert lines[1:] == ["  help: pycuda-guard explain PG301"]


def test_kernel_line_and_generated_source(script: str) -> None:
    where = KernelLocation("copy", "<generated>", 7)
    lines = render(finding(script, kernel=where, related=())).splitlines()
    assert lines[2] == "   |  kernel copy: <generated>:7"


def test_long_help_leaves_the_line_to_itself(script: str) -> None:
    lines = render(finding(script, help="x" * 100)).splitlines()
    assert lines[-2:] == ["  help: " + "x" * 100, "        pycuda-guard explain PG301"]


def test_paths_are_relative_where_that_is_shorter(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert short_path(script) == "blur.py"
    assert short_path("/a.py") == "/a.py"
    assert short_path("<stdin>") == "<stdin>"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "variables", "wanted"),
    [
        (Screen(), {"TERM": "xterm"}, True),
        (Screen(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Screen(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colour(
    stream: io.StringIO, variables: dict[str, str], wanted: bool, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert wants_colour(stream) is wanted
    terminal = Terminal(stream, quiet=False)
    terminal.show(finding(script))
    assert stream.getvalue().startswith("\033[1;31merror" if wanted else "error[PG301]")


def run(findings: list[Finding], **changes: object) -> Run:
    whole = Run(tuple(findings), "the GPU", frozenset(RULES), (), True)
    return replace(whole, **changes)  # type: ignore[arg-type]


def report(findings: list[Finding], *, quiet: bool = False) -> list[str]:
    stream = io.StringIO()
    Terminal(stream, quiet=quiet).finish(run(findings, device="the CPU device", blind=("child processes",)))
    return stream.getvalue().splitlines()


def test_clean_run_prints_its_last_line_only() -> None:
    count = scope.RULE_COUNT
    (line,) = report([])
    on = f"({count} of {count} rules on)"
    assert line == f"pycuda-guard: nothing found on the CPU device {on}. Not checked: child processes."


def last(**changes: object) -> list[str]:
    return last_line(run([], **changes)).splitlines()


def test_last_line_says_that_nothing_is_off() -> None:
    (line,) = last()
    assert line.endswith(" rules on). Everything was checked.")


def test_long_lists_are_broken_between_items() -> None:
    spots = [f"what number {number} does in its own time" for number in range(9)]
    head, *lines = last(blind=spots)
    assert head.endswith(" rules on).")
    assert all(len(line) <= 110 for line in lines)
    assert len(lines) > 2
    assert " ".join(line.strip() for line in lines) == f"Not checked: {', '.join(spots)}."
    assert all(line.endswith((",", ".")) for line in lines)


def test_rules_that_are_off_are_named_with_their_option() -> None:
    off = {code for area in scope.AREAS if area.off for code in area.codes}
    text = " ".join(last(live=RULES.keys() - off, blind=["what kernels do (--no-kernels)"]))
    assert f"({scope.RULE_COUNT - len(off)} of {scope.RULE_COUNT} rules on)" in text
    assert text.count("--no-kernels") == text.count("--races") == 1


@pytest.mark.parametrize(
    ("codes", "words"),
    [(["PG104", "PG101"], "PG101, PG104 (left"), (sorted(RULES)[:9], "PG1xx, PG201 (left")],
)
def test_what_the_user_left_out_is_not_on(codes: list[str], words: str) -> None:
    text = " ".join(last(left_out=frozenset(codes)))
    assert f"({scope.RULE_COUNT - len(codes)} of " in text
    assert f"Not checked: {words} out by select and ignore)." in text


def test_of_a_file_of_findings_it_is_not_known_what_was_checked() -> None:
    assert last(live=frozenset(), blind=["unknown"]) == [
        "pycuda-guard: nothing found on the GPU. Not checked: unknown."
    ]


def test_errors_come_before_notes_and_quiet_leaves_the_notes_out(script: str) -> None:
    note = finding(script, code="PG104", severity=Severity.NOTE)
    heads = [line for line in report([note, finding(script)]) if "[" in line[:12]]
    assert [head[:11] for head in heads] == ["error[PG301", "note[PG104]"]
    assert not any("PG104" in line or line.startswith("pycuda-guard:") for line in report([note], quiet=True))
    assert report([note, finding(script)])[-1].startswith("pycuda-guard: 1 error, 1 note on the CPU device (")


def test_a_closed_stream_harms_nobody(script: str) -> None:
    stream = io.StringIO()
    stream.close()
    Terminal(stream, quiet=False).show(finding(script))
    Terminal(None, quiet=False).show(finding(script))
    assert stream.closed


def test_every_live_rule_belongs_to_one_area() -> None:
    codes = [code for area in scope.AREAS for code in area.codes]
    assert len(codes) == len(set(codes))
    assert {code for code in RULES if not code.startswith("PG9")} <= set(codes)
    assert {code for code in RULES if code.startswith("PG9")} <= set(scope.BLIND)


@pytest.mark.parametrize("area", scope.AREAS, ids=lambda area: area.name)
def test_an_area_is_checked_only_if_all_its_rules_are(area: scope.Area) -> None:
    assert area.unchecked in scope.not_checked(RULES.keys() - {area.codes[0]}, [])
    assert scope.not_checked([code for other in scope.AREAS for code in other.codes], []) == []


def test_what_this_run_could_not_see_comes_first() -> None:
    late = Finding("PG902", "late-start", Severity.NOTE, "m", "", None)
    assert scope.not_checked(RULES, [], [late])[0] == scope.BLIND["PG902"]


HOSTILE = "a\x1b[2Jb\rc\ud800"


def test_texts_of_the_program_cannot_reach_the_terminal(script: str) -> None:
    shown = render(finding(script, message=HOSTILE, help=HOSTILE, related=(Related(HOSTILE, HOSTILE, 1),)))
    assert shown.count(r"a\x1b[2Jb\rc\ud800") == 4
    shown = render(finding(script, location=Location("a\nb.py", 1), related=()))
    assert r"  --> a\nb.py:1" in shown.splitlines()


def test_a_stream_of_few_characters_gets_all_it_can_show(script: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Terminal(stream, quiet=False).show(finding(script, message="größer"))
    assert b"gr\\xf6\\xdfer" in stream.buffer.getvalue()  # type: ignore[attr-defined]
